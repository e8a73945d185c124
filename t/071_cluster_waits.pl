# Waits and commits over the nodes of a Citus cluster: who is woken by which
# commit, what is left behind, and what commits together.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWf qw(session start outcome switches until_true last_words);
use DurableWf::Nodes qw(skip_without_citus start_cluster ids_of on said_on);

skip_without_citus();

my ($co, $w1, $w2) =
  start_cluster(2, { 'citus.distributed_deadlock_detection_factor' => 5, max_connections => 180, max_prepared_transactions => 180 });
my @nodes = ($co, $w1, $w2);

on($co, 'SELECT wf_distribute(8)');
my ($wa) = ids_of($w1, 'wa', 1);
my ($wb) = ids_of($w2, 'wb', 1);
on($co, "SELECT wf_start('$wa'), wf_start('$wb')");

# How many sessions wait on a node, in waits of workflows.
sub waiters
{
	return on($_[0], 'SELECT count(*) FROM wf_waiters');
}

# Wait until so many sessions wait on a node.
sub have_waiters
{
	my ($node, $count) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) = $count FROM wf_waiters")
	  or die 'no such waiters';
	return;
}

# ----- a wait on one node, news from another -----

foreach my $from (@nodes)
{
	foreach my $by (@nodes)
	{
		my $session = start(session($from), "SELECT wf_recv(NULL, '120 s', '$wa')");
		have_waiters($w1, 1);
		on($by, "SELECT wf_send('$wa', '1')");
		is(outcome($session), 1,
			$from->name . ' waits, ' . $by->name . ' sends');
		$session->quit;
	}
}
{
	my $session = start(session($co), "SELECT wf_recv(NULL, '120 s', '$wa'), wf_recv(NULL, '120 s', '$wb')");
	my $before;

	have_waiters($w1, 1);
	$before = switches($session->{pid});
	on($w2, "SELECT wf_send('$wb', '2')");
	on($w2, "SELECT pg_sleep(0.3)");
	is(switches($session->{pid}), $before,
		'news for another workflow does not wake the waiter');
	on($w2, "BEGIN; SELECT wf_send('$wa', '1'); SELECT wf_send('$wa', '3'); COMMIT");
	is(outcome($session), '1|2', 'two sends in one transaction: it has the first');
	is(on($w2, "SELECT wf_recv(NULL, '0', '$wa')"), 3, 'and the second is there');
	$session->quit;
}
{
	my $taker = session($co);
	my $next;

	on($co, "SELECT wf_send('$wa', '1')");
	is(outcome($taker, "BEGIN; SELECT wf_recv(NULL, '0', '$wa')"), 1, 'a receiver has a message');
	$next = start(session($w2), "SELECT wf_recv(NULL, '120 s', '$wa')");
	have_waiters($w1, 1);
	outcome($taker, 'ROLLBACK');
	is(outcome($next), 1, 'and gives it back: the next one, on another node, is woken');
	$_->quit foreach $taker, $next;
}
is(on($co, "SELECT event_data, timed_out FROM wf_wait_for_event('none', '300 ms', '$wb')"), '|t', 'a timeout');
is(on($co, "CALL wf_recv('none', '300 ms', '$wb', NULL)"), '', 'a timeout of a CALL');
like(
	said_on($co, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT wf_recv('none', '10 s', '$wb')"),
	qr/25001/, 'a snapshot that would never show it');
like(
	said_on($co, "SET statement_timeout = '500 ms'; SELECT wf_recv('none', '60 s', '$wb')"),
	qr/57014: .*statement timeout/, 'statement_timeout ends it');
like(
	said_on($co, "SET durable_wf.wait_in_transaction = off; BEGIN; SELECT wf_recv('none', '60 s', '$wb')"),
	qr/25001: .*cannot wait inside a transaction block/, 'durable_wf.wait_in_transaction is that of the caller');
is(waiters($w2), 0, 'nothing is left behind');

# a CALL waits without a snapshot of what came before
{
	my $session = start(session($co), "CALL wf_recv('call', '120 s', '$wa', NULL)");
	have_waiters($w1, 1);
	on($w2, "SELECT wf_send('$wa', '5', 'call')");
	is(outcome($session), 5, 'a CALL waits on another node');
	$session->quit;
}

# the end of the workflow, a cancel, a terminate, a dead client
{
	my ($id) = ids_of($w1, 'ends', 1);
	on($co, "SELECT wf_start('$id')");
	my $session = start(session($w2), "SELECT wf_recv(NULL, '120 s', '$id')");
	have_waiters($w1, 1);
	on($co, "SELECT wf_cancel('$id')");
	like(outcome($session), qr/WF002/, 'the end of the workflow ends its waits on all nodes');
	$session->quit;
}
foreach my $by ('pg_cancel_backend', 'pg_terminate_backend')
{
	my $session = start(session($co), "SELECT wf_recv(NULL, '600 s', '$wa')");
	have_waiters($w1, 1);
	on($co, "SELECT $by($session->{pid})");
	if ($by eq 'pg_cancel_backend')
	{
		like(outcome($session), qr/57014/, 'a cancel');
		$session->quit;
	}
	else
	{
		like(last_words($session), qr/57P01/, 'a terminate');
	}
	have_waiters($w1, 0);
	pass("$by leaves nothing behind");
}
{
	my $session = start(session($co), "SELECT wf_recv(NULL, '600 s', '$wa')");
	have_waiters($w1, 1);
	$session->{run}->kill_kill;
	have_waiters($w1, 0);
	pass('a dead client leaves nothing behind');
	on($co, "SELECT wf_send('$wa', '\"kept\"')");
	is(on($w2, "SELECT wf_recv(NULL, '0', '$wa')"), '"kept"', 'and takes nothing');
}

# ----- how many wait on another node -----

# Let so many sessions of a node wait on others.
sub let_wait
{
	my ($node, $count) = @_;

	on($node, "ALTER SYSTEM SET durable_wf.max_forwarded_waits = $count");
	on($node, 'SELECT pg_reload_conf()');
	$node->poll_query_until('postgres',
		"SELECT current_setting('durable_wf.max_forwarded_waits') = '$count'")
	  or die 'no reload';
	return;
}

{
	my $port = $w1->port;
	my $too_many =
	  qr/53400: .*cannot wait on another node.*The workflow is on node 127\.0\.0\.1:$port\. durable_wf\.max_forwarded_waits is/s;
	my @waiting;

	let_wait($co, 2);
	push @waiting, start(session($co), "SELECT wf_recv('limit', '600 s', '$wa')");
	push @waiting, start(session($co), "CALL wf_recv('limit', '600 s', '$wa', NULL)");
	have_waiters($w1, 2);

	# those beyond
	like(said_on($co, $_), $too_many, "beyond the limit: $_")
	  foreach "SELECT wf_recv('other', '600 s', '$wa')",
	  "CALL wf_recv('other', '600 s', '$wa', NULL)",
	  "SELECT wf_result('$wa', '600 s')",
	  "SELECT wf_get_event('$wa', 'no such key', NULL)",
	  "SELECT * FROM wf_read_stream('$wa', 'no such stream')";
	is(on($co, "SELECT wf_recv('other', '0', '$wa') IS NULL"), 't', 'a look is none');
	on($co, "SELECT wf_send('$wa', '1', 'other')");
	is(on($co, "SELECT wf_recv('other', '600 s', '$wa')"), 1, 'nor a wait for what is there');
	is(on($co, "BEGIN; SAVEPOINT s; SELECT wf_send('$wa', '2', 'other') > 0; COMMIT"), 't', 'nor a send');
	is(on($w2, "SELECT wf_recv('other', '600 s', '$wa')"), 2, 'each node has a limit of its own');
	{
		my $own = start(session($w1), "SELECT wf_recv('own', '600 s', '$wa')");
		let_wait($w1, 0);
		have_waiters($w1, 3);
		on($co, "SELECT wf_send('$wa', '3', 'own')");
		is(outcome($own), 3, 'a wait for a workflow of the node itself does not count');
		$own->quit;
		like(said_on($w1, "SELECT wf_recv('own', NULL, '$wb')"), qr/53400/, '0: none waits elsewhere');
		let_wait($w1, 32);
	}

	# each end of a wait makes room: an answer, a cancel, the end of a session
	on($w2, "SELECT wf_send('$wa', '4', 'limit')");
	until_true(sub { on($w1, 'SELECT count(*) FROM wf_waiters') == 1 }, 'one has its message');
	my ($done) = grep { on($co, "SELECT state FROM pg_stat_activity WHERE pid = $_->{pid}") eq 'idle' } @waiting;
	is(outcome($done), 4, 'and returns it');
	my ($left) = grep { $_ != $done } @waiting;
	foreach my $end (
		sub { on($co, "SELECT pg_cancel_backend($_[0]{pid})"); like(outcome($_[0]), qr/57014/, 'cancelled') },
		sub { on($co, "SELECT pg_terminate_backend($_[0]{pid})"); like(last_words($_[0]), qr/57P01/, 'terminated') })
	{
		my $next = start(session($co), "SELECT wf_recv('limit', '600 s', '$wa')");
		have_waiters($w1, 2);
		like(said_on($co, "SELECT wf_recv('other', '600 s', '$wa')"), $too_many, 'there is room for one more, and no more');
		$end->($next);
		have_waiters($w1, 1);
	}
	is(on($co, "SELECT (wf_wait_for_event('none', '200 ms', '$wa')).timed_out"), 't', 'and again');
	on($co, "SELECT pg_cancel_backend($left->{pid})");
	like(outcome($left), qr/57014/, 'the last one ends');
	have_waiters($w1, 0);
	let_wait($co, 32);
	$_->quit foreach $done, $left;
}

# ----- locks on another node -----

{
	my $holder = session($w1);
	my $waiter = session($co);

	outcome($holder, "BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = '$wa' FOR UPDATE");
	outcome($waiter, "SET lock_timeout = '100 ms'");
	like(outcome($waiter, "SELECT wf_complete(workflow_id => '$wa')"), qr/55P03/, 'lock_timeout is the caller\'s');
	outcome($waiter, 'RESET lock_timeout');
	start($waiter, "SELECT wf_set_attributes('{}', '$wa') IS NOT NULL, wf_cancel('$wa', 'x'), wf_retry('$wa') IS NULL");
	$w1->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted})
	  or die 'no wait';
	outcome($holder, 'ROLLBACK');
	like(outcome($waiter), qr/^t\|t\|/, 'and no more than that');
	$_->quit foreach $holder, $waiter;
}

# ----- deadlocks over two nodes -----

{
	my @ids = (ids_of($w1, 'dl', 1), ids_of($w2, 'dl', 1));
	on($co, "SELECT wf_start('$_')") foreach @ids;
	my ($one, $two) = map { session($_) } $co, $w1;
	outcome($one, "BEGIN; SELECT wf_set_event('k', '1', '$ids[0]')");
	outcome($two, "BEGIN; SELECT wf_set_event('k', '2', '$ids[1]')");
	start($one, "SELECT wf_set_event('k', '1', '$ids[1]')");
	start($two, "SELECT wf_set_event('k', '2', '$ids[0]')");
	my @said;
	# whichever is cancelled first lets the other go on when it rolls back
	until_true(
		sub {
			on($co, q{SELECT true FROM pg_stat_activity WHERE state = 'idle in transaction (aborted)' LIMIT 1}) eq 't'
			  || on($w1, q{SELECT true FROM pg_stat_activity WHERE state = 'idle in transaction (aborted)' LIMIT 1}) eq 't';
		},
		'a deadlock over two nodes is found');
	my @aborted = map { on($_->{node}, "SELECT state LIKE '%(aborted)' FROM pg_stat_activity WHERE pid = $_->{pid}") } $one, $two;
	my ($loser, $winner) = $aborted[0] eq 't' ? ($one, $two) : ($two, $one);
	like(outcome($loser), qr/40P01/, 'one of the two is cancelled');
	outcome($loser, 'ROLLBACK');
	# two nodes may find it at the same moment, and cancel one each
	like(outcome($winner), qr/^\s*$|40P01/, 'the other one goes on, or is cancelled by another node');
	outcome($winner, 'COMMIT');
	is( on($co, "SELECT wf_get_event('$ids[0]', 'k', '0') IS NOT DISTINCT FROM wf_get_event('$ids[1]', 'k', '0')"),
		't', 'and commits as a whole, or not at all');
	$_->quit foreach $one, $two;
}

# ----- what is written here and there commits together -----

on($co, <<'SQL');
SET citus.enable_ddl_propagation = off;
CREATE TABLE local(n int);
CREATE FUNCTION in_two_phases() RETURNS bigint LANGUAGE sql AS
'SELECT count(*) FROM pg_dist_transaction';
SQL
{
	my ($one, $two) = map { session($co) } 1, 2;

	outcome($_, 'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(n) FROM local') foreach $one, $two;
	outcome($one, 'INSERT INTO local VALUES (1)');
	outcome($two, "INSERT INTO local VALUES (2); SELECT wf_send('$wa', '\"of a transaction that failed\"')");
	is(outcome($one, 'COMMIT'), '', 'one of two that cannot be serialized commits');
	like(outcome($two, 'COMMIT'), qr/40001/, 'the other fails, here, at its commit');
	is(on($co, "SELECT wf_recv(NULL, '0', '$wa') IS NULL"), 't', 'and what it sent to another node is gone');
	$_->quit foreach $one, $two;
}
{
	my $session = start(session($w1), "SELECT wf_recv('both', '120 s', '$wa')");

	have_waiters($w1, 1);
	on($co, "BEGIN; INSERT INTO local VALUES (3); SELECT wf_send('$wa', '1', 'both'); COMMIT");
	is(outcome($session), 1, 'a waiter is woken by COMMIT PREPARED');
	$session->quit;
	on($co, "BEGIN; SELECT wf_send('$wa', '2', 'both'); SELECT wf_send('$wb', '3', 'both'); COMMIT");
	is(on($w2, "SELECT wf_recv('both', '0', '$wa'), wf_recv('both', '0', '$wb')"), '2|3', 'two other nodes');
}

# 100 sessions that wait for something else are not woken by it
{
	my @idle = map { start(session($w1), "SELECT wf_recv('idle $_', '600 s', '$wa')") } 1 .. 100;
	my $woken = 'SELECT sum(wakes), sum(spurious_wakes) FROM wf_stat';

	have_waiters($w1, 100);
	my $before = on($w1, $woken);
	on($co, join ';', map { "BEGIN; INSERT INTO local VALUES ($_); SELECT wf_send('$wa', '$_', 'busy'); COMMIT" } 1 .. 20);
	is(on($w1, "SELECT count(*) FROM wf_recv_many('busy', 100, '0', '$wa')"), 20, '20 two-phase sends');
	is(on($w1, $woken), $before, 'wake none of 100 sessions that wait for something else');
	on($w1, 'SELECT pg_terminate_backend(pid) FROM wf_waiters');
	last_words(@idle);
}

is(on($_, 'SELECT count(*) FROM pg_prepared_xacts'), 0, $_->name . ': nothing is left prepared') foreach @nodes;
$_->stop foreach reverse @nodes;
done_testing();
