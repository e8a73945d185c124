# No wake is lost for work whose claim another session meets at the wrong moment
# (PROOF.md, 9): each time a session is held still in the middle of it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll until_true session start asleep waiter
  outcome last_words freeze thaw kill_backend waits_for_lock result);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', { deadlock_timeout => '1h', 'durable_wf.executor_idle_timeout' => '1h',
	'durable_wf.max_attempts' => 2, restart_after_crash => 'on' });

# Compile the library that stops a session.
my $library = PostgreSQL::Test::Utils::tempdir() . '/hold.so';
my $headers = `pg_config --includedir-server`;
chomp $headers;
system($ENV{CC} || 'cc', '-fPIC', '-shared', '-isystem', $headers, '-o', $library, "$FindBin::RealBin/hold/hold.c") == 0
  or die 'hold.c';

sql(qq{CREATE EXTENSION durable_wf;
	CREATE FUNCTION hold_at(text) RETURNS void STRICT LANGUAGE c AS '$library', 'hold_at';
	CREATE PROCEDURE quick(input jsonb) LANGUAGE plpgsql AS 'BEGIN PERFORM wf_complete(); END'});

my $call = q{CALL wf_attach_next('%s', NULL, NULL)};

# Wait until a session has stopped itself.
sub has_stopped
{
	my ($session) = @_;

	until_true(
		sub { slurp_file("/proc/$session->{pid}/status") =~ /^State:\s+T/m },
		'the session has stopped');
	return;
}

# How often sessions that wait for work have looked in vain.
sub vain
{
	return sql(q{SELECT coalesce(sum(spurious_wakes), 0) FROM wf_stat WHERE door IN ('queue', 'work')});
}

# Wait until one more has looked in vain than there were.
sub one_looks
{
	my ($before, @waiters) = @_;

	poll(qq{SELECT sum(spurious_wakes) > $before FROM wf_stat WHERE door IN ('queue', 'work')});
	asleep(@waiters) if @waiters;
	return;
}

# The waiter gets that workflow, ends it, and is done.
sub gets
{
	my ($waiter, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(outcome($waiter), $expected, $name);
	$waiter->query_safe('SELECT wf_complete()');
	$waiter->quit;
	return;
}

# ----- wf_start_attached, of an id that another queue has -----

# The claim is there, and the session waits for the transaction that starts that
# id.  When this has committed, a session that waits for it meets the claim.
{
	my ($starts, $other) = (session(), session());
	my $waiter = waiter(sprintf $call, 'theirs');
	my $before;

	$other->query_safe(q{BEGIN; SELECT wf_start('a', queue => 'theirs')});
	start($starts, q{SELECT workflow_id, attempt FROM wf_start_attached('a', NULL, 'ours')});
	waits_for_lock("pid = $starts->{pid}");
	freeze($starts);
	$before = vain();
	$other->query_safe('COMMIT');
	one_looks($before, $waiter);
	thaw($starts);
	like(outcome($starts), qr/42710/, 'start of what another queue has: it is refused');
	gets($waiter, 'a', '... and who waits in that queue gets it');

	# a start of what is there, which no session has met, wakes nobody
	$waiter = waiter(sprintf $call, 'ours');
	sql(q{SELECT wf_start('not due', queue => 'ours', start_after => '1 h')});
	asleep($waiter);
	$before = sql(q{SELECT sum(wakes) FROM wf_stat});
	is(outcome($starts, q{SELECT workflow_id, attempt FROM wf_start_attached('not due', NULL, 'ours')}), 'not due|', 'start of what is there: it is not attached');
	like(outcome($starts, q{SELECT wf_start_attached('a', NULL, 'ours')}), qr/42710/, '... or is refused');
	is(sql(q{SELECT sum(wakes) FROM wf_stat}), $before, '... and if none has met it, nobody is woken');
	sql("SELECT pg_terminate_backend($waiter->{pid})");
	last_words($waiter);
	$_->quit foreach $starts, $other;
}

# The same of a body, whose executor meets the claim.
{
	my ($starts, $other) = (session(), session());
	my $before;

	sql(q{SELECT wf_start('first', 'quick')});
	result('first');		# an executor is there, and waits
	poll(q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE backend_type = 'durable_wf executor'});
	$other->query_safe(q{BEGIN; SELECT wf_start('b', 'quick')});
	start($starts, q{SELECT workflow_id, attempt FROM wf_start_attached('b', NULL, 'ours')});
	waits_for_lock("pid = $starts->{pid}");
	freeze($starts);
	$before = vain();
	$other->query_safe('COMMIT');
	one_looks($before);
	thaw($starts);
	like(outcome($starts), qr/42710/, 'start of what has a body: it is refused');
	is(result('b'), 'SUCCESS||', '... and the body is run');
	$_->quit foreach $starts, $other;
}

# ----- wf_retry between the commit of an end and the end of its claim -----

foreach my $case ([ end => q{SELECT wf_fail('no')} ], [ cancel => q{SELECT wf_cancel('retried cancel')} ])
{
	my ($name, $end) = @$case;
	my ($ends, $before) = (session());
	my $waiter;

	sql("SELECT wf_start('retried $name', queue => 'r')");
	$ends->query_safe(q{LOAD 'durable_wf'; SELECT wf_attach_next('r')});
	$waiter = waiter(sprintf $call, 'r');
	start($ends, "BEGIN; SELECT hold_at('commit'); $end; COMMIT");
	has_stopped($ends);
	$before = vain();
	sql("SELECT wf_retry('retried $name')");
	one_looks($before, $waiter);
	thaw($ends);
	outcome($ends);
	$ends->query_safe('SELECT wf_detach()');
	gets($waiter, "retried $name", "retried before the claim of its $name is given back: it is not left");
	$ends->quit;
}

# ----- a workflow that was removed and started anew elsewhere -----

# The session that has executed it does not know yet.
{
	my $stale = session();
	my ($waiter, $before);

	foreach my $leave ('SELECT wf_detach()', 'DISCARD ALL', q{SELECT wf_start('z'), wf_detach()})
	{
		sql(q{SELECT wf_start('c', queue => 'old')});
		$stale->query_safe(q{SELECT wf_attach_next('old')});
		sql(q{SELECT wf_cancel('c')});
		sql(q{SELECT wf_delete('c')});
		$waiter = waiter(sprintf $call, 'new');
		$before = vain();
		sql(q{SELECT wf_start('c', queue => 'new')});
		one_looks($before, $waiter);
		outcome($stale, "$leave;");
		gets($waiter, 'c', "started anew in another queue: $leave");
		sql(q{SELECT wf_delete('c')});
	}
	$stale->quit;
}

# It does so itself, by hand, in one transaction.
{
	my $stale = session();

	sql(q{SELECT wf_start('d', queue => 'old')});
	$stale->query_safe(q{SELECT wf_attach_next('old')});
	my $waiter = waiter(sprintf $call, 'new');
	$stale->query_safe(q{BEGIN;
		CREATE TEMP TABLE kept AS SELECT * FROM durable_wf.workflow WHERE workflow_id = 'd';
		UPDATE kept SET queue = 'new';
		DELETE FROM durable_wf.workflow WHERE workflow_id = 'd';
		INSERT INTO durable_wf.workflow SELECT * FROM kept;
		SELECT wf_detach();
		COMMIT});
	gets($waiter, 'd', 'started anew in another queue by the session that has it');
	$stale->quit;
}

# ----- a workflow that is passed by -----

# A session ends a workflow that has died too often, and rolls that back.  Who has
# met its claim meanwhile has to look again.
{
	my ($passes, $blocks, $waiter);

	sql(q{CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN IF NEW.status = ''ERROR'' THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN NEW; END';
		CREATE TRIGGER block BEFORE UPDATE ON durable_wf.workflow FOR EACH ROW EXECUTE FUNCTION block();
		SELECT wf_start('e', queue => 'p')});
	foreach (1 .. 2)
	{
		my $dies = session();

		$dies->query_safe(q{SELECT wf_attach_next('p')});
		kill_backend($dies->{pid}, $dies);
	}
	($passes, $blocks) = (session(), session());
	$blocks->query_safe('SELECT pg_advisory_lock(1)');
	start($passes, q{BEGIN; SELECT wf_attach_next('p')});
	waits_for_lock("pid = $passes->{pid}");
	$waiter = waiter(sprintf $call, 'p');
	$blocks->query_safe('SELECT pg_advisory_unlock(1)');
	is(outcome($passes, 'ROLLBACK'), '', 'died too often: it is passed by, and rolled back');
	gets($waiter, 'e', '... and who has met its claim gets it');
	$_->quit foreach $passes, $blocks;
}

$node->stop;
done_testing();
