#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Pinterest does not answer, or not well: what the caller is told, whether the
# charge stays, and that a create is never sent twice.

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

my $gw = Pinaud::Gateway->new(
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } },
    proxy => { proxy_read_timeout => '700ms', proxy_connect_timeout => '1s' },
    nginx => { allow => [qr/SSL_do_handshake\(\) failed/] });

my $path = create_path;
my @growth = (team => 'growth');
my $body = body();


# How many requests the account's bucket holds, by what an answer tells.

sub used {
    my $r = post($gw, $path, $body, @growth,
        headers => ['Pinaud-Dry-Run: ?1']);
    my ($left) = ($r->header('RateLimit') // '') =~ /"account-60s";r=(\d+)/
        or die "no RateLimit: $r->{status} $r->{body}";

    # a dry run tells what would be left after it
    return 1000 - $left - 1;
}


# What is charged, until it is so many: giving back takes a moment.

sub charged_is {
    my ($expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $used;
    wait_until(sub { ($used = used()) == $expected }, 1);
    is $used, $expected, $name;
}


my $charged = used();
created post($gw, $path, $body, @growth), 'as it should be';
my $one = used() - $charged;
is $one, 1, 'a create is charged';
$charged = used();
$gw->arrived;


# nothing was sent: told so, and given back

$gw->sim->refuse;
refused post($gw, $path, $body, @growth), 'upstream-unreachable',
    'nobody listens';
charged_is $charged, 'nobody listens: given back';

my $r = get($gw, $path, @growth);
refused $r, 'upstream-unreachable', 'nobody listens to a read', read => 1;

SKIP: {
    skip 'nginx without HTTP/2', 1 if !Pinaud::Nginx->has('http_v2_module');

    refused h2($gw, 'POST', $path, body => $body, @growth),
        'upstream-unreachable', 'HTTP/2: nobody listens';
}

$gw->sim->accept;
charged_is $charged, 'given back once each';

$gw->sim->fault(kind => 'reset_accept');
refused post($gw, $path, $body, @growth), 'upstream-unreachable',
    'reset before TLS';
charged_is $charged, 'reset before TLS: given back';
untouched $gw, 'nothing arrived';


# sent, and no whole answer: unknown, and it stays charged

my @lost = (
    [{ kind => 'reset_before' }, 'reset, unread'],
    [{ kind => 'close_before' }, 'closed, unread'],
    [{ kind => 'reset_after' }, 'reset, read'],
    [{ kind => 'close' }, 'closed, read'],
    [{ kind => 'silence' }, 'silence'],
    [{ kind => 'delay', seconds => 1.5 }, 'an answer too late'],
    [{ kind => 'garbage' }, 'what is not HTTP'],
    [{ kind => 'garbage', bytes => "HTTP/1.1 2" }, 'a piece of a line'],
    [{ kind => 'garbage',
        bytes => "HTTP/1.1 200 OK\r\ncontent-type: appl" },
        'a piece of a header'],
    [{ kind => 'garbage', bytes => "HTTP/1.1 200 OK\r\nx: "
        . 'x' x 100000 . "\r\n\r\n" }, 'a header that is too large'],
    [{ kind => 'truncate' }, 'half an answer'],
    [{ kind => 'garbage', bytes => "HTTP/1.1 200 OK\r\n"
        . "content-length: 10\r\n\r\n{\"id\":" }, 'less than its length'],
    [{ kind => 'garbage', bytes => "HTTP/1.1 200 OK\r\n"
        . "transfer-encoding: chunked\r\n\r\nzz\r\n" }, 'not a chunk'],
);

for my $case (@lost) {
    my ($fault, $name) = @$case;

    $gw->sim->fault(%$fault);

    my $start = time();
    refused post($gw, $path, $body, @growth), 'outcome-unknown', $name;
    cmp_ok time() - $start, '<', 5, "$name: in time";

    my @there = $gw->arrived;
    cmp_ok scalar(@there), '<=', 1, "$name: sent once";

    charged_is ++$charged, "$name: stays charged";
}

# a connection that was kept alive and is closed meanwhile

created post($gw, $path, $body, @growth), 'leaves a connection';
$charged++;
$gw->sim->drop;
sleep 0.1;
created post($gw, $path, $body, @growth), 'a dropped one is not used';
charged_is ++$charged, 'both are charged';
is scalar($gw->arrived), 2, 'both arrived, once each';


# a token that is refused: no 401 of Pinterest's reaches a caller

$gw->sim->fault(kind => 'unauthorized',
    headers => [['WWW-Authenticate', 'Bearer realm="x"']]);
$r = post($gw, $path, $body, @growth);
refused $r, 'credential-unavailable', 'a refused token';
is $r->header('WWW-Authenticate'), undef, 'without a challenge';
charged_is $charged, 'a refused token: given back';

$gw->sim->fault(kind => 'unauthorized');
refused get($gw, $path, @growth), 'credential-unavailable',
    'a refused token of a read', read => 1;


# its certificate is not the one

my $forger = Pinaud::TLS->new;
my $fake = Pinaud::Pinterest->new(tls => $forger);
$fake->token(token => $gw->token);

my $real = $gw->sim->tls_port;
my $conf = $gw->http;
$conf =~ s/127\.0\.0\.1:$real/127.0.0.1:@{[ $fake->tls_port ]}/ or die;
$gw->nginx->conf($conf)->reload;

refused post($gw, $path, $body, @growth), 'upstream-unreachable',
    'a certificate of another authority';
is scalar($fake->requests), 0, 'it got nothing';
charged_is $charged, 'given back';

my ($cert, $key) = $gw->sim->tls->server('api.example.com');
$conf = $gw->http;

$gw->nginx->conf($conf . <<EOF)->reload;
    server {
        listen 127.0.0.1:%%PORT:other%% ssl;
        ssl_certificate $cert;
        ssl_certificate_key $key;
        access_log %%DIR%%/logs/other.log;
        return 200 'got it';
    }
EOF

my $other = $gw->nginx->port('other');
$gw->nginx->conf($gw->nginx->{http}
    =~ s/127\.0\.0\.1:$real/127.0.0.1:$other/r)->reload;

refused post($gw, $path, $body, @growth), 'upstream-unreachable',
    'a certificate of another name';
is slurp($gw->nginx->dir . '/logs/other.log'), '', 'it got nothing';

$gw->nginx->conf($gw->http)->reload;
created post($gw, $path, $body, @growth), 'the true one again';

my $metrics = $gw->metrics;
is $metrics->{'pinaud_requests_total{operation="audiences/create",'
    . 'outcome="unknown"}'}, scalar @lost, 'unknown outcomes are counted';

finish();
