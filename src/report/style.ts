/** The report's style sheet. Line colours are those of Okabe and Ito, which colour-blind readers can tell apart. */
export const style = `
:root {
  color-scheme: light dark;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  --paper: #f6f5f1; --sheet: #fffefb; --ink: #1d2126; --muted: #5b636d; --line: #dedbd2; --grid: #ebe8e0;
  --blue: #0a66b0; --orange: #c24e00; --green: #00805c; --purple: #a3437b; --sky: #2c8fc4; --gold: #8f6f00; --rust: #7d3b1f;
  --watch: #fcefc9; --watch-ink: #6b4700; --high: #fbdad3; --high-ink: #9c1c0c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #121518; --sheet: #1a1e22; --ink: #e7e8ea; --muted: #a0a8b1; --line: #31373d; --grid: #282d33;
    --blue: #6ab4f5; --orange: #ff9d5c; --green: #4fd0a2; --purple: #e49cc4; --sky: #8fd3f7; --gold: #e6c84f; --rust: #d59a78;
    --watch: #43370f; --watch-ink: #f6d886; --high: #56211a; --high-ink: #ffb3a6;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 3.5rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 var(--sans); }
header, main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; padding-bottom: 1rem; }
h1, h2, h3, p, dl, dd, figure, ul { margin: 0; }
h1, h2 { font-family: var(--serif); font-weight: 600; letter-spacing: -0.01em; text-wrap: balance; }
h1 { font-size: 2.25rem; line-height: 1.15; }
h2 { font-size: 1.5rem; line-height: 1.25; margin-bottom: 0.75rem; }
h3 { font-size: 1rem; line-height: 1.4; font-weight: 600; }
a { color: var(--blue); }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
.mark { display: flex; align-items: center; gap: 0.5rem; color: var(--muted); font-weight: 600; margin-bottom: 0.75rem; }
.mark svg { width: 1.375rem; height: 1.375rem; }
.lead { margin-top: 0.5rem; font-size: 1.0625rem; color: var(--muted); }
nav { position: sticky; top: 0; z-index: 10; background: var(--paper); border-bottom: 1px solid var(--line); }
nav ul { max-width: 72rem; margin: 0 auto; padding: 0 0.75rem; display: flex; overflow-x: auto; list-style: none; }
nav a { display: block; padding: 0.625rem 0.5rem; color: var(--ink); text-decoration: none; font-size: 0.9375rem; white-space: nowrap; }
nav a:hover { color: var(--blue); text-decoration: underline; text-underline-offset: 0.25em; }
section { padding-top: 2.5rem; }
#figures { padding-top: 1.5rem; }
small, .unit, .aside, caption, .empty { color: var(--muted); }
.unit { font-weight: 400; font-size: 0.875rem; margin-left: 0.25rem; }
.aside { font-size: 0.875rem; margin-top: 0.5rem; max-width: 52rem; }
.empty { padding: 1.25rem; background: var(--sheet); border: 1px dashed var(--line); border-radius: 6px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.tiles, .facts { background: var(--sheet); border: 1px solid var(--line); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); border-radius: 6px 6px 0 0; }
.facts { display: flex; flex-wrap: wrap; border-radius: 0 0 6px 6px; border-top: 0; padding: 0.375rem 0; }
.tiles > div { padding: 1.125rem 1.25rem; }
.facts > div { padding: 0.5rem 1.25rem; min-width: 0; }
.facts > .wide { flex-basis: 100%; }
dt { color: var(--muted); font-size: 0.875rem; }
.tiles dd { font-size: 2.125rem; line-height: 1.2; font-weight: 600; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.tiles small { display: block; font-size: 0.8125rem; line-height: 1.4; font-weight: 400; letter-spacing: 0; margin-top: 0.125rem; }
.facts dd { font-size: 0.9375rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts > .wide dd, .code, code { font-family: var(--mono); font-size: 0.8125rem; }
.alert { margin-top: 1.5rem; padding: 1rem 1.25rem; background: var(--high); color: var(--high-ink); border-radius: 6px; }
.alert h2 { font-size: 1.125rem; margin-bottom: 0.25rem; }
.alert ul { padding-left: 1.25rem; overflow-wrap: anywhere; }

.grid { display: grid; gap: 1rem; }
.grid > * { min-width: 0; }
.chart { background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; padding: 1rem 1rem 0.75rem; min-width: 0; display: flex; flex-direction: column; }
.chart figcaption { flex: 1; }
.chart figcaption p { font-size: 0.9375rem; color: var(--muted); margin: 0.125rem 0 0.5rem; text-wrap: pretty; }
.plot { min-height: 240px; min-width: 0; overflow: hidden; }
.plot.tall { min-height: 390px; }
@media (min-width: 48rem) { .grid.two { grid-template-columns: 1fr 1fr; } .grid.three { grid-template-columns: repeat(3, 1fr); } }
.uplot { font-family: var(--sans); }
.u-legend { font-size: 0.8125rem; text-align: left; margin: 0.25rem 0 0; color: var(--ink); }
.u-legend .u-series > * { padding: 0.125rem 0; }
.u-legend tr { margin-right: 1rem; }
.u-legend th { font-weight: 400; color: var(--muted); border-radius: 2px; }
.u-legend .u-series:first-child th { cursor: default; }
.u-legend .u-series:first-child .u-marker { display: none; }
.u-legend .edge { display: none; }
.u-legend .u-marker { width: 0.875rem; height: 3px; border-radius: 2px; margin-right: 0.375rem; }
.u-legend .u-value { font-variant-numeric: tabular-nums; min-width: 3.25rem; padding-left: 0.25rem; }
.u-select { background: color-mix(in srgb, var(--blue) 14%, transparent); }
.u-hz .u-cursor-x { border-right: 1px solid var(--muted); opacity: 0.6; }

.choice { display: flex; flex-wrap: wrap; gap: 0.5rem 1.25rem; align-items: center; margin: 0.75rem 0 1rem; }
.choice .aside { flex-basis: 100%; margin: 0; }
select { font: inherit; color: inherit; background: var(--sheet); border: 1px solid var(--line); border-radius: 4px; padding: 0.3125rem 0.5rem; margin-left: 0.375rem; min-height: 2.25rem; }
#fp8-table { margin: 1.75rem 0 0.5rem; }

.scroll { overflow: auto; background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; min-width: 0; }
.scroll.tall { max-height: 28rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
.u-legend { width: auto; }
.scroll caption { text-align: left; padding: 0.75rem 1rem; }
/* A caption is as wide as its table; its text stays as wide as the window. */
.scroll caption span.text { display: inline-block; position: sticky; left: 1rem; max-width: calc(100vw - 4.75rem); }
.scroll th, .scroll td { padding: 0.375rem 0.75rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--grid); }
.scroll thead th { color: var(--muted); font-weight: 500; background: var(--sheet); }
.scroll.tall thead th { position: sticky; top: 0; z-index: 2; }
.scroll tbody th { font-weight: 500; text-align: left; position: sticky; left: 0; background: var(--sheet); z-index: 1; }
.scroll thead tr:first-child th:first-child { text-align: left; position: sticky; left: 0; z-index: 3; }
.scroll th:first-child, .scroll td:first-child { padding-left: 1rem; }
.scroll td:last-child { padding-right: 1rem; }
.record tbody th { width: 38%; }
.health th[scope=colgroup] { text-align: left; color: var(--ink); font-weight: 600; }
.health .first, .health th[scope=colgroup], .health thead tr:last-child th:nth-child(4n+1) { border-left: 1px solid var(--line); }
.health td, .health th { padding-block: 0.3125rem; padding-inline: 0.5rem; font-size: 0.8125rem; }
.health th:first-child { padding-left: 1rem; }
.health thead tr:last-child th:first-child { padding-left: 0.5rem; }
.health caption { font-size: 0.875rem; }
.health button { font: inherit; font-weight: 500; color: var(--blue); background: none; border: 0; padding: 0.125rem 0; cursor: pointer; text-align: left; }
.health button:hover { text-decoration: underline; text-underline-offset: 0.2em; }
.health button[aria-pressed=true] { color: var(--ink); font-weight: 700; }
.watch { background: var(--watch); color: var(--watch-ink); }
.high { background: var(--high); color: var(--high-ink); font-weight: 600; }
caption .watch, caption .high { padding: 0.0625rem 0.375rem; border-radius: 3px; white-space: nowrap; }
td [aria-hidden] { font-size: 0.625rem; vertical-align: 0.125em; }
.record td { white-space: pre-wrap; overflow-wrap: anywhere; text-align: left; font-family: var(--mono); font-size: 0.8125rem; }
.record tbody th { font-weight: 400; color: var(--muted); vertical-align: top; }
.record caption { color: var(--ink); font-weight: 600; }

.scroll td.words { white-space: normal; text-align: left; min-width: 14rem; }
section > .scroll + .scroll { margin-top: 1rem; }

.samples { margin-top: 0.75rem; background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; }
.samples details + details { border-top: 1px solid var(--line); }
.samples summary { cursor: pointer; padding: 0.625rem 1rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.samples .step { font-weight: 600; font-variant-numeric: tabular-nums; margin-right: 0.5rem; }
.samples .preview { color: var(--muted); font-size: 0.9375rem; }
.samples details[open] .preview { display: none; }
.samples pre { margin: 0; padding: 0 1rem 1rem; font: 0.875rem/1.6 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; max-width: 56rem; }
.samples mark { background: none; color: var(--blue); font-weight: 600; }
.samples i { color: var(--muted); }
footer { padding-top: 2.5rem; padding-bottom: 3rem; font-size: 0.875rem; color: var(--muted); }
@media (max-width: 37.5rem) {
  header { padding-top: 1.5rem; }
  h1 { font-size: 1.875rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tiles > div { padding: 0.875rem 1rem; }
  .tiles dd { font-size: 1.625rem; }
  .facts > div { padding: 0.5rem 1rem; }
  .plot.tall { min-height: 290px; }
  .chart { padding: 0.875rem 0.75rem 0.625rem; }
}
@media print { nav { display: none; } .chart, .samples details { break-inside: avoid; } }
`;
