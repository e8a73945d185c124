# SQL workflows on the nodes of a Citus cluster: they send to other nodes, wait
# for workflows there without an executor, and outlive the death of a node.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWf qw(until_true session start outcome);
use DurableWf::Nodes qw(skip_without_citus start_cluster ids_of on said_on);

skip_without_citus();

my ($co, $w1, $w2) = start_cluster(2, { 'durable_wf.executor_idle_timeout' => '100 ms', restart_after_crash => 'on' });
my @nodes = ($co, $w1, $w2);

on($co, 'SELECT wf_distribute(8)');

# Define procedures and functions on all nodes.
sub everywhere
{
	on($co, $_[0]);
	return;
}

# Wait until a workflow has this status on its node.
sub has_status
{
	my ($node, $id, $status) = @_;

	$node->poll_query_until('postgres',
		"SELECT status = '$status' FROM wf_workflows WHERE workflow_id = '$id'")
	  or die "$id does not become $status";
	return;
}

# No executor is alive on a node.
sub no_executor
{
	my ($node) = @_;

	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'})
	  or die 'an executor stays';
	return;
}

my @a = ids_of($w1, 'a', 20);
my @b = ids_of($w2, 'b', 20);

# What each sends to and writes is on the other node.
my %to;
{
	my @on1 = ids_of($w1, 'to-a', 20);
	my @on2 = ids_of($w2, 'to-b', 20);

	@to{@a} = @on2;
	@to{@b} = @on1;
}

# Start the body that sends as these workflows.
sub start_senders
{
	return join ';', map {
		"SELECT wf_start('$to{$_}') <> '', wf_start('$_', 'sends', '{\"to\": \"$to{$_}\"}') <> ''"
	} @_;
}

everywhere(<<'SQL');
CREATE TABLE ledger (id text COLLATE "C" PRIMARY KEY, note text);
SELECT create_distributed_table('ledger', 'id', colocate_with => 'durable_wf.shard');
CREATE PROCEDURE sends(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    PERFORM wf_send(input ->> 'to', to_jsonb(wf_current()), 'from');
    PERFORM wf_step('note', 'INSERT INTO ledger VALUES ($1 ->> 0, ''once'') RETURNING id', to_jsonb(wf_current()));
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_step('other', 'INSERT INTO ledger VALUES ($1 ->> ''id'', ''by another node'') RETURNING id',
                    jsonb_build_object('id', input ->> 'to'));
    PERFORM wf_send(input ->> 'to', '"done"', 'done');
    PERFORM wf_complete('"done"');
END $$;
CREATE PROCEDURE child(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    PERFORM wf_set_event('ready', '1');
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_set_event('late', got);
    CALL wf_recv('end', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE parent(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    child text := input ->> 'child';
    value jsonb;
    status text;
    error text;
BEGIN
    PERFORM wf_start(child, 'child');
    CALL wf_get_event(child, 'ready', NULL, value);
    CALL wf_get_event(child, 'none', '300 ms', value);
    PERFORM wf_set_event('timed out', to_jsonb(value IS NULL));
    CALL wf_get_event(child, 'late', NULL, value);
    PERFORM wf_set_event('late', value);
    CALL wf_result(child, NULL, status, value, error);
    PERFORM wf_complete(jsonb_build_object('child', status, 'said', value));
END $$;
SQL

# ----- started by one SELECT over two nodes -----

no_executor($_) foreach $w1, $w2;
is( on($co, <<"SQL"),
SELECT count(wf_start(id)) FROM (VALUES ('$to{$a[0]}'), ('$to{$b[0]}')) v(id);
SELECT count(wf_start(id, 'sends', jsonb_build_object('to', receiver)))
  FROM (VALUES ('$a[0]', '$to{$a[0]}'), ('$b[0]', '$to{$b[0]}')) v(id, receiver);
SQL
	"2\n2", 'two bodies are started on two nodes by one SELECT');
has_status($w1, $a[0], 'WAITING');
has_status($w2, $b[0], 'WAITING');
is(on($w2, q{SELECT count(*) FROM ledger WHERE note = 'once'}), 2, 'each has written a distributed table in a step');
is(on($w1, "SELECT wf_recv('from', '60 s', '$to{$a[0]}'), wf_recv('from', '60 s', '$to{$b[0]}')"),
	qq{"$a[0]"|"$b[0]"}, 'and has sent to a workflow of the other node');

# ----- parent and child on two nodes -----

on($co, qq{SELECT wf_start('$a[1]', 'parent', '{"child": "$b[1]"}')});
has_status($w1, $a[1], 'WAITING');
$w1->poll_query_until('postgres', "SELECT wf_get_event('$a[1]', 'timed out', '0') = 'true'")
  or die 'no timeout';
is(on($w1, "SELECT wf_get_event('$a[1]', 'timed out', '0')"), 'true', 'a timeout of a wait for a workflow of another node');
has_status($w1, $a[1], 'WAITING');
no_executor($_) foreach $w1, $w2;
is(on($w1, "SELECT door, key, suspended FROM wf_waiters WHERE workflow_id = '$b[1]'"), 'event|late|t',
	'a body waits for an event of another node as a row, without an executor');
on($co, "SELECT wf_send('$b[1]', '\"news\"', 'go')");
is(on($w2, "SELECT wf_get_event('$a[1]', 'late', '60 s')"), '"news"', 'and goes on when it is published');
has_status($w1, $a[1], 'WAITING');
no_executor($w1);
on($w1, "SELECT wf_send('$b[1]', '\"end\"', 'end')");
is(on($co, "SELECT status, output FROM wf_result('$a[1]', '60 s')"),
	'SUCCESS|{"said": "end", "child": "SUCCESS"}', 'the end of a child on another node');
is(on($w2, 'SELECT count(*) FROM durable_wf.wait a WHERE NOT EXISTS (SELECT FROM durable_wf.workflow w WHERE w.workflow_id = a.workflow_id)'),
	0, 'no subscription is left');

# ----- families over the nodes -----

is(on($w2, "SELECT parent_id FROM wf_workflows WHERE workflow_id = '$b[1]'"), $a[1],
	'a child on another node knows its parent');

# What all nodes say of the workflows whose ids are like this.
sub family
{
	my ($like) = @_;

	return join ' ', sort map { split /\n/, on($_, <<"SQL") } @nodes;
SELECT workflow_id || ':' || coalesce(parent_id, '-') || ':' || status || coalesce(':' || substring(error from ': (.*)'), '')
  FROM wf_workflows WHERE workflow_id LIKE '$like'
SQL
}

my ($p1, $p2, $p3, $p4) = ids_of($w1, 'fam-p', 4);
my ($c1, $c2, $c3, $c4) = ids_of($w2, 'fam-c', 4);
my ($g1) = ids_of($w1, 'fam-g', 1);
my ($s1) = ids_of($w2, 'fam-s', 1);

everywhere(<<'SQL');
CREATE PROCEDURE starts(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    IF jsonb_array_length(input) > 0 THEN
        PERFORM wf_start(input ->> 0, 'starts', input - 0);
    END IF;
    CALL wf_recv('end', NULL, NULL, got);
END $$;
SQL
on($co, qq{SELECT wf_start('$p1', 'starts', '["$c1", "$g1", "$c2", "fam-o"]')});
foreach ([ $w1, $p1 ], [ $w2, $c1 ], [ $w1, $g1 ], [ $w2, $c2 ])
{
	has_status(@$_, 'WAITING');
}
my $alive = family('fam-%');
unlike($alive, qr/SUCCESS|ERROR|CANCELLED/, 'four generations wait, each on another node than the one before');
is(on($w2, "BEGIN; SELECT wf_cancel('$p1', 'no', true); ROLLBACK"), 't', 'a cancel of all is rolled back');
is(family('fam-%') =~ s/PENDING|RUNNING/WAITING/gr, $alive =~ s/PENDING|RUNNING/WAITING/gr, 'and has done nothing');
is(on($co, "SELECT wf_cancel('$p1', 'enough', true)"), 't', 'it commits');
is( family('fam-%'),
	join(' ', sort "$p1:-:CANCELLED:enough", "$c1:$p1:CANCELLED:enough", "$g1:$c1:CANCELLED:enough",
		"$c2:$g1:CANCELLED:enough", "fam-o:$c2:CANCELLED:enough"),
	'and has reached each, on all nodes');
is(on($w1, "SELECT wf_cancel('$p1', 'enough', true)"), 'f', 'again: there is nothing to cancel');

# a start that is not committed yet
{
	my $attached = session($w1);

	on($co, "SELECT wf_start('$p2')");
	outcome($attached, "SELECT wf_attach('$p2')");
	outcome($attached, "BEGIN; SELECT wf_start('$c3')");
	is(on($co, "SELECT wf_cancel('$p2', children => true)"), 't', 'a cancel does not wait for one who starts a child elsewhere');
	like(outcome($attached, 'COMMIT'), qr/WF002/, 'whose commit fails');
	like(said_on($co, "SELECT wf_status('$c3')"), qr/WF001/, 'so that there is no such child');
	$attached->quit;
}

# one that is prepared on the child's node, and committed on the parent's
my $start = q{SELECT r[2] FROM durable_wf.run_here('%1$s', 'CHILD wf_start', ARRAY['%1$s', NULL, NULL, NULL, '0', NULL, NULL, '%2$s']) r};
{
	my $canceller = session($co);

	on($co, "SELECT wf_start('$p3')");
	is(on($w2, sprintf("BEGIN; $start; PREPARE TRANSACTION 'child'", $c4, $p3)), $c4, 'a child is prepared on its node');
	start($canceller, "SELECT wf_cancel('$p3', 'late', true)");
	$w2->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted})
	  or die 'it does not wait';
	pass('a cancel waits for what is prepared');
	on($w2, q{COMMIT PREPARED 'child'});
	is(outcome($canceller), 't', 'and goes on when that has committed');
	is(family($c4), "$c4:$p3:CANCELLED:late", 'with the child');
	$canceller->quit;
}

# nobody can make others' cancels fail, or wait, with a child that is none
{
	my $canceller = session($co);

	on($co, "CREATE ROLE fam_owner LOGIN; CREATE ROLE fam_stranger LOGIN");
	on($co, "SET SESSION AUTHORIZATION fam_owner; SELECT wf_start('$p4')");
	is(on($w2, sprintf("SET SESSION AUTHORIZATION fam_stranger; BEGIN; $start; PREPARE TRANSACTION 'stranger'", $s1, $p4)), $s1,
		'a stranger says that its workflow is a child');
	like(said_on($co, "SET SESSION AUTHORIZATION fam_owner; SELECT wf_cancel('$p4', children => true)"), qr/^t$/m,
		'the cancel does not wait for it');
	on($w2, q{COMMIT PREPARED 'stranger'});
	outcome($canceller, 'SET SESSION AUTHORIZATION fam_owner');
	like(outcome($canceller, "SELECT wf_cancel('$p4', children => true)"),
		qr/\Af.*WARNING: .*1 workflow that says to be a child was not cancelled/s, 'nor does it fail, but says what it has left');
	is(on($w2, "SELECT status FROM wf_workflows WHERE workflow_id = '$s1'"), 'PENDING', 'which lives');
	like(on($w2, "SET SESSION AUTHORIZATION fam_owner; SELECT durable_wf.cancel_family('{$p4}', 'x')"), qr/^\{1\}$/,
		'and is not named');
	on($w2, "SELECT wf_cancel('$s1')");
	$canceller->quit;
}

# a body that has waited in vain, and ends
on($co, <<'SQL');
CREATE PROCEDURE impatient(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    value jsonb;
BEGIN
    CALL wf_get_event(input ->> 'child', 'never', '100 ms', value);
    PERFORM wf_complete(to_jsonb(value IS NULL));
END $$;
SQL
on($co, qq{SELECT wf_start('$a[11]', 'impatient', '{"child": "$to{$a[11]}"}'), wf_start('$to{$a[11]}')});
is(on($co, "SELECT status, output FROM wf_result('$a[11]', '60 s')"), 'SUCCESS|true', 'a body that waits in vain ends');
is(on($w2, "SELECT count(*) FROM durable_wf.wait WHERE workflow_id = '$a[11]'"), 0, 'and its subscription, too');

# ----- a connection breaks -----

# A process of another node that has served a body is killed before the body's
# next statement there, or in the midst of it.
on($co, <<'SQL');
CREATE PROCEDURE updates(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_send(input ->> 0, '"sent"', 'sent');
    PERFORM pg_advisory_xact_lock(1);
    PERFORM wf_step('update', 'UPDATE ledger SET note = ''updated'' WHERE id = $1 ->> 0 RETURNING note', input);
    PERFORM wf_complete('"done"');
END $$;
SQL
foreach my $case ([ 10, $w1, 'SELECT pg_advisory_lock(1)', 'idle in transaction' ],
	[ 12, $w2, qq{BEGIN; UPDATE ledger SET note = 'locked' WHERE id = '$to{$a[12]}'}, 'active' ])
{
	my ($n, $node, $lock, $state) = @$case;
	my $to = $to{ $a[$n] };
	my $holder;
	my $process = "SELECT pid FROM pg_stat_activity WHERE state = '$state' AND application_name LIKE 'citus_internal%'"
	  . " AND (state <> 'active' OR wait_event_type = 'Lock')";

	on($co, "INSERT INTO ledger VALUES ('$to', 'held'); SELECT wf_start('$to')");
	$holder = session($node);
	outcome($holder, $lock);
	on($co, "SELECT wf_start('$a[$n]', 'updates', '\"$to\"')");
	$w1->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'}) or die 'no wait'
	  if $node == $w1;
	$w2->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($process) p") or die 'not one process';
	my $pid = on($w2, $process);
	kill 'KILL', $pid or die "kill $pid: $!";
	until_true(sub { !-d "/proc/$pid" }, 'the process is gone');
	eval { $holder->quit };
	is(on($w1, "SELECT status, output, error FROM wf_result('$a[$n]', '120 s')"), 'SUCCESS|"done"|',
		"a body whose connection to another node breaks while that is $state runs again");
	$w2->poll_query_until('postgres', 'SELECT true') or die 'no server';
	is(on($co, "SELECT note, (SELECT count(*) FROM wf_recv_many('sent', 10, '0', '$to')) FROM ledger WHERE id = '$to'"), 'updated|1', 'and has done all once');
}

# ----- a node dies -----

# The workflow that waits is on the node that lives: the other one is down as
# it goes on.
foreach my $victim ($w2, $w1)
{
	my ($lives, $id) = $victim == $w2 ? ($w1, $a[0]) : ($w2, $b[0]);

	$victim->stop('immediate');
	on($lives, "SELECT wf_send('$id', '1', 'go')");
	until_true(
		sub { slurp_file($lives->logfile) =~ /ERROR:  [^\n]*\n(?:[^\n]*\n){1,12}?[^\n]*workflow "$id"/ },
		'the body meets it');
	like(on($lives, "SELECT status FROM wf_workflows WHERE workflow_id = '$id'"),
		qr/^(PENDING|RUNNING)$/, $victim->name . ' is down: the body is tried again, it has not failed');
	$victim->start;
	is(on($lives, "SELECT status FROM wf_result('$id', '120 s')"), 'SUCCESS', 'and succeeds once it is back');
	is(on($co, "SELECT count(*) FROM wf_recv_many('done', 10, '0', '$to{$id}')"), 1, 'having sent once');
	is(on($co, "SELECT count(*) FROM ledger WHERE note = 'by another node' AND id = '$to{$id}'"), 1, 'and written once');
}

# kill -9 of a node under bodies that send to each other
{
	my @all = (@a[ 2 .. 9 ], @b[ 2 .. 9 ]);

	on($co, start_senders(@all));
	on($co, join ';', map { "SELECT wf_send('$_', '1', 'go')" } @all);
	foreach my $victim ($w2, $w1)
	{
		$victim->stop('immediate');
		$victim->start;
	}
	my $list = join ',', map { "'$_'" } @all;
	is( join(' ', map { on($co, "SELECT status FROM wf_result('$_', '180 s')") } @all),
		join(' ', ('SUCCESS') x @all), 'all end, over two deaths');
	is(on($co, "SELECT count(*) FROM ledger WHERE id IN ($list)"), scalar @all, 'each has written');
	is( join(' ', map { on($co, "SELECT (SELECT count(*) FROM wf_recv_many('from', 10, '0', '$to{$_}')), (SELECT count(*) FROM wf_recv_many('done', 10, '0', '$to{$_}'))") } @all),
		join(' ', ('1|1') x @all), 'and sent once each');
}

$_->stop foreach reverse @nodes;
done_testing();
