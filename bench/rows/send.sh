# Commits per second, by number of clients; and what NOTIFY costs.  Sourced by bench/run.

# Commits per second, to the disk, by number of clients; and what NOTIFY in
# the same transaction makes of them.
bench_send() {
	local round clients side
	for round in $(seq "$rounds"); do
		for clients in 1 8 32; do
			for side in $(sides "$round"); do
				empty_tables
				tps "send.$side" -c "$clients" -T "$seconds"
				record "send$clients" "$side" "$tps"
			done
		done
		record notify ours "$(tail -n 1 "$work/send32.ours.samples")"
		empty_tables
		tps notify.theirs -c 32 -T "$seconds"
		record notify theirs "$tps"
		say "send: round $round of $rounds"
	done
	for clients in 1 8 32; do
		row "send$clients" "wf_send, fsync on, clients: $clients" \
			'plain INSERT' '/s' '>= 0.95'
	done
	row notify 'wf_send, fsync on, clients: 32' 'INSERT + pg_notify' '/s' '>= 3.5'
}
