// A page in Chromium reads a stream with EventSource, from another origin, while
// the gateway ends and the server is restarted: it sees each item once, in
// order, and the end.  ./run test-browser gives it a server of its own.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';

const patience = 120_000;

// Run SQL, and return what it prints.
function sql(text) {
	return execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', text], { encoding: 'utf8' }).trim();
}

// Wait until a condition holds.
async function until(condition, what) {
	const end = Date.now() + patience;
	while (!await condition()) {
		if (Date.now() > end) throw new Error(`it does not happen: ${what}`);
		await new Promise(resolve => setTimeout(resolve, 50));
	}
}

// What the page reports: items by number, the end, how often it connected.
const seen = { items: [], ids: [], opened: 0, ended: 0 };
const page = url => `<!DOCTYPE html><title>stream</title><script>
	let told = Promise.resolve();          // one after the other
	const tell = what => told = told.then(() => fetch('/tell', { method: 'POST', body: JSON.stringify(what) }));
	const source = new EventSource(${JSON.stringify(url)});
	source.onopen = () => tell({ opened: 1 });
	source.onmessage = event => tell({ item: JSON.parse(event.data), id: event.lastEventId });
	source.addEventListener('end', () => { source.close(); tell({ ended: 1 }); });
</script>`;

test('EventSource over a reconnect and a restart', { timeout: 4 * patience }, async t => {
	// the page's server, which is another origin than the gateway
	let url = '';
	const server = http.createServer((request, response) => {
		let body = '';
		request.on('data', data => body += data);
		request.on('end', () => {
			if (request.url === '/tell') {
				const what = JSON.parse(body);
				if ('item' in what) {
					seen.items.push(what.item);
					seen.ids.push(what.id);
				}
				seen.opened += what.opened ?? 0;
				seen.ended += what.ended ?? 0;
			}
			response.writeHead(200, { 'Content-Type': 'text/html' }).end(request.url === '/' ? page(url) : '');
		});
	});
	await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
	t.after(() => { server.closeAllConnections(); server.close(); });
	const origin = `http://127.0.0.1:${server.address().port}`;

	// the gateway, and a stream
	const port = 20000 + Math.floor(Math.random() * 5000);
	sql('CREATE EXTENSION durable_wf');
	sql(`ALTER SYSTEM SET durable_wf.http_port = ${port}`);
	sql(`ALTER SYSTEM SET durable_wf.http_allowed_origins = '${origin}'`);
	sql('SELECT pg_reload_conf()');
	const healthy = () => fetch(`http://127.0.0.1:${port}/healthz`).then(r => r.ok, () => false);
	await until(healthy, 'the gateway listens');
	sql(`SELECT wf_start('w')`);
	url = sql(`SELECT url FROM wf_create_stream_url('s', 'w')`);
	let written = 0;
	const write = count => {
		sql(`SELECT wf_write_stream('s', jsonb_build_object('n', n), 'w') FROM generate_series(${written + 1}, ${written + count}) n`);
		written += count;
	};
	const arrived = () => until(() => seen.items.length >= written, `item ${written} comes`);

	// the browser
	const browser = spawn('chromium', ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
		`--user-data-dir=${path.join(process.env.PGDATA, '..', 'browser')}`, origin + '/'],
	{ stdio: ['ignore', 'ignore', fs.openSync(path.join(process.env.PGDATA, '..', 'browser.log'), 'w')] });
	t.after(() => browser.kill('SIGKILL'));
	write(5);
	await arrived();
	write(5);
	await arrived();

	// the gateway ends; items are written meanwhile
	const gateway = sql(`SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf gateway'`);
	sql(`SELECT pg_terminate_backend(${gateway}, 10000)`);
	write(50);
	await arrived();
	assert.ok(seen.opened >= 2, 'it has connected again');

	// the server is restarted, before and after which items are written
	write(7);
	execFileSync('pg_ctl', ['-D', process.env.PGDATA, '-w', '-m', 'fast', '-l', process.env.DWF_LOG, 'restart'], { stdio: 'ignore' });
	write(300);
	await arrived();
	assert.ok(seen.opened >= 3, '... and again');

	// the end
	write(1);
	sql(`SELECT wf_complete(workflow_id => 'w')`);
	await until(() => seen.ended > 0, 'the end comes');
	assert.deepEqual(seen.items.map(item => item.n), Array.from({ length: written }, (_, i) => i + 1), 'no item is missed or doubled');
	assert.deepEqual(seen.ids, Array.from({ length: written }, (_, i) => String(i + 1)), 'the ids are the numbers');
	await new Promise(resolve => setTimeout(resolve, 300));
	assert.equal(seen.ended, 1, 'one end');
});
