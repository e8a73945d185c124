# One place that all use at once.  Sourced by bench/run.

place[hot]=65

# Milliseconds since some moment.
now_ms() { date +%s%3N; }

# A body that receives as fast as it can, from its own mailbox; of a workflow of
# its own each time, since it would first replay what the last one has received.
#   start_hot_body ROUND
start_hot_body() {
	sql <<-SQL >/dev/null
		CREATE OR REPLACE PROCEDURE hot(input jsonb) LANGUAGE plpgsql AS \$\$
		DECLARE
		    got jsonb;
		BEGIN
		    LOOP
		        CALL wf_recv('hot', '1 day', NULL, got);
		    END LOOP;
		END \$\$;
		SELECT wf_start('wf-hot-$1', 'hot');
	SQL
	until [ "$(sql -c "SELECT count(*) FROM wf_waiters WHERE workflow_id = 'wf-hot-$1'")" = 1 ]; do
		sleep 0.01
	done
}

# 32 clients send to one workflow, whose body receives; to a hundred, of which
# none receives.
hot_send() {
	local round side got from
	cat >hot.ours <<-'SQL'
		SELECT wf_send('wf-hot-' || :round, :message, 'hot');
	SQL
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			empty_tables
			if [ "$side" = ours ]; then
				start_hot_body "$round"
				got=$(counter receives)
				tps hot.ours -D round="$round" -c 32 -T "$seconds"
				record hot_recv ours "$(((($(counter receives) - got)) / seconds))"
				from=$(now_ms)
				until [ "$(sql -c 'SELECT count(*) FROM durable_wf.message')" = 0 ]; do
					sleep 0.05
				done
				record hot_drain ours $(($(now_ms) - from))
				sql -c "SELECT wf_cancel('wf-hot-$round')" >/dev/null
			else
				tps send.ours -c 32 -T "$seconds"
			fi
			record hot_send "$side" "$tps"
		done
		say "hot: round $round of $rounds of sends"
	done
	row hot_send 'wf_send, clients: 32, to one workflow whose body receives' 'to 100 workflows' /s ''
	value hot_recv '… what the body receives meanwhile' /s ''
	value hot_drain '… until it has received the rest' ms ''
}

# 32 clients set one key; the same row by an upsert.
hot_key() {
	local round side
	cat >key.ours <<-'SQL'
		SELECT wf_set_event('hot', :message, 'wf-0');
	SQL
	cat >key.theirs <<-'SQL'
		INSERT INTO bench.event (workflow_id, key, value) VALUES ('wf-0', 'hot', :message)
		ON CONFLICT (workflow_id, key) DO UPDATE SET value = excluded.value;
	SQL
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			sql -c 'VACUUM durable_wf.event' -c 'VACUUM bench.event' -c CHECKPOINT
			tps "key.$side" -c 32 -T "$seconds"
			record hot_key "$side" "$tps"
		done
		say "hot: round $round of $rounds of keys"
	done
	row hot_key 'wf_set_event, clients: 32, one key' 'upsert of one row' /s ''
}

# So many sessions wait for one event: from its sending until the last has it.
# All of them end later, as that takes longer.
#   hot_event SESSIONS
hot_event() {
	local round from last
	for round in $(seq "$rounds"); do
		cat >event.hot <<-SQL
			\if :n = 0
			SELECT wf_get_event('wf-0', 'event-$1-$round', '60 s');
			\else
			\sleep 2 s
			\endif
			\set n 1
		SQL
		rm -f event.log*
		pgbench -n -c "$1" -j 2 -t 2 -D n=0 -f event.hot --log --log-prefix=event.log \
			>"$work/load" 2>&1 &
		job=$!
		until [ "$(sql -c "SELECT count(*) FROM wf_waiters WHERE door = 'event'")" = "$1" ]; do
			kill -0 "$job" 2>/dev/null || die 'the sessions do not wait'
			sleep 0.1
		done
		from=$(sql -c 'SELECT extract(epoch FROM clock_timestamp())' \
			-c "SELECT wf_set_event('event-$1-$round', '1', 'wf-0')" | sed -n 1p)
		wait "$job" || die 'the waiting sessions have failed'
		job=''
		# of each client the first transaction; the moment at which it ended
		last=$(awk '$2 == 1 { print $5 "." sprintf("%06d", $6) }' event.log* | sort -g | tail -n 1)
		record "hot_event_$1" ours "$(awk "BEGIN { print 1000 * ($last - $from) }")"
	done
	value "hot_event_$1" "one event, $1 sessions wait: until the last has it" ms ''
}

# A broadcast to so many suspended workflows, of a role that may not log in:
# how long it takes, and how long until all are resumed.
#   hot_broadcast NUMBER
hot_broadcast() {
	local round from
	for round in $(seq $((rounds < 3 ? rounds : 3))); do
		sql -v n="$1" <<-'SQL' >/dev/null
			DELETE FROM durable_wf.message WHERE workflow_id LIKE 'hot-%';
			DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 'hot-%';
			INSERT INTO durable_wf.workflow (workflow_id, owner, status, body)
			SELECT 'hot-' || i, 'hot'::regrole::oid, 'WAITING', 'public.nobody' FROM generate_series(1, :n) i;
			INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key, wait_id)
			SELECT 'hot-' || i, 0, 1, 'n', 'hot-' || i, 'hot', i FROM generate_series(1, :n) i;
			VACUUM ANALYZE durable_wf.wait;
			VACUUM ANALYZE durable_wf.workflow;
			SELECT wf_adopt();
		SQL
		until_idle "$PGDATABASE"
		from=$(now_ms)
		[ "$(sql -c "SELECT count(*) FROM wf_notify('hot', '1')")" = "$1" ] ||
			die 'not all were notified'
		record "hot_notify_$1" ours $(($(now_ms) - from))
		until [ "$(sql -c "SELECT count(*) FROM durable_wf.wait WHERE key = 'hot'")" = 0 ]; do
			sleep 0.05
		done
		record "hot_resume_$1" ours $(($(now_ms) - from))
	done
	value "hot_notify_$1" "a broadcast to $1 suspended" ms ''
	value "hot_resume_$1" '… until all are resumed' ms ''
}

# Rates and delays where all meet in one place, at a number and four times it:
# nothing may grow faster than that.
bench_hot() {
	local number
	hot_send
	hot_key
	for number in 250 1000; do
		hot_event $number
	done
	sql -c 'CREATE ROLE hot NOLOGIN'
	for number in 2500 10000; do
		hot_broadcast $number
	done
}
