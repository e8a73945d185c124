# What counts against a body: crashes of its own process that have brought
# nothing forward, and nothing else.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll until_true session kill_backend result);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 24, max_prepared_transactions => 6, restart_after_crash => 'on',
	'durable_wf.careful_time' => 0, 'durable_wf.max_attempts' => 3 });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE FUNCTION effect(what text) RETURNS text LANGUAGE sql AS
$$ SELECT format('INSERT INTO effect (what) VALUES (%L)', what) $$;
CREATE PROCEDURE long(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(600);
END $$;
-- gets further by each COMMIT, and stops after each where it is told to
CREATE PROCEDURE import(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 6 LOOP
        PERFORM wf_step('part ' || i, effect('part ' || i));
        COMMIT;
        PERFORM pg_advisory_lock_shared(500 + i), pg_advisory_unlock_shared(500 + i);
    END LOOP;
END $$;
SQL

# The status and the error of a workflow.
sub life
{
	return sql("SELECT status, error FROM wf_workflows WHERE workflow_id = '$_[0]'");
}

# The executor that runs a body, which sleeps by now.
sub executor_of
{
	my ($query) = @_;
	my $where = "FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND datname = 'postgres' AND wait_event = 'PgSleep' AND query LIKE '%$query%'";

	poll("SELECT count(*) = 1 $where");
	return sql("SELECT pid $where");
}

# Restarts, planned and not; ends of our worker, of the executor, of the
# launcher; another backend's crash, of a client and of an executor.
sql(q{SELECT wf_start('long', 'long')});
foreach my $way ('fast', 'worker', 'client', 'executor', 'immediate', 'launcher')
{
	foreach (1 .. 2)
	{
		my $pid = executor_of('long');

		if ($way =~ /^(fast|immediate)$/)
		{
			$node->restart if $way eq 'fast';
			if ($way eq 'immediate') { $node->stop('immediate'); $node->start; }
		}
		elsif ($way eq 'client')
		{
			my $client = session();

			kill_backend($client->{pid}, $client);
		}
		else
		{
			sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'durable_wf $way'");
		}
		is(life('long'), 'RUNNING|', "no crash of the body: $way");
	}
}
executor_of('long');
is(sql(q{SELECT attempts FROM wf_workflows WHERE workflow_id = 'long'}), 1, 'none of them was counted');

# Another body that crashes for good beside it, which is found out.
sql(q{CREATE PROCEDURE crashes(input jsonb) LANGUAGE plpgsql AS $$ BEGIN PERFORM wf_step('s', 'SELECT pg_sleep(600)'); END $$});
sql(q{SELECT wf_start('crashes', 'crashes')});
foreach my $crash (1 .. 3)
{
	kill_backend(executor_of('crashes'));
}
is(result('crashes'), q{ERROR||the workflow's body has crashed 3 times in a row}, 'a body that crashes is given up');
executor_of('long');
is(life('long'), 'RUNNING|', 'and not the one beside it');

# SIGQUIT, as the postmaster sends it: a process of ours ends by it as any other.
{
	my $client = session();

	$client->query_safe(q{SELECT wf_start('attached'), wf_attach('attached')});
	foreach my $process ('session', 'executor')
	{
		my $pid = $process eq 'session' ? $client->{pid} : executor_of('long');
		my $offset = -s $node->logfile;

		kill 'QUIT', $pid or die "kill $pid: $!";
		ok($node->wait_for_log(qr/\(PID $pid\) exited with exit code 2\b/, $offset), "SIGQUIT ends the $process without a crash");
		poll('SELECT true');
		executor_of('long');
	}
	eval { $client->{run}->finish };
	is(life('long'), 'RUNNING|', 'and is none of the body');
}

# Crashes when the server does not start again by itself.
$node->append_conf('postgresql.conf', 'restart_after_crash = off');
$node->restart;
sql(q{SELECT wf_retry('crashes')});
foreach my $crash (1 .. 3)
{
	my $pid = executor_of('crashes');

	kill 'KILL', $pid;
	until_true(sub { !-e $node->data_dir . '/postmaster.pid' }, 'the server has ended');
	$node->_update_pid(0);
	$node->start;
}
is(result('crashes'), q{ERROR||the workflow's body has crashed 3 times in a row}, 'also without restart_after_crash');
executor_of('long');
is(life('long'), 'RUNNING|', 'the other one goes on');
ok(!-e $node->data_dir . '/pg_stat/durable_wf.stat', 'nothing is left of what was remembered');
sql(q{SELECT wf_cancel('long')});
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->restart;

# A body that gets further each time is not given up, whichever way it dies.
{
	# locks that survive the crashes
	sql("BEGIN; SELECT pg_advisory_xact_lock(500 + $_); PREPARE TRANSACTION '$_'") foreach 1 .. 6;
	sql(q{SELECT wf_start('import', 'import')});
	foreach my $part (1 .. 5)
	{
		my $waiting = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";

		poll("SELECT count(*) = 1 $waiting AND objid = 500 + $part");
		my $pid = sql("SELECT pid $waiting");
		if ($part % 2)
		{
			kill_backend($pid);
		}
		else
		{
			sql("SELECT pg_terminate_backend($pid, 60000)");
		}
		sql("COMMIT PREPARED '$part'");
	}
	poll("SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 506");
	is(sql(q{SELECT status, attempts FROM wf_workflows WHERE workflow_id = 'import'}), 'RUNNING|1', 'progress by COMMIT starts the count anew');
	sql(q{COMMIT PREPARED '6'});
	is(result('import'), 'SUCCESS||', 'and it comes to its end');
	is(sql(q{SELECT string_agg(what, ' ' ORDER BY n) FROM effect}), 'part 1 part 2 part 3 part 4 part 5 part 6', 'each part once');
}

# A body that ends its own process is no better than one that crashes.
sql(q{CREATE PROCEDURE ends_itself(input jsonb) LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60); END $$});
sql(q{SELECT wf_start('ends itself', 'ends_itself')});
is(result('ends itself'), q{ERROR||the workflow's body has crashed 3 times in a row}, 'a body that ends its own process is given up');

$node->stop;
done_testing();
