# The gateways of the nodes of a Citus cluster: a request leads to the node of
# its token, whichever gateway it comes to.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWf qw(session start outcome until_true);
use DurableWf::Gateway
  qw($port $path dial bytes response request status raw token until_healthy);
use DurableWf::Nodes qw(skip_without_citus start_cluster ids_of on said_on);

skip_without_citus();
{
	my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);

	plan skip_all => 'built without the gateway'
	  unless glob "$libdir/durable_wf_gateway.*";
}

my ($co, $w1, $w2) = start_cluster(2, { 'durable_wf.http_allowed_origins' => 'https://shop.example' });
my @nodes = ($co, $w1, $w2);

on($co, 'SELECT wf_distribute(8)');

# Change a setting of a node, and wait until sessions have it.
sub change
{
	my ($node, $name, $value) = @_;

	on($node, "ALTER SYSTEM SET durable_wf.$name = '$value'");
	on($node, 'SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', "SELECT current_setting('durable_wf.$name') = '$value'")
	  or die 'no reload';
	return;
}

# Send requests to a node's gateway from now on.
my %port = map { $_->name => PostgreSQL::Test::Cluster::get_free_port() } @nodes;

sub to
{
	$port = $port{ $_[0]->name };
	return;
}

# What the URLs of a node begin with.
sub url_of
{
	return "http://127.0.0.1:$port{ $_[0]->name }";
}

foreach my $node (@nodes)
{
	change($node, 'http_base_url', url_of($node));
	change($node, 'http_port', $port{ $node->name });
	to($node);
	until_healthy();
}

# ----- webhooks -----

my ($wa) = ids_of($w1, 'wa', 1);
my ($wb) = ids_of($w2, 'wb', 1);

on($co, "SELECT wf_start('$wa'), wf_start('$wb')");

# Make a webhook of a workflow; its target.
sub hook
{
	my ($id, $more) = @_;

	return "$path/" . on($co, "SELECT token FROM wf_create_webhook(workflow_id => '$id'" . ($more ? ", $more" : '') . ')');
}

# The payloads of a webhook, of which each is taken.
sub payloads
{
	my ($target) = @_;
	my @payloads;

	while ((my $json = on($co, "SELECT wf_await_hook('${\token($target)}', '0')")) ne '')
	{
		push @payloads, decode_json($json);
	}
	return @payloads;
}

# The bodies of the payloads.
sub bodies
{
	return join ' ', map { ref $_->{body} ? encode_json($_->{body}) : $_->{body} } payloads(@_);
}

my $plain = hook($wa);
foreach my $node (@nodes)
{
	to($node);
	my $answer = request('POST', "$plain?from=" . $node->name, '{"n":1}', 'Content-Type: application/json', 'X-Own: header');
	is($answer->{status}, 202, $node->name . ': a request is taken');
	my ($payload, @more) = payloads($plain);
	is(@more, 0, 'once');
	is_deeply([ @$payload{qw(method body query)}, $payload->{headers}{'x-own'} ],
		[ 'POST', { n => 1 }, 'from=' . $node->name, 'header' ], 'and is delivered as it was sent');
}
{
	my $fixed = hook($wa, q{respond_with => '{"status": 201, "headers": {"x-hook": "yes"}, "body": "made"}'});

	to($w2);
	my $answer = request('GET', $fixed);
	is("$answer->{status} $answer->{body}", '201 made', 'the response is the webhook\'s');
	like($answer->{head}, qr/^x-hook: yes\r?$/mi, 'with its headers');
	is(scalar payloads($fixed), 1, 'and any method is a request');
	is(status('POST', $plain, 'same', 'Idempotency-Key: one'), 202, 'an idempotency key');
	to($_), is(status('POST', $plain, 'same', 'Idempotency-Key: one'), 202, 'again, at ' . $_->name) foreach $w1, $co;
	is(bodies($plain), 'same', 'is one on all nodes');
	to($w2);
	is(status('POST', $plain, 'x', 'Content-Encoding: gzip'), 415, 'what is refused here is not passed on');
	is(status('POST', $plain, 'x', 'Idempotency-Key: ' . 'k' x 600), 400, 'nor taken there if it cannot be');

	# two requests on one connection
	my $socket = dial();
	syswrite $socket, bytes('POST', $plain, 'first') . bytes('POST', $plain, 'second');
	is(join(' ', map { response($socket)->{status} } 1, 2), '202 202', 'a connection is kept');
	is(bodies($plain), 'first second', 'in order');
}

# validators run there, and refuse there
on($co, <<'SQL');
CREATE FUNCTION check_it(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    CASE payload ->> 'body'
        WHEN 'bad' THEN RAISE 'bad' USING ERRCODE = '22023';
        WHEN 'who' THEN RAISE 'who' USING ERRCODE = '28000';
        WHEN 'tea' THEN RAISE 'tea' USING ERRCODE = 'PT418';
        WHEN 'any' THEN RAISE 'any';
        WHEN 'broken' THEN PERFORM * FROM no_such_table;
        ELSE NULL;
    END CASE;
    RETURN jsonb_build_object('body', 'checked ' || (payload ->> 'body'));
END $$;
SQL
{
	my $checked = hook($wa, q{validator => 'check_it'});

	foreach my $node (@nodes)
	{
		to($node);
		is(join(' ', map { status('POST', $checked, $_) } qw(bad who tea any broken good)),
			'400 401 418 400 503 202', $node->name . ': a validator\'s errors have their statuses');
		is(bodies($checked), 'checked good', 'and what it accepts is delivered');
	}
}

# ----- what stays at a connection -----

my $manual = hook($wa, q{respond_with => '"manual"'});
to($w2);
{
	my $answer = request('POST', "$manual?a=1", 'question');
	is($answer->{status}, 307, 'a request that has to be answered is sent to its node');
	like($answer->{head}, qr/^Location: ${\quotemeta(url_of($w1) . "$manual?a=1")}\r?$/m, 'by the URL there');
	is(scalar payloads($manual), 0, 'and not delivered');

	to($w1);
	my $socket = dial();
	syswrite $socket, bytes('POST', "$manual?a=1", 'question');
	my $request = on($co, "SELECT wf_await_hook('${\token($manual)}', '60 s') ->> 'request_id'");
	on($w1, "SET durable_wf.workflow_id = '$wa'; SELECT wf_respond($request, 200, '{}', 'answer')");
	is(response($socket)->{body}, 'answer', 'which answers it');
}
{
	my $large = 'x' x 100_000;

	to($w2);
	my $socket = dial();
	syswrite $socket, "POST $plain HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n";
	my $answer = response($socket);
	is($answer->{status}, 307, 'a large body is not wanted here');
	like($answer->{head}, qr/^Location: ${\quotemeta(url_of($w1) . $plain)}\r?$/m, 'but there');
	is(status('POST', $plain, $large), 307, 'nor when it is sent at once');
	is(raw("POST $plain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), '307', 'nor in chunks');
	is(scalar payloads($plain), 0, 'nothing was delivered');
	to($w1);
	is(status('POST', $plain, $large), 202, 'its node takes it');
	is(length((payloads($plain))[0]{body}), 100_000, 'as a whole');
}
{
	my $token = on($w2, "SELECT token FROM wf_create_stream_url('s', '$wa')");
	my $stream = "/.well-known/workflow/v1/stream/$token";

	on($w2, "SELECT wf_write_stream_many('s', '{1,2}', '$wa')");
	to($w2);
	my $answer = request('GET', "$stream?after=1", undef, 'Accept: text/event-stream', 'Origin: https://shop.example');
	is($answer->{status}, 307, 'a reader of a stream is sent to its node');
	like($answer->{head}, qr/^Location: ${\quotemeta(url_of($w1) . "$stream?after=1")}\r?$/m, 'to the same place of it');
	like($answer->{head}, qr/^Access-Control-Allow-Origin: https:\/\/shop\.example\r?$/m, 'which a page may follow');
	is(status('HEAD', $stream), 307, 'HEAD');
	is(status('OPTIONS', $stream, undef, 'Origin: https://shop.example'), 204, 'OPTIONS is answered here');
	is(status('GET', "$stream?after=nonsense"), 400, 'and so is what is wrong');
	to($w1);
	on($co, "SELECT wf_close_stream('s', '$wa')");
	like(raw("GET $stream?after=1&follow=false HTTP/1.0\r\n\r\n", 1), qr/^200/, 'its node sends it');
	on($co, "SELECT wf_dispose_hook('$token')");
	to($w2);
	is(status('GET', $stream), 404, 'a token that was taken back leads nowhere');
}

# ----- tokens that are none -----

{
	my ($prefix) = token($plain) =~ /^(.{9})/;
	my $gone = hook($wa);

	on($co, "SELECT wf_dispose_hook('${\token($gone)}')");
	foreach my $node (@nodes)
	{
		to($node);
		is( join(' ', status('POST', "$path/$prefix" . 'x' x 32, 'x'), status('POST', $gone, 'x'),
				status('POST', "$path/other", 'x'), status('POST', "$path/$prefix" . 'x' x 32, 'x' x 50_000),
				status('GET', "/.well-known/workflow/v1/stream/$prefix" . 'x' x 32)),
			'404 404 404 404 404', $node->name . ': no such token');
	}
}

# a hook that is none, by a token that belongs to another node
{
	my $hook = on($co, "SELECT wf_create_hook(workflow_id => '$wa')");

	to($w2);
	is(status('POST', "$path/$hook", 'x'), 404, 'a hook that is no webhook is no webhook');
}

# ----- one URL for all nodes -----

change($_, 'http_base_url', 'https://all.example') foreach $w1, $w2;
to($w2);
is(status('POST', $plain, 'x'), 202, 'with one base URL for all nodes requests are passed on');
is(bodies($plain), 'x', 'as well');
is(status('POST', $manual, 'x'), 421, 'and those that cannot be are 421, which leads to no circle');
change($_, 'http_base_url', url_of($_)) foreach $w1, $w2;

# ----- a node that is down -----

my $own = hook($wb);
$w1->stop('immediate');
to($w2);
is(status('POST', $plain, 'down'), 503, 'the node of a webhook is down: 503');
is(status('POST', $own, 'up'), 202, 'those of this node are taken');
$w1->start;
to($w1);
until_healthy();
to($w2);
until_true(sub { status('POST', $plain, 'back') == 202 }, 'it is back');
is(bodies($plain), 'back', 'a request that got a 503 was not delivered');
is(bodies($own), 'up', 'nor any twice');

# ----- a workflow that has moved -----

# Begin a request that its webhook's gateway holds; the connection, and its id.
sub held
{
	my ($node, $target) = @_;

	to($node);
	my $socket = dial();
	syswrite $socket, bytes('POST', $target, $node->name);
	return ($socket, on($co, "SELECT wf_await_hook('${\token($target)}', '60 s') ->> 'request_id'"));
}

# Respond as a workflow.
sub respond
{
	my ($node, $id, $request, $text) = @_;

	return said_on($node, ($id ? "SET durable_wf.workflow_id = '$id'; " : '') . "SELECT wf_respond($request, 200, '{}', '$text')");
}

{
	on($_, q{SELECT setval('durable_wf.message_id_seq', 1000000)}) foreach $w1, $w2;
	my ($a, $id) = held($w1, $manual);
	my ($b, $same) = held($w2, my $other = hook($wb, q{respond_with => '"manual"'}));
	is($same, $id, 'two requests have one id, on two nodes');
	like(respond($w2, undef, $id, 'nobody'), qr/WF008/, 'no current workflow: which of them?');
	like(respond($w2, 'order-1', $id, 'nobody'), qr/55000/, 'that of another one is not answered');
	is(respond($w2, $wa, $id, 'for a'), 't', 'the response of a workflow');
	is(response($a)->{body}, 'for a', 'is for its client');
	($a, $id) = held($w1, $manual);
	on($w2, "SELECT setval('durable_wf.message_id_seq', $id - 1)");
	my ($c, $third) = held($w2, $other);
	is($third, $id, 'again');

	my $shard = on($co, "SELECT get_shard_id_for_distribution_column('durable_wf.shard', '$wa')");

	on($co, "SELECT wf_move_shard($shard, '127.0.0.1:${\ $w2->port}')");
	is(on($w2, "SELECT (wf_node('$wa')).is_here"), 't', 'a workflow moves');
	is(respond($w1, $wa, $id, 'for a'), 'f', 'its client was left at the old node');
	is(respond($co, $wb, $_, "for b $_"), 't', 'and the other one') foreach $same, $third;
	is(response($b)->{body} . ' ' . response($c)->{body}, "for b $same for b $third", 'gets the response that is for it');
	to($_), is(status('POST', $plain, $_->name), 202, 'its URL goes on: ' . $_->name) foreach @nodes;
	is(bodies($plain), join(' ', map { $_->name } @nodes), 'to the new node');
	to($w1);
	my $answer = request('POST', $manual, 'x');
	is($answer->{status}, 307, 'the old node sends on what it cannot take');
	like($answer->{head}, qr/^Location: ${\quotemeta(url_of($w2) . $manual)}\r?$/m, 'to the new one');
}

is(on($_, 'SELECT count(*) FROM pg_prepared_xacts'), 0, $_->name . ': nothing is left prepared') foreach @nodes;
$_->stop foreach reverse @nodes;
done_testing();
