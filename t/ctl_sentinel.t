#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl finds the master by its sentinels, follows a failover, and is not
# led to a server that is none.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Ctl;
use Pinaud::EvilRedis;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::RedisSentinel;
use Pinaud::TLS;
use Test::More;
use Time::HiRes qw(time);

my $tls = Pinaud::TLS->new;
my $set = Pinaud::RedisSentinel->new(password => 'pw',
    sentinel_password => 'spw',
    tls => [$tls->node('127.0.0.1', 'localhost'), $tls->ca]);

my @nodes = $set->nodes;
my @sentinels = $set->sentinels;

my $ctl = Pinaud::Ctl->new(redis => $nodes[0], url => $set->words);
my @passwords = ('--redis-password-file', $ctl->file('pw', "pw\n"),
    '--redis-sentinel-password-file', $ctl->file('spw', "spw\n"));
my @ca = ('--redis-ca-file', $tls->ca);
my @list = qw(account list);

$ctl->{env} = { PINAUD_REDIS_PASSWORD_FILE => "$ctl->{dir}/pw",
    PINAUD_REDIS_SENTINEL_PASSWORD_FILE => "$ctl->{dir}/spw",
    PINAUD_REDIS_CA_FILE => $tls->ca };

# Such runs take their time, so they run side by side.

my @runs;

sub fails {
    my ($name, $message, @args) = @_;

    push @runs, [$name, $message, time(), $ctl->begin(@args)];
}

sub failed {
    for my $run (splice @runs) {
        my ($name, $message, $begun, $under_way) = @$run;
        my $r = $ctl->finish($under_way);

        subtest $name => sub {
            is $r->{exit}, 3, 'exit code';
            is $r->{out}, '', 'nothing on stdout';
            like $r->{err}, $message, 'message';
            is $r->{err} =~ tr/\n//, 1, 'one line';
            cmp_ok time() - $begun, '<', 10, 'in time';
        };
    }
}

sub in_time {
    my ($name, $seconds, @args) = @_;

    my $begun = time();
    my $r = $ctl->run(@args);

    is $r->{exit}, 0, $name or diag $r->{err};
    cmp_ok time() - $begun, '<', $seconds, "$name: in time";
}


# reached

$ctl->enrol;
is $set->master, $nodes[0], 'the master';
ok $nodes[0]->cmd('EXISTS', 'pinaud:credential:{main}'), 'has it';
done($ctl, 0, qr/^ACCOUNT/, '', 'by options', @passwords, @ca, @list,
    { env => { map { $_ => undef } CORE::keys %{ $ctl->{env} } } });
done($ctl, 0, qr/^ACCOUNT/, '', 'one sentinel', @list, '--redis',
    $set->words(sentinels => 1));

for my $node (@nodes) {
    $node->cmd('ACL', 'SETUSER', 'op', 'on', '>pw', '~*', '+@all');
}

done($ctl, 0, qr/^ACCOUNT/, '', 'a user of the master', @list, '--redis',
    $set->words(user => 'op'));
done($ctl, 0, "ACCOUNT  CREDENTIAL  LIMIT  TEAMS\n", '', 'a database', @list,
    '--redis', join ' ', (map { $_->tls_url . '/1' } @sentinels),
    'mode=sentinel master=main');

# not reached

my @none = map { 'rediss://127.0.0.1:' . free_port } 1 .. 2;
my $lost = qr/no sentinel leads to the master \S+: /;

in_time 'dead sentinels and one that lives', 3, @list, '--redis',
    "@none " . $set->words(sentinels => 1);
fails 'dead sentinels', qr/${lost}cannot connect to Redis at \S+: Connection refused$/,
    @list, '--redis', "@none mode=sentinel master=main";
fails 'another name', qr/no sentinel leads to the master other: the sentinel at \S+ knows no such master$/,
    @list, '--redis', $set->words =~ s/master=main/master=other/r;
fails 'the sentinels\' password is missing', qr/${lost}Redis at \S+ refuses SENTINEL \S+: NOAUTH/,
    @list, { env => { PINAUD_REDIS_SENTINEL_PASSWORD_FILE => undef } };
fails 'the sentinels\' password is wrong', qr/${lost}Redis at \S+ refuses AUTH: WRONGPASS/,
    @list, '--redis-sentinel-password-file', "$ctl->{dir}/pw";
fails 'the master\'s password is wrong', qr/${lost}Redis at \S+ refuses AUTH: WRONGPASS/,
    @list, '--redis-password-file', "$ctl->{dir}/spw";
fails 'no sentinel but a Redis', qr/${lost}Redis at \S+ refuses SENTINEL \S+: ERR$/,
    @list, '--redis', $nodes[1]->tls_url . ' mode=sentinel master=main',
    '--redis-sentinel-password-file', "$ctl->{dir}/pw";

failed;

# sentinels that say something else

my $data = Pinaud::Redis->new;
my $replica = Pinaud::Redis->new(
    config => 'replicaof 127.0.0.1 ' . $data->port . "\n");
my $evil = Pinaud::EvilRedis->new($data);
my @evil = (@list, '--redis', $evil->tcp_url . ' mode=sentinel master=main',
    { env => { map { $_ => undef } CORE::keys %{ $ctl->{env} } } });

sub answer { '*' . @_ . "\r\n" . join '', map { '$' . length($_) . "\r\n$_\r\n" } @_ }

$evil->mode('answer', bytes => answer('127.0.0.1', $data->port));
done($ctl, 0, qr/^ACCOUNT/, '', 'an answer', @evil);
my @answers = (answer('127.0.0.1'), answer('127.0.0.1', 'x'),
    answer('127.0.0.1', 0), answer('127.0.0.1', 65536), answer('h' x 300, 1),
    answer("h\e[2J", 1), answer("h\xc2\x9b2J", 1), answer('h i', 1),
    "*2\r\n:1\r\n:2\r\n", ":1\r\n", "*0\r\n");
my @evils = map { Pinaud::EvilRedis->new($data) } 0 .. @answers;
my %clean = (env => { map { $_ => undef } CORE::keys %{ $ctl->{env} } });

$evils[-1]->mode('answer', bytes => answer('127.0.0.1', $replica->port));
fails 'a replica', qr{${lost}Redis at redis://127\.0\.0\.1:\d+/0 is no master$},
    @list, '--redis', $evils[-1]->tcp_url . ' mode=sentinel master=main', \%clean;

for my $i (0 .. $#answers) {
    $evils[$i]->mode('answer', bytes => $answers[$i]);
    fails 'an answer that is none: '
        . substr($answers[$i], 0, 25) =~ s/[^ -~]+/ /gr,
        qr/${lost}the sentinel at \S+ tells no address$/, @list, '--redis',
        $evils[$i]->tcp_url . ' mode=sentinel master=main', \%clean;
}

failed;
$_->stop for @evils;

# at first no master, then one: it waits for a failover's end

$evil->mode('answer', bytes => answer('127.0.0.1', $replica->port), times => 3);
$data->cmd('SET', 'x', 1);
my $run = $ctl->begin(@evil);
Time::HiRes::sleep(0.5);
$evil->mode('answer', bytes => answer('127.0.0.1', $data->port));
is $ctl->finish($run)->{exit}, 0, 'a failover that ends while it waits';

# a failover

my $second = $set->failover;
isnt $second, $nodes[0], 'a failover';
in_time 'after it', 3, qw(account put 1 --credential main);
ok $second->cmd('EXISTS', 'pinaud:account:1'), 'after it: on the new master';

# the master dies

delete $_->{client} for @nodes;
wait_until(sub { $second->cmd('INFO', 'replication') =~ /connected_slaves:1/ }, 10);
$second->kill;
my $begun = time();
ok wait_until(sub { $ctl->run(qw(account put 2 --credential main))->{exit} == 0 }, 20),
    'the master dies: the other is found';
note sprintf '%.1f s', time() - $begun;
delete $nodes[0]{client};
ok $nodes[0]->cmd('EXISTS', 'pinaud:account:2'), 'it has what was put';

done_testing;
