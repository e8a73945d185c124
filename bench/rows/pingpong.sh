# Two sessions wait for each other, over and over.  Sourced by bench/run.

# Two sessions a pair, each waits for the other's message: every wake-up
# counts.  One that is lost would leave its pair asleep until the statement
# timeout, an error.  (A timeout of wf_recv would not do: it looks once more.)
pingpong() {
	local pairs=$1 each=$((($2 + $1 - 1) / $1)) total received left
	total=$((2 * pairs * each))
	sql -c "SELECT wf_start(side || n) FROM generate_series(0, $pairs - 1) n,
		(VALUES ('ping-'), ('pong-')) AS s (side)" >/dev/null
	received=$(counter receives)
	PGOPTIONS='-c synchronous_commit=off -c statement_timeout=60s' \
		tps pingpong -c $((2 * pairs)) -t "$each"
	received=$(($(counter receives) - received))
	left=$(sql -c 'SELECT count(*) FROM durable_wf.message')

	# by three counts: pgbench's, the server's and the empty mailboxes
	if ! grep -q "processed: $total/$total\$" "$work/out" ||
		[ "$received" != "$total" ] || [ "$left" != 0 ]; then
		die "$received of $total messages were received, $left are left"
	fi
	cells "$pairs pairs, $((pairs * each)) ping-pongs" – \
		"$(format "$(awk "BEGIN { print $tps / 2 }")") rounds/s" – – \
		'0 wake-ups lost' yes
}

bench_pingpong() {
	local pairs
	empty_tables
	for pairs in $pingpong_pairs; do
		pingpong "$pairs" "$pingpong_rounds"
	done
}
