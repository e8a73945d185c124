/*-------------------------------------------------------------------------
 *
 * direct_event.c
 *	  Rows without a statement: events that workflows publish.
 *
 * To publish is an upsert.  A row that the snapshot shows is updated, which
 * leaves the index alone while its page has room (HOT).  Else a row is
 * inserted speculatively, as ON CONFLICT does: if another transaction has
 * inserted one meanwhile, that is found in the index, the row is withdrawn,
 * and the statement decides.
 *
 *-------------------------------------------------------------------------
 */
#include "store/direct.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/owner.h"
#include "store/probe.h"

#define EVENT_VALUE			3
#define EVENT_UPDATED_AT	4
#define EVENT_COLUMNS		4

static DwfDirectTable events = {
	.name = "event",
	.natts = EVENT_COLUMNS,
	.types = {TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID},
	.moment = EVENT_UPDATED_AT,
	.nkeys = 2,
	.keys = {DWF_EVENT_WORKFLOW_ID, DWF_EVENT_KEY},
	.nindexes = 1,
	.trigger_type = TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE |
	TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE
};

/* Begin to scan for an event */
static SysScanDesc
begin_scan(DwfDirect *direct, Snapshot snapshot, text *workflow_id, text *key)
{
	ScanKeyData keys[2];

	ScanKeyEntryInitialize(&keys[0], 0, DWF_EVENT_WORKFLOW_ID,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(workflow_id));
	ScanKeyEntryInitialize(&keys[1], 0, DWF_EVENT_KEY, BTEqualStrategyNumber,
						   TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(key));
	return systable_beginscan_ordered(direct->table, direct->pkey, snapshot, 2,
									  keys);
}

/* Find the place of an event's row; false if the snapshot shows none */
static bool
find_place(DwfDirect *direct, Snapshot snapshot, text *workflow_id, text *key,
		   ItemPointer place)
{
	SysScanDesc scan = begin_scan(direct, snapshot, workflow_id, key);
	HeapTuple	row = systable_getnext_ordered(scan, ForwardScanDirection);
	bool		found = HeapTupleIsValid(row);

	if (found)
		*place = row->t_self;
	systable_endscan_ordered(scan);
	return found;
}

/*
 * Read a workflow and one of its events in one snapshot, as dwf_store_event()
 * does.  NOTHING: there is no workflow.
 */
DwfDirectResult
dwf_direct_event(text *workflow_id, text *key, DwfValue * value, DwfLife *life)
{
	DwfDirect	direct;
	Snapshot	snapshot;
	bool		found;

	if (!dwf_direct_open(&direct, &events, AccessShareLock))
		return DWF_DIRECT_ASIDE;
	snapshot = dwf_direct_push_snapshot();
	value->isnull = true;
	found = dwf_probe_life(workflow_id, snapshot, life);
	if (found)
	{
		SysScanDesc scan = begin_scan(&direct, snapshot, workflow_id, key);
		HeapTuple	row = systable_getnext_ordered(scan, ForwardScanDirection);

		if (HeapTupleIsValid(row))
		{
			Datum		datum = heap_getattr(row, EVENT_VALUE,
											 RelationGetDescr(direct.table),
											 &value->isnull);

			value->value = PointerGetDatum(PG_DETOAST_DATUM_COPY(datum));
		}
		systable_endscan_ordered(scan);
	}
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return found ? DWF_DIRECT_DONE : DWF_DIRECT_NOTHING;
}

/* Write the index entry of a row; false: not, as UNIQUE_CHECK_PARTIAL says */
static bool
write_index(DwfDirect *direct, TupleTableSlot *slot, IndexUniqueCheck check,
			bool is_unchanged)
{
	return index_insert(direct->pkey, slot->tts_values, slot->tts_isnull,
						&slot->tts_tid, direct->table, check, is_unchanged,
						BuildIndexInfo(direct->pkey));
}

/*
 * Write a new version of a row, once no other transaction is at it.  (The heap
 * asserts that an update waits, even if only this transaction has locked the
 * row.)  ASIDE: another transaction has written a version.
 */
static DwfDirectResult
update_row(DwfDirect *direct, Snapshot snapshot, ItemPointer place,
		   TupleTableSlot *slot)
{
	TM_FailureData failure;
	LockTupleMode mode;
	DwfUpdateIndexes indexes;

	CheckCmdReplicaIdentity(direct->table, CMD_UPDATE);
	if (DWF_TUPLE_UPDATE(direct->table, place, slot, snapshot, &failure,
						 &mode, &indexes) != TM_Ok)
		return DWF_DIRECT_ASIDE;
	if (DWF_UPDATES_INDEXES(indexes))
		(void) write_index(direct, slot, UNIQUE_CHECK_YES, true);
	return DWF_DIRECT_DONE;
}

/* Insert a row.  ASIDE: another transaction inserts one of this key. */
static DwfDirectResult
insert_row(DwfDirect *direct, TupleTableSlot *slot)
{
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		is_unique;

	table_tuple_insert_speculative(direct->table, slot,
								   GetCurrentCommandId(true), 0, NULL, token);
	is_unique = write_index(direct, slot, UNIQUE_CHECK_PARTIAL, false);
	table_tuple_complete_speculative(direct->table, slot, token, is_unique);
	SpeculativeInsertionLockRelease(xid);
	return is_unique ? DWF_DIRECT_DONE : DWF_DIRECT_ASIDE;
}

/* Make the row of an event, in a slot */
static TupleTableSlot *
make_row(DwfDirect *direct, text *workflow_id, text *key, Datum value)
{
	TupleTableSlot *slot;

	slot = MakeSingleTupleTableSlot(RelationGetDescr(direct->table),
									&TTSOpsVirtual);
	slot->tts_values[DWF_EVENT_WORKFLOW_ID - 1] = PointerGetDatum(workflow_id);
	slot->tts_values[DWF_EVENT_KEY - 1] = PointerGetDatum(key);
	slot->tts_values[EVENT_VALUE - 1] = value;
	slot->tts_values[EVENT_UPDATED_AT - 1] =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	memset(slot->tts_isnull, false, EVENT_COLUMNS * sizeof(bool));
	return ExecStoreVirtualTuple(slot);
}

/* Open the table to publish events; false if statements have to do that */
bool
dwf_direct_open_events(DwfDirect *direct)
{
	/* in an older snapshot the row may have newer versions */
	return !IsolationUsesXactSnapshot() &&
		dwf_direct_open(direct, &events, RowExclusiveLock);
}

/*
 * Publish a value under a key, as dwf_store_set_event() does.  NOTHING: the
 * workflow has ended, does not exist or is not the role's.  The transaction
 * has its xid, and the caller has done the work of the trigger.
 */
DwfDirectResult
dwf_direct_set_event(DwfDirect *direct, text *workflow_id, text *key,
					 Datum value, Oid role)
{
	Snapshot	snapshot = dwf_direct_push_snapshot();
	DwfDirectResult result = DWF_DIRECT_NOTHING;
	DwfLife		life;

	if (dwf_probe_life(workflow_id, snapshot, &life) && !life.finished &&
		dwf_owner_allows(life.owner, role))
	{
		TupleTableSlot *row = make_row(direct, workflow_id, key, value);
		ItemPointerData place;

		if (find_place(direct, snapshot, workflow_id, key, &place))
			result = update_row(direct, snapshot, &place, row);
		else
			result = insert_row(direct, row);
		ExecDropSingleTupleTableSlot(row);
		CommandCounterIncrement();
	}
	PopActiveSnapshot();
	return result;
}
