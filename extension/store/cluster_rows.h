/*-------------------------------------------------------------------------
 *
 * cluster_rows.h
 *	  What a cluster's nodes ask its catalogs and each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLUSTER_ROWS_H
#define DWF_CLUSTER_ROWS_H

#include "base/durable_wf.h"

#include "store/anchor.h"

extern DwfShard * dwf_store_read_shards(Oid anchor, MemoryContext context,
										int *count);
extern Datum dwf_store_run_there(text *workflow_id, text *function,
								 Datum arguments);
extern text *dwf_store_token_holder(text *token, bool lock);
extern bool dwf_store_claim_token(text *token, text *workflow_id);
extern void dwf_store_move_token(text *token, text *workflow_id);
extern void dwf_store_free_token(text *token);
extern void dwf_store_free_tokens(Datum tokens, Datum workflow_ids);
extern bool dwf_store_has_released(text *workflow_id, text *token);
extern Datum dwf_store_named_tokens(text *workflow_id, Oid role);

#endif							/* DWF_CLUSTER_ROWS_H */
