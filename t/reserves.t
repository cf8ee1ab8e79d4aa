#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Reserves as callers meet them: a greedy team and one that has its own.

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

my $other = '549755885176';

my $gw = Pinaud::Gateway->new(limits => ['1000/1h'], limits_all => ['1000/1s'],
    accounts => { map { ($_ => { limits => ['6/1h', '100/1s'],
        teams => { greedy => [], light => [] } }) } account(), $other });

my $path = create_path;


sub create {
    my ($team, $id) = @_;

    $id //= account;
    return post($gw, $path =~ s/\d{5,}/$id/r,
        body() =~ s/"549\d+"/"$id"/r, team => $team);
}


# What is used of a bucket

sub left {
    my $r = shift;

    return ($r->header('RateLimit') // '') =~ /"account-3600s";r=(\d+)/ ? $1
        : 'nothing';
}


for my $id (account, $other) {
    my ($exit, $text) = $gw->ctl(qw(team put light --account), $id,
        qw(--reserve 2));
    is $exit, 0, "$id: the light team has a reserve" or diag $text;
}

my $r;
for my $left (3, 2, 1, 0) {
    $r = create('greedy');
    created $r, 'the greedy team takes what is shared';
    is left($r), $left, 'and is told what it has of that';
}

$r = create('greedy');
refused $r, 'quota-exceeded', 'then no more';
is_deeply $r->json->{'violated-policies'}, ['account-3600s'],
    'by the limit of the account';
is left($r), 0, 'nothing is left to it';

for my $left (1, 0) {
    $r = create('light');
    created $r, 'the light team has its reserve';
    is left($r), $left, 'and is told of it';
}

refused create('light'), 'quota-exceeded', 'and no more than that';
is $gw->used('reserve'), 2, 'usage: the reserve';
is $gw->used('shared'), 4, 'usage: what is shared';
is $gw->used('account'), 6, 'usage: the account';


# what was not sent is given back to where it was taken from

$gw->sim->refuse;
refused create('light', $other), 'upstream-unreachable', 'nobody listens';
ok wait_until(sub { $gw->used('account', $other) == 0 }, 2), 'given back';
is $gw->used('reserve', $other), 0, 'to the reserve';
refused create('greedy', $other), 'upstream-unreachable', 'nobody listens';
ok wait_until(sub { $gw->used('account', $other) == 0 }, 2), 'given back';
is $gw->used('shared', $other), 0, 'to what is shared';


# a record that makes no sense, whoever wrote it

for my $case (['team:light', 'reserve=x'], ['team:light', 'reserve=3'],
    ['reserved', 'x'], ['reserved', 0])
{
    my ($field, $value) = @$case;
    my $key = "pinaud:account:$other";
    my $before = { @{ $gw->redis->cmd('HGETALL', $key) } };

    $gw->redis->cmd('HSET', $key, %{ $gw->seal->sign({ %$before,
        $field => $value }, $other) });
    ok wait_until(sub { create('light', $other)->{status} == 503 }, 8),
        "$field $value: no free pass";
    $gw->redis->cmd('HSET', $key, %$before);
    ok wait_until(sub { create('light', $other)->{status} != 503 }, 8),
        "$field $value: mended";
}


finish();
