# Owners of SQL workflows: a body runs as its owner and as no other role, with the
# owner's settings; what becomes of a workflow whose owner changes, may not log
# in or connect, is dropped, or may not execute the body any more.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll suspended end_executors);
use DurableWf::Bodies qw(begin ended run effects);
use PostgreSQL::Test::Utils;
use Test::More;

# One executor a role: a body runs in the process of the one before it.
my $node = start_node('main', {
	max_worker_processes => 20,
	'durable_wf.max_executors' => 1,
	'durable_wf.suspend_after' => '10ms' });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(),
                     what text, who name DEFAULT current_user);
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE ROLE helper;
GRANT helper TO alice;
GRANT ALL ON SCHEMA public TO alice, bob;
GRANT ALL ON effect, effect_n_seq TO PUBLIC;
SQL

like(run(q{PERFORM wf_complete(to_jsonb(current_user))}, 'alice'), qr/^SUCCESS\|"alice"/, 'owner: itself');
like(run($_, 'alice'), qr/^ERROR\|\|(42501|22023)\|/, "owner: $_")
  foreach 'SET ROLE postgres', 'SET ROLE bob', 'SET SESSION AUTHORIZATION postgres',
  'SET SESSION AUTHORIZATION bob', 'SET LOCAL ROLE bob',
  q{PERFORM set_config('role', 'postgres', false)},
  q{PERFORM set_config('session_authorization', 'postgres', false)},
  q{PERFORM wf_step('s', 'SET ROLE postgres')};
is(run(qq{$_; PERFORM wf_complete(jsonb_build_array(current_user, session_user))}, 'alice'),
	'SUCCESS|["alice", "alice"]||', "owner: $_")
  foreach 'RESET ROLE', 'RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION DEFAULT',
  'RESET ALL', 'SET ROLE NONE', 'SET SESSION AUTHORIZATION alice';
is(run(q{SET ROLE helper}, 'alice'), 'SUCCESS|||', 'owner: a role that it is a member of');
is(run(q{PERFORM wf_complete(jsonb_build_array(current_user, session_user))}, 'alice'),
	'SUCCESS|["alice", "alice"]||', 'owner: the next body is the owner again');
like(run(q{SET ROLE helper; PERFORM wf_step('s', 'SELECT 1')}, 'alice'), qr/^ERROR\|\|42501/,
	'owner: as another role it cannot act in its workflow');

# Settings of roles, also those that a body must not be stopped by.
sql(q{ALTER ROLE alice SET work_mem = '9MB'; ALTER ROLE alice IN DATABASE postgres SET TimeZone = 'Asia/Tokyo';
	ALTER ROLE alice SET default_transaction_read_only = on; ALTER ROLE alice SET default_transaction_isolation = 'serializable';
	ALTER ROLE alice SET default_transaction_deferrable = on; ALTER ROLE alice SET search_path = 'nowhere';
	ALTER ROLE alice SET statement_timeout = '2s'; ALTER ROLE alice SET session_preload_libraries = 'auto_explain'});
end_executors();
is(run(q{PERFORM public.wf_step('s', 'INSERT INTO public.effect (workflow_id, what) VALUES (''settings'', 1)');
	CALL public.wf_recv('t', '2500 ms', NULL, got);
	PERFORM public.wf_complete(jsonb_build_array(current_setting('work_mem'), current_setting('TimeZone'), current_setting('search_path')))}, 'alice'),
	'SUCCESS|["9MB", "Asia/Tokyo", "nowhere"]||', 'settings of the role and of the role in the database');
is(effects('settings'), 1, 'settings: a body whose role is read-only can write in steps');
like(run(q{PERFORM public.wf_step('s', 'SELECT pg_sleep(60)')}, 'alice'), qr/^ERROR\|\|57014/,
	'settings: statement_timeout limits a step');
sql(q{ALTER ROLE alice RESET ALL; ALTER ROLE alice IN DATABASE postgres RESET ALL});
end_executors();

# From here on a workflow waits, something happens to its role or its body, and
# then it is sent a message.
my $two = q{PERFORM wf_step('1', 'INSERT INTO effect (what) VALUES (1)'); CALL wf_recv('t', NULL, NULL, got);
	PERFORM wf_step('2', 'INSERT INTO effect (what) VALUES (2)'); CALL wf_recv('t', NULL, NULL, got);
	PERFORM wf_step('3', 'INSERT INTO effect (what) VALUES (3)')};

# Send a workflow the message that it waits for.
sub go_on
{
	sql("SELECT wf_send('$_[0]', '1', 't')");
	return;
}

# Tests: a workflow is due and waits for its role; the log says so once, however
# often the worker looks.
sub waits_for_role
{
	my ($id, $offset, $reason, $name) = @_;
	my $log;

	poll("SELECT error = 'waits: $reason' FROM wf_workflows WHERE workflow_id = '$id'");
	pass("$name: it waits, and says for what");
	sql('SELECT pg_reload_conf(), pg_reload_conf()');
	is(sql("SELECT status, finished_at IS NULL FROM wf_workflows WHERE workflow_id = '$id'"), 'PENDING|t', "$name: nothing is lost");
	is(sql("SET ROLE bob; SELECT count(*) FROM wf_workflows WHERE workflow_id = '$id'; SELECT durable_wf.waits_for('$id') IS NULL"),
		"0\nt", "$name: others are told nothing");
	# an executor of the role may have looked before the worker
	$node->wait_for_log(qr/LOG:  workflows in database "postgres" wait: \Q$reason\E/, $offset);
	poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND datname = 'postgres' AND state = 'idle'});
	$log = slurp_file($node->logfile, $offset);
	is(() = $log =~ /LOG:  workflows in database "postgres" wait: \Q$reason\E/g, 1, "$name: the log says so, once");
	return;
}

# Tests: a workflow that may go on again ends well, with each step once.
sub ends_well
{
	my ($id, $name) = @_;

	suspended($id);
	go_on($id);
	is(ended($id), 'SUCCESS|||', "$name: goes on");
	is(effects($id), '1 2 3', "$name: each step once");
	return;
}

my $id = suspended(begin($two, 'alice'));
sql("SELECT wf_set_owner('$id', 'bob')");
go_on($id);
poll("SELECT count(*) = 2 FROM effect WHERE workflow_id = '$id'");
suspended($id);
sql("SELECT wf_set_owner('$id', 'postgres')");
go_on($id);
is(ended($id), 'SUCCESS|||', 'wf_set_owner: goes on');
is(sql("SELECT string_agg(who, ' ' ORDER BY n) FROM effect WHERE workflow_id = '$id'"),
	'alice bob postgres', 'wf_set_owner: each run is its owner\'s');

$id = suspended(begin($two, 'alice'));
my $offset = -s $node->logfile;
# an executor of the role that is there already finds out, too
sql('ALTER ROLE alice NOLOGIN');
go_on($id);
waits_for_role($id, $offset, 'role "alice" may not log in', 'NOLOGIN');
sql('ALTER ROLE alice LOGIN');
ends_well($id, 'NOLOGIN');

# An ALTER ROLE that is rolled back lets nothing go on.
$id = suspended(begin($two, 'alice'));
sql('ALTER ROLE alice NOLOGIN');
go_on($id);
poll("SELECT error LIKE 'waits: role %' FROM wf_workflows WHERE workflow_id = '$id'");
sql('BEGIN; ALTER ROLE alice LOGIN; ROLLBACK');
is(sql("SELECT wf_status('$id')"), 'PENDING', 'LOGIN, rolled back');
# a direct update of pg_authid wakes no process; the worker sees it later
sql(q{UPDATE pg_authid SET rolcanlogin = true WHERE rolname = 'alice'});
ends_well($id, 'LOGIN in pg_authid');

$id = suspended(begin($two, 'alice'));
$offset = -s $node->logfile;
sql('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
go_on($id);
waits_for_role($id, $offset, 'role "alice" may not connect to this database', 'REVOKE CONNECT');
sql('CREATE ROLE may_connect; GRANT CONNECT ON DATABASE postgres TO may_connect');
sql('GRANT may_connect TO alice');
ends_well($id, 'GRANT of a role that may');
sql('GRANT CONNECT ON DATABASE postgres TO PUBLIC');

$id = suspended(begin($two, 'alice'));
sql("REVOKE EXECUTE ON PROCEDURE $id FROM PUBLIC");
go_on($id);
is(ended($id), "ERROR||42501|permission denied for procedure $id", 'REVOKE EXECUTE');
sql("GRANT EXECUTE ON PROCEDURE $id TO alice");
sql("SELECT wf_retry('$id')");
ends_well($id, 'REVOKE EXECUTE');

$id = suspended(begin($two, 'alice'));
sql("ALTER PROCEDURE $id SECURITY DEFINER");
go_on($id);
like(ended($id), qr/^ERROR\|\|/, 'SECURITY DEFINER');
sql("ALTER PROCEDURE $id SECURITY INVOKER");
sql("SELECT wf_retry('$id')");
ends_well($id, 'SECURITY DEFINER');

$id = suspended(begin($two, 'alice'));
my $source = sql("SELECT pg_get_functiondef('$id'::regproc)");
sql("DROP PROCEDURE $id");
go_on($id);
like(ended($id), qr/^ERROR\|\|42883\|procedure public\.$id\(jsonb\) does not exist$/, 'DROP PROCEDURE');
sql($source);
sql("SELECT wf_retry('$id')");
ends_well($id, 'DROP PROCEDURE');

sql('CREATE ROLE carol LOGIN; GRANT ALL ON SCHEMA public TO carol');
$id = suspended(begin($two, 'carol'));
end_executors();
sql('DROP OWNED BY carol; DROP ROLE carol');
go_on($id);
like(ended($id), qr/^ERROR\|\|.*\|the workflow's owner cannot log in/, 'DROP ROLE');
sql('CREATE ROLE carol LOGIN');
is(sql("SELECT owner IS NULL FROM wf_workflows WHERE workflow_id = '$id'"), 't',
	'DROP ROLE: a new role of that name is another one');
sql("SELECT wf_set_owner('$id', 'bob')");
sql("SELECT wf_retry('$id')");
ends_well($id, 'DROP ROLE');

$node->stop;
done_testing();
