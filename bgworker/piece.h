/*-------------------------------------------------------------------------
 *
 * piece.h
 *	  One piece of the worker's work, for several workflows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PIECE_H
#define DWF_PIECE_H

#include "base/durable_wf.h"

#include "portability/instr_time.h"

#include "bgworker/attempt.h"
#include "bgworker/inbox.h"
#include "store/store.h"

/* So many workflows are served in one transaction, at most */
#define DWF_PIECE_MAX		256

/* A piece of work: how its workflows are found, and what is done with them */
typedef struct DwfPiece
{
	DwfAttempt *attempt;
	DwfIds		(*list) (struct DwfPiece *piece);
	void		(*serve) (struct DwfPiece *piece, Datum ids);
	int			limit;			/* for how many workflows it looks */
	DwfInboxSlice slice;		/* by news: which of them */
	DwfWaitCursor cursor;		/* by a pass: where its page ends */
	int			count;			/* workflows that were found */
	uint64		resumed;		/* workflows that go on */
	List	   *left;			/* of text: found, their waits are locked */
} DwfPiece;

extern int	dwf_piece_batch(void);
extern void dwf_piece_resume(DwfPiece *piece, Datum ids);
extern void dwf_piece_do(DwfPiece *piece);
extern bool dwf_piece_serve(DwfPiece *piece);
extern bool dwf_piece_set_left_aside(DwfPiece *piece);
extern void dwf_piece_adapt(instr_time begin);
extern void dwf_piece_try_aside(DwfPiece *piece);

#endif							/* DWF_PIECE_H */
