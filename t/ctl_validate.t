#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl validate: the contract's verdict, on a terminal and for programs.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Ctl;
use Test::More;

my $ctl = Pinaud::Ctl->new(redis => 0, url => 'unix:/nonexistent');

my $good = '{"name": "N", "sharing_type": "CUSTOM", "data_party": "1p",'
    . ' "rule": {"customer_list_id": "5497"}}';
my $edited = '{ "name": "N", "sharing_type": "CUSTOM", "data_party": "1p",'
    . ' "rule": {"seed_id": ["1"], "country": "US", "percentage": "10"} }';
my $bad = '{"name": "N", "sharing_type": "MINE", "rule": {"seed_id": ["1"],'
    . ' "country": "US", "percentage": 11}}';

my $good_file = $ctl->file('good.json', $good);
my $edited_file = $ctl->file('edited.json', "$edited\n");
my $bad_file = $ctl->file('bad.json', $bad);

# accepted: the forwarded body and nothing else on stdout

done($ctl, 0, "$good\n", '', 'valid: as it came', 'validate', $good_file);
done($ctl, 0, "$good\n", '', 'valid: from stdin', qw(validate -),
    { input => $good });
done($ctl, 0, $edited =~ s/"10"/10/r . "\n",
    "$edited_file: /rule/percentage: edited\n", 'valid: edited', 'validate',
    $edited_file);
done($ctl, 0, $good . "\n" . $edited =~ s/"10"/10/r . "\n",
    "$edited_file: /rule/percentage: edited\n", 'valid: two files',
    'validate', $good_file, $edited_file);

# refused: every error

my $errors = qr{^\Q$bad_file\E: /rule/percentage: must be 1 to 10 \(range\)$}m;
my $r = done($ctl, 1, '', $errors, 'refused', 'validate', $bad_file);
is join(' ', sort $r->{err} =~ m{: (/\S*): }g),
    '/data_party /rule/percentage /sharing_type', 'refused: all errors';
unlike $r->{err}, qr/MINE|11/, 'refused: no values';

$r = done($ctl, 1, "$good\n", $errors, 'some are refused', 'validate',
    $bad_file, $good_file);

done($ctl, 1, '', qr/^stdin: byte 1: .* \(syntax\)$/, 'syntax',
    qw(validate -), { input => '{' });
done($ctl, 1, '', qr/^stdin: byte 0: .* \(syntax\)$/, 'nothing',
    qw(validate -), { input => '' });
done($ctl, 1, '', qr/^stdin: the body: .* \(type\)$/, 'not an object',
    qw(validate -), { input => '[]' });
done($ctl, 1, '', qr{^stdin: /a\?\[31mb: }m, 'nothing for the terminal',
    qw(validate -), { input => $good =~ s/\{/{"a\\u001b[31mb": 1, /r });
done($ctl, 1, '', qr/and \d+ more errors$/m, 'many errors', qw(validate -),
    { input => '{' . join(',', map { qq{"x$_": 1} } 1 .. 100) . '}' });
done($ctl, 1, '', qr/nofile: No such file/, 'no file', qw(validate /nofile));
done($ctl, 1, "$good\n", qr/nofile: No such file/, 'no file among others',
    'validate', '/nofile', $good_file);
done($ctl, 2, "$good\n", qr/"-" can be given only once/, 'stdin twice',
    qw(validate - -), { input => $good });

# for programs

$r = $ctl->run('validate', '--json', $edited_file, $bad_file, '-',
    { input => '{' });
is $r->{exit}, 1, '--json: exit code';
is $r->{err}, '', '--json: nothing on stderr';
is_deeply $r->{json}[0], { file => $edited_file, valid => JSON::PP::true(),
    type => 'ACTALIKE', edits => ['/rule/percentage'],
    body => $edited =~ s/"10"/10/r . "\n" }, '--json: valid';
is $r->{json}[1]{file}, $bad_file, '--json: file';
ok !$r->{json}[1]{valid}, '--json: refused';
is $r->{json}[1]{errors_omitted}, 0, '--json: none omitted';
is_deeply [grep { $_->{code} eq 'range' } @{ $r->{json}[1]{errors} }],
    [{ code => 'range', pointer => '/rule/percentage',
        detail => 'must be 1 to 10' }], '--json: an error';
is $r->{json}[2]{errors}[0]{code}, 'syntax', '--json: syntax';
is $r->{json}[2]{errors}[0]{offset}, 1, '--json: offset';
is_deeply $ctl->run('validate', '--json', $good_file)->{json}[0]{edits}, [],
    '--json: no edits';

# numbers keep their digits

my $digits = '{"name": "N", "audience_type": "VISITOR", "rule": {'
    . '"visitor_source_id": "1", "event": "checkout", "event_data":'
    . ' {"value": 116.10, "n": 123456789012345678901234567890}}}';
is $ctl->run(qw(validate --operation audiences/create --json -),
    { input => $digits })->{json}[0]{body}, $digits, '--json: digits';

# options

my $lenient = $good =~ s/"5497"/5497/r;
done($ctl, 1, '', qr{/rule/customer_list_id: .*\(type\)}, 'documented',
    qw(validate -), { input => $lenient });
done($ctl, 0, "$good\n", qr{/rule/customer_list_id: edited}, 'lenient',
    qw(validate --normalize lenient -), { input => $lenient });

my $unknown = $good =~ s/\{/{"x": 1, /r;
done($ctl, 1, '', qr{/x: .*\(unknown\)}, 'unknown members', qw(validate -),
    { input => $unknown });
done($ctl, 0, "$unknown\n", '', 'unknown members forwarded',
    qw(validate --unknown-members forward -), { input => $unknown });

my $of = $good =~ s/\{/{"ad_account_id": "7", /r;
done($ctl, 0, "$of\n", '', 'of no account', qw(validate -), { input => $of });
done($ctl, 0, "$of\n", '', 'of this account', qw(validate --account 7 -),
    { input => $of });
done($ctl, 1, '', qr{/ad_account_id: .*\(conflict\)}, 'of another account',
    qw(validate --account 8 -), { input => $of });

done($ctl, 1, '', qr{/audience_type: is required}, 'the other operation',
    qw(validate --operation audiences/create), $good_file);

my @wrong = (
    [qr/--operation is audiences\/create_custom or audiences\/create/,
        qw(--operation create)],
    [qr/--normalize is documented or lenient/, qw(--normalize off)],
    [qr/--unknown-members is reject or forward/, qw(--unknown-members drop)],
    [qr/an account's id is 1 to 18 digits/, qw(--account x)],
);

for my $case (@wrong) {
    my ($message, @args) = @$case;
    done($ctl, 2, '', $message, "validate @args", 'validate', @args, '-');
}

# the examples with their verdicts

my $examples = "$FindBin::Bin/conformance/bodies.jsonl";
open my $file, '<:raw', $examples or die "$examples: $!";
my (%count, $n);

while (my $line = <$file>) {
    my $case = JSON::PP->new->utf8->decode($line);
    my $body = $case->{body};
    utf8::encode($body);

    my $r = $ctl->run('validate', '--operation', $case->{operation}, '-',
        { input => $body });
    my $exit = $case->{verdict} eq 'refuse' ? 1 : 0;

    is $r->{exit}, $exit, 'example ' . ++$n . ": $case->{verdict}"
        or diag "$body\n$r->{err}$case->{why}";
    $count{$case->{verdict}}++;
}

cmp_ok $count{accept}, '>', 10, 'examples that are accepted';
cmp_ok $count{refuse}, '>', 10, 'examples that are refused';

done_testing;
