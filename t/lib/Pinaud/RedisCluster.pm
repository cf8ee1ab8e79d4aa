package Pinaud::RedisCluster;

# Copyright (C) the ngx_pinaud_module authors

# A private Redis Cluster on loopback.
#
#   my $cluster = Pinaud::RedisCluster->new;        3 masters, no replicas
#   my $cluster = Pinaud::RedisCluster->new(masters => 3, replicas => 3,
#       timeout => 1000,                            cluster-node-timeout, ms
#       tls => [...], password => '...', config => '...',    of all nodes
#       host => 'localhost');                   the name that they tell
#   $cluster->words                         'redis://... redis://... mode=cluster'
#   $cluster->words(user => 'op', nodes => 1)       one of them is told
#   $cluster->nodes                         Pinaud::Redis, masters first
#   $cluster->owner('key'), $cluster->owner(12182)  who has a key or a slot
#   $cluster->cmd('HGETALL', 'key')         asks the owner of its first key
#   $cluster->all('KEYS', '*')              answers of all masters
#   $cluster->slot('key')
#   $cluster->begin_move($slot, $to)        marks it as migrating: ASK
#   $cluster->move_keys($slot, $to)         what is in it
#   $cluster->end_move($slot, $to)          it is the other's: MOVED
#   $cluster->failover($replica)            a replica takes over
#   $cluster->ready(5)                      waits until all agree

use warnings;
use strict;

use Pinaud::Process;
use Pinaud::Redis;


sub new {
    my ($class, %opt) = @_;

    my $masters = $opt{masters} // 3;
    my $replicas = $opt{replicas} // 0;
    my $timeout = $opt{timeout} // 1000;
    my %node = map { $_ => $opt{$_} } grep { defined $opt{$_} }
        qw(tls password user);

    my $self = bless { tls => $opt{tls}, masters => $masters,
        host => $opt{host} }, $class;
    my $named = $opt{host} ? "cluster-announce-hostname $opt{host}\n"
        . "cluster-preferred-endpoint-type hostname\n" : '';

    for my $i (1 .. $masters + $replicas) {
        my $bus = free_port();
        my $tls = $opt{tls} ? "tls-cluster yes\ntls-replication yes\n" : '';
        my $auth = defined $opt{password}
            ? "masterauth $opt{password}\n" : '';

        push @{ $self->{nodes} }, Pinaud::Redis->new(%node, start => 0,
            config => "cluster-enabled yes\ncluster-port $bus\n"
                . "cluster-node-timeout $timeout\n"
                . "cluster-replica-validity-factor 0\n"
                . "repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n"
                . "databases 1\n$tls$auth$named" . ($opt{config} // ''));
        $self->{nodes}[-1]{bus} = $bus;
        $self->{nodes}[-1]->start;
    }

    $self->join_nodes($replicas);

    return $self;
}


sub join_nodes {
    my ($self, $replicas) = @_;

    my @nodes = @{ $self->{nodes} };
    my $masters = $self->{masters};

    for my $i (0 .. $#nodes) {
        $nodes[$i]->cmd('CLUSTER', 'SET-CONFIG-EPOCH', $i + 1);
        $nodes[$i]{id} = $nodes[$i]->cmd('CLUSTER', 'MYID');

        $nodes[$i]->cmd('CLUSTER', 'ADDSLOTSRANGE',
            int($i * 16384 / $masters), int(($i + 1) * 16384 / $masters) - 1)
            if $i < $masters;

        $nodes[0]->cmd('CLUSTER', 'MEET', '127.0.0.1', $self->port($nodes[$i]),
            $nodes[$i]{bus}) if $i;
    }

    $self->ready(15) or die "the cluster does not come up\n";

    for my $i (0 .. $replicas - 1) {
        my $replica = $nodes[$masters + $i];

        $replica->cmd('CLUSTER', 'REPLICATE', $nodes[$i % $masters]{id});
        wait_until(sub {
            ($replica->cmd('INFO', 'replication')) =~ /master_link_status:up/
        }, 15) or die "a replica does not come up\n";
    }
}


sub nodes { @{ $_[0]{nodes} } }
sub port { $_[0]{tls} ? $_[1]->tls_port : $_[1]->port }


sub words {
    my ($self, %opt) = @_;

    my @nodes = $self->nodes;
    splice @nodes, $opt{nodes} if $opt{nodes};

    return join ' ', (map { hosted($self, $self->{tls}
        ? $_->tls_url($opt{user}) : $_->tcp_url($opt{user})) } @nodes),
        'mode=cluster';
}


sub hosted {
    my ($self, $url) = @_;

    return $self->{host} ? $url =~ s/127\.0\.0\.1/$self->{host}/r : $url;
}


sub slot {
    my ($self, $key) = @_;

    return $self->{nodes}[0]->cmd('CLUSTER', 'KEYSLOT', $key);
}


sub owner {
    my ($self, $key) = @_;

    my $slot = $key =~ /^\d+\z/ ? $key : $self->slot($key);

    for my $node (grep { $_->pid } $self->nodes) {
        my $line = (grep { /myself/ } split /\n/,
            $node->cmd('CLUSTER', 'NODES'))[0];
        next if $line !~ /master/;

        for my $range ((split ' ', $line)[8 .. 40]) {
            next if !defined $range || $range !~ /^(\d+)(?:-(\d+))?$/;
            return $node if $slot >= $1 && $slot <= ($2 // $1);
        }
    }

    die "nobody has slot $slot\n";
}


sub cmd {
    my ($self, @args) = @_;

    return $self->owner("$args[1]-" =~ s/-\z//r)->cmd(@args);
}


sub all {
    my ($self, @args) = @_;

    return map { $_->cmd(@args) } grep { $_->pid && $_->cmd('ROLE')->[0]
        eq 'master' } $self->nodes;
}


sub begin_move {
    my ($self, $slot, $to) = @_;

    my $from = $self->owner($slot);

    $to->cmd('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->{id});
    $from->cmd('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->{id});

    return $from;
}


sub move_keys {
    my ($self, $slot, $to, $count) = @_;

    my $from = $self->owner($slot);
    my $keys = $from->cmd('CLUSTER', 'GETKEYSINSLOT', $slot, $count // 10000);

    return 0 if !@$keys;

    my @auth = defined $to->{password} ? ('AUTH', $to->{password}) : ();
    $from->cmd('MIGRATE', '127.0.0.1', $self->port($to), '', 0, 5000, @auth,
        'KEYS', @$keys);

    return scalar @$keys;
}


sub end_move {
    my ($self, $slot, $to) = @_;

    my $from = $self->owner($slot);

    $_->cmd('CLUSTER', 'SETSLOT', $slot, 'NODE', $to->{id}) for $to, $from;
}


sub failover {
    my ($self, $replica) = @_;

    my $is = sub { $replica->cmd('ROLE')->[0] eq $_[0] };

    wait_until(sub { $replica->cmd('INFO', 'replication')
        =~ /^master_link_status:up/m }, 10);

    # the other masters do not vote while they do not agree on who has what, and
    # an attempt without their votes is over after 5 s

    for (1 .. 3) {
        $replica->cmd('CLUSTER', 'FAILOVER') if !$is->('master');
        return 1 if wait_until(sub { $is->('master') }, 6);
    }

    return 0;
}


# All that live see all slots held, and know each other.

sub ready {
    my ($self, $seconds) = @_;

    my @nodes = grep { $_->pid } $self->nodes;

    return wait_until(sub {
        for my $node (@nodes) {
            my $info = $node->cmd('CLUSTER', 'INFO');
            return 0 if $info !~ /^cluster_state:ok/m
                || $info !~ /^cluster_slots_ok:16384/m
                || $info !~ /^cluster_known_nodes:(\d+)/m
                || $1 < @nodes;
        }

        return 1;
    }, $seconds);
}


1;
