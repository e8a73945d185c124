# A dump that was taken while SQL workflows wait, run and are about to: what is
# restored does not run by itself; adopted, it goes on from the journal.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node poll session);
use PostgreSQL::Test::Utils;
use Test::More;

my %settings = (max_worker_processes => 20, 'durable_wf.suspend_after' => '10ms');
my $source = start_node('source', \%settings);
my $target = start_node('target', \%settings);

$source->safe_psql('postgres', 'CREATE DATABASE db; CREATE ROLE alice LOGIN');
$source->safe_psql('db', <<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
GRANT ALL ON effect, effect_n_seq TO alice;
CREATE PROCEDURE body(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb; timed_out boolean; status text; error text; at timestamptz;
BEGIN
    CALL public.wf_step('first', 'INSERT INTO public.effect (what) VALUES (1)', NULL, 1, '0', got);
    CASE input->>0
    WHEN 'message' THEN CALL public.wf_recv('t', NULL, NULL, got);
    WHEN 'deadline' THEN CALL public.wf_recv('t', '2 h', NULL, got);
    WHEN 'event' THEN CALL public.wf_get_event('other', 'k', NULL, got);
    WHEN 'notify' THEN CALL public.wf_wait_for_event('e', NULL, NULL, got, timed_out);
    WHEN 'result' THEN CALL public.wf_result('other', NULL, status, got, error);
    WHEN 'timer' THEN CALL public.wf_sleep('2 h', at);
    WHEN 'hour' THEN CALL public.wf_sleep('1 h', at);
    ELSE PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
    END CASE;
    CALL public.wf_step('second', 'INSERT INTO public.effect (what) VALUES (2)', NULL, 1, '0', got);
END $$;
SELECT wf_start('other');
SQL

my @waits = qw(message deadline event notify result timer hour);
my $guard = session($source, 'db');

# What there is: seven that wait, one that runs, one of another role, one that
# has not begun.
$guard->query_safe('SELECT pg_advisory_lock(1)');
$source->safe_psql('db', "SELECT wf_start('$_', 'body', '[\"$_\"]')") foreach @waits, 'running';
$source->safe_psql('db', q{SET ROLE alice; SELECT wf_start('of alice', 'body', '["message"]')});
$source->poll_query_until('db', q{SELECT count(*) = 9 FROM effect}) or die 'the first steps are not done';
$source->poll_query_until('db', q{SELECT count(*) = 8 FROM durable_wf.step WHERE function <> 'wf_step' AND completed_at IS NULL})
  or die 'they do not wait';
$source->append_conf('postgresql.conf', 'durable_wf.paused = on');
$source->reload;
$source->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'db' AND backend_type = 'durable_wf worker' AND query LIKE 'workflows are paused%'});
$source->safe_psql('db', q{SELECT wf_start('pending', 'body', '["running"]')});
is($source->safe_psql('db', q{SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM wf_workflows WHERE body IS NOT NULL}),
	'PENDING RUNNING WAITING', 'dumped in all states');

# two of them are due
$source->safe_psql('db', <<'SQL');
UPDATE durable_wf.step SET deadline = now() WHERE workflow_id IN ('timer', 'deadline') AND completed_at IS NULL;
UPDATE durable_wf.wait SET deadline = now() WHERE workflow_id IN ('timer', 'deadline');
SQL

my $file = $source->basedir . '/dump';
$source->command_ok([ 'pg_dump', '-Fc', '-f', $file, $source->connstr('db') ], 'pg_dump');
$target->safe_psql('postgres', 'CREATE ROLE alice LOGIN');

# All that changes when something runs.
sub state
{
	return $_[0]->safe_psql('copy', q{SELECT workflow_id, status, attempts, updated_at FROM wf_workflows ORDER BY 1;
		SELECT workflow_id, step_no, name, completed_at FROM durable_wf.step ORDER BY 1, 2; SELECT * FROM effect ORDER BY n;
		SELECT workflow_id, door, key FROM durable_wf.wait ORDER BY 1, 2, 3});
}

# In the source's cluster, while the original goes on, and in another one.
$source->append_conf('postgresql.conf', 'durable_wf.paused = off');
$source->reload;
$guard->quit;
foreach my $node ($source, $target)
{
	my $name = $node->name;

	$node->safe_psql('postgres', 'CREATE DATABASE copy');
	$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('copy'), $file ], "$name: pg_restore");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'copy' AND backend_type = 'durable_wf worker' AND query = 'workflows wait for wf_adopt()'}),
		"$name: the worker waits for wf_adopt()");
	my $before = state($node);

	# what comes meanwhile stays for later
	$node->safe_psql('copy', q{SELECT wf_send('message', '1', 't'), wf_send('of alice', '1', 't'), wf_set_event('k', '1', 'other')});
	is($node->safe_psql('copy', q{SELECT * FROM wf_result('timer', '1 s'); SELECT * FROM wf_result('message', '0')}),
		"WAITING||\nWAITING||", "$name: what is due does not go on");
	is(state($node), $before, "$name: nothing has run");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'copy' AND backend_type = 'durable_wf executor'}),
		0, "$name: no executor");

	is($node->safe_psql('copy', 'SELECT wf_adopt()'), 't', "$name: adopted");
	foreach my $id ('message', 'deadline', 'event', 'timer', 'running', 'pending', 'of alice')
	{
		is($node->safe_psql('copy', "SELECT * FROM wf_result('$id', '60 s')"), 'SUCCESS||', "$name: goes on: $id");
	}
	is($node->safe_psql('copy', q{SELECT string_agg(workflow_id, ' ' ORDER BY workflow_id) FROM wf_workflows WHERE status = 'WAITING'}),
		'hour notify result', "$name: the others wait");
	is($node->safe_psql('copy', q{SELECT count(*) FROM wf_notify('e', '1')}), 1, "$name: a broadcast finds who waits");
	$node->safe_psql('copy', q{BEGIN; SET LOCAL durable_wf.workflow_id = 'other'; SELECT wf_complete('1'); COMMIT});
	foreach my $id ('notify', 'result')
	{
		is($node->safe_psql('copy', "SELECT * FROM wf_result('$id', '60 s')"), 'SUCCESS||', "$name: goes on: $id");
	}
	is($node->safe_psql('copy', q{SELECT deadline BETWEEN now() + '30 min' AND now() + '1 h' FROM wf_waiters WHERE workflow_id = 'hour' AND door = 'timer'}),
		't', "$name: a deadline is kept");
	is($node->safe_psql('copy', q{SELECT what, count(*), count(DISTINCT workflow_id) FROM effect GROUP BY 1 ORDER BY 1}),
		"1|10|10\n2|9|9", "$name: each step once");
}

# The original, meanwhile
is($source->safe_psql('db', "SELECT * FROM wf_result('$_', '60 s')"), 'SUCCESS||', "original: $_")
  foreach 'deadline', 'timer', 'running', 'pending';
is($source->safe_psql('db', "SELECT wf_status('$_')"), 'WAITING', "original: $_")
  foreach 'message', 'event', 'notify', 'result', 'hour';
is($source->safe_psql('db', q{SELECT what, count(*) FROM effect GROUP BY 1 ORDER BY 1}), "1|10\n2|4", 'original: each step once');

$source->stop;
$target->stop;
done_testing();
