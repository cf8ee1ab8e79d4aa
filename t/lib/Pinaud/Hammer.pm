package Pinaud::Hammer;

# Copyright (C) the ngx_pinaud_module authors

# Clients that ask a fleet of gateways as often as they are answered, and how
# what arrived at Pinterest lies in time.
#
#   my $status = hammer(\@fleet, \@requests, 5);    for 5 seconds; how often
#                                                   each status was answered
#   hammer(\@fleet, \@requests, 5, clients => 16, meanwhile => sub { ... });
#   my $most = densest(\@times, 3);                 in any window of 3 seconds
#   my ($rounds, $share) = used(\@times, 100, 3);   how often so many went, and
#                                                   their share of the limit

use warnings;
use strict;

use Exporter qw(import);
use IO::Select;
use Pinaud::HTTP;
use Time::HiRes qw(time);

our @EXPORT = qw(hammer densest used);


# Each client pauses a little after a refusal: the cores are the gateways' and
# Redis's, too.

sub hammer {
    my ($fleet, $requests, $seconds, %opt) = @_;

    my $meanwhile = $opt{meanwhile} // sub { };
    my ($asked, %status) = (0);

    my @clients = map { { where => $fleet->[$_ % @$fleet], at => 0 } }
        1 .. $opt{clients} // 16;

    my $ask = sub {
        my $client = shift;

        $client->{c} //= Pinaud::HTTP->connect($client->{where});

        $client->{c}->send($requests->[$asked++ % @$requests]);
        $client->{busy} = 1;
    };

    my $take = sub {
        my $client = shift;
        my $r = $client->{c}->response;

        $status{$r->{status}}++;
        $client->{busy} = 0;
        $client->{at} = $r->{status} == 200 ? 0 : time() + 0.02;

        if (!$r->{status} || ($r->header('Connection') // '') eq 'close') {
            $client->{c}->close;
            delete $client->{c};
        }
    };

    my $end = time() + $seconds;

    while (time() < $end) {
        my $now = time();
        my $select = IO::Select->new;

        $meanwhile->();

        for my $client (@clients) {
            $ask->($client) if !$client->{busy} && $client->{at} <= $now;
            $select->add($client->{c}{socket}) if $client->{busy};
        }

        my %ready = map { fileno($_) => 1 } $select->can_read(0.005);

        $take->($_) for grep { $_->{busy} && $ready{fileno $_->{c}{socket}} }
            @clients;
    }

    $take->($_) for grep { $_->{busy} } @clients;
    $_->{c}->close for grep { $_->{c} } @clients;

    return \%status;
}


sub densest {
    my ($times, $window) = @_;

    my ($most, $from) = (0, 0);

    for my $to (0 .. $#$times) {
        $from++ while $times->[$to] - $times->[$from] >= $window;
        $most = $to - $from + 1 if $to - $from + 1 > $most;
    }

    return $most;
}


# How long it takes to be admitted N times more, again and again.

sub used {
    my ($times, $n, $window) = @_;

    my $rounds = int($#$times / $n);
    return (0, 0) if $rounds < 1;

    return ($rounds,
        $rounds * $window / ($times->[$rounds * $n] - $times->[0]));
}


1;
