# wf_start_attached: a session starts what it executes.  No other session is woken
# for it, or for the end of a workflow; and none is missed that has to be: not when
# the session dies, leaves the workflow, or undoes what it did.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll until_true session start asleep waiter
  outcome last_words kill_backend);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', { restart_after_crash => 'on' });

sql('CREATE EXTENSION durable_wf');

# Of the sessions that wait for work: wakes, those for nothing, those handed on.
sub wakes
{
	return sql(q{SELECT wakes, spurious_wakes, passed_on FROM wf_stat WHERE door = 'queue'});
}

# The difference of two of these.
sub since
{
	my @before = split /\|/, $_[0];
	my @after = split /\|/, wakes();

	return join ' ', map { $after[$_] - $before[$_] } 0 .. 2;
}

# What a session starts and ends itself wakes nobody; what becomes due wakes one
# session of those that wait, also if each waits for several queues.
{
	my $worker = session();
	my @idle = map { waiter(q{CALL wf_attach_any('{a,b}', NULL, NULL, NULL, NULL, NULL)}) } 1 .. 4;
	my $before = wakes();

	foreach my $n (1 .. 5)
	{
		is($worker->query_safe(qq{SELECT attempt FROM wf_start_attached('own $n', '$n', 'a')}),
			1, "own $n");
		$worker->query_safe('SELECT wf_save_step(\'s\', \'1\'), wf_complete()');
	}
	$worker->query_safe(q{SELECT wf_start_attached('own 6', NULL, 'a'); SELECT wf_fail('x')});
	$worker->query_safe(q{BEGIN; SELECT wf_start_attached('own 7', NULL, 'b'); SELECT wf_complete(); COMMIT});
	is(since($before), '0 0 0', 'own: nobody is woken');
	asleep(@idle);

	# one that is due wakes one, the one that has waited for longest, and only it
	foreach my $n (0 .. 2)
	{
		my $queue = ('a', 'b', 'a')[$n];

		sql("SELECT wf_start('due $n', queue => '$queue')");
		is(outcome($idle[$n]), "due $n|$queue||1", "due $n: one gets it");
	}
	$_->query_safe('SELECT wf_complete()') foreach @idle[0 .. 2];
	asleep($idle[3]);
	is(since($before), '3 0 0', 'due: and no other is woken, nor by the ends');

	# a session that leaves, or dies in, what it has started
	my @left = (
		[ 'detached' => sub { $worker->query_safe('SELECT wf_detach()') } ],
		[ 'anew' => sub { $worker->query_safe('SELECT wf_continue_as_new(NULL)') } ],
		[ 'failed and retried' => sub { $worker->query_safe(q{BEGIN; SELECT wf_fail('x'); SELECT wf_retry('failed and retried'); COMMIT}) } ],
		[ 'given away' => sub { $worker->query_safe(q{SELECT wf_set_owner('given away', current_user); SELECT wf_detach()}) } ],
		[ 'reset' => sub { $worker->query_safe('DISCARD ALL') } ],
		[ 'terminated' => sub { sql("SELECT pg_terminate_backend($worker->{pid})"); last_words($worker); $worker = session() } ],
		[ 'the client is gone' => sub { $worker->quit; $worker = session() } ]);

	foreach my $case (@left)
	{
		my ($name, $leave) = @$case;

		$worker->query_safe("SELECT wf_start_attached('$name', NULL, 'b')");
		asleep($idle[3]);
		$leave->();
		like(outcome($idle[3]), qr/^\Q$name\E\|b\|\|\d$/, "$name: one is woken");
		$idle[3]->query_safe('SELECT wf_complete()');
		start($idle[3], q{CALL wf_attach_any('{a,b}', NULL, NULL, NULL, NULL, NULL)});
		asleep($idle[3]);
	}
	$_->quit foreach $worker, @idle[0 .. 2];
	sql("SELECT pg_terminate_backend($idle[3]{pid})");
	last_words($idle[3]);
}

# Killed: what was committed is there, and due, and its crash counts; what was not
# committed is not.
{
	my ($worker, $other) = (session(), session());

	$worker->query_safe(q{SELECT wf_start_attached('killed', '{"n": 1}', 'k'); SELECT wf_save_step('s', '1')});
	$other->query_safe(q{BEGIN; SELECT wf_start_attached('never', NULL, 'k')});
	kill_backend($worker->{pid}, $worker, $other);
	is(sql(q{SELECT string_agg(workflow_id || ' ' || status, ', ') FROM wf_workflows WHERE queue = 'k'}),
		'killed RUNNING', 'killed: it is on record');
	is(sql(q{SELECT workflow_id, input, attempt FROM wf_attach_any('{k}'); SELECT done, output FROM wf_begin_step('s'); SELECT wf_complete()}),
		qq{killed|{"n": 1}|1\nt|1\n}, 'killed: it goes on, and the step is done');

	$worker = session();
	$worker->query_safe(q{SELECT wf_start_attached('killed twice', NULL, 'k')});
	kill_backend($worker->{pid}, $worker);
	is(sql(q{SELECT workflow_id, attempt FROM wf_attach_any('{k}'); SELECT wf_complete()}),
		"killed twice|2\n", 'killed: an attempt that got no further counts');
}

# A race: sessions start what they execute, and end it or leave it in some way,
# while others wait for work without a timeout.  Round by round all has to end; in
# between a waiter is killed.
{
	my @workers = map { session() } 1 .. 3;
	my @takers;
	my $take = q{CALL wf_attach_any('{r,s}', NULL, NULL, NULL, NULL, NULL); SELECT wf_complete()};
	my @ways = (
		q{SELECT wf_start_attached('%s', NULL, 'r'); SELECT wf_complete()},
		q{SELECT wf_start_attached('%s', NULL, 'r'); SELECT wf_detach()},
		q{BEGIN; SELECT wf_start_attached('%s', NULL, 's'); SELECT wf_detach(); COMMIT},
		q{BEGIN; SELECT wf_start_attached('%s', NULL, 'r'); ROLLBACK},
		q{BEGIN; SAVEPOINT a; SELECT wf_start_attached('%1$s no', NULL, 'r'); ROLLBACK TO a; SELECT wf_start_attached('%1$s', NULL, 's'); COMMIT; SELECT wf_continue_as_new('1')},
		q{BEGIN; SELECT wf_start_attached('%1$s', NULL, 's'); SELECT wf_fail('x'); SELECT wf_retry('%1$s'); COMMIT},
		q{BEGIN; SELECT wf_start_attached('%1$s', NULL, 's'); SAVEPOINT a; SELECT wf_complete(); ROLLBACK TO a; COMMIT; SELECT wf_detach()},
		q{SELECT wf_start('%1$s', queue => 'r'); SELECT wf_start_attached('%1$s', NULL, 'r')});
	my $left = 0;
	my $rounds = 60;

	srand 66;
	push @takers, start(session(), $take) foreach 1 .. 3;
	asleep(@takers);
	foreach my $round (1 .. $rounds)
	{
		# all at once, and then all that is left has to be taken
		foreach my $n (0 .. $#workers)
		{
			start($workers[$n], sprintf $ways[ rand @ways ], "$round-$n");
		}
		outcome($_) foreach @workers;
		if ($round % 12 == 0)
		{
			sql("SELECT pg_terminate_backend($takers[0]{pid})");
			last_words($takers[0]);
			$takers[0] = start(session(), $take);
		}
		until_true(
			sub {
				foreach my $taker (@takers)
				{
					next if sql("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $taker->{pid}") eq 't';
					outcome($taker);
					start($taker, $take);
				}
				return sql(q{SELECT count(*) FROM wf_workflows WHERE queue IN ('r', 's') AND finished_at IS NULL}) eq '0';
			},
			"round $round has ended");
	}
	is(sql(q{SELECT string_agg(DISTINCT status, ' ') FROM wf_workflows WHERE queue IN ('r', 's')}),
		'SUCCESS', "race: all of $rounds rounds have ended");
	sql("SELECT pg_terminate_backend($_->{pid})") foreach @takers;
	last_words(@takers);
	$_->quit foreach @workers;
}

$node->stop;
done_testing();
