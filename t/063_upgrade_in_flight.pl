# ALTER EXTENSION UPDATE from 0.3.0 with work in flight: the new library runs
# on the objects of 0.3.0 first, over a crash; then they are updated under
# bodies that are suspended at each door, open hooks, a journal, a held request;
# then all of it goes on, and what is new works on it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node session start asleep outcome said_in waits_for_lock);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 28, max_prepared_transactions => 5, restart_after_crash => 'on',
	'durable_wf.suspend_after' => '10ms', 'durable_wf.max_deliveries' => 2, 'durable_wf.max_executors' => 8 });

# Run statements, and return what they print.
sub old
{
	return $node->safe_psql('old', $_[0]);
}

sub poll_old
{
	$node->poll_query_until('old', $_[0]) or die "it does not happen: $_[0]";
	return;
}

# How a workflow ended.
sub result
{
	return old("SELECT * FROM wf_result('$_[0]', '120 s')");
}

# ------------------------------------------------- with the objects of 0.3.0

# A body waits at a door, then for an order: a command, which it executes.
$node->safe_psql('postgres', 'CREATE DATABASE old');
old(<<'SQL');
CREATE EXTENSION durable_wf VERSION '0.3.0';
CREATE PROCEDURE door(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb; topic text; timed_out boolean; status text; error text; at timestamptz; token text; command jsonb;
BEGIN
    PERFORM wf_set_event('begun', '1');
    CASE input->>0
    WHEN 'message' THEN CALL wf_recv('t', NULL, NULL, got);
    WHEN 'no topic' THEN CALL wf_recv(NULL, NULL, NULL, got);
    WHEN 'any' THEN CALL wf_recv_any('{a,b}', NULL, NULL, topic, got);
    WHEN 'event' THEN CALL wf_get_event('other', 'k', NULL, got);
    WHEN 'notify' THEN CALL wf_wait_for_event('e', NULL, NULL, got, timed_out);
    WHEN 'hook' THEN PERFORM wf_create_hook('hook of old'); CALL wf_await_hook('hook of old', NULL, got);
    WHEN 'result' THEN CALL wf_result('other', NULL, status, got, error);
    WHEN 'timer' THEN CALL wf_sleep('3 s', at);
    WHEN 'retry' THEN
        CALL wf_step('flaky', 'SELECT 1 / count(*) FROM wf_workflows WHERE workflow_id = ''mended''', NULL, 99, '3 s', got);
    WHEN 'webhook' THEN
        token := (wf_create_webhook('"manual"')).token;
        PERFORM wf_set_event('token', to_jsonb(token));
        CALL wf_await_hook(token, NULL, got);
        PERFORM wf_respond((got->>'request_id')::bigint, 200, '{}', 'answered');
        got := got->'body';
    END CASE;
    CALL wf_recv('order', NULL, NULL, command);
    EXECUTE command->>0;
    PERFORM wf_complete(got);
END $$;
SELECT wf_start('other'), wf_start('client'), wf_start('failed'), wf_start('letters');
SELECT wf_start(d, 'door', jsonb_build_array(d))
  FROM unnest('{message,no topic,any,event,notify,hook,result,timer,retry,webhook}'::text[]) d;
SELECT wf_create_hook('hook of failed', workflow_id => 'failed'), wf_resume_hook('hook of failed', '"before"');
SELECT wf_send('client', '"one"', 't'), wf_send('client', '"two"', 't'), wf_send('letters', '"poison"', 't'), wf_send('letters', '"good"', 't');
BEGIN; SET LOCAL durable_wf.workflow_id = 'failed'; SELECT wf_fail('as it should'); COMMIT;
SQL
poll_old(q{SELECT count(*) = 10 FROM wf_workflows WHERE status = 'WAITING'});

# a client's journal, by the new library
my $client = session($node, 'old');
$client->query_safe(q{SELECT wf_attach('client'); SELECT wf_recv('t', '0'); SELECT wf_step('work', 'SELECT 1'); SELECT wf_start('child of client');});
is(outcome($client, q{SELECT parent IS NULL FROM (SELECT to_jsonb(w)->>'parent_id' AS parent FROM durable_wf.workflow w WHERE workflow_id = 'child of client') p}),
	't', '0.3.0: a start notes no parent');
$client->query_safe('SELECT wf_detach()');

# what is not there yet is not there, and the rest is as it was
my %missing = (
	'wf_write_stream' => q{wf_write_stream('s', '1', 'other')}, 'wf_read_stream' => q{wf_read_stream('other', 's')},
	'wf_close_stream' => q{wf_close_stream('s', 'other')}, 'wf_create_stream_url' => q{wf_create_stream_url('s', 'other')},
	'wf_wait_any' => q{wf_wait_any('[{"topic": "t"}]', '0', 'other')}, 'wf_redrive' => q{wf_redrive('letters')},
	'wf_set_attributes' => q{wf_set_attributes('{}', 'other')}, 'wf_until' => q{wf_until(now())},
	'wf_retry' => q{wf_retry('failed', 1)}, 'wf_cancel' => q{wf_cancel('other', 'why', true)},
	'wf_complete' => q{wf_complete('1', 'other')}, 'wf_fail' => q{wf_fail('e', 'other')},
	'wf_start' => q{wf_start('new', attributes => '{}')});
foreach my $name (sort keys %missing)
{
	like(said_in($node, 'old', "SELECT $missing{$name}"), qr/ERROR:  42883: function $name\(.*\) does not exist/, "0.3.0: there is no such $name yet");
}
foreach my $view ('wf_streams', 'wf_dead_letters')
{
	like(said_in($node, 'old', "SELECT * FROM $view"), qr/ERROR:  42P01/, "0.3.0: there is no $view yet");
}
is(old(q{SELECT wf_start('gone'), wf_cancel('gone'); SELECT status, output, error FROM wf_result('gone', '0'); SELECT wf_retry('gone'), wf_cancel('gone')}),
	"gone|t\nCANCELLED||\n|t", '0.3.0: cancelled, gone on with');

# no dead letters: what is given back is not counted, and the log says so
foreach (1 .. 3)
{
	is(old(q{BEGIN; SELECT wf_recv('t', '0', 'letters'); ROLLBACK}), '"poison"', "0.3.0: given back, $_");
}
ok($node->wait_for_log(qr/durable_wf.max_deliveries has no effect in database "old"/), '0.3.0: the log says that deliveries are not counted');

# a crash
$node->stop('immediate');
$client = undef;
$node->start;
poll_old(q{SELECT count(*) = 10 FROM wf_workflows WHERE status = 'WAITING'});
old(q{SELECT wf_send('message', '"by 0.3.0"', 't')});
poll_old(q{SELECT count(*) = 1 FROM wf_waiters WHERE suspended AND workflow_id = 'message' AND key = 'order'});
is(old(q{SELECT wf_recv('t', '0', 'letters')}), '"poison"', '0.3.0: it stays where it is');

# ---------------------------------------------------------------- the update

# A prepared transaction is waited for; sessions that wait are sent away.
old(q{BEGIN; SELECT wf_send('no topic', '"prepared"'), wf_send('letters', '"poison"', 't'); PREPARE TRANSACTION 'before'});
my $waiter = session($node, 'old');
asleep(start($waiter, q{SELECT wf_recv('none', NULL, 'other')}));
my $update = session($node, 'old');
start($update, 'ALTER EXTENSION durable_wf UPDATE');
waits_for_lock("pid = $update->{pid}");
like(outcome($waiter), qr/55006.*is being altered or dropped/s, 'a session that waits is sent away');
old(q{COMMIT PREPARED 'before'});
is(outcome($update), '', 'updated');
$_->quit foreach $update, $waiter;

# ------------------------------------------------------------ all of it goes on

# old waits are ended by the doors that they wait at; new things happen to them
my %news = (
	'any' => [ q{SELECT wf_send('any', '"any"', 'b')}, '"any"' ],
	'event' => [ q{SELECT wf_set_event('k', '"k"', 'other')}, '"k"' ],
	'notify' => [ q{SELECT wf_notify('e', '"told"')}, '"told"' ],
	'hook' => [ q{SELECT wf_resume_hook('hook of old', '"resumed"')}, '"resumed"' ],
	'result' => [ q{SELECT wf_complete('"done"', 'other')}, '"done"' ],
	'timer' => [ 'SELECT 1', '' ],
	'retry' => [ q{SELECT wf_start('mended')}, '1' ],
	'message' => [ 'SELECT 1', '"by 0.3.0"' ],
	'no topic' => [ 'SELECT 1', '"prepared"' ],
	'webhook' => [ q{SELECT wf_resume_webhook(wf_get_event('webhook', 'token', '0') #>> '{}', '{"method": "POST", "body": "body"}')}, '"body"' ]);
my %orders = (
	'message' => q{SELECT wf_write_stream('s', '1'), wf_close_stream('s')},
	'any' => q{SELECT wf_set_attributes('{"kind": "old"}')},
	'event' => q{SELECT wf_start('child of event', attributes => '{"kind": "new"}')},
	'hook' => q{SELECT wf_create_stream_url('s')},
	'notify' => q{SELECT wf_wait_any('[{"topic": "none"}, {"workflow_id": "other"}]', '0')},
	'timer' => q{SELECT count(*) FROM wf_read_stream('message', 's', timeout => '0')});
is(old(q{SELECT count(*) FROM wf_waiters WHERE workflow_id = 'webhook' AND suspended AND door = 'hook'}), 1, 'a webhook is waited for');
my $reader = session($node, 'old');
asleep(start($reader, q{SELECT value FROM wf_read_stream('message', 's', timeout => '120 s')}));
old($news{$_}[0]) foreach sort keys %news;
foreach my $id (sort keys %news)
{
	my $order = $orders{$id} || 'SELECT 1';

	old(qq{SELECT wf_send('$id', to_jsonb(ARRAY[\$\$$order\$\$]), 'order')});
	is(result($id), "SUCCESS|$news{$id}[1]|", "$id: suspended by 0.3.0, goes on");
}
is(outcome($reader), '1', 'a body that 0.3.0 has begun writes a stream');
$reader->quit;
is(old(q{SELECT workflow_id, parent_id, attributes FROM wf_workflows WHERE attributes @> '{}' ORDER BY 1}),
	qq(any||{"kind": "old"}\nchild of event|event|{"kind": "new"}), '... and has attributes, and children');
is(old(q{SELECT response->>'body' FROM durable_wf.request}), 'answered', '... and answers a request');
is(old(q{SELECT (SELECT count(*) FROM durable_wf.wait), (SELECT string_agg(concat_ws(' ', workflow_id, key, depth), ', ' ORDER BY workflow_id) FROM wf_mailbox)}),
	'0|client t 1, letters t 2', 'nothing else is left');

# a workflow that 0.3.0 has ended; its hook, and what was in it, went with it then
is(old(q{SELECT wf_retry('failed'); SELECT wf_create_hook('hook of failed', workflow_id => 'failed');
	SELECT wf_wait_any('[{"token": "hook of failed"}, {"topic": "t"}]', '0', 'failed'); SELECT wf_complete(workflow_id => 'failed')}),
	qq(\nhook of failed\n(,)\n), 'a workflow that failed before goes on');

# a journal: replayed, gone on with, and back to what the new objects noted
$client = session($node, 'old');
is($client->query_safe(q{SELECT wf_attach('client'); SELECT wf_recv('t', '0'); SELECT wf_step('work', 'SELECT 1'); SELECT wf_start('child of client');
	SELECT wf_wait_any('[{"topic": "t"}]'); SELECT wf_start('later child'); SELECT wf_complete()}),
	qq(RUNNING\n"one"\n1\nchild of client\n(1,"""two""")\nlater child\n), 'a journal of 0.3.0 is replayed');
$client->quit;
like(said_in($node, 'old', q{SELECT wf_retry('client', 1)}), qr/55000.*earlier version/s, '... it goes not back to what 0.3.0 recorded');
is(old(q{SELECT wf_retry('client', 4); SELECT key, depth FROM wf_mailbox WHERE workflow_id = 'client'; SELECT wf_cancel('client', 'why', true);
	SELECT workflow_id, status, error FROM wf_workflows WHERE workflow_id LIKE '%child%' ORDER BY 1}),
	"\nt|1\nt\nchild of client|PENDING|\nchild of event|PENDING|\nlater child|CANCELLED|cancelled by postgres: why",
	'... but to what came later; its children are those since then');

# dead letters, of messages that were sent and given back before
old(q{BEGIN; SELECT wf_recv('t', '0', 'letters'); SELECT wf_recv('t', '0', 'letters'); ROLLBACK}) foreach 1, 2;
poll_old(q{SELECT count(*) = 2 FROM wf_dead_letters WHERE workflow_id = 'letters'});
is(old(q{SELECT string_agg(payload::text || deliveries, ' ' ORDER BY message_id) FROM wf_dead_letters; SELECT wf_redrive('letters')}),
	qq("good"2 "poison"2\n2), 'what was sent before can be a dead letter now');

# and what ended then is pruned with what came since
old(q{SELECT wf_cancel(workflow_id) FROM wf_workflows WHERE finished_at IS NULL});
poll_old(q{SELECT wf_prune('0') = 0 AND NOT EXISTS (SELECT FROM durable_wf.workflow)});
is(old(q{SELECT (SELECT count(*) FROM durable_wf.stream_item), (SELECT count(*) FROM durable_wf.stream_url), (SELECT count(*) FROM durable_wf.attributes),
	(SELECT count(*) FROM durable_wf.message), (SELECT count(*) FROM durable_wf.step), (SELECT count(*) FROM durable_wf.request)}),
	'0|0|0|0|0|0', 'nothing is left of any of them');

# ------------------------------------------------- by way of every version

# Each version adds to what those before it have left in flight, and the server
# crashes in between: queues with a message that is sent twice by its key, one
# that a prepared transaction holds, a session that waits; from 0.3.0 on a body
# and a client's journal.
my @versions = ('0.1.0', '0.2.0', '0.3.0',
	$node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'durable_wf'}));
my ($oldest, $sent) = ('', '');

$node->safe_psql('postgres', 'CREATE DATABASE oldest');
foreach my $version (@versions)
{
	my $before = $oldest;
	my $waits;

	if ($before eq '')
	{
		$node->safe_psql('oldest', "CREATE EXTENSION durable_wf VERSION '$version'; SELECT wf_start('w'), wf_start('journal')");
	}
	else
	{
		$waits = session($node, 'oldest');
		asleep(start($waits, q{SELECT wf_recv('none', NULL, 'w')}));
		$update = session($node, 'oldest');
		start($update, "ALTER EXTENSION durable_wf UPDATE TO '$version'");
		# it waits for the prepared transaction where it changes its table
		poll_old("SELECT query LIKE 'ALTER%' AND (wait_event_type = 'Lock' OR state = 'idle') FROM pg_stat_activity WHERE pid = $update->{pid}");
		$node->safe_psql('oldest', "COMMIT PREPARED 'held'");
		is(outcome($update), '', "$before to $version: updated");
		like(outcome($waits), qr/55006.*is being altered or dropped/s, "$before to $version: a session that waits is sent away");
		$_->quit foreach $update, $waits;
	}
	$oldest = $version;
	is($node->safe_psql('oldest', q{SELECT extversion FROM pg_extension WHERE extname = 'durable_wf'}), $version, "$version is there");
	if ($version eq $versions[2])
	{
		$node->safe_psql('oldest', <<'SQL');
CREATE PROCEDURE body(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    one jsonb; two jsonb;
BEGIN
    one := wf_step('one', 'SELECT 1');
    CALL wf_recv('for body', NULL, NULL, two);
    PERFORM wf_complete(jsonb_build_array(one, two));
END $$;
SELECT wf_start('body', 'body');
SQL
		$client = session($node, 'oldest');
		$client->query_safe(q{SELECT wf_attach('journal'), wf_step('first', 'SELECT 7')});
		$client->quit;
		$node->poll_query_until('oldest', q{SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = 'body'}) or die 'it is not suspended';
	}
	if ($version ne $versions[3])
	{
		$node->safe_psql('oldest', qq{SELECT wf_send('w', '"$version"', 'q'), wf_send('w', '"once"', 'keyed', 'key'), wf_set_event('$version', '1', 'w');
			BEGIN; SELECT wf_send('w', '"held by $version"', 'q'); PREPARE TRANSACTION 'held'});
		$sent .= qq("$version" "held by $version" );
		$node->stop('immediate');
		$node->start;
	}
}
chop $sent;
is($node->safe_psql('oldest', q{SELECT string_agg(message::text, ' ') FROM wf_recv_many('q', 100, '0', 'w')}), $sent, 'all versions: what each has sent, in this order');
is($node->safe_psql('oldest', q{SELECT string_agg(message::text, ' ') FROM wf_recv_many('keyed', 100, '0', 'w')}), '"once"', 'all versions: a key is kept');
is($node->safe_psql('oldest', q{SELECT string_agg(key, ' ' ORDER BY key) FROM durable_wf.event WHERE workflow_id = 'w'}),
	join(' ', @versions[ 0 .. 2 ]), 'all versions: what each has published');
is($node->safe_psql('oldest', q{SELECT wf_send('body', '2', 'for body') > 0; SELECT * FROM wf_result('body', '120 s')}), "t\nSUCCESS|[1, 2]|",
	'all versions: a suspended body goes on');
$client = session($node, 'oldest');
is($client->query_safe(q{SELECT wf_attach('journal'); SELECT wf_step('first', 'SELECT 8'), wf_step('second', 'SELECT 9'); SELECT wf_complete()}),
	"RUNNING\n7|9\n", 'all versions: a journal is replayed');
$client->quit;

$node->stop;
done_testing();
