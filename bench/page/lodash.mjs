import lodash from 'lodash';

/** Benchmark.js, in a bundle, finds lodash nowhere but on a window as it is loaded; a worker has neither. */
export function placeLodash() {
  Object.assign(globalThis, { window: globalThis, _: lodash });
}
