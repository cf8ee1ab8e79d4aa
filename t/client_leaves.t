#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A client that leaves, at each step of a request: what is logged, that what
# was charged for nothing is given back and what was sent is not, and that
# nothing is left behind in the worker.

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
use Time::HiRes qw(sleep);

my $gw = Pinaud::Gateway->new(evil => 1,
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } },
    http => 'pinaud_redis_timeout 5s;');

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $h2 = Pinaud::Nginx->has('http_v2_module');
my $logged = 0;


# The next line of the access log, of those that are calls.

sub logged {
    my @lines;

    wait_until(sub {
        @lines = grep { $_->{account} } $gw->access_log;
        @lines > $logged;
    }, 8);

    return $lines[$logged++] // {};
}


sub logged_is {
    my ($name, $status, $outcome) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $line = logged();
    is(($line->{status} // '') . ' ' . ($line->{outcome} // ''),
        "$status $outcome", "$name: $status, $outcome");
}


# Ways to send all of a request or a part, and to leave.

sub begin {
    my ($way, $text) = @_;

    my $c = Pinaud::HTTP->connect($gw);
    $c->send($text);

    return sub { $way eq 'close' ? $c->close : $c->abort };
}


sub begin_h2 {
    my ($way, %opt) = @_;

    my $c = Pinaud::HTTP2->connect($gw);
    my $id = $c->open('POST', $path, @growth, %opt);
    $c->data($id, substr($body, 0, 10), 0) if $opt{open};
    $c->ping;

    return sub {
        return $c->abort if $way eq 'an aborted connection';
        $c->reset($id);
        $c->ping;
        $c->close;
    };
}


# Each way to leave: a name, and a request that was sent whole.

my $whole = Pinaud::HTTP::head('POST', $path, body => $body, @growth) . $body;

my @ways = (
    ['a close', sub { begin('close', $whole) }],
    ['a reset', sub { begin('abort', $whole) }],
    $h2 ? (
        ['RST_STREAM', sub { begin_h2('reset', body => $body) }],
        ['an aborted connection', sub {
            begin_h2('an aborted connection', body => $body) }],
    ) : (),
);

created post($gw, $path, $body, @growth), 'it works';
logged();
my $charged = 1;
$gw->arrived;


# half of the body

my $half = Pinaud::HTTP::head('POST', $path, body => $body, @growth)
    . substr $body, 0, 10;
my $chunk = Pinaud::HTTP::head('POST', $path, body => $body, chunked => 1,
    @growth) . "a\r\n" . substr $body, 0, 10;
my $expect = Pinaud::HTTP::head('POST', $path, body => $body, expect => 1,
    @growth);

for my $part ([half => $half], ['a chunk' => $chunk],
    ['after 100 Continue' => $expect])
{
    for my $way (qw(close abort)) {
        my $leave = begin($way, $part->[1]);
        sleep 0.05;
        $leave->();
        logged_is "$part->[0], $way", 400, 'abandoned';
    }
}

if ($h2) {
    for my $way ('reset', 'an aborted connection') {
        begin_h2($way, open => 1, type => 'application/json')->();
        logged_is "half over HTTP/2, $way", 499, 'abandoned';
    }
}

untouched $gw, 'nothing of a half body arrives';


# while its account is read, and while it waits for admission

my %waits = (
    'the policy is read' => ['HMGET', sub { $gw->nginx->reload }],
    'Redis is asked' => ['EVALSHA|EVAL', sub {}],
);

for my $wait (sort keys %waits) {
    my ($command, $before) = @{ $waits{$wait} };

    $before->();
    $gw->evil->mode('delay', seconds => 0.4, only => $command);

    my @leave = map { $_->[1]->() } @ways;

    wait_until(sub {
        my @asked = @{ $gw->evil->commands($command) };
        @asked >= ($command eq 'HMGET' ? 1 : @ways);
    }, 3);
    sleep 0.05;
    $_->() for @leave;

    logged_is "while $wait", 499, 'abandoned' for @ways;
    $gw->evil->forget;

    $gw->evil->mode('pass');
    $gw->used_is($charged, "while $wait: nothing stays charged", 3);
    untouched $gw, "while $wait: nothing arrives";

    created post($gw, $path, $body, @growth), 'the next one is served';
    logged();
    $charged++;
    $gw->arrived;
    $gw->evil->forget;
}


# while the connection to Redis is made

$gw->evil->mode('silence');
$gw->evil->drop;
sleep 0.3;

my @leave = map { $_->[1]->() } @ways;
sleep 0.1;
$_->() for @leave;
logged_is 'while Redis is connected to', 499, 'abandoned' for @ways;
$gw->evil->mode('pass');

wait_until(sub { $gw->metrics->{pinaud_store_up} }, 5);
created post($gw, $path, $body, @growth), 'the next one is served';
$gw->used_is(++$charged, 'while Redis is connected to: nothing is charged', 3);
logged();
$gw->arrived;


# while Pinterest answers: it was sent, whoever left

for my $way (@ways) {
    $gw->sim->fault(kind => 'delay', seconds => 0.3);

    my $leave = $way->[1]->();
    my @there;
    wait_until(sub { @there = $gw->arrived }, 3);
    $leave->();

    logged_is "while Pinterest answers, $way->[0]", 200, 'forwarded';
    $gw->used_is(++$charged, "while Pinterest answers, $way->[0]: stays charged", 3);
    is scalar(@there) + $gw->arrived, 1, 'it arrived once';
}

# while Pinterest does not answer, and never will

$gw->{proxy} = { proxy_read_timeout => '300ms' };
$gw->nginx->conf($gw->http)->reload;
$gw->sim->fault(kind => 'silence');
my $leave = begin('close', $whole);
wait_until(sub { $gw->arrived }, 3);
$leave->();
logged_is 'no answer', 504, 'unknown';
$gw->used_is(++$charged, 'no answer: stays charged', 3);

# where a client's leaving is not ignored

$gw->{proxy} = { proxy_ignore_client_abort => 'off' };
$gw->nginx->conf($gw->http)->reload;
$gw->arrived;

$gw->sim->fault(kind => 'delay', seconds => 1);
$leave = begin('close', $whole);
wait_until(sub { $gw->arrived }, 3);
$leave->();
logged_is 'not ignored', 499, 'unknown';
$gw->used_is(++$charged, 'not ignored: what was sent stays charged', 3);


# while a read is answered, whose answer is large

$gw->sim->clear_faults;
$gw->sim->fault(kind => 'error', status => 200,
    body => '{"items":"' . 'x' x 3000000 . '"}');
my $c = Pinaud::HTTP->connect($gw);
$c->send(Pinaud::HTTP::head('GET', $path, @growth));
sleep 0.2;
$c->abort;
my $line = logged();
is $line->{operation}, 'audiences/list', 'a read that is left is logged';


# and nothing is left

is $gw->metrics->{'pinaud_requests_total{operation="audiences/create",'
    . 'outcome="abandoned"}'}, 6 + ($h2 ? 2 : 0) + 3 * @ways,
    'abandoned requests are counted';

created post($gw, $path, $body, @growth), 'it works as before';

my ($worker) = $gw->nginx->workers;
my $sockets = sub {
    scalar grep { (readlink($_) // '') =~ /^socket:/ }
        glob "/proc/$worker/fd/*";
};

my $before = $sockets->();

for (1 .. 20) {
    $_->[1]->()->() for @ways;
}

wait_until(sub { $sockets->() <= $before }, 5);
cmp_ok $sockets->(), '<=', $before, 'no socket is left open';

finish();
