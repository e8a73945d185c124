# What leads to a server: the numbers agree, debian/ and META.json are what their
# readers want, a release has the same bytes twice.  Reads files only; ./run deb
# builds and installs.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find qw(find);
use File::Spec;
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

my $top = dirname(dirname(File::Spec->rel2abs(__FILE__)));

# The text of a file of the tree.
sub slurp
{
	my ($name) = @_;
	open my $handle, '<', "$top/$name" or die "$name: $!";
	local $/;
	return scalar <$handle>;
}

my ($version) = slurp('durable_wf.control') =~ /^default_version = '(.*)'/m;

# ----- the version -----

my %says = (
	'clients/node/package.json' => qr/"version": "(.*?)"/,
	'clients/python/pyproject.toml' => qr/^version = "(.*)"/m,
	'clients/python/durable_wf/__init__.py' => qr/^__version__ = "(.*)"/m,
	'debian/changelog' => qr/\Adurable-wf \((.*)-\d+\) /,
	'packaging/cloudnativepg/metadata.hcl' => qr/"18" = "(.*)-\d+"/,
	'packaging/cloudnativepg/cluster.yaml' => qr/reference: .*:(.*)-18-/,
	'README.md' => qr/Version (\S+) is/,
	'docs/reference.md' => qr/version (\S+) has/);
foreach my $file (sort keys %says)
{
	my ($said) = slurp($file) =~ $says{$file};
	is($said, $version, "$file says so");
}
foreach my $tag (slurp('CHANGELOG.md') =~ /^## \[(\d.*?)\]/mg)
{
	like(slurp('CHANGELOG.md'), qr/^## \[\Q$tag\E\] - \d{4}-\d\d-\d\d\n\nTag `v\Q$tag\E`, commit [0-9a-f]{7}\.\n/m, "the changelog names the tag of $tag");
}

# ----- META.json, by the specification of PGXN -----

my $meta = decode_json(slurp('META.json'));
ok(defined $meta->{$_} && length $meta->{$_}, "META.json: $_")
  foreach qw(name version abstract maintainer license provides meta-spec description generated_by tags resources prereqs release_status);
is($meta->{version}, $version, 'META.json: the version');
like($meta->{version}, qr/\A(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[A-Za-z][0-9A-Za-z-]*)?\z/, '... is a semantic one');
is($meta->{'meta-spec'}{version}, '1.0.0', '... of the specification');
like($meta->{license}, qr/\A(postgresql|postgres|bsd|mit)\z/, '... a license of the list');
like($meta->{release_status}, qr/\A(stable|testing|unstable)\z/, '... a status of the list');
foreach my $name (sort keys %{ $meta->{provides} })
{
	my $extension = $meta->{provides}{$name};
	# PGXN's client takes what is no SQL for no extension
	ok($extension->{file} =~ /\.sql$/ && -f "$top/$extension->{file}", "$name: its file");
	ok(-f "$top/$extension->{docfile}", "$name: its documentation");
	is($extension->{version}, $version, "$name: its version");
}
foreach my $phase (values %{ $meta->{prereqs} })
{
	foreach my $kind (keys %$phase)
	{
		like($kind, qr/\A(requires|recommends|suggests|conflicts)\z/, "META.json: $kind");
		like($_, qr/\A(0|\d+\.\d+\.\d+)\z/, '... a version') foreach values %{ $phase->{$kind} };
	}
}
like($_, qr/\A[^\/\\\x00-\x1f]{1,255}\z/, "META.json: tag $_") foreach @{ $meta->{tags} };
ok(-d "$top/$_", "META.json: folder $_") foreach @{ $meta->{no_index}{directory} };

# ----- debian/ -----

# as pg_buildext makes it, for the PostgreSQL of Debian's next release
my $control = join "\n\n", map { /^Package: .*PGVERSION/m ? s/PGVERSION/18/gr : $_ }
  split /\n{2,}/, slurp('debian/control.in') =~ s/\n\z//r;
is(slurp('debian/control'), "$control\n", 'debian/control is that of debian/control.in');
is(slurp('debian/pgversions'), "15+\n", 'debian/pgversions');
foreach my $test (slurp('debian/tests/control') =~ /^Tests: (.*)$/mg)
{
	ok(-x "$top/debian/tests/$test", "debian/tests/$test");
}
ok(-x "$top/$_", $_) foreach 'debian/rules', 'packaging/deb/run', 'packaging/dist';
(my $license = slurp('LICENSE')) =~ s/.*?(?=Permission)//s;
(my $copyright = slurp('debian/copyright')) =~ s/.*^License: PostgreSQL\n//ms;
$copyright =~ s/^ \.?//mg;
is($copyright, $license, 'debian/copyright has the license');

# ----- what stands for addresses -----

my ($addresses) = slurp('RELEASING.md') =~ /^## Addresses\n(.*)/ms;
my $is_there = qr/\Qpgxn.org\E\/dist\/durable_wf|\Qdurable-wf.invalid\E|\Qregistry.example\E/;
my @named = $addresses =~ /`((?:META|debian|packaging)[\w.\/]*)`/g;
my @with;
find({ no_chdir => 1, wanted => sub {
	my $name = $File::Find::name =~ s{^\Q$top\E/}{}r;
	$File::Find::prune = 1 if -d && $name =~ m{^(\.git|\.build)$};
	push @with, $name if -f && $name !~ m{^(RELEASING\.md|t/084_packages\.pl)$} && slurp($name) =~ $is_there;
} }, map { "$top/$_" } qw(META.json README.md SECURITY.md Dockerfile docs debian packaging clients));
is_deeply([ sort @with ], [ sort keys %{ { map { $_ => 1 } @named } } ], 'RELEASING.md lists what stands for addresses');

# ----- the Dockerfiles, as far as they say what is in the tree -----

foreach my $file ('Dockerfile', 'packaging/cloudnativepg/Dockerfile')
{
	ok(-e "$top/$_", "$file: $_ is there") foreach grep { $_ ne '.' } slurp($file) =~ /^COPY (?!--)(\S+) /mg;
}

# ----- a release -----

SKIP:
{
	skip 'this is no git repository', 3
	  if system("git -c safe.directory='$top' -C '$top' rev-parse -q --verify HEAD >/dev/null 2>&1") != 0;
	my @bytes;
	foreach (1, 2)
	{
		my $dir = tempdir(CLEANUP => 1);
		my $umask = umask($_ == 1 ? 022 : 077);
		local $ENV{TZ} = $_ == 1 ? 'UTC' : 'Asia/Tokyo';
		is(system("'$top/packaging/dist' '$dir' >'$dir/out' 2>&1"), 0, "make dist, $_");
		umask $umask;
		my ($zip) = glob "$dir/*.zip";
		open my $handle, '<:raw', $zip or die "$zip: $!";
		local $/;
		push @bytes, scalar <$handle>;
	}
	ok($bytes[0] eq $bytes[1] && length $bytes[0] > 100_000, 'the same bytes twice');
}

done_testing();
