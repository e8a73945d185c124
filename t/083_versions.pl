# The library and the objects of a database can be of different versions: a later
# library works, an earlier one says what is missing, in sessions and in our
# processes.  (That a script of a later version says so, too, ./run deb sees,
# which has an earlier library.)

use strict;
use warnings;

use File::Basename qw(dirname);
use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql sql_in said said_in poll session outcome result worker);
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname($FindBin::RealBin);
my ($version) = slurp_file("$top/durable_wf.control") =~ /^default_version = '(.*)'/m;
my $node = start_node('main', { max_worker_processes => 24 });

sql('CREATE EXTENSION durable_wf');
is(sql('SELECT durable_wf.library_version()'), $version, 'the library says of which version it is');

# Let the objects be of another version.
sub objects_are
{
	sql("UPDATE pg_extension SET extversion = '$_[0]' WHERE extname = 'durable_wf'");
	return;
}

# ----- the objects are later -----

sql(<<'SQL');
CREATE PROCEDURE asks(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    CALL wf_recv('answer', NULL, NULL, answer);
    PERFORM wf_complete(answer);
END $$;
SELECT wf_start('box'), wf_start('w', 'asks');
SQL
poll("SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = 'w'");
my $session = session();
outcome($session, "SELECT wf_send('box', '0')");

my ($major, $minor, $patch) = split /\./, $version;
foreach my $later (join('.', $major, $minor, $patch + 1), join('.', $major, $minor + 1),
	join('.', $major + 1, 0, 0), "$version.1")
{
	objects_are($later);
	foreach my $call ("wf_start('new')", "wf_send('box', '1')", "wf_recv('t', '0', 'box')", "wf_set_event('e', '1', 'box')",
		"wf_get_event('box', 'e', '0')", "wf_attach('box')", "wf_create_hook(workflow_id => 'box')", "wf_prune()",
		"durable_wf.library_version()")
	{
		like(
			said("SELECT $call"),
			qr/ERROR:  55000: the objects of durable_wf in this database are of version \Q$later\E, the library that is loaded is of version \Q$version\E\nHINT:  Install the library of version \Q$later\E or later, and restart the server\.\n/,
			"$later: $call");
	}
}

# what came before went on, and so does a session that was there
is(outcome($session, "SELECT wf_recv(NULL, '0', 'box')"), '0', 'a session that has looked before goes on');

# our processes say so, too
my $offset = -s $node->logfile;
my $worker = worker();
sql("SELECT pg_terminate_backend($worker, 60000)");
ok($node->wait_for_log(qr/\] ERROR:  the objects of durable_wf in this database are of version \Q$version\E\.1,/, $offset),
	'the log says so of our processes');
unlike(slurp_file($node->logfile, $offset), qr/PANIC|TRAP|signal/, 'and no process crashes');

# the right library comes: here, the objects are as they were
objects_are($version);
sql("SELECT wf_send('w', '\"went on\"', 'answer')");
is(result('w'), 'SUCCESS|"went on"|', 'with the right library, workflows go on');

# ----- the objects are earlier, or differ in what is no number -----

foreach my $earlier ('0.3.0', "$version-beta1", $version)
{
	objects_are($earlier);
	is(sql("SELECT wf_send('box', '2') > 0, wf_recv(NULL, '0', 'box')"), 't|2', "$earlier: works");
}

$node->safe_psql('postgres', 'CREATE DATABASE old');
$offset = -s $node->logfile;
sql_in('old', "CREATE EXTENSION durable_wf VERSION '0.3.0'");
ok($node->wait_for_log(qr/LOG:  the objects of durable_wf in database "old" are of version 0\.3\.0, the library is of version \Q$version\E\n.*HINT:  Use ALTER EXTENSION durable_wf UPDATE\./, $offset),
	'the log says what is to be updated');
is(sql_in('old', "SELECT wf_start('w'), wf_send('w', '1', 't') > 0, wf_recv('t', '0', 'w'); SELECT wf_complete('2'::jsonb) FROM wf_attach('w'); SELECT status FROM wf_result('w')"),
	"w|t|1\n\nSUCCESS", 'the objects of 0.3.0 work with this library');
like(said_in($node, 'old', "SELECT wf_write_stream('s', '1', 'w')"), qr/ERROR:  42883: function wf_write_stream\(.*\) does not exist/,
	'what they lack is not there');
sql_in('old', 'ALTER EXTENSION durable_wf UPDATE');
is(sql_in('old', "SELECT durable_wf.library_version() = extversion FROM pg_extension WHERE extname = 'durable_wf'"), 't', 'until they are updated');

# ----- our scripts -----

foreach my $script ("$top/extension/install/schema.sql", (glob "$top/extension/upgrade/durable_wf--*--$version.sql")[0])
{
	(my $text = slurp_file($script)) =~ s/^--.*\n|^\\echo.*\n//mg;
	like($text, qr/\A\s*(CREATE SCHEMA durable_wf;\s*COMMENT .*\n.*\s*GRANT .*\s*)?DO \$check\$\n/, "$script asks for the library first");
}

$node->stop;
done_testing();
