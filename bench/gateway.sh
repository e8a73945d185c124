# What the rows of the gateway share: ports, POSTs, the other side in Node.
# Sourced by rows/webhook.sh and rows/slowhook.sh.

# Wait until somebody listens on a port.
await_port() {
	local try
	for try in $(seq 100); do
		! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
		sleep 0.1
	done
	die "nobody listens on port $1"
}

# The rows of a table, when no more come: what was on its way as wrk ended is
# written still, and must not be counted with the next sample.
settled_count() {
	local before='' rows
	rows=$(sql -c "SELECT count(*) FROM $1")
	until [ "$rows" = "$before" ]; do
		sleep 0.2
		before=$rows
		rows=$(sql -c "SELECT count(*) FROM $1")
	done
	echo "$rows"
}

# Send POSTs to one side; leave requests per second in $rate and milliseconds
# in $p99.  Each that was answered must be a row; the last ones of wrk are rows
# that it did not wait for.
#   post SIDE CONNECTIONS
post() {
	local table=durable_wf.message url=$hook requests micros rows errors result
	[ "$1" = ours ] || { table=bench.message; url=http://127.0.0.1:$node_port/x; }
	empty_tables
	run_job wrk -t1 -c "$2" -d "${seconds}s" -s "$here/webhook.lua" "$url"
	result=$(grep '^RESULT' "$work/out")
	read -r _ requests micros p99 errors <<<"$result"
	rate=$(awk "BEGIN { print $requests * 1e6 / $micros }")
	p99=$(awk "BEGIN { print $p99 / 1000 }")
	rows=$(settled_count "$table")
	if [ "$errors" != 0 ] || [ "$rows" -lt "$requests" ] ||
		[ "$rows" -gt $((requests + $2)) ]; then
		die "$1: $requests requests, $errors errors, $rows rows"
	fi
}

# Start Node's server; its pool connects anew when ours was restarted.
start_node_server() {
	coproc NODE { exec node "$here/webhook.mjs" "$node_port" "$DWF_NODE"; }
	node=$NODE_PID
	await_port "$node_port"
}

stop_node_server() {
	kill "$node" && wait "$node" 2>/dev/null || true
}

# Both sides, round by round, at several numbers of connections.
#   compare_posts NAME CONNECTIONS...
compare_posts() {
	local round side connections
	start_node_server
	await_port "$http_port"
	for round in $(seq "$rounds"); do
		for connections in "${@:2}"; do
			for side in $(sides "$round"); do
				post "$side" "$connections"
				record "$1$connections" "$side" "$rate"
				record "$1$connections.p99" "$side" "$p99"
			done
		done
		say "webhook: round $round of $rounds, $1 disk"
	done
	stop_node_server
}

# Have a gateway from the next start on.
configure_gateway() {
	http_port=$((20000 + RANDOM % 5000))
	node_port=$((http_port + 5000))
	sql <<-SQL >/dev/null
		ALTER SYSTEM SET durable_wf.http_port = $http_port;
		ALTER SYSTEM SET durable_wf.http_database = 'bench';
		ALTER SYSTEM SET durable_wf.http_max_connections = 6000;
		SELECT pg_reload_conf();
	SQL
	await_port "$http_port"
	hook=$(sql -c "SELECT url FROM wf_create_webhook(workflow_id => 'wf-0')")
}
