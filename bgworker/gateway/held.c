/*-------------------------------------------------------------------------
 *
 * held.c
 *	  The held requests by their ids.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/held.h"

#include "utils/hsearch.h"

/* A held request */
typedef struct Held
{
	int64		request_id;
	DwfConn    *first;			/* clients with one idempotency key share it */
} Held;

/* The held requests, by their ids */
static HTAB *held = NULL;

/* Prepare for held requests */
void
dwf_held_start(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(int64);
	control.entrysize = sizeof(Held);
	held = hash_create("durable_wf held requests", 256, &control,
					   HASH_ELEM | HASH_BLOBS);
}

/* Add a connection whose request is held; raises when out of memory */
void
dwf_held_add(DwfConn *conn, int64 request_id)
{
	Held	   *entry;
	bool		found;

	entry = hash_search(held, &request_id, HASH_ENTER, &found);
	conn->next_held = found ? entry->first : NULL;
	entry->first = conn;
	conn->request_id = request_id;
}

/* Forget a connection, if its request is held */
void
dwf_held_forget(DwfConn *conn)
{
	Held	   *entry;
	DwfConn   **link;

	if (conn->request_id == 0)
		return;
	entry = hash_search(held, &conn->request_id, HASH_FIND, NULL);
	for (link = &entry->first; *link != conn; link = &(*link)->next_held)
		;
	*link = conn->next_held;
	if (entry->first == NULL)
		(void) hash_search(held, &conn->request_id, HASH_REMOVE, NULL);
	conn->request_id = 0;
}

/* A connection of a held request; NULL if the request is not held */
DwfConn *
dwf_held_find(int64 request_id)
{
	Held	   *entry = hash_search(held, &request_id, HASH_FIND, NULL);

	return entry ? entry->first : NULL;
}
