/*-------------------------------------------------------------------------
 *
 * handed.c
 *	  News that a session hands to an executor instead of the worker.
 *
 * When one thing has come for which a suspended body waits, and an executor of
 * its owner idles, that resumes and claims the body in one transaction, and
 * the worker is left out.  There is a place for one piece of news for each
 * hash of the address that stands for a role's work; roles may share a place.
 * Who finds no place, or no executor, tells the worker.
 *
 * The state of a place is a word: free, in use (one process copies into it or
 * out of it, which takes no time), or whose work's news are there.  So nobody
 * takes the news of another role, which may be of another database.  All is
 * atomic; there is no lock.
 *
 * Why no news are lost: bgworker/README.md.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/handed.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#define PLACES	64				/* a power of two */

/* States of a place; others are made of the hash of work's address */
#define FREE	0
#define IN_USE	1

typedef struct Place
{
	pg_atomic_uint64 state;
	DwfNews		news;
} Place;

static Place *places = NULL;

/* How much shared memory this part needs */
Size
dwf_handed_size(void)
{
	return mul_size(PLACES, sizeof(Place));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_handed_init_shared(void)
{
	bool		found;

	places = ShmemInitStruct("durable_wf handed", dwf_handed_size(), &found);
	for (int i = 0; !found && i < PLACES; i++)
		pg_atomic_init_u64(&places[i].state, FREE);
}

/* The place for a role's work */
static Place *
place_of(uint64 work_hash)
{
	return &places[work_hash % PLACES];
}

/* The state that says that news for a role's work are there */
static uint64
state_of(uint64 work_hash)
{
	return work_hash | 2;
}

/*
 * Put news for an executor of the role whose work has this address; false if
 * there is no room.  The texts of workflow and key are in a row.  The caller
 * wakes an executor then.
 */
bool
dwf_handed_put(uint64 work_hash, char door, const char *texts,
			   uint16 workflow_length, uint16 key_length)
{
	Place	   *place = place_of(work_hash);
	uint64		state = FREE;

	if (pg_atomic_read_u64(&place->state) != FREE ||
		!pg_atomic_compare_exchange_u64(&place->state, &state, IN_USE))
		return false;
	place->news.door = door;
	place->news.is_bulk = false;
	place->news.workflow_length = workflow_length;
	place->news.key_length = key_length;
	memcpy(place->news.workflow_id, texts, workflow_length);
	memcpy(place->news.key, texts + workflow_length, key_length);
	(void) pg_atomic_exchange_u64(&place->state, state_of(work_hash));
	return true;
}

/* Take the news for a role's work, if there are any.  Cannot fail. */
bool
dwf_handed_take(uint64 work_hash, DwfNews *news)
{
	Place	   *place = place_of(work_hash);
	uint64		state = state_of(work_hash);

	if (pg_atomic_read_u64(&place->state) != state ||
		!pg_atomic_compare_exchange_u64(&place->state, &state, IN_USE))
		return false;
	*news = place->news;
	(void) pg_atomic_exchange_u64(&place->state, FREE);
	return true;
}
