import lodash from 'lodash';

/** Places lodash where Benchmark.js looks for it: when bundled, it only finds lodash on a window at load time, and a worker has neither. */
export function placeLodash() {
  Object.assign(globalThis, { window: globalThis, _: lodash });
}
