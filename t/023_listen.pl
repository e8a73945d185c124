# Clients that LISTEN: which news come, in which words, to whom, and until when;
# nothing is left in shared memory; and what is lost is told as a resync.
#
# A listener is a psql that listens, too, for a workflow "end".  To hear what
# has come so far, we send there and take in all news until that one: they come
# in the order of the commits.  So it can be seen as well what does not come.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll session until_true);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node(
	'main',
	{
		max_prepared_transactions => 5,
		restart_after_crash => 'on',
		'durable_wf.notify_min_gap' => '10ms',
	});
my $marks = 0;
my $json = JSON::PP->new->utf8;

# How many listens there are in shared memory.
sub listens
{
	return sql('SELECT min(listens) FROM wf_stat');
}

# Wait until there are so many.
sub until_listens
{
	my ($count, $name) = @_;

	poll("SELECT min(listens) = $count FROM wf_stat");
	pass($name);
	return;
}

# Open a session that listens, as a role, for workflows or, with undef, for all
# that the role owns.  What it hears is labelled by these.
sub listener
{
	my ($role, @workflows) = @_;
	my $listener = session();

	$listener->query_safe("SET ROLE $role") if $role;
	$listener->{channels} = {};
	listen_for($listener, $_) foreach @workflows;
	hear_end($listener);
	return $listener;
}

# Listen for one more.
sub listen_for
{
	my ($listener, $workflow) = @_;
	my $argument = defined $workflow ? "'$workflow'" : 'NULL';
	my $channel =
	  ask($listener, "SELECT wf_listen($argument)");

	$listener->{channels}{$channel} = $workflow // 'all';
	return $channel;
}

# Listen for the end.
sub hear_end
{
	my ($listener) = @_;

	$listener->{channels}{ask($listener,
			'RESET ROLE', q{SELECT wf_listen('end')})} = 'end';
	return;
}

# Run statements in a listener's session, put the news that psql prints on the
# way aside, and return the rest.
sub ask
{
	my ($listener, @statements) = @_;
	my $output = join "\n", grep { length } map { $listener->query_safe($_) } @statements;

	while ($output =~
		s/^Asynchronous notification "(\w+)" with payload "(.*)" received from server process with PID \d+\.\n?//m)
	{
		push @{ $listener->{news} }, [ $1, $2 ];
	}
	return $output =~ s/\n\z//r;
}

# The news that a listener has got up to now, in order: "label kind workflow
# key", and "label resync".
sub heard
{
	my ($listener) = @_;
	my $mark = 'mark ' . ++$marks;
	my @heard;

	sql(qq{SELECT wf_send('end', NULL, '$mark')});
	until_true(
		sub {
			ask($listener, 'SELECT WHERE false');
			while (my $news = shift @{ $listener->{news} })
			{
				my ($label, $what) =
				  ($listener->{channels}{$news->[0]} // '?', $json->decode($news->[1]));

				return 1 if $label eq 'end' && ($what->{key} // '') eq $mark;
				next if ($what->{workflow_id} // '') eq 'end';
				push @heard,
				  join ' ', $label, $what->{kind}, $what->{workflow_id} // (),
				  $what->{key} // ();
			}
			return 0;
		},
		'the listener has heard of the end');
	return join "\n", @heard;
}

# Wait for the resync that a listener gets by all of its channels, alone or
# with other news.
sub resynced
{
	my ($listener, $name) = @_;
	my %missing = map { $_ => 1 } values %{ $listener->{channels} };

	until_true(
		sub {
			ask($listener, 'SELECT WHERE false');
			foreach my $news (splice @{ $listener->{news} })
			{
				delete $missing{ $listener->{channels}{ $news->[0] } }
				  if $news->[1] eq
				  '{"workflow_id": null, "kind": "resync", "key": null}';
			}
			return !%missing;
		},
		'the listener was told to look for himself');
	pass($name);
	return;
}

# The pid of a database's worker, once it serves.
sub worker
{
	my ($database) = @_;

	return sql(<<"SQL");
SELECT pid FROM pg_stat_activity
 WHERE backend_type = 'durable_wf worker' AND datname = '$database'
SQL
}

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

	# a worker begins with a resync, and may just have begun
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

	# several in one commit: each once, in their order
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
	# what the workflow does itself, a receive above all, is no news
	sql(q{SELECT count(wf_recv(NULL, '0', 'w')) FROM generate_series(1, 9)});
	is(heard($listener), '', 'kinds: not by a receive');
	sql(q{COPY durable_wf.message (message_id, workflow_id, door, key, payload) FROM stdin;
1	w	m	copied	1
\.
});
	is(heard($listener), "all message w copied\nw message w copied",
		'kinds: by COPY too');

	# wf_notify without a workflow: who is waiting
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

# The words: JSON, of any text, of any length.
{
	my $listener = listener(undef);
	my %texts = (
		quotes => q{it's "quoted" \\ {"a": [1]}, %s $1},
		control => join('', map { chr } 1 .. 31, 127),
		'non-ASCII' => "gr\xc3\xb6\xc3\x9fe \xe5\x88\x97 \xf0\x9f\x90\x98",
		# as JSON six bytes each: the longest payload that can be
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

# Take in all news up to now, and keep the payloads labelled "text".
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

# To whom: the role's own, as long as they are.
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

	# it changes hands: who takes it hears of it, and who has it no more does not
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

	# a membership that ends
	sql('REVOKE team FROM bob');
	sql(q{SELECT wf_send('of team', '1')});
	is(heard($bob), '', 'whom: he has left the team');
	is(heard($alice), 'of team message of team', 'whom: she has not');
	sql('GRANT team TO bob');
	sql(q{SELECT wf_send('of team', '1')});
	is(heard($bob), 'of team message of team', 'whom: he is back');
	heard($_) foreach $alice, $other;

	# one that nobody owns any more, and one that is gone
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

# Until when.  Each way ends what it should, and no more of it is left.
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

	# the end is not before the commit, and with a rollback never
	ask($listener, 'BEGIN', q{SELECT wf_unlisten('w')}, 'ROLLBACK');
	ask($listener, 'BEGIN', 'SAVEPOINT s', 'UNLISTEN *', 'ROLLBACK TO s', 'COMMIT');
	sql(q{SELECT wf_send('w', '1', 'still')});
	is(heard($listener), 'w message w still', 'until: an end that was rolled back');

	# a session that ends in whichever way
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

	# in the midst of an open transaction
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
	# subtransactions that send and then roll back, or not
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

# Too many at a time: everyone is told to look for himself, and goes on.
{
	my $listener = listener(undef, 'w', undef);
	my $other = listener(undef, 'new');

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

	# from many commits, while the worker is not to send
	$node->append_conf('postgresql.conf', q{durable_wf.notify_min_gap = '60s'});
	$node->reload;
	poll(q{SELECT current_setting('durable_wf.notify_min_gap') = '1min'});
	my $sends = join "\n",
	  map { "SELECT wf_send('w', '1', repeat('t', 500) || $_);" } 1 .. 200;
	sql($sends);
	$node->append_conf('postgresql.conf', q{durable_wf.notify_min_gap = 0});
	$node->reload;
	resynced($_, 'full: from many commits') foreach $listener, $other;
	heard($_) foreach $listener, $other;
	sql(q{SELECT wf_send('w', '1', 'then')});
	is(heard($listener), "all message w then\nw message w then", 'full: it goes on again');
	$_->quit foreach $listener, $other;
}

# The least gap: at once when it was quiet, then not before it is over, and a
# reload that makes it shorter holds for what waits already.
{
	my $listener = listener(undef, 'w');
	my $heard;

	foreach my $round (1 .. 5)
	{
		sql(qq{SELECT wf_send('w', '1', 'round $round')});
		is(heard($listener), "w message w round $round", "gap: none, round $round");
	}
	$node->append_conf('postgresql.conf', q{durable_wf.notify_min_gap = '60s'});
	$node->reload;
	poll(q{SELECT current_setting('durable_wf.notify_min_gap') = '1min'});
	sql(q{SELECT wf_send('w', '1', 'waits')});
	sql(q{SELECT wf_send('w', '1', 'waits')});
	sql(q{SELECT wf_send('w', '1', 'waits, too')});
	is(ask($listener, 'SELECT 1'), 1, 'gap: the client does something else');
	is(scalar @{ $listener->{news} || [] }, 0, 'gap: nothing yet');
	$node->append_conf('postgresql.conf', q{durable_wf.notify_min_gap = '10ms'});
	$node->reload;
	is(heard($listener), "w message w waits\nw message w waits, too",
		'gap: then all at once, each once');
	like(($node->psql('postgres', 'SET durable_wf.notify_min_gap = 0'))[2],
		qr/cannot be changed now/, 'gap: not by a session');
	$listener->quit;
}

# A prepared transaction.
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

# Begun between a send and its commit, of a transaction that was before all
# listeners: what was noted then has no address.
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

	# with a first listener all is noted, and a second one gets it
	heard($listener);
	$sender->query_safe('BEGIN');
	$sender->query_safe(q{SELECT wf_send('w', '1', 'early')});
	$second = listener(undef, 'w');
	$sender->query_safe('COMMIT');
	is(heard($_), 'w message w early', 'between: news for both')
	  foreach $listener, $second;
	$_->quit foreach $sender, $listener, $second;
}

# Databases do not hear each other.
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

# The worker is killed, and comes back.
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

	# dropped and created again: no news of the old, all of the new
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

# As many as a role may have, and one more; and when many roles have all that
# they can get, there are some for each of the others.
{
	my ($listener, $last, $others);
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
		ask($others, 'RESET ROLE', 'CREATE ROLE greedy' . ++$marks . ' SUPERUSER',
			"SET ROLE greedy$marks");
		is($many->($others, 1, $count), $count, "many: $count for another role");
		$refused->($others, $count);
	}
	$refused->($last, 8192);
	ask($others, 'UNLISTEN *', 'RESET ROLE', "DROP ROLE greedy$marks");
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

# After a crash nobody listens, and who comes back hears again.
{
	my $listener = listener(undef, 'w');
	my $victim = session();
	my $channel = (grep { $listener->{channels}{$_} eq 'w' }
		keys %{ $listener->{channels} })[0];

	kill 'KILL', $victim->{pid} or die "kill: $!";
	eval { $_->{run}->finish } foreach $victim, $listener;
	poll('SELECT true');
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
