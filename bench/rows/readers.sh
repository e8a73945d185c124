# Held requests and readers of streams, by the thousand.  Sourced by bench/run.

place[readers]=999

. "$here/gateway.sh"

# Open connections with a request each, and leave them open; $waiting_in is what
# is written to to end them.
#   start_waiting COUNT METHOD TARGET
start_waiting() {
	local answer
	coproc WAITING { exec "$work/http_readers" "$http_port" "$@"; }
	waiting=$WAITING_PID
	waiting_in=${WAITING[1]} waiting_out=${WAITING[0]}
	read -r answer <&"$waiting_out"
	[ "$answer" = ready ] || die "no $1 connections"
}

# End them; leaves in $events how many events have come, in $fewest how many on
# the connection with the fewest, in $p50 and $p99 their delays in µs.
stop_waiting() {
	exec {waiting_in}>&-
	read -r _ events fewest p50 p99 <&"$waiting_out"
	wait "$waiting"
}

# The memory of the gateway in kB; its CPU time in ms.
gateway_pid() { sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'durable_wf gateway'"; }
gateway_memory() { awk '/^RssAnon/ { print $2 }' "/proc/$(gateway_pid)/status"; }
gateway_cpu() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$(gateway_pid)/stat"; }

# The path of a URL.
path_of() { echo "/${1#*://*/}"; }

# POSTs at 32 connections beside others that wait, against the same without.
#   beside NAME METHOD TARGET
beside() {
	local round side before
	# a new process: what one that is there has freed would count for nothing
	sql -c "SELECT pg_terminate_backend($(gateway_pid), 10000)" >/dev/null
	sleep 2
	await_port "$http_port"
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			before=$(gateway_memory)
			[ "$side" = theirs ] || start_waiting 10000 "$2" "$3"
			if [ "$side" = ours ] && [ "$2" = POST ]; then
				# until all are held
				until [ "$(sql -c 'SELECT count(*) FROM durable_wf.request WHERE responded_at IS NULL AND expires_at > now()')" -ge 10000 ]; do
					sleep 0.2
				done
			fi
			[ "$side" = theirs ] || [ "$round" != 1 ] ||
				record "$1.kb" ours "$(awk "BEGIN { print ($(gateway_memory) - $before) / 10000 }")"
			post ours 32
			record "$1" "$side" "$rate"
			[ "$side" = theirs ] || stop_waiting
		done
	done
}

# 1,000 readers of one stream, to which 100 items a second are written.
fan_out() {
	local url cpu sent round
	sql -c "SELECT wf_start('wf-fan')" >/dev/null
	url=$(sql -c "SELECT url FROM wf_create_stream_url('s', 'wf-fan')")
	echo "SELECT wf_write_stream('s', to_jsonb(extract(epoch FROM clock_timestamp())), 'wf-fan');" >"$work/fan"
	for round in $(seq "$rounds"); do
		start_waiting 1000 GET "$(path_of "$url")?after=$(sql -c "SELECT coalesce(max(last_item), 0) FROM wf_streams WHERE workflow_id = 'wf-fan'")"
		cpu=$(gateway_cpu)
		run_job pgbench -n -M prepared -c 1 -R 100 -T $((seconds * 3)) -f "$work/fan"
		sent=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$work/out")
		sleep 1
		record fan.cpu ours "$(awk "BEGIN { print ($(gateway_cpu) - $cpu) / ($seconds * 3) }")"
		stop_waiting
		[ "$fewest" = "$sent" ] && [ "$events" = $((sent * 1000)) ] ||
			die "of $sent items $fewest have come to the reader with the fewest, $events in all"
		record fan.p50 ours "$(awk "BEGIN { print $p50 / 1000 }")"
		record fan.p99 ours "$(awk "BEGIN { print $p99 / 1000 }")"
	done
}

# A row without another side.
#   alone WORK KEY UNIT TARGET
alone() { value "$2" "$1" "$3" "$4"; }

bench_readers() {
	local http_port node_port node hook rate p50 p99 events fewest waiting waiting_in waiting_out
	configure_gateway
	sql -c 'ALTER SYSTEM SET durable_wf.http_max_connections = 12000' \
		-c "ALTER SYSTEM SET durable_wf.http_response_timeout = '1h'" -c 'SELECT pg_reload_conf()' >/dev/null
	run_job gcc -O2 -Wall -o "$work/http_readers" "$here/http_readers.c"
	beside beside_held POST "$(path_of "$(sql -c "SELECT url FROM wf_create_webhook('\"manual\"', workflow_id => wf_start('wf-manual'))")")"
	beside beside_readers GET "$(path_of "$(sql -c "SELECT url FROM wf_create_stream_url('s', wf_start('wf-silent'))")")"
	row beside_held 'POST, connections: 32, and 10,000 held requests' 'without those' /s '>= 0.9'
	alone '… memory of the gateway for each' beside_held.kb kB '<= 8'
	row beside_readers 'POST, connections: 32, and 10,000 readers of a silent stream' 'without those' /s '>= 0.9'
	alone '… memory of the gateway for each' beside_readers.kb kB '<= 8'
	fan_out
	alone '1,000 readers of one stream, 100 items/s: delay, p50' fan.p50 ms ''
	alone '… p99' fan.p99 ms '< 50'
	alone '… CPU time of the gateway for each second' fan.cpu ms ''
}
