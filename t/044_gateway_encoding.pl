# The gateway of a database that is not UTF8: what comes is converted, and what
# goes out is UTF-8.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll until_true);
use Encode qw(decode);
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
plan skip_all => 'built without the gateway'
  unless glob "$libdir/durable_wf_gateway.*";

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $path = '/.well-known/workflow/v1/webhook';
my $node = start_node('main', {
	max_worker_processes => 16,
	'durable_wf.http_port' => $port,
	'durable_wf.http_database' => 'latin1' });
sql(q{CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});

# Run SQL in that database, in UTF-8; what it prints is characters.
sub latin1
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	return decode('UTF-8', $node->safe_psql('latin1', $_[0]));
}

# Send a request; returns status, headers and body, as bytes.
sub request
{
	my ($target, $body, @headers) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp')
	  or return (0, '', '');
	my $text = '';

	syswrite $socket, join("\r\n", "POST $target HTTP/1.1", 'Host: x', 'Connection: close',
		'Content-Length: ' . length $body, @headers, '', $body);
	1 while sysread $socket, $text, 65536, length $text;
	return $text =~ m{\AHTTP/1\.1 (\d+)[^\r\n]*\r\n(.*?)\r\n\r\n(.*)\z}s;
}

sub webhook
{
	return "$path/" . latin1("SELECT token FROM wf_create_webhook($_[0])");
}

# The next payload of a webhook
sub payload
{
	my ($token) = $_[0] =~ m{/([^/]*)\z};

	return JSON::PP->new->allow_nonref->decode(latin1("SELECT wf_await_hook('$token', '0')"));
}

latin1(q{CREATE EXTENSION durable_wf; SELECT wf_start('w'); ALTER DATABASE latin1 SET durable_wf.workflow_id = 'w'});
until_true(sub { (request('/healthz', ''))[0] != 0 && (request("$path/none", ''))[0] == 404 }, 'the gateway is there');

my $hook = webhook('');
foreach my $case (
	[ 'application/json', "{\"a\": \"\xc3\xa9\"}", { a => "\x{e9}" } ],
	[ 'application/json', "\xef\xbb\xbf{\"a\": \"\xc3\xa9\"}", { a => "\x{e9}" } ],
	[ 'application/json', '{"a": "\u00e9"}', { a => "\x{e9}" } ],
	[ 'application/json', "{\"a\": \"\xe2\x82\xac\"}", undef, qr/encoding "LATIN1" lacks/ ],
	[ 'application/json', "{\"a\": \"\xe9\"}", undef, qr/not valid UTF-8/ ],
	[ 'application/json', '{"a": "\u20ac"}', '{"a": "\u20ac"}', qr/no equivalent/ ],
	[ 'text/plain', "\xc3\xa9", "\x{e9}" ],
	[ 'text/plain', "\xe9", undef ],
	[ 'text/plain; charset=windows-1252', "\xe9", "\x{e9}" ],
	[ 'text/plain', "\xe2\x82\xac", undef, qr/encoding "LATIN1" lacks/ ])
{
	my ($type, $body, $want, $error) = @$case;
	my $got;

	is((request($hook, $body, "Content-Type: $type"))[0], 202, "a body of type $type");
	$got = payload($hook);
	is_deeply($got->{body}, $want, '... is what it says');
	ok($error ? $got->{body_error} =~ $error : !exists $got->{body_error}, '... and if not, why');
	is(decode_base64($got->{body_base64}), $body, '... and exact');
}

# Headers, too; what cannot be converted is marked
request($hook, '', "X-Utf8: \xc3\xa9", "X-Latin: \xe9", "X-Euro: a\xe2\x82\xac");
is_deeply([ @{ payload($hook)->{headers} }{qw(x-utf8 x-latin x-euro)} ], [ "\x{e9}", "\x{e9}", 'a???' ], 'headers');
# and the rest is ASCII
request("$hook?\xc3\xa9", '');
is(payload($hook)->{query}, '%C3%A9', 'a query');

# What is answered is UTF-8, whoever answers
my ($status, $head, $body) = request(webhook(q{'{"headers": {"X-A": "é"}, "body": "é"}'}), '');
is($body, "\xc3\xa9", 'a fixed answer');
like($head, qr/^X-A: \xc3\xa9\r?$/m, '... its headers');
like($head, qr/^Content-Length: 2\r?$/mi, '... its length');
($status, $head, $body) = request(webhook(q{'{"body": {"é": ["é"]}}'}), '');
is($body, "{\"\xc3\xa9\": [\"\xc3\xa9\"]}", '... that is JSON');
latin1(q{CREATE FUNCTION passes(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'});
my $checked = webhook(q{'{"body": "é"}', validator => 'passes'});
($status, $head, $body) = request($checked, "{\"a\": \"\xc3\xa9\"}", 'Content-Type: application/json');
is($body, "\xc3\xa9", '... of one with a validator');
is_deeply(payload($checked)->{body}, { a => "\x{e9}" }, '... which has seen what came');
latin1(q{CREATE PROCEDURE answers(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hook wf_webhook; p jsonb;
BEGIN
	hook := wf_create_webhook('"manual"');
	PERFORM wf_set_event('token', to_jsonb(hook.token));
	CALL wf_await_hook(hook.token, NULL, p);
	PERFORM wf_respond((p->>'request_id')::bigint, 200, '{"X-A": "é"}', p->>'body' || 'é');
END $$;
SELECT wf_start('answers', 'answers')});
($status, $head, $body) = request("$path/" . latin1(q{SELECT wf_get_event('answers', 'token')->>0}), "\xc3\xa9");
is($body, "\xc3\xa9\xc3\xa9", 'an answer of wf_respond()');
like($head, qr/^X-A: \xc3\xa9\r?$/m, '... and its headers');

$node->stop;
done_testing();
