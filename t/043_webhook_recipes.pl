# The validators of docs/webhooks.md, with requests as their senders make them:
# each lets in what is signed, once, and nothing else, and is closed when
# the secret or the signature is missing.

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256_hex hmac_sha256_base64 hmac_sha1_base64);
use File::Basename qw(dirname);
use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(sql until_true);
use DurableWf::Gateway qw($path start_gateway request status);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $base = 'https://hooks.example.com';
my $node = start_gateway({ 'durable_wf.http_base_url' => $base });

# An example of the docs: from "CREATE ... name(" to the end of its body.
my $docs = slurp_file(dirname(dirname(abs_path(__FILE__))) . '/docs/webhooks.md');

sub example
{
	my ($what) = @_;

	$docs =~ /^(CREATE \Q$what\E\(.*?^(?:END )?\$\$;)$/ms
	  or die "docs/webhooks.md has no $what";
	return $1;
}

# POST a body with headers to a target; returns status and body.
sub post
{
	my ($to, $body, %headers) = @_;
	my $answer = request('POST', $to, $body,
		map { "$_: $headers{$_}" } sort keys %headers);

	return ($answer->{status}, $answer->{body});
}

my ($target, $token);

# Make a webhook with a validator, and return its target.
sub webhook
{
	my ($validator) = @_;

	$token = sql("SELECT token FROM wf_create_webhook(validator => '$validator', workflow_id => 'w')");
	return $target = "$path/$token";
}

# How many payloads the last webhook has.
sub depth
{
	return sql("SELECT coalesce(sum(depth), 0) FROM wf_mailbox WHERE key = '$token'");
}

sql('CREATE EXTENSION durable_wf; CREATE EXTENSION pgcrypto');
sql($docs =~ /^(CREATE TABLE webhook_secret .*)$/m ? $1 : die 'no table in docs/webhooks.md');
sql(example("FUNCTION check_$_")) foreach qw(github stripe slack twilio shopify);
sql(q{SELECT wf_start('w')});
until_true(sub { status('POST', "$path/none", '') == 404 }, 'the gateway serves');

my $secret = 'It\'s \134 \303\251 secret';
my $now = time;
my $json = '{"id": "evt_1",  "b": 1, "a": "\u00e9"}';
my $form = 'To=%2B1500&From=%2B1+5&Body=a%26b+%C3%A9&AccountSid=AC1&B=x';

# For each sender: the content type, a body, and the headers that it sends with
# a secret; the header with the signature; what a refusal is; headers of another
# delivery of the same event.
my %senders = (
	github => {
		type => 'application/json', body => $json, signature => 'X-Hub-Signature-256',
		sign => sub { ('X-Hub-Signature-256' => 'sha256=' . hmac_sha256_hex($_[1], $_[0]), 'X-GitHub-Delivery' => 'd-1') } },
	stripe => {
		type => 'application/json', body => $json, signature => 'Stripe-Signature',
		sign => sub {
			my $at = $_[2] // $now;

			return ('Stripe-Signature' => "t=$at,v0=1,v1=" . '0' x 64 . ',v1=' . hmac_sha256_hex("$at.$_[1]", $_[0]));
		} },
	slack => {
		type => 'application/json', body => '{"type": "event_callback", "event_id": "Ev1"}', signature => 'X-Slack-Signature',
		sign => sub {
			my $at = $_[2] // $now;

			return ('X-Slack-Request-Timestamp' => $at, 'X-Slack-Signature' => 'v0=' . hmac_sha256_hex("v0:$at:$_[1]", $_[0]));
		} },
	twilio => {
		type => 'application/x-www-form-urlencoded; charset=UTF-8', body => $form, signature => 'X-Twilio-Signature',
		query => '?x=1&y=%20',
		sign => sub {
			my $fields = "AccountSidAC1BxBodya&b \303\251From+1 5To+1500";
			my $signed = "$base$target?x=1&y=%20" . ($_[1] eq $form ? $fields : "$fields+");

			return ('X-Twilio-Signature' => hmac_sha1_base64($signed, $_[0]) . '=', 'I-Twilio-Idempotency-Token' => 'i-1');
		} },
	shopify => {
		type => 'application/json', body => $json, signature => 'X-Shopify-Hmac-Sha256', refusal => 401,
		sign => sub { ('X-Shopify-Hmac-Sha256' => hmac_sha256_base64($_[1], $_[0]) . '=', 'X-Shopify-Webhook-Id' => 'w-1') } });

foreach my $name (sort keys %senders)
{
	my $sender = $senders{$name};
	my $refusal = $sender->{refusal} // 403;
	my $body = $sender->{body};
	my ($status, %headers, $signature);

	webhook("check_$name");
	my $url = $target . ($sender->{query} // '');
	my $send = sub {
		my ($sent, %more) = @_;

		return (post($url, $sent, 'Content-Type' => $sender->{type}, %more))[0];
	};

	%headers = $sender->{sign}->($secret, $body);
	$signature = $headers{ $sender->{signature} };

	# without a secret no request is let in, not even one that is signed with an
	# empty secret, and the sender is asked to try again
	is($send->($body, %headers), 503, "$name: without a secret");
	is($send->($body, $sender->{sign}->('', $body)), 503, '... nor with an empty one');
	is($send->($body, $sender->{signature} => 'sha256=0'), 503, '... nor forged');
	is($send->($body), 503, '... nor without a signature');
	is(depth(), 0, '... and nothing is delivered');
	sql("INSERT INTO webhook_secret VALUES ('$name', \$x\$$secret\$x\$)");

	# a wrong one
	is($send->($body), $refusal, "$name: without a signature");
	is($send->("$body ", %headers), $refusal, '... of another body');
	is($send->($body, $sender->{sign}->('another', $body)), $refusal, '... of another secret');
	is($send->($body, %headers, $sender->{signature} => $_), $refusal, "... that is $_")
	  foreach '\\', '\\x', '\\000', "\303", '=', 't=1', 'v1=', substr($signature, 0, -1), "$signature\\", uc $signature;
	is(depth(), 0, '... and nothing is delivered');

	# the right one, three times
	is($send->($body, %headers), 202, "$name: the right signature") foreach 1 .. 3;
	is(depth(), 1, '... once');
	my $got = JSON::PP->new->decode($node->safe_psql('postgres', "SELECT wf_await_hook('$token', '0')"));
	ok($got->{headers}{'idempotency-key'}, '... by its id');
	ok(ref $got->{body} || $sender->{type} !~ /json/, '... as JSON');
	next unless $name eq 'stripe' || $name eq 'slack';

	# an old one, and no time
	is($send->($body, $sender->{sign}->($secret, $body, $_)), $refusal, "$name: sent at $_")
	  foreach $now - 1000, $now + 1000, '', 'x', "$now ";
	(my $timeless = $signature) =~ s/^t=\d+,//;
	%headers = ($sender->{signature} => $timeless);
	is($send->($body, %headers), $refusal, "$name: at no time");
	is(depth(), 0, '... and nothing is delivered');
}

# Slack: the challenge, a slash command, an event, each answered by the workflow
sql(example('PROCEDURE serve_slack'));
sql(q{SELECT wf_start('slack', 'serve_slack')});
my $url = sql(q{SELECT wf_get_event('slack', 'url', '120 s')->>0});
$url =~ s/^\Q$base\E//;
my $sign = $senders{slack}{sign};
my $challenge = '{"type": "url_verification", "challenge": "3eZbrw1aB"}';
my $command = 'command=%2Fweather&text=94070&trigger_id=1';
is_deeply([ post($url, $challenge, 'Content-Type' => 'application/json', $sign->($secret, $challenge)) ],
	[ 200, '3eZbrw1aB' ], 'slack: its challenge');
is_deeply([ post($url, $command, 'Content-Type' => 'application/x-www-form-urlencoded', $sign->($secret, $command)) ],
	[ 200, '{"text": "/weather 94070? At once."}' ], '... a slash command');
is_deeply([ post($url, $senders{slack}{body}, 'Content-Type' => 'application/json', $sign->($secret, $senders{slack}{body})) ],
	[ 200, '' ], '... an event') foreach 1 .. 2;
is((post($url, $challenge, 'Content-Type' => 'application/json'))[0], 403, '... and nobody else');

# PostgREST's function passes on the bytes that were sent
sql(example('FUNCTION api.hook') =~ s/\A/CREATE SCHEMA api; /r);
webhook('check_github');
sub by_postgrest
{
	my ($body, %headers) = @_;
	my $headers = JSON::PP->new->encode({ 'x-token' => $token, 'content-type' => 'application/json', map { lc $_ => $headers{$_} } keys %headers });
	my ($result, $stdout, $stderr) = $node->psql('postgres', <<"SQL");
SET request.method = 'POST';
SET request.path = '/rpc/hook';
SET request.headers = \$x\$$headers\$x\$;
SELECT api.hook(\$x\$$body\$x\$)->'status';
SQL
	return $stdout || $stderr;
}
sql(qq{UPDATE webhook_secret SET secret = 'k' WHERE name = 'github'});
my $odd = ' {"b":1,  "a":2, "a": 1.0} ';
is(by_postgrest($odd, $senders{github}{sign}->('k', $odd)), 202, 'PostgREST: signed');
like(by_postgrest("$odd ", $senders{github}{sign}->('k', $odd)), qr/ERROR:  the signature is wrong/, '... not signed');
like(by_postgrest($odd), qr/ERROR:  the signature is wrong/, '... without a signature');
is(depth(), 1, '... delivered once');
is(sql("SELECT convert_from(decode(wf_await_hook('$token', '0')->>'body_base64', 'base64'), 'UTF8')"), $odd, '... exactly');

$node->stop;
done_testing();
