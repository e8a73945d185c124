# No wake-up is lost and no message is taken twice: pairs that answer each
# other, then senders and receivers that roll back and are cancelled at random.
#
# No wait here has a timeout that would hide it: a lost wake-up is a hang.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $limit = $PostgreSQL::Test::Utils::timeout_default;

my $node =
  start_node('main', { autovacuum => 'on', log_min_messages => 'fatal' });

# Open a session.
sub session
{
	# the limit is ours, see eventually()
	my $session = $node->background_psql(
		'postgres',
		on_error_stop => 0,
		timeout => 10 * $limit);

	$session->{pid} = $session->query_safe('SELECT pg_backend_pid()');
	$session->{sent} = 0;
	return $session;
}

# Give a session something to do, without waiting for it.
sub order
{
	my ($session, $statements) = @_;

	$session->{sent}++;
	$session->{stdout} = '';
	$session->{stderr} = '';
	$session->{stdin} .= "$statements\n\\echo finished $session->{sent}\n";
	$session->{run}->pump_nb;
	return;
}

# Has it done that?
sub is_idle
{
	my ($session) = @_;

	$session->{run}->pump_nb;
	return $session->{sent} == 0
	  || $session->{stdout} =~ /^finished $session->{sent}$/m;
}

# Call a function until it returns true; false if it does not within the limit.
sub eventually
{
	my ($condition) = @_;
	my $end = time + $limit;

	until ($condition->())
	{
		return 0 if time > $end;
		usleep(1000);
	}
	return 1;
}

# Which sessions wait for what, and which messages lie where; for a failure.
sub situation
{
	return sql(q{SELECT 'waits', pid, key, waiting_since FROM wf_waiters;
		SELECT 'lies', workflow_id, key, depth, oldest_at FROM wf_mailbox});
}

sql('CREATE EXTENSION durable_wf');

# ---- ping-pong ----

# Odd pairs use CALL, which commits the send and waits without a snapshot, even
# ones the function.
sql(<<'SQL');
CREATE TABLE counted (who text, rounds int);
SELECT wf_start('ping' || i), wf_start('pong' || i) FROM generate_series(1, 8) i;

CREATE PROCEDURE receive(pair int, who text, INOUT message jsonb)
LANGUAGE plpgsql AS $$
BEGIN
	IF pair % 2 = 1 THEN
		CALL wf_recv(NULL, NULL, who || pair, message);
	ELSE
		COMMIT;
		message := wf_recv(NULL, NULL, who || pair);
	END IF;
END $$;

CREATE PROCEDURE ping(pair int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
	message jsonb;
BEGIN
	FOR i IN 1 .. rounds LOOP
		PERFORM wf_send('pong' || pair, to_jsonb(i));
		CALL receive(pair, 'ping', message);
		IF message IS DISTINCT FROM to_jsonb(i) THEN
			RAISE EXCEPTION 'pair % got % in round %', pair, message, i;
		END IF;
	END LOOP;
	INSERT INTO counted VALUES ('ping', rounds);
END $$;

CREATE PROCEDURE pong(pair int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
	message jsonb;
BEGIN
	FOR i IN 1 .. rounds LOOP
		CALL receive(pair, 'pong', message);
		IF message IS DISTINCT FROM to_jsonb(i) THEN
			RAISE EXCEPTION 'pair % got % in round %', pair, message, i;
		END IF;
		PERFORM wf_send('ping' || pair, message);
	END LOOP;
	INSERT INTO counted VALUES ('pong', rounds);
END $$;
SQL

foreach my $pairs (4, 8)
{
	my $rounds = 5000;
	my $each = $rounds / $pairs;
	my @players = map { session() } 1 .. 2 * $pairs;
	my $done;

	foreach my $pair (1 .. $pairs)
	{
		order($players[ 2 * $pair - 2 ], "CALL pong($pair, $each);");
		order($players[ 2 * $pair - 1 ], "CALL ping($pair, $each);");
	}
	$done = eventually(sub { !grep { !is_idle($_) } @players });
	ok($done, "$pairs pairs come to an end") or diag(situation());
	is(join('', map { $_->{stderr} } @players), '', "$pairs pairs: no error");
	is( sql('SELECT who, sum(rounds) FROM counted GROUP BY 1 ORDER BY 1'),
		"ping|$rounds\npong|$rounds",
		"$pairs pairs have played $rounds rounds");
	BAIL_OUT('a lost wake-up') unless $done;
	sql('TRUNCATE counted');
	$_->quit foreach @players;
}
is(sql('SELECT count(*) FROM durable_wf.message'), '0', 'no ball is left');

# ---- stress ----

sql(<<'SQL');
CREATE TABLE sent (n int);
CREATE TABLE got (n int);
SELECT wf_start('s');

CREATE PROCEDURE take(topics text[], INOUT n int) LANGUAGE plpgsql AS $$
DECLARE
	topic text;
	message jsonb;
BEGIN
	CALL wf_recv_any(topics, NULL, 's', topic, message);
	n := message;
	INSERT INTO got VALUES (n);
END $$;

CREATE PROCEDURE take_and_roll_back(topics text[]) LANGUAGE plpgsql AS $$
DECLARE
	n int;
BEGIN
	CALL take(topics, n);
	ROLLBACK;
END $$;
SQL

my $seed = $ENV{DWF_STRESS_SEED} || 1;
srand $seed;
note "seed $seed";

my @topics = ('a', 'b', 'c');
my @senders = map { session() } 1 .. 3;
my @receivers = map { session() } 0 .. 11;
my $canceller = session();
my $control = session();
my $orders = 0;
my $n = 0;
my %used = (cancel => 0);

$receivers[$_]{topic} = $topics[ $_ % 3 ] foreach 0 .. 11;

# Choose one of several at random.
sub one_of
{
	return $_[ int rand @_ ];
}

# A send of a new number, and its record in the same transaction.
sub send_one
{
	my $topic = one_of(@topics);

	$n++;
	return "SELECT wf_send('s', '$n', '$topic'); INSERT INTO sent VALUES ($n);";
}

# A receive of up to $max, and its record in the same transaction.
sub receive_some
{
	my ($topic, $max, $timeout) = @_;

	return "INSERT INTO got SELECT message::int"
	  . " FROM wf_recv_many('$topic', $max, $timeout, 's');";
}

# What a sender may do
my %sends = (
	'commit' => sub { 'BEGIN; ' . send_one() . send_one() . 'COMMIT;' },
	'rollback' => sub { 'BEGIN; ' . send_one() . 'ROLLBACK;' },
	'savepoint' => sub {
		'BEGIN; ' . send_one() . 'SAVEPOINT s; ' . send_one() . 'ROLLBACK TO s; '
		  . send_one() . 'SAVEPOINT s; ' . send_one() . 'RELEASE s; COMMIT;';
	},
	'many' => sub {
		my $from = $n + 1;
		my $topic = one_of(@topics);

		$n += 4;
		return "BEGIN; INSERT INTO sent SELECT generate_series($from, $n);"
		  . " SELECT wf_send_many('{s,s,s,s}', '{"
		  . join(',', $from .. $n)
		  . "}', '$topic'); COMMIT;";
	},
	# by other means, and with an id that is lower than all others
	'row' => sub {
		my $topic = one_of(@topics);

		$n++;
		return "BEGIN; INSERT INTO sent VALUES ($n);"
		  . ' INSERT INTO durable_wf.message'
		  . ' (message_id, workflow_id, door, key, payload)'
		  . " VALUES (-$n, 's', 'm', '$topic', '$n'); COMMIT;";
	});

# What a receiver of a topic may do
my %receives = (
	'take' => sub { receive_some($_[0], 1 + int rand 3, 'NULL') },
	'call' => sub { "CALL take('{$_[0]," . one_of(@topics) . "}', NULL);" },
	'roll back' =>
	  sub { 'BEGIN; ' . receive_some($_[0], 2, 'NULL') . ' ROLLBACK;' },
	'roll back more' => sub {
		'BEGIN; ' . receive_some($_[0], 1, 'NULL')
		  . receive_some($_[0], 2, "'0'") . ' ROLLBACK;';
	},
	'roll back to' => sub {
		'BEGIN; SAVEPOINT s; ' . receive_some($_[0], 2, 'NULL')
		  . ' ROLLBACK TO s; ' . receive_some($_[0], 1, "'0'") . ' COMMIT;';
	},
	'nested' => sub {
		'BEGIN; SAVEPOINT s; SAVEPOINT t; ' . receive_some($_[0], 1, 'NULL')
		  . ' RELEASE t; SAVEPOINT t; ' . receive_some($_[0], 1, "'0'")
		  . ' ROLLBACK TO t; RELEASE s; COMMIT;';
	},
	'call and roll back' => sub {
		"CALL take_and_roll_back('{$_[0]," . one_of(@topics) . "}');";
	},
	'statement_timeout' => sub {
		"SET statement_timeout = '" . (1 + int rand 20) . "ms'; "
		  . receive_some($_[0], 2, 'NULL') . ' RESET statement_timeout;';
	},
	'exception' => sub {
		'DO $$ BEGIN BEGIN ' . receive_some($_[0], 1, 'NULL')
		  . ' IF random() < 0.5 THEN RAISE EXCEPTION USING MESSAGE = 1; END IF;'
		  . ' EXCEPTION WHEN raise_exception OR query_canceled THEN NULL; END;'
		  . receive_some($_[0], 1, "'0'") . ' END $$;';
	});

# Give each idle session something to do.
sub employ
{
	foreach my $sender (grep { is_idle($_) } @senders)
	{
		$orders++;
		order($sender, $sends{ one_of(sort keys %sends) }->());
	}
	foreach my $receiver (grep { is_idle($_) } @receivers)
	{
		my $kind = one_of(sort keys %receives);

		$used{$kind}++;
		order($receiver, $receives{$kind}->($receiver->{topic}));
	}
	if (is_idle($canceller) && rand() < 0.8)
	{
		my $victim = one_of(@receivers, @receivers, @senders);

		$used{cancel}++;
		order($canceller, "SELECT pg_cancel_backend($victim->{pid});");
	}
	return;
}

# Has each session finished or fallen asleep, and none sleeps beside a message?
sub is_settled
{
	my $pids = join ',', map { $_->{pid} } @receivers;
	my $awake;

	return 0 if grep { !is_idle($_) } @senders, $canceller, $control;
	$awake = grep { is_idle($_) } @receivers;
	$awake = @receivers - $awake;
	return 1 if $control->{stdout} =~ /^$awake asleep, 0 missed$/m;

	order($control, <<"SQL");
SELECT (SELECT count(*) FROM pg_stat_activity
         WHERE pid IN ($pids) AND wait_event_type = 'Extension')
       || ' asleep, '
       || (SELECT count(*) FROM durable_wf.message m
            WHERE m.key IN (SELECT w.key FROM wf_waiters w))
       || ' missed';
SQL
	return 0;
}

my $stat = q{SELECT sends, receives FROM wf_stat WHERE door = 'message'};
my @before = split /\|/, sql($stat);
my $settled = 1;

foreach my $round (1 .. 100)
{
	# a busy while
	$orders = 0;
	eventually(sub { employ(); return $orders > 9 }) or die 'the senders hang';

	# then a quiet one, in which no waiter reads the tables unless it is woken
	$control->{stdout} =~ s/asleep//;
	$settled = eventually(\&is_settled) or last;
}
ok($settled, 'no message is left while a receiver waits for it')
  or diag(situation());

# End all sessions that still wait, also those that have not begun to wait yet.
eventually(
	sub {
		my @busy = grep { !is_idle($_) } @receivers;

		order($canceller,
			join ' ', map { "SELECT pg_cancel_backend($_->{pid});" } @busy)
		  if @busy && is_idle($canceller);
		return !@busy;
	}) or die 'the receivers hang';
$_->quit foreach (@senders, @receivers, $canceller, $control);

# What is left was never waited for since.
sql(q{INSERT INTO got SELECT message::int FROM unnest(ARRAY['a', 'b', 'c']) topic,
	LATERAL wf_recv_many(topic, 100000, '0', 's')});

my @after = split /\|/, sql($stat);
my $sent = sql('SELECT count(*) FROM sent');

note join ', ', map { "$_: $used{$_}" } sort keys %used;
note sql('SELECT * FROM wf_stat');
cmp_ok($sent, '>', 500, 'messages were sent');
is(sql('SELECT count(*), count(DISTINCT n) FROM got'),
	"$sent|$sent", 'each was consumed by one committed transaction');
is(sql('SELECT n FROM sent EXCEPT ALL SELECT n FROM got'),
	'', 'none was lost');
is(sql('SELECT n FROM got EXCEPT ALL SELECT n FROM sent'),
	'', 'none was consumed that was not sent');
is($after[0] - $before[0], $sent, 'wf_stat counts what was sent');
is($after[1] - $before[1], $sent, 'wf_stat counts what was received');
is(sql('SELECT count(*) FROM wf_waiters'), '0', 'nobody is left waiting');

$node->stop;
done_testing();
