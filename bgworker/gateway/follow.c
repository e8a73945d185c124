/*-------------------------------------------------------------------------
 *
 * follow.c
 *	  Send the items of streams to their readers.
 *
 * Readers by one token share an entry (DwfFollowed).  A reader wants a look at
 * the tables when it is new, when its socket has taken all of the last items,
 * and when something has come to its stream, which watch.c tells.  A round
 * takes the readers that want a look, first come first served, and those that
 * stand at one place of one stream share it: one read, and one text for all of
 * them.  The places of one round are limited, so a reader that is far behind
 * delays the others by one read at a time.
 *
 * The table is the buffer of a reader: nothing is read for one whose socket
 * has not taken what was read before.  A reader that takes nothing for
 * durable_wf.http_request_timeout is cut, and comes again with the number of
 * the last item that it has.
 *
 * No item is missed: the addresses of a stream are watched before the first
 * look at it, and each look sees what has committed by then (I2 in
 * extension/README.md).  The end of a stream is not told before all items are:
 * it is a look that has found none (stream.c).
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/follow.h"

#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "bgworker/gateway/conn.h"
#include "bgworker/gateway/reading.h"
#include "bgworker/gateway/resume.h"
#include "bgworker/gateway/server.h"
#include "bgworker/gateway/transaction.h"
#include "hook/elsewhere.h"
#include "hook/stream_url.h"
#include "shared/address.h"
#include "shared/watch.h"

/* How many places a round reads, and what it reads there */
#define PLACES_MAX		32
#define ITEMS_MAX		100
#define TEXT_MAX		(64 * 1024)

/* The time of a round's transaction, in ms */
#define READ_TIMEOUT	2000

/* An address of a stream that is watched */
typedef struct Watched
{
	dlist_node	node;			/* in the list of its bit */
	uint32		bit;
	struct DwfFollowed *followed;
} Watched;

/* The items, a writer that has gone, the end of the workflow */
#define ADDRESSES		3

/* A stream that is read by one token */
typedef struct DwfFollowed
{
	char		token[DWF_TOKEN_MAX + 1];	/* the key */
	dlist_head	readers;		/* connections */
	bool		is_watched;
	Watched		watched[ADDRESSES];
} DwfFollowed;

/* A place in a stream, and what was read there */
typedef struct Place
{
	DwfFollowed *followed;
	int64		after;
	bool		wants[2];		/* as events, as lines */
	bool		failed;
	bool		is_gone;		/* there is no such token any more, */
	bool		is_elsewhere;	/* ... since it is another node's */
	bool		ended;
	int64		last;			/* the number of the last item */
	StringInfoData text[2];
} Place;

/* A reader that takes part in a round */
typedef struct Taking
{
	DwfConn    *conn;
	Place	   *place;
} Taking;

/* What is followed, by token; the addresses, by bit */
static HTAB *streams = NULL;
static dlist_head *watched = NULL;

/* Memory for a round; reset after it */
static MemoryContext follow_context = NULL;

/* ----- what is watched ----- */

/* Watch an address of a stream */
static void
watch(DwfFollowed *followed, int i, char door, text *workflow_id, text *key)
{
	DwfAddress	address = {door, workflow_id, key};
	Watched    *w = &followed->watched[i];

	w->followed = followed;
	w->bit = dwf_watch_bit(dwf_address_hash(&address));
	dlist_push_tail(&watched[w->bit], &w->node);
	dwf_watch_add(w->bit);
}

/* Watch a stream, before the first look at it */
static void
watch_stream(DwfFollowed *followed, const DwfStreamUrl *url)
{
	if (followed->is_watched)
		return;
	watch(followed, 0, DWF_DOOR_STREAM, url->workflow_id, url->stream);
	watch(followed, 1, DWF_DOOR_TURN, url->workflow_id, url->stream);
	watch(followed, 2, DWF_DOOR_LIFE, url->workflow_id, NULL);
	followed->is_watched = true;
}

/* Callback: a connection is no reader any more; forget the stream of none */
static void
leave_stream(DwfConn *conn)
{
	DwfFollowed *followed = conn->stream;

	dlist_delete(&conn->reader_node);
	if (!dlist_is_empty(&followed->readers))
		return;
	for (int i = 0; followed->is_watched && i < ADDRESSES; i++)
	{
		Watched    *w = &followed->watched[i];

		dlist_delete(&w->node);
		if (dlist_is_empty(&watched[w->bit]))
			dwf_watch_remove(w->bit);
	}
	(void) hash_search(streams, followed->token, HASH_REMOVE, NULL);
}

/* Something has come to a stream: its readers want a look */
static void
wake_readers(DwfFollowed *followed)
{
	dlist_iter	iter;

	dlist_foreach(iter, &followed->readers)
	{
		DwfConn    *conn = dlist_container(DwfConn, reader_node, iter.cur);

		if (conn->state == DWF_CONN_STREAM)
			dwf_conn_want(conn);	/* one that is FULL will, in any case */
	}
}

/* Wake the readers of all streams */
static void
wake_all(void)
{
	HASH_SEQ_STATUS all;
	DwfFollowed *followed;

	hash_seq_init(&all, streams);
	while ((followed = hash_seq_search(&all)) != NULL)
		wake_readers(followed);
}

/* Wake the readers of the streams to which something has come */
static void
take_arrivals(void)
{
	static uint64 arrived[DWF_WATCH_WORDS];
	bool		all;

	if (!dwf_watch_take(arrived, &all))
		return;
	if (all)
	{
		wake_all();
		return;
	}
	for (int word = 0; word < DWF_WATCH_WORDS; word++)
		while (arrived[word] != 0)
		{
			int			bit = pg_rightmost_one_pos64(arrived[word]);
			dlist_iter	iter;

			arrived[word] &= arrived[word] - 1;
			dlist_foreach(iter, &watched[word * 64 + bit])
			{
				wake_readers(dlist_container(Watched, node,
											 iter.cur)->followed);
			}
		}
}

/* ----- new readers ----- */

/* Make a reader of a connection with a request for a stream */
static void
open_reader(DwfConn *conn)
{
	DwfReading	reading;
	DwfFollowed *followed;
	bool		found;

	if (!dwf_reading_parse(&conn->incoming, &reading))
	{
		dwf_conn_answer(conn, dwf_reading_refuse(&conn->incoming, 400));
		return;
	}
	conn->after = reading.after;
	conn->follows = reading.follows;
	conn->is_lines = reading.is_lines;
	followed = hash_search(streams, conn->token, HASH_ENTER, &found);
	if (!found)
	{
		dlist_init(&followed->readers);
		followed->is_watched = false;
	}
	conn->stream = followed;
	dlist_push_tail(&followed->readers, &conn->reader_node);
	dwf_conn_want(conn);
}

/* Make readers of all connections with a request for a stream */
static void
open_readers(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dwf_conn_lists[DWF_CONN_OPENING])
	{
		DwfConn    *conn = dlist_container(DwfConn, node, iter.cur);

		if (conn->stream == NULL)
			open_reader(conn);
	}
}

/* ----- reading ----- */

/* The JSON of an item, in UTF-8; raises if that cannot be */
static char *
item_text(const DwfStreamItem *item, int *length)
{
	Jsonb	   *jsonb = DatumGetJsonbP(item->value);
	StringInfoData json;
	char	   *text;

	initStringInfo(&json);
	(void) JsonbToCString(&json, &jsonb->root, VARSIZE(jsonb));
	*length = json.len;
	if (GetDatabaseEncoding() == PG_UTF8)
		return json.data;
	if (dwf_encoding_convert(json.data, json.len, GetDatabaseEncoding(),
							 PG_UTF8, &text, length) != DWF_CONVERTED)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("an item of a stream cannot be converted to UTF-8")));
	return text;
}

/* Write items, until there is text enough; at least one */
static void
write_items(Place *place, const DwfStreamItem *items, int count)
{
	for (int i = 0; i < count; i++)
	{
		int			length;
		char	   *json = item_text(&items[i], &length);

		for (int lines = 0; lines < 2; lines++)
			if (place->wants[lines])
				dwf_reading_write_item(&place->text[lines], lines == 1,
									   items[i].item_no, json, length);
		place->last = items[i].item_no;
		pfree(json);
		if (place->text[0].len > TEXT_MAX || place->text[1].len > TEXT_MAX)
			break;
	}
}

/* Read at a place, in a transaction */
static void
read_place(Place *place)
{
	DwfStreamUrl url;
	DwfStreamRead read = {0};
	text	   *token;

	for (int lines = 0; lines < 2; lines++)
		initStringInfo(&place->text[lines]);
	place->last = place->after;
	token = cstring_to_text(place->followed->token);
	if (!dwf_stream_url_find(token, &url))
	{
		place->is_gone = true;
		place->is_elsewhere = dwf_elsewhere_is(token);
		return;
	}
	watch_stream(place->followed, &url);
	read.after = place->after;
	read.limit = ITEMS_MAX;
	dwf_stream_url_read(&url, &read);
	place->ended = read.ended;
	write_items(place, read.items, read.count);
}

/* Read at places in one transaction; returns false if that has failed */
static bool
read_places(Place *places, int count)
{
	bool volatile done = false;

	PG_TRY();
	{
		dwf_transaction_begin(READ_TIMEOUT);
		dwf_resume_check_privilege();
		MemoryContextSwitchTo(follow_context);
		PushActiveSnapshot(GetTransactionSnapshot());
		for (int i = 0; i < count; i++)
			read_place(&places[i]);
		PopActiveSnapshot();
		dwf_transaction_commit(false);
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_abort(follow_context);

		if (count == 1)
			dwf_transaction_log_failure(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(follow_context);
	return done;
}

/* ----- sending ----- */

/* Send a reader what was read at its place; may close the connection */
static void
send_items(DwfConn *conn, const Place *place)
{
	const StringInfoData *text = &place->text[conn->is_lines ? 1 : 0];
	const char *end = dwf_reading_end(conn->is_lines);

	/* the head: an error is told by its status, later by hanging up */
	if (place->is_elsewhere && !conn->is_begun)
	{
		leave_stream(conn);
		conn->stream = NULL;
		dwf_conn_pass_on(conn, true);
		return;
	}
	if (place->is_gone || place->failed)
	{
		int			status = place->is_gone ? 404 : 503;

		if (conn->is_begun)
			dwf_conn_hang_up(conn);
		else
			dwf_conn_answer(conn, dwf_reading_refuse(&conn->incoming,
													 status));
		return;
	}
	if (!conn->is_begun &&
		!dwf_conn_begin_stream(conn, dwf_reading_begin(&conn->incoming,
													   conn->is_lines)))
		return;
	if (conn->state != DWF_CONN_STREAM)
		return;					/* it wants another look when it is not FULL */

	/* items, then another look; or the end; or nothing now */
	if (place->last > conn->after)
	{
		conn->after = place->last;
		if (dwf_conn_send_stream(conn, text->data, text->len, false) &&
			conn->state == DWF_CONN_STREAM)
			dwf_conn_want(conn);
	}
	else if (place->ended)
		(void) dwf_conn_send_stream(conn, end, strlen(end), true);
	else if (!conn->follows)
		(void) dwf_conn_send_stream(conn, NULL, 0, true);
}

/* The place of a reader in this round; NULL if there are too many others */
static Place *
find_place(Place *places, int *count, const DwfConn *conn)
{
	Place	   *place;

	for (int i = *count - 1; i >= 0; i--)
		if (places[i].followed == conn->stream &&
			places[i].after == conn->after)
			return &places[i];
	if (*count == PLACES_MAX)
		return NULL;
	place = &places[(*count)++];
	memset(place, 0, sizeof(Place));
	place->followed = conn->stream;
	place->after = conn->after;
	return place;
}

/* A round: read where readers want a look, then send */
static void
run_round(void)
{
	Place		places[PLACES_MAX];
	Taking	   *taking;
	int			nplaces = 0;
	int			ntaking = 0;
	int			max = 0;
	dlist_mutable_iter iter;

	/* which readers take part? */
	dlist_foreach_modify(iter, &dwf_conn_wanting)
	{
		max++;
	}
	taking = palloc(max * sizeof(Taking));
	dlist_foreach_modify(iter, &dwf_conn_wanting)
	{
		DwfConn    *conn = dlist_container(DwfConn, want_node, iter.cur);
		Place	   *place = find_place(places, &nplaces, conn);

		if (place == NULL)
			continue;
		dwf_conn_want_no_more(conn);
		place->wants[conn->is_lines ? 1 : 0] = true;
		taking[ntaking].conn = conn;
		taking[ntaking++].place = place;
	}

	/* read: together, or, if that has failed, each place apart */
	if (!read_places(places, nplaces))
		for (int i = 0; i < nplaces; i++)
			places[i].failed = !read_places(&places[i], 1);

	for (int i = 0; i < ntaking; i++)
		send_items(taking[i].conn, taking[i].place);
}

/* ----- the beginning ----- */

/* Prepare for readers of streams; this process is the one that watches */
void
dwf_follow_start(void)
{
	HASHCTL		control = {0};

	control.keysize = DWF_TOKEN_MAX + 1;
	control.entrysize = sizeof(DwfFollowed);
	streams = hash_create("durable_wf streams", 64, &control,
						  HASH_ELEM | HASH_STRINGS);
	watched = MemoryContextAlloc(TopMemoryContext,
								 DWF_WATCH_BITS * sizeof(dlist_head));
	for (int i = 0; i < DWF_WATCH_BITS; i++)
		dlist_init(&watched[i]);
	follow_context = AllocSetContextCreate(TopMemoryContext,
										   "durable_wf items",
										   ALLOCSET_DEFAULT_SIZES);
	dwf_conn_leave_stream = leave_stream;
	dwf_watch_begin();
}

/*
 * Send readers of streams what there is for them; returns whether there is
 * more to look for
 */
bool
dwf_follow_streams(void)
{
	if (!dwf_server_is_open)
		return false;
	take_arrivals();
	open_readers();
	if (dlist_is_empty(&dwf_conn_wanting))
		return false;
	MemoryContextSwitchTo(follow_context);
	run_round();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(follow_context);
	return !dlist_is_empty(&dwf_conn_wanting);
}
