# Receives while a snapshot is held.  Sourced by bench/run.

place[held]=25

# Hold a snapshot, or let go of it.
hold_snapshot() {
	local answer
	coproc HOLDER { exec psql -XqAt; }
	holder=$HOLDER_PID
	echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'held';" >&"${HOLDER[1]}"
	read -r answer <&"${HOLDER[0]}"
	[ "$answer" = held ] || die 'could not hold a snapshot'
}

release_snapshot() {
	echo '\q' >&"${HOLDER[1]}"
	wait "$holder"
}

# The rate of receives as messages flow through one mailbox; with a snapshot
# held, nothing that was received can be cleaned up.
#   flow SIDE {held|free} NUMBER...
flow() {
	local side=$1 snapshot=$2 flowed=0 until holder
	local -x PGOPTIONS='-c synchronous_commit=off'
	shift 2
	# enough for the samples on a fast machine, too
	fill_mailboxes $((${!#} + 30000 * $# * seconds)) "$side"
	[ "$snapshot" = free ] || hold_snapshot
	for until; do
		if [ $((until - flowed)) -ge 1000 ]; then
			tps "recv1000.$side" -c 1 -t $(((until - flowed) / 1000))
			flowed=$((flowed + (until - flowed) / 1000 * 1000))
		fi
		tps "recv.$side" -c 1 -T "$seconds"
		flowed=$((flowed + $(processed)))
		point held "${receive[$side]}${condition[$snapshot]}" "$until" "$tps"
		[ "$until" != 0 ] || record_tps "$snapshot.$side" theirs
	done
	record_tps "$snapshot.$side" ours
	[ "$snapshot" = free ] || release_snapshot
}

bench_held() {
	local round side seconds=1 rounds=$((rounds < 3 ? rounds : 3)) all
	local flowed=(0 20000 100000 200000)
	declare -A receive=([ours]=wf_recv [theirs]=DELETE)
	declare -A condition=([held]=', snapshot held' [free]='')
	[ "$(usually no yes)" = no ] || flowed=(0 20000)
	all=${flowed[-1]}
	plot held 'Receives, as messages flow through one mailbox' \
		'messages that were received before' 'receives/s' 'set logscale y'
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			flow "$side" held "${flowed[@]}"
			flow "$side" free "${flowed[@]}"
		done
		say "held: round $round of $rounds"
	done
	row held.ours "wf_recv after $all messages, held snapshot" \
		'itself at the start' /s '>= 0.9'
	row held.theirs 'for information: plain DELETE, the same' \
		'itself at the start' /s ''
	row free.ours "wf_recv after $all messages, no snapshot" \
		'itself at the start' /s '>= 0.9'
}
