/*-------------------------------------------------------------------------
 *
 * held.c
 *	  The held requests by their ids, and whether their clients are there.
 *
 * libmicrohttpd does not look at a suspended connection.  So the sockets of
 * held requests are in an epoll set of ours, whose descriptor the gateway
 * watches.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/held.h"

#include <sys/epoll.h>

#include "utils/hsearch.h"

/* A held request */
typedef struct Held
{
	int64		request_id;
	DwfConn    *first;			/* clients with one idempotency key share it */
} Held;

/* The held requests, by their ids */
static HTAB *held = NULL;

/* An epoll set of their sockets: which clients have gone away */
static int	gone_fd = -1;

/* Prepare for held requests; raises, also FATAL, when that is not possible */
void
dwf_held_start(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(int64);
	control.entrysize = sizeof(Held);
	held = hash_create("durable_wf held requests", 256, &control,
					   HASH_ELEM | HASH_BLOBS);
	gone_fd = epoll_create1(EPOLL_CLOEXEC);
	if (gone_fd < 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not watch connections: %m")));
}

/* Add a connection whose request is held; raises when out of memory */
void
dwf_held_add(DwfConn *conn, int64 request_id)
{
	struct epoll_event event = {.events = EPOLLRDHUP,.data.ptr = conn};
	Held	   *entry;
	bool		found;

	entry = hash_search(held, &request_id, HASH_ENTER, &found);
	conn->next_held = found ? entry->first : NULL;
	entry->first = conn;
	conn->request_id = request_id;
	(void) epoll_ctl(gone_fd, EPOLL_CTL_ADD, conn->fd, &event);
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
	(void) epoll_ctl(gone_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	conn->request_id = 0;
}

/* A connection of a held request; NULL if the request is not held */
DwfConn *
dwf_held_find(int64 request_id)
{
	Held	   *entry = hash_search(held, &request_id, HASH_FIND, NULL);

	return entry ? entry->first : NULL;
}

/* The descriptor that is readable when a held client has gone away */
int
dwf_held_gone_fd(void)
{
	return gone_fd;
}

/* List held connections whose clients have gone away; returns their number */
int
dwf_held_gone(DwfConn **gone, int max)
{
	struct epoll_event events[64];
	int			count = epoll_wait(gone_fd, events,
								   Min(max, (int) lengthof(events)), 0);

	for (int i = 0; i < count; i++)
		gone[i] = events[i].data.ptr;
	return Max(count, 0);
}
