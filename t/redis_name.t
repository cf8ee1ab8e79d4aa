#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Where Redis is and who we are to it changes while the gateway runs: a name
# leads elsewhere, a master becomes a replica, a password is another one.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::DNS;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Redis;
use Test::More;
use Time::HiRes qw(sleep time);

# Two with one port: the name is that of the first one when nginx starts. The
# second one has what the first one has, but for who may log in.

my $first = Pinaud::Redis->new(config => "bind 127.0.0.1\n");
my $second = Pinaud::Redis->new(port => $first->port,
    config => "bind 127.0.0.2\n");
my @growth = (team => 'growth');

my $dns = Pinaud::DNS->new;
my $gw = Pinaud::Gateway->new(redis => $first,
    redis_url => 'redis://localhost:' . $first->port,
    http => "pinaud_redis_timeout 500ms; pinaud_redis_connect_timeout 500ms;"
        . " resolver @{[ $dns->address ]} valid=1s ipv6=off;"
        . ' resolver_timeout 10s;');

sub create { post($gw, create_path, body(), @growth, @_) }
sub said { scalar(() = $gw->nginx->log_since =~ /$_[0]/g) }

sub back {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_until(sub { create()->{status} == 200 }, 8), $name
        or diag $gw->nginx->log_since;
}

sub copy {
    my ($from, $to) = @_;

    $to->cmd('RESTORE', $_, 0, $from->cmd('DUMP', $_), 'REPLACE')
        for @{ $from->cmd('KEYS', '*') };
}


created create(), 'by its name';
copy($first, $second);


# nobody answers for the name: the old address is tried, and nothing hangs

$gw->nginx->mark;
$dns->say('');
$first->kill;

my ($longest, $served) = (0, 0);
my $end = time() + 2;

while (time() < $end) {
    my $r = create();

    $longest = $r->{elapsed} if $longest < $r->{elapsed};
    is $r->{status}, 503, 'refused while it is away' if !$served++;
    sleep 0.05;
}

cmp_ok $longest, '<', 2.5, 'nothing hangs while a name is looked for';
is said('is unavailable'), 1, 'told once';

$first->start;
copy($second, $first);
back('back at the old address, without an answer for its name');


# the name leads elsewhere: followed when the connection fails

$dns->say('127.0.0.2');
sleep 1.1;
$gw->nginx->mark;
my $keys = $second->cmd('INFO', 'commandstats') =~ /evalsha:calls=(\d+)/
    ? $1 : 0;
$first->kill;
back('the name leads to another one');
cmp_ok +($second->cmd('INFO', 'commandstats') =~ /evalsha:calls=(\d+)/)[0]
    // 0, '>', $keys, 'that one decides';


# a replica, which has all that is asked for, and is made a master

$first->start;
copy($second, $first);
$second->cmd(qw(REPLICAOF 127.0.0.1), $first->port);
ok wait_until(sub {
    $second->cmd(qw(INFO replication)) =~ /master_link_status:up/
}, 10), 'the second one follows the first';

$gw->nginx->mark;
$gw->{redis_url} = 'redis://127.0.0.2:' . $second->port;
$gw->restart_nginx;
ok $gw->nginx->wait_log(qr/is unavailable: is a replica/, 5),
    'a replica is not used';
refused create(), 'store-unavailable', 'while it is one';
is said('is unavailable'), 1, 'told once';

$second->cmd(qw(REPLICAOF NO ONE));
back('a master again');
is said('is back'), 1, 'that, too';
$gw->{redis} = $second;


# another password, read on reload; it is in no log

$second->cmd(qw(CONFIG SET requirepass), 'old-secret-word');
$second->{password} = 'old-secret-word';
my $file = $gw->nginx->dir . '/password';
spew($file, "old-secret-word\n", 0600);
$gw->{http} .= " pinaud_redis_password_file $file;";
$gw->nginx->conf($gw->http)->reload;
back('with a password');

$second->cmd(qw(CONFIG SET requirepass), 'new-secret-word');
$second->{password} = 'new-secret-word';
delete $second->{client};
$gw->nginx->mark;
$second->cmd(qw(CLIENT KILL TYPE normal SKIPME yes));
ok $gw->nginx->wait_log(qr/is unavailable: WRONGPASS/, 5),
    'another password is needed';
spew($file, 'new-secret-word', 0600);
sleep 0.7;
refused create(), 'store-unavailable', 'the file is not read meanwhile';
$gw->nginx->reload;
back('read on reload, without a newline at its end');


# one that is none keeps what is there; pinaudctl takes the same, and no other

sub password {
    my ($name, $bytes, $good) = @_;

    spew($file, $bytes, 0600);
    $gw->{ctl} = ['--redis-password-file', $file];
    $gw->nginx->mark;
    $gw->nginx->reload;

    my ($exit, $output) = $gw->ctl(qw(account list));

    if ($good) {
        is $exit, 0, "$name: pinaudctl" or diag $output;
        back("$name: the gateway");
        return;
    }

    my $said = qr/\Q$file\E"? holds no password: one line of 1 to 1023 bytes/;

    like $output, $said, "$name: pinaudctl";
    ok $gw->nginx->wait_log($said, 5), "$name: the gateway";
}

my $words = "secret-word a\xc3\xa4 \"'";

$second->cmd(qw(CONFIG SET requirepass), $words);
$second->{password} = $words;
delete $second->{client};

$gw->nginx->allow(qr/holds no password/);
password('with spaces', "$words\n", 1);
password('empty', '');
password('a line end', "\r\n");
password('two lines', "$words\n\n");
password('too long', 'x' x 1024 . "\n");
created create(), 'the old one is used meanwhile';
password('of Windows', "$words\r\n", 1);

unlike $gw->nginx->log, qr/secret-word/, 'no password is logged';

finish();
