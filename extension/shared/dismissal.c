/*-------------------------------------------------------------------------
 *
 * dismissal.c
 *	  No session waits in a database while its extension is altered or dropped.
 *
 * A session that waits may hold locks on our tables for as long as it waits.
 * So the session that alters or drops the extension names the database in its
 * slot, and then has each waiter there leave with an error.  A waiter looks at
 * both after it has registered: either the waiter sees the name, or the
 * session finds the waiter in the registry.
 *
 * All that is shared here is atomic: there is no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/dismissal.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "shared/slot.h"
#include "shared/waiter.h"

typedef struct Dismissal
{
	pg_atomic_uint32 ndatabases;	/* how many slots name a database */
	pg_atomic_uint32 databases[FLEXIBLE_ARRAY_MEMBER];	/* by slot, or none */
} Dismissal;

static Dismissal *dismissal = NULL;
static bool exit_callback_registered = false;

/* How much shared memory this part needs */
Size
dwf_dismissal_size(void)
{
	return add_size(offsetof(Dismissal, databases),
					mul_size(dwf_slot_count(), sizeof(pg_atomic_uint32)));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_dismissal_init_shared(void)
{
	bool		found;

	dismissal = ShmemInitStruct("durable_wf dismissal", dwf_dismissal_size(),
								&found);
	if (found)
		return;
	pg_atomic_init_u32(&dismissal->ndatabases, 0);
	for (int i = 0; i < dwf_slot_count(); i++)
		pg_atomic_init_u32(&dismissal->databases[i], InvalidOid);
}

/* Allow waiting again when the process exits in between */
static void
dismissal_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_dismissal_end();
}

/*
 * Have each waiter in this database leave with an error, and let no session
 * begin to wait there until dwf_dismissal_end() or the end of this process
 */
void
dwf_dismissal_begin(void)
{
	int			slot = dwf_slot_mine();

	if (!exit_callback_registered)
	{
		before_shmem_exit(dismissal_exit, (Datum) 0);
		exit_callback_registered = true;
	}
	if (slot != DWF_NO_SLOT &&
		pg_atomic_exchange_u32(&dismissal->databases[slot], MyDatabaseId) ==
		InvalidOid)
		pg_atomic_fetch_add_u32(&dismissal->ndatabases, 1);

	/* it passes a barrier: later waiters see the name, it finds the others */
	dwf_waiter_wake_database(true);
}

/* Allow waiting again, if this session has forbidden it.  Cannot fail. */
void
dwf_dismissal_end(void)
{
	int			slot = dwf_slot_mine();

	if (slot != DWF_NO_SLOT &&
		pg_atomic_exchange_u32(&dismissal->databases[slot], InvalidOid) !=
		InvalidOid)
		pg_atomic_fetch_sub_u32(&dismissal->ndatabases, 1);
}

/* Does any session forbid waiting in this database? */
static bool
is_forbidden(void)
{
	if (pg_atomic_read_u32(&dismissal->ndatabases) == 0)
		return false;
	for (int i = 0; i < dwf_slot_count(); i++)
		if (pg_atomic_read_u32(&dismissal->databases[i]) == MyDatabaseId)
			return true;
	return false;
}

/* Raise 55006 if this session, which is registered, must not wait */
void
dwf_dismissal_check(void)
{
	if (dwf_waiter_is_dismissed() || is_forbidden())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("extension \"durable_wf\" is being altered or dropped"),
				 errhint("Wait again when that is done.")));
}
