#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Quota as a caller meets it: which requests are admitted, what the fields of
# an answer say, and that a refusal costs nothing anywhere.

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
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $other = '549755885176';

my $gw = Pinaud::Gateway->new(limits => ['12/1h'], limits_all => ['1000/1s'],
    accounts => {
        account() => { limits => ['6/1h', '100/1d'],
            teams => { growth => [], brand => ['2/1h'], none => ['0/1h'] } },
        $other => { limits => [], teams => { growth => [] } } });

my $path = create_path;
my $body = body();


sub create { post($gw, $path, $body, team => shift, @_) }


# What each bucket counts, by its name.

sub used {
    my ($exit, $text) = $gw->ctl('--json', 'usage');
    my %used;

    for my $bucket (@{ JSON::PP::decode_json($text) }) {
        my $name = join ' ', grep { defined }
            @$bucket{qw(bucket account team)};
        $used{$name} = join '/', map { $_->{used} } @{ $bucket->{limits} };
    }

    return \%used;
}


# A worker need not ask again for a second after a refusal.

sub later {
    my ($status, @args) = @_;

    my $r;
    wait_until(sub { ($r = post(@args))->{status} == $status }, 3);
    return $r;
}


sub limit {
    my ($r, $name) = @_;

    my ($rest) = ($r->header('RateLimit') // '') =~ /"$name";r=(\d+)/;
    return $rest;
}


# an admitted request is charged to every bucket, and its answer tells

my $r = create('brand');
created $r, 'the first';

is $r->header('RateLimit-Policy'), '"credential-all-1s";q=1000;w=1, '
    . '"credential-3600s";q=12;w=3600, "account-3600s";q=6;w=3600, '
    . '"account-86400s";q=100;w=86400, "team-3600s";q=2;w=3600',
    'RateLimit-Policy: a policy for each limit';
is limit($r, 'credential-3600s'), 11, 'left of the credential\'s';
is limit($r, 'account-3600s'), 5, 'of the account\'s';
is limit($r, 'account-86400s'), 99, 'of its second limit';
is limit($r, 'team-3600s'), 1, 'of the team\'s';

my $used = used();
is $used->{'writes'}, 1, 'the credential is charged';
is $used->{'account ' . account}, '1/1', 'the account is';
is $used->{'team ' . account . ' brand'}, 1, 'the team is';


# the team's limit refuses, and nothing else is charged

created create('brand'), 'the second';
$used = used();
$gw->arrived;

for my $try (1 .. 3) {
    my $r = create('brand');
    refused $r, 'quota-exceeded', "the team's limit, $try";

    is_deeply $r->json->{'violated-policies'}, ['team-3600s'],
        'which is told';
    my ($t) = $r->header('RateLimit') =~ /"team-3600s";r=0;t=(\d+)/;
    cmp_ok $r->header('Retry-After'), '>=', $t, 'Retry-After is not before t';
    cmp_ok $r->header('Retry-After'), '<=', 3740, 'nor far behind it';
    like $r->header('x-ratelimit-limit'),
        qr/^2, 2;w=3600;name="team-3600s"$/, 'x-ratelimit-limit';
    is $r->header('x-ratelimit-remaining'), 0, 'x-ratelimit-remaining';
    is $r->header('x-ratelimit-reset'), $r->header('Retry-After'),
        'x-ratelimit-reset';
}

delete $_->{calls} for $used, my $now = used();
is_deeply $now, $used, 'refusals are charged nowhere';
untouched $gw, 'and arrive nowhere';

refused create('none'), 'quota-exceeded', 'a limit of 0 stops a team';
refused h2($gw, 'POST', $path, body => $body, team => 'brand'),
    'quota-exceeded', 'over HTTP/2' if Pinaud::Nginx->has('http_v2_module');

refused create('brand', headers => ['Pinaud-Dry-Run: ?1']), 'quota-exceeded',
    'a dry run tells what the real call would get';


# dry runs

for (1 .. 5) {
    my $r = create('growth', headers => ['Pinaud-Dry-Run: ?1']);
    is $r->{status}, 200, 'a dry run';
    is $r->header('Pinaud-Outcome'), 'dry_run', 'is told as one';
    is_deeply [map { "$_->{name} $_->{remaining}" }
        grep { $_->{name} =~ /account/ } @{ $r->json->{limits} }],
        ['account-3600s 4', 'account-86400s 98'], 'what is left';
    is limit($r, 'account-3600s'), 4, 'in its fields, too';
}

delete $_->{calls} for $now = used();
is_deeply $now, $used, 'dry runs are charged nowhere';
untouched $gw, 'and arrive nowhere';


# its body is the very bytes that would go

my $digits = '{"name":"N","audience_type":"VISITOR","rule":{'
    . '"visitor_source_id":"1","event":"x","event_data":{"value":%s}}}';

for my $number ('123456789012345678901234567890', '116.10', '1e-5', '0.1') {
    my $text = sprintf $digits, $number;
    my $r = post($gw, $path, $text, team => 'growth',
        headers => ['Pinaud-Dry-Run: ?1']);

    is index($r->{body}, "{\"would\":\"forwarded\",\"body\":$text,"), 0,
        "a dry run tells $number" or diag $r->{body};
    is ref $r->json->{limits}, 'ARRAY', 'in a document';
}


# what is refused before is not charged

refused post($gw, $path, body(name => ''), team => 'growth'), 'invalid-body',
    'an invalid body';
refused create('nobody'), 'forbidden', 'a foreign team';
refused create('growth', type => 'text/plain'), 'unsupported-media-type',
    'a wrong type';
delete $_->{calls} for $now = used();
is_deeply $now, $used, 'is not charged';


# the account's limit, for all teams; then the credential's, for all accounts

created create('growth'), 'another team goes on' for 1 .. 4;
$r = create('growth');
refused $r, 'quota-exceeded', 'the account\'s limit';
is_deeply $r->json->{'violated-policies'}, ['account-3600s'],
    'which is told';

sleep 1.1;
$r = create('brand');
is_deeply [sort @{ $r->json->{'violated-policies'} }],
    ['account-3600s', 'team-3600s'], 'both, where both refuse';

created post($gw, create_path($other), $body, team => 'growth'),
    'another account goes on' for 1 .. 6;
$r = post($gw, create_path($other), $body, team => 'growth');
refused $r, 'quota-exceeded', 'the credential\'s limit';
is_deeply $r->json->{'violated-policies'}, ['credential-3600s'],
    'which is told';
like $r->header('x-ratelimit-limit'),
    qr/^12, 12;w=3600;name="credential-3600s"$/, 'x-ratelimit-limit';

is scalar($gw->arrived), 10, 'what was admitted arrived';
$used = used();
is $used->{writes}, 12, 'the credential\'s count';
is $used->{'account ' . account}, '6/6', 'the account\'s count';


# reads count as calls only

$r = get($gw, $path, team => 'growth');
is $r->{status}, 200, 'a read goes on';
is $r->header('RateLimit-Policy'), '"credential-all-1s";q=1000;w=1',
    'by the limit of all calls';
is used()->{writes}, 12, 'and is no write';


# a raised limit holds at once; a lowered one counts what was

my @other = ($gw, create_path($other), $body, team => 'growth');

$gw->must_ctl(qw(credential put main --limit 14/1h));
created later(200, @other), 'a raised limit' for 1 .. 2;
refused post(@other), 'quota-exceeded', 'to its end';
$gw->must_ctl(qw(credential put main --limit 5/1h));
sleep 1.1;
refused post(@other), 'quota-exceeded', 'a lowered limit';
$gw->must_ctl(qw(credential put main --limit none));
created later(200, @other), 'no limit';


# the wait that Retry-After tells is enough

$gw->must_ctl(qw(account put), $other, qw(--credential main --limit 2/2s));
$gw->nginx->reload;

my $full;
wait_until(sub {
    $full = post($gw, create_path($other), $body, team => 'growth');
    $full->{status} == 429;
}, 5);
refused $full, 'quota-exceeded', 'a window of 2 s is full';
cmp_ok $full->header('Retry-After'), '<=', 3, 'for a while';
sleep $full->header('Retry-After');
created post($gw, create_path($other), $body, team => 'growth'),
    'after Retry-After there is room';


# the log and the counters

my @lines = grep { $_->{outcome} eq 'over_quota' } $gw->access_log;
cmp_ok scalar @lines, '>=', 10, 'refusals are logged';
is $lines[0]{quota_limit}, 2, 'with the limit that refused';
is $lines[0]{quota_remaining}, 0, 'and what was left';
is $lines[0]{upstream_status}, '', 'and no answer of Pinterest';
is $gw->metrics->{'pinaud_requests_total{operation="audiences/create",'
    . 'outcome="over_quota"}'}, scalar @lines, 'and counted';

finish();
