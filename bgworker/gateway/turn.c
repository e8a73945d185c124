/*-------------------------------------------------------------------------
 *
 * turn.c
 *	  Which request is next, among those that wait for a helper.
 *
 * Turns are by owner of the webhook: the owner with the fewest helpers at work
 * comes first, among several the one whose last turn is longest ago, and of
 * one owner's requests the oldest.  So slow validators with many clients delay
 * their owner's requests only.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/turn.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

/* So many owners are remembered; then all are forgotten */
#define OWNERS_MAX		1000

/* An owner of webhooks that have validators */
typedef struct Owner
{
	Oid			owner;
	uint64		served;			/* the number of its last turn */
} Owner;

/* The owners by OID, and the number of the last turn of all */
static HTAB *owners = NULL;
static uint64 served = 0;

/* An owner's entry, made if there is none */
static Owner *
find_owner(Oid owner)
{
	Owner	   *entry;
	bool		found;

	/* forget all when there are too many owners */
	if (owners && hash_get_num_entries(owners) >= OWNERS_MAX)
	{
		hash_destroy(owners);
		owners = NULL;
	}
	if (owners == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(Owner);
		control.hcxt = TopMemoryContext;
		owners = hash_create("durable_wf owners of validators", 32, &control,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	/* find or make the entry */
	entry = hash_search(owners, &owner, HASH_ENTER, &found);
	if (!found)
		entry->served = 0;
	return entry;
}

/*
 * The index of the next request, of those that wait in the order in which they
 * came; -1 if there is none.  NULL is a request that cannot be next.
 */
int
dwf_turn_choose(DwfConn **waiting, int count,
				int (*count_helpers_of) (Oid owner))
{
	Oid			last_owner = InvalidOid;
	int			best = -1;
	int			best_helpers = 0;
	uint64		best_served = 0;

	/* the oldest request of each owner competes */
	for (int i = 0; i < count; i++)
	{
		int			helpers;
		uint64		when;

		if (waiting[i] == NULL || waiting[i]->owner == last_owner)
			continue;			/* an older one of that owner precedes */
		last_owner = waiting[i]->owner;
		helpers = count_helpers_of(last_owner);
		when = find_owner(last_owner)->served;
		if (best >= 0 && (helpers > best_helpers ||
						  (helpers == best_helpers && when >= best_served)))
			continue;
		best = i;
		best_helpers = helpers;
		best_served = when;
	}
	return best;
}

/*
 * Set an owner's requests to NULL, only those of a token unless that is NULL
 */
void
dwf_turn_pass_by(DwfConn **waiting, int count, Oid owner, const char *token)
{
	for (int i = 0; i < count; i++)
		if (waiting[i] && waiting[i]->owner == owner &&
			(token == NULL || strcmp(waiting[i]->token, token) == 0))
			waiting[i] = NULL;
}

/* Note that an owner has its turn */
void
dwf_turn_take(Oid owner)
{
	find_owner(owner)->served = ++served;
}
