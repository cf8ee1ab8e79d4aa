#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl and a cluster: slots are learned, moves followed, changes done slot
# by slot, and what is cut off is mended by doing it again.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Ctl;
use Pinaud::Pinterest;
use Pinaud::Process;
use Pinaud::RedisCluster;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = Pinaud::RedisCluster->new(masters => 3, replicas => 3,
    password => 'pw');
my @nodes = $cluster->nodes;
my $ctl = Pinaud::Ctl->new(redis => $nodes[0], url => $cluster->words);

$ctl->{env} = { PINAUD_REDIS_PASSWORD_FILE => $ctl->file('pw', "pw\n") };

my $id = account;
my $json = JSON::PP->new->canonical;

sub keys_of_all { sort map { @$_ } $cluster->all('KEYS', 'pinaud:*') }
sub json { $ctl->must(@_, '--json')->{json} }


# everything that an operator does

$ctl->enrol;
done($ctl, 0, qr/^$id +main +none +1$/m, '', 'by all nodes', qw(account list));
done($ctl, 0, qr/^$id +main/m, '', 'by one', qw(account list), '--redis',
    $cluster->words(nodes => 1));
my $gone = free_port;
done($ctl, 0, qr/^$id +main/m, '', 'by one that is gone, and one',
    qw(account list), '--redis',
    "redis://127.0.0.1:$gone " . $cluster->words(nodes => 1));
done($ctl, 0, qr/^$id +main/m, '', 'by a replica', qw(account list),
    '--redis', $nodes[5]->tcp_url . ' mode=cluster');

done($ctl, 0, qr/created/, '', 'another credential',
    qw(credential put other --access-token-file - --expires-in 3600
    --client-id 1 --client-secret-file), $ctl->file('secret', SECRET),
    '--refresh-token-file', $ctl->file('refresh', REFRESH),
    { input => TOKEN });
is json(qw(credential show other))->{client_id}, '1', 'its secrets';
is scalar @{ json(qw(credential list)) }, 2, 'two credentials';

# counts move with the account

my $bucket = "pinaud:bucket:{main}:$id";
done($ctl, 0, qr/changed/, '', 'an account moves', 'account', 'put', $id,
    qw(--credential other --limit 100/60s));
is $cluster->cmd('SISMEMBER', 'pinaud:accounts:{main}', $id), 0, 'from one set';
is $cluster->cmd('SISMEMBER', 'pinaud:accounts:{other}', $id), 1, 'to another';
done($ctl, 1, '', qr/is used by 1 account: $id/, 'a credential in use',
    qw(credential delete other));
done($ctl, 0, qr/changed/, '', 'and back', 'account', 'put', $id,
    qw(--credential main));
done($ctl, 0, qr/deleted/, '', 'one that is not', qw(credential delete other));
is_deeply [grep { /other/ && !/bucket|leased/ } keys_of_all()],
    ['pinaud:version:{other}'], 'and nothing but its version is left';

done($ctl, 0, qr/created/, '', 'a team', qw(team put brand --limit 5/60s
    --account), $id);
done($ctl, 0, qr/^brand/m, '', 'teams', qw(team list));
my ($key) = $ctl->must(qw(team key create growth --json))->{json}{key};
ok $key, 'a team key';
is scalar @{ json(qw(team key list)) }, 1, 'one team key';
done($ctl, 0, qr/account/, '', 'usage', 'usage', $id);
done($ctl, 0, qr/./, '', 'cooldown clear', qw(cooldown clear main))
    if $cluster->cmd('HSET', 'pinaud:cooldown:{main}', 'writes',
        int(time() * 1000) + 30000);
done($ctl, 0, qr/Now by key/, '', 'reseal', qw(seal-key reseal));

# a policy of many accounts, over all slots

my $policy = json(qw(policy export));

for my $account (1000 .. 1299) {
    $policy->{accounts}{$account} = { credential => 'main', limits => ['9/60s'],
        teams => { growth => { limits => ['1/1s'] } } };
}

my $file = $ctl->file('policy.json', $json->encode($policy));

done($ctl, 0, qr/^account 1299: created$/m, '', '300 accounts',
    qw(policy apply), $file);
is $json->encode(json(qw(policy export))), $json->encode($policy),
    '300 accounts: all of it';
is_deeply [map { scalar @$_ > 30 } $cluster->all('KEYS', 'pinaud:account:*')],
    [1, 1, 1], '300 accounts: on all masters';
is $cluster->cmd('SCARD', 'pinaud:accounts'), 301, 'the set of all';
is $cluster->cmd('SCARD', 'pinaud:accounts:{main}'), 301, 'the credential\'s';
done($ctl, 0, "Nothing to change.\n", '', 'nothing to do', qw(policy diff), $file);

delete $policy->{accounts}{$_} for 1010 .. 1299;
$file = $ctl->file('policy.json', $json->encode($policy));
done($ctl, 0, qr/^account 1299: deleted$/m, '', 'pruned',
    qw(policy apply --prune), $file);
is scalar(grep { /pinaud:account:\d/ } keys_of_all()), 11, 'pruned: all of them';
is $cluster->cmd('SCARD', 'pinaud:accounts'), 11, 'pruned: the set of all';
is $cluster->cmd('SCARD', 'pinaud:accounts:{main}'), 11,
    'pruned: the credential\'s';

# the doctor, and the agent

like $ctl->run('doctor')->{out}, qr/^ok +redis cluster +3 masters, all slots/m,
    'doctor: the cluster';

my $sim = Pinaud::Pinterest->new;
$sim->client(id => '1', secret => SECRET);

$ctl->must(qw(credential put due --client-id 1 --expires-in 60
    --access-token-file), $ctl->file('access', $sim->token(app => '1')),
    '--refresh-token-file',
    $ctl->file('due', $sim->refresh_token(client => '1')),
    '--client-secret-file', $ctl->file('secret', SECRET));
mkdir "$ctl->{dir}/journal";
done($ctl, 0, '', qr/"refreshed"/,
    'agent: a refresh', qw(agent --once --journal), "$ctl->{dir}/journal",
    '--token-url', 'http://127.0.0.1:' . $sim->port . '/v5/oauth/token');
is json(qw(credential show due))->{version}, 2, 'agent: the new token';
$ctl->must(qw(credential delete due));

# operators at the same time

my @names = map { "team$_" } 1 .. 6;
my @results = $ctl->at_once(map { ['team', 'put', $_, '--account', $id] } @names);
is_deeply [map { $_->{exit} } @results], [(0) x @names],
    'teams put at once: all done' or diag map { $_->{err} } @results;
is_deeply [map { $_->{team} } @{ json('account', 'show', $id)->{teams} }],
    [sort qw(growth brand), @names], 'teams put at once: all are there';

$ctl->must(qw(credential put), $_) for qw(a b);
@results = $ctl->at_once(map { ['account', 'put', 7, '--credential',
    $_ % 2 ? 'a' : 'b'] } 1 .. 6);
is_deeply [map { $_->{exit} } @results], [(0) x 6],
    'an account moved at once: all done' or diag map { $_->{err} } @results;
my $credential = json(qw(account show 7))->{credential};
is_deeply [map { $cluster->cmd('SISMEMBER', "pinaud:accounts:{$_}", 7) }
    $credential, $credential eq 'a' ? 'b' : 'a'], [1, 0],
    'an account moved at once: in one set';

for my $round (1 .. 5) {
    $ctl->run(qw(account delete 2));
    $ctl->run(qw(credential put c));

    my ($put, $delete) = $ctl->at_once([qw(account put 2 --credential c)],
        [qw(credential delete c)]);

    is $put->{exit} + $delete->{exit}, 1, 'put or delete: one of them'
        or diag $put->{err}, $delete->{err};
    is $cluster->cmd('EXISTS', 'pinaud:account:2'),
        $cluster->cmd('EXISTS', 'pinaud:credential:{c}'),
        'put or delete: no account without credential';
}

# what was cut off: names that nobody holds are skipped, and done again

$cluster->cmd('SADD', 'pinaud:accounts', 4242);
$cluster->cmd('SADD', 'pinaud:accounts:{a}', 4242);
is scalar(grep { $_->{account} eq '4242' } @{ json(qw(account list)) }), 0,
    'half an account: is none';
done($ctl, 0, qr/created/, '', 'half an account: made whole',
    qw(account put 4242 --credential a));
$cluster->cmd('DEL', 'pinaud:account:4242');
done($ctl, 0, qr/^a /m, '', 'half of it deleted', qw(credential list));
done($ctl, 0, qr/created/, '', 'half of it deleted: made again',
    qw(account put 4242 --credential a));
done($ctl, 0, qr/deleted/, '', 'and deleted', qw(account delete 4242));
is $cluster->cmd('SISMEMBER', 'pinaud:accounts:{a}', 4242), 0,
    'and deleted: everywhere';


# slots that move

my $record = "pinaud:account:$id";
my $slot = $cluster->slot($record);
my $from = $cluster->owner($slot);
my ($to) = grep { $_ != $from } @nodes[0 .. 2];

$cluster->begin_move($slot, $to);
done($ctl, 0, qr/^$id/m, '', 'while it moves: still there', qw(account list));
$cluster->move_keys($slot, $to);
done($ctl, 0, qr/^$id/m, '', 'while it moves: ASK', qw(account list));
done($ctl, 0, qr/changed/, '', 'while it moves: a change', 'account', 'put',
    $id, qw(--limit 77/60s));
$cluster->end_move($slot, $to);
is $cluster->owner($slot), $to, 'moved';
is $to->cmd('HGET', $record, 'limits'), '77/60', 'moved: with its change';
done($ctl, 0, qr/changed/, '', 'moved: another', 'account', 'put', $id,
    qw(--limit 78/60s));

# half of a credential's keys are there and half here: until all are there

$slot = $cluster->slot('pinaud:credential:{main}');
$from = $cluster->owner($slot);
($to) = grep { $_ != $from } @nodes[0 .. 2];
$cluster->begin_move($slot, $to);
$cluster->move_keys($slot, $to, 1);

my $run = $ctl->begin(qw(credential put main --limit 55/60s));
sleep 0.5;
is waitpid($run->{pid}, POSIX::WNOHANG()), 0, 'TRYAGAIN: it waits';
$cluster->move_keys($slot, $to);
$cluster->end_move($slot, $to);
my $r = $ctl->finish($run);
is $r->{exit}, 0, 'TRYAGAIN: and is done' or diag $r->{err};
is $to->cmd('HGET', 'pinaud:credential:{main}', 'limits'), '55/60',
    'TRYAGAIN: where it is now';

# a replica takes over

my ($master) = grep { $_ == $to } @nodes;
my ($index) = grep { $nodes[$_] == $master } 0 .. 2;
my $replica = $nodes[3 + $index];

ok $cluster->failover($replica), 'a replica takes over';
done($ctl, 0, qr/changed/, '', 'after it', qw(credential put main --limit
    56/60s));
is $replica->cmd('HGET', 'pinaud:credential:{main}', 'limits'), '56/60',
    'after it: on the new master';

# a master dies

wait_until(sub { $replica->cmd('INFO', 'replication') =~ /connected_slaves:1/ }, 10);
$replica->kill;
my $begun = time();
ok wait_until(sub { $ctl->run(qw(credential put main --limit 57/60s))->{exit}
    == 0 }, 30), 'a master dies: its replica is found';
note sprintf '%.1f s', time() - $begun;
is $master->cmd('HGET', 'pinaud:credential:{main}', 'limits'), '57/60',
    'a master dies: there it is';

# and its replica: the slots are nobody's

$master->kill;
$begun = time();
$r = $ctl->run(qw(credential put main --limit 58/60s));
is $r->{exit}, 3, 'nobody has the slot: exit code';
like $r->{err}, qr/\Apinaudctl: .*(?:Connection refused|CLUSTERDOWN).*\n\z/,
    'nobody has the slot: message';
cmp_ok time() - $begun, '<', 9, 'nobody has the slot: in time';

# passwords

$ctl->{env} = {};
done($ctl, 3, '', qr/NOAUTH \(it wants a password: --redis-password-file FILE\)$/,
    'no password', qw(account list));

done_testing;
