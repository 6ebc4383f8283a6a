/**
 * The lines of `metrics.jsonl`, one JSON object each: what a training run says about itself.
 * Written by the loop, read by the progress bar and the report. Types only; field names are the ones in the file.
 */
import type { ActivationMonitor } from '../model/monitor.js';
import type { CastMonitor } from '../ops/monitor.js';
import type { Anomaly, AnomalyPolicy } from './guard.js';

/** How one FP8 tensor fared in one step. */
export interface Fp8Health {
  /** Largest magnitude seen. */
  amax: number;
  /** The scale it was encoded with. */
  scale: number;
  /** Fraction of values clipped at the format's maximum, 0..1. */
  saturated: number;
  /** Fraction of values that became zero although they were not, 0..1. */
  underflowed: number;
}

export interface StepLine {
  type: 'step';
  step: number;
  loss: number;
  lr: number;
  grad_norm: number;
  /** Tokens seen since step 0, across resumes. */
  tokens: number;
  tokens_per_sec: number;
  /** Seconds of running, across resumes. */
  elapsed_s: number;
  /** Digest of the training state after this step, in hex: equal runs print equal digests. */
  digest: string;
  /** The first 8 digits of each parameter's own digest, in the order of the parameters; logs of older versions have none. */
  parameters?: string[];
  /** By tensor, such as `layers.0.qkv.grad_output`; only on some steps, and only in FP8 recipes. */
  fp8?: Record<string, Fp8Health>;
}

/** A tensor as a product's operand: what is of {@link Fp8Health}, only where it was cast to FP8, of all its casts in the step, the rest of the last. */
export type TensorMonitor = CastMonitor & Partial<Fp8Health>;

export interface SwigluMonitor extends ActivationMonitor {
  /** Of each channel, the cosine between its row of the gate's weights and its row of the up weights; null where one is all zeros. */
  cosines: (number | null)[];
}

/** Follows the `step` line of a step that was looked into. */
export interface MonitorLine {
  type: 'monitor';
  step: number;
  /** By tensor, such as `layers.0.qkv.grad_output`. */
  tensors: Record<string, TensorMonitor>;
  /** By the linear that the activation goes into, such as `layers.0.down`. */
  swiglu: Record<string, SwigluMonitor>;
  /** Norm of the gradient of each parameter, before clipping. */
  grad_norms: Record<string, number>;
}

export interface EvalLine {
  type: 'eval';
  step: number;
  val_loss: number;
  val_bits_per_byte: number;
  /** Where it was asked for: the loss in the precision of training, where val_loss is that of the model as it is saved. */
  val_loss_in_training?: number;
}

export interface SharpnessLine {
  type: 'sharpness';
  step: number;
  /** Of the loss around the logits of last tokens, in per cent (sharpness.ts). */
  sharpness: number;
}

export interface SampleLine {
  type: 'sample';
  step: number;
  prompt: string;
  text: string;
}

export interface CheckpointLine {
  type: 'checkpoint';
  step: number;
  path: string;
}

export interface AnomalyLine {
  type: 'anomaly';
  /** The step that was not taken. */
  step: number;
  kind: Anomaly['kind'];
  what: string;
  action: AnomalyPolicy;
  /** The step that the run goes on from. */
  next: number;
}

/** What a run came to: the content of summary.json. */
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
