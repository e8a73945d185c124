# The order of the folders, and what the READMEs say about it.  Reads files
# only: no server, no compiler.

use strict;
use warnings;

use File::Basename;
use File::Find;
use File::Spec;
use Test::More;

my $top = dirname(dirname(File::Spec->rel2abs(__FILE__)));

# Each folder, and which others its files may include besides its own.  The
# tables in extension/README.md and bgworker/README.md say the same.
my @four = qw(base shared store session);
my %may_include = (
	'base' => [],
	'shared' => ['base'],
	'store' => [ 'base', 'shared' ],
	'session' => [ 'base', 'shared', 'store' ],
	'cluster' => [@four],
	'mailbox' => [ @four, 'cluster' ],
	'workflow' => [ @four, 'cluster' ],
	'upkeep' => [ @four, 'cluster' ],
	'hook' => [ @four, 'cluster', 'mailbox' ],
	'extension' => [ @four, qw(cluster mailbox workflow upkeep hook) ],
	'bgworker' => [ @four, 'cluster', 'workflow' ],
	'bgworker/gateway' => [qw(base shared store hook)],);

# ----- the sources -----

# The text of a file of the tree.
sub slurp
{
	my ($name) = @_;
	open my $handle, '<', "$top/$name" or die "$name: $!";
	local $/;
	return scalar <$handle>;
}

# The names of the files of the tree that match, without what was built.
sub files
{
	my ($pattern, @folders) = @_;
	my @found;

	find(
		{
			no_chdir => 1,
			wanted => sub {
				return $File::Find::prune = 1 if m{/\.(git|build)$};
				my $name = substr $_, length "$top/";
				push @found, $name if -f && $name =~ $pattern;
			}
		},
		map { "$top/$_" } @folders);
	return sort @found;
}

# The folder of a source file, as the tables name it.
sub folder_of
{
	my $folder = dirname($_[0]);
	$folder =~ s{^extension/}{};
	return $folder;
}

# Collect what is wrong about a rule, and say it at once.
sub rule
{
	my ($name, @wrong) = @_;
	ok(!@wrong, $name) or diag(join "\n", map { "    $_" } @wrong);
	return;
}

my @sources = files(qr/\.[ch]$/, 'extension', 'bgworker');
my %text = map { $_ => slurp($_) } @sources;

# A source without its comments, and the same without its strings; lines stay.
my (%code, %bare);
foreach my $file (@sources)
{
	my $code = $text{$file};
	$code =~ s{("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(/\*.*?\*/)}
	          {defined $1 ? $1 : "\n" x ($2 =~ tr/\n//)}gse;
	$code{$file} = $code;
	$code =~ s/^(?!#\s*include)(.*)$/my $l = $1; $l =~ s{"(?:[^"\\\n]|\\.)*"}{""}g; $l/gme;
	$bare{$file} = $code;
}

# The lines of a source that match, as "file:line".
sub places
{
	my ($pattern, $sources, @files) = @_;
	my @places;

	foreach my $file (@files)
	{
		my $line = 0;
		foreach (split /\n/, $sources->{$file})
		{
			$line++;
			push @places, "$file:$line: $_" if /$pattern/;
		}
	}
	return @places;
}

# ----- 1: includes go downwards -----

my %header;    # as it is included => file
foreach (grep { /\.h$/ } @sources)
{
	(my $spelling = $_) =~ s{^extension/}{};
	$header{$spelling} = $_;
}
my %by_name = map { basename($_) => $_ } values %header;

my %included;    # file => { header file => 1 }
{
	my (@unknown, @upward, @bare_names);

	foreach my $file (@sources)
	{
		while ($code{$file} =~ /^#\s*include\s+"([^"]+)"/mg)
		{
			my $target = $header{$1};
			if (!$target)
			{
				push @bare_names, "$file: $1" if $by_name{$1};
				next;
			}
			$included{$file}{$target} = 1;
			my ($from, $to) = (folder_of($file), folder_of($target));
			push @unknown, $file unless $may_include{$from};
			push @upward, "$file includes $1"
			  unless $from eq $to
			  || grep { $_ eq $to } @{ $may_include{$from} || [] };
		}
	}
	rule('each include of ours names its folder', @bare_names);
	rule('each folder is in the table', @unknown);
	rule('no include goes upward', @upward);
}

# Neither do the folders include each other in a circle.
{
	my %seen;
	my $visit;
	my @circles;

	$visit = sub {
		my ($folder, @path) = @_;
		push(@circles, join ' - ', @path, $folder), return
		  if grep { $_ eq $folder } @path;
		return if $seen{$folder}++;
		my %next;
		foreach my $file (grep { folder_of($_) eq $folder } @sources)
		{
			$next{ folder_of($_) } = 1 foreach keys %{ $included{$file} || {} };
		}
		delete $next{$folder};
		$visit->($_, @path, $folder) foreach sort keys %next;
	};
	$visit->($_) foreach sort keys %may_include;
	rule('no circle of folders', @circles);
}

# ----- 2: what is used was included -----

my %declared;    # symbol => header file
foreach my $file (grep { /\.h$/ } @sources)
{
	$declared{$1} //= $file
	  while $bare{$file} =~ /^(?:extern\s[^;{]*?|static inline [^;{]*?\n?)\b(dwf_\w+)\s*[\[(;]/mg;
}
{
	my @without;

	foreach my $file (@sources)
	{
		my %missing;
		while ($bare{$file} =~ /\b(dwf_\w+)\b/g)
		{
			my $symbol = $1;
			my $home = $declared{$symbol} or next;
			next if folder_of($home) eq folder_of($file);
			next if $included{$file}{$home};
			(my $own = $file) =~ s/\.c$/.h/;
			next if $own ne $file && $included{$own}{$home};
			$missing{$home} //= $symbol;
		}
		push @without, map { "$file uses $missing{$_} without $_" } sort keys %missing;
	}
	rule('a function of another folder is used with its header', @without);
}

# ----- 3: what belongs in one place -----

my @elsewhere = grep { !m{^extension/store/} && $_ ne 'bgworker/executor.c' } @sources;

rule('SQL is in store/ only',
	places(qr/"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|MERGE INTO)\s/,
		\%code, grep { !m{call_hint} } @elsewhere));
rule('SPI runs statements in store/ only',
	places(qr/\bSPI_(?:exec\w*|prepare\w*|cursor\w*|keepplan|getbinval|getvalue)\b/,
		\%bare, grep { !m{^extension/workflow/step(?:_plans)?\.c$} } @elsewhere));
rule('versions are in compat.h only',
	places(qr/\bPG_VERSION_NUM\b/, \%bare, grep { $_ ne 'extension/base/compat.h' } @sources));
rule('the latches of others are set in shared/ only',
	places(qr/\bSetLatch\s*\((?!MyLatch\))/, \%bare, grep { !m{^extension/shared/} } @sources));
rule('signals are sent in shared/ only',
	places(qr/\bkill\s*\(/, \%bare, grep { !m{^extension/shared/} } @sources));
# the wait loop sleeps in client.c, which watches the client's socket
rule('waits are in client.c and in main loops only',
	places(qr/\b(?:WaitLatch\w*|WaitEventSetWait)\s*\(/, \%bare,
		grep { !m{^(?:extension/base/client|bgworker/(?:launcher|worker)|bgworker/gateway/(?:gateway|validate))\.c$} } @sources));
rule('the callbacks of transactions are registered in xact.c only',
	places(qr/\bRegister(?:Sub)?XactCallback\s*\(/, \%bare, grep { $_ ne 'extension/xact.c' } @sources));

# ----- 4: names -----

{
	my (%files, @twice, @prefix);

	push @{ $files{ basename($_) } }, $_ foreach @sources;
	@twice = map { join ' and ', @$_ } grep { @$_ > 1 } values %files;
	rule('each file name is there once', @twice);

	my %alike;    # folder/first word of the name => how many files
	$alike{ folder_of($_) . '/' . (basename($_) =~ /^([a-z]+)/)[0] }++
	  foreach grep { /\.c$/ } @sources;

	foreach my $file (grep { /\.c$/ } @sources)
	{
		my $name = basename($file, '.c');
		my $prefix = $file =~ m{^extension/store/\w+_rows\.c$} ? 'store' : $name;
		my ($folder, $word) = (folder_of($file), $name =~ /^([a-z]+)/);
		while ($bare{$file} =~ /^(\w+)\(/mg)
		{
			my $function = $1;
			my $start = $-[0];
			# the line above has the type
			my $above = $start < 2 ? 0 : rindex($bare{$file}, "\n", $start - 2) + 1;
			next if substr($bare{$file}, $above, $start - $above) =~ /\bstatic\b/;
			next if $function =~ /^(?:PG_FUNCTION_INFO_V1|PG_MODULE_MAGIC|DWF_\w+|_PG_init|wf_\w+)$/;
			# what SQL calls has the name that it has there
			next if $bare{$file} =~ /PG_FUNCTION_INFO_V1\($function\)/;
			next if $function =~ /^dwf_\Q$prefix\E(?:_|$)/;
			# files of a folder that share their first word share that prefix
			push @prefix, "$file: $function()"
			  unless $alike{"$folder/$word"} > 1 && $function =~ /^dwf_\Q$word\E_/;
		}
	}
	rule('a function that others call is named for its file', @prefix);
}

# ----- 5: shape -----

{
	my (@long, @wide, @silent);

	foreach my $file (@sources)
	{
		my $lines = $text{$file} =~ tr/\n//;
		push @long, "$file: $lines lines" if $lines > 600;

		my $number = 0;
		foreach (split /\n/, $text{$file})
		{
			$number++;
			next if /"/ || length($_) + 3 * tr/\t// <= 79;
			my $line = $_;
			1 while $line =~ s/\t/' ' x (4 - $-[0] % 4)/e;
			push @wide, "$file:$number" if length $line > 79;
		}
		next unless $file =~ /\.c$/;
		# a definition: its name at the start of a line, its body's brace too
		my @lines = split /\n/, $text{$file};
		for my $i (1 .. $#lines)
		{
			next unless $lines[$i] =~ /^(\w+)\(/;
			my $function = $1;
			next if $function =~ /^(?:PG_\w+|DWF_\w+|RUN_\w+)$/;
			my $j = $i;
			$j++ while $j < $#lines && $lines[$j] !~ /[;{]\s*$/ && $lines[$j] ne '{';
			next unless $lines[$j] eq '{';
			my $k = $i - 2;    # above the type
			$k-- while $k > 0 && $lines[$k] =~ /^(?:PG_FUNCTION_INFO_V1|DWF_JOURNALLED(?:_\w+)?)\(.*\);$|^PGDLLEXPORT/;
			push @silent, "$file: $function()" unless $lines[$k] =~ m{\*/\s*$};
		}
	}
	rule('no file is longer than 600 lines', @long);
	rule('no line is wider than 79 columns', @wide);
	rule('each function has a comment', @silent);
}

# ----- 6: what comments and READMEs name is there -----

# Names that are not ours, and why a comment or a README may have them.  A
# name that is neither here nor in the tree is a mistake, or was renamed.
my %foreign = (
	'ipci.c' => 'shmem.c does for our memory what that does for the core\'s',
	'lock.h' => 'whose definitions ours have to follow: tags of locks',
	'postgres.h' => 'which each file includes first',);

# The text of a markdown file without its fenced blocks, whose names are of
# the examples; and of other files the comments alone.
sub words_of
{
	my ($file) = @_;
	my $words = slurp($file);

	if ($file =~ /\.md$/)
	{
		$words =~ s/^```.*?^```$//gms;
		return $words;
	}
	return join "\n", $words =~ m{(/\*.*?\*/)}gs if $file =~ /\.[ch]$/;
	return join "\n", $words =~ /^\s*--(?!\s*\\)(.*)$/mg if $file =~ /\.sql$/;
	return join "\n", $words =~ /^\s*#(?!!)(.*)$/mg;
}

{
	my @there = grep { -e "$top/$_" } qw(extension bgworker sql specs t expected bench storm demo docs .ci clients);
	my @all = grep { !/\.(?:o|bc|so)$/ } files(qr/./, @there), map { basename($_) } grep { -f } glob("$top/*");
	my @readmes = grep { /\.md$/ && $_ ne 'CHANGELOG.md' } @all;
	my @commented = grep {
		   m{^(?:extension|bgworker)/.*\.[ch]$}
		|| m{^(?:sql|extension/install)/.*\.sql$}
		|| m{^specs/.*\.spec$}
		|| m{^t/.*\.p[lm]$} && $_ ne 't/012_layout.pl'
		|| m{^bench/.*\.(?:c|sh)$}
	} @all;
	my @missing;

	# what is defined or used: in C code without comments, in SQL without
	# comments, in scripts
	my %known;
	my %word;
	foreach my $file (@all)
	{
		my $code =
		    $file =~ /\.[ch]$/ && exists $code{$file} ? $code{$file}
		  : $file =~ m{^extension/install/.*\.sql$} ? slurp($file) =~ s/^\s*--.*$//mgr
		  : $file =~ m{^(?:run|Makefile|bench/.*|t/DurableWf.*\.pm|t/node/.*\.mjs|demo/.*)$}
			&& $file !~ /\.md$/ ? slurp($file) =~ s/^\s*#.*$//mgr
		  : next;
		$word{$1} = 1 while $code =~ /\b(\w+)\b/g;
		$known{"durable_wf.$1"} = 1 while $code =~ /\bdurable_wf\.(\w+)/g;
	}
	my %file = map { basename($_) => 1 } @all;

	# is it the name of a file of ours?  "*" stands for anything
	my $is_file = sub {
		my ($name) = @_;
		return 1 if $file{$name} || $name =~ /NAME|NNN/ || $foreign{ basename($name) };
		$name =~ s{^(?:\.\.?/)+}{};
		my $pattern = quotemeta $name;
		$pattern =~ s/\\\*/[^\/]*/g;
		return scalar grep { m{(?:^|/)$pattern$} } @all;
	};
	# is it a word of ours, or the beginning of one if it ends with _ or *?
	my $is_word = sub {
		my ($name, $star) = @_;
		return 1 if $word{$name} || $foreign{$name};
		return ($star || $name =~ /_$/) && grep { /^\Q$name\E/ } keys %word;
	};

	foreach my $file (@commented, @readmes)
	{
		my $words = words_of($file);
		my $is_readme = $file =~ /\.md$/;
		my %seen;
		my $miss = sub {
			push @missing, "$file names $_[0]" unless $seen{ $_[0] }++;
		};

		while ($words =~ /\b((?:dwf_|Dwf|DWF_|wf_)\w+)(\*?)/g)
		{
			my ($name, $star) = ($1, $2);
			# what an example of a text or of a test calls so
			next if $file !~ m{^(?:extension|bgworker|docs|README|CONTRIBUTING)};
			$miss->($name) unless $is_word->($name, $star);
		}
		while ($words =~ m{(?<![\w*/.-])([\w*./-]+\.(?:c|h|pl|pm|spec|sql|md))\b(?!\()}g)
		{
			my $name = $1;
			$miss->($name) unless $is_file->($name) || $is_readme && -e "$top/" . dirname($file) . "/$name";
		}
		while ($words =~ m{\b(iso-[a-z-]+[a-z])\b}g)
		{
			$miss->($1) unless $file{"$1.spec"};
		}
		while ($words =~ m{\bt/(\d\d\d)(_\w+)?}g)
		{
			my $begin = $1 . ($2 // '');
			$miss->("t/$begin") unless grep { /^\Q$begin\E/ } keys %file;
		}
		next unless $is_readme;

		# settings, tables and functions of our schema
		while ($words =~ /(?<![\w"])durable_wf\.(\w+)/g)
		{
			my $name = $1;
			next if $name =~ /^(?:c|h|so|control|stat|sql|pl)$/;
			next if $known{"durable_wf.$name"};
			$miss->("durable_wf.$name") unless $name =~ /_$/ && grep { /^durable_wf\.\Q$name\E/ } keys %known;
		}
		# a word in backticks with an underscore is a name of the code, in
		# those READMEs that are about it
		while ($file =~ m{^(?:extension|bgworker)/} && $words =~ /`([a-z]\w*_\w*)(?:\(\))?(\*?)`/g)
		{
			$miss->($1) unless $is_word->($1, $2) || $is_file->("$1.c") || $is_file->("$1.h");
		}
		# links: the file, and the heading in it
		while ($words =~ /\]\(([^)#\s]*)(?:#([^)\s]*))?\)/g)
		{
			my ($path, $anchor) = ($1, $2);
			next if $path =~ /^\w+:/;
			my $target = $path eq '' ? $file : join '/', grep { $_ ne '.' } dirname($file), $path;
			1 while $target =~ s{(^|/)[^/.][^/]*/\.\.(?:/|$)}{$1};
			$target =~ s{^\./|/$}{}g;
			if (!-e "$top/$target") { $miss->("the link $path"); next; }
			next unless defined $anchor && $target =~ /\.md$/;
			my %heading;
			my $text = slurp($target) =~ s/^```.*?^```$//gmsr;
			while ($text =~ /^#+ +(.*)$/mg)
			{
				my $slug = lc $1;
				$slug =~ s/[^\w\s-]//g;
				$slug =~ s/\s/-/g;
				$heading{$slug} = 1;
			}
			$miss->("the heading #$anchor") unless $heading{$anchor};
		}
	}
	rule('what comments and READMEs name is there', @missing);
}

# ----- 7: the READMEs' tables -----

# The README of a folder's files: its own, or that of the folder above.
sub readme_of
{
	my ($folder) = @_;
	my $path = $folder =~ /^(?:bgworker|extension)/ ? $folder : "extension/$folder";
	return (grep { -e "$top/$_" } "$path/README.md", dirname($path) . '/README.md')[0];
}

{
	my @wrong;

	foreach my $readme ('extension/README.md', 'bgworker/README.md')
	{
		my $words = slurp($readme);
		my $under = dirname($readme);
		my %row;

		# | `folder/` | what lives there | may include |
		while ($words =~ m{^\|\s*`([\w/]+)/`(?: itself)?\s*\|[^|\n]*\|\s*([^|\n]*?)\s*\|$}mg)
		{
			push @wrong, "$readme has two rows for `$1/`" if defined $row{$1};
			$row{$1} = $2;
		}
		foreach my $folder (sort keys %may_include)
		{
			my $mine = ($folder =~ /^bgworker/ ? 'bgworker' : 'extension') eq $under;
			next unless $mine;
			if (!defined $row{$folder})
			{
				push @wrong, "$readme has no row for `$folder/`";
				next;
			}
			my $said = join ' ', sort map { s/[`\/]//gr } split /,\s*/,
			  $row{$folder} =~ s/the four/base, shared, store, session/r;
			$said = '' if $said =~ /server/;
			my $is = join ' ', sort @{ $may_include{$folder} };
			push @wrong, "$readme: `$folder/` may include '$said', here '$is'"
			  unless $said eq $is || ($said eq 'all' && $folder eq 'extension');
			delete $row{$folder};
		}
		push @wrong, map { "$readme has a row for `$_/`, which is not checked" } sort keys %row;
	}
	rule('the tables of folders say what is checked here', @wrong);
}
{
	my (@wrong, %rows, %names);

	foreach my $folder (sort keys %may_include)
	{
		my $readme = readme_of($folder);
		$names{$readme}{ basename($_) =~ s/\.[ch]$//r } = 1
		  foreach grep { folder_of($_) eq $folder } @sources;
	}
	foreach my $readme (sort keys %names)
	{
		# of a table whose first column is "file" the first cell names files
		my %rows;
		my $in_table = 0;
		foreach (split /\n/, slurp($readme))
		{
			my ($cell) = /^\|([^|]*)\|/;
			$in_table = 0, next unless defined $cell;
			$in_table = 1, next if $cell =~ /^\s*file\s*$/;
			next unless $in_table;
			$rows{$1}++ while $cell =~ m{`(?:[\w/]*/)?(\w+)(?:\.[ch])?`}g;
		}
		foreach my $name (sort keys %{ $names{$readme} })
		{
			my $count = delete $rows{$name} // 0;
			push @wrong, "$readme has $count rows for $name" if $count != 1;
		}
		push @wrong, map { "$readme has a row for $_, which is not there" } sort keys %rows;
	}
	rule('each file is in the table of its folder, once', @wrong);
}

done_testing();
