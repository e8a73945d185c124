/*-------------------------------------------------------------------------
 *
 * store_sql.h
 *	  What the statements of the files of rows have in common; for these only.
 *
 * Each name in a statement is qualified, the operators too, so that nothing of
 * the caller's search_path can be picked up.  The exception is unnest() of
 * several arrays: it is syntax, which means pg_catalog's and must not be
 * qualified.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STORE_SQL_H
#define DWF_STORE_SQL_H

#include "store/store.h"

/* May $n, a role, act on workflow w?  The same rule as dwf_owner_allows(). */
#define ROLE_MAY_ACT(n) \
	"pg_catalog.pg_has_role(" n "::pg_catalog.oid, w.owner::pg_catalog.oid, 'USAGE')"

/* The operator =, qualified */
#define EQ	" OPERATOR(pg_catalog.=) "

/* Lock a workflow, $1, unless another transaction has locked its row */
#define ONE_THAT_IS_FREE \
	"(SELECT f.workflow_id FROM durable_wf.workflow f" \
	" WHERE f.workflow_id" EQ "$1 FOR NO KEY UPDATE SKIP LOCKED)"

/* Has w begun or completed a step since its last run began? */
#define GOT_FURTHER \
	"EXISTS (SELECT FROM durable_wf.step s" \
	"  WHERE s.workflow_id" EQ "w.workflow_id" \
	"  AND GREATEST(s.started_at, s.completed_at)" \
	"    OPERATOR(pg_catalog.>) w.updated_at)"

/* When a body is run again if its process dies, later after each crash */
#define DUE_AGAIN \
	"(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)" \
	" ('1 s'::pg_catalog.interval OPERATOR(pg_catalog.*)" \
	" pg_catalog.power(2::pg_catalog.float8," \
	" LEAST(w.attempts, 9)::pg_catalog.float8)))"

/* So long after or before now ("+" or "-"), in UTC as dwf_portable_after() */
#define FROM_NOW(sign, span) \
	"pg_catalog.timezone('UTC', pg_catalog.timezone('UTC', pg_catalog.now())" \
	" OPERATOR(pg_catalog." sign ") " span ")"

extern DwfIds dwf_store_list_ids(DwfStatement *statement, Datum *values);

#endif							/* DWF_STORE_SQL_H */
