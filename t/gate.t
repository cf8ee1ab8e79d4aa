#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The gate: whatever else a configuration does in or around an enabled
# location, nothing unchecked reaches Pinterest and no token goes elsewhere.
# What nginx -t refuses of these is not asked here but started without.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;

my $gw = Pinaud::Gateway->new(
    http => 'map $http_authorization $key_team { "Bearer key" growth; }',
    nginx => { allow => [qr/pinaud: /] });

my $path = create_path;
my $body = body(rule => { visitor_source_id => ['1'] });
my $edited = body(rule => { visitor_source_id => '1' });
my @growth = (team => 'growth');


# Another configuration of the locations; true when nginx takes it.

sub with {
    my ($locations) = @_;

    local $gw->{locations} = $locations;
    my ($exit, $output) = $gw->nginx->test_config($gw->http);

    if ($exit) {
        like $output, qr/"pinaud|pinaud/, 'refused by nginx -t, with a reason';
        return 0;
    }

    $gw->nginx->conf($gw->http)->reload;
    $gw->arrived;

    return 1;
}


sub location {
    my ($more, %opt) = @_;

    my $name = $opt{name} // '/v5/';
    my $pass = $opt{pass} // 'proxy_pass https://pinterest;';
    my $proxy = $opt{proxy} // $gw->proxy_conf;

    return <<EOF;
        location $name {
            pinaud on;
            pinaud_team \$http_x_team;
            $pass
            $proxy
            $more
        }
EOF
}


sub no_token {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $token = $gw->token;
    my @got = grep { index($_->{head}, $token) >= 0 } $gw->arrived;

    is scalar(@got), 0, $name;
}


# A request that was checked may arrive or may fail; it never arrives changed.

sub faithful {
    my ($name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r = post($gw, $opt{path} // $path, $body, @growth);
    my $token = $gw->token;
    my @wrong;

    for my $there ($gw->arrived) {
        next if index($there->{head}, $token) < 0;

        push @wrong, $there->{head} . $there->{body}
            if "$there->{method} $there->{target}" ne "POST $path"
                || $there->{body} ne $edited
                || 1 < (() = $there->{head} =~ /^Authorization:/mgi)
                || 1 < (() = $there->{head} =~ /^Content-Type:/mgi)
                || 1 < (() = $there->{head} =~ /^Content-Length:/mgi)
                || $there->{head} =~ /^(?:Cookie|Proxy-Auth|X-HTTP-Method)/mi;
    }

    is join('', @wrong), '', $name;

    return $r;
}


# everything is passed on, without the list of fields

if (with(location('', proxy => 'proxy_ssl_server_name on; proxy_ssl_verify on;'
    . ' proxy_ssl_name api.pinterest.com; proxy_http_version 1.1;'
    . ' proxy_set_header Connection "";')))
{
    my $r = post($gw, $path, $body, @growth, headers => [
        'Authorization: Bearer mine', 'authorization: Bearer mine',
        'Cookie: a=b', 'Proxy-Authorization: Basic eDp5',
        'X-HTTP-Method-Override: DELETE', 'X-Method-Override: DELETE',
        'X-HTTP-Method: DELETE', 'X-Own: 1']);

    # two lines of Authorization are an error to nginx of 1.23 and later
    if ($r->{status} != 400) {
        created $r, 'all fields: created';
        my ($there) = $gw->arrived;
        my $head = $there->{head};

        is scalar(() = $head =~ /^Authorization: /mgi), 1,
            'all fields: one Authorization';
        like $head, qr/^Authorization: Bearer \Q@{[ $gw->token ]}\E\r$/m,
            'all fields: the token';
        unlike $head, qr/^(?:Cookie|Proxy-Authorization|X-.*Method.*):/mi,
            'all fields: none that changes the call';
        like $head, qr/^X-Own: 1\r$/m, 'all fields: others go';
    }
}


# a name with underscores is one with hyphens, to many a server

if (with("underscores_in_headers on;\n" . location('', proxy =>
    'proxy_ssl_server_name on; proxy_ssl_verify on;'
    . ' proxy_ssl_name api.pinterest.com; proxy_http_version 1.1;'
    . ' proxy_set_header Connection "";')))
{
    created post($gw, $path, $body, @growth, headers => [
        'X_HTTP_Method_Override: DELETE', 'X-HTTP_Method-Override: DELETE',
        'x_method_override: DELETE', 'X_HTTP_METHOD: DELETE',
        'Proxy_Authorization: Basic eDp5', 'Content_Type: text/plain',
        'Content_Length: 3', 'Transfer_Encoding: chunked', 'X_Own: 1',
        'Content_Own: 1', 'Transfer_Own: 1']), 'underscores: created';

    my ($there) = $gw->arrived;

    is join(' ', map { /^([^:]*_[^:]*):/ } split /\r\n/, $there->{head}),
        'X_Own Content_Own Transfer_Own',
        'underscores: none that changes the call, others go';
}


# directives that change what is sent

for my $more (
    'proxy_method PUT;',
    'proxy_method GET;',
    'proxy_set_body "x=1";',
    'proxy_set_header Authorization "Bearer other";',
    'proxy_set_header Cookie "a=b";',
    'proxy_set_header Content-Type text/plain;',
    'proxy_set_header Content-Length 3;',
    'proxy_set_header Transfer-Encoding chunked;',
    'proxy_set_header X-HTTP-Method-Override DELETE;',
    "proxy_set_header X-Own \"a\r\nAuthorization: Bearer b\";",
    "proxy_set_header X-Own \"a\r\n\r\n{}\";",
    'proxy_set_header Host "x\r\n\r\n";',
    'rewrite ^ /v5/ad_accounts/1/audiences;',
    'rewrite ^ /v5/ad_accounts/1/audiences break;',
    'rewrite ^(.*)$ $1?x=1 break;',
    'client_body_in_file_only on;',
    'client_body_in_single_buffer on;',
    'proxy_request_buffering off;',
    'proxy_pass_request_body off;',
    'limit_except GET { deny all; }',
    'proxy_next_upstream error timeout non_idempotent;',
    'add_header X-Own 1;',
    'gzip on; gzip_types *;',
    'sub_filter a b;')
{
    next if $more =~ /^sub_filter/
        && !Pinaud::Nginx->has('http_sub_module');

    with(location($more)) or next;
    my $r = faithful($more =~ s/\r?\n/ /gr);
    ok $r->{status}, "$more: answered" or diag $r->{error};
}


{
    local $gw->{proxy} = { proxy_http_version => '1.0' };
    faithful('HTTP/1.0') if with(location(''));
}


# other forms of proxy_pass

for my $pass (
    'proxy_pass https://pinterest/;',
    'proxy_pass https://pinterest/v5/;',
    'proxy_pass https://pinterest/v4/;',
    'proxy_pass https://pinterest/v5/ad_accounts/1/audiences;',
    'proxy_pass https://pinterest$request_uri;',
    'proxy_pass https://pinterest/v5/ad_accounts/1/audiences?x=;',
    'set $up pinterest; proxy_pass https://$up;',
    'proxy_pass http://pinterest;')
{
    with(location('', pass => $pass)) or next;
    faithful($pass);
}

# a prefix of the location's own is all that may differ

if (with(location('', name => '/pinterest/',
    pass => 'proxy_pass https://pinterest/;')))
{
    created post($gw, "/pinterest$path", $body, @growth),
        'a prefix that proxy_pass takes off';
    my ($there) = $gw->arrived;
    is $there->{target}, $path, 'Pinterest sees none of it';

    refused post($gw, "/pinterest/$path", $body, @growth), 'not-found',
        'a doubled slash behind it', read => 1;
    untouched $gw, 'is not forwarded';
}


# subrequests and redirects

with(location('') . <<EOF) and do {
        location = /mirrored { internal; proxy_pass https://pinterest$path;
            proxy_ssl_server_name on; }
        location /m/ {
            mirror $path;
            mirror_request_body on;
            return 204;
        }
        location = /auth {
            auth_request $path;
            return 200 'in';
        }
        location = /jump { rewrite ^ $path; }
        location = /error { error_page 418 = $path; return 418; }
        location /try/ { try_files /nothing $path; }
EOF
    for my $target ('/m/x', '/auth', '/jump', '/error', '/try/x') {
        my $r = post($gw, $target, $body);
        no_token "$target: without a team nothing is forwarded";

        $r = post($gw, $target, $body, @growth);

        # it is another path than the one that nginx went on with
        no_token "$target: with a team, too";
    }
};

if (with(location('mirror /copy; mirror_request_body on;') . <<EOF)) {
        location = /copy {
            internal;
            pinaud on;
            pinaud_team growth;
            proxy_pass https://pinterest;
            @{[ $gw->proxy_conf ]}
        }
EOF
    my $r = post($gw, $path, $body, @growth);
    my @there = grep { index($_->{head}, $gw->token) >= 0 } $gw->arrived;
    cmp_ok scalar(@there), '<=', 1, 'a mirror gets no token';
    is $there[0]{body}, $edited, 'the request itself is what was checked'
        if @there;
}

if (with(location('auth_request /check;') . <<EOF)) {
        location = /check {
            internal;
            proxy_pass https://pinterest/check;
            proxy_ssl_server_name on;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
EOF
    post($gw, $path, $body, @growth);
    my @check = grep { $_->{target} eq '/check' } $gw->arrived;
    is scalar(@check), 1, 'auth_request asks';
    unlike $check[0]{head}, qr/\Q@{[ $gw->token ]}\E/, 'without the token';
}

if (with(location('auth_request /check;') . <<EOF)) {
        location = /check { internal; return 204; }
EOF
    created post($gw, $path, $body, @growth), 'auth_request that lets in';
    arrived_ok $gw, $edited, 'arrived';

    SKIP: {
        skip 'nginx without HTTP/2', 2
            if !Pinaud::Nginx->has('http_v2_module');
        require Pinaud::HTTP2;

        created Pinaud::HTTP2::h2($gw, 'POST', $path, body => $body, @growth),
            'HTTP/2: auth_request that lets in';
        arrived_ok $gw, $edited, 'HTTP/2: arrived';
    }
}

if (with(location('auth_request /check;') . <<EOF)) {
        location = /check { internal; return 403; }
EOF
    is post($gw, $path, $body, @growth)->{status}, 403,
        'auth_request that does not';
    untouched $gw, 'is not forwarded';
}


# a retry location serves only what Pinterest itself refused

my $retry = <<EOF;
        location \@retry {
            pinaud on;
            pinaud_team \$http_x_team;
            pinaud_retry;
            proxy_pass https://pinterest;
            @{[ $gw->proxy_conf ]}
        }
EOF

if (with(location('error_page 401 = @retry; auth_request /check;')
    . "location = /check { internal; return 401; }\n$retry"))
{
    is post($gw, $path, $body, @growth)->{status}, 401,
        'a 401 of auth_request stays';
    untouched $gw, 'and gets nothing through';
}

if (with(location('error_page 401 = @retry;') . $retry)) {
    is post($gw, $path, $body)->{status}, 401, 'a 401 of ours stays';
    untouched $gw, 'and gets nothing through';
}


# other locations are left alone

$gw->{server} = <<EOF;
    location /free/ {
        proxy_pass https://pinterest/;
        proxy_ssl_server_name on;
    }
EOF

$gw->nginx->conf($gw->http)->reload;
$gw->arrived;

my $r = post($gw, "/free$path", $body);
is $r->{status}, 401, 'another location: Pinterest\'s own 401';
is $r->header('Pinaud-Outcome'), undef, 'nothing of ours';
isnt $r->header('Set-Cookie'), undef, 'nor is anything taken away';
no_token 'and no token';

my $logs = join '', map { slurp($_) } glob $gw->nginx->dir . '/logs/*';
unlike $logs, qr/\Q@{[ $gw->token ]}\E/, 'no token in any log';

# what "nginx -t" can't tell where locations share a context of TLS

if (Pinaud::Nginx->shares_tls) {
    my $clear = Pinaud::Gateway->new(
        location => 'if ($http_x_far) { proxy_pass http://192.0.2.1; }');
    my $r = post($clear, create_path, body(), team => 'growth',
        headers => ['X-Far: 1']);

    refused $r, 'internal', 'another host in the clear', status => 500;
    like $clear->nginx->log, qr/upstream is another host without TLS/,
        'another host in the clear: told';
    created post($clear, create_path, body(), team => 'growth'),
        'another host in the clear: not without it';
}

finish();
