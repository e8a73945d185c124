# SQL workflows under attack: killed at every commit point, undone and caught,
# dumped and replaced in mid-flight; what they may not do; how they are ended.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll session outcome kill_backend result
  suspended);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 20, restart_after_crash => 'on',
	'durable_wf.suspend_after' => '20ms', 'durable_wf.executor_idle_timeout' => '1h' });

# Start a workflow whose body executes one statement, and return how it ended.
my $nrun = 0;

sub run
{
	my ($procedure, $statement) = @_;

	$nrun++;
	$node->safe_psql('postgres', "SELECT wf_start('run $nrun', '$procedure', to_jsonb(\$sql\$$statement\$sql\$::text))");
	return result("run $nrun");
}

# Wait until an executor waits for an advisory lock, and return its process id.
sub stopped_at
{
	my ($lock) = @_;
	my $waits = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $lock";

	poll("SELECT count(*) = 1 $waits");
	return sql("SELECT pid $waits");
}

# The journal of a workflow, a line for each step.
sub journal
{
	return sql("SELECT string_agg(concat_ws(' ', step_no, name, left(output::text, 20), error), E'\\n' ORDER BY step_no) FROM wf_list_steps('$_[0]')");
}

# What a workflow has written, in this order.
sub effects
{
	return sql("SELECT string_agg(what, ',' ORDER BY n) FROM effect WHERE workflow_id = '$_[0]'");
}

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE ROLE worker LOGIN;
CREATE ROLE other LOGIN;
GRANT ALL ON SCHEMA public TO worker, other;
GRANT ALL ON effect, effect_n_seq TO worker, other;
CREATE FUNCTION effect(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step(what, 'INSERT INTO effect (what) VALUES ($1->>0)', jsonb_build_array(what));
END $$;
CREATE PROCEDURE five(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    FOR i IN 1 .. 5 LOOP
        CALL wf_step('step ' || i, 'INSERT INTO effect (what) VALUES ($1->>0)',
                     jsonb_build_array('step ' || i), 1, '1 s', got);
        PERFORM pg_advisory_lock_shared(100 + i);
        PERFORM pg_advisory_unlock_shared(100 + i);
    END LOOP;
END $$;
CREATE PROCEDURE run(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE input #>> '{}';
END $$;
CREATE PROCEDURE run_after_commit(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    SET default_transaction_read_only = off;
    COMMIT;
    EXECUTE input #>> '{}';
END $$;
CREATE PROCEDURE run_read_write(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    SET TRANSACTION READ WRITE;
    EXECUTE input #>> '{}';
END $$;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
SQL

# kill -9 at each of five commit points; the pause leaves time for the next lock.
{
	my $guard = session();

	$guard->query_safe('SELECT pg_advisory_lock(101)');
	sql(q{SELECT wf_start('five', 'five')});
	foreach my $point (1 .. 5)
	{
		my $pid = stopped_at(100 + $point);

		is(effects('five'), join(',', map { "step $_" } 1 .. $point), "kill -9 at point $point: before");
		set('paused', 'on');
		kill_backend($pid, $guard);
		$guard = session();
		$guard->query_safe("SELECT pg_advisory_lock(100 + $point + 1)");
		set('paused', 'off');
	}
	is(result('five'), 'SUCCESS||', 'kill -9 at each point: it ends well');
	is(effects('five'), 'step 1,step 2,step 3,step 4,step 5', 'each step once');
	$guard->quit;
}

# Caught errors, undone blocks and a saga, then suspensions and crashes: what is
# replayed is what was seen.
sql(<<'SQL');
SELECT wf_start('mailbox');
CREATE PROCEDURE saga(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
    seen text := '';
    booked text[] := '{}';
    failed boolean := false;
BEGIN
    BEGIN
        PERFORM wf_step('fails', 'INSERT INTO effect (what) VALUES (1 / 0)');
    EXCEPTION WHEN division_by_zero THEN
        seen := seen || SQLERRM;
        PERFORM effect('caught');
    END;
    CALL wf_recv('go', NULL, NULL, got);
    CALL wf_recv('go', NULL, NULL, got);
    BEGIN
        PERFORM effect('undone');
        PERFORM wf_send('mailbox', '"undone"');
        RAISE EXCEPTION 'never mind';
    EXCEPTION WHEN raise_exception THEN
        seen := seen || ', ' || SQLERRM;
        PERFORM effect('instead');
    END;
    CALL wf_recv('go', NULL, NULL, got);
    CALL wf_recv('go', NULL, NULL, got);
    FOREACH got IN ARRAY ARRAY['"flight"', '"hotel"', '"car"']::jsonb[] LOOP
        BEGIN
            PERFORM wf_step('book ' || (got #>> '{}'), 'INSERT INTO effect (what) SELECT $1 #>> ''{}'' WHERE $1 <> ''"car"'' OR 1 / 0 > 0', got);
            booked := (got #>> '{}') || booked;
        EXCEPTION WHEN division_by_zero THEN
            failed := true;
        END;
        EXIT WHEN failed;
    END LOOP;
    CALL wf_recv('go', NULL, NULL, got);
    CALL wf_recv('go', NULL, NULL, got);
    FOR i IN 1 .. CASE WHEN failed THEN cardinality(booked) ELSE 0 END LOOP
        PERFORM effect('cancel ' || booked[i]);
    END LOOP;
    PERFORM wf_complete(to_jsonb(seen));
END $$;
SELECT wf_start('saga', 'saga');
SQL
foreach my $crash (1 .. 6)
{
	suspended('saga');
	if ($crash % 2)
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'durable_wf %'});
	}
	sql(q{SELECT wf_send('saga', '1', 'go')});
	poll("SELECT count(*) = $crash FROM wf_list_steps('saga') WHERE name = 'wf_recv(go)' AND completed_at IS NOT NULL");
}
is(result('saga'), 'SUCCESS|"division by zero, never mind"|', 'saga: what was caught is caught again');
is(effects('saga'), 'caught,instead,flight,hotel,cancel hotel,cancel flight', 'saga: each effect once, compensated in reverse');
is(sql(q{SELECT count(*) FROM wf_mailbox WHERE workflow_id = 'mailbox'}), 0, 'saga: what was undone was not sent');
is(journal('saga') =~ s/"\d+"/ID/r, <<'TEXT' =~ s/\n$//r, 'saga: the journal tells all of it');
1 fails division by zero
2 caught null
3 wf_recv(go) 1
4 wf_recv(go) 1
5 undone null
6 wf_send(mailbox) ID
7 instead null
8 wf_recv(go) 1
9 wf_recv(go) 1
10 book flight null
11 book hotel null
12 book car division by zero
13 wf_recv(go) 1
14 wf_recv(go) 1
15 cancel hotel null
16 cancel flight null
TEXT

# COMMIT, ROLLBACK and SET in a body; and the next one in the same process does
# not see them.
sql(<<'SQL');
CREATE PROCEDURE settings(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    SET work_mem = '8MB';
    SET LOCAL maintenance_work_mem = '16MB';
    PERFORM effect('committed');
    COMMIT;
    PERFORM effect('rolled back');
    ROLLBACK;
    PERFORM effect('after');
    PERFORM set_config('durable_wf.workflow_id', 'mailbox', false);
    PERFORM pg_advisory_lock(7);
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(jsonb_build_array(current_setting('work_mem'), current_setting('maintenance_work_mem'), wf_current()));
END $$;
CREATE PROCEDURE leftovers(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_complete(jsonb_build_array(pg_backend_pid(), current_setting('work_mem'), current_setting('durable_wf.workflow_id'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')));
END $$;
ALTER SYSTEM SET durable_wf.max_executors = 1;
SELECT pg_reload_conf();
SELECT wf_start('settings', 'settings');
SQL
suspended('settings');
{
	my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'});

	sql(q{SELECT wf_start('leftovers 1', 'leftovers')});
	is(result('leftovers 1'), qq{SUCCESS|[$pid, "4MB", "", 0]|}, 'settings: not after a suspension');
	sql(q{SELECT wf_send('settings', '1', 't')});
	is(result('settings'), 'SUCCESS|["8MB", "64MB", "settings"]|', 'settings: in the body, also after a wait');
	is(effects('settings'), 'committed,after', 'settings: COMMIT and ROLLBACK do what they say, once');
	sql(q{SELECT wf_start('leftovers 2', 'leftovers')});
	is(result('leftovers 2'), qq{SUCCESS|[$pid, "4MB", "", 0]|}, 'settings: not after the end');
	sql('ALTER SYSTEM RESET ALL');
	$node->reload;
}

# Roads out of the rule that a body writes in its steps only.
sql(<<'SQL');
TRUNCATE effect;
CREATE FUNCTION writes() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO effect (what) VALUES (''no''); END';
CREATE FUNCTION writes_sql() RETURNS void LANGUAGE sql AS 'INSERT INTO effect (what) VALUES (''no'')';
CREATE FUNCTION writes_as_definer() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN INSERT INTO effect (what) VALUES (''no''); END';
CREATE FUNCTION writes_with_set() RETURNS void LANGUAGE plpgsql SET default_transaction_read_only = off AS 'BEGIN INSERT INTO effect (what) VALUES (''no''); END';
CREATE PROCEDURE commits_and_writes() LANGUAGE plpgsql AS 'BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO effect (what) VALUES (''no''); END';
CREATE VIEW seen AS SELECT * FROM effect;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE late (id int);
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO effect (what) VALUES ('late'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
SQL
my $refused = qr/^ERROR\|\|(the body of a workflow can write in its steps only|cannot execute \S+.* in a read-only transaction|transaction read-write mode must be set before any query|cannot set transaction read-write mode inside a read-only transaction|invalid transaction termination)$/;
foreach my $road (
	[ 'run', q{INSERT INTO effect (what) VALUES ('no')} ],
	[ 'run', q{UPDATE effect SET what = 'no'} ],
	[ 'run', q{DELETE FROM effect} ],
	[ 'run', q{TRUNCATE effect} ],
	[ 'run', q{WITH w AS (INSERT INTO effect (what) VALUES ('no') RETURNING 1) SELECT * FROM w} ],
	[ 'run', q{SELECT 1 FROM parent FOR UPDATE} ],
	[ 'run', q{SELECT nextval('effect_n_seq')} ],
	[ 'run', q{SELECT lo_create(0)} ],
	[ 'run', q{CREATE TABLE no ()} ],
	[ 'run', q{COPY effect FROM '/dev/null'} ],
	[ 'run', q{SELECT lo_unlink(1)} ],
	[ 'run', q{NOTIFY no} ],
	[ 'run', q{SELECT pg_notify('no', '')} ],
	[ 'run', q{DO $$ BEGIN PERFORM pg_notify('no', ''); END $$} ],
	[ 'run', q{INSERT INTO seen (what) VALUES ('no')} ],
	[ 'run', q{SELECT writes()} ],
	[ 'run', q{SELECT writes_sql()} ],
	[ 'run', q{SELECT writes_as_definer()} ],
	[ 'run', q{SELECT writes_with_set()} ],
	[ 'run', q{CALL commits_and_writes()} ],
	[ 'run', q{DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO effect (what) VALUES ('no'); END $$} ],
	[ 'run', q{DO $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false); INSERT INTO effect (what) VALUES ('no'); END $$} ],
	[ 'run', q{DO $$ BEGIN SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; COMMIT; INSERT INTO effect (what) VALUES ('no'); END $$} ],
	[ 'run_after_commit', q{INSERT INTO effect (what) VALUES ('no')} ],
	[ 'run_after_commit', q{SELECT writes()} ],
	[ 'run_after_commit', q{SELECT nextval('effect_n_seq')} ],
	[ 'run_read_write', q{INSERT INTO effect (what) VALUES ('no')} ],
	[ 'run_read_write', q{SELECT writes_sql()} ])
{
	like(run(@$road), $refused, "refused: $road->[0]: $road->[1]");
}
like(sql("SELECT error_context FROM durable_wf.workflow WHERE workflow_id = 'run 1'"),
	qr/HINT:  PERFORM wf_step\('its name', \$sql\$INSERT INTO effect \(what\) VALUES \('no'\)\$sql\$\);/,
	'refused: the hint shows the line');
is(sql(q{SELECT count(*) FROM effect}), 0, 'refused: nothing was written');
like(run('run', q{SELECT wf_step('child', 'INSERT INTO child VALUES (1)')}),
	qr/^ERROR\|\|insert or update on table "child" violates foreign key constraint/, 'a deferred constraint is checked in its step');
is(run('run', q{SELECT wf_step('late', 'INSERT INTO late VALUES (1)')}), 'SUCCESS||', 'a deferred trigger writes in its step');
is(sql(q{SELECT string_agg(what, ',') FROM effect}), 'late', 'and what it wrote is there');

# What waits is CALLed, where it can commit.
foreach my $wait (
	[ q{SELECT wf_recv('t', '1 s')}, q{wf_recv() has to be CALLed}, q{CALL wf_recv('t', '00:00:01', NULL, message);} ],
	[ q{SELECT wf_recv_any('{a,b}')}, q{wf_recv_any() has to be CALLed}, q{CALL wf_recv_any('{a,b}', '00:01:00', NULL, topic, message);} ],
	[ q{SELECT * FROM wf_recv_many('t')}, q{wf_recv_many() has to be CALLed}, q{CALL wf_recv() in a loop} ],
	[ q{SELECT wf_get_event('mailbox', 'k')}, q{wf_get_event() has to be CALLed}, q{CALL wf_get_event('mailbox', 'k', '00:01:00', value);} ],
	[ q{SELECT wf_wait_for_event('e')}, q{wf_wait_for_event() has to be CALLed}, q{CALL wf_wait_for_event('e', '7 days', NULL, event_data, timed_out);} ],
	[ q{SELECT wf_result('mailbox')}, q{wf_result() has to be CALLed}, q{CALL wf_result('mailbox', '00:01:00', status, output, error);} ],
	[ q{SELECT wf_sleep('1 h')}, q{wf_sleep() has to be CALLed}, q{CALL wf_sleep('01:00:00', woke_at);} ],
	[ q{SELECT wf_step('s', 'SELECT 1', NULL, 2)}, q{wf_step() with retries has to be CALLed}, q{CALL wf_step('s', 'SELECT 1', NULL, 2, '00:00:01', output);} ],
	[ q{DO $$ DECLARE t timestamptz; BEGIN CALL wf_sleep('1 h', t); EXCEPTION WHEN division_by_zero THEN NULL; END $$},
		q{wf_sleep() cannot wait inside an EXCEPTION block or a function}, q{CALL it outside of the block} ],
	[ q{SELECT wf_step('s', 'SELECT wf_recv(''t'', ''1 s'')')}, q{cannot wait in wf_recv() inside a step}, q{Wait before or after wf_step()} ])
{
	my ($statement, $error, $hint) = @$wait;

	like(run('run', $statement), qr/^ERROR\|\|\Q$error\E/, "waits: $statement");
	like(sql("SELECT error_state || error_context FROM durable_wf.workflow WHERE workflow_id = 'run $nrun'"),
		qr/^WF009.*HINT:  \Q$hint\E/s, 'waits: with the way out');
}
is(run('run', q{SELECT wf_recv('t', '0'), wf_get_event('mailbox', 'k', '0'), wf_result('mailbox', '0')}), 'SUCCESS||', 'waits: not with a timeout of 0');

# A body that is replaced in mid-flight.
sql(<<'SQL');
CREATE PROCEDURE changing(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    PERFORM effect('old');
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete('"old"');
END $$;
SELECT wf_start('changes 1', 'changing'), wf_start('changes 2', 'changing');
SQL
suspended("changes $_") foreach 1, 2;
sql(<<'SQL');
CREATE OR REPLACE PROCEDURE changing(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    PERFORM effect('new');
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete('"new"');
END $$;
SELECT wf_send('changes 1', '1', 't');
SQL
is(result('changes 1'), 'ERROR||workflow "changes 1" was executed differently before', 'replaced: another call is refused');
like(sql(q{SELECT error_state || error_context FROM durable_wf.workflow WHERE workflow_id = 'changes 1'}),
	qr/^WF004DETAIL:  Step 1 was recorded as wf_step\('old'\), and wf_step\('new'\) was called/, 'replaced: both are shown');
sql(<<'SQL');
CREATE OR REPLACE PROCEDURE changing(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    IF wf_patched('effect') THEN
        PERFORM effect('new');
    ELSE
        PERFORM effect('old');
    END IF;
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(to_jsonb(wf_patched('effect')));
END $$;
SELECT wf_retry('changes 1');
SELECT wf_send('changes 2', '2', 't'), wf_send(wf_start('changes 3', 'changing'), '3', 't');
SQL
is(result('changes 1'), 'SUCCESS|false|', 'patched: retried, it goes on from its journal');
is(result('changes 2'), 'SUCCESS|false|', 'patched: an old run takes the old way');
is(result('changes 3'), 'SUCCESS|true|', 'patched: a new run the new one');
is(effects("changes $_->[0]"), $_->[1], "patched: the effect of changes $_->[0]") foreach [ 1, 'old' ], [ 2, 'old' ], [ 3, 'new' ];
sql(q{SELECT wf_start('changes 4', 'changing')});
suspended('changes 4');
sql(q{DROP PROCEDURE changing; SELECT wf_send('changes 4', '4', 't')});
like(result('changes 4'), qr/^ERROR\|\|procedure public\.changing\(jsonb\) does not exist/, 'a body that is gone: a clear error');

# Cancelled in every state.
sql(<<'SQL');
CREATE PROCEDURE retries(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_step('s', 'SELECT 1/0', NULL, 5, '1 h', got);
END $$;
CREATE PROCEDURE stubborn(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        BEGIN
            PERFORM pg_sleep(0.01);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
END $$;
SQL
foreach my $state (
	[ 'in a step', 'run', q{SELECT wf_step('s', 'SELECT pg_sleep(600)')} ],
	[ 'beside steps', 'run', q{SELECT pg_sleep(600)} ],
	[ 'where errors are swallowed', 'stubborn', '' ],
	[ 'before a retry', 'retries', '' ])
{
	my ($where, $procedure, $statement) = @$state;

	$node->safe_psql('postgres', "SELECT wf_start('cancel $where', '$procedure', to_jsonb(\$sql\$$statement\$sql\$::text))");
	poll("SELECT status IN ('RUNNING', 'WAITING') FROM wf_workflows WHERE workflow_id = 'cancel $where'");
	is(sql("SELECT wf_cancel('cancel $where')"), 't', "cancelled $where");
	is(result("cancel $where"), 'CANCELLED||', "cancelled $where: it has ended");
	poll(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND state = 'active'});
}
sql(q{SELECT wf_start('later', 'waits', start_after => '1 h')});
is(sql(q{SELECT wf_cancel('later')}), 't', 'cancelled before it begins');
sql(q{SELECT wf_start('timeout 1', 'waits', timeout => '300 ms'), wf_start('timeout 2', 'stubborn', timeout => '300 ms')});
is(result("timeout $_"), 'CANCELLED||', "timeout $_") foreach 1, 2;
poll(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND state = 'active'});
pass('nobody runs what has ended');

# Children.
sql(<<'SQL');
CREATE PROCEDURE square(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    IF input = '13' THEN
        RAISE EXCEPTION 'unlucky';
    END IF;
    PERFORM wf_complete(to_jsonb((input #>> '{}')::int ^ 2));
END $$;
CREATE PROCEDURE sum_of_squares(input jsonb) LANGUAGE plpgsql AS $$
DECLARE status text; output jsonb; error text; total int := 0; errors int := 0;
BEGIN
    FOR i IN 1 .. (input #>> '{}')::int LOOP
        PERFORM wf_start(wf_current() || '/' || i, 'square', to_jsonb(i));
    END LOOP;
    FOR i IN 1 .. (input #>> '{}')::int LOOP
        CALL wf_result(wf_current() || '/' || i, NULL, status, output, error);
        IF status = 'SUCCESS' THEN
            total := total + (output #>> '{}')::int;
        ELSE
            errors := errors + 1;
        END IF;
    END LOOP;
    PERFORM wf_complete(jsonb_build_array(total, errors));
END $$;
SELECT wf_start('parent', 'sum_of_squares', '50');
SQL
is(result('parent'), 'SUCCESS|[42756, 1]|', 'fifty children, one of which fails');

# Every door, 500 at a time; one commit for all.
sql(<<'SQL');
CREATE PROCEDURE at_door(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb; timed_out boolean; status text; error text; woke_at timestamptz;
BEGIN
    CASE input #>> '{}'
    WHEN 'message' THEN CALL wf_recv('t', NULL, NULL, got);
    WHEN 'event' THEN CALL wf_get_event('source', 'k', NULL, got);
    WHEN 'notify' THEN CALL wf_wait_for_event('all', NULL, NULL, got, timed_out);
    WHEN 'result' THEN CALL wf_result('source', NULL, status, got, error);
    WHEN 'timer' THEN CALL wf_sleep('4 s', woke_at); got := '1';
    END CASE;
    PERFORM wf_complete(got);
END $$;
SELECT wf_start('source');
SELECT count(wf_start(door || ' ' || i, 'at_door', to_jsonb(door)))
  FROM generate_series(1, 100) i, unnest('{message,event,notify,result,timer}'::text[]) door;
SQL
poll(q{SELECT count(*) = 500 FROM wf_workflows WHERE body = 'public.at_door' AND (status = 'WAITING' OR workflow_id LIKE 'timer%')});
is(sql(q{SELECT count(*) FROM wf_notify('all', '1')}), 100, '500 suspended: a broadcast lists them');
sql(q{SELECT wf_set_event('k', '1', 'source'), count(wf_send('message ' || i, '1', 't')) FROM generate_series(1, 100) i});
sql(q{BEGIN; SET LOCAL durable_wf.workflow_id = 'source'; SELECT wf_complete('1'); COMMIT});
poll(q{SELECT count(*) = 500 FROM wf_workflows WHERE body = 'public.at_door' AND output = '1'});
pass('500 suspended: all go on');
is(sql('SELECT count(*) FROM durable_wf.wait'), 0, '500 suspended: nothing is left');

# Owners.
sql(q{GRANT other TO worker; SET ROLE worker; SELECT wf_start('handed over', 'waits')});
suspended('handed over');
foreach my $try (
	[ 'SET ROLE postgres', qr/permission denied to set role "postgres"/ ],
	[ 'SET SESSION AUTHORIZATION postgres', qr/permission denied to set session authorization/ ])
{
	$nrun++;
	sql("SET ROLE worker; SELECT wf_start('run $nrun', 'run', to_jsonb('$try->[0]'::text))");
	like(result("run $nrun"), qr/^ERROR\|\|/, "owner: $try->[0] is refused");
	like(result("run $nrun"), $try->[1], 'owner: with its reason');
}
sql(<<'SQL');
CREATE PROCEDURE whoami(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(jsonb_build_array(session_user, current_setting('work_mem')));
END $$;
ALTER ROLE other SET work_mem = '5MB';
SET ROLE worker;
SELECT wf_start('handed', 'whoami');
SQL
suspended('handed');
sql(q{SELECT wf_set_owner('handed', 'other'); SELECT wf_send('handed', '1', 't')});
is(result('handed'), 'SUCCESS|["other", "5MB"]|', 'owner: the next run is as the new one, with its settings');
sql(q{REVOKE EXECUTE ON PROCEDURE waits FROM PUBLIC; SELECT wf_send('handed over', '1', 't')});
like(result('handed over'), qr/^ERROR\|\|permission denied for procedure waits/, 'owner: who may not execute the body any more');
sql(q{GRANT EXECUTE ON PROCEDURE waits TO PUBLIC; SELECT wf_retry('handed over')});
is(result('handed over'), 'SUCCESS|1|', 'owner: and goes on when it may');

# A dump in mid-flight, restored into another database: it waits to be adopted,
# goes on from the journal, and repeats nothing.
sql(<<'SQL');
TRUNCATE effect;
CREATE PROCEDURE travels(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb; woke_at timestamptz;
BEGIN
    PERFORM effect('departed');
    IF input = '"time"' THEN
        CALL wf_sleep('1 h', woke_at);
        got := '"time"';
    ELSE
        CALL wf_recv('t', NULL, NULL, got);
    END IF;
    PERFORM effect('arrived');
    PERFORM wf_complete(got);
END $$;
SELECT wf_start('travels 1', 'travels'), wf_start('travels 2', 'travels', '"time"');
SQL
suspended("travels $_") foreach 1, 2;
# nothing goes on before the dump is taken; then two are due
set('paused', 'on');
sql(q{SELECT wf_start('travels 3', 'travels');
	UPDATE durable_wf.step SET deadline = now() WHERE workflow_id = 'travels 2' AND completed_at IS NULL;
	UPDATE durable_wf.wait SET deadline = now() WHERE workflow_id = 'travels 2'});
{
	my $dump = $node->backup_dir . '/dump';
	my $there = sub { return $node->safe_psql('there', $_[0]) };

	mkdir $node->backup_dir;
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dump: taken');
	set('paused', 'off');
	sql('CREATE DATABASE there');
	$node->command_ok([ 'pg_restore', '-d', 'there', $dump ], 'dump: restored');
	$there->(q{SELECT wf_send('travels 1', '"news"', 't'), wf_send('travels 3', '"news"', 't')});
	is($there->(q{SELECT (wf_result('travels ' || i, '2 s')).status FROM generate_series(1, 3) i}),
		"WAITING\nWAITING\nPENDING", 'dump: nothing goes on by itself');
	sql(q{SELECT wf_result('travels 2', '30 s')});
	is(effects('travels 2'), 'departed,arrived', 'dump: in the old place it does');
	$there->('SELECT wf_adopt()');
	is($there->(q{SELECT r.* FROM generate_series(1, 3) i, wf_result('travels ' || i, '60 s') r}),
		qq{SUCCESS|"news"|\nSUCCESS|"time"|\nSUCCESS|"news"|}, 'dump: adopted, it goes on');
	is($there->(q{SELECT workflow_id, string_agg(what, ',' ORDER BY n) FROM effect WHERE workflow_id LIKE 'travels%' GROUP BY 1 ORDER BY 1}),
		"travels 1|departed,arrived\ntravels 2|departed,arrived\ntravels 3|departed,arrived", 'dump: each effect once');
}

$node->stop;
done_testing();
