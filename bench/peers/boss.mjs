// pg-boss: a job for each message; its worker is woken by NOTIFY.

import { PgBoss } from 'pg-boss';

export async function open() {
	const { PGHOST, PGPORT, PGUSER, PGDATABASE } = process.env;
	const boss = new PgBoss({
		host: PGHOST, port: Number(PGPORT), user: PGUSER, database: PGDATABASE,
		max: 16, useListenNotify: true, supervise: false, schedule: false,
	});
	boss.on('error', error => { throw error; });
	await boss.start();
	await boss.createQueue('peers', { notify: true });
	await boss.deleteAllJobs('peers');
	return {
		send: n => boss.send('peers', { n }),
		receive: take => boss.work('peers',
			{ batchSize: 100, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
			async jobs => { for (const { data } of jobs) take(data.n); }),
		close: () => boss.stop({ graceful: true, timeout: 5000 }),
	};
}
