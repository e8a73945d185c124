/*-------------------------------------------------------------------------
 *
 * journal_undone.h
 *	  Write records to the journal, and keep those that were rolled back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JOURNAL_UNDONE_H
#define DWF_JOURNAL_UNDONE_H

#include "base/durable_wf.h"

#include "access/xact.h"

#include "store/store.h"

extern void dwf_journal_undone_begin(void);
extern void dwf_journal_write(const DwfRecord *row);
extern void dwf_journal_write_result(const DwfRecord *row);
extern void dwf_journal_keep_undone(const DwfRecord *row);
extern void dwf_journal_end_xact(bool commit);
extern void dwf_journal_end_subxact(SubTransactionId subid);

#endif							/* DWF_JOURNAL_UNDONE_H */
