/*-------------------------------------------------------------------------
 *
 * anchor.h
 *	  Which node of a cluster has which workflow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ANCHOR_H
#define DWF_ANCHOR_H

#include "base/durable_wf.h"

/* Room for the name of a host */
#define DWF_HOST_SIZE	256

/* A node of the cluster */
typedef struct DwfNode
{
	int			group;			/* what Citus calls its group */
	bool		is_here;		/* it is this one */
	int			port;
	char		host[DWF_HOST_SIZE];
}			DwfNode;

/* A shard of the anchor: the hashes from "start" to the next shard's */
typedef struct DwfShard
{
	int32		start;
	bool		in_custody;		/* this node has its rows */
	DwfNode		node;
}			DwfShard;

/* It is known that this database has no anchor: there is no cluster */
extern bool dwf_anchor_is_absent;

extern bool dwf_anchor_exists(void);
extern int32 dwf_anchor_hash(text *workflow_id);
extern int32 dwf_anchor_shard_start(int32 hash);
extern uint16 dwf_anchor_shard_number(int32 hash);
extern bool dwf_anchor_next_shard(int32 *start);
extern DwfNode dwf_anchor_node(int32 hash);
extern bool dwf_anchor_is_here(int32 hash);
extern bool dwf_anchor_in_custody(int32 hash);
extern void dwf_anchor_settle(void);
DWF_NORETURN extern void dwf_anchor_report(const char *function, int32 hash,
										   const char *hint);
extern void dwf_anchor_check_custody(int32 hash);
extern int	dwf_anchor_nodes(DwfNode * *nodes);
extern text *dwf_anchor_name_for(int group);
extern text *dwf_anchor_name_in(int32 hash);

/* May this database have an anchor?  One comparison, for each call */
static inline bool
dwf_anchor_may_exist(void)
{
	return !dwf_anchor_is_absent;
}

#endif							/* DWF_ANCHOR_H */
