/*-------------------------------------------------------------------------
 *
 * cluster_rows.c
 *	  What a cluster's nodes ask its catalogs and each other.
 *
 * durable_wf.token is a distributed table: Citus runs the statements on it
 * where the row is.  All others read what is on this node.
 *
 *-------------------------------------------------------------------------
 */
#include "store/cluster_rows.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "shared/claim.h"
#include "store/store_sql.h"

/* ----- which node has what ----- */

/* the anchor */
static DwfStatement shards_query = {
	"SELECT s.shardminvalue::pg_catalog.int4, p.groupid, n.nodename,"
	" n.nodeport, p.groupid" EQ "l.groupid,"
	" EXISTS (SELECT FROM durable_wf.custody c"
	"  WHERE c.shard_start" EQ "s.shardminvalue::pg_catalog.int4)"
	" FROM pg_catalog.pg_dist_shard s"
	" JOIN pg_catalog.pg_dist_placement p ON p.shardid" EQ "s.shardid"
	" JOIN pg_catalog.pg_dist_node n ON n.groupid" EQ "p.groupid"
	"  AND n.noderole" EQ "'primary'"
	" CROSS JOIN pg_catalog.pg_dist_local_group l"
	" WHERE s.logicalrelid" EQ "$1::pg_catalog.regclass ORDER BY 1",
	1, {OIDOID}, NULL
};

/* Read the anchor's shards, in their order, into a memory context */
DwfShard *
dwf_store_read_shards(Oid anchor, MemoryContext context, int *count)
{
	Datum		values[1];
	DwfRun		run;
	DwfShard   *shards;

	values[0] = ObjectIdGetDatum(anchor);
	run = dwf_statement_run_latest(&shards_query, values);
	*count = (int) SPI_processed;
	shards = MemoryContextAllocZero(context,
									(*count + 1) * sizeof(DwfShard));
	for (int i = 0; i < *count; i++)
	{
		DwfNode    *node = &shards[i].node;
		bool		isnull;

		shards[i].start = DatumGetInt32(dwf_statement_column(i, 1, &isnull));
		node->group = DatumGetInt32(dwf_statement_column(i, 2, &isnull));
		strlcpy(node->host,
				TextDatumGetCString(dwf_statement_column(i, 3, &isnull)),
				sizeof(node->host));
		node->port = DatumGetInt32(dwf_statement_column(i, 4, &isnull));
		node->is_here = DatumGetBool(dwf_statement_column(i, 5, &isnull));
		shards[i].in_custody = DatumGetBool(dwf_statement_column(i, 6,
																 &isnull));
	}
	dwf_statement_done(run);
	return shards;
}

/* ----- another node's calls ----- */

/*
 * The call of the one function that Citus delegates.  It has to be in FROM,
 * and its first argument a constant when Citus plans it: so no plan is kept.
 */
#define RUN_HERE \
	"SELECT r.result FROM durable_wf.run_here($1, $2, $3) r(result)"

/*
 * Run a call on the node of a workflow, as the current user, in this
 * transaction; the result is an array of texts.  Raises what the call raises
 * there, and what keeps that node from being reached.
 */
Datum
dwf_store_run_there(text *workflow_id, text *function, Datum arguments)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTARRAYOID};
	MemoryContext context = CurrentMemoryContext;
	MemoryContext old;
	Datum		values[3];
	Datum		result;
	bool		isnull;
	bool		pushed_snapshot = !ActiveSnapshotSet();
	bool		was_read_only = XactReadOnly;

	values[0] = PointerGetDatum(workflow_id);
	values[1] = PointerGetDatum(function);
	values[2] = arguments;

	if (pushed_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();

	/* a body is read-only, our calls are not: statement.c */
	if (dwf_claim_is_body())
		XactReadOnly = false;
	if (SPI_execute_with_args(RUN_HERE, 3, types, values, NULL, false,
							  0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run a call on another node");
	XactReadOnly = was_read_only;

	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						   &isnull);
	if (isnull)
		elog(ERROR, "a call on another node has no result");
	old = MemoryContextSwitchTo(context);
	result = PointerGetDatum(PG_DETOAST_DATUM_COPY(result));
	MemoryContextSwitchTo(old);

	SPI_finish();
	if (pushed_snapshot)
		PopActiveSnapshot();
	return result;
}

/* ----- tokens that have names ----- */

static DwfStatement token_query = {
	"SELECT t.workflow_id FROM durable_wf.token t WHERE t.token" EQ "$1",
	1, {TEXTOID}, NULL
};

static DwfStatement lock_token_query = {
	"SELECT t.workflow_id FROM durable_wf.token t WHERE t.token" EQ "$1"
	" FOR UPDATE",
	1, {TEXTOID}, NULL
};

/* token, workflow id */
static DwfStatement claim_token_query = {
	"INSERT INTO durable_wf.token (token, workflow_id) VALUES ($1, $2)"
	" ON CONFLICT (token) DO NOTHING",
	2, {TEXTOID, TEXTOID}, NULL
};

static DwfStatement move_token_query = {
	"UPDATE durable_wf.token t SET workflow_id = $2 WHERE t.token" EQ "$1",
	2, {TEXTOID, TEXTOID}, NULL
};

static DwfStatement free_token_query = {
	"DELETE FROM durable_wf.token t"
	" WHERE t.token" EQ "$1",
	1, {TEXTOID}, NULL
};

/* tokens, workflow ids */
static DwfStatement free_tokens_query = {
	"DELETE FROM durable_wf.token t"
	" WHERE t.token" EQ "ANY ($1) AND t.workflow_id" EQ "ANY ($2)",
	2, {TEXTARRAYOID, TEXTARRAYOID}, NULL
};

/*
 * The workflow for which a token was claimed last, or NULL.  With "lock", the
 * row is locked until the transaction ends, and this blocks while another
 * transaction has locked it.
 */
text *
dwf_store_token_holder(text *token, bool lock)
{
	Datum		values[1];

	values[0] = PointerGetDatum(token);
	return dwf_statement_text(lock ? &lock_token_query : &token_query,
							  values);
}

/*
 * Note that a workflow has claimed a token, unless there is a row of that
 * token: then false.  Blocks while another transaction inserts one.
 */
bool
dwf_store_claim_token(text *token, text *workflow_id)
{
	Datum		values[2];

	values[0] = PointerGetDatum(token);
	values[1] = PointerGetDatum(workflow_id);
	return dwf_statement_count(&claim_token_query, values, NULL) > 0;
}

/* Note that a workflow has claimed a token, whose row is locked */
void
dwf_store_move_token(text *token, text *workflow_id)
{
	Datum		values[2];

	values[0] = PointerGetDatum(token);
	values[1] = PointerGetDatum(workflow_id);
	(void) dwf_statement_count(&move_token_query, values, NULL);
}

/* Note that a token was given back */
void
dwf_store_free_token(text *token)
{
	Datum		values[1];

	values[0] = PointerGetDatum(token);
	(void) dwf_statement_count(&free_token_query, values, NULL);
}

/* Note that these tokens were given back by those workflows that have them */
void
dwf_store_free_tokens(Datum tokens, Datum workflow_ids)
{
	Datum		values[2];

	values[0] = tokens;
	values[1] = workflow_ids;
	(void) dwf_statement_count(&free_tokens_query, values, NULL);
}

/* ----- what a node is asked about the workflows of tokens ----- */

/* workflow id, token */
static DwfStatement lock_released_query = {
	"SELECT FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NOT NULL"
	" AND (EXISTS (SELECT FROM durable_wf.released_hook r"
	"   WHERE r.workflow_id" EQ "$1 AND r.token" EQ "$2)"
	"  OR EXISTS (SELECT FROM durable_wf.hook h"
	"   WHERE h.token" EQ "$2 AND h.workflow_id" EQ "$1))"
	" FOR SHARE OF w",
	2, {TEXTOID, TEXTOID}, NULL
};

/* workflow id, role */
static DwfStatement named_tokens_query = {
	"SELECT ARRAY(SELECT h.token FROM durable_wf.hook h"
	"  WHERE h.workflow_id" EQ "w.workflow_id AND NOT h.is_webhook"
	" UNION "
	"SELECT r.token FROM durable_wf.released_hook r"
	"  WHERE r.workflow_id" EQ "w.workflow_id AND NOT r.is_webhook"
	" ORDER BY 1)"
	" FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1"
	" AND " ROLE_MAY_ACT("$2"),
	2, {TEXTOID, OIDOID}, NULL
};

/*
 * Has a workflow of this node ended, and with it its hook of that token?  A
 * hook that is not visible may be about to commit.  Blocks while another
 * transaction retries the workflow, and keeps others from doing so until this
 * one ends.
 */
bool
dwf_store_has_released(text *workflow_id, text *token)
{
	Datum		values[2];

	values[0] = PointerGetDatum(workflow_id);
	values[1] = PointerGetDatum(token);
	return dwf_statement_count(&lock_released_query, values, NULL) > 0;
}

/*
 * The tokens of the hooks of a workflow of this node, released ones too, as
 * an array; 0 unless the role may act on it
 */
Datum
dwf_store_named_tokens(text *workflow_id, Oid role)
{
	Datum		values[2];
	DwfRun		run;
	DwfValue	tokens = {.isnull = true};

	values[0] = PointerGetDatum(workflow_id);
	values[1] = ObjectIdGetDatum(role);
	run = dwf_statement_run(&named_tokens_query, values, NULL);
	if (SPI_processed > 0)
		tokens = dwf_statement_copy_column(run, 0, 1);
	dwf_statement_done(run);
	return tokens.isnull ? (Datum) 0 : tokens.value;
}
