# Our trigger functions against PL/pgSQL triggers.  Sourced by bench/run.

place[trigger]=210

# Tables whose rows send when they are updated: by our trigger functions, and
# by the triggers that one would write instead.  Each row goes to one of 100
# workflows; as an event, under a key of its own.
create_triggers() {
	sql <<-'SQL' >/dev/null
		CREATE TABLE bench.sends_ours (id int, customer int, state text, cents int);
		CREATE TABLE bench.sends_theirs (LIKE bench.sends_ours);
		CREATE TABLE bench.events_ours (LIKE bench.sends_ours);
		CREATE TABLE bench.events_theirs (LIKE bench.sends_ours);

		CREATE FUNCTION bench.send() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
		    INSERT INTO bench.message (message_id, workflow_id, door, key, payload)
		    VALUES (nextval('bench.message_id_seq'), 'wf-' || NEW.customer, 'm',
		            'topic', to_jsonb(NEW));
		    RETURN NULL;
		END $$;
		CREATE FUNCTION bench.set_event() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
		    INSERT INTO bench.event (workflow_id, key, value)
		    VALUES ('wf-' || NEW.customer, 'row ' || NEW.id, to_jsonb(NEW))
		    ON CONFLICT (workflow_id, key) DO UPDATE
		    SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at;
		    RETURN NULL;
		END $$;

		CREATE TRIGGER t AFTER UPDATE ON bench.sends_ours FOR EACH ROW
		    EXECUTE FUNCTION wf_trigger_send('wf-{customer}', 'topic');
		CREATE TRIGGER t AFTER UPDATE ON bench.sends_theirs FOR EACH ROW
		    EXECUTE FUNCTION bench.send();
		CREATE TRIGGER t AFTER UPDATE ON bench.events_ours FOR EACH ROW
		    EXECUTE FUNCTION wf_trigger_set_event('wf-{customer}', 'row {id}');
		CREATE TRIGGER t AFTER UPDATE ON bench.events_theirs FOR EACH ROW
		    EXECUTE FUNCTION bench.set_event();
	SQL
}

# 100,000 rows in a table, and nothing in those that its trigger writes to.
#   fill_source TABLE
fill_source() {
	sql <<-SQL >/dev/null
		TRUNCATE bench.$1, durable_wf.event, bench.event;
		INSERT INTO bench.$1
		SELECT n, n % 100, 'paid', 100 * n FROM generate_series(1, 100000) n;
		VACUUM ANALYZE bench.$1;
	SQL
	empty_tables
}

# Milliseconds of one statement that updates 100,000 rows with a trigger each.
bench_trigger() {
	local round side rounds=$((rounds < 3 ? rounds : 3))
	create_triggers
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			fill_source "sends_$side"
			tps "trigger.$side" -c 1 -t 1
			record trigger "$side" "$(awk "BEGIN { print 1000 / $tps }")"
			record trigger.cpu "$side" "$cpu"
			fill_source "events_$side"
			tps "event.$side" -c 1 -t 1
			record event "$side" "$(awk "BEGIN { print 1000 / $tps }")"
			record event.cpu "$side" "$cpu"
		done
		say "trigger: round $round of $rounds"
	done
	row trigger 'UPDATE of 100k rows, wf_trigger_send' \
		'PL/pgSQL trigger that INSERTs' ms '<= 2.0'
	row event 'for information: wf_trigger_set_event, the same' \
		'PL/pgSQL trigger that upserts' ms ''
}
