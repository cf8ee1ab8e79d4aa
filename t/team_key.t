#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Team keys at the gateway: whose a key is, how fast a revoked one is dead,
# what guessing gets and costs, and records that something else wrote.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Compress::Raw::Zlib qw(crc32);
use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my %accounts = (account() => { limits => [], teams => { growth => [],
    brand => [], slow => ['1/6s'] } });

my $gw = Pinaud::Gateway->new(evil => 1, retry => 1, accounts => \%accounts,
    limits => ['none'], limits_all => ['none'],
    team_key => '$http_authorization', location => 'pinaud_quota_wait 15s;',
    http => 'pinaud_redis_timeout 1s;
        error_log %%DIR%%/logs/error.log info;
        error_log %%DIR%%/logs/notice.log notice;');

# the second has workers, and only tells one team what is wrong

my $two = Pinaud::Gateway->new(with => $gw, nginx => { workers => 2 },
    team_key => '$http_authorization', location => 'pinaud_report $report;',
    http => 'map $pinaud_team $report { brand 1; default ""; }');

my ($path, $body, $evil) = (create_path, body(), $gw->evil);
my @digits = (0 .. 9, 'A' .. 'Z', 'a' .. 'z');
my $growth = $gw->team_key('growth');
my $brand = $gw->team_key('brand');
my $slow = $gw->team_key('slow');
my @keys = ($growth, $brand, $slow);


sub bearer { (headers => ["Authorization: Bearer $_[0]"]) }
sub create { post($_[1] // $gw, $path, $_[2] // $body, bearer($_[0])) }


# A key that nobody made, of the right form.

sub guess {
    my $key = 'pinaud_' . join '', map { $digits[rand @digits] } 1 .. 30;
    my ($crc, $sum) = (crc32($key), '');

    for (1 .. 6) {
        $sum = $digits[$crc % 62] . $sum;
        $crc = int($crc / 62);
    }

    return "$key$sum";
}


# How often Redis was asked for keys.

sub asked {
    my $key = shift // 'pinaud:team-key:';

    return scalar grep { index($_->[1], $key) == 0 }
        @{ $evil->commands('HMGET') };
}




# What tells two answers apart that are the same: ids, and when they came.

sub same_but_id { $_[0] =~ s/[0-9a-f]{32}/ID/gr =~ s/^Date: [^\r\n]*/DATE/mr }
sub record { 'pinaud:team-key:' . sha256_hex($_[0]) }


# a key is its team

created create($growth), 'a key works';
arrived_ok $gw, $body, 'and goes no further';
ok wait_until(sub { ($gw->access_log)[-1]{team} eq 'growth' }, 2),
    'the log tells the team';

created post($gw, $path, $body, headers => ["Authorization: $_$growth"]),
    "spelled \"$_\"" for 'bearer ', 'BEARER ', 'Bearer   ', '';

created h2($gw, 'POST', $path, body => $body, bearer($growth)), 'by HTTP/2';
is get($gw, $path, bearer($growth))->{status}, 200, 'a read';
refused post($gw, create_path('1'), $body, bearer($growth)), 'forbidden',
    'another account is another\'s';
is post($gw, $path, $body, headers => ["Authorization: Bearer $brand",
    'Pinaud-Dry-Run: ?1'])->{status}, 200, 'a dry run';
ok wait_until(sub { ($gw->access_log)[-1]{team} eq 'brand' }, 2),
    'of another team';

my $asked = asked();
create($growth) for 1 .. 10;
is asked(), $asked, 'a key that is known is not asked for';


# what is no key is no question

my $unknown = guess();
$gw->arrived;

my %wrong = ('a word' => 'growth', 'a token of Pinterest\'s' => 'pina_ABC',
    'cut off' => substr($growth, 0, 42), 'too long' => $growth . 'a',
    'another digit' => substr($growth, 0, 20)
        . (substr($growth, 20, 1) eq 'x' ? 'y' : 'x') . substr($growth, 21),
    'upper case' => uc $growth, 'twice' => "$growth $growth",
    'no key' => 'Bearer', 'a space' => "$growth, x",
    'very long' => 'pinaud_' . 'x' x 4000);

$asked = asked();
my $first = create('x');

for my $name (sort keys %wrong) {
    my $r = create($wrong{$name});

    refused $r, 'unknown-caller', "malformed: $name";
    is same_but_id($r->{body}), same_but_id($first->{body}),
        "malformed: $name: the same answer";
}

is asked(), $asked, 'Redis is not asked for what is no key';

my $r = create($unknown);
refused $r, 'unknown-caller', 'an unknown key';
is same_but_id($r->{raw} // ''), same_but_id($first->{raw} // ''),
    'its fields are those of a malformed one';
is same_but_id($r->{body}), same_but_id($first->{body}), 'and so is the rest';

refused create($unknown), 'unknown-caller', 'again' for 1 .. 10;
is asked(), $asked + 1, 'Redis is asked once';

refused post($gw, $path, $body), 'unknown-caller', 'nothing is told';
refused create($_, $gw, '{'), 'invalid-body', 'first the body'
    for $unknown, 'x', $growth;
refused post($gw, $path, $body, type => 'text/plain', bearer($unknown)),
    'unsupported-media-type', 'first the type';
untouched $gw, 'none of it arrives';


# one question for all who come at once

my $fresh = $gw->team_key('growth');
push @keys, $fresh;
$evil->mode('delay', seconds => 0.08, only => 'HMGET');
$asked = asked();

my @c = map { Pinaud::HTTP->connect($gw) } 1 .. 20;
$_->send(Pinaud::HTTP::head('POST', $path, body => $body, bearer($fresh))
    . $body) for @c;
is scalar(grep { $_->response->{status} == 200 } @c), 20,
    'twenty at once with a key that is new';
is asked(), $asked + 1, 'one question';

# who leaves meanwhile leaves nothing behind

$fresh = $gw->team_key('growth');
push @keys, $fresh;
$c[0] = Pinaud::HTTP->connect($gw);
$c[0]->send(Pinaud::HTTP::head('POST', $path, body => $body, bearer($fresh))
    . $body);
wait_until(sub { asked() == $asked + 2 }, 2);
$c[0]->abort;
created create($fresh), 'one left, the next one is served';
is asked(), $asked + 2, 'by the same question';
$evil->mode('pass');


# Redis slow, away: the look-up is part of the time there is

$gw->nginx->reload;
$evil->mode('delay', seconds => 0.7);
$r = create($growth);
refused $r, 'store-unavailable', 'look-up and policy take too long together';
cmp_ok $r->{elapsed}, '<', 1.4, 'told in time';

$evil->mode('black_hole');
$r = create(guess());
refused $r, 'store-unavailable', 'Redis does not answer';
refused create('x'), 'unknown-caller', 'what is no key needs no Redis';
refused create(guess(), $gw, '{}'), 'invalid-body', 'nor what is no body';

$evil->mode('refuse');
refused create(guess()), 'store-unavailable', 'Redis is away';
refused create(guess(), $two, '{}'), 'invalid-body',
    'a body is enforced for whom nobody knows';
refused create(guess(), $two), 'store-unavailable', 'nothing else is told';

$evil->mode('pass');
ok wait_until(sub { create($growth)->{status} == 200
    && create($growth, $two)->{status} == 200 }, 5), 'and is back';

$gw->nginx->reload;
$evil->mode('error', text => 'NOPERM no', only => 'HMGET');
$gw->nginx->mark;
refused create($growth), 'store-unavailable', 'Redis refuses to read' for 1 .. 3;
is scalar(() = $gw->nginx->log_since =~ /team key of SHA-256 "\w{64}" can't be used: Redis refused to read/g),
    1, 'the log tells it once';
$evil->mode('pass');


# with an allowance, a key that was good goes on for a while

my $three = Pinaud::Gateway->new(with => $gw, team_key => '$http_authorization',
    http => 'pinaud_outage_allowance 5;');

ok wait_until(sub { create($brand, $three);
    $three->metrics->{pinaud_outage_allowance_requests} }, 5), 'units are held';
create($unknown, $three);
create($growth, $three);
push @keys, $fresh = $gw->team_key('growth');

$evil->mode('refuse');
created create($_, $three), 'Redis is away: who was known goes on'
    for $brand, $growth, $brand;
refused create($fresh, $three), 'store-unavailable', 'who was not does not';
refused create($unknown, $three), 'unknown-caller', 'nobody is nobody';
refused get($three, $path, bearer($brand)), 'store-unavailable',
    'a read does not', read => 1;

if ($ENV{PINAUD_LONG}) {
    sleep 60;
    $evil->mode('pass');
    ok wait_until(sub { sleep 0.5; create($growth, $three);
        $three->metrics->{pinaud_outage_allowance_requests} }, 10),
        'it is back, and units are held again';
    $evil->mode('refuse');
    refused create($brand, $three), 'store-unavailable',
        'a key that was read a minute ago does not';
    created create($growth, $three), 'one that was just read does';
}

$evil->mode('pass');
ok wait_until(sub { create($growth)->{status} == 200
    && create($growth, $two)->{status} == 200 }, 5), 'it is back';
$three->nginx->stop;


# report mode goes by the team that the key tells

my $invalid = body(rule => { visitor_source_id => 'x' });
my $edited = body(rule => { visitor_source_id => ['2617998078212'] });

for my $known (0, 1) {
    my @more = $known ? ' when the key is known' : '';

    $two->nginx->reload if !$known;
    $gw->arrived;

    my $r = create($brand, $two, $invalid);
    is $r->header('Pinaud-Would-Refuse'), 'invalid', "reported@more";
    is $r->header('Pinaud-Outcome'), 'forwarded', "and forwarded@more";

    create($brand, $two, $edited);
    is +($gw->arrived)[-1]{body}, $edited, "as it came@more";

    refused create($growth, $two, $invalid), 'invalid-body',
        "another team's is enforced@more";
    created create($growth, $two, $edited), "and edited@more";
    isnt +($gw->arrived)[-1]{body}, $edited, "its bytes@more";

    refused create($unknown, $two, $invalid), 'invalid-body',
        "an unknown caller's body@more";
    refused create($unknown, $two), 'unknown-caller', "or itself@more";
}


# records that something else than pinaudctl wrote

my $redis = $gw->redis;
my $stolen = guess();
my %good = @{ $redis->cmd('HGETALL', record($growth)) };
my %brands = @{ $redis->cmd('HGETALL', record($brand)) };

for my $case (['growth\'s key for brand', $growth, { team => 'brand' },
        'wrong MAC'],
    ['with brand\'s MAC', $growth, { team => 'brand', mac => $brands{mac} },
        'wrong MAC'],
    ['a copy for another key', $stolen, { %good }, 'wrong MAC'],
    ['without a MAC', $growth, { mac => undef }, 'no MAC'],
    ['a MAC that is none', $growth, { mac => 'x' }, 'wrong MAC'],
    ['by another key', $growth, { mac => $good{mac} =~ s/^[^:]+/other/r },
        'MAC by an unknown key'],
    ['another format', $growth, { format => '2' }, 'unknown format'],
    ['no team', $growth, { team => undef }, 'no team\'s name'],
    ['a team with a newline', $growth, { team => "growth\n" },
        'no team\'s name'],
    ['a string', $growth, undef, 'no record'])
{
    my ($name, $key, $change, $reason) = @$case;
    my $record = record($key);

    for my $field (sort keys %{ $change || {} }) {
        defined $change->{$field}
            ? $redis->cmd('HSET', $record, $field, $change->{$field})
            : $redis->cmd('HDEL', $record, $field);
    }

    if (!$change) {
        $redis->cmd('DEL', $record);
        $redis->cmd('SET', $record, 'x');
    }

    $gw->nginx->reload->mark;
    $asked = asked();

    refused create($key), 'store-unavailable', "a record: $name" for 1 .. 3;
    is asked(), $asked + 1, "a record: $name: one question";

    my @lines = $gw->nginx->log_since
        =~ /team key of SHA-256 "(\w+)" can't be used: (.*)$/mg;
    is "@lines", sha256_hex($key) . " $reason", "a record: $name: one line";

    $redis->cmd('DEL', $record);
    $redis->cmd('HSET', record($growth), %good);
}

untouched $gw, 'a record: nothing arrives';


# guessing: bounded in questions and in memory, and no harm to others

$gw->nginx->reload;
create($growth) for 1 .. 2;

sub flood {
    my $n = shift;

    my %got;
    my @c = map { Pinaud::HTTP->connect($gw, timeout => 60) } 1 .. 20;

    for (1 .. $n / @c) {
        $_->send(Pinaud::HTTP::head('GET', $path, bearer(guess()))) for @c;
        $got{$_->response(method => 'GET')->{status}}++ for @c;
    }

    return \%got;
}

sub rss {
    my ($pid) = $gw->nginx->workers;
    return slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}

flood(1500);
sleep 1;
my $rss = rss();
$asked = asked();
my $began = time;
my $got = flood(3000);
my $seconds = time - $began;

is join(' ', sort keys %$got) =~ s/ ?503//r, '401', 'a flood of guesses';
cmp_ok asked() - $asked, '<=', 1000 * (int($seconds) + 2),
    'some thousand questions a second are not asked';
cmp_ok rss() - $rss, '<', 512, 'no memory grows' if !$ENV{PINAUD_NGINX};

# of keys that are known, those are pushed out that nobody is let in by

push @keys, $fresh = $gw->team_key('growth');
sleep 1;
$began = time;
created create($fresh), 'a good key';
flood(1500);
created create($fresh), 'and again after that';
is asked(record($fresh)), 1, 'was not forgotten' if time - $began < 4;

SKIP: {
    skip 'this machine is too slow for more than that', 1
        if 3000 / $seconds < 1200;
    cmp_ok $got->{503}, '>', 0, 'beyond that the answer is 503';
}

sleep 1;


# revoked: dead everywhere within 5 seconds, for who waits for a turn, too

created create($slow), 'a team\'s last request for now';
my $waiting = Pinaud::HTTP->connect($gw, timeout => 20);
$waiting->send(Pinaud::HTTP::head('POST', $path, body => $body, bearer($slow))
    . $body);

# just read by every worker, so that it is known for as long as may be

my $victim = $gw->team_key('growth');
push @keys, $victim;
created create($victim, $_), 'before it is revoked' for $gw, ($two) x 8;
$gw->must_ctl(qw(team key revoke), substr($_, 0, 15)) for $victim, $slow;
my $revoked = time;
my %dead;

while (time < $revoked + 5) {
    for my $at ($gw, $two) {
        $dead{$at} //= time - $revoked if create($victim, $at)->{status} == 401;
    }

    sleep 0.1;
}

diag sprintf 'revoked: dead after %.1f and %.1f s', map { $dead{$_} // 99 }
    $gw, $two;

for my $at ($gw, ($two) x 6) {
    $r = create($victim, $at);
    refused $r, 'unknown-caller', 'revoked: dead within 5 seconds';
    is same_but_id($r->{body}), same_but_id($first->{body}),
        'revoked: as one that never was';
}

$r = $waiting->response;
refused $r, 'unknown-caller', 'revoked: also for who waited for its turn';
cmp_ok time - $revoked, '>', 4, 'revoked: it did wait';
created create($_), 'revoked: no other key' for $brand, $growth;


# a key that is lost nowhere

my $text = join "\n", map({ $_->nginx->log, map({ $_->{body} }
    get($_, '/status'), get($_, '/metrics')) } $gw, $two),
    slurp($gw->nginx->dir . '/logs/access.log'),
    map({ join ' ', map { $_ // '' } @$_ } @{ $evil->commands }),
    map({ my $key = $_; "$key " . join ' ', map { ref $_ ? @$_ : $_ // '' }
        $redis->cmd($redis->cmd('TYPE', $key) eq 'hash' ? 'HGETALL' : 'DUMP',
            $key) } @{ $redis->cmd('KEYS', '*') }),
    map({ $_->{head} . ($_->{body} // '') } $gw->sim->requests);

cmp_ok length $text, '>', 10000, 'all that is told';
is scalar(grep { index($text, substr $_, 15) >= 0 } @keys), 0, 'holds no key';

# nginx itself tells at info what it can't read

my $twice = "Authorization: Bearer $growth\r\n" x 2;

for my $bad ([$twice, 'two keys'], ["Authorization: Bearer $growth\0\r\n", 'a zero']) {
    my $socket = IO::Socket::INET->new(PeerAddr => $gw->address);

    print {$socket} "GET $path HTTP/1.1\r\nHost: x\r\n$bad->[0]\r\n";
    like <$socket>, qr{^HTTP/1\.1 400 }, "$bad->[1]: 400";
}

ok wait_until(sub { $gw->nginx->log =~ /\[info\].*invalid header/ }, 5),
    'which nginx tells at info';
is index(slurp($gw->nginx->dir . '/logs/notice.log'), $growth), -1,
    'at notice there is no key';

finish();
