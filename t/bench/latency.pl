#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What the gateway adds to a request's latency, by the way to Redis: a unix
# socket, TCP, TLS, and TCP over a link whose round trip takes 0.5 ms more, by
# a relay that holds what passes.
#
#   perl t/bench/latency.pl [--rounds 15] [--connections 64]
#       [--only unix,tls] [--rate 5000]
#
# First the peak is measured: requests a second, each as soon as the last one
# of its connection is answered. Then half as many a second come at random
# moments, whether those before are answered or not; latencies are from when a
# request was due, and all are recorded. Bare proxy_pass and gateway take
# turns, since a machine is not as fast now as it was a second ago; told are
# medians of the rounds, and the median and quartiles of what each round's
# 99th percentile of the gateway is above that of proxy_pass.
#
# The worker has a core of its own where there are two, but for the relay, for
# which there is no time left on the second, which all others share. They run
# in real time where that is allowed, so that hardly anything waits for a
# processor but for what is measured; Redis and the relay come first on their
# core, since mostly they have machines of their own. Phases are so short since
# Linux lets nobody do that for a whole second.
#
# Exit: 0, or 2: it could not be measured.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use Pinaud::Bench;
use Pinaud::Process;
use Time::HiRes qw(sleep);

use constant { PHASE => 0.4, PAUSE => 0.4, PEAKS => 5, ONE_WAY => 250 };

my %opt = (rounds => 15, connections => 64,
    only => 'unix,tcp,tls,link');
GetOptions(\%opt, 'rounds=i', 'connections=i', 'only=s', 'rate=i') or exit 2;

my $paced = compiled('t/bench/paced.c', '-lm');
my $bench = Pinaud::Bench->new;
my $redis = $bench->redis;
my $link = free_port();

my %ways = (unix => ['unix socket', $redis->url],
    tcp => ['TCP', $redis->tcp_url],
    tls => ['TLS', $redis->tls_url],
    link => ['TCP, 0.5 ms more', "redis://127.0.0.1:$link"]);

my @ways = split /,/, $opt{only};
$ways{$_} or give_up("no such way: $_") for @ways;

my $relay = spawn([compiled('t/bench/relay.c'), $link, $redis->port,
    ONE_WAY], log => $bench->dir . '/relay');

my $bare = $bench->proxy('bare', 'http', start => 1);
my %gateways = map { ($_ => $bench->proxy('gateway', 'http', start => 1,
    redis => $ways{$_}[1])) } @ways;

my @workers = map { $_->workers } $bare, values %gateways;

place(0, @workers, $relay);
place(1, $redis->pid, $bench->upstream->workers, $$);
real_time(1, @workers, $bench->upstream->workers);
real_time(2, $redis->pid);
real_time(3, $relay);

$bench->alike($bare, $_) for values %gateways;

printf "%d connections, ms%20s %14s %14s  %s\n", $opt{connections}, '',
    'proxy_pass', 'gateway', 'p99 added';
printf "%-17s %6s %6s %7s %6s %7s %6s %6s  %s\n", '', qw(peak rate p50 p99
    p50 p99), 'median', 'quartiles';

# it takes time even while nothing passes
kill 'STOP', $relay;

for my $way (@ways) {
    kill 'CONT', $relay if $way eq 'link';
    row($way);
    kill 'STOP', $relay;
}


sub row {
    my $way = shift;

    my $gateway = $gateways{$way};
    my $peak = median(map { phase($gateway, 0)->{rate} } 1 .. PEAKS);
    my $rate = $opt{rate} // $peak / 2;
    my (%all, @added);

    for my $round (1 .. $opt{rounds}) {
        my %now;

        $now{$_} = phase($_ eq 'bare' ? $bare : $gateway, $rate)
            for $round % 2 ? qw(bare gateway) : qw(gateway bare);

        for my $kind (keys %now) {
            push @{ $all{$kind}{$_} }, $now{$kind}{$_} for qw(p50 p99);
        }

        push @added, $now{gateway}{p99} - $now{bare}{p99};
    }

    my ($least, $most) = (sort { $a <=> $b } @added)[@added / 4,
        @added * 3 / 4];

    printf "%-17s %6.0f %6.0f %7.3f %6.3f %7.3f %6.3f %6.3f  %.3f to %.3f\n",
        $ways{$way}[0], $peak, $rate, map({ my $kind = $_;
            map { median(@{ $all{$kind}{$_} }) } qw(p50 p99) }
            qw(bare gateway)), median(@added), $least, $most;
}


# One phase: requests a second, and percentiles in ms.

sub phase {
    my ($nginx, $rate) = @_;

    sleep PAUSE;

    my ($exit, $output) = run_command([soon(1, $paced, $nginx->port('http'),
        $opt{connections}, $rate, PHASE, $bench->path, $bench->bodies)],
        timeout => 20);

    my %value = $output =~ /(\w+)=(\d+)/g;

    give_up("paced: exit $exit: $output") if $exit || !$value{requests};
    give_up("$value{failed} of $value{requests} failed:\n" . $nginx->log)
        if $value{failed};

    return { rate => $value{requests} / $value{us} * 1e6,
        map { ($_ => $value{$_} / 1e6) } qw(p50 p99) };
}
