#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl team key: what it prints and what not, what Redis holds of a key,
# and which one is revoked.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use Pinaud::Ctl;
use Pinaud::Process;
use Test::More;

my $ctl = Pinaud::Ctl->new->enrol;
my $redis = $ctl->redis;
my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/;
my @secret;


# Creates one; whatever is printed from then on may not hold it.

sub create {
    my $r = $ctl->must(qw(team key create), @_);
    my ($key) = $r->{out} =~ /(pinaud_[0-9A-Za-z]{36})/ or die $r->{out};

    push @{ $ctl->{secrets} }, $key;
    return ($key, $r);
}

sub shown { substr $_[0], 0, 15 }
sub record { 'pinaud:team-key:' . sha256_hex($_[0]) }


# create

my ($key, $r) = create('growth');
my $shown = shown($key);

is $r->{out}, "$key\n", 'the key is all of stdout';
is $r->{err}, "This key of team growth is shown this once; it is listed as "
    . "$shown.\n", 'what people need to know is on stderr';

my %record = @{ $redis->cmd('HGETALL', record($key)) };
my $mac = delete $record{mac};

like $mac, qr{^[\w-]+:[A-Za-z0-9+/]{43}=$}, 'a MAC';
like delete $record{created}, qr/^\d{10}$/, 'when it was made';
is_deeply \%record, { format => 1, team => 'growth', prefix => $shown },
    'its record';
is_deeply $redis->cmd('SMEMBERS', 'pinaud:team-keys'), [sha256_hex($key)],
    'the set of all';
is grep({ index($_, substr $key, 15) >= 0 } map { ref $_ ? @$_ : $_ }
    map { $_, $redis->cmd('DUMP', $_) } @{ $redis->cmd('KEYS', '*') }), 0,
    'the key is nowhere';

(my $second, $r) = create('growth', '--json');
is $r->{err}, '', '--json: nothing else';
is_deeply [sort keys %{ $r->{json} }], [qw(created key prefix team)],
    '--json: what is told';
is $r->{json}{key}, $second, '--json: the key';
is $r->{json}{prefix}, shown($second), '--json: its beginning';
is $r->{json}{team}, 'growth', '--json: the team';
like $r->{json}{created}, qr/^$time$/, '--json: the time';
isnt $second, $key, 'another one each time';

my ($brands) = create('brand');

done($ctl, 2, '', qr/a team's name is 1 to 64 letters/, "create: " . s/\n/ and a newline/r,
    qw(team key create), $_) for 'a b', 'x' x 65, '', "growth\n", 'grÖwth';
done($ctl, 2, '', qr/where is the seal key\?/, 'create without a seal key',
    qw(team key create growth), { env => { PINAUD_SEAL_KEY_FILE => undef } });

my $gateway = $ctl->file('gateway.key',
    $ctl->must(qw(seal-key generate --gateway))->{out});
done($ctl, 1, '', qr/its first key is a gateway's/, 'create with a gateway\'s',
    qw(team key create growth), '--seal-key-file', $gateway);
is $redis->cmd('SCARD', 'pinaud:team-keys'), 3, 'of which nothing is left';

SKIP: {
    skip '/dev/full is not there', 2 if !-c '/dev/full';

    $r = $ctl->run(qw(team key create full), { stdout => '/dev/full' });
    is $r->{exit}, 1, 'create: a full disk';
    like $r->{err}, qr/was made and can't be shown again: "pinaudctl team key revoke (pinaud_\w{8})"/,
        'create: says what to do';

    my ($lost) = $r->{err} =~ /revoke (pinaud_\w{8})"/;
    done($ctl, 0, qr/^team key \Q$lost\E: deleted$/m, '', 'which works',
        qw(team key revoke), $lost);
}

# a stdout that is closed is no connection to Redis

my $line = join ' ', "PINAUD_ENV_FILE=/dev/null", $ctl->{binary},
    qw(team key create closed --redis), $ctl->{url}, '--seal-key-file',
    $ctl->keys;

for (['stdout', '>&-', qr/was made and can't be shown again: "pinaudctl team key revoke (pinaud_\w{8})"/],
    ['stdin and stdout', '<&- >&-', qr/"pinaudctl team key revoke (pinaud_\w{8})"/])
{
    my ($what, $closed, $why) = @$_;
    my $told = qx($line 2>&1 $closed);

    is $? >> 8, 1, "create: no $what";
    like $told, $why, 'is told';
    $ctl->must(qw(team key revoke), $told =~ /revoke (pinaud_\w{8})"/);
}


# list

my @line = map { quotemeta(shown($_->[0])) . " +$_->[1] +$time  ready\n" }
    [$brands, 'brand'], [$key, 'growth'], [$second, 'growth'];

done($ctl, 0, qr/\AKEY +TEAM +CREATED +STATE\n$line[0](?:$line[1]$line[2]|$line[2]$line[1])\z/,
    '', 'list', qw(team key list));
done($ctl, 0, qr/\AKEY.*\n$line[0]\z/, '', 'list of a team',
    qw(team key list brand));
done($ctl, 0, qr/\AKEY.*\n\z/, '', 'list of a team without keys',
    qw(team key list nobody));
done($ctl, 2, '', qr/a team's name is/, 'list: no name', qw(team key list), 'a b');
done($ctl, 0, qr/^\Q$shown\E +growth +$time  not checked$/m, '',
    'list without a seal key', qw(team key list),
    { env => { PINAUD_SEAL_KEY_FILE => undef } });
done($ctl, 0, qr/^\Q$shown\E +growth +$time  ready$/m, '',
    'list with a gateway\'s', qw(team key list), '--seal-key-file', $gateway);

my $other = $ctl->file('other.key',
    $ctl->must(qw(seal-key generate))->{out});
done($ctl, 0, qr/^\Q$shown\E +growth +$time  unknown key$/m, '',
    'list with another seal key', qw(team key list), '--seal-key-file', $other);

my ($item) = grep { $_->{prefix} eq $shown }
    @{ $ctl->must(qw(team key list growth --json))->{json} };
like delete $item->{created}, qr/^$time$/, 'list --json: the time';
is_deeply $item, { prefix => $shown, team => 'growth', state => 'ready',
    sha256 => sha256_hex($key) }, 'list --json';


# records that something else wrote are seen

sub state_with {
    my ($state, $name, %change) = @_;

    my $dump = $redis->cmd('DUMP', record($key));

    for my $field (sort keys %change) {
        defined $change{$field}
            ? $redis->cmd('HSET', record($key), $field, $change{$field})
            : $redis->cmd('HDEL', record($key), $field);
    }

    my ($item) = grep { $_->{sha256} eq sha256_hex($key) }
        @{ $ctl->must(qw(team key list --json))->{json} };
    is $item->{state}, $state, "a record with $name: $state";

    $redis->cmd('RESTORE', record($key), 0, $dump, 'REPLACE');
    return $item;
}

state_with('ready', 'nothing changed');
state_with('altered', 'another team', team => 'brand');
state_with('altered', 'another key\'s MAC',
    mac => $redis->cmd('HGET', record($second), 'mac'));
state_with('altered', 'no MAC', mac => undef);
state_with('damaged', 'another format', format => 2);
state_with('damaged', 'no team', team => undef);
is state_with('damaged', 'a terminal\'s bytes', prefix => "\e[31m")->{prefix},
    substr(sha256_hex($key), 0, 15), 'which are not shown';

$redis->cmd('SADD', 'pinaud:team-keys', 'a' x 64);
is scalar @{ $ctl->must(qw(team key list --json))->{json} }, 3,
    'one without a record is left out';
$redis->cmd('SREM', 'pinaud:team-keys', 'a' x 64);

$redis->cmd('SADD', 'pinaud:team-keys', 'nonsense');
done($ctl, 3, '', qr/pinaud:team-keys has a member that is no name/,
    'a set with nonsense', qw(team key list));
$redis->cmd('SREM', 'pinaud:team-keys', 'nonsense');


# team delete

done($ctl, 1, '', qr/team growth has 2 keys: pinaud_\w{8}, pinaud_\w{8}\. "pinaudctl team key revoke" deletes them/,
    'a team with keys stays', qw(team delete growth));
like $ctl->must(qw(team list))->{out}, qr/^growth /m, 'with its accounts';
$ctl->must(qw(account put 7 --credential main));
$ctl->must(qw(team put growth --account 7));
done($ctl, 0, qr/^team growth of account 7: deleted$/m, '',
    'one of two accounts is taken', qw(team delete growth --account 7));
done($ctl, 0, qr/^team growth of account \d+: deleted$/m,
    qr/\Ateam growth has 2 keys: pinaud_\w{8}, pinaud_\w{8}\. It has no account any more; .*revoke" deletes them\n\z/,
    'the last is taken', qw(team delete growth --account), account);
$ctl->must(qw(team put growth --account), account);


# policy apply --prune

my $all = $ctl->must(qw(policy export))->{json};

sub prune {
    my ($verb, %teams) = @_;

    $all->{accounts} = { 7 => { credential => 'main', teams => \%teams } };
    return 'policy', $verb, '--prune', $ctl->file('policy.json',
        JSON::PP->new->encode($all));
}

for my $verb (qw(diff apply)) {
    done($ctl, 1, '', qr{policy\.json: /accounts: team growth has 2 keys: pinaud_\w{8}, pinaud_\w{8}, and no account here: name it, or delete them by "pinaudctl team key revoke"\n.*1 error, nothing was changed}s,
        "policy $verb --prune: a team with keys", prune($verb, new => {}));
}

like $ctl->must(qw(team list))->{out}, qr/^growth +@{[ account ]} /m,
    'policy apply --prune: nothing was changed';
done($ctl, 0, qr/team growth of account 7: created/, '',
    'policy apply --prune: it has another account', prune('apply', growth => {}));
$ctl->must(qw(account put), account, qw(--credential main));
$ctl->must(qw(team put growth --account), account);
$ctl->must(qw(team delete growth --account 7));


# revoke

for my $wrong ($key, "$key\n", 'growth', 'pinaud_', '', 'abcdef0', "$shown-",
    "${shown}a", 'pinaud_%')
{
    $r = $ctl->run(qw(team key revoke), $wrong);
    is $r->{exit}, 2, 'revoke: what is no beginning of a key';
    like $r->{err}, qr/PREFIX is at most the first 15 characters/,
        'revoke: says so, and does not repeat it';
}

done($ctl, 1, '', qr/there is no key pinaud_0{8}$/, 'revoke: nobody\'s',
    qw(team key revoke), 'pinaud_00000000');

# two of the same beginning, by a change of what is shown of them

$redis->cmd('HSET', record($second), 'prefix',
    substr($shown, 0, 14) . ($shown =~ /x$/ ? 'y' : 'x'));

$r = done($ctl, 1, '', qr/\Q@{[ substr $shown, 0, 14 ]}\E may be any of 2 keys: pinaud_\w+ of team growth \(SHA-256 \w{16}\), pinaud_/,
    'revoke: either of two', qw(team key revoke), substr $shown, 0, 14);
is $redis->cmd('SCARD', 'pinaud:team-keys'), 3, 'nothing is revoked';

$redis->cmd('HSET', record($second), 'prefix', $shown);
done($ctl, 1, '', qr/may be any of 2 keys/, 'revoke: both of them are so listed',
    qw(team key revoke), $shown);
done($ctl, 0, qr/^team key \Q$shown\E: deleted$/m, '', 'revoke: by its SHA-256',
    qw(team key revoke), substr sha256_hex($second), 0, 16);
is $redis->cmd('EXISTS', record($second)), 0, 'revoked';
is $redis->cmd('EXISTS', record($key)), 1, 'the other is not';

my $begin = substr $shown, 0, 12;
done($ctl, 0, "team key $shown: deleted\n  team           growth → none\n", '',
    'revoke: by less than is shown, where it is one\'s only',
    qw(team key revoke), $begin);
is $redis->cmd('EXISTS', record($key)), 0, 'revoked';

done($ctl, 1, '', qr/there is no key/, 'revoke: again', qw(team key revoke),
    $begin);

$redis->cmd('HSET', record($brands), 'prefix', "\e[31m");
done($ctl, 0, qr/: deleted$/m, '', 'revoke: a damaged one, as list shows it',
    qw(team key revoke), $ctl->must(qw(team key list --json))->{json}[0]{prefix});
is_deeply $redis->cmd('KEYS', 'pinaud:team-key*'), [], 'nothing is left';

done($ctl, 0, qr/^team growth of account \d+: deleted$/m, '',
    'and the team may go', qw(team delete growth));

done_testing;
