#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# No reply of Redis ever reaches another request than the one that asked:
# hundreds of requests for several accounts, each with a credential of its own,
# while replies are late, cut or lost, connections to Redis end, and clients
# leave. What arrives at Pinterest carries the token of its account, and each
# client is told of its own account's and team's limits, which no two share.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use List::Util qw(shuffle);
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

use constant { ACCOUNTS => 5, TEAMS => 6, CLIENTS => 40 };

my $requests = $ENV{PINAUD_LONG} ? 30000 : 1200;
my $seed = $ENV{PINAUD_SEED} // time() ^ $$;
srand $seed;

my $gw = Pinaud::Gateway->new(evil => 1, accounts => {}, upstream => 'http',
    http => 'pinaud_redis_timeout 300ms;', nginx => { workers => 2 });
my ($evil, $sim) = ($gw->evil, $gw->sim);

my @accounts = map { 549755885175 + $_ } 0 .. ACCOUNTS - 1;
my %tokens = map { ($_ => $sim->token(accounts => [$_])) } @accounts;
my (%sent, %policy, %status, @wrong);

$sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');

for my $i (0 .. $#accounts) {
    my $id = $accounts[$i];

    $gw->must_ctl(qw(credential put), "c$i",
        qw(--access-token-file - --expires-in 86400 --limit),
        100000 + $i . '/60s', '--limit-all', 400000 + $i . '/1s',
        \$tokens{$id});
    $gw->must_ctl(qw(account put), $id, '--credential', "c$i", '--limit',
        200000 + $i . '/60s');

    for my $j (0 .. TEAMS - 1) {
        my $team = 300000 + 100 * $i + $j;

        $gw->must_ctl(qw(team put), "t$j", '--account', $id, '--limit',
            "$team/60s");
        $policy{"$id t$j"} = [100000 + $i, 200000 + $i, $team,
            400000 + $i];
    }
}


# What is sent says of itself what it is: its account, team and number.

sub ask {
    my ($client, $n) = @_;

    my ($account, $j) = ($accounts[rand @accounts], int rand TEAMS);
    my $mark = "$account t$j $n";
    my $body = body(name => $mark);
    my $dry = rand() < 0.15;

    $client->{c} //= Pinaud::HTTP->connect($gw);
    $client->{c}->send(Pinaud::HTTP::head('POST', create_path($account),
        body => $body, team => "t$j", headers =>
        $dry ? ['Pinaud-Dry-Run: ?1'] : []) . $body);

    $client->{mark} = $mark;
    $client->{leaves} = rand() < 0.6 ? time() + rand 0.03 : 0;
    $sent{$mark} = { account => $account, of => "$account t$j", dry => $dry,
        body => $body };
}


# An answer is about the request that it answers.

sub answered {
    my $client = shift;

    my $mark = delete $client->{mark};
    my $sent = $sent{$mark};
    my $r = $client->{c}->response;
    my $status = $sent->{status} = $r->{status};
    my $of = $sent->{of};

    $status{$sent->{dry} ? "dry $status" : $status}++;

    if ($status == 200) {
        my @told = $r->header('RateLimit-Policy') =~ /;q=(\d+)/g;
        my %told = map { $_ => 1 } @told;
        my $json = $r->json;

        push @wrong, "$mark: limits @told"
            if grep { !$told{$_} } @{ $policy{$of} };
        push @wrong, "$mark: answered $r->{body}" if $sent->{dry}
            ? ($json->{would} // '') ne 'forwarded'
            : $json->{ad_account_id} ne $sent->{account}
                || $json->{name} ne $mark;

    } elsif ($status != 503 || $r->json->{type} !~ /:store-unavailable\z/) {
        push @wrong, "$mark: $status $r->{body}";
    }

    delete $client->{c} if ($r->header('Connection') // 'close') eq 'close';
}


# How Redis is, one after the other, all of them at least once.

my %modes = (
    'as ever' => sub { $evil->mode('pass') },
    'late' => sub { $evil->mode('delay', seconds => 0.002 + rand 0.02) },
    'too late' => sub { $evil->mode('delay', seconds => 0.4, times => 3) },
    'byte by byte' => sub { $evil->mode('trickle', seconds => 0.0002,
        times => 5) },
    'cut' => sub { $evil->mode('cut', bytes => int rand 250, times => 2) },
    'half' => sub { $evil->mode('half', bytes => 1 + int rand 100,
        times => 1) },
    'closed' => sub { $evil->mode('close', times => 2) },
    'reset' => sub { $evil->mode('reset', times => 2) },
    'silent' => sub { $evil->mode('black_hole', times => 2) },
    'an error' => sub { $evil->mode('error', text => 'ERR no', times => 3,
        only => 'EVALSHA|EVAL') },
    'another connection' => sub { $evil->drop; $evil->mode('pass') },
    'other connections' => sub {
        $evil->mode('delay', seconds => 0.05);
        sleep 0.02;
        $evil->drop;
    },
);

my @modes = sort keys %modes;
my @turns = shuffle @modes;
my @clients = map { {} } 1 .. CLIENTS;
my ($n, $phases, $phase_ends) = (0, 0, 0);
my $end = time() + ($ENV{PINAUD_LONG} ? 300 : 45);

sub more { $n < $requests || @turns }

while ((more() || grep { $_->{mark} } @clients) && time() < $end) {
    if (more() && time() > $phase_ends) {
        my $good = ++$phases % 2;

        $modes{$good ? 'as ever' : shift @turns
            // $modes[rand @modes]}->();
        $phase_ends = time() + ($good ? 0.06 : 0.08);
    }

    for my $client (@clients) {
        if ($client->{mark}) {
            if ($client->{leaves} && time() >= $client->{leaves}) {
                rand() < 0.5 ? $client->{c}->close : $client->{c}->abort;
                $sent{delete $client->{mark}}{left} = 1;
                delete $client->{c};
                $status{left}++;
            }

        } elsif (more() && rand() < 0.03) {
            ask($client, $n++);
        }
    }

    $evil->mode('pass') if !more();

    my $select = IO::Select->new(map { $_->{c}{socket} }
        grep { $_->{mark} } @clients);
    my %ready = map { fileno($_) => 1 } $select->can_read(0.01);

    answered($_) for grep { $_->{mark} && $ready{fileno $_->{c}{socket}} }
        @clients;
}

is scalar(grep { $_->{mark} } @clients), 0, 'every request has an answer';
is join("\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]), '',
    "each answer is about its request, seed $seed";

for my $status (200, 503, 'dry 200', 'left') {
    ok $status{$status}, "some of them: $status";
}

note join ', ', map { "$_: $status{$_}" } sort keys %status;


# What arrived: of each request at most once, with its account's token

my (%arrived, @foreign);

sleep 0.5;

for my $request ($sim->requests) {
    my ($account) = $request->{target} =~ m{^/v5/ad_accounts/(\d+)/};
    my ($token) = $request->{head} =~ /^Authorization: Bearer (\S+)\r$/m;
    my ($mark) = $request->{body} =~ /"name":"([^"]+)"/;

    $arrived{$mark}++;
    push @foreign, "$mark: at $account with $token" if !$sent{$mark}
        || $account ne $sent{$mark}{account} || $token ne $tokens{$account}
        || $request->{body} ne $sent{$mark}{body};
}

my @served = grep { ($sent{$_}{status} // 0) == 200 && !$sent{$_}{dry} }
    keys %sent;
my @refused = grep { ($sent{$_}{status} // 0) == 503 || $sent{$_}{dry} }
    keys %sent;

is join("\n", @foreign), '',
    scalar(keys %arrived) . " requests arrived, each with its account's token";
is join(' ', grep { $arrived{$_} > 1 } keys %arrived), '', 'none twice';
is join(' ', grep { !$arrived{$_} } @served), '', 'all that were served';
is join(' ', grep { $arrived{$_} } @refused), '', 'and none that was not';


# And it is as before

$evil->mode('pass');

for my $i (0 .. $#accounts) {
    my $id = $accounts[$i];
    my $body = body(name => "after $i");

    $gw->arrived;
    wait_until(sub { post($gw, create_path($id), $body, team => 't0')
        ->{status} == 200 }, 5);

    my @last = $gw->arrived;
    like $last[-1]{head}, qr/^Authorization: Bearer \Q$tokens{$id}\E\r$/m,
        "account $i is served, with its token";
}

finish();
