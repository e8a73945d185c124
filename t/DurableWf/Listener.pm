# What the tests of wf_listen() share: sessions that listen, and the news that
# they hear.
#
# A listener is a psql that listens, too, for a workflow "end".  To hear all that
# has come so far, heard() sends there and takes in all news until that one: news
# come in the order of the commits.  So a test sees as well which news do not
# come.  The workflow "end" has to exist.
#
#   use DurableWf::Listener qw(listener heard ...);

package DurableWf::Listener;

use strict;
use warnings;

use DurableWf qw(sql poll session until_true);
use Exporter qw(import);
use JSON::PP ();
use Test::More;

our @EXPORT_OK =
  qw(listens until_listens listener listen_for hear_end ask heard resynced);

# How many ends heard() has sent so far; a JSON decoder.
my $marks = 0;
my $json = JSON::PP->new->utf8;

# How many listens there are in shared memory.
sub listens
{
	return sql('SELECT min(listens) FROM wf_stat');
}

# A test: wait until there are $count listens in shared memory.
sub until_listens
{
	my ($count, $name) = @_;

	poll("SELECT min(listens) = $count FROM wf_stat");
	pass($name);
	return;
}

# Open a session that listens, as a role, for workflows or, with undef, for all
# that the role owns.  heard() labels its news by these.
sub listener
{
	my ($role, @workflows) = @_;
	my $listener = session();

	$listener->query_safe("SET ROLE $role") if $role;
	$listener->{channels} = {};
	listen_for($listener, $_) foreach @workflows;
	hear_end($listener);
	return $listener;
}

# Let a listener listen for one more workflow, or with undef for all that the
# role owns; returns the channel.
sub listen_for
{
	my ($listener, $workflow) = @_;
	my $argument = defined $workflow ? "'$workflow'" : 'NULL';
	my $channel =
	  ask($listener, "SELECT wf_listen($argument)");

	$listener->{channels}{$channel} = $workflow // 'all';
	return $channel;
}

# Let a listener listen for the end.
sub hear_end
{
	my ($listener) = @_;

	$listener->{channels}{ask($listener,
			'RESET ROLE', q{SELECT wf_listen('end')})} = 'end';
	return;
}

# Run statements in a listener's session, and return what they print; the news
# that psql prints among that go to {news}.
sub ask
{
	my ($listener, @statements) = @_;
	my $output = join "\n", grep { length } map { $listener->query_safe($_) } @statements;

	while ($output =~
		s/^Asynchronous notification "(\w+)" with payload "(.*)" received from server process with PID \d+\.\n?//m)
	{
		push @{ $listener->{news} }, [ $1, $2 ];
	}
	return $output =~ s/\n\z//r;
}

# Take in the news that a listener has got up to now, and return them in order:
# "label kind workflow key", and "label resync".
sub heard
{
	my ($listener) = @_;
	my $mark = 'mark ' . ++$marks;
	my @heard;

	sql(qq{SELECT wf_send('end', NULL, '$mark')});
	until_true(
		sub {
			ask($listener, 'SELECT WHERE false');
			while (my $news = shift @{ $listener->{news} })
			{
				my ($label, $what) =
				  ($listener->{channels}{$news->[0]} // '?', $json->decode($news->[1]));

				return 1 if $label eq 'end' && ($what->{key} // '') eq $mark;
				next if ($what->{workflow_id} // '') eq 'end';
				push @heard,
				  join ' ', $label, $what->{kind}, $what->{workflow_id} // (),
				  $what->{key} // ();
			}
			return 0;
		},
		'the listener has heard of the end');
	return join "\n", @heard;
}

# A test: wait for the resync that a listener gets on all of its channels, alone
# or with other news.
sub resynced
{
	my ($listener, $name) = @_;
	my %missing = map { $_ => 1 } values %{ $listener->{channels} };

	until_true(
		sub {
			ask($listener, 'SELECT WHERE false');
			foreach my $news (splice @{ $listener->{news} })
			{
				delete $missing{ $listener->{channels}{ $news->[0] } }
				  if $news->[1] eq
				  '{"workflow_id": null, "kind": "resync", "key": null}';
			}
			return !%missing;
		},
		'the listener has got a resync');
	pass($name);
	return;
}

1;
