# The same SQL on the nodes of a Citus cluster: to which node calls go, in all
# forms, and what refuses to go to another one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;

use DurableWf qw(session start outcome);
use DurableWf::Nodes
  qw(skip_without_citus start_cluster ids_of on said_on);

skip_without_citus();

my ($co, $w1, $w2) = start_cluster(2);
my @nodes = ($co, $w1, $w2);
my %name = map { $_->port => $_->name } @nodes;

# ----- before -----

is(on($co, q{SELECT wf_start('one-node'); SELECT wf_node('one-node')}),
	"one-node\n(,,t)", 'without an anchor, each workflow is here');
like(
	said_on($co, 'SELECT wf_distribute(8)'),
	qr/55000: node 127.*cannot have workflows.*has workflows already/s,
	'a cluster that has workflows is not distributed');
on($co, q{SELECT wf_cancel('one-node')});
on($co, q{DELETE FROM durable_wf.workflow});
like(said_on($w1, 'SELECT wf_distribute(8)'),
	qr/55000: .*on the coordinator/, 'nor by a worker');
like(said_on($co, 'SELECT wf_distribute(0)'), qr/22023/, 'nor without shards');
on($co, 'SELECT wf_distribute(8)');
like(said_on($co, 'SELECT wf_distribute(8)'), qr/55000: .*already/,
	'nor twice');

# ----- where workflows are -----

my ($wa) = ids_of($w1, 'wa', 1);
my ($wb) = ids_of($w2, 'wb', 1);

on($co, "SELECT wf_start('$wa'), wf_start('$wb')");
is(on($co, q{SELECT count(wf_start('order-' || i)) FROM generate_series(1, 20) i}),
	20, 'twenty workflows are started on the coordinator');
is(on($co, 'SELECT count(*) FROM durable_wf.workflow'), 0,
	'none of them is there');
is( join(' ', sort map { on($_, 'SELECT bool_and((wf_node(workflow_id)).is_here), count(*) > 3 FROM wf_workflows') } $w1, $w2),
	't|t t|t', 'each is where the anchor says');
is( on($co, q{SELECT count(DISTINCT wf_start()) FROM generate_series(1, 5)}),
	5, 'ids that are made up for each row');
is( on($co, q{SELECT wf_start(NULL) FROM generate_series(1, 3) GROUP BY 1}) =~ tr/\n//,
	2, 'a NULL that is a constant, too');

# ----- each form of a call, from each node -----

foreach my $node (@nodes)
{
	my $from = $node->name;

	is( on($node, <<"SQL"),
SELECT wf_send('$wa', '1') > 0, wf_send('$wb', '2') > 0;
SELECT wf_recv(NULL, '0', '$wa'), wf_recv(NULL, '0', '$wb'), wf_recv(NULL, '0', '$wa') IS NULL;
SQL
		"t|t\n1|2|t", "$from: several calls in one SELECT");
	is( on($node, <<"SQL"),
DO \$\$
DECLARE
    got jsonb;
BEGIN
    PERFORM wf_send('$wa', '3', 'topic');
    PERFORM wf_send('$wb', '4', 'topic');
    got := wf_recv('topic', '0', '$wa');
    ASSERT got = '3';
    SELECT wf_recv('topic', '0', '$wb') INTO got;
    ASSERT got = '4';
END \$\$;
SELECT 'done';
SQL
		'done', "$from: DO");
	is( on($node, <<"SQL"),
SET citus.enable_ddl_propagation = off;
CREATE FUNCTION pg_temp.both(a text, b text) RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM wf_set_event('k', to_jsonb(a), a);
    PERFORM wf_set_event('k', to_jsonb(b), b);
    RETURN concat(wf_get_event(a, 'k', '0'), ' ', wf_get_event(b, 'k', '0'));
END \$\$;
SELECT pg_temp.both('$wa', '$wb');
SQL
		qq{"$wa" "$wb"}, "$from: a function");
	is( on($node, <<"SQL"),
PREPARE send(text, jsonb) AS SELECT wf_send(\$1, \$2) > 0;
SET plan_cache_mode = force_generic_plan;
EXECUTE send('$wa', '5');
EXECUTE send('$wb', '6');
BEGIN;
DECLARE c CURSOR FOR SELECT wf_recv(NULL, '0', id) FROM (VALUES ('$wa'), ('$wb')) v(id);
FETCH 1 FROM c;
FETCH 1 FROM c;
COMMIT;
SQL
		"t\nt\n5\n6", "$from: a prepared statement and a cursor");
	is( on($node, <<"SQL"),
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_send('$wa', '7') > 0, wf_send('$wb', '8') > 0;
SELECT wf_recv(NULL, '0', '$wa'), wf_recv(NULL, '0', '$wb');
COMMIT;
SQL
		"t|t\n7|8", "$from: REPEATABLE READ");
	is( on($node, <<"SQL"),
BEGIN;
SELECT wf_send('$wa', '"kept"') > 0;
SAVEPOINT s;
SELECT wf_send('$wa', '"undone"') > 0, wf_send('$wb', '"undone"') > 0;
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT wf_send('$wa', '"undone"') > 0;
ROLLBACK;
SELECT message FROM wf_recv_many(NULL, 10, '0', '$wa');
SELECT wf_recv(NULL, '0', '$wb') IS NULL;
SQL
		qq{t\nt|t\nt\n"kept"\nt}, "$from: savepoints and ROLLBACK");
	is( on($node, <<"SQL"),
SELECT wf_send('$wa', '9') > 0, wf_send('$wb', '10', 't') > 0;
CALL wf_recv(NULL, '0', '$wa', NULL);
CALL wf_recv_any('{t}', '0', '$wb', NULL, NULL);
CALL wf_result('$wb', '0', NULL, NULL, NULL);
CALL wf_get_event('$wa', 'k', '0', NULL);
SQL
		qq{t|t\n9\nt|10\nPENDING||\n"$wa"}, "$from: CALL");
	is( on($node, <<"SQL"),
SET durable_wf.workflow_id = '$wb';
SELECT wf_current(), wf_send('$wb', '11') > 0, wf_recv();
BEGIN;
SET LOCAL durable_wf.workflow_id = '$wa';
SELECT wf_send('$wa', '12') > 0, wf_recv();
COMMIT;
SQL
		"$wb|t|11\nt|12", "$from: the current workflow");
	is( on($node, <<"SQL"),
SELECT cardinality(wf_send_many(ARRAY['$wa', '$wb', '$wa', '$wb'], ARRAY['1', '2', '3', '4']::jsonb[],
                                idempotency_keys => ARRAY['k$from', 'k$from', NULL, NULL]));
SELECT a[1] = b[1], a[2] = b[2] FROM
  wf_send_many(ARRAY['$wa', '$wb'], ARRAY['5', '6']::jsonb[], idempotency_keys => ARRAY['k$from', 'k$from']) a,
  wf_send_many(ARRAY['$wa', '$wb'], ARRAY['7', '8']::jsonb[], idempotency_keys => ARRAY['k$from', 'k$from']) b;
SELECT string_agg(message::text, ' ') FROM wf_recv_many(NULL, 10, '0', '$wa');
SELECT string_agg(message::text, ' ') FROM wf_recv_many(NULL, 10, '0', '$wb');
SQL
		"4\nt|t\n1 3\n2 4", "$from: wf_send_many");
	like(said_on($node, "SELECT wf_send_many(ARRAY['$wa', '$wb', 'none-1', 'none-2'], ARRAY['1', '2', '3', '4']::jsonb[])"),
		qr/WF001: .*"none-[12]"/, "$from: wf_send_many, of which one does not exist");
	is(on($node, "SELECT wf_recv(NULL, '0', '$wa') IS NULL, wf_recv(NULL, '0', '$wb') IS NULL"), 't|t', "$from: sends none");
	like(said_on($node, "BEGIN READ ONLY; SELECT wf_send('$_', '1')"), qr/25006: .*cannot execute wf_send\(\)/,
		"$from: a read-only transaction sends nothing to $_") foreach $wa, $wb;
	is( on($node, <<"SQL"),
SELECT wf_write_stream('s$from', '1', '$wa'), wf_write_stream_many('s$from', ARRAY['2', '3']::jsonb[], '$wa');
SELECT wf_close_stream('s$from', '$wa');
SELECT item_no, value, ended FROM wf_read_stream('$wa', 's$from', 0, 100, '0');
CALL wf_read_stream('$wa', 's$from', 1, 100, '0', NULL, NULL, NULL);
SQL
		"1|3\n\n1|1|f\n2|2|f\n3|3|f\n[2, 3]|3|f", "$from: streams");
	is( on($node, <<"SQL"),
SELECT workflow_id FROM wf_notify('e', '1', '$wb');
SELECT event_data, timed_out FROM wf_wait_for_event('e', '0', '$wb');
SELECT event_data, timed_out FROM wf_wait_for_event('e', '0', '$wa');
SELECT wf_set_attributes('{"a": 1}', '$wa');
SELECT wf_start('x$from', input => '{"n": 1}'), wf_start('x$from'), wf_status('x$from');
SELECT wf_complete('[1]', 'x$from');
SELECT status, output FROM wf_result('x$from', '0');
SELECT count(*) FROM wf_list_steps('x$from');
SQL
		qq{$wb\n1|f\n|t\n{"a": 1}\nx$from|x$from|PENDING\n\nSUCCESS|[1]\n0},
		"$from: notifications, attributes, results, steps");
}

# ----- errors are those of one node -----

foreach my $node (@nodes)
{
	my $from = $node->name;

	like(said_on($node, "SELECT wf_status('none-$_')"), qr/WF001: .*"none-$_"/,
		"$from: WF001")
	  foreach 1, 2, 3;
	like(said_on($node, "SELECT wf_send('x$from', '1')"),
		qr/WF003: .*already finished/, "$from: WF003");
	like(said_on($node, "SELECT wf_send(NULL, '1')"),
		qr/22023/, "$from: 22023, a null");
	like(said_on($node, "SELECT wf_send(repeat('x', 300), '1')"),
		qr/22023/, "$from: 22023, too long");
	like(said_on($node, 'SELECT wf_recv()'), qr/WF008/, "$from: WF008");
	is(on($node, <<"SQL"), 'caught', "$from: an error is caught");
DO \$\$
BEGIN
    PERFORM wf_send('x$from', '1');
EXCEPTION WHEN SQLSTATE 'WF003' THEN
    PERFORM wf_send('$wa', '"caught"');
END \$\$;
SELECT wf_recv(NULL, '0', '$wa') ->> 0;
SQL
}
on($co, 'CREATE ROLE dwf_stranger LOGIN; CREATE ROLE dwf_owner LOGIN');
like(
	said_on($_, "SET SESSION AUTHORIZATION dwf_stranger; SELECT wf_status('$wa')"),
	qr/42501: .*permission denied for workflow/,
	$_->name . ': the caller is who it is there') foreach @nodes;
is( on($co, <<'SQL'),
SET SESSION AUTHORIZATION dwf_owner;
SELECT count(wf_start('of-owner-' || i)) FROM generate_series(1, 6) i;
SELECT wf_send('of-owner-1', '1') > 0, wf_create_hook('owners-token', workflow_id => 'of-owner-2');
SQL
	"6\nt|owners-token", 'any role can use it');

# ----- what belongs to a session of the node -----

foreach my $call ("wf_attach('$wa')", "wf_listen('$wa')", "wf_start_attached('$wa', NULL, 'q')")
{
	my $port = $w1->port;
	my ($function) = $call =~ /^(\w+)/;

	like(
		said_on($_, "SELECT $call"),
		qr/WF011: .*${function}\(\) has to be called on the node.*The workflow is on node 127\.0\.0\.1:$port/s,
		$_->name . ": $function refuses") foreach $co, $w2;
}
is(on($w1, "SELECT wf_attach('$wa'); SELECT wf_step('one', 'SELECT 1'); SELECT wf_send('$wb', '1') > 0; SELECT wf_detach()"),
	"RUNNING\n1\nt\n", 'a session attaches on the node, and its calls go to others');
is(on($w1, "SELECT wf_attach('$wa'); SELECT wf_step('one', 'SELECT 2'); SELECT wf_send('$wb', '1') > 0; SELECT wf_detach()"),
	"RUNNING\n1\nt\n", 'another one replays them');
is(on($co, "SELECT string_agg(message::text, ' ') FROM wf_recv_many(NULL, 10, '0', '$wb')"),
	'1', 'which sent once');
is(on($w2, "SELECT step_no, name FROM wf_list_steps('$wa')"),
	"1|one\n2|wf_send($wb)", 'and any node lists the steps');

is(on($co, "SELECT wf_send('$wb', '1', 'any') > 0, (wf_wait_any('[{\"topic\": \"none\"}, {\"topic\": \"any\"}]', '0', '$wb')).source"),
	't|2', 'wf_wait_any goes to the node of its workflow');
like(said_on($co, "SELECT wf_wait_any('[{\"topic\": \"any\"}, {\"workflow_id\": \"$wa\"}]', '60 s', '$wb')"),
	qr/WF011: wf_wait_any\(\) has to be called on the node/, 'a source on another node is refused');

# ----- triggers -----

on($w2, <<"SQL");
CREATE TABLE local(id text);
CREATE TRIGGER send AFTER INSERT ON local FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('{id}', 'rows');
CREATE TRIGGER event AFTER INSERT ON local FOR EACH ROW EXECUTE FUNCTION wf_trigger_set_event('{id}', 'row');
CREATE TRIGGER notify AFTER INSERT ON local FOR EACH ROW EXECUTE FUNCTION wf_trigger_notify('row', '{id}');
INSERT INTO local VALUES ('$wa'), ('$wb');
SQL
is( on($co, <<"SQL"),
SELECT wf_recv('rows', '0', id), wf_get_event(id, 'row', '0'), (wf_wait_for_event('row', '0', id)).event_data
  FROM (VALUES ('$wa'), ('$wb')) v(id);
SQL
	join("\n", map { join '|', (qq({"id": "$_"})) x 3 } $wa, $wb),
	'trigger functions send, publish and notify to other nodes');

# colocated with the anchor
on($co, <<"SQL");
CREATE TABLE orders (id text COLLATE "C" PRIMARY KEY, state text);
SELECT create_distributed_table('orders', 'id', colocate_with => 'durable_wf.shard');
INSERT INTO orders VALUES ('$wa', 'new'), ('$wb', 'new');
SQL
is( on($_, <<"SQL"),
BEGIN;
UPDATE orders SET state = 'paid by ${\ $_->name}' WHERE id = '$wa';
SELECT wf_send('$wa', '"paid"') > 0;
COMMIT;
SELECT wf_recv(NULL, '0', '$wa'), (SELECT state FROM orders WHERE id = '$wa');
SQL
	qq{t\n"paid"|paid by ${\ $_->name}}, $_->name . ": with the caller's own rows")
  foreach @nodes;

# ----- what a call takes along -----

{
	my $trace = '00-' . 'a' x 32 . '-' . 'b' x 16 . '-01';

	is( on($co, "SET durable_wf.traceparent = '$trace'; SELECT wf_send('$wa', '1', 'traced') > 0; SELECT wf_start('t1$wa'), wf_start('t2$wb')"),
		"t\nt1$wa|t2$wb", 'a send with a trace context');
	is(on($w1, "SELECT wf_recv('traced', '0', '$wa'); SELECT wf_received_traceparent()"), "1\n$trace",
		'the other node gets it');
	is( join('', sort map { split /\n/, on($_, q{SELECT workflow_id || traceparent FROM wf_workflows WHERE traceparent IS NOT NULL}) } $w1, $w2),
		"t1$wa${trace}t2$wb$trace", 'and so do starts');
	is(on($co, "SELECT wf_send('$wa', '2', 'traced') > 0"), 't', 'the next session has none');
	is(on($w1, "SELECT wf_recv('traced', '0', '$wa'); SELECT wf_received_traceparent() IS NULL"), "2\nt", 'nor what it sends');
}

# on a distributed table: Citus reaches no other node from there
on($co, <<'SQL');
CREATE TABLE fired (id text COLLATE "C" PRIMARY KEY, other text);
SELECT create_distributed_table('fired', 'id', colocate_with => 'durable_wf.shard');
SET citus.enable_unsafe_triggers = on;
CREATE TRIGGER own AFTER INSERT ON fired FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('{id}', 'fired');
CREATE TRIGGER other AFTER UPDATE ON fired FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('{other}', 'fired');
SQL
is(on($co, "INSERT INTO fired VALUES ('$wa', '$wb'), ('$wb', '$wa'); SELECT wf_recv('fired', '0', '$wa') ->> 'id', wf_recv('fired', '0', '$wb') ->> 'id'"),
	"$wa|$wb", 'a trigger of a distributed table sends to workflows of its node');
like(said_on($co, "UPDATE fired SET other = other WHERE id = '$wa'"),
	qr/WF011: wf_send\(\) has to be called.*The workflow is on node 127\.0\.0\.1:${\ $w2->port}\./s, 'and to no other');
is(on($co, "SELECT wf_recv('fired', '0', '$wb') IS NULL"), 't', 'which gets nothing');

# ----- broadcasts -----

{
	my @waiters = map {
		start(session($_->[0]),
			"SELECT event_data FROM wf_wait_for_event('all', '60 s', '$_->[1]')")
	} ([ $w1, $wa ], [ $w2, $wb ]);

	foreach (0, 1)
	{
		($w1, $w2)[$_]->poll_query_until('postgres', q{SELECT count(*) = 1 FROM wf_waiters WHERE key = 'all'})
		  or die 'no waiter';
	}
	is(on($co, q{SELECT string_agg(workflow_id, ' ' ORDER BY workflow_id) FROM wf_event_waiters('all')}),
		join(' ', sort $wa, $wb), 'a node lists the waiters of all nodes');
	is(on($co, q{SELECT string_agg(workflow_id, ' ' ORDER BY workflow_id) FROM wf_notify('all', '"news"')}),
		join(' ', sort $wa, $wb), 'a broadcast reaches them');
	is(join('', map { outcome($_) } @waiters), qq{"news""news"}, 'each once');
	is(on($w1, q{SELECT count(*) FROM wf_notify('all', '"news"')}), 0,
		'none waits any more');

	# and one by a trigger
	start($waiters[$_], "SELECT event_data FROM wf_wait_for_event('all', '60 s', '" . ($wa, $wb)[$_] . "')") foreach 0, 1;
	$_->poll_query_until('postgres', q{SELECT count(*) = 1 FROM wf_waiters WHERE key = 'all'})
	  or die 'no waiter'
	  foreach $w1, $w2;
	on($co, <<'SQL');
SET citus.enable_ddl_propagation = off;
CREATE TABLE told (n int);
CREATE TRIGGER tell AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION wf_trigger_notify('all');
INSERT INTO told VALUES (1);
SQL
	is(join('', map { outcome($_) } @waiters), '{"n": 1}{"n": 1}', 'a broadcast of a trigger');
	$_->quit foreach @waiters;
}

# ----- hooks -----

my $made_up = on($w2, "SELECT wf_create_hook(workflow_id => '$wa')");
like($made_up, qr/^[0-9a-f]{8}~[\w-]{32}$/, 'a token that was made up tells its shard');
on($w1, "SELECT wf_create_hook('named', '{}', workflow_id => '$wb')");
foreach my $node (@nodes)
{
	my $from = $node->name;

	is( on($node, <<"SQL"),
SELECT wf_resume_hook('$made_up', '1'), wf_resume_hook('named', '2');
SELECT wf_await_hook('$made_up', '0'), wf_await_hook('named', '0');
SELECT workflow_id FROM wf_get_hook('$made_up') UNION ALL SELECT workflow_id FROM wf_get_hook('named');
SELECT wf_create_hook('named', workflow_id => '$wb');
SQL
		"$wa|$wb\n1|2\n$wa\n$wb\nnamed", "$from: hooks by their tokens");
	like(said_on($node, "SELECT wf_create_hook('named', workflow_id => '$wa')"),
		qr/WF005: .*"named" is in use/, "$from: WF005 for a workflow of another node");
	like(said_on($node, "SELECT wf_resume_hook('no such', '1')"), qr/WF006/,
		"$from: WF006");
}
{
	my $first = session($co);
	my $second = session($w1);
	outcome($first, "BEGIN; SELECT wf_create_hook('race', workflow_id => '$wa')");
	start($second, "SELECT wf_create_hook('race', workflow_id => '$wb')");
	outcome($first, 'COMMIT');
	like(outcome($second), qr/WF005/, 'one token claimed on two nodes: one waits, and gets WF005');
	outcome($first, "BEGIN; SELECT wf_create_hook('race2', workflow_id => '$wa')");
	start($second, "SELECT wf_create_hook('race2', workflow_id => '$wb')");
	outcome($first, 'ROLLBACK');
	is(outcome($second), 'race2', 'or gets it, when the other rolls back');
	$_->quit foreach $first, $second;
}
is(on($w1, "SELECT wf_dispose_hook('named'); SELECT wf_create_hook('named', workflow_id => '$wa')"),
	"t\nnamed", 'a token that was given back is free on another node');
is(on($w2, "SELECT wf_resume_hook('named', '3'); SELECT wf_await_hook('named', '0')"),
	"$wa\n3", 'and leads there');

# the end of a workflow releases its hooks; a retry takes them back
{
	my ($h1) = ids_of($w1, 'h1-', 1);
	my ($h2) = ids_of($w2, 'h2-', 1);

	on($co, "SELECT wf_start('$h1'), wf_start('$h2'); SELECT wf_create_hook('free', workflow_id => '$h1')");
	on($w2, "SELECT wf_fail('x', '$h1')");
	is(on($co, "SELECT wf_create_hook('free', workflow_id => '$h2')"), 'free',
		'the token of a workflow that has ended is free for one of another node');
	like(said_on($co, "SELECT wf_retry('$h1')"), qr/WF005/,
		'then the first cannot go on');
	on($w1, "SELECT wf_dispose_hook('free')");
	is(on($w2, "SELECT wf_retry('$h1'); SELECT wf_resume_hook('free', '1')"),
		"\n$h1", 'but can when it is free again');
	like(said_on($co, "SELECT wf_create_hook('free', workflow_id => '$h2')"),
		qr/WF005/, 'and has the token again');
}

# the removal of a workflow frees the names of its hooks
{
	my @gone = (ids_of($w1, 'gone', 3), ids_of($w2, 'gone', 3));
	my ($keeper) = ids_of($w2, 'keeper', 1);

	on($co, "SELECT wf_start('$keeper')");
	on($co, "SELECT wf_start('$_'); SELECT wf_create_hook('of $_', workflow_id => '$_'), wf_create_hook(workflow_id => '$_')")
	  foreach @gone;
	on($co, "SELECT wf_complete(workflow_id => '$_')") foreach @gone;
	is(on($w1, "SELECT wf_create_hook('of $gone[0]', workflow_id => '$keeper')"), "of $gone[0]",
		'one of the names is taken over meanwhile');
	is(on($w2, "SELECT wf_delete('$gone[1]'); SELECT wf_delete('$gone[4]')"), "t
t", 'wf_delete, on any node');
	is(on($co, "SELECT count(*) FROM durable_wf.token WHERE token LIKE 'of gone%'"), 4, 'frees the names');
	is( on($co, "BEGIN; SELECT wf_delete('$gone[2]'); ROLLBACK; SELECT count(*) FROM durable_wf.token WHERE token LIKE 'of gone%'"),
		"t\n4", 'if it commits');
	is(on($_, q{SELECT wf_prune('0') >= 1; SELECT wf_prune('0')}), "t\n0", $_->name . ': wf_prune') foreach $w1, $w2;
	is(on($co, q{SELECT token, workflow_id FROM durable_wf.token WHERE token LIKE 'of gone%'}),
		"of $gone[0]|$keeper", 'frees them, too, but not that which was taken over');
	is(on($w1, "SELECT wf_create_hook('of $_', workflow_id => '$keeper')"), "of $_", 'they can be claimed again')
	  foreach @gone[ 1, 3, 5 ];
	is(on($co, "SELECT wf_resume_hook('of $gone[0]', '1'), wf_resume_hook('of $gone[5]', '2')"), "$keeper|$keeper", 'and lead to who has them now');
}
like(said_on($co, "SELECT wf_create_hook('$made_up', workflow_id => '$wb')"), qr/22023/,
	'a name that looks made up is refused');
is( on($co, <<"SQL") =~ s/[\w-]{32}/x/gr,
SELECT regexp_replace(url, '^.*/', '') = token FROM wf_create_webhook(workflow_id => '$wb');
SELECT (wf_resume_webhook(token, '{"method": "POST", "body": "hi"}')) ->> 'status',
       wf_await_hook(token, '0') ->> 'body' FROM wf_create_webhook(workflow_id => '$wa');
SQL
	"t\n202|hi", 'webhooks');

# a URL leads to the gateway of the workflow's node
foreach my $node ($w1, $w2)
{
	on($node, "ALTER SYSTEM SET durable_wf.http_base_url = 'https://${\ $node->name}.example'");
	on($node, 'SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', "SELECT current_setting('durable_wf.http_base_url') <> ''")
	  or die 'no reload';
}
is( join(' ', map { on($co, "SELECT split_part(url, '/', 3) FROM wf_create_webhook(workflow_id => '$_')") } $wa, $wb),
	'worker1.example worker2.example', 'a URL leads to the node of its workflow');
is( join(' ', map { on($co, "SELECT split_part(url, '/', 3) FROM wf_create_stream_url('s', '$_')") } $wa, $wb),
	'worker1.example worker2.example', 'that of a stream, too');

# ----- what a body or a validator is called is resolved where it is called -----

on($co, 'CREATE SCHEMA mine');
on($_, <<'SQL') foreach $co, $w1, $w2;
SET citus.enable_ddl_propagation = off;
CREATE SCHEMA IF NOT EXISTS mine;
CREATE PROCEDURE mine.body(input jsonb) LANGUAGE plpgsql AS
$$BEGIN PERFORM wf_complete(to_jsonb('done by ' || inet_server_port())); END $$;
CREATE FUNCTION mine.check(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_array(payload) $$;
SQL
is( on($co, <<"SQL"),
SET search_path = mine, public;
SELECT wf_start('$wa-body', 'body') = '$wa-body', wf_create_hook('checked', validator => 'check', workflow_id => '$wb');
SELECT wf_resume_hook('checked', '1'), wf_await_hook('checked', '0');
SELECT status FROM wf_result('$wa-body', '60 s');
SQL
	"t|checked\n$wb|[1]\nSUCCESS", 'bodies and validators are found with the search_path of the caller');

# ----- moved by Citus alone -----

on($co, sprintf
	  "SET client_min_messages = error; SELECT citus_move_shard_placement(get_shard_id_for_distribution_column('durable_wf.shard', '%s'), '127.0.0.1', %d, '127.0.0.1', %d, 'block_writes')",
	$wa, $w1->port, $w2->port);
like(said_on($_, "SELECT wf_start('$wa')"),
	qr/55000: this node does not have the rows.*by Citus alone.*move the shard back/s,
	$_->name . ': a shard that Citus moved alone is refused') foreach @nodes;
like(said_on($_, "SELECT wf_attach('$wa')"), qr/WF011|55000/, $_->name . ': it cannot be attached') foreach @nodes;
on($co, sprintf
	  "SET client_min_messages = error; SELECT citus_move_shard_placement(get_shard_id_for_distribution_column('durable_wf.shard', '%s'), '127.0.0.1', %d, '127.0.0.1', %d, 'block_writes')",
	$wa, $w2->port, $w1->port);
is(on($_, "SELECT wf_start('$wa')"), $wa, $_->name . ': once it is back, it works') foreach @nodes;

$_->stop foreach reverse @nodes;
done_testing();
