/*
 * Many connections with one request each, which the server answers slowly or
 * without an end: held requests, readers of a stream.
 *
 *   http_readers PORT COUNT METHOD TARGET
 *
 * Says "ready" when all requests are sent, and those of GET have the head of
 * their answer.  Reads what comes until standard input ends.  An event's data
 * is a time, in seconds since 1970: says in the end how many events have come
 * in all, the fewest on one connection, and how late they were, in us.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX	(16 * 1024 * 1024)

typedef struct Reader
{
	int			fd;
	int			has_head;
	long		events;
} Reader;

static float *samples;
static long nsamples;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Connect and send the request; tries again while the backlog is full */
static int
dial(int port, const char *request)
{
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_port = htons(port)};
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		die("connect");
	if (write(fd, request, strlen(request)) != (ssize_t) strlen(request))
		die("write");
	return fd;
}

/* Take what has come; returns 0 when the connection has ended */
static int
take(Reader *reader)
{
	static char text[1 << 20];
	ssize_t		length = recv(reader->fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	double		at = now();

	if (length <= 0)
		return length < 0 && errno == EAGAIN;
	text[length] = '\0';
	if (strstr(text, "\r\n\r\n"))
		reader->has_head = 1;
	/* an event that is cut in two counts once, and is no sample */
	for (char *data = text; (data = strstr(data, "data: ")) != NULL; data++)
	{
		reader->events++;
		if (nsamples < SAMPLES_MAX && strchr(data, '\n'))
			samples[nsamples++] = (at - atof(data + 6)) * 1e6;
	}
	return 1;
}

static int
compare(const void *a, const void *b)
{
	float		left = *(const float *) a, right = *(const float *) b;

	return (left > right) - (left < right);
}

int
main(int argc, char **argv)
{
	int			count = atoi(argv[2]);
	int			heads = strcmp(argv[3], "GET") == 0 ? 0 : count;
	Reader	   *readers = calloc(count, sizeof(Reader));
	struct rlimit limit;
	char		request[1024];
	int			epoll = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN,.data.ptr = NULL};
	long		events = 0, fewest = -1;
	int			said = 0;

	if (argc != 5)
		return 2;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	samples = malloc(SAMPLES_MAX * sizeof(float));
	snprintf(request, sizeof(request), heads == 0 ?
			 "%s %s HTTP/1.1\r\nHost: x\r\n\r\n" :
			 "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
			 argv[3], argv[4]);
	for (int i = 0; i < count; i++)
	{
		struct epoll_event one = {.events = EPOLLIN,.data.ptr = &readers[i]};

		readers[i].fd = dial(atoi(argv[1]), request);
		epoll_ctl(epoll, EPOLL_CTL_ADD, readers[i].fd, &one);
	}
	epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
	for (;;)
	{
		struct epoll_event happened[256];
		int			n;

		if (heads >= count && !said)
		{
			said = 1;
			puts("ready");
			fflush(stdout);
		}
		n = epoll_wait(epoll, happened, 256, -1);
		for (int i = 0; i < n; i++)
		{
			Reader	   *reader = happened[i].data.ptr;
			int			had = reader ? reader->has_head : 0;

			if (reader == NULL)
				goto end;
			if (!take(reader))
			{
				fprintf(stderr, "a connection has ended\n");
				return 1;
			}
			heads += !had && reader->has_head && strcmp(argv[3], "GET") == 0;
		}
	}
end:
	for (int i = 0; i < count; i++)
	{
		events += readers[i].events;
		if (fewest < 0 || readers[i].events < fewest)
			fewest = readers[i].events;
	}
	qsort(samples, nsamples, sizeof(float), compare);
	printf("RESULT %ld %ld %.0f %.0f\n", events, fewest,
		   nsamples ? samples[nsamples / 2] : 0,
		   nsamples ? samples[nsamples * 99 / 100] : 0);
	return 0;
}
