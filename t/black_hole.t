#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A router between the gateway and Redis drops their packets without a word, in
# network namespaces of this test's own, which go with its processes: what
# passes meanwhile is at most the allowance, no window ever holds more than the
# limit, and all is well within a second of the router's recovery.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::Hammer;
use Pinaud::HTTP;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

use constant { GATEWAY => '10.77.1.1', NEAR => '10.77.1.2', FAR => '10.77.2.1',
    REDIS => '10.77.2.2' };
use constant FORWARD => 'echo 1 > /proc/sys/net/ipv4/ip_forward';

# Everything that this test starts is in a namespace without a network.

if (!$ENV{PINAUD_NAMESPACE}) {
    my $why = missing();
    plan skip_all => $why if $why;

    $ENV{PINAUD_NAMESPACE} = 1;
    exec 'unshare', '--net', $^X, "-I$FindBin::Bin/lib", $0
        or die "unshare: $!\n";
}


sub missing {
    for my $tool (qw(unshare nsenter ip)) {
        return "there is no $tool" if !grep { -x "$_/$tool" }
            split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin';
    }

    my ($exit) = run_command(['unshare', '--net', 'sh', '-c',
        'ip link add v0 type veth peer name v1 && ' . FORWARD]);

    return $exit && 'this user, or kernel, may not make network namespaces';
}


sub run {
    my ($exit, $output) = run_command([@_]);

    die "@_: $output" if $exit;
}

sub at { my $ns = shift; run('nsenter', '--net', '--target', $ns, @_) }


# A namespace is one as long as its process lives; an interface in it.

sub namespace {
    my $pid = spawn(['unshare', '--net', 'sleep', 300]);

    wait_until(sub { (readlink("/proc/$pid/ns/net") // '')
        ne readlink '/proc/self/ns/net' }) or die 'no namespace';

    return $pid;
}

sub interface {
    my ($ns, $name, $address) = @_;

    at($ns, 'ip', 'address', 'add', "$address/24", 'dev', $name);
    at($ns, 'ip', 'link', 'set', $name, 'up');
}


my ($router, $remote) = (namespace(), namespace());

run(qw(ip link set lo up));
at($remote, qw(ip link set lo up));

run(qw(ip link add gateway type veth peer name near netns), $router);
at($router, qw(ip link add far type veth peer name redis netns), $remote);

interface($$, 'gateway', GATEWAY);
interface($router, 'near', NEAR);
interface($router, 'far', FAR);
interface($remote, 'redis', REDIS);

at($router, 'sh', '-c', FORWARD);
run(qw(ip route add), REDIS, 'via', NEAR);
at($remote, qw(ip route add), GATEWAY, 'via', FAR);

sub hole { at($router, qw(ip route), $_[0] ? 'add' : 'delete', 'blackhole',
    REDIS) }


# ------------------------------------------------------------------ the gateway

my $dir = temp_dir('namespace');
my ($n, $window, $units) = (60, 2, 5);

spew("$dir/redis-server", "#!/bin/sh\nexec nsenter --net --target $remote"
    . " redis-server \"\$@\"\n", 0755);

my $gw = do {
    local $ENV{PINAUD_REDIS_SERVER} = "$dir/redis-server";

    Pinaud::Gateway->new(upstream => 'http',
        redis => { port => 6379,
            config => 'bind ' . REDIS . "\nprotected-mode no\n" },
        redis_url => 'redis://' . REDIS . ':6379',
        limits => ['10000/60s'], limits_all => ['none'],
        accounts => { account() => { limits => ["$n/${window}s"],
            teams => { growth => [] } } },
        http => "pinaud_outage_allowance $units;"
            . ' pinaud_redis_timeout 200ms;'
            . ' pinaud_redis_connect_timeout 500ms;');
};

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');


sub create { post($gw, create_path, body, team => 'growth') }

sub metric { $gw->metrics->{"pinaud_outage_$_[0]"} }

sub hold {
    ok wait_until(sub { sleep 0.2; create();
        metric('allowance_requests') == $units }, 6), 'units are held';
}


created create(), 'by way of the router';
hold();


# one after the other

hole(1);

my $start = time();
my $socket = IO::Socket::INET->new(PeerAddr => REDIS, PeerPort => 6379,
    Timeout => 0.3);

ok !$socket && time() - $start >= 0.3, 'nobody tells that nothing gets through';

$gw->arrived;

my @answers = map { create() } 1 .. $units + 4;

is join(' ', map { $_->{status} } @answers),
    join(' ', (200) x $units, (503) x 4), 'the allowance goes on, no more';
cmp_ok $_->{elapsed}, '<', 2, 'each in time' for @answers;
refused $answers[-1], 'store-unavailable', 'then it is told';
is scalar(my @passed = $gw->arrived), $units, 'so many arrive';
is metric('requests_total'), $units, 'they are counted';
is metric('allowance_requests'), 0, 'nothing is left';

hole(0);
$start = time();
ok wait_until(sub { create()->{status} == 200 }, 5), 'it is over';
cmp_ok time() - $start, '<', 1, 'within a second';
hold();


# as fast as can be, before, meanwhile and after

my @ends = map { time() + $_ } 1.3 * $window, 2.9 * $window;
my @holes;
$gw->arrived;

my $status = hammer([$gw], [Pinaud::HTTP::head('POST', create_path,
    body => body(), team => 'growth') . body()], 5 * $window,
    meanwhile => sub {
        return if !@ends || time() < $ends[0];

        shift @ends;
        hole(scalar @ends);
        push @holes, time();
    });

my @times = sort { $a <=> $b } map { $_->{time} } $gw->arrived;
my @meanwhile = grep { $_ > $holes[0] + 0.02 && $_ < $holes[1] } @times;
my ($next) = grep { $_ >= $holes[1] } @times;

diag join ', ', map { "$_: $status->{$_}" } sort keys %$status;

is join(' ', sort keys %$status), '200 429 503', 'no other answers';
is scalar(@times), $status->{200}, 'what was admitted arrived, and no more';
is scalar(@meanwhile), $units, 'in the hole the allowance, no more';
cmp_ok $next - $holes[1], '<', 1, 'it goes on within a second';
cmp_ok densest(\@times, $window), '<=', $n,
    "never more than $n in any window of $window s";
cmp_ok densest(\@times, $window), '>=', $n - $units, 'and as many as may be';

finish();
