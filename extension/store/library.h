/*-------------------------------------------------------------------------
 *
 * library.h
 *	  The version of this library, and that of the objects in the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LIBRARY_H
#define DWF_LIBRARY_H

#include "base/durable_wf.h"

extern void dwf_library_check(void);
extern void dwf_library_say_later(void);

#endif							/* DWF_LIBRARY_H */
