/*-------------------------------------------------------------------------
 *
 * presence.h
 *	  In which databases a worker may be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PRESENCE_H
#define DWF_PRESENCE_H

#include "base/durable_wf.h"

extern Size dwf_presence_size(void);
extern void dwf_presence_init_shared(void);
extern void dwf_presence_changed(Oid database);
extern void dwf_presence_roles_changed(void);
extern void dwf_presence_clear(Oid database);
extern bool dwf_presence_has_change(Oid *database);
extern void dwf_presence_end_xact(void);
extern PGDLLEXPORT bool dwf_presence_is_held(Oid database);

#endif							/* DWF_PRESENCE_H */
