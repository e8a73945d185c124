/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Begin, commit and abort the gateway's transactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TRANSACTION_H
#define DWF_TRANSACTION_H

#include "postgres.h"

extern bool dwf_transaction_is_locked;
extern volatile bool *dwf_transaction_is_in_doubt;

extern void dwf_transaction_begin(int time);
extern void dwf_transaction_commit(bool is_promise);
extern ErrorData *dwf_transaction_abort(MemoryContext context);
extern ErrorData *dwf_transaction_take_error(MemoryContext context);
extern void dwf_transaction_log_failure(const ErrorData *error);

#endif							/* DWF_TRANSACTION_H */
