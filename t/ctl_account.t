#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl account and team.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Ctl;
use Test::More;

my $ctl = Pinaud::Ctl->new;
my $redis = $ctl->redis;
my $id = account;

sub record { return { @{ $redis->cmd('HGETALL', "pinaud:account:$_[0]") } } }
sub members { return join ' ', sort @{ $redis->cmd('SMEMBERS', $_[0]) } }

$ctl->must(qw(credential put), $_) for qw(main other);

# account put

done($ctl, 2, '', qr/account $id is new: it needs --credential NAME/,
    'put: new, of nobody', 'account', 'put', $id);
done($ctl, 1, '', qr/there is no credential no: "pinaudctl credential put no" makes it/,
    'put: no such credential', 'account', 'put', $id, '--credential', 'no');
is members('pinaud:accounts'), '', 'put: nothing was changed';

done($ctl, 0, "account $id: created\n  credential     main\n"
    . "  limit          none\n", '', 'put: new', 'account', 'put', $id,
    '--credential', 'main');
is_deeply record($id), { format => 1, credential => 'main', limits => '',
    mac => $ctl->seal->account_mac($id, 'main') }, 'put: the record';
is members('pinaud:accounts'), $id, 'put: in the set of all';
is members('pinaud:accounts:{main}'), $id, "put: in the credential's set";

done($ctl, 0, "account $id: changed\n  limit          none → 300/60s 9/1h\n",
    '', 'put: limits', 'account', 'put', $id,
    qw(--limit 300/60s --limit 9/1h));
done($ctl, 0, "Nothing to change.\n", '', 'put: the same', 'account', 'put',
    $id, qw(--credential main --limit 300/60s --limit 9/1h));
is record($id)->{limits}, '300/60 9/3600', 'put: limits in the record';

my $r = done($ctl, 0, qr/./, '', 'put --json', 'account', 'put', $id,
    qw(--credential other --limit none --json));
is_deeply $r->{json}, { changed => JSON::PP::true(), changes => [
    { kind => 'account', name => $id, action => 'changed', fields => [
        { field => 'credential', before => 'main', after => 'other' },
        { field => 'limit', before => '300/60s 9/1h', after => 'none' } ] } ] },
    'put --json: another credential';
is members('pinaud:accounts:{main}'), '', 'put: out of the old set';
is members('pinaud:accounts:{other}'), $id, 'put: in the new one';
$ctl->must('account', 'put', $id, '--credential', 'main');

my @wrong = (
    [qr/an account's id is 1 to 18 digits/, 'x'],
    [qr/an account's id is 1 to 18 digits/, '1' x 19],
    [qr/an account's id is 1 to 18 digits/, ''],
    [qr/a credential's name is 1 to 64/, $id, '--credential', 'a b'],
    [qr/--limit 1: is not N\/W/, $id, qw(--limit 1)],
);

for my $case (@wrong) {
    my ($message, @args) = @$case;
    done($ctl, 2, '', $message, "put: @args", 'account', 'put', @args);
}

# team put: several accounts at once, all or none

$ctl->must('account', 'put', $_, '--credential', 'other') for 7, 8;

done($ctl, 1, '', qr/there is no account 9: "pinaudctl account put 9 --credential NAME" makes it/,
    'team put: no such account', qw(team put growth --account 7 --account 9));
is_deeply [grep { /team/ } keys %{ record(7) }], [],
    'team put: nothing was changed';

done($ctl, 0, "team growth of account 7: created\n  limit          100/60s\n"
    . "team growth of account 8: created\n  limit          100/60s\n", '',
    'team put: two accounts',
    qw(team put growth --account 7 --account 8 --limit 100/60s));
is record(7)->{'team:growth'}, '100/60', 'team put: the record';
is record(7)->{'mac:growth'},
    $ctl->seal->team_mac(7, 'growth', 'other', '100/60'), 'team put: its mac';
done($ctl, 0, "team growth of account $id: created\n"
    . "  limit          none\n", '', 'team put: another account',
    qw(team put growth --account), $id);
is record($id)->{'team:growth'}, '', 'team put: no limits';
is record(7)->{'team:growth'}, '100/60', 'team put: others stay';

done($ctl, 0, "team growth of account 8: changed\n"
    . "  limit          100/60s → 5/1s\n", '', 'team put: limits of one',
    qw(team put growth --account 8 --limit 5/1s));
done($ctl, 0, "Nothing to change.\n", '', 'team put: nothing named',
    qw(team put growth --account 7 --account 8));

$ctl->must(qw(team put brand@eu --account 7));

@wrong = (
    [qr/team put needs --account ID/, 'growth'],
    [qr/a team's name is 1 to 64/, 'a b', '--account', 7],
    [qr/an account's id is 1 to 18/, 'growth', '--account', 'x'],
    [qr/--account 7 is given twice/, qw(growth --account 7 --account 7)],
    [qr/--limit 1: is not N\/W/, qw(growth --account 7 --limit 1)],
);

for my $case (@wrong) {
    my ($message, @args) = @$case;
    done($ctl, 2, '', $message, "team put: @args", 'team', 'put', @args);
}

# lists

done($ctl, 0, "ACCOUNT       CREDENTIAL  LIMIT  TEAMS\n"
    . "$id  main        none   1\n" . "7             other       none   2\n"
    . "8             other       none   1\n", '', 'account list',
    qw(account list));
$r = done($ctl, 0, qr/./, '', 'account list --json',
    qw(account list --json));
is_deeply $r->{json}[1], { account => '7', credential => 'other',
    limits => [], reserved => 0,
    teams => [{ team => 'brand@eu', limits => [], reserve => 0 },
        { team => 'growth', limits => ['100/60s'], reserve => 0 }] },
    'account list --json: one of them';

done($ctl, 0, "account        7\ncredential     other\nlimit          none\n\n"
    . "TEAM      LIMIT    RESERVE\nbrand\@eu  none     -\n"
    . "growth    100/60s  -\n", '',
    'account show', qw(account show 7));
is_deeply $ctl->run(qw(account show 7 --json))->{json}, $r->{json}[1],
    'account show --json: the same';
done($ctl, 1, '', qr/there is no account 9$/, 'account show: none',
    qw(account show 9));

done($ctl, 0, "TEAM      ACCOUNT       LIMIT    RESERVE\n"
    . "growth    $id  none     -\n"
    . "brand\@eu  7             none     -\n"
    . "growth    7             100/60s  -\n"
    . "growth    8             5/1s     -\n",
    '', 'team list', qw(team list));
is_deeply $ctl->run(qw(team list --account 8 --json))->{json},
    [{ team => 'growth', account => '8', limits => ['5/1s'],
        reserve => 0 }],
    'team list --account --json';
done($ctl, 1, '', qr/there is no account 9$/, 'team list: no such account',
    qw(team list --account 9));

# reserves

done($ctl, 1, '', "pinaudctl: account 8: teams reserve 20 of it, and it has no "
    . "limit\n", 'reserve: of no limit',
    qw(team put growth --account 8 --reserve 20));
$ctl->must(qw(account put 8 --limit 5/1s --limit 30/60s --limit 20/30s));
done($ctl, 0, "team growth of account 8: changed\n  reserve        20\n", '',
    'reserve: told', qw(team put growth --account 8 --reserve 20));
is record(8)->{'team:growth'}, '5/1 reserve=20', 'reserve: with the limits';
is record(8)->{reserved}, 20, 'reserve: the sum';
done($ctl, 0, "Nothing to change.\n", '', 'reserve: kept',
    qw(team put growth --account 8 --limit 5/1s));
done($ctl, 0, "team brand\@eu of account 8: created\n"
    . "  limit          none\n  reserve        10\n", '', 'reserve: all of it',
    qw(team put brand@eu --account 8 --reserve 10));
is record(8)->{'team:brand@eu'}, 'reserve=10', 'reserve: without limits';
is record(8)->{reserved}, 30, 'reserve: the sum of two';

my $before = record(8);
done($ctl, 1, '', "pinaudctl: account 8: teams reserve 31 of it, and its limit "
    . "is 30/60s\n", 'reserve: more than the longest limit',
    qw(team put growth --account 8 --reserve 21));
done($ctl, 1, '', qr/teams reserve 30 of it, and its limit is 29\/60s$/,
    'account put: a limit below the reserves',
    qw(account put 8 --limit 29/60s --limit 1000/1s));
done($ctl, 1, '', qr/teams reserve 30 of it, and its limit is 1\/1h$/,
    'account put: a longer one below them',
    qw(account put 8 --limit 30/60s --limit 1/1h));
done($ctl, 1, '', qr/teams reserve 30 of it, and it has no limit$/,
    'account put: none', qw(account put 8 --limit none));
done($ctl, 1, '', qr/account 7: teams reserve 5 of it, and it has no limit$/,
    'reserve: of two accounts, one without a limit',
    qw(team put growth --account 8 --account 7 --reserve 5));
is_deeply record(8), $before, 'reserve: nothing was changed';

for my $reserve (qw(1000001 01 -1 1.5 x)) {
    done($ctl, 2, '', qr/--reserve \Q$reserve\E: is not 1 to 1000000, or none$/,
        "reserve: '$reserve'", qw(team put growth --account 8 --reserve),
        $reserve);
}

done($ctl, 0, "account        8\ncredential     other\n"
    . "limit          5/1s 30/60s 20/30s\nreserved       30\n\n"
    . "TEAM      LIMIT  RESERVE\nbrand\@eu  none   10\n"
    . "growth    5/1s   20\n", '', 'account show: reserves',
    qw(account show 8));
is $ctl->run(qw(account show 8 --json))->{json}{reserved}, 30,
    'account show --json: their sum';
is_deeply [map { $_->{reserve} }
    @{ $ctl->run(qw(team list --account 8 --json))->{json} }], [10, 20],
    'team list --json: each';

done($ctl, 0, "team growth of account 8: changed\n"
    . "  reserve        20 → none\n", '', 'reserve: none',
    qw(team put growth --account 8 --reserve none));
is record(8)->{'team:growth'}, '5/1', 'reserve: out of the record';
is record(8)->{reserved}, 10, 'reserve: out of the sum';
$ctl->must(qw(team delete brand@eu --account 8));
is record(8)->{reserved}, undef, 'team delete: its reserve goes with it';
$ctl->must(qw(team put growth --account 8 --reserve 7));
done($ctl, 0, "team growth of account 8: changed\n"
    . "  reserve        7 → none\n", '', 'reserve: 0 is none',
    qw(team put growth --account 8 --reserve 0));
is record(8)->{reserved}, undef, 'reserve: no sum of nothing';
$ctl->must(qw(account put 8 --limit none));

for my $case ([reserved => 'x'], [reserved => 1000001],
    ['team:bad' => 'reserve=0'], ['team:bad' => 'reserve=1 5/60'])
{
    $redis->cmd('HSET', 'pinaud:account:8', @$case);
    done($ctl, 3, '', qr/pinaud:account:8 holds something else than it should: its $case->[0]$/,
        "a record with @$case", qw(account show 8));
    $redis->cmd('HDEL', 'pinaud:account:8', $case->[0]);
}

# delete

done($ctl, 1, '', "pinaudctl: account 7 is used by 2 teams: brand\@eu, growth\n",
    'account delete: in use', qw(account delete 7));
is record(7)->{credential}, 'other', 'account delete: nothing was changed';

done($ctl, 0, "team growth of account 8: deleted\n", '',
    'team delete: of one account', qw(team delete growth --account 8));
is_deeply record(8), { format => 1, credential => 'other', limits => '',
    mac => $ctl->seal->account_mac(8, 'other') }, 'team delete: out of the record';
done($ctl, 1, '', qr/there is no team growth on account 8/,
    'team delete: not there', qw(team delete growth --account 8));
done($ctl, 0, "team growth of account $id: deleted\n"
    . "team growth of account 7: deleted\n", '', 'team delete: of all',
    qw(team delete growth));
done($ctl, 1, '', qr/there is no team growth$/, 'team delete: gone',
    qw(team delete growth));
is record(7)->{'team:brand@eu'}, '', 'team delete: others stay';

$ctl->must(qw(team delete brand@eu));
done($ctl, 0, "account 7: deleted\n", '', 'account delete',
    qw(account delete 7));
done($ctl, 1, '', qr/there is no account 7/, 'account delete: gone',
    qw(account delete 7));
is_deeply record(7), {}, 'account delete: the record';
is members('pinaud:accounts'), "$id 8", 'account delete: the set of all';
is members('pinaud:accounts:{other}'), '8',
    "account delete: the credential's set";

# everything above left nothing behind but what is there

$ctl->must(qw(account delete), $_) for $id, 8;
$ctl->must(qw(credential delete), $_) for qw(main other);

my @left = @{ $redis->cmd('KEYS', '*') };
is_deeply [grep { !/^pinaud:(?:bucket|leased):\{(main|other)\}:\d+$/ } @left], [],
    'nothing is left but buckets';
is_deeply [grep { $redis->cmd('PTTL', $_) < 1 } @left], [],
    'and these end by themselves';

done($ctl, 0, "ACCOUNT  CREDENTIAL  LIMIT  TEAMS\n", '', 'an empty list',
    qw(account list));
is_deeply $ctl->run(qw(team list --json))->{json}, [], 'an empty list: JSON';

done_testing;
