# Streams beside what may happen to a server: bodies that read without a
# process, writers that die, crashes, dumps, upgrades.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session waiter outcome until_true);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 24, max_prepared_transactions => 5,
	restart_after_crash => 'on', 'durable_wf.suspend_after' => '10ms',
	'durable_wf.notify_min_gap' => '10ms' });

# How a workflow ended.
sub result
{
	return sql("SELECT * FROM wf_result('$_[0]', '120 s')");
}

# Wait until bodies are suspended.
sub suspended
{
	my $ids = join ', ', map { "'$_'" } @_;
	my $count = @_;

	poll("SELECT count(*) = $count FROM wf_workflows WHERE status = 'WAITING' AND workflow_id IN ($ids)");
	return;
}

sub kill_backend
{
	my ($pid) = @_;

	kill 'KILL', $pid;			# perhaps it has just ended by itself
	until_true(sub { !-d "/proc/$pid" }, 'the process is gone');
	$node->poll_query_until('postgres', 'SELECT true');
	return;
}

sub restart
{
	$node->stop('immediate');
	$node->start;
	return;
}

sql('CREATE EXTENSION durable_wf');
my $bodies = <<'SQL';
CREATE PROCEDURE reads(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    items jsonb;
    seen bigint := 0;
    got jsonb := '[]';
    ended boolean;
BEGIN
    LOOP
        CALL public.wf_read_stream(input->>0, 's', seen, 2, NULL, items, seen, ended);
        EXIT WHEN ended;
        got := got || items;
        PERFORM public.wf_write_stream('seen', to_jsonb(seen));
    END LOOP;
    PERFORM public.wf_complete(got);
END $$;
CREATE PROCEDURE writes(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    go jsonb;
BEGIN
    FOR i IN 1 .. 5 LOOP
        PERFORM public.wf_write_stream('s', to_jsonb(i));
        CALL public.wf_recv('go', NULL, NULL, go);
    END LOOP;
    PERFORM public.wf_write_stream_many('s', '{6,7}');
END $$;
SQL
sql($bodies);

# ------------------------------------------------- bodies that are suspended

sql(q{SELECT wf_start('source'), wf_start('other'), wf_start('late')});
sql(q{SELECT wf_write_stream_many('s', '{1,2,3}', 'source')});
sql(qq{SELECT wf_start('$_', 'reads', '["source"]')}) foreach 'r1', 'r2', 'r3';
sql(q{SELECT wf_start('of unborn', 'reads', '["unborn"]'), wf_start('of other', 'reads', '["other"]')});
suspended('r1', 'r2', 'r3', 'of unborn', 'of other');
is(sql(q{SELECT workflow_id, door, key, pid, suspended, count(*) FROM wf_waiters GROUP BY 1, 2, 3, 4, 5 ORDER BY 1}),
	"other|stream|s||t|1\nsource|stream|s||t|3\nunborn|stream|s||t|1",
	'suspended: what they wait for');

sql(q{BEGIN; SELECT wf_write_stream('s', '"undone"', 'source'); ROLLBACK});
sql(q{SELECT wf_write_stream('s', '4', 'source')});
poll(qq{SELECT count(*) = 3 FROM durable_wf.stream_item WHERE stream = 'seen' AND value = '4'});
suspended('r1', 'r2', 'r3');

# a crash: who is suspended reads on
restart();
suspended('r1', 'r2', 'r3', 'of unborn', 'of other');
sql(q{BEGIN; SELECT wf_write_stream('s', '5', 'source'); PREPARE TRANSACTION 'five'});
restart();
sql(q{COMMIT PREPARED 'five'});
poll(qq{SELECT count(*) = 3 FROM durable_wf.stream_item WHERE stream = 'seen' AND value = '5'});
suspended('r1', 'r2', 'r3');
sql(q{SELECT wf_close_stream('s', 'source')});
is(result($_), 'SUCCESS|[1, 2, 3, 4, 5]|', "$_: suspended, crashed, closed") foreach 'r1', 'r2', 'r3';
sql(q{SELECT wf_start('unborn'), wf_write_stream('s', '"born"', 'unborn'), wf_cancel('unborn')});
is(result('of unborn'), 'SUCCESS|["born"]|', 'suspended: of a workflow that begins and ends meanwhile');

# The end of the workflow beside a writer: no end before the writer's.
{
	my $writer = session();

	$writer->query_safe(q{BEGIN; SELECT wf_write_stream('s', '1', 'other')});
	sql(q{SELECT wf_cancel('other')});
	is(sql(q{SELECT count(*) FROM wf_read_stream('other', 's', timeout => '300 ms')}), 0,
		'a writer goes on behind the end: there is no end yet');
	suspended('of other');
	$writer->query_safe('ROLLBACK');
	is(result('of other'), 'SUCCESS|[]|', 'suspended: the rollback of the last writer is the end');
	$writer->quit;
}

# Killed: its turn is the next one's, the end comes.
{
	my $writer = session();
	my $next = session();

	$writer->query_safe(q{BEGIN; SELECT wf_write_stream('s', '"dies"', 'late')});
	my $reader = waiter(q{SELECT value FROM wf_read_stream('late', 's', timeout => NULL)});
	$next->query_until(qr//, "SELECT wf_write_stream('s', '\"lives\"', 'late');\n");
	poll("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $next->{pid}");
	sql("SELECT pg_terminate_backend($writer->{pid})");
	is(outcome($next), 1, 'terminated: the next writer has its number');
	is(outcome($reader), '"lives"', 'terminated: the reader gets that');
	eval { $writer->{run}->finish };
	$_->quit foreach $next, $reader;
}

# A role that may not write keeps nobody from it, whatever it does.
{
	my $stranger = session();
	my $call = q{SELECT wf_write_stream('s', '1', 'late')};

	sql('CREATE ROLE stranger');
	$stranger->query_safe('SET ROLE stranger');
	foreach my $way ("BEGIN; $call", "BEGIN; SAVEPOINT s; $call; ROLLBACK TO s",
		"BEGIN; DO \$\$ BEGIN PERFORM wf_close_stream('s', 'late'); EXCEPTION WHEN insufficient_privilege THEN END \$\$")
	{
		$stranger->query($way);
		is(sql(q{SET lock_timeout = '10 s'; SELECT wf_write_stream('s', '2', 'late') > 1}), 't', "a stranger's turn: $way");
		$stranger->query('ROLLBACK');
	}

	# nor does it wait behind those who may
	my $writer = session();
	$writer->query_safe("BEGIN; $call");
	like(outcome($stranger, "SET lock_timeout = '10 s'; $call"), qr/42501/, '... and there is none beside a writer');
	$_->quit foreach $writer, $stranger;
}

# ------------------------------------------------- a body that writes, killed

sql(q{SELECT wf_start('writer', 'writes')});
foreach my $i (1 .. 5)
{
	suspended('writer');
	poll("SELECT last_item = $i FROM wf_streams WHERE workflow_id = 'writer'");
	kill_backend($_)
	  foreach grep { $i % 2 } split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' LIMIT 1});
	sql(q{SELECT wf_send('writer', '1', 'go')});
}
is(result('writer'), 'SUCCESS||', 'killed: the body that writes ends');
is(sql(q{SELECT string_agg(value::text, ' ' ORDER BY item_no) FROM wf_read_stream('writer', 's')}),
	'1 2 3 4 5 6 7', 'killed: each item once');

# --------------------------------------- many writers, some of which roll back

sql(q{SELECT wf_start('many')});
my $script = $node->basedir . '/writes.sql';
append_to_file($script, <<'SQL');
\set r random(1, 4)
BEGIN;
SELECT wf_write_stream('s', to_jsonb(:client_id), 'many');
SAVEPOINT a;
SELECT wf_write_stream_many('s', '{1,2,3}', 'many');
\if :r = 1
ROLLBACK TO a;
\endif
\if :r = 2
ROLLBACK;
\else
COMMIT;
\endif
SQL
# ... and readers that miss nothing
sub reader
{
	return waiter(<<'SQL');
DO $$
DECLARE
    items jsonb; seen bigint := 0; last bigint; ended boolean;
BEGIN
    LOOP
        CALL wf_read_stream('many', 's', seen, 7, NULL, items, last, ended);
        EXIT WHEN ended;
        ASSERT last = seen + jsonb_array_length(items);
        seen := last;
    END LOOP;
    RAISE NOTICE 'seen %', seen;
END $$
SQL
}
my @readers = map { reader() } 1 .. 3;
$node->command_ok([ 'pgbench', '-n', '-c', '8', '-j', '2', '-t', '40', '-f', $script, $node->connstr('postgres') ],
	'many writers of one stream');
my $last = sql(q{SELECT last_item FROM wf_streams WHERE workflow_id = 'many'});
is(sql(q{SELECT count(*) FROM durable_wf.stream_item WHERE workflow_id = 'many'}), $last, 'many: no gap');
sql(q{SELECT wf_close_stream('s', 'many')});
like(outcome($_), qr/seen $last\b/, 'many: a reader has seen all') foreach @readers;
$_->quit foreach @readers;

# ------------------------------------------------------------------ listeners

{
	my $listener = session();
	my $heard = '';

	sql(q{SELECT wf_start('told')});
	$listener->query_safe(q{SELECT wf_listen('told')});
	sql(q{BEGIN; SELECT wf_write_stream('rolled back', '1', 'told'); ROLLBACK});
	sql(q{SELECT wf_write_stream('written "x"', '1', 'told')});
	sql(q{SELECT wf_close_stream('closed', 'told')});
	until_true(sub { ($heard .= outcome($listener, 'SELECT 1')) =~ /closed/ }, 'the listener hears of the end');
	like($heard, qr/"workflow_id": "told", "kind": "stream", "key": "written \\"x\\""/, 'told of an item');
	like($heard, qr/"kind": "stream", "key": "closed"/, '... and of the end');
	unlike($heard, qr/rolled back/, '... and not of what was rolled back');
	$listener->quit;
}

# -------------------------------------------------------- dumped and restored

my $contents = <<'SQL';
SELECT * FROM durable_wf.stream ORDER BY 1, 2;
SELECT * FROM durable_wf.stream_item ORDER BY 1, 2, 3;
SELECT * FROM durable_wf.stream_url ORDER BY 1
SQL
sql(q{SELECT wf_start('reader', 'reads', '["told"]'), wf_write_stream_many('s', '{1,2}', 'told'), wf_create_stream_url('s', 'told')});
poll(q{SELECT last_item = 1 FROM wf_streams WHERE workflow_id = 'reader'});
suspended('reader');
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dump');
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restore');
is($node->safe_psql('restored', $contents), sql($contents), 'restored: the same');
$node->safe_psql('restored', q{SELECT wf_adopt()});
is($node->safe_psql('restored', q{SELECT wf_write_stream('s', '3', 'told')}), 3, 'restored: numbers go on');
$node->safe_psql('restored', q{SELECT wf_close_stream('s', 'told')});
is($node->safe_psql('restored', q{SELECT * FROM wf_result('reader', '120 s')}), 'SUCCESS|[1, 2, 3]|',
	'restored: the suspended reader reads on');
is($node->safe_psql('restored', q{SELECT wf_dispose_hook(token) FROM durable_wf.stream_url}), 't', 'restored: the token');

# ------------------------------------------------------------ upgrade from 0.3.0

sql('CREATE DATABASE old');
$node->safe_psql('old', qq{CREATE EXTENSION durable_wf VERSION '0.3.0';
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS \$\$
DECLARE go jsonb;
BEGIN
    CALL public.wf_recv('go', NULL, NULL, go);
    EXECUTE go->>0;
END \$\$;
SELECT wf_start('w', 'waits'), wf_start('gone'), wf_cancel('gone')});
$node->poll_query_until('old', q{SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = 'w'})
  or die 'not suspended';
is($node->safe_psql('old', q{SELECT wf_create_hook('t', workflow_id => 'w'), wf_dispose_hook('t'), wf_dispose_hook('t')}),
	't|t|f', '0.3.0: there is no token of a stream');
$node->poll_query_until('old', q{SELECT wf_prune('0') > 0}) or die 'not pruned';
# a crash, after which the waits are looked through
restart();
$node->safe_psql('old', q{ALTER EXTENSION durable_wf UPDATE});
my $waiting = waiter(q{SELECT value FROM wf_read_stream('w', 's', timeout => '120 s')}, $node, 'old');
$node->safe_psql('old', q{SELECT wf_send('w', '["SELECT wf_write_stream(''s'', ''1'')"]', 'go')});
is(outcome($waiting), '1', 'upgraded: a body that was suspended before writes a stream');
is($node->safe_psql('old', q{SELECT * FROM wf_result('w', '120 s')}), 'SUCCESS||', '... and ends');
$waiting->quit;

$node->stop;
done_testing();
