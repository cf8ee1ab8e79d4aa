#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# A command waits for a node that ASK told and that has no slots yet. When that
# node is ready at last, a map without it comes within the same turn of the
# event loop: the node must be there still.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

# nodes without slots are forgotten when they were not used for so long
use constant UNUSED => 1;

my %listen = map { $_ => IO::Socket::INET->new(LocalAddr => '127.0.0.1',
    Listen => 20) || die "listen: $!" } qw(has gets);
my %port = map { $_ => $listen{$_}->sockport } keys %listen;

my $gw = Pinaud::Gateway->new(nginx => { start => 0 },
    redis_url => "redis://127.0.0.1:$port{has} mode=cluster",
    http => 'pinaud_redis_timeout 8s; pinaud_redis_connect_timeout 8s;');
my $nginx = $gw->nginx;


sub bulk { '$' . length($_[0]) . "\r\n$_[0]\r\n" }


my %replies = (
    PING => "+PONG\r\n",
    HELLO => "*2\r\n" . bulk('role') . bulk('master'),
    TIME => "*2\r\n" . bulk(int time()) . bulk(5),
    ASKING => "+OK\r\n",
    CLUSTER => "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" . bulk('127.0.0.1')
        . ":$port{has}\r\n",
);

my $select = IO::Select->new(values %listen);
my (%name, %in, %held, %asked);
my $hold = 1;


# What is asked by the greeting of the one node, and of the map after the ASK,
# is answered later.

sub command {
    my ($socket, $verb) = @_;

    my $node = $name{$socket};
    my $reply = $replies{$verb} // ($node eq 'has'
        ? "-ASK 1 127.0.0.1:$port{gets}\r\n" : "-ERR none\r\n");

    $asked{"$node $verb"}++;

    my $late = $node eq 'gets' ? 'greeting'
        : $verb eq 'CLUSTER' && %held ? 'map' : undef;

    return push @{ $held{$late} }, [$socket, $reply] if $hold && $late;

    syswrite $socket, $reply;
}


sub serve {
    for my $socket ($select->can_read(0.02)) {
        my ($listens) = grep { $listen{$_} == $socket } keys %listen;

        if ($listens) {
            my $client = $socket->accept;
            $name{$client} = $listens;
            $in{$client} = '';
            $select->add($client);
            next;
        }

        if (!sysread $socket, $in{$socket}, 65536, length $in{$socket}) {
            $select->remove($socket);
            next;
        }

        while ($in{$socket} =~ s/^\*(\d+)\r\n//) {
            my @words;

            for (1 .. $1) {
                $in{$socket} =~ s/^\$(\d+)\r\n// or die 'half a command';
                push @words, substr $in{$socket}, 0, $1, '';
                substr $in{$socket}, 0, 2, '';
            }

            command($socket, $words[0]);
        }
    }
}


sub serve_until {
    my ($over, $seconds) = @_;

    my $end = time() + $seconds;
    serve() while !$over->() && time() < $end;

    return $over->();
}


$nginx->start;
ok serve_until(sub { $asked{'has CLUSTER'} && $asked{'has HELLO'} }, 5),
    'a map is there';

my $client = Pinaud::HTTP->connect($gw);
$client->send(Pinaud::HTTP::head('POST', create_path, team => 'growth',
    body => body()) . body());

ok serve_until(sub { @{ $held{greeting} // [] } == 3 }, 5),
    'a command waits for a node without slots';

my $told = time();
ok serve_until(sub { $held{map} && time() > $told + 1.5 * UNUSED }, 5),
    'the next map is asked for';

my ($worker) = $nginx->workers;

freeze($worker);

for my $late (qw(greeting map)) {
    syswrite $_->[0], $_->[1] for @{ delete $held{$late} };
    sleep 0.05;
}

$hold = 0;
kill 'CONT', $worker;

ok serve_until(sub { $asked{'gets HMGET'} }, 5), 'the command is sent to it';
serve_until(sub { 0 }, 0.3);
is +($nginx->workers)[0], $worker, 'the worker lives on';
unlike $nginx->log, qr/no slots any more/, 'the node was not forgotten';

finish();
