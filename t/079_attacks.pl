
# What any role may do to bring the server, or others' work, down: sessions whose
# replay has diverged, bodies that go on after the end of their run, bodies that
# leave their executor in a state in which it cannot write.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql said result poll);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', { max_worker_processes => 24, restart_after_crash => 'on',
	'durable_wf.suspend_after' => '50ms', 'durable_wf.max_attempts' => 2 });
sql(q{CREATE EXTENSION durable_wf; CREATE ROLE att LOGIN; CREATE SCHEMA att AUTHORIZATION att});

# Has a process crashed?
sub is_well
{
	my ($what) = @_;
	unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP:|PANIC:|XX000/, "no crash: $what");
	return;
}

# ----- a session whose replay has diverged -----

my $count = 0;
my @calls = ('wf_now()', 'wf_random()', 'wf_uuid()', q{wf_patched('p')}, q{wf_step('s', 'SELECT 1')},
	q{wf_begin_step('s')}, q{wf_get_step('s')}, q{wf_save_step('s', '1')}, q{wf_recv(timeout => '0')},
	q{wf_sleep('0')}, q{wf_set_event('k', '1')}, q{wf_continue_as_new('1')});
foreach my $end ('wf_detach()', 'wf_complete()', q{wf_fail('x')}, q{wf_cancel('%s')}, q{wf_retry('%s')}, q{wf_attach('%s')})
{
	foreach my $call (@calls)
	{
		my $id = 'd' . ++$count;
		my ($stdout, $stderr) = ('', '');
		$node->psql('postgres', join("\n", map { "$_;" }
				"SELECT wf_start('$id'), wf_attach('$id')", 'SELECT wf_now()', 'SELECT wf_detach()',
				"SELECT wf_attach('$id')", 'SELECT wf_random()', 'BEGIN', 'SELECT ' . sprintf($end, $id), "SELECT $call", 'COMMIT',
				"SELECT 'alive'"),
			stdout => \$stdout, stderr => \$stderr, on_error_stop => 0, extra_params => [ '-U', 'att' ]);
		like($stderr, qr/was executed differently before/, "$end has a replay that diverged before it") if $call eq 'wf_now()';
		like($stdout, qr/alive\z/, "$end, then $call");
	}
}
is_well('replays that diverged');

# ----- a body that goes on after the end of its run -----

my %waits = (
	get_event => q{CALL wf_get_event('child', 'ready', '1 min', v)},
	result => q{CALL wf_result('child', '1 min', s, v, e)},
	sleep => q{CALL wf_sleep('1 min', t)},
	recv => q{CALL wf_recv(NULL, '1 min', NULL, v)},
	stream => q{CALL wf_read_stream('child', 's', 0, 1, '1 min', NULL, NULL, NULL)});
sql(q{SELECT wf_start('child')});
foreach my $end (q{wf_complete('"done"')}, q{wf_fail('done')}, 'wf_cancel(wf_current())')
{
	foreach my $wait (sort keys %waits)
	{
		my $name = 'e' . ++$count;
		sql(qq{CREATE PROCEDURE att.$name(input jsonb) LANGUAGE plpgsql AS \$\$ DECLARE v jsonb; s text; e text; t timestamptz;
BEGIN PERFORM $end; $waits{$wait}; END \$\$; SET ROLE att; SELECT wf_start('$name', 'att.$name')});
		like(sql(qq{SELECT status FROM wf_result('$name', '180 s')}), qr/^(SUCCESS|ERROR|CANCELLED)$/, "$end, then $wait");
	}
}
# for ever, until it is cancelled
sql(q{CREATE PROCEDURE att.again(input jsonb) LANGUAGE plpgsql AS $$ DECLARE v jsonb;
BEGIN PERFORM wf_continue_as_new('1'); CALL wf_get_event('child', 'ready', '1 min', v); END $$;
SET ROLE att; SELECT wf_start('again', 'att.again')});
poll(q{SELECT attempts > 0 OR status IN ('ERROR', 'RUNNING') FROM wf_workflows WHERE workflow_id = 'again'});
sql(q{SELECT wf_cancel('again')});
is_well('bodies that go on after their end');

# ----- a body that leaves its session read-only -----

foreach my $body ('SET default_transaction_read_only = on', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
	q{PERFORM wf_step('s', 'SELECT 1'); PERFORM wf_complete('1'); SET default_transaction_read_only = on},
	q{SET default_transaction_isolation = 'serializable'}, q{SET default_transaction_deferrable = on},
	q{SET search_path = ''}, q{SET statement_timeout = '1 ms'}, q{SET lock_timeout = '1 ms'},
	q{SET idle_in_transaction_session_timeout = '1 ms'}, q{SET synchronous_commit = off}, q{SET work_mem = '64kB'},
	q{SET row_security = off}, q{SET DateStyle = 'SQL, DMY'}, q{SET IntervalStyle = 'sql_standard'}, q{SET extra_float_digits = -15},
	q{SET role = none}, q{SET client_min_messages = error})
{
	my $name = 'r' . ++$count;
	sql(qq{CREATE PROCEDURE att.$name(input jsonb) LANGUAGE plpgsql AS \$\$ BEGIN $body; END \$\$; SET ROLE att;
SELECT wf_start('$name', 'att.$name')});
	is(sql(qq{SELECT status FROM wf_result('$name', '180 s')}), 'SUCCESS', $body);
}
sql(q{CREATE PROCEDURE att.fails(input jsonb) LANGUAGE plpgsql AS $$ BEGIN SET default_transaction_read_only = on;
RAISE EXCEPTION 'my own error'; END $$; SET ROLE att; SELECT wf_start('fails', 'att.fails')});
like(result('fails'), qr/my own error/, 'and one that fails then');
is_well('bodies that leave their session read-only');

done_testing();
