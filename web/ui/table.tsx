/** A table that scrolls on its own where the page is narrow, also with the keyboard. */
import type { ComponentChildren } from 'preact';

interface Column {
  readonly title: ComponentChildren;
  /** Whether the column holds numbers, which are right-aligned. */
  readonly number?: boolean;
}

interface Row {
  readonly key: string | number;
  /** The first cell is the header of the row. */
  readonly cells: readonly ComponentChildren[];
  readonly chosen?: boolean;
}

interface Props {
  /** Name of the table for screen readers. */
  readonly label: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

export function Table({ label, columns, rows }: Props) {
  const kind = (at: number) => (columns[at].number ? 'number' : undefined);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard (axe: scrollable-region-focusable)
    <section class="scroll" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map(({ title }, at) => (
              <th key={at} scope="col" class={kind(at)}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells: [head, ...cells], chosen }) => (
            <tr key={key} class={chosen ? 'chosen' : undefined}>
              <th scope="row">{head}</th>
              {cells.map((cell, at) => (
                <td key={at} class={kind(at + 1)}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
