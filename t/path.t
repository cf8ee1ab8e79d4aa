#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Paths: only the canonical spelling is forwarded, so that the account that was
# checked is the one that Pinterest sees.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Test::More;

my $gw = Pinaud::Gateway->new(accounts => {
    map { $_ => { teams => { growth => [] } } } account, '1', '9' x 18 });

my $id = account;
my $v5 = '/v5/ad_accounts';

# targets and what they get: 400 of the path, or 404

my @targets = (
    ["$v5/$id/audiences/", 400, 'a trailing slash'],
    ["$v5/$id//audiences", 400, 'a doubled slash'],
    ["$v5//$id/audiences", 400, 'a doubled slash before the id'],
    ["//v5/ad_accounts/$id/audiences", 400, 'a doubled slash in front'],
    ["$v5/$id/./audiences", 400, 'a dot segment'],
    ["$v5/1/../$id/audiences", 400, 'two dots'],
    ["$v5/$id/x/../audiences", 400, 'two dots behind'],
    ["$v5/1/%2e%2e/$id/audiences", 400, 'encoded dots'],
    ["$v5/1/.%2E/$id/audiences", 400, 'one encoded dot'],
    ["$v5/$id%2Faudiences", 400, 'an encoded slash'],
    ["$v5/$id/audiences%2Fcustom", 400, 'an encoded slash behind'],
    ["$v5/$id/%61udiences", 400, 'an encoded letter'],
    ["/%76%35/ad_accounts/$id/audiences", 400, 'encoded letters in front'],
    ["$v5/%31/audiences", 400, 'an encoded digit'],
    ["$v5/$id/audiences%00", 400, 'an encoded zero'],
    ["$v5/$id/audiences%20", 400, 'an encoded space'],
    ["$v5/$id/audiences;x=1", 400, 'a parameter'],
    ["$v5/$id;x/audiences", 400, 'a parameter of the id'],
    ["$v5/$id\\audiences", 400, 'a backslash'],
    ["$v5/$id/audiences/../audiences", 400, 'there and back'],
    ["$v5/1234567890123456789/audiences", 400, '19 digits'],
    ["$v5/x/audiences", 400, 'no digits'],
    ["$v5//audiences", 400, 'no id'],
    ["$v5/-1/audiences", 400, 'a sign'],
    ["$v5/\xd9\xa1/audiences", 400, 'other digits'],
    ["$v5/$id/audiences?", 400, 'an empty query'],
    ["$v5/$id/audiences?a=b", 400, 'a query'],
    ["$v5/$id/audiences/custom?a", 400, 'a query, create_custom'],
    ["$v5/$id/audiences/custom/", 400, 'a slash, create_custom'],
    ["$v5/$id/AUDIENCES", 400, 'capitals'],
    ["$v5/$id/audiencesx", 404, 'a letter too many'],
    ["$v5/$id/audience", 404, 'a letter too few'],
    ["$v5/$id/audiences/custom/x", 404, 'something behind'],
    ["$v5/$id", 404, 'the account itself'],
    ["/v5/nothing", 404, 'nothing at all'],
    ["/v5/oauth/token", 404, 'the token endpoint'],
);

for my $target (@targets) {
    my ($path, $status, $name) = @$target;

    my $r = post($gw, $path, body(), team => 'growth');
    my $type = $status == 400 ? 'invalid-path' : 'not-found';

    # what nginx itself can't parse it refuses before any location

    if ($r->{status} == 400 && $r->{body} =~ /<center>nginx/) {
        pass "$name: nginx refuses it";

    } else {
        refused $r, $type, $name, read => $status == 404;
    }

    untouched $gw, "$name: not forwarded";

    next if $path =~ /[^!-~]|\\/ || !Pinaud::Nginx->has('http_v2_module');

    $r = h2($gw, 'POST', $path, body => body(), team => 'growth');
    is $r->{status}, $status, "HTTP/2, $name";
    untouched $gw, "HTTP/2, $name: not forwarded";
}

# absolute form: the path within it is what counts

my $r = post($gw, "http://localhost$v5/$id/audiences", body(),
    team => 'growth');
like $r->{status}, qr/^(?:200|400)$/, 'absolute form';
my @there = $gw->arrived;
is $there[0]{target}, "$v5/$id/audiences", 'absolute form: the path'
    if $r->{status} == 200;

$r = post($gw, "http://localhost$v5/1/../$id/audiences", body(),
    team => 'growth');
is $r->{status}, 400, 'absolute form, two dots';
untouched $gw, 'absolute form, two dots: not forwarded';


# the shortest and the longest id

for my $account ('1', '9' x 18) {
    created post($gw, create_path($account), body(), team => 'growth'),
        length($account) . ' digits';
    my ($there) = $gw->arrived;
    is $there->{target}, create_path($account), 'as it came';
}


# methods

for my $case (
    [GET => custom_path, 'POST'],
    [DELETE => create_path, 'GET, POST'],
    [PUT => create_path, 'GET, POST'],
    [PATCH => create_path, 'GET, POST'],
    [HEAD => create_path, 'GET, POST'],
    [OPTIONS => create_path, 'GET, POST'],
    [BREW => create_path, 'GET, POST'],
    [PATCH => create_path . '/123', 'GET'],
    [POST => create_path . '/123', 'GET'])
{
    my ($method, $path, $allow) = @$case;
    my $r = request($gw, $method, $path, team => 'growth');

    if ($method eq 'HEAD') {
        is $r->{status}, 405, 'HEAD';

    } else {
        refused $r, 'method-not-allowed', "$method $path", read => 1;
    }

    is $r->header('Allow'), $allow, "$method: Allow";
    untouched $gw, "$method: not forwarded";
}

finish();
