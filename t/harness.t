#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The harness itself: what other tests take for granted, and that its checks
# can fail.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::UNIX;
use Pinaud::EvilRedis;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::TLS;
use Test::More;
use Time::HiRes qw(sleep time);


# Redis

my $redis = Pinaud::Redis->new;

is $redis->cmd('SET', 'a', "x\r\ny"), 'OK', 'a status';
is $redis->cmd('GET', 'a'), "x\r\ny", 'bytes';
is $redis->cmd('GET', 'b'), undef, 'nil';
is_deeply $redis->cmd('EVAL', 'return {1, "a", {2}}', 0), [1, 'a', [2]],
    'arrays';
is ref $redis->try('NONE'), 'Pinaud::Redis::Error', 'an error';
ok !eval { $redis->cmd('NONE'); 1 }, 'cmd dies with it';
like $@, qr/^ERR unknown command/, 'and tells it';

$redis->restart;
is $redis->cmd('GET', 'a'), undef, 'nothing is kept over a restart';

my $kept = Pinaud::Redis->new(persist => 1, password => 'p');
$kept->cmd('SET', 'a', 'b');
$kept->kill->start;
is $kept->cmd('GET', 'a'), 'b', 'with persist it is, also over a kill';
my $pid = $kept->pid;
undef $kept;
ok !kill(0, $pid), 'a server ends with its object';


# a Redis that misbehaves

my $evil = Pinaud::EvilRedis->new($redis);

sub ask {
    my $socket = IO::Socket::UNIX->new(Peer => $evil->socket)
        or return 'refused';
    my $value = eval { Pinaud::Redis::ask({ socket => $socket, buffer => '',
        timeout => 0.4 }, @_) };

    return $@ ? $@ =~ s/\n\z//r : "$value";
}

is ask('PING'), 'PONG', 'passes';
is ask('SET', 'a', 'b'), 'OK', 'passes arguments';
is_deeply $evil->commands('set'), [['SET', 'a', 'b']], 'has a record';

$evil->mode('refuse');
is ask('PING'), 'refused', 'refuse';
$evil->mode('pass');
is ask('PING'), 'PONG', 'and back';

for my $mode ('black_hole', 'silence') {
    $evil->mode($mode);
    is ask('PING'), 'Redis: no reply in time', $mode;
}

my $start = time();
$evil->mode('delay', seconds => 0.2);
is ask('PING'), 'PONG', 'delay';
cmp_ok time() - $start, '>=', 0.2, 'by that much';

$evil->mode('error', text => 'LOADING x', only => 'GET');
is ask('GET', 'a'), 'LOADING x', 'error';
is ask('PING'), 'PONG', 'only for that command';

$evil->mode('cut', bytes => 2, times => 1);
like ask('PING'), qr/lost|reset/, 'cut';
is ask('PING'), 'PONG', 'only once';

$evil->mode('half', bytes => 3);
is ask('PING'), 'Redis: no reply in time', 'half';
$evil->mode('answer', bytes => "!!\r\n");
like ask('PING'), qr/unknown type/, 'answer';
$evil->mode('trickle', seconds => 0.01);
is ask('PING'), 'PONG', 'trickle';

for my $mode ('reset', 'close') {
    $evil->mode($mode);
    like ask('PING'), qr/lost|reset/, $mode;
}

$evil->mode('pass');
ok wait_until(sub { $evil->connections == 0 }, 2), 'no connection is left';


# nginx

my $tls = Pinaud::TLS->new;
my ($cert, $key) = $tls->server('localhost');
my $h2 = Pinaud::Nginx->has('http_v2_module');
my $http2 = $h2 ? 'http2' : '';

my $nginx = Pinaud::Nginx->new(load => 0, workers => 2, start => 1,
    http => <<EOF);
    server {
        listen 127.0.0.1:%%PORT:http%%;
        return 200 hello;
    }

    server {
        listen 127.0.0.1:%%PORT:h2%% $http2;
        return 200 \$server_protocol;
    }

    server {
        listen 127.0.0.1:%%PORT:tls%% ssl $http2;
        ssl_certificate $cert;
        ssl_certificate_key $key;
        return 200 \$server_protocol;
    }
EOF

is get($nginx, '/')->{body}, 'hello', 'HTTP/1.1';
is get($nginx->port('tls'), '/', tls => { ca => $tls->ca })->{body},
    'HTTP/1.1', 'over TLS';
isnt get($nginx->port('tls'), '/', tls => { ca => $tls->ca,
    name => 'other' })->{status}, 200, 'another name';
like get(free_port(), '/')->{error}, qr/^connect/, 'nobody';

SKIP: {
    skip 'nginx without HTTP/2', 2 if !$h2;

    is h2($nginx->port('h2'), 'GET', '/')->{body}, 'HTTP/2.0', 'HTTP/2';
    is h2($nginx->port('tls'), 'GET', '/', tls => { ca => $tls->ca,
        name => 'localhost' })->{body}, 'HTTP/2.0', 'HTTP/2 over TLS';
}

my @old = $nginx->workers;
is scalar @old, 2, 'workers';
$nginx->reload;
my @new = $nginx->workers;
is_deeply [grep { my $pid = $_; grep { $_ == $pid } @old } @new], [],
    'reload makes new ones';
$nginx->kill_worker('TERM');
is scalar(() = $nginx->workers), 2, 'one that is killed comes back';

is_deeply [$nginx->test_config('nothing;')], [1,
    qq(nginx: [emerg] unknown directive "nothing" in )
    . qq(%%DIR%%/test_http.conf:1\n)
    . qq(nginx: configuration file %%DIR%%/test.conf test failed\n)],
    'nginx -t';
is +($nginx->test_config(''))[0], 0, 'nginx -t of a good one';


# the checks at the end can fail

my $checked = Pinaud::Nginx->new(load => 0);
my $log = $checked->dir . '/logs/error.log';

is_deeply [$checked->alerts, $checked->sanitizer_reports], [],
    'nothing to report';

spew($log, "[info] x\n[alert] one\n[crit] two\n[emerg] three\n");
is scalar(() = $checked->alerts), 3, 'alerts are found';
$checked->allow(qr/one/, qr/two/);
is join('', $checked->alerts), "[emerg] three\n", 'those allowed are not';

for my $report ('x.c:1:2: runtime error: signed integer overflow',
    '==1==ERROR: AddressSanitizer: heap-use-after-free')
{
    spew($log, "$report\n");
    is scalar(() = $checked->sanitizer_reports), 1, 'a report in the log';
    spew($log, '');
    spew($checked->dir . '/sanitizer/report.1', "$report\n");
    is scalar(() = $checked->sanitizer_reports), 1, 'a report of its own';
    unlink $checked->dir . '/sanitizer/report.1';
}

my ($exit, $output) = run_command(['perl', '-I', "$FindBin::Bin/lib", '-e',
    'use Test::More; use Pinaud::Nginx; my $n = Pinaud::Nginx->new(load => 0);'
    . ' ok 1; done_testing()']);
is $exit, 1, 'a test that forgets to finish fails';
like $output, qr/finish\(\) was not called/, 'and says why';


# nothing is left

my $dir;
($exit, $output) = run_command(['perl', '-I', "$FindBin::Bin/lib", '-e',
    'use Pinaud::Redis; $r = Pinaud::Redis->new; print $r->dir, " ", $r->pid;'
    . ' die']);
($dir, $pid) = $output =~ m{(/\S+) (\d+)};
ok $pid, 'a test that dies' or diag $output;
ok !-e $dir, 'leaves no folder';
ok !kill(0, $pid), 'and no process';

finish();
