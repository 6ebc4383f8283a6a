/** Runs cases one after the other, each checked and timed together with its ceilings. */
import { ceilingsOf } from './ceilings.mjs';
import { runCase, scoped } from './harness.mjs';

/** Yields the results of a case. */
export async function* runCases(cases, context, ceiling, timing) {
  for (const { name, detail, prepare } of cases) {
    const result = await scoped(context.engine, () =>
      scoped(ceiling, async () => {
        const contenders = await prepare(context);
        return runCase(context.engine, contenders, ceilingsOf(ceiling, contenders), timing);
      }),
    );
    yield { name, ...detail, ...result };
  }
}
