/*-------------------------------------------------------------------------
 *
 * store_sql.h
 *	  What the statements of store*.c have in common.  Floor 1, for these only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STORE_SQL_H
#define DWF_STORE_SQL_H

#include "store.h"

/* May $n, a role, act on w?  The rule of owner.c, where SQL needs it. */
#define ROLE_MAY_ACT(n) \
	"pg_catalog.pg_has_role(" n "::pg_catalog.oid, w.owner::pg_catalog.oid, 'USAGE')"
#define EQ	" OPERATOR(pg_catalog.=) "

/* So long after or before now ("+" or "-"), in UTC as in portable.c */
#define FROM_NOW(sign, span) \
	"pg_catalog.timezone('UTC', pg_catalog.timezone('UTC', pg_catalog.now())" \
	" OPERATOR(pg_catalog." sign ") " span ")"

extern DwfIds dwf_store_list_ids(DwfStatement *statement, Datum *values);

#endif							/* DWF_STORE_SQL_H */
