# Schedules with a real pg_cron: a tick starts one workflow; a role that cannot
# schedule is told what to do, and that works.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(said_in);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libdir) = map { chomp; $_ } `pg_config --pkglibdir`;

plan skip_all => 'this server has no pg_cron' unless -e "$libdir/pg_cron.so";

my $node = DurableWf::start_node('main', {
	shared_preload_libraries => 'durable_wf, pg_cron',
	'cron.database_name' => 'crond',
	'cron.use_background_workers' => 'on',
	max_worker_processes => 20 });

# The statement that the hint of an error says to run.
sub advice
{
	my ($statement) = @_;
	my ($advice) = said_in($node, 'away', $statement) =~ /^HINT:  Run there: (.*)$/m;

	return $advice;
}

$node->safe_psql('postgres', qq{CREATE DATABASE $_})
  foreach 'crond', 'away';
$node->safe_psql($_, 'CREATE EXTENSION durable_wf') foreach 'crond', 'away';

# Loaded, but not there yet.
like( said_in($node, 'crond', q{SELECT wf_schedule('s', '* * * * *', NULL, NULL)}),
	qr/55000: schedules need pg_cron, which is not in this database\nHINT:  CREATE EXTENSION pg_cron/,
	'not created: it says what to do');
$node->safe_psql('crond', 'CREATE EXTENSION pg_cron');

# What the documentation shows, which t/010 cannot run.
my %shown = map {
	my $file = $_;
	map { ("$file: $_" => $_) } slurp_file("$FindBin::RealBin/../$file") =~ /^```sql norun\n(.*?)^```$/msg
} 'docs/migrating.md', 'docs/reference.md';
cmp_ok(keys %shown, '>=', 2, 'there are examples');
foreach my $name (sort keys %shown)
{
	like($node->safe_psql('crond', "BEGIN; CREATE PROCEDURE report(input jsonb) LANGUAGE plpgsql AS \$\$BEGIN END\$\$; $shown{$name} ROLLBACK"),
		qr/^\d+$/, $name);
}

# A tick is to come while the rest is tested.
like( $node->safe_psql('crond',
		q{SELECT wf_schedule('tick', '* * * * *', NULL, '{"it''s": "%s \\\\ ü"}')}),
	qr/^\d+$/, 'a schedule is a job of pg_cron');
is( $node->safe_psql('crond',
		q{SELECT jobname, schedule, database, username = current_user FROM cron.job}),
	'durable_wf: tick|* * * * *|crond|t', 'and is named after it');

# Bad schedules change nothing; a rolled back one neither; again replaces.
like( said_in($node, 'crond', q{SELECT wf_schedule('tick', 'nonsense', NULL, NULL)}),
	qr/22023: invalid schedule: nonsense/, 'a bad schedule is refused');
$node->safe_psql('crond',
	q{BEGIN; SELECT wf_schedule('undone', '0 0 1 1 *', NULL, NULL); ROLLBACK});
$node->safe_psql('crond', q{SELECT wf_schedule('yearly', '0 0 1 1 *', NULL, NULL)});
$node->safe_psql('crond', q{SELECT wf_schedule('yearly', '0 0 2 1 *', NULL, NULL)});
is( $node->safe_psql('crond',
		'SELECT jobname, schedule FROM cron.job ORDER BY jobid'),
	"durable_wf: tick|* * * * *\ndurable_wf: yearly|0 0 2 1 *",
	'what is left: the good ones, each once');
is( $node->safe_psql('crond',
		q{SELECT wf_unschedule('yearly'), wf_unschedule('yearly'), wf_unschedule('undone')}),
	't|f|f', 'wf_unschedule tells whether there was one');

# Long names are as different as short ones.
is( $node->safe_psql('crond', <<'SQL'), "t\nt|t|f", 'long names');
SELECT wf_schedule(repeat('x', 199) || 'a', '0 0 1 1 *', NULL, NULL)
    <> wf_schedule(repeat('x', 199) || 'b', '0 0 1 1 *', NULL, NULL);
SELECT wf_unschedule(repeat('x', 199) || 'a'), wf_unschedule(repeat('x', 199) || 'b'),
       wf_unschedule(repeat('x', 199) || 'a');
SQL

# Other roles: no right, no schedule; their own names.
$node->safe_psql('crond', 'CREATE ROLE other LOGIN');
like( said_in($node, 'crond',
		q{SET ROLE other; SELECT wf_schedule('tick', '* * * * *', NULL, NULL)}),
	qr/42501: permission denied for schema cron/, 'another role: not without a right');
$node->safe_psql('crond', <<'SQL');
GRANT USAGE ON SCHEMA cron TO other;
SET ROLE other;
SELECT wf_schedule('tick', '0 0 1 1 *', NULL, NULL);
SQL
is( $node->safe_psql('crond',
		q{SET ROLE other; SELECT wf_unschedule('tick'), wf_unschedule('tick')}),
	't|f', 'another role: its own schedule of the same name');
is( $node->safe_psql('crond',
		q{SELECT count(*) FROM cron.job WHERE jobname = 'durable_wf: tick'}),
	1, 'another role: the first one stays');

# The same tick, by a retry and by two sessions at once, starts one workflow.
{
	my $job = $node->safe_psql('crond',
		q{SELECT command FROM cron.job WHERE jobname = 'durable_wf: tick'});
	my @sessions = map { DurableWf::session($node, 'crond') } 1, 2;
	my $started;

	# all within one transaction's minute
	$started = $node->safe_psql('crond',
		"BEGIN; $job; SAVEPOINT s; $job; SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'tick@%'; ROLLBACK");
	like($started, qr/^(tick@\S+Z)\n\1\n1$/, 'a retry of the tick starts nothing more');
	$_->query_safe('BEGIN') foreach @sessions;
	my $first = $sessions[0]->query_safe($job);
	DurableWf::start($sessions[1], $job);
	$sessions[0]->query_safe('COMMIT');
	my $second = DurableWf::outcome($sessions[1]);
	$sessions[1]->query_safe('COMMIT');
	is( $node->safe_psql('crond',
			"SELECT count(*) FROM wf_workflows WHERE workflow_id IN ('$first', '$second')"),
		$first eq $second ? 1 : 2, 'two at once start it once');
	$_->quit foreach @sessions;
}

# Upkeep.
$node->safe_psql('crond', q{SELECT wf_schedule_retention('* * * * *', '0 s');
	SELECT wf_start('old'), wf_cancel('old')});
is( $node->safe_psql('crond',
		q{SELECT command FROM cron.job WHERE jobname = 'durable_wf retention'}),
	q{CALL durable_wf.prune_all('00:00:00')}, 'retention is a job, too');

# pg_cron lives elsewhere: the hint holds the statement, and it works there.
{
	my $schedule = advice(
		q{SELECT wf_schedule('it''s %s', '* * * * *', NULL, '{"a\\\\": "''"}')});
	my $retention = advice(q{SELECT wf_schedule_retention('0 3 * * *', '7 days')});
	my $end = advice(q{SELECT wf_unschedule('it''s %s')});

	like($_, qr/^SELECT cron\./, "elsewhere: $_")
	  foreach $schedule, $retention, $end;
	$node->safe_psql('crond', $_) foreach $schedule, $retention;
	# what a session there begins with is nothing to the jobs
	$node->safe_psql('away', <<'SQL');
CREATE ROLE team;
GRANT postgres TO team;
ALTER DATABASE away SET default_transaction_isolation = 'serializable';
ALTER DATABASE away SET default_transaction_read_only = on;
ALTER DATABASE away SET quote_all_identifiers = on;
ALTER DATABASE away SET role = 'team';
SQL
	is( $node->safe_psql('crond',
			q{SELECT jobname, database FROM cron.job WHERE database = 'away' ORDER BY 1}),
		"durable_wf retention in away|away\ndurable_wf: it's %s in away|away",
		'elsewhere: the jobs are made');
	$node->poll_query_until('away', <<'SQL') or die 'no tick';
SELECT count(*) >= 1 FROM wf_workflows
 WHERE workflow_id ~ '^it''s %s@\d{4}-\d\d-\d\dT\d\d:\d\dZ$'
   AND input = '{"a\\": "''"}' AND owner = 'postgres'
SQL
	pass('elsewhere: and start workflows here');
	$node->safe_psql('crond', $end);
	is( $node->safe_psql('crond',
			q{SELECT count(*) FROM cron.job WHERE database = 'away' AND jobname LIKE 'durable_wf: %'}),
		0, 'elsewhere: and end');
}

# By now there was a tick here, too.
$node->poll_query_until('crond', <<'SQL') or die 'no tick';
SELECT count(*) >= 1 FROM cron.job_run_details d
 WHERE d.command LIKE '%start_tick%' AND d.database = 'crond' AND d.status = 'succeeded'
SQL
is( $node->safe_psql('crond', <<'SQL'), 't', 'each tick has started one workflow');
SELECT count(*) FILTER (WHERE w.workflow_id IS NULL) = 0
  FROM cron.job_run_details d LEFT JOIN wf_workflows w
    ON w.workflow_id = 'tick@' || to_char(date_trunc('minute', d.start_time) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"')
   AND w.input = '{"it''s": "%s \\ ü"}' AND w.owner = 'postgres'
 WHERE d.command LIKE '%start_tick%' AND d.database = 'crond' AND d.status = 'succeeded'
SQL
$node->poll_query_until('crond',
	q{SELECT NOT EXISTS (SELECT FROM wf_workflows WHERE workflow_id = 'old')})
  or die 'not pruned';
pass('retention has removed what had ended');
is( $node->safe_psql('crond',
		q{SELECT string_agg(DISTINCT status || coalesce(return_message, ''), ' ') FROM cron.job_run_details WHERE status = 'failed'}),
	'', 'no job has failed');

# Jobs outlive the extension.
$node->safe_psql('crond', 'DROP EXTENSION durable_wf');
is($node->safe_psql('crond', 'SELECT count(*) > 0 FROM cron.job'),
	't', 'jobs outlive the extension');

$node->stop;
done_testing();
