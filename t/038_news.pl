# News for the worker: those for listeners wait for the least gap, those for
# suspended workflows do not, and what nothing waits for does not wake it.  A
# commit that wakes thousands does not delay those that one other wakes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf
  qw(start_node set sql sql_in poll until_true session switches suspended);
use DurableWf::Listener qw(listener ask heard);
use Test::More;

my $node = start_node(
	'main',
	{
		'durable_wf.notify_min_gap' => '10ms',
		'durable_wf.suspend_after' => '0',
		max_prepared_transactions => 5,
	});

my $setup = <<'SQL';
CREATE EXTENSION durable_wf;
CREATE PROCEDURE two(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    one jsonb;
    two jsonb;
BEGIN
    CALL wf_recv(input->>0, '1 day', NULL, one);
    CALL wf_recv(input->>1, '1 day', NULL, two);
    PERFORM wf_complete(jsonb_build_array(one, two));
END $$;
SQL
sql($setup);
sql(q{SELECT wf_start('end'), wf_start('w')});
my $listener = listener('postgres', undef);
# How much a listener has got since the gap began, but for the first news.
my $news = sub { return scalar grep { $_->[1] !~ /first/ } @{ $listener->{news} || [] } };

# Let a long gap begin; what the listener has not heard before, it hears at its end.
sub begin_gap
{
	set('notify_min_gap', '10ms');
	heard($listener);
	set('notify_min_gap', '60s');
	sql(q{SELECT wf_send('w', '1', 'first')});
	return;
}

# Workflows are suspended here and, one of them with the same id, elsewhere:
# news for the listener wake the worker once, not each time.
{
	my $sender = session();
	my ($worker, $before);

	sql('CREATE DATABASE other');
	sql_in('other', $setup);
	sql_in('other', q{SELECT wf_start('w', 'two', '["first", "news"]')});
	$node->poll_query_until('other', q{SELECT status = 'WAITING' FROM wf_workflows});
	sql(q{SELECT wf_start('v', 'two', '["first", "second"]')});
	suspended('v');
	begin_gap();
	$worker = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND datname = 'postgres'});
	$before = switches($worker);
	$sender->query_safe(qq{SELECT wf_send('w', '1', 'news $_')}) foreach 1 .. 100;
	$sender->query_safe(q{SELECT wf_send('w', '1', 'news')});
	cmp_ok(switches($worker) - $before, '<', 20,
		'calm: the worker sleeps for the rest of the gap');

	# what is expected is told at once, and the other workflow is not concerned
	sql(q{SELECT wf_send('v', '1', 'first')});
	poll(q{SELECT count(*) = 1 FROM durable_wf.wait WHERE workflow_id = 'v' AND key = 'second'});
	sql(q{SELECT wf_send('v', '2', 'second')});
	poll(q{SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = 'v'});
	ask($listener, 'SELECT WHERE false');
	is($news->(), 0, 'urgent: a workflow goes on before the gap is over');
	is(sql_in('other', q{SELECT status FROM wf_workflows}),
		'WAITING', 'urgent: not the one of this id elsewhere');
	$sender->quit;
}

# News lie in the ring for the listener when a workflow begins to wait for the
# like; the next ones are told again, and at once.
{
	my $sender = session();

	begin_gap();
	set('paused', 'on');
	poll(q{SELECT query LIKE 'workflows are paused%' FROM pg_stat_activity
			WHERE backend_type = 'durable_wf worker' AND datname = 'postgres'});
	sql(q{SELECT wf_start('u', 'two', '["both", "both"]')});
	$sender->query_safe(q{SELECT wf_send('u', '1', 'both')});
	set('paused', undef);
	poll(q{SELECT count(*) = 1 FROM durable_wf.wait WHERE workflow_id = 'u' AND step_no = 2});
	$sender->query_safe(q{SELECT wf_send('u', '2', 'both')});
	poll(q{SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = 'u'});
	is(sql(q{SELECT output FROM wf_workflows WHERE workflow_id = 'u'}), '[1, 2]', 'again: it has both');
	ask($listener, 'SELECT WHERE false');
	is($news->(), 0, 'again: before the gap is over');
	$sender->quit;
}

$listener->quit;

# A crowd of suspended workflows, of a role that may not log in: those that are
# resumed have got a time, and wait for an executor for ever.  Behind them, in
# each order, one more.
sql(<<'SQL');
CREATE ROLE crowd NOLOGIN;
CREATE TABLE waits AS
  SELECT CASE n WHEN 0 THEN 'z' ELSE 'crowd ' || n END AS id, CASE WHEN n = 0 THEN 'z' ELSE 'crowd ' || n END AS target,
         'm'::"char" AS door, 'go' AS key FROM generate_series(0, 5000) n;
CREATE PROCEDURE suspend_all(event boolean) LANGUAGE sql AS $$
  DELETE FROM durable_wf.message WHERE workflow_id IN (SELECT id FROM waits);
  DELETE FROM durable_wf.wait WHERE workflow_id IN (SELECT id FROM waits);
  DELETE FROM durable_wf.workflow WHERE workflow_id IN (SELECT id FROM waits);
  INSERT INTO durable_wf.workflow (workflow_id, owner, status, body)
    SELECT id, 'crowd'::regrole::oid, 'WAITING', 'public.nobody' FROM waits;
  INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key)
    SELECT id, 0, 1, CASE WHEN event AND id <> 'z' THEN 'e' ELSE door END, CASE WHEN event AND id <> 'z' THEN 'w' ELSE target END, key FROM waits;
$$;
SELECT wf_adopt();
SQL

# With the worker stopped: one commit for the crowd, and then one for the other.
# The crowd goes on, and how many of it before the other?
sub before_the_other
{
	my ($is_event, @statements) = @_;
	my $worker = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND datname = 'postgres'});
	my $reconciles = 'SELECT reconciles FROM wf_stat WHERE door IS NULL';
	my $before;

	# let a pass see them all
	sql("CALL suspend_all($is_event)");
	sql('SELECT wf_adopt()');
	$before = sql($reconciles);
	sql(q{BEGIN; SELECT wf_set_event('lost', '1', 'w'); PREPARE TRANSACTION 'lost'});
	sql(q{COMMIT PREPARED 'lost'});
	poll("SELECT ($reconciles) > $before");
	poll("SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $worker");
	kill 'STOP', $worker or die "kill: $!";
	sql($_) foreach @statements;
	sql(q{SELECT wf_send('z', '1', 'go')});
	kill 'CONT', $worker or die "kill: $!";
	poll(q{SELECT count(*) = 5001 FROM durable_wf.workflow WHERE owner::oid = 'crowd'::regrole AND status = 'PENDING'});
	return sql(q{SELECT count(*) FROM durable_wf.workflow a, durable_wf.workflow b WHERE a.owner::oid = 'crowd'::regrole AND b.workflow_id = 'z' AND a.due_at < b.due_at});
}

my $sends = q{SELECT count(wf_send('crowd ' || n, '1', 'go')) FROM generate_series(1, 5000) n};
cmp_ok(before_the_other('false', $sends), '<', 600, 'crowd: the ring is full');
cmp_ok(
	before_the_other(
		'false', "BEGIN; $sends; PREPARE TRANSACTION 'p'", q{COMMIT PREPARED 'p'}),
	'<', 600, 'crowd: all news are lost');
cmp_ok(before_the_other('true', q{SELECT wf_set_event('go', '1', 'w')}),
	'<', 600, 'crowd: all wait for one event');

# A notification of one workflow does not read what the others wait for.
{
	sql(q{CALL suspend_all(false)});
	sql(q{UPDATE durable_wf.wait SET door = 'n', wait_id = 1; ANALYZE durable_wf.wait});
	my ($waiting, $read) = split /\n/, sql(<<'SQL');
BEGIN;
SELECT count(waiting_since) FROM generate_series(1, 10) n, wf_notify('go', '1', 'crowd ' || n);
SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables WHERE relid = 'durable_wf.wait'::regclass;
SQL
	is($waiting, 10, 'crowd: ten are notified, and were waiting');
	cmp_ok($read, '<', 100, 'crowd: the others are not read');
}

$node->stop;
done_testing();
