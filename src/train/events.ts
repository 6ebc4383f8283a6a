/**
 * The lines of `metrics.jsonl`, one JSON object each: the log of a training run.
 * Written by the loop, read by the progress bar and the report. Types only; field names are those in the file.
 */
import type { RoleHealth } from '../model/casts.js';
import type { ActivationMonitor } from '../model/monitor.js';
import type { CastMonitor } from '../ops/monitor.js';
import type { Anomaly, AnomalyPolicy } from './guard.js';

export type { RoleHealth };

/** One optimizer step. */
export interface StepLine {
  type: 'step';
  step: number;
  loss: number;
  lr: number;
  grad_norm: number;
  /** Tokens seen since step 0, across resumes. */
  tokens: number;
  tokens_per_sec: number;
  /** Running time in seconds, across resumes. */
  elapsed_s: number;
  /** Digest of the training state after this step, in hex: equal runs print equal digests. */
  digest: string;
  /** The first 8 digits of each parameter's own digest, in parameter order; absent from logs of older versions. */
  parameters?: string[];
  /** By tensor, such as `layers.0.qkv.grad_output`; only on some steps, and only in FP8 recipes. */
  fp8?: Record<string, RoleHealth>;
}

/**
 * A tensor as an operand of a product. The fields of {@link RoleHealth} are present only if it was cast to FP8 and cover all its casts in the
 * step; the other fields describe the last cast.
 */
export type TensorMonitor = CastMonitor & Partial<RoleHealth>;

export interface SwigluMonitor extends ActivationMonitor {
  /** For each channel, the cosine between its gate row and its up row of the weights; null if either is all zeros. */
  cosines: (number | null)[];
}

/** Follows the `step` line of a step that was monitored. */
export interface MonitorLine {
  type: 'monitor';
  step: number;
  /** By tensor, such as `layers.0.qkv.grad_output`. */
  tensors: Record<string, TensorMonitor>;
  /** Keyed by the linear that consumes the activation, such as `layers.0.down`. */
  swiglu: Record<string, SwigluMonitor>;
  /** Norm of the gradient of each parameter, before clipping. */
  grad_norms: Record<string, number>;
}

/** One evaluation on the held-out text. */
export interface EvalLine {
  type: 'eval';
  step: number;
  val_loss: number;
  val_bits_per_byte: number;
  /** If requested: the loss in the precision of training, whereas val_loss is that of the model as saved. */
  val_loss_in_training?: number;
}

/** One measurement of sharpness. */
export interface SharpnessLine {
  type: 'sharpness';
  step: number;
  /** Sharpness of the loss around the logits of last tokens, in per cent (sharpness.ts). */
  sharpness: number;
}

/** Text sampled during the run. */
export interface SampleLine {
  type: 'sample';
  step: number;
  prompt: string;
  text: string;
}

/** A checkpoint that was saved. */
export interface CheckpointLine {
  type: 'checkpoint';
  step: number;
  path: string;
}

/** An anomaly, and what the run did about it. */
export interface AnomalyLine {
  type: 'anomaly';
  /** The step that was not taken; if `what` is about a validation loss or parameters, the last one taken. */
  step: number;
  kind: Anomaly['kind'];
  what: string;
  action: AnomalyPolicy;
  /** The step after which the run continues. */
  next: number;
}

/** The outcome of a run: the content of summary.json. */
export interface Summary {
  readonly recipe: string;
  readonly parameters: number;
  readonly steps: number;
  readonly tokens: number;
  readonly train_loss: number;
  readonly val_loss: number;
  readonly val_bits_per_byte: number;
  readonly tokens_per_second: number;
  readonly elapsed_seconds: number;
  readonly peak_memory_bytes: number;
  readonly state_bytes_per_parameter: number;
  readonly build: string;
  readonly threads: number;
  readonly runtime: string;
  readonly digest: string;
}

/** The end of a finished run. */
export interface DoneLine extends Summary {
  type: 'done';
  step: number;
}

export type MetricsLine =
  | StepLine
  | MonitorLine
  | EvalLine
  | SharpnessLine
  | SampleLine
  | CheckpointLine
  | AnomalyLine
  | DoneLine;
