#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A token that Pinterest refuses, or that is expired: a newer one is asked for,
# requests wait for it and are sent once more, and no caller sees Pinterest's
# 401. What the agent does is done here by hand.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

# pinaud_refresh_wait, in s: where a newer token comes, and where none does
my ($long, $wait) = (5, 0.6);

my $gw = Pinaud::Gateway->new(retry => 1, redis => { persist => 1 },
    location => "pinaud_refresh_wait ${long}s; pinaud_passthrough on;",
    accounts => { account() => { limits => ['1000/1h'],
        teams => { growth => [] } } },
    proxy => { client_body_buffer_size => '4k', proxy_connect_timeout => '1s' },
    nginx => { allow => [qr/pinaud: /] });

my $short = Pinaud::Gateway->new(with => $gw, retry => 1,
    location => 'pinaud_refresh_wait ' . 1000 * $wait . 'ms;',
    nginx => { allow => [qr/pinaud: /] });

my $path = create_path;
my @growth = (team => 'growth');
my $h2 = Pinaud::Nginx->has('http_v2_module');
my $challenge = [['WWW-Authenticate', 'Bearer realm="Pinterest"']];

# one that is edited, and one that comes in a temporary file

my %bodies = (
    'in memory' => [body(rule => { visitor_source_id => ['2617998078212'] }),
        body(rule => { visitor_source_id => '2617998078212' })],
    'in a file' => [(body(description => 'x' x 5000)) x 2],
);


# what is charged, and the token's version, as they should be
my ($used, $version) = (0, 1);


# The agent: what is wanted of it, and its answer.

sub wanted { $gw->redis->cmd('HGET', 'pinaud:wanted', 'main') }
sub forget { $gw->redis->cmd('DEL', 'pinaud:wanted') }


sub wanted_is {
    my ($expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $wanted;
    wait_until(sub { ($wanted = wanted() // '') eq $expected }, 4);
    is $wanted, $expected, "$name: $expected is wanted";
}


sub renew {
    $gw->{token} = shift // $gw->sim->token(accounts => [account]);
    $gw->must_ctl(qw(credential put main --access-token-file -),
        qw(--expires-in 3600), \$gw->token);
    forget();
    $version++;
}


# A newer one comes while a request, with one that is no good, is at Pinterest.

sub renew_meanwhile {
    my ($to, @faults) = @_;

    my $newer = $gw->sim->token(accounts => [account]);
    my $sim = $gw->sim->pid;

    $gw->sim->fault(%$_) for { kind => 'delay', seconds => 1,
        path => 'audiences' }, @faults;
    revoke();

    # many records take long to look through
    $gw->sim->forget;

    my $answer = begin($to, 'HTTP/1.1', body());
    wait_until(sub { scalar $gw->arrived }, 2);

    kill 'STOP', $sim;
    renew($newer);
    kill 'CONT', $sim;

    return $answer->();
}


# A version that nobody used before it was revoked, and one that writes used.

sub fresh { renew(); revoke() }


sub worn {
    created post($gw, $path, body(), @growth), 'it works';
    $used++;
    revoke();
}


# A request under way, of either protocol; its answer comes by ->().

sub begin {
    my ($to, $protocol, $body, %opt) = @_;

    my $method = $opt{method} // 'POST';
    my $target = $opt{path} // $path;
    my $start = time();

    if ($protocol eq 'HTTP/2') {
        my $c = Pinaud::HTTP2->connect($to);
        my $id = $c->open($method, $target, body => $body, @growth, %opt);
        return sub { taken($c->response($id), $start) };
    }

    my $c = Pinaud::HTTP->connect($to);
    $c->send(Pinaud::HTTP::head($method, $target, body => $body, @growth,
        %opt) . ($body // ''));

    return sub { my $r = $c->response; $c->close; taken($r, $start) };
}


sub taken { $_[0]{elapsed} = time() - $_[1]; $_[0] }


sub revoke { $gw->sim->revoke($gw->token) }


sub waits {
    my ($to, $version, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $answer = begin($to, 'HTTP/1.1', body());
    wanted_is $version, $name;

    return $answer;
}


# How long a refusal took.

sub late {
    my ($r, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    cmp_ok $r->{elapsed}, '>=', $wait * 0.7, "$name: it waited";
    cmp_ok $r->{elapsed}, '<', $wait + 2, "$name: and no longer";
}


sub early {
    my ($r, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    cmp_ok $r->{elapsed}, '<', $long / 2, "$name: at once";
}


# a newer token comes: the same request once more, charged once


for my $protocol ('HTTP/1.1', $h2 ? 'HTTP/2' : ()) {
    for my $how (sort keys %bodies) {
        my ($body, $forwarded) = @{ $bodies{$how} };
        my $name = "$protocol, body $how";

        created post($gw, $path, $body, @growth), "$name: it works at first";
        $gw->arrived;
        $used++;

        revoke();
        $gw->sim->fault(kind => 'unauthorized', headers => $challenge);
        my $answer = begin($gw, $protocol, $body);
        wanted_is "$version worked", $name;
        $gw->used_is($used, "$name: not charged while it waits", 4);
        renew();

        my $r = $answer->();
        my @there = $gw->arrived;

        created $r, "$name: it is there";
        is $r->header('WWW-Authenticate'), undef, "$name: no challenge";
        is scalar @there, 2, "$name: sent twice";
        is $_->{body}, $forwarded, "$name: the same body" for @there;
        like $there[1]{head}, qr/^Authorization: Bearer \Q${\$gw->token}\E\r/m,
            "$name: with the newer token";
        $gw->used_is(++$used, "$name: charged once", 4);
    }
}

my ($last) = ($gw->access_log)[-1];
is $last->{upstream_status}, '401 : 200', 'the log has both';

# a read, and another write whose body nginx keeps

fresh();
my $answer = begin($gw, 'HTTP/1.1', undef, method => 'GET');
wanted_is "$version refused", 'a read';
renew();
is $answer->()->{status}, 200, 'a read goes again';

fresh();
my $large = '{"x": "' . 'y' x 5000 . '"}';
$answer = begin($gw, 'HTTP/1.1', $large, method => 'PATCH',
    path => '/v5/ad_accounts/' . account . '/campaigns');
wanted_is "$version refused", 'another write';
$gw->arrived;
renew();
is $answer->()->{status}, 200, 'another write goes again';
is(($gw->arrived)[-1]{body}, $large, 'with its body');
$used++;


# what a version did before is told, of writes and reads apart

renew();
is get($gw, $path, @growth)->{status}, 200, 'a read works';
$gw->sim->fault(kind => 'error', status => 503);
is post($gw, $path, body(), @growth)->{status}, 503, 'Pinterest fails';
$used++;
revoke();
$answer = waits($gw, "$version refused", 'writes never worked');
my $read = begin($gw, 'HTTP/1.1', undef, method => 'GET');
wanted_is "$version worked", 'reads did, which outweighs';
renew();
created $answer->(), 'the write is there';
is $read->()->{status}, 200, 'and the read';
$used++;


# a second 401: 503, and yet a newer one is wanted

worn();
$gw->sim->fault(kind => 'unauthorized', headers => $challenge, times => 2);
$answer = waits($gw, "$version worked", 'a first 401');
$gw->arrived;
renew();
my $r = $answer->();
refused $r, 'credential-unavailable', 'a second 401', retry => 'true';
is $r->header('Retry-After'), 5, 'come again soon';
is $r->header('RateLimit'), undef, 'what the limits told is not so any more';
is $r->header('WWW-Authenticate'), undef, 'no challenge of either';
is scalar($gw->arrived), 1, 'it was not sent a third time';
wanted_is "$version refused", 'a second 401';
$gw->used_is($used, 'neither is charged', 4);


# nobody brings a newer one

fresh();
$r = post($short, $path, body(), @growth);
refused $r, 'credential-unavailable', 'no agent', retry => 'true';
late $r, 'no agent';
is wanted(), "$version refused", 'it stays wanted';
$gw->used_is($used, 'no agent: not charged', 4);

$r = post($gw, $path, body(), @growth, headers => ['Pinaud-Dry-Run: ?1']);
is $r->json->{would}, 'forwarded', 'a dry run can not tell';


# a person has to act: no waiting for that, nor asking

for my $state (qw(needs-authorization wrong-client)) {
    forget();
    $gw->redis->cmd('HSET', 'pinaud:credential:{main}', state => $state);
    $r = post($gw, $path, body(), @growth);
    refused $r, 'credential-unavailable', $state, retry => 'false';
    is $r->header('Retry-After'), 300, "$state: not soon";
    early $r, $state;
    is wanted(), undef, "$state: nothing is wanted";
}

$gw->redis->cmd('HSET', 'pinaud:credential:{main}', state => 'retrying');
$answer = waits($gw, "$version refused", 'retrying');
renew();
created $answer->(), 'retrying: waits for it';
is $gw->redis->cmd('HGET', 'pinaud:credential:{main}', 'state') // 'ok', 'ok',
    'all is well again';
$used++;

# while it waits

worn();
$answer = waits($gw, "$version worked", 'a state that comes later');
$gw->redis->cmd('HSET', 'pinaud:credential:{main}',
    state => 'needs-authorization');
$r = $answer->();
refused $r, 'credential-unavailable', 'a state that comes later',
    retry => 'false';
early $r, 'a state that comes later';
renew();


# no retry location, and a body that went by

my $alone = Pinaud::Gateway->new(with => $gw,
    location => 'pinaud_passthrough on;');
my $streams = Pinaud::Gateway->new(with => $gw, retry => 1,
    location => 'pinaud_passthrough on; proxy_request_buffering off;');

for my $case (['no retry location', $alone, 'POST', $path, body()],
    ['a streamed body', $streams, 'PATCH',
        '/v5/ad_accounts/' . account . '/campaigns', $large])
{
    my ($name, $to, $method, $target, $body) = @$case;

    fresh();
    $gw->arrived;
    $gw->sim->fault(kind => 'unauthorized', headers => $challenge);

    my $c = Pinaud::HTTP->connect($to);
    $c->send(Pinaud::HTTP::head($method, $target, body => $body, @growth)
        . substr $body, 0, length($body) / 2);
    sleep 0.1;
    $c->send(substr $body, length($body) / 2);

    $r = $c->response;
    refused $r, 'credential-unavailable', $name, retry => 'true';
    early $r, $name;
    is $r->header('WWW-Authenticate'), undef, "$name: no challenge";
    is scalar($gw->arrived), 1, "$name: sent once";
    wanted_is "$version refused", $name;
    $gw->used_is($used, "$name: not charged", 4);
    renew();
}

created post($alone, $path, body(), @growth), 'the next finds the newer one';
$used++;


# a 401 of somebody else gets nothing

my $guarded = Pinaud::Gateway->new(with => $gw, retry => 1,
    location => 'pinaud_refresh_wait 200ms; auth_basic "the site";'
        . 'auth_basic_user_file %%DIR%%/users;');
$guarded->nginx->write('users', 'u:{PLAIN}p');
$gw->arrived;
$r = post($guarded, $path, body(), @growth);
is $r->{status}, 401, 'a 401 of the site';
is $r->header('WWW-Authenticate'), 'Basic realm="the site"',
    'with its challenge';
is scalar($gw->arrived), 0, 'gets nothing through';
is wanted(), undef, 'and asks for nothing';

revoke();
$r = post($guarded, $path, body(), @growth,
    headers => ['Authorization: Basic dTpw']);
refused $r, 'credential-unavailable', 'behind the site\'s own check',
    retry => 'true';
renew();

# an error_page that leads back to it does not make Pinterest's 401 the answer

my $loops = Pinaud::Gateway->new(with => $gw, retry => 1,
    location => 'pinaud_refresh_wait 0;',
    server => 'recursive_error_pages on; proxy_intercept_errors on;'
        . 'error_page 401 = @pinaud_retry;');
$gw->sim->fault(kind => 'unauthorized', headers => $challenge, times => 2);
$gw->arrived;
$answer = begin($loops, 'HTTP/1.1', body());
$r = $answer->();
refused $r, 'credential-unavailable', 'pages that lead back', retry => 'true';
is scalar($gw->arrived), 1, 'it was sent once';
$gw->sim->clear_faults;


# nor does a page of nginx's own, which takes its place

my $pages = Pinaud::Gateway->new(with => $gw, server => 'include '
    . project_dir() . '/conf/pinaud-retry.conf;', location =>
    'proxy_intercept_errors on; error_page 401 = @pinaud_retry;'
    . 'pinaud_refresh_wait 0;', nginx => { start => 0 });
$pages->nginx->write('pinaud-proxy.conf', "proxy_intercept_errors on;\n"
    . "error_page 401 /401;\n" . $pages->proxy_conf);
$pages->nginx->start;

fresh();
$r = post($pages, $path, body(), @growth);
refused $r, 'credential-unavailable', 'the location of conf/', retry => 'true';
wanted_is "$version refused", 'the location of conf/';
$r = renew_meanwhile($pages, { kind => 'unauthorized', headers => $challenge });
refused $r, 'credential-unavailable', 'a page for the second 401',
    retry => 'true';
is $r->header('WWW-Authenticate'), undef, 'a page for it: no challenge';
$gw->used_is($used, 'a page for it: not charged', 4);
$gw->sim->clear_faults;


# pinaud_refresh_wait 0: only what is there already

$r = post($loops, $path, body(), @growth);
created $r, 'no waiting where all is well';
$used++;
revoke();
$r = post($loops, $path, body(), @growth);
refused $r, 'credential-unavailable', 'no waiting', retry => 'true';
early $r, 'no waiting';
is $r->header('RateLimit'), undef, 'no waiting: limits that were given back';
wanted_is "$version worked", 'no waiting';
$gw->used_is($used, 'no waiting: not charged', 4);
renew();

created renew_meanwhile($loops), 'no waiting: a newer one was there';
$used++;


# an expired token is never sent, nor charged for

sub expire {
    renew();
    $gw->redis->cmd('HSET', 'pinaud:credential:{main}',
        expires => int time() - 1);
    $gw->arrived;
}


for my $protocol ('HTTP/1.1', $h2 ? 'HTTP/2' : ()) {
    expire();
    $answer = begin($gw, $protocol, body());
    wanted_is "$version expired", "expired, $protocol";
    is scalar($gw->arrived), 0, 'nothing is sent';
    renew();
    created $answer->(), "expired, $protocol: it is there";
    is scalar($gw->arrived), 1, "expired, $protocol: sent once";
    $gw->used_is(++$used, "expired, $protocol: charged once", 4);
}

expire();
$answer = begin($gw, 'HTTP/1.1', body(), headers => ['Pinaud-Dry-Run: ?1']);
wanted_is "$version expired", 'expired, a dry run';
renew();
is $answer->()->json->{would}, 'forwarded', 'expired, a dry run: it waits, too';

expire();
$r = post($short, $path, body(), @growth);
refused $r, 'credential-unavailable', 'expired, no agent', retry => 'true';
late $r, 'expired, no agent';
$r = get($short, $path, @growth);
refused $r, 'credential-unavailable', 'expired, a read', read => 1;
$r = post($loops, $path, body(), @growth);
refused $r, 'credential-unavailable', 'expired, no waiting', retry => 'true';
early $r, 'expired, no waiting';

$answer = waits($gw, "$version expired", 'a newer one that is expired, too');
$gw->redis->cmd('HSET', 'pinaud:credential:{main}', version => ++$version);
wanted_is "$version expired", 'a newer one that is expired, too';
$gw->used_is($used, 'no charge for any of them', 4);
is scalar($gw->arrived), 0, 'and none was sent';
renew();
created $answer->(), 'a newer one that is not';
$used++;

expire();
$answer = begin($gw, 'HTTP/1.1', body());
wanted_is "$version expired", 'the credential goes';
$gw->redis->cmd('HDEL', 'pinaud:credential:{main}', 'version', 'token');
$r = $answer->();
refused $r, 'credential-unavailable', 'the credential goes', retry => 'false';
early $r, 'the credential goes';
$gw->redis->cmd('HSET', 'pinaud:credential:{main}', version => $version);
renew();


# Redis may not be told

fresh();
$gw->redis->cmd('ACL', 'SETUSER', 'default', '-hset');
refused post($short, $path, body(), @growth), 'credential-unavailable',
    'Redis may not be told', retry => 'true';
$gw->redis->cmd('ACL', 'SETUSER', 'default', '+hset');
like $short->nginx->log, qr/pinaud: store may not be told that a newer token/,
    'which the log tells';
renew();


# a client that leaves

for my $protocol ('HTTP/1.1', $h2 ? 'HTTP/2' : ()) {
    fresh();

    my $c = $protocol eq 'HTTP/2' ? Pinaud::HTTP2->connect($gw)
        : Pinaud::HTTP->connect($gw);
    my $id = $protocol eq 'HTTP/2'
        ? $c->open('POST', $path, body => body(), @growth)
        : $c->send(Pinaud::HTTP::head('POST', $path, body => body(), @growth)
            . body());

    wanted_is "$version refused", "a client of $protocol";
    $protocol eq 'HTTP/2' ? $c->reset($id) && $c->ping : $c->abort;

    ok wait_until(sub { my $line = ($gw->access_log)[-1];
        $line->{status} == 499 && $line->{outcome} eq 'abandoned' }, 2),
        "$protocol: who leaves is let go"
        or diag explain +($gw->access_log)[-1];

    $gw->arrived;
    renew();
    sleep 0.2;
    is scalar($gw->arrived), 0, "$protocol: nothing more is sent";
    $gw->used_is($used, "$protocol: nothing is charged", 4);
}


# the second attempt does not get through: what was sent of the first is not
# what it is charged for

fresh();
$answer = waits($gw, "$version refused", 'Pinterest is gone');
$gw->sim->refuse;
renew();
refused $answer->(), 'upstream-unreachable', 'Pinterest is gone';
$gw->sim->accept;
$gw->used_is($used, 'Pinterest is gone: not charged', 4);


# nginx reloads, and quits

for my $how (qw(reload quit)) {
    fresh();
    $answer = waits($gw, "$version refused", $how);

    my $pid = $gw->nginx->{pid};
    $how eq 'reload' ? $gw->nginx->reload : kill 'QUIT', $pid;
    sleep 0.3;
    renew();
    $r = $answer->();
    created $r, "$how: who waits is served";
    $used++;

    if ($how eq 'quit') {
        ok wait_until(sub { !alive($pid) }, 5), 'quit: it ends';
        $gw->nginx->stop;
        $gw->nginx->start;
    }
}

created post($gw, $path, body(), @growth), 'after a new start';
$used++;


# Redis dies

revoke();
$answer = waits($gw, "$version worked", 'Redis dies');
$gw->redis->kill;
sleep 0.2;
$gw->redis->start;
renew();
created $answer->(), 'Redis dies, and comes back: who waits is served';
$used++;

fresh();
wait_until(sub { $short->health->{status} == 200 }, 10);
$answer = waits($short, "$version refused", 'Redis stays away');
$gw->redis->kill;
$r = $answer->();
refused $r, 'credential-unavailable', 'Redis stays away', retry => 'true';
late $r, 'Redis stays away';
$gw->redis->start;
wait_until(sub { $gw->health->{status} == 200 }, 10);
renew();
created post($gw, $path, body(), @growth), 'Redis is back';
$gw->used_is(++$used, 'every request was charged once', 4);


# the metrics, of a gateway that begins, and as they change

my $fresh = Pinaud::Gateway->new(with => $gw);


sub state_is {
    my ($state, $seconds) = @_;

    $gw->redis->cmd('HSET', 'pinaud:credential:{main}', state => $state);

    ok wait_until(sub {
        get($fresh, $path, @growth);
        sleep 0.1;
        ($fresh->status->json->{credentials}{main}{state} // '') eq $state;
    }, $seconds), "the state is $state";
}


$gw->redis->cmd('HSET', 'pinaud:credential:{main}',
    refresh_expires => 1900000000);
my $expires = $gw->redis->cmd('HGET', 'pinaud:credential:{main}', 'expires');
state_is 'ok', 1;
state_is 'retrying', 9;

my $metrics = $fresh->metrics;
is $metrics->{'pinaud_credential_access_token_expiry_timestamp_seconds'
    . '{credential="main"}'}, $expires, 'expiry of the access token';
is $metrics->{'pinaud_credential_refresh_token_expiry_timestamp_seconds'
    . '{credential="main"}'}, 1900000000, 'expiry of the refresh token';
is_deeply { map { /state="(.+)"/ ? ($1 => $metrics->{$_}) : () }
    grep { /^pinaud_credential_state\{credential="main"/ } keys %$metrics },
    { ok => 0, retrying => 1, 'needs-authorization' => 0,
        'wrong-client' => 0 }, 'state';
is_deeply $fresh->status->json->{credentials}, { main => {
    access_token_expires => $expires, refresh_token_expires => 1900000000,
    state => 'retrying' } }, 'the same as JSON';

finish();
