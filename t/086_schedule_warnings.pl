# Schedules that pg_cron could not run are made, with a warning that says why.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libdir) = map { chomp; $_ } `pg_config --pkglibdir`;

plan skip_all => 'this server has no pg_cron' unless -e "$libdir/pg_cron.so";

my $node = DurableWf::start_node('main', {
	shared_preload_libraries => 'durable_wf, pg_cron',
	'cron.database_name' => 'postgres',
	max_worker_processes => 20 });

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION IF NOT EXISTS durable_wf;
CREATE EXTENSION pg_cron;
CREATE ROLE able LOGIN;
CREATE ROLE closed;
CREATE ROLE team;
GRANT team TO able;
GRANT USAGE ON SCHEMA cron TO able, closed;
SQL

# What is said when a role schedules: nothing, or the warning.
sub said
{
	my ($role, $call) = @_;
	my ($out, $err);

	$call //= q{SELECT wf_schedule('s', '0 0 1 1 *', NULL, NULL)};
	$node->psql('postgres', "SET ROLE $role; $call",
		stdout => \$out, stderr => \$err, on_error_stop => 0);
	is($out =~ /^\d+$/, 1, "$role: there is a job in any case");
	$err =~ s/^psql:<stdin>:\d+: //mg;
	return $err;
}

# Replace the rules by which clients log in.
sub rules
{
	my (@rules) = @_;
	my $file = $node->data_dir . '/pg_hba.conf';

	# the test itself goes by the socket
	unlink $file;
	append_to_file($file, "local all postgres trust\n" . join('', map { "$_\n" } @rules));
	return;
}

# pg_cron as a client of localhost, which is its default.
rules('host all all 127.0.0.1/32 trust', 'host all all ::1/128 trust');
is(said('able'), '', 'trusted: nothing is said');
rules('host all all 127.0.0.1/32 scram-sha-256', 'host all all ::1/128 trust');
is(said('able') . "\n", <<'SAID', 'a password: it is said');
WARNING:  job "durable_wf: s" is scheduled, but pg_cron may be unable to run it
DETAIL:  pg_cron connects to "localhost" as role "able"; there, pg_hba.conf asks for method "scram-sha-256".
HINT:  Set cron.use_background_workers = on, and restart the server; or let pg_cron in by pg_hba.conf, or by a file .pgpass of the server's user.
SAID
like(said('able', q{SELECT wf_schedule_retention('0 0 1 1 *', '1 d')}),
	qr/job "durable_wf retention" is scheduled, but .*scram/s, 'retention: it is said, too');
rules('host other all all trust', 'host all other all trust', 'host all all all reject');
like(said('able'), qr/which pg_hba.conf does not let in/, 'rules of others do not count');
rules('host sameuser all all trust', 'host replication all all trust');
like(said('able'), qr/which pg_hba.conf does not let in/, 'no rule');
rules('host all +team samehost trust', 'host all all all md5');
is(said('able'), '', 'by a role that it is a member of');
rules('host postgres able 127.0.0.0 255.255.255.0 trust', 'host all all ::/0 trust');
is(said('able'), '', 'by a net');
rules('host postgres able 10.0.0.0/8 trust', 'host all all all md5');
like(said('able'), qr/asks for method "md5"/, 'by a net that is not this host');

# A job that has run says that the next one will.
$node->safe_psql('postgres',
	q{INSERT INTO cron.job_run_details (jobid, runid, username, status) VALUES (1, 1, 'able', 'succeeded')});
is(said('able'), '', 'what has run before');
$node->safe_psql('postgres', q{DELETE FROM cron.job_run_details});

# A role that may not log in (pg_cron itself refuses one that may not connect),
# whichever way pg_cron takes.
rules('host all all all trust');
like(said('closed'), qr/DETAIL:  Jobs run in sessions of role "closed", which may not log in\.\nHINT:  ALTER ROLE closed LOGIN;/,
	'a role that may not log in');

# Nobody learns of other roles' ways in.
is( $node->safe_psql('postgres', <<'SQL'), 't', 'of another role nothing is told');
SET SESSION AUTHORIZATION able;
SELECT trouble IS NULL FROM durable_wf.cron_trouble('closed');
SQL

# By a socket, and by background workers.
$node->append_conf('postgresql.conf', "cron.host = '" . $node->host . "'");
rules('local all all peer');
$node->restart;
like(said('able'), qr/asks for method "peer"/, 'by a socket');
$node->append_conf('postgresql.conf', 'cron.use_background_workers = on');
$node->restart;
is(said('able'), '', 'background workers need no way in');
like(said('closed'), qr/may not log in/, 'but they, too, must be able to log in');

$node->stop;
done_testing();
