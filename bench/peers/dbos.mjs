// DBOS: a workflow that receives, and workflows of one step.

import { randomUUID } from 'node:crypto';
import { DBOS } from '@dbos-inc/dbos-sdk';
import pg from 'pg';

let taken;
const receiver = DBOS.registerWorkflow(async () => {
	for (;;) {
		const message = await DBOS.recv('peers', 3600);
		if (message === null || message.end) return;
		taken(message.n);
	}
}, { name: 'receiver' });
const oneStep = DBOS.registerWorkflow(
	async n => DBOS.runStep(async () => n, { name: 'step' }), { name: 'oneStep' });

export async function open() {
	const id = randomUUID();
	const { PGHOST, PGPORT, PGUSER, PGDATABASE } = process.env;
	let receiving;
	DBOS.setConfig({
		name: 'peers', logLevel: 'error', systemDatabasePool: new pg.Pool({ max: 32 }),
		systemDatabaseUrl: `postgresql://${PGUSER}@localhost:${PGPORT}/${PGDATABASE}?host=${encodeURIComponent(PGHOST)}`,
	});
	await DBOS.launch();
	return {
		send: n => DBOS.send(id, { n }, 'peers'),
		async receive(take) {
			taken = take;
			receiving = await DBOS.startWorkflow(receiver, { workflowID: id })();
		},
		async workflow(n) {
			const handle = await DBOS.startWorkflow(oneStep)(n);
			await handle.getResult();
		},
		async close() {
			if (receiving) {
				await DBOS.send(id, { end: true }, 'peers');
				await receiving.getResult();
			}
			await DBOS.shutdown();
		},
	};
}
