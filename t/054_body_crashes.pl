# Bodies of SQL workflows that are killed, undone, changed, cancelled, waited
# for in numbers: what happened once does not happen again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll session kill_backend result
  suspended end_executors);
use DurableWf::Bodies qw(effects);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 24, max_prepared_transactions => 12, restart_after_crash => 'on',
	'durable_wf.suspend_after' => '10ms', 'durable_wf.max_attempts' => 10 });

# Let a workflow that waits for 'go' go on, and wait until it has.
sub go
{
	my ($id) = @_;
	my $steps;

	suspended($id);
	$steps = "SELECT count(completed_at) FROM wf_list_steps('$id')";
	my $before = sql($steps);
	sql("SELECT wf_send('$id', '1', 'go')");
	poll("SELECT ($steps) > $before");
	return;
}

# The journal, undone steps marked as such.
sub journal
{
	return sql(<<"SQL");
SELECT string_agg(concat(l.name, CASE WHEN s.undone THEN ' undone' END, ': ' || l.error), ', ' ORDER BY l.step_no)
  FROM wf_list_steps('$_[0]') l JOIN durable_wf.step s ON s.workflow_id = '$_[0]' AND s.step_no = l.step_no
SQL
}

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
GRANT ALL ON SCHEMA public TO PUBLIC;
GRANT ALL ON effect, effect_n_seq TO PUBLIC;

-- the command of a step
CREATE FUNCTION effect(what text) RETURNS text LANGUAGE sql AS
$$ SELECT format('INSERT INTO effect (what) VALUES (%L) RETURNING what', what) $$;

-- stopped before and after the commit of each step
CREATE PROCEDURE five(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    FOR i IN 1 .. 5 LOOP
        PERFORM pg_advisory_lock_shared(100 + i), pg_advisory_unlock_shared(100 + i);
        CALL wf_step(i::text, effect(i::text) || format('; SELECT pg_advisory_lock_shared(%s), pg_advisory_unlock_shared(%1$s)', 200 + i),
                     NULL, 1, '1 s', got);
    END LOOP;
    PERFORM pg_advisory_lock_shared(106), pg_advisory_unlock_shared(106);
END $$;

CREATE PROCEDURE saga(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    done text[] := '{}';
    got jsonb;
    failed text;
    what text;
BEGIN
    -- a step that raises, and is caught
    BEGIN
        PERFORM wf_step('raises', effect('raises') || '; SELECT 1 / 0');
    EXCEPTION WHEN division_by_zero THEN
        PERFORM wf_step('caught ' || SQLSTATE, effect(SQLERRM));
    END;
    -- steps that succeed, and are undone with their block
    BEGIN
        got := wf_step('undone', effect('undone'));
        PERFORM wf_set_event('k', '1'), wf_send(wf_current(), '1', 'go');
        RAISE EXCEPTION 'undo %', got USING ERRCODE = 'ZZ001';
    EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
        PERFORM wf_step('after', effect(SQLERRM));
    END;
    CALL wf_recv('go', NULL, NULL, got);
    -- a saga: what was done is compensated, the last first
    FOREACH what IN ARRAY '{flight,hotel,car,visa}'::text[] LOOP
        BEGIN
            PERFORM wf_step(what, effect(what) || CASE WHEN what = 'visa' THEN '; SELECT 1 / 0' ELSE '' END);
            done := what || done;
        EXCEPTION WHEN OTHERS THEN
            failed := what;
        END;
        EXIT WHEN failed IS NOT NULL;
    END LOOP;
    CALL wf_recv('go', NULL, NULL, got);
    FOREACH what IN ARRAY done LOOP
        CALL wf_step('undo ' || what, effect('undo ' || what), NULL, 1, '0', got);
        PERFORM pg_advisory_lock_shared(300), pg_advisory_unlock_shared(300);
    END LOOP;
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_fail('no ' || failed);
END $$;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb; timed_out boolean; status text; error text; at timestamptz;
BEGIN
    CASE input->>0
    WHEN 'message' THEN CALL wf_recv('t', NULL, NULL, got);
    WHEN 'event' THEN CALL wf_get_event('other', 'k', NULL, got);
    WHEN 'notify' THEN CALL wf_wait_for_event('e', NULL, NULL, got, timed_out);
    WHEN 'result' THEN CALL wf_result('other', NULL, status, got, error);
    WHEN 'timer' THEN CALL wf_sleep((input->>1)::timestamptz - wf_now(), at); got := '1';
    END CASE;
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE child(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    PERFORM wf_step('child', effect('child'));
    IF input->>'fails' IS NOT NULL THEN
        RAISE EXCEPTION 'child fails';
    ELSIF input->>'waits' IS NOT NULL THEN
        CALL wf_recv('go', NULL, NULL, got);
    END IF;
    PERFORM wf_complete(input->'n');
END $$;
CREATE PROCEDURE parent(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    status text; output jsonb; error text; total numeric := 0; failed int := 0;
BEGIN
    FOR i IN 1 .. (input->>'n')::int LOOP
        PERFORM wf_start(wf_current() || '/' || i, 'child', jsonb_build_object('n', i,
            'fails', CASE WHEN i = (input->>'fails')::int THEN true END, 'waits', input->'waits'));
    END LOOP;
    FOR i IN 1 .. (input->>'n')::int LOOP
        CALL wf_result(wf_current() || '/' || i, NULL, status, output, error);
        total := total + coalesce(output::text::numeric, 0);
        failed := failed + (status = 'ERROR' AND error = 'child fails')::int;
    END LOOP;
    PERFORM wf_complete(jsonb_build_array(total, failed));
END $$;
CREATE PROCEDURE runs(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE input->>0;
END $$;
SQL

# ------------------------------------------- killed at each of its commit points

# Before a step, and in it just before its commit; what is recorded is done.
{
	# locks that survive the crashes
	sql("BEGIN; SELECT pg_advisory_xact_lock($_); PREPARE TRANSACTION '$_'") foreach map { (100 + $_, 200 + $_) } 1 .. 6;
	sql(q{SELECT wf_start('killed', 'five')});
	foreach my $point (map { (100 + $_, 200 + $_) } 1 .. 5)
	{
		my $done = $point % 100 - 1;
		my $waiting = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
		my $pid;

		poll("SELECT count(*) = 1 $waiting AND objid = $point");
		$pid = sql("SELECT pid $waiting");
		is(effects('killed') || '', join(' ', 1 .. $done), "kill -9 at $point: effects");
		kill_backend($pid);
		sql("COMMIT PREPARED '$point'");
	}
	sql("COMMIT PREPARED '106'; COMMIT PREPARED '206'");
	is(result('killed'), 'SUCCESS||', 'kill -9: it ends');
	is(effects('killed'), '1 2 3 4 5', 'kill -9: each step once');
	is(journal('killed'), '1, 2, 3, 4, 5', 'kill -9: the journal');
}

# ----------------------------------------------- steps that are caught and undone

my $expected_effects = 'division by zero undo "undone" flight hotel car undo car undo hotel undo flight';
my $expected_journal = 'raises undone: division by zero, caught 22012, undone undone, wf_set_event(k) undone, '
  . 'wf_send(%s) undone, after, wf_recv(go), flight, hotel, car, visa undone: division by zero, wf_recv(go), '
  . 'undo car, undo hotel, undo flight, wf_recv(go)';

foreach my $way ('terminate', 'kill -9', 'immediate', 'nothing')
{
	my $id = "saga $way";
	my $guard = session();

	$guard->query_safe('SELECT pg_advisory_lock(300)');
	sql("SELECT wf_start('$id', 'saga')");
	suspended($id);
	is(journal($id) =~ tr/,//, 6, "$id: suspended once") ;
	go($id);
	suspended($id);
	# it stops in the middle of the compensation, after a commit
	sql("SELECT wf_send('$id', '1', 'go')");
	poll('SELECT count(*) = 1 FROM pg_locks WHERE objid = 300 AND NOT granted');
	my $pid = sql('SELECT pid FROM pg_locks WHERE objid = 300 AND NOT granted');
	is(effects($id), 'division by zero undo "undone" flight hotel car undo car', "$id: effects so far");
	if ($way eq 'kill -9')
	{
		kill_backend($pid, $guard);
	}
	elsif ($way eq 'immediate')
	{
		$node->stop('immediate');
		eval { $guard->{run}->finish };		# the new server would inherit its pipes
		$node->start;
	}
	else
	{
		sql("SELECT pg_terminate_backend($pid, 60000)") if $way eq 'terminate';
		$guard->quit;
	}
	go($id);
	is(result($id), 'ERROR||no visa', "$id: the end");
	is(effects($id), $expected_effects, "$id: effects");
	is(journal($id), sprintf($expected_journal, $id), "$id: the journal");
	is(sql("SELECT count(*) FROM durable_wf.event WHERE workflow_id = '$id'"), 0, "$id: no event of what was undone");
}

# ----------------------------------------------------------- a body is replaced

# Create "changing" with these steps before and after its wait.
sub replace
{
	sql(<<"SQL");
CREATE OR REPLACE PROCEDURE changing(input jsonb) LANGUAGE plpgsql AS \$\$
DECLARE got jsonb;
BEGIN
    $_[0]
    CALL wf_recv('go', NULL, NULL, got);
    $_[1]
END \$\$
SQL
	return;
}

my ($one, $two, $three) = map { "PERFORM wf_step('$_', effect('$_'));" } qw(one two three);

replace($one, $two);
sql(q{SELECT wf_start('changed', 'changing'), wf_start('shorter', 'changing'), wf_start('longer', 'changing')});
suspended($_) foreach 'changed', 'shorter', 'longer';
replace($three, $two);
sql(q{SELECT wf_send('changed', '1', 'go')});
is(result('changed'), 'ERROR||workflow "changed" was executed differently before', 'replaced: WF004');
is(sql(q{SELECT error_state, error_context FROM durable_wf.workflow WHERE workflow_id = 'changed'})
	  =~ /^WF004\|.*Step 1 was recorded as wf_step\('one'\), and wf_step\('three'\) was called/s, 1,
	'replaced: what was recorded and what was called');
is(effects('changed'), 'one', 'replaced: nothing happened');
replace("$one $three", $two);
sql(q{SELECT wf_send('longer', '1', 'go')});
like(result('longer'), qr/^ERROR/, 'replaced: by a longer one');
like(sql(q{SELECT error_context FROM durable_wf.workflow WHERE workflow_id = 'longer'}),
	qr/Step 2 was recorded as wf_recv\('go'\), and wf_step\('three'\) was called/, 'replaced: by a longer one, detail');
replace('', $two);
sql(q{SELECT wf_send('shorter', '1', 'go')});
like(result('shorter'), qr/^ERROR/, 'replaced: by a shorter one');
replace($one, $two);
sql(q{SELECT wf_retry(id) FROM unnest('{changed,longer,shorter}'::text[]) id});
foreach my $id ('changed', 'longer', 'shorter')
{
	is(result($id), 'SUCCESS||', "replaced: the old body goes on: $id");
	is(effects($id), 'one two', "replaced: each step once: $id");
}

sql(q{SELECT wf_start('old', 'changing')});
suspended('old');
replace("$one IF wf_patched('p') THEN $three END IF;",
	"IF wf_patched('p') THEN $three ELSE $two END IF; IF wf_patched('late') THEN PERFORM wf_step('late', effect('late')); END IF;");
sql(q{SELECT wf_start('new', 'changing')});
suspended('new');
end_executors();
sql(q{SELECT wf_send(id, '1', 'go') FROM unnest('{old,new}'::text[]) id});
is(result($_), 'SUCCESS||', "wf_patched: $_") foreach 'old', 'new';
is(effects('old'), 'one two late', 'wf_patched: what had passed it takes the old path, what has not the new one');
is(effects('new'), 'one three three late', 'wf_patched: new runs take the new path');

# ---------------------------------------------------------------- 500 at once

my %waits = (
	message => q{SELECT count(wf_send('message ' || i, '1', 't')) FROM generate_series(1, 500) i},
	event => q{SELECT wf_set_event('k', '1', 'other')},
	notify => q{SELECT count(*) FROM wf_notify('e', '1')},
	result => q{BEGIN; SET LOCAL durable_wf.workflow_id = 'other'; SELECT wf_complete('1'); COMMIT});

sql(q{SELECT wf_start('other')});
foreach my $kind ('message', 'event', 'notify', 'result')
{
	sql(qq{SELECT count(wf_start('$kind ' || i, 'waits', '["$kind"]')) FROM generate_series(1, 500) i});
	poll("SELECT count(*) = 500 FROM wf_workflows WHERE workflow_id LIKE '$kind %' AND status = 'WAITING'");
	is(sql("SELECT count(DISTINCT workflow_id) FROM durable_wf.wait WHERE workflow_id LIKE '$kind %'"), 500, "500: $kind: wait");
	my $rows = sql($waits{$kind});
	is($rows, 500, "500: $kind: are notified") if $kind eq 'notify';
	poll("SELECT count(*) = 500 FROM wf_workflows WHERE workflow_id LIKE '$kind %' AND status = 'SUCCESS' AND output = '1'");
	pass("500: $kind: one commit resumes all");
}
my $wakes = sql(q{SELECT clock_timestamp() + '3 s'});
sql(qq{SELECT count(wf_start('timer ' || i, 'waits', '["timer", "$wakes"]')) FROM generate_series(1, 500) i});
poll(q{SELECT count(*) = 500 FROM wf_workflows WHERE workflow_id LIKE 'timer %' AND status = 'SUCCESS'});
is(sql(qq{SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'timer %' AND finished_at >= '$wakes'}), 500, '500: timer: none too early');

sql(qq{SELECT count(wf_start('cancelled ' || i, 'waits', '["message"]')) FROM generate_series(1, 500) i});
poll(q{SELECT count(*) = 500 FROM wf_workflows WHERE workflow_id LIKE 'cancelled %' AND status = 'WAITING'});
is(sql(q{SELECT count(*) FROM generate_series(1, 500) i WHERE wf_cancel('cancelled ' || i)}), 500, '500: cancelled at once');
is(sql(q{SELECT count(*) FROM generate_series(1, 500) i, LATERAL (SELECT status FROM wf_result('cancelled ' || i)) r WHERE status = 'CANCELLED'}),
	500, '500: all are');
poll('SELECT count(*) = 0 FROM durable_wf.wait');
is(sql(q{SELECT count(*) FROM durable_wf.message WHERE workflow_id !~ '^saga'}), 0, '500: nothing is left');

# ------------------------------------------------------------------- cancelled

# A body in any state, and what it is doing.
sub activity
{
	return "SELECT count(*) = 1 FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE backend_type = 'durable_wf executor' AND locktype = 'advisory' AND objid = 400";
}
my $mark = 'PERFORM pg_advisory_lock_shared(400);';
my %cancels = (
	'in a sleep' => "$mark PERFORM pg_sleep(600);",
	'in a step' => "$mark PERFORM wf_step('s', 'SELECT pg_sleep(600)');",
	'in a step in a block' => "$mark BEGIN PERFORM wf_step('s', 'SELECT pg_sleep(600)'); EXCEPTION WHEN OTHERS THEN PERFORM wf_step('t', effect('no')); END;",
	'in a CALLed step' => "$mark CALL wf_step('s', 'SELECT pg_sleep(600)', NULL, 10, '1 ms', got);",
	'between attempts' => "$mark CALL wf_step('s', 'SELECT 1 / 0', NULL, 10, '600 s', got);",
	'in a loop' => "$mark LOOP NULL; END LOOP;",
	'in a loop that swallows errors' => "$mark LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END; END LOOP;",
	'in a loop of steps that swallows errors' => "$mark LOOP BEGIN PERFORM wf_step('s', 'SELECT pg_sleep(0.01)'); EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END; END LOOP;",
	'behind a lock' => "$mark PERFORM pg_advisory_lock(401);");

my $holder = session();
$holder->query_safe('SELECT pg_advisory_lock(401)');
my $ncancels = 0;
foreach my $where (sort keys %cancels)
{
	my $body = 'cancel_' . ++$ncancels;

	sql("CREATE PROCEDURE $body(input jsonb) LANGUAGE plpgsql AS \$\$ DECLARE got jsonb; BEGIN $cancels{$where} END \$\$");
	foreach my $how ('wf_cancel', 'timeout')
	{
		my $id = "$where $how";

		if ($how eq 'timeout')
		{
			sql("SELECT wf_start('$id', '$body', timeout => '300 ms')");
		}
		else
		{
			sql("SELECT wf_start('$id', '$body')");
			$where eq 'between attempts' ? suspended($id) : poll(activity());
			is(sql("SELECT wf_cancel('$id')"), 't', "cancel: $id");
		}
		is(result($id), 'CANCELLED||', "cancel: $id: is");
		# a process that cannot be interrupted is not left alone
		ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND objid = 400"),
			"cancel: $id: the body is left") or end_executors();
	}
}
$holder->quit;
is(sql(q{SELECT count(*) FROM effect WHERE what = 'no'}), 0, 'cancel: no step after it');

# Cancelled and let go on at once, while it runs.
sql(q{CREATE PROCEDURE again(input jsonb) LANGUAGE plpgsql AS $$
	DECLARE got jsonb;
	BEGIN
		CALL wf_step('before', effect('before'), NULL, 1, '0', got);
		PERFORM pg_advisory_lock_shared(402), pg_advisory_unlock_shared(402);
		PERFORM wf_step('after', effect('after'));
	END $$});
$holder = session();
$holder->query_safe('SELECT pg_advisory_lock(402)');
sql(q{SELECT wf_start('again', 'again')});
foreach (1 .. 3)
{
	poll('SELECT count(*) = 1 FROM pg_locks WHERE objid = 402 AND NOT granted');
	sql(q{BEGIN; SELECT wf_cancel('again'), wf_retry('again'); COMMIT});
}
$holder->quit;
is(result('again'), 'SUCCESS||', 'cancel: and wf_retry at once');
is(effects('again'), 'before after', 'cancel: and wf_retry at once: effects');

# wf_retry does not interrupt the run that it has brought about, and counts
# attempts anew.
sql(q{SELECT wf_start('retried ' || i, 'runs', '["SELECT 1 / 0"]') FROM generate_series(1, 2) i});
my %said;
foreach my $round (1 .. 30)
{
	my $id = 'retried ' . ($round % 2 + 1);

	result($id);
	$said{ sql("SELECT status, error, attempts FROM wf_workflows WHERE workflow_id = '$id'") }++;
	sql("SELECT wf_retry('$id')");
}
is_deeply(\%said, { 'ERROR|division by zero|1' => 30 }, 'wf_retry: each is one run, and ends as the first');

# In a wait, while it is hot and when it is not; before it began.
set('suspend_after', '60s');
end_executors();
sql(q{SELECT wf_start('hot', 'waits', '["message"]'), wf_start('hot timeout', 'waits', '["message"]', timeout => '1 day')});
poll(q{SELECT count(*) = 2 FROM wf_waiters WHERE workflow_id LIKE 'hot%' AND NOT suspended AND door = 'message'});
is(sql(q{SELECT wf_cancel('hot')}), 't', 'cancel: in a hot wait');
sql(q{UPDATE durable_wf.workflow SET timeout_at = now() WHERE workflow_id = 'hot timeout'; SELECT wf_start('wakes the clock', timeout => '1 ms')});
is(result($_), 'CANCELLED||', "cancel: $_") foreach 'hot', 'hot timeout';
set('suspend_after', '10ms');
end_executors();
sql(q{SELECT wf_start('cold', 'waits', '["message"]'), wf_start('cold timeout', 'waits', '["message"]', timeout => '1 s'),
	wf_start('later', 'waits', '["message"]', start_after => '1 h'),
	wf_start('later timeout', 'waits', '["message"]', start_after => '1 h', timeout => '500 ms')});
suspended('cold');
sql(q{SELECT wf_cancel('cold'), wf_cancel('later')});
is(result($_), 'CANCELLED||', "cancel: $_") foreach 'cold', 'cold timeout', 'later', 'later timeout';
sql(q{BEGIN; SELECT wf_start('at once', 'runs', to_jsonb(ARRAY[effect('no')])), wf_cancel('at once'); COMMIT});
is(result('at once'), 'CANCELLED||', 'cancel: in the transaction of the start');
poll('SELECT count(*) = 0 FROM durable_wf.wait');
pass('cancel: no wait is left');

# A workflow that was cancelled goes on from the journal.
sql(q{SELECT wf_retry('cold'), wf_send('cold', '7', 't')});
is(result('cold'), 'SUCCESS|7|', 'cancel: wf_retry goes on');

# -------------------------------------------------------------------- children

sql(q{SELECT wf_start('many', 'parent', '{"n": 50}'), wf_start('one fails', 'parent', '{"n": 5, "fails": 3}')});
is(result('many'), 'SUCCESS|[1275, 0]|', 'children: 50 are gathered');
is(sql(q{SELECT count(*), count(DISTINCT workflow_id) FROM effect WHERE workflow_id LIKE 'many/%'}), '50|50', 'children: each once');
is(result('one fails'), 'SUCCESS|[12, 1]|', 'children: one fails');
sql(q{SELECT wf_start('parent', 'parent', '{"n": 3, "waits": true}')});
suspended($_) foreach 'parent', 'parent/1', 'parent/2', 'parent/3';
sql(q{SELECT wf_cancel('parent')});
is(result('parent'), 'CANCELLED||', 'children: the parent is cancelled');
is(sql(q{SELECT string_agg(wf_status('parent/' || i), ' ') FROM generate_series(1, 3) i}), 'WAITING WAITING WAITING',
	'children: they live on');
sql(q{SELECT wf_send('parent/' || i, '1', 'go') FROM generate_series(1, 3) i; SELECT wf_retry('parent')});
is(result('parent'), 'SUCCESS|[6, 0]|', 'children: the parent goes on with the same');
is(sql(q{SELECT count(*) FROM effect WHERE workflow_id LIKE 'parent/%'}), 3, 'children: each once');

# A worker that ends by an error, here in the middle of a transaction, takes its
# executors along: the next one would not know of them.
sql(q{SELECT wf_start('long ' || i, 'runs', '["SELECT pg_sleep(600)"]') FROM generate_series(1, 3) i});
poll(q{SELECT count(*) >= 3 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND wait_event = 'PgSleep'});
my $executors = sql(q{SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'});
$holder = session();
$holder->query_safe('BEGIN; LOCK TABLE durable_wf.workflow IN ACCESS EXCLUSIVE MODE');
$node->reload;
my $is_worker = q{backend_type = 'durable_wf worker' AND datname = 'postgres'};
poll("SELECT count(*) = 1 FROM pg_stat_activity WHERE $is_worker AND wait_event_type = 'Lock'");
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE $is_worker");
poll("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid IN ($executors)");
pass('a worker that ends takes its executors along');
$holder->query_safe('COMMIT');
$holder->quit;
sql(q{SELECT wf_cancel('long ' || i) FROM generate_series(1, 3) i});
is(result("long $_"), 'CANCELLED||', "and the next one serves all, $_") foreach 1 .. 3;

$node->stop;
done_testing();
