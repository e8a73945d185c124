# The rules for bodies of SQL workflows, and attempts to break them: writes
# outside of steps, waits that cannot commit, settings that stay behind.  Owners
# and other roles: t/059_body_owners.pl.

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
                     what text);
CREATE ROLE alice LOGIN;
GRANT ALL ON SCHEMA public TO alice;
GRANT ALL ON effect, effect_n_seq TO PUBLIC;
SQL

# ---------------------------------------------------- writes outside of steps

sql(<<'SQL');
CREATE TABLE written (what text);
CREATE SEQUENCE seq;
CREATE VIEW view AS SELECT * FROM written;
CREATE FUNCTION writes(t text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO written VALUES (t); END $$;
CREATE FUNCTION sql_writes(t text) RETURNS void LANGUAGE sql AS
$$ INSERT INTO written VALUES (t) $$;
CREATE FUNCTION definer_writes(t text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN INSERT INTO written VALUES (t); END $$;
-- (PostgreSQL 16 and later refuse the clause)
DO $do$ BEGIN
    CREATE FUNCTION set_writes(t text) RETURNS void LANGUAGE plpgsql SET transaction_read_only = off AS
    $$ BEGIN INSERT INTO written VALUES (t); END $$;
EXCEPTION WHEN feature_not_supported THEN
    CREATE FUNCTION set_writes(t text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN SET transaction_read_only = off; INSERT INTO written VALUES (t); END $$;
END $do$;
CREATE FUNCTION default_writes(t text) RETURNS void LANGUAGE plpgsql SET default_transaction_read_only = off AS
$$ BEGIN INSERT INTO written VALUES (t); END $$;
CREATE PROCEDURE commits(t text) LANGUAGE plpgsql AS
$$ BEGIN COMMIT; INSERT INTO written VALUES (t); COMMIT; END $$;
CREATE PROCEDURE unguarded(t text) LANGUAGE plpgsql AS
$$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO written VALUES (t); COMMIT; END $$;
CREATE TABLE queued (a int);
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO written VALUES ('late'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON queued DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION late();
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE foreign_table (what text) SERVER files OPTIONS (filename '/dev/null');
CREATE MATERIALIZED VIEW matview AS SELECT 1;
SQL

# All that these could have written.
sub written
{
	return sql(q{SELECT (SELECT count(*) FROM written), (SELECT last_value::text || is_called FROM seq), (SELECT count(*) FROM pg_class WHERE relname = 'no'), (SELECT count(*) FROM pg_roles WHERE rolname = 'no'), obj_description('written'::regclass), (SELECT relacl FROM pg_class WHERE oid = 'written'::regclass)});
}

my $insert = q{INSERT INTO written VALUES ('no')};
my $step = q{PERFORM wf_step('s', 'SELECT 1')};
my $nothing = written();
my $read_only = qr/^ERROR\|\|(WF009\|the body of a workflow can write in its steps only|25006\|cannot execute .* in a read-only transaction)$/;
my $too_late = qr/^ERROR\|\|25001\|.*(must be set before any query|inside a read-only transaction)$/;

foreach my $code (
	$insert,
	"SET default_transaction_read_only = off; COMMIT; $insert",
	"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; COMMIT; $insert",
	"SET default_transaction_read_only = off; SET LOCAL default_transaction_read_only = on; COMMIT; n := nextval('seq')",
	"PERFORM set_config('default_transaction_read_only', 'off', false); COMMIT; $insert",
	"COMMIT; SET TRANSACTION READ WRITE; $insert",
	"COMMIT; SET LOCAL transaction_read_only = off; $insert",
	"ROLLBACK; SET TRANSACTION READ WRITE; $insert",
	"$step; $insert",
	"$step; COMMIT; SET TRANSACTION READ WRITE; $insert",
	"CALL wf_step('s', 'SELECT 1', NULL, 2, '0', got); $insert",
	"CALL wf_sleep('1 ms', at); $insert",
	"CALL wf_sleep('100 ms', at); $insert",
	"got := wf_recv('t', '0'); $insert",
	"PERFORM wf_set_event('k', '1'); $insert",
	"BEGIN PERFORM wf_step('s', 'SELECT 1 / 0'); EXCEPTION WHEN division_by_zero THEN $insert; END",
	"BEGIN PERFORM wf_send('none', '1'); EXCEPTION WHEN OTHERS THEN NULL; END; $insert",
	q{PERFORM wf_complete(); } . $insert,
	q{PERFORM writes('no')},
	q{t := writes('no')},
	q{PERFORM sql_writes('no')},
	q{PERFORM definer_writes('no')},
	q{PERFORM default_writes('no')},
	q{CALL commits('no')},
	q{CALL unguarded('no')},
	q{WITH w AS (INSERT INTO written VALUES ('no') RETURNING what) SELECT what INTO t FROM w},
	q{UPDATE written SET what = what},
	q{DELETE FROM written},
	q{MERGE INTO written USING (SELECT 1) AS one ON false WHEN NOT MATCHED THEN INSERT VALUES ('no')},
	q{TRUNCATE written},
	q{INSERT INTO view VALUES ('no')},
	q{INSERT INTO foreign_table VALUES ('no')},
	q{EXECUTE 'INSERT INTO written VALUES (''no'')'},
	q{EXECUTE 'PREPARE p AS INSERT INTO written VALUES (''no'')'; EXECUTE 'EXECUTE p'},
	q{DO $$ BEGIN INSERT INTO written VALUES ('no'); END $$},
	q{DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO written VALUES ('no'); END $$},
	q{COPY written FROM PROGRAM 'echo no'},
	q{PERFORM FROM written FOR UPDATE},
	q{PERFORM FROM written FOR KEY SHARE},
	q{DECLARE c CURSOR FOR SELECT FROM written FOR UPDATE; BEGIN OPEN c; FETCH c INTO got; END},
	# PL/pgSQL evaluates these without asking the server
	q{n := nextval('seq')},
	q{PERFORM nextval('seq')},
	q{COMMIT; n := nextval('seq')},
	q{COMMIT; IF nextval('seq') > 0 THEN NULL; END IF},
	q{COMMIT; FOR i IN 1 .. nextval('seq') LOOP NULL; END LOOP},
	q{COMMIT; SET TRANSACTION READ WRITE; n := nextval('seq')},
	q{COMMIT; n := setval('seq', 5)},
	q{ROLLBACK; n := nextval('seq')},
	"$step; n := nextval('seq')",
	q{CALL wf_sleep('1 ms', at); n := nextval('seq')},
	q{CALL wf_sleep('100 ms', at); n := nextval('seq')},
	q{BEGIN PERFORM wf_step('s', 'SELECT 1 / 0'); EXCEPTION WHEN division_by_zero THEN n := nextval('seq'); END},
	# definitions
	q{CREATE TABLE no ()},
	q{CREATE TABLE no AS SELECT 1},
	q{CREATE TEMP TABLE no ()},
	q{CREATE SEQUENCE no},
	q{CREATE ROLE no},
	q{DROP TABLE written},
	q{ALTER TABLE written ADD COLUMN no int},
	q{COMMENT ON TABLE written IS 'no'},
	q{GRANT SELECT ON written TO PUBLIC},
	q{REFRESH MATERIALIZED VIEW matview},
	q{SECURITY LABEL ON TABLE written IS 'no'},
	# our own tables, which this owner may write
	q{UPDATE durable_wf.workflow SET error = 'no'},
	q{DELETE FROM durable_wf.step},
	q{INSERT INTO durable_wf.message VALUES (1)})
{
	like(run($code), $read_only, "read-only: $code");
}
like(run($_), $too_late, "read-only: $_")
  foreach q{PERFORM set_writes('no')}, q{COMMIT; PERFORM set_writes('no')}, q{COMMIT; t := set_writes('no')},
  q{SET TRANSACTION READ WRITE},
  "COMMIT; BEGIN SET TRANSACTION READ WRITE; $insert; EXCEPTION WHEN division_by_zero THEN END";
like(run($_->[0]), $_->[1], "refused: $_->[0]")
  foreach [ q{PERFORM wf_detach()}, qr/WF009\|cannot call wf_detach\(\) in the body/ ],
  [ q{PERFORM wf_attach_next('q')}, qr/WF009\|cannot call wf_attach_next\(\)/ ],
  [ q{PERFORM wf_start('another'); COMMIT; PERFORM wf_attach('another')}, qr/WF009\|cannot call wf_attach\(\)/ ],
  [ q{PERFORM wf_complete(); PERFORM wf_step('s', 'SELECT 1')}, qr/^ERROR.*WF008/ ],
  [ q{DISCARD ALL}, qr/25001/ ],
  [ q{VACUUM written}, qr/25001/ ],
  [ q{LISTEN channel}, qr/0A000/ ];
is(written(), $nothing, 'nothing was written');
is(run(q{RESET ALL; PERFORM wf_step('s', 'SELECT 1'); RESET ALL; COMMIT; PERFORM wf_complete('2')}),
	'SUCCESS|2||', 'RESET ALL does not take a body from its executor');

# What comes after the end cannot write either, and changes it no more.
is(run("PERFORM wf_complete('1'); COMMIT; $insert"), 'SUCCESS|1||',
	'an error after the end does not change it');
is(run(q{PERFORM wf_complete('1'); COMMIT; PERFORM wf_step('s', 'INSERT INTO written VALUES (''no'')')}),
	'SUCCESS|1||', 'nor does a step');
is(written(), $nothing, 'after the end nothing is written');

# What a step has deferred happens in the step, where it may write.
foreach my $code (
	q{PERFORM wf_step('s', 'INSERT INTO queued VALUES (1)')},
	q{PERFORM wf_step('s', 'SET CONSTRAINTS ALL DEFERRED; INSERT INTO queued VALUES (1)')},
	q{SET CONSTRAINTS ALL DEFERRED; PERFORM wf_step('s', 'INSERT INTO queued VALUES (1)')})
{
	like(run($code), qr/^SUCCESS/, "deferred: $code");
}
is(sql('SELECT count(*) FROM written'), 3, 'deferred: each fired once');

# A temporary table could be made in a step only, and would not be there in a
# replay: it is refused, unless it goes with the step.
like(run(q{PERFORM wf_step('s', 'CREATE TEMP TABLE temporary AS SELECT 1 AS a'); INSERT INTO temporary VALUES (2)}),
	qr/WF009\|step "s" has left something temporary: table temporary/, 'temporary tables are refused');
is(run(q{PERFORM wf_complete(wf_step('s', 'CREATE TEMP TABLE temporary ON COMMIT DROP AS SELECT 1 AS a; INSERT INTO temporary VALUES (2) RETURNING a'))}),
	'SUCCESS|2||', 'but for those that go with the step');

# ------------------------------------------------------------ rules of waiting

my %waits = (
	wf_recv => q{wf_recv('t', '1 s')},
	wf_recv_any => q{wf_recv_any('{t,u}', '1 s')},
	wf_wait_any => q{wf_wait_any('[{"topic": "t"}, {"event_id": "e"}]', '1 s')},
	wf_recv_many => q{wf_recv_many('t', 10, '1 s')},
	wf_get_event => q{wf_get_event('none', 'k', '1 s')},
	wf_wait_for_event => q{wf_wait_for_event('e', '1 s')},
	wf_result => q{wf_result('lives', '1 s')},
	wf_sleep => q{wf_sleep('1 s')});
my %calls = (
	wf_recv => q{wf_recv('t', '1 s', NULL, got)},
	wf_recv_any => q{wf_recv_any('{t,u}', '1 s', NULL, t, got)},
	wf_wait_any => q{wf_wait_any('[{"topic": "t"}]', '1 s', NULL, place, got)},
	wf_get_event => q{wf_get_event('none', 'k', '1 s', got)},
	wf_wait_for_event => q{wf_wait_for_event('e', '1 s', NULL, got, timed_out)},
	wf_result => q{wf_result('lives', '1 s', t, got, t2)},
	wf_sleep => q{wf_sleep('1 s', at)},
	wf_step => q{wf_step('s', 'SELECT 1', NULL, 2, '1 ms', got)});

# What statements raise, in a body that catches it: SQLSTATE, message, hint.
sub caught
{
	return run("DECLARE hint text; t2 text; place int; BEGIN $_[0]; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT; "
		  . "PERFORM wf_complete(to_jsonb(concat_ws(' ', SQLSTATE, SQLERRM, hint))); END");
}

sql(q{SELECT wf_start('lives')});
foreach my $function (sort keys %waits)
{
	my $hint = $function eq 'wf_recv_many' ? 'CALL wf_recv\(\) in a loop' : "CALL $function\\('";

	like(run("PERFORM $waits{$function}"), qr/^ERROR\|\|WF009\|$function\(\) has to be CALLed/,
		"wait: a function: $function");
	like(caught("PERFORM $waits{$function}"),
		qr/^SUCCESS\|"WF009 $function\(\) has to be CALLed in the body of a workflow $hint/,
		"wait: a function: $function, hint");
	(my $zero = $waits{$function}) =~ s/1 s/0/;
	like(run("PERFORM $zero"), qr/^SUCCESS/, "wait: a function that does not wait: $function");
}
like(caught(q{PERFORM wf_step('s', 'SELECT 1', NULL, 2)}),
	qr/WF009 wf_step\(\) with retries has to be CALLed in the body of a workflow, outside of EXCEPTION blocks CALL wf_step\('s', 'SELECT 1', NULL, 2, '00:00:01', output\);/,
	'wait: a step with retries, hint');
foreach my $function (sort keys %calls)
{
	like(caught("CALL $calls{$function}"), qr/^SUCCESS\|"WF009 $function\(\)/,
		"wait: in an EXCEPTION block: $function");
	next if $function eq 'wf_step';
	(my $zero = $calls{$function}) =~ s/1 s/0/;
	is(caught("CALL $zero"), 'SUCCESS|||', "wait: there, without waiting: $function");
}
sql(q{CREATE FUNCTION in_function() RETURNS void LANGUAGE plpgsql AS 'DECLARE got jsonb; BEGIN CALL wf_recv(''t'', ''1 s'', NULL, got); END';
	CREATE PROCEDURE in_procedure() LANGUAGE plpgsql AS 'DECLARE got jsonb; BEGIN CALL wf_recv(''t'', ''50 ms'', NULL, got); CALL wf_step(''s'', ''SELECT 1'', NULL, 2, ''0'', got); END';
	CREATE PROCEDURE with_set() LANGUAGE plpgsql SET work_mem = '1MB' AS 'DECLARE got jsonb; BEGIN CALL wf_recv(''t'', ''1 s'', NULL, got); END'});
like(run($_), qr/^ERROR\|\|WF009\|wf_recv\(\) cannot wait inside an EXCEPTION block or a function/, "wait: $_")
  foreach q{PERFORM in_function()}, q{CALL with_set()},
  q{EXECUTE 'CALL wf_recv(''t'', ''1 s'', NULL, NULL)'},
  q{DECLARE c CURSOR FOR SELECT in_function(); BEGIN OPEN c; FETCH c INTO got; END};
like(run(q{CALL in_procedure(); CALL in_procedure()}), qr/^SUCCESS/, 'wait: in a procedure that the body CALLs');
like(run($_), qr/^ERROR\|\|WF009\|cannot wait in wf_\w+\(\) inside a step/, "wait: $_")
  foreach map { "PERFORM wf_step('s', \$s\$SELECT $_\$s\$)" } map { $waits{$_} } sort keys %waits;
like(run(q{PERFORM wf_step('s', 'SELECT wf_step(''inner'', ''SELECT 1'')')}),
	qr/WF009\|a step cannot contain another one/, 'wait: a step in a step');
is(run(q{PERFORM wf_send(wf_current(), '1', 't'); PERFORM wf_complete(wf_step('s', 'SELECT wf_recv(''t'', ''0'')'))}),
	'SUCCESS|1||', 'wait: a step may look');

# -------------------------------------------------- transactions and settings

my $state = <<'SQL';
PERFORM wf_complete(wf_step('state', $s$SELECT jsonb_build_object(
  'pid', pg_backend_pid(), 'user', current_user, 'session', session_user,
  'work_mem', current_setting('work_mem'), 'zone', current_setting('TimeZone'),
  'path', current_setting('search_path'), 'replica', current_setting('session_replication_role'),
  'mine', coalesce(current_setting('my.own', true), ''), 'workflow_id', current_setting('durable_wf.workflow_id'),
  'timeout', current_setting('statement_timeout'), 'constraints', current_setting('default_transaction_isolation'),
  'name', current_setting('application_name'), 'read_only', current_setting('default_transaction_read_only'),
  'prepared', (SELECT count(*) FROM pg_prepared_statements), 'cursors', (SELECT count(*) FROM pg_cursors WHERE is_holdable),
  'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
  'listens', (SELECT count(*) FROM pg_listening_channels()),
  'literal', extract(epoch FROM '2/1/2024'::timestamptz),
  'temporary', (SELECT count(*) FROM pg_class WHERE relname = 'temporary' AND pg_table_is_visible(oid)))$s$))
SQL
my $litter = <<'SQL';
SET work_mem = '7MB'; PERFORM set_config('TimeZone', 'Asia/Tokyo', false); SET search_path = pg_catalog, public;
SET session_replication_role = replica; SET my.own = 'mine'; SET durable_wf.workflow_id = 'lives';
SET statement_timeout = '1h'; SET application_name = 'litter'; SET default_transaction_read_only = off;
SET default_transaction_isolation = 'repeatable read'; EXECUTE 'PREPARE p AS SELECT 1';
EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'; PERFORM pg_advisory_lock(42);
SET DateStyle = 'German';
SET SESSION AUTHORIZATION alice
SQL
$litter =~ s/\n/ /g;

my $clean = run($state);
is(run("$litter; PERFORM 1"), 'SUCCESS|||', 'litter');
is(run($state), $clean, 'settings: nothing is left for the next body');
like(run("$litter; PERFORM 1 / 0"), qr/22012/, 'litter and an error');
is(run($state), $clean, 'settings: nor after an error');
(my $calm = $litter) =~ s/SET default_transaction_isolation.*?;//;
$calm =~ s/SET SESSION AUTHORIZATION alice/PERFORM 1/;
my $sleeper = suspended(begin("$calm; CALL wf_recv('t', NULL, NULL, got); PERFORM wf_complete(to_jsonb(current_setting('work_mem')))"));
is(run($state), $clean, 'settings: nor by one that is suspended');
sql("SELECT wf_send('$sleeper', '1', 't')");
is(ended($sleeper), 'SUCCESS|"7MB"||', 'settings: which has its own again when it goes on');

# Plans stay in the process, with the literals that were read for them; but none
# that was made under a body's own settings, whichever way these were set.
sql(q{CREATE FUNCTION moment() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN extract(epoch FROM ''2/1/2024 00:00''::timestamptz) || '' '' || (SELECT ''2/1/2024''::date FROM written LIMIT 1); END'});
my $moment = q{PERFORM wf_complete(jsonb_build_array(moment(), wf_step('s', 'SELECT extract(epoch FROM ''2/1/2024 00:00''::timestamptz)'), pg_backend_pid()))};
my $german = q{["1704150000.000000 2024-01-02", 1704150000.000000, };
my $own = run($moment);
my ($executor) = $own =~ /, (\d+)\]/;
unlike($own, qr/1704150000/, 'plans: a literal is read with the settings of the role');
foreach (
	q{SET DateStyle = German; SET TimeZone = 'Europe/Berlin'},
	q{SET LOCAL DateStyle = German; SET LOCAL TimeZone = 'Europe/Berlin'},
	q{PERFORM set_config('DateStyle', 'German', true), set_config('TimeZone', 'Europe/Berlin', true)},
	q{t := set_config('DateStyle', 'German', false); t := set_config('TimeZone', 'Europe/Berlin', false)},
	q{EXECUTE 'SET DateStyle = German'; EXECUTE 'SET TimeZone = ''Europe/Berlin'''})
{
	(my $iso = run("$_; $moment")) =~ s/02\.01\.2024/2024-01-02/;
	is($iso, "SUCCESS|$german$executor]||", "plans: with those of the body: $_");
	is(run($moment), $own, '... and after it as before');
}
sql(q{ALTER SYSTEM SET DateStyle = 'iso, dmy'; ALTER SYSTEM SET TimeZone = 'Europe/Berlin'; SELECT pg_reload_conf()});
poll(q{SELECT current_setting('TimeZone') = 'Europe/Berlin'});
is(run($moment), "SUCCESS|$german$executor]||", 'plans: a reload makes them anew');
sql(q{ALTER SYSTEM RESET DateStyle; ALTER SYSTEM RESET TimeZone; SELECT pg_reload_conf()});

# A command that steps run again and again has a plan that is kept, but follows
# what it depends on; one of several statements is analysed as they are run.
sql(q{CREATE TABLE changing (a int); INSERT INTO changing VALUES (1);
	CREATE SCHEMA nearer; CREATE TABLE nearer.changing AS SELECT 'near' AS a});
my $reads = q{PERFORM wf_complete(wf_step('s', 'SELECT a FROM changing WHERE $1 IS NULL OR a::text = $1::text'))};
is(run($reads), 'SUCCESS|1||', "step plans: run $_") foreach 1 .. 7;
is(run("SET search_path = nearer, public; $reads"), 'SUCCESS|"near"||', 'step plans: search_path');
is(run($reads), 'SUCCESS|1||', '... and without it');
sql(q{ALTER TABLE changing ALTER a TYPE text USING a || ' is text'});
is(run($reads), 'SUCCESS|"1 is text"||', 'step plans: another type');
sql(q{DROP TABLE changing});
like(run($reads), qr/^ERROR\|\|42P01\|relation "changing" does not exist$/, 'step plans: a table that is gone');
my $several = q{PERFORM wf_complete(wf_step('s', 'CREATE TEMP TABLE made ON COMMIT DROP AS SELECT 3 AS a; SELECT a FROM made;'))};
is(run($several), 'SUCCESS|3||', "step plans: several statements, run $_") foreach 1 .. 3;
my $quoted = q{PERFORM wf_complete(wf_step('s', ' select ''a;b'' || $1::text ; ', '4'))};
is(run($quoted), 'SUCCESS|"a;b4"||', "step plans: a semicolon in a string, run $_") foreach 1 .. 3;
is(run(q{FOR i IN 1 .. 200 LOOP PERFORM wf_step('s', 'SELECT ' || i / 2); END LOOP; PERFORM wf_complete(wf_step('s', 'SELECT 7'))}),
	'SUCCESS|7||', 'step plans: more commands than there is room for');
like(run(q{BEGIN PERFORM wf_step('s', 'SELECT $2'); EXCEPTION WHEN undefined_parameter THEN END; PERFORM wf_step('s', 'SELECT $2')}),
	qr/^ERROR\|\|42P02\|/, 'step plans: an error of the analysis, twice');

# Neither a sequence's last value nor what random() goes on from is left.
is(run(q{PERFORM wf_step('s', 'SELECT nextval(''effect_n_seq''), setseed(0.5)'); PERFORM setseed(0.5)}),
	'SUCCESS|||', 'a sequence and a seed');
like(run(q{PERFORM wf_complete(wf_step('s', 'SELECT lastval()'))}), qr/^ERROR\|\|55000/, '... the value is unknown to the next body');
my $random = q{PERFORM wf_complete(wf_step('s', 'SELECT random()'))};
is(run("PERFORM setseed(0.5); $random"), run("PERFORM setseed(0.5); $random"), '... a seed gives a body its numbers');
run('PERFORM setseed(0.5)');
isnt(run($random), run("PERFORM setseed(0.5); $random"), '... but not the next one');

# A wait ends the transaction, hence SET LOCAL, in a replay as in the first run.
my $local = begin(q{SET LOCAL work_mem = '7MB'; SET my.own = 'kept';
	CALL wf_recv('t', NULL, NULL, got); PERFORM wf_step('1', 'SELECT 1');
	t := current_setting('work_mem'); CALL wf_recv('t', NULL, NULL, got);
	PERFORM wf_complete(jsonb_build_array(t <> '7MB', current_setting('work_mem') <> '7MB', current_setting('my.own')))});
foreach (1 .. 2)
{
	suspended($local);
	my $steps = sql("SELECT count(completed_at) FROM wf_list_steps('$local')");
	sql("SELECT wf_send('$local', '1', 't')");
	poll("SELECT count(completed_at) > $steps FROM wf_list_steps('$local')") if $_ == 1;
}
is(ended($local), 'SUCCESS|[true, true, "kept"]||', 'SET LOCAL ends with a CALLed wait, replayed or not');

# COMMIT and ROLLBACK between steps and waits.
my $commits = begin(<<'SQL');
PERFORM wf_step('1', 'INSERT INTO effect (what) VALUES (1)'); COMMIT;
PERFORM wf_step('2', 'INSERT INTO effect (what) VALUES (2)'); ROLLBACK;
PERFORM wf_step('3', 'INSERT INTO effect (what) VALUES (3)'); PERFORM wf_set_event('k', '3'); COMMIT; ROLLBACK;
CALL wf_recv('t', NULL, NULL, got);
PERFORM wf_step('4', 'INSERT INTO effect (what) VALUES (4)'); PERFORM wf_set_event('k', '4'); ROLLBACK;
CALL wf_recv('t', NULL, NULL, got); ROLLBACK;
CALL wf_step('5', 'INSERT INTO effect (what) VALUES (5)', NULL, 1, '0', got); ROLLBACK
SQL
foreach (1 .. 2)
{
	suspended($commits);
	end_executors() if $_ == 2;
	my $steps = sql("SELECT count(completed_at) FROM wf_list_steps('$commits')");
	sql("SELECT wf_send('$commits', '1', 't')");
	poll("SELECT count(completed_at) > $steps FROM wf_list_steps('$commits')");
}
is(ended($commits), 'SUCCESS|||', 'COMMIT and ROLLBACK: it ends');
is(effects($commits), '1 3 5', 'COMMIT and ROLLBACK: effects');
is(sql("SELECT wf_get_event('$commits', 'k', '0')"), 3, 'COMMIT and ROLLBACK: events');
is(sql("SELECT string_agg(concat(step_no, ' ', function, '(', name, ')', CASE WHEN undone THEN ' undone' END), ', ' ORDER BY step_no) FROM durable_wf.step WHERE workflow_id = '$commits'"),
	'1 wf_step(1), 2 wf_step(2) undone, 3 wf_step(3), 4 wf_set_event(k), 5 wf_recv(t), '
	  . '6 wf_step(4) undone, 7 wf_set_event(k) undone, 8 wf_recv(t), 9 wf_step(5)',
	'COMMIT and ROLLBACK: the journal');

# --------------------------------------------------------------------- the log

# A body that catches the refusal of a rule: the log warns of it, and says what to
# write instead.
foreach my $rule (
	[ 'a write', q{INSERT INTO effect (what) VALUES ('no')}, qr/write in its steps only.*HINT:.*PERFORM wf_step/s ],
	[ 'a function that writes', q{PERFORM nextval('some_numbers')}, qr/read-only/ ],
	[ 'a wait', q{PERFORM wf_recv('t', '1 h')}, qr/has to be CALLed.*HINT:.*CALL wf_recv/s ],
	[ 'a wait in a block', q{CALL wf_recv('t', '1 h', NULL, got)}, qr/cannot wait inside an EXCEPTION block/ ])
{
	my ($name, $statement, $message) = @$rule;
	my $id = 'catches_' . ($name =~ s/ /_/gr);
	my $offset = -s $node->logfile;

	sql('CREATE SEQUENCE IF NOT EXISTS some_numbers');
	sql("CREATE PROCEDURE $id(input jsonb) LANGUAGE plpgsql AS \$body\$ DECLARE got jsonb;
		BEGIN BEGIN $statement; EXCEPTION WHEN OTHERS THEN NULL; END; PERFORM wf_set_event('goes_on', '1'); END \$body\$");
	sql("SELECT wf_start('$id', '$id')");
	like(ended($id), qr/^SUCCESS/, "$name, caught");
	like(slurp_file($node->logfile, $offset), qr/WARNING:.*workflow "$id" has caught an error.*$message/s, '... is in the log');
}

# A call after the end: the log's hint says what is missing.
foreach my $call (q{wf_set_event('k', '1')}, q{wf_step('s', 'SELECT 1')})
{
	my $id = 'ended_' . ($call =~ /^wf_(\w+)/)[0];

	sql("CREATE PROCEDURE $id(input jsonb) LANGUAGE plpgsql AS \$body\$
		BEGIN PERFORM wf_complete(to_jsonb(1)); PERFORM $call; EXCEPTION WHEN SQLSTATE 'WF008' THEN RAISE WARNING '%: %', SQLSTATE, SQLERRM; RAISE; END \$body\$");
	my $offset = -s $node->logfile;
	sql("SELECT wf_start('$id', '$id')");
	like(ended($id), qr/^ERROR\|\|WF008/, "$call after wf_complete");
	like(slurp_file($node->logfile, $offset), qr/HINT:.*let RETURN follow that/, '... says what is missing');
}

# A step's command is read anew where its literals stand for a moment, or are
# read with settings that a function has SET for itself.
sql(<<'SQL');
CREATE TABLE literals (workflow_id text DEFAULT wf_current(), n timestamptz, read_at timestamptz DEFAULT now(), d date);
CREATE FUNCTION dates() RETURNS void LANGUAGE plpgsql AS $$
BEGIN PERFORM wf_step('dates', $q$INSERT INTO literals (d) VALUES ('1/2/2024')$q$); END $$;
CREATE FUNCTION dmy_dates() RETURNS void LANGUAGE plpgsql SET datestyle = 'ISO, DMY' AS $$
BEGIN PERFORM wf_step('dates', $q$INSERT INTO literals (d) VALUES ('1/2/2024')$q$); END $$;
CREATE PROCEDURE reads_literals(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_step('now', $q$INSERT INTO literals (n) VALUES ('now')$q$);
    IF input->>0 = 'dmy' THEN PERFORM dmy_dates(); ELSE PERFORM dates(); END IF;
END $$;
SQL
foreach my $run (1 .. 6)
{
	my $style = $run =~ /[2356]/ ? 'dmy' : 'mdy';

	sql(qq{SELECT wf_start('literals $run', 'reads_literals', '["$style"]')});
	like(ended("literals $run"), qr/^SUCCESS/, "literals of run $run");
	is(sql("SELECT string_agg(CASE WHEN d IS NULL THEN (n = read_at)::text ELSE to_char(d, 'YYYY-MM-DD') END, ' ' ORDER BY d NULLS FIRST) FROM literals WHERE workflow_id = 'literals $run'"),
		$style eq 'dmy' ? 'true 2024-02-01' : 'true 2024-01-02', '... are read anew');
}

$node->stop;
done_testing();
