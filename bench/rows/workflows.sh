# SQL workflows from start to end, and what suspended ones cost to let go on.
# Sourced by bench/run.

workflow_clients=4
workflow_count=2000			# a sample
resumed=1000				# suspended bodies that one notification resumes

# The same rows as a workflow of one step writes, without the extension: tables
# and indexes alike, no row triggers, no row security.  Three transactions: it
# is started, claimed, and done.
create_workflow_sides() {
	cd "$work"
	cat >workflow.ours <<-'SQL'
		SELECT wf_start(NULL, 'one_step');
	SQL
	cat >workflow.theirs <<-'SQL'
		\set n :n + 1
		INSERT INTO bench.workflow (workflow_id, owner, body)
		VALUES (gen_random_uuid()::text || '/' || :client_id || '/' || :n,
		        'postgres', 'public.one_step')
		RETURNING workflow_id AS id \gset
		UPDATE bench.workflow SET status = 'RUNNING', attempts = 1,
		       due_at = clock_timestamp() + '1 s', updated_at = now()
		 WHERE workflow_id = :id;
		BEGIN;
		SELECT 1 AS output \gset
		INSERT INTO bench.step (workflow_id, step_no, function, name, result,
		                        started_at, completed_at)
		VALUES (:id, 1, 'wf_step', 's1', ARRAY[:output::text],
		        clock_timestamp(), clock_timestamp());
		UPDATE bench.workflow SET status = 'SUCCESS', output = '1',
		       finished_at = now(), updated_at = now()
		 WHERE workflow_id = :id;
		COMMIT;
	SQL
	sql <<-'SQL' >/dev/null
		CREATE TABLE bench.workflow (LIKE durable_wf.workflow INCLUDING ALL);
		CREATE TABLE bench.step (LIKE durable_wf.step INCLUDING ALL);
		CREATE PROCEDURE one_step(input jsonb) LANGUAGE plpgsql AS $$
		BEGIN
		    PERFORM wf_step('s1', 'SELECT 1');
		    PERFORM wf_complete('1');
		END $$;
		CREATE PROCEDURE awaits_go(input jsonb) LANGUAGE plpgsql AS $$
		DECLARE
		    got jsonb;
		    timed_out boolean;
		BEGIN
		    CALL wf_wait_for_event('go', NULL, NULL, got, timed_out);
		    PERFORM wf_complete('1');
		END $$;
	SQL
}

# Bring both sides to equal conditions before a sample.
empty_workflows() {
	sql <<-'SQL' >/dev/null
		DELETE FROM durable_wf.workflow WHERE body IS NOT NULL;
		DELETE FROM durable_wf.step;
		TRUNCATE bench.workflow, bench.step;
		VACUUM durable_wf.workflow, durable_wf.wait, durable_wf.step;
		CHECKPOINT;
	SQL
}

# Wait until so many bodies have a status.
#   await_bodies STATUS NUMBER
await_bodies() {
	until [ "$(sql -c "SELECT count(*) FROM durable_wf.workflow
		WHERE body IS NOT NULL AND status = '$1'")" = "$2" ]; do
		sleep 0.1
	done
}

# Workflows a second, from the first start to the last end.
#   flow SIDE
flow() {
	empty_workflows
	tps "workflow.$1" -c $workflow_clients -t $((workflow_count / workflow_clients))
	if [ "$1" = ours ]; then
		await_bodies SUCCESS $workflow_count
		tps=$(sql -c "SELECT $workflow_count / extract(epoch FROM max(finished_at) - min(created_at))
			FROM durable_wf.workflow WHERE body IS NOT NULL")
	fi
	record workflows "$1" "$tps"
}

# Suspended bodies a second that have ended after one notification for all.
resume() {
	local begun
	empty_workflows
	sql -c "SELECT count(wf_start(NULL, 'awaits_go'))
		FROM generate_series(1, $resumed) n" >/dev/null
	await_bodies WAITING "$resumed"
	begun=$(sql -c "SELECT count(*) FROM wf_notify('go', '1')" \
		-c 'SELECT extract(epoch FROM clock_timestamp())' | tail -n 1)
	await_bodies SUCCESS "$resumed"
	sql -c "SELECT $resumed / (extract(epoch FROM max(finished_at)) - $begun)
		FROM durable_wf.workflow WHERE body IS NOT NULL" >>"$work/resume.samples"
}

# Print a row of a rate that is compared with nothing.
#   rate_row WORK SAMPLES LEAST
rate_row() {
	local rate met
	rate=$(median <"$2")
	met=$(awk "BEGIN { print ($rate >= $3) ? \"yes\" : \"no\" }")
	cells "$1" – "$(format "$rate") /s" – – ">= $3 /s" "$met"
}

bench_workflows() {
	local round side
	create_workflow_sides
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			flow "$side"
		done
		say "workflows: round $round of $rounds"
	done
	row workflows "SQL workflows of one step from start to end, $workflow_clients clients" \
		'the same rows, plain SQL in 3 transactions' '/s' '>= 1.5'

	sql -c "ALTER SYSTEM SET durable_wf.suspend_after = 0" >/dev/null
	sql -c 'SELECT pg_reload_conf()' >/dev/null
	for round in $(seq "$rounds"); do
		resume
		say "resume: round $round of $rounds"
	done
	sql -c 'ALTER SYSTEM RESET durable_wf.suspend_after'
	sql -c 'SELECT pg_reload_conf()' >/dev/null
	empty_workflows
	rate_row "$resumed suspended bodies end after one wf_notify" \
		"$work/resume.samples" 2500
}
