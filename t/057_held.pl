# What holds up one workflow holds up no other: a locked row, a body that waits
# for a lock, a role's lock_timeout, executors that end.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll session result);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 24, max_prepared_transactions => 5,
	'durable_wf.max_executors' => 4 });
my $executors = q{FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'};

# How many workflows with this prefix have ended well, when all should have.
sub succeed
{
	my ($prefix) = @_;

	return sql("SELECT count(*) FROM wf_workflows w, LATERAL (SELECT status FROM wf_result(w.workflow_id, '60 s')) r WHERE w.workflow_id LIKE '$prefix%' AND r.status = 'SUCCESS'");
}

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE alice LOGIN;
CREATE ROLE hasty LOGIN;
ALTER ROLE hasty SET lock_timeout = '10 ms';
ALTER ROLE hasty SET statement_timeout = '60 s';
CREATE ROLE killer LOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE PROCEDURE quick(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_complete('1');
END $$;
CREATE PROCEDURE returns(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
END $$;
CREATE PROCEDURE raises(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
    RAISE EXCEPTION 'no';
END $$;
CREATE PROCEDURE completes(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
    PERFORM wf_complete('1');
END $$;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE dies(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_terminate_backend(pg_backend_pid());
    PERFORM pg_sleep(60);
END $$;
SQL

# ------------------------------------------------------------- rows that are held

# Those that are due, by a prepared transaction and in all ways of locking.
foreach my $role ('postgres', 'hasty')
{
	my $holder = session();
	my $other = session();

	# nothing runs before all are held
	set('paused', 'on');
	sql("SET ROLE $role; SELECT wf_start('$role held ' || n, 'quick') FROM generate_series(1, 150) n");
	sql("BEGIN; SELECT wf_cancel('$role held ' || n) FROM generate_series(1, 110) n; PREPARE TRANSACTION 'undecided'");
	$holder->query_safe("BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = ANY (ARRAY(SELECT '$role held ' || n FROM generate_series(111, 120) n)) FOR UPDATE");
	# several sessions that share a lock: the row does not tell which
	$other->query_safe('BEGIN');
	$_->query_safe("SELECT FROM durable_wf.workflow WHERE workflow_id = ANY (ARRAY(SELECT '$role held ' || n FROM generate_series(121, 130) n)) FOR SHARE")
	  foreach $other, $holder;
	set('paused', 'off');
	poll("SELECT count(*) = 20 FROM wf_workflows WHERE workflow_id LIKE '$role held %' AND status = 'SUCCESS'");
	pass("$role: those that are not held run");
	sql("SET ROLE $role; SELECT wf_start('$role free ' || n, 'quick') FROM generate_series(1, 12) n");
	is(succeed("$role free"), 12, "$role: and those that come later");
	is(sql("SELECT count(*) $executors AND wait_event_type = 'Lock'"), 0, "$role: no executor waits for a lock");
	is(sql("SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE '$role held %' AND status = 'PENDING'"), 130, "$role: the others wait");
	$_->query_safe('COMMIT') foreach $holder, $other;
	sql(q{ROLLBACK PREPARED 'undecided'});
	is(succeed("$role held"), 150, "$role: let go, they run");
	$_->quit foreach $holder, $other;
}

# One is enough when one executor is idle.
sql(q{SELECT wf_start('warm', 'quick')});
result('warm');
set('paused', 'on');
sql(q{BEGIN; SELECT wf_start('later', 'quick'); COMMIT; BEGIN; SELECT wf_cancel('later'); PREPARE TRANSACTION 'undecided'});
set('paused', 'off');
sql(q{SELECT wf_start('free', 'quick')});
is(result('free'), 'SUCCESS|1|', 'one held row, and an idle executor');
sql(q{COMMIT PREPARED 'undecided'});
is(result('later'), 'CANCELLED||', 'and what was undecided is decided');

# Executors that leave at once are not started over and over for a held row.
set('executor_idle_timeout', 0);
poll("SELECT count(*) = 0 $executors");
set('paused', 'on');
sql(q{BEGIN; SELECT wf_start('once', 'quick'); COMMIT; BEGIN; SELECT wf_cancel('once'); PREPARE TRANSACTION 'undecided'});
set('paused', 'off');
sql(q{SELECT wf_start('beside', 'quick')});
is(result('beside'), 'SUCCESS|1|', 'executors that leave at once: one beside a held row');
sql(q{ROLLBACK PREPARED 'undecided'});
is(result('once'), 'SUCCESS|1|', 'executors that leave at once: the held one, in the end');
set('executor_idle_timeout');

# A queue of client processes.
{
	my $holder = session();

	sql(q{SELECT wf_start('q ' || n, queue => 'q') FROM generate_series(1, 2) n});
	$holder->query_safe(q{BEGIN; SELECT wf_cancel('q 1')});
	is(sql(q{SELECT wf_attach_next('q', '60 s'), wf_complete('1')}), 'q 2|', 'wf_attach_next passes by what is held');
	is(sql(q{SELECT wf_attach_next('q', '1 ms') IS NULL}), 't', 'wf_attach_next: its timeout is one');
	my $next = DurableWf::waiter(q{SELECT wf_attach_next('q', '60 s')});
	sql(q{SELECT wf_start('q 3', queue => 'q')});
	is(DurableWf::outcome($next), 'q 3', 'wf_attach_next: one that waits takes what comes, not what is held');
	my $waiter = DurableWf::waiter(q{SELECT wf_attach_next('q', '60 s')});
	$holder->query_safe('ROLLBACK');
	is(DurableWf::outcome($waiter), 'q 1', 'wf_attach_next: what is held, when it is let go');
	$_->quit foreach $next, $waiter, $holder;
}

# ------------------------------------------------------------ the end of a body

# The rows of workflows are locked when their bodies end: the ends wait, but no
# executor that others could use.
foreach my $way ('returns', 'raises', 'completes')
{
	my $guard = session();
	my $holder = session();

	$guard->query_safe('SELECT pg_advisory_lock(1)');
	sql("SELECT wf_start('$way ' || n, '$way') FROM generate_series(1, 4) n");
	poll(q{SELECT count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted});
	$holder->query_safe("BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id LIKE '$way %' FOR UPDATE");
	$guard->query_safe('SELECT pg_advisory_unlock(1)');
	poll(q{SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1});
	sql("SELECT wf_start('beside $way ' || n, 'quick') FROM generate_series(1, 6) n");
	is(succeed("beside $way"), 6, "$way: others run beside held ends");
	is(sql("SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE '$way %' AND finished_at IS NULL"), 4, "$way: the ends wait");
	is(sql("SELECT count(*) $executors AND wait_event_type = 'Lock'"), 0, "$way: no executor does") if $way ne 'completes';
	$holder->query_safe('COMMIT');
	is(result("$way $_"), { returns => 'SUCCESS||', raises => 'ERROR||no', completes => 'SUCCESS|1|' }->{$way}, "$way: $_ ends") foreach 1 .. 4;
	$_->quit foreach $guard, $holder;
}

# lock_timeout does not concern what wf_* calls do in a body.
{
	my $guard = session();
	my $holder = session();

	sql(q{CREATE PROCEDURE ends_slowly(input jsonb) LANGUAGE plpgsql AS $$
	BEGIN
	    SET lock_timeout = 0;
	    PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
	    SET lock_timeout = '10 ms';
	    PERFORM wf_complete(to_jsonb(current_setting('lock_timeout')));
	END $$});
	$guard->query_safe('SELECT pg_advisory_lock(1)');
	sql(q{SET ROLE hasty; SELECT wf_start('slow', 'ends_slowly')});
	poll(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted});
	$holder->query_safe(q{BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'slow' FOR UPDATE});
	$guard->query_safe('SELECT pg_advisory_unlock(1)');
	poll(qq{SELECT count(*) = 1 $executors AND wait_event = 'transactionid' AND now() - state_change > '100 ms'});
	$holder->query_safe('COMMIT');
	is(result('slow'), 'SUCCESS|"10ms"|', 'lock_timeout: is for what the body locks');
	$_->quit foreach $guard, $holder;
}

# ------------------------------------------------- bodies that wait for a lock

{
	my $guard = session();

	$guard->query_safe('SELECT pg_advisory_lock(1)');
	sql(q{SELECT wf_start('locked ' || n, 'returns') FROM generate_series(1, 4) n});
	poll(q{SELECT count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted});
	sql(q{SELECT wf_start('unlocked ' || n, 'quick') FROM generate_series(1, 6) n});
	is(succeed('unlocked'), 6, 'bodies that wait for a lock do not keep others from running');
	# not without a bound
	sql(q{SELECT wf_start('locked ' || n, 'returns') FROM generate_series(5, 40) n});
	poll(q{SELECT count(*) = 8 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted});
	sql(q{SET ROLE alice; SELECT wf_start('of alice ' || n, 'quick') FROM generate_series(1, 6) n});
	is(succeed('of alice'), 6, 'nor another role');
	is(sql("SELECT count(*) $executors AND usename = 'postgres'"), 8, 'at most twice durable_wf.max_executors');
	$guard->quit;
	is(succeed('locked'), 40, 'let go, they run');
}

# -------------------------------------------------------- executors that end

# Bodies of one role that end their process, all the time; another role's are
# woken and started as ever.
{
	sql(q{SET ROLE alice; SELECT wf_start('woken ' || n, 'waits') FROM generate_series(1, 10) n});
	poll(q{SELECT count(*) = 10 FROM wf_workflows WHERE workflow_id LIKE 'woken %' AND status = 'WAITING'});
	sql(q{SET ROLE killer; SELECT wf_start('dies ' || n, 'dies') FROM generate_series(1, 200) n});
	foreach my $n (1 .. 10)
	{
		sql("SELECT wf_send('woken $n', '$n', 't')");
		is(result("woken $n"), "SUCCESS|$n|", "beside bodies that end their process: woken $n");
		sql("SET ROLE alice; SELECT wf_start('started $n', 'quick')");
		is(result("started $n"), 'SUCCESS|1|', "beside bodies that end their process: started $n");
	}
	sql(q{SELECT count(wf_cancel('dies ' || n)) FROM generate_series(1, 200) n});
}

$node->stop;
done_testing();
