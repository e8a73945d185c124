/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  The type durable_wf.owner, and the rule which role may act on a workflow.
 *
 * An owner is stored as the OID of a role, so that it survives a rename, and
 * is printed as the role's name, so that it survives a dump.  So does regrole,
 * but it prints a dropped role as a number, which after a restore may be the
 * OID of another role.  An owner that was dropped prints as '', which stands
 * for no role: only superusers may act on a workflow without an owner.
 *
 *-------------------------------------------------------------------------
 */
#include "base/owner.h"

#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dwf_owner_in);
PG_FUNCTION_INFO_V1(dwf_owner_out);
PG_FUNCTION_INFO_V1(dwf_owner_recv);
PG_FUNCTION_INFO_V1(dwf_owner_send);

/*
 * The role of a name.  A name that no role has becomes no role, with a
 * warning: a restore into a cluster without that role must neither fail nor
 * give the workflow to another role.
 */
static Oid
role_of_name(const char *name)
{
	Oid			role;

	if (name[0] == '\0')
		return InvalidOid;

	role = get_role_oid(name, true);
	if (!OidIsValid(role))
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist, its workflow now belongs to nobody",
						name),
				 errhint("A superuser can give it to a role with wf_set_owner().")));
	return role;
}

/* The name of a role now, or '' for no role or one that was dropped */
static char *
name_of_role(Oid role)
{
	char	   *name = NULL;

	if (OidIsValid(role))
		name = GetUserNameFromId(role, true);
	return name ? name : pstrdup("");
}

/* Text to owner */
Datum
dwf_owner_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(role_of_name(PG_GETARG_CSTRING(0)));
}

/* Owner to text */
Datum
dwf_owner_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(name_of_role(PG_GETARG_OID(0)));
}

/* Binary to owner: the name, too, since a binary dump must survive as well */
Datum
dwf_owner_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			length;

	PG_RETURN_OID(role_of_name(pq_getmsgtext(message,
											 message->len - message->cursor,
											 &length)));
}

/* Owner to binary, see dwf_owner_recv() */
Datum
dwf_owner_send(PG_FUNCTION_ARGS)
{
	char	   *name = name_of_role(PG_GETARG_OID(0));
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendtext(&message, name, strlen(name));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/*
 * May a role act on what an owner owns, and see it?  So may roles that
 * inherit from the owner, and superusers.
 */
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
