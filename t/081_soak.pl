# What ./run soak takes for growth without bound, and what not; and that its
# samples say what there is.  No server.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $storm = dirname(dirname(File::Spec->rel2abs(__FILE__))) . '/storm';

$ENV{PYTHONDONTWRITEBYTECODE} = 1;

# Does a series of 360 samples, each a function of n, grow?
sub growth
{
	my ($series) = @_;
	my ($out, $err) = run_command([ '/usr/bin/python3', '-c', <<"PYTHON" ]);
import random, sys
sys.path.insert(0, '$storm')
from growth import grows
rng = random.Random(1)
noise = lambda size: rng.uniform(-size, size)
MB = 1024 * 1024
print('grows' if grows([(n * 10, $series) for n in range(360)], MB) else 'bounded')
PYTHON
	return $out || $err;
}

# ----- series -----

is(growth('20 * MB'), 'bounded', 'flat');
is(growth('20 * MB + noise(5 * MB)'), 'bounded', 'noise');
is(growth('20 * MB + (n % 30) * MB'), 'bounded', 'a sawtooth');
is(growth('min(n, 100) * MB'), 'bounded', 'warm at last');
is(growth('20 * MB + (200 * MB if n % 50 == 0 else 0)'), 'bounded', 'peaks');
is(growth('(20 if n < 200 else 21.5) * MB'), 'bounded', 'one small step');
is(growth('20 * MB - n * 1000'), 'bounded', 'less and less');
is(growth('20 * MB + n * 30000'), 'grows', 'a leak');
is(growth('20 * MB + n * 30000 + noise(2 * MB)'), 'grows', 'a leak in noise');
is(growth('(20 + n // 20) * MB'), 'grows', 'a leak in steps');
is(growth('20 * MB + n * 60000 + (n % 30) * MB / 3'), 'grows', 'a sawtooth that climbs');
is(growth('20 * MB * 1.002 ** n'), 'grows', 'more and more');
is(growth('n * 2000'), 'bounded', 'below the floor');

# ----- samples of a process -----

{
	my ($out, $err) = run_command([ '/usr/bin/python3', '-c', <<"PYTHON" ]);
import os, sys
sys.path.insert(0, '$storm')
from samples import memory
before = memory(os.getpid())
more = bytearray(b'x' * (32 * 1024 * 1024))
after = memory(os.getpid())
print(*[32 <= (b - a) / 1024 / 1024 < 80 for a, b in zip(before, after)], memory(1 << 30))
PYTHON
	is($out, 'True True True None', 'memory of a process: resident, its share, its own') or diag($err);
}

# ----- the verdict -----

# Samples with a leak in a process and a table that grows, among others.
{
	my $work = PostgreSQL::Test::Utils::tempdir();
	open my $handle, '>', "$work/samples" or die $!;
	foreach my $n (0 .. 119)
	{
		my $t = $n * 10;
		my ($leak, $flat) = (5_000_000 + $n * 50_000, 5_000_000);
		print $handle qq{["processes", "durable_wf worker", 7, $t, $flat, $flat, $flat]\n},
		  qq{["processes", "durable_wf gateway", 8, $t, $flat, $flat, $leak]\n},
		  qq{["relations", "message", "r", $t, $flat, 1, 1]\n},
		  qq{["relations", "message_pkey", "i", $t, $leak, 0, 0]\n};
	}
	close $handle;
	$ENV{DWF_WORK} = $work;
	my ($out) = run_command([ "$storm/soak", '--judge', "$work/samples" ]);
	my @failed = $out =~ /^FAILED: (.*?) grew/mg;
	is_deeply(\@failed, [ 'durable_wf gateway 8', 'the largest durable_wf gateway', 'index message_pkey' ], 'what grows is named');
	like($out, qr/^3 passed, 3 failed$/m, 'and counted') or diag($out);
}

done_testing();
