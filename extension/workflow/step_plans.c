/*-------------------------------------------------------------------------
 *
 * step_plans.c
 *	  Plans of the commands of steps, in an executor.
 *
 * Most commands are constants in bodies that are run again and again.  A
 * command that was run before, not long ago, gets a plan that is kept, as
 * PL/pgSQL keeps those of its statements.  The server makes it anew when what
 * it depends on has changed, and kept_plans.c has all plans made anew when a
 * body has set something.
 *
 * One statement only, of those that are planned: of several, each one is to be
 * analysed when those before it have been run.  That is seen by the text,
 * without a parser: a semicolon anywhere but at the end may separate
 * statements.  A command that is not recognised is run as any other.
 *
 * The table of plans is small and forgets the one that was not used for
 * longest.  Commands made for one run only, with their values in the text, do
 * not enter it, since they do not come twice.
 *
 *-------------------------------------------------------------------------
 */
#include "workflow/step_plans.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/xml.h"

/* So many plans are kept, of commands of at most so many bytes */
#define PLANS_MAX		64
#define COMMAND_MAX		8192

/* So many commands, a power of two, are remembered to have been run */
#define SEEN_SIZE		256

/* A kept plan; free if "command" is NULL, and then "used" is 0 */
typedef struct StepPlan
{
	uint64		hash;
	char	   *command;		/* in TopMemoryContext */
	SPIPlanPtr	plan;
	uint64		used;			/* when, counted by uses */
} StepPlan;

static StepPlan plans[PLANS_MAX];
static uint64 seen[SEEN_SIZE];	/* hashes, each at its place */
static uint64 uses = 0;

/* Does the command consist of one statement that is planned, by its looks? */
static bool
is_plannable(const char *command, size_t length)
{
	static const char *const words[] = {
		"select", "insert", "update", "delete", "merge", "with"
	};
	const char *semicolon = strchr(command, ';');

	if (length > COMMAND_MAX ||
		(semicolon && semicolon[1 + strspn(semicolon + 1, " \t\n\r")] != '\0'))
		return false;
	command += strspn(command, " \t\n\r");
	for (int i = 0; i < (int) lengthof(words); i++)
		if (pg_strncasecmp(command, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

/* May a literal stand for the moment when it is read?  now() may stay. */
static bool
names_moment(const char *command)
{
	static const char *const words[] = {
		"now", "today", "tomorrow", "yesterday"
	};

	for (; *command != '\0'; command++)
		for (int i = 0; i < (int) lengthof(words); i++)
		{
			size_t		length = strlen(words[i]);

			if (pg_strncasecmp(command, words[i], length) == 0 &&
				(i > 0 || command[length] != '('))
				return true;
		}
	return false;
}

/*
 * A hash of the settings that literals are read with.  The SET clause of a
 * function that calls wf_step() changes them, unseen by kept_plans.c.
 */
static uint64
reading_settings(void)
{
	int			values[] = {
		DateStyle, DateOrder, IntervalStyle, Array_nulls, xmloption,
		DWF_STANDARD_STRINGS, Transform_null_equals
	};
	const char *zone = pg_get_timezone_name(session_timezone);
	uint64		hash = hash_bytes_extended((const unsigned char *) values,
										   sizeof(values), 0);

	hash = hash_bytes_extended((const unsigned char *) locale_monetary,
							   strlen(locale_monetary), hash);
	return hash_bytes_extended((const unsigned char *) zone, strlen(zone),
							   hash);
}

/* Has the command been run not long ago?  Remember it in any case. */
static bool
was_seen(uint64 hash)
{
	uint64	   *place = &seen[hash % SEEN_SIZE];
	bool		result = *place == hash;

	*place = hash;
	return result;
}

/* Make a plan and keep it, in the place of an older one */
static SPIPlanPtr
keep_plan(StepPlan *place, const char *command, uint64 hash)
{
	Oid			type = JSONBOID;
	SPIPlanPtr	plan = SPI_prepare_cursor(command, 1, &type,
										  CURSOR_OPT_PARALLEL_OK);
	char	   *copy;

	if (plan == NULL)
		return NULL;			/* the caller finds out why */
	copy = MemoryContextStrdup(TopMemoryContext, command);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a plan: %s",
			 SPI_result_code_string(SPI_result));
	if (place->command)
	{
		(void) SPI_freeplan(place->plan);
		pfree(place->command);
	}
	place->command = copy;
	place->plan = plan;
	place->hash = hash;
	place->used = ++uses;
	return plan;
}

/*
 * The plan of a command with one parameter, jsonb; NULL if there is none to be
 * kept.  Within SPI.  Raises what the analysis of the command raises.
 */
SPIPlanPtr
dwf_step_plans_find(const char *command)
{
	size_t		length = strlen(command);
	uint64		hash = hash_bytes_extended((const unsigned char *) command,
										   length, reading_settings());
	StepPlan   *oldest = &plans[0];

	for (int i = 0; i < PLANS_MAX; i++)
	{
		StepPlan   *kept = &plans[i];

		if (kept->command && kept->hash == hash &&
			strcmp(kept->command, command) == 0)
		{
			kept->used = ++uses;
			return kept->plan;
		}
		if (kept->used < oldest->used)
			oldest = kept;
	}
	if (!is_plannable(command, length) || names_moment(command) ||
		!was_seen(hash))
		return NULL;
	return keep_plan(oldest, command, hash);
}
