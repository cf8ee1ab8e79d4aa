#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What reaches Pinterest and what comes back: every way in which a client can
# send a body, over HTTP/1.1 and HTTP/2; the fields of both directions; reads.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Test::More;

my $gw = Pinaud::Gateway->new(retry => 1,
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [], brand => ['500/60s'] } } },
    proxy => { client_body_buffer_size => '4k' });

my $small = '{"name":"N","audience_type":"VISITOR","rule":{'
    . '"visitor_source_id":["1"],"retention_days":"30"}}';
my $small_edited = '{"name":"N","audience_type":"VISITOR","rule":{'
    . '"visitor_source_id":"1","retention_days":30}}';

# larger than the buffer, hence in a temporary file

my $large = $small =~ s/"name"/' ' x 12000 . '"name"'/er;
my $large_edited = $small_edited =~ s/"name"/' ' x 12000 . '"name"'/er;

my %bodies = (small => [$small, $small_edited],
    'of a file' => [$large, $large_edited]);


# ways to send a body

my %ways = (
    'with its length' => {},
    'in one chunk' => { chunked => 100000 },
    'in chunks' => { chunked => 7 },
    'after 100 Continue' => { expect => 1 },
    'in chunks after 100 Continue' => { expect => 1, chunked => 1000 },
);

for my $size (sort keys %bodies) {
    my ($body, $edited) = @{ $bodies{$size} };

    for my $way (sort keys %ways) {
        my $r = post($gw, create_path, $body, team => 'growth',
            %{ $ways{$way} });

        created $r, "$size, $way";
        ok $r->{continued}, '100 Continue came' if $ways{$way}{expect};
        arrived_ok $gw, $edited, "$size, $way: arrived";
    }

    SKIP: {
        skip 'nginx without HTTP/2', 4
            if !Pinaud::Nginx->has('http_v2_module');

        for my $way ('with its length', 'without a length') {
            my $r = h2($gw, 'POST', create_path, body => $body,
                team => 'growth', $way =~ /out/ ? (length => undef) : ());

            is $r->{version}, 'HTTP/2', 'HTTP/2';
            created $r, "HTTP/2, $size, $way";
            arrived_ok $gw, $edited, "HTTP/2, $size, $way: arrived";
        }
    }
}

# byte by byte, with waits of the reader in between

my $c = Pinaud::HTTP->connect($gw);
my $head = Pinaud::HTTP::head('POST', create_path, body => $small,
    team => 'growth');

$c->send(substr $head, 0, 20);
Time::HiRes::sleep(0.05);
$c->send(substr $head, 20);

for my $byte (split //, $small) {
    Time::HiRes::sleep(0.002);
    $c->send($byte);
}

created $c->response, 'byte by byte';
arrived_ok $gw, $small_edited, 'byte by byte: arrived';

# more on the same connection, also before the answers are there

for my $n (1 .. 3) {
    created $c->request(POST => create_path, body => $small,
        team => 'growth'), "kept alive, $n";
    arrived_ok $gw, $small_edited, "kept alive, $n: arrived";
}

my $chunked = Pinaud::HTTP::head('POST', create_path, body => $small,
    chunked => 1, team => 'growth') . Pinaud::HTTP::chunks($small, 9);

$c->send(($head . $small) x 2 . $chunked
    . Pinaud::HTTP::head('GET', create_path, team => 'growth'));
created $c->response, "pipelined, $_" for 1 .. 3;
my $list = $c->response;
is ref $list->json->{items}, 'ARRAY', 'pipelined, then a read';
is scalar($gw->arrived), 4, 'all of them arrived';


# what reaches Pinterest

my $r = post($gw, create_path, $small, team => 'growth',
    type => 'Application/JSON; charset="UTF-8"',
    headers => ['User-Agent: sdk/1', 'Accept: application/json, */*',
        'Authorization: Bearer team-secret', 'Cookie: a=b',
        'Proxy-Authorization: Basic eDp5', 'X-HTTP-Method-Override: DELETE',
        'X-Forwarded-For: 1.2.3.4', 'Forwarded: for=1', 'X-Real-IP: 1.2.3.4',
        'Accept-Encoding: gzip', 'Via: x', 'TE: trailers', 'Upgrade: h2c',
        'If-None-Match: "x"', 'Range: bytes=0-1', 'X-Own: 1',
        'Content-Language: de', 'Referer: http://x/']);

created $r, 'with many fields';
my $there = arrived_ok $gw, $small_edited, 'with many fields: arrived';

is join(' ', sort map { lc $_->[0] } @{ $there->{headers} }),
    'accept authorization content-length content-type host user-agent',
    'these fields and no other';

my %fields = map { lc $_->[0] => $_->[1] } @{ $there->{headers} };
is $fields{'user-agent'}, 'sdk/1', 'User-Agent is the client\'s';
is $fields{accept}, 'application/json, */*', 'Accept, too';
like $fields{'content-type'}, qr{^application/json}i, 'and Content-Type';
is "$there->{method} $there->{target}", 'POST ' . create_path, 'the call';
is $there->{sni}, 'api.pinterest.com', 'over TLS to api.pinterest.com';


# what comes back

for my $field (qw(x-pinterest-rid x-pinterest-rid-128bit pinterest-version
    x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset))
{
    ok defined $r->header($field), "$field comes back";
}

is $r->header('x-pinterest-rid'), $there->{rid}, 'Pinterest\'s id';
is $r->{body}, $there->{answer}, 'Pinterest\'s body, byte for byte';
is $r->header('Set-Cookie'), undef, 'no cookie';
is $r->header('Pinaud-Outcome'), 'forwarded', 'Pinaud-Outcome';
like $r->header('Pinaud-Request-Id'), qr/^[0-9a-f]{32}$/,
    'Pinaud-Request-Id';
is $r->header('Pinaud-Should-Retry'), 'false', 'Pinaud-Should-Retry';
is $r->header('Pinaud-Edits'), '"/rule/visitor_source_id", '
    . '"/rule/retention_days"', 'Pinaud-Edits';
is $r->header('Pinaud-Would-Refuse'), undef, 'no Pinaud-Would-Refuse';
is $r->header('WWW-Authenticate'), undef, 'no WWW-Authenticate';
like $r->header('RateLimit-Policy'), qr/"account-60s";q=1000;w=60/,
    'RateLimit-Policy';
like $r->header('RateLimit'), qr/"account-60s";r=9\d\d;t=\d+/, 'RateLimit';

my $other = post($gw, create_path, $small_edited, team => 'brand');
is $other->header('Pinaud-Edits'), undef, 'no edits: no Pinaud-Edits';
like $other->header('RateLimit-Policy'), qr/"team-60s";q=500;w=60/,
    'the team\'s policy';
isnt $other->header('Pinaud-Request-Id'), $r->header('Pinaud-Request-Id'),
    'another id';
arrived_ok $gw, $small_edited, 'not edited: as it came';


# Pinterest's refusals are Pinterest's

sub told {
    my $status = shift;

    my $text = "{\"code\": $status, \"message\":  \"as it is\"}";

    $gw->sim->fault(kind => 'error', status => $status, body => $text,
        headers => [['X-Of', 'Pinterest']]);
    my $r = post($gw, create_path, $small, team => 'growth');

    is $r->{status}, $status, "Pinterest says $status";
    is $r->{body}, $text, "$status: its body";
    is $r->header('X-Of'), 'Pinterest', "$status: its fields";
    is $r->header('Pinaud-Outcome'), 'forwarded', "$status: its answer";
    is $r->header('Set-Cookie'), undef, "$status: no cookie";
    is $r->header('Pinaud-Should-Retry'), $status == 429 ? 'true' : 'false',
        "$status: Pinaud-Should-Retry";
    arrived_ok $gw, $small_edited, "$status: sent once";
}


told $_ for 400, 403, 404, 409, 500, 503;

$gw->sim->fault(kind => 'error', status => 500, body => '');
$r = post($gw, create_path, $small, team => 'growth');
is $r->{status}, 500, 'an error without a body';
is $r->{body}, '', 'stays without';
$gw->arrived;


# reads

$r = get($gw, create_path, team => 'growth');
is $r->{status}, 200, 'the list';
cmp_ok scalar @{ $r->json->{items} }, '>', 10, 'has what was created';
is $r->header('Pinaud-Outcome'), 'forwarded', 'Pinaud-Outcome of a read';
is $r->header('Pinaud-Should-Retry'), undef, 'no Pinaud-Should-Retry';
is $r->header('Set-Cookie'), undef, 'no cookie';

($there) = $gw->arrived;
is $there->{method}, 'GET', 'a read arrived';
is $there->{body}, '', 'without a body';
is +(grep { lc $_->[0] eq 'authorization' } @{ $there->{headers} })[0][1],
    'Bearer ' . $gw->token, 'with the token';

my $id = $r->json->{items}[0]{id};
$r = get($gw, create_path . "/$id", team => 'growth');
is $r->json->{id}, $id, 'one audience';

$r = get($gw, create_path . '?page_size=2&bookmark=1', team => 'growth');
is scalar @{ $r->json->{items} }, 2, 'a read may have a query';
is +($gw->arrived)[-1]{target}, create_path . '?page_size=2&bookmark=1',
    'which arrives as it is';

$r = get($gw, create_path . '/1', team => 'growth');
is $r->{status}, 404, 'none such: Pinterest\'s answer';
is $r->json->{code}, 404, 'its code';
$gw->arrived;

SKIP: {
    skip 'nginx without HTTP/2', 2 if !Pinaud::Nginx->has('http_v2_module');

    $r = h2($gw, 'GET', create_path, team => 'growth');
    is $r->{status}, 200, 'a read over HTTP/2';
    is scalar($gw->arrived), 1, 'arrived once';
}

my ($exit, $usage) = $gw->ctl('--json', 'usage', account);
is $exit, 0, 'usage';
unlike $usage, qr/\Q@{[ $gw->token ]}\E/, 'the token is not in it';


# the other operation, and an account's id in the body

for my $body (custom_body(), custom_body(ad_account_id => account)) {
    created post($gw, custom_path, $body, team => 'growth'), 'create_custom';
    my $there = arrived_ok $gw, $body, 'create_custom: as it came';
    is $there->{target}, custom_path, 'create_custom: the call';
}


# nothing of a secret in logs

my $logs = $gw->nginx->log . join '', map { Pinaud::Process::slurp($_) }
    glob $gw->nginx->dir . '/logs/*';

unlike $logs, qr/\Q@{[ $gw->token ]}\E/, 'no token in the logs';
unlike $logs, qr/team-secret|visitor_source_id/,
    'no key of a team and no body';

my ($entry) = $gw->access_log;
is $entry->{outcome}, 'forwarded', 'the log line: outcome';
is $entry->{account}, account, 'the log line: account';
is $entry->{team}, 'growth', 'the log line: team';
is $entry->{credential}, 'main', 'the log line: credential';
is $entry->{operation}, 'audiences/create', 'the log line: operation';
is $entry->{audience_type}, 'VISITOR', 'the log line: type';
is $entry->{upstream_status}, 200, 'the log line: Pinterest\'s status';
like $entry->{pinterest_rid}, qr/^\d{16}$/, 'the log line: Pinterest\'s id';

# the last, since it is heeded: the next writes are held back

told 429;

finish();
