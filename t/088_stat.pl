# wf_stat counts for its own database, whichever processes have counted there; a
# member of pg_monitor sees waits and counts of all owners.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql sql_in poll session start waiter outcome);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', { max_worker_processes => 20, max_connections => 20 });

foreach my $database ('one', 'two')
{
	sql("CREATE DATABASE $database");
	sql_in($database, 'CREATE EXTENSION durable_wf');
	sql_in($database, q{SELECT wf_start('w')});
}

# What a database has counted.
sub counted
{
	my ($database) = @_;
	return sql_in($database, q{SELECT sends || ' ' || receives FROM wf_stat WHERE door = 'message'});
}

is(counted('one'), '0 0', 'nothing yet');
# each psql is a process of its own, and takes a slot that others have left
foreach my $round (1 .. 5)
{
	sql_in('one', q{SELECT wf_send('w', '1')});
	sql_in('two', q{SELECT wf_send('w', '1'), wf_send('w', '2')});
	sql_in('two', q{SELECT wf_recv(NULL, '0', 'w')});
	sql('SELECT 1');
}
is(counted('one'), '5 0', 'one database');
is(counted('two'), '10 5', 'another one');

# Sessions side by side, of both.
my @sessions = map { session($node, $_) } ('one', 'two') x 4;
foreach (1 .. 3)
{
	$_->query_safe(q{SELECT wf_send('w', '1')}) foreach @sessions;
}
is(counted('one'), '17 0', 'one, with sessions of both at work');
is(counted('two'), '22 5', 'the other one');
$_->quit foreach @sessions;
is(counted('one'), '17 0', 'one, when they have ended');
sql_in('one', q{SELECT wf_send('w', '1')});
sql_in('two', q{SELECT wf_send('w', '1')});
is(counted('one') . ', ' . counted('two'), '18 0, 23 5', 'each goes on');

# A session that waits, seen by a role that may not act on its workflow.
sql(q{CREATE ROLE monitor LOGIN IN ROLE pg_monitor});
sql(q{CREATE ROLE alice LOGIN});
my $waits = session($node, 'one');
$waits->query_safe(q{SET ROLE alice; SELECT wf_start('of alice')});
start($waits, q{SELECT wf_recv('secret', '120 s', 'of alice')});
$node->poll_query_until('one', q{SELECT count(*) = 1 FROM wf_waiters WHERE workflow_id = 'of alice'})
  or die 'does not wait';
is( sql_in('one', q{SET ROLE monitor; SELECT owner, door, sessions, suspended, oldest_since < now() FROM wf_stat_waits}),
	'alice|message|1|0|t', 'a member of pg_monitor sees that it waits');
is( sql_in('one', q{SET ROLE monitor; SELECT count(*) FROM wf_waiters}), 0, 'but not for what');
is( sql_in('one', q{SET ROLE monitor; SELECT owner, status, workflows FROM wf_stat_workflows ORDER BY 1}),
	"alice|PENDING|1\npostgres|PENDING|1", 'and how many workflows there are');
sql_in('one', q{SELECT wf_send('of alice', '1', 'secret')});
is(outcome($waits), '1', 'its wait ends with the message');
$waits->quit;

# How long work waited, by the queries of docs/monitoring: of a body that waits
# for one message and finds the other.
my ($queued, $received) = slurp_file("$FindBin::RealBin/../docs/monitoring/README.md") =~ /^```sql\n([^`]*percentile_cont.*?)^```$/msg;
sql_in('two', <<'SQL');
CREATE PROCEDURE two(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    message jsonb;
BEGIN
    CALL wf_recv('first', NULL, NULL, message);
    CALL wf_recv('second', NULL, NULL, message);
    PERFORM wf_complete(message);
END $$;
SELECT wf_start('two', 'two');
SQL
$node->poll_query_until('two', q{SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = 'two'}) or die 'does not wait';
sql_in('two', q{BEGIN; SELECT wf_send('two', '1', 'second'); SELECT wf_send('two', '2', 'first'); COMMIT});
is(sql_in('two', q{SELECT status FROM wf_result('two', '120 s')}), 'SUCCESS', 'it has received both');
like(sql_in('two', "SET client_min_messages = warning; $queued"), qr/^\S*two\S*\|\|1\|\{\d[^,]*,\d[^,]*,\d[^,]*\}$/, 'docs/monitoring: how long it was queued');
like(sql_in('two', $received), qr/\Af\|wf_recv\|1\|\{\d.*\}\nt\|wf_recv\|1\|\{\d.*\}\z/, 'docs/monitoring: how long messages lay, and how long a wake took');

$node->stop;
done_testing();
