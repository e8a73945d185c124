# A pool of Python processes that share a queue, killed at random: each effect
# in the database once, each outside at least once and recorded once.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql until_true);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What ./run installs; elsewhere it may be missing.
plan skip_all => 'needs Python with psycopg2'
  if system('python3', '-c', 'import psycopg2') != 0;

my $node = start_node('main');
my $outside = $PostgreSQL::Test::Utils::tmp_check . '/outside';
my ($workflows, $size) = (150, 6);
my ($killed, @pool) = (0);

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (workflow_id text, what text);
SELECT count(wf_start('job ' || i, queue => 'jobs')) FROM generate_series(1, 150) i;
SQL

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = sql('SELECT current_user');

# Start a process in a place of the pool.
sub start_process
{
	$pool[ $_[0] ] = IPC::Run::start(
		[ 'python3', "$FindBin::RealBin/python/pool.py", 'jobs', $outside ],
		'>>', \my $out, '2>>', "$outside.errors");
	return;
}

start_process($_) foreach 0 .. $size - 1;
until_true(
	sub {
		my $place = int(rand($size));

		$pool[$place]->kill_kill(grace => 0);
		$killed++;
		start_process($place);
		return sql(q{SELECT count(*) FROM wf_workflows WHERE status = 'SUCCESS'}) == $workflows;
	},
	'all workflows have ended');

note("$killed processes were killed");
cmp_ok($killed, '>', 5, 'processes were killed in the middle');
is(sql(q{SELECT what, count(*), count(DISTINCT workflow_id) FROM effect GROUP BY 1 ORDER BY 1}),
	"first|150|150\nlast|150|150", 'each effect in the database once');
{
	my %seen;

	$seen{$_}++ foreach split /\n/, slurp_file($outside);
	is(scalar(keys %seen), 150, 'each effect outside at least once');
}
is(sql(q{SELECT count(*) FROM wf_workflows w, LATERAL wf_list_steps(w.workflow_id) s WHERE s.name = 'outside'}),
	150, 'and recorded once');
is(sql(q{SELECT count(*) FROM wf_workflows w, LATERAL wf_list_steps(w.workflow_id) s}), 450, 'three steps each, and nothing else');

# Who has nothing left to do ends by itself, without an error.
ok($_->finish, 'a process of the pool ends well') foreach @pool;
is(-e "$outside.errors" ? slurp_file("$outside.errors") : '', '', 'and without a word');

$node->stop;
done_testing();
