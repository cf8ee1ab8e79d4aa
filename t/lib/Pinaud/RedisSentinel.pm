package Pinaud::RedisSentinel;

# Copyright (C) the ngx_pinaud_module authors

# A master, its replicas and sentinels that watch them, on loopback.
#
#   my $set = Pinaud::RedisSentinel->new;           1 replica, 3 sentinels
#   my $set = Pinaud::RedisSentinel->new(replicas => 1, sentinels => 3,
#       name => 'main', tls => [...],
#       down_after => 500,                          ms until one counts as down
#       password => '...',                          of the data
#       sentinel_password => '...', config => '...',
#       host => 'localhost');                       the name that they tell
#   $set->words                     'redis://... mode=sentinel master=main'
#   $set->words(user => 'op', sentinels => 1)
#   $set->master                    who is it now, as the sentinels say
#   $set->master(5)                 as all of them say within 5 seconds
#   $set->nodes, $set->sentinels    Pinaud::Redis
#   $set->failover                  the sentinels switch; returns the new one

use warnings;
use strict;

use Pinaud::Process;
use Pinaud::Redis;


sub new {
    my ($class, %opt) = @_;

    my $self = bless { name => $opt{name} // 'main', tls => $opt{tls},
        password => $opt{password}, down_after => $opt{down_after} // 500,
        host => $opt{host} // '127.0.0.1',
        sentinel_password => $opt{sentinel_password} }, $class;

    my %node = map { $_ => $opt{$_} } grep { defined $opt{$_} }
        qw(tls password user);

    my $auth = defined $opt{password} ? "masterauth $opt{password}\n" : '';
    my $tls = $opt{tls} ? "tls-replication yes\n" : '';
    my $common = "repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n"
        . ($opt{host} ? "replica-announce-ip $opt{host}\n" : '')
        . $auth . $tls . ($opt{config} // '');

    my $master = Pinaud::Redis->new(%node, config => $common);
    my $port = $self->port($master);

    push @{ $self->{nodes} }, $master,
        map { Pinaud::Redis->new(%node,
            config => "replicaof $self->{host} $port\n$common") }
        1 .. $opt{replicas} // 1;

    for my $node (@{ $self->{nodes} }[1 .. $#{ $self->{nodes} }]) {
        wait_until(sub {
            ($node->cmd('INFO', 'replication')) =~ /master_link_status:up/
        }, 15) or die "a replica does not come up\n";
    }

    push @{ $self->{sentinels} }, $self->sentinel($port)
        for 1 .. $opt{sentinels} // 3;

    my $others = @{ $self->{sentinels} } - 1;

    wait_until(sub {
        for my $sentinel (@{ $self->{sentinels} }) {
            my %state = @{ $sentinel->cmd('SENTINEL', 'MASTER',
                $self->{name}) };
            return 0 if $state{'num-other-sentinels'} != $others
                || $state{'num-slaves'} < @{ $self->{nodes} } - 1
                || $state{flags} ne 'master';
        }

        return 1;
    }, 30) or die "the sentinels do not find each other\n";

    return $self;
}


# A sentinel writes to its own configuration, which it reads on start.

sub sentinel {
    my ($self, $port) = @_;

    my $name = $self->{name};
    my $quorum = 2;
    my $names = $self->{host} eq '127.0.0.1' ? 'no' : 'yes';
    my $config = "sentinel resolve-hostnames $names\n"
        . "sentinel announce-hostnames $names\n"
        . "sentinel monitor $name $self->{host} $port $quorum\n"
        . "sentinel down-after-milliseconds $name $self->{down_after}\n"
        . "sentinel failover-timeout $name 5000\n";

    $config .= "sentinel auth-pass $name $self->{password}\n"
        if defined $self->{password};
    $config .= "sentinel sentinel-pass $self->{sentinel_password}\n"
        if defined $self->{sentinel_password};
    $config .= "tls-replication yes\n" if $self->{tls};

    my $sentinel = Pinaud::Redis->new(start => 0, tls => $self->{tls},
        password => $self->{sentinel_password}, config => $config);

    $sentinel->{args} = ['--sentinel'];

    return $sentinel->start;
}


sub nodes { @{ $_[0]{nodes} } }
sub sentinels { @{ $_[0]{sentinels} } }
sub port { $_[0]{tls} ? $_[1]->tls_port : $_[1]->port }


sub words {
    my ($self, %opt) = @_;

    my @sentinels = $self->sentinels;
    splice @sentinels, $opt{sentinels} if $opt{sentinels};

    return join ' ', (map { s/127\.0\.0\.1/$self->{host}/r } map {
        $self->{tls} ? $_->tls_url($opt{user}) : $_->tcp_url($opt{user})
    } @sentinels), 'mode=sentinel',
        "master=$self->{name}";
}


sub master {
    my ($self, $seconds) = @_;

    my $port;

    wait_until(sub {
        my %said = map { ($_->cmd('SENTINEL', 'GET-MASTER-ADDR-BY-NAME',
            $self->{name})->[1] => 1) } grep { $_->pid } $self->sentinels;
        ($port) = keys %said;
        return keys %said == 1;
    }, $seconds // 1) or die "the sentinels do not agree\n";

    return (grep { $self->port($_) == $port } $self->nodes)[0];
}


sub failover {
    my $self = shift;

    my $before = $self->master;
    my ($sentinel) = grep { $_->pid } $self->sentinels;

    $sentinel->cmd('SENTINEL', 'FAILOVER', $self->{name});

    wait_until(sub { ($self->master(5) || 0) != $before }, 20)
        or die "no failover\n";

    # sentinels end the connections of whom they change
    delete $_->{client} for $self->nodes;

    return $self->master;
}


1;
