/*-------------------------------------------------------------------------
 *
 * crash.c
 *	  Which workflows have lost the process that executed them by a crash.
 *
 * A workflow is given up after so many crashes, and only those count that its
 * own process has caused, the executor of a body or the session of a client.
 * Three things can end that process:
 *
 *	its exit		by an error of its own, by SIGTERM from itself; of a
 *					session, since its client has gone: counts.
 *					By SIGTERM from another process (a shutdown, the end of
 *					our worker, pg_terminate_backend): does not.
 *	SIGQUIT			the server is restarted because another process has
 *					crashed, or is shut down at once: does not count.
 *	anything else	a crash, which runs no code of ours: counts.
 *
 * A client that goes behind a pool leaves its session to the pool, which sends
 * DISCARD ALL or RESET ALL: that counts as the session's exit.
 *
 * So each of these processes marks the workflow that it executes, and removes
 * the mark on each way out but the last: a workflow that is still marked when
 * all processes are gone has crashed.  The marks are in memory that the
 * postmaster maps before it starts any process: unlike the server's shared
 * memory, that memory outlives a crash restart.  It goes with the postmaster,
 * so that a machine that stops, or a container whose processes are killed all
 * at once, leaves no mark.  The postmaster writes the marks to a file as it
 * exits: with restart_after_crash off a crash ends it, too.
 *
 * A mark is a hash of database and workflow, by a seed that outsiders do not
 * know.  All of it is atomic and needs no lock: handlers of signals write it.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/crash.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "storage/shmem.h"

#include "shared/slot.h"

/* So many crashes are remembered, each until its body is run again */
#define NOTED_MAX	128

/* The file that the postmaster writes, and what it begins with */
#define FILE_NAME	PGSTAT_STAT_PERMANENT_DIRECTORY "/durable_wf.stat"
#define FILE_MAGIC	UINT64CONST(0x6477665F63726173)

/* The memory that outlives a crash restart; a hash of 0 is none */
typedef struct Marks
{
	uint64		seed;
	pg_atomic_uint32 next;		/* when no place is free, this one is taken */
	pg_atomic_uint64 noted[NOTED_MAX];	/* bodies that have crashed */
	int			nrunning;
	pg_atomic_uint64 running[FLEXIBLE_ARRAY_MEMBER];	/* by slot */
} Marks;

/* What is in the file */
typedef struct Saved
{
	uint64		magic;
	uint64		seed;
	uint64		noted[NOTED_MAX];
} Saved;

static Marks *marks = NULL;
static pid_t postmaster_pid = 0;

/* The mark of what this process executes, if it watches its end */
static pg_atomic_uint64 *my_mark = NULL;

/* What this process would do by itself at SIGTERM and SIGQUIT */
static struct sigaction earlier_terminate;
static struct sigaction earlier_quit;

/* Another process has told this one to end */
static volatile sig_atomic_t told_to_end = false;

/* ----- in the postmaster ----- */

/* Note that a body has crashed */
static void
note(uint64 hash)
{
	uint32		place;

	for (int i = 0; i < NOTED_MAX; i++)
	{
		uint64		none = 0;

		if (pg_atomic_compare_exchange_u64(&marks->noted[i], &none, hash))
			return;
	}
	place = pg_atomic_fetch_add_u32(&marks->next, 1);
	pg_atomic_write_u64(&marks->noted[place % NOTED_MAX], hash);
}

/* All processes are gone: note what is still marked as running */
static void
note_those_that_ran(void)
{
	for (int i = 0; i < marks->nrunning; i++)
	{
		uint64		hash = pg_atomic_exchange_u64(&marks->running[i], 0);

		if (hash != 0)
			note(hash);
	}
}

/* The postmaster exits: write the file for the next one, if there is need */
static void
save(int code, Datum arg)
{
	Saved		saved = {FILE_MAGIC, marks->seed, {0}};
	bool		any = false;
	FILE	   *file;

	(void) code;
	(void) arg;
	if (getpid() != postmaster_pid)
		return;

	/* collect what was noted; most times there is nothing */
	note_those_that_ran();
	for (int i = 0; i < NOTED_MAX; i++)
	{
		saved.noted[i] = pg_atomic_read_u64(&marks->noted[i]);
		any |= saved.noted[i] != 0;
	}
	if (!any)
		return;

	/* write it down for the next postmaster */
	file = AllocateFile(FILE_NAME, PG_BINARY_W);
	if (file == NULL || fwrite(&saved, sizeof(saved), 1, file) != 1)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", FILE_NAME)));
	if (file)
		(void) FreeFile(file);
}

/* Read the file that the last postmaster has written, and remove it */
static void
load(void)
{
	Saved		saved;
	FILE	   *file = AllocateFile(FILE_NAME, PG_BINARY_R);

	if (file == NULL)
		return;
	if (fread(&saved, sizeof(saved), 1, file) == 1 &&
		saved.magic == FILE_MAGIC)
	{
		marks->seed = saved.seed;
		for (int i = 0; i < NOTED_MAX; i++)
			pg_atomic_write_u64(&marks->noted[i], saved.noted[i]);
	}
	(void) FreeFile(file);
	(void) unlink(FILE_NAME);
}

/* Map the memory, for all processes that the postmaster will start */
static void
map_memory(void)
{
	Size		size = add_size(offsetof(Marks, running),
								mul_size(dwf_slot_count(),
										 sizeof(pg_atomic_uint64)));
	void	   *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
							  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map %zu bytes: %m", size)));
	marks = memory;
	if (!pg_strong_random(&marks->seed, sizeof(marks->seed)))
		elog(FATAL, "could not get random bytes");
	pg_atomic_init_u32(&marks->next, 0);
	for (int i = 0; i < NOTED_MAX; i++)
		pg_atomic_init_u64(&marks->noted[i], 0);
	marks->nrunning = dwf_slot_count();
	for (int i = 0; i < marks->nrunning; i++)
		pg_atomic_init_u64(&marks->running[i], 0);
}

/*
 * The shared memory is being laid out, for the first time or after a crash:
 * map our own the first time, and see after a crash what has caused it.
 */
void
dwf_crash_init_shared(void)
{
	if (IsUnderPostmaster)
		return;
	if (marks != NULL)
	{
		note_those_that_ran();
		return;
	}
	map_memory();
	load();
	postmaster_pid = getpid();
	on_proc_exit(save, (Datum) 0);
}

/* ----- in a process that executes workflows ----- */

/* What stands for a workflow of this database */
static uint64
hash_of(text *workflow_id)
{
	uint64		hash;

	hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(workflow_id),
							   VARSIZE_ANY_EXHDR(workflow_id),
							   marks->seed ^ MyDatabaseId);
	return hash == 0 ? 1 : hash;
}

/*
 * Do what the process would have done by itself.  From 17 on the server's own
 * handler is a wrapper, and looks up what pqsignal() was given last: so ours
 * are not given to pqsignal(), or the wrapper would call them again.
 */
static void
pass_on(const struct sigaction *earlier, int signal, siginfo_t *info,
		void *context)
{
	if (earlier->sa_handler == SIG_IGN)
		return;
	if (earlier->sa_handler == SIG_DFL)
		_exit(2);				/* no process of the server leaves it so */
	if (earlier->sa_flags & SA_SIGINFO)
		earlier->sa_sigaction(signal, info, context);
	else
		earlier->sa_handler(signal);
}

/* SIGTERM: note whether another process has sent it */
static void
handle_terminate(int signal, siginfo_t *info, void *context)
{
	if (info->si_pid != MyProcPid)
		told_to_end = true;
	pass_on(&earlier_terminate, signal, info, context);
}

/* SIGQUIT: another process has crashed, so what runs here has not */
static void
handle_quit(int signal, siginfo_t *info, void *context)
{
	pg_atomic_write_u64(my_mark, 0);
	pass_on(&earlier_quit, signal, info, context);
}

/* Note a crash of what this process has marked, if anything; cannot fail */
void
dwf_crash_note(void)
{
	uint64		hash = my_mark ? pg_atomic_exchange_u64(my_mark, 0) : 0;

	if (hash != 0)
		note(hash);
}

/* This process runs its exit code: does its exit count as a crash? */
static void
crash_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	if (told_to_end || !PostmasterIsAlive())
		dwf_crash_leave();
	else
		dwf_crash_note();
}

/* Put a handler before the one that a signal has; may raise */
static void
put_before(int signal, void (*handler) (int, siginfo_t *, void *),
		   struct sigaction *earlier)
{
	struct sigaction action;

	if (sigaction(signal, NULL, earlier) != 0)
		elog(ERROR, "sigaction failed: %m");
	action = *earlier;
	action.sa_flags |= SA_SIGINFO | SA_RESTART;
	action.sa_sigaction = handler;
	if (sigaction(signal, &action, NULL) != 0)
		elog(ERROR, "sigaction failed: %m");
}

/* This process will execute workflows: watch what ends it; may raise */
void
dwf_crash_watch(void)
{
	if (my_mark != NULL)
		return;
	my_mark = &marks->running[dwf_slot_mine()];
	put_before(SIGTERM, handle_terminate, &earlier_terminate);
	put_before(SIGQUIT, handle_quit, &earlier_quit);
	before_shmem_exit(crash_exit, (Datum) 0);
}

/* Forget that a hash was noted; cannot fail */
static void
forget(uint64 hash)
{
	for (int i = 0; i < NOTED_MAX; i++)
	{
		uint64		expected = hash;

		if (pg_atomic_read_u64(&marks->noted[i]) == hash)
			(void) pg_atomic_compare_exchange_u64(&marks->noted[i], &expected,
												  0);
	}
}

/*
 * The crashes of a workflow count no more: they were counted, and it has
 * ended, or it begins anew.  Cannot fail.
 */
void
dwf_crash_forget(text *workflow_id)
{
	if (marks)
		forget(hash_of(workflow_id));
}

/*
 * This process begins to execute a workflow, whose last crash has been
 * counted; cannot fail
 */
void
dwf_crash_enter(text *workflow_id)
{
	uint64		hash = hash_of(workflow_id);

	forget(hash);
	pg_atomic_write_u64(my_mark, hash);
}

/* This process has left the workflow; cannot fail */
void
dwf_crash_leave(void)
{
	if (my_mark)
		pg_atomic_write_u64(my_mark, 0);
}

/* Has a workflow crashed since it was last entered? */
bool
dwf_crash_is_noted(text *workflow_id)
{
	uint64		hash;

	if (marks == NULL)
		return false;
	hash = hash_of(workflow_id);
	for (int i = 0; i < NOTED_MAX; i++)
		if (pg_atomic_read_u64(&marks->noted[i]) == hash)
			return true;
	return false;
}
