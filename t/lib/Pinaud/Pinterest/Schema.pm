package Pinaud::Pinterest::Schema;

# Copyright (C) the ngx_pinaud_module authors

# What Pinterest's OpenAPI description says of both bodies: types, patterns and
# enums, and no range that only prose knows.
#
#   my $why = check('audiences/create', $value, strict => 0);   undef: valid
#
# The description and its own examples disagree about the shapes of url and of
# event_data's members. Unless "strict" both are taken there. Where it disagrees
# about percentage, retention_days and visitor_source_id only the description's
# form is, which is the one that live answers are known for.

use warnings;
use strict;

use B ();
use Exporter qw(import);

our @EXPORT_OK = qw(check kind);

my @currencies = qw(UNK USD GBP CAD EUR AUD NZD SEK ILS CHF HKD JPY SGD KRW NOK
    DKK PLN RON HUF CZK BRL MXN ARS CLP COP INR TRY);

my @objectives = qw(AWARENESS CONSIDERATION WEB_CONVERSION CATALOG_SALES
    VIDEO_COMPLETION);

my $string = { is => ['string'] };
my $integer = { is => ['integer'] };
my $boolean = { is => ['boolean'] };
my $object = { is => ['object'] };
my $id = { is => ['string'], pattern => '^\d+$' };
my $ids = { is => ['array'], items => $id };
my $strings = { is => ['array'], items => $string };

my $line_item = {
    is => ['object'],
    members => {
        product_id => { is => ['integer'], also => ['string'] },
        product_price => { is => ['string'], also => ['number'] },
        product_quantity => { is => ['integer'], also => ['string'] },
        map { $_ => $string } qw(product_name product_category product_brand
            product_variant product_variant_id),
    },
};

my $event_data = {
    is => ['object'],
    members => {
        currency => { is => ['string'], enum => \@currencies },
        value => { is => ['string'], also => ['number'] },
        order_quantity => $integer,
        line_items => { %$line_item, also => ['array'],
            items => $line_item },
        map { $_ => $string } qw(order_id page_name promo_code property
            search_query video_title lead_type),
    },
};

my $rule = {
    is => ['object'],
    members => {
        ad_account_id => $id,
        customer_list_id => $id,
        seed_id => $ids,
        country => $string,
        percentage => $integer,
        visitor_source_id => $id,
        retention_days => $integer,
        event => $string,
        event_data => $event_data,
        event_source => $object,
        ingestion_source => $object,
        url => { %$strings, also => ['string', 'object'] },
        prefill => $boolean,
        engagement_domain => $strings,
        engagement_type => $string,
        engager_type => $integer,
        pin_id => $ids,
        campaign_id => $ids,
        ad_id => $ids,
        objective_type => { is => ['array'],
            items => { is => ['string'], enum => \@objectives } },
    },
};

my %bodies = (
    'audiences/create_custom' => {
        is => ['object'],
        required => [qw(name rule sharing_type data_party)],
        members => {
            ad_account_id => $id,
            name => $string,
            rule => $rule,
            sharing_type => { is => ['string'],
                enum => [qw(CUSTOM SYNDICATED)] },
            data_party => { is => ['string'], enum => [qw(1p 3p)] },
            category => $string,
        },
    },
    'audiences/create' => {
        is => ['object'],
        required => [qw(name rule audience_type)],
        members => {
            ad_account_id => $id,
            name => $string,
            rule => $rule,
            audience_type => { is => ['string'],
                enum => [qw(CUSTOMER_LIST VISITOR ENGAGEMENT ACTALIKE
                    PERSONA)] },
            description => $string,
        },
    },
);


sub check {
    my ($operation, $value, %opt) = @_;

    return check_value('', $value, $bodies{$operation}, $opt{strict});
}


sub check_value {
    my ($path, $value, $schema, $strict) = @_;

    my $kind = kind($value);
    my @kinds = (@{ $schema->{is} },
        $strict ? () : @{ $schema->{also} || [] });

    return complain($path, "is not of type '$schema->{is}[0]'")
        if !grep { $_ eq $kind || $_ eq 'number' && $kind eq 'integer' }
            @kinds;

    return complain($path, "does not match '$schema->{pattern}'")
        if defined $schema->{pattern} && $value !~ /^[0-9]+\z/;

    return complain($path, 'is not one of '
        . join ', ', map { "'$_'" } @{ $schema->{enum} })
        if $schema->{enum} && !grep { $_ eq $value } @{ $schema->{enum} };

    return check_items($path, $value, $schema, $strict) if $kind eq 'array';
    return check_members($path, $value, $schema, $strict)
        if $kind eq 'object';

    return undef;
}


sub check_items {
    my ($path, $value, $schema, $strict) = @_;

    for my $n (0 .. $#$value) {
        my $why = check_value("${path}[$n]", $value->[$n], $schema->{items},
            $strict);
        return $why if defined $why;
    }

    return undef;
}


sub check_members {
    my ($path, $value, $schema, $strict) = @_;

    for my $name (@{ $schema->{required} || [] }) {
        return "'$name' is a required property" if !exists $value->{$name};
    }

    my $members = $schema->{members} || {};

    for my $name (grep { exists $members->{$_} } sort keys %$value) {
        my $why = check_value(length $path ? "$path.$name" : $name,
            $value->{$name}, $members->{$name}, $strict);
        return $why if defined $why;
    }

    return undef;
}


sub complain {
    my ($path, $what) = @_;

    return length $path ? "'$path' $what" : "the body $what";
}


# The kind of a value that JSON::PP read with allow_bignum.

sub kind {
    my $value = shift;

    return 'null' if !defined $value;

    my $ref = ref $value;

    return 'object' if $ref eq 'HASH';
    return 'array' if $ref eq 'ARRAY';
    return 'boolean' if JSON::PP::is_bool($value);
    return 'integer' if $ref eq 'Math::BigInt';
    return 'number' if $ref eq 'Math::BigFloat';

    my $flags = B::svref_2object(\$value)->FLAGS;

    return 'string' if $flags & B::SVf_POK;
    return $flags & B::SVf_IOK ? 'integer' : 'number';
}


1;
