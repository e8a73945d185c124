# Two sessions wait for each other, over and over.  Sourced by bench/run.

place[pingpong]=230

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
	fact "$pairs pairs, $((pairs * each)) ping-pongs, none lost: rounds" \
		"$(awk "BEGIN { print $tps / 2 }")" /s ''
}

bench_pingpong() {
	local pairs given=("${arguments_pingpong[@]}")
	empty_tables
	for pairs in ${given[0]:-4 8}; do
		pingpong "$pairs" "${given[1]:-$(usually 50000 5000)}"
	done
}
