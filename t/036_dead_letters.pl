# A message that receivers have given back durable_wf.max_deliveries times is
# out of the way, visible, and can be sent back to its place.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll session start waiter asleep outcome until_true worker);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_prepared_transactions => 5, 'durable_wf.suspend_after' => '10ms',
	'durable_wf.max_deliveries' => 3 });

# How often the oldest message of a topic was given back
sub deliveries
{
	my ($key) = @_;

	return sql("SELECT deliveries FROM wf_mailbox WHERE key = '$key'");
}

# A test: the oldest message of a topic was given back so often.
sub counted
{
	my ($key, $count, $name) = @_;

	ok($node->poll_query_until('postgres', "SELECT coalesce((SELECT deliveries FROM wf_mailbox WHERE key = '$key'), 0)", $count), $name);
	return;
}

# A test: so many dead letters with this key are there.
sub died
{
	my ($key, $count, $name) = @_;

	ok($node->poll_query_until('postgres', "SELECT count(*) FROM wf_dead_letters WHERE key = '$key'", $count), $name);
	return;
}

# Wait until the worker has done all that it was told: it counts in order, and
# what is given back here is counted last.
my $marks = 0;
sub settle
{
	my $mark = 'mark ' . ++$marks;

	sql("SELECT wf_send('w', '0', '$mark')");
	sql("BEGIN; SELECT wf_recv('$mark', '0', 'w'); ROLLBACK");
	poll("SELECT true FROM wf_mailbox WHERE key = '$mark' AND deliveries = 1 UNION ALL SELECT true FROM wf_dead_letters WHERE key = '$mark'");
	sql("SELECT wf_recv('$mark', '0', 'w')");
	return;
}

sql(<<'SQL');
CREATE EXTENSION durable_wf;
SELECT wf_start('w');
SQL
worker();
poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND state = 'idle'});

# ----- what counts -----

sql(q{SELECT wf_send('w', to_jsonb(i), 't') FROM generate_series(1, 3) i});
my $oldest = sql(q{SELECT min(message_id) FROM durable_wf.message});
sql(q{BEGIN; SELECT wf_recv('t', '0', 'w'); ROLLBACK});
counted('t', 1, 'a rollback counts');
sql(q{BEGIN; SAVEPOINT s; SELECT wf_recv('t', '0', 'w'); ROLLBACK TO s; COMMIT});
counted('t', 2, 'so does that to a savepoint');
{
	my $victim = session();

	$victim->query_safe(q{BEGIN; SELECT wf_recv('t', '0', 'w')});
	sql("SELECT pg_terminate_backend($victim->{pid})");
	died('t', 1, 'so does the end of the process; the third is the last');
	eval { $victim->{run}->finish };
}
is(sql(q{SELECT message_id, workflow_id, door, key, payload, deliveries, sent_at <= died_at FROM wf_dead_letters}),
	"$oldest|w|message|t|1|3|t", 'a dead letter is visible');
is(sql(q{SELECT count(*) FROM durable_wf.delivery}), 0, 'its count went with it');
is(sql(q{SELECT wf_recv('t', '0', 'w')}), 2, 'the next one is out');

# ----- redrive -----

is(sql(q{SELECT wf_redrive('w', 'other')}) . sql(q{SELECT wf_redrive('w', 't')}) . sql(q{SELECT wf_redrive('w')}), '010', 'redrive, by topic');
is(sql(q{SELECT string_agg(payload::text, ' ' ORDER BY message_id) FROM durable_wf.message WHERE key = 't'}), '1 3', 'it is in its old place');
is(sql(q{SELECT min(message_id) FROM durable_wf.message}), $oldest, '... with its id');
is(deliveries('t'), 0, 'its deliveries begin anew');
is(sql(q{SELECT wf_recv('t', '0', 'w'), wf_recv('t', '0', 'w')}), '1|3', 'it is received in its old order');

# A queue whose head has moved on: the letter is below its bound.
sql(q{SELECT wf_send('w', to_jsonb(i), 'head') FROM generate_series(1, 300) i});
sql(q{BEGIN; SELECT wf_recv('head', '0', 'w'); ROLLBACK}) foreach 1 .. 3;
died('head', 1, 'the first of a queue dies');
sql(q{SELECT wf_recv('head', '0', 'w')}) foreach 1 .. 150;
{
	my $waiting;

	is(sql(q{SELECT count(*), min(message::text::int) FROM wf_recv_many('head', 1000, '0', 'w')}), '149|152', 'the others are received');
	$waiting = waiter(q{SELECT wf_recv('head', NULL, 'w')});
	sql(q{SELECT wf_redrive('w')});
	is(outcome($waiting), 1, 'a redrive wakes a receiver, also behind the bound of the queue');
}

# ----- receivers that come back at once -----

# Two receivers loop, each takes what the other has given back; neither can
# keep the message from the worker.
sql(q{SELECT wf_send('w', to_jsonb(i), 'hot') FROM generate_series(1, 2) i});
sql(<<'SQL');
CREATE PROCEDURE poisoned() LANGUAGE plpgsql AS $$
DECLARE
	got jsonb;
BEGIN
	LOOP
		BEGIN
			got = wf_recv('hot', NULL, 'w');
			IF got = '1' THEN
				PERFORM 1 / 0;
			END IF;
			EXIT;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
		COMMIT;
	END LOOP;
	RAISE NOTICE 'got %', got;
END $$;
SQL
{
	my @receivers = map { start(session(), 'CALL poisoned()') } 1 .. 2;

	died('hot', 1, 'receivers that loop do not keep a message from dying');
	sql(q{SELECT wf_send('w', '3', 'hot')});
	like(join('', map { outcome($_) } @receivers), qr/got 2.*got 3|got 3.*got 2/s, '... and get the others');
	is(sql(q{SELECT payload, deliveries >= 3 FROM wf_dead_letters WHERE key = 'hot'}), '1|t', '... which is the poisonous one');
}

# A receiver that holds a message which has reached the limit may still have it.
sql(q{SELECT wf_send('w', '1', 'kept')});
sql(q{BEGIN; SELECT wf_recv('kept', '0', 'w'); ROLLBACK}) foreach 1 .. 2;
counted('kept', 2, 'once more and it dies');
{
	my $first = session();

	$first->query_safe(q{BEGIN; SELECT wf_recv('kept', '0', 'w')});
	set('max_deliveries', 2);
	poll(q{SELECT current_setting('durable_wf.max_deliveries') = '2'});
	settle();
	is(sql(q{SELECT count(*) FROM wf_dead_letters WHERE key = 'kept'}), 0, 'what a receiver has does not die');
	$first->query_safe('COMMIT');
	settle();
	is(sql(q{SELECT count(*) FROM durable_wf.delivery d WHERE key = 'kept'}), 0, 'what was received has no count any more');
	is(sql(q{SELECT count(*) FROM wf_dead_letters WHERE key = 'kept'}), 0, '... and is no dead letter');
}

# A prepared transaction: its rollback is not counted, and hides nothing.
sql(q{SELECT wf_send('w', '1', 'prepared')});
sql(q{BEGIN; SELECT wf_recv('prepared', '0', 'w'); ROLLBACK});
counted('prepared', 1, 'once');
sql(q{BEGIN; SELECT wf_recv('prepared', '0', 'w'); PREPARE TRANSACTION 'p'});
sql(q{ROLLBACK PREPARED 'p'});
settle();
is(deliveries('prepared'), 1, 'ROLLBACK PREPARED does not count');
is(sql(q{SELECT wf_recv('prepared', '0', 'w')}), 1, '... and the message is there');

# ----- other doors -----

set('max_deliveries', 1);
poll(q{SELECT current_setting('durable_wf.max_deliveries') = '1'});
sql(q{SELECT wf_send('w', '"none"'), wf_notify('e', '"told"', 'w'), wf_create_hook('k', workflow_id => 'w'), wf_resume_hook('k', '"hooked"')});
sql(q{BEGIN; SELECT wf_recv(NULL, '0', 'w'), wf_wait_for_event('e', '0', 'w'), wf_await_hook('k', '0'); ROLLBACK});
poll(q{SELECT count(*) = 3 FROM wf_dead_letters WHERE key IS DISTINCT FROM 'hot'});
is(sql(q{SELECT string_agg(concat_ws(' ', door, key, payload), ', ' ORDER BY message_id) FROM wf_dead_letters WHERE key IS DISTINCT FROM 'hot'}),
	'message "none", notify e "told", hook k "hooked"', 'messages of each door die');
is(sql(q{SELECT wf_redrive('w')}), 4, 'all are sent back');
is(sql(q{SELECT wf_recv(NULL, '0', 'w'), (wf_wait_for_event('e', '0', 'w')).event_data, wf_await_hook('k', '0'), wf_recv('hot', '0', 'w')}),
	'"none"|"told"|"hooked"|1', '... and are received');
sql(q{SELECT wf_resume_hook('k', '"gone"')});
sql(q{BEGIN; SELECT wf_await_hook('k', '0'); ROLLBACK});
died('k', 1, 'a payload dies');
sql(q{SELECT wf_dispose_hook('k')});
is(sql(q{SELECT wf_redrive('w')}), 0, 'without its hook it stays');

# Several at a time, each counts
sql(q{SELECT wf_send('w', to_jsonb(i), 'many') FROM generate_series(1, 50) i});
sql(q{BEGIN; SELECT count(*) FROM wf_recv_many('many', 50, '0', 'w'); ROLLBACK});
died('many', 50, 'a batch that was given back dies as a whole');
is(sql(q{SELECT wf_redrive('w', 'many')}) . ' ' . sql(q{SELECT count(*) FROM wf_recv_many('many', 60, '0', 'w')}), '50 50', '... and comes back as one');

# A suspended body that gives back what it gets
sql(<<'SQL');
CREATE PROCEDURE stumbles(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	got jsonb;
BEGIN
	CALL wf_recv('go', NULL, NULL, got);
	BEGIN
		got = wf_recv('b', '0');
		RAISE EXCEPTION 'poisoned';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
	CALL wf_recv('go', NULL, NULL, got);
	CALL wf_recv('b', NULL, NULL, got);
	PERFORM wf_complete(got);
END $$;
SELECT wf_start('body', 'stumbles');
SQL
poll(q{SELECT suspended FROM wf_waiters WHERE workflow_id = 'body'});
sql(q{SELECT wf_send_many('{body,body}', '{1,2}', 'b'), wf_send('body', '0', 'go')});
died('b', 1, 'what a body gives back counts');
sql(q{SELECT wf_send('body', '0', 'go')});
is(sql(q{SELECT status, output FROM wf_result('body')}), 'SUCCESS|2', '... and it gets the next one');

# ----- off -----

set('max_deliveries', 0);
poll(q{SELECT current_setting('durable_wf.max_deliveries') = '0'});
sql(q{SELECT wf_send('w', '1', 'off')});
{
	my $client = session();

	$client->query_safe(q{BEGIN; SELECT wf_recv('off', '0', 'w'); ROLLBACK}) foreach 1 .. 5;
}
set('max_deliveries', 5);
poll(q{SELECT current_setting('durable_wf.max_deliveries') = '5'});
settle();
is(deliveries('off'), 0, 'off by default: nothing is counted');

# ----- a restart -----

sql(q{BEGIN; SELECT wf_recv('off', '0', 'w'); ROLLBACK});
counted('off', 1, 'counted');
$node->restart;
set('max_deliveries', 1);
died('off', 1, 'counts are there after a restart, and a lower limit has effect');
sql(q{SELECT wf_redrive('w'), wf_cancel('w')});

# ----- the end of the workflow -----

sql(q{SELECT wf_start('x')});
sql(q{SELECT wf_send('x', '1', 'x'), wf_send('x', '2', 'x')});
sql(q{BEGIN; SELECT wf_recv('x', '0', 'x'); ROLLBACK});
died('x', 1, 'one more');
sql(q{SELECT wf_cancel('x')});
is(sql(q{SELECT count(*) FROM wf_dead_letters WHERE workflow_id = 'x'}), 1, 'dead letters stay when the workflow ends');
is(sql(q{SELECT wf_prune('0')}) > 0, 1, 'pruned');
is(sql(q{SELECT count(*) FROM durable_wf.dead_letter WHERE workflow_id = 'x'}), 0, '... they go with it');

$node->stop;
done_testing();
