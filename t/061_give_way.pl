# Executors whose bodies only wait, and idle ones, give way to other work.
# Nothing here ends by time: bodies would keep their executors for an hour, and
# idle executors would stay as long.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll session kill_backend result suspended
  executors end_executors);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node(
	'main',
	{
		max_worker_processes => 24,
		restart_after_crash => 'on',
		'durable_wf.max_executors' => 2,
		'durable_wf.suspend_after' => '1h',
		'durable_wf.executor_idle_timeout' => '1h'
	});

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE PROCEDURE quick(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_complete('1');
END $$;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE waits_an_hour(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    CALL wf_recv('t', '30 min', NULL, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE child(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_complete(input);
END $$;
CREATE PROCEDURE parent(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    status text;
    output jsonb;
    error text;
BEGIN
    FOR i IN 1 .. 3 LOOP
        PERFORM wf_start(wf_current() || '/' || i, 'child', to_jsonb(i));
        CALL wf_result(wf_current() || '/' || i, NULL, status, output, error);
        IF output IS DISTINCT FROM to_jsonb(i) THEN
            RAISE EXCEPTION '%: %', status, error;
        END IF;
    END LOOP;
    PERFORM wf_complete(output);
END $$;
-- its executor is busy, with neither a wait nor a lock
CREATE TABLE gate (is_open boolean);
INSERT INTO gate VALUES (false);
GRANT SELECT ON gate TO PUBLIC;
CREATE PROCEDURE is_busy(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    WHILE NOT (SELECT is_open FROM gate) LOOP
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
SQL

# How many executors a role has.
sub count_of
{
	my ($role) = @_;

	return sql("SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'durable_wf executor' AND usename = '$role'");
}

# Start this many workflows of a role.
sub begin
{
	my ($role, $prefix, $body, $count) = @_;

	sql("SET ROLE $role; SELECT count(wf_start('$prefix ' || n, '$body')) FROM generate_series(1, $count) n");
	return;
}

# Poll until a condition holds for the statuses of the workflows of a prefix.
sub are
{
	my ($prefix, $condition) = @_;

	poll("SELECT $condition FROM wf_workflows WHERE workflow_id LIKE '$prefix %'");
	return;
}

# Send to workflows 1 to $count of a prefix; returns how many end well by it.
sub answered
{
	my ($prefix, $count) = @_;

	sql("SELECT count(wf_send('$prefix ' || n, to_jsonb(n), 't')) FROM generate_series(1, $count) n");
	return sql("SELECT count(*) FROM generate_series(1, $count) n,
		LATERAL (SELECT * FROM wf_result('$prefix ' || n, '120 s')) r
		WHERE r.status = 'SUCCESS' AND r.output = to_jsonb(n)");
}

# Poll until a body waits with its executor.
sub is_kept
{
	my ($id) = @_;

	poll("SELECT count(*) = 1 FROM wf_waiters v JOIN wf_executions e USING (pid) WHERE e.workflow_id = '$id'");
	return;
}

# ---------------------------------------------------------------- one role

# A body that waits keeps its executor while there is room.
begin('postgres', 'hot', 'waits', 2);
is_kept("hot $_") foreach 1, 2;
is(sql(q{SELECT string_agg(status, ' ') FROM wf_workflows WHERE workflow_id LIKE 'hot %'}), 'RUNNING RUNNING', 'with room for both: bodies that wait keep their executors');

# One that is due takes the executor of one of them, which is idle then.
begin('postgres', 'due', 'quick', 1);
is(result('due 1'), 'SUCCESS|1|', 'another one runs');
is(sql(q{SELECT string_agg(status, ' ' ORDER BY status) FROM wf_workflows WHERE workflow_id LIKE 'hot %'}), 'RUNNING WAITING', 'no more of them than needed were suspended');
foreach my $n (1 .. 5)
{
	poll(q{SELECT count(*) = 1 FROM pg_stat_activity a WHERE backend_type = 'durable_wf executor' AND wait_event_type = 'Extension' AND NOT EXISTS (SELECT FROM wf_executions e WHERE e.pid = a.pid)});
	begin('postgres', "idle $n", 'quick', 1);
	is(result("idle $n 1"), 'SUCCESS|1|', "idle executors serve first: $n");
}
is(sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'hot %' AND status = 'RUNNING'}), 1, 'and the other body keeps its own');
is(answered('hot', 2), 2, 'both go on');

# Many bodies that only wait: the last ones may stay, no other.  These are two, or
# up to four: an executor that waited for a lock when the worker looked (for one
# moment, to make the table longer) has not counted.
begin('postgres', 'many', 'waits', 40);
are('many', q{count(*) FILTER (WHERE status = 'WAITING') >= 36 AND count(*) FILTER (WHERE status = 'PENDING') = 0});
pass('40 bodies that only wait are suspended but for the last ones');
is(answered('many', 40), 40, 'and go on');

# The deadline of a wait is no reason to keep an executor either.
begin('postgres', 'long', 'waits_an_hour', 10);
are('long', q{count(*) FILTER (WHERE status = 'WAITING') >= 6});
is(answered('long', 10), 10, 'bodies that wait with a timeout');

# Children run while their parents wait for them.
begin('postgres', 'parent', 'parent', 20);
is(sql(q{SELECT count(*) FROM generate_series(1, 20) n, LATERAL (SELECT * FROM wf_result('parent ' || n, '120 s')) r WHERE r.output = '3'}), 20, 'parents wait for their children');

# One executor, and one body that waits: it is suspended when another is due,
# and that one stays.
set('max_executors', 1);
end_executors();
begin('postgres', 'single', 'waits', 1);
is_kept('single 1');
begin('postgres', 'second', 'waits', 1);
suspended('single 1');
is_kept('second 1');
is(sql(q{SELECT status FROM wf_workflows WHERE workflow_id = 'second 1'}), 'RUNNING', 'the last one keeps the executor');
is(answered('single', 1) + answered('second', 1), 2, 'both go on');
set('max_executors', 2);

# Bodies that begin to wait after others have become due.
end_executors();
begin('postgres', 'busy', 'is_busy', 2);
are('busy', q{count(*) FILTER (WHERE status = 'RUNNING') = 2});
begin('postgres', 'behind', 'quick', 5);
is(sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'behind %' AND status = 'PENDING'}), 5, 'no executor is there for others');
sql('UPDATE gate SET is_open = true');
is(result("behind $_"), 'SUCCESS|1|', "they run when the first ones wait: $_") foreach 1 .. 5;
is(answered('busy', 2), 2, 'which go on');

# --------------------------------------------------------------- two roles

# Idle executors of one role leave for another role's work.
end_executors();
sql('UPDATE gate SET is_open = false');
begin('alice', 'of alice', 'waits', 2);
is_kept("of alice $_") foreach 1, 2;
is(answered('of alice', 2), 2, 'alice has two executors');
is(count_of('alice'), 2, 'which are idle');
begin('bob', 'of bob', 'is_busy', 3);
are('of bob', q{count(*) FILTER (WHERE status = 'RUNNING') = 2});
poll(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND usename = 'alice'});
pass('idle executors leave for the work of another role');
is(count_of('bob'), 2, 'which gets no more than durable_wf.max_executors');
begin('alice', 'again', 'quick', 3);
is(result("again $_"), 'SUCCESS|1|', "alice gets one beyond that: $_") foreach 1 .. 3;
is(count_of('alice'), 1, 'and no more');
is(count_of('bob'), 2, 'which makes nobody leave');
sql('UPDATE gate SET is_open = true');
is(answered('of bob', 3), 3, 'bob is done');

# Bodies of one role that wait are suspended for another role's work.
end_executors();
sql('UPDATE gate SET is_open = false');
begin('alice', 'hot of alice', 'waits', 2);
is_kept("hot of alice $_") foreach 1, 2;
begin('bob', 'busy of bob', 'is_busy', 1);
are('busy of bob', q{count(*) FILTER (WHERE status = 'RUNNING') = 1});
is(sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'hot of alice %' AND status = 'RUNNING'}), 2, 'bob gets an executor beyond those of alice');
begin('bob', 'more of bob', 'quick', 3);
is(result("more of bob $_"), 'SUCCESS|1|', "another one, when bodies of alice give way: $_") foreach 1 .. 3;
suspended("hot of alice $_") foreach 1, 2;
is(answered('hot of alice', 2), 2, 'they go on');
sql('UPDATE gate SET is_open = true');
is(answered('busy of bob', 1), 1, 'and so does the one of bob');

# Two roles at a time.
begin('alice', 'all of alice', 'waits', 30);
begin('bob', 'all of bob', 'waits', 30);
are("all of $_", q{count(*) FILTER (WHERE status = 'WAITING') >= 25 AND count(*) FILTER (WHERE status = 'PENDING') = 0}) foreach 'alice', 'bob';
is(answered('all of alice', 30) + answered('all of bob', 30), 60, 'many bodies of two roles');

# ----------------------------------------------------------- a crash, an end

end_executors();
begin('postgres', 'killed', 'waits', 40);
are('killed', q{count(*) FILTER (WHERE status = 'WAITING') > 5});
kill_backend((split /\n/, executors())[0]);
begin('postgres', 'after', 'waits', 10);
are('after', q{count(*) FILTER (WHERE status = 'PENDING') = 0});
are('killed', q{count(*) FILTER (WHERE status = 'WAITING') >= 36});
is(answered('killed', 40) + answered('after', 10), 50, 'kill -9 in the middle');

# Executors that end while they are wanted.
begin('postgres', 'ended', 'waits', 40);
end_executors() foreach 1 .. 3;
are('ended', q{count(*) FILTER (WHERE status = 'WAITING') >= 36});
is(answered('ended', 40), 40, 'executors that are ended in the middle');

$node->stop;
done_testing();
