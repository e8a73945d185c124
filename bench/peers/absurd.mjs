// absurd: a task for each message, and tasks of one step.

import { Absurd } from 'absurd-sdk';
import pg from 'pg';

export async function open() {
	const pool = new pg.Pool({ max: 32 });
	const app = new Absurd({ db: pool, queueName: 'peers' });
	const ends = new Map();
	let taken, last = 0;
	app.registerTask({ name: 'message' }, async ({ n }) => { taken(n); });
	app.registerTask({ name: 'one-step' }, async ({ n }, ctx) => {
		await ctx.step('step', async () => n);
		ends.get(n)();
	});
	const work = () => app.startWorker({ concurrency: 32, claimTimeout: 3600 });
	let worker;
	return {
		send: n => app.spawn('message', { n }),
		async receive(take) {
			taken = take;
			worker = await work();
		},
		async workflow(n) {
			worker ??= await work();
			const end = new Promise(resolve => ends.set(n, resolve));
			last = (await app.spawn('one-step', { n })).taskID;
			await end;
		},
		async settled() {
			if (last) await app.awaitTaskResult(last);
		},
		async close() {
			await worker.close();
			await pool.end();
		},
	};
}
