#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The module as nginx's own configure builds it, without our Makefile: built
# into nginx, which then serves; what a dynamic module shows to the rest of
# nginx; what configure says where something is missing.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Process;
use Test::More;

my $project = project_dir();


# a dynamic module

my $module = "$project/build/ngx_pinaud_module.so";

SKIP: {
    skip "$module is not built", 2 if !-e $module;

    my ($exit, $output) = run_command(['nm', '-D', '--defined-only',
        $module]);
    is $exit, 0, 'its symbols' or diag $output;
    is join(' ', sort $output =~ /^[0-9a-f]+ \w (\S+)$/mg),
        'ngx_module_names ngx_module_order ngx_modules',
        'it shows what nginx asks it for, and nothing of its own';
}


# nginx's source: the one that the build with sanitizers keeps. configure
# writes into its folder, so ours is a copy.

my $cache = $ENV{PINAUD_CACHE}
    || ($ENV{XDG_CACHE_HOME} || ($ENV{HOME} || '/tmp') . '/.cache')
    . '/pinaud';
my ($kept) = map { s{/configure$}{}r } reverse sort
    glob "$cache/nginx-*-asan-*/src/configure";

if (!$kept) {
    SKIP: { skip "no source of nginx in $cache, where \"make asan-build\" "
        . 'brings it', 1 }
    done_testing();
    exit;
}

my $source = temp_dir('source');
my ($exit, $output) = run_command(['cp', '-r', (map { "$kept/$_" }
    qw(auto conf configure html man src)), $source]);
is $exit, 0, "a copy of $kept" or diag $output;

# neither PCRE nor zlib, nor what the module does not need of nginx

my @small = ('--with-http_v2_module', '--with-cc-opt=-O0 -g0',
    map { "--without-http_${_}_module" } qw(auth_basic autoindex browser
    charset empty_gif fastcgi geo grpc gzip limit_conn limit_req memcached
    mirror referer rewrite scgi split_clients ssi upstream_hash
    upstream_ip_hash upstream_least_conn upstream_random upstream_zone userid
    uwsgi));


sub configure {
    my @options = @_;

    return run_command(['./configure', @small, @options], dir => $source,
        timeout => 120);
}


# How configure ends.

sub told { return $_[0] =~ /^(\S*configure: error: .*)\z/ms ? $1 : $_[0] }


# what is missing

sub compiler_without {
    my $header = shift;

    my $path = temp_dir('cc') . '/cc';
    spew($path, <<EOT);
#!/bin/sh
for file; do
    case \$file in
    *.c) grep -q '#include <$header>' "\$file" && exit 1 ;;
    esac
done
exec cc "\$@"
EOT
    chmod 0755, $path;

    return "--with-cc=$path";
}


for my $missing (['hiredis', 'hiredis/hiredis.h', 'libhiredis-dev'],
    ['jansson', 'jansson.h', 'libjansson-dev'],
    ['OpenSSL 3 (libcrypto)', 'openssl/evp.h', 'libssl-dev'])
{
    my ($name, $header, $package) = @$missing;

    ($exit, $output) = configure('--with-http_ssl_module',
        "--add-module=$project", compiler_without($header));

    isnt $exit, 0, "without $name: configure fails";
    is told($output), "./configure: error: ngx_pinaud_module needs $name, "
        . "which was not found.\nInstall its development files, on Debian: "
        . "apt-get install $package\n\n", 'and tells the package';
}

($exit, $output) = configure("--add-dynamic-module=$project");
isnt $exit, 0, 'nginx without TLS: configure fails';
is told($output), "./configure: error: ngx_pinaud_module needs nginx to be "
    . "configured\n--with-http_ssl_module: it sends tokens to Pinterest over "
    . "TLS only.\n\n", 'and tells the option';


# built into nginx

($exit, $output) = configure('--with-http_ssl_module',
    "--add-module=$project");
is $exit, 0, '--add-module: configure' or diag $output;

($exit, $output) = run_command(['make', '-j2'], dir => $source,
    env => { MAKEFLAGS => '' }, timeout => 300);
is $exit, 0, 'make' or diag substr $output, -4000;
unlike $output, qr/warning:/, 'without warnings';

if ($exit) {
    done_testing();
    exit;
}


# It serves. The harness is loaded when there is an nginx for it.

$ENV{PINAUD_NGINX} = "$source/objs/nginx";
$ENV{PINAUD_MODULE} = '';
require Pinaud::Gateway;
Pinaud::Gateway->import;

my $gw = Pinaud::Gateway->new(accounts => { account() => {
    limits => ['100/60s'], teams => { growth => [], brand => ['1/60s'] } } });

($exit, $output) = run_command([Pinaud::Nginx->binary, '-V']);
like $output, qr{--add-module=\Q$project\E}, 'the nginx that was built';
unlike $gw->nginx->{text}, qr/load_module/, 'which loads no module';

my $r = post($gw, custom_path(), custom_body(), team => 'growth');
created $r, 'a create';
arrived_ok $gw, custom_body(), 'a create';

created h2($gw->h2_address, 'POST', create_path(), body => body(),
    team => 'growth'), 'one by HTTP/2';
arrived_ok $gw, body(), 'one by HTTP/2';

$r = post($gw, custom_path(), custom_body(data_party => '4p'),
    team => 'growth');
refused $r, 'invalid-body', 'a body that is not valid';
is_deeply [errors($r)], ['/data_party enum'], 'which is told';
refused post($gw, create_path(), body()), 'unknown-caller', 'nobody';
untouched $gw, 'what is refused';

created post($gw, create_path(), body(), team => 'brand'), 'one of one';
refused post($gw, create_path(), body(), team => 'brand'), 'quota-exceeded',
    'another';
is get($gw, create_path(), team => 'growth')->{status}, 200, 'a read';
is $gw->health->{status}, 200, 'its health';

my $counter = 'operation="audiences/create",outcome="forwarded"';
is $gw->metrics->{"pinaud_requests_total{$counter}"}, 2, 'its counters';

Pinaud::Gateway::finish();
