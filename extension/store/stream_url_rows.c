/*-------------------------------------------------------------------------
 *
 * stream_url_rows.c
 *	  The tables as C functions: the tokens by which streams are read by URL.
 *
 *-------------------------------------------------------------------------
 */
#include "store/stream_rows.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "store/catalog.h"
#include "store/statement.h"
#include "store/store_sql.h"

/* token, id, stream, role; a workflow that is being pruned counts as gone */
static DwfStatement create_url_query = {
	"INSERT INTO durable_wf.stream_url (token, workflow_id, stream)"
	" SELECT $1, w.workflow_id, $3 FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$2 AND " ROLE_MAY_ACT("$4")
	" FOR KEY SHARE OF w",
	4, {TEXTOID, TEXTOID, TEXTOID, OIDOID}, NULL
};

/* token, role */
static DwfStatement dispose_url_query = {
	"DELETE FROM durable_wf.stream_url u USING durable_wf.workflow w"
	" WHERE u.token" EQ "$1 AND w.workflow_id" EQ "u.workflow_id"
	" AND " ROLE_MAY_ACT("$2")
	" RETURNING u.workflow_id, u.stream",
	2, {TEXTOID, OIDOID}, NULL
};

/* token */
static DwfStatement find_url_query = {
	"SELECT u.workflow_id, u.stream, w.owner::pg_catalog.oid"
	" FROM durable_wf.stream_url u"
	" JOIN durable_wf.workflow w ON w.workflow_id" EQ "u.workflow_id"
	" WHERE u.token" EQ "$1",
	1, {TEXTOID}, NULL
};

/*
 * Create a token of a stream; false if there is no such workflow that the role
 * may act on
 */
bool
dwf_store_create_stream_url(text *token, text *workflow_id, text *stream,
							Oid role)
{
	Datum		values[] = {PointerGetDatum(token),
		PointerGetDatum(workflow_id), PointerGetDatum(stream),
	ObjectIdGetDatum(role)};

	(void) GetTopTransactionId();
	return dwf_statement_count(&create_url_query, values, NULL) > 0;
}

/* Are streams there at all?  Not before ALTER EXTENSION UPDATE to 1.0.0. */
static bool
are_there(void)
{
	return OidIsValid(dwf_catalog_find_relation("stream_url"));
}

/* Run a statement that returns the workflow and the stream of a token */
static bool
query_url(DwfStatement *statement, Datum *values, DwfStreamUrl *url)
{
	DwfRun		r;
	bool		found;
	bool		isnull;

	if (!are_there())
		return false;
	r = dwf_statement_run(statement, values, NULL);
	found = SPI_processed > 0;
	if (found)
	{
		url->workflow_id = dwf_statement_copy_text(r, 0, 1);
		url->stream = dwf_statement_copy_text(r, 0, 2);
		if (statement == &find_url_query)
			url->owner = DatumGetObjectId(dwf_statement_column(0, 3,
															   &isnull));
	}
	dwf_statement_done(r);
	return found;
}

/*
 * Take a token of a stream back; false if the role has no such token.  The
 * owner is not filled in.
 */
bool
dwf_store_dispose_stream_url(text *token, Oid role, DwfStreamUrl *url)
{
	Datum		values[] = {PointerGetDatum(token), ObjectIdGetDatum(role)};

	return query_url(&dispose_url_query, values, url);
}

/* Find the stream that a token is for; false if there is none */
bool
dwf_store_find_stream_url(text *token, DwfStreamUrl *url)
{
	Datum		values[] = {PointerGetDatum(token)};

	return query_url(&find_url_query, values, url);
}
