/** Studies: experiments as data, their runs side by side, and their results. */
export { type Experiment, experimentOf, MAX_SEEDS, type Size, whole } from './experiment.js';
export { MEASURES, type MeasureName } from './measures.js';
export { nameOf, type PlannedRun, planOf } from './plan.js';
export { type Results, type RunRecord, resultsCsv, resultsJson, resultsOf, runRecord, type Text } from './results.js';
export { execute, type RunResult, resultIn } from './run.js';
export { sideBySide } from './schedule.js';
