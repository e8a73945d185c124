# What all rows share: a server, the two sides' scripts, samples, the table.
# Sourced by bench/run, whose settings it uses: rounds, seconds, here.

# ------------------------------------------------------------------- server

# No setting of the caller's may reach our server and clients.
unset "${!PG@}"

job=''
base=${DWF_WORK:-$(mkdir -p ../.build && mktemp -d "${here%/*}/.build/bench.XXXXXX")}
work=$(mktemp -d "$base/run.XXXXXX")
sockets=$(mktemp -d "${TMPDIR:-/tmp}/dwf.XXXXXX")	# a socket's path is short

# On every way out: stop the server, and with it whatever talks to it.
leave() {
	local status=$?
	trap '' HUP INT TERM
	[ -z "$job" ] || { kill "$job" && wait "$job"; } 2>/dev/null || true
	if [ $status = 1 ] && [ -f "$work/log" ]; then
		tail -n 20 "$work/log" >&2
	fi
	[ ! -f "$work/data/postmaster.pid" ] ||
		pg_ctl -D "$work/data" -m immediate -w stop >"$work/stop" 2>&1 ||
		cat "$work/stop" >&2
	rm -rf "$sockets" "$work"
	[ -n "${DWF_WORK:-}" ] || rm -rf "$base"
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
# checkpoint but ours.  All of its safety is on.
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

# Run a script with pgbench; leave transactions per second in $tps.
#   tps SCRIPT PGBENCH-OPTION...
tps() {
	run_job pgbench -n -M prepared -j 2 -D n=0 \
		-D message='{"order": 42, "state": "paid"}' -f "$@"
	tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/out")
}

# ------------------------------------------------------ samples and the table

# The two sides, in an order that changes from round to round.
sides() {
	if (($1 % 2)); then echo ours theirs; else echo theirs ours; fi
}

# Keep a number.  Line n of a row's two files is round n of the two sides.
#   record ROW SIDE NUMBER
record() { echo "$3" >>"$work/$1.$2.samples"; }

# The median of the numbers on standard input.
median() {
	sort -g | awk '{ v[NR] = $1 }
		END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# Print a line of the table.
cells() { printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$@"; }

# Print a row from its samples; the ratio is taken round by round.
#   row ROW WORK AGAINST UNIT TARGET, which is like '>= 0.95', or empty
row() {
	local ours=$work/$1.ours.samples theirs=$work/$1.theirs.samples
	local unit=$4 operator limit ratio low high met='–'
	read -r operator limit <<<"$5"
	paste "$ours" "$theirs" | awk '{ print $1 / $2 }' | sort -g >"$work/ratios"
	ratio=$(median <"$work/ratios")
	low=$(head -n 1 "$work/ratios")
	high=$(tail -n 1 "$work/ratios")
	if [ -n "$operator" ]; then
		met=$(awk "BEGIN { print ($ratio $operator $limit) ? \"yes\" : \"no\" }")
	fi
	cells "$2" "$3" "$(format "$(median <"$ours")") $unit" \
		"$(format "$(median <"$theirs")") $unit" \
		"$(printf '%.2f (%.2f..%.2f)' "$ratio" "$low" "$high")" "${5:-–}" "$met"
}

# A number for people: no decimals when it is large.
format() { awk "BEGIN { printf ($1 < 100 ? \"%.3g\" : \"%.0f\"), $1 }"; }

# Milliseconds that the disk takes to make 8 kB durable.
probe_disk() {
	LC_ALL=C dd if=/dev/zero of="$work/probe" bs=8k count=500 oflag=dsync 2>&1 |
		sed -n 's/.* copied, \([0-9.]*\) s.*/\1/p' |
		awk '{ printf "%.2f", $1 * 1000 / 500 }'
	rm "$work/probe"
}

# ------------------------------------------------------------ for several rows

# Compile a program that stands here.
compile() {
	run_job gcc -O2 -Wall -I"$(pg_config --includedir)" \
		-I/usr/include/postgresql -o "$work/$1" "$here/$1.c" \
		-L"$(pg_config --libdir)" -lpq -pthread
}

# Put messages into the mailbox of one workflow, and the same elsewhere.
fill_mailboxes() {
	empty_tables
	sql -v count="$1" <<-'SQL' >/dev/null
		SELECT cardinality(wf_send_many(array_agg('wf-0'::text), array_agg(p)))
		  FROM (SELECT jsonb_build_object('n', n)
		          FROM generate_series(1, :count) n) AS x (p);
		INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
		SELECT nextval('bench.message_id_seq'), 'wf-0', 'd', '',
		       jsonb_build_object('n', n)
		  FROM generate_series(1, :count) n;
		VACUUM ANALYZE durable_wf.message;
		VACUUM ANALYZE bench.message;
		CHECKPOINT;
	SQL
}

# A counter of wf_stat, or a sum of some, all doors together.
counter() { sql -c "SELECT sum($1) FROM wf_stat"; }

# Print a row about waiters whose target is 0.
zero() { zero_of "1,000 blocked waiters, idle for $idle_seconds s: $1" "$2"; }

# Print a row whose target is 0.
zero_of() {
	local met=no
	[ "$2" != 0 ] || met=yes
	cells "$1" – "$2" – – 0 $met
}

# Restart the server, with what is to be in its environment.
restart_server() {
	run_job env "$@" pg_ctl -D "$work/data" -l "$work/log" -w -t 60 restart
}
