# The HTTP gateway: where it is and where not, what it takes, what it refuses,
# and what it survives.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start until_true);
use IO::Select;
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(usleep);

my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
plan skip_all => 'built without the gateway'
  unless glob "$libdir/durable_wf_gateway.*";

$SIG{PIPE} = 'IGNORE';
my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $path = '/.well-known/workflow/v1/webhook';
my $node = start_node(
	'main',
	{
		restart_after_crash => 'on',
		max_connections => 60,
		max_worker_processes => 16,
		'durable_wf.http_request_timeout' => '60s',
		'durable_wf.http_response_timeout' => '60s'
	},
	allows_streaming => 1);

# ----- a client -----

sub dial
{
	my ($to) = @_;

	return IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $to || $port,
		Proto => 'tcp');
}

# Bytes of a request
sub bytes
{
	my ($method, $target, $body, @headers) = @_;
	my $text = "$method $target HTTP/1.1\r\nHost: test\r\n";

	$text .= "$_\r\n" foreach @headers;
	$text .= 'Content-Length: ' . length($body) . "\r\n" if defined $body;
	return "$text\r\n" . ($body // '');
}

# Read one response from a connection; undef when it is closed before one came.
# What comes after it stays in %$rest.
my %rest;

sub response
{
	my ($socket, $is_head) = @_;
	my $text = delete $rest{$socket} // '';
	my $until = time + $timeout;
	my $select = IO::Select->new($socket);
	my (%headers, $body);

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

# One request on a connection of its own
sub request
{
	my ($method, $target, $body, @headers) = @_;
	my $socket = dial() or return { status => 0, head => '', body => '' };

	syswrite $socket, bytes($method, $target, $body, @headers);
	return response($socket, $method eq 'HEAD')
	  || { status => 0, head => '', body => '' };
}

sub status
{
	return request(@_)->{status};
}

# Bytes on a connection of their own; the statuses that come until it closes, or
# until there are so many
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

my $workflows = 0;

# A new webhook; returns its target
sub webhook
{
	my ($respond_with, $validator) = @_;
	my $id = 'w' . ++$workflows;

	return "$path/" . sql(
		"SELECT token FROM wf_create_webhook(workflow_id => wf_start('$id')"
		  . ($respond_with ? ", respond_with => '$respond_with'" : '')
		  . ($validator ? ", validator => '$validator'" : '') . ')');
}

# The token of a target
sub token
{
	return $_[0] =~ s{.*/}{}r;
}

# The next payload
sub payload
{
	my ($target) = @_;
	my $json = sql("SELECT wf_await_hook('${\token($target)}', '0')");

	return $json eq '' ? undef : JSON::PP->new->utf8->allow_nonref->max_depth(10_000)->decode($json);
}

# How many payloads lie there
sub depth
{
	my ($target) = @_;

	return sql("SELECT count(*) FROM durable_wf.message
		WHERE key = '${\token($target)}'");
}

sub gateway
{
	return sql(q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'durable_wf gateway'});
}

# Set something, and have it read
sub set
{
	my ($name, $value) = @_;

	sql("ALTER SYSTEM SET durable_wf.$name = '$value'");
	sql('SELECT pg_reload_conf()');
	return;
}

# Wait until the gateway says this about its health.
sub health_is
{
	my ($status, $name) = @_;

	until_true(sub { status('GET', '/healthz') == $status }, $name);
	pass($name);
	return;
}

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

sql('CREATE EXTENSION durable_wf; CREATE EXTENSION pgcrypto');
health_is(200, 'CREATE EXTENSION opens it');
my $hook = webhook();
is(status('POST', $hook, '{}'), 202, 'a request is taken');
is(depth($hook), 1, '... and lies in the mailbox');
payload($hook);

# ----- what a workflow gets -----

$answer = request(
	'POST', "$hook?a=1&b=%20",
	'{"a": ["\u00fc", 1e2, null]}',
	'Content-Type: application/json; charset=utf-8',
	'X-Two: one', 'x-two: two', "X-Latin: \xfc", 'Cookie: a=1', 'Cookie: b=2');
is($answer->{status}, 202, 'it is accepted');
is($answer->{body}, '', '... empty');
my $got = payload($hook);
is($got->{method}, 'POST', 'method');
is($got->{url}, "http://127.0.0.1:$port$hook?a=1&b=%20", 'url');
is($got->{path}, $hook, 'path');
is($got->{query}, 'a=1&b=%20', 'query');
is_deeply($got->{body}, { a => [ "\x{fc}", 100, undef ] }, 'body as JSON');
is($got->{headers}{'x-two'}, 'one, two', 'a header that came twice');
is($got->{headers}{'x-latin'}, "\x{fc}", 'a header in Latin-1');
is($got->{headers}{cookie}, 'a=1; b=2', 'cookies');
is(decode_base64($got->{body_base64}),
	'{"a": ["\u00fc", 1e2, null]}', 'body_base64 is exact');
like($got->{received_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/, 'received_at');
like($got->{request_id}, qr/^\d+$/, 'request_id');

# A body that is not what its type says, is text, or is neither
foreach my $case (
	[ '{"a":1}', 'text/plain', '{"a":1}' ],
	[ '{"a":1', 'application/json', '{"a":1' ],
	[ '{} {}', 'application/json', '{} {}' ],
	[ '1, "method": "X"', 'application/json', '1, "method": "X"' ],
	[ '"\ud800"', 'application/json', '"\ud800"' ],
	[ '"\u0000"', 'application/json', '"\u0000"' ],
	[ '1e200000', 'application/json', '1e200000' ],
	[ '[' x 100000, 'application/json', '[' x 100000 ],
	[ '[' x 2000 . ']' x 2000, 'application/json', 'deep' ],
	[ '"x"', 'application/vnd.a+json', 'x' ],
	[ '', 'application/json', '' ],
	[ "a\0b", 'text/plain', undef ],
	[ "\xff\xfe", 'application/json', undef ])
{
	my ($body, $type, $want) = @$case;
	my $name = substr($body, 0, 20) =~ s/[^ -~]/./gr;

	is(status('POST', $hook, $body, "Content-Type: $type"),
		202, "body $name as $type");
	$got = payload($hook);
	ref $got->{body}
	  ? is(ref $got->{body}, 'ARRAY', '... is an array')
	  : is($got->{body}, $want, '... is what it should be');
	is(decode_base64($got->{body_base64}), $body, '... and exact');
	is($got->{method}, 'POST', '... and nothing else');
}

# Why a body is not the JSON that its type says is told; a byte order mark is
# no reason
foreach my $case (
	[ "\xef\xbb\xbf{\"a\": 1}", undef, 'HASH' ],
	[ "\xef\xbb\xbf{", qr/ended unexpectedly/, '' ],
	[ '{"a": "\u0000"}', qr/\\u0000 cannot be converted to text/, '' ],
	[ '{"a": "\ud83d"}', qr/surrogate/, '' ],
	[ '{"a": 1e1000}', undef, 'HASH' ],
	[ '{"a": 1e200000}', qr/overflows/, '' ],
	[ '', undef, '' ],
	[ "\"\xff\"", qr/not valid UTF-8/, '' ])
{
	my ($body, $want, $type) = @$case;

	request('POST', $hook, $body, 'Content-Type: application/json');
	$got = payload($hook);
	is(ref $got->{body}, $type, "$body: its body");
	ok( defined $want
		? $got->{body_error} =~ $want
		: !exists $got->{body_error},
		'... and why');
	is(decode_base64($got->{body_base64}), $body, '... and exact');
}
foreach my $case (
	[ "\xe9", 'text/plain; charset=ISO-8859-1', "\x{e9}" ],
	[ "\xc1", 'text/plain; charset=koi8-r', "\x{430}" ],
	[ "\xc3\xa9", 'text/plain', "\x{e9}" ],
	[ "\xe9", 'text/plain; charset=nonsense', undef ])
{
	request('POST', $hook, $case->[0], "Content-Type: $case->[1]");
	$got = payload($hook);
	is($got->{body}, $case->[2], "$case->[1]");
	ok(!exists $got->{body_error}, '... no error');
}

# Nothing is decoded
$answer = request('POST', $hook, 'x', 'Content-Encoding: gzip');
is($answer->{status}, 415, 'a content coding is 415');
like($answer->{head}, qr/^Accept-Encoding: identity\r?$/m, '... and told what is taken');
is(status('POST', $hook, 'x', 'Content-Encoding: identity, br'), 415, '... also one of two');
is(depth($hook), 0, '... and nothing is delivered');
is(status('POST', $hook, 'x', 'Content-Encoding: Identity'), 202, 'none is taken');
payload($hook);

# A function that would be found before the server's own
sql(q{CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$});
is(status('POST', $hook, 'x'), 202, 'a function that has a better match');
payload($hook);
sql('DROP FUNCTION public.unnest(text[])');

# Numbers that would be written out with thousands of digits
is(status('POST', $hook, '[9e999, 1E-0400]', 'Content-Type: application/json'), 202, 'long numbers');
is(ref payload($hook)->{body}, 'ARRAY', '... are JSON');
is(status('POST', $hook, '[9e1000, 1.5E-1000]', 'Content-Type: application/json'), 202, 'longer ones');
is(ref payload($hook)->{body}, 'ARRAY', '... too');
my $digits = '[' . join(',', ('9e100000') x 11) . ']';
is(status('POST', $hook, $digits, 'Content-Type: application/json'), 202, 'more than a million digits in all');
$got = payload($hook);
is($got->{body}, $digits, '... are text');
is($got->{body_error}, 'it is nested too deeply, or has too large numbers', '... and it says why');

# ----- methods and targets -----

is(status('POST', "http://other.example:81$hook", 'absolute'), 202, 'a target with scheme and host');
is(payload($hook)->{body}, 'absolute', '... is the same webhook');
is(status('GET', 'HTTP://127.0.0.1/healthz'), 200, '... in capitals');
is(status('GET', "ftp://127.0.0.1/healthz"), 404, '... but of no other scheme');
foreach my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS))
{
	is(status($method, $hook), 202, $method);
	is(payload($hook)->{method}, $method, '... arrives');
}
$answer = request('PURGE', $hook);
is($answer->{status}, 405, 'another method is 405');
like($answer->{head}, qr/^Allow: .*POST/m, '... and told which there are');
is(status('POST', '/healthz', ''), 405, 'POST /healthz');
is(status('GET', $_), 404, "$_ is 404")
  foreach '/', '/x', "$path/", "$path/none", "$path/a/b", "$path/%00",
  "$path/" . 'x' x 600, "${hook}x", "$hook/";
my $encoded = $hook =~ s{/([^/])([^/]*)\z}{sprintf '/%%%02x%s', ord $1, $2}er;
is(status('POST', $encoded, ''), 202, 'a percent-encoded token');
payload($hook);

sql("SELECT wf_create_hook('plain', workflow_id => 'w1')");
is(status('POST', "$path/plain", ''), 404, 'a hook that is no webhook');
my $gone = webhook();
sql("SELECT wf_dispose_hook('${\token($gone)}')");
is(status('POST', $gone, ''), 404, 'a webhook that was disposed of');
$gone = webhook();
sql("SELECT wf_cancel('w$workflows')");
is(status('POST', $gone, ''), 404, 'a webhook of an ended workflow');

# ----- bytes that are no good request -----

is(raw("nonsense\r\n\r\n"), '', 'nonsense');
is(raw("GET / HTTP/1.1\r\n\r\n"), '400', 'no Host');
is(raw("GET / HTTP/9.9\r\nHost: x\r\n\r\n"), '505', 'another version');
is( raw("POST $hook HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
		  . "Content-Length: 2\r\n\r\na"),
	'400', 'two lengths');
is( raw("POST $hook HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
		  . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	'400', 'a length and chunks');
is( raw("POST $hook HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
	'400', 'a negative length');
is( raw("POST $hook HTTP/1.1\r\nHost: x\r\n"
		  . "Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
	'400', 'a bad chunk');
is( raw("GET $hook HTTP/1.1\r\nHost: x\r\nX: " . 'x' x 40000 . "\r\n\r\n"),
	'431', 'too large a header');
is( raw("GET $hook HTTP/1.1\r\nHost: x\r\n"
		  . join('', map { "X-$_: y\r\n" } 1 .. 5000) . "\r\n"),
	'431', 'too many headers');
foreach my $bad (
	[ 'a space before the colon', 'Content-Length : 38' ],
	[ 'a CR in a value', "X-A: 1\rContent-Length: 38" ],
	[ 'a control character', "X-A: 1\e" ],
	[ 'two hosts', 'Host: y' ],
	[ 'two encodings', "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity" ],
	[ 'another encoding', 'Transfer-Encoding: gzip, chunked' ],
	[ 'an unknown encoding', 'Transfer-Encoding: xchunked' ])
{
	my ($name, $header) = @$bad;

	# what might be a body is not taken for another request
	is(raw("POST $hook HTTP/1.1\r\nHost: x\r\n$header\r\n\r\nGET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"),
		'400', "$name: 400, and closed");
}
# A folded line is refused, or unfolded, as HTTP lets it be; it is no header of
# its own.
like(raw("POST $hook HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n Content-Length: 38\r\n\r\nGET /healthz HTTP/1.1\r\nHost: test\r\n\r\n", 2),
	qr/^(400|202 200)$/, 'a folded line');
sql('TRUNCATE durable_wf.message');
is(raw('GET /' . 'x' x 40000 . " HTTP/1.1\r\nHost: x\r\n\r\n"),
	'414', 'too long a target');
is(depth($hook), 0, 'nothing of it arrived');

set('http_max_body', '1000');
until_true(sub { status('POST', $hook, 'x' x 1001) == 413 }, '413');
is(status('POST', $hook, 'x' x 1000), 202, 'a body as long as allowed');
is( raw("POST $hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		  . "3e8\r\n" . 'x' x 1000 . "\r\n1\r\ny\r\n0\r\n\r\n", 1),
	'413', 'chunks that are too long together');
sql('ALTER SYSTEM RESET durable_wf.http_max_body');
sql('SELECT pg_reload_conf()');
until_true(sub { status('POST', $hook, 'x' x 2000) == 202 }, 'reset');
sql('TRUNCATE durable_wf.message');

# ----- more than one on a connection -----

is( raw("POST $hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		  . "3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n", 1),
	'202', 'chunks');
is(payload($hook)->{body}, 'abcde', '... put together');
# Extensions of chunks are passed over; libmicrohttpd 1.0 refuses them.
like(raw("POST $hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nde\r\n0\r\n\r\n", 1),
	qr/^(202|400)$/, 'chunks with extensions');
sql('TRUNCATE durable_wf.message');
is(raw(join('', map { bytes('POST', $hook, "n$_") } 1 .. 20), 20),
	join(' ', (202) x 20), 'pipelining');
is(join(' ', map { payload($hook)->{body} } 1 .. 20),
	join(' ', map { "n$_" } 1 .. 20), '... in order');
my $socket = dial();
syswrite $socket, bytes('POST', $hook, undef, 'Content-Length: 2',
	'Expect: 100-continue');
is(response($socket)->{status}, 100, 'Expect is answered');
syswrite $socket, 'ok';
is(response($socket)->{status}, 202, '... and then 202');
syswrite $socket, bytes('GET', '/healthz');
is(response($socket)->{status}, 200, 'the connection stays open');
is(payload($hook)->{body}, 'ok', 'what came then');

is(status('POST', $hook, 'once', 'Idempotency-Key: k1'), 202, 'with a key')
  foreach 1 .. 3;
is(depth($hook), 1, '... is one payload');
is(status('POST', $hook, 'x', 'Idempotency-Key: ' . 'k' x 600),
	400, 'too long a key');
payload($hook);

# curl and wrk agree
my $curl = `curl -s -o /dev/null -w '%{http_code}' --data-binary 'from curl' http://127.0.0.1:$port$hook`;
is($curl, '202', 'curl');
is(payload($hook)->{body}, 'from curl', '... is understood');
sub wrk
{
	my ($connections, $seconds, $target) = @_;
	my $script = "$PostgreSQL::Test::Utils::tmp_check/post.lua";

	append_to_file($script,
		"wrk.method = 'POST'; wrk.body = '{\"a\": 1}'\n")
	  unless -e $script;
	return scalar
	  `wrk -t1 -c$connections -d${seconds}s -s $script http://127.0.0.1:$port$target 2>&1`;
}
my $output = wrk(64, 1, $hook);
my ($done) = $output =~ /(\d+) requests in/;
unlike($output, qr/Non-2xx|Socket errors/, 'wrk sees no error');
cmp_ok(depth($hook), '>=', $done, 'each 202 is a row');
poll("SELECT n_tup_ins >= $done FROM pg_stat_all_tables
	WHERE relid = 'durable_wf.message'::regclass");
pass('... that autovacuum hears of');
sql('TRUNCATE durable_wf.message');

# ----- responses -----

my $fixed = webhook(
	'{"status": 201, "headers": {"X-A": "b"}, "body": {"ok": true}}');
$answer = request('POST', $fixed, '');
is($answer->{status}, 201, 'a status of its own');
like($answer->{head}, qr/^X-A: b\r?$/m, '... with a header');
like($answer->{head}, qr{^Content-Type: application/json\r?$}m, '... a type');
is($answer->{body}, '{"ok": true}', '... and a body');
is(request('HEAD', $fixed)->{body}, '', 'HEAD has no body');
is(status('GET', webhook('{"headers": {"X-Empty": ""}}')), 200, 'a header that is empty');
is( status('GET', webhook('{"status": 204, "body": "no"}')),
	204, '204 has none either');

my $manual = webhook('"manual"');
my @sockets = map { dial() } 1 .. 3;
syswrite $sockets[$_], bytes('POST', $manual, $_) foreach 0 .. 2;
until_true(sub { depth($manual) == 3 }, 'they are there');
my @ids = map { $_->{request_id} }
  sort { $a->{body} <=> $b->{body} } map { payload($manual) } 0 .. 2;
foreach my $n (2, 0, 1)
{
	sql("SELECT wf_respond($ids[$n], 200 + $n, '{\"X-N\": \"$n\"}', 'n$n')");
	$answer = response($sockets[$n]);
	is($answer->{status}, 200 + $n, "held request $n has its answer");
	is($answer->{body}, "n$n", '... its own');
}
syswrite $sockets[0], bytes('GET', '/healthz');
is(response($sockets[0])->{status}, 200, '... and the connection goes on');

# Who sends it again while it is held, and after it was answered
foreach my $n (0, 1)
{
	syswrite $sockets[$n], bytes('POST', $manual, 'k', 'Idempotency-Key: k');
	until_true(sub { depth($manual) == 1 }, 'it is held') if $n == 0;
}
until_true(
	sub {
		sql("SELECT count(*) FROM durable_wf.request WHERE responded_at IS NULL") == 1
		  && sql(q{SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'durable_wf gateway' AND state = 'idle'}) == 1;
	},
	'one request');
my $again = payload($manual)->{request_id};
sql("SELECT wf_respond($again, body => 'both')");
is(response($sockets[$_])->{body}, 'both', "a key that is held, client $_")
  foreach 0, 1;
is(request('POST', $manual, 'k', 'Idempotency-Key: k')->{body},
	'both', '... and one that was answered');

# Many that are held, answered by one transaction
@sockets = map { dial() } 1 .. 200;
syswrite $_, bytes('POST', $manual, 'x') foreach @sockets;
until_true(sub { depth($manual) == 200 }, 'they are held');
sql("DO \$\$
	DECLARE p jsonb;
	BEGIN
		LOOP
			p := wf_await_hook('${\token($manual)}', '0');
			EXIT WHEN p IS NULL;
			PERFORM wf_respond((p->>'request_id')::bigint, 200, '{}', 'all');
		END LOOP;
	END \$\$");
is(scalar(grep { response($_)->{body} eq 'all' } @sockets),
	200, 'all of 200 held requests are answered');
@sockets = ();

# Who goes away is not held any longer, and an end is an answer
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'gone');
until_true(sub { depth($manual) == 1 }, 'it is there');
close $socket;
my $left = sql("SELECT max(request_id) FROM durable_wf.request WHERE token = '${\token($manual)}'");
poll("SELECT expires_at <= clock_timestamp() FROM durable_wf.request WHERE request_id = $left");
is(sql("SELECT wf_respond($left)"), 'f', 'who answers one that has gone away is told so');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'ended');
until_true(sub { depth($manual) == 2 }, 'it is there');
sql("SELECT wf_cancel('w$workflows')");
is(response($socket)->{status}, 504, 'the end of the workflow is an answer');

# On time, though nothing else is to be done
$manual = webhook('"manual"');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'given more time');
until_true(sub { depth($manual) == 1 }, 'it is there');
my $shortened = payload($manual)->{request_id};
set('http_request_timeout', '1h');
set('http_response_timeout', '200ms');
until_true(
	sub {
		my $answer = request('POST', $manual, '');
		return $answer->{status} == 504;
	},
	'an answer that does not come is 504');
pass('an answer that does not come is 504');
is(response($socket)->{status}, 504, '... also for one that came when there was more time');
is(sql("SELECT wf_respond($shortened)"), 'f', '... as who answers it is told');
my $late = payload($manual)->{request_id};
is(sql("SELECT wf_respond($late)"), 'f', '... and then it is too late');
# ... also for a body, which does not end of that, nor when it is retried
sql(q{CREATE PROCEDURE answers_late(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hook wf_webhook;
	request jsonb; go jsonb;
	in_time boolean;
BEGIN
	hook := wf_create_webhook('"manual"');
	PERFORM wf_set_event('token', to_jsonb(hook.token));
	CALL wf_await_hook(hook.token, NULL, request);
	CALL wf_recv('answer', NULL, NULL, go);
	in_time := wf_respond((request->>'request_id')::bigint);
	IF go = '"fail"' THEN
		RAISE 'it fails';
	END IF;
	PERFORM wf_complete(to_jsonb(in_time));
END $$;
SELECT wf_start('late', 'answers_late'), wf_start('later', 'answers_late')});
foreach my $id ('late', 'later')
{
	my $target = "$path/" . sql("SELECT wf_get_event('$id', 'token', '120 s')->>0");

	is(status('POST', $target, 'x'), 504, "a body that answers $id");
}
sql(q{SELECT wf_send('late', '1', 'answer'), wf_send('later', '"fail"', 'answer')});
is(sql(q{SELECT * FROM wf_result('late', '120 s')}), 'SUCCESS|false|', '... is told so');
is(sql(q{SELECT status FROM wf_result('later', '120 s')}), 'ERROR', '... and may fail for another reason');
sql(q{CREATE OR REPLACE PROCEDURE answers_late(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hook wf_webhook;
	request jsonb; go jsonb;
BEGIN
	hook := wf_create_webhook('"manual"');
	PERFORM wf_set_event('token', to_jsonb(hook.token));
	CALL wf_await_hook(hook.token, NULL, request);
	CALL wf_recv('answer', NULL, NULL, go);
	PERFORM wf_complete(to_jsonb(wf_respond((request->>'request_id')::bigint)));
END $$});
sql(q{SELECT wf_retry('later')});
is(sql(q{SELECT * FROM wf_result('later', '120 s')}), 'SUCCESS|false|', '... and be retried');
set('http_response_timeout', '60s');
set('http_request_timeout', '60s');

# A repeat does not take away the time of who waits by wf_await_response().
my $twice = sql("SELECT wf_resume_webhook('${\token($manual)}', '{\"headers\": {\"Idempotency-Key\": \"twice\"}}')->>'request_id'");
set('http_response_timeout', '200ms');
until_true(sub { status('POST', $manual, '', 'Idempotency-Key: twice') == 504 }, 'a repeat is not answered');
sql("SELECT wf_respond($twice, 201)");
is(sql("SELECT wf_await_response('${\token($manual)}', $twice, '0')->'status'"), 201, 'the one who asked first is');
set('http_response_timeout', '60s');

# ----- locks, and one among many -----

my $other = webhook();
my $locker = session();
$locker->query_safe('BEGIN; LOCK TABLE durable_wf.message');
$answer = request('POST', $hook, 'x');
is($answer->{status}, 503, 'a locked table is 503');
like($answer->{head}, qr/^Retry-After: \d+\r?$/m, '... and when to try again');
is(status('POST', $other, 'x'), 503, '... for all webhooks');
$locker->query_safe('ROLLBACK');
is(status('POST', $hook, 'x'), 202, '... until it is free');
is(depth($hook), 1, '... and only then it is there');
payload($hook);

$locker->query_safe("BEGIN; SELECT wf_dispose_hook('${\token($other)}')");
@sockets = map { dial() } 1 .. 64;
syswrite $sockets[$_], bytes('POST', $_ == 30 ? $other : $hook, $_)
  foreach 0 .. 63;
is( join(' ', map { response($_)->{status} } @sockets),
	join(' ', map { $_ == 30 ? 503 : 202 } 0 .. 63),
	'a locked webhook is 503, and others are not');
$locker->query_safe('ROLLBACK');
is(status('POST', $other, 'x'), 202, '... until it is free');
is(depth($hook), 63, 'all others are there, once');
sql('TRUNCATE durable_wf.message');

# Many that one tenant has locked cost another nothing.
my @theirs = map { webhook() } 1 .. 5;
$locker->query_safe('BEGIN');
$locker->query_safe("SELECT wf_dispose_hook('${\token($_)}')") foreach @theirs;
syswrite $sockets[$_], bytes('POST', $_ < 20 ? $theirs[ $_ % 5 ] : $hook, $_)
  foreach 0 .. 63;
is( join(' ', map { response($_)->{status} } @sockets),
	join(' ', map { $_ < 20 ? 503 : 202 } 0 .. 63),
	'five that are locked, and others are not');
$locker->query_safe('ROLLBACK');
sql('TRUNCATE durable_wf.message');

syswrite $sockets[$_],
  bytes('POST', $hook, $_,
	$_ == 30 ? 'Idempotency-Key: ' . 'k' x 600 : 'X: y')
  foreach 0 .. 63;
is( join(' ', map { response($_)->{status} } @sockets),
	join(' ', map { $_ == 30 ? 400 : 202 } 0 .. 63),
	'one bad request among 64 is alone');
is(depth($hook), 63, '... and all others are there, once');
sql('TRUNCATE durable_wf.message');

# Keys among them: of 20 requests with two keys two are delivered, and all that
# are held get the answer to their key's request.
my $keyed = webhook('"manual"');
@sockets = map { dial() } 1 .. 64;
syswrite $sockets[$_],
  bytes('POST', $_ < 20 ? $hook : $_ < 30 ? $keyed : $other, $_, $_ < 30 ? 'Idempotency-Key: among' . $_ % 2 : 'X: y')
  foreach 0 .. 63;
is(join(' ', map { response($sockets[$_])->{status} } 0 .. 19, 30 .. 63),
	join(' ', ('202') x 54), 'keys among 64');
is(depth($hook), 2, '... are delivered once each');
is(depth($other), 34, '... and all without one');
until_true(sub { depth($keyed) == 2 }, '... as are those that are held');
sql(q{SELECT count(wf_respond(request_id, 200 + (request_id = (SELECT max(request_id) FROM durable_wf.request))::int))
	FROM durable_wf.request WHERE responded_at IS NULL});
my %answers;
push @{ $answers{ $_ % 2 } }, response($sockets[$_])->{status} foreach 20 .. 29;
is(join('|', sort map { join ' ', @$_ } values %answers),
	join('|', map { join ' ', ($_) x 5 } 200, 201), '... all by the answer to their key');
sql('TRUNCATE durable_wf.message');
@sockets = ();

# ----- validators -----

sql(<<'SQL');
CREATE FUNCTION check_signature(request jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
	IF request->'headers'->>'x-hub-signature-256' IS DISTINCT FROM
	   'sha256=' || encode(hmac(decode(request->>'body_base64', 'base64'),
	                            'secret', 'sha256'), 'hex') THEN
		RAISE insufficient_privilege USING MESSAGE = 'bad signature';
	END IF;
	RETURN request->'body';
END $$;
CREATE FUNCTION hang(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(100);
END $$;
CREATE FUNCTION refuse(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'no';
END $$;
SQL
my $signed = webhook(undef, 'check_signature');
my $signature =
  sql(q{SELECT encode(hmac('{"n": 1}', 'secret', 'sha256'), 'hex')});
is( status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	202, 'a good signature');
is_deeply(payload($signed), { n => 1 }, '... delivers what the validator returns');
is( status('POST', $signed, '{"n": 2}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	403, 'a bad signature is 403');
is(status('POST', webhook(undef, 'refuse'), ''), 400, 'a refusal is 400');
my $keyed = webhook('{"status": 200, "body": "secret"}', 'check_signature');
my @key = ('Idempotency-Key: once', 'Content-Type: application/json');
is(request('POST', $keyed, '{"n": 1}', @key, "X-Hub-Signature-256: sha256=$signature")->{body}, 'secret', 'with a key');
is(request('POST', $keyed, '{"n": 1}', @key, "X-Hub-Signature-256: sha256=$signature")->{body}, 'secret', '... and once more');
is(status('POST', $keyed, '{"n": 1}', @key), 403, '... but not without a signature');
is(depth($keyed), 1, '... one payload');
is(depth($signed), 0, '... and delivers nothing');
like(slurp_file($node->logfile), qr/LOG: .* validator has refused a request: no\n.*CONTEXT: .*refuse/s, '... and the log says why');

# What a validator says itself is a refusal, with the status that it says; what
# the server says to it is not.  Each is logged once for each webhook.
my $log = $node->logfile;
my $log_position = -s $log;
sql(q{CREATE FUNCTION says(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF request->>'query' = 're-raised' THEN
		BEGIN
			PERFORM 1 FROM public.not_yours;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE;
		END;
	ELSIF request->>'query' = 'strict' THEN
		DECLARE x int;
		BEGIN
			SELECT 1 INTO STRICT x WHERE false;
		END;
	ELSIF request->>'query' = 'reads' THEN
		PERFORM 1 FROM public.not_yours;
	ELSIF request->>'query' = 'schema' THEN
		PERFORM 1 FROM not_yours.nothing;
	ELSIF request->>'query' = 'calls' THEN
		PERFORM public.not_yours();
	ELSIF request->>'query' = 'bad' THEN
		PERFORM decode('zz', 'hex');
	ELSIF request->>'query' = 'wf' THEN
		PERFORM public.wf_resume_hook('no such', '1');
	ELSE
		RAISE EXCEPTION USING ERRCODE = request->>'query', MESSAGE = 'it says ' || (request->>'query');
	END IF;
	RETURN request;
END $$});
sql(q{
CREATE ROLE plain;
GRANT CREATE, USAGE ON SCHEMA public TO plain;
CREATE TABLE not_yours (i int);
CREATE SCHEMA not_yours;
CREATE TABLE not_yours.nothing (i int);
CREATE FUNCTION not_yours() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE EXECUTE ON FUNCTION not_yours() FROM PUBLIC;
SELECT wf_start('plain'), wf_set_owner('plain', 'plain');
});
my $says = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'says', workflow_id => 'plain')});
foreach my $case (
	[ P0001 => 400 ], [ 42501 => 403 ], [ 28000 => 401 ], [ '28P01' => 401 ],
	[ PT400 => 400 ], [ PT401 => 401 ], [ PT404 => 404 ], [ PT406 => 406 ],
	[ PT410 => 410 ], [ PT499 => 499 ], [ PT500 => 503 ], [ PT503 => 503 ], [ PT4X0 => 400 ],
	[ 23505 => 400 ], [ 55000 => 503 ], [ WF006 => 503 ], [ P0002 => 400 ],
	[ 'strict' => 503 ], [ 're-raised' => 503 ], [ 'reads' => 503 ],
	[ 'schema' => 503 ], [ 'calls' => 503 ], [ 'bad' => 400 ], [ 'wf' => 503 ])
{
	is(status('POST', "$says?$case->[0]", 'x'), $case->[1], "$case->[0] is $case->[1]");
}
is(depth($says), 0, '... and delivers nothing');
like(request('POST', "$says?28000", 'x')->{head}, qr/^WWW-Authenticate: /m, 'a 401 says what for');
status('POST', "$says?42501", 'x') foreach 1 .. 3;
my $says_now = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'says', workflow_id => 'plain')});
status('POST', "$says_now?42501", 'x') foreach 1 .. 3;
status('POST', "$says_now?reads", 'x') foreach 1 .. 3;
my $logged = slurp_file($log, $log_position);
my $shown = substr token($says), 0, 6;
is(scalar(() = $logged =~ /LOG: .*refused a request: it says 42501/g), 2, 'a reason is logged once for each webhook');
like($logged, qr/refused a request: it says 42501\n.*DETAIL: .*Webhook \Q$shown\E\.\.\. of workflow "plain", validator public\.says: 403\./, '... which is named');
like($logged, qr/WARNING: .*permission denied for table not_yours\n.*DETAIL: .*of workflow "plain", validator public\.says: 503\.\n.*CONTEXT/, 'a broken one likewise');
unlike($logged, qr/\Q${\token($says)}\E/, '... and no token is in the log');

# What a stranger makes a validator say is not logged without end, and leaves
# room for what is wrong with the validator.
sql(q{CREATE FUNCTION repeats(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
	IF request->>'query' = 'reads' THEN
		PERFORM 1 FROM not_yours.nothing;
	END IF;
	RAISE EXCEPTION 'no such thing: %', request->>'query';
END $$});
my $repeats = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'repeats', workflow_id => 'plain')});
status('POST', "$repeats?$_", 'x') foreach 1 .. 20;
is(status('POST', "$repeats?reads", 'x'), 503, 'a validator that is broken after many refusals');
$logged = slurp_file($log, $log_position);
is(scalar(() = $logged =~ /no such thing: /g), 16, '... of which not all are in the log');
like($logged, qr/WARNING: .*permission denied for schema not_yours\n.*validator \S*repeats: 503/, '... which has that');

# The validator itself may not be called any more, or is out of reach
sql(q{CREATE FUNCTION not_yours.gone(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'; GRANT USAGE ON SCHEMA not_yours TO plain});
my $gone = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'not_yours.gone', workflow_id => 'plain')});
is(status('POST', $gone, 'x'), 202, 'a validator in a schema');
sql('REVOKE USAGE ON SCHEMA not_yours FROM plain');
is(status('POST', $gone, 'x'), 503, '... that is out of reach');
sql('GRANT USAGE ON SCHEMA not_yours TO plain; REVOKE EXECUTE ON FUNCTION not_yours.gone(jsonb) FROM PUBLIC');
is(status('POST', $gone, 'x'), 503, '... or may not be called');
like(slurp_file($log, $log_position), qr/permission denied for function gone\n.*validator not_yours\.gone: 503/, '... is in the log');

# It may name the key by which a request is the same again
sql(q{CREATE FUNCTION names_key(request jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT jsonb_set(request, '{headers,idempotency-key}', request->'body'->'id') $$});
my $named = webhook('"manual"', 'names_key');
@sockets = map { dial() } 1 .. 3;
syswrite $_, bytes('POST', $named, '{"id": "evt_1"}', 'Content-Type: application/json') foreach @sockets;
until_true(sub { depth($named) == 1 }, 'it is there');
sql("SELECT wf_respond((wf_await_hook('${\token($named)}')->>'request_id')::bigint, body => 'one')");
is(join(' ', map { response($_)->{body} } @sockets), 'one one one', 'one event, sent three times, is one payload');
is(depth($named), 0, '... and no more');
@sockets = ();
sql(q{CREATE FUNCTION broken(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM nowhere; RETURN $1; END $$});
is(status('POST', webhook(undef, 'broken'), ''), 503, 'a validator that is broken is no refusal');
like(slurp_file($node->logfile), qr/cannot take requests: relation "nowhere" does not exist/, '... and the log says so');
my $dropped = webhook(undef, 'broken');
sql('DROP FUNCTION broken');
is(status('POST', $dropped, ''), 503, '... nor is one that was dropped');
sql(q{ALTER DATABASE postgres SET default_transaction_read_only = on});
sql(q{BEGIN READ WRITE; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ 'durable_wf (validator|gateway)'; COMMIT});
until_true(
	sub {
		status('POST', $signed, '{"n": 1}', 'Content-Type: application/json', "X-Hub-Signature-256: sha256=$signature") == 202;
	},
	'a database that is read-only by default');
sql(q{BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT});
payload($signed);

my $hanging = webhook(undef, 'hang');
@sockets = map { dial() } 1 .. 64;
syswrite $sockets[$_], bytes('POST', $_ == 30 ? $hanging : $hook, $_)
  foreach 0 .. 63;
is( join(' ', map { response($sockets[$_])->{status} } grep { $_ != 30 } 0 .. 63),
	join(' ', (202) x 63), 'others do not wait for a validator that hangs');
is(response($sockets[30])->{status}, 503, '... which is 503 when its time is over');
@sockets = ();

# While one hangs for as long as it likes, all others go on.
sql('ALTER SYSTEM SET durable_wf.validator_timeout = 3600000');
sql('SELECT pg_reload_conf()');
my $stuck = dial();
until_true(
	sub {
		$stuck = dial();
		syswrite $stuck, bytes('POST', $hanging, 'x');
		return !IO::Select->new($stuck)->can_read(1.5);
	},
	'one hangs');
syswrite $stuck, bytes('POST', $hanging, 'pipelined');
is(status('POST', $hook, 'x'), 202, 'one without a validator goes on');
is( status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	202, '... and one with another');
ok(!IO::Select->new($stuck)->can_read(0), '... while that one hangs');
is( sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'durable_wf validator' AND state = 'active'}),
	1, 'its process is ended');
is(response($stuck)->{status}, 503, '... which is a 503');
close $stuck;
sql('ALTER SYSTEM RESET durable_wf.validator_timeout');
sql('SELECT pg_reload_conf()');

# One that does not heed its time limit costs the process that it runs in.
sql(<<'SQL');
CREATE FUNCTION stubborn(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(100);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
END $$;
SQL
my $gateway = gateway();
is(status('POST', webhook(undef, 'stubborn'), ''), 503, 'a stubborn one is 503');
is(gateway(), $gateway, '... and the gateway is still there');
until_true(
	sub {
		status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
			"X-Hub-Signature-256: sha256=$signature") == 202;
	},
	'others are validated again');
pass('others are validated again');

# Whoever has many that hang has not all helpers: another owner's are served,
# and his own others wait.
sql('ALTER SYSTEM SET durable_wf.validator_timeout = 3600000');
sql('SELECT pg_reload_conf()');
my @hangs = map { webhook(undef, 'hang') } 1 .. 5;
my @stuck = map { dial() } @hangs;
until_true(
	sub {
		$_ = dial() foreach @stuck;
		syswrite $stuck[$_], bytes('POST', $hangs[$_], 'x') foreach 0 .. $#hangs;
		return !IO::Select->new(@stuck)->can_read(1.5);
	},
	'they hang');
sql(q{CREATE FUNCTION passes(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'});
my $passes = "$path/" . sql(q{SELECT token FROM wf_create_webhook(validator => 'public.passes', workflow_id => 'plain')});
is(join(' ', map { status('POST', $passes, 'x') } 1 .. 5), '202 202 202 202 202', 'webhooks of another owner are served');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND state = 'active'}), 2, '... while two of his hang');
ok(!IO::Select->new(@stuck)->can_read(0), '... and the others wait');
until_true(
	sub {
		sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND state = 'active'});
		@stuck = grep { !IO::Select->new($_)->can_read(0) } @stuck;
		return !@stuck;
	},
	'they are ended, two by two');
sql('ALTER SYSTEM RESET durable_wf.validator_timeout');
sql('SELECT pg_reload_conf()');

# Many for a slow one do not hold up another.
until_true(
	sub {
		sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator'}) == 0;
	},
	'no validator is there');
sql(q{CREATE FUNCTION slow(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN WHILE NOT pg_try_advisory_xact_lock_shared(5) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN $1; END $$});
sql('ALTER SYSTEM SET durable_wf.validator_timeout = 3600000');
sql('SELECT pg_reload_conf()');
my $slowly = webhook(undef, 'slow');
my $blocker = session();
$blocker->query_safe('SELECT pg_advisory_lock(5)');
until_true(
	sub {
		$stuck = dial();
		syswrite $stuck, bytes('POST', $slowly, 'x');
		return !IO::Select->new($stuck)->can_read(1.5);
	},
	'one is slow');
@sockets = map { dial() } 1 .. 300;
syswrite $_, bytes('POST', $slowly, 'x') foreach @sockets;
is( status('POST', $signed, '{"n": 1}', 'Content-Type: application/json',
		"X-Hub-Signature-256: sha256=$signature"),
	202, 'another does not wait for 300 of a slow one');
ok(!IO::Select->new(@sockets, $stuck)->can_read(0), '... that wait');
$blocker->quit;
is(join(' ', map { response($_)->{status} } @sockets, $stuck), join(' ', ('202') x 301), '... and are answered');
@sockets = ();
sql(q{ALTER SYSTEM RESET durable_wf.validator_timeout});
sql('SELECT pg_reload_conf()');

# A webhook with a validator can be held, too, and keeps the order
my $both = webhook('"manual"', 'check_signature');
$signature = sql(q{SELECT encode(hmac('x', 'secret', 'sha256'), 'hex')});
@sockets = map { dial() } 1 .. 5;
syswrite $_, bytes('POST', $both, 'x', "X-Hub-Signature-256: sha256=$signature")
  foreach @sockets;
until_true(sub { depth($both) == 5 }, 'they are held');
sql("SELECT wf_respond(request_id, 201, body => 'late') FROM durable_wf.request
	WHERE token = '${\token($both)}'");
is(join(' ', map { response($_)->{body} } @sockets),
	join(' ', ('late') x 5), 'with a validator and held');
@sockets = ();
sql('TRUNCATE durable_wf.message');

# ----- clients that misbehave -----

set('http_request_timeout', '300ms');
$socket = dial();
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
my $idle = dial();
syswrite $idle, bytes('GET', '/healthz');
is(response($idle)->{status}, 200, 'one that has had its answer');
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
is(status('POST', $hook, 'x'), 202, 'it survives 2,000 resets');
is(gateway(), $first, '... itself');
sql('TRUNCATE durable_wf.message');

set('http_max_connections', '20');
until_true(
	sub {
		my @many = map { dial() } 1 .. 30;
		my $refused = 0;
		my $select = IO::Select->new(@many);

		$refused++ foreach $select->can_read(0.3);
		return $refused >= 10;
	},
	'the setting is read');
my @many = map { dial() } 1 .. 20;
$answer = response(dial());
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

# as a role that may do nothing else
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
$manual = webhook('"manual"');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'x');
until_true(sub { depth($manual) == 1 }, 'it is there');
sql("SELECT wf_respond(${\payload($manual)->{request_id}}, 201)");
is(response($socket)->{status}, 201, '... for held requests, too');

# ----- out of the way -----

$locker->quit;

$manual = webhook('"manual"');
$socket = dial();
syswrite $socket, bytes('POST', $manual, 'x');
until_true(sub { depth($manual) == 1 }, 'it is held');
my $sent_away = payload($manual)->{request_id};
sql('CREATE DATABASE copy TEMPLATE postgres');
is(response($socket)->{status}, 504, 'who is held does not hold it up');
is(sql("SELECT wf_respond($sent_away)"), 'f', '... and who answers him is told so');
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

# Clients that send numbers and say which of them were taken; a crash in between
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

# Connections that are open, and held, do not hold up a shutdown.
foreach my $mode (qw(smart fast immediate))
{
	$manual = webhook('"manual"');
	my @open = map { dial() } 1 .. 3;
	syswrite $open[0], bytes('POST', $manual, 'x');
	syswrite $open[1], "POST $manual HTTP/1.1\r\nHo";
	until_true(sub { depth($manual) == 1 }, 'it is held');
	my $held = payload($manual)->{request_id};
	$node->stop($mode);
	pass("$mode shutdown with open connections");
	$answer = response($open[0]);
	is($answer->{status}, 504, '... tells who is held that there is no answer')
	  unless $mode eq 'immediate';
	$node->start;
	until_true(sub { status('GET', '/healthz') == 200 }, 'it is back');
	is(sql("SELECT wf_respond($held)"), 'f', '... and who answers it later is told so');
}

# A commit that a standby has to confirm, and there is none: who asks hears
# nothing until it is, and nothing when the server is shut down meanwhile.
my $unconfirmed = webhook();
my $checked = webhook(undef, 'check_signature');
sub no_standby
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

	no_standby('nobody');
	syswrite $open[0], bytes('POST', $checked, 'x', "X-Hub-Signature-256: sha256=$signature");
	poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf validator' AND wait_event = 'SyncRep'});
	syswrite $open[1], bytes('POST', $unconfirmed, 'x');
	poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf gateway' AND wait_event = 'SyncRep'});
	ok(!IO::Select->new(@open)->can_read(0), "$how: no answer before that");
	my %by = (
		'confirmed' => sub { no_standby('') },
		'cancelled' => sub { sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) },
		'ended' => sub { sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) },
		'a shutdown' => sub { $node->stop('fast') });
	$by{$how}->();
	my $expected = $how eq 'confirmed' || $how eq 'cancelled' ? '202 202' : 'none none';
	is(join(' ', map { my $got = response($_); $got ? $got->{status} : 'none' } @open), $expected, "$how: the answers");
	$node->start if $how eq 'a shutdown';
	no_standby('');
	health_is(200, "$how: and on");
}
is(depth($_), 4, 'each has been taken once') foreach $checked, $unconfirmed;

$copy->stop;
$node->stop;
done_testing();
