# What the tests of the HTTP gateway share: a server with a gateway, a client
# that says what it likes byte by byte, and webhooks with their payloads.
#
#   use DurableWf::Gateway qw(start_gateway until_healthy status ...);

package DurableWf::Gateway;

use strict;
use warnings;

use DurableWf qw(start_node sql until_true);
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw($port $path start_gateway until_healthy health_is gateway
  dial bytes response request status raw
  webhook workflow token payload depth);

# The port that requests go to, which start_gateway() chooses, and the path that
# webhooks have.
our $port;
our $path = '/.well-known/workflow/v1/webhook';

# A client that the server hangs up on goes on.
$SIG{PIPE} = 'IGNORE';

# ----- the server -----

# Start a server whose gateway listens on $port; without a gateway in the build
# the whole file is skipped.  Arguments as for start_node(), less the name.
sub start_gateway
{
	my ($settings, %init) = @_;
	my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);

	plan skip_all => 'built without the gateway'
	  unless glob "$libdir/durable_wf_gateway.*";
	$port = PostgreSQL::Test::Cluster::get_free_port();
	return start_node(
		'main',
		{
			max_worker_processes => 16,
			'durable_wf.http_port' => $port,
			%{ $settings || {} }
		},
		%init);
}

# Wait until the gateway serves.
sub until_healthy
{
	until_true(sub { status('GET', '/healthz') == 200 }, 'the gateway serves');
	return;
}

# A test: wait until the gateway says this about its health.
sub health_is
{
	my ($status, $name) = @_;

	until_true(sub { status('GET', '/healthz') == $status }, $name);
	pass($name);
	return;
}

# The process id of the gateway; '' if there is none.
sub gateway
{
	return sql(q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf gateway'});
}

# ----- the client -----

# What has come on a connection after the last response.
my %rest;

# Connect to the gateway; undef if nothing listens there.
sub dial
{
	my ($to) = @_;
	my $socket = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $to || $port,
		Proto => 'tcp') or return undef;

	delete $rest{$socket};    # of one that had the same address
	return $socket;
}

# The bytes of a request.  A body brings its Content-Length.
sub bytes
{
	my ($method, $target, $body, @headers) = @_;
	my $text = "$method $target HTTP/1.1\r\nHost: test\r\n";

	$text .= "$_\r\n" foreach @headers;
	$text .= 'Content-Length: ' . length($body) . "\r\n" if defined $body;
	return "$text\r\n" . ($body // '');
}

# Read one response from a connection: a hash of status, head and body, all of
# them bytes; undef when the connection is closed before one came.  What comes
# after it stays in %rest.
sub response
{
	my ($socket, $is_head) = @_;
	my $text = delete $rest{$socket} // '';
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	my $select = IO::Select->new($socket);

	for (;;)
	{
		if ($text =~ /\A(.*?)\r\n\r\n(.*)\z/s)
		{
			my ($head, $tail) = ($1, $2);
			my ($length) = $head =~ /^content-length: *(\d+)/mi;

			$length = 0 if $is_head || !defined $length;
			if (length($tail) >= $length)
			{
				$rest{$socket} = substr $tail, $length;
				$head =~ s/\AHTTP\/1\.[01] (\d+)[^\r\n]*//;
				return {
					status => $1,
					head => $head,
					body => substr($tail, 0, $length)
				};
			}
		}
		die 'no response in time' if time > $until;
		next unless $select->can_read(1);
		return undef unless sysread $socket, $text, 65536, length $text;
	}
}

# Send one request on a connection of its own, and return its response; the
# status is 0 when there is none.
sub request
{
	my ($method, $target, $body, @headers) = @_;
	my $socket = dial() or return { status => 0, head => '', body => '' };

	syswrite $socket, bytes($method, $target, $body, @headers);
	return response($socket, $method eq 'HEAD')
	  || { status => 0, head => '', body => '' };
}

# The status of a request's response.
sub status
{
	return request(@_)->{status};
}

# Send bytes on a connection of their own, and return the statuses that come
# until it closes, or until there are $count.
sub raw
{
	my ($text, $count) = @_;
	my $socket = dial();
	my @statuses;

	syswrite $socket, $text;
	while (my $answer = response($socket))
	{
		push @statuses, $answer->{status};
		last if $count && @statuses == $count;
	}
	return join ' ', @statuses;
}

# ----- webhooks -----

# The workflow of each webhook, by its target.
my %workflow;

# Make a webhook of a new workflow, and return its target.
sub webhook
{
	my ($respond_with, $validator) = @_;
	my $id = 'w' . (1 + keys %workflow);
	my $target = "$path/" . sql(
		"SELECT token FROM wf_create_webhook(workflow_id => wf_start('$id')"
		  . ($respond_with ? ", respond_with => '$respond_with'" : '')
		  . ($validator ? ", validator => '$validator'" : '') . ')');

	$workflow{$target} = $id;
	return $target;
}

# The workflow of a webhook that webhook() has made.
sub workflow
{
	return $workflow{ $_[0] } // die "no webhook at $_[0]";
}

# The token of a target.
sub token
{
	return $_[0] =~ s{.*/}{}r;
}

# Take the next payload of a webhook; undef if there is none.
sub payload
{
	my ($target) = @_;
	my $json = sql("SELECT wf_await_hook('${\token($target)}', '0')");

	return undef if $json eq '';
	return JSON::PP->new->utf8->allow_nonref->max_depth(10_000)->decode($json);
}

# How many payloads of a webhook lie in the mailbox.
sub depth
{
	my ($target) = @_;

	return sql("SELECT count(*) FROM durable_wf.message
		WHERE key = '${\token($target)}'");
}

1;
