/**
 * The table of parameters: name, shape, role, initial values, decay, and the Hugging Face tensors that each consists of.
 * Sizes, optimizer groups, digests and file order all follow it. Q, K and V form one matrix, and so do gate and up, with one GEMM and one
 * FP8 scale each, as in the recipe ("Scaling FP8 training": QKV, projection, FC1, FC2).
 */
import { sizeOf } from '../ops/tensor.js';
import { type LlamaConfig, type LlamaConfigInput, llamaConfig } from './config.js';

export type Role = 'embedding' | 'linear' | 'norm' | 'head';

/** One row of the table of parameters. */
export interface Parameter {
  readonly name: string;
  /** (rows, columns) of a matrix, (C) of a norm gain. */
  readonly shape: readonly number[];
  readonly role: Role;
  /** Standard deviation of the initial normal values; norm gains start at 1. */
  readonly std: number;
  readonly decay: boolean;
  /** Hugging Face tensors, in the order their rows are stacked. */
  readonly parts: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

export function parametersOf(config: LlamaConfig): Parameter[] {
  const { vocabSize: V, hiddenSize: C, intermediateSize: F, layers, heads, kvHeads, headDim: D } = config;
  // "Small init" (Nguyen and Salazar, "Transformers without tears", 2019), with GPT-2's factor for the last matrix of a residual branch. Llama's
  // fixed 0.02 suits widths in the thousands: at C = 160, 450 steps of training end 0.09 bits per byte higher with it than with 0.06.
  const std = Math.sqrt(2 / (5 * C));
  const residualStd = std / Math.sqrt(2 * layers);
  const table: Parameter[] = [matrix('embed', 'embedding', std, C, [['model.embed_tokens.weight', V]])];
  for (let i = 0; i < layers; i++) {
    const [at, hf] = [`layers.${i}`, `model.layers.${i}`];
    table.push(
      norm(`${at}.attn_norm`, `${hf}.input_layernorm.weight`, C),
      matrix(`${at}.qkv`, 'linear', std, C, [
        [`${hf}.self_attn.q_proj.weight`, heads * D],
        [`${hf}.self_attn.k_proj.weight`, kvHeads * D],
        [`${hf}.self_attn.v_proj.weight`, kvHeads * D],
      ]),
      matrix(`${at}.o`, 'linear', residualStd, heads * D, [[`${hf}.self_attn.o_proj.weight`, C]]),
      norm(`${at}.mlp_norm`, `${hf}.post_attention_layernorm.weight`, C),
      matrix(`${at}.gate_up`, 'linear', std, C, [
        [`${hf}.mlp.gate_proj.weight`, F],
        [`${hf}.mlp.up_proj.weight`, F],
      ]),
      matrix(`${at}.down`, 'linear', residualStd, F, [[`${hf}.mlp.down_proj.weight`, C]]),
    );
  }
  table.push(norm('norm', 'model.norm.weight', C));
  if (!config.tieWordEmbeddings) table.push(matrix('head', 'head', std, C, [['lm_head.weight', V]]));
  return table;
}

function matrix(name: string, role: Role, std: number, columns: number, parts: [string, number][]): Parameter {
  return {
    name,
    role,
    std,
    shape: [parts.reduce((sum, [, rows]) => sum + rows, 0), columns],
    decay: true,
    parts: parts.map(([part, rows]) => ({ name: part, shape: [rows, columns] })),
  };
}

function norm(name: string, part: string, channels: number): Parameter {
  return { name, role: 'norm', std: 0, shape: [channels], decay: false, parts: [{ name: part, shape: [channels] }] };
}

/** Number of scalar parameters of a model. */
export const parameterCount = (config: LlamaConfigInput): number =>
  parametersOf(llamaConfig(config)).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
/** Name of the parameter whose rows give the logits. */
export const headName = (config: LlamaConfig): string => (config.tieWordEmbeddings ? 'embed' : 'head');
