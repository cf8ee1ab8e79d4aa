#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Everything that can go wrong on both sides of the gateway, in random order:
# never is less charged than Pinterest saw, and what is charged beyond that is
# exactly what is not known to have arrived.
#
# Each step has one fault. Requests are known by a name, which the body takes
# to Pinterest and a field to the access log. The one fault that can not be had
# is a failure of DNS: nginx resolves the servers of an upstream when it reads
# its configuration, and does not start where it can not.
#
# PINAUD_SEED: the order of an earlier run. PINAUD_LONG=1: ten times as many.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use List::Util qw(shuffle sum0);
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Pinterest;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{PINAUD_SEED} // int rand 1 << 31;
diag "PINAUD_SEED=$seed";
srand $seed;

# In seconds: how long Redis is awaited; its reply is late, but its connection
# not yet given up; how long Pinterest is awaited, and a connection to it.
my ($timeout, $late, $read, $connect) = (0.3, 0.4, 0.3, 0.4);

my $limit = '1000000/1h';
my $forger = Pinaud::Pinterest->new;

my $gw = Pinaud::Gateway->new(evil => 1, retry => 1,
    redis => { persist => 1 }, limits => [$limit], limits_all => [$limit],
    accounts => { account() => { limits => [$limit],
        teams => { growth => [$limit] } } },
    proxy => { proxy_read_timeout => 1000 * $read . 'ms',
        proxy_connect_timeout => 1000 * $connect . 'ms' },
    nginx => { start => 0, allow => [qr/SSL_do_handshake\(\) failed/] });

my $to = 'access_log %%DIR%%/logs/names.log names;';
my $locations = $gw->locations =~ s{https://pinterest}{https://forged}gr;

$gw->{server} = $to;
$gw->{http} = <<EOF;
    pinaud_redis_timeout @{[ 1000 * $timeout ]}ms;
    log_format names '\$http_x_name \$pinaud_outcome';
    upstream forged { server 127.0.0.1:@{[ $forger->tls_port ]}; }

    server {
        listen 127.0.0.1:%%PORT:forged%%;
        $to
$locations
    }
EOF

$gw->nginx->conf($gw->http)->start;

my $forged = '127.0.0.1:' . $gw->nginx->port('forged');
my $path = create_path;
my ($redis, $evil, $sim) = ($gw->redis, $gw->evil, $gw->sim);


# ----------------------------------------------------------------- what is told

my $usage = join '', map { slurp(project_dir() . "/src/store/$_.lua") }
    qw(ring usage);
my $bucket = 'pinaud:bucket:{main}:' . account;


# What is charged: a number where all buckets count the same.

sub charged {
    my %used = map { ($redis->cmd('EVAL', $usage, 1, $_,
        '1000000/3600')->[2] => 1) } 'pinaud:calls:{main}',
        'pinaud:writes:{main}', $bucket, "$bucket:growth";

    return join ' and ', sort keys %used;
}


# How often each name was seen by Pinterest, beside those that it answered with
# 401: these it refuses before it does or counts anything.

my %seen;

sub look {
    for my $r ($sim->requests) {
        my ($name) = $r->{body} =~ /"name":"(n\d+)"/
            or die "no name: $r->{head}$r->{body}";
        $seen{$name}++ if ($r->{status} // '') ne 401;
    }

    $sim->forget;
}


# The outcome of each name, when there is one of all.

my %outcome;

sub settled {
    my @names = @_;

    wait_until(sub {
        %outcome = map { /^(n\d+) (\w+)$/ ? ($1, $2) : () }
            split /\n/, slurp($gw->nginx->dir . '/logs/names.log');
        !grep { !$outcome{$_} } @names;
    }, 3);
}


sub unclear { grep { $outcome{$_} eq 'unknown' && !$seen{$_} } keys %outcome }


# What goes in, and ends.

my $last = 0;

sub ask {
    my $where = shift // $gw;

    my $name = 'n' . ++$last;
    my $c = Pinaud::HTTP->connect($where);
    my $text = body(name => $name);

    $c->send(Pinaud::HTTP::head('POST', $path, body => $text,
        team => 'growth', headers => ["X-Name: $name"]) . $text);

    return $c;
}


sub end { $_->response, $_->close for @_ }


# Until it works again, and no cooldown holds. This charges nothing, and makes Redis know the scripts
# after a restart.

sub works {
    wait_until(sub {
        post($gw, $path, body(), team => 'growth',
            headers => ['Pinaud-Dry-Run: ?1'])->{status} == 200;
    }, 5) or die "it does not work\n";
}


# ------------------------------------------------------------------- the faults

# Each sends requests, and tells how many are charged that it knows to be lost.

sub pinterest {
    my %fault = @_;

    return sub {
        my $n = 1 + int rand 4;

        # over new connections
        $sim->drop;
        sleep 0.05;

        $sim->fault(%fault, times => $n);
        end(map { ask() } 1 .. $n);
        $sim->clear_faults;
        return 0;
    };
}


# Where Redis did what it was asked and its reply is lost, only one is asked
# for: on one connection the others would never get to it.

sub store {
    my ($lost, @mode) = @_;

    return sub {
        $evil->mode(@mode, only => 'EVALSHA');
        end(map { ask() } 1 .. ($lost || 1 + int rand 4));
        $evil->mode('pass');
        return $lost;
    };
}


sub leaves {
    my ($seconds, $prepare) = @_;

    return sub {
        $prepare->();
        my @asked = map { ask() } 1 .. 3;
        sleep $seconds;
        $_->abort for @asked;
        settled(map { "n$_" } $last - 2 .. $last);
        $evil->mode('pass');
        $sim->clear_faults;
        return 0;
    };
}


# Who is connecting to Pinterest while "code" is run, and does not get there.

sub connecting {
    my $code = shift;

    $sim->drop;
    sleep 0.05;
    kill 'STOP', $sim->pid;

    my $before = charged();
    my @asked = (ask(), ask());
    wait_until(sub { charged() eq $before + 2 }, 0.2) or diag 'not charged';
    $code->();
    end(@asked);

    kill 'CONT', $sim->pid;
}


my %faults = (
    'none' => pinterest(kind => 'headers', headers => []),
    'reset before TLS' => pinterest(kind => 'reset_accept'),
    'reset, unread' => pinterest(kind => 'reset_before'),
    'closed, unread' => pinterest(kind => 'close_before'),
    'reset, read' => pinterest(kind => 'reset_after'),
    'closed, read' => pinterest(kind => 'close'),
    'silence' => pinterest(kind => 'silence'),
    'an answer too late' => pinterest(kind => 'delay', seconds => 2 * $read),
    'half an answer' => pinterest(kind => 'truncate'),
    'no HTTP' => pinterest(kind => 'garbage'),
    '500' => pinterest(kind => 'error'),
    '503' => pinterest(kind => 'error', status => 503),
    '403' => pinterest(kind => 'forbidden'),
    '401' => pinterest(kind => 'unauthorized'),

    # its cooldown is over in a second
    '429' => pinterest(kind => 'rate_limited',
        headers => [['x-ratelimit-reset', 0]]),

    '401, and a newer token' => sub {
        $sim->fault(kind => 'unauthorized', seconds => $read / 2);
        my $asked = ask();
        $gw->must_ctl(qw(credential put main --access-token-file -),
            \$gw->token);
        end($asked);
        return 0;
    },

    'nobody listens' => sub {
        $sim->refuse;
        end(map { ask() } 1 .. 3);
        $sim->accept;
        return 0;
    },

    'another certificate' => sub { end(ask($forged), ask($forged)); 0 },
    'no TLS in time' => sub { connecting(sub { }); 0 },

    'leaves while Redis is asked' => leaves(0.05, sub {
        $evil->mode('delay', seconds => 0.15, only => 'EVALSHA') }),
    'leaves while Pinterest is asked' => leaves(0.1, sub {
        $sim->fault(kind => 'delay', seconds => 0.2, times => 3) }),

    'Redis: late' => store(0, 'delay', seconds => $late),
    'Redis: much too late' => store(1, 'delay', seconds => 2),
    'Redis: the reply is cut' => store(1, 'cut', bytes => 7),
    'Redis: half a reply' => store(1, 'half', bytes => 5),
    'Redis: reset' => store(0, 'reset'),
    'Redis: an error' => store(0, 'error', text => 'OOM no memory'),

    # what it does when it goes on is past its deadline
    'Redis: stopped' => sub {
        $redis->pause;
        my @asked = map { ask() } 1 .. 3;
        sleep $late;
        $redis->resume;
        end(@asked);
        return 0;
    },

    'Redis: killed, its reply on the way' => sub {
        my $before = charged();
        $evil->mode('delay', seconds => 5, only => 'EVALSHA');
        my $asked = ask();
        wait_until(sub { charged() eq $before + 1 }, 0.2) or diag 'not charged';
        $redis->kill;
        end($asked);
        $evil->mode('pass');
        $redis->start;
        return 1;
    },

    # what is to be given back meanwhile is so later
    'Redis: killed' => sub {
        connecting(sub { $redis->kill });
        $redis->start;
        return 0;
    },

    # and is once, where it was asked for twice
    'Redis: stopped, asked to give back' => sub {
        connecting(sub { $redis->pause });
        sleep 2 * $timeout + 0.1;
        $redis->resume;
        return 0;
    },
);


# ---------------------------------------------------------------------- the run

works();

my ($lost, $fewer, $off) = (0, 0, 0);
my @replies;


# What is charged, when it is what it should be. A step that is wrong makes
# those after it not wrong, too.

sub charged_is {
    my ($name, $patience) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $arrived = sum0(values %seen);
    my $should = $arrived + unclear() + $lost + $off;
    my $is;

    wait_until(sub { ($is = charged()) eq $should }, $patience);
    is $is, $should, $name;

    if ($is =~ /and/) {
        die "the buckets count differently\n";
    }

    $fewer++ if $is < $arrived;
    $off += $is - $should;
    return $is;
}


for my $kind (shuffle((sort keys %faults) x ($ENV{PINAUD_LONG} ? 10 : 1))) {
    my $first = $last + 1;

    $evil->forget;
    $lost += $faults{$kind}->();
    works() if $kind =~ /^Redis|^429/;

    my @names = map { "n$_" } $first .. $last;

    settled(@names);
    look();

    # what comes late is given back when it is there
    charged_is("$kind: " . join(', ', map { $outcome{$_} // 'nothing' } @names),
        3);

    # to give back again, while that is remembered, changes nothing

    my @refunds = grep { $_->[2 + $_->[2]] =~ /^pinaud:refund:/ }
        @{ $evil->commands('EVALSHA') };
    my $before = charged();

    push @replies, map { my (undef, @args) = @$_;
        '' . $redis->try('EVALSHA', @args) } @refunds;
    is charged(), $before, "$kind: nothing is given back twice" if @refunds;
}


# Many at once, every third with a fault, while Redis is slow.

my $first = $last + 1;

$sim->fault(kind => $_) for shuffle((qw(reset_accept reset_before close_before
    reset_after close truncate error unauthorized garbage)) x 2);
$evil->mode('delay', seconds => 0.002);
end(map { ask() } 1 .. 60);
$evil->mode('pass');
settled(map { "n$_" } $first .. $last);
look();

my $is = charged_is('many at once', 2);


# --------------------------------------------------------------- all of the run

my $arrived = sum0(values %seen);
my $unclear = unclear();

diag "$last requests, $arrived arrived, $unclear are unclear, $lost are lost";
diag join ', ', map { my $name = $_; "$name: "
    . grep { $_ eq $name } values %outcome } sort keys %{{ reverse %outcome }};
is $fewer, 0, 'never was less charged than had arrived';
is $is - $arrived, $unclear + $lost, 'the excess is what is unclear or lost';
cmp_ok $unclear, '>', 0, 'some are unclear';
cmp_ok scalar(@replies), '>=', 10, 'some were given back';
is join(' ', grep { $_ ne '0' && !/^NOSCRIPT/ } @replies), '',
    'a repeated refund is told so';

my @said = sort keys %outcome;
my $unsent = qr/^(?:not_sent|store_down|abandoned|no_credential)$/;

is join(' ', grep { $outcome{$_} !~ $unsent
    && $outcome{$_} !~ /^(?:forwarded|unknown)$/ } @said), '',
    'no other outcomes';
is join(' ', grep { $seen{$_} && $outcome{$_} =~ $unsent } @said), '',
    'what is told not to be sent had not arrived';
is join(' ', grep { !$seen{$_} && $outcome{$_} eq 'forwarded' } @said), '',
    'what is told to be forwarded had arrived';
is join(' ', grep { $seen{$_} > 1 } sort keys %seen), '', 'once each';


# the metrics

my $metrics = $gw->metrics;
my %count;
$count{$_}++ for slurp($gw->nginx->dir . '/logs/names.log') =~ / (\w+)$/mg;

my %told = map { ($_ => $metrics->{'pinaud_requests_total{operation='
    . "\"audiences/create\",outcome=\"$_\"}"}) } keys %count;
is_deeply \%told, \%count, 'metrics: outcomes';

is $metrics->{'pinaud_store_errors_total{reason="refund"}'}, undef,
    'metrics: all was given back';
cmp_ok $told{unknown} + $told{store_down}, '>=', $is - $arrived,
    'metrics: the excess is counted';

finish();
