// What the gateway is compared with: Node's http and a pool of node-postgres,
// which writes one row for each POST and answers 202 when that is committed.
//   node webhook.mjs PORT [PATH-OF-node_modules]
// The connection is in the environment, as for libpq.

import http from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(process.argv[3] + '/');
const pg = require('pg');
const pool = new pg.Pool({ max: 10 });

const insert = {
	name: 'insert',
	text: `INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
	       VALUES (nextval('bench.message_id_seq'), 'wf-0', 'h', $1, $2)`,
};

// The same fields that a workflow gets of a request.
function payload(request, body) {
	const at = request.url.indexOf('?');
	const type = request.headers['content-type'] || '';
	let value = body.toString();

	if (/^application\/json\b/.test(type))
		try {
			value = JSON.parse(value);
		} catch {
			// it stays text
		}
	return JSON.stringify({
		method: request.method,
		url: `http://${request.headers.host}${request.url}`,
		path: at < 0 ? request.url : request.url.slice(0, at),
		query: at < 0 ? null : request.url.slice(at + 1),
		headers: request.headers,
		body: value,
		body_base64: body.toString('base64'),
		received_at: new Date().toISOString(),
	});
}

const server = http.createServer((request, response) => {
	const chunks = [];

	request.on('data', chunk => chunks.push(chunk));
	request.on('end', async () => {
		const token = request.url.slice(request.url.lastIndexOf('/') + 1);

		try {
			await pool.query({
				...insert,
				values: [token, payload(request, Buffer.concat(chunks))],
			});
			response.writeHead(202, { 'Content-Length': 0 }).end();
		} catch (error) {
			console.error(error.message);
			response.writeHead(503, { 'Content-Length': 0 }).end();
		}
	});
});
server.listen(Number(process.argv[2]), '127.0.0.1', 4096,
	() => console.log('ready'));
