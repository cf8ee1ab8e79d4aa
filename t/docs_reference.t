#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The documentation names what there is, and all of it: directives, messages,
# problems, metrics, commands; its links lead somewhere.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Docs;
use Pinaud::Process;
use Test::More;

my $dir = project_dir();
my $gateway = source('ngx_pinaud_module.c', 'src/gateway/*.c');
my @strings = strings($gateway);


# Both lists hold the same; what only one has is told.

sub same {
    my ($documented, $there, $name) = @_;

    my %documented = map { $_ => 1 } @$documented;
    my %there = map { $_ => 1 } @$there;

    is join(', ', grep { !$there{$_} } sort keys %documented), '',
        "$name: no other is documented";
    is join(', ', grep { !$documented{$_} } sort keys %there), '',
        "$name: all are documented";
    ok scalar(@$there), "$name: there are some";
}


# links

for my $path (documents()) {
    my $text = text($path) =~ s/^\s*```.*?^\s*```$//msgr =~ s/`[^`\n]+`//gr;
    my ($folder) = $path =~ m{^(.*/)};
    my @broken;

    for my $link ($text =~ /\]\(\s*([^)\s]+)\s*\)/g) {
        next if $link =~ m{^https?://};

        my ($target, $anchor) = $link =~ /^([^#]*)(?:#(.+))?$/;
        my $file = length $target ? ($folder // '') . $target : $path;
        1 while $file =~ s{(?:^|(?<=/))[^/]+/\.\./}{};

        push @broken, $link if !-e "$dir/$file"
            || defined $anchor && !anchors($file)->{$anchor};
    }

    is join(', ', @broken), '', "$path: its links";
}


# directives

my $directives = text('docs/directives.md');
my %entries = $directives =~ /^### (pinaud\w*)\n\n(.*?)(?=^##|\z)/msg;
my ($commands) = $gateway =~ /ngx_pinaud_commands\[\] = \{(.*?)ngx_null_comm/s;
my %contexts = $commands =~ /ngx_string\("(\w+)"\),\s*([\w|]+),/g;

same([keys %entries], [keys %contexts], 'directives');

my %flags = (http => 'NGX_HTTP_MAIN_CONF', server => 'NGX_HTTP_SRV_CONF',
    location => 'NGX_HTTP_LOC_CONF');

for my $name (sort keys %entries) {
    my ($syntax, $default, $context) = $entries{$name}
        =~ /\A- Syntax: `(.+);`\n- Default: (.+)\n- Context: (.+)\n\n\S/;

    ok defined $context, "$name: syntax, default and context" or next;
    like $syntax, qr/^$name( |$)/, "$name: syntax";
    like $default, qr/^(\x{2013}|`$name \S+;`)$/, "$name: default";
    is join('|', sort map { $flags{$_ =~ tr/`//dr} // "no $_" }
        split /, /, $context),
        join('|', sort grep { /_CONF$/ } split /\|/,
            $contexts{$name} =~ s/\|?NGX_CONF_\w+//gr), "$name: context";
}

my ($limits) = text('README.md') =~ /^## Limits of this version\n(.*?)^## /ms;
my @reserved = grep { $entries{$_} =~ /this\s+version/i
    && !/^pinaud_(?:redis|idempotency)$/ } sort keys %entries;

is join(', ', grep { $limits !~ /`$_(?: on)?`/ } @reserved), '', 'README lists directives without effect';

for my $name (qw(normalize unknown_members passthrough)) {
    my ($values) = $gateway =~ /ngx_pinaud_${name}\[\] = \{(.*?)null_string/s;
    my ($words) = $entries{"pinaud_$name"} =~ /Syntax: `\S+ (.+);`/;

    is join(' | ', $values =~ /ngx_string\("(\w+)"\)/g), $words,
        "pinaud_$name: values";
}


# what nginx -t refuses

my ($refuses) = $directives =~ /^## What nginx -t refuses\n(.*)/ms;
my @patterns = map { pattern($_) } @strings,
    strings(source('src/store/pinaud_url.c')),
    map { ("\"pinaud_redis\" $_", "\"%V\" directive $_") } @strings,
        strings(source('src/store/pinaud_url.c'));
my ($open) = grep { /is open to others/ }
    strings(source('src/store/pinaud_keyfile.c'));
push @patterns, pattern("\"pinaud_seal_key_file\" can't be used: $open"),
    qr/^host not found in "pinaud_redis"/;

my @rows = $refuses =~ /^\| `(.+?)` \|/mg;
cmp_ok scalar(@rows), '>', 20, 'messages of nginx -t';

for my $row (@rows) {
    ok +(grep { $row =~ $_ } @patterns), "nginx -t: $row";
}

for my $message (map { strings($_) }
    source('src/gateway/ngx_pinaud_check.c')
        =~ /check_failed\(cf, name,\s+((?:"(?:[^"\\]|\\.)*"\s*)+)/g)
{
    ok +(grep { $_ eq $message } @rows), "documented: $message";
}


# lines of the error log

my $trouble = text('docs/troubleshooting.md');
my @lines = $trouble =~ /^### `(pinaud: .+)`$/mg;
my @formats = grep { /^pinaud: / } @strings;

cmp_ok scalar(@formats), '>', 9, 'lines of the error log';

for my $line (@lines) {
    ok +(grep { $line =~ pattern($_) } @formats), "is written: $line";
}

for my $format (@formats) {
    ok +(grep { $_ =~ pattern($format) } @lines), "documented: $format";
}

my $redis = source('src/gateway/ngx_pinaud_redis*.c');
my $gate = source('src/gateway/ngx_pinaud_gate.c');
my $verdict = source('src/gateway/ngx_pinaud_verdict.c');
my ($useless) = $gateway =~ /useless\[\] = \{(.*?)\}/s;

ok $useless, 'errors by which Redis counts as unavailable';

my %reasons = (
    'of the store' => [
        (map { strings($_) } $redis =~ /link_fail\(link,([^;]*)\);/g),
        $redis =~ /(?:(?:dropped|reason) =|return) "([^"]+)"/g,
        strings(join '', $redis =~ /words\[\] = \{(.*?)\}/sg), strings($useless)],
    'of a policy' => [map { strings($_) } source(
        'src/gateway/ngx_pinaud_policy_read.c')
            =~ /(?:return|policy_log\(old,) ([^;]*"[^;]*);/g],
    'of a team key' => [map { strings($_) } source(
        'src/gateway/ngx_pinaud_caller.c') =~ /return ("[^;]*);/g],
    'of the gate' => [map { strings($_) } $gate =~ /return ([^;]*"[^;]*);/g],
    'of a token' => [$verdict =~ /reason = "([^"]+)"/g],
);

for my $kind (sort keys %reasons) {
    my @reasons = grep { !/^$|^AUTH$/ } @{ $reasons{$kind} };

    cmp_ok scalar(@reasons), '>', 3, "reasons $kind";
    is join(', ', grep { $trouble !~ /`\Q$_\E`/ } @reasons), '',
        "reasons $kind are documented";
}


# problems

my $problems = source('src/audience/pinaud_problem.c');
my @problems;

while ($problems =~ /(?:URN\ "([\w-]+)"|"(https:[^"]+)"),\s+"[^"]+",
    \s+(\d+),\ \d+,\ "(\w+)",\ ([01])/xg)
{
    push @problems, join ' ', $1 eq 'internal' ? 'other' : $3, $1 // $2, $4,
        $5 ? 'yes' : 'no' if defined $1;
    push @problems, join ' ', $3, $2, $4, $5 ? 'yes' : 'no' if defined $2;
}

my @table = map { s/\*\*//gr } map { "$_->[0] $_->[1] $_->[2] $_->[3]" }
    map { [/^\| (\w+) \| `([^`]+)`[^|]* \| `(\w+)` \| (\S+) \|/] }
    grep { /^\| (?:\d+|other) \| `/ } split /\n/, text('docs/callers.md');

same(\@table, \@problems, 'problems');

my $anchors = anchors('docs/troubleshooting.md');
same([grep { $anchors->{$_} } map { (split)[1] =~ s/.*#//r } @problems],
    [map { (split)[1] =~ s/.*#//r } @problems], 'problems in trouble');


# metrics, commands, make, version

my $operations = text('docs/operations.md');
my @metrics = map { s/_bucket$//r }
    $operations =~ /\b(pinaud_(?:\w+_(?:total|seconds|seconds_bucket)
        |store_up))\b/xg;

cmp_ok scalar(@metrics), '>', 5, 'metrics of the dashboard';
is join(', ', grep { my $m = $_; !grep { $_ eq $m } @strings } @metrics), '',
    'metrics of the dashboard are there';

my ($exit, $help) = run_command(["$dir/build/pinaudctl", 'help']);
my %commands = map { $_ => 1 } map { $_, s/^(\w+ \w+) \w+$/$1/r }
    $help =~ /^  ([a-z]+(?:-[a-z]+)?(?: [a-z]+){0,2})  /mg;

for my $path (grep { $_ ne 'docs/pinaudctl.md' } documents()) {
    my @named = map { s/\s+/ /gr } text($path)
        =~ /\bpinaudctl\s+(team\s+key\s+[a-z]+|(?:seal-key|credential|account|team|policy)\s+[a-z]+
            |usage|validate)\b/xg;

    is join(', ', grep { !$commands{$_} } @named), '',
        "$path: commands of pinaudctl";
}

my $makefile = text('Makefile');
my @targets = text('README.md') =~ /^(?:    |- )?`?make ([a-z]+)\b/mg;

is join(', ', grep { $makefile !~ /^\Q$_\E:/m } grep { $_ ne 'modules' }
    @targets), '', 'make has what README names';

my ($version) = source('src/gateway/ngx_pinaud.h')
    =~ /NGX_PINAUD_VERSION\s+"([^"]+)"/;
like text('CHANGES.md'), qr/^# Changes\n\n## \Q$version\E /,
    'CHANGES begins with this version';

done_testing();
