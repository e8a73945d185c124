// A server that takes every request that Node's parser takes, answers 202, and
// writes what it has taken to a file, a line of JSON each.
//   node recorder.mjs PORT FILE

import fs from 'node:fs';
import http from 'node:http';

const file = fs.openSync(process.argv[3], 'a');

http.createServer((request, response) => {
	const chunks = [];

	request.on('data', chunk => chunks.push(chunk));
	request.on('end', () => {
		fs.writeSync(file, JSON.stringify({
			case: request.headers['x-case'] ?? null,
			method: request.method,
			target: request.url,
			body: Buffer.concat(chunks).toString('base64'),
		}) + '\n');
		response.writeHead(202, { 'Content-Length': 0 }).end();
	});
}).listen(Number(process.argv[2]), '127.0.0.1', 4096,
	() => console.log('ready'));
