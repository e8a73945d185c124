/*-------------------------------------------------------------------------
 *
 * anchor.c
 *	  Which node of a cluster has which workflow.
 *
 * On a Citus cluster each node has the extension with ordinary tables of its
 * own.  An empty distributed table, the anchor durable_wf.shard, says which
 * node has which workflow: the one that has the shard into which the hash of
 * the workflow's id falls (wf_distribute() makes it).  Without an anchor each
 * workflow is here.
 *
 * Where a shard is according to Citus is one thing; who has the rows of its
 * workflows is another, since Citus moves shards without our rows.  Each node
 * notes in durable_wf.custody which shards have their rows with it.  A node
 * that has a shard without custody serves none of its workflows:
 *
 *	A1	At most one node has custody of a shard.
 *	A2	A node acts on a workflow only if the shard is there according to
 *		Citus and the node has custody of it.
 *	A3	The nodes commit a move one after the other, and what Citus notes and
 *		what we note may be two transactions.  But before the first of them
 *		commits, each node has written both, and holds the locks of that until
 *		it commits, too.  So where two nodes differ, or Citus and custody, the
 *		session waits for these locks and looks again.
 *
 * The session keeps what it has read, as a map, until an invalidation message
 * tells that the anchor, the custody or a node has changed.  That there is no
 * anchor is kept, too, until any relation has changed.  The map is that of the
 * latest snapshot, since that is what Citus goes by, even where the
 * transaction sees what was before a move.
 *
 *-------------------------------------------------------------------------
 */
#include "store/anchor.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "store/catalog.h"
#include "store/cluster_rows.h"

/* The map; its memory is replaced as a whole */
static DwfShard * shards = NULL;
static int	nshards = 0;
static MemoryContext map_context = NULL;
static bool is_read = false;

/* What the map depends on */
static Oid	anchor = InvalidOid;
static Oid	custody = InvalidOid;
static Oid	node_table = InvalidOid;
static Oid	placement_table = InvalidOid;

bool		dwf_anchor_is_absent = false;

/* How many invalidations may have concerned the map */
static uint64 forgotten = 0;

/* Relcache callback: one relation has changed, or any if it is InvalidOid */
static void
relation_changed(Datum arg, Oid relation)
{
	(void) arg;
	if (is_read && nshards > 0 && OidIsValid(relation) &&
		relation != anchor && relation != custody && relation != node_table)
		return;
	is_read = false;
	dwf_anchor_is_absent = false;
	forgotten++;
}

/* The anchor's OID; invalid if this database has none, or has no Citus */
static Oid
find_anchor(void)
{
	node_table = get_relname_relid("pg_dist_node", PG_CATALOG_NAMESPACE);
	if (!OidIsValid(node_table) || !dwf_catalog_is_installed())
		return InvalidOid;
	placement_table = get_relname_relid("pg_dist_placement",
										PG_CATALOG_NAMESPACE);
	custody = dwf_catalog_find_relation("custody");
	if (!OidIsValid(custody))
		return InvalidOid;		/* the objects are of an older version */
	return dwf_catalog_find_relation("shard");
}

/* Read the map */
static void
read_map(void)
{
	static bool watching = false;
	uint64		before;
	MemoryContext context;
	DwfShard   *found = NULL;
	int			count = 0;

	if (!watching)
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	watching = true;
	before = forgotten;

	context = AllocSetContextCreate(TopMemoryContext, "durable_wf nodes",
									ALLOCSET_SMALL_SIZES);
	anchor = find_anchor();
	if (OidIsValid(anchor))
		found = dwf_store_read_shards(anchor, context, &count);

	/* what has become wrong meanwhile is used once */
	if (map_context)
		MemoryContextDelete(map_context);
	map_context = context;
	shards = found;
	nshards = count;
	is_read = forgotten == before;
	dwf_anchor_is_absent = is_read && nshards == 0;
}

/* Is this database part of a cluster, with an anchor? */
bool
dwf_anchor_exists(void)
{
	if (dwf_anchor_is_absent)
		return false;
	if (!is_read)
		read_map();
	return nshards > 0;
}

/* The shard of a hash; raises if there is no anchor any more */
static const DwfShard *
find_shard(int32 hash)
{
	int			low = 0;
	int			high;

	if (!dwf_anchor_exists())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflows are not distributed any more")));
	high = nshards - 1;
	while (low < high)
	{
		int			middle = (low + high + 1) / 2;

		if (shards[middle].start <= hash)
			low = middle;
		else
			high = middle - 1;
	}
	return &shards[low];
}

/* The hash of a workflow's id, which says to which shard it belongs */
int32
dwf_anchor_hash(text *workflow_id)
{
	Datum		id = PointerGetDatum(workflow_id);

	return DatumGetInt32(DirectFunctionCall1Coll(hashtext, C_COLLATION_OID,
												 id));
}

/* Where the shard of a hash begins */
int32
dwf_anchor_shard_start(int32 hash)
{
	return find_shard(hash)->start;
}

/* The number of the shard of a hash, from 0 */
uint16
dwf_anchor_shard_number(int32 hash)
{
	return (uint16) (find_shard(hash) - shards);
}

/* Go on to where the next shard begins; false after the last one */
bool
dwf_anchor_next_shard(int32 *start)
{
	int			next = dwf_anchor_shard_number(*start) + 1;

	if (next >= nshards)
		return false;
	*start = shards[next].start;
	return true;
}

/* Which node has the workflows with this hash? */
DwfNode
dwf_anchor_node(int32 hash)
{
	return find_shard(hash)->node;
}

/* Does this node have the workflows with this hash? */
bool
dwf_anchor_is_here(int32 hash)
{
	return !dwf_anchor_exists() || find_shard(hash)->node.is_here;
}

/* Does this node have custody of the shard of a hash? */
bool
dwf_anchor_in_custody(int32 hash)
{
	return find_shard(hash)->in_custody;
}

/*
 * Wait until the moves that have been prepared have ended on this node, and
 * read the map anew (A3)
 */
void
dwf_anchor_settle(void)
{
	if (!dwf_anchor_exists())
		return;
	LockRelationOid(placement_table, ShareLock);
	UnlockRelationOid(placement_table, ShareLock);
	LockRelationOid(custody, ShareLock);
	UnlockRelationOid(custody, ShareLock);
	is_read = false;
}

/* Raise WF011: a call of this function belongs to the node that has this */
void
dwf_anchor_report(const char *function, int32 hash, const char *hint)
{
	DwfNode		node = dwf_anchor_node(hash);

	ereport(ERROR,
			(errcode(DWF_ERRCODE_OTHER_NODE),
			 errmsg("%s() has to be called on the node of the workflow",
					function),
			 errdetail("The workflow is on node %s:%d.", node.host, node.port),
			 errhint("%s", hint)));
}

/* Raise 55000 unless this node, which has the shard, has custody of it (A2) */
void
dwf_anchor_check_custody(int32 hash)
{
	const		DwfShard *shard = find_shard(hash);

	if (shard->in_custody)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this node does not have the rows of the workflow"),
			 errdetail("Its shard of durable_wf.shard was moved to %s:%d by Citus alone, which leaves our rows behind.",
					   shard->node.host, shard->node.port),
			 errhint("Have Citus move the shard back to the node that it came from.")));
}

/* The nodes that have shards, each once, and this one; palloc'd */
int
dwf_anchor_nodes(DwfNode * *nodes)
{
	int			count = 0;

	*nodes = NULL;
	if (!dwf_anchor_exists())
		return 0;
	*nodes = palloc(nshards * sizeof(DwfNode));
	for (int i = 0; i < nshards; i++)
	{
		bool		is_new = true;

		for (int k = 0; k < count && is_new; k++)
			is_new = (*nodes)[k].group != shards[i].node.group;
		if (is_new)
			(*nodes)[count++] = shards[i].node;
	}
	return count;
}

/* A name that this node would have, were it that of a workflow */
text *
dwf_anchor_name_for(int group)
{
	for (int i = 0; i < PG_INT16_MAX; i++)
	{
		text	   *name = cstring_to_text(psprintf("node %d", i));

		if (dwf_anchor_node(dwf_anchor_hash(name)).group == group)
			return name;
		pfree(name);
	}
	elog(ERROR, "node group %d has no shard", group);
}

/* A name that would have this shard, were it that of a workflow */
text *
dwf_anchor_name_in(int32 hash)
{
	int32		start = dwf_anchor_shard_start(hash);

	for (int i = 0;; i++)
	{
		text	   *name = cstring_to_text(psprintf("node %d", i));

		if (dwf_anchor_shard_start(dwf_anchor_hash(name)) == start)
			return name;
		pfree(name);
		CHECK_FOR_INTERRUPTS();
	}
}
