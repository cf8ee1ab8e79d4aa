#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Team keys in a Redis Cluster: each is on the node of its own hash, wherever
# the account is.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use Pinaud::Check;
use Pinaud::Ctl ();
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::RedisCluster;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = Pinaud::RedisCluster->new(masters => 3, replicas => 0);
my @nodes = $cluster->nodes;
my $gw = Pinaud::Gateway->new(enrol => 0, nginx => { start => 0 },
    team_key => '$http_authorization');
my $ctl = Pinaud::Ctl->new(redis => $nodes[0], url => $cluster->words);


sub record { 'pinaud:team-key:' . sha256_hex($_[0]) }
sub create { post($gw, create_path, body(),
    headers => ["Authorization: Bearer $_[0]"]) }


$ctl->must(qw(credential put main --access-token-file -),
    { input => $gw->token });
$ctl->must(qw(account put), account, qw(--credential main));
$ctl->must(qw(team put growth --account), account);

my %on;

for (1 .. 60) {
    my ($key) = $ctl->must(qw(team key create growth))->{out} =~ /^(\S+)$/;

    $on{$cluster->owner(record($key))->port} //= $key;
    last if keys %on == 3;
}

is keys %on, 3, 'keys on each node';
is scalar(grep { $_->{state} eq 'ready' }
    @{ $ctl->must(qw(team key list --json))->{json} }),
    scalar(map { @$_ } $cluster->all('KEYS', 'pinaud:team-key:*')),
    'all of them are listed';

$gw->nginx->conf($gw->http =~ s/pinaud_redis [^;]+;/'pinaud_redis '
    . $cluster->words . ';'/er =~ s/pinaud_seal_key_file [^;]+;/
    'pinaud_seal_key_file ' . $ctl->keys . ';'/er)->start;

wait_until(sub { create($on{(keys %on)[0]})->{status} == 200 }, 5);
created create($on{$_}), 'a key of one node' for sort keys %on;

for my $port (sort keys %on) {
    $ctl->must(qw(team key revoke), substr $on{$port}, 0, 15);
    is $cluster->owner(record($on{$port}))->cmd('EXISTS', record($on{$port})),
        0, 'revoked, on its node';
}

sleep 5;
refused create($on{$_}), 'unknown-caller', 'no gateway takes it'
    for sort keys %on;

finish();
