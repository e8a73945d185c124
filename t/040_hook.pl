# Hooks and webhooks where it takes more than one session: many that claim at
# once, validators that misbehave, wake-ups, SQL workflows, crash and dump.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql error_of poll until_true session start
  asleep waiter outcome kill_backend result suspended);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 20, restart_after_crash => 'on', max_connections => 100,
	max_prepared_transactions => 5, log_statement => 'none',
	'durable_wf.suspend_after' => '20ms' });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE worker LOGIN;
CREATE ROLE stranger LOGIN;
GRANT ALL ON SCHEMA public TO worker;
CREATE TABLE effect (n serial, what text);
-- on one stream what it returns or raises
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text; detail text;
BEGIN
	EXECUTE call INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(': ', SQLSTATE, SQLERRM, detail);
END $$;
SELECT wf_start('w' || n) FROM generate_series(1, 50) n;
SQL

# Fifty sessions claim one token at once: all of them wait for a transaction
# that has it, and then one wins.
my $first = session();
$first->query_safe(q{BEGIN; SELECT wf_create_hook('one', workflow_id => 'w1')});
my @claims = map {
	start(session(), qq{SELECT try(\$\$SELECT wf_create_hook('one', workflow_id => 'w$_')\$\$)})
} 1 .. 50;
poll(q{SELECT count(*) >= 49 FROM pg_stat_activity WHERE wait_event_type = 'Lock'});
$first->query_safe('ROLLBACK');
my @outcomes = map { outcome($_) } @claims;
my $winner = sql(q{SELECT workflow_id FROM wf_get_hook('one')});
is(grep(/^one$/m, @outcomes), 1, 'claims: one wins');
is(grep(/^WF005: token "one" is in use: It belongs to a hook of workflow "$winner"/, @outcomes),
	49, 'claims: the others are told who');
$_->quit foreach @claims;
# ... and for many tokens, as they come
my $script = $node->basedir . '/claim.sql';
append_to_file($script, <<'SQL');
\set round :round + 1
INSERT INTO claim SELECT :round, 1 + :client_id, c.result
  FROM (SELECT try(format('SELECT wf_create_hook(%L, workflow_id => %L)', 'round ' || :round, 'w' || 1 + :client_id)) AS result OFFSET 0) c;
SQL
sql('CREATE TABLE claim (round int, client int, result text)');
$node->command_ok([ 'pgbench', '-n', '-c', 50, '-t', 20, '-D', 'round=0', '-f', $script, $node->connstr('postgres') ], 'claims at once');
is(sql(<<'SQL'), "20|1000|20|980", 'each token has one holder, and the others are told who');
SELECT count(DISTINCT c.round), count(*),
       count(*) FILTER (WHERE result = 'round ' || c.round AND h.workflow_id = 'w' || client),
       count(*) FILTER (WHERE result = format('WF005: token "round %s" is in use: It belongs to a hook of workflow "%s".', c.round, h.workflow_id))
  FROM claim c, wf_get_hook('round ' || c.round) h
SQL

# A prepared transaction holds its claim, and its disposal.
$first->query_safe(q{BEGIN; SELECT wf_create_hook('prepared', workflow_id => 'w1'); PREPARE TRANSACTION 'p'});
my $second = start(session(), q{SELECT wf_create_hook('prepared', workflow_id => 'w2')});
poll(q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted});
sql(q{COMMIT PREPARED 'p'});
like(outcome($second), qr/WF005/, 'a prepared claim counts');
$first->query_safe(q{BEGIN; SELECT wf_dispose_hook('prepared'); PREPARE TRANSACTION 'p'});
start($second, q{SELECT wf_create_hook('prepared', workflow_id => 'w2')});
poll(q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted});
sql(q{COMMIT PREPARED 'p'});
is(outcome($second), 'prepared', 'and so does a prepared disposal');

# A resume that stays open holds up a disposal, but not the end of the workflow.
sql(q{SELECT wf_create_hook('open', workflow_id => 'w3')});
$first->query_safe(q{BEGIN; SELECT wf_resume_hook('open', '1')});
my $disposal = start($second, q{SELECT wf_dispose_hook('open')});
poll(q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted});
sql(q{SET statement_timeout = '60s'; SELECT wf_cancel('w3')});
is(sql(q{SELECT wf_status('w3')}), 'CANCELLED', 'a workflow ends while a resume is open');
$first->query_safe('COMMIT');
is(outcome($disposal), 't', 'the disposal comes after it');
like(error_of(q{SELECT wf_resume_hook('open', '2')}), qr/WF006: there is no such hook/, 'nor to resume');

# Validators: one that hangs, and one that does so though it is told not to.
$node->safe_psql('postgres', <<'SQL', extra_params => ['-U', 'worker']);
SELECT wf_start('mine');
CREATE FUNCTION hangs(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(600);
	RETURN $1;
END $$;
CREATE FUNCTION stubborn(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(600);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
END $$;
CREATE FUNCTION runs(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE $1->>0;
	RETURN to_jsonb(current_user);
END $$;
SELECT wf_create_hook(f, validator => f, workflow_id => 'mine') FROM unnest('{hangs,stubborn,runs}'::text[]) f;
SQL
set('validator_timeout', '100ms');
my $caller = session();
poll(q{SELECT current_setting('durable_wf.validator_timeout') = '100ms'});
like(outcome($caller, q{SELECT wf_resume_hook('hangs', '1')}),
	qr/ERROR:  57014: the hook's validator took too long\nDETAIL:  It may take 100 ms/, 'a validator that hangs');
like(outcome($caller, q{BEGIN; SAVEPOINT s; SELECT wf_resume_hook('hangs', '1'); ROLLBACK TO s; SELECT wf_send('w1', '1', 'after') > 0; COMMIT}),
	qr/^t.*57014/s, 'after which the transaction goes on');
is(sql(q{SELECT depth FROM wf_mailbox WHERE key = 'after'}), 1, '... and commits');
is(outcome($caller, q{SELECT pg_sleep(0.3)}), '', '... and no interrupt comes too late');
start($caller, q{SELECT wf_resume_hook('stubborn', '1')});
poll("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $caller->{pid}");
like(slurp_file($node->logfile), qr/FATAL:  57P01|FATAL:  terminating connection/,
	'a validator that catches that ends the session');
eval { $caller->{run}->finish };
set('validator_timeout');
is(sql(q{SELECT count(*) FROM wf_mailbox WHERE door = 'hook' AND workflow_id = 'mine'}), 0, 'nothing of it was delivered');

# Triggers that a validator's statements fire run as its owner, and none is left
# for the caller's commit.
$node->safe_psql('postgres', <<'SQL', extra_params => ['-U', 'worker']);
CREATE TABLE trap (i int, who text DEFAULT current_user);
CREATE TABLE caught (who text);
CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.caught VALUES (current_user);
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON trap DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (NEW.i = 1) EXECUTE FUNCTION spring();
CREATE TRIGGER at_once AFTER INSERT ON trap FOR EACH ROW WHEN (NEW.i = 2) EXECUTE FUNCTION spring();
SQL
$caller = session();
like(outcome($caller, q{SELECT wf_resume_hook('runs', '["INSERT INTO public.trap VALUES (1)"]')}),
	qr/cannot fire deferred trigger within security-restricted operation/, 'no trigger is left for the commit');
is(outcome($caller, q{SELECT wf_resume_hook('runs', '["INSERT INTO public.trap VALUES (2)"]')}), 'mine', 'one that runs at once');
is(sql(q{SELECT string_agg(who, ' ') FROM (TABLE trap UNION ALL SELECT 1, who FROM caught) t (i, who)}),
	'worker worker', '... is the owner\'s');
like(outcome($caller, q{BEGIN; SET CONSTRAINTS ALL DEFERRED; SELECT wf_resume_hook('runs', '["SET ROLE postgres"]')}),
	qr/42501: cannot set parameter "role"/, 'no other role');
outcome($caller, 'ROLLBACK');
is(outcome($caller, q{SELECT current_user}), sql('SELECT current_user'), 'and the session is whose it was');

# Wake-ups: many resumes, many waiters; every payload comes once, and no waiter
# sleeps while there is one.
sql(q{SELECT wf_create_hook('busy', workflow_id => 'w4')});
my @waiters = map { start(session(), q{DO $$
DECLARE p jsonb; n int := 0;
BEGIN
	LOOP
		CALL wf_await_hook('busy', NULL, p);
		EXIT WHEN p = '"stop"';
		INSERT INTO effect (what) VALUES (p->>0);
	END LOOP;
END $$}) } 1 .. 4;
asleep(@waiters);
$script = $node->basedir . '/resume.sql';
append_to_file($script, q{SELECT wf_resume_hook('busy', to_jsonb(ARRAY[:client_id || '-' || nextval('effect_n_seq')]));} . "\n");
$node->command_ok([ 'pgbench', '-n', '-c', 8, '-t', 100, '-f', $script, $node->connstr('postgres') ], 'resumes at once');
poll(q{SELECT count(*) = 800 FROM effect});
sql(q{SELECT wf_resume_hook('busy', '"stop"') FROM generate_series(1, 4)});
is(join('', map { outcome($_) } @waiters), '', 'all who await come to their end');
is(sql('SELECT count(*), count(DISTINCT what) FROM effect'), '800|800', 'each payload came once');
$_->quit foreach @waiters;
# A dispose wakes all.
@waiters = map { waiter(q{SELECT try($$SELECT wf_await_hook('busy')$$)}) } 1 .. 3;
sql(q{SELECT wf_dispose_hook('busy')});
is(grep(/WF006/, map { outcome($_) } @waiters), 3, 'a disposal wakes all');

# The response to a held request wakes the waiter for it, and no other.
my ($token) = sql(q{SELECT token FROM wf_create_webhook('"manual"', workflow_id => 'w5')});
my @requests = map { sql("SELECT wf_resume_webhook('$token', '{}')->>'request_id'") } 1 .. 3;
my @responses = map { start($waiters[$_], "CALL wf_await_response('$token', $requests[$_], NULL, NULL)") } 0 .. 2;
asleep(@responses);
is(sql(q{SELECT door, key FROM wf_waiters ORDER BY key::bigint}), join("\n", map { "hook|$_" } @requests),
	'who waits for a response is shown');
sql("SELECT wf_respond($requests[1], body => 'two')");
is(outcome($responses[1]), '{"body": "two", "status": 200, "headers": {}}', 'a response comes');
sql(q{SELECT wf_dispose_hook('} . $token . q{')});
is(outcome($responses[0]) . outcome($responses[2]), '', 'and that there will be none');
($token) = sql(q{SELECT token FROM wf_create_webhook('"manual"', workflow_id => 'w5')});
my $request = sql("SELECT wf_resume_webhook('$token', '{}')->>'request_id'");
start($responses[0], "SELECT wf_await_response('$token', $request, NULL)");
asleep($responses[0]);
sql(q{SELECT wf_cancel('w5')});
is(outcome($responses[0]), '', 'also as the workflow ends');

# SQL workflows: create, publish, await twice, dispose, with a suspension each.
$node->safe_psql('postgres', <<'SQL', extra_params => ['-U', 'worker']);
CREATE PROCEDURE approval(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	token text;
	one jsonb; two jsonb; none jsonb;
	disposed boolean;
BEGIN
	token := wf_create_hook(metadata => input);
	PERFORM wf_set_event('token', to_jsonb(token));
	CALL wf_await_hook(token, NULL, one);
	CALL wf_await_hook(token, '1 day', two);
	CALL wf_await_hook(token, '50 ms', none);
	disposed := wf_dispose_hook(token);
	PERFORM wf_complete(jsonb_build_array(one, two, none IS NULL, disposed));
END $$;
CREATE PROCEDURE awaits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	got jsonb;
BEGIN
	PERFORM wf_create_hook(input->>0);
	CALL wf_await_hook(input->>0, NULL, got);
	PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE serves(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hook wf_webhook;
	request jsonb;
BEGIN
	hook := wf_create_webhook('"manual"');
	PERFORM wf_set_event('token', to_jsonb(hook.token));
	FOR i IN 1 .. 2 LOOP
		CALL wf_await_hook(hook.token, NULL, request);
		PERFORM wf_respond((request->>'request_id')::bigint, 200 + i, '{}', request->>'body');
	END LOOP;
END $$;
CREATE PROCEDURE asks(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	token text;
	held jsonb; response jsonb;
BEGIN
	CALL wf_get_event('server', 'token', NULL, held);
	token := held->>0;
	held := wf_resume_webhook(token, '{"body": "from a workflow"}');
	CALL wf_await_response(token, (held->>'request_id')::bigint, NULL, response);
	PERFORM wf_complete(response);
END $$;
CREATE PROCEDURE writes(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM wf_await_hook(wf_create_hook(), NULL);
END $$;
SELECT wf_start('approval', 'approval', '{"amount": 3}'), wf_start('awaits', 'awaits', '["gone"]'),
       wf_start('moved', 'awaits', '["moved"]'), wf_start('cancelled', 'awaits', '["cancelled"]');
SQL
suspended($_) foreach 'approval', 'awaits', 'moved', 'cancelled';
is(sql(q{SELECT workflow_id, door, key, suspended FROM wf_waiters WHERE workflow_id = 'awaits'}), 'awaits|hook|gone|t', 'suspended for a hook');
$token = sql(q{SELECT wf_get_event('approval', 'token')->>0});
is(sql("SELECT workflow_id, metadata FROM wf_get_hook('$token')"), 'approval|{"amount": 3}', 'its token is published');
is($node->safe_psql('postgres', qq{SELECT wf_resume_hook('$token', '"yes"')}, extra_params => [ '-U', 'stranger' ]), 'approval', 'resumed by a stranger');
poll(q{SELECT count(*) = 1 FROM wf_list_steps('approval') WHERE output = '"yes"'});
suspended('approval');
# crashes: what is committed stays, and is awaited on; nothing comes twice
my $killed = session();
outcome($killed, "BEGIN; SELECT wf_resume_hook('$token', '\"lost\"')");
kill_backend($killed->{pid}, $killed);
is(sql(q{SELECT wf_status('approval')}), 'WAITING', 'a crash changes nothing');
$node->stop('immediate');
$node->start;
sql("SELECT wf_resume_hook('$token', '\"also\"')");
is(result('approval'), 'SUCCESS|["yes", "also", true, true]|', 'create, publish, await twice, dispose');
is(sql(q{SELECT string_agg(name, ', ' ORDER BY step_no) FROM (SELECT step_no, split_part(name, '(', 1) AS name FROM wf_list_steps('approval')) s}),
	'wf_create_hook, wf_set_event, wf_await_hook, wf_await_hook, wf_await_hook, wf_dispose_hook', 'each is a step');
# the hook goes away under a suspended one
sql(q{SELECT wf_dispose_hook('gone')});
is(result('awaits'), 'ERROR||there is no such hook', 'a disposal resumes a suspended workflow');
sql(q{BEGIN; SELECT wf_dispose_hook('moved'), wf_create_hook('moved', workflow_id => 'w6'), wf_resume_hook('moved', '1'); COMMIT});
is(result('moved'), 'ERROR||there is no such hook', 'also when another has the token at once');
is(sql(q{SELECT wf_await_hook('moved', '0')}), 1, '... and what was sent to that');
sql(q{SELECT wf_cancel('cancelled')});
poll(q{SELECT count(*) = 0 FROM durable_wf.wait});
is(sql(q{SELECT count(*) FROM wf_get_hook('cancelled')}), 0, 'a suspended one that is cancelled releases its hook');
# a prepared disposal
$node->safe_psql('postgres', q{SELECT wf_start('prepared', 'awaits', '["prep"]')}, extra_params => [ '-U', 'worker' ]);
suspended('prepared');
sql(q{BEGIN; SELECT wf_dispose_hook('prep'); PREPARE TRANSACTION 'p'});
sql(q{COMMIT PREPARED 'p'});
is(result('prepared'), 'ERROR||there is no such hook', 'a prepared disposal, too');
# a disposal while no worker runs: noticed when it does again
$node->safe_psql('postgres', q{SELECT wf_start('paused', 'awaits', '["paused"]')}, extra_params => [ '-U', 'worker' ]);
suspended('paused');
set('paused', 'on');
poll(q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%paused%' AND backend_type = 'durable_wf worker'});
sql(q{SELECT wf_dispose_hook('paused')});
set('paused');
is(result('paused'), 'ERROR||there is no such hook', 'a disposal while workflows are paused');
# has to be CALLed
$node->safe_psql('postgres', q{SELECT wf_start('writes', 'writes'), wf_start('server', 'serves'), wf_start('client', 'asks')}, extra_params => [ '-U', 'worker' ]);
like(result('writes'), qr/^ERROR\|\|wf_await_hook\(\) has to be CALLed/, 'a wait has to be CALLed');
# a workflow that serves another one, and a session
is(result('client'), 'SUCCESS|{"body": "from a workflow", "status": 201, "headers": {}}|', 'a response resumes a suspended workflow');
$token = sql(q{SELECT wf_get_event('server', 'token')->>0});
$request = sql(qq{SELECT wf_resume_webhook('$token', '{"body": "from a session"}')->>'request_id'});
is(sql("SELECT wf_await_response('$token', $request, '120 s')"), '{"body": "from a session", "status": 202, "headers": {}}', 'held by a session');
is(result('server'), 'SUCCESS||', 'the server ends');

# A body that failed between two payloads: mended and retried it has its webhook
# again, what came before the failure and was not taken, and what comes now.
sql(q{CREATE FUNCTION strip(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT jsonb_strip_nulls(payload)'});
my $two_calls = q{CREATE OR REPLACE PROCEDURE two_calls(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hook wf_webhook;
	one jsonb; two jsonb; three jsonb;
BEGIN
	hook := wf_create_webhook(metadata => '"mine"', validator => 'public.strip');
	PERFORM wf_set_event('token', to_jsonb(hook.token));
	CALL wf_await_hook(hook.token, NULL, one);
	-- here
	CALL wf_await_hook(hook.token, NULL, two);
	CALL wf_await_hook(hook.token, NULL, three);
	PERFORM wf_complete(jsonb_build_array(one->'body', two->'body', three->'body'));
END $$};
my @worker = (extra_params => [ '-U', 'worker' ]);
$node->safe_psql('postgres', ($two_calls =~ s{-- here}{IF one->>'body' = 'first' THEN PERFORM 1/0; END IF;}r) . q{;
SELECT wf_start('two', 'two_calls')}, @worker);
$token = sql(q{SELECT wf_get_event('two', 'token', '120 s')->>0});
sql(qq{BEGIN; SELECT wf_resume_webhook('$token', '{"body": "first"}'), wf_resume_webhook('$token', '{"body": "second"}'); COMMIT});
is(result('two'), 'ERROR||division by zero', 'a body that fails after its first payload');
like(error_of("SELECT wf_resume_webhook('$token', '{}')"), qr/WF006/, '... its webhook is gone');
$node->safe_psql('postgres', "$two_calls; SELECT wf_retry('two')", @worker);
is(sql(qq{SELECT wf_resume_webhook('$token', '{"body": "third"}')->'status'}), 202, '... and there again after wf_retry');
is(result('two'), 'SUCCESS|["first", "second", "third"]|', '... with all that was sent to it');

# An attached client that dies between resume and await, and after it.
sql(q{SELECT wf_start('attached')});
my $client = session();
outcome($client, q{SELECT wf_attach('attached')});
my $random = outcome($client, q{SELECT wf_create_hook()});
is(outcome($client, q{SELECT (wf_create_webhook('"manual"')).token <> ''}), 't', 'a webhook');
sql("SELECT wf_resume_hook('$random', '\"first\"')");
kill_backend($client->{pid}, $client);
$client = session();
outcome($client, q{SELECT wf_attach('attached')});
is(outcome($client, q{SELECT wf_create_hook()}), $random, 'the replay has the token that was made up');
outcome($client, q{SELECT (wf_create_webhook('"manual"')).token});
is(sql(q{SELECT count(*) FROM durable_wf.hook WHERE workflow_id = 'attached'}), 2, 'and makes no other');
is(outcome($client, "SELECT wf_await_hook('$random')"), '"first"', 'what came before the crash is there');
is(outcome($client, "BEGIN; SELECT wf_await_hook('$random', '0'); COMMIT"), '', 'and nothing else');
outcome($client, "BEGIN; SELECT wf_dispose_hook('$random')");
kill_backend($client->{pid}, $client);
$client = session();
outcome($client, q{SELECT wf_attach('attached')});
outcome($client, q{SELECT wf_create_hook(); SELECT token FROM wf_create_webhook('"manual"')});
is(outcome($client, "SELECT wf_await_hook('$random')") . outcome($client, "SELECT wf_await_hook('$random', '0') IS NULL"),
	'"first"t', 'replayed');
is(outcome($client, "SELECT wf_dispose_hook('$random')"), 't', 'a disposal that did not commit did not happen');
$client->quit;

# A dump has hooks with all they have: a restored hook takes payloads, gives out
# the payloads it had, and knows its keys and its validator.
sql(q{CREATE DATABASE copy});
sql(<<'SQL');
CREATE FUNCTION twice(jsonb) RETURNS jsonb LANGUAGE sql SET search_path = public AS $$ SELECT jsonb_build_array($1, $1) $$;
SELECT wf_start('dumped'), wf_create_hook('dumped', '{"m": 1}', 'twice', 'dumped'), wf_resume_hook('dumped', '1', 'k');
SELECT token AS web FROM wf_create_webhook('{"status": 201}', workflow_id => 'dumped') \gset
SELECT token AS manual FROM wf_create_webhook('"manual"', workflow_id => 'dumped') \gset
SELECT wf_resume_webhook(:'manual', '{}'), wf_set_event('web', to_jsonb(:'web'::text), 'dumped'),
       wf_set_event('manual', to_jsonb(:'manual'::text), 'dumped');
SQL
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'restore');
# All hooks and requests of a database.
sub rows
{
	return $node->safe_psql($_[0], 'SELECT h::text FROM durable_wf.hook h ORDER BY 1; SELECT r::text FROM durable_wf.request r ORDER BY 1');
}
is(rows('copy'), rows('postgres'), 'hooks and requests are the same');
is($node->safe_psql('copy', <<'SQL'), "dumped|dumped\n[1, 1]\n[2, 2]\n\n{\"body\": \"\", \"status\": 201, \"headers\": {}}\n{\"body\": \"yes\", \"status\": 200, \"headers\": {}}", 'and work');
SELECT wf_resume_hook('dumped', '1', 'k'), wf_resume_hook('dumped', '2', 'k2');
SELECT wf_await_hook('dumped', '0');
SELECT wf_await_hook('dumped', '0');
SELECT wf_await_hook('dumped', '0');
SELECT wf_resume_webhook(wf_get_event('dumped', 'web')->>0, '{}');
SELECT wf_get_event('dumped', 'manual')->>0 AS manual \gset
SELECT wf_await_hook(:'manual', '0')->>'request_id' AS request \gset
SELECT wf_respond(:request, body => 'yes') \g /dev/null
SELECT wf_await_response(:'manual', :request, '0');
SQL

done_testing();
