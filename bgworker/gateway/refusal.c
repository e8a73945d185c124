/*-------------------------------------------------------------------------
 *
 * refusal.c
 *	  What a validator's error means, for the client and for the log.
 *
 * A validator refuses a request by raising an error, whose SQLSTATE selects
 * the status:
 *
 *	PT4nn				4nn
 *	class 28			401
 *	42501				403, if the validator itself raises it
 *	anything else		400
 *
 * Or the validator is broken, and its error says nothing of the request: 503,
 * so that the client tries again.  It is broken when it says so itself
 * (PT5nn), when a table or a privilege is missing, when it took too long, and
 * the like.  "Itself" means RAISE of PL/pgSQL: from anywhere else the server
 * has raised that SQLSTATE.
 *
 * Helpers send such errors to the gateway, which logs each reason once for
 * each webhook.  Clients may cause new reasons of refusals, so their number is
 * limited for each webhook; they do not use up those of a broken validator.
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

/* So many bytes of each part of an error are kept */
#define PART_MAX		2000

/* So many webhooks are remembered as logged; then all are forgotten */
#define WEBHOOKS_MAX	1000

/* So many reasons for one webhook are logged, of either kind */
#define REASONS_MAX		16

/* So many bytes of a token are logged: enough to find it, not to use it */
#define TOKEN_SHOWN		6

/* The hashes of the reasons of one kind that were logged for a webhook */
typedef struct Reasons
{
	int			count;
	uint32		hashes[REASONS_MAX];
} Reasons;

/* A webhook, and what was logged of it */
typedef struct Logged
{
	char		token[DWF_TOKEN_MAX + 1];
	Reasons		refused;
	Reasons		broken;
} Logged;

/* The webhooks, by token */
static HTAB *logged = NULL;

/* ----- for the client ----- */

/* Is an SQLSTATE of a class? */
static inline bool
in_class(int sqlstate, const char *class)
{
	return ERRCODE_TO_CATEGORY(sqlstate) ==
		MAKE_SQLSTATE(class[0], class[1], '0', '0', '0');
}

/* The status that an SQLSTATE PT4nn selects; 0 if it is another SQLSTATE */
static int
status_in(int sqlstate)
{
	const char *code = unpack_sql_state(sqlstate);

	if (strncmp(code, "PT4", 3) != 0 ||
		strspn(code + 3, "0123456789") != 2)
		return 0;
	return atoi(code + 2);
}

/* Was an error raised by RAISE in PL/pgSQL? */
static bool
is_raised(const ErrorData *error)
{
	return error->funcname && strcmp(error->funcname, "exec_stmt_raise") == 0;
}

/* Does an error tell that the validator is broken, nothing of the request? */
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
		return !is_raised(error);	/* INTO STRICT: a secret is missing */
	for (size_t i = 0; i < lengthof(classes); i++)
		if (in_class(error->sqlerrcode, classes[i]))
			return true;
	return false;
}

/* The status that a client gets for an error of a validator */
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

/* A copy of a part of an error, cut at PART_MAX; '' for NULL */
static const char *
clip(const char *part)
{
	if (part == NULL)
		return "";
	return pnstrdup(part, pg_mbcliplen(part, strlen(part), PART_MAX));
}

/* Make a refusal of an error; "trace" names the workflow and the validator */
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

/* Append a refusal to a message */
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

/*
 * Read a refusal from a message; returns false if it holds none.  The strings
 * point into the message.
 */
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

/* Is this reason new for this webhook, and not too many are?  Remembers it. */
static bool
is_new(const char *token, const DwfRefusal *refusal, bool is_refusal)
{
	uint32		hash = string_hash(refusal->message, PART_MAX + 1) ^
	(uint32) refusal->sqlstate;
	Logged	   *entry;
	Reasons    *reasons;
	bool		found;

	/* forget all when there are too many webhooks */
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

	/* look for it among the reasons of the webhook */
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

/* Log why a client got this status, once for each reason and webhook */
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
