#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# "make run": a gateway with everything it needs, on this machine and for
# trying. Shows the main job on the documentation's examples, then stays until
# Ctrl-C. PORT is the gateway's port; --once ends after the tour.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Getopt::Long;
use IO::Socket::INET;
use Pinaud::Process;
use Pinaud::Show;
use Time::HiRes qw(sleep);

$| = 1;

my $port = length($ENV{PORT} // '') ? $ENV{PORT} : 8080;
my $once;

GetOptions('once' => \$once, 'port=s' => \$port) && !@ARGV
    or refuse("usage: $0 [--port N] [--once]", 2);

check_port($port);
check_programs();

my $swept = sweep();
text("Removed what $swept earlier run(s) left when killed.") if $swept;

require Pinaud::Gateway;
require Pinaud::Tour;

my $gateway = eval { start() };
refuse($@) if !$gateway;

my %keys = map { $_ => $gateway->team_key($_) } qw(growth brand);

show_start();

my $faults = Pinaud::Tour->new($gateway, \%keys)->go;

if ($faults) {
    say_line('');
    say_line(red("$faults answers were not as they should be."));
}

if (!$once) {
    show_lines();
    stay();
}

exit($faults ? 1 : 0);


sub refuse {
    my ($why, $exit) = @_;

    $why =~ s/\n?\z/\n/;
    print STDERR $why;
    exit($exit // 1);
}


sub check_port {
    my $port = shift;

    refuse("PORT is a number from 1 to 65535, and not \"$port\".", 2)
        if $port !~ /^[1-9]\d{0,4}\z/ || $port > 65535;

    my $socket = IO::Socket::INET->new(Listen => 1, Proto => 'tcp',
        LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1);
    return if $socket;

    refuse($!{EADDRINUSE}
        ? "Port $port is in use. Choose another: make run PORT=8081"
        : "Port $port can't be used ($!). Choose another: make run "
            . 'PORT=8081');
}


sub check_programs {
    my $dir = project_dir();

    my @needs = (
        [$ENV{PINAUD_NGINX} || '/usr/sbin/nginx', 'nginx'],
        [program('redis-server'), 'redis-server'],
        [program('openssl'), 'openssl'],
    );

    my @missing = map { $_->[1] } grep { !$_->[0] || !-x $_->[0] } @needs;
    push @missing, 'libio-socket-ssl-perl'
        if !eval { require IO::Socket::SSL; 1 };

    refuse('Missing: ' . join(', ', @missing) . ".\nmake deps installs what "
        . "is needed, or: apt-get install @missing") if @missing;

    my @built = ("$dir/build/pinaudctl", $ENV{PINAUD_MODULE}
        // "$dir/build/ngx_pinaud_module.so");

    for my $file (grep { length && !-r } @built) {
        refuse("$file is not built. make builds it.");
    }

    # a unix socket's path has 107 bytes at most
    my $temp = File::Spec->tmpdir;
    refuse("The path of the folder for temporary files is too long for a "
        . "socket in it. Choose another: make run TMPDIR=/tmp")
        if length $temp > 60;
}


sub program {
    my $name = shift;

    my ($found) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH} // '';
    return $found;
}


sub start {
    Pinaud::Nginx::no_tests();

    my $gateway = Pinaud::Gateway->new(
        accounts => { Pinaud::Gateway::account() => { limits => ['100/60s'],
            teams => { growth => [], brand => ['3/60s'] } } },
        limits => ['400/60s'], limits_all => ['100/1s'],
        team_key => '$http_authorization',
        nginx => { start => 0 },
    );

    # the port that was asked for, instead of a free one
    $gateway->nginx->{ports}{http} = $port;
    $gateway->nginx->conf($gateway->http);
    $gateway->nginx->start;

    return $gateway;
}


sub show_start {
    my $account = Pinaud::Gateway::account();
    my $nginx = $gateway->nginx;

    title('ngx_pinaud_module: an egress gateway to Pinterest\'s audiences');
    line('gateway', "http://127.0.0.1:$port  (nginx, pid $nginx->{pid})");
    line('store', 'a Redis of its own, ' . $gateway->redis->url);
    line('Pinterest', 'simulated, https://api.pinterest.com at '
        . $gateway->sim->tls_address);
    line('enrolled', 'credential main (400/60s), account '
        . "$account (100/60s)");
    line('', 'teams growth (no limit of its own) and brand (3/60s)');
    line('a team has', 'a base URL and a team key, as growth\'s:');
    line('', $keys{growth});
    line('', 'Pinterest\'s token is in the store, sealed, and nobody\'s.');
}


sub show_lines {
    my $account = Pinaud::Gateway::account();
    my $dir = project_dir();
    my $url = "http://127.0.0.1:$port";
    my $create = "$url/v5/ad_accounts/$account/audiences";

    my $body = q('{"name": "N", "audience_type": "VISITOR", "rule": )
        . q({"visitor_source_id": ["1"], "retention_days": "30"}}');

    title('Now you: each of these lines works in another terminal');

    my @lines = (
        ['create an audience', <<EOF],
curl -i $create \\
  -H 'Authorization: Bearer $keys{growth}' \\
  -H 'Content-Type: application/json' \\
  -d $body
EOF
        ['a dry run: what would become of it, without sending it', <<EOF],
curl $create \\
  -H 'Authorization: Bearer $keys{growth}' -H 'Pinaud-Dry-Run: ?1' \\
  -H 'Content-Type: application/json' \\
  -d $body
EOF
        ['what was created', <<EOF],
curl $create -H 'Authorization: Bearer $keys{growth}'
EOF
        ['who used how much; what happened so far', <<EOF],
PINAUD_REDIS=@{[ $gateway->redis->url ]} $dir/build/pinaudctl usage
curl $url/metrics
EOF
    );

    for my $part (@lines) {
        my ($name, $command) = @$part;

        say_line('');
        say_line('  ' . dim("# $name"));
        say_line("  $_") for split /\n/, $command;
    }

    say_line('');
    say_line(bold('Up until Ctrl-C.') . ' What you send shows below.');
}


# Follows the log, until a signal comes or what it started is gone.

sub stay {
    my $path = $gateway->nginx->dir . '/logs/access.log';
    my $seen = -s $path || 0;

    $SIG{INT} = sub {
        say_line("\nStopped.");
        exit($faults ? 1 : 0);
    };

    while (alive($gateway->nginx->{pid}) && alive($gateway->redis->pid)
        && alive($gateway->sim->pid))
    {
        sleep 0.3;

        my $text = slurp($path);
        my $new = substr $text, $seen;
        $new =~ s/[^\n]*\z//;
        $seen += length $new;

        show_request($_) for split /\n/, $new;
    }

    refuse('Something that was started has ended: this ends, too.');
}


sub show_request {
    my $entry = eval { JSON::PP->new->utf8->decode($_[0]) } or return;

    my $colour = $entry->{status} < 400 ? \&green : \&red;

    say_line(sprintf '  %s  %-7s %s %s', $colour->($entry->{status}),
        $entry->{team} || '-', "$entry->{method} $entry->{path}",
        dim(join ' ', grep { length } $entry->{outcome}, $entry->{edits}
            ? 'edits: ' . $entry->{edits} : ''));
}
