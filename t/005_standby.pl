# A standby reads; waiting and writing there fail at once.  Promoted, it is a
# primary like any other.  A subscriber's waiters are woken by what is applied.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node session start asleep waiter outcome);
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = start_node('primary', {}, allows_streaming => 'logical');

# Waits of every door, with what the waiter is told in the end.
sub waits_work
{
	my ($node, $name, @sessions) = @_;
	my @waits = (
		[ q{SELECT wf_recv('q', NULL, 'w')}, '1' ],
		[ q{CALL wf_recv_any('{q2,q3}', NULL, 'w', NULL, NULL)}, 'q2|2' ],
		[ q{CALL wf_get_event('w', 'k', NULL, NULL)}, '3' ],
		[ q{SELECT * FROM wf_wait_for_event('e', NULL, 'w')}, '4|f' ],
		[ q{SELECT * FROM wf_result('w', NULL)}, 'SUCCESS|5|' ]);

	push @sessions, session($node) while @sessions < @waits;
	asleep(start($sessions[$_], $waits[$_][0])) foreach 0 .. $#waits;
	$node->safe_psql('postgres', <<'SQL');
SELECT wf_send('w', '1', 'q'), wf_send('w', '2', 'q2'), wf_set_event('k', '3', 'w');
SELECT wf_notify('e', '4');
SQL
	is(outcome($sessions[$_]), $waits[$_][1], "$name: $waits[$_][0]")
	  foreach 0 .. 3;
	$node->safe_psql('postgres',
		q{SET durable_wf.workflow_id = 'w'; SELECT wf_complete('5')});
	is(outcome($sessions[4]), $waits[4][1], "$name: $waits[4][0]");
	$_->quit foreach @sessions;
	return;
}

$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION durable_wf;
SELECT wf_start('w'), wf_start('done');
SELECT wf_set_event('url', '"https://example"', 'w'), wf_send('w', '1', 'kept');
SELECT wf_write_stream('s', '1', 'w');
SET durable_wf.workflow_id = 'done';
SELECT wf_complete('1');
SQL

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# One message more, by way of the stream; its id is used up, too.
my $last_id = $primary->safe_psql('postgres', <<'SQL');
SELECT wf_send('w', '2', 'kept');
SQL
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

# What is there can be read, by functions and CALL.
my $reader = session($standby);
my %reads = (
	q{SELECT wf_status('w')} => 'PENDING',
	q{SELECT wf_status('done')} => 'SUCCESS',
	q{SELECT wf_get_event('w', 'url')} => '"https://example"',
	q{CALL wf_get_event('w', 'url', NULL, NULL)} => '"https://example"',
	q{SELECT wf_get_event('w', 'no such key', '0') IS NULL} => 't',
	q{CALL wf_get_event('w', 'no such key', '0', NULL)} => '',
	q{SELECT wf_get_event('done', 'no such key', NULL) IS NULL} => 't',
	q{SELECT * FROM wf_read_stream('w', 's')} => '1|1|f',
	q{CALL wf_read_stream('w', 's', 0, 1, NULL, NULL, NULL, NULL)} => '[1]|1|f',
	q{SELECT * FROM wf_read_stream('w', 's', 1, timeout => '0')} => '',
	q{SELECT * FROM wf_read_stream('done', 's', timeout => NULL)} => '||t',
	q{SELECT * FROM wf_result('done')} => 'SUCCESS|1|',
	q{CALL wf_result('done', NULL, NULL, NULL, NULL)} => 'SUCCESS|1|',
	q{SELECT * FROM wf_result('w', '0')} => 'PENDING||',
	q{SELECT count(*) FROM wf_workflows} => '2',
	q{SELECT depth FROM wf_mailbox} => '2',
	q{SELECT count(*) FROM wf_waiters} => '0',
	q{SELECT count(*) FROM wf_event_waiters('e')} => '0',
	q{SELECT sum(waits) FROM wf_stat} => '0',
	q{SELECT wf_current() IS NULL} => 't',
	q{BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT wf_get_event('w', 'url'); COMMIT} => '"https://example"');

is(outcome($reader, $_), $reads{$_}, "standby: $_") foreach sort keys %reads;
like(outcome($reader, q{SELECT wf_status('none')}),
	qr/ERROR:  WF001: /, 'standby: no such workflow');

# A stream has not ended while a writer of it goes on over there.
my $writer = session($primary);
$primary->safe_psql('postgres', q{SELECT wf_start('busy')});
$writer->query_safe(q{BEGIN; SELECT wf_write_stream('s', '1', 'busy')});
$primary->safe_psql('postgres', q{SELECT wf_cancel('busy')});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is(outcome($reader, q{SELECT * FROM wf_read_stream('busy', 's', timeout => '0')}), '', 'standby: a stream that may go on');
$writer->query_safe('ROLLBACK');
$writer->quit;
$primary->safe_psql('postgres', q{SELECT txid_current()});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is(outcome($reader, q{SELECT * FROM wf_read_stream('busy', 's', timeout => '0')}), '||t', 'standby: ... has ended');
$primary->safe_psql('postgres', q{DELETE FROM durable_wf.workflow WHERE workflow_id = 'busy'});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

# What would wait or write fails, at once and with one code.
foreach my $refused (
	q{SELECT wf_get_event('w', 'no such key', NULL)},
	q{CALL wf_get_event('w', 'no such key', NULL, NULL)},
	q{SELECT wf_get_event('none', 'k', '1 day')},
	q{SELECT wf_read_stream('w', 's', 1)},
	q{CALL wf_read_stream('none', 's', 0, 1, NULL, NULL, NULL, NULL)},
	q{SELECT wf_write_stream('s', '1', 'w')},
	q{SELECT wf_close_stream('s', 'w')},
	q{SELECT wf_create_stream_url('s', 'w')},
	q{SELECT wf_result('w', NULL)},
	q{CALL wf_result('w', '1 day', NULL, NULL, NULL)},
	q{SELECT wf_recv('q', NULL, 'w')},
	q{SELECT wf_recv('kept', NULL, 'w')},
	q{SELECT wf_recv('kept', '0', 'w')},
	q{CALL wf_recv('kept', NULL, 'w', NULL)},
	q{SELECT wf_recv_any('{q,kept}', NULL, 'w')},
	q{CALL wf_recv_any('{q}', NULL, 'w', NULL, NULL)},
	q{SELECT wf_wait_any('[{"topic": "q"}, {"topic": "kept"}]', NULL, 'w')},
	q{SELECT wf_recv_many('q', 1, NULL, 'w')},
	q{SELECT wf_wait_for_event('e', NULL, 'w')},
	q{CALL wf_wait_for_event('e', NULL, 'w', NULL, NULL)},
	q{SELECT wf_start('w')},
	q{SELECT wf_start()},
	q{SELECT wf_send('w', '1')},
	q{SELECT wf_send_many('{w}', '{1}')},
	q{SELECT wf_set_event('url', '1', 'w')},
	q{SELECT wf_notify('e')},
	q{SELECT wf_notify('e', '1', 'w')},
	q{SELECT wf_cancel('w')},
	q{SELECT wf_set_owner('w', current_user)})
{
	like(outcome($reader, $refused), qr/ERROR:  25006: /,
		"standby refuses: $refused");
}
foreach my $refused (q{wf_complete()}, q{wf_fail('')})
{
	like(
		outcome($reader,
			"SET durable_wf.workflow_id = 'w'; SELECT $refused"),
		qr/ERROR:  25006: /,
		"standby refuses: $refused");
}
is(outcome($reader, 'SELECT count(*) FROM wf_waiters'),
	'0', 'standby: nobody is left waiting');

# The subscriber: an extension of its own, and messages and events by apply.
my $subscriber = start_node('subscriber', {}, allows_streaming => 'logical');
$subscriber->safe_psql('postgres', 'CREATE EXTENSION durable_wf');
$primary->safe_psql('postgres', <<'SQL');
CREATE PUBLICATION p FOR TABLE durable_wf.workflow, durable_wf.message,
                               durable_wf.event;
SQL
$subscriber->safe_psql('postgres',
	q{CREATE SUBSCRIPTION s CONNECTION '} . $primary->connstr
	  . q{ dbname=postgres' PUBLICATION p});
$subscriber->wait_for_subscription_sync($primary, 's');
is($subscriber->safe_psql('postgres', q{SELECT wf_status('done')}),
	'SUCCESS', 'subscriber: workflows have come');

$primary->safe_psql('postgres', q{SELECT wf_start('ending')});
$primary->wait_for_catchup('s');
my $recv = waiter(q{SELECT wf_recv('s', NULL, 'w')}, $subscriber);
my $event =
  waiter(q{CALL wf_get_event('new', 'k', NULL, NULL)}, $subscriber);
my $result =
  waiter(q{SELECT status FROM wf_result('ending', NULL)}, $subscriber);

$primary->safe_psql('postgres', <<'SQL');
SELECT wf_send('w', '"applied"', 's'), wf_start('new'), wf_set_event('k', '1', 'new');
SET durable_wf.workflow_id = 'ending';
SELECT wf_complete();
SQL
is(outcome($recv), '"applied"', 'subscriber: an applied message wakes');
is(outcome($event), '1', 'subscriber: an applied event wakes');
is(outcome($result), 'SUCCESS', 'subscriber: an applied end wakes');
is($subscriber->safe_psql('postgres', 'SELECT sum(timeouts) FROM wf_stat'),
	'0', 'subscriber: nobody timed out');
$_->quit foreach ($recv, $event, $result);
$subscriber->stop;

# Promoted, with a session that was open before.
my $old = session($standby);
is(outcome($old, q{SELECT wf_get_event('w', 'url')}),
	'"https://example"', 'a session before the promotion');
like(outcome($old, q{SELECT wf_recv('kept', NULL, 'w')}),
	qr/ERROR:  25006: /, 'cannot receive yet');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$primary->stop;
$standby->promote;

is(outcome($old, q{SELECT message FROM wf_recv_many('kept', 9, '0', 'w')}),
	"1\n2", 'promoted: messages are there, in order');
cmp_ok(outcome($old, q{SELECT wf_send('w', '1', 'gone')}),
	'>', $last_id, 'promoted: ids go on above those that were used');
waits_work($standby, 'promoted', $old, $reader);
is($standby->safe_psql('postgres', 'SELECT count(*) FROM wf_waiters'),
	'0', 'promoted: nobody is left waiting');

$standby->stop;
done_testing();
