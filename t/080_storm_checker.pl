# The checker of ./run storm finds each kind of violation in a small ledger made
# by hand, and nothing in a ledger that is right.  No server.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $storm = dirname(dirname(File::Spec->rel2abs(__FILE__))) . '/storm';

$ENV{PYTHONDONTWRITEBYTECODE} = 1;

# ----- small ledgers -----

my ($out, $tests) = run_command([ '/usr/bin/python3', "$storm/test_checker.py", '-v' ]);
ok($2 eq 'ok', $1) while $tests =~ /^(test_\w+) .*?\.\.\. (\w+)$/mg;
like($tests, qr/^OK$/m, 'all ran') or diag($tests);

# Each check is provoked by one of these ledgers at least.
{
	open my $handle, '<', "$storm/checker.py" or die $!;
	my @checks = join('', <$handle>) =~ /^\@check\("([^"]*)"\)/mg;
	open $handle, '<', "$storm/test_checker.py" or die $!;
	my $provoked = join('', <$handle>);

	cmp_ok(scalar @checks, '>', 10, 'there are checks');
	foreach my $check (@checks)
	{
		ok((grep { index($check, $_) >= 0 } $provoked =~ /(?:self\.wrong\(h|if) "?([^",]+)"/g, $provoked =~ /self\.wrong\(h, "([^"]+)"/g),
			"a ledger provokes: $check");
	}
}

# ----- the scripts -----

foreach my $file (glob("$storm/*.py"), "$storm/run", "$storm/soak")
{
	command_ok([ '/usr/bin/python3', '-c', 'import ast, sys; ast.parse(open(sys.argv[1]).read())', $file ],
		basename($file) . ' parses');
}

done_testing();
