/*-------------------------------------------------------------------------
 *
 * effect.h
 *	  Functions whose calls a replay must not repeat.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_EFFECT_H
#define DWF_EFFECT_H

#include "base/durable_wf.h"

extern bool dwf_effect_is_possible(Oid function);

#endif							/* DWF_EFFECT_H */
