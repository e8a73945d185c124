# What the tests of this directory share: servers, statements, sessions that
# wait, and what is seen of processes and workflows.  What only the tests of one
# subject share is in DurableWf/*.pm.
#
#   use FindBin;
#   use lib $FindBin::RealBin;
#   use DurableWf qw(start_node sql ...);

package DurableWf;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT_OK = qw(start_node set sql sql_in said said_in error_of poll until_true
  session start asleep waiter outcome last_words
  switches at_rest sleeping freeze thaw kill_backend waits_for_lock
  launcher worker workers_are has_new_worker
  result suspended executors end_executors);

# ----- servers -----

# The first node that was started; what does not name a node means this one.
my $main;

# Start a server with the extension preloaded, where without autovacuum nothing
# but the test makes a backend run.  %$settings are added to its configuration,
# or replace what is there; %init goes to init().
# (The alarm of a login is not taken back when that has been in time: it wakes the
# process once more when authentication_timeout is over, in whatever it does then.)
sub start_node
{
	my ($name, $settings, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my %conf = (
		shared_preload_libraries => 'durable_wf',
		log_statement => 'none',
		autovacuum => 'off',
		authentication_timeout => '10min',
		'durable_wf.debug_direct' => $ENV{DWF_DIRECT} || 'on',
		%{ $settings || {} });

	$node->init(%init);
	$node->append_conf('postgresql.conf', "$_ = '$conf{$_}'")
	  foreach sort keys %conf;
	$node->start;
	$main ||= $node;
	return $node;
}

# Set durable_wf.$name, or without a value give it back its default, and wait
# until our processes have taken that up, but executors whose bodies are busy:
# they do, too, before they begin with anything else.
sub set
{
	my ($name, $value) = @_;

	sql("ALTER SYSTEM "
		  . (
			defined $value
			? "SET durable_wf.$name = '$value'"
			: "RESET durable_wf.$name"));
	sql('SELECT pg_reload_conf()');
	# a new session is served after the postmaster has told all processes
	until_true(
		sub {
			return !grep { !sleeping($_) } split /\n/, sql(q{
SELECT pid FROM pg_stat_activity
 WHERE backend_type IN ('durable_wf launcher', 'durable_wf worker', 'durable_wf gateway')});
		},
		'our processes have read the settings');
	return;
}

# ----- statements -----

# Run statements in a session of their own, and return what they print.
sub sql
{
	return sql_in('postgres', $_[0]);
}

# Run statements in a session of their own in the given database.
sub sql_in
{
	my ($database, $statements) = @_;

	return $main->safe_psql($database, $statements);
}

# Run statements that may fail, and return what they print and what they raise;
# statements after one that has failed are run, too.
sub said
{
	return said_in($main, 'postgres', $_[0]);
}

# Run statements that may fail, as said() does, in a database of a node.
sub said_in
{
	my ($node, $database, $statements) = @_;
	my ($status, $output, $error) = $node->psql(
		$database,
		"\\set VERBOSITY verbose\n$statements",
		on_error_stop => 0);

	return $output . $error;
}

# Run statements, the last of which is to fail, and return what it raises.
# %params go to psql().
sub error_of
{
	my ($statements, %params) = @_;

	return ($main->psql('postgres', "\\set VERBOSITY verbose\n$statements",
			%params))[2];
}

# Poll until a query returns true.
sub poll
{
	my ($query, $node) = @_;

	($node || $main)->poll_query_until('postgres', $query)
	  or die 'it does not happen';
	return;
}

# Poll until a condition on the system holds.
sub until_true
{
	my ($condition, $what) = @_;
	my $left = 100 * $PostgreSQL::Test::Utils::timeout_default;

	until ($condition->())
	{
		die "timed out waiting until $what" if $left-- == 0;
		usleep(10_000);
	}
	return;
}

# ----- sessions -----

# Open a session.  Its process id is in {pid}.  It tells its statistics with its
# first statement: of one that has not, the server wakes the process for that ten
# seconds later, in whatever it does then.
sub session
{
	my ($node, $database) = @_;
	my $session;

	$node ||= $main;
	$session =
	  $node->background_psql($database || 'postgres', on_error_stop => 0);
	$session->set_query_timer_restart;
	$session->query_safe('\set VERBOSITY verbose');
	$session->{node} = $node;
	$session->{pid} =
	  $session->query_safe('SELECT pg_backend_pid() FROM pg_stat_force_next_flush()');
	return $session;
}

# Send a session a statement that is going to wait; outcome() has its result.
sub start
{
	my ($session, $statement) = @_;

	$session->{stderr} = '';
	$session->query_until(qr//, "$statement;\n");
	return $session;
}

# Wait until sessions, all of one node, sleep in their waits.  A process says that
# it waits shortly before it goes to sleep, and does so still when it is woken and
# has not got to run; the system knows.
sub asleep
{
	my @pids = map { $_->{pid} } @_;
	my $pids = join ',', @pids;
	my $count = @_;

	do
	{
		until_true(sub { !grep { !sleeping($_) } @pids }, 'they sleep');
		poll(<<"SQL", $_[0]->{node});
SELECT count(*) = $count FROM pg_stat_activity a
 WHERE a.pid IN ($pids) AND a.wait_event_type = 'Extension'
SQL
	} while (grep { !sleeping($_) } @pids);
	return;
}

# Open a session, and wait until it sleeps in a statement that waits.
sub waiter
{
	my ($statement, $node, $database) = @_;
	my $session = start(session($node, $database), $statement);

	asleep($session);
	return $session;
}

# What a statement prints, errors included; without one, what the statement that
# the session waits in prints in the end.
sub outcome
{
	my ($session, $statement) = @_;
	my ($output) = $session->query($statement || '');

	$output .= $session->{stderr};
	$session->{stderr} = '';
	return $output;
}

# What sessions that end with their statement have printed in the end.
sub last_words
{
	my @sessions = @_;

	eval { $_->{run}->finish } foreach @sessions;
	return join '', map { $_->{stdout} . $_->{stderr} } @sessions;
}

# ----- processes -----

# Does a process sleep, as the system sees it?  One that could run does not.
sub sleeping
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/status" or return 0;
	return join('', <$file>) =~ /^State:\s+S/m;
}

# Wait until processes sleep and have not run for a while, and return how often
# each has gone to sleep.
sub at_rest
{
	my @pids = @_;
	my $before = '';
	my $now;

	until_true(
		sub {
			my $rests;

			$now = join ' ', map { switches($_) } @pids;
			$rests = $now eq $before && !grep { !sleeping($_) } @pids;
			$before = $now;
			usleep(300_000) unless $rests;
			return $rests;
		},
		'they are at rest');
	return split / /, $now;
}

# How often a process has gone to sleep.
sub switches
{
	my ($pid) = @_;

	slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)$/m
	  or die 'no such count';
	return $1;
}

# Stop a session's backend with SIGSTOP; thaw() lets it go on.
sub freeze
{
	my ($session) = @_;

	kill 'STOP', $session->{pid} or die "kill: $!";
	until_true(
		sub { slurp_file("/proc/$session->{pid}/status") =~ /^State:\s+T/m },
		'the backend has stopped');
	return;
}

# Let a backend that freeze() has stopped go on.
sub thaw
{
	kill 'CONT', $_[0]->{pid} or die "kill: $!";
	return;
}

# Kill a process of the server with SIGKILL, and wait until the server is back
# from the crash: once the postmaster has reaped the process, it takes no session
# before all others have ended.  The clients of @sessions are ended.
sub kill_backend
{
	my ($pid, @sessions) = @_;

	kill 'KILL', $pid or die "kill $pid: $!";
	eval { $_->{run}->finish } foreach @sessions;
	until_true(sub { !-d "/proc/$pid" }, 'the process is gone');
	poll('SELECT true');
	return;
}

# Wait until a process waits for a lock; the condition is on pg_stat_activity.
sub waits_for_lock
{
	my ($where) = @_;

	poll("SELECT true FROM pg_stat_activity
		   WHERE $where AND wait_event_type = 'Lock' LIMIT 1");
	return;
}

# The process id of the launcher; '' if there is none.
sub launcher
{
	return sql(q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf launcher'});
}

# The process id of the worker of a database; '' if there is none.
sub worker
{
	my $database = $_[0] || 'postgres';

	return sql("SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf worker' AND datname = '$database'");
}

# A test: wait until exactly these databases have a worker, one each.
sub workers_are
{
	my ($databases, $name, $node) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	ok( ($node || $main)->poll_query_until(
			'postgres', q{
SELECT coalesce(string_agg(datname, ' ' ORDER BY datname COLLATE "C"), '')
  FROM pg_stat_activity WHERE backend_type = 'durable_wf worker'},
			$databases),
		$name);
	return;
}

# A test: wait until a database has another worker than the given one.
sub has_new_worker
{
	my ($database, $old, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	ok( $main->poll_query_until(
			'postgres',
			"SELECT true FROM pg_stat_activity
			  WHERE backend_type = 'durable_wf worker'
			    AND datname = '$database' AND pid <> ${\($old || 0)}"),
		$name);
	return;
}

# ----- workflows -----

# Wait until a workflow has ended, and return "status|output|error".
sub result
{
	return sql("SELECT * FROM wf_result('$_[0]', '120 s')");
}

# Wait until a workflow is suspended, and return its id.
sub suspended
{
	poll("SELECT status = 'WAITING' FROM wf_workflows
		   WHERE workflow_id = '$_[0]'");
	return $_[0];
}

# The process ids of the executors, one a line.
sub executors
{
	return sql(q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf executor'});
}

# End all executors, and wait until they are gone.
sub end_executors
{
	sql(q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
		   WHERE backend_type = 'durable_wf executor'});
	return;
}

1;
