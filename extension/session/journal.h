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

/*
 * To which node of a cluster a call belongs (cluster/route.c): the kind, the
 * number of the argument that tells, and that of the timeout
 */
typedef int DwfAt;

#define DWF_AT_KIND(at)			((at) & 0xff00)
#define DWF_AT_ARGUMENT(at)		((at) & 0xff)
#define DWF_AT_TIMEOUT(at)		((at) >> 16)

/* this node, whichever it is */
#define DWF_AT_HERE				0x000
/* the node of the workflow in this argument, or else of the current one */
#define DWF_AT_WORKFLOW(n)		(0x100 | (n))
/* that of the current workflow, if there is one */
#define DWF_AT_CURRENT			0x1ff
/* that of the workflow whose hook has this token */
#define DWF_AT_TOKEN(n)			(0x200 | (n))
/* that of the workflow in this argument, or else all nodes */
#define DWF_AT_WORKFLOW_OR_EACH(n)	(0x300 | (n))
/* all nodes */
#define DWF_AT_EACH				0x3ff
/* those of the workflows in this array, each with its part of the arrays */
#define DWF_AT_MANY(n)			(0x400 | (n))

/* Replace arguments by what they mean in this session */
typedef void (*DwfSettle) (FunctionCallInfo fcinfo);

/* Do what the result asks for */
typedef void (*DwfSettled) (FunctionCallInfo fcinfo, Datum result);

/* added to these: the call may wait, and this argument is its timeout */
#define DWF_WAITS(n)			((n) << 16)
#define DWF_WAITS_AT(workflow, timeout) \
	(DWF_AT_WORKFLOW(workflow) | DWF_WAITS(timeout))

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
	DwfAt		at;				/* to which node it belongs */
	DwfSettle	settle;			/* on a cluster, on the node of the caller,
								 * before the call and after it; or NULL */
	DwfSettled	settled;
} DwfCall;

/* How a call is made on a cluster: set by route.c */
typedef Datum (*DwfRouter) (const DwfCall *call, FunctionCallInfo fcinfo);
extern DwfRouter dwf_journal_router;

/*
 * Declare the SQL function "name", each call of which is a step.  What it does
 * when it is not replayed is the static function do_<name>, which follows.
 */
#define DWF_JOURNALLED(name, naming_argument, at) \
	DWF_JOURNALLED_AS(name, naming_argument, InvalidOid, false, at, NULL, NULL)

/* Declare one whose naming argument is of another type than text */
#define DWF_JOURNALLED_NAMED(name, naming_argument, type, at) \
	DWF_JOURNALLED_AS(name, naming_argument, type, false, at, NULL, NULL)

/* Declare one that ends the run of the workflow */
#define DWF_JOURNALLED_END(name) \
	DWF_JOURNALLED_AS(name, -1, InvalidOid, true, DWF_AT_HERE, NULL, NULL)

/* Declare one that does something on the node of the caller, too */
#define DWF_JOURNALLED_ALSO(name, naming_argument, at, settle, settled) \
	DWF_JOURNALLED_AS(name, naming_argument, InvalidOid, false, at, settle, \
					  settled)

#define DWF_JOURNALLED_AS(name, naming_argument, naming_type, is_end, at, \
						  settle, settled) \
	static Datum do_##name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		static const DwfCall call = { \
			#name, naming_argument, naming_type, do_##name, 0, is_end, at, \
			settle, settled \
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
extern bool dwf_journal_has_waited(void);
extern void dwf_journal_note_wait(void);
extern Datum dwf_journal_attempts(TimestampTz *next_at);
extern void dwf_journal_note_attempt(Datum attempts, TimestampTz next_at,
									 bool may_commit);

#endif							/* DWF_JOURNAL_H */
