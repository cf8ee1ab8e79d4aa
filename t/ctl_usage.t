#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl usage, and what becomes of the counts when policy changes. The
# charges are made with the script that the gateway uses.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Ctl;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep);

my $ctl = Pinaud::Ctl->new->enrol;
my $redis = $ctl->redis;
my $id = account;
my $store = project_dir() . '/src/store';
my $admit = slurp("$store/ring.lua") . slurp("$store/admit.lua");

# asks as a gateway does that has read this policy; the status is returned

sub admit {
    my ($credential, %opt) = @_;

    my $team = $opt{team} // 'growth';
    my $reply = $redis->cmd('EVAL', $admit, 11,
        "pinaud:credential:{$credential}", "pinaud:calls:{$credential}",
        "pinaud:writes:{$credential}", "pinaud:bucket:{$credential}:$id",
        "pinaud:bucket:{$credential}:$id:$team",
        "pinaud:reserve:{$credential}:$id:$team",
        "pinaud:shared:{$credential}:$id",
        "pinaud:leased-calls:{$credential}",
        "pinaud:leased-writes:{$credential}",
        "pinaud:leased:{$credential}:$id", "pinaud:cooldown:{$credential}",
        'charge', 0, 'test',
        $opt{account} // '', $opt{limits} // '', 1, $opt{reserves} // '0 0');

    return (split / /, $reply->[0])[0];
}

# used{bucket}[limit] = used

sub used {
    my $r = $ctl->must('usage', @_, '--json');
    my %used;

    for my $bucket (@{ $r->{json} }) {
        my $name = join ' ', grep { defined } @$bucket{qw(bucket credential
            account team)};
        $used{$name} = [map { $_->{used} } @{ $bucket->{limits} }];
    }

    return \%used;
}

$ctl->must(qw(account put), $id, qw(--limit 20/60s --limit 1000/1h));
$ctl->must(qw(team put growth --account), $id, qw(--limit 10/60s));
$ctl->must(qw(team put brand --account), $id);
$ctl->must(qw(account put 7 --credential main));

my %growth = (account => '20/60 1000/3600', limits => '10/60');

is admit('main', %growth), 0, 'a charge' for 1 .. 4;
is admit('main', %growth, team => 'brand', limits => ''), 0, 'another team';

is_deeply used(), { 'writes main' => [5], 'calls main' => [5],
    "account main $id" => [5, 5], "team main $id growth" => [4],
    "team main $id brand" => [], 'account main 7' => [] }, 'usage: all';
is_deeply [sort keys %{ used($id) }], [sort grep { !/ 7$/ } keys %{ used() }],
    'usage: of an account, its credential and teams';

my $r = done($ctl, 0, qr/^BUCKET +LIMIT +USED +LEFT +RESET\n/, '', 'usage',
    'usage');

like $r->{out}, qr/^$_$/m, "usage: $_" for
    'credential main +400\/60s +5 +395 +(1m \d+s|\d+\.\ds)',
    'credential main, all calls +100\/1s +\d+ +\d+ +\S.*',
    "account $id +20\\/60s +5 +15 +(1m \\d+s|\\d+\\.\\ds)",
    "account $id +1000\\/1h +5 +995 +(1h \\d+m|59m \\d+s)",
    "account $id, team growth +10\\/60s +4 +6 +(1m \\d+s|\\d+\\.\\ds)",
    "account $id, team brand +none +- +- +-", 'account 7 +none +- +- +-';

my ($bucket) = grep { ($_->{team} // '') eq 'growth' }
    @{ $ctl->must('usage', '--json')->{json} };
my $reset = delete $bucket->{limits}[0]{reset_ms};

is_deeply $bucket, { bucket => 'team', credential => 'main', account => $id,
    team => 'growth', limits => [{ limit => '10/60s', n => 10, window => 60,
        used => 4, left => 6 }] }, 'usage --json: a bucket';
ok $reset > 50000 && $reset <= 62250, 'usage --json: reset'
    or diag $reset;

# to look changes nothing

my $before = { map { $_ => $redis->cmd('GET', $_) }
    grep { /calls|writes|bucket/ } @{ $redis->cmd('KEYS', '*') } };
$ctl->must('usage') for 1 .. 3;
is_deeply { map { $_ => $redis->cmd('GET', $_) } keys %$before }, $before,
    'usage: the buckets stay as they are';

# a lowered limit: nothing left, and not less than that

$ctl->must(qw(team put growth --account), $id, qw(--limit 3/60s));
like $ctl->must('usage', $id)->{out}, qr/team growth +3\/60s +4 +0 /,
    'usage: more used than a lowered limit';

# another credential takes the counts along

$ctl->must(qw(credential put other --access-token-file -),
    { input => TOKEN });
$ctl->must(qw(account put), $id, qw(--credential other));

is_deeply used(), { 'writes main' => [5], 'calls main' => used()->{'calls main'},
    'writes other' => [0], 'calls other' => [0],
    "account other $id" => [5, 5], "team other $id growth" => [4],
    "team other $id brand" => [], 'account main 7' => [] },
    'moved: the counts came along';

is admit('main', %growth), 5, 'moved: who has read the old policy waits';
is admit('other', %growth, limits => '3/60'), 1,
    'moved: no new quota for the team';
is admit('other', %growth), 0, 'moved: what was left is there';
is_deeply used($id)->{"account other $id"}, [6, 6], 'moved: goes on counting';

# and back at once: the mark on the old buckets is off again, all is counted

$ctl->must(qw(account put), $id, qw(--credential main));
is_deeply used($id)->{"account main $id"}, [6, 6], 'moved back: all counts';
is admit('main', %growth), 0, 'moved back: and admitted again';
is admit('other', %growth), 5, 'moved back: the other waits';

# by a policy too

my $policy = $ctl->must(qw(policy export))->{json};
$policy->{accounts}{$id}{credential} = 'other';
my $file = $ctl->file('policy.json', JSON::PP->new->encode($policy));

$ctl->must(qw(policy apply), $file);
is_deeply used($id)->{"account other $id"}, [7, 7], 'moved by policy apply';

# a policy that is only looked at moves nothing

$policy->{accounts}{$id}{credential} = 'main';
$ctl->file('policy.json', JSON::PP->new->encode($policy));
is $ctl->run(qw(policy diff), $file)->{exit}, 1, 'diff: tells the move';
is admit('other', %growth), 0, 'diff: and does not begin it';

# reserves: told, and moved along

$ctl->must(qw(account put), $id, qw(--limit 50/30s --limit 20/60s));
$ctl->must(qw(team put brand --account), $id, qw(--reserve 4));

my %brand = (team => 'brand', account => '50/30 20/60', reserves => '4 4');
my $shared = used($id)->{"account other $id"}[1];

is_deeply used($id)->{"shared other $id"}, [$shared],
    'shared: begins with all that was used';
is_deeply used($id)->{"reserve other $id brand"}, [0], 'a reserve: nothing yet';
is admit('other', %brand), 0, 'a reserve is used';
is_deeply used($id)->{"reserve other $id brand"}, [1], 'and told';
is_deeply used($id)->{"shared other $id"}, [$shared], 'instead of what is shared';

my $text = $ctl->must('usage', $id)->{out};
like $text, qr/^account $id, shared +16\/60s +$shared +/m, 'usage: shared';
like $text, qr/^account $id, team brand, reserve +4\/60s +1 +3 +/m,
    'usage: the reserve';

$ctl->must(qw(account put), $id, qw(--credential main));
is_deeply [@{ used($id) }{"reserve main $id brand", "shared main $id"}],
    [[1], [$shared]], 'moved: reserves came along';
is admit('other', %brand), 5, 'moved: who has read the old policy waits';
is admit('main', %brand), 0, 'moved: and then goes on';
$ctl->must(qw(account put), $id, qw(--credential other));
$ctl->must(qw(team put brand --account), $id, qw(--reserve none));

# cooldowns

my $now = ($redis->cmd('TIME'))->[0] * 1000;

done($ctl, 0, "Nothing to change.\n", '', 'cooldown clear: none',
    qw(cooldown clear other));
$redis->cmd('HSET', 'pinaud:cooldown:{other}', writes => $now + 90_000,
    all => $now + 30_000);
is admit('other', %growth), 1, 'cooldown: nothing goes';
like $ctl->must('usage', $id)->{out},
    qr/^credential other +cooldown +- +0 +1m \d+s\ncredential other, all calls +cooldown +- +0 +[23]\d\.\ds$/m,
    'usage: cooldowns';
$r = $ctl->must('usage', $id, '--json')->{json};
is_deeply [map { "$_->{bucket} $_->{limits}[0]{left}" }
    grep { $_->{bucket} =~ /cooldown/ } @$r],
    ['cooldown 0', 'cooldown-all 0'], 'usage --json: cooldowns';
like $ctl->must(qw(credential show other))->{out},
    qr/^cooldown +until \d{4}-.*Z \(in 1m \d+s\)\ncooldown-all +until .*Z \(in [23]\d\.\ds\)$/m,
    'credential show: cooldowns';
$r = $ctl->must(qw(credential show other --json))->{json};
like "@$r{qw(cooldown cooldown_all)}", qr/^(\d{4}-[^ ]*Z) (?!\1)\d{4}-[^ ]*Z$/,
    'credential show --json: cooldowns';
done($ctl, 0, qr/\Acooldown other: deleted\n  writes +until .* → none\n  all calls +until .* → none\n\z/,
    '', 'cooldown clear', qw(cooldown clear other));
is $redis->cmd('EXISTS', 'pinaud:cooldown:{other}'), 0, 'cooldown clear: gone';
is admit('other', %growth), 0, 'cooldown clear: on it goes';
unlike $ctl->must('usage')->{out}, qr/cooldown/, 'usage: none is told';
is $ctl->must(qw(credential show other --json))->{json}{cooldown}, undef,
    'credential show --json: none';

# one of a clock that was set back since is none
$redis->cmd('HSET', 'pinaud:cooldown:{other}', writes => $now + 180_000);
unlike $ctl->must('usage')->{out}, qr/cooldown/, 'usage: later than any can end';
$redis->cmd('HSET', 'pinaud:cooldown:{other}', writes => 'x');
done($ctl, 3, '', qr/pinaud:cooldown:\{other\} holds something else than a cooldown/,
    'usage: a damaged cooldown', 'usage', $id);
$redis->cmd('DEL', 'pinaud:cooldown:{other}');

done($ctl, 1, '', qr/there is no credential none$/,
    'cooldown clear: no such credential', qw(cooldown clear none));
done($ctl, 2, '', qr/a credential's name is 1 to 64/, 'cooldown clear: no name',
    'cooldown', 'clear', 'a b');

# changed limits and deleted teams give no new quota

$ctl->must(qw(account put), $id, qw(--limit 30/30s));
is_deeply used($id)->{"account other $id"}, [11], 'a new window starts full';
$ctl->must(qw(team delete growth));
$ctl->must(qw(team put growth --account), $id, qw(--limit 10/60s));
is_deeply used($id)->{"team other $id growth"}, [8],
    'a team made anew goes on counting';

# again and again: as many tables, or lines of JSON, as seconds

for my $json (0, 1) {
    my $run = $ctl->begin('usage', $id, '--watch', $json ? '--json' : ());

    ok wait_until(sub {
        (() = slurp($run->{out}->filename) =~ /^\[|^BUCKET/mg) >= 2
    }, 5), 'watch: a second time';
    is admit('other', %growth, account => '30/30'), 0, 'watch: a charge';
    my $used = used($id)->{"account other $id"}[0];
    sleep 1.2;
    kill 'INT', $run->{pid};

    my $r = $ctl->finish($run);
    is "$r->{exit} $r->{err}", '0 ', 'watch: Ctrl-C ends it well';
    unlike $r->{out}, qr/\e/, 'watch: nothing for a terminal';

    if ($json) {
        my @all = map { JSON::PP::decode_json($_) } split /\n/, $r->{out};
        my ($last) = grep { $_->{bucket} eq 'account' } @{ $all[-1] };

        cmp_ok scalar(@all), '>=', 3, 'watch: a document a line';
        is $last->{limits}[0]{used}, $used, 'watch: the last tells the charge';
        is_deeply [map { sort keys %$_ } @{ $all[0] }],
            [map { sort keys %$_ } @{ $ctl->must('usage', $id, '--json')->{json} }],
            'watch: each is what usage tells';

    } else {
        my @all = split /\n\n/, $r->{out};

        cmp_ok scalar(@all), '>=', 3, 'watch: tables';
        like $_, qr/\A\d{4}-\S+Z\nBUCKET +LIMIT +USED +LEFT +RESET\ncredential other /,
            'watch: with the time' for @all;
        like $all[-1], qr/^account $id +30\/30s +$used /m,
            'watch: the last tells the charge';
    }
}

# on a terminal: "script" makes one

sub terminal {
    my ($keys, $columns, $command) = @_;

    my $typed = join '; ', map { "sleep $_->[0]; printf '$_->[1]'" } @$keys;
    my ($exit, $output) = run_command(['sh', '-c', "($typed; sleep 0.3)"
        . ' | timeout 15 script -qec "$COMMAND" /dev/null'], env => {
        COMMAND => "trap : INT; stty cols $columns rows 20; stty -g; $command; echo exit \$?;"
            . ' stty -g', PINAUD_REDIS => $redis->url, PINAUD_ENV_FILE => '',
        LC_ALL => 'C.UTF-8', TERM => 'xterm', SHELL => '/bin/sh' });

    return $output =~ tr/\r//dr;
}

my $binary = Pinaud::Ctl->binary;
my @interrupt = ([0.6, '\003']);
my $seen = terminal([[2.4, '\\003']], 100, "$binary usage $id --watch");
my ($before_it, $drawn, $exit, $after) = $seen
    =~ /^([0-9a-f:]+)\n(.*)exit (\d+)\n([0-9a-f:]+)\n/ms;

is $exit, 0, 'terminal: Ctrl-C ends it well' or diag $seen;
is $after, $before_it, 'terminal: is restored';
like $drawn, qr/\A\e\[\?25l.*\e\[\?25h/s, 'terminal: the cursor comes back';
is((() = $drawn =~ /\e\[\?7l/g), (() = $drawn =~ /\e\[\?7h/g),
    'terminal: lines wrap again');
cmp_ok scalar(() = $drawn =~ /\e\[\?7l\e\[\d+Apinaudctl usage $id /g), '>=', 2,
    'terminal: drawn again in place';

my ($first) = $drawn =~ /(pinaudctl usage.*?)\e\[J/s;
my ($up) = $drawn =~ /\e\[(\d+)A/;
is $up, (() = $first =~ /\n/g), 'terminal: over all that was drawn';

$first =~ s/\e\[[0-9;?]*[A-Za-z]//g;
utf8::decode($first);
my ($bar) = $first =~ /^account $id +30\/30s +([\x{2588}-\x{258f}]+\x{b7}+) +1\d /m;
ok defined $bar, 'terminal: a bar' or diag $first;
unlike $first, qr/ none /, 'terminal: nothing without a limit';
is join(' ', grep { length > 99 } split /\n/, $first), '',
    'terminal: as wide as it is';

# a bar is as full as its limit
my %eighth = map { (chr(0x2590 - $_) => $_) } 1 .. 8;
my ($count) = $first =~ /^account $id .*? (\d+) +\d+ +\S+$/m;
my $eighths = 0;
$eighths += $eighth{$_} // 0 for split //, $bar // '';
is $eighths, int($count * 8 * length($bar // '') / 30), "a bar of $count/30";

like terminal([[0.4, 'x'], [0.1, 'q']], 80, "$binary usage --watch"),
    qr/exit 0$/m, 'terminal: q ends it, too';
unlike terminal(\@interrupt, 60, "NO_COLOR=1 $binary usage --watch"),
    qr/\e\[\d+m/, 'terminal: without colours';
like terminal(\@interrupt, 80, "LC_ALL=C $binary usage $id --watch"),
    qr/ \e\[3.m#+\e\[0m\e\[2m\.+/, 'terminal: without UTF-8';

# a narrow one: the bar and what is left are there

for my $utf8 (0, 1) {
    my ($dots, $mark) = $utf8 ? ("[\x{2588}-\x{258f}\x{b7}]", "\x{2026}")
        : ('[#.]', '~');
    my $narrow = terminal(\@interrupt, 40, ($utf8 ? '' : 'LC_ALL=C ')
        . "NO_COLOR=1 $binary usage $id --watch");
    utf8::decode($narrow);
    my @lines = map { /^(.*)\e\[K$/ ? $1 : () } split /\n/, $narrow;

    ok((grep { /^BUCKET +LIMIT +LEFT$/ } @lines), 'narrow: the columns')
        or diag $narrow;
    ok((grep { /^$mark\S*, team growth +10\/60s +$dots{6,} +\d+$/ } @lines),
        'narrow: a bar');
    is join('', grep { length > 39 && !/pinaudctl/ } @lines), '',
        'narrow: as wide as it is';
}

# what ends it otherwise

(undef, my $output) = run_command(['sh', '-c',
    "$binary usage --watch | head -n 1; true"],
    env => { PINAUD_REDIS => $redis->url });
like $output, qr/\A\d{4}-\S+Z\npinaudctl: cannot write to stdout\n\z/,
    'watch: nobody reads it';

# wrong

done($ctl, 1, '', qr/there is no account 9$/, 'usage: no such account',
    qw(usage 9));
done($ctl, 2, '', qr/an account's id/, 'usage: no account', qw(usage x));

$redis->cmd('SET', "pinaud:bucket:{other}:$id", 'junk');
done($ctl, 3, '', qr/refuses EVAL pinaud:bucket:\{other\}:$id: [A-Z]+/,
    'usage: a damaged bucket', qw(usage));
done($ctl, 3, '', qr/: [A-Z]+/, 'watch: a damaged bucket', qw(usage --watch));
done($ctl, 2, '', qr/--watch is given twice/, 'watch: twice',
    qw(usage --watch --watch));

my $run = $ctl->begin('usage', 7, '--watch');
wait_until(sub { slurp($run->{out}->filename) =~ /RESET/ }, 3);
$redis->stop;
$r = $ctl->finish($run);
is $r->{exit}, 3, 'watch: Redis goes away';
like $r->{err}, qr/^pinaudctl: Redis at /, 'watch: which is told';

done_testing;
