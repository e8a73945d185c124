/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  The type durable_wf.owner, and the one rule of who may act.
 *
 * An owner is stored as the OID of a role, so that it survives a rename, and
 * printed as the role's name, so that it survives a dump.  regrole does this
 * too, but prints a dropped role as a number, which after a restore is
 * whichever role has that number.  Here a dropped role prints as '', and ''
 * is nobody: only superusers see what nobody owns.
 *
 *-------------------------------------------------------------------------
 */
#include "owner.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dwf_owner_in);
PG_FUNCTION_INFO_V1(dwf_owner_out);

/*
 * Text to owner.  A name that no role has becomes nobody, with a warning: a
 * restore into a cluster without that role must neither fail nor give the
 * workflow to somebody else.
 */
Datum
dwf_owner_in(PG_FUNCTION_ARGS)
{
	char	   *name = PG_GETARG_CSTRING(0);
	Oid			role;

	if (name[0] == '\0')
		PG_RETURN_OID(InvalidOid);

	role = get_role_oid(name, true);
	if (!OidIsValid(role))
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist, its workflow now belongs to nobody",
						name),
				 errhint("A superuser can give it to a role with wf_set_owner().")));
	PG_RETURN_OID(role);
}

/* Owner to text: the role's present name, or '' for nobody */
Datum
dwf_owner_out(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	char	   *name = NULL;

	if (OidIsValid(role))
		name = GetUserNameFromId(role, true);
	PG_RETURN_CSTRING(name ? name : pstrdup(""));
}

/* May "role" act on and see what "owner" owns?  Superusers always may. */
bool
dwf_owner_allows(Oid owner, Oid role)
{
	return has_privs_of_role(role, owner);
}

/* The OID of a role by its exact name; raises 42704 */
Oid
dwf_owner_role(const char *name)
{
	return get_role_oid(name, false);
}
