/*-------------------------------------------------------------------------
 *
 * latency.c
 *	  How long after a commit has a blocked receiver the message in hand?
 *
 *	latency recv         SAMPLES	sender wf_send, receiver blocked in wf_recv
 *	latency listen       SAMPLES	sender INSERT and pg_notify, receiver
 *									LISTENs, sleeps on its socket, and then
 *									fetches
 *	latency event        SAMPLES	sender wf_set_event with a new key, receiver
 *									blocked in wf_get_event
 *	latency event-listen SAMPLES	as listen; the fetch is a SELECT by that key
 *	latency event-heard	 SAMPLES	the same, until the notification is there: the
 *									fetch comes after the time
 *	latency stream		 SAMPLES	sender wf_write_stream, receiver blocked in
 *									wf_read_stream
 *	latency stream-listen SAMPLES	as listen; the fetch is a SELECT of what
 *									comes after the last item
 *
 * Prints the median and the 99th percentile in microseconds, and then a line
 * for each of several percentiles.  Connects as the environment says (PGHOST
 * and so on).
 *
 * Each sample, the same on both sides:
 *
 *	1. the receiver says that it is about to wait, and waits;
 *	2. the sender pauses, so that the receiver has gone to sleep, and then
 *	   does all of its transaction but the end;
 *	3. the sender notes the time and sends COMMIT;
 *	4. the receiver has the payload in its memory, and notes the time.
 *
 * So neither the INSERT nor the parsing of statements is part of the time;
 * the receiver's own commit is, since its answer comes with it.
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_US	1000

/* What one side of the comparison executes */
typedef struct Side
{
	const char *name;
	const char *subscribe;		/* receiver, once; NULL: nothing */
	const char *send;			/* sender; $1 is the payload */
	const char *receive;		/* receiver; returns the payload */
	bool		asks;			/* has receive the parameter $1, too? */
	bool		only_hears;		/* is the time over before receive? */
} Side;

#define EVENT_AND_NOTIFY \
	"INSERT INTO bench.event (workflow_id, key, value)" \
	" VALUES ('wf-latency', 'key ' || $1, to_jsonb($1::int))" \
	" ON CONFLICT (workflow_id, key) DO UPDATE SET value = EXCLUDED.value," \
	" updated_at = EXCLUDED.updated_at" \
	" RETURNING pg_notify('bench', workflow_id)"
#define EVENT_BY_KEY \
	"SELECT value FROM bench.event" \
	" WHERE workflow_id = 'wf-latency' AND key = 'key ' || $1"

static const Side sides[] = {
	{
		"recv", NULL,
		"SELECT wf_send('wf-latency', $1)",
		"SELECT wf_recv(workflow_id => 'wf-latency')"
	},
	{
		"listen", "LISTEN bench",
		"INSERT INTO bench.message"
		" (message_id, workflow_id, door, key, payload) VALUES"
		" (nextval('bench.message_id_seq'), 'wf-latency', 'd', '', $1)"
		" RETURNING pg_notify('bench', workflow_id)",
		"DELETE FROM bench.message WHERE ctid ="
		" (SELECT ctid FROM bench.message WHERE workflow_id = 'wf-latency'"
		" AND door = 'd' AND key = '' ORDER BY message_id LIMIT 1"
		" FOR UPDATE SKIP LOCKED) RETURNING payload"
	},
	{
		"event", NULL,
		"SELECT wf_set_event('key ' || $1, to_jsonb($1::int), 'wf-latency')",
		"SELECT wf_get_event('wf-latency', 'key ' || $1)",
		true
	},
	{
		"event-listen", "LISTEN bench", EVENT_AND_NOTIFY, EVENT_BY_KEY, true
	},
	{
		"event-heard", "LISTEN bench", EVENT_AND_NOTIFY, EVENT_BY_KEY, true, true
	},
	{
		"stream", NULL,
		"SELECT wf_write_stream('s', to_jsonb($1::int), 'wf-latency')",
		"SELECT value FROM wf_read_stream('wf-latency', 's', $1::bigint)",
		true
	},
	{
		"stream-listen", "LISTEN bench",
		"INSERT INTO bench.stream_item (workflow_id, stream, item_no, value)"
		" VALUES ('wf-latency', 's', nextval('bench.item_no_seq'),"
		" to_jsonb($1::int)) RETURNING pg_notify('bench', workflow_id)",
		"SELECT value FROM bench.stream_item"
		" WHERE workflow_id = 'wf-latency' AND stream = 's'"
		" AND item_no > $1::bigint ORDER BY item_no LIMIT 100",
		true
	}
};

static const Side *side;
static int	samples;
static double *latencies;		/* microseconds, by the receiver */

static sem_t about_to_wait;		/* the receiver says so */
static sem_t received;			/* it has got the message */
static double committed_at;		/* by the sender; read after the message */

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
	fprintf(stderr, "latency: %s: %s\n", what, PQerrorMessage(conn));
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

static void
command(PGconn *conn, const char *sql)
{
	PQclear(check(conn, PQexec(conn, sql), sql));
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

/* Execute the prepared statement, with one parameter or none */
static PGresult *
execute(PGconn *conn, const char *parameter)
{
	return check(conn, PQexecPrepared(conn, "statement", parameter ? 1 : 0,
									  &parameter, NULL, NULL, 0),
				 "statement");
}

/* Sleep until a notification has come */
static void
wait_for_notification(PGconn *conn)
{
	PGnotify   *notification;

	while ((notification = PQnotifies(conn)) == NULL)
	{
		struct pollfd socket = {PQsocket(conn), POLLIN, 0};

		if (poll(&socket, 1, -1) < 0 || !PQconsumeInput(conn))
			die(conn, "could not wait");
	}
	PQfreemem(notification);
}

/* Receive every message, in order, and note how old each commit is */
static void *
receiver_main(void *arg)
{
	PGconn	   *conn = arg;

	for (int i = 0; i < samples; i++)
	{
		PGresult   *result;
		char		number[16];
		double		heard;

		snprintf(number, sizeof(number), "%d", i);
		sem_post(&about_to_wait);
		if (side->subscribe)
			wait_for_notification(conn);
		heard = now_us();
		result = execute(conn, side->asks ? number : NULL);
		if (PQntuples(result) != 1 || atoi(PQgetvalue(result, 0, 0)) != i)
		{
			fprintf(stderr, "latency: message %d has not come\n", i);
			exit(1);
		}
		latencies[i] = (side->only_hears ? heard : now_us()) - committed_at;
		PQclear(result);
		sem_post(&received);
	}
	return NULL;
}

/* Send every message while the receiver waits for it */
static void
send_all(PGconn *conn)
{
	for (int i = 0; i < samples; i++)
	{
		char		payload[16];

		snprintf(payload, sizeof(payload), "%d", i);
		sem_wait(&about_to_wait);
		usleep(PAUSE_US);

		command(conn, "BEGIN");
		PQclear(execute(conn, payload));
		committed_at = now_us();
		command(conn, "COMMIT");
		sem_wait(&received);
	}
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
	PGconn	   *sender;
	PGconn	   *receiver;
	pthread_t	thread;

	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
		if (argc == 3 && strcmp(argv[1], sides[i].name) == 0)
			side = &sides[i];
	if (side == NULL || (samples = atoi(argv[2])) < 1)
	{
		fprintf(stderr, "usage: latency {recv|event|stream|listen|event-listen|event-heard|stream-listen} SAMPLES\n");
		return 2;
	}

	latencies = malloc(samples * sizeof(double));
	sem_init(&about_to_wait, 0, 0);
	sem_init(&received, 0, 0);
	receiver = connect_and_prepare(side->receive);
	sender = connect_and_prepare(side->send);
	if (side->subscribe)
		command(receiver, side->subscribe);

	if (latencies == NULL ||
		pthread_create(&thread, NULL, receiver_main, receiver) != 0)
	{
		fprintf(stderr, "latency: out of memory\n");
		return 1;
	}
	send_all(sender);
	pthread_join(thread, NULL);

	qsort(latencies, samples, sizeof(double), compare);
	printf("%.1f %.1f\n", latencies[samples / 2],
		   latencies[(int) (samples * 0.99)]);
	for (int i = 0; i < 100; i += i < 90 ? 5 : 1)
		printf("%d %.1f\n", i, latencies[samples * i / 100]);
	PQfinish(receiver);
	PQfinish(sender);
	return 0;
}
