# A base backup under traffic, recovered to a point in the middle of it: the copy
# has what was committed until then and nothing else; what was suspended, queued,
# prepared or due goes on there, and no step is done twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 24, max_prepared_transactions => 5, 'durable_wf.suspend_after' => '10ms' },
	allows_streaming => 1, has_archiving => 1);

# Wait for a condition.
sub poll_at
{
	my ($server, $query) = @_;

	$server->poll_query_until('postgres', $query) or die "it does not happen: $query";
	return;
}

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    PERFORM wf_step('before', 'INSERT INTO effect (what) VALUES (''before'')');
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_step('after', 'INSERT INTO effect (what) VALUES (''after'')');
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE naps(input jsonb) LANGUAGE plpgsql AS $$
DECLARE at timestamptz;
BEGIN
    PERFORM wf_step('before', 'INSERT INTO effect (what) VALUES (''before'')');
    CALL wf_sleep((input#>>'{}')::interval, at);
    PERFORM wf_complete('"slept"');
END $$;
SELECT wf_start('sink'), wf_start('early', 'waits'), wf_start('hooked'), wf_start('prepared', 'waits');
SELECT wf_send('sink', '1', 'q'), wf_send('sink', '"once"', 'keyed', 'a key');
SQL
poll_at($node, q{SELECT count(*) = 2 FROM wf_workflows WHERE status = 'WAITING'});
$node->backup('base');

# ------------------------------------------------- what the point has, and what not

$node->safe_psql('postgres', <<'SQL');
SELECT wf_send('sink', '2', 'q'), wf_set_event('k', '"before"', 'sink');
SELECT wf_start('late', 'waits'), wf_start('naps', 'naps', '"1 h"'), wf_start('queued', queue => 'work', input => '7');
SELECT wf_create_hook('a hook', workflow_id => 'hooked');
SELECT wf_write_stream('s', '1', 'sink');
BEGIN; SELECT wf_send('prepared', '"prepared"', 'go'); PREPARE TRANSACTION 'p';
SQL
poll_at($node, q{SELECT count(*) = 4 FROM wf_workflows WHERE status = 'WAITING'});

# a transaction that is open at the point, and one that took a message
my $open = $node->background_psql('postgres');
my $taker = $node->background_psql('postgres');
$open->query_safe(q{BEGIN; SELECT wf_send('sink', '"open"', 'q'), wf_start('open', 'waits')});
$taker->query_safe(q{BEGIN; SELECT wf_recv('q', '0', 'sink')});
my $before = $node->safe_psql('postgres', 'SELECT max(message_id) FROM durable_wf.message');
$node->safe_psql('postgres', q{SELECT pg_create_restore_point('here')});
$_->query_safe('COMMIT') foreach $open, $taker;
$_->quit foreach $open, $taker;

$node->safe_psql('postgres', <<'SQL');
SELECT wf_send(id, '"in the original"', 'go') FROM unnest('{early,late}'::text[]) id;
SELECT wf_set_event('k', '"after"', 'sink'), wf_send('sink', '3', 'q'), wf_write_stream('s', '2', 'sink'), wf_start('never', 'waits');
SELECT wf_resume_hook('a hook', '"in the original"');
COMMIT PREPARED 'p';
SQL
is($node->safe_psql('postgres', qq{SELECT string_agg((wf_result(id, '120 s')).output::text, ' ') FROM unnest('{early,late,prepared}'::text[]) id}),
	'"in the original" "in the original" "prepared"', 'the original goes on');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->poll_query_until('postgres', q{SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver})
  or die 'nothing is archived';

# ------------------------------------------------------------------ the recovery

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$copy->append_conf('postgresql.conf', <<'CONF');
recovery_target_name = 'here'
recovery_target_action = 'promote'
durable_wf.paused = on
CONF
$copy->start;
poll_at($copy, 'SELECT NOT pg_is_in_recovery()');
is($copy->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', workflow_id, status), ', ' ORDER BY workflow_id) FROM wf_workflows}),
	'early WAITING, hooked PENDING, late WAITING, naps WAITING, prepared WAITING, queued PENDING, sink PENDING', 'what was there at the point, and no more');
is($copy->safe_psql('postgres', q{SELECT string_agg(payload::text, ' ' ORDER BY message_id) FROM durable_wf.message WHERE key = 'q'}),
	'1 2', 'neither a send nor a receipt that was not committed');
is($copy->safe_psql('postgres', q{SELECT wf_get_event('sink', 'k', '0'), (SELECT count(*) FROM wf_read_stream('sink', 's', timeout => '0'))}),
	'"before"|1', 'events and streams are as they were');
is($copy->safe_psql('postgres', q{SELECT string_agg(gid, ' ') FROM pg_prepared_xacts}), 'p', 'the prepared transaction is there');
is($copy->safe_psql('postgres', q{SELECT wf_recv('go', '0', 'prepared') IS NULL}), 't', '... and its message not yet');
cmp_ok($copy->safe_psql('postgres', q{SELECT wf_send('sink', '4', 'q')}), '>', $before, 'ids go on');
is($copy->safe_psql('postgres', q{SELECT string_agg(what, ' ') FROM effect WHERE workflow_id <> 'naps'}), 'before before before', 'nothing runs while it is paused');

# what comes by COMMIT PREPARED while it is paused, or is due then, is not lost
$copy->safe_psql('postgres', q{COMMIT PREPARED 'p';
	UPDATE durable_wf.step SET deadline = now() WHERE workflow_id = 'naps' AND completed_at IS NULL;
	UPDATE durable_wf.wait SET deadline = now() WHERE workflow_id = 'naps'});
$copy->append_conf('postgresql.conf', 'durable_wf.paused = off');
$copy->reload;
is($copy->safe_psql('postgres', q{SELECT * FROM wf_result('prepared', '120 s')}), 'SUCCESS|"prepared"|', 'COMMIT PREPARED wakes what was suspended');
is($copy->safe_psql('postgres', q{SELECT * FROM wf_result('naps', '120 s')}), 'SUCCESS|"slept"|', 'a deadline that came meanwhile');
is($copy->safe_psql('postgres', qq{SELECT wf_send(id, '"in the copy"', 'go') > 0 FROM unnest('{early,late}'::text[]) id;
	SELECT wf_result(id, '120 s') FROM unnest('{early,late}'::text[]) id}), <<'OUT' =~ s/\n\z//r, 'what was suspended takes another way there');
t
t
(SUCCESS,"""in the copy""",)
(SUCCESS,"""in the copy""",)
OUT
is($copy->safe_psql('postgres', q{SELECT wf_send('sink', '"twice"', 'keyed', 'a key') = min(message_id) FROM durable_wf.message WHERE key = 'keyed'}), 't', 'keys protect');
is($copy->safe_psql('postgres', q{SELECT wf_resume_hook('a hook', '"in the copy"'); SELECT wf_await_hook('a hook', '0')}) =~ s/^.*\n//r, '"in the copy"', 'a hook of the copy');
is($copy->safe_psql('postgres', q{SELECT string_agg(message::text, ' ') FROM wf_recv_many('q', 100, '0', 'sink')}), '1 2 4', 'the queue, in its order');
is($copy->safe_psql('postgres', q{SELECT wf_attach_next('work', '0'); SELECT wf_complete('8'); SELECT wf_status('queued')}), "queued\n\nSUCCESS", 'what was enqueued is due there');
is($copy->safe_psql('postgres', q{SELECT string_agg(what, ' ' ORDER BY n) FROM effect WHERE workflow_id = 'late'}), 'before after', 'each step once');
is($copy->safe_psql('postgres', q{SELECT count(*) FROM wf_waiters}), 0, 'nobody waits any more');
$copy->stop;
$node->stop;
done_testing();
