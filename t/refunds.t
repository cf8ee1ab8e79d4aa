#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Charges that can't be given back at once: a worker keeps them, as many as it
# may, until Redis takes them, and one that quits waits a while for that. What
# is given up is counted, and stays charged.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

use constant ROOM => 1024;

my $gw = Pinaud::Gateway->new(redis => { persist => 1 },
    limits => ['1000000/1h'], limits_all => ['none'],
    accounts => { account() => { limits => ['1000000/1h'],
        teams => { growth => [] } } },
    http => 'keepalive_requests 10000;');

my $redis = $gw->redis;
my $record = 'pinaud:credential:{main}';
my $token = $redis->cmd('HGET', $record, 'token');


sub given_up {
    return $gw->metrics->{'pinaud_store_errors_total{reason="refund"}'} // 0;
}


# Whether Redis takes refunds: it does not where it may not write their marks.

sub takes {
    $redis->cmd('ACL', 'SETUSER', 'default', 'resetkeys',
        $_[0] ? '~*' : ('~pinaud:[^r]*', '~pinaud:res*'));
}


# So many requests that are charged, and refused since the token does not open.

sub refused_requests {
    my $n = shift;

    my $c = Pinaud::HTTP->connect($gw);

    return scalar grep { $c->request('POST', create_path, body => body(),
        team => 'growth')->{status} == 503 } 1 .. $n;
}


$redis->cmd('HSET', $record, 'token', "$token.");

is refused_requests(1), 1, 'a token that does not open';
$gw->used_is(0, 'is given back', 3);


# while Redis does not take them

takes(0);
is refused_requests(5), 5, 'some more';
is $gw->used, 5, 'can\'t be';
takes(1);
$gw->used_is(0, 'now they are', 3);
is given_up(), 0, 'none is given up';


# no more are kept than there is room for

takes(0);
is refused_requests(ROOM + 76), ROOM + 76, 'too many';
wait_until(sub { given_up() == 76 }, 3);
takes(1);
$gw->used_is(76, 'those that there was room for are given back', 3);
is given_up(), 76, 'the others are counted';
sleep 1.2;
is $gw->used, 76, 'and stay charged';


# a worker that quits

takes(0);
is refused_requests(3), 3, 'some more';
my ($old) = $gw->nginx->workers;
$gw->nginx->reload;
isnt +($gw->nginx->workers)[-1], $old, 'another worker';
sleep 0.7;
is kill(0, $old), 1, 'the one that quits waits';
takes(1);
$gw->used_is(76, 'and gives back', 3);
ok wait_until(sub { !kill 0, $old }, 2), 'then it goes';
is given_up(), 76, 'none is given up';


# not for ever

takes(0);
is refused_requests(3), 3, 'some more';
($old) = $gw->nginx->workers;
$redis->kill;

my $start = time();
$gw->nginx->reload;
ok wait_until(sub { !kill 0, $old }, 12), 'without Redis a worker goes, too';
cmp_ok time() - $start, '>', 4, 'after a while';
is given_up(), 79, 'what it had is counted';

$redis->start;
$gw->used_is(79, 'and stays charged', 3);

$redis->cmd('HSET', $record, 'token', $token);
ok wait_until(sub { post($gw, create_path, body(), team => 'growth')->{status}
    == 200 }, 3), 'all is well';

finish();
