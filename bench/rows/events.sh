# Events: set, looked up, waited for.  Sourced by bench/run.

place[events]=35

# 100 keys of each of 100 workflows, the same on both sides.
fill_events() {
	sql <<-'SQL' >/dev/null
		TRUNCATE durable_wf.event, bench.event;
		INSERT INTO durable_wf.event (workflow_id, key, value)
		SELECT 'wf-' || n % 100, 'key ' || n / 100, to_jsonb(n)
		FROM generate_series(0, 9999) n;
		INSERT INTO bench.event SELECT * FROM durable_wf.event;
		VACUUM ANALYZE durable_wf.event;
		VACUUM ANALYZE bench.event;
		CHECKPOINT;
	SQL
}

# An upsert and a SELECT by key, and the time from a commit to a blocked
# wf_get_event.
bench_events() {
	local round side work_of p50 p99 samples
	local -x PGOPTIONS='-c synchronous_commit=off'
	declare -A program=([ours]=event [theirs]=event-listen)
	samples=$(usually 1000 200)
	compile latency
	for round in $(seq "$rounds"); do
		fill_events
		for work_of in set get; do
			for side in $(sides "$round"); do
				tps "${work_of}_event.$side" -c 1 -T "$seconds"
				record_tps "$work_of" "$side"
			done
		done
		for side in $(sides "$round"); do
			fill_events
			run_job "$work/latency" "${program[$side]}" "$samples"
			read -r p50 p99 <"$work/out"
			record event50 "$side" "$p50"
			record event99 "$side" "$p99"
			[ "$side" != ours ] || record heard50 ours "$p50"
		done
		fill_events
		run_job "$work/latency" event-heard "$samples"
		read -r p50 p99 <"$work/out"
		record heard50 theirs "$p50"
		say "events: round $round of $rounds"
	done
	row set 'wf_set_event, one client, async commit' 'upsert' /s '>= 1'
	row get 'wf_get_event that finds' 'SELECT by key' /s '>= 0.9'
	row event50 'commit → blocked wf_get_event has it, p50' 'LISTEN, then fetch' µs '<= 0.7'
	row event99 'commit → blocked wf_get_event has it, p99' 'LISTEN, then fetch' µs '<= 0.8'
	row heard50 'for information: the same, p50' 'the notification alone, nothing fetched' µs ''
}
