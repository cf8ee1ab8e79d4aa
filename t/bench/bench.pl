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
use IO::Socket::INET;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::TLS;
use POSIX ();


use constant PATH => '/v5/ad_accounts/549755885175/audiences';

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

my $dir = temp_dir('bench');
my @bodies = map { body_of($_) } 414, 510, 606, 710, 796;
spew("$dir/bodies", join '', map { "$_\n" } @bodies);

my $cores = () = slurp('/proc/cpuinfo') =~ /^processor/mg;
my $taskset = $cores > 1 && first_in_path('taskset');
my $wrk = first_in_path('wrk') or give_up('wrk is not installed');
my $missed = 0;

Pinaud::Nginx::no_tests();

my $tls = Pinaud::TLS->new;
my $redis = Pinaud::Redis->new;
my $upstream = upstream();

enrol();

my (%nginx, @rows);

for my $scheme (@schemes) {
    for my $kind (qw(bare gateway)) {
        $nginx{$scheme}{$kind} = proxy($kind, $scheme, start => 1);
    }

    check_alike($scheme);
}

pin_all() if $taskset;

printf "Bodies of %s bytes, %d connections, one worker%s.\n\n",
    join(', ', map { length } @bodies), $opt{connections},
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


# ------------------------------------------------------------ what is measured

# A body that is edited once, filled up to a size.

sub body_of {
    my $size = shift;

    my $body = '{"name":"Checkout visitors, last 180 days",'
        . '"audience_type":"VISITOR","description":"",'
        . '"rule":{"visitor_source_id":"2617998078212","retention_days":"180",'
        . '"event_source":{"=":["web","mobile"]},"event":"checkout",'
        . '"event_data":{"currency":"USD","value":116.10,"order_quantity":2,'
        . '"line_items":[{"product_id":"11","product_name":"Red boots",'
        . '"product_price":48}]},"prefill":true}}';

    my $fill = substr 'Everyone who bought something in the shop lately, '
        x 12, 0, $size - length $body;

    return $body =~ s/(?<="description":")/$fill/r;
}


sub first_in_path {
    my $name = shift;

    return (grep { -x } map { "$_/$name" } split /:/, $ENV{PATH})[0];
}


sub upstream {
    my ($cert, $key) = $tls->server('api.pinterest.com');

    return Pinaud::Nginx->new(load => 0, start => 1, http => <<CONF);
    keepalive_requests 1000000000;
    keepalive_timeout 1h;

    server {
        listen 127.0.0.1:%%PORT:http%%;
        listen 127.0.0.1:%%PORT:https%% ssl;
        ssl_certificate $cert;
        ssl_certificate_key $key;

        location / {
            default_type application/json;
            return 200 '{"id":"2542620639259","name":"Checkout visitors"}';
        }
    }
CONF
}


sub proxy {
    my ($kind, $scheme, %more) = @_;

    my $gateway = $kind eq 'gateway';
    my $conf = project_dir() . '/conf';

    my $store = $gateway ? <<CONF : '';
    pinaud_redis @{[ $redis->url ]};
    pinaud_redis_timeout 5s;
    pinaud_redis_connect_timeout 10s;
    pinaud_seal_key_file $dir/seal.key;
CONF

    my $team = $gateway ? <<CONF : '';
            pinaud on;
            pinaud_team \$http_x_team;
CONF

    return Pinaud::Nginx->new(load => $gateway, %more, http => <<CONF);
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    proxy_ssl_trusted_certificate @{[ $tls->ca ]};

$store
    upstream pinterest {
        server 127.0.0.1:@{[ $upstream->port($scheme) ]};
        keepalive 64;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }

    server {
        listen 127.0.0.1:%%PORT:http%%;

        location /v5/ {
$team
            proxy_pass $scheme://pinterest;
            include $conf/pinaud-proxy.conf;
        }
    }
CONF
}


# One credential, account and team, each with a limit that is never reached,
# so that every bucket is checked and charged.

sub enrol {
    spew("$dir/seal.key", ctl('', qw(seal-key generate)), 0600);

    ctl('bench-token', qw(credential put main --access-token-file -
        --expires-in 86400 --limit 1000000/10s --limit-all 1000000/1s));
    ctl('', qw(account put 549755885175 --credential main
        --limit 1000000/30s));
    ctl('', qw(team put growth --account 549755885175 --limit 1000000/10s));
}


sub ctl {
    my ($input, @args) = @_;

    my ($exit, $output) = run_command([project_dir() . '/build/pinaudctl',
        @args], input => $input, env => { PINAUD_REDIS => $redis->url,
            PINAUD_SEAL_KEY_FILE => "$dir/seal.key" });

    give_up("pinaudctl @args: $output") if $exit;
    return $output;
}


# The first core is the measured worker's, the second everybody else's.

sub pin_all {
    pin(0, map { $_->workers } map { values %$_ } values %nginx);
    pin(1, $redis->pid, $upstream->workers);
}


sub pin {
    my ($core, @pids) = @_;

    for my $pid (@pids) {
        my ($exit, $output) = run_command([$taskset, '-acp', $core, $pid]);
        give_up("taskset: $output") if $exit;
    }
}


# Both pass the same requests on, and the gateway works on them.

sub check_alike {
    my $scheme = shift;

    my ($bare, $gateway) = map { ask($nginx{$scheme}{$_}, scalar @bodies, 1) }
        qw(bare gateway);

    give_up("the gateway did not do its work: $gateway")
        if $gateway !~ /^Pinaud-Outcome: forwarded\r?$/mi
            || $gateway !~ /^Pinaud-Edits: /mi;

    give_up("answers differ: $bare $gateway")
        if $bare !~ /\r\n\r\n(.*)/s || $gateway !~ /\r\n\r\n\Q$1\E\z/;
}


sub give_up {
    print STDERR "bench: $_[0]\n";
    exit 2;
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
    my @before = (cpu($worker), cpu($redis->pid));

    my ($exit, $output) = run_command([$taskset ? ($taskset, '-c', 1) : (),
        $wrk, '-t', 1, '-c', $opt{connections}, '-d', $seconds,
        '-s', "$FindBin::Bin/bench.lua", 'http://' . $nginx->address,
        '--', PATH, "$dir/bodies"], timeout => $seconds + 20);

    my ($requests, $us, $status, $other) = $output
        =~ /^bench requests=(\d+) us=(\d+) status=(\d+) other=(\d+)$/m
        or give_up("wrk: exit $exit: $output");

    give_up("of $requests requests $status were answered over 399, $other"
        . " failed:\n" . $nginx->log) if $status || $other || !$requests;

    my @after = (cpu($worker), cpu($redis->pid));

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

    my $nginx = proxy($kind, $scheme, master => 0, patience => 60);
    my $log = $nginx->dir . '/callgrind';

    # What is started in nginx's place
    $nginx->{binary} = $nginx->write('nginx.sh', <<SH, 0755);
#!/bin/sh
exec valgrind --tool=callgrind --callgrind-out-file=/dev/null \\
    --log-file=$log $nginx->{binary} "\$@"
SH

    $nginx->start;
    ask($nginx, $requests, LANES, sub { connect_all($scheme) });
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


# Sends so many requests over some connections, one at once over each; "held"
# is called while the first are under way. Returns the last answer; all have to
# be 200.

sub ask {
    my ($nginx, $requests, $lanes, $held) = @_;

    my @texts = map {
        'POST ' . PATH . " HTTP/1.1\r\nHost: bench\r\nX-Team: growth\r\n"
            . "User-Agent: bench\r\nContent-Type: application/json\r\n"
            . 'Content-Length: ' . length($_) . "\r\n\r\n$_"
    } @bodies;

    my @sockets = map {
        IO::Socket::INET->new(PeerAddr => $nginx->address, Timeout => 10)
            || give_up('connect to ' . $nginx->address . ": $!")
    } 1 .. $lanes;

    my $last;

    for (my $sent = 0; $sent < $requests; $sent += $lanes) {
        for my $i (0 .. $lanes - 1) {
            $sockets[$i]->syswrite($texts[($sent + $i) % @texts]);
        }

        $held->() if $held && !$sent;

        for my $socket (@sockets) {
            $last = answer($socket);
            give_up("not a 200: $last") if $last !~ m{^HTTP/1.1 200 };
        }
    }

    return $last;
}


sub answer {
    my $socket = shift;

    my $text = '';

    local $SIG{ALRM} = sub { give_up("30 s after: '$text'") };
    alarm 30;

    while ($text !~ /^Content-Length: (\d+)\r\n.*?\r\n\r\n/msi
        || length $text < $+[0] + $1)
    {
        sysread $socket, $text, 65536, length $text
            or give_up("the connection ends after '$text'");
    }

    alarm 0;

    return $text;
}


# -------------------------------------------------------------------- results

sub median {
    my @sorted = sort { $a <=> $b } @_;

    return ($sorted[@sorted / 2] + $sorted[$#sorted / 2]) / 2;
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
