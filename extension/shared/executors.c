/*-------------------------------------------------------------------------
 *
 * executors.c
 *	  What executors tell the worker that has started them.
 *
 * A process that has ended tells nothing: the server does not pass on how it
 * ended.  So there is a cell in shared memory for each executor.  The worker
 * takes it before it starts the executor and frees it after the executor has
 * ended; the executor notes in it how far it has come.  A worker that ends
 * frees its cells, whatever its executors may still write to them; then
 * another executor may seem to have come a little further than it has, which
 * costs no more than one start too many.
 *
 * The cells are atomic: there is no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/executors.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"

/* A bit beside those of executors.h: the cell is not free */
#define TAKEN	0x1

static pg_atomic_uint32 *cells = NULL;	/* max_worker_processes of them */

/* How much shared memory this part needs */
Size
dwf_executors_size(void)
{
	return mul_size(max_worker_processes, sizeof(pg_atomic_uint32));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_executors_init_shared(void)
{
	bool		found;

	cells = ShmemInitStruct("durable_wf executors", dwf_executors_size(),
							&found);
	for (int i = 0; !found && i < max_worker_processes; i++)
		pg_atomic_init_u32(&cells[i], 0);
}

/* Take a cell; -1 when all are taken, one for each process of the server */
int
dwf_executors_take(void)
{
	for (int i = 0; i < max_worker_processes; i++)
	{
		uint32		value = pg_atomic_read_u32(&cells[i]);

		if ((value & TAKEN) == 0 &&
			pg_atomic_compare_exchange_u32(&cells[i], &value, TAKEN))
			return i;
	}
	return -1;
}

/* Free a cell: its executor has ended, or was not started */
void
dwf_executors_free(int cell)
{
	pg_atomic_write_u32(&cells[cell], 0);
}

/* Note in this executor's cell how far it has come */
void
dwf_executors_tell(int cell, uint32 bit)
{
	if ((pg_atomic_read_u32(&cells[cell]) & bit) == 0)
		pg_atomic_fetch_or_u32(&cells[cell], bit);
}

/* How far has a cell's executor come?  Returns the bits of executors.h. */
uint32
dwf_executors_ask(int cell)
{
	return pg_atomic_read_u32(&cells[cell]);
}
