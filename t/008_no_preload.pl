# Without shared_preload_libraries all works but what must wait or broadcast;
# that says what it needs.  DROP EXTENSION leaves nothing behind.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DurableWf qw(start_node sql said);
use Test::More;

my $node = start_node('main',
	{ shared_preload_libraries => '', autovacuum => 'on' });

# Everything in the catalogs that a user could have made.
sub catalogs
{
	return sql(<<'SQL');
SELECT 'relation', oid, oid::regclass FROM pg_class WHERE oid >= 16384;
SELECT 'type', oid, oid::regtype FROM pg_type WHERE oid >= 16384;
SELECT 'function', oid, oid::regprocedure FROM pg_proc WHERE oid >= 16384;
SELECT 'schema', oid, nspname FROM pg_namespace WHERE oid >= 16384;
SELECT 'cast', oid FROM pg_cast WHERE oid >= 16384;
SELECT 'trigger', oid FROM pg_trigger WHERE oid >= 16384;
SELECT 'policy', oid FROM pg_policy WHERE oid >= 16384;
SELECT 'extension', extname FROM pg_extension ORDER BY extname;
SELECT 'depend', count(*) FROM pg_depend WHERE objid >= 16384 OR refobjid >= 16384;
SELECT 'description', count(*) FROM pg_description WHERE objoid >= 16384;
SELECT 'init_priv', count(*) FROM pg_init_privs WHERE objoid >= 16384;
SELECT 'setting', name FROM pg_settings WHERE name LIKE 'durable%';
SELECT 'db setting', count(*) FROM pg_db_role_setting;
SELECT 'event trigger', count(*) FROM pg_event_trigger;
SQL
}

my $clean = catalogs();

sql('CREATE EXTENSION durable_wf');
isnt(catalogs(), $clean, 'CREATE EXTENSION works');

# Without preloading no process runs a body.
sql("CREATE PROCEDURE body(jsonb) LANGUAGE plpgsql AS 'BEGIN END'");
like(said(q{SELECT wf_start('has a body', 'body')}), qr/has a body.*WARNING:  55000: workflow "has a body" will not run before durable_wf is preloaded\nHINT:/s,
	'wf_start with a body');
is(sql(q{SELECT status FROM wf_workflows WHERE workflow_id = 'has a body'}), 'PENDING', '... starts it all the same');
sql('DROP PROCEDURE body; TRUNCATE durable_wf.workflow');

# What needs no shared memory
my @works = (
	[ q{SELECT wf_start('w', input => '{"a": 1}')}, 'w' ],
	[ q{SELECT wf_start('w')}, 'w' ],
	[ q{SELECT wf_status('w')}, 'PENDING' ],
	[ q{SELECT wf_send('w', '1', 'q') > 0}, 't' ],
	[ q{SELECT wf_send('w', '2', 'q', 'key') = wf_send('w', '3', 'q', 'key')}, 't' ],
	[ q{SELECT cardinality(wf_send_many('{w,w}', '{4,5}', 'q'))}, '2' ],
	[ q{SELECT wf_recv('q', '0', 'w')}, '1' ],
	[ q{SELECT wf_recv('q', NULL, 'w')}, '2' ],
	[ q{CALL wf_recv('q', NULL, 'w', NULL)}, '4' ],
	[ q{BEGIN; SAVEPOINT s; SELECT wf_recv('q', '0', 'w'); ROLLBACK TO s; COMMIT}, '5' ],
	[ q{SELECT * FROM wf_recv_any('{a,q}', NULL, 'w')}, 'q|5' ],
	[ q{SELECT * FROM wf_recv_any('{a,q}', '0', 'w')}, '|' ],
	[ q{SELECT * FROM wf_wait_any('[{"topic": "q"}, {"workflow_id": "w"}]', '0', 'w')}, '|' ],
	[ q{SELECT count(*) FROM wf_recv_many('q', 10, '0', 'w')}, '0' ],
	[ q{SELECT wf_recv('q', '0', 'w') IS NULL}, 't' ],
	[ q{SELECT wf_set_event('k', '1', 'w')}, '' ],
	[ q{SELECT wf_get_event('w', 'k', NULL)}, '1' ],
	[ q{CALL wf_get_event('w', 'k', NULL, NULL)}, '1' ],
	[ q{SELECT wf_get_event('w', 'none', '0') IS NULL}, 't' ],
	[ q{SELECT wf_write_stream('s', '1', 'w'), wf_write_stream_many('s', '{2,3}', 'w')}, '1|3' ],
	[ q{SELECT * FROM wf_read_stream('w', 's', 2, timeout => NULL)}, '3|3|f' ],
	[ q{CALL wf_read_stream('w', 's', 1, 1, NULL, NULL, NULL, NULL)}, '[2]|2|f' ],
	[ q{SELECT count(*) FROM wf_read_stream('w', 's', 3, timeout => '0')}, '0' ],
	[ q{SELECT wf_close_stream('s', 'w'); SELECT ended FROM wf_read_stream('w', 's', 3)}, "\nt" ],
	[ q{SELECT workflow_id, waiting_since FROM wf_notify('e', '1', 'w')}, 'w|' ],
	[ q{SELECT * FROM wf_wait_for_event('e', NULL, 'w')}, '1|f' ],
	[ q{SELECT * FROM wf_wait_for_event('e', '0', 'w')}, '|t' ],
	[ q{SELECT * FROM wf_result('w', '0')}, 'PENDING||' ],
	[ q{BEGIN; SELECT wf_send('w', '6', 'q') > 0; ROLLBACK}, 't' ],
	[ q{SELECT count(*) FROM wf_mailbox}, '0' ],
	[
		q{SET durable_wf.workflow_id = 'w'; SELECT wf_current();
			SELECT wf_complete('1')}, "w\n"
	],
	[ q{SELECT * FROM wf_result('w', NULL)}, 'SUCCESS|1|' ],
	[ q{SELECT wf_cancel('w')}, 'f' ],
	[ q{SELECT workflow_id, status FROM wf_workflows}, 'w|SUCCESS' ],
	[ q{SELECT wf_start('live')}, 'live' ]);

is(said($_->[0]), $_->[1], "works: $_->[0]") foreach @works;

# What cannot be done says what to do, and changes nothing.
my @refused = (
	q{SELECT wf_recv('q', NULL, 'live')},
	q{SELECT wf_recv('q', '1 s', 'live')},
	q{CALL wf_recv('q', '1 s', 'live', NULL)},
	q{SELECT wf_recv_any('{q}', NULL, 'live')},
	q{CALL wf_recv_any('{q}', NULL, 'live', NULL, NULL)},
	q{SELECT wf_wait_any('[{"topic": "q"}, {"event_id": "e"}]', NULL, 'live')},
	q{SELECT wf_recv_many('q', 10, NULL, 'live')},
	q{SELECT wf_get_event('live', 'none', NULL)},
	q{CALL wf_get_event('live', 'none', NULL, NULL)},
	q{SELECT wf_read_stream('live', 's')},
	q{CALL wf_read_stream('live', 's', 0, 1, NULL, NULL, NULL, NULL)},
	q{SELECT wf_wait_for_event('e', NULL, 'live')},
	q{CALL wf_wait_for_event('e', NULL, 'live', NULL, NULL)},
	q{SELECT wf_result('live', NULL)},
	q{CALL wf_result('live', NULL, NULL, NULL, NULL)},
	q{SELECT wf_notify('e', '1')},
	q{SELECT wf_event_waiters('e')},
	q{SELECT * FROM wf_waiters},
	q{SELECT * FROM wf_stat});

like(
	said($_),
	qr/ERROR:  55000: .*preloaded.*HINT: .*shared_preload_libraries/s,
	"refused: $_")
  foreach @refused;

# Errors that come first come first.
like(said(q{SELECT wf_recv('q', NULL, 'none')}),
	qr/ERROR:  WF001: /, 'an unknown workflow is the first thing to say');
like(said(q{SELECT wf_recv('q', '-1 s', 'live')}),
	qr/ERROR:  22023: /, 'so is a bad argument');

# Loading it later does not do.
{
	my ($status, $output, $error) = $node->psql(
		'postgres', $refused[0],
		connstr => $node->connstr('postgres')
		  . q{ options='-c session_preload_libraries=durable_wf'});

	like($error, qr/shared_preload_libraries/, 'loaded by the session only');
}

# DROP EXTENSION, with all kinds of rows there
sql(q{SELECT wf_send('live', '1'), wf_send('live', '1', 't', 'k'),
	wf_set_event('k', '1', 'live'); SELECT FROM wf_notify('e', '1', 'live')});
sql('DROP EXTENSION durable_wf');
is(catalogs(), $clean, 'DROP EXTENSION leaves nothing');

# CREATE and DROP EXTENSION again, in another schema and with the library
# preloaded.
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'durable_wf'\n");
$node->restart;
$clean = catalogs();
sql(q{CREATE SCHEMA wf});
sql(q{CREATE EXTENSION durable_wf SCHEMA wf});
is(said(q{SELECT wf.wf_start('w'); SELECT wf.wf_send('w', '1') > 0;
	CALL wf.wf_recv(NULL, NULL, 'w', NULL);
	SELECT * FROM wf.wf_wait_for_event('e', '1 ms', 'w');
	SELECT count(*) FROM wf.wf_waiters}),
	"w\nt\n1\n|t\n0", 'in another schema');
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	# a session with kept plans sees it go and come back
	$session->query_safe(q{SET search_path = wf, public});
	is($session->query_safe(q{SELECT wf_send('w', '1') > 0}),
		't', 'before it is dropped');
	sql('DROP EXTENSION durable_wf');
	sql('CREATE EXTENSION durable_wf');
	is($session->query_safe(q{SELECT wf_start('new');
		SELECT wf_send('new', '2') > 0; SELECT wf_recv(NULL, '0', 'new')}),
		"new\nt\n2", 'after it was dropped and created');
	$session->quit;
}
sql('DROP EXTENSION durable_wf; DROP SCHEMA wf');
is(catalogs(), $clean, 'DROP EXTENSION leaves nothing');

$node->stop;
done_testing();
