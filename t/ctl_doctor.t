#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl doctor: all is well, then each check finds what it is for.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Pinaud::Ctl;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::RedisCluster;
use Test::More;

use constant DAY => 86400;

my $password = 'ofTHEoperatorsUSER';
my $redis = Pinaud::Redis->new(persist => 1);

$redis->cmd(qw(ACL SETUSER operator on), ">$password", '~pinaud:*', '+@all');

my $ctl = Pinaud::Ctl->new(redis => $redis, url => $redis->tcp_url('operator'));

push @{ $ctl->{secrets} }, $password;
my $secret = $ctl->file('redis.password', $password);


# What was found of a check, as "state: found" for each.

my $last;

sub doctor {
    my (%env) = @_;

    $last = $ctl->run(qw(doctor --json), { env => {
        PINAUD_REDIS_PASSWORD_FILE => $secret, %env } });

    fail("doctor: no JSON: $last->{out}$last->{err}") if !$last->{json};
    is $last->{err}, '', 'nothing on stderr' if $last->{err} ne '';
    is $last->{exit}, $last->{json}{problems} ? 1 : 0, 'exit code'
        if $last->{exit} != ($last->{json}{problems} ? 1 : 0);

    return $last->{json}{checks} || [];
}

sub of { my $check = shift; return grep { $_->{check} eq $check } @_ }

sub finds {
    my ($check, $state, $found, $cure, $name, %env) = @_;

    my @of = of($check, @{ doctor(%env) });

    ok +(grep { $_->{state} eq $state && $_->{found} =~ $found
        && ($_->{to_do} // '') =~ $cure } @of), "$check: $name"
        or diag explain \@of;
}

sub well {
    my ($check, %env) = @_;

    my @of = of($check, @{ doctor(%env) });
    is join(',', map { $_->{state} } @of), 'ok', "$check: well again"
        or diag explain \@of;
}

sub config { $redis->cmd(qw(CONFIG SET), @_) }
sub hset { $redis->cmd('HSET', @_) }
sub hdel { $redis->cmd('HDEL', @_) }


# all is well

my @put = (qw(credential put main --access-token-file),
    $ctl->file('token', TOKEN), '--refresh-token-file',
    $ctl->file('refresh', REFRESH), '--client-secret-file',
    $ctl->file('app', SECRET), qw(--client-id 1234 --expires-in),
    30 * DAY, '--refresh-expires-in', 60 * DAY);

sub put {
    my $opt = ref $_[-1] ? pop : {};
    return $ctl->must(@_, { %$opt, env => {
        PINAUD_REDIS_PASSWORD_FILE => $secret, %{ $opt->{env} || {} } } });
}

put(@put);
put(qw(account put), account, qw(--credential main));
put(qw(team put growth --account), account);

$redis->cmd(qw(ACL SETUSER default resetpass), '>other');
$redis->{password} = 'other';

my $all = doctor();

is join(', ', map { "$_->{check} $_->{state}" } grep { $_->{state} ne 'ok' }
    @$all), '', 'well: nothing else';
is_deeply [map { $_->{check} } @$all], ['seal key file', 'redis',
    'redis version', 'redis role', 'redis persistence', 'redis memory',
    'redis scripts', 'clock', 'redis users', 'redis rights',
    'credential main', 'agents', 'accounts', 'team keys'], 'well: all checks';
is $last->{json}{problems} + $last->{json}{warnings}, 0, 'well: counted';

my $r = put('doctor');
like $r->{out}, qr/^ok       redis version      [78]\./m, 'well: for people';
like $r->{out}, qr/^ok       credential main    version 1, expires in (?:29d 23h|30d 0h); refresh token in (?:59d 23h|60d 0h)$/m,
    'well: a credential';
like $r->{out}, qr/\n\n0 problems, 0 warnings\n\z/, 'well: the sum';
is_deeply [$redis->cmd('KEYS', '*doctor*')], [[]], 'nothing was written';


# the seal key file

finds('seal key file', 'warning', qr/not told/, qr/PINAUD_SEAL_KEY_FILE/,
    'not told', PINAUD_SEAL_KEY_FILE => undef);
chmod 0604, $ctl->keys;
finds('seal key file', 'problem', qr/open to others/, qr/seal key file/,
    'readable by others');
chmod 0600, $ctl->keys;

my $gateway = $ctl->file('gateway.key',
    $ctl->must(qw(seal-key generate --gateway))->{out});
finds('seal key file', 'warning', qr/it is a gateway's/, qr/operators' file/,
    "a gateway's", PINAUD_SEAL_KEY_FILE => $gateway);
is join(',', map { $_->{state} } of('credential main', @{
    $last->{json}{checks} })), 'ok', "a gateway's: opens access tokens";
well('seal key file');


# the server

finds('redis', 'problem', qr/where is Redis\?/, qr/--redis URL/, 'not told',
    PINAUD_REDIS => undef);
finds('redis', 'problem', qr/cannot connect/, qr/operations/, 'not there',
    PINAUD_REDIS => 'redis://127.0.0.1:' . free_port());
finds('redis', 'problem', qr/WRONGPASS/, qr/operations/, 'not let in',
    PINAUD_REDIS_PASSWORD_FILE => $ctl->file('wrong', 'wrong'));

config('appendfsync', 'no');
finds('redis persistence', 'problem', qr/appendfsync no/, qr/everysec/,
    'not flushed');
config('appendfsync', 'everysec');
well('redis persistence');

config('appendonly', 'no');
finds('redis persistence', 'problem', qr/without an append-only file/,
    qr/appendonly yes/, 'none');
config('appendonly', 'yes');

config('maxmemory-policy', 'allkeys-lru');
finds('redis memory', 'problem', qr/allkeys-lru throws away/, qr/noeviction/,
    'evicts');
config('maxmemory-policy', 'noeviction');
config('maxmemory', $redis->cmd('INFO') =~ /^used_memory:(\d+)/m
    ? int($1 * 1.05) : die);
finds('redis memory', 'warning', qr/of \d+ MB are used/, qr/raise maxmemory/,
    'almost full');
config('maxmemory', '0');
well('redis memory');

# a replica, and a master that has one

my $replica = Pinaud::Redis->new(config =>
    "replicaof 127.0.0.1 @{[ $redis->port ]}\nmasterauth other\n");

wait_until(sub { $redis->cmd('INFO') =~ /^connected_slaves:1/m }, 10)
    or die "the replica did not come\n";

finds('redis role', 'warning', qr/1 replica, and goes on writing/,
    qr/min-replicas-to-write 1/, 'writes without its replica');
config('min-replicas-to-write', '1');
well('redis role');
config('min-replicas-to-write', '0');

finds('redis role', 'problem', qr/it is a replica/, qr/master's URL/,
    'a replica', PINAUD_REDIS => $replica->url,
    PINAUD_REDIS_PASSWORD_FILE => undef);
undef $replica;

# what a real one does not do at will: a server that lies

sub lies {
    my ($pattern, $code) = @_;

    my $listen = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1')
        or die "listen: $!";

    my $pid = daemon(sub {
        $SIG{CHLD} = 'IGNORE';

        while (my $client = $listen->accept) {
            next if fork;

            my $server = IO::Socket::INET->new('127.0.0.1:' . $redis->port);
            my $both = IO::Select->new($client, $server);
            my $lie = 0;

            RELAY: while (my @ready = $both->can_read(10)) {
                for my $from (@ready) {
                    sysread $from, my $bytes, 1 << 20 or last RELAY;
                    $lie = $bytes =~ $pattern if $from == $client;
                    $bytes = $code->($bytes) if $lie && $from == $server;
                    syswrite $from == $client ? $server : $client, $bytes;
                }
            }

            POSIX::_exit(0);
        }
    });

    return (PINAUD_REDIS => 'redis://operator@127.0.0.1:'
        . $listen->sockport);
}

sub info {
    my ($from, $to) = @_;

    return lies(qr/INFO/, sub {
        my ($text) = $_[0] =~ /^\$\d+\r\n(.*)\r\n\z/s;
        $text =~ s/^$from\r$/$to\r/m or die "no $from\n";
        return '$' . length($text) . "\r\n$text\r\n";
    });
}

finds('redis version', 'problem', qr/^6\.0\.16, and at least 6\.2/, qr/7/,
    'old', info('redis_version:.*', 'redis_version:6.0.16'));
finds('redis version', 'problem', qr/^5\.2, and/, qr/7/, 'older',
    info('redis_version:.*', 'redis_version:5.2'));
finds('redis version', 'problem', qr/^not known, and/, qr/7/, 'not told',
    info('redis_version:.*', 'redis_version:'));
finds('redis version', 'ok', qr/^6\.2\.0$/, qr/^$/, 'just enough',
    info('redis_version:.*', 'redis_version:6.2.0'));
finds('redis persistence', 'problem', qr/can't write its append-only file/,
    qr/disk/, 'fails', info('aof_last_write_status:ok',
    'aof_last_write_status:err'));

my @behind = lies(qr/TIME/, sub { $_[0] =~ s/(\d{10})/$1 - 7/er });
finds('clock', 'warning', qr/are [67]\.\ds apart/, qr/NTP/, 'behind',
    @behind);
my @ahead = lies(qr/TIME/, sub { $_[0] =~ s/(\d{10})/$1 + 4000/er });
finds('clock', 'warning', qr/are 1h 6m apart/, qr/NTP/, 'ahead', @ahead);


# who we are, and what we may do

sub user {
    my ($name, @rules) = @_;

    $redis->cmd(qw(ACL SETUSER), $name, 'reset', 'on', ">$password", @rules);
    return (PINAUD_REDIS => $redis->tcp_url($name));
}

my @operator = qw(~pinaud:* -@all +@connection +@read +@write +@scripting
    +@transaction +time);

# the operator's user as it is shipped

my ($rules) = slurp(project_dir() . '/conf/redis-acl.conf')
    =~ /^user operator on \S+ (.*)$/m;
my @of = grep { $_->{state} ne 'ok' }
    @{ doctor(user('shipped', split / /, $rules)) };
is_deeply \@of, [], 'the shipped operator may look at all' or diag explain \@of;

finds('redis server', 'warning', qr/not looked at: .* refuses INFO: NOPERM/,
    qr/CONFIG GET/, 'INFO is refused', user('lame', @operator, '-info'));
is scalar(of('redis version', @{ $last->{json}{checks} })), 0,
    'INFO is refused: no version';
is_deeply [map { $_->{state} } of('credential main',
    @{ $last->{json}{checks} })], ['ok'], 'INFO is refused: the rest goes on';
finds('redis persistence', 'warning', qr/not looked at: .* CONFIG GET: NOPERM/,
    qr/CONFIG GET/, 'CONFIG is refused', user('lame', @operator, '+info'));
finds('redis scripts', 'problem', qr/they don't run: .*NOPERM/, qr/EVAL/,
    'EVAL is refused', user('lame', @operator, '-eval'));
finds('redis rights', 'problem', qr/may not: HSET pinaud:credential:\*, HDEL /,
    qr/redis-acl\.conf/, 'read only', user('lame', @operator, '-@write'));
finds('redis rights', 'problem', qr/may not: HGETALL pinaud:secret:\*, HSET pinaud:secret:\*, HDEL pinaud:secret:\*, DEL pinaud:secret:\*$/,
    qr/redis-acl\.conf/, 'no secrets', user('lame', @operator, 'resetkeys',
    map { "~pinaud:$_" } qw(credential* account* cooldown:* writes:*)));
finds('credential main', 'warning', qr/its refresh token is not looked at: .*NOPERM/,
    qr/^$/, 'no secrets', user('lame', @operator, 'resetkeys',
    map { "~pinaud:$_" } qw(credential* account*)));
finds('redis rights', 'warning', qr/not looked at: .*MULTI: NOPERM/,
    qr/MULTI and DISCARD/, 'no transactions',
    user('lame', @operator, '-multi'));
finds('credentials', 'problem', qr/not looked at: .*NOPERM/, qr/^$/,
    'no list', user('lame', @operator, 'resetkeys', '~pinaud:account*'));
is_deeply [map { $_->{check} } grep { $_->{check} =~ /^account/ }
    @{ $last->{json}{checks} }], ['accounts'], 'no list: accounts are well';
finds('agents', 'warning', qr/not looked at: .*NOPERM/, qr/^$/, 'no wishes',
    user('lame', @operator, 'resetkeys', '~pinaud:credential*'));
finds('team keys', 'warning', qr/not looked at: .*NOPERM/, qr/^$/, 'no list',
    user('lame', @operator, 'resetkeys', '~pinaud:credential*'));
finds('accounts', 'problem', qr/not looked at: .*NOPERM/, qr/^$/,
    'no list', user('lame', @operator, 'resetkeys', '~pinaud:credential*'));

$redis->cmd(qw(ACL SETUSER default resetpass), ">$password");
$redis->{password} = $password;
finds('redis users', 'warning', qr/the default user, who may do everything/,
    qr/redis-acl\.conf/, 'default', PINAUD_REDIS => $redis->tcp_url);

$redis->cmd(qw(ACL SETUSER default nopass));
finds('redis users', 'warning', qr/lets in who tells no password/,
    qr/switches the default user off/, 'open, here');
finds('redis users', 'problem', qr/lets in who tells no password/,
    qr/switches the default user off/, 'open to others',
    PINAUD_REDIS => 'redis://operator@0.0.0.0:' . $redis->port);


# credentials

my ($record, $secrets) = map { "pinaud:$_:{main}" } qw(credential secret);
my $now = $redis->cmd('TIME')->[0];
my $authorize = qr/^pinaudctl credential authorize main$/;

sub with {
    my ($name, $state, $found, $cure, $key, %fields) = @_;

    my %before = map { $_ => $redis->cmd('HGET', $key, $_) } keys %fields;

    defined $fields{$_} ? hset($key, $_, $fields{$_}) : hdel($key, $_)
        for keys %fields;
    finds('credential main', $state, $found, $cure, $name);
    defined $before{$_} ? hset($key, $_, $before{$_}) : hdel($key, $_)
        for keys %fields;
}

with('no token', 'problem', qr/no access token/, $authorize, $record,
    token => undef);
with('expired', 'problem', qr/access token expired 1d 1h ago/,
    qr/pinaudctl agent/, $record, expires => $now - 25 * 3600);
with('damaged', 'problem', qr/its access token does not open/, $authorize,
    $record, token => 'x');
with('of another version', 'problem', qr/its access token does not open/,
    $authorize, $record, version => 7);
with('unreadable', 'problem', qr/tier/, qr/^$/, $record, tier => 'gold');
with('needs authorization', 'problem',
    qr/^it has to be authorised anew: refused by Pinterest$/, $authorize,
    $record, state => 'needs-authorization', reason =>
    'refused by Pinterest');
with('wrong client', 'problem', qr/its app's id or secret is refused: 401/,
    qr/^pinaudctl credential put main --client-id ID --client-secret-file/,
    $record, state => 'wrong-client', reason => '401');
with('retrying', 'warning', qr/are tried again: 503/, qr/^$/, $record,
    state => 'retrying', reason => '503');
with('refresh token of no agent', 'warning',
    qr/due to be refreshed since 20\S+, and nobody did/, qr/pinaudctl agent/,
    $record, expires => $now + 2 * DAY);

for my $case (['old', ($now - 700) * 1000, 'warning',
    qr/an attempt of host gw7 to refresh it stands since 20/,
    qr/pinaudctl agent on gw7; .*: pinaudctl credential refresh main --force$/],
    ['unreadable', 'x', 'problem', qr/can't be read/, $authorize])
{
    my ($name, $at, $state, $found, $cure) = @$case;

    with("an attempt: $name", $state, $found, $cure, $secrets,
        attempt => "1 gw7 journal $at 1 abc");
}

hset($secrets, attempt => '1 gw7 journal ' . ($now - 60) * 1000 . ' 1 abc');
well('credential main');
hdel($secrets, 'attempt');

# a wish that nobody sees to; no matter of agents

hset('pinaud:wanted', main => '1 worked');
finds('agents', 'problem', qr/no agent answers: main$/, qr/pinaudctl agent/,
    'nobody answers');
hset('pinaud:wanted', main => '0 worked', gone => '1 expired', '*' => 'x');
well('agents');
hset('pinaud:wanted', main => '1 worked');
hset($record, state => 'retrying');
well('agents');
hdel($record, 'state');

my $agent = daemon(sub { select undef, undef, undef, 1;
    hdel('pinaud:wanted', 'main') });
well('agents');
$redis->cmd('DEL', 'pinaud:wanted');

with('refresh token expired', 'problem', qr/refresh token expired 1d 1h ago/,
    $authorize, $secrets, refresh_expires => $now - 25 * 3600);
with('refresh token soon', 'warning', qr/refresh token expires in 13d/,
    qr/pinaudctl agent runs, or: pinaudctl credential authorize main$/,
    $secrets, refresh_expires => $now + 14 * DAY - 60);
with('no app', 'problem', qr/no app to use it/,
    qr/put main --client-id ID --client-secret-file/, $secrets,
    client_id => undef, client_secret => undef);
with('refresh token of another', 'problem', qr/refresh token does not open/,
    $authorize, $secrets, refresh_version => 9);
with('client secret altered', 'problem', qr/client secret does not open/,
    $authorize, $secrets, client_secret => 'x' x 80);

my %before = @{ $redis->cmd('HGETALL', $secrets) };
$redis->cmd('DEL', $secrets);
with('renewed by hand', 'warning', qr/expires in 13d .*no refresh token/,
    qr/^pinaudctl credential authorize main --client-id ID/, $record,
    expires => $now + 14 * DAY - 60);
well('credential main');
hset($secrets, %before);

$redis->cmd('SADD', 'pinaud:credentials', 'ghost');
finds('credential ghost', 'warning', qr/has no record/,
    qr/authorize ghost --client-id ID/, 'only a name');
$redis->cmd('SREM', 'pinaud:credentials', 'ghost');

# another first key, then without the old one

my $old = slurp($ctl->keys);
my $new = $ctl->must(qw(seal-key generate))->{out};
my ($id, $other) = map { /^([^:]+)/ } $old, $new;

my $both = $ctl->file('both.key', $new . $old);

finds("seal key $id", 'warning', qr/sealed or signed 5 values/,
    qr/^pinaudctl seal-key reseal, when/, 'is used',
    PINAUD_SEAL_KEY_FILE => $both);
finds("seal key $other", 'ok', qr/in no record, and no attempt stands/,
    qr/^drop its line/, 'is not used',
    PINAUD_SEAL_KEY_FILE => $ctl->file('next.key', $old . $new));
hset($secrets, attempt => '1 gw7 journal ' . $now * 1000 . ' 1 abc');
finds("seal key $other", 'ok', qr/may have it, since 1 attempt stands$/,
    qr/^$/, 'may be in a journal', PINAUD_SEAL_KEY_FILE => "$ctl->{dir}/next.key");
hdel($secrets, 'attempt');

finds('credential main', 'problem', qr/its access token is sealed by key \Q$id\E, which is not in/,
    qr/add key \Q$id\E to the seal key file, or: pinaudctl credential authorize main/,
    'no key', PINAUD_SEAL_KEY_FILE => $ctl->file('new.key', $new));

finds('account ' . account, 'problem', qr/not written by pinaudctl, or with/,
    qr/account show \d+, then pinaudctl policy apply/, 'no key',
    PINAUD_SEAL_KEY_FILE => "$ctl->{dir}/new.key");

put(qw(seal-key reseal --seal-key-file), $both);
finds("seal key $id", 'ok', qr/in no record/, qr/^drop its line/,
    'is not used after a reseal', PINAUD_SEAL_KEY_FILE => $both);
put(qw(seal-key reseal --seal-key-file), "$ctl->{dir}/next.key");

well('credential main');
well('accounts');


# accounts and teams

$redis->cmd('HSET', 'pinaud:account:' . account, 'credential', 'gone');
finds('account ' . account, 'problem', qr/there is no credential gone/,
    qr/account put \d+ --credential NAME, or credential authorize gone/,
    'without its credential');
$redis->cmd('HSET', 'pinaud:account:' . account, 'credential', 'main');

for my $field ('limits', 'team:growth', 'team:shadow', 'mac') {
    my $key = 'pinaud:account:' . account;
    my $before = $redis->cmd('HGET', $key, $field);

    hset($key, $field, $field eq 'mac' ? 'x' : '9/1');
    finds('account ' . account, 'problem', qr/was not written by pinaudctl/,
        qr/policy apply/, "another $field");
    defined $before ? hset($key, $field, $before) : hdel($key, $field);
}

$redis->cmd('HSET', 'pinaud:account:' . account, 'limits', 'many');
finds('account ' . account, 'problem', qr/limits/, qr/policy apply/,
    'unreadable');
$redis->cmd('HSET', 'pinaud:account:' . account, 'limits', '');

$redis->cmd('SADD', 'pinaud:accounts', '1');
finds('account 1', 'warning', qr/has no record/, qr/account put 1 --cred/,
    'only an id');
$redis->cmd('SREM', 'pinaud:accounts', '1');
well('accounts');

# keys of teams

put(qw(team key create growth));

my ($hex) = @{ $redis->cmd('SMEMBERS', 'pinaud:team-keys') };

is +(of('team keys', @{ doctor() }))[0]{found}, 1, 'team keys: one';

for my $case (['altered', team => 'other'], ['altered', mac => 'x'],
    ['damaged', team => 'a b'])
{
    my ($state, $field, $value) = @$case;
    my $before = $redis->cmd('HGET', "pinaud:team-key:$hex", $field);

    hset("pinaud:team-key:$hex", $field, $value);

    my ($found) = grep { $_->{check} =~ /^team key / } @{ doctor() };
    is $found->{found}, "$state: no gateway takes it", "team key: $field";
    like $found->{to_do}, qr/^pinaudctl team key revoke \S+, then pinaudctl team key create/,
        "team key: $field: what to do";
    hset("pinaud:team-key:$hex", $field, $before);
}

well('team keys');

$redis->cmd('DEL', $record, $secrets, 'pinaud:credentials');
finds('credentials', 'warning', qr/there are none/,
    qr/authorize NAME --client-id ID/, 'none');


# a cluster: each master

my $cluster = Pinaud::RedisCluster->new(config => "appendonly yes\n"
    . "cluster-require-full-coverage no\n");
my @nodes = $cluster->nodes;
my @names = map { '127.0.0.1:' . $_->port } @nodes;
my %cluster = (PINAUD_REDIS => $cluster->words,
    PINAUD_REDIS_PASSWORD_FILE => undef);

put(@put, { env => \%cluster });
$all = doctor(%cluster);

is_deeply [map { "$_->{check} $_->{state}" } grep { $_->{state} ne 'ok' }
    @$all], ['redis users warning'], 'cluster: well';
is_deeply [sort map { $_->{check} } grep { $_->{check} =~ /^redis memory/ }
    @$all], [sort map { "redis memory $_" } @names], 'cluster: each master';
is +(of('redis cluster', @$all))[0]{found}, '3 masters, all slots have one',
    'cluster: slots';

$nodes[1]->cmd(qw(CONFIG SET appendonly no));
finds("redis persistence $names[1]", 'problem', qr/without an append-only/,
    qr/appendonly yes/, 'cluster: one', %cluster);
is_deeply [map { $_->{state} } map { of("redis persistence $_",
    @{ $last->{json}{checks} }) } @names[0, 2]], [qw(ok ok)],
    'cluster: not the others';

$_->cmd(qw(ACL SETUSER lame on), ">$password", @operator,
    '+cluster|slots', '-hset') for @nodes;
finds('redis rights', 'problem', qr/may not: HSET pinaud:credential:\*, HSET pinaud:secret:\*, HSET pinaud:account:\*$/,
    qr/redis-acl\.conf/, 'cluster: rights',
    PINAUD_REDIS => $cluster->words(user => 'lame'));

my $slot = $cluster->slot('nobody');
$_->cmd('CLUSTER', 'DELSLOTS', $slot) for @nodes;
finds('redis cluster', 'problem', qr/^1 of 16384 slots have no master/,
    qr/--cluster check/, 'cluster: a slot of nobody', %cluster);

my $owner = $cluster->owner('pinaud:credential:{main}');
my ($gone) = grep { $_->port != $owner->port } @nodes[1, 2];
$gone->stop;
finds('redis 127.0.0.1:' . $gone->port, 'problem', qr/cannot connect/,
    qr/runs/, 'cluster: one is gone', %cluster);

done_testing();
