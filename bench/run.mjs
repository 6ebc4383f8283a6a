/** Runs cases one after the other, each checked and timed together with its ceilings. */
import { ceilingsOf } from './ceilings.mjs';
import { runCase, scoped } from './harness.mjs';

/** Yields the results of a case. */
export async function* runCases(cases, context, ceiling, timing) {
  for (const { name, detail, prepare } of cases) {
    const work = async () => {
      const contenders = await prepare(context);
      return runCase(context.engine, contenders, ceilingsOf(ceiling, contenders), timing);
    };
    const engines = [context.engine, context.single, ceiling].filter(Boolean);
    const result = await engines.reduce((inner, engine) => () => scoped(engine, inner), work)();
    yield { name, ...detail, ...result };
  }
}
