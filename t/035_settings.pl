# What a database and a role have set changes neither what a call means nor
# whether a body, a timer, a webhook runs: the same calls in a database without
# settings and in one where every setting that ALTER ROLE and ALTER DATABASE
# take is another than usual have the same results.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node session start until_true);
use HTTP::Tiny;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $node = start_node('main', {
	log_min_messages => 'warning',
	max_prepared_transactions => 10,
	max_worker_processes => 20,
	'durable_wf.suspend_after' => '20ms' });

# ----- the settings -----

# What is left alone, and why
my %excluded = (
	# what is logged, and how much; what only a developer looks at
	(map { $_ => 'log' } qw(backtrace_functions extension_destdir jit_dump_bitcode
		  output_plugin_libraries trace_notify trace_sort
		  wal_consistency_checking)),
	# a resource, of which there has to be enough; and our own limits
	(map { $_ => 'limit' } qw(max_stack_depth temp_file_limit
		  durable_wf.step_timeout durable_wf.validator_timeout)),
	# a part of the present transaction, not of a session
	(map { $_ => 'transaction' } qw(transaction_deferrable
		  transaction_isolation transaction_read_only)),
	# there is no other
	(map { $_ => 'only one' } qw(default_table_access_method)),
	# each session loads it, or fails to begin
	(map { $_ => 'libraries' } qw(local_preload_libraries
		  session_preload_libraries)),
	# what these tests look at, and what allows the tablespace below
	(map { $_ => 'tests' } qw(track_activities allow_in_place_tablespaces)));

# What cannot be found out by the rules below
my %chosen = (
	application_name => 'odd',
	client_encoding => 'LATIN1',
	client_min_messages => 'error',
	commit_delay => '10',
	DateStyle => 'German',
	default_tablespace => 'odd_space',
	default_text_search_config => 'pg_catalog.simple',
	createrole_self_grant => 'set, inherit',
	# from PostgreSQL 18 on the server's own libraries are looked for there, too
	dynamic_library_path => $node->pg_version >= 18 ? '/nowhere:$libdir' : '/nowhere',
	extension_control_path => '/nowhere:$system',
	'durable_wf.workflow_id' => 'nobody',
	force_parallel_mode => 'on',
	IntervalStyle => 'sql_standard',
	jit => 'on',
	jit_above_cost => '0',
	lc_messages => 'POSIX',
	lc_monetary => 'POSIX',
	lc_numeric => 'POSIX',
	lc_time => 'POSIX',
	plan_cache_mode => 'force_custom_plan',
	restrict_nonsystem_relation_kind => q{view, 'foreign-table'},
	search_path => 'trap, pg_catalog, public',
	temp_tablespaces => 'odd_space',
	timezone_abbreviations => 'Australia',
	TimeZone => 'Asia/Kathmandu',
	# these are of clients' sessions, which are to live
	(map { $_ => '10min' } qw(client_connection_check_interval
		  idle_in_transaction_session_timeout idle_session_timeout
		  statement_timeout tcp_user_timeout transaction_timeout)),
	# a client takes this back, our processes ignore it
	lock_timeout => '1ms');

# Another value than the present one: the opposite of a boolean, the first other
# value of an enum, the least number or, if that is the present one, the next;
# undef for other types.
sub unusual
{
	my ($name, $type, $value, $min, $others) = @_;

	return $chosen{$name} if exists $chosen{$name};
	return $value eq 'on' ? 'off' : 'on' if $type eq 'bool';
	return (split /,/, $others)[0] if $type eq 'enum';
	return $value == $min ? $value + 1 : $min if $type =~ /integer|real/;
	return undef;
}

# All that ALTER DATABASE and ALTER ROLE take
my %odd;
foreach (split /\n/, $node->safe_psql('postgres', <<'SQL'))
SELECT name, vartype, setting, min_val,
       (SELECT string_agg(v, ',' ORDER BY n) FROM unnest(enumvals) WITH ORDINALITY AS e (v, n)
         WHERE v <> setting)
  FROM pg_settings WHERE context IN ('user', 'superuser')
SQL
{
	my ($name, @rest) = split /\|/, $_, -1;

	next if $excluded{$name} || $name =~ /^(log|debug)_/;
	$odd{$name} = unusual($name, @rest);
	diag("nothing is known of the setting $name, so it is not tried")
	  unless defined $odd{$name};
	delete $odd{$name} unless defined $odd{$name};
}
cmp_ok(scalar(keys %odd), '>', 120, 'settings');

# ----- two databases -----

my $install = <<'SQL';
CREATE EXTENSION durable_wf SCHEMA public;
CREATE SCHEMA settler AUTHORIZATION settler;
CREATE SCHEMA trap;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
SQL

# Functions and operators that raise "trapped": a process calls them only if it
# finds them by its search_path.
my $trap = <<'SQL';
SET search_path = pg_catalog;
CREATE FUNCTION trap.spring() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
DO $$
DECLARE
    t text;
    op text;
BEGIN
    FOREACH t IN ARRAY ARRAY['text', 'bigint', 'integer', 'oid', 'timestamptz', 'jsonb', 'boolean', '"char"', 'interval', 'name'] LOOP
        FOREACH op IN ARRAY '{=,<>,<,<=,>,>=}'::text[] LOOP
            EXECUTE format('CREATE FUNCTION trap.%I (%s, %s) RETURNS boolean LANGUAGE sql RETURN trap.spring()',
                           op, t, t);
            EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.%I)',
                           op, t, t, op);
        END LOOP;
    END LOOP;
END $$;
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
CREATE FUNCTION trap.pg_has_role(oid, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT trap.spring()';
CREATE FUNCTION trap.is_copy() RETURNS boolean LANGUAGE sql AS 'SELECT trap.spring()';
SQL

$node->safe_psql('postgres', <<'SQL');
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE odd_space LOCATION '';
GRANT CREATE ON TABLESPACE odd_space TO PUBLIC;
CREATE ROLE team;
CREATE ROLE settler LOGIN IN ROLE team;
CREATE DATABASE plain;
CREATE DATABASE odd;
SQL
# the settings of the database, and again of the role in it
foreach my $whose ('DATABASE odd', 'ROLE settler IN DATABASE odd')
{
	$node->safe_psql('postgres', join "\n",
		map { "ALTER $whose SET \"$_\" = "
			  . (/^search_path$|tablespaces|relation_kind/ ? $odd{$_} : "'$odd{$_}'") . ';' }
		  grep { $_ ne 'search_path' || $whose =~ /DATABASE/ } sort keys %odd);
	$node->safe_psql('postgres', "ALTER $whose SET role = 'team'");
}
$node->safe_psql('postgres',
	q{ALTER DATABASE odd SET session_authorization = 'settler'});

# What a client takes back: what it must not have to write, and what it means by
# itself (25006, 25001, and a session that ends).
my $client = <<'SQL';
SET ROLE NONE;
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
SET exit_on_error = off;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SQL

# Run statements as the superuser.
sub admin
{
	my ($database, $sql) = @_;

	return $node->safe_psql($database, $client . $sql);
}

# Run statements as the role with the settings, and return what they print and
# what they raise.
sub settler
{
	my ($database, $sql) = @_;
	my ($status, $output, $error) = $node->psql($database,
		"\\set VERBOSITY verbose\n$client$sql",
		extra_params => [ '-U', 'settler' ], on_error_stop => 0);

	return $output . join "\n", grep { !/^LOCATION/ } split /(?<=\n)/, $error;
}

admin($_, $install) foreach 'plain', 'odd';
admin('odd', $trap);
is( $node->safe_psql('odd',
		q{SELECT current_setting('DateStyle'), current_setting('row_security'), current_setting('session_replication_role'), current_user},
		extra_params => [ '-U', 'settler' ]),
	'German, DMY|off|replica|team', 'a session there is odd');

# ----- what is called -----

# (The body says nothing that the trap or standard_conforming_strings could
# turn into something else.)
my $objects = <<'SQL';
CREATE TABLE settler.effect (what text);
CREATE TABLE settler.booking (id int, day date, tz timestamptz, i interval, f float8, b bytea, r regclass);
CREATE TRIGGER tell AFTER INSERT ON settler.booking FOR EACH ROW
    EXECUTE FUNCTION public.wf_trigger_send('box', '{id} {day} {tz} {i} {f} {b} {r}');
ALTER TABLE settler.booking ENABLE ALWAYS TRIGGER tell;
CREATE FUNCTION settler.check(payload jsonb) RETURNS jsonb LANGUAGE sql
    AS $$SELECT jsonb_build_object('checked', payload, 'by', current_user, 'path', current_setting('search_path'))$$;
CREATE PROCEDURE settler.body(input jsonb) LANGUAGE plpgsql AS $body$
DECLARE
    got jsonb; topic text; timed_out boolean; error text; status text; woke_at timestamptz;
    all_of_it jsonb := jsonb_build_array(input, current_user, session_user, public.wf_current());
BEGIN
    PERFORM public.wf_step('effect', 'INSERT INTO settler.effect VALUES ($1 ->> $$text$$)', input);
    all_of_it := all_of_it || public.wf_step('values',
        'SELECT jsonb_build_array(1) || to_jsonb(0.1::float8) || to_jsonb(current_user)');
    all_of_it := all_of_it || public.wf_step('interval', 'SELECT make_interval(1, 2, 0, 3, 4)')
        || public.wf_step('bytes', 'SELECT decode($$00ff$$, $$hex$$)')
        || public.wf_step('date', 'SELECT make_date(2026, 11, 27)')
        || public.wf_step('float', 'SELECT 0.1::float8 + 0.2::float8');
    BEGIN
        PERFORM public.wf_step('wrong', 'SELECT 1 / 0');
    EXCEPTION WHEN division_by_zero THEN
        all_of_it := all_of_it || to_jsonb(SQLERRM);
    END;
    CALL public.wf_step('again', 'SELECT 1 / (nextval($$settler.tries$$) - 1)', NULL, 3, '30 ms', got);
    all_of_it := all_of_it || got;
    PERFORM public.wf_set_event('state', to_jsonb('began'::text));
    CALL public.wf_recv('go', '60 s', NULL, got);
    all_of_it := all_of_it || got;
    CALL public.wf_recv_any(ARRAY['a', NULL], '60 s', NULL, topic, got);
    all_of_it := all_of_it || to_jsonb(topic IS NULL) || got;
    CALL public.wf_get_event('box', 'k', '60 s', got);
    all_of_it := all_of_it || got;
    CALL public.wf_wait_for_event('e', '60 s', NULL, got, timed_out);
    all_of_it := all_of_it || got || to_jsonb(timed_out);
    CALL public.wf_await_hook(public.wf_create_hook('hook', NULL, 'settler.check'), '60 s', got);
    all_of_it := all_of_it || got;
    CALL public.wf_recv('never', '100 ms', NULL, got);
    all_of_it := all_of_it || to_jsonb(got IS NULL);
    CALL public.wf_sleep('100 ms', woke_at);
    CALL public.wf_result('other', '60 s', status, got, error);
    all_of_it := all_of_it || to_jsonb(status) || got;
    PERFORM public.wf_complete(all_of_it || to_jsonb(current_user) || to_jsonb(public.wf_now() IS NULL));
    IF public.wf_current() IS NOT NULL THEN
        RAISE WARNING 'somebody else''s workflow: %', public.wf_current();
    END IF;
END $body$;
CREATE PROCEDURE settler.wrong(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    CALL public.wf_recv('never', '50 ms', NULL, input);
    RAISE sqlstate 'XX123' USING MESSAGE = 'wrong', DETAIL = 'so it is';
END $$;
CREATE PROCEDURE settler.writes(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO settler.effect VALUES ('outside of a step');
END $$;
CREATE SEQUENCE settler.tries;
SQL

# Each line is a session of its own; what a line says twice is not waited for
# twice.
my @calls = (
	$objects,
	q{SELECT public.wf_start('box'), public.wf_start('box'), public.wf_start('other', queue => 'q')},
	q{SELECT public.wf_start('body', 'settler.body', E'{"text": "it''s %s \\\\" \\u00fc"}')},
	q{SELECT public.wf_get_event('body', 'state', '60 s')},
	q{SELECT public.wf_start('body', 'settler.body'), public.wf_start('body', 'settler.wrong')},
	q{SELECT public.wf_start('body', 'settler.body', E'{"text": "it''s %s \\\\" \\u00fc"}')},
	q{SELECT public.wf_start('wrong', 'settler.wrong'), public.wf_start('writes', 'settler.writes'),
	         public.wf_start('late', start_after => '1 day', timeout => '100 ms')},
	q{SELECT status, output, error FROM public.wf_result('wrong', '60 s')},
	q{SELECT status, output, error FROM public.wf_result('writes', '60 s')},
	q{SELECT status, output, error FROM public.wf_result('late', '60 s')},
	q{SET row_security = on; SELECT error_state, split_part(error_context, chr(10), 1) FROM durable_wf.workflow WHERE workflow_id = 'wrong'},
	q{BEGIN; SELECT public.wf_send('body', '1', 'go', 'key') IS NOT NULL; PREPARE TRANSACTION 'odd'; COMMIT PREPARED 'odd'},
	q{SELECT public.wf_send('body', '2', 'go', 'key') IS NOT NULL},
	q{SELECT public.wf_send_many('{body,box}', ARRAY['{"m": 1}', NULL]::jsonb[]) IS NOT NULL},
	q{SELECT public.wf_set_event('k', '[1.50, "v"]', 'box'), public.wf_get_event('box', 'k')},
	q{SELECT event_data, timed_out FROM public.wf_wait_for_event('none', '10 ms', 'box')},
	q{SELECT workflow_id FROM public.wf_notify('e', '{"told": true}', 'body')},
	# a hook, and what its validator sees
	q{DO $$BEGIN
	    FOR attempt IN 1 .. 6000 LOOP
	        EXIT WHEN EXISTS (SELECT FROM public.wf_get_hook('hook'));
	        PERFORM pg_sleep(0.01);
	    END LOOP;
	  END$$},
	q{SELECT public.wf_resume_hook('hook', '{"p": "\u00fc"}')},
	# a client that attaches, dies and goes on
	q{SELECT public.wf_attach_next('q');
	  SELECT public.wf_step('first', 'SELECT make_interval(days => 1)'), public.wf_step('second', 'SELECT 0.1::float8')},
	q{SELECT public.wf_attach('other');
	  SELECT public.wf_step('first', 'SELECT make_interval(days => 1)'), public.wf_step('second', 'SELECT 0.1::float8');
	  SELECT step_no, name, output FROM public.wf_list_steps('other');
	  SELECT public.wf_complete('"other"')},
	q{SELECT status, jsonb_pretty(output), error FROM public.wf_result('body', '60 s')},
	q{SELECT what FROM settler.effect},
	# triggers
	q{INSERT INTO settler.booking VALUES (1, make_date(2026, 11, 27), make_timestamptz(2026, 11, 27, 10, 0, 0, 'UTC'),
	         make_interval(1, 2, 0, 3, 4), 0.1::float8 + 0.2::float8, decode('00ff', 'hex'), 'settler.booking'::regclass);
	  SET row_security = on; SELECT key, payload FROM durable_wf.message ORDER BY message_id},
	q{SELECT public.wf_recv('1 2026-11-27 2026-11-27 10:00:00+00 1 year 2 mons 3 days 04:00:00 0.30000000000000004 ' || chr(92) || 'x00ff settler.booking', '0', 'box') IS NOT NULL},
	# a wait that is called by a client
	q{CALL public.wf_recv('none', '10 ms', 'box', NULL)},
	q{CALL public.wf_recv(NULL, '10 s', 'box', NULL)},
	# the end, and what is left
	q{SELECT public.wf_create_hook('gone', workflow_id => 'box'); SELECT public.wf_cancel('box'), public.wf_cancel('box')},
	q{SELECT public.wf_send('box', '1')},
	q{SELECT count(*) FROM public.wf_get_hook('gone')},
	q{SET row_security = on; SELECT count(*) FROM durable_wf.hook WHERE workflow_id OPERATOR(pg_catalog.=) 'box'},
	q{DO $$BEGIN
	    FOR attempt IN 1 .. 6000 LOOP
	        EXIT WHEN public.wf_prune('0') IN (1, 2, 3, 4, 5, 6);
	        PERFORM pg_sleep(0.01);
	    END LOOP;
	  END$$});

# The trap, of which clients know, is not for what they write themselves.
sub results
{
	my ($database) = @_;

	return map { settler($database, "SET search_path = pg_catalog;\n$_") } @calls;
}

my @plain = results('plain');
my @odd = results('odd');
foreach my $n (0 .. $#calls)
{
	is($odd[$n], $plain[$n], 'as without settings: ' . substr($calls[$n], 0, 100) =~ s/\s+/ /gr);
}
# the calls do what they are for, not only alike in both databases
is(join(' ', map { $plain[$_] =~ /^psql.*ERROR/m ? $_ : () } 0 .. $#calls), '4 28',
	'and each of them does what it is to');
like($plain[21], qr/^SUCCESS\|.*"settler".*"other"/s, 'the body was run by its owner');

# The upkeep, in a database that is read-only and SERIALIZABLE by default.
$node->psql('odd', q{SET ROLE NONE; SET default_transaction_read_only = off; SELECT public.wf_start('old'), public.wf_cancel('old')},
	extra_params => [ '-U', 'settler' ]);
until_true(
	sub {
		$node->psql('odd', q{SET ROLE NONE; CALL durable_wf.prune_all('0')}, extra_params => [ '-U', 'settler' ]) == 0
		  or die 'the upkeep fails';
		return admin('odd', 'SELECT count(*) FROM durable_wf.workflow WHERE finished_at IS NOT NULL') eq '0';
	},
	'all is pruned');
pass('the command of a retention');

# ----- listeners -----
{
	my $listener = session($node, 'odd');
	my $channel = $listener->query_safe(q{RESET ROLE; SET ROLE NONE;
		SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;
		SELECT public.wf_start('heard'); SELECT public.wf_listen('heard')}) =~ s/.*\n//sr;

	# (it may be told already while psql reads the answer)
	my $heard = $listener->query_safe(q{SELECT public.wf_send('heard', '1', 'topic')});
	until_true(
		sub { $heard .= $listener->query_safe('SELECT WHERE false'); return $heard =~ /"message"/ },
		'the worker notifies');
	like($heard, qr/"\Q$channel\E" with payload "\{"workflow_id": "heard", "kind": "message", "key": "topic"\}"/,
		'listeners are notified');
	$listener->quit;
}

# ----- a row that is locked, and a lock_timeout of 1 ms -----
{
	settler('odd', <<'SQL');
CREATE PROCEDURE settler.until_held(input jsonb) LANGUAGE plpgsql AS $$
BEGIN
    WHILE pg_try_advisory_xact_lock_shared(42) LOOP
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
    PERFORM wf_complete('"it waited"');
END $$;
SELECT public.wf_start('held', 'settler.until_held');
SQL
	my $holder = session($node, 'odd');

	until_true(
		sub { settler('odd', q{SELECT public.wf_status('held')}) eq 'RUNNING' },
		'it runs');
	$holder->query_safe(q{SET ROLE NONE; SET default_transaction_isolation = 'read committed';
		SET default_transaction_read_only = off; BEGIN});
	$holder->query_safe(q{SELECT FROM durable_wf.workflow w WHERE w.workflow_id OPERATOR(pg_catalog.=) 'held' FOR UPDATE});
	$holder->query_safe('SELECT pg_advisory_xact_lock(42)');
	$node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'})
	  or die 'it does not wait';
	$holder->query_safe('ROLLBACK');
	is(settler('odd', q{SELECT status, output, error FROM public.wf_result('held', '60 s')}),
		'SUCCESS|"it waited"|', q{a body's end waits for who holds its row, whatever its role's lock_timeout});
	is(admin('odd', q{SELECT attempts FROM durable_wf.workflow w WHERE w.workflow_id OPERATOR(pg_catalog.=) 'held'}),
		1, 'and its process has not died of it');
	$holder->quit;
}

# ----- the gateway -----
SKIP:
{
	my ($libdir) = map { chomp; $_ } `pg_config --pkglibdir`;

	skip 'the gateway is not built', 6 unless -e "$libdir/durable_wf_gateway.so";
	$node->append_conf('postgresql.conf', <<"CONF");
durable_wf.http_port = $port
durable_wf.http_database = 'odd'
CONF
	settler('odd', q{SELECT public.wf_start('web')});
	foreach my $role ('', 'settler')
	{
		my %token = map {
			$_ => settler('odd', "SELECT token FROM public.wf_create_webhook(workflow_id => 'web', validator => $_)")
		} 'NULL', q{'settler.check'};
		my $answer;

		$node->append_conf('postgresql.conf', "durable_wf.http_role = '$role'");
		$node->reload;
		$node->poll_query_until('postgres', sprintf(
				q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_wf gateway' AND usename = '%s'},
				$role || 'postgres'))
		  or die 'there is no gateway';
		foreach my $validator (sort keys %token)
		{
			until_true(
				sub {
					$answer = HTTP::Tiny->new->post(
						"http://127.0.0.1:$port/.well-known/workflow/v1/webhook/$token{$validator}",
						{ content => '{"a": ', headers => { 'content-type' => 'application/json' } });
					return $answer->{status} == 202;
				},
				"the gateway takes it: " . ($answer ? $answer->{status} : ''));
			like(settler('odd', "SELECT public.wf_await_hook('$token{$validator}', '0')"),
				qr/"body": "\{\\"a\\": "/, "the gateway as '$role', validator $validator");
		}
	}
	unlike(settler('odd', q{SET row_security = on; SELECT payload FROM durable_wf.message}), qr/./, 'each request came once');
}

# None of our processes has died of anything.
my $log = slurp_file($node->logfile);
unlike($log, qr/durable_wf [a-z]+.*exited with exit code|trapped|somebody else's workflow|terminated by signal/,
	'nothing has died, nothing was trapped');

$node->stop;
done_testing();
