/*-------------------------------------------------------------------------
 *
 * resume.h
 *	  Resume webhooks with complete requests, in transactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_RESUME_H
#define DWF_RESUME_H

#include "postgres.h"

#include "bgworker/gateway/answer.h"

extern int	dwf_resume_status(int sqlstate);
extern bool dwf_resume_begin(void);
extern void dwf_resume_check_privilege(void);
extern void dwf_resume_alone(DwfTask *task, Size bytes);
extern bool dwf_resume_ready(void);

#endif							/* DWF_RESUME_H */
