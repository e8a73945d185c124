/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Run a statement on our tables.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PLAN_H
#define DWF_PLAN_H

#include "base/durable_wf.h"

#include "executor/spi.h"
#include "utils/relcache.h"

#define DWF_STATEMENT_ARGS_MAX	11

/* A statement, its parameter types, and its plan once it has one */
typedef struct DwfStatement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[DWF_STATEMENT_ARGS_MAX];
	SPIPlanPtr	plan;
} DwfStatement;

/* What dwf_plan_run() changes and dwf_plan_done() puts back */
typedef struct DwfRun
{
	MemoryContext caller_context;
	bool		pushed_snapshot;
} DwfRun;

/* A nullable datum */
typedef NullableDatum DwfValue;

extern bool dwf_plan_is_patient;

extern DwfRun dwf_plan_run(DwfStatement *statement, Datum *values,
						   const char *nulls);
extern DwfRun dwf_plan_run_latest(DwfStatement *statement, Datum *values);
extern void dwf_plan_done(DwfRun run);
extern uint64 dwf_plan_count(DwfStatement *statement, Datum *values,
							 const char *nulls);
extern uint64 dwf_plan_count_latest(DwfStatement *statement, Datum *values);
extern Datum dwf_plan_column(uint64 row, int n, bool *isnull);
extern DwfValue dwf_plan_copy_column(DwfRun run, uint64 row, int n);
extern TimestampTz dwf_plan_moment(DwfStatement *statement, Datum *values);
extern bool dwf_plan_is_running(void);
extern bool dwf_plan_is_installed(void);
extern Oid	dwf_plan_extension_owner(void);
extern bool dwf_plan_is_ours(Relation table);
extern Oid	dwf_plan_find_relation(const char *name);
extern Oid	dwf_plan_relation(const char *name);

#endif							/* DWF_PLAN_H */
