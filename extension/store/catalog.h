/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  What the catalogs say about our schema and the tables in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CATALOG_H
#define DWF_CATALOG_H

#include "base/durable_wf.h"

#include "utils/relcache.h"

extern bool dwf_catalog_is_installed(void);
extern Oid	dwf_catalog_owner(void);
extern bool dwf_catalog_is_ours(Relation table);
extern Oid	dwf_catalog_find_relation(const char *name);
extern Oid	dwf_catalog_relation(const char *name);
extern uint64 dwf_catalog_version(void);

#endif							/* DWF_CATALOG_H */
