# What the tests of a cluster share: a Citus cluster on loopback, of a
# coordinator and workers, with the extension on each node.

package DurableWf::Nodes;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWf qw(start_node said_in);

our @EXPORT_OK = qw(skip_without_citus start_cluster start_cluster_node add_node_to ids_of on said_on);

# Skip the file where the server does not have Citus.
sub skip_without_citus
{
	my ($directory) = run_command([ 'pg_config', '--sharedir' ]);

	plan skip_all => 'citus is not in pg_available_extensions of this server'
	  unless -e "$directory/extension/citus.control";
	return;
}

# Start a server that can be a node of a cluster.
sub start_cluster_node
{
	my ($name, $settings) = @_;
	my $node = start_node(
		$name,
		{
			shared_preload_libraries => 'citus,durable_wf',
			listen_addresses => '127.0.0.1',
			wal_level => 'logical',
			max_connections => 60,
			max_prepared_transactions => 100,
			max_worker_processes => 24,
			'citus.node_conninfo' => 'sslmode=disable',
			'citus.enable_statistics_collection' => 'off',
			'citus.force_max_query_parallelization' => 'off',
			%{ $settings || {} }
		});

	on($node, 'SET client_min_messages = warning; CREATE EXTENSION citus');
	return $node;
}

# Add a server to a cluster.
sub add_node_to
{
	my ($coordinator, $name, $settings) = @_;
	my $node = start_cluster_node($name, $settings);

	on($coordinator, sprintf "SELECT citus_add_node('127.0.0.1', %d)",
		$node->port);
	return $node;
}

# Start a cluster, whose coordinator has no shards, and create the extension
# on all nodes.  Returns the coordinator and the workers.
sub start_cluster
{
	my ($workers, $settings) = @_;
	my $coordinator = start_cluster_node('coordinator', $settings);
	my @workers;

	on($coordinator,
		sprintf "SELECT citus_set_coordinator_host('127.0.0.1', %d)",
		$coordinator->port);
	push @workers, add_node_to($coordinator, "worker$_", $settings)
	  foreach 1 .. $workers;
	on($coordinator, 'CREATE EXTENSION durable_wf');
	return ($coordinator, @workers);
}

# $count ids, which begin with $prefix, of workflows that belong to a node.
sub ids_of
{
	my ($node, $prefix, $count) = @_;

	return split /\n/, on($node, <<"SQL");
SELECT '$prefix' || i FROM generate_series(1, 1000) i
 WHERE (wf_node('$prefix' || i)).is_here ORDER BY i LIMIT $count
SQL
}

# Run statements in a session of their own on a node; what they print, and what
# one raises, which ends it.
sub on
{
	my ($node, $statements) = @_;
	my ($status, $output, $error) = $node->psql('postgres', $statements);

	return $status == 0 ? $output : "$output\n$error";
}

# Run statements that may fail on a node; what they print and what they raise.
sub said_on
{
	my ($node, $statements) = @_;

	return said_in($node, 'postgres', $statements);
}

1;
