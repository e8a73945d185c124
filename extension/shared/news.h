/*-------------------------------------------------------------------------
 *
 * news.h
 *	  What has come to addresses, for the worker of the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_NEWS_H
#define DWF_NEWS_H

#include "base/durable_wf.h"

#include "storage/lwlock.h"

#define DWF_RING_BYTES		65536
#define DWF_LOST_BITS		65536

/*
 * The addresses of which news were lost: those whose hash (address.c) falls on
 * a bit that is set, or all
 */
typedef struct DwfLost
{
	bool		any;
	bool		all;
	uint64		bits[DWF_LOST_BITS / 64];
} DwfLost;

/* What has come to an address; the ring carries no more of it than it has */
typedef struct DwfNews
{
	char		door;
	bool		is_bulk;		/* not among the first few of its commit */
	uint16		workflow_length;
	uint16		key_length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
	char		key[DWF_KEY_MAX];
} DwfNews;

/* The news for one worker, while a backend adds to them */
typedef struct DwfNewsRing DwfNewsRing;

extern Size dwf_news_size(void);
extern void dwf_news_init_shared(LWLockPadded *locks);

/* for backends */
extern bool dwf_news_is_there(uint64 hash, bool is_expected);
extern DwfNewsRing *dwf_news_open(void);
extern bool dwf_news_put(DwfNewsRing *ring, uint64 hash, bool is_expected,
						 char door, const char *texts,
						 uint16 workflow_length, uint16 key_length);
extern void dwf_news_lose(DwfNewsRing *ring, uint64 hash, bool is_expected);
extern void dwf_news_close(DwfNewsRing *ring);
extern void dwf_news_tell(const DwfNews *news);
extern void dwf_news_lose_all(void);

/* for a worker */
extern void dwf_news_begin(void);
extern void dwf_news_end(void);
extern bool dwf_news_are_there(bool *urgent);
extern uint32 dwf_news_take(char *copy, DwfLost *lost, bool *urgent,
							bool *resync);
extern uint32 dwf_news_read(const char *copy, DwfNews *news);
extern uint64 dwf_news_hash(const DwfNews *news);
extern bool dwf_news_was_lost(const DwfLost *lost, uint64 hash);
extern void dwf_news_add_one_lost(DwfLost *lost, uint64 hash);
extern void dwf_news_add_lost(DwfLost *lost, const DwfLost *more);

#endif							/* DWF_NEWS_H */
