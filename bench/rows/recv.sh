# One receiver empties a mailbox.  Sourced by bench/run.

place[recv]=20

# One receiver empties a mailbox, message by message.
bench_recv() {
	local round side
	for round in $(seq "$rounds"); do
		fill_mailboxes 10000
		for side in $(sides "$round"); do
			PGOPTIONS='-c synchronous_commit=off' \
				tps "recv.$side" -c 1 -t 10000
			record_tps recv "$side"
		done
		say "recv: round $round of $rounds"
	done
	row recv 'wf_recv, one receiver, backlog 10k' \
		'plain DELETE … SKIP LOCKED' /s '>= 1.8'
}
