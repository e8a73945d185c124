/*-------------------------------------------------------------------------
 *
 * sockets.c
 *	  The sockets that the gateway listens on.
 *
 * The sockets that the settings name are opened as far as that is possible;
 * those that cannot be, as when the port is in use, are tried again, later
 * each time.
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

/* Connections that wait to be accepted, on each socket */
#define BACKLOG			4096

/* The delay until the next attempt, in ms: at first, at most */
#define DELAY_FIRST		1000
#define DELAY_MAX		60000

/* The open sockets */
int			dwf_sockets_fds[DWF_LISTEN_MAX];
int			dwf_sockets_count = 0;

/* Their addresses, as they are logged */
static char names[DWF_LISTEN_MAX][NI_MAXHOST + 16];

/* The settings for which they were opened */
static char *opened_addresses = NULL;
static int	opened_port = 0;

/* Are all open?  If not, how often in a row, and when to try again */
static bool is_complete = false;
static int	failures = 0;		/* in a row */
static TimestampTz try_at = 0;

/* The setting is no list of names: nothing is tried until it changes */
static bool names_are_bad = false;

/* Log that the gateway cannot listen on an address, and why */
static void
warn_not_listening(const char *name, const char *why)
{
	int			delay = Min(DELAY_MAX, DELAY_FIRST << Min(failures, 10));

	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("the durable_wf gateway cannot listen on %s: %s", name, why),
			 errhint("It tries again in %d s, and after a reload of the settings.",
					 delay / 1000)));
}

/* Is there an open socket of this address? */
static bool
is_open(const char *name)
{
	for (int i = 0; i < dwf_sockets_count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Open one socket; returns false with errno set if that fails */
static bool
open_socket(const struct addrinfo *where, const char *name)
{
	int			on = 1;
	int			fd = socket(where->ai_family,
							where->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
							where->ai_protocol);

	if (fd < 0)
		return false;

	/* bind it, IPv6 apart from IPv4, and listen */
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

	/* note it */
	strlcpy(names[dwf_sockets_count], name, sizeof(names[0]));
	dwf_sockets_fds[dwf_sockets_count++] = fd;
	ereport(LOG, (errmsg("durable_wf gateway listens on %s", name)));
	return true;
}

/*
 * Open the sockets of one name that are not open yet; returns false if one
 * could not be opened.  Blocks while the resolver looks the name up.
 */
static bool
open_name(const char *host)
{
	struct addrinfo hints = {0};
	struct addrinfo *found;
	char		port[16];
	int			error;
	bool		all = true;

	/* look the name up */
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

	/* open a socket for each of its addresses */
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
			/* '*' on a machine without IPv6 means IPv4 only */
			if (errno == EAFNOSUPPORT && strcmp(host, "*") == 0)
				continue;
			warn_not_listening(name, strerror(errno));
			all = false;
		}
	}
	freeaddrinfo(found);
	return all;
}

/* Have the settings changed since sockets were opened? */
static bool
is_out_of_date(void)
{
	return opened_addresses == NULL || opened_port != dwf_setting_http_port ||
		strcmp(opened_addresses, dwf_setting_http_listen_addresses) != 0;
}

/*
 * Listen where the settings say.  Returns whether the set of sockets has
 * changed; "retry_after" takes in how many ms to call this again, -1 for
 * never.
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

	/* other settings: begin anew */
	*retry_after = -1;
	if (changed)
	{
		dwf_sockets_close();
		if (opened_addresses)
			pfree(opened_addresses);
		opened_addresses =
			MemoryContextStrdup(TopMemoryContext,
								dwf_setting_http_listen_addresses);
		opened_port = dwf_setting_http_port;
		is_complete = names_are_bad = false;
		failures = 0;
		try_at = now;
	}

	/* is there anything to open now? */
	if (is_complete || names_are_bad)
		return changed;
	if (now < try_at)
	{
		*retry_after = TimestampDifferenceMilliseconds(now, try_at);
		return changed;
	}

	/* open what is missing */
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

	/* try the rest again later */
	if (!is_complete)
	{
		*retry_after = Min(DELAY_MAX, DELAY_FIRST << Min(failures, 10));
		try_at = TimestampTzPlusMilliseconds(now, *retry_after);
		failures++;
	}
	return changed || dwf_sockets_count != before;
}

/* Close all sockets */
void
dwf_sockets_close(void)
{
	for (int i = 0; i < dwf_sockets_count; i++)
		close(dwf_sockets_fds[i]);
	dwf_sockets_count = 0;
}
