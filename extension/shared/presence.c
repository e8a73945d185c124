/*-------------------------------------------------------------------------
 *
 * presence.c
 *	  In which databases a worker may be.
 *
 * Creating or dropping the extension, creating, dropping or altering a
 * database decides about it; the launcher is asked to look when that
 * transaction has ended, by commit or abort.  A statement that needs a
 * database without sessions in it holds that database until its transaction
 * ends: the worker is told to leave, and the launcher starts none.
 *
 * What is shared is atomic: for each slot, the database that it holds.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/presence.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/resowner.h"

#include "shared/slot.h"
#include "shared/workers.h"

/* How long a worker may take to leave, in ms; as in CountOtherDBBackends() */
#define LEAVE_TIMEOUT	5000

/* At the end of this transaction, ask the launcher about this database */
static bool changed = false;
static Oid	changed_database = InvalidOid;
static bool exit_callback_registered = false;

/* The database that each slot holds, or none; its process writes it */
static pg_atomic_uint32 *held = NULL;

/* At its end, tell the workers that roles or their privileges have changed */
static bool roles_changed = false;

/* How much shared memory this part needs */
Size
dwf_presence_size(void)
{
	return mul_size(dwf_slot_count(), sizeof(pg_atomic_uint32));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_presence_init_shared(void)
{
	bool		found;

	held = ShmemInitStruct("durable_wf presence", dwf_presence_size(),
						   &found);
	for (int i = 0; !found && i < dwf_slot_count(); i++)
		pg_atomic_init_u32(&held[i], InvalidOid);
}

/*
 * This transaction changes whether a database has a worker.  If it changes
 * that of two databases, the launcher is asked about all.
 */
void
dwf_presence_changed(Oid database)
{
	if (changed && changed_database != database)
		changed_database = InvalidOid;
	else
		changed_database = database;
	changed = true;
}

/*
 * Resource release callback.  At the end of the transaction, after the caches
 * of other processes were told of its changes, the workers may look at roles.
 */
static void
after_invalidation(ResourceReleasePhase phase, bool is_commit,
				   bool is_top_level, void *arg)
{
	(void) arg;
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level ||
		!roles_changed)
		return;
	roles_changed = false;
	if (is_commit)
		dwf_workers_ask_all();
}

/* A role may log in, or connect, that could not: tell the workers at commit */
void
dwf_presence_roles_changed(void)
{
	static bool registered = false;

	if (!registered)
		RegisterResourceReleaseCallback(after_invalidation, NULL);
	registered = roles_changed = true;
}

/* Is the launcher to be asked, and about which database? */
bool
dwf_presence_has_change(Oid *database)
{
	*database = changed ? changed_database : InvalidOid;
	return changed;
}

/* Release the held database, and have the launcher look.  Cannot fail. */
void
dwf_presence_end_xact(void)
{
	int			slot = dwf_slot_mine();

	if (slot != DWF_NO_SLOT && pg_atomic_read_u32(&held[slot]) != InvalidOid)
		pg_atomic_write_u32(&held[slot], InvalidOid);
	if (!changed)
		return;
	changed = false;
	dwf_workers_request(changed_database);
}

/* The process exits: as at the end of a transaction */
static void
presence_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_presence_end_xact();
}

/*
 * Have our processes leave a database and keep out of it until this
 * transaction has ended.  Waits, interruptibly, until they are gone; but only
 * as long as core waits for sessions to leave: a process of ours may be
 * waiting for a lock of another session in that database, which DROP DATABASE
 * (FORCE) is about to end.
 */
void
dwf_presence_clear(Oid database)
{
	int			slot = dwf_slot_mine();

	if (slot == DWF_NO_SLOT || !OidIsValid(database))
		return;
	if (!exit_callback_registered)
	{
		before_shmem_exit(presence_exit, (Datum) 0);
		exit_callback_registered = true;
	}
	pg_atomic_write_u32(&held[slot], database);
	pg_memory_barrier();		/* a worker that starts now sees it */
	dwf_presence_changed(database);
	if (dwf_workers_tell_to_leave(database))
		dwf_workers_wait_until_left(database, LEAVE_TIMEOUT);
}

/* Does a session hold a database, so that our processes must keep out? */
bool
dwf_presence_is_held(Oid database)
{
	pg_memory_barrier();
	for (int i = 0; i < dwf_slot_count(); i++)
		if (pg_atomic_read_u32(&held[i]) == database)
			return true;
	return false;
}
