/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Of which addresses the gateway wants to know that something has come.
 *
 * The gateway reads streams for its clients, of which there may be thousands,
 * more than one waiter of the registry (waiter.c) can wait for.  So there is
 * one waiter of another kind: a bit for each hash of an address modulo
 * DWF_WATCH_BITS, which the gateway sets while it watches such an address; and
 * one more that a committing session sets when something has come there.  Two
 * addresses may share a bit: then the gateway looks at a stream in vain.
 *
 * No wake-up is lost.  The gateway sets the bit of an address before it looks
 * at the tables; a session reads the bit after what it announces has become
 * visible.  Both are full barriers: either the session sees the bit, or the
 * look sees what has come (I1, I2 in the README).  A session sets the bit of
 * the arrival before "any", and the gateway clears "any" before it takes the
 * bits: so a session that finds "any" set, and sets no latch, has set its bit
 * before the gateway takes it.
 *
 * There is one gateway in a cluster, and hashes have the database in them.
 * All is atomic; there is no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/watch.h"

#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "shared/preloaded.h"
#include "shared/slot.h"

/* What is shared */
typedef struct Watching
{
	pg_atomic_uint32 slot;		/* the gateway's, plus one; 0: there is none */
	pg_atomic_uint32 any;		/* a bit has arrived, or "all" is set */
	pg_atomic_uint32 all;		/* anything may have come anywhere */
	pg_atomic_uint64 watched[DWF_WATCH_WORDS];
	pg_atomic_uint64 arrived[DWF_WATCH_WORDS];
} Watching;

static Watching *watching = NULL;

/* How much shared memory this part needs */
Size
dwf_watch_size(void)
{
	return sizeof(Watching);
}

/* Nobody watches anything */
static void
clear(void)
{
	pg_atomic_write_u32(&watching->slot, 0);
	pg_atomic_write_u32(&watching->any, 0);
	pg_atomic_write_u32(&watching->all, 0);
	for (int i = 0; i < DWF_WATCH_WORDS; i++)
	{
		pg_atomic_write_u64(&watching->watched[i], 0);
		pg_atomic_write_u64(&watching->arrived[i], 0);
	}
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_watch_init_shared(void)
{
	bool		found;

	watching = ShmemInitStruct("durable_wf watch", dwf_watch_size(), &found);
	if (found)
		return;
	pg_atomic_init_u32(&watching->slot, 0);
	pg_atomic_init_u32(&watching->any, 0);
	pg_atomic_init_u32(&watching->all, 0);
	for (int i = 0; i < DWF_WATCH_WORDS; i++)
	{
		pg_atomic_init_u64(&watching->watched[i], 0);
		pg_atomic_init_u64(&watching->arrived[i], 0);
	}
}

/* ----- for backends ----- */

/* Tell the gateway that something has come */
static void
tell(void)
{
	uint32		slot;

	if (pg_atomic_exchange_u32(&watching->any, 1) != 0)
		return;
	slot = pg_atomic_read_u32(&watching->slot);
	if (slot > 0)
		dwf_slot_set_latch((int) slot - 1);
}

/*
 * Something has come to the address with this hash, or a writer has gone from
 * there.  The caller has made it visible, and passed a full barrier since.
 * Cannot fail and does not block.
 */
void
dwf_watch_wake(uint64 hash)
{
	uint32		bit = dwf_watch_bit(hash);
	uint64		mask = UINT64CONST(1) << (bit % 64);

	if (!dwf_preloaded() ||
		(pg_atomic_read_u64(&watching->watched[bit / 64]) & mask) == 0)
		return;
	(void) pg_atomic_fetch_or_u64(&watching->arrived[bit / 64], mask);
	tell();
}

/* Anything may have come anywhere; the caller as that of dwf_watch_wake() */
void
dwf_watch_wake_all(void)
{
	if (!dwf_preloaded() || pg_atomic_read_u32(&watching->slot) == 0)
		return;
	(void) pg_atomic_exchange_u32(&watching->all, 1);
	tell();
}

/* ----- for the gateway ----- */

/* Callback at the gateway's exit */
static void
watch_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	clear();
}

/* This process is the gateway, which will watch */
void
dwf_watch_begin(void)
{
	clear();
	before_shmem_exit(watch_exit, (Datum) 0);
	pg_atomic_write_u32(&watching->slot, (uint32) dwf_slot_mine() + 1);
}

/* The bit of the addresses with a hash */
uint32
dwf_watch_bit(uint64 hash)
{
	return (uint32) (hash % DWF_WATCH_BITS);
}

/* Watch the addresses of a bit; the caller looks at the tables after this */
void
dwf_watch_add(uint32 bit)
{
	(void) pg_atomic_fetch_or_u64(&watching->watched[bit / 64],
								  UINT64CONST(1) << (bit % 64));
}

/* Watch the addresses of a bit no more */
void
dwf_watch_remove(uint32 bit)
{
	(void) pg_atomic_fetch_and_u64(&watching->watched[bit / 64],
								   ~(UINT64CONST(1) << (bit % 64)));
}

/*
 * Take where something has come, as DWF_WATCH_WORDS words of bits, or whether
 * it may be anywhere; returns false if nothing has come.  The caller looks at
 * the tables after this.
 */
bool
dwf_watch_take(uint64 *arrived, bool *all)
{
	if (pg_atomic_read_u32(&watching->any) == 0 ||
		pg_atomic_exchange_u32(&watching->any, 0) == 0)
		return false;
	*all = pg_atomic_exchange_u32(&watching->all, 0) != 0;
	for (int i = 0; i < DWF_WATCH_WORDS; i++)
	{
		arrived[i] = pg_atomic_read_u64(&watching->arrived[i]);
		if (arrived[i] != 0)
			arrived[i] = pg_atomic_exchange_u64(&watching->arrived[i], 0);
	}
	return true;
}
