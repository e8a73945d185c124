/*-------------------------------------------------------------------------
 *
 * shown.h
 *	  What the log and pg_stat_activity show of the workflow that is executed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SHOWN_H
#define DWF_SHOWN_H

#include "base/durable_wf.h"

extern void dwf_shown_begin(ErrorContextCallback *frame, text *workflow_id);
extern void dwf_shown_end(const ErrorContextCallback *frame);
extern char *dwf_shown_error_context(const ErrorData *error);
extern void dwf_shown_statement(const char *sql);

#endif							/* DWF_SHOWN_H */
