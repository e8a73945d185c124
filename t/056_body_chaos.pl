# Bodies that never yield, and others that are killed all the time: each workflow
# gets a turn, and each step happens once.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{DWF_CHAOS_SECONDS} || 60;
my $workflows = 200;
my $rounds = $seconds;			# one takes about half a second, deaths aside
my $node = start_node('main', {
	max_worker_processes => 24, max_connections => 50,
	'durable_wf.careful_time' => 0,
	'durable_wf.max_executors' => 3, 'durable_wf.suspend_after' => '20ms',
	'durable_wf.executor_idle_timeout' => '200ms' });
my $executors = q{SELECT %s FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'};

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE greedy LOGIN;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE effect (workflow_id text DEFAULT wf_current(), what text, who name DEFAULT current_user);
GRANT ALL ON effect TO PUBLIC;
CREATE PROCEDURE spins(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    LOOP NULL; END LOOP;
END $$;
CREATE PROCEDURE three(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb; at timestamptz;
BEGIN
    FOR i IN 1 .. 3 LOOP
        CALL wf_step('step ' || i, 'INSERT INTO effect (what) VALUES ($1->>0)', jsonb_build_array('step ' || i), 1, '0', got);
        CALL wf_sleep('50 ms', at);
    END LOOP;
END $$;
-- random waits, recorded, so that a replay waits alike
CREATE PROCEDURE wanders(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb; timed_out boolean; status text; error text; at timestamptz; topic text; number int;
BEGIN
    FOR i IN 1 .. (input->>'rounds')::int LOOP
        number := floor(wf_random() * 6);
        PERFORM wf_step('begin ' || i, 'INSERT INTO effect (what) VALUES ($1->>0)', jsonb_build_array('begin ' || i));
        CASE number
        WHEN 0 THEN CALL wf_recv('t', '1 s', NULL, got);
        WHEN 1 THEN CALL wf_wait_for_event('e', '1 s', NULL, got, timed_out);
        WHEN 2 THEN CALL wf_sleep(make_interval(secs => wf_random()), at);
        WHEN 3 THEN CALL wf_recv_any('{t,u}', '1 s', NULL, topic, got);
        WHEN 4 THEN
            PERFORM wf_start(wf_current() || '/' || i, 'three', input);
            CALL wf_result(wf_current() || '/' || i, NULL, status, got, error);
            IF status <> 'SUCCESS' THEN
                RAISE EXCEPTION 'child: % %', status, error;
            END IF;
        ELSE
            BEGIN
                PERFORM wf_step('undone ' || i, 'INSERT INTO effect (what) VALUES (''undone'')');
                RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZ001';
            EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
                PERFORM wf_send(input->>'sink', to_jsonb(wf_current() || ' ' || i), 'caught');
            END;
        END CASE;
        CALL wf_step('end ' || i, 'INSERT INTO effect (what) VALUES ($1->>0)', jsonb_build_array('end ' || i), 3, '10 ms', got);
    END LOOP;
    -- this one has to come, or it waits for ever
    CALL wf_recv('last', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
SQL

# ------------------------------------------------------------------- fairness

sql(q{SET ROLE greedy; SELECT count(wf_start('greedy ' || i, 'spins')) FROM generate_series(1, 8) i});
poll(q{SELECT count(*) = 3 FROM wf_workflows WHERE owner = 'greedy' AND status = 'RUNNING'});
foreach my $role ('alice', 'bob')
{
	sql("SET ROLE $role; SELECT count(wf_start('$role ' || i, 'three')) FROM generate_series(1, 20) i");
}
foreach my $role ('alice', 'bob')
{
	is(sql("SELECT count(*) FROM generate_series(1, 20) i, LATERAL (SELECT status FROM wf_result('$role ' || i, '60 s')) r WHERE status = 'SUCCESS'"),
		20, "fairness: $role has its turn");
}
is(sql(q{SELECT count(*), count(DISTINCT (workflow_id, what)) FROM effect WHERE who IN ('alice', 'bob')}), '120|120', 'fairness: each step once');
is(sql(q{SELECT count(*) FROM wf_workflows WHERE owner = 'greedy' AND status = 'RUNNING'}), 3,
	'fairness: greedy has not got more than durable_wf.max_executors');
is(sql(sprintf($executors, 'count(*)') . q{ AND usename = 'greedy'}), 3, 'fairness: nor more processes');
poll(sprintf($executors, 'count(*) = 0') . q{ AND usename <> 'greedy'});
pass('fairness: the executors beyond that leave');
is(sql(q{SELECT count(*) FROM wf_workflows WHERE owner = 'greedy' AND wf_cancel(workflow_id)}), 8, 'fairness: greedy is cancelled');
poll(sprintf($executors, 'count(*) = 0'));
pass('fairness: and gone');

# ---------------------------------------------------------------------- chaos

# Deaths that take no progress along are not counted here.
$node->append_conf('postgresql.conf', "durable_wf.max_attempts = 1000\ndurable_wf.max_executors = 6");
$node->reload;
sql('TRUNCATE effect');
foreach my $role ('postgres', 'alice')
{
	sql(qq{SET ROLE $role; SELECT wf_start('sink of $role');
		SELECT count(wf_start('w ' || i, 'wanders', '{"rounds": $rounds, "sink": "sink of $role"}'))
		  FROM generate_series(1, $workflows) i WHERE (i % 2 = 0) = ('$role' = 'alice')});
}

# Senders, until they are ended: messages and broadcasts.
my @senders;
foreach my $sender (1 .. 3)
{
	my $in = qq{SELECT wf_send('w ' || (1 + floor(random() * $workflows))::int, '1', (ARRAY['t', 'u'])[1 + floor(random() * 2)::int]) FROM wf_notify('e', '1') RIGHT JOIN (SELECT pg_sleep(0.005)) s ON true LIMIT 1 \\watch 0.005\n};
	push @senders, IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \$in, '>', '/dev/null', '2>', '/dev/null');
}

# Every 300 ms one of our processes dies: mostly executors.  On a slow machine it
# takes longer until enough have.
my $ends = time() + $seconds;
my $deaths = 0;
srand(4711);
while (time() < $ends || $deaths <= $seconds)
{
	my $type = (('executor') x 8, 'worker', 'launcher')[ int(rand(10)) ];

	$deaths += sql("SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf $type' ORDER BY random() LIMIT 1) p");
	usleep(300_000);
}
note("$deaths deaths");
foreach my $sender (@senders)
{
	$sender->signal('KILL');
	eval { $sender->finish };
}

# What was waited for in vain runs out of time; then the last message comes.
sql(qq{SELECT count(wf_send('w ' || i, to_jsonb(i), 'last')) FROM generate_series(1, $workflows) i});
my ($ended, $further, $left) = ('', '', $PostgreSQL::Test::Utils::timeout_default);
while ($left-- > 0)
{
	# which may take its time, as long as they get further
	$ended = sql(q{SELECT count(*) = 0 FROM wf_workflows WHERE workflow_id LIKE 'w %' AND status NOT IN ('SUCCESS', 'ERROR')});
	last if $ended eq 't';
	my $now = sql('SELECT count(completed_at) FROM durable_wf.step');
	$left = $PostgreSQL::Test::Utils::timeout_default if $now ne $further;
	$further = $now;
	usleep(1_000_000);
}
is($ended, 't', 'chaos: all end')
  or diag(sql(q{SELECT workflow_id, status, attempts, due_at - now(), updated_at FROM durable_wf.workflow WHERE finished_at IS NULL AND body IS NOT NULL LIMIT 20;
	SELECT * FROM durable_wf.wait LIMIT 20; SELECT pid, state, wait_event, query FROM pg_stat_activity WHERE backend_type LIKE 'durable%'}));
is(sql(q{SELECT workflow_id, error FROM wf_workflows WHERE workflow_id LIKE 'w %' AND status = 'ERROR'}), '', 'chaos: well');
is(sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id ~ '^w \d+$' AND output = to_jsonb(substr(workflow_id, 3)::int)}),
	$workflows, 'chaos: with what they were sent last');
is(sql(q{SELECT workflow_id, what, count(*) FROM effect GROUP BY 1, 2 HAVING count(*) > 1}), '', 'chaos: no step twice');
is(sql(q{SELECT count(*) FROM effect WHERE workflow_id ~ '^w \d+$'}), $workflows * $rounds * 2, 'chaos: each step');
is(sql(q{SELECT count(*) FROM effect WHERE workflow_id ~ '/'}),
	3 * sql(q{SELECT count(*) FROM wf_workflows WHERE workflow_id ~ '/'}), 'chaos: and of each child');
is(sql(q{SELECT count(*) FROM effect WHERE what = 'undone'}), 0, 'chaos: nothing that was undone');
is(sql(q{SELECT count(*) FROM durable_wf.step WHERE name LIKE 'undone %' AND undone}),
	sql(q{SELECT count(*) FROM durable_wf.step WHERE name LIKE 'sink %'}), 'chaos: but its record');
is(sql(q{SELECT count(*), count(DISTINCT payload) FROM durable_wf.message WHERE workflow_id LIKE 'sink %'}),
	sql(q{SELECT count(*), count(*) FROM durable_wf.step WHERE name LIKE 'sink %'}), 'chaos: each message once');
is(sql(q{SELECT workflow_id, count(*), max(step_no) FROM durable_wf.step GROUP BY 1 HAVING count(*) <> max(step_no)}), '', 'chaos: no gap in a journal');
is(sql(q{SELECT count(*) FROM durable_wf.wait}), 0, 'chaos: no wait is left');

$node->stop;
done_testing();
