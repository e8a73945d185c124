// durable_wf with its library for Node (clients/node): workflows that this
// program executes, as it does those of the peers.

import { randomUUID } from 'node:crypto';
import { DurableWf } from 'durable-wf';

export async function open() {
	const wf = new DurableWf({ max: 32 });
	const elsewhere = new DurableWf();		// knows nothing of what wf's worker does
	const id = randomUUID();
	const nothing = () => {};		// until told
	let taken = nothing, published = nothing, waits = nothing;
	const oneStep = wf.workflow('one-step', (ctx, n) => ctx.step('step', async () => n));
	const receiver = wf.workflow('receiver', async ctx => {
		for (;;) {
			const message = await ctx.recv('peers', { timeout: '1 h' });
			if (message === undefined || message.end) return;
			taken(message.n);
		}
	});
	const publisher = wf.workflow('publisher', async (ctx, n) => {
		await ctx.recv('peers', { timeout: '1 h' });
		published();
		await ctx.setEvent('event', n);
	});
	const waiter = wf.workflow('waiter', async ctx => {
		waits();
		await ctx.recv('peers', { timeout: '1 h' });
	});
	wf.work({
		queues: [oneStep, receiver, publisher, waiter], connections: 20, logger: null });
	let receiving;
	return {
		send: n => wf.send(id, { n }, 'peers'),
		async receive(take) {
			taken = take;
			receiving = await receiver.start(null, { id });
		},
		async workflow(n) {
			await (await oneStep.start(n)).result();
		},
		async event(publish) {
			published = publish;
			const handle = await publisher.start(1);
			return {
				publish: () => handle.send(null, 'peers'),
				event: elsewhere.getEvent(handle.id, 'event'),
			};
		},
		async waiting(begun) {
			waits = begun;
			await waiter.start();
		},
		async close() {
			if (receiving) {
				await wf.send(id, { end: true }, 'peers');
				await receiving.result();
			}
			await elsewhere.close();
			await wf.close();
		},
	};
}
