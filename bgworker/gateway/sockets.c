/*-------------------------------------------------------------------------
 *
 * sockets.c
 *	  The sockets that the gateway listens on.
 *
 * What the settings want is opened as far as it can be; what cannot, because
 * the port is in use, is tried again later, and later each time.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/sockets.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "base/durable_wf.h"
#include "base/settings.h"

#define BACKLOG			4096

/* Delay until the next attempt, in ms: at first, at most */
#define DELAY_FIRST		1000
#define DELAY_MAX		60000

int			dwf_sockets_fds[DWF_LISTEN_MAX];
int			dwf_sockets_count = 0;

/* Where each of them listens, as it is shown */
static char names[DWF_LISTEN_MAX][NI_MAXHOST + 16];

/* The settings that they were opened for */
static char *opened_addresses = NULL;
static int	opened_port = 0;

static bool is_complete = false;
static int	failures = 0;		/* in a row */
static TimestampTz try_at = 0;
static bool names_are_bad = false;

/* Say that an address cannot be listened on; errno or a text says why */
static void
warn_not_listening(const char *name, const char *why)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("the durable_wf gateway cannot listen on %s: %s", name, why),
			 errhint("It tries again in %d s, and after a reload of the settings.",
					 Min(DELAY_MAX, DELAY_FIRST << Min(failures, 10)) / 1000)));
}

static bool
is_open(const char *name)
{
	for (int i = 0; i < dwf_sockets_count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Open one socket; false with errno set if that fails */
static bool
open_socket(const struct addrinfo *where, const char *name)
{
	int			on = 1;
	int			fd = socket(where->ai_family,
							where->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
							where->ai_protocol);

	if (fd < 0)
		return false;
	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (where->ai_family == AF_INET6)
		(void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, where->ai_addr, where->ai_addrlen) != 0 ||
		listen(fd, BACKLOG) != 0)
	{
		int			saved = errno;

		close(fd);
		errno = saved;
		return false;
	}
	strlcpy(names[dwf_sockets_count], name, sizeof(names[0]));
	dwf_sockets_fds[dwf_sockets_count++] = fd;
	ereport(LOG, (errmsg("durable_wf gateway listens on %s", name)));
	return true;
}

/* Open what is not open yet of one name; false if something is missing */
static bool
open_name(const char *host)
{
	struct addrinfo hints = {0};
	struct addrinfo *found;
	char		port[16];
	int			error;
	bool		all = true;

	snprintf(port, sizeof(port), "%d", dwf_setting_http_port);
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE;
	error = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port, &hints,
						&found);
	if (error != 0)
	{
		warn_not_listening(host, gai_strerror(error));
		return false;
	}
	for (const struct addrinfo *where = found; where; where = where->ai_next)
	{
		char		ip[NI_MAXHOST];
		char		name[NI_MAXHOST + 16];

		if (getnameinfo(where->ai_addr, where->ai_addrlen, ip, sizeof(ip),
						NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		snprintf(name, sizeof(name),
				 where->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", ip, port);
		if (is_open(name) || dwf_sockets_count == DWF_LISTEN_MAX)
			continue;
		if (!open_socket(where, name))
		{
			/* a machine without IPv6 is none to complain of */
			if (errno == EAFNOSUPPORT && strcmp(host, "*") == 0)
				continue;
			warn_not_listening(name, strerror(errno));
			all = false;
		}
	}
	freeaddrinfo(found);
	return all;
}

/* Do the settings want something else than what was opened? */
static bool
is_out_of_date(void)
{
	return opened_addresses == NULL || opened_port != dwf_setting_http_port ||
		strcmp(opened_addresses, dwf_setting_http_listen_addresses) != 0;
}

/*
 * Listen where the settings want it.  Returns whether the sockets are others
 * than before; "retry_after" is when to call it again, -1 for never.
 */
bool
dwf_sockets_open(long *retry_after)
{
	int			before = dwf_sockets_count;
	bool		changed = is_out_of_date();
	TimestampTz now = GetCurrentTimestamp();
	List	   *hosts;
	ListCell   *cell;
	char	   *copy;

	*retry_after = -1;
	if (changed)
	{
		dwf_sockets_close();
		if (opened_addresses)
			pfree(opened_addresses);
		opened_addresses = MemoryContextStrdup(TopMemoryContext,
											   dwf_setting_http_listen_addresses);
		opened_port = dwf_setting_http_port;
		is_complete = names_are_bad = false;
		failures = 0;
		try_at = now;
	}
	if (is_complete || names_are_bad)
		return changed;
	if (now < try_at)
	{
		*retry_after = TimestampDifferenceMilliseconds(now, try_at);
		return changed;
	}

	copy = pstrdup(opened_addresses);
	if (!SplitGUCList(copy, ',', &hosts))
	{
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid list syntax in parameter \"%s\"",
						"durable_wf.http_listen_addresses")));
		names_are_bad = true;
		return changed;
	}
	is_complete = true;
	foreach(cell, hosts)
	{
		if (!open_name(lfirst(cell)))
			is_complete = false;
	}
	list_free(hosts);
	pfree(copy);

	if (!is_complete)
	{
		*retry_after = Min(DELAY_MAX, DELAY_FIRST << Min(failures, 10));
		try_at = TimestampTzPlusMilliseconds(now, *retry_after);
		failures++;
	}
	return changed || dwf_sockets_count != before;
}

/* Do not listen any more */
void
dwf_sockets_close(void)
{
	for (int i = 0; i < dwf_sockets_count; i++)
		close(dwf_sockets_fds[i]);
	dwf_sockets_count = 0;
}
