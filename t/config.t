#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What nginx -t says to every wrong use of a directive, word for word, and
# that it takes every right one.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::TLS;
use Test::More;

my $nginx = Pinaud::Nginx->new;
my $key = 'k1:' . 'A' x 43 . '=';

$nginx->write('seal.key', "# ours\n$key\n", 0600);
$nginx->write('password', "secret\n", 0600);


# A whole configuration: of http, of the server, of the location, which is
# enabled and may lack nothing. Each can be replaced.

my %whole = (
    redis => 'pinaud_redis redis://127.0.0.1;',
    key => 'pinaud_seal_key_file seal.key;',
    http => '',
    server => '',
    on => 'pinaud on;',
    team => 'pinaud_team $http_x_team;',
    verify => 'proxy_ssl_verify on;',
    name => 'proxy_ssl_server_name on;',
    pass => 'proxy_pass https://127.0.0.1:1;',
    location => '',
    locations => '',
);


# Line numbers in messages are of this text: http's own directives are in the
# lines 1 to 3, the server's in 5, the location's in 7.

sub config {
    my %c = (%whole, @_);

    my $http = "$c{redis} $c{key}\n$c{http}\nproxy_ssl_trusted_certificate "
        . "%%DIR%%/ca.crt;\n";

    return "${http}server {\n$c{server}\nlocation /v5/ {\n$c{location} $c{on} "
        . "$c{team} $c{verify} $c{name} $c{pass}\n}\n$c{locations}\n}\n";
}


# The line that tells what is wrong, without its place in the folder.

sub told {
    my ($exit, $output) = $nginx->test_config(config(@_));

    my @lines = grep { !/^nginx: configuration file / } split /\n/, $output;
    s{ in %%DIR%%/test_http\.conf:}{ :} for @lines;

    return join '|', $exit ? () : 'taken', @lines;
}


my $ca = Pinaud::TLS->new;
my $ca_key = $ca->ca =~ s/crt$/key/r;

$nginx->write('ca.crt', slurp($ca->ca));
$nginx->write('ca.key', slurp($ca_key));
$ca->openssl('pkey', '-in', $ca_key, '-aes256', '-passout', 'pass:secret',
    '-out', $nginx->dir . '/locked.key');


for ([open => "$key\n", 0604], [broken => "k1:A\n"], [nocolon => "k1\n"],
    [empty => ''], [twice => "$key\n$key\n"], [badid => "a b:x\n"],
    [nopassword => "\n"], [long => 'x' x 1024])
{
    my ($name, $text, $mode) = @$_;
    $nginx->write($name, $text, $mode // 0600);
}

my $ok = 'taken|nginx: the configuration file %%DIR%%/test.conf syntax is ok';
my $pass_needed = 'needs "proxy_pass" without variables, to an upstream that '
    . 'is known at start';
my $clear = 'sends tokens in the clear to another host: use "https://" in '
    . '"proxy_pass"';
my $pass = 'proxy_pass https://127.0.0.1:1;';
my $other = 'proxy_pass https://127.0.0.1:2;';


# what an enabled location needs

is_told('no Redis', { redis => '' },
    in_location('needs "pinaud_redis" in http, such as "pinaud_redis '
        . 'redis://127.0.0.1"'));
is_told('no key file', { key => '' },
    in_location('needs "pinaud_seal_key_file" in http; "pinaudctl '
        . 'seal-key generate" makes a key'));
is_told('no team', { team => '' },
    in_location('needs "pinaud_team" or "pinaud_team_key", which '
        . 'tell who calls'));
is_told('no proxy_pass', { pass => '' },
    in_location($pass_needed));
is_told('proxy_pass with variables',
    { pass => 'set $p 1; proxy_pass https://127.0.0.1:$p;' },
    in_location($pass_needed));
is_told('a nested location without proxy_pass',
    { location => 'location /v5/oauth { }' },
    in_location($pass_needed, '/v5/oauth'));
is_told('a nested location with variables', { location =>
    'location /v5/oauth { proxy_pass https://127.0.0.1:$http_x; }' },
    in_location($pass_needed, '/v5/oauth'));
is_told('if with variables', { location =>
    'if ($http_x) { proxy_pass https://127.0.0.1:$http_x; }' },
    in_location($pass_needed));
is_told('limit_except with variables', { location => 'limit_except GET '
    . '{ proxy_pass https://127.0.0.1:$http_x; }' },
    in_location($pass_needed));
is_told('return is no proxy_pass', { pass => 'return 200;' },
    in_location($pass_needed));
is_told('a retry location without proxy_pass',
    { locations => 'location @r { pinaud_retry; }' },
    in_location($pass_needed, '@r'));
is_told('a retry location without TLS verified',
    { locations => 'location @r { pinaud_retry; '
        . 'proxy_pass https://192.0.2.1; }' },
    in_location('needs "proxy_ssl_verify on", else the token can go '
        . 'to anybody', '@r'));


# what it can't go with

my $far = 'proxy_pass https://192.0.2.1;';

is_told('TLS not verified', { verify => '', pass => $far },
    in_location('needs "proxy_ssl_verify on", else the token can go '
        . 'to anybody'));
is_told('no server name', { name => '', pass => $far },
    in_location('needs "proxy_ssl_server_name on", which Pinterest\'s '
        . 'servers go by'));
is_told('http to another host', { pass => 'proxy_pass http://192.0.2.1;' },
    in_location($clear));
is_told('http to another host among others', { http =>
    'upstream u { server 127.0.0.1; server unix:/s; server 192.0.2.1; }',
    pass => 'proxy_pass http://u;' },
    in_location($clear));
is_told('http to another host as a backup', { http => 'upstream u { '
    . 'server 127.0.0.1:1; server 127.0.0.1:2 backup; '
    . 'server 192.0.2.1 backup; }', pass => 'proxy_pass http://u;' },
    in_location($clear));
is_told('http to another host of IPv6',
    { pass => 'proxy_pass http://[2001:db8::1];' },
    in_location($clear));
is_told('http to any address', { pass => 'proxy_pass http://0.0.0.0;' },
    in_location($clear));
is_told('http to an IPv4 address in IPv6',
    { pass => 'proxy_pass http://[::ffff:192.0.2.1];' },
    in_location($clear));
is_told('http in if', { location =>
    'if ($http_x) { proxy_pass http://192.0.2.1; }' },
    Pinaud::Nginx->shares_tls ? $ok : in_location($clear));
is_told('http in limit_except', { location =>
    'limit_except GET { proxy_pass http://192.0.2.1; }' },
    Pinaud::Nginx->shares_tls ? $ok : in_location($clear));
is_told('non_idempotent',
    { location => 'proxy_next_upstream error non_idempotent;' },
    in_location('can\'t go with "proxy_next_upstream non_idempotent", '
        . 'which can make an audience twice: set it "off"'));
is_told('non_idempotent of the server',
    { server => 'proxy_next_upstream error non_idempotent;' },
    in_location('can\'t go with "proxy_next_upstream non_idempotent", '
        . 'which can make an audience twice: set it "off"'));
is_told('no body', { location => 'proxy_pass_request_body off;' },
    in_location('can\'t go with "proxy_pass_request_body off": remove '
        . 'it'));
is_told('proxy_store', { location => 'proxy_store on;' },
    in_location('can\'t go with "proxy_store": set it "off"'));
is_told('proxy_store with a path', { location => 'proxy_store /x$uri;' },
    in_location('can\'t go with "proxy_store": set it "off"'));
is_told('proxy_cache', { http => 'proxy_cache_path cache '
    . 'keys_zone=c:1m;', location => 'proxy_cache c;' },
    in_location('can\'t go with "proxy_cache": set it "off"'));
is_told('proxy_cache with variables', { http => 'proxy_cache_path cache '
    . 'keys_zone=c:1m;', location => 'proxy_cache $http_x;' },
    in_location('can\'t go with "proxy_cache": set it "off"'));


# who calls

is_told('both kinds of team', { location => 'pinaud_team_key $http_x;' },
    emerg('both "pinaud_team" and "pinaud_team_key" in '
        . 'location "/v5/": keep one of them'));
is_told('both kinds in the server', { team => '',
    server => 'pinaud_team_key $http_x; pinaud_team $http_y;' },
    emerg('both "pinaud_team" and "pinaud_team_key" in '
        . 'location "": keep one of them'));
is_told('$arg_ in a key', { team => 'pinaud_team_key $arg_key;' },
    emerg('"pinaud_team_key" directive takes no "$arg_": a key '
        . 'in the URL ends up in logs :7'));
is_told('${arg_} in a key', { team => 'pinaud_team_key "x${arg_key}";' },
    emerg('"pinaud_team_key" directive takes no "$arg_": a key '
        . 'in the URL ends up in logs :7'));
is_told('an unknown variable', { team => 'pinaud_team $no_such;' },
    emerg('unknown "no_such" variable'));


# values

is_told('pinaud yes', { on => 'pinaud yes;' },
    emerg('invalid value "yes" in "pinaud" directive, it must '
        . 'be "on" or "off" :7'));
is_told('pinaud without a value', { on => 'pinaud;' },
    emerg('invalid number of arguments in "pinaud" directive :7'));
is_told('normalize', { location => 'pinaud_normalize strict;' },
    emerg('invalid value "strict" :7'));
is_told('unknown members',
    { location => 'pinaud_unknown_members drop;' },
    emerg('invalid value "drop" :7'));
is_told('passthrough', { location => 'pinaud_passthrough all;' },
    emerg('invalid value "all" :7'));
is_told('status', { locations => 'location /s { pinaud_status html; }' },
    emerg('invalid value "html" in "pinaud_status" directive, '
        . 'it must be "json", "prometheus" or "health" :9'));
is_told('idempotency', { location => 'pinaud_idempotency 1h;' },
    emerg('"pinaud_idempotency" directive can only be "off" in '
        . 'this version: requests with an Idempotency-Key are '
        . 'refused :7'));
is_told('quota_wait', { location => 'pinaud_quota_wait soon;' },
    emerg('"pinaud_quota_wait" directive invalid value :7'));
is_told('refresh_wait', { location => 'pinaud_refresh_wait -1;' },
    emerg('"pinaud_refresh_wait" directive invalid value :7'));
is_told('retry with a value', { location => 'pinaud_retry on;' },
    emerg('invalid number of arguments in "pinaud_retry" '
        . 'directive :7'));
is_told('timeout', { http => 'pinaud_redis_timeout x;' },
    emerg('"pinaud_redis_timeout" directive invalid value :2'));
is_told('timeout of 0', { http => 'pinaud_redis_timeout 0;' },
    emerg('"pinaud_redis_timeout" and '
        . '"pinaud_redis_connect_timeout" can\'t be 0: no '
        . 'request would be admitted'));
is_told('connect timeout of 0',
    { http => 'pinaud_redis_connect_timeout 0ms;' },
    emerg('"pinaud_redis_timeout" and '
        . '"pinaud_redis_connect_timeout" can\'t be 0: no '
        . 'request would be admitted'));
is_told('connect timeout', { http => 'pinaud_redis_connect_timeout 1x;' },
    emerg('"pinaud_redis_connect_timeout" directive invalid '
        . 'value :2'));
is_told('outage allowance', { http => 'pinaud_outage_allowance many;' },
    emerg('"pinaud_outage_allowance" directive invalid number '
        . ':2'));
is_told('too large an outage allowance',
    { http => 'pinaud_outage_allowance 1000001;' },
    emerg('value must be between 0 and 1000000 :2'));

# what the least is depends on what is counted

my ($least) = told(http => 'pinaud_zone 4k;') =~ /at least (\d+k)/;
is_told('a zone that is too small', { http => 'pinaud_zone 4k;' },
    emerg('"pinaud_zone" of 4096 bytes is too small, it must '
        . 'have at least ' . ($least // 'how much')));
is_told('a zone of no size', { http => 'pinaud_zone big;' },
    emerg('"pinaud_zone" directive invalid value :2'));


# Redis

is_told('Redis of no scheme', { redis => 'pinaud_redis 127.0.0.1;' },
    emerg('"pinaud_redis" a store\'s URL is '
        . 'redis://[user@]host[:port][/db], rediss://... or '
        . 'unix:/path'));
is_told('a password in the URL',
    { redis => 'pinaud_redis redis://u:secret@127.0.0.1;' },
    emerg('"pinaud_redis" a password in the URL is refused: '
        . 'put it into the password file'));
is_told('a user without a password',
    { redis => 'pinaud_redis redis://u@127.0.0.1;' },
    emerg('"pinaud_redis" names a user: '
        . '"pinaud_redis_password_file" is needed'));
is_told('an unknown host',
    { redis => 'pinaud_redis redis://no-such.invalid;' },
    emerg('host not found in "pinaud_redis" '
        . '"redis://no-such.invalid"'));
is_told('a port', { redis => 'pinaud_redis redis://127.0.0.1:70000;' },
    emerg('"pinaud_redis" the port in the URL is a number from '
        . '1 to 65535'));
is_told('a database', { redis => 'pinaud_redis redis://127.0.0.1/x;' },
    emerg('"pinaud_redis" the database in the URL is a number'));
is_told('a relative socket', { redis => 'pinaud_redis unix:redis.sock;' },
    emerg('"pinaud_redis" the path of a unix socket begins '
        . 'with a slash'));
is_told('a long socket',
    { redis => 'pinaud_redis unix:/' . 'x' x 120 . ';' },
    emerg('"pinaud_redis" the path of a unix socket is too long'));
is_told('TLS', { redis => 'pinaud_redis rediss://127.0.0.1;' }, $ok);
is_told('TLS of two kinds',
    { redis => 'pinaud_redis rediss://127.0.0.1 redis://127.0.0.2 '
        . 'mode=cluster;' },
    emerg('"pinaud_redis" takes redis:// or rediss:// in all URLs, '
        . 'not both'));

for my $line ('trusted_certificate ca.crt', 'certificate ca.crt',
    'certificate_key ca.crt', 'name redis')
{
    is_told("$line without TLS", { http => "pinaud_redis_ssl_$line;" },
        emerg('"pinaud_redis_ssl_..." has no effect without "rediss://" in '
            . '"pinaud_redis"'));
}

my $tls = 'pinaud_redis rediss://127.0.0.1;';

for my $line ('certificate ca.crt', 'certificate_key ca.crt') {
    is_told("$line alone",
        { redis => "$tls pinaud_redis_ssl_$line;" },
        emerg('"pinaud_redis_ssl_certificate" and '
            . '"pinaud_redis_ssl_certificate_key" go together'));
}

is_told('an encrypted key', { redis => "$tls pinaud_redis_ssl_certificate "
    . 'ca.crt; pinaud_redis_ssl_certificate_key locked.key;' },
    qr/^nginx: \[emerg\] cannot load certificate key "%%DIR%%\/locked\.key"/);
is_told('CAs that are none', { redis => "$tls "
    . 'pinaud_redis_ssl_trusted_certificate seal.key;' },
    qr/^nginx: \[emerg\] SSL_CTX_load_verify_locations\("%%DIR%%\/seal/);
is_told('Sentinel', { redis => 'pinaud_redis redis://127.0.0.1 '
    . 'redis://127.0.0.2:26380 mode=sentinel master=m;',
    http => 'pinaud_redis_sentinel_password_file password;' }, $ok);
is_told('Sentinel without a name',
    { redis => 'pinaud_redis redis://127.0.0.1 mode=sentinel;' },
    emerg('"pinaud_redis" with "mode=sentinel" needs "master=NAME", the name '
        . 'by which the sentinels know the master'));
is_told('a password of no sentinel',
    { http => 'pinaud_redis_sentinel_password_file password;' },
    emerg('"pinaud_redis_sentinel_password_file" has no effect without '
        . '"mode=sentinel" in "pinaud_redis"'));
is_told('a cluster', { redis => 'pinaud_redis redis://127.0.0.1 '
    . 'redis://127.0.0.2:6380 mode=cluster;' }, $ok);
is_told('a database of a cluster',
    { redis => 'pinaud_redis redis://127.0.0.1/1 mode=cluster;' },
    emerg('"pinaud_redis" takes no database in a cluster, which has only 0'));
is_told('a mode that is none', { redis => 'pinaud_redis redis://h mode=x;' },
    emerg('"pinaud_redis" takes "mode=sentinel" or "mode=cluster"; a '
        . 'standalone Redis needs no mode'));
is_told('Redis without a URL', { redis => 'pinaud_redis;' },
    emerg('invalid number of arguments in "pinaud_redis" '
        . 'directive :1'));


# files

is_told('no such key file',
    { key => 'pinaud_seal_key_file none;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/none": No such file or directory'));
is_told('a key file of others',
    { key => 'pinaud_seal_key_file open;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/open" is open to others: "chmod o-rwx '
        . 'FILE" (Kubernetes: "defaultMode: 0440")'));
is_told('a folder', { key => 'pinaud_seal_key_file logs;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/logs" is not a regular file'));
is_told('an empty key file', { key => 'pinaud_seal_key_file empty;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/empty" has no key: "pinaudctl seal-key '
        . 'generate" makes one'));
is_told('a key that is too short',
    { key => 'pinaud_seal_key_file broken;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/broken", line 1: the key is not 32 bytes '
        . 'in base64'));
is_told('a line without a key',
    { key => 'pinaud_seal_key_file nocolon;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/nocolon", line 1: is not "id:base64"'));
is_told('a key twice', { key => 'pinaud_seal_key_file twice;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/twice", line 2: the key\'s id stands in a '
        . 'line above already'));
is_told('a key of a bad name', { key => 'pinaud_seal_key_file badid;' },
    emerg('"pinaud_seal_key_file" can\'t be used: seal key file '
        . '"%%DIR%%/badid", line 1: the key\'s id is letters, '
        . 'digits, ".", "_" and "-"'));
is_told('no such password file',
    { http => 'pinaud_redis_password_file none;' },
    emerg('open() "%%DIR%%/none" failed (2: No such file or '
        . 'directory)'));
is_told('an empty password file',
    { http => 'pinaud_redis_password_file nopassword;' },
    emerg('"%%DIR%%/nopassword" holds no password: one line of '
        . '1 to 1023 bytes'));
is_told('a password that is too long',
    { http => 'pinaud_redis_password_file long;' },
    emerg('"%%DIR%%/long" holds no password: one line of 1 to 1023 '
        . 'bytes'));


# twice

my %values = (pinaud => 'on', pinaud_report => '1', pinaud_team => '$http_x',
    pinaud_team_key => '$http_x', pinaud_normalize => 'lenient',
    pinaud_unknown_members => 'forward', pinaud_passthrough => 'on',
    pinaud_quota_wait => '1s', pinaud_refresh_wait => '1s',
    pinaud_status => 'json', pinaud_idempotency => 'off',
    pinaud_retry => '');
my %http_values = (pinaud_redis => 'redis://127.0.0.1',
    pinaud_redis_password_file => 'password',
    pinaud_redis_sentinel_password_file => 'password',
    pinaud_redis_ssl_trusted_certificate => 'ca.crt',
    pinaud_redis_ssl_certificate => 'ca.crt',
    pinaud_redis_ssl_certificate_key => 'ca.key',
    pinaud_redis_ssl_name => 'redis', pinaud_redis_timeout => '1s',
    pinaud_redis_connect_timeout => '1s', pinaud_seal_key_file => 'seal.key',
    pinaud_zone => '4m', pinaud_outage_allowance => '10');

for my $name (sort keys %values) {
    my $line = "$name $values{$name};";

    is_told("$name twice", { on => '', team => '',
        location => "$line $line" },
        emerg("\"$name\" directive is duplicate :7"));
}

for my $name (sort keys %http_values) {
    my $line = "$name $http_values{$name};";

    is_told("$name twice", { redis => '', key => '', http => "$line $line" },
        emerg("\"$name\" directive is duplicate :2"));
}


# in the wrong place

for my $name (sort keys %values) {
    next if $name =~ /^pinaud_(report|team|team_key)$/;
    my $line = "$name $values{$name};";

    is_told("$name in http", { http => $line },
        emerg("\"$name\" directive is not allowed here :2"));
    is_told("$name in the server", { server => $line },
        emerg("\"$name\" directive is not allowed here :5"));
    is_told("$name in if", { location => "if (\$http_x) { $line }" },
        emerg("\"$name\" directive is not allowed here :7"));
}

for my $name (sort keys %http_values) {
    my $line = "$name $http_values{$name};";

    is_told("$name in the server", { server => $line },
        emerg("\"$name\" directive is not allowed here :5"));
    is_told("$name in a location", { location => $line },
        emerg("\"$name\" directive is not allowed here :7"));
}


# and what is right

is_told('the least', {}, $ok);

is_told('everything', {
    redis => 'pinaud_redis rediss://127.0.0.1 mode=sentinel master=m;',
    http => join(' ', map { "$_ $http_values{$_};" }
        grep { !/_(redis|seal_key_file)$/ } sort keys %http_values)
        . 'pinaud_report $http_x; pinaud_team_key $http_x;',
    server => 'pinaud_report $http_x; pinaud_team_key $http_authorization;',
    location => 'pinaud_report $http_x; pinaud_normalize lenient; '
        . 'pinaud_unknown_members forward; pinaud_passthrough on; '
        . 'pinaud_quota_wait 1s; pinaud_refresh_wait 0; '
        . 'pinaud_idempotency off; proxy_intercept_errors on; '
        . 'error_page 401 = @retry; proxy_next_upstream error timeout;',
    locations => "location \@retry { pinaud_retry; $whole{verify} "
        . "$whole{name} $pass } "
        . join ' ', map { "location /$_ { pinaud_status $_; }" }
            qw(json prometheus health),
    }, $ok);

is_told('the team of the server', { team => '',
    server => 'pinaud_team growth;' }, $ok);
is_told('a nested location of another kind of team', { location =>
    "location /v5/ad_accounts/ { pinaud_team_key \$http_x; $other }" }, $ok);
is_told('a nested location that is off',
    { location => 'location /v5/oauth { pinaud off; return 404; }' }, $ok);
is_told('a location that is off needs nothing', { redis => '', key => '',
    on => 'pinaud off;', team => '', pass => '' }, $ok);
is_told('status alone needs nothing', { redis => '', key => '', on => '',
    pass => '', locations => 'location /s { pinaud_status json; }' }, $ok);
is_told('if in the location', { location =>
    "if (\$http_x) { $other }" }, $ok);
is_told('a retry location needs no team', { locations =>
    "location \@r { pinaud_retry; $whole{verify} $whole{name} $pass }" },
    $ok);

is_told('the smallest zone', { http => "pinaud_zone $least;" }, $ok);

for my $host ('127.0.0.1', '127.9.9.9:81', '[::1]', 'unix:/s:', 'u') {
    is_told("http to $host", { verify => '', name => '', http =>
        'upstream u { server 127.0.0.1; server [::1]; '
        . 'server unix:/s backup; }', pass => "proxy_pass http://$host;" },
        $ok);
}

for my $url ('redis://127.0.0.1', 'redis://127.0.0.1:1/15', 'redis://[::1]:1',
    'redis://localhost', 'redis://user@127.0.0.1', 'unix:/run/redis.sock')
{
    is_told("Redis at $url", { redis => "pinaud_redis $url;",
        http => 'pinaud_redis_password_file password;' }, $ok);
}

finish();


sub emerg { "nginx: [emerg] $_[0]" }


sub in_location {
    my ($text, $location) = @_;

    return emerg('location "' . ($location // '/v5/')
        . "\" with \"pinaud\" $text");
}


sub is_told {
    my ($name, $change, $expected) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ref $expected ? like(told(%$change), $expected, $name)
        : is(told(%$change), $expected, $name);
}
