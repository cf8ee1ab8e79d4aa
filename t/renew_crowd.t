#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A thousand requests are in flight when the token is revoked: one newer token
# is asked for, all of them get through with it, and no caller sees a 401.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

# each of them is a descriptor here, two in nginx, one in the simulator
use constant REQUESTS => 1000;

more_files(4 * REQUESTS);

# in seconds: how long requests wait, and until the agent has a newer token
my ($wait, $refresh) = (10, 0.5);

my $gw = Pinaud::Gateway->new(retry => 1, upstream => 'http',
    location => "pinaud_refresh_wait ${wait}s;",
    accounts => { account() => { limits => ['10000/1h'],
        teams => { growth => [] } } },
    limits => ['10000/1h'], limits_all => ['10000/1h'],
    http => 'pinaud_redis_timeout 5s;',
    nginx => { workers => 2, connections => 4 * REQUESTS });

my $path = create_path;
my $body = body();
my $request = Pinaud::HTTP::head('POST', $path, team => 'growth',
    body => $body) . $body;

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');


sub calls_of {
    my $command = shift;

    my ($calls) = $gw->redis->cmd('INFO', 'commandstats')
        =~ /^cmdstat_$command:calls=(\d+)/m;

    return $calls // 0;
}


sub used {
    my ($exit, $text) = $gw->ctl('--json', 'usage', account);
    my ($bucket) = grep { $_->{bucket} eq 'account' }
        @{ JSON::PP::decode_json($text) };

    return $bucket->{limits}[0]{used};
}


is Pinaud::HTTP::post($gw, $path, $body, team => 'growth')->{status}, 200,
    'the token works';

my @clients = map { Pinaud::HTTP->connect($gw, timeout => 40) } 1 .. REQUESTS;

# half of them are at Pinterest when it happens

$gw->sim->forget;
$gw->redis->cmd('CONFIG', 'RESETSTAT');
my $start = time();
$_->send($request) for @clients[0 .. REQUESTS / 2 - 1];
$gw->sim->revoke($gw->token);
$_->send($request) for @clients[REQUESTS / 2 .. REQUESTS - 1];

ok wait_until(sub { $gw->redis->cmd('HGET', 'pinaud:wanted', 'main') }, 5),
    'a newer token is wanted';
is $gw->redis->cmd('HGET', 'pinaud:wanted', 'main'), '1 worked',
    'than the one that was revoked';

sleep $refresh;
$gw->{token} = $gw->sim->token(accounts => [account]);
$gw->must_ctl(qw(credential put main --access-token-file -), \$gw->token);

my %status;
$status{ $_->response->{status} }++ for @clients;
my $took = time() - $start;
my $told = calls_of('hset');

is_deeply \%status, { 200 => REQUESTS }, 'every request got through'
    or diag explain \%status;
cmp_ok $took, '<', $wait, 'within the time to wait';
is $gw->redis->cmd('HGET', 'pinaud:wanted', 'main'), '1 worked',
    'no newer than that one was ever asked for';

# put writes a record, too; a worker tells once a second and reads ten times
cmp_ok $told, '<=', 4 + 2 * (1 + $took), 'Redis was told no more than needed';
diag sprintf '%d requests in %.1f s, %d HSET', REQUESTS, $took, $told;

is scalar($gw->sim->audiences), REQUESTS + 1, 'each made one audience';
my @refused = grep { $_->{status} == 401 } $gw->sim->requests;
cmp_ok scalar @refused, '>', REQUESTS / 2, 'many met the 401';
is scalar(grep { $_->{status} == 401 && index($_->{head}, $gw->token) >= 0 }
    @refused), 0, 'none of them with the newer token';
ok wait_until(sub { used() == REQUESTS + 1 }, 3),
    'each was charged once' or diag used();

finish();
