# One statement that sends 1,000 messages, or 100,000.  Sourced by bench/run.

place[many]=15

# Calls of wf_send in one statement, a thousand of them, as a trigger makes
# them; then milliseconds of one statement that sends 100,000.
bench_many() {
	local round side
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_tables
			PGOPTIONS='-c synchronous_commit=off' \
				tps "thousand.$side" -c 1 -t "$(usually 50 5)"
			record_tps thousand "$side"
			empty_tables
			tps "many.$side" -c 1 -t 1
			record many "$side" "$(awk "BEGIN { print 1000 / $tps }")"
			record many.cpu "$side" "$cpu"
		done
		say "many: round $round of $rounds"
	done
	row thousand 'wf_send, 1,000 calls in a statement' 'INSERT … SELECT' /s '>= 0.8'
	row many 'wf_send_many, 100k messages' 'INSERT … SELECT' ms '<= 1.5'
}
