/*-------------------------------------------------------------------------
 *
 * address.h
 *	  What can be sent to and waited for, and its hash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ADDRESS_H
#define DWF_ADDRESS_H

#include "base/durable_wf.h"

/* A door of a workflow, and a key there; NULL stands for '' */
typedef struct DwfAddress
{
	char		door;
	text	   *workflow_id;
	text	   *key;
} DwfAddress;

extern Size dwf_address_size(void);
extern void dwf_address_init_shared(void);
extern const char *dwf_address_bytes(const text *value, int *length);
extern PGDLLEXPORT uint64 dwf_address_hash(const DwfAddress *address);
extern uint64 dwf_address_hash_parts(char door, const char *id, int id_length,
									 const char *key, int key_length);
extern uint64 dwf_address_work_hash(Oid role);
extern uint64 dwf_address_workflow_hash(const char *id, int length);
extern uint64 dwf_address_hash_bytes(const char *bytes, int length);

#endif							/* DWF_ADDRESS_H */
