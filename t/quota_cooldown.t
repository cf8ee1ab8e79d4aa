#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Cooldowns: what Pinterest's own refusal stops, and until when.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; unshift @INC, "$FindBin::Bin/lib"; }

use Pinaud::Quota;


my $quota = Pinaud::Quota->new;
my $redis = $quota->redis;
my @write = (account => '549755885175', team => 'growth',
    account_limits => '5/60');
my $key = 'pinaud:cooldown:{main}';

sub begin { note $_[0]; $quota->begin(@_[1 .. $#_]) }


# Until when, in ms from now

sub cool {
    my ($class, $reset, $name, @age) = @_;

    $name //= 'main';
    my ($ends, $now) = $quota->run('cooldown', ["pinaud:cooldown:{$name}",
        "pinaud:credential:{$name}"], [$class, $reset, @age])->@*;

    is($now, $quota->now_ms, 'the time is told');

    return $ends - $now;
}


# What is admitted: "rw" both, "r" reads only

sub open_to {
    return join '', $quota->admit->{status} == 0 ? 'r' : (),
        $quota->admit(@write)->{status} == 0 ? 'w' : ();
}


begin('of writes', limits => '400/60', limits_all => '100/1', tier => 'standard');

$quota->credential('other');
is(open_to(), 'rw', 'before');
is(cool('writes', 7000), 7000, 'as long as Pinterest says');
is(open_to(), 'r', 'writes stop, reads do not');
is($redis->cmd('PTTL', $key), 7000, 'then it is gone');

$quota->unchanged(sub {
    for my $mode (qw(charge peek report)) {
        my $reply = $quota->admit(@write, mode => $mode, count => 3);

        is($reply->{text}, '1 ' . $quota->now_ms . ' 7 0 p 0 0 0 7000',
            "$mode: told, and no other limit");
        is($reply->{admitted}, 0, "$mode: none of them");
        is($reply->{token}, $mode eq 'report' ? 'sealed of main' : '',
            "$mode: the token");
    }
}, 'a refusal');

is($quota->admit(@write, credential => 'other')->{status}, 0,
    'other credentials go on');
is($quota->admit(@write, deadline => 1)->{status}, 4, 'too late comes first');
$redis->cmd('HSET', 'pinaud:credential:{main}', expires => 1);
is($quota->admit(@write)->{status}, 3, 'and an expired token');
$redis->cmd('HSET', 'pinaud:credential:{main}', expires => 0);

$quota->pass(6.999);
is($quota->admit(@write)->{limits}{p0}{reset}, 1, 'a millisecond before');
$quota->pass(0.001);
is(open_to(), 'rw', 'over');


begin('of all calls', tier => 'standard');

is(cool('all', 3000), 3000, 'three seconds');
is(open_to(), '', 'nothing goes');
is($quota->admit->{text}, '1 ' . $quota->now_ms . ' 7 0 p 0 0 0 3000',
    'a read is told');
is(cool('writes', 9000), 9000, 'and of writes for longer');
is($redis->cmd('PTTL', $key), 9000, 'kept until the later one');
is($quota->admit(@write)->{limits}{p0}{reset}, 9000, 'a write waits for that');
is(cool('all', 4000), 4000, 'the earlier one again');
is($redis->cmd('PTTL', $key), 9000, 'still until the later one');
$quota->pass(4);
is(open_to(), 'r', 'one after the other');


begin('until when', tier => 'standard');

is(cool('writes', ''), 60000 - $quota->now_ms % 60000,
    'where Pinterest does not tell: to the end of the minute');
is(cool('writes', 1), 60000 - $quota->now_ms % 60000, 'it is only extended');
is(cool('writes', 119999), 119999, 'by far');
is(cool('writes', 3600000), 120000, 'but 120 s are the most');
is(cool('all', 0), 0, 'a window that is over now');
is($redis->cmd('HGET', $key, 'all'), undef, 'is none');
$redis->cmd('DEL', $key);
is(cool('writes', 0), 0, 'alone, too');
is($redis->cmd('EXISTS', $key), 0, 'leaves nothing');

begin('a trial', tier => 'trial');

my $day = 86_400_000 - $quota->now_ms % 86_400_000;
is(cool('writes', 5000), 5000, 'as long as Pinterest says');
is(cool('writes', ''), $day, 'where it does not tell: to the end of the day');
is(cool('all', 99_999_999), $day, 'which is the most');
$quota->pass($day / 1000 - 1);
is(open_to(), '', 'a second before midnight');
$quota->pass(1);
is(open_to(), 'rw', 'at midnight');


begin('told late', tier => 'standard');

is(cool('writes', 7000, 'main', 2500), 4500, 'what is left of it');
is(cool('all', 7000, 'main', 7000), 0, 'nothing is');
is($redis->cmd('HGET', $key, 'all'), undef, 'so it is none');
is(cool('writes', 3_600_000, 'main', 3_590_000), 10_000, 'a long one');
$redis->cmd('DEL', $key);

my $age = $quota->now_ms % 60000;
is(cool('writes', '', 'main', $age), 60000 - $age,
    'the minute is that in which it was heard');
$redis->cmd('DEL', $key);
cool('writes', '', 'main', $age + 1);
is($redis->cmd('EXISTS', $key), 0, 'which may be over');


begin('no such credential');
is(cool('writes', '', 'none'), 60000 - $quota->now_ms % 60000,
    'is as a standard one');


begin('the clock is set back', tier => 'standard');

cool('all', 120000);
$quota->pass(-1);
is(open_to(), 'rw', 'what ends later than any can is none');
is(cool('all', 5000), 5000, 'and gives way to the next');
is(open_to(), '', 'which is in force');
$redis->cmd('HSET', 'pinaud:credential:{main}', tier => 'trial');
cool('all', '');
is(open_to(), '', 'to the end of the day');
$redis->cmd('HSET', 'pinaud:credential:{main}', tier => 'standard');
is(open_to(), 'rw', 'not for one that is no trial any more');


begin('what is none');

for my $value ('x', '', '1.5', 'nan') {
    $redis->cmd('HSET', $key, all => $value);
    $quota->unchanged(sub {
        like($quota->refused('admit', [$quota->keys_of], [$quota->args_of]),
            qr/^PINAUD corrupt cooldown \Q$key\E/, "'$value': no free pass");
        like($quota->refused('cooldown', [$key, 'pinaud:credential:{main}'],
            ['all', 1]), qr/^PINAUD corrupt cooldown/, "'$value': not repaired");
    }, "'$value'");
}

$redis->cmd('DEL', $key);
$quota->unchanged(sub {
    for my $args (['reads', 1], ['writes', 'x'], ['all', -1], ['all', 1.5],
        ['all', 1, 'x'], ['all', 1, -1], ['all', 1, 0.5])
    {
        like($quota->refused('cooldown', [$key, 'pinaud:credential:{main}'],
            $args), qr/^PINAUD bad arguments/, "@$args");
    }
}, 'bad arguments');


begin('memory', tier => 'standard');
cool($_, 60000) for qw(writes all);
my $used = $redis->cmd('MEMORY', 'USAGE', $key);
cmp_ok($used, '<=', 256, "$used bytes");


done_testing();
