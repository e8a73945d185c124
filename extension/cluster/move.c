/*-------------------------------------------------------------------------
 *
 * move.c
 *	  The two ends of the move of a shard: wf_move_shard() is in SQL.
 *
 * The coordinator has the node that has the shard give its rows away, Citus
 * move the shard, and the other node take the rows, in one transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "utils/builtins.h"

#include "session/wakeup.h"
#include "shared/preloaded.h"
#include "shared/workers.h"
#include "store/custody.h"
#include "store/home.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_give_rows);
PG_FUNCTION_INFO_V1(dwf_take_rows);

/*
 * durable_wf.give_rows(first_hash, last_hash): lock a shard of this node, and
 * take its rows away.  Blocks while transactions act on its workflows.
 */
Datum
dwf_give_rows(PG_FUNCTION_ARGS)
{
	dwf_preloaded_require("durable_wf.give_rows");
	dwf_custody_seize(PG_GETARG_INT32(0));
	PG_RETURN_DATUM(dwf_custody_give(PG_GETARG_INT32(0), PG_GETARG_INT32(1)));
}

/*
 * durable_wf.take_rows(first_hash, last_hash, rows): put the rows of a shard
 * into this node.  What is suspended looks again, since news of what it waits
 * for come to another node now.
 */
Datum
dwf_take_rows(PG_FUNCTION_ARGS)
{
	DwfIds		ids;

	dwf_preloaded_require("durable_wf.take_rows");
	(void) dwf_home_prepare_start();
	ids = dwf_custody_take(PG_GETARG_INT32(0), PG_GETARG_INT32(1),
						   PG_GETARG_DATUM(2));
	if (ids.count > 0)
	{
		DwfResumed	resumed = dwf_store_resume(ids.array);

		dwf_wakeup_note_resumed(&resumed);
	}
	dwf_workers_recheck();
	PG_RETURN_VOID();
}
