# Streams over HTTP: events and lines, from where on and until when, what wakes
# readers, which of them are sent away, and that a slow one holds back nobody.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql set poll session until_true switches at_rest);
use DurableWf::Gateway qw($port start_gateway until_healthy gateway dial bytes
  response request status raw);
use IO::Select;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;

my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my $node = start_gateway({
	max_prepared_transactions => 5,
	'durable_wf.http_max_connections' => 3000 });

sql('CREATE EXTENSION durable_wf');
until_healthy();

# ----- readers -----

# The target of a token for a stream of a workflow, which is started.
sub stream
{
	my ($id, $name) = @_;
	my $token = sql("SELECT token FROM wf_create_stream_url('$name', wf_start('$id'))");

	return "/.well-known/workflow/v1/stream/$token";
}

# Open a reader: a hash of the status, the head, and what has come, put together
# from its chunks.
sub reader
{
	my ($target, @headers) = @_;
	my $reader = { socket => dial(), raw => '', text => '', open => 1 };

	syswrite $reader->{socket}, bytes('GET', $target, undef, @headers);
	more($reader, sub { $reader->{raw} =~ /\r\n\r\n/ });
	$reader->{raw} =~ s/\AHTTP\/1\.1 (\d+)[^\r\n]*\r\n(.*?)\r\n\r\n//s or die 'no head';
	@$reader{qw(status head)} = ($1, $2);
	unchunk($reader);
	return $reader;
}

# Put together what has come in chunks.
sub unchunk
{
	my ($reader) = @_;

	while ($reader->{raw} =~ /\A([0-9a-f]+)\r\n/)
	{
		my ($size, $skip) = (hex $1, length($1) + 2);

		last if length($reader->{raw}) < $skip + $size + 2;
		$reader->{text} .= substr $reader->{raw}, $skip, $size;
		substr($reader->{raw}, 0, $skip + $size + 2) = '';
		$reader->{ended} = 1 if $size == 0;
	}
	return;
}

# Read until a condition holds, or the connection ends.
sub more
{
	my ($reader, $condition) = @_;
	my $until = time + $timeout;
	my $select = IO::Select->new($reader->{socket});

	until ($condition->())
	{
		die "nothing more comes; so far: $reader->{text}$reader->{raw}" if time > $until;
		next unless $select->can_read(1);
		unless (sysread $reader->{socket}, $reader->{raw}, 65536, length $reader->{raw})
		{
			$reader->{open} = 0;
			last;
		}
		unchunk($reader) if defined $reader->{status};
	}
	return $reader;
}

# The events of a reader, as "id data" or "event data", when so many are there.
sub events
{
	my ($reader, $count) = @_;
	my @events;

	more($reader, sub {
		@events = map { /^(?:id|event): (\S+)\ndata: (.*)\n\n\z/s ? "$1 $2" : () }
		  $reader->{text} =~ /(.*?\n\n)/sg;
		return @events >= $count || $reader->{ended};
	});
	return join ' | ', @events;
}

# Read to the end of the answer.
sub whole
{
	my ($reader) = @_;

	more($reader, sub { $reader->{ended} });
	return $reader->{text};
}

# ----- events -----

my $one = stream('w1', 's');
sql(q{SELECT wf_write_stream('s', '{"n": 1, "t": "a\nb"}', 'w1'), wf_write_stream('s', 'null', 'w1')});
my $reader = reader($one);
is($reader->{status}, 200, 'a reader');
like($reader->{head}, qr{^Content-Type: text/event-stream}m, '... of events');
like($reader->{head}, qr{^Cache-Control: no-store}m, '... which nobody keeps');
is(events($reader, 2), '1 {"n": 1, "t": "a\nb"} | 2 null', '... has what is there');
sql(q{SELECT wf_write_stream('s', '3', 'w1')});
is(events($reader, 3), '1 {"n": 1, "t": "a\nb"} | 2 null | 3 3', '... and what comes');
sql(q{SELECT wf_write_stream_many('s', ARRAY[jsonb '4', '5'], 'w1')});
like(events($reader, 5), qr/ \| 4 4 \| 5 5\z/, '... several at a time');

# from where on
is(events(reader("$one?after=3"), 2), '4 4 | 5 5', '?after=3');
is(events(reader($one, 'Last-Event-ID: 4'), 1), '5 5', 'Last-Event-ID');
is(events(reader("$one?after=1", 'Last-Event-ID: 4'), 1), '5 5', '... goes before ?after');
is(events(reader("$one?after=4", 'Last-Event-ID: '), 1), '5 5', '... unless it is empty');
my $ahead = reader("$one?x=1&after=6");

# no transaction that is rolled back, or not decided, is seen; two-phase is
sql(q{BEGIN; SELECT wf_write_stream('s', '"no"', 'w1'); ROLLBACK});
sql(q{BEGIN; SELECT wf_write_stream('s', '6', 'w1'); PREPARE TRANSACTION 'six'});
my $at_last = reader("$one?after=5");
sql(q{COMMIT PREPARED 'six'});
is(events($at_last, 1), '6 6', 'a prepared transaction');
sql(q{SELECT wf_write_stream('s', '7', 'w1')});
is(events($ahead, 1), '7 7', 'one that is ahead has nothing before its place');

# the end
sql(q{SELECT wf_close_stream('s', 'w1')});
like(whole($reader), qr/id: 7\ndata: 7\n\nevent: end\ndata: \{\}\n\n\z/, 'a stream that is closed ends');
ok($reader->{open}, '... and the connection goes on');
syswrite $reader->{socket}, bytes('GET', '/healthz');
is(response($reader->{socket})->{status}, 200, '... with other requests');
is(whole(reader("$one?after=7")), "event: end\ndata: {}\n\n", 'one that comes later hears of it at once');
my $two = stream('w2', 's');
$reader = reader($two);
sql(q{SELECT wf_write_stream('s', '1', 'w2'); SELECT wf_complete(workflow_id => 'w2')});
is(whole($reader), "id: 1\ndata: 1\n\nevent: end\ndata: {}\n\n", 'the end of the workflow is an end');

# a writer that has not decided yet when the workflow ends
my $three = stream('w3', 's');
$reader = reader($three);
my $writer = session();
$writer->query_safe(q{BEGIN; SELECT wf_write_stream('s', '1', 'w3')});
sql(q{SELECT wf_cancel('w3')});
my $patient = reader($three);
$writer->query_safe('COMMIT');
is(whole($_), "id: 1\ndata: 1\n\nevent: end\ndata: {}\n\n", 'an item that was written before the end comes before it')
  foreach $reader, $patient;
my $four = stream('w4', 's');
$reader = reader($four);
$writer->query_safe(q{BEGIN; SELECT wf_write_stream('s', '1', 'w4')});
sql(q{SELECT wf_cancel('w4')});
$writer->query_safe('ROLLBACK');
is(whole($reader), "event: end\ndata: {}\n\n", '... or never');
$writer->quit;

# ----- lines, and no more than is there -----

my $five = stream('w5', 's');
sql(q{SELECT wf_write_stream_many('s', ARRAY[jsonb '{"a": "é"}', '[]', 'null'], 'w5')});
$reader = reader("$five?follow=false", 'Accept: application/x-ndjson');
like($reader->{head}, qr{^Content-Type: application/x-ndjson\r?$}m, 'lines');
is_deeply([ map { JSON::PP->new->utf8->decode($_) } split /\n/, whole($reader) ],
	[ { item_no => 1, value => { a => "\x{e9}" } }, { item_no => 2, value => [] }, { item_no => 3, value => undef } ],
	'... of JSON');
is(whole(reader("$five?follow=false&after=1")), "id: 2\ndata: []\n\nid: 3\ndata: null\n\n", 'what is there and no more');
is(whole(reader("$five?after=3&follow=false")), '', '... which may be nothing');
$reader = reader("$five?after=2", 'Accept: text/html, application/x-ndjson;q=0.9');
sql(q{SELECT wf_write_stream('s', '4', 'w5'), wf_close_stream('s', 'w5')});
is(whole($reader), qq[{"item_no":3,"value":null}\n{"item_no":4,"value":4}\n{"ended":true}\n], 'lines that follow, and the end');
is(whole(reader("$five?after=4&follow=false", 'Accept: application/x-ndjson')), qq[{"ended":true}\n], '... for one that comes late');
like(`printf 'GET $five?follow=false&after=3 HTTP/1.0\\r\\n\\r\\n' | timeout 60 perl -MIO::Socket::INET -e '\$s = IO::Socket::INET->new("127.0.0.1:$port"); print \$s <STDIN>; print while <\$s>'`,
	qr/\r\n\r\nid: 4\ndata: 4\n\nevent: end\ndata: \{\}\n\n\z/, 'HTTP/1.0 has no chunks');

# ----- who is refused -----

is(status('GET', '/.well-known/workflow/v1/stream/none'), 404, 'no such token');
is(status('GET', "$one?$_"), 400, "?$_") foreach 'after=x', 'after=-1', 'after=', 'follow=perhaps', 'after=99999999999999999999';
is(raw(bytes('GET', $one, undef, 'Last-Event-ID: x'), 1), '400', 'Last-Event-ID that is no number');
my $answer = request('POST', $one, '');
is($answer->{status}, 405, 'POST');
like($answer->{head}, qr/^Allow: GET, HEAD, OPTIONS\r?$/m, '... and told what is allowed');
$answer = request('HEAD', $one);
is($answer->{status}, 200, 'HEAD');
like($answer->{head}, qr{^Content-Type: text/event-stream}m, '... says what there would be');
is(status('HEAD', '/.well-known/workflow/v1/stream/none'), 404, 'HEAD of none');
my $hook = sql(q{SELECT token FROM wf_create_webhook(workflow_id => wf_start('hooked'))});
is(status('GET', "/.well-known/workflow/v1/stream/$hook"), 404, 'a webhook is no stream');
is(status('GET', ($one =~ s/stream/webhook/r)), 404, '... and a stream no webhook');

# a token that is taken back
my $six = stream('w6', 's');
$reader = reader($six);
my $other = reader('/.well-known/workflow/v1/stream/' . sql(q{SELECT token FROM wf_create_stream_url('s', 'w6')}));
sql("SELECT wf_dispose_hook('${\($six =~ s{.*/}{}r)}')");
more($reader, sub { 0 });
ok(!$reader->{open} && !$reader->{ended}, 'a token that is taken back: its reader is cut');
is(status('GET', $six), 404, '... and not let in again');
sql(q{SELECT wf_write_stream('s', '1', 'w6')});
is(events($other, 1), '1 1', '... others read on');

# of a workflow that is pruned
sql(q{UPDATE durable_wf.workflow SET finished_at = finished_at - interval '8 days' WHERE workflow_id = 'w2'});
# not while a transaction goes on that is older than its end
poll(q{SELECT wf_prune() = 1});
is(status('GET', $two), 404, 'a workflow that is gone');

# ----- pages of other origins -----

$answer = request('GET', "$one?follow=false", undef, 'Origin: https://a.example');
unlike($answer->{head}, qr/^Access-Control/m, 'no other origin is allowed by default');
set('http_allowed_origins', 'https://a.example, https://b.example:8443');
until_true(sub { request('GET', "$one?follow=false", undef, 'Origin: https://a.example')->{head} =~ /^Access-Control/m }, 'the setting is read');
$answer = request('GET', "$one?follow=false", undef, 'Origin: https://b.example:8443');
like($answer->{head}, qr{^Access-Control-Allow-Origin: https://b\.example:8443\r?$}m, 'one that is');
like($answer->{head}, qr/^Vary: Origin\r?$/m, '... and caches are told');
unlike(request('GET', "$one?follow=false", undef, 'Origin: https://b.example')->{head}, qr/^Access-Control/m, 'one that is not');
$answer = request('GET', '/.well-known/workflow/v1/stream/none', undef, 'Origin: https://a.example');
like($answer->{head}, qr/^Access-Control-Allow-Origin: /m, 'a refusal is seen, too');
$answer = request('OPTIONS', $one, undef, 'Origin: https://a.example', 'Access-Control-Request-Method: GET', 'Access-Control-Request-Headers: last-event-id');
is($answer->{status}, 204, 'what a browser asks before');
like($answer->{head}, qr/^Access-Control-Allow-Headers: .*Last-Event-ID/m, '... it may send the last id');
set('http_allowed_origins', '*');
until_true(sub { request('GET', "$one?follow=false", undef, 'Origin: https://c.example')->{head} =~ /^Access-Control-Allow-Origin: \*\r?$/m }, 'any origin');

# ----- silence, and many -----

my $seven = stream('w7', 's');
$reader = reader($seven);
$other = reader($seven, 'Accept: application/x-ndjson');
set('http_stream_heartbeat', '100ms');
more($reader, sub { $reader->{text} =~ /^:\n\n:\n\n/ });
more($other, sub { $other->{text} =~ /^\n\n/ });
pass('an open stream shows that it is there');
set('http_stream_heartbeat', '0');
close $reader->{socket};
sql(q{SELECT wf_write_stream('s', '1', 'w7')});
more($other, sub { $other->{text} =~ /"item_no":1,/ });

# 150 readers of three streams: each gets all, in order
my @targets = map { stream("many$_", 's') } 0 .. 2;
my @readers = map { reader($targets[ $_ % 3 ]) } 0 .. 149;
sql(q{DO $$
	BEGIN
		FOR n IN 1 .. 150 LOOP
			PERFORM wf_write_stream('s', to_jsonb(n), 'many' || n % 3);
			COMMIT;
		END LOOP;
	END $$});
sql(qq{SELECT wf_complete(workflow_id => 'many$_')}) foreach 0 .. 2;
my @whole = map { whole($_) } @readers;
my @want = map {
	my $stream = $_;
	my $n = 0;
	join('', map { $n++; "id: $n\ndata: $_\n\n" } grep { $_ % 3 == $stream } 1 .. 150) . "event: end\ndata: {}\n\n";
} 0 .. 2;
is(scalar(grep { $whole[$_] eq $want[ $_ % 3 ] } 0 .. 149), 150, '150 readers: all items, once, in order');
@readers = ();

# An idle gateway with readers does not wake up.
my @idle = map { reader($seven) } 1 .. 50;
events($_, 1) foreach @idle;
my $pid = gateway();
my ($before) = at_rest($pid);
sql(q{SELECT pg_sleep(1.5)});
cmp_ok(switches($pid) - $before, '<=', 3, 'readers of a silent stream cost nothing');

# ----- a slow reader -----

# One that takes nothing holds back nobody, and is cut; the table is its buffer.
my $eight = stream('w8', 's');
set('http_request_timeout', '2s');
until_true(sub {
	my $slow = dial();
	syswrite $slow, 'GET';
	my $answer = response($slow);
	return !$answer || $answer->{status} == 408;
}, 'the setting is read');
my $slow = dial();
setsockopt $slow, SOL_SOCKET, SO_RCVBUF, 65536;
syswrite $slow, bytes('GET', $eight);
my $quick = reader($eight);
sql(q{SELECT wf_write_stream('s', to_jsonb(repeat('x', 100000)), 'w8') FROM generate_series(1, 150)});
more($quick, sub { length $quick->{text} > 150 * 100_000 });
like(substr($quick->{text}, 149 * 100_000), qr/^id: 150$/m, 'a slow reader holds back nobody');
# the gateway's side of the connection is established no more
my $ends = sprintf '0100007F:%04X 0100007F:%04X', $port, $slow->sockport;
until_true(sub { slurp_file('/proc/net/tcp') !~ /$ends 01 / }, 'it is cut');
my $got = '';
1 while sysread $slow, $got, 1 << 20, length $got;
my ($last) = $got =~ /.*^id: (\d+)$/sm;
cmp_ok($last, '<', 150, '... and is cut, after a part');
my $again = reader($eight, 'Last-Event-ID: 120');
more($again, sub { length $again->{text} > 30 * 100_000 });
like($again->{text}, qr/\Aid: 121\n.*^id: 150$/sm, '... and comes again');
set('http_request_timeout');
$_->{socket} && close $_->{socket} foreach $quick, $again;

# A reader far behind does not delay those at the end.
my $nine = stream('w9', 's');
sql(q{SELECT wf_write_stream_many('s', array_agg(to_jsonb(n)), 'w9') FROM generate_series(1, 20000) n});
my $behind = reader($nine);
$quick = reader("$nine?after=20000");
sql(q{SELECT wf_write_stream('s', '"new"', 'w9')});
is(events($quick, 1), '20001 "new"', 'a reader at the end');
sql(q{SELECT wf_close_stream('s', 'w9')});
my @numbers = whole($behind) =~ /^id: (\d+)$/mg;
is(scalar @numbers, 20001, 'one from the beginning has all');
is(join(' ', @numbers), join(' ', 1 .. 20001), '... in order');

# A role that may do no more than the gateway has to.
sql(q{CREATE ROLE porter LOGIN; REVOKE EXECUTE ON FUNCTION wf_resume_webhook(text, jsonb) FROM PUBLIC});
set('http_role', 'porter');
poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf gateway' AND usename = 'porter'});
until_true(sub { status('GET', '/healthz') }, 'it listens');
is(status('GET', $nine), 503, 'a role without the right');
sql(q{GRANT EXECUTE ON FUNCTION wf_resume_webhook(text, jsonb) TO porter});
is(events(reader("$nine?after=20000"), 2), '20001 "new" | end {}', '... and with it');

# ----- the end of the gateway -----

# A reader that is cut comes again, and misses nothing.
my $ten = stream('w10', 's');
$reader = reader($ten);
sql(q{SELECT wf_write_stream('s', '1', 'w10')});
is(events($reader, 1), '1 1', 'before a crash');
my $killed = gateway();
kill 'TERM', $killed;
more($reader, sub { 0 });
ok(!$reader->{ended}, 'the answer does not end well when the gateway does');
sql(q{SELECT wf_write_stream('s', '2', 'w10')});
until_true(sub { status('GET', '/healthz') == 200 }, 'it is back');
$reader = reader($ten, 'Last-Event-ID: 1');
is(events($reader, 1), '2 2', 'what came meanwhile');
sql('CREATE DATABASE copy TEMPLATE postgres');
more($reader, sub { 0 });
ok(!$reader->{open}, 'a reader delays no CREATE DATABASE');

$node->stop;
done_testing();
