package Pinaud::Show;

# Copyright (C) the ngx_pinaud_module authors

# What the tour prints, and how. Colours only where a person looks at them.
#
#   title('...'); text('...'); line('label', 'text');
#   changes($before, $after, $indent);      lines of both, marked - and +
#   green('text') red yellow dim bold

use warnings;
use strict;

use Exporter qw(import);

our @EXPORT = qw(title text line changes green red yellow dim bold say_line);

my %codes = (bold => 1, dim => 2, red => 31, green => 32, yellow => 33);
my $colour = -t STDOUT && !length($ENV{NO_COLOR} // '')
    && ($ENV{TERM} // '') ne 'dumb';

for my $name (keys %codes) {
    no strict 'refs';
    *$name = sub { $colour ? "\e[$codes{$name}m$_[0]\e[0m" : $_[0] };
}


sub say_line { print "$_[0]\n" }


sub title {
    my $text = shift;

    say_line('');
    say_line(bold($text));
}


sub text {
    my $text = shift;

    say_line("  $_") for split /\n/, $text;
}


# A label of one column and what is beside it, which may have several lines.

sub line {
    my ($label, $text) = @_;

    my ($first, @rest) = split /\n/, $text;

    say_line('  ' . dim(sprintf '%-15s', $label) . ' ' . ($first // ''));
    say_line(' ' x 18 . $_) for @rest;
}


sub changes {
    my ($before, $after) = @_;

    my @before = split /\n/, $before;
    my @after = split /\n/, $after;

    # The gateway's edits keep every line break that is not part of a value
    # that it replaces, hence lines mostly pair; else all of both is shown.

    if (@before != @after) {
        say_line(' ' x 16 . red("- $_")) for @before;
        say_line(' ' x 16 . green("+ $_")) for @after;
        return;
    }

    for my $n (0 .. $#before) {
        if ($before[$n] eq $after[$n]) {
            say_line(' ' x 18 . $before[$n]);
            next;
        }

        say_line(' ' x 16 . red("- $before[$n]"));
        say_line(' ' x 16 . green("+ $after[$n]"));
    }
}


1;
