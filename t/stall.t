#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Thousands of requests wait on a Redis that stands still for three seconds:
# those that may wait that long are all answered once it goes on, those that
# may not are refused in their time, and then it works as before.
#
# With PINAUD_LONG=1 there are 5,000, else 500.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $clients = $ENV{PINAUD_LONG} ? 5000 : 500;
my $stall = 3;
my $slack = 6;

my $gw = Pinaud::Gateway->new(limits => ['1000000/60s'],
    limits_all => ['1000000/1s'], http => 'pinaud_redis_timeout 10s;',
    nginx => { connections => 2 * $clients + 100, patience => 20,
        main => 'worker_rlimit_nofile ' . (2 * $clients + 200) . ';' });

my @growth = (team => 'growth');

# Dry runs ask Redis one by one, and nobody else.

my $request = Pinaud::HTTP::head('POST', create_path, body => body(), @growth,
    headers => ['Pinaud-Dry-Run: ?1']) . body();


# All ask while Redis stands still; what they were answered, and when the last
# one was, from when it goes on.

sub stalled {
    my ($name) = @_;

    my (@c, %status);

    $gw->redis->pause;
    my $begun = time();

    for (1 .. $clients) {
        push @c, Pinaud::HTTP->connect($gw, timeout => 30);
        $c[-1]->send($request);
    }

    my $left = $begun + $stall - time();
    sleep $left if $left > 0;
    $gw->redis->resume;

    my $resumed = time();
    $status{ $_->response->{status} }++ for @c;
    my $took = time() - $resumed;
    $_->close for @c;

    diag sprintf '%s: %d requests, the last %.2f s after Redis went on', $name,
        $clients, $took;

    return \%status, $took;
}


created post($gw, create_path, body(), @growth), 'it works';

my ($status, $took) = stalled('patient');
is_deeply $status, { 200 => $clients }, 'those that may wait are all answered'
    or diag explain $status;
cmp_ok $took, '<', $slack, 'soon';
unlike $gw->nginx->log, qr/is unavailable/, 'on one connection';

$gw->{http} = 'pinaud_redis_timeout 300ms;';
$gw->restart_nginx;
created post($gw, create_path, body(), @growth), 'it works';

($status) = stalled('impatient');
is_deeply $status, { 503 => $clients }, 'those that may not are refused'
    or diag explain $status;

ok wait_until(sub {
    post($gw, create_path, body(), @growth)->{status} == 200
}, 5), 'and it works again';

finish();
