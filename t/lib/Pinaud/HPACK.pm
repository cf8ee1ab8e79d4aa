package Pinaud::HPACK;

# Copyright (C) the ngx_pinaud_module authors

# HPACK (RFC 7541) as far as a client of a test needs it: writes fields as
# literals, reads all that a server may write.
#
#   my $block = encode(['name', 'value'], ...);
#   my $decoder = Pinaud::HPACK->new;
#   my @fields = $decoder->decode($block);      dies on what is malformed

use warnings;
use strict;

use Exporter qw(import);

our @EXPORT_OK = qw(encode);

# RFC 7541, appendix A

my @static = (
    [':authority', ''], [':method', 'GET'], [':method', 'POST'],
    [':path', '/'], [':path', '/index.html'], [':scheme', 'http'],
    [':scheme', 'https'], (map { [':status', $_] } 200, 204, 206, 304, 400,
        404, 500),
    ['accept-charset', ''], ['accept-encoding', 'gzip, deflate'],
    (map { [$_, ''] } qw(accept-language accept-ranges accept
        access-control-allow-origin age allow authorization cache-control
        content-disposition content-encoding content-language content-length
        content-location content-range content-type cookie date etag expect
        expires from host if-match if-modified-since if-none-match if-range
        if-unmodified-since last-modified link location max-forwards
        proxy-authenticate proxy-authorization range referer refresh
        retry-after server set-cookie strict-transport-security
        transfer-encoding user-agent vary via www-authenticate)),
);

# Appendix B: how many bits each byte's code has. The code is canonical.

my @lengths = qw(
    13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30
    28 28 28 28 28 28 28 28 28 6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5
    5 6 6 6 6 6 6 6 7 8 15 6 12 10 13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7
    7 7 7 7 7 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5
    5 6 7 7 7 7 7 15 11 14 13 28 20 22 20 20 22 22 22 23 22 23 23 23 23 23
    24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 22 21 20 22 22
    23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22
    23 22 22 23 26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26
    27 27 26 27 24 21 21 26 26 28 27 27 27 20 24 20 21 22 21 21 23 22 22
    25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26);

my %codes;

{
    my ($code, $before) = (0, 0);

    for my $byte (sort { $lengths[$a] <=> $lengths[$b] || $a <=> $b }
        0 .. 255)
    {
        my $length = $lengths[$byte];

        $code <<= $length - $before;
        $before = $length;
        $codes{sprintf "%0${length}b", $code++} = chr $byte;
    }
}


sub encode {
    my @fields = @_;

    return join '', map {
        "\x00" . string($_->[0]) . string($_->[1])
    } @fields;
}


sub string { integer(length $_[0], 7, 0) . $_[0] }


sub integer {
    my ($value, $bits, $first) = @_;

    my $max = (1 << $bits) - 1;
    return chr($first | $value) if $value < $max;

    my $text = chr($first | $max);
    $value -= $max;

    while ($value >= 128) {
        $text .= chr($value % 128 + 128);
        $value >>= 7;
    }

    return $text . chr $value;
}


sub new { return bless { table => [], size => 4096 }, $_[0] }


sub decode {
    my ($self, $block) = @_;

    my @fields;

    while (length $block) {
        my $first = ord $block;

        if ($first & 0x80) {
            push @fields, [@{ $self->entry(take_integer(\$block, 7)) }];

        } elsif (($first & 0xe0) == 0x20) {
            $self->{size} = take_integer(\$block, 5);
            $self->trim;

        } else {
            my $kept = $first & 0x40;
            my $index = take_integer(\$block, $kept ? 6 : 4);
            my $name = $index ? $self->entry($index)->[0]
                : take_string(\$block);
            my $field = [$name, take_string(\$block)];

            push @fields, $field;

            if ($kept) {
                unshift @{ $self->{table} }, $field;
                $self->trim;
            }
        }
    }

    return @fields;
}


sub entry {
    my ($self, $index) = @_;

    my $entry = $index == 0 ? undef
        : $index <= @static ? $static[$index - 1]
        : $self->{table}[$index - @static - 1];

    return $entry // die "HPACK: no entry $index\n";
}


sub trim {
    my $self = shift;

    my $size = 0;
    my $table = $self->{table};

    for my $n (0 .. $#$table) {
        $size += 32 + length($table->[$n][0]) + length $table->[$n][1];

        if ($size > $self->{size}) {
            $#$table = $n - 1;
            return;
        }
    }
}


sub take_integer {
    my ($block, $bits) = @_;

    my $max = (1 << $bits) - 1;
    my $value = ord(substr $$block, 0, 1, '') & $max;
    return $value if $value < $max;

    for (my $shift = 0; ; $shift += 7) {
        die "HPACK: a malformed integer\n" if $shift > 28 || !length $$block;

        my $byte = ord substr $$block, 0, 1, '';
        $value += ($byte & 127) << $shift;
        return $value if $byte < 128;
    }
}


sub take_string {
    my $block = shift;

    die "HPACK: no string\n" if !length $$block;

    my $huffman = ord($$block) & 0x80;
    my $length = take_integer($block, 7);
    die "HPACK: a short string\n" if $length > length $$block;

    my $bytes = substr $$block, 0, $length, '';
    return $bytes if !$huffman;

    my ($text, $code) = ('', '');

    for my $bit (split //, unpack 'B*', $bytes) {
        $code .= $bit;

        if (exists $codes{$code}) {
            $text .= $codes{$code};
            $code = '';
        }
    }

    die "HPACK: malformed padding\n" if $code !~ /^1{0,7}\z/;
    return $text;
}


1;
