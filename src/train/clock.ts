/** Time of a run over all its sessions; earlier sessions are reconstructed from the log. */
import type { StepLine } from './events.js';

export class Clock {
  private began = performance.now();
  private steps = 0;
  private milliseconds = 0;

  constructor(private readonly tokensPerStep: number) {}

  /** Total time, including evaluations. */
  get elapsedSeconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  /** Mean speed over the steps alone. */
  get tokensPerSecond(): number {
    return this.speed(this.steps, this.milliseconds);
  }

  /** Records a step of this duration and returns its tokens per second. */
  step(milliseconds: number): number {
    this.steps++;
    this.milliseconds += milliseconds;
    return this.speed(1, milliseconds);
  }

  /** Continues from a logged step of an earlier session. */
  resume({ tokens_per_sec: speed, elapsed_s: elapsed }: StepLine): void {
    if (!(speed > 0 && elapsed >= 0)) return;
    this.step((this.tokensPerStep * 1000) / speed);
    this.began = performance.now() - 1000 * elapsed;
  }

  private speed(steps: number, milliseconds: number): number {
    return (steps * this.tokensPerStep * 1000) / milliseconds;
  }
}
