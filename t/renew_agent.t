#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Gateway and agent together. A thousand requests are in flight when the token
# is revoked: there is one refresh, all of them get through with its token, and
# no caller sees a 401. A token that is expired; a credential that is dead.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Agents;
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

# each of them is a descriptor here, two in nginx, one in the simulator
use constant REQUESTS => 1000;

more_files(4 * REQUESTS);

# pinaud_refresh_wait, in seconds
my $wait = 10;

my $gw = Pinaud::Gateway->new(retry => 1, upstream => 'http',
    location => "pinaud_refresh_wait ${wait}s;",
    accounts => { account() => { limits => ['10000/1h'],
        teams => { growth => [] } } },
    limits => ['10000/1h'], limits_all => ['10000/1h'],
    http => 'pinaud_redis_timeout 5s;',
    nginx => { workers => 2, connections => 4 * REQUESTS });

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $request = Pinaud::HTTP::head('POST', $path, @growth, body => $body)
    . $body;

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');

# the worst that Pinterest may do: each refresh token is good for one use, and
# a second one kills the tokens of both

my $fleet = Pinaud::Agents->new(gateway => $gw);
$gw->sim->oauth(rotation => 'kill', family => 1, old_access => 'kill');
my $token = $gw->sim->token(app => Pinaud::Agents::CLIENT);
$fleet->enrol('main', access => $token, due => 0);

my @agents = map { $fleet->agent($_) } qw(a b);


sub hsets {
    my ($calls) = $gw->redis->cmd('INFO', 'commandstats')
        =~ /^cmdstat_hset:calls=(\d+)/m;

    return $calls // 0;
}


sub version { $fleet->record('main')->{version} }


created post($gw, $path, $body, @growth), 'the token works';

my $version = version();
my @clients = map { Pinaud::HTTP->connect($gw, timeout => 40) } 1 .. REQUESTS;

# half of them are at Pinterest when it happens

$gw->sim->forget;
$gw->redis->cmd('CONFIG', 'RESETSTAT');

my $start = time();
$_->send($request) for @clients[0 .. REQUESTS / 2 - 1];
$gw->sim->revoke($token);
$_->send($request) for @clients[REQUESTS / 2 .. REQUESTS - 1];

my %status;
$status{ $_->response->{status} }++ for @clients;
$_->close for @clients;

my $took = time() - $start;
my $told = hsets();

is_deeply \%status, { 200 => REQUESTS }, 'every request got through'
    or diag explain \%status;
cmp_ok $took, '<', $wait, 'within the time to wait';
is scalar($fleet->calls), 1, 'there was one refresh';
is version(), $version + 1, 'which all of them used';
diag sprintf '%d requests in %.1f s, %d HSET', REQUESTS, $took, $told;

# a worker tells once a second for writes, the agents' scripts write records
cmp_ok $told, '<=', 10 + 2 * (1 + $took), 'Redis was told no more than needed';

my $made = REQUESTS + 1;
is scalar($gw->sim->audiences), $made, 'each made one audience';
my @refused = grep { $_->{status} == 401 } $gw->sim->requests($path);
cmp_ok scalar @refused, '>', REQUESTS / 2, 'many met the 401';
is scalar(grep { index($_->{head}, $token) < 0 } @refused), 0,
    'none of them with the newer token';
ok wait_until(sub { $gw->used == $made }, 5), 'each was charged once'
    or diag $gw->used;
ok wait_until(sub { !defined $gw->redis->cmd('HGET', 'pinaud:wanted', 'main') },
    3), 'nothing is wanted any more';


# many on one connection of HTTP/2, of which some leave

SKIP: {
    skip 'nginx without HTTP/2', 3 if !Pinaud::Nginx->has('http_v2_module');

    my $c = Pinaud::HTTP2->connect($gw, timeout => 20);
    $_->pause for @agents;
    $gw->sim->revoke($fleet->token('main'));

    my @streams = map { $c->open('POST', $path, body => $body, @growth) }
        1 .. 60;
    ok wait_until(sub { $gw->redis->cmd('HGET', 'pinaud:wanted', 'main') }, 5),
        'HTTP/2: a newer token is wanted';

    $c->reset($_) for @streams[0 .. 19];
    $_->resume for @agents;

    my %status;
    $status{ $c->response($_)->{status} }++ for @streams[20 .. 59];
    is_deeply \%status, { 200 => 40 }, 'HTTP/2: who stays gets through'
        or diag explain \%status;
    $c->close;

    $made += 40;
    $version++;
    ok wait_until(sub { $gw->used == $made }, 5), 'HTTP/2: each charged once'
        or diag $gw->used;
}


# an expired one: it is not sent, nor is anything charged before there is a
# newer one

$gw->redis->cmd('HSET', 'pinaud:credential:{main}', expires => int time() - 1);
$gw->sim->forget;
created post($gw, $path, $body, @growth), 'a token that is expired';
is scalar($gw->sim->requests($path)), 1, 'was not sent';
is version(), $version + 2, 'there is a newer one';
ok wait_until(sub { $gw->used == $made + 1 }, 3), 'charged once' or diag $gw->used;


# the refresh token is dead, too: a person must act

$gw->sim->revoke($_) for $fleet->granted, map { $_->{refresh_token} // () }
    map { JSON::PP::decode_json($_->{answer}) }
    $gw->sim->requests(qr{^/v5/oauth/token});

my $r = post($gw, $path, $body, @growth);
refused $r, 'credential-unavailable', 'nothing can be refreshed',
    retry => 'false';
is $r->header('Retry-After'), 300, 'come again when a person has acted';
cmp_ok $r->{elapsed}, '<', $wait / 2, 'without waiting for nothing';
is $fleet->record('main')->{state}, 'needs-authorization', 'the state tells';

ok wait_until(sub {
    Pinaud::HTTP::get($gw, $path, @growth);
    $gw->metrics->{'pinaud_credential_state{credential="main",'
        . 'state="needs-authorization"}'};
}, 5), 'and so do the metrics';

# what it tells to do is done, and that is all

my $shown = $fleet->ctl->must(qw(credential show main --json))->{json};
is $shown->{to_do}, 'pinaudctl credential authorize main', 'what to do';

my @authorize = split / /, $shown->{to_do};

$r = $fleet->ctl->authorize([@authorize[3 .. $#authorize], '--token-url',
    'http://' . $gw->sim->address . '/v5/oauth/token'], sub {
        my %query = @_;

        return "?state=$query{state}&code=" . $gw->sim->code(
            client => Pinaud::Agents::CLIENT,
            redirect_uri => $query{redirect_uri});
    });

is $r->{exit}, 0, 'authorised anew' or diag $r->{err};
created post($gw, $path, $body, @growth), 'and who authorises it anew is heard';

$_->stop for @agents;
finish();
