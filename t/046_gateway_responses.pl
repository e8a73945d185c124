# The HTTP gateway's responses: the ones that a webhook has beforehand, the ones
# that a workflow gives while the request is held, and those to requests of
# which one is locked or bad among many.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql set poll session until_true);
use DurableWf::Gateway qw($path start_gateway until_healthy dial bytes
  response request status webhook workflow token payload depth);
use Test::More;

my $node = start_gateway({
	'durable_wf.http_request_timeout' => '60s',
	'durable_wf.http_response_timeout' => '60s' });

sql('CREATE EXTENSION durable_wf');
until_healthy();
my $hook = webhook();

# ----- responses -----

my $fixed = webhook(
	'{"status": 201, "headers": {"X-A": "b"}, "body": {"ok": true}}');
my $answer = request('POST', $fixed, '');
is($answer->{status}, 201, 'a status of its own');
like($answer->{head}, qr/^X-A: b\r?$/m, '... with a header');
like($answer->{head}, qr{^Content-Type: application/json\r?$}m, '... a type');
is($answer->{body}, '{"ok": true}', '... and a body');
is(request('HEAD', $fixed)->{body}, '', 'HEAD has no body');
is(status('GET', webhook('{"headers": {"X-Empty": ""}}')), 200, 'a header that is empty');
is( status('GET', webhook('{"status": 204, "body": "no"}')),
	204, '204 has none either');

my $manual = webhook('"manual"');
my @sockets = map { dial() } 1 .. 3;
syswrite $sockets[$_], bytes('POST', $manual, $_) foreach 0 .. 2;
until_true(sub { depth($manual) == 3 }, 'they are there');
my @ids = map { $_->{request_id} }
  sort { $a->{body} <=> $b->{body} } map { payload($manual) } 0 .. 2;
foreach my $n (2, 0, 1)
{
	sql("SELECT wf_respond($ids[$n], 200 + $n, '{\"X-N\": \"$n\"}', 'n$n')");
	$answer = response($sockets[$n]);
	is($answer->{status}, 200 + $n, "held request $n has its answer");
	is($answer->{body}, "n$n", '... its own');
}
syswrite $sockets[0], bytes('GET', '/healthz');
is(response($sockets[0])->{status}, 200, '... and the connection goes on');

# A client sends a request again while the first is held, and after the answer
foreach my $n (0, 1)
{
	syswrite $sockets[$n], bytes('POST', $manual, 'k', 'Idempotency-Key: k');
	until_true(sub { depth($manual) == 1 }, 'it is held') if $n == 0;
}
until_true(
	sub {
		sql("SELECT count(*) FROM durable_wf.request WHERE responded_at IS NULL") == 1
		  && sql(q{SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'durable_wf gateway' AND state = 'idle'}) == 1;
	},
	'one request');
my $again = payload($manual)->{request_id};
sql("SELECT wf_respond($again, body => 'both')");
is(response($sockets[$_])->{body}, 'both', "a key that is held, client $_")
  foreach 0, 1;
is(request('POST', $manual, 'k', 'Idempotency-Key: k')->{body},
	'both', '... and one that was answered');

# Many held requests are answered by one transaction
@sockets = map { dial() } 1 .. 200;
syswrite $_, bytes('POST', $manual, 'x') foreach @sockets;
until_true(sub { depth($manual) == 200 }, 'they are held');
sql("DO \$\$
	DECLARE p jsonb;
	BEGIN
		LOOP
			p := wf_await_hook('${\token($manual)}', '0');
			EXIT WHEN p IS NULL;
			PERFORM wf_respond((p->>'request_id')::bigint, 200, '{}', 'all');
		END LOOP;
	END \$\$");
is(scalar(grep { response($_)->{body} eq 'all' } @sockets),
	200, 'all of 200 held requests are answered');
@sockets = ();

# A request whose client closes the connection is not held any longer, and the
# end of the workflow is an answer
my $socket = dial();
syswrite $socket, bytes('POST', $manual, 'gone');
until_true(sub { depth($manual) == 1 }, 'it is there');
close $socket;
my $left = sql("SELECT max(request_id) FROM durable_wf.request WHERE token = '${\token($manual)}'");
poll("SELECT expires_at <= clock_timestamp() FROM durable_wf.request WHERE request_id = $left");
is(sql("SELECT wf_respond($left)"), 'f', 'who answers one that has gone away is told so');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'ended');
until_true(sub { depth($manual) == 2 }, 'it is there');
sql("SELECT wf_cancel('${\workflow($manual)}')");
is(response($socket)->{status}, 504, 'the end of the workflow is an answer');

# The time is over on time, though the gateway has nothing else to do
$manual = webhook('"manual"');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'given more time');
until_true(sub { depth($manual) == 1 }, 'it is there');
my $shortened = payload($manual)->{request_id};
set('http_request_timeout', '1h');
set('http_response_timeout', '200ms');
until_true(
	sub {
		my $answer = request('POST', $manual, '');
		return $answer->{status} == 504;
	},
	'an answer that does not come is 504');
pass('an answer that does not come is 504');
is(response($socket)->{status}, 504, '... also for one that came when there was more time');
is(sql("SELECT wf_respond($shortened)"), 'f', '... as who answers it is told');
my $late = payload($manual)->{request_id};
is(sql("SELECT wf_respond($late)"), 'f', '... and then it is too late');
# ... also for a body, which does not fail for that reason, nor when it is
# retried
sql(q{CREATE PROCEDURE answers_late(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hook wf_webhook;
	request jsonb; go jsonb;
	in_time boolean;
BEGIN
	hook := wf_create_webhook('"manual"');
	PERFORM wf_set_event('token', to_jsonb(hook.token));
	CALL wf_await_hook(hook.token, NULL, request);
	CALL wf_recv('answer', NULL, NULL, go);
	in_time := wf_respond((request->>'request_id')::bigint);
	IF go = '"fail"' THEN
		RAISE 'it fails';
	END IF;
	PERFORM wf_complete(to_jsonb(in_time));
END $$;
SELECT wf_start('late', 'answers_late'), wf_start('later', 'answers_late')});
foreach my $id ('late', 'later')
{
	my $target = "$path/" . sql("SELECT wf_get_event('$id', 'token', '120 s')->>0");

	is(status('POST', $target, 'x'), 504, "a body that answers $id");
}
sql(q{SELECT wf_send('late', '1', 'answer'), wf_send('later', '"fail"', 'answer')});
is(sql(q{SELECT * FROM wf_result('late', '120 s')}), 'SUCCESS|false|', '... is told so');
is(sql(q{SELECT status FROM wf_result('later', '120 s')}), 'ERROR', '... and may fail for another reason');
sql(q{CREATE OR REPLACE PROCEDURE answers_late(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hook wf_webhook;
	request jsonb; go jsonb;
BEGIN
	hook := wf_create_webhook('"manual"');
	PERFORM wf_set_event('token', to_jsonb(hook.token));
	CALL wf_await_hook(hook.token, NULL, request);
	CALL wf_recv('answer', NULL, NULL, go);
	PERFORM wf_complete(to_jsonb(wf_respond((request->>'request_id')::bigint)));
END $$});
sql(q{SELECT wf_retry('later')});
is(sql(q{SELECT * FROM wf_result('later', '120 s')}), 'SUCCESS|false|', '... and be retried');
set('http_response_timeout', '60s');
set('http_request_timeout', '60s');

# A repeat does not shorten the time of the session that waits for the first
# request in wf_await_response().
my $twice = sql("SELECT wf_resume_webhook('${\token($manual)}', '{\"headers\": {\"Idempotency-Key\": \"twice\"}}')->>'request_id'");
set('http_response_timeout', '200ms');
until_true(sub { status('POST', $manual, '', 'Idempotency-Key: twice') == 504 }, 'a repeat is not answered');
sql("SELECT wf_respond($twice, 201)");
is(sql("SELECT wf_await_response('${\token($manual)}', $twice, '0')->'status'"), 201, 'the one who asked first is');
set('http_response_timeout', '60s');

# ----- locks, and one among many -----

my $other = webhook();
my $locker = session();
$locker->query_safe('BEGIN; LOCK TABLE durable_wf.message');
$answer = request('POST', $hook, 'x');
is($answer->{status}, 503, 'a locked table is 503');
like($answer->{head}, qr/^Retry-After: \d+\r?$/m, '... and when to try again');
is(status('POST', $other, 'x'), 503, '... for all webhooks');
$locker->query_safe('ROLLBACK');
is(status('POST', $hook, 'x'), 202, '... until it is free');
is(depth($hook), 1, '... and only then it is there');
payload($hook);

$locker->query_safe("BEGIN; SELECT wf_dispose_hook('${\token($other)}')");
@sockets = map { dial() } 1 .. 64;
syswrite $sockets[$_], bytes('POST', $_ == 30 ? $other : $hook, $_)
  foreach 0 .. 63;
is( join(' ', map { response($_)->{status} } @sockets),
	join(' ', map { $_ == 30 ? 503 : 202 } 0 .. 63),
	'a locked webhook is 503, and others are not');
$locker->query_safe('ROLLBACK');
is(status('POST', $other, 'x'), 202, '... until it is free');
is(depth($hook), 63, 'all others are there, once');
sql('TRUNCATE durable_wf.message');

# Many webhooks that one session has locked delay no other one.
my @theirs = map { webhook() } 1 .. 5;
$locker->query_safe('BEGIN');
$locker->query_safe("SELECT wf_dispose_hook('${\token($_)}')") foreach @theirs;
syswrite $sockets[$_], bytes('POST', $_ < 20 ? $theirs[ $_ % 5 ] : $hook, $_)
  foreach 0 .. 63;
is( join(' ', map { response($_)->{status} } @sockets),
	join(' ', map { $_ < 20 ? 503 : 202 } 0 .. 63),
	'five that are locked, and others are not');
$locker->query_safe('ROLLBACK');
sql('TRUNCATE durable_wf.message');

syswrite $sockets[$_],
  bytes('POST', $hook, $_,
	$_ == 30 ? 'Idempotency-Key: ' . 'k' x 600 : 'X: y')
  foreach 0 .. 63;
is( join(' ', map { response($_)->{status} } @sockets),
	join(' ', map { $_ == 30 ? 400 : 202 } 0 .. 63),
	'one bad request among 64 is alone');
is(depth($hook), 63, '... and all others are there, once');
sql('TRUNCATE durable_wf.message');

# Keys among them: of 20 requests with two keys two are delivered, and all that
# are held get the answer to their key's request.
my $keyed = webhook('"manual"');
@sockets = map { dial() } 1 .. 64;
syswrite $sockets[$_],
  bytes('POST', $_ < 20 ? $hook : $_ < 30 ? $keyed : $other, $_, $_ < 30 ? 'Idempotency-Key: among' . $_ % 2 : 'X: y')
  foreach 0 .. 63;
is(join(' ', map { response($sockets[$_])->{status} } 0 .. 19, 30 .. 63),
	join(' ', ('202') x 54), 'keys among 64');
is(depth($hook), 2, '... are delivered once each');
is(depth($other), 34, '... and all without one');
until_true(sub { depth($keyed) == 2 }, '... as are those that are held');
sql(q{SELECT count(wf_respond(request_id, 200 + (request_id = (SELECT max(request_id) FROM durable_wf.request))::int))
	FROM durable_wf.request WHERE responded_at IS NULL});
my %answers;
push @{ $answers{ $_ % 2 } }, response($sockets[$_])->{status} foreach 20 .. 29;
is(join('|', sort map { join ' ', @$_ } values %answers),
	join('|', map { join ' ', ($_) x 5 } 200, 201), '... all by the answer to their key');
sql('TRUNCATE durable_wf.message');
@sockets = ();

$locker->quit;
$node->stop;
done_testing();
