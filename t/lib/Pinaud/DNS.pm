package Pinaud::DNS;

# Copyright (C) the ngx_pinaud_module authors

# A name server that has one address for any name, or does not answer.
#
#   my $dns = Pinaud::DNS->new;         127.0.0.1
#   $dns->address                       of nginx's "resolver"
#   $dns->say('127.0.0.2')              from now on; '': no answer

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use Pinaud::Process;
use Socket qw(inet_aton);


sub new {
    my $class = shift;

    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        Proto => 'udp') or die "socket: $!";
    my $file = temp_dir('dns') . '/address';

    spew($file, '127.0.0.1');

    my $pid = Pinaud::Process::daemon(sub {
        my $parent = getppid;

        while (getppid == $parent) {
            next if !IO::Select->new($socket)->can_read(0.5);
            my $from = recv $socket, my $query, 512, 0 or next;
            my $address = slurp($file);
            next if $address eq '';

            my ($question) = substr($query, 12) =~ /^((?:[^\0].*?)?\0.{4})/s;
            send $socket, substr($query, 0, 2) . "\x81\x80\0\1\0\1\0\0\0\0"
                . "$question\xc0\x0c\0\1\0\1\0\0\0\1\0\4"
                . inet_aton($address), 0, $from;
        }
    });

    return bless { port => $socket->sockport, file => $file, pid => $pid },
        $class;
}


sub address { "127.0.0.1:$_[0]{port}" }
sub say { spew($_[0]{file}, $_[1]) }


1;
