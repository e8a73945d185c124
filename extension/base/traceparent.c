/*-------------------------------------------------------------------------
 *
 * traceparent.c
 *	  The form of a trace context, as the W3C has it.
 *
 * A version, a trace id, the id of the span that is the parent, and flags:
 *
 *	00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *
 * in hexadecimal digits of lower case; no id is all zeros, and there is no
 * version ff.  What a later version appends after a further hyphen is kept.
 *
 *-------------------------------------------------------------------------
 */
#include "base/traceparent.h"

/* Where the parts of a traceparent begin, and how long the whole is */
#define TRACE_ID	3
#define PARENT_ID	36
#define FLAGS		53
#define LENGTH		55

/* Is this a number of so many digits, and not zero unless that is allowed? */
static bool
is_number(const char *digits, int count, bool may_be_zero)
{
	bool		is_zero = true;

	for (int i = 0; i < count; i++)
	{
		if (strchr("0123456789abcdef", digits[i]) == NULL ||
			digits[i] == '\0')
			return false;
		if (digits[i] != '0')
			is_zero = false;
	}
	return may_be_zero || !is_zero;
}

/* Is this a traceparent? */
bool
dwf_traceparent_is_valid(const char *value, int length)
{
	bool		is_first_version = length >= 2 && value[0] == '0' &&
	value[1] == '0';

	if (length < LENGTH || length > DWF_TRACEPARENT_MAX ||
		value[TRACE_ID - 1] != '-' || value[PARENT_ID - 1] != '-' ||
		value[FLAGS - 1] != '-' ||
		(length > LENGTH && (is_first_version || value[LENGTH] != '-')))
		return false;
	return is_number(value, 2, true) && strncmp(value, "ff", 2) != 0 &&
		is_number(value + TRACE_ID, PARENT_ID - 1 - TRACE_ID, false) &&
		is_number(value + PARENT_ID, FLAGS - 1 - PARENT_ID, false) &&
		is_number(value + FLAGS, LENGTH - FLAGS, true);
}
