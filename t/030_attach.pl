# Attached sessions that die, hang and race: one execution at a time, each step
# once, and a session that waits for work gets it as soon as there is some.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll until_true session start asleep
  waiter outcome last_words freeze thaw kill_backend worker);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main',
	{ restart_after_crash => 'on', max_prepared_transactions => 5 });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (workflow_id text, step text);
CREATE FUNCTION step(name text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT wf_step(name, format('INSERT INTO effect VALUES (%L, %L)', wf_current(), name))
$$;
-- who executes a workflow now, for the guard against two at a time
CREATE TABLE guard (workflow_id text PRIMARY KEY, pid int);
SQL

# The effects of a workflow, in order.
sub effects
{
	return sql("SELECT string_agg(step, ' ' ORDER BY step) FROM effect WHERE workflow_id = '$_[0]'");
}

# Let a session end in the given way, and wait for nothing.
sub terminate
{
	my ($session) = @_;

	sql("SELECT pg_terminate_backend($session->{pid})");
	return;
}

# The holder is terminated: the next attach succeeds at once, without takeover,
# as soon as its backend is gone.
{
	my $holder = session();
	my $other = session();

	sql(q{SELECT wf_start('w')});
	is($holder->query_safe(q{SELECT wf_attach('w'); SELECT step('1')}),
		"RUNNING\nnull", 'terminate: attached');
	like(outcome($other, q{SELECT wf_attach('w')}),
		qr/WF007: workflow "w" is executed by another session\nDETAIL:  Its process id is $holder->{pid}\./,
		'terminate: a second session is refused');
	is(outcome($other, q{SELECT wf_current() IS NULL}), 't',
		'terminate: and is not attached');
	$holder->query_safe(q{BEGIN; SELECT step('undone')});
	terminate($holder);
	until_true(sub { !-d "/proc/$holder->{pid}" }, 'the holder is gone');
	last_words($holder);
	is(outcome($other, q{SELECT wf_attach('w'); SELECT step('1'); SELECT step('2')}),
		"RUNNING\nnull\nnull", 'terminate: the next goes on');
	$other->quit;
	is(effects('w'), '1 2', 'terminate: each step once');
}

# The holder hangs: in a query, in a lock, idle in a transaction, in a wait, in
# CALL; and takeover ends it.
my %hang = (
	'in a query' => q{SELECT pg_sleep(600)},
	'in a step' => q{SELECT wf_step('hangs', 'INSERT INTO effect VALUES (''h'', ''undone''); SELECT pg_sleep(600)')},
	'behind a lock' => q{SELECT FROM locked},
	'idle in transaction' => undef,
	'in a wait' => q{SELECT wf_recv('never', NULL)},
	'in CALL' => q{CALL wf_recv('never', NULL, NULL, NULL)},
	'in a loop' => q{DO $$BEGIN LOOP NULL; END LOOP; END$$});
my $locker = session();

sql('CREATE TABLE locked ()');
$locker->query_safe('BEGIN; LOCK TABLE locked');
foreach my $how (sort keys %hang)
{
	my $holder = session();
	my $heir = session();
	my $id = "hangs $how";

	sql("SELECT wf_start('$id')");
	$holder->query_safe("SELECT wf_attach('$id'); SELECT step('1')");
	if ($hang{$how})
	{
		start($holder, $hang{$how});
		poll("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $holder->{pid}");
	}
	else
	{
		$holder->query_safe(q{BEGIN; SELECT step('undone')});
	}
	is(outcome($heir, "SELECT wf_attach('$id', takeover => true)"),
		'RUNNING', "takeover: from a holder $how");
	is(outcome($heir, q{SELECT step('1'); SELECT step('2'); SELECT wf_complete()}),
		"null\nnull\n", "takeover: $how: goes on");
	until_true(sub { !-d "/proc/$holder->{pid}" }, 'the holder is gone');
	last_words($holder);
	is(effects($id), '1 2', "takeover: $how: each step once");
	$heir->quit;
}
$locker->quit;

# Takeover by several at a time: one of them gets it in the end.
{
	my $holder = session();
	my @heirs = map { session() } 1 .. 3;
	my @said;

	sql(q{SELECT wf_start('wanted')});
	$holder->query_safe(q{SELECT wf_attach('wanted')});
	freeze($holder);
	start($_, q{SELECT wf_attach('wanted', takeover => true)}) foreach @heirs;
	asleep(@heirs);
	thaw($holder);
	@said = sort map { outcome($_) } @heirs;
	is($said[0], 'RUNNING', 'takeover: one of several gets it');
	like($said[$_], qr/WF007/, 'takeover: the others do not') foreach 1, 2;
	last_words($holder);
	$_->quit foreach @heirs;

	# a takeover that gives up leaves all as it is
	$holder = session();
	$heirs[0] = session();
	$holder->query_safe(q{SELECT wf_attach('wanted', takeover => true)});
	freeze($holder);
	like(outcome($heirs[0], q{SET statement_timeout = '100 ms'; SELECT wf_attach('wanted', takeover => true)}),
		qr/57014/, 'takeover: obeys statement_timeout');
	# on a slow machine that takes longer, too
	until_true(sub { outcome($heirs[0], 'RESET statement_timeout') !~ /57014/ }, 'it has time again');
	is(outcome($heirs[0], 'SELECT wf_current() IS NULL'),
		't', 'takeover: and is not attached then');
	thaw($holder);
	last_words($holder);
	$_->quit foreach $heirs[0];
}

# kill -9 takes the server's memory, and the claims with it.
{
	my $holder = session();

	sql(q{SELECT wf_start('killed')});
	$holder->query_safe(q{SELECT wf_attach('killed'); SELECT step('1'); BEGIN; SELECT step('undone')});
	kill_backend($holder->{pid}, $holder);
	is(sql(q{SELECT wf_attach('killed'); SELECT step('1'); SELECT step('2')}),
		"RUNNING\nnull\nnull", 'kill: goes on');
	is(effects('killed'), '1 2', 'kill: each step once');
}

# Five steps from a client, each a transaction, ended after each commit and in
# the middle of each transaction: exactly once, whatever is lost.
foreach my $mode ('before', 'after')
{
	sql("SELECT wf_start('five $mode')");
	foreach my $point (1 .. 5)
	{
		my $client = session();

		$client->query_safe("SELECT wf_attach('five $mode', takeover => true)");
		foreach my $step (1 .. $point)
		{
			$client->query_safe("BEGIN; SELECT step('$step'); INSERT INTO effect SELECT 'five $mode', 'x' WHERE false");
			$client->query_safe('COMMIT') if $step < $point || $mode eq 'after';
		}
		terminate($client);
		last_words($client);
	}
	is(sql(join(';', "SELECT wf_attach('five $mode', true)",
				(map { "SELECT step('$_')" } 1 .. 5), 'SELECT wf_complete()')) =~ tr/\n//,
		6, "five steps, ended $mode each commit: completed");
	is(effects("five $mode"), '1 2 3 4 5', "five steps, ended $mode each commit: once");
}

# The deadlines of CALLed waits survive a crash of the server.
{
	my @sleepers;
	my %calls = (
		recv => q{CALL wf_recv('t', '1 hour', NULL, NULL)},
		sleep => q{CALL wf_sleep('2 hours', NULL)},
		event => q{CALL wf_get_event('dl none', 'k', '3 hours', NULL)},
		result => q{CALL wf_result('dl recv', '4 hours', NULL, NULL, NULL)},
		any => q{CALL wf_recv_any('{t,u}', '5 hours', NULL, NULL, NULL)},
		wait => q{CALL wf_wait_for_event('e', '6 hours', NULL, NULL, NULL)});
	my $recorded = q{SELECT string_agg(workflow_id || ' ' || step_no || ' ' || deadline::text, ',' ORDER BY workflow_id)
		FROM durable_wf.step WHERE workflow_id LIKE 'dl %' AND completed_at IS NULL};
	my $waiting = q{SELECT string_agg(DISTINCT deadline::text, ',' ORDER BY deadline::text) FROM wf_waiters};
	my ($before, $deadlines);

	foreach my $name (sort keys %calls)
	{
		my $session = session();

		sql("SELECT wf_start('dl $name')");
		$session->query_safe("SELECT wf_attach('dl $name'); SELECT step('1')");
		push @sleepers, start($session, $calls{$name});
	}
	asleep(@sleepers);
	$before = sql($recorded);
	$deadlines = sql($waiting);
	is($before =~ tr/,//, 5, 'deadlines: all are recorded');
	$node->stop('immediate');
	last_words(@sleepers);
	$node->start;
	is(sql($recorded), $before, 'deadlines: also after the crash');
	@sleepers = ();
	foreach my $name (sort keys %calls)
	{
		my $session = session();

		$session->query_safe("SELECT wf_attach('dl $name'); SELECT step('1')");
		push @sleepers, start($session, $calls{$name});
	}
	asleep(@sleepers);
	is(sql($waiting), $deadlines, 'deadlines: they wait for what is left');
	sql(q{UPDATE durable_wf.step SET deadline = '2001-02-03' WHERE workflow_id = 'dl sleep' AND completed_at IS NULL});
	terminate($_) foreach @sleepers;
	last_words(@sleepers);
	is(sql(q{SET timezone = 'UTC'; SELECT wf_attach('dl sleep', true); SELECT step('1'); CALL wf_sleep('2 hours', NULL)}),
		"RUNNING\nnull\n2001-02-03 00:00:00+00", 'deadlines: what is over is over');
	sql(q{SELECT wf_send('dl recv', '"late"', 't')});
	is(sql(q{SELECT wf_attach('dl recv', true); SELECT step('1'); CALL wf_recv('t', '1 hour', NULL, NULL)}),
		qq{RUNNING\nnull\n"late"}, 'deadlines: before it a message is received');
}

# A session that waits for work is woken by all that makes some, and by nothing
# else.
sub woken
{
	my ($name, $statement) = @_;
	my $waiter = waiter(q{SELECT wf_attach_next('wake', NULL)});
	my $got;

	ref $statement ? $statement->() : sql($statement);
	$got = outcome($waiter);
	is(outcome($waiter, 'SELECT wf_current()'), $got, "wake: by $name");
	$waiter->query_safe('SELECT wf_complete()');
	$waiter->quit;
	return $got;
}

# How many wakes of sessions that wait for work were for nothing.
sub spurious
{
	return sql(q{SELECT spurious_wakes FROM wf_stat WHERE door = 'queue'});
}

{
	my ($holder, $waiter, $call, $before);

	woken('a start', q{SELECT wf_start('wake 1', queue => 'wake')});
	woken('the release of a savepoint', q{BEGIN; SAVEPOINT s; SELECT wf_start('wake 2', queue => 'wake'); RELEASE s; COMMIT});
	woken('a delayed start', q{SELECT wf_start('wake 3', queue => 'wake', start_after => '200 ms')});
	woken('COMMIT PREPARED', q{BEGIN; SELECT wf_start('wake 4', queue => 'wake'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'});
	sql(q{SELECT wf_start('wake 5', queue => 'wake')});
	sql(q{SELECT wf_cancel('wake 5')});
	woken('wf_retry', q{SELECT wf_retry('wake 5')});

	foreach my $end ('SELECT wf_detach()', 'DISCARD ALL', 'ROLLBACK', q{SELECT wf_continue_as_new('2')}, 'terminate', 'quit')
	{
		$holder = session();
		$node->safe_psql('postgres', q{SELECT wf_start('wake ' || :'end', queue => 'wake')},
			extra_params => [ '-v', "end=$end" ]);
		$holder->query_safe($end eq 'ROLLBACK' ? q{BEGIN; SELECT wf_attach_next('wake')} : q{SELECT wf_attach_next('wake')});
		is(woken($end, sub {
				if ($end eq 'terminate') { terminate($holder); last_words($holder) }
				elsif ($end eq 'quit') { $holder->quit }
				else { $holder->query_safe($end); $holder->quit }
			}), "wake $end", "wake: $end: with what it had");
	}

	# no waiter is woken by a rollback, another queue, a start without a queue
	$waiter = waiter(q{SELECT wf_attach_next('wake', NULL)});
	$call = waiter(q{CALL wf_attach_next('wake', NULL, NULL)});
	$before = spurious();
	sql($_) foreach q{BEGIN; SELECT wf_start('no 1', queue => 'wake'); ROLLBACK},
	  q{BEGIN; SAVEPOINT s; SELECT wf_start('no 1', queue => 'wake'); ROLLBACK TO s; COMMIT},
	  q{SELECT wf_start('no 2', queue => 'other')}, q{SELECT wf_start('no 3')},
	  q{BEGIN; SELECT wf_start('no 4', queue => 'wake'); PREPARE TRANSACTION 'p'},
	  q{ROLLBACK PREPARED 'p'};
	asleep($waiter, $call);
	is(sql(q{SELECT count(*) FROM wf_waiters WHERE door = 'queue' AND key = 'wake' AND workflow_id IS NULL}),
		2, 'wake: not by what rolls back');
	# (ROLLBACK PREPARED wakes the database: what it held is not known)
	cmp_ok(spurious() - $before, '<=', 2, 'wake: nor for nothing');

	# one start wakes one waiter, the one that has waited for longest
	$before = spurious();
	sql(q{SELECT wf_start('one 1', queue => 'wake')});
	is(outcome($waiter), 'one 1', 'wake: the first of two');
	asleep($call);
	is(spurious(), $before, 'wake: and not the other');
	sql(q{SELECT wf_start('one 2', queue => 'wake')});
	is(outcome($call), 'one 2', 'wake: CALL');
	$_->query_safe('SELECT wf_complete()') foreach $waiter, $call;

	# holds nothing while it waits: no snapshot, no xid
	start($call, q{CALL wf_attach_next('wake', NULL, NULL)});
	asleep($call);
	is(sql("SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $call->{pid}"),
		't', 'wake: CALL holds nothing');
	sql(q{SELECT wf_start('one 3', queue => 'wake')});
	is(outcome($call), 'one 3', 'wake: and gets it');
	is(outcome($call, q{SELECT wf_complete()}), '', 'wake: in a later transaction');

	# roles: a waiter that may not execute a workflow does not keep it from
	# another that may
	sql(q{CREATE ROLE alice; CREATE ROLE bob; GRANT ALL ON SCHEMA public TO alice, bob});
	foreach my $owner ('alice', 'bob')
	{
		my %pool = map { $_ => session() } 'alice', 'bob';

		foreach my $role ('alice', 'bob')
		{
			$pool{$role}->query_safe("SET ROLE $role");
			start($pool{$role}, q{SELECT wf_attach_next('roles', NULL)});
			asleep($pool{$role});
		}
		sql("SET ROLE $owner; SELECT wf_start('of $owner', queue => 'roles')");
		is(outcome($pool{$owner}), "of $owner", "roles: $owner gets what is $owner\'s");
		$pool{$owner}->query_safe('SELECT wf_complete()');
		terminate($_) foreach values %pool;
		last_words(values %pool);
	}

	# cancelled in the middle, it hands the wake on
	foreach my $round (1 .. 5)
	{
		my $first = waiter(q{SELECT wf_attach_next('wake', NULL)});
		my $second = waiter(q{SELECT wf_attach_next('wake', NULL)});

		freeze($first);
		sql("SELECT wf_start('hand on $round', queue => 'wake')");
		sql("SELECT pg_cancel_backend($first->{pid})");
		thaw($first);
		my $said = outcome($first);

		if ($said =~ /57014/)
		{
			is(outcome($second), "hand on $round", 'wake: handed on');
		}
		else
		{
			is($said, "hand on $round", 'wake: got in time');
			terminate($second);
		}
		terminate($first);
		last_words($first, $second);
		sql(qq{SELECT wf_cancel('hand on $round')});
	}
	$_->quit foreach $waiter, $call;
}

# A listener hears of what is started in a queue.
{
	my $listener = session();

	$listener->query_safe('SELECT wf_listen()');
	is(sql(q{SELECT wf_start('heard', queue => 'heard'); SELECT wf_attach_next('heard'); SELECT wf_cancel('heard')}),
		"heard\nheard\nt", 'listen: beside a listener');
	until_true(sub { ($listener->query('SELECT 1'))[0] =~ /"workflow_id": "heard", "kind": "result"/ }, 'it hears');
	$listener->quit;
}

# The timeout of a workflow: cancelled by the worker, and not where workflows do
# not run.
{
	my $holder = session();

	sql(q{SELECT wf_start('timeout', timeout => '1 day')});
	$holder->query_safe(q{SELECT wf_attach('timeout')});
	start($holder, q{SELECT wf_recv('t', NULL)});
	asleep($holder);
	sql(q{UPDATE durable_wf.workflow SET timeout_at = now() WHERE workflow_id = 'timeout';
		SELECT wf_start('wakes the clock', timeout => '1 ms')});
	like(outcome($holder), qr/WF002: workflow "timeout" was cancelled/,
		'timeout: who waits in it is told');
	like(outcome($holder, 'SELECT wf_now()'), qr/WF002/, 'timeout: and who goes on');
	is(sql(q{SELECT status, error FROM wf_workflows WHERE workflow_id = 'timeout'}), 'CANCELLED|cancelled by its timeout', 'timeout: cancelled');
	sql(q{BEGIN; SELECT wf_start('prepared', timeout => '100 ms'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'});
	is(sql(q{SELECT status FROM wf_result('prepared')}), 'CANCELLED', 'timeout: after COMMIT PREPARED');
	sql(q{SELECT wf_start('in time', timeout => '1 day')});
	sql(q{SELECT wf_start('late', timeout => '0')});
	is(sql(q{SELECT status FROM wf_result('late')}), 'CANCELLED', 'timeout: at once');
	is(sql(q{SELECT wf_status('in time')}), 'PENDING', 'timeout: not before');

	# a workflow whose row is locked is cancelled later (the worker does not look
	# before it is locked)
	my $worker = { pid => worker() };
	$holder->query_safe(q{SELECT wf_detach()});
	freeze($worker);
	$holder->query_safe(q{SELECT wf_start('held', timeout => '0'); BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'held' FOR UPDATE});
	thaw($worker);
	sql(q{SELECT wf_start('not held', timeout => '100 ms')});
	is(sql(q{SELECT status FROM wf_result('not held')}), 'CANCELLED', 'timeout: one beside a held one');
	is(sql(q{SELECT wf_status('held')}), 'PENDING', 'timeout: not the held one');
	$holder->query_safe('COMMIT');
	is(sql(q{SELECT status FROM wf_result('held')}), 'CANCELLED', 'timeout: the held one, too');
	$holder->quit;

	# paused
	set('paused', 'on');
	poll(q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND query ~ 'paused')});
	sql(q{SELECT wf_start('paused', timeout => '0')});
	sql(q{SELECT wf_start('paused 2', timeout => '0')});
	is(sql(q{SELECT status FROM wf_result('paused', '500 ms')}), 'PENDING', 'timeout: not when paused');
	$node->restart;
	is(sql(q{SELECT status FROM wf_result('paused', '500 ms')}), 'PENDING', 'timeout: nor after a restart');
	set('paused', 'off');
	is(sql(q{SELECT status FROM wf_result('paused')}), 'CANCELLED', 'timeout: but when it goes on');

	# in a copy
	sql('CREATE DATABASE copied');
	$node->command_ok([ 'sh', '-c', "pg_dump -h @{[$node->host]} -p @{[$node->port]} postgres | psql -qX -h @{[$node->host]} -p @{[$node->port]} copied >/dev/null" ], 'copy: restored');
	$node->safe_psql('copied', q{UPDATE durable_wf.workflow SET timeout_at = now() WHERE workflow_id = 'in time'});
	is($node->safe_psql('copied', q{SELECT status FROM wf_result('in time', '500 ms')}), 'PENDING', 'copy: no timeout');
	is($node->safe_psql('copied', q{SELECT count(*) FROM durable_wf.step}), sql('SELECT count(*) FROM durable_wf.step'), 'copy: the journal is there');
	is($node->safe_psql('copied', q{SELECT wf_adopt(); SELECT status FROM wf_result('in time')}) =~ s/.*\n//r, 'CANCELLED', 'copy: when adopted');
	sql('DROP DATABASE copied');
}

# Never two at a time: sessions that attach, work, detach or die.
{
	my $rounds = 40;
	my $script = $node->basedir . '/stress.sql';
	my @pgbench;

	sql(q{SELECT wf_start('stress ' || n) FROM generate_series(1, 3) n;
		INSERT INTO guard SELECT 'stress ' || n, NULL FROM generate_series(1, 3) n;
		CREATE SEQUENCE overlap;
		CREATE FUNCTION enter(id text) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			-- a session lock, free when the session is gone: nobody else is here
			IF NOT pg_try_advisory_lock(hashtext(id)) THEN
				PERFORM nextval('overlap');
			END IF;
		END$$;
		CREATE FUNCTION die_perhaps(odds float) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			IF random() < odds THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
		END$$;
		CREATE TABLE stress (workflow_id text, n int, UNIQUE (workflow_id, n));
		CREATE PROCEDURE stress(rounds int) LANGUAGE plpgsql AS $$
		DECLARE
			id text;
			n int;
		BEGIN
			FOR i IN 1 .. rounds LOOP
				id := 'stress ' || 1 + floor(random() * 3);
				BEGIN
					PERFORM wf_attach(id, takeover => random() < 0.1);
				EXCEPTION WHEN SQLSTATE 'WF007' THEN
					CONTINUE;
				END;
				COMMIT;
				PERFORM enter(id);
				PERFORM die_perhaps(0.02);
				SELECT coalesce(max(s.n), 0) INTO n FROM stress s WHERE workflow_id = id;
				PERFORM pg_sleep(random() * 0.002);
				INSERT INTO stress VALUES (id, n + 1);
				PERFORM die_perhaps(0.02);
				COMMIT;
				PERFORM die_perhaps(0.02);
				PERFORM pg_advisory_unlock_all();
				PERFORM wf_detach();
				COMMIT;
			END LOOP;
		END$$});
	append_to_file($script, "CALL stress(5);\n");
	# until enough was done: on a slow machine most attempts meet a holder
	do
	{
		foreach my $client (1 .. 8)
		{
			my $command = "for i in \$(seq $rounds); do psql -qX -h @{[$node->host]} -p @{[$node->port]} -f $script postgres; done";

			push @pgbench, IPC::Run::start([ 'sh', '-c', $command ], '>', '/dev/null', '2>', '/dev/null');
		}
		$_->finish foreach splice @pgbench;
	} until (sql('SELECT count(*) FROM stress') > 100);
	# a session that has ended itself may be on its way out
	poll(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND query LIKE 'CALL stress%'});
	is(sql('SELECT is_called FROM overlap'), 'f', 'stress: never two at a time');
	is(sql('SELECT bool_and(count = m) FROM (SELECT max(n) AS m, count(*) FROM stress GROUP BY workflow_id) s'), 't', 'stress: nothing was counted twice');
	is(sql(q{SELECT string_agg(wf_attach('stress ' || n), ' ') FROM generate_series(1, 1) n}), 'RUNNING', 'stress: no claim is left');
}

# A pool: six processes, two hundred workflows of three steps, some die in the
# middle of one.  Each effect once, and all are done.
{
	my $script = $node->basedir . '/pool.sql';
	my $offset = -s $node->logfile;
	my @pool;

	sql(q{CREATE TABLE pooled (workflow_id text, step int);
		CREATE PROCEDURE pool() LANGUAGE plpgsql AS $$
		DECLARE
			id text;
			replayed bool;
		BEGIN
			LOOP
				CALL wf_attach_next('pool', '3 s', id);
				EXIT WHEN id IS NULL;
				FOR i IN 1 .. 3 LOOP
					replayed := EXISTS (SELECT FROM pooled WHERE workflow_id = id AND step = i);
					PERFORM wf_step('step ' || i, 'INSERT INTO pooled SELECT $1->>0, ($1->>1)::int',
						jsonb_build_array(id, i));
					PERFORM die_perhaps(0.01);
					-- a claim is committed only with a step of its own: then it has brought
					-- the workflow further, wherever the process dies
					IF i < 3 AND NOT replayed THEN COMMIT; END IF;
					PERFORM die_perhaps(0.01);
				END LOOP;
				PERFORM wf_complete(to_jsonb(pg_backend_pid()));
				COMMIT;
			END LOOP;
		END$$});
	append_to_file($script, "CALL pool();\n");
	foreach my $client (1 .. 6)
	{
		# a process that died is started again; one that has ended well is not
		my $command = "until psql -qX -h @{[$node->host]} -p @{[$node->port]} -f $script postgres; do :; done";

		push @pool, IPC::Run::start([ 'sh', '-c', $command ], '>', '/dev/null', '2>', '/dev/null');
	}
	sql("SELECT wf_start('pool ' || n, queue => 'pool', start_after => n % 7 * interval '10 ms') FROM generate_series($_ * 10 + 1, $_ * 10 + 10) n")
	  foreach 0 .. 19;
	$_->finish foreach @pool;
	is(sql(q{SELECT status, count(*) FROM durable_wf.workflow WHERE queue = 'pool' GROUP BY 1}), 'SUCCESS|200', 'pool: all are done');
	is(sql(q{SELECT count(*), count(DISTINCT (workflow_id, step)) FROM pooled}), '600|600', 'pool: each effect once');
	cmp_ok(sql(q{SELECT count(DISTINCT output) FROM durable_wf.workflow WHERE queue = 'pool'}), '>=', 4, 'pool: by several');
	cmp_ok(() = slurp_file($node->logfile, $offset) =~ /FATAL:  terminating connection/g, '>', 0, 'pool: some had died');
	is(sql(q{SELECT max(attempts) FROM durable_wf.workflow WHERE queue = 'pool'}), 1, 'pool: and each had brought it further');
}

$node->stop;
done_testing();
