/*-------------------------------------------------------------------------
 *
 * closed_plpgsql.h
 *	  A validator runs no expression that was prepared outside.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLOSED_PLPGSQL_H
#define DWF_CLOSED_PLPGSQL_H

#include "base/durable_wf.h"

extern void dwf_closed_plpgsql_prepare(void);
extern void dwf_closed_plpgsql_enter(void);
extern void dwf_closed_plpgsql_leave(bool is_outermost);

#endif							/* DWF_CLOSED_PLPGSQL_H */
