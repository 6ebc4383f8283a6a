/** Numbers in readable form. */
export const count = (value: number): string => Math.round(value).toLocaleString('en');

/** Formats bytes in the units that memory is sold in: 1 MB is 2^20 bytes. */
export function size(bytes: number): string {
  const units = ['kB', 'MB', 'GB'];
  let [value, unit] = [bytes / 1024, 0];
  for (; value >= 1000 && unit < 2; unit++) value /= 1024;
  return `${value < 10 && unit > 0 ? Number(value.toFixed(1)) : Math.ceil(value)} ${units[unit]}`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
