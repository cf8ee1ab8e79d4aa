#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What Pinterest's rate-limit fields teach: after its 429 no gateway sends
# calls of that kind by that credential until the window's end.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw(sleep time);
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Process;


my $writes = '400, 100;w=1;name="safety_net_app_id_user_id", '
    . '400;w=60;name="ads_write_app_id_user_id"';
my $all = $writes =~ s/^400/100/r;

my $gw = Pinaud::Gateway->new;
my $second = Pinaud::Gateway->new(with => $gw, accounts => $gw->{accounts});


# Pinterest answers one create so; then the cooldown it made: what and when.

sub learn {
    my ($status, @fields) = @_;

    $gw->redis->cmd('DEL', 'pinaud:cooldown:{main}');

    # what a worker remembers of the last one is over

    sleep 0.1 until post($gw, create_path, body, team => 'brand',
        headers => ['Pinaud-Dry-Run: ?1'])->{status} == 200;

    $gw->sim->fault(kind => 'error', status => $status,
        body => '{"code": 8, "message": "no"}', headers => \@fields);
    is post($gw, create_path, body, team => 'growth')->{status}, $status,
        "Pinterest says $status";

    my %cooldown;

    wait_until(sub { %cooldown = @{ $gw->redis->cmd('HGETALL',
        'pinaud:cooldown:{main}') } }, $status == 429 ? 0.5 : 0.1);

    return { map { $_ => $cooldown{$_} / 1000 - time() } keys %cooldown };
}


sub fields {
    my ($limit, $remaining, $reset) = @_;

    return (['x-ratelimit-limit', $limit],
        ['x-ratelimit-remaining', $remaining],
        ['x-ratelimit-reset', $reset]);
}


sub near {
    my ($cooldown, $class, $seconds, $name) = @_;

    is join(' ', sort keys %$cooldown), $class, "$name: of $class";
    cmp_ok abs(($cooldown->{$class} // -99) - $seconds), '<', 2,
        "$name: for $seconds s";
}


my $minute = sub { 60 - time() % 60 };

near learn(429, fields($writes, 0, 20)), 'writes', 20, 'the list, writes';
near learn(429, fields($all, 0, 7)), 'all', 7, 'the list, all calls';
near learn(429, fields('400', 0, 30)), 'writes', 30, 'a plain number';
near learn(429, fields($writes, 0, 119)), 'writes', 119, 'nearly the most';
near learn(429, fields($all, 0, 0)), 'all', 1, 'less than a second';
near learn(429, fields($writes, 0, 80000)), 'writes', 120, 'no more than 120 s';
near learn(429), 'writes', $minute->(), 'no fields: the clock minute';
near learn(429, fields($writes, 0, 1795517326)), 'writes', $minute->(),
    'an epoch is no reset';
near learn(429, fields('nonsense; x', 'y', -3)), 'writes', $minute->(),
    'nonsense';
near learn(429, fields('1000, 1000;w=60;name="ads_read_app_id_user_id"', 0,
    15)), 'writes', 15, 'another name, after a write';

# other answers only tighten

near learn(200, fields($writes, 0, 9)), 'writes', 9, 'the last of a window';
is_deeply learn(200, fields($writes, 1, 9)), {}, 'one is left';
is_deeply learn(200, fields('400', 0, 9)), {}, 'no name, no refusal';
is_deeply learn(200, fields($writes, 0, 'x')), {}, 'no time, no refusal';
is_deeply learn(500, ['x-ratelimit-remaining', '']), {}, 'nothing';

# a limit by the second is used up in each second of a busy day: to hold calls
# back for as long as it takes to tell would leave most of the next one idle

is_deeply learn(200, fields($all, 0, 1)), {}, 'a second that is used up';
is_deeply learn(200, fields($writes, 0, 1)), {}, 'the last of a minute';
near learn(429, fields($all, 0, 1)), 'all', 1, 'a second, refused';


# it holds on every gateway, for that credential

learn(429, fields($writes, 0, 30));
$gw->sim->forget;

my $r = post($second, create_path, body, team => 'brand');
refused $r, 'quota-exceeded', 'another gateway, another team';
is_deeply $r->json->{'violated-policies'}, ['pinterest'],
    'which limit it is';
cmp_ok $r->header('Retry-After'), '>=', 28, 'Retry-After';
is scalar($gw->sim->requests), 0, 'nothing is sent';

my %after = map { $_ => 1 } map { post($second, create_path, body,
    team => 'brand')->header('Retry-After') } 1 .. 20;
cmp_ok scalar(keys %after), '>', 2, 'callers do not come back all at once';

is get($second, create_path, team => 'brand')->{status}, 200,
    'reads go on when writes are over';

my ($name) = grep { /^pinaud_cooldown_end/ } keys %{ $second->metrics };
is $name, 'pinaud_cooldown_end_timestamp_seconds{credential="main"}',
    'the metric';
cmp_ok abs($second->metrics->{$name} - time() - 30), '<', 5, 'its value';

$gw->must_ctl(qw(credential put other --access-token-file -),
    \$gw->sim->token(accounts => [account()]));
$gw->must_ctl(qw(account put), account(), qw(--credential other));

my $end = time() + 8;
do { $r = post($second, create_path, body, team => 'brand'); sleep 0.1 }
    while $r->{status} != 200 && time() < $end;

is $r->{status}, 200, 'another credential goes on';

$gw->must_ctl(qw(account put), account(), qw(--credential main));
$gw->must_ctl(qw(cooldown clear main));

$end = time() + 8;
do { $r = post($second, create_path, body, team => 'brand'); sleep 0.1 }
    while $r->{status} != 200 && time() < $end;

is $r->{status}, 200, 'cleared by hand';


# all calls: reads, too

learn(429, fields($all, 0, 30));
refused get($second, create_path, team => 'brand'), 'quota-exceeded',
    'a read when all calls are over', read => 1;

finish();
