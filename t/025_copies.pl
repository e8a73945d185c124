# Copies do not run by themselves: a restore, a database copied from another, an
# upgraded server and a subscriber are recognised, keep all that they have got,
# and wait for wf_adopt; a physical copy has durable_wf.paused.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = DurableWf::start_node('main',
	{ wal_level => 'logical', max_worker_processes => 20,
		max_prepared_transactions => 2 },
	allows_streaming => 1);
my $dir = $node->backup_dir;

# What the worker of a database shows, in the end.
sub shows
{
	my ($server, $database, $query, $name) = @_;

	ok($server->poll_query_until('postgres', <<"SQL"), $name);
SELECT count(*) = 1 FROM pg_stat_activity
 WHERE backend_type = 'durable_wf worker' AND datname = '$database'
   AND state = 'idle' AND query = '$query'
SQL
	return;
}

# A copy is recognised, works, and is adopted by the owner of the database.
sub is_copy
{
	my ($server, $database, $name) = @_;
	my $said = qr/LOG:  workflows of database "$database" come from another one and do not run here\n.*HINT:  When they no longer run there, call wf_adopt\(\) in this database/;

	is($server->safe_psql($database, 'SELECT durable_wf.is_copy()'),
		't', "$name: is a copy");
	shows($server, $database, 'workflows wait for wf_adopt()',
		"$name: its worker waits");
	like(slurp_file($server->logfile), $said, "$name: the log says so");
	is( $server->safe_psql($database,
			q{SELECT wf_recv('t', '0', 'w'), wf_get_event('w', 'k', '0')}),
		'"mail"|1', "$name: what was there is there");
	is( $server->safe_psql($database, <<'SQL'), qq{t\n"new"}, "$name: and goes on");
SELECT wf_send('w', '"new"', 't') > 0;
SELECT wf_recv('t', '0', 'w');
SQL
	is($server->safe_psql($database, 'SELECT durable_wf.is_copy()'),
		't', "$name: that does not adopt it");
	like(
		($server->psql($database, 'SET ROLE nobody; SELECT wf_adopt()'))[2],
		qr/permission denied for function wf_adopt/,
		"$name: not everybody may adopt it");
	is( $server->safe_psql($database,
			'SELECT wf_adopt(); SELECT durable_wf.is_copy(), wf_adopt()'),
		"t\nf|f", "$name: adopted, once");
	shows($server, $database, '', "$name: its worker does not wait any more");
	return;
}

$node->safe_psql('postgres', 'CREATE ROLE nobody; CREATE DATABASE db');
$node->safe_psql('db', <<'SQL');
CREATE EXTENSION durable_wf;
SELECT wf_start('w'), wf_start('ended'), wf_cancel('ended');
SELECT wf_send('w', '"mail"', 't'), wf_set_event('k', '1', 'w');
SQL

# In mid-flight: what is not committed is not there, what is taken and not
# committed is.
{
	my $waiter = DurableWf::waiter(q{SELECT wf_recv('none', NULL, 'w')}, $node, 'db');
	my $sender = DurableWf::session($node, 'db');
	my $taker = DurableWf::session($node, 'db');

	$sender->query_safe(q{BEGIN; SELECT wf_send('w', '"uncommitted"', 't')});
	$taker->query_safe(q{BEGIN; SELECT wf_recv('t', '0', 'w')});
	$node->safe_psql('db', q{BEGIN; SELECT wf_send('w', '"prepared"', 't'); PREPARE TRANSACTION 'p'});
	$node->command_ok([ 'pg_dump', '-d', $node->connstr('db'), '-f', "$dir/plain.sql" ],
		'dump in mid-flight');
	$node->command_ok([ 'pg_dump', '-d', $node->connstr('db'), '-Fd', '-j', '2',
			'-f', "$dir/directory" ], 'dump in mid-flight, by two');
	$_->query_safe('ROLLBACK') foreach $sender, $taker;
	$node->safe_psql('db', q{ROLLBACK PREPARED 'p'});
	$node->safe_psql('db', q{SELECT pg_cancel_backend(pid) FROM wf_waiters});
	$_->quit foreach $waiter, $sender, $taker;
}

# Restored by psql beside a live worker, into a database whose workers live.
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-q', '-f', "$dir/plain.sql" ],
	'psql: restored');
is_copy($node, 'plain', 'psql');

# By pg_restore, with two jobs, to which row comes first does not matter.
$node->safe_psql('postgres', 'CREATE DATABASE jobs');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('jobs'), '-j', '2', "$dir/directory" ],
	'pg_restore: restored');
is_copy($node, 'jobs', 'pg_restore');

# Only the rows, into a database that has the extension and is at work.
$node->safe_psql('postgres', 'CREATE DATABASE rows');
$node->safe_psql('rows', 'CREATE EXTENSION durable_wf');
shows($node, 'rows', '', 'rows: its worker is at work');
{
	my $waiter = DurableWf::waiter(q{SELECT wf_get_event('w', 'k', NULL)}, $node, 'rows');

	$node->command_ok([ 'pg_restore', '-d', $node->connstr('rows'), '--data-only',
			'-t', 'workflow', '-t', 'message', '-t', 'event', "$dir/directory" ],
		'rows: restored');
	is(DurableWf::outcome($waiter), 1, 'rows: a restored event wakes');
	$waiter->quit;
}
is_copy($node, 'rows', 'rows');

# Copied by the server; the original is none the wiser.
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE db');
is_copy($node, 'copied', 'template');
is($node->safe_psql('db', 'SELECT durable_wf.is_copy(), wf_adopt()'),
	'f|f', 'the original is no copy');
shows($node, 'db', '', "the original's worker does not wait");

# A copy without workflows: the first workflow makes the database its home,
# whichever role starts it.
$node->safe_psql('postgres', 'CREATE DATABASE model');
$node->safe_psql('model', 'CREATE EXTENSION durable_wf');
foreach my $round (1 .. 3)
{
	my $offset = -s $node->logfile;
	my $sessions;

	$node->safe_psql('postgres', "CREATE DATABASE fresh_$round TEMPLATE model");
	shows($node, "fresh_$round", '', 'fresh: its worker waits for nothing') if $round == 1;
	is($node->safe_psql("fresh_$round", q{BEGIN; SELECT wf_start('w'); SELECT durable_wf.is_copy(); SELECT wf_start('v'); ROLLBACK; SELECT durable_wf.is_copy()}),
		"w\nf\nv\nt", 'fresh: rolled back, it was nothing') if $round == 2;
	is($node->safe_psql("fresh_$round", <<'SQL'), "w\nSUCCESS|f", 'fresh: its first workflow runs');
CREATE PROCEDURE quick(input jsonb) LANGUAGE plpgsql AS $$ BEGIN PERFORM wf_complete('1'); END $$;
SELECT wf_start('w', 'quick');
SELECT status, durable_wf.is_copy() FROM wf_result('w', '60 s');
SQL
	is($node->safe_psql("fresh_$round", q{SELECT wf_start('t', timeout => '1 ms'); SELECT status FROM wf_result('t', '60 s')}),
		"t\nCANCELLED", 'fresh: timers run');
	unlike(slurp_file($node->logfile, $offset), qr/come from another one/, 'fresh: the log says nothing');
}
# A database with workflows from elsewhere is a copy, and a session that starts a
# workflow there is warned that it will not run.
{
	my $told = qr/WARNING:  .*workflow "x[12]" will not run before wf_adopt\(\) is called\n.*\nHINT:  When they no longer do, have the owner of the database call wf_adopt\(\)/;

	$node->safe_psql('postgres', 'CREATE DATABASE not_fresh TEMPLATE fresh_1');
	shows($node, 'not_fresh', 'workflows wait for wf_adopt()', 'copy: its worker waits');
	like(($node->psql('not_fresh', q{SELECT wf_start('x1', 'quick')}))[2], $told, 'copy: whoever starts one is told');
	is(($node->psql('not_fresh', q{SELECT wf_start('no body')}))[2], '', 'copy: not of one without a body');

	# a session that has seen the database as a home, before a restore
	my $session = DurableWf::session($node, 'not_fresh');
	$session->query_safe(q{SELECT wf_adopt()});
	$session->query_safe(q{SELECT wf_start('at home')});
	$node->safe_psql('not_fresh', q{INSERT INTO durable_wf.workflow (workflow_id, owner) SELECT 'restored', oid FROM pg_roles WHERE rolname = current_user});
	shows($node, 'not_fresh', 'workflows wait for wf_adopt()', 'copy: again, by a restore');
	like(DurableWf::outcome($session, q{SELECT wf_start('x2', 'quick')}), $told, 'copy: whoever knew better is told');
	$session->quit;
	is($node->safe_psql('not_fresh', q{SELECT wf_adopt(); SELECT status FROM wf_result('x1', '60 s'); SELECT status FROM wf_result('x2', '60 s')}), "t\nSUCCESS\nSUCCESS", 'copy: adopted, they run');
	is(($node->psql('not_fresh', q{SELECT wf_start('y', 'quick')}))[2], '', 'copy: adopted, nothing is said');
}

# A subscriber, whichever tables it has got.
my $subscriber = DurableWf::start_node('subscriber', { max_worker_processes => 20 });

$subscriber->safe_psql('postgres', 'CREATE ROLE nobody; CREATE DATABASE db');
$subscriber->safe_psql('db', 'CREATE EXTENSION durable_wf');
$node->safe_psql('db',
	'CREATE PUBLICATION pub FOR TABLE durable_wf.workflow, durable_wf.message, durable_wf.event');
{
	my $waiter = DurableWf::waiter(q{SELECT wf_get_event('w', 'k', NULL)}, $subscriber, 'db');

	$subscriber->safe_psql('db', sprintf "CREATE SUBSCRIPTION sub CONNECTION '%s' PUBLICATION pub",
		$node->connstr('db') =~ s/'/''/gr);
	is(DurableWf::outcome($waiter), 1, 'subscriber: what is replicated wakes');
	$waiter->quit;
}
$subscriber->wait_for_subscription_sync($node, 'sub', 'db');
is( $subscriber->safe_psql('db', 'SELECT durable_wf.is_copy(), wf_adopt()'),
	't|t', 'subscriber: is a copy');
$node->safe_psql('db', q{SELECT wf_start('later')});
ok( $subscriber->poll_query_until('db',
		q{SELECT durable_wf.is_copy() AND EXISTS (SELECT FROM wf_workflows WHERE workflow_id = 'later')}),
	'subscriber: adopted too early, it is a copy again');
# items come with ids that the subscriber's sequence knows nothing of
my $last = $node->safe_psql('db', q{SELECT max(wf_send('w', to_jsonb(n), 'ids')) FROM generate_series(1, 9) n});
ok($subscriber->poll_query_until('db', "SELECT max(message_id) = $last FROM durable_wf.message"), 'subscriber: items come');
$subscriber->safe_psql('db', 'DROP SUBSCRIPTION sub');
is_copy($subscriber, 'db', 'subscriber');
is($subscriber->safe_psql('db', qq{SELECT wf_send('w', '10', 'ids') > $last;
	SELECT string_agg(message::text, ' ') FROM wf_recv_many('ids', 99, '0', 'w')}),
	"t\n1 2 3 4 5 6 7 8 9 10", 'subscriber: adopted, it sends behind them');
$subscriber->stop;

# A physical copy cannot be told; a setting holds it.
$node->backup('backup');
{
	my $clone = PostgreSQL::Test::Cluster->new('clone');

	$clone->init_from_backup($node, 'backup');
	$clone->append_conf('postgresql.conf', 'durable_wf.paused = on');
	$clone->start;
	shows($clone, 'db', 'workflows are paused: durable_wf.paused',
		'base backup: paused');
	is($clone->safe_psql('db', 'SELECT durable_wf.is_copy()'),
		'f', 'base backup: not recognised');
	is($clone->safe_psql('db', q{SELECT wf_recv('t', '0', 'w')}),
		'"mail"', 'base backup: all else works');
	$clone->append_conf('postgresql.conf', 'durable_wf.paused = off');
	$clone->reload;
	shows($clone, 'db', '', 'base backup: let go on by a reload');
	$clone->stop;
}

# An upgraded server; no process of ours runs in between.
{
	my $old = DurableWf::start_node('old');
	my $new = PostgreSQL::Test::Cluster->new('new');
	my $bindir = (map { chomp; $_ } `pg_config --bindir`)[0];

	$new->init;
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'durable_wf'");
	$old->safe_psql('postgres', 'CREATE ROLE nobody; CREATE ROLE owner; CREATE DATABASE db');
	$old->safe_psql('db', <<'SQL');
CREATE EXTENSION durable_wf;
SET ROLE owner;
SELECT wf_start('w'), wf_send('w', '"mail"', 't'), wf_set_event('k', '1', 'w');
SQL
	$old->stop;
	chdir $PostgreSQL::Test::Utils::tmp_check;
	command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir,
			'-b', $bindir, '-B', $bindir, '-p', $old->port, '-P', $new->port,
			'-s', $new->host ], 'pg_upgrade');
	unlike(slurp_file($_), qr/durable_wf (launcher|worker)/, 'pg_upgrade: none of our processes')
	  foreach glob $new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server.log';
	$new->start;
	is( $new->safe_psql('db', q{SELECT owner FROM wf_workflows}),
		'owner', 'pg_upgrade: owners are kept');
	is_copy($new, 'db', 'pg_upgrade');
	$new->stop;
}

$node->stop;
done_testing();
