/*-------------------------------------------------------------------------
 *
 * family.c
 *	  Workflows that workflows have started, and how they are cancelled with
 *	  them.
 *
 * A start in a session that executes a workflow, its parent, notes that in the
 * new row.  A cancel of a workflow with its children reaches all of them:
 *
 *	F1	A transaction that has started children locks the row of their parent
 *		FOR SHARE just before it commits, and fails if another transaction has
 *		ended the parent.  So a child whose start commits was started by a
 *		parent that had not ended.  The lock comes last: until then a cancel
 *		of the parent does not wait for that transaction.
 *	F2	The children of a workflow are looked for with a snapshot that is
 *		younger than its end, or the lock on its row that is this end's.  By F1
 *		it shows all of them.
 *
 * A transaction that starts a child and ends another one, and a cancel of the
 * whole family, can wait for one another: then one of them gets 40P01.
 *
 * On a cluster children may be on other nodes (far_family.c).
 *
 * The rows of a family form no tree for sure: a workflow can be removed, and
 * its id be started again by one of its descendants.  So those that were met
 * are remembered.
 *
 *-------------------------------------------------------------------------
 */
#include "workflow/family.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/owner.h"
#include "base/texts.h"
#include "cluster/received.h"
#include "session/identity.h"
#include "shared/claim.h"
#include "store/store.h"

/* How many parents are looked up, and children cancelled, by one statement */
#define PARENTS_BATCH	256
#define CHILDREN_BATCH	1000

/* ----- a parent lives until its start commits (F1) ----- */

/* The parent of what this transaction has started, or NULL */
static text *noted_parent = NULL;

/*
 * The workflow that this session executes, as that of a start, or NULL; of a
 * start that another node has handed over, that of the session there
 */
text *
dwf_family_parent(void)
{
	text	   *parent;

	if (dwf_received_is_active())
		return dwf_received_parent();
	if (!dwf_claim_executes(&parent) || !dwf_store_knows_families())
		return NULL;
	return parent;
}

/* This transaction has started a child of that workflow */
void
dwf_family_note_start(text *parent)
{
	if (dwf_texts_equal(noted_parent, parent))
		return;
	noted_parent = (text *) MemoryContextAlloc(TopTransactionContext,
											   VARSIZE_ANY(parent));
	memcpy(noted_parent, parent, VARSIZE_ANY(parent));
}

/*
 * The transaction is about to commit: raise WF002, WF003 or WF001 if the
 * parent of what it has started has ended meanwhile.  Blocks while another
 * transaction is ending it.
 */
void
dwf_family_check_commit(void)
{
	text	   *parent = noted_parent;
	bool		was_read_only = XactReadOnly;
	DwfLife		life;

	if (parent == NULL)
		return;
	noted_parent = NULL;

	/* it may have become READ ONLY after the start */
	XactReadOnly = false;
	if (!dwf_store_lock_parent(parent))
	{
		if (!dwf_store_life(parent, &life))
			ereport(ERROR,
					(errcode(DWF_ERRCODE_NO_WORKFLOW),
					 errmsg("workflow \"%s\" does not exist",
							text_to_cstring(parent))));
		dwf_identity_report_end(parent, &life);
	}
	XactReadOnly = was_read_only;
}

/* The transaction has ended, and with it what was noted.  Cannot fail. */
void
dwf_family_end_xact(void)
{
	noted_parent = NULL;
}

/* ----- a cancel of all (F2) ----- */

/* The key of a family's member: its id, padded with zeros */
typedef struct MemberKey
{
	int			length;
	char		id[DWF_WORKFLOW_ID_MAX];
}			MemberKey;

/* Add a workflow; false if it was met before */
bool
dwf_family_add(DwfFamily * family, text *workflow_id)
{
	MemberKey	key;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.length = VARSIZE_ANY_EXHDR(workflow_id);
	memcpy(key.id, VARDATA_ANY(workflow_id), key.length);
	(void) hash_search(family->met, &key, HASH_ENTER, &found);
	if (found)
		return false;
	if (family->count == family->size)
	{
		family->size *= 2;
		family->ids = repalloc_huge(family->ids,
									sizeof(Datum) * family->size);
	}
	family->ids[family->count++] = PointerGetDatum(workflow_id);
	return true;
}

/* A family that begins with these */
DwfFamily
dwf_family_make(Datum *ids, int count)
{
	DwfFamily	family = {0};
	HASHCTL		control = {0};

	control.keysize = control.entrysize = sizeof(MemberKey);
	control.hcxt = CurrentMemoryContext;
	family.met = hash_create("durable_wf family", 256, &control,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	family.size = PARENTS_BATCH;
	family.ids = palloc(sizeof(Datum) * family.size);
	for (int i = 0; i < count; i++)
		(void) dwf_family_add(&family, DatumGetTextPP(ids[i]));
	return family;
}

/* A text[] of ids */
static Datum
id_array(Datum *ids, int count)
{
	return PointerGetDatum(construct_array(ids, count, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* Cancel a batch; raises 42501 if one of them is not the current user's */
static void
cancel_batch(Datum *ids, int count, text *error)
{
	Datum		array;
	text	   *left;

	if (count == 0)
		return;
	array = id_array(ids, count);
	while ((left = dwf_store_cancel_many(array, GetUserId(),
										 PointerGetDatum(error))) != NULL)
	{
		DwfLife		life;

		CHECK_FOR_INTERRUPTS();
		if (dwf_store_life(left, &life))
			dwf_identity_check_owner(left, &life, GetUserId());
	}
	for (int i = 0; i < count; i++)
		if (dwf_claim_executes_that(DatumGetTextPP(ids[i])))
			dwf_claim_end_at_commit();
	pfree(DatumGetPointer(array));
}

/* Cancel a page of children that are met for the first time */
static void
cancel_page(DwfFamily * family, List *page, text *error)
{
	Datum	   *live = palloc(sizeof(Datum) * list_length(page));
	int			nlive = 0;
	ListCell   *cell;

	foreach(cell, page)
	{
		DwfChild   *child = lfirst(cell);

		/* nobody can tell here whose child it is */
		if (family->is_far &&
			!dwf_owner_allows(child->owner, GetUserId()))
		{
			family->left += !child->has_ended;
			continue;
		}
		if (!dwf_family_add(family, child->workflow_id) || child->has_ended)
			continue;
		if (!dwf_owner_allows(child->owner, GetUserId()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for workflow \"%s\"",
							text_to_cstring(child->workflow_id)),
					 errdetail("It is one of those that are to be cancelled, and role \"%s\" does not have the privileges of its owner.",
							   GetUserNameFromId(GetUserId(), false))));
		live[nlive++] = PointerGetDatum(child->workflow_id);
	}
	cancel_batch(live, nlive, error);
	pfree(live);
}

/* Cancel the children of some members, and add them to the family */
static void
cancel_children(DwfFamily * family, int first, int count, text *error)
{
	text	   *after = cstring_to_text("");

	for (;;)
	{
		Datum		parents = id_array(family->ids + first, count);
		List	   *page = dwf_store_children(parents, after, CHILDREN_BATCH);
		DwfChild   *last;

		CHECK_FOR_INTERRUPTS();
		pfree(DatumGetPointer(parents));
		if (page == NIL)
			return;
		cancel_page(family, page, error);
		if (list_length(page) < CHILDREN_BATCH)
			return;

		/* the next page goes on where this one has ended */
		last = llast(page);
		first += last->parent_no - 1;
		count -= last->parent_no - 1;
		after = last->workflow_id;
		list_free_deep(page);
	}
}

/* Cancel the children of all members, which become members */
static void
cancel_all(DwfFamily * family, text *error)
{
	for (int done = 0; done < family->count;)
	{
		int			count = Min(family->count - done, PARENTS_BATCH);

		cancel_children(family, done, count, error);
		done += count;
	}
}

/*
 * Cancel what a workflow has started, and what that has started: all of it, or
 * it raises.  This transaction, or a committed one, has ended the workflow
 * itself.  Blocks while another transaction is ending one of them.
 */
void
dwf_family_cancel(text *workflow_id, text *error)
{
	Datum		id = PointerGetDatum(workflow_id);
	DwfFamily	family = dwf_family_make(&id, 1);

	cancel_all(&family, error);
	hash_destroy(family.met);
}

/*
 * The same on a node of a cluster for what several workflows of any nodes have
 * started.  Children that are not the current user's are not cancelled: "left"
 * takes how many live.  Returns the others that were met, of which there are
 * "count", ended or not.
 */
Datum *
dwf_family_cancel_here(Datum *parents, int *count, text *error, int *left)
{
	DwfFamily	family = dwf_family_make(parents, *count);
	int			nparents = family.count;

	family.is_far = true;
	cancel_all(&family, error);
	hash_destroy(family.met);
	*left = family.left;
	*count = family.count - nparents;
	return family.ids + nparents;
}
