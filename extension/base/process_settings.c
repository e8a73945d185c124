/*-------------------------------------------------------------------------
 *
 * process_settings.c
 *	  What our processes' sessions begin with: not all that their role and
 *	  their database have set.
 *
 * A process that connects gets the settings of ALTER ROLE and ALTER DATABASE,
 * as every session does.  For the code of a body, which runs in it, that is
 * right.  But some of them decide who acts, and whether what is ours can run
 * at all; those are put aside, so that RESET and DISCARD ALL find what is set
 * here.
 *
 *-------------------------------------------------------------------------
 */
#include "base/process_settings.h"

#include "utils/guc.h"

/* A setting, and what it is in our processes */
typedef struct Setting
{
	const char *name;
	const char *value;
	bool		is_for_bodies;	/* in an executor, too */
} Setting;

static const Setting settings[] = {
	/* a process acts as the role that it has connected as */
	{"role", "none", true},
	/* it acts as no workflow but those that it is given */
	{"durable_wf.workflow_id", "", true},
	/* it sees what has committed, and writes */
	{"default_transaction_isolation", "read committed", true},
	{"default_transaction_read_only", "off", true},
	{"default_transaction_deferrable", "off", true},
	/* an error ends what it is at, not the process */
	{"exit_on_error", "off", true},

	/*
	 * it waits as long as it has to; from PostgreSQL 17 on there is the
	 * second
	 */
	{"lock_timeout", "0", false},
	{"transaction_timeout", "0", true}
};

/*
 * To be called when the process has connected.  An executor, which runs bodies,
 * keeps what is for these.
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
