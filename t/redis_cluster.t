#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Redis Cluster: slots are learned and followed while they move and while
# masters change; what was told to be elsewhere is asked there; no count is
# lost or made twice.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::Hammer;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::RedisCluster;
use Pinaud::TLS;
use Test::More;
use Time::HiRes qw(sleep time);

my $slack = 2;
my $cluster = Pinaud::RedisCluster->new(masters => 3, replicas => 3,
    timeout => 1500);
my @nodes = $cluster->nodes;

my $gw = Pinaud::Gateway->new(nginx => { start => 0 },
    http => 'pinaud_redis_timeout 2s;');

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');


# An account with a credential on each master, enrolled in a Redis alone and
# carried over.

my @accounts;

for my $node (@nodes[0 .. 2]) {
    my $n = @accounts + 1;
    my ($name) = grep { $cluster->owner("pinaud:credential:{$_}") == $node }
        map { "c$n-$_" } 1 .. 100;

    push @accounts, { id => 549755880000 + $n, credential => $name };

    my $token = $gw->sim->token(accounts => [$accounts[-1]{id}]);

    $gw->must_ctl(qw(credential put), $name, qw(--access-token-file -
        --expires-in 86400 --limit 100000/1h --limit-all 100000/1s), \$token);
    $gw->must_ctl(qw(account put), $accounts[-1]{id}, '--credential', $name);
    $gw->must_ctl(qw(team put growth --account), $accounts[-1]{id});
}

for my $key (@{ $gw->redis->cmd('KEYS', '*') }) {
    $cluster->owner($key)->cmd('RESTORE', $key, 0,
        $gw->redis->cmd('DUMP', $key));
}

$gw->{redis_url} = $cluster->words;
$gw->restart_nginx;


sub create {
    my ($i) = @_;

    return post($gw, create_path($accounts[$i]{id}), body(),
        team => 'growth');
}


# A create's bytes, for many of them.

sub bytes {
    my ($i) = @_;

    return Pinaud::HTTP::head('POST', create_path($accounts[$i]{id}),
        body => body(), team => 'growth') . body();
}


# What is left of a credential's limit by the hour.

sub left {
    my ($i) = @_;

    my $r = create($i);
    my ($left) = ($r->header('RateLimit') // '') =~ /-3600s";r=(\d+)/;

    return $left // die "no RateLimit: $r->{status} $r->{body}";
}


sub said { scalar(() = $gw->nginx->log_since =~ /$_[0]/g) }

sub stat_of {
    my ($node, $command) = @_;

    return $node->cmd('INFO', 'commandstats')
        =~ /cmdstat_$command:calls=(\d+)/ ? $1 : 0;
}


created create($_), "credential $_" for 0 .. 2;


# a slot moves, key by key, while requests of its credential run

my $slot = $cluster->slot("pinaud:credential:{$accounts[0]{credential}}");
my $left = left(0);
my ($begun, $moved, $ended);
my $start = time();

my $count = hammer([$gw], [map { bytes($_) } 0, 0, 1, 2], 3, clients => 8,
    meanwhile => sub {
        my $now = time() - $start;

        if ($now > 0.8 && !$begun) {
            $begun = 1;
            $cluster->begin_move($slot, $nodes[1]);

        } elsif ($now > 1 && !$moved) {
            $moved = !$cluster->move_keys($slot, $nodes[1], 1);

        } elsif ($moved && !$ended) {
            $ended = 1;
            $cluster->end_move($slot, $nodes[1]);
        }
    });

ok $ended, 'a slot moved to another node';
is $cluster->owner($slot), $nodes[1], 'and is there';
is_deeply [keys %$count], [200], 'no request is lost while a slot moves'
    or diag explain $count;
diag 'requests while a slot moved: ', $count->{200};
created create(0), 'and then';

my $asked = $left - left(0) - 2;
cmp_ok $asked, '>', 100, 'many were of that slot';
is $asked, scalar(grep { $_->{target} =~ /$accounts[0]{id}/ }
    $gw->arrived) - 4, 'each was counted once';


# a reload, in which nothing is lost

my ($end, %status) = (time() + 1.5);
my ($old) = $gw->nginx->workers;

kill 'HUP', $gw->nginx->{pid};
$status{ create(rand 3)->{status} }++ while time() < $end;

is_deeply [keys %status], [200], 'all are answered while nginx reloads'
    or diag explain \%status;
ok wait_until(sub { !kill 0, $old }, 5), 'and the old worker ends';


# half moved: no node can decide; it is tried again until it can

$cluster->begin_move($slot, $nodes[2]);
$cluster->move_keys($slot, $nodes[2], 1);

my $r = create(0);
refused $r, 'store-unavailable', 'a slot that is half moved';
cmp_ok $r->{elapsed}, '<', 2 + $slack, 'in time';
created create(1), 'others go on';

my $client = Pinaud::HTTP->connect($gw);
$client->send(bytes(0));
sleep 0.15;
$cluster->move_keys($slot, $nodes[2]);
$cluster->end_move($slot, $nodes[2]);
is $client->response->{status}, 200, 'one that waited for the other half';


# ASK: the policy of an account is read where it went

my $policy = "pinaud:account:$accounts[2]{id}";
my $from = $cluster->owner($policy);
my ($to) = grep { $_ != $from } @nodes[0 .. 2];
my $policy_slot = $cluster->slot($policy);

$cluster->begin_move($policy_slot, $to);
$cluster->move_keys($policy_slot, $to);
$gw->nginx->reload;

my $asking = stat_of($to, 'asking');
created create(2), 'a policy that is on its way';
cmp_ok stat_of($to, 'asking'), '>', $asking, 'it was asked for there';
$cluster->end_move($policy_slot, $to);


# a replica takes over, while requests run

$start = time();
my $replica = (grep { ($_->cmd('ROLE'))->[0] eq 'slave'
    && $_->cmd('ROLE')->[2] == $nodes[2]->port } @nodes)[0];
my $over;

$gw->nginx->mark;
$count = hammer([$gw], [map { bytes($_) } 0 .. 2], 3, clients => 8,
    meanwhile => sub {
        return if $over || time() - $start < 0.5;
        $over = 1;
        $replica->cmd('CLUSTER', 'FAILOVER');
    });

is $replica->cmd('ROLE')->[0], 'master', 'a replica took over';
is_deeply [sort grep { !/^(200|503)$/ } keys %$count], [], 'answers';
cmp_ok $count->{503} // 0, '<', 50, 'hardly any is refused';
diag 'a replica took over: ', join ', ', map { "$count->{$_} with $_" }
    sort keys %$count;
created create($_), "credential $_ after it" for 0 .. 2;


# a master dies

my $victim = $cluster->owner(
    "pinaud:credential:{$accounts[1]{credential}}");

$gw->nginx->mark;
$victim->kill;

my $longest = 0;

$end = time() + 15;
%status = ();

while (time() < $end) {
    my $answer = create(1);

    $status{$answer->{status}}++;
    $longest = $answer->{elapsed} if $longest < $answer->{elapsed};
    last if $answer->{status} == 200 && time() > $end - 13;
    sleep 0.05;
}

is_deeply [sort keys %status], [200, 503], 'a master died: refused, then not'
    or diag explain \%status;
cmp_ok $longest, '<', 2 + $slack, 'all in time';
created create($_), "credential $_ goes on" for 0 .. 2;
ok $gw->nginx->wait_log(qr/"127.0.0.1:@{[ $victim->port ]}" has no slots/, 8),
    'the dead one is given up';
ok wait_until(sub { $gw->metrics->{pinaud_store_up} }, 5), 'pinaud_store_up 1';

$victim->start;
$cluster->ready(10);
$gw->nginx->mark;
created create(1), 'it comes back, as a replica';
is said('is unavailable'), 0, 'and is not missed';


# one URL, whose node then goes: the others tell what changes

my ($told) = grep { $_->cmd('ROLE')->[0] eq 'slave' } @nodes;

$gw->{redis_url} = $told->tcp_url . ' mode=cluster';
$gw->restart_nginx;
created create(0), 'a replica tells the slots';

$gw->nginx->mark;
$told->kill;
ok $gw->nginx->wait_log(qr/no node of store "redis:\S+" answers/, 8),
    'its end is told';
created create($_), "credential $_ without it" for 0 .. 2;

my $other = (grep { $_->pid && $_->cmd('ROLE')->[0] eq 'master' } @nodes)[0];
$slot = $cluster->slot("pinaud:credential:{$accounts[0]{credential}}");
my ($next) = grep { $_->pid && $_->cmd('ROLE')->[0] eq 'master'
    && $_ != $cluster->owner($slot) } @nodes;
$cluster->begin_move($slot, $next);
$cluster->move_keys($slot, $next);
$cluster->end_move($slot, $next);
created create(0), 'and a slot is followed';


# by TLS, with a password

my $tls = Pinaud::TLS->new;
my $secret = Pinaud::RedisCluster->new(password => 'pw', tls =>
    [$tls->node('127.0.0.1'), $tls->ca]);

$secret->owner($_)->cmd('RESTORE', $_, 0, $gw->redis->cmd('DUMP', $_))
    for @{ $gw->redis->cmd('KEYS', '*') };

$gw->{redis_url} = $secret->words;
$gw->{http} .= ' pinaud_redis_ssl_trusted_certificate ' . $tls->ca . ';'
    . ' pinaud_redis_password_file '
    . spew($gw->nginx->dir . '/password', "pw\n", 0600) . ';';
$gw->restart_nginx;
created create($_), "by TLS: credential $_" for 0 .. 2;


# what is none

$gw->{http} = 'pinaud_redis_timeout 500ms;';
$gw->{redis_url} = $gw->redis->tcp_url . ' mode=cluster';
$gw->nginx->mark;
$gw->restart_nginx;
ok $gw->nginx->wait_log(
    qr/no node of store "redis:\S+" answers: is no cluster/, 5),
    'a Redis that is no cluster';
$r = create(0);
refused $r, 'store-unavailable', 'and no answer of it';
ok !$gw->metrics->{pinaud_store_up}, 'pinaud_store_up 0';

finish();
