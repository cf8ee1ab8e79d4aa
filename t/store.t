#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Redis is away, comes back, is slow, is another one, lies: requests end in
# time and in order, nothing is admitted on the strength of nonsense, and the
# log tells each change once.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Faults;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::HTTP2;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Redis;
use Test::More;
use Time::HiRes qw(sleep time);

my $faults = Pinaud::Faults->new;
my $gw = $faults->gw;

my $path = create_path;
my $body = body();
my @growth = (team => 'growth');
my $h2 = Pinaud::Nginx->has('http_v2_module');
my $slack = $faults->slack;


sub create { $faults->create(@_) }
sub said { $faults->said($_[0]) }


sub up {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $faults->up(@_);
}


sub down {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $faults->down(@_);
}


up 'at first';
my $sockets = $faults->sockets;


# killed, and started again

$gw->nginx->mark;
$gw->evil->mode('refuse');
down 'refused';
ok !$gw->metrics->{pinaud_store_up}, 'pinaud_store_up 0';
is $gw->health->{status}, 503, 'health: 503';

my $cpu = $faults->cpu;
sleep 1;
cmp_ok $faults->cpu - $cpu, '<', 0.5, 'no busy loop while it is away';
is said('is unavailable'), 1, 'its loss is told once';

$gw->evil->mode('pass');
up 'and back';
is said('is unavailable'), 1, 'its loss was told once';
is said('is back'), 1, 'its return, too';
is $gw->health->{status}, 200, 'health: 200';

$gw->nginx->mark;
$gw->redis->kill;
down 'killed';
$gw->redis->start;
refused create(), 'forbidden', 'an empty one knows no account'
    if wait_until(sub { create()->{status} == 403 }, 5);
$gw->enrol;
up 'enrolled anew';
is said('is back'), 1, 'its return is told once';

# closed while idle, which is no news

$gw->nginx->mark;
$gw->evil->drop;
sleep 0.1;
create() for 1 .. 2;
$gw->arrived;
is said('is unavailable'), 0, 'an idle connection that ends is no news';
up 'and is made again';

# scripts that it forgot

my $r = $gw->redis->cmd('SCRIPT', 'FLUSH');
$gw->evil->forget;
up 'scripts flushed';
cmp_ok scalar @{ $gw->evil->commands('EVAL') }, '<=', 2, 'sent again';
$gw->evil->forget;
up 'and there again';
is scalar @{ $gw->evil->commands('EVAL') }, 0, 'and not sent again';


# it says nothing: the time is bounded

$gw->nginx->mark;
$gw->redis->pause;

my @many = map {
    my $c = Pinaud::HTTP->connect($gw);
    $c->send(Pinaud::HTTP::head('POST', $path, body => $body, @growth)
        . $body);
    $c;
} 1 .. 50;

my $start = time();
my @status = map { $_->response->{status} } @many;
$_->close for @many;

is join(' ', grep { $_ != 503 } @status), '', 'stopped: all of them 503';
cmp_ok time() - $start, '<', 0.3 + $slack, 'stopped: in time';
down 'stopped';

if ($h2) {
    refused h2($gw, 'POST', $path, body => $body, @growth),
        'store-unavailable', 'stopped, HTTP/2';
}

sleep 0.7;
is said('is unavailable'), 1, 'its silence is told once';
$gw->redis->resume;
up 'it goes on';
$gw->arrived;

# replies that come too late are nobody's: no request gets another's

$gw->evil->mode('delay', seconds => 0.5, only => 'EVALSHA|EVAL');
down 'too late', 1;
$gw->evil->mode('pass');
sleep 0.6;
$r = create(headers => ['Pinaud-Dry-Run: ?1']);
is $r->{status}, 200, 'a dry run behind a late reply';
is $r->json->{would}, 'forwarded', 'is answered as one';

# nor do they tell the time: a deadline by that would have passed

$gw->evil->mode('delay', seconds => 0.5, only => 'EVALSHA|EVAL');
down 'late', 1;
$gw->evil->mode('pass');
sleep 0.6;
$gw->evil->forget;
up 'the next one';
is scalar(@{ $gw->evil->commands('EVALSHA') }), 1, 'is asked for once';


# not there when nginx starts

my $late = Pinaud::Gateway->new(redis => { persist => 1 },
    nginx => { start => 0 });
$late->redis->stop;
$late->nginx->start;
refused post($late, $path, $body, @growth), 'store-unavailable',
    'not there at start';
$late->redis->start;
ok wait_until(sub { post($late, $path, $body, @growth)->{status} == 200 }, 5),
    'and then it is';
$late->nginx->stop;
$late->redis->stop;


# whom it lets in

my %logins = (
    password => ['requirepass secret', '', 'secret', 200],
    'a wrong password' => ['requirepass secret', '', 'other', 503],
    'a user' => ['user gw on >secret ~* +@all', 'gw@', 'secret', 200],
    'a user with a wrong password' =>
        ['user gw on >secret ~* +@all', 'gw@', 'other', 503],
    'a user that may do nothing' =>
        ['user gw on >secret ~* -@all +auth +ping', 'gw@', 'secret', 503],
    'another database' => ['', '', undef, 200, 3],
    'a database that is not there' => ['', '', undef, 503, 7],
);

my @redis;

for my $name (sort keys %logins) {
    my ($config, $user, $password, $status, $db) = @{ $logins{$name} };

    my $redis = Pinaud::Redis->new(config => "$config\n",
        $config =~ /requirepass (\w+)/ ? (password => $1) : ());
    my $keys = $gw->{keys};
    my $file = $gw->nginx->write("password", ($password // '') . "\n", 0600);
    my $url = "redis://${user}127.0.0.1:" . $redis->port . '/' . ($db // 0);

    # the records as pinaudctl wrote them elsewhere

    $redis->cmd('SELECT', $db) if ($db // 0) == 3;

    for my $key (grep { !/calls|writes|bucket/ }
        @{ $gw->redis->cmd('KEYS', '*') })
    {
        my $dump = $gw->redis->cmd('DUMP', $key);
        $redis->cmd('RESTORE', $key, 0, $dump);
    }

    my $conf = $gw->http;
    my $old = $gw->store_url;
    $conf =~ s/pinaud_redis \Q$old\E;/pinaud_redis $url;/ or die;
    $conf =~ s/^/pinaud_redis_password_file $file;\n/ if defined $password;

    $gw->nginx->mark;
    $gw->nginx->conf($conf)->reload;

    my $r = create();
    is $r->{status}, $status, $name or diag $gw->nginx->log_since;
    $gw->arrived;

    if ($status == 503) {
        $_ = create() for 1 .. 5;
        is said('is unavailable'), 1, "$name: told once"
            or diag $gw->nginx->log_since;
        is said('secret|other'), 0, "$name: without a password";
    }

    push @redis, $redis;
}

$gw->nginx->conf($gw->http)->reload;
up 'the first one again';


# nothing is left behind

wait_until(sub { $faults->sockets <= $sockets }, 5);
cmp_ok $faults->sockets, '<=', $sockets, 'no socket is left open';

finish();
