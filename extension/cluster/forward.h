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

extern bool dwf_forward_try(FunctionCallInfo fcinfo, const char *function,
							text *place, Datum *result);
DWF_NORETURN extern void dwf_forward_report_move(const char *function);
extern Datum dwf_forward_call(FunctionCallInfo fcinfo, const char *function,
							  text *place);
extern Datum dwf_forward_subscribe(FunctionCallInfo fcinfo,
								   const char *function, text *place,
								   text *subscriber);
extern void dwf_forward_unsubscribe(text *place, text *subscriber);
extern Datum dwf_forward_texts(const char *function, text *place,
							   Datum *arguments, bool *nulls, int count);
extern bool dwf_forward_has_expired(void);
extern bool dwf_forward_is_received(void);
extern void dwf_forward_note_write(void);
extern void dwf_forward_before_commit(void);
extern void dwf_forward_end_xact(bool committed);
extern bool dwf_forward_is_out_of_reach(int code);
extern bool dwf_forward_may_have_broken(int code);

#endif							/* DWF_FORWARD_H */
