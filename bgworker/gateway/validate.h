/*-------------------------------------------------------------------------
 *
 * validate.h
 *	  Resume webhooks that have validators, in helpers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_VALIDATE_H
#define DWF_VALIDATE_H

#include "postgres.h"

extern bool dwf_validate_tend(long *timeout);
extern void dwf_validate_end(void);
extern PGDLLEXPORT void dwf_validate_main(Datum arg);

#endif							/* DWF_VALIDATE_H */
