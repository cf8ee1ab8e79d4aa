#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The bounded outage: without Redis a gateway goes on with the units that it
# took beforehand, and no further; all of them count.

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


my $other = '549755885176';
my %accounts = (account() => { limits => ['1000/60s'],
    teams => { growth => [], brand => [] } },
    $other => { limits => ['1000/60s'], teams => { growth => [] } });

my $gw = Pinaud::Gateway->new(accounts => \%accounts, redis => { persist => 1 },
    limits => ['2000/60s'], limits_all => ['none'], evil => 1,
    http => 'pinaud_outage_allowance 5; pinaud_redis_timeout 500ms;',
    nginx => { workers => 2 });


sub create { post($gw, create_path($_[1] // account), body,
    team => $_[0] // 'growth') }

sub metric { $gw->metrics->{"pinaud_outage_$_[0]"} }


# What the account's limit has left, by a dry run.

sub left {
    my $r = post($gw, create_path, body, team => 'growth',
        headers => ['Pinaud-Dry-Run: ?1']);

    return $r->{status} == 200
        && (grep { $_->{name} eq 'account-60s' } @{ $r->json->{limits} })[0]
            {remaining};
}


# Requests now and then, until units are held: a worker looks once a second.

sub units {
    my $name = shift;

    ok wait_until(sub { sleep 0.2; create();
        metric('allowance_requests') == 5 }, 6), $name;
}


is metric('allowance_requests'), 0, 'no units before the first request';

created create(), 'a request takes units';
units 'five of them';
is metric('requests_total'), 0, 'none is spent';


# Redis goes away

my $arrived = 0;

my %evil = (black_hole => [], delay => [seconds => 5], reset => [],
    silence => [accept => 0], refuse => []);

for my $way (qw(kill pause), sort keys %evil) {
    my $before = metric('requests_total');

    $arrived += $gw->sim->requests;
    $gw->sim->forget;
    $way eq 'kill' ? $gw->redis->kill
        : $way eq 'pause' ? $gw->redis->pause
        : $gw->evil->mode($way, @{ $evil{$way} });

    my @status = map { create()->{status} } 1 .. 9;

    is "@status", '200 200 200 200 200 503 503 503 503',
        "$way: five go on, no more";
    is scalar($gw->sim->requests), 5, "$way: five arrive";
    is metric('requests_total') - $before, 5, "$way: counted";
    is metric('allowance_requests'), 0, "$way: nothing is left";

    my $r = post($gw, create_path, '{}', team => 'growth');
    is $r->{status}, 400, "$way: what needs no Redis goes on";
    cmp_ok $r->{elapsed}, '<', 0.5, "$way: without waiting";

    is create('stranger')->{status}, 503, "$way: not for a foreign team";
    is create('growth', $other)->{status}, 503,
        "$way: not for an account that was not served";

    $way eq 'kill' ? $gw->redis->start
        : $way eq 'pause' ? $gw->redis->resume
        : $gw->evil->mode('pass');

    my $start = time();
    ok wait_until(sub { create()->{status} == 200 }, 3), "$way: it is over";
    cmp_ok time() - $start, '<', 2.5, "$way: soon";

    # what was spent is returned, and units are taken anew

    units "$way: units again";
}


# all of them count, and the five that are held

$arrived += $gw->sim->requests;
my $counted = 1000 - 5 - left();
cmp_ok $counted, '>=', $arrived, "all that passed counts: $arrived";

# Redis charged for a few whose answer was lost on the way: at most those that
# were asked before the gateway knew

cmp_ok $counted, '<=', $arrived + 3 * keys %evil, "hardly more: $counted";

# a request of which nothing was sent gives its unit back

$gw->redis->kill;
$gw->sim->refuse;
refused create(), 'upstream-unreachable', 'without both';
ok wait_until(sub { metric('allowance_requests') == 5 }, 2),
    'the unit is back';
$gw->sim->accept;
created create(), 'and may be spent';
is metric('allowance_requests'), 4, 'once';

# so does one whose token Pinterest refuses; that a newer one is wanted is told
# when Redis is back

$gw->sim->fault(kind => 'unauthorized');
refused create(), 'credential-unavailable', 'a token that is refused',
    retry => 'true';
is metric('allowance_requests'), 4, 'the unit is back again';
$gw->redis->start;
my $wanted;
ok wait_until(sub { $wanted = eval {
    $gw->redis->cmd('HGET', 'pinaud:wanted', 'main') } }, 5),
    'a newer token is wanted';
is $wanted, '1 worked', 'than the one that was refused';

finish();
