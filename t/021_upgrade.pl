# ALTER EXTENSION UPDATE from 0.1.0, beside sessions that wait: they end with a
# clear error, nothing that is stored is lost, and what comes out is the same
# as what CREATE EXTENSION makes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node session start asleep outcome waits_for_lock);
use PostgreSQL::Test::Utils;
use Test::More;

my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my $scripts = "$sharedir/extension";

plan skip_all => "no upgrade from 0.1.0 in $scripts"
  unless glob "$scripts/durable_wf--0.1.0--*.sql";

my $node = start_node('main');

# All that the extension consists of, with definitions, comments and privileges.
sub objects
{
	return $node->safe_psql($_[0], <<'SQL');
SET search_path = pg_catalog;
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid FROM pg_depend d
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass
                     AND d.refobjid = e.oid AND e.extname = 'durable_wf'
 WHERE d.deptype = 'e';
CREATE TEMP VIEW relation AS
SELECT c.* FROM pg_class c
  JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

SELECT pg_describe_object(classid, objid, 0),
       obj_description(objid, classid::regclass::name)
  FROM member ORDER BY 1;
SELECT pg_get_functiondef(p.oid), p.proacl, p.proowner::regrole
  FROM pg_proc p JOIN member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
 ORDER BY 1;
SELECT oid::regclass, relkind, relpersistence, relowner::regrole, relacl, reloptions,
       relrowsecurity, relforcerowsecurity, relreplident,
       pg_get_viewdef(oid), seqtypid::regtype, seqstart, seqincrement, seqcache, seqcycle
  FROM relation LEFT JOIN pg_sequence ON seqrelid = oid
 ORDER BY oid::regclass::text;
SELECT a.attrelid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attcollation::regcollation, a.attnotnull, a.attstorage, a.attacl,
       (SELECT array_agg(o) FROM unnest(a.attoptions) o WHERE o NOT LIKE 'pg_attver=%'),
       pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
  FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid AND r.relkind <> 'i'
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 ORDER BY a.attrelid::regclass::text, a.attnum;
SELECT c.conname, c.conrelid::regclass, pg_get_constraintdef(c.oid), c.convalidated
  FROM pg_constraint c JOIN relation r ON r.oid = c.conrelid
 ORDER BY c.conrelid::regclass::text, c.conname;
SELECT pg_get_indexdef(i.indexrelid), i.indisvalid,
       obj_description(i.indexrelid, 'pg_class')
  FROM pg_index i JOIN relation r ON r.oid = i.indrelid ORDER BY 1;
SELECT pg_get_triggerdef(t.oid), t.tgenabled
  FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid ORDER BY 1;
SELECT p.polname, p.polrelid::regclass, p.polcmd, p.polpermissive, p.polroles,
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
       obj_description(p.oid, 'pg_policy')
  FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
 ORDER BY p.polrelid::regclass::text, p.polname;
SELECT t.oid::regtype, t.typtype, t.typlen, t.typbyval, t.typalign, t.typstorage,
       t.typinput::regproc, t.typoutput::regproc, t.typowner::regrole, t.typacl
  FROM pg_type t JOIN member m ON m.objid = t.oid AND m.classid = 'pg_type'::regclass
 ORDER BY t.oid::regtype::text;
SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod
  FROM pg_cast c JOIN member m ON m.objid = c.oid AND m.classid = 'pg_cast'::regclass
 ORDER BY 1, 2;
SELECT n.nspname, n.nspowner::regrole, n.nspacl
  FROM pg_namespace n JOIN member m ON m.objid = n.oid AND m.classid = 'pg_namespace'::regclass;
SELECT e.extname, e.extversion, e.extrelocatable, e.extnamespace::regnamespace,
       (SELECT array_agg(t::regclass ORDER BY t::regclass::text) FROM unnest(e.extconfig) t),
       e.extcondition
  FROM pg_extension e WHERE e.extname = 'durable_wf';
SELECT c.type, c.subobject, c.initprivs
  FROM (SELECT pg_describe_object(classoid, objoid, objsubid) AS type,
               objsubid AS subobject, i.initprivs::text
          FROM pg_init_privs i
          JOIN member m ON m.classid = i.classoid AND m.objid = i.objoid) c
 ORDER BY 1, 2;
SQL
}

# The lines that only one of two texts has.
sub difference
{
	my ($old, $new) = @_;
	my %count;

	$count{$_}++ foreach split /\n/, $new;
	$count{$_}-- foreach split /\n/, $old;
	return join "\n",
	  map { ($count{$_} > 0 ? '+' : '-') . $_ }
	  grep { $count{$_} != 0 } sort keys %count;
}

# All that is stored.
sub contents
{
	return $node->safe_psql($_[0], <<'SQL');
SELECT workflow_id, owner, status, body, queue, input, output, error, attempts,
       created_at, updated_at, finished_at
  FROM durable_wf.workflow ORDER BY workflow_id;
SELECT message_id, workflow_id, door, key, payload, wait_id, created_at
  FROM durable_wf.message ORDER BY message_id;
TABLE durable_wf.event ORDER BY workflow_id, key;
TABLE durable_wf.idempotency ORDER BY 1, 2, 3;
SQL
}

$node->safe_psql('postgres', 'CREATE ROLE "an owner"');
my $version = $node->safe_psql('postgres',
	q{SELECT default_version FROM pg_available_extensions WHERE name = 'durable_wf'});

# Make a database with a version of the extension in a schema.
sub create
{
	my ($database, $schema, $version) = @_;

	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	$node->safe_psql($database, <<"SQL");
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS "$schema";
GRANT USAGE ON SCHEMA "$schema" TO PUBLIC;
ALTER DATABASE "$database" SET search_path = "$schema", public;
CREATE EXTENSION durable_wf VERSION '$version' SCHEMA "$schema";
SQL
	return;
}

isnt($version, '0.1.0', "there is something later than 0.1.0: $version");
is( $node->safe_psql('postgres',
		q{SELECT source, target FROM pg_extension_update_paths('durable_wf')
		   WHERE path IS NOT NULL AND target < source}),
	'', 'there is no way back');

foreach my $schema ('public', 'wf schema')
{
	my $database = "upgraded in $schema";
	my $name = "schema $schema";
	my ($fresh, $before, $sequence, %sessions, $upgrade);

	create("fresh in $schema", $schema, $version);
	$fresh = objects("fresh in $schema");

	create($database, $schema, '0.1.0');
	$node->safe_psql($database, <<'SQL');
SELECT wf_start('w', input => '{"a": 1}'), wf_start('done'), wf_start('cancelled');
SELECT wf_send('w', to_jsonb(i), 'q') FROM generate_series(1, 5) i;
SELECT wf_send('w', 'null'), wf_send('w', '"once"', 'k', 'key'),
       wf_send('done', '"left"'), wf_notify('e', '"addressed"', 'w');
SELECT wf_set_event('url', '"https://example"', 'w');
BEGIN;
SET LOCAL durable_wf.workflow_id = 'done';
SELECT wf_complete('{"b": 2}');
COMMIT;
SELECT wf_cancel('cancelled');
SET ROLE "an owner";
SELECT wf_start('owned'), wf_send('owned', '"mine"');
SQL
	$before = contents($database);
	isnt(objects($database), $fresh, "$name: 0.1.0 is another one");

	# sessions that wait, with plans that are kept, and one that is idle
	$sessions{$_} = session($node, $database) foreach qw(function call block idle);
	$sessions{idle}->query_safe(q{SELECT wf_status('w'), wf_send('w', '0', 'x'),
		wf_recv('x', '0', 'w'), wf_get_event('w', 'url', '0')});
	$sessions{block}->query_safe('BEGIN');
	asleep(start($sessions{function}, q{SELECT wf_recv('none', NULL, 'w')}));
	asleep(start($sessions{call}, q{CALL wf_get_event('w', 'none', NULL, NULL)}));
	asleep(start($sessions{block}, q{SELECT * FROM wf_wait_for_event('none', NULL, 'w')}));
	$sequence = $node->safe_psql($database,
		'SELECT last_value FROM durable_wf.message_id_seq');

	$node->safe_psql($database, 'ALTER EXTENSION durable_wf UPDATE');
	foreach my $waiter (qw(function call block))
	{
		like(outcome($sessions{$waiter}),
			qr/ERROR:  55006: extension "durable_wf" is being altered or dropped.*HINT:  Wait again/s,
			"$name: a waiting session ends ($waiter)");
	}
	$sessions{block}->query('ROLLBACK');

	is( $node->safe_psql($database,
			q{SELECT extversion FROM pg_extension WHERE extname = 'durable_wf'}),
		$version, "$name: the version");
	is(difference($fresh, objects($database)),
		'', "$name: the same objects as in a new one");
	is(contents($database), $before, "$name: all is there that was");
	is( $node->safe_psql($database,
			'SELECT last_value FROM durable_wf.message_id_seq'),
		$sequence, "$name: ids go on where they were");

	# the same sessions, and new ones
	is( $sessions{idle}->query_safe(
			q{SELECT wf_status('w'), wf_send('w', '0', 'x') > 0,
				wf_recv('x', '0', 'w'), wf_get_event('w', 'url', '0')}),
		'PENDING|t|0|"https://example"', "$name: an old session goes on");
	asleep(start($sessions{function}, q{SELECT wf_recv('new', NULL, 'w')}));
	asleep(start($sessions{call}, q{CALL wf_get_event('w', 'new', NULL, NULL)}));
	asleep(start($sessions{block}, q{SELECT * FROM wf_wait_for_event('new', NULL, 'w')}));
	$node->safe_psql($database, q{SELECT wf_send('w', '1', 'new'),
		wf_set_event('new', '2', 'w'); SELECT wf_notify('new', '3')});
	is(join(' ', map { outcome($sessions{$_}) } qw(function call block)),
		'1 2 3|f', "$name: and waits again");
	is( $node->safe_psql($database, <<'SQL'),
SELECT wf_send('w', '"twice"', 'k', 'key') =
       (SELECT message_id FROM durable_wf.message WHERE key = 'k');
SELECT string_agg(message::text, ' ') FROM wf_recv_many('q', 100, '0', 'w');
SELECT event_data FROM wf_wait_for_event('e', '0', 'w');
SELECT wf_result('done', '0'), wf_status('cancelled');
SET ROLE "an owner";
SELECT wf_recv(NULL, '0', 'owned');
SELECT string_agg(workflow_id, ' ') FROM wf_workflows;
SQL
		qq{t\n1 2 3 4 5\n"addressed"\n(SUCCESS,"{""b"": 2}",)|CANCELLED\n}
		  . qq{"mine"\nowned},
		"$name: what was stored is used");
	is( $node->safe_psql($database, <<'SQL'),
SET client_min_messages = error;
CREATE TABLE orders (id text);
CREATE TRIGGER t AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('{id}', 'orders');
INSERT INTO orders VALUES ('w');
SELECT wf_recv('orders', '0', 'w');
DROP TABLE orders;
SELECT wf_prune('0');
SELECT count(*) FROM durable_wf.message WHERE workflow_id = 'done';
SQL
		qq({"id": "w"}\n2\n0), "$name: what is new works on it");

	# an UPDATE whose session is killed forbids nothing any longer
	$upgrade = session($node, $database);
	$sessions{idle}->query_safe('BEGIN; TABLE durable_wf.event');
	$upgrade->query_until(qr//, "DROP EXTENSION durable_wf;\n");
	waits_for_lock("pid = $upgrade->{pid}");
	kill 'TERM', $upgrade->{pid} or die "kill: $!";
	eval { $upgrade->{run}->finish };
	$sessions{idle}->query_safe('ROLLBACK');
	asleep(start($sessions{function}, q{SELECT wf_recv('new', NULL, 'w')}));
	$node->safe_psql($database, q{SELECT wf_send('w', '"still there"', 'new')});
	is(outcome($sessions{function}),
		'"still there"', "$name: a DROP that is killed has changed nothing");

	# and in the end nothing is left
	$node->safe_psql($database, 'DROP EXTENSION durable_wf');
	is( $node->safe_psql($database, <<'SQL'),
SELECT (SELECT count(*) FROM pg_proc WHERE probin LIKE '%durable_wf%') +
       (SELECT count(*) FROM pg_namespace WHERE nspname = 'durable_wf') +
       (SELECT count(*) FROM pg_class WHERE relname LIKE 'wf\_%') +
       (SELECT count(*) FROM pg_type WHERE typname LIKE 'wf\_%')
SQL
		0, "$name: DROP EXTENSION leaves nothing");
	$_->quit foreach values %sessions;
}

$node->stop;
done_testing();
