# wf_retry from a step: bodies that have ended, or are suspended, go back and
# receive again what they had received; workers and clients are woken for them;
# sessions that still execute them; two-phase commit, dumps, earlier versions.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start waiter outcome result
  suspended error_of waits_for_lock);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 20, max_prepared_transactions => 5,
	'durable_wf.suspend_after' => '20ms' });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE PROCEDURE receives(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    first jsonb;
    second jsonb;
    told jsonb;
    timed_out boolean;
    token text;
BEGIN
    PERFORM wf_step('begin', 'INSERT INTO effect (what) VALUES (''begin'')');
    token := wf_create_hook('hook of ' || wf_current());
    CALL wf_recv('first', NULL, NULL, first);
    PERFORM wf_step('middle', 'INSERT INTO effect (what) VALUES ($1->>0)', jsonb_build_array(first));
    CALL wf_await_hook(token, NULL, second);
    CALL wf_wait_for_event('told', NULL, NULL, told, timed_out);
    PERFORM wf_complete(jsonb_build_array(first, second, told));
END $$;
SQL

# What a workflow has written, in this order.
sub effects
{
	return sql("SELECT string_agg(what, ' ' ORDER BY n) FROM effect WHERE workflow_id = '$_[0]'");
}

# What lies in the mailbox of a workflow.
sub mailbox
{
	my ($id, $database) = @_;

	return $node->safe_psql($database || 'postgres',
		"SELECT string_agg(concat_ws(' ', message_id, door, key, payload, created_at), ';' ORDER BY message_id) FROM durable_wf.message WHERE workflow_id = '$id'");
}

# ------------------------------------------------------------------- bodies

my $lay = sql(<<'SQL');
BEGIN;
DO $$
BEGIN
    PERFORM wf_start('body', 'receives'), wf_send('body', '"one"', 'first'), wf_send('body', '"two"', 'first');
END $$;
SELECT message_id || '|' || created_at FROM durable_wf.message WHERE payload = '"one"';
COMMIT;
SQL
suspended('body');
poll(q{SELECT EXISTS (SELECT FROM wf_waiters WHERE workflow_id = 'body' AND door = 'hook')});

# suspended: it goes back, and on
sql(q{SELECT wf_retry('body', 3)});
poll(q{SELECT status = 'WAITING' AND EXISTS (SELECT FROM wf_waiters WHERE workflow_id = 'body' AND door = 'hook') AND (SELECT count(*) = 3 FROM effect) FROM wf_workflows WHERE workflow_id = 'body'});
is(effects('body'), 'begin one one', 'suspended: the steps from there run again, with the same message');
like(mailbox('body'), qr/^\d+ m first "two" [^;]*$/, '... and the next one is there');
is( sql(q{BEGIN; DO $$BEGIN PERFORM wf_retry('body', 3); END$$; SELECT message_id || '|' || created_at FROM durable_wf.message WHERE payload = '"one"'; ROLLBACK; }),
	$lay, '... which lay in its old place');
is(sql(q{SELECT count(*) FROM durable_wf.wait WHERE workflow_id = 'body'}), 1, '... and waits in one place');

# what comes ends the wait as ever; a broadcast, too
sql(q{SELECT wf_resume_hook('hook of body', '"paid"')});
poll(q{SELECT EXISTS (SELECT FROM wf_event_waiters('told'))});
sql(q{SELECT wf_notify('told', '"news"')});
is(result('body'), 'SUCCESS|["one", "paid", "news"]|', 'it ends');

# SUCCESS: back to each of its steps
is(sql(q{SELECT string_agg(step_no || ' ' || name, ', ' ORDER BY step_no) FROM wf_list_steps('body')}),
	'1 begin, 2 wf_create_hook(hook of body), 3 wf_recv(first), 4 middle, 5 wf_await_hook(hook of body), 6 wf_wait_for_event(told)',
	'its journal');
foreach my $step (reverse 1 .. 7)
{
	sql("SELECT wf_retry('body', $step)");
	is(result('body'), 'SUCCESS|["one", "paid", "news"]|', "from step $step: it receives the same");
}
is(effects('body'), 'begin one one one one one begin one', '... and runs what comes after');
sql(q{SELECT wf_retry('body', 1)});
is(result('body'), 'SUCCESS|["one", "paid", "news"]|', 'as often as one likes');

# a body that has failed goes back before the step that was wrong
sql(<<'SQL');
CREATE PROCEDURE fails(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_step('divide', 'SELECT 1 / ($1->>0)::int', jsonb_build_array(got));
END $$;
SELECT wf_start('failed', 'fails'), wf_send('failed', '0', 't');
SQL
is(result('failed'), 'ERROR||division by zero', 'a body fails');
sql(q{BEGIN; SELECT wf_retry('failed', 1); UPDATE durable_wf.message SET payload = '1' WHERE workflow_id = 'failed'; COMMIT});
is(result('failed'), 'SUCCESS||', '... and goes back to receive it anew');

# ------------------------------------------------------- two-phase commit

$lay = sql(q{BEGIN; SELECT wf_retry('body', 3); SELECT string_agg(payload::text, ' ' ORDER BY message_id) FROM durable_wf.message WHERE workflow_id = 'body'; ROLLBACK});
is($lay, "\n\"one\" \"two\" \"paid\" \"news\"", 'what lies there in a transaction');
sql(q{BEGIN; SELECT wf_retry('body', 3); PREPARE TRANSACTION 'back'});
is(sql(q{SELECT wf_status('body')}), 'SUCCESS', 'prepared: not yet');
sql(q{ROLLBACK PREPARED 'back'});
sql(q{BEGIN; SELECT wf_retry('body', 3); PREPARE TRANSACTION 'back'});
$node->restart;
my $before = effects('body');
sql(q{COMMIT PREPARED 'back'});
is(result('body'), 'SUCCESS|["one", "paid", "news"]|', 'prepared, over a restart: it goes back');
is(effects('body'), "$before one", '... and on');

# --------------------------------------------------- clients, and their claims

sql(q{SELECT wf_start('client', queue => 'q'), wf_send('client', '1', 't')});
my $client = session();
$client->query_safe(q{SELECT wf_attach_next('q'); SELECT wf_recv('t', '0'); SELECT wf_recv('none', '0')});
like(error_of(q{SELECT wf_retry('client', 1)}), qr/55000.*has not ended/, 'a client executes it');
sql(q{SELECT wf_cancel('client')});
my $other = session();
start($other, q{SELECT wf_retry('client', 1)});
poll("SELECT wait_event = 'Extension' FROM pg_stat_activity WHERE pid = $other->{pid}");
is(sql(q{SELECT wf_status('client')}), 'CANCELLED', 'cancelled: a retry waits for the client that still has it');
my $worker = waiter(q{SELECT wf_attach_next('q', '120 s')});
$client->query_safe('SELECT wf_detach()');
is(outcome($other), '', '... until it has left');
is(outcome($worker), 'client', '... and the next client is woken');
is($worker->query_safe(q{SELECT wf_recv('t', '0')}), '1', '... and receives the same');

# the session that executes it does not wait for itself
like( outcome($worker, q{SELECT wf_complete(), wf_retry('client', 1)}),
	qr/55000.*a session still executes workflow "client"/s, 'a session does not wait for itself');
sql(q{SELECT wf_cancel('client')});
$worker->quit;
$client->quit;

# one that comes to the row first
$client = session();
$client->query_safe(q{BEGIN; SELECT wf_retry('client')});
start($other, q{SELECT wf_retry('client', 1)});
waits_for_lock("pid = $other->{pid}");
$client->query_safe('COMMIT');
like(outcome($other), qr/55000.*Its status is PENDING/s, 'another retry has been there');
$client->quit;
$other->quit;
sql(q{SELECT wf_cancel('client')});

# ------------------------------------------------------------------- a dump

$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-p', $node->port, '-h', $node->host, '-f', $dump, 'postgres' ], 'a dump');
$node->safe_psql('copy', "\\i $dump");
$lay = sql(q{BEGIN; SELECT wf_retry('body', 1); COMMIT; SELECT 1});
$node->safe_psql('copy', q{SELECT wf_retry('body', 3)});
like(mailbox('body', 'copy'), qr/^\d+ m first "one" .*;\d+ m first "two" .*;\d+ h hook of body "paid" .*;\d+ n told "news" [^;]*$/,
	'a restored copy has what was received');

# --------------------------------------- a journal of an earlier version

$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', q{CREATE EXTENSION durable_wf VERSION '0.3.0'; SELECT wf_start('w'), wf_send('w', '1', 't'), wf_send('w', '2', 't'), wf_send('w', '3', 't')});
my $old = session($node, 'old');
is($old->query_safe(q{SELECT wf_attach('w'); SELECT wf_recv('t', '0'); SELECT wf_detach()}),
	"RUNNING\n1\n", 'objects of 0.3.0: a message is received');
$node->safe_psql('old', q{SELECT wf_cancel('w'); SELECT wf_retry('w')});
$old->quit;
$old = session($node, 'old');
$node->safe_psql('old', q{ALTER EXTENSION durable_wf UPDATE});
is($old->query_safe(q{SELECT wf_attach('w'); SELECT wf_recv('t', '0'); SELECT wf_recv('t', '0'); SELECT wf_complete()}),
	"RUNNING\n1\n2\n", 'updated: it goes on');
my (undef, undef, $refused) = $node->psql('old', q{SELECT wf_retry('w', 1)});
like($refused, qr/step 1 of workflow "w".*earlier version.*step 2 or a later one/s, '... not back to what was recorded without its place');
$node->safe_psql('old', q{SELECT wf_retry('w', 2)});
like(mailbox('w', 'old'), qr/^\d+ m t 2 [^;]*;\d+ m t 3 [^;]*$/, '... but back to what was recorded since');
$old->quit;

done_testing();
