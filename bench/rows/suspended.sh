# Few, many and very many suspended workflows side by side.  Sourced by bench/run.

place[suspended]=70

# A database in which so many SQL workflows are suspended.  A hundred of them
# have come there by themselves; the others are copies of their rows.  Then the
# server is started anew, so that its worker knows them as it would any.
#   create_suspended DATABASE NUMBER
create_suspended() {
	sql -d postgres -c "CREATE DATABASE $1"
	sql -d "$1" <<-SQL >/dev/null
		CREATE EXTENSION durable_wf;
		CREATE PROCEDURE answers(input jsonb) LANGUAGE plpgsql AS \$\$
		DECLARE
		    got jsonb;
		BEGIN
		    PERFORM wf_step('first', 'SELECT 1');
		    LOOP
		        CALL wf_recv('question', '7 days', NULL, got);
		        PERFORM wf_send('client', got, 'answer');
		    END LOOP;
		END \$\$;
		SELECT wf_start('client');
		SELECT wf_start('wf-' || n, 'answers') FROM generate_series(1, 100) n;
	SQL
	until [ "$(sql -d "$1" -c "SELECT count(*) FROM durable_wf.wait")" = 100 ]; do
		sleep 0.1
	done
	sql -d "$1" <<-SQL >/dev/null
		SELECT string_agg(quote_ident(attname), ', ') AS columns FROM pg_attribute
		WHERE attrelid = 'durable_wf.workflow'::regclass AND attnum > 1 AND NOT attisdropped \gset
		INSERT INTO durable_wf.workflow (workflow_id, :columns)
		SELECT 'wf-' || n, :columns FROM generate_series(101, $2) n, durable_wf.workflow
		WHERE workflow_id = 'wf-1';
		SELECT string_agg(quote_ident(attname), ', ') AS columns FROM pg_attribute
		WHERE attrelid = 'durable_wf.step'::regclass AND attnum > 1 AND NOT attisdropped \gset
		INSERT INTO durable_wf.step (workflow_id, :columns)
		SELECT 'wf-' || n, :columns FROM generate_series(101, $2) n, durable_wf.step
		WHERE workflow_id = 'wf-1';
		INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key, deadline)
		SELECT 'wf-' || n, position, step_no, door, 'wf-' || n, key, deadline
		FROM generate_series(101, $2) n, durable_wf.wait
		WHERE workflow_id = 'wf-1';
		VACUUM ANALYZE;
		SELECT wf_adopt();
	SQL
}

# Ask so many suspended workflows, one after the other; each runs again from
# the top and answers.  Prints p50 and p99, in microseconds.
#   ask DATABASE NUMBER ROUND
ask() {
	local samples
	samples=$(usually 100 30)
	sql -d "$1" <<-SQL
		SET synchronous_commit = off;
		CREATE TEMP TABLE took (us float8);
		DO \$\$
		DECLARE
		    asked timestamptz;
		    got jsonb;
		BEGIN
		    FOR i IN 1 .. $samples LOOP
		        PERFORM pg_sleep(0.02);		-- it is suspended, and all is quiet
		        PERFORM wf_send('wf-' || 1 + (hashint4(i + 1000 * $3) & 65535)::bigint * ($2 - 1) / 65535,
		                        to_jsonb(i), 'question');
		        asked := clock_timestamp();
		        COMMIT;
		        CALL wf_recv('answer', '60 s', 'client', got);
		        IF got IS DISTINCT FROM to_jsonb(i) THEN
		            RAISE EXCEPTION 'no answer: %', got;
		        END IF;
		        INSERT INTO took
		        VALUES (1e6 * extract(epoch FROM clock_timestamp() - asked));
		    END LOOP;
		END \$\$;
		SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY us),
		       percentile_cont(0.99) WITHIN GROUP (ORDER BY us) FROM took;
	SQL
}

# Few, many and very many suspended workflows side by side.
bench_suspended() {
	local round number p50 p99 bytes before side
	local populations idle_seconds first
	populations=$(usually '1000 10000 100000 1000000' '100 1000 10000')
	idle_seconds=$(usually 5 2)
	first=${populations%% *}
	plot suspended 'A suspended workflow is asked, and has answered' \
		'suspended workflows in the database' 'µs' 'set logscale x' \
		'set yrange [0:]'
	for number in $populations; do
		create_suspended "suspended_$number" "$number"
		say "suspended: $number are"
	done
	sql -c "ALTER SYSTEM SET durable_wf.suspend_after = '5ms'"
	# as a minute after the start: until then each claim waits for the disk
	sql -c 'ALTER SYSTEM SET durable_wf.careful_time = 0'
	restart_server
	for number in $populations; do
		ask "suspended_$number" "$number" 999 >/dev/null
	done
	for round in $(seq "$rounds"); do
		for number in $populations; do
			IFS='|' read -r p50 p99 < <(ask "suspended_$number" "$number" "$round")
			echo "$p50" >>"$work/p50.$number"
			echo "$p99" >>"$work/p99.$number"
			point suspended p50 "$number" "$p50"
			point suspended p99 "$number" "$p99"
		done
		say "suspended: round $round of $rounds"
	done
	for number in $populations; do
		for side in p50 p99; do
			cp "$work/$side.$number" "$work/$number.$side.ours.samples"
			cp "$work/$side.$first" "$work/$number.$side.theirs.samples"
		done
		if [ "$number" = "$first" ]; then
			value "$number.p50" "$number suspended: commit → the body has answered, p50" \
				µs '<= 1200'
			value "$number.p99" "$number suspended: the same, p99" µs ''
			continue
		fi
		row "$number.p50" "$number suspended: the same, p50" "$first suspended" µs '<= 1.2'
		row "$number.p99" "$number suspended: the same, p99" "$first suspended" µs ''
	done

	sleep 11				# their executors have left
	for number in $populations; do
		bytes=$(sql -d "suspended_$number" -c "SELECT round(sum(pg_total_relation_size(c)) / $number)
			FROM unnest('{durable_wf.workflow,durable_wf.wait,durable_wf.step}'::regclass[]) c")
		before=$(our_cpu "suspended_$number")
		sleep "$idle_seconds"
		[ "$number" != "${populations##* }" ] ||
			fact "$number suspended: bytes each, tables and indexes" "$bytes" - ''
		fact "$number suspended, idle for $idle_seconds s: CPU" \
			$((($(our_cpu "suspended_$number") - before) / 1000)) ms '= 0'
	done

	sql -c 'ALTER SYSTEM RESET durable_wf.suspend_after' \
		-c 'ALTER SYSTEM RESET durable_wf.careful_time'
	restart_server
	for number in $populations; do
		sql -d postgres -c "DROP DATABASE suspended_$number WITH (FORCE)"
	done
}
