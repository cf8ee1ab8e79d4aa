package Pinaud::HTTP2;

# Copyright (C) the ngx_pinaud_module authors

# A client of HTTP/2, frame by frame where a test wants it so.
#
#   my $r = h2($where, 'POST', '/v5/...', body => '...', %options);
#       the options of Pinaud::HTTP, but for chunked and expect; length may be
#       undef: a body without content-length
#
#   my $c = Pinaud::HTTP2->connect($where, %options);
#   my $id = $c->open('POST', '/v5/...', %options);     a stream; without body
#                                                       and open => 1 it waits
#   $c->data($id, $bytes, $last);
#   my $r = $c->response($id);          of streams in any order
#   $r->{reset}                         the code of an RST_STREAM that came
#   $c->reset($id);                     leaves the stream
#   $c->ping                            true when the server lives
#   $c->close; $c->abort;
#
# Without TLS by prior knowledge, with tls => {} by ALPN.

use warnings;
use strict;

use Exporter qw(import);
use Pinaud::HPACK ();
use Pinaud::HTTP ();
use Time::HiRes qw(time);

our @EXPORT = qw(h2);

my %types = (data => 0, headers => 1, rst => 3, settings => 4, ping => 6,
    goaway => 7, window => 8, continuation => 9);

my $frame_max = 16384;
my $window = 1 << 30;


sub h2 {
    my ($where, $method, $target, %opt) = @_;

    $where = $where->h2_address if ref $where && $where->can('h2_address');

    my $self = eval { Pinaud::HTTP2->connect($where, %opt) };
    return Pinaud::HTTP::Response->none($@ =~ s/\n\z//r) if !$self;

    my $r = $self->request($method, $target, %opt);
    $self->close;

    return $r;
}


sub connect {
    my ($class, $where, %opt) = @_;

    $where = $where->h2_address if ref $where && $where->can('h2_address');
    $opt{tls} = { %{ $opt{tls} }, alpn => ['h2'] } if $opt{tls};

    my $self = bless { conn => Pinaud::HTTP->connect($where, %opt),
        next => 1, streams => {}, hpack => Pinaud::HPACK->new,
        room => 65535, initial => 65535, timeout => $opt{timeout} // 10,
        scheme => $opt{tls} ? 'https' : 'http', %opt }, $class;

    # what the server sends is taken as it comes: 4 is the initial window
    $self->{conn}->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        . frame('settings', 0, 0, pack('nN', 4, $window))
        . frame('window', 0, 0, pack('N', $window)));

    return $self;
}


sub frame {
    my ($type, $flags, $id, $payload) = @_;

    return substr(pack('N', length $payload), 1)
        . pack('CCN', $types{$type}, $flags, $id) . $payload;
}


sub request {
    my ($self, $method, $target, %opt) = @_;

    my $id = $self->open($method, $target, %opt);
    my $r = $self->response($id, %opt);

    return $r;
}


sub open {
    my ($self, $method, $target, %opt) = @_;

    my $id = $self->{next};
    $self->{next} += 2;

    my $body = $opt{body};
    my @fields = ([':method', $method], [':scheme', $self->{scheme}],
        [':path', $target], [':authority', $opt{host} // 'localhost']);

    if (defined $body || $opt{open}) {
        push @fields, ['content-type', $opt{type} // 'application/json']
            unless exists $opt{type} && !defined $opt{type};

        my $length = exists $opt{length} ? $opt{length}
            : defined $body ? length $body : undef;
        push @fields, ['content-length', $length] if defined $length;
    }

    push @fields, ['x-team', $opt{team}] if defined $opt{team};
    push @fields, map { /^([^:]+):[ \t]*(.*)$/s ? [lc $1, $2] : () }
        @{ $opt{headers} || [] };

    my $ends = !defined $body && !$opt{open};

    $self->{streams}{$id} = { room => $self->{initial}, start => time() };
    $self->{conn}->send(frame('headers', 4 | ($ends ? 1 : 0), $id,
        Pinaud::HPACK::encode(@fields)));

    $self->data($id, $body, 1) if defined $body;

    return $id;
}


# Sends as much as the windows allow, and waits for more of them.

sub data {
    my ($self, $id, $bytes, $last) = @_;

    my $stream = $self->{streams}{$id};
    my $end = time() + $self->{timeout};

    while (1) {
        return if $stream->{ended};

        my ($size) = sort { $a <=> $b } length $bytes, $frame_max,
            $self->{room}, $stream->{room};

        if ($size <= 0 && length $bytes) {
            return if time() > $end || !$self->read_frame($end);
            next;
        }

        my $part = substr $bytes, 0, $size, '';
        $self->{room} -= $size;
        $stream->{room} -= $size;

        $self->{conn}->send(frame('data', $last && !length $bytes ? 1 : 0,
            $id, $part));

        return if !length $bytes;
    }
}


sub reset {
    my ($self, $id) = @_;

    $self->{conn}->send(frame('rst', 0, $id, pack 'N', 8));
    $self->{streams}{$id}{ended} = 1;
}


sub ping {
    my $self = shift;

    delete $self->{pong};
    $self->{conn}->send(frame('ping', 0, 0, 'pinaud!!'));

    my $end = time() + 2;
    1 while !$self->{pong} && $self->read_frame($end);

    return $self->{pong};
}


sub response {
    my ($self, $id, %opt) = @_;

    my $stream = $self->{streams}{$id};
    my $end = time() + ($opt{timeout} // $self->{timeout});

    1 while !$stream->{ended} && $self->read_frame($end);

    my $r = $stream->{response}
        // Pinaud::HTTP::Response->none($stream->{why} // $self->{why}
            // 'no answer in time');

    $r->{error} //= $stream->{why} // $self->{why} // 'no answer in time'
        if !$stream->{whole};
    $r->{reset} = $stream->{reset};
    $r->{elapsed} = time() - $stream->{start};

    return $r;
}


sub read_frame {
    my ($self, $end) = @_;

    my $conn = $self->{conn};
    $conn->{end} = $end;

    my ($head, $payload);

    eval {
        $head = $conn->take(9);
        $payload = $conn->take(unpack 'N', "\0" . substr $head, 0, 3);
        1;
    } or do {
        $self->{why} = $@ =~ s/\n\z//r;
        $_->{ended} = 1 for values %{ $self->{streams} };
        return 0;
    };

    my ($type, $flags, $id) = unpack 'xxxCCN', $head;
    my $stream = $self->{streams}{$id};

    if ($type == $types{settings} && !($flags & 1)) {
        $self->settings($payload);

    } elsif ($type == $types{ping}) {
        $flags & 1 ? $self->{pong} = 1
            : $conn->send(frame('ping', 1, 0, $payload));

    } elsif ($type == $types{window}) {
        my $more = unpack 'N', $payload;
        $id ? $stream && ($stream->{room} += $more)
            : ($self->{room} += $more);

    } elsif ($type == $types{goaway}) {
        $self->{why} = 'GOAWAY ' . unpack 'xxxxN', $payload;

    } elsif ($stream && $type == $types{rst}) {
        $stream->{reset} = unpack 'N', $payload;
        $stream->{why} = "RST_STREAM $stream->{reset}";
        $stream->{ended} = 1;

    } elsif ($type == $types{headers} || $type == $types{continuation}) {
        $self->headers($stream, $type, $flags, $payload);

    } elsif ($stream && $type == $types{data}) {
        $payload = substr $payload, 1, length($payload) - 1 - ord $payload
            if $flags & 8;
        $stream->{response}{body} .= $payload;
        $stream->{ended} = $stream->{whole} = 1 if $flags & 1;
    }

    return 1;
}


sub settings {
    my ($self, $payload) = @_;

    while ($payload =~ s/^(.{6})//s) {
        my ($name, $value) = unpack 'nN', $1;
        next if $name != 4;

        $_->{room} += $value - $self->{initial}
            for values %{ $self->{streams} };
        $self->{initial} = $value;
    }

    $self->{conn}->send(frame('settings', 1, 0, ''));
}


sub headers {
    my ($self, $stream, $type, $flags, $payload) = @_;

    if ($type == $types{headers}) {
        $payload = substr $payload, 1, length($payload) - 1 - ord $payload
            if $flags & 8;
        substr $payload, 0, 5, '' if $flags & 32;
        $self->{last} = $flags & 1;
    }

    $self->{block} .= $payload;
    return if !($flags & 4);

    my @fields = $self->{hpack}->decode(delete $self->{block});
    return if !$stream;

    my ($status) = map { $_->[1] } grep { $_->[0] eq ':status' } @fields;

    $stream->{response} = bless { version => 'HTTP/2', status => $status,
        headers => [grep { $_->[0] !~ /^:/ } @fields], body => '',
        raw => join("\n", map { "$_->[0]: $_->[1]" } @fields) },
        'Pinaud::HTTP::Response' if !$stream->{response};

    $stream->{ended} = $stream->{whole} = 1 if $self->{last};
}


sub close { $_[0]{conn}->close }
sub abort { $_[0]{conn}->abort }


1;
