# SQL workflows of one step, from their start to their end.  Sourced by bench/run.

place[workflow]=55

# A body of one step; and copies of the tables, with the same indexes, but no
# CHECKs, triggers or row-level security, whose rows plain SQL writes as we do:
# start, claim, step and end, in three transactions.
create_workflows() {
	sql <<-'SQL' >/dev/null
		CREATE PROCEDURE one_step(input jsonb) LANGUAGE plpgsql AS $$
		BEGIN
		    PERFORM wf_complete(wf_step('step', 'SELECT 1'));
		END $$;
		CREATE TABLE bench.workflow (LIKE durable_wf.workflow INCLUDING DEFAULTS INCLUDING INDEXES)
		    WITH (fillfactor = 85);
		CREATE TABLE bench.step (LIKE durable_wf.step INCLUDING DEFAULTS INCLUDING INDEXES);
	SQL
	cat >"$work/workflow.ours" <<-'SQL'
		SELECT wf_start(NULL, 'one_step', '1');
	SQL
	cat >"$work/workflow.theirs" <<-'SQL'
		\set n :n + 1
		INSERT INTO bench.workflow (workflow_id, owner, body, input)
		VALUES (:client_id || '-' || :n, 10::oid, 'one_step', '1');
		WITH due AS (
		  SELECT workflow_id FROM bench.workflow
		   WHERE owner::oid = 10 AND due_at <= now() AND body IS NOT NULL
		     AND finished_at IS NULL AND status <> 'WAITING'
		   ORDER BY due_at, workflow_id LIMIT 1 FOR UPDATE SKIP LOCKED),
		claimed AS (
		  UPDATE bench.workflow w SET status = 'RUNNING', attempts = attempts + 1,
		         updated_at = now(), due_at = now() + interval '1 min'
		    FROM due WHERE w.workflow_id = due.workflow_id
		  RETURNING w.workflow_id)
		SELECT coalesce(max(workflow_id), '') AS id FROM claimed \gset
		WITH recorded AS (
		  INSERT INTO bench.step (workflow_id, step_no, function, name, result,
		                          started_at, completed_at)
		  SELECT workflow_id, 1, 'wf_step', 'step', ARRAY[(SELECT 1)::text],
		         now(), clock_timestamp()
		    FROM bench.workflow WHERE workflow_id = :id)
		UPDATE bench.workflow SET status = 'SUCCESS', output = '1',
		       updated_at = now(), finished_at = now()
		 WHERE workflow_id = :id;
	SQL
}

# Workflows per second: four clients start so many each, and all have ended.
#   run_workflows SIDE NUMBER
run_workflows() {
	local before last='SELECT count(*) FROM durable_wf.workflow
		WHERE body IS NOT NULL AND finished_at IS NULL'
	sql -c 'TRUNCATE durable_wf.step, bench.workflow, bench.step' \
		-c 'DELETE FROM durable_wf.workflow WHERE body IS NOT NULL' \
		-c 'VACUUM durable_wf.workflow' -c CHECKPOINT
	before=$(server_cpu)
	tps "workflow.$1" -c 4 -t "$2"
	[ "$1" = ours ] || return 0
	until [ "$(sql -c "$last")" = 0 ]; do
		sleep 0.05
	done
	cpu=$(awk "BEGIN { print ($(server_cpu) - $before) / $2 / 4 }")
	tps=$(sql -c "SELECT count(*) / extract(epoch FROM max(finished_at) - min(created_at))
		FROM durable_wf.workflow WHERE body IS NOT NULL AND status = 'SUCCESS'")
}

bench_workflow() {
	local round side number
	number=$(usually 1000 100)
	create_workflows
	# as a minute after the start: until then each claim waits for the disk
	sql -c 'ALTER SYSTEM SET durable_wf.careful_time = 0' -c 'SELECT pg_reload_conf()' >/dev/null
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			run_workflows "$side" "$number"
			record_tps workflow "$side"
		done
		say "workflow: round $round of $rounds"
	done
	sql -c 'DELETE FROM durable_wf.workflow WHERE body IS NOT NULL' \
		-c 'DROP PROCEDURE one_step' -c 'DROP TABLE bench.workflow, bench.step'
	sql -c 'ALTER SYSTEM RESET durable_wf.careful_time' -c 'SELECT pg_reload_conf()' >/dev/null
	row workflow 'SQL workflow, one step, start to end, 4 clients' \
		'plain SQL, same rows, 3 transactions' /s '>= 1.5'
}
