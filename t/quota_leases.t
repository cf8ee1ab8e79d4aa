#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Units that gateways hold beforehand, to be spent while Redis is away.

use warnings;
use strict;

use List::Util qw(max min sum0);
use Test::More;

BEGIN { use FindBin; unshift @INC, "$FindBin::Bin/lib"; }

use Pinaud::Quota;


my $steps = $ENV{PINAUD_LONG} ? 50_000 : 4000;
my $seed = $ENV{PINAUD_SEED} // int(rand(1 << 31));

note "seed $seed: PINAUD_SEED";
srand $seed;

my $quota = Pinaud::Quota->new;
my $redis = $quota->redis;

# What teams and limits the account has; changed by begin()
my %ask;

sub begin {
    my ($name, %field) = @_;

    note $name;
    %ask = (account => 1, team => 'a', account_limits => '100/60',
        reserves => '0 0');
    $quota->begin(limits => '400/60', limits_all => '300/1', tier => 'standard',
        %field);
}


sub lease_keys {
    my ($lease, $account) = @_;

    my @keys = $quota->keys_of(%ask, account => $account // $ask{account});

    return [@keys[0 .. 3], @keys[6 .. 9],
        'pinaud:lease:{main}:' . ($account // $ask{account}) . ":$lease"];
}


sub lease_args {
    my (%with) = @_;

    return ($with{account_limits} // $ask{account_limits},
        (split / /, $ask{reserves})[1]);
}


# How many units the lease has then; 0: nothing was changed

sub hold {
    my ($lease, $units, %with) = @_;

    my $reply = $quota->run('lease', lease_keys($lease, $with{account}), ['hold',
        lease_args(%with), $units, $with{deadline} // $quota->now_ms + 1]);

    is($reply->[1], $quota->now_ms, 'the time is told') if $reply->[1]
        != $quota->now_ms;

    return $reply->[0];
}


sub give_back {
    my ($lease, $spent, %with) = @_;

    return $quota->run('lease', lease_keys($lease, $with{account}), ['return',
        lease_args(%with), $spent])->[0];
}


sub left {
    my ($limit, %with) = @_;

    return $quota->admit(%ask, mode => 'peek', %with)->{limits}{$limit}{remaining};
}


###############################################################################

begin('held');

is(hold('g1', 8), 8, 'eight');
is(left('c1'), 292, 'are charged to all calls');
is(left('w60'), 392, 'to writes');
is(left('a60'), 92, 'to the account');
is(left('c1', account => undef), 292, 'a read knows of them');
is($quota->admit(%ask, account => 2, mode => 'peek')->{limits}{a60}{remaining},
    100, 'another account does not');
is($quota->admitted(200, %ask), 92, 'the rest of the account is admitted');
is($quota->admit(%ask)->{limits}{a60}{reset}, $quota->reset_of(60),
    'until what was admitted goes');
is_deeply($quota->run('usage', [($quota->keys_of(%ask))[3, 9]], ['100/60']),
    [100, 60, 100, $quota->reset_of(60)], 'usage tells them as used');

$quota->pass(61);
is(left('c1'), 292, 'of a second they count for a second and a minute');
$quota->pass(3);
is(left('c1'), 300, 'and no longer');
is(left('a60'), 92, 'of a minute, when what was admitted has gone, they do');
$quota->pass(56.999);
is(left('a60'), 92, 'for two minutes');
$quota->pass(5.001);
is(left('a60'), 100, 'then they have aged out, of a gateway that died');
$quota->pass(1);
is_deeply([sort @{ $redis->cmd('KEYS', 'pinaud:lease*') }], [],
    'without a trace');


begin('renewed');

is(hold('g1', 8), 8, 'eight');

for (1 .. 12) {
    $quota->pass(20);
    hold('g1', 8);
}

is(left('a60'), 92, 'four minutes later still eight, and no more');
is(hold('g1', 9), 9, 'one more');
is(hold('g1', 3), 9, 'fewer than there are: they are never made fewer');
is(left('a60'), 91, 'nine');
$quota->unchanged(sub {
    is(hold('g1', 20, deadline => $quota->now_ms), 0, 'at the deadline');
    is(hold('g1', 20, account_limits => '8/60'), 0, 'a limit that was lowered');
}, 'refused');
is(hold('g1', 999), 30, 'as many as there are');


begin('a tenth', limits => '40/60 65/3600', limits_all => '300/1');

is(hold('g1', 99), 4, 'of the smallest limit');
is(hold('g2', 99), 0, 'of all gateways');
is(hold('g3', 99, account => 2), 0, 'and all accounts');
is(give_back('g1', ''), 4, 'given back');
is(hold('g2', 3), 3, 'they are there again');
is(hold('g3', 99, account => 2), 1, 'for any account');

begin('no tenth', limits => '9/60');
is(hold('g1', 1), 0, 'of nine');

begin('limits that are used up');
$ask{account_limits} = '10/60';
is($quota->admitted(8, %ask), 8, 'eight of ten');
is(hold('g1', 5), 2, 'leave two');
is($quota->admit(%ask)->{status}, 1, 'and then none');
is(hold('g2', 1), 0, 'for anyone');

begin('no limits', limits => '', limits_all => '');
$ask{account_limits} = '';
is(hold('g1', 7), 7, 'all that it wants');
is(hold('g1', 6), 7, 'and keeps');
is(give_back('g1', ''), 7, 'until it gives them back');

begin('no credential');
$redis->cmd('DEL', 'pinaud:credential:{main}');
$quota->unchanged(sub { is(hold('g1', 1), 0, 'nothing to hold') }, 'none');


begin('reserves are not leased');

$ask{account_limits} = '40/60';
$ask{reserves} = '0 30';
is(hold('g1', 99), 10, 'what is shared');
is($quota->admit(%ask)->{status}, 1, 'of which nothing is left to others');
is(left('a60'), 0, 'as they are told');
is($quota->admitted(50, %ask, reserves => '30 30'), 30,
    'leaves a reserve whole');
is(give_back('g1', $quota->now_ms . ' 4'), 10, 'four of them were spent');
is($quota->admitted(50, %ask), 6, 'from what is shared');


begin('given back');

is(hold('g1', 8), 8, 'eight');
my $told = $quota->now_ms;
$quota->pass(30);
is(give_back('g1', ($told + 2000) . ' 2 ' . ($told + 28000) . ' 1'), 8,
    'three were spent');
is(left('a60'), 97, 'five are free');
is(left('c1'), 300, 'what was spent long ago, too');
$quota->unchanged(sub { is(give_back('g1', "$told 5"), 0, 'nothing is left') },
    'a second return');
is_deeply([grep { /lease:/ } @{ $redis->cmd('KEYS', '*') }], [], 'no lease');
$quota->pass(2 + 62.25 - 30);
is(left('a60'), 99, 'two go when their time is over');
$quota->pass(27);
is(left('a60'), 100, 'and one later');

begin('spent ahead of a clock that was set back');
hold('g1', 5);
$told = $quota->now_ms;
$quota->pass(-10);
is(give_back('g1', ($told + 5000) . ' 2'), 5, 'given back');
is(left('a60'), 93, 'units that it can not find stay, and those spent count');
is(hold('g2', 5), 5, 'a new lease');
is(give_back('g2', ''), 5, 'is as any');
$quota->pass(130);
is(left('a60'), 100, 'nothing stays for good');


begin('a lease and a move');

$quota->credential('other', limits => '400/60');
hold('g1', 8);
my @from = ($quota->keys_of(%ask))[3, 9];
my $values = $quota->run('move', \@from);
$quota->unchanged(sub { is(hold('g1', 9), 0, 'none while it moves') }, 'a move');
$quota->run('carry', [map { s/main/other/r } @from], $values);
is($quota->admit(%ask, credential => 'other', mode => 'peek')
    ->{limits}{a60}{remaining}, 92, 'what is out counts at the new place');
is(give_back('g1', ''), 8, 'given back at the old one');
is($quota->run('usage', [($quota->keys_of(%ask))[2, 8]], ['400/60'])->[2], 0,
    'where it is free again');
$quota->pass(125);
is($quota->admit(%ask, credential => 'other', mode => 'peek')
    ->{limits}{a60}{remaining}, 100, 'at the new one it ages out');


begin('limits change while units are out');

hold('g1', 8);
$quota->pass(20);
$quota->credential('main', limits => '300/60 90/600', limits_all => '');
$ask{account_limits} = '50/600';
is(left('a600'), 42, 'of another window they are held, too');
is(left('w600'), 82, 'and of another limit');
give_back('g1', '');
is(left('a60', account_limits => '50/60'), 42,
    'where they are not found again they age out');
$quota->pass(700);
is(left('a600'), 50, 'all of them');


begin('memory', limits => '1000000/1 1000000/60 1000000/3600 1000000/86400',
    limits_all => '1000000/60');
$ask{account_limits} = '1000000/60';
hold($_, 100) for 1 .. 50;
for my $case ([7, 1], [8, 4], [9, 1]) {
    my ($i, $limits) = @$case;
    my $key = ($quota->keys_of(%ask))[$i];
    my $used = $redis->cmd('MEMORY', 'USAGE', $key);

    cmp_ok($used, '<=', 512 * $limits, "$key: $used bytes");
}
cmp_ok($redis->cmd('MEMORY', 'USAGE', 'pinaud:lease:{main}:1:1'), '<=', 200,
    'and a lease');


begin('what is none');

hold('g1', 8);
my $key = 'pinaud:lease:{main}:1:g1';
for my $value ('', 'x', '8', '8 x', '-8 1') {
    $redis->cmd('SET', $key, $value);
    $quota->unchanged(sub {
        like($quota->refused('lease', lease_keys('g1'), $_),
            qr/^PINAUD corrupt lease \Q$key\E/, "'$value': $_->[0]")
            for ['hold', '100/60', 0, 1, 9e12], ['return', '100/60', 0, ''];
    }, "'$value'");
}
$redis->cmd('DEL', $key);
$quota->unchanged(sub {
    for my $args (['take', '', 0, 1, 9e12], ['hold', '', 0, 0, 9e12],
        ['hold', '', 0, 1.5, 9e12], ['hold', '', 0, 'x', 9e12],
        ['hold', '', 0, 1, 'x'], ['hold', '', 0, 1], ['hold', '', 'x', 1, 9e12],
        ['return', '', 0], ['return', '', 'x', ''], ['return', '', 0, '1 x'],
        ['hold'], [])
    {
        like($quota->refused('lease', lease_keys('g1'), $args),
            qr/^PINAUD bad arguments/, "'@$args'");
    }
}, 'bad arguments');


###############################################################################

# Gateways in a world where Redis is away at times, answers are lost, and
# gateways die. Whatever a limit has left is foretold from a bare list of what
# was admitted, spent and held; and by the same list, at any time at most N of
# any window went to Pinterest.

my (@went, @held, %seen, @wrong);
my %limits = (c => '60/1', w => '40/7 150/60', 1 => '30/60 200/300', 2 => '45/20');
my $reserved = 8;
my (%gateway, $serial);

# Time as it really passes: never back
my $real = 0;


sub wrong { push @wrong, "step $_[0]: $_[1]: got $_[2], expected $_[3]" }
sub chance { rand() < $_[0] }
sub pick { $_[rand @_] }
sub slots_ago { int($quota->now / ($_[1] * 12500)) - int($_[0] / ($_[1] * 12500)) }


# Whom a limit counts: all, or those of an account

sub of { $_[0] =~ /\d/ ? grep { $_->{account} == $_[0] } @_[1 .. $#_] : @_[1 .. $#_] }

sub leased {
    my ($kind, $w) = @_;

    return sum0(map { $_->{units} } grep {
        slots_ago($_->{at}, $w + 60) <= 82 } of($kind, @held));
}


sub used {
    my ($kind, $w) = @_;

    return sum0(map { $_->{count} } grep {
        $_->{known} && slots_ago($_->{at}, $w) <= 82 } of($kind, @went));
}


sub each_limit {
    my ($account, $code) = @_;

    for my $kind (qw(c w), $account) {
        $code->($kind, split /\//) for split / /, $limits{$kind};
    }
}


# What all share, of the account that has reserves, and its own

sub shared_left {
    my ($account, $what) = @_;

    return 1e9 if $account != 1;

    return 200 - $reserved - leased(1, 300) - sum0(map { $_->{count} } grep {
        $_->{known} && !$_->{reserve} && slots_ago($_->{at}, 300) <= 82 }
        of(1, @went));
}


sub reserve_left {
    return $reserved - grep { $_->{reserve} && slots_ago($_->{at}, 300) <= 82 }
        of(1, @went);
}


sub with {
    my $account = shift;

    return (account => $account, team => 'a', account_limits => $limits{$account},
        reserves => $account == 1 ? "$reserved $reserved" : '0 0');
}


# Nothing went too much, by the time that really passed

sub check {
    my ($step, $account) = @_;

    each_limit($account, sub {
        my ($kind, $n, $w) = @_;
        my $count = sum0(map { $_->{count} } grep {
            $_->{real} > $real - $w * 1_025_000 } of($kind, @went));

        wrong($step, "$kind in $w s", $count, "at most $n") if $count > $n;
        $seen{'full windows'}++ if $count == $n;
    });

    @went = grep { $_->{real} > $real - 330e6 } @went if rand() < 0.01;
}


sub one_call {
    my ($step, $account, $exact) = @_;

    my $reply = $quota->admit(with($account));
    my ($own, $shared) = (0, shared_left($account));
    my $room = 1e9;

    $own = max(0, reserve_left()) if $account == 1;

    each_limit($account, sub {
        my ($kind, $n, $w) = @_;
        $room = min($room, $n - used($kind, $w) - leased($kind, $w));
    });

    $room = min($room, $own + max(0, $shared));

    wrong($step, "admitted of $account", $reply->{admitted}, $room > 0 ? 1 : 0)
        if $exact && $reply->{admitted} != ($room > 0 ? 1 : 0);

    if ($reply->{admitted}) {
        push @went, { account => $account, at => $quota->now, real => $real,
            count => 1, known => 1, reserve => $reply->{reserved} };
        check($step, $account);
        $seen{'by a reserve'}++ if $reply->{reserved};
    }

    $seen{$reply->{admitted} ? 'admitted' : 'refused'}++;

    each_limit($account, sub {
        my ($kind, $n, $w) = @_;

        # What is split is told by what the team can have
        return if $kind eq '1' && $w == 300;

        my $left = max(0, $n - used($kind, $w) - leased($kind, $w));
        my $told = $reply->{limits}{($kind =~ /\d/ ? 'a' : $kind) . $w}{remaining};

        wrong($step, "left of $kind in $w", $told, $left) if $told != $left;
    }) if $exact;
}


# What Redis knows of a lease: it forgets it a little after it counts

sub lease_of {
    my $mine = shift;

    my ($there) = grep { $_->{name} eq $mine->{name}
        && $quota->now_ms <= $_->{expires} } @held;

    return $there;
}


sub one_hold {
    my ($step, $gateway, $account, $exact) = @_;

    my $mine = $gateway->{$account} //= { name => 'g' . ++$serial, units => 0,
        spent => [] };
    my $there = lease_of($mine);
    my $before = $there ? $there->{units} : 0;
    my $wanted = 1 + int rand 6;
    my $room = max($wanted, $before);

    @held = grep { $_ != ($there // 0) } @held;

    each_limit($account, sub {
        my ($kind, $n, $w) = @_;
        $room = min($room, $n - used($kind, $w) - leased($kind, $w));
        $room = min($room, int($n / 10) - leased($kind, $w)) if $kind =~ /[cw]/;
    });

    $room = min($room, shared_left($account));
    $room = 0 if $room < max(1, $before);

    my $deadline = $quota->now_ms + (chance(0.05) ? 0 : 1);
    $room = 0 if $deadline == $quota->now_ms;

    %ask = with($account);
    my $units = hold($mine->{name}, $wanted, deadline => $deadline);

    wrong($step, "held of $account", $units, $room) if $exact && $units != $room;

    if ($units) {
        push @held, { name => $mine->{name}, account => $account,
            units => $units, at => $quota->now, real => $real,
            expires => $quota->now_ms + ($account == 1 ? 378_000 : 126_000) };
        $seen{$before ? 'renewed' : 'taken'}++;

        my $all = sum0(map { $_->{units} } grep { $_->{real} > $real - 60e6 }
            @held);
        wrong($step, 'held of all', $all, 'at most 4') if $all > 4;

        # The answer is lost, or not
        if (chance(0.8)) {
            @$mine{qw(units sent now)} = ($units, $real, $quota->now_ms);

        } else {
            $seen{'answers lost'}++;
        }

    } else {
        push @held, $there if $there;
        $seen{'not held'}++;
    }
}


# Redis is away

sub one_spend {
    my ($step, $gateway, $account) = @_;

    my $mine = $gateway->{$account} or return;
    my $spent = sum0(map { $_->[1] } @{ $mine->{spent} });

    return if $spent >= $mine->{units} || $real >= $mine->{sent} + 60e6;

    my $told = $mine->{now} + int(($real - $mine->{sent}) / 1000);

    push @{ $mine->{spent} }, [$told, 1, { account => $account,
        at => $told * 1000, real => $real, count => 1 }];
    push @went, $mine->{spent}[-1][2];
    check($step, $account);
    $seen{'spent'}++;
}


sub one_return {
    my ($step, $gateway, $account, $exact) = @_;

    my $mine = delete $gateway->{$account} or return;
    my $there = lease_of($mine);

    %ask = with($account);
    my $units = give_back($mine->{name},
        join ' ', map { @$_[0, 1] } @{ $mine->{spent} });

    wrong($step, 'given back', $units, $there ? $there->{units} : 0)
        if $exact && $units != ($there ? $there->{units} : 0);

    @held = grep { $_ != ($there // 0) } @held if $units;

    if ($units) {
        $_->[2]{known} = 1 for @{ $mine->{spent} };
        $seen{'given back'}++;
        $seen{'given back: spent'}++ if @{ $mine->{spent} };
    }
}


sub world {
    my ($name, $exact) = @_;

    begin($name, limits => $limits{w}, limits_all => $limits{c});
    $redis->cmd('FLUSHALL');
    $quota->credential('main', limits => $limits{w}, limits_all => $limits{c},
        tier => 'standard');
    @went = @held = @wrong = %gateway = ();

    for my $step (1 .. $steps) {
        my $gateway = $gateway{pick(1 .. 3)} //= {};
        my $account = pick(1, 2);
        my $kind = rand();

        if ($kind < 0.5) {
            one_call($step, $account, $exact);

        } elsif ($kind < 0.72) {
            my $seconds = rand(pick(0.01, 0.1, 0.5, 2, 15, chance(0.2) ? 200 : 1));
            $quota->pass($seconds);
            $real += 1e6 * $seconds;

        } elsif ($kind < 0.82) {
            one_hold($step, $gateway, $account, $exact);

        } elsif ($kind < 0.94) {
            one_spend($step, $gateway, $account);

        } elsif ($kind < 0.98) {
            one_return($step, $gateway, $account, $exact);

        } elsif ($kind < 0.985) {
            %$gateway = ();
            $seen{'died'}++;

        } elsif ($kind < 0.99 && !$exact) {
            $quota->pass(-rand(pick(0.01, 1, 30, 400)));
            $seen{'clock set back'}++;
        }

        @held = grep { $quota->now_ms <= $_->{expires} } @held if $exact;
        last if @wrong;
    }

    is("@wrong", '', "$name: $steps steps (seed $seed)");
}


world('exactly', 1);
world('clocks that are set back');

note map { "$_: $seen{$_}\n" } sort keys %seen;
cmp_ok($seen{$_} // 0, '>=', 3, "$_: " . ($seen{$_} // 0)) for 'admitted',
    'refused', 'taken', 'renewed', 'not held', 'answers lost', 'spent',
    'given back', 'given back: spent', 'died', 'clock set back', 'full windows',
    'by a reserve';


done_testing();
