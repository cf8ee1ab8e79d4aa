#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What Redis may hold in the place of a record: tokens that do not open or
# must not be sent, policies that cannot be read, other types, other formats.
# And how long a worker goes by what it read.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $gw = Pinaud::Gateway->new(redis_url => 'tcp',
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } });

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $redis = $gw->redis;
my $credential = 'pinaud:credential:{main}';
my $record = 'pinaud:account:' . account;


sub create { post($gw, $path, $body, @growth, @_) }


# With a key's fields changed, or the key replaced; then as it was.

sub with {
    my ($key, $change, $code) = @_;

    my $dump = $redis->cmd('DUMP', $key);
    ref $change eq 'CODE' ? $change->($key)
        : $redis->cmd('HSET', $key, @$change);

    $code->();

    $redis->cmd('DEL', $key);
    $redis->cmd('RESTORE', $key, 0, $dump);
}


# Changes an account as who has the seal key does.

sub signed {
    my %change = @_;

    return sub {
        my %fields = (@{ $redis->cmd('HGETALL', $_[0]) }, %change);
        $redis->cmd('HSET', $_[0], %{ $gw->seal->sign(\%fields, account) });
    };
}


# The record of another account, with its MACs.

sub copied {
    my ($key, $id) = @_;

    $gw->must_ctl(qw(account put), $id, qw(--credential main --limit 1000/60s));
    $gw->must_ctl(qw(team put growth --account), $id);
    $redis->cmd('DEL', $key);
    $redis->cmd('HSET', $key, @{ $redis->cmd('HGETALL', "pinaud:account:$id") });
    $gw->must_ctl(qw(team delete growth --account), $id);
    $gw->must_ctl(qw(account delete), $id);
}


created create(), 'it works';
$gw->arrived;
my $used = $gw->used;
my $wrong = qr/its MAC is wrong: "pinaudctl policy apply" mends it/;


# tokens

my $sealed = $redis->cmd('HGET', $credential, 'token');
my ($exit, $output) = $gw->ctl(qw(credential put other --access-token-file -),
    \'pina_other');
is $exit, 0, 'another credential' or diag $output;
my $other = $redis->cmd('HGET', 'pinaud:credential:{other}', 'token');
my $flipped = $sealed;
substr($flipped, -1) ^= "\1";

my $id_len = ord substr $sealed, 1, 1;
my $unknown = $sealed;
substr($unknown, 2, 1) = chr(ord(substr $sealed, 2, 1) ^ 1);

my %tokens = (
    'of another record' => [token => $other],
    'of another version' => [version => 77],
    'altered' => [token => $flipped],
    'with an unknown key id' => [token => $unknown],
    'truncated' => [token => substr $sealed, 0, -1],
    'truncated to its head' => [token => substr $sealed, 0, 2 + $id_len],
    'of one byte' => [token => substr $sealed, 0, 1],
    'of another format' => [token => "\x7f" . substr $sealed, 1],
    'with an id that is longer than it' =>
        [token => "\1\xff" . substr $sealed, 2],
    'empty' => [token => ''],
    'not sealed' => [token => 'pina_naked'],
    'too long' => [token => $sealed . 'x' x 9000],
    'expired' => [expires => 1],
    'expired a second ago' => [expires => int(time()) - 1],
);

for my $name (sort keys %tokens) {
    with($credential, $tokens{$name}, sub {
        $gw->nginx->mark;
        my $r = create();
        refused $r, 'credential-unavailable', "a token $name";
        cmp_ok $r->header('Retry-After'), '>=', 1, 'Retry-After';
        refused create(headers => ['Pinaud-Dry-Run: ?1']),
            'credential-unavailable', "a token $name, dry run";
        refused get($gw, $path, @growth), 'credential-unavailable',
            "a token $name, a read", read => 1;
        unlike $gw->nginx->log_since, qr/pina_|\Q@{[ $gw->token ]}\E/,
            'no token in the log';
    });

    untouched $gw, "a token $name: nothing arrives";
}

wait_until(sub { $gw->used == $used }, 3);
is $gw->used, $used, 'nothing of that is charged';

# bytes that would end the line that a token stands on

for my $case (['CR LF', "pina_x\r\nX-Own: 1"], ['LF', "pina_x\nX: 1"],
    ['NUL', "pina_x\0"], ['a space', 'pina_x y'], ['UTF-8', "pina_\xc3\xa4"])
{
    my ($name, $token) = @$case;
    my ($exit, $output) = $gw->ctl(
        qw(credential put main --access-token-file -), \$token);

    next if $exit;

    refused create(), 'credential-unavailable', "a token with $name";
    untouched $gw, "a token with $name: nothing arrives";
}

($exit) = $gw->ctl(qw(credential put main --access-token-file -),
    \($gw->token));
is $exit, 0, 'the true token again';
created create(), 'it works again';
$gw->arrived;


# records of credentials

for my $case (['another format', [format => 2]], ['no format', [format => '']],
    ['a version of letters', [version => 'x']],
    ['an expiry of letters', [expires => 'never']],
    ['limits of letters', [limits => 'many']],
    ['limits without a window', [limits => '400']],
    ['limits of a window of 0', [limits => '400/0']],
    ['limits of a huge window', [limits => '1/99999999999999999999']],
    ['limits below 0', [limits => '-1/60']],
    ['a string', sub { $redis->cmd('SET', $_[0], 'x') }],
    ['a list', sub {
        $redis->cmd('DEL', $_[0]);
        $redis->cmd('RPUSH', $_[0], 'x');
    }])
{
    my ($name, $change) = @$case;

    with($credential, $change, sub {
        my $r = create();
        is $r->{status}, 503, "credential: $name: 503" or diag $r->{body};
        untouched $gw, "credential: $name: nothing arrives";
    });
}

with($credential, sub { $redis->cmd('DEL', $_[0]) }, sub {
    refused create(), 'credential-unavailable', 'no such credential';
});


# buckets

for my $key (grep { /pinaud:(?:calls|writes|bucket):/ }
    @{ $redis->cmd('KEYS', 'pinaud:*') })
{
    for my $value ('x', 'x' x 600, "\0" x 100) {
        with($key, sub { $redis->cmd('SET', $_[0], $value) }, sub {
            refused create(), 'store-unavailable', "$key: "
                . length($value) . ' bytes of nonsense';
            untouched $gw, 'nothing arrives';
        });
    }

    with($key, sub {
        $redis->cmd('DEL', $_[0]);
        $redis->cmd('HSET', $_[0], 'a', 'b');
    }, sub {
        refused create(), 'store-unavailable', "$key: another type";
        untouched $gw, 'nothing arrives';
    });
}


# policies: that one can't be used is known for as long as what is in one. Each
# reload begins with an empty cache

my $reads = sub {
    my ($calls) = $redis->cmd('INFO', 'commandstats')
        =~ /^cmdstat_hmget:calls=(\d+)/m;
    return $calls // 0;
};

for my $case (['another format', qr/unknown format/, [format => '2']],
    ['a long format', qr/unknown format/, [format => '11']],
    ['no credential', qr/no credential's name/, [credential => '']],
    ['a credential that is no name', qr/no credential's name/,
        [credential => 'a}b']],
    ['a credential of a long name', qr/no credential's name/,
        [credential => 'x' x 65]],
    ['limits of letters', qr/malformed limits of the/, [limits => 'many']],
    ['a fifth limit', qr/malformed limits of the/,
        [limits => '1/1 1/2 1/3 1/4 1/5']],
    ['limits of a window of 0', qr/malformed limits of the/,
        [limits => '1/0']],
    ['a long text', qr/malformed limits of the/, [limits => '9' x 50000]],
    ['a team of letters', qr/malformed limits or reserve/,
        signed('team:growth' => 'many')],
    ['a reserve that is in no sum', qr/malformed limits or reserve/,
        signed('team:growth' => 'reserve=1')],
    ['a string', qr/no record/, sub { $redis->cmd('SET', $_[0], 'x') }],

    # what pinaudctl did not write, or not here

    ['another credential', $wrong, [credential => 'other']],
    ['a limit that is lifted', $wrong, [limits => '1000000/1']],
    ['a limit that is gone', $wrong,
        sub { $redis->cmd('HDEL', $_[0], 'limits') }],
    ['a reserve for nobody', $wrong, [reserved => '7']],
    ['a team with another limit', $wrong, ['team:growth' => '7/1']],
    ['another account', $wrong, sub { copied($_[0], '77') }],
    ['a team that was let in by hand', qr/it has no MAC/,
        ['team:stranger' => ''], [team => 'stranger']],
    ['another team, let in by hand', $wrong, ['team:stranger' => '',
        'mac:stranger' => $gw->seal->team_mac(account, qw(growth main))],
        [team => 'stranger']],
    ['no MAC', qr/it has no MAC/, sub { $redis->cmd('HDEL', $_[0], 'mac') }],
    ['no MAC of the team', qr/it has no MAC/,
        sub { $redis->cmd('HDEL', $_[0], 'mac:growth') }],
    ['a MAC that is empty', $wrong, [mac => '']],
    ['a MAC that is none', $wrong, ['mac:growth' => 'x' x 50000]],
    ['a MAC by another key', qr/by a key that is not in the seal key file/,
        [mac => 'other' . $gw->seal->account_mac(account, qw(main 1000/60))]],
    ['a MAC by another key of this id', $wrong, [mac => Pinaud::Seal->new(
        $gw->seal->id . ':' . 'A' x 43 . '=')->account_mac(account,
        qw(main 1000/60))]])
{
    my ($name, $reason, $change, $team) = @$case;
    my @team = $team ? @$team : @growth;
    my $create = sub { post($gw, $path, $body, @team) };

    with($record, $change, sub {
        $gw->nginx->reload->mark;
        refused $create->(), 'store-unavailable', "policy: $name";

        my $asked = $reads->();
        refused $create->(), 'store-unavailable', "policy: $name: again"
            for 1 .. 5;
        is $reads->(), $asked, 'Redis is not asked again';

        my @told = $gw->nginx->log_since
            =~ /policy of account "\d+" can't be used: (.*)/g;
        is scalar @told, 1, 'the log tells which, once';
        like $told[0] // '', $reason, 'and why';
        untouched $gw, "policy: $name: nothing arrives";
    });

    $gw->nginx->reload;
    created create(), "policy: $name: over";
    $gw->arrived;
}

with($record, signed(credential => 'nobody'), sub {
    $gw->nginx->reload;
    refused create(), 'credential-unavailable', 'a credential that is gone';
});

with($record, sub { $redis->cmd('DEL', $_[0]) }, sub {
    $gw->nginx->reload;
    refused create(), 'forbidden', 'no such account';
});


# how long a policy holds: unknown ones, too, and foreign teams

$gw->nginx->reload;
$redis->cmd('CONFIG', 'RESETSTAT');

for (1 .. 20) {
    refused post($gw, create_path('77'), $body, @growth), 'forbidden',
        'an unknown account';
    refused post($gw, $path, $body, team => 'nobody'), 'forbidden',
        'a foreign team';
}

is $reads->(), 2, 'unknown ones are asked for once';

created create(), 'a policy is read';
my $start = time();
$gw->must_ctl(qw(team delete growth --account), account);

my $gone = wait_until(sub { sleep 0.3; create()->{status} == 403 }, 8);
ok $gone, 'a team that is taken away';
cmp_ok time() - $start, '<', 7, 'is refused soon';

$gw->must_ctl(qw(team put growth --account), account);
ok wait_until(sub { sleep 0.3; create()->{status} == 200 }, 8),
    'one that is added';

# one that could not be used is read again in time

with($record, [format => '2'], sub {
    $gw->nginx->reload;
    refused create(), 'store-unavailable', 'a policy that can\'t be used';
});

ok wait_until(sub { sleep 0.3; create()->{status} == 200 }, 8),
    'and, mended, can be soon';

# as many as anybody likes to ask for: the number that is kept is bounded

my ($c, @status);

for my $n (1 .. 225) {
    $c = Pinaud::HTTP->connect($gw) if $n % 40 == 1;
    $c->send(join '', map { Pinaud::HTTP::head('GET', create_path($_),
        @growth) } map { $n * 20 + $_ } 1 .. 20);
    push @status, map { $c->response(method => 'GET')->{status} } 1 .. 20;
}

is scalar(grep { $_ != 403 } @status), 0, '4500 unknown accounts';
created create(), 'and ours is known';

finish();
