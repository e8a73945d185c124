# A wait ends when it is interrupted, in whichever way, and leaves nothing
# behind: no waiter, no lost message, no half of a transaction.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start asleep outcome last_words
  until_true);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main');

# What the system says about a session's backend; '' when it is gone.
sub process_status
{
	my ($session) = @_;

	open my $file, '<', "/proc/$session->{pid}/status" or return '';
	my $status = join '', <$file>;
	return $status =~ /^State:\s+Z/m ? '' : $status;
}

# Wait until the backends of sessions are gone.
sub until_gone
{
	my @sessions = @_;

	until_true(
		sub { !grep { process_status($_) ne '' } @sessions },
		'the backends are gone');
	return;
}

sql('CREATE EXTENSION durable_wf');
sql(q{SELECT wf_start('w'), wf_start('me')});
# in a queue that has been in use for long
sql(q{SELECT wf_send_many(array_fill('w'::text, '{100}'),
		array_fill('1'::jsonb, '{100}'), 'kept');
	SELECT count(*) FROM wf_recv_many('kept', 100, '0', 'w')})
  foreach 1 .. 3;
sql(q{SELECT wf_send('w', to_jsonb(i), 'kept') FROM generate_series(1, 5) i});

# Every form of waiting; the forms in a transaction hold messages meanwhile.
my %waits = (
	'function' => q{SELECT wf_recv('q', NULL, 'w')},
	'CALL' => q{CALL wf_recv('q', NULL, 'w', NULL)},
	'function in a transaction' =>
	  q{BEGIN; SELECT wf_recv('kept', '0', 'w'); SELECT wf_recv('q', '1 day', 'w')},
	'CALL in a transaction' => q{BEGIN; SAVEPOINT s;
		SELECT wf_recv('kept', '0', 'w'); CALL wf_recv('q', '1 day', 'w', NULL)},
	'function after a receive in one statement' => q{SELECT wf_recv('kept', '0', 'w'),
		wf_recv('q', NULL, 'w')},
	'CALL in DO' => q{DO $$ DECLARE m jsonb;
		BEGIN CALL wf_recv('q', NULL, 'w', m); END $$},
	'EXCEPTION block' => q{DO $$ BEGIN
		PERFORM wf_recv('kept', '0', 'w'); PERFORM wf_recv('q', NULL, 'w');
		EXCEPTION WHEN OTHERS THEN NULL; END $$},
	'wf_recv_any' => q{SELECT wf_recv_any('{q,r,NULL}', NULL, 'w')},
	'CALL wf_recv_any' => q{CALL wf_recv_any('{q,r}', NULL, 'w', NULL, NULL)},
	'wf_recv_many' => q{SELECT wf_recv_many('q', 10, NULL, 'w')},
	'wf_get_event' => q{SELECT wf_get_event('w', 'k', NULL)},
	'CALL wf_get_event' => q{CALL wf_get_event('w', 'k', NULL, NULL)},
	'wf_wait_for_event' => q{SELECT wf_wait_for_event('e', NULL, 'w')},
	'CALL wf_wait_for_event' =>
	  q{CALL wf_wait_for_event('e', NULL, 'w', NULL, NULL)},
	'wf_result' => q{SELECT wf_result('w', NULL)},
	'CALL wf_result' => q{CALL wf_result('w', NULL, NULL, NULL, NULL)});

# One session for each of them, asleep; "prepare" is run first.
sub all_waiting
{
	my ($prepare) = @_;
	my %sessions;

	foreach my $form (sort keys %waits)
	{
		$sessions{$form} = session();
		$sessions{$form}->query_safe($prepare) if $prepare;
		start($sessions{$form}, $waits{$form});
	}
	asleep(values %sessions);
	return %sessions;
}

# Nothing is left, nothing is lost, and waiting works as before.
sub nothing_left
{
	my ($name) = @_;
	my @fresh = map { session() } 1 .. 20;
	my @got;

	is(sql('SELECT count(*) FROM wf_waiters'), 0, "$name: nobody waits");
	is(sql(q{SELECT string_agg(payload::text, ' ' ORDER BY message_id)
		FROM durable_wf.message}),
		'1 2 3 4 5', "$name: messages are in their places");

	# as many sessions as there were, in whatever slots
	start($_, q{CALL wf_recv_any('{q,r}', NULL, 'w', NULL, NULL)})
	  foreach @fresh;
	asleep(@fresh);
	sql(q{SELECT wf_send('w', to_jsonb(i), (ARRAY['q', 'r'])[1 + i % 2])
		FROM generate_series(1, 20) i});
	@got = sort { $a <=> $b } map { (split /\|/, outcome($_))[1] } @fresh;
	is("@got", join(' ', 1 .. 20), "$name: waiting works");
	is(sql('SELECT count(*) FROM wf_waiters'), 0, "$name: all have left");
	$_->quit foreach @fresh;
	return;
}

# statement_timeout
{
	my %sessions = map { $_ => session() } keys %waits;

	foreach my $form (sort keys %waits)
	{
		$sessions{$form}->query_safe(q{SET statement_timeout = '300ms'});
		start($sessions{$form}, $waits{$form});
	}
	foreach my $form (sort keys %waits)
	{
		like(
			outcome($sessions{$form}),
			qr/ERROR:  57014: .*statement timeout/,
			"statement_timeout: $form");
		$sessions{$form}->query_safe('ROLLBACK') if $waits{$form} =~ /BEGIN;/;
	}
	nothing_left('statement_timeout');
	$_->quit foreach values %sessions;
}

# pg_cancel_backend; the sessions live on
{
	my %sessions = all_waiting();

	sql("SELECT pg_cancel_backend($_->{pid})") foreach values %sessions;
	foreach my $form (sort keys %waits)
	{
		like(
			outcome($sessions{$form}),
			qr/ERROR:  57014: .*user request/,
			"pg_cancel_backend: $form");
		$sessions{$form}->query_safe('ROLLBACK') if $waits{$form} =~ /BEGIN;/;
	}
	nothing_left('pg_cancel_backend');

	# the sessions that were interrupted wait again
	start($sessions{$_}, $waits{$_}) foreach sort keys %waits;
	asleep(values %sessions);
	sql("SELECT pg_cancel_backend($_->{pid})") foreach values %sessions;
	outcome($_) foreach values %sessions;
	start($sessions{function}, $waits{function});
	sql(q{SELECT wf_send('w', '"again"', 'q')});
	is(outcome($sessions{function}),
		'"again"', 'a session waits again after it was cancelled twice');
	$_->quit foreach values %sessions;
	nothing_left('cancelled twice');
}

# pg_terminate_backend
{
	my %sessions = all_waiting();

	sql("SELECT pg_terminate_backend($_->{pid})") foreach values %sessions;
	like(last_words($sessions{$_}), qr/FATAL:  57P01:/,
		"pg_terminate_backend: $_")
	  foreach sort keys %waits;
	until_gone(values %sessions);
	nothing_left('pg_terminate_backend');
}

# The client is gone.
{
	my %sessions =
	  all_waiting(q{SET client_connection_check_interval = '100ms'});

	$_->{run}->signal('KILL') foreach values %sessions;
	until_gone(values %sessions);
	pass('backends whose client is gone go, too');
	nothing_left('client disconnect');
	eval { $_->{run}->finish } foreach values %sessions;
}

# A wait that is cancelled inside of an EXCEPTION block
{
	my $session = start(session(),
		q{DO $$ BEGIN
			BEGIN
				PERFORM wf_recv('kept', '0', 'w');
				PERFORM wf_recv('q', NULL, 'w');
			EXCEPTION WHEN query_canceled THEN
				RAISE WARNING 'got %', wf_recv('kept', '0', 'w');
			END;
			RAISE WARNING 'then %', wf_recv('q', NULL, 'w');
			RAISE EXCEPTION 'done';
		END $$});

	asleep($session);
	sql("SELECT pg_cancel_backend($session->{pid})");
	until_true(
		sub { $session->{run}->pump_nb; $session->{stderr} =~ /got/ },
		'it was cancelled');
	asleep($session);
	sql(q{SELECT wf_send('w', '"news"', 'q')});
	like(outcome($session), qr/got 1\b.*then "news".*done/s,
		'a cancelled wait in an EXCEPTION block is undone, the next one works');
	is(sql(q{SELECT wf_recv('q', '0', 'w')}), '"news"', 'undone, too');
	$session->quit;
	nothing_left('EXCEPTION block');
}

# What CALL has committed before it waits stays.
{
	my $session = start(session(),
		q{DO $$ DECLARE m jsonb; BEGIN
			PERFORM wf_send('w', '"before"', 'log');
			CALL wf_recv('q', NULL, 'w', m);
		END $$});

	asleep($session);
	sql("SELECT pg_cancel_backend($session->{pid})");
	outcome($session);
	is($session->query_safe(q{SELECT wf_recv('log', '0', 'w')}),
		'"before"', 'what came before a CALL is committed');
	$session->quit;
}

# The waiters of a cancelled workflow are told at once: no lock that a session
# holds is in the way, neither of the cancelling session nor of the waiters.
sql(q{
	CREATE TABLE of_user (workflow_id text REFERENCES durable_wf.workflow);
	SELECT wf_start('c' || i) FROM generate_series(1, 3) i;
	SELECT wf_send('c1', '1', 'kept'), wf_send('c1', '2', 'kept')});
{
	my $locker = session();
	my $cancel = session();
	my %in = (
		'function' => q{SELECT wf_recv('q', NULL, 'c1')},
		'CALL' => q{CALL wf_recv('q', NULL, 'c1', NULL)},
		'function with locks of its own' => q{BEGIN;
			INSERT INTO of_user VALUES ('c1');
			SELECT wf_recv('kept', '0', 'c1'); SELECT wf_send('c1', '1', 'log');
			SELECT wf_set_event('k', '1', 'c1'); SELECT wf_recv('q', NULL, 'c1')},
		'wf_recv_any' => q{SELECT wf_recv_any('{q,r}', NULL, 'c1')},
		'wf_recv_many' => q{SELECT wf_recv_many('q', 10, NULL, 'c1')},
		'wf_wait_for_event' => q{SELECT wf_wait_for_event('e', NULL, 'c1')},
		'wf_get_event elsewhere' => q{SET durable_wf.workflow_id = 'c1';
			SELECT wf_get_event('me', 'k', NULL)},
		'CALL wf_result elsewhere' => q{SET durable_wf.workflow_id = 'c1';
			CALL wf_result('me', NULL, NULL, NULL, NULL)});
	my %sessions = map { $_ => session() } keys %in;

	start($sessions{$_}, $in{$_}) foreach keys %in;
	asleep(values %sessions);

	# user code that refers to the workflow and works in it
	$locker->query_safe(q{BEGIN; INSERT INTO of_user VALUES ('c1');
		SELECT * FROM durable_wf.workflow FOR KEY SHARE;
		SELECT wf_send('c1', '1', 'q2'), wf_recv('kept', '0', 'c1'),
			wf_set_event('other', '1', 'c1')});

	# and that locks all rows that it can before the waiters read the tables
	kill 'STOP', $_->{pid} foreach values %sessions;
	is($cancel->query_safe(q{SELECT wf_cancel('c1')}),
		't', 'wf_cancel does not wait for user code');
	$locker->query_safe(
		q{SELECT * FROM durable_wf.workflow WHERE workflow_id <> 'c1' FOR UPDATE});
	$cancel->query_safe(
		q{BEGIN; SELECT * FROM durable_wf.workflow
			WHERE workflow_id = 'c1' FOR NO KEY UPDATE});
	kill 'CONT', $_->{pid} foreach values %sessions;

	like(outcome($sessions{$_}), qr/ERROR:  WF002: /, "wf_cancel: $_")
	  foreach sort keys %in;
	$cancel->query_safe('COMMIT');
	$_->quit foreach ($locker, $cancel, values %sessions);
	is(sql('SELECT count(*) FROM wf_waiters'), 0, 'wf_cancel: nobody waits');
	is(sql(q{SELECT string_agg(payload::text, ' ' ORDER BY message_id)
		FROM durable_wf.message WHERE workflow_id = 'c1'}),
		'1 2', 'wf_cancel: messages are back in their places');
	sql(q{DELETE FROM durable_wf.message WHERE workflow_id = 'c1'});
}

# A workflow whose row is locked is cancelled as soon as the lock is released.
{
	my $locker = session();
	my $cancel = session();
	my $waiter = start(session(), q{SELECT wf_recv('q', NULL, 'c2')});

	asleep($waiter);
	$locker->query_safe(
		q{BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'c2' FOR UPDATE});
	start($cancel, q{SELECT wf_cancel('c2')});
	poll("SELECT wait_event_type = 'Lock' FROM pg_stat_activity"
		  . " WHERE pid = $cancel->{pid}");
	is(sql('SELECT count(*) FROM wf_waiters'),
		1, 'nobody is told before the cancellation commits');
	$locker->query_safe('ROLLBACK');
	is(outcome($cancel), 't', 'it is cancelled');
	like(outcome($waiter), qr/ERROR:  WF002: /, 'and who waits is told');
	$_->quit foreach ($locker, $cancel, $waiter);
}

# Fast shutdown
{
	my %sessions = all_waiting();

	$node->stop('fast');
	like(last_words($sessions{$_}), qr/FATAL:  57P01:/, "fast shutdown: $_")
	  foreach sort keys %waits;
	$node->start;
	nothing_left('fast shutdown');
}

# A smart shutdown lets the waiters finish.
{
	my $waiter = start(session(), $waits{function});
	my $caller = start(session(), $waits{CALL});
	my $control = session();
	my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;

	asleep($waiter, $caller);
	kill 'TERM', $postmaster or die "kill: $!";
	until_true(
		sub { $node->psql('postgres', '', stderr => \my $refusal) == 2 },
		'the server refuses connections');
	is($control->query_safe('SELECT count(*) FROM wf_waiters'),
		2, 'smart shutdown: they wait on');
	$control->query_safe(q{SELECT wf_send_many('{w,w}', '{7,7}', 'q')});
	is(outcome($waiter), 7, 'smart shutdown: function');
	is(outcome($caller), 7, 'smart shutdown: CALL');
	$_->quit foreach ($waiter, $caller, $control);
	until_gone({ pid => $postmaster });
	$node->stop('smart', fail_ok => 1);
	$node->start;
	nothing_left('smart shutdown');
}

# The postmaster dies.
{
	my %sessions = all_waiting();
	my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my @all = split /\n/, sql('SELECT pid FROM pg_stat_activity');

	$node->kill9;
	until_true(sub { !grep { kill 0, $_ } $postmaster, @all },
		'all processes are gone');
	pass('backends go when the postmaster dies');
	last_words($_) foreach values %sessions;
	$node->start;
	nothing_left('postmaster death');
}

$node->stop;
done_testing();
