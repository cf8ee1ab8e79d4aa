#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What makes nginx go elsewhere with a request that was decided, or bring
# others along: X-Accel-Redirect, post_action, error_page, subrequests that
# are logged, includes. None of them gets a second request to Pinterest, a
# token, or a charge back.

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
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } },
    nginx => { debug => 1, allow => [qr/pinaud: /] });

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $inside = 0;


sub with {
    my ($more, $elsewhere, %opt) = @_;

    local $gw->{location} = $more;
    local $gw->{server} = $elsewhere;
    local $gw->{http} = $opt{http};

    $gw->nginx->conf($gw->http)->reload;
    $gw->arrived;
    $inside = $gw->used;
}


sub charged_is {
    my ($expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $used;
    wait_until(sub { ($used = $gw->used - $inside) == $expected }, 2);
    is $used, $expected, $name;
}


# Pinterest, or who speaks in its name, moves nobody around in here

with('', 'location = /secret { internal; return 200 "the secret"; }');

for my $where ('/secret', $path, create_path('1'), '/status', '@retry') {
    $gw->sim->fault(kind => 'headers',
        headers => [['X-Accel-Redirect', $where]]);
    my $r = post($gw, $path, $body, @growth);

    created $r, "X-Accel-Redirect: $where is not followed";
    is scalar($gw->arrived), 1, 'sent once';

    $gw->sim->fault(kind => 'headers',
        headers => [['X-Accel-Redirect', $where]]);
    $r = get($gw, $path, @growth);
    is ref $r->json->{items}, 'ARRAY', "nor by a read: $where";
    is $r->header('X-Accel-Redirect'), undef, 'it is not told either';
    $gw->arrived;
}

charged_is 5, 'each create is charged once';

$gw->sim->fault(kind => 'headers', headers => [['X-Accel-Limit-Rate', '1'],
    ['X-Accel-Buffering', 'no'], ['X-Accel-Charset', 'x']]);
my $r = post($gw, $path, $body, @growth);
created $r, 'nor does it slow an answer down';
cmp_ok $r->{elapsed}, '<', 5, 'which is there at once';
is $r->header('Content-Type'), 'application/json', 'as it was';
$gw->arrived;


# what is said in the gateway's name is the gateway's

$gw->sim->fault(kind => 'headers', headers => [['Pinaud-Outcome', 'x'],
    ['Pinaud-Should-Retry', 'true'], ['Pinaud-Request-Id', 'x'],
    ['RateLimit', 'x'], ['RateLimit-Policy', 'x'], ['Pinaud-Edits', 'x'],
    ['Pinaud-Would-Refuse', 'x']]);
$r = post($gw, $path, $body, @growth);

for my $field (qw(Pinaud-Outcome Pinaud-Should-Retry Pinaud-Request-Id
    RateLimit RateLimit-Policy))
{
    is scalar(my @all = $r->headers($field)), 1, "$field once";
    isnt $r->header($field), 'x', "$field is ours";
}

is $r->header($_), undef, "no $_" for qw(Pinaud-Edits Pinaud-Would-Refuse);
$gw->arrived;


# subrequests in the log: their end is not the request's

with('mirror /copy;', 'location = /copy { internal; return 204; }'
    . 'log_subrequest on;');

my $before = $gw->metrics;
$gw->sim->fault(kind => 'delay', seconds => 0.3);
created post($gw, $path, $body, @growth), 'with a mirror that is logged';
is scalar($gw->arrived), 1, 'arrived once';
charged_is 1, 'and stays charged';

my $after = $gw->metrics;
my $counter = 'pinaud_requests_total{operation="audiences/create",outcome=';
is $after->{"$counter\"forwarded\"}"} - $before->{"$counter\"forwarded\"}"},
    1, 'counted once';
is $after->{"$counter\"abandoned\"}"}, $before->{"$counter\"abandoned\"}"},
    'under no other outcome';


# after the answer

for my $after ($path, '/after') {
    with("post_action $after;", 'location = /after { proxy_pass '
        . 'https://pinterest; proxy_ssl_server_name on; }');

    created post($gw, $path, $body, @growth), "post_action $after";
    post($gw, $path, body(name => ''), @growth);

    wait_until(sub { $gw->nginx->log =~ /post_action|closed/ }, 1);
    my @there = grep { index($_->{head}, $gw->token) >= 0 } $gw->arrived;
    is scalar(@there), 1, 'one request with the token';
    charged_is 1, 'one charge';
}


# an error's page

with("proxy_intercept_errors on; error_page 400 403 500 502 = $path; "
    . 'error_page 504 = @other;', 'location @other { proxy_pass '
    . 'https://pinterest; proxy_ssl_server_name on; }');

for my $status (400, 403, 500) {
    $gw->sim->fault(kind => 'error', status => $status);
    post($gw, $path, $body, @growth);
    is scalar($gw->arrived), 1, "error_page of $status: sent once";
}

post($gw, $path, body(name => ''), @growth);
untouched $gw, 'ours have no page';


# includes

SKIP: {
    skip 'nginx without SSI', 2 if Pinaud::Nginx->has('without-http_ssi');

    my $more = 'ssi on; ssi_types *;';
    $more .= " add_after_body $path; addition_types *;"
        if Pinaud::Nginx->has('http_addition_module');

    with($more, '');
    $gw->sim->fault(kind => 'error', status => 200, headers => [],
        body => "<!--#include virtual=\"$path\" -->");
    post($gw, $path, $body, @growth);

    my @there = $gw->arrived;
    is scalar(@there), 1, 'an include asks nothing of Pinterest';
    charged_is 1, 'and is not charged';
}


# a file instead, tried after the request was admitted

with('try_files /nothing /elsewhere;', 'location = /elsewhere { proxy_pass '
    . 'https://pinterest; proxy_ssl_server_name on; }');

post($gw, $path, $body, @growth);
my @there = grep { index($_->{head}, $gw->token) >= 0 } $gw->arrived;
is scalar(@there), 0, 'try_files takes no token along';
charged_is 0, 'what was not sent is not charged';


my $token = $gw->token;
unlike $gw->nginx->log, qr/\Q$token\E/, 'no token in the log of debug';
unlike slurp($gw->nginx->dir . '/logs/access.log'), qr/\Q$token\E/,
    'nor in the other';

finish();
