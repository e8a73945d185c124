# What is written and taken without a statement leaves behind what a statement
# leaves: in the WAL, as a subscriber reads it, and in the statistics.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', { wal_level => 'logical' });
sql('CREATE EXTENSION durable_wf');

my @commands = (
	q[SELECT wf_send('ID', '1'), wf_send('ID', '{"a": 2}', 'topic'), wf_send('ID', '3', 'topic', 'key')],
	q[SELECT wf_send_many('{ID,ID}', '{4,5}')],
	q[SELECT wf_notify('event', '6', 'ID')],
	q[SELECT wf_recv(NULL, '0', 'ID')],
	q[SELECT * FROM wf_recv_many('topic', 10, '0', 'ID')],
	q[SELECT * FROM wf_wait_for_event('event', '0', 'ID')],
	# what is undone is not seen
	q[BEGIN; SAVEPOINT s; SELECT wf_recv(NULL, '0', 'ID'), wf_send('ID', '7'); ROLLBACK TO s; SELECT wf_recv(NULL, '0', 'ID'); COMMIT],
	q[BEGIN; SELECT wf_send('ID', '8'); ROLLBACK],
	q[SELECT wf_recv(NULL, '0', 'ID'), wf_recv(NULL, '0', 'ID')],
	q[SELECT wf_set_event('key', '9', 'ID')],
	q[SELECT wf_set_event('key', '{"b": 10}', 'ID')],
	q[BEGIN; SELECT wf_set_event('key', '11', 'ID'); SELECT wf_set_event('key', '12', 'ID'); SELECT wf_set_event('other', '13', 'ID'); COMMIT],
	q[SELECT wf_write_stream('stream', '14', 'ID'), wf_write_stream('stream', '{"c": 15}', 'ID')],
	q[BEGIN; SELECT wf_write_stream('stream', '16', 'ID'); SAVEPOINT s; SELECT wf_write_stream('stream', '17', 'ID'); ROLLBACK TO s; SELECT wf_write_stream('stream', '18', 'ID'); COMMIT],
	q[SELECT wf_write_stream('stream', to_jsonb(repeat(md5('x'), 500)), 'ID'), wf_close_stream('stream', 'ID')],
	q[SELECT item_no, length(value::text) FROM wf_read_stream('ID', 'stream', 1)],
	# large values
	q[SELECT wf_send('ID', to_jsonb(repeat(md5('x'), 500)))],
	q[SELECT length(wf_recv(NULL, '0', 'ID')::text)],);

# Run the commands with durable_wf.debug_direct on or off.  Returns what
# logical decoding tells of them, with ids and times made alike.
sub decode
{
	my ($direct, $id) = @_;

	sql("SELECT wf_start('$id')");
	sql("SELECT pg_create_logical_replication_slot('slot', 'test_decoding')");
	sql("SELECT pg_stat_reset()");
	foreach (@commands)
	{
		(my $command = $_) =~ s/\bID\b/$id/g;
		sql("SET durable_wf.debug_direct = $direct; $command");
	}
	my $changes = sql(
		q[SELECT string_agg(data, E'\n') FROM pg_logical_slot_get_changes('slot', NULL, NULL, 'include-xids', '0')]);
	sql("SELECT pg_drop_replication_slot('slot')");

	$changes =~ s/\b\Q$id\E\b/ID/g;
	$changes =~ s/(message_id\[bigint\]):\d+/$1:N/g;
	$changes =~ s/(_at\[timestamp[^:]*\]):'[^']*'/$1:T/g;
	return $changes;
}

# How many rows of a table were inserted, updated and deleted so far, also in
# what was undone.
sub counted
{
	my ($table) = @_;
	return sql("SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_all_tables WHERE relid = 'durable_wf.$table'::regclass");
}

# Wait until the statistics of a session that has ended are there.
sub counts_are
{
	my ($table, $counts, $name) = @_;
	$node->poll_query_until('postgres',
		"SELECT concat_ws('|', n_tup_ins, n_tup_upd, n_tup_del) FROM pg_stat_all_tables WHERE relid = 'durable_wf.$table'::regclass", $counts);
	is(counted($table), $counts, $name);
	return;
}

my $directly = decode('on', 'direct');
counts_are('message', '9|0|8', 'items that were written and taken directly are counted');
counts_are('event', '2|3|0', 'so are events');
counts_are('stream_item', '6|0|0', 'and items of streams, with what was undone');
my $stated = decode('off', 'stated');
counts_are('message', '9|0|8', 'by statements');
counts_are('event', '2|3|0', 'events, too');
counts_are('stream_item', '6|0|0', 'items of streams, too');

is($directly, $stated, 'logical decoding tells the same');
my @taken = $directly =~ /table durable_wf\.message: DELETE: .*/g;
is(scalar @taken, 7, 'each item that was taken is told of');
is($taken[0], q[table durable_wf.message: DELETE: message_id[bigint]:N workflow_id[text]:'ID' door["char"]:'d' key[text]:''],
	'by its key');
like($directly, qr/message: INSERT: .*key\[text\]:'topic' payload\[jsonb\]:'\{"a": 2\}' wait_id\[bigint\]:null created_at/,
	'an item that was sent, with all of its columns');
like($directly, qr/event: UPDATE: .*value\[jsonb\]:'\{"b": 10\}'/, 'an event that has changed');
is(join(' ', $directly =~ /stream_item: INSERT: .*item_no\[bigint\]:(\d+)/g), '1 2 3 4 5', 'items of a stream');
unlike($directly, qr/payload\[jsonb\]:'[78]'/, 'nothing that was undone');

# a standby and a crash have nothing new to repeat: the records are the server's
sql("SELECT wf_send('direct', '\"kept\"', 'crash')");
$node->stop('immediate');
$node->start;
is(sql("SELECT wf_recv('crash', '0', 'direct')"), '"kept"', 'a crash');

done_testing();
