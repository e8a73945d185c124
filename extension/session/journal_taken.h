/*-------------------------------------------------------------------------
 *
 * journal_taken.h
 *	  What a step has taken from mailboxes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JOURNAL_TAKEN_H
#define DWF_JOURNAL_TAKEN_H

#include "base/durable_wf.h"

#include "access/xact.h"

#include "shared/address.h"
#include "store/store.h"

extern bool dwf_journal_taken_is_result(const char *function);
extern void dwf_journal_taken_note(const DwfAddress *queue,
								   const DwfItem *items, int count,
								   bool payloads_too);
extern DwfValue dwf_journal_taken_encode(const text *workflow_id);
extern int	dwf_journal_taken_traces(DwfValue taken, Datum **ids,
									 Datum **traceparents);
extern void dwf_journal_taken_end_xact(void);
extern void dwf_journal_taken_end_subxact(SubTransactionId subid);
extern int	dwf_journal_taken_decode(const DwfRecord *record,
									 text *workflow_id, DwfTaken *taken);

#endif							/* DWF_JOURNAL_TAKEN_H */
