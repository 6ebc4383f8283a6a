/** The data embedded in the page of a study: for each cell and measure, a curve over its seeds. */

import type { MeasureName } from '../../study/measures.js';
import { type Results, type RunRecord, runsOf } from '../../study/results.js';

/** Mean, lowest and highest over the seeds that have the step. */
export interface Band {
  step: number[];
  mean: number[];
  low: number[];
  high: number[];
}

export interface StudyData {
  /** The first axis is drawn as lines; the reader selects a value of each other axis. */
  axes: { name: string; values: string[] }[];
  measures: MeasureName[];
  /** Names of the cell's values, in axis order; one band per measure; the steps at which runs diverged. */
  cells: { at: string[]; bands: Band[]; diverged: number[] }[];
}

export function studyData({ experiment, cells, runs }: Results): StudyData {
  const axes = Object.entries(experiment.axes).map(([name, values]) => ({
    name,
    values: values.map((value) => value.name),
  }));
  return {
    axes,
    measures: [...experiment.measures],
    cells: cells.map((cell) => {
      const own = runsOf(cell.cell, runs);
      return {
        at: axes.map(({ name }) => cell.cell[name]),
        bands: experiment.measures.map((name) => bandOf(own, name)),
        diverged: own.flatMap(({ diverged }) => (diverged ? [diverged.step] : [])),
      };
    }),
  };
}

function bandOf(runs: readonly RunRecord[], name: MeasureName): Band {
  const values = new Map<number, number[]>();
  for (const run of runs) {
    const { step, value } = run.curves[name]!;
    for (const [i, at] of step.entries()) values.set(at, [...(values.get(at) ?? []), value[i]]);
  }
  const steps = [...values.keys()].sort((a, b) => a - b);
  const of = (read: (some: number[]) => number) => steps.map((step) => read(values.get(step)!));
  return {
    step: steps,
    mean: of((some) => some.reduce((a, b) => a + b, 0) / some.length),
    low: of((some) => Math.min(...some)),
    high: of((some) => Math.max(...some)),
  };
}
