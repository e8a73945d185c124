# From the commit to the message in the hands of a blocked receiver.  Sourced by bench/run.

place[latency]=30

# From the commit to the message in the hands of a blocked receiver.
bench_latency() {
	local round side program p50 p99 percent us waits latency_samples
	latency_samples=$(usually 2000 300)
	local latency_samples
	latency_samples=$(usually 2000 300)
	declare -A program=([ours]=recv [theirs]=listen)
	declare -A curve=([ours]='blocked in wf_recv' [theirs]='LISTEN, then fetch')
	compile latency
	plot latency 'From the commit to the message in hand' \
		'percent of the samples that took no longer' 'µs' 'set logscale y' \
		'set xrange [0:100]'
	waits=$(counter waits)
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_tables
			run_job env PGOPTIONS='-c synchronous_commit=off' "$work/latency" \
				"${program[$side]}" "$latency_samples"
			read -r p50 p99 <"$work/out"
			while read -r percent us; do
				point latency "${curve[$side]}" "$percent" "$us"
			done < <(tail -n +2 "$work/out")
			record p50 "$side" "$p50"
			record p99 "$side" "$p99"
		done
		say "latency: round $round of $rounds"
	done
	waits=$((100 * ($(counter waits) - waits) / (rounds * latency_samples)))
	say "latency: the receiver was asleep in $waits % of the samples"
	row p50 'commit → blocked wf_recv has it, p50' 'LISTEN, then fetch' µs '<= 0.7'
	row p99 'commit → blocked wf_recv has it, p99' 'LISTEN, then fetch' µs '<= 0.8'
}
