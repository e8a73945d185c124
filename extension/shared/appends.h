/*-------------------------------------------------------------------------
 *
 * appends.h
 *	  Has anything been appended to a stream since?
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_APPENDS_H
#define DWF_APPENDS_H

#include "base/durable_wf.h"

extern Size dwf_appends_size(void);
extern void dwf_appends_init_shared(void);

extern uint64 dwf_appends_note(uint64 hash);
extern bool dwf_appends_none_since(uint64 hash, uint64 noted);

#endif							/* DWF_APPENDS_H */
