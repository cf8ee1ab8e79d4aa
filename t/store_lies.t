#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A Redis that answers nonsense, half of it, too much of it, or what nobody
# asked for: no request gets through on the strength of that, each ends in
# time, and the next one is served when Redis is sane again.

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
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } },
    http => 'pinaud_redis_timeout 300ms;');

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $slack = 4;


sub create { post($gw, $path, $body, @growth, @_) }


sub up {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r;
    ok wait_until(sub { ($r = create())->{status} == 200 }, 5), $name
        or diag $r->{body};
    $gw->arrived;
}


sub down {
    my ($name, $n) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for (1 .. $n // 3) {
        my $r = create();
        refused $r, 'store-unavailable', $name;
        cmp_ok $r->{elapsed}, '<', 0.3 + $slack, "$name: in time";
    }

    untouched $gw, "$name: nothing arrives";
}


sub sockets {
    my ($worker) = $gw->nginx->workers;

    return scalar grep { (readlink($_) // '') =~ /^socket:/ }
        glob "/proc/$worker/fd/*";
}


up 'at first';
my $sockets = sockets();


# nonsense. Nothing of it is a reason to let a request through

my $now = int(time() * 1000);
my $text = sub {
    my ($text, $token, $admitted, $reserved) = @_;
    $token //= '';
    $admitted //= 1;
    $reserved //= 0;

    return "*4\r\n\$" . length($text) . "\r\n$text\r\n\$" . length($token)
        . "\r\n$token\r\n:$admitted\r\n:$reserved\r\n";
};

my @nonsense = (
    ['garbage', "garbage\r\n"],
    ['NUL', "\0\0\0\0\r\n\r\n"],
    ['HTTP', "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ['a string', "+OK\r\n"],
    ['a number', ":0\r\n"],
    ['nil', "\$-1\r\n"],
    ['no array', "*-1\r\n"],
    ['an empty array', "*0\r\n"],
    ['an array of nils', "*3\r\n\$-1\r\n\$-1\r\n\$-1\r\n"],
    ['an array of a negative length', "*-5\r\n"],
    ['an array that is too large', "*2147483647\r\n"],
    ['an array of many', "*100000000\r\n"],
    ['one that is larger still', "*99999999999999999999\r\n"],
    ['deep arrays', "*1\r\n" x 30],
    ['an error without a text', "-\r\n"],
    ['two replies', "+OK\r\n+OK\r\n"],
    ['no version', $text->("0 $now", 'token')],
    ['an empty verdict', $text->('', 'token')],
    ['an unknown verdict', $text->("9 $now 1 0", 'token')],
    ['a negative verdict', $text->("-1 $now 1 0", 'token')],
    ['a long verdict', $text->('0' x 100000 . " $now 1 0", 'token')],
    ['more admitted than asked', $text->("0 $now 1 0", 'token', 17)],
    ['more by a reserve than admitted', $text->("0 $now 1 0", 'token', 1, 2)],
    ['fewer than none', $text->("0 $now 1 0", 'token', -1)],
    ['no clock', $text->('4 0 0 0')],
    ['a clock that is off', $text->('4 9223372036854775807 0 0')],
    ['a clock that overflows', $text->('4 99999999999999999999 0 0')],
    ['a limit of too long a window',
        $text->("1 $now 1 0 c 1 9223372036854775790 0 1")],
    ['a limit of too many',
        $text->("1 $now 1 0 c 9223372036854775790 1 0 1")],
    ['half a limit', $text->("1 $now 1 0 c 1 1")],
    ['too many limits', $text->("1 $now 1 0" . ' c 1 1 0 1' x 50)],
);

for my $case (@nonsense) {
    my ($name, $bytes) = @$case;

    $gw->evil->mode('answer', bytes => $bytes, only => 'EVALSHA|EVAL');
    my $start = time();
    down $name, 1;
    $gw->evil->mode('pass');
    up "$name: over";
    cmp_ok time() - $start, '<', 0.3 + $slack, "$name: soon";
}

# a token that is none

for my $case (['a token of the wrong form', 'token'],
    ['no token', ''], ['a token that is too long', 'x' x 20000],
    ['a sealed token cut off', "\1\2k1" . 'x' x 10])
{
    my ($name, $token) = @$case;

    $gw->evil->mode('answer', bytes => $text->("0 $now 1 0", $token),
        only => 'EVALSHA|EVAL');
    refused create(), 'credential-unavailable', $name;
    $gw->evil->mode('pass');
    untouched $gw, "$name: nothing arrives";
}

# the same where the account is asked for

for my $case (@nonsense[0, 3 .. 5, 7 .. 10, 13, 15]) {
    my ($name, $bytes) = @$case;

    $gw->nginx->reload;
    $gw->evil->mode('answer', bytes => $bytes, only => 'HMGET');
    down "policy: $name", 1;
    $gw->evil->mode('pass');
    up "policy: $name: over";
}

# and at the greeting

for my $case (@nonsense[0, 2, 3, 8, 10, 15]) {
    my ($name, $bytes) = @$case;

    $gw->evil->mode('answer', bytes => $bytes);
    $gw->evil->drop;
    my $r = create();
    $gw->evil->mode('pass');
    isnt $r->{status}, 200, "greeting: $name";
    untouched $gw, "greeting: $name: nothing arrives";
    up "greeting: $name: over";
}

# endings at the wrong place

for my $mode (['half', bytes => 7], ['cut', bytes => 7], ['close'], ['reset'],
    ['cut', bytes => 30])
{
    my $name = join ' ', @$mode;

    for my $only ('EVALSHA|EVAL', 'HMGET', 'PING') {
        $gw->nginx->reload if $only eq 'HMGET';
        $gw->evil->mode(@$mode, only => $only);
        $gw->evil->drop if $only eq 'PING';

        my $start = time();
        my $r = create();
        isnt $r->{status}, 200, "$name of $only";
        cmp_ok time() - $start, '<', 1.3 + $slack, "$name of $only: in time";
        $gw->evil->mode('pass');
        up "$name of $only: over";
    }
}

$gw->evil->mode('trickle', seconds => 0.0002);
up 'byte by byte';

# a flood while a reply is due, and while none is

for my $bytes ("*16\r\n" x 200000, '$9999999' . "\r\n" . 'x' x 1000000,
    "+OK\r\n" x 100000, '*' x 1000000)
{
    $gw->evil->mode('answer', bytes => $bytes, only => 'EVALSHA|EVAL');
    down 'a flood', 1;
    $gw->evil->mode('pass');
    up 'a flood is over';
}


# nothing is left behind

wait_until(sub { sockets() <= $sockets }, 5);
cmp_ok sockets(), '<=', $sockets, 'no socket is left open';

finish();
