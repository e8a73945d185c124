/*-------------------------------------------------------------------------
 *
 * process_settings.c
 *	  The settings that the sessions of our processes begin with.
 *
 * A process that connects gets the settings of ALTER ROLE and ALTER DATABASE,
 * as every session does.  That is right for the code of a body, which runs in
 * it.  But some settings decide as which role it acts, or whether our own
 * statements can run at all.  Those are overridden by the values below, which
 * RESET and DISCARD ALL restore, too.
 *
 *-------------------------------------------------------------------------
 */
#include "base/process_settings.h"

#include "utils/guc.h"

/* A setting, and its value in our processes */
typedef struct Setting
{
	const char *name;
	const char *value;
	bool		is_for_bodies;	/* also in an executor */
} Setting;

static const Setting settings[] = {
	/* a process acts as the role as which it has connected */
	{"role", "none", true},
	/* a process acts only as the workflow that it executes */
	{"durable_wf.workflow_id", "", true},
	/* a process sees what has committed, and writes */
	{"default_transaction_isolation", "read committed", true},
	{"default_transaction_read_only", "off", true},
	{"default_transaction_deferrable", "off", true},
	/* an error ends the transaction, not the process */
	{"exit_on_error", "off", true},

	/* a process waits without limit; the second came with PostgreSQL 17 */
	{"lock_timeout", "0", false},
	{"transaction_timeout", "0", true}
};

/*
 * Override the settings of this process, which has just connected.  One that
 * "runs_bodies", an executor, keeps those that are meant for bodies.
 */
void
dwf_process_settings_begin(bool runs_bodies)
{
	for (size_t i = 0; i < lengthof(settings); i++)
		if ((settings[i].is_for_bodies || !runs_bodies) &&
			GetConfigOption(settings[i].name, true, false) != NULL)
			SetConfigOption(settings[i].name, settings[i].value, PGC_USERSET,
							PGC_S_OVERRIDE);
}
