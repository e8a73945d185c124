// Measure one peer: its rates, or how long one message or workflow takes.
//
//   node measure.mjs PEER messages NUMBER    one message a transaction, 8 senders
//   node measure.mjs PEER workflows NUMBER   one step each, 32 at a time
//   node measure.mjs PEER latency SAMPLES    one message at a time, all is quiet
//
// PEER.mjs exports version and open(), which gives what the peer has of:
//
//   send(n)          sends one message, which is durable when the promise ends
//   receive(take)    from now on calls take(n) for each message that was taken
//   workflow(n)      starts a workflow of one step; the promise ends with it
//   settled()        the promise ends when all that was done is durable
//   close()
//
// Prints a number per second, and milliseconds of this program's CPU for each
// of them; or the median and the 99th percentile in microseconds.  PGHOST and
// so on say where the server is; PGDATABASE is the peer's own.

import { setTimeout as sleep } from 'node:timers/promises';

const [name, work, number] = process.argv.slice(2);
const total = Number(number);
const { open } = await import(`./${name}.mjs`);
const peer = await open();

// Microseconds of a monotonic clock.
const now = () => Number(process.hrtime.bigint()) / 1000;

// Do something for each number below total, several at a time.
async function each(atOnce, action) {
	let next = 0;
	const loop = async () => { while (next < total) await action(next++); };
	await Promise.all(Array.from({ length: atOnce }, loop));
}

// The rate and the CPU of something that handles total of them.
async function rate(action) {
	const cpu = process.cpuUsage();
	const begin = now();
	await action();
	await peer.settled?.();
	const took = now() - begin;
	const { user, system } = process.cpuUsage(cpu);
	console.log((total * 1e6 / took).toFixed(1), ((user + system) / 1000 / total).toFixed(4));
}

if (work === 'workflows') {
	await peer.workflow(-1);			// connects, and plans
	await rate(() => each(32, n => peer.workflow(n)));
} else {
	const taken = new Map();			// number: what waits for it
	const seen = new Set();
	await peer.receive(n => {
		if (seen.has(n)) throw new Error(`message ${n} has come twice`);
		seen.add(n);
		taken.get(n)?.(now());
	});
	const arrival = n => new Promise(resolve => taken.set(n, resolve));
	for (let n = -1; n > -9; n--) {		// connects, and plans
		const came = arrival(n);
		await peer.send(n);
		await came;
	}
	if (work === 'messages') {
		const all = Promise.all(Array.from({ length: total }, (_, n) => arrival(n)));
		await rate(async () => {
			await each(8, n => peer.send(n));
			await all;
		});
	} else {
		const times = [];
		for (let n = 0; n < total; n++) {
			await sleep(20 + Math.random() * 20);
			const came = arrival(n);
			const begin = now();
			await Promise.all([peer.send(n), came.then(then => times.push(then - begin))]);
		}
		times.sort((a, b) => a - b);
		console.log(times[total >> 1].toFixed(1), times[Math.floor(total * 0.99)].toFixed(1));
	}
}
await peer.close();
process.exit(0);
