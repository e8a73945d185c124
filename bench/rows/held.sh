# Receives while a snapshot is held.  Sourced by bench/run.

# The scripts are those of recv.

# The rate of receives, while a snapshot keeps all that is received from being
# cleaned up: the first 1,000, and those after many more.
#   held SIDE
held() {
	local holder answer
	local -x PGOPTIONS='-c synchronous_commit=off'
	# enough for the last sample on a fast machine, too
	fill_mailboxes $((held_messages + 1000 + 50000 * seconds))
	coproc HOLDER { exec psql -XqAt; }
	holder=$HOLDER_PID
	echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'held';" >&"${HOLDER[1]}"
	read -r answer <&"${HOLDER[0]}"
	[ "$answer" = held ] || die 'could not hold a snapshot'

	tps "recv.$1" -c 1 -t 1000
	record "held_$1" theirs "$tps"
	tps "recv1000.$1" -c 1 -t $((held_messages / 1000))
	tps "recv.$1" -c 1 -T "$seconds"
	record "held_$1" ours "$tps"

	echo '\q' >&"${HOLDER[1]}"
	wait "$holder"
}

bench_held() {
	local round side
	local rounds=$((rounds < 5 ? rounds : 5))
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			held "$side"
		done
		say "held: round $round of $rounds"
	done
	row held_ours "wf_recv after $held_messages messages, held snapshot" \
		'itself at the start' '/s' '>= 0.9'
	row held_theirs "for information: plain DELETE, the same" \
		'itself at the start' '/s' ''
}
