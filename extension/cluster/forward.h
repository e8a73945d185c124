/*-------------------------------------------------------------------------
 *
 * forward.h
 *	  Have another node of the cluster make a call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FORWARD_H
#define DWF_FORWARD_H

#include "base/durable_wf.h"

#define DWF_HAND_OVER_HINT \
	"A call that another node has handed to this one cannot be handed on."

/*
 * Words before the name, in the argument that names the function.  For each
 * but the last one a text follows the call's arguments; that of the first word
 * is the last text.
 */
#define DWF_TRACE_PREFIX "TRACE "	/* the caller's trace context */
#define DWF_LOCK_PREFIX "LOCK " /* the caller's lock_timeout */
#define DWF_CHILD_PREFIX "CHILD "	/* the workflow that starts another one */
#define DWF_SUBSCRIBE_PREFIX "SUBSCRIBE "	/* the workflow for which it is to
											 * be noted what the call waits
											 * for */
#define DWF_CALL_PREFIX "CALL " /* it is a procedure */

/* Instead of a function: forget what a workflow, the SUBSCRIBEr, waits for */
#define DWF_UNSUBSCRIBE	"UNSUBSCRIBE"

extern bool dwf_forward_try(FunctionCallInfo fcinfo, const char *function,
							text *place, Datum *result);
DWF_NORETURN extern void dwf_forward_report_move(const char *function);
extern Datum dwf_forward_call(FunctionCallInfo fcinfo, const char *function,
							  text *place);
extern Datum dwf_forward_subscribe(FunctionCallInfo fcinfo,
								   const char *function, text *place,
								   text *subscriber);
extern void dwf_forward_unsubscribe(const char *function, text *place,
									text *subscriber);
extern Datum dwf_forward_texts(const char *function, text *place,
							   Datum *arguments, bool *nulls, int count);
extern Datum dwf_forward_array_as_text(Datum array);
extern Datum dwf_forward_array(const char *function, text *place,
							   Datum *arguments, int count);
extern void dwf_forward_set_parent(text *parent);
extern bool dwf_forward_has_expired(void);
extern bool dwf_forward_is_handing_over(void);
extern void dwf_forward_note_write(void);
extern void dwf_forward_before_commit(void);
extern void dwf_forward_end_xact(bool committed);
extern bool dwf_forward_is_out_of_reach(int code);
extern bool dwf_forward_may_have_broken(int code);

#endif							/* DWF_FORWARD_H */
