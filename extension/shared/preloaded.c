/*-------------------------------------------------------------------------
 *
 * preloaded.c
 *	  Was the library preloaded, so that our shared memory is there?
 *
 * Only a library in shared_preload_libraries can reserve shared memory.
 * Without it, what the tables alone can do works, and all else is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/preloaded.h"

/* Set in the postmaster, and inherited by the processes that it starts */
static bool preloaded = false;

/* Is our shared memory there? */
bool
dwf_preloaded(void)
{
	return preloaded;
}

/* Raise 55000 unless our shared memory is there; "function" is a SQL name */
void
dwf_preloaded_require(const char *function)
{
	if (!preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s needs durable_wf to be preloaded", function),
				 errdetail("Waiting and waking use shared memory that only a preloaded library can reserve."),
				 errhint("Add durable_wf to shared_preload_libraries and restart the server.")));
}

/* Each part has its shared memory now */
void
dwf_preloaded_set(void)
{
	preloaded = true;
}
