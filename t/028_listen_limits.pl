# Clients that LISTEN, when something comes in between: too many news, the least
# gap between two notifications, prepared transactions, other databases, another
# worker, all listens in use, a crash.  Lost news are told as a resync.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node set sql poll until_true session kill_backend
  worker);
use DurableWf::Listener
  qw(listens until_listens listener ask heard resynced);
use Test::More;
use Time::HiRes qw(time);

my $node = start_node(
	'main',
	{
		max_prepared_transactions => 5,
		restart_after_crash => 'on',
		'durable_wf.notify_min_gap' => '10ms',
	});

sql(q{CREATE EXTENSION durable_wf; SELECT wf_start('end'), wf_start('w'), wf_start('new')});
poll(q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE backend_type = 'durable_wf worker'});

# Too many news at a time: every listener gets a resync instead, and then news
# again.
{
	my $listener = listener(undef, 'w', undef);
	my $other = listener(undef, 'new');

	# take in the resync with which a worker begins
	heard($_) foreach $listener, $other;

	sql(<<'SQL');
SELECT cardinality(wf_send_many(array_agg('w'::text), array_agg('1'::jsonb), repeat('t', 500)))
  FROM generate_series(1, 10);
SELECT count(wf_send('w', '1', repeat('t', 500) || n)) FROM generate_series(1, 1000) n;
SQL
	resynced($listener, 'full: a resync');
	resynced($other, 'full: for others, too');
	heard($_) foreach $listener, $other;
	sql(q{SELECT wf_send('w', '1', 'then')});
	is(heard($listener), "all message w then\nw message w then", 'full: it goes on');

	# from many commits, while the worker may not notify
	set('notify_min_gap', '60s');
	my $sends = join "\n",
	  map { "SELECT wf_send('w', '1', repeat('t', 500) || $_);" } 1 .. 200;
	sql($sends);
	set('notify_min_gap', '0');
	resynced($_, 'full: from many commits') foreach $listener, $other;
	heard($_) foreach $listener, $other;
	sql(q{SELECT wf_send('w', '1', 'then')});
	is(heard($listener), "all message w then\nw message w then", 'full: it goes on again');
	$_->quit foreach $listener, $other;
}

# The least gap: the first news come at once, the next not before the gap is
# over, and a shorter gap holds for news that wait already.
{
	my $listener = listener(undef, 'w');
	my $heard;

	foreach my $round (1 .. 5)
	{
		sql(qq{SELECT wf_send('w', '1', 'round $round')});
		is(heard($listener), "w message w round $round", "gap: none, round $round");
	}
	set('notify_min_gap', '60s');
	sql(q{SELECT wf_send('w', '1', 'waits')});
	sql(q{SELECT wf_send('w', '1', 'waits')});
	sql(q{SELECT wf_send('w', '1', 'waits, too')});
	is(ask($listener, 'SELECT 1'), 1, 'gap: the client does something else');
	is(scalar @{ $listener->{news} || [] }, 0, 'gap: nothing yet');
	set('notify_min_gap', '10ms');
	is(heard($listener), "w message w waits\nw message w waits, too",
		'gap: then all at once, each once');
	like(($node->psql('postgres', 'SET durable_wf.notify_min_gap = 0'))[2],
		qr/cannot be changed now/, 'gap: not by a session');
	$listener->quit;
}

# The gap follows from what the sessions that listen take of the CPUs.
{
	my @listeners = map { listener(undef, 'w') } 1 .. 8;
	my $batches = q{SELECT notifications FROM wf_stat WHERE door = 'message'};
	my $sender = session();
	my $gap = 8 * 0.036 / (0.015 * `getconf _NPROCESSORS_ONLN`);
	my ($before, $from);

	# all hear of one workflow by one channel: each batch is one notification
	set('notify_min_gap', '1ms');
	heard($_) foreach @listeners;
	$before = sql($batches);
	$from = time;
	$sender->query_safe(q{SELECT wf_send('w', '1', 'gap')}) foreach 1 .. 300;
	my $most = 1000 * (time - $from) / $gap + 2;
	cmp_ok(sql($batches) - $before, '<=', $most, 'gap: as long as the CPUs need');
	$sender->quit;
	$_->quit foreach @listeners;
	set('notify_min_gap', '10ms');
}

# The commit of a prepared transaction is told as a resync.
{
	my $listener;

	sql(q{BEGIN; SELECT wf_send('w', '1', 'prepared'); PREPARE TRANSACTION 'before'});
	$listener = listener(undef, 'w');
	heard($listener);
	sql(q{BEGIN; SELECT wf_send('w', '1', 'prepared'); PREPARE TRANSACTION 'p'});
	is(heard($listener), '', 'prepared: nothing yet');
	sql(q{COMMIT PREPARED 'p'});
	resynced($listener, 'prepared: a resync at its commit');
	sql(q{COMMIT PREPARED 'before'});
	resynced($listener, 'prepared: from before the listener');
	heard($listener);
	$listener->quit;
}

# A listener that begins between a send and its commit: if it is the first one,
# the send was noted without an address, and the commit is told as a resync.
{
	my $sender = session();
	my ($listener, $second);

	until_listens(0, 'between: nobody listens');
	$sender->query_safe('BEGIN');
	$sender->query_safe(q{SELECT wf_send('w', '1', 'early')});
	$listener = listener(undef, 'w');
	is(heard($listener), '', 'between: not committed');
	$sender->query_safe(q{SELECT wf_send('w', '1', 'late')});
	$sender->query_safe('COMMIT');
	resynced($listener, 'between: a resync');

	# with a listener already there the send is noted with its address, and a
	# second listener hears of it
	heard($listener);
	$sender->query_safe('BEGIN');
	$sender->query_safe(q{SELECT wf_send('w', '1', 'early')});
	$second = listener(undef, 'w');
	$sender->query_safe('COMMIT');
	is(heard($_), 'w message w early', 'between: news for both')
	  foreach $listener, $second;
	$_->quit foreach $sender, $listener, $second;
}

# A listener does not hear of another database's workflows.
{
	my ($listener, $there);

	sql('CREATE DATABASE other');
	$node->safe_psql('other', q{CREATE EXTENSION durable_wf; SELECT wf_start('w')});
	poll(q{SELECT count(*) = 2 FROM pg_stat_activity
			WHERE backend_type = 'durable_wf worker'});
	$listener = listener(undef, 'w', undef);
	$there = session($node, 'other');
	isnt(
		$there->query_safe(q{SELECT wf_listen('w')}),
		(grep { $listener->{channels}{$_} eq 'w' } keys %{ $listener->{channels} })[0],
		'databases: channels of their own');
	heard($listener);
	$node->safe_psql('other', q{SELECT wf_send('w', '1', 'there')});
	until_true(
		sub { $there->query('SELECT WHERE false') =~ /"w", "kind": "message", "key": "there"/ },
		'the other listener has heard of it');
	is(heard($listener), '', 'databases: not here');
	sql(q{SELECT wf_send('w', '1', 'here')});
	is(heard($listener), "all message w here\nw message w here", 'databases: and here');
	unlike($there->query('SELECT WHERE false'), qr/here"/, 'databases: not there');
	$_->quit foreach $listener, $there;
}

# The worker is terminated, and another one is started.
{
	my $listener = listener(undef, 'w', undef);
	my $pid = worker('postgres');

	heard($listener);
	sql("SELECT pg_terminate_backend($pid)");
	poll("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
	sql(q{SELECT wf_send('w', '1', 'in between')});
	resynced($listener, 'worker: a resync by the next one');
	isnt(worker('postgres'), $pid, 'worker: it is another one');
	heard($listener);
	sql(q{SELECT wf_send('w', '1', 'then')});
	is(heard($listener), "all message w then\nw message w then", 'worker: it goes on');

	# the extension is dropped and created again: a resync, then its news
	sql('DROP EXTENSION durable_wf');
	poll(q{SELECT count(*) = 1 FROM pg_stat_activity
			WHERE backend_type = 'durable_wf worker'});
	sql(q{CREATE EXTENSION durable_wf; SELECT wf_start('w'), wf_start('end')});
	resynced($listener, 'worker: a resync when the extension is back');
	heard($listener);
	sql(q{SELECT wf_send('w', '1', 'new')});
	is(heard($listener), "all message w new\nw message w new",
		'worker: who listened still does');
	$listener->quit;
}

# A role gets as many listens as it may have, and no more; when many roles have
# all that they can get, there are some left for each other role.
{
	my ($listener, $last, $others);
	my $roles = 0;
	my $many = sub {
		my ($session, $from, $to) = @_;

		return ask($session,
			"SELECT count(wf_listen('many ' || n)) FROM generate_series($from, $to) n");
	};
	my $refused = sub {
		my ($session, $count) = @_;

		$session->query(q{SELECT wf_listen('many 8200')});
		like($session->{stderr},
			qr/53400: too many workflows are listened for\nDETAIL:  Role "\w+" listens for $count, .* 16384 .*\nHINT:  Call wf_listen\(\)/,
			"many: no more than $count");
		$session->{stderr} = '';
		return;
	};

	sql(q{SELECT count(wf_start('many ' || n)) FROM generate_series(1, 8200) n});
	$listener = listener(undef);
	is($many->($listener, 1, 8191), 8191, 'many: with the end, half');
	$last = session();
	$refused->($last, 8192);
	isnt($last->query_safe(q{SELECT wf_listen('many 1')}),
		'', 'many: but again what is listened for');
	is(listens(), 8193, 'many: by two sessions');

	$others = session();
	foreach my $count (4096, 2048, 1024, 512, 256, 128, 64, 64, 64, 64)
	{
		ask($others, 'RESET ROLE', 'CREATE ROLE greedy' . ++$roles . ' SUPERUSER',
			"SET ROLE greedy$roles");
		is($many->($others, 1, $count), $count, "many: $count for another role");
		$refused->($others, $count);
	}
	$refused->($last, 8192);
	ask($others, 'UNLISTEN *', 'RESET ROLE', "DROP ROLE greedy$roles");
	isnt(ask($others, q{SELECT wf_listen('many 2')}), '', 'many: theirs are free again');
	$others->quit;
	until_listens(8193, 'many: theirs are free');
	sql(q{SELECT wf_send('many 77', '1')});
	$listener->{channels}{ask($listener, q{SELECT wf_listen('many 77')})} = 'many 77';
	is(heard($listener), 'many 77 message many 77', 'many: heard among them');
	ask($listener, q{SELECT wf_unlisten('many 2')});
	isnt($last->query_safe(q{SELECT wf_listen('many 8200')}),
		'', 'many: one is free');
	ask($listener, 'UNLISTEN *');
	$last->quit;
	until_listens(0, 'many: nothing is left');
	$listener->quit;
}

# After a crash there is no listen; a listener that begins again hears again.
{
	my $listener = listener(undef, 'w');
	my $victim = session();
	my $channel = (grep { $listener->{channels}{$_} eq 'w' }
		keys %{ $listener->{channels} })[0];

	kill_backend($victim->{pid}, $victim, $listener);
	is(listens(), 0, 'crash: nobody listens');
	$listener = listener(undef, 'w');
	ok(!$listener->{channels}{$channel}, 'crash: another channel');
	poll(q{SELECT count(*) = 2 FROM pg_stat_activity
			WHERE backend_type = 'durable_wf worker'});
	heard($listener);
	sql(q{SELECT wf_send('w', '1')});
	is(heard($listener), 'w message w', 'crash: it goes on');
	$listener->quit;
}

$node->stop;
done_testing();
