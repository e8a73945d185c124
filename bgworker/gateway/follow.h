/*-------------------------------------------------------------------------
 *
 * follow.h
 *	  Send the items of streams to their readers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FOLLOW_H
#define DWF_FOLLOW_H

#include "postgres.h"

extern void dwf_follow_start(void);
extern bool dwf_follow_streams(void);

#endif							/* DWF_FOLLOW_H */
