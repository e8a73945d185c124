# SQL workflows: run by the server, suspended without a process, resumed by
# whatever they wait for, gone on with after every kind of death, each step once.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql error_of poll session start outcome
  kill_backend result suspended executors waiter waits_for_lock);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 20, restart_after_crash => 'on',
	'durable_wf.suspend_after' => '20ms' });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE ROLE worker LOGIN;
CREATE ROLE dreamer;
GRANT ALL ON SCHEMA public TO worker, dreamer;
GRANT ALL ON effect, effect_n_seq TO worker;
CREATE PROCEDURE doors(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb; topic text; timed_out boolean; status text; error text; woke_at timestamptz;
    all_of_it jsonb := '[]';
BEGIN
    CALL wf_recv('t', NULL, NULL, got);                     all_of_it := all_of_it || got;
    CALL wf_recv(NULL, NULL, NULL, got);                    all_of_it := all_of_it || got;
    CALL wf_recv_any('{a,b}', NULL, NULL, topic, got);      all_of_it := all_of_it || to_jsonb(topic) || got;
    CALL wf_get_event('other', 'k', NULL, got);             all_of_it := all_of_it || got;
    CALL wf_wait_for_event('e', NULL, NULL, got, timed_out); all_of_it := all_of_it || got;
    CALL wf_wait_for_event('e', NULL, NULL, got, timed_out); all_of_it := all_of_it || got;
    CALL wf_result('other', NULL, status, got, error);      all_of_it := all_of_it || to_jsonb(status) || got;
    CALL wf_recv('never', '100 ms', NULL, got);             all_of_it := all_of_it || to_jsonb(got IS NULL);
    CALL wf_sleep('100 ms', woke_at);
    PERFORM wf_complete(all_of_it);
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
    BEGIN
        PERFORM wf_step('fails', 'INSERT INTO effect (what) VALUES (1 / 0)');
    EXCEPTION WHEN division_by_zero THEN
        PERFORM wf_step('caught', 'INSERT INTO effect (what) VALUES (''caught'')');
    END;
    CALL wf_recv('go', NULL, NULL, got);
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE pong(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    FOR i IN 1 .. (input->>0)::int LOOP
        CALL wf_recv('ping', NULL, NULL, got);
        PERFORM wf_send('client', got, wf_current());
    END LOOP;
END $$;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE goes_on(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM pg_advisory_lock(99);
END $$;
CREATE PROCEDURE busy(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    LOOP PERFORM pg_sleep(0.01); END LOOP;
END $$;
CREATE PROCEDURE runs(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE input->>0;
END $$;
CREATE PROCEDURE who(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    RESET ROLE;
    PERFORM wf_complete(jsonb_build_array(current_user, session_user));
END $$;
SQL

# Every door resumes a suspended workflow.
sql(q{SELECT wf_start('other'), wf_start('doors', 'doors')});
suspended('doors');
is(sql(q{SELECT workflow_id, door, key, pid IS NULL, suspended FROM wf_waiters}),
	'doors|message|t|t|t', 'doors: a row, and no process');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)}),
	0, 'doors: nobody holds a snapshot');
foreach my $news (
	q{wf_send('doors', '1', 't')},
	q{wf_send('doors', '2')},
	q{wf_send('doors', '3', 'b')},
	q{wf_set_event('k', '4', 'other')},
	q{wf_notify('e', '5')},
	q{wf_notify('e', '6', 'doors')})
{
	suspended('doors');
	my $before = sql(q{SELECT count(*) FROM wf_list_steps('doors')});
	sql("SELECT count(*) FROM $news");
	poll("SELECT count(*) > $before FROM wf_list_steps('doors')");
	pass("doors: $news");
}
suspended('doors');
sql(q{BEGIN; SET LOCAL durable_wf.workflow_id = 'other'; SELECT wf_complete('7'); COMMIT});
is(result('doors'), 'SUCCESS|[1, 2, "b", 3, 4, 5, 6, "SUCCESS", 7, true]|',
	'doors: all of them, the end of another workflow and time');

# What rolls back never runs; what raises is an error, with all that is known.
sql(q{BEGIN; SELECT wf_start('undone', 'who'); ROLLBACK; SELECT wf_start('who', 'who')});
is(result('who'), 'SUCCESS|["postgres", "postgres"]|', 'a start runs when it commits');
is(sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id = 'undone'}),
	0, 'and not when it does not');
sql(q{SELECT wf_start('error', 'runs', '["SELECT 1/0"]')});
is(result('error'), 'ERROR||division by zero', 'a body that raises ends with ERROR');
is(sql(q{SELECT error_state, error_context ~ 'runs\(jsonb\)' FROM durable_wf.workflow WHERE workflow_id = 'error'}),
	'22012|t', 'SQLSTATE and context are kept');

# Owners: a body runs in a session of its owner, and of no other role.
sql(q{SET ROLE worker; SELECT wf_start('of worker', 'who')});
is(result('of worker'), 'SUCCESS|["worker", "worker"]|', 'a body runs as its owner');
like(error_of(q{SET ROLE dreamer; SELECT wf_start('dream', 'who')}),
	qr/42501: role "dreamer" cannot own a workflow with a body/, 'who cannot log in is refused');
sql(q{SET ROLE worker; SELECT wf_start('later', 'waits')});
suspended('later');
sql('ALTER ROLE worker NOLOGIN');
sql(q{SELECT wf_send('later', '1', 't')});
poll(q{SELECT error = 'waits: role "worker" may not log in' FROM wf_workflows WHERE workflow_id = 'later'});
pass('who cannot any more waits until he can again');
sql('ALTER ROLE worker LOGIN');
is(result('later'), 'SUCCESS|1|', 'and goes on at once');

# Bodies that are none.
sql(q{CREATE FUNCTION f(jsonb) RETURNS void LANGUAGE sql AS '';
	CREATE PROCEDURE in_sql(jsonb) LANGUAGE sql AS '';
	CREATE PROCEDURE definer(jsonb) LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END';
	CREATE PROCEDURE has_set(jsonb) LANGUAGE plpgsql SET search_path = '' AS 'BEGIN END'});
like(error_of("SELECT wf_start('none', '$_->[0]')"), $_->[1], "refused: $_->[0]")
  foreach [ 'f', qr/42809: f\(jsonb\) is not a procedure/ ],
  [ 'nothing', qr/42883/ ],
  [ 'in_sql', qr/0A000.*\n.*It is not written in PL\/pgSQL/ ],
  [ 'definer', qr/0A000.*\n.*SECURITY DEFINER, so it cannot commit/ ],
  [ 'has_set', qr/0A000.*\n.*SET clause, so it cannot commit/ ];

# The rules: CALL what waits, write in steps.
my $n = 0;
foreach my $rule (
	[ q{SELECT wf_recv('t', '1 s')}, 'wf_recv() has to be CALLed in the body of a workflow' ],
	[ q{SELECT wf_sleep('1 s')}, 'wf_sleep() has to be CALLed in the body of a workflow' ],
	[ q{INSERT INTO effect (what) VALUES ('no')}, 'the body of a workflow can write in its steps only' ],
	[ q{SELECT nextval('effect_n_seq')}, 'cannot execute nextval() in a read-only transaction' ],
	[ q{CREATE TABLE no ()}, 'the body of a workflow can write in its steps only' ],
	[ q{DO $$ BEGIN SET default_transaction_read_only = off; INSERT INTO effect (what) VALUES ('no'); END $$},
		'the body of a workflow can write in its steps only' ],
	[ q{DO $$ BEGIN SET transaction_read_only = off; INSERT INTO effect (what) VALUES ('no'); END $$},
		'transaction read-write mode must be set before any query' ])
{
	$n++;
	$node->safe_psql('postgres', "SELECT wf_start('rule $n', 'runs', to_jsonb(ARRAY[\$sql\$$rule->[0]\$sql\$]))");
	is(result("rule $n"), "ERROR||$rule->[1]", "rule: $rule->[0]");
}
is(sql('SELECT count(*) FROM effect'), 0, 'rules: nothing was written');

# Cancelled: suspended, and in the middle of something.
sql(q{SELECT wf_start('cancel 1', 'waits'), wf_start('cancel 2', 'busy')});
suspended('cancel 1');
poll(q{SELECT status = 'RUNNING' FROM wf_workflows WHERE workflow_id = 'cancel 2'});
sql(q{SELECT wf_cancel('cancel 1'), wf_cancel('cancel 2')});
is(result("cancel $_"), 'CANCELLED||', "cancel $_") foreach 1, 2;
poll(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND query LIKE '%busy%' AND state = 'active'});
pass('cancel: the body is left');
poll(q{SELECT count(*) = 0 FROM durable_wf.wait});
pass('cancel: nothing is left of the wait');

# Many at once.
sql(q{SELECT count(wf_start('many ' || i, 'waits')) FROM generate_series(1, 300) i});
poll(q{SELECT count(*) = 300 FROM wf_workflows WHERE workflow_id LIKE 'many %' AND status = 'WAITING'});
sql(q{SELECT count(wf_send('many ' || i, to_jsonb(i), 't')) FROM generate_series(1, 300) i});
poll(q{SELECT count(*) = 300 FROM wf_workflows WHERE workflow_id LIKE 'many %' AND output = to_jsonb(substr(workflow_id, 6)::int)});
pass('300 suspended at once, and resumed');

# A session locks a message, or a workflow's row, and releases it.
{
	my $holder = session();

	sql(q{SELECT wf_send(id, '1', 't') FROM wf_start('waits 1', 'waits', start_after => '1 h') id});
	$holder->query_safe(q{BEGIN; SELECT wf_recv('t', '0', 'waits 1')});
	sql(q{UPDATE durable_wf.workflow SET due_at = now() WHERE workflow_id = 'waits 1'; SELECT wf_start('wakes 1', 'who')});
	suspended('waits 1');
	$holder->query_safe('ROLLBACK');
	is(result('waits 1'), 'SUCCESS|1|', 'a message that is given back resumes');

	sql(q{SELECT wf_start('waits ' || i, 'waits') FROM generate_series(2, 3) i});
	suspended("waits $_") foreach 2, 3;
	$holder->query_safe(q{BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'waits 2' FOR UPDATE});
	sql(q{SELECT wf_send('waits 2', '2', 't'), wf_send('waits 3', '3', 't')});
	is(result('waits 3'), 'SUCCESS|3|', "who holds a workflow's row does not hold up others");
	is(sql(q{SELECT status FROM wf_status('waits 2') status}), 'WAITING', 'it waits');
	$holder->query_safe('COMMIT');
	is(result('waits 2'), 'SUCCESS|2|', 'and goes on when its row is free');

	$holder->query_safe(q{SELECT pg_advisory_lock(99)});
	sql(q{SELECT wf_start('goes on', 'goes_on')});
	suspended('goes on');
	sql(q{SELECT wf_send('goes on', '1', 't')});
	poll(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 99});
	is(sql(q{SET lock_timeout = '10 s'; SELECT wf_cancel('goes on')}), 't',
		'a body that goes on after a wait holds nothing');
	is(result('goes on'), 'CANCELLED||', 'and is cancelled');

	# the lock_timeout of a role is for its commands, not for what we write down
	sql(<<'SQL');
CREATE ROLE impatient LOGIN;
ALTER ROLE impatient SET lock_timeout = '1ms';
CREATE PROCEDURE impatient(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('waits', 'SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(99)');
END $$;
SET SESSION AUTHORIZATION impatient;
SELECT wf_start('impatient', 'impatient');
SQL
	poll(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 99});
	my $log_size = -s $node->logfile;
	$holder->query_safe(q{BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'impatient' FOR UPDATE});
	$holder->query_safe(q{SELECT pg_advisory_unlock(99)});
	poll(q{SELECT count(*) = 0 FROM wf_executions e WHERE workflow_id = 'impatient' AND pid NOT IN
	       (SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event <> 'advisory')});
	$holder->query_safe('COMMIT');
	is(result('impatient'), 'SUCCESS||', 'a body whose end is held up ends well');
	unlike(slurp_file($node->logfile, $log_size), qr/lock timeout/,
		"a role's lock_timeout ends its commands, not its executor");
	$holder->quit;
}

# A broadcast that is held up at one workflow does not miss another one that is
# suspended meanwhile, nor one that was suspended and waits again.
sql(<<'SQL');
CREATE PROCEDURE hears(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
    timed_out boolean;
BEGIN
    CALL wf_wait_for_event('held up', NULL, NULL, got, timed_out);
    CALL wf_wait_for_event('held up', NULL, NULL, got, timed_out);
END $$;
SELECT wf_start('a holds up');
SQL
foreach my $before ('executed', 'suspended')
{
	my $broadcast = session();
	my $holder = session();
	my $first = waiter(q{SELECT wf_wait_for_event('held up', '120 s', 'a holds up')});
	my $id = "b $before";

	$holder->query_safe(q{BEGIN; SELECT wf_notify('held up', '2')});
	set('suspend_after', $before eq 'executed' ? '2 s' : '0');
	sql("SELECT wf_start('$id', 'hears')");
	suspended($id) if $before eq 'suspended';
	poll("SELECT EXISTS (SELECT FROM wf_waiters WHERE workflow_id = '$id')");
	start($broadcast, q{SELECT string_agg(workflow_id, ', ') FROM wf_notify('held up', '1')});
	waits_for_lock("pid = $broadcast->{pid}");
	if ($before eq 'suspended')
	{
		sql("SELECT wf_notify('held up', '0', '$id')");
		poll("SELECT EXISTS (SELECT FROM wf_list_steps('$id') WHERE output IS NOT NULL)");
	}
	suspended($id);
	$holder->query_safe('ROLLBACK');
	is(outcome($broadcast), "a holds up, $id", "a broadcast that is held up finds a body that was $before");
	outcome($first);
	if ($before eq 'executed')
	{
		poll("SELECT EXISTS (SELECT FROM wf_list_steps('$id') WHERE output IS NOT NULL)");
		poll("SELECT EXISTS (SELECT FROM wf_waiters WHERE workflow_id = '$id')");
		sql("SELECT wf_notify('held up')");
	}
	like(result($id), qr/^SUCCESS/, '... which goes on');
	$broadcast->quit;
	$holder->quit;
	$first->quit;
}

# Ping-pong: between the hot wait and the suspension nothing is lost.
foreach my $suspend_after ('0', '1ms')
{
	set('suspend_after', $suspend_after);
	sql(q{SELECT wf_start('client')});
	sql(qq{SELECT count(wf_start('pong $suspend_after ' || i, 'pong', '[40]')) FROM generate_series(1, 20) i});
	is(sql(<<"SQL"), 800, "ping-pong: none is lost, suspended after $suspend_after");
DO \$\$
DECLARE got jsonb;
BEGIN
    FOR round IN 1 .. 40 LOOP
        FOR i IN 1 .. 20 LOOP
            PERFORM wf_send('pong $suspend_after ' || i, to_jsonb(round), 'ping');
        END LOOP;
        COMMIT;
        FOR i IN 1 .. 20 LOOP
            CALL wf_recv('pong $suspend_after ' || i, '60 s', 'client', got);
            IF got IS DISTINCT FROM to_jsonb(round) THEN
                RAISE EXCEPTION 'lost in round % by %: %', round, i, got;
            END IF;
        END LOOP;
    END LOOP;
END \$\$;
SELECT sum((r.status = 'SUCCESS')::int * 40) FROM wf_workflows w, LATERAL wf_result(w.workflow_id) r
 WHERE w.workflow_id LIKE 'pong $suspend_after %';
SQL
}

# Deaths: at each commit point of five steps the process is killed, the last
# time with the whole server.
foreach my $way ('terminate', 'kill -9', 'immediate')
{
	my $id = "five $way";
	my $points = $way eq 'terminate' ? 5 : 2;
	my $guard = session();

	set('max_attempts', 10);
	$guard->query_safe("SELECT pg_advisory_lock(100 + $_)") foreach 1 .. 5;
	sql("SELECT wf_start('$id', 'five')");
	foreach my $point (1 .. $points)
	{
		my $pid;

		poll("SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 100 + $point");
		$pid = sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
		is(sql("SELECT string_agg(what, ',' ORDER BY n) FROM effect WHERE workflow_id = '$id'"),
			join(',', map { "step $_" } 1 .. $point), "$id: before point $point");
		if ($way eq 'terminate')
		{
			sql("SELECT pg_terminate_backend($pid)");
			$guard->query_safe("SELECT pg_advisory_unlock(100 + $point)");
			next;
		}
		# nothing runs until the locks are there again
		set('paused', 'on');
		if ($way eq 'kill -9')
		{
			kill_backend($pid, $guard);
		}
		else
		{
			$node->stop('immediate');
			eval { $guard->{run}->finish };
			$node->start;
		}
		$guard = session();
		if ($point < $points)
		{
			$guard->query_safe("SELECT pg_advisory_lock(100 + $_)") foreach $point + 1 .. 5;
		}
		set('paused', 'off');
	}
	$guard->query('SELECT pg_advisory_unlock_all()');
	suspended($id);
	sql("SELECT wf_send('$id', '1', 'go')");
	suspended($id);
	sql("SELECT wf_send('$id', '2', 'go')");
	is(result($id), 'SUCCESS|2|', "$id: ends well");
	is(sql("SELECT string_agg(what, ',' ORDER BY n) FROM effect WHERE workflow_id = '$id'"),
		'step 1,step 2,step 3,step 4,step 5,caught', "$id: each step once");
	$guard->quit;
}

# A body that always takes its process along is given up.
set('max_attempts', 2);
sql(q{SELECT wf_start('dies', 'runs', '["SELECT pg_terminate_backend(pg_backend_pid())"]')});
is(result('dies'), "ERROR||the workflow's body has crashed 2 times in a row",
	'crashes: not for ever');

# Deadlines as timeouts: the one that is recorded counts, over a crash, and
# whatever is left of it in a replay.
sql(<<'SQL');
CREATE PROCEDURE due(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    due timestamptz := input->>'due'; late jsonb; first jsonb; second jsonb; woke_at timestamptz;
BEGIN
    CALL public.wf_recv('go', public.wf_until('2000-01-01'), NULL, late);
    CALL public.wf_recv('go', public.wf_until(due), NULL, first);
    CALL public.wf_recv('go', public.wf_until(due), NULL, second);
    CALL public.wf_sleep(public.wf_until(due), woke_at);
    PERFORM public.wf_complete(jsonb_build_array(late, first, second, woke_at >= due, clock_timestamp() >= due));
END $$;
SQL
# A slow machine needs more time until the news are there.
foreach my $seconds (3, 12, 48)
{
	my ($due, $with_news) = ("due $seconds", "due $seconds with news");

	sql("SELECT wf_start(id, 'due', jsonb_build_object('due', clock_timestamp() + '$seconds s')) FROM unnest('{$due,$with_news}'::text[]) id");
	poll("SELECT bool_and(status = 'WAITING') OR bool_or(status = 'SUCCESS') FROM wf_workflows WHERE workflow_id IN ('$due', '$with_news')");
	$node->stop('immediate');
	$node->start;
	my $is_in_time = sql(qq{SELECT wf_send('$with_news', '"in time"', 'go') > 0 WHERE wf_status('$with_news') = 'WAITING';
		SELECT clock_timestamp() < (input->>'due')::timestamptz FROM wf_workflows WHERE workflow_id = '$with_news'});
	next if $is_in_time ne "t\nt" && $seconds < 48;
	is(result($with_news), 'SUCCESS|[null, "in time", null, true, true]|', 'until a moment: what came before it');
	is(result($due), 'SUCCESS|[null, null, null, true, true]|', 'until a moment: over a crash');
	last;
}

# News that only listeners want wait for their gap; those that a suspended
# workflow waits for do not, also if the same had come before it waited.
{
	my $listener = session();

	set('notify_min_gap', '60s');
	poll(q{SELECT current_setting('durable_wf.notify_min_gap') = '1min'});
	sql(q{CREATE PROCEDURE twice(input jsonb) LANGUAGE plpgsql AS $$
		DECLARE got jsonb;
		BEGIN
			CALL wf_recv('t', NULL, NULL, got);
			CALL wf_recv('t', NULL, NULL, got);
			PERFORM wf_complete(got);
		END $$});
	$listener->query_safe(q{SELECT wf_listen()});
	sql(q{SELECT wf_start('first news'); SELECT pg_sleep(0.2)});
	sql(q{SELECT wf_start('behind', 'twice', start_after => '1 h'), wf_send('behind', '1', 't')});
	sql(q{UPDATE durable_wf.workflow SET due_at = now(), owner = owner WHERE workflow_id = 'behind'; SELECT wf_start('wakes', 'who')});
	suspended('behind');
	sql(q{SELECT wf_send('behind', '2', 't')});
	is(sql(q{SELECT * FROM wf_result('behind', '30 s')}), 'SUCCESS|2|', 'listeners: a suspended workflow does not wait for their gap');
	set('notify_min_gap', '10ms');
	$listener->quit;
}

# Paused, and a copy.
set('paused', 'on');
poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND query LIKE 'workflows are paused%'});
sql(q{SELECT wf_start('paused', 'who')});
is(sql(q{SELECT status FROM wf_result('paused', '300 ms')}), 'PENDING', 'paused: nothing runs');
set('paused', 'off');
is(result('paused'), 'SUCCESS|["postgres", "postgres"]|', 'paused: it goes on');

# Others' bodies that never yield do not keep a role from running.
$node->append_conf('postgresql.conf', "durable_wf.max_executors = 2\ndurable_wf.executor_idle_timeout = '100ms'");
$node->reload;
poll(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'});
pass('executors leave when there is nothing to do');
sql(q{SELECT count(wf_start('busy ' || i, 'busy')) FROM generate_series(1, 5) i});
poll(q{SELECT count(*) = 2 FROM wf_workflows WHERE workflow_id LIKE 'busy %' AND status = 'RUNNING'});
is(sql(q{SELECT count(*), count(DISTINCT e.workflow_id) FROM wf_executions e JOIN pg_stat_activity a USING (pid)
	WHERE kind = 'executor' AND backend_type = 'durable_wf executor' AND e.workflow_id LIKE 'busy %'}),
	'2|2', 'wf_executions shows who runs them');
sql(q{SET ROLE worker; SELECT wf_start('fair', 'who')});
is(result('fair'), 'SUCCESS|["worker", "worker"]|', 'fairness: another role runs');
is(sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'busy %' AND status = 'RUNNING'}),
	2, 'and no more than durable_wf.max_executors of one role');
sql(q{DROP EXTENSION durable_wf CASCADE});
pass('DROP EXTENSION ends them');

$node->stop;
done_testing();
