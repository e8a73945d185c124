# What all rows share: a server, the two sides' scripts, probes.  Sourced by
# bench/run, whose settings it uses: rounds, seconds, here.

# ------------------------------------------------------------------- server

# No setting of the caller's may reach our server and clients.
unset "${!PG@}"

job=''
base=${DWF_WORK:-${here%/*}/.build/bench}			# for what stays
mkdir -p "$base"
work=$(mktemp -d "$base/run.XXXXXX")
sockets=$(mktemp -d "${TMPDIR:-/tmp}/dwf.XXXXXX")	# a socket's path is short

# On every way out: stop the server, and with it whatever talks to it.
leave() {
	local status=$? data
	trap '' HUP INT TERM
	[ -z "$job" ] || { kill "$job" && wait "$job"; } 2>/dev/null || true
	if [ $status = 1 ] && [ -f "$work/log" ]; then
		tail -n 20 "$work/log" >&2
	fi
	for data in "$work"/*/postmaster.pid; do
		[ ! -f "$data" ] ||
			pg_ctl -D "${data%/*}" -m immediate -w stop >"$work/stop" 2>&1 ||
			cat "$work/stop" >&2
	done
	rm -rf "$sockets" "$work"
	exit $status
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Run a command that takes a while, its output in $work/out.  In the
# background, since a shell answers no signal before its foreground job ends.
run_job() {
	"$@" >"$work/out" 2>&1 &
	job=$!
	wait "$job" || { cat "$work/out" >&2; die "failed: $*"; }
	job=''
}

# Run the SQL on standard input, or of one -c; print what comes out.
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# A server that does nothing by itself while we measure: no autovacuum, no
# checkpoint but ours, no alarm of a login that wakes its session once more when
# authentication_timeout is over.  All of its safety is on.
start_server() {
	export PGHOST=$sockets PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	run_job initdb -D "$work/data" -U "$PGUSER" -A trust -E UTF8 --no-locale
	cat >>"$work/data/postgresql.conf" <<-CONF
		shared_preload_libraries = 'durable_wf'
		listen_addresses = ''
		unix_socket_directories = '$sockets'
		max_connections = 1100
		max_worker_processes = 32
		shared_buffers = 512MB
		autovacuum = off
		checkpoint_timeout = 1d
		authentication_timeout = 10min
		max_wal_size = 8GB
		min_wal_size = 1GB
		jit = off
		fsync = on
		synchronous_commit = on
	CONF
	run_job pg_ctl -D "$work/data" -l "$work/log" -w -t 60 start
	sql -c 'CREATE DATABASE bench'
	export PGDATABASE=bench
}

# The extension, 100 workflows, and what they are compared with: an equal
# table, whose id comes from an equal sequence, and which has no trigger.
create_tables() {
	sql <<-'SQL' >/dev/null
		CREATE EXTENSION durable_wf;
		SELECT wf_start('wf-' || n) FROM generate_series(0, 99) n;
		SELECT wf_start('wf-latency');

		CREATE SCHEMA bench;
		CREATE SEQUENCE bench.message_id_seq AS bigint CACHE 1;
		CREATE TABLE bench.message (LIKE durable_wf.message INCLUDING ALL);
		SELECT format('ALTER TABLE bench.message SET (%s)',
		              array_to_string(reloptions, ', '))
		  FROM pg_class
		 WHERE oid = 'durable_wf.message'::regclass AND reloptions IS NOT NULL
		\gexec
		CREATE TABLE bench.event (LIKE durable_wf.event INCLUDING ALL);
		ALTER TABLE bench.event SET (fillfactor = 85);

		CREATE FUNCTION bench.expect(message jsonb, want int) RETURNS void
		LANGUAGE plpgsql AS $$
		BEGIN
		    IF message IS DISTINCT FROM to_jsonb(want) THEN
		        RAISE 'message % came instead of %', message, want;
		    END IF;
		END $$;
	SQL
}

# Bring both sides to equal conditions before a sample.
empty_tables() {
	sql -c 'TRUNCATE durable_wf.message, bench.message' -c CHECKPOINT
}

# ------------------------------------------------- scripts of the two sides

# Each pair is what one client executes, over and over.  Parameters are sent
# and parsed alike on both sides.
write_scripts() {
	local side
	cd "$work"
	cat >send.ours <<-'SQL'
		\set n random(0, 99)
		SELECT wf_send('wf-' || :n, :message);
	SQL
	cat >send.theirs <<-'SQL'
		\set n random(0, 99)
		INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
		VALUES (nextval('bench.message_id_seq'), 'wf-' || :n, 'd', '', :message);
	SQL
	cat >notify.theirs <<-'SQL'
		\set n random(0, 99)
		INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
		VALUES (nextval('bench.message_id_seq'), 'wf-' || :n, 'd', '', :message)
		RETURNING pg_notify('bench', workflow_id);
	SQL

	cat >recv.ours <<-'SQL'
		SELECT wf_recv(workflow_id => 'wf-0');
	SQL
	cat >recv.theirs <<-'SQL'
		DELETE FROM bench.message WHERE ctid =
		  (SELECT ctid FROM bench.message
		    WHERE workflow_id = 'wf-0' AND door = 'd' AND key = ''
		    ORDER BY message_id LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING payload;
	SQL
	cat >recv1000.ours <<-'SQL'
		SELECT count(*) FROM wf_recv_many(NULL, 1000, '0', 'wf-0');
	SQL
	cat >recv1000.theirs <<-'SQL'
		DELETE FROM bench.message WHERE ctid = ANY (ARRAY
		  (SELECT ctid FROM bench.message
		    WHERE workflow_id = 'wf-0' AND door = 'd' AND key = ''
		    ORDER BY message_id LIMIT 1000 FOR UPDATE SKIP LOCKED));
	SQL

	cat >thousand.ours <<-'SQL'
		SELECT count(wf_send('wf-' || n % 100, jsonb_build_object('n', n)))
		  FROM generate_series(1, 1000) n;
	SQL
	cat >thousand.theirs <<-'SQL'
		INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
		SELECT nextval('bench.message_id_seq'), 'wf-' || n % 100, 'd', '',
		       jsonb_build_object('n', n)
		  FROM generate_series(1, 1000) n;
	SQL
	cat >many.ours <<-'SQL'
		SELECT cardinality(wf_send_many(
		  ARRAY (SELECT 'wf-' || n % 100 FROM generate_series(1, 100000) n),
		  ARRAY (SELECT jsonb_build_object('n', n)
		           FROM generate_series(1, 100000) n)));
	SQL
	cat >many.theirs <<-'SQL'
		INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
		SELECT nextval('bench.message_id_seq'), 'wf-' || n % 100, 'd', '',
		       jsonb_build_object('n', n)
		  FROM generate_series(1, 100000) n;
	SQL

	for side in ours theirs; do
		echo "UPDATE bench.sends_$side SET cents = cents + 1;" >"trigger.$side"
		echo "UPDATE bench.events_$side SET cents = cents + 1;" >"event.$side"
	done

	cat >set_event.ours <<-'SQL'
		\set n random(0, 99)
		\set k random(0, 99)
		SELECT wf_set_event('key ' || :k, :message, 'wf-' || :n);
	SQL
	cat >set_event.theirs <<-'SQL'
		\set n random(0, 99)
		\set k random(0, 99)
		INSERT INTO bench.event (workflow_id, key, value)
		VALUES ('wf-' || :n, 'key ' || :k, :message)
		ON CONFLICT (workflow_id, key) DO UPDATE
		SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at;
	SQL
	cat >get_event.ours <<-'SQL'
		\set n random(0, 99)
		\set k random(0, 99)
		SELECT wf_get_event('wf-' || :n, 'key ' || :k);
	SQL
	cat >get_event.theirs <<-'SQL'
		\set n random(0, 99)
		\set k random(0, 99)
		SELECT value FROM bench.event
		 WHERE workflow_id = 'wf-' || :n AND key = 'key ' || :k;
	SQL

	cat >idle <<-'SQL'
		SELECT wf_recv(NULL, NULL, 'wf-' || :client_id % 100);
	SQL
	cat >pingpong <<-'SQL'
		\set pair :client_id / 2
		\set n :n + 1
		\if :client_id % 2 = 0
		SELECT wf_send('pong-' || :pair, to_jsonb(:n::int));
		SELECT bench.expect(wf_recv(NULL, NULL, 'ping-' || :pair), :n);
		\else
		SELECT bench.expect(wf_recv(NULL, NULL, 'pong-' || :pair), :n);
		SELECT wf_send('ping-' || :pair, to_jsonb(:n::int));
		\endif
	SQL
}

# Run a script with pgbench; leave transactions per second in $tps, and in
# $cpu how many microseconds of CPU the server took for each.
#   tps SCRIPT PGBENCH-OPTION...
tps() {
	local before
	before=$(server_cpu)
	run_job pgbench -n -M prepared -j 2 -D n=0 \
		-D message='{"order": 42, "state": "paid"}' -f "$@"
	tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/out")
	cpu=$(($(server_cpu) - before))
	cpu=$(awk "BEGIN { print $cpu / $(processed) }")
}

# How many transactions the last pgbench has made.
processed() {
	sed -n 's,.*actually processed: \([0-9]*\).*,\1,p' "$work/out"
}

# ------------------------------------------------------------------- probes

# The servers whose CPU time is counted
servers=("$work/data")

# CPU time of these servers so far, in microseconds.
server_cpu() {
	local data us=0
	for data in "${servers[@]}"; do
		us=$((us + $(cpu_of_server "$data")))
	done
	echo "$us"
}

# CPU time of a whole server so far: of its processes, and of those that have
# ended, whose time the postmaster has (in units of 10 ms).
cpu_of_server() {
	local postmaster children again='' us
	read -r postmaster <"$1/postmaster.pid"
	children=$(cat "/proc/$postmaster/task/$postmaster/children")
	# no process may end between the two looks at it
	until [ "$again" = "$children" ]; do
		[ -z "$again" ] || children=$again
		us=$(cat /proc/$postmaster/schedstat \
			${children:+$(printf '/proc/%s/schedstat ' $children)} \
			"/proc/$postmaster/stat" 2>/dev/null |
			awk -v hz="$(getconf CLK_TCK)" 'NF > 3 { us += ($16 + $17) * 1e6 / hz; next }
				{ us += $1 / 1000 } END { printf "%.0f\n", us }') || true
		again=$(cat "/proc/$postmaster/task/$postmaster/children")
	done
	echo "$us"
}

# CPU time of our own processes in a database so far, in microseconds.
our_cpu() {
	sql -d postgres -c "SELECT pid FROM pg_stat_activity
		WHERE datname = '$1' AND backend_type LIKE 'durable_wf%'" |
		sed 's,.*,/proc/&/schedstat,' |
		xargs awk '{ us += $1 / 1000 } END { printf "%.0f\n", us }'
}

# Milliseconds that the disk takes to make 8 kB durable.
probe_disk() {
	LC_ALL=C dd if=/dev/zero of="$work/probe" bs=8k count=500 oflag=dsync 2>&1 |
		sed -n 's/.* copied, \([0-9.]*\) s.*/\1/p' |
		awk '{ printf "%.2f", $1 * 1000 / 500 }'
	rm "$work/probe"
}

# How long a client waits for the answer to an empty statement, in
# microseconds.  Most of it is how long processors take to wake up.
probe_round_trip() {
	echo ';' >"$work/probe.sql"
	run_job pgbench -n -M simple -c 1 -T 1 -f "$work/probe.sql"
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/out" |
		awk '{ printf "%.0f", 1000000 / $1 }'
	rm "$work/probe.sql"
}

# ------------------------------------------------------------ for several rows

# Compile a program that stands here, or elsewhere below.
#   compile NAME [FILE]
compile() {
	run_job gcc -O2 -Wall -I"$(pg_config --includedir)" \
		-I/usr/include/postgresql -o "$work/$1" "$here/${2:-$1.c}" \
		-L"$(pg_config --libdir)" -lpq -pthread
}

# Put messages into the mailbox of one workflow, and the same elsewhere; or on
# one side only.
#   fill_mailboxes NUMBER [SIDE]
fill_mailboxes() {
	local ours=$1 theirs=$1
	[ "${2:-ours}" = ours ] || ours=0
	[ "${2:-theirs}" = theirs ] || theirs=0
	empty_tables
	sql -v ours="$ours" -v theirs="$theirs" <<-'SQL' >/dev/null
		SELECT cardinality(wf_send_many(array_agg('wf-0'::text), array_agg(p)))
		  FROM (SELECT jsonb_build_object('n', n)
		          FROM generate_series(1, :ours) n) AS x (p)
		HAVING count(*) > 0;
		INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
		SELECT nextval('bench.message_id_seq'), 'wf-0', 'd', '',
		       jsonb_build_object('n', n)
		  FROM generate_series(1, :theirs) n;
		VACUUM ANALYZE durable_wf.message;
		VACUUM ANALYZE bench.message;
		CHECKPOINT;
	SQL
}

# A counter of wf_stat, or a sum of some, all doors together.
counter() { sql -c "SELECT sum($1) FROM wf_stat"; }

# Restart the server, with what is to be in its environment.
restart_server() {
	run_job env "$@" pg_ctl -D "$work/data" -l "$work/log" -w -t 60 restart
}
