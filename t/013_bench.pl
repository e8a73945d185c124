# The benchmarks still run: each script parses, each row is found, one of them
# is measured, and the table says of samples what it should.  No time is judged.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $bench = dirname(dirname(File::Spec->rel2abs(__FILE__))) . '/bench';

# What a file says.
sub slurp
{
	my ($file) = @_;
	open my $handle, '<', $file or die "$file: $!";
	local $/;
	return scalar <$handle>;
}

# ----- the scripts -----

my @scripts = ("$bench/run", "$bench/peers/run", glob("$bench/*.sh $bench/rows/*.sh"));
foreach my $script (@scripts)
{
	command_ok([ 'bash', '-n', $script ], basename($script) . ' parses');
}

my %row = map { basename($_, '.sh') => slurp($_) } glob("$bench/rows/*.sh");
my ($list) = run_command([ "$bench/run", '-l' ]);
is_deeply([ sort map { (split)[0] } split /\n/, $list ], [ sort keys %row ], 'each row is listed once');
foreach my $name (sort keys %row)
{
	like($row{$name}, qr/^# \S.*\.  Sourced by bench\/run\.\n/, "$name says what it is about");
	like($row{$name}, qr/^place\[$name\]=\d+$/m, "$name has a place in the table");
	like($row{$name}, qr/^bench_$name\(\)/m, "$name can be called");
	unlike($row{$name}, qr/\bcells\b/, "$name prints no line of the table by itself");
}

# ----- docs/comparison.md -----

my $comparison = slurp("$bench/../docs/comparison.md");
my ($measured) = $comparison =~ /^<!-- measured -->\n(.*)^<!-- end of measured -->$/ms;
my ($made, $trouble) = run_command([ "$bench/peers/page", "$bench/README.md" ]);
is($trouble, '', 'each way of driving a peer is described');
is($measured, "$made\n", 'docs/comparison.md has the rows of bench/README.md');
foreach my $row ($made =~ /^\| (?!work|---)(.*) \|$/mg)
{
	my ($what, $against, $how) = split / \| /, $row;
	like($against, qr/^\S+ \d+\.\d|^LISTEN\/NOTIFY$/, "$what: which version of $against");
	isnt($how, '', "$what: how");
}
my $copy = PostgreSQL::Test::Utils::tempdir() . '/page.md';
append_to_file($copy, $comparison =~ s/\Q$measured/gone\n/r);
run_command([ "$bench/peers/page", "$bench/README.md", $copy ]);
is(slurp($copy), $comparison, 'one command puts them there');

# ----- the table -----

# Samples whose ratios are known: rates 2, 3, 4 against 1, 1, 2, and their CPU;
# one side; a count; one that only the CPU time meets.
my $work = PostgreSQL::Test::Utils::tempdir();
my $script = <<'BASH';
set -euo pipefail
here=$1 work=$2 base=$2 name=subject
. "$here/table.sh"
begin_table 'where it was' >"$work/head"
for pair in '2 1' '3 1' '4 2'; do
	read -r ours theirs <<<"$pair"
	record rate ours "$ours"; record rate theirs "$theirs"
	record rate.cpu ours 10; record rate.cpu theirs 25
	record time ours "$ours"; record time theirs "$theirs"
	record time.cpu ours 3; record time.cpu theirs 10
done
row rate 'a rate' 'something else' /s '>= 2'
row rate 'too slow' 'something else' /s '>= 2.6'
row rate 'slow for the clock only' 'something else' /s '>= 2.2'
row time 'a time' 'something else' ms '<= 0.5'
row time 'for information' 'something else' ms ''
value time 'one side' ms '<= 2.9'
fact 'a count' 0 ms '= 0'
fact 'another' 1234.5 - ''
end_table
BASH
my ($table, $errors) = run_command([ 'bash', '-c', $script, 'bash', $bench, $work ]);
is($errors, '', 'no complaint about the samples');
is($table, <<'TABLE' =~ s/\n$//r, 'the table of these samples');
| a rate | something else | 3 /s | 1 /s | 2.00 (2.00..3.00) | 2.50 | >= 2 | yes |
| too slow | something else | 3 /s | 1 /s | 2.00 (2.00..3.00) | 2.50 | >= 2.6 | no |
| slow for the clock only | something else | 3 /s | 1 /s | 2.00 (2.00..3.00) | 2.50 | >= 2.2 | by CPU |
| a time | something else | 3 ms | 1 ms | 2.00 (2.00..3.00) | 0.30 | <= 0.5 | by CPU |
| for information | something else | 3 ms | 1 ms | 2.00 (2.00..3.00) | 0.30 | – | – |
| one side | – | 3 ms | – | (2..4) | – | <= 2.9 | no |
| a count | – | 0 ms | – | – | – | = 0 | yes |
| another | – | 1234 | – | – | – | – | – |

4 of 6 targets met
TABLE

# ----- a row -----

$ENV{DWF_WORK} = $work;
my ($printed, $said) = run_command([ "$bench/run", '-q', 'recv' ]);
like($printed, qr/^\| wf_recv, one receiver, backlog 10k \| .* \|$/m, 'a row is measured') or diag($said);
my ($fields, @lines) = map { [ split /\t/ ] } split /\n/, slurp("$work/results.tsv");
is(scalar @lines, 1, 'one line for programs');
my %field;
@field{@$fields} = @{ $lines[0] };
is($field{name}, 'recv', 'it names its row');
like($field{$_}, qr/^[\d.e+]+$/, "$_ is a number") foreach qw(ours theirs ratio low high by_cpu);
like($field{met}, qr/^(?:yes|no|by CPU)$/, 'the target was looked at');
is_deeply([ glob("$work/run.*") ], [], 'nothing else is left');

done_testing();
