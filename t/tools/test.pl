#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Runs the tests that were built and ends with a line that counts them:
#
#     test.pl [unit] [fuzz] [nginx] [asan]       all of these unless told
#
# A unit test's case, a fuzzer's run and a line of TAP count one each. What a
# group prints goes to build/test/; of what fails, the end is shown. So many
# files of t/ run at once as TEST_JOBS says, 3 unless told.

use warnings;
use strict;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);

my $top = abs_path(dirname($0) . '/../..');
my $build = "$top/build";
my $seconds = $ENV{FUZZ_SECONDS} // 10;
my $jobs = $ENV{TEST_JOBS} // 3;
my ($passed, $failed) = (0, 0);

my %groups = (unit => \&unit, fuzz => \&fuzz, nginx => \&nginx,
    asan => \&asan);
my @groups = @ARGV ? @ARGV : qw(unit fuzz nginx asan);

chdir $top or die "$top: $!\n";
mkdir "$build/test";
$ENV{PERL5LIB} = join ':', "$top/t/lib", $ENV{PERL5LIB} // ();
$| = 1;

for my $group (@groups) {
    my $run = $groups{$group} or die "usage: test.pl [unit|fuzz|nginx|asan]\n";

    print "\n$group\n";
    $run->();
}

print "\n$passed passed, $failed failed\n";
exit($failed || !$passed ? 1 : 0);


sub count {
    my ($name, $good, $bad, $output) = @_;

    $passed += $good;
    $failed += $bad;

    printf "  %-28s %4d passed%s\n", $name, $good,
        $bad ? ", $bad FAILED" : '';
    print tail($output) if $bad && defined $output;
}


sub tail {
    my @lines = split /^/, $_[0];

    splice @lines, 0, @lines - 40 if @lines > 40;

    return join '', map { "    $_" } @lines;
}


# Begins a program; what it prints is kept.

sub begin {
    my ($name, @command) = @_;

    my $log = "$build/test/$name.log";
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', $log or die "$log: $!\n";
        open STDERR, '>&', \*STDOUT or die "dup: $!\n";
        exec @command or die "$command[0]: $!\n";
    }

    return $pid;
}


sub printed { slurp("$build/test/$_[0].log") }


# A program's exit status and what it printed.

sub run {
    my ($name, @command) = @_;

    waitpid begin($name, @command), 0;

    return ($?, printed($name));
}


sub unit {
    for my $test (sort glob "t/unit/*_test.c") {
        my $name = basename($test, '.c');
        my ($status, $output) = run($name, "$build/unit/$name");
        my $good = () = $output =~ /^\[\s+OK \]/mg;
        my $bad = () = $output =~ /^\[  FAILED  \] \w+$/mg;

        $bad ||= 1 if $status || !$good;
        count($name, $good, $bad, $output);
    }
}


sub fuzz {
    for my $fuzzer (sort glob "t/fuzz/*_fuzz.c") {
        my $name = basename($fuzzer, '.c');
        my $base = $name =~ s/_fuzz$//r;
        my @dict = -e "t/fuzz/$base.dict" ? "-dict=t/fuzz/$base.dict" : ();
        my $corpus = "t/fuzz/corpus/$base";
        my $found = "$build/test/corpus-$base";

        mkdir $found;

        my ($status, $output) = run($name, "$build/fuzz/$name", @dict,
            "-max_total_time=$seconds", '-timeout=20', '-rss_limit_mb=2048',
            "-artifact_prefix=$build/test/$base-", $found,
            -d $corpus ? $corpus : ());

        count($name, $status ? 0 : 1, $status ? 1 : 0, $output);
    }
}


sub nginx { prove('nginx', glob 't/*.t') }


# The tests that start none of what is built with sanitizers run once.

sub asan {
    local $ENV{PINAUD_NGINX} = "$build/asan/nginx";
    local $ENV{PINAUD_MODULE} = "$build/asan/ngx_pinaud_module.so";
    local $ENV{PINAUD_CTL} = "$build/asan/pinaudctl";

    prove('asan', grep { starts_ours($_) } glob 't/*.t');
}


sub starts_ours { slurp($_[0]) =~ /^use Pinaud::(?:Ctl|Gateway|Nginx)\b/m }


# Most tests wait most of the time, so some run at once; those that say
# "Runs alone" measure time, and come last.

sub prove {
    my ($group, @tests) = @_;

    my (%alone, %running);

    $alone{$_} = slurp($_) =~ /^# Runs alone/m for @tests;

    for my $test (sort { $alone{$a} <=> $alone{$b} || $a cmp $b } @tests) {
        my $name = basename($test, '.t');

        finished($group, \%running)
            while keys %running >= ($alone{$test} ? 1 : $jobs);

        $running{begin("$group-$name", $^X, $test)} = $name;
    }

    finished($group, \%running) while %running;
}


# Waits for the next test that ends, and counts it.

sub finished {
    my ($group, $running) = @_;

    my $pid = waitpid -1, 0;
    my $status = $?;
    my $name = delete $running->{$pid} // return;

    my $output = printed("$group-$name");
    my $good = () = $output =~ /^ok \d+/mg;
    my $bad = () = $output =~ /^not ok \d+/mg;
    my ($plan) = $output =~ /^1\.\.(\d+)/m;

    if ($output =~ /^1\.\.0 # SKIP (.*)/m) {
        printf "  %-28s skipped: %s\n", $name, $1;
        return;
    }

    $bad ||= 1 if $status || !defined $plan || $plan != $good + $bad;
    count($name, $good, $bad, $output);
}


sub slurp {
    open my $file, '<', $_[0] or die "$_[0]: $!\n";
    local $/;

    return scalar <$file>;
}
