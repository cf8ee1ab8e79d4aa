#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The simulator of Pinterest: what the other tests lean on.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Pinaud::HTTP;
use Pinaud::Pinterest;
use Test::More;
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->canonical->utf8;
my $sim = Pinaud::Pinterest->new;
my $account = '/v5/ad_accounts/549755885175';
my $token = $sim->token(user => 'u1', app => 'a1');

sub create { return call($token, POST => "$account/audiences", @_) }
sub custom { return call($token, POST => "$account/audiences/custom", @_) }

sub call {
    my ($token, $method, $target, $body, %opt) = @_;

    return request($sim, $method, $target,
        (defined $body ? (body => ref $body ? $json->encode($body) : $body)
            : ()),
        %opt, headers => [$token ? "Authorization: Bearer $token" : (),
            @{ $opt{headers} || [] }]);
}

sub visitor {
    return { name => 'N', audience_type => 'VISITOR',
        rule => { visitor_source_id => '2617998078212', @_ } };
}

sub refused {
    my ($r, $status, $code, $name) = @_;

    is "$r->{status}/" . ($r->{status} ? eval { $r->json->{code} } // '-'
        : $r->{error}), "$status/$code", $name;
}


# creates

my $r = create(visitor(retention_days => 180));

is $r->{status}, 200, 'created';
is $r->json->{type}, 'audience', 'an audience';
is $r->json->{status}, 'INITIALIZING', 'its status';
is $r->json->{size}, 0, 'its size';
is_deeply $r->json->{rule}, visitor(retention_days => 180)->{rule},
    'its rule';
like $r->header('x-pinterest-rid'), qr/^\d{16}$/, 'x-pinterest-rid';
like $r->header('set-cookie'), qr/^_ir=0;/, 'a cookie';
is $r->header('transfer-encoding'), 'chunked', 'chunked';
is $r->header('x-ratelimit-limit'), '100, '
    . '100;w=1;name="safety_net_app_id_user_id", '
    . '400;w=60;name="ads_write_app_id_user_id"', 'x-ratelimit-limit';
like $r->header('x-ratelimit-remaining'), qr/^9\d$/, 'x-ratelimit-remaining';
is $r->header('x-ratelimit-reset'), 1, 'x-ratelimit-reset';

my $second = create(visitor())->json;
cmp_ok $second->{id}, '>', $r->json->{id}, 'ids increase';

$r = custom('{"name":"N","rule":{"seed_id":["1"],"country":"US",'
    . '"percentage":10},"sharing_type":"CUSTOM","data_party":"1p"}');
is $r->json->{audience_type}, 'ACTALIKE', 'custom tells the type';

$r = create('{"name":"N","audience_type":"VISITOR","rule":{'
    . '"visitor_source_id":"1","event":"checkout","event_data":'
    . '{"value":116.10}}}');
like $r->{body}, qr/"value":116\.1/, 'a number comes back as a number';


# reading back

$r = call($token, GET => "$account/audiences");
is scalar @{ $r->json->{items} }, 4, 'the list';
is $r->json->{items}[1]{id}, $second->{id}, 'in order';
like $r->header('x-ratelimit-limit'), qr/1000;w=60;name="ads_read_/,
    'reads have a bucket of their own';

$r = call($token, GET => "$account/audiences?page_size=3");
is $r->json->{bookmark}, 3, 'a page of the list';

$r = call($token, GET => "$account/audiences/$second->{id}");
is $r->json->{id}, $second->{id}, 'one audience';

$r = call($token, PATCH => "$account/audiences/$second->{id}",
    { name => 'M' });
is $r->json->{name}, 'M', 'changed';

refused call($token, GET => "$account/audiences/1"), 404, 404, 'none such';
refused call($token, GET => '/v5/ad_accounts/1/audiences/'
    . $second->{id}), 404, 404, 'of another account';


# bodies that the description does not allow

refused create(''), 400, 1, 'no body';
refused create('{'), 400, 1, 'not JSON';
refused create('[]'), 400, 1, 'not an object';
refused create(visitor(), type => 'text/plain'), 400, 1, 'not JSON by type';
refused create({ audience_type => 'VISITOR', rule => {} }), 400, 1,
    'no name';
refused create({ %{ visitor() }, audience_type => 'visitor' }), 400, 1,
    'an unknown type';
refused create({ %{ visitor() }, name => 1 }), 400, 1, 'a number as name';
refused create({ %{ visitor() }, name => undef }), 400, 1, 'null';
refused create({ %{ visitor() }, ad_account_id => 'x' }), 400, 1,
    'a pattern';
refused create(visitor(retention_days => '180')), 400, 1,
    'retention_days as a string';
refused create(visitor(retention_days => 1.5)), 400, 1, 'a fraction';
refused create(visitor(visitor_source_id => ['1'])), 400, 1,
    'visitor_source_id as an array';
refused create(visitor(visitor_source_id => "1\n")), 400, 1,
    'a trailing newline';
refused create(visitor(prefill => 'true')), 400, 1, 'a string as boolean';
refused create(visitor(seed_id => [1])), 400, 1, 'a number in an array';
refused create(visitor(objective_type => ['LOVE'])), 400, 1, 'an enum';
refused create(visitor(event_data => { currency => 'XYZ' })), 400, 1,
    'a currency';
refused custom({ name => 'N', rule => {}, sharing_type => 'CUSTOM' }), 400, 1,
    'no data_party';

is create(visitor(retention_days => 5000))->{status}, 200,
    'ranges are not in the description';
is create(visitor(own => 1))->{status}, 200, 'nor that members are known';
is create({ %{ visitor() }, audience_type => 'PERSONA' })->{status}, 200,
    'PERSONA is';

my @documented = ({ url => 'http://x' }, { url => { contains => 'x' } },
    { event_data => { value => 499, line_items =>
        [{ product_id => '11', product_price => 48 }] } });

is create(visitor(%$_))->{status}, 200, $json->encode($_) for @documented;

$sim->settings(strict => 1);
refused create(visitor(%$_)), 400, 1, 'strict: ' . $json->encode($_)
    for @documented;
$sim->settings(strict => 0);


# paths

refused call($token, DELETE => "$account/audiences"), 405, 5, 'a method';
refused call($token, GET => '/v5/nothing'), 404, 404, 'a path';
refused call($token, POST => '/v5/ad_accounts/x/audiences', visitor()),
    400, 1, 'an account that is no number';
refused call($token, POST => '/v5/ad_accounts/1234567890123456789/audiences',
    visitor()), 400, 1, 'one of 19 digits';

$sim->settings(custom => 0);
refused custom({}), 404, 404, 'custom may be gone';
$sim->settings(custom => 1);


# tokens

refused call('', POST => "$account/audiences", {}), 401, 2, 'no token';
refused call('pina_no', POST => "$account/audiences", {}), 401, 2,
    'an unknown token';
refused call($sim->token(expires_in => -1), GET => "$account/audiences"),
    401, 2, 'an expired token';
refused call($sim->token(scope => 'ads:read'),
    POST => "$account/audiences", visitor()), 401, 3, 'a scope is missing';
refused call($sim->token(accounts => ['1']), GET => "$account/audiences"),
    403, 29, 'not this account';

my $revoked = $sim->token;
is call($revoked, GET => "$account/audiences")->{status}, 200, 'good';
$sim->revoke($revoked);
refused call($revoked, GET => "$account/audiences"), 401, 2, 'revoked';


# limits

$sim->limits(ads_write => '3/60');

# the windows are the clock's: none may end in here
sleep 60 - time() % 60 if time() % 60 > 57;

my $t1 = $sim->token(user => 'limited', app => 'a1');
my $t2 = $sim->token(user => 'limited', app => 'a2');

is call($t1, POST => "$account/audiences", visitor())->{status}, 200,
    "write $_" for 1 .. 3;

$r = call($t1, POST => "$account/audiences", visitor());
refused $r, 429, 8, 'one too many';
is $r->header('x-envoy-ratelimited'), 'true', 'by Envoy';
like $r->header('x-ratelimit-limit'), qr/^3, /, 'the exhausted limit';
is $r->header('x-ratelimit-remaining'), 0, 'nothing remains';
is $r->header('retry-after'), undef, 'no Retry-After';

my $left = 60 - time() % 60;
cmp_ok abs($r->header('x-ratelimit-reset') - $left), '<=', 1.5,
    'until the end of the clock\'s minute';

is call($t1, GET => "$account/audiences")->{status}, 200, 'reads go on';
is call($t2, POST => "$account/audiences", visitor())->{status}, 200,
    'another app has its own';

$sim->limits(ads_write => '2/1', header => 'plain');
my $t3 = $sim->token(user => 'second', app => 'a1');

# at the beginning of a second
sleep 1.01 - (time() - int time());

is call($t3, POST => "$account/audiences", visitor())->{status}, $_,
    'by the second' for 200, 200, 429;
sleep 1;
$r = call($t3, POST => "$account/audiences", visitor());
is $r->{status}, 200, 'the next second';
is $r->header('x-ratelimit-limit'), 2, 'the plain form';

$sim->limits(tier => 'trial', ads_write => '1/86400', header => 'list');
is call($sim->token(user => 'x', app => 'trial'),
    POST => "$account/audiences", visitor())->{status}, 200, 'trial';
$r = call($sim->token(user => 'y', app => 'trial'),
    POST => "$account/audiences", visitor());
is $r->{status}, 429, 'trial counts by app, not by user';
like $r->header('x-ratelimit-limit'), qr/^1, .*;w=86400;name="ads_write_app_id"/,
    'the trial\'s limit';

$sim->limits(tier => 'standard');
is create(visitor())->{status}, 200, 'standard again';


# the token endpoint

my $client = $sim->client(id => '1234', secret => 's3cret');

sub token {
    my ($form, $basic) = @_;

    return request($sim, POST => '/v5/oauth/token', body => $form,
        type => 'application/x-www-form-urlencoded',
        headers => ['Authorization: Basic '
            . encode_base64($basic // '1234:s3cret', '')]);
}

sub refresh { return token("grant_type=refresh_token&refresh_token=$_[0]") }

my $r1 = $sim->refresh_token(client => '1234');

$r = refresh($r1);
is $r->{status}, 200, 'refreshed';

my $answer = $r->json;
like $answer->{access_token}, qr/^pina_/, 'an access token';
like $answer->{refresh_token}, qr/^pinr\./, 'a refresh token';
is $answer->{token_type}, 'bearer', 'token_type';
is $answer->{expires_in}, 2592000, 'expires_in';
is $answer->{response_type}, 'refresh_token', 'response_type';
cmp_ok abs($answer->{refresh_token_expires_at} - time() - 5184000), '<', 5,
    'refresh_token_expires_at';
is call($answer->{access_token}, GET => "$account/audiences")->{status}, 200,
    'which is good';

is refresh($r1)->{status}, 200, 'the old refresh token, too';
refused token("grant_type=refresh_token&refresh_token=$r1", '1234:x'), 401, 2,
    'another secret';
refused token("grant_type=refresh_token&refresh_token=$r1", 'x:s3cret'), 401,
    2, 'another client';
refused refresh('pinr.no'), 401, 2, 'an unknown refresh token';
refused token('grant_type=refresh_token'), 400, 1, 'none';
refused token("grant_type=password&refresh_token=$r1"), 400, 1,
    'another grant';
refused token("grant_type=refresh_token&refresh_token=$r1&scope=pins:read"),
    400, 1, 'more scopes than were granted';
is token("grant_type=refresh_token&refresh_token=$r1&scope=ads%3Aread")
    ->json->{scope}, 'ads:read', 'fewer scopes';
refused refresh($sim->refresh_token(client => '1234', expires_in => -1)), 401,
    2, 'an expired refresh token';

$sim->oauth(rotation => 'kill', family => 1, expires_in => 60);
my $r2 = $sim->refresh_token(client => '1234');
my $first = refresh($r2)->json;
is $first->{expires_in}, 60, 'another lifetime';
my $next = refresh($first->{refresh_token});
is $next->{status}, 200, 'the new refresh token';
refused refresh($r2), 401, 2, 'the old one is dead';
refused refresh($next->json->{refresh_token}), 401, 2,
    'and its use revoked the family';
refused call($next->json->{access_token}, GET => "$account/audiences"), 401,
    2, 'access tokens, too';

$sim->oauth(rotation => 'keep', style => 'old', old_access => 'kill',
    family => 0);
my $r3 = $sim->refresh_token(client => '1234');
my $old = refresh($r3)->json;
ok !exists $old->{refresh_token}, 'old style: no refresh token';
is call($old->{access_token}, GET => "$account/audiences")->{status}, 200,
    'an access token';
refresh($r3);
refused call($old->{access_token}, GET => "$account/audiences"), 401, 2,
    'which a refresh may end';

$sim->oauth(same_second => 1, old_access => 'keep');
my $r4 = $sim->refresh_token(client => '1234');
is refresh($r4)->json->{access_token}, refresh($r4)->json->{access_token},
    'within a second the same access token';

my $code = $sim->code(client => '1234', redirect_uri => 'https://a/b');
my $grant = "grant_type=authorization_code&code=$code&redirect_uri=";
$sim->oauth(style => 'current');
refused token("${grant}https%3A%2F%2Fa%2Fc"), 400, 1, 'another redirect_uri';
$code = $sim->code(client => '1234', redirect_uri => 'https://a/b');
$grant = "grant_type=authorization_code&code=$code&redirect_uri=";
is token("${grant}https%3A%2F%2Fa%2Fb")->json->{response_type},
    'authorization_code', 'a code';
refused token("${grant}https%3A%2F%2Fa%2Fb"), 400, 1, 'only once';


# faults

sub lost {
    my ($fault, $made, $name) = @_;

    my $before = $sim->audiences;
    $sim->fault(%$fault);
    my $r = create(visitor(), timeout => 2);

    is $sim->audiences - $before, $made, "a fault, $name: $made made";
    return $r;
}

is lost({ kind => 'reset_accept' }, 0, 'reset_accept')->{status}, 0,
    'no answer';
is lost({ kind => 'reset_before' }, 0, 'reset_before')->{status}, 0,
    'no answer';
is lost({ kind => 'reset_after' }, 1, 'reset_after')->{status}, 0,
    'no answer';
like lost({ kind => 'close' }, 1, 'close')->{error}, qr/closed/, 'no answer';
like lost({ kind => 'silence' }, 1, 'silence')->{error}, qr/no answer in/,
    'no answer';
is lost({ kind => 'garbage' }, 1, 'garbage')->{status}, 0, 'not HTTP';

$r = lost({ kind => 'truncate' }, 1, 'truncate');
is $r->{status}, 200, 'truncated: the header';
like $r->{error}, qr/closed/, 'truncated: not the body';

my $start = time();
$r = lost({ kind => 'delay', seconds => 0.4 }, 1, 'delay');
is $r->{status}, 200, 'late';
cmp_ok time() - $start, '>', 0.35, 'by that much';

$r = lost({ kind => 'error', status => 503, body => 'upstream' }, 0, '503');
is $r->{status}, 503, 'status 503';
is $r->{body}, 'upstream', 'and its text';
is lost({ kind => 'error', made => 1 }, 1, '500')->{status}, 500,
    'status 500';

refused lost({ kind => 'unauthorized' }, 0, '401'), 401, 2, 'as Pinterest';
refused lost({ kind => 'forbidden' }, 0, '403'), 403, 29, 'as Pinterest';
refused lost({ kind => 'rate_limited' }, 0, '429'), 429, 8, 'as Pinterest';

is lost({ kind => 'headers', headers => [['X-More', 'y']] }, 1, 'headers')
    ->header('x-more'), 'y', 'headers';

$sim->fault(kind => 'error', path => '/audiences/custom$', times => 2);
is create(visitor())->{status}, 200, 'a fault of another path';
is custom({})->{status}, $_, 'a fault that is there twice'
    for 500, 500, 400;

$sim->refuse;
like create(visitor())->{error}, qr/connect/, 'nobody listens';
$sim->accept;
is create(visitor())->{status}, 200, 'listens again';


# the record

$sim->forget;
my $raw = "POST $account/audiences HTTP/1.1\r\nhOST: x\r\n"
    . "Authorization:  Bearer $token \r\nX-A: 1\r\nX-A: 2\r\n"
    . "Content-Type: application/json\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n";

my $c = Pinaud::HTTP->connect($sim);
$c->send($raw . "3\r\n{\"a\r\n5\r\n\":\xff\x00}\r\n0\r\n\r\n");
is $c->response->{status}, 400, 'answered';

is_deeply $c->request(GET => "$account/audiences",
    headers => ["Authorization: Bearer $token"])->{status}, 200,
    'and the next one on the same connection';

my ($one, $two) = $sim->requests;
is $one->{head}, $raw, 'the header block as it came';
is $one->{body}, "{\"a\":\xff\x00}", 'the body';
is $one->{status}, 400, 'what was answered';
is $one->{connection}, $two->{connection}, 'one connection';
ok $one->{whole} && !$one->{left}, 'whole';
cmp_ok abs($one->{time} - time()), '<', 5, 'when';
is scalar(grep { $_->{method} eq 'GET' } $sim->requests(qr/audiences$/)), 1,
    'by target';

$c->send("POST /half HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
$c->close;

my $half;
Pinaud::Process::wait_until(sub {
    ($half) = $sim->requests('/half');
    $half && $half->{left};
}, 2);
ok $half && !$half->{whole} && $half->{left}, 'one that was left';

my $e = create(visitor(), expect => 1);
ok $e->{continued} && $e->{status} == 200, '100 Continue';


# TLS

$sim->forget;
my %tls = (tls => { ca => $sim->ca, name => 'api.pinterest.com' });
$r = get($sim->tls_address, "$account/audiences", %tls,
    headers => ["Authorization: Bearer $token"]);
is $r->{status}, 200, 'over TLS';
is +($sim->requests)[0]{sni}, 'api.pinterest.com', 'with SNI';

$sim->fault(kind => $_) for qw(reset_accept reset_before);
is get($sim->tls_address, '/', %tls)->{status}, $_, 'faults over TLS'
    for 0, 0, 404;

my @open = map { Pinaud::HTTP->connect($sim->tls_address, %tls) } 1 .. 20;
$_->send("GET /$_ HTTP/1.1\r\n\r\n") for @open;
is_deeply [map { $_->response->{status} } @open], [(404) x 20],
    'many connections';
cmp_ok $sim->connections, '>=', 20, 'which stay open';

$sim->reset;
is scalar($sim->requests), 0, 'reset: no records';
is scalar($sim->audiences), 0, 'reset: no audiences';
refused create(visitor()), 401, 2, 'reset: no tokens';

ok !eval { Pinaud::Pinterest->new(tls => $sim->tls, port => $sim->port) },
    'a busy port';
like $@, qr/listen on port \d+: /, 'tells so';

done_testing();
