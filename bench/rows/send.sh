# Commits per second, by number of clients; and what NOTIFY costs.  Sourced by bench/run.

place[send]=10

# Commits per second, to the disk, by number of clients; and what NOTIFY in
# the same transaction makes of them.
bench_send() {
	local round clients side
	declare -A curve=([ours]=wf_send [theirs]=INSERT)
	plot send 'Durable commits, by number of clients' clients 'transactions/s' \
		'set logscale x 2' 'set yrange [0:]'
	for round in $(seq "$rounds"); do
		for clients in $(usually '1 2 4 8 16 32' '1 8 32'); do
			[[ $clients = @(1|8|32) ]] || [ "$round" -le 3 ] || continue
			for side in $(sides "$round"); do
				empty_tables
				tps "send.$side" -c "$clients" -T "$seconds"
				record_tps "send$clients" "$side"
				point send "${curve[$side]}" "$clients" "$tps"
			done
			[[ $clients = @(1|8|32) ]] || continue
			empty_tables
			tps notify.theirs -c "$clients" -T "$seconds"
			point send 'INSERT + pg_notify' "$clients" "$tps"
		done
		record notify ours "$(tail -n 1 "$work/send32.ours.samples")"
		record notify theirs "$tps"
		say "send: round $round of $rounds"
	done
	for clients in 1 8 32; do
		row "send$clients" "wf_send, fsync on, clients: $clients" \
			'plain INSERT' /s '>= 0.97'
	done
	row notify 'wf_send, fsync on, clients: 32' 'INSERT + pg_notify' /s ''
}
