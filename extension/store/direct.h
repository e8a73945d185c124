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

/* How a table has been made, and what is known of it now */
typedef struct DwfDirectTable
{
	const char *name;
	int			natts;
	Oid			types[8];		/* of its columns */
	AttrNumber	nullable;		/* a column that may be null, or 0 */
	AttrNumber	also_nullable;	/* another one, or 0 */
	bool		has_tag_index;	/* a second index has the rows where the first
								 * of these is not null */
	AttrNumber	moment;			/* the column whose default is now(), or 0 */
	int			nkeys;			/* columns of its primary key */
	AttrNumber	keys[4];
	int			nindexes;
	bool		is_only_read;	/* triggers do not matter */
	int16		trigger_type;	/* of dwf_note_arrival(); 0: no trigger */

	/* the table that was found to be so, as of a version of the catalogs */
	Oid			relation;
	uint64		as_of;
} DwfDirectTable;

/* direct.c */
extern void dwf_direct_init(PGFunction note_arrival);
extern bool dwf_direct_open(DwfDirect *direct, DwfDirectTable *made,
							LOCKMODE mode);
extern void dwf_direct_close(DwfDirect *direct);
extern Oid	dwf_direct_relation(const DwfDirect *direct);
extern Snapshot dwf_direct_push_snapshot(void);

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
