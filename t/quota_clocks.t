#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Gateways whose clocks are 5 s apart and jump, by libfaketime: quota goes by
# Redis's clock, so no window holds more for it, and hardly less. Then their
# monotonic clocks jump, too, which no real ones do: that may cost requests, but
# admits nothing extra, and passes.
#
# PINAUD_SEED: the jumps of an earlier run. PINAUD_LONG=1: for a longer time.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use List::Util qw(max);
use Pinaud::Gateway;
use Pinaud::Hammer;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);
use Time::Piece ();

my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
plan skip_all => 'there is no libfaketime' if !$library;

my $seed = $ENV{PINAUD_SEED} // int rand 1 << 31;
diag "PINAUD_SEED=$seed";
srand $seed;

# what is preloaded is there before the sanitizer's own
local $ENV{ASAN_OPTIONS} = join ':', 'verify_asan_link_order=0',
    $ENV{ASAN_OPTIONS} // ();

my ($n, $window) = (60, 2);
my $windows = $ENV{PINAUD_LONG} ? 20 : 3;
my $dir = temp_dir('clocks');


# A gateway's clock is so many seconds ahead of the true one.

sub set {
    my ($name, $seconds) = @_;

    spew("$dir/$name.new", sprintf "%+ds\n", $seconds);
    rename "$dir/$name.new", "$dir/$name" or die "rename: $!";
}


sub gateway {
    my ($name, $ahead, %opt) = @_;

    set($name, $ahead);

    return Pinaud::Gateway->new(upstream => 'http',
        limits => ['100000/60s'], limits_all => ['100000/1s'],
        accounts => { account() => { limits => ["$n/${window}s"],
            teams => { growth => [], brand => [] } } },
        with => $opt{with},
        nginx => { workers => 2, env => { LD_PRELOAD => $library,
            FAKETIME_TIMESTAMP_FILE => "$dir/$name", FAKETIME_NO_CACHE => 1,
            FAKETIME_DONT_FAKE_MONOTONIC => $opt{monotonic} ? 0 : 1 } });
}


# How far its clock is ahead, by what it tells.

sub ahead {
    my $r = Pinaud::HTTP::get($_[0], '/health');
    my $told = Time::Piece->strptime($r->header('Date') // die('no Date'),
        '%a, %d %b %Y %H:%M:%S GMT');

    return $told->epoch - time();
}


sub near { abs($_[0] - $_[1]) < 1.5 }


# Each clock jumps twice in a window, to up to 5 s ahead or behind.

sub jump {
    my @names = @_;
    my $next = 0;

    return sub {
        return if time() < $next;

        $next = time() + $window / 2 / @names;
        push @names, shift @names;
        set($names[0], int(rand 11) - 5);
    };
}


sub arrived { [sort { $a <=> $b } map { $_->{time} } $_[0]->arrived] }


my $gw = gateway('a', 0);
my @fleet = ($gw, gateway('b', 5, with => $gw), gateway('c', -5, with => $gw));

my @requests = map { Pinaud::HTTP::head('POST', create_path, body => body(),
    team => $_) . body() } qw(growth brand);

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');

ok near(ahead($fleet[0]), 0), 'one clock is true';
ok near(ahead($fleet[1]), 5), 'one is ahead';
ok near(ahead($fleet[2]), -5), 'one is behind';

my $now = time();
ok near(($gw->redis->cmd('TIME'))->[0], $now), 'and Redis\'s is true';


# clocks that are apart and jump

my $status = hammer(\@fleet, \@requests, 1.08 * $windows * $window,
    meanwhile => jump(qw(a b c)));
my $times = arrived($gw);
my ($rounds, $share) = used($times, $n, $window);

is join(' ', grep { $_ != 200 && $_ != 429 } sort keys %$status), '',
    'every request was admitted or refused';
is scalar(@$times), $status->{200}, 'what was admitted arrived, and no more';
cmp_ok $status->{429}, '>', $status->{200}, 'they were hammered';

diag sprintf '%d rounds of %d: %.1f %% of the limit, at most %d in a window',
    $rounds, $n, 100 * $share, densest($times, $window);
cmp_ok densest($times, $window), '<=', $n,
    "never more than $n in any window of $window s";
cmp_ok $rounds, '>=', $windows, 'for as many windows';
cmp_ok $share, '>=', 0.95, 'at least 95 % of the limit is used';

set($_, 5) for qw(a b c);
ok near(ahead($_), 5), 'its clock did jump' for @fleet;


# monotonic clocks that do

my @wild = map { gateway($_, 0, with => $gw, monotonic => 1) } qw(d e f);
$gw->arrived;

$status = hammer(\@wild, \@requests, 2 * $window,
    meanwhile => jump(qw(d e f)));
my $more = arrived($gw);
diag 'monotonic: ', join ', ', map { "$_: $status->{$_}" }
    sort keys %$status;

cmp_ok densest([@$times, @$more], $window), '<=', $n,
    'monotonic clocks that jump admit nothing extra';
cmp_ok scalar(@$more), '>=', $n, 'and much goes on';
is join(' ', grep { $_ !~ /^(?:200|429|503)$/ } sort keys %$status), '',
    'refused is what is not in time';

set($_, 10) for qw(d e f);

for my $gateway (@wild) {
    my $r;

    ok wait_until(sub {
        $r = post($gateway, create_path, body(), team => 'growth');
        $r->{status} == 200;
    }, 2 * $window), 'then all is well' or diag $r->{status};
}

finish();
