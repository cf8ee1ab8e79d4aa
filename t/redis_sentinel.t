#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Redis behind sentinels: the master is found and followed while requests run;
# none hangs, a former master that comes back is not used, sentinels may go.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::Hammer;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::RedisSentinel;
use Pinaud::TLS;
use Test::More;
use Time::HiRes qw(sleep time);

my $slack = 2;
my $tls = Pinaud::TLS->new;
my $set = Pinaud::RedisSentinel->new(password => 'pw', replicas => 2,
    down_after => 1500,
    config => "min-replicas-to-write 1\nmin-replicas-max-lag 5\n",
    sentinel_password => 'guide', tls => [$tls->node('127.0.0.1'), $tls->ca]);

my $dir = temp_dir('sentinel');
my %files = map { $_ => spew("$dir/$_", "$_\n", 0600) && "$dir/$_" }
    qw(pw guide wrong);

my $gw = Pinaud::Gateway->new(redis => $set,
    limits => ['100000/1h'], limits_all => ['100000/1s'],
    ctl => ['--redis-password-file', $files{pw}, '--redis-ca-file', $tls->ca,
        '--redis-sentinel-password-file', $files{guide}],
    http => conf($files{pw}, $files{guide}));

$gw->sim->limits(ads_write => '1000000/60', safety_net => '1000000/1');

my @growth = (team => 'growth');
my $request = Pinaud::HTTP::head('POST', create_path, body => body(), @growth)
    . body();


sub conf {
    my ($password, $guide) = @_;

    return 'pinaud_redis_ssl_trusted_certificate ' . $tls->ca . ';'
        . "pinaud_redis_password_file $password;"
        . "pinaud_redis_sentinel_password_file $guide;"
        . 'pinaud_redis_timeout 500ms;';
}


sub create { post($gw, create_path, body(), @growth) }
sub said { scalar(() = $gw->nginx->log_since =~ /$_[0]/g) }


# Creates one after another, and from several clients, until it is over;
# returns what was answered when: [status, begun, took].

sub watch {
    my ($over, $seconds) = @_;

    my ($end, @seen) = (time() + $seconds);

    while (time() < $end) {
        my $begun = time();
        my $r = create();

        push @seen, [$r->{status}, $begun, time() - $begun];
        last if $over->(@seen);
        sleep 0.02;
    }

    return @seen;
}


# The gateway follows a switch within 2 s, and no request waits for longer
# than its time.

sub follows {
    my ($name, $switch) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $gw->nginx->mark;

    my $before = $set->master;
    my ($switched, $after);

    $switch->($before);

    my @seen = watch(sub {
        my ($sentinel) = grep { $_->pid } $set->sentinels;
        my $port = $sentinel->cmd('SENTINEL', 'GET-MASTER-ADDR-BY-NAME',
            'main')->[1];

        $switched //= time() if $port != $before->tls_port;
        return $switched && $_[-1][0] == 200 && time() > $switched + 0.7;
    }, 20);

    my %status = map { $_->[0] => 1 } @seen;
    my ($first) = grep { $_->[0] == 200 && $switched && $_->[1] > $switched }
        @seen;

    ok $switched, "$name: it was switched";
    cmp_ok $first ? $first->[1] + $first->[2] - $switched : 99, '<', 2,
        "$name: followed within 2 s";
    is_deeply [sort grep { !/^(200|503)$/ } keys %status], [],
        "$name: answers";
    cmp_ok +(sort { $b <=> $a } map { $_->[2] } @seen)[0], '<', 0.5 + $slack,
        "$name: no request hangs";

    # a sentinel that does not know yet may be asked between: each line a change

    my @told = $gw->nginx->log_since
        =~ /store "main" is at "127.0.0.1" port (\d+)/g;

    is $told[-1], $set->master(5)->tls_port, "$name: told where it is";
    is scalar(grep { $told[$_] == $told[$_ - 1] } 1 .. $#told), 0,
        "$name: and each time once";
    cmp_ok scalar(@told), '<=', 6, "$name: and not for ever";

    return $before, scalar grep { $_->[0] == 200 } @seen;
}


# What was charged in the last hour, as the master knows it.

sub charged {
    my ($exit, $usage) = $gw->ctl('usage', '--json');
    my ($used) = $usage =~ /"bucket":\s*"writes".*?"used":\s*(\d+)/s;

    return $used // die "pinaudctl usage: exit $exit\n$usage";
}


created create(), 'at first';
like $gw->nginx->log, qr/store "main" is at "127.0.0.1" port \d+/,
    'where it is';

# asked for, while many requests run

my $asked = 0;
my $count = hammer([$gw], [$request], 4, clients => 8, meanwhile => sub {
    return if $asked++ != 200;
    my ($sentinel) = $set->sentinels;
    $sentinel->cmd('SENTINEL', 'FAILOVER', 'main');
});

is_deeply [sort grep { !/^(200|503)$/ } keys %$count], [],
    'a failover while requests run: answers';
cmp_ok $count->{200}, '>', 100, 'most are created';
cmp_ok $count->{503} // 0, '<', 200, 'few are not';
diag 'a failover: ', join ', ', map { "$count->{$_} with $_" }
    sort keys %$count;

# What the new master does not know of was lost: so many more may pass.

my $created = $count->{200} + 1;
my $used = charged();

cmp_ok $used, '>', $created / 3, 'counts went along';
cmp_ok $used, '<=', $created, 'and no others';
diag 'lost of ', $created, ' charges, by a failover that was asked for: ',
    $created - $used;


# killed: sentinels notice by themselves

my ($former, $n) = follows('killed', sub { $_[0]->kill });

cmp_ok abs($used + $n - charged()), '<', 5, 'next to nothing is lost';

# it comes back, as a master that knows nothing, and is made a replica

$gw->nginx->mark;
$former->start;
my %status;
$status{$_->[0]}++ for watch(sub { 0 }, 1.5);
is_deeply [keys %status], [200], 'a former master changes nothing';
is said('is at'), 0, 'nor does it in the log';

ok wait_until(sub { (eval { $former->cmd('ROLE')->[0] } // '') eq 'slave' },
    15),
    'it is a replica then';


# the sentinel in use goes; then another; then all

$gw->nginx->mark;
my @sentinels = $set->sentinels;

$_->kill for @sentinels[0, 1];
sleep 1.2;
created create(), 'two of three sentinels gone';
is said('no sentinel'), 0, 'one is enough';

$sentinels[2]->kill;
ok $gw->nginx->wait_log(qr/no sentinel of store "main" answers/, 10),
    'that none answers is told';
created create(), 'the master is still used';

$gw->nginx->mark;
$_->kill for $set->nodes;
refused create(), 'store-unavailable', 'all of it gone';
sleep 0.5;
refused create(), 'store-unavailable', 'and again';

$_->start for $set->nodes, @sentinels;
ok wait_until(sub { create()->{status} =~ /^(200|403)$/ }, 20), 'all is back'
    or diag create()->{body};
is said('a sentinel of store "main" answers again'), 1, 'and told';


# what is wrong with the configuration

for my $case (
    ['another name', $set->words =~ s/main$/other/r, conf(@files{qw(pw guide)}),
        'store "other" is unavailable: unknown to its sentinels'],
    ['another password of sentinels', $set->words, conf(@files{qw(pw wrong)}),
        'store "main" is unavailable: no sentinel answers'],
    ['a Redis for a sentinel', $set->master(10)->tls_url
        . ' mode=sentinel master=main', conf(@files{qw(pw pw)}),
        'store "main" is unavailable: no sentinel answers'],
) {
    my ($name, $words, $http, $line) = @$case;

    $gw->nginx->mark;
    $gw->{redis} = $set->{nodes}[0];
    @$gw{qw(redis_url http)} = ($words, $http);
    $gw->restart_nginx;

    ok $gw->nginx->wait_log(qr/\Q$line\E/, 5), "$name: told";
    refused create(), 'store-unavailable', $name;
}



# a sentinel that is wrong, and the others who know better

$gw->{redis_url} = $set->words;
$gw->{http} = conf(@files{qw(pw guide)});
$gw->restart_nginx;
ok wait_until(sub { create()->{status} =~ /^(200|403)$/ }, 10),
    'as at first';

my ($wrong) = $set->sentinels;
my $nobody = free_port();

$gw->nginx->mark;
$wrong->cmd(qw(SENTINEL REMOVE main));
$wrong->cmd(qw(SENTINEL MONITOR main 127.0.0.1), $nobody, 2);

# on a slow machine another one may be asked by now; a new worker begins anew

ok $gw->nginx->wait_log(qr/is at "127.0.0.1" port $nobody/, 3)
    || do {
        $gw->restart_nginx;
        $gw->nginx->wait_log(qr/is at "127.0.0.1" port $nobody/, 5)
    }, 'one that is wrong is believed';
ok wait_until(sub { create()->{status} =~ /^(200|403)$/ }, 4),
    'until another is asked';
sleep 1;
like create()->{status}, qr/^(200|403)$/, 'and that one stays';

finish();
