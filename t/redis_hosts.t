#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Nodes of a cluster and masters of sentinels that are told by their names, with
# certificates for these: the gateway and pinaudctl reach them, follow them, and
# say so where no name server tells where they are.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::DNS;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::RedisCluster;
use Pinaud::RedisSentinel;
use Pinaud::TLS;
use Test::More;

use constant NAME => 'localhost';

my $dns = Pinaud::DNS->new;
my $tls = Pinaud::TLS->new;
my @tls = ($tls->node(NAME), $tls->ca);

my $trust = 'pinaud_redis_timeout 1s; pinaud_redis_ssl_trusted_certificate '
    . $tls->ca . ';';
my $resolver = 'resolver ' . $dns->address . ' valid=1s ipv6=off;';


# The gateway over one of them, with a resolver and without.

sub gateway {
    my ($redis) = @_;

    return Pinaud::Gateway->new(redis => $redis, http => "$trust $resolver",
        ctl => ['--redis-ca-file', $tls->ca]);
}


sub create { post($_[0], create_path, body(), team => 'growth') }


sub unnamed {
    my ($gw, $name) = @_;

    $gw->{http} = $trust;
    $gw->nginx->mark;
    $gw->restart_nginx;
    refused create($gw), 'store-unavailable', "$name: without a resolver";
    ok $gw->nginx->wait_log(qr/is unavailable: name is not resolved/, 5),
        "$name: and it is told";
}


my $cluster = Pinaud::RedisCluster->new(masters => 3, replicas => 3,
    tls => \@tls, host => NAME);
my @nodes = $cluster->nodes;

ok wait_until(sub {
    !grep { $_->[2][0] ne NAME } @{ $nodes[0]->cmd('CLUSTER', 'SLOTS') }
}, 10), 'a cluster tells names';

my $gw = gateway($cluster);

created create($gw), 'a cluster: the gateway';
unlike $gw->nginx->log, qr/is unavailable/, 'a cluster: at once';

my $owner = $cluster->owner('pinaud:credential:{main}');
my ($replica) = grep { $_->cmd('ROLE')->[0] eq 'slave'
    && $_->cmd('ROLE')->[2] == $owner->tls_port } @nodes;

ok $cluster->failover($replica), 'a cluster: a replica takes over';
ok wait_until(sub { create($gw)->{status} == 200 }, 8),
    'a cluster: MOVED to a name' or diag $gw->nginx->log_since;

my ($exit, $output) = $gw->ctl(qw(usage), account);
is $exit, 0, 'a cluster: pinaudctl' or diag $output;
unnamed($gw, 'a cluster');
$gw->nginx->stop;


my $set = Pinaud::RedisSentinel->new(tls => \@tls, host => NAME);

is +($set->sentinels)[0]->cmd(qw(SENTINEL GET-MASTER-ADDR-BY-NAME main))->[0],
    NAME, 'sentinels tell names';

$gw = gateway($set);
created create($gw), 'sentinels: the gateway';

my $master = $set->failover;

ok wait_until(sub { create($gw)->{status} == 200 }, 8),
    'sentinels: a failover' or diag $gw->nginx->log_since;
ok $gw->nginx->wait_log(qr/store "main" is at "localhost" port @{[
    $master->tls_port ]}/, 1), 'sentinels: to a name';

($exit, $output) = $gw->ctl(qw(usage), account);
is $exit, 0, 'sentinels: pinaudctl' or diag $output;
unnamed($gw, 'sentinels');

finish();
