/*-------------------------------------------------------------------------
 *
 * listen.c
 *	  Sessions that listen: many that only do so, or one with a stopwatch.
 *
 *	listen follow SESSIONS		session i follows workflow wf-(i modulo 100);
 *								prints a line when all listen, and takes in
 *								what comes until its standard input ends
 *	listen sit    SESSIONS		the same, but nobody listens
 *	listen ours   SAMPLES MS	sender wf_send, receiver wf_listen
 *	listen theirs SAMPLES MS	sender INSERT and pg_notify, receiver LISTEN
 *
 * The last two print the median and the 99th percentile, in microseconds, of
 * the time from just before the sender sends COMMIT until the receiver's client
 * has the notification of it, by one monotonic clock.  Before each send the
 * sender pauses for MS milliseconds, give or take a sixth, so that samples do
 * not keep step with anything.
 *
 * Connects as the environment says (PGHOST and so on).
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORKFLOWS	100

/* What one side of the comparison executes; $1 is in the payload */
typedef struct Side
{
	const char *name;
	const char *subscribe;
	const char *send;
} Side;

static const Side sides[] = {
	{
		"ours",
		"SELECT wf_listen('wf-latency')",
		"SELECT wf_send('wf-latency', '1', $1)"
	},
	{
		"theirs",
		"LISTEN bench",
		"INSERT INTO bench.message"
		" (message_id, workflow_id, door, key, payload) VALUES"
		" (nextval('bench.message_id_seq'), 'wf-latency', 'm', $1, '1')"
		" RETURNING pg_notify('bench', $1)"
	}
};

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
	fprintf(stderr, "listen: %s: %s\n", what, PQerrorMessage(conn));
	exit(1);
}

/* Exit unless a result is a success */
static void
check(PGconn *conn, PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die(conn, what);
	PQclear(result);
}

static void
command(PGconn *conn, const char *sql)
{
	check(conn, PQexec(conn, sql), sql);
}

static PGconn *
connect_to_server(void)
{
	PGconn	   *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		die(conn, "could not connect");
	return conn;
}

/* Take in what has come */
static void
take_in(PGconn *conn)
{
	PGnotify   *notification;

	if (!PQconsumeInput(conn))
		die(conn, "the connection is lost");
	while ((notification = PQnotifies(conn)) != NULL)
		PQfreemem(notification);
}

static int
follow(int sessions, bool listens)
{
	PGconn	  **conns = malloc(sessions * sizeof(PGconn *));
	struct pollfd *sockets = malloc((sessions + 1) * sizeof(struct pollfd));

	for (int i = 0; i < sessions; i++)
	{
		char		sql[64];

		snprintf(sql, sizeof(sql), "SELECT wf_listen('wf-%d')",
				 i % WORKFLOWS);
		conns[i] = connect_to_server();
		command(conns[i], listens ? sql : "SELECT 1");
		sockets[i].fd = PQsocket(conns[i]);
		sockets[i].events = POLLIN;
	}
	sockets[sessions].fd = STDIN_FILENO;
	sockets[sessions].events = POLLIN;
	puts("ready");
	fflush(stdout);

	while (poll(sockets, sessions + 1, -1) > 0 && !sockets[sessions].revents)
		for (int i = 0; i < sessions; i++)
			if (sockets[i].revents)
				take_in(conns[i]);
	for (int i = 0; i < sessions; i++)
		PQfinish(conns[i]);
	return 0;
}

/* Sleep until there is a notification about this one */
static void
wait_for(PGconn *conn, const char *key)
{
	for (;;)
	{
		PGnotify   *notification;
		struct pollfd socket = {PQsocket(conn), POLLIN, 0};
		bool		found = false;

		while ((notification = PQnotifies(conn)) != NULL)
		{
			found |= strstr(notification->extra, key) != NULL;
			PQfreemem(notification);
		}
		if (found)
			return;
		if (poll(&socket, 1, 60000) <= 0 || !PQconsumeInput(conn))
			die(conn, "no notification has come");
	}
}

static int
compare(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

static int
measure(const Side *side, int samples, int pause_ms)
{
	PGconn	   *sender = connect_to_server();
	PGconn	   *receiver = connect_to_server();
	double	   *delays = malloc(samples * sizeof(double));

	command(receiver, side->subscribe);
	check(sender, PQprepare(sender, "send", side->send, 0, NULL), side->send);

	for (int i = 0; i < samples; i++)
	{
		char		key[24];
		const char *parameter = key;
		double		committed_at;

		snprintf(key, sizeof(key), "sample %d.", i);
		usleep(pause_ms * (833 + random() % 334));
		command(sender, "BEGIN");
		check(sender, PQexecPrepared(sender, "send", 1, &parameter, NULL,
									 NULL, 0), side->send);
		committed_at = now_us();
		/* not waiting for the answer, which may come after the notification */
		if (!PQsendQuery(sender, "COMMIT"))
			die(sender, "COMMIT");
		wait_for(receiver, key);
		delays[i] = now_us() - committed_at;
		for (PGresult *result; (result = PQgetResult(sender)) != NULL;)
			check(sender, result, "COMMIT");
	}

	qsort(delays, samples, sizeof(double), compare);
	printf("%.1f %.1f\n", delays[samples / 2], delays[(int) (samples * 0.99)]);
	PQfinish(sender);
	PQfinish(receiver);
	return 0;
}

int
main(int argc, char **argv)
{
	int			n = argc > 2 ? atoi(argv[2]) : 0;

	if (argc == 3 && n > 0 && (strcmp(argv[1], "follow") == 0 ||
							   strcmp(argv[1], "sit") == 0))
		return follow(n, argv[1][0] == 'f');
	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
		if (argc == 4 && n > 0 && strcmp(argv[1], sides[i].name) == 0)
			return measure(&sides[i], n, atoi(argv[3]));
	fprintf(stderr, "usage: listen {follow|sit} SESSIONS\n"
			"       listen {ours|theirs} SAMPLES MILLISECONDS\n");
	return 2;
}
