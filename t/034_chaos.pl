# SQL workflows while their executors, the worker and the launcher are ended at
# random: all of them end well, and each effect is there once.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $node = start_node('main', {
	max_worker_processes => 20, fsync => 'off',
	'durable_wf.suspend_after' => '2ms',
	'durable_wf.max_attempts' => 1000 });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (workflow_id text, what text);
CREATE PROCEDURE wanders(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb; total int := 0; woke_at timestamptz;
BEGIN
    FOR i IN 1 .. 8 LOOP
        PERFORM wf_step('step ' || i, 'INSERT INTO effect VALUES (wf_current(), $1->>0)', jsonb_build_array(i));
        CALL wf_recv('t', NULL, NULL, got);
        total := total + (got #>> '{}')::int;
        PERFORM wf_send('sink', got, wf_current());
        IF wf_random() < 0.3 THEN
            CALL wf_sleep('50 ms', woke_at);
        END IF;
    END LOOP;
    PERFORM wf_complete(to_jsonb(total));
END $$;
SELECT wf_start('sink');
SELECT count(wf_start('w ' || i, 'wanders')) FROM generate_series(1, 40) i;
SQL

my $until = time() + 15;
my ($ended, $round) = (0, 0);

while (time() < $until || $round < 8)
{
	if ($round < 8)
	{
		$round++;
		sql("SELECT count(wf_send('w ' || i, to_jsonb($round), 't')) FROM generate_series(1, 40) i");
	}
	$ended += sql(q{SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM (
		SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'durable_wf %'
		ORDER BY random() LIMIT 2) victim});
	usleep(150_000);
}
cmp_ok($ended, '>', 20, 'processes were ended');
poll(q{SELECT count(*) = 0 FROM wf_workflows WHERE body IS NOT NULL AND finished_at IS NULL});
is(sql(q{SELECT status, output, error, count(*) FROM wf_workflows WHERE body IS NOT NULL GROUP BY 1, 2, 3}),
	'SUCCESS|36||40', 'all have ended well, with all messages in order');
is(sql(q{SELECT count(*), count(DISTINCT (workflow_id, what)) FROM effect}), '320|320', 'each effect once');
is(sql(q{SELECT count(*), count(DISTINCT (key, payload)) FROM durable_wf.message}), '320|320', 'each message sent once');
is(sql(q{SELECT count(*) FROM durable_wf.wait}), 0, 'no wait is left');

$node->stop;
done_testing();
