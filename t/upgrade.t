#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Another binary takes over (USR2, then QUIT) while requests wait on Redis:
# the old processes answer what they have, the new ones what comes.

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
use Time::HiRes qw(sleep);

my $gw = Pinaud::Gateway->new(evil => 1, nginx => { start => 0, workers => 2 },
    http => 'pinaud_redis_timeout 5s;');
my $nginx = $gw->nginx;
my @growth = (team => 'growth');
my $whole = Pinaud::HTTP::head('POST', create_path, body => body(), @growth)
    . body();

# nginx takes no USR2 as long as the process that started it is there

my $dir = $nginx->dir;
spew("$dir/nginx.conf", slurp("$dir/nginx.conf") =~ s/daemon off/daemon on/r);

my ($exit, $output) = run_command($nginx->command,
    env => $nginx->environment);
is $exit, 0, 'started' or diag $output;


sub master { my $pid = eval { slurp("$dir/nginx.pid") }; $pid ? $pid + 0 : 0 }

sub workers {
    my $pid = shift;

    return grep { slurp("/proc/$_/cmdline") =~ /worker process(?! is)/ }
        split ' ', eval { slurp("/proc/$pid/task/$pid/children") } // '';
}

END {
    local $?;
    kill 'TERM', grep { $_ } master(), eval { slurp("$dir/nginx.pid.oldbin") };
}


sub begin {
    my $c = Pinaud::HTTP->connect($gw);

    $c->send($whole);
    return $c;
}


my @steps = (
    ['Redis is asked', sub {
        $gw->evil->forget;
        $gw->evil->mode('delay', seconds => 1, only => 'EVALSHA|EVAL');
        my @c = map { begin() } 1 .. 4;
        wait_until(sub { @{ $gw->evil->commands('EVALSHA|EVAL') } }, 3);
        return @c;
    }],
    ['Redis is connected to', sub {
        $gw->evil->mode('silence');
        $gw->evil->drop;
        sleep 0.2;
        my @c = map { begin() } 1 .. 4;
        sleep 0.1;
        return @c;
    }],
);

ok wait_until(sub { workers(master()) == 2 }, 10), 'with two workers';
created post($gw, create_path, body(), @growth), 'it works';

for my $step (@steps) {
    my ($name, $begin) = @$step;

    my $old = master();
    my @c = $begin->();

    kill 'USR2', $old;
    ok wait_until(sub {
        my $new = master();
        $new && $new != $old && workers($new) == 2;
    }, 10), "$name: a new master with workers";

    kill 'QUIT', $old;
    sleep 0.2;
    $gw->evil->mode('pass') if $name =~ /connected/;

    my %status;
    $status{ $_->response->{status} }++ for @c;
    is_deeply \%status, { 200 => 4 }, "$name: no answer is lost";
    $_->close for @c;

    $gw->evil->mode('pass');
    ok wait_until(sub { !kill 0, $old }, 8), "$name: the old master ends";

    created post($gw, create_path, body(), @growth), "$name: the new serves";
}

my $last = master();
kill 'QUIT', $last;
ok wait_until(sub { !kill 0, $last }, 8), 'quit';

finish();
