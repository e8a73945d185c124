# The HTTP gateway's framing: where a request ends, for it and for the proxy
# before it.  What RFC 9110 and 9112 call malformed is refused, and the
# connection ends; what they allow is taken, however its bytes are cut.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql set until_true);
use DurableWf::Gateway qw($path $port start_gateway until_healthy dial bytes response
  request status raw webhook token payload depth);
use Test::More;
use Time::HiRes qw(usleep);

my $node = start_gateway();

sql('CREATE EXTENSION durable_wf');
until_healthy();
my $hook = webhook();
my $other = webhook();
my $line = "POST $hook HTTP/1.1\r\n";
my $head = "${line}Host: test\r\n";

# What follows a request: a whole one, to the other webhook.  It never counts
# for a request, where the one before it is malformed.
my $next = "POST $other HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";

# ----- refused, and closed -----

foreach my $bad (
	# the request line
	[ 'no version', "POST $hook\r\nHost: x\r\n\r\n" ],
	[ 'a word too much', "POST $hook x HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'two spaces before the target', "POST  $hook HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'two spaces behind the target', "POST $hook  HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a tab behind the method', "POST\t$hook HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a tab in the target', "POST $hook?\ta HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a blank at the end of the line', "POST $hook HTTP/1.1 \r\nHost: x\r\n\r\n" ],
	[ 'a blank at its beginning', " POST $hook HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a method that is none', "PO(ST $hook HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'no method', " $hook HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'no target', "POST HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'an empty target', "POST  HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a target without a slash', "POST x HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a fragment', "POST $hook#a HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'POST *', "POST * HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a small http', "POST $hook http/1.1\r\nHost: x\r\n\r\n" ],
	[ 'HTTP/1', "POST $hook HTTP/1\r\nHost: x\r\n\r\n" ],
	[ 'HTTP/1.10', "POST $hook HTTP/1.10\r\nHost: x\r\n\r\n" ],
	[ 'HTTP/+1.1', "POST $hook HTTP/+1.1\r\nHost: x\r\n\r\n" ],
	[ 'a NUL in the target', "POST $hook?\0 HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a control character in it', "POST $hook?\x7f HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'TLS', "\x16\x03\x01\x02\x00\x01\x00" ],
	# ends of lines
	[ 'LF behind the request line', "POST $hook HTTP/1.1\nHost: x\r\n\r\n" ],
	[ 'LF behind a header', "${head}X: y\n\r\n" ],
	[ 'LF behind the headers', "${head}X: y\r\n\n" ],
	[ 'a CR in a header', "${head}X: a\rb\r\n\r\n" ],
	[ 'two CR', "${head}X: y\r\r\n\r\n" ],
	[ 'a CR in the request line', "POST $hook\r HTTP/1.1\r\nHost: x\r\n\r\n" ],
	# headers
	[ 'no name', "${head}: y\r\n\r\n" ],
	[ 'no colon', "${head}X\r\n\r\n" ],
	[ 'a space before the colon', "${head}X : y\r\n\r\n" ],
	[ 'a tab before the colon', "${head}X\t: y\r\n\r\n" ],
	[ 'a space in a name', "${head}X Y: z\r\n\r\n" ],
	[ 'a name that is no token', "${head}X(Y: z\r\n\r\n" ],
	[ 'a name that is no ASCII', "${head}X\xe9: z\r\n\r\n" ],
	[ 'a NUL in a name', "${head}X\0: z\r\n\r\n" ],
	[ 'a NUL in a value', "${head}X: a\0b\r\n\r\n" ],
	[ 'a line that is folded', "${head}X: a\r\n b\r\n\r\n" ],
	[ 'one that is folded with a tab', "${head}X: a\r\n\tb\r\n\r\n" ],
	[ 'one that is folded, the first', "$line X: a\r\nHost: x\r\n\r\n" ],
	[ 'one that is folded, and empty', "${head}X: a\r\n \r\n\r\n" ],
	[ 'no Host', "$line\r\n" ],
	[ 'two hosts', "${head}Host: test\r\n\r\n" ],
	[ 'a Host that is none', "${line}Host: a b\r\n\r\n" ],
	[ 'a Host with a path', "${line}Host: a/b\r\n\r\n" ],
	[ 'two Hosts in one', "${line}Host: a\@b\r\n\r\n" ],
	# lengths
	[ 'two lengths that are alike', "${head}Content-Length: 0\r\nContent-Length: 0\r\n\r\n" ],
	[ 'two lengths in one', "${head}Content-Length: 0, 0\r\n\r\n" ],
	[ 'no length', "${head}Content-Length:\r\n\r\n" ],
	[ 'a length with a sign', "${head}Content-Length: +0\r\n\r\n" ],
	[ 'a length in hexadecimal', "${head}Content-Length: 0x0\r\n\r\n" ],
	[ 'a length with a space', "${head}Content-Length: 0 0\r\n\r\n" ],
	[ 'a length with a NUL', "${head}Content-Length: 0\0000\r\n\r\n" ],
	[ 'a length with a point', "${head}Content-Length: 0.0\r\n\r\n" ],
	[ 'a length too large to count', "${head}Content-Length: 18446744073709551616\r\n\r\n" ],
	# encodings
	[ 'a length, and chunks', "${head}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ],
	[ 'chunks, and a length', "${head}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" ],
	[ 'chunks twice', "${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ],
	[ 'chunks twice in one', "${head}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" ],
	[ 'chunks, not last', "${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" ],
	[ 'identity', "${head}Transfer-Encoding: identity\r\n\r\n" ],
	[ 'gzip', "${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" ],
	[ 'an encoding that is empty', "${head}Transfer-Encoding:\r\n\r\n" ],
	[ 'an encoding in quotes', "${head}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" ],
	[ 'an encoding with a parameter', "${head}Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" ],
	[ 'chunks in HTTP/1.0', "POST $hook HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ])
{
	my ($name, $bytes) = @$bad;

	is(raw($bytes . $next), '400', $name);
}

# in chunks
my $chunked = "${head}Transfer-Encoding: chunked\r\n\r\n";
foreach my $bad (
	[ 'no size', "\r\n0\r\n\r\n" ],
	[ 'a size that is none', "g\r\n0\r\n\r\n" ],
	[ 'a size with 0x', "0x1\r\na\r\n0\r\n\r\n" ],
	[ 'a size with a sign', "+1\r\na\r\n0\r\n\r\n" ],
	[ 'a negative size', "-1\r\na\r\n0\r\n\r\n" ],
	[ 'a blank before the size', " 1\r\na\r\n0\r\n\r\n" ],
	[ 'a blank behind it', "1 \r\na\r\n0\r\n\r\n" ],
	[ 'a size too large to count', '1' . '0' x 16 . "\r\na\r\n0\r\n\r\n" ],
	[ 'LF behind the size', "1\na\r\n0\r\n\r\n" ],
	[ 'LF in an extension', "1;a\n\r\na\r\n0\r\n\r\n" ],
	[ 'CR in an extension', "1;a\rb\r\na\r\n0\r\n\r\n" ],
	[ 'an extension without a name', "1;\r\na\r\n0\r\n\r\n" ],
	[ 'an extension without a value', "1;a=\r\na\r\n0\r\n\r\n" ],
	[ 'an extension with an open quote', "1;a=\"b\r\na\r\n0\r\n\r\n" ],
	[ 'too long an extension', '1;' . 'a' x 2000 . "\r\na\r\n0\r\n\r\n" ],
	[ 'too many of them', "1;aaaaaaaaa\r\na\r\n" x 2000 . "0\r\n\r\n" ],
	[ 'data longer than the size', "1\r\nab\r\n0\r\n\r\n" ],
	[ 'data shorter than the size', "2\r\na\r\n0\r\n\r\n" ],
	[ 'LF behind the data', "1\r\na\n0\r\n\r\n" ],
	[ 'a trailer that is none', "0\r\nx\r\n\r\n" ],
	[ 'a trailer that is folded', "0\r\nX: a\r\n b\r\n\r\n" ],
	[ 'LF behind a trailer', "0\r\nX: a\n\r\n" ],
	[ 'LF behind the trailers', "0\r\nX: a\r\n\n" ])
{
	my ($name, $bytes) = @$bad;

	is(raw($chunked . $bytes . $next), '400', "chunks: $name");
}
is(raw("${chunked}0\r\nX: " . 'x' x 40000 . "\r\n\r\n"), '431', 'chunks: too long a trailer');

# other versions
is(raw("POST $hook HTTP/$_\r\nHost: x\r\n\r\n$next"), '505', "HTTP/$_") foreach '0.9', '2.0', '3.1';

is(depth($hook), 0, 'nothing of all that has arrived');
is(depth($other), 0, '... and nothing that was hidden in it');

# ----- taken -----

foreach my $good (
	[ 'empty lines before it', "\r\n\r\n${head}Content-Length: 1\r\n\r\na", 'a' ],
	[ 'blanks around a length', "${head}Content-Length: \t 1 \t\r\n\r\na", 'a' ],
	[ 'no blank before a length', "${head}Content-Length:1\r\n\r\na", 'a' ],
	[ 'zeros before a length', "${head}Content-Length: 0001\r\n\r\na", 'a' ],
	[ 'capitals', "${head}CONTENT-LENGTH: 1\r\n\r\na", 'a' ],
	[ 'an empty Host', "${line}Host:\r\n\r\n", '' ],
	[ 'a Host of IPv6', "${line}Host: [::1]:80\r\n\r\n", '' ],
	[ 'chunks', "${chunked}1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", 'abc' ],
	[ 'chunks, in capitals', "${head}Transfer-Encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n00\r\n\r\n", '0123456789' ],
	[ 'extensions', "${chunked}1;a\r\na\r\n2 ; a = b;c=\"d;\\\"\t\"\r\nbc\r\n0;e\r\n\r\n", 'abc' ],
	[ 'trailers', "${chunked}1\r\na\r\n0\r\nX: y\r\nX-Two:\r\n\r\n", 'a' ],
	[ 'no body in chunks', "${chunked}0\r\n\r\n", '' ],
	[ 'an upgrade that is not taken', "${head}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na", 'a' ],
	[ 'HTTP/1.2', "POST $hook HTTP/1.2\r\nHost: x\r\n\r\n", '' ])
{
	my ($name, $bytes, $body) = @$good;

	is(raw($bytes . $next, 2), '202 202', $name);
	is(payload($hook)->{body}, $body, '... its body');
}
is(depth($other), 14, '... and each next request');
payload($other) foreach 1 .. 14;
is(raw("POST $hook HTTP/1.0\r\n\r\n$next"), '202', 'HTTP/1.0, without Host; closed');
is(raw("POST $hook HTTP/1.0\r\nConnection: keep-alive\r\n\r\n$next", 2), '202 202', '... or kept');
is(raw("${head}Connection: x, close\r\n\r\n$next"), '202', 'close, among others');
payload($hook) foreach 1 .. 3;
payload($other);
request('POST', $hook, '', 'X-Tail: a ', 'X-Inside: a  b', 'X-Empty:', "X-Byte: \x80");
my $headers = payload($hook)->{headers};
is($headers->{'x-tail'}, 'a', 'a blank behind a value belongs to none');
is($headers->{'x-inside'}, 'a  b', 'blanks inside do');
is($headers->{'x-empty'}, '', 'an empty value');
is($headers->{'x-byte'}, "\x{80}", 'a byte that is no ASCII');
is(raw("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 1), '404', 'CONNECT');
is(raw("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1), '404', 'OPTIONS *');
is(raw("post $hook HTTP/1.1\r\nHost: a\r\n\r\n", 1), '405', 'a method in small letters');

# However the bytes are cut: each byte alone
{
	my $socket = dial();
	my $bytes = "\r\n${head}X: y\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n" . $next;

	foreach my $byte (split //, $bytes)
	{
		syswrite $socket, $byte;
		usleep(200);
	}
	is(response($socket)->{status}, 202, 'byte by byte');
	is(response($socket)->{status}, 202, '... and the next one');
	is(payload($hook)->{body}, 'abcde', '... is as it was sent');
	payload($other);
}

# ----- within the limits each request has a status -----

is(status('POST', $hook . '?' . join('&', ('a=1') x 7000), 'x'), 202, '7,000 parameters');
is(length payload($hook)->{query}, 7000 * 4 - 1, '... are all there');
is(status('POST', $hook, 'x', 'Cookie: ' . join('; ', map { "c$_=1" } 1 .. 3000)), 202, '3,000 cookies');
payload($hook);
is(status('POST', $hook, 'x', map { "X-$_: y" } 1 .. 2000), 202, '2,000 headers');
is(scalar(grep { /^x-\d/ } keys %{ payload($hook)->{headers} }), 2000, '... are all there');
my $big = webhook('{"headers": {"X-Big": "' . 'b' x 8000 . '"}, "body": "ok"}');
my $answer = request('POST', $big, 'x', 'X-Pad: ' . 'p' x 32000);
is($answer->{status}, 200, '32 kB of headers, 8 kB in the answer');
is($answer->{body}, 'ok', '... whole');
is(depth($big), 1, '... and once');
is(status('POST', $hook, 'x', 'X-Pad: ' . 'p' x 33000), 431, 'more than 32 kB');

# A client that sends all of a body before it reads sees the 413.
$answer = request('POST', $hook, 'x' x 20_000_000);
is($answer->{status}, 413, '413 after 20 MB');
like($answer->{head}, qr/^Connection: close\r?$/mi, '... which ends the connection');
is(raw("${chunked}1000000\r\n" . 'x' x 16777216 . "\r\n0\r\n\r\n$next"), '413', '... in chunks');
is(raw("${head}Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"), '413', '... or at once, to one that asks before');
is(depth($hook), 0, '... and nothing of them arrives');
is(depth($other), 0, '... nor what follows');

# ----- generated -----

# Some of the requests of ./run test-http, by the rules alone.
{
	my $generated = webhook();
	local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, 'postgres');
	my $seed = int rand 1e6;
	my $said = `python3 -B $FindBin::RealBin/http/compare.py $seed 2000 $generated $port 2>&1`;

	like($said, qr/^as it should be$/m, "2,000 generated requests, seed $seed") or diag $said;
}

# ----- large bodies -----

# They are parsed and written by helpers, if there is a webhook for them.
my $json = '[' . join(',', (1) x 100_000) . ']';
is(status('POST', "$path/none", $json, 'Content-Type: application/json'), 404, 'a stranger with a large body');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator'}), 0, '... costs no helper');
is(raw("POST $path/none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), '404', '... nor a body in chunks');
is(raw("POST $path/none HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"), '404', '... that he asks about');
is(status('POST', $hook, $json, 'Content-Type: application/json', 'X-Large: yes'), 202, 'a large body');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable_wf validator'}), 1, '... has a helper');
my $got = payload($hook);
is(scalar @{ $got->{body} }, 100_000, '... arrives as JSON');
is($got->{headers}{'x-large'}, 'yes', '... with its headers');
my $socket = dial();
syswrite $socket, bytes('POST', $hook, undef, 'Expect: 100-continue', 'Content-Length: 100000');
is(response($socket)->{status}, 100, 'a client that asks is told to go on');
syswrite $socket, 'x' x 100_000;
is(response($socket)->{status}, 202, '... with a large body');
is(length payload($hook)->{body}, 100_000, '... which arrives');
is(raw($chunked . "ffff\r\n" . 'x' x 0xffff . "\r\n1\r\ny\r\n0\r\n\r\n" . $next, 2), '202 202', 'a large body in chunks');
is(length payload($hook)->{body}, 0x10000, '... and the request after it');
payload($other);
is(status('POST', $hook, $json, 'Idempotency-Key: large'), 202, 'with a key') foreach 1 .. 2;
is(status('POST', $hook, $json, 'Idempotency-Key: ' . 'k' x 600), 400, '... that is too long');
is(depth($hook), 1, '... is one payload');
payload($hook);
my $manual = webhook('"manual"');
$socket = dial();
syswrite $socket, bytes('POST', $manual, $json);
until_true(sub { depth($manual) == 1 }, 'it is held');
sql("SELECT wf_respond(${\payload($manual)->{request_id}}, 201)");
is(response($socket)->{status}, 201, 'a large body whose answer is the workflow\'s');
sql(q{CREATE FUNCTION checks(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF length($1->>'body') < 200000 THEN RAISE SQLSTATE 'PT406'; END IF;
	RETURN $1;
END $$});
my $checked = webhook(undef, 'checks');
is(status('POST', $checked, 'x' x 200_000), 202, 'a large body that a validator takes');
is(status('POST', $checked, 'x' x 199_999), 406, '... or does not');
sql("SELECT wf_dispose_hook('${\token($checked)}')");
is(status('POST', $checked, 'x' x 200_000), 404, '... or that nobody takes any more');
is(status('POST', $hook, 'small'), 202, 'small ones are taken as ever');

$node->stop;
done_testing();
