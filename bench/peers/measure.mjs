// Measure one peer: its rates, or how long one message or workflow takes.
//
//   node measure.mjs PEER messages NUMBER    one message a transaction, 8 senders
//   node measure.mjs PEER workflows NUMBER   one step each, 32 at a time
//   node measure.mjs PEER one NUMBER         … one at a time
//   node measure.mjs PEER sixteen NUMBER     … 16 at a time
//   node measure.mjs PEER latency SAMPLES    one message at a time, all is quiet
//   node measure.mjs PEER recv SAMPLES       the same, of workflows of this program
//   node measure.mjs PEER event SAMPLES      one event at a time, all is quiet
//   node measure.mjs PEER waiting NUMBER     so many wait, and nothing happens
//
// PEER.mjs exports version and open(), which gives what the peer has of:
//
//   send(n)          sends one message, which is durable when the promise ends
//   receive(take)    from now on calls take(n) for each message that was taken
//   workflow(n)      starts a workflow of one step; the promise ends with it
//   event(published) starts a workflow that publishes an event; gives publish(),
//                    upon which it does and calls published() just before, and
//                    event, a promise that ends when the event has come
//   waiting(begun)   starts a workflow that calls begun() and waits for a message
//   settled()        the promise ends when all that was done is durable
//   close()
//
// Prints a number per second, and milliseconds of this program's CPU for each
// of them; or the median and the 99th percentile in microseconds; or of those
// that wait, how many transactions there are in a second, and this program's CPU
// for that.  PGHOST and so on say where the server is; PGDATABASE is the peer's own.

import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

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

// The median and the 99th percentile.
function percentiles(times) {
	times.sort((a, b) => a - b);
	console.log(times[times.length >> 1].toFixed(1), times[Math.floor(times.length * 0.99)].toFixed(1));
}

// From just before an event is set until its reader, who waits, has it.
async function events() {
	const times = [];
	for (let n = -8; n < total; n++) {
		let begin;
		const { publish, event } = await peer.event(() => { begin = now(); });
		await sleep(20 + Math.random() * 20);
		const came = event.then(value => {
			if (value !== 1) throw new Error(`the event is ${value}`);
			return now();
		});
		await publish();
		const then = await came;
		if (n >= 0) times.push(then - begin);
	}
	percentiles(times);
}

// What happens for 20 s while all wait.  A session reports its last transactions
// within 10 s.
async function idle() {
	const seconds = 20;
	let begun = 0;
	await new Promise(resolve => each(16, () => peer.waiting(() => {
		if (++begun === total) resolve();
	})));
	await sleep(12000);
	const outside = new pg.Client({ database: 'postgres' });
	await outside.connect();
	const transactions = async () => Number((await outside.query(`SELECT xact_commit + xact_rollback
		AS n FROM pg_stat_database WHERE datname = $1`, [process.env.PGDATABASE])).rows[0].n);
	const before = await transactions();
	const cpu = process.cpuUsage();
	await sleep(1000 * seconds);
	const { user, system } = process.cpuUsage(cpu);
	console.log((await transactions() - before) / seconds, ((user + system) / 1000 / seconds).toFixed(2));
	process.exit(0);				// those that wait stay
}

const atOnce = { workflows: 32, one: 1, sixteen: 16 }[work];
if (atOnce) {
	await peer.workflow(-1);			// connects, and plans
	await rate(() => each(atOnce, n => peer.workflow(n)));
} else if (work === 'event') {
	await events();
} else if (work === 'waiting') {
	await idle();
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
		percentiles(times);
	}
}
await peer.close();
process.exit(0);
