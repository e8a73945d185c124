/*-------------------------------------------------------------------------
 *
 * turn.c
 *	  Whose request is next, among those that wait for a helper.
 *
 * Fair by owner: the owner with the fewest helpers at work comes first, among
 * several the one whose last turn is longest ago, and of one owner's requests
 * the oldest.  So slow validators with many clients hold up their owner only.
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
	uint64		served;			/* the how manieth request his last one was */
} Owner;

static HTAB *owners = NULL;
static uint64 served = 0;

/* What is remembered of an owner */
static Owner *
find_owner(Oid owner)
{
	Owner	   *entry;
	bool		found;

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
	entry = hash_search(owners, &owner, HASH_ENTER, &found);
	if (!found)
		entry->served = 0;
	return entry;
}

/*
 * Which of the requests that wait, in the order in which they came, is next;
 * -1 if none can be.  Those that cannot are NULL.
 */
int
dwf_turn_choose(DwfConn **waiting, int count,
				int (*count_helpers_of) (Oid owner))
{
	Oid			last_owner = InvalidOid;
	int			best = -1;
	int			best_helpers = 0;
	uint64		best_served = 0;

	for (int i = 0; i < count; i++)
	{
		int			helpers;
		uint64		when;

		if (waiting[i] == NULL || waiting[i]->owner == last_owner)
			continue;			/* it comes after one that was looked at */
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

/* No request of this owner, or only of this token, can be next any more */
void
dwf_turn_pass_by(DwfConn **waiting, int count, Oid owner, const char *token)
{
	for (int i = 0; i < count; i++)
		if (waiting[i] && waiting[i]->owner == owner &&
			(token == NULL || strcmp(waiting[i]->token, token) == 0))
			waiting[i] = NULL;
}

/* An owner has his turn */
void
dwf_turn_take(Oid owner)
{
	find_owner(owner)->served = ++served;
}
