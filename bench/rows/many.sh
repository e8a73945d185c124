# One statement that sends 100,000 messages.  Sourced by bench/run.

# Milliseconds of one statement that sends 100,000 messages.
bench_many() {
	local round side
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_tables
			tps "many.$side" -c 1 -t 1
			record many "$side" "$(awk "BEGIN { print 1000 / $tps }")"
		done
		say "many: round $round of $rounds"
	done
	row many 'wf_send_many, 100k messages' 'INSERT … SELECT' ms '<= 1.5'
}
