package Pinaud::Seal;

# Copyright (C) the ngx_pinaud_module authors

# The keys of a seal key file and what they make, written from docs/redis.md
# and not from the source.
#
#   my $seal = Pinaud::Seal->new("id:base64\n");    the first key of it
#   $seal->gateway_line;                            id:gateway:base64
#   $seal->mac('account', @fields);                 id:base64
#   $seal->account_mac($id, $credential, $limits, $reserved);
#   $seal->team_mac($id, $team, $credential, $value);
#   $seal->sign({ record of an account }, $id);     with all its MACs

use warnings;
use strict;

use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(decode_base64 encode_base64);


sub new {
    my ($class, $text) = @_;

    my ($id, $gateway, $key) = $text =~ /^([\w.-]+):(gateway:)?(\S+)$/m
        or die "no key in it\n";

    $key = decode_base64($key);
    $key = hkdf($key, 'pinaud gateway') if !$gateway;

    return bless { id => $id, gateway => $key,
        mac => hkdf($key, 'pinaud mac') }, $class;
}


sub id { $_[0]{id} }


# RFC 5869, of 32 bytes and without salt.

sub hkdf {
    my ($key, $info) = @_;

    return hmac_sha256("$info\1", hmac_sha256($key, "\0" x 32));
}


sub gateway_line {
    my $self = shift;

    return "$self->{id}:gateway:" . encode_base64($self->{gateway}, '') . "\n";
}


sub mac {
    my ($self, @fields) = @_;

    my $data = join '', map { pack('N', length) . $_ } @fields;

    return "$self->{id}:" . encode_base64(hmac_sha256($data, $self->{mac}), '');
}


sub account_mac {
    my ($self, $id, $credential, $limits, $reserved) = @_;

    return $self->mac('account', $id, $credential, $limits // '',
        $reserved // '');
}


sub team_mac {
    my ($self, $id, $team, $credential, $value) = @_;

    return $self->mac('team', $id, $team, $credential, $value // '');
}


sub sign {
    my ($self, $record, $id) = @_;

    my %macs = (mac => $self->account_mac($id,
        map { $record->{$_} } qw(credential limits reserved)));

    for my $field (grep { /^team:/ } keys %$record) {
        my ($team) = $field =~ /^team:(.*)/s;
        $macs{"mac:$team"} = $self->team_mac($id, $team,
            $record->{credential}, $record->{$field});
    }

    return { %$record, %macs };
}


1;
