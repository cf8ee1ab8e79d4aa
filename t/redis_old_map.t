#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A node of a cluster that was cut off, or is not what it says: it tells an old
# map, and claims slots that it lost. The gateway and pinaudctl ask others then,
# and stay with who knows better.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::EvilRedis;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::RedisCluster;
use Test::More;
use Time::HiRes qw(sleep time);

# how often the gateway asks for a map while all is well
use constant INTERVAL => 2;

my $cluster = Pinaud::RedisCluster->new;
my $gw = Pinaud::Gateway->new(redis => $cluster, nginx => { start => 0 },
    limits => ['none'], limits_all => ['none'],
    http => 'pinaud_redis_timeout 500ms;');
my $nginx = $gw->nginx;
my $conf = slurp($nginx->dir . '/nginx.conf');

# before one that has nothing of what is asked for
my @owners = map { $cluster->owner($_) } 'pinaud:credential:{main}',
    'pinaud:account:' . account;
my ($old) = grep { my $node = $_; !grep { $_ == $node } @owners }
    $cluster->nodes;
my $evil = Pinaud::EvilRedis->new($old);
my @others = map { $_->tcp_url } grep { $_ != $old } $cluster->nodes;

my $data = 'EVALSHA|EVAL|HMGET|HGETALL|HGET|SMEMBERS|GET|TYPE';
my $timeout = 0.5;
my $slack = 2;


sub bulk { '$' . length($_[0]) . "\r\n$_[0]\r\n" }


# All slots are at that port.

sub map_of {
    my $port = shift;

    return "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" . bulk('127.0.0.1')
        . ":$port\r\n";
}


sub create { post($gw, create_path, body(), team => 'growth') }

sub asked { scalar @{ $evil->commands($data) } }


# The old one is asked first, or nobody else is told of.

sub survives {
    my ($name, $mode, $map, $more, @urls) = @_;

    my $words = join ' ', $evil->tcp_url, @urls, 'mode=cluster';

    $evil->mode(@$mode, but => { CLUSTER => $map, %$more });

    my $begun = time();
    my ($exit, $output) = $gw->ctl('--redis', $words, qw(account show),
        account);

    is $exit, 0, "$name: pinaudctl" or diag $output;
    cmp_ok time() - $begun, '<', 3 + $slack, "$name: pinaudctl, in time";

    $nginx->stop if $nginx->listens;
    spew($nginx->dir . '/nginx.conf',
        $conf =~ s/pinaud_redis [^;]+/pinaud_redis $words/r);
    $nginx->start;

    my $longest = 0;

    ok wait_until(sub {
        $evil->forget;
        my $r = create();

        $longest = $r->{elapsed} if $longest < $r->{elapsed};
        return $r->{status} == 200 && !asked();
    }, 5), "$name: another is asked" or diag $nginx->log_since;

    cmp_ok $longest, '<', $timeout + $slack, "$name: in time";

    # and when it is time to ask again, too

    $evil->forget;

    my $end = time() + 1.5 * INTERVAL;
    my %status;

    while (time() < $end) {
        $status{ create()->{status} }++;
        sleep 0.05;
    }

    is_deeply [keys %status], [200], "$name: it stays so"
        or diag explain \%status;
    is asked(), 0, "$name: nothing is asked of it any more";
    cmp_ok scalar @{ $evil->commands }, '<', 100, "$name: nor often";
}


my @claims = (map_of($evil->port), {});
my $gone = free_port();
my @down = ('error', only => $data, text => 'CLUSTERDOWN The cluster is down');
my @self = ('error', only => $data,
    text => 'MOVED 1 127.0.0.1:' . $evil->port);
my @gone = ('error', only => $data, text => "MOVED 1 127.0.0.1:$gone");

survives('claims all slots', ['pass'], @claims, @others);
survives('claims all slots, alone', ['pass'], @claims);
survives('claims all slots and has none', \@down, @claims, @others);
survives('leads to itself', \@self, @claims, @others);
survives('leads to nobody', \@gone, @claims, @others);
survives('names who is gone', ['pass'], map_of($gone), {}, @others);

finish();
