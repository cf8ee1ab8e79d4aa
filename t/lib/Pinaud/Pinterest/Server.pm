package Pinaud::Pinterest::Server;

# Copyright (C) the ngx_pinaud_module authors

# HTTP/1.1 of the simulator: reads requests, keeps a record of each, does what
# the faults say, writes answers the way Pinterest's front does.
#
#   my $server = Pinaud::Pinterest::Server->new($loop, sub {
#       my $request = shift;                  method, path, query, body, header
#       return (200, $answer, [[name, value]...]);
#   });
#   $server->listen($port, $tls_context_or_undef);
#
# A fault is a hash: kind, times (1 unless told), path (a pattern), seconds
# (before the answer or the end). Kinds: see Pinaud::Pinterest.

use warnings;
use strict;

use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_bignum;

my %reasons = (200 => 'OK', 400 => 'Bad Request', 401 => 'Unauthorized',
    403 => 'Forbidden', 404 => 'Not Found', 405 => 'Method Not Allowed',
    409 => 'Conflict', 429 => 'Too Many Requests',
    500 => 'Internal Server Error', 502 => 'Bad Gateway',
    503 => 'Service Unavailable', 504 => 'Gateway Timeout');

my %before = map { $_ => 1 } qw(reset_before close_before);


sub new {
    my ($class, $loop, $handler) = @_;

    return bless { loop => $loop, handler => $handler, faults => [],
        records => [], listeners => [], connections => 0, requests => 0 },
        $class;
}


sub listen {
    my ($self, $port, $tls) = @_;

    my $socket = IO::Socket::INET->new(Listen => 512, Proto => 'tcp',
        LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1)
        or die "listen on port $port: $!\n";

    $self->{loop}->listen($socket, sub { $self->accepted(@_) }, tls => $tls);
    push @{ $self->{listeners} }, [$socket, $socket->sockport, $tls];

    return $socket->sockport;
}


sub refuse {
    my $self = shift;

    for my $listener (@{ $self->{listeners} }) {
        my $socket = $listener->[0] or next;
        $self->{loop}->unlisten($socket);
        close $socket;
        $listener->[0] = undef;
    }

    $_->reset for $self->clients;
}


sub accept_again {
    my $self = shift;

    my @closed = grep { !$_->[0] } @{ $self->{listeners} };
    $self->{listeners} = [grep { $_->[0] } @{ $self->{listeners} }];

    $self->listen($_->[1], $_->[2]) for @closed;
}


sub clients { grep { $_->{http} } $_[0]{loop}->conns }


sub accepted {
    my ($self, $conn) = @_;

    $conn->{http} = ++$self->{connections};

    # how nothing at all of a request arrives

    if ($self->take_fault(sub { $_[0]{kind} eq 'reset_accept' })) {
        return $conn->reset;
    }

    $conn->{peek} = sub {
        return 1 if $conn->{handshake} || $conn->{request}
            || length $conn->{in};

        my $fault = $self->take_fault(sub { $before{$_[0]{kind}} })
            or return 1;

        $fault->{kind} eq 'reset_before' ? $conn->reset : $conn->end('fault');
        return 0;
    };

    $conn->{on_data} = sub { $self->data($conn) };

    $conn->{on_end} = sub {
        my $request = $conn->{request} or return;
        $request->{record}{left} = 1 if !$request->{answered};
    };
}


sub take_fault {
    my ($self, $match) = @_;

    my $faults = $self->{faults};

    for my $n (0 .. $#$faults) {
        my $fault = $faults->[$n];
        next if !$match->($fault);

        splice @$faults, $n, 1 if --$fault->{times} == 0;
        return $fault;
    }

    return undef;
}


sub data {
    my ($self, $conn) = @_;

    while (!$conn->{over}) {
        my $request = $conn->{request} // $self->read_head($conn) // return;

        return if $request->{busy} || !$self->read_body($conn, $request);

        $request->{busy} = 1;
        $request->{record}{whole} = JSON::PP::true;
        $self->handle($conn, $request);
    }
}


sub read_head {
    my ($self, $conn) = @_;

    my $end = index $conn->{in}, "\r\n\r\n";
    return undef if $end < 0;

    my $head = substr $conn->{in}, 0, $end + 4, '';
    my ($first, @lines) = split /\r\n/, $head;
    my ($method, $target, $version) = split / /, $first;
    my ($path, $query) = split /\?/, $target // '', 2;

    my @headers = map { [ /^([^:]*):[ \t]*(.*?)[ \t]*$/ ] } @lines;
    my %fields;
    $fields{lc $_->[0]} //= $_->[1] for @headers;

    my $record = { n => ++$self->{requests}, time => time(),
        connection => $conn->{http}, method => $method, target => $target,
        path => $path, head => $head, headers => \@headers, body => '',
        whole => JSON::PP::false,
        tls => $conn->{tls} ? JSON::PP::true : JSON::PP::false,
        sni => $conn->{tls} ? $conn->{socket}->get_servername : undef };

    push @{ $self->{records} }, $record;

    $conn->{request} = { method => $method, target => $target,
        path => $path, query => $query, version => $version,
        fields => \%fields, record => $record };

    $conn->write("HTTP/1.1 100 Continue\r\n\r\n")
        if lc($fields{expect} // '') eq '100-continue';

    return $conn->{request};
}


sub read_body {
    my ($self, $conn, $request) = @_;

    my $record = $request->{record};

    if (lc($request->{fields}{'transfer-encoding'} // '') ne 'chunked') {
        my $length = $request->{fields}{'content-length'} // 0;
        my $missing = $length - length $record->{body};

        $record->{body} .= substr $conn->{in}, 0, $missing, '';
        return length $record->{body} >= $length;
    }

    while ($conn->{in} =~ /^([0-9a-fA-F]+)[^\n]*\r\n/) {
        my ($size, $at) = (hex $1, $+[0]);
        return 0 if length $conn->{in} < $at + $size + 2;

        $record->{body} .= substr $conn->{in}, $at, $size;
        substr $conn->{in}, 0, $at + $size + 2, '';
        return 1 if $size == 0;
    }

    return 0;
}


sub handle {
    my ($self, $conn, $request) = @_;

    my $fault = $self->take_fault(sub {
        my $fault = shift;
        return !$before{$fault->{kind}} && $fault->{kind} ne 'reset_accept'
            && (!defined $fault->{path}
                || $request->{target} =~ $fault->{path});
    });

    return $self->answer($conn, $request,
        $self->{handler}->($request)) if !$fault;

    my @answer = $self->faulty($fault, $request);

    my $go = sub {
        return if $conn->{over};

        my $kind = $fault->{kind};

        $request->{record}{fault} = $kind;

        return $conn->reset if $kind eq 'reset_after';
        return $conn->finish if $kind eq 'close';
        return if $kind eq 'silence';

        if ($kind eq 'garbage') {
            $conn->write($fault->{bytes} // "\x15\x03garbage\r\n\r\n");
            return $conn->finish;
        }

        $self->answer($conn, $request, @answer, cut => $kind eq 'truncate');
        $self->data($conn) if !$conn->{over};
    };

    return $go->() if !$fault->{seconds};
    $self->{loop}->after($fault->{seconds}, $go);
}


# The answer under a fault. Where it is lost or late it was carried out all the
# same, unless "made" says no; where it is a failure it was not, unless "made".

sub faulty {
    my ($self, $fault, $request) = @_;

    my $kind = $fault->{kind};
    my $status = $fault->{status} // { unauthorized => 401,
        forbidden => 403, rate_limited => 429, error => 500 }->{$kind};

    if (!defined $status) {
        return (200, {}, []) if defined $fault->{made} && !$fault->{made};

        my @answer = $self->{handler}->($request);
        push @{ $answer[2] }, @{ $fault->{headers} || [] };
        return @answer;
    }

    $self->{handler}->($request) if $fault->{made};

    my %codes = (401 => [2, 'Authentication failed.'],
        403 => [29, 'You are not permitted to access that resource.'],
        429 => [8, 'You have exceeded your rate limit. Try again later.'],
        500 => [500, 'Sorry, something went wrong on our end.']);

    my $failure = $codes{$status} // [$status, $reasons{$status} // 'Error'];
    my $body = exists $fault->{body} ? $fault->{body}
        : { code => $failure->[0], message => $failure->[1] };

    return ($status, $body, $fault->{headers} || []);
}


sub answer {
    my ($self, $conn, $request, $status, $value, $headers, %opt) = @_;

    my $body = ref $value ? $json->encode($value) : $value // '';
    my $now = time();

    my @headers = (
        ['date', POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime $now)],
        ['content-type', ref $value ? 'application/json' : 'text/html'],
        ['cache-control', 'no-cache, no-store, must-revalidate'],
        ['vary', 'Accept-Encoding'],
        ['pinterest-version', '8f1c2d3'],
        ['pinterest-generated-by', 'simulator'],
        ['x-pinterest-rid', join '', map { int rand 10 } 1 .. 16],
        ['x-pinterest-rid-128bit',
            join '', map { sprintf '%x', rand 16 } 1 .. 32],
        ['x-envoy-upstream-service-time', 3 + int rand 5],
        ['x-cdn', 'fastly'],
        @{ $headers || [] },
        ['set-cookie', '_ir=0; Max-Age=1800; HttpOnly; Path=/; Secure'],
    );

    # what has no body by its method or status has none
    my $none = ($request->{method} // '') eq 'HEAD' || $status == 204
        || $status == 304;

    push @headers, ['transfer-encoding', 'chunked'] if !$none;

    my $close = lc($request->{fields}{connection} // '') eq 'close'
        || $request->{version} ne 'HTTP/1.1' || $opt{cut};
    push @headers, ['connection', 'close'] if $close;

    my $rid = (grep { $_->[0] eq 'x-pinterest-rid' } @headers)[0][1];
    my $reason = $reasons{$status} // 'Status';
    my $head = join "\r\n", "HTTP/1.1 $status $reason",
        map { "$_->[0]: $_->[1]" } @headers;

    my $chunk = length $body ? sprintf("%x\r\n%s\r\n", length $body, $body)
        : '';

    $chunk = substr $chunk, 0, length($chunk) / 2 if $opt{cut};

    $conn->write("$head\r\n\r\n" . ($none ? ''
        : $chunk . ($opt{cut} ? '' : "0\r\n\r\n")));

    @{ $request->{record} }{qw(status answer rid answered)}
        = ($status, $body, $rid, time());

    $request->{answered} = 1;
    delete $conn->{request};
    $conn->finish if $close;

    $self->{on_answer}->($request->{record}) if $self->{on_answer};
}


1;
