#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Processes come and go while requests are at each of their steps: reload,
# quit, a killed worker, a fast stop. Answers are not lost, nothing is left
# open, counters stay.

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

my $gw = Pinaud::Gateway->new(evil => 1,
    accounts => { account() => { limits => ['100000/60s'],
        teams => { growth => [] } } },
    limits => ['100000/60s'], limits_all => ['100000/1s'],
    http => 'pinaud_redis_timeout 5s;', nginx => { workers => 2 });

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $whole = Pinaud::HTTP::head('POST', $path, body => $body, @growth) . $body;
my $half = length($whole) - 10;


sub begin {
    my $c = Pinaud::HTTP->connect($gw);

    $c->send($_[0] // $whole);
    return $c;
}


sub counted {
    my $metrics = $gw->metrics;

    return $metrics->{'pinaud_requests_total{operation="audiences/create",'
        . 'outcome="forwarded"}'};
}


# A request is counted a moment after it is answered.

sub counted_is {
    my ($expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $counted;
    wait_until(sub { ($counted = counted()) == $expected }, 2);
    is $counted, $expected, $name;
}


# All processes of this nginx.

sub processes {
    my $pid = $gw->nginx->{pid};

    return $pid, split ' ', slurp("/proc/$pid/task/$pid/children");
}


sub descriptors {
    my $sum = 0;
    $sum += () = glob "/proc/$_/fd/*" for processes();

    return $sum;
}


# Steps of a request: what makes it stay there, and what lets it go on.

my @steps = (
    ['its body is read', sub { begin(substr $whole, 0, $half) },
        sub { $_[0]->send(substr $whole, $half) }],
    ['its policy is read', sub {
        $gw->nginx->reload;
        $gw->evil->forget;
        $gw->evil->mode('delay', seconds => 0.5, only => 'HMGET');
        my $c = begin();
        wait_until(sub { @{ $gw->evil->commands('HMGET') } }, 3);
        return $c;
    }, sub {}],
    ['Redis is asked', sub {
        $gw->evil->forget;
        $gw->evil->mode('delay', seconds => 0.5, only => 'EVALSHA|EVAL');
        my $c = begin();
        wait_until(sub { @{ $gw->evil->commands('EVALSHA|EVAL') } }, 3);
        return $c;
    }, sub {}],
    ['Redis is connected to', sub {
        $gw->evil->mode('silence');
        $gw->evil->drop;
        sleep 0.2;
        my $c = begin();
        sleep 0.1;
        return $c;
    }, sub { $gw->evil->mode('pass') }],
    ['Pinterest answers', sub {
        $gw->sim->fault(kind => 'delay', seconds => 0.5);
        $gw->arrived;
        my $c = begin();
        wait_until(sub { $gw->arrived }, 3);
        return $c;
    }, sub {}],
);


created post($gw, $path, $body, @growth), 'it works';
my $expected = 1;


# a reload at each step: the old worker finishes what it has

for my $step (@steps) {
    my ($name, $begin, $go_on) = @$step;

    my %old = map { $_ => 1 } processes();
    my $c = $begin->();
    my @old = $gw->nginx->workers;
    $gw->nginx->reload;
    $go_on->($c);

    created $c->response, "reload while $name";
    $c->close;
    $gw->evil->mode('pass');
    $expected++;

    ok wait_until(sub {
        my %now = map { $_ => 1 } processes();
        !grep { $now{$_} } @old;
    }, 8), "reload while $name: the old workers end";

    counted_is $expected, "reload while $name: counters stay";
}

$gw->arrived;


# a graceful quit at each step

for my $step (@steps) {
    my ($name, $begin, $go_on) = @$step;

    my $c = $begin->();
    my $pid = $gw->nginx->{pid};
    kill 'QUIT', $pid;
    sleep 0.1;
    $go_on->($c);

    created $c->response, "quit while $name";
    $c->close;
    $gw->evil->mode('pass');

    $gw->nginx->stop;
    ok !kill(0, $pid), "quit while $name: ended";
    $gw->nginx->start;
}


# a fast stop: the client is told, or its connection ends

for my $step (@steps) {
    my ($name, $begin) = @$step;

    my $c = $begin->();
    my $pid = $gw->nginx->{pid};

    stop_process(delete $gw->nginx->{pid}, 'TERM', 8);
    ok !kill(0, $pid), "TERM while $name: ended";

    my $r = $c->response(timeout => 3);
    isnt $r->{status}, 200, "TERM while $name: not taken for done";
    isnt $r->{error} // '', 'no answer in time', "TERM while $name: told";
    $c->close;

    $gw->evil->mode('pass');
    $gw->nginx->start;
}

$gw->sim->clear_faults;


# workers that are killed: others take over, the zone stays whole

$gw->nginx->allow(qr/exited on signal 9/);
created post($gw, $path, $body, @growth), 'before a kill';
my $before = 1;
counted_is 1, 'counted';

for my $n (1 .. 3) {
    my @c = map { begin(substr $whole, 0, $half) } 1 .. 4;
    $gw->nginx->kill_worker('KILL');
    wait_until(sub { 2 == (() = $gw->nginx->workers) }, 5);

    for my $c (@c) {
        $c->send(substr $whole, $half);
        $before++ if $c->response->{status} == 200;
        $c->close;
    }

    created post($gw, $path, $body, @growth), "served after a kill, $n";
    counted_is ++$before, "counters stay, $n";
    ok $gw->metrics->{pinaud_store_up}, "Redis is up, $n";
}


# many reloads and losses of Redis: descriptors and memory stay

$gw->nginx->reload for 1 .. 3;
wait_until(sub { 3 == (() = processes()) }, 8);
my $sum = $before;
$sum += grep { post($gw, $path, $body, @growth)->{status} == 200 } 1 .. 4;
my $descriptors = descriptors();
counted_is $sum, 'counters before 50 reloads';

for my $n (1 .. 50) {
    $gw->nginx->reload;
    $gw->evil->drop if $n % 3 == 0;

    if ($n % 10 == 0) {
        $gw->evil->mode('refuse');
        sleep 0.1;
        $sum++ if post($gw, $path, $body, @growth)->{status} == 200;
        $gw->evil->mode('pass');
    }
}

ok wait_until(sub { 3 == (() = processes()) }, 10), 'no worker lingers';
ok wait_until(sub { post($gw, $path, $body, @growth)->{status} == 200 }, 5),
    'it works after 50 reloads';
$sum++;
$sum += grep { post($gw, $path, $body, @growth)->{status} == 200 } 1 .. 4;
wait_until(sub { descriptors() <= $descriptors }, 3);
cmp_ok descriptors(), '<=', $descriptors, 'no descriptor is left open';
counted_is $sum, 'counters survived';

unlike $gw->nginx->log, qr/open socket|aborting/, 'no open socket is left';


# a reload that fails leaves everything as it is

my $conf = $gw->http;
$gw->nginx->conf($conf =~ s/pinaud_seal_key_file \S+;/pinaud_seal_key_file x;/r);
$gw->nginx->allow(qr/pinaud_seal_key_file/);
kill 'HUP', $gw->nginx->{pid};
ok $gw->nginx->wait_log(qr/"pinaud_seal_key_file" can't be used/, 5),
    'a reload with a wrong file says so';
created post($gw, $path, $body, @growth), 'and the old one goes on';


# another size of the zone begins anew, and works

$gw->nginx->conf($conf =~ s/(pinaud_seal_key_file)/pinaud_zone 1m; $1/r)
    ->reload;
created post($gw, $path, $body, @growth), 'another zone';
counted_is 1, 'its counters begin anew';


# one process

$gw->nginx->stop;
my $single = Pinaud::Gateway->new(with => $gw, nginx => { master => 0 });
created post($single, $path, $body, @growth), 'without a master process';
$single->nginx->stop;
pass 'which ends in order';

finish();
