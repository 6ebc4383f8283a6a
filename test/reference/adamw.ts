/** assembly/adamw.ts: one step, before the new states are stored. */
import { add, div, f, mul, sqrt, sub } from './lanes.js';

export interface Hyper {
  readonly gradScale: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly rate: number;
  readonly eps: number;
  readonly decay: number;
}

/** New m, v and w from the decoded ones. */
export function adamw(grad: Float32Array, m: Float32Array, v: Float32Array, w: Float32Array, hyper: Hyper) {
  const [b1, b2, rate, eps, decay] = [hyper.beta1, hyper.beta2, hyper.rate, hyper.eps, hyper.decay].map(f);
  const [c1, c2] = [sub(1, b1), sub(1, b2)];
  const next = { m: m.slice(), v: v.slice(), w: w.slice() };
  grad.forEach((raw, i) => {
    const g = mul(raw, f(hyper.gradScale));
    const mi = add(mul(m[i], b1), mul(g, c1));
    const vi = add(mul(v[i], b2), mul(mul(g, g), c2));
    next.m[i] = mi;
    next.v[i] = vi;
    next.w[i] = sub(mul(w[i], decay), div(mul(mi, rate), add(sqrt(vi), eps)));
  });
  return next;
}
