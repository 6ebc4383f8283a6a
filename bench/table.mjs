/** Formats figures as text. */

const UNITS = {
  FLOP: { per: 1e9, name: 'GFLOP/s' },
  B: { per: 1e9, name: 'GB/s' },
  token: { per: 1, name: 'tokens/s' },
};

export const percent = (x) => `${(100 * x).toFixed(x < 0.1 ? 1 : 0)} %`;
/** Three significant digits: more would be noise. */
export const short = (x) => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));

export const HEADER = [
  'rate: median over rounds; spread: between its quartiles; of ceiling, and speed against the first of its case: medians of ratios in a round; memory: peak of the process',
  '',
  line('', 'rate', 'spread', 'of ceiling', 'speed', 'memory'),
].join('\n');

function line(name, rate, spread, ceiling, speed, memory) {
  const cells = [rate.padStart(16), spread.padStart(8), ceiling.padStart(21), speed.padStart(9), memory.padStart(10)];
  return `  ${name.padEnd(46)}${cells.join('')}`.trimEnd();
}

/** The lines of a case: its contenders, then the ceilings measured with them. */
export function caseLines({ name, rows, ceilings }) {
  return [
    name,
    ...rows.map((row) =>
      line(
        row.name,
        rateOf(row),
        percent(row.spread),
        `${percent(row.ofCeiling)} ${row.ceiling}`,
        `${short(row.speed)}x`,
        row.peakBytes ? `${short(row.peakBytes / 1e6)} MB` : '',
      ),
    ),
    ...ceilings.map((row) => line(`(${row.name})`, rateOf(row), percent(row.spread), '', '', '')),
  ];
}

export function rateOf({ rate, unit }) {
  const { per, name } = UNITS[unit];
  return `${short(rate / per)} ${name.padEnd(8)}`;
}

export const rivalLines = (rivals) => rivals.map(({ name, includes }) => `rival    ${name}: ${includes}`);

/** The title of a rival's form of a case. */
export const titleOf = (rival, form, threads) => {
  const count = rival.threads === threads ? '' : `, ${rival.threads} thread${rival.threads === 1 ? '' : 's'}`;
  return `${rival.name}, ${form}${count}`;
};
