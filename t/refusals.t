#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Refusals: which one answers, how it looks, and that nothing is forwarded.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Test::More;

my $gw = Pinaud::Gateway->new(
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [], brand => ['2/60s'] } } },
    proxy => { client_max_body_size => '8k' });

my $path = create_path;
my @growth = (team => 'growth');


# callers

refused post($gw, $path, body()), 'unknown-caller', 'no team';
refused post($gw, $path, body(), team => ''), 'unknown-caller',
    'an empty team';
refused post($gw, $path, body(), team => 'nobody'), 'forbidden',
    'another team';
refused post($gw, create_path('1'), body(), @growth), 'forbidden',
    'another account';

my ($team, $account) = map { $_->json } post($gw, $path, body(),
    team => 'nobody'), post($gw, create_path('1'), body(), @growth);
delete $_->{request_id} for $team, $account;
is_deeply $team, $account, 'both are answered alike';

for my $name ('a b', 'a:b', "a\tb", 'a*', '{x}', 'x' x 65, "\xe4") {
    refused post($gw, $path, body(), team => $name), 'forbidden',
        "team $name";
}

refused get($gw, $path), 'unknown-caller', 'a read without a team',
    read => 1;
refused get($gw, $path, team => 'nobody'), 'forbidden',
    'a read of another team', read => 1;


# media types

my @refused_types = ('text/plain', 'application/jsonx', 'application/json x',
    'application/problem+json', 'application/json; charset=latin1',
    'application/json; charset="utf-16"', 'application/json; charset',
    'application/json;charset=utf-8;charset=latin1', 'json', '',
    'application/json, application/json');

for my $type (@refused_types) {
    refused post($gw, $path, body(), @growth, type => $type),
        'unsupported-media-type', "Content-Type: $type";
}

refused post($gw, $path, body(), @growth, type => undef),
    'unsupported-media-type', 'no Content-Type';
refused post($gw, $path, body(), @growth,
    headers => ['Content-Type: application/json']),
    'unsupported-media-type', 'two Content-Type lines';

for my $coding ('gzip', 'identity, gzip', 'br', 'deflate') {
    refused post($gw, $path, body(), @growth,
        headers => ["Content-Encoding: $coding"]),
        'unsupported-media-type', "Content-Encoding: $coding";
}

untouched $gw, 'nothing was forwarded';

for my $type ('application/json', 'APPLICATION/JSON',
    'application/json;charset=utf-8', 'application/json ; charset=UTF-8',
    'application/json; charset="utf-8"', 'application/json; x=y')
{
    created post($gw, $path, body(), @growth, type => $type),
        "Content-Type: $type";
    arrived_ok $gw, body(), "Content-Type: $type, arrived";
}

created post($gw, $path, body(), @growth,
    headers => ['Content-Encoding: identity']), 'Content-Encoding: identity';
arrived_ok $gw, body(), 'Content-Encoding: identity, arrived';


# lengths

my $big = body(name => 'x' x 9000);

refused post($gw, $path, $big, @growth), 'too-large', 'too large';
refused post($gw, $path, $big, @growth, chunked => 1000), 'too-large',
    'too large in chunks';

my $r = post($gw, $path, $big, @growth, expect => 1);
refused $r, 'too-large', 'too large, with Expect';
ok !$r->{continued}, 'the body was not asked for';

$r = post($gw, $path, body(), @growth, expect => 1, type => 'text/plain');
refused $r, 'unsupported-media-type', 'another type, with Expect';
ok !$r->{continued}, 'the body was not asked for';

refused post($gw, $path, '', @growth), 'invalid-body', 'an empty body';
is errors(post($gw, $path, '', @growth)), ' syntax 0', 'its error';
refused request($gw, POST => $path, @growth, headers => [
    'Content-Type: application/json']), 'invalid-body', 'no body';
refused post($gw, $path, '', @growth, chunked => 1), 'invalid-body',
    'no chunk';

my $c = Pinaud::HTTP->connect($gw);
$c->send(Pinaud::HTTP::head('POST', $path, body => body(), @growth,
    headers => ['Content-Length: 5']) . body());
$r = $c->response;
is $r->{status}, 400, 'two lengths';

$c = Pinaud::HTTP->connect($gw);
$c->send(Pinaud::HTTP::head('POST', $path, body => body(), @growth,
    headers => ['Transfer-Encoding: chunked'])
    . Pinaud::HTTP::chunks(body(), 100));
$r = $c->response;
is $r->{status}, 400, 'a length and chunks';

$c = Pinaud::HTTP->connect($gw);
$c->send(Pinaud::HTTP::head('POST', $path, body => body(), @growth,
    chunked => 1) . "zz\r\n" . body());
is $c->response->{status}, 400, 'a malformed chunk';

SKIP: {
    skip 'nginx without HTTP/2', 4 if !Pinaud::Nginx->has('http_v2_module');

    refused h2($gw, 'POST', $path, body => '{}', @growth), 'invalid-body',
        'HTTP/2: a body';
    refused h2($gw, 'POST', $path, body => body(), @growth,
        type => 'text/plain'), 'unsupported-media-type', 'HTTP/2: a type';
    refused h2($gw, 'POST', $path, body => body()), 'unknown-caller',
        'HTTP/2: no team';
    refused h2($gw, 'POST', $path, body => body(), team => 'nobody'),
        'forbidden', 'HTTP/2: another team';
}

untouched $gw, 'nothing was forwarded';


# fields that promise what is not there

refused post($gw, $path, body(), @growth, headers => ['Idempotency-Key: a']),
    'invalid-body', 'Idempotency-Key';
untouched $gw, 'is not forwarded';


# which one answers, where several could: path, team, type, body, account

refused post($gw, "$path/", '{', type => 'x'), 'invalid-path',
    'the path before the team';
refused post($gw, $path, '{', type => 'x'), 'unknown-caller',
    'the team before the type';
refused post($gw, $path, '{', team => 'nobody', type => 'x'),
    'unsupported-media-type', 'the type before the body';
refused post($gw, $path, $big, team => 'nobody', type => 'x',
    chunked => 5000), 'unsupported-media-type', 'the type before the length';
refused post($gw, $path, $big, type => 'x'), 'too-large',
    'where nginx itself knows the length, that is first';
refused post($gw, $path, '{', team => 'nobody'), 'invalid-body',
    'the body before the team\'s account';
refused post($gw, $path, '{}', team => 'brand'), 'invalid-body',
    'the body before the quota';
created post($gw, $path, body(), team => 'brand'), 'the quota is untouched'
    for 1, 2;
refused post($gw, $path, body(), team => 'brand'), 'quota-exceeded',
    'the quota';
refused post($gw, $path, '{}', team => 'brand'), 'invalid-body',
    'the body before an exhausted quota';


$gw->arrived;


# the quota's refusal

$r = post($gw, $path, body(), team => 'brand');
my $problem = $r->json;
my $retry = $r->header('Retry-After');

is_deeply $problem->{'violated-policies'}, ['team-60s'], 'violated-policies';
like $r->header('RateLimit'), qr/"team-60s";r=0;t=\d+/, 'RateLimit';
my ($t) = $r->header('RateLimit') =~ /"team-60s";r=0;t=(\d+)/;
cmp_ok $retry, '>=', $t, 'Retry-After is not before RateLimit\'s t';
# what a ring forgets it forgets by the slot, two of which are to spare
cmp_ok $retry, '<=', 63, 'and not long after the window';
like $r->header('x-ratelimit-limit'), qr/^2, 2;w=60;name="/,
    'Pinterest\'s form, too';
is $r->header('x-ratelimit-remaining'), 0, 'nothing remains';
is $r->header('x-ratelimit-reset'), $retry, 'x-ratelimit-reset';
is $problem->{code}, 8, 'Pinterest\'s code';


# how it looks

my %accepts = (
    'nothing' => [],
    '*/*' => ['Accept: */*'],
    'problem' => ['Accept: application/problem+json'],
    'both' => ['Accept: application/json, application/problem+json'],
    'any application' => ['Accept: application/*'],
    'json and any' => ['Accept: application/json, text/plain, */*'],
    'text' => ['Accept: text/html'],
);

for my $name (sort keys %accepts) {
    refused post($gw, $path, '{}', @growth, headers => $accepts{$name}),
        'invalid-body', "Accept: $name";
}

for my $accept ('application/json', 'Application/JSON', 'application/json;q=1',
    'text/plain, application/json',
    'application/json, application/problem+json;q=0')
{
    refused post($gw, $path, '{}', @growth, headers => ["Accept: $accept"]),
        'invalid-body', "Accept: $accept",
        content_type => 'application/json';
}

refused post($gw, $path, '{}', @growth, headers => ['Accept: text/plain',
    'Accept: application/json']), 'invalid-body', 'Accept in two lines',
    content_type => 'application/json';

$r = post($gw, $path, '{"name": "secret-value", "secret-name": 1}', @growth);
unlike $r->{body} . $r->{raw}, qr/secret-value/,
    'a refusal does not repeat values';
is $r->header('Pinaud-Edits'), undef, 'nothing is edited';
is $r->json->{detail}, '3 errors in the request body', 'detail';
like $r->json->{message}, qr{^3 errors in the request body: /\S+ }, 'message';
is scalar(@{ $r->json->{errors} }), 3, 'errors';


# a connection stays usable after a refusal

$c = Pinaud::HTTP->connect($gw);

for my $n (1 .. 3) {
    refused $c->request(POST => $path, body => '{}', @growth),
        'invalid-body', "kept alive, $n";
    created $c->request(POST => $path, body => body(), @growth),
        "kept alive, then a good one, $n";
}

$gw->arrived;


# dry runs

my @dry = (@growth, headers => ['Pinaud-Dry-Run: ?1']);
my $edited = body(rule => { visitor_source_id => '1' });

$r = post($gw, $path, body(rule => { visitor_source_id => ['1'] }), @dry);
is $r->{status}, 200, 'a dry run';
is $r->header('Pinaud-Outcome'), 'dry_run', 'its outcome';

my $would = $r->json;
is $would->{would}, 'forwarded', 'would be forwarded';
is_deeply $would->{body}, JSON::PP->new->utf8->decode($edited),
    'the body as it would be sent';
is scalar @{ $would->{edits} }, 1, 'the edit';
ok @{ $would->{limits} }, 'the limits';

refused post($gw, $path, '{}', @dry), 'invalid-body', 'a dry run of no body';
refused post($gw, $path, body(), team => 'brand',
    headers => ['Pinaud-Dry-Run: ?1']), 'quota-exceeded',
    'a dry run over quota';
refused post($gw, $path, body(), team => 'nobody',
    headers => ['Pinaud-Dry-Run: ?1']), 'forbidden',
    'a dry run of another team';

untouched $gw, 'a dry run is not forwarded';

created post($gw, $path, body(), @growth, headers => ['Pinaud-Dry-Run: ?0']),
    'no dry run';
$gw->arrived;

finish();
