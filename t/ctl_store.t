#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl and a Redis that is not there, is slow, refuses or holds something
# else: exit code 3, one clear line, within its time, nothing half done. And
# operators who change the same things at once.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Ctl;
use Pinaud::EvilRedis;
use Pinaud::Process;
use Pinaud::Redis;
use Test::More;

my $ctl = Pinaud::Ctl->new->enrol;
my $redis = $ctl->redis;
my $id = account;

# ways to reach it

done($ctl, 0, qr/^$id/m, '', 'by TCP', '--redis', $redis->tcp_url,
    qw(account list));
done($ctl, 0, "ACCOUNT  CREDENTIAL  LIMIT  TEAMS\n", '', 'another database',
    '--redis', $redis->tcp_url . '/1', qw(account list));
store_fails($ctl, 'no such database', qr{Redis at redis://127.0.0.1:\d+/99 refuses SELECT 99: ERR$},
    2, '--redis', $redis->tcp_url . '/99', qw(account list));

# not there

store_fails($ctl, 'no socket', qr{cannot connect to Redis at unix:/nonexistent: No such file}, 2,
    qw(--redis unix:/nonexistent account list));

my $port = free_port;
store_fails($ctl, 'nobody listens', qr{cannot connect to Redis at redis://127.0.0.1:$port/0: Connection refused}, 2,
    '--redis', "redis://127.0.0.1:$port", qw(account list));
store_fails($ctl, 'nobody listens on IPv6', qr{Redis at redis://\[::1\]:$port/0: }, 4,
    '--redis', "redis://[::1]:$port", qw(account list));
store_fails($ctl, 'no such host', qr{Redis at redis://no-such-host\.invalid:6379/0: }, 10,
    qw(--redis redis://no-such-host.invalid account list));

# misbehaves

my $evil = Pinaud::EvilRedis->new($redis);
my @evil = ('--redis', $evil->url);

$evil->mode('black_hole');
store_fails($ctl, 'never answers', qr/Redis at unix:\S+: no answer in time$/, 7, @evil,
    qw(account list));

my @modes = (
    [[qw(close)], qr/Redis at unix:\S+: Server closed/],
    [['cut', bytes => 3], qr/Redis at unix:\S+: /],
    [['answer', bytes => "garbage\r\n"], qr/: what answers there is no Redis$/],
    [['answer', bytes => "HTTP/1.1 400 Bad Request\r\n\r\n"],
        qr/: what answers there is no Redis$/],
    [['answer', bytes => ":1\r\n"],
        qr/answers SMEMBERS pinaud:accounts with something that is no such answer$/],
    [['answer', bytes => "*1\r\n:1\r\n"],
        qr/pinaud:accounts has a member that is no name or id/],
    [['answer', bytes => "*1\r\n\$3\r\na:b\r\n"],
        qr/pinaud:accounts has a member that is no name or id/],
    [['error', text => 'LOADING Redis is loading SECRETWORD'],
        qr/refuses SMEMBERS pinaud:accounts: LOADING \(it still loads its data: try again\)$/],
    [['error', text => 'NOAUTH Authentication required.'],
        qr/: NOAUTH \(it wants a password: --redis-password-file FILE\)$/],
    [['error', text => 'ERR unknown command SECRETWORD'], qr/: ERR$/],
    [['error', text => "something \e[31mSECRETWORD"], qr/: ERR$/],
);

for my $case (@modes) {
    my ($mode, $message) = @$case;

    $evil->mode(@$mode);
    my $r = store_fails($ctl, "@$mode", $message, 2, @evil, qw(account list));
    unlike $r->{err}, qr/SECRETWORD|\e/, 'of an error, only its first word';
}

$evil->mode('error', text => 'READONLY You can not write', only => 'HSET');
store_fails($ctl, 'a replica', qr/refuses HSET pinaud:account:$id: READONLY \(it is a replica\)$/,
    2, @evil, 'account', 'put', $id, qw(--limit 1/1s));
$evil->mode('pass');
is $ctl->must('account', 'show', $id, '--json')->{json}{limits}[0], undef,
    'a replica: nothing was changed';

# it was sent, and no answer came: that is told

$evil->mode('close', only => 'EXEC');
done($ctl, 3, '', qr/\A.*\n.*it is not known whether the change was made: look before you try again\n\z/,
    'no answer to EXEC', @evil, 'account', 'put', $id, qw(--limit 1/1s));
$evil->mode('pass');

# gone while it is used, and back

$redis->kill;
store_fails($ctl, 'killed', qr/cannot connect to Redis at unix:/, 2, qw(account list));
$redis->start;
done($ctl, 0, qr/^ACCOUNT/, '', 'started again', qw(account list));
$ctl->enrol;

# passwords and users

my $closed = Pinaud::Redis->new(password => 'hunter2');
my $password = $ctl->file('password', "hunter2\n");
my @closed = ('--redis', $closed->url);

store_fails($ctl, 'no password', qr/: NOAUTH \(it wants a password: --redis-password-file FILE\)$/,
    2, @closed, qw(account list));
my $r = store_fails($ctl, 'a wrong password', qr/refuses AUTH: WRONGPASS/, 2, @closed,
    qw(account list --redis-password-file), $ctl->file('wrong', 'hunter3'));
unlike $r->{err}, qr/hunter/, 'of which nothing is told';
done($ctl, 0, qr/^ACCOUNT/, '', 'the password', @closed,
    qw(account list --redis-password-file), $password);
done($ctl, 0, qr/^ACCOUNT/, '', 'its file by a variable', @closed,
    qw(account list), { env => { PINAUD_REDIS_PASSWORD_FILE => $password } });
done($ctl, 1, '', qr/nofile: No such file/, 'no password file', @closed,
    qw(account list --redis-password-file /nofile));

$closed->cmd(qw(ACL SETUSER op on >pw +@all ~*));
my $tcp = $closed->tcp_url =~ s{//}{//op@}r;
done($ctl, 0, qr/^ACCOUNT/, '', 'a user', '--redis', $tcp,
    qw(account list --redis-password-file), $ctl->file('op', 'pw'));
store_fails($ctl, 'a user with a wrong password', qr/WRONGPASS/, 2, '--redis', $tcp,
    qw(account list --redis-password-file), $password);

$closed->cmd(qw(ACL SETUSER op -hgetall));
store_fails($ctl, 'a user who may not', qr/: NOPERM \(this user of Redis may not do that\)$/,
    2, '--redis', $tcp, qw(credential show main --redis-password-file),
    $ctl->file('op', 'pw'));

# keys that hold something else

my @wrong = (
    [['SET', 'pinaud:accounts', 'x'], qr/refuses SMEMBERS pinaud:accounts: WRONGTYPE \(the key holds something else\)$/,
        qw(account list)],
    [['SADD', 'pinaud:accounts', 'x'], qr/pinaud:accounts has a member that is no name or id/,
        qw(account list)],
    [['SADD', 'pinaud:credentials', "a\0b"], qr/pinaud:credentials has a member/,
        qw(credential list)],
    [['SET', 'pinaud:credential:{main}', 'x'], qr/refuses HGETALL pinaud:credential:\{main\}: WRONGTYPE/,
        qw(credential show main)],
    [['SET', 'pinaud:credential:{main}', 'x'], qr/WRONGTYPE/,
        qw(credential put main --limit 1/1s)],
    [['SET', "pinaud:account:$id", 'x'], qr/refuses HGETALL pinaud:account:$id: WRONGTYPE/,
        qw(team put growth --account), $id],
    [['HSET', 'pinaud:credential:{main}', 'format', 2],
        qr/pinaud:credential:\{main\} is of a format that this version does not know/,
        qw(credential put main --limit 1/1s)],
    [['HDEL', "pinaud:account:$id", 'format'],
        qr/pinaud:account:$id is of a format/, 'account', 'put', $id],
    [['HSET', 'pinaud:credential:{main}', 'limits', '400/60s'],
        qr/pinaud:credential:\{main\} holds something else than it should: its limits$/,
        qw(credential show main)],
    [['HSET', 'pinaud:credential:{main}', 'version', '-1'],
        qr/something else than it should: its version$/,
        qw(credential put main --access-token-file -), { input => TOKEN }],
    [['HSET', 'pinaud:credential:{main}', 'expires', '9' x 30],
        qr/something else than it should: its expires$/, qw(usage)],
    [['HSET', 'pinaud:credential:{main}', 'tier', 'gold'],
        qr/something else than it should: its tier$/, qw(credential list)],
    [['HSET', "pinaud:account:$id", 'credential', 'a b'],
        qr/something else than it should: its credential$/, qw(usage)],
    [['HSET', "pinaud:account:$id", 'team:a b', ''],
        qr/pinaud:account:$id has a team with a name that is none/,
        qw(policy export)],
    [['HSET', "pinaud:account:$id", 'team:a', '1/1 future=1'],
        qr/something else than it should: its team:a$/, qw(team delete a)],
);

for my $case (@wrong) {
    my ($command, $message, @args) = @$case;

    $redis->cmd('FLUSHALL');
    $ctl->enrol;
    $redis->cmd('DEL', $command->[1]) if $command->[0] eq 'SET';
    $redis->cmd(@$command);
    my $dump = $redis->cmd('DUMP', $command->[1]);

    store_fails($ctl, join(' ', @$command), $message, 2, @args);
    is $redis->cmd('DUMP', $command->[1]), $dump, 'and it stays as it is';
}

$redis->cmd('FLUSHALL');
$ctl->enrol;

# a name without a record is skipped

$redis->cmd('SADD', 'pinaud:accounts', '99');
done($ctl, 0, qr/\A.*\n$id .*\n\z/, '', 'a name without a record',
    qw(account list));

# what is only shown is nothing that a terminal obeys

$redis->cmd('HSET', 'pinaud:credential:{main}', 'scope', "ads:write \e[31m\xff");
done($ctl, 0, qr/^scope +ads:write \?\[31m\?$/m, '', 'a scope of anything',
    qw(credential show main));
is $ctl->must(qw(credential list --json))->{json}[0]{scope},
    'ads:write ?[31m?', 'a scope of anything: JSON';

# two operators at once, on the same record: no change is lost

my @names = map { "team$_" } 1 .. 8;
my @results = $ctl->at_once(map { ['team', 'put', $_, '--account', $id] } @names);

is_deeply [map { $_->{exit} } @results], [(0) x @names],
    'teams put at once: all done';
is_deeply [map { $_->{team} } @{ $ctl->must('account', 'show', $id,
    '--json')->{json}{teams} }], [sort 'growth', @names],
    'teams put at once: all are there';

@results = $ctl->at_once(map {
    ['credential', 'put', 'main', '--access-token-file', '-',
        { input => TOKEN . $_ }] } 1 .. 8);

is_deeply [map { $_->{exit} } @results], [(0) x 8],
    'tokens put at once: all done';
is_deeply [sort { $a <=> $b } map { $_->{out} =~ /→ version (\d+)/ } @results],
    [2 .. 9], 'tokens put at once: each has its own version';
my $shown = $ctl->must(qw(credential show main --json))->{json};
is $shown->{version}, 9, 'tokens put at once: the last one';
is $shown->{state}, 'ready', 'tokens put at once: opens under it';

$ctl->must(qw(credential put), $_) for qw(a b);

@results = $ctl->at_once(map { ['account', 'put', $_ % 2 ? (1, '--credential', 'a')
    : (1, '--credential', 'b')] } 1 .. 6);
is_deeply [map { $_->{exit} } @results], [(0) x 6],
    'an account moved at once: all done';
my $credential = $ctl->must(qw(account show 1 --json))->{json}{credential};
is_deeply [map { $redis->cmd('SISMEMBER', "pinaud:accounts:{$_}", 1) }
    $credential, $credential eq 'a' ? 'b' : 'a'], [1, 0],
    'an account moved at once: in one set';

for my $round (1 .. 5) {
    $ctl->run(qw(account delete 2));
    $ctl->run(qw(credential put c));

    my ($put, $delete) = $ctl->at_once([qw(account put 2 --credential c)],
        [qw(credential delete c)]);

    is $put->{exit} + $delete->{exit}, 1, 'put or delete: one of them';
    is $redis->cmd('EXISTS', 'pinaud:account:2'),
        $redis->cmd('EXISTS', 'pinaud:credential:{c}'),
        'put or delete: no account without credential';
}

done_testing;
