# Two-phase commit across databases, restarts and servers: what a prepared
# transaction sent, or gives back, wakes the waiters, in whichever session, at
# whichever time and on whichever server it is decided; a PREPARE that fails
# leaves nothing; and other waiters are not woken.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(said_in kill_backend);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = DurableWf::start_node('main',
	{ max_prepared_transactions => 5, restart_after_crash => 'on' },
	allows_streaming => 1);

# Run SQL in a session of its own, in a database with the extension.
sub sql
{
	return $node->safe_psql('db', $_[0]);
}

# Prepare a transaction.
sub prepare
{
	my ($name, $statements) = @_;

	return sql("BEGIN; $statements; PREPARE TRANSACTION '$name'");
}

# Let a session fall asleep in a statement that waits.
sub waiter
{
	my ($statement, $server) = @_;

	return DurableWf::waiter($statement, $server || $node, 'db');
}

# What a statement that waited has printed in the end, errors included.
sub outcome
{
	my ($session) = @_;
	my $output = DurableWf::outcome($session);

	$session->quit;
	return $output;
}

# How many sessions wait, and how often one was woken for nothing.
sub waits
{
	return sql('SELECT (SELECT count(*) FROM wf_waiters),
		(SELECT sum(spurious_wakes) FROM wf_stat)');
}

$node->safe_psql('postgres', 'CREATE DATABASE db; CREATE DATABASE second');
$node->safe_psql($_, 'CREATE EXTENSION durable_wf') foreach 'db', 'second';
sql(q{SELECT wf_start('w'); CREATE TABLE plain (i int)});
$node->safe_psql('second', q{SELECT wf_start('w')});
$node->safe_psql('postgres', 'CREATE TABLE plain (i int)');

# Databases: a waiter in one is not woken by what is decided in another.
{
	my $waiter = waiter(q{CALL wf_recv('t', NULL, 'w', NULL)});
	my $before = waits();

	$node->safe_psql('second',
		q{BEGIN; SELECT wf_send('w', '"second"', 't'); PREPARE TRANSACTION 'second'});
	prepare('first', q{SELECT wf_send('w', '"first"', 't')});
	$node->safe_psql('second', q{COMMIT PREPARED 'second'});
	is(waits(), $before, 'databases: another one does not matter');
	like( said_in($node, 'second', q{COMMIT PREPARED 'first'}),
		qr/belongs to another database/,
		'databases: it cannot be committed there');
	is(waits(), $before, 'databases: and that wakes nobody');
	sql(q{COMMIT PREPARED 'first'});
	is(outcome($waiter), '"first"', 'databases: but in its own');
	is( $node->safe_psql('second', q{SELECT wf_recv('t', '0', 'w')}),
		'"second"', 'databases: each has its own');
}

# A session that prepares and decides wakes the waiters that this concerns, and
# no others: it goes by name and transaction, whatever was prepared in between.
{
	my $session = DurableWf::session($node, 'db');
	my ($waiter, @others);
	my $run = sub { $session->query_safe($_) foreach @_ };

	sql(q{SELECT wf_send('w', '"mail"', 'box')});
	$run->(q{BEGIN}, q{SELECT wf_recv('box', '0', 'w')}, q{PREPARE TRANSACTION 'takes'});
	$waiter = waiter(q{CALL wf_recv('t', NULL, 'w', NULL)});
	@others = map { waiter("CALL wf_recv('other $_', NULL, 'w', NULL)") } 1 .. 5;
	push @others, waiter(q{SELECT wf_recv('box', NULL, 'w')});
	my $spurious = (split /\|/, waits())[1];

	foreach my $n (1 .. 3)
	{
		$run->(q{BEGIN}, qq{SELECT wf_send('w', '"p$n"', 'elsewhere')}, "PREPARE TRANSACTION 'p$n'");
	}
	$run->(q{BEGIN}, q{SELECT wf_send('w', '"own"', 't')}, q{PREPARE TRANSACTION 'own'});
	$run->(q{COMMIT PREPARED 'p2'}, q{ROLLBACK PREPARED 'p1'}, q{COMMIT PREPARED 'p3'});
	is(waits(), "7|$spurious", 'own: wakes nobody that it does not concern');
	$run->(q{COMMIT PREPARED 'own'});
	is(outcome($waiter), '"own"', 'own: but whom it does');
	$run->(q{ROLLBACK PREPARED 'takes'});
	is(outcome(pop @others), '"mail"', 'own: what is given back, too');
	$run->(map { ('BEGIN', "SELECT wf_send('w', '1', 'elsewhere')", "PREPARE TRANSACTION 'many $_'",
				"COMMIT PREPARED 'many $_'") } 1 .. 40);
	is(waits(), "5|$spurious", 'own: again and again');

	# another session has ended it, and prepared one of that name
	$waiter = waiter(q{CALL wf_recv('t', NULL, 'w', NULL)});
	$run->(q{BEGIN}, q{SELECT wf_send('w', '1', 'elsewhere')}, q{PREPARE TRANSACTION 'own'});
	sql(q{ROLLBACK PREPARED 'own'});
	prepare('own', q{SELECT wf_send('w', '"not its own"', 't')});
	$run->(q{COMMIT PREPARED 'own'});
	is(outcome($waiter), '"not its own"', 'own: not another one of that name');

	# too much to be kept is told as to others
	$waiter = waiter(q{CALL wf_recv('t 2000', NULL, 'w', NULL)});
	$run->(q{BEGIN}, q{SELECT count(wf_send('w', '1', 't ' || n)) FROM generate_series(1, 2000) n},
		q{PREPARE TRANSACTION 'large'}, q{COMMIT PREPARED 'large'});
	is(outcome($waiter), '1', 'own: a large one');
	sql(qq{SELECT wf_send('w', '1', 'other $_')}) foreach 1 .. 5;
	is(outcome($_), '1', 'own: the others wait on') foreach @others;
	sql(q{DELETE FROM durable_wf.message});
	$session->quit;
}

# SQL workflows: what a prepared transaction starts runs, what it cancels is
# interrupted, what it times has its end; by the session that prepared, and by
# another.  A body that goes on is not disturbed.
{
	my $status = sub { return "SELECT status FROM wf_workflows WHERE workflow_id = '$_[0]'" };

	sql(<<'SQL');
CREATE PROCEDURE one(input jsonb) LANGUAGE plpgsql AS 'BEGIN PERFORM wf_complete(input); END';
CREATE PROCEDURE sleeps(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_step('sleeps', 'SELECT pg_advisory_lock_shared(77)', NULL, 1, '1 s', got);
END $$;
SQL
	my $guard = DurableWf::session($node, 'db');
	my $sleeping = sub {
		$node->poll_query_until('db', qq{
SELECT count(*) = $_[0] FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted});
	};

	$guard->query_safe('SELECT pg_advisory_lock(77)');
	sql(q{SELECT wf_start('goes on', 'sleeps')});
	foreach my $by ('itself', 'another')
	{
		my $session = DurableWf::session($node, 'db');
		my $do = sub {
			my ($statement) = @_;

			$session->query_safe($_) foreach 'BEGIN', $statement, q{PREPARE TRANSACTION 'p'};
			return $by eq 'itself' ? $session->query_safe(q{COMMIT PREPARED 'p'}) : sql(q{COMMIT PREPARED 'p'});
		};

		ok($sleeping->(1), "bodies, by $by: one runs");
		sql(q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
			WHERE backend_type = 'durable_wf executor' AND state = 'idle'});
		$do->("SELECT wf_start('starts by $by', 'one', '1')");
		ok( $node->poll_query_until('db', $status->("starts by $by"), 'SUCCESS'),
			"bodies, by $by: what is started runs");
		sql("SELECT wf_start('sleeps, $by', 'sleeps')");
		ok($sleeping->(2), "bodies, by $by: it sleeps");
		$do->("SELECT wf_cancel('sleeps, $by')");
		ok($sleeping->(1), "bodies, by $by: what is cancelled is interrupted");
		is(sql($status->("sleeps, $by")), 'CANCELLED', "bodies, by $by: and is CANCELLED");
		$do->("SELECT wf_start('timed, $by', timeout => '100 ms')");
		ok( $node->poll_query_until('db', $status->("timed, $by"), 'CANCELLED'),
			"bodies, by $by: a timeout");

		# and what comes from another database is noticed, adopted, and runs
		$do->(qq{INSERT INTO durable_wf.workflow (workflow_id, owner, status) SELECT 'foreign, $by', owner, 'PENDING' FROM durable_wf.workflow LIMIT 1});
		my $says = q{SELECT query FROM pg_stat_activity WHERE backend_type = 'durable_wf worker' AND datname = 'db'};
		ok($node->poll_query_until('db', $says, 'workflows wait for wf_adopt()'), "bodies, by $by: a copy is noticed");
		$do->('SELECT wf_adopt()');
		sql(qq{SELECT wf_start('adopted, $by', 'one', '2')});
		ok( $node->poll_query_until('db', $status->("adopted, $by"), 'SUCCESS'), "bodies, by $by: wf_adopt()");
		$session->quit;
	}
	is(sql(q{SELECT attempts, status FROM durable_wf.workflow WHERE workflow_id = 'goes on'}),
		'1|RUNNING', 'bodies: another is not disturbed');
	sql(q{SELECT wf_cancel('goes on')});
	sql(q{DELETE FROM durable_wf.workflow WHERE workflow_id <> 'w'});
	$guard->quit;
}

# Where the extension is not, and for transactions that did nothing here, it is
# as if we were not there.
{
	my $waiter = waiter(q{SELECT wf_recv('t', NULL, 'w')});
	my $before = waits();

	foreach my $end ('COMMIT', 'ROLLBACK')
	{
		$node->safe_psql('postgres', <<"SQL");
BEGIN; INSERT INTO plain VALUES (1); PREPARE TRANSACTION 'no extension';
$end PREPARED 'no extension';
SQL
		sql(<<"SQL");
BEGIN; INSERT INTO plain VALUES (1); PREPARE TRANSACTION 'nothing of ours';
$end PREPARED 'nothing of ours';
SQL
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM plain'),
		1, 'others: committed without the extension');
	is(sql('SELECT count(*) FROM plain'), 1, 'others: committed beside it');
	is(waits(), $before, 'others: nobody is woken');
	like( said_in($node, $_, q{COMMIT PREPARED 'unknown'}),
		qr/^psql:<stdin>:2: ERROR:  42704: prepared transaction with identifier "unknown" does not exist$/m,
		"others: an unknown name in $_")
	  foreach 'postgres', 'db';
	sql(q{SELECT wf_send('w', '1', 't')});
	is(outcome($waiter), '1', 'others: and the wait goes on');
}

# PREPARE that fails, and names: neither is remembered, however often.
{
	my $waiter;

	foreach my $round (1 .. 12)
	{
		my $error = said_in($node, 'db', <<'SQL');
BEGIN;
SELECT wf_send('w', '"failed"', 't') > 0;
CREATE TEMP TABLE temp ();
PREPARE TRANSACTION 'temp';
SELECT wf_send('w', '"after"', 't') > 0;
SQL
		like($error, qr/^t\nt.*0A000: cannot PREPARE .* temporary objects/s,
			"failures: round $round")
		  if $round == 1;
	}
	is( sql(q{SELECT count(*), min(message::text), max(message::text)
			   FROM wf_recv_many('t', 100, '0', 'w')}),
		'12|"after"|"after"', 'failures: what failed was not sent');

	# names that were used are free again
	foreach my $round (1 .. 12)
	{
		prepare('again', q{SELECT wf_send('w', '"round"', 't')});
		sql($round % 2 ? q{COMMIT PREPARED 'again'} : q{ROLLBACK PREPARED 'again'});
	}
	is(sql(q{SELECT count(*) FROM wf_recv_many('t', 100, '0', 'w')}),
		6, 'names: used again and again');

	# as many as the server takes, and the error is the server's
	prepare("n$_", qq{SELECT wf_send('w', '$_', 't')}) foreach 1 .. 5;
	like(said_in($node, 'db',
			q{BEGIN; SELECT wf_send('w', '6', 't'); PREPARE TRANSACTION 'n6'}),
		qr/maximum number of prepared transactions reached/,
		'names: no more than max_prepared_transactions');
	sql(q{ROLLBACK PREPARED 'n2'});
	like(said_in($node, 'db',
			q{BEGIN; SELECT wf_send('w', '6', 't'); PREPARE TRANSACTION 'n1'}),
		qr/42710: transaction identifier "n1" is already in use/,
		'names: each once');
	like(said_in($node, 'db',
			q{BEGIN; SELECT wf_send('w', '6', 't'); PREPARE TRANSACTION '}
			  . 'x' x 200 . q{'}),
		qr/22023: transaction identifier .* is too long/,
		'names: not too long');
	$waiter = waiter(q{SELECT wf_recv('t', NULL, 'w')});
	sql(q{COMMIT PREPARED 'n1'});
	is(outcome($waiter), '1', 'names: after the failures all is well');
	sql("COMMIT PREPARED 'n$_'") foreach 3 .. 5;
	is( sql(q{SELECT string_agg(message::text, ' ')
			   FROM wf_recv_many('t', 100, '0', 'w')}),
		'3 4 5', 'names: none is lost');
}

# The session that prepared is gone, and was another role's.
{
	my $waiter = waiter(q{SELECT wf_get_event('of role', 'k', NULL)});

	sql(<<'SQL');
CREATE ROLE "a role";
GRANT ALL ON SCHEMA public TO "a role";
SET ROLE "a role";
BEGIN;
SELECT wf_start('of role'), wf_set_event('k', '1', 'of role');
PREPARE TRANSACTION 'of role';
SQL
	like(said_in($node, 'db',
			q{CREATE ROLE nobody; SET ROLE nobody; COMMIT PREPARED 'of role'}),
		qr/42501: permission denied to finish prepared transaction/,
		'roles: others may not commit it');
	is(waits() =~ s/\|.*//r, 1, 'roles: who waits waits on');
	sql(q{COMMIT PREPARED 'of role'});
	is(outcome($waiter), '1', 'roles: a superuser may');
}

# A prepared transaction outlives the server, and wakes the waiters of the next.
foreach my $way ('immediate', 'fast', 'crash')
{
	my ($sender, $taker, $other, $before);

	sql(q{SELECT wf_send('w', '"mail"', 'box')});
	prepare('sends', q{SELECT wf_send('w', '"sent"', 't', 'a key'),
		wf_set_event('k', '"published"', 'w')});
	prepare('takes', q{SELECT wf_recv('box', '0', 'w')});
	prepare('else', 'INSERT INTO plain VALUES (2)');
	$node->safe_psql('postgres', <<'SQL');
BEGIN; INSERT INTO plain VALUES (2); PREPARE TRANSACTION 'no extension';
SQL

	if ($way eq 'crash')
	{
		my $victim = DurableWf::session($node, 'db');

		kill_backend($victim->{pid}, $victim);
	}
	else
	{
		$node->stop($way);
		$node->start;
	}

	is( sql(q{SELECT wf_recv('t', '0', 'w') IS NULL,
			wf_recv('box', '0', 'w') IS NULL}),
		't|t', "$way: not decided yet");
	$sender = waiter(q{CALL wf_recv('t', NULL, 'w', NULL)});
	$taker = waiter(q{SELECT wf_recv('box', NULL, 'w')});

	$node->safe_psql('postgres', q{COMMIT PREPARED 'no extension'});
	sql(q{COMMIT PREPARED 'sends'});
	is(outcome($sender), '"sent"', "$way: COMMIT PREPARED wakes");
	is(sql(q{SELECT wf_get_event('w', 'k', '0')}),
		'"published"', "$way: the event is there");
	sql(q{ROLLBACK PREPARED 'takes'});
	is(outcome($taker), '"mail"', "$way: ROLLBACK PREPARED wakes");
	sql(q{ROLLBACK PREPARED 'else'});
	sql(q{DELETE FROM durable_wf.event; DELETE FROM durable_wf.idempotency});

	# what is prepared now is known again
	$node->poll_query_until('db', <<'SQL') or die 'no worker';
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE backend_type = 'durable_wf worker')
SQL
	$before = waits();
	$other = waiter(q{SELECT wf_recv('t', NULL, 'w')});
	prepare('else', 'INSERT INTO plain VALUES (2)');
	sql(q{COMMIT PREPARED 'else'});
	is((split /\|/, waits())[1], (split /\|/, $before)[1],
		"$way: others wake nobody");
	prepare('sends', q{SELECT wf_send('w', '"again"', 't')});
	sql(q{COMMIT PREPARED 'sends'});
	is(outcome($other), '"again"', "$way: prepared after it");
}

# A prepared send holds back wf_prune, after a restart too, and prepared
# before the end it belongs to the workflow that has ended.
{
	sql(q{SELECT wf_start('ends')});
	prepare('late', q{SELECT wf_send('ends', '"late"', 't')});
	sql(q{SELECT wf_cancel('ends')});
	is(sql(q{SELECT wf_prune('0'), wf_prune('0')}), '0|0', 'prune: not yet');
	$node->restart;
	is(sql(q{SELECT wf_prune('0'), wf_prune('0')}),
		'0|0', 'prune: nor after a restart');
	sql(q{COMMIT PREPARED 'late'});
	$node->poll_query_until('db', q{SELECT wf_prune('0') = 1})
	  or die 'not pruned';
	is(sql(q{SELECT count(*) FROM durable_wf.message}),
		0, 'prune: it goes with its workflow');
}

# On a standby that has been running for long, and is promoted.
{
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	my ($sender, $taker);

	$node->backup('backup');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$standby->start;

	sql(q{SELECT wf_send('w', '"mail"', 'box')});
	prepare('sends', q{SELECT wf_send('w', '"sent"', 't')});
	prepare('takes', q{SELECT wf_recv('box', '0', 'w')});
	$node->wait_for_catchup($standby);
	like(said_in($standby, $_, q{COMMIT PREPARED 'sends'}),
		qr/25006: cannot execute COMMIT PREPARED during recovery/,
		"standby: COMMIT PREPARED is refused in $_")
	  foreach 'postgres', 'db';
	$node->stop('immediate');
	$standby->promote;

	$sender = waiter(q{SELECT wf_recv('t', NULL, 'w')}, $standby);
	$taker = waiter(q{SELECT wf_recv('box', NULL, 'w')}, $standby);
	foreach my $end (q{COMMIT PREPARED 'sends'}, q{ROLLBACK PREPARED 'takes'})
	{
		my $left = $end =~ /^COMMIT/ ? 1 : 0;

		$standby->safe_psql('db', $end);
		$standby->poll_query_until('db',
			"SELECT count(*) <= $left FROM wf_waiters")
		  or die 'nobody is woken';
		is($standby->safe_psql('db', 'SELECT count(*) FROM wf_waiters'),
			$left, "standby: promoted, $end wakes");
	}
	# a waiter that still waits is woken by this
	$standby->safe_psql('db',
		q{SELECT wf_send('w', '"late"', 't'), wf_send('w', '"late"', 'box')});
	is(outcome($sender), '"sent"', 'standby: with what was sent');
	is(outcome($taker), '"mail"', 'standby: with what was given back');
	$standby->stop;
}

# Without prepared transactions nothing is prepared, and nothing else changes.
{
	my $waiter;

	$node->start;
	sql($_) foreach q{ROLLBACK PREPARED 'sends'}, q{ROLLBACK PREPARED 'takes'};
	$node->append_conf('postgresql.conf', 'max_prepared_transactions = 0');
	$node->restart;
	$waiter = waiter(q{SELECT wf_recv('t', NULL, 'w')});
	like( said_in($node, 'db', <<'SQL'),
BEGIN;
SELECT wf_send('w', '1', 't') > 0;
PREPARE TRANSACTION 'x';
SQL
		qr/55000: prepared transactions are disabled\nHINT:  Set "?max_prepared_transactions"? to a nonzero value/,
		'none: the error is the server\'s');
	sql(q{SELECT wf_send('w', '2', 't')});
	is(outcome($waiter), '2', 'none: all else works');
}

$node->stop;
done_testing();
