/*-------------------------------------------------------------------------
 *
 * presence.c
 *	  In which databases a worker may be.
 *
 * Creating or dropping the extension, creating, dropping or altering a
 * database decides about it; the launcher is asked to look when that
 * transaction has ended, whichever way.  A statement that needs a database
 * without sessions in it holds it until then: the worker is told to leave,
 * and the launcher starts none.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/presence.h"

#include "miscadmin.h"
#include "storage/ipc.h"

#include "shared/shmem.h"
#include "shared/workers.h"

/* How long a worker may take to leave, in ms; as in CountOtherDBBackends() */
#define LEAVE_TIMEOUT	5000

/* Ask the launcher at the end of this transaction, about this database */
static bool changed = false;
static Oid	changed_database = InvalidOid;
static bool exit_callback_registered = false;

/* Tell the workers at its end that roles or their privileges have changed */
static bool roles_changed = false;

/* A change that is not to be forgotten: when two differ, look at all */
void
dwf_presence_changed(Oid database)
{
	if (changed && changed_database != database)
		changed_database = InvalidOid;
	else
		changed_database = database;
	changed = true;
}

/* Somebody may log in, or connect, who could not: tell the workers */
void
dwf_presence_roles_changed(void)
{
	roles_changed = true;
}

/* Is the launcher to be asked, and about which database? */
bool
dwf_presence_has_change(Oid *database)
{
	*database = changed ? changed_database : InvalidOid;
	return changed;
}

/* Let go what this transaction held, and have the launcher look */
void
dwf_presence_end_xact(void)
{
	DwfSlot    *slot = dwf_shmem_my_slot();

	if (slot && pg_atomic_read_u32(&slot->holds) != InvalidOid)
		pg_atomic_write_u32(&slot->holds, InvalidOid);
	if (roles_changed)
		dwf_workers_ask_all();
	roles_changed = false;
	if (!changed)
		return;
	changed = false;
	dwf_workers_request(changed_database);
}

static void
presence_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_presence_end_xact();
}

/*
 * Have our worker leave a database and keep out of it until this transaction
 * has ended.  Waits, interruptibly, until it is gone; but only as long as core
 * waits for sessions to leave: it may be held up by a lock of another session
 * in that database, which DROP DATABASE (FORCE) is about to end.
 */
void
dwf_presence_clear(Oid database)
{
	DwfSlot    *slot = dwf_shmem_my_slot();

	if (slot == NULL || !OidIsValid(database))
		return;
	if (!exit_callback_registered)
	{
		before_shmem_exit(presence_exit, (Datum) 0);
		exit_callback_registered = true;
	}
	pg_atomic_write_u32(&slot->holds, database);
	pg_memory_barrier();		/* a worker that starts now sees it */
	dwf_presence_changed(database);
	if (dwf_workers_tell_to_leave(database))
		dwf_workers_wait_until_left(database, LEAVE_TIMEOUT);
}

/* Does anybody want a database without our worker? */
bool
dwf_presence_is_held(Oid database)
{
	pg_memory_barrier();
	for (int i = 0; i < dwf_shared->nslots; i++)
		if (pg_atomic_read_u32(&dwf_shared->slots[i].holds) == database)
			return true;
	return false;
}
