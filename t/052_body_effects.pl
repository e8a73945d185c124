# What a body may do outside of its steps, function by function and way by way:
# nothing that a replay would do to the world again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql);
use DurableWf::Bodies qw(run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# One executor: a body runs in the process of the one before it.
my $node = start_node('main', {
	max_worker_processes => 20, wal_level => 'logical',
	'durable_wf.max_executors' => 1, 'durable_wf.max_attempts' => 2 });

sql('CREATE EXTENSION durable_wf; CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION dblink');

my $refused = qr/^ERROR\|\|WF009\|the body of a workflow can write in its steps only$/;

# ---------------------------------------------------- the server's functions

# Each VOLATILE function is known to be harmless, or known not to be: what is
# neither, in another version, is to be looked at (and is refused until then).
my @effects = split ' ', <<'LIST';
binary_upgrade_create_empty_extension binary_upgrade_set_missing_value binary_upgrade_set_next_array_pg_type_oid
binary_upgrade_set_next_attribute_versions binary_upgrade_set_next_heap_pg_class_oid binary_upgrade_set_next_heap_relfilenode
binary_upgrade_set_next_index_pg_class_oid binary_upgrade_set_next_index_relfilenode binary_upgrade_set_next_multirange_array_pg_type_oid
binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid binary_upgrade_set_next_pg_enum_oid
binary_upgrade_set_next_pg_tablespace_oid binary_upgrade_set_next_pg_type_oid binary_upgrade_set_next_toast_pg_class_oid
binary_upgrade_set_next_toast_relfilenode binary_upgrade_set_record_init_privs binary_upgrade_logical_slot_has_caught_up
binary_upgrade_add_sub_rel_state binary_upgrade_replorigin_advance
brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list
lo_creat lo_create lo_export lo_from_bytea lo_import lo_put lo_truncate lo_truncate64 lo_unlink lowrite
pg_backup_start pg_backup_stop pg_copy_logical_replication_slot pg_copy_physical_replication_slot
pg_create_logical_replication_slot pg_create_physical_replication_slot pg_create_restore_point pg_drop_replication_slot
pg_export_snapshot pg_extension_config_dump pg_import_system_collations pg_log_backend_memory_contexts pg_log_standby_snapshot
pg_logical_emit_message pg_logical_slot_get_binary_changes pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes
pg_logical_slot_peek_changes pg_nextoid pg_notify pg_promote pg_reload_conf pg_replication_origin_advance pg_replication_origin_create
pg_replication_origin_drop pg_replication_origin_session_reset pg_replication_origin_session_setup pg_replication_origin_xact_reset
pg_replication_origin_xact_setup pg_replication_slot_advance pg_rotate_logfile pg_rotate_logfile_old
pg_stat_reset pg_stat_reset_replication_slot pg_stat_reset_shared pg_stat_reset_single_function_counters
pg_stat_reset_single_table_counters pg_stat_reset_slru pg_stat_reset_subscription_stats pg_stat_reset_backend_stats
pg_stop_making_pinned_objects pg_switch_wal pg_sync_replication_slots pg_wal_replay_pause pg_wal_replay_resume
pg_clear_relation_stats pg_restore_relation_stats pg_clear_attribute_stats pg_restore_attribute_stats
LIST

# EXPLAIN makes them ready to be called, and does not call them.
sql(<<'SQL');
CREATE VIEW volatile AS
SELECT p.proname AS name, format('SELECT pg_catalog.%I(%s) %s', p.proname,
	   (SELECT string_agg(CASE WHEN p.provariadic NOT IN (0, '"any"'::regtype) AND a.n = p.pronargs THEN 'VARIADIC ' ELSE '' END || 'a' || a.n, ', ' ORDER BY a.n) FROM generate_series(1, p.pronargs) a (n)),
	   (SELECT format('FROM (SELECT %s OFFSET 0) s', string_agg(format('NULL::%s AS a%s',
	           CASE a.type WHEN 'anyarray'::regtype THEN 'int[]' WHEN '"any"'::regtype THEN 'text' ELSE a.type::regtype::text END, a.n), ', ' ORDER BY a.n))
	      FROM unnest(p.proargtypes) WITH ORDINALITY a (type, n) HAVING count(*) > 0)) AS query
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile = 'v' AND p.prokind = 'f' AND l.lanname <> 'sql'
   AND NOT 'internal'::regtype = ANY (p.proargtypes) AND p.oid < 16384
   AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype);
CREATE TABLE verdict (name text, refused boolean);
SQL
is(run(<<'SQL'), 'SUCCESS|||', 'functions of the server: looked at');
DECLARE f record; verdicts jsonb = '[]'; refused boolean; BEGIN
FOR f IN SELECT * FROM volatile WHERE name NOT LIKE 'plpgsql%' LOOP
	BEGIN EXECUTE 'EXPLAIN ' || f.query; refused = false; EXCEPTION WHEN SQLSTATE 'WF009' THEN refused = true; END;
	verdicts = verdicts || jsonb_build_object('name', f.name, 'refused', refused);
END LOOP;
PERFORM wf_step('verdicts', 'INSERT INTO verdict SELECT DISTINCT * FROM jsonb_to_recordset($1) v (name text, refused boolean)', verdicts);
END
SQL
cmp_ok(sql('SELECT count(*) FROM verdict'), '>', 150, 'functions of the server: there are many');
is(sql('SELECT name FROM verdict GROUP BY name HAVING count(*) > 1'), '', 'functions of the server: by name, whatever their arguments');
my %effect = map { $_ => 1 } @effects;
is(join(' ', grep { !$effect{$_} } split /\n/, sql('SELECT name FROM verdict WHERE refused ORDER BY 1')), '',
	'functions of the server: each that is refused is known to have an effect');
is(join(' ', grep { $effect{$_} } split /\n/, sql('SELECT name FROM verdict WHERE NOT refused ORDER BY 1')), '',
	'functions of the server: none that has an effect is let through');

# -------------------------------------------------- ways to call one of them

# Each as statements: in a function that a step calls, where it does what it
# does; in the body; in the function, after a step has called it, in the same
# transaction and after a commit.
sql(<<'SQL');
CREATE FUNCTION sql_effect() RETURNS oid LANGUAGE sql AS 'SELECT lo_create(0)';
CREATE FUNCTION rows_of() RETURNS SETOF oid LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT lo_create(0); END';
CREATE FUNCTION liar() RETURNS oid LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lo_create(0); END';
CREATE FUNCTION liar_of(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM lo_create(0); RETURN $1; END';
CREATE FUNCTION stable_liar() RETURNS oid LANGUAGE plpgsql STABLE AS 'DECLARE o oid; BEGIN o := lo_create(0); RETURN o; END';
CREATE FUNCTION by_default(o oid DEFAULT lo_create(0)) RETURNS oid LANGUAGE sql IMMUTABLE AS 'SELECT o';
CREATE FUNCTION plpgsql_by_default(o oid DEFAULT lo_create(0)) RETURNS oid LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN o; END';
CREATE FUNCTION own_internal(oid) RETURNS oid LANGUAGE internal AS 'be_lo_create';
CREATE FUNCTION plus(int, int) RETURNS oid LANGUAGE sql AS 'SELECT lo_create((0 * $1 * $2)::oid)';
CREATE OPERATOR +! (LEFTARG = int, RIGHTARG = int, FUNCTION = plus);
CREATE AGGREGATE makes(*) (SFUNC = lo_create, STYPE = oid, INITCOND = '0');
CREATE DOMAIN checked AS int CHECK (lo_create(0) > 0 OR VALUE > 0);
CREATE DOMAIN sql_checked AS int CHECK (sql_effect() > 0 OR VALUE > 0);
CREATE TYPE source AS (a int);
CREATE FUNCTION cast_source(source) RETURNS oid LANGUAGE sql AS 'SELECT lo_create((0 * ($1).a)::oid)';
CREATE CAST (source AS oid) WITH FUNCTION cast_source(source) AS ASSIGNMENT;
CREATE VIEW makes_view AS SELECT lo_create(0) AS o;
CREATE TABLE one (a int);
INSERT INTO one VALUES (1);
CREATE PROCEDURE nested() LANGUAGE plpgsql AS 'DECLARE o oid; BEGIN o := lo_create(0); END';
CREATE PROCEDURE takes(o oid) LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION makes_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM lo_create(0); RETURN NEW; END';
CREATE FUNCTION in_worker(int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN PERFORM pg_logical_emit_message(false, 'worker', ''); RETURN $1; END $$;
CREATE TABLE big AS SELECT generate_series(1, 10) AS a;
SQL

# Tests: what a function of this code does is allowed in a step, and refused in
# the body outside of it.  $has_large_object: each call makes one.
my $nways = 0;

sub way
{
	my ($name, $code, $has_large_object) = @_;
	my $f = 'way_' . ++$nways;
	my $count = q{SELECT count(*) FROM pg_largeobject_metadata};
	my $before = $has_large_object ? sql($count) : 0;

	sql("CREATE FUNCTION $f() RETURNS void LANGUAGE plpgsql AS \$f\$ DECLARE o oid; t text; n bigint; BEGIN $code; END \$f\$");
	is(run("PERFORM wf_step('s', 'SELECT $f()')"), 'SUCCESS|||', "in a step: $name");
	cmp_ok(sql($count), '>', $before, '... with its effect') if $has_large_object;
	like(run("$code"), $refused, "in the body itself: $name");
	like(run("PERFORM wf_step('s', 'SELECT $f()'); PERFORM $f()"), $refused, "outside after a step: $name");
	like(run("PERFORM wf_step('s', 'SELECT $f()'); COMMIT; PERFORM $f()"), $refused, "outside after a commit: $name");
	return;
}

foreach my $way (
	[ 'PERFORM', 'PERFORM lo_create(0)' ],
	[ 'an assignment', 'o := lo_create(0)' ],
	[ 'an initial value', 'DECLARE p oid := lo_create(0); BEGIN END' ],
	[ 'SELECT INTO', 'SELECT lo_create(0) INTO o' ],
	[ 'IF', 'IF lo_create(0) > 0 THEN NULL; END IF' ],
	[ 'CASE', 'CASE WHEN lo_create(0) > 0 THEN NULL; END CASE' ],
	[ 'WHILE', 'WHILE lo_create(0) = 0 LOOP NULL; END LOOP' ],
	[ 'EXIT WHEN', 'LOOP EXIT WHEN lo_create(0) > 0; END LOOP' ],
	[ 'a FOR loop', 'FOR i IN 1 .. (lo_create(0) > 0)::int LOOP NULL; END LOOP' ],
	[ 'a FOR loop over a query', 'FOR o IN SELECT lo_create(0) LOOP NULL; END LOOP' ],
	[ 'FOREACH', 'FOREACH o IN ARRAY ARRAY[lo_create(0)] LOOP NULL; END LOOP' ],
	[ 'ASSERT', 'ASSERT lo_create(0) > 0' ],
	[ 'RAISE', q{RAISE DEBUG '%', lo_create(0)} ],
	[ 'EXECUTE', q{EXECUTE 'SELECT lo_create(0)'} ],
	[ 'EXECUTE USING', q{EXECUTE 'SELECT $1' USING lo_create(0)} ],
	[ 'a cursor', 'DECLARE c CURSOR FOR SELECT lo_create(0); BEGIN OPEN c; FETCH c INTO o; CLOSE c; END' ],
	[ 'the argument of a cursor', 'DECLARE c CURSOR (p oid) FOR SELECT p; BEGIN OPEN c(lo_create(0)); CLOSE c; END' ],
	[ 'a FOR loop over a cursor', 'DECLARE c CURSOR FOR SELECT lo_create(0); BEGIN FOR r IN c LOOP NULL; END LOOP; END' ],
	[ 'a prepared statement', q{EXECUTE 'PREPARE p AS SELECT lo_create(0)'; EXECUTE 'EXECUTE p'; EXECUTE 'DEALLOCATE p'} ],
	[ 'the argument of one', q{EXECUTE 'PREPARE p AS SELECT $1::oid'; EXECUTE 'EXECUTE p(lo_create(0))'; EXECUTE 'DEALLOCATE p'} ],
	[ 'DO', q{EXECUTE 'DO $$ DECLARE o oid; BEGIN o := lo_create(0); END $$'} ],
	[ 'a procedure', 'CALL nested()' ],
	[ 'the argument of a procedure', 'CALL takes(lo_create(0))' ],
	[ 'a function in SQL', 'o := sql_effect()' ],
	[ 'one in FROM', 'PERFORM FROM sql_effect()' ],
	[ 'a function that returns rows', 'PERFORM rows_of()' ],
	[ 'one in FROM that does', 'SELECT * INTO o FROM rows_of()' ],
	[ 'a function that says that it is immutable', q{EXECUTE 'SELECT liar()'} ],
	[ 'one that says that it is stable', 'o := stable_liar()' ],
	[ 'one that is asked when a query begins', q{SET LOCAL plan_cache_mode = force_generic_plan; PERFORM FROM one WHERE a::oid = stable_liar()} ],
	[ 'the default of an argument', 'o := by_default()' ],
	[ 'one in PL/pgSQL', 'o := plpgsql_by_default()' ],
	[ 'one that is the server\'s by another name', 'o := own_internal(0)' ],
	[ 'an operator', 'o := 1 +! 1' ],
	[ 'an aggregate', 'SELECT makes(*) INTO o FROM one' ],
	[ 'an aggregate over a window', 'SELECT makes(*) OVER () INTO o FROM one' ],
	[ 'a domain', 'DECLARE d checked; BEGIN d := 0; END' ],
	[ 'a domain with a function in SQL', 'DECLARE d sql_checked; BEGIN d := 0; END' ],
	[ 'a cast to one', 'n := 0::checked' ],
	[ 'one in a query', 'SELECT a::checked INTO n FROM one' ],
	[ 'one in JSON', q{PERFORM FROM jsonb_to_recordset('[{"a": 0}]') j (a checked)} ],
	[ 'a cast of an assignment', 'DECLARE s source := ROW(1); BEGIN o := s; END' ],
	[ 'a view', 'SELECT m.o INTO o FROM makes_view m' ],
	[ 'WITH', 'WITH w AS MATERIALIZED (SELECT lo_create(0) AS o) SELECT w.o INTO o FROM w' ],
	[ 'a subquery', 'o := (SELECT lo_create(0))' ],
	[ 'LIMIT', 'PERFORM FROM one LIMIT (lo_create(0) > 0)::int' ],
	[ 'query_to_xml', q{PERFORM query_to_xml('SELECT lo_create(0)', false, false, '')} ],
	[ 'EXPLAIN ANALYZE', q{EXECUTE 'EXPLAIN ANALYZE SELECT lo_create(0)'} ])
{
	way(@$way, 1);
}
foreach my $way (
	[ 'pg_notify', q{t := pg_notify('channel', '')} ],
	[ 'a message in the WAL', q{PERFORM pg_logical_emit_message(true, 'outbox', 'x')} ],
	[ 'one that no rollback undoes', q{t := pg_logical_emit_message(false, 'outbox', 'x')} ],
	[ 'in parallel workers', q{PERFORM set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query'); PERFORM in_worker(a) FROM big} ],
	[ 'another segment of the WAL', 'PERFORM pg_switch_wal()' ],
	[ 'a restore point', q{PERFORM pg_create_restore_point('here')} ],
	[ 'a function of an extension', q{PERFORM dblink_get_connections() FROM dblink_connect('nothing', 'dbname=postgres host=' || current_setting('unix_socket_directories') || ' port=' || current_setting('port')) c, dblink_disconnect('nothing') d WHERE c = d} ],
	[ 'a file', q{EXECUTE format('COPY (SELECT 1) TO %L', current_setting('data_directory') || '/copied')} ],
	[ 'a program', q{COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'} ],
	[ 'ANALYZE', 'ANALYZE one' ],
	[ 'REINDEX', 'REINDEX TABLE one' ],
	[ 'NOTIFY', 'NOTIFY channel' ],
	[ 'EXPLAIN ANALYZE of what makes a table', q{EXECUTE 'EXPLAIN ANALYZE CREATE TABLE made AS SELECT 1'; EXECUTE 'DROP TABLE made'} ])
{
	way(@$way);
}
is(sql(q{SELECT count(*) FROM pg_class WHERE relname = 'made'}), 0, 'no table was made');

# Temporary tables, whose defaults, checks and triggers could do more, do not
# outlive the step that makes them, and outside of steps none can be made.
sql('CREATE INDEX ON one (a)');
like(run(q{PERFORM wf_step('s', 'CREATE TEMP TABLE plain (a int, o oid DEFAULT lo_create(0)); INSERT INTO plain VALUES (1)'); INSERT INTO plain VALUES (1)}),
	qr/^ERROR\|\|WF009\|step "s" has left something temporary: table plain$/, 'a temporary table, made in a step');
like(run(q{CREATE TEMP TABLE plain (a int); INSERT INTO plain VALUES (1)}), $refused, 'a temporary table, made outside of one');

# ------------------------------------------------ what a step has left behind

# A step that fails leaves as little as one that succeeds; one after the other.
sql(<<'SQL');
CREATE FUNCTION mk() RETURNS oid LANGUAGE plpgsql AS 'DECLARE o oid; BEGIN o := lo_create(0); RETURN o; END';
CREATE FUNCTION mk_and_raise() RETURNS oid LANGUAGE plpgsql AS $$ BEGIN PERFORM mk(); RAISE division_by_zero; END $$;
CREATE FUNCTION opens(held boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE c refcursor := 'c';
BEGIN
	IF held THEN EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT lo_create(0) FROM generate_series(1, 10)';
	ELSE OPEN c FOR SELECT lo_create(0) FROM generate_series(1, 10); END IF;
END $$;
CREATE FUNCTION opens_block() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM opens(false); EXCEPTION WHEN no_data_found THEN NULL; END $$;
CREATE DOMAIN json_checked AS jsonb CHECK (lo_create(0) > 0);
CREATE FUNCTION assigns() RETURNS jsonb LANGUAGE plpgsql AS $$ DECLARE d json_checked; BEGIN d := '1'::jsonb; RETURN 1; END $$;
SQL
like(run(q{t := pg_export_snapshot()}), $refused, 'a snapshot to share');
like(run(q{BEGIN PERFORM wf_step('s', 'SELECT mk_and_raise()'); EXCEPTION WHEN division_by_zero THEN NULL; END; o := mk()}), $refused,
	'after a step that has failed');
like(run(q{PERFORM wf_step('s', 'SELECT mk()'); BEGIN o := mk(); EXCEPTION WHEN OTHERS THEN NULL; END; o := mk()}), $refused,
	'after a refusal that was caught');
like(run(q{PERFORM wf_step('1', 'SELECT mk()'); PERFORM wf_step('2', 'SELECT 1'); o := mk()}), $refused, 'after another step');
like(run(q{DECLARE d json_checked; BEGIN d := wf_step('s', 'SELECT assigns()'); END}), $refused, 'the assignment of what a step returns');
like(run(q{n := (wf_step('s', 'SELECT mk()::bigint'))::bigint + mk()::bigint}), $refused, 'in the expression of the step');
my $many = sql('SELECT count(*) FROM pg_largeobject_metadata');
is(run(q{FOR i IN 1 .. 5 LOOP PERFORM wf_step(i::text, 'SELECT mk()'); END LOOP}), 'SUCCESS|||', 'step after step');
is(sql('SELECT count(*) FROM pg_largeobject_metadata') - $many, 5, '... each with its effect');

# Its cursors are closed; the body's own are not.
foreach my $open (q{SELECT opens(false)}, q{SELECT opens(true)}, q{SELECT opens_block()}, q{DECLARE c CURSOR FOR SELECT lo_create(0)})
{
	foreach my $use (q{EXECUTE 'FETCH c'}, q{EXECUTE 'MOVE c'}, q{DECLARE c refcursor := 'c'; BEGIN FETCH c INTO o; END}, q{COMMIT; EXECUTE 'FETCH c'})
	{
		next if $open =~ /^DECLARE/ && $use =~ /COMMIT/;
		like(run("PERFORM wf_step('s', '$open'); $use"), qr/^ERROR\|\|34000\|cursor "c" does not exist$/, "cursor of a step: $open: $use");
	}
}
is(run(q{DECLARE own CURSOR FOR SELECT * FROM generate_series(1, 3); BEGIN OPEN own; FETCH own INTO n;
	PERFORM wf_step('s', 'SELECT opens(false)'); FETCH own INTO n; PERFORM wf_step('t', 'SELECT opens(false)'); FETCH own INTO n;
	PERFORM wf_complete(to_jsonb(n)); END}), 'SUCCESS|3||', 'cursor of the body: goes on');
is(run(q{FOR n IN SELECT * FROM generate_series(1, 3) LOOP PERFORM wf_step(n::text, 'SELECT opens(false)'); END LOOP; PERFORM wf_complete(to_jsonb(n))}),
	'SUCCESS|3||', 'loop of the body: goes on');

# --------------------------------------------------------- what is harmless

sql(q{CREATE SEQUENCE seq; SELECT lo_from_bytea(4242, 'x')});
foreach my $code (
	q{n := random() * 10}, q{PERFORM setseed(0.5)}, q{t := clock_timestamp()}, q{t := timeofday()}, q{t := gen_random_uuid()},
	q{t := uuid_generate_v4()}, q{PERFORM pg_sleep(0)}, q{PERFORM pg_sleep_for('1 us')}, q{n := txid_current()}, q{t := pg_current_xact_id()},
	q{PERFORM set_config('work_mem', '5MB', false)}, q{PERFORM pg_advisory_lock(1); PERFORM pg_advisory_unlock(1)},
	q{PERFORM pg_try_advisory_xact_lock(2)}, q{PERFORM FROM pg_locks}, q{PERFORM FROM pg_stat_activity}, q{PERFORM FROM pg_prepared_xacts},
	q{PERFORM FROM pg_cursors}, q{PERFORM FROM pg_settings}, q{n := pg_total_relation_size('one')}, q{t := lo_get(4242)},
	q{PERFORM wf_step('s', 'SELECT nextval(''seq'')'); n := currval('seq') + lastval()}, q{t := pg_read_file('PG_VERSION')},
	q{PERFORM pg_cancel_backend(0)}, q{t := pg_current_wal_lsn()}, q{EXECUTE 'EXPLAIN ANALYZE SELECT 1'}, q{EXECUTE 'EXPLAIN DECLARE c CURSOR FOR SELECT 1'},
	q{LOCK TABLE one IN ACCESS SHARE MODE}, q{SET CONSTRAINTS ALL IMMEDIATE}, q{EXECUTE 'SHOW work_mem'}, q{UNLISTEN *}, q{DISCARD PLANS},
	q{PERFORM current_setting('work_mem')}, q{PERFORM FROM information_schema.tables}, q{PERFORM pg_is_in_recovery()},
	q{PERFORM FROM wf_workflows}, q{PERFORM FROM wf_waiters}, q{PERFORM FROM wf_stat}, q{PERFORM wf_list_steps(wf_current())},
	q{PERFORM set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query'); PERFORM count(*) FROM big})
{
	like(run($code), qr/^SUCCESS/, "harmless: $code");
}

# --------------------------------------------------------- settings at the end

# What a body leaves as its settings does not meddle with its end.
foreach my $set (
	'SET default_transaction_read_only = on', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
	'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE', q{SET DateStyle = 'German, DMY'},
	'SET default_transaction_deferrable = on', 'SET quote_all_identifiers = on', q{SET search_path = 'nowhere'}, q{SET lock_timeout = '1ms'})
{
	is(run($set), 'SUCCESS|||', "settings: $set");
	is(run("$set; COMMIT"), 'SUCCESS|||', "settings: $set; COMMIT");
	is(run("PERFORM wf_step('s', 'SELECT 1'); PERFORM wf_complete('1'); $set"), 'SUCCESS|1||', "settings: after wf_complete: $set");
	is(run("$set; COMMIT; RAISE EXCEPTION 'my own error'"), 'ERROR||P0001|my own error', "settings: before an error: $set");
	is(run("$set; RAISE EXCEPTION 'my own error'"), 'ERROR||P0001|my own error', "settings: before an error, undone: $set");
	is(run(q{PERFORM wf_complete(wf_step('s', 'SELECT 1'))}), 'SUCCESS|1||', '... nor with the next one');
}
is(sql(q{SELECT max(attempts) FROM wf_workflows}), 1, 'none of these has cost a process');

$node->stop;
done_testing();
