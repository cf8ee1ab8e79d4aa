#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Redis by TLS: the server is always verified, by chain and by name; the
# gateway shows its own certificate; what goes wrong is told in one line and
# refused with 503; nothing is lost where records are cut anywhere.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Loop;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::TLS;
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(sleep time);

my ($dir, @services);
my $tls = Pinaud::TLS->new;
my $other = Pinaud::TLS->new;
my @node = $tls->node('localhost', '127.0.0.1', '::1', 'redis.example');

my $redis = Pinaud::Redis->new(tls => [@node, $tls->ca], password => 'pw',
    config => "user gate on >gate-pw ~* +\@all\n");
my $port = $redis->tls_port;

my $gw = Pinaud::Gateway->new(redis => $redis, limits => ['10000/60s'],
    limits_all => ['10000/1s'], nginx => { start => 0 },
    ctl => ['--redis-password-file', file('pw', "pw\n")]);
my @growth = (team => 'growth');
my $ca = 'pinaud_redis_ssl_trusted_certificate ' . $tls->ca . ';';
my $password = 'pinaud_redis_password_file ' . file('pw', "pw\n") . ';';


sub file {
    my ($name, $text) = @_;

    $dir //= temp_dir('redis_tls');
    spew("$dir/$name", $text, 0600);

    return "$dir/$name";
}


sub create { post($gw, create_path, body(), @growth, @_) }


# The gateway with another way to Redis.

sub with {
    my ($url, $http, $timeout) = @_;

    $gw->{redis_url} = $url;
    $http .= ' pinaud_redis_connect_timeout 4s;'
        if $http !~ /connect_timeout/;
    $gw->{http} = 'pinaud_redis_timeout ' . ($timeout // '1s') . ";\n$http";
    $gw->nginx->mark;
    $gw->restart_nginx;
}


sub works {
    my ($name, $url, $http) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    with($url, $http);
    created create(), $name;
    is scalar(() = $gw->nginx->log_since =~ /\[error\]/g), 0,
        "$name: no line of the log";
}


sub fails {
    my ($name, $reason, $url, $http) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    with($url, $http);
    wait_until(sub { $gw->nginx->log_since =~ /is unavailable/ }, 8);

    for (1 .. 2) {
        my $r = create();
        refused $r, 'store-unavailable', $name;
        cmp_ok $r->{elapsed}, '<', 4, "$name: in time";
    }

    sleep 0.3;
    my @lines = $gw->nginx->log_since =~ /\[error\] .*?(pinaud: .*)/g;
    is "@lines", "pinaud: store \"$url\" is unavailable: $reason",
        "$name: one line";
}


# who is trusted

works('by the address', "rediss://127.0.0.1:$port", "$ca $password");
works('by the name', "rediss://localhost:$port", "$ca $password");
works('by IPv6', "rediss://[::1]:$port", "$ca $password");
works('by another name', "rediss://127.0.0.1:$port",
    "$ca $password pinaud_redis_ssl_name redis.example;");
works('another user, another database', "rediss://gate\@127.0.0.1:$port/0",
    "$ca pinaud_redis_password_file " . file('gate', 'gate-pw') . ';');

fails('nobody vouches for it', 'certificate is not trusted',
    "rediss://127.0.0.1:$port", $password);
fails('another CA', 'certificate is not trusted', "rediss://127.0.0.1:$port",
    "$password pinaud_redis_ssl_trusted_certificate @{[ $other->ca ]};");
fails('another name', 'certificate is for another name',
    "rediss://127.0.0.1:$port",
    "$ca $password pinaud_redis_ssl_name redis.invalid;");
fails('no TLS there', 'TLS handshake failed',
    'rediss://127.0.0.1:' . $gw->nginx->port('http'), "$ca $password");
fails('a Redis without TLS, which waits for more', 'connect timed out',
    $redis->tcp_url =~ s/redis/rediss/r,
    "$ca $password pinaud_redis_connect_timeout 1s;");
fails('nobody there', 'connect failed', 'rediss://127.0.0.1:' . free_port(),
    "$ca $password");


# a server that never answers the handshake

my $hole = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16)
    or die "listen: $!";

fails('silence', 'connect timed out', 'rediss://127.0.0.1:'
    . $hole->sockport, "$ca $password pinaud_redis_connect_timeout 300ms;");


# a certificate that has ended

my $expired = Pinaud::Redis->new(
    tls => [$tls->server({ days => 0 }, '127.0.0.1'), $tls->ca]);
sleep 1.1;

fails('an expired certificate', 'certificate has expired', $expired->tls_url,
    $ca);


# its own certificate

my $strict = Pinaud::Redis->new(tls => [@node, $tls->ca, 'yes']);
my ($cert, $key) = $tls->client('gateway');
my ($strange, $strange_key) = $other->client('gateway');

fails('none of its own', 'TLS refused', $strict->tls_url, $ca);
fails('one of another CA', 'TLS refused', $strict->tls_url,
    "$ca pinaud_redis_ssl_certificate $strange; "
    . "pinaud_redis_ssl_certificate_key $strange_key;");

with($strict->tls_url, "$ca pinaud_redis_ssl_certificate $cert; "
    . "pinaud_redis_ssl_certificate_key $key;");
refused create(), 'forbidden', 'its own: an empty Redis knows no account';


# lost and found

with("rediss://127.0.0.1:$port", "$ca $password");
created create(), 'before it is lost';

$redis->kill;
refused create(), 'store-unavailable', 'lost';
$redis->start;
$gw->enrol;
ok wait_until(sub { create()->{status} == 200 }, 5), 'and found';
is scalar(() = $gw->nginx->log_since =~ /is unavailable/g), 1,
    'its loss is told once';
is scalar(() = $gw->nginx->log_since =~ /is back/g), 1, 'its return, too';


# idle clients are dropped by Redis, and a worker connects again without a word

$gw->nginx->mark;
$redis->cmd(qw(CLIENT KILL TYPE normal SKIPME yes));
created create(), 'after an idle connection was closed';
unlike $gw->nginx->log_since, qr/\[error\]/, 'nothing to tell';


# whole scripts of many requests, through a slow way

my $relay = relay($port);
my @teams = map { "team$_" } 1 .. 40;

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');
$gw->{accounts}{+account}{teams} = { map { $_ => [] } 'growth', @teams };
$gw->enrol;

with("rediss://127.0.0.1:$relay", "$ca $password", '5s');
created create(), 'through a slow way';

for my $round (1 .. 2) {
    my @clients = map { Pinaud::HTTP->connect($gw) } @teams;

    $redis->cmd(qw(SCRIPT FLUSH)) if $round > 1;
    $clients[$_]->send(Pinaud::HTTP::head('POST', create_path,
        body => body(), team => $teams[$_]) . body()), sleep 0.002
        for 0 .. $#teams;

    my %status;
    $status{ $_->response->{status} }++ for @clients;
    is_deeply \%status, { 200 => scalar @teams }, "all are answered ($round)";
}

unlike $gw->nginx->log_since, qr/is unavailable/, 'on one connection';

finish();


# Copies bytes both ways; takes little at a time from who connects.

sub relay {
    my ($to) = @_;

    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp')
        or die "socket: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096;
    listen $socket, 16;

    my $service = Pinaud::Loop->launch(sub {
        my $loop = shift;

        $loop->listen($socket, sub {
            my $client = shift;
            my $server = $loop->connect("127.0.0.1:$to")
                or return $client->reset;

            for ([$client, $server], [$server, $client]) {
                my ($from, $other) = @$_;

                $from->{on_data} = sub {
                    $other->write($from->{in});
                    $from->{in} = '';

                    return if $from != $client;
                    $from->hold(1);
                    $loop->after(0.001, sub { $from->hold(0) });
                };
                $from->{on_end} = sub { $other->finish };
            }
        });

        return sub { };
    });

    push @services, $service;
    return $socket->sockport;
}
