# Validators behind the HTTP gateway: what a request is answered when one
# refuses it, breaks, hangs or is slow, and that other webhooks go on meanwhile.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql set poll session until_true);
use DurableWf::Gateway qw($path start_gateway until_healthy gateway dial bytes
  response request status webhook token payload depth);
use IO::Select;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_gateway({
	'durable_wf.validator_timeout' => '60s',
	'durable_wf.http_request_timeout' => '600s',
	'durable_wf.http_response_timeout' => '600s' });

sql('CREATE EXTENSION durable_wf; CREATE EXTENSION pgcrypto');
until_healthy();
my $hook = webhook();

# ----- validators -----

sql(<<'SQL');
CREATE FUNCTION check_signature(request jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
	IF request->'headers'->>'x-hub-signature-256' IS DISTINCT FROM
	   'sha256=' || encode(hmac(decode(request->>'body_base64', 'base64'),
	                            'secret', 'sha256'), 'hex') THEN
		RAISE insufficient_privilege USING MESSAGE = 'bad signature';
	END IF;
	RETURN request->'body';
END $$;
CREATE FUNCTION hang(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(100);
END $$;
CREATE FUNCTION refuse(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'no';
END $$;
SQL
my $signed = webhook(undef, 'check_signature');
my $signature =
  sql(q{SELECT encode(hmac('{"n": 1}', 'secret', 'sha256'), 'hex')});
is( status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	202, 'a good signature');
is_deeply(payload($signed), { n => 1 }, '... delivers what the validator returns');
is( status('POST', $signed, '{"n": 2}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	403, 'a bad signature is 403');
is(status('POST', webhook(undef, 'refuse'), ''), 400, 'a refusal is 400');
my $keyed = webhook('{"status": 200, "body": "secret"}', 'check_signature');
my @key = ('Idempotency-Key: once', 'Content-Type: application/json');
is(request('POST', $keyed, '{"n": 1}', @key, "X-Hub-Signature-256: sha256=$signature")->{body}, 'secret', 'with a key');
is(request('POST', $keyed, '{"n": 1}', @key, "X-Hub-Signature-256: sha256=$signature")->{body}, 'secret', '... and once more');
is(status('POST', $keyed, '{"n": 1}', @key), 403, '... but not without a signature');
is(depth($keyed), 1, '... one payload');
is(depth($signed), 0, '... and delivers nothing');
like(slurp_file($node->logfile), qr/LOG: .* validator has refused a request: no\n.*CONTEXT: .*refuse/s, '... and the log says why');

# An error that a validator raises itself is a refusal, with the status that the
# SQLSTATE says; an error of the server's in it is not.  Each reason is logged
# once for each webhook.
my $log = $node->logfile;
my $log_position = -s $log;
sql(q{CREATE FUNCTION says(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF request->>'query' = 're-raised' THEN
		BEGIN
			PERFORM 1 FROM public.not_yours;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE;
		END;
	ELSIF request->>'query' = 'strict' THEN
		DECLARE x int;
		BEGIN
			SELECT 1 INTO STRICT x WHERE false;
		END;
	ELSIF request->>'query' = 'reads' THEN
		PERFORM 1 FROM public.not_yours;
	ELSIF request->>'query' = 'schema' THEN
		PERFORM 1 FROM not_yours.nothing;
	ELSIF request->>'query' = 'calls' THEN
		PERFORM public.not_yours();
	ELSIF request->>'query' = 'bad' THEN
		PERFORM decode('zz', 'hex');
	ELSIF request->>'query' = 'wf' THEN
		PERFORM public.wf_resume_hook('no such', '1');
	ELSE
		RAISE EXCEPTION USING ERRCODE = request->>'query', MESSAGE = 'it says ' || (request->>'query');
	END IF;
	RETURN request;
END $$});
sql(q{
CREATE ROLE plain;
GRANT CREATE, USAGE ON SCHEMA public TO plain;
CREATE TABLE not_yours (i int);
CREATE SCHEMA not_yours;
CREATE TABLE not_yours.nothing (i int);
CREATE FUNCTION not_yours() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE EXECUTE ON FUNCTION not_yours() FROM PUBLIC;
SELECT wf_start('plain'), wf_set_owner('plain', 'plain');
});
my $says = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'says', workflow_id => 'plain')});
foreach my $case (
	[ P0001 => 400 ], [ 42501 => 403 ], [ 28000 => 401 ], [ '28P01' => 401 ],
	[ PT400 => 400 ], [ PT401 => 401 ], [ PT404 => 404 ], [ PT406 => 406 ],
	[ PT410 => 410 ], [ PT499 => 499 ], [ PT500 => 503 ], [ PT503 => 503 ], [ PT4X0 => 400 ],
	[ 23505 => 400 ], [ 55000 => 503 ], [ WF006 => 503 ], [ P0002 => 400 ],
	[ 'strict' => 503 ], [ 're-raised' => 503 ], [ 'reads' => 503 ],
	[ 'schema' => 503 ], [ 'calls' => 503 ], [ 'bad' => 400 ], [ 'wf' => 503 ])
{
	is(status('POST', "$says?$case->[0]", 'x'), $case->[1], "$case->[0] is $case->[1]");
}
is(depth($says), 0, '... and delivers nothing');
like(request('POST', "$says?28000", 'x')->{head}, qr/^WWW-Authenticate: /m, 'a 401 says what for');
status('POST', "$says?42501", 'x') foreach 1 .. 3;
my $says_now = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'says', workflow_id => 'plain')});
status('POST', "$says_now?42501", 'x') foreach 1 .. 3;
status('POST', "$says_now?reads", 'x') foreach 1 .. 3;
my $logged = slurp_file($log, $log_position);
my $shown = substr token($says), 0, 6;
is(scalar(() = $logged =~ /LOG: .*refused a request: it says 42501/g), 2, 'a reason is logged once for each webhook');
like($logged, qr/refused a request: it says 42501\n.*DETAIL: .*Webhook \Q$shown\E\.\.\. of workflow "plain", validator public\.says: 403\./, '... which is named');
like($logged, qr/WARNING: .*permission denied for table not_yours\n.*DETAIL: .*of workflow "plain", validator public\.says: 503\.\n.*CONTEXT/, 'a broken one likewise');
unlike($logged, qr/\Q${\token($says)}\E/, '... and no token is in the log');

# Errors that a client makes a validator raise are not logged without end, and
# leave room for what is wrong with the validator.
sql(q{CREATE FUNCTION repeats(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
	IF request->>'query' = 'reads' THEN
		PERFORM 1 FROM not_yours.nothing;
	END IF;
	RAISE EXCEPTION 'no such thing: %', request->>'query';
END $$});
my $repeats = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'repeats', workflow_id => 'plain')});
status('POST', "$repeats?$_", 'x') foreach 1 .. 20;
is(status('POST', "$repeats?reads", 'x'), 503, 'a validator that is broken after many refusals');
$logged = slurp_file($log, $log_position);
is(scalar(() = $logged =~ /no such thing: /g), 16, '... of which not all are in the log');
like($logged, qr/WARNING: .*permission denied for schema not_yours\n.*validator \S*repeats: 503/, '... which has that');

# The validator's schema is out of reach, or the workflow's owner may not call
# the validator any more.
sql(q{CREATE FUNCTION not_yours.gone(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'; GRANT USAGE ON SCHEMA not_yours TO plain});
my $gone = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'not_yours.gone', workflow_id => 'plain')});
is(status('POST', $gone, 'x'), 202, 'a validator in a schema');
sql('REVOKE USAGE ON SCHEMA not_yours FROM plain');
is(status('POST', $gone, 'x'), 503, '... that is out of reach');
sql('GRANT USAGE ON SCHEMA not_yours TO plain; REVOKE EXECUTE ON FUNCTION not_yours.gone(jsonb) FROM PUBLIC');
is(status('POST', $gone, 'x'), 503, '... or may not be called');
like(slurp_file($log, $log_position), qr/permission denied for function gone\n.*validator not_yours\.gone: 503/, '... is in the log');

# A validator names the key by which requests are repeats of each other.
sql(q{CREATE FUNCTION names_key(request jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT jsonb_set(request, '{headers,idempotency-key}', request->'body'->'id') $$});
my $named = webhook('"manual"', 'names_key');
my @sockets = map { dial() } 1 .. 3;
syswrite $_, bytes('POST', $named, '{"id": "evt_1"}', 'Content-Type: application/json') foreach @sockets;
until_true(sub { depth($named) == 1 }, 'it is there');
sql("SELECT wf_respond((wf_await_hook('${\token($named)}')->>'request_id')::bigint, body => 'one')");
is(join(' ', map { response($_)->{body} } @sockets), 'one one one', 'one event, sent three times, is one payload');
is(depth($named), 0, '... and no more');
@sockets = ();
sql(q{CREATE FUNCTION broken(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM nowhere; RETURN $1; END $$});
is(status('POST', webhook(undef, 'broken'), ''), 503, 'a validator that is broken is no refusal');
like(slurp_file($node->logfile), qr/cannot take requests: relation "nowhere" does not exist/, '... and the log says so');
my $dropped = webhook(undef, 'broken');
sql('DROP FUNCTION broken');
is(status('POST', $dropped, ''), 503, '... nor is one that was dropped');
sql(q{ALTER DATABASE postgres SET default_transaction_read_only = on});
sql(q{BEGIN READ WRITE; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ 'durable_wf (validator|gateway)'; COMMIT});
until_true(
	sub {
		status('POST', $signed, '{"n": 1}', 'Content-Type: application/json', "X-Hub-Signature-256: sha256=$signature") == 202;
	},
	'a database that is read-only by default');
sql(q{BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT});
payload($signed);

# Wait until so many validators hang.
sub hang
{
	my ($count) = @_;

	poll(qq{SELECT count(*) = $count FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND wait_event = 'PgSleep'});
	return;
}

my $hanging = webhook(undef, 'hang');
set('validator_timeout', 1000);
@sockets = map { dial() } 1 .. 64;
syswrite $sockets[$_], bytes('POST', $_ == 30 ? $hanging : $hook, $_)
  foreach 0 .. 63;
is( join(' ', map { response($sockets[$_])->{status} } grep { $_ != 30 } 0 .. 63),
	join(' ', (202) x 63), 'others do not wait for a validator that hangs');
is(response($sockets[30])->{status}, 503, '... which is 503 when its time is over');
@sockets = ();

# While one validator hangs for good, all other webhooks are served.
set('validator_timeout', 3600000);
my $stuck = dial();
syswrite $stuck, bytes('POST', $hanging, 'x');
hang(1);
syswrite $stuck, bytes('POST', $hanging, 'pipelined');
is(status('POST', $hook, 'x'), 202, 'one without a validator goes on');
is( status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	202, '... and one with another');
ok(!IO::Select->new($stuck)->can_read(0), '... while that one hangs');
is( sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'durable_wf validator' AND state = 'active'}),
	1, 'its process is ended');
is(response($stuck)->{status}, 503, '... which is a 503');
close $stuck;
set('validator_timeout');

# A validator that catches its time limit is ended together with the process
# that runs it.
sql(<<'SQL');
CREATE FUNCTION stubborn(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(100);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
END $$;
SQL
my $gateway = gateway();
set('validator_timeout', 1000);
is(status('POST', webhook(undef, 'stubborn'), ''), 503, 'a stubborn one is 503');
is(gateway(), $gateway, '... and the gateway is still there');
set('validator_timeout');
until_true(
	sub {
		status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
			"X-Hub-Signature-256: sha256=$signature") == 202;
	},
	'others are validated again');
pass('others are validated again');

# An owner with many validators that hang does not get all validator processes:
# another owner's webhooks are served, and the first owner's others wait.
set('validator_timeout', 3600000);
my @hangs = map { webhook(undef, 'hang') } 1 .. 5;
my @stuck = map { dial() } @hangs;
syswrite $stuck[$_], bytes('POST', $hangs[$_], 'x') foreach 0 .. $#hangs;
hang(2);
sql(q{CREATE FUNCTION passes(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'});
my $passes = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'public.passes', workflow_id => 'plain')});
is(join(' ', map { status('POST', $passes, 'x') } 1 .. 5), '202 202 202 202 202', 'webhooks of another owner are served');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND state = 'active'}), 2, '... while two of the first one\'s hang');
ok(!IO::Select->new(@stuck)->can_read(0), '... and the others wait');
until_true(
	sub {
		sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND state = 'active'});
		@stuck = grep { !IO::Select->new($_)->can_read(0) } @stuck;
		return !@stuck;
	},
	'they are ended, two by two');
set('validator_timeout');

# Many requests for a slow validator delay no other validator.
until_true(
	sub {
		sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator'}) == 0;
	},
	'no validator is there');
sql(q{CREATE FUNCTION slow(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN WHILE NOT pg_try_advisory_xact_lock_shared(5) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN $1; END $$});
set('validator_timeout', 3600000);
my $slowly = webhook(undef, 'slow');
my $blocker = session();
$blocker->query_safe('SELECT pg_advisory_lock(5)');
$stuck = dial();
syswrite $stuck, bytes('POST', $slowly, 'x');
poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND state = 'active'});
@sockets = map { dial() } 1 .. 300;
syswrite $_, bytes('POST', $slowly, 'x') foreach @sockets;
is( status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	202, 'another does not wait for 300 of a slow one');
ok(!IO::Select->new(@sockets, $stuck)->can_read(0), '... that wait');
$blocker->quit;
is(join(' ', map { response($_)->{status} } @sockets, $stuck), join(' ', ('202') x 301), '... and are answered');
@sockets = ();
set('validator_timeout');

# Requests of a webhook with a validator are held, too.
my $both = webhook('"manual"', 'check_signature');
$signature = sql(q{SELECT encode(hmac('x', 'secret', 'sha256'), 'hex')});
@sockets = map { dial() } 1 .. 5;
syswrite $_, bytes('POST', $both, 'x', "X-Hub-Signature-256: sha256=$signature")
  foreach @sockets;
until_true(sub { depth($both) == 5 }, 'they are held');
sql("SELECT wf_respond(request_id, 201, body => 'late') FROM durable_wf.request
	WHERE token = '${\token($both)}'");
is(join(' ', map { response($_)->{body} } @sockets),
	join(' ', ('late') x 5), 'with a validator and held');
@sockets = ();
sql('TRUNCATE durable_wf.message');

# A large body is for a helper, and taken without one where none can be started.
$node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$node->restart;
until_healthy();
# the slots are taken by the launchers, the worker and the gateway
poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf worker'});
my $large = webhook();
is(status('POST', $large, 'x' x 100_000), 202, "no helper: a large body, $_") foreach 1, 2;
is(depth($large), 2, '... is there');
is(status('POST', webhook(undef, 'passes'), 'x'), 503, '... but no validator runs');

$node->stop;
done_testing();
