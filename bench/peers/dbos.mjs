// DBOS: a workflow that receives, workflows of one step, those that publish an
// event, and those that wait.

import { randomUUID } from 'node:crypto';
import { DBOS } from '@dbos-inc/dbos-sdk';
import pg from 'pg';

const nothing = () => {};			// until told; also of what is recovered
let taken = nothing, published = nothing, waits = nothing;
const receiver = DBOS.registerWorkflow(async () => {
	for (;;) {
		const message = await DBOS.recv('peers', 3600);
		if (message === null || message.end) return;
		taken(message.n);
	}
}, { name: 'receiver' });
const oneStep = DBOS.registerWorkflow(
	async n => DBOS.runStep(async () => n, { name: 'step' }), { name: 'oneStep' });
const publisher = DBOS.registerWorkflow(async n => {
	await DBOS.recv('peers', 3600);
	published();
	await DBOS.setEvent('event', n);
}, { name: 'publisher' });
const waiter = DBOS.registerWorkflow(async () => {
	waits();
	await DBOS.recv('peers', 3600);
}, { name: 'waiter' });

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
		async event(publish) {
			published = publish;
			const handle = await DBOS.startWorkflow(publisher)(1);
			return {
				publish: () => DBOS.send(handle.workflowID, null, 'peers'),
				event: DBOS.getEvent(handle.workflowID, 'event'),
			};
		},
		async waiting(begun) {
			waits = begun;
			await DBOS.startWorkflow(waiter)();
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
