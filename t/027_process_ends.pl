# The launcher and the workers: how they leave for others and come back, after
# locks, deaths, crashes, on a standby, and where there are not enough slots.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql sql_in poll session start until_true
  waits_for_lock launcher worker workers_are has_new_worker);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node(
	'main',
	{
		restart_after_crash => 'on',
		max_worker_processes => 12,
		max_logical_replication_workers => 0,	# its launcher takes a slot, too
		max_prepared_transactions => 2,
		log_min_messages => 'warning'
	},
	allows_streaming => 1);

foreach my $database ('d1', 'd2')
{
	sql("CREATE DATABASE $database");
	sql_in($database, 'CREATE EXTENSION durable_wf');
}
workers_are('d1 d2', 'two databases');

# ----- locks -----

# Make a database's worker wait for a lock: a session locks the table that the
# worker reads to see what is due.  The lock is granted when a workflow with a
# timeout commits, and that commit wakes the worker, which then waits behind the
# session.
sub hold_up
{
	my ($database) = @_;
	my ($sender, $locker) = map { session($node, $database) } 1 .. 2;

	$sender->query_safe('SELECT wf_adopt()');
	$sender->query_safe(q{BEGIN; SELECT wf_start(timeout => '1 day');
		LOCK TABLE durable_wf.workflow IN ACCESS SHARE MODE});
	start($locker, 'BEGIN; LOCK TABLE durable_wf.workflow');
	waits_for_lock("pid = $locker->{pid}");
	$sender->query_safe('COMMIT');
	waits_for_lock(
		"backend_type = 'durable_wf worker' AND datname = '$database'");
	return ($sender, $locker);
}

# A worker that waits for a lock exits afterwards, when it was told to meanwhile.
{
	my @sessions = hold_up('d1');

	sql('ALTER DATABASE d1 ALLOW_CONNECTIONS false');
	sql('CREATE DATABASE d3 TEMPLATE d2');
	workers_are('d1 d2 d3', 'a worker that waits for a lock');
	$sessions[1]->query('COMMIT');
	workers_are('d2 d3', 'leaves when it has got it');
	sql('ALTER DATABASE d1 ALLOW_CONNECTIONS true');
	workers_are('d1 d2 d3', 'and comes back');
	$_->quit foreach @sessions;
}

# DROP DATABASE (FORCE) does not wait for such a worker.
{
	my @sessions = hold_up('d3');

	sql('DROP DATABASE d3 WITH (FORCE)');
	workers_are('d1 d2', 'a worker that waits for a lock: DROP DATABASE (FORCE)');
	eval { $_->{run}->finish } foreach @sessions;
}

# A shutdown does not wait for such a worker, though nothing else would end its
# wait.
{
	my @sessions = hold_up('d1');

	$sessions[1]->query_safe(q{PREPARE TRANSACTION 'locked'});
	$_->quit foreach @sessions;
	$node->stop('fast');
	$node->start;
	$node->safe_psql('d1', q{ROLLBACK PREPARED 'locked'});
	workers_are('d1 d2', 'a worker that waits for a prepared transaction: stop');
}

# ----- processes that are terminated -----

{
	my $worker = worker('d2');

	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'a worker that is terminated comes back');
	$worker = worker('d2');
	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'and again');
}

# Terminate the launcher, and wait until there is another one.
sub terminate_launcher
{
	my $old = launcher();

	sql("SELECT pg_terminate_backend($old)");
	poll("SELECT true FROM pg_stat_activity
		   WHERE backend_type = 'durable_wf launcher' AND pid <> $old");
	return;
}

{
	my %old = map { $_ => worker($_) } 'd1', 'd2';

	terminate_launcher();
	has_new_worker($_, $old{$_}, "a launcher that is terminated: $_")
	  foreach 'd1', 'd2';
	workers_are('d1 d2', 'one worker each');
}

# The launcher is terminated while a worker is starting.
{
	my $locker = session($node, 'd2');
	my $worker = worker('d2');

	$locker->query_safe('BEGIN; LOCK TABLE pg_extension');
	sql("SELECT pg_terminate_backend($worker)");
	waits_for_lock("backend_type = 'durable_wf worker' AND pid <> $worker");
	terminate_launcher();
	poll(q{SELECT count(*) = 2 FROM pg_stat_activity
		    WHERE backend_type = 'durable_wf worker' AND datname = 'd2'
		      AND wait_event_type = 'Lock'});
	$locker->query_safe('COMMIT');
	$locker->quit;
	workers_are('d1 d2', 'one of an earlier launcher does not begin');
	$worker = worker('d2');
	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'the one that did is looked after');
}

# ----- settings -----

# At debug5 a process logs its transactions, once it has the new setting.
sql(q{ALTER SYSTEM SET log_min_messages = debug5});
{
	my %process = (launcher => launcher(), worker => worker('d2'));
	my $offset = -s $node->logfile;

	$node->reload;
	foreach my $name (sort keys %process)
	{
		until_true(
			sub {
				# a transaction of the launcher and one of the worker
				sql('ALTER DATABASE d2 CONNECTION LIMIT -1');
				return $node->log_contains(
					qr/\[$process{$name}\] DEBUG:  StartTransaction/, $offset);
			},
			"the $name logs");
		pass("reload: the $name has the new settings");
	}
	is(launcher(), $process{launcher}, 'reload: still the same launcher');
	is(worker('d2'), $process{worker}, 'reload: still the same worker');
}
sql('ALTER SYSTEM RESET ALL');
$node->reload;

# ----- crash, stop and start -----

{
	my %old = map { $_ => worker($_) } 'd1', 'd2';

	kill 'KILL', $old{d1} or die "kill: $!";
	until_true(sub { !kill(0, $old{d2}) }, 'the other worker has ended');
	workers_are('d1 d2', 'a crash restart: everything comes back');
	cmp_ok(launcher(), '>', 0, 'the launcher, too');
}

foreach my $mode ('fast', 'immediate', 'smart')
{
	$node->stop($mode);
	$node->start;
	workers_are('d1 d2', "they are back after a stop: $mode");
}
foreach my $mode ('fast', 'immediate', 'smart', 'fast')
{
	$node->stop($mode);
	$node->start;
}
workers_are('d1 d2', 'and when it comes while they are starting');

# A binary upgrade
$node->stop;
{
	local %ENV = $node->_get_env(PGAPPNAME => undef);

	system_or_bail('pg_ctl', '-w', '-D', $node->data_dir, '-l',
		$node->logfile, '-o', '-b', 'start');
}
$node->_update_pid(1);
sql('CREATE DATABASE d3 TEMPLATE d2; DROP DATABASE d1');
is( sql(q{SELECT count(*) FROM pg_stat_activity
		   WHERE backend_type LIKE 'durable_wf %'}),
	0, 'a binary upgrade: none of our processes');
$node->stop;
$node->start;
workers_are('d2 d3', 'after it');

# ----- a standby -----

$node->backup('copy');
{
	my $standby = PostgreSQL::Test::Cluster->new('standby');

	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby);
	is( $standby->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity
			   WHERE backend_type LIKE 'durable_wf %'}),
		0, 'a standby: none of our processes');
	$standby->promote;
	workers_are('d2 d3', 'promoted: they are there', $standby);
	$standby->stop;
}

# ----- not enough slots -----

# How often the log warns of a worker without a slot, from an offset on.
sub warnings
{
	my ($offset) = @_;
	my $log = slurp_file($node->logfile, $offset);
	my $count = () = $log =~ /WARNING:  no slot for the durable_wf worker/g;

	return $count;
}

# A test: wait until $count databases have a worker each.
sub count_is
{
	my ($count, $name) = @_;

	ok( $node->poll_query_until(
			'postgres',
			"SELECT count(*) = $count AND count(DISTINCT datname) = $count
			   FROM pg_stat_activity WHERE backend_type = 'durable_wf worker'"),
		$name);
	return;
}

sql("CREATE DATABASE e$_ TEMPLATE d3") foreach 1 .. 8;
$node->append_conf('postgresql.conf', 'max_worker_processes = 5');
{
	my $offset = -s $node->logfile;
	my $lacking;

	$node->restart;
	count_is(4, 'five slots for ten databases: all are used');
	$offset = $node->wait_for_log(
		qr/WARNING:  no slot for the durable_wf worker of database "\w+"/,
		$offset);
	like(slurp_file($node->logfile),
		qr/HINT:  Increase max_worker_processes/, 'the setting is named');

	# the launcher tries again soon, and warns no more
	$lacking = sql(q{SELECT datname FROM pg_database d
		WHERE datname ~ '^[de]' AND NOT EXISTS (SELECT FROM pg_stat_activity a
			WHERE a.datname = d.datname) ORDER BY 1 LIMIT 1});
	sql(qq{ALTER DATABASE $lacking CONNECTION LIMIT 50});
	sql('SELECT pg_sleep(1.5)');
	is(warnings($offset), 0, 'the warning comes once');

	# a workflow's body has no slot either, and its worker says so
	my $served = sql(q{SELECT datname FROM pg_stat_activity
		WHERE backend_type = 'durable_wf worker' AND datname ~ '^e' ORDER BY 1 LIMIT 1});
	my $says = "SELECT query FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND datname = '$served'";
	sql_in($served, q{CREATE PROCEDURE body(jsonb) LANGUAGE plpgsql AS 'BEGIN END'});
	sql_in($served, q{SELECT wf_adopt(); SELECT wf_start('has a body', 'body')});
	ok($node->poll_query_until('postgres', $says, 'workflows wait for a process: max_worker_processes'), 'a body without a slot');
	sql_in($served, q{SELECT wf_cancel('has a body')});
	ok($node->poll_query_until('postgres', $says, ''), '... until it does not want one');

	sql_in($_, 'DROP EXTENSION durable_wf') foreach split /\n/, sql(
		q{SELECT datname FROM pg_stat_activity
		   WHERE backend_type = 'durable_wf worker' AND datname ~ '^e' LIMIT 2});
	count_is(4, 'what one leaves another takes');
	sql("DROP DATABASE e$_") foreach 1 .. 8;
	workers_are('d2 d3', 'in the end everyone has one');
}

$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
{
	my $offset = -s $node->logfile;

	$node->restart;
	$node->wait_for_log(qr/WARNING:  no slot/, $offset);
	count_is(0, 'one slot: the launcher has it');
	sql('CREATE DATABASE d4 TEMPLATE d2; DROP DATABASE d3');
	sql_in('d2', q{SELECT wf_send(wf_start('one slot'), '1')});
	pass('and databases can be made and dropped');
}

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
is( sql(q{SELECT count(*) FROM pg_stat_activity
		   WHERE backend_type LIKE 'durable_wf %'}),
	0, 'no slot: not even a launcher');
sql('CREATE DATABASE d3 TEMPLATE d2; DROP DATABASE d4');
sql_in('d2', q{SELECT wf_send(wf_start('no slot'), '1')});
pass('and databases can be made and dropped');

$node->stop;
done_testing();

