/*-------------------------------------------------------------------------
 *
 * executors.c
 *	  What executors and the worker that has started them tell each other.
 *
 * There is a cell in shared memory for each executor.  The worker takes it
 * before it starts the executor and frees it after the executor has ended.
 *
 * The executor notes in it how far it has come, since the server does not tell
 * how a process has ended; and what it does now.  The worker asks it there to
 * give way to other work (room.c).  All of that is in one word, so that of two
 * changes the later one always sees the earlier one:
 *
 *	bits 0 to 15	the bits of executors.h
 *	bits 16 to 31	how many bodies were claimed
 *	bits 32 to 63	the generation: a number that each taking of a cell has
 *					for itself
 *
 * A cell is named by its generation and number.  A worker that ends frees its
 * cells while its executors still run; what such an executor writes has no
 * effect, since the generation is another one.
 *
 * The cells are atomic: there is no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/executors.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "shared/address.h"
#include "shared/saturation.h"
#include "shared/slot.h"
#include "shared/waiter.h"
#include "shared/workers.h"

/* A bit beside those of executors.h: the cell is not free */
#define TAKEN	0x1

#define ONE_CLAIM	((uint64) 1 << 16)
#define CLAIMS_MASK ((uint64) 0xFFFF << 16)

typedef struct Cell
{
	pg_atomic_uint64 state;
	pg_atomic_uint32 slot;		/* the executor's; set before CONNECTED */
	pg_atomic_uint64 next_look; /* when the worker looks for work at the
								 * latest: a TimestampTz */
}			Cell;

typedef struct Cells
{
	TimestampTz since;			/* the server has run without a crash; written
								 * once */
	pg_atomic_uint32 generation;	/* the last one that was given out */
	Cell		cells[FLEXIBLE_ARRAY_MEMBER];	/* max_worker_processes */
}			Cells;

static Cells * shared = NULL;

/* The name of this executor's cell */
static uint64 my_cell = DWF_NO_CELL;

/* How much shared memory this part needs */
Size
dwf_executors_size(void)
{
	return add_size(offsetof(Cells, cells),
					mul_size(max_worker_processes, sizeof(Cell)));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_executors_init_shared(void)
{
	bool		found;

	shared = ShmemInitStruct("durable_wf executors", dwf_executors_size(),
							 &found);
	if (found)
		return;
	shared->since = GetCurrentTimestamp();
	pg_atomic_init_u32(&shared->generation, 0);
	for (int i = 0; i < max_worker_processes; i++)
	{
		pg_atomic_init_u64(&shared->cells[i].state, 0);
		pg_atomic_init_u32(&shared->cells[i].slot, 0);
		pg_atomic_init_u64(&shared->cells[i].next_look, 0);
	}
}

/* Since when has the server run, without a crash? */
TimestampTz
dwf_executors_since(void)
{
	return shared->since;
}

/* The cell of a name, whether that is valid still or not */
static Cell *
cell_of(uint64 cell)
{
	return &shared->cells[(uint32) cell];
}

/* Does a state belong to the cell of that name? */
static bool
is_of(uint64 state, uint64 cell)
{
	return state >> 32 == cell >> 32;
}

/*
 * Change a cell: clear bits, set bits, count a claim.  A full barrier.
 * Returns the state before; 0, and nothing is changed, if the name is not
 * valid any more.
 */
static uint64
change(uint64 cell, uint32 clear, uint32 set, bool claims)
{
	pg_atomic_uint64 *state = &cell_of(cell)->state;
	uint64		old = pg_atomic_read_u64(state);
	uint64		new;

	do
	{
		if (cell == DWF_NO_CELL || !is_of(old, cell))
			return 0;
		new = (old & ~(uint64) clear) | set;
		if (claims)
			new = (new & ~CLAIMS_MASK) | ((new + ONE_CLAIM) & CLAIMS_MASK);
	} while (!pg_atomic_compare_exchange_u64(state, &old, new));
	return old;
}

/* ----- for the worker ----- */

/*
 * The worker looks for work again at that time, which it says after each look;
 * DT_NOEND, a full barrier, while it looks
 */
void
dwf_executors_plan(uint64 cell, TimestampTz next)
{
	(void) pg_atomic_exchange_u64(&cell_of(cell)->next_look, (uint64) next);
}

/* Take a cell; DWF_NO_CELL when each process of the server has one */
uint64
dwf_executors_take(void)
{
	uint32		generation;

	/* zero names no cell */
	do
		generation = pg_atomic_add_fetch_u32(&shared->generation, 1);
	while (generation == 0);

	for (int i = 0; i < max_worker_processes; i++)
	{
		pg_atomic_uint64 *state = &shared->cells[i].state;
		uint64		old = pg_atomic_read_u64(state);

		if ((old & TAKEN) == 0 &&
			pg_atomic_compare_exchange_u64(state, &old,
										   (uint64) generation << 32 | TAKEN))
		{
			uint64		cell = (uint64) generation << 32 | (uint32) i;

			dwf_executors_plan(cell, DT_NOEND);
			return cell;
		}
	}
	return DWF_NO_CELL;
}

/* Free a cell: its executor has ended, or was not started */
void
dwf_executors_free(uint64 cell)
{
	(void) change(cell, 0xFFFF, 0, false);
}

/* The state of a cell's executor: the bits of executors.h, and its claims */
uint64
dwf_executors_state(uint64 cell)
{
	return pg_atomic_read_u64(&cell_of(cell)->state);
}

/*
 * Ask this of the executor in a cell, and nothing else, provided that its
 * state is still the one given; false if not.  If it is asked for more than
 * before while it rests or is idle, it is woken.
 */
bool
dwf_executors_ask(uint64 cell, uint64 state, uint32 asked)
{
	uint64		new = (state & ~(uint64) DWF_EXECUTOR_ASKED) | asked;
	uint64		more = new & ~state;
	uint64		old = state;

	if (new == state)
		return true;
	if (!pg_atomic_compare_exchange_u64(&cell_of(cell)->state, &old, new))
		return false;
	if (more && (state & (DWF_EXECUTOR_RESTS | DWF_EXECUTOR_IDLE)))
		dwf_slot_set_latch((int) pg_atomic_read_u32(&cell_of(cell)->slot));
	return true;
}

/* ----- for an executor ----- */

/* This process is the executor of a cell; it could log in */
void
dwf_executors_begin(uint64 cell)
{
	my_cell = cell;
	pg_atomic_write_u32(&cell_of(cell)->slot, (uint32) dwf_slot_mine());
	(void) change(cell, 0, DWF_EXECUTOR_CONNECTED, false);
}

/* Note how far this executor has come */
void
dwf_executors_tell(uint32 bit)
{
	(void) change(my_cell, 0, bit, false);
}

/*
 * Does it help to tell the worker of a claim?  If the executor was asked
 * something, the worker has to decide anew, unless nothing has changed by the
 * claim: the executor remains wanted, for the same work.  If it was not, it
 * wakes an executor for what else is due, or else the worker starts one.  And
 * the worker has to know when other work becomes due.
 */
static bool
must_tell_claim(uint64 old, bool more, TimestampTz later, uint64 work_hash)
{
	if (my_cell == DWF_NO_CELL ||
		later < (TimestampTz) pg_atomic_read_u64(&cell_of(my_cell)->next_look))
		return true;
	if ((old & DWF_EXECUTOR_ASKED) == 0)
		return more && dwf_waiter_wake(work_hash, DWF_DOOR_WORK, 1) == 0;
	return !more || (old & DWF_EXECUTOR_WANTED) == 0 ||
		!dwf_saturation_exists(work_hash);
}

/*
 * This executor has claimed a body of the role whose work has this address.
 * "more" of it is due, or some is "later".  Unless there is more, the executor is not wanted any
 * more: what it was wanted for may be what it has claimed.
 */
void
dwf_executors_claim(bool more, TimestampTz later, uint64 work_hash)
{
	uint64		old;

	old = change(my_cell, DWF_EXECUTOR_IDLE | DWF_EXECUTOR_MUST_LEAVE |
				 (more ? 0 : DWF_EXECUTOR_WANTED),
				 DWF_EXECUTOR_CLAIMED | DWF_EXECUTOR_RUNS, true);
	if (must_tell_claim(old, more, later, work_hash))
		dwf_workers_ask_run();
}

/* The run of the body has ended: from now on this executor looks for work */
void
dwf_executors_end_run(void)
{
	(void) change(my_cell, DWF_EXECUTOR_RUNS | DWF_EXECUTOR_RESTS,
				  DWF_EXECUTOR_SERVED, false);
}

/*
 * This executor has looked, and found no work of its role.  If it was to give
 * way to another role, the worker is told, to decide what comes next.
 */
void
dwf_executors_idle(void)
{
	uint64		old = change(my_cell,
							 DWF_EXECUTOR_WANTED | DWF_EXECUTOR_MUST_TELL,
							 DWF_EXECUTOR_IDLE, false);

	if (old & (DWF_EXECUTOR_WANTED | DWF_EXECUTOR_MUST_TELL))
		dwf_workers_ask_run();
}

/* Does the worker ask this of this executor? */
static bool
is_asked(uint32 bit)
{
	uint64		state = pg_atomic_read_u64(&cell_of(my_cell)->state);

	return my_cell != DWF_NO_CELL && is_of(state, my_cell) &&
		(state & bit) != 0;
}

/* Is this executor, which is idle, to leave? */
bool
dwf_executors_must_leave(void)
{
	return is_asked(DWF_EXECUTOR_MUST_LEAVE);
}

/* ----- for the body that it runs ----- */

/* The body begins to wait; it asks dwf_executors_is_wanted() after this */
void
dwf_executors_rest(void)
{
	if (change(my_cell, DWF_EXECUTOR_MUST_TELL, DWF_EXECUTOR_RESTS, false) &
		DWF_EXECUTOR_MUST_TELL)
		dwf_workers_ask_run();
}

/*
 * What the body waits for has come.  If the executor was wanted, others still
 * want one: the worker is told.
 */
void
dwf_executors_go_on(void)
{
	if (change(my_cell, DWF_EXECUTOR_RESTS, 0, false) & DWF_EXECUTOR_WANTED)
		dwf_workers_ask_run();
}

/* Is this executor wanted for other work, so that its body is suspended? */
bool
dwf_executors_is_wanted(void)
{
	return is_asked(DWF_EXECUTOR_WANTED);
}
