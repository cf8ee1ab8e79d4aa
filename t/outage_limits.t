#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What holds in an outage, too: Pinterest's own limit, a team that is stopped,
# an allowance that a reload made smaller.

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
my $teams = { growth => [], stopped => [] };

my $gw = Pinaud::Gateway->new(redis => { persist => 1 },
    accounts => { map { ($_ => { limits => ['1000/60s'], teams => $teams }) }
        account(), $other },
    limits => ['2000/60s'], limits_all => ['none'],
    http => 'pinaud_outage_allowance 10;', nginx => { workers => 2 });
my $redis = $gw->redis;
my $key = 'pinaud:cooldown:{main}';


sub create { post($gw, create_path($_[1] // account), body,
    team => $_[0] // 'growth') }

sub held { $gw->metrics->{pinaud_outage_allowance_requests} }


sub dry { post($gw, create_path, body, team => 'growth',
    headers => ['Pinaud-Dry-Run: ?1']) }


# Requests now and then, until so many units are held.

sub units {
    my ($n, @accounts) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok wait_until(sub { sleep 0.1; create('growth', $_) for @accounts;
        held() == $n * @accounts }, 8), "$n units of each account"
        or diag held();
}


# Until Redis knows of the cooldown, in seconds

sub told {
    my $class = shift;
    my $ends;

    wait_until(sub { $ends = eval { $redis->cmd('HGET', $key, $class) } }, 5);

    return ($ends // 0) / 1000 - time();
}


# the account's other credential is not concerned

$gw->must_ctl(qw(credential put other --limit 2000/60s --access-token-file -),
    \$gw->sim->token(accounts => [$other]));
$gw->must_ctl(qw(account put), $other, qw(--credential other));
ok wait_until(sub { sleep 0.1; my $r = create('growth', $other);
    $r->{status} == 200 && $redis->cmd('EXISTS', 'pinaud:writes:{other}') },
    16), 'another credential';
units 10, account, $other;


# Pinterest's 429 while Redis is away

my $list = '400, 100;w=1;name="safety_net_app_id_user_id", '
    . '400;w=60;name="ads_write_app_id_user_id"';

$redis->kill;
is create()->{status}, 200, 'a unit is spent';
$gw->sim->fault(kind => 'error', status => 429, body => '{"code": 8}',
    headers => [['x-ratelimit-limit', $list], ['x-ratelimit-remaining', 0],
        ['x-ratelimit-reset', 60]]);
is create()->{status}, 429, 'Pinterest refuses the next';
$gw->arrived;

my @answers = map { create('growth') } 1 .. 8;
is scalar(grep { ($_->header('Pinaud-Outcome') // '') ne 'over_quota' }
    @answers), 0, 'then no worker sends any';
refused $answers[0], 'quota-exceeded', 'they are refused';
is_deeply $answers[0]->json->{'violated-policies'}, ['pinterest'],
    'for Pinterest\'s limit';
cmp_ok $answers[0]->header('Retry-After'), '>', 40, 'until its window is over';
untouched $gw, 'nothing arrives';
is create('growth', $other)->{status}, 200, 'another credential goes on';
is held(), 8 + 9, 'no unit is spent in vain';

my ($ends) = map { $gw->metrics->{$_} } grep {
    /^pinaud_cooldown_end.*"main"/ } keys %{ $gw->metrics };
cmp_ok abs(($ends // 0) - time() - 58), '<', 10, 'the metric tells';


# it is told when Redis is back, as of when it was heard

my $before = time();
sleep 2;
$redis->start;
my $left = told('writes');
cmp_ok $left, '>', 35, 'Redis knows of it then';
cmp_ok $left, '<=', 60 - (time() - $before) + 0.2,
    'for as long as there is left of it';
refused create(), 'quota-exceeded', 'it goes on';
is $gw->metrics->{'pinaud_store_errors_total{reason="cooldown"}'}, undef,
    'nothing was lost';


# cleared by hand it is over for the next outage, too

$gw->must_ctl(qw(cooldown clear main));
units 10, account, $other;
$redis->kill;
is create()->{status}, 200, 'after it was cleared';
$redis->start;
units 10, account, $other;


# a team that is stopped

$gw->must_ctl(qw(team put stopped --account), account, qw(--limit 0/1h));
ok wait_until(sub { sleep 0.1; create('stopped')->{status} == 429 }, 8),
    'a team is stopped' for 1 .. 2;
$redis->kill;
is join(' ', map { create('stopped')->{status} } 1 .. 6),
    '503 503 503 503 503 503', 'no unit is for it';
is create()->{status}, 200, 'others go on';
$redis->start;
units 10, account, $other;


# a smaller allowance

$gw->{http} = 'pinaud_outage_allowance 4;';
$gw->nginx->conf($gw->http)->reload;
units 4, account, $other;
like $redis->cmd('GET', $_), qr/^4 /, 'Redis counts no more'
    for @{ $redis->cmd('KEYS', 'pinaud:lease:*') };
$redis->kill;
$gw->arrived;


# and a dry run tells what the call gets

my $before_it = $gw->metrics->{pinaud_outage_requests_total};
my $dry = dry();
is $dry->{status}, 200, 'a dry run';
is $dry->json->{would}, 'forwarded', 'tells that it would be forwarded';
untouched $gw, 'it is not';
is held(), 8, 'and takes no unit';
is $gw->metrics->{pinaud_outage_requests_total}, $before_it,
    'nor is it counted';
is join(' ', map { create()->{status} } 1 .. 6), '200 200 200 200 503 503',
    'no more are spent';
refused dry(), 'store-unavailable', 'a dry run then';

finish();
