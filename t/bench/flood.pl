#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What a flood of refused requests does to others: the latency of one account's
# creates, without and with another account over its quota calling as fast as it
# can, all on one worker; and the questions that the flood cost Redis.
#
#   perl t/bench/flood.pl [--rounds 9] [--connections 16]
#
# Three phases take turns, since a machine is not as fast now as it was a second
# ago: alone, beside the flood, and, for comparison, beside the same flood of a
# location that does nothing but "return 429"; told are medians of the rounds. The
# client that is measured asks 500 times a second, over one connection.
#
# The worker has a core of its own where there are two. It, and on the other core
# the client, Redis and what is in Pinterest's place, run in real time, where that
# is allowed, so that hardly anything waits for a processor, but for the worker:
# phases are so short since Linux lets nobody do that for a whole second.
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
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

use constant { RATE => 500, RATIO_AT_MOST => 1.5, QUESTIONS_BELOW => 100,
    FLOOD => 20000 };
use constant { PHASE => 0.4, LEAD => 0.05 };

my %opt = (rounds => 9, connections => 16);
GetOptions(\%opt, 'rounds=i', 'connections=i') or exit 2;

my $other = '549755885176';

Pinaud::Nginx::no_tests();

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
    io.write(string.format("RESULT %d %d\\n", summary.requests,
        summary.duration))
end
EOF

my $text = Pinaud::HTTP::head('POST', create_path($other), body => body(),
    team => 'growth') . body();

my %phases = (alone => undef, plain => '/plain', flood => create_path);
my (%p50, %p99, %flooded, %lasted, $asked);
my ($worker) = map { 0 + $_ } $gw->nginx->workers;
my $clock = (-$worker - 1) * 8 + 2;    # as clock_getcpuclockid() makes it

place(0, $worker);
place(1, $_) for $$, $gw->redis->pid, $quick->workers;

post($gw, create_path, body, team => 'growth') for 1 .. 4;
measure(PHASE);

for (1 .. $opt{rounds}) {
    for my $phase (sort keys %phases) {
        sleep PHASE;

        my $flood = $phases{$phase} && flood($phases{$phase});
        my $before = questions();
        my @some = measure(PHASE);

        push @{ $p50{$phase} }, part(0.5, @some);
        push @{ $p99{$phase} }, part(0.99, @some);

        $asked += questions() - $before - @some if $phase eq 'flood';
        next if !$flood;

        my ($requests, $seconds) = ended($flood);

        $flooded{$phase} += $requests;
        $lasted{$phase} += $seconds;
    }
}

report();


# Where these can't be, they are as they were.

sub place {
    my ($core, $pid) = @_;

    run_command(['taskset', '-acp', $core, $pid]);
    run_command(['chrt', '--rr', '--pid', 1, $pid]);
}


# The generator, when it is under way; its pid and its output.

sub flood {
    my $path = shift;

    my $idle = clock_gettime($clock);
    my $pid = open my $pipe, '-|', 'nice', '-n', -20, 'chrt', '--other', 0,
        'wrk', '-t', 1, '-c', $opt{connections}, '-d', 9, '-s',
        "$gw->{dir}/flood.lua", 'http://' . $gw->address . $path
        or die "wrk: $!\n";

    wait_until(sub { clock_gettime($clock) > $idle + LEAD }, 3)
        or die "the flood does not come\n";

    return [$pid, $pipe];
}


sub ended {
    my ($pid, $pipe) = @{ $_[0] };

    kill 'INT', $pid;

    my $output = join '', <$pipe>;
    my ($requests, $us) = $output =~ /^RESULT (\d+) (\d+)/m
        or die "wrk: $output\n";

    close $pipe;
    return ($requests, $us / 1e6);
}


# Latencies in ms.

sub measure {
    my $seconds = shift;

    my $socket = IO::Socket::INET->new(PeerAddr => $gw->address)
        or die "connect: $!\n";
    my $end = now() + $seconds;
    my @latencies;

    while ((my $start = now()) < $end) {
        my $answer = '';

        syswrite $socket, $text;
        sysread $socket, $answer, 65536, length $answer
            or die "no answer: '$answer'\n"
            while $answer !~ /\r\n\r\n\{\}\z/;

        push @latencies, 1000 * (now() - $start);
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
        $_->{$phase} = part(0.5, @{ $_->{$phase} }) for \%p50, \%p99;
    }

    my %names = (alone => 'alone', flood => 'beside the flood',
        plain => 'beside a flood of "return 429"');
    my $ratio = $p99{flood} / $p99{alone};
    my $questions = $asked * FLOOD / $flooded{flood};

    printf "%-38s %7s %7s\n", 'another account, ms', 'p50', 'p99';
    printf "  %-36s %7.2f %7.2f\n", $names{$_}, $p50{$_}, $p99{$_}
        for qw(alone flood plain);
    printf "p99 beside the flood: %.2f x of alone, at most %.1f%s; %.2f x of"
        . " \"return 429\"\n", $ratio, RATIO_AT_MOST,
        $ratio > RATIO_AT_MOST ? ': MISSED' : '', $p99{flood} / $p99{plain};
    printf "the flood: %.0f a second, \"return 429\" %.0f\n",
        map { $flooded{$_} / $lasted{$_} } qw(flood plain);
    printf "questions to Redis for %d: %.1f, below %d%s\n", FLOOD, $questions,
        QUESTIONS_BELOW, $questions < QUESTIONS_BELOW ? '' : ': MISSED';

    exit($ratio > RATIO_AT_MOST || $questions >= QUESTIONS_BELOW);
}
