package Pinaud::Docs;

# Copyright (C) the ngx_pinaud_module authors

# The documentation as data, and what of the source it speaks of.
#
#   documents()                 paths, from the project's folder
#   text('docs/callers.md')
#   blocks('README.md')         marked ones: { test, language, text, line }
#   block('README.md', 'enrol') the only one of that mark
#   anchors('README.md')        { heading as in a link => 1 }
#   source('src/gateway/*.c')   all of these, one text
#   strings($source)            its string literals, adjacent ones joined
#   pattern($format)            a regexp for what nginx prints by it
#
# A block to be run has a comment on the line before it, such as
# <!-- test: enrol -->; t/docs.t says what each mark means.

use warnings;
use strict;

use Exporter qw(import);
use Pinaud::Process;

our @EXPORT = qw(documents text blocks block anchors source strings pattern);


sub documents {
    my $dir = project_dir();

    return map { s{^\Q$dir\E/}{}r } glob "$dir/*.md $dir/docs/*.md";
}


sub text {
    my $text = slurp(project_dir() . "/$_[0]");

    utf8::decode($text);
    return $text;
}


sub blocks {
    my $path = shift;

    my $text = text($path);
    my @blocks;

    while ($text =~ /^([ ]*)<!--\ test:\ ([\w.]+)\ -->\n
        (?: \1```(\w*)\n (.*?) ^\1```$ | \1(`[^`\n]+`) )/xmsg)
    {
        my ($indent, $test, $language, $body) = ($1, $2, $3, $4 // $5);
        my $line = 1 + substr($text, 0, $-[0]) =~ tr/\n//;

        $body =~ s/^$indent//mg;
        push @blocks, { file => $path, test => $test, language => $language,
            text => $body, line => $line };
    }

    return @blocks;
}


sub block {
    my ($path, $test) = @_;

    my @found = grep { $_->{test} eq $test } blocks($path);
    die scalar(@found) . " blocks \"$test\" in $path\n" if @found != 1;

    return $found[0]{text};
}


# As GitHub makes them of headings.

sub anchors {
    my $text = text($_[0]);

    $text =~ s/^\s*```.*?^\s*```$//msg;

    return { map { lc($_) => 1 } map {
        s/[^\w\- ]//gr =~ s/ /-/gr
    } $text =~ /^#+ (.+)$/mg };
}


sub source {
    my $dir = project_dir();

    return join "\n", map { slurp($_) } map { glob "$dir/$_" } @_;
}


sub strings {
    my $source = shift;

    my $literal = qr/"(?:[^"\\\n]|\\.)*"/;
    my @strings;

    while ($source =~ /($literal(?:\s+$literal)*)/g) {
        my $string = join '', map { s/^"|"$//gr } $1 =~ /$literal/g;
        push @strings, $string =~ s/\\(.)/$1/gr;
    }

    return @strings;
}


sub pattern {
    my $format = shift;

    my $text = join '.+?', map { quotemeta }
        split /%\*?\d*(?:V|s|ui|uz|ud|uL|d|z|O|i|L)/, $format, -1;

    return qr/^$text$/;
}


1;
