# The demo plays its story to the end, and says so by its exit status.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

command_ok([ 'demo/run' ], 'each step of the demo saw what it should');

done_testing();
