# What a full ring costs those that have not filled it.  Sourced by bench/run.

place[reconcile]=75

# A database with so many suspended workflows of a role that may not log in, so
# that what is resumed among them takes no executor, and a hundred that answer.
#   create_crowd DATABASE NUMBER
create_crowd() {
	create_suspended "$1" 100
	sql -d "$1" <<-SQL >/dev/null
		CREATE ROLE crowd_$2 NOLOGIN;
		INSERT INTO durable_wf.workflow (workflow_id, owner, status, body)
		SELECT 'crowd-' || n, 'crowd_$2'::regrole::oid, 'WAITING', 'public.nobody'
		FROM generate_series(1, $2) n;
		INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key)
		SELECT 'crowd-' || n, 0, 1, 'm', 'crowd-' || n, 'go' FROM generate_series(1, $2) n;
		VACUUM ANALYZE;
		SELECT wf_adopt();
	SQL
}

# How often all news, or some, were lost so far, in all databases.
reconciles() { sql -c 'SELECT reconciles FROM wf_stat WHERE door IS NULL'; }

# Fill the ring again and again, until killed: each commit has news of 4,000 of
# the crowd, which is more than has room.
#   crowd DATABASE NUMBER
crowd() {
	local from=1
	while ((from < $2 - 4000)); do
		echo "SELECT count(wf_send('crowd-' || n, '1', 'go')) FROM generate_series($from, $((from + 3999))) n;"
		from=$((from + 4000))
		sleep 0.1
	done | sql -d "$1" >/dev/null
}

# Have all news be lost, again and again, until killed: a prepared transaction
# is committed by a session that has not its notes.
#   lose_all DATABASE
lose_all() {
	while :; do
		sql -d "$1" -c 'BEGIN' -c "SELECT wf_set_event('lost', '1', 'client')" \
			-c "PREPARE TRANSACTION 'lost'" >/dev/null
		sql -d "$1" -c "COMMIT PREPARED 'lost'"
		sleep 0.1
	done
}

# Wait until a database's worker has nothing to do.
#   until_idle DATABASE
until_idle() {
	local idle=0
	while ((idle < 3)); do
		sleep 0.1
		idle=$(sql -v n="$idle" -v database="$1" <<-'SQL'
			SELECT CASE wait_event_type WHEN 'Extension' THEN :n + 1 ELSE 0 END FROM pg_stat_activity
			WHERE backend_type = 'durable_wf worker' AND datname = :'database'
		SQL
		)
	done
}

# Wakes of the hundred, while nothing else happens, while the ring is full
# again and again, and while each workflow has to be compared with the tables.
bench_reconcile() {
	local round number kind side p50 p99 database before
	cat >>"$work/data/postgresql.conf" <<-CONF
		durable_wf.suspend_after = '5ms'
		max_prepared_transactions = 10
	CONF
	run_job pg_ctl -D "$work/data" -l "$work/log" -w -t 60 restart
	for number in $(usually '100000 1000000' 10000); do
		database=crowd_$number
		create_crowd "$database" "$number"
		say "reconcile: $number are"
		ask "$database" 100 999 >/dev/null
		for round in $(seq $((rounds < 3 ? rounds : 3))); do
			for kind in quiet full all; do
				until_idle "$database"
				before=$(reconciles)
				case $kind in
					full) crowd "$database" "$number" & job=$! ;;
					all) lose_all "$database" & job=$! ;;
				esac
				IFS='|' read -r p50 p99 < <(ask "$database" 100 "$round")
				[ -z "$job" ] || { kill "$job" && wait "$job"; } 2>/dev/null || true
				job=''
				say "reconcile: $kind, $number: $p50 $p99 µs; $(($(reconciles) - before)) passes"
				record "reconcile_${kind}_p50_$number" ours "$p50"
				record "reconcile_${kind}_p99_$number" ours "$p99"
			done
		done
		for kind in full all; do
			for side in p50 p99; do
				cp "$work/reconcile_quiet_${side}_$number.ours.samples" \
					"$work/reconcile_${kind}_${side}_$number.theirs.samples"
				row "reconcile_${kind}_${side}_$number" \
					"$number suspended, $kind: commit → the body has answered, $side" quiet µs ''
			done
		done
	done
}
