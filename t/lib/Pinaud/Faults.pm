package Pinaud::Faults;

# Copyright (C) the ngx_pinaud_module authors

# A gateway with an evil Redis before its real one, and what tests of a store
# that fails ask of it.
#
#   my $faults = Pinaud::Faults->new(timeout => 300, %options);   ms;
#                                           the options of Pinaud::Gateway
#   $faults->gw, $faults->evil, $faults->nginx;
#   my $r = $faults->create(%options);      a valid create of team growth
#   $faults->up('a name');                  tests: soon one is served, and
#                                           Pinterest gets it as it was sent
#   $faults->down('a name', 3);             tests: so many are refused in time
#                                           and nothing arrives; returns the
#                                           seconds that each took
#   $faults->said(qr/.../);                 how often, in the log since mark
#   $faults->cpu; $faults->sockets; $faults->memory;
#                                           of the worker: seconds, descriptors,
#                                           KB
#
# A machine that is busy with others may be late: $faults->slack seconds.

use warnings;
use strict;

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Process;
use Test::More;

my $body = body();


sub new {
    my ($class, %opt) = @_;

    my $timeout = delete $opt{timeout} // 300;
    my $http = delete $opt{http} // '';

    $opt{accounts} //= { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } };

    return bless { timeout => $timeout / 1000,
        gw => Pinaud::Gateway->new(evil => 1, upstream => 'http', %opt,
            http => "pinaud_redis_timeout ${timeout}ms; $http") }, $class;
}


sub gw { $_[0]{gw} }
sub evil { $_[0]{gw}->evil }
sub nginx { $_[0]{gw}->nginx }
sub timeout { $_[0]{timeout} }
sub slack { 4 }


sub create {
    my ($self, %opt) = @_;

    my $account = delete $opt{account};

    return post($self->gw, create_path($account // account), $body,
        team => 'growth', %opt);
}


sub up {
    my ($self, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r;
    ok wait_until(sub { ($r = $self->create)->{status} == 200 }, 5), $name
        or diag $r->{head}, $r->{body};

    my @arrived = $self->gw->arrived;
    my $token = $self->gw->token;

    @arrived == 1 && $arrived[0]{body} eq $body
        && $arrived[0]{head} =~ /^Authorization: Bearer \Q$token\E\r$/m
        or fail("$name: the request as it was sent, once");
}


sub down {
    my ($self, $name, $n, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @took;

    for (1 .. $n // 3) {
        my $r = $self->create(%opt);

        refused $r, 'store-unavailable', $name;
        cmp_ok $r->{elapsed}, '<', $self->timeout + $self->slack,
            "$name: in time";
        push @took, $r->{elapsed};
    }

    untouched $self->gw, "$name: nothing arrives";

    return sort { $a <=> $b } @took;
}


sub said {
    my ($self, $pattern) = @_;

    return scalar(() = $self->nginx->log_since =~ /$pattern/g);
}


sub worker { ($_[0]->nginx->workers)[0] }


sub cpu {
    my $self = shift;

    my @stat = split ' ',
        slurp('/proc/' . $self->worker . '/stat') =~ s/.*\) //sr;

    return ($stat[11] + $stat[12]) / 100;
}


sub sockets {
    my $self = shift;

    return scalar grep { (readlink($_) // '') =~ /^socket:/ }
        glob '/proc/' . $self->worker . '/fd/*';
}


sub memory {
    my $self = shift;

    return slurp('/proc/' . $self->worker . '/status') =~ /^VmRSS:\s+(\d+)/m
        ? $1 : 0;
}


1;
