/** Reduces the points of a curve, so that drawing does not slow down as it grows. */

/** More points than there are pixels. */
const MOST_POINTS = 1500;

/** Every n-th entry, and the last one. */
export function thinned<T>(list: readonly T[], most = MOST_POINTS): readonly T[] {
  const every = Math.ceil(list.length / most);
  return every <= 1 ? list : list.filter((_, i) => i % every === 0 || i === list.length - 1);
}

/** Averages groups of points, placing each mean at the last step of its group. */
export function averaged(steps: readonly number[], values: readonly number[]): [number[], number[]] {
  const size = Math.ceil(steps.length / MOST_POINTS);
  if (size <= 1) return [[...steps], [...values]];
  const [xs, ys]: [number[], number[]] = [[], []];
  for (let from = 0; from < steps.length; from += size) {
    const group = values.slice(from, from + size);
    xs.push(steps[Math.min(from + size, steps.length) - 1]);
    ys.push(group.reduce((a, b) => a + b, 0) / group.length);
  }
  return [xs, ys];
}
