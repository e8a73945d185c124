/*-------------------------------------------------------------------------
 *
 * piece.h
 *	  A piece of work for several workflows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PIECE_H
#define DWF_PIECE_H

#include "base/durable_wf.h"

#include "nodes/pg_list.h"

#include "bgworker/attempt.h"
#include "store/store.h"

/* A piece of work: how its workflows are found, and what is done with them */
typedef struct DwfPiece
{
	DwfAttempt *attempt;
	DwfIds		(*list) (struct DwfPiece *piece);
	void		(*serve) (struct DwfPiece *piece, Datum ids);
	int			end;			/* by news: where it ends in them */
	DwfWaitCursor cursor;		/* by a pass: where its page ends */
	int			count;			/* workflows that were found */
	uint64		resumed;		/* workflows that go on */
	List	   *left;			/* of text: found, their waits are locked */
} DwfPiece;

extern DwfAttempt dwf_piece_alone;

extern void dwf_piece_do(void *piece);
extern void dwf_piece_resume(DwfPiece *piece, Datum ids);
extern bool dwf_piece_serve(DwfPiece *piece);
extern bool dwf_piece_serve_each(DwfPiece *piece, List *ids);
extern bool dwf_piece_set_left_aside(DwfPiece *piece);
extern bool dwf_piece_has_left(void);
extern void dwf_piece_all_served(void);

#endif							/* DWF_PIECE_H */
