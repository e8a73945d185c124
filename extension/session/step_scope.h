/*-------------------------------------------------------------------------
 *
 * step_scope.h
 *	  What the command of a step leaves in the session: nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STEP_SCOPE_H
#define DWF_STEP_SCOPE_H

#include "base/durable_wf.h"

#include "catalog/objectaccess.h"
#include "executor/execdesc.h"
#include "nodes/nodes.h"
#include "tcop/dest.h"

/* a command */
extern void dwf_step_scope_begin(void);
extern void dwf_step_scope_end(text *step);
extern void dwf_step_scope_abort(void);

/* for the SQL functions that a step must not call */
extern void dwf_step_scope_refuse(const char *command);

/* for the server's hooks: utility.c, query.c */
extern bool dwf_step_scope_begin_utility(Node *node, DestReceiver *dest);
extern void dwf_step_scope_end_utility(Node *node);
extern void dwf_step_scope_begin_query(QueryDesc *query, int flags);
extern void dwf_step_scope_check_object(ObjectAccessType access, Oid class,
										Oid object, int sub_object);

#endif							/* DWF_STEP_SCOPE_H */
