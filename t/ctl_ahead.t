#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Many records are read in few round trips, by the agent and by lists, also in a
# cluster, and also where what is asked ahead is not what is read then.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Agents;
use Pinaud::Ctl;
use Pinaud::EvilRedis;
use Pinaud::Process;
use Pinaud::RedisCluster;
use Test::More;

use constant MANY => 300;

# one that is copied is damaged for who opens it, and as good for who reads it

sub enrol {
    my ($fleet, $redis) = @_;

    $fleet->enrol('main', due => 0);
    $fleet->ctl->must(qw(account put 1 --credential main));

    my %of = (credential => '{main}', secret => '{main}', account => 1);
    my %dump = map { $_ => { @{ $redis->cmd('HGETALL', "pinaud:$_:$of{$_}") } } }
        keys %of;

    for my $i (1 .. MANY) {
        $redis->cmd('HSET', "pinaud:$_:{c$i}", %{ $dump{$_} })
            for qw(credential secret);
        $redis->cmd('HSET', "pinaud:account:1$i", %{ $dump{account} });
    }

    $redis->cmd('SADD', 'pinaud:credentials', map { "c$_" } 1 .. MANY);
    $redis->cmd('SADD', 'pinaud:accounts', map { "1$_" } 1 .. MANY);
}

sub reads {
    my $n = 0;

    $n += $_->cmd('INFO', 'stats') =~ /^total_reads_processed:(\d+)/m ? $1 : 0
        for @_;

    return $n;
}

sub few {
    my ($name, $most, $code, @nodes) = @_;

    my $before = reads(@nodes);
    $code->();
    cmp_ok reads(@nodes) - $before, '<', $most, "$name: round trips";
}

my $fleet = Pinaud::Agents->new;
my $redis = $fleet->redis;
my $ctl = $fleet->ctl;

enrol($fleet, $redis);

few('the agent', 50, sub {
    is $fleet->once('a')->{exit}, 0, 'the agent: exit code';
}, $redis);

# many wishes, which wait for somebody

sub wishes {
    my $redis = shift;

    $redis->cmd('HSET', "pinaud:secret:{c$_}", 'attempt',
        "1 gone ffffffffffffffff @{[ time ]}000 1 aa") for 1 .. MANY;
    $redis->cmd('HSET', 'pinaud:wanted', map { ("c$_" => '1 worked') } 1 .. MANY);
}

wishes($redis);

few('wishes', 50, sub {
    is $fleet->once('a')->{exit}, 0, 'wishes: exit code';
}, $redis);

is $redis->cmd('HLEN', 'pinaud:wanted'), MANY, 'wishes: they were looked at';
$redis->cmd('DEL', 'pinaud:wanted');

few('account list', 50, sub {
    is scalar @{ $ctl->must(qw(account list --json))->{json} }, MANY + 1,
        'account list: all of them';
}, $redis);

$ctl->must(qw(team key create growth));
my ($hex) = @{ $redis->cmd('SMEMBERS', 'pinaud:team-keys') };
my %key = @{ $redis->cmd('HGETALL', "pinaud:team-key:$hex") };

for my $i (1 .. MANY) {
    my $other = sprintf '%064x', $i;
    $redis->cmd('HSET', "pinaud:team-key:$other", %key);
    $redis->cmd('SADD', 'pinaud:team-keys', $other);
}

few('team key list', 50, sub {
    is scalar(grep { $_->{team} eq 'growth' }
        @{ $ctl->must(qw(team key list --json))->{json} }), MANY + 1,
        'team key list: all of them';
}, $redis);

is scalar @{ $ctl->must(qw(credential list --json))->{json} }, MANY + 1,
    'credential list: all of them';

# a record that is no hash, one that is gone, hinder no other

$redis->cmd('SET', 'pinaud:secret:{c7}', 'x');
$redis->cmd('DEL', 'pinaud:credential:{c9}', 'pinaud:secret:{c9}');
$redis->cmd('HSET', 'pinaud:credential:{main}', 'expires',
    $redis->cmd('TIME')->[0] + 3600);

my $r = $fleet->once('a');

is $r->{exit}, 1, 'one that is damaged: exit code';
is_deeply [map { $_->{credential} } grep { $_->{event} eq 'not readable' }
    @{ $r->{log} }], ['c7'], 'one that is damaged: it alone';
is $fleet->record('main')->{version}, 2, 'one that is damaged: others go on';
$redis->cmd('DEL', 'pinaud:secret:{c7}');

# Redis goes between question and answer

my $evil = Pinaud::EvilRedis->new($redis);

for my $mode (qw(close reset)) {
    $evil->mode($mode, only => 'HGETALL', times => 1);
    $r = $ctl->run(qw(account list), { env => { PINAUD_REDIS => $evil->url } });
    is $r->{exit}, 3, "$mode: exit code";
    like $r->{err}, qr/^pinaudctl: Redis at /, "$mode: and why";
}

$fleet->{url} = $evil->url;
$evil->mode('reset', only => 'HGETALL', times => 1);

my $agent = $fleet->agent('a');

ok $agent->wait('store is lost', 8), 'an agent loses it';
ok $agent->wait('store is back', 8), 'and goes on';
$redis->cmd('HSET', 'pinaud:wanted', 'main', '2 worked');
ok wait_until(sub { $fleet->record('main')->{version} == 3 }, 8),
    'with what there is to do';
is $agent->stop, 0, 'it ends';

# in a cluster each server is asked for what it has

my $cluster = Pinaud::RedisCluster->new;

$fleet = Pinaud::Agents->new(redis => ($cluster->nodes)[0]);
$fleet->{url} = $fleet->ctl->{url} = $cluster->words;
enrol($fleet, $cluster);

# each server is met for the first time by one question

few('in a cluster', 100, sub {
    is $fleet->once('a')->{exit}, 0, 'in a cluster: exit code';
}, $cluster->nodes);

is scalar @{ $fleet->ctl->must(qw(account list --json))->{json} }, MANY + 1,
    'in a cluster: account list';

done_testing;
