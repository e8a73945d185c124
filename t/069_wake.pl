# Whom news let go on: each workflow once, however it is found, and however
# many wait for one thing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql poll suspended);
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $node = start_node('main', { 'durable_wf.suspend_after' => '0' });

sql(<<'SQL');
CREATE EXTENSION durable_wf;
CREATE PROCEDURE waits(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    RAISE LOG 'run of "%"', wf_current();
    CALL wf_get_event('source', input#>>'{}', '1 day', got);
    PERFORM wf_complete(got);
END $$;
CREATE PROCEDURE waits_for_two(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    source int;
    got jsonb;
BEGIN
    RAISE LOG 'run of "%"', wf_current();
    CALL wf_wait_any('[{"topic": "a"}, {"topic": "b"}]', '1 day', NULL, source, got);
    PERFORM wf_complete(got);
END $$;
SELECT wf_start('source');
SQL

# How often each workflow of these was run; sorted, each number once.
sub runs_of
{
	my ($ids) = @_;
	my $log = slurp_file($node->logfile);
	my %runs;
	$runs{$_}++ foreach $log =~ /LOG:  run of "($ids)"/g;
	my %numbers = map { $_ => 1 } values %runs;
	return join ', ', sort keys %numbers;
}

# Wait until so many workflows of a kind have a status.
sub have
{
	my ($count, $ids, $status) = @_;
	poll(qq{SELECT count(*) = $count FROM wf_workflows WHERE workflow_id LIKE '$ids' AND status = '$status'});
	return;
}

# A commit brings both things that a workflow waits for.
sql(q{SELECT wf_start('two', 'waits_for_two')});
suspended('two');
sql(q{SELECT wf_send('two', '1', 'a'), wf_send('two', '2', 'b')});
have(1, 'two', 'SUCCESS');
is(runs_of('two'), '2', 'two news of one commit: the workflow is found once');

# More wait for one event than are served at a time; and where there is no
# index by address, a statement finds them.
foreach my $count (300, 3)
{
	sql('DROP INDEX durable_wf.wait_target_idx') if $count == 3;
	sql(qq{SELECT wf_start('$count-' || n, 'waits', '"$count"') FROM generate_series(1, $count) n});
	have($count, "$count-%", 'WAITING');
	sql(qq{SELECT wf_set_event('$count', '$count', 'source')});
	have($count, "$count-%", 'SUCCESS');
	is(runs_of("$count-\\d+"), '2', "$count wait for one event: each goes on, once");
}

done_testing();
