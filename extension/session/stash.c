/*-------------------------------------------------------------------------
 *
 * stash.c
 *	  The notes of what this session has prepared, until it decides.
 *
 * Whoever prepares a transaction mostly commits it, too, in the same session
 * and soon.  Then its notes say whom it concerns, and nobody else is woken.
 * They are put by at PREPARE TRANSACTION, under its name and xid.  The name
 * alone is not enough: another session may have ended that transaction, and
 * prepared one of the same name.
 *
 * (none)	--reserve, before PREPARE--> reserved	may raise
 * reserved	--keep, at PREPARE---------> kept		may not
 * reserved	--abandon, at the abort----> (none)
 * kept		--end: decided here--------> (none)
 * kept		--decided elsewhere, or there are too many--> (none)
 *
 * What is not kept is told by waking everybody, as for other sessions.
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

/* At most so many, the latest; and none with more notes or longer texts */
#define STASHES_MAX		32
#define NOTES_MAX		1024
#define TEXTS_MAX		65536

typedef struct Stash
{
	TransactionId xid;			/* invalid: free, or only reserved */
	char		gid[GIDSIZE];
	DwfNotes	notes;
} Stash;

/* STASHES_MAX of them, in TopMemoryContext, once there was a first */
static Stash *stashes = NULL;
static int	next_stash = 0;		/* the one that was used the longest ago */
static Stash *reserved = NULL;

/* Let go of what a stash has.  Cannot fail. */
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

/* The present transaction, which has notes, is about to be prepared */
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
 * It was: put its notes by, unless they are many.  To be called while its name
 * is still announced.
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

/* It was not.  Cannot fail. */
void
dwf_stash_abandon(void)
{
	if (reserved)
		empty_stash(reserved);
	reserved = NULL;
}

/*
 * The transaction of that name that was prepared here and has not ended, as its
 * xid; or an invalid one.  Forgets those that others have ended.
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
 * It was committed or rolled back by this session: wake as the end of the
 * transaction would have.  Cannot fail.
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
