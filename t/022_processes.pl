# The launcher and the workers: which databases have a worker and which have not,
# as extension and databases come, change and go; and that idle ones sleep.
# Their own ends, locks, crashes and too few slots: t/027_process_ends.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql sql_in poll session at_rest switches launcher
  worker workers_are has_new_worker);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = start_node(
	'main',
	{
		max_worker_processes => 12,
		max_logical_replication_workers => 0,	# its launcher takes a slot, too
		max_prepared_transactions => 2,
		log_min_messages => 'warning'
	});

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

# The worker exits, so that DROP EXTENSION does not wait for it, and another one
# is started afterwards.
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

	# wait until the processes are done with what came before
	@before{ sort keys %process } = at_rest(map { $process{$_} } sort keys %process);
	is( sql(q{SELECT backend_type, state, wait_event_type FROM pg_stat_activity
			   WHERE backend_type LIKE 'durable_wf %' ORDER BY 1}),
		"durable_wf launcher||Extension\ndurable_wf worker|idle|Extension",
		'idle: both sleep');
	usleep(2_000_000);
	is(switches($process{$_}), $before{$_}, "idle: the $_ does not wake")
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

# DROP DATABASE WITH (FORCE), while a session is connected
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

# A role without the privilege disturbs no worker.
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

# A database that belongs to another role
sql(q{CREATE ROLE keeper LOGIN CREATEDB; CREATE DATABASE kept OWNER keeper});
sql_in('kept', 'CREATE EXTENSION durable_wf');
workers_are('d2 kept', q{another role's database});
sql(q{SET ROLE keeper; CREATE DATABASE kept2 TEMPLATE kept});
workers_are('d2 kept kept2', 'who can copy it');
sql(q{SET ROLE keeper; ALTER DATABASE kept RENAME TO kept3});
workers_are('d2 kept2 kept3', 'rename it');
sql(qq{SET ROLE keeper;\nDROP DATABASE $_}) foreach 'kept2', 'kept3';
workers_are('d2', 'and drop it');

# ----- databases that do not allow connections -----

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

# CONNECTION LIMIT does not hold for superusers, and a worker counts as one.
{
	my $worker = worker('d2');

	sql('ALTER DATABASE d2 CONNECTION LIMIT 0');
	sql("SELECT pg_terminate_backend($worker)");
	has_new_worker('d2', $worker, 'CONNECTION LIMIT 0 is none for a worker');
	sql('ALTER DATABASE d2 CONNECTION LIMIT -1');
}

# A direct update of pg_database tells no process; the launcher sees it with the
# next change of a database.
sql(q{UPDATE pg_database SET datallowconn = false WHERE datname = 'd2'});
sql('ALTER DATABASE d3 CONNECTION LIMIT 50');
workers_are('d3', 'datallowconn is updated directly');
sql(q{UPDATE pg_database SET datallowconn = true WHERE datname = 'd2'});
sql('ALTER DATABASE d3 CONNECTION LIMIT -1');
workers_are('d2 d3', 'and back');

# An invalid database, as an interrupted DROP DATABASE leaves it
sql(q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'd3'});
sql('ALTER DATABASE d2 CONNECTION LIMIT -1');
workers_are('d2', 'an invalid database');
{
	my $offset = -s $node->logfile;

	sql('CREATE DATABASE d5; DROP DATABASE d5');
	sql_in('d1', 'CREATE EXTENSION durable_wf');
	workers_are('d1 d2', 'it is left alone');
	unlike(slurp_file($node->logfile, $offset),
		qr/invalid database/, 'nobody tries to connect to it');
	sql('DROP DATABASE d3');
}

$node->stop;
done_testing();
