#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Three gateways of four workers each, hammered: by the record of what arrived
# at Pinterest no window holds more than the limit, and hardly less.
#
# PINAUD_LONG=1: for a longer time.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my ($n, $window) = (100, 3);
my $windows = $ENV{PINAUD_LONG} ? 20 : 5;
my $clients = 16;

my $gw = Pinaud::Gateway->new(nginx => { workers => 4 },
    limits => ['100000/60s'], limits_all => ['100000/1s'], upstream => 'http',
    accounts => { account() => { limits => ["$n/${window}s"],
        teams => { growth => [], brand => [] } } });

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');

my @fleet = ($gw, map { Pinaud::Gateway->new(with => $gw,
    upstream => 'http', nginx => { workers => 4 }) } 1 .. 2);

my $path = create_path;
my $body = body();
my @requests = map { Pinaud::HTTP::head('POST', $path, body => $body,
    team => $_) . $body } qw(growth brand);


# Each client asks as often as it is answered, with a little pause after a
# refusal: the two cores are the gateways' and Redis's, too.

my (@clients, %status);
my $end = time() + 1.06 * $windows * $window;

for my $i (0 .. $clients - 1) {
    my $c = Pinaud::HTTP->connect($fleet[$i % @fleet]);
    push @clients, { c => $c, at => 0, i => $i };
}

my $asked = 0;

sub ask {
    my $client = shift;

    if ($client->{asked}++ % 900 == 899) {
        $client->{c}->close;
        $client->{c} = Pinaud::HTTP->connect($fleet[$client->{i} % @fleet]);
    }

    $client->{c}->send($requests[$asked++ % @requests]);
    $client->{busy} = 1;
}

while (time() < $end) {
    my $now = time();
    my $select = IO::Select->new;

    for my $client (@clients) {
        ask($client) if !$client->{busy} && $client->{at} <= $now;
        $select->add($client->{c}{socket}) if $client->{busy};
    }

    my %ready = map { fileno($_) => 1 } $select->can_read(0.005);

    for my $client (grep { $ready{fileno $_->{c}{socket}} } @clients) {
        my $r = $client->{c}->response;

        $status{$r->{status}}++;
        $client->{busy} = 0;
        $client->{at} = $r->{status} == 200 ? 0 : time() + 0.02;
    }
}

for my $client (grep { $_->{busy} } @clients) {
    my $r = $client->{c}->response;
    $status{$r->{status}}++;
}

$_->{c}->close for @clients;


my @times = sort { $a <=> $b } map { $_->{time} } $gw->arrived;

diag join ', ', map { "$_: $status{$_}" } sort keys %status;

is join(' ', grep { $_ != 200 && $_ != 429 } sort keys %status), '',
    'every request was admitted or refused';
is scalar(@times), $status{200}, 'what was admitted arrived, and no more';
cmp_ok $status{429}, '>', $status{200}, 'they were hammered';


# The most that any window holds. Requests are charged some time before they
# arrive: what is late can move into a window, by as much as it is late. The
# scripts' ring leaves a fortieth of the window for that.

my ($most, $from) = (0, 0);

for my $to (0 .. $#times) {
    $from++ while $times[$to] - $times[$from] >= $window;
    $most = $to - $from + 1 if $to - $from + 1 > $most;
}

cmp_ok $most, '<=', $n, "never more than $n in any window of $window s";


# How long it takes to be admitted N times more, again and again.

my $rounds = int($#times / $n);
my $took = $times[$rounds * $n] - $times[0];
my $used = $rounds * $window / $took;

diag sprintf '%d rounds of %d in %.2f s: %.1f %% of the limit, at most %d in '
    . 'a window', $rounds, $n, $took, 100 * $used, $most;
cmp_ok $rounds, '>=', $windows, 'for as many windows';
cmp_ok $used, '>=', 0.95, 'at least 95 % of the limit is used';

my ($exit, $usage) = $gw->ctl('usage', account);
like $usage, qr/^account \d+ +$n\/${window}s/m, 'usage goes by the same limit';

my @workers;

for my $gateway (@fleet) {
    my $metrics = $gateway->metrics;
    push @workers, $metrics->{'pinaud_requests_total{operation='
        . '"audiences/create",outcome="forwarded"}'};
}

is scalar(grep { $_ == 0 } @workers), 0, 'each gateway took part';

finish();
