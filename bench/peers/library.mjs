// durable_wf with its library for Node (clients/node): workflows of one step,
// which this program executes, as it does those of the peers.

import { DurableWf } from 'durable-wf';

export async function open() {
	const wf = new DurableWf({ connections: 32 });
	const oneStep = wf.workflow('one-step', (ctx, n) => ctx.step('step', async () => n));
	const worker = wf.work({ queues: [oneStep], connections: 16, logger: null });
	return {
		async workflow(n) {
			await (await oneStep.start(n)).result();
		},
		async close() {
			await worker.stop();
			await wf.close();
		},
	};
}
