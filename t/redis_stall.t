#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Redis stalls for three seconds while thousands of connections wait on it:
# each of them is answered, within the timeout or when Redis goes on, and
# counted once; memory returns. What is outstanding is bounded: behind that
# requests fail at once. And a worker that is to end does not wait for ever.
#
# PINAUD_LONG=1: 5,000 connections instead of 1,000, and more rounds.

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

my ($n, $rounds) = $ENV{PINAUD_LONG} ? (5000, 4) : (1000, 2);
my $sanitized = ($ENV{PINAUD_NGINX} // '') =~ /asan/;
my $slack = 4;

more_files(3 * $n + 500);

my $files = 'worker_rlimit_nofile ' . (3 * $n + 500) . ';';
my $many = 2 * $n + 200;

# Pinterest's place, where as many come at once
my $quick = Pinaud::Nginx->new(load => 0, start => 1, connections => $many,
    main => $files, http => <<'CONF');
    server {
        listen 127.0.0.1:%%PORT:http%% backlog=8192;
        location / { return 200 "{}"; }
    }
CONF

my $gw = Pinaud::Gateway->new(
    limits => ['none'], limits_all => ['none'],
    accounts => { account() => { limits => ['1000000/3600s'],
        teams => { growth => [] } } },
    nginx => { connections => $many, main => $files },
    locations => '
        location /v5/ {
            pinaud on;
            pinaud_team $http_x_team;
            proxy_pass http://' . $quick->address . ';
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }');

my $body = body();
my $text = Pinaud::HTTP::head('POST', create_path, body => $body,
    team => 'growth') . $body;

# Creates ask Redis together, dry runs one by one.
my $dry_run = Pinaud::HTTP::head('POST', create_path, body => $body,
    team => 'growth', headers => ['Pinaud-Dry-Run: ?1']) . $body;


# The gateway anew, with other times.

sub with {
    my ($http, $main) = @_;

    $gw->{http} = $http;
    $gw->nginx->{main} = $files . ($main // '');
    $gw->restart_nginx;
    served('it works');
}


sub served {
    my $name = shift;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r;
    ok wait_until(sub { ($r = post($gw, create_path, $body, team => 'growth'))
        ->{status} == 200 }, 5), $name or diag $r->{body};
}


# The most that the worker ever had, in KB: what is free by then may be kept.

sub memory {
    my ($worker) = $gw->nginx->workers;

    return slurp("/proc/$worker/status") =~ /^VmHWM:\s+(\d+)/m ? $1 : 0;
}


sub sockets {
    my ($worker) = $gw->nginx->workers;

    return scalar grep { (readlink($_) // '') =~ /^socket:/ }
        glob "/proc/$worker/fd/*";
}


# Everybody asks while Redis stands still; how often each status was the
# answer, and the seconds until the last.

sub stalled {
    my $request = shift;

    my @c = map { Pinaud::HTTP->connect($gw, timeout => 30) } 1 .. $n;

    $gw->redis->pause;

    my $start = time();
    $_->send($request) for @c;

    # it goes on by itself, while answers are waited for
    my $pid = $gw->redis->pid;
    daemon(sub {
        my $left = $start + 3 - time();
        sleep $left if $left > 0;
        kill 'CONT', $pid;
    });

    my %status;
    $status{ $_->response->{status} }++ for @c;
    my $took = time() - $start;
    $_->close for @c;

    note sprintf 'the last answer after %.2f s', $took;

    my $left = $start + 3.2 - time();
    sleep $left if $left > 0;

    return (\%status, $took);
}


# Those who wait for less are told in time, none of them is served

with('pinaud_redis_timeout 800ms;');

my $sockets = sockets();
my $before = $gw->used;
my @memory;

for my $round (1 .. $rounds) {
    my ($status, $took) = stalled($text);

    is_deeply $status, { 503 => $n }, "$n wait for less, $round: all refused";
    cmp_ok $took, '<', 0.8 + $slack, "$n wait for less, $round: in time";
    served("$n wait for less, $round: and then it works");
    $before++;
    push @memory, memory();
}

my ($status, $took) = stalled($dry_run);
is_deeply $status, { 503 => $n }, "$n dry runs wait for less: all refused";
cmp_ok $took, '<', 0.8 + $slack, "$n dry runs wait for less: in time";
served("$n dry runs wait for less: and then it works");
$before++;

is $gw->used, $before, 'what nobody waited for is not counted';


# Those who wait for longer are served

with('pinaud_redis_timeout 15s;');
$gw->nginx->mark;
$before++;

for my $round (1 .. $rounds) {
    my ($status, $took) = stalled($text);

    is_deeply $status, { 200 => $n }, "$n wait for longer, $round: all served";
    cmp_ok $took, '<', 8 + $slack, "$n wait for longer, $round: soon";
    served("$n wait for longer, $round: and it works");
    push @memory, memory();
}

is $gw->used - $before, $rounds * ($n + 1), 'each counted once';

($status, $took) = stalled($dry_run);
is_deeply $status, { 200 => $n }, "$n dry runs wait for longer: all served";
cmp_ok $took, '<', 8 + $slack, "$n dry runs wait for longer: soon";
unlike $gw->nginx->log_since, qr/is unavailable/, 'all on one connection';
ok wait_until(sub { sockets() <= $sockets }, 5), 'no socket is left open';
note "KB: @memory";

SKIP: {
    skip 'the memory is of sanitizers', 2 if $sanitized;

    # What a wave took, more than 10 KB a request, is not lost to the next. It
    # varies how much of the heap one touches.
    my $most = ($rounds - 1) * $n * 4;

    cmp_ok $memory[$rounds - 1] - $memory[0], '<', $most,
        'refused: memory returns';
    cmp_ok $memory[-1] - $memory[$rounds], '<', $most,
        'served: memory returns';
}


# A bound on what is outstanding: of clients that left, too. Dry runs have each
# a question of their own, and long names make them large.

my ($credential, $team) = ('c' x 64, 't' x 64);

$gw->must_ctl(qw(credential put), $credential,
    qw(--access-token-file - --expires-in 86400), \'token');
$gw->must_ctl(qw(account put 7 --credential), $credential);
$gw->must_ctl(qw(team put), $team, qw(--account 7 --limit 1000000/60s));
with('pinaud_redis_timeout 30s;');

sub ask {
    return post($gw, create_path(7), $body, team => $team, @_);
}

my @dry = (headers => ['Pinaud-Dry-Run: ?1']);
my $question = Pinaud::HTTP::head('POST', create_path(7), body => $body,
    team => $team, @dry) . $body;
my ($asked, $refused, @c) = (0);

is ask(@dry)->{status}, 200, 'a large question';
$gw->redis->pause;

while (!$refused && $asked < 100000) {
    push @c, my $c = Pinaud::HTTP->connect($gw);
    $c->send($question);
    $asked++;

    next if @c < 1000;

    $c = shift @c;
    $refused = $c->response if IO::Select->new($c->{socket})->can_read(0);
    $c->abort;
}

$_->abort for @c;
refused $refused, 'store-unavailable', 'at last one is refused';
note "$asked questions, " . memory() . ' KB';
cmp_ok memory(), '<', 200000, 'with so much memory' if !$sanitized;

for my $kind (['a dry run', @dry], ['a create']) {
    my ($name, @more) = @$kind;
    my $r = ask(@more);

    refused $r, 'store-unavailable', "$name behind the bound";
    cmp_ok $r->{elapsed}, '<', 2, "$name behind the bound: at once";
}

$gw->redis->resume;

ok wait_until(sub { ask(@dry)->{status} == 200 }, 10), 'then it goes on';
ok wait_until(sub { sockets() <= $sockets }, 5), 'and no socket is left open';


# A worker that is to end while Redis stands still does so in time

for my $signal ('HUP', 'QUIT') {
    with('pinaud_redis_timeout 30s;', 'worker_shutdown_timeout 1s;');
    $gw->nginx->mark;
    $gw->redis->pause;

    my $c = Pinaud::HTTP->connect($gw);
    my ($worker) = $gw->nginx->workers;
    my $pid = $gw->nginx->{pid};
    my $start = time();

    $c->send($text);
    sleep 0.3;
    kill $signal, $pid;

    my $r = $c->response(timeout => 5);
    isnt $r->{status}, 200, "$signal: not taken for served";
    isnt $r->{error} // '', 'no answer in time', "$signal: told";
    ok wait_until(sub { !-e "/proc/$worker" }, 5), "$signal: the worker ends";
    cmp_ok time() - $start, '<', 1.3 + $slack, "$signal: in time";
    unlike $gw->nginx->log_since, qr/open socket|aborting/,
        "$signal: nothing is left open";

    $gw->redis->resume;

    if ($signal eq 'QUIT') {
        ok wait_until(sub { !alive($pid) }, 5), 'QUIT: the master ends';
        delete $gw->nginx->{pid};
        $gw->nginx->start;
    }

    served("$signal: and then it works");
}

finish();
