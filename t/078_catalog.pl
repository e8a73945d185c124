
# What the extension puts into the catalog, object by object: who may execute
# and read what, which functions lend rights, how views guard rows.  Anything
# that the lists here do not name is a failure.  (That functions are VOLATILE
# and PARALLEL UNSAFE is in sql/00_setup.sql, that all is explained in
# sql/views.sql, what acts for the session in sql/restricted.sql.)

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql);
use Test::More;

start_node('main');
sql('CREATE EXTENSION durable_wf');

my $ours = q{JOIN pg_depend d ON d.classid = '%1$s'::regclass AND d.objid = o.oid
       AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'};
my $functions = 'pg_proc o ' . sprintf($ours, 'pg_proc');
my $relations = 'pg_class o ' . sprintf($ours, 'pg_class');

# Run a query whose lines must be these.
sub only
{
	my ($query, $what, @expected) = @_;
	is(sql($query), join("\n", @expected), $what);
	return;
}

cmp_ok(sql("SELECT count(*) FROM $functions"), '>=', 100, 'functions are found');
cmp_ok(sql("SELECT count(*) FROM $relations"), '>=', 20, 'relations are found');

# ----- functions -----

only("SELECT DISTINCT l.lanname FROM $functions JOIN pg_language l ON l.oid = o.prolang ORDER BY 1",
	'languages', qw(c plpgsql sql));
only("SELECT o.oid::regprocedure FROM $functions JOIN pg_language l ON l.oid = o.prolang AND l.lanname <> 'c' ORDER BY o.oid::regprocedure::text COLLATE \"C\"",
	'functions that are statements',
	qw{durable_wf.cron_schedule(text,text,text) durable_wf.cron_trouble(name) durable_wf.give_shard(integer,integer)
	  durable_wf.make_schedule(text,text,text,jsonb) durable_wf.node_fault() durable_wf.prune_all(interval)
	  durable_wf.require_cron(text) durable_wf.start_tick(text,text,jsonb) durable_wf.stat_mailboxes()
	  durable_wf.stat_waits() durable_wf.stat_workflows() wf_adopt() wf_distribute(integer) wf_list_steps(text)
	  wf_move_shard(bigint,text) wf_schedule(text,text,text,jsonb) wf_schedule_retention(text,interval) wf_unschedule(text)});
only("SELECT o.oid::regprocedure FROM $functions JOIN pg_language l ON l.oid = o.prolang AND l.lanname = 'c' WHERE o.probin !~ 'durable_wf\$'",
	'C functions are in our library');
only("SELECT o.oid::regprocedure FROM $functions WHERE o.prosecdef ORDER BY o.proname",
	'functions that lend the rights of their owner',
	qw{durable_wf.cron_trouble(name) durable_wf.stat_mailboxes() durable_wf.stat_waits() durable_wf.stat_workflows() wf_adopt()});
only("SELECT o.oid::regprocedure FROM $functions WHERE o.prosecdef AND NOT COALESCE(o.proconfig::text ~ 'search_path=pg_catalog, pg_temp', false)",
	'those have a search_path of their own');
only("SELECT o.oid::regprocedure FROM $functions WHERE o.proleakproof",
	'no function is leakproof');
only("SELECT o.oid::regprocedure FROM $functions WHERE o.provolatile <> 'v' AND o.pronamespace = 'public'::regnamespace",
	'all that users call is volatile, but what reads its argument only', 'wf_form(text)');
only("SELECT o.oid::regprocedure, a.privilege_type FROM $functions, aclexplode(o.proacl) a WHERE a.grantee <> o.proowner AND (a.grantee <> 0 OR a.is_grantable)",
	'execution is granted to PUBLIC or to nobody, and never to hand on, but to the owner of the database and to monitors',
	qw{wf_adopt()|EXECUTE durable_wf.stat_workflows()|EXECUTE durable_wf.stat_waits()|EXECUTE durable_wf.stat_mailboxes()|EXECUTE});
only("SELECT DISTINCT a.grantee::regrole FROM $functions, aclexplode(o.proacl) a WHERE o.proname ~ '^stat_' AND a.grantee <> o.proowner",
	'what lends rights to count is for monitors', 'pg_monitor');
only("SELECT a.grantee::regrole FROM $functions, aclexplode(o.proacl) a WHERE o.proname = 'wf_adopt' AND a.grantee <> o.proowner",
	'wf_adopt() is for the owner of the database', 'pg_database_owner');
only("SELECT DISTINCT n.nspname FROM $functions JOIN pg_namespace n ON n.oid = o.pronamespace ORDER BY 1",
	'schemas', qw(durable_wf public));
only("SELECT o.oid::regprocedure FROM $functions WHERE o.pronamespace = 'public'::regnamespace AND o.proname !~ '^wf_' AND o.prorettype <> 'trigger'::regtype",
	'names in public begin with wf_');

# ----- tables, views, sequences -----

only("SELECT o.relname FROM $relations WHERE o.relkind = 'r' AND o.relnamespace <> 'durable_wf'::regnamespace",
	'tables are in our schema');
only("SELECT o.relname, a.privilege_type FROM $relations, aclexplode(o.relacl) a WHERE a.grantee <> o.relowner AND (a.privilege_type <> 'SELECT' OR a.is_grantable OR a.grantee <> 0)",
	'others may read, and no more');
only("SELECT o.relname FROM $relations, aclexplode(o.relacl) a WHERE a.grantee = 0 AND o.relkind IN ('r', 'S') AND NOT o.relrowsecurity ORDER BY 1",
	'a table that others may read shows rows by policies, but for where the database and its shards are at home', qw(custody home));
only("SELECT o.relname FROM $relations WHERE o.relkind = 'v' AND NOT COALESCE(o.reloptions::text ~ 'security_invoker=true', false) AND NOT COALESCE(o.reloptions::text ~ 'security_barrier=true', false) ORDER BY 1",
	'a view acts for its caller, or is a barrier');
only("SELECT p.polrelid::regclass, p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = 'durable_wf'::regnamespace AND NOT (p.polpermissive AND p.polroles = '{0}' AND p.polwithcheck IS NULL AND pg_get_expr(p.polqual, p.polrelid) ~ ('w.workflow_id = ' || c.relname || '.workflow_id')) ORDER BY 1",
	'policies show the rows of those workflows that one may see; this one says which', 'durable_wf.workflow|workflow_owner');
only("SELECT tgrelid::regclass, tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'durable_wf'::regnamespace AND NOT tgisinternal AND tgenabled <> 'A' ORDER BY 1, 2",
	'our triggers fire in any session; what releases hooks is replicated as its effects', 'durable_wf.workflow|release_hooks');

# ----- what none of them may do -----

sql(q{CREATE ROLE nobody; CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO nobody});
is(sql(q{SELECT count(*) FROM pg_class c, pg_roles r
 WHERE c.relnamespace = 'durable_wf'::regnamespace AND c.relkind IN ('r', 'S') AND r.rolname = 'nobody'
   AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')}), 0,
	'a role writes none of our tables, and puts no trigger there');
is(sql(q{SELECT has_schema_privilege('nobody', 'durable_wf', 'CREATE')}), 'f', 'and creates nothing in our schema');

done_testing();
