#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Report mode: what the body and the quota would be refused for is told and
# not enforced, by team, and the bytes go as they came. Other refusals stand.

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
use Time::HiRes qw(sleep);

my $gw = Pinaud::Gateway->new(retry => 1,
    limits => ['none'], limits_all => ['none'],
    accounts => { account() => { limits => ['1000/60s'], teams => {
        report => [], tight => ['2/60s'], strict => ['2/60s'],
        either => ['2/60s'], many => ['3/60s'] } } },
    http => 'map $pinaud_team $report { report 1; many 1; tight yes; strict 0;
        either $http_x_report; default ""; }',
    location => 'pinaud_report $report;',
    proxy => { client_body_buffer_size => '4k',
        client_max_body_size => '32k' });

my $path = create_path;
my @report = (team => 'report');
my $valid = body();


sub would {
    my ($r, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is $r->header('Pinaud-Would-Refuse'), $expected,
        "$name: Pinaud-Would-Refuse";
    is $r->header('Pinaud-Outcome'), 'forwarded', "$name: forwarded"
        or diag $r->{body};
}


# How many of the account's limit are used, by what a dry run tells.

sub used {
    my $r = post($gw, $path, $valid, @report,
        headers => ['Pinaud-Dry-Run: ?1']);
    my ($left) = $r->header('RateLimit') =~ /"account-60s";r=(\d+)/;

    return 1000 - $left - 1;
}


sub would_metric {
    my $outcome = shift;

    return $gw->metrics->{"pinaud_would_refuse_total{outcome=\"$outcome\"}"};
}


is would_metric('invalid'), 0, 'the metric is there from the start';
is would_metric('over_quota'), 0, 'for both outcomes';


# bodies

my %bodies = (
    'no JSON' => 'name=N&rule=x',
    'half of it' => '{"name": "N", "rule"',
    'no object' => ' [1, 2]',
    'no members' => '{}',
    'an empty body' => '',
    'bytes that are not UTF-8' => body(name => 'N') =~ s/"N"/"\xff\x00"/r,
    'a range' => custom_body(rule => { seed_id => ['1'], country => 'US',
        percentage => 11 }),
    'another account' => body(ad_account_id => '1'),
    'a file of errors' => '{"name": ' . ' ' x 12000 . '1}',
);

my $metric = 0;

for my $name (sort keys %bodies) {
    my $body = $bodies{$name};

    for my $chunked (undef, 1000) {
        my $r = post($gw, $path, $body, @report, chunked => $chunked);

        would $r, 'invalid', $name;
        arrived_ok $gw, $body, "$name: as it came";
        is $r->header('Pinaud-Edits'), undef, "$name: no edits";
        $metric++;
    }

    SKIP: {
        skip 'nginx without HTTP/2', 3
            if !Pinaud::Nginx->has('http_v2_module');

        would h2($gw, 'POST', $path, body => $body, @report), 'invalid',
            "HTTP/2, $name";
        arrived_ok $gw, $body, "HTTP/2, $name: as it came";
        $metric++;
    }
}

is would_metric('invalid'), $metric, 'each is counted once';
is $gw->metrics->{'pinaud_body_errors_total{code="syntax"}'}
    + $gw->metrics->{'pinaud_body_errors_total{code="encoding"}'} > 0, 1,
    'errors are counted, too';

my $r = request($gw, POST => $path, @report,
    headers => ['Content-Type: application/json']);
would $r, 'invalid', 'no body at all';
arrived_ok $gw, '', 'no body at all: an empty one';

# in pieces, so that it is in several buffers

my $c = Pinaud::HTTP->connect($gw);
my $pieces = '{"name": "N", "x": [' . join(', ', 1 .. 400) . ']}';

$c->send(Pinaud::HTTP::head('POST', $path, body => $pieces, @report));

for my $piece ($pieces =~ /(.{1,100})/gs) {
    sleep(0.005);
    $c->send($piece);
}

would $c->response, 'invalid', 'in pieces';
arrived_ok $gw, $pieces, 'in pieces: as it came';

# what is valid

my $edited = body(rule => { visitor_source_id => ['1'] });

$r = post($gw, $path, $edited, @report);
would $r, undef, 'what would be edited';
is $r->header('Pinaud-Edits'), undef, 'what would be edited: it is not';
arrived_ok $gw, $edited, 'what would be edited: as it came';

created post($gw, $path, $valid, @report), 'a valid one';
arrived_ok $gw, $valid, 'a valid one, arrived';

my $charged = used();
post($gw, $path, '{}', @report);
is used() - $charged, 1, 'what is invalid is charged like any other';
$gw->arrived;


# another team

refused post($gw, $path, '{}', team => 'strict'), 'invalid-body',
    'another team: enforced';
$r = post($gw, $path, $edited, team => 'strict');
is $r->header('Pinaud-Edits'), '"/rule/visitor_source_id"',
    'another team: edited';
created post($gw, $path, $valid, team => 'strict'), 'another team: its second';
$gw->arrived;
$r = post($gw, $path, $valid, team => 'strict');
refused $r, 'quota-exceeded', 'another team: over quota';
is $r->header('Pinaud-Would-Refuse'), undef, 'and nothing but that';
untouched $gw, 'another team: nothing went';


# quota

for my $n (1, 2) {
    would post($gw, $path, $valid, team => 'tight'), undef, "within quota, $n";
}

$gw->arrived;
$charged = used();

for my $n (3 .. 5) {
    $r = post($gw, $path, $valid, team => 'tight');

    would $r, 'over_quota', "over quota, $n";
    created $r, "over quota, $n: Pinterest's answer";
    like $r->header('RateLimit'), qr/"team-60s";r=0;t=\d+/, 'RateLimit';
    is $r->header('Retry-After'), undef, 'no Retry-After';
    is $r->header('x-ratelimit-remaining') ne '0', 1,
        'x-ratelimit-remaining is Pinterest\'s';
    arrived_ok $gw, $valid, "over quota, $n: arrived";
}

is used(), $charged, 'over quota nothing is charged';

# nor given back: what others are charged for at the same time stays

post($gw, $path, $valid, @report) for 1 .. 5;
$charged = used();
$gw->sim->refuse;
my $refused = post($gw, $path, $valid, team => 'tight');
$gw->sim->accept;
refused $refused, 'upstream-unreachable', 'over quota, and nobody listens';
is $refused->header('Pinaud-Would-Refuse'), 'over_quota', 'both are told';
sleep 0.2;
is used(), $charged, 'nothing is given back';
$gw->arrived;
is would_metric('over_quota'), 4, 'each is counted';

would post($gw, $path, '{}', team => 'tight'), 'invalid',
    'invalid and over quota: what would answer';
is would_metric('over_quota'), 4, 'and is counted as that';

SKIP: {
    skip 'nginx without HTTP/2', 2 if !Pinaud::Nginx->has('http_v2_module');

    would h2($gw, 'POST', $path, body => $valid, team => 'tight'),
        'over_quota', 'HTTP/2, over quota';
}

$gw->arrived;


# many at once, some of them within quota

my @many = map { Pinaud::HTTP->connect($gw) } 1 .. 10;

for my $conn (@many) {
    $conn->send(Pinaud::HTTP::head('POST', $path, body => $valid,
        team => 'many') . $valid);
}

my @told = map { $_->response } @many;

is scalar(grep { $_->{status} == 200 } @told), 10, 'many: all are forwarded';
is scalar(grep { $_->header('Pinaud-Would-Refuse') } @told), 7,
    'many: those over quota are told so';
is scalar($gw->arrived), 10, 'many: all arrived';


# one team, by a field of the request: refusals that are remembered hold back
# none that reports, and the other way

my @either = (team => 'either');
my @on = (@either, headers => ['X-Report: 1']);

created post($gw, $path, $valid, @either), 'of one team: within quota'
    for 1, 2;
refused post($gw, $path, $valid, @either), 'quota-exceeded',
    'of one team: enforced' for 1, 2;
$gw->arrived;

for my $n (1, 2) {
    would post($gw, $path, $valid, @on), 'over_quota',
        "of one team: reported, $n";
    arrived_ok $gw, $valid, "of one team: arrived, $n";
    refused post($gw, $path, $valid, @either), 'quota-exceeded',
        "of one team: enforced again, $n";
}

my %values = ('' => 0, 0 => 0, 1 => 1, '00' => 1, on => 1, off => 1);

for my $value (sort keys %values) {
    $r = post($gw, $path, '{}', @either, headers => ["X-Report: $value"]);
    is $r->header('Pinaud-Outcome'), $values{$value} ? 'forwarded' : 'invalid',
        "the value \"$value\"";
}

$gw->arrived;


# a dry run tells what is refused without report

my @dry = (headers => ['Pinaud-Dry-Run: ?1']);

for my $case (['{}', 'report', 'invalid-body'],
    [$valid, 'tight', 'quota-exceeded'])
{
    my ($body, $team, $type) = @$case;
    $r = post($gw, $path, $body, team => $team, @dry);

    refused $r, $type, "a dry run: $type";
    is $r->header('Pinaud-Would-Refuse'), undef, 'a dry run: the refusal only';
}

untouched $gw, 'nothing is sent';


# refusals that stand

refused post($gw, $path, '{}'), 'unknown-caller', 'no team';
refused post($gw, create_path('1'), $valid, @report), 'forbidden',
    'another account';
refused post($gw, $path, $valid, @report, type => 'text/plain'),
    'unsupported-media-type', 'another type';
refused post($gw, $path, 'x' x 40000, @report), 'too-large', 'too large';
refused post($gw, $path, 'x' x 40000, @report, chunked => 4000), 'too-large',
    'too large, in chunks';
refused post($gw, "$path/", $valid, @report), 'invalid-path', 'the path';
refused post($gw, "$path?x", $valid, @report), 'invalid-path', 'a query';
refused post($gw, '/v5/pins', $valid, @report), 'not-found', 'no such path';
refused request($gw, PUT => $path, body => $valid, @report),
    'method-not-allowed', 'the method', read => 1;
refused post($gw, $path, $valid, @report, headers => ['Idempotency-Key: a']),
    'invalid-body', 'Idempotency-Key';

$r = post($gw, create_path('1'), '{}', @report);
refused $r, 'forbidden', 'invalid, and another account';
is $r->header('Pinaud-Would-Refuse'), 'invalid', 'both are told';

untouched $gw, 'none of them went';


# the log: one line each, codes and pointers, nothing of a value

$gw->nginx->mark;

post($gw, $path, '{"name": "secret-value", "a\"b\nc": "secret-value", '
    . '"rule": {"percentage": 77123}}', @report);
post($gw, $path, '{"name": "secret-value"', @report);
post($gw, $path, '{' . join(', ', map { "\"unknown-$_\": 1" } 1 .. 100) . '}',
    @report);
post($gw, $path, '{"' . 'x' x 4000 . '": 1, "\u0000": 2}', @report);
post($gw, $path, $valid, team => 'tight');

my @lines = grep { /would refuse/ } split /\n/, $gw->nginx->log_since;

is scalar @lines, 5, 'a line each';
is scalar(grep { /\[warn\]/ } @lines), 5, 'of level warn';
like $lines[0], qr{: invalid(?:, \w+ "[^"\\]*(?:\\.[^"\\]*)*")+,},
    'codes and pointers';
like $lines[0], qr{, required "/audience_type"}, 'one of them';
like $lines[0], qr{, unknown "/a\\"b\\nc"}, 'a name is escaped';
like $lines[1], qr{: invalid, syntax at byte 23,}, 'an offset';
like $lines[2], qr{, unknown "/unknown-1", .* and \d+ more, client:},
    'as many as fit';
like $lines[3], qr{: invalid, \w+}, 'long names';
cmp_ok length $lines[$_], '<', 2048, "line $_ is whole" for 0 .. 4;
like $lines[4], qr{: over_quota, team-60s, client: }, 'the limits';

unlike $gw->nginx->log, qr/secret-value|77123/, 'no values';

my $entry;

wait_until(sub {
    ($entry) = grep { $_->{team} eq 'tight' } reverse $gw->access_log;
    $entry->{outcome} eq 'forwarded';
}, 2);

is $entry->{would_refuse}, 'over_quota', '$pinaud_would_refuse';
is $entry->{outcome}, 'forwarded', '$pinaud_outcome';

($entry) = grep { $_->{team} eq 'strict' } reverse $gw->access_log;
is $entry->{would_refuse}, '', '$pinaud_would_refuse of what is enforced';

is_deeply $gw->status->json->{would_refuse}, {
    invalid => would_metric('invalid'),
    over_quota => would_metric('over_quota') }, 'the status document';


# Pinterest's 401: the token is renewed, and the request goes once more

$gw->arrived;

for my $case (['report', '{}', 'invalid', 1], ['tight', $valid, 'over_quota',
    0])
{
    my ($team, $body, $told, $charge) = @$case;
    my $used = used();

    $gw->sim->revoke($gw->token);
    my $old = $gw->token;
    $gw->{token} = $gw->sim->token(accounts => [account()]);
    $gw->sim->fault(kind => 'delay', seconds => 0.4, path => 'audiences');

    # the new token is there before the refusal of the old one is

    my $conn = Pinaud::HTTP->connect($gw);
    $conn->send(Pinaud::HTTP::head('POST', $path, body => $body,
        team => $team) . $body);
    ok wait_until(sub { scalar $gw->sim->requests(qr/audiences/) }, 2);
    $gw->must_ctl(qw(credential put main --access-token-file -), \$gw->token);
    my $r = $conn->response;

    would $r, $told, "$told, after a 401";

    my @there = $gw->arrived;
    is scalar @there, 2, "$told, after a 401: twice";
    is join(' ', map { $_->{status} } @there),
        '401 ' . ($told eq 'invalid' ? 400 : 200), 'the answers';
    is $there[1]{body}, $body, "$told, after a 401: the same body";
    is $there[1]{headers} && (grep { lc $_->[0] eq 'authorization' }
        @{ $there[1]{headers} })[0][1], 'Bearer ' . $gw->token,
        'with the new token';

    wait_until(sub { used() == $used + $charge }, 1);
    is used(), $used + $charge, "$told: one charge, if at all";
    $gw->sim->forget;
}


# it does not wait

my $waits = Pinaud::Gateway->new(with => $gw,
    location => 'pinaud_report 1; pinaud_quota_wait 5s;');

$r = post($waits, $path, $valid, team => 'tight');
would $r, 'over_quota', 'with pinaud_quota_wait';
cmp_ok $r->{elapsed}, '<', 2, 'it does not wait for its turn';


# reads

my $reads = Pinaud::Gateway->new(location => 'pinaud_report 1;',
    limits_all => ['2/60s'], limits => ['none']);

for my $n (1 .. 4) {
    $r = get($reads, $path, team => 'growth');
    would $r, $n > 2 ? 'over_quota' : undef, "a read, $n";
    is $r->{status}, 200, "a read, $n: Pinterest's answer";
}

like $r->header('RateLimit'), qr/"credential-all-60s";r=0;t=\d+/, 'RateLimit';
is scalar($reads->arrived), 4, 'all of them arrived';


# no token, no store

$reads->must_ctl(qw(credential put main --expires-in 1));
sleep 2;
refused post($reads, $path, '{}', team => 'growth'), 'credential-unavailable',
    'no token';
untouched $reads, 'nothing went without';

$reads->redis->stop;
$r = post($reads, $path, '{}', team => 'growth');
refused $r, 'store-unavailable', 'no store';
is $r->header('Pinaud-Would-Refuse'), 'invalid', 'no store: the body is told';
untouched $reads, 'nothing went by';

finish();
