# The nodes of a Citus cluster, against one server without Citus.  Sourced by bench/run.

place[cluster]=999

# From where the workflows of the first worker are called, and against what
ways=(direct coordinator node)
declare -A way_says=([direct]='on its node' [coordinator]='through the coordinator'
	[node]='from another node')

# Start three servers that are a cluster, with one shard: all workflows are on
# the first worker.  Theirs, the one server, has the same workflows.
start_cluster() {
	local n port
	first_port=$((20000 + RANDOM % 20000))
	for n in 0 1 2; do
		run_job initdb -D "$work/node$n" -U "$PGUSER" -A trust -E UTF8 --no-locale
		cat "$work/data/postgresql.conf" - >"$work/node$n/postgresql.conf" <<-CONF
			shared_preload_libraries = 'citus,durable_wf'
			listen_addresses = '127.0.0.1'
			port = $((first_port + n))
			max_connections = 100
			max_prepared_transactions = 100
			shared_buffers = 256MB
			citus.node_conninfo = 'sslmode=disable'
			citus.enable_statistics_collection = off
		CONF
		run_job pg_ctl -D "$work/node$n" -l "$work/node$n.log" -w -t 60 start
		PGPORT=$((first_port + n)) sql -d postgres -c 'CREATE DATABASE bench' -c '\c bench' \
			-c 'CREATE EXTENSION citus' >/dev/null 2>&1
	done
	PGPORT=$first_port sql -v port="$first_port" <<-'SQL' >/dev/null
		SET client_min_messages = warning;
		SELECT citus_set_coordinator_host('127.0.0.1', :port);
		SELECT citus_add_node('127.0.0.1', :port + 1);
		SELECT citus_add_node('127.0.0.1', :port + 2);
		CREATE EXTENSION durable_wf;
		SELECT wf_distribute(1);
		SELECT count(wf_start('wf-' || n)) FROM generate_series(0, 99) n;
		SELECT wf_start('wf-latency');
	SQL
	# the worker that has the shard comes first
	port=$(PGPORT=$first_port sql -c "SELECT (wf_node('wf-0')).port")
	declare -gA port_of=([one]=5432 [coordinator]=$first_port [direct]=$port
		[node]=$((2 * first_port + 3 - port)))
	for n in one coordinator; do
		PGPORT=${port_of[$n]} sql <<-'SQL' >/dev/null
			CREATE PROCEDURE one_step(input jsonb) LANGUAGE plpgsql AS $$
			BEGIN
			    PERFORM wf_complete(wf_step('step', 'SELECT 1'));
			END $$;
		SQL
	done
	for n in one "${ways[@]}"; do
		PGPORT=${port_of[$n]} sql -c 'SET citus.enable_ddl_propagation = off' \
			-c 'CREATE TABLE note (n int)' >/dev/null
	done
	cat >"$work/start.ours" <<-'SQL'
		SELECT wf_start(NULL, 'one_step', '1');
	SQL
	cat >"$work/both.ours" <<-'SQL'
		\set n random(0, 99)
		BEGIN;
		INSERT INTO note VALUES (1);
		SELECT wf_send('wf-' || :n, :message);
		COMMIT;
	SQL
}

# Stop the cluster, and leave the one server as it was.
stop_cluster() {
	local n
	for n in 0 1 2; do
		run_job pg_ctl -D "$work/node$n" -m immediate -w stop
		rm -rf "$work/node$n"
	done
	servers=("$work/data")
	sql -c "DELETE FROM durable_wf.workflow WHERE body IS NOT NULL" -c 'DROP TABLE note' \
		-c 'DROP PROCEDURE one_step'
}

# The server that has the workflows of a way
home() { if [ "$1" = one ]; then echo 5432; else echo "${port_of[direct]}"; fi; }

# Bring a way to the conditions in which each sample begins, and let its
# servers be those whose CPU time is counted.
prepare_way() {
	servers=("$work/node"{0,1,2})
	[ "$1" != one ] || servers=("$work/data")
	PGPORT=$(home "$1") sql -c 'TRUNCATE durable_wf.message' -c CHECKPOINT
}

# Keep the sample of a way: theirs of each comparison is the one server.
#   keep KEY WAY
keep() {
	local way
	if [ "$2" != one ]; then
		record_tps "$1-$2" ours
		return
	fi
	for way in "${ways[@]}"; do
		record_tps "$1-$way" theirs
	done
}

# One sample of each kind, from one way
measure_way() {
	local way=$1 number before p50
	local -x PGPORT=${port_of[$way]}
	for number in 1 8; do
		prepare_way "$way"
		tps send.ours -c "$number" -T "$seconds"
		keep "send$number" "$way"
	done
	prepare_way "$way"
	tps both.ours -c 1 -T "$seconds"
	keep both "$way"

	number=$(usually 2000 100)
	prepare_way "$way"
	PGPORT=$(home "$way") sql -c "SELECT count(wf_send('wf-0', '1')) FROM generate_series(1, $number)" >/dev/null
	tps recv.ours -c 1 -t "$number"
	keep recv "$way"

	PGPORT=$(home "$way") sql -c "SELECT count(wf_set_event('key ' || k, '1', 'wf-' || n))
		FROM generate_series(0, 99) n, generate_series(0, 99) k" >/dev/null
	tps get_event.ours -c 1 -T "$seconds"
	keep get "$way"

	# workflows, until the last one has ended
	number=$(usually 250 25)
	PGPORT=$(home "$way") sql -c 'DELETE FROM durable_wf.workflow WHERE body IS NOT NULL' \
		-c 'VACUUM durable_wf.workflow' -c CHECKPOINT
	before=$(server_cpu)
	tps start.ours -c 4 -t "$number"
	until [ "$(PGPORT=$(home "$way") sql -c 'SELECT count(*) FROM durable_wf.workflow
			WHERE body IS NOT NULL AND finished_at IS NULL')" = 0 ]; do
		sleep 0.05
	done
	cpu=$(awk "BEGIN { print ($(server_cpu) - $before) / $number / 4 }")
	tps=$(PGPORT=$(home "$way") sql -c "SELECT count(*) / extract(epoch FROM max(finished_at) - min(created_at))
		FROM durable_wf.workflow WHERE body IS NOT NULL AND status = 'SUCCESS'")
	keep workflow "$way"

	prepare_way "$way"
	run_job "$work/latency" recv "$(usually 300 50)"
	read -r p50 _ <"$work/out"
	tps=$p50 cpu=1
	if [ "$way" != one ]; then
		record "wake-$way" ours "$p50"
	else
		for way in "${ways[@]}"; do
			record "wake-$way" theirs "$p50"
		done
	fi
}

bench_cluster() {
	local round way order against='one server without Citus'
	if [ ! -f "$(pg_config --sharedir)/extension/citus.control" ]; then
		say 'cluster: left out, this server has no Citus'
		return
	fi
	compile latency
	start_cluster
	for round in $(seq "$rounds"); do
		order=(one "${ways[@]}")
		((round % 2)) || order=(node coordinator direct one)
		for way in "${order[@]}"; do
			measure_way "$way"
		done
		say "cluster: round $round of $rounds"
	done
	stop_cluster
	for way in "${ways[@]}"; do
		row "send1-$way" "wf_send ${way_says[$way]}, one client" "$against" /s ''
		row "send8-$way" "wf_send ${way_says[$way]}, 8 clients" "$against" /s ''
		row "both-$way" "a row written where the client is, and wf_send ${way_says[$way]}" "$against" /s ''
		row "recv-$way" "wf_recv ${way_says[$way]}, one receiver" "$against" /s ''
		row "get-$way" "wf_get_event that finds, ${way_says[$way]}" "$against" /s ''
		row "workflow-$way" "SQL workflow, one step, started ${way_says[$way]} by 4 clients" "$against" /s ''
		row "wake-$way" "commit → blocked wf_recv has it, both ${way_says[$way]}, p50" "$against" µs ''
	done
}
