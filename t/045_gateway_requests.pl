# The HTTP gateway's requests: what becomes of them in a mailbox, which targets
# and methods there are, which bytes are refused, and more than one request on
# a connection.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql set poll until_true);
use DurableWf::Gateway qw($port $path start_gateway until_healthy dial bytes
  response request status raw webhook workflow token payload depth);
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_gateway();

sql('CREATE EXTENSION durable_wf');
until_healthy();
my $hook = webhook();

# ----- what a workflow gets -----

my $answer = request(
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

# Bodies that are what their type says, are text instead, or are neither
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

# body_error says why a body is not the JSON that its type promises; a byte
# order mark is no reason.
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

# A content coding is refused, not decoded.
$answer = request('POST', $hook, 'x', 'Content-Encoding: gzip');
is($answer->{status}, 415, 'a content coding is 415');
like($answer->{head}, qr/^Accept-Encoding: identity\r?$/m, '... and told what is taken');
is(status('POST', $hook, 'x', 'Content-Encoding: identity, br'), 415, '... also one of two');
is(depth($hook), 0, '... and nothing is delivered');
is(status('POST', $hook, 'x', 'Content-Encoding: Identity'), 202, 'none is taken');
payload($hook);

# The gateway calls the server's own function, though another one fits better.
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

sql("SELECT wf_create_hook('plain', workflow_id => '${\workflow($hook)}')");
is(status('POST', "$path/plain", ''), 404, 'a hook that is no webhook');
my $gone = webhook();
sql("SELECT wf_dispose_hook('${\token($gone)}')");
is(status('POST', $gone, ''), 404, 'a webhook that was disposed of');
$gone = webhook();
sql("SELECT wf_cancel('${\workflow($gone)}')");
is(status('POST', $gone, ''), 404, 'a webhook of an ended workflow');

# ----- bytes that are no good request -----

is(raw("nonsense\r\n\r\n"), '400', 'nonsense');
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

	# the bytes after the header are not taken for another request
	is(raw("POST $hook HTTP/1.1\r\nHost: x\r\n$header\r\n\r\nGET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"),
		'400', "$name: 400, and closed");
}
is(raw("POST $hook HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n Content-Length: 38\r\n\r\nGET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"),
	'400', 'a folded line');
is(raw('GET /' . 'x' x 40000 . " HTTP/1.1\r\nHost: x\r\n\r\n"),
	'414', 'too long a target');
is(depth($hook), 0, 'nothing of it arrived');

set('http_max_body', '1000');
until_true(sub { status('POST', $hook, 'x' x 1001) == 413 }, '413');
is(status('POST', $hook, 'x' x 1000), 202, 'a body as long as allowed');
is( raw("POST $hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		  . "3e8\r\n" . 'x' x 1000 . "\r\n1\r\ny\r\n0\r\n\r\n", 1),
	'413', 'chunks that are too long together');
set('http_max_body');
until_true(sub { status('POST', $hook, 'x' x 2000) == 202 }, 'reset');
sql('TRUNCATE durable_wf.message');

# ----- more than one on a connection -----

is( raw("POST $hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		  . "3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n", 1),
	'202', 'chunks');
is(payload($hook)->{body}, 'abcde', '... put together');
is(raw("POST $hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nde\r\n0\r\n\r\n", 1),
	'202', 'chunks with extensions');
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

# Requests by curl and wrk
my $curl = `curl -s -o /dev/null -w '%{http_code}' --data-binary 'from curl' http://127.0.0.1:$port$hook`;
is($curl, '202', 'curl');
is(payload($hook)->{body}, 'from curl', '... is understood');

# Let wrk POST for some seconds; returns what it prints.
sub wrk
{
	my ($connections, $seconds, $target) = @_;
	my $script = "$PostgreSQL::Test::Utils::tmp_check/post.lua";

	append_to_file($script,
		"wrk.method = 'POST'; wrk.body = '{\"a\": 1}'\n")
	  unless -e $script;
	return scalar
	  `wrk -t1 -c$connections -d${seconds}s --timeout 120s -s $script http://127.0.0.1:$port$target 2>&1`;
}
my $output = wrk(64, 1, $hook);
my ($done) = $output =~ /(\d+) requests in/;
unlike($output, qr/Non-2xx|Socket errors/, 'wrk sees no error');
cmp_ok(depth($hook), '>=', $done, 'each 202 is a row');
poll("SELECT n_tup_ins >= $done FROM pg_stat_all_tables
	WHERE relid = 'durable_wf.message'::regclass");
pass('... that autovacuum hears of');
sql('TRUNCATE durable_wf.message');

$node->stop;
done_testing();
