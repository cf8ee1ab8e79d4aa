package Pinaud::Load;

# Copyright (C) the ngx_pinaud_module authors

# Requests that come all the time, from processes of their own.
#
#   my $load = Pinaud::Load->new(4, sub { post(...)->{status} });
#   my $result = $load->end;          { 200 => 1234, 503 => 1 }; "lost" is a
#                                     process that told nothing

use warnings;
use strict;

use Pinaud::Process;
use Time::HiRes qw(sleep);


sub new {
    my ($class, $n, $request) = @_;

    my $dir = temp_dir('load');

    for my $i (1 .. $n) {
        daemon(sub {
            my %status;

            while (!-e "$dir/end") {
                $status{ $request->() }++;
                sleep 0.003;
            }

            spew("$dir/$i.part", join ' ', %status);
            rename "$dir/$i.part", "$dir/$i";
        });
    }

    return bless { dir => $dir, n => $n }, $class;
}


sub end {
    my $self = shift;

    my %sum;
    my @files = map { "$self->{dir}/$_" } 1 .. $self->{n};

    spew("$self->{dir}/end", '');
    wait_until(sub { @files == grep { -e } @files }, 15);

    for my $file (@files) {
        my %status = split / /, -e $file ? slurp($file) : 'lost 1';
        $sum{$_} += $status{$_} for keys %status;
    }

    return \%sum;
}


1;
