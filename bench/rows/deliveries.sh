# What it costs to count deliveries.  Sourced by bench/run.

place[deliveries]=26

# Set durable_wf.max_deliveries, for sessions that begin from now on.
max_deliveries() {
	sql -c "ALTER SYSTEM SET durable_wf.max_deliveries = $1" >/dev/null
	sql -c 'SELECT pg_reload_conf()' >/dev/null
	until [ "$(sql -c 'SHOW durable_wf.max_deliveries')" = "$1" ]; do :; done
}

# The rate of receives, and of receives that are rolled back, while deliveries
# are counted; against those while they are not.
bench_deliveries() {
	local round side
	declare -A limit=([ours]=5 [theirs]=0)
	cat >"$work/giveback" <<-'SQL'
		BEGIN;
		SELECT wf_recv(NULL, '0', 'wf-' || :client_id);
		ROLLBACK;
	SQL
	for round in $(seq "$rounds"); do
		for side in $(sides "$round"); do
			max_deliveries "${limit[$side]}"
			fill_mailboxes 10000
			PGOPTIONS='-c synchronous_commit=off' tps recv.ours -c 1 -t 5000
			record_tps deliveries "$side"
			# more than can be given back, so that none is a dead letter
			max_deliveries $((limit[$side] * 100000000))
			fill_mailboxes 1
			tps giveback -c 1 -T "$seconds"
			record_tps giveback "$side"
		done
		say "deliveries: round $round of $rounds"
	done
	max_deliveries 0
	sql -c 'TRUNCATE durable_wf.delivery, durable_wf.dead_letter'
	row deliveries 'wf_recv, backlog 10k, deliveries are counted' 'they are not' /s ''
	row giveback 'wf_recv that is rolled back, counted' 'not counted' /s ''
}
