/*-------------------------------------------------------------------------
 *
 * journal.h
 *	  The journal of the workflow that this session executes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JOURNAL_H
#define DWF_JOURNAL_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

#include "shared/address.h"
#include "store/store.h"

/* A SQL function each call of which is a step of the attached workflow */
typedef struct DwfCall
{
	const char *function;		/* its SQL name */
	int			naming;			/* the argument that names the call, or -1 */
	Oid			naming_type;	/* its type, unless it is text */
	PGFunction	body;			/* what it does when it is not replayed */
	int			saves;			/* the jsonb argument to be recorded as its
								 * result, or 0 */
	bool		ends_run;		/* it ends the run: nothing comes after it,
								 * and it may come where something else did */
} DwfCall;

/*
 * Declare the SQL function "name", each call of which is a step.  What it does
 * when it is not replayed is the static function do_<name>, which follows.
 */
#define DWF_JOURNALLED(name, naming_argument) \
	DWF_JOURNALLED_AS(name, naming_argument, InvalidOid, false)

/* Declare one whose naming argument is of another type than text */
#define DWF_JOURNALLED_NAMED(name, naming_argument, type) \
	DWF_JOURNALLED_AS(name, naming_argument, type, false)

/* Declare one that ends the run of the workflow */
#define DWF_JOURNALLED_END(name) \
	DWF_JOURNALLED_AS(name, -1, InvalidOid, true)

#define DWF_JOURNALLED_AS(name, naming_argument, naming_type, is_end) \
	static Datum do_##name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		static const DwfCall call = { \
			#name, naming_argument, naming_type, do_##name, 0, is_end \
		}; \
		return dwf_journal_call(&call, fcinfo); \
	} \
	extern Datum name(PG_FUNCTION_ARGS)

extern Datum dwf_journal_call(const DwfCall *call, FunctionCallInfo fcinfo);
extern void dwf_journal_begin(text *workflow_id, int last_step);
extern text *dwf_journal_require(const char *function);
extern void dwf_journal_check_isolation(void);
extern int	dwf_journal_take_number(const char *function, text *name);
extern int	dwf_journal_step(void);
extern bool dwf_journal_in_call(void);
extern bool dwf_journal_is_nested(void);
extern bool dwf_journal_in_command(void);
extern bool dwf_journal_set_in_command(bool value);
extern void dwf_journal_note_crash(void);
extern void dwf_journal_note_taken(const DwfAddress *queue,
								   const DwfItem *items, int count);

/* calls that wait, and steps that are tried again */
extern TimestampTz dwf_journal_settle_deadline(TimestampTz deadline,
											   bool may_commit);
extern void dwf_journal_note_wait(void);
extern Datum dwf_journal_attempts(TimestampTz *next_at);
extern void dwf_journal_note_attempt(Datum attempts, TimestampTz next_at,
									 bool may_commit);

#endif							/* DWF_JOURNAL_H */
