# Steps: attempts and the pauses between them, which survive everything; what a
# step leaves in the session; bodies that are changed after the start.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll session start outcome kill_backend
  result end_executors);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# One executor: what keeps it holds up all others.
my $node = start_node('main', {
	max_worker_processes => 20, restart_after_crash => 'on',
	'durable_wf.max_executors' => 1, 'durable_wf.suspend_after' => '10ms' });

# What attempts have done, not undone with them: a line each.
my $tries = PostgreSQL::Test::Utils::tempdir() . '/tries';
my $try = qq{COPY (SELECT 'try') TO PROGRAM 'cat >> $tries'};

# How many attempts there were.
sub tries
{
	my @lines = -e $tries ? split /\n/, slurp_file($tries) : ();

	return scalar @lines;
}

# Wait until a workflow has a status.
sub status_is
{
	my ($id, $status) = @_;

	poll("SELECT status = '$status' FROM wf_workflows WHERE workflow_id = '$id'");
	return;
}

# What the journal has of the attempts at a workflow's only step.
sub attempts
{
	return sql("SELECT error[2], error[5], array_to_string(error[6:], ', '), completed_at IS NULL FROM durable_wf.step WHERE workflow_id = '$_[0]'");
}

# Create a body and start a workflow of its name.
sub begin
{
	my ($id, $code) = @_;

	unlink $tries;
	sql("CREATE OR REPLACE PROCEDURE $id(input jsonb) LANGUAGE plpgsql AS \$body\$
		DECLARE got jsonb; woke_at timestamptz; n bigint; BEGIN $code END \$body\$;
		SELECT wf_start('$id', '$id')");
	return;
}

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, what text);
SQL

# -------------------------------------------------------- a pause is a wait

begin('paused', "CALL wf_step('charge', \$s\$INSERT INTO effect (what) VALUES ('undone'); $try; SELECT 1 / 0\$s\$, NULL, 5, '1 hour', got);");
status_is('paused', 'WAITING');
is(sql(q{SELECT door, suspended, pid IS NULL, deadline > now() + '59 min' FROM wf_waiters WHERE workflow_id = 'paused'}),
	'timer|t|t|t', 'a pause is suspended');
begin('quick', q{PERFORM wf_complete('"done"');});
is(result('quick'), 'SUCCESS|"done"|', 'and keeps nobody from running');
is(attempts('paused'), 'division by zero|1||t', 'the journal has what the attempt said');
is(sql(q{SELECT step_no, name, output, error, completed_at FROM wf_list_steps('paused')}),
	'1|charge||division by zero|', 'wf_list_steps shows it');
$node->stop('immediate');
$node->start;
is(attempts('paused'), 'division by zero|1||t', 'also after a crash');
is(sql(q{SELECT wf_cancel('paused')}), 't', 'it can be cancelled');
is(result('paused'), 'CANCELLED||', 'at once');
is(sql(q{SELECT count(*) FROM durable_wf.wait}), 0, 'no wait is left');
is(sql(q{SELECT count(*) FROM effect}), 0, 'what the attempt did is undone');
begin('timed', q{CALL wf_step('s', 'SELECT 1 / 0', NULL, 5, '1 hour', got);});
status_is('timed', 'WAITING');
sql(q{UPDATE durable_wf.workflow SET timeout_at = now() WHERE workflow_id = 'timed'; SELECT wf_start('wakes the clock', timeout => '1 ms')});
is(result('timed'), 'CANCELLED||', 'a timeout ends it, too');

# Through suspensions: as many attempts as are said, each undone by itself.
sub fails
{
	my ($max, $delay, $times) = @_;
	my $n = $times ? "(SELECT count(*) FROM effect) + 1 / (CASE WHEN (SELECT count(*) FROM pg_read_file('$tries') f, regexp_matches(f, 'try', 'g')) > $times THEN 1 ELSE 0 END)" : '1 / 0';

	return qq{CALL wf_step('fails', \$s\$INSERT INTO effect (what) VALUES ('x'); $try; SELECT $n\$s\$, NULL, $max, '$delay', got); PERFORM wf_complete(got);};
}
begin('suspended', fails(4, '150 ms'));
is(result('suspended'), 'ERROR||division by zero', 'through suspensions: the last error');
is(tries(), 4, '... after as many attempts as are said');
is(attempts('suspended'), 'division by zero|4|22012 division by zero, 22012 division by zero, 22012 division by zero|t',
	'... the journal has what each said');
sql(q{SELECT wf_retry('suspended')});
is(result('suspended'), 'ERROR||division by zero', 'wf_retry: the last error');
is(tries(), 8, '... tries anew');
begin('succeeds', fails(9, '50 ms', 3));
is(result('succeeds'), 'SUCCESS|2|', 'the fourth attempt succeeds');
is(tries(), 4, '... and is the last');
is(sql(q{SELECT count(*) FROM effect}), 1, '... its effect is there, once');
is(attempts('succeeds'), '|||f', '... and its result in the journal');
sql(q{TRUNCATE effect});
begin('hot', fails(4, '1 ms'));
is(result('hot'), 'ERROR||division by zero', 'without suspensions: the last error');
is(tries(), 4, '... after as many attempts');

# A body that has been given more, or fewer, attempts meanwhile.
foreach my $max (3, 1)
{
	begin("changed_$max", fails(2, '1 hour'));
	status_is("changed_$max", 'WAITING');
	my $fails = fails($max, '1 ms');
	sql("CREATE OR REPLACE PROCEDURE changed_$max(input jsonb) LANGUAGE plpgsql AS \$body\$ DECLARE got jsonb; BEGIN $fails END \$body\$;
		UPDATE durable_wf.step SET deadline = now() WHERE workflow_id = 'changed_$max';
		UPDATE durable_wf.wait SET deadline = now() WHERE workflow_id = 'changed_$max';
		SELECT wf_start('wakes the clock $max', timeout => '1 ms')");
	is(result("changed_$max"), 'ERROR||division by zero', "changed to $max attempts: the error");
	is(tries(), $max, '... after as many as are said now');
}

# ------------------------------------------- ends of the process, kill -9

set('suspend_after', '60s');
end_executors();
my $executor = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'};
my $in_pause = q{SELECT count(*) = 1 FROM wf_waiters WHERE door = 'timer' AND workflow_id = };
foreach my $signal ('KILL', 'TERM')
{
	my $id = "in_pause_\L$signal";

	begin($id, fails(3, '1 h'));
	foreach my $attempt (1, 2)
	{
		poll("SELECT error[5] = '$attempt' FROM durable_wf.step WHERE workflow_id = '$id'");
		poll("$in_pause '$id'");
		is(tries(), $attempt, "$signal in a pause: attempts before $attempt");
		my $pid = sql($executor);
		# the next process takes the end of the pause from the journal
		sql("UPDATE durable_wf.step SET deadline = now() WHERE workflow_id = '$id'");
		$signal eq 'KILL' ? kill_backend($pid) : kill('TERM', $pid);
	}
	is(result($id), 'ERROR||division by zero', "$signal in a pause: the error");
	is(tries(), 3, '... after three attempts in all');
}

# kill -9 in an attempt: it has recorded nothing, the attempt before it has.
my $guard = session();
$guard->query_safe('SELECT pg_advisory_lock(34)');
begin('in_attempt', qq{CALL wf_step('fails', \$s\$$try; SELECT pg_advisory_xact_lock_shared(34) WHERE (SELECT count(*) FROM pg_read_file('$tries') f, regexp_matches(f, 'try', 'g')) = 2; SELECT 1 / 0\$s\$, NULL, 3, '1 ms', got);});
poll(q{SELECT count(*) = 1 FROM pg_locks WHERE objid = 34 AND NOT granted});
is(attempts('in_attempt'), 'division by zero|1||t', 'KILL in an attempt: the one before is recorded');
kill_backend(sql(q{SELECT pid FROM pg_locks WHERE objid = 34 AND NOT granted}), $guard);
is(result('in_attempt'), 'ERROR||division by zero', '... the error');
is(tries(), 4, '... after three attempts that said something');
is(attempts('in_attempt') =~ s/\|.*//sr, 'division by zero', '... which the journal has');
set('suspend_after', '10ms');
end_executors();

# ------------------------------------------------------ attached sessions

# Open a session, and attach it to the workflow "client".
sub attach
{
	my $session = session();

	$session->query_safe("SELECT wf_attach('client')");
	return $session;
}
unlink $tries;
sql(q{SELECT wf_start('client')});
my $call = "CALL wf_step('fails', \$s\$$try; SELECT 1 / 0\$s\$, NULL, 3, '1 h', NULL)";
foreach my $attempt (1, 2)
{
	my $session = attach();

	start($session, $call);
	poll("SELECT error[5] = '$attempt' FROM durable_wf.step WHERE workflow_id = 'client'");
	poll("$in_pause 'client'");
	sql(q{UPDATE durable_wf.step SET deadline = now() WHERE workflow_id = 'client'});
	if ($attempt == 1)
	{
		kill_backend($session->{pid}, $session);
	}
	else
	{
		sql("SELECT pg_terminate_backend($session->{pid}, 60000)");
		eval { $session->{run}->finish };
	}
}
is(tries(), 2, 'client: two attempts by two sessions');
my $session = attach();
like(outcome($session, "$call;"), qr/22012: +division by zero/, 'client: a third one raises the last error');
is(tries(), 3, 'client: after three in all');
sql("SELECT pg_terminate_backend($session->{pid}, 60000)");
eval { $session->{run}->finish };
$session = attach();
like(outcome($session, "$call;"), qr/22012: +division by zero/, 'client: a fourth one has its error from the journal');
is(tries(), 3, 'client: and tries no more');
is(outcome($session, q{SELECT wf_step('next', 'SELECT 2');}), '2', 'client: it goes on');
is(sql(q{SELECT string_agg(concat_ws(' ', name, output, error, completed_at IS NOT NULL), ', ' ORDER BY step_no) FROM wf_list_steps('client')}),
	'fails division by zero t, next 2 t', 'client: the journal');
$session->quit;
$session = attach();
like(outcome($session, "$call;"), qr/22012: +division by zero/, 'client: a replay raises the error');
is(tries(), 3, 'client: without trying');
is(outcome($session, q{SELECT wf_step('next', 'SELECT 3');}), '2', 'client: and goes on');

# Its memory does not grow with the rows that a step's command returns.
sub peak
{
	return (slurp_file("/proc/$_[0]->{pid}/status") =~ /^VmHWM:\s+(\d+) kB/m)[0];
}
$session->query_safe(q{SELECT wf_step('few', 'SELECT generate_series(1, 3), repeat(''x'', 200)')});
my $before = peak($session);
is(outcome($session, q{SELECT wf_step('many', 'SELECT generate_series(1, 400000), repeat(''x'', 200)');}), '1',
	'of many rows the first counts');
cmp_ok(peak($session) - $before, '<', 30_000, 'and the others are not kept');
$session->quit;

# ------------------------------------------------ what a step leaves behind

sql(q{CREATE SCHEMA tenant_a; CREATE TABLE tenant_a.invoice (n int); CREATE TABLE invoice (n int)});
my $bill = q{PERFORM wf_step('first', 'INSERT INTO invoice VALUES (1)'); CALL wf_sleep('100 ms', woke_at); PERFORM wf_step('second', 'INSERT INTO invoice VALUES (2)');};
begin('sets', "PERFORM wf_step('tenant', 'SET search_path = tenant_a, public'); $bill");
is(result('sets'), 'ERROR||step "tenant" has set "search_path" for the session', 'a setting is refused in a step');
like(sql(q{SELECT error_state || error_context FROM wf_workflows WHERE workflow_id = 'sets'}),
	qr/^WF009.*HINT:  .*SET LOCAL search_path = tenant_a, public; .* SET search_path = tenant_a, public;/s, '... with the line as it should be');
begin('sets_outside', "SET search_path = tenant_a, public; $bill");
is(result('sets_outside'), 'SUCCESS||', 'that line outside of the step');
is(sql(q{SELECT string_agg(tableoid::regclass || n::text, ' ' ORDER BY n) FROM tenant_a.invoice}), 'tenant_a.invoice1 tenant_a.invoice2',
	'... is done again by each run');
begin('sets_locally', q{PERFORM wf_step('local', 'SET LOCAL search_path = tenant_a; SELECT current_setting(''search_path'')');
	PERFORM wf_complete(to_jsonb(current_setting('search_path')));});
is(result('sets_locally'), 'SUCCESS|"\"$user\", public"|', 'SET LOCAL ends with its command');
begin('scratch', q{PERFORM wf_step('t', 'CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 3 AS i; SELECT i FROM t');
	PERFORM wf_step('t', 'CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 4 AS i; SELECT i FROM t'); PERFORM wf_complete(to_jsonb(to_regclass('t') IS NULL));});
is(result('scratch'), 'SUCCESS|true|', 'a table that goes at commit goes with its command');
begin('temporary', q{PERFORM wf_step('t', 'CREATE TEMP TABLE t AS SELECT 3 AS i');});
is(result('temporary'), 'ERROR||step "t" has left something temporary: table t', 'another temporary one is refused');

# What was recorded before this was refused, replays: a step of release 0.3.0.
sql(q{CREATE PROCEDURE old(input jsonb) LANGUAGE plpgsql AS $$ DECLARE got jsonb; BEGIN
	PERFORM wf_step('tenant', 'SET search_path = tenant_a, public');
	CALL wf_step('retried', 'SELECT 1 / 0', NULL, 3, '1 ms', got);
	CALL wf_recv('go', NULL, NULL, got); PERFORM wf_complete(got); END $$;
	BEGIN;
	SELECT wf_start('old', 'old', start_after => '1 h');
	INSERT INTO durable_wf.step (workflow_id, step_no, function, name, result, started_at, completed_at)
	VALUES ('old', 1, 'wf_step', 'tenant', '{null}', now(), now()), ('old', 2, 'wf_step', 'retried', '{7}', now(), now());
	INSERT INTO durable_wf.step (workflow_id, step_no, function, name, started_at, deadline) VALUES ('old', 3, 'wf_recv', 'go', now(), 'infinity');
	UPDATE durable_wf.workflow SET due_at = now() WHERE workflow_id = 'old';
	COMMIT;
	SELECT wf_send('old', '8', 'go')});
sql('SELECT wf_start(\'wakes\', \'quick\')');
is(result('old'), 'SUCCESS|8|', 'an old journal replays');

# --------------------------------------- a body is changed after its start

my %changes = (
	'SET clause' => [ 'ALTER PROCEDURE NAME SET search_path = public',
		'0A000|procedure NAME(jsonb) has a SET clause, so it cannot commit', qr/HINT:  ALTER PROCEDURE public\.\w+\(jsonb\) RESET ALL;/, 'ALTER PROCEDURE NAME RESET ALL' ],
	'SECURITY DEFINER' => [ 'ALTER PROCEDURE NAME SECURITY DEFINER',
		'0A000|procedure NAME(jsonb) is SECURITY DEFINER, so it cannot commit', qr/HINT:  ALTER PROCEDURE public\.\w+\(jsonb\) SECURITY INVOKER;/, 'ALTER PROCEDURE NAME SECURITY INVOKER' ],
	'language' => [ 'DROP PROCEDURE NAME; CREATE PROCEDURE NAME(input jsonb) LANGUAGE sql AS $$ SELECT 1 $$',
		'0A000|procedure NAME(jsonb) is not written in PL/pgSQL', qr/wf_retry/, 'DROP PROCEDURE NAME; SOURCE' ],
	'a function' => [ 'DROP PROCEDURE NAME; CREATE FUNCTION NAME(input jsonb) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
		'42809|public.NAME(jsonb) is not a procedure', qr/^/, 'DROP FUNCTION NAME; SOURCE' ],
	'other arguments' => [ 'DROP PROCEDURE NAME; CREATE PROCEDURE NAME(input jsonb, n int) LANGUAGE plpgsql AS $$ BEGIN END $$',
		'42883|procedure public.NAME(jsonb) does not exist', qr/./, 'DROP PROCEDURE NAME; SOURCE' ],
	'OUT arguments' => [ 'DROP PROCEDURE NAME; CREATE PROCEDURE NAME(input jsonb, OUT n int) LANGUAGE plpgsql AS $$ BEGIN END $$',
		'0A000|procedure NAME(jsonb) has OUT arguments, which a CALL would have to pass', qr/./, 'DROP PROCEDURE NAME; SOURCE' ]);
my $nchanges = 0;
foreach my $change (sort keys %changes)
{
	my ($sql, $error, $context, $undo) = @{ $changes{$change} };
	my $id = 'change_' . ++$nchanges;

	begin($id, q{CALL wf_recv('answer', NULL, NULL, got); PERFORM wf_complete(got);});
	status_is($id, 'WAITING');
	my $source = sql("SELECT pg_get_functiondef('$id'::regproc)");
	s/NAME/$id/g, s/SOURCE/$source/ foreach $sql, $error, $undo;
	sql("$sql; SELECT wf_send('$id', '5', 'answer')");
	like(result($id), qr/^ERROR/, "$change: it ends");
	is(sql("SELECT error_state, error FROM wf_workflows WHERE workflow_id = '$id'"), $error, "$change: with the reason");
	like(sql("SELECT error_context FROM wf_workflows WHERE workflow_id = '$id'"), $context, "$change: and what to do");
	sql("$undo; SELECT wf_retry('$id')");
	is(result($id), 'SUCCESS|5|', "$change: then it goes on");
}

# What cannot work is refused at the call.
sql(q{CREATE ROLE sleeper NOLOGIN; CREATE ROLE stranger LOGIN; CREATE SCHEMA private;
	CREATE PROCEDURE private.hidden(input jsonb) LANGUAGE plpgsql AS 'BEGIN END';
	CREATE PROCEDURE closed(input jsonb) LANGUAGE plpgsql AS 'BEGIN END';
	REVOKE EXECUTE ON PROCEDURE closed FROM PUBLIC;
	CREATE PROCEDURE gives(input jsonb, OUT n int) LANGUAGE plpgsql AS 'BEGIN END';
	CREATE PROCEDURE changes(INOUT input jsonb) LANGUAGE plpgsql AS 'BEGIN END';
	SELECT wf_start('to closed', 'closed', start_after => '1 h'), wf_start('to hidden', 'private.hidden', start_after => '1 h'),
	       wf_start('to quick', 'quick', start_after => '1 h'), wf_start('to nobody')});
foreach my $refused (
	[ q{SELECT wf_start('both', 'quick', queue => 'q')}, qr/22023: +a workflow cannot have both a body and a queue/ ],
	[ q{SELECT wf_start('gives', 'gives')}, qr/0A000: +procedure gives\(jsonb\) cannot be the body of a workflow\n.*It has OUT arguments/ ],
	[ q{SELECT wf_start('changes', 'changes')}, qr/0A000: +procedure changes\(jsonb\) cannot be the body of a workflow\n.*It has OUT arguments/ ],
	[ q{SELECT wf_set_owner('to quick', 'sleeper')}, qr/42501: +role "sleeper" cannot own a workflow with a body/ ],
	[ q{SELECT wf_set_owner('to closed', 'stranger')}, qr/42501: +permission denied for procedure closed/ ],
	[ q{SELECT wf_set_owner('to hidden', 'stranger')}, qr/42501: +permission denied for schema private/ ])
{
	my ($stdout, $stderr);

	$node->psql('postgres', "\\set VERBOSITY verbose\n$refused->[0]", stdout => \$stdout, stderr => \$stderr);
	like($stderr, $refused->[1], "refused: $refused->[0]");
}
is(sql(q{SELECT wf_set_owner('to quick', 'stranger'), wf_set_owner('to nobody', 'sleeper')}), '|', 'others are not');

$node->stop;
done_testing();
