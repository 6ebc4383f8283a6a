/** The report of a run as a self-contained file, the same that `octavo train` writes. */

import script from 'uplot/dist/uPlot.iife.min.js?raw';
import style from 'uplot/dist/uPlot.min.css?raw';
import { type ReportInput, reportPage } from '../../src/report/index.js';

export const reportOf = (input: ReportInput): string => reportPage(input, { style, script });
