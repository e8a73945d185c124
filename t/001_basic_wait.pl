# A waiter is woken by the commit that satisfies it, whichever way the row came,
# and by nothing else; while nothing happens the waiter does not run at all.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start asleep outcome switches
  at_rest freeze thaw);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main');

# Let sessions fall asleep in their waits, where wf_waiters shows them.
sub shown_asleep
{
	my $pids = join ',', map { $_->{pid} } @_;

	asleep(@_);
	poll('SELECT count(DISTINCT pid) = ' . @_
		  . " FROM wf_waiters WHERE pid IN ($pids)");
	return;
}

# A counter of wf_stat, all doors together.
sub stat_sum
{
	return sql("SELECT sum($_[0]) FROM wf_stat");
}

sql('CREATE EXTENSION durable_wf');

# What is waited for, what satisfies it, and what the wait then returns.  %s is
# a workflow of the case's own, which is also the session's current one where
# the news needs that.  With "both", it waits at two places that have news.
my @cases = (
	{
		name   => 'wf_recv',
		wait   => q{SELECT wf_recv(NULL, NULL, '%s')},
		news   => q{wf_send('%s', '{"n": 1}')},
		result => '{"n": 1}',
	},
	{
		name   => 'CALL wf_recv',
		wait   => q{CALL wf_recv('topic', '1 day', '%s', NULL)},
		news   => q{wf_send('%s', '{"n": 2}', 'topic')},
		result => '{"n": 2}',
	},
	{
		name   => 'wf_recv woken by wf_send_many',
		wait   => q{SELECT wf_recv('', '1 day', '%s')},
		news   => q{wf_send_many('{%s}', '{3}', '')},
		result => '3',
	},
	{
		name   => 'wf_recv_any',
		wait   => q{SELECT * FROM wf_recv_any('{a,b}', NULL, '%s')},
		news   => q{wf_send('%s', '4', 'b')},
		result => 'b|4',
	},
	{
		name   => 'CALL wf_recv_any',
		wait   => q{CALL wf_recv_any('{a,NULL}', '1 day', '%s', NULL, NULL)},
		news   => q{wf_send('%s', '5')},
		result => '|5',
	},
	{
		name   => 'wf_recv_many',
		wait   => q{SELECT message FROM wf_recv_many(NULL, 9, NULL, '%s')},
		news   => q{wf_send_many('{%1$s,%1$s}', '{6,7}')},
		result => "6\n7",
	},
	{
		name   => 'wf_get_event',
		wait   => q{SELECT wf_get_event('%s', 'key', NULL)},
		news   => q{wf_set_event('key', '8', '%s')},
		result => '8',
	},
	{
		name   => 'CALL wf_get_event',
		wait   => q{CALL wf_get_event('%s', 'key', '1 day', NULL)},
		news   => q{wf_set_event('key', '9', '%s')},
		result => '9',
	},
	{
		name   => 'wf_get_event of a workflow that ends without it',
		wait   => q{SELECT wf_get_event('%s', 'key', NULL) IS NULL},
		news   => q{wf_cancel('%s')},
		result => 't',
	},
	{
		name   => 'wf_get_event of a workflow that does not exist yet',
		wait   => q{SELECT wf_get_event('%s-later', 'key', NULL)},
		news   => q{wf_start('%1$s-later'), wf_set_event('key', '10', '%1$s-later')},
		result => '10',
		both   => 1,
	},
	{
		name   => 'wf_wait_for_event, addressed',
		wait   => q{SELECT * FROM wf_wait_for_event('e', NULL, '%s')},
		news   => q{wf_notify('e', '11', '%s')},
		result => '11|f',
	},
	{
		name   => 'CALL wf_wait_for_event, addressed',
		wait   => q{CALL wf_wait_for_event('e', '1 day', '%s', NULL, NULL)},
		news   => q{wf_notify('e', '12', '%s')},
		result => '12|f',
	},
	{
		name   => 'wf_wait_for_event, broadcast',
		wait   => q{SELECT * FROM wf_wait_for_event('of %s', NULL, '%1$s')},
		news   => q{wf_notify('of %s', '13')},
		result => '13|f',
	},
	{
		name   => 'CALL wf_wait_for_event, broadcast',
		wait   => q{CALL wf_wait_for_event('of %s', NULL, '%1$s', NULL, NULL)},
		news   => q{wf_notify('of %s', NULL)},
		result => 'null|f',
	},
	{
		name   => 'wf_result',
		wait   => q{SELECT * FROM wf_result('%s', NULL)},
		news   => q{wf_complete('{"n": 15}')},
		result => 'SUCCESS|{"n": 15}|',
	},
	{
		name   => 'CALL wf_result',
		wait   => q{CALL wf_result('%s', '1 day', NULL, NULL, NULL)},
		news   => q{wf_fail('no luck')},
		result => 'ERROR||no luck',
	},
	{
		name   => 'wf_result of a cancelled workflow',
		wait   => q{SELECT * FROM wf_result('%s', NULL)},
		news   => q{wf_cancel('%s')},
		result => 'CANCELLED||',
	},
	{
		name   => 'wf_recv in a workflow that is cancelled',
		wait   => q{SELECT wf_recv(NULL, NULL, '%s')},
		news   => q{wf_cancel('%s')},
		result => qr/WF002/,
	},
	{
		name   => 'CALL wf_wait_for_event in a workflow that completes',
		wait   => q{CALL wf_wait_for_event('e', NULL, '%s', NULL, NULL)},
		news   => q{wf_complete()},
		result => qr/WF003/,
	});

my $number = 0;
foreach my $case (@cases)
{
	my $workflow = 'w' . ++$number;

	sql("SELECT wf_start('$workflow')");
	$case->{news} = "SET LOCAL durable_wf.workflow_id = '$workflow'; SELECT "
	  . sprintf($case->{news}, $workflow) . ';';
	$case->{waiter} = start(session(), sprintf $case->{wait}, $workflow);
}
shown_asleep(map { $_->{waiter} } @cases);

# News that is rolled back, to a savepoint too, reaches no waiter.
my $waiters = 'SELECT * FROM wf_waiters ORDER BY pid, key';
my $before = sql($waiters);
my $sends = stat_sum('sends');
my $switches = join ' ', at_rest(map { $_->{waiter}{pid} } @cases);

foreach my $case (@cases)
{
	sql("BEGIN; $case->{news} ROLLBACK");
	sql("BEGIN; SAVEPOINT s; $case->{news} ROLLBACK TO s; COMMIT");
	sql("BEGIN; SAVEPOINT s; $case->{news} RELEASE s; ROLLBACK");
}
is(stat_sum('wakes'), 0, 'a rollback wakes nobody');
is(stat_sum('sends'), $sends, 'a rollback has sent nothing');
is(sql($waiters), $before, 'the waits go on as they were');
is(join(' ', map { switches($_->{waiter}{pid}) } @cases),
	$switches, 'no waiter has run');

# News that is committed wakes the waiter that waits for it.
foreach my $case (@cases)
{
	my $wakes = stat_sum('wakes');
	my $result;

	# (between two news for it in one commit it might look, and be woken again)
	freeze($case->{waiter}) if $case->{both};
	sql("BEGIN; SAVEPOINT s; $case->{news} RELEASE s; COMMIT");
	thaw($case->{waiter}) if $case->{both};
	$result = outcome($case->{waiter});
	if (ref $case->{result})
	{
		like($result, $case->{result}, "$case->{name}: woken by the commit");
	}
	else
	{
		is($result, $case->{result}, "$case->{name}: woken by the commit");
	}
	is(stat_sum('wakes') - $wakes, 1, "$case->{name}: one wake");
	$case->{waiter}->quit;
}
is(stat_sum('spurious_wakes'), 0, 'nobody was woken for nothing');
is(stat_sum('timeouts'), 0, 'nobody timed out');
is(sql('SELECT count(*) FROM wf_waiters'), 0, 'nobody is left waiting');

# Rows that do not come through the functions wake as well.
sql(q{SELECT wf_start('rows')});

my %ways = (
	'COPY' => <<'SQL',
COPY durable_wf.message (message_id, workflow_id, door, key, payload)
FROM STDIN (FORMAT csv);
1000001,rows,m,way,1
\.
SQL
	'an INSERT' => <<'SQL',
INSERT INTO durable_wf.message (message_id, workflow_id, door, key, payload)
VALUES (1000002, 'rows', 'm', 'way', '1');
SQL
	'an INSERT with session_replication_role = replica' => <<'SQL',
SET session_replication_role = replica;
INSERT INTO durable_wf.message (message_id, workflow_id, door, key, payload)
VALUES (1000003, 'rows', 'm', 'way', '1');
SQL
);

foreach my $way (sort keys %ways)
{
	my $waiter = start(session(), q{SELECT wf_recv('way', NULL, 'rows')});

	shown_asleep($waiter);
	sql($ways{$way});
	is(outcome($waiter), '1', "woken by $way");
	$waiter->quit;
}

my $event = start(session(), q{SELECT wf_get_event('rows', 'way', NULL)});
shown_asleep($event);
sql(<<'SQL');
SET session_replication_role = replica;
INSERT INTO durable_wf.event (workflow_id, key, value) VALUES ('rows', 'way', '1');
SQL
is(outcome($event), '1', 'woken by the row of an event');
$event->quit;

my $result = start(session(), q{SELECT status FROM wf_result('rows', NULL)});
shown_asleep($result);
sql(<<'SQL');
SET session_replication_role = replica;
UPDATE durable_wf.workflow SET status = 'SUCCESS', finished_at = now()
 WHERE workflow_id = 'rows';
SQL
is(outcome($result), 'SUCCESS', 'woken by the row of a workflow');
$result->quit;

# Waiters do not run for news of other workflows, topics and keys.
sql(q{SELECT wf_start('idle'), wf_start('busy')});

my @idle = (
	start(session(), q{SELECT wf_recv('t', NULL, 'idle')}),
	start(session(), q{CALL wf_recv_any('{u,x}', '10 days', 'idle', NULL, NULL)}),
	start(session(), q{SELECT wf_get_event('idle', 't', '1 day')}),
	start(session(), q{CALL wf_wait_for_event('t', '100 days', 'idle', NULL, NULL)}),
	start(session(), q{CALL wf_result('idle', '1 hour', NULL, NULL, NULL)}));
shown_asleep(@idle);

# What a session was last seen to do.
sub activity
{
	return sql(
		'SELECT pid, query_start, state_change, state FROM pg_stat_activity'
		  . ' WHERE pid IN (' . join(',', map { $_->{pid} } @idle)
		  . ') ORDER BY pid');
}

my $wakes = stat_sum('wakes');
$switches = join ' ', at_rest(map { $_->{pid} } @idle);
$before = activity();

my $sent = sql(<<'SQL');
CREATE TABLE traffic (n int);
DO $$
DECLARE
	n int := 0;
	until timestamptz := clock_timestamp() + '2 s';
BEGIN
	WHILE clock_timestamp() < until LOOP
		PERFORM wf_send('busy', '1', 't'), wf_send('idle', '1', 'v'),
			wf_send('idle', '1'), wf_set_event('t', to_jsonb(n), 'busy'),
			wf_set_event('v', to_jsonb(n), 'idle');
		PERFORM wf_notify('t', '1', 'busy');
		PERFORM wf_notify('v', '1');
		COMMIT;
		PERFORM wf_recv('t', '0', 'busy');
		IF n % 2 = 0 THEN
			ROLLBACK;
		END IF;
		n := n + 1;
	END LOOP;
	INSERT INTO traffic VALUES (n);
END $$;
SELECT n FROM traffic;
SQL
cmp_ok($sent, '>', 0, 'there was traffic');
is(join(' ', map { switches($_->{pid}) } @idle),
	$switches, 'no idle waiter has run for two seconds');
is(stat_sum('wakes'), $wakes, 'nobody was woken');
is(activity(), $before, 'the idle waiters have run no statement');

sql(q{SELECT wf_send('idle', '1', 't'), wf_send('idle', '1', 'u'),
	wf_set_event('t', '1', 'idle'); SELECT wf_notify('t', '1', 'idle')});
is(outcome($idle[0]), '1', 'an idle wf_recv is still there');
is(outcome($idle[1]), 'u|1', 'an idle wf_recv_any is still there');
is(outcome($idle[2]), '1', 'an idle wf_get_event is still there');
is(outcome($idle[3]), '1|f', 'an idle wf_wait_for_event is still there');
sql(q{SET durable_wf.workflow_id = 'idle'; SELECT wf_complete()});
is(outcome($idle[4]), 'SUCCESS||', 'an idle wf_result is still there');
$_->quit foreach @idle;

$node->stop;
done_testing();
