/*-------------------------------------------------------------------------
 *
 * stash.c
 *	  The notes of transactions that this session has prepared.
 *
 * Most sessions that prepare a transaction also commit it, and soon.  So its
 * notes are kept at PREPARE TRANSACTION, under its name and xid, and tell
 * which waiters to wake when this session ends it.  The name alone is not
 * enough: another session may have ended that transaction, and prepared one of
 * the same name.
 *
 * (none)	--reserve, before PREPARE--> reserved	may raise
 * reserved	--keep, at PREPARE---------> kept		may not
 * reserved	--abandon, at the abort----> (none)
 * kept		--end: decided here--------> (none)
 * kept		--decided elsewhere, or there are too many--> (none)
 *
 * Without the notes, the end of a prepared transaction wakes every waiter of
 * the database (utility.c).
 *
 *-------------------------------------------------------------------------
 */
#include "session/stash.h"

#include "access/transam.h"
#include "access/xact.h"
#include "lib/stringinfo.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "session/wakeup.h"
#include "shared/prepared.h"

/* So many are kept, the latest; none with more notes, or longer texts */
#define STASHES_MAX		32
#define NOTES_MAX		1024
#define TEXTS_MAX		65536

typedef struct Stash
{
	TransactionId xid;			/* invalid: free, or only reserved */
	char		gid[GIDSIZE];
	DwfNotes	notes;
} Stash;

/* STASHES_MAX of them, in TopMemoryContext, from the first PREPARE on */
static Stash *stashes = NULL;
static int	next_stash = 0;		/* the one that was used the longest ago */
static Stash *reserved = NULL;

/* Free what a stash has.  Cannot fail. */
static void
empty_stash(Stash *stash)
{
	if (stash->notes.notes)
		pfree(stash->notes.notes);
	if (stash->notes.texts)
	{
		pfree(stash->notes.texts->data);
		pfree(stash->notes.texts);
	}
	memset(stash, 0, sizeof(Stash));
}

/*
 * The present transaction, which has notes, is about to be prepared: reserve a
 * stash for it.  May raise out of memory.
 */
void
dwf_stash_reserve(void)
{
	if (stashes == NULL)
		stashes = MemoryContextAllocZero(TopMemoryContext,
										 STASHES_MAX * sizeof(Stash));
	reserved = &stashes[next_stash];
	next_stash = (next_stash + 1) % STASHES_MAX;
	empty_stash(reserved);
	strlcpy(reserved->gid, dwf_prepared_announced(), GIDSIZE);
}

/*
 * The transaction was prepared: move its notes to the reserved stash, unless
 * they are too many.  To be called before dwf_prepared_settle(), while its xid
 * is known.  Cannot fail.
 */
void
dwf_stash_keep(void)
{
	TransactionId xid = dwf_prepared_remembered();

	if (reserved && TransactionIdIsValid(xid))
	{
		dwf_wakeup_swap(&reserved->notes);
		reserved->xid = xid;
		if (reserved->notes.count > NOTES_MAX ||
			(reserved->notes.texts && reserved->notes.texts->len > TEXTS_MAX))
			empty_stash(reserved);
	}
	reserved = NULL;
}

/* The transaction was not prepared: free the reserved stash.  Cannot fail. */
void
dwf_stash_abandon(void)
{
	if (reserved)
		empty_stash(reserved);
	reserved = NULL;
}

/*
 * The xid of the transaction of that name that this session has prepared and
 * that has not ended; else an invalid one.  Frees the stashes of that name
 * whose transactions other sessions have ended.
 */
TransactionId
dwf_stash_find(const char *gid)
{
	TransactionId found = InvalidTransactionId;

	for (int i = 0; stashes && i < STASHES_MAX; i++)
	{
		if (!TransactionIdIsValid(stashes[i].xid) ||
			strcmp(stashes[i].gid, gid) != 0)
			continue;
		if (TransactionIdIsInProgress(stashes[i].xid))
			found = stashes[i].xid;
		else
			empty_stash(&stashes[i]);
	}
	return found;
}

/*
 * This session has committed or rolled back a transaction that it had
 * prepared: wake as the end of that transaction would have.  Cannot fail.
 */
void
dwf_stash_end(TransactionId xid, bool commit)
{
	for (int i = 0; i < STASHES_MAX; i++)
	{
		Stash	   *stash = &stashes[i];

		if (stash->xid != xid)
			continue;
		dwf_wakeup_swap(&stash->notes);
		dwf_wakeup_end_xact(commit ? XACT_EVENT_COMMIT : XACT_EVENT_ABORT);
		dwf_wakeup_swap(&stash->notes);
		empty_stash(stash);
	}
}
