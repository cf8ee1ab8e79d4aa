#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Who tells where Redis is may tell anything: a host that is none is not used,
# and writes no lines into the log.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Process;
use Test::More;

my $gw = Pinaud::Gateway->new(evil => 1, redis_url => 'tcp',
    nginx => { start => 0 });
my ($evil, $nginx) = ($gw->evil, $gw->nginx);
my $conf = $nginx->dir . '/nginx.conf';
my $text = slurp($conf);

my @growth = (team => 'growth');


sub bulk { '$' . length($_[0]) . "\r\n$_[0]\r\n" }


sub slots { "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" . bulk($_[0]) . ":6379\r\n" }


sub reach {
    my $mode = shift;

    $nginx->stop if $nginx->listens;
    spew($conf, $text =~ s/(pinaud_redis [^;]+)/$1 $mode/r);
    $nginx->start;
}


for my $host ("1.2.3.4\n2026/01/01 00:00:00 [error] forged",
    "a\rb", "\e[2J", "x\x7f")
{
    my $name = $host =~ s/[^ -~]+/?/gr;

    $evil->mode('answer', only => 'SENTINEL',
        bytes => "*2\r\n" . bulk($host) . bulk('6379'));
    reach('mode=sentinel master=m');
    refused post($gw, create_path, body(), @growth), 'store-unavailable',
        "a sentinel tells \"$name\"";
    unlike $nginx->log, qr/\Q$host/, 'which is not in the log';

    $evil->mode('answer', only => 'CLUSTER', bytes => slots($host));
    reach('mode=cluster');
    refused post($gw, create_path, body(), @growth), 'store-unavailable',
        "a node tells \"$name\"";
    unlike $nginx->log, qr/\Q$host/, 'which is not in the log';
}

like $nginx->log, qr/no sentinel of store "m" answers: is no sentinel/,
    'the log tells why';

finish();
