/*-------------------------------------------------------------------------
 *
 * journal_open.h
 *	  Steps that the client has begun, and does now.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JOURNAL_OPEN_H
#define DWF_JOURNAL_OPEN_H

#include "base/durable_wf.h"

#include "access/xact.h"

#include "store/store.h"

/* The journal has these steps by the name of the function that saves them */
#define DWF_CLIENT_STEP	"wf_save_step"

extern void dwf_journal_open_begin(void);
extern bool dwf_journal_open_step(text *name, const char *caller,
								  DwfRecord *recorded);
extern bool dwf_journal_open_has(text *name);
extern bool dwf_journal_open_any(void);
extern void dwf_journal_open_save(text *name, DwfValue result,
								  DwfValue error);
extern void dwf_journal_open_end_xact(bool commit);
extern void dwf_journal_open_end_subxact(SubTransactionId subid);

#endif							/* DWF_JOURNAL_OPEN_H */
