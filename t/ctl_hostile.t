#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Servers that say anything: what they say never reaches an operator's
# terminal as it is. Each run of pinaudctl is looked at for that, see
# Pinaud::Ctl.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Ctl;
use Pinaud::EvilRedis;
use Pinaud::Process;
use Pinaud::Redis;
use Test::More;
use Time::HiRes qw(time);

use constant DIRT => "\e[2J\r\n\e]0;x\a\x7f\xc2\x9b31m\x9b";

my $redis = Pinaud::Redis->new;
my $ctl = Pinaud::Ctl->new(redis => $redis);
my $evil = Pinaud::EvilRedis->new($redis);
my $url = $evil->tcp_url;
my ($port) = $url =~ /:(\d+)$/;
my $seconds = 12;

$ctl->enrol;
$ctl->{url} = $url;


sub bulk { '$' . length($_[0]) . "\r\n$_[0]\r\n" }
sub array { '*' . @_ . "\r\n" . join '', @_ }


# Nodes have slots: [first, last, host, port]...

sub slots {
    return array(map { array(":$_->[0]\r\n", ":$_->[1]\r\n",
        array(bulk($_->[2]), ":$_->[3]\r\n")) } @_);
}


sub says {
    my ($name, $exit, $expected, @args) = @_;

    my $begun = time();
    my $r = $ctl->run(@args);

    subtest $name => sub {
        is $r->{exit}, $exit, 'exit code';
        like "$r->{out}$r->{err}", $expected, 'what is told';
        cmp_ok time() - $begun, '<', $seconds, 'in time';
    } or diag $r->{out}, $r->{err};
}


for my $words ([qw(account list)], [qw(doctor)], [qw(usage)],
    [qw(credential put main --limit 5/1m)])
{
    $evil->mode('error', text => 'WRONG' . (DIRT =~ s/\r\n//r));
    says("@$words: errors", $words->[0] eq 'doctor' ? 1 : 3, qr/: WRONG/,
        @$words);
    $evil->mode('answer', bytes => bulk(DIRT));
    says("@$words: answers", $words->[0] eq 'doctor' ? 1 : 3, qr/ answer/,
        @$words);
}

for my $value ('INFO', 'CONFIG') {
    my @info = map { "$_:1" . DIRT =~ s/\r\n//r . "\r\n" } qw(redis_version
        role connected_slaves maxmemory_policy used_memory aof_enabled);
    my $reply = $value eq 'INFO' ? bulk(join '', @info)
        : array(bulk('x'), bulk(DIRT));

    $evil->mode('pass', but => { $value => $reply });
    says("doctor: $value", 1, qr/^problem /m, 'doctor');
    says("doctor: $value as JSON", 1, qr/"problem"/, qw(--json doctor));
}

# fields of another number and type than was asked for

$ctl->must(qw(team key create growth));

for my $values (array(), array(bulk('1')), array((":1\r\n") x 2)) {
    $evil->mode('pass', but => { HMGET => $values });
    says("@{ $_->[1] }: values of fields", $_->[0],
        qr/ does not tell what pinaud:(?:cooldown|team-key):\S+ holds$/,
        @{ $_->[1] })
        for [3, [qw(usage)]], [3, [qw(seal-key list)]],
            [1, [qw(seal-key reseal)]];
}

$evil->mode('pass', but => { HGETALL => array((":1\r\n") x 2) });
says('doctor: values of fields', 1,
    qr/ Redis at \S+ does not tell what pinaud:wanted holds$/m, 'doctor');
$evil->mode('pass');


# who has a slot

my @account = (qw(account show), account, '--redis', "$url mode=cluster");

for my $host (DIRT, "h\e[2J", "h\n", "h\x9b", 'h i', '?') {
    my $name = $host =~ s/[^ -~]+/!/gr;

    $evil->mode('pass', but => { CLUSTER => slots([0, 16383, $host, $port]) });
    says("a node tells the host \"$name\"", 0, qr/^account +\d+\n/m, @account);

    $evil->mode('error', only => 'HGETALL', but => {
        CLUSTER => slots([0, 16383, '127.0.0.1', $port]) },
        text => "MOVED 1 $host:6379" =~ s/[\r\n]//gr);
    says("moved to the host \"$name\"", 3, qr/ refuses HGETALL \S+: MOVED$/,
        @account) if $host !~ /\n/;
}

done_testing();
