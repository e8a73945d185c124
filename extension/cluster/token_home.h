/*-------------------------------------------------------------------------
 *
 * token_home.h
 *	  Which node of a cluster has the hook of a token.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TOKEN_HOME_H
#define DWF_TOKEN_HOME_H

#include "base/durable_wf.h"

extern text *dwf_token_home_mark(text *workflow_id, text *token);
extern bool dwf_token_home_is_elsewhere(text *token, text **place);
extern bool dwf_token_home_find(text *token, int32 *hash);
extern void dwf_token_home_claim(text *token, text *workflow_id);
extern void dwf_token_home_claim_all(text *workflow_id);
extern int	dwf_token_home_read(text *workflow_id, Datum **tokens);
extern void dwf_token_home_free(text *token);
extern void dwf_token_home_free_all(Datum *tokens, int count,
									Datum workflow_ids);

#endif							/* DWF_TOKEN_HOME_H */
