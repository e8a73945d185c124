/*-------------------------------------------------------------------------
 *
 * returned.c
 *	  Which mailbox items receivers have given back, for the worker.
 *
 * A receive that is rolled back leaves no trace in the tables, and an abort
 * cannot write one.  So, while durable_wf.max_deliveries is set, a session
 * whose transaction or savepoint aborts puts here what that had taken, and
 * sets the latch of its database's worker, which counts it (delivery.c).
 *
 * Each worker has a buffer of bytes, filled from its beginning and emptied as
 * a whole.  What finds no room in it, or no worker, is not counted.
 *
 * Locks: one LWLock guards all buffers.  No other lock is taken under it; a
 * process that holds it may set the latch of a worker.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/returned.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "shared/preloaded.h"
#include "shared/slot.h"

/* What was given back in the database of one worker; guarded by the lock */
typedef struct Returns
{
	Oid			database;		/* or invalid: no worker has this buffer */
	int			slot;			/* the worker's */
	uint32		used;
	char		bytes[DWF_RETURNED_BYTES];
} Returns;

static Returns *buffers = NULL; /* max_worker_processes of them */
static LWLock *lock = NULL;

/* The buffer of this process, if it is a worker */
static Returns *my_buffer = NULL;

/* How much shared memory this part needs */
Size
dwf_returned_size(void)
{
	return mul_size(max_worker_processes, sizeof(Returns));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_returned_init_shared(LWLockPadded *locks)
{
	bool		found;

	lock = &locks[0].lock;
	buffers = ShmemInitStruct("durable_wf returned", dwf_returned_size(),
							  &found);
	for (int i = 0; !found && i < max_worker_processes; i++)
	{
		buffers[i].database = InvalidOid;
		buffers[i].slot = DWF_NO_SLOT;
		buffers[i].used = 0;
	}
}

/* The buffer of a database, or NULL; the caller holds the lock */
static Returns *
find_buffer(Oid database)
{
	for (int i = 0; i < max_worker_processes; i++)
		if (buffers[i].database == database)
			return &buffers[i];
	return NULL;
}

/* Read the head of an entry; returns the end of the entry */
const char *
dwf_returned_read(const char *bytes, DwfReturned *entry)
{
	memcpy(entry, bytes, sizeof(DwfReturned));
	return bytes + sizeof(DwfReturned) + entry->workflow_length +
		entry->key_length + entry->count * sizeof(int64);
}

/*
 * Append an entry to a buffer, with as many of its ids as there is room for;
 * the caller holds the lock
 */
static void
append(Returns *buffer, const char *bytes)
{
	DwfReturned entry;
	uint32		head;
	uint32		room = DWF_RETURNED_BYTES - buffer->used;
	char	   *to = buffer->bytes + buffer->used;

	(void) dwf_returned_read(bytes, &entry);
	head = sizeof(DwfReturned) + entry.workflow_length + entry.key_length;
	if (room < head + sizeof(int64))
		return;
	entry.count = Min(entry.count, (room - head) / sizeof(int64));
	memcpy(to, bytes, head + entry.count * sizeof(int64));
	memcpy(to, &entry, sizeof(DwfReturned));
	buffer->used += head + entry.count * sizeof(int64);
}

/*
 * Tell this database's worker what was given back: whole entries, so many
 * bytes.  Cannot fail.
 */
void
dwf_returned_put(const char *bytes, uint32 length)
{
	const char *end = bytes + length;
	Returns    *buffer;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	buffer = find_buffer(MyDatabaseId);
	if (buffer)
	{
		bool		was_empty = buffer->used == 0;

		while (bytes < end)
		{
			DwfReturned entry;

			append(buffer, bytes);
			bytes = dwf_returned_read(bytes, &entry);
		}
		if (was_empty && buffer->used > 0)
			dwf_slot_set_latch(buffer->slot);
	}
	LWLockRelease(lock);
}

/* ----- for a worker ----- */

/* Take a buffer for this process, which is its database's only worker */
void
dwf_returned_begin(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_buffer = find_buffer(InvalidOid);
	Assert(my_buffer != NULL);	/* there is one for each process */
	my_buffer->database = MyDatabaseId;
	my_buffer->slot = dwf_slot_mine();
	my_buffer->used = 0;
	LWLockRelease(lock);
}

/* Give the buffer back, if this process has one.  Cannot fail. */
void
dwf_returned_end(void)
{
	if (my_buffer == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_buffer->database = InvalidOid;
	my_buffer->slot = DWF_NO_SLOT;
	LWLockRelease(lock);
	my_buffer = NULL;
}

/* Is there anything in this worker's buffer? */
bool
dwf_returned_are_there(void)
{
	bool		any;

	LWLockAcquire(lock, LW_SHARED);
	any = my_buffer->used > 0;
	LWLockRelease(lock);
	return any;
}

/*
 * Empty this worker's buffer into a copy of DWF_RETURNED_BYTES; returns how
 * many of them are used
 */
uint32
dwf_returned_take(char *copy)
{
	uint32		length;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	length = my_buffer->used;
	memcpy(copy, my_buffer->bytes, length);
	my_buffer->used = 0;
	LWLockRelease(lock);
	return length;
}
