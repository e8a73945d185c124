// durable_wf with node-postgres: nothing between but SQL.

import pg from 'pg';

export async function open() {
	const pool = new pg.Pool({ max: 32 });
	const receiver = new pg.Client();
	let open = true, receiving;
	await receiver.connect();
	return {
		send: n => pool.query({
			name: 'send', text: `SELECT wf_send('peers', $1::jsonb)`, values: [{ n }] }),
		async receive(take) {
			await receiver.query('DELETE FROM durable_wf.message');
			receiving = (async () => {
				while (open) {
					const { rows } = await receiver.query({
						name: 'receive', text: `SELECT message FROM wf_recv_many(NULL, 100, '1 s', 'peers')` });
					for (const { message } of rows) take(message.n);
				}
			})();
		},
		async workflow(n) {
			const { rows } = await pool.query({
				name: 'start', text: `SELECT wf_start(NULL, 'one_step', $1::jsonb) AS id`, values: [n] });
			const { rows: [{ status }] } = await pool.query({
				name: 'result', text: 'SELECT (wf_result($1)).status', values: [rows[0].id] });
			if (status !== 'SUCCESS') throw new Error(`the workflow is ${status}`);
		},
		async close() {
			open = false;
			await receiving;
			await receiver.end();
			await pool.end();
		},
	};
}
