#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A client leaves, nginx reloads, quits or loses a worker, at each step of a
# request: while its body comes, while Redis is asked, while Pinterest answers.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $gw = Pinaud::Gateway->new(evil => 1, http => 'pinaud_redis_timeout 2s;',
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } },
    nginx => { workers => 2, allow => qr/exited on signal 9/ });

my $path = create_path;
my @growth = (team => 'growth');
my $body = body();
my $http2 = Pinaud::Nginx->has('http_v2_module');


# Each step begins a request and returns when it is there: the connection, and
# what goes on with it.

my %steps = (
    body => sub {
        my $c = Pinaud::HTTP->connect($gw);
        $c->send(Pinaud::HTTP::head('POST', $path, body => $body, @growth)
            . substr $body, 0, 10);
        sleep 0.05;
        return ($c, sub { $c->send(substr $body, 10); $c->response });
    },

    redis => sub {
        $gw->evil->forget;
        $gw->evil->mode('delay', seconds => 0.4, only => 'EVALSHA|EVAL',
            times => 1);
        my $c = Pinaud::HTTP->connect($gw);
        $c->send(Pinaud::HTTP::head('POST', $path, body => $body, @growth)
            . $body);
        wait_until(sub { @{ $gw->evil->commands('EVALSHA|EVAL') } }, 2)
            or die 'Redis was not asked';
        return ($c, sub { $c->response });
    },

    pinterest => sub {
        my $before = $gw->sim->requests;
        $gw->sim->fault(kind => 'delay', seconds => 0.4);
        my $c = Pinaud::HTTP->connect($gw);
        $c->send(Pinaud::HTTP::head('POST', $path, body => $body, @growth)
            . $body);
        wait_until(sub { $gw->sim->requests > $before }, 2)
            or die 'Pinterest was not asked';
        return ($c, sub { $c->response });
    },
);

if ($http2) {
    $steps{'body, HTTP/2'} = sub {
        my $c = Pinaud::HTTP2->connect($gw);
        my $id = $c->open('POST', $path, open => 1, length => length $body,
            @growth);
        $c->data($id, substr $body, 0, 10);
        sleep 0.05;
        return ($c, sub {
            $c->data($id, substr($body, 10), 1);
            $c->response($id);
        });
    };

    for my $step ('redis', 'pinterest') {
        $steps{"$step, HTTP/2"} = sub {
            my $before = $gw->sim->requests;

            $gw->evil->forget;
            $gw->evil->mode('delay', seconds => 0.4, only => 'EVALSHA|EVAL',
                times => 1) if $step eq 'redis';
            $gw->sim->fault(kind => 'delay', seconds => 0.4)
                if $step eq 'pinterest';

            my $c = Pinaud::HTTP2->connect($gw);
            my $id = $c->open('POST', $path, body => $body, @growth);

            wait_until(sub { $step eq 'redis'
                ? scalar @{ $gw->evil->commands('EVALSHA|EVAL') }
                : $gw->sim->requests > $before }, 2) or die 'not asked';

            return ($c, sub { $c->response($id) });
        };
    }
}

# policy and scripts are known to both workers from here on
for (1 .. 20) { post($gw, $path, $body, @growth) }
$gw->arrived;
my $used = $gw->used;


# the client leaves

for my $way ('close', 'abort') {
    for my $name (sort keys %steps) {
        my ($c) = $steps{$name}->();
        $c->$way;

        my $sent = $name =~ /^pinterest/ ? 1 : 0;

        sleep 0.6;
        $gw->evil->mode('pass');
        $used += $sent;

        $gw->used_is($used, "$way, $name: " . ($sent ? 'stays charged'
            : 'nothing is charged'), 2);
        is scalar($gw->arrived), $sent, "$way, $name: arrived";
    }
}

if ($http2) {
    for my $name (grep { /HTTP/ } sort keys %steps) {
        my ($c) = $steps{$name}->();
        $c->reset(1);
        ok $c->ping, "reset of a stream, $name: the connection lives";

        my $sent = $name =~ /^pinterest/ ? 1 : 0;

        sleep 0.6;
        $gw->evil->mode('pass');
        $used += $sent;

        $gw->used_is($used, "reset of a stream, $name: "
            . ($sent ? 'stays charged' : 'nothing is charged'), 2);
        is scalar($gw->arrived), $sent, "reset of a stream, $name: arrived";
    }
}


# what Pinterest answered to nobody is known, the others were never sent

my $metrics = $gw->metrics;
my $left = 2 * keys(%steps) + grep { /HTTP/ } keys %steps;
my $sent = 2 * grep({ /^pinterest/ } keys %steps) + ($http2 ? 1 : 0);

for my $case ([forwarded => 20 + $sent], [abandoned => $left - $sent]) {
    my ($outcome, $count) = @$case;

    is $metrics->{'pinaud_requests_total{operation="audiences/create",'
        . qq(outcome="$outcome"})}, $count, "counted: $outcome";
}


# a reload: who is there is served by the old workers

for my $name (sort keys %steps) {
    my ($c, $go_on) = $steps{$name}->();
    my @old = $gw->nginx->workers;

    $gw->nginx->reload;
    created $go_on->(), "reload, $name";
    arrived_ok $gw, $body, "reload, $name: arrived";
    $gw->used_is(++$used, "reload, $name: charged once", 2);
    $c->close;
    $gw->evil->mode('pass');

    ok wait_until(sub { !grep { -e "/proc/$_" } @old }, 5),
        "reload, $name: the old workers end";
}

created post($gw, $path, $body, @growth), 'after the reloads';
$used++;
$gw->arrived;


# nginx quits: the same, and it ends

for my $name (sort keys %steps) {
    my ($c, $go_on) = $steps{$name}->();
    my $pid = $gw->nginx->{pid};

    kill 'QUIT', $pid;
    sleep 0.05;

    created $go_on->(), "quit, $name";
    arrived_ok $gw, $body, "quit, $name: arrived";
    $gw->used_is(++$used, "quit, $name: charged once", 2);
    $c->close;
    $gw->evil->mode('pass');

    ok wait_until(sub { !alive($pid) }, 5), "quit, $name: ends";

    delete $gw->nginx->{pid};
    $gw->nginx->start;
}


# a worker is killed: what it had admitted stays charged, the others go on

for my $name (grep { !/HTTP/ } sort keys %steps) {
    my ($c, $go_on) = $steps{$name}->();
    my @workers = $gw->nginx->workers;

    kill 'KILL', @workers;
    ok wait_until(sub { 2 == grep { my $pid = $_;
        !grep { $_ == $pid } @workers } $gw->nginx->workers }, 5),
        "kill, $name: new workers";

    is $go_on->()->{status}, 0, "kill, $name: no answer";
    $gw->evil->mode('pass');
    sleep 0.5;

    created post($gw, $path, $body, @growth), "kill, $name: the next is served";
    $used += $name eq 'body' ? 1 : 2;
    $gw->used_is($used, "kill, $name: nothing is lost nor counted twice", 2);
    $gw->arrived;
}

is $gw->evil->connections, 2, 'one connection to Redis for each worker';

finish();
