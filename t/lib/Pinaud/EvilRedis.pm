package Pinaud::EvilRedis;

# Copyright (C) the ngx_pinaud_module authors

# Stands between the gateway and a real Redis and misbehaves on command.
#
#   my $evil = Pinaud::EvilRedis->new($redis);     listens on a port and on a
#                                                  unix socket
#   $evil->port; $evil->socket; $evil->url; $evil->tcp_url;
#   $evil->mode('pass');                     how it begins
#   $evil->mode('refuse');                   nobody listens, all connections
#                                            are reset
#   $evil->mode('black_hole');               accepts, reads, never answers
#   $evil->mode('silence', accept => 0);     connections wait in the backlog
#   $evil->mode('delay', seconds => 0.5);    each reply is so late
#   $evil->mode('error', text => 'LOADING Redis is loading');
#   $evil->mode('answer', bytes => "garbage\r\n");      instead of replies
#   $evil->mode('cut', bytes => 7);          N bytes of each reply, then reset
#   $evil->mode('half', bytes => 7);         N bytes of each reply, then silence
#   $evil->mode('trickle', seconds => 0.01); byte by byte
#   $evil->mode('close');                    closes instead of replying
#   $evil->mode('reset');                    resets instead of replying
#
# With only => 'EVALSHA|EVAL' a mode concerns these commands alone, others
# pass; with times => 1 it goes back to pass after that many commands. With
# but => { 'CLUSTER|TIME' => $bytes } these are answered so, whatever the mode.
#
#   $evil->drop;                             resets all connections now
#   $evil->inject("+OK\r\n");                bytes to all that are connected
#   $evil->commands;                         [[name, args...], ...] so far
#   $evil->commands('EVALSHA');              those of one name
#   $evil->forget;                           the record begins anew
#   $evil->connections                       how many are open
#   $evil->accepted                          how many there ever were

use warnings;
use strict;

use IO::Socket::INET;
use IO::Socket::UNIX;
use Pinaud::Loop;
use Pinaud::Process;


sub new {
    my ($class, $redis, %opt) = @_;

    my $self = bless { dir => temp_dir('evil'), port => free_port() }, $class;
    $self->{socket} = "$self->{dir}/redis.sock";

    my $state = { %$self, target => 'unix:' . $redis->socket,
        mode => { name => 'pass' }, commands => [], accepted => 0 };

    $self->{service} = Pinaud::Loop->launch(sub { serve($state, @_) });
    $self->call('mode', { name => 'pass' });

    return $self;
}


sub port { $_[0]{port} }
sub socket { $_[0]{socket} }
sub url { "unix:$_[0]{socket}" }
sub tcp_url { "redis://127.0.0.1:$_[0]{port}" }

sub call { my $self = shift; return $self->{service}->call(@_) }
sub drop { $_[0]->call('drop') }
sub inject { $_[0]->call('inject', $_[1]) }
sub forget { $_[0]->call('forget') }
sub connections { $_[0]->call('connections') }
sub accepted { $_[0]->call('accepted') }


sub mode {
    my ($self, $name, %opt) = @_;

    $self->call('mode', { %opt, name => $name });
    return $self;
}


sub commands {
    my ($self, $name) = @_;

    return [grep { !defined $name || $_->[0] =~ /^(?:$name)$/i }
        @{ $self->call('commands') }];
}


sub stop { my $self = shift; $self->{service}->stop if $self->{service} }


# The child's side.

sub serve {
    my ($state, $loop) = @_;

    $state->{loop} = $loop;
    listen_again($state);

    return sub {
        my ($command, $args) = @_;

        return scalar @{ [clients($loop)] } if $command eq 'connections';
        return $state->{accepted} if $command eq 'accepted';
        return $state->{commands} if $command eq 'commands';

        if ($command eq 'forget') {
            $state->{commands} = [];

        } elsif ($command eq 'drop') {
            $_->reset for clients($loop);

        } elsif ($command eq 'inject') {
            $_->write($args) for clients($loop);

        } elsif ($command eq 'mode') {
            change($state, $args);
        }

        return 1;
    };
}


sub clients { grep { $_->{client} } $_[0]->conns }


sub change {
    my ($state, $mode) = @_;

    $state->{mode} = $mode;

    my $name = $mode->{name};

    if ($name eq 'refuse') {
        stop_listening($state);
        $_->reset for clients($state->{loop});

    } elsif ($name eq 'silence') {
        $state->{loop}->unlisten($_) for @{ $state->{listeners} };
        $_->hold(1) for clients($state->{loop});

    } else {
        listen_again($state);
        $_->hold(0) for clients($state->{loop});
    }
}


sub stop_listening {
    my $state = shift;

    for my $socket (@{ delete $state->{listeners} || [] }) {
        $state->{loop}->unlisten($socket);
        close $socket;
    }

    unlink $state->{socket};
}


sub listen_again {
    my $state = shift;

    if (!$state->{listeners}) {
        unlink $state->{socket};

        my $tcp = IO::Socket::INET->new(Listen => 128, Proto => 'tcp',
            LocalAddr => '127.0.0.1', LocalPort => $state->{port},
            ReuseAddr => 1) or die "listen on $state->{port}: $!";

        my $unix = IO::Socket::UNIX->new(Local => $state->{socket},
            Listen => 128) or die "listen on $state->{socket}: $!";

        chmod 0777, $state->{socket};
        $state->{listeners} = [$tcp, $unix];
    }

    $state->{loop}->listen($_, sub { accepted_client($state, @_) })
        for @{ $state->{listeners} };
}


# Replies leave in the order of the commands: each command has a slot, which
# the real server or this one fills.

sub accepted_client {
    my ($state, $client) = @_;

    $state->{accepted}++;

    my $server = $state->{loop}->connect($state->{target});

    $client->{client} = 1;
    $client->{slots} = [];
    $client->{server} = $server;
    $client->{on_end} = sub { $server->end('closed') if $server };
    $client->{on_data} = sub { commands_came($state, $client) };

    return if !$server;

    $server->{on_data} = sub {
        while (defined(my $reply = take_value($server))) {
            my ($slot) = grep { $_->{real} && !exists $_->{reply} }
                @{ $client->{slots} } or next;
            $slot->{reply} = $reply;
        }

        send_replies($state, $client);
    };

    $server->{on_end} = sub { delete $client->{server}; $client->finish };
}


sub commands_came {
    my ($state, $client) = @_;

    while (defined(my $bytes = take_value($client))) {
        my @words = words($bytes);
        push @{ $state->{commands} }, \@words;

        my $mode = $state->{mode};
        my $only = $mode->{only};

        $mode = { name => 'pass' }
            if defined $only && $words[0] !~ /^(?:$only)$/i;

        my ($but) = grep { $words[0] =~ /^(?:$_)$/i }
            keys %{ $state->{mode}{but} || {} };

        $mode = { name => 'answer', bytes => $state->{mode}{but}{$but} }
            if defined $but;

        $state->{mode} = { name => 'pass' }
            if $mode->{times} && --$mode->{times} == 0;

        my $slot = { mode => $mode };
        push @{ $client->{slots} }, $slot;

        if ($mode->{name} eq 'error') {
            $slot->{reply} = "-$mode->{text}\r\n";

        } elsif ($mode->{name} eq 'answer') {
            $slot->{reply} = $mode->{bytes};

        } elsif ($mode->{name} =~ /^(?:close|reset)$/) {
            $slot->{reply} = '';

        } elsif ($mode->{name} ne 'black_hole') {
            $slot->{real} = 1;

            if (!$client->{server}) {
                $client->finish;
                return;
            }

            $client->{server}->write($bytes);
        }
    }

    send_replies($state, $client);
}


sub send_replies {
    my ($state, $client) = @_;

    my $slots = $client->{slots};

    while (@$slots && defined $slots->[0]{reply} && !$client->{over}) {
        return if $client->{late};

        my ($slot) = shift @$slots;
        my ($mode, $reply) = @$slot{qw(mode reply)};
        my $name = $mode->{name};

        if ($name eq 'close') {
            $client->finish;

        } elsif ($name eq 'reset') {
            $client->reset;

        } elsif ($name eq 'cut') {
            $client->write(substr $reply, 0, $mode->{bytes});
            $client->reset;

        } elsif ($name eq 'half') {
            $client->write(substr $reply, 0, $mode->{bytes});
            unshift @$slots, { mode => $mode };

        } elsif ($name eq 'delay') {
            $client->{late} = 1;

            $state->{loop}->after($mode->{seconds}, sub {
                $client->{late} = 0;
                $client->write($reply);
                send_replies($state, $client);
            });

        } elsif ($name eq 'trickle') {
            $client->{late} = 1;
            trickle($state, $client, $reply, $mode->{seconds});

        } else {
            $client->write($reply);
        }
    }
}


sub trickle {
    my ($state, $client, $bytes, $seconds) = @_;

    $client->write(substr $bytes, 0, 1, '');

    if (!length $bytes) {
        $client->{late} = 0;
        return send_replies($state, $client);
    }

    $state->{loop}->after($seconds,
        sub { trickle($state, $client, $bytes, $seconds) });
}


# The next whole RESP value of a connection's input, as its bytes.

sub take_value {
    my $conn = shift;

    my $end = value_end(\$conn->{in}, 0);
    return undef if !defined $end;

    return substr $conn->{in}, 0, $end, '';
}


sub value_end {
    my ($in, $at) = @_;

    my $line_end = index $$in, "\r\n", $at;
    return undef if $line_end < 0;

    my $line = substr $$in, $at, $line_end - $at;
    $at = $line_end + 2;

    if ($line =~ /^\$(\d+)$/) {
        $at += $1 + 2;
        return $at <= length $$in ? $at : undef;
    }

    if ($line =~ /^\*(\d+)$/) {
        for (1 .. $1) {
            $at = value_end($in, $at);
            return undef if !defined $at;
        }
    }

    return $at;
}


sub words {
    my $bytes = shift;

    my @words;
    pos($bytes) = 0;

    return split ' ', $bytes if $bytes !~ /\G\*\d+\r\n/gc;

    while ($bytes =~ /\G\$(\d+)\r\n/gc) {
        push @words, substr $bytes, pos $bytes, $1;
        pos($bytes) += $1 + 2;
    }

    return @words;
}


1;
