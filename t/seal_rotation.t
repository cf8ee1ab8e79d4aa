#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Another seal key, as docs/operations.md tells it, while requests come: none
# fails, everything is sealed anew, and whoever stops it half-way may begin
# again.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::EvilRedis;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Load;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

use constant { CREDENTIALS => 40, ACCOUNTS => 120 };

my $gw = Pinaud::Gateway->new(nginx => { workers => 2 },
    accounts => { account() => { limits => ['100000/1h'],
        teams => { growth => [] } } },
    limits => ['100000/1h'], limits_all => ['100000/1h']);

my $path = create_path;
my $body = body();
my $redis = $gw->redis;
my $dir = $gw->{dir};

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');


# what else there is: credentials with all their secrets, accounts, a team key

my @names = map { "c$_" } 1 .. CREDENTIALS;

for my $name (@names) {
    spew("$dir/$_", "${_}_OF_$name", 0600) for qw(access refresh secret);
    $gw->must_ctl(qw(credential put), $name, '--access-token-file',
        "$dir/access", '--refresh-token-file', "$dir/refresh", qw(--client-id
        1 --client-secret-file), "$dir/secret", qw(--tier trial));
}

my %accounts = map { $_ => { credential => $names[$_ % CREDENTIALS],
    teams => { growth => {}, brand => {} } } } 1 .. ACCOUNTS;
my $policy = JSON::PP::encode_json({ format => 1, credentials => {},
    accounts => \%accounts });

$gw->must_ctl(qw(policy apply), spew("$dir/policy.json", $policy));
$gw->must_ctl(qw(team key create growth));

my $all = { access => CREDENTIALS + 1, refresh => CREDENTIALS,
    client_secret => CREDENTIALS, mac => 3 * ACCOUNTS + 2 + 1 };
my $none = { map { $_ => 0 } keys %$all };
my %no_journal = (journal => undef);


sub new_key { return $gw->must_ctl(qw(seal-key generate)) }

sub id { return $_[0] =~ /^([^:]+)/ ? $1 : undef }


# Keys in the operators' file, and what gateways need of them.

sub keys_are {
    spew($gw->{keys}, join('', @_), 0600);
    spew($gw->{gateway_keys},
        $gw->must_ctl(qw(seal-key generate --gateway)), 0600);
    $gw->nginx->reload;
}


# What "seal-key list" says, by key.

sub uses {
    my $json = JSON::PP::decode_json($gw->must_ctl(qw(--json seal-key list)));

    return { map { my $use = $_; delete $use->{key} => $use } @$json };
}


sub use_is {
    my ($key, $file, $counts, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply uses()->{id($key)}, { %no_journal, %$counts, file => $file },
        $name;
}


# Everything but what is sealed or signed.

sub plain {
    my %plain;

    for my $key (grep { /^pinaud:(?:credential|secret|account|team-key):/ }
        @{ $redis->cmd('KEYS', 'pinaud:*') })
    {
        my %record = @{ $redis->cmd('HGETALL', $key) };
        delete @record{grep { /^(?:token|refresh|client_secret|mac.*)$/ }
            keys %record};
        $plain{$key} = \%record;
    }

    return \%plain;
}


my ($old, $new, $third) = (slurp($gw->{keys}), new_key(), new_key());
my $before = plain();
my $load = Pinaud::Load->new(2,
    sub { post($gw, $path, $body, team => 'growth')->{status} });

use_is($old, 'first', $all, 'all is by the only key');

keys_are($old, $new);
use_is($new, 'yes', $none, 'a new key, second');
sleep 0.3;

keys_are($new, $old);
use_is($new, 'first', $none, 'first');
sleep 0.3;


# an agent's attempt stands; somebody wrote into an account; a token of nobody

$redis->cmd(qw(HSET pinaud:secret:{c2} attempt), '1 host journal 1 1 0');
$redis->cmd(qw(HSET pinaud:account:7 limits 1000000/1));
my $token = $redis->cmd(qw(HGET pinaud:credential:{c3} token));
$redis->cmd(qw(HSET pinaud:credential:{c3} token), $token ^ ("\0" x 40 . "\1"));

# stopped half-way, by which time somebody has put a newer token

my $evil = Pinaud::EvilRedis->new($redis);
$evil->mode('delay', seconds => 0.004);

my $reseal = spawn(["$FindBin::Bin/../build/pinaudctl", qw(seal-key reseal
    --seal-key-file), $gw->{keys}, '--redis', $evil->url],
    log => "$dir/reseal.log");

sub resealed { return uses()->{id($new)}{access} }

ok wait_until(sub { resealed() > 4 }, 10), 'it has begun';
spew("$dir/access", 'access_PUT_ANEW', 0600);
$gw->must_ctl(qw(credential put), $_, '--access-token-file', "$dir/access")
    for @names[0, -1];
stop_process($reseal, 'KILL');
$evil->mode('pass');

my $half = uses();
cmp_ok $half->{id($old)}{access}, '>', 5, 'and is not over when it is killed'
    or diag slurp("$dir/reseal.log");
is $half->{id($old)}{$_} + $half->{id($new)}{$_}, $all->{$_}, "$_: none lost"
    for keys %$all;

# again, as often as one likes

my ($exit, $output) = $gw->ctl(qw(seal-key reseal));

is $exit, 1, 'again: something is left';
like $output, qr/^pinaudctl: credential c2: an agent's attempt to refresh it stands: try again when it is over$/m,
    'what an attempt stands for';
like $output, qr/^pinaudctl: credential c3: its token does not open: put it again$/m,
    'what does not open';
like $output, qr/^pinaudctl: account 7: has a wrong MAC: see "pinaudctl account show"$/m,
    'what was forged';
like $output, qr/^Still by another: 3\. Run it again when that is mended\.$/m,
    'that is all';
is_deeply uses()->{id($old)}, { %no_journal, file => 'yes', access => 2,
    refresh => 2, client_secret => 2, mac => 3 }, 'and the rest is done';

$redis->cmd(qw(HDEL pinaud:secret:{c2} attempt));
$redis->cmd(qw(HSET pinaud:credential:{c3} token), $token);
$gw->must_ctl(qw(policy apply), "$dir/policy.json");

like $gw->must_ctl(qw(seal-key reseal)),
    qr/\ANow by key \Q@{[ id($new) ]}\E: 2 credentials, 1 accounts, 0 team keys\.\n\z/,
    'when that is mended';
like $gw->must_ctl(qw(seal-key reseal)),
    qr/: 0 credentials, 0 accounts, 0 team keys\.\n\z/, 'nothing is left';
use_is($old, 'yes', $none, 'the old key is not used');
use_is($new, 'first', $all, 'but the new one');

$before->{"pinaud:credential:{$_}"}{version}++ for @names[0, -1];
is_deeply plain(), $before, 'nothing else was changed';

keys_are($new);
sleep 0.5;
my $result = $load->end;
diag join ', ', map { "$_: $result->{$_}" } sort keys %$result;
cmp_ok $result->{200} // 0, '>', 100, 'requests came all the time';
is_deeply [grep { $_ ne 200 } keys %$result], [], 'and none failed';
unlike $gw->nginx->log, qr/can't be/, 'nor does the log tell of any';


# all of it opens: else it could not be sealed once more

keys_are($third, $new);
is_deeply JSON::PP::decode_json($gw->must_ctl(qw(--json seal-key reseal))),
    { key => id($third), credentials => CREDENTIALS + 1,
    accounts => ACCOUNTS + 1, team_keys => 1, failed => 0 },
    'and once more';
keys_are($third);
use_is($third, 'first', $all, 'by a third key');
is post($gw, $path, $body, team => 'growth')->{status}, 200,
    'a gateway goes by it';

my ($keys) = $redis->cmd(qw(SMEMBERS pinaud:team-keys));
is $redis->cmd('HGET', "pinaud:team-key:$keys->[0]", 'mac') =~ /^([^:]+):/
    && $1, id($third), 'the team key, too';

# a key that is not in the file

$gw->must_ctl(qw(credential put c1 --access-token-file), "$dir/access",
    '--seal-key-file', spew("$dir/other.key", new_key(), 0600));
($exit, $output) = $gw->ctl(qw(seal-key reseal));
is $exit, 1, 'a key that is not in the file';
like $output, qr/^pinaudctl: credential c1: its token is sealed by key \S+, which is not in the seal key file: add it, or put it again$/m,
    'is told';
is_deeply uses()->{id(slurp("$dir/other.key"))}, { %no_journal, %$none,
    access => 1, file => undef }, 'and in the list';


# a record that is damaged, before others that are not

$gw->must_ctl(qw(credential put c1 --access-token-file), "$dir/access");
spew("$dir/four.key", my $four = new_key(), 0600);
spew("$dir/after.key", $four . $third, 0600);
my $version = $redis->cmd('HGET', 'pinaud:credential:{c1}', 'version');
$redis->cmd('HSET', 'pinaud:credential:{c1}', 'version', 'x');
($exit, $output) = $gw->ctl(qw(seal-key reseal --seal-key-file),
    "$dir/after.key");
is $exit, 1, 'a damaged record';
like $output, qr/^pinaudctl: pinaud:credential:\{c1\} holds something else/m,
    'is told';
like $output, qr/^Now by key \S+: @{[CREDENTIALS]} credentials, \d{3} accounts, 1 team keys\.$/m,
    'and keeps no other from being sealed anew';
$redis->cmd('HSET', 'pinaud:credential:{c1}', 'version', $version);
$gw->must_ctl(qw(seal-key reseal --seal-key-file), "$dir/after.key");


# an agent's journal: an answer by the old key, one by the new, none

mkdir "$dir/journal";
my $answer = sub {
    my $sealed = "\1" . chr(length $_[0]) . $_[0] . 'x' x 60;
    return "\0" x 4096 . pack('V', length $sealed) . $sealed . "\0" x 99;
};

spew("$dir/journal/credential-c1", $answer->(id($old)));
spew("$dir/journal/credential-c2", $answer->(id($third)));
spew("$dir/journal/credential-c3", "\0" x 24576);
spew("$dir/journal/credential-c4", '');
spew("$dir/journal/lock", 'x');

my $list = $gw->must_ctl(qw(seal-key list --journal), "$dir/journal");
like $list, qr/^KEY .* JOURNAL$/m, 'a journal is looked into';
like $list, qr/^\Q@{[ id($$_[0]) ]}\E +$$_[1] .* 1$/m, 'an answer by a key'
    for [$old, 'no'], [$third, 'first'];
($exit, $output) = $gw->ctl(qw(seal-key list --journal), "$dir/none");
is $exit, 1, 'a journal that is not there';
like $output, qr{--journal: \S+/none: No such file}, 'is told';

($exit, $output) = $gw->ctl(qw(seal-key reseal --seal-key-file),
    $gw->{gateway_keys});
is $exit, 1, 'a gateway\'s file';
like $output, qr/its first key is a gateway's/, 'is none to seal by';

finish();
