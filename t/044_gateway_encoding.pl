# The gateway of a database that is not UTF8: requests are converted to its
# encoding, and responses are UTF-8.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql until_true);
use DurableWf::Gateway qw($path start_gateway request status token);
use Encode qw(decode);
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Test::More;

my $node = start_gateway({ 'durable_wf.http_database' => 'latin1' });
sql(q{CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});

# Run SQL in that database, in UTF-8; what it prints is characters.
sub latin1
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	return decode('UTF-8', $node->safe_psql('latin1', $_[0]));
}

# Make a webhook with these arguments, and return its target.
sub webhook
{
	return "$path/" . latin1("SELECT token FROM wf_create_webhook($_[0])");
}

# Take the next payload of a webhook.
sub payload
{
	return JSON::PP->new->allow_nonref->decode(
		latin1("SELECT wf_await_hook('${\token($_[0])}', '0')"));
}

latin1(q{CREATE EXTENSION durable_wf; SELECT wf_start('w'); ALTER DATABASE latin1 SET durable_wf.workflow_id = 'w'});
until_true(sub { status('POST', "$path/none", '') == 404 }, 'the gateway serves');

my $hook = webhook('');
foreach my $case (
	[ 'application/json', "{\"a\": \"\xc3\xa9\"}", { a => "\x{e9}" } ],
	[ 'application/json', "\xef\xbb\xbf{\"a\": \"\xc3\xa9\"}", { a => "\x{e9}" } ],
	[ 'application/json', '{"a": "\u00e9"}', { a => "\x{e9}" } ],
	[ 'application/json', "{\"a\": \"\xe2\x82\xac\"}", undef, qr/encoding "LATIN1" lacks/ ],
	[ 'application/json', "{\"a\": \"\xe9\"}", undef, qr/not valid UTF-8/ ],
	[ 'application/json', '{"a": "\u20ac"}', '{"a": "\u20ac"}', qr/no equivalent|could not be translated/ ],
	[ 'text/plain', "\xc3\xa9", "\x{e9}" ],
	[ 'text/plain', "\xe9", undef ],
	[ 'text/plain; charset=windows-1252', "\xe9", "\x{e9}" ],
	[ 'text/plain', "\xe2\x82\xac", undef, qr/encoding "LATIN1" lacks/ ])
{
	my ($type, $body, $want, $error) = @$case;
	my $got;

	is(status('POST', $hook, $body, "Content-Type: $type"), 202, "a body of type $type");
	$got = payload($hook);
	is_deeply($got->{body}, $want, '... is what it says');
	ok($error ? $got->{body_error} =~ $error : !exists $got->{body_error}, '... and if not, why');
	is(decode_base64($got->{body_base64}), $body, '... and exact');
}

# Headers, too; what cannot be converted is marked
request('POST', $hook, '', "X-Utf8: \xc3\xa9", "X-Latin: \xe9", "X-Euro: a\xe2\x82\xac");
is_deeply([ @{ payload($hook)->{headers} }{qw(x-utf8 x-latin x-euro)} ], [ "\x{e9}", "\x{e9}", 'a???' ], 'headers');
# and the rest is ASCII
request('POST', "$hook?\xc3\xa9", '');
is(payload($hook)->{query}, '%C3%A9', 'a query');

# Each kind of response is UTF-8.
my $answer = request('POST', webhook(q{'{"headers": {"X-A": "é"}, "body": "é"}'}), '');
is($answer->{body}, "\xc3\xa9", 'a fixed answer');
like($answer->{head}, qr/^X-A: \xc3\xa9\r?$/m, '... its headers');
like($answer->{head}, qr/^Content-Length: 2\r?$/mi, '... its length');
$answer = request('POST', webhook(q{'{"body": {"é": ["é"]}}'}), '');
is($answer->{body}, "{\"\xc3\xa9\": [\"\xc3\xa9\"]}", '... that is JSON');
latin1(q{CREATE FUNCTION passes(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'});
my $checked = webhook(q{'{"body": "é"}', validator => 'passes'});
$answer = request('POST', $checked, "{\"a\": \"\xc3\xa9\"}", 'Content-Type: application/json');
is($answer->{body}, "\xc3\xa9", '... of one with a validator');
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
$answer = request('POST', "$path/" . latin1(q{SELECT wf_get_event('answers', 'token')->>0}), "\xc3\xa9");
is($answer->{body}, "\xc3\xa9\xc3\xa9", 'an answer of wf_respond()');
like($answer->{head}, qr/^X-A: \xc3\xa9\r?$/m, '... and its headers');

$node->stop;
done_testing();
