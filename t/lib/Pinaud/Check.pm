package Pinaud::Check;

# Copyright (C) the ngx_pinaud_module authors

# What several test files ask of the gateway's answers.
#
#   refused($r, 'invalid-body', 'a name');        the contract's table: status,
#       code, outcome, retry; form of the document, fields of the response
#   refused($r, 'internal', 'a name', status => 500);
#   errors($r)                                    'pointer code' of each error
#   created($r, 'a name');                        200, Pinterest's answer
#   arrived_ok($gw, $body, 'a name');             one request came, with this
#       body, the token once, nothing of the client's
#   untouched($gw, 'a name');                     nothing came

use warnings;
use strict;

use Exporter qw(import);
use Test::More;

our @EXPORT = qw(refused errors created arrived_ok untouched);

my $urn = 'urn:pinaud:problem:';
my $quota = 'https://iana.org/assignments/http-problem-types#quota-exceeded';

# type => status, code, outcome, retry

my %table = (
    'invalid-body' => [400, 1, 'invalid', 'false'],
    'invalid-path' => [400, 1, 'invalid', 'false'],
    'unknown-caller' => [401, 2, 'unauthenticated', 'false'],
    'forbidden' => [403, 29, 'forbidden', 'false'],
    'not-found' => [404, 404, 'unmatched', 'false'],
    'method-not-allowed' => [405, 5, 'unmatched', 'false'],
    'too-large' => [413, 1, 'invalid', 'false'],
    'unsupported-media-type' => [415, 1, 'invalid', 'false'],
    'quota-exceeded' => [429, 8, 'over_quota', 'true'],
    'upstream-unreachable' => [502, 502, 'not_sent', 'true'],
    'outcome-unknown' => [504, 504, 'unknown', 'false'],
    'credential-unavailable' => [503, 503, 'no_credential', undef],
    'store-unavailable' => [503, 503, 'store_down', 'true'],
    'internal' => [undef, undef, 'error', 'false'],
);


sub refused {
    my ($r, $type, $name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($status, $code, $outcome, $retry) = @{ $table{$type} };
    $status //= $opt{status};
    $code //= $opt{status};

    my $json = eval { $r->json } // {};
    my @wrong;

    my $same = sub {
        my ($what, $got, $expected) = @_;
        return if !defined $expected;
        $got //= 'nothing';
        push @wrong, "$what is $got, not $expected" if $got ne $expected;
    };

    $same->('status', $r->{status}, $status);
    $same->('Content-Type', $r->header('Content-Type'),
        $opt{content_type} // 'application/problem+json');
    $same->('Pinaud-Outcome', $r->header('Pinaud-Outcome'), $outcome);
    $same->('Pinaud-Should-Retry', $r->header('Pinaud-Should-Retry'),
        $opt{read} ? undef : $opt{retry} // $retry);
    $same->('type', $json->{type}, $type eq 'quota-exceeded' ? $quota
        : "$urn$type");
    $same->('status of the document', $json->{status}, $status);
    $same->('code', $json->{code}, $code);

    push @wrong, "no $_" for grep { !length($json->{$_} // '') }
        qw(title detail message);
    push @wrong, 'no id' if ($json->{request_id} // '') !~ /^[0-9a-f]{32}$/;
    $same->('Pinaud-Request-Id', $r->header('Pinaud-Request-Id'),
        $json->{request_id});

    push @wrong, 'no Retry-After' if ($retry // '') eq 'true'
        && ($r->header('Retry-After') // '') !~ /^[1-9]\d*$/;
    push @wrong, 'a cookie' if defined $r->header('Set-Cookie');

    ok !@wrong, $name
        or diag join("\n", @wrong, $r->{error} // '', $r->{raw} // '',
            $r->{body});
}


sub errors {
    my $r = shift;

    my $json = eval { $r->json } // {};

    return join ', ', map { "$_->{pointer} $_->{code}"
        . (defined $_->{offset} ? " $_->{offset}" : '') }
        @{ $json->{errors} || [] };
}


sub created {
    my ($r, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $json = eval { $r->json } // {};

    ok $r->{status} == 200 && ($json->{type} // '') eq 'audience'
        && ($r->header('Pinaud-Outcome') // '') eq 'forwarded', $name
        or diag join "\n", $r->{status}, $r->{error} // '', $r->{raw} // '',
            $r->{body};
}


sub arrived_ok {
    my ($gw, $body, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @there = $gw->arrived;
    my $token = $gw->token;
    my @wrong;

    push @wrong, scalar(@there) . ' requests came' if @there != 1;

    if (my $there = $there[0]) {
        my %lines;
        push @{ $lines{lc $_->[0]} }, $_->[1] for @{ $there->{headers} };

        push @wrong, 'the body is ' . $there->{body}
            if $there->{body} ne $body;

        my %one = (authorization => "Bearer $token",
            'content-length' => length $body,
            host => 'api.pinterest.com');

        for my $field (sort keys %one) {
            my @values = @{ $lines{$field} || [] };
            push @wrong, "$field: @values"
                if @values != 1 || $values[0] ne $one{$field};
        }

        push @wrong, 'Transfer-Encoding' if $lines{'transfer-encoding'};
        push @wrong, 'Expect' if $lines{expect};
        push @wrong, "Content-Type: @{ $lines{'content-type'} || [] }"
            if @{ $lines{'content-type'} || [] } != 1;
        push @wrong, 'not whole' if !$there->{whole};
    }

    ok !@wrong, $name or diag join "\n", @wrong, map { $_->{head} } @there;
    return $there[0];
}


sub untouched {
    my ($gw, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is join('', map { $_->{head} } $gw->arrived), '', $name;
}


1;
