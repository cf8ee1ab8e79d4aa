#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Bodies over HTTP: what is accepted, which edits are made, which errors are
# told; both modes of normalisation and of unknown members. The contract's
# every rule has its unit test; here each kind of rule meets the real thing.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Test::More;
use Time::HiRes qw(time);

my $gw = Pinaud::Gateway->new(proxy => { client_max_body_size => '4m',
    client_body_buffer_size => '64k' });

my $lenient = Pinaud::Gateway->new(with => $gw, location =>
    'pinaud_normalize lenient; pinaud_unknown_members forward;');

my @growth = (team => 'growth');

sub create { return post($_[1] // $gw, create_path, $_[0], @growth) }
sub custom { return post($_[1] // $gw, custom_path, $_[0], @growth) }

sub of_rule {
    my ($type, $rule, $more) = @_;

    return qq({"name":"N","audience_type":"$type","rule":{$rule})
        . ($more // '') . '}';
}

sub custom_rule {
    return qq({"name":"N","sharing_type":"CUSTOM","data_party":"1p","rule":)
        . "{$_[0]}}";
}


# valid ones of each type leave as they came

my @valid = (
    of_rule('CUSTOMER_LIST', '"customer_list_id":"5497558859876"'),
    of_rule('ACTALIKE', '"seed_id":["2542620639259","1"],"country":"FR",'
        . '"percentage":1'),
    of_rule('VISITOR', '"visitor_source_id":"1","retention_days":540,'
        . '"event":"checkout","event_source":{"=":["web","offline"]},'
        . '"ingestion_source":{"=":["tag"]},"prefill":true,'
        . '"url":["http://a","b"],"ad_account_id":"' . account . '"'),
    of_rule('VISITOR', '"visitor_source_id":"1","url":{"!=":"x"}'),
    of_rule('VISITOR', '"visitor_source_id":"1","url":"x","event":"own",'
        . '"event_data":{"currency":"INR","value":116.10,"own":[{}],'
        . '"order_quantity":12345678901234567890,"line_items":[{"product_id":'
        . '"11","product_price":48,"product_quantity":1}]}'),
    of_rule('ENGAGEMENT', '"engagement_domain":["www.example.com"],'
        . '"engagement_type":"closeup","engager_type":2,"pin_id":["34567"],'
        . '"campaign_id":["1"],"ad_id":["2"],"objective_type":["AWARENESS",'
        . '"CATALOG_SALES"],"retention_days":1'),
    qq( {\t"rule" :\r\n{"customer_list_id": "1" } , "description":"",)
        . qq("audience_type": "CUSTOMER_LIST","name":"\xc3\xa9\\u00e9\\ud83d)
        . qq(\\ude00\\/" }\n),
    of_rule('CUSTOMER_LIST', '"\u0063ustomer_list_id":"1"'),
);

for my $body (@valid) {
    my $r = create($body);

    created $r, $body;
    is $r->header('Pinaud-Edits'), undef, 'no edits';
    arrived_ok $gw, $body, 'as it came';
}

for my $rule ('"customer_list_id":"1"', '"engager_type":1') {
    my $body = custom_rule($rule);

    created custom($body), $body;
    arrived_ok $gw, $body, 'as it came';
}


# the edits of the default mode

my @edits = (
    ['"percentage":"10","seed_id":["1"]', '"percentage":10,"seed_id":["1"]',
        '"/rule/percentage"'],
    ['"visitor_source_id": [ "1" ] ,"retention_days" :  "540" ',
        '"visitor_source_id": "1" ,"retention_days" :  540 ',
        '"/rule/visitor_source_id", "/rule/retention_days"'],
    ['"retention_days":"\u0037","visitor_source_id":"1"',
        '"retention_days":7,"visitor_source_id":"1"',
        '"/rule/retention_days"'],
);

for my $edit (@edits) {
    my ($from, $to, $names) = @$edit;
    my $r = custom(custom_rule($from));

    created $r, $from;
    is $r->header('Pinaud-Edits'), $names, 'its edits';
    arrived_ok $gw, custom_rule($to), 'edited';
}


# errors: each kind of rule, by its pointer and code

my @wrong = (
    ['{}', '/name required, /rule required, /audience_type required'],
    [of_rule('VISITOR', ''), '/rule audience_type'],
    [of_rule('VISITOR', '"event":"x"'), '/rule/visitor_source_id required'],
    [of_rule('VISITOR', '"visitor_source_id":"1","seed_id":["1"]'),
        '/rule audience_type'],
    [of_rule('ACTALIKE', '"visitor_source_id":"1"'), '/rule audience_type'],
    [of_rule('PERSONA', '"visitor_source_id":"1"'), '/audience_type enum'],
    [of_rule('VISITOR', '"visitor_source_id":1'),
        '/rule/visitor_source_id type'],
    [of_rule('VISITOR', '"visitor_source_id":"1\n"'),
        '/rule/visitor_source_id pattern'],
    [of_rule('VISITOR', '"visitor_source_id":["1","2"]'),
        '/rule/visitor_source_id type'],
    [of_rule('VISITOR', '"visitor_source_id":"1","retention_days":541'),
        '/rule/retention_days range'],
    [of_rule('VISITOR', '"visitor_source_id":"1","retention_days":"010"'),
        '/rule/retention_days pattern'],
    [of_rule('VISITOR', '"visitor_source_id":"1","retention_days":10.0'),
        '/rule/retention_days type'],
    [of_rule('VISITOR', '"visitor_source_id":"1","prefill":"true"'),
        '/rule/prefill type'],
    [of_rule('VISITOR', '"visitor_source_id":"1","event_data":{}'),
        '/rule/event required'],
    [of_rule('VISITOR', '"visitor_source_id":"1","event_source":{"=":'
        . '["tv"]}'), '/rule/event_source/=/0 enum'],
    [of_rule('VISITOR', '"visitor_source_id":"1","url":{"=":"a","!=":"b"}'),
        '/rule/url/!= conflict'],
    [of_rule('VISITOR', '"visitor_source_id":"1"', ',"description":null'),
        '/description type'],
    [of_rule('VISITOR', '"visitor_source_id":"1"', ',"own":1'),
        '/own unknown'],
    [of_rule('VISITOR', '"visitor_source_id":"1"', ',"category":"x"'),
        '/category unknown'],
    [of_rule('VISITOR', '"visitor_source_id":"1"', ',"ad_account_id":"1"'),
        '/ad_account_id conflict'],
    [of_rule('VISITOR', '"visitor_source_id":"1"', ',"name":"M"'),
        '/name duplicate'],
    [of_rule('VISITOR', '"visitor_source_id":"1"', ',"n\u0061me":"M"'),
        '/name duplicate'],
    [of_rule('VISITOR', '"visitor_source_id":"1","event":"x","event_data":'
        . '{"a/b~":{"c":1,"c":2}}'), '/rule/event_data/a~1b~0/c duplicate'],
    ['{"name":" \u00a0","audience_type":"VISITOR","rule":'
        . '{"visitor_source_id":"1"}}', '/name empty'],
);

for my $case (@wrong) {
    my ($body, $errors) = @$case;
    my $r = create($body);

    refused $r, 'invalid-body', $body;
    is errors($r), $errors, "its errors";
}

my $r = custom('{"name":"N","sharing_type":"x","rule":{"seed_id":["1"],'
    . '"country":"us","percentage":"30"}}');
is errors($r), '/sharing_type enum, /rule/country pattern, '
    . '/rule/percentage range, /data_party required', 'all in one reply';


# what is not JSON comes alone, with its place

my @syntax = (
    ['{', ' syntax 1'],
    ['', ' syntax 0'],
    ['[]', ' type'],
    ['"x"', ' type'],
    ['{"name":1,}', ' syntax 10'],
    ['{"name":01}', ' syntax 8'],
    ['{"name":NaN}', ' syntax 8'],
    ['{} x', ' syntax 3'],
    ["\xef\xbb\xbf{}", ' encoding 0'],
    ["{\"name\":\"\xff\"}", ' encoding 9'],
    ["{\"name\":\"\xc0\x80\"}", ' encoding 9'],
    ['{"name":"\ud800"}', ' encoding 9'],
    ['{"name":"\u0000"}', ' encoding 9'],
    ["{\"name\":\"\n\"}", ' syntax 9'],
    ["{\"name\":\"\0\"}", ' encoding 9'],
    ['{"name":1e400}', ' syntax 8'],
    ['{"a":' . '[' x 40 . ']' x 40 . '}', ' depth 36'],
);

for my $case (@syntax) {
    my ($body, $errors) = @$case;
    my $r = create($body);

    refused $r, 'invalid-body', $body =~ s/[^ -~]/?/gr;
    like errors($r), qr/^ (?:syntax|encoding|depth) \d+$|^ type$/,
        'one error, with its place';
    is errors($r), $errors, 'this one';
}


# lenient, and unknown members forwarded

my @lenient = (
    ['"visitor_source_id":1,"prefill":"true","retention_days":"7"',
        '"visitor_source_id":"1","prefill":true,"retention_days":7'],
    ['"seed_id":1,"country":"us","percentage":5',
        '"seed_id":["1"],"country":"US","percentage":5'],
    ['"pin_id":["1","2","1"],"engagement_type":"CLICK"',
        '"pin_id":["1","2"],"engagement_type":"click"'],
    ['"visitor_source_id":"1","own":{"x":[1.10]}',
        '"visitor_source_id":"1","own":{"x":[1.10]}'],
);

for my $case (@lenient) {
    my ($from, $to) = @$case;

    created custom(custom_rule($from), $lenient), "lenient: $from";
    my ($there) = $gw->arrived;
    is $there->{body}, custom_rule($to), 'as forwarded';
    $lenient->arrived;

    refused custom(custom_rule($from)), 'invalid-body', 'not by default';
}

created create(of_rule('visitor', '"visitor_source_id":"1","event":null'),
    $lenient), 'lenient: letter case, null';
my ($there) = $gw->arrived;
is $there->{body}, of_rule('VISITOR', '"visitor_source_id":"1"'),
    'as forwarded';

refused create(of_rule('VISITOR', '"visitor_source_id":"1"',
    ',"ad_account_id":"1"'), $lenient), 'invalid-body',
    'lenient is not blind';


# hostile sizes are answered in time, and nothing of them is forwarded

my %hostile = (
    'ten thousand members' => '{' . join(',', map { qq("m$_":$_) }
        1 .. 10000) . '}',
    'a hundred thousand duplicates' => '{' . join(',',
        ('"a":1') x 100000) . '}',
    'a large string' => '{"name":"' . 'x' x 2000000 . '"}',
    'many escapes' => '{"name":"' . '\u00e9' x 200000 . '"}',
    'deep arrays' => '[' x 500000,
    'many numbers' => '{"rule":[' . join(',', ('1') x 500000) . ']}',
);

for my $name (sort keys %hostile) {
    my $start = time();
    my $r = create($hostile{$name});

    refused $r, 'invalid-body', $name;
    cmp_ok time() - $start, '<', 2, "$name: in time";
    cmp_ok length $r->{body}, '<', 20000, "$name: a short answer";
}

$r = create($hostile{'ten thousand members'});
is scalar @{ $r->json->{errors} }, 32, 'the first errors';
cmp_ok $r->json->{errors_omitted}, '>', 9000, 'and how many more';

SKIP: {
    skip 'nginx without HTTP/2', 4 if !Pinaud::Nginx->has('http_v2_module');

    $r = h2($gw, 'POST', custom_path, body => custom_rule($edits[0][0]),
        @growth);
    created $r, 'HTTP/2: edited';
    is $r->header('Pinaud-Edits'), $edits[0][2], 'HTTP/2: its edits';
    arrived_ok $gw, custom_rule($edits[0][1]), 'HTTP/2: arrived';

    $r = h2($gw, 'POST', create_path, body => '{"a":1}', @growth);
    is errors($r), '/a unknown, /name required, /rule required, '
        . '/audience_type required', 'HTTP/2: errors';
}

untouched $gw, 'nothing else was forwarded';

finish();
