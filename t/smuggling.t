#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Requests that two readers may read in two ways. Whatever the gateway makes
# of them, Pinterest gets nothing but requests that were checked: the line,
# the fields and the body are the gateway's own.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;

my $gw = Pinaud::Gateway->new(upstream => 'http',
    accounts => { account() => { limits => ['1000/60s'],
        teams => { growth => [] } } });

my $path = create_path;
my $body = body();
my $length = length $body;
my $token = $gw->token;
my $hidden = "POST @{[ create_path('1') ]} HTTP/1.1\r\nHost: x\r\n"
    . "Authorization: Bearer stolen\r\nContent-Length: 2\r\n\r\n{}";


# A request's head with these lines.

sub head {
    my ($line, @fields) = @_;

    return join "\r\n", $line, 'Host: localhost', 'X-Team: growth',
        'Content-Type: application/json', @fields, '', '';
}


# Whether an arrived request is one that the gateway sends.

sub wrong {
    my $there = shift;

    my %count;
    $count{lc $_->[0]}++ for @{ $there->{headers} };

    my @fields = qw(accept authorization content-length content-type host
        user-agent);
    my @wrong = grep { my $field = $_; !grep { $_ eq $field } @fields }
        sort keys %count;
    push @wrong, "$_ twice" for grep { $count{$_} > 1 } sort keys %count;

    push @wrong, 'the token' if $there->{head}
        !~ /^Authorization: Bearer \Q$token\E\r$/m;
    push @wrong, 'the host' if $there->{head}
        !~ /^Host: api\.pinterest\.com\r$/m;
    push @wrong, 'a bare CR or LF' if $there->{head} =~ /[^\r]\n|\r[^\n]/;

    if ($there->{method} eq 'POST') {
        push @wrong, "the target: $there->{target}"
            if $there->{target} ne $path;
        push @wrong, "the body: $there->{body}" if $there->{body} ne $body;
        push @wrong, 'the length' if $there->{head}
            !~ /^Content-Length: $length\r$/m;

    } else {
        push @wrong, "a $there->{method} of $there->{target}"
            if $there->{method} ne 'GET'
                || $there->{target} !~ /^\Q$path\E(?:\?|$)/;
        push @wrong, 'a body' if length $there->{body};
    }

    return @wrong;
}


# Sends these bytes; at most so many requests may arrive for them.

sub attack {
    my ($name, $bytes, $most) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $c = Pinaud::HTTP->connect($gw, timeout => 5);
    $c->send($bytes);

    # the end of what is answered is told by an answer that can't be wrong

    my $r = $c->response(timeout => 0.5);
    my $first = $r->{status};

    while ($r->{status}) {
        $r = $c->response(timeout => 0.03);
    }

    $c->close;

    my @there = $gw->arrived;
    my @wrong = map { wrong($_) } @there;
    push @wrong, scalar(@there) . ' requests' if @there > ($most // 0);

    is join(', ', @wrong), '', $name
        or diag map { "$_->{head}$_->{body}" } @there;

    return $first;
}


is attack('a create', head("POST $path HTTP/1.1", "Content-Length: $length")
    . $body, 1), 200, 'is made';


# two lengths, or a length that is none

for my $lines (["Content-Length: $length", 'Content-Length: 2'],
    ['Content-Length: 2', "Content-Length: $length"],
    ["Content-Length: $length", "Content-Length: $length"],
    ["Content-Length: $length, $length"], ["Content-Length: +$length"],
    ["Content-Length: -1"], ["Content-Length: 0x10"],
    ["Content-Length: $length "], ["Content-Length:\t$length"],
    ["Content-Length : $length"], [" Content-Length: $length"],
    ["Content-Length: 18446744073709551617"], ["Content-Length: 9" . 9 x 30],
    ['Content-Length:'], ["Content-Length: $length\r\n 0"],
    ["Content_Length: 2", "Content-Length: $length"],
    ["Content-Length: $length", 'Transfer-Encoding: chunked'],
    ['Transfer-Encoding: chunked', "Content-Length: $length"],
    ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
    ['Transfer-Encoding: identity, chunked'],
    ['Transfer-Encoding: chunked, identity'],
    ['Transfer-Encoding: xchunked', "Content-Length: $length"],
    ["Transfer-Encoding: \x0bchunked", "Content-Length: $length"],
    ['Transfer-Encoding : chunked', "Content-Length: $length"],
    ['Transfer_Encoding: chunked', "Content-Length: $length"],
    ["X-Own: a\rTransfer-Encoding: chunked", "Content-Length: $length"],
    ["X-Own: a\nTransfer-Encoding: chunked", "Content-Length: $length"],
    ["X-Own: a\0b", "Content-Length: $length"],
    ["X-Own\0: a", "Content-Length: $length"],
    ['Connection: Content-Length', "Content-Length: $length"],
    ['Connection: X-Team, Authorization', "Content-Length: $length"],
    ['Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__',
        'Connection: Upgrade, HTTP2-Settings', "Content-Length: $length"],
    ['Trailer: Authorization', "Content-Length: $length"])
{
    my $name = join(' + ', @$lines) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;

    attack("$name, a body", head("POST $path HTTP/1.1", @$lines) . $body
        . $hidden, 1);
    attack("$name, chunks", head("POST $path HTTP/1.1", @$lines)
        . Pinaud::HTTP::chunks($body, 10) . $hidden, 1);
    attack("$name, a read", head("GET $path HTTP/1.1", @$lines) . $hidden, 1);
}


# chunks

my $chunked = head("POST $path HTTP/1.1", 'Transfer-Encoding: chunked');
my $hex = sprintf '%x', $length;

for my $chunks ("$hex\r\n$body\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "$hex;a=b\r\n$body\r\n0\r\n\r\n", "$hex\n$body\n0\n\n",
    "0$hex\r\n$body\r\n0\r\n\r\n", "+$hex\r\n$body\r\n0\r\n\r\n",
    "0x$hex\r\n$body\r\n0\r\n\r\n", "$hex \r\n$body\r\n0\r\n\r\n",
    "ffffffffffffffff$hex\r\n$body\r\n0\r\n\r\n", "-1\r\n$body\r\n0\r\n\r\n",
    "$hex\r\n${body}0\r\n\r\n", "$hex\r\n$body\r\n00\r\n\r\n",
    "$hex;\n$body\r\n0\r\n\r\n", "$hex\r$body\r\n0\r\n\r\n",
    "$hex\r\n$body\r\n0;" . 'x' x 20000 . "\r\n\r\n",
    "$hex\r\n$body\r\n0\r\n" . "X: x\r\n" x 2000 . "\r\n",
    "\r\n$hex\r\n$body\r\n0\r\n\r\n", "0\r\n\r\n$body")
{
    my $name = substr($chunks, 0, 30) . '...' . substr $chunks, -20;
    attack('chunks: ' . $name =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger,
        $chunked . $chunks . $hidden, 1);
}


# lines

for my $line ("POST http://evil.example$path HTTP/1.1",
    "POST https://evil.example$path HTTP/1.1",
    "POST http://evil.example:80$path HTTP/1.1", "POST //evil.example$path "
    . 'HTTP/1.1', "POST $path#x HTTP/1.1", "POST $path HTTP/1.1 HTTP/1.1",
    "POST $path\tHTTP/1.1", "POST  $path HTTP/1.1", "POST $path  HTTP/1.1",
    "POST $path HTTP/1.0", "POST $path HTTP/0.9", "POST $path HTTP/2.0",
    "POST $path", "post $path HTTP/1.1", "POST $path?\r\nX: y HTTP/1.1",
    "POST $path\0 HTTP/1.1", "POST $path%00 HTTP/1.1",
    "POST $path%20HTTP/1.1%0d%0aX: HTTP/1.1", "POST * HTTP/1.1",
    "CONNECT $path HTTP/1.1", "PRI * HTTP/2.0", "POST $path\x80 HTTP/1.1",
    "POST $path;x HTTP/1.1", "POST /v5$path HTTP/1.1",
    "POST /v5/../v5/ad_accounts/1/audiences HTTP/1.1")
{
    attack($line =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger,
        head($line, "Content-Length: $length") . $body . $hidden, 1);
    attack('GET: ' . $line =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger,
        head($line =~ s/^POST/GET/r) . $hidden, 1);
}


# long ones

for my $size (7000, 8100, 9000, 33000, 100000) {
    for my $field ('Content-Type: application/json; x="%s"', 'Accept: %s',
        'User-Agent: %s', 'X-Own: %s')
    {
        my $r = post($gw, $path, $body, team => 'growth',
            $field =~ /^Content-Type: (.*)/
                ? (type => sprintf $1, 'x' x $size)
                : (headers => [sprintf $field, 'x' x $size]));

        ok $r->{status}, "$size bytes of $field are answered"
            or diag $r->{error};

        my @there = $gw->arrived;
        is join(', ', map { wrong($_) } @there), '', 'and arrive well';
    }
}

attack('many fields', head("POST $path HTTP/1.1", "Content-Length: $length",
    map { "X-$_: $_" } 1 .. 500) . $body, 1);


# what follows on the same connection is read by itself

my $next = head("POST $path HTTP/1.1", "Content-Length: $length") . $body;
is attack('one after the other', $next x 3 . $hidden, 3), 200, 'in order';
attack('after one that is refused', head("POST $path HTTP/1.1",
    'Content-Length: ' . length $next) . $next . $next, 1);
attack('after one that is too large', head("POST $path HTTP/1.1",
    'Content-Length: 2000000') . $next x 5, 0);
attack('after one that expects', head("POST $path HTTP/1.1",
    "Content-Length: $length", 'Expect: 100-continue') . $body . $hidden, 1);
attack('after one that expects something else',
    head("POST $path HTTP/1.1", "Content-Length: $length", 'Expect: x')
    . $body . $hidden, 1);


# HTTP/2: what would be lines in HTTP/1.1

SKIP: {
    skip 'nginx without HTTP/2', 1 if !Pinaud::Nginx->has('http_v2_module');

    for my $case (
        ['a length that is not the body\'s', length => $length - 3],
        ['a longer length', length => $length + 3],
        ['Transfer-Encoding', headers => ['transfer-encoding: chunked']],
        ['Connection', headers => ['connection: x-team']],
        ['CR LF in a value', headers => ["x-own: a\r\nauthorization: x"]],
        ['LF in a value', headers => ["user-agent: a\nx-own: b"]],
        ['CR in a value', headers => ["accept: a\rb"]],
        ['NUL in a value', headers => ["accept: a\0b"]],
        ['a colon in a name', headers => ['x:y: z']],
        ['Authorization', headers => ['authorization: Bearer stolen']],
        ['an upper-case name', headers => ['X-OWN: x']],
        ['Host', host => 'evil.example'],
        ['two hosts', headers => ['host: evil.example']],
        ['CR LF in Content-Type',
            type => "application/json\r\nx-own: y"])
    {
        my ($name, %opt) = @$case;

        my $r = h2($gw, 'POST', $path, body => $body, team => 'growth',
            timeout => 3, %opt);
        my @there = $gw->arrived;
        my @wrong = map { wrong($_) } @there;
        push @wrong, scalar(@there) . ' requests' if @there > 1;

        is join(', ', @wrong), '', "HTTP/2: $name"
            or diag map { $_->{head} } @there;
    }

    for my $target ("$path HTTP/1.1\r\nX-Own: y\r\n\r\n", "$path\r\nX: y",
        "$path x", "$path?", "$path#", "$path\0", 'http://evil' . $path,
        '*', '', "$path%0d%0a", "//evil.example$path", "$path\t")
    {
        h2($gw, 'POST', $target, body => $body, team => 'growth',
            timeout => 3);
        h2($gw, 'GET', $target, team => 'growth', timeout => 3);

        my @there = $gw->arrived;
        is join(', ', map { wrong($_) } @there), '', 'HTTP/2: '
            . $target =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger
            or diag map { $_->{head} } @there;
    }

    for my $method ("POST $path HTTP/1.1\r\nX:", 'post', 'PO ST', "POST\0",
        'POST x')
    {
        h2($gw, $method, $path, body => $body, team => 'growth',
            timeout => 3);
        is join(', ', map { wrong($_) } $gw->arrived), '',
            'HTTP/2: a method of '
            . $method =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;
    }
}


# and afterwards it works

is attack('a create at the end', head("POST $path HTTP/1.1",
    "Content-Length: $length") . $body, 1), 200, 'is made';
unlike join('', map { $_->{head} } $gw->sim->requests), qr/stolen|evil/,
    'nothing of all that arrived';

finish();
