#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The simulator of Pinterest by itself, for trying things by hand.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Getopt::Long;
use Pinaud::Pinterest;

my $usage = <<EOF;
usage: $0 [--port N] [--tls-port N] [--token TEXT]... [--verbose]
          [--client ID:SECRET] [--refresh-token TEXT] [--set NAME=VALUE]...

Ports are free ones unless told. --set: a limit (ads_write=5/60), a setting of
the token endpoint (rotation=kill) or of the checks (strict=1). Ctrl-C ends it.
EOF

GetOptions(\my %opt, 'port=i', 'tls-port=i', 'token=s@', 'verbose',
    'client=s', 'refresh-token=s', 'set=s%', 'help') && !@ARGV
    or do { print STDERR $usage; exit 2 };

if ($opt{help}) {
    print $usage;
    exit 0;
}

$| = 1;

my $sim = eval {
    Pinaud::Pinterest->new(port => $opt{port}, tls_port => $opt{'tls-port'},
        $opt{verbose} ? (on_answer => \&show) : ());
} or die $@;

my @tokens = map { $sim->token(token => $_) } @{ $opt{token} || [] };
@tokens = $sim->token if !@tokens;

my ($id, $secret) = split /:/, $opt{client} // 'app:secret', 2;
$sim->client(id => $id, secret => $secret // '');
my $refresh = $sim->refresh_token(client => $id,
    token => $opt{'refresh-token'});

for my $name (sort keys %{ $opt{set} || {} }) {
    my $value = $opt{set}{$name};
    my @known = grep { my $kind = $_; eval { $sim->$kind($name, $value) } }
        qw(limits oauth settings);

    die "no such setting: $name\n" if !@known;
}

print <<EOF;
http://127.0.0.1:@{[ $sim->port ]}/v5
https://api.pinterest.com:@{[ $sim->tls_port ]}/v5  (CA: @{[ $sim->ca ]})
access tokens: @tokens
refresh token: $refresh  (client $id)
EOF

sleep 3600 while 1;


sub show {
    my $record = shift;

    print "\n$record->{head}$record->{body}\n"
        . "-> $record->{status} $record->{answer}\n";
}
