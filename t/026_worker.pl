# The worker goes on, and so do its executors and all workflows, whatever one
# piece of its work fails by: notifications that cannot be sent, a workflow that
# cannot be served, settings that were not meant for it, news that were lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll until_true session start freeze thaw
  worker);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node(
	'main',
	{
		synchronous_commit => 'local',
		autovacuum => 'off',
		max_worker_processes => 16,
		'durable_wf.executor_idle_timeout' => '1h',
		'durable_wf.suspend_after' => '10ms',
		'durable_wf.max_executors' => 2
	},
	allows_streaming => 1);

# The pids of worker and executors, as one line
sub processes
{
	return sql(q{SELECT string_agg(pid::text, ' ' ORDER BY backend_type, pid)
		FROM pg_stat_activity WHERE backend_type LIKE 'durable_wf %'
		 AND backend_type <> 'durable_wf launcher'});
}

# A test: these processes are still there; others may be, too.
sub still
{
	my ($before, $name) = @_;
	my %now = map { $_ => 1 } split ' ', processes();

	is(join(' ', grep { !$now{$_} } split ' ', $before), '', $name);
	return;
}

# Wait until so many workflows like that have a status.
sub are
{
	my ($like, $status, $count, $name) = @_;

	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = $count FROM wf_workflows
			  WHERE workflow_id LIKE '$like' AND status = '$status'"),
		$name);
	return;
}

# How often the log has a line since then
sub logged
{
	my ($what, $offset) = @_;
	my $count = () = slurp_file($node->logfile, $offset) =~ /$what/g;

	return $count;
}

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE PROCEDURE nap(input jsonb) LANGUAGE plpgsql AS $$
DECLARE woke_at timestamptz;
BEGIN
    CALL wf_sleep('300 ms', woke_at);
    PERFORM wf_complete('1');
END $$;
CREATE PROCEDURE echo(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
SQL
poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf worker'});

# ----- notifications that cannot be sent -----

# A session that NOTIFYs holds a lock until it has committed; here that takes
# long, as it waits for a standby that does not exist.  So the worker's
# notifications fail at their commit, as when the server's queue is full.
{
	my $listener = session();
	my $blocker = session();
	my $offset;
	my $before;

	sql(q{SELECT wf_start('w')});
	sql(q{SELECT wf_start('first nap', 'nap')});
	are('first nap', 'SUCCESS', 1, 'notify: a timer');
	$listener->query_safe('SELECT wf_listen()');
	until_true(
		sub { $listener->query('SELECT WHERE false') =~ /resync/ || sql(q{SELECT wf_send('w', '1', 'hello') > 0}) && $listener->query('SELECT WHERE false') =~ /hello/ },
		'it hears something');
	$before = processes();
	$offset = -s $node->logfile;

	sql(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
	$node->reload;
	poll(q{SELECT current_setting('synchronous_standby_names') = 'nobody'});
	$blocker->query_safe('SET synchronous_commit = on');
	# the checkpointer may not have told yet that there is one to wait for
	until_true(
		sub {
			my $state = sql("SELECT concat(state, wait_event) FROM pg_stat_activity WHERE pid = $blocker->{pid}");

			# what it writes makes it wait
			start($blocker, 'BEGIN; CREATE TEMP TABLE waits (); DROP TABLE waits; NOTIFY elsewhere; COMMIT')
			  if $state =~ /^idle/;
			return $state eq 'activeSyncRep';
		},
		'it waits for a standby');

	sql(q{SELECT wf_send('w', '1', 'not heard')});
	$node->wait_for_log(
		qr/WARNING:  durable_wf worker could not notify listeners: /, $offset);
	pass('notify: the worker says that it cannot');
	sql(q{SELECT wf_start('nap ' || n, 'nap') FROM generate_series(1, 3) n});
	are('nap _', 'SUCCESS', 3, 'notify: timers go on');
	sql(q{SELECT wf_start('echo', 'echo')});
	are('echo', 'WAITING', 1, 'notify: a workflow waits');
	sql(q{SELECT wf_send('echo', '2', 'go'), wf_send('w', '1', 'not heard either')});
	are('echo', 'SUCCESS', 1, 'notify: and goes on');
	still($before, 'notify: by the same worker and executor');

	sql(q{ALTER SYSTEM RESET synchronous_standby_names});
	$node->reload;
	until_true(sub { $listener->query('SELECT WHERE false') =~ /"kind": "resync"/ },
		'the listener is told to look');
	pass('notify: a resync when it works again');
	sql(q{SELECT wf_send('w', '1', 'heard')});
	until_true(sub { $listener->query('SELECT WHERE false') =~ /"key": "heard"/ },
		'the listener hears');
	pass('notify: and what comes then');
	is(logged('WARNING:  durable_wf worker could not notify', $offset), 1, 'notify: the log says it once');
	is(logged('LOG:  durable_wf worker can notify listeners again', $offset), 1, 'notify: and when it is over');
	still($before, 'notify: still the same');
	$_->quit foreach $listener, $blocker;
}

# ----- one workflow that cannot be served -----

# By what its tables' owner has put there: it raises for some when they go on,
# or are cancelled.
{
	my $before;
	my $offset = -s $node->logfile;

	sql(q{SELECT wf_start(k || n, 'echo') FROM unnest('{good,bad}'::text[]) k, generate_series(1, 20) n});
	are('%d%', 'WAITING', 40, 'one: they wait');
	$before = processes();
	sql(<<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.status IN ('PENDING', 'CANCELLED')) AND OLD.workflow_id LIKE 'bad%' THEN
        RAISE 'not this one';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON durable_wf.workflow FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT wf_start(k || 'nap' || n, 'nap', start_after => '1 s') FROM unnest('{good,bad}'::text[]) k, generate_series(1, 3) n;
SELECT count(wf_send(k || n, '1', 'go')) FROM generate_series(1, 20) n, unnest('{bad,good}'::text[]) k;
SELECT wf_start(k || 'timed' || n, timeout => '100 ms') FROM unnest('{bad,good}'::text[]) k, generate_series(1, 3) n;
SQL
	are('good__', 'SUCCESS', 11, 'one: others get what they waited for');
	are('good_', 'SUCCESS', 9, 'one: all of them');
	are('goodnap_', 'SUCCESS', 3, 'one: others by the clock');
	are('goodtimed_', 'CANCELLED', 3, 'one: others run out of time');
	$node->wait_for_log(qr/WARNING:  durable_wf worker could not serve a workflow: not this one/, $offset);
	like(slurp_file($node->logfile, $offset), qr/CONTEXT:  workflow "bad\w+"/, 'one: the log names it');
	still($before, 'one: by the same worker and executors');
	is(sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'bad%' AND finished_at IS NOT NULL}), 0,
		'one: not these');
	sql('DROP TRIGGER refuse ON durable_wf.workflow');
	are('bad%', 'SUCCESS', 23, 'one: they go on when they can');
	are('badtimed%', 'CANCELLED', 3, 'one: or end');
	still($before, 'one: still the same');
}

# Everything fails for a while.
{
	my $before = processes();

	sql(q{SELECT wf_start('all ' || n, 'echo') FROM generate_series(1, 30) n});
	are('all%', 'WAITING', 30, 'all: they wait');
	sql(<<'SQL');
CREATE TRIGGER refuse BEFORE UPDATE ON durable_wf.workflow FOR EACH ROW
 WHEN (NEW.status = 'PENDING') EXECUTE FUNCTION refuse();
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'nobody'; END $$;
SELECT count(wf_send('all ' || n, '1', 'go')) FROM generate_series(1, 30) n;
SQL
	$node->wait_for_log(qr/could not serve a workflow: nobody/);
	sql('DROP TRIGGER refuse ON durable_wf.workflow');
	are('all%', 'SUCCESS', 30, 'all: they go on when they can');
	still($before, 'all: by the same worker and executors');
}

# ----- workflows whose rows are locked -----

# A transaction that does not end locks the rows of more workflows than are served
# at a time, all of which have what they waited for.  Other workflows go on.
{
	my $holder = session();

	sql(q{SELECT wf_start('held ' || n, 'echo') FROM generate_series(1, 300) n});
	sql(q{SELECT wf_start('free', 'echo')});
	are('held%', 'WAITING', 300, 'held: they wait');
	are('free', 'WAITING', 1, 'held: another, too');
	$holder->query_safe(q{BEGIN; SELECT count(*) FROM (SELECT FROM durable_wf.workflow WHERE workflow_id LIKE 'held%' FOR UPDATE) h});
	sql(q{SELECT count(wf_send('held ' || n, '1', 'go')) FROM generate_series(1, 300) n});
	sql(q{SELECT wf_send('free', '1', 'go'), wf_start('held nap', 'nap')});
	are('free', 'SUCCESS', 1, 'held: news of another');
	are('held nap', 'SUCCESS', 1, 'held: the clock of another');
	are('held%', 'WAITING', 300, 'held: these wait');
	$holder->query_safe('COMMIT');
	are('held%', 'SUCCESS', 301, 'held: no more');
	$holder->quit;
}

# ----- news that were lost -----

# Workflows that fill several pages, inserted without any news; then one commit
# with many more news than there is room for.
{
	my $reconciles = sql('SELECT reconciles FROM wf_stat WHERE door IS NULL');

	sql(<<'SQL');
INSERT INTO durable_wf.workflow (workflow_id, owner, status, body)
 SELECT 'lost ' || n, (SELECT owner FROM durable_wf.workflow LIMIT 1), 'WAITING', 'public.echo' FROM generate_series(1, 5000) n;
INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key)
 SELECT 'lost ' || n, p, 1, CASE p WHEN 0 THEN 'm' ELSE 'w' END::"char", 'lost ' || n, CASE p WHEN 0 THEN 'go' ELSE '' END
   FROM generate_series(1, 5000) n, generate_series(0, 1) p;
SELECT wf_adopt();
SQL
	poll("SELECT reconciles > $reconciles FROM wf_stat WHERE door IS NULL");
	are('lost%', 'WAITING', 5000, 'lost: they wait');
	sql(q{SELECT count(wf_send('lost ' || n, '1', 'go')) + count(wf_send('w', '1', repeat('x', 500) || n)) FROM generate_series(1, 5000) n WHERE n % 5 > 0});
	are('lost%', 'SUCCESS', 4000, 'lost: who has got something goes on');
	are('lost%', 'WAITING', 1000, 'lost: who has not does not');
	sql(q{SELECT count(wf_cancel('lost ' || n)) FROM generate_series(1, 5000) n WHERE n % 5 = 0});
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM durable_wf.wait WHERE workflow_id LIKE 'lost%'});
	is(sql(q{SELECT count(*) FROM durable_wf.wait}), 0, 'lost: no wait is left');
}

# One commit does not take all the room: what others bring is told to listeners,
# besides that something was lost.
{
	my $listener = session();
	my $pid = worker();

	$listener->query_safe('SELECT wf_listen()');
	$listener->query('SELECT WHERE false');
	kill 'STOP', $pid or die "kill: $!";
	sql(q{SELECT count(wf_send('w', '1', repeat('x', 500) || n)) FROM generate_series(1, 1000) n});
	sql(q{SELECT wf_send('w', '1', 'another commit')});
	kill 'CONT', $pid or die "kill: $!";
	my $heard = '';
	until_true(sub { ($heard .= $listener->query('SELECT WHERE false')) =~ /"resync"/ && $heard =~ /xxx/ },
		'the listener has heard');
	sql(q{SELECT wf_send('w', '1', 'the last')});
	until_true(sub { ($heard .= $listener->query('SELECT WHERE false')) =~ /"the last"/ }, 'the listener has heard the last');
	like($heard, qr/"another commit"/, 'share: another commit has room');
	$listener->quit;
}

# ----- settings of its database, or role -----

{
	my $worker = worker();
	my $offset = -s $node->logfile;
	my %settings = (
		default_transaction_read_only => 'on',
		default_transaction_isolation => 'serializable',
		default_transaction_deferrable => 'on',
		exit_on_error => 'on',
		lock_timeout => '1ms',
		statement_timeout => '1ms',
		idle_in_transaction_session_timeout => '1ms',
		row_security => 'off',
		session_replication_role => 'replica');
	my $ours = 'SET default_transaction_read_only = off; SET statement_timeout = 0; SET lock_timeout = 0; SET exit_on_error = off;'
	  . "SET session_replication_role = origin; SET default_transaction_isolation = 'read committed'; SET idle_in_transaction_session_timeout = 0;";

	sql(join '', map { "ALTER DATABASE postgres SET $_ = '$settings{$_}';" } sort keys %settings);
	$node->psql('postgres', "$ours\nSELECT pg_terminate_backend($worker)");
	local $ENV{PGOPTIONS} = join ' ', map { "-c $_=" . ($settings{$_} eq 'serializable' ? "'read committed'" =~ s/ /\\ /r =~ s/'//gr : $settings{$_} eq 'replica' ? 'origin' : $settings{$_} eq '1ms' ? 0 : $_ eq 'row_security' ? 'on' : 'off') } sort keys %settings;
	poll("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND pid <> $worker");
	$worker = worker();
	sql(q{SELECT wf_start('set', timeout => '100 ms')});
	are('set', 'CANCELLED', 1, 'settings: a timeout');
	sql(q{INSERT INTO durable_wf.workflow (workflow_id, owner, status, body) SELECT 'set too', owner, 'WAITING', 'public.nobody' FROM durable_wf.workflow LIMIT 1});
	sql(q{INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key, deadline) VALUES ('set too', 0, 1, 't', 'set too', '', now())});
	sql(q{SELECT wf_adopt()});
	$node->poll_query_until('postgres', q{SELECT status <> 'WAITING' FROM wf_workflows WHERE workflow_id = 'set too'});
	is(sql(q{SELECT count(*) FROM durable_wf.wait WHERE workflow_id = 'set too'}), 0, 'settings: a deadline');
	is(worker(), $worker, 'settings: the worker is the same');
	is(logged('durable_wf worker could not', $offset), 0, 'settings: nothing has failed');
}

$node->stop;
done_testing();
