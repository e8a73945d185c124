/*-------------------------------------------------------------------------
 *
 * owned.c
 *	  Roles that are dropped, or whose objects are reassigned, while they have
 *	  workflows.
 *
 * Workflows are rows, and the server's statements about what a role owns know
 * objects only: REASSIGN OWNED and DROP OWNED leave workflows as they are, and
 * DROP ROLE does not fail for them.  (It could not: it is run in one database,
 * and a role can have workflows in each.)  So these statements say how many
 * are left in this database, and what hands them over.
 *
 *-------------------------------------------------------------------------
 */
#include "owned.h"

#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "store/catalog.h"
#include "store/store.h"

/* A role that a statement is about */
typedef struct Owner
{
	Oid			role;
	char	   *name;
} Owner;

/*
 * The roles that a statement drops, or whose objects it drops or reassigns,
 * before it does; NIL for other statements
 */
List *
dwf_owned_owners(Node *statement)
{
	List	   *specs;
	List	   *owners = NIL;
	ListCell   *cell;

	if (IsA(statement, DropRoleStmt))
		specs = ((DropRoleStmt *) statement)->roles;
	else if (IsA(statement, DropOwnedStmt))
		specs = ((DropOwnedStmt *) statement)->roles;
	else if (IsA(statement, ReassignOwnedStmt))
		specs = ((ReassignOwnedStmt *) statement)->roles;
	else
		return NIL;

	/* the statement itself complains of what is no role */
	foreach(cell, specs)
	{
		Oid			role = get_rolespec_oid(lfirst(cell), true);
		Owner	   *owner;

		if (!OidIsValid(role))
			continue;
		owner = palloc(sizeof(Owner));
		owner->role = role;
		owner->name = pstrdup(GetUserNameFromId(role, false));
		owners = lappend(owners, owner);
	}
	return owners;
}

/* Say what a role has left in this database */
static void
tell_of(const Owner *owner, uint64 count)
{
	Datum		role = ObjectIdGetDatum(owner->role);
	bool		is_gone = !SearchSysCacheExists1(AUTHOID, role);

	if (is_gone)
		ereport(WARNING,
				(errmsg_plural("role \"%s\" leaves %llu workflow in this database",
							   "role \"%s\" leaves %llu workflows in this database",
							   count, owner->name,
							   (unsigned long long) count),
				 errdetail("Only superusers may act on what a dropped role has left."),
				 errhint("Call wf_reassign_owned(NULL, 'new owner').")));
	else
		ereport(NOTICE,
				(errmsg_plural("role \"%s\" still owns %llu workflow in this database",
							   "role \"%s\" still owns %llu workflows in this database",
							   count, owner->name,
							   (unsigned long long) count),
				 errdetail("Workflows are not objects: this statement leaves them as they are."),
				 errhint("Call wf_reassign_owned(%s, 'new owner').",
						 quote_literal_cstr(owner->name))));
}

/* The statement was run: say what is left of the roles that it was about */
void
dwf_owned_tell(List *owners)
{
	ListCell   *cell;

	if (!dwf_catalog_is_installed())
		return;
	foreach(cell, owners)
	{
		Owner	   *owner = lfirst(cell);
		uint64		count = dwf_store_count_owned(owner->role);

		if (count > 0)
			tell_of(owner, count);
	}
}
