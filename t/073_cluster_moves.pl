# Shards of workflows move from node to node of a Citus cluster, with work in
# flight; and a node that was added later gets one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWf qw(session start outcome freeze thaw);
use DurableWf::Nodes
  qw(skip_without_citus start_cluster add_node_to ids_of on said_on);

skip_without_citus();

my ($co, $w1, $w2) = start_cluster(2, { max_wal_senders => 4 });

on($co, 'SELECT wf_distribute(4)');
my ($wa) = ids_of($w1, 'wa', 1);
my ($wb) = ids_of($w2, 'wb', 1);

# The call that moves the shard of a workflow to a node.
sub move_of
{
	my ($id, $node) = @_;

	return sprintf "SELECT wf_move_shard(get_shard_id_for_distribution_column('durable_wf.shard', '%s'), '127.0.0.1:%d')",
	  $id, $node->port;
}

# ids of the shard of a workflow
my @same = split /\n/, on($co, <<"SQL");
SELECT id FROM (SELECT 'in-' || i FROM generate_series(1, 200) i) v(id)
 WHERE get_shard_id_for_distribution_column('durable_wf.shard', id)
       = get_shard_id_for_distribution_column('durable_wf.shard', '$wa') LIMIT 6
SQL

like(said_on($co, "SELECT wf_move_shard(1, '127.0.0.1:1')"), qr/22023/, 'no such shard');
like(said_on($co, move_of($wa, $w1) =~ s/:\d+'\)$/:1')/r), qr/22023/, 'no such node');
like(said_on($w1, move_of($wa, $w2)), qr/55000/, 'on a worker');

# ----- the first message ids of two nodes -----

on($co, "SELECT wf_start('$wa'), wf_send('$wa', '1')");
on($co, move_of($wa, $w2));
is(on($w2, "SELECT wf_send('$wa', '2') > 0; SELECT string_agg(message::text, ' ') FROM wf_recv_many(NULL, 10, '0', '$wa')"), "t\n1 2",
	'a shard moves with its first message');
on($co, move_of($wa, $w1));

# ----- what is in the shard -----

on($co, <<'SQL');
CREATE TABLE ledger (id text COLLATE "C", n int);
SELECT create_distributed_table('ledger', 'id', colocate_with => 'durable_wf.shard');
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    PERFORM wf_step('begin', 'INSERT INTO ledger VALUES ($1 ->> 0, 1) RETURNING n', to_jsonb(wf_current()));
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_step('end', 'INSERT INTO ledger VALUES ($1 ->> 0, 2) RETURNING n', to_jsonb(wf_current()));
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE follows(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    value jsonb;
BEGIN
    CALL wf_get_event(input ->> 'of', 'news', NULL, value);
    PERFORM wf_complete(value);
END $$;
SQL
my ($follower) = ids_of($w1, 'follower', 1);
is(on($co, "SELECT count(wf_start(id)) FROM unnest(ARRAY['$wb', '$same[1]']) id"), 2, 'workflows');
is(on($co, "SELECT wf_start('$same[0]', 'waits') <> '', wf_start('$follower', 'follows', '{\"of\": \"$same[1]\"}') <> ''"), 't|t', 'bodies');
foreach my $id ($same[0], $follower)
{
	$w1->poll_query_until('postgres', "SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = '$id'")
	  or die "$id is not suspended";
}
is(on($co, "SELECT count(wf_send('$wa', to_jsonb(i), 'many')) FROM generate_series(1, 1000) i"), 1000, '1,000 messages');
is(on($co, <<"SQL"), "t\nt\n1\n", 'and one of each kind');
SELECT wf_send('$wa', 'null', 'null', 'key') > 0;
SELECT wf_create_hook('named', '{"a": null}', workflow_id => '$wa') = 'named' AND wf_resume_hook('named', '"paid"') = '$wa';
SELECT wf_write_stream('s', '"item"', '$wa');
SELECT wf_set_event('e', '"\\\\ \\" null"', '$wa');
SQL
my $made_up = on($co, "SELECT wf_create_hook(workflow_id => '$wa')");
my $key = on($co, "SELECT wf_send('$wa', '1', 'null', 'key')");

# ----- the move -----

{
	my $waiter = start(session($w1), "SELECT wf_recv('none', '600 s', '$wa')");
	my $far = start(session($co), "SELECT wf_recv('none', '600 s', '$wa')");
	my $other = start(session($w1), "SELECT wf_recv('none', '600 s', '$follower')");
	my $holder = session($w1);
	my $mover = session($co);
	my $blocked = session($w2);

	$w1->poll_query_until('postgres', 'SELECT count(*) = 3 FROM wf_waiters WHERE NOT suspended') or die 'no waiters';
	outcome($holder, "BEGIN; SELECT wf_send('$wa', '1001', 'many')");
	start($mover, move_of($wa, $w2));
	like(outcome($waiter), qr/40001: .*being moved to another node/, 'a session that waits has to try again');
	like(outcome($far), qr/40001/, 'one that waits from another node, too');
	start($blocked, "SELECT wf_send('$wa', '1002', 'many') > 0");
	$w1->poll_query_until('postgres', q{SELECT count(*) >= 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock'})
	  or die 'nothing is blocked';
	is(outcome($holder, 'COMMIT'), '', 'a transaction that has sent commits');
	is(outcome($mover), '', 'then the shard moves');
	is(outcome($blocked), 't', 'a send that was handed to the old node meanwhile goes after it');
	is(on($w1, "SELECT count(*) FROM wf_waiters WHERE workflow_id = '$follower' AND NOT suspended"), 1,
		'a wait for a workflow of another shard goes on') if on($co, <<"SQL") eq 't';
SELECT get_shard_id_for_distribution_column('durable_wf.shard', '$wa') <> get_shard_id_for_distribution_column('durable_wf.shard', '$follower')
SQL
	on($w1, "SELECT pg_terminate_backend($other->{pid})");
	$_->quit foreach $waiter, $far, $holder, $mover, $blocked;
}
is(on($w2, "SELECT (wf_node('$wa')).is_here"), 't', 'the workflow is on the other node');
is(on($w1, "SELECT count(*) FROM durable_wf.workflow WHERE workflow_id IN ('$wa', '$same[0]', '$same[1]')"), 0, 'the first one has nothing of it left');
is(on($co, "SELECT count(*), bool_and(n = (message #>> '{}')::int) FROM (SELECT message, row_number() OVER () n FROM wf_recv_many('many', 2000, '0', '$wa')) m"),
	'1002|t', 'all messages are there, in their order');
is(on($co, <<"SQL"), qq{null|t\n"paid"\n$wa\n"item"\n"\\\\ \\" null"}, 'and all else');
SELECT wf_recv('null', '0', '$wa'), wf_send('$wa', '1', 'null', 'key') = $key;
SELECT wf_await_hook('named', '0');
SELECT wf_resume_hook('$made_up', '1');
SELECT value FROM wf_read_stream('$wa', 's', 0, 1, '0');
SELECT wf_get_event('$wa', 'e', '0');
SQL
is(on($w1, "SELECT wf_send('$same[0]', '\"went on\"', 'go') > 0; SELECT status, output FROM wf_result('$same[0]', '60 s')"),
	qq{t\nSUCCESS|"went on"}, 'a suspended workflow goes on on the new node');
is(on($co, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM ledger WHERE id = '$same[0]'"), '1 2', 'and has done each step once');
is(on($co, "SELECT wf_set_event('news', '1', '$same[1]'); SELECT status, output FROM wf_result('$follower', '60 s')"),
	"\nSUCCESS|1", 'a workflow that stayed, and waited for one that has moved, is told');

# back, with ids that come after those of both nodes
on($co, "SELECT wf_send('$wa', '\"before\"')");
is(on($co, move_of($wa, $w1)), '', 'the shard moves back');
on($co, "SELECT wf_send('$wa', '\"after\"')");
is(on($w2, "SELECT string_agg(message::text, ' ') FROM wf_recv_many(NULL, 10, '0', '$wa')"), '"before" "after"', 'in order');

# a move that fails changes nothing
like(said_on($co, 'BEGIN; ' . move_of($wa, $w2) . '; SELECT 1/0; COMMIT'), qr/22012/, 'a move that is rolled back');
is(on($w1, "SELECT (wf_node('$wa')).is_here, wf_status('$wa')"), 't|PENDING', 'has not happened');

# ----- what a transaction has seen before -----

# A transaction whose snapshot is older than a move.
sub old_snapshot
{
	my ($node) = @_;
	my $session = session($node);

	outcome($session, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM durable_wf.custody');
	return $session;
}

{
	my ($on_old, $on_new) = map { old_snapshot($_) } $w1, $w2;

	is(on($co, move_of($wa, $w2)), '', 'a move');
	is(outcome($on_old, "SELECT wf_send('$wa', '1', 'old') > 0"), 't', 'a transaction of before it, on the old node, sends to the new one');
	like(outcome($on_new, "SELECT wf_send('$wa', '2', 'old')"), qr/40001: .*since the transaction began/, 'one on the new node has to try again');
	outcome($_, 'COMMIT') foreach $on_old, $on_new;
	is(outcome($on_old, "SELECT (wf_node('$wa')).is_here"), 'f', 'the first session knows where the workflow is');
	is(outcome($on_new, "SELECT message FROM wf_recv_many('old', 10, '0', '$wa')"), 1, 'which has what was sent');
	is(on($w1, "SELECT count(*) FROM durable_wf.message WHERE workflow_id = '$wa'"), 0, 'and has left nothing behind');
	$_->quit foreach $on_old, $on_new;
}

# ----- a move that has not committed on all nodes -----

# Start a move of the shard of $wa in a session, and let it commit on the
# coordinator only.  Returns the processes that have to commit it on the nodes.
sub start_commit
{
	my ($mover, $to) = @_;
	my @pids;

	on($co, "ALTER SYSTEM SET synchronous_standby_names = 'none'");
	on($co, "ALTER SYSTEM SET synchronous_commit = 'local'");
	on($co, 'SELECT pg_reload_conf()');
	$co->poll_query_until('postgres', "SHOW synchronous_standby_names", 'none') or die 'no reload';
	on($co, 'CHECKPOINT');		# the checkpointer has read it, too
	outcome($mover, 'SET synchronous_commit = on');
	start($mover, move_of($wa, $to));
	$co->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $mover->{pid}")
	  or die 'no commit';
	foreach my $node ($w1, $w2)
	{
		my $pid = on($node, q{SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND query ~ '^PREPARE TRANSACTION'});
		die "not one process: $pid" unless $pid =~ /^\d+$/ && on($node, 'SELECT count(*) FROM pg_prepared_xacts') == 1;
		freeze({ pid => $pid });
		push @pids, $pid;
	}
	on($co, "ALTER SYSTEM RESET $_") foreach qw(synchronous_standby_names synchronous_commit);
	on($co, 'SELECT pg_reload_conf()');
	$co->poll_query_until('postgres', "SELECT (wf_node('$wa')).port", $to->port) or die 'no move';
	return @pids;
}

foreach my $first (0, 1)
{
	my ($from, $to) = map { $_->[0] } sort { $b->[1] cmp $a->[1] } map { [ $_, on($_, "SELECT (wf_node('$wa')).is_here") ] } $w1, $w2;
	my $mover = session($co);
	my @callers = map { session($_) } $co, $w1, $w2;
	my @pids = start_commit($mover, $to);

	start($_, "SELECT wf_send('$wa', '1', 'half') > 0") foreach @callers;
	foreach my $node ($w1, $w2)
	{
		$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted}) or die 'no call waits';
	}
	foreach my $n ($first, 1 - $first)
	{
		thaw({ pid => $pids[$n] });
		($w1, $w2)[$n]->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_prepared_xacts') or die 'no commit';
	}
	is(outcome($mover), '', 'a move that commits on worker ' . ($first + 1) . ' first');
	is(join(' ', map { outcome($_) } @callers), 't t t', 'is waited for by calls from all nodes');
	is(on($to, "SELECT (wf_node('$wa')).is_here, (SELECT count(*) FROM wf_recv_many('half', 10, '0', '$wa'))"), 't|3', 'which go to the new node');
	$_->quit foreach $mover, @callers;
}
on($co, move_of($wa, $w1));

# ----- under traffic -----

{
	my $traffic = session($w2);
	my $n = 60;

	start($traffic, join ';', map { "SELECT wf_send('$wa', '$_', 'traffic') IS NULL" } 1 .. $n);
	is(on($co, move_of($wa, $w2)), '', 'a move under traffic');
	is(on($co, move_of($wa, $w1)), '', 'and back');
	my $said = outcome($traffic);
	my $sent = () = $said =~ /^f$/mg;
	my $refused = () = $said =~ /40001/g;
	is($sent + $refused, $n, "each send succeeds or has to try again ($refused)");
	is(on($co, "SELECT count(*), bool_and(n > before) FROM (SELECT n, lag(n, 1, 0) OVER () AS before FROM (SELECT (message #>> '{}')::int AS n FROM wf_recv_many('traffic', 2000, '0', '$wa')) r) m"),
		"$sent|t", 'those are there once, in order');
	$traffic->quit;
}

# ----- a node that is added -----

my $w3 = add_node_to($co, 'worker3');
is(on($w3, "SELECT wf_status('$wa'), wf_send('$wb', '1') > 0"), 'PENDING|t', 'a node that was added reaches all');
is(on($co, move_of($wa, $w3)), '', 'and gets a shard');
is(on($w3, "SELECT (wf_node('$wa')).is_here, wf_send('$wa', '3') > 0, wf_recv(NULL, '0', '$wa')"), 't|t|3', 'whose workflows it has');
is(on($_, "SELECT wf_status('$wa')"), 'PENDING', $_->name . ' finds them') foreach $co, $w1, $w2;
is(on($w1, "SELECT wf_start('$same[2]', 'waits') <> '', wf_send('$same[2]', '1', 'go') > 0; SELECT status FROM wf_result('$same[2]', '60 s')"),
	"t|t\nSUCCESS", 'and runs bodies');

$_->stop foreach $w3, $w2, $w1, $co;
done_testing();
