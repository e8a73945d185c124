# A search finds more bodies than the one that is claimed.  What it has found
# is claimed later in the order in which it would have been found then, and by
# whoever may claim it then.  Nothing that was found gets too old here.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll session result executors end_executors);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node(
	'main',
	{
		max_worker_processes => 24,
		autovacuum => 'off',
		max_prepared_transactions => 2,
		'durable_wf.max_executors' => 1,
		'durable_wf.suspend_after' => '1h',
		'durable_wf.executor_idle_timeout' => '1h',
		'durable_wf.look_ahead_time' => '1h',
		'durable_wf.debug_direct' => 'on'
	});

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE ran (n bigserial, workflow_id text, role text DEFAULT session_user);
CREATE TABLE gate (is_open boolean);
INSERT INTO gate VALUES (false);
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
CREATE PROCEDURE mark(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('mark', 'INSERT INTO ran (workflow_id) VALUES (wf_current())');
END $$;
-- its executor is busy, with neither a wait nor a lock
CREATE PROCEDURE is_busy(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('mark', 'INSERT INTO ran (workflow_id) VALUES (wf_current())');
    COMMIT;
    WHILE NOT (SELECT is_open FROM gate) LOOP
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SQL

# Have no body run, and no executor be there.
sub pause
{
	set('paused', 'on');
	end_executors();
	poll(q[SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor']);
	return;
}

# Remove what has ended; not all of it goes while another process is at work.
sub prune
{
	poll(q[SELECT wf_prune('0') >= 0 AND NOT EXISTS (SELECT FROM durable_wf.workflow WHERE finished_at IS NOT NULL)]);
	return;
}

# Queue these workflows, one after the other.
sub queue
{
	my ($role, @ids) = @_;

	sql("SET ROLE $role; " . join ' ', map { "SELECT wf_start('$_', 'mark');" } @ids);
	return;
}

# Wait until all these have ended.
sub ended
{
	my $ids = join ',', map { "'$_'" } @_;

	poll("SELECT count(*) = " . @_ . " FROM durable_wf.workflow
		WHERE workflow_id IN ($ids) AND finished_at IS NOT NULL");
	return;
}

# While nothing runs, queue a body that keeps its executor, and what comes
# behind it; returns when that body runs, and the rest was found.
sub hold
{
	my ($between, @ids) = @_;

	pause();
	prune();
	sql(q[UPDATE gate SET is_open = false; TRUNCATE ran;
		SET ROLE alice; SELECT wf_start('busy', 'is_busy')]);
	$between->();
	queue('alice', @ids);
	set('paused', 'off');
	poll("SELECT count(*) = 1 FROM ran WHERE workflow_id = 'busy'");
	return;
}

# Let it go on, until all these have ended; returns what has run, in order.
sub release
{
	my @ids = @_;

	sql('UPDATE gate SET is_open = true');
	ended('busy', @ids);
	return sql(q[SELECT string_agg(workflow_id, ' ' ORDER BY n) FROM ran WHERE role = 'alice']);
}

my $nothing = sub { };
my $long = 'long' x 25;

foreach my $direct ('on', 'off')
{
	set('debug_direct', $direct);

	# ----- the order

	hold($nothing, map { "w$_" } 1 .. 40);
	is(release(map { "w$_" } 1 .. 40), join(' ', 'busy', map { "w$_" } 1 .. 40),
		'bodies run in the order in which they are due');

	hold($nothing, 'w1', 'w2', $long, 'w3', 'w4', 'w5');
	is(release('w1', 'w2', $long, 'w3', 'w4', 'w5'), "busy w1 w2 $long w3 w4 w5",
		'also behind an id that is too long to keep');

	my $session = session();
	hold(sub { $session->query_safe(q[BEGIN; SET LOCAL ROLE alice; SELECT wf_start('early', 'mark')]) },
		map { "w$_" } 1 .. 6);
	$session->query_safe('COMMIT');
	is(release('early', map { "w$_" } 1 .. 6), 'busy early w1 w2 w3 w4 w5 w6',
		'what is committed later, but is due earlier, comes first');

	hold(sub { queue('alice', 'w1', 'w2');
		$session->query_safe(q[BEGIN; SET LOCAL ROLE alice; SELECT wf_start('middle', 'mark')]) },
		'w3', 'w4', 'w5');
	$session->query_safe(q[PREPARE TRANSACTION 'p']);
	$direct eq 'on' ? sql(q[COMMIT PREPARED 'p']) : $session->query_safe(q[COMMIT PREPARED 'p']);
	is(release('middle', map { "w$_" } 1 .. 5), 'busy w1 w2 middle w3 w4 w5',
		'between two others, and by COMMIT PREPARED');

	hold(sub { sql(q[SET ROLE bob; SELECT wf_start('given', 'mark', start_after => '1 h')]) },
		map { "w$_" } 1 .. 4);
	sql(q[UPDATE durable_wf.workflow SET owner = 'alice'::regrole::oid::durable_wf.owner, due_at = created_at WHERE workflow_id = 'given']);
	is(release('given', map { "w$_" } 1 .. 4), 'busy given w1 w2 w3 w4',
		'and so does what another role gives away');

	# ----- what may not be claimed any more

	hold($nothing, map { "w$_" } 1 .. 8);
	sql(q[SET ROLE alice; SELECT wf_cancel('w1')]);
	sql(q[SELECT wf_set_owner('w2', 'bob')]);
	ended('w2');
	$session->query_safe(q[SET ROLE alice; SELECT wf_attach('w3')]);
	my $locker = session();
	$locker->query_safe(q[BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'w4' FOR UPDATE]);
	sql(q[DELETE FROM durable_wf.workflow WHERE workflow_id = 'w5']);
	is(release('w6', 'w7', 'w8'), 'busy w6 w7 w8',
		'what was cancelled, given away, attached, locked or deleted is passed by');
	is(sql(q[SELECT string_agg(workflow_id, ' ') FROM ran WHERE role = 'bob']), 'w2',
		'the new owner runs what was given away');
	$session->query_safe(q[SELECT wf_detach(); RESET ROLE]);
	$locker->query_safe('COMMIT');
	ended('w3', 'w4');
	is(sql(q[SELECT count(*) = count(DISTINCT workflow_id) FROM ran]), 't', 'each runs once');
	$_->quit foreach $session, $locker;
}
set('debug_direct', 'on');

# ----- roles

hold($nothing, map { "w$_" } 1 .. 8);
queue('bob', 'b1');
is(result('b1'), 'SUCCESS||', 'another role does not wait behind the list');
is(sql(q[SELECT string_agg(workflow_id, ' ' ORDER BY n) FROM ran]), 'busy b1', 'which is still to come');
like(release(map { "w$_" } 1 .. 8), qr/w1 w2 w3 w4 w5 w6 w7 w8$/, 'and comes');

hold($nothing, map { "w$_" } 1 .. 8);
set('paused', 'on');
sql('UPDATE gate SET is_open = true');
result('busy');
poll(q[SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor']);
is(sql('SELECT count(*) FROM ran'), 1, 'nothing of the list runs when bodies are paused');
sql('TRUNCATE ran');
set('paused', 'off');
ended(map { "w$_" } 1 .. 8);
is(sql('SELECT count(*) FROM ran'), 8, 'and all when they go on');

# ----- several executors, and one that dies

pause();
sql('TRUNCATE ran');
prune();
queue('alice', map { "w$_" } 1 .. 100);
set('max_executors', 3);
set('paused', 'off');
ended(map { "w$_" } 1 .. 100);
is(sql(q[SELECT count(*) || ' ' || count(DISTINCT workflow_id) FROM ran]), '100 100',
	'three executors share the work');
is(sql('SELECT max(attempts) FROM durable_wf.workflow'), 1, 'and claim each body once');

set('max_executors', 1);
hold($nothing, map { "w$_" } 1 .. 8);
end_executors();
is(release(map { "w$_" } 1 .. 8) =~ s/busy //gr, 'w1 w2 w3 w4 w5 w6 w7 w8',
	'what an executor has found does not end with it');

# ----- what it is for

# How often the index of work is searched for so many bodies, at most.
sub searches
{
	my ($time) = @_;

	pause();
	set('look_ahead_time', $time);
	prune();
	queue('alice', map { "w$_" } 1 .. 64);
	sql('SELECT pg_stat_reset()');
	set('paused', 'off');
	ended(map { "w$_" } 1 .. 64);
	pause();
	return sql(q[SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'workflow_body_idx']);
}
my $few = searches('1h');
my $many = searches('0');
cmp_ok($many, '>=', 64, 'a search for each body');
cmp_ok($few, '<', $many - 32, 'or for many');
note("$few and $many searches");

$node->stop;
done_testing();
