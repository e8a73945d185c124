// graphile-worker: a job for each message.  As its documentation advises for
// throughput, jobs are fetched and completed in batches.

import { run } from 'graphile-worker';
import pg from 'pg';

export async function open() {
	const pgPool = new pg.Pool({ max: 32 });
	pgPool.on('error', error => { throw error; });
	pgPool.on('connect', client => client.on('error', error => { throw error; }));
	let taken, runner;
	return {
		send: n => runner.addJob('message', { n }),
		async receive(take) {
			taken = take;
			runner = await run({
				pgPool,
				noHandleSignals: true,
				taskList: { message: async ({ n }) => { taken(n); } },
				preset: { worker: {
					concurrentJobs: 24,
					localQueue: { size: 500 },
					completeJobBatchDelay: 0,
					failJobBatchDelay: 0,
				} },
				logger: new (await import('graphile-worker')).Logger(() => () => {}),
			});
		},
		async close() {
			await runner.stop();
			await pgPool.end();
		},
	};
}
