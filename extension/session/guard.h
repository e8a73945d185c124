/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  A body writes in its steps only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_GUARD_H
#define DWF_GUARD_H

#include "base/durable_wf.h"

#include "executor/execdesc.h"
#include "nodes/nodes.h"

/* Starts a query, as ExecutorStart does */
typedef void (*DwfStartQuery) (QueryDesc *query, int flags);

extern void dwf_guard_enter(void);
extern void dwf_guard_leave(void);
extern bool dwf_guard_body(void);

/* for executors: around a body */
extern void dwf_guard_begin(ErrorContextCallback *frame);
extern void dwf_guard_end(ErrorContextCallback *frame,
						  const text *workflow_id);
extern void dwf_guard_watch_plpgsql(void);

/* for the server's hooks: utility.c, query.c */
extern void dwf_guard_check_command(Node *command, const char *statement);
extern void dwf_guard_explain(const char *statement);
extern void dwf_guard_start_query(QueryDesc *query, int flags,
								  DwfStartQuery start);
extern void dwf_guard_check_function(Oid function);

#endif							/* DWF_GUARD_H */
