#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What the gateway costs over nginx's bare proxy_pass: an nginx of one worker
# with the module and a real Redis, and one without, in front of the same
# upstream, with the same connections and the same bodies.
#
#   perl t/bench/bench.pl [--pairs 7] [--seconds 3] [--only http|https]
#       [--no-instructions] [--no-load]
#
# Requests/s and CPU time are measured in pairs, bare and gateway right after
# each other and in changing order, since a machine is not as fast now as it
# was a minute ago: told are the median and the range of the pairs' ratios. The
# worker has a core of its own where there are two.
#
# Instructions are those of user space, counted by callgrind: the difference
# of two run lengths, without what starting and connecting costs.
#
# Exit: 0 all bounds are kept, 1 one is not, 2 it could not be measured.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use Pinaud::Bench;
use Pinaud::Process;
use POSIX ();


# Ratios to bare proxy_pass, and instructions of one check
use constant {
    REQUESTS_AT_LEAST => 0.70,
    INSTRUCTIONS_AT_MOST => 1.6,
    CHECK_AT_MOST => 15000,
};

# Requests of the two runs under callgrind, over so many connections
use constant { SHORT_RUN => 480, LONG_RUN => 2080, LANES => 16 };

my %opt = (pairs => 7, seconds => 3, connections => 64, instructions => 1,
    load => 1);

GetOptions(\%opt, 'pairs=i', 'seconds=i', 'only=s', 'instructions!', 'load!')
    or exit 2;

my @schemes = grep { !$opt{only} || $_ eq $opt{only} } qw(http https);
give_up("no such scheme: $opt{only}") if !@schemes;

my $taskset = Pinaud::Bench::taskset();
my $wrk = first_in_path('wrk') or give_up('wrk is not installed');
my $missed = 0;
my $bench = Pinaud::Bench->new;
my $upstream = $bench->upstream;
my (%nginx, @rows);

for my $scheme (@schemes) {
    for my $kind (qw(bare gateway)) {
        $nginx{$scheme}{$kind} = $bench->proxy($kind, $scheme, start => 1);
    }

    $bench->alike(@{ $nginx{$scheme} }{qw(bare gateway)});
}

place_all();

printf "Bodies of %s bytes, %d connections, one worker%s.\n\n",
    join(', ', $bench->lengths), $opt{connections},
    $taskset ? ' on a core of its own' : '';

if ($opt{load}) {
    push @rows, load($_) for @schemes;
}

$_->stop for map { values %$_ } values %nginx;

if ($opt{instructions}) {
    push @rows, instructions($_) for @schemes;
}

table(@rows);
audience() if $opt{instructions};

exit $missed;


# The first core is the measured worker's, the second everybody else's.

sub place_all {
    place(0, map { $_->workers } map { values %$_ } values %nginx);
    place(1, $bench->redis->pid, $upstream->workers);
}


# ------------------------------------------------------------ requests and CPU

sub load {
    my $scheme = shift;

    my (%all, @rates, @cpu);

    run_wrk($nginx{$scheme}{$_}, 1) for qw(bare gateway);

    for my $pair (1 .. $opt{pairs}) {
        my %run;

        for my $kind ($pair % 2 ? qw(bare gateway) : qw(gateway bare)) {
            $run{$kind} = run_wrk($nginx{$scheme}{$kind}, $opt{seconds});

            push @{ $all{$kind}{$_} }, $run{$kind}{$_}
                for keys %{ $run{$kind} };
        }

        push @rates, $run{gateway}{rate} / $run{bare}{rate};
        push @cpu, $run{gateway}{cpu} / $run{bare}{cpu};

        printf STDERR "%s, pair %d of %d: requests/s %.2f, CPU %.2f\n",
            $scheme, $pair, $opt{pairs}, $rates[-1], $cpu[-1];
    }

    my ($bare, $gateway) = map {
        my $kind = $_;
        +{ map { ($_ => median(@{ $all{$kind}{$_} })) } qw(rate cpu redis) }
    } qw(bare gateway);

    return { what => "requests/s, $scheme", format => '%.0f',
            values => [$bare->{rate}, $gateway->{rate}],
            ratios => \@rates, least => REQUESTS_AT_LEAST },
        { what => "CPU us/request, $scheme", format => '%.1f',
            values => [$bare->{cpu}, $gateway->{cpu}], ratios => \@cpu },
        { what => "  and of Redis", format => '%.1f',
            values => [undef, $gateway->{redis}] };
}


sub run_wrk {
    my ($nginx, $seconds) = @_;

    my ($worker) = $nginx->workers;
    my @before = (cpu($worker), cpu($bench->redis->pid));

    my ($exit, $output) = run_command([$taskset ? ($taskset, '-c', 1) : (),
        $wrk, '-t', 1, '-c', $opt{connections}, '-d', $seconds,
        '-s', "$FindBin::Bin/bench.lua", 'http://' . $nginx->address,
        '--', $bench->path, $bench->bodies], timeout => $seconds + 20);

    my ($requests, $us, $status, $other) = $output
        =~ /^bench requests=(\d+) us=(\d+) status=(\d+) other=(\d+)$/m
        or give_up("wrk: exit $exit: $output");

    give_up("of $requests requests $status were answered over 399, $other"
        . " failed:\n" . $nginx->log) if $status || $other || !$requests;

    my @after = (cpu($worker), cpu($bench->redis->pid));

    return { rate => $requests / $us * 1e6,
        cpu => ($after[0] - $before[0]) / $requests,
        redis => ($after[1] - $before[1]) / $requests };
}


# Microseconds that a process ran.

sub cpu {
    my $pid = shift;

    my @stat = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //sr;

    return ($stat[11] + $stat[12]) * 1e6
        / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}


# --------------------------------------------------------------- instructions

sub instructions {
    my $scheme = shift;

    my ($bare, $gateway) = map { count($_, $scheme) } qw(bare gateway);

    return { what => "instructions/request, $scheme", format => '%.0f',
        values => [$bare, $gateway], ratios => [$gateway / $bare],
        most => $scheme eq 'https' ? INSTRUCTIONS_AT_MOST : undef };
}


sub count {
    my ($kind, $scheme) = @_;

    my ($short, $long) = map { count_run($kind, $scheme, $_) } SHORT_RUN,
        LONG_RUN;

    return ($long - $short) / (LONG_RUN - SHORT_RUN);
}


sub count_run {
    my ($kind, $scheme, $requests) = @_;

    my $nginx = $bench->proxy($kind, $scheme, master => 0, patience => 60);
    my $log = $nginx->dir . '/callgrind';

    # What is started in nginx's place
    $nginx->{binary} = $nginx->write('nginx.sh', <<SH, 0755);
#!/bin/sh
exec valgrind --tool=callgrind --callgrind-out-file=/dev/null \\
    --log-file=$log $nginx->{binary} "\$@"
SH

    $nginx->start;
    $bench->ask($nginx, $requests, LANES, sub { connect_all($scheme) });
    $nginx->stop;

    my ($count) = slurp($log) =~ /Collected : (\d+)/
        or give_up('callgrind: ' . slurp($log));

    return $count;
}


# Each of the first requests gets a connection of its own to the upstream,
# which stands still meanwhile: a handshake costs as much as many requests, so
# both runs must make the same number of them.

sub connect_all {
    my $scheme = shift;

    my $port = sprintf ':%04X', $upstream->port($scheme);
    my ($worker) = $upstream->workers;
    my $connections;

    kill 'STOP', $worker;

    wait_until(sub {
        $connections = () = slurp('/proc/net/tcp')
            =~ /^ *\d+: \S+ \S+$port 01 /mg;
        $connections >= LANES;
    }, 10);

    kill 'CONT', $worker;

    give_up("$connections connections to the upstream, not " . LANES)
        if $connections != LANES;
}


sub table {
    my @rows = @_;

    printf "%-28s %9s %9s %6s %13s  %s\n", '', qw(bare gateway ratio range
        bound);

    for my $row (@rows) {
        my @ratios = sort { $a <=> $b } @{ $row->{ratios} || [] };

        my @cells = map { defined ? sprintf $row->{format}, $_ : '' }
            @{ $row->{values} };

        my $line = sprintf '%-28s %9s %9s %6s %13s  %s', $row->{what}, @cells,
            @ratios ? sprintf('%.2f', median(@ratios)) : '',
            @ratios > 1 ? sprintf('%.2f to %.2f', @ratios[0, -1]) : '',
            @ratios ? bound(median(@ratios), $row->{least}, $row->{most}) : '';

        print $line =~ s/ +\z//r, "\n";
    }
}


sub bound {
    my ($value, $least, $most) = @_;

    return '' if !defined $least && !defined $most;

    my $kept = defined $least ? $value >= $least : $value <= $most;
    $missed = 1 if !$kept;

    return (defined $least ? "at least $least" : "at most $most")
        . ($kept ? '' : ': MISSED');
}


# What the check and the edit alone cost.

sub audience {
    my ($exit, $output) = run_command(['sh',
        "$FindBin::Bin/audience_bench.sh"], timeout => 120);

    my ($bytes, $count) = $output =~ /(\d+) bytes, (\d+) instructions/
        or give_up("audience_bench.sh: exit $exit: $output");

    printf "\nCheck and edit of a body of %d bytes: %d instructions, %s\n",
        $bytes, $count, bound($count, undef, CHECK_AT_MOST);
}
