# What listeners cost, and when they hear of it.  Sourced by bench/run.

place[listen]=45

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

# A database in which the workflows that the followers follow have namesakes.
create_elsewhere() {
	sql -d postgres -c 'CREATE DATABASE elsewhere'
	sql -d elsewhere <<-SQL >/dev/null
		CREATE EXTENSION durable_wf;
		CREATE PROCEDURE only_waits(input jsonb) LANGUAGE plpgsql AS \$\$
		DECLARE
		    got jsonb;
		BEGIN
		    CALL wf_recv('question', NULL, NULL, got);
		END \$\$;
	SQL
}

# Have a hundred suspended there (ours), or none (theirs); none has ever been
# since the server has started.
#   suspend_elsewhere SIDE
suspend_elsewhere() {
	local want=0
	sql -d elsewhere -c 'SELECT wf_cancel(workflow_id) FROM wf_workflows' \
		-c 'DELETE FROM durable_wf.workflow' >/dev/null
	if [ "$1" = ours ]; then
		want=100
		sql -d elsewhere -c "SELECT count(wf_start('wf-' || n, 'only_waits'))
			FROM generate_series(0, 99) n" >/dev/null
	fi
	until [ "$(sql -d elsewhere -c 'SELECT count(*) FROM durable_wf.wait')" = $want ]; do
		sleep 0.1
	done
	restart_server
}

# What the worker takes for each message to workflows with followers, when
# others of these names are suspended in another database.
listen_beside_suspended() {
	local round side before followers messages
	local rounds=$((rounds < 3 ? rounds : 3))
	messages=$(usually 4000 1000)
	create_elsewhere
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			suspend_elsewhere "$side"
			empty_tables
			start_followers follow
			before=$(our_cpu bench)
			tps send.ours -c 8 -t "$messages"
			record beside "$side" \
				"$(awk "BEGIN { print ($(our_cpu bench) - $before) / 8 / $messages }")"
			stop_followers
		done
		say "listen: round $round of $rounds beside suspended ones"
	done
	sql -d postgres -c 'DROP DATABASE elsewhere WITH (FORCE)'
	row beside "the worker's CPU a message, 200 sessions listen, 100 suspended elsewhere" \
		'none suspended' µs '<= 1.1'
}

# What it costs the senders that sessions listen, and when those hear of it.
bench_listen() {
	local round side p50 p99 followers listen_samples
	listen_samples=$(usually 100 15)
	declare -A sessions=([ours]=follow [theirs]=sit)
	declare -A load=([ours]=send.ours [theirs]=notify.theirs)
	compile listen
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_tables
			start_followers "${sessions[$side]}"
			tps send.ours -c 8 -T "$seconds"
			record_tps listen "$side"
			stop_followers
		done
		say "listen: round $round of $rounds"
	done

	local rounds=$((rounds < 3 ? rounds : 3))
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

	row listen 'wf_send, clients: 8, 200 sessions listen' 'none of them listens' /s '>= 0.95'
	row delay50 'commit → wf_listen hears of it, quiet, p50' 'pg_notify, LISTEN' µs ''
	row delay99 'commit → wf_listen hears of it, quiet, p99' 'pg_notify, LISTEN' µs ''
	row load50 'the same, 8 clients send, p50' 'pg_notify, LISTEN' µs ''
	row load99 'the same, 8 clients send, p99' 'pg_notify, LISTEN' µs ''
	listen_beside_suspended
}
