#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl agent with sentinels, whose master changes, in a cluster, and with a
# password that is changed.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Agents;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::RedisCluster;
use Pinaud::RedisSentinel;
use Test::More;


# what it was told before, and after, another server is the master

my $set = Pinaud::RedisSentinel->new;
my $fleet = Pinaud::Agents->new(redis => ($set->nodes)[0]);
$fleet->{url} = $fleet->ctl->{url} = $set->words;

$fleet->enrol('main');

my $agent = $fleet->agent('a', '--timeout', '3s');
ok $agent->wait('refreshed', 8), 'with sentinels' or diag $agent->text;

# a call is in flight meanwhile

$fleet->sim->fault(kind => 'delay', seconds => 1.5, path => 'oauth');
($set->nodes)[0]->cmd('HSET', 'pinaud:wanted', 'main', '2 worked');
ok wait_until(sub { $fleet->calls == 2 }, 8), 'it calls';

my $master = $set->failover;
$fleet->{redis} = $master;
isnt $master, ($set->nodes)[0], 'another master';

ok wait_until(sub { $fleet->record('main')->{version} == 3 }, 20),
    'gets what came of the call' or diag $agent->text;
ok $fleet->works('main'), 'which works';
ok wait_until(sub { !$master->cmd('HLEN', 'pinaud:wanted') }, 8),
    'and no wish is left';

my $r = $fleet->ctl->run(qw(credential refresh main));
is $r->{exit}, 0, 'a refresh by the new master' or diag $r->{err};
is $fleet->record('main')->{version}, 4, 'one version each';
is $agent->stop, 0, 'it ends';
like $fleet->once('a')->{text}, qr/"started".*\n.*"stopped"/,
    'and is begun again';
is scalar($fleet->calls), 3, 'with nothing to do'
    or diag slurp("$fleet->{dir}/a.log");

# in a cluster each credential is somewhere else

my $cluster = Pinaud::RedisCluster->new;
$fleet = Pinaud::Agents->new(redis => ($cluster->nodes)[0]);
$fleet->{url} = $fleet->ctl->{url} = $cluster->words;

my @names = map { "c$_" } 1 .. 6;
$fleet->enrol($_) for @names;

my %owners = map { $cluster->owner("pinaud:credential:{$_}") => 1 } @names;
cmp_ok scalar(keys %owners), '>', 1, 'credentials at several servers';

$r = $fleet->once('a');
is $r->{exit}, 0, 'in a cluster' or diag $r->{text};
is join(' ', map { cluster($_)->{version} } @names), '2 2 2 2 2 2',
    'all are refreshed';

$agent = $fleet->agent('a');
$cluster->cmd('HSET', 'pinaud:wanted', 'c1', '2 worked');
ok wait_until(sub { cluster('c1')->{version} == 3 }, 8), 'a wish';
ok wait_until(sub { !$cluster->cmd('HLEN', 'pinaud:wanted') }, 8),
    'which is taken away';
is $fleet->ctl->run(qw(credential refresh c6))->{exit}, 0,
    'credential refresh';
is $agent->stop, 0, 'it ends';

# the password of Redis is another one, and its file then, too

my $redis = Pinaud::Redis->new(password => 'one');

$fleet = Pinaud::Agents->new(redis => $redis);

my $file = $fleet->ctl->file('password', "one\n");

$fleet->ctl->{env} = { PINAUD_REDIS_PASSWORD_FILE => $file };
$fleet->enrol('main', due => 0);
$agent = $fleet->agent('a', { PINAUD_REDIS_PASSWORD_FILE => $file });
ok $agent->wait('started', 8), 'with a password';

$redis->cmd(qw(CONFIG SET requirepass two));
$redis->{password} = 'two';
delete $redis->{client};
$redis->cmd(qw(CLIENT KILL TYPE normal SKIPME yes));
ok $agent->wait('store is lost', 8), 'another one' or diag $agent->text;
is scalar(my @back = $agent->log('store is back')), 0, 'which it has not';

$fleet->ctl->file('password', "two\r\n");
ok $agent->wait('store is back', 15), 'the file is read again'
    or diag $agent->text;
is $agent->stop, 0, 'it ends';

done_testing;


sub cluster {
    return { @{ $cluster->cmd('HGETALL', "pinaud:credential:{$_[0]}") } };
}
