/*-------------------------------------------------------------------------
 *
 * token_home.c
 *	  Which node of a cluster has the hook of a token.
 *
 * A token that was made up begins with where the shard of its workflow begins,
 * as 8 hexadecimal digits and a '~'.  So any node, the gateway too, knows
 * without a look to which node it leads.
 *
 * A token that has a name may be claimed on two nodes at a time.  So the
 * distributed table durable_wf.token has a row for each name:
 *
 *	N1	The node of the caller claims the name there before the node of the
 *		workflow creates or restores the hook, in the same transaction.  The
 *		primary key decides between two.
 *	N2	The row outlives the end of the workflow, whose hooks wf_retry can
 *		bring back.  Another workflow takes the name over only after it has
 *		locked the row, and after the node of the first has said that the
 *		hook is released, with the first's row locked: both locks are held to
 *		the end of the transaction.  A retry locks the rows of its tokens
 *		first.  So of a takeover and a retry one waits for the other, and sees
 *		it.
 *		When the workflow is removed, wf_prune and wf_delete remove the row.
 *		They lock the workflow first: of such a removal and a takeover that
 *		has found the row before, one can get 40P01.
 *	N3	A transaction on two nodes is not visible on both at one moment.  So
 *		a workflow that cannot be seen counts as one that has the hook.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster/token_home.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/texts.h"
#include "cluster/forward.h"
#include "store/anchor.h"
#include "store/cluster_rows.h"

PG_FUNCTION_INFO_V1(dwf_has_released);
PG_FUNCTION_INFO_V1(dwf_named_tokens);

/* Digits of a shard, before the mark; and what follows, at the least */
#define SHARD_DIGITS	8
#define SHARD_MARK		'~'
#define RANDOM_LENGTH	32

/* A made-up token, with the shard of its workflow in front on a cluster */
text *
dwf_token_home_mark(text *workflow_id, text *token)
{
	int32		start;

	if (!dwf_anchor_exists())
		return token;
	start = dwf_anchor_shard_start(dwf_anchor_hash(workflow_id));
	return cstring_to_text(psprintf("%08x%c%s", (uint32) start, SHARD_MARK,
									text_to_cstring(token)));
}

/* Was a token made up on a cluster?  Takes where its shard begins. */
static bool
is_made_up(text *token, int32 *start)
{
	char		digits[SHARD_DIGITS + 1];

	if (VARSIZE_ANY_EXHDR(token) != SHARD_DIGITS + 1 + RANDOM_LENGTH ||
		VARDATA_ANY(token)[SHARD_DIGITS] != SHARD_MARK)
		return false;
	memcpy(digits, VARDATA_ANY(token), SHARD_DIGITS);
	digits[SHARD_DIGITS] = '\0';
	if (strspn(digits, "0123456789abcdef") != SHARD_DIGITS)
		return false;
	*start = (int32) strtoul(digits, NULL, 16);
	return true;
}

/*
 * Was a token made up for a workflow of another node?  Takes an id that is
 * there.
 */
bool
dwf_token_home_is_elsewhere(text *token, text **place)
{
	int32		start;

	if (!dwf_anchor_exists() || !is_made_up(token, &start) ||
		dwf_anchor_is_here(start))
		return false;
	*place = dwf_anchor_name_for(dwf_anchor_node(start).group);
	return true;
}

/*
 * The hash that leads to the node of a token's hook; false if no node is known
 * to have one
 */
bool
dwf_token_home_find(text *token, int32 *hash)
{
	text	   *holder;

	if (is_made_up(token, hash))
		return true;
	holder = dwf_store_token_holder(token, false);
	if (holder == NULL)
		return false;
	*hash = dwf_anchor_hash(holder);
	return true;
}

/* Ask the node of a workflow whether it has released its hook of this token */
static bool
ask_released(text *workflow_id, text *token)
{
	Datum		arguments[2];
	Datum	   *answer;
	Datum		result;

	if (dwf_anchor_is_here(dwf_anchor_hash(workflow_id)))
		return dwf_store_has_released(workflow_id, token);
	arguments[0] = PointerGetDatum(workflow_id);
	arguments[1] = PointerGetDatum(token);
	result = dwf_forward_texts("has_released", workflow_id, arguments, NULL,
							   2);
	(void) dwf_arrays_read_texts(result, &answer, NULL);
	return strcmp(TextDatumGetCString(answer[0]), "t") == 0;
}

/*
 * Claim a token that has a name for a workflow, or raise WF005 (N1, N2).
 * Blocks while another transaction claims it.
 */
void
dwf_token_home_claim(text *token, text *workflow_id)
{
	int32		start;

	if (is_made_up(token, &start))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a token cannot look as if durable_wf had made it up")));
	dwf_forward_note_write();
	while (!dwf_store_claim_token(token, workflow_id))
	{
		text	   *holder = dwf_store_token_holder(token, true);

		CHECK_FOR_INTERRUPTS();
		if (holder == NULL)
			continue;			/* it has just been given back */
		if (dwf_texts_equal(holder, workflow_id))
			return;
		if (!ask_released(holder, token))
			ereport(ERROR,
					(errcode(DWF_ERRCODE_TOKEN_IN_USE),
					 errmsg("token \"%s\" is in use",
							text_to_cstring(token))));
		dwf_store_move_token(token, workflow_id);
		return;
	}
}

/*
 * The tokens of a workflow's hooks, released ones too, from its node; none if
 * the current user may not act on it
 */
int
dwf_token_home_read(text *workflow_id, Datum **tokens)
{
	Datum		argument = PointerGetDatum(workflow_id);
	Datum		array;

	if (dwf_anchor_is_here(dwf_anchor_hash(workflow_id)))
	{
		array = dwf_store_named_tokens(workflow_id, GetUserId());
		if (array == (Datum) 0)
			return 0;
	}
	else
		array = dwf_forward_array("named_tokens", workflow_id, &argument, 1);
	return dwf_arrays_read_texts(array, tokens, NULL);
}

/*
 * Claim the tokens that a workflow is going to have again, or raise WF005;
 * none if the current user may not act on it, which the call itself says
 */
void
dwf_token_home_claim_all(text *workflow_id)
{
	Datum	   *tokens;
	int			count = dwf_token_home_read(workflow_id, &tokens);
	int32		start;

	for (int i = 0; i < count; i++)
		if (!is_made_up(DatumGetTextPP(tokens[i]), &start))
			dwf_token_home_claim(DatumGetTextPP(tokens[i]), workflow_id);
}

/* The hook of a token was disposed of in this transaction: the name is free */
void
dwf_token_home_free(text *token)
{
	int32		start;

	if (is_made_up(token, &start))
		return;
	dwf_forward_note_write();
	dwf_store_free_token(token);
}

/*
 * These workflows were removed in this transaction, and their hooks had these
 * tokens: the names are free
 */
void
dwf_token_home_free_all(Datum *tokens, int count, Datum workflow_ids)
{
	int			nnamed = 0;
	int32		start;

	for (int i = 0; i < count; i++)
		if (!is_made_up(DatumGetTextPP(tokens[i]), &start))
			tokens[nnamed++] = tokens[i];
	if (nnamed == 0)
		return;
	dwf_forward_note_write();
	dwf_store_free_tokens(dwf_arrays_of_text(tokens, nnamed), workflow_ids);
}

/*
 * durable_wf.named_tokens(workflow_id): of the hooks of a workflow of
 * this node, released ones too
 */
Datum
dwf_named_tokens(PG_FUNCTION_ARGS)
{
	Datum		tokens = dwf_store_named_tokens(PG_GETARG_TEXT_PP(0),
												GetUserId());

	if (tokens == (Datum) 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));
	PG_RETURN_DATUM(tokens);
}

/*
 * durable_wf.has_released(workflow_id, token): has the workflow, of
 * this node, ended and released its hook of this token?
 */
Datum
dwf_has_released(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(dwf_store_has_released(PG_GETARG_TEXT_PP(0),
										  PG_GETARG_TEXT_PP(1)));
}
