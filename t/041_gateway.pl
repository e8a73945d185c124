# The HTTP gateway as a process: where it is and where not, which settings and
# statements move it, which clients and crashes it survives, how it ends.  What
# it is asked and answers: t/045_gateway_requests.pl and those after it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql set poll until_true);
use DurableWf::Gateway qw($port $path start_gateway health_is gateway dial bytes
  response request status webhook token payload depth);
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(usleep);

my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my $node = start_gateway(
	{
		restart_after_crash => 'on',
		max_connections => 60,
		'durable_wf.http_port' => 0,
		'durable_wf.http_request_timeout' => '60s',
		'durable_wf.http_response_timeout' => '60s'
	},
	allows_streaming => 1);

# ----- where it is -----

is(gateway(), '', 'no gateway by default');
set('http_port', $port);
health_is(503, 'without the extension it answers 503');
my $answer = request('POST', "$path/none", '{}');
is($answer->{status}, 503, '... to webhooks, too');
like($answer->{head}, qr/^Retry-After: \d+\r?$/m, '... and when to try again');
like(slurp_file($node->logfile),
	qr/durable_wf gateway answers 503: it cannot use database "postgres"/,
	'... and says so');

sql('CREATE EXTENSION durable_wf');
health_is(200, 'CREATE EXTENSION opens it');
my $hook = webhook();
is(status('POST', $hook, '{}'), 202, 'a request is taken');
is(depth($hook), 1, '... and lies in the mailbox');
payload($hook);

# ----- clients that misbehave -----

set('http_request_timeout', '300ms');
my $socket;
until_true(
	sub {
		$socket = dial();
		syswrite $socket, "POST $hook HTTP/1.1\r\nHost: x\r\nX";
		my $answer = response($socket);
		return !$answer || $answer->{status} == 408;
	},
	'the setting is read');
$socket = dial();
syswrite $socket, "POST $hook HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
syswrite $socket, 'a';
is(response($socket)->{status}, 408, 'a slow client is cut');
is(response($socket), undef, '... off');
my $idle;
until_true(
	sub {
		# which it has if it asks in time
		$idle = dial();
		syswrite $idle, bytes('GET', '/healthz');
		my $answer = response($idle);
		return $answer && $answer->{status} == 200;
	},
	'it has its answer');
pass('one that has had its answer');
usleep(700_000);
syswrite $idle, bytes('GET', '/healthz');
is(response($idle)->{status}, 200, '... may rest longer than that');
is(response(dial()), undef, 'one that never says anything is cut, too');
set('http_request_timeout', '60s');
close $idle;

foreach my $n (1 .. 2000)
{
	$socket = dial() or next;
	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
	syswrite $socket,
	  (bytes('POST', $hook, 'x' x 100),
		bytes('POST', $hook, 'whole', 'Connection: close'),
		"POST $hook HTTP/1.1\r\nContent-Length: 100\r\nHost: x\r\n\r\nabc",
		'POST ')[ $n % 4 ];
	close $socket;
}
my $first = gateway();
# there may be no room before it has noticed them
until_true(sub { status('POST', $hook, 'x') == 202 }, 'it takes requests');
pass('it survives 2,000 resets');
is(gateway(), $first, '... itself');
sql('TRUNCATE durable_wf.message');

# At least 10 of 30 are refused; more while the gateway still closes others.
my (@many, @refused);
set('http_max_connections', '20');
until_true(
	sub {
		my $select = IO::Select->new(@many = map { dial() } 1 .. 30);

		$select->can_read(0.3);
		return (@refused = $select->can_read(0)) >= 10;
	},
	'the setting is read');
$answer = response($refused[0]);
is($answer->{status}, 503, 'a connection too many is told so');
until_true(sub { status('GET', '/healthz') == 200 || !(@many = ()) },
	'there is room again');
@many = map {
	my $s = dial();
	syswrite $s, bytes('GET', '/healthz');
	response($s);
	$s
} 1 .. 20;
is(status('POST', $hook, 'x'), 202, 'an idle connection makes room');
@many = ();
set('http_max_connections', '1000');

# ----- settings -----

my $second = PostgreSQL::Test::Cluster::get_free_port();
my $squatter = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1',
	LocalPort => $second,
	Listen => 1) or die "listen: $!";
my $offset = -s $node->logfile;
set('http_port', $second);
$node->wait_for_log(
	qr/gateway cannot listen on 127\.0\.0\.1:$second: Address already in use/,
	$offset);
pass('a port in use is told');
ok(!dial($port), '... and the old one is closed');
close $squatter;
$port = $second;
health_is(200, 'it is tried again');
set('http_port', 0);
poll(q{SELECT count(*) = 0 FROM pg_stat_activity
	WHERE backend_type = 'durable_wf gateway'});
pass('port 0 ends it');
ok(!dial(), '... and nobody listens');
set('http_port', $port);
health_is(200, 'and it comes back');

# As a role that has no other rights
sql('CREATE ROLE porter LOGIN; REVOKE EXECUTE ON FUNCTION
	wf_resume_webhook(text, jsonb) FROM PUBLIC');
set('http_role', 'porter');
poll(q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'durable_wf gateway' AND usename = 'porter'});
$hook = webhook();
until_true(sub { status('GET', '/healthz') }, 'it listens');
is(status('POST', $hook, 'x'), 503, 'a role without the right is 503');
sql('GRANT EXECUTE ON FUNCTION wf_resume_webhook(text, jsonb) TO porter');
is(status('POST', $hook, 'x'), 202, '... and with it 202');
my $manual = webhook('"manual"');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'x');
until_true(sub { depth($manual) == 1 }, 'it is there');
sql("SELECT wf_respond(${\payload($manual)->{request_id}}, 201)");
is(response($socket)->{status}, 201, '... for held requests, too');

# ----- out of the way -----

$manual = webhook('"manual"');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'x');
until_true(sub { depth($manual) == 1 }, 'it is held');
my $sent_away = payload($manual)->{request_id};
sql('CREATE DATABASE copy TEMPLATE postgres');
is(response($socket)->{status}, 504, 'a held request does not delay it');
is(sql("SELECT wf_respond($sent_away)"), 'f', '... and wf_respond says that it has ended');
pass('a database with a gateway can be copied');
health_is(200, '... and the gateway comes back');
set('http_database', 'copy');
health_is(200, 'it moves to another database');
is( $node->safe_psql(
		'postgres', q{SELECT datname FROM pg_stat_activity
	WHERE backend_type = 'durable_wf gateway'}),
	'copy', '... which it serves');
sql('DROP DATABASE copy');
health_is(503, 'DROP DATABASE: 503');
set('http_database', 'postgres');
health_is(200, 'and back');
sql('BEGIN; DROP EXTENSION durable_wf; ROLLBACK');
health_is(200, 'DROP EXTENSION that is rolled back');
is(status('POST', $hook, 'x'), 202, '... has lost nothing');

# ----- crashes -----

# Clients send numbered requests and say which of them were taken; meanwhile
# there is a crash.
my $load = webhook();
my @clients;
foreach my $client (1 .. 4)
{
	pipe my $reader, my $writer;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		my $n = 0;

		close $reader;
		$writer->autoflush(1);
		alarm 2 * $timeout;
		while (-e "$PostgreSQL::Test::Utils::tmp_check/go")
		{
			my $id = "$client-" . ++$n;
			my $answer = eval { request('POST', $load, $id) };

			print $writer "$id\n" if $answer && $answer->{status} == 202;
			usleep(10_000) unless $answer && $answer->{status};
		}
		close $writer;
		require POSIX;
		POSIX::_exit(0);
	}
	close $writer;
	push @clients, { pid => $pid, reader => $reader };
	append_to_file("$PostgreSQL::Test::Utils::tmp_check/go", '')
	  if $client == 1;
}
until_true(sub { depth($load) > 100 }, 'they send');
kill 'KILL', gateway();
until_true(
	sub {
		my $pid = eval { $node->psql('postgres', 'SELECT 1', timeout => 5) };
		return defined $pid && $pid == 0 && status('GET', '/healthz') == 200;
	},
	'it is back');
my $before = depth($load);
until_true(sub { depth($load) > $before + 100 }, 'they send again');
unlink "$PostgreSQL::Test::Utils::tmp_check/go";
my %taken;
foreach my $client (@clients)
{
	my $reader = $client->{reader};

	while (<$reader>)
	{
		chomp;
		$taken{$_} = 1;
	}
	waitpid $client->{pid}, 0;
}
my %there = map { $_ => 1 } split /\n/,
  sql("SELECT payload->>'body' FROM durable_wf.message
	WHERE key = '${\token($load)}'");
is(join(' ', grep { !$there{$_} } sort keys %taken),
	'', 'nothing that was acknowledged is lost by a kill -9');
cmp_ok(scalar(keys %taken), '>', 100, '... and there was something to lose');

my $killed = gateway();
kill 'TERM', $killed;
until_true(
	sub { my $pid = gateway(); $pid ne '' && $pid ne $killed },
	'there is another');
health_is(200, 'a terminated gateway is started again');

# ----- copies and the end -----

$node->backup('copy');
my $copy = PostgreSQL::Test::Cluster->new('copy');
my $third = PostgreSQL::Test::Cluster::get_free_port();
$copy->init_from_backup($node, 'copy');
$copy->append_conf('postgresql.auto.conf', "durable_wf.http_port = $third");
$copy->start;
($port, $third) = ($third, $port);
health_is(200, 'a base backup of it serves');
is(status('POST', $load, 'x'), 202, '... the same webhooks');
($port, $third) = ($third, $port);

# Connections that are open, and requests that are held, delay no shutdown.
foreach my $mode (qw(smart fast immediate))
{
	my $manual = webhook('"manual"');
	my @open = map { dial() } 1 .. 3;
	syswrite $open[0], bytes('POST', $manual, 'x');
	syswrite $open[1], "POST $manual HTTP/1.1\r\nHo";
	until_true(sub { depth($manual) == 1 }, 'it is held');
	my $held = payload($manual)->{request_id};
	# the next gateway has to note that by itself, however long it takes
	sql(<<'SQL') if $mode eq 'immediate';
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(3);
	RETURN NULL;
END $$;
CREATE TRIGGER slowly BEFORE UPDATE ON durable_wf.request EXECUTE FUNCTION slowly();
SQL
	$node->stop($mode);
	pass("$mode shutdown with open connections");
	$answer = response($open[0]);
	is($answer->{status}, 504, '... tells who is held that there is no answer')
	  unless $mode eq 'immediate';
	$node->start;
	until_true(sub { status('GET', '/healthz') == 200 }, 'it is back');
	sql('DROP TRIGGER slowly ON durable_wf.request') if $mode eq 'immediate';
	is(sql("SELECT wf_respond($held)"), 'f', '... and wf_respond says later that it has ended');
}

# A commit that a standby has to confirm, and there is none: the client gets no
# answer before the commit is confirmed, and none at all when the server is shut
# down meanwhile.
sql(q{CREATE FUNCTION passes(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'});
my $unconfirmed = webhook();
my $checked = webhook(undef, 'passes');

# Let commits wait for this standby, or with '' for none.
sub wait_for_standby
{
	my ($standby) = @_;

	$node->append_conf('postgresql.conf', "synchronous_standby_names = '$standby'");
	$node->reload;
	until_true(
		sub { $node->safe_psql('postgres', 'SHOW synchronous_standby_names') eq $standby },
		'the setting is read');
	return;
}
foreach my $how ('confirmed', 'cancelled', 'ended', 'a shutdown')
{
	my @open = map { dial() } 1 .. 2;

	wait_for_standby('nobody');
	syswrite $open[0], bytes('POST', $checked, 'x');
	poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND wait_event = 'SyncRep'});
	syswrite $open[1], bytes('POST', $unconfirmed, 'x');
	poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf gateway' AND wait_event = 'SyncRep'});
	ok(!IO::Select->new(@open)->can_read(0), "$how: no answer before that");
	my %by = (
		'confirmed' => sub { wait_for_standby('') },
		'cancelled' => sub { sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) },
		'ended' => sub { sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) },
		'a shutdown' => sub { $node->stop('fast') });
	$by{$how}->();
	my $expected = $how eq 'confirmed' || $how eq 'cancelled' ? '202 202' : 'none none';
	is(join(' ', map { my $got = response($_); $got ? $got->{status} : 'none' } @open), $expected, "$how: the answers");
	$node->start if $how eq 'a shutdown';
	wait_for_standby('');
	health_is(200, "$how: and on");
}
is(depth($_), 4, 'each has been taken once') foreach $checked, $unconfirmed;

$copy->stop;
$node->stop;
done_testing();

