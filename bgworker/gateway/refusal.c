/*-------------------------------------------------------------------------
 *
 * refusal.c
 *	  What it means that a validator raises an error, for the client and for
 *	  the log.
 *
 * A validator refuses a request by raising an error, and may say with which
 * status:
 *
 *	PT4nn				4nn
 *	class 28			401
 *	42501				403, if the validator itself raises it
 *	anything else		400
 *
 * or it is broken, and then nobody knows whether the request is a good one:
 * 503, so that the sender tries again.  So it is if it says so itself (PT5nn),
 * when what it uses is not there, or has lost a privilege, when it took too
 * long, and the like.
 * "Itself" is RAISE of PL/pgSQL: the same SQLSTATE from anywhere else is the
 * server's word.
 *
 * The gateway logs each reason once for each webhook, from what its helpers
 * tell it.  Clients may have a say in the reasons of refusals, so a webhook has
 * so many of them and no more; nor do they use up those of a broken validator.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/refusal.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "bgworker/gateway/request.h"

/* Of each part of an error so much is kept */
#define PART_MAX		2000

/* For so many webhooks it is known what was logged; then all is forgotten */
#define WEBHOOKS_MAX	1000

/* So many reasons of one webhook are logged, of either kind */
#define REASONS_MAX		16

/* So much of a token is shown: enough to know it by, not to use it */
#define TOKEN_SHOWN		6

/* What was logged of a webhook, of one kind */
typedef struct Reasons
{
	int			count;
	uint32		hashes[REASONS_MAX];
} Reasons;

/* What was logged of a webhook */
typedef struct Logged
{
	char		token[DWF_TOKEN_MAX + 1];
	Reasons		refused;
	Reasons		broken;
} Logged;

static HTAB *logged = NULL;

/* ----- for the client ----- */

static inline bool
in_class(int sqlstate, const char *class)
{
	return ERRCODE_TO_CATEGORY(sqlstate) ==
		MAKE_SQLSTATE(class[0], class[1], '0', '0', '0');
}

/* The status that an SQLSTATE PT4nn says; 0 if it is another */
static int
status_in(int sqlstate)
{
	const char *code = unpack_sql_state(sqlstate);

	if (strncmp(code, "PT4", 3) != 0 ||
		strspn(code + 3, "0123456789") != 2)
		return 0;
	return atoi(code + 2);
}

/* Has the code of a function in PL/pgSQL said RAISE? */
static bool
is_raised(const ErrorData *error)
{
	return error->funcname && strcmp(error->funcname, "exec_stmt_raise") == 0;
}

/* Is it no judgement of the request? */
static bool
is_broken(const ErrorData *error)
{
	static const char *const classes[] = {
		"08", "0A", "25", "3D", "3F", "40", "42", "53", "55", "57", "58", "F0",
		"WF", "XX"
	};

	if (strncmp(unpack_sql_state(error->sqlerrcode), "PT5", 3) == 0)
		return true;			/* it says so itself */
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return !is_raised(error);
	if (error->sqlerrcode == ERRCODE_NO_DATA_FOUND ||
		error->sqlerrcode == ERRCODE_TOO_MANY_ROWS)
		return !is_raised(error);	/* INTO STRICT: there is no secret */
	for (size_t i = 0; i < lengthof(classes); i++)
		if (in_class(error->sqlerrcode, classes[i]))
			return true;
	return false;
}

/* The status with which a client learns of an error of a validator */
int
dwf_refusal_status(const ErrorData *error)
{
	int			status = status_in(error->sqlerrcode);

	if (status != 0)
		return status;
	if (in_class(error->sqlerrcode, "28"))
		return 401;
	if (is_broken(error))
		return 503;
	return error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ? 403 : 400;
}

/* ----- from a helper to the gateway ----- */

/* A part of an error, or '' */
static const char *
clip(const char *part)
{
	if (part == NULL)
		return "";
	return pnstrdup(part, pg_mbcliplen(part, strlen(part), PART_MAX));
}

/* What there is to tell of an error; "trace" says whose it is */
DwfRefusal *
dwf_refusal_make(const ErrorData *error, const DwfWebhookTrace *trace)
{
	DwfRefusal *refusal = palloc(sizeof(DwfRefusal));

	refusal->sqlstate = error->sqlerrcode;
	refusal->message = clip(error->message);
	refusal->detail = clip(error->detail);
	refusal->context = clip(error->context);
	refusal->workflow_id = text_to_cstring(trace->workflow_id);
	refusal->validator = text_to_cstring(trace->validator);
	return refusal;
}

/* Append it to a message */
void
dwf_refusal_write(const DwfRefusal *refusal, StringInfo message)
{
	const char *const parts[] = {
		refusal->message, refusal->detail, refusal->context,
		refusal->workflow_id, refusal->validator
	};

	appendBinaryStringInfo(message, (const char *) &refusal->sqlstate,
						   sizeof(int));
	for (size_t i = 0; i < lengthof(parts); i++)
		appendBinaryStringInfo(message, parts[i], strlen(parts[i]) + 1);
}

/* Read it there; false if that is none.  The strings are the message's. */
bool
dwf_refusal_read(DwfRefusal *refusal, const char *message, Size length)
{
	const char **parts[] = {
		&refusal->message, &refusal->detail, &refusal->context,
		&refusal->workflow_id, &refusal->validator
	};
	const char *end = message + length;

	if (length <= sizeof(int) || end[-1] != '\0')
		return false;
	memcpy(&refusal->sqlstate, message, sizeof(int));
	message += sizeof(int);
	for (size_t i = 0; i < lengthof(parts); i++)
	{
		if (message == end)
			return false;
		*parts[i] = message;
		message += strlen(message) + 1;
	}
	return true;
}

/* ----- for the log ----- */

/* Is this reason new for this webhook?  It is remembered. */
static bool
is_new(const char *token, const DwfRefusal *refusal, bool is_refusal)
{
	uint32		hash = string_hash(refusal->message, PART_MAX + 1) ^
	(uint32) refusal->sqlstate;
	Logged	   *entry;
	Reasons    *reasons;
	bool		found;

	if (logged && hash_get_num_entries(logged) >= WEBHOOKS_MAX)
	{
		hash_destroy(logged);
		logged = NULL;
	}
	if (logged == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = DWF_TOKEN_MAX + 1;
		control.entrysize = sizeof(Logged);
		control.hcxt = TopMemoryContext;
		logged = hash_create("durable_wf refusals", 64, &control,
							 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	entry = hash_search(logged, token, HASH_ENTER, &found);
	if (!found)
		entry->refused.count = entry->broken.count = 0;
	reasons = is_refusal ? &entry->refused : &entry->broken;
	for (int i = 0; i < reasons->count; i++)
		if (reasons->hashes[i] == hash)
			return false;
	if (reasons->count == REASONS_MAX)
		return false;
	reasons->hashes[reasons->count++] = hash;
	return true;
}

/* Say why a client was told this status, if that is news */
void
dwf_refusal_log(const DwfRefusal *refusal, const char *token, int status)
{
	bool		is_refusal = status < 500;

	if (!is_new(token, refusal, is_refusal))
		return;
	ereport(is_refusal ? LOG : WARNING,
			(errcode(refusal->sqlstate),
			 is_refusal ?
			 errmsg("a durable_wf webhook's validator has refused a request: %s",
					refusal->message) :
			 errmsg("the durable_wf gateway cannot take requests: %s",
					refusal->message),
			 errdetail("Webhook %.*s... of workflow \"%s\", validator %s: %d.%s%s",
					   TOKEN_SHOWN, token, refusal->workflow_id,
					   refusal->validator, status,
					   refusal->detail[0] ? " " : "", refusal->detail),
			 refusal->context[0] ? errcontext("%s", refusal->context) : 0));
}
