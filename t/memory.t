#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A worker's memory and descriptors over many requests of every outcome, and
# the largest and worst bodies through HTTP.
#
# PINAUD_LONG=1: 200,000 requests instead of 30,000.

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

my $total = $ENV{PINAUD_LONG} ? 200000 : 30000;
my $settled = 10000;

my $gw = Pinaud::Gateway->new(
    limits => ['1000000/60s'], limits_all => ['1000000/1s'],
    upstream => 'http', evil => 1,
    http => 'keepalive_requests 1000000; pinaud_redis_timeout 2s;',
    accounts => { account() => { limits => [],
        teams => { growth => [], brand => ['1/1h'] } } });

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');

my $path = create_path;
my ($worker) = $gw->nginx->workers;


# What the worker holds by itself, in KB.

sub memory {
    my %kb = slurp("/proc/$worker/smaps_rollup") =~ /^(\w+): +(\d+) kB/mg;

    return $kb{Private_Dirty} + ($kb{Swap} // 0);
}


sub descriptors { scalar(() = glob "/proc/$worker/fd/*") }


# The mix: most of them refused, which the gateway answers by itself; some are
# admitted and forwarded.

my $edited = body(rule => { visitor_source_id => ['1'],
    retention_days => '30' });
my $large = body(description => 'x' x 20000);
my $h = \&Pinaud::HTTP::head;

my @mix = map { ref $_ ? @$_ : $_ } (
    [map { $h->('POST', $path, body => $_, team => 'growth') . $_ }
        body(), $edited, $large],
    [map { $h->('POST', $path, body => $_, team => 'growth') . $_ }
        body(name => ''), '{', body(x => 1), '{"a":' x 40, body(rule => {}),
        '[1]', body(name => "\x{fffd}")],
    [map { $h->('POST', $path, body => $_, team => 'growth',
        headers => ['Pinaud-Dry-Run: ?1']) . $_ } body(), $edited],
    $h->('POST', $path, body => body(), chunked => 30, team => 'growth',
        headers => ['Pinaud-Dry-Run: ?1']) . Pinaud::HTTP::chunks(body(), 30),
    $h->('POST', $path, body => body(), team => 'brand') . body(),
    $h->('POST', $path, body => body(), team => 'nobody') . body(),
    $h->('POST', $path, body => body()) . body(),
    $h->('POST', create_path('9'), body => body(), team => 'growth') . body(),
    $h->('POST', "$path/", body => body(), team => 'growth') . body(),
    $h->('POST', $path, body => body(), team => 'growth', type => 'a/b')
        . body(),
    $h->('PUT', $path, body => body(), team => 'growth') . body(),
    $h->('GET', '/v5/user_account', team => 'growth'),
    $h->('GET', $path, team => 'nobody'),
    $h->('GET', '/metrics'),
);

my %status;


sub run {
    my $n = shift;

    # nginx keeps a little for each request until a connection's end

    my $c = Pinaud::HTTP->connect($gw, timeout => 20);

    for (my $done = 0; $done < $n; $done += @mix) {
        $c->send(join '', @mix);
        $status{$c->response->{status}}++ for @mix;
    }

    $c->close;
    sleep 0.2;
}


my $start = time();
my @kb;
my $step = $settled / 2;
my $done = 0;

# lists grow with what was created: the simulator's own record is kept small

while ($done < $total) {
    run($step);
    $done += $step;
    push @kb, memory();
    $gw->sim->forget;

    # a loss of Redis and an aborted client are parts of the mix

    if ($done % $settled == 0) {
        $gw->evil->drop;
        my $gone = Pinaud::HTTP->connect($gw);
        $gone->send(substr $mix[2], 0, 10000);
        $gone->abort;
    }
}

diag sprintf '%d requests in %.1f s; KB: %s', $total, time() - $start,
    join ' ', @kb;
diag join ', ', map { "$_: $status{$_}" } sort keys %status;

is join(' ', grep { !$status{$_} } 200, 400, 401, 403, 404, 405, 415, 429),
    '', 'requests of these outcomes';
is join(' ', grep { /^(?:0|5..)$/ } sort keys %status), '',
    'and of no other' or diag explain \%status;

# a sanitizer keeps what was freed

my $sanitized = Pinaud::Nginx->has('-fsanitize');
my $at_first = $kb[$settled / $step - 1];

cmp_ok $kb[-1] - $at_first, '<', 200, 'memory is flat after the first'
    if !$sanitized;

my $descriptors = descriptors();
run(1000);
cmp_ok descriptors(), '<=', $descriptors + 1, 'descriptors, too';


# the worst bodies

my $object = sub {
    my ($name, @members) = @_;
    return '{"name":"N","audience_type":"VISITOR","rule":{'
        . '"visitor_source_id":"1"},' . join(',', @members) . '}';
};

my %bodies = (
    '1 MB of white space' => [200,
        ' ' x 1000000 . body()],
    '1 MB of a string' => [200, body(description => 'x' x 1000000)],
    '1 MB of escapes' => [200, $object->(N => '"description":"'
        . '\u00e4' x 160000 . '"')],
    '1 MB of brackets' => [400, '[' x 1000000],
    '1 MB of objects' => [400, '{"a":' x 200000],
    '10,000 members' => [400, $object->(N => map { "\"m$_\":1" } 1 .. 10000)],
    '100,000 duplicate names' => [400,
        $object->(N => ('"dup":1') x 100000)],
    '100,000 names of one hash, if it had no key' => [400,
        $object->(N => map { sprintf '"%08x":0', $_ * 65536 } 1 .. 70000)],
    '32 levels' => [400, '{"a":' x 31 . '[]' . '}' x 31],
    '33 levels' => [400, '{"a":' x 32 . '[]' . '}' x 32],
    '100,000 ids' => [200, custom_body(rule => { seed_id =>
        [map { 1000000 + $_ } 1 .. 2] }) =~ s/\[[^]]*\]/'['
        . join(',', map { "\"$_\"" } 1 .. 100000) . ']'/er],
    '100,000 errors' => [400, custom_body(rule => { seed_id => [1] })
        =~ s/\[[^]]*\]/'[' . join(',', ('1') x 100000) . ']'/er],
    '1 MB of digits' => [200, body(rule => { visitor_source_id => '1',
        event => 'x', event_data => { value => 1 } })
        =~ s/"value":1/'"value":' . '9' x 300 . '.' . '1' x 900000/er],
);

for my $name (sort keys %bodies) {
    my ($status, $body) = @{ $bodies{$name} };

    my $target = $body =~ /seed_id/ ? custom_path : $path;
    my $start = time();
    my $r = post($gw, $target, $body, team => 'growth', timeout => 30);

    is $r->{status}, $status, $name or diag $r->{error} // '',
        substr $r->{body}, 0, 500;
    cmp_ok time() - $start, '<', 10, "$name: in time";
    cmp_ok length $r->{body}, '<', 20000, "$name: a short answer"
        if $status == 400;
}

# at most eight times the body for the check, the body and what is sent, and
# as much again by malloc's ways

cmp_ok memory() - $kb[-1], '<', 25000, 'and the memory is given back'
    if !$sanitized;
run(1000);
ok $gw->metrics->{pinaud_store_up}, 'it works as before';
is join(' ', $gw->nginx->workers), $worker, 'it is the same worker';

finish();
