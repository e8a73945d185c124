# Whom news let go on: each workflow once, however it is found, and however
# many wait for one thing.  What one body waits for goes to an idle executor,
# past the worker, and is never lost on the way; nor is other work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf
  qw(start_node sql sql_in poll suspended session switches freeze thaw kill_backend waits_for_lock worker
  executors set until_true);
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $node = start_node('main',
	{ 'durable_wf.suspend_after' => '0', 'durable_wf.executor_idle_timeout' => '1h', restart_after_crash => 'on',
		'durable_wf.max_executors' => 2 });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    RAISE LOG 'run of "%"', wf_current();
    CALL wf_get_event('source', input#>>'{}', '1 day', got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE waits_for_two(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    source int;
    got jsonb;
BEGIN
    RAISE LOG 'run of "%"', wf_current();
    CALL wf_wait_any('[{"topic": "a"}, {"topic": "b"}]', '1 day', NULL, source, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE holds(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
END $$;
CREATE PROCEDURE passes(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
END $$;
CREATE PROCEDURE answers(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    LOOP
        CALL wf_recv('topic', '1 day', NULL, got);
        PERFORM wf_send('source', got, 'answer');
    END LOOP;
END $$;
CREATE PROCEDURE one(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    CALL wf_recv('topic', '1 day', NULL, got);
    PERFORM wf_complete(got);
END $$;
SELECT wf_start('source');
SQL

# How often each workflow of these was run; sorted, each number once.
sub runs_of
{
	my ($ids) = @_;
	my $log = slurp_file($node->logfile);
	my %runs;
	$runs{$_}++ foreach $log =~ /LOG:  run of "($ids)"/g;
	my %numbers = map { $_ => 1 } values %runs;
	return join ', ', sort keys %numbers;
}

# Wait until so many workflows of a kind have a status.
sub have
{
	my ($count, $ids, $status) = @_;
	poll(qq{SELECT count(*) = $count FROM wf_workflows WHERE workflow_id LIKE '$ids' AND status = '$status'});
	return;
}

# A commit brings both things that a workflow waits for.
sql(q{SELECT wf_start('two', 'waits_for_two')});
suspended('two');
sql(q{SELECT wf_send('two', '1', 'a'), wf_send('two', '2', 'b')});
have(1, 'two', 'SUCCESS');
is(runs_of('two'), '2', 'two news of one commit: the workflow is found once');

# More wait for one event than are served at a time; and where there is no
# index by address, a statement finds them.
foreach my $count (300, 3)
{
	sql('DROP INDEX durable_wf.wait_target_idx') if $count == 3;
	sql(qq{SELECT wf_start('$count-' || n, 'waits', '"$count"') FROM generate_series(1, $count) n});
	have($count, "$count-%", 'WAITING');
	sql(qq{SELECT wf_set_event('$count', '$count', 'source')});
	have($count, "$count-%", 'SUCCESS');
	is(runs_of("$count-\\d+"), '2', "$count wait for one event: each goes on, once");
}


sql('CREATE INDEX wait_target_idx ON durable_wf.wait (target_id, door, key)');

# ----- handed over -----

# Wait until all executors idle; returns the pid of the only one.  The worker
# starts a second one if the first is slow to look, which is ended here.
sub idles
{
	poll(q{SELECT count(pg_terminate_backend(pid, 60000)) = 0 FROM (SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf executor' ORDER BY backend_start, pid OFFSET 1) AS surplus});
	poll(q{SELECT count(*) = 1 AND bool_and(wait_event_type = 'Extension') AND NOT EXISTS (SELECT FROM wf_executions)
		FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'});
	return executors();
}

# Start a body that is suspended; its executor idles then.
sub suspend
{
	my ($id, $body) = @_;
	sql(qq{SELECT wf_start('$id', '$body')});
	suspended($id);
	return idles();
}

# A test: a workflow has ended with what was sent.
sub ends_with
{
	my ($id, $value, $name) = @_;
	poll(qq{SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = '$id'});
	is(sql(qq{SELECT output FROM wf_workflows WHERE workflow_id = '$id'}), $value, $name);
	return;
}

# The worker sleeps.
$node->restart;		# no executor; the next body starts the only one
{
	my $sender = session();
	my ($worker, $before, $now);
	suspend("plain $_", 'answers') foreach 1 .. 3;
	$worker = worker('postgres');
	until_true(
		sub {
			($before, $now) = ($now // -1, switches($worker));
			idles();
			return $before == $now && $now == switches($worker);
		},
		'the worker sleeps');
	foreach my $i (1 .. 3)
	{
		$sender->query_safe(qq{SELECT wf_send('plain $i', '$i', 'topic')});
		poll(qq{SELECT count(*) = $i FROM durable_wf.message WHERE workflow_id = 'source'});
		suspended("plain $i");
		idles();
	}
	is(switches($worker) - $before, 0, 'three bodies go on one after the other; the worker has slept');
	$sender->quit;
}

# The executor is stopped: the worker gets what comes next, and the executor that
# it starts takes what the other one was woken for.
$node->restart;		# no executor; the next body starts the only one
{
	my $executor = { pid => suspend('stopped', 'one') };
	suspend('beside', 'one');
	freeze($executor);
	sql(q{SELECT wf_send('stopped', '1', 'topic')});
	is(sql(q{SELECT status FROM wf_workflows WHERE workflow_id = 'stopped'}),
		'WAITING', 'its executor is stopped: nobody else resumes it');
	sql(q{SELECT wf_send('beside', '2', 'topic')});
	ends_with('beside', 2, '... the worker serves what comes next');
	ends_with('stopped', 1, '... and another executor the first one');
	thaw($executor);
}

# The executor ends before it looks.
$node->restart;		# no executor; the next body starts the only one
{
	my $executor = { pid => suspend('ended', 'one') };
	freeze($executor);
	sql(q{SELECT wf_send('ended', '1', 'topic')});
	kill 'TERM', $executor->{pid};
	thaw($executor);
	ends_with('ended', 1, 'an executor that ends before it looks leaves it to the worker');
}

# A crash: the place is empty after it.
$node->restart;		# no executor; the next body starts the only one
{
	my $executor = { pid => suspend('crashed', 'one') };
	freeze($executor);
	sql(q{SELECT wf_send('crashed', '1', 'topic')});
	kill_backend($executor->{pid});
	ends_with('crashed', 1, 'a crash: the next worker reads the tables');
}

# Bodies are paused before it looks.
$node->restart;		# no executor; the next body starts the only one
{
	my $executor = { pid => suspend('paused', 'one') };
	freeze($executor);
	sql(q{SELECT wf_send('paused', '1', 'topic')});
	set('paused', 'on');
	thaw($executor);
	until_true(sub { executors() eq '' }, 'the executor has left');
	isnt(sql(q{SELECT status FROM wf_workflows WHERE workflow_id = 'paused'}), 'SUCCESS', 'paused: it waits');
	set('paused');
	ends_with('paused', 1, 'when bodies run again, it goes on');
}

# Its row is locked by another session; it is another role's by now.
$node->restart;		# no executor; the next body starts the only one
{
	my $locker = session();
	suspend('locked', 'one');
	suspend('given', 'one');
	$locker->query_safe(q{BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'locked' FOR UPDATE});
	sql(q{SELECT wf_send('locked', '1', 'topic')});
	poll(q{SELECT deadline < now() + '1 hour' FROM durable_wf.wait WHERE workflow_id = 'locked'});
	$locker->query_safe('COMMIT');
	ends_with('locked', 1, 'its row is locked: the worker comes back to it');

	sql(q{CREATE ROLE other LOGIN; GRANT USAGE ON SCHEMA public TO other; SELECT wf_set_owner('given', 'other')});
	sql(q{SELECT wf_send('given', '1', 'topic')});
	ends_with('given', 1, 'it has another owner: the worker finds an executor of that one');
	$locker->quit;
}

# A body is started while the only executor is claiming another one.
$node->restart;		# no executor; the next body starts the only one
{
	my $holder = session();
	my $locker = session();
	suspend('before', 'one');
	$holder->query_safe('SELECT pg_advisory_lock(1)');
	$locker->query_safe('BEGIN; LOCK TABLE durable_wf.step IN ACCESS EXCLUSIVE MODE');
	sql(q{SELECT wf_start('holds', 'holds')});
	waits_for_lock(q{backend_type = 'durable_wf executor'});
	sql(q{SELECT wf_start('second', 'passes')});
	$locker->query_safe('COMMIT');
	poll(q{SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = 'second'});
	is(sql(q{SELECT status FROM wf_workflows WHERE workflow_id = 'holds'}),
		'RUNNING', 'what is started meanwhile does not wait for the end of the other one');
	$holder->query_safe('SELECT pg_advisory_unlock(1)');
	poll(q{SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = 'holds'});
	$_->quit foreach $holder, $locker;
}

# A new executor finds the row locked that it was started for, and claims another
# body: who comes back to the first one?  Its login is held up meanwhile.
$node->restart;
{
	my ($holder, $login, $starter) = map { session() } 1 .. 3;
	$holder->query_safe('SELECT pg_advisory_lock(1)');
	$login->query_safe('BEGIN; LOCK TABLE pg_db_role_setting IN ACCESS EXCLUSIVE MODE');
	$starter->query_safe(q{BEGIN; SELECT wf_start('left', 'passes'); SELECT wf_start('taken', 'holds'); COMMIT});
	until_true(
		sub { $starter->query_safe(q{SELECT count(*) FROM pg_locks WHERE relation = 'pg_db_role_setting'::regclass AND NOT granted}) eq '1' },
		'an executor logs in');
	$starter->query_safe(q{BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'left' FOR UPDATE});
	$login->query_safe('ROLLBACK');
	poll(q{SELECT count(*) = 1 FROM wf_executions WHERE workflow_id = 'taken'});
	$starter->query_safe('ROLLBACK');
	poll(q{SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = 'left'});
	is(sql(q{SELECT status FROM wf_workflows WHERE workflow_id = 'taken'}),
		'RUNNING', 'what was locked in the first look of an executor does not wait for the end of what it took');
	$holder->query_safe('SELECT pg_advisory_unlock(1)');
	poll(q{SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = 'taken'});
	$_->quit foreach $holder, $login, $starter;
}

# Another database's executor idles, whose bodies wait at addresses that share the
# places of hints with ours: of a thousand here and a thousand there, some do.
$node->restart;
{
	my $elsewhere = 'elsewhere';
	my $start = q{SELECT count(wf_start('many ' || n, 'one')) FROM generate_series(1, 1000) n};
	my $wait = q{SELECT count(*) = 1000 FROM durable_wf.workflow WHERE workflow_id LIKE 'many %' AND status = 'WAITING'};

	sql("CREATE DATABASE $elsewhere");
	sql_in($elsewhere, <<'SQL');
CREATE EXTENSION durable_wf;
CREATE PROCEDURE one(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    CALL wf_recv('topic', '1 day', NULL, got);
    PERFORM wf_complete(got);
END $$;
SQL
	foreach my $database ('postgres', $elsewhere)
	{
		sql_in($database, $start);
		$node->poll_query_until($database, $wait) or die "not all wait in $database";
	}
	poll(qq{SELECT count(*) > 0 FROM pg_stat_activity
		WHERE datname = '$elsewhere' AND backend_type = 'durable_wf executor' AND wait_event_type = 'Extension'});
	sql(<<'SQL');
DO $$ BEGIN
    FOR n IN 1 .. 1000 LOOP
        PERFORM wf_send('many ' || n, to_jsonb(n), 'topic');
        COMMIT;
    END LOOP;
END $$
SQL
	have(1000, 'many %', 'SUCCESS');
	is(sql(q{SELECT count(*) FROM wf_workflows WHERE 'many ' || output::text = workflow_id}),
		1000, "a thousand bodies go on, though another database's wait at addresses like theirs");
}

done_testing();
