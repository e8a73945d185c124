/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far the execution of a workflow has come, for wf_executions.
 *
 * Each session that executes a workflow shows in its slot which call it makes.
 * There is no lock: only the session writes its slot, and counts before and
 * after that, as backends do for pg_stat_activity.  A reader reads again if
 * the count is odd, or has changed meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/progress.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/address.h"
#include "shared/slot.h"

/* What the session in a slot shows */
typedef struct Shown
{
	volatile uint32 changes;	/* odd while the session writes */
	uint64		workflow_hash;	/* what it executes */
	DwfProgress progress;
} Shown;

static Shown *shown = NULL;		/* by slot */

/* How much shared memory this part needs */
Size
dwf_progress_size(void)
{
	return mul_size(dwf_slot_count(), sizeof(Shown));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_progress_init_shared(void)
{
	bool		found;

	shown = ShmemInitStruct("durable_wf progress", dwf_progress_size(),
							&found);
	if (!found)
		memset(shown, 0, dwf_progress_size());
}

/* This session's own slot, or NULL; then nothing is shown */
static Shown *
my_shown(void)
{
	if (shown == NULL || dwf_slot_mine() == DWF_NO_SLOT)
		return NULL;
	return &shown[dwf_slot_mine()];
}

/* What stands for a workflow here */
static uint64
hash_of(const text *workflow_id)
{
	return dwf_address_workflow_hash(VARDATA_ANY(workflow_id),
									 VARSIZE_ANY_EXHDR(workflow_id));
}

/* This session begins to execute a workflow: it has made no call yet */
void
dwf_progress_begin(const text *workflow_id)
{
	Shown	   *mine = my_shown();

	if (mine == NULL)
		return;
	mine->changes++;
	pg_write_barrier();
	mine->workflow_hash = hash_of(workflow_id);
	mine->progress.step_no = 0;
	pg_write_barrier();
	mine->changes++;
}

/*
 * Show that this session makes a call: its number, its function, and what
 * names it, or NULL.  Cannot fail.
 */
void
dwf_progress_show(int step_no, const char *function, const text *name)
{
	Shown	   *mine = my_shown();
	int			length = name ? (int) VARSIZE_ANY_EXHDR(name) : 0;

	if (mine == NULL)
		return;
	if (length > DWF_KEY_MAX)
		length = pg_mbcliplen(VARDATA_ANY(name), length, DWF_KEY_MAX);

	/* write between two changes of the count */
	mine->changes++;
	pg_write_barrier();
	mine->progress.step_no = step_no;
	strlcpy(mine->progress.function, function,
			sizeof(mine->progress.function));
	mine->progress.has_name = name != NULL;
	if (length > 0)
		memcpy(mine->progress.name, VARDATA_ANY(name), length);
	mine->progress.name[length] = '\0';
	pg_write_barrier();
	mine->changes++;
}

/*
 * Read what the session in a slot shows of a workflow: no step if it executes
 * another one by now
 */
void
dwf_progress_read(int slot, const text *workflow_id, DwfProgress *progress)
{
	for (;;)
	{
		uint32		before = shown[slot].changes;
		uint64		workflow_hash;

		pg_read_barrier();
		workflow_hash = shown[slot].workflow_hash;
		memcpy(progress, &shown[slot].progress, sizeof(DwfProgress));
		pg_read_barrier();
		if (before == shown[slot].changes && before % 2 == 0)
		{
			if (workflow_hash != hash_of(workflow_id))
				progress->step_no = 0;
			return;
		}
		CHECK_FOR_INTERRUPTS();
	}
}
