#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# conf/redis-acl.conf: everything works under the users it has, with the
# default user off, and no user may do what it does not need.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use Pinaud::Check;
use Pinaud::Ctl ();
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Process;
use Pinaud::RedisCluster;
use Test::More;
use Time::HiRes qw(sleep time);

my $root = 'user root on >root ~* &* +@all';
my %password = map { $_ => "the password of $_" =~ s/ /-/gr }
    qw(gateway agent operator);

my $acl = slurp(project_dir() . '/conf/redis-acl.conf');
my %found = map { lc $_ => 1 } $acl =~ /@([A-Z]+)@/g;

is_deeply [sort keys %found], [sort keys %password], 'three users';
$acl =~ s/@([A-Z]+)@/sha256_hex($password{lc $1})/ge;

my @redis = (redis => { user => 'root', password => 'root',
    config => "$acl\n$root\n" });
my $other = '549755885176';

my $gw = Pinaud::Gateway->new(@redis, users => \%password, retry => 1,
    accounts => {
        account() => { limits => ['1000/60s'],
            teams => { growth => [], brand => ['1/60s'] } },
        $other => { limits => ['2000/60s'], teams => { growth => [] } },
    },
    http => 'pinaud_outage_allowance 5;',
    location => 'pinaud_passthrough on; pinaud_refresh_wait 200ms;',
    nginx => { workers => 2 });

my $redis = $gw->redis;
my @growth = (team => 'growth');

sub create { post($gw, create_path, body, @growth, @_) }

# What Redis refused to whom since it was asked the last time.

sub denied {
    my @entries = map { my %entry = @$_; "$entry{username} $entry{object}" }
        @{ $redis->cmd('ACL', 'LOG') };
    $redis->cmd('ACL', 'LOG', 'RESET');

    return \@entries;
}


# gateways

is_deeply denied(), [], 'enrolled by the operator';

created create(), 'a create';
is get($gw, create_path, @growth)->{status}, 200, 'a read';
is create(headers => ['Pinaud-Dry-Run: ?1'])->{status}, 200, 'a dry run';
refused post($gw, create_path(1), body, @growth), 'forbidden',
    'an account that is not there';
created post($gw, create_path, body, team => 'brand'), 'a team';
refused post($gw, create_path, body, team => 'brand'), 'quota-exceeded',
    'a team over its limit';

$gw->sim->refuse;
refused create(), 'upstream-unreachable', 'a create that is given back';
ok wait_until(sub { @{ $redis->cmd('KEYS', 'pinaud:refund:*') } == 1 }, 3),
    'it was';
$gw->sim->accept;

ok wait_until(sub { sleep 0.2; create();
    $gw->metrics->{pinaud_outage_allowance_requests} == 5 }, 6),
    'units for an outage';
$redis->pause;
ok wait_until(sub { create();
    $gw->metrics->{pinaud_outage_requests_total} == 5 }, 6),
    'an outage: they are spent';
$redis->resume;
ok wait_until(sub { sleep 0.2; create();
    $gw->metrics->{pinaud_outage_allowance_requests} == 5 }, 8),
    'then returned, and taken anew';

$gw->sim->fault(kind => 'rate_limited');
is create()->{status}, 429, 'Pinterest says 429';
ok wait_until(sub { $redis->cmd('EXISTS', 'pinaud:cooldown:{main}') }, 2),
    'a cooldown';
refused create(), 'quota-exceeded', 'which holds';

$redis->cmd('DEL', 'pinaud:cooldown:{main}');
ok wait_until(sub { sleep 0.1; create()->{status} == 200 }, 3),
    'the cooldown is over';
$gw->sim->fault(kind => 'unauthorized');
refused create(), 'credential-unavailable', 'Pinterest says 401';
ok wait_until(sub { $redis->cmd('HGET', 'pinaud:wanted', 'main') }, 2),
    'a newer token is wanted';
$gw->sim->clear_faults;

is_deeply denied(), [], 'gateways: none of this was refused';


# operators

my $policy = "$gw->{dir}/policy.json";
my $token = 'pina_another';
my $secret = spew("$gw->{dir}/secret", "secret\n", 0600);

my @commands = (
    [qw(credential list)],
    [qw(credential show main)],
    [qw(credential put other --access-token-file - --expires-in 3600
        --client-id 1 --client-secret-file), $secret,
        '--refresh-token-file', $secret, \$token],
    [qw(credential show other)],
    [qw(account list)],
    ['account', 'show', account],
    ['account', 'put', account, qw(--credential other --limit 900/60s)],
    [qw(team put brand --limit 10/60s --reserve 5 --account), account],
    [qw(team list)],
    ['account', 'put', account, qw(--credential main)],
    [qw(policy export)],
    [qw(policy diff), $policy],
    [qw(policy apply --prune), $policy],
    [qw(team key create growth)],
    [qw(team key list)],
    [qw(seal-key list)],
    [qw(seal-key reseal)],
    [qw(usage)],
    ['usage', account],
    [qw(cooldown clear main)],
    [qw(team delete brand --account), account],
    [qw(team delete growth --account), $other],
    ['account', 'delete', $other],
    [qw(credential delete other)],
);

for my $command (@commands) {
    my ($exit, $output) = $gw->ctl(@$command);
    my @named = grep { !ref } @$command;

    is $exit, 0, "pinaudctl @named" or diag $output;
    spew($policy, $output) if "@$command" eq 'policy export';
}

is_deeply denied(), [], 'operators: none of this was refused';

my ($exit, $found) = $gw->ctl('doctor');
like $found, qr/^ok +redis rights/m, 'doctor: these rights are enough';
is_deeply denied(), [], 'doctor: may look at all it wants' or diag $found;


# what each may not

my %client;

sub ask {
    my ($user, @command) = @_;

    $client{$user} //= do {
        my $client = { socket => $redis->connect, buffer => '' };
        my $said = Pinaud::Redis::ask($client, 'AUTH', $user,
            $password{$user});
        is $said, 'OK', "$user: is known";
        $client;
    };

    my $said = Pinaud::Redis::ask($client{$user}, @command);

    return ref $said eq 'Pinaud::Redis::Error' ? "$said" : 'done';
}

my $no = qr/^NOPERM|ACL failure in script|can't access at least one of the keys|can't run this command/;
my $id = account;

sub script {
    my ($call, @keys) = @_;

    return ('EVAL', "return redis.call($call)", scalar @keys, @keys);
}

my %never = (
    gateway => [
        # a refresh token
        ['HGETALL', 'pinaud:secret:{main}'],
        ['HMGET', 'pinaud:secret:{main}', 'refresh'],
        ['HGET', 'pinaud:secret:{main}', 'refresh'],
        ['DUMP', 'pinaud:secret:{main}'],
        ['COPY', 'pinaud:secret:{main}', 'pinaud:calls:{main}'],
        ['RENAME', 'pinaud:secret:{main}', 'pinaud:calls:{main}'],
        [script('"HGET", KEYS[1], "refresh"', 'pinaud:secret:{main}')],
        [script('"HGET", "pinaud:secret:{main}", "refresh"')],

        # policy
        ['HSET', "pinaud:account:$id", 'credential', 'other'],
        ['SET', "pinaud:account:$id", ''],
        ['DEL', "pinaud:account:$id"],
        [script('"HSET", KEYS[1], "limits", ""', "pinaud:account:$id")],
        [script(qq("HSET", "pinaud:account:$id", "limits", ""))],
        ['SADD', 'pinaud:accounts', 1],
        ['SMEMBERS', 'pinaud:accounts'],
        ['HSET', 'pinaud:team-key:00', 'team', 'growth'],

        # credentials, which its scripts have as keys
        ['HSET', 'pinaud:credential:{main}', 'limits', ''],
        ['SET', 'pinaud:credential:{main}', ''],
        ['DEL', 'pinaud:credential:{main}'],
        [script('"HSET", KEYS[1], "limits", ""', 'pinaud:credential:{main}')],
        [script('"SET", KEYS[1], ""', 'pinaud:credential:{main}')],
        [script('"DEL", KEYS[1]', 'pinaud:credential:{main}')],
        [script('"RENAME", KEYS[1], KEYS[2]', 'pinaud:calls:{main}',
            'pinaud:credential:{main}')],

        # what gateways want is for the agent
        ['HGETALL', 'pinaud:wanted'],
        ['DEL', 'pinaud:wanted'],
    ],

    agent => [
        ['SET', 'pinaud:writes:{main}', ''],
        ['GET', 'pinaud:writes:{main}'],
        ['DEL', "pinaud:bucket:{main}:$id"],
        [script('"SET", KEYS[1], ""', 'pinaud:calls:{main}')],
        [script('"SET", "pinaud:calls:{main}", ""')],
        [script('"SET", KEYS[2], ""', 'pinaud:credential:{main}',
            "pinaud:bucket:{main}:$id")],
        ['HSET', 'pinaud:cooldown:{main}', 'all', 1],
        ['HGETALL', "pinaud:account:$id"],
        ['HSET', "pinaud:account:$id", 'limits', ''],
        ['HSET', 'pinaud:team-key:00', 'team', 'growth'],
        ['SADD', 'pinaud:credentials', 'x'],
    ],

    operator => [
        ['SET', 'other', 1],
        ['HGETALL', 'other'],
        [script('"GET", "other"')],
    ],
);

my @all = (['KEYS', '*'], ['SCAN', 0], ['FLUSHALL'], ['FLUSHDB'],
    ['CONFIG', 'SET', 'maxmemory', 1], ['ACL', 'LIST'], ['MONITOR'],
    ['SHUTDOWN'], ['REPLICAOF', 'NO', 'ONE'],
    ['SCRIPT', 'FLUSH'], ['FUNCTION', 'LIST'], ['CLIENT', 'LIST'],
    ['SUBSCRIBE', 'x'], ['PUBLISH', 'x', 'y'], ['RANDOMKEY'], ['SAVE']);

for my $user (sort keys %never) {
    my $before = $redis->cmd('DUMP', 'pinaud:credential:{main}');

    for my $command (@{ $never{$user} }, @all) {
        like ask($user, @$command), $no, "$user: @$command";
    }

    is $redis->cmd('DUMP', 'pinaud:credential:{main}'), $before,
        "$user: nothing was changed";
}

is ask('gateway', 'HSET', 'pinaud:wanted', 'main', '1 refused'), 'done',
    'gateway: may want a token';
is ask('agent', 'HGETALL', 'pinaud:secret:{main}'), 'done',
    'agent: reads secrets';
is ask('agent', 'HDEL', 'pinaud:wanted', 'main'), 'done',
    'agent: settles what was wanted';

my $stranger = { socket => $redis->connect, buffer => '' };
like Pinaud::Redis::ask($stranger, 'PING'), qr/^NOAUTH/,
    'who tells no name may nothing';

ok wait_until(sub { create()->{status} == 200 }, 3), 'after all that it works';


# in a cluster pinaudctl makes its changes by other commands

my $cluster = Pinaud::RedisCluster->new(user => 'root', password => 'root',
    config => "$acl\n$root\n");
my $ctl = Pinaud::Ctl->new(redis => ($cluster->nodes)[0],
    url => $cluster->words(user => 'operator'));

$ctl->{env} = { PINAUD_REDIS_PASSWORD_FILE =>
    $ctl->file('operator', $password{operator}) };
$ctl->enrol;
$ctl->must(@$_) for [qw(credential put other)],
    ['account', 'put', account, qw(--credential other --limit 9/60s)],
    [qw(policy apply), $ctl->file('policy.json',
        $ctl->must(qw(policy export))->{out})],
    ['usage'], ['team', 'delete', 'growth'], ['account', 'delete', account],
    [qw(credential delete main)];
is_deeply [map { @$_ } $cluster->all('ACL', 'LOG')], [],
    'operators in a cluster: none of it was refused';

finish();
