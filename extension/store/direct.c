/*-------------------------------------------------------------------------
 *
 * direct.c
 *	  Rows of our tables without a statement: which tables are fit for that.
 *
 * To send and to receive is most of what this extension does, and to start and
 * to end the executor for a row costs as much as the row.  So the rows of some
 * tables are written, read and deleted by the access methods of tables and
 * indexes, as the server treats its own catalogs.
 *
 * That is the same as the statement only while a table is as our script has
 * made it.  Whatever somebody has added (a trigger, a rule, a CHECK, a column,
 * an index, a child) or changed (the engine, a type, a default, the owner, the
 * privileges, FORCE ROW LEVEL SECURITY), and a hook that checks permissions,
 * is the executor's task.  Therefore:
 *
 *	D1	Each access begins with dwf_direct_open(), which locks the table and
 *		then tests what the relcache says.  While the lock is held no other
 *		session can change what was tested.
 *	D2	Whatever is not so, and whatever is rare (a lock that is not free at
 *		once, a row that another transaction has changed), makes the access
 *		step aside before it has had an effect.  The caller then runs the
 *		statement.
 *	D3	An access leaves what the statement leaves: the command is counted,
 *		its effects are visible to the next one, the statistics and the WAL
 *		(hence logical decoding) come from the same functions of the server.
 *	D4	No function runs but ours and the server's, so the access need not
 *		become the tables' owner.  The caller does the work of our trigger
 *		before it writes.
 *
 * The setting durable_wf.debug_direct = off makes each access step aside.
 *
 *-------------------------------------------------------------------------
 */
#include "store/direct.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/settings.h"
#include "shared/claim.h"
#include "store/catalog.h"

/* Our trigger functions */
static PGFunction note_function = NULL;
static PGFunction release_function = NULL;

/* Name the trigger functions whose work the callers do; at load */
void
dwf_direct_init(PGFunction note_arrival, PGFunction release_hooks)
{
	note_function = note_arrival;
	release_function = release_hooks;
}

/* ----- what is tested once, and again when the catalogs have changed ----- */

/* Is a column's default now()? */
static bool
has_default_now(Relation table, AttrNumber column)
{
	Node	   *value = build_column_default(table, column);

	return value && IsA(value, FuncExpr) &&
		castNode(FuncExpr, value)->funcid == F_NOW;
}

/* Is a column's default PENDING, 0 or false, as our inserts write, or none? */
static bool
has_our_constant(Relation table, AttrNumber column)
{
	Node	   *value = build_column_default(table, column);
	const Const *constant = (const Const *) value;

	if (value == NULL)
		return true;
	if (!IsA(value, Const) || constant->constisnull)
		return false;
	switch (constant->consttype)
	{
		case TEXTOID:
			return strcmp(TextDatumGetCString(constant->constvalue),
						  DWF_STATUS_PENDING) == 0;
		case INT4OID:
		case BOOLOID:
			return constant->constvalue == (Datum) 0;
		default:
			return false;
	}
}

/* Is this the type of our columns of owners, in the schema of the table? */
static bool
is_owner_type(Oid oid, Relation table)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(oid));
	Form_pg_type type;
	bool		is_ours;

	if (!HeapTupleIsValid(tuple))
		return false;
	type = (Form_pg_type) GETSTRUCT(tuple);
	is_ours = type->typnamespace == RelationGetNamespace(table) &&
		type->typbyval && type->typlen == sizeof(Oid);
	ReleaseSysCache(tuple);
	return is_ours;
}

/* Are the columns as we have made them? */
static bool
has_our_columns(Relation table, const DwfDirectTable *made)
{
	TupleDesc	desc = RelationGetDescr(table);

	for (int i = 0; i < made->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		bool		may_be_null = column->attnum == made->nullable ||
		(made->nullables & (1U << column->attnum)) != 0;

		if (column->attisdropped || column->attidentity != '\0' ||
			column->attnotnull == may_be_null)
			return false;
		if (OidIsValid(made->types[i]) ?
			column->atttypid != made->types[i] :
			!is_owner_type(column->atttypid, table))
			return false;
		if ((made->moments & (1U << column->attnum)) != 0 ?
			!has_default_now(table, column->attnum) :
			(made->has_constants && !has_our_constant(table, column->attnum)))
			return false;
	}
	return made->moment == 0 || has_default_now(table, made->moment);
}

/* Is the trigger that the table has the one that we have made? */
static bool
is_our_trigger(const Trigger *trigger, const DwfDirectTable *made)
{
	FmgrInfo	function;

	if (trigger->tgtype != made->trigger_type || trigger->tgnattr != 0 ||
		trigger->tgnargs != 1 || strcmp(trigger->tgargs[0], made->name) != 0)
		return false;
	fmgr_info(trigger->tgfoid, &function);
	return function.fn_addr == note_function;
}

/* Is a trigger one of several that we have made, and does it fire for us? */
static bool
is_one_of(const Trigger *trigger, const DwfDirectTrigger * one,
		  const DwfDirectTable *made)
{
	FmgrInfo	function;

	if (trigger->tgtype != one->type || trigger->tgnattr != one->ncolumns ||
		trigger->tgqual != NULL ||
		trigger->tgenabled == TRIGGER_DISABLED ||
		trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA)
		return false;
	fmgr_info(trigger->tgfoid, &function);
	if (one->is_release)
		return function.fn_addr == release_function;
	return trigger->tgenabled == TRIGGER_FIRES_ALWAYS &&
		trigger->tgnargs == 1 &&
		strcmp(trigger->tgargs[0], made->name) == 0 &&
		function.fn_addr == note_function;
}

/* Are the triggers, of which there are as many as we have made, these? */
static bool
are_our_triggers(const TriggerDesc *triggers, const DwfDirectTable *made)
{
	for (int i = 0; i < made->ntriggers; i++)
	{
		bool		found = false;

		for (int j = 0; j < triggers->numtriggers && !found; j++)
			found = is_one_of(&triggers->triggers[j], &made->triggers[i],
							  made);
		if (!found)
			return false;
	}
	return true;
}

/* Is this the index of the primary key that we have made? */
static bool
is_our_pkey(Relation index, const DwfDirectTable *made)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisunique ||
		!form->indimmediate || !form->indisvalid || form->indcheckxmin ||
		form->indnatts != made->nkeys || form->indnkeyatts != made->nkeys)
		return false;
	for (int i = 0; i < made->nkeys; i++)
		if (form->indkey.values[i] != made->keys[i] ||
			(made->types[made->keys[i] - 1] == TEXTOID &&
			 index->rd_indcollation[i] != C_COLLATION_OID))
			return false;
	return true;
}

/* Has this index only rows where the first column that may be null is not? */
static bool
is_our_tag_index(Oid oid, const DwfDirectTable *made)
{
	Relation	index = index_open(oid, AccessShareLock);
	List	   *predicate = RelationGetIndexPredicate(index);
	NullTest   *test = predicate ? linitial(predicate) : NULL;
	bool		is_ours = list_length(predicate) == 1 && IsA(test, NullTest) &&
	test->nulltesttype == IS_NOT_NULL && IsA(test->arg, Var) &&
	castNode(Var, test->arg)->varattno == made->nullable;

	index_close(index, AccessShareLock);
	return is_ours;
}

/* May the role that our statements run as do with this table what it wants? */
static bool
is_owner_free(Relation table)
{
	const AclMode all = ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE;
	Oid			owner = dwf_catalog_owner();

	return table->rd_rel->relowner == owner &&
		pg_class_aclmask(RelationGetRelid(table), owner, all,
						 ACLMASK_ALL) == all;
}

/* Has the table, beside its primary key, the index of tags and no other? */
static bool
has_our_tag_index(Relation table, const DwfDirectTable *made)
{
	Oid			other = InvalidOid;
	int			count = 0;
	ListCell   *cell;

	/* a copy, since to open an index may have the relcache entry made anew */
	foreach(cell, RelationGetIndexList(table))
		if (lfirst_oid(cell) != table->rd_pkindex)
	{
		other = lfirst_oid(cell);
		count++;
	}
	return count == 1 && is_our_tag_index(other, made);
}

/* Is this a test of a column of durable_wf.workflow for null, or for not? */
static bool
is_null_test(const Node *clause, AttrNumber column, NullTestType type)
{
	const NullTest *test = (const NullTest *) clause;

	return IsA(clause, NullTest) && test->nulltesttype == type &&
		IsA(test->arg, Var) && castNode(Var, test->arg)->varattno == column;
}

/* Is this the test that the status is not WAITING? */
static bool
is_free_test(const Node *clause)
{
	const		OpExpr *test = (const OpExpr *) clause;
	const Var  *column;
	const Const *value;

	if (!IsA(clause, OpExpr) || get_opcode(test->opno) != F_TEXTNE ||
		list_length(test->args) != 2)
		return false;
	column = linitial(test->args);
	value = lsecond(test->args);
	return IsA(column, Var) && column->varattno == DWF_WORKFLOW_STATUS &&
		IsA(value, Const) && !value->constisnull &&
		strcmp(TextDatumGetCString(value->constvalue),
			   DWF_STATUS_WAITING) == 0;
}

/* Has an index the rows that this one of ours has? */
static bool
has_our_predicate(Relation index, const DwfDirectIndex * made)
{
	List	   *predicate = RelationGetIndexPredicate(index);
	int			found = 0;
	ListCell   *cell;

	foreach(cell, predicate)
	{
		Node	   *clause = lfirst(cell);

		if (is_null_test(clause, made->not_null, IS_NOT_NULL) ||
			(made->is_live &&
			 is_null_test(clause, DWF_WORKFLOW_FINISHED_AT, IS_NULL)) ||
			(made->is_free && is_free_test(clause)))
			found++;
	}
	return found == list_length(predicate) &&
		found == 1 + made->is_live + made->is_free;
}

/* Is an expression of an index the owner as an oid? */
static bool
is_owner_as_oid(Relation index)
{
	List	   *expressions = RelationGetIndexExpressions(index);
	RelabelType *cast = expressions ? linitial(expressions) : NULL;

	return list_length(expressions) == 1 && IsA(cast, RelabelType) &&
		cast->resulttype == OIDOID && IsA(cast->arg, Var) &&
		castNode(Var, cast->arg)->varattno == DWF_WORKFLOW_OWNER;
}

/* Is an index one that we have made, beside the primary key? */
static bool
is_our_index(Relation index, const DwfDirectIndex * one,
			 const DwfDirectTable *made)
{
	Form_pg_index form = index->rd_index;
	bool		has_owner = false;

	if (index->rd_rel->relam != BTREE_AM_OID || form->indisunique ||
		!form->indisvalid || form->indcheckxmin ||
		form->indnatts != one->nkeys || form->indnkeyatts != one->nkeys)
		return false;
	for (int i = 0; i < one->nkeys; i++)
	{
		AttrNumber	column = form->indkey.values[i];

		if (column != one->keys[i] || index->rd_indoption[i] != 0 ||
			(column != 0 && column != DWF_WORKFLOW_QUEUE &&
			 made->types[column - 1] == TEXTOID &&
			 index->rd_indcollation[i] != C_COLLATION_OID))
			return false;
		has_owner |= column == 0;
	}
	return (!has_owner || is_owner_as_oid(index)) &&
		has_our_predicate(index, one);
}

/* Which of the indexes that we have made is this?  -1: none */
static int
number_of_index(Oid oid, const DwfDirectTable *made)
{
	Relation	index = index_open(oid, AccessShareLock);
	int			number = made->nindexes - 2;

	while (number >= 0 &&
		   !is_our_index(index, &made->indexes[number], made))
		number--;
	index_close(index, AccessShareLock);
	return number;
}

/* Find the indexes beside the primary key; false if they are not ours */
static bool
find_our_indexes(Relation table, DwfDirectTable *made)
{
	List	   *oids = RelationGetIndexList(table);
	int			count = 0;
	ListCell   *cell;

	memset(made->index_oids, 0, sizeof(made->index_oids));
	foreach(cell, oids)
	{
		int			number;

		if (lfirst_oid(cell) == table->rd_pkindex)
			continue;
		number = number_of_index(lfirst_oid(cell), made);
		if (number < 0 || OidIsValid(made->index_oids[number]))
			return false;
		made->index_oids[number] = lfirst_oid(cell);
		count++;
	}
	return count == made->nindexes - 1;
}

/* Test what takes long to test */
static bool
is_as_made(const DwfDirect *direct, DwfDirectTable *made)
{
	Relation	table = direct->table;

	return is_owner_free(table) && has_our_columns(table, made) &&
		is_our_pkey(direct->pkey, made) &&
		(made->trigger_type == 0 ||
		 is_our_trigger(&table->trigdesc->triggers[0], made)) &&
		(made->triggers == NULL ||
		 are_our_triggers(table->trigdesc, made)) &&
		(!made->has_tag_index || has_our_tag_index(table, made)) &&
		(made->indexes == NULL || find_our_indexes(table, made));
}

/* Test it, unless that was done and the catalogs have not changed since */
static bool
is_known(const DwfDirect *direct, DwfDirectTable *made)
{
	Oid			relation = RelationGetRelid(direct->table);
	uint64		as_of = dwf_catalog_version();

	if (made->relation == relation && made->as_of == as_of)
		return true;
	if (!is_as_made(direct, made))
		return false;
	made->relation = relation;
	made->as_of = as_of;
	return true;
}

/* ----- what is tested at each access ----- */

/* Has the table no trigger but ours, and does that fire in each session? */
static bool
has_our_triggers(Relation table, const DwfDirectTable *made)
{
	const TriggerDesc *triggers = table->trigdesc;

	if (made->is_only_read)
		return true;
	if (made->triggers)
		return triggers && triggers->numtriggers == made->ntriggers;
	if (made->trigger_type == 0)
		return triggers == NULL;
	return triggers && triggers->numtriggers == 1 &&
		triggers->triggers[0].tgenabled == TRIGGER_FIRES_ALWAYS &&
		triggers->triggers[0].tgqual == NULL;
}

/* Has the table as many indexes as we have made, and a primary key? */
static bool
has_our_indexes(Relation table, const DwfDirectTable *made)
{
	if (!table->rd_indexvalid)
		list_free(RelationGetIndexList(table));
	return OidIsValid(table->rd_pkindex) &&
		list_length(table->rd_indexlist) == made->nindexes;
}

/*
 * Would the executor do nothing with this table but what we do?  (Distributed
 * tables of Citus and hypertables of TimescaleDB have triggers of theirs.)
 */
static bool
is_plain(Relation table, const DwfDirectTable *made)
{
	Form_pg_class class = table->rd_rel;
	const TupleConstr *constraints = RelationGetDescr(table)->constr;

	return class->relkind == RELKIND_RELATION &&
		class->relam == HEAP_TABLE_AM_OID &&
		class->relnatts == made->natts &&
		!class->relispartition && !class->relhassubclass &&
		!class->relhasrules && !class->relforcerowsecurity &&
		(constraints == NULL ||
		 (constraints->num_check == 0 &&
		  !constraints->has_generated_stored)) &&
		has_our_triggers(table, made) && has_our_indexes(table, made) &&
		ExecutorCheckPerms_hook == NULL;
}

/*
 * Open a table and its primary key, if an access may go on as at the head of
 * this file; else false.  A lock that is not free at once is the statement's,
 * which knows how long to wait.
 */
bool
dwf_direct_open(DwfDirect *direct, DwfDirectTable *made, LOCKMODE mode)
{
	Oid			relation;

	if (!dwf_setting_debug_direct)
		return false;
	/* the statement refuses to write, but in a body (statement.c) */
	if (mode != AccessShareLock && XactReadOnly && !dwf_claim_is_body())
		return false;
	relation = dwf_catalog_relation(made->name);
	if (!ConditionalLockRelationOid(relation, mode))
		return false;

	direct->table = table_open(relation, NoLock);
	if (is_plain(direct->table, made) &&
		ConditionalLockRelationOid(direct->table->rd_pkindex, mode))
	{
		direct->pkey = index_open(direct->table->rd_pkindex, NoLock);
		if (is_known(direct, made))
			return true;
		index_close(direct->pkey, NoLock);
	}
	table_close(direct->table, NoLock);
	return false;
}

/* Close both; the locks stay until the transaction ends, as a statement's */
void
dwf_direct_close(DwfDirect *direct)
{
	index_close(direct->pkey, NoLock);
	table_close(direct->table, NoLock);
}

/* The OID of the table */
Oid
dwf_direct_relation(const DwfDirect *direct)
{
	return RelationGetRelid(direct->table);
}

/*
 * Push the snapshot that a statement of ours would have here: it shows what
 * this session has done so far.  The caller pops it.
 */
Snapshot
dwf_direct_push_snapshot(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	return GetActiveSnapshot();
}

/*
 * Is another transaction at a row, whose version is in the slot?  Whoever
 * would not wait for it asks this before an update, since the heap asserts
 * that updates wait.  One that comes in between is waited for.
 */
bool
dwf_direct_is_held(TupleTableSlot *slot)
{
	HeapTupleHeader row = ExecFetchSlotHeapTuple(slot, false, NULL)->t_data;
	TransactionId xmax = HeapTupleHeaderGetRawXmax(row);

	if (row->t_infomask & HEAP_XMAX_INVALID)
		return false;
	return (row->t_infomask & HEAP_XMAX_IS_MULTI) != 0 ||
		(!TransactionIdIsCurrentTransactionId(xmax) &&
		 TransactionIdIsInProgress(xmax));
}
