/*-------------------------------------------------------------------------
 *
 * validate.h
 *	  Resume webhooks that have validators, or large requests, in helpers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_VALIDATE_H
#define DWF_VALIDATE_H

#include "postgres.h"

extern bool dwf_validate_tend(long *timeout);
extern void dwf_validate_end(void);

#endif							/* DWF_VALIDATE_H */
