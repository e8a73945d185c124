# What was committed survives a crash, what was not leaves no trace, and
# waiting works again after it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start asleep waiter outcome
  last_words freeze thaw kill_backend);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', { restart_after_crash => 'on' });

# All that is stored.
sub contents
{
	return sql(<<'SQL');
SELECT 'workflow', workflow_id, owner, status, input, output, error
  FROM durable_wf.workflow ORDER BY 2;
SELECT 'message', message_id, workflow_id, door, key, payload
  FROM durable_wf.message ORDER BY 2;
SELECT 'event', workflow_id, key, value FROM durable_wf.event ORDER BY 2, 3;
SELECT 'idempotency', workflow_id, scope, idempotency_key, message_id
  FROM durable_wf.idempotency ORDER BY 2, 3, 4;
SQL
}

# Waits of every door work.  Returns the id of a message that was sent.
sub waits_work
{
	my ($name) = @_;
	my @waits = (
		[ q{SELECT wf_recv('new', NULL, 'w')}, '1' ],
		[ q{CALL wf_recv_any('{new2}', NULL, 'w', NULL, NULL)}, 'new2|2' ],
		[ q{CALL wf_get_event('w', 'new', NULL, NULL)}, '3' ],
		[ q{SELECT * FROM wf_wait_for_event('new', NULL, 'w')}, '4|f' ]);
	my @sessions = map { start(session(), $_->[0]) } @waits;
	my $id;

	asleep(@sessions);
	$id = sql(q{SELECT wf_send('w', '1', 'new')});
	sql(q{SELECT wf_send('w', '2', 'new2'), wf_set_event('new', '3', 'w');
		SELECT wf_notify('new', '4')});
	is(outcome($sessions[$_]), $waits[$_][1], "$name: $waits[$_][0]")
	  foreach 0 .. 3;
	is(sql('SELECT sum(waits), sum(timeouts), sum(spurious_wakes) FROM wf_stat'),
		'4|0|0', "$name: they were woken");
	is(sql('SELECT count(*) FROM wf_waiters'), 0, "$name: nobody is left");
	sql(q{DELETE FROM durable_wf.event WHERE key = 'new'});
	$_->quit foreach @sessions;
	return $id;
}

sql('CREATE EXTENSION durable_wf');
sql(<<'SQL');
CREATE ROLE "an owner";
SELECT wf_start('w', input => '{"a": 1}'), wf_start('done'), wf_start('failed');
-- a queue that has been in use for long
DO $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		PERFORM wf_send_many(array_fill('w'::text, '{100}'),
			array_fill('1'::jsonb, '{100}'), 'q');
		PERFORM wf_recv_many('q', 100, '0', 'w');
		COMMIT;
	END LOOP;
END $$;
SELECT wf_send('w', to_jsonb('message ' || i), 'q') FROM generate_series(1, 5) i;
SELECT wf_send('w', 'null'), wf_notify('e', '1', 'w'),
       wf_send('w', '"once"', 'k', 'key'), wf_send('w', '"taken"', 'k2', 'key 2');
SELECT wf_recv('k2', '0', 'w');
SELECT wf_set_event('url', '"https://example"', 'w'),
       wf_set_event('url', '"https://example/2"', 'w');
BEGIN;
SET LOCAL durable_wf.workflow_id = 'done';
SELECT wf_complete('{"b": 2}');
SET LOCAL durable_wf.workflow_id = 'failed';
SELECT wf_fail('why');
COMMIT;
SET ROLE "an owner";
SELECT wf_start('owned');
SQL

# What is in flight when the server goes down, in sessions of their own.
sub in_flight
{
	my ($round) = @_;
	my %sessions = map { $_ => session() } qw(taker sender savepoint waiter caller);

	is( $sessions{taker}->query_safe(
			q{BEGIN; SELECT wf_recv('q', '0', 'w');
			SELECT message FROM wf_recv_many('q', 2, '0', 'w')}),
		qq{"message 1"\n"message 2"\n"message 3"},
		"$round: received and not committed");
	is( $sessions{savepoint}->query_safe(
			q{BEGIN; SAVEPOINT s; SELECT wf_recv('q', '0', 'w'); RELEASE s}),
		'"message 4"',
		"$round: received in a savepoint and not committed");
	$sessions{sender}->query_safe(<<"SQL");
BEGIN;
SELECT wf_start('uncommitted'), wf_cancel('owned');
SELECT wf_send('w', '"uncommitted"', 'q'), wf_set_event('url', '1', 'w'),
       wf_set_event('uncommitted', '1', 'w'),
       wf_send('w', '"uncommitted"', 'k', 'uncommitted $round');
SELECT wf_notify('e', '"uncommitted"', 'w');
SQL
	start($sessions{waiter}, q{SELECT wf_recv('nothing', NULL, 'w')});
	start($sessions{caller}, q{CALL wf_get_event('w', 'nothing', NULL, NULL)});
	asleep($sessions{waiter}, $sessions{caller});
	return \%sessions;
}

# After the crash "before" is what must be there.
sub all_there
{
	my ($name, $before, $last_id) = @_;
	my $id;

	is(contents(), $before, "$name: what was committed is there, no more");
	is(sql('SELECT count(*) FROM wf_waiters'), 0, "$name: nobody waits");
	is( sql(q{BEGIN; SELECT message FROM wf_recv_many('q', 9, '0', 'w'); ROLLBACK}),
		join("\n", map { "\"message $_\"" } 1 .. 5),
		"$name: messages are in their places");
	is( sql(q{SELECT wf_send('w', '"twice"', 'k', 'key') =
			(SELECT message_id FROM durable_wf.message WHERE key = 'k')}),
		't', "$name: an idempotency key still holds");
	is( sql(q{SELECT wf_send('w', '"twice"', 'k2', 'key 2') =
			(SELECT message_id FROM durable_wf.idempotency
			  WHERE idempotency_key = 'key 2')}),
		't', "$name: also that of a message that was consumed");
	is(contents(), $before, "$name: and adds nothing");
	is( sql(q{SELECT wf_status('w'), wf_status('owned'),
			wf_result('done'), wf_result('failed')}),
		q{PENDING|PENDING|(SUCCESS,"{""b"": 2}",)|(ERROR,,why)},
		"$name: workflows are as they were");
	$id = waits_work($name);
	cmp_ok($id, '>', $last_id, "$name: ids go on above those that were used");
	is(contents(), $before, "$name: and nothing else has changed");
	return;
}

# The last id that a commit has used up, and its message.
sub use_up_an_id
{
	return sql(
		q{SELECT wf_send('w', '1', 'gone'); SELECT wf_recv('gone', '0', 'w')})
	  =~ /^(\d+)/ ? $1 : die 'no id';
}

# A backend that holds received messages is killed, the server restarts.
{
	my $sessions = in_flight('kill');
	my $id = use_up_an_id();
	my $before = contents();

	kill_backend($sessions->{taker}{pid});
	like(last_words(values %$sessions),
		qr/server closed the connection/, 'kill: all sessions end');
	like(slurp_file($node->logfile),
		qr/all server processes terminated; reinitializing/,
		'kill: the server has restarted');
	all_there('kill', $before, $id);
}

# So does one that only waits.
{
	my $sessions = in_flight('kill a waiter');
	my $id = use_up_an_id();
	my $before = contents();

	kill_backend($sessions->{waiter}{pid});
	last_words(values %$sessions);
	all_there('kill a waiter', $before, $id);
}

# Immediate stop
{
	my $sessions = in_flight('immediate stop');
	my $id = use_up_an_id();
	my $before = contents();

	$node->stop('immediate');
	last_words(values %$sessions);
	$node->start;
	all_there('immediate stop', $before, $id);
}

# A clean restart
{
	my $id = use_up_an_id();
	my $before = contents();

	$node->restart;
	all_there('restart', $before, $id);
}

# A two-phase transaction that is rolled back, by another session and after
# a crash, has done nothing.
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 10');
$node->restart;
my $before;
my @acts = (
	q{wf_send('w', '1', 'q')},
	q{wf_send_many('{w}', '{1}')},
	q{wf_recv('q', '0', 'w')},
	q{wf_recv_many('q', 2, '0', 'w')},
	q{wf_set_event('url', '1', 'w')},
	q{wf_notify('e', '1', 'w')},
	q{wf_cancel('to cancel')},
	q{wf_start('prepared')});

sql(q{SELECT wf_start('to cancel')});
$before = contents();
sql("BEGIN; SELECT $acts[$_]; PREPARE TRANSACTION 'p$_'") foreach 0 .. $#acts;
is(contents(), $before, 'prepared: nobody sees any of it');
$node->stop('immediate');
$node->start;
is(sql('SELECT count(*) FROM pg_prepared_xacts'),
	scalar @acts, 'prepared: all are there after a crash');
sql("ROLLBACK PREPARED 'p$_'") foreach 0 .. $#acts;
is(contents(), $before, 'prepared: rolled back, nothing has changed');

sql(q{CREATE TABLE t (i int);
	BEGIN; INSERT INTO t VALUES (1); SELECT wf_status('w');
	SELECT wf_recv('nothing', '0', 'w'), wf_get_event('w', 'url');
	SAVEPOINT s; SELECT wf_send('w', '1', 'q'), wf_recv('q', '0', 'w'); ROLLBACK TO s;
	PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'});
is(sql('SELECT i FROM t'), 1, 'a transaction that sent nothing can be prepared');

# A message that is given back by a failed PREPARE wakes a waiter that has
# skipped it.
{
	my $taker = session();
	my $waiter = waiter(q{SELECT wf_recv('p', NULL, 'w')});

	freeze($waiter);
	sql(q{SELECT wf_send('w', '1', 'p')});
	$taker->query_safe(q{BEGIN; CREATE TEMP TABLE refused ();
		SELECT wf_recv('p', '0', 'w')});
	thaw($waiter);
	poll(q{SELECT spurious_wakes = 1 FROM wf_stat WHERE door = 'message'});
	asleep($waiter);
	$taker->query(q{PREPARE TRANSACTION 'p'});
	is(outcome($waiter), 1, 'a PREPARE that fails gives messages back');
	$_->quit foreach ($taker, $waiter);
}

$node->stop;
done_testing();
