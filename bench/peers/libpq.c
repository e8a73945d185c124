/*-------------------------------------------------------------------------
 *
 * libpq.c
 *	  Send messages through the server and receive them, by libpq.
 *
 *	libpq SIDE messages NUMBER	eight senders, one message a transaction, and
 *								one receiver: prints messages per second, and
 *								milliseconds of this program's CPU for each
 *	libpq SIDE latency SAMPLES	one message at a time, all is quiet: prints the
 *								median and the 99th percentile in microseconds,
 *								from before the sender's statement is sent until
 *								the receiver has the message
 *
 * SIDE is durable (wf_send, wf_recv_many), notify (pg_notify, LISTEN: nothing
 * is kept for a receiver that is away) or pgq (its ticker is called every
 * 10 ms, and its consumer asks for a batch every millisecond).
 *
 * Connects as the environment says (PGHOST and so on).
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
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SENDERS		8
#define BATCH_PAUSE	1000		/* microseconds between two looks of pgq */
#define TICK_PAUSE	10000		/* and between two ticks */

/* What one side executes */
typedef struct Side
{
	const char *name;
	const char *send;			/* $1 is the number of the message */
	int			(*receive) (PGconn *conn);	/* waits; how many have come */
} Side;

static int	receive_durable(PGconn *conn);
static int	receive_notify(PGconn *conn);
static int	receive_pgq(PGconn *conn);

static const Side sides[] = {
	{"durable", "SELECT wf_send('peers', $1)", receive_durable},
	{"notify", "SELECT pg_notify('peers', $1)", receive_notify},
	{"pgq", "SELECT pgq.insert_event('peers', 'message', $1)", receive_pgq}
};

static const Side *side;
static int	total;
static volatile bool finished;
static sem_t received;			/* of latency: the message has come */
static double received_at;

/* Microseconds of a monotonic clock */
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
	fprintf(stderr, "libpq: %s: %s\n", what, PQerrorMessage(conn));
	exit(1);
}

/* Execute a statement that may not fail; the caller clears its result */
static PGresult *
query(PGconn *conn, const char *sql)
{
	PGresult   *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die(conn, sql);
	return result;
}

/* Milliseconds of CPU that this program has taken */
static double
cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static PGconn *
connect_to_server(void)
{
	PGconn	   *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		die(conn, "could not connect");
	return conn;
}

/* Take up to a hundred messages, which are gone with that */
static int
receive_durable(PGconn *conn)
{
	PGresult   *result = query(conn, "SELECT * FROM"
							   " wf_recv_many(NULL, 100, '60 s', 'peers')");
	int			count = PQntuples(result);

	PQclear(result);
	return count;
}

/* Sleep until a notification has come, and count those that are there */
static int
receive_notify(PGconn *conn)
{
	int			count = 0;
	PGnotify   *notification;

	for (;;)
	{
		struct pollfd socket = {PQsocket(conn), POLLIN, 0};

		while ((notification = PQnotifies(conn)) != NULL)
		{
			PQfreemem(notification);
			count++;
		}
		if (count > 0)
			return count;
		if (poll(&socket, 1, -1) < 0 || !PQconsumeInput(conn))
			die(conn, "could not wait");
	}
}

/* Take a batch that has messages */
static int
receive_pgq(PGconn *conn)
{
	int			count = 0;

	while (count == 0)
	{
		PGresult   *batch = query(conn,
								  "SELECT pgq.next_batch('peers', 'consumer')");
		PGresult   *events;
		char		sql[100];

		if (PQgetisnull(batch, 0, 0))
			usleep(BATCH_PAUSE);
		else
		{
			snprintf(sql, sizeof(sql), "SELECT * FROM pgq.get_batch_events(%s)",
					 PQgetvalue(batch, 0, 0));
			events = query(conn, sql);
			count = PQntuples(events);
			PQclear(events);
			snprintf(sql, sizeof(sql), "SELECT pgq.finish_batch(%s)",
					 PQgetvalue(batch, 0, 0));
			PQclear(query(conn, sql));
		}
		PQclear(batch);
	}
	return count;
}

/* Make ticks, until all is over */
static void *
ticker_main(void *arg)
{
	PGconn	   *conn = connect_to_server();

	while (!finished)
	{
		PQclear(query(conn, "SELECT pgq.ticker('peers')"));
		usleep(TICK_PAUSE);
	}
	PQfinish(conn);
	return NULL;
}

/* Receive until all have come; of latency, note when each has */
static void *
receiver_main(void *arg)
{
	bool		one_by_one = arg != NULL;
	PGconn	   *conn = connect_to_server();
	int			count = 0;

	if (side->receive == receive_notify)
		PQclear(query(conn, "LISTEN peers"));
	sem_post(&received);		/* it is ready */
	while (count < total)
	{
		count += side->receive(conn);
		received_at = now_us();
		if (one_by_one)
			sem_post(&received);
	}
	PQfinish(conn);
	return NULL;
}

/* Send messages, one a transaction, with pauses if we measure latencies */
static void
send_messages(int count, double *latencies)
{
	PGconn	   *conn = connect_to_server();

	PQclear(PQprepare(conn, "send", side->send, 0, NULL));
	for (int i = 0; i < count; i++)
	{
		char		number[16];
		const char *parameter = number;
		PGresult   *result;
		double		begin;

		snprintf(number, sizeof(number), "%d", i);
		if (latencies)
			usleep(20000 + rand() % 20000);
		begin = now_us();
		result = PQexecPrepared(conn, "send", 1, &parameter, NULL, NULL, 0);
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			die(conn, side->send);
		PQclear(result);
		if (latencies)
		{
			sem_wait(&received);
			latencies[i] = received_at - begin;
		}
	}
	PQfinish(conn);
}

static void *
sender_main(void *arg)
{
	send_messages(total / SENDERS, NULL);
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

/* Start a thread, or end the program */
static pthread_t
start_thread(void *(*action) (void *), void *arg)
{
	pthread_t	thread;

	if (pthread_create(&thread, NULL, action, arg) != 0)
	{
		fprintf(stderr, "libpq: no thread could be made\n");
		exit(1);
	}
	return thread;
}

int
main(int argc, char **argv)
{
	bool		one_by_one = argc == 4 && strcmp(argv[2], "latency") == 0;
	double	   *latencies;
	double		begin = 0;
	pthread_t	receiver;
	pthread_t	ticker = 0;
	pthread_t	senders[SENDERS];

	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
		if (argc == 4 && strcmp(argv[1], sides[i].name) == 0)
			side = &sides[i];
	if (side == NULL || (total = atoi(argv[3]) / SENDERS * SENDERS) < SENDERS)
	{
		fprintf(stderr,
				"usage: libpq {durable|notify|pgq} {messages|latency} NUMBER\n");
		return 2;
	}

	sem_init(&received, 0, 0);
	if (side->receive == receive_pgq)
		ticker = start_thread(ticker_main, NULL);
	receiver = start_thread(receiver_main, one_by_one ? &total : NULL);
	sem_wait(&received);
	usleep(100000);				/* it waits */

	if (one_by_one)
	{
		latencies = calloc(total, sizeof(double));
		if (latencies == NULL)
			return 1;
		send_messages(total, latencies);
		qsort(latencies, total, sizeof(double), compare);
		printf("%.1f %.1f\n", latencies[total / 2],
			   latencies[(int) (total * 0.99)]);
		free(latencies);
	}
	else
	{
		begin = now_us();
		for (int i = 0; i < SENDERS; i++)
			senders[i] = start_thread(sender_main, NULL);
		for (int i = 0; i < SENDERS; i++)
			pthread_join(senders[i], NULL);
	}
	pthread_join(receiver, NULL);
	if (!one_by_one)
		printf("%.1f %.4f\n", total * 1e6 / (received_at - begin),
			   cpu_ms() / total);

	finished = true;
	if (side->receive == receive_pgq)
		pthread_join(ticker, NULL);
	return 0;
}
