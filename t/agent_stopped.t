#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# An agent that is stopped for longer than others wait for it, and goes on:
# before its call is sent, and while it is answered.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Agents;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep);

my $shim = Pinaud::Agents::kill_at();

for my $mode ($shim ? ('keep', 'kill') : ()) {
    subtest "stopped before it sends, rotation $mode",
        sub { stopped_before($mode) };
}

for my $rotation ('keep', 'kill') {
    subtest "stopped in a call, rotation $rotation",
        sub { stopped_in_call($rotation) };
}

done_testing;


# A host that was stopped between its attempt and its call, for longer than
# others wait for it, does not send any more.

sub stopped_before {
    my $rotation = shift;

    my ($fleet, $first, $second) = two($rotation, { LD_PRELOAD => $shim,
        PINAUD_TEST_STOP_AT => 'call' });

    ok wait_until(sub { defined $fleet->secret('main')->{attempt} }, 5),
        'an agent begins';
    sleep 0.3;
    is scalar(grep { $_->{whole} } $fleet->calls), 0, 'and is stopped';

    $fleet->redis->cmd('HSET', 'pinaud:wanted', 'main', '1 worked');
    ok $second->wait('refreshed', 8), 'another takes over'
        or diag $second->text;
    $first->resume;

    # libcurl 8 was stopped in the middle of sending all of it

    my $at_once = (run_command(['curl', '--version']))[1] =~ m{libcurl/8};
    my $goes_on = $at_once ? qr/^(failed|overtaken|refreshed)$/ : qr/^failed$/;

    ok wait_until(sub { grep { $_->{event} =~ $goes_on } $first->log }, 5),
        'it goes on' or diag $first->text;

    SKIP: {
        skip 'it was being sent', 1 if $at_once;

        is scalar(grep { $_->{whole} } $fleet->calls('first')), 0,
            'and does not send any more';
    }

    is $first->stop, 0, 'it ends';
    is $second->stop, 0, 'so does the other';
    is $fleet->record('main')->{version}, 2, 'one version';
    is $fleet->record('main')->{state}, 'ok', 'its state';
    ok $fleet->works('main'), 'its token works';
}


# One that was stopped while its call was answered: its tokens are kept unless
# the other's are newer.

sub stopped_in_call {
    my $rotation = shift;

    my ($fleet, $first, $second) = two($rotation, {});

    ok wait_until(sub { scalar $fleet->calls }, 5), 'an agent calls';
    $first->pause;

    $fleet->redis->cmd('HSET', 'pinaud:wanted', 'main', '1 worked');
    ok $second->wait($rotation eq 'keep' ? 'refreshed'
        : 'needs authorization', 8), 'another takes over'
        or diag $second->text;
    $first->resume;

    # the answer waits in its socket, or is too late by its own clock

    ok wait_until(sub { grep { $_->{event} =~ /^(overtaken|refreshed)$/ }
        $first->log }, 5), 'it goes on' or diag $first->text;
    is $first->stop, 0, 'it ends';
    is $second->stop, 0, 'so does the other';

    is scalar(grep { Pinaud::Agents::spent($_) } $fleet->calls('first')), 1,
        'the first has called once';

    my $record = $fleet->record('main');

    if ($rotation eq 'keep') {
        is "$record->{state} $record->{version}", 'ok 2', 'one version';
        ok $fleet->works('main'), 'its token works';

    } elsif ($first->log('refreshed')) {
        is "$record->{state} $record->{version}", 'ok 2',
            'what the first got is kept after all';
        ok $fleet->works('main'), 'and works';

    } else {
        is $record->{state}, 'needs-authorization', 'it is lost';
        like $record->{reason}, qr/^attempt of \S+ lost/, 'and told so';
    }
}


sub two {
    my ($rotation, $env) = @_;

    my $fleet = Pinaud::Agents->new;
    my @times = ('--timeout', '400ms', '--takeover', '1600ms');

    $fleet->sim->oauth(rotation => $rotation, old_access => $rotation);
    $fleet->enrol('main');
    $fleet->sim->fault(kind => 'delay', seconds => 0.2, path => 'oauth');

    my $first = $fleet->agent('first', @times, $env);
    wait_until(sub { defined $fleet->secret('main')->{attempt} }, 5);

    return ($fleet, $first, $fleet->agent('second', @times));
}
