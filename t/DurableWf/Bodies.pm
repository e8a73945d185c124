# What the tests of bodies share that try many pieces of PL/pgSQL: a body is made
# of each, started, and its end is looked at.
#
# The code of a body may use the variables n (bigint), t (text), o (oid), got
# (jsonb), timed_out (boolean) and at (timestamptz).
#
#   use DurableWf::Bodies qw(begin run ...);

package DurableWf::Bodies;

use strict;
use warnings;

use DurableWf qw(sql);
use Exporter qw(import);

our @EXPORT_OK = qw(begin ended run effects);

# How many bodies there are so far; they are named by it.
my $bodies = 0;

# The SQL that makes a body of this code, and starts a workflow of its name as
# this role.
sub creation
{
	my ($name, $code, $role) = @_;
	my $set_role = $role ? "SET ROLE $role;" : '';

	return <<"SQL";
CREATE PROCEDURE $name(input jsonb) LANGUAGE plpgsql AS \$body\$
DECLARE
    n bigint; t text; o oid; got jsonb; timed_out boolean; at timestamptz;
BEGIN
    $code;
END \$body\$;
$set_role
DO \$\$ BEGIN PERFORM wf_start('$name', '$name'); END \$\$;
RESET ROLE;
SQL
}

# The SQL that waits for the end of a workflow, and tells it.
sub ending
{
	return <<"SQL";
DO \$\$ BEGIN PERFORM wf_result('$_[0]', '60 s'); END \$\$;
SELECT status, output, error_state, error FROM durable_wf.workflow
 WHERE workflow_id = '$_[0]';
SQL
}

# Start a workflow with a body of this code, and return its id.
sub begin
{
	my ($code, $role) = @_;
	my $name = 'body_' . ++$bodies;

	sql(creation($name, $code, $role));
	return $name;
}

# How a workflow ended: "status|output|SQLSTATE|error".
sub ended
{
	return sql(ending($_[0]));
}

# Run a body of this code to its end, and return how it ended.
sub run
{
	my ($code, $role) = @_;
	my $name = 'body_' . ++$bodies;

	return sql(creation($name, $code, $role) . ending($name));
}

# What a workflow has written to the table "effect", in this order.
sub effects
{
	return sql("SELECT string_agg(what, ' ' ORDER BY n) FROM effect WHERE workflow_id = '$_[0]'");
}

1;
