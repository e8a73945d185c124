# Claims that do not wait for the disk: a crash of the server may lose one, but
# nothing that the body has done, and the crash is counted.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll result set);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The walwriter flushes what did not wait each ten seconds only.
my $node = start_node('main', {
	max_worker_processes => 24, restart_after_crash => 'on',
	autovacuum => 'off', wal_writer_delay => '10s',
	'durable_wf.careful_time' => 0, 'durable_wf.max_attempts' => 3 });
my $ledger = PostgreSQL::Test::Utils::tempdir_short();

# A step that writes a line to a file, outside of the server; "kills" is how
# often the command that is given kills its own process after that.
sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE careful LOGIN SUPERUSER;
ALTER ROLE careful SET synchronous_commit = remote_apply;
CREATE ROLE loose LOGIN SUPERUSER;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE effect (workflow_id text DEFAULT wf_current(), what text);
GRANT ALL ON effect TO PUBLIC;
CREATE FUNCTION note(file text, line text, kills int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COPY (SELECT %L) TO PROGRAM %L', line,
      format('cat >>%1$s; test $(wc -l <%1$s) -gt %2$s || kill -9 $PPID', file, kills));
END $$;
-- receives and asks for a time, and has its process killed
CREATE PROCEDURE quiet(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
    at timestamptz;
    status text; output jsonb; error text;
BEGIN
    CALL wf_recv('t', NULL, NULL, got);
    at := wf_now();
    CALL wf_result('ended', NULL, status, output, error);
    IF input ? 'tells' THEN
        PERFORM wf_send('ended too', to_jsonb(at));
        COMMIT;
    END IF;
    PERFORM wf_step('note', 'SELECT note($1->>0, $1->>1, 1)', jsonb_build_array(input->>'file', at));
    PERFORM wf_step('effect', 'INSERT INTO effect (what) VALUES ($1::text)', got);
    PERFORM wf_complete(to_jsonb(at));
END $$;
CREATE PROCEDURE kills(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('note', 'SELECT note($1->>''file'', ''run'', 1000)', input);
END $$;
SELECT wf_start('ended'), wf_complete('1', 'ended'), wf_start('ended too');
SQL

# Start a workflow as a role; it has its process killed, so the server crashes.
sub start
{
	my ($role, $id, $body, $input) = @_;

	$node->psql('postgres', "SET ROLE $role; SELECT wf_start('$id', '$body', '$input'); SELECT wf_send('$id', '7', 't')");
}

# The lines that a workflow has written outside of the server.
sub lines
{
	return -e "$ledger/$_[0]" ? split(/\n/, slurp_file("$ledger/$_[0]")) : ();
}

# Run a body that is killed once: the moments of its two runs.
sub moments
{
	my ($role, $id, $more) = @_;

	start($role, $id, 'quiet', qq({"file": "$ledger/$id"$more}));
	$node->poll_query_until('postgres', "SELECT status = 'SUCCESS' FROM wf_workflows WHERE workflow_id = '$id'");
	is(sql("SELECT string_agg(what, ',') FROM effect WHERE workflow_id = '$id'"), 7, "$id: the effect is there once");
	is(sql("SELECT count(*) FROM wf_mailbox WHERE workflow_id = '$id'"), 0, "$id: the message was received once");
	my @lines = lines($id);
	is(scalar(@lines), 2, "$id: its process was killed once");
	is(sql("SELECT output #>> '{}' = '$lines[1]'::timestamptz::text OR output = to_jsonb('$lines[1]'::timestamptz) FROM wf_workflows WHERE workflow_id = '$id'"),
		't', "$id: the last run counts");
	return @lines;
}

# What a step has taken out of the server is the same in the next run.
foreach my $try (1 .. 3)
{
	my @moments = moments('loose', "quiet $try" =~ s/ /_/r, '');

	is($moments[1], $moments[0], 'what was received and asked for before a step is on disk');
}

my @told = moments('loose', 'told', ', "tells": true');
is($told[1], $told[0], 'what came before something that others are told of is not lost');
is(sql(q{SELECT count(*) FROM durable_wf.message WHERE workflow_id = 'ended too'}), 1, '... and is told once');

my @careful = moments('careful', 'careful', '');
is($careful[1], $careful[0], 'synchronous_commit = remote_apply: each commit waits');

# A body that kills the server at once, again and again: its claim is lost with
# it, but not the count.
start('loose', 'kills', 'kills', qq({"file": "$ledger/kills"}));
$node->poll_query_until('postgres', q{SELECT status = 'ERROR' FROM wf_workflows WHERE workflow_id = 'kills'});
is(result('kills'), q{ERROR||the workflow's body has crashed 3 times in a row}, 'a body that kills the server is given up');
is(scalar(lines('kills')), 3, '... after so many runs as any other');

sql(q{SELECT wf_retry('kills')});
$node->poll_query_until('postgres', q{SELECT status = 'ERROR' FROM wf_workflows WHERE workflow_id = 'kills'});
is(scalar(lines('kills')), 6, '... and again after wf_retry');

# The same when claims wait, as they do for a while after each crash.
set('careful_time', '1h');
start('loose', 'careful_kills', 'kills', qq({"file": "$ledger/careful_kills"}));
$node->poll_query_until('postgres', q{SELECT status = 'ERROR' FROM wf_workflows WHERE workflow_id = 'careful_kills'});
is(scalar(lines('careful_kills')), 3, 'and when its claims have waited');

$node->stop;
done_testing();
