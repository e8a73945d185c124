# Workflows that start, are claimed and end without a statement: what that
# leaves behind, and what somebody has added to the table is heeded.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql session start outcome waiter asleep poll waits_for_lock);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', { wal_level => 'logical', autovacuum => 'off',
	'durable_wf.suspend_after' => 0, 'durable_wf.careful_time' => 0 });
sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE seen (n serial, workflow_id text, what text);
CREATE PROCEDURE one_step(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_complete(wf_step('step', 'SELECT $1', input));
END $$;
CREATE PROCEDURE returns(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('step', 'SELECT 1');
END $$;
CREATE PROCEDURE raises(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_start(wf_current() || ' child');
    RAISE 'no';
END $$;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('topic', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
SQL

# Have all sessions, executors too, access rows directly or by statements.
sub set_direct
{
	my ($value) = @_;

	sql("ALTER SYSTEM SET durable_wf.debug_direct = $value");
	$node->reload;
	poll("SELECT current_setting('durable_wf.debug_direct') = '$value'");
	return;
}

my $large = q[to_jsonb(repeat(md5('x'), 500))];

# What is started, each after the bodies before have ended.
my @commands = (
	q[SELECT wf_start('ID one', 'one_step', '{"a": 1}')],
	q[SELECT wf_start('ID null', 'one_step')],
	qq[SELECT wf_start('ID large', 'one_step', $large)],
	q[SELECT wf_start('ID returns', 'returns')],
	q[SELECT wf_start('ID raises', 'raises')],
	q[SELECT wf_start('ID timeout', 'one_step', '2', timeout => '1 h')],
	q[SELECT wf_start('ID delayed', 'one_step', '3', start_after => '1 ms')],
	q[SELECT wf_start('ID attributes', 'one_step', '4', attributes => '{"b": 1}')],
	q[SELECT wf_start('ID one', 'one_step', '{"a": 1}')],
	q[SELECT wf_start('ID client', NULL, '5'), wf_complete('6', 'ID client')],
	q[SELECT wf_start('ID fails', NULL, '5'), wf_fail('bad', 'ID fails')],
	q[SELECT wf_start('ID cancelled', 'waits'), wf_cancel('ID cancelled')],
	q[BEGIN; SELECT wf_start('ID undone', 'one_step'); SAVEPOINT s; SELECT wf_start('ID undone 2'); ROLLBACK TO s; SELECT wf_start('ID kept'), wf_complete('7', 'ID kept'); COMMIT],
	q[BEGIN; SELECT wf_start('ID undone 3', 'one_step'); ROLLBACK],
	q[SELECT wf_start('ID hooked'), wf_create_hook('ID token', workflow_id => 'ID hooked') = '', wf_complete('8', 'ID hooked')],
	# a queue, an attached session, its child, and no id
	q[SELECT wf_start('ID queued', queue => 'ID queue'); SELECT wf_attach_next('ID queue'); SELECT wf_start('ID child', 'one_step'); SELECT wf_step('s', 'SELECT 1'); SELECT wf_now() IS NULL; SELECT wf_complete('9')],
	q[SELECT wf_start(body => 'one_step', input => '"made up"') IS NULL],
	# a wait is a record that is completed, and the next claim is a first one
	q[SELECT wf_start('ID waits', 'waits')],
	q[SELECT wf_send('ID waits', '10', 'topic')],);

# Run the commands; returns what logical decoding tells of them, with what
# differs from run to run made alike.
sub decode
{
	my ($direct, $id) = @_;
	my %table;

	set_direct($direct);
	sql("SELECT pg_create_logical_replication_slot('slot', 'test_decoding')");
	foreach (@commands)
	{
		(my $command = $_) =~ s/\bID\b/$id/g;
		sql($command);
		poll(q[SELECT NOT EXISTS (SELECT FROM durable_wf.workflow WHERE finished_at IS NULL AND body IS NOT NULL AND status <> 'WAITING')]);
	}
	poll("SELECT status = 'SUCCESS' FROM durable_wf.workflow WHERE workflow_id = '$id waits'");
	my $changes = sql(
		q[SELECT string_agg(data, E'\n') FROM pg_logical_slot_get_changes('slot', NULL, NULL, 'include-xids', '0')]);
	sql("SELECT pg_drop_replication_slot('slot')");

	$changes =~ s/\b\Q$id\E\b/ID/g;
	$changes =~ s/\b[0-9a-f]{8}-[0-9a-f-]{27}\b/UUID/g;
	$changes =~ s/(_at\[timestamp[^:]*\]):'[^']*'/$1:T/g;
	$changes =~ s/(_id\[bigint\]):\d+/$1:N/g;
	$changes =~ s/since(\[timestamp[^:]*\]):'[^']*'/since$1:T/g;
	$changes =~ s/deadline(\[timestamp[^:]*\]):'[^']*'/deadline$1:T/g;
	$changes =~ s/(\{m,topic,)\d+(,\d+)?/$1N/g;
	# journals
	foreach my $line (split /\n/, $changes)
	{
		next unless $line =~ /^table durable_wf\.(workflow|step|wait): (.*)/;
		my ($name, $what) = ($1, $2);
		$what =~ s/(wf_now.*result\[text\[\]\]):'[^']*'/$1:T/;
		$what =~ s/taken\[text\[\]\]:'[^']*'/taken/;
		push @{ $table{$name} }, $what;
	}
	return \%table;
}

# Does a start write without a statement?  That would open each index.
sub is_direct
{
	return sql(<<'SQL');
BEGIN;
SELECT wf_start('tried', 'one_step') IS NULL;
SELECT count(*) = 0 FROM pg_locks
 WHERE relation = 'durable_wf.workflow_timeout_at_idx'::regclass AND pid = pg_backend_pid()
   AND mode = 'RowExclusiveLock';
ROLLBACK;
SQL
}

# ----- the same is left

my $directly = decode('on', 'direct');
like(is_direct(), qr/t$/, 'a workflow is started without a statement');
my $stated = decode('off', 'stated');
like(is_direct(), qr/f$/, 'and by one');
foreach my $table (qw(workflow step wait))
{
	# a child runs beside its parent
	my ($a, $b) = map { join "\n", sort @{ $_->{$table} } } $directly, $stated;
	is($a, $b, "logical decoding tells the same of $table");
}
cmp_ok(scalar(@{ $directly->{workflow} }), '>', 50, 'and not little');
like($directly->{workflow}[1], qr/^UPDATE: .*'ID one'.* status\[text\]:'RUNNING' .*attempts\[integer\]:1/, 'a claim');
like($directly->{workflow}[2], qr/^UPDATE: .*'ID one'.* status\[text\]:'SUCCESS' .*output\[jsonb\]:'\{"a": 1\}'/, 'an end');
like($directly->{step}[0], qr/^INSERT: .*'ID one'.* result\[text\[\]\]:/, 'a record');
is(scalar(grep { /^UPDATE: .*'ID waits'.* completed_at\S+ \S+ time \S+:T / } @{ $directly->{step} }), 1, 'a record is completed when its wait is over');
is(sql(q[SELECT count(*) FROM durable_wf.hook]), 0, 'hooks have ended with their workflows');

# The rows and their indexes agree, by each index.
sub check_indexes
{
	my ($name) = @_;

	sql('CREATE EXTENSION IF NOT EXISTS amcheck');
	is(sql(q[SELECT count(bt_index_check(indexrelid, true)) FROM pg_index
		WHERE indrelid IN ('durable_wf.workflow'::regclass, 'durable_wf.step'::regclass)]), 7, $name);
	return;
}

# rows that belong in each of the indexes, some of which stay
set_direct('on');
sql(q[SELECT wf_start('parent', queue => 'q'); SELECT wf_attach('parent'); SELECT wf_start('a child', 'waits'), wf_start('a queued child', queue => 'q')]);
sql(q[SELECT wf_start('timed', 'waits', timeout => '1 h'), wf_start('later', 'one_step', start_after => '1 h')]);
poll(q[SELECT count(*) = 2 FROM durable_wf.workflow WHERE status = 'WAITING']);
check_indexes('each index has the entries that it should');
sql(q[SELECT wf_cancel('a child'), wf_cancel('timed'), wf_cancel('a queued child')]);
check_indexes('... also after their ends');

# ----- those that wait are woken

sql(q[SELECT wf_start('awaited', 'waits')]);
my $waiter = waiter(q[SELECT status, output FROM wf_result('awaited', '3 min')]);
sql(q[SELECT wf_send('awaited', '"x"', 'topic')]);
is(outcome($waiter), 'SUCCESS|"x"', 'who waits for an end is woken');
start($waiter, q[SELECT wf_attach_next('late', '3 min')]);
asleep($waiter);
sql(q[SELECT wf_start('queued late', queue => 'late')]);
is(outcome($waiter), 'queued late', 'who waits for work is woken');
outcome($waiter, 'SELECT wf_complete()');
$waiter->quit;

# ----- what was added is heeded

sub run_one
{
	my ($id) = @_;

	sql("SELECT wf_start('$id', 'one_step', '1')");
	poll("SELECT status = 'SUCCESS' FROM durable_wf.workflow WHERE workflow_id = '$id'");
	return sql("SELECT string_agg(what, ' ' ORDER BY n) FROM seen WHERE workflow_id = '$id'");
}

sql(<<'SQL');
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen (workflow_id, what) VALUES (NEW.workflow_id, TG_OP);
    RETURN NEW;
END $$;
GRANT ALL ON seen, seen_n_seq TO PUBLIC;
CREATE TRIGGER see AFTER INSERT OR UPDATE ON durable_wf.workflow FOR EACH ROW EXECUTE FUNCTION see();
SQL
is(run_one('trigger'), 'INSERT UPDATE UPDATE', 'a trigger sees the start, the claim and the end');
sql(q[DROP TRIGGER see ON durable_wf.workflow; CREATE TRIGGER see AFTER INSERT OR UPDATE ON durable_wf.step FOR EACH ROW EXECUTE FUNCTION see()]);
is(run_one('step trigger'), 'INSERT', 'a trigger sees the record of a step');
sql('DROP TRIGGER see ON durable_wf.step');

foreach my $change (
	[ q[CREATE INDEX added ON durable_wf.workflow (status)], q[DROP INDEX durable_wf.added] ],
	[ q[ALTER TABLE durable_wf.workflow ADD CONSTRAINT added CHECK (attempts >= 0)], q[ALTER TABLE durable_wf.workflow DROP CONSTRAINT added] ],
	[ q[ALTER TABLE durable_wf.workflow ALTER attempts SET DEFAULT 1], q[ALTER TABLE durable_wf.workflow ALTER attempts SET DEFAULT 0] ],
	[ q[ALTER TABLE durable_wf.workflow ALTER error SET DEFAULT 'none'], q[ALTER TABLE durable_wf.workflow ALTER error DROP DEFAULT] ],
	[ q[ALTER TABLE durable_wf.workflow DISABLE TRIGGER release_hooks], q[ALTER TABLE durable_wf.workflow ENABLE TRIGGER release_hooks] ],
	[ q[DROP INDEX durable_wf.workflow_timeout_at_idx; CREATE INDEX workflow_timeout_at_idx ON durable_wf.workflow (timeout_at) WHERE timeout_at IS NOT NULL],
		q[DROP INDEX durable_wf.workflow_timeout_at_idx; CREATE INDEX workflow_timeout_at_idx ON durable_wf.workflow (timeout_at) WHERE timeout_at IS NOT NULL AND finished_at IS NULL] ])
{
	my ($change, $back) = @$change;

	sql($change);
	is(sql(q[SELECT wf_start('changed', 'returns', '1') IS NULL; SELECT status = 'PENDING' OR status = 'RUNNING' OR status = 'SUCCESS' FROM durable_wf.workflow WHERE workflow_id = 'changed']), "f\nt", "started: $change");
	unlike(is_direct(), qr/t$/, '... by a statement') unless $change =~ /DROP INDEX/;
	poll(q[SELECT status = 'SUCCESS' FROM durable_wf.workflow WHERE workflow_id = 'changed']);
	sql($back);
	sql(q[DELETE FROM durable_wf.workflow WHERE workflow_id = 'changed']);
	sql(q[DELETE FROM durable_wf.step WHERE workflow_id = 'changed']);
	like(is_direct(), qr/t$/, 'and directly again');
}

# ----- a row that another session has locked

my $holder = session();
sql(q[SELECT wf_start('locked', 'waits')]);
poll(q[SELECT status = 'WAITING' FROM durable_wf.workflow WHERE workflow_id = 'locked']);
outcome($holder, q[BEGIN; SELECT FROM durable_wf.workflow WHERE workflow_id = 'locked' FOR NO KEY UPDATE]);
my $canceller = start(session(), q[SELECT wf_cancel('locked')]);
waits_for_lock("pid = $canceller->{pid}");
outcome($holder, q[UPDATE durable_wf.workflow SET updated_at = now() WHERE workflow_id = 'locked'; COMMIT]);
is(outcome($canceller), 't', 'an end waits for a row that is locked, and goes on with its newer version');
is(sql(q[SELECT status FROM durable_wf.workflow WHERE workflow_id = 'locked']), 'CANCELLED', '... to end it');
$_->quit foreach $holder, $canceller;

# ----- a body with a journal whose row looks as if it had just been inserted

sql(<<'SQL');
CREATE ROLE late LOGIN;
GRANT ALL ON SCHEMA public TO late;
CREATE PROCEDURE once(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    PERFORM wf_step('step', $s$INSERT INTO seen (workflow_id, what) VALUES (wf_current(), 'step')$s$);
    CALL wf_recv('topic', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
SET ROLE late;
SELECT wf_start('rewritten', 'once');
SQL
poll(q[SELECT status = 'WAITING' FROM durable_wf.workflow WHERE workflow_id = 'rewritten']);
sql(q[ALTER ROLE late NOLOGIN; SELECT wf_send('rewritten', '1', 'topic')]);
poll(q[SELECT status = 'PENDING' FROM durable_wf.workflow WHERE workflow_id = 'rewritten']);
is(sql(q[SELECT attempts FROM durable_wf.workflow WHERE workflow_id = 'rewritten']), 0, 'resumed, not claimed');
sql(q[ALTER TABLE durable_wf.workflow SET UNLOGGED; ALTER TABLE durable_wf.workflow SET LOGGED]);
like(is_direct(), qr/t$/, 'a table that was rewritten is as it was made');
sql('ALTER ROLE late LOGIN');
poll(q[SELECT finished_at IS NOT NULL FROM durable_wf.workflow WHERE workflow_id = 'rewritten']);
is(sql(q[SELECT status, output FROM durable_wf.workflow WHERE workflow_id = 'rewritten']), 'SUCCESS|1', 'a claim finds its journal');
is(sql(q[SELECT count(*) FROM seen WHERE workflow_id = 'rewritten']), 1, 'its step ran once');

# ----- a crash

sql(q[SELECT wf_start('before', 'waits'), wf_start('crash ' || n, 'one_step', to_jsonb(n)) FROM generate_series(1, 50) n]);
$node->stop('immediate');
$node->start;
poll(q[SELECT count(*) = 50 FROM durable_wf.workflow WHERE workflow_id LIKE 'crash %' AND status = 'SUCCESS' AND output = input]);
is(sql(q[SELECT count(*) FROM durable_wf.step WHERE workflow_id LIKE 'crash %']), 50, 'each has run once');
sql(q[SELECT wf_send('before', '1', 'topic')]);
poll(q[SELECT status = 'SUCCESS' FROM durable_wf.workflow WHERE workflow_id = 'before']);
check_indexes('the indexes agree after a crash');

$node->stop;
done_testing();
