#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The scripts that decide quota against a slow exact model of them, under
# random limits, loads, clocks, refunds and moves. Every answer is foretold to
# the last digit. Apart from the model, what the rules promise is checked on
# the bare list of admissions.
#
#   PINAUD_MODEL_STEPS=1000000 PINAUD_MODEL_SEED=42 prove t/quota_model.t
#   PINAUD_LONG=1 prove t/quota_model.t                     100,000 steps

use warnings;
use strict;

use List::Util qw(first max min sum0);
use Test::More;

BEGIN { use FindBin; unshift @INC, "$FindBin::Bin/lib"; }

use Pinaud::Quota;


my $steps = $ENV{PINAUD_MODEL_STEPS} // ($ENV{PINAUD_LONG} ? 100_000 : 20_000);
my $seed = $ENV{PINAUD_MODEL_SEED} // int(rand(1 << 31));

diag "seed $seed, $steps steps: PINAUD_MODEL_SEED, PINAUD_MODEL_STEPS";
srand $seed;

my $quota = Pinaud::Quota->new;
my $redis = $quota->redis;

# Time as buckets see it: Redis's clock, but steps back take nothing away.
my $age = 0;

# The model. A bucket is { mark, expires, rings => [{ w, head, count }] } with
# how many requests each slot counts; and the bare facts: log, the admissions
# by that time, and since, when each window was begun.
my %bucket;

my (%limits, %reserve);
my %credential_of = map { ($_ => 'one') } 1 .. 3;
my (%seen, @charges, @wrong);


sub pick { $_[rand @_] }
sub chance { rand() < $_[0] }
sub slot { int($quota->now / ($_[0] * 12500)) }


# ---------------------------------------------------------------- the model

sub bucket {
    my $key = shift;

    my $bucket = $bucket{$key} //= { mark => 0, unsure => 0, expires => 0,
        rings => [], log => [], since => {} };

    # A key is gone once it was seen to be expired
    @$bucket{qw(mark unsure expires rings)} = (0, 0, 0, [])
        if $quota->now_ms > $bucket->{expires};

    return $bucket;
}


# A ring as it is seen now: at most 83 slots; after a step of the clock back,
# dated anew and each slot one younger.

sub view {
    my $ring = shift;

    my $slot = slot($ring->{w});
    my $back = max(0, $ring->{head} - $slot);
    my %count;

    for my $old (keys %{ $ring->{count} }) {
        my $new = $back ? $slot - max(0, $ring->{head} - $old - 1) : $old;
        $count{$new} += $ring->{count}{$old} if $slot - $new <= 82;
    }

    return { w => $ring->{w}, head => $slot, count => \%count,
        redated => $back > 0, unsure => $back > 0
            ? int(($ring->{head} + 1) * $ring->{w} * 12.5) : 0,
        moved => $slot != $ring->{head} };
}


sub total { sum0(values %{ $_[0]{count} }) }


sub fit {
    my ($bucket, $limits) = @_;

    my @old = map { view($_) } @{ $bucket->{rings} };
    my $most = max(0, map { total($_) } @old);
    my @new;

    for my $limit (split / /, $limits) {
        my ($n, $w) = split /\//, $limit;
        my $ring = first { $_->{w} == $w } @old;

        $ring //= { w => $w, head => slot($w), begun => 1,
            count => { $most ? (slot($w) => $most) : () } };
        $ring->{n} = $n;
        push @new, $ring;
    }

    my $refitted = join(' ', map { $_->{w} } @old)
        ne join(' ', map { $_->{w} } @new);

    return { rings => \@new, refitted => $refitted,
        unsure => max(0, map { $_->{unsure} // 0 } @old),
        anew => $refitted || (grep { $_->{moved} } @new) || $bucket->{mark},
        repaired => ($refitted && $bucket->{expires} >= $quota->now_ms)
            || scalar grep { $_->{redated} } @old };
}


sub reset_of {
    my $ring = shift;

    my $total = total($ring);
    my $left = $total;

    return $ring->{w} * 1000 if $ring->{n} == 0;
    return 0 if $total == 0;

    for my $slot (sort { $a <=> $b } keys %{ $ring->{count} }) {
        $left -= $ring->{count}{$slot};

        return int((($slot + 83) * $ring->{w} * 12500 - $quota->now + 999)
            / 1000) if $left < min($ring->{n}, $total);
    }
}


sub store {
    my ($bucket, $rings, $anew, $unsure) = @_;

    for my $ring (@$rings) {
        $bucket->{since}{ $ring->{w} } = $age if $ring->{begun};
    }

    $bucket->{rings} = [ map { {
        w => $_->{w}, head => $_->{head},
        count => { %{ $_->{count} } }
    } } @$rings ];

    return if !$anew;

    $bucket->{mark} = 0;
    $bucket->{unsure} = max($bucket->{unsure}, $unsure);
    $bucket->{expires} = $quota->now_ms
        + 1050 * max(1, map { $_->{w} } @$rings);
}


# ------------------------------------------------------------- cooldowns

my (%cooldown, %tier);

sub cooldown {
    my $name = shift;

    my $cooldown = $cooldown{$name} //= { expires => 0 };

    %$cooldown = (expires => 0) if $quota->now_ms > $cooldown->{expires};

    return $cooldown;
}


sub latest {
    my $name = shift;

    return $tier{$name} eq 'trial'
        ? (int($quota->now_ms / 86_400_000) + 1) * 86_400_000
        : $quota->now_ms + 120_000;
}


sub in_force {
    my ($name, $class) = @_;

    my $ends = cooldown($name)->{$class} // 0;

    return $ends > $quota->now_ms && $ends <= latest($name) ? $ends : 0;
}


sub cooldown_for {
    my ($keys, $last) = @_;

    my ($name) = $keys->[0] =~ /\{(.*)\}/;
    my $ends = max(in_force($name, 'all'),
        $last == 4 ? in_force($name, 'writes') : 0);

    return $ends && $ends - $quota->now_ms;
}


sub one_cooldown {
    my $step = shift;

    my $name = pick(qw(one two));
    my ($class, $other) = pick([qw(writes all)], [qw(all writes)])->@*;
    my $reset = pick('', int rand 300, int rand 300, int rand 5000,
        int rand 300_000);
    my $now = $quota->now_ms;

    my $ends = $reset ne '' ? min($now + $reset, latest($name))
        : $tier{$name} eq 'trial' ? latest($name)
        : (int($now / 60000) + 1) * 60000;
    $ends = max($ends, in_force($name, $class));

    @{ cooldown($name) }{$class, 'expires'}
        = ($ends, max($ends, in_force($name, $other))) if $ends > $now;

    my $got = $quota->run('cooldown', ["pinaud:cooldown:{$name}",
        "pinaud:credential:{$name}"], [$class, $reset]);

    wrong($step, "cooldown $class $reset", "@$got", "$ends $now")
        if "@$got" ne "$ends $now";

    # What an operator does about one that takes too long
    if ($ends - $now > 5000) {
        $quota->redis->cmd('DEL', "pinaud:cooldown:{$name}");
        delete $cooldown{$name};
        $seen{'cooldown: cleared'}++;
    }

    $seen{"cooldown: $class"}++;
}


sub here { $_[0]{expires} >= $quota->now_ms }


# What the account's longest limit is split into: the fits of the team's reserve
# and of what all share, which begins as the account's own ring.

sub split_up {
    my ($keys, $fits, $own, $all) = @_;

    my ($ring) = sort { $b->{w} <=> $a->{w} } @{ $fits->[3]{rings} };

    $limits{$keys->[5]} = $own && "$own/$ring->{w}";
    $limits{$keys->[6]} = max(0, $ring->{n} - $all) . "/$ring->{w}";

    for my $i ($own ? 5 : (), 6) {
        my $bucket = bucket($keys->[$i]);
        my $begins = $i == 6 && !here($bucket);

        $bucket->{rings} = [{ w => $ring->{w}, head => $ring->{head},
            count => { %{ $ring->{count} } } }] if $begins;
        $fits->[$i] = fit($bucket, $limits{$keys->[$i]});
        $fits->[$i]{rings}[0]{begun} = $fits->[$i]{anew} = 1 if $begins;
        $bucket->{rings} = [] if $begins;
    }

    return $ring;
}


sub left { max(0, $_[0]{n} - total($_[0])) }


# Of the account's longest limit: what this team can have.

sub team_left {
    my ($ring, @parts) = @_;

    my ($left, $reset) = (left($ring), reset_of($ring));
    my $sum = sum0(map { left($_) } @parts);
    my $soonest = min(grep { $_ > 0 } map { reset_of($_) }
        grep { $_->{n} } @parts) // ($sum ? 0 : $ring->{w} * 1000);

    return ($left, $reset) if $left < $sum;
    return ($sum, $soonest) if $sum < $left;
    return ($sum, $reset && $soonest && max($reset, $soonest));
}


# What admit.lua will say, and do.

sub foretell {
    my ($ask, $keys) = @_;

    my @names = (undef, qw(c w a t));
    my $charging = $ask->{mode} eq 'charge';
    my $room = $ask->{count};
    my ($own, $all) = split / /, $ask->{reserves};
    my (@fits, $text, $longest);
    my ($by_reserve, $by_shared) = (0, 0);

    my $last = @$keys > 4 ? 4 : 1;

    for my $i (1 .. ($all ? 6 : $last)) {
        my $mark = bucket($keys->[$i])->{mark};

        return ('5 ' . $quota->now_ms . ' 0 0', 0) if $mark > $quota->now_ms
            && $mark <= $quota->now_ms + 10000;
    }

    my $cooldown = cooldown_for($keys, $last);

    return ('1 ' . $quota->now_ms . " 7 0 p 0 0 0 $cooldown", 0, 0)
        if $cooldown;

    for my $i (1 .. $last) {
        my $limits = $limits{$keys->[$i]};
        next if $limits eq '';

        $fits[$i] = fit(bucket($keys->[$i]), $limits);
        $room = max(0, min($room, map { $_->{n} - total($_) }
            @{ $fits[$i]{rings} }));
    }

    if ($all) {
        $longest = split_up($keys, \@fits, $own, $all);

        $by_reserve = min($room, $own ? left($fits[5]{rings}[0]) : 0);
        $by_shared = min($room - $by_reserve, left($fits[6]{rings}[0]));
        $room = $by_reserve + $by_shared;
    }

    for my $i (grep { $fits[$_] } 5, 6, 1 .. 4) {
        my $by = $i == 5 ? $by_reserve : $i == 6 ? $by_shared : $room;
        my $kept = $i == 6 && $by_reserve && $fits[6]{anew};

        for my $ring (@{ $fits[$i]{rings} }) {
            $ring->{count}{$ring->{head}} += $by if $charging && $by;

            $text .= join ' ', " $names[$i]", @$ring{qw(n w)},
                $longest && $ring == $longest
                    ? team_left($ring, map { $_->{rings}[0] }
                        grep { $_ } @fits[5, 6])
                    : (left($ring), reset_of($ring)) if $i < 5;
        }

        store(bucket($keys->[$i]), @{ $fits[$i] }{qw(rings anew unsure)})
            if $charging && ($by || $kept || $fits[$i]{repaired});
    }

    return (($room ? 0 : 1) . ' ' . $quota->now_ms . ' 7 0' . ($text // ''),
        $room, $by_reserve);
}


sub foretell_refund {
    my ($keys, $at) = @_;

    my $given = 0;

    for my $bucket (grep { $at > $_->{unsure} } map { bucket($_) } @$keys) {
        for my $ring (@{ $bucket->{rings} }) {
            my $slot = first { $ring->{count}{$_} } map {
                int(($at * 1000 + $_) / ($ring->{w} * 12500))
            } 0, 999;

            next if !defined $slot;

            delete $ring->{count}{$slot} if --$ring->{count}{$slot} == 0;
            $given = 1;
        }
    }

    return $given;
}


sub foretell_move {
    my $keys = shift;

    my @values;

    for my $bucket (map { bucket($_) } @$keys) {
        push @values, { unsure => $bucket->{unsure},
            rings => [ map { { %$_, count => { %{ $_->{count} } } } }
                @{ $bucket->{rings} } ] };
        $bucket->{expires} = max($bucket->{expires}, $quota->now_ms + 10000);
        $bucket->{mark} = $quota->now_ms + 10000;
    }

    return \@values;
}


sub foretell_carry {
    my ($keys, $values) = @_;

    for my $i (0 .. $#$keys) {
        my $bucket = bucket($keys->[$i]);
        my @rings = map { view($_) } @{ $values->[$i]{rings} };
        my @here = map { view($_) } @{ $bucket->{rings} };
        my $unsure = max($values->[$i]{unsure}, $bucket->{unsure},
            map { $_->{unsure} } @rings, @here);

        for my $ring (@here) {
            my $same = first { $_->{w} == $ring->{w} } @rings or next;

            $same->{count}{$_} = max($same->{count}{$_} // 0,
                $ring->{count}{$_}) for keys %{ $ring->{count} };
        }

        @rings = @here if !@rings;
        store($bucket, \@rings, 1, $unsure);
        $bucket->{expires} = 0 if !@rings;
    }
}


# --------------------------------------------------------------- the steps

sub wrong {
    my ($step, $what, $got, $expected) = @_;

    push @wrong, "step $step: $what\n     got: $got\nexpected: $expected";
}


sub random_limits {
    my @windows = sort { rand() <=> 0.5 } 1, 2, 7, chance(0.7) ? 12 : 60,
        chance(0.7) ? 20 : 3600;

    return join ' ', map { (chance(0.02) ? 0 : 1 + int rand pick(12, 40)) . "/$_" }
        @windows[0 .. pick(-1, -1, 0, 0, 0, 1, 2, 3)];
}


sub keys_of_call {
    my ($account, $team) = @_;

    my @keys = $quota->keys_of(credential => $credential_of{$account},
        account => $account, team => $team);

    $limits{$_} //= random_limits() for @keys[0 .. 4];

    return @keys;
}


# "R S" as policy would have it: a reserve is the account's, by team

sub reserves_of {
    my ($account, $team_key) = @_;

    my ($team) = $team_key =~ /([^:]*)\z/;
    my $all = $reserve{$account} // {};

    return ($all->{$team} // 0) . ' ' . sum0(values %$all);
}


sub set_limits {
    my $key = shift;

    $limits{$key} = random_limits();

    if ($key =~ /pinaud:(calls|writes):(\{.*\})/) {
        $redis->cmd('HSET', "pinaud:credential:$2",
            $1 eq 'calls' ? 'limits_all' : 'limits', $limits{$key});
    }
}


sub one_call {
    my $step = shift;

    my $account = pick(sort keys %credential_of);
    my @keys = keys_of_call($account, pick(qw(x y)));
    my $mode = chance(0.9) ? 'charge' : 'peek';

    my $reserves = reserves_of($account, $keys[4]);

    @keys = @keys[0, 1, 7, 10] if chance(0.15);
    $reserves = '0 0' if @keys < 11 || $limits{$keys[3]} eq '';

    my $count = pick(1, 1, 1, 2, 5);
    my $whole = chance(0.02) && $quota->snapshot;
    my ($text, $admitted, $by_reserve) = foretell({ mode => $mode,
        count => $count, reserves => $reserves }, \@keys);

    my $reply = $redis->try('EVALSHA', $quota->{sha}{admit}, scalar @keys,
        @keys, $mode, 0, $step, (map { $limits{$keys[$_] // ''} // '' } 3, 4),
        $count > 1 || $reserves ne '0 0' || chance(0.5) ? $count : (),
        $reserves ne '0 0' ? $reserves : ());

    $reply = [ "$reply", '' ] if ref $reply ne 'ARRAY';

    wrong($step, "$mode @keys", $reply->[0], $text) if $reply->[0] ne $text;
    wrong($step, "$mode @keys: of $count", $reply->[2], $admitted)
        if defined $reply->[2] && $reply->[2] != $admitted;
    wrong($step, 'token', $reply->[1], 'only with 0')
        if ($reply->[0] =~ /^0/) != ($reply->[1] ne '');

    my $status = substr $reply->[0], 0, 1;
    $seen{@keys > 4 ? 'cooled down' : 'read cooled down'}++
        if $reply->[0] =~ / p /;
    $seen{"$mode: status $status"}++;

    # A refusal stores no count, whatever else it may have mended
    if ($whole && ($mode eq 'peek' || $status == 5)) {
        is_deeply($quota->snapshot, $whole, "step $step: nothing is changed");
        $seen{'nothing changed'}++;
    }

    return if $mode eq 'peek' || $status != 0;

    my @pools = $reserves eq '0 0' ? ()
        : (($keys[5]) x $by_reserve, ($keys[6]) x ($admitted - $by_reserve));

    check_window($step, $keys[5], $by_reserve) if $by_reserve;
    check_window($step, $keys[6], $admitted - $by_reserve)
        if @pools > $by_reserve;

    $seen{@pools == $by_reserve ? 'by reserve' : $by_reserve ? 'by both'
        : 'shared'}++ if @pools;

    @keys = grep { $limits{$_} ne '' } @keys[1 .. (@keys > 4 ? 4 : 1)];
    check_window($step, $_, $admitted) for @keys;

    push @charges, map { {
        id => "$step-$_", at => $quota->now_ms, age => $age,
        keys => [@keys, $pools[$_ - 1] // ()]
    } } 1 .. $admitted;

    shift @charges while @charges > 30;
}


# Rule 1, on the bare list: in W + W/40 there are at most N.

sub check_window {
    my ($step, $key, $admitted) = @_;

    my $bucket = bucket($key);
    my $log = $bucket->{log};

    push @$log, ($age) x $admitted;
    shift @$log while @$log && $log->[0] < $age - 4e9;

    for my $limit (split / /, $limits{$key}) {
        my ($n, $w) = split /\//, $limit;
        my $from = max($age - $w * 1_025_000, $bucket->{since}{$w} // 0);
        my $count = grep { $_ > $from } @$log;

        wrong($step, "admitted by $key in $w s", $count, "at most $n")
            if $count > $n;

        $seen{'windows checked'}++;
        $seen{'full windows'}++ if $count == $n;
    }
}


sub one_refund {
    my $step = shift;

    return if !@charges;

    my $charge = pick(@charges);
    my $mark = "pinaud:refund:{x}:$charge->{id}";

    my $expected = $charge->{refunded} && $redis->cmd('EXISTS', $mark) ? 0
        : foretell_refund($charge->{keys}, $charge->{at});
    my $got = $quota->run('refund', [@{ $charge->{keys} }, $mark],
        [$charge->{at}, 1e9]);

    wrong($step, 'refund', $got, $expected) if $got != $expected;
    $seen{"refund: $got"}++;

    return if $charge->{refunded}++;

    for my $bucket (map { bucket($_) } @{ $charge->{keys} }) {
        my $log = $bucket->{log};
        my $i = first { $log->[$_] == $charge->{age} } 0 .. $#$log;

        splice @$log, $i, 1 if defined $i;
    }
}


sub one_move {
    my $step = shift;

    my $account = pick(sort keys %credential_of);
    my $to = $credential_of{$account} eq 'one' ? 'two' : 'one';
    my @from = ((map { "pinaud:bucket:{$credential_of{$account}}:$account$_" }
        '', ':x', ':y'), "pinaud:shared:{$credential_of{$account}}:$account",
        map { "pinaud:reserve:{$credential_of{$account}}:$account$_" }
        ':x', ':y');
    my @to = map { s/\{.*\}/{$to}/r } @from;

    $limits{$_} //= /bucket/ ? random_limits() : '' for @from, @to;

    for (1 .. (chance(0.2) ? 2 : 1)) {
        my $expected = foretell_move(\@from);
        my $values = $quota->run('move', \@from);

        wrong($step, 'move', scalar(@$values), 6) if @$values != 6;

        # The mover dies here
        if (chance(0.3)) {
            $seen{'moves interrupted'}++;
            return;
        }

        elapse($step, rand 0.1) if chance(0.5);
        foretell_carry(\@to, $expected);
        $quota->run('carry', \@to, $values);
    }

    for my $i (0 .. $#from) {
        $limits{$to[$i]} = $limits{$from[$i]};
        bucket($to[$i])->{log} = [ @{ bucket($from[$i])->{log} } ];

        for my $w (map { $_->{w} } @{ bucket($from[$i])->{rings} }) {
            bucket($to[$i])->{since}{$w} = bucket($from[$i])->{since}{$w};
        }
    }

    # Gateways that still ask at the old place are told; then they ask anew
    $credential_of{$account} = $to;
    $seen{'moves'}++;
}


sub elapse {
    my ($step, $seconds) = @_;

    if ($seconds < 0) {
        # Who is expired now is gone for good, as Redis may have it or not
        $redis->cmd('EXISTS', keys %bucket,
            map { "pinaud:cooldown:{$_}" } keys %tier);
        bucket($_) for keys %bucket;
        cooldown($_) for keys %tier;
        $seen{'clock set back'}++;
    }

    my $before = $quota->now;
    $quota->pass($seconds);
    $age += max(0, $quota->now - $before);
}


sub one_step {
    my $step = shift;

    my $kind = rand();

    if ($kind < 0.004) {
        set_limits(pick(grep { /calls|writes|bucket/ } sort keys %limits));

    } elsif ($kind < 0.008) {
        one_cooldown($step);

    } elsif ($kind < 0.010) {
        $reserve{pick(1 .. 3)}{pick(qw(x y z))} = pick(0, 1 + int rand 4);

    } elsif ($kind < 0.013) {
        one_move($step);

    } elsif ($kind < 0.026) {
        one_refund($step);

    } elsif ($kind < 0.031) {
        elapse($step, -rand(pick(0.001, 0.02, 1, 10, 100, 5000)));

    } elsif ($kind < 0.032) {
        $redis->cmd('SCRIPT', 'FLUSH');
        $quota->load;

    } elsif ($kind < 0.4) {
        elapse($step, rand(pick(0.001, 0.02, 0.02, 0.1, 0.5, 1, 2, 8, 61,
            chance(0.05) ? 4000 : 1)));

    } else {
        one_call($step);
    }
}


for my $name (qw(one two)) {
    my @keys = $quota->keys_of(credential => $name, account => 1, team => 'x');

    $tier{$name} = $name eq 'one' ? 'standard' : 'trial';
    $quota->credential($name, tier => $tier{$name});
    set_limits($_) for @keys[1, 2];
}

for my $step (1 .. $steps) {
    one_step($step);
    last if @wrong;
}

is(scalar(@wrong), 0, "$steps steps as foretold (seed $seed)")
    or diag map { "$_\n" } @wrong;

note map { "$_: $seen{$_}\n" } sort keys %seen;

# A run that met nothing proves nothing
if ($steps >= 20000) {
    cmp_ok($seen{$_} // 0, '>=', 1, "$_: $seen{$_}") for 'charge: status 0',
        'charge: status 1', 'charge: status 5', 'peek: status 0',
        'peek: status 1', 'refund: 0', 'refund: 1', 'clock set back', 'moves',
        'moves interrupted', 'windows checked', 'full windows',
        'nothing changed', 'by reserve', 'shared', 'by both',
        'cooled down', 'read cooled down', 'cooldown: all', 'cooldown: writes';
}


# ------------------------------------------------------------- saturation

# Asked without pause, at least 95 % of N is used, and still at most N in any
# window.

for my $limits ('20/1', '1/60', '400/60', '37/7', '100/86400') {
    my ($n, $w) = split /\//, $limits;
    my @times;

    $redis->cmd('FLUSHALL');
    $quota->credential('main', limits_all => $limits);
    $quota->pass(rand $w);

    my $start = $quota->now;

    while ($quota->now < $start + 10 * $w * 1e6) {
        push @times, $quota->now while $quota->admit->{status} == 0;
        $quota->pass($w / 400 * (0.5 + rand));
    }

    cmp_ok(@times, '>=', 0.95 * 10 * $n, "$limits: " . @times
        . " of at most " . 10 * $n . ' in ten windows');

    my $crowd = grep { $times[$_] - $times[$_ - $n] < $w * 1_025_000 }
        $n .. $#times;
    is($crowd, 0, "$limits: at most N in every W + W/40");
}


done_testing();
