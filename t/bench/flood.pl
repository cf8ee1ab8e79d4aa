#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What a flood of refused requests does to others: the latency of one account's
# creates, without and with another account over its quota calling as fast as it
# can, all on one worker; and the questions that the flood cost Redis.
#
#   perl t/bench/flood.pl [--rounds 5] [--seconds 2] [--connections 16]
#
# Three phases take turns, since a machine is not as fast now as it was a second
# ago: alone, beside the flood, and, for comparison, beside the same flood of a
# location that does nothing but "return 429"; told are medians of the rounds. The
# client that is measured asks 250 times a second, over one connection. The worker
# has a core of its own where there are two, and on the other one the client, Redis
# and what is in Pinterest's place come before the flood's generator, where that is
# allowed: so hardly anything waits for a processor, but for the worker.
#
# Told is, too, how long the worker itself worked between a request and its
# answer, for this request and others: that is the same on a machine that does
# other things besides.
#
# Exit: 0 the bounds are kept, 1 one is not, 2 it could not be measured.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use IO::Socket::INET;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use POSIX qw(PRIO_PROCESS);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

use constant { RATE => 250, RATIO_AT_MOST => 1.5, QUESTIONS_BELOW => 100,
    FLOOD => 20000 };
use constant { PRIORITY => -20, LOWEST => 19 };

my %opt = (rounds => 5, seconds => 2, connections => 16);
GetOptions(\%opt, 'rounds=i', 'seconds=i', 'connections=i') or exit 2;

my $other = '549755885176';

Pinaud::Nginx::no_tests();

my $nice = eval { setpriority(PRIO_PROCESS, 0, PRIORITY) } ? PRIORITY : 0;

# Quicker than the simulator, whose own latency would hide the rest.
my $quick = Pinaud::Nginx->new(load => 0, start => 1, http => <<'CONF');
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:%%PORT:http%%;
        location / { return 200 "{}"; }
    }
CONF

my $gw = Pinaud::Gateway->new(limits => ['none'], limits_all => ['none'],
    accounts => { account() => { limits => ['3/60s'],
            teams => { growth => [] } },
        $other => { limits => [], teams => { growth => [] } } },
    http => 'keepalive_requests 1000000;
        upstream quick { server ' . $quick->address . '; keepalive 32;
            keepalive_requests 1000000; }',
    server => 'location = /plain { return 429 "{}"; }',
    locations => '
        location /v5/ {
            pinaud on;
            pinaud_team $http_x_team;
            proxy_pass http://quick;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }');

spew("$gw->{dir}/flood.lua", <<"EOF");
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Team"] = "growth"
wrk.body = '@{[ body() ]}'
done = function(summary)
    io.write(string.format("RESULT %d\\n", summary.requests))
end
EOF

my $text = Pinaud::HTTP::head('POST', create_path($other), body => body(),
    team => 'growth') . body();

my %phases = (alone => undef, plain => '/plain', flood => create_path);
my (%p50, %p99, %worked, %flooded, $asked);
my ($worker) = map { 0 + $_ } $gw->nginx->workers;
my $clock = (-$worker - 1) * 8 + 2;    # as clock_getcpuclockid() makes it

place(0, $worker);
place(1, $_), first($_) for $$, $gw->redis->pid, $quick->workers;

post($gw, create_path, body, team => 'growth') for 1 .. 4;
measure(0.5);

for (1 .. $opt{rounds}) {
    for my $phase (sort keys %phases) {
        my $flood = $phases{$phase} && flood($phases{$phase});
        my $before = questions();
        my @some = measure($opt{seconds});

        push @{ $p50{$phase} }, part(0.5, map { $_->[0] } @some);
        push @{ $p99{$phase} }, part(0.99, map { $_->[0] } @some);
        push @{ $worked{$phase} }, part(0.99, map { $_->[1] } @some);
        $asked += questions() - $before - @some if $phase eq 'flood';
        $flooded{$phase} += ended($flood) if $flood;
    }
}

report();


# Where these can't be, they are as they were.

sub place { run_command(['taskset', '-acp', @_]) }
sub first { run_command(['chrt', '--rr', '--pid', 1, @_]) }


# The generator, when it is under way.

sub flood {
    my $path = shift;

    open my $pipe, '-|', 'nice', '-n', $nice ? -$nice : LOWEST, 'chrt', '--other', 0,
        'wrk', '-t', 1, '-c', $opt{connections}, '-d', $opt{seconds} + 1,
        '-s', "$gw->{dir}/flood.lua", 'http://' . $gw->address . $path
        or die "wrk: $!\n";
    sleep 0.5;

    return $pipe;
}


sub ended {
    my $pipe = shift;

    my $output = join '', <$pipe>;
    my ($requests) = $output =~ /^RESULT (\d+)/m or die "wrk: $output\n";

    return $requests;
}


# Latencies, and how long the worker worked meanwhile, in ms.

sub measure {
    my $seconds = shift;

    my $socket = IO::Socket::INET->new(PeerAddr => $gw->address)
        or die "connect: $!\n";
    my $end = now() + $seconds;
    my @latencies;

    while ((my $start = now()) < $end) {
        my $answer = '';
        my $before = clock_gettime($clock);

        syswrite $socket, $text;
        sysread $socket, $answer, 65536, length $answer
            or die "no answer: '$answer'\n"
            while $answer !~ /\r\n\r\n\{\}\z/;

        push @latencies, [1000 * (now() - $start),
            1000 * (clock_gettime($clock) - $before)];
        die "refused: $answer\n" if $answer !~ m{^HTTP/1.1 200 };

        my $pause = 1 / RATE - (now() - $start);
        sleep $pause if $pause > 0;
    }

    return @latencies;
}


sub now { clock_gettime(CLOCK_MONOTONIC) }


# How often admit.lua was called: the other account asks each time.

sub questions {
    my $stats = $gw->redis->cmd('INFO', 'commandstats');

    return $stats =~ /^cmdstat_evalsha:calls=(\d+)/m ? $1 : 0;
}


# The least of them that so much is below.

sub part {
    my ($share, @values) = @_;

    return (sort { $a <=> $b } @values)[$share * @values];
}


sub report {
    for my $phase (keys %phases) {
        $_->{$phase} = part(0.5, @{ $_->{$phase} }) for \%p50, \%p99,
            \%worked;
    }

    my %names = (alone => 'alone', flood => 'beside the flood',
        plain => 'beside a flood of "return 429"');
    my $ratio = $p99{flood} / $p99{alone};
    my $questions = $asked * FLOOD / $flooded{flood};
    my $seconds = $opt{rounds} * ($opt{seconds} + 1);

    printf "%-38s %7s %7s %12s\n", 'another account, ms', 'p50', 'p99',
        'worked, p99';
    printf "  %-36s %7.2f %7.2f %12.3f\n", @$_ for
        map { [$names{$_}, $p50{$_}, $p99{$_}, $worked{$_}] }
        qw(alone flood plain);
    printf "p99 beside the flood: %.2f x of alone, at most %.1f%s; %.2f x of"
        . " \"return 429\"\n", $ratio, RATIO_AT_MOST,
        $ratio > RATIO_AT_MOST ? ': MISSED' : '', $p99{flood} / $p99{plain};
    printf "the flood: %.0f a second, \"return 429\" %.0f\n",
        $flooded{flood} / $seconds, $flooded{plain} / $seconds;
    printf "questions to Redis for %d: %.1f, below %d%s\n", FLOOD, $questions,
        QUESTIONS_BELOW, $questions < QUESTIONS_BELOW ? '' : ': MISSED';

    exit($ratio > RATIO_AT_MOST || $questions >= QUESTIONS_BELOW);
}
