#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Every way in which Redis, or what stands for it, can break, as one table.
# Of each: what the client gets and how soon, that nothing reaches Pinterest on
# the strength of it, that the next request after it is right, one line of the
# log for each change of state, no busy loop, no descriptor and no memory left.
#
# PINAUD_LONG=1: 1,000 rounds, and a reset at each byte of a reply.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Faults;
use Pinaud::Gateway qw(account create_path body finish);
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $long = $ENV{PINAUD_LONG};
my $sanitized = ($ENV{PINAUD_NGINX} // '') =~ /asan/;
my $now = int(time() * 1000);

# An answer of the admission script

sub verdict {
    my ($text, $token, $admitted, $reserved) = @_;

    return bulks(4, $text, $token // '') . ':' . ($admitted // 1) . "\r\n:"
        . ($reserved // 0) . "\r\n";
}

sub bulks {
    my ($n, @texts) = @_;

    return "*$n\r\n" . join '', map { '$' . length($_) . "\r\n$_\r\n" } @texts;
}

sub answer { ['answer', bytes => $_[0]] }
sub error { ['error', text => $_[0]] }

# Name, how the evil one is, and when: "g" at the greeting of a connection,
# "p" where an account's policy is asked for, "a" where admission is. Capital
# letters: only this request is concerned, the store stays up. "s": it is
# silent, so the client waits for the whole timeout.

my @faults = (
    # nobody, or nobody who answers
    ['nobody listens', ['refuse'], 'g'],
    ['a black hole', ['black_hole'], 'gpas'],
    ['nobody accepts', ['silence', accept => 0], 'gs'],
    ['an end', ['close'], 'gpa'],
    ['a reset', ['reset'], 'gpa'],
    ['half a reply', ['half', bytes => 7], 'gpas'],
    ['half a reply and a reset', ['cut', bytes => 7], 'gpa'],
    ['most of a reply and a reset', ['cut', bytes => 30], 'gpa'],

    # errors of the whole store
    (map { [(split ' ', $_)[0], error($_), 'gPa'] }
        'LOADING Redis is loading', 'READONLY replica', 'NOAUTH x',
        'NOPERM x', 'MASTERDOWN x'),
    ['WRONGPASS', error('WRONGPASS x'), 'gPA'],
    (map { [(split ' ', $_)[0], error($_), 'a'] }
        'OOM command not allowed', 'BUSY script', 'MISCONF x'),

    # and others
    ['WRONGTYPE', error('WRONGTYPE of secret'), 'PA'],
    ['an unknown error', error('ERR unknown secret'), 'gPA'],
    ['an error without a text', error(''), 'gPA'],
    ['an error of terminals', error("\e[31m \x00\xff secret"), 'gPA'],
    ['NOSCRIPT again and again', error('NOSCRIPT no'), 'A'],

    # no Redis
    ['garbage', answer("garbage\r\n"), 'gpa'],
    ['NUL', answer("\0\0\0\0\r\n\r\n"), 'ga'],
    ['HTTP', answer("HTTP/1.1 400 Bad Request\r\n\r\n"), 'gpa'],
    ['TLS', answer("\x15\x03\x03\x00\x02\x02\x46"), 'gpa'],

    # other types
    ['a string', answer("+OK\r\n"), 'PA'],
    ['a number', answer(":0\r\n"), 'gPA'],
    ['nil', answer("\$-1\r\n"), 'gPA'],
    ['no array', answer("*-1\r\n"), 'gPA'],
    ['an empty array', answer("*0\r\n"), 'gPA'],
    ['an array of nils', answer("*3\r\n\$-1\r\n\$-1\r\n\$-1\r\n"), 'A'],

    # numbers out of range
    ['a number that overflows', answer(':' . '9' x 30 . "\r\n"), 'gpa'],
    ['a number that is none', answer(":1x\r\n"), 'gpa'],
    ['a negative length', answer("\$-5\r\n"), 'gpa'],
    ['an array of a negative length', answer("*-5\r\n"), 'gpa'],

    # too long, too deep, too many
    ['512 MB', answer("\$536870912\r\n"), 'gpas'],
    ['512 MB that come', answer("\$536870912\r\n" . 'x' x 1e6), 'ga'],
    ['an array of many', answer("*100000000\r\n"), 'gpa'],
    ['one that is too large', answer("*2147483647\r\n"), 'a'],
    ['one that is larger still', answer("*99999999999999999999\r\n"), 'pa'],
    ['deep arrays', answer("*1\r\n" x 30), 'gpa'],
    ['a flood of arrays', answer("*16\r\n" x 200000), 'a'],
    ['a long line', answer('*' x 1e6), 'a'],

    # that nobody asked for
    ['two replies', answer("+OK\r\n+OK\r\n"), 'a'],
    ['a flood of replies', answer("+OK\r\n" x 100000), 'a'],

    # verdicts that are none
    ['no version', answer(verdict("0 $now", 'token')), 'A'],
    ['an empty verdict', answer(verdict('', 'token')), 'A'],
    ['an unknown verdict', answer(verdict("9 $now 1 0", 'token')), 'A'],
    ['a negative verdict', answer(verdict("-1 $now 1 0", 'token')), 'A'],
    ['a long verdict', answer(verdict('0' x 1e5 . " $now 1 0", 'token')), 'a'],
    ['more admitted than asked', answer(verdict("0 $now 1 0", 'token', 17)),
        'A'],
    ['more by a reserve than admitted',
        answer(verdict("0 $now 1 0", 'token', 1, 2)), 'A'],
    ['fewer than none', answer(verdict("0 $now 1 0", 'token', -1)), 'A'],
    ['no clock', answer(verdict('4 0 0 0')), 'A'],
    ['a clock that is off', answer(verdict('4 9223372036854775807 0 0')),
        'A'],
    ['a clock that overflows', answer(verdict('4 99999999999999999999 0 0')),
        'A'],
    ['a limit of too long a window',
        answer(verdict("1 $now 1 0 c 1 9223372036854775790 0 1")), 'A'],
    ['a limit of too many',
        answer(verdict("1 $now 1 0 c 9223372036854775790 1 0 1")), 'A'],
    ['half a limit', answer(verdict("1 $now 1 0 c 1 1")), 'A'],
    ['too many limits', answer(verdict("1 $now 1 0" . ' c 1 1 0 1' x 50)),
        'A'],
);

# A policy is asked for where an account is new: each fault has its own.

my @accounts = map { 1000 + $_ } grep { $faults[$_][2] =~ /p/i } 0 .. $#faults;

my $faults = Pinaud::Faults->new(timeout => 200, accounts => { map {
    ($_ => { limits => ['100000/60s'], teams => { growth => [] } })
    } account, @accounts }, limits => ['100000/60s'], limits_all => ['none']);

my ($gw, $evil, $nginx) = ($faults->gw, $faults->evil, $faults->nginx);
my %only = (p => 'HMGET', a => 'EVALSHA|EVAL');
my %moments = (g => 'greeting', p => 'policy', a => 'admission');

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');
$faults->up('at first');
my $sockets = $faults->sockets;


sub begin {
    my ($mode, $when) = @_;

    my ($name, %opt) = @$mode;

    $opt{only} = $only{$when} if $only{$when};
    $evil->mode($name, %opt);
    $evil->drop if $when eq 'g';
}


for my $i (0 .. $#faults) {
    my ($fault, $mode, $flags) = @{ $faults[$i] };
    my $silent = $flags =~ s/s//;

    for my $moment (split //, $flags) {
        my $when = lc $moment;
        my $name = "$fault, $moments{$when}";

        $nginx->mark;
        $evil->forget;
        begin($mode, $when);

        my @took = $faults->down($name, $silent ? 1 : 2,
            account => $when eq 'p' ? 1000 + $i : account);

        cmp_ok $took[0], '<', $faults->timeout, "$name: at once" if !$silent;

        my $lines = $moment eq $when ? 1 : 0;
        my $told = $faults->said('is unavailable');

        # what is silent may be known for it only later
        ok $told == $lines || $silent && !$told, "$name: told $lines times"
            or diag $nginx->log_since;
        is $faults->said('\[(?:warn|error|crit|alert)\].* pinaud: '), $told,
            "$name: and nothing else" if $lines && $fault !~ /replies/;
        is $faults->said('secret|\e'), 0, "$name: and only its first word";
        cmp_ok scalar @{ $evil->commands('EVAL') }, '<=', 2,
            "$name: no script again and again";

        $evil->mode('pass');
        $faults->up("$name: over");

        is $faults->said('is back'), $faults->said('is unavailable'),
            "$name: each loss was told with its return"
            or diag $nginx->log_since;
    }
}

# an error of one request: its first word is told

$nginx->mark;
begin(error('WRONGTYPE of secret'), 'a');
$faults->down('WRONGTYPE', 1);
is $faults->said('refused an admission: "WRONGTYPE"'), 1, 'its word is told';
$evil->mode('pass');


# tokens that are none are of the credential, not of the store

for my $case (['of the wrong form', 'token'], ['none', ''],
    ['too long', 'x' x 20000], ['cut off', "\1\2k1" . 'x' x 10])
{
    my ($name, $token) = @$case;

    begin(answer(verdict("0 $now 1 0", $token)), 'a');
    refused $faults->create, 'credential-unavailable', "a token: $name";
    untouched $gw, "a token: $name: nothing arrives";
}

$evil->mode('pass');
$faults->up('tokens again');

# slow bytes, which come in time

$evil->mode('trickle', seconds => 0.0002);
$faults->up('byte by byte');
$evil->mode('pass');

# a reset at each byte of each reply: of the greeting, of a policy, of an
# admission. What is whole before it is good

my %length = (PING => 7, TIME => 36, HMGET => 60, 'EVALSHA|EVAL' => 260);
my $account = 0;

for my $only (sort keys %length) {
    my $step = $long ? 1 : int($length{$only} / 8) || 1;

    for (my $n = 0; $n <= $length{$only}; $n += $step) {
        my $name = "$only cut at $n";

        $evil->mode('cut', bytes => $n, only => $only, times => 1);
        $evil->drop if $only =~ /PING|TIME/;

        my $r = $faults->create($only eq 'HMGET'
            ? (account => $accounts[$account++ % @accounts]) : ());
        my @arrived = $gw->arrived;

        is scalar @arrived, $r->{status} == 200 ? 1 : 0,
            "$name: $r->{status}";
        cmp_ok $r->{elapsed}, '<', $faults->timeout + $faults->slack,
            "$name: in time";
        refused $r, 'store-unavailable', $name if $r->{status} != 200;

        $evil->mode('pass');
        $faults->up("$name: over");
    }
}

# replies that nobody asked for, while nothing is due

for my $bytes ("+OK\r\n", "*3\r\n", "garbage\r\n", "+OK\r\n" x 100000, 'x' x 1e6)
{
    my $name = 'unasked for: ' . substr $bytes, 0, 3;

    $nginx->mark;
    $evil->inject($bytes);
    wait_until(sub { $faults->said('is unavailable') }, 0.3);
    $faults->up("$name: over");
    cmp_ok $faults->said('is unavailable'), '<=', 1, "$name: told once";
}

# no busy loop, however it is down

for my $case (['nobody listens', ['refuse']], ['a black hole', ['black_hole']],
    ['LOADING', error('LOADING')], ['garbage', answer("garbage\r\n")],
    ['a flood', answer("+OK\r\n" x 1000)])
{
    my ($name, $mode) = @$case;

    begin($mode, 'g');
    sleep 0.2;

    my $cpu = $faults->cpu;
    my $accepted = $evil->accepted;
    sleep 0.8;
    cmp_ok $faults->cpu - $cpu, '<', $sanitized ? 0.3 : 0.1,
        "$name: idle while it is down";
    cmp_ok $evil->accepted - $accepted, '<', 12, "$name: with backoff";

    $evil->mode('pass');
    $faults->up("$name: over");
}

# rounds: nothing is left behind

my @rounds = grep { $_->[2] !~ /s/ } @faults;
my $rounds = $long ? 1000 : 40;
my ($memory, @bad) = 0;

for my $i (1 .. $rounds + 20) {
    my ($name, $mode, $flags) = @{ $rounds[$i % @rounds] };
    my $when = $flags =~ /a/i ? 'a' : 'g';

    # all that a worker ever needs it has by then
    $memory = $faults->memory if $i == 20;

    begin($mode, $when);

    my $r = $faults->create;

    push @bad, "$name: $r->{status}" if $r->{status} != 503;
    $evil->mode('pass');
    push @bad, "$name: not over"
        if !wait_until(sub { $faults->create->{status} == 200 }, 5);
}

is join(', ', @bad), '', "$rounds rounds: each refused, then served";
wait_until(sub { $faults->sockets <= $sockets }, 5);
cmp_ok $faults->sockets, '<=', $sockets, "$rounds rounds: no socket is left open";

SKIP: {
    skip 'with sanitizers memory is theirs', 1 if $sanitized;

    cmp_ok $faults->memory - $memory, '<', 1024, "$rounds rounds: no memory is lost";
}

finish();
