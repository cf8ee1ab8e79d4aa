#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# An agent that is killed, at each step that others can see of it: before it
# connects or sends, after it received, before a journal's file is on the disk.
# In between, Redis is killed and comes back with all it was told, or with
# nothing of what the agent told it. Then the agent is started again, and may
# be killed again. A token that reached it is not lost; one that did not is
# told as lost, where Pinterest takes a refresh token only once.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use File::Path qw(remove_tree);
use Pinaud::Agents;
use Pinaud::HTTP;
use Pinaud::Process;
use Test::More;

my $dir = temp_dir('kill');
my $shim = Pinaud::Agents::kill_at() or plan skip_all => 'no compiler';

my $killed = 128 + 9;
my $fleet = Pinaud::Agents->new(persist => 1);
my $redis = $fleet->redis;
my $db = 0;

# the steps of an agent that has one credential to refresh

my @steps = steps();
my ($call) = grep { $steps[$_] eq 'call' } 0 .. $#steps;
my ($answered) = grep { $steps[$_] eq 'received' } $call .. $#steps;
my ($journalled) = grep { $steps[$_] eq 'fsync' } $answered .. $#steps;

cmp_ok scalar(@steps), '>', 20, 'steps of an agent';
ok defined $journalled, 'it is answered, and puts that into its journal'
    or BAIL_OUT(join ' ', @steps);

# kill, restore, start again

my @modes = (['kill', 0], ['kill', 1], ['keep', 1]);
push @modes, ['keep', 0] if $ENV{PINAUD_LONG};

for my $mode (@modes) {
    my ($rotation, $lose) = @$mode;
    my $name = "rotation $rotation, Redis "
        . ($lose ? 'loses all that it was told' : 'keeps what it was told');

    subtest $name => sub {
        # some more, since how often Redis is asked depends on time

        my @cases = map { { at => $_ } } 1 .. @steps + 5;

        # what began may be killed again while it brings that to an end

        push @cases, map { { at => $journalled + 1, then => $_ } } 1 .. 22
            if $rotation eq 'kill' || $ENV{PINAUD_LONG};
        push @cases, map { { at => $answered + 1, then => $_ } } 1 .. 22
            if $ENV{PINAUD_LONG};

        run_cases($rotation, $lose, @cases);

        my %granted = map { substr(sha256_hex($_), 0, 8) => $_ }
            $fleet->granted;
        check($rotation, \%granted, $_) for @cases;

        cmp_ok scalar(grep { $_->{first}{exit} == $killed } @cases), '>=', 20,
            'agents that were killed';
        is $cases[@steps + 4]{first}{exit}, 0, 'and one that was not';
        cmp_ok scalar(grep { $_->{lost} } @cases), '>=', 1,
            'a token was lost on its way' if $rotation eq 'kill';
    };
}

is scalar($fleet->secrets_in(join '', map { slurp($_) }
    glob $fleet->dir . '/*.log')), 0, 'no secret in any log';

done_testing;


sub steps {
    $fleet->db($db++);
    $fleet->enrol('main');

    my $trace = "$dir/trace";
    my $r = $fleet->once('trace', { LD_PRELOAD => $shim,
        PINAUD_TEST_KILL_TRACE => $trace });

    is $r->{exit}, 0, 'it ends by itself' or diag $r->{text};

    return slurp($trace) =~ /^\d+ (\w+)$/mg;
}


# All are killed, then Redis is, then all go on.

sub run_cases {
    my ($rotation, $lose, @cases) = @_;

    my $aof = $redis->dir . '/appendonlydir';

    $fleet->sim->oauth(rotation => $rotation, old_access => $rotation);

    for my $case (@cases) {
        $case->{db} = $db++;
        $case->{agent} = "d$case->{db}";
        $fleet->db($case->{db});
        $fleet->enrol('main');
    }

    if ($lose) {
        $redis->stop;
        run_command(['cp', '-a', $aof, "$dir/before"]);
        $redis->start;
    }

    for my $case (@cases) {
        $case->{first} = once($case, $case->{at}, 'first');
    }

    $redis->kill;

    if ($lose) {
        remove_tree($aof);
        rename "$dir/before", $aof or die "rename: $!";
    }

    $redis->start;

    for my $case (@cases) {
        $case->{second} = once($case, $case->{then}, 'second')
            if $case->{then};
        $case->{last} = once($case);
    }
}


sub once {
    my ($case, $at, $name) = @_;

    $fleet->db($case->{db});
    return $fleet->once($case->{agent}) if !$at;

    my $trace = "$dir/$case->{agent}-$name";
    my $r = $fleet->once($case->{agent}, { LD_PRELOAD => $shim,
        PINAUD_TEST_KILL_AT => $at, PINAUD_TEST_KILL_TRACE => $trace });

    $r->{steps} = join ' ', slurp($trace) =~ /^\d+ (\w+)$/mg;
    return $r;
}


sub check {
    my ($rotation, $granted, $case) = @_;

    my $last = $case->{first}{steps} =~ s/.* //r;
    my $name = $case->{first}{exit} ? "killed at step $case->{at}, $last"
        : 'not killed';
    $name .= ", again at $case->{then}" if $case->{then};

    $fleet->db($case->{db});
    my $record = $fleet->record('main');

    # only what was asked for and did not get into the journal may go

    my $may_lose = $rotation eq 'kill' && grep { $_ && $_->{exit}
        && $_->{steps} =~ / call (?!.*fsync)/ } @$case{qw(first second)};
    my @wrong;

    push @wrong, "first run: exit $case->{first}{exit}"
        if $case->{first}{exit} && $case->{first}{exit} != $killed;

    if ($may_lose && $record->{state} eq 'needs-authorization') {
        my ($event) = grep { $_->{event} eq 'needs authorization' }
            map { @{ $_->{log} } } grep { $_ } @$case{qw(second last)};

        $case->{lost} = 1;
        push @wrong, "reason: $record->{reason}"
            if $record->{reason} !~ /^attempt of \S+ lost/;
        push @wrong, 'no alarm' if !$event || !$event->{alarm};
        push @wrong, 'no cure' if !$event || $event->{cure}
            ne 'pinaudctl credential authorize main';
        push @wrong, "exit $case->{last}{exit}" if $case->{last}{exit} != 1;

    } else {
        push @wrong, "state: " . ($record->{state} // 'none')
            if ($record->{state} // '') ne 'ok';
        push @wrong, "exit $case->{last}{exit}" if $case->{last}{exit} != 0;
        push @wrong, "version $record->{version}"
            if $record->{version} != 2 && $rotation eq 'kill';
        push @wrong, 'its access token does not work' if !works($granted);

        # and the refresh token that it has now does, too

        $fleet->cmd('HSET', 'pinaud:credential:{main}', 'expires', 1);
        my $r = once($case);

        push @wrong, "once more: exit $r->{exit}" if $r->{exit} != 0;
        push @wrong, 'its refresh token does not work'
            if $fleet->record('main')->{version} != $record->{version} + 1;
    }

    push @wrong, 'an attempt stands'
        if defined $fleet->secret('main')->{attempt};

    ok !@wrong, $name or diag join "\n", @wrong,
        map { $_ ? $_->{text} : () } @$case{qw(first second last)};
}


# Whether Pinterest takes the access token; its fingerprint tells which it is.

sub works {
    my $granted = shift;

    my $print = $fleet->ctl->must(qw(credential show main --json))
        ->{json}{fingerprint};
    my $token = $granted->{$print} // return 0;

    return get($fleet->sim->port, '/v5/ad_accounts/' . Pinaud::Ctl::account()
        . '/audiences', headers => ["Authorization: Bearer $token"])
        ->{status} == 200;
}
