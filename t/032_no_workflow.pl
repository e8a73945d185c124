# Every function of the extension where the session executes nothing any more
# but has not committed that yet, where it never did, where its replay has
# diverged; in sessions and in bodies; without shared memory; on a standby.
# What is called comes from the catalog, so a new function is called, too.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session outcome);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', {
	max_worker_processes => 20, log_min_messages => 'warning',
	'durable_wf.suspend_after' => '10ms' }, allows_streaming => 1);

# Call everything, each call by itself and undone: SQLSTATEs of what raised.
# Arguments are a name, 1 and the like, or NULLs; and an interval, since NULL
# would wait for ever.
my $walk = <<'SQL';
CREATE FUNCTION value_for(type regtype, name text, duration text) RETURNS text LANGUAGE sql AS $$
SELECT CASE type::text
	WHEN 'text' THEN quote_nullable(name) WHEN 'jsonb' THEN '''1''' WHEN 'interval' THEN quote_nullable(duration)
	WHEN 'text[]' THEN quote_nullable('{' || name || '}') WHEN 'jsonb[]' THEN '''{"1"}'''
	WHEN 'boolean' THEN 'true' WHEN 'integer' THEN '1' WHEN 'bigint' THEN '1' WHEN 'cstring' THEN '''1'''
	WHEN 'bytea' THEN '''''' WHEN 'oid' THEN '1' WHEN 'timestamp with time zone' THEN 'now()'
	ELSE 'NULL' END || '::' || type
$$;
CREATE FUNCTION calls(name text, duration text) RETURNS SETOF text LANGUAGE sql AS $$
SELECT format('%s %s(%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.oid::regproc,
	(SELECT string_agg(CASE WHEN name IS NULL AND a.type <> 'interval'::regtype OR a.n > p.pronargs - (SELECT count(*) FROM unnest(p.proargmodes) m WHERE m = 'b')
		THEN 'NULL::' || a.type::regtype ELSE value_for(a.type, name, duration) END, ', ' ORDER BY a.n)
	   FROM unnest(p.proargtypes) WITH ORDINALITY a (type, n)))
  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
	   AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	   JOIN pg_extension e ON e.oid = d.refobjid
 WHERE e.extname = 'durable_wf' AND p.prokind IN ('f', 'p') ORDER BY p.oid::regprocedure::text
$$;
CREATE FUNCTION walk(VARIADIC names text[]) RETURNS SETOF text LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	call text;
BEGIN
	FOR call IN SELECT c FROM unnest(names) name, unnest('{0,12 ms}'::text[]) duration, calls(name, duration) c LOOP
		BEGIN
			EXECUTE call;
			RETURN NEXT '00000 ' || call;
			RAISE EXCEPTION USING ERRCODE = 'UNDOO';
		EXCEPTION
			WHEN SQLSTATE 'UNDOO' THEN NULL;
			WHEN OTHERS OR query_canceled THEN RETURN NEXT concat_ws(' ', SQLSTATE, call, SQLERRM);
		END;
	END LOOP;
END $$;
SQL
sql('CREATE EXTENSION durable_wf');
sql($walk);
sql(q{SELECT wf_start('other'), wf_start('keeps'); CREATE ROLE alice LOGIN; GRANT ALL ON SCHEMA public TO alice});

my $functions = sql(q{SELECT count(*) FROM calls('other', '0')});
cmp_ok($functions, '>', 70, 'there is something to call');

# No call crashed, none raised what is for faults of the server.
sub is_sane
{
	my ($output, $name, $nsets) = @_;
	my @lines = split /\n/, $output;

	is(scalar(grep { /^(WF\d|[0-9A-Z]{5}) (SELECT|CALL) / } @lines), $nsets * $functions, "$name: all were called")
	  or diag(join "\n", grep { !/^[0-9A-Z]{5} (SELECT|CALL) / } @lines);
	is(join("\n", grep { /^XX/ } @lines), '', "$name: each with a sane outcome");
	return;
}

# ------------------------------------------------------------------ sessions

my @ends = (q{wf_detach()}, q{wf_complete('1')}, q{wf_fail('x')}, q{wf_cancel('%s')}, q{wf_continue_as_new('1')});
my $nworkflows = 0;

foreach my $diverges (0, 1)
{
	foreach my $end ('', @ends)
	{
		next if $diverges && $end =~ /cancel|continue/;	# these are steps themselves
		my $id = 'session ' . ++$nworkflows;
		my $session = session();
		my $name = ($diverges ? 'after WF004, ' : '') . ($end ? "after $end" : 'attached');

		outcome($session, "SELECT wf_start('$id'), wf_attach('$id'); SELECT wf_now()");
		like(outcome($session, "SELECT wf_detach(); SELECT wf_attach('$id'); SELECT wf_random()"), qr/WF004/, "$name: diverged")
		  if $diverges;
		outcome($session, 'BEGIN; SELECT ' . sprintf($end, $id)) if $end;
		is_sane(outcome($session, "SELECT walk('other', '$id', 'none', NULL)"), $name, 8);
		outcome($session, 'COMMIT') if $end;
		is_sane(outcome($session, "SELECT walk('other')"), "$name, and its commit", 2) if $end;

		# and what was undone with a savepoint goes on
		if ($end)
		{
			my $other = session();
			outcome($other, "SELECT wf_start('$id+'), wf_attach('$id+'); BEGIN; SELECT wf_set_event('k', '1'); SAVEPOINT s; SELECT "
				  . sprintf($end, "$id+"));
			is_sane(outcome($other, "SELECT walk('other')"), "$name, to be rolled back", 2);
			like(outcome($other, "ROLLBACK TO s; SELECT wf_set_event('k', '2'); SELECT wf_current(); COMMIT"), qr/^\n*\Q$id+\E$/m,
				"$name, rolled back: attached");
			is(sql("SELECT wf_get_event('$id+', 'k', '0')"), 2, "$name, rolled back: goes on");
			$other->quit;
		}
		$session->quit;
	}
}
{
	my $session = session();
	is_sane(outcome($session, "SELECT walk('other', NULL)"), 'never attached', 4);
	outcome($session, 'BEGIN; SELECT wf_attach(\'keeps\'); ROLLBACK');
	is_sane(outcome($session, "SELECT walk('other', NULL)"), 'attached and rolled back', 4);
	$session->quit;
}

# After WF004 nothing is recorded, and an end is an end.
{
	my $session = session();
	outcome($session, q{SELECT wf_start('left'), wf_attach('left'); SELECT wf_now(); SELECT wf_detach(); SELECT wf_attach('left')});
	like(outcome($session, q{SELECT wf_uuid()}), qr/WF004/, 'diverged');
	is(outcome($session, q{BEGIN; SELECT wf_fail('x'); SELECT wf_send('other', '1', 'alert') > 0; COMMIT}), "\nt", 'after the end it is plain SQL');
	is(sql(q{SELECT status FROM wf_result('left')}) . sql(q{SELECT depth FROM wf_mailbox WHERE key = 'alert'}), 'ERROR1', '... and both are done');
	outcome($session, q{SELECT wf_start('left2'), wf_attach('left2'); SELECT wf_now(); SELECT wf_detach(); SELECT wf_attach('left2')});
	outcome($session, q{BEGIN; SELECT wf_complete(); ROLLBACK});
	like(outcome($session, q{SELECT wf_uuid()}), qr/WF004/, 'an end in place of something else, undone: it stays diverged');
	$session->quit;
}

# A commit inside a call ends the run: the call has no workflow any more.
sql(<<'SQL');
CREATE TABLE queued (id text);
CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF NEW.id LIKE '%detach' THEN PERFORM wf_detach(); ELSE PERFORM wf_complete(); END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER ends AFTER INSERT ON queued DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ends();
SELECT wf_send('other', '1', 'of the call');
SQL
foreach my $how ('detach', 'complete')
{
	foreach my $call (q{wf_recv('of the call', '1 s', 'other', got)}, q{wf_get_event('none', 'k', '20 ms', got)}, q{wf_sleep('20 ms', at)},
		q{wf_recv('t', '20 ms', NULL, got)}, q{wf_step('s', 'SELECT 1 / 0', NULL, 2, '20 ms', got)})
	{
		my $session = session();
		my $id = 'in commit ' . ++$nworkflows . " $how";

		outcome($session, "SELECT wf_start('$id'), wf_attach('$id')");
		outcome($session, "DO \$\$ DECLARE got jsonb; at timestamptz; BEGIN INSERT INTO queued VALUES ('$id'); CALL $call; END \$\$");
		is(outcome($session, 'SELECT wf_current() IS NULL'), 't', "$how by the commit of a call: $call");
		$session->quit;
	}
}
is(sql(q{SELECT depth FROM wf_mailbox WHERE key = 'of the call'}), 1, 'what such a call had taken is back');

# -------------------------------------------------------------------- bodies

# In the transaction of the end, and after its commit.
foreach my $commits ('', 'COMMIT;')
{
	foreach my $end (@ends[ 1 .. $#ends ])
	{
		my $id = 'body_' . ++$nworkflows;
		my $offset = -s $node->logfile;

		sql("CREATE PROCEDURE $id(input jsonb) LANGUAGE plpgsql AS \$body\$ DECLARE line text; BEGIN IF input IS NOT NULL THEN RETURN; END IF; PERFORM "
			  . sprintf($end, $id)
			  . "; $commits FOR line IN SELECT walk('other', '$id', NULL) LOOP RAISE WARNING 'walk: %', line; END LOOP; END \$body\$");
		sql("SELECT wf_start('$id', '$id')");
		poll("SELECT finished_at IS NOT NULL FROM wf_workflows WHERE workflow_id = '$id'");
		$node->wait_for_log(qr/walk: .*\n(?s:.)*walk: /, $offset);
		poll(q{SELECT count(*) = 0 FROM wf_workflows WHERE status IN ('RUNNING') AND body IS NOT NULL});
		poll(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'durable_wf executor' AND state = 'active'});
		is_sane(join("\n", slurp_file($node->logfile, $offset) =~ /WARNING:  walk: (.*)/g), "body: after $end $commits", 6);
	}
}

# CALLed: what would have to wait, beyond durable_wf.suspend_after, says so.
my $calls = sql(<<'SQL');
SELECT p.proname || '|' || string_agg(CASE WHEN p.proargmodes[a.n] = 'b' THEN p.proargnames[a.n]
	   ELSE value_for(a.type, 'NAME', '10 min') END, ', ' ORDER BY a.n) || '|' ||
	   string_agg(p.proargnames[a.n] || ' ' || a.type::regtype || ';', ' ') FILTER (WHERE p.proargmodes[a.n] = 'b')
  FROM pg_proc p, unnest(p.proargtypes) WITH ORDINALITY a (type, n)
 WHERE p.prokind = 'p' AND p.proname LIKE 'wf\_%' GROUP BY p.oid, p.proname ORDER BY p.proname
SQL
foreach my $commits ('', 'COMMIT;')
{
	foreach my $end (@ends[ 1 .. $#ends ])
	{
		foreach my $line (split /\n/, $calls)
		{
			my ($procedure, $arguments, $variables) = split /\|/, $line;

			foreach my $name ('other', '')
			{
				my $id = 'call_' . ++$nworkflows;
				(my $given = $arguments) =~ s/NAME/$name || $id/ge;
				sql("CREATE PROCEDURE $id(input jsonb) LANGUAGE plpgsql AS \$body\$ #variable_conflict use_variable
					DECLARE $variables BEGIN IF \$1 IS NOT NULL THEN RETURN; END IF; PERFORM " . sprintf($end, $id)
					  . "; $commits CALL $procedure($given); END \$body\$; SELECT wf_start('$id', '$id')");
			}
		}
	}
}
poll(q{SELECT bool_and(finished_at IS NOT NULL) FROM wf_workflows WHERE body LIKE 'public.call\_%'});
is(sql(q{SELECT DISTINCT error_state, error FROM durable_wf.workflow WHERE workflow_id LIKE 'call\_%' AND status = 'ERROR'
	AND error_state !~ '^(WF00.|22023|55000)$'}), '', 'bodies that CALL after their end: each with a sane outcome');

# What is committed as the end stays so, whatever comes after it.
foreach my $end (q{wf_complete('"done"')}, q{wf_fail('it failed')}, q{wf_cancel(wf_current())}, q{wf_continue_as_new('1')})
{
	foreach my $call (q{wf_get_event('none', 'k', '1 min', got)}, q{wf_result('other', '1 min', t, got, t)}, q{wf_recv('t', '1 min', 'other', got)})
	{
		my $id = 'stays_' . ++$nworkflows;
		my $offset = -s $node->logfile;

		sql("CREATE PROCEDURE $id(input jsonb) LANGUAGE plpgsql AS \$body\$ DECLARE got jsonb; t text; BEGIN IF input IS NOT NULL THEN RETURN; END IF; PERFORM $end; CALL $call; END \$body\$; SELECT wf_start('$id', '$id')");
		my $status = sql("SELECT status FROM wf_result('$id', '60 s')");
		is($status, { complete => 'SUCCESS', fail => 'ERROR', cancel => 'CANCELLED', continue => 'SUCCESS' }->{ ($end =~ /^wf_([a-z]+)/)[0] },
			"$end; CALL $call: the end stays");
		$node->wait_for_log(qr/ERROR:  cannot wait in wf_\w+\(\) after the end of the run.*HINT:.*let RETURN follow that/s, $offset);
		is(sql("SELECT coalesce(error, '') FROM wf_workflows WHERE workflow_id = '$id'"), $end =~ /fail/ ? 'it failed' : $end =~ /cancel/ ? 'cancelled by postgres' : '', '... as it was');
	}
}

# --------------------------------------------- no shared memory, and recovery

unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP:/, 'the server has not crashed');

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
{
	# plpgsql's EXCEPTION blocks need no xid
	my $session = session($standby);
	is_sane(outcome($session, "SELECT walk('other', NULL)"), 'in recovery', 4);
	$session->quit;
}
$standby->stop;
$node->stop;

my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->start;
$bare->safe_psql('postgres', "CREATE EXTENSION durable_wf; $walk");
$bare->safe_psql('postgres', q{SELECT wf_start('other')});
{
	my $session = session($bare);
	is_sane(outcome($session, "SELECT walk('other', NULL)"), 'without shared memory', 4);
	$session->quit;
}
unlike(slurp_file($bare->logfile), qr/terminated by signal|TRAP:/, '... and without a crash');
$bare->stop;

done_testing();
