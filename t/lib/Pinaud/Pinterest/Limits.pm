package Pinaud::Pinterest::Limits;

# Copyright (C) the ngx_pinaud_module authors

# Pinterest's rate limits: fixed windows that begin with the clock's second,
# minute or day, counted per user and app, or per app only with a trial app.
#
#   my $limits = Pinaud::Pinterest::Limits->new;
#   $limits->set({ ads_write => '5/60', tier => 'trial', header => 'plain' });
#   my $verdict = $limits->count('ads_write', $app, $user, $now);
#   $verdict->{refused}, $verdict->{headers}
#
# A refused request counts, too, as it does in Envoy. Each request is counted
# by its category and by the safety net that is over all of them.
#
# header: list (as it is documented and seen), plain (only the number), none,
# broken (what does not parse).

use warnings;
use strict;

my %standard = (safety_net => '100/1', ads_write => '400/60',
    ads_read => '1000/60');

my %trial = (safety_net => '1000/86400', ads_write => '300/86400',
    ads_read => '1000/86400');


sub new {
    my $class = shift;

    return bless { tier => 'standard', header => 'list', %standard,
        windows => {} }, $class;
}


sub set {
    my ($self, $new) = @_;

    if (my $tier = $new->{tier}) {
        %$self = (%$self, $tier eq 'trial' ? %trial : %standard);
    }

    for my $name (keys %$new) {
        die "limits: no such setting: $name\n" if !exists $self->{$name}
            || $name eq 'windows';
        $self->{$name} = $new->{$name};
    }
}


sub count {
    my ($self, $category, $app, $user, $now) = @_;

    my @buckets = map { $self->bucket($_, $app, $user, $now) }
        'safety_net', $category;

    $_->{window}{count}++ for @buckets;
    $_->{left} = $_->{n} - $_->{window}{count} for @buckets;

    my ($tightest) = sort { $a->{left} <=> $b->{left} } @buckets;

    return {
        refused => $tightest->{left} < 0,
        headers => $self->headers($tightest, @buckets),
    };
}


sub bucket {
    my ($self, $category, $app, $user, $now) = @_;

    my ($n, $w) = split m{/}, $self->{$category};
    my $trial = $self->{tier} eq 'trial';
    my $key = join ' ', $category, $app, $trial ? () : $user;
    my $start = int($now / $w) * $w;
    my $window = $self->{windows}{$key};

    if (!$window || $window->{start} != $start || $window->{w} != $w) {
        $window = { start => $start, w => $w, count => 0 };
        $self->{windows}{$key} = $window;
    }

    my $reset = $start + $w - $now;

    return {
        n => $n,
        w => $w,
        window => $window,
        name => $category . ($trial ? '_app_id' : '_app_id_user_id'),
        reset => $reset > int $reset ? int($reset) + 1 : int $reset,
    };
}


sub headers {
    my ($self, $tightest, @buckets) = @_;

    my $form = $self->{header};

    return [] if $form eq 'none';
    return [['x-ratelimit-limit', 'many'], ['x-ratelimit-remaining', '-'],
        ['x-ratelimit-reset', 'soon']] if $form eq 'broken';

    my @list = $form eq 'plain' ? ()
        : map { qq($_->{n};w=$_->{w};name="$_->{name}") } @buckets;

    return [
        ['x-ratelimit-limit', join ', ', $tightest->{n}, @list],
        ['x-ratelimit-remaining', $tightest->{left} < 0 ? 0
            : $tightest->{left}],
        ['x-ratelimit-reset', $tightest->{reset}],
    ];
}


1;
