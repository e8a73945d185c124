# What docs/reliability.md says of tests is so: each guarantee of README.md has
# tests, which are there; and each line without which a guarantee is not kept is
# still in the sources, with tests that the table names.  No server.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(File::Spec->rel2abs(__FILE__)));

# The text of a file of the tree
sub slurp
{
	my ($name) = @_;
	open my $handle, '<', "$top/$name" or die "$name: $!";
	local $/;
	return scalar <$handle>;
}

# ----- the table of guarantees -----

my ($section) = slurp('README.md') =~ /^## Guarantees\n(.*?)^## /ms;
my @guarantees = $section =~ /^(\d+)\. /mg;
my ($table) = slurp('docs/reliability.md') =~ /^## Guarantees\n(.*?)(?:^## |\z)/ms;
my %row = $table =~ /^\| (\d+) \| (.*) \|$/mg;

is_deeply([ sort { $a <=> $b } keys %row ], \@guarantees, 'each guarantee has its row');

foreach my $number (@guarantees)
{
	my @tests = $row{$number} =~ /`([^`]+)`/g;
	my @missing = grep { !-e "$top/$_.pl" && !-e "$top/specs/$_.spec" && !-e "$top/$_.sql" } @tests;

	cmp_ok(scalar @tests, '>', 0, "guarantee $number has tests");
	is("@missing", '', 'and they are there');
}

# ----- the lines that are taken out -----

my ($out, $err) = run_command([ "$top/.ci/mutants", '--check' ]);
ok($out =~ /^\d+ passed, 0 failed$/m, 'each line is in its source, once') or diag("$out$err");

my %mutated;
foreach (split /\n\n+/, slurp('t/mutants'))
{
	my ($number) = /^guarantee (\d+)/m or next;
	$mutated{$number} = 1;
	foreach (/^tests (.*)/mg)
	{
		my ($suite, @names) = split;
		next if $suite eq 'storm';
		foreach my $name (@names)
		{
			$name =~ s/\.pl$//;
			$name = "sql/$name" if $suite eq 'regress';
			ok(index($row{$number} // '', "`$name`") >= 0, "guarantee $number names $name");
		}
	}
}
is_deeply([ sort { $a <=> $b } keys %mutated ], \@guarantees, 'for each guarantee there is such a line');

# ----- what the page names -----

my $page = slurp('docs/reliability.md');
my @gone = grep { !-e "$top/$_" } $page =~ /`(t\/[\w\/]+\.pl|storm\/[\w.]+|\.ci\/\w+)`/g;
is("@gone", '', 'the files that the page names are there');

done_testing();
