# Workflows of clients that are suspended while they wait: by every door; a
# thousand over two connections; through deaths of clients, of the server's
# processes and of the server; in copies, two-phase commits and old databases.
# Also which deaths count as attempts, and what the log says of bodies.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql sql_in poll until_true session start asleep
  outcome last_words switches at_rest kill_backend waits_for_lock worker result suspended);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 20, restart_after_crash => 'on', max_prepared_transactions => 5,
	log_error_verbosity => 'default', 'durable_wf.suspend_after' => '20ms',
	'durable_wf.executor_idle_timeout' => '1h' });

# What a client runs as its workflow: a procedure, since psql cannot unwind and
# go on.  An error of its own is told from WF010 by what the session prints.
sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE ROLE plain;
GRANT ALL ON SCHEMA public TO plain;
GRANT ALL ON effect, effect_n_seq TO plain;
CREATE PROCEDURE recv_once() LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    IF wf_current() IS NULL THEN RETURN; END IF;
    CALL wf_recv('t', NULL, NULL, got);
    PERFORM wf_step('effect', 'INSERT INTO effect (what) VALUES ($1 #>> ''{}'')', got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE pong() LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    IF wf_current() IS NULL THEN RETURN; END IF;
    FOR i IN 1 .. 20 LOOP
        CALL wf_recv('ping', NULL, NULL, got);
        PERFORM wf_send('client', got, wf_current());
    END LOOP;
    PERFORM wf_complete();
END $$;
SQL

# A session that works on a queue, and suspends at once.
sub client
{
	my $session = session(@_);

	$session->query_safe(q{SET durable_wf.client_suspend_after = 0});
	return $session;
}

# Let a session take the next workflow of a queue, and run a procedure as that;
# returns what the procedure has raised, or nothing.
sub work
{
	my ($session, $queue, $procedure) = @_;

	outcome($session, "CALL wf_attach_next('$queue', '60 s', NULL)") =~ /^[\w -]+$/m
	  or die 'there is no work';
	return outcome($session, "CALL $procedure()") =~ /ERROR:  (\w+)/ ? $1 : '';
}

# A client of its own, which takes workflows of a queue until it is ended.
sub worker_client
{
	my ($queue, $procedure, $after) = @_;
	my $script = $node->basedir . "/$procedure-$queue.sql";
	my $pair = "CALL wf_attach_next('$queue', '60 s', NULL);\nCALL $procedure();\n";

	open my $file, '>', $script or die $!;
	print $file "SET durable_wf.client_suspend_after = $after;\n", $pair x 5000;
	close $file;
	return IPC::Run::start(
		[ 'psql', '-qX', '-h', $node->host, '-p', $node->port, '-f', $script, 'postgres' ],
		'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
}

# --------------------------------------------------------------- every door

# Each step of this waits for something else; the journal replays the others.
sql(<<'SQL');
SELECT wf_start('other'), wf_start('doors', queue => 'doors');
SELECT token AS manual FROM wf_create_webhook('"manual"', workflow_id => 'other') \gset
SELECT wf_resume_webhook(:'manual', '{}')->>'request_id' AS request \gset
CREATE TABLE manual AS SELECT :'manual' AS token, :request::bigint AS request;
CREATE TABLE tries (n int);
SELECT wf_create_hook('hook', workflow_id => 'doors');
CREATE PROCEDURE doors() LANGUAGE plpgsql AS $$
DECLARE
    got jsonb; topic text; timed_out boolean; status text; error text; woke_at timestamptz; source int;
    items jsonb; last_item bigint; ended boolean; all_of_it jsonb := '[]'; held manual;
BEGIN
    SELECT * FROM manual INTO held;
    CALL wf_recv('t', NULL, NULL, got);                     all_of_it := all_of_it || got;
    CALL wf_recv(NULL, NULL, NULL, got);                    all_of_it := all_of_it || got;
    CALL wf_recv_any('{a,b}', NULL, NULL, topic, got);      all_of_it := all_of_it || to_jsonb(topic) || got;
    CALL wf_get_event('other', 'k', NULL, got);             all_of_it := all_of_it || got;
    CALL wf_wait_for_event('e', NULL, NULL, got, timed_out); all_of_it := all_of_it || got;
    CALL wf_wait_for_event('e', NULL, NULL, got, timed_out); all_of_it := all_of_it || got;
    CALL wf_await_hook('hook', NULL, got);                  all_of_it := all_of_it || got;
    CALL wf_read_stream('other', 's', 0, 10, NULL, items, last_item, ended); all_of_it := all_of_it || to_jsonb(last_item);
    CALL wf_wait_any('[{"topic": "x"}, {"topic": "y"}]', NULL, NULL, source, got); all_of_it := all_of_it || to_jsonb(source) || got;
    CALL wf_await_response(held.token, held.request, NULL, got); all_of_it := all_of_it || (got->'status');
    CALL wf_result('other', NULL, status, got, error);      all_of_it := all_of_it || to_jsonb(status) || got;
    CALL wf_recv('never', '100 ms', NULL, got);             all_of_it := all_of_it || to_jsonb(got IS NULL);
    CALL wf_step('again', 'SELECT 1 / (SELECT count(*) FROM tries)', NULL, 9, '100 ms', got); all_of_it := all_of_it || got;
    CALL wf_sleep('100 ms', woke_at);
    PERFORM wf_complete(all_of_it);
END $$;
SQL
{
	my $client = client();
	my $offset = -s $node->logfile;

	foreach my $news (
		q{wf_send('doors', '1', 't')},
		q{wf_send('doors', '2')},
		q{wf_send('doors', '3', 'b')},
		q{wf_set_event('k', '4', 'other')},
		q{wf_notify('e', '5')},
		q{wf_notify('e', '6', 'doors')},
		q{wf_resume_hook('hook', '7')},
		q{wf_write_stream('s', '8', 'other')},
		q{wf_send('doors', '9', 'y')},
		q{wf_respond((SELECT request FROM manual), 201)},
		q{wf_complete('10', 'other')})
	{
		is(work($client, 'doors', 'doors'), 'WF010', "doors: suspended until $news");
		is(outcome($client, q{SELECT coalesce(wf_current(), 'detached')}) . '|' .
			  sql(q{SELECT status, attempts, (SELECT bool_and(suspended AND pid IS NULL) FROM wf_waiters) FROM wf_workflows WHERE workflow_id = 'doors'}),
			'detached|WAITING|0|t', '... the session is free, and the workflow is a row');
		sql("SELECT count(*) FROM $news");
	}
	foreach my $for ('a deadline', 'the pause of a step', 'time')
	{
		is(work($client, 'doors', 'doors'), 'WF010', "doors: suspended for $for");
		sql('INSERT INTO tries VALUES (1)') if $for =~ /step/;
	}
	is(work($client, 'doors', 'doors'), '', 'doors: nothing more');
	is(result('doors'), 'SUCCESS|[1, 2, "b", 3, 4, 5, 6, 7, 1, 2, 9, 201, "SUCCESS", 10, true, 1]|',
		'doors: all of them');
	unlike(slurp_file($node->logfile, $offset), qr/ERROR:  workflow "doors" is suspended/,
		'doors: the log has no error of that');
	$client->quit;
}

# ------------------------------------------------ what waits with its session

{
	my $client = client();

	sql(q{SELECT wf_start('keeps', queue => 'keeps')});
	outcome($client, q{SELECT wf_attach_next('keeps')});
	like(outcome($client, q{BEGIN; CALL wf_recv('t', '50 ms', NULL, NULL); COMMIT}), qr/NOTICE:/, 'in a transaction block: a notice');
	unlike(outcome($client, q{SELECT wf_recv('t', '50 ms')}), qr/ERROR/, 'a function');
	unlike(outcome($client, q{DO $$DECLARE got jsonb; BEGIN BEGIN CALL wf_recv('t', '50 ms', NULL, got); EXCEPTION WHEN division_by_zero THEN END; END$$}),
		qr/ERROR/, 'an EXCEPTION block');
	outcome($client, q{SELECT wf_begin_step('open')});
	unlike(outcome($client, q{CALL wf_recv('t', '50 ms', NULL, NULL)}), qr/ERROR/, 'while a step is open');
	outcome($client, q{SELECT wf_save_step('open', '1')});
	is(outcome($client, 'SELECT wf_current()'), 'keeps', '... it is attached still');
	like(outcome($client, q{CALL wf_recv('t', '1 day', NULL, NULL)}), qr/WF010: .*\nDETAIL: .*\nHINT:  Unwind/, 'and without it is suspended');
	outcome($client, q{SELECT wf_attach('keeps')});
	is(sql(q{SELECT count(*) FROM wf_waiters}), 0, 'by name: what it waited for is forgotten');
	outcome($client, q{SELECT wf_begin_step('open')});
	$client->quit;
	poll(q{SELECT count(*) = 0 FROM wf_executions});

	$client = client();
	sql(q{SELECT wf_start('named', queue => 'named')});
	outcome($client, q{SELECT wf_attach('named')});
	unlike(outcome($client, q{CALL wf_recv('t', '50 ms', NULL, NULL)}), qr/ERROR/, 'attached by name');
	outcome($client, q{SELECT wf_detach(); RESET durable_wf.client_suspend_after; SELECT wf_attach_next('named')});
	unlike(outcome($client, q{CALL wf_recv('t', '50 ms', NULL, NULL)}), qr/ERROR/, 'by default');
	outcome($client, q{SELECT wf_complete()});
	$client->quit;
}

# An ordinary role does all of this.
{
	my $client = client();

	sql(q{SET ROLE plain; SELECT wf_start('of plain', queue => 'of plain')});
	outcome($client, q{SET ROLE plain});
	is(work($client, 'of plain', 'recv_once'), 'WF010', 'ordinary role: suspended');
	sql(q{SET ROLE plain; SELECT wf_send('of plain', '"hi"', 't')});
	is(work($client, 'of plain', 'recv_once'), '', 'ordinary role: goes on');
	is(result('of plain'), 'SUCCESS|"hi"|', 'ordinary role: to its end');
	$client->quit;
}

# ------------------------------------------------------------ many, by a few

# None is lost between the hot wait and the suspension, and none comes twice.
foreach my $after (0, 1)
{
	my @clients = map { worker_client("pong $after", 'pong', $after) } 1 .. 3;

	sql(q{SELECT wf_start('client')});
	sql("SELECT count(wf_start('pong $after ' || i, queue => 'pong $after')) FROM generate_series(1, 10) i");
	is(sql(<<"SQL"), 10, "ping-pong: none is lost, suspended after $after ms");
DO \$\$
DECLARE got jsonb;
BEGIN
    FOR round IN 1 .. 20 LOOP
        FOR i IN 1 .. 10 LOOP
            PERFORM wf_send('pong $after ' || i, to_jsonb(round), 'ping');
        END LOOP;
        COMMIT;
        FOR i IN 1 .. 10 LOOP
            CALL wf_recv('pong $after ' || i, '60 s', 'client', got);
            IF got IS DISTINCT FROM to_jsonb(round) THEN
                RAISE EXCEPTION 'lost in round % by %: %', round, i, got;
            END IF;
        END LOOP;
    END LOOP;
END \$\$;
SELECT sum((r.status = 'SUCCESS')::int) FROM wf_workflows w, LATERAL wf_result(w.workflow_id) r
 WHERE w.queue = 'pong $after';
SQL
	is(sql(q{SELECT count(*) FROM durable_wf.message WHERE workflow_id ~ '^(pong|client)'}), 0, '... nor comes twice');
	$_->kill_kill foreach @clients;
}

# A thousand that wait, two connections, and nothing runs.
{
	my @clients = map { worker_client('many', 'recv_once', 0) } 1, 2;

	sql(q{SELECT count(wf_start('many ' || n, queue => 'many')) FROM generate_series(1, 1000) n});
	poll(q{SELECT count(*) = 1000 FROM wf_workflows WHERE queue = 'many' AND status = 'WAITING'});
	poll(q{SELECT count(*) = 2 FROM wf_waiters WHERE door = 'queue' AND key = 'many'});
	is(sql(q{SELECT count(*), count(DISTINCT workflow_id) FROM durable_wf.wait}), '1000|1000', 'many: each costs a row');
	is(sql(q{SELECT count(*) FROM wf_executions}), 0, 'many: no session has one');
	my @pids = (worker(), split /\n/, sql(q{SELECT pid FROM wf_waiters WHERE door = 'queue' AND key = 'many'}));
	my @switches = at_rest(@pids);
	sleep 2;
	# (the server wakes a session once, to tell its statistics)
	is(switches($pids[0]), $switches[0], 'many: the worker does not run while they wait');
	cmp_ok(switches($pids[$_]) - $switches[$_], '<=', 1, 'many: nor do the clients') foreach 1, 2;
	sql(q{SELECT count(wf_send_many(ids, values, 't')) FROM (SELECT array_agg('many ' || n) AS ids, array_agg(to_jsonb(n)) AS values FROM generate_series(1, 1000) n) s});
	poll(q{SELECT count(*) = 1000 FROM wf_workflows WHERE queue = 'many' AND status = 'SUCCESS'});
	is(sql(q{SELECT count(*) FROM wf_workflows WHERE queue = 'many' AND workflow_id = 'many ' || (output #>> '{}')}), 1000, 'many: each has its own');
	is(sql(q{SELECT count(*), count(DISTINCT what) FROM effect WHERE workflow_id LIKE 'many %'}), '1000|1000', 'many: each effect once');
	is(sql(q{SELECT count(*) FROM durable_wf.wait}), 0, 'many: no row is left');
	$_->kill_kill foreach @clients;
}

# ------------------------------------------------------------------- deaths

# How often a workflow was tried, as the next session of its queue sees it.
sub attempt
{
	my ($queue) = @_;

	return sql(qq{SELECT workflow_id || ' ' || attempt FROM wf_attach_any('{$queue}', '60 s'); SELECT wf_detach()}) =~ s/\n.*//sr;
}

# A client that is killed, in a wait, in work that it has begun, and in a save.
{
	my %in = (
		'a wait' => q{CALL wf_recv('t', '1 day', NULL, NULL)},
		'its work' => q{SELECT done FROM wf_begin_step('work')},
		'a save' => q{SELECT wf_begin_step('work'); BEGIN; SELECT wf_save_step('work', '1')});

	foreach my $where (sort keys %in)
	{
		my $id = "killed in $where";

		sql("SELECT wf_start('$id', queue => '$id')");
		foreach my $n (1, 2)
		{
			my $client = session();

			$client->query_safe(q{SET durable_wf.client_suspend_after = '1 h'});
			is(outcome($client, qq{SELECT attempt FROM wf_attach_any('{$id}')}), $n, "KILL in $where: attempt $n");
			start($client, $in{$where});
			poll("SELECT count(*) = 1 FROM wf_executions WHERE workflow_id = '$id' AND step_no = 1");
			asleep($client) if $where eq 'a wait';
			$client->{run}->signal('KILL');
			last_words($client);
			poll("SELECT count(*) = 0 FROM wf_executions WHERE workflow_id = '$id'");
			# the first to get as far as a wait has brought it forward
			last if $where eq 'a wait';
		}
		is(attempt($id), $where eq 'a wait' ? "$id 1" : "$id 3", "KILL in $where: and the next");
		is(sql("SELECT count(*) FROM wf_list_steps('$id') WHERE completed_at IS NOT NULL"), 0, '... has all to do');
		sql("SELECT wf_cancel('$id')");
	}
}

# The end of a workflow that takes its clients along; a bad deploy and its
# repair.
{
	set('max_attempts', 2);
	poll(q{SELECT current_setting('durable_wf.max_attempts') = '2'});
	sql("SELECT wf_start('$_', queue => 'poison')") foreach 'poison', 'healthy';
	foreach (1, 2)
	{
		my $client = session();

		like(outcome($client, q{SELECT wf_attach_next('poison')}), qr/^poison/, 'poison: it is the first');
		$client->{run}->signal('KILL');
		last_words($client);
		poll(q{SELECT count(*) = 0 FROM wf_executions});
	}
	like(attempt('poison'), qr/^healthy 1/, 'poison: then others have their turn');
	is(sql(q{SELECT status, error FROM wf_workflows WHERE workflow_id = 'poison'}),
		'ERROR|sessions that executed the workflow have died 2 times in a row', 'poison: and it has ended');
	sql(q{SELECT wf_cancel('healthy'), wf_retry('poison')});
	is(attempt('poison'), 'poison 1', 'poison: repaired, it goes on');
	sql(q{SELECT wf_cancel('poison')});
	set('max_attempts', undef);
}

# A process of the server that crashes counts against what it had, and against
# no other; a restart, at once or not, and a termination count against none.
{
	my @clients;

	sql("SELECT wf_start('had $_', queue => 'had $_')") foreach 1 .. 3;
	foreach my $n (1 .. 3)
	{
		push @clients, session();
		outcome($clients[-1], "SELECT wf_attach_next('had $n'); SELECT wf_begin_step('work')");
	}
	# (a client that left before the server ends it would count)
	kill 'KILL', $clients[1]{pid} or die "kill: $!";
	until_true(sub { !grep { -d "/proc/$_->{pid}" } @clients }, 'all processes are gone');
	last_words(@clients);
	poll('SELECT true');
	is(join(', ', map { attempt("had $_") } 1 .. 3), 'had 1 1, had 2 2, had 3 1', 'a crash counts against what had the process');
	foreach my $mode ('immediate', 'fast')
	{
		my $client = session();

		outcome($client, q{SELECT wf_attach_next('had 1')});
		$node->stop($mode);
		last_words($client);
		$node->start;
		is(attempt('had 1'), 'had 1 1', "a restart, $mode, does not");
	}
	my $client = session();
	outcome($client, q{SELECT wf_attach_next('had 1')});
	sql("SELECT pg_terminate_backend($client->{pid}, 60000)");
	last_words($client);
	is(attempt('had 1'), 'had 1 1', 'nor does pg_terminate_backend');
	sql("SELECT wf_cancel('had $_')") foreach 1 .. 3;
}

# Suspended through a crash, a restart, and the death of our worker.
foreach my $how ('KILL', 'immediate', 'fast', 'worker')
{
	my $client = client();

	sql("SELECT wf_start('through $how', queue => 'through')");
	is(work($client, 'through', 'recv_once'), 'WF010', "$how: suspended");
	if ($how eq 'KILL')
	{
		kill_backend($client->{pid}, $client);
	}
	elsif ($how eq 'worker')
	{
		sql("SELECT pg_terminate_backend(${\ worker()})");
		$client->quit;
	}
	else
	{
		$node->stop($how);
		last_words($client);
		$node->start;
	}
	sql("SELECT wf_send('through $how', '1', 't')");
	$client = client();
	is(work($client, 'through', 'recv_once'), '', "$how: it goes on");
	is(sql("SELECT status, attempts FROM wf_workflows WHERE workflow_id = 'through $how'"), 'SUCCESS|1', "$how: to its end");
	$client->quit;
}

# A pool that cleans its session, while a step is open.
foreach my $clean ('DISCARD ALL', 'RESET ALL')
{
	my $client = client();

	sql("SELECT wf_start('clean $clean', queue => 'clean')");
	outcome($client, q{SELECT wf_attach_next('clean'); SELECT wf_begin_step('work')});
	outcome($client, $clean);
	is(attempt('clean'), "clean $clean 2", "$clean counts as the end of the client");
	like(outcome($client, q{SELECT wf_save_step('work', '1')}), qr/WF008/, '... whose step is gone');
	outcome($client, q{SET durable_wf.client_suspend_after = 0});
	is(work($client, 'clean', 'recv_once'), 'WF010', 'the session is as good as new');
	outcome($client, $clean);
	is(sql("SELECT wf_status('clean $clean')"), 'WAITING', "$clean after a suspension changes nothing");
	sql("SELECT wf_cancel('clean $clean')");
	$client->quit;
}

# ------------------------------------------------- two-phase, copies, upgrade

{
	my $client = client();
	my $other = session();

	sql(q{SELECT wf_start('two-phase', queue => 'two-phase')});
	is(work($client, 'two-phase', 'recv_once'), 'WF010', 'two-phase: suspended');
	$other->query_safe($_) foreach 'BEGIN', q{SELECT wf_send('two-phase', '1', 't')}, q{PREPARE TRANSACTION 'p'};
	start($client, q{CALL wf_attach_next('two-phase', '60 s', NULL)});
	asleep($client);
	sql(q{COMMIT PREPARED 'p'});
	is(outcome($client), 'two-phase', 'two-phase: COMMIT PREPARED by another session resumes it');
	is(outcome($client, 'CALL recv_once()'), '', 'two-phase: it goes on');

	# what was taken by a transaction that is rolled back
	sql(q{SELECT wf_start('taken', queue => 'taken'); SELECT wf_send('taken', '2', 't')});
	$other->query_safe($_) foreach 'BEGIN', q{SELECT wf_recv('t', '0', 'taken')}, q{PREPARE TRANSACTION 'p'};
	is(work($client, 'taken', 'recv_once'), 'WF010', 'two-phase: suspended beside one that has the message');
	sql(q{ROLLBACK PREPARED 'p'});
	work($client, 'taken', 'recv_once') until sql(q{SELECT wf_status('taken')}) eq 'SUCCESS';
	is(result('taken'), 'SUCCESS|2|', 'two-phase: ROLLBACK PREPARED resumes it');
	$_->quit foreach $client, $other;
}

# A dump has those that are suspended; the copy goes on after wf_adopt().
{
	my $client = client();
	my $dump = $node->basedir . '/suspended.sql';

	sql(q{SELECT wf_start('dumped', queue => 'dumped')});
	is(work($client, 'dumped', 'recv_once'), 'WF010', 'dump: suspended');
	$client->quit;
	$node->run_log([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ]);
	sql('CREATE DATABASE copy');
	$node->run_log([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ]);
	is(sql_in('copy', q{SELECT wf_status('dumped'), durable_wf.is_copy()}), 'WAITING|t', 'dump: it waits in the copy, too');
	sql_in('copy', q{SELECT wf_send('dumped', '"copy"', 't')});
	sql_in('copy', q{SELECT wf_adopt()});
	$client = client($node, 'copy');
	is(work($client, 'dumped', 'recv_once'), '', 'dump: adopted, it goes on');
	is(sql_in('copy', q{SELECT status, output FROM wf_workflows WHERE workflow_id = 'dumped'}), 'SUCCESS|"copy"', 'dump: to its end');
	is(sql(q{SELECT wf_status('dumped')}), 'WAITING', 'dump: the other one waits on');
	$client->quit;
}

# A database that has the objects of 0.3.0 still, and is updated meanwhile.
{
	sql('CREATE DATABASE old');
	sql_in('old', q{CREATE EXTENSION durable_wf VERSION '0.3.0'; CREATE TABLE effect (what text)});
	sql_in('old', sql(q{SELECT pg_get_functiondef('recv_once'::regproc)}));
	sql_in('old', "SELECT wf_start('old $_', queue => 'old')") foreach 1 .. 3;
	my $client = client($node, 'old');
	foreach my $n (1, 2)
	{
		is(work($client, 'old', 'recv_once'), 'WF010', "0.3.0: suspended, $n");
	}
	outcome($client, q{SELECT wf_attach_next('old'); SELECT wf_detach(); SELECT wf_attach_next('old'); SELECT wf_detach()});
	sql_in('old', q{SELECT wf_send('old 1', '1', 't')});
	is(work($client, 'old', 'recv_once'), 'WF010', '0.3.0: another is due before');
	is(work($client, 'old', 'recv_once'), '', '0.3.0: it goes on');
	is(sql_in('old', q{SELECT wf_status('old 1')}), 'SUCCESS', '0.3.0: to its end');
	$client->quit;
	sql_in('old', q{ALTER EXTENSION durable_wf UPDATE});
	$client = client($node, 'old');
	foreach my $n (2, 3)
	{
		sql_in('old', "SELECT wf_send('old $n', '$n', 't')");
		is(work($client, 'old', 'recv_once'), '', "updated: it goes on, $n");
		is(sql_in('old', "SELECT status, output FROM wf_workflows WHERE workflow_id = 'old $n'"), "SUCCESS|$n", "updated: to its end, $n");
	}
	$client->quit;
}

# ---------------------------------------------------------------- and bodies

# A cancel that commits while the suspension of a body is being written leaves
# its executor as it was.
{
	my $holder = session();
	my $offset = -s $node->logfile;

	sql(q{CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$DECLARE got jsonb; BEGIN
		CALL wf_step('s', 'SELECT pg_advisory_xact_lock_shared(42)', NULL, 1, '1 s', got);
		CALL wf_recv('t', NULL, NULL, got); PERFORM wf_complete(got); END$$});
	$holder->query_safe(q{SELECT pg_advisory_lock(42)});
	sql(q{SELECT wf_start('cancelled', 'waits')});
	waits_for_lock(q{backend_type = 'durable_wf executor' AND wait_event = 'advisory'});
	my $executor = sql(q{SELECT pid FROM wf_executions WHERE workflow_id = 'cancelled'});
	$holder->query_safe(q{BEGIN; SELECT wf_cancel('cancelled')});
	$holder->query_safe(q{SELECT pg_advisory_unlock(42)});
	waits_for_lock(q{backend_type = 'durable_wf executor' AND wait_event = 'transactionid'});
	$holder->query_safe('COMMIT');
	is(result('cancelled'), 'CANCELLED||', 'a body cancelled while its suspension is written');
	poll(q{SELECT count(*) = 0 FROM wf_executions});
	sql(q{SELECT wf_start('after it', 'waits'); SELECT wf_send('after it', '1', 't')});
	is(result('after it'), 'SUCCESS|1|', '... and the next one');
	is(sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $executor"), 1, '... in the same process');
	unlike(slurp_file($node->logfile, $offset), qr/aborted|TRAP|WARNING/, '... which says nothing of that');
	$holder->quit;
}

# Each message that a body causes names its workflow, and so does the activity
# of its executor; the error of the workflow's row does not.
{
	my $offset = -s $node->logfile;
	my $id = q{says "it" */ 'so' -- ok};

	sql(q{CREATE PROCEDURE says(input jsonb) LANGUAGE plpgsql AS $$DECLARE got jsonb; BEGIN
		RAISE LOG 'of the body';
		PERFORM wf_step('s', 'DO ''BEGIN RAISE WARNING $q$of the step$q$; END''');
		CALL wf_step('activity', 'SELECT to_jsonb(query) FROM pg_stat_activity WHERE pid = pg_backend_pid()', NULL, 1, '1 s', got);
		PERFORM wf_set_event('activity', got);
		COMMIT;
		RAISE 'the error'; END$$});
	sql("SELECT wf_start(\$id\$$id\$id\$, 'says')");
	is(result($id =~ s/'/''/gr), 'ERROR||the error', 'says: the body has run');
	my $log = slurp_file($node->logfile, $offset);
	foreach my $message ('LOG:  of the body', 'WARNING:  of the step', 'ERROR:  the error')
	{
		like($log, qr/\Q$message\E\n[^\n]*CONTEXT:  (?:(?!\n\d{4}-).)*workflow "\Q$id\E"/s, "says: $message");
	}
	is(sql("SELECT wf_get_event(\$id\$$id\$id\$, 'activity') #>> '{}'"), qq{workflow "$id": CALL public.says(NULL::pg_catalog.jsonb)}, 'says: pg_stat_activity');
	is(sql("SELECT error_context FROM wf_workflows WHERE workflow_id = \$id\$$id\$id\$"), 'PL/pgSQL function says(jsonb) line 7 at RAISE', 'says: the row');
}

unlike(slurp_file($node->logfile), qr/TRAP:/, 'the server has not failed');
$node->stop;
done_testing();
