package Pinaud::Leaks;

# Copyright (C) the ngx_pinaud_module authors

# Finds secrets in what was written down somewhere.
#
#   my $leaks = Pinaud::Leaks->new;
#   $leaks->secret('a refresh token' => $bytes);
#   $leaks->found($text)            names of the secrets that are in it
#
# A secret is searched as it is, in base64 (plain and for URLs, wherever in
# the coded text it begins), in hex and URL encoded, both in any case of
# letters.

use warnings;
use strict;

use MIME::Base64 qw(encode_base64);


sub new { bless { secrets => {} }, $_[0] }


sub secret {
    my ($self, $name, $secret) = @_;

    die "$name: too short to be told from chance\n" if length $secret < 12;

    $self->{secrets}{$name} = join '|', forms($secret);
}


sub forms {
    my $secret = shift;

    my @forms = (quotemeta $secret);

    # what comes before and behind it changes the first and the last digits

    for my $before (0 .. 2) {
        my $coded = encode_base64('-' x $before . $secret, '');
        my $first = $before ? $before + 1 : 0;
        my $last = int(8 * ($before + length $secret) / 6);

        $coded = substr $coded, $first, $last - $first;
        push @forms, quotemeta $coded, quotemeta $coded =~ tr{+/}{-_}r;
    }

    push @forms, '(?i:' . unpack('H*', $secret) . ')';
    push @forms, '(?i:' . quotemeta($secret =~ s/([^\w.~-])/
        sprintf '%%%02X', ord $1/gerx) . ')';
    push @forms, '(?i:' . quotemeta($secret =~ s/(.)/
        sprintf '%%%02X', ord $1/gersx) . ')';

    return @forms;
}


sub found {
    my ($self, $text) = @_;

    return grep { $text =~ /$self->{secrets}{$_}/s }
        sort keys %{ $self->{secrets} };
}


1;
