/*-------------------------------------------------------------------------
 *
 * interest.c
 *	  What this session listens for.
 *
 * An interest begins at once, which does no harm, and ends when the session's
 * LISTEN does: at the abort of the (sub)transaction that began it, at the
 * commit of one that has unlistened, at exit.  The session keeps the list of
 * its interests for that and, as core does, a stack of what the transaction
 * wants to change at its commit; the last change of an interest counts.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/interest.h"

#include "commands/async.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

/* The stack of changes is kept for the next transaction up to this size */
#define CHANGES_TO_KEEP	1024

/* An interest of this session */
typedef struct MyListen
{
	DwfListen	listen;
	SubTransactionId added;		/* by this, which may abort; or invalid */
	bool		ends;			/* used while a transaction commits */
} MyListen;

/* What this transaction's commit does to an interest */
typedef struct Change
{
	MyListen   *mine;			/* NULL: to all of them */
	SubTransactionId subid;
	bool		ends;
} Change;

static List *my_listens = NIL;	/* of MyListen, in TopMemoryContext */
static bool exit_callback_registered = false;
static bool is_counted = false; /* this session, among those that listen */

/* The stack of changes, in TopMemoryContext */
static Change *changes = NULL;
static int	nchanges = 0;
static int	max_changes = 0;

/* Count this session in or out of those that listen.  Cannot fail. */
static void
count_session(void)
{
	bool		listens_now = my_listens != NIL;

	if (listens_now != is_counted)
		dwf_listener_count_session(listens_now);
	is_counted = listens_now;
}

/* This session's interest with a key, or NULL */
static MyListen *
find_mine(const DwfListenKey *key)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (memcmp(&mine->listen.key, key, sizeof(*key)) == 0)
			return mine;
	}
	return NULL;
}

/* All interests end with the session */
static void
interest_exit(int code, Datum arg)
{
	ListCell   *cell;

	(void) code;
	(void) arg;
	foreach(cell, my_listens)
	{
		dwf_listener_leave(&((MyListen *) lfirst(cell))->listen);
	}
	my_listens = NIL;
	nchanges = 0;
	count_session();
}

/* Make room for one more change; may raise out of memory, before any effect */
static void
reserve_change(void)
{
	if (nchanges < max_changes)
		return;
	if (changes == NULL)
	{
		changes = MemoryContextAlloc(TopMemoryContext, 16 * sizeof(Change));
		max_changes = 16;
	}
	else
	{
		changes = repalloc_huge(changes,
								(Size) max_changes * 2 * sizeof(Change));
		max_changes *= 2;
	}
}

/* If this transaction commits, an interest (NULL: each) ends, or goes on */
static void
push_change(MyListen *mine, bool ends)
{
	reserve_change();
	changes[nchanges].mine = mine;
	changes[nchanges].subid = GetCurrentSubTransactionId();
	changes[nchanges].ends = ends;
	nchanges++;
}

/* Forget all changes; the stack stays unless it has grown large */
static void
forget_changes(void)
{
	nchanges = 0;
	if (max_changes > CHANGES_TO_KEEP)
	{
		pfree(changes);
		changes = NULL;
		max_changes = 0;
	}
}

/*
 * This session listens for a key, whether or not it did before.  The caller
 * LISTENs to the channel.  Raises 53400 when there is no room.
 */
void
dwf_interest_add(const DwfListenKey *key)
{
	MyListen   *mine = find_mine(key);
	MemoryContext old;
	int			keys;

	/* a listen that is there already ends no more */
	if (mine)
	{
		push_change(mine, false);
		return;
	}
	if (!exit_callback_registered)
	{
		before_shmem_exit(interest_exit, (Datum) 0);
		exit_callback_registered = true;
	}

	/* remember the listen, for the end of the transaction */
	reserve_change();
	old = MemoryContextSwitchTo(TopMemoryContext);
	mine = palloc0(sizeof(MyListen));
	mine->listen.key = *key;
	mine->added = GetCurrentSubTransactionId();
	dwf_listener_channel(key, mine->listen.channel);
	my_listens = lappend(my_listens, mine);
	MemoryContextSwitchTo(old);

	/* enter it; forget it if the role has its share */
	keys = dwf_listener_enter(&mine->listen);
	if (keys >= 0)
	{
		my_listens = list_delete_ptr(my_listens, mine);
		pfree(mine);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many workflows are listened for"),
				 errdetail("Role \"%s\" listens for %d, which is its share of the %d that all roles have: no role gets more than are left for the others.",
						   GetUserNameFromId(key->role, false), keys,
						   DWF_LISTENS_MAX),
				 errhint("Call wf_listen() without a workflow: one interest covers all that a role owns.")));
	}
	count_session();
	push_change(mine, false);
}

/*
 * If this transaction commits, this session does not listen for the key any
 * more nor, if it is a workflow's, for that workflow as any other role.
 * UNLISTENs, too.
 */
void
dwf_interest_remove(const DwfListenKey *key)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (mine->listen.key.workflow_hash != key->workflow_hash ||
			(key->workflow_hash == 0 && mine->listen.key.role != key->role))
			continue;
		Async_Unlisten(mine->listen.channel);
		push_change(mine, true);
	}
}

/* This session UNLISTENs to a channel by its name; NULL: to all channels */
void
dwf_interest_remove_channel(const char *channel)
{
	ListCell   *cell;

	if (channel == NULL && my_listens != NIL)
		push_change(NULL, true);
	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (channel && strcmp(mine->listen.channel, channel) == 0)
			push_change(mine, true);
	}
}

/* End the interests for which "ends" returns true.  Cannot fail. */
static void
end_listens(bool (*ends) (MyListen *mine, SubTransactionId subid),
			SubTransactionId subid)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (!ends(mine, subid))
			continue;
		dwf_listener_leave(&mine->listen);
		my_listens = foreach_delete_current(my_listens, cell);
		pfree(mine);
	}
	count_session();
}

/* At commit: did the last change of this interest end it? */
static bool
ends_at_commit(MyListen *mine, SubTransactionId subid)
{
	(void) subid;
	mine->added = InvalidSubTransactionId;
	return mine->ends;
}

/* At abort: did this subtransaction, or one in it, begin this interest? */
static bool
ends_at_abort(MyListen *mine, SubTransactionId subid)
{
	return mine->added >= subid;
}

/* The transaction has ended, and some interests with it.  Cannot fail. */
void
dwf_interest_end_xact(bool commit)
{
	if (nchanges == 0)
		return;

	/* let the changes take effect, or undo what the transaction has entered */
	if (commit)
	{
		ListCell   *cell;

		for (int i = 0; i < nchanges; i++)
		{
			if (changes[i].mine)
				changes[i].mine->ends = changes[i].ends;
			else
				foreach(cell, my_listens)
			{
				((MyListen *) lfirst(cell))->ends = true;
			}
		}
		end_listens(ends_at_commit, InvalidSubTransactionId);
	}
	else
		end_listens(ends_at_abort, TopSubTransactionId);
	forget_changes();
}

/* A subtransaction has aborted, with what it and its children changed */
void
dwf_interest_end_subxact(SubTransactionId subid)
{
	int			bottom = nchanges;

	while (bottom > 0 && changes[bottom - 1].subid >= subid)
		bottom--;
	if (bottom == nchanges)
		return;
	nchanges = bottom;
	end_listens(ends_at_abort, subid);
}
