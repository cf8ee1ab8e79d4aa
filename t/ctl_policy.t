#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl policy: export, diff, apply.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Ctl;
use Pinaud::EvilRedis;
use Pinaud::Process;
use Test::More;

my $json = JSON::PP->new->canonical->pretty;
my $ctl = Pinaud::Ctl->new->enrol;
my $redis = $ctl->redis;
my $id = account;

# all that Redis holds, to compare

sub state {
    my %state;

    for my $key (@{ $redis->cmd('KEYS', '*') }) {
        my $type = $redis->cmd('TYPE', $key);

        $state{$key} = $type eq 'hash' ? { @{ $redis->cmd('HGETALL', $key) } }
            : $type eq 'set' ? [sort @{ $redis->cmd('SMEMBERS', $key) }]
            : $redis->cmd('GET', $key);
    }

    return \%state;
}

sub policy { return $ctl->file('policy.json', ref $_[0] ? $json->encode($_[0]) : $_[0]) }
sub copy { return $json->decode($json->encode($_[0])) }

$ctl->must(qw(credential put trial --tier trial));
$ctl->must(qw(account put), $id, qw(--limit 300/60s --limit 5000/1d));
$ctl->must(qw(account put 7 --credential trial));
$ctl->must(qw(team put brand --account 7 --account), $id,
    qw(--limit 100/5m --limit 10/1s));

# export

my $r = done($ctl, 0, qr/\A\{/, '', 'export', qw(policy export));
my $policy = $r->{json};

is_deeply $policy, {
    format => 1,
    credentials => {
        main => { tier => 'standard', limits => ['400/60s'],
            limits_all => ['100/1s'] },
        trial => { tier => 'trial', limits => ['300/1d'], limits_all => [] },
    },
    accounts => {
        $id => { credential => 'main', limits => ['300/60s', '5000/1d'],
            teams => { growth => { limits => [] },
                brand => { limits => ['100/5m', '10/1s'] } } },
        7 => { credential => 'trial', limits => [],
            teams => { brand => { limits => ['100/5m', '10/1s'] } } },
    },
}, 'export: the document';
is $ctl->run(qw(--json policy export))->{out}, $r->{out},
    'export: with --json the same';
cmp_ok index($r->{out}, '"7"'), '>', index($r->{out}, qq{"$id"}),
    'export: in order';

# apply of an export changes nothing and says so

my $before = state();
my $file = $ctl->file('export.json', $r->{out});

for my $args ([], ['--prune']) {
    done($ctl, 0, "Nothing to change.\n", '', "apply @$args: an export",
        qw(policy apply), $file, @$args);
    done($ctl, 0, "Nothing to change.\n", '', "diff @$args: an export",
        qw(policy diff), $file, @$args);
}

is_deeply $ctl->must(qw(policy apply --json), $file)->{json},
    { changed => JSON::PP::false(), changes => [] }, 'apply --json: nothing';
is_deeply state(), $before, 'apply: nothing was changed';

# and into an empty store makes it all, but the secrets

my $empty = Pinaud::Ctl->new;
done($empty, 0, qr/credential main: created\n(?s:.*)account $id: created\n(?s:.*)team growth of account $id: created/,
    '', 'apply: into an empty store', qw(policy apply), $file);
is $empty->run(qw(policy export))->{out}, $r->{out}, 'apply: round trip';
is $empty->must(qw(credential show main --json))->{json}{state}, 'no token',
    'apply: without a token';
done($empty, 0, qr/access-token +version 1/, '', 'apply: a token can follow',
    qw(credential put main --access-token-file -), { input => TOKEN });

# a change: told by diff, done by apply; what is not named stays

my $changed = copy($policy);
$changed->{accounts}{$id}{limits} = ['250/60s'];
$changed->{accounts}{$id}{teams}{new} = { limits => ['1/1s'] };
delete $changed->{accounts}{$id}{teams}{growth};
delete $changed->{accounts}{7};
$changed->{accounts}{8} = { credential => 'fresh' };
$changed->{credentials}{fresh} = {};
delete $changed->{credentials}{trial};
$file = policy($changed);

my $told = "credential fresh: WOULD created
  tier           standard
  limit          400/60s
  limit-all      100/1s
account $id: WOULD changed
  limit          300/60s 5000/1d → 250/60s
team new of account $id: WOULD created
  limit          1/1s
account 8: WOULD created
  credential     fresh
  limit          none
";
my $pruned = "team growth of account $id: WOULD deleted
team brand of account 7: WOULD deleted
account 7: WOULD deleted
";
my $stays = "$file: credential trial is not named and stays: "
    . "\"pinaudctl credential delete trial\" deletes it\n";

sub lines { my $text = join '', @_; return join "\n", sort split /\n/, $text }

$r = $ctl->run(qw(policy diff), $file);
is $r->{exit}, 1, 'diff: changes';
is lines($r->{out}), lines($told =~ s/WOULD/would be/gr), 'diff: which';
is_deeply state(), $before, 'diff: nothing was changed';

$r = $ctl->run(qw(policy diff --prune), $file);
is $r->{exit}, 1, 'diff --prune: changes';
is lines($r->{out}), lines(($told . $pruned) =~ s/WOULD/would be/gr),
    'diff --prune: which';
is $r->{err}, $stays, 'diff --prune: what stays';
is_deeply state(), $before, 'diff --prune: nothing was changed';

$r = $ctl->run(qw(policy apply), $file);
is $r->{exit}, 0, 'apply';
is lines($r->{out}), lines($told =~ s/WOULD //gr), 'apply: what changed';

my $now = $ctl->must(qw(policy export))->{json};
is_deeply [sort keys %{ $now->{accounts}{$id}{teams} }],
    [qw(brand growth new)], 'apply: teams that are not named stay';
is_deeply $now->{accounts}{7}, $policy->{accounts}{7},
    'apply: accounts that are not named stay';
is state()->{'pinaud:credential:{main}'}{token},
    $before->{'pinaud:credential:{main}'}{token}, 'apply: tokens stay';

# reserves

my $reserving = { format => 1, credentials => {}, accounts => { 7 =>
    { credential => 'trial', limits => ['9/60s', '2/1s'],
        teams => { new => { reserve => 3 }, brand => { reserve => 0 } } } } };
done($ctl, 0, qr/team new of account 7: created\n  limit          none\n  reserve        3\n/,
    '', 'apply: a reserve', qw(policy apply), policy($reserving));
is state()->{'pinaud:account:7'}{reserved}, 3, 'apply: the sum of reserves';
is_deeply $ctl->must(qw(policy export))->{json}{accounts}{7}{teams},
    { new => { limits => [], reserve => 3 }, brand => { limits => [] } },
    'export: reserves';
$reserving->{accounts}{7}{teams} = { brand => { reserve => 7 } };
$r = $ctl->run(qw(policy apply), $file = policy($reserving));
is $r->{exit}, 1, 'apply: with those that stay, too much is reserved';
is $r->{err}, "$file: /accounts/7/limits: teams reserve 10 of it, and its limit "
    . "is 9/60s\npinaudctl: $file: 1 error, nothing was changed\n",
    'apply: and where';
is state()->{'pinaud:account:7'}{reserved}, 3, 'apply: nothing was changed';
$ctl->must(qw(policy apply --prune), policy($reserving));
is state()->{'pinaud:account:7'}{reserved}, 7, 'apply --prune: they go';
$ctl->must(qw(policy apply --prune), policy({ format => 1,
    credentials => {}, accounts => { 7 => $policy->{accounts}{7},
    $id => $now->{accounts}{$id}, 8 => $now->{accounts}{8} } }));
$file = policy($changed);

# --prune

$r = $ctl->run(qw(policy apply --prune --json), $file);
is $r->{exit}, 0, 'apply --prune';
is_deeply [map { join ' ', grep { defined } @$_{qw(action kind name account)} }
    @{ $r->{json}{changes} }], ["deleted team growth $id",
    'deleted team brand 7', 'deleted account 7'], 'apply --prune: what changed';
is $r->{err}, $stays, 'apply --prune: what stays';
is_deeply [sort keys %{ state() }], [sort qw(pinaud:accounts
    pinaud:credentials pinaud:credential:{main} pinaud:credential:{trial}
    pinaud:credential:{fresh} pinaud:account:8 pinaud:accounts:{main}
    pinaud:accounts:{fresh}), "pinaud:account:$id"], 'apply --prune: the keys';
done($ctl, 0, "Nothing to change.\n", $stays, 'apply --prune: again',
    qw(policy apply --prune), $file);

# from stdin

done($ctl, 0, "Nothing to change.\n", '', 'apply: from stdin',
    qw(policy apply -), { input => $json->encode($changed) });

# what a credential has when less is said

my %short = (
    'nothing' => [{}, 'standard', ['400/60s'], ['100/1s']],
    'tier' => [{ tier => 'trial' }, 'trial', ['300/1d'], []],
    'tier and limits' => [{ tier => 'trial', limits => ['9/1s'] }, 'trial',
        ['9/1s'], []],
    'no limits' => [{ tier => 'standard', limits => [], limits_all => [] },
        'standard', [], []],
    'custom' => [{ limits => ['1/1s'], limits_all => ['2/1s'] }, 'custom',
        ['1/1s'], ['2/1s']],
);

for my $name (sort keys %short) {
    my ($credential, $tier, $limits, $limits_all) = @{ $short{$name} };

    $ctl->must(qw(policy apply), policy({ format => 1, accounts => {},
        credentials => { fresh => $credential } }));
    is_deeply $ctl->must(qw(policy export))->{json}{credentials}{fresh},
        { tier => $tier, limits => $limits, limits_all => $limits_all },
        "a credential that says: $name";
}

# refused: each with its place, all in one go, and nothing is changed

$before = state();

my %refused = (
    '{"format": 1' => qr/policy\.json:1:\d+: /,
    '' => qr/policy\.json:1:0: /,
    'x' => qr/policy\.json:1:1: /,
    "{\n\"format\": 1,\n\"format\": 1}" => qr/policy\.json:3:\d+: duplicate/,
    '[]' => qr{policy\.json: /: must be an object},
    '{}' => qr{/format: must be 1\n.*/credentials: must be an object\n.*/accounts: must be an object\n.*3 errors, nothing was changed},
    '{"format": 2, "credentials": {}, "accounts": {}}' =>
        qr{/format: must be 1\n.*1 error, nothing was changed},
    '{"format": "1", "credentials": [], "accounts": 1, "more": 1}' =>
        qr{/more: is no member of a policy\n.*/format: must be 1\n.*/credentials: must be an object\n.*/accounts: must be an object\n},
    "{\"format\": 1, \"accounts\": {}, \"credentials\": {\"a\\u001bb\": {}}}" =>
        qr{/credentials/a\?b: is no name of a credential},
);

for my $text (sort keys %refused) {
    my $message = $refused{$text};
    for my $verb (qw(apply diff)) {
        done($ctl, 1, '', $message, "$verb: refused", 'policy', $verb,
            policy($text));
    }
}

my $bad = {
    format => 1,
    credentials => {
        'bad name' => {},
        'a/b~c' => {},
        none => [],
        some => { tier => 'gold' },
        odd => { tier => 1, token => 'x' },
        half => { tier => 'custom', limits => ['1/1s'] },
        main => { limits => ['1/1s', '2/1s', 3, '4', 'none'],
            limits_all => '100/1s' },
    },
    accounts => {
        x => {},
        '1' x 19 => {},
        5 => 1,
        6 => { credential => 1 },
        7 => { credential => 'a b', limits => {}, teams => [] },
        8 => { credential => 'main', teams => { 'a b' => {},
            c => { limits => ['1/0s'], reserve => 1.5, more => 1 }, d => 1,
            e => { reserve => 1000001 }, f => { reserve => '1' },
            g => { reserve => -1 } } },
        9 => { credential => 'main',
            limits => ['1/1s', '1/2s', '1/3s', '1/4s', '1/5s'] },
    },
};

my @errors = (
    '/credentials/bad name: is no name of a credential',
    '/credentials/a~1b~0c: is no name of a credential',
    '/credentials/none: must be an object',
    '/credentials/some/tier: must be standard, trial or custom',
    '/credentials/odd/token: is no member of a policy',
    '/credentials/odd/tier: must be standard, trial or custom',
    '/credentials/half: must have limits and limits_all: its tier is custom',
    '/credentials/main/limits/1: has the same window as another limit of the bucket',
    '/credentials/main/limits/2: must be a string, such as "400/60s"',
    '/credentials/main/limits/3: is not N/W, such as 400/60s',
    '/credentials/main/limits/4: is not N/W, such as 400/60s',
    '/credentials/main/limits_all: must be an array of limits',
    '/accounts/x: is no id of an account',
    '/accounts/1111111111111111111: is no id of an account',
    '/accounts/5: must be an object',
    '/accounts/6/credential: must be the name of a credential',
    '/accounts/7/credential: must be the name of a credential',
    '/accounts/7/limits: must be an array of limits',
    '/accounts/7/teams: must be an object',
    '/accounts/8/teams/a b: is no name of a team',
    '/accounts/8/teams/c/more: is no member of a policy',
    (map { "/accounts/8/teams/$_/reserve: must be an integer from 0 to 1000000" }
        qw(c e f g)),
    '/accounts/8/teams/c/limits/0: has a window that is not 1s to 1d',
    '/accounts/8/teams/d: must be an object',
    '/accounts/9/limits/4: is one limit too many: a bucket has at most 4',
);

$file = policy($bad);
$r = $ctl->run(qw(policy apply), $file);
is $r->{exit}, 1, 'apply: many errors';
is $r->{out}, '', 'apply: nothing on stdout';
is join("\n", sort split /\n/, $r->{err}), join("\n", sort
    ((map { "$file: $_" } @errors),
    "pinaudctl: $file: " . @errors . " errors, nothing was changed")),
    'apply: all of them';

$file = policy({ format => 1, credentials => {}, accounts => {
    1 => { credential => 'main' }, 2 => { credential => 'no' },
    3 => { credential => 'neither' } } });
$r = $ctl->run(qw(policy apply), $file);
is $r->{exit}, 1, 'apply: no such credentials';
is lines($r->{err}), lines("$file: /accounts/2/credential: is no credential, "
    . "neither here nor in Redis\n" . "$file: /accounts/3/credential: is no "
    . "credential, neither here nor in Redis\n"
    . "pinaudctl: $file: 2 errors, nothing was changed"), 'apply: which';

done($ctl, 1, '', qr/nofile: No such file/, 'apply: no file',
    qw(policy apply /nofile));
is_deeply state(), $before, 'refused: nothing was changed';

# a failure in the middle leaves all as it was: this user may not write one of
# the keys, the last in order

$redis->cmd(qw(ACL SETUSER half on >pw resetkeys +@all ~pinaud:accounts
    ~pinaud:credentials ~pinaud:accounts:* ~pinaud:credential:*),
    "~pinaud:account:$id", '~pinaud:account:8', '%R~pinaud:account:9');
my @half = ('--redis', "redis://half\@127.0.0.1:" . $redis->port,
    '--redis-password-file', $ctl->file('password', "pw\n"));

$file = policy({ format => 1, credentials => { fresh => { tier => 'trial' } },
    accounts => { $id => { credential => 'main', limits => ['1/1s'] },
        9 => { credential => 'main' } } });
done($ctl, 3, '', qr/refuses HSET pinaud:account:9: NOPERM \(this user of Redis may not do that\)/,
    'apply: a failure half-way', qw(policy apply), $file, @half);
is_deeply state(), $before, 'half-way: nothing was changed';
done($ctl, 0, qr/account 9: created/, '', 'and it was not the file',
    qw(policy apply), $file);

# somebody changes a record that was read, before all is done: read again

my $evil = Pinaud::EvilRedis->new($redis);

$ctl->must(qw(policy apply), policy({ format => 1, credentials => {},
    accounts => { 9 => { credential => 'main', limits => ['5/1s'] } } }));
$evil->mode('delay', seconds => 0.3, only => 'HGETALL');

my $run = $ctl->begin(qw(policy apply), "$ctl->{dir}/policy.json", '--redis',
    $evil->url);

ok wait_until(sub {
    grep { $_->[1] eq 'pinaud:account:9' } @{ $evil->commands('HGETALL') };
}, 10), 'at once: the account was read';

$redis->cmd(qw(HSET pinaud:account:9 limits 7/1));
$evil->mode('pass');

$r = $ctl->finish($run);
is $r->{exit}, 0, 'at once: done';
is $r->{out}, "account 9: changed\n  limit          7/1s → 5/1s\n  mac            wrong → right\n",
    'at once: from what is there';

# many at once

my %many = map { $_ => { credential => 'main', limits => ['5/60s'],
    teams => { a => {}, b => { limits => ['1/60s'] } } } } 1000 .. 2999;
$file = policy({ format => 1, credentials => {}, accounts => \%many });

$r = $ctl->run(qw(policy apply --json), $file);
is scalar @{ $r->{json}{changes} }, 6000, 'apply: 2000 accounts';
done($ctl, 0, "Nothing to change.\n", '', 'apply: again', qw(policy apply),
    $file);

done_testing;
