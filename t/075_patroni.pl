# Three servers that Patroni looks after: clients work while the primary is
# killed, and while it is moved.  Commits wait for a standby, so nothing that was
# acknowledged is lost, and nothing happens twice; what was suspended, queued or
# waited for goes on at the new primary.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $sockets = PostgreSQL::Test::Utils::tempdir_short();
my $bindir = (map { chomp; $_ } `pg_config --bindir`)[0];
my %running;		# process id by name

foreach my $program ('patroni', 'etcd', 'curl')
{
	plan skip_all => "$program is not installed"
	  unless grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

# ----- processes -----

# Start a program, which writes to a log of its name.
sub run_program
{
	my ($name, @command) = @_;
	my $pid = fork();

	die "fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$dir/log/$name.log" or die;
		open STDERR, '>&', \*STDOUT;
		exec @command or die "$command[0]: $!";
	}
	$running{$name} = $pid;
	return;
}

# Stop a program with a signal, and wait for its end.
sub end_program
{
	my ($name, $signal) = @_;
	my $pid = delete $running{$name} or return;

	kill $signal, $pid;
	waitpid $pid, 0;
	return $?;
}

sub until_true
{
	my ($what, $condition) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $is = $condition->();
		return $is if $is;
		sleep 0.1;
	}
	die "it does not happen: $what\n" . `tail -n 20 $dir/log/*.log`;
}

# ----- the servers -----

my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() }
  qw(etcd peers pg1 pg2 pg3 rest1 rest2 rest3);
my $hosts = 'host=127.0.0.1,127.0.0.1,127.0.0.1 port=' . join(',', @port{qw(pg1 pg2 pg3)})
  . ' user=postgres dbname=postgres connect_timeout=5';
my $primary = "$hosts target_session_attrs=read-write";

sub data { return "$dir/data$_[0]" }

sub start_patroni
{
	my ($n) = @_;

	open my $conf, '>', "$dir/patroni$n.yml" or die;
	print $conf <<"YAML";
scope: dwf
name: n$n
restapi: {listen: '127.0.0.1:$port{"rest$n"}', connect_address: '127.0.0.1:$port{"rest$n"}'}
etcd3: {host: '127.0.0.1:$port{etcd}'}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {max_worker_processes: 24, max_prepared_transactions: 5, wal_log_hints: 'on', fsync: 'off'}
  initdb: [encoding: UTF8, no-locale, auth: trust, data-checksums]
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
postgresql:
  listen: '127.0.0.1:$port{"pg$n"}'
  connect_address: '127.0.0.1:$port{"pg$n"}'
  data_dir: '${\data($n)}'
  bin_dir: '$bindir'
  authentication: {superuser: {username: postgres}, replication: {username: postgres}}
  parameters: {unix_socket_directories: '$sockets', shared_preload_libraries: durable_wf, durable_wf.suspend_after: 10ms}
  create_replica_methods: [basebackup]
  basebackup: {checkpoint: fast}
watchdog: {mode: 'off'}
YAML
	close $conf;
	run_program("patroni$n", 'patroni', "$dir/patroni$n.yml");
	return;
}

# What Patroni says of the servers.
sub members
{
	foreach my $n (1 .. 3)
	{
		my $answer = `curl -s -m 5 http://127.0.0.1:$port{"rest$n"}/cluster`;
		my $cluster = eval { decode_json($answer) } or next;

		return @{ $cluster->{members} } if grep { $_->{role} eq 'leader' } @{ $cluster->{members} };
	}
	return;
}

# The number of the primary, once it is another than this one.
sub leader
{
	my ($other) = @_;

	return until_true('a leader', sub {
		my ($leader) = grep { $_->{role} eq 'leader' && $_->{state} eq 'running' } members();
		my $n = $leader ? substr($leader->{name}, 1) : '';

		return $n ne '' && $n ne ($other || '') ? $n : '';
	});
}

# Wait until two standbys follow, one of which commits wait for.
sub all_follow
{
	until_true('two standbys', sub {
		my @standbys = grep { $_->{role} ne 'leader' && $_->{state} =~ /^(running|streaming)$/ && ($_->{lag} // 1) eq '0' } members();

		return @standbys == 2 && grep { $_->{role} eq 'sync_standby' } @standbys;
	});
	return;
}

# Run statements on the primary.
sub sql
{
	my ($statements) = @_;
	my ($out, $err);

	foreach my $try (1 .. 60)
	{
		IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $primary, '-f', '-' ], '<', \$statements, '>', \$out, '2>', \$err)
		  and return $out =~ s/\n\z//r;
		last if $err !~ /could not connect|connection to server|terminat|session is read-only|standby/;
		sleep 0.5;
	}
	die "$statements: $err";
}

END
{
	my $status = $?;

	end_program($_, 'KILL') foreach grep { /^client/ } keys %running;
	end_program($_, 'TERM') foreach grep { /^patroni/ } sort keys %running;
	end_program($_, 'TERM') foreach keys %running;
	system('pg_ctl', '-s', '-D', data($_), '-m', 'immediate', 'stop') foreach grep { -e data($_) . '/postmaster.pid' } 1 .. 3;
	$? = $status;
}

mkdir "$dir/log";
run_program('etcd', 'etcd', '--data-dir', "$dir/etcd", '--listen-client-urls', "http://127.0.0.1:$port{etcd}",
	'--advertise-client-urls', "http://127.0.0.1:$port{etcd}", '--listen-peer-urls', "http://127.0.0.1:$port{peers}",
	'--initial-advertise-peer-urls', "http://127.0.0.1:$port{peers}", '--initial-cluster', "default=http://127.0.0.1:$port{peers}",
	'--unsafe-no-fsync');
until_true('etcd', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port{etcd}") });
start_patroni(1);
my $leader = leader();
start_patroni($_) foreach 2, 3;
all_follow();
pass('three servers');

# --------------------------------------------------------------- what is there

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE TABLE taken (n_taken serial, taker text, sender text, n int);
CREATE TABLE effect (n serial, workflow_id text DEFAULT wf_current(), step int);
CREATE PROCEDURE job(input jsonb) LANGUAGE plpgsql AS $$
DECLARE at timestamptz;
BEGIN
    FOR i IN 1 .. 3 LOOP
        PERFORM wf_step('step ' || i, format('INSERT INTO effect (step) VALUES (%s)', i));
        CALL wf_sleep('0.2 s', at);
    END LOOP;
    PERFORM wf_complete('"done"');
END $$;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE got jsonb;
BEGIN
    CALL wf_recv('go', NULL, NULL, got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE naps(input jsonb) LANGUAGE plpgsql AS $$
DECLARE at timestamptz;
BEGIN
    CALL wf_sleep((input#>>'{}')::interval, at);
    PERFORM wf_complete(to_jsonb(at <= clock_timestamp()));
END $$;
SELECT wf_start('sink'), wf_start('waits 1', 'waits'), wf_start('waits 2', 'waits'), wf_start('naps', 'naps', '"5 s"'), wf_start('prepared');
SELECT wf_create_hook('a hook', workflow_id => 'sink');
BEGIN; SELECT wf_send('prepared', '"kept"', 'p'); PREPARE TRANSACTION 'p';
SQL
until_true('suspended', sub { sql(q{SELECT count(*) FROM wf_workflows WHERE status = 'WAITING'}) == 3 });

my $traffic = "$FindBin::RealBin/failover/traffic.py";
my %clients = ((map { ("s$_" => 'send:fifo') } 1, 2), (map { ("s$_" => 'send:shared') } 3, 4),
	r1 => 'receive:fifo', (map { ("r$_" => 'receive:shared') } 2, 3), (map { ("b$_" => 'bodies') } 1, 2));
run_program("client $_", '/usr/bin/python3', $traffic, $clients{$_}, $_, "$dir/ledger $_", "$dir/stop", $primary)
  foreach sort keys %clients;

# All that is acknowledged so far, as { kind => { what => times } }.
sub ledger
{
	my %ledger;

	foreach my $file (glob qq("$dir/ledger *"))
	{
		/^(\S+) (.*)$/ and $ledger{$1}{$2}++ foreach split /\n/, slurp_file($file);
	}
	return %ledger;
}

# Wait until the clients have got further, on whichever server.
sub goes_on
{
	my ($name) = @_;
	my %before = ledger();

	until_true("traffic: $name", sub {
		my %now = ledger();

		return !grep { keys %{ $now{$_} } < 30 + keys %{ $before{$_} || {} } } qw(sent took started);
	});
	pass("traffic: $name");
	return;
}

goes_on('at the first primary');

# ----------------------------------------------------- the primary is killed

# its host, as it were: Patroni and each process of the server
end_program("patroni$leader", 'KILL');
my ($postmaster) = slurp_file(data($leader) . '/postmaster.pid') =~ /^(\d+)/;
kill 'KILL', $postmaster;
my $killed = $leader;
$leader = leader($killed);
isnt($leader, $killed, "n$killed killed, n$leader promoted");
goes_on('after the kill');
is(sql(q{SELECT wf_send('waits 1', '"gone on"', 'go') > 0; SELECT * FROM wf_result('waits 1', '120 s')}), "t\nSUCCESS|\"gone on\"|", 'suspended before, sent to after');
is(sql(q{SELECT * FROM wf_result('naps', '120 s')}), 'SUCCESS|true|', 'a timer that elapsed meanwhile');
is(sql(q{SELECT wf_recv('p', '0', 'prepared') IS NULL; COMMIT PREPARED 'p'; SELECT wf_recv('p', '60 s', 'prepared')}), qq(t\n"kept"), 'a prepared transaction');
is(sql(q{SELECT wf_resume_hook('a hook', '1'); SELECT wf_await_hook('a hook', '0')}) =~ s/^.*\n//r, '1', 'a hook');

start_patroni($killed);
all_follow();
goes_on('with the old primary as a standby');

# ------------------------------------------------------ the primary is moved

my $moved = $leader;
my @candidate = map { substr $_->{name}, 1 } grep { $_->{role} eq 'sync_standby' } members();
my $said = `patronictl -c $dir/patroni$moved.yml switchover dwf --leader n$moved --candidate n$candidate[0] --force 2>&1`
  || '';
$said = `patronictl -c $dir/patroni$moved.yml switchover dwf --master n$moved --candidate n$candidate[0] --force 2>&1`
  if $said =~ /no such option/i;
$leader = leader($moved);
is($leader, $candidate[0], "n$moved gave way to n$leader") or diag $said;
goes_on('after the move');
is(sql(q{SELECT wf_send('waits 2', '"again"', 'go') > 0; SELECT * FROM wf_result('waits 2', '120 s')}), "t\nSUCCESS|\"again\"|", 'suspended through both');
all_follow();

# ------------------------------------------------------------- what came of it

append_to_file("$dir/stop", '');
is(waitpid(delete $running{"client $_"}, 0) > 0 && $?, 0, "client $_ ends") foreach sort keys %clients;
my %ledger = ledger();
sql(q{SELECT wf_result(workflow_id, '120 s') FROM wf_workflows WHERE body LIKE '%job%'});
sql(q{INSERT INTO taken (taker, sender, n) SELECT 'end', m.message->>'from', (m.message->>'n')::int
	FROM unnest('{fifo,shared}'::text[]) q, LATERAL wf_recv_many(q, 100000, '0', 'sink') m});
my %taken;
$taken{$_}++ foreach split /\n/, sql(q{SELECT concat_ws(' ', sender, n) FROM taken});
my $errors = 0;
$errors += $_ foreach map { $_ * $ledger{errors}{$_} } keys %{ $ledger{errors} };
diag sprintf '%d sent, %d taken, %d workflows, %d connections lost', map({ scalar keys %{ $ledger{$_} } } qw(sent took started)), $errors;

cmp_ok($errors, '>=', 10, 'connections were lost');
is_deeply([ sort keys %{ $ledger{error} || {} } ], [], 'no other error');
is(join(', ', grep { !$taken{$_} } sort keys %{ $ledger{sent} }), '', 'each acknowledged message is there');
is(join(', ', grep { $taken{$_} > 1 } sort keys %taken), '', 'none was taken twice');
is(join(', ', grep { !$taken{$_} } sort keys %{ $ledger{took} }), '', 'each acknowledged receipt is there');
is(sql(q{SELECT count(*) FROM (SELECT n < lag(n) OVER (PARTITION BY sender ORDER BY n_taken) AS late FROM taken WHERE sender IN ('s1', 's2')) t WHERE late}),
	0, 'one receiver: in the order in which they were sent');
is(sql(q{SELECT string_agg(DISTINCT status || ' ' || output, ', ') FROM durable_wf.workflow WHERE body LIKE '%job%'}), 'SUCCESS "done"', 'each workflow has succeeded');
my %there = map { $_ => 1 } split /\n/, sql(q{SELECT workflow_id FROM wf_workflows});
is(join(', ', grep { !$there{$_} } sort keys %{ $ledger{started} }), '', 'each that was acknowledged is there');
is(sql(q{SELECT count(*) FROM wf_workflows w WHERE body LIKE '%job%'
	AND (SELECT array_agg(step ORDER BY n) FROM effect e WHERE e.workflow_id = w.workflow_id) IS DISTINCT FROM '{1,2,3}'}), 0, 'each step once, in its place');
is(sql('SELECT count(*) FROM durable_wf.wait'), 0, 'no wait is left');

done_testing();
