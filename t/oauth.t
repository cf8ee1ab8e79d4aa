#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The client of the token endpoint, as credential authorize has it: TLS, the
# way there, endpoints that answer nonsense, late or never. Nothing is stored
# of those, and nothing is sent twice.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use IO::Socket::SSL;
use Pinaud::Ctl;
use Pinaud::Pinterest;
use Pinaud::Process;
use Pinaud::TLS;
use Test::More;
use Time::HiRes qw(sleep time);

use constant HOME => 'http://localhost:8085/';

my $tls = Pinaud::TLS->new;
my $sim = Pinaud::Pinterest->new(tls => $tls);
my $ctl = Pinaud::Ctl->new;
my $redis = $ctl->redis;
my $plain = 'http://' . $sim->address . '/v5/oauth/token';
my $secure = 'https://localhost:' . $sim->tls_port . '/v5/oauth/token';
my ($cert, $key) = $tls->server('other.example');

$sim->client(id => '1234', secret => SECRET);
$ctl->must(qw(credential put main --client-id 1234 --client-secret-file),
    $ctl->file('app', SECRET));

my $before = record();

sub record {
    return [map { $redis->cmd('HGETALL', $_) } 'pinaud:credential:{main}',
        'pinaud:secret:{main}'];
}


sub ask {
    my ($url, @options) = @_;

    $sim->forget;

    my $start = time;
    my $r = $ctl->authorize(['main', '--token-url', $url, @options],
        sub { my %q = @_; 'code=' . $sim->code(client => '1234',
            redirect_uri => HOME) . "&state=$q{state}" });

    $r->{time} = time - $start;
    $r->{requests} = [$sim->requests];
    $sim->clear_faults;

    return $r;
}

sub granted {
    my ($name, @args) = @_;

    my $r = ask(@args);
    is $r->{exit}, 0, "$name: granted" or diag $r->{err};
    is scalar @{ $r->{requests} }, 1, "$name: one request";

    $before = record();
    return $r;
}

sub failed {
    my ($requests, $err, $name, @args) = @_;

    my $r = ask(@args);
    is $r->{exit}, 1, "$name: refused";
    like $r->{err}, $err, "$name: why";
    is scalar @{ $r->{requests} }, $requests, "$name: requests";
    is_deeply record(), $before, "$name: nothing changed";

    return $r;
}


# a server of raw bytes, with TLS where it has a certificate

sub server {
    my ($code, @tls) = @_;

    my $socket = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1')
        or die "listen: $!";

    daemon(sub {
        while (my $client = $socket->accept) {
            IO::Socket::SSL->start_SSL($client, SSL_server => 1,
                SSL_cert_file => $tls[0], SSL_key_file => $tls[1]) or next
                if @tls;
            $code->($client);
            close $client;
        }
    });

    return $socket->sockport;
}

sub head {
    my $client = shift;
    my $head = '';

    while ($head !~ /\r\n\r\n/) {
        sysread $client, $head, 1, length $head or last;
    }

    return $head;
}


# the way there

my @ca = ('--ca-file', $sim->ca);
my $r = granted('TLS', $secure, @ca);
is $r->{requests}[0]{sni}, 'localhost', 'TLS: the name';

failed(0, qr/certificate/, 'TLS: the system does not know the CA', $secure);
failed(0, qr/certificate/, 'TLS: another CA', $secure, '--ca-file',
    Pinaud::TLS->new->ca);
failed(0, qr/no alternative certificate subject name matches/,
    'TLS: another name',
    'https://localhost:' . server(sub { head(@_) }, $cert, $key), @ca);
failed(0, qr/Nothing was changed\. Begin anew: pinaudctl credential authorize main --token-url/,
    'nobody listens', 'http://127.0.0.1:' . free_port());
failed(0, qr/resolve host/, 'no such host',
    'https://no-such-host.invalid/v5/oauth/token');

my $start = time;
failed(0, qr/timed? ?out/i, 'TLS: silence',
    'https://localhost:' . server(sub { sleep 5 }),
    qw(--connect-timeout 500ms));
cmp_ok time - $start, '<', 4, 'TLS: silence: in time';

# settings that are not as they should be: before a browser is needed

for my $case (
    ['http://10.0.0.1/', qr/http is for this machine only/],
    ['http://127.0.0.1.example.com/', qr/http is for this machine only/],
    ['http://localhost.example.com/', qr/http is for this machine only/],
    ['https://user:pw@localhost/', qr/without user and password/],
    ['ftp://127.0.0.1/', qr/is an https URL/],
    ['nonsense', qr/is an https URL/],
    [$secure, qr/--proxy is http:\/\/host:port/, '--proxy', 'socks5://h:1'],
    [$secure, qr/--proxy is http:.*without user and password/, '--proxy',
        'http://u:p@localhost:1'],
    [$plain, qr/no way through a proxy/, '--proxy', 'http://localhost:1'],
    [$plain, qr/--timeout is a time such as/, '--timeout', '2d'],
    [$plain, qr/--timeout is a time such as/, '--timeout', '0'],
    [$plain, qr/--connect-timeout is a time such as/, '--connect-timeout',
        '5 s'])
{
    my ($url, $err, @options) = @$case;

    $r = ask($url, @options);
    is $r->{exit}, 2, "settings: $url @options" or diag $r->{err};
    like $r->{err}, $err, "settings: $url @options: why";
    ok !$r->{url}, "settings: $url @options: no browser";
}

$r = ask($secure, '--ca-file', '/nonexistent');
is $r->{exit}, 1, 'no CA file';
like $r->{err}, qr{/nonexistent can't be read}, 'no CA file: why';

# a redirect, and what is in the environment or at home

$sim->fault(kind => 'error', status => 307, body => '',
    headers => [['location', $plain]]);
failed(1, qr/answers 307 with a redirect, which is not followed/, 'redirect',
    $plain);

my $home = temp_dir('home');
spew("$home/.netrc", "default login nobody password nothing\n", 0600);

{
    local %ENV = (%ENV, HOME => $home, SSLKEYLOGFILE => "$home/keys",
        map { $_ => 'http://127.0.0.1:1' } qw(http_proxy https_proxy
            HTTPS_PROXY ALL_PROXY all_proxy));

    $r = granted('environment', $secure, @ca);
}

my ($basic) = $r->{requests}[0]{head} =~ /^Authorization: Basic (\S+)\r$/m;
is MIME::Base64::decode_base64($basic // ''), '1234:' . SECRET,
    'environment: our client';
ok !-e "$home/keys", 'environment: no keys of TLS';

# a proxy: the way is asked for, and the rest is TLS with the endpoint

my $asked = "$home/asked";
my $proxy = server(sub {
    my $client = shift;
    my $head = head($client);

    spew($asked, $head);

    my $to = IO::Socket::INET->new($sim->tls_address) or return;
    syswrite $client, "HTTP/1.1 200 go\r\n\r\n";

    my $both = IO::Select->new($client, $to);

    while (my @ready = $both->can_read(5)) {
        for my $from (@ready) {
            sysread $from, my $bytes, 65536 or return;
            syswrite $from == $to ? $client : $to, $bytes;
        }
    }
});

granted('proxy', $secure, @ca, '--proxy', "http://127.0.0.1:$proxy");
like slurp($asked), qr/^CONNECT localhost:\d+ HTTP/, 'proxy: is asked';
unlike slurp($asked), qr/Authorization: Basic/, 'proxy: no secret';

failed(0, qr/403/, 'proxy: refuses', $secure, @ca, '--proxy',
    'http://127.0.0.1:' . server(sub { head($_[0]);
        syswrite $_[0], "HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n" }));

# answers

for my $case (
    ['HTML', { status => 200, body => '<html>no</html>' }, qr/no JSON object/],
    ['empty', { status => 200, body => '' }, qr/answers 200 with nothing/],
    ['no tokens', { status => 200, body => {} }, qr/no usable access token/],
    ['no bearer', { status => 200, body => { access_token => 'a',
        refresh_token => 'b', token_type => 'mac' } }, qr/no bearer token/],
    ['a space', { status => 200, body => { access_token => 'a b',
        refresh_token => 'b' } }, qr/no usable access token/],
    ['huge', { status => 200, body => { access_token => 'a',
        refresh_token => 'b', scope => 'x' x 65536 } }, qr/more than 64 KiB/],
    ['500', { status => 500 }, qr/answers 500 with an error of the server/],
    ['503', { status => 503, body => '<html>' }, qr/answers 503/],
    ['404', { status => 404 }, qr/answers 404, code 404/],
    ['429', { status => 429 }, qr/limit of token requests is reached/],
    ['invalid_grant', { status => 400, body => { error => 'invalid_grant',
        error_description => "gone\e[2J" } },
        qr/answers 400, invalid_grant: gone\?\[2J\. .*A code is good once/],
    ['invalid_client', { status => 401, body => {
        error => 'invalid_client' } },
        qr/invalid_client\. .*--client-secret-file FILE$/])
{
    my ($name, $fault, $err) = @$case;

    $sim->fault(kind => 'error', %$fault);
    failed(1, $err, "answer: $name", $plain);
}

# 401 as Pinterest has it: the probe tells, or nobody does

my $denied = { code => 2, message => 'Authentication failed.' };

$sim->fault(kind => 'error', status => 401, body => $denied);
failed(2, qr/seem to be good\).*A code is good once/, '401: the code', $plain);

$sim->fault(kind => 'error', status => 401, body => $denied, times => 2);
failed(2, qr/seems to be wrong\).*--client-secret-file FILE$/,
    '401: the app', $plain);

$sim->fault(kind => 'error', status => 401, body => $denied);
$sim->fault(kind => 'error', status => 503);
$r = failed(2, qr/\(the token, or the app's id or secret\)/,
    '401: nobody knows', $plain);
is $r->{requests}[1]{body}, 'grant_type=refresh_token', '401: the probe';

# what never comes, or not all of it; sent once

for my $kind (qw(reset_after close truncate garbage)) {
    for my $url ($plain, $secure) {
        $sim->fault(kind => $kind);
        failed(1, qr/Nothing was changed/, "$kind of " . substr($url, 0, 5),
            $url, @ca);
    }
}

$sim->fault(kind => 'silence');
$r = failed(1, qr/no answer in 500 ms/, 'silence', $plain,
    qw(--timeout 500ms));
cmp_ok $r->{time}, '<', 4, 'silence: in time';

my $drip = server(sub {
    my $client = shift;
    head($client);
    syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n";
    syswrite $client, ' ' and sleep 0.05 for 1 .. 100;
});

$r = failed(0, qr/no answer in 1000 ms/, 'a drip',
    "http://127.0.0.1:$drip", qw(--timeout 1s));
cmp_ok $r->{time}, '<', 4, 'a drip: in time';

$sim->fault(kind => 'delay', seconds => 0.6);
granted('late', $plain, qw(--timeout 10s));

# an answer that came while the command was stopped is not lost

$sim->fault(kind => 'delay', seconds => 0.5);

my $stopped;

$r = $ctl->authorize(['main', '--token-url', $secure, @ca, '--timeout', '1s'],
    sub {
        my %q = @_;
        my $code = $sim->code(client => '1234', redirect_uri => HOME);

        $sim->forget;
        $stopped = daemon(sub {
            sleep 0.3;
            kill 'STOP', $q{pid};
            sleep 2;
            kill 'CONT', $q{pid};
        });

        return "code=$code&state=$q{state}";
    });

is $r->{exit}, 0, 'stopped: granted' or diag $r->{err};
is scalar $sim->requests, 1, 'stopped: one request';

done_testing();
