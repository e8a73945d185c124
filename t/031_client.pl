# A client that dies takes nothing with it: its backend leaves a wait at once,
# and checks the connection again before it commits what it has received.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start asleep waiter outcome
  until_true freeze thaw);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main',
	{ listen_addresses => '127.0.0.1', max_connections => 100 });
my $clients = 0;

# Start a psql that runs statements, by a socket or by TCP.
sub client
{
	my ($host, @statements) = @_;
	my $name = 'client ' . ++$clients;
	my $client = { name => $name, stdout => '', stderr => '' };

	$client->{run} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
			(map { ('-c', $_) } @statements),
			"host=$host port=" . $node->port
			  . " dbname=postgres application_name='$name'"
		],
		'<', \'', '>', \$client->{stdout}, '2>', \$client->{stderr});
	return $client;
}

# Let it get as far as a wait of this type, and find its backend.
sub reaches
{
	my ($client, $type) = @_;

	poll(<<"SQL");
SELECT count(*) = 1 FROM pg_stat_activity
 WHERE application_name = '$client->{name}' AND state = 'active'
   AND wait_event_type = '$type'
SQL
	$client->{pid} = sql("SELECT pid FROM pg_stat_activity WHERE application_name = '$client->{name}'");
	return $client;
}

# Start a client that sleeps in a wait of ours.
sub sleeper
{
	return reaches(client(@_), 'Extension');
}

# The process ends, as by kill -9.
sub dies
{
	my ($client) = @_;

	$client->{run}->signal('KILL');
	eval { $client->{run}->finish };
	return;
}

# Wait until its backend has ended, too.
sub gone
{
	my ($client, $name) = @_;

	poll("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $client->{pid}");
	pass("$name: its backend is gone") if $name;
	return;
}

# What is there to be received now, by all doors of workflow "w"; JSON or ''.
sub left
{
	return sql(<<'SQL') =~ s/\n\z//r;
SELECT coalesce(string_agg(message::text, ' '), '') FROM wf_recv_many('t', 100, '0', 'w')
SQL
}

sql(<<'SQL');
CREATE EXTENSION durable_wf;
SELECT wf_start('w');
SELECT wf_create_hook('token', workflow_id => 'w');
SELECT wf_start('other');
SQL

# Each way to wait: the client dies, the backend goes, and what comes then is
# for the next.
my @cases = (
	[ q{wf_recv('t', '1 day', 'w'}, 'NULL', q{wf_send('w', '1', 't')}, q{wf_recv('t', '0', 'w')} ],
	[ q{wf_recv_any('{t,u}', NULL, 'w'}, 'NULL, NULL', q{wf_send('w', '1', 'u')}, q{wf_recv('u', '0', 'w')} ],
	[ q{wf_wait_any('[{"event_id": "e"}, {"topic": "u"}]', NULL, 'w'}, 'NULL, NULL', q{wf_send('w', '1', 'u')}, q{wf_recv('u', '0', 'w')} ],
	[ q{wf_recv_many('t', 5, NULL, 'w'}, undef, q{wf_send('w', '1', 't')}, q{wf_recv('t', '0', 'w')} ],
	[ q{wf_await_hook('token', NULL}, 'NULL', q{wf_resume_hook('token', '1')}, q{wf_await_hook('token', '0')} ],
	[ q{wf_wait_for_event('e', NULL, 'w'}, 'NULL, NULL', q{wf_notify('e', '1', 'w')}, q{(wf_wait_for_event('e', '0', 'w')).event_data} ],
	[ q{wf_get_event('w', 'later', NULL}, 'NULL', 'NULL', q{wf_get_event('w', 'later', '0') IS NULL} ],
	[ q{wf_result('w', NULL}, 'NULL, NULL, NULL', 'NULL', q{wf_status('w') = 'PENDING'} ]);

foreach my $host ($node->host, '127.0.0.1')
{
	my $by = $host eq $node->host ? 'socket' : 'TCP';

	foreach my $case (@cases)
	{
		my ($call, $results, $news, $taken) = @$case;
		my ($name) = $call =~ /^(\w+)/;
		my @waits = ("SELECT * FROM $call)");

		push @waits, "CALL $call, $results)" if $results;
		foreach my $wait (@waits)
		{
			my $client = sleeper($host, $wait);
			my $what = ($wait =~ /^(\w+)/)[0] . " $name by $by";

			dies($client);
			gone($client, $what);
			sql("SELECT $news");
			like(sql("SELECT $taken"), qr/^(1|t)$/, "$what: the next one has it");
		}
	}
	foreach my $wait (q{SELECT wf_sleep('1 day')}, q{CALL wf_sleep('1 day', NULL)},
		q{CALL wf_step('s', 'SELECT 1/0', NULL, 2, '1 day', NULL)})
	{
		my $client;

		sql(q{SELECT wf_start('sleeps')});
		$client = sleeper($host, q{SELECT wf_attach('sleeps')}, $wait);
		dies($client);
		gone($client, "$wait by $by");
		is(sql(q{SELECT wf_attach('sleeps')}), 'RUNNING', "$wait by $by: and another can go on");
		sql(q{SELECT wf_cancel('sleeps'); SELECT wf_retry('sleeps'); DELETE FROM durable_wf.step});
	}
}
like(slurp_file($node->logfile), qr/FATAL:  connection to client lost/,
	'the log says why');

# It dies in the moment in which the message comes: woken by that, the backend
# leaves it, and hands the wake on.
foreach my $wait (q{SELECT wf_recv('t', NULL, 'w')}, q{CALL wf_recv('t', NULL, 'w', NULL)},
	q{BEGIN; SELECT wf_recv('t', NULL, 'w'); COMMIT})
{
	my $dead = sleeper($node->host, $wait);
	my $next = waiter(q{CALL wf_recv('t', NULL, 'w', NULL)});

	freeze($dead);
	dies($dead);
	sql(q{SELECT wf_send('w', '2', 't')});
	thaw($dead);
	gone($dead, "$wait: the moment it comes");
	is(outcome($next), '2', "$wait: the next one is woken");
	$next->quit;
}

# It dies after the take and before the commit, in a statement that goes on; and
# before a take that need not wait.
foreach my $statement (
	q{DO $$ DECLARE m jsonb; BEGIN CALL wf_recv('t', '0', 'w', m); PERFORM pg_advisory_lock(1); END $$},
	q{DO $$ DECLARE m jsonb; BEGIN CALL wf_recv('t', '0', 'w', m); PERFORM pg_advisory_lock(1); COMMIT; PERFORM wf_send('w', '4', 't'); END $$},
	q{DO $$ DECLARE m jsonb; BEGIN CALL wf_recv('t', '0', 'w', m); PERFORM pg_advisory_lock(1); CALL wf_recv('u', '1 day', 'w', m); END $$},
	q{SELECT wf_recv('t', '0', 'w'), pg_advisory_lock(1)},
	q{WITH l AS MATERIALIZED (SELECT pg_advisory_lock(1)) SELECT wf_recv('t', '0', 'w') FROM l},
	q{SELECT pg_advisory_lock(1); SELECT message FROM wf_recv_many('t', 5, '0', 'w')},
	q{BEGIN; SELECT pg_advisory_lock(1); SELECT wf_recv('t', '0', 'w'); COMMIT})
{
	my $holder = session();
	my $client;

	$holder->query_safe(q{SELECT pg_advisory_lock(1)});
	sql(q{SELECT wf_send('w', '3', 't')});
	$client = reaches(client($node->host, $statement), 'Lock');
	dies($client);
	$holder->query_safe(q{SELECT pg_advisory_unlock(1)});
	gone($client);
	is(left(), '3', "not committed: $statement");
	$holder->quit;
}

# A COMMIT that the client has sent is its last will.
{
	my $holder = session();
	my $client;

	$holder->query_safe(q{SELECT pg_advisory_lock(1)});
	sql(q{SELECT wf_send('w', '5', 't')});
	$client = reaches(
		client(
			$node->host, 'BEGIN',
			q{SELECT wf_recv('t', '0', 'w')},
			q{SELECT pg_advisory_lock(1); COMMIT}),
		'Lock');
	dies($client);
	$holder->query_safe(q{SELECT pg_advisory_unlock(1)});
	gone($client);
	is(left(), '', 'what the client has committed is taken');
	$holder->quit;
}

# Commands that it has sent ahead are no matter.
{
	my $script = $node->basedir . '/pipeline.sql';
	my ($stdout, $stderr) = ('', '');
	my $run;

	append_to_file($script, <<'SQL');
\startpipeline
SELECT wf_recv('t', NULL, 'w');
SELECT wf_send('w', '7', 'u');
\endpipeline
SQL
	$run = IPC::Run::start(
		[
			'pgbench', '-n', '-t', '1', '-M', 'extended', '-f', $script,
			'-h', $node->host, '-p', $node->port, 'postgres'
		],
		'>', \$stdout, '2>', \$stderr);
	poll(q{SELECT count(*) = 1 FROM wf_waiters WHERE key = 't'});
	sql(q{SELECT wf_send('w', '6', 't')});
	ok($run->finish, 'a pipeline goes on');
	is(sql(q{SELECT wf_recv('u', '0', 'w')}), '7', 'a pipeline: to its end');
	is(left(), '', 'a pipeline: it has taken its message');
}

# A worker with one slot at work and three that wait: it dies, and only the next
# worker takes what it had.
foreach my $host ($node->host, '127.0.0.1')
{
	my ($busy, @slots);

	sql(q{SELECT wf_start('job', queue => 'q')});
	$busy = sleeper($host, q{CALL wf_attach_next('q', NULL, NULL)}, q{CALL wf_recv('t', NULL, NULL, NULL)});
	@slots = map { sleeper($host, "$_; ") } q{CALL wf_attach_next('q', NULL, NULL)},
	  q{SELECT wf_attach_next('q', NULL)},
	  q{BEGIN; SELECT wf_attach_next('q', NULL); COMMIT};
	freeze($_) foreach @slots;
	dies($_) foreach $busy, @slots;
	gone($busy);
	thaw($_) foreach @slots;
	gone($_) foreach @slots;
	is(sql(q{SELECT attempts FROM wf_workflows WHERE workflow_id = 'job'}), 1,
		"a worker of $host dies: one attempt");
	is(sql(q{SELECT wf_attach_next('q'); SELECT attempts FROM wf_workflows WHERE workflow_id = 'job'; SELECT wf_complete()}),
		"job\n2\n", 'the next one has it');

	# slots that have nothing to do, too
	@slots = map { sleeper($host, q{CALL wf_attach_next('q', NULL, NULL)}) } 1 .. 3;
	dies($_) foreach @slots;
	gone($_) foreach @slots;
	sql(q{SELECT wf_cancel('job'); SELECT wf_start('idle', queue => 'q')});
	is(sql(q{SELECT status, attempts FROM wf_workflows WHERE workflow_id = 'idle'}),
		'PENDING|0', "idle slots of $host take nothing");
	sql(q{SELECT wf_attach_next('q'); SELECT wf_complete(); DELETE FROM durable_wf.workflow WHERE queue = 'q'});
}

# An attach that its client does not live to see counts for nothing.
{
	my $holder = session();
	my $client;

	sql(q{SELECT wf_start('unseen')});
	$holder->query_safe(q{SELECT pg_advisory_lock(1)});
	$client = reaches(client($node->host, q{SELECT wf_attach('unseen'), pg_advisory_lock(1)}), 'Lock');
	dies($client);
	$holder->query_safe(q{SELECT pg_advisory_unlock(1)});
	gone($client);
	is(sql(q{SELECT status, attempts FROM wf_workflows WHERE workflow_id = 'unseen'}),
		'PENDING|0', 'an attach that nobody has seen');
	$holder->quit;
}

# Keepalives: as the settings say, but while the session is attached or waits
# for a workflow.
sub keepalives
{
	my ($host, @statements) = @_;
	my $client = client($host, @statements,
		"SELECT current_setting('tcp_keepalives_idle') || ' ' || current_setting('tcp_keepalives_interval') || ' ' || current_setting('tcp_keepalives_count')");

	$client->{run}->finish or die $client->{stderr};
	return (split /\n/, $client->{stdout})[-1];
}

{
	my $attach = q{SELECT wf_attach('unseen')};
	my @set = map { "SET tcp_keepalives_$_" } 'idle = 100', 'interval = 50', 'count = 4';
	my @less = map { "SET tcp_keepalives_$_" } 'idle = 20', 'interval = 5', 'count = 2';

	is(keepalives('127.0.0.1', @set), '100 50 4', 'keepalives: as set');
	is(keepalives('127.0.0.1', @set, $attach), '30 10 3', 'keepalives: attached');
	is(keepalives('127.0.0.1', @set, q{SET durable_wf.attach_keepalive = '6 s'}, $attach),
		'3 1 3', 'keepalives: shorter');
	is(keepalives('127.0.0.1', @set, 'SET durable_wf.attach_keepalive = 0', $attach),
		'100 50 4', 'keepalives: off');
	is(keepalives('127.0.0.1', @less, $attach), '20 5 2', 'keepalives: sooner anyhow');
	is(keepalives('127.0.0.1', @set, $attach, $_), '100 50 4', "keepalives: $_")
	  foreach 'SELECT wf_detach()', q{SELECT wf_continue_as_new('1')};
	is(keepalives('127.0.0.1', @set, "BEGIN; $attach; ROLLBACK"),
		'100 50 4', 'keepalives: rolled back');
	is(keepalives('127.0.0.1', @set, q{CALL wf_attach_next('none', '1 ms', NULL)}),
		'100 50 4', 'keepalives: after a wait for nothing');
	is(keepalives($node->host, $attach), '0 0 0', 'keepalives: not by a socket');
	is(keepalives('127.0.0.1', @set, $attach, 'RESET ALL'),
		keepalives('127.0.0.1'), 'keepalives: RESET ALL');
}

# Also while it waits for a workflow: the kernel shows when the timer is due, in
# hundredths of a second.
{
	my $client = sleeper('127.0.0.1', q{CALL wf_attach_next('none', NULL, NULL)});
	my $port = sql("SELECT client_port FROM pg_stat_activity WHERE pid = $client->{pid}");
	my $ports = sprintf '0100007F:%04X 0100007F:%04X', $node->port, $port;
	my ($left) = slurp_file('/proc/net/tcp') =~ /$ports \w+ \w+:\w+ 02:(\w+)/;

	cmp_ok(hex($left // 'FFFFFFFF'), '<=', 3100, 'keepalives: while it waits');
	dies($client);
	gone($client);
}

is(sql(q{SELECT count(*) FROM wf_waiters}), 0, 'nobody is left');
$node->stop;
done_testing();
