# A validator's world is closed: what sql/closed_world.sql cannot show.  Portals
# that a driver opens by the protocol, and the ways out of a validator that is
# interrupted.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start outcome last_words);
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main');

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE guest LOGIN;
CREATE SCHEMA guest AUTHORIZATION guest;
CREATE TABLE job (i int);
INSERT INTO job SELECT generate_series(1, 5);
SET SESSION AUTHORIZATION guest;
CREATE FUNCTION guest.spring() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    ALTER ROLE guest SUPERUSER;
    RETURN 0;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN 0;
END $$;
-- what becomes of each portal that it is told of
CREATE FUNCTION guest.takes(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    c refcursor;
    r record;
    results text[];
BEGIN
    FOR c IN SELECT jsonb_array_elements_text(payload) LOOP
        BEGIN
            FETCH c INTO r;
            results = results || 'fetched';
        EXCEPTION WHEN OTHERS THEN
            results = results || SQLSTATE;
        END;
        BEGIN
            CLOSE c;
            OPEN c FOR SELECT guest.spring() FROM generate_series(1, 5);
            results = results || 'supplanted';
        EXCEPTION WHEN OTHERS THEN
            results = results || SQLSTATE;
        END;
    END LOOP;
    RETURN to_jsonb(results);
END $$;
CREATE FUNCTION guest.sleeps(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    own refcursor;
BEGIN
    OPEN own FOR SELECT 1;
    SET LOCAL app.secret = 'the guest''s';
    PERFORM pg_sleep(600);
    RETURN payload;
END $$;
SELECT wf_start('w'), wf_create_hook('takes', NULL, 'guest.takes', 'w'),
       wf_create_hook('sleeps', NULL, 'guest.sleeps', 'w');
SQL

# ----- a driver's portals

my $socket = IO::Socket::UNIX->new($node->host . '/.s.PGSQL.' . $node->port)
  or die "cannot connect: $!";

# Read messages until the server is ready; values of rows, and of errors and
# suspensions what they are.
sub results
{
	my @results;

	while (1)
	{
		my ($type, $length, $body);

		$socket->read($type, 1) == 1 or die 'the connection was closed';
		$socket->read($length, 4);
		$socket->read($body, unpack('N', $length) - 4);
		if ($type eq 'D')
		{
			push @results, unpack('x2 N/a*', $body);
		}
		elsif ($type eq 's')
		{
			push @results, 'suspended';
		}
		elsif ($type eq 'E')
		{
			push @results, $body =~ /C([0-9A-Z]{5})\0/;
		}
		return join ' ', @results if $type eq 'Z';
	}
}

# A message of the protocol.
sub message
{
	my ($type, $body) = @_;

	return $type . pack('N', 4 + length $body) . $body;
}

# Send messages, and return their results.
sub say_and_hear
{
	my (@messages) = @_;

	$socket->print(join '', @messages);
	$socket->flush;
	return results();
}

# Bind a portal to a query.
sub open_portal
{
	my ($portal, $query) = @_;

	return message('P', "\0$query\0" . pack('n', 0))
	  . message('B', "$portal\0\0" . pack('nnn', 0, 0, 0));
}

# Fetch so many rows of a portal, 0 for all.
sub fetch
{
	my ($portal, $rows) = @_;

	return message('E', "$portal\0" . pack('N', $rows));
}

my $sync = message('S', '');
my $startup = pack('N', 196608) . "user\0postgres\0database\0postgres\0\0";

say_and_hear(pack('N', 4 + length $startup) . $startup);
say_and_hear(message('Q', "BEGIN\0"));
is( say_and_hear(
		open_portal('jobs', 'SELECT i FROM job ORDER BY i'),
		fetch('jobs', 1),
		open_portal('', 'SELECT i * 10 FROM job ORDER BY i'),
		fetch('', 1), $sync),
	'1 suspended 10 suspended',
	'two portals are open');
is( say_and_hear(
		open_portal('resume',
			q{SELECT wf_resume_hook('takes', '["jobs", "", "resume"]')}),
		fetch('resume', 0),
		$sync),
	'w',
	'the validator has run');
is(say_and_hear(fetch('jobs', 1), fetch('', 1), $sync),
	'2 suspended 20 suspended', 'they go on where they were');
is(say_and_hear(fetch('jobs', 0), fetch('', 0), $sync),
	'3 4 5 30 40 50', 'to their ends');
say_and_hear(message('Q', "COMMIT\0"));
is(sql(q{SELECT payload FROM durable_wf.message}),
	'["55000", "24000", "55000", "24000", "55000", "24000"]',
	'the validator could do nothing with them');
is(sql(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'guest'}),
	'f', 'nor did they become its own');

# ----- cancelled, out of time, terminated

# A session with a cursor, in a validator that sleeps.
sub in_validator
{
	my $session = session();

	$session->query_safe(<<'SQL');
SET app.secret = 'the session''s';
BEGIN;
DECLARE jobs CURSOR FOR SELECT i FROM job ORDER BY i;
FETCH jobs;
SAVEPOINT s;
SQL
	start($session, q{SELECT wf_resume_hook('sleeps', '1')});
	poll("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $session->{pid}"
	);
	return $session;
}

# A test: a session whose validator was interrupted still has its cursor and its
# setting.
sub is_as_before
{
	my ($session, $how) = @_;

	is( outcome($session, <<'SQL'), "2\njobs\nthe session's", "after $how the session has what it had");
ROLLBACK TO s;
FETCH jobs;
SELECT name FROM pg_cursors WHERE name <> '';
SHOW app.secret;
SQL
	return;
}

sql('ALTER ROLE postgres SET durable_wf.validator_timeout = 600000');
my $session = in_validator();

sql("SELECT pg_cancel_backend($session->{pid})");
like(outcome($session), qr/canceling statement/, 'it is cancelled');
is_as_before($session, 'a cancel');
$session->quit;

$session = in_validator();
sql("SELECT pg_terminate_backend($session->{pid})");
like(last_words($session), qr/terminating connection/, 'it is terminated');

sql('ALTER ROLE postgres SET durable_wf.validator_timeout = 10');
$session = session();
$session->query_safe(<<'SQL');
SET app.secret = 'the session''s';
BEGIN;
DECLARE jobs CURSOR FOR SELECT i FROM job ORDER BY i;
FETCH jobs;
SAVEPOINT s;
SQL
like(
	outcome($session, q{SELECT wf_resume_hook('sleeps', '1')}),
	qr/took too long/, 'it is out of time');
is_as_before($session, 'its time');
$session->quit;

done_testing();
