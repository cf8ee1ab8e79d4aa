#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The scripts that decide quota, one example after another.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; unshift @INC, "$FindBin::Bin/lib"; }

use Pinaud::Quota;


my $quota = Pinaud::Quota->new;
my $redis = $quota->redis;
my @call = (account => '549755885175', team => 'growth');
my $account_key = 'pinaud:bucket:{main}:549755885175';
my $team_key = "$account_key:growth";


sub begin { note $_[0]; $quota->begin(@_[1 .. $#_]) }
sub unchanged { $quota->unchanged(@_) }
sub slot_of { $quota->slot_of(@_) }
sub reset_of { $quota->reset_of(@_) }


###############################################################################

begin('an answer', limits => '400/60', limits_all => '100/1', version => 12,
    expires => 1_900_000_000);

is_deeply($redis->cmd('EVALSHA', $quota->{sha}{admit}, 11,
    $quota->keys_of(@call), $quota->args_of(@call,
        account_limits => '50/60 9/3600', team_limits => '20/86400')),
    [ join(' ', 0, $quota->now_ms, 12, 1_900_000_000,
        'c 100 1 99', reset_of(1), 'w 400 60 399', reset_of(60),
        'a 50 60 49', reset_of(60), 'a 9 3600 8', reset_of(3600),
        't 20 86400 19', reset_of(86400)), 'sealed of main' ],
    'all of it, in order');

is($quota->admit->{text}, join(' ', 0, $quota->now_ms, 12, 1_900_000_000,
    'c 100 1 98', reset_of(1)), 'a read counts as a call only');


begin('no limits');

is($quota->admit(@call)->{text}, '0 ' . $quota->now_ms . ' 7 0', 'admitted');
is_deeply($redis->cmd('KEYS', '*'), ['pinaud:credential:{main}'],
    'no buckets are made');


begin('over quota', limits => '400/60');

is($quota->admitted(3, @call, account_limits => '3/60'), 3, 'N are admitted');

unchanged(sub {
    my $reply = $quota->admit(@call, account_limits => '3/60');

    is($reply->{status}, 1, 'one more is refused');
    is($reply->{token}, '', 'without a token');
    is($reply->{limits}{a60}{remaining}, 0, 'none remains');
    is($reply->{limits}{a60}{reset}, reset_of(60), 'until the slot is over');
    is($reply->{limits}{w60}{remaining}, 397, 'the others stay');
}, 'a refusal');

my $wait = reset_of(60);
$quota->set(int($quota->now / 1000) * 1000);
$quota->pass(($wait - 1) / 1000);
is($quota->admitted(1, @call, account_limits => '3/60'), 0,
    'a millisecond before RESET: refused');
$quota->pass(0.001);
is($quota->admitted(4, @call, account_limits => '3/60'), 3,
    'at RESET: N again');


begin('RESET tells when REMAINING grows', limits_all => '10/60');

my $first = $quota->admit->{limits}{c60}{reset};
$quota->pass(20);
$quota->admit;
my $reply = $quota->admit;
is($reply->{limits}{c60}{remaining}, 7, 'three are used');
is($reply->{limits}{c60}{reset}, $first - 20000, 'the oldest goes first');
$quota->pass(($first - 20000) / 1000);
$reply = $quota->admit(mode => 'peek');
is($reply->{limits}{c60}{remaining}, 8, 'then it has gone');
is($reply->{limits}{c60}{reset}, 20250, 'and the next two are next');
$quota->pass(70);
is($quota->admit(mode => 'peek')->{text}, '0 ' . $quota->now_ms
    . ' 7 0 c 10 60 10 0', 'nothing used: RESET 0');


begin('peek', limits => '2/60', limits_all => '100/1');

unchanged(sub {
    is($quota->admit(@call, mode => 'peek', account_limits => '5/1')->{status},
        0, 'would be admitted');
}, 'a peek at no buckets');

$quota->admit(@call, account_limits => '5/1');

unchanged(sub {
    my $reply = $quota->admit(@call, mode => 'peek', account_limits => '5/1');

    is($reply->{status}, 0, 'would be admitted');
    is($reply->{token}, 'sealed of main', 'and gets the token');
    is($reply->{limits}{w60}{remaining}, 1, 'nothing is charged');
}, 'a peek');

$quota->admit(@call, account_limits => '5/1');

unchanged(sub {
    my $reply = $quota->admit(@call, mode => 'peek', account_limits => '5/1');

    is($reply->{status}, 1, 'would be refused');
    is($reply->{token}, '', 'and gets no token');

    $quota->pass(0.2);
    $quota->admit(@call, mode => 'peek', account_limits => '4/1 8/60');
    $quota->pass(-0.2);
}, 'a peek when slots and limits are others');


begin('report', limits => '2/60', limits_all => '100/1');

my @report = (@call, mode => 'report', account_limits => '5/1');

for my $left (1, 0) {
    $reply = $quota->admit(@report);
    is($reply->{status}, 0, 'within quota: admitted');
    is($reply->{limits}{w60}{remaining}, $left, 'and charged');
}

unchanged(sub {
    my $reply = $quota->admit(@report);

    is($reply->{status}, 1, 'over quota: told');
    is($reply->{token}, 'sealed of main', 'with the token');
    is($reply->{limits}{w60}{remaining}, 0, 'by its limit');
    is($reply->{limits}{a1}{remaining}, 3, 'nothing else is charged');
}, 'a report over quota');

$redis->cmd('HSET', 'pinaud:credential:{main}', 'expires', 1);
$reply = $quota->admit(@report);
is($reply->{status}, 3, 'an expired token is no quota');
is($reply->{token}, '', 'and not handed out');


begin('many at once', limits => '9/60', limits_all => '100/1');

my %many = (@call, account_limits => '5/60 50/1', count => 3);

unchanged(sub {
    my $reply = $quota->admit(%many, mode => 'peek', count => 8);

    is($reply->{admitted}, 5, 'five of eight would be');
    is($reply->{limits}{a60}{remaining}, 5, 'none is');
}, 'a peek');

$reply = $quota->admit(%many);
is($reply->{admitted}, 3, 'three of three');
is($reply->{limits}{a60}{remaining}, 2, 'two remain');
is($reply->{limits}{w60}{remaining}, 6, 'in each bucket');
$reply = $quota->admit(%many);
is($reply->{admitted}, 2, 'then two of three');
is($reply->{text}, '0 ' . $quota->now_ms . ' 7 0 c 100 1 95 ' . reset_of(1)
    . ' w 9 60 4 ' . reset_of(60) . ' a 5 60 0 ' . reset_of(60)
    . ' a 50 1 45 ' . reset_of(1), 'all or none for each');
is($reply->{token}, 'sealed of main', 'with the token');

unchanged(sub {
    my $reply = $quota->admit(%many);

    is($reply->{status}, 1, 'then over quota');
    is($reply->{admitted}, 0, 'none');
    is($reply->{token}, '', 'without a token');
    is($quota->admit(%many, deadline => 1)->{admitted}, 0, 'nor too late');
}, 'none of three');

is($quota->admit(count => 1)->{admitted}, 1, 'one of one');
is($quota->admit->{admitted}, undef, 'only told where it is asked');


begin('credentials without a token', limits_all => '5/60');

is($quota->admit(credential => 'other')->{text}, '2 ' . $quota->now_ms
    . ' 0 0', 'no record');
$redis->cmd('HDEL', 'pinaud:credential:{main}', 'token');
unchanged(sub {
    is($quota->admit->{text}, '2 ' . $quota->now_ms . ' 0 0', 'no token');
}, 'no token');
$redis->cmd('HSET', 'pinaud:credential:{main}', 'token', '');
is($quota->admit->{status}, 2, 'an empty token');


begin('expired tokens', limits_all => '5/60');

$quota->credential('main', expires => int($quota->now / 1e6) + 1);
is($quota->admit->{status}, 0, 'before');
$quota->set((int($quota->now / 1e6) + 1) * 1e6);
unchanged(sub {
    my $reply = $quota->admit;

    is($reply->{text}, '3 ' . $quota->now_ms . ' 7 '
        . int($quota->now / 1e6), 'at that second');
    is($reply->{token}, '', 'it is not handed out');
}, 'an expired token');


begin('deadlines', limits_all => '5/60');

is($quota->admit(deadline => $quota->now_ms + 1)->{status}, 0, 'before');
unchanged(sub {
    is($quota->admit(deadline => $quota->now_ms)->{text},
        '4 ' . $quota->now_ms . ' 0 0', 'at the deadline');
    is($quota->admit(deadline => 1)->{status}, 4, 'long after');
    is($quota->admit(mode => 'peek', deadline => 1)->{status}, 4, 'a peek');
}, 'too late');


begin('which status comes first', expires => 1, limits => '0/60');

$quota->run('move', [$account_key]);
is($quota->admit(@call, deadline => 1)->{status}, 4, 'too late');
is($quota->admit(@call)->{status}, 5, 'being moved');
$redis->cmd('DEL', $account_key);
is($quota->admit(@call)->{status}, 3, 'expired');
$redis->cmd('HDEL', 'pinaud:credential:{main}', 'token');
is($quota->admit(@call)->{status}, 2, 'no token');
$quota->credential('main', limits => '0/60');
is($quota->admit(@call)->{status}, 1, 'over quota');


begin('all or none');

for my $case (
    ['calls', { limits_all => '2/60' }, {}],
    ['writes', { limits => '2/60' }, {}],
    ['account', {}, { account_limits => '2/60' }],
    ['account, its second limit', {}, { account_limits => '9/1 2/60' }],
    ['team', {}, { team_limits => '2/3600' }],
) {
    my ($name, $record, $limits) = @$case;

    my %ask = (@call, account_limits => '50/60', team_limits => '50/1',
        %$limits);

    $redis->cmd('FLUSHALL');
    $quota->credential('main', limits => '50/60 40/1', limits_all => '50/3600',
        %$record);
    $quota->admitted(2, %ask);
    $quota->pass(0.3);

    unchanged(sub {
        is($quota->admit(%ask)->{status}, 1, "refused by $name");
    }, "refused by $name");
}


begin('limits of nothing and of very much');

my %none = (@call, team_limits => '0/60');
$reply = $quota->admit(%none, account_limits => '1000000/86400');
is($reply->{status}, 1, 'N 0 refuses');
is($reply->{limits}{t60}{reset}, 60000, 'and tells to wait a W');
is_deeply($redis->cmd('KEYS', 'pinaud:bucket*'), [], 'no buckets are made');
$reply = $quota->admit(@call, account_limits => '1000000/86400');
is($reply->{limits}{a86400}{remaining}, 999999, 'a million a day');


begin('another N applies at once');

is($quota->admitted(9, @call, account_limits => '6/60'), 6, 'six');
my $six = reset_of(60);
$quota->pass(10);
is($quota->admitted(9, @call, account_limits => '9/60'), 3, 'raised: the rest');
unchanged(sub {
    my $reply = $quota->admit(@call, account_limits => '4/60');

    is($reply->{status}, 1, 'lowered: refused');
    is($reply->{limits}{a60}{remaining}, 0, 'nothing remains');
    is($reply->{limits}{a60}{reset}, $six - 10000,
        'until the first six are gone');
    is($quota->admit(@call, account_limits => '3/60')->{limits}{a60}{reset},
        reset_of(60), 'or all, where the rest is still too much');
}, 'a lowered N');
$quota->pass($six / 1000 - 10);
is($quota->admitted(9, @call, account_limits => '4/60'), 1,
    'then there is room for one');


begin('another W starts with what was used');

is($quota->admitted(9, @call, account_limits => '5/60'), 5, 'five');
$quota->pass(30);
$reply = $quota->admit(@call, account_limits => '7/3600');
is($reply->{limits}{a3600}{remaining}, 1, 'longer: they count');
is($reply->{limits}{a3600}{reset}, reset_of(3600), 'as of now');
$quota->pass(120);
is($quota->admitted(9, @call, account_limits => '7/3600'), 1,
    'after the old W too');

begin('a shorter W');
is($quota->admitted(9, @call, account_limits => '500/3600'), 9, 'nine');
is($quota->admit(@call, account_limits => '5/60')->{status}, 1, 'too many');
$quota->pass(30);
$reply = $quota->admit(@call, account_limits => '5/60');
is($reply->{limits}{a60}{reset}, reset_of(60, int(30 / 0.75)),
    'the refusal began the new window');
$quota->pass($reply->{limits}{a60}{reset} / 1000);
is($quota->admitted(9, @call, account_limits => '5/60'), 5, 'then N again');

begin('limits come and go');
is($quota->admitted(4, @call, account_limits => '9/60'), 4, 'one limit');
$reply = $quota->admit(@call, account_limits => '5/1 9/60');
is($reply->{limits}{a60}{remaining}, 4, 'one more limit: the first goes on');
is($reply->{limits}{a1}{remaining}, 0, 'the second begins with the same');
$quota->pass(5);
$reply = $quota->admit(@call, account_limits => '9/60 5/1');
is($reply->{limits}{a60}{remaining}, 3, 'another order');
is($reply->{limits}{a1}{remaining}, 4, 'means nothing');
$reply = $quota->admit(@call, account_limits => '9/60');
is($reply->{limits}{a60}{remaining}, 2, 'one less: the other goes on');


begin('the clock is set back');

is($quota->admitted(9, @call, account_limits => '5/60'), 5, 'N');
$quota->pass(-3600);
is($quota->admit(@call, account_limits => '5/60', mode => 'peek')
    ->{limits}{a60}{reset}, reset_of(60), 'dated anew');
is($quota->admitted(9, @call, account_limits => '5/60'), 0, 'nothing extra');
$quota->pass(30);
is($quota->admitted(9, @call, account_limits => '5/60'), 0, 'nor later');
$quota->pass(33);
is($quota->admitted(9, @call, account_limits => '5/60'), 5,
    'and it recovers in W, though all were refused meanwhile');

$redis->cmd('DEL', $account_key);
my $late = $quota->admit(@call, account_limits => '5/60')->{now};
$quota->pass(-30);
$quota->admit(@call, account_limits => '5/60');
$quota->pass(30);
$quota->admit(@call, account_limits => '5/60');
is($quota->run('refund', [$account_key, 'mark'], [$late, 1000]), 0,
    'a charge before that is not given back, since others are dated so now');


begin('idle keys expire');

my %window = ('1/1' => 1, '1/60' => 60, '1/1 1/86400' => 86400);
for my $limits (sort keys %window) {
    my $w = $window{$limits};

    $redis->cmd('DEL', $account_key);
    $quota->admit(@call, account_limits => $limits);

    my $ttl = $redis->cmd('PTTL', $account_key);
    cmp_ok($ttl, '>=', reset_of($w), "$limits: kept while it counts");
    cmp_ok($ttl, '<=', $w * 1060, "$limits: and hardly longer");

    # Later in the same slot
    $quota->set((slot_of($w) + 1) * $w * 12500 - 1);
    $quota->admit(@call, account_limits => $limits =~ s/^1/2/r);
    cmp_ok($redis->cmd('PTTL', $account_key), '>=', reset_of($w),
        "$limits: to the slot's end");

    $quota->pass($w * 1.06);
    is($redis->cmd('EXISTS', $account_key), 0, "$limits: then it goes");
}


begin('memory', limits_all => '1000000/60');

for my $n (1, 400, 1_000_000) {
    for my $limits ("$n/60", "$n/1 $n/60 $n/3600 $n/86400") {
        my $count = () = $limits =~ /\//g;

        $redis->cmd('DEL', $account_key);

        for (1 .. 200) {
            $quota->admit(@call, account_limits => $limits);
            $quota->pass(0.75);
        }

        my $used = $redis->cmd('MEMORY', 'USAGE', $account_key);
        cmp_ok($used, '<=', 512 * $count,
            "$count limits of $n: $used bytes, at most 512 each");
    }
}


begin('a script flush', limits_all => '5/60');

is($quota->admitted(3), 3, 'three before');
$redis->cmd('SCRIPT', 'FLUSH');
like($quota->refused('admit', [$quota->keys_of], [$quota->args_of]),
    qr/^NOSCRIPT/, 'Redis forgot the script');
$redis->cmd('EVAL', $quota->{text}{admit}, 4, $quota->keys_of,
    $quota->args_of);
is($quota->admitted(5), 1, 'but no count');
$quota->load;


###############################################################################

begin('refunds', limits => '50/60', limits_all => '50/1');

my %ask = (@call, account_limits => '5/60 9/3600', team_limits => '5/1');
my @buckets = ($quota->keys_of(%ask))[1 .. 4];

sub refund {
    my ($id, $at) = @_;

    return $quota->run('refund', [@buckets, "pinaud:refund:{main}:$id"],
        [$at, 60000]);
}

$quota->admit(%ask);
my $before = $quota->snapshot;
my $at = $quota->admit(%ask)->{now};
is(refund('a', $at), 1, 'given back');
is($redis->cmd('PTTL', 'pinaud:refund:{main}:a'), 60000, 'the mark expires');
unchanged(sub { is(refund('a', $at), 0, 'not twice') }, 'a second refund');
$redis->cmd('DEL', 'pinaud:refund:{main}:a');
is_deeply($quota->snapshot, $before, 'as if it had not been');

$quota->pass(0.4);
is(refund('b', $at), 1, 'given back later');
$redis->cmd('DEL', 'pinaud:refund:{main}:b');
is(refund('c', $at), 0, 'never below none');
is($quota->admit(%ask, mode => 'peek')->{limits}{a60}{remaining}, 5,
    'all is there again');

$quota->admit(%ask);
$quota->pass(10);
$at = $quota->admit(%ask)->{now};
$quota->pass(10);
$reply = $quota->admit(%ask);
my $last = reset_of(60);
is(refund('d', $at), 1, 'from the middle');
$wait = $reply->{limits}{a60}{reset};
$quota->pass($wait / 1000);
is($quota->admit(%ask, mode => 'peek')->{limits}{a60}{reset}, $last - $wait,
    'the last is next');

begin('a refund after its deadline');
$at = $quota->admit(@call, account_limits => '5/60')->{now};
@buckets = ($quota->keys_of(@call, account_limits => '5/60'))[1 .. 3];

sub refund_by {
    return $quota->run('refund', [@buckets, 'pinaud:refund:{main}:d'],
        [$at, 60000, $_[0]]);
}

unchanged(sub { is(refund_by($at), 0, 'does nothing') }, 'a late refund');
is($redis->cmd('EXISTS', 'pinaud:refund:{main}:d'), 0, 'nor is it marked');
is(refund_by($at + 1), 1, 'within it');

begin('a refund of the oldest');
@buckets = ($quota->keys_of(%ask))[1 .. 4];
$at = $quota->admit(@call, account_limits => '5/60')->{now};
$quota->pass(20);
$quota->admit(@call, account_limits => '5/60');
refund('a', $at);
$quota->pass(1);
$reply = $quota->admit(@call, account_limits => '5/60', mode => 'peek');
is($reply->{limits}{a60}{remaining}, 4, 'one is left');
is($reply->{limits}{a60}{reset}, reset_of(60, 1), 'the younger one');

begin('a slot that begins within the millisecond');
$quota->set((slot_of(1) + 3) * 12500);
$quota->pass(0.0125) while $quota->now % 1000 == 0;
my $edge = $quota->now;
$at = $quota->admit(limits => '', @call, account_limits => '5/1')->{now};
is($at, int($edge / 1000), 'told in whole milliseconds');
is(refund('a', $at), 1, 'is found');

begin('a refund after the window');
$at = $quota->admit(@call, account_limits => '5/60')->{now};
$quota->pass(62);
$quota->admit(@call, account_limits => '5/60');
is(refund('a', $at), 0, 'gives nothing back');
is($quota->admit(@call, account_limits => '5/60')->{limits}{a60}{remaining},
    3, 'of others');


###############################################################################

begin('usage');

my %use = (@call, account_limits => '5/60 9/3600');
is_deeply($quota->run('usage', [$account_key], ['5/60 9/3600']),
    [5, 60, 0, 0, 9, 3600, 0, 0], 'nothing');
$quota->admitted(3, %use);
my @ends = (reset_of(60), reset_of(3600));
$quota->pass(10);
unchanged(sub {
    is_deeply($quota->run('usage', [$account_key], ['2/60 9/3600']),
        [2, 60, 3, $ends[0] - 10000, 9, 3600, 3, $ends[1] - 10000], 'three');
    is_deeply($quota->run('usage', [$account_key], ['']), [], 'no limits');
}, 'usage');


###############################################################################

begin('an account moves');

$quota->credential('other', limits_all => '100/60');
my $there = 'pinaud:bucket:{other}:549755885175';
my @from = ($account_key, $team_key, "$account_key:idle");
my @to = ($there, "$there:growth", "$there:idle");
my %limits = (account_limits => '5/60', team_limits => '9/3600');

$quota->admitted(2, @call, %limits);
$quota->pass(20);
$quota->admit(@call, %limits);
$before = $quota->admit(@call, %limits, mode => 'peek')->{limits};

my $values = $quota->run('move', \@from);
is(scalar @$values, 3, 'a value for each bucket');
is($values->[2], '', 'an empty one where there was none');

unchanged(sub {
    is($quota->admit(@call, %limits)->{text}, '5 ' . $quota->now_ms . ' 0 0',
        'nothing goes through meanwhile');
    is($quota->admit(@call, %limits, team => 'idle')->{status}, 5,
        'nor of a team that was idle');
    is($quota->admit->{status}, 0, 'the credential goes on');
}, 'a move');

is($quota->run('carry', \@to, $values), 2, 'two buckets carried');
is_deeply($quota->admit(@call, %limits, credential => 'other',
    mode => 'peek')->{limits}{a60}, $before->{a60}, 'as they were: account');
is_deeply($quota->admit(@call, %limits, credential => 'other',
    mode => 'peek')->{limits}{t3600}, $before->{t3600}, 'team');

unchanged(sub { $quota->run('carry', \@to, $values) }, 'carried twice');

is($quota->admitted(5, @call, %limits, credential => 'other'), 2,
    'the rest is admitted there');

note 'and back within the ten seconds';
$quota->pass(3);
$values = $quota->run('move', \@to);
is($quota->admit(@call, %limits, credential => 'other')->{status}, 5, 'marked');
is($quota->admit(@call, %limits)->{status}, 5, 'the first mark stands');
$quota->run('carry', \@from, $values);
$reply = $quota->admit(@call, %limits);
is($reply->{status}, 1, 'the mark is gone, the counts are not');
is($reply->{limits}{t3600}{remaining}, 4, 'nothing is counted twice');
is($quota->admit(@call, %limits, team => 'idle', account_limits => '')
    ->{status}, 0, 'nor does an idle team stay marked');
$quota->pass(39.5);
is($quota->admit(@call, %limits, mode => 'peek')->{limits}{a60}{remaining}, 2,
    'each goes when its time is over');


begin('an interrupted move');

$quota->credential('other');
$quota->admitted(2, @call, %limits);
$values = $quota->run('move', \@from);
$quota->pass(9.999);
is($quota->admit(@call, %limits)->{status}, 5, 'stands for ten seconds');
$quota->pass(0.001);
$reply = $quota->admit(@call, %limits);
is($reply->{status}, 0, 'then it is over');
is($reply->{limits}{a60}{remaining}, 2, 'with all counts');
$quota->run('carry', \@to, $values);
$values = $quota->run('move', \@from);
$quota->run('carry', \@to, $values);
is($quota->admit(@call, %limits, credential => 'other')->{limits}{a60}
    {remaining}, 1, 'made a second time, nothing is counted twice');

$quota->run('move', \@to);
$quota->run('carry', \@from, $quota->run('move', \@to));
is($quota->admit(@call, %limits)->{status}, 0, 'a mark is not carried');


begin('a mark of a short window');

$quota->admit(@call, account_limits => '5/1');
$quota->run('move', [$account_key]);
$quota->pass(5);
is($quota->admit(@call, account_limits => '5/1')->{status}, 5,
    'outlives the window');
$quota->pass(-3600);
is($quota->admit(@call, account_limits => '5/1')->{status}, 0,
    'but not a clock that is set back');


begin('other windows carried');

$quota->credential('other');
$quota->admitted(3, @call, account_limits => '5/60');
$quota->admitted(2, @call, credential => 'other', account_limits => '5/1 8/60');
$quota->pass(1);
$quota->run('carry', [$there], $quota->run('move', [$account_key]));
$reply = $quota->admit(@call, credential => 'other',
    account_limits => '5/1 8/60', mode => 'peek');
is($reply->{limits}{a60}{remaining}, 5, 'the higher count of a slot');
is($reply->{limits}{a1}{remaining}, 2, 'one that did not come begins with it');
$quota->run('carry', [$there], ['']);
is($quota->admit(@call, credential => 'other', account_limits => '8/60',
    mode => 'peek')->{limits}{a60}{remaining}, 5,
    'and stays where nothing comes');


###############################################################################

# What is not ours is an error and stays as it is.

begin('corrupt buckets');

$quota->admitted(2, @call, account_limits => '5/60');
my $value = $redis->cmd('GET', $account_key);

my %corrupt = (
    'empty' => '',
    'a number' => '42',
    'cut off' => substr($value, 0, -1),
    'longer' => "$value\0",
    'another format' => "\2" . substr($value, 1),
    'a window of 0' => substr($value, 0, 13) . "\0\0\0" . substr($value, 16),
    'a window over a day and a lease' => substr($value, 0, 13) . "\xbd\x51\1"
        . substr($value, 16),
    'an age over all slots' => substr($value, 0, 22) . "\x53"
        . substr($value, 23),
    'slots over the total' => substr($value, 0, 23) . "\1\0\0"
        . substr($value, 26),
    'five rings' => substr($value, 0, 13) . substr($value, 13, 16) x 5
        . substr($value, 29) x 5,
);

for my $name (sort keys %corrupt) {
    $redis->cmd('SET', $account_key, $corrupt{$name});

    unchanged(sub {
        my @error = (
            $quota->refused('admit', [$quota->keys_of(@call)],
                [$quota->args_of(@call, account_limits => '5/60')]),
            $quota->refused('refund', [$account_key, 'mark'], [1, 1000]),
            $quota->refused('usage', [$account_key], ['5/60']),
            $quota->refused('move', [$team_key, $account_key]),
            $quota->refused('carry', [$there], [$corrupt{$name} || "\0"]),
            $quota->refused('carry', [$account_key], ['']),
        );

        is(scalar(grep { /^PINAUD corrupt bucket pinaud:bucket:/ } @error), 6,
            "$name: told by every script") or diag explain \@error;
    }, $name);
}

# slots that leave hold more than the total
$redis->cmd('SET', $account_key, substr($value, 0, 22) . "\x52"
    . "\1\0\0\1\0\0" . "\x09" x 246);
$quota->pass(10);
like($quota->refused('admit', [$quota->keys_of(@call)],
    [$quota->args_of(@call, account_limits => '5/60')]),
    qr/^PINAUD corrupt bucket/, 'a total less than its slots');


begin('values of another type');

$redis->cmd('HSET', $team_key, 'a', 'b');
unchanged(sub {
    like($quota->refused('admit', [$quota->keys_of(@call)],
        [$quota->args_of(@call, account_limits => '5/60',
            team_limits => '5/60')]), qr/^WRONGTYPE/, 'a hash for a bucket');
}, 'a hash');
$redis->cmd('DEL', 'pinaud:credential:{main}');
$redis->cmd('SET', 'pinaud:credential:{main}', 'x');
like($quota->refused('admit', [$quota->keys_of], [$quota->args_of]),
    qr/^WRONGTYPE/, 'a string for a record');


begin('corrupt records');

for my $case (['format', 2], ['format', ''], ['version', 'x'],
    ['version', ''], ['expires', '-1'], ['expires', '1e9'], ['expires', ''])
{
    $quota->credential('main', format => 1, version => 1, expires => 0,
        limits_all => '5/60', $case->[0] => $case->[1]);

    unchanged(sub {
        like($quota->refused('admit', [$quota->keys_of], [$quota->args_of]),
            qr/^PINAUD corrupt record pinaud:credential:\{main\}/,
            "$case->[0] '$case->[1]'");
    }, "$case->[0] '$case->[1]'");
}


begin('limits that are none', limits_all => '5/60');

for my $limits ('x', '5', '5/', '/60', '5/60,5/1', '5/60  5/1', ' 5/60',
    '-1/60', '5/0', '5/86401', '1000001/60', '5.5/60', '5/60s',
    '1/1 1/2 1/3 1/4 1/5', '5/60 6/60', '5/60 5/1 5/60')
{
    unchanged(sub {
        for my $kind ('account_limits', 'team_limits') {
            like($quota->refused('admit', [$quota->keys_of(@call)],
                [$quota->args_of(@call, $kind => $limits)]),
                qr/^PINAUD (bad|two) limits/, "$kind '$limits'");
        }

        like($quota->refused('usage', [$account_key], [$limits]),
            qr/^PINAUD (bad|two) limits/, "usage '$limits'");
    }, "'$limits'");
}

for my $limits ('5', '5/60 6/60') {
    $quota->credential('main', limits_all => $limits);
    like($quota->refused('admit', [$quota->keys_of], [$quota->args_of]),
        qr/^PINAUD (bad|two) limits/, "of a credential '$limits'");
}


begin('arguments that are none', limits_all => '5/60');

unchanged(sub {
    for my $case (
        ['admit', [$quota->keys_of], ['spend', 0, 'id']],
        ['admit', [$quota->keys_of], ['charge', 'x', 'id']],
        ['admit', [$quota->keys_of], ['charge', 0]],
        ['admit', [$quota->keys_of], ['charge', 0, 'id', '', '', 0]],
        ['admit', [$quota->keys_of], ['charge', 0, 'id', '', '', 1.5]],
        ['admit', [$quota->keys_of], ['charge', 0, 'id', '', '', 'x']],
        ['admit', [$quota->keys_of(@call)], ['charge', 0, 'id', '']],
        ['admit', [($quota->keys_of)[0]], ['charge', 0, 'id']],
        ['refund', [@buckets, 'mark'], ['x', 1]],
        ['refund', [@buckets, 'mark'], [1, 0]],
        ['refund', [@buckets, 'mark'], [1, 1, 'x']],
    ) {
        like($quota->refused(@$case), qr/^PINAUD bad arguments/,
            "$case->[0] @{ $case->[2] }");
    }
}, 'bad arguments');


done_testing();
