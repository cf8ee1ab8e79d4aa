package Pinaud::Loop;

# Copyright (C) the ngx_pinaud_module authors

# An event loop in a process of its own, which its parent asks by JSON lines.
# What the fake servers of the tests are made of.
#
#   my $service = Pinaud::Loop->launch(sub {
#       my $loop = shift;
#       $loop->listen($socket, sub { my $conn = shift; ... }, tls => {...});
#       return sub { my ($command, $args) = @_; ...; return $answer };
#   });
#   $service->call('command', { ... });       dies with the command's error
#   $service->stop;
#
# In the child: $loop->after($seconds, $code), $loop->connect($address, $code),
# $loop->run. A connection has
#
#   $conn->{in}           what came and was not taken yet
#   $conn->{on_data}      called with the connection when more came
#   $conn->{on_end}       called once when it is over, however
#   $conn->{peek}         called before anything is read; false: do not read
#   $conn->write($bytes); $conn->finish;      the latter closes when all went
#   $conn->reset;         closes with a reset and without TLS's farewell
#   $conn->hold(1)        stops reading; hold(0) goes on
#
# The child ends when its parent goes.

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use Pinaud::Process;
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Time::HiRes qw(time);

# Bytes travel as characters below 256. Numbers that were kept exact when they
# were read are written exactly, too.

my $encoder = JSON::PP->new->ascii->allow_nonref->canonical->allow_bignum;
my $decoder = JSON::PP->new->allow_nonref;


sub launch {
    my ($class, $setup) = @_;

    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "socketpair: $!";

    my $pid = daemon(sub {
        close $ours;

        my $loop = $class->new;
        my $commands = $setup->($loop);

        $loop->obey($theirs, $commands);
        $loop->run;
    });

    close $theirs;

    return bless { pid => $pid, socket => $ours, buffer => '' }, $class;
}


sub new {
    my $class = shift;

    return bless { timers => [], conns => {}, listeners => {} }, $class;
}


sub pid { $_[0]{pid} }


sub call {
    my ($self, $command, $args) = @_;

    my $line = $encoder->encode([$command, $args]) . "\n";
    my $end = time() + 20;

    while (length $line) {
        my $n = syswrite $self->{socket}, $line
            or die "the service is gone\n";
        substr $line, 0, $n, '';
    }

    my $at;

    while (($at = index $self->{buffer}, "\n") < 0) {
        die "the service does not answer\n" if time() > $end
            || !IO::Select->new($self->{socket})->can_read($end - time());

        sysread $self->{socket}, $self->{buffer}, 1 << 20,
            length $self->{buffer} or die "the service is gone\n";
    }

    my $answer = $decoder->decode(substr $self->{buffer}, 0, $at + 1, '');
    die "$command: $answer->{error}" if exists $answer->{error};

    return $answer->{value};
}


sub stop {
    my $self = shift;

    close delete $self->{socket} if $self->{socket};
    stop_process(delete $self->{pid}, 'TERM', 2);
}


sub DESTROY {
    my $self = shift;

    return if ${^GLOBAL_PHASE} ne 'RUN' || !$self->{pid};

    local ($@, $?, $!);
    $self->stop;
}


# Commands come in from a socket, one line each. Its end is ours, too.

sub obey {
    my ($self, $socket, $commands) = @_;

    my $conn = $self->add($socket);

    $conn->{on_end} = sub { $self->{ended} = 1 };

    $conn->{on_data} = sub {
        while ($conn->{in} =~ s/^(.*)\n//) {
            my ($command, $args) = @{ $decoder->decode($1) };
            my $value = eval { $commands->($command, $args) };
            my $answer = $@ ? { error => "$@" } : { value => $value };

            $conn->write($encoder->encode($answer) . "\n");
        }
    };
}


sub listen {
    my ($self, $socket, $on_accept, %opt) = @_;

    $socket->blocking(0);
    $self->{listeners}{fileno $socket}
        = { socket => $socket, accept => $on_accept, %opt };
}


sub unlisten {
    my ($self, $socket) = @_;

    delete $self->{listeners}{fileno $socket};
}


sub connect {
    my ($self, $address) = @_;

    my $socket = $address =~ /^unix:(.*)/
        ? IO::Socket::UNIX->new(Peer => $1)
        : IO::Socket::INET->new(PeerAddr => $address, Proto => 'tcp');

    return $socket ? $self->add($socket) : undef;
}


sub add {
    my ($self, $socket, %opt) = @_;

    $socket->blocking(0);

    my $conn = bless { loop => $self, socket => $socket, in => '', out => '',
        fd => fileno $socket, %opt }, 'Pinaud::Loop::Connection';

    $self->{conns}{$conn->{fd}} = $conn;
    return $conn;
}


sub conns { values %{ $_[0]{conns} } }


sub after {
    my ($self, $seconds, $code) = @_;

    my $timers = $self->{timers};
    push @$timers, [time() + $seconds, $code];
    @$timers = sort { $a->[0] <=> $b->[0] } @$timers;
}


sub run {
    my $self = shift;

    $self->turn until $self->{ended};
}


sub turn {
    my $self = shift;

    my ($read, $write) = ('', '');

    vec($read, $_, 1) = 1 for keys %{ $self->{listeners} };

    for my $conn ($self->conns) {
        my $wants = $conn->{wants} // '';

        vec($read, $conn->{fd}, 1) = 1
            if !$conn->{held} && $wants ne 'write';
        vec($write, $conn->{fd}, 1) = 1
            if length $conn->{out} && !$conn->{handshake}
                || $wants eq 'write';
    }

    my $timers = $self->{timers};
    my $wait = @$timers ? $timers->[0][0] - time() : 1;
    $wait = 0 if $wait < 0;

    my $n = select $read, $write, undef, $wait;

    while (@$timers && $timers->[0][0] <= time()) {
        (shift @$timers)->[1]->();
    }

    return if $n <= 0;

    for my $fd (grep { vec $read, $_, 1 } keys %{ $self->{listeners} }) {
        my $listener = $self->{listeners}{$fd} or next;
        $self->accept_all($listener);
    }

    for my $conn ($self->conns) {
        $conn->flush if vec $write, $conn->{fd}, 1;
        $conn->readable if !$conn->{over} && (vec $read, $conn->{fd}, 1);
    }
}


sub accept_all {
    my ($self, $listener) = @_;

    while (my $socket = $listener->{socket}->accept) {
        my $conn = $self->add($socket);

        $listener->{accept}->($conn);
        next if $conn->{over} || !$listener->{tls};

        $conn->{handshake} = 1;
        $conn->{tls} = $listener->{tls};
    }
}


package Pinaud::Loop::Connection;

use Socket qw(SOL_SOCKET SO_LINGER);


sub write {
    my ($self, $bytes) = @_;

    return if $self->{over};

    $self->{out} .= $bytes;
    $self->flush if !$self->{handshake};
}


sub hold { $_[0]{held} = $_[1] }


sub finish {
    my $self = shift;

    $self->{finishing} = 1;
    $self->flush if !$self->{over};
}


sub reset {
    my $self = shift;

    return if $self->{over};

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    $self->end('reset');
}


sub end {
    my ($self, $why) = @_;

    return if $self->{over};

    $self->{over} = 1;
    delete $self->{loop}{conns}{$self->{fd}};

    if ($self->{socket}->isa('IO::Socket::SSL')) {
        $self->{socket}->close(SSL_no_shutdown => $why eq 'reset',
            SSL_fast_shutdown => 1);

    } else {
        close $self->{socket};
    }

    my $on_end = $self->{on_end};
    $on_end->($self, $why) if $on_end;

    delete @$self{qw(on_data on_end peek)};
}


sub readable {
    my $self = shift;

    return $self->shake if $self->{handshake};
    return if $self->{peek} && !$self->{peek}->($self);

    while (1) {
        my $n = sysread $self->{socket}, $self->{in}, 65536,
            length $self->{in};

        if ($n) {
            next if length $self->{in} < 1 << 20;
            last;
        }

        last if !defined $n && $self->again;
        return $self->last_data(defined $n ? 'closed' : "read: $!");
    }

    $self->{on_data}->($self) if $self->{on_data} && length $self->{in};
}


sub last_data {
    my ($self, $why) = @_;

    $self->{on_data}->($self) if $self->{on_data} && length $self->{in};
    $self->end($why);
}


sub flush {
    my $self = shift;

    while (length $self->{out}) {
        my $n = syswrite $self->{socket}, $self->{out};

        if ($n) {
            substr $self->{out}, 0, $n, '';
            next;
        }

        return if $self->again;
        return $self->end("write: $!");
    }

    delete $self->{wants} if ($self->{wants} // '') eq 'write';
    $self->end('finished') if $self->{finishing};
}


# Whether the last read or write only found nothing to do yet.

sub again {
    my $self = shift;

    if ($self->{socket}->isa('IO::Socket::SSL')) {
        my $error = $IO::Socket::SSL::SSL_ERROR;

        return 1 if $error == IO::Socket::SSL::SSL_WANT_READ();

        if ($error == IO::Socket::SSL::SSL_WANT_WRITE()) {
            $self->{wants} = 'write';
            return 1;
        }
    }

    return $!{EAGAIN} || $!{EWOULDBLOCK};
}


sub shake {
    my $self = shift;

    return if $self->{peek} && !$self->{peek}->($self);

    if (!$self->{socket}->isa('IO::Socket::SSL')) {
        require IO::Socket::SSL;

        IO::Socket::SSL->start_SSL($self->{socket}, SSL_server => 1,
            SSL_startHandshake => 0, SSL_reuse_ctx => $self->{tls})
            or return $self->end('TLS');
    }

    if ($self->{socket}->accept_SSL) {
        delete $self->{handshake};
        delete $self->{wants};
        $self->flush;
        $self->readable if !$self->{over} && $self->{socket}->pending;
        return;
    }

    $self->end("TLS: $IO::Socket::SSL::SSL_ERROR") if !$self->again;
}


1;
