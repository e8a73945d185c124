/*
 * Connections that have had an answer and do nothing since:
 *   keepalive PORT COUNT
 * Says "ready" when all of them are there; ends with its standard input.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct rlimit files;
	char		answer[1024];

	if (argc != 3)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	address.sin_port = htons(atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int n = atoi(argv[2]); n > 0; n--)
	{
		int			fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 ||
			connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
			write(fd, request, strlen(request)) < 0 ||
			read(fd, answer, sizeof(answer)) < 12 ||
			memcmp(answer + 9, "200", 3) != 0)
		{
			perror("keepalive");
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	while (read(0, answer, sizeof(answer)) > 0)
		;
	return 0;
}
