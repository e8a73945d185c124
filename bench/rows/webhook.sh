# POSTs: the gateway against Node's http with a pool of node-postgres.  Sourced by bench/run.

place[webhook]=999

. "$here/gateway.sh"

# 5,000 connections that have had an answer and do nothing.
start_idlers() {
	local answer
	coproc IDLE { exec "$work/keepalive" "$http_port" 5000; }
	idle=$IDLE_PID
	read -r answer <&"${IDLE[0]}"
	[ "$answer" = ready ] || die 'no idle connections'
}

stop_idlers() {
	local in=${IDLE[1]}
	exec {in}>&-
	wait "$idle"
}

# POST → row → 202: the gateway, and Node's http with a pool of node-postgres.
bench_webhook() {
	local http_port node_port node round side connections hook rate p99 idle
	configure_gateway
	run_job gcc -O2 -o "$work/keepalive" "$here/keepalive.c"
	compare_posts fast 1 32 128
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			[ "$side" = theirs ] || start_idlers
			post ours 32
			record idlers "$side" "$rate"
			[ "$side" = theirs ] || stop_idlers
		done
	done
	for connections in 1 32 128; do
		row "fast$connections" "POST, connections: $connections" 'Node http + pg' '/s' \
			"$([ "$connections" = 1 ] && echo '>= 1.5' || echo '>= 3')"
		row "fast$connections.p99" '… p99' 'Node http + pg' ms \
			'<= 0.5'
	done
	row idlers 'POST, connections: 32, and 5,000 idle ones' 'without those' '/s' '>= 0.9'
}
