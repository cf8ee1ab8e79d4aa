#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# How pinaudctl reaches Redis over a network: TLS, whose server is always
# verified; certificates of its own; IPv6; servers that break TLS.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use IO::Socket::SSL;
use Pinaud::Ctl;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::TLS;
use Test::More;
use Time::HiRes qw(sleep);

my $tls = Pinaud::TLS->new;
my $other = Pinaud::TLS->new;
my @node = $tls->node('localhost', '127.0.0.1', '::1');

my $redis = Pinaud::Redis->new(tls => [@node, $tls->ca], password => 'pw',
    config => "user op on >operator ~* +\@all\n");
my $ctl = Pinaud::Ctl->new(redis => $redis, url => $redis->tls_url);

my $password = $ctl->file('password', "pw\n");
my $operator = $ctl->file('operator', "operator\n");
my @password = ('--redis-password-file', $password);
my @ca = ('--redis-ca-file', $tls->ca);
my @list = qw(account list);

# whom it trusts

done($ctl, 0, qr/^ACCOUNT/, '', 'the CA by an option', @password, @ca, @list);
done($ctl, 0, qr/^ACCOUNT/, '', 'the CA by a variable', @password, @list,
    { env => { PINAUD_REDIS_CA_FILE => $tls->ca } });
done($ctl, 0, qr/^ACCOUNT/, '', 'all of it by the file of settings', @list,
    { env => { PINAUD_REDIS => undef, PINAUD_ENV_FILE => $ctl->file('env',
        'PINAUD_REDIS=' . $redis->tls_url('op') . "\n"
        . "PINAUD_REDIS_PASSWORD_FILE=$operator\n"
        . 'PINAUD_REDIS_CA_FILE=' . $tls->ca . "\n"
        . "PINAUD_REDIS_SERVER_NAME=localhost\n") } });
done($ctl, 0, qr/^ACCOUNT/, '', 'the CAs of the system', @password, @list,
    { env => { SSL_CERT_FILE => $tls->ca } });

store_fails($ctl, 'signed by nobody we know',
    qr{cannot connect to Redis at rediss://127\.0\.0\.1:\d+/0: its certificate is refused: .*\(--redis-ca-file FILE tells who signed it\)$},
    3, @password, @list);
store_fails($ctl, 'signed by another', qr/its certificate is refused: .*--redis-ca-file/,
    3, @password, '--redis-ca-file', $other->ca, @list);

# whose certificate it is

done($ctl, 0, qr/^ACCOUNT/, '', 'by the name in the URL', @password, @ca,
    '--redis', 'rediss://localhost:' . $redis->tls_port, @list);
done($ctl, 0, qr/^ACCOUNT/, '', 'by an IPv6 address', @password, @ca,
    '--redis', 'rediss://[::1]:' . $redis->tls_port, @list);
done($ctl, 0, qr/^ACCOUNT/, '', 'in the clear, by an IPv6 address', @password,
    '--redis', 'redis://[::1]:' . $redis->port, @list);
store_fails($ctl, 'it is of another name',
    qr/its certificate is refused: .*mismatch.* \(--redis-server-name NAME tells whose it is\)$/i,
    3, @password, @ca, qw(--redis-server-name redis.example), @list);

my $named = Pinaud::Redis->new(
    tls => [$tls->node('redis.example'), $tls->ca, 'yes']);
my @named = ('--redis', $named->tls_url, @ca);

store_fails($ctl, 'it has no name of the address',
    qr/its certificate is refused: .*mismatch.*--redis-server-name/i, 3,
    @named, @list);

my @short = $tls->server({ days => 0 }, '127.0.0.1');

sleep 1.1;

my $expired = Pinaud::Redis->new(tls => [@short, $tls->ca]);

store_fails($ctl, 'it has expired',
    qr/its certificate is refused: .*expired \(that server needs another one, or a clock is wrong\)$/i,
    3, '--redis', $expired->tls_url, @ca, @list);

# certificates of ours

my ($cert, $key) = $tls->client('operator');
my ($strange, $strange_key) = $other->client('operator');

push @named, qw(--redis-server-name redis.example);

store_fails($ctl, 'it wants a certificate',
    qr/: it wants a client's certificate \(--redis-cert-file FILE --redis-cert-key-file FILE\)$/,
    3, @named, @list);
done($ctl, 0, qr/^ACCOUNT/, '', 'its certificate', @named, '--redis-cert-file',
    $cert, '--redis-cert-key-file', $key, @list);
done($ctl, 0, qr/^ACCOUNT/, '', 'its certificate by variables', @named, @list,
    { env => { PINAUD_REDIS_CERT_FILE => $cert,
        PINAUD_REDIS_CERT_KEY_FILE => $key } });
store_fails($ctl, 'a certificate that nobody there knows', qr{Redis at rediss://\S+: }, 3,
    @named, '--redis-cert-file', $strange, '--redis-cert-key-file',
    $strange_key, @list);

# wrong settings

my $locked = $ctl->file('locked.key', '');
$tls->openssl('pkey', '-in', $key, '-aes256', '-passout', 'pass:secret',
    '-out', $locked);

my @wrong = (
    [1, qr/^pinaudctl: --redis-cert-key-file: \S+: it is encrypted, and nobody is asked for its password$/,
        '--redis-cert-file', $cert, '--redis-cert-key-file', $locked],
    [2, qr/--redis-cert-file and --redis-cert-key-file go together/,
        '--redis-cert-file', $cert],
    [2, qr/go together/, '--redis-cert-key-file', $key],
    [1, qr/--redis-cert-key-file: \S+: key values mismatch$/,
        '--redis-cert-file', $cert, '--redis-cert-key-file', $strange_key],
    [1, qr{--redis-cert-file: /nofile: No such file},
        qw(--redis-cert-file /nofile --redis-cert-key-file), $key],
    [1, qr{--redis-cert-key-file: /nofile: No such file},
        qw(--redis-cert-key-file /nofile --redis-cert-file), $cert],
    [1, qr{--redis-ca-file: /nofile: No such file},
        qw(--redis-ca-file /nofile)],
    [1, qr/--redis-ca-file: \S+: no certificate or crl found$/,
        '--redis-ca-file', $key],
    [1, qr/--redis-server-name is 1 to 255 characters$/,
        '--redis-server-name', 'n' x 256],
    (map { [2, qr{$_->[0] goes with rediss:// in --redis$}, @$_, '--redis',
            $redis->tcp_url] }
        ['--redis-ca-file', $tls->ca], ['--redis-server-name', 'n'],
        ['--redis-cert-file', $cert], ['--redis-cert-key-file', $key]),
);

for my $case (@wrong) {
    my ($exit, $message, @args) = @$case;

    done($ctl, $exit, '', $message, join(' ', map { s{.*/}{}r } @args), @args,
        @list);
}

done($ctl, 0, qr/^ACCOUNT/, '', 'in the clear, a variable of TLS for others',
    '--redis', $redis->tcp_url, @password, @list,
    { env => { PINAUD_REDIS_CA_FILE => '/nofile' } });

# a lot in one write and in one answer, and everything that is done by TLS

$ctl = Pinaud::Ctl->new(redis => $redis, url => $redis->tls_url('op'),
    env => { PINAUD_REDIS_CA_FILE => $tls->ca,
        PINAUD_REDIS_PASSWORD_FILE => $operator });
$ctl->enrol;

my $policy = $ctl->must(qw(policy export))->{json};

for my $id (1000 .. 2999) {
    $policy->{accounts}{$id} = { credential => 'main', limits => ['10/60s'],
        teams => { map { ("team$_" => { limits => ['1/1s'] }) } 1 .. 4 } };
}

my $file = $ctl->file('policy.json', JSON::PP->new->encode($policy));
done($ctl, 0, qr/^account 2999: created$/m, '', '2000 accounts at once',
    qw(policy apply), $file);
is_deeply [sort keys %{ $ctl->must(qw(policy export))->{json}{accounts} }],
    [sort keys %{ $policy->{accounts} }], '2000 accounts: all are there';

# what answers there does not speak TLS, or breaks it

store_fails($ctl, 'Redis without TLS', qr/: (?:it does not speak TLS there|no answer to TLS in time|Server closed)/,
    7, '--redis', $redis->tcp_url =~ s/redis:/rediss:/r, @list);
store_fails($ctl, 'TLS to who speaks in the clear', qr{Redis at redis://\S+: (?:Server closed the connection|Connection reset by peer)$},
    3, '--redis', $redis->tls_url('op') =~ s/rediss:/redis:/r, @list);

# one connection, then as told

sub server {
    my ($serve) = @_;

    my $socket = IO::Socket::INET->new(Listen => 1, Proto => 'tcp',
        LocalAddr => '127.0.0.1', LocalPort => 0) or die "listen: $!";

    daemon(sub {
        my $client = $socket->accept;

        $serve->($client, sub {
            IO::Socket::SSL->start_SSL($client, SSL_server => 1,
                SSL_cert_file => $node[0], SSL_key_file => $node[1]);
        });
        sleep 1;
    });

    return ('--redis', 'rediss://127.0.0.1:' . $socket->sockport);
}

store_fails($ctl, 'something else than TLS', qr/: it does not speak TLS there$/, 3,
    server(sub { syswrite $_[0], "HTTP/1.1 400 Bad Request\r\n\r\n" }), @list);
store_fails($ctl, 'closes at once', qr/: (?:Server closed the connection|Connection reset by peer)$/,
    3, server(sub { close $_[0] }), @list);
store_fails($ctl, 'closes after the handshake',
    qr/: (?:Server closed the connection|Connection reset by peer|Broken pipe)$/,
    3, server(sub { $_[1]->(); close $_[0] }), @list);
store_fails($ctl, 'closes without a word', qr/: (?:Server closed the connection|Connection reset by peer)$/,
    3, server(sub {
        $_[1]->();
        sysread $_[0], my $in, 1;
        $_[0]->close(SSL_no_shutdown => 1);
    }), @list);
store_fails($ctl, 'nonsense by TLS', qr/: what answers there is no Redis$/, 3,
    server(sub { $_[1]->(); syswrite $_[0], "garbage\r\n" }), @list);
store_fails($ctl, 'an answer cut in the middle',
    qr/: (?:Server closed the connection|Connection reset by peer)$/, 3,
    server(sub {
        $_[1]->();
        sysread $_[0], my $in, 65536;
        syswrite $_[0], "*2\r\n\$3\r\n1";
        close $_[0];
    }), @list);
store_fails($ctl, 'a handshake that never ends', qr/: no answer to TLS in time: does it speak TLS there\?$/,
    7, server(sub { sleep 8 }), @list);

done_testing;
