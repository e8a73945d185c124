# The launcher and the workers: where they are and where not, what they notice,
# what they keep out of the way of, and how they come back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start until_true);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

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

# The process id of the worker of a database; '' if there is none
sub worker
{
	my ($database) = @_;

	return sql("SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf worker' AND datname = '$database'");
}

sub launcher
{
	return sql(q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf launcher'});
}

# Wait until exactly these databases have a worker, one each, at work.
sub workers_are
{
	my ($databases, $name, $server) = @_;

	ok( ($server || $node)->poll_query_until(
			'postgres', q{
SELECT coalesce(string_agg(datname, ' ' ORDER BY datname COLLATE "C"), '')
  FROM pg_stat_activity WHERE backend_type = 'durable_wf worker'},
			$databases),
		$name);
	return;
}

# Wait until a database has another worker than the given one.
sub has_new_worker
{
	my ($database, $old, $name) = @_;

	ok( $node->poll_query_until(
			'postgres',
			"SELECT true FROM pg_stat_activity
			  WHERE backend_type = 'durable_wf worker'
			    AND datname = '$database' AND pid <> ${\($old || 0)}"),
		$name);
	return;
}

# Statements in another database, in a session of its own
sub sql_in
{
	my ($database, $statements) = @_;

	return $node->safe_psql($database, $statements);
}

# Wait until a process is waiting for a lock.
sub waits_for_lock
{
	my ($where) = @_;

	poll("SELECT true FROM pg_stat_activity
		   WHERE $where AND wait_event_type = 'Lock' LIMIT 1");
	return;
}

# How often a process has gone to sleep
sub sleeps
{
	my ($pid) = @_;

	slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m
	  or die 'no such count';
	return $1;
}

# ----- the extension comes and goes -----

poll(q{SELECT true FROM pg_stat_activity
	WHERE backend_type = 'durable_wf launcher' AND datname IS NULL});
pass('there is a launcher, in no database');
workers_are('', 'and no worker without the extension');

sql('CREATE EXTENSION durable_wf');
workers_are('postgres', 'CREATE EXTENSION brings a worker');
sql('DROP EXTENSION durable_wf');
workers_are('', 'DROP EXTENSION sends it away');

sql('BEGIN; CREATE EXTENSION durable_wf; ROLLBACK');
sql('CREATE DATABASE d1; CREATE DATABASE d2');
sql_in('d1', 'CREATE EXTENSION durable_wf');
workers_are('d1', 'a CREATE EXTENSION that is rolled back brings none');

# The worker leaves for it, so as not to be in its way, and is back afterwards.
sql_in('d1', 'BEGIN; DROP EXTENSION durable_wf; ROLLBACK');
sql_in('d1',
	'BEGIN; SAVEPOINT s; DROP EXTENSION durable_wf; ROLLBACK TO s; COMMIT');
sql_in('d2', 'CREATE EXTENSION durable_wf');
workers_are('d1 d2', 'a DROP EXTENSION that is rolled back is none');

sql_in('d1', 'DROP EXTENSION durable_wf; CREATE EXTENSION durable_wf;' x 10);
workers_are('d1 d2', 'one that is created while a worker is leaving has one');
sql_in('d1', 'CREATE EXTENSION IF NOT EXISTS durable_wf;' .
	  'DROP EXTENSION durable_wf; CREATE EXTENSION durable_wf;' x 5 .
	  'DROP EXTENSION durable_wf');
workers_are('d2', 'one that is dropped while a worker is starting has none');

sql_in('d1', 'CREATE SCHEMA x; CREATE EXTENSION durable_wf SCHEMA x');
workers_are('d1 d2', 'in a schema of its own');
sql_in('d1', 'DROP SCHEMA x CASCADE');
workers_are('d2', 'DROP SCHEMA ... CASCADE takes it along');

sql('CREATE ROLE owner SUPERUSER LOGIN CREATEDB');
sql_in('d1', 'SET ROLE owner; CREATE EXTENSION durable_wf');
workers_are('d1 d2', 'owned by another role');
sql_in('d1', 'DROP OWNED BY owner CASCADE');
workers_are('d2', 'DROP OWNED takes it along');

sql_in('d1', q{BEGIN; CREATE EXTENSION durable_wf; PREPARE TRANSACTION 'p'});
sql_in('d1', q{COMMIT PREPARED 'p'});
workers_are('d1 d2', 'CREATE EXTENSION of a prepared transaction');
sql_in('d1', q{BEGIN; DROP EXTENSION durable_wf; PREPARE TRANSACTION 'p'});
sql_in('d1', q{COMMIT PREPARED 'p'});
workers_are('d2', 'DROP EXTENSION of a prepared transaction');

sql_in('d1', 'CREATE EXTENSION durable_wf');
workers_are('d1 d2', 'once more');
sql_in('d1', q{BEGIN; DROP EXTENSION durable_wf;
	ALTER DATABASE d2 CONNECTION LIMIT 50; COMMIT});
workers_are('d2', 'together with a change of another database');

# ----- idle -----

{
	my %process = (
		launcher => launcher(), map { $_ => worker($_) } 'd2');
	my %before;

	is( sql(q{SELECT backend_type, state, wait_event_type FROM pg_stat_activity
			   WHERE backend_type LIKE 'durable_wf %' ORDER BY 1}),
		"durable_wf launcher||Extension\ndurable_wf worker|idle|Extension",
		'idle: both sleep');

	# let the end of what came before pass by
	until_true(
		sub {
			%before = map { $_ => sleeps($process{$_}) } keys %process;
			usleep(300_000);
			return !grep { sleeps($process{$_}) != $before{$_} } keys %process;
		},
		'they sleep');
	usleep(2_000_000);
	is(sleeps($process{$_}), $before{$_}, "idle: the $_ does not wake")
	  foreach sort keys %process;
}

# ----- databases come, change and go -----

sql_in('template1', 'CREATE EXTENSION durable_wf');
workers_are('d2 template1', 'template1');
sql('CREATE DATABASE d3');
workers_are('d2 d3 template1', 'CREATE DATABASE from it brings a worker');
sql_in('template1', 'DROP EXTENSION durable_wf');
workers_are('d2 d3', 'template1 without it');

{
	my $worker = worker('d2');

	sql('CREATE DATABASE "d 4" TEMPLATE d2');
	has_new_worker('d2', $worker, 'the template has its worker again');
	workers_are('d 4 d2 d3', 'and so has the copy');
	like(slurp_file('/proc/' . worker('d 4') . '/cmdline'),
		qr/durable_wf worker d 4/, 'which names the database');

	$worker = worker('d 4');
	sql('ALTER DATABASE "d 4" RENAME TO d4');
	has_new_worker('d4', $worker, 'RENAME');
	like(slurp_file('/proc/' . worker('d4') . '/cmdline'),
		qr/durable_wf worker d4/, 'and its worker names the new name');

	$worker = worker('d4');
	sql(q{SET allow_in_place_tablespaces = on; CREATE TABLESPACE ts LOCATION ''});
	sql('ALTER DATABASE d4 SET TABLESPACE ts');
	has_new_worker('d4', $worker, 'SET TABLESPACE');
	sql('DROP DATABASE d4');
	workers_are('d2 d3', 'DROP DATABASE');
	sql('DROP TABLESPACE ts');
}

# WITH (FORCE), with a session in it
{
	my $session = session($node, 'd3');

	sql('DROP DATABASE d3 WITH (FORCE)');
	workers_are('d2', 'DROP DATABASE (FORCE)');
	eval { $session->{run}->finish };
}

# A statement that fails, or is not committed yet
{
	my $renamer = session();
	my $worker = worker('d2');

	$renamer->query_safe('BEGIN; ALTER DATABASE d2 RENAME TO d2_new');
	workers_are('', 'no worker until a RENAME has ended');
	sql_in('d1', 'CREATE EXTENSION durable_wf');
	workers_are('d1', 'elsewhere there is');
	$renamer->query_safe('ROLLBACK');
	$renamer->quit;
	has_new_worker('d2', $worker, 'when it is rolled back it is there again');
	sql_in('d1', 'DROP EXTENSION durable_wf');
	workers_are('d2', 'as before');
}

# Who may not do it disturbs nobody.
{
	my $worker = worker('d2');
	my $nobody;

	sql('CREATE ROLE nobody LOGIN');
	$nobody = session();
	$nobody->query_safe('SET ROLE nobody; BEGIN; SAVEPOINT s');
	foreach my $statement (
		'DROP DATABASE d2',
		'CREATE DATABASE d5 TEMPLATE d2',
		'ALTER DATABASE d2 RENAME TO d5',
		'ALTER DATABASE d2 SET TABLESPACE pg_default',
		'ALTER DATABASE d2 CONNECTION LIMIT 0')
	{
		$nobody->query("$statement; ROLLBACK TO s");
		is(worker('d2'), $worker, "not by a role without privileges: $statement");
	}
	$nobody->quit;
}

# One that belongs to another role
sql(q{CREATE ROLE keeper LOGIN CREATEDB; CREATE DATABASE kept OWNER keeper});
sql_in('kept', 'CREATE EXTENSION durable_wf');
workers_are('d2 kept', q{another role's database});
sql(q{SET ROLE keeper; CREATE DATABASE kept2 TEMPLATE kept});
workers_are('d2 kept kept2', 'who can copy it');
sql(q{SET ROLE keeper; ALTER DATABASE kept RENAME TO kept3});
workers_are('d2 kept2 kept3', 'rename it');
sql(qq{SET ROLE keeper;\nDROP DATABASE $_}) foreach 'kept2', 'kept3';
workers_are('d2', 'and drop it');

# ----- databases that nobody can connect to -----

sql('ALTER DATABASE d2 ALLOW_CONNECTIONS false');
workers_are('', 'ALLOW_CONNECTIONS false');
sql('CREATE DATABASE d3 TEMPLATE d2');
workers_are('d3', 'a copy of it allows them');
sql('ALTER DATABASE d2 ALLOW_CONNECTIONS true');
workers_are('d2 d3', 'ALLOW_CONNECTIONS true');
{
	my $worker = worker('d2');

	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'whose worker comes back when it dies');
}
sql(join ';', map { "ALTER DATABASE d2 ALLOW_CONNECTIONS $_" }
	  ('false', 'true') x 10);
workers_are('d2 d3', 'ALLOW_CONNECTIONS to and fro');

# A limit is none for a superuser, and a worker counts as one.
{
	my $worker = worker('d2');

	sql('ALTER DATABASE d2 CONNECTION LIMIT 0');
	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'CONNECTION LIMIT 0 is none for a worker');
	sql('ALTER DATABASE d2 CONNECTION LIMIT -1');
}

# Of a direct update nobody is told; it is seen with the next change.
sql(q{UPDATE pg_database SET datallowconn = false WHERE datname = 'd2'});
sql('ALTER DATABASE d3 CONNECTION LIMIT 50');
workers_are('d3', 'datallowconn is updated directly');
sql(q{UPDATE pg_database SET datallowconn = true WHERE datname = 'd2'});
sql('ALTER DATABASE d3 CONNECTION LIMIT -1');
workers_are('d2 d3', 'and back');

# What an interrupted DROP DATABASE leaves
sql(q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'd3'});
sql('ALTER DATABASE d2 CONNECTION LIMIT -1');
workers_are('d2', 'an invalid database');
{
	my $offset = -s $node->logfile;

	sql('CREATE DATABASE d5; DROP DATABASE d5');
	sql_in('d1', 'CREATE EXTENSION durable_wf');
	workers_are('d1 d2', 'it is let alone');
	unlike(slurp_file($node->logfile, $offset),
		qr/invalid database/, 'nobody tries to connect to it');
	sql('DROP DATABASE d3');
}

# ----- locks -----

# Hold up a database's worker: a session locks what it reads to see what is due.
# The lock is granted when a workflow with a timeout commits; so the worker, who
# learns of it by that commit, queues behind.
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

# What it is told meanwhile is not forgotten.
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

# Nor does it hold up who ends the session that it waits for.
{
	my @sessions = hold_up('d3');

	sql('DROP DATABASE d3 WITH (FORCE)');
	workers_are('d1 d2', 'a worker that waits for a lock: DROP DATABASE (FORCE)');
	eval { $_->{run}->finish } foreach @sessions;
}

# Nor a shutdown, where nothing else would end that.
{
	my @sessions = hold_up('d1');

	$sessions[1]->query_safe(q{PREPARE TRANSACTION 'locked'});
	$_->quit foreach @sessions;
	$node->stop('fast');
	$node->start;
	$node->safe_psql('d1', q{ROLLBACK PREPARED 'locked'});
	workers_are('d1 d2', 'a worker that waits for a prepared transaction: stop');
}

# ----- they die, and come back -----

{
	my $worker = worker('d2');

	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'a worker that is terminated comes back');
	$worker = worker('d2');
	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'and again');
}

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

# While a worker is starting
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

# With these they log their transactions, if they have heard of it.
sql(q{ALTER SYSTEM SET log_min_messages = debug5});
{
	my %process = (launcher => launcher(), worker => worker('d2'));
	my $offset = -s $node->logfile;

	$node->reload;
	foreach my $name (sort keys %process)
	{
		until_true(
			sub {
				# both look at it
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

sub warnings
{
	my ($offset) = @_;
	my $log = slurp_file($node->logfile, $offset);
	my $count = () = $log =~ /WARNING:  no slot for the durable_wf worker/g;

	return $count;
}

# Wait until so many databases have a worker.
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

	# others retry soon, and say nothing
	$lacking = sql(q{SELECT datname FROM pg_database d
		WHERE datname ~ '^[de]' AND NOT EXISTS (SELECT FROM pg_stat_activity a
			WHERE a.datname = d.datname) ORDER BY 1 LIMIT 1});
	sql(qq{ALTER DATABASE $lacking CONNECTION LIMIT 50});
	sql('SELECT pg_sleep(1.5)');
	is(warnings($offset), 0, 'the warning comes once');

	# there is none for a workflow's body either, and its worker says so
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
