/*-------------------------------------------------------------------------
 *
 * direct.h
 *	  Rows of our tables without a statement: by the access methods of tables
 *	  and indexes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_DIRECT_H
#define DWF_DIRECT_H

#include "base/durable_wf.h"

#include "access/skey.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "shared/address.h"
#include "store/store.h"
#include "store/stream_rows.h"

/* A table that is open, and its primary key */
typedef struct DwfDirect
{
	Relation	table;
	Relation	pkey;
} DwfDirect;

/* What an access has come to: if DWF_DIRECT_ASIDE, a statement has to do it */
typedef enum DwfDirectResult
{
	DWF_DIRECT_DONE,
	DWF_DIRECT_NOTHING,
	DWF_DIRECT_ASIDE
} DwfDirectResult;

/* A row that a search for bodies has found */
typedef struct DwfFound
{
	text	   *workflow_id;
	TimestampTz due;
	TransactionId xmax;
	ItemPointerData tid;		/* of the row, or invalid */
}			DwfFound;

/*
 * An index beside the primary key: which rows it has, and by what.  The
 * columns are those of durable_wf.workflow.
 */
typedef struct DwfDirectIndex
{
	int			nkeys;
	AttrNumber	keys[3];		/* 0: the owner as an oid */
	AttrNumber	not_null;		/* rows where this is not null, */
	bool		is_live;		/* ... that have not ended, */
	bool		is_free;		/* ... and are not WAITING */
}			DwfDirectIndex;

/* A trigger that a table has beside others */
typedef struct DwfDirectTrigger
{
	int16		type;
	int16		ncolumns;		/* of UPDATE OF */
	bool		is_release;		/* else the function is note_arrival() */
}			DwfDirectTrigger;

#define DWF_DIRECT_COLUMNS	18	/* at most */
#define DWF_DIRECT_INDEXES	5	/* beside the primary key, at most */

/* How a table has been made, and what is known of it now */
typedef struct DwfDirectTable
{
	const char *name;
	int			natts;
	Oid			types[DWF_DIRECT_COLUMNS];	/* of its columns; 0: owner */
	AttrNumber	nullable;		/* a column that may be null, or 0 */
	uint32		nullables;		/* if others may: a bit for each number */
	bool		has_tag_index;	/* a second index has the rows where the first
								 * of these is not null */
	AttrNumber	moment;			/* the column whose default is now(), or 0 */
	uint32		moments;		/* if several are so: a bit for each number */
	bool		has_constants;	/* other defaults are those of inserts, too */
	int			nkeys;			/* columns of its primary key */
	AttrNumber	keys[4];
	int			nindexes;
	bool		is_only_read;	/* triggers do not matter */
	int16		trigger_type;	/* of dwf_note_arrival(); 0: no trigger */
	const		DwfDirectTrigger *triggers; /* or several */
	int			ntriggers;
	const		DwfDirectIndex *indexes;	/* beside the primary key */

	/* the table that was found to be so, as of a version of the catalogs */
	Oid			relation;
	uint64		as_of;
	Oid			index_oids[DWF_DIRECT_INDEXES]; /* as in "indexes" */
} DwfDirectTable;

/* direct.c */
extern void dwf_direct_init(PGFunction note_arrival,
							PGFunction release_hooks);
extern bool dwf_direct_open(DwfDirect *direct, DwfDirectTable *made,
							LOCKMODE mode);
extern void dwf_direct_close(DwfDirect *direct);
extern Oid	dwf_direct_relation(const DwfDirect *direct);
extern Snapshot dwf_direct_push_snapshot(void);
extern bool dwf_direct_is_held(TupleTableSlot *slot);

/* direct_workflow.c */
extern bool dwf_direct_open_workflows(DwfDirect *direct, LOCKMODE mode);
extern Relation dwf_direct_open_work(void);
extern DwfDirectResult dwf_direct_claim(text *workflow_id, Oid role,
										bool has_crashed,
										DwfClaimed *claimed);
extern DwfDirectResult dwf_direct_open_start(DwfDirect *direct,
											 const DwfStart *start);
extern DwfDirectResult dwf_direct_start(DwfDirect *direct,
										const DwfStart *start, Oid owner);
extern DwfDirectResult dwf_direct_finish(text *workflow_id, Oid role,
										 const char *status, DwfValue output,
										 DwfValue error);

extern DwfDirectResult dwf_direct_resume(text *workflow_id, Oid *owner);

/* direct_search.c */
extern int	dwf_direct_search(Oid role, TimestampTz due, text *workflow_id,
							  int limit, DwfFound * *found);

/* direct_wait.c */
extern int	dwf_direct_waiters(const DwfAddress *addresses, int count,
							   int limit, Datum **found);
extern DwfDirectResult dwf_direct_forget_wait(text *workflow_id);

/* direct_step.c */
extern DwfDirectResult dwf_direct_record(text *workflow_id,
										 const DwfRecord *record,
										 bool even_if_ended);
extern int	dwf_direct_last_step(text *workflow_id);
extern DwfDirectResult dwf_direct_read_record(text *workflow_id, int step_no,
											  DwfRecord *record);

/* direct_message.c */
extern bool dwf_direct_open_messages(DwfDirect *direct);
extern void dwf_direct_deliver(DwfDirect *direct, int64 message_id,
							   const DwfAddress *address, Datum payload,
							   const text *traceparent);
extern int	dwf_direct_take(const DwfAddress *queue, uint64 hash, int64 from,
							int64 to, int limit, DwfItem **items);
extern bool dwf_direct_lowest(const DwfAddress *queue, uint64 hash,
							  int64 from, int64 *lowest);
extern bool dwf_direct_oldest(const DwfAddress *queues, const uint64 *hashes,
							  const int64 *start, int count, int *oldest,
							  int64 *message_id);

/* direct_event.c */
extern bool dwf_direct_open_events(DwfDirect *direct);
extern DwfDirectResult dwf_direct_set_event(DwfDirect *direct,
											text *workflow_id, text *key,
											Datum value, Oid role);
extern DwfDirectResult dwf_direct_event(text *workflow_id, text *key,
										DwfValue * value, DwfLife *life);

/* direct_stream.c */
extern bool dwf_direct_open_items(DwfDirect *direct);
extern int64 dwf_direct_append(DwfDirect *direct, const DwfStreamTurn *turn,
							   Datum value);
extern void dwf_direct_end_subxact(SubTransactionId subid);
extern void dwf_direct_end_xact(bool is_committed);
extern int	dwf_direct_read_items(text *workflow_id, text *stream,
								  int64 after, int limit,
								  DwfStreamItem **items);

#endif							/* DWF_DIRECT_H */
