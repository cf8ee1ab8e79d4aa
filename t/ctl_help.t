#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl: help, the command line, where settings come from.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Ctl;
use Pinaud::Process;
use Test::More;

my $ctl = Pinaud::Ctl->new;
my $none = { env => { PINAUD_REDIS => undef, PINAUD_SEAL_KEY_FILE => undef } };

my @commands = (map({ "seal-key $_" } qw(generate list reseal)),
    map({ "credential $_" } qw(put authorize
    list show refresh delete)), map({ "account $_" } qw(put list show delete)), map({ "team $_" }
    qw(put list delete)), map({ "team key $_" } qw(create list revoke)),
    map({ "policy $_" } qw(export diff apply)), 'usage',
    'validate', 'agent', 'doctor');

# help: the whole, of a noun, of a command; nothing else is needed for it

for my $args (['help'], ['--help'], ['-h']) {
    my $r = $ctl->run(@$args, $none);

    is $r->{exit}, 0, "@$args";
    is $r->{err}, '', "@$args: nothing on stderr";
    like $r->{out}, qr/^  \Q$_\E +\S/m, "@$args: $_" for @commands;
    like $r->{out}, qr/--seal-key-file FILE.*PINAUD_SEAL_KEY_FILE/s,
        "@$args: options and their variables";
    unlike $r->{out}, qr/.{81}/, "@$args: fits a terminal";
}

for my $noun (qw(seal-key credential account team policy usage cooldown validate agent doctor)) {
    for my $args (["help", $noun], [$noun, '--help'], [$noun, '-h']) {
        my $r = $ctl->run(@$args, $none);

        is $r->{exit}, 0, "@$args";
        is $r->{err}, '', "@$args: nothing on stderr";
        like $r->{out}, qr/^Usage: pinaudctl \Q$_\E( |$)/m, "@$args: $_"
            for grep { /^$noun\b/ } @commands;
        unlike $r->{out}, qr/.{81}/, "@$args: fits a terminal";
    }
}

for my $command (grep { / / } @commands) {
    my @words = split / /, $command;
    my $r = $ctl->run(@words, '--help', $none);

    is $r->{exit}, 0, "$command --help";
    like $r->{out}, qr/\AUsage: pinaudctl $command\b/, "$command --help: usage";
    is(() = $r->{out} =~ /^Usage:/mg, 1, "$command --help: it alone");
    is $ctl->run('help', @words, $none)->{out}, $r->{out}, "help $command";
}

# what is no command

my @wrong = (
    [qr/^pinaudctl: which command\? See "pinaudctl help"$/],
    [qr/there is no command ""/, ''],
    [qr/there is no command "credential get"; see "pinaudctl credential --help"/,
        qw(credential get main)],
    [qr/there is no command "team key delete"; see "pinaudctl team --help"/,
        qw(team key delete growth)],
    [qr/there is no command "team ke"/, qw(team ke create growth)],
    [qr/team key needs a verb; see "pinaudctl team --help"/, qw(team key)],
    [qr/too few arguments: "pinaudctl team key create NAME"/,
        qw(team key create)],
    [qr/too many arguments: "pinaudctl team key list \[NAME\]"/,
        qw(team key list a b)],
    [qr/"team key list" has no option --account/,
        qw(team key list --account 1)],
    [qr/account needs a verb; see "pinaudctl account --help"/, 'account'],
    [qr/there is no help for that/, qw(help nothing)],
    [qr/there is no help for that/, qw(help account put more words)],
    [qr/there is no command "account put more"/, qw(help account put more)],
    [qr/there is no command "account nothing"/, qw(help account nothing)],
    [qr/there is no command "team key more"/,
        qw(help team key more)],
    [qr/too few arguments: "pinaudctl account show ID"/, qw(account show)],
    [qr/too many arguments: "pinaudctl account show ID"/,
        qw(account show 1 2)],
    [qr/too many arguments: "pinaudctl usage \[ACCOUNT\]"/, qw(usage 1 2)],
    [qr/too many arguments: "pinaudctl account list"/, qw(account list 1)],
    [qr/too few arguments: "pinaudctl validate FILE\.\.\."/, 'validate'],
    [qr/"account list" has no option --limit; see "pinaudctl account --help"/,
        qw(account list --limit 1/1s)],
    [qr/there is no option --limit before the command/,
        qw(--limit 1/1s account put 1)],
    [qr/"usage" has no option --wat;/, qw(usage --wat)],
    [qr/there is no option --watch before the command/, qw(--watch usage)],
    [qr/"account put" has no option --lim/, qw(account put 1 --lim 1/1s)],
    [qr/"-x": options begin with two dashes/, qw(account list -x)],
    [qr/--credential needs its NAME/, qw(account put 1 --credential)],
    [qr/--credential needs its NAME/, qw(account put 1 --credential=)],
    [qr/--credential needs its NAME/, qw(account put 1 --credential), ''],
    [qr/--credential is given twice/,
        qw(account put 1 --credential a --credential b)],
    [qr/--json takes no value/, qw(--json=1 account list)],
    [qr/--json is given twice/, qw(--json account list --json)],
);

for my $case (@wrong) {
    my ($message, @args) = @$case;
    done($ctl, 2, '', $message, "wrong: @args", @args);
}

# options go anywhere, with "=" or without; "--" ends them

my @places = (
    ['--redis', $ctl->redis->url, 'account', 'list',
        { env => { PINAUD_REDIS => undef } }],
    ['account', '--redis=' . $ctl->redis->url, 'list',
        { env => { PINAUD_REDIS => undef } }],
    ['account', 'list', '--redis', $ctl->redis->url,
        { env => { PINAUD_REDIS => undef } }],
    ['account', 'list', '--'],
);

for my $case (@places) {
    done($ctl, 0, qr/^ACCOUNT/, '', "options: @$case", @$case);
}

done($ctl, 2, '', qr/an account's id is 1 to 18 digits/, 'after "--"',
    'account', 'show', '--', '--json');

# settings: option, else variable, else file

my $wrong = 'unix:/nonexistent';
my $env = $ctl->file('env', join "\n", '# settings', '', "PINAUD_REDIS=$wrong",
    'OTHER=1', '  PINAUD_REDIS="' . $ctl->redis->url . '"  ', 'PINAUD_REDI=x',
    'PINAUD_SEAL_KEY_FILE=');

done($ctl, 0, qr/^ACCOUNT/, '', 'from the file', 'account', 'list',
    { env => { PINAUD_REDIS => undef, PINAUD_ENV_FILE => $env } });
done($ctl, 0, qr/^ACCOUNT/, '', 'an empty variable is none', 'account',
    'list', { env => { PINAUD_REDIS => '', PINAUD_ENV_FILE => $env } });
done($ctl, 3, '', qr{Redis at unix:/nonexistent}, 'a variable goes first',
    'account', 'list',
    { env => { PINAUD_REDIS => $wrong, PINAUD_ENV_FILE => $env } });
done($ctl, 0, qr/^ACCOUNT/, '', 'an option goes first', 'account', 'list',
    '--redis', $ctl->redis->url, { env => { PINAUD_REDIS => $wrong } });
done($ctl, 2, '', qr/where is Redis\? Tell it by --redis URL, PINAUD_REDIS/,
    'no Redis told', 'account', 'list', $none);
done($ctl, 2, '', qr/where is Redis\?/, 'no such file', 'account', 'list',
    { env => { PINAUD_REDIS => undef, PINAUD_ENV_FILE => '/nonexistent' } });
done($ctl, 2, '', qr/where is the seal key\? Tell it by --seal-key-file/,
    'no seal key told',
    qw(credential put main --access-token-file -), { input => 'x',
        env => { PINAUD_SEAL_KEY_FILE => undef } });

# wrong URLs

my @urls = (
    ['localhost', qr/--redis: a store's URL is redis:/],
    ['redis://u:hunter2@h', qr/\A(?!.*hunter2).*a password in the URL is refused/s],
    ['redis://h foo=bar', qr/a store's URL is redis:/],
    ['redis://h/1 mode=cluster', qr/takes no database in a cluster/],
    ['redis://a mode=sentinel', qr/with "mode=sentinel" needs "master=NAME"/],
    ['redis://u@a redis://b mode=sentinel master=m', qr/takes the same user and database/],
    ['redis://a redis://b', qr/with several URLs needs "mode=/],
    ['redis://u@h', qr/the user in --redis has no password/],
);

done($ctl, 2, '', $_->[1], "--redis $_->[0]", '--redis', $_->[0], 'account',
    'list') for @urls;

# a full disk is no success

SKIP: {
    skip '/dev/full is not there', 2 if !-c '/dev/full';

    for my $args ([qw(account list)], [qw(seal-key generate)]) {
        my $r = $ctl->run(@$args, { stdout => '/dev/full' });
        is $r->{exit}, 1, "@$args: a full disk";
        like $r->{err}, qr/cannot write to stdout/, "@$args: says so";
    }
}

done_testing;
