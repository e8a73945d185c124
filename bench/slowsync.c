/*
 * A disk that takes a millisecond more to make data durable:
 *   gcc -shared -fPIC -o slowsync.so slowsync.c -ldl
 *   LD_PRELOAD=.../slowsync.so pg_ctl start
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

int
fdatasync(int fd)
{
	static int	(*real) (int) = NULL;

	if (real == NULL)
		real = (int (*) (int)) dlsym(RTLD_NEXT, "fdatasync");
	usleep(1000);
	return real(fd);
}
