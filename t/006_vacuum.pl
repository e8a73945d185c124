# A wait by CALL outside a transaction block holds nothing: no snapshot, no
# transaction id, no lock; so VACUUM removes dead rows beside it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session asleep waiter outcome until_true
  freeze thaw);
use Test::More;

my $node = start_node('main');

# What a session holds: a snapshot, a transaction id, locks on relations and
# on whatever else but its virtual transaction.
sub held
{
	my ($session) = @_;

	return sql(<<"SQL");
SELECT concat_ws(', ',
  (SELECT 'snapshot' FROM pg_stat_activity
    WHERE pid = $session->{pid} AND backend_xmin IS NOT NULL),
  (SELECT 'xid' FROM pg_stat_activity
    WHERE pid = $session->{pid} AND backend_xid IS NOT NULL),
  (SELECT string_agg(DISTINCT CASE locktype WHEN 'relation' THEN 'relation '
          || relation::regclass ELSE locktype END, ', ') FROM pg_locks
    WHERE pid = $session->{pid} AND locktype <> 'virtualxid'))
SQL
}

# Make rows and delete them.
sub make_dead_rows
{
	sql(<<'SQL');
DROP TABLE IF EXISTS dead;
CREATE TABLE dead AS SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i;
DELETE FROM dead;
SQL
	return;
}

# Is the table empty after a VACUUM?
sub is_vacuumed
{
	sql('VACUUM dead');
	return sql(q{SELECT pg_relation_size('dead') = 0}) eq 't';
}

# Make rows, delete them; do they get removed?  Once is not enough where a process
# of the server's reads just then, or writes a page.
sub vacuum_removes
{
	make_dead_rows();
	return eval { until_true(\&is_vacuumed, 'the rows are removed'); 1 };
}

# ... or do they stay?
sub vacuum_leaves
{
	make_dead_rows();
	return !is_vacuumed();
}

sql('CREATE EXTENSION durable_wf');
sql(<<'SQL');
SELECT wf_start('w'), wf_start('me');
CREATE TABLE got (value jsonb);
CREATE PROCEDURE receive(topic text, INOUT message jsonb) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO got VALUES ('"before"');
	CALL wf_recv(topic, NULL, 'w', message);
	INSERT INTO got VALUES (message);
END $$;
CREATE PROCEDURE receive_twice(INOUT message jsonb) LANGUAGE plpgsql AS $$
BEGIN
	CALL receive('first', message);
	CALL receive('q', message);
END $$;
SQL

# The calls that hold nothing, each with the news that ends its wait and what it
# returns.
my @calls = (
	[
		'wf_recv',
		q{CALL wf_recv('q', NULL, 'w', NULL)},
		q{SELECT wf_send('w', '1', 'q')}, '1'
	],
	[
		'wf_recv with a deadline',
		q{CALL wf_recv('q', '1 day', 'w', NULL)},
		q{SELECT wf_send('w', '1', 'q')}, '1'
	],
	[
		'wf_recv_any',
		q{CALL wf_recv_any('{q,r,NULL}', NULL, 'w', NULL, NULL)},
		q{SELECT wf_send('w', '1', 'r')}, 'r|1'
	],
	[
		'wf_get_event',
		q{CALL wf_get_event('w', 'k', NULL, NULL)},
		q{SELECT wf_set_event('k', '1', 'w')}, '1'
	],
	[
		'wf_get_event in a workflow',
		q{SET durable_wf.workflow_id = 'me'; CALL wf_get_event('w', 'k2', NULL, NULL)},
		q{SELECT wf_set_event('k2', '1', 'w')}, '1'
	],
	[
		'wf_wait_for_event',
		q{CALL wf_wait_for_event('e', NULL, 'w', NULL, NULL)},
		q{SELECT FROM wf_notify('e', '1')}, '1|f'
	],
	[
		'wf_result',
		q{CALL wf_result('me', NULL, NULL, NULL, NULL)},
		q{SELECT wf_fail('over', 'me')}, 'ERROR||over'
	],
	[
		'DO',
		q{DO $$ DECLARE m jsonb; BEGIN
			INSERT INTO got VALUES ('"DO"');
			CALL wf_recv('q', NULL, 'w', m);
			IF m <> '1' THEN RAISE EXCEPTION '%', m; END IF; END $$},
		q{SELECT wf_send('w', '1', 'q')}, ''
	],
	[
		'a procedure',
		q{CALL receive('q', NULL)}, q{SELECT wf_send('w', '1', 'q')}, '1'
	],
	[
		'a procedure in a procedure, after another wait',
		q{CALL receive_twice(NULL)}, q{SELECT wf_send('w', '1', 'q')}, '1'
	],
	[
		'a loop over a query',
		q{DO $$ DECLARE m jsonb; i int; BEGIN
			FOR i IN SELECT generate_series(1, 20) LOOP
				CALL wf_recv('q', NULL, 'w', m); EXIT;
			END LOOP; END $$},
		q{SELECT wf_send('w', '1', 'q')}, ''
	]);

foreach my $call (@calls)
{
	my ($name, $statement, $news, $result) = @$call;
	my $taker = session();
	my $waiter;

	sql(q{SELECT wf_send('w', '"first"', 'first')}) if $statement =~ /twice/;
	$waiter = waiter($statement);
	is(held($waiter), '', "$name holds nothing");
	ok(vacuum_removes(), "$name: VACUUM removes dead rows");

	# neither after it was woken for nothing
	if ($news =~ /wf_send/)
	{
		my $spurious =
		  sql(q{SELECT spurious_wakes FROM wf_stat WHERE door = 'message'});

		freeze($waiter);
		sql($news);
		$taker->query_safe(
			q{BEGIN; SELECT message FROM wf_recv_any('{q,r}', '0', 'w')});
		thaw($waiter);
		poll("SELECT spurious_wakes > $spurious FROM wf_stat WHERE door = 'message'");
		asleep($waiter);
		is(held($waiter), '', "$name holds nothing after another look");
		$taker->query_safe('COMMIT');
		ok(vacuum_removes(), "$name: VACUUM still removes dead rows");
	}

	sql($news);
	is(outcome($waiter), $result, "$name has its news");
	is(held($waiter), '', "$name holds nothing in the end");
	$_->quit foreach ($waiter, $taker);
}
is(sql(q{SELECT count(*) FROM got WHERE value = '"before"'}),
	'3', 'what came before a wait was committed');

# ... before it, not with it.
{
	my $waiter = waiter(q{CALL receive('q', NULL)});

	is(sql(q{SELECT count(*) FROM got WHERE value = '"before"'}),
		'4', 'and is visible while it waits');
	sql(q{SELECT wf_send('w', '1', 'q')});
	is(outcome($waiter), '1', 'then it goes on');
	$waiter->quit;
}

# A function holds a snapshot, and so does CALL where it cannot commit; the
# latter says so.
my @holding = (
	[ 'a function', q{SELECT wf_recv('q', NULL, 'w')}, '1' ],
	[
		'CALL in a transaction block',
		q{BEGIN; CALL wf_recv('q', NULL, 'w', NULL)},
		qr/^1.*NOTICE:.*transaction block/s
	],
	[
		'CALL in an EXCEPTION block',
		q{DO $$ DECLARE m jsonb; BEGIN CALL wf_recv('q', NULL, 'w', m);
			EXCEPTION WHEN division_by_zero THEN NULL; END $$},
		qr/NOTICE:.*EXCEPTION block/
	]);

foreach my $wait (@holding)
{
	my ($name, $statement, $result) = @$wait;
	my $waiter = waiter($statement);

	like(held($waiter), qr/relation durable_wf.message/, "$name holds locks");
	ok(vacuum_leaves(), "$name: VACUUM has to leave dead rows")
	  if held($waiter) =~ /snapshot/;
	sql(q{SELECT wf_send('w', '1', 'q')});
	like(outcome($waiter), ref $result ? $result : qr/^$result$/,
		"$name has its news");
	$waiter->query_safe('COMMIT') if $statement =~ /BEGIN; CALL wf_recv/;
	$waiter->quit;
	ok(vacuum_removes(), "$name: afterwards VACUUM removes dead rows");
}
{
	my $waiter = waiter($holding[0][1]);

	like(held($waiter), qr/^snapshot/, 'the function form holds a snapshot');
	sql(q{SELECT wf_send('w', '1', 'q')});
	outcome($waiter);
	$waiter->quit;
}

$node->stop;
done_testing();
