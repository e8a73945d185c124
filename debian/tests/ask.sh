# Called by debian/tests/workflow, with the address of a server in the
# environment.
set -e

sql() {
	psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

sql <<'SQL'
CREATE EXTENSION durable_wf;
CREATE PROCEDURE ask(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    token text := (wf_create_webhook()).token;
    request jsonb;
BEGIN
    PERFORM wf_set_event('token', to_jsonb(token));
    CALL wf_await_hook(token, '5 min', request);
    PERFORM wf_complete(request->'body');
END $$;
SELECT wf_start('question', 'ask');
SQL
token=$(sql -c "SELECT wf_get_event('question', 'token', '1 min')->>0")
curl -sS --fail --retry 10 --retry-connrefused --max-time 60 \
	-H 'Content-Type: application/json' -d '"yes"' \
	"http://127.0.0.1:8117/.well-known/workflow/v1/webhook/$token"
outcome=$(sql -c "SELECT * FROM wf_result('question', '1 min')")
echo "outcome: $outcome"
[ "$outcome" = 'SUCCESS|"yes"|' ]
