/** Writes the reports of runs and studies, with uPlot taken from where it is installed. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type ReportInput, reportPage } from '../report/index.js';
import { studyPage } from '../report/study.js';
import type { Results } from '../study/index.js';

const packaged = (file: string): string => readFileSync(createRequire(import.meta.url).resolve(file), 'utf8');

const uplot = () => ({ style: packaged('uplot/dist/uPlot.min.css'), script: packaged('uplot/dist/uPlot.iife.min.js') });

export const renderReport = (input: ReportInput): string => reportPage(input, uplot());
export const renderStudy = (results: Results): string => studyPage(results, uplot());
