/*-------------------------------------------------------------------------
 *
 * news.c
 *	  What has come to addresses, for the worker of the database.
 *
 * A backend that commits puts news (this has come to that address) into the
 * ring of its database's worker, and sets the worker's latch.  A ring is a
 * buffer of bytes.  When it is full the news are lost, and the ring notes of
 * which addresses, if a suspended workflow may wait there: the worker then has
 * these workflows look.  A worker that begins finds that all news were lost.
 * A commit with many news takes half of the room that is left at most, so that
 * it does not make others lose theirs.
 *
 * A batch is what lies in the ring between two times that the worker empties
 * it.  A tag, made of an address's hash and the number of the batch, says that
 * the news of that address are in the ring of that batch: then no other
 * backend needs to put them there.  Tags are read without the lock.
 *
 * A batch is urgent if it has news for suspended workflows: then the worker is
 * woken at once.  News for listeners wait for the least gap.  News that lie in
 * a batch that is not urgent are put there again, when a workflow has begun to
 * wait for them meanwhile.
 *
 * Locks: one LWLock guards all rings but their atomics.  No other lock is
 * taken under it; a process that holds it may set the latch of a worker.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/news.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/address.h"
#include "shared/preloaded.h"
#include "shared/slot.h"

#define RECENT_SIZE		1024	/* a power of two */

/* News that nothing suspended waits for leave some room for those that do */
#define CALM_BYTES		(DWF_RING_BYTES / 4 * 3)

/* So many news of a commit come before those of commits with many */
#define FEW				16

/* The bytes of a DwfNews that precede its texts in the ring */
#define NEWS_HEADER		offsetof(DwfNews, workflow_id)

/* The news for one worker; "the lock" guards all but the atomics */
struct DwfNewsRing
{
	Oid			database;		/* or invalid: no worker has this ring.  Read
								 * without the lock by dwf_news_is_there() */
	int			slot;			/* the worker's */
	DwfLost		lost;			/* what is suspended for these has to look */
	bool		resync;			/* so have all listeners: some were lost */
	bool		was_idle;		/* while it is open: it was empty before, */
	bool		was_calm;		/* ... and not urgent, */
	uint32		share;			/* ... this commit may put so many bytes, */
	uint32		used;			/* ... and has put so many, */
	int			count;			/* ... in so many news */
	uint32		head;			/* bytes written so far ... */
	uint32		tail;			/* ... and bytes read, modulo 2^32 */
	pg_atomic_uint64 batch;		/* how often the ring was emptied; written
								 * under the lock */
	pg_atomic_uint64 urgent;	/* the last batch that was; likewise */
	pg_atomic_uint64 recent[RECENT_SIZE];	/* tags, by the address's hash;
											 * written under the lock */
	char		bytes[DWF_RING_BYTES];
};

static DwfNewsRing *rings = NULL;	/* max_worker_processes of them */
static LWLock *lock = NULL;

/* The ring of this process, if it is a worker */
static DwfNewsRing *my_ring = NULL;

/* The ring of this database's worker when this process last opened it */
static DwfNewsRing *last_ring = NULL;

/* How much shared memory this part needs */
Size
dwf_news_size(void)
{
	return mul_size(max_worker_processes, sizeof(DwfNewsRing));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_news_init_shared(LWLockPadded *locks)
{
	bool		found;

	lock = &locks[0].lock;
	rings = ShmemInitStruct("durable_wf news", dwf_news_size(), &found);
	for (int i = 0; !found && i < max_worker_processes; i++)
	{
		DwfNewsRing *ring = &rings[i];

		memset(ring, 0, sizeof(DwfNewsRing));
		ring->database = InvalidOid;
		ring->slot = DWF_NO_SLOT;
		pg_atomic_init_u64(&ring->batch, 1);
		pg_atomic_init_u64(&ring->urgent, 0);
		for (int r = 0; r < RECENT_SIZE; r++)
			pg_atomic_init_u64(&ring->recent[r], 0);
	}
}

/* The ring of a database, or NULL; the caller holds the lock */
static DwfNewsRing *
find_ring(Oid database)
{
	for (int i = 0; i < max_worker_processes; i++)
		if (rings[i].database == database)
			return &rings[i];
	return NULL;
}

/* Is there nothing for the worker in its ring?  The caller holds the lock. */
static inline bool
is_idle(const DwfNewsRing *ring)
{
	return ring->head == ring->tail && !ring->lost.any && !ring->resync;
}

/* The tag that says that the news of an address are in the ring of a batch */
static inline uint64
tag_of(uint64 hash, uint64 batch)
{
	return hash + batch * UINT64CONST(0x9E3779B97F4A7C15);
}

/* Is the present batch of a ring urgent? */
static inline bool
is_urgent(DwfNewsRing *ring)
{
	return pg_atomic_read_u64(&ring->urgent) ==
		pg_atomic_read_u64(&ring->batch);
}

/* The present batch of a ring is urgent; the caller holds the lock */
static void
set_urgent(DwfNewsRing *ring)
{
	pg_atomic_write_u64(&ring->urgent, pg_atomic_read_u64(&ring->batch));
}

/* The ring begins another batch; the caller holds the lock */
static void
next_batch(DwfNewsRing *ring)
{
	pg_atomic_write_u64(&ring->batch, pg_atomic_read_u64(&ring->batch) + 1);
}

/* The bit for an address's hash */
static inline uint32
bit_of(uint64 hash)
{
	return hash % DWF_LOST_BITS;
}

/* ----- for backends ----- */

/*
 * Are the news of this address in the ring already, in an urgent batch if a
 * suspended workflow may wait for them?  The caller asks after its commit,
 * with a barrier in between: if no other batch has begun, the worker takes the
 * news later, and serves what waits for them later still, when what the commit
 * has brought can be seen.  If the worker dies before that, the next one takes
 * all news for lost.  Takes no lock.
 */
bool
dwf_news_is_there(uint64 hash, bool is_expected)
{
	DwfNewsRing *ring = last_ring;
	uint64		batch;

	if (ring == NULL || ring->database != MyDatabaseId)
		return false;
	/* one batch throughout: the next one may be urgent where this is not */
	batch = pg_atomic_read_u64(&ring->batch);
	return tag_of(hash, batch) ==
		pg_atomic_read_u64(&ring->recent[hash % RECENT_SIZE]) &&
		(!is_expected || pg_atomic_read_u64(&ring->urgent) == batch);
}

/*
 * Begin to tell this database's worker what has come where; NULL if there is
 * none.  Takes the lock: the caller puts or loses its news and closes, and
 * does nothing else in between.  Cannot fail.
 */
DwfNewsRing *
dwf_news_open(void)
{
	DwfNewsRing *ring;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	ring = find_ring(MyDatabaseId);
	if (ring == NULL)
		LWLockRelease(lock);
	else
	{
		ring->was_idle = is_idle(ring);
		ring->was_calm = !is_urgent(ring);
		ring->share = (DWF_RING_BYTES - (ring->head - ring->tail)) / 2;
		ring->used = ring->count = 0;
	}
	last_ring = ring;
	return ring;
}

/* Append bytes, for which there is room, to an open ring */
static void
write_bytes(DwfNewsRing *ring, const void *data, uint32 length)
{
	uint32		at = ring->head % DWF_RING_BYTES;
	uint32		first = Min(length, DWF_RING_BYTES - at);

	memcpy(ring->bytes + at, data, first);
	memcpy(ring->bytes, (const char *) data + first, length - first);
	ring->head += length;
}

/*
 * Put into an open ring that something has come to an address, at which a
 * suspended workflow may wait or not; the texts of workflow and key are in a
 * row.  False when there is no room: then the caller loses the news.
 */
bool
dwf_news_put(DwfNewsRing *ring, uint64 hash, bool is_expected, char door,
			 const char *texts, uint16 workflow_length, uint16 key_length)
{
	DwfNews		news;
	uint32		length = workflow_length + key_length;
	uint32		size = NEWS_HEADER + length;

	/* a commit's first news may take more than the commit's share */
	if (ring->head - ring->tail + size >
		(is_expected ? DWF_RING_BYTES : CALM_BYTES) ||
		(ring->used > 0 && ring->used + size > ring->share))
		return false;
	ring->used += size;
	memset(&news, 0, NEWS_HEADER);
	news.door = door;
	news.is_bulk = ring->count++ >= FEW;
	news.workflow_length = workflow_length;
	news.key_length = key_length;
	write_bytes(ring, &news, NEWS_HEADER);
	write_bytes(ring, texts, length);
	if (is_expected)
		set_urgent(ring);
	pg_atomic_write_u64(&ring->recent[hash % RECENT_SIZE],
						tag_of(hash, pg_atomic_read_u64(&ring->batch)));
	return true;
}

/*
 * Note in an open ring that news of an address, at which a suspended workflow
 * may wait or not, were lost
 */
void
dwf_news_lose(DwfNewsRing *ring, uint64 hash, bool is_expected)
{
	ring->resync = true;
	if (!is_expected)
		return;
	dwf_news_add_one_lost(&ring->lost, hash);
	set_urgent(ring);
}

/* Note in a ring that all news were lost; the caller holds the lock */
static void
lose_all(DwfNewsRing *ring)
{
	ring->resync = ring->lost.any = ring->lost.all = true;
	set_urgent(ring);
}

/*
 * Close an open ring.  Wakes the worker if there was nothing in it before, or
 * nothing urgent and now there is; else the worker does not sleep for longer
 * than the least gap.
 */
void
dwf_news_close(DwfNewsRing *ring)
{
	if ((ring->was_idle && !is_idle(ring)) ||
		(ring->was_calm && is_urgent(ring)))
		dwf_slot_set_latch(ring->slot);
	LWLockRelease(lock);
}

/*
 * Tell this database's worker of news that a suspended workflow waits for.
 * Cannot fail.
 */
void
dwf_news_tell(const DwfNews *news)
{
	char		texts[DWF_WORKFLOW_ID_MAX + DWF_KEY_MAX];
	uint64		hash = dwf_news_hash(news);
	DwfNewsRing *ring = dwf_news_open();

	if (ring == NULL)
		return;					/* the next worker begins with all lost */
	memcpy(texts, news->workflow_id, news->workflow_length);
	memcpy(texts + news->workflow_length, news->key, news->key_length);
	if (!dwf_news_put(ring, hash, true, news->door, texts,
					  news->workflow_length, news->key_length))
		dwf_news_lose(ring, hash, true);
	dwf_news_close(ring);
}

/* Have this database's worker take all news for lost.  Cannot fail. */
void
dwf_news_lose_all(void)
{
	DwfNewsRing *ring;

	if (!dwf_preloaded())
		return;
	ring = dwf_news_open();
	if (ring == NULL)
		return;
	lose_all(ring);
	dwf_news_close(ring);
}

/* ----- for a worker ----- */

/*
 * Take a ring for this process, which is its database's only worker.  All news
 * are lost, since no ring has collected them before.
 */
void
dwf_news_begin(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_ring = find_ring(InvalidOid);
	Assert(my_ring != NULL);	/* there is one for each process */
	my_ring->database = MyDatabaseId;
	my_ring->slot = dwf_slot_mine();
	memset(&my_ring->lost, 0, sizeof(DwfLost));
	my_ring->head = my_ring->tail = 0;
	next_batch(my_ring);
	lose_all(my_ring);
	LWLockRelease(lock);
}

/* Give the ring back, if this process has one.  Cannot fail. */
void
dwf_news_end(void)
{
	if (my_ring == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_ring->database = InvalidOid;
	my_ring->slot = DWF_NO_SLOT;
	LWLockRelease(lock);
	my_ring = NULL;
}

/* Is there anything in this worker's ring, or lost; and is it urgent? */
bool
dwf_news_are_there(bool *urgent)
{
	bool		idle;

	LWLockAcquire(lock, LW_SHARED);
	idle = is_idle(my_ring);
	*urgent = is_urgent(my_ring);
	LWLockRelease(lock);
	return !idle;
}

/*
 * Empty this worker's ring into a copy of DWF_RING_BYTES; returns how many of
 * them are used.  "urgent": some may be for suspended workflows.  "lost" is
 * what these have to look at, since it did not come through the ring;
 * "resync": listeners, too, have to look.
 */
uint32
dwf_news_take(char *copy, DwfLost *lost, bool *urgent, bool *resync)
{
	uint32		length;
	uint32		at;
	uint32		first;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	*urgent = is_urgent(my_ring);
	*resync = my_ring->resync;
	my_ring->resync = false;
	next_batch(my_ring);

	/* the bytes from the tail on go round the end of the buffer */
	length = my_ring->head - my_ring->tail;
	at = my_ring->tail % DWF_RING_BYTES;
	first = Min(length, DWF_RING_BYTES - at);
	memcpy(copy, my_ring->bytes + at, first);
	memcpy(copy + first, my_ring->bytes, length - first);
	my_ring->tail = my_ring->head;

	/* copy the bits of what was lost only if there are any */
	lost->any = my_ring->lost.any;
	if (lost->any)
	{
		*lost = my_ring->lost;
		memset(&my_ring->lost, 0, sizeof(DwfLost));
	}
	LWLockRelease(lock);
	return length;
}

/* Read the news at the beginning of a copy; returns their length */
uint32
dwf_news_read(const char *copy, DwfNews *news)
{
	memcpy(news, copy, NEWS_HEADER);
	copy += NEWS_HEADER;
	memcpy(news->workflow_id, copy, news->workflow_length);
	memcpy(news->key, copy + news->workflow_length, news->key_length);
	return NEWS_HEADER + news->workflow_length + news->key_length;
}

/* The hash of the address that news tell of */
uint64
dwf_news_hash(const DwfNews *news)
{
	return dwf_address_hash_parts(news->door, news->workflow_id,
								  news->workflow_length, news->key,
								  news->key_length);
}

/* Were news of an address lost, or of all? */
bool
dwf_news_was_lost(const DwfLost *lost, uint64 hash)
{
	uint32		bit = bit_of(hash);

	return lost->all || (lost->bits[bit / 64] >> bit % 64 & 1) != 0;
}

/* Add news of an address to what was lost */
void
dwf_news_add_one_lost(DwfLost *lost, uint64 hash)
{
	uint32		bit = bit_of(hash);

	lost->any = true;
	lost->bits[bit / 64] |= UINT64CONST(1) << bit % 64;
}

/* Add to what was lost */
void
dwf_news_add_lost(DwfLost *lost, const DwfLost *more)
{
	if (!more->any)
		return;
	lost->any = true;
	lost->all |= more->all;
	for (int i = 0; i < DWF_LOST_BITS / 64; i++)
		lost->bits[i] |= more->bits[i];
}
