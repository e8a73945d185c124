# Five hundred bodies that only wait.  Sourced by bench/run.

bodies=500

# Bodies per second that reach their wait, when all begin at a time.  The last
# ones, which nobody is behind, may keep their executors: they are not counted.
#   reach_wait SIDE
reach_wait() {
	local after=0
	[ "$1" = theirs ] || after=200ms
	sql <<-SQL >/dev/null
		ALTER SYSTEM SET durable_wf.suspend_after = '$after';
		SELECT pg_reload_conf();
		SELECT wf_cancel(workflow_id) FROM wf_workflows WHERE body IS NOT NULL;
		DELETE FROM durable_wf.workflow WHERE body IS NOT NULL;
		VACUUM durable_wf.workflow, durable_wf.wait, durable_wf.step;
		CHECKPOINT;
	SQL
	sleep 0.5				# the executors have read the setting
	sql -c "SELECT count(wf_start('body-' || n, 'only_waits'))
		FROM generate_series(1, $bodies) n" >/dev/null
	until [ "$(sql -c "SELECT count(*) FROM durable_wf.wait")" = $bodies ]; do
		sleep 0.1
	done
	record bodies "$1" "$(sql -c "
		SELECT ($bodies - 4) / extract(epoch FROM updated_at - created_at)
		FROM durable_wf.workflow WHERE body IS NOT NULL
		ORDER BY updated_at OFFSET $bodies - 5 LIMIT 1")"
}

bench_bodies() {
	local round side
	empty_tables
	sql <<-SQL >/dev/null
		CREATE PROCEDURE only_waits(input jsonb) LANGUAGE plpgsql AS \$\$
		DECLARE
		    got jsonb;
		BEGIN
		    CALL wf_recv('question', NULL, NULL, got);
		END \$\$;
	SQL
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			reach_wait "$side"
		done
		say "bodies: round $round of $rounds"
	done
	sql -c 'ALTER SYSTEM RESET durable_wf.suspend_after'
	sql -c 'SELECT pg_reload_conf()' >/dev/null
	row bodies "$bodies bodies that only wait reach their wait" \
		'suspend_after = 0' '/s' '>= 0.8'
	rate_row "$bodies bodies that only wait reach their wait, default settings" \
		"$work/bodies.ours.samples" 1500
}
