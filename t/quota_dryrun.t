#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A dry run tells what the real call gets that is made right after it: over
# random limits, reserves, use, bodies and states of credentials.
#
# PINAUD_SEED: the cases of an earlier run. PINAUD_LONG=1: ten times as many.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use List::Util qw(shuffle);
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Quota;
use Test::More;

my $seed = $ENV{PINAUD_SEED} // int rand 1 << 31;
diag "PINAUD_SEED=$seed";
srand $seed;

my $json = JSON::PP->new->utf8->canonical;
my $accounts = $ENV{PINAUD_LONG} ? 2000 : 200;

my $gw = Pinaud::Gateway->new(enrol => 0, upstream => 'http',
    nginx => { workers => 2 });
my $redis = $gw->redis;

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');

sub one { $_[rand @_] }
sub chance { rand() < $_[0] }


# ------------------------------------------------------------------- the state

# Windows are long, so that none ends between a dry run and its call.

sub limits {
    my ($most, @windows) = @_;

    return [map { (chance(0.05) ? 0 : 1 + int rand $most) . "/$_" }
        (shuffle(@windows))[0 .. int rand(1 + @windows) - 1]];
}


my @credentials = (('main') x 5,
    qw(tight cooling resting expired without unreadable));
my (%policy, @cases);

$policy{$_} = { limits => ['100000/1h'], limits_all => ['100000/1d'] }
    for @credentials;
$policy{tight}{limits} = ['25/1h'];
$policy{tight}{limits_all} = ['30/1d'];

my $document = { format => 1, credentials => \%policy, accounts => {} };

for my $id (map { 100 + $_ } 1 .. $accounts) {
    my $account = $document->{accounts}{$id} = { credential => one(@credentials),
        limits => limits(12, '1h', '2h', '1d') };

    # reserves are of the longest window

    my %n = map { reverse split m{/} } @{ $account->{limits} };
    my $left = $n{'1d'} // $n{'2h'} // $n{'1h'} // 0;

    for my $team (qw(a b c d)[0 .. int rand 4]) {
        my $reserve = chance(0.5) ? int rand($left + 1) : 0;

        $left -= $reserve;
        $account->{teams}{$team} = { limits => limits(8, '1h', '3h'),
            reserve => $reserve };
        push @cases, [$id, $team];
    }

    push @cases, [$id, 'stranger'] if chance(0.1);
}

push @cases, [99, 'a'];

my $token = $gw->sim->token;

$gw->must_ctl(qw(credential put), $_, qw(--access-token-file -
    --expires-in 86400), \$token) for sort keys %policy;

my $file = spew("$gw->{dir}/policy.json", $json->encode($document));
$gw->must_ctl(qw(policy apply), $file);

my ($now) = @{ $redis->cmd('TIME') };

$redis->cmd('HSET', 'pinaud:credential:{expired}', expires => $now - 1);
$redis->cmd('HDEL', 'pinaud:credential:{without}', 'token');
$redis->cmd('HSET', 'pinaud:credential:{unreadable}',
    token => $redis->cmd('HGET', 'pinaud:credential:{main}', 'token'));
$redis->cmd('HSET', 'pinaud:cooldown:{cooling}', writes => ($now + 90) * 1000);
$redis->cmd('HSET', 'pinaud:cooldown:{resting}', all => ($now + 60) * 1000);


# What was used before: the same script is asked as a gateway asks it.

my $admit = join '', map { slurp(project_dir() . "/src/store/$_.lua") }
    qw(ring admit);


sub record {
    my %unit = (h => 3600, d => 86400);

    return join ' ', map { m{^(\d+)/(\d+)([hd])$}
        ? "$1/" . $2 * $unit{$3} : die "limit $_" } @{ $_[0] };
}


sub use_up {
    my ($id, $team) = @_;

    my $account = $document->{accounts}{$id};
    my $of = $account->{teams}{$team};
    my $all = 0;

    $all += $_->{reserve} for values %{ $account->{teams} };

    my %ask = (credential => $account->{credential}, account => $id,
        team => $team, account_limits => record($account->{limits}),
        team_limits => record($of->{limits}), count => 1 + int rand 4,
        reserves => "$of->{reserve} $all");
    my @keys = Pinaud::Quota->keys_of(%ask);

    $redis->cmd('EVAL', $admit, scalar @keys, @keys,
        Pinaud::Quota->args_of(%ask));
}


for my $case (grep { $document->{accounts}{$_->[0]}{teams}{$_->[1]} } @cases) {
    use_up(@$case) if chance(0.5);
}


# ------------------------------------------------------------------- the cases

my @bodies = (
    (sub { body() }) x 10,
    sub { body(description => 'x' x rand 200) },
    sub { body(rule => { visitor_source_id => '1', retention_days => '180' }) },
    sub { body(name => '') },
    sub { body(rule => { visitor_source_id => '1', retention_days => 700 },
        audience_type => 'visitor') },
    sub { body(unheard_of => 1) },
    sub { substr body(), 0, -1 },
    sub { body(rule => undef) },
);


# Everything by which a caller goes: one text. What remains is told as it is,
# which is one less after a call that was made. Seconds are compared on their
# own, since they run.

sub verdict {
    my ($r, $less) = @_;

    my $document = eval { $r->json } // {};
    my @told = (
        edits => $r->header('Pinaud-Edits'),
        policies => $r->header('RateLimit-Policy'),
        remaining => ($r->header('RateLimit') // '') =~ s/;t=\d+//gr
            =~ s/(?<=;r=)(\d+)/$1 - $less/ger,
    );

    push @told, status => $r->{status}, type => $document->{type},
        code => $document->{code}, title => $document->{title},
        detail => $document->{detail}, message => $document->{message},
        retry => $r->header('Pinaud-Should-Retry'),
        outcome => $r->header('Pinaud-Outcome'), errors => errors($r),
        violated => join(' ', @{ $document->{'violated-policies'} || [] })
        if $r->{status} != 200;

    return join "\n", map { $_ // '-' } @told;
}


sub seconds {
    my $r = shift;

    return ($r->header('Retry-After') // 0,
        ($r->header('RateLimit') // '') =~ /;t=(\d+)/g);
}


# What came since.

sub arrived {
    my @there = $gw->sim->requests;
    $gw->sim->forget if @there;

    return @there;
}


my (%kinds, @wrong);

for my $case (shuffle(@cases)) {
    my ($id, $team) = @$case;
    my ($path, $body) = (create_path($id), one(@bodies)->());
    my %ask = (team => chance(0.03) ? '' : $team,
        type => chance(0.05) ? 'text/plain' : 'application/json');

    ($path, $body) = (custom_path($id), custom_body()) if chance(0.15);

    my $dry = post($gw, $path, $body, %ask,
        headers => ['Pinaud-Dry-Run: ?1']);
    my @sent = arrived();
    my $real = post($gw, $path, $body, %ask);
    my @there = arrived();
    my $what = "account $id, team $team, $body";

    push @wrong, "a dry run was sent: $what" if @sent;

    my ($told, $was) = (verdict($dry, $dry->{status} == 200),
        verdict($real, 0));

    push @wrong, "$what\n--- the dry run:\n$told\n--- the call:\n$was"
        if $told ne $was;

    if ($dry->{status} != 200) {
        my ($one, $other) = ([seconds($dry)], [seconds($real)]);

        # who comes again after a cooldown is spread
        my $apart = $told =~ /pinterest/ ? 10 : 1;

        push @wrong, "seconds: @$one, then @$other: $what"
            if @$one != @$other
                || grep { abs($one->[$_] - $other->[$_]) > $apart }
                    0 .. $#$one;
    }

    my $kind = $dry->{status} . ' ' . $dry->header('Pinaud-Outcome');
    $kinds{$kind}++;

    if ($dry->{status} == 200) {
        push @wrong, "it was told to be forwarded: $what"
            if $real->header('Pinaud-Outcome') ne 'forwarded' || @there != 1;

        my $body = $there[0] ? $there[0]{body} : 'nothing';
        push @wrong, "another body went: $body\n$dry->{body}"
            if index($dry->{body}, "{\"would\":\"forwarded\",\"body\":$body,")
                != 0;

        my @edits = map { "\"$_\"" } @{ $dry->json->{edits} };
        push @wrong, "edits: @edits"
            if join(', ', @edits) ne ($real->header('Pinaud-Edits') // '');

    } else {
        push @wrong, "it was told to be refused: $what" if @there;
    }
}

is join("\n\n", @wrong), '', scalar(@cases) . ' dry runs told the truth';

diag join ', ', map { "$_: $kinds{$_}" } sort keys %kinds;
cmp_ok $kinds{$_} // 0, '>', 0, "there were some: $_"
    for '200 dry_run', '400 invalid', '403 forbidden', '415 invalid',
        '429 over_quota', '503 no_credential';

finish();
