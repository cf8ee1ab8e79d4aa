#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Versions of tokens only go forward: an older record that somebody puts back
# is not used while the newer token has not expired.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Agents;
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Load;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $gw = Pinaud::Gateway->new(retry => 1,
    location => 'pinaud_refresh_wait 1s;', nginx => { workers => 2 },
    accounts => { account() => { limits => ['10000/1h'],
        teams => { growth => [] } } },
    limits => ['10000/1h'], limits_all => ['10000/1h']);

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $redis = $gw->redis;
my $key = 'pinaud:credential:{main}';

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');


sub create { post($gw, $path, $body, @growth, @_) }


# A new token, and the record that it makes.

sub renew {
    my @args = @_;

    my $token = $gw->sim->token(accounts => [account]);
    $gw->must_ctl(qw(credential put main --access-token-file -), @args,
        \$token);

    return $redis->cmd('DUMP', $key);
}


sub put_back {
    my $dump = shift;

    $redis->cmd('DEL', $key);
    $redis->cmd('RESTORE', $key, 0, $dump);
}


# until both workers have had their part

sub all_created {
    my $name = shift;

    my %status;
    $status{ create()->{status} }++ for 1 .. 20;
    is_deeply \%status, { 200 => 20 }, $name or diag explain \%status;
}


my $first = $redis->cmd('DUMP', $key);
all_created('version 1');
my $second = renew(qw(--expires-in 3600));
all_created('version 2');

# the older one: nothing of it is sent, charged or shared

my $before = $gw->used;
$gw->arrived;
$gw->nginx->mark;
put_back($first);

for (1 .. 10) {
    my $r = create();
    refused $r, 'credential-unavailable', 'version 1 put back';
    refused create(headers => ['Pinaud-Dry-Run: ?1']),
        'credential-unavailable', 'a dry run';
    refused get($gw, $path, @growth), 'credential-unavailable', 'a read',
        read => 1;
}

untouched $gw, 'nothing arrives';
ok wait_until(sub { $gw->used == $before }, 3), 'nothing stays charged';

my @told = $gw->nginx->log_since
    =~ /access token of credential "main" is not used: it is of version 1, and version 2 was used already/g;
is scalar @told, 1, 'the log tells it once';

$gw->nginx->reload;
refused create(), 'credential-unavailable', 'after a reload, too';

put_back($second);
all_created('version 2 is there again');

my $third = renew(qw(--expires-in 2));
put_back($first);
$gw->nginx->mark;
refused create(), 'credential-unavailable', 'version 1 once more';
unlike $gw->nginx->log_since, qr/is not used/, 'which the log told already';
put_back($third);
created create(), 'version 3';
put_back($second);
refused create(), 'credential-unavailable', 'version 2 put back';
like $gw->nginx->log_since, qr/is of version 2, and version 3 was used/,
    'which is told';

# the newer one has expired

sleep 2.5;
all_created('version 2, when version 3 has expired');
put_back($first);
refused create(), 'credential-unavailable', 'and then not version 1';
put_back($second);

# a token that does not open tells nothing of versions

$redis->cmd('HSET', $key, qw(version 99));
refused create(), 'credential-unavailable', 'a version that is not the token\'s';
put_back($second);
all_created('no version is taken from that');

# what takes the place of a restored record

put_back($first);
refused create(), 'credential-unavailable', 'version 1 of a backup';
my $again = renew();
all_created('a new token, of version 2 again');
put_back($first);
$gw->nginx->stop->start;
all_created('nginx was started anew');


# late replies are not of older records: one worker waits for its reply while
# another has a newer token

put_back($again);
my $late = Pinaud::Gateway->new(evil => 1, nginx => { workers => 2 },
    http => 'pinaud_redis_timeout 5s;');
my $send = sub {
    my $c = Pinaud::HTTP->connect($late);
    $c->send(Pinaud::HTTP::head('POST', $path, @growth, body => $body) . $body);
    return $c;
};

my ($one, $other) = $late->nginx->workers;

# A worker that does not know them would ask again: what was under way while it
# was held tells it little of the clock.

for my $worker ($one, $other, $one, $other) {
    freeze($worker);
    created $send->()->response,
        'both workers know the account and the clock of Redis';
    kill 'CONT', $worker;
}

$late->evil->forget;
$late->evil->mode('delay', seconds => 1.5, times => 1,
    only => 'EVALSHA|EVAL');

freeze($other);
my $waits = $send->();
ok wait_until(sub { $late->evil->commands('EVALSHA') }, 5), 'one waits';
kill 'CONT', $other;
freeze($one);
my $newer = $late->sim->token(accounts => [account]);
$late->must_ctl(qw(credential put main --access-token-file -), \$newer);
my @quick = map { $send->() } 1 .. 10;

ok wait_until(sub { $late->sim->requests(qr/audiences/) == 14 }, 5),
    'others do not, and have the newer token';
kill 'CONT', $one;
created $waits->response, 'and then it gets through with the older one';
created $_->response, 'as all the others' for @quick;
is scalar(grep { index($_->{head}, $late->token) >= 0 }
    $late->sim->requests(qr/audiences/)), 5, 'each with its own token';


# new tokens under load

my $load = Pinaud::Load->new(4, sub { create()->{status} });
renew(qw(--expires-in 3600)), sleep 0.1 for 1 .. 15;
my $result = $load->end;

cmp_ok $result->{200} // 0, '>', 100, 'enough of them';
is_deeply [grep { $_ != 200 } keys %$result], [], 'new tokens fail no request'
    or diag explain $result;


# Redis lost the last tokens, and who made them is gone: gateways ask for others,
# but not before they could have been put back

my $fleet = Pinaud::Agents->new(gateway => $gw);
my $secrets = 'pinaud:secret:{main}';
my $wanted = sub { $redis->cmd('HGET', 'pinaud:wanted', 'main') };

$fleet->enrol('main', access => $gw->sim->token(app => Pinaud::Agents::CLIENT,
    accounts => [account]), due => 0);
all_created('tokens that can be refreshed');

my $old = $fleet->record('main')->{version};
my @old = map { $redis->cmd('DUMP', $_) } $key, $secrets;
my $agent = $fleet->agent('gone');

for my $n (1, 2) {
    $gw->must_ctl(qw(credential refresh main));
    ok wait_until(sub { $fleet->record('main')->{version} == $old + $n
        && !defined $wanted->() }, 5), "they are refreshed: $n";
}

all_created('the newest ones are used');
$agent->stop;

put_back($old[0]);
$redis->cmd('DEL', $secrets);
$redis->cmd('RESTORE', $secrets, 0, $old[1]);

my $lost = time();
my $early = 0;

for (1 .. 20) {
    refused create(), 'credential-unavailable', 'the older one'
        if $_ % 10 == 1;
    create();
    sleep 0.25;
    $early++ if defined $wanted->();
}

is $early, 0, 'for some seconds nothing else is wanted';
ok wait_until(sub { create(); defined $wanted->() }, 10), 'then it is';
cmp_ok time() - $lost, '>', 9.5, 'not before ten';
is $wanted->(), $old + 1 . ' refused', 'one that can be used';

$agent = $fleet->agent('other');
ok wait_until(sub { $fleet->record('main')->{version} == $old + 2 }, 5),
    'another agent makes it';
is scalar($fleet->calls('other')), 1, 'with one call';
is $fleet->secret('main')->{demands}, 1, 'which counts as asked for';
all_created('and its tokens are used');
ok wait_until(sub { !defined $wanted->() }, 3), 'no others are wanted';
$agent->stop;


# a credential that is deleted and made anew goes on

$gw->must_ctl(qw(team delete growth));
$gw->must_ctl(qw(account delete), account);
my $version = $redis->cmd('HGET', $key, 'version');
$gw->must_ctl(qw(credential delete main));
is $redis->cmd('GET', 'pinaud:version:{main}'), $version,
    'the version of what was deleted';
$gw->enrol;
is $redis->cmd('HGET', $key, 'version'), $version + 1, 'goes on';
ok wait_until(sub { create()->{status} == 200 }, 8), 'and is used';
all_created('by all');

$gw->must_ctl(qw(team delete growth));
$gw->must_ctl(qw(account delete), account);
$gw->must_ctl(qw(credential delete main));

my $policy = { format => 1, accounts => {}, credentials => { main => {} } };
my $file = spew($gw->nginx->dir . '/policy.json',
    JSON::PP::encode_json($policy));
$gw->must_ctl(qw(policy apply), $file);
is $redis->cmd('HGET', $key, 'version'), $version + 1,
    'so does one that policy apply makes';
$gw->enrol;
is $redis->cmd('HGET', $key, 'version'), $version + 2, 'with its token';

finish();
