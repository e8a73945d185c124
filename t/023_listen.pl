# Clients that LISTEN: which news come, in which words, to whom, and until when;
# nothing is left in shared memory.  What is lost or comes late, and how many
# listens there may be: t/028_listen_limits.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session until_true);
use DurableWf::Listener
  qw(listens until_listens listener listen_for hear_end ask heard);
use JSON::PP ();
use Test::More;

my $node = start_node(
	'main',
	{
		'durable_wf.notify_min_gap' => '10ms',
	});

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE ROLE alice;
CREATE ROLE bob;
CREATE ROLE team;
GRANT team TO alice, bob;
SELECT wf_start('end'), wf_start('w'), wf_start('v');
SET ROLE alice;
SELECT wf_start('of alice');
SET ROLE team;
SELECT wf_start('of team');
SQL
poll(q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE backend_type = 'durable_wf worker'});

# Kinds and keys.
{
	my $listener = listener(undef, 'w', 'v', undef);

	# take in the resync with which a worker begins; it may just have begun
	heard($listener);
	sql(q{SELECT wf_send('w', '1')});
	is(heard($listener), "all message w\nw message w",
		'kinds: a message without topic');
	sql(q{SELECT wf_send('w', '1', 'topic')});
	sql(q{SELECT wf_send('w', '1', '')});
	is( heard($listener), <<'END' =~ s/\n\z//r, 'kinds: with a topic');
all message w topic
w message w topic
all message w 
w message w 
END
	sql(q{SELECT wf_set_event('key', '1', 'w'), wf_notify('e', '1', 'w')});
	sql(q{SELECT wf_set_event('key', '2', 'w')});
	is( heard($listener), <<'END' =~ s/\n\z//r, 'kinds: event and notify');
all event w key
w event w key
all notify w e
w notify w e
all event w key
w event w key
END
	sql(q{SELECT wf_start('new')});
	sql(q{SELECT wf_start('new')});
	sql(q{SELECT wf_start('w')});
	sql(q{SELECT wf_cancel('new')});
	is( heard($listener), "all result new\nall result new",
		'kinds: a start and an end, each once');
	sql(q{SET durable_wf.workflow_id = 'v'; SELECT wf_complete('1')});
	is( heard($listener), "all result v\nv result v", 'kinds: an end');

	# the news of one commit: each once, in their order
	sql(<<'SQL');
BEGIN;
SELECT wf_send('w', to_jsonb(n), CASE WHEN n % 2 = 0 THEN 'even' END)
  FROM generate_series(1, 10) n;
SELECT wf_set_event('sum', '55', 'w');
COMMIT;
SQL
	is( heard($listener), <<'END' =~ s/\n\z//r, 'kinds: many in one commit');
all message w
w message w
all message w even
w message w even
all event w sum
w event w sum
END
	# a receive is no news
	sql(q{SELECT count(wf_recv(NULL, '0', 'w')) FROM generate_series(1, 9)});
	is(heard($listener), '', 'kinds: not by a receive');
	sql(q{COPY durable_wf.message (message_id, workflow_id, door, key, payload) FROM stdin;
1	w	m	copied	1
\.
});
	is(heard($listener), "all message w copied\nw message w copied",
		'kinds: by COPY too');

	# wf_notify without a workflow: news of the workflows that wait
	{
		my $waiter = session();

		$waiter->query_until(qr//, q{SELECT wf_wait_for_event('b', NULL, 'w');} . "\n");
		poll(q{SELECT count(*) = 1 FROM wf_event_waiters('b')});
		sql(q{SELECT wf_notify('b', '1')});
		like($waiter->query(''), qr/1,f/, 'kinds: the waiter has it');
		is(heard($listener), "all notify w b\nw notify w b",
			'kinds: a notification for who waits');
		$waiter->quit;
	}
	$listener->quit;
	until_listens(0, 'kinds: a session that ends leaves nothing');
}

# The words: one line of JSON, whatever the text and its length.
{
	my $listener = listener(undef);
	my %texts = (
		quotes => q{it's "quoted" \\ {"a": [1]}, %s $1},
		control => join('', map { chr } 1 .. 31, 127),
		'non-ASCII' => "gr\xc3\xb6\xc3\x9fe \xe5\x88\x97 \xf0\x9f\x90\x98",
		# in JSON six bytes each: the longest payload possible
		longest => "\x01" x 256);

	foreach my $name (sort keys %texts)
	{
		my $literal = "'" . $texts{$name} =~ s/'/''/gr . "'";
		my $key = $name eq 'longest' ? "repeat($literal, 2)" : $literal;
		my $news;

		sql("SELECT wf_start($literal)");
		$listener->{channels}{ask($listener, "SELECT wf_listen($literal)")} = 'text';
		sql("SELECT wf_send($literal, '1', $key)");
		heard_raw($listener);
		$news = $listener->{text}[0];
		unlike($news, qr/[\x00-\x1f]/, "words: $name: one line");
		is_deeply(
			JSON::PP->new->decode($news),
			{
				workflow_id => $texts{$name},
				kind => 'message',
				key => $name eq 'longest' ? $texts{$name} x 2 : $texts{$name}
			},
			"words: $name");
		cmp_ok(length $news, '>', 4500, 'words: the longest is long')
		  if $name eq 'longest';
	}
	$listener->quit;
}

# Take in all news until one labelled "text" has come, put the payloads of that
# label in {text}, and listen for nothing but the end any more.
sub heard_raw
{
	my ($listener) = @_;
	my @text;
	my $channels = $listener->{channels};

	until_true(
		sub {
			ask($listener, 'SELECT WHERE false');
			foreach my $news (splice @{ $listener->{news} })
			{
				push @text, $news->[1] if $channels->{ $news->[0] } eq 'text';
			}
			return @text;
		},
		'the text has come');
	delete $channels->{$_}
	  foreach grep { $channels->{$_} eq 'text' } keys %$channels;
	ask($listener, 'UNLISTEN *');
	$listener->{channels} = {};
	hear_end($listener);
	$listener->{text} = \@text;
	return;
}

# To whom: a role hears of its own workflows, as long as they are its own.
{
	my $alice = listener('alice', undef, 'of alice', 'of team');
	my $bob = listener('bob', undef, 'of team');
	my $other = listener('bob', undef);

	heard($_) foreach $alice, $bob, $other;
	sql(q{SELECT wf_send('of alice', '1'), wf_send('of team', '2'), wf_send('w', '3')});
	is(heard($alice), "all message of alice\nof alice message of alice\nof team message of team",
		'whom: hers, and what she listens for and may see');
	is(heard($bob), 'of team message of team', 'whom: not what is hers');
	is(heard($other), '', 'whom: all means what one owns');

	# a workflow gets another owner: the new one hears of it, the old one does not
	sql(q{SELECT wf_set_owner('of alice', 'bob')});
	is(heard($alice), '', 'whom: given away');
	is(heard($bob), 'all result of alice', 'whom: taken over');
	sql(q{SELECT wf_send('of alice', '1')});
	is(heard($alice), '', 'whom: no more news of what was hers');
	is(heard($bob), 'all message of alice', 'whom: but to him');
	like(
		($node->psql('postgres',
				q{SET ROLE alice; SELECT wf_listen('of alice')}))[2],
		qr/permission denied for workflow "of alice"/,
		'whom: nor can she ask again');
	sql(q{SELECT wf_set_owner('of alice', 'team')});
	is(heard($alice), 'of alice result of alice',
		'whom: hers again, as one of the team');
	is(heard($bob), '', 'whom: not his own');
	sql(q{SELECT wf_set_owner('of alice', 'alice')});
	is(heard($alice), "all result of alice\nof alice result of alice",
		'whom: her own');

	# a membership ends
	sql('REVOKE team FROM bob');
	sql(q{SELECT wf_send('of team', '1')});
	is(heard($bob), '', 'whom: he has left the team');
	is(heard($alice), 'of team message of team', 'whom: she has not');
	sql('GRANT team TO bob');
	sql(q{SELECT wf_send('of team', '1')});
	is(heard($bob), 'of team message of team', 'whom: he is back');
	heard($_) foreach $alice, $other;

	# the owner of a workflow is dropped
	sql(q{CREATE ROLE short; SET ROLE short; SELECT wf_start('of short')});
	sql(q{DROP ROLE short; SELECT wf_send('of short', '1')});
	is(heard($_), '', 'whom: of nobody') foreach $alice, $other;
	{
		my $super = listener(undef, 'of short');

		sql(q{SELECT wf_send('of short', '1')});
		is(heard($super), 'of short message of short', 'whom: a superuser may');
		$super->quit;
	}
	$_->quit foreach $alice, $bob, $other;
	until_listens(0, 'whom: nothing is left');
}

# Until when: each way to end a listen ends it, and leaves nothing of it in shared
# memory.
{
	my $listener = listener(undef, 'w', 'new');
	my $channel = listen_for($listener, 'w');
	my $others = listener(undef, 'w');
	my @ways = (
		[ 'wf_unlisten' => q{SELECT wf_unlisten('w')} ],
		[ 'UNLISTEN channel' => "UNLISTEN $channel" ],
		[ 'UNLISTEN *' => 'UNLISTEN *' ],
		[ 'DISCARD ALL' => 'DISCARD ALL' ],
		[
			'ROLLBACK TO SAVEPOINT' => 'UNLISTEN *',
			'BEGIN', 'SAVEPOINT s', q{SELECT wf_listen('w') <> ''},
			'ROLLBACK TO s', 'COMMIT'
		],
		[
			'ROLLBACK' => 'UNLISTEN *',
			'BEGIN', q{SELECT wf_listen('w') <> '', wf_listen() <> ''}, 'ROLLBACK'
		]);

	is(listens(), 5, 'until: three here, two elsewhere');
	foreach my $way (@ways)
	{
		my ($name, @statements) = @$way;

		sql(q{SELECT wf_send('w', '1', 'before')});
		like(heard($listener), qr/^w message w before$/m,
			"until: $name: before it");
		ask($listener, $_) foreach @statements;
		hear_end($listener);
		sql(q{SELECT wf_send('w', '1', 'after')});
		unlike(heard($listener), qr/message/, "until: $name: after it");
		is(heard($others), "w message w before\nw message w after",
			"until: $name: others hear on");
		is( listens(),
			2 + ask($listener, 'SELECT count(*) FROM pg_listening_channels()'),
			"until: $name: nothing is left");
		listen_for($listener, 'w');
	}

	# a listen ends at the commit, and not at all with a rollback
	ask($listener, 'BEGIN', q{SELECT wf_unlisten('w')}, 'ROLLBACK');
	ask($listener, 'BEGIN', 'SAVEPOINT s', 'UNLISTEN *', 'ROLLBACK TO s', 'COMMIT');
	sql(q{SELECT wf_send('w', '1', 'still')});
	is(heard($listener), 'w message w still', 'until: an end that was rolled back');

	# a session ends: killed client, terminated backend
	my $listens = listens();
	my $victim = listener(undef, 'w', 'new', undef);
	is(listens(), $listens + 4, 'until: one more');
	ask($victim, 'BEGIN', q{SELECT wf_unlisten('w'), wf_listen('v') <> ''});
	$victim->{run}->signal('KILL');
	eval { $victim->{run}->finish };
	until_listens($listens, 'until: its client was killed');

	$victim = listener(undef, 'w', undef);
	sql("SELECT pg_terminate_backend($victim->{pid})");
	eval { $victim->{run}->finish };
	until_listens($listens, 'until: it was terminated');

	# a backend is terminated in an open transaction
	$victim = listener(undef, 'w');
	ask($victim, 'BEGIN', q{SELECT wf_listen('v') <> '', wf_unlisten('w')});
	sql("SELECT pg_terminate_backend($victim->{pid})");
	eval { $victim->{run}->finish };
	until_listens($listens, 'until: terminated in a transaction');
	$_->quit foreach $listener, $others;
	until_listens(0, 'until: nothing is left');
}

# What is rolled back is no news.
{
	my $listener = listener(undef, 'w');

	sql(<<'SQL');
BEGIN; SELECT wf_send('w', '1'), wf_set_event('k', '1', 'w'); ROLLBACK;
BEGIN;
SELECT wf_send('w', '1', 'kept');
SAVEPOINT s;
SELECT wf_send('w', '1', 'rolled back');
SAVEPOINT t;
SELECT wf_send('w', '1', 'rolled back, too');
RELEASE t;
ROLLBACK TO s;
SELECT wf_send('w', '1', 'kept, too');
COMMIT;
SQL
	$node->psql('postgres', q{BEGIN; SELECT wf_send('w', '1'); SELECT 1 / 0; COMMIT});
	is(heard($listener), "w message w kept\nw message w kept, too",
		'rollback: no news');
	# subtransactions send, and every other one is rolled back
	sql(<<'SQL');
DO $$BEGIN
    FOR n IN 1 .. 100 LOOP
        PERFORM wf_send('w', '1', 'a' || n);
        BEGIN
            PERFORM wf_send('w', '1', repeat('b', 512)), 1 / (n % 2);
        EXCEPTION WHEN division_by_zero THEN
        END;
    END LOOP;
END$$;
SQL
	is( heard($listener),
		join("\n",
			map { ("w message w a$_", $_ == 1 ? 'w message w ' . 'b' x 512 : ()) } 1 .. 100),
		'rollback: in a loop');
	$listener->quit;
}

$node->stop;
done_testing();
