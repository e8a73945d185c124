# What the tests of this directory share: servers, and sessions that wait.
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
use Time::HiRes qw(usleep);

our @EXPORT_OK = qw(start_node sql set poll session start asleep waiter outcome
  last_words until_true freeze thaw);

# The first node that was started; what does not name a node means this one.
my $main;

# Start a server with the extension preloaded, where without autovacuum nothing
# but the test makes a backend run.  %$settings are added to its configuration,
# or replace what is there; %init goes to init().
sub start_node
{
	my ($name, $settings, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my %conf = (
		shared_preload_libraries => 'durable_wf',
		log_statement => 'none',
		autovacuum => 'off',
		%{ $settings || {} });

	$node->init(%init);
	$node->append_conf('postgresql.conf', "$_ = '$conf{$_}'")
	  foreach sort keys %conf;
	$node->start;
	$main ||= $node;
	return $node;
}

# Run SQL in a session of its own.
sub sql
{
	return $main->safe_psql('postgres', $_[0]);
}

# Set durable_wf.$name, or without a value give it back its default, and tell
# the processes; they may take it up a moment later.
sub set
{
	my ($name, $value) = @_;

	sql("ALTER SYSTEM "
		  . (
			defined $value
			? "SET durable_wf.$name = '$value'"
			: "RESET durable_wf.$name"));
	sql('SELECT pg_reload_conf()');
	return;
}

# Poll until a query returns true.
sub poll
{
	my ($query, $node) = @_;

	($node || $main)->poll_query_until('postgres', $query)
	  or die 'it does not happen';
	return;
}

# Open a session.
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
	$session->{pid} = $session->query_safe('SELECT pg_backend_pid()');
	return $session;
}

# Send a session a statement that is going to wait.
sub start
{
	my ($session, $statement) = @_;

	$session->{stderr} = '';
	$session->query_until(qr//, "$statement;\n");
	return $session;
}

# Let sessions, all of one node, fall asleep in their waits.
sub asleep
{
	my $pids = join ',', map { $_->{pid} } @_;
	my $count = @_;

	poll(<<"SQL", $_[0]->{node});
SELECT count(*) = $count FROM pg_stat_activity a
 WHERE a.pid IN ($pids) AND a.wait_event_type = 'Extension'
SQL
	return;
}

# Open a session and let it fall asleep in a statement that waits.
sub waiter
{
	my ($statement, $node, $database) = @_;
	my $session = start(session($node, $database), $statement);

	asleep($session);
	return $session;
}

# What a statement prints, errors included; by default, what the one that
# waited has printed in the end.
sub outcome
{
	my ($session, $statement) = @_;
	my ($output) = $session->query($statement || '');

	$output .= $session->{stderr};
	$session->{stderr} = '';
	return $output;
}

# The same from sessions that ended with it.
sub last_words
{
	my @sessions = @_;

	eval { $_->{run}->finish } foreach @sessions;
	return join '', map { $_->{stdout} . $_->{stderr} } @sessions;
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

# Stop a backend in its tracks, and let it go on.
sub freeze
{
	my ($session) = @_;

	kill 'STOP', $session->{pid} or die "kill: $!";
	until_true(
		sub { slurp_file("/proc/$session->{pid}/status") =~ /^State:\s+T/m },
		'the backend has stopped');
	return;
}

sub thaw
{
	kill 'CONT', $_[0]->{pid} or die "kill: $!";
	return;
}

1;
