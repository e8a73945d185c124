# What listeners cost, and when they hear of it.  Sourced by bench/run.

# Have 200 sessions listen, two to each of the workflows that we send to; or
# just sit there.
#   start_followers {follow|sit}
start_followers() {
	local answer
	coproc FOLLOWERS { exec "$work/listen" "$1" 200; }
	followers=$FOLLOWERS_PID
	read -r answer <&"${FOLLOWERS[0]}"
	[ "$answer" = ready ] || die 'could not listen'
}

stop_followers() {
	local in=${FOLLOWERS[1]}
	exec {in}>&-
	wait "$followers"
}

# Milliseconds of CPU that the worker of our database has taken so far.
worker_cpu() {
	local pid
	pid=$(sql -c "SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf worker' AND datname = current_database()")
	awk '{ print $1 / 1e6 }' "/proc/$pid/schedstat"
}

# What the worker takes while eight clients send and 200 sessions follow: before,
# and then while workflows are suspended in this database and, with the ids of
# those that are followed, in another.
worker_beside() {
	local round side before
	local rounds=$((rounds < 5 ? rounds : 5))
	for side in theirs ours; do
		if [ $side = ours ]; then
			create_suspended elsewhere 100
			sql <<-'SQL' >/dev/null
				CREATE PROCEDURE bench.waits(input jsonb) LANGUAGE plpgsql AS $$
				DECLARE
				    got jsonb;
				BEGIN
				    CALL wf_recv('never', '7 days', NULL, got);
				END $$;
				SELECT wf_start('waits-' || n, 'bench.waits') FROM generate_series(1, 100) n;
			SQL
			until [ "$(sql -c "SELECT count(*) FROM durable_wf.wait")" = 100 ]; do
				sleep 0.1
			done
			sleep 11			# the executors have left
		fi
		for round in $(seq "$rounds"); do
			empty_tables
			start_followers follow
			before=$(worker_cpu)
			tps send.ours -c 8 -T "$seconds"
			record beside $side "$(awk "BEGIN { print ($(worker_cpu) - $before) / $seconds }")"
			stop_followers
		done
	done
	say 'listen: the worker beside suspended workflows'
	row beside 'worker, 200 sessions listen, 200 workflows are suspended' \
		'none is suspended' 'ms of CPU/s' '<= 1.1'
}

# What it costs the senders that somebody listens, and when he hears of it.
bench_listen() {
	local round side p50 p99 followers
	declare -A sessions=([ours]=follow [theirs]=sit)
	declare -A load=([ours]=send.ours [theirs]=notify.theirs)
	compile listen
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_tables
			start_followers "${sessions[$side]}"
			tps send.ours -c 8 -T "$seconds"
			record listen "$side" "$tps"
			stop_followers
		done
		say "listen: round $round of $rounds"
	done

	local rounds=$((rounds < 5 ? rounds : 5))
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_tables
			run_job "$work/listen" "$side" "$listen_samples" 60
			read -r p50 p99 <"$work/out"
			record delay50 "$side" "$p50"
			record delay99 "$side" "$p99"
		done
		for side in $(sides "$round"); do
			empty_tables
			start_followers follow
			pgbench -n -M prepared -c 8 -j 2 -T 600 -f "${load[$side]}" \
				-D message='{"order": 42, "state": "paid"}' >"$work/load" 2>&1 &
			job=$!
			"$work/listen" "$side" "$listen_samples" 20 >"$work/out"
			kill "$job" && wait "$job" 2>/dev/null || true
			job=''
			stop_followers
			read -r p50 p99 <"$work/out"
			record load50 "$side" "$p50"
			record load99 "$side" "$p99"
		done
		say "listen: round $round of $rounds of the delays"
	done

	row listen 'wf_send, clients: 8, 200 sessions listen' 'none of them listens' '/s' '>= 0.95'
	row delay50 'commit → wf_listen hears of it, quiet, p50' 'pg_notify, LISTEN' µs ''
	row delay99 'commit → wf_listen hears of it, quiet, p99' 'pg_notify, LISTEN' µs ''
	row load50 'the same, 8 clients send, p50' 'pg_notify, LISTEN' µs ''
	row load99 'the same, 8 clients send, p99' 'pg_notify, LISTEN' µs ''
	worker_beside
}
