/*-------------------------------------------------------------------------
 *
 * search_rows.c
 *	  The tables as C functions: find workflows that are due.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "shared/address.h"
#include "shared/ahead.h"
#include "shared/claims.h"
#include "store/direct.h"
#include "store/probe.h"
#include "store/store_sql.h"

/* After so many ms a search returns to workflows whose row was locked */
#define HELD_GAP	500

/*
 * When a search has skipped so many locked rows, the next searches begin
 * behind them
 */
#define HELD_MANY	100

/* The workflows that are due next after a place in the order */
#define SEARCH(which) \
	"SELECT w.workflow_id, w.due_at, w.xmax FROM durable_wf.workflow w" \
	" WHERE " which \
	" AND ROW(w.due_at, w.workflow_id) OPERATOR(pg_catalog.>) ROW($2, $3)" \
	" ORDER BY w.due_at, w.workflow_id LIMIT $4"

/* role, due time and id to go on after, limit */
static DwfStatement search_bodies_query = {
	SEARCH("w.body IS NOT NULL AND w.finished_at IS NULL"
		   " AND w.status OPERATOR(pg_catalog.<>) 'WAITING'"
		   " AND w.owner::pg_catalog.oid" EQ "$1"
		   " AND NOT durable_wf.is_copy()"),
	4, {OIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID}, NULL
};

/* role, due time and id to go on after, limit, queue */
static DwfStatement search_queue_query = {
	SEARCH("w.queue" EQ "$5 AND w.finished_at IS NULL"
		   " AND w.status OPERATOR(pg_catalog.<>) 'WAITING'"
		   " AND " ROLE_MAY_ACT("$1")),
	5, {OIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID, TEXTOID}, NULL
};

/*
 * How far a search for bodies of a role got that skipped HELD_MANY locked
 * rows: searches "until" the gap is over begin there
 */
typedef struct Passed
{
	Oid			role;
	TimestampTz until;
	TimestampTz due;
	int			length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
} Passed;

/* The last such search of each role; roles may share an entry */
#define PASSED_SIZE	16

static Passed passed[PASSED_SIZE];

/* The entry of the role of a search */
static Passed *
passed_of(const DwfSearch *search)
{
	return &passed[search->role % PASSED_SIZE];
}

/* Begin a search, behind the rows that an earlier one has skipped */
static void
begin_search(DwfSearch *search)
{
	const Passed *last = passed_of(search);
	DwfAddress	address = {DWF_DOOR_QUEUE, NULL, search->queue};

	search->queue_hash = search->queue ? dwf_address_hash(&address) : 0;
	search->next = DT_NOEND;
	if (search->queue == NULL && last->role == search->role &&
		GetCurrentTimestamp() < last->until)
	{
		search->workflow_id = cstring_to_text_with_len(last->workflow_id,
													   last->length);
		search->due = last->due;
		search->next = last->until;
	}
	else
	{
		search->workflow_id = cstring_to_text("");
		search->due = DT_NOBEGIN;
	}
}

/*
 * Skip the workflow that a search found last, since it is locked: the search
 * must return to it after HELD_GAP
 */
void
dwf_store_search_held(DwfSearch *search)
{
	TimestampTz again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													HELD_GAP);

	search->next = Min(search->next, again);
	if (search->nheld == 0)
		search->first_held = search->workflow_id;
	if (++search->nheld >= HELD_MANY && search->queue == NULL)
	{
		Passed	   *last = passed_of(search);

		if (search->nheld == HELD_MANY)
			last->until = again;
		last->role = search->role;
		last->due = search->due;
		last->length = VARSIZE_ANY_EXHDR(search->workflow_id);
		memcpy(last->workflow_id, VARDATA_ANY(search->workflow_id),
			   last->length);
	}
}

/*
 * Does a row's xmax say that a transaction in progress has locked or changed
 * it?  That is only a hint: when several transactions have locked the row,
 * xmax is a multixact, which is taken for an xid here.
 */
static bool
is_held(TransactionId xid)
{
	return TransactionIdIsNormal(xid) &&
		!TransactionIdIsCurrentTransactionId(xid) &&
		TransactionIdIsInProgress(xid);
}

/*
 * Note what a page shows behind the row that was found, from that number on:
 * is more due that no session executes, or may be, since more rows may follow
 * the page; and else, when does the first of the others become due?
 */
static void
look_behind(DwfSearch *search, const DwfFound * page, int row, int count,
			TimestampTz now, bool at_end)
{
	search->more = false;
	search->later = DT_NOEND;
	for (; row < count; row++)
	{
		if (dwf_claims_skip(page[row].workflow_id, search->queue_hash))
			continue;
		if (page[row].due <= now)
			search->more = true;
		else
			search->later = page[row].due;
		return;
	}
	search->more = !at_end;
}

/* Read a page of a search by its statement; returns how many rows it has */
static int
read_page(const DwfSearch *search, int limit, DwfFound * *page)
{
	Datum		values[] = {ObjectIdGetDatum(search->role),
		TimestampTzGetDatum(search->due),
		PointerGetDatum(search->workflow_id), Int32GetDatum(limit),
	PointerGetDatum(search->queue)};
	int			count;
	DwfFound   *rows = palloc(limit * sizeof(DwfFound));
	DwfRun		r = dwf_statement_run(search->queue ? &search_queue_query :
									  &search_bodies_query, values, NULL);

	count = (int) SPI_processed;
	for (int i = 0; i < count; i++)
	{
		bool		isnull;

		rows[i].workflow_id = dwf_statement_copy_text(r, i, 1);
		rows[i].due =
			DatumGetTimestampTz(dwf_statement_column(i, 2, &isnull));
		rows[i].xmax =
			DatumGetTransactionId(dwf_statement_column(i, 3, &isnull));
		ItemPointerSetInvalid(&rows[i].tid);
	}
	dwf_statement_done(r);
	*page = rows;
	return count;
}

/*
 * List what a page shows behind the row that was found, from that number on,
 * as far as it is due and free.  What a session executes is left out, and its
 * end need not wake: an executor that has used up the list searches.  An id
 * that is too long ends the list, which leaves nothing out.  Returns how many
 * are in the list.
 */
static int
list_ahead(const DwfFound * page, int row, int count, TimestampTz now,
		   DwfAhead * bodies)
{
	int			nbodies = 0;

	for (; row < count && nbodies < DWF_AHEAD_MAX; row++)
	{
		DwfAhead   *body = &bodies[nbodies];
		text	   *id = page[row].workflow_id;

		if (page[row].due > now || VARSIZE_ANY_EXHDR(id) > DWF_AHEAD_ID_MAX)
			break;
		if (is_held(page[row].xmax) || dwf_claims_exists(id))
			continue;
		body->due = page[row].due;
		body->tid = page[row].tid;
		body->length = VARSIZE_ANY_EXHDR(id);
		/* the whole of it is copied to shared memory */
		memset(body->workflow_id, 0, sizeof(body->workflow_id));
		memcpy(body->workflow_id, VARDATA_ANY(id), body->length);
		nbodies++;
	}
	return nbodies;
}

/*
 * Read a page of a search, up to a workflow that is free (*found); *nahead are
 * the bodies behind it that an executor may claim next.  Returns true if no
 * more workflows are due behind the page.
 */
static bool
search_page(DwfSearch *search, int limit, bool *found, DwfAhead * ahead,
			int *nahead)
{
	DwfFound   *page;
	int			count = -1;
	TimestampTz now;
	bool		at_end;

	if (search->queue == NULL)
		count = dwf_direct_search(search->role, search->due,
								  search->workflow_id, limit, &page);
	if (count < 0)
		count = read_page(search, limit, &page);
	now = GetCurrentTimestamp();
	at_end = count < limit;

	for (int i = 0; i < count; i++)
	{
		/* the rest of the page is due later still */
		if (page[i].due > now)
		{
			search->next = Min(search->next, page[i].due);
			at_end = true;
			break;
		}
		search->due = page[i].due;
		search->workflow_id = page[i].workflow_id;

		/* skip it if a session executes it, or seems to have locked it */
		if (dwf_claims_skip(search->workflow_id, search->queue_hash))
			continue;
		*found = !is_held(page[i].xmax);
		if (*found)
		{
			if (ItemPointerIsValid(&page[i].tid))
				dwf_probe_keep(search->workflow_id, &page[i].tid);
			look_behind(search, page, i + 1, count, now, at_end);
			if (ahead)
				*nahead = list_ahead(page, i + 1, count, now, ahead);
			break;
		}
		dwf_store_search_held(search);
	}
	return at_end;
}

/*
 * Find the first workflow that is due, that no session executes and whose row
 * does not look locked; when called again, the next one.  False when there is
 * none left.  A page of two more rows than there are workflows in execution is
 * usually enough to find it, and to see whether more follows (search->more).
 * An executor reads more, for the claims that come next.
 */
bool
dwf_store_search(DwfSearch *search)
{
	bool		looks_ahead = search->work_hash != 0 &&
	dwf_setting_look_ahead_time > 0;
	bool		found = false;
	int			limit = dwf_claims_count() + 2;
	DwfAhead	ahead[DWF_AHEAD_MAX];
	int			nahead = 0;
	uint64		number = 0;

	if (search->workflow_id == NULL)
		begin_search(search);
	if (looks_ahead)
	{
		number = dwf_ahead_begin(search->work_hash);
		limit += DWF_AHEAD_MAX;
	}
	while (!search_page(search, limit, &found, looks_ahead ? ahead : NULL,
						&nahead) && !found)
	{
		CHECK_FOR_INTERRUPTS();
		limit = Max(limit, HELD_MANY);
	}
	if (looks_ahead)
		dwf_ahead_end(search->work_hash, number, ahead, nahead);
	return found;
}

/*
 * Take a body of a role, whose work has this address, that was found a while
 * ago and is still the first one, for all that is known; more are due behind
 * it.  NULL if there is none: then the caller has to search.
 */
text *
dwf_store_search_ahead(uint64 work_hash)
{
	DwfAhead	body;
	text	   *workflow_id;

	if (!dwf_ahead_take(work_hash, &body))
		return NULL;
	workflow_id = cstring_to_text_with_len(body.workflow_id, body.length);
	if (ItemPointerIsValid(&body.tid))
		dwf_probe_keep(workflow_id, &body.tid);
	return workflow_id;
}
