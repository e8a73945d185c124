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
		UPDATE bench.workflow SET status = 'RUNNING', attempts = attempts + 1,
		       updated_at = now(), due_at = now() + interval '1 min'
		 WHERE workflow_id = (SELECT workflow_id FROM bench.workflow
		                       WHERE workflow_id = :client_id || '-' || :n
		                         AND status = 'PENDING' FOR UPDATE SKIP LOCKED);
		WITH recorded AS (
		  INSERT INTO bench.step (workflow_id, step_no, function, name, result,
		                          started_at, completed_at)
		  VALUES (:client_id || '-' || :n, 1, 'wf_step', 'step', '{1}', now(), clock_timestamp()))
		UPDATE bench.workflow SET status = 'SUCCESS', output = '1',
		       updated_at = now(), finished_at = now()
		 WHERE workflow_id = :client_id || '-' || :n;
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
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			run_workflows "$side" "$number"
			record_tps workflow "$side"
		done
		say "workflow: round $round of $rounds"
	done
	sql -c 'DELETE FROM durable_wf.workflow WHERE body IS NOT NULL' \
		-c 'DROP PROCEDURE one_step' -c 'DROP TABLE bench.workflow, bench.step'
	row workflow 'SQL workflow, one step, start to end, 4 clients' \
		'plain SQL, same rows, 3 transactions' /s '>= 1.5'
}
