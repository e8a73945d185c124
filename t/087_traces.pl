# Trace contexts go along with a workflow: into its body, over its suspension, a
# crash and a replay, to what it sends and starts; from an HTTP request; to a
# broadcast's waiters.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql poll result suspended);
use DurableWf::Gateway qw(start_gateway until_healthy status $path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_gateway({
	max_worker_processes => 20, restart_after_crash => 'on',
	'durable_wf.http_database' => 'postgres',
	'durable_wf.suspend_after' => '20ms' });

# A trace context that is told by one digit.
sub trace
{
	return join '-', '00', $_[0] x 32, $_[0] x 16, '01';
}

# SQL under a trace context.
sub under
{
	my ($digit, $statement) = @_;
	return sql("SET durable_wf.traceparent = '" . trace($digit) . "'; $statement");
}

sql(<<'SQL');
CREATE EXTENSION IF NOT EXISTS durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE PROCEDURE traced(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb; timed_out boolean; said jsonb := '[]';
BEGIN
    said := said || to_jsonb(current_setting('durable_wf.traceparent'));
    PERFORM wf_send('sink', '"first"', 's');
    CALL wf_recv('t', NULL, NULL, got);
    said := said || got || to_jsonb(wf_received_traceparent());
    CALL wf_recv('u', NULL, NULL, got);
    said := said || coalesce(to_jsonb(wf_received_traceparent()), 'null');
    CALL wf_wait_for_event('e', NULL, NULL, got, timed_out);
    said := said || to_jsonb(wf_received_traceparent());
    -- go on with the trace of who has notified
    PERFORM set_config('durable_wf.traceparent', wf_received_traceparent(), true);
    PERFORM wf_send('sink', '"last"', 's');
    PERFORM wf_start(wf_current() || '-child', 'child');
    PERFORM wf_complete(said);
END $$;
CREATE PROCEDURE child(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_send('sink', '"child"', 's');
    PERFORM wf_step('sends', 'SELECT wf_send(''sink'', ''"step"'', ''s'')');
END $$;
SELECT wf_start('sink');
SQL

# What the sink has got, with the digits of the traces.
sub sunk
{
	return sql(q{SELECT string_agg(message #>> '{}' || coalesce(substr(wf_received_traceparent(message_id), 4, 1), '-'), ' ' ORDER BY message_id) FROM wf_recv_many('s', 100, '0', 'sink')});
}

# ----- a body

under('a', q{SELECT wf_start('w', 'traced')});
suspended('w');
is(sunk(), 'firsta', 'a body sends with the trace that it was started with');
under('b', q{SELECT wf_send('w', '1', 't')});
suspended('w');
sql(q{SELECT wf_send('w', '1', 'u')});
poll(q{SELECT count(*) = 1 FROM wf_event_waiters('e')});

# the crash of the server, while it is suspended: all of it is replayed
$node->stop('immediate');
$node->start;
poll(q{SELECT count(*) = 1 FROM wf_event_waiters('e')});
is(under('c', q{SELECT count(*) FROM wf_notify('e', '1')}), 1, 'a broadcast');
like(result('w'), qr/^SUCCESS/, 'the body ends');
is( sql(q{SELECT output FROM wf_workflows WHERE workflow_id = 'w'}),
	sprintf('["%s", 1, "%s", null, "%s"]', trace('a'), trace('b'), trace('c')),
	'it has had its own, those of the messages, and that of the broadcast');
is(result('w-child'), 'SUCCESS||', 'its child ends');
is(sunk(), 'lastc childc stepc', 'what it sent then, and its child, have the last one');
is(sql(q{SELECT string_agg(workflow_id || substr(traceparent, 4, 1), ' ' ORDER BY workflow_id) FROM wf_workflows WHERE traceparent IS NOT NULL}),
	'wa w-childc', 'wf_workflows tells');

# one body leaves nothing to the next in the same executor
sql(q{SELECT wf_start('bare', 'child')});
is(result('bare'), 'SUCCESS||', 'a workflow without a trace');
is(sunk(), 'child- step-', 'sends without one');

# ----- HTTP

until_healthy();
my $token = sql(q{SELECT token FROM wf_create_webhook(workflow_id => 'sink')});
foreach my $header ('traceparent: ' . trace('d'), 'traceparent: nonsense', 'X-Other: 1')
{
	is(status('POST', "$path/$token", '', $header), 202, "a request with $header");
}
is( sql(qq{SELECT wf_await_hook('$token', '5 s') IS NOT NULL, substr(wf_received_traceparent(), 4, 1);
	SELECT wf_await_hook('$token', '5 s') IS NOT NULL, wf_received_traceparent() IS NULL;
	SELECT wf_await_hook('$token', '5 s') IS NOT NULL, wf_received_traceparent() IS NULL}),
	"t|d\nt|t\nt|t", 'the trace of a request comes with it; what is none, does not');

$node->stop;
done_testing();
