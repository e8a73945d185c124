/*-------------------------------------------------------------------------
 *
 * waiter_list.c
 *	  Who waits for what: copies of what is in the registry.
 *
 * A copy is made under the partition lock of its link.  To copy may run out of
 * memory, and the abort unlocks.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/waiter_registry.h"

#include "utils/builtins.h"

/* Copy one link out; the caller holds its partition lock */
static DwfWaiterInfo *
copy_link(const DwfLink *link, DwfWaiter *waiter)
{
	DwfWaiterInfo *info = palloc(sizeof(DwfWaiterInfo));

	info->slot = link->slot;
	info->pid = waiter->pid;
	info->role = waiter->role;
	info->wait_id = (int64) pg_atomic_read_u64(&waiter->wait_id);
	info->since = waiter->since;
	info->deadline = waiter->deadline;
	info->door = link->door;
	info->workflow_id = cstring_to_text_with_len(waiter->workflow_id,
												 waiter->workflow_length);
	info->key = cstring_to_text_with_len(waiter->keys + link->key_offset,
										 link->key_length);
	return info;
}

/* Add a copy of a link to a list, if users are to see it */
static void
list_link(DwfLink *link, DwfWaiter *waiter, void *list)
{
	if (link->shown)
		*(List **) list = lappend(*(List **) list, copy_link(link, waiter));
}

/* Everything that sessions of this database wait for, as DwfWaiterInfo */
List *
dwf_waiter_list(void)
{
	List	   *found = NIL;

	dwf_waiter_visit_database(list_link, &found);
	return found;
}

/* Add a copy of a link to a list, unless its wait has just ended */
static void
list_broadcast(DwfLink *link, DwfWaiter *waiter, void *list)
{
	DwfWaiterInfo *info = copy_link(link, waiter);

	if (info->wait_id != 0)
		*(List **) list = lappend(*(List **) list, info);
}

/* Sessions at an address whose wait a broadcast may answer, longest first */
List *
dwf_waiter_list_at(const DwfAddress *address)
{
	List	   *found = NIL;

	dwf_waiter_visit_address(dwf_address_hash(address), list_broadcast,
							 &found);
	return found;
}

/* Does this wait, which a broadcast can answer, still go on? */
bool
dwf_waiter_still_waits(const DwfWaiterInfo *info)
{
	DwfWaiter  *waiter = dwf_waiter_of_slot(info->slot);

	return info->wait_id != 0 &&
		pg_atomic_read_u64(&waiter->wait_id) == (uint64) info->wait_id;
}
