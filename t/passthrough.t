#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaud_passthrough on: other calls below the account get the token, writes
# are charged like creates, and bodies of any size are streamed.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA ();
use IO::Socket::INET;
use JSON::PP ();
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $h2 = Pinaud::Nginx->has('http_v2_module');
my $gw = Pinaud::Gateway->new(retry => 1,
    limits => ['none'], limits_all => ['1000/60s'],
    accounts => { account() => { limits => ['1000/60s'], teams => {
        growth => [], tight => ['2/60s'] } } },
    location => 'pinaud_passthrough on;',
    proxy => { client_body_buffer_size => '4k' },
    nginx => { debug => 1 });
my $stream = Pinaud::Gateway->new(with => $gw,
    location => 'pinaud_passthrough on; proxy_request_buffering off;',
    proxy => { client_body_buffer_size => '4k' },
    nginx => { debug => 1 });

my $base = '/v5/ad_accounts/' . account;
my $path = "$base/campaigns";
my @growth = (team => 'growth');
my @tokens = $gw->token;


# How many of a limit are used, by what a dry run tells.

sub used {
    my $limit = shift;

    my $r = post($gw, create_path, body(), @growth,
        headers => ['Pinaud-Dry-Run: ?1']);
    my ($left) = $r->header('RateLimit') =~ /"\Q$limit\E";r=(\d+)/
        or die "no $limit: $r->{status} $r->{body}";

    return 1000 - $left - 1;
}

sub writes { used('account-60s') }
sub calls { used('credential-all-60s') }


# A request that arrived as a hash of its fields, after a look at all of it.

sub there {
    my ($call, $body, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @all = $gw->arrived;
    $gw->sim->forget;
    is scalar @all, 1, "$name: arrived" or return {};

    my %fields;
    push @{ $fields{lc $_->[0]} }, $_->[1] for @{ $all[0]{headers} };

    is "$all[0]{method} $all[0]{target}", $call, "$name: the call";
    ok $all[0]{body} eq $body, "$name: the body";
    is_deeply $fields{authorization}, ['Bearer ' . $gw->token],
        "$name: the token";

    my $lengths = @{ $fields{'content-length'} || [] }
        + @{ $fields{'transfer-encoding'} || [] };
    cmp_ok $lengths, '<=', 1, "$name: one length at most";

    return \%fields;
}


sub forwarded {
    my ($r, $status, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is $r->{status}, $status, "$name: $status" or diag $r->{body};
    is $r->header('Pinaud-Outcome'), 'forwarded', "$name: forwarded";
}


# reads

my ($writes, $calls) = (writes(), calls());

my $r = get($gw, "$path?page_size=2&x=%2F", @growth);
forwarded $r, 200, 'a read';
is $r->header('Pinaud-Should-Retry'), undef, 'a read: no Should-Retry';
unlike $r->header('RateLimit'), qr/account/, 'a read: the limit of all calls';
there "GET $path?page_size=2&x=%2F", '', 'a read';

for my $target ($path, create_path) {
    $r = request($gw, HEAD => $target, @growth);
    forwarded $r, 200, "HEAD $target";
    is $r->{body}, '', 'without a body';
    there "HEAD $target", '', "HEAD $target";
}

$r = request($gw, GET => $path, @growth, body => 'x' x 10000);
forwarded $r, 200, 'a read with a body';
there "GET $path", '', 'it does not go';

is writes(), $writes, 'reads are no writes';
is calls(), $calls + 4, 'but calls';


# writes

my $large = join ',', 1 .. 3000;
my %bodies = (none => undef, empty => '', small => '{"a": 1}',
    'not JSON' => "a=1&b=\x00\xff", large => $large);

($writes, $calls) = (writes(), calls());
my $n = 0;

for my $gateway ($gw, $stream) {
    my $how = $gateway == $gw ? 'buffered' : 'streamed';

    for my $method (qw(POST PUT PATCH DELETE)) {
        for my $kind (sort keys %bodies) {
            my $body = $bodies{$kind};
            my $name = "$how, $method, $kind";
            my @body = defined $body ? (body => $body) : ();

            for my $chunked (defined $body ? (undef, 2000) : undef) {
                $gw->sim->fault(kind => 'error', status => 201,
                    body => '{"done": 1}');
                my $r = request($gateway, $method, "$path?a=b", @growth,
                    @body, $chunked ? (chunked => $chunked) : ());

                forwarded $r, 201, $name;
                is $r->{body}, '{"done": 1}', "$name: the answer";
                is $r->header('Pinaud-Should-Retry'), 'false',
                    "$name: Should-Retry";

                my $fields = there "$method $path?a=b",
                    $body // '', $name;
                is_deeply $fields->{'content-type'},
                    defined $body ? ['application/json'] : undef,
                    "$name: Content-Type";
                $n++;
            }

            next if !$h2;

            for my $length (defined $body ? (length $body, undef) : 0) {
                my $r = h2($gateway, $method, $path, @growth, @body,
                    defined $length ? () : (length => undef));
                my $name = "HTTP/2, $name, "
                    . (defined $length ? 'its length' : 'no length');

                is $r->header('Pinaud-Outcome'), 'forwarded', $name;
                there "$method $path", $body // '', $name;
                $n++;
            }

        }
    }
}

is writes(), $writes + $n, 'each is charged as a write';
is calls(), $calls + $n, 'and as a call';
is $gw->metrics->{'pinaud_requests_total{operation="other",'
    . 'outcome="forwarded"}'} > 4, 1, 'counted as other calls';

for my $type ('application/x-www-form-urlencoded', 'multipart/form-data;'
    . ' boundary=x', 'application/json; charset=latin1', 'text/plain')
{
    $r = post($stream, $path, 'a=1', @growth, type => $type);
    is $r->header('Pinaud-Outcome'), 'forwarded', $type;
    my $fields = there "POST $path", 'a=1', $type;
    is_deeply $fields->{'content-type'}, [$type], "$type: as it came";
}

for my $gateway ($gw, $stream) {
    $gw->sim->fault(kind => 'error', status => 204, body => '');
    forwarded request($gateway, DELETE => $path, @growth), 204, 'no content';

    next if !$h2;

    $gw->sim->fault(kind => 'error', status => 204, body => '');
    forwarded h2($gateway, 'DELETE', $path, @growth), 204,
        'HTTP/2: no content';
    $gw->arrived;
}

$gw->arrived;


# what reaches Pinterest

$r = post($stream, $path, $large, @growth, chunked => 1000, headers => [
    'User-Agent: sdk/1', 'Accept: */*', 'Authorization: Bearer team-secret',
    'Cookie: a=b', 'Proxy-Authorization: Basic eDp5',
    'X-HTTP-Method-Override: DELETE', 'X-Forwarded-For: 1.2.3.4',
    'Via: x', 'TE: trailers', 'X-Own: 1']);
my $fields = there "POST $path", $large, 'with many fields';
is join(' ', grep { !/^(?:content-length|transfer-encoding)\z/ }
    sort keys %$fields), 'accept authorization content-type host user-agent',
    'these fields and no other';


# audiences: an update is a write, creates and reads keep their rules

created post($gw, create_path, body(), @growth), 'a create';
my ($id) = map { $_->{id} } $gw->sim->audiences;
$gw->arrived;

$r = request($gw, PATCH => create_path . "/$id", @growth,
    body => '{"name": "Other"}');
forwarded $r, 200, 'PATCH of an audience';
is $r->json->{name}, 'Other', 'it is changed';
there 'PATCH ' . create_path . "/$id", '{"name": "Other"}', 'PATCH';

$r = get($gw, create_path . "/$id", @growth);
is $r->json->{name}, 'Other', 'as a read tells';
$gw->arrived;

for my $call ([PUT => create_path], [DELETE => create_path],
    [GET => custom_path], [PATCH => custom_path],
    [POST => create_path . "/$id"], [POST => create_path . '/x'])
{
    my ($method, $target) = @$call;
    my $body = $method eq 'GET' ? undef : '{}';

    $r = request($gw, $method => $target, @growth,
        defined $body ? (body => $body) : ());
    is $r->header('Pinaud-Outcome'), 'forwarded', "$method $target";
    there "$method $target", $body // '', "$method $target";
}

for my $target (create_path, custom_path) {
    refused post($gw, $target, '{}', @growth), 'invalid-body',
        "$target: checked";
    refused post($gw, "$target?x", '{}', @growth), 'invalid-path',
        "$target: no query";
    refused post($gw, $target, body(), @growth, type => 'text/plain'),
        'unsupported-media-type', "$target: JSON only";
}

my %like = ('audiences/CUSTOM' => 1, 'Audiences' => 1, 'audiences/' => 1,
    'audiences/custom/' => 1, 'audiences//custom' => 1, 'audiences%2fcustom'
    => 1, 'x/../audiences' => 1, 'audiences/./custom' => 1);

for my $like (sort keys %like) {
    refused post($gw, "$base/$like", '{}', @growth), 'invalid-path', $like;
}

untouched $gw, 'none of them went';


# what is refused

refused post($gw, $path, '{}'), 'unknown-caller', 'no team';
refused post($gw, $path, '{}', team => 'nobody'), 'forbidden', 'another team';
refused post($gw, '/v5/ad_accounts/1/campaigns', '{}', @growth), 'forbidden',
    'another account';
refused get($gw, '/v5/ad_accounts/1/campaigns', @growth), 'forbidden',
    'a read of another account', read => 1;
refused get($gw, "$base/a/../b", @growth), 'invalid-path', 'dots', read => 1;
refused get($gw, "$base/a%2fb", @growth), 'invalid-path', 'an escape',
    read => 1;

for my $target ('/v5/user_account', $base, '/v5/ad_accounts', '/v5/pins',
    '/v5/oauth/token')
{
    refused post($gw, $target, '{}', @growth), 'not-found', $target,
        read => 1;
}

like post($gw, '/v5/oauth/token', 'x', @growth)->json->{detail},
    qr/team key/, 'oauth: what to do';

for my $method (qw(OPTIONS PROPFIND MKCOL FOO)) {
    $r = request($gw, $method => $path, @growth);
    refused $r, 'method-not-allowed', $method, read => 1;
    is $r->header('Allow'), 'GET, HEAD, POST, PUT, PATCH, DELETE',
        "$method: Allow";
}

refused post($gw, $path, '{}', @growth, headers => ['Idempotency-Key: a']),
    'invalid-body', 'Idempotency-Key';
refused post($gw, $path, '{}', @growth, headers => ['Pinaud-Dry-Run: ?1']),
    'invalid-body', 'a dry run';
refused post($gw, $path, '{}', @growth, headers => ['Content-Encoding: gzip']),
    'unsupported-media-type', 'Content-Encoding';
refused post($gw, $path, '{}', @growth, headers => ['Content-Type: a/b']),
    'unsupported-media-type', 'two Content-Type lines';

untouched $gw, 'none of them went';

forwarded post($gw, $path, '{}', team => 'tight'), 200, "its $_" for 1, 2;
$r = post($gw, $path, '{}', team => 'tight', expect => 1);
refused $r, 'quota-exceeded', 'over quota';
ok !$r->{continued}, 'its body is not asked for';
refused post($gw, create_path, body(), team => 'tight'), 'quota-exceeded',
    'creates are of the same quota';
is get($gw, $path, team => 'tight')->{status}, 200, 'a read goes on';
is scalar($gw->arrived), 3, 'these arrived';

$r = post($stream, $path, '{}', @growth, expect => 1);
forwarded $r, 200, 'Expect';
ok $r->{continued}, 'its body is asked for once it is admitted';
$gw->arrived;

for my $mode ('audiences', 'off') {
    my $other = Pinaud::Gateway->new(with => $gw,
        location => "pinaud_passthrough $mode;");

    refused post($other, $path, '{}', @growth), 'not-found', "$mode: POST",
        read => 1;
    refused get($other, $path, @growth), 'not-found', "$mode: GET",
        read => 1;
    refused request($other, PATCH => create_path . '/1', body => '{}',
        @growth), $mode eq 'off' ? 'not-found' : 'method-not-allowed',
        "$mode: PATCH", read => 1;
    untouched $gw, "$mode: nothing went";
    $other->nginx->stop;
}


# bodies are streamed: what is here is there, before there is more

my @streams = (['its length', {}], ['chunks', { chunked => 1 }],
    $h2 ? (['HTTP/2', { h2 => 1 }], ['HTTP/2, no length', { h2 => 2 }]) : ());

for my $case (@streams) {
    my ($name, $how) = @$case;
    my ($one, $two) = ('first,' x 2000, 'second' x 2000);
    my $both = $one . $two;
    my ($c, $last, $id);

    $gw->sim->forget;

    if ($how->{h2}) {
        $c = Pinaud::HTTP2->connect($stream);
        $id = $c->open('POST', $path, @growth, open => 1,
            headers => [$how->{h2} == 1 ? 'content-length: ' . length $both
                : ()]);
        $c->data($id, $one);
        $last = sub { $c->data($id, $two, 1); $c->response($id) };

    } else {
        my $chunk = sub { !$how->{chunked} ? $_[0]
            : sprintf("%x\r\n%s\r\n", length $_[0], $_[0]) };

        $c = Pinaud::HTTP->connect($stream);
        $c->send(Pinaud::HTTP::head('POST', $path, body => $both, @growth,
            %$how) . $chunk->($one));
        $last = sub { $c->send($chunk->($two) . ($how->{chunked}
            ? "0\r\n\r\n" : '')); $c->response };
    }

    ok wait_until(sub {
        my ($there) = $gw->sim->requests;
        $there && $there->{body} eq $one && !$there->{whole};
    }, 3), "$name: the first half is there before the second is sent";

    forwarded $last->(), 200, $name;

    my ($there) = $gw->sim->requests;
    ok $there->{body} eq $both, "$name: then all of it";
    like $there->{head}, qr/\r\nAuthorization: Bearer \S+\r\n\r\n\z/,
        "$name: the token is in the head";
    is scalar(() = $there->{head} =~ /^(?:Content-Length|Transfer-Encoding):/mg),
        1, "$name: one length";
}

$gw->sim->forget;


# 24 MB go through, in little memory and no file

my $sink = sink();
my $size = 24 << 20;
my $piece = join '', map { chr(rand 256) } 1 .. 65536;

my $http = Pinaud::Gateway->new(with => $gw, upstream => 'http',
    locations => <<EOF);
        location /v5/ {
            pinaud on;
            pinaud_team \$http_x_team;
            pinaud_passthrough on;
            proxy_request_buffering off;
            proxy_pass http://127.0.0.1:$sink->{port};
@{[ do { local $gw->{proxy} = { client_max_body_size => 0 };
    $gw->proxy_conf } ]}
        }
EOF

for my $chunked (0, 1) {
    my $name = $chunked ? '24 MB in chunks' : '24 MB';
    my $c = Pinaud::HTTP->connect($http, timeout => 60);
    my $sha = Digest::SHA->new(256);

    $c->send(Pinaud::HTTP::head('PUT', $path, @growth, body => '',
        $chunked ? (chunked => 1) : (length => $size)));

    for (1 .. $size / length $piece) {
        $sha->add($piece);
        $c->send($chunked ? sprintf("%x\r\n", length $piece) . $piece . "\r\n"
            : $piece);
    }

    $c->send("0\r\n\r\n") if $chunked;

    my $r = $c->response(timeout => 30);
    forwarded $r, 200, $name;
    is_deeply eval { $r->json }, { size => $size, sha => $sha->hexdigest,
        chunked => $chunked, token => $gw->token }, "$name: the very bytes";
}

my ($rss) = map { slurp("/proc/$_/status") =~ /^VmHWM:\s+(\d+)/m }
    $http->nginx->workers;
cmp_ok $rss, '<', $ENV{PINAUD_NGINX} ? 400_000 : 24_000,
    "in $rss KB of memory";
unlike $http->nginx->log, qr/buffered to a temporary file/, 'and no file';


# what goes wrong

($writes, $calls) = (writes(), calls());
$gw->arrived;
$gw->sim->refuse;

for my $gateway ($gw, $stream) {
    refused post($gateway, $path, $large, @growth, chunked => 5000),
        'upstream-unreachable', 'nobody listens';
}

$gw->sim->accept;
wait_until(sub { writes() == $writes }, 1);
is writes(), $writes, 'nobody listens: given back';
is calls(), $calls, 'all of it';

$gw->sim->fault(kind => 'truncate');
refused post($gw, $path, '{}', @growth), 'outcome-unknown', 'half an answer';
is writes(), $writes + 1, 'half an answer: it stays charged';
$gw->arrived;

# a client that leaves amid its body

my $c;

$c = Pinaud::HTTP->connect($stream);
$c->send(Pinaud::HTTP::head('POST', $path, @growth, body => '',
    length => 10000) . 'x' x 5000);
ok wait_until(sub { $gw->sim->requests(qr/campaigns/) && ($gw->sim->requests(
    qr/campaigns/))[-1]{body} eq 'x' x 5000 }, 3), 'half of a body came';
$c->abort;
ok wait_until(sub { ($gw->sim->requests(qr/campaigns/))[-1]{left} }, 3),
    'the client left, so do we';
ok wait_until(sub { ($stream->access_log)[-1]{outcome} eq 'unknown' }, 2),
    'its outcome is unknown';
is writes(), $writes + 2, 'it stays charged';

# a body that grows too large on its way

$c = Pinaud::HTTP->connect($stream);
$c->send(Pinaud::HTTP::head('POST', $path, @growth, body => '',
    chunked => 1));

for (1 .. 20) {
    $c->send(sprintf("%x\r\n", 65536) . 'x' x 65536 . "\r\n") or last;
}

refused $c->response, 'too-large', 'too large, in chunks';
ok !($gw->sim->requests(qr/campaigns/))[-1]{whole}, 'it never was whole';
refused post($stream, $path, '', @growth, length => 3 << 20), 'too-large',
    'too large, by its length';
$gw->arrived;


# Pinterest's 401

($writes, $calls) = (writes(), calls());

for my $gateway ($gw, $stream) {
    my $how = $gateway == $gw ? 'buffered' : 'streamed';

    $gw->sim->revoke($gw->token);
    $gw->{token} = $gw->sim->token(accounts => [account()]);
    push @tokens, $gw->token;
    $gw->sim->fault(kind => 'delay', seconds => 0.4, path => 'campaigns');
    $gw->sim->forget;

    my $c = Pinaud::HTTP->connect($gateway);
    $c->send(Pinaud::HTTP::head('PATCH', $path, @growth, body => $large)
        . $large);
    ok wait_until(sub { scalar $gw->sim->requests }, 2), "401, $how: came";
    $gw->must_ctl(qw(credential put main --access-token-file -),
        \$gw->token);
    my $r = $c->response;
    my @there = $gw->sim->requests;

    if ($gateway == $gw) {
        is $r->header('Pinaud-Outcome'), 'forwarded', "401, $how: forwarded";
        is scalar @there, 2, "401, $how: twice";
        ok $there[1]{body} eq $large, "401, $how: the same body";
        like $there[1]{head}, qr/^Authorization: Bearer \Q${\$gw->token}\E\r/m,
            "401, $how: the newer token";

    } else {
        refused $r, 'credential-unavailable', "401, $how", retry => 'true';
        is scalar @there, 1, "401, $how: once";
    }

    is $r->header('WWW-Authenticate'), undef, "401, $how: no challenge";
}

wait_until(sub { writes() == $writes + 1 }, 1);
is writes(), $writes + 1, '401: one charge, for the one that went again';

# streamed, with a retry location, and with more of the body yet to come

my $both = Pinaud::Gateway->new(with => $gw, retry => 1,
    location => 'pinaud_passthrough on; proxy_request_buffering off;',
    proxy => { client_body_buffer_size => '4k' });
$gw->sim->forget;

my $sent = sink(status => 401);
$both->{locations} = $both->locations =~ s{https://pinterest}
    {http://127.0.0.1:$sent->{port}}r;
$both->restart_nginx;

$writes = writes();
$c = Pinaud::HTTP->connect($both);
$c->send(Pinaud::HTTP::head('PATCH', $path, @growth, body => '',
    length => 100000) . 'x' x 50000);
$r = $c->response;
refused $r, 'credential-unavailable', '401 amid the body';
is $r->header('WWW-Authenticate'), undef, '401 amid the body: no challenge';
wait_until(sub { writes() == $writes }, 1);
is writes(), $writes, '401 amid the body: given back';


# report: quota is told, the stream goes on

my $report = Pinaud::Gateway->new(with => $gw, location => 'pinaud_report 1;'
    . ' pinaud_passthrough on; proxy_request_buffering off;');
$gw->sim->forget;

for my $chunked (undef, 700) {
    $r = post($report, $path, $large, team => 'tight', chunked => $chunked);
    forwarded $r, 200, 'report';
    is $r->header('Pinaud-Would-Refuse'), 'over_quota', 'report: told';
    there "POST $path", $large, 'report';
}


# the gate: no other length, method, path or body than the client's

my %tricks = (
    'another length' => 'proxy_set_header Content-Length 3;',
    'no length' => 'proxy_set_header Content-Length "";',
    'chunks that are none' => 'proxy_set_header Transfer-Encoding chunked;',
    'both' => 'proxy_set_header Transfer-Encoding chunked;
        proxy_set_header Content-Length 7;',
    'chunks for a length' => 'proxy_set_header Transfer-Encoding chunked;
        proxy_set_header Content-Length "";',
    'another coding' => 'proxy_set_header Transfer-Encoding gzip;',
    'another method' => 'proxy_method HEAD;',
    'another body' => 'proxy_set_body "x";',
    'a body with an end' => 'proxy_set_body "a: b\r\n\r\n";',
);

for my $name (sort keys %tricks) {
    for my $buffering ('on', 'off') {
        local $stream->{location} = "pinaud_passthrough on; $tricks{$name}
            proxy_request_buffering $buffering;";
        $stream->nginx->conf($stream->http)->reload;
        $gw->sim->forget;

        for my $chunked (undef, 3000) {
            my $r = post($stream, $path, $large, @growth,
                chunked => $chunked);
            my ($there) = $gw->sim->requests;

            # what nginx makes of it without harm may go

            ok $r->{status} == 500 && !$there || $there
                && $there->{body} eq $large && $there->{method} eq 'POST'
                && 1 == (() = $there->{head}
                    =~ /^(?:Content-Length|Transfer-Encoding):/mgi),
                "$name, buffering $buffering"
                or diag $r->{status}, $there ? $there->{head} : '';
            $gw->sim->forget;
        }
    }
}


# no token and no body in a log, at debug too

for my $gateway ($gw, $stream, $http, $both, $report) {
    my $logs = join '', map { slurp($_) }
        glob $gateway->nginx->dir . '/logs/*';

    is scalar(grep { index($logs, $_) >= 0 } @tokens), 0,
        'no token in the logs';
}

finish();


# A server of its own that counts what comes, one connection at a time.

sub sink {
    my %opt = @_;

    my $listen = IO::Socket::INET->new(Listen => 5, ReuseAddr => 1,
        LocalAddr => '127.0.0.1') or die "listen: $!";

    daemon(sub {
        alarm 120;

        while (my $socket = $listen->accept) {
            serve($socket, %opt);
            close $socket;
        }
    });

    return { port => $listen->sockport };
}


sub serve {
    my ($socket, %opt) = @_;

    my ($in, $size) = ('', 0);
    my $sha = Digest::SHA->new(256);
    my $more = sub { sysread $socket, $in, 1 << 20, length $in };

    while ($in !~ /\r\n\r\n/) {
        $more->() or return;
    }

    $in =~ s/^(.*?\r\n\r\n)//s;
    my $head = $1;
    my $chunked = $head =~ /^Transfer-Encoding: chunked\r/mi ? 1 : 0;
    my ($left) = $chunked ? 0 : $head =~ /^Content-Length: (\d+)/mi;
    my ($token) = $head =~ /^Authorization: Bearer (\S+)/m;

    my $take = sub {
        my $n = shift;

        while ($n) {
            length $in or $more->() or return 0;
            my $part = substr $in, 0, $n, '';
            $sha->add($part);
            $size += length $part;
            $n -= length $part;
        }

        return 1;
    };

    if ($opt{status}) {
        $left = 0;
    }

    $take->($left) or return if $left;

    while ($chunked) {
        while ($in !~ /^[0-9a-f]+\r\n/i) {
            $more->() or return;
        }

        $in =~ s/^([0-9a-f]+)\r\n//i;
        my $n = hex $1;
        $take->($n) or return;

        while (length $in < 2) {
            $more->() or return;
        }

        substr $in, 0, 2, '';
        last if !$n;
    }

    my $body = JSON::PP->new->encode({ size => $size, chunked => $chunked,
        sha => $sha->hexdigest, token => $token });

    syswrite $socket, 'HTTP/1.1 ' . ($opt{status} // 200) . " X\r\n"
        . "WWW-Authenticate: Bearer\r\nContent-Length: " . length($body)
        . "\r\n\r\n$body";
    sleep 0.3 if $opt{status};
}
