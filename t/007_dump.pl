# A dump holds everything, and a restore into another cluster gives it back:
# owners by name, ids and order, keys that still protect.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node waiter outcome);
use PostgreSQL::Test::Utils;
use Test::More;

my $source = start_node('source');
my $target = start_node('target');
my $bare = start_node('bare', { shared_preload_libraries => '' });

# The error of a statement, run by a role.
sub error_of
{
	my ($node, $database, $role, $statement) = @_;
	my ($status, $output, $error) = $node->psql($database,
		qq{\\set VERBOSITY verbose\nSET ROLE "$role"; $statement});

	return $error;
}

# All that is stored, with the owners' names.
sub contents
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, <<'SQL');
SELECT 'workflow', w.*, o.owner FROM durable_wf.workflow w
  JOIN wf_workflows o USING (workflow_id) ORDER BY w.workflow_id;
SELECT 'message', * FROM durable_wf.message ORDER BY message_id;
SELECT 'event', * FROM durable_wf.event ORDER BY workflow_id, key;
SELECT 'attributes', * FROM durable_wf.attributes ORDER BY workflow_id;
SELECT 'idempotency', * FROM durable_wf.idempotency ORDER BY 2, 3, 4;
SQL
}

# Source: roles whose numbers start above some that the target gives to others.
$source->safe_psql('postgres', <<'SQL');
CREATE ROLE filler_1; CREATE ROLE filler_2; CREATE ROLE filler_3;
CREATE ROLE dropped;
CREATE ROLE plain;
CREATE ROLE "before";
CREATE ROLE missing;
CREATE DATABASE db;
SQL
my $dropped = $source->safe_psql('postgres', q{SELECT 'dropped'::regrole::oid});
my $plain = $source->safe_psql('postgres', q{SELECT 'plain'::regrole::oid});

$source->safe_psql('db', <<'SQL');
CREATE EXTENSION durable_wf;
SELECT wf_start('w', input => '{"a": 1}'), wf_start('ended'), wf_start('failed'),
       wf_start('cancelled'), wf_start(E'na"me\twith \\ '' % é\n');
SELECT wf_set_attributes('{"customer": 7, "é": [null]}', 'w'), wf_attach('w');
SELECT wf_start('child', attributes => '{}');
SELECT wf_detach();
SELECT wf_send('w', to_jsonb(i), 'q') FROM generate_series(1, 5) i;
SELECT wf_send('w', NULL), wf_send('w', '"empty topic"', ''),
       wf_send('w', '"taken"', 'q', 'taken'), wf_send('w', '6', 'q', 'key \.'),
       wf_send(E'na"me\twith \\ '' % é\n', '"x"', E'\\N\n\t"');
DELETE FROM durable_wf.message WHERE payload = '"taken"';
SELECT wf_notify('e', '"addressed"', 'w');
INSERT INTO durable_wf.message (message_id, workflow_id, door, key, payload, wait_id)
SELECT nextval('durable_wf.message_id_seq'), 'w', 'n', 'e', '"answer"',
       nextval('durable_wf.message_id_seq');
SELECT wf_set_event('url', '"old"', 'w');
SELECT wf_set_event('url', '"https://example"', 'w'), wf_set_event('', NULL, 'w')
 WHERE false;
SELECT wf_set_event('url', '"https://example"', 'w'), wf_set_event('null', NULL, 'w');
BEGIN;
SET LOCAL durable_wf.workflow_id = 'ended';
SELECT wf_complete('{"b": [1, "2"]}');
SET LOCAL durable_wf.workflow_id = 'failed';
SELECT wf_fail(E'a\\b\n''c''');
SELECT wf_cancel('cancelled');
COMMIT;
SET ROLE dropped;
SELECT wf_start('of dropped'), wf_send('of dropped', '1', 'q');
SET ROLE plain;
SELECT wf_start('of plain'), wf_send('of plain', '1', 'q');
SET ROLE "before";
SELECT wf_start('of renamed'), wf_send('of renamed', '1', 'q');
SET ROLE missing;
SELECT wf_start('of missing'), wf_send('of missing', '1', 'q');
RESET ROLE;
DROP ROLE dropped;
ALTER ROLE "before" RENAME TO "Re""named '";
SQL

# The last thing that the sequence gave is not there any more.
my $last_id = $source->safe_psql('db',
	q{SELECT wf_send('w', '1', 'gone'); SELECT wf_recv('gone', '0', 'w')});
($last_id) = $last_id =~ /^(\d+)/;

my $before = contents($source, 'db');
(my $expected = $before) =~ s/^(workflow\|of missing\|)missing\|(.*)missing$/$1|$2/m;
isnt($expected, $before, 'what the missing role owned is going to be nobody\'s');
like($before, qr/^workflow\|of dropped\|\|.*\|$/m,
	'what the dropped role owned is nobody\'s already');

# Target: the same names, other numbers, and theirs taken by others.
foreach my $node ($target, $bare)
{
	$node->safe_psql('postgres', <<"SQL");
DO \$\$
BEGIN
	FOR i IN 1 .. 10000 LOOP
		EXECUTE format('CREATE ROLE taken_%s', i);
		EXIT WHEN (SELECT max(oid) FROM pg_authid) >= greatest($dropped, $plain) + 1000;
	END LOOP;
END \$\$;
CREATE ROLE "Re""named '";
CREATE ROLE plain;
SQL
}
my ($taken, $taken_plain) = map {
	$target->safe_psql('postgres', "SELECT rolname FROM pg_authid WHERE oid = $_")
} $dropped, $plain;
like("$taken $taken_plain", qr/^taken_\d+ taken_\d+$/,
	'the target has other roles by the numbers of the source\'s');

# The ways from here to there
my $dir = $source->basedir;
my %dump = (
	'plain' => [ 'pg_dump', '-f', "$dir/plain", $source->connstr('db') ],
	'inserts' =>
	  [ 'pg_dump', '--inserts', '-f', "$dir/inserts", $source->connstr('db') ],
	'custom' => [ 'pg_dump', '-Fc', '-f', "$dir/custom", $source->connstr('db') ],
	'directory' => [
		'pg_dump', '-Fd', '-j2', '-f', "$dir/directory", $source->connstr('db')
	]);
$source->command_ok($dump{$_}, "pg_dump: $_") foreach sort keys %dump;

# Restore one of them, and return what was said.
sub restore
{
	my ($node, $database, $format) = @_;
	my @command =
	  $format =~ /plain|inserts/
	  ? ('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$format", '-d')
	  : ('pg_restore', '-e', '-j2', "$dir/$format", '-d');
	my $said = '';
	my $result;

	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	$result = IPC::Run::run [ @command, $node->connstr($database) ],
	  '<', \undef, '>', \my $output, '2>', \$said;
	ok($result, "$database: restored");
	return $said;
}

my @restores = (
	[ $target, 'plain', 'plain' ],
	[ $target, 'inserts', 'inserts' ],
	[ $target, 'custom', 'custom' ],
	[ $target, 'directory', 'directory' ],
	[ $bare, 'bare plain', 'plain' ],
	[ $bare, 'bare custom', 'custom' ]);

foreach my $restore (@restores)
{
	my ($node, $name, $format) = @$restore;
	my $log_end = -s $node->logfile;
	my $said = restore(@$restore);
	my $log = slurp_file($node->logfile, $log_end);
	my @warnings = $log =~ /WARNING:/g;

	is(scalar @warnings, 1, "$name: one warning");
	like($log, qr/WARNING:.*role "missing" does not exist/,
		"$name: the warning names the role");
	# pg_restore does not pass warnings on
	like($said, qr/WARNING:.*role "missing" does not exist/,
		"$name: psql shows it")
	  if $format !~ /custom|directory/;
	unlike($said . $log, qr/ERROR/, "$name: no error");
	is(contents($node, $name), $expected, "$name: all is there");

	# the sequence, the keys, the order
	cmp_ok($node->safe_psql($name, q{SELECT wf_send('w', '7', 'q')}),
		'>', $last_id, "$name: ids go on above those that were used");
	is( $node->safe_psql($name,
			q{SELECT wf_send('w', '8', 'q', 'taken') = message_id,
				wf_send('w', '8', 'q', 'key \.') > message_id
			   FROM durable_wf.idempotency WHERE idempotency_key = 'taken'}),
		't|t', "$name: keys still protect");
	is( $node->safe_psql($name,
			q{SELECT string_agg(message::text, ' ')
			   FROM wf_recv_many('q', 100, '0', 'w')}),
		'1 2 3 4 5 6 7', "$name: messages come in order");
	is( $node->safe_psql($name,
			q{SELECT event_data FROM wf_wait_for_event('e', '0', 'w');
			SELECT event_data FROM wf_wait_for_event('e', '0', 'w');
			SELECT wf_get_event('w', 'url', '0');
			SELECT wf_result('ended', '0'), wf_status('failed')}),
		qq{"addressed"\n"answer"\n"https://example"\n}
		  . q{(SUCCESS,"{""b"": [1, ""2""]}",)|ERROR},
		"$name: notifications, events and results, too");
	like(
		error_of($node, $name, 'postgres', q{SELECT wf_send('cancelled', '1')}),
		qr/WF002/, "$name: what was cancelled is");

	# the owners
	is( $node->safe_psql($name,
			q{SET ROLE plain; SELECT wf_recv('q', '0', 'of plain');
			SELECT workflow_id, owner FROM wf_workflows}),
		"1\nof plain|plain", "$name: a role has its workflows");
	is( $node->safe_psql($name,
			q{SET ROLE "Re""named '"; SELECT wf_recv('q', '0', 'of renamed');
			SELECT workflow_id, owner FROM wf_workflows}),
		qq{1\nof renamed|Re"named '}, "$name: so has a renamed one");
	foreach my $role ($taken, $taken_plain)
	{
		is( $node->safe_psql($name,
				qq{SET ROLE $role; SELECT count(*) FROM wf_workflows;
				SELECT count(*) FROM durable_wf.message}),
			"0\n0", "$name: $role sees nothing");
		like(error_of($node, $name, $role, "SELECT wf_status('$_')"),
			qr/42501/, "$name: $role may not act on '$_'")
		  foreach ('of dropped', 'of plain', 'of missing');
	}
	is( $node->safe_psql($name,
			q{SELECT workflow_id, owner IS NULL FROM wf_workflows
			   WHERE workflow_id IN ('of dropped', 'of missing') ORDER BY 1}),
		"of dropped|t\nof missing|t", "$name: nobody's are nobody's");
}

# A role that comes later by the missing name, or the dropped one, has nothing.
$target->safe_psql('plain', q{CREATE ROLE missing; CREATE ROLE dropped});
like(error_of($target, 'plain', $_, "SELECT wf_recv('q', '0', 'of $_')"),
	qr/42501/, "a new role '$_' has nothing")
  foreach ('missing', 'dropped');
is( $target->safe_psql('plain',
		q{SELECT wf_set_owner('of missing', 'missing'); SET ROLE missing;
		SELECT wf_recv('q', '0', 'of missing')}),
	"\n1", 'a superuser can give it what was nobody\'s');

# Dumped and restored again, a workflow without an owner still has none.
{
	my $again = contents($target, 'plain');
	my $said;

	$target->command_ok(
		[ 'pg_dump', '-Fc', '-f', "$dir/again", $target->connstr('plain') ],
		'pg_dump of what was restored');
	$said = restore($target, 'again', 'again');
	is($said, '', 'no warning this time');
	is(contents($target, 'again'), $again, 'restored again');
}

# Waiting works in a restored database.
foreach my $database ('plain', 'custom', 'again')
{
	my @waiters = map { waiter($_, $target, $database) } (
		q{SELECT wf_recv('new', NULL, 'w')},
		q{CALL wf_get_event('of plain', 'new', NULL, NULL)},
		q{SELECT * FROM wf_wait_for_event('new', NULL, 'w')});

	$target->safe_psql($database,
		q{SELECT wf_send('w', '1', 'new'), wf_set_event('new', '2', 'of plain');
		SELECT wf_notify('new', '3')});
	is(join(' ', map { outcome($_) } @waiters),
		'1 2 3|f', "$database: waiting works");
	$_->quit foreach @waiters;
}

# Restored where some are waiting already: each message wakes one.
{
	# a waiter that leaves with an unused wake passes it on: that counts as one
	my $stat = q{SELECT sum(wakes - passed_on), sum(spurious_wakes) FROM wf_stat};
	my (@waiters, @before, @after);

	$target->safe_psql('postgres', 'CREATE DATABASE live');
	$target->safe_psql('live', q{CREATE EXTENSION durable_wf; SELECT wf_start('w')});
	@waiters =
	  map { waiter(q{SELECT wf_recv('q', NULL, 'w')}, $target, 'live') } 1 .. 8;
	@before = split /\|/, $target->safe_psql('live', $stat);
	$target->command_ok(
		[
			'pg_restore', '-e', '-a', '-n', 'durable_wf', '-t', 'message',
			"$dir/custom", '-d', $target->connstr('live')
		],
		'messages are restored where some wait');
	is(join(' ', sort map { outcome($_) } @waiters[ 0 .. 5 ]),
		'1 2 3 4 5 6', 'each message goes to one');
	@after = split /\|/, $target->safe_psql('live', $stat);
	is($after[0] - $before[0], 6, 'each wakes one');
	is($after[1] - $before[1], 0, 'nobody is woken for nothing');
	is($target->safe_psql('live', q{SELECT count(*) FROM wf_waiters}),
		2, 'the others wait on');
	$target->safe_psql('live', q{SELECT wf_cancel('w')});
	outcome($_) foreach @waiters[ 6, 7 ];
	$_->quit foreach @waiters;
}

# The bare server does what needs no waiting, and says what it needs for that.
like(error_of($bare, 'bare plain', 'postgres', q{SELECT wf_recv('none', NULL, 'w')}),
	qr/55000.*shared_preload_libraries/s, 'bare: it says what is missing');

# Preloaded later, all is well.
$bare->append_conf('postgresql.conf',
	"shared_preload_libraries = 'durable_wf'\n");
$bare->restart;
{
	my $waiter =
	  waiter(q{CALL wf_recv('new', NULL, 'w', NULL)}, $bare, 'bare plain');

	$bare->safe_psql('bare plain', q{SELECT wf_send('w', '1', 'new')});
	is(outcome($waiter), '1', 'preloaded later: waiting works');
	$waiter->quit;
}

$_->stop foreach ($source, $target, $bare);
done_testing();
