/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The tables as C functions: the table of contents of the files of rows.
 *
 * A function checks privileges only if it takes a role.  It blocks only for
 * row locks of other transactions.  It copies results to the memory context
 * that is current at the call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STORE_H
#define DWF_STORE_H

#include "base/durable_wf.h"

#include "shared/address.h"
#include "shared/news.h"
#include "shared/waiter.h"
#include "store/statement.h"

/* Columns that C reads by number; the tables only ever grow to the right */
#define DWF_MESSAGE_MESSAGE_ID		1
#define DWF_MESSAGE_WORKFLOW_ID		2
#define DWF_MESSAGE_DOOR			3
#define DWF_MESSAGE_KEY				4
#define DWF_MESSAGE_TRACEPARENT		8
#define DWF_EVENT_WORKFLOW_ID		1	/* of stream, stream_item, too */
#define DWF_EVENT_KEY				2
#define DWF_STREAM_WORKFLOW_ID		1
#define DWF_STREAM_NAME				2
#define DWF_STREAM_CLOSED_AT		3
#define DWF_WORKFLOW_WORKFLOW_ID	1
#define DWF_WORKFLOW_STATUS			3
#define DWF_WORKFLOW_BODY			4
#define DWF_WORKFLOW_QUEUE			5
#define DWF_WORKFLOW_FINISHED_AT	12
#define DWF_WORKFLOW_DUE_AT			13
#define DWF_WORKFLOW_OWNER			2
#define DWF_WORKFLOW_TRACEPARENT	18
#define DWF_HOOK_TOKEN				1
#define DWF_HOOK_WORKFLOW_ID		2
#define DWF_REQUEST_WORKFLOW_ID		1
#define DWF_REQUEST_REQUEST_ID		2
#define DWF_REQUEST_IS_HELD			4

/* Statuses of a workflow that C names; all of them are in workflow.sql */
#define DWF_STATUS_PENDING		"PENDING"
#define DWF_STATUS_SUCCESS		"SUCCESS"
#define DWF_STATUS_ERROR		"ERROR"
#define DWF_STATUS_CANCELLED	"CANCELLED"
#define DWF_STATUS_WAITING		"WAITING"

/* What decides whether a role may act on a workflow, or in it */
typedef struct DwfLife
{
	Oid			owner;
	bool		finished;
	char		status[16];
} DwfLife;

/* A record of the journal; a moment of 0 is null */
typedef struct DwfRecord
{
	int			step_no;
	const char *function;
	text	   *name;			/* or NULL */
	DwfValue	result;			/* text[] */
	DwfValue	error;			/* text[] */
	DwfValue	taken;			/* text[], as journal_taken.c has it */
	bool		is_undone;
	TimestampTz deadline;
	TimestampTz started_at;
	TimestampTz completed_at;
} DwfRecord;

/* Ids of workflows, or their queues: a text[]; nothing when there is none */
typedef struct DwfIds
{
	int			count;
	Datum		array;
} DwfIds;

/* Which workflows were resumed */
typedef struct DwfResumed
{
	uint64		count;
	List	   *owners;			/* of each body among them, as oids */
	DwfIds		queues;			/* of each that clients execute */
	DwfIds		left;			/* those that were not, since their rows are
								 * locked */
}			DwfResumed;

/* How far a pass over all waits has come; length 0 is the beginning */
typedef struct DwfWaitCursor
{
	int			position;
	int			length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
} DwfWaitCursor;

/* How a workflow is started */
typedef struct DwfStart
{
	text	   *workflow_id;
	bool		has_new_id;		/* made up for this start */
	DwfValue	input;
	text	   *body;			/* qualified, or NULL */
	text	   *queue;			/* or NULL */
	bool		is_delayed;
	DwfValue	start_after;	/* interval */
	DwfValue	timeout;		/* interval */
	DwfValue	attributes;		/* jsonb */
	text	   *parent;			/* or NULL */
	text	   *traceparent;	/* or NULL; statements: the trigger */
	bool		is_attached;	/* this session executes it */
} DwfStart;

/* A workflow that another one has started */
typedef struct DwfChild
{
	text	   *workflow_id;
	int			parent_no;		/* its parent's place among those asked for */
	Oid			owner;
	bool		has_ended;
}			DwfChild;

/*
 * A search for workflows to execute, the one that has been due for longest
 * first: workflows of a queue on which the role may act or, without a queue,
 * the role's bodies
 */
typedef struct DwfSearch
{
	text	   *queue;			/* NULL: bodies */
	Oid			role;
	uint64		queue_hash;		/* of its address, or 0 */
	uint64		work_hash;		/* not 0: an executor's, for bodies of a role
								 * whose work has this address, and what is
								 * found beyond its body goes to ahead.c */

	/* the workflow that was found last */
	text	   *workflow_id;
	TimestampTz due;

	/* when a search may find one that this one did not; DT_NOEND: unknown */
	TimestampTz next;
	int			nheld;			/* how many were skipped since they are
								 * locked, */
	text	   *first_held;		/* ... and which is the first */
	bool		more;			/* a hint: more were due behind it, or */
	TimestampTz later;			/* ... the next one will be then */
} DwfSearch;

/* What a session needs to begin to execute a workflow */
typedef struct DwfTurn
{
	int			attempts;		/* this one included */
	text	   *queue;			/* or NULL */
	DwfValue	input;
	text	   *traceparent;	/* or NULL */
} DwfTurn;

/* What an executor gets of the body that it has claimed */
typedef struct DwfClaimed
{
	text	   *body;
	DwfValue	input;
	int			attempts;		/* this one is among them */
	int			last_step;		/* the highest number in the journal, or 0 */
	text	   *traceparent;	/* or NULL */
} DwfClaimed;

/* A workflow's status and what came out of it */
typedef struct DwfOutcome
{
	DwfLife		life;
	DwfValue	output;
	DwfValue	error;
} DwfOutcome;

/* A mailbox item that was taken */
typedef struct DwfItem
{
	int64		message_id;
	Datum		payload;
	TimestampTz sent_at;
	text	   *traceparent;	/* or NULL */
} DwfItem;

/* Items that a step has taken: an array of texts for each of their parts */
typedef struct DwfTaken
{
	Datum	   *workflow_ids;
	Datum	   *doors;
	Datum	   *keys;
	Datum	   *message_ids;
	Datum	   *sent_at;		/* in microseconds since 2000 */
	Datum	   *payloads;
	Datum	   *traceparents;	/* empty: none */
} DwfTaken;

/* Items of mailboxes, by their places: as many as "count" in each array */
typedef struct DwfLetters
{
	int			count;
	Datum	   *workflow_ids;
	Datum	   *doors;
	Datum	   *keys;
	int64	   *message_ids;
} DwfLetters;

/* A hook; owner and has_ended are its workflow's */
typedef struct DwfHook
{
	text	   *token;
	text	   *workflow_id;
	DwfValue	metadata;		/* jsonb */
	text	   *validator;		/* qualified, or NULL */
	bool		is_webhook;
	DwfValue	respond_with;	/* jsonb */
	TimestampTz created_at;
	Oid			owner;
	bool		has_ended;
} DwfHook;

/* What became of an answer */
typedef enum DwfAnswered
{
	DWF_NOT_ANSWERED,			/* no such request, or it has an answer */
	DWF_ANSWERED,
	DWF_ANSWERED_LATE			/* its client waits no more */
} DwfAnswered;

/* An answer to a webhook's request, if there is one */
typedef struct DwfAnswer
{
	int64		request_id;
	text	   *workflow_id;
	bool		is_over;		/* it has an answer, or will never get one */
	DwfValue	response;		/* jsonb */
} DwfAnswer;

/* workflow_rows.c: workflows and their events */
extern void dwf_store_require_writable(const char *function);
extern bool dwf_store_start(const DwfStart *start, Oid owner);
extern bool dwf_store_same_start(const DwfStart *start);
extern bool dwf_store_life(text *workflow_id, DwfLife *life);
extern bool dwf_store_outcome(text *workflow_id, DwfOutcome *outcome);
extern bool dwf_store_finish(text *workflow_id, Oid role, const char *status,
							 DwfValue output, DwfValue error);
extern text *dwf_store_traceparent(text *workflow_id);
extern TransactionId dwf_store_prepared_xid(const char *gid);
extern bool dwf_store_set_event(text *workflow_id, text *key, Datum value,
								Oid role);
extern bool dwf_store_event(text *workflow_id, text *key, DwfValue * value,
							DwfLife *life);

/* prune_rows.c: workflows that are removed, and all that belongs to them */
extern uint64 dwf_store_prune(Interval *older_than, int batch,
							  TransactionId horizon, Oid role);
extern uint64 dwf_store_prune_named(Interval *older_than, int batch,
									TransactionId horizon, Oid role,
									Datum *tokens, Datum *workflow_ids);
extern bool dwf_store_delete(text *workflow_id, TransactionId horizon,
							 Oid role);
extern TransactionId dwf_store_changed_by(text *workflow_id);
extern void dwf_store_drop_belongings(text *workflow_id);

/* owner_rows.c: workflows get another owner; InvalidOid: dropped roles */
extern bool dwf_store_set_owner(text *workflow_id, Oid role, Oid owner);
extern List *dwf_store_bodies_of(Oid owner);
extern uint64 dwf_store_reassign(Oid from, Oid owner);
extern uint64 dwf_store_count_owned(Oid owner);

/* run_rows.c: workflows to be executed, or that have run out of time */
extern bool dwf_store_attach(text *workflow_id, Oid role);
extern bool dwf_store_attach_free(text *workflow_id, Oid role);
extern bool dwf_store_turn(text *workflow_id, DwfTurn *turn);
extern bool dwf_store_put_off(text *workflow_id, Oid role, Interval *span);
extern bool dwf_store_lock_free(text *workflow_id);
extern text *dwf_store_queue(text *workflow_id);
extern void dwf_store_search_held(DwfSearch *search);
extern bool dwf_store_search(DwfSearch *search);
extern text *dwf_store_search_ahead(uint64 work_hash);
extern bool dwf_store_retry(text *workflow_id, Oid role);
extern bool dwf_store_restart(text *workflow_id, Oid role, DwfValue input);
extern DwfIds dwf_store_overdue(int limit, Datum aside);
extern void dwf_store_end_overdue(Datum ids);
extern TimestampTz dwf_store_next_timeout(Datum aside);

/* claim_rows.c: an executor claims a body */
extern bool dwf_store_claim(text *workflow_id, Oid role, bool has_crashed,
							DwfClaimed *claimed);

/* retry_rows.c: workflows that go back to a step */
extern void dwf_store_forget_wait(text *workflow_id);
extern bool dwf_store_go_back(text *workflow_id, Oid role);
extern bool dwf_store_next_taken(text *workflow_id, int step_no,
								 DwfRecord *record);
extern void dwf_store_put_back(const DwfTaken *taken, int count, Oid role);
extern void dwf_store_drop_steps(text *workflow_id, int step_no);

/* step_rows.c: the journal */
extern int	dwf_store_last_step(text *workflow_id);
extern bool dwf_store_record(text *workflow_id, const DwfRecord *record,
							 bool even_if_ended);
extern bool dwf_store_read_record(text *workflow_id, int step_no,
								  DwfRecord *record);
extern DwfValue dwf_store_taken(text *workflow_id, int step_no);

/* body_rows.c: bodies of SQL workflows, and the waits that suspend them */
extern List *dwf_store_roles_with_work(TimestampTz *next);
extern bool dwf_store_body(text *workflow_id, text **body, DwfValue * input,
						   int *attempts);
extern bool dwf_store_fail(text *workflow_id, const char *message,
						   const char *state, const char *context);
extern uint64 dwf_store_fail_role(Oid role, const char *message);
extern void dwf_store_back_off(text *workflow_id, bool counts);
extern void dwf_store_note_progress(text *workflow_id);
extern void dwf_store_suspend(text *workflow_id, int step_no,
							  const DwfWaitKey *keys, int nkeys,
							  int64 wait_id, TimestampTz deadline);
extern void dwf_store_unsuspend(text *workflow_id);
extern List *dwf_store_suspended(text *event_id, text *workflow_id);
extern bool dwf_store_is_suspended(const DwfWaiterInfo *waiter);

/* wait_rows.c: suspended workflows whose wait may be over; for the worker */
extern DwfIds dwf_store_waiters(const DwfAddress *addresses, int count,
								Datum aside, int piece, int limit,
								bool *is_all);
extern DwfIds dwf_store_due_waiters(int limit, Datum aside);
extern TimestampTz dwf_store_next_deadline(Datum aside);
extern DwfIds dwf_store_over_waiters(Datum ids, Datum aside);
extern bool dwf_store_wait_page(DwfWaitCursor *cursor, const DwfLost *lost,
								int limit, DwfIds *ids);
extern DwfResumed dwf_store_resume(Datum ids);
extern void dwf_store_forget_waits(Datum ids);
extern void dwf_store_subscribe(text *workflow_id, const DwfAddress *address);
extern void dwf_store_unsubscribe(text *workflow_id);

/* family_rows.c: attributes, parents and children */
extern bool dwf_store_knows_families(void);
extern DwfValue dwf_store_merge_attributes(text *workflow_id,
										   Datum attributes, Oid role);
extern List *dwf_store_children(Datum parents, text *after, int limit);
extern text *dwf_store_cancel_many(Datum ids, Oid role, Datum error);
extern bool dwf_store_lock_parent(text *workflow_id);
extern void dwf_store_await_prepared_children(Datum *parents, int count,
											  Oid role);

/* message_rows.c: mailboxes and idempotency keys */
extern int64 dwf_store_next_message_id(void);
extern void dwf_store_deliver(int64 message_id, const DwfAddress *address,
							  Datum payload);
extern bool dwf_store_answer(int64 message_id, const DwfAddress *address,
							 Datum payload, Oid role, int64 wait_id);
extern void dwf_store_withdraw(int64 message_id, const DwfAddress *address);
extern uint64 dwf_store_deliver_many(Datum message_ids, Datum workflow_ids,
									 Datum payloads, const DwfAddress *queue,
									 Oid role);
extern text *dwf_store_first_refused(Datum workflow_ids, Oid role,
									 bool finished_too);
extern void dwf_store_claim_keys(Datum workflow_ids, Datum scopes, Datum keys,
								 Datum message_ids);
extern int	dwf_store_claimed_ids(Datum workflow_ids, Datum scopes, Datum keys,
								  int64 *message_ids);
extern int	dwf_store_take(const DwfAddress *queue, int64 from, int64 to,
						   int limit, DwfItem **items);
extern int64 dwf_store_lowest(const DwfAddress *queue, int64 from);
extern int	dwf_store_oldest(text *workflow_id, Datum doors, Datum keys,
							 Datum start, int64 *message_id);

/* dead_letter_rows.c: how often items were given back, and dead letters */
extern void dwf_store_make_letters(DwfLetters *letters, int count);
extern bool dwf_store_count_deliveries(const DwfLetters *letters,
									   int64 limit);
extern void dwf_store_forget_deliveries(int64 limit);
extern bool dwf_store_any_due_letter(int64 limit);
extern void dwf_store_find_due_letters(int64 limit, int max,
									   DwfLetters *letters);
extern int	dwf_store_bury(const DwfLetters *letters);
extern int64 dwf_store_redrive(text *workflow_id, text *topic);

/* hook_rows.c: hooks, and requests to webhooks */
extern bool dwf_store_create_hook(const DwfHook *hook, Oid role);
extern bool dwf_store_find_hook(text *token, DwfHook *hook);
extern bool dwf_store_lock_hook(text *token, DwfHook *hook);
extern bool dwf_store_has_hook(const DwfAddress *address);
extern void dwf_store_drop_payloads(const DwfAddress *address);
extern text *dwf_store_dispose_hook(text *token, Oid role);
extern void dwf_store_end_requests(const DwfAddress *address);
extern void dwf_store_hold_request(text *workflow_id, int64 request_id,
								   text *token, bool by_gateway);
extern DwfAnswered dwf_store_respond(int64 request_id, Datum response,
									 Oid role, text *workflow_id);
extern bool dwf_store_answer_of(int64 request_id, text *token,
								DwfAnswer *answer);
extern PGDLLEXPORT int dwf_store_take_answers(int limit, DwfAnswer **answers);

/* hook_batch_rows.c: many requests to webhooks at a time */
extern DwfHook *dwf_store_find_webhooks(text **tokens, int ntokens, bool lock,
										int *count);
extern void dwf_store_deliver_payloads(int count,
									   const int64 *message_ids,
									   Datum *workflow_ids, Datum *tokens,
									   Datum *payloads,
									   text *const *traceparents);
extern PGDLLEXPORT void dwf_store_leave_all_requests(void);
extern PGDLLEXPORT void dwf_store_leave_requests(const int64 *request_ids,
												 int count);

/* released_hook_rows.c: hooks of workflows that have ended */
extern void dwf_store_release_hooks(text *workflow_id);
extern void dwf_store_restore_hooks(text *workflow_id);
extern bool dwf_store_restore_taken_hooks(text *workflow_id, DwfHook *holder);
extern void dwf_store_displace_hook(text *token);

#endif							/* DWF_STORE_H */
