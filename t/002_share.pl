# Several receivers share a queue: a message wakes one of them, the others wait
# on undisturbed, and a wake is never lost with the waiter that got it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session start asleep outcome last_words
  until_true sleeping freeze thaw);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main');

# Freeze a session asleep in a statement that has so many seconds, which have not
# passed then; on a machine that is too slow for that it gets more.
sub freeze_in_time
{
	my ($session, $statement) = @_;
	my $look = "SELECT %s FROM pg_stat_activity WHERE pid = $session->{pid}";

	foreach my $seconds (4, 16, 64)
	{
		start($session, $statement =~ s/SECONDS/$seconds s/r);
		until_true(
			sub {
				return sql(sprintf $look, q{state = 'idle'}) eq 't'
				  || sleeping($session->{pid})
				  && sql(sprintf $look, q{wait_event_type = 'Extension'}) eq 't'
				  && sleeping($session->{pid});
			},
			'it sleeps');
		freeze($session);
		return
		  if sql(sprintf $look, "state = 'active' AND clock_timestamp() < query_start + interval '$seconds s'") eq 't';
		thaw($session);
		outcome($session);
	}
	die 'it is too late each time';
}

# Is SIGALRM pending for a frozen backend?
sub alarm_is_pending
{
	my ($session) = @_;
	my ($set) =
	  slurp_file("/proc/$session->{pid}/status") =~ /^ShdPnd:\s+([0-9a-f]+)$/m;

	return hex($set) & (1 << 13);
}

# Until SIGALRM is pending for a frozen backend: one of its timers has fired.
sub until_alarm
{
	my ($session) = @_;

	until_true(sub { alarm_is_pending($session) }, 'a timer has fired');
	return;
}

# The counters of messages, as a hash.
sub stat_message
{
	my %stat;
	@stat{qw(sends receives waits timeouts wakes spurious_wakes passed_on)} =
	  split /\|/, sql(<<'SQL');
SELECT sends, receives, waits, timeouts, wakes, spurious_wakes, passed_on
  FROM wf_stat WHERE door = 'message'
SQL
	return \%stat;
}

# Compare what some counters have gained since with what is expected.
sub gained
{
	my ($since, $expected, $name) = @_;
	my $now = stat_message();
	my %gain = map { $_ => $now->{$_} - $since->{$_} } keys %$expected;

	is_deeply(\%gain, $expected, $name);
	return;
}

sql('CREATE EXTENSION durable_wf');
sql(q{SELECT wf_start('w')});

# Twenty wait, in this order; one message comes.
my @twenty = map { session() } 1 .. 20;
foreach my $i (0 .. 19)
{
	start($twenty[$i],
		$i % 2
		? q{CALL wf_recv('q', NULL, 'w', NULL)}
		: q{SELECT wf_recv('q', '1 day', 'w')});
	asleep($twenty[$i]);
}

my $waits = 'SELECT pid, key, waiting_since, deadline FROM wf_waiters ORDER BY pid';
my %before = map { (split /\|/)[0] => $_ } split /\n/, sql($waits);
my $stat = stat_message();

sql(q{SELECT wf_send('w', '1', 'q')});
poll('SELECT count(*) = 19 FROM wf_waiters');
asleep(@twenty[ 1 .. 19 ]);
is(outcome($twenty[0]), '1', 'the longest waiting gets the message');

my %after = map { (split /\|/)[0] => $_ } split /\n/, sql($waits);
delete $before{ $twenty[0]->{pid} };
is_deeply(\%after, \%before,
	'the other nineteen wait on, since when and until when they did');
gained($stat,
	{ sends => 1, receives => 1, wakes => 1, spurious_wakes => 0 },
	'one message, one wake');

# Five messages in one transaction wake five.
$stat = stat_message();
sql(q{SELECT wf_send_many('{w,w,w}', '{2,3,4}', 'q'), wf_send('w', '5', 'q'),
	wf_send('w', '6', 'q')});
poll('SELECT count(*) = 14 FROM wf_waiters');
is( join(' ', sort map { outcome($_) } @twenty[ 1 .. 5 ]),
	'2 3 4 5 6', 'each message goes to one of them');
gained($stat, { receives => 5, wakes => 5, spurious_wakes => 0 },
	'five messages, five wakes');

# News elsewhere wakes none of them.
$stat = stat_message();
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{CREATE EXTENSION durable_wf; SELECT wf_start('w')});
my $neighbour = start(session($node, 'other'), q{SELECT wf_recv('q', NULL, 'w')});
asleep($neighbour);
sql(q{SELECT wf_start('w2');
	SELECT wf_send('w', '1', 'q2'), wf_send('w', '1'), wf_send('w2', '1', 'q'),
		wf_set_event('q', '1', 'w');
	SELECT * FROM wf_notify('q', '1', 'w')});
gained($stat, { sends => 3, wakes => 0 },
	'another topic, workflow or door wakes nobody');
$node->safe_psql('other', q{SELECT wf_send('w', '"other"', 'q')});
is(outcome($neighbour), '"other"', 'a waiter in the other database');
gained($stat, { sends => 3, wakes => 0 }, 'another database wakes nobody here');
is($node->safe_psql('other', q{SELECT wakes FROM wf_stat WHERE door = 'message'}),
	'1', '... and its own waiter there');
$neighbour->quit;

foreach my $i (6 .. 19)
{
	sql("SELECT wf_send('w', '$i', 'q')");
	is(outcome($twenty[$i]), $i, "waiter $i has its message in the end");
}
is(stat_message()->{timeouts}, 0, 'nobody timed out');
$_->quit foreach @twenty;

# A message that a receiver has taken and not committed is no news.  When it is
# given back, one of the waiters that have skipped it is woken.
my %forms = (
	'function' => q{SELECT wf_recv('q', '1 day', 'w')},
	'CALL' => q{CALL wf_recv('q', '1 day', 'w', NULL)});
my %giving_up = (
	'ROLLBACK' => sub { $_[0]->query_safe('ROLLBACK') },
	'ROLLBACK TO' => sub { $_[0]->query_safe('ROLLBACK TO s') },
	'an error' => sub { $_[0]->query('SELECT 1/0') },
	'pg_terminate_backend' =>
	  sub { sql("SELECT pg_terminate_backend($_[0]->{pid})") },
	'the end of its client' => sub { $_[0]->{run}->signal('KILL') });

foreach my $form (sort keys %forms)
{
	foreach my $how (sort keys %giving_up)
	{
		my $name = "receiver gives up by $how, waiter by $form";
		my $holder = session();
		my @waiters = (session(), session());
		my $since;

		start($waiters[0], $forms{$form});
		asleep($waiters[0]);
		start($waiters[1], $forms{$form});
		asleep(@waiters);
		$since = sql($waits);

		# the waiter that is woken is too slow
		freeze($waiters[0]);
		$stat = stat_message();
		sql(q{SELECT wf_send('w', '"back"', 'q')});
		$holder->query_safe('BEGIN');
		$holder->query_safe('SAVEPOINT s') if $how eq 'ROLLBACK TO';
		is($holder->query_safe(q{SELECT wf_recv('q', '0', 'w')}),
			'"back"', "$name: the receiver has it");
		thaw($waiters[0]);
		poll("SELECT spurious_wakes = $stat->{spurious_wakes} + 1"
			  . " FROM wf_stat WHERE door = 'message'");
		asleep(@waiters);
		is(sql($waits), $since, "$name: the others wait on");

		$giving_up{$how}->($holder);
		is(outcome($waiters[0]), '"back"', "$name: a waiter gets it");
		gained($stat,
			{ wakes => 2, spurious_wakes => 1, passed_on => 0, timeouts => 0 },
			"$name: one is woken");

		$holder->query_safe('COMMIT') if $how eq 'ROLLBACK TO';
		eval { $holder->quit };
		sql(q{SELECT wf_send('w', '"last"', 'q')});
		is(outcome($waiters[1]), '"last"', "$name: the other waits on");
		$_->quit foreach @waiters;
	}
}

# The second message wakes the second waiter, though the first one has not got to
# run since it was woken for the first.
foreach my $form (sort keys %forms)
{
	my ($first, $second) = map { session() } 1 .. 2;

	foreach ($first, $second)
	{
		start($_, $forms{$form});
		asleep($_);
	}
	freeze($first);
	$stat = stat_message();
	sql(q{SELECT wf_send('w', '"one"', 'q')});
	sql(q{SELECT wf_send('w', '"two"', 'q')});
	is(outcome($second), '"one"', "two messages, by $form: the other waiter is woken, too");
	thaw($first);
	is(outcome($first), '"two"', "two messages, by $form: each has one");
	gained($stat, { wakes => 2, spurious_wakes => 0, receives => 2 },
		"two messages, by $form: two wakes");
	$_->quit foreach ($first, $second);
}

# A waiter that leaves with an unused wake passes it on.
my %leaving = (
	'pg_cancel_backend' =>
	  sub { sql("SELECT pg_cancel_backend($_[0]->{pid})") },
	'pg_terminate_backend' =>
	  sub { sql("SELECT pg_terminate_backend($_[0]->{pid})") },
	'statement_timeout' => sub { until_alarm($_[0]) },
	'the end of its client' => sub {
		$_[0]->{run}->signal('KILL');
		until_alarm($_[0]);
	});
my %said = (
	'pg_cancel_backend' => qr/57014.*user request/,
	'pg_terminate_backend' => qr/57P01/,
	'statement_timeout' => qr/57014.*statement timeout/);

foreach my $form (sort keys %forms)
{
	foreach my $how (sort keys %leaving)
	{
		my $name = "woken and gone by $how, by $form";
		my ($first, $second, $third, $said);

		# one form is enough where the test has to wait for the time
		next if $how eq 'statement_timeout' && $form eq 'function';
		($first, $second, $third) = map { session() } 1 .. 3;
		$first->query_safe(q{SET client_connection_check_interval = '100ms'})
		  if $how eq 'the end of its client';
		if ($how eq 'statement_timeout')
		{
			freeze_in_time($first, "SET statement_timeout = 'SECONDS'; $forms{$form}");
		}
		foreach ($first, $second, $third)
		{
			next if $_ == $first && $how eq 'statement_timeout';
			start($_, $forms{$form});
			asleep($_);
			freeze($first) if $_ == $first;
		}

		$stat = stat_message();
		sql(q{SELECT wf_send('w', '"passed on"', 'q')});
		gained($stat, { wakes => 1 }, "$name: the send wakes one");
		$leaving{$how}->($first);
		gained($stat, { receives => 0 }, "$name: nobody has the message");
		thaw($first);

		is(outcome($second), '"passed on"', "$name: the next one gets it");
		$said = $how =~ /cancel|timeout/ ? outcome($first) : last_words($first);
		like($said, $said{$how}, "$name: the error") if $said{$how};
		gained(
			$stat,
			{ wakes => 2, passed_on => 1, spurious_wakes => 0, receives => 1 },
			"$name: the wake was handed on, once");

		sql(q{SELECT wf_send('w', '"last"', 'q')});
		is(outcome($third), '"last"', "$name: the others wait on");
		$_->quit foreach ($second, $third);
		$first->quit if $how =~ /cancel|timeout/;
	}
}

# A waiter is cancelled while it reads the tables, after it has noticed the wake.
{
	my ($first, $second, $locker) = map { session() } 1 .. 3;

	# the function forms would keep the locker out
	foreach ($first, $second)
	{
		start($_, $forms{CALL});
		asleep($_);
	}
	freeze($first);
	$stat = stat_message();
	sql(q{SELECT wf_send('w', '"look"', 'q')});
	$locker->query_safe('BEGIN; LOCK TABLE durable_wf.message');
	thaw($first);
	poll("SELECT wait_event_type = 'Lock' FROM pg_stat_activity"
		  . " WHERE pid = $first->{pid}");
	sql("SELECT pg_cancel_backend($first->{pid})");
	like(outcome($first), qr/57014/, 'cancelled in its look');
	$locker->query_safe('COMMIT');
	is(outcome($second), '"look"', 'cancelled in its look: the next one gets it');
	gained($stat, { passed_on => 1, spurious_wakes => 0 },
		'cancelled in its look: the wake was handed on');
	$_->quit foreach ($first, $second, $locker);
}

# A message that comes together with the timeout is received.
{
	my $waiter = session();

	freeze_in_time($waiter, $forms{function} =~ s/1 day/SECONDS/r);
	poll('SELECT deadline < clock_timestamp() FROM wf_waiters');
	sql(q{SELECT wf_send('w', '"in time"', 'q')});
	thaw($waiter);
	is(outcome($waiter), '"in time"', 'one more look at the timeout');
	$waiter->quit;
}

# A waiter for two topics that was woken for one and takes from the other passes
# the wake on to the other waiters for the first.
foreach my $wait (
	q{SELECT * FROM wf_recv_any('{a,b}', '1 day', 'w')},
	q{CALL wf_recv_any('{a,b}', '1 day', 'w', NULL, NULL)})
{
	my $name = ($wait =~ /^(\w+)/)[0] . ' wf_recv_any';
	my ($both, $b, $a, $sender) = map { session() } 1 .. 4;

	start($both, $wait);
	asleep($both);
	start($b, q{SELECT wf_recv('b', '1 day', 'w')});
	start($a, q{SELECT wf_recv('a', '1 day', 'w')});
	asleep($both, $b, $a);
	freeze($both);
	freeze($b);

	# b's message is the older one, but commits last
	$stat = stat_message();
	$sender->query_safe(q{BEGIN; SELECT wf_send('w', '"old"', 'b')});
	sql(q{SELECT wf_send('w', '"new"', 'a')});
	gained($stat, { wakes => 1 }, "$name: woken for a");
	$sender->query_safe('COMMIT');
	gained($stat, { wakes => 2 }, "$name: another is woken for b");

	thaw($both);
	is(outcome($both), 'b|"old"', "$name: it takes from b, the oldest");
	is(outcome($a), '"new"', "$name: who waits for a is woken");

	thaw($b);
	poll("SELECT spurious_wakes = $stat->{spurious_wakes} + 1"
		  . " FROM wf_stat WHERE door = 'message'");
	asleep($b);
	sql(q{SELECT wf_send('w', '"last"', 'b')});
	is(outcome($b), '"last"', "$name: who waits for b waits on");
	$_->quit foreach ($both, $b, $a, $sender);
}

# A waiter for two topics leaves when it is woken for either.
foreach my $topic ('a', 'b')
{
	my ($both, $one) = map { session() } 1 .. 2;

	start($both, q{SELECT * FROM wf_recv_any('{a,b}', '1 day', 'w')});
	asleep($both);
	start($one, "SELECT wf_recv('$topic', '1 day', 'w')");
	asleep($both, $one);
	freeze($both);
	sql("SELECT wf_send('w', '1', '$topic')");
	sql("SELECT pg_cancel_backend($both->{pid})");
	thaw($both);
	is(outcome($one), '1', "wf_recv_any woken for $topic and cancelled");
	like(outcome($both), qr/57014/, 'it was cancelled');
	$_->quit foreach ($both, $one);
}

is(sql('SELECT count(*) FROM wf_waiters'), 0, 'nobody is left waiting');
is(sql(q{SELECT count(*) FROM wf_mailbox WHERE workflow_id = 'w'
	AND key IN ('q', 'a', 'b') AND door = 'message'}),
	0, 'no message is left');

$node->stop;
done_testing();
