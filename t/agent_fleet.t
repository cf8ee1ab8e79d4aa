#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Three agents and many credentials that expire together, at an endpoint that
# answers in up to three times the agents' timeout, while agents are stopped in
# a call and go on. Each refresh token is spent once; by another agent never,
# and by the same one only where it does not know what became of its own call.
# PINAUD_LONG=1 for 200 credentials.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Agents;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $many = $ENV{PINAUD_LONG} ? 200 : 16;
my $timeout = 0.4;
my @agents = qw(one two three);

srand;

for my $mode (['keep', 0], ['kill', 1],
    $ENV{PINAUD_LONG} ? ['kill', 0] : ())
{
    my ($rotation, $family) = @$mode;

    subtest "rotation $rotation" . ($family ? ', and a reuse revokes all' : ''),
        sub { fleet($rotation, $family) };
}

done_testing;


sub fleet {
    my ($rotation, $family) = @_;

    my $fleet = Pinaud::Agents->new;
    my $sim = $fleet->sim;
    my @names = map { "c$_" } 1 .. $many;
    my %token;

    $sim->oauth(rotation => $rotation, family => $family);
    $token{$fleet->enrol($_)} = $_ for @names;

    # two of three are too late; by and by the endpoint recovers

    $sim->fault(kind => 'delay', path => 'oauth',
        seconds => 0.01 + rand 3 * $timeout) for 1 .. $many * 3 / 2;

    my @running = map { $fleet->agent($_, '--timeout', $timeout * 1000 . 'ms') }
        @agents;
    my $end = time() + ($ENV{PINAUD_LONG} ? 20 : 2);

    while (time() < $end) {
        my $agent = $running[rand @running];
        $agent->pause;
        sleep 0.05 + rand 2 * $timeout;
        $agent->resume;
        sleep rand 0.2;
    }

    # until all have come to an end

    my %state;
    wait_until(sub {
        sleep 0.2;
        %state = map { $_ => $fleet->record($_)->{state} // '' } @names;
        return !grep { !/^(ok|needs-authorization)$/ } values %state;
    }, $ENV{PINAUD_LONG} ? 120 : 30);

    is join(' ', grep { $state{$_} !~ /^(ok|needs-authorization)$/ } @names),
        '', 'all have come to an end';

    $_->stop for @running;

    my @calls = $fleet->calls;
    my %log = map { $_->name => [$_->log] } @running;
    my (%by, %accepted, %used, @wrong);

    for my $call (@calls) {
        my $spent = Pinaud::Agents::spent($call);
        next if $spent eq '' || !$call->{whole};

        my ($agent) = $call->{target} =~ /\?(\w+)$/;
        $by{$spent}{$agent}++;
        $used{$spent}++;
        $accepted{$spent}++ if accepted($fleet, $call);
    }

    my $calls = keys %used;
    is scalar(grep { !$used{$_} } keys %token), 0, 'all were refreshed';
    is scalar(grep { keys %{ $by{$_} } > 1 } keys %by), 0,
        "no refresh token was spent by two agents, of $calls";
    cmp_ok scalar(grep { $_ > 1 } values %used), '>', 0,
        'some were tried again' if $rotation eq 'keep';

    # whoever uses one again had a call of unknown outcome before

    for my $spent (grep { $used{$_} > 1 } keys %used) {
        my ($agent) = keys %{ $by{$spent} };
        my $name = $token{$spent} or next;
        my $unknown = grep { ($_->{credential} // '') eq $name
            && ($_->{outcome} // '') eq 'unknown' } @{ $log{$agent} };

        push @wrong, "$name: $used{$spent} uses, $unknown unknown"
            if $unknown < $used{$spent} - 1;
    }

    is join(', ', @wrong), '', 'none but after a call of unknown outcome';

    if ($rotation eq 'kill') {
        is scalar(grep { $_ > 1 } values %accepted), 0,
            'no refresh token was accepted twice';
    }

    # what the store holds is good, or known to be lost

    my (@bad, $lost);
    my %granted = map { substr(Digest::SHA::sha256_hex($_), 0, 8) => $_ }
        $fleet->granted;

    for my $name (@names) {
        my $record = $fleet->record($name);

        if ($record->{state} eq 'needs-authorization') {
            $lost++;
            push @bad, "$name: $record->{reason}"
                if $rotation eq 'keep'
                    || $record->{reason} !~ /^attempt of \S+ lost/;
            next;
        }

        push @bad, "$name: version $record->{version}"
            if $record->{version} != 2;
        push @bad, "$name: an attempt stands"
            if defined $fleet->secret($name)->{attempt};
        push @bad, "$name: its token is not one that was granted last"
            if !$granted{$fleet->ctl->must(qw(credential show --json), $name)
                ->{json}{fingerprint}};
    }

    is join(', ', @bad), '', 'every credential is refreshed once, or is lost';
    note(($lost // 0) . " of $many lost, " . @calls . ' calls');
}


sub accepted {
    my ($fleet, $call) = @_;

    my $answer = eval { JSON::PP->new->utf8->decode($call->{answer} // '') };
    return ref $answer eq 'HASH' && defined $answer->{access_token};
}
