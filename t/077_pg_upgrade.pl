# pg_upgrade from another version of PostgreSQL, with workflows that are
# suspended at each door, queued, due, attached and waited for: nothing runs on
# the new server before wf_adopt(), and then all of it goes on.
#
# DWF_OLD_SERVER is the directory of the old server's bin and lib, where
# durable_wf is installed; .ci/matrix upgrade calls this.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old_server = $ENV{DWF_OLD_SERVER} || '';

plan skip_all => 'DWF_OLD_SERVER names no other server' unless -x "$old_server/bin/pg_ctl";

my $settings = <<'CONF';
shared_preload_libraries = 'durable_wf'
max_worker_processes = 24
max_prepared_transactions = 5
durable_wf.suspend_after = '10ms'
CONF
my $old = PostgreSQL::Test::Cluster->new('old', install_path => $old_server);
my $new = PostgreSQL::Test::Cluster->new('new');

$old->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$old->append_conf('postgresql.conf', $settings);
$old->start;

# Run statements in the database of the workflows.
sub db
{
	my ($server, $statements) = @_;

	return $server->safe_psql('db', $statements);
}

sub poll_db
{
	my ($server, $query) = @_;

	$server->poll_query_until('db', $query) or die "it does not happen: $query";
	return;
}

# --------------------------------------------------------------- the old server

$old->safe_psql('postgres', 'CREATE ROLE gone; CREATE ROLE alice LOGIN; CREATE DATABASE db OWNER alice');
db($old, <<'SQL');
CREATE EXTENSION durable_wf;
GRANT ALL ON SCHEMA public TO alice;
SET ROLE alice;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), what text);
CREATE FUNCTION valid(payload jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS 'SELECT payload';
CREATE PROCEDURE door(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb; topic text; timed_out boolean; status text; error text; at timestamptz;
BEGIN
    PERFORM wf_step('before', 'INSERT INTO effect (what) VALUES (''before'')');
    CASE input->>0
    WHEN 'message' THEN CALL wf_recv('t', NULL, NULL, got);
    WHEN 'any' THEN CALL wf_recv_any('{a,b}', NULL, NULL, topic, got);
    WHEN 'event' THEN CALL wf_get_event('other', 'k', NULL, got);
    WHEN 'notify' THEN CALL wf_wait_for_event('e', NULL, NULL, got, timed_out);
    WHEN 'hook' THEN PERFORM wf_create_hook('a hook', validator => 'public.valid'); CALL wf_await_hook('a hook', NULL, got);
    WHEN 'result' THEN CALL wf_result('other', NULL, status, got, error);
    WHEN 'timer' THEN CALL wf_sleep('5 s', at); got := '"slept"';
    END CASE;
    PERFORM wf_step('after', 'INSERT INTO effect (what) VALUES (''after'')');
    PERFORM wf_complete(got);
END $$;
SELECT wf_start('other'), wf_start('client'), wf_start('w'), wf_start('ended');
SELECT wf_start(d, 'door', jsonb_build_array(d), attributes => '{"kind": "door"}')
  FROM unnest('{message,any,event,notify,hook,result,timer}'::text[]) d;
SELECT wf_start('queued ' || n, queue => 'work', input => to_jsonb(n)) FROM generate_series(1, 3) n;
SELECT wf_send('w', to_jsonb(n), 'q') FROM generate_series(1, 5) n;
SELECT wf_send('w', '"once"', 'keyed', 'a key'), wf_set_event('k', '"v"', 'w');
SELECT wf_write_stream('s', to_jsonb(n), 'w') FROM generate_series(1, 3) n;
BEGIN; SET LOCAL durable_wf.workflow_id = 'ended'; SELECT wf_complete('"done"'); COMMIT;
SQL
poll_db($old, q{SELECT count(*) = 7 FROM wf_workflows WHERE status = 'WAITING'});
{
	my $client = $old->background_psql('db');
	my $waiter = $old->background_psql('db', on_error_stop => 0);

	$client->query_safe(q{SET ROLE alice; SELECT wf_attach('client'), wf_step('one', 'SELECT 1')});
	$waiter->query_until(qr//, "SELECT wf_recv('none', NULL, 'w');\n");
	poll_db($old, 'SELECT count(*) = 1 FROM wf_waiters WHERE pid IS NOT NULL');
	$old->stop('fast');
	eval { $_->{run}->finish } foreach $client, $waiter;
}

# ------------------------------------------------------------------ pg_upgrade

$new->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$new->append_conf('postgresql.conf', $settings);
my ($bindir) = map { chomp; $_ } `pg_config --bindir`;
chdir $PostgreSQL::Test::Utils::tmp_check;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', "$old_server/bin", '-B', $bindir,
	'-p', $old->port, '-P', $new->port, '-s', $new->host ], 'pg_upgrade');
unlike(slurp_file($_), qr/durable_wf (launcher|worker)/, 'none of our processes ran in it')
  foreach glob $new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server.log';
$new->start;
isnt($new->safe_psql('postgres', 'SHOW server_version_num') =~ s/....$//r, '15', 'another version: ' . $new->safe_psql('postgres', 'SHOW server_version'));

# --------------------------------------------------------------- the new server

is(db($new, 'SELECT durable_wf.is_copy()'), 't', 'nothing runs yet: it takes it for a copy');
is(db($new, q{SELECT count(*) FROM wf_workflows WHERE owner = 'alice'}), 14, 'all are there, and their owner');
is(db($new, q{SELECT count(*) FROM wf_workflows WHERE status = 'WAITING'}), 7, 'what waited waits');
is(db($new, q{SELECT string_agg(what, ' ') FROM effect}), join(' ', ('before') x 7), 'nothing has run');
is(db($new, q{SET ROLE alice; SELECT wf_adopt(); SELECT durable_wf.is_copy()}), "t\nf", 'adopted by the owner');

my %news = (
	message => [ q{SELECT wf_send('message', '"sent"', 't')}, '"sent"' ],
	any => [ q{SELECT wf_send('any', '"any"', 'b')}, '"any"' ],
	event => [ q{SELECT wf_set_event('k', '"event"', 'other')}, '"event"' ],
	notify => [ q{SELECT wf_notify('e', '"told"')}, '"told"' ],
	hook => [ q{SELECT wf_resume_hook('a hook', '"resumed"')}, '"resumed"' ],
	result => [ q{SELECT wf_complete('"result"', 'other')}, '"result"' ],
	timer => [ 'SELECT 1', '"slept"' ]);
db($new, "SET ROLE alice; $news{$_}[0]") foreach sort keys %news;
is(db($new, "SELECT * FROM wf_result('$_', '120 s')"), "SUCCESS|$news{$_}[1]|", "suspended before, goes on: $_") foreach sort keys %news;
is(db($new, q{SELECT count(*) FROM (SELECT FROM effect GROUP BY workflow_id HAVING string_agg(what, ' ' ORDER BY n) = 'before after') e}), 7, 'each step once');
is(db($new, q{SELECT count(*) FROM wf_workflows WHERE attributes @> '{"kind": "door"}'}), 7, 'attributes are found');
is(db($new, q{SELECT string_agg(message::text, ' ') FROM wf_recv_many('q', 100, '0', 'w')}), '1 2 3 4 5', 'a queue, in its order');
is(db($new, q{SELECT wf_send('w', '"twice"', 'keyed', 'a key') = message_id FROM durable_wf.message WHERE key = 'keyed'}), 't', 'keys protect');
is(db($new, q{SELECT wf_get_event('w', 'k', '0'), (SELECT string_agg(value::text, ' ') FROM wf_read_stream('w', 's', timeout => '0'))}), '"v"|1 2 3', 'events and streams');
is(db($new, q{SELECT wf_write_stream('s', '4', 'w')}), 4, 'a stream goes on');
is(db($new, q{SELECT * FROM wf_result('ended', '0')}), 'SUCCESS|"done"|', 'an outcome');
is(db($new, q{SET ROLE alice; SELECT wf_attach('client'), wf_step('one', 'SELECT 2'), wf_step('two', 'SELECT 2'); SELECT wf_complete()}), "RUNNING|1|2\n", 'a journal is replayed');
foreach my $n (1 .. 3)
{
	is(db($new, q{SET ROLE alice; SELECT wf_attach_next('work', '0'), wf_complete()}), "queued $n|", "what was queued: $n");
}
is(db($new, q{SELECT wf_start('new', 'door', '["message"]'); SELECT wf_send('new', '1', 't') > 0; SELECT * FROM wf_result('new', '120 s')}), "new\nt\nSUCCESS|1|", 'a new one');
$new->stop;
done_testing();
