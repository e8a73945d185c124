# Sessions for the demo: each is a psql of its own that stays connected, fed
# through a pipe and read through another.  Sourced by demo/run, which has set
# $work and the PG* variables of the server.

declare -A session_in session_out session_pid backend_pid
answer='' sqlstate=''

if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
	bold='' dim='' red='' green='' plain=''
fi

# Tell the story.
chapter() { printf '\n%s%s%s\n\n' "$bold" "$*" "$plain"; }
tell() { fmt -w 66 <<<"$*" | sed "s/.*/            $dim&$plain/"; }

# One line of a session: its name, a mark, what was said.
line() { printf '%s%-9s%s %s %s\n' "$bold" "$1" "$plain" "$2" "$3"; }

# End the demo as failed.
fail() {
	printf '%sFAILED: %s%s\n' "$red" "$*" "$plain"
	exit 1
}

# A step that must be as it should:  check WHAT EXPECTED SEEN
check() {
	[ "$2" = "$3" ] ||
		fail "$1"$'\n'"    expected: $2"$'\n'"    seen:     $3"
	printf '            %sok: %s%s\n' "$green" "$1" "$plain"
}

# Connect sessions:  connect NAME...
connect() {
	local name in out
	for name; do
		rm -f "$work/$name.in" "$work/$name.out"	# of an earlier connection
		mkfifo "$work/$name.in" "$work/$name.out"
		# both ends, so that neither open waits for the other side
		exec {in}<>"$work/$name.in" {out}<>"$work/$name.out"
		PGAPPNAME=$name psql -X -q -A -t -P null=NULL -F ' | ' \
			<"$work/$name.in" >"$work/$name.out" 2>&1 {in}>&- {out}<&- &
		session_pid[$name]=$!
		session_in[$name]=$in
		session_out[$name]=$out
		send "$name" 'SELECT pg_backend_pid();'
		receive "$name"
		backend_pid[$name]=$answer
	done
}

# Give a session something to do, and do not wait for it.
send() {
	printf '%s\n\\echo end of answer :SQLSTATE\n' "$2" >&"${session_in[$1]}"
}

# Wait until a session has answered; sets $answer and $sqlstate.
receive() {
	local row
	answer=''
	while :; do
		IFS= read -r -t 20 row <&"${session_out[$1]}" ||
			fail "$1 has not answered in time"
		[[ $row != 'end of answer '* ]] || break
		answer+=${answer:+$'\n'}$row
	done
	sqlstate=${row##* }
}

# A session says something:  says NAME SQL
says() {
	line "$1" '>' "$2"
	send "$1" "$2"
}

# Print what a session has answered.
show() {
	local row
	receive "$1"
	while IFS= read -r row; do
		[ -z "$row" ] || line "$1" '<' "$row"
	done <<<"$answer"
}

# The session must get this answer, without an error:  gets NAME EXPECTED WHAT
gets() {
	show "$1"
	check "$3" "00000 $2" "$sqlstate $answer"
}

# The session must get this error:  gets_error NAME SQLSTATE WHAT
gets_error() {
	show "$1"
	check "$3" "$2" "$sqlstate"
}

# Says something that needs no answer but must not fail.
does() {
	says "$1" "$2"
	show "$1"
	[ "$sqlstate" = 00000 ] || fail "$1 got SQLSTATE $sqlstate"
}

# Ask the database something behind the scenes; sets $answer.
ask() {
	send observer "$1"
	receive observer
	[ "$sqlstate" = 00000 ] || fail "observer: $answer"
}

# Wait until a session sleeps in a wait:  sleeps NAME DOOR [KEY]
# Only this script looks again and again, to keep the story in order.
sleeps() {
	local pid=${backend_pid[$1]} try
	for try in $(seq 400); do
		ask "SELECT count(*) FROM wf_waiters JOIN pg_stat_activity USING (pid)
			WHERE pid = $pid AND door = '$2' AND coalesce(key, '') = '${3:-}'
			AND wait_event_type = 'Extension';"
		if [ "$answer" = 1 ] && grep -q '^State:[[:space:]]*S' "/proc/$pid/status"
		then
			return 0
		fi
		sleep 0.05
	done
	fail "$1 does not sleep at door $2 ${3:-}"
}

# Wait until a query's answer is this:  becomes EXPECTED SQL
# Again only this script looks, to keep the story in order.
becomes() {
	local try
	for try in $(seq 400); do
		ask "$2"
		[ "$answer" != "$1" ] || return 0
		sleep 0.05
	done
	fail "$2"$'\n'"    expected: $1"$'\n'"    seen:     $answer"
}

# How often a session's server process was given the processor so far.
times_scheduled() {
	awk '/ctxt_switches/ { n += $2 } END { print n }' \
		"/proc/${backend_pid[$1]}/status"
}

# End all sessions.
disconnect() {
	local name
	for name in "${!session_pid[@]}"; do
		kill "${session_pid[$name]}" || true
		wait "${session_pid[$name]}" || true
	done 2>/dev/null
	session_pid=()
}
