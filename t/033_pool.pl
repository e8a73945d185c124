# A pool of client processes shares a queue: workflows whose code is a program
# of the user's.  Processes are killed at random, one of them certainly in the
# middle of a workflow, and each step happens once.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll until_true);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($python) = grep { -x } '/usr/bin/python3';
plan skip_all => 'Python 3 is missing' if !$python;
is(system($python, '-c', 'import psycopg2'), 0, 'python3-psycopg2 is there')
  or die 'install python3-psycopg2';

my $processes = 6;
my $workflows = 100;
my $kills = 40;
my $node = start_node('main', { max_connections => 50 });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE effect (workflow_id text, step text, pid int DEFAULT pg_backend_pid());
-- what is done outside of the database, by a session of its own
CREATE TABLE outside (workflow_id text, attempt serial);
SQL

my $program = $node->basedir . '/worker.py';
append_to_file($program, <<'PYTHON');
import json, signal, sys, time
import psycopg2

form, dsn = sys.argv[1:]
db = psycopg2.connect(dsn)
db.autocommit = True
world = psycopg2.connect(dsn)
world.autocommit = True
cursor = db.cursor()


def one(statement, *values):
    cursor.execute(statement, values)
    return cursor.fetchone()[0]


def effect(workflow_id, step):
    return one("SELECT wf_step(%s, %s)", step,
               "INSERT INTO effect VALUES ('%s', '%s'); SELECT '%s'" % (workflow_id, step, step))


def run(workflow_id):
    assert effect(workflow_id, "first") == "first"
    # look, do, record
    sent = one("SELECT wf_get_step('mail')")
    if sent is None:
        known = world.cursor()
        known.execute("SELECT FROM outside WHERE workflow_id = %s", (workflow_id,))
        world.cursor().execute("INSERT INTO outside VALUES (%s) RETURNING attempt", (workflow_id,))
        if workflow_id == "w 1" and known.rowcount == 0:
            signal.pause()
        time.sleep(0.02)
        cursor.execute("SELECT wf_save_step('mail', %s)", (json.dumps("sent"),))
    # a transaction of several statements
    cursor.execute("BEGIN")
    effect(workflow_id, "second")
    cursor.execute("SELECT wf_set_event('progress', '2')")
    cursor.execute("INSERT INTO effect SELECT %s, 'own'", (workflow_id,))
    cursor.execute("SELECT wf_complete('{\"done\": true}')")
    cursor.execute("COMMIT")


while True:
    if form == "call":
        workflow_id = one("CALL wf_attach_next('q', '60 s', NULL)")
    else:
        workflow_id = one("SELECT wf_attach_next('q', '60 s')")
    if workflow_id is None:
        break
    run(workflow_id)
PYTHON
chmod 0644, $program;

my (@pool, $started);

# Start one; every other CALLs.
sub start_process
{
	my $form = $started++ % 2 ? 'call' : 'select';
	my %process = (out => '');

	$process{run} = IPC::Run::start([ $python, $program, $form, $node->connstr('postgres') ],
		'<', \undef, '>&', \$process{out});
	return \%process;
}

# Kill one, and take in what it has said.
sub kill_process
{
	$_[0]{run}->signal('KILL');
	eval { $_[0]{run}->finish };
	return;
}

@pool = map { start_process() } 1 .. $processes;
sql(qq{SELECT count(wf_start('w ' || i, queue => 'q', start_after => make_interval(secs => i * 0.03))) FROM generate_series(1, $workflows) i});

# The first one that has w 1 goes no further, until it is killed.
poll("SELECT count(*) > 0 FROM outside WHERE workflow_id = 'w 1'");

# Kill a process at a random moment, and start another.
my $complaints = '';
srand(42);
foreach my $kill (1 .. $kills)
{
	my $victim = $pool[ int(rand(@pool)) ];

	select undef, undef, undef, rand(0.15);
	kill_process($victim);
	$complaints .= $victim->{out};
	$victim = (grep { $pool[$_] == $victim } 0 .. $#pool)[0];
	$pool[$victim] = start_process();
}

# In the end each is killed once, so that the one that has w 1 is among them.
foreach my $process (@pool)
{
	kill_process($process);
	$complaints .= $process->{out};
}
@pool = map { start_process() } 1 .. $processes;

poll("SELECT count(*) = $workflows FROM wf_workflows WHERE status = 'SUCCESS'");
pass('all workflows end');
is(sql(q{SELECT count(*) FROM wf_workflows WHERE output = '{"done": true}'}), $workflows, 'with their output');
is(sql(q{SELECT step, count(*), count(DISTINCT workflow_id) FROM effect GROUP BY 1 ORDER BY 1}),
	join("\n", map { "$_|$workflows|$workflows" } qw(first own second)), 'effects exactly once');
is(sql(q{SELECT count(DISTINCT workflow_id) FROM outside}), $workflows, 'outside effects at least once');
is(sql(q{SELECT count(*), count(DISTINCT workflow_id) FROM durable_wf.step WHERE function = 'wf_save_step'}),
	"$workflows|$workflows", 'and recorded once');
is(sql(q{SELECT DISTINCT string_agg(concat(step_no, name), ' ' ORDER BY step_no) FROM (SELECT workflow_id, step_no, coalesce(name, function) AS name FROM durable_wf.step) s GROUP BY workflow_id}),
	'1first 2mail 3second 4progress', 'all journals are alike');
note(sql(q{SELECT 'outside effects: ' || count(*) FROM outside; SELECT 'most attempts: ' || max(attempts) FROM wf_workflows}));
cmp_ok(sql(q{SELECT count(DISTINCT pid) FROM effect WHERE workflow_id = 'w 1'}), '>', 1, 'one that died in the middle was taken over');
note(sql('SELECT count(*) || \' were taken over\' FROM (SELECT FROM effect GROUP BY workflow_id HAVING count(DISTINCT pid) > 1) s'));

# No session holds anything any more, and the pool still works.
is(sql(q{SELECT wf_start('last', queue => 'q'); SELECT status FROM wf_result('last', '30 s')}),
	"last\nSUCCESS", 'the pool goes on');
kill_process($_) foreach @pool;
$complaints .= $_->{out} foreach @pool;
is($complaints, '', 'no process has complained');

$node->stop;
done_testing();
