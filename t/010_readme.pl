# The examples of README.md and docs/*.md do what they show, and the reference
# knows every object of the extension.
#
# A fenced block marked "sql" is run, one marked "sql norun" is not.  Its first
# line may name the psql that it is for: -- terminal 2 (1 when it does not).  A
# block marked "text" is what psql prints for the sql block before it or, after
# a line <!-- terminal 2 -->, for the last block of that terminal, which was
# waiting until now.  A block without a "text" must not fail.
#
# Each file has a fresh database.  Those of docs/webhooks.md and docs/streams.md
# are the gateway's in turn; a build without it leaves these files out.  The
# examples of docs/cluster.md need a cluster.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
my $has_gateway = () = glob "$libdir/durable_wf_gateway.*";
my @files =
  grep { !m{/cluster\.md$} && (!/webhooks|streams/ || $has_gateway) }
  ("$top/README.md", glob "$top/docs/*.md $top/docs/*/README.md");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'durable_wf'
max_worker_processes = 24
durable_wf.http_port = ${\PostgreSQL::Test::Cluster::get_free_port()}
durable_wf.max_deliveries = 2
});
$node->start;

# The fenced blocks of a file: their marks, text, line, and terminal.
sub blocks
{
	my ($file) = @_;
	my ($block, $terminal, @blocks);
	my $line = 0;

	foreach (split /\n/, slurp_file($file))
	{
		$line++;
		if (!$block && /^<!-- terminal (\d+) -->$/)
		{
			$terminal = $1;
		}
		elsif (!$block && /^```(.*)$/)
		{
			$block = { mark => $1, line => $line, text => '',
				terminal => $terminal };
		}
		elsif ($block && /^```$/)
		{
			$block->{terminal} = $1
			  if $block->{text} =~ /\A-- terminal (\d+)/;
			push @blocks, $block;
			($block, $terminal) = ();
		}
		elsif ($block)
		{
			$block->{text} .= "$_\n";
		}
	}
	die "$file: the block of line $block->{line} is not closed" if $block;
	return @blocks;
}

# Open a terminal: psql as a user sees it, but for the prompts.
sub open_terminal
{
	my ($database) = @_;
	my $terminal = { in => '', out => '', asked => 0, answered => 0 };

	$terminal->{psql} = IPC::Run::start(
		[ 'psql', '-X', '-d', $node->connstr($database) ],
		'<', \$terminal->{in}, '>', \$terminal->{out}, '2>&1',
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	ask($terminal, 'SELECT pg_backend_pid();');
	await_answer($terminal);
	($terminal->{pid}) = take_answer($terminal) =~ /^ +(\d+)$/m;
	return $terminal;
}

# Give a terminal something to do.
sub ask
{
	my ($terminal, $sql) = @_;

	$terminal->{asked}++;
	$terminal->{in} .= "$sql\n\\echo end of answer $terminal->{asked}\n";
	return;
}

# Has a terminal done what it was asked?
sub has_answered
{
	my ($terminal) = @_;

	$terminal->{psql}->pump_nb;
	return $terminal->{out} =~ /^end of answer $terminal->{asked}$/m;
}

# Wait until it has.
sub await_answer
{
	my ($terminal) = @_;

	$terminal->{psql}->pump until has_answered($terminal);
	return;
}

# Wait until it has, or is asleep in a wait.
sub await_answer_or_wait
{
	my ($terminal) = @_;

	until (has_answered($terminal))
	{
		last
		  if $node->safe_psql('postgres',
			"SELECT wait_event_type = 'Extension' FROM pg_stat_activity
			  WHERE pid = $terminal->{pid}") eq 't';
		select undef, undef, undef, 0.02;
	}
	return;
}

# What a terminal has printed, without the mark of its end.
sub take_answer
{
	my ($terminal) = @_;
	my $answer = $terminal->{out};

	$answer =~ s/^end of answer $terminal->{asked}\n//m;
	$terminal->{out} = '';
	$terminal->{answered} = $terminal->{asked};
	return $answer;
}

# Without the white space at the ends of lines, which editors remove.
sub trimmed
{
	my ($text) = @_;

	$text =~ s/[ \t]+$//mg;
	$text =~ s/\n+\z/\n/;
	return $text;
}

# Run the examples of a file.
sub run_examples
{
	my ($name, $database, @blocks) = @_;
	my %terminals;
	my $last = 1;

	while (my $block = shift @blocks)
	{
		my $where = "$name, line $block->{line}";
		my $terminal;

		if ($block->{mark} eq 'sql')
		{
			$last = $block->{terminal} || 1;
			$terminal = $terminals{$last} ||= open_terminal($database);
			if ($terminal->{answered} < $terminal->{asked})
			{
				fail("$where: terminal $last still waits");
				return;
			}
			ask($terminal, $block->{text});
			await_answer_or_wait($terminal);

			# an answer that is shown comes next
			next
			  if @blocks && $blocks[0]{mark} eq 'text'
			  && ($blocks[0]{terminal} // $last) == $last;
			unlike(take_answer($terminal), qr/ERROR|FATAL/, $where)
			  if has_answered($terminal);
		}
		elsif ($block->{mark} eq 'text')
		{
			$terminal = $terminals{ $block->{terminal} || $last };
			if (!$terminal || $terminal->{answered} == $terminal->{asked})
			{
				fail("$where: the answer of no example");
				return;
			}
			if (!eval { await_answer($terminal); 1 })
			{
				fail("$where: still no answer");
				diag $@, $terminal->{out};
				return;
			}
			is(trimmed(take_answer($terminal)),
				trimmed($block->{text}), $where);
		}
	}

	foreach my $number (sort keys %terminals)
	{
		my $terminal = $terminals{$number};

		is($terminal->{answered}, $terminal->{asked},
			"$name: terminal $number does not wait at the end");
		$terminal->{psql}->kill_kill;
	}
	return;
}

foreach my $file (@files)
{
	my $name = $file =~ s{^\Q$top\E/}{}r;
	my $database = $name =~ s/\W+/_/gr;
	my @blocks = blocks($file);
	# those in TypeScript and Python are run by t/node and t/python
	my $examples = grep { $_->{mark} =~ /^(sql|ts|py)$/ } @blocks;

	# reports of what was tried need none, nor do commands for a shell
	cmp_ok($examples, '>', 5, "$name has examples")
	  if $name !~ m{^docs/(comparison|compatibility|installing|monitoring|reliability)};
	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	if ($file =~ /webhooks|streams/)
	{
		$node->append_conf('postgresql.conf', "durable_wf.http_database = '$database'");
		$node->reload;
	}
	run_examples($name, $database, @blocks);

	# a link to a file leads to one
	foreach my $link (slurp_file($file) =~ /\]\(([^)#:]+)(?:#[^)]*)?\)/g)
	{
		ok(-e dirname($file) . "/$link", "$name: $link exists");
	}
}

# Each page is in the site's navigation and in llms.txt, whose links lead somewhere.
my $llms = slurp_file("$top/llms.txt");
my $navigation = slurp_file("$top/docs/site/mkdocs.yml");
foreach my $name (map { s{^\Q$top\E/}{}r } "$top/README.md", glob "$top/docs/*.md $top/docs/*/README.md")
{
	like($llms, qr/\]\(\Q$name\E\)/, "llms.txt names $name");
	like($navigation, qr/: \Q$name\E$/m, "the site's navigation has $name");
}
foreach my $link ($llms =~ /\]\(([^)#]+)\)/g, $navigation =~ /: (\S+\.md)$/mg)
{
	ok(-e "$top/$link", "$link exists");
}

# The reference shows each function's arguments and result as they are.  The
# blocks with signatures have no mark; defaults are left out of account.
my $reference = slurp_file("$top/docs/reference.md");
my $signatures = join ' ',
  map { $_->{text} } grep { $_->{mark} eq '' } blocks("$top/docs/reference.md");
$signatures =~ s/\s+/ /g;
$signatures =~ s/ DEFAULT (?:'[^']*'|\w+)//g;
$signatures =~ s/\( /(/g;

$node->safe_psql('postgres', 'CREATE EXTENSION durable_wf');

# Rows that a query finds among the extension's objects in its own schema.
sub objects
{
	return split /\n/, $node->safe_psql('postgres', $_[0]);
}

foreach my $signature (objects(<<'SQL'))
SELECT CASE p.prokind WHEN 'p' THEN 'CALL ' ELSE '' END || p.proname || '('
       || regexp_replace(pg_get_function_identity_arguments(p.oid),
                         '\mIN ', '', 'g') || ')'
       || CASE p.prokind WHEN 'p' THEN ''
          ELSE ' → ' || pg_get_function_result(p.oid) END
  FROM pg_depend d
  JOIN pg_proc p ON p.oid = d.objid
 WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
   AND p.pronamespace = 'public'::regnamespace
 ORDER BY 1
SQL
{
	ok(index($signatures, $signature) >= 0, "reference: $signature");
}

foreach my $column (objects(<<'SQL'))
SELECT c.relname || '.' || a.attname
  FROM pg_depend d
  JOIN pg_class c ON (d.classid = 'pg_class'::regclass AND c.oid = d.objid
                      OR d.classid = 'pg_type'::regclass AND c.reltype = d.objid
                         AND c.relkind = 'c')
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE d.deptype = 'e' AND c.relnamespace = 'public'::regnamespace
 ORDER BY 1
SQL
{
	my ($relation, $name) = split /\./, $column;
	my ($section) = $reference =~ /^### `$relation`\n(.*?)(?=^##|\z)/ms;

	like($section // '', qr/^\| `$name` \|/m, "reference: $column");
}

foreach my $setting (objects(
	"SELECT name FROM pg_settings WHERE name LIKE 'durable\\_wf.%'"))
{
	like($reference, qr/^### `$setting`$/m, "reference: $setting");
}

my $errors = slurp_file("$top/extension/base/durable_wf.h");
foreach (sort $errors =~ /MAKE_SQLSTATE\(([^)]+)\)/g)
{
	my $code = join '', /'(.)'/g;

	like($reference, qr/^\| $code \|/m, "reference: $code");
}

$node->stop;
done_testing();
