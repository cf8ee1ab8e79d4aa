package Pinaud::HTTP;

# Copyright (C) the ngx_pinaud_module authors

# A small HTTP client that sends exactly the bytes that a test asks for.
#
#   my $r = get($where, '/v5/...', team => 'growth');
#   my $r = post($where, '/v5/...', '{"name": ...}', team => 'growth');
#   my $r = request($where, 'PUT', '/v5/...', %options);
#                                       for HTTP/2 see Pinaud::HTTP2
#
#   $r->{status} $r->{body} $r->{headers}   the last: [[name, value], ...]
#   $r->header('Content-Type')              first of them, or undef
#   $r->headers('Set-Cookie')               all of them
#   $r->json                                the body, decoded
#   $r->{continued}                         100 Continue came
#   $r->{error}                             why there is no answer (status 0)
#   $r->{elapsed}                           seconds
#
# $where is a port, 'host:port', 'unix:/path', or an object that has an
# address method. Options:
#
#   body => bytes            with Content-Length, unless:
#   chunked => N             chunks of N bytes
#   expect => 1              Expect: 100-continue, the body after it
#   length => N or undef     another Content-Length than the body's, or none
#   type => '...' or undef   Content-Type of a body (application/json)
#   team => 'growth'         the X-Team that the test configuration reads
#   headers => ['Name: v']   more lines
#   host => '...'            Host
#   timeout => 10            seconds for the whole exchange
#   tls => { ca => 'file' }  TLS (also name, cert, key, alpn)
#
# Step by step, on one connection:
#
#   my $c = Pinaud::HTTP->connect($where, %options);
#   $c->send("POST / HTTP/1.1\r\n");  $c->send(...);
#   my $r = $c->response;             or $c->request('GET', '/', %options);
#   $c->ended(1)                      the server closes within 1 s
#   $c->close; $c->abort;             the latter by a reset

use warnings;
use strict;

use Exporter qw(import);

our @EXPORT = qw(get post request);


sub get {
    my ($where, $target, %opt) = @_;

    return request($where, 'GET', $target, %opt);
}


sub post {
    my ($where, $target, $body, %opt) = @_;

    return request($where, 'POST', $target, body => $body, %opt);
}


sub request {
    my ($where, $method, $target, %opt) = @_;

    my $c = eval { Pinaud::HTTP::Connection->new($where, %opt) };
    return Pinaud::HTTP::Response->none($@ =~ s/\n\z//r) if !$c;

    my $r = $c->request($method, $target, %opt, close => 1);
    $c->close;

    return $r;
}


sub connect {
    my ($class, $where, %opt) = @_;

    return Pinaud::HTTP::Connection->new($where, %opt);
}


sub address {
    my $where = shift;

    $where = $where->address if ref $where;
    return $where =~ /^\d+$/ ? "127.0.0.1:$where" : $where;
}


# The header block of a request with this method, target and options.

sub head {
    my ($method, $target, %opt) = @_;

    my @lines = ("$method $target HTTP/1.1",
        'Host: ' . ($opt{host} // 'localhost'));

    if (defined $opt{body}) {
        push @lines, 'Content-Type: ' . ($opt{type} // 'application/json')
            unless exists $opt{type} && !defined $opt{type};

        if ($opt{chunked}) {
            push @lines, 'Transfer-Encoding: chunked';

        } elsif (!exists $opt{length}) {
            push @lines, 'Content-Length: ' . length $opt{body};

        } elsif (defined $opt{length}) {
            push @lines, "Content-Length: $opt{length}";
        }
    }

    push @lines, "X-Team: $opt{team}" if defined $opt{team};
    push @lines, 'Expect: 100-continue' if $opt{expect};
    push @lines, @{ $opt{headers} || [] };
    push @lines, 'Connection: close' if $opt{close};

    return join("\r\n", @lines) . "\r\n\r\n";
}


sub chunks {
    my ($body, $size) = @_;

    my $text = '';

    while (length $body) {
        my $part = substr $body, 0, $size, '';
        $text .= sprintf("%x\r\n", length $part) . "$part\r\n";
    }

    return "${text}0\r\n\r\n";
}


package Pinaud::HTTP::Connection;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);


sub new {
    my ($class, $where, %opt) = @_;

    my $address = Pinaud::HTTP::address($where);
    my $socket = $address =~ /^unix:(.*)/
        ? IO::Socket::UNIX->new(Peer => $1)
        : IO::Socket::INET->new(PeerAddr => $address, Proto => 'tcp',
            Timeout => $opt{timeout} // 10);

    die "connect to $address: $!\n" if !$socket;

    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1
        if $address !~ /^unix:/;

    if (my $tls = $opt{tls}) {
        require IO::Socket::SSL;

        my $name = $tls->{name} // 'localhost';

        IO::Socket::SSL->start_SSL($socket,
            SSL_verify_mode => $tls->{ca} ? 1 : 0,
            $tls->{ca} ? (SSL_ca_file => $tls->{ca}) : (),
            SSL_hostname => $name,
            SSL_verifycn_scheme => 'http',
            SSL_verifycn_name => $name,
            $tls->{alpn} ? (SSL_alpn_protocols => $tls->{alpn}) : (),
            $tls->{cert} ? (SSL_use_cert => 1, SSL_cert_file => $tls->{cert},
                SSL_key_file => $tls->{key}) : (),
        ) or die 'TLS: ' . IO::Socket::SSL::errstr() . "\n";
    }

    $socket->blocking(0);

    return bless { socket => $socket, buffer => '',
        timeout => $opt{timeout} // 10 }, $class;
}


sub send {
    my ($self, $bytes) = @_;

    my $end = time() + $self->{timeout};

    # the next answer has its own

    delete $self->{end};

    while (length $bytes) {
        my $n = syswrite $self->{socket}, $bytes;

        if ($n) {
            substr $bytes, 0, $n, '';
            next;
        }

        return 0 if defined $n || !$!{EAGAIN} && !$!{EWOULDBLOCK};
        return 0 if time() > $end;

        # A server may answer and close before it has read everything: its
        # answer is taken in, so that neither side waits for the other.

        my $select = IO::Select->new($self->{socket});
        my ($read) = IO::Select->select($select, $select, undef, 0.5);
        return 0 if $read && @$read && !$self->fill(0);
    }

    return 1;
}


sub request {
    my ($self, $method, $target, %opt) = @_;

    $self->{timeout} = $opt{timeout} if $opt{timeout};
    $self->{end} = time() + $self->{timeout};

    my $body = $opt{body} // '';
    $body = Pinaud::HTTP::chunks($body, $opt{chunked}) if $opt{chunked};

    my $head = Pinaud::HTTP::head($method, $target, %opt);
    my $continued = 0;

    if ($opt{expect}) {
        $self->send($head);
        my $r = $self->response(method => $method);
        return $r if $r->{status} != 100;

        $continued = 1;
        $self->send($body);

    } else {
        $self->send($head . $body);
    }

    my $r = $self->response(method => $method);
    $r->{continued} = $continued;

    return $r;
}


# The next response, whole. A 100 is one of its own.

sub response {
    my ($self, %opt) = @_;

    my $start = time();
    $self->{end} = $start + ($opt{timeout} // $self->{timeout})
        if $opt{timeout} || !$self->{end} || $self->{end} < $start;

    my $r = eval { $self->read_response($opt{method} // 'POST') };

    $r //= Pinaud::HTTP::Response->none($@ =~ s/\n\z//r);
    $r->{elapsed} = time() - $start;

    return $r;
}


sub read_response {
    my ($self, $method) = @_;

    my $block = $self->take_to("\r\n\r\n");
    my $r = Pinaud::HTTP::Response->parse($block);
    my $status = $r->{status};

    return $r if $status < 200 || $status == 204 || $status == 304
        || $method eq 'HEAD';

    my $body = eval { $self->read_body($r) };

    if (!defined $body) {
        $r->{error} = $@ =~ s/\n\z//r;
        $body = $self->{buffer};
        $self->{buffer} = '';
    }

    $r->{body} = $body;
    return $r;
}


sub read_body {
    my ($self, $r) = @_;

    if (lc($r->header('Transfer-Encoding') // '') eq 'chunked') {
        my $body = '';

        while (1) {
            my $line = $self->take_to("\r\n");
            my $size = hex($line =~ s/[;\r].*//sr);

            if ($size == 0) {
                1 while $self->take_to("\r\n") ne "\r\n";
                return $body;
            }

            $body .= $self->take($size);
            $self->take(2);
        }
    }

    my $length = $r->header('Content-Length');
    return $self->take($length) if defined $length;

    1 while $self->fill(1);
    return substr $self->{buffer}, 0, length $self->{buffer}, '';
}


sub take_to {
    my ($self, $mark) = @_;

    my $at;

    while (($at = index $self->{buffer}, $mark) < 0) {
        $self->fill(1) or die "closed by the server\n";
    }

    return substr $self->{buffer}, 0, $at + length $mark, '';
}


sub take {
    my ($self, $length) = @_;

    while (length $self->{buffer} < $length) {
        $self->fill(1) or die "closed by the server\n";
    }

    return substr $self->{buffer}, 0, $length, '';
}


# Reads what is there; waits for it up to the exchange's end if told so.
# False at the end of the stream.

sub fill {
    my ($self, $wait) = @_;

    while (1) {
        my $n = sysread $self->{socket}, $self->{buffer}, 65536,
            length $self->{buffer};

        return 1 if $n;
        return 0 if defined $n;
        die "read: $!\n" if !$!{EAGAIN} && !$!{EWOULDBLOCK};
        return 1 if !$wait;

        my $left = $self->{end} - time();
        die "no answer in time\n" if $left <= 0
            || !IO::Select->new($self->{socket})->can_read($left);
    }
}


sub ended {
    my ($self, $patience) = @_;

    $self->{end} = time() + ($patience // 1);

    my $read = eval { $self->fill(1) };
    return 0 if $read;
    return $@ !~ /^no answer/;
}


sub close {
    my $self = shift;

    $self->{socket}->close;
}


sub abort {
    my $self = shift;

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    CORE::close $self->{socket};
}


package Pinaud::HTTP::Response;

use JSON::PP ();


sub none {
    my ($class, $why) = @_;

    return bless { status => 0, headers => [], body => '', error => $why,
        elapsed => 0 }, $class;
}


sub parse {
    my ($class, $block) = @_;

    my ($first, @lines) = split /\r\n/, $block;
    my ($version, $status, $reason)
        = $first =~ m{^(HTTP/\S+) (\d{3})(?: (.*))?$}
        or die "not a status line: $first\n";

    my @headers = map { [ /^([^:]+):[ \t]*(.*?)[ \t]*$/ ] } @lines;

    return bless { version => $version, status => $status, reason => $reason,
        headers => \@headers, body => '', raw => $block }, $class;
}


sub header {
    my ($self, $name) = @_;

    return ($self->headers($name))[0];
}


sub headers {
    my ($self, $name) = @_;

    return map { $_->[1] } grep { lc $_->[0] eq lc $name }
        @{ $self->{headers} };
}


sub json {
    my $self = shift;

    return JSON::PP->new->utf8->allow_nonref->decode($self->{body});
}


1;
