/*-------------------------------------------------------------------------
 *
 * readers.c
 *	  Many sessions read one stream while it is written.
 *
 *	readers stream READERS RATE SECONDS		wf_write_stream, and readers
 *											blocked in wf_read_stream
 *	readers listen READERS RATE SECONDS		INSERT and pg_notify, and readers
 *											that LISTEN, and then fetch
 *
 * Each reader asks for what comes after the last item that it has.  Fails
 * unless each gets every item, in order, and nothing else.  Prints the median
 * and the 99th percentile in microseconds, over all items and readers, of the
 * time from just before the writer sends its COMMIT until the reader's client
 * has the item.  Connects as the environment says.
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_FETCH \
	"SELECT item_no, value FROM bench.stream_item" \
	" WHERE workflow_id = 'wf-readers' AND stream = 's'" \
	" AND item_no > $1 ORDER BY item_no LIMIT 100"
#define LISTEN_WRITE \
	"INSERT INTO bench.stream_item (workflow_id, stream, item_no, value)" \
	" VALUES ('wf-readers', 's', nextval('bench.item_no_seq')," \
	" to_jsonb($1::int)) RETURNING pg_notify('bench', workflow_id)"
#define STREAM_READ \
	"SELECT item_no, value FROM wf_read_stream('wf-readers', 's', $1)"
#define STREAM_WRITE \
	"SELECT wf_write_stream('s', to_jsonb($1::int), 'wf-readers')"

typedef struct Reader
{
	PGconn	   *conn;
	bool		is_asking;
	int			seen;			/* the number of the last item */
} Reader;

static bool listens;
static int	rate;
static int	items;
static double *committed_at;	/* of each item, by the writer */

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void
die(PGconn *conn, const char *what)
{
	fprintf(stderr, "readers: %s: %s\n", what, PQerrorMessage(conn));
	exit(1);
}

/* Exit unless a result is a success; return it */
static PGresult *
check(PGconn *conn, PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die(conn, what);
	return result;
}

static PGconn *
connect_and_prepare(const char *sql)
{
	PGconn	   *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		die(conn, "could not connect");
	PQclear(check(conn, PQprepare(conn, "statement", sql, 0, NULL), sql));
	return conn;
}

static void
command(PGconn *conn, const char *sql)
{
	PQclear(check(conn, PQexec(conn, sql), sql));
}

/* Write the items, so many a second */
static void *
writer_main(void *arg)
{
	PGconn	   *conn = arg;
	double		next = now_us();

	for (int i = 1; i <= items; i++)
	{
		char		number[16];
		const char *parameter = number;

		next += 1e6 / rate;
		while (now_us() < next)
			usleep(next - now_us() > 100 ? next - now_us() - 50 : 10);
		snprintf(number, sizeof(number), "%d", i);
		command(conn, "BEGIN");
		PQclear(check(conn, PQexecPrepared(conn, "statement", 1, &parameter,
										   NULL, NULL, 0), "write"));
		committed_at[i] = now_us();
		command(conn, "COMMIT");
	}
	return NULL;
}

/* Ask for what comes after the last item */
static void
ask(Reader *reader)
{
	char		number[16];
	const char *parameter = number;

	snprintf(number, sizeof(number), "%d", reader->seen);
	if (!PQsendQueryPrepared(reader->conn, "statement", 1, &parameter, NULL,
							 NULL, 0))
		die(reader->conn, "could not ask");
	reader->is_asking = true;
}

/* Take the items of an answer; returns how many */
static int
take(Reader *reader, PGresult *result, double *latencies)
{
	int			count = PQntuples(check(reader->conn, result, "read"));
	double		now = now_us();

	for (int i = 0; i < count; i++)
	{
		reader->seen++;
		if (atoi(PQgetvalue(result, i, 0)) != reader->seen ||
			atoi(PQgetvalue(result, i, 1)) != reader->seen)
		{
			fprintf(stderr, "readers: item %s came instead of %d\n",
					PQgetvalue(result, i, 0), reader->seen);
			exit(1);
		}
		latencies[i] = now - committed_at[reader->seen];
	}
	PQclear(result);
	return count;
}

/* What has come for a reader; returns how many items */
static int
serve(Reader *reader, double *latencies)
{
	int			count = 0;
	bool		has_answered = false;
	bool		has_heard = false;
	PGresult   *result;
	PGnotify   *notification;

	if (!PQconsumeInput(reader->conn))
		die(reader->conn, "could not read");
	while (reader->is_asking && !PQisBusy(reader->conn) && !has_answered)
	{
		if ((result = PQgetResult(reader->conn)) == NULL)
			has_answered = true;
		else
			count += take(reader, result, latencies + count);
	}
	if (has_answered)
		reader->is_asking = false;
	while ((notification = PQnotifies(reader->conn)) != NULL)
	{
		has_heard = true;
		PQfreemem(notification);
	}

	/* who listens asks until there is nothing, and when it hears something */
	if (reader->is_asking || reader->seen == items)
		return count;
	if (!listens || has_heard || count > 0)
		ask(reader);
	return count;
}

static int
compare(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

int
main(int argc, char **argv)
{
	int			count = argc == 5 ? atoi(argv[2]) : 0;
	Reader	   *readers;
	struct pollfd *sockets;
	double	   *latencies;
	size_t		total;
	size_t		got = 0;
	pthread_t	writer;
	PGconn	   *writer_conn;

	if (count < 1 || (rate = atoi(argv[3])) < 1 ||
		(items = rate * atoi(argv[4])) < 1 ||
		(strcmp(argv[1], "stream") != 0 && strcmp(argv[1], "listen") != 0))
	{
		fprintf(stderr, "usage: readers {stream|listen} READERS RATE SECONDS\n");
		return 2;
	}
	listens = strcmp(argv[1], "listen") == 0;
	total = (size_t) count * items;
	readers = calloc(count, sizeof(Reader));
	sockets = calloc(count, sizeof(struct pollfd));
	latencies = calloc(total + 200, sizeof(double));
	committed_at = calloc(items + 1, sizeof(double));

	for (int i = 0; i < count; i++)
	{
		readers[i].conn = connect_and_prepare(listens ? LISTEN_FETCH : STREAM_READ);
		sockets[i].fd = PQsocket(readers[i].conn);
		sockets[i].events = POLLIN;
		if (listens)
			command(readers[i].conn, "LISTEN bench");
		else
			ask(&readers[i]);
	}
	writer_conn = connect_and_prepare(listens ? LISTEN_WRITE : STREAM_WRITE);
	if (pthread_create(&writer, NULL, writer_main, writer_conn) != 0)
		die(writer_conn, "could not start a thread");

	while (got < total)
	{
		if (poll(sockets, count, 60000) <= 0)
		{
			fprintf(stderr, "readers: %zu of %zu items have come\n", got, total);
			return 1;
		}
		for (int i = 0; i < count; i++)
			if (sockets[i].revents)
				got += serve(&readers[i], latencies + got);
	}
	pthread_join(writer, NULL);

	qsort(latencies, total, sizeof(double), compare);
	printf("%.1f %.1f\n", latencies[total / 2], latencies[(size_t) (total * 0.99)]);
	for (int i = 0; i < count; i++)
		PQfinish(readers[i].conn);
	PQfinish(writer_conn);
	return 0;
}
