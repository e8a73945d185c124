/*-------------------------------------------------------------------------
 *
 * session_lock.h
 *	  The advisory locks that this session holds beyond transactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SESSION_LOCK_H
#define DWF_SESSION_LOCK_H

#include "base/durable_wf.h"

#include "nodes/pg_list.h"

extern void dwf_session_lock_note_function(Oid function);
extern bool dwf_session_lock_may_exist(void);
extern List *dwf_session_lock_list(void);
extern bool dwf_session_lock_same(List *before, List *after);
extern void dwf_session_lock_restore(List *before);

#endif							/* DWF_SESSION_LOCK_H */
