#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Whether it matters how many accounts one Redis holds: memory for each, and
# what a decision takes, of 10 up to 1,000,000 accounts that are all in use.
#
#   perl t/bench/scale.pl [--accounts 10,1000,100000,1000000] [--teams 10000]
#       [--decisions 50000]
#
# Each account has a record, one team, and a limit of its own and of the team;
# 10,000 have one credential. With the last number of accounts come the teams:
# ten of each account, with a limit and a reserve.
#
# Memory is what Redis uses more than without, by its own account. A decision
# is admit.lua for an account at random, by Redis's commandstats: the least of
# three runs. With a million accounts each finds its buckets in no cache of the
# processor, which is all that may be seen of their number.
#
# Exit: 0 flat, 1 not, 2 it could not be measured.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use List::Util qw(min);
use Pinaud::Process;
use Pinaud::Quota;
use Pinaud::Redis;
use Pinaud::Seal;
use Time::HiRes qw(time);

# Of the largest to the smallest that has 1,000 accounts or more
use constant { MEMORY_AT_MOST => 1.3, TIME_AT_MOST => 1.5 };

# Accounts of a credential, and commands that go to Redis in one piece
use constant { PER_CREDENTIAL => 10000, PIECE => 2000 };

my %opt = (accounts => '10,1000,100000,1000000', teams => 10000,
    decisions => 50000);
GetOptions(\%opt, 'accounts=s', 'teams=i', 'decisions=i') or exit 2;

my @sizes = sort { $a <=> $b } split /,/, $opt{accounts};
my $admit = join '', map { slurp(project_dir() . "/src/store/$_.lua") }
    qw(ring admit);
my $seal = Pinaud::Seal->new("2026-11:" . "A" x 43 . "=");
my @rows;

$| = 1;

for my $n (@sizes) {
    my $redis = Pinaud::Redis->new;

    push @rows, accounts($redis, $n);
    push @rows, teams($redis, $n) if $n == $sizes[-1] && $opt{teams};
    $redis->stop;
}

table();
exit flat() ? 0 : 1;


# ---------------------------------------------------------------- what is there

sub accounts {
    my ($redis, $n) = @_;

    my $started = time();
    my $sha = $redis->cmd('SCRIPT', 'LOAD', $admit);

    $redis->cmd('HSET', "pinaud:credential:{$_}", qw(format 1 version 1
        expires 0 token), 'x' x 160, qw(limits 1000000/3600
        limits_all 1000000/3600)) for map { credential($_ * PER_CREDENTIAL) }
            0 .. ($n - 1) / PER_CREDENTIAL;

    # what is there once
    pour($redis, 1, sub { [decision($sha, 0, 'nobody')] });

    my $empty = memory($redis);

    pour($redis, $n, sub {
        my ($id, $of) = (id($_[0]), credential($_[0]));

        my %record = (format => 1, credential => $of, limits => '100000/3600',
            'team:growth' => '50000/3600');

        return (['HSET', "pinaud:account:$id", %{ $seal->sign(\%record, $id) }],
            ['SADD', 'pinaud:accounts', $id],
            ['SADD', "pinaud:accounts:{$of}", $id]);
    });

    my $records = memory($redis);
    pour($redis, $n, sub { [decision($sha, shift, 'growth')] });

    my $all = memory($redis);
    my $row = { name => number($n) . ' accounts', n => $n,
        record => ($records - $empty) / $n, bucket => ($all - $records) / $n,
        usec => decisions($redis, sub {
            decision($sha, int rand $n, 'growth') }) };

    printf STDERR "%s: %.0f s\n", $row->{name}, time() - $started;
    return $row;
}


sub teams {
    my ($redis, $accounts) = @_;

    my $n = $opt{teams};
    my $sha = $redis->cmd('SCRIPT', 'LOAD', $admit);
    my $of = sub { (int($_[0] / 10) % $accounts, 'team-' . $_[0] % 10) };
    my $empty = memory($redis);

    pour($redis, $n, sub {
        my ($account, $team) = $of->(shift);

        my ($id, $value) = (id($account), '50000/3600 reserve=20');

        return ['HSET', "pinaud:account:$id", "team:$team", $value,
            "mac:$team", $seal->team_mac($id, $team,
                credential($account), $value)];
    });

    my $records = memory($redis);
    my @args = (reserves => '20 200');

    pour($redis, $n, sub { [decision($sha, $of->(shift), @args)] });

    my $all = memory($redis);

    return { name => 'with ' . number($n) . ' teams', of => 'teams',
        record => ($records - $empty) / $n, bucket => ($all - $records) / $n,
        usec => decisions($redis, sub {
            decision($sha, $of->(int rand $n), @args) }) };
}


sub id { 549755885175 + $_[0] }
sub credential { 'credential-' . int($_[0] / PER_CREDENTIAL) }


sub decision {
    my ($sha, $account, $team, %more) = @_;

    my %ask = (credential => credential($account), account => id($account),
        team => $team, count => 1, account_limits => '100000/3600',
        team_limits => '50000/3600', %more);
    my @keys = Pinaud::Quota->keys_of(%ask);

    return ('EVALSHA', $sha, scalar @keys, @keys,
        Pinaud::Quota->args_of(%ask));
}


# --------------------------------------------------------------------- measured

# Sends what "make" tells for each of 0 .. n - 1, whose replies are not sent.

sub pour {
    my ($redis, $n, $make) = @_;

    my $client = { socket => $redis->connect, buffer => '', timeout => 600 };
    my ($piece, $count) = (Pinaud::Redis::command(qw(CLIENT REPLY OFF)), 0);

    for my $i (0 .. $n - 1) {
        $piece .= Pinaud::Redis::command(@$_) for $make->($i);
        next if ++$count % PIECE;

        send_all($client, $piece);
        $piece = '';
    }

    send_all($client, $piece . Pinaud::Redis::command(qw(CLIENT REPLY ON)));
    Pinaud::Redis::read_bytes({ %$client, end => time() + 600 }, 5);

    my $errors = join '', grep { !/^errorstat_(?:$|NOSCRIPT)/ }
        $redis->cmd('INFO', 'errorstats') =~ /^(errorstat_.*)$/mg;
    give_up($errors) if length $errors;
}


sub send_all {
    my ($client, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite $client->{socket}, $bytes
            or give_up("Redis: $!");
        substr $bytes, 0, $n, '';
    }
}


# Of a decision, in microseconds. One of them is looked at.

sub decisions {
    my ($redis, $make) = @_;

    my $reply = $redis->cmd($make->());
    give_up("not admitted: $reply->[0]") if $reply->[0] !~ /^0 /;

    my @usec = map {
        $redis->cmd('CONFIG', 'RESETSTAT');
        pour($redis, $opt{decisions}, sub { [$make->()] });

        my ($calls, $usec, $failed) = $redis->cmd('INFO', 'commandstats')
            =~ /^cmdstat_evalsha:calls=(\d+),usec=(\d+),.*failed_calls=(\d+)/m
            or give_up('no statistics');
        give_up("$failed calls failed") if $failed;

        $usec / $calls;
    } 1 .. 3;

    return min(@usec);
}


sub memory {
    my $redis = shift;

    my ($used, $clients) = map { $redis->cmd('INFO', 'memory')
        =~ /^$_:(\d+)/m } qw(used_memory mem_clients_normal);

    return $used - $clients;
}


# ------------------------------------------------------------------------- told

sub table {
    printf "%-20s %10s %10s %10s   %s\n", 'bytes, of each', 'record',
        'buckets', 'all', 'us a decision';

    for my $row (@rows) {
        printf "%-20s %10.0f %10.0f %10.0f   %13.1f\n", $row->{name},
            $row->{record}, $row->{bucket}, $row->{record} + $row->{bucket},
            $row->{usec};
    }
}


sub flat {
    my @of = grep { ($_->{n} // 0) >= 1000 } @rows;
    return 1 if @of < 2;

    my ($small, $large) = @of[0, -1];
    my $memory = ($large->{record} + $large->{bucket})
        / ($small->{record} + $small->{bucket});
    my $time = $large->{usec} / $small->{usec};

    printf "\n%s to %s: memory x %.2f (at most %.1f), time x %.2f (at most "
        . "%.1f)\n", $small->{name}, $large->{name}, $memory, MEMORY_AT_MOST,
        $time, TIME_AT_MOST;

    return $memory <= MEMORY_AT_MOST && $time <= TIME_AT_MOST;
}


sub number {
    my $n = shift;

    1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;
    return $n;
}


sub give_up {
    print STDERR "@_\n";
    exit 2;
}
