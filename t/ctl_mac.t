#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# Accounts and teams that somebody wrote who has no seal key: what pinaudctl
# says of them, does not build upon, and puts right.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Ctl;
use Pinaud::Process;
use Test::More;

my $ctl = Pinaud::Ctl->new;
my $redis = $ctl->redis;
my $id = account;
my $key = "pinaud:account:$id";
my $changed = qr/^pinaudctl: account $id was changed by something else than pinaudctl, or with another seal key: /;

sub record { return { @{ $redis->cmd('HGETALL', $_[0] // $key) } } }
sub set { $redis->cmd('HSET', $key, @_) }


# Whether each MAC of the record is right.

sub signed {
    my $record = record();
    my $again = $ctl->seal->sign($record, $id);

    is_deeply $record, $again, shift;
}


$ctl->must(qw(credential put), $_) for qw(main other);
$ctl->must('account', 'put', $id, qw(--credential main --limit 300/60s));
signed('account put');
$ctl->must(qw(team put growth --account), $id);
$ctl->must(qw(team put brand --limit 5/1s --reserve 20 --account), $id);
signed('team put, with a reserve');
is scalar(grep { /^mac/ } keys %{ record() }), 3, 'a mac each';

$ctl->must('account', 'put', $id, qw(--credential other));
signed('account put: another credential');
$ctl->must('account', 'put', $id, qw(--limit 200/60s));
signed('account put: another limit');
$ctl->must(qw(team put growth --reserve 5 --account), $id);
signed('team put: another reserve');
$ctl->must(qw(team delete growth --account), $id);
signed('team delete');
is_deeply [grep { /growth/ } keys %{ record() }], [], 'team delete: its mac';
$ctl->must(qw(team put brand --reserve none --account), $id);
signed('team put: no reserve');
$ctl->must(qw(team put brand --reserve 20 --account), $id);
$ctl->must('account', 'put', $id, qw(--credential main));
my $good = record();


# who may write

my $gateway = $ctl->file('gateway.key',
    $ctl->must(qw(seal-key generate --gateway))->{out});
my $other = $ctl->file('other.key', $ctl->must(qw(seal-key generate))->{out});
my $document = $ctl->file('policy.json', $ctl->must(qw(policy export))->{out});

for my $args ([qw(account put), $id, qw(--limit 1/1s)],
    [qw(team put brand --account), $id, qw(--limit 1/1s)],
    [qw(team delete brand)], [qw(policy apply), $document],
    [qw(policy diff), $document])
{
    done($ctl, 2, '', qr/where is the seal key\?/, "@$args: without a key",
        @$args, { env => { PINAUD_SEAL_KEY_FILE => undef } });
    done($ctl, 1, '', qr/its first key is a gateway's/,
        "@$args: with a gateway's", @$args, '--seal-key-file', $gateway);
}

for my $args ([qw(account list)], ['account', 'show', $id], [qw(team list)],
    [qw(usage)], [qw(policy export)])
{
    done($ctl, 0, qr/./, '', "@$args: without a key", @$args,
        { env => { PINAUD_SEAL_KEY_FILE => undef } });
    done($ctl, 0, qr/./, '', "@$args: with a gateway's", @$args,
        '--seal-key-file', $gateway);
}

is_deeply record(), $good, 'nothing was changed';


# what somebody wrote: [what], what of it is wrong, whether the teams are, too

my %forged = (
    'another credential' => [[credential => 'other'],
        'account, team brand'],
    'a limit' => [[limits => '1000000/60'], 'account'],
    'no reserves' => [[reserved => '0'], 'account'],
    'a team' => [['team:brand' => '100000/1 reserve=20'], 'team brand'],
    'a mac' => [[mac => $good->{'mac:brand'}], 'account'],
    'a mac of nothing' => [['mac:brand' => 'x'], 'team brand'],
);

for my $name (sort keys %forged) {
    my ($fields, $wrong) = @{ $forged{$name} };

    set(@$fields);
    my $before = record();

    done($ctl, 0, qr/^wrong mac +\Q$wrong\E\n/m, '', "$name: show",
        'account', 'show', $id);
    done($ctl, 0, qr/^\{/, qr/^account $id was changed by .*: read it before you apply it\n/,
        "$name: export", qw(policy export));

    done($ctl, 1, '', $changed, "$name: @$_", @$_) for
        [qw(account put), $id, qw(--credential main --limit 200/60s)],
        [qw(team put new --account), $id];
    is_deeply record(), $before, "$name: nothing is built upon it";

    my $r = done($ctl, 1, qr/^  mac +wrong → right$/m, '', "$name: diff",
        qw(policy diff), $document);
    my $lines = $r->{out} =~ s/would be //gr;
    is_deeply record(), $before, "$name: diff changes nothing";
    done($ctl, 0, $lines, '', "$name: apply", qw(policy apply), $document);
    is_deeply record(), $good, "$name: it is as it was";
    done($ctl, 0, "Nothing to change.\n", '', "$name: and stays",
        qw(policy apply), $document);
}


# a team that the file does not name

set('team:spy' => '');
done($ctl, 1, '', qr{/accounts/$id/teams: do not name spy, which has a wrong MAC in Redis: name it, or delete it with --prune\n},
    'a foreign team: apply', qw(policy apply), $document);
is_deeply record(), { %$good, 'team:spy' => '' }, 'nothing was changed';
done($ctl, 0, qr/^team spy of account $id: deleted$/m, '',
    'a foreign team: apply --prune', qw(policy apply --prune), $document);
is_deeply record(), $good, 'and it is gone';

set('team:spy' => '');
done($ctl, 0, "team spy of account $id: deleted\n", '',
    'a foreign team: delete', qw(team delete spy));
is_deeply record(), $good, 'that is all';


# deleting a team makes nothing right that was wrong

set(credential => 'other');
done($ctl, 0, qr/deleted/, '', 'delete: in a forged account',
    qw(team delete brand));
is_deeply [map { record()->{$_} } qw(credential reserved mac)],
    ['other', undef, $good->{mac}], 'delete: the account stays wrong';
done($ctl, 0, qr/^wrong mac +account\n/m, '', 'delete: show', 'account',
    'show', $id);
done($ctl, 0, "account $id: deleted\n", '', 'delete: the account itself',
    'account', 'delete', $id);
done($ctl, 0, qr/created/, '', 'and all of it anew', qw(policy apply),
    $document);
is_deeply record(), $good, 'as it was';


# another key: what it made is read while the key is in the file

my $both = $ctl->file('both.key', slurp($other) . slurp($ctl->keys));

done($ctl, 0, qr/^wrong mac +account, team brand\n/m, '', 'another key: show',
    'account', 'show', $id, '--seal-key-file', $other);
done($ctl, 0, "Nothing to change.\n", '', 'a new key first: apply',
    qw(policy apply), $document, '--seal-key-file', $both);
is_deeply record(), $good, 'and nothing was changed';
$ctl->must('account', 'put', $id, qw(--limit 100/60s --seal-key-file), $both);
my $new = Pinaud::Seal->new(slurp($other));
is record()->{mac}, $new->account_mac($id, qw(main 100/60 20)),
    'what is written has one by the first key';
is record()->{'mac:brand'}, $good->{'mac:brand'}, 'the rest stays';
done($ctl, 0, qr/^wrong mac +account\n/m, '', 'the old key alone',
    'account', 'show', $id);

# as pinaudctl wrote it before there were MACs

$ctl->must('account', 'put', $id, qw(--limit 200/60s --seal-key-file), $both);
$redis->cmd('HDEL', $key, 'mac', 'mac:brand');
done($ctl, 0, qr/^account $id: changed\n  mac +wrong → right\nteam brand of account $id: changed\n  mac +wrong → right\n\z/m,
    '', 'no MACs: apply', qw(policy apply), $document);
is_deeply record(), $good, 'no MACs: they are made';

done_testing;
