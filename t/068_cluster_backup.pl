# Base backups of all nodes of a Citus cluster, recovered to one restore point
# that was made under traffic: what was sent in one transaction to two nodes is
# on both or on neither, and what was suspended goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWf qw(session outcome until_true);
use DurableWf::Nodes qw(skip_without_citus start_cluster ids_of on said_on);

skip_without_citus();

my @nodes = start_cluster(2, { max_wal_senders => 4, 'citus.recover_2pc_interval' => '1s' });
my ($co, $w1, $w2) = @nodes;

on($co, 'SELECT wf_distribute(4)');
my ($wa) = ids_of($w1, 'wa', 1);
my ($wb) = ids_of($w2, 'wb', 1);
my ($body) = ids_of($w1, 'body', 1);
on($co, <<"SQL");
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS \$\$
DECLARE
    got jsonb;
BEGIN
    CALL wf_get_event(input ->> 'of', 'go', NULL, got);
    PERFORM wf_complete(got);
END \$\$;
SELECT wf_start('$wa'), wf_start('$wb'), wf_start('$body', 'waits', '{"of": "$wb"}');
SQL
$w1->poll_query_until('postgres', "SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = '$body'") or die 'it does not wait';

# ----- backups -----

foreach my $node (@nodes)
{
	mkdir $node->archive_dir;
	$node->append_conf('postgresql.conf',
		"archive_mode = on\narchive_command = 'cp \"%p\" \"${\$node->archive_dir}/%f\"'\n");
	$node->restart;
	$node->backup('base');
}

# ----- traffic, and a point in it -----

my $stop = PostgreSQL::Test::Utils::tempdir() . '/stop';
my @clients;

# Send to both nodes at a time, from one of them, until told to stop.
foreach my $node (@nodes)
{
	push @clients, IPC::Run::start([ 'bash', '-c', 'n=0; until [ -e "$0" ]; do n=$((n + 1)); echo "'
		  . "SELECT wf_send('$wa', to_jsonb('${\$node->name} ' || \$n), 'pair'), wf_send('$wb', to_jsonb('${\$node->name} ' || \$n), 'pair')"
		  . ';"; done | psql -X -q -v ON_ERROR_STOP=1 -d "$1"', $stop, $node->connstr('postgres') ], '>', \my $out, '2>', \my $errors);
}

$w1->poll_query_until('postgres', "SELECT count(DISTINCT split_part(payload #>> '{}', ' ', 1)) = 3 FROM durable_wf.message WHERE workflow_id = '$wa'")
  or die 'not all send';

# Citus keeps the coordinator from committing in two phases meanwhile; the
# workers have to be kept from it.
my @holders = map { session($_) } $w1, $w2;
outcome($_, 'BEGIN; LOCK TABLE pg_catalog.pg_dist_transaction IN EXCLUSIVE MODE') foreach @holders;
like(said_on($co, q{SELECT citus_create_restore_point('the point')}), qr/^[0-9A-F]+\/[0-9A-F]+$/, 'a restore point of all nodes');
outcome($_, 'COMMIT') foreach @holders;
$_->quit foreach @holders;
my $at_point = on($w1, "SELECT count(*) FROM durable_wf.message WHERE workflow_id = '$wa'");

$w1->poll_query_until('postgres', "SELECT count(*) > $at_point + 30 FROM durable_wf.message WHERE workflow_id = '$wa'") or die 'no traffic';
append_to_file($stop, '');
$_->finish foreach @clients;
on($co, "SELECT wf_set_event('go', '\"after\"', '$wb')");
is(on($co, "SELECT status, output FROM wf_result('$body', '60 s')"), 'SUCCESS|"after"', 'what happens after it');
foreach my $node (@nodes)
{
	my $last = on($node, 'SELECT pg_walfile_name(pg_switch_wal())');

	$node->poll_query_until('postgres', "SELECT last_archived_wal >= '$last' FROM pg_stat_archiver") or die 'nothing is archived';
}
$_->stop foreach @nodes;

# ----- recovery, with the ports of the lost ones -----

my @copies;
foreach my $node (@nodes)
{
	my $copy = PostgreSQL::Test::Cluster->new($node->name . '_restored', port => $node->port);

	$copy->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
	$copy->append_conf('postgresql.conf', <<"CONF");
archive_mode = off
recovery_target_name = 'the point'
recovery_target_action = promote
CONF
	$copy->start;
	push @copies, $copy;
}
foreach my $copy (@copies)
{
	$copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no recovery';
}
foreach my $copy (@copies)
{
	$copy->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_prepared_xacts') or die 'something stays prepared';
}
my ($co2, $w1_2, $w2_2) = @copies;
my ($a, $b) = map { on($co2, "SELECT message #>> '{}' FROM wf_recv_many('pair', 100000, '0', '$_')") } $wa, $wb;
isnt($a, '', 'all nodes are recovered to the point: what was sent is there');
is(join("\n", sort split /\n/, $b), join("\n", sort split /\n/, $a), 'on both nodes or on neither');
is(scalar(grep { my $name = $_; $a =~ /^$name /m } map { $_->name } @nodes), 3, 'from each node');
is(on($co2, "SELECT status FROM wf_status('$body') status"), 'WAITING', 'what had not happened has not');
is(on($co2, "SELECT wf_set_event('go', '\"again\"', '$wb'); SELECT status, output FROM wf_result('$body', '60 s')"), qq(\nSUCCESS|"again"), 'and happens now');

$_->stop foreach reverse @copies;
done_testing();
