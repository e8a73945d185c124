/*-------------------------------------------------------------------------
 *
 * family.h
 *	  Workflows that workflows have started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FAMILY_H
#define DWF_FAMILY_H

#include "base/durable_wf.h"

#include "utils/hsearch.h"

/* Those that were met, in the order in which their children are looked for */
typedef struct DwfFamily
{
	Datum	   *ids;
	int			count;
	int			size;
	HTAB	   *met;

	/* some are on other nodes; so many that are not the current user's live */
	bool		is_far;
	int			left;
}			DwfFamily;

extern text *dwf_family_parent(void);
extern void dwf_family_note_start(text *parent);
extern DwfFamily dwf_family_make(Datum *ids, int count);
extern bool dwf_family_add(DwfFamily * family, text *workflow_id);
extern void dwf_family_cancel(text *workflow_id, text *error);
extern Datum *dwf_family_cancel_here(Datum *parents, int *count, text *error,
									 int *left);
extern void dwf_family_check_commit(void);
extern void dwf_family_end_xact(void);

#endif							/* DWF_FAMILY_H */
