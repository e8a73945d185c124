/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  Run a statement on our tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STATEMENT_H
#define DWF_STATEMENT_H

#include "base/durable_wf.h"

#include "executor/spi.h"

/* No statement of ours has more parameters */
#define DWF_STATEMENT_ARGS_MAX	12

/* A statement, its parameter types, and its plan once it has one */
typedef struct DwfStatement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[DWF_STATEMENT_ARGS_MAX];
	SPIPlanPtr	plan;
} DwfStatement;

/* What dwf_statement_run() changes and dwf_statement_done() puts back */
typedef struct DwfRun
{
	MemoryContext caller_context;
	bool		pushed_snapshot;
} DwfRun;

/* A datum, or null */
typedef NullableDatum DwfValue;

extern bool dwf_statement_is_patient;

extern DwfRun dwf_statement_run(DwfStatement *statement, Datum *values,
								const char *nulls);
extern DwfRun dwf_statement_run_latest(DwfStatement *statement, Datum *values);
extern void dwf_statement_done(DwfRun run);
extern uint64 dwf_statement_count(DwfStatement *statement, Datum *values,
								  const char *nulls);
extern uint64 dwf_statement_count_latest(DwfStatement *statement,
										 Datum *values);
extern Datum dwf_statement_column(uint64 row, int n, bool *isnull);
extern DwfValue dwf_statement_copy_column(DwfRun run, uint64 row, int n);
extern text *dwf_statement_copy_text(DwfRun run, uint64 row, int n);
extern text *dwf_statement_text(DwfStatement *statement, Datum *values);
extern TimestampTz dwf_statement_moment(DwfStatement *statement,
										Datum *values);
extern bool dwf_statement_is_running(void);

#endif							/* DWF_STATEMENT_H */
