/** Draws a line chart as SVG text: a logarithmic x axis, a y axis that is logarithmic or starts at 0, and each line's name at its end. */

const SIZE = { width: 760, height: 420, left: 64, right: 190, top: 40, bottom: 52 };
/** Okabe and Ito's palette, which most colour-blind readers can tell apart. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999999'];
const LINE_HEIGHT = 15;

const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
/** Rounds coordinates to tenths: more digits would change the whole file with every new run. */
const round = (x) => Math.round(10 * x) / 10;

function element(name, attributes, content = '') {
  const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`);
  return `<${name}${list.join('')}>${content}</${name}>`;
}
const label = (x, y, text, more = {}) => element('text', { x: round(x), y: round(y), ...more }, escaped(text));

/** 0 and four to eight round steps, up to at least `most`. */
function linearTicks(most) {
  const rough = most / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough);
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

function powersOfTen(least, most) {
  const [from, to] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  return Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
}

/** Moves labels down where they would overlap. */
function spread(labels) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  sorted.forEach((each, i) => {
    if (i > 0) each.y = Math.max(each.y, sorted[i - 1].y + LINE_HEIGHT);
  });
  return sorted;
}

/** series: { name, points: [x, y][], dashed }. xTicks: { at, text }[]. */
export function lineChart({ title, xTitle, yTitle, series, xTicks, yLog = false }) {
  const { width, height, left, right, top, bottom } = SIZE;
  const points = series.flatMap((line) => line.points);
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const yTicks = yLog ? powersOfTen(Math.min(...ys), Math.max(...ys)) : linearTicks(Math.max(...ys));
  const scale = (log, low, high, from, to) => {
    const f = log ? Math.log : (x) => x;
    return (x) => from + ((f(x) - f(low)) / (f(high) - f(low))) * (to - from);
  };
  const x = scale(true, Math.min(...xs), Math.max(...xs), left, width - right);
  const y = scale(yLog, yTicks[0], yTicks.at(-1), height - bottom, top);
  const grid = yTicks.flatMap((tick) => [
    element('line', { x1: left, x2: width - right, y1: round(y(tick)), y2: round(y(tick)), stroke: '#ddd' }),
    label(left - 8, y(tick) + 4, tick.toLocaleString('en'), { 'text-anchor': 'end' }),
  ]);
  const below = xTicks.map(({ at, text }) => label(x(at), height - bottom + 18, text, { 'text-anchor': 'middle' }));
  const lines = series.flatMap(({ points: own, dashed }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = own.map(([a, b], at) => `${at === 0 ? 'M' : 'L'}${round(x(a))} ${round(y(b))}`).join('');
    const dots = own.map(([a, b]) => element('circle', { cx: round(x(a)), cy: round(y(b)), r: 3, fill: colour }));
    const stroke = { fill: 'none', stroke: colour, 'stroke-width': 2, ...(dashed && { 'stroke-dasharray': '6 4' }) };
    return [element('path', { d: path, ...stroke }), ...(dashed ? [] : dots)];
  });
  const ends = series.map(({ name, points: own }, i) => ({
    name,
    y: y(own.at(-1)[1]),
    colour: COLOURS[i % COLOURS.length],
  }));
  const names = spread(ends).map((end) => label(width - right + 10, end.y + 4, end.name, { fill: end.colour }));
  const titles = [
    label(left, 22, title, { 'font-size': 15, 'font-weight': 'bold' }),
    label((left + width - right) / 2, height - 12, xTitle, { 'text-anchor': 'middle' }),
    label(0, 0, yTitle, { 'text-anchor': 'middle', transform: `translate(16 ${height / 2}) rotate(-90)` }),
  ];
  const box = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, width, height };
  const font = { 'font-family': 'system-ui, sans-serif', 'font-size': 12 };
  const background = element('rect', { width, height, fill: '#fff' });
  const body = [background, ...titles, ...grid, ...below, ...lines, ...names].join('\n');
  return `${element('svg', { ...box, ...font }, `\n${body}\n`)}\n`;
}
