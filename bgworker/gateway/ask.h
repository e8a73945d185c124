/*-------------------------------------------------------------------------
 *
 * ask.h
 *	  Look for the tokens of requests whose bodies are large.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ASK_H
#define DWF_ASK_H

#include "postgres.h"

extern bool dwf_ask_tokens(void);

#endif							/* DWF_ASK_H */
