/*-------------------------------------------------------------------------
 *
 * store_sql.h
 *	  What the statements of store*.c have in common.  Floor 1, for these only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STORE_SQL_H
#define DWF_STORE_SQL_H

#include "store/store.h"

/* May $n, a role, act on w?  The rule of owner.c, where SQL needs it. */
#define ROLE_MAY_ACT(n) \
	"pg_catalog.pg_has_role(" n "::pg_catalog.oid, w.owner::pg_catalog.oid, 'USAGE')"
#define EQ	" OPERATOR(pg_catalog.=) "

/* A workflow, $1, that is locked now, unless somebody holds its row */
#define ONE_THAT_IS_FREE \
	"(SELECT f.workflow_id FROM durable_wf.workflow f" \
	" WHERE f.workflow_id" EQ "$1 FOR NO KEY UPDATE SKIP LOCKED)"

/* Has a body got further since its last run began, by whichever commit? */
#define GOT_FURTHER \
	"(SELECT GREATEST(s.started_at, s.completed_at) FROM durable_wf.step s" \
	"  WHERE s.workflow_id" EQ "w.workflow_id" \
	"  ORDER BY s.step_no DESC LIMIT 1)" \
	" OPERATOR(pg_catalog.>) w.updated_at"

/* So long after or before now ("+" or "-"), in UTC as in portable.c */
#define FROM_NOW(sign, span) \
	"pg_catalog.timezone('UTC', pg_catalog.timezone('UTC', pg_catalog.now())" \
	" OPERATOR(pg_catalog." sign ") " span ")"

extern DwfIds dwf_store_list_ids(DwfStatement *statement, Datum *values);

#endif							/* DWF_STORE_SQL_H */
