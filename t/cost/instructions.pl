# What our calls cost, in instructions of their backend, next to plain SQL.
#
# The server runs under callgrind, which counts the user space instructions of
# each process until it exits.  A script is executed by two new sessions, a
# different number of times; the difference of both counts, divided by that of
# the times, is what one more execution costs, without what a session does
# once.  Other work on the machine does not change these numbers, and another
# compiler changes the ratio of two of them little: they have limits, a tenth
# above what was measured.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bench = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__)))) . '/bench';
my $counts = PostgreSQL::Test::Utils::tempdir();
my $payload = '{"order": 42, "state": "paid"}';

# ----- the server, under callgrind -----

my $node = PostgreSQL::Test::Cluster->new('cost');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'durable_wf'
durable_wf.max_executors = 1
fsync = off
autovacuum = off
jit = off
checkpoint_timeout = 1d
log_statement = none
log_disconnections = on
log_line_prefix = '%p %a '
CONF

my $bindir = $node->config_data('--bindir');
my $wrapper = "$counts/postgres";
PostgreSQL::Test::Utils::append_to_file($wrapper, <<"SH");
#!/bin/sh
exec valgrind -q --tool=callgrind --callgrind-out-file=$counts/%p $bindir/postgres "\$@"
SH
chmod 0755, $wrapper;
PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-p', $wrapper, '-D', $node->data_dir,
	'-l', $node->logfile, '-t', '180', '-w', 'start');
$node->_update_pid(1);

# The instructions of a process that has exited or is about to.
sub instructions_of
{
	my ($pid) = @_;
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		# callgrind writes the sum at the end
		my $count = -f "$counts/$pid" ? slurp_file("$counts/$pid") : '';
		return $1 if $count =~ /^totals: (\d+)\n/m;
		select undef, undef, undef, 0.1;
	}
	die "no count of process $pid";
}

# The processes of sessions that called themselves so, in the order of their
# ends.
sub pids_of
{
	my ($name, $number) = @_;
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my @pids = slurp_file($node->logfile) =~ /^(\d+) \Q$name\E LOG:  disconnection:/mg;
		return @pids if @pids >= $number;
		select undef, undef, undef, 0.1;
	}
	die "the sessions of $name have not ended";
}

my $runs = 0;

# The instructions of the last sessions of a command that runs with the
# environment of a client.  It opens so many in all.
sub instructions
{
	my ($command, $opens, $last) = @_;
	my $name = 'cost-' . ++$runs;
	local $ENV{PGAPPNAME} = $name;
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	my ($out, $err) = run_command($command);
	my @pids = pids_of($name, $opens);
	my $sum = 0;
	$sum += instructions_of($_) foreach @pids[ -$last .. -1 ];
	return $sum;
}

# What one more execution of a script costs.
sub cost_of
{
	my ($sql, $few, $many) = @_;
	my $file = "$counts/script-" . ++$runs;
	my @count;
	PostgreSQL::Test::Utils::append_to_file($file, $sql);
	foreach my $times ($few, $many)
	{
		# pgbench has a session of its own before that of its client
		push @count,
		  instructions([
				'pgbench', '-n', '-M', 'prepared', '-c', 1, '-t', $times, '-D', 'n=1',
				'-D', "message=$payload", '-f', $file ], 2, 1);
	}
	return ($count[1] - $count[0]) / ($many - $few);
}

# Compare two scripts; ours may cost so many times what theirs does.
sub compare
{
	my ($work, $limit, $ours, $theirs, $few, $many) = @_;
	my $mine = cost_of($ours, $few // 150, $many // 350);
	my $other = cost_of($theirs, $few // 150, $many // 350);
	judge($work, $limit, $mine, $other);
	return;
}

sub judge
{
	my ($work, $limit, $mine, $other) = @_;
	cmp_ok($mine / $other, '<=', $limit,
		sprintf '%s: %d instructions, against %d: %.2f, at most %.2f', $work, $mine, $other, $mine / $other, $limit);
	return;
}

# ----- what both sides work on -----

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION durable_wf;
SELECT wf_start('wf-' || n) FROM generate_series(0, 99) n;
SELECT wf_start('wf-latency');
CREATE SCHEMA bench;
CREATE SEQUENCE bench.message_id_seq AS bigint CACHE 1;
CREATE TABLE bench.message (LIKE durable_wf.message INCLUDING ALL);
CREATE TABLE bench.event (LIKE durable_wf.event INCLUDING ALL);
ALTER TABLE bench.event SET (fillfactor = 85);
SQL

# The same 10,000 messages on both sides.
sub fill_mailboxes
{
	$node->safe_psql('postgres', <<'SQL');
TRUNCATE durable_wf.message, bench.message;
SELECT cardinality(wf_send_many(array_agg('wf-0'::text), array_agg(to_jsonb(n))))
FROM generate_series(1, 10000) n;
INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
SELECT nextval('bench.message_id_seq'), 'wf-0', 'd', '', to_jsonb(n) FROM generate_series(1, 10000) n;
VACUUM ANALYZE durable_wf.message;
VACUUM ANALYZE bench.message;
SQL
	return;
}

# The same 10,000 events.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO durable_wf.event (workflow_id, key, value)
SELECT 'wf-' || n % 100, 'key ' || n / 100, to_jsonb(n) FROM generate_series(0, 9999) n;
INSERT INTO bench.event SELECT * FROM durable_wf.event;
VACUUM ANALYZE durable_wf.event;
VACUUM ANALYZE bench.event;
SQL

# ----- calls -----

compare('wf_send', 0.9, <<'OURS', <<'THEIRS');
SELECT wf_send('wf-' || :n, :message);
OURS
INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
VALUES (nextval('bench.message_id_seq'), 'wf-' || :n, 'd', '', :message);
THEIRS

compare('a statement that sends 1,000', 1.25, <<'OURS', <<'THEIRS', 3, 8);
SELECT count(wf_send('wf-' || n % 100, jsonb_build_object('n', n))) FROM generate_series(1, 1000) n;
OURS
INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
SELECT nextval('bench.message_id_seq'), 'wf-' || n % 100, 'd', '', jsonb_build_object('n', n)
FROM generate_series(1, 1000) n;
THEIRS

fill_mailboxes();
compare('wf_recv, 10,000 in the mailbox', 0.5, <<'OURS', <<'THEIRS');
SELECT wf_recv(workflow_id => 'wf-0');
OURS
DELETE FROM bench.message WHERE ctid =
  (SELECT ctid FROM bench.message
    WHERE workflow_id = 'wf-0' AND door = 'd' AND key = ''
    ORDER BY message_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING payload;
THEIRS

compare('wf_set_event, the key is there', 0.7, <<'OURS', <<'THEIRS');
SELECT wf_set_event('key 7', :message, 'wf-' || :n);
OURS
INSERT INTO bench.event (workflow_id, key, value)
VALUES ('wf-' || :n, 'key 7', :message)
ON CONFLICT (workflow_id, key) DO UPDATE
SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at;
THEIRS

compare('wf_set_event, a new key', 1.05, <<'OURS', <<'THEIRS');
\set k random(1, 1000000000)
SELECT wf_set_event('new ' || :k, :message, 'wf-' || :n);
OURS
\set k random(1, 1000000000)
INSERT INTO bench.event (workflow_id, key, value)
VALUES ('wf-' || :n, 'new ' || :k, :message)
ON CONFLICT (workflow_id, key) DO UPDATE
SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at;
THEIRS

compare('wf_get_event that finds', 1.1, <<'OURS', <<'THEIRS');
SELECT wf_get_event('wf-' || :n, 'key 8');
OURS
SELECT value FROM bench.event WHERE workflow_id = 'wf-' || :n AND key = 'key 8';
THEIRS

# ----- a sender and a receiver that sleeps -----

{
	my $program = "$counts/latency";
	my ($include, $library) = map { $node->config_data($_) } qw(--includedir --libdir);
	my %cost;

	PostgreSQL::Test::Utils::system_or_bail('gcc', '-O2', "-I$include", '-I/usr/include/postgresql',
		'-o', $program, "$bench/latency.c", "-L$library", '-lpq', '-pthread');
	foreach my $side (qw(recv listen event event-listen))
	{
		$node->safe_psql('postgres',
			'TRUNCATE durable_wf.message, bench.message, durable_wf.event, bench.event');
		my @count = map {
			$node->safe_psql('postgres', 'TRUNCATE durable_wf.event, bench.event');
			instructions([ $program, $side, $_ ], 2, 2);
		} (100, 250);
		$cost{$side} = ($count[1] - $count[0]) / 150;
	}
	judge('a send, and the wf_recv that sleeps', 0.85, $cost{recv}, $cost{listen});
	judge('an event, and the wf_get_event that sleeps', 0.85, $cost{event}, $cost{'event-listen'});
}

# ----- a workflow of one step -----

$node->safe_psql('postgres', <<'SQL');
CREATE PROCEDURE one_step(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('s1', 'SELECT 1');
    PERFORM wf_complete('1');
END $$;
SQL

# The instructions of the executor that has run so many of them.
sub executor
{
	my ($number) = @_;
	$node->safe_psql('postgres', "SELECT wf_start('run-$number-' || n, 'one_step') FROM generate_series(1, $number) n");
	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM wf_workflows WHERE body IS NOT NULL AND status IN ('PENDING', 'RUNNING', 'WAITING')")
	  or die 'the workflows have not ended';
	my $pid = $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'");
	like($pid, qr/^\d+$/, "one executor has run $number");
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	return instructions_of($pid);
}

{
	my $few = executor(100);
	my $cost = (executor(300) - $few) / 200;
	cmp_ok($cost, '<=', 700_000, sprintf 'a workflow of one step: %d instructions of its executor, at most 700000', $cost);
}

$node->stop;
done_testing();
