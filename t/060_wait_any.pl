# wf_wait_any in the bodies of SQL workflows and in attached sessions: each
# source resumes a suspended wait, the others keep what they have, and a crash
# before or after the commit of what was taken changes neither.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start outcome kill_backend result
  suspended);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 28, max_prepared_transactions => 1, restart_after_crash => 'on', 'durable_wf.max_executors' => 12,
	'durable_wf.suspend_after' => '10ms', 'durable_wf.max_attempts' => 10 });

sql(<<'SQL');
CREATE EXTENSION durable_wf;

-- waits again and again, for all kinds of sources, until a message says "end"
CREATE PROCEDURE whichever(input jsonb) LANGUAGE plpgsql AS $$
DECLARE source int; value jsonb; got jsonb := '[]'; token text;
BEGIN
    token := wf_create_hook('token of ' || wf_current());
    LOOP
        CALL wf_wait_any(jsonb_build_array('{"topic": "a"}'::jsonb, '{"topic": null}'::jsonb, '{"event_id": "e"}'::jsonb,
                             jsonb_build_object('token', token),
                             jsonb_build_object('workflow_id', 'source of ' || wf_current(), 'key', 'k' || jsonb_array_length(got)),
                             jsonb_build_object('workflow_id', format('child %s of %s', jsonb_array_length(got), wf_current()), 'key', 'never'),
                             '{"topic": "b"}'::jsonb,
                             jsonb_build_object('workflow_id', 'source of ' || wf_current(), 'stream', 's' || jsonb_array_length(got))),
                         (input->>'timeout')::interval, NULL, source, value);
        got := got || jsonb_build_array(jsonb_build_array(source, value));
        EXIT WHEN source IS NULL OR value = '"end"';
        PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
    END LOOP;
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE gathers(input jsonb) LANGUAGE plpgsql AS $$
DECLARE source int; value jsonb;
BEGIN
    CALL wf_wait_any('[{"workflow_id": "gathered 1"}, {"workflow_id": "gathered 2"}]', NULL, NULL, source, value);
    PERFORM wf_complete(jsonb_build_array(source, value));
END $$;

-- waits for one of a pair, once
CREATE PROCEDURE either(input jsonb) LANGUAGE plpgsql AS $$
DECLARE source int; value jsonb;
BEGIN
    PERFORM wf_create_hook('hook of ' || wf_current());
    CALL wf_wait_any(input->'sources', (input->>'timeout')::interval, NULL, source, value);
    PERFORM wf_complete(jsonb_build_array(source, value));
END $$;

-- stops where something was taken and is not committed
CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.function = 'wf_wait_any' AND NEW.result IS NOT NULL THEN
        PERFORM pg_advisory_lock_shared(2), pg_advisory_unlock_shared(2);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stop_here BEFORE INSERT OR UPDATE ON durable_wf.step FOR EACH ROW EXECUTE FUNCTION stop_here();
SQL

# How many calls have ended, and are recorded.
sub recorded
{
	return sql("SELECT count(completed_at) FROM wf_list_steps('$_[0]')");
}

# What lies in the mailbox of a workflow.
sub left
{
	return sql("SELECT string_agg(concat_ws(' ', door, key, depth), ', ' ORDER BY door, key) FROM wf_mailbox WHERE workflow_id = '$_[0]'");
}

# ---------------------------------------------------- each source resumes it

sql(q{SELECT wf_start('source of all'), wf_start('child 7 of all'), wf_start('all', 'whichever', '{}')});
my @news = (
	[ q{wf_send('all', '"b"', 'b')}, '[7, "b"]' ],
	[ q{wf_send('all', '"a"', 'a')}, '[1, "a"]' ],
	[ q{wf_send('all', 'null')}, '[2, null]' ],
	[ q{wf_notify('e', '"all of them"')}, '[3, "all of them"]' ],
	[ q{wf_notify('e', '"this one"', 'all')}, '[3, "this one"]' ],
	[ q{wf_resume_hook('token of all', '"payload"')}, '[4, "payload"]' ],
	[ q{wf_set_event('k6', '"event"', 'source of all')}, '[5, "event"]' ],
	[ q{wf_cancel('child 7 of all')}, '[6, null]' ],
	[ q{wf_write_stream('s8', '"item"', 'source of all')}, '[8, {"ended": false, "value": "item", "item_no": 1}]' ],
	[ q{wf_close_stream('s9', 'source of all')}, '[8, {"ended": true, "value": null, "item_no": null}]' ],
	[ q{wf_send('all', '"end"', 'b')}, '[7, "end"]' ]);
my @expected;
foreach my $news (@news)
{
	my ($call, $got) = @$news;

	suspended('all');
	my $before = recorded('all');
	sql("SELECT count(*) FROM $call");
	poll("SELECT count(completed_at) > $before FROM wf_list_steps('all')");
	push @expected, $got;
	pass("resumed by $call");
}
is(result('all'), 'SUCCESS|[' . join(', ', @expected) . ']|', 'each source resumes a suspended wait');

# the end of one of several workflows
sql(q{SELECT wf_start('gathered 1'), wf_start('gathered 2'), wf_start('gathers', 'gathers')});
suspended('gathers');
is(sql(q{SELECT string_agg(concat_ws(' ', target_id, door), ', ' ORDER BY position) FROM durable_wf.wait WHERE workflow_id = 'gathers'}),
	'gathered 1 w, gathered 2 w', 'a suspended wait for two results');
sql(q{SELECT wf_cancel('gathered 2')});
is(result('gathers'), 'SUCCESS|[2, {"error": null, "output": null, "status": "CANCELLED"}]|', 'the second of two results');

# time, and what is recorded of it
sql(q{SELECT wf_start('late', 'whichever', '{"timeout": "200 ms"}')});
is(result('late'), 'SUCCESS|[[null, null]]|', 'a suspended wait ends in vain');
is(sql(q{SELECT count(*) FROM durable_wf.wait WHERE workflow_id = 'late'}), 0, 'nothing is left of it');

# cancelled while suspended
sql(q{SELECT wf_start('gone', 'whichever', '{}')});
suspended('gone');
sql(q{SELECT wf_cancel('gone')});
is(result('gone'), 'CANCELLED||', 'cancelled');

# --------------------------------------------------------------- crashes

# The process of a body is killed after what it took is committed (1), or
# before that (2).  Several things are there; one is taken.  The lock that stops
# it survives the crash.
foreach my $point (1, 2)
{
	my $id = "crash $point";
	my $waiting = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $point";

	sql("SELECT wf_start('source of $id'), wf_start('$id', 'whichever', '{}')");
	suspended($id);
	sql("BEGIN; SELECT pg_advisory_xact_lock($point); PREPARE TRANSACTION 'guard'");
	sql("BEGIN; SELECT wf_send('$id', '\"b\"', 'b'), wf_resume_hook('token of $id', '\"payload\"'); COMMIT");
	poll("SELECT count(*) = 1 $waiting");
	is(left($id), $point == 1 ? 'message b 1' : 'hook token of crash 2 1, message b 1',
		"$id: what others see is left");
	kill_backend(sql("SELECT pid $waiting"));

	# what comes now is before it in the list: taken only if nothing was
	sql("SELECT wf_send('$id', '\"a\"', 'a')");
	sql("COMMIT PREPARED 'guard'");
	poll("SELECT count(completed_at) >= 4 FROM wf_list_steps('$id')");
	sql("SELECT wf_send('$id', '\"end\"', 'b')");
	my $result = result($id);
	if ($point == 1)
	{
		is($result, 'SUCCESS|[[4, "payload"], [1, "a"], [7, "b"], [7, "end"]]|', "$id: taken once, and replayed");
	}
	else
	{
		like($result, qr/^SUCCESS\|\[(\[1, "a"\], \[4, "payload"\]|\[4, "payload"\], \[1, "a"\]), \[7, "b"\], \[7, "end"\]\]\|$/,
			"$id: what was taken is there again, once");
	}
	is(left($id), '', "$id: nothing is left");
}

# the whole server, while it is suspended
sql(q{SELECT wf_start('source of restart'), wf_start('restart', 'whichever', '{}')});
suspended('restart');
$node->stop('immediate');
$node->start;
sql(q{SELECT wf_send('restart', '"end"', 'b')});
is(result('restart'), 'SUCCESS|[[7, "end"]]|', 'suspended over a crash of the server');

# ----------------------------------------------------- each pair of doors

# A pair waits, suspended; the server crashes; both come in one transaction;
# it crashes again when one of them is taken, and that is not committed.  Then
# the same one is taken, and the other is left.  "%" stands for the workflow.
my %pairs = (
	'message, message' => {
		sources => '[{"topic": "b"}, {"topic": "a"}]',
		news => q{wf_send('%', '"a"', 'a'), wf_send('%', '"b"', 'b')},
		got => '[1, "b"]', left => 'message a 1' },
	'event, message' => {
		sources => '[{"workflow_id": "of %", "key": "k"}, {"topic": "a"}]',
		news => q{wf_send('%', '"a"', 'a'), wf_set_event('k', '"k"', 'of %')},
		got => '[1, "k"]', left => 'message a 1' },
	'message, event' => {
		sources => '[{"topic": "a"}, {"workflow_id": "of %", "key": "k"}]',
		news => q{wf_set_event('k', '"k"', 'of %'), wf_send('%', '"a"', 'a')},
		got => '[1, "a"]', left => '' },
	'event id, hook' => {
		sources => '[{"event_id": "id of %"}, {"token": "hook of %"}]',
		news => q{wf_resume_hook('hook of %', '"h"') FROM wf_notify('id of %', '"n"')},
		got => '[1, "n"]', left => 'hook hook of % 1' },
	'hook, timer' => {
		sources => '[{"token": "hook of %"}]', timeout => '1 h',
		news => q{wf_resume_hook('hook of %', '"h"'), wf_resume_hook('hook of %', '"h2"')},
		got => '[1, "h"]', left => 'hook hook of % 1' },
	'result, cancel' => {
		sources => '[{"topic": "a"}, {"workflow_id": "of %"}]',
		news => q{wf_cancel('of %')},
		got => '[2, {"error": null, "output": null, "status": "CANCELLED"}]', left => '' },
	'stream, end' => {
		sources => '[{"workflow_id": "of %", "stream": "s"}, {"workflow_id": "of %"}]',
		news => q{wf_write_stream('s', '"i"', 'of %'), wf_cancel('of %')},
		got => '[1, {"ended": false, "value": "i", "item_no": 1}]', left => '' },
	'end, message' => {
		sources => '[{"workflow_id": "of %", "stream": "s"}, {"topic": "a"}]',
		news => q{wf_send('%', '"a"', 'a'), wf_close_stream('s', 'of %')},
		got => '[1, {"ended": true, "value": null, "item_no": null}]', left => 'message a 1' });

# The text for one pair.
sub of_pair
{
	my ($id, $text) = @_;

	return $text =~ s/%/$id/gr;
}

foreach my $id (sort keys %pairs)
{
	my $input = sprintf '{"sources": %s, "timeout": %s}', of_pair($id, $pairs{$id}{sources}),
	  $pairs{$id}{timeout} ? qq{"$pairs{$id}{timeout}"} : 'null';

	sql("SELECT wf_start('of $id'), wf_start('$id', 'either', '$input')");
}
sql(q{SELECT wf_start('ended by both', 'either', '{"sources": [{"workflow_id": "of ended"}], "timeout": null}') FROM wf_start('of ended')});
sql(q{SELECT wf_start('in time', 'either', '{"sources": [{"token": "hook of in time"}, {"topic": "a"}], "timeout": "1 s"}')});
suspended($_) foreach keys %pairs, 'ended by both';
$node->stop('immediate');
$node->start;
suspended($_) foreach keys %pairs, 'ended by both';

# time decides, and what comes after it is left; so does the end of both
is(result('in time'), 'SUCCESS|[null, null]|', 'hook against timer: the timer, over a crash');
sql(q{BEGIN; SELECT wf_cancel('of ended'); SELECT wf_cancel('ended by both'); COMMIT});
is(result('ended by both'), 'CANCELLED||', 'result against cancel: it is cancelled');

my $guard = session();
$guard->query_safe('SELECT pg_advisory_lock(2)');
foreach my $id (sort keys %pairs)
{
	my $news = of_pair($id, $pairs{$id}{news});

	# what is rolled back decides nothing
	sql("BEGIN; SELECT $news; ROLLBACK");
	sql("SELECT $news");
}
my $all = keys %pairs;
poll("SELECT count(*) = $all FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 2");
$node->stop('immediate');
eval { $guard->quit };
$node->start;
foreach my $id (sort keys %pairs)
{
	is(result($id), "SUCCESS|$pairs{$id}{got}|", "$id: which was taken");
	is(left($id), of_pair($id, $pairs{$id}{left}), "$id: what is left");
}
is(sql(q{SELECT wf_get_event('of message, event', 'k')}), '"k"', 'the event that lost is there');

# ------------------------------------------------------ attached sessions

sql(q{SELECT wf_start('attached'), wf_start('other')});
my $sources = q{'[{"topic": "t"}, {"workflow_id": "other", "key": "k"}, {"event_id": "e"}]'};
my $one = session();
$one->query_safe(q{SELECT wf_attach('attached')});
my $call = start($one, "CALL wf_wait_any($sources, '1 day', NULL, NULL, NULL)");
poll(q{SELECT count(*) = 2 FROM wf_waiters WHERE workflow_id = 'attached' AND door IN ('message', 'notify')});
sql(q{SELECT wf_set_event('k', '"event"', 'other')});
is(outcome($call), '2|"event"', 'an attached session waits for whichever comes first');
my $again = 'SELECT * FROM wf_wait_any(' . $sources . ')';
$one->query_safe('SELECT wf_detach()');
sql(q{SELECT wf_send('attached', '"later"', 't')});
$one->query_safe(q{SELECT wf_attach('attached')});
is($one->query_safe($again), '2|"event"', 'and gets the same in a replay');
is($one->query_safe($again), '1|"later"', 'and then what was there');
$one->quit;

$node->stop;
done_testing();
