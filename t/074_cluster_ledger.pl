# Nodes of a Citus cluster fail, one is replaced by its standby, one is added,
# while clients call; a ledger outside of the servers tells what was
# acknowledged.  All of that arrives once; what was not acknowledged arrives
# once or not at all, and all of a transaction or nothing; bodies go on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWf qw(session start outcome until_true);
use DurableWf::Nodes
  qw(skip_without_citus start_cluster start_cluster_node ids_of on said_on);

skip_without_citus();

my $seed = $ENV{DWF_SEED} || int rand 1_000_000;
note "seed $seed: DWF_SEED sets it";

my %settings = (
	max_wal_senders => 8,
	hot_standby => 'on',
	restart_after_crash => 'on',
	max_connections => 120,
	max_prepared_transactions => 120,
	'citus.recover_2pc_interval' => '1s',
	'durable_wf.max_attempts' => 1000);
my ($co, $w1, $w2) = start_cluster(2, \%settings);

on($co, 'SELECT wf_distribute(8)');

# ----- a standby, without which nothing of the second worker is acknowledged -----

$w2->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($w2, 'copy', has_streaming => 1);
$standby->start;
on($w2, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
on($w2, 'SELECT pg_reload_conf()');
$w2->poll_query_until('postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication})
  or die 'the standby is not synchronous';

# ----- what the clients call -----

on($co, <<'SQL');
CREATE TABLE ledger (id text COLLATE "C", step text);
SELECT create_distributed_table('ledger', 'id', colocate_with => 'durable_wf.shard');
CREATE PROCEDURE child(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_step('note', 'INSERT INTO ledger VALUES ($1 ->> 0, ''child'') RETURNING step', to_jsonb(wf_current()));
    PERFORM wf_set_event('ready', got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE flow(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    child text := input ->> 'child';
    got jsonb;
    note jsonb;
    timed_out boolean;
    status text;
    error text;
BEGIN
    PERFORM wf_step('begin', 'INSERT INTO ledger VALUES ($1 ->> 0, ''begin'') RETURNING step', to_jsonb(wf_current()));
    PERFORM wf_start(child, 'child');
    PERFORM wf_send(child, to_jsonb(wf_current()), 'go');
    CALL wf_get_event(child, 'ready', NULL, got);
    CALL wf_wait_for_event('note', NULL, NULL, note, timed_out);
    CALL wf_result(child, NULL, status, got, error);
    PERFORM wf_step('other', 'INSERT INTO ledger VALUES ($1 ->> 0, ''other'') RETURNING step', to_jsonb(child));
    PERFORM wf_send(input ->> 'to', to_jsonb(wf_current()), 'flows');
    PERFORM wf_complete(jsonb_build_object('child', status, 'said', got, 'note', note));
END $$;
SQL
my @receivers = map { "to-$_" } 0 .. 7;
on($co, join ';', map { "SELECT wf_start('$_')" } @receivers);
my ($wa) = ids_of($w1, 'wa', 1);
my ($wb) = ids_of($w2, 'wb', 1);
on($co, "SELECT wf_start('$wa'), wf_start('$wb')");
isnt(on($w1, 'SELECT count(*) FROM wf_workflows'), 0, 'both workers');
isnt(on($w2, 'SELECT count(*) FROM wf_workflows'), 0, 'have workflows');

# ----- the clients -----

my $dir = PostgreSQL::Test::Utils::tempdir();
my $stop = "$dir/stop";
my @ledgers;
my @clients;

# Start a client of a node, which goes to others while that is down.
sub start_client
{
	my @ports = map { $_->port } @_;
	my $n = @clients;

	push @ledgers, "$dir/ledger$n";
	push @clients,
	  IPC::Run::start([ '/usr/bin/python3', "$FindBin::RealBin/cluster/client.py", $ledgers[-1], $stop, $seed, $n, @ports ],
		'>', "$dir/out$n", '2>', "$dir/err$n");
	return;
}

# The lines of a client's ledger
sub lines
{
	return -e $_[0] ? split /\n/, slurp_file($_[0]) : ();
}

# Wait until each client has got acknowledgements of all kinds since now.
sub traffic
{
	my $begin = time;
	my @since = map { scalar lines($_) } @ledgers;

	foreach my $n (0 .. $#ledgers)
	{
		until_true(
			sub {
				my @lines = lines($ledgers[$n]);
				my %got = map { /^(\w+) .* ok$/ ? ($1 => 1) : () } @lines[ $since[$n] .. $#lines ];
				die slurp_file("$dir/err$n") if -s "$dir/err$n";
				return keys %got == 4;
			},
			"client $n has got all kinds");
	}
	note sprintf 'after %d s', time - $begin;
	return;
}

# The process id of one process of a node, when there is one
sub a_process
{
	my ($node, $condition) = @_;
	my $pid;

	until_true(
		sub { $pid = on($node, "SELECT pid FROM pg_stat_activity WHERE $condition LIMIT 1"); return $pid =~ /^\d+$/; },
		"there is a process with $condition");
	return $pid;
}

# Kill a process of a node with SIGKILL, and wait until the server is back.
sub kill_process
{
	my ($node, $condition) = @_;
	my $pid = a_process($node, $condition);

	kill 'KILL', $pid or die "kill $pid: $!";
	until_true(sub { !-d "/proc/$pid" }, 'the process is gone');
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server is not back';
	return;
}

start_client($_, grep { $_ != $standby } $w2, $standby, $w1, $co) foreach $co, $w1;
start_client($w2, $standby, $w1);
start_client($w1, $co, $standby);
traffic();

# ----- processes and servers die -----

kill_process($w1, q{backend_type = 'client backend' AND application_name LIKE 'citus_internal%'});
traffic();
pass('a backend that makes the calls of other nodes is killed');
kill_process($w1, q{backend_type = 'durable_wf worker'});
kill_process($w2, q{backend_type = 'durable_wf executor'});
traffic();
pass('a worker and an executor are killed');
foreach my $node ($w1, $co)
{
	$node->stop('immediate');
	$node->start;
	traffic();
	pass($node->name . ' stops at once, and starts');
}

# ----- a node dies while it commits on several -----

# Start two sends to two nodes in one transaction; returns the session when it
# waits there for a standby that does not exist.
sub hang
{
	my ($caller, $hanging, $text) = @_;
	my $session = session($caller);

	on($hanging, "ALTER SYSTEM SET synchronous_standby_names = 'none'");
	on($hanging, 'SELECT pg_reload_conf()');
	$hanging->poll_query_until('postgres', 'SHOW synchronous_standby_names', 'none') or die 'no reload';
	on($hanging, 'CHECKPOINT');	# the checkpointer has read it, too
	start($session, "BEGIN; SELECT wf_send('$wa', '\"$text\"', 'doubt'), wf_send('$wb', '\"$text\"', 'doubt'); COMMIT");
	return $session;
}

# What there is of these sends
sub doubtful
{
	return join ' ', map { on($co, "SELECT string_agg(message #>> '{}', ' ') FROM wf_recv_many('doubt', 10, '0', '$_')") } $wa, $wb;
}

# Wait until a worker has prepared a part of the transaction of a session, or
# has no part any more.
sub has_prepared
{
	my ($node, $session, $count) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) = $count FROM pg_prepared_xacts WHERE gid ~ '^citus_[0-9]+_$session->{pid}_'")
	  or die 'no such transaction';
	return;
}

{
	my $session = hang($w1, $w1, 'committed');

	$w1->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $session->{pid}")
	  or die 'no commit';
	has_prepared($w2, $session, 1);
	on($w1, 'ALTER SYSTEM RESET synchronous_standby_names');
	$w1->stop('immediate');
	$w1->start;
	has_prepared($w2, $session, 0);
	is(doubtful(), 'committed committed', 'a node dies when it has committed, and another has only prepared: both have the message');
	eval { $session->quit };
	traffic();
}
{
	my $session = hang($co, $w2, 'aborted');

	has_prepared($_, $session, 1) foreach $w1, $w2;
	$co->stop('immediate');
	on($w2, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
	on($w2, 'SELECT pg_reload_conf()');
	$co->start;
	has_prepared($_, $session, 0) foreach $w1, $w2;
	is(doubtful(), ' ', 'a node dies when others have prepared, and it has not committed: neither has it');
	eval { $session->quit };
	traffic();
}

# ----- a node fails, and its standby takes its place -----

$w2->poll_query_until('postgres', q{SELECT count(*) > 0 FROM wf_workflows WHERE status = 'WAITING' AND body IS NOT NULL})
  or die 'nothing is in flight';
my $lost = $w2->port;
$w2->stop('immediate');
$standby->promote;
like(said_on($co, "SELECT citus_update_node(nodeid, '127.0.0.1', ${\$standby->port}) FROM pg_dist_node WHERE nodeport = $lost"), qr/^\s*$/,
	'the standby of a node that has failed is promoted, and Citus told');
is(on($_, "SELECT (wf_node('$wb')).port"), $standby->port, $_->name . ' knows where its workflows are') foreach $co, $w1, $standby;
traffic();

# ----- a node is added -----

my $w3 = start_cluster_node('worker3', \%settings);
is(on($co, sprintf "SELECT citus_add_node('127.0.0.1', %d) > 0", $w3->port), 't', 'a node is added');
foreach my $from ($w1, $standby)
{
	my $to = sprintf '127.0.0.1:%d', $w3->port;

	is(said_on($co, <<"SQL"), '', $from->name . ' gives a shard to it, under traffic');
SELECT wf_move_shard(shardid, '$to') FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)
 WHERE logicalrelid = 'durable_wf.shard'::regclass AND nodeport = ${\$from->port} ORDER BY shardminvalue LIMIT 1
SQL
	traffic();
}
start_client($w3, $co, $w1);
traffic();
$w3->stop('immediate');
$w3->start;
traffic();
pass('the new node stops at once, and starts');

# ----- the end -----

append_to_file($stop, '');
$_->finish foreach @clients;
is(join(' ', map { (lines($_))[-1] } @ledgers), join(' ', ('done') x @ledgers), 'the clients end');

my @lines = map { lines($_) } @ledgers;
my %errors;
/^error (.*)/ and $errors{ $1 =~ s/:\d+/:.../gr =~ s/shard \d+/shard/r }++ foreach @lines;
note join "\n", 'errors:', map { "$_: $errors{$_}" } sort keys %errors;
is( join("\n", grep { !/^(none|08...|57P0[123]|40001|40P01|25006|XX000 (server closed|could not commit)) / } sort keys %errors), '',
	'calls fail only since a node is out of reach, or has given the workflow away');

# what came, by key: how often to whom
my %came;
foreach my $to (@receivers)
{
	$came{$_}{$to}++ foreach split /\n/, on($co, "SELECT message #>> '{}' FROM wf_recv_many('sent', 100000, '0', '$to')");
}
my %wrong;
my %count;
foreach (@lines)
{
	my ($kind, $key, @to) = split / /;
	next unless $kind =~ /^(send|once|pair)$/;
	my $outcome = pop @to;
	my $got = join ' ', map { $came{$key}{$_} || 0 } @to;
	my $all = join ' ', (1) x @to;
	my $none = join ' ', (0) x @to;
	my $right = $got eq $all || $got eq $none && $outcome eq 'unknown';

	$count{"$kind $outcome"}++;
	push @{ $wrong{$kind} }, "$_: $got" unless $right && keys %{ $came{$key} || {} } == ($got eq $none ? 0 : @to);
}
is(join("\n", @{ $wrong{$_} || [] }), '', "$_: what was acknowledged has come once, all else once or never")
  foreach qw(send once pair);

# the bodies
my %flows = map { /^flow (\S+) note (\S+) (\w+)$/ ? ($1 => [ $2, $3 ]) : () } @lines;
my @wrong_flows;
my %ends = map { split /\|/, $_, 2 } split /\n/, on($co, sprintf <<'SQL', join ',', map { "'$_'" } keys %flows);
SELECT id, status, output, error FROM unnest(ARRAY[%s]) id CROSS JOIN LATERAL wf_result(id, '180 s')
SQL
foreach my $id (sort keys %flows)
{
	my ($note, $outcome) = @{ $flows{$id} };
	my $is = $ends{$id} // 'nothing';
	my $should = qq(SUCCESS|{"note": "$note", "said": "$id", "child": "SUCCESS"}|);

	$count{"flow $outcome"}++;
	push @wrong_flows, "$id: $is" unless $is eq $should;
}
is(join("\n", @wrong_flows), '', 'each body that was started ends, with what it was notified of');
is(on($co, q{SELECT count(*), count(DISTINCT (id, step)) FROM ledger}), join('|', (3 * keys %flows) x 2),
	'having done each step once');
my @sent;
push @sent, split /\n/, on($co, "SELECT message #>> '{}' FROM wf_recv_many('flows', 100000, '0', '$_')") foreach @receivers;
is(join(' ', sort @sent), join(' ', sort keys %flows), 'and sent once');
note join ', ', map { "$_: $count{$_}" } sort keys %count;

# nothing is left
foreach my $node ($co, $w1, $standby, $w3)
{
	$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_prepared_xacts') or die 'a transaction stays prepared';
	is(on($node, 'SELECT * FROM durable_wf.wait'), '', $node->name . ' has no wait left');
}

$_->stop foreach $w3, $w1, $standby, $co;
done_testing();
