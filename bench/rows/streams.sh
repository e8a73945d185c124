# Streams: appends, from the commit to a reader, many readers, deep reads.  Sourced by bench/run.

place[streams]=35

# The streams that are written, and an equal table, whose numbers come from a
# sequence, and which has no trigger.
create_streams() {
	sql <<-'SQL' >/dev/null
		SELECT wf_start('wf-readers'), wf_start('wf-deep');
		CREATE SEQUENCE bench.item_no_seq AS bigint CACHE 1;
		CREATE TABLE bench.stream_item (LIKE durable_wf.stream_item INCLUDING ALL);
	SQL
	cat >"$work/append.ours" <<-'SQL'
		SELECT wf_write_stream('s', :message, 'wf-' || :client_id);
	SQL
	cat >"$work/append.theirs" <<-'SQL'
		INSERT INTO bench.stream_item (workflow_id, stream, item_no, value)
		VALUES ('wf-' || :client_id, 's', nextval('bench.item_no_seq'), :message);
	SQL
	cat >"$work/append1.ours" <<-'SQL'
		SELECT wf_write_stream('s', :message, 'wf-0');
	SQL
	cat >"$work/append1.theirs" <<-'SQL'
		INSERT INTO bench.stream_item (workflow_id, stream, item_no, value)
		VALUES ('wf-0', 's', nextval('bench.item_no_seq'), :message);
	SQL
	cat >"$work/read.ours" <<-'SQL'
		SELECT count(*) FROM wf_read_stream('wf-deep', 's', :after);
	SQL
}

empty_streams() {
	sql -c 'TRUNCATE durable_wf.stream, durable_wf.stream_item, bench.stream_item' \
		-c 'ALTER SEQUENCE bench.item_no_seq RESTART' -c CHECKPOINT
}

# Appends per second, to the disk: each client to a stream of its own, and
# eight of them to one.
append_rows() {
	local round clients side
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			for clients in 1 8 32; do
				empty_streams
				tps "append.$side" -c "$clients" -T "$seconds"
				record_tps "append$clients" "$side"
			done
			empty_streams
			tps "append1.$side" -c 8 -T "$seconds"
			record_tps append "$side"
		done
		say "streams: round $round of $rounds of appends"
	done
	for clients in 1 8 32; do
		row "append$clients" "wf_write_stream, fsync on, clients: $clients, a stream each" \
			'plain INSERT' /s '>= 0.9'
	done
	row append 'wf_write_stream, fsync on, clients: 8, one stream' \
		'plain INSERT, 8 clients' /s ''
}

# From the commit to the item in the hands of a blocked reader.
latency_rows() {
	local round side p50 p99 samples
	declare -A program=([ours]=stream [theirs]=stream-listen)
	samples=$(usually 2000 300)
	compile latency
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_streams
			run_job env PGOPTIONS='-c synchronous_commit=off' "$work/latency" \
				"${program[$side]}" "$samples"
			read -r p50 p99 <"$work/out"
			record stream50 "$side" "$p50"
			record stream99 "$side" "$p99"
		done
		say "streams: round $round of $rounds of latencies"
	done
	row stream50 'commit → blocked wf_read_stream has it, p50' 'LISTEN, then fetch' µs '<= 0.8'
	row stream99 'commit → blocked wf_read_stream has it, p99' 'LISTEN, then fetch' µs '<= 0.8'
}

# Two hundred readers of one stream, each of which gets each item in order.
readers_rows() {
	local round side p50 p99 rounds=$((rounds < 3 ? rounds : 3))
	declare -A program=([ours]=stream [theirs]=listen)
	compile readers
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_streams
			run_job "$work/readers" "${program[$side]}" 200 100 $((3 * seconds))
			read -r p50 p99 <"$work/out"
			record readers50 "$side" "$p50"
			record readers99 "$side" "$p99"
		done
		say "streams: round $round of $rounds of 200 readers"
	done
	row readers50 '200 readers of one stream, 100 appends/s, p50' 'LISTEN, then fetch' µs ''
	row readers99 '200 readers of one stream, 100 appends/s, p99' 'LISTEN, then fetch' µs ''
}

# Reads of 100 items: the first ones, those behind a million, and the same in
# a snapshot that was held while the stream was written on.
deep_rows() {
	local round key all rounds=$((rounds < 3 ? rounds : 3)) holder
	local -x PGOPTIONS='-c synchronous_commit=off'
	all=$(usually 1000000 20000)
	empty_streams
	sql -v all="$all" <<-'SQL' >/dev/null
		SELECT wf_write_stream_many('s', array_agg(to_jsonb(n)), 'wf-deep')
		  FROM generate_series(1, :all) n GROUP BY n / 100000 ORDER BY n / 100000;
		VACUUM ANALYZE durable_wf.stream_item;
	SQL
	hold_snapshot
	sql -c "SELECT count(wf_write_stream('s', to_jsonb(n), 'wf-deep')) FROM generate_series(1, 10000) n" >/dev/null
	for round in $(seq "$rounds"); do
		tps read.ours -c 1 -T "$seconds" -D after=0
		for key in deep held; do
			record_tps $key theirs
		done
		tps read.ours -c 1 -T "$seconds" -D after=$((all - 1000))
		record_tps deep ours
		tps read.ours -c 1 -T "$seconds" -D after=$((all + 9000))
		record_tps held ours
		say "streams: round $round of $rounds of deep reads"
	done
	release_snapshot
	row deep "wf_read_stream of 100 items, from item $((all - 999)) on" 'from item 1 on' /s '>= 0.9'
	row held "the same, of those written since a snapshot is held" 'from item 1 on' /s '>= 0.9'
}

bench_streams() {
	create_streams
	append_rows
	latency_rows
	readers_rows
	deep_rows
}
