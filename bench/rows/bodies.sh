# Five hundred bodies that only wait, and then go on at once.  Sourced by bench/run.

place[bodies]=60

bodies=500

# Bodies per second that reach their wait, when all begin at a time.  The last
# ones, which nobody is behind, may keep their executors: they are not counted.
# Then one wf_notify for all of them: how many end a second.
#   reach_wait SIDE
reach_wait() {
	local notified setting='RESET durable_wf.suspend_after'
	[ "$1" = ours ] || setting='SET durable_wf.suspend_after = 0'
	sql <<-SQL >/dev/null
		ALTER SYSTEM $setting;
		SELECT pg_reload_conf();
		DELETE FROM durable_wf.workflow WHERE body IS NOT NULL;
		DELETE FROM durable_wf.step WHERE workflow_id LIKE 'body-%';
		VACUUM durable_wf.workflow, durable_wf.wait, durable_wf.step;
		CHECKPOINT;
	SQL
	sleep 0.5				# the executors have read the setting
	sql -c "SELECT count(wf_start('body-' || n, 'only_waits'))
		FROM generate_series(1, $bodies) n" >/dev/null
	until_bodies "(SELECT count(*) FROM durable_wf.wait) = $bodies"
	record bodies "$1" "$(sql -c "
		SELECT ($bodies - 4) / extract(epoch FROM updated_at - created_at)
		FROM durable_wf.workflow WHERE body IS NOT NULL
		ORDER BY updated_at OFFSET $bodies - 5 LIMIT 1")"

	notified=$(sql -c "SELECT now(), count(*) FROM wf_notify('go')")
	[ "${notified#*|}" = $bodies ] || die "$notified of $bodies bodies waited"
	until_bodies 'NOT EXISTS (SELECT FROM durable_wf.workflow
		WHERE body IS NOT NULL AND status IN ('\''PENDING'\'', '\''RUNNING'\'', '\''WAITING'\''))'
	record resumed "$1" "$(sql -c "
		SELECT $bodies / extract(epoch FROM max(updated_at) - '${notified%|*}')
		FROM durable_wf.workflow WHERE body IS NOT NULL")"
}

# Wait until a condition is true.
until_bodies() {
	until [ "$(sql -c "SELECT $1")" = t ]; do
		sleep 0.1
	done
}

bench_bodies() {
	local round side
	empty_tables
	sql <<-SQL >/dev/null
		CREATE PROCEDURE only_waits(input jsonb) LANGUAGE plpgsql AS \$\$
		DECLARE
		    got jsonb;
		    late boolean;
		BEGIN
		    CALL wf_wait_for_event('go', NULL, NULL, got, late);
		END \$\$;
	SQL
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			reach_wait "$side"
		done
		say "bodies: round $round of $rounds"
	done
	sql -c 'ALTER SYSTEM RESET durable_wf.suspend_after' \
		-c 'SELECT pg_reload_conf()' \
		-c 'DELETE FROM durable_wf.workflow WHERE body IS NOT NULL' \
		-c "DELETE FROM durable_wf.step WHERE workflow_id LIKE 'body-%'" \
		-c 'DROP PROCEDURE only_waits' >/dev/null
	value bodies "$bodies bodies that only wait reach their wait" /s '>= 1500'
	row bodies 'the same' 'suspend_after = 0' /s '>= 0.8'
	value resumed "$bodies suspended bodies go on by one wf_notify, and end" /s '>= 2500'
}
