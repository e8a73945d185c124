# A thousand sessions wait, and nothing happens.  Sourced by bench/run.

place[idle]=220

# What the waiters and our own processes have done so far: transactions of
# this database, and how often a process went to sleep (anew, if woken).
activity() {
	sql -d postgres -c "SELECT xact_commit + xact_rollback
		FROM pg_stat_database WHERE datname = 'bench'"
	sql -d postgres -c "SELECT pid FROM pg_stat_activity
		WHERE datname = 'bench' OR backend_type LIKE 'durable_wf%'" |
		sed 's,.*,/proc/&/status,' |
		xargs awk '/^(non)?voluntary_ctxt/ { n += $2 } END { print n }'
}

# A thousand sessions wait, and nothing happens.
bench_idle() {
	local before after wakes waiting=0 sessions=1000 idle_seconds
	idle_seconds=$(usually 10 2)
	empty_tables			# or some would have something to take
	pgbench -n -M prepared -c "$sessions" -j 1 -t 1 -f idle >"$work/out" 2>&1 &
	job=$!
	until [ "$waiting" = "$sessions" ]; do
		kill -0 "$job" || { cat "$work/out" >&2; die 'the waiters have gone'; }
		sleep 0.5
		waiting=$(sql -d postgres -c "SELECT count(*) FROM pg_stat_activity
			WHERE datname = 'bench' AND backend_type = 'client backend'
			AND wait_event_type = 'Extension'")
	done
	wakes=$(counter 'wakes + spurious_wakes + timeouts')
	# The server leaves alarms set that were not needed: each session is woken
	# once more when ten seconds have passed since it was last idle.
	sleep 11
	mapfile -t before < <(activity)
	sleep "$idle_seconds"
	mapfile -t after < <(activity)
	wakes=$(($(counter 'wakes + spurious_wakes + timeouts') - wakes))

	sql -d postgres -c "SELECT count(pg_terminate_backend(pid))
		FROM pg_stat_activity WHERE datname = 'bench'" >/dev/null
	wait "$job" 2>/dev/null || true		# its sessions were ended
	job=''
	fact "1,000 blocked waiters, idle for $idle_seconds s: statements" \
		$((after[0] - before[0])) - '= 0'
	fact "1,000 blocked waiters, idle for $idle_seconds s: wake-ups" \
		$((after[1] - before[1] + wakes)) - '= 0'
}
