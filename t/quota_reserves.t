#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# An account's limit split into its teams' reserves and what they share.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; unshift @INC, "$FindBin::Bin/lib"; }

use Pinaud::Quota;


my $quota = Pinaud::Quota->new;
my $redis = $quota->redis;
my ($reply, $at);

my $seed = $ENV{PINAUD_SEED} // int(rand(1 << 31));
note "seed $seed: PINAUD_SEED";
srand $seed;

sub begin { note $_[0]; $quota->begin(@_[1 .. $#_]) }
sub unchanged { $quota->unchanged(@_) }
sub reset_of { $quota->reset_of(@_) }


begin('reserves');

# Of 10/60, a has 3 and b has 2, so 5 are shared
my %a = (account => 1, team => 'a', account_limits => '90/1 10/60',
    reserves => '3 5');
my %b = (%a, team => 'b', reserves => '2 5');
my %c = (%a, team => 'c', reserves => '0 5');

sub pools {
    my ($times, %ask) = @_;

    return join '', map { pool($quota->admit(%ask)) } 1 .. $times;
}


# 1: the team's reserve, 2: what is shared, 0: refused

sub pool { $_[0]{status} ? 0 : $_[0]{reserved} ? 1 : 2 }



$reply = $quota->admit(%a, mode => 'peek');
is(pool($reply), 1, 'a peek tells which it would be');
is($reply->{limits}{a60}{remaining}, 8, 'its own and what is shared remains');
is($reply->{limits}{a60}{reset}, 0, 'nothing is used');
is($quota->admit(%c, mode => 'peek')->{limits}{a60}{remaining}, 5,
    'for a team without a reserve what is shared');

is(pools(4, %a), '1112', 'the reserve first, then what is shared');
$quota->pass(10);
is(pools(6, %c), '222200', 'the others share');
my %left = map { ($_->{team} => $quota->admit(%$_, mode => 'peek')) }
    \%a, \%b, \%c;
is($left{a}{status} . $left{b}{status} . $left{c}{status}, '101',
    'what is reserved is not lent');
is($left{a}{limits}{a60}{remaining}, 0, 'nothing for a');
is($left{a}{limits}{a60}{reset}, reset_of(60, 13), 'until its own is back');
is($left{a}{limits}{a1}{remaining}, 86, 'a shorter limit is not split');
is($left{b}{limits}{a60}{remaining}, 2, 'its reserve for b');
is($left{b}{limits}{a60}{n}, 10, 'of the account limit');

unchanged(sub { is(pools(1, %c), '0', 'no pool') }, 'a refusal');
is(pools(3, %b), '110', 'b has all of its reserve');
is($quota->admit(%b)->{limits}{a60}{reset}, reset_of(60, 13),
    'and waits for the first of a');


begin('many at once');

$reply = $quota->admit(%a, count => 4);
is("@$reply{qw(admitted reserved)}", '4 3', 'by the reserve and what is shared');
is($quota->admit(%a, mode => 'peek')->{limits}{a60}{remaining}, 4, 'charged');
$reply = $quota->admit(%a, count => 9);
is("@$reply{qw(status admitted reserved)}", '0 4 0', 'as many as there are');
unchanged(sub {
    $reply = $quota->admit(%a, count => 2);
    is("@$reply{qw(status admitted reserved)}", '1 0 0', 'then none');
    $reply = $quota->admit(%b, count => 5, mode => 'peek');
    is("@$reply{qw(status admitted reserved)}", '0 2 2', 'but for b');
}, 'a refusal, a peek');
$reply = $quota->admit(%b, count => 5, account_limits => '9/60');
is("@$reply{qw(status admitted reserved)}", '0 1 1', 'and never over the limit');


begin('a reserve given back');

is(pools(3, %a), '111', 'all of it');
$at = $quota->admit(%a)->{now};
my @keys = $quota->keys_of(%a);
is($quota->run('refund', [@keys[3, 5], 'mark1'], [$at, 1000]), 1, 'the reserve');
is(pools(1, %a), '1', 'is there again');
is($quota->run('refund', [@keys[3, 6], 'mark2'], [$at, 1000]), 1, 'the shared');
is($quota->admit(%c, mode => 'peek')->{limits}{a60}{remaining}, 5,
    'is there again');


begin('reserves begin while others have used much');

is($quota->admitted(8, %c, reserves => '0 0'), 8, 'before: 8 of 10');
unchanged(sub {
    is(pools(1, %c), '0', 'they were of what is shared');
    is($quota->admit(%a, mode => 'peek')->{limits}{a60}{remaining}, 2,
        'which leaves the rest to a');
}, 'a refusal');
is(pools(3, %a), '110', 'though not all of it this time');
$quota->pass(62);
is(pools(6, %c), '222220', 'a window later all is right');

$quota->pass(40);
is(pools(1, %a), '1', 'reserves alone');
$quota->pass(40);
is($redis->cmd('EXISTS', $keys[6]), 1, 'keep what is shared known');
is($quota->admit(%c, mode => 'peek')->{limits}{a60}{remaining}, 5,
    'so it does not begin as the account once more');


begin('other reserves, other limits');

is(pools(3, %a), '111', 'three of three');
is(pools(1, %a, reserves => '4 5'), '1', 'raised: one more');
is(pools(6, %a, reserves => '2 5'), '222220', 'lowered: what is shared');
is(pool($quota->admit(%a, reserves => '2 4')), 2, 'one more to share');
is($quota->admit(%a, account_limits => '9/60')->{status}, 1,
    'the account has no more');
is(pool($quota->admit(%a, account_limits => '90/60', reserves => '9 90')), 1,
    'all is reserved');
is($quota->admit(%c, account_limits => '90/60', reserves => '0 90')
    ->{limits}{a60}{reset}, 60000, 'then others wait a W');
is($quota->admit(%c, account_limits => '90/60', reserves => '0 95')->{status},
    1, 'and where more than all is');
$reply = $quota->admit(%a, account_limits => '90/60 90/600', reserves => '20 50');
is(pool($reply), 1, 'a longer window is split now');
is($reply->{limits}{a600}{remaining}, 20 - 5 - 1 + 40 - 6,
    'and begins with what was used');


begin('reserves and moves');

$quota->credential('other');
is(pools(5, %a), '11122', 'charged to both');
$redis->cmd('SET', $keys[3], $redis->cmd('GET', $keys[3]), 'KEEPTTL');
$quota->run('move', [$keys[6]]);
is($quota->admit(%a)->{status}, 5, 'what is shared moves too');
is($quota->admit(%a, reserves => '0 0')->{status}, 0,
    'and is nothing without reserves');
$quota->run('carry', [map { s/main/other/r } @keys[5, 6]],
    $quota->run('move', [@keys[5, 6]]));
is(pool($quota->admit(%a, credential => 'other')), 2, 'a reserve is carried');


begin('fairness');

# A greedy team, which asks without end, and three that have reserves.
my ($n, $w) = (100, 60);
my %team = map { ($_ => { account => 1, team => $_,
    account_limits => "$n/$w 110/1", reserves => "10 30" }) } qw(l1 l2 l3);
my %greedy = (%{ $team{l1} }, team => 'greedy', reserves => '0 30');
my (%used, @late);

$quota->pass(rand $w);
my $start = $quota->now;

for my $window (0 .. 9) {
    my $end = $start + ($window + 1) * $w * 1e6;
    my %at = map { ($_ => $quota->now + rand(0.9) * $w * 1e6) } keys %team;

    # l3 sleeps in some windows: its reserve is idle, and not lent
    delete $at{l3} if $window % 3 == 0;

    while ($quota->now < $end) {
        $used{greedy}++ while $quota->admit(%greedy)->{status} == 0;

        for my $name (sort keys %at) {
            next if $quota->now < $at{$name};

            # Since its last burst the window may not be over yet: what it
            # had then is due, and no more
            my $due = 10 - grep { $_ > $quota->now - $w * 1.0375e6 }
                @{ $used{$name} };
            my $got = $quota->admitted($due, %{ $team{$name} });

            push @late, "$name got $got of $due" if $got != $due;
            push @{ $used{$name} }, ($quota->now) x $got;
            delete $at{$name};
        }

        $quota->pass(0.05 + rand 0.3);
    }
}

is("@late", '', 'each light team has its reserve at once, however late');
my $light = grep { $_ > $start } map { @{ $used{$_} } } keys %team;
cmp_ok($used{greedy}, '>=', 0.95 * 10 * 70,
    "the greedy one had $used{greedy} of at most 700 in ten windows");
cmp_ok($used{greedy} + $light, '>=', 0.95 * (10 * 70 + $light),
    'so 95 % of N less what was idle is used');


begin('memory of reserves');

for (1 .. 200) {
    $quota->admit(%{ $team{l1} });
    $quota->pass(0.75);
}

for my $key (($quota->keys_of(%{ $team{l1} }))[5, 6]) {
    my $used = $redis->cmd('MEMORY', 'USAGE', $key);
    cmp_ok($used, '<=', 512, "$key: $used bytes");
}


begin('reserves that are none');

for my $reserves ('', 'x', '1', '0 x', '1 0', '3 2', '00', '0  0', '1 2 3', '-1 2')
{
    unchanged(sub {
        like($quota->refused('admit', [$quota->keys_of(%a)],
            [$quota->args_of(%a, reserves => $reserves)]),
            qr/^PINAUD bad reserves for pinaud:bucket/, "'$reserves'");
    }, "'$reserves'");
}

like($quota->refused('admit', [$quota->keys_of(%a)],
    [$quota->args_of(%a, account_limits => '')]),
    qr/^PINAUD reserves without a limit for pinaud:bucket/, 'of no limit');


done_testing();
