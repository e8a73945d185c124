// What the declared types say: this has to compile, with errors where they are
// expected and nowhere else, and to run.

import { DurableWf, type Context, type StandardSchema, type Workflow } from 'durable-wf';
import { testWorkflow } from 'durable-wf/testing';
import assert from 'node:assert/strict';
import pg from 'pg';

const pool = new pg.Pool();
const wf = new DurableWf({ pool });

const double: Workflow<number, number> = wf.workflow('double', async (ctx, n: number) =>
  ctx.step('double', () => n * 2));

const dated: StandardSchema<{ at: string }, { at: Date }> = {
  '~standard': {
    version: 1, vendor: 'test',
    validate: (value) => ({ value: { at: new Date((value as { at: string }).at) } }),
  },
};
const appointment = wf.defineHook(dated);

async function types(ctx: Context, input: { name: string }): Promise<string> {
  const child = await ctx.startChild(double, 2);
  const n: number = await child.result();
  // @ts-expect-error: the input of double is a number
  const never = () => ctx.startChild(double, 'two');
  // @ts-expect-error: a message may not have come
  const text = async (): Promise<string> => ctx.recv<string>('x');
  // @ts-expect-error: not a source
  const source = () => ctx.any([{ nothing: 1 }]);
  const got = await ctx.any({ a: { topic: 'a' }, b: { topic: 'b' } }, { timeout: 0 });
  const name: 'a' | 'b' | undefined = got?.source;
  assert.equal(name, undefined);
  void [never, text, source];

  let years = 0;
  {
    using hook = await appointment.create(ctx, { token: 'when' });
    for await (const { at } of hook) {
      years += at.getFullYear();
      break;
    }
  }
  {
    await using hook = await ctx.createHook<number>({ token: 'how many' });
    years += await hook.receive({ timeout: '1 s' }) ?? 1;
  }
  return `${input.name} ${n} ${years}`;
}

// @ts-expect-error: no such option
void (() => wf.work({ connection: 3 }));
// @ts-expect-error: the input of double is a number
void (() => double.start('2'));
// @ts-expect-error: not what the schema takes
void (() => appointment.resume('when', { at: 3 }));

const test = testWorkflow(types, { input: { name: 'Ann' }, children: { double: (n: number) => n * 2 } });
test.resumeHook('when', { at: '2026-06-01' });
assert.deepEqual(await test.run(), { status: 'SUCCESS', output: 'Ann 4 2027' });
assert.deepEqual(test.hooks, []);
await wf.close();
await pool.end();
