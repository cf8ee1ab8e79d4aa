#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl seal-key and credential: what is kept, what is told, what is not.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(hmac_sha256 sha256_hex);
use JSON::PP ();
use MIME::Base64 qw(decode_base64 encode_base64);
use Pinaud::Ctl;
use Pinaud::Process;
use Test::More;

my $ctl = Pinaud::Ctl->new;
my $redis = $ctl->redis;
my $token = $ctl->file('token', TOKEN . "\n");
my $print = substr sha256_hex(TOKEN), 0, 8;

sub record { return { @{ $redis->cmd('HGETALL', "pinaud:credential:{$_[0]}") } } }
sub secret { return { @{ $redis->cmd('HGETALL', "pinaud:secret:{$_[0]}") } } }

# seal-key generate: a line and nothing else

my %seen;

for (1 .. 3) {
    my $r = $ctl->run(qw(seal-key generate));

    is $r->{exit}, 0, 'seal-key generate';
    is $r->{err}, '', 'nothing on stderr';
    like $r->{out}, qr{^20\d{6}-[0-9a-f]{4}:[A-Za-z0-9+/]{43}=\n\z}, 'a line';
    is length(decode_base64((split /:/, $r->{out})[1])), 32, '32 bytes';
    ok !$seen{$r->{out}}++, 'another one each time';
}

# what gateways need of it: by RFC 5869, and nothing of the key itself

my $master = slurp($ctl->keys);
my $two = $ctl->file('two.key', "# new\n" . $ctl->run(qw(seal-key generate))->{out}
    . $master);

for my $line (split /^/, $master) {
    my ($id, $key) = $line =~ /^(.+?):(.+)$/;
    my $prk = hmac_sha256(decode_base64($key), "\0" x 32);
    my $gateway = encode_base64(hmac_sha256("pinaud gateway\1", $prk), '');
    my $r = $ctl->run(qw(seal-key generate --gateway));

    is $r->{exit}, 0, 'seal-key generate --gateway';
    is $r->{err}, '', 'nothing on stderr';
    is $r->{out}, "$id:gateway:$gateway\n", 'the key of gateways';

    $r = $ctl->run(qw(seal-key generate --gateway --seal-key-file), $two);
    like $r->{out}, qr/\A20[^:]+:gateway:[^:]{44}\n\Q$id:gateway:$gateway\E\n\z/,
        'of each key, in their order';

    my $gateways = $ctl->file('gateway.key', $r->{out});
    is $ctl->run(qw(seal-key generate --gateway --seal-key-file), $gateways)->{out},
        $r->{out}, 'of keys of gateways: the same';
}

my $gateways = $ctl->file('gateway.key',
    $ctl->run(qw(seal-key generate --gateway))->{out});

done($ctl, 1, '', qr/cannot write to stdout/, 'generate --gateway: disk full',
    qw(seal-key generate --gateway), { stdout => '/dev/full' });
done($ctl, 2, '', qr/where is the seal key/, 'generate --gateway: of what',
    qw(seal-key generate --gateway), { env => { PINAUD_SEAL_KEY_FILE => undef } });
done($ctl, 1, '', qr/line 1: is not "id:base64"/, 'generate --gateway: of junk',
    qw(seal-key generate --gateway --seal-key-file), $ctl->file('junk', "junk\n"));

# a new one: what it is by default

my $r = done($ctl, 0, qr/^credential main: created$/m, '', 'put: new',
    qw(credential put main --access-token-file), $token, qw(--expires-in 3600));

like $r->{out}, qr/^  $_/m, "put: $_" for 'tier +standard', 'limit +400\/60s',
    'limit-all +100\/1s', "access-token +version 1, fingerprint $print",
    'expires +20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ';

my $record = record('main');
my $now = $redis->cmd('TIME')->[0];

is_deeply { %$record, token => undef, expires => undef }, { format => 1,
    version => 1, token => undef, expires => undef, tier => 'standard',
    limits => '400/60', limits_all => '100/1' }, 'put: the record';
ok abs($record->{expires} - $now - 3600) <= 2, 'put: its expiry';
is_deeply $redis->cmd('SMEMBERS', 'pinaud:credentials'), ['main'],
    'put: in the set';
is_deeply secret('main'), {}, 'put: no other record';

my ($id) = slurp($ctl->keys) =~ /^([^:]+)/;
is length($record->{token}), 2 + length($id) + 12 + length(TOKEN) + 16,
    'put: sealed length';
like $record->{token}, qr/\A\x01.\Q$id\E/s, 'put: sealed by the first key';
is index($record->{token}, TOKEN), -1, 'put: not in the clear';

# what is not named stays, what changes is told

$r = done($ctl, 0, "credential main: changed\n"
    . "  limit          400/60s → 200/60s 5/1s\n", '', 'put: limits',
    qw(credential put main --limit 200/60s --limit 5/1s));
is_deeply record('main'), { %$record, limits => '200/60 5/1' },
    'put: no other field';

done($ctl, 0, "Nothing to change.\n", '', 'put: the same again',
    qw(credential put main --limit 200/60s --limit 5/1s));
done($ctl, 0, "Nothing to change.\n", '', 'put: nothing named',
    qw(credential put main));
done($ctl, 0, qr/limit +200\/60s 5\/1s → none/, '', 'put: none',
    qw(credential put main --limit none));
is record('main')->{limits}, '', 'put: no limits';
done($ctl, 0, qr/limit +none → 0\/60s/, '', 'put: stop',
    qw(credential put main --limit 0/60s));
done($ctl, 0, qr/limit-all +100\/1s → 7\/2h/, '', 'put: all calls',
    qw(credential put main --limit-all 7/2h));
is record('main')->{limits_all}, '7/7200', 'put: seconds in the record';

# tiers

done($ctl, 0, qr/tier +standard → trial\n  limit +0\/60s → 300\/1d\n  limit-all +7\/2h → none/,
    '', 'put: trial', qw(credential put main --tier trial));
done($ctl, 0, qr/tier +trial → standard\n  limit +300\/1d → 9\/1s\n  limit-all +none → 100\/1s/,
    '', 'put: tier and a limit',
    qw(credential put main --tier standard --limit 9/1s));
done($ctl, 0, qr/tier +trial\n  limit +300\/1d\n  limit-all +none/, '',
    'put: new and trial', qw(credential put t1 --tier trial));
done($ctl, 0, qr/tier +custom\n  limit +7\/1s\n  limit-all +100\/1s/, '',
    'put: new with a limit', qw(credential put t2 --limit 7/1s));
done($ctl, 0, qr/tier +standard\n  limit +400\/60s\n  limit-all +none/, '',
    'put: new with the other',
    qw(credential put t3 --limit-all none));

# a new token: a new version, and another ciphertext even for the same one

my $before = record('main');
$r = done($ctl, 0, qr/access-token +version 1 → version 2, fingerprint $print/,
    '', 'put: a new token',
    qw(credential put main --access-token-file -), { input => TOKEN . "\r\n" });
like $r->{out}, qr/expires +20\S+Z → not known/, 'put: expiry not known';
is record('main')->{version}, 2, 'put: the next version';
is record('main')->{expires}, 0, 'put: no expiry';
isnt record('main')->{token}, $before->{token}, 'put: another ciphertext';

done($ctl, 0, qr/^  expires +not known → 20\S+Z$/m, '', 'put: expiry alone',
    qw(credential put main --expires-in 86400));
is record('main')->{version}, 2, 'put: of the same version';

# the app and the refresh token

my $refresh = $ctl->file('refresh', REFRESH);
my $app = $ctl->file('app', SECRET . "\n");

done($ctl, 1, '', qr/credential main would have only one of client id and client secret/,
    'put: half of an app', qw(credential put main --client-id 1234));
$r = done($ctl, 0, qr/client-id +1234\n  client-secret +set/, '', 'put: an app',
    qw(credential put main --client-id 1234 --client-secret-file), $app,
    '--refresh-token-file', $refresh, qw(--refresh-expires-in 7200));
like $r->{out}, qr/refresh-token +version 1\n  refresh-expires +20/,
    'put: a refresh token';

my $secret = secret('main');
is join(' ', sort keys %$secret), 'client_id client_secret format refresh '
    . 'refresh_expires refresh_version', 'put: the secret record';
is $secret->{client_id}, 1234, 'put: client id';
is index("@{[ %$secret ]}", $_), -1, 'put: nothing in the clear'
    for SECRET, REFRESH;

done($ctl, 0, qr/client-secret +set → set anew/, '', 'put: another secret',
    qw(credential put main --client-secret-file), $app);
done($ctl, 0, qr/refresh-token +version 1 → version 2\n  refresh-expires +20\S+ → not known/,
    '', 'put: another refresh token',
    qw(credential put main --refresh-token-file), $refresh);

# show and list

$r = done($ctl, 0, qr/^credential +main\nstate +ready\n/, '', 'show',
    qw(credential show main));
like $r->{out}, qr/^$_$/m, "show: $_" for 'version +2',
    'expires +20\S+Z \(in (1d 0h|23h 59m)\)', "sealed by +$id", "fingerprint +$print",
    'client id +1234', 'refresh token +version 2, expires not known',
    'accounts +none', 'limit +9\/1s';

$r = done($ctl, 0, qr/./, '', 'show --json', qw(--json credential show main));
ok abs($r->{json}{expires_in} - 86400) < 20, 'show --json: seconds left';
like $r->{json}{expires}, qr/^20\S+Z$/, 'show --json: expiry';
is_deeply { %{ $r->{json} }, expires => 0, expires_in => 0 }, {
    credential => 'main', state => 'ready', to_do => undef, reason => undef,
    refresh_expires => undef, refresh_expires_in => undef,
    refreshed => undef, failures => 0, attempt => undef,
    tier => 'standard', limits => ['9/1s'], limits_all => ['100/1s'],
    version => 2, expires => 0, expires_in => 0, scope => undef,
    fingerprint => $print, sealed_by => $id, client_id => '1234',
    refresh_token => { version => 2, expires => undef }, accounts => [],
    cooldown => undef, cooldown_all => undef,
}, 'show --json: all of it';

$r = done($ctl, 0, qr/^CREDENTIAL +TIER +LIMIT .*\nmain +standard .* ready\nt1 .* no token\n(?s:.*)\nt1: pinaudctl credential authorize t1\n/,
    '', 'list', qw(credential list));
$r = done($ctl, 0, qr/./, '', 'list --json', qw(credential list --json));
is join(' ', map { $_->{credential} } @{ $r->{json} }), 'main t1 t2 t3',
    'list --json: by name';
is $r->{json}[1]{state}, 'no token', 'list --json: state';
is $r->{json}[1]{to_do}, 'pinaudctl credential authorize t1',
    'list --json: what to do';

$r = done($ctl, 0, qr/./, '', 'put --json',
    qw(credential put t1 --limit 5/1s --json));
is_deeply $r->{json}, { changed => JSON::PP::true(), changes => [
    { kind => 'credential', name => 't1', action => 'changed', fields => [
        { field => 'limit', before => '300/1d', after => '5/1s' } ] } ] },
    'put --json: what changed';
is_deeply done($ctl, 0, qr/./, '', 'put --json again',
    qw(credential put t1 --limit 5/1s --json))->{json},
    { changed => JSON::PP::false(), changes => [] }, 'put --json: nothing';

# a secret that is taken for a name of a file is not repeated

done($ctl, 1, '', qr/^pinaudctl: --access-token-file: there is no such file here/,
    'put: a token for a file', qw(credential put main --access-token-file), TOKEN);
done($ctl, 1, '', qr{^pinaudctl: /none/x: No such file}, 'put: no file',
    qw(credential put main --access-token-file /none/x));

# states, each with what to do

$redis->cmd('HSET', 'pinaud:credential:{main}', 'expires', $now - 90);
done($ctl, 0, qr/state +expired\nto do +pinaudctl credential authorize main\n(?s:.*)expires .*\(1m \d+s ago\)/,
    '', 'show: expired', qw(credential show main));

$redis->cmd('HSET', 'pinaud:credential:{main}', 'expires', 0);
$redis->cmd('HSET', 'pinaud:credential:{t1}', 'version', 2, 'token',
    record('main')->{token});
done($ctl, 0, qr/state +does not open\nto do +pinaudctl credential authorize t1 --client-id ID --client-secret-file FILE \(the token is/, '',
    'show: the token of another record', qw(credential show t1));

$redis->cmd('HSET', 'pinaud:credential:{t1}', 'token', 'x');
done($ctl, 0, qr/state +damaged\nto do +pinaudctl credential authorize t1 --client-id ID --client-secret-file FILE\n/, '', 'show: no sealed token',
    qw(credential show t1));

my $other = $ctl->file('other.key', $ctl->run(qw(seal-key generate))->{out});
my @show = qw(credential show main --seal-key-file);

done($ctl, 0, qr/state +unknown key\nto do +add key \Q$id\E to the seal key file, or: pinaudctl credential authorize main\n/,
    '', 'show: another key', @show, $other);
done($ctl, 0, qr/state +ready\n(?!.*fingerprint)/s, '', 'show: without a key',
    qw(credential show main), { env => { PINAUD_SEAL_KEY_FILE => undef } });

my $both = $ctl->file('both.key', slurp($other) . slurp($ctl->keys));
done($ctl, 0, qr/state +ready/, '', 'show: the new key before the old one',
    @show, $both);

my $line = slurp($other);
$line =~ s/^[^:]+/$id/;
done($ctl, 0, qr/state +does not open/, '', 'show: another key by this id',
    @show, $ctl->file('fake.key', $line));

# by a gateway's file: tokens open, nothing is written

done($ctl, 0, qr/state +ready.*fingerprint +$print/s, '',
    'show: by a file of gateways', @show, $gateways);
done($ctl, 1, '', qr/gateway\.key": its first key is a gateway's, which is for opening access tokens only\. Writing takes the file that "pinaudctl seal-key generate" made\n/,
    'put: by a file of gateways', qw(credential put main --access-token-file),
    $token, '--seal-key-file', $gateways);

# seal key files that are refused: before anything is asked or changed

my %bad = (
    'open.key' => ['x:' . 'A' x 43 . "=\n", 0644,
        qr/open\.key" is open to others: "chmod o-rwx FILE" \(Kubernetes: "defaultMode: 0440"\)/],
    'group.key' => ["junk\n", 0640, qr/line 1: is not "id:base64"/],
    'empty.key' => ['', 0600, qr/has no key: "pinaudctl seal-key generate" makes one/],
);

for my $name (sort keys %bad) {
    my ($text, $mode, $message) = @{ $bad{$name} };
    my $path = $ctl->file($name, $text);
    chmod $mode, $path;

    done($ctl, 1, '', $message, "put: $name",
        qw(credential put main --access-token-file), $token,
        '--seal-key-file', $path);
}

done($ctl, 1, '', qr/no\.key": No such file/, 'put: no key file',
    qw(credential put main --access-token-file), $token, '--seal-key-file',
    $ctl->dir . '/no.key');
is record('main')->{version}, 2, 'put: nothing was changed';

# tokens that are refused: nothing of them is shown

my @bad = (
    ["", qr/--access-token-file: - is empty/],
    ["\n", qr/is empty/],
    [TOKEN . "\n\n", qr/at byte @{[ length TOKEN ]}$/],
    ["pina_SECRET token", qr/a space, at byte 11/],
    ["pina_SECRET\ttoken", qr/at byte 11/],
    ["pina_SECRET\0token", qr/at byte 11/],
    ["pina_SECRET\xe9", qr/not printable ASCII/],
    ["pina_SECRET\r\nX: y", qr/at byte 11/],
    ['A' x 8193, qr/is larger than 8192 bytes/],
    ['A' x 20000, qr/is larger than \d+ bytes/],
);

for my $case (@bad) {
    my ($text, $message) = @$case;

    my $bad = done($ctl, 1, '', $message, 'put: a bad token',
        qw(credential put main --access-token-file -), { input => $text });
    unlike $bad->{err}, qr/SECRET|AAAA/, 'put: of which nothing is shown';
}

done($ctl, 0, qr/version 3/, '', 'put: the longest token',
    qw(credential put main --access-token-file -), { input => 'A' x 8192 });
done($ctl, 1, '', qr/nofile: No such file/, 'put: no file',
    qw(credential put main --access-token-file /nofile));
done($ctl, 1, '', qr/Is a directory/, 'put: a folder',
    qw(credential put main --access-token-file), $ctl->dir);
done($ctl, 2, '', qr/"-" can be given only once/, 'put: stdin twice',
    qw(credential put main --access-token-file - --refresh-token-file -),
    { input => TOKEN });
is record('main')->{version}, 3, 'put: nothing was changed';

# wrong usage

my @wrong = (
    [qr/a credential's name is 1 to 64/, 'bad name'],
    [qr/a credential's name is 1 to 64/, 'n' x 65],
    [qr/a credential's name is 1 to 64/, ''],
    [qr/a credential's name is 1 to 64/, 'a:b'],
    [qr/--limit 400: is not N\/W/, qw(main --limit 400)],
    [qr/--limit 1\/60: needs one unit/, qw(main --limit 1/60)],
    [qr/--limit 1000001\/1s: has an N/, qw(main --limit 1000001/1s)],
    [qr/--limit 1\/2d: has a window/, qw(main --limit 1/2d)],
    [qr/--limit 2\/1m: has the same window/,
        qw(main --limit 1/60s --limit 2/1m)],
    [qr/--limit 1\/5s: is one limit too many/,
        qw(main --limit 1/1s --limit 1/2s --limit 1/3s --limit 1/4s --limit 1/5s)],
    [qr/--limit none goes with no other/, qw(main --limit none --limit 1/1s)],
    [qr/--tier is standard or trial/, qw(main --tier custom)],
    [qr/--expires-in is a number of seconds/, qw(main --expires-in 0)],
    [qr/--expires-in is a number of seconds/, qw(main --expires-in 1h)],
    [qr/--expires-in is a number of seconds/, qw(main --expires-in=-1)],
    [qr/--refresh-expires-in is a number/, qw(main --refresh-expires-in x)],
    [qr/--client-id is 1 to 128/, qw(main --client-id a:b)],
);

for my $case (@wrong) {
    my ($message, @args) = @$case;
    done($ctl, 2, '', $message, "put: @args", qw(credential put), @args);
}

done($ctl, 1, '', qr/--expires-in: credential t2 has no access token/,
    'put: expiry of no token', qw(credential put t2 --expires-in 60));
done($ctl, 1, '', qr/--refresh-expires-in: credential t2 has no refresh token/,
    'put: expiry of no refresh token',
    qw(credential put t2 --refresh-expires-in 60));
done($ctl, 1, '', qr/there is no credential no/, 'show: none',
    qw(credential show no));
done($ctl, 1, '', qr/there is no credential no/, 'delete: none',
    qw(credential delete no));

# delete

$ctl->must(qw(account put), $_, qw(--credential main)) for 1 .. 12;
done($ctl, 1, '', "pinaudctl: credential main is used by 12 accounts: "
    . "1, 10, 11, 12, 2, 3, 4, 5, 6, 7 and 2 more\n", 'delete: in use',
    qw(credential delete main));
$ctl->must(qw(account delete), $_) for 2 .. 12;
done($ctl, 1, '', qr/is used by 1 account: 1$/, 'delete: in use by one',
    qw(credential delete main));
is record('main')->{version}, 3, 'delete: nothing was changed';
$ctl->must(qw(account delete 1));
done($ctl, 0, "credential main: deleted\n", '', 'delete',
    qw(credential delete main));
is_deeply [record('main'), secret('main'),
    $redis->cmd('EXISTS', 'pinaud:accounts:{main}')], [{}, {}, 0],
    'delete: all of it';
is_deeply [sort @{ $redis->cmd('SMEMBERS', 'pinaud:credentials') }],
    [qw(t1 t2 t3)], 'delete: out of the set';

# while it runs, its command line tells no secret, and it makes no core file

SKIP: {
    skip 'no /proc', 4 if !-r "/proc/$$/cmdline";

    $redis->pause;
    my $run = $ctl->begin(qw(credential put main --access-token-file),
        $token);
    my $line = '';
    wait_until(sub { ($line = slurp("/proc/$run->{pid}/cmdline")) =~ /^pinaudctl/ });
    wait_until(sub { slurp("/proc/$run->{pid}/limits") =~ /core file size +0 +0 /i });

    like $line, qr/^pinaudctl\0credential\0put\0/, 'command line: it is there';
    is index($line, TOKEN), -1, 'command line: no token';
    like slurp("/proc/$run->{pid}/limits"), qr/core file size +0 +0 /i,
        'no core file';
    $redis->resume;
    is $ctl->finish($run)->{exit}, 0, 'and then it is done';
}

# what went wrong with other tokens is over; an attempt ends with its own

sub troubled {
    $redis->cmd('HSET', 'pinaud:credential:{ill}', state =>
        'needs-authorization', reason => 'refused');
    $redis->cmd('HSET', 'pinaud:secret:{ill}', failures => 3, demands => 4,
        attempt => '2 host journal 1 1 id');
}

$ctl->must(qw(credential put ill --refresh-token-file), $refresh);
troubled();
done($ctl, 0, qr/^  limit +\S+ → 8\/1s\n\z/m, '', 'put: no tokens',
    qw(credential put ill --limit 8/1s));
is record('ill')->{state}, 'needs-authorization', 'put: the state stays';

done($ctl, 0, qr/^  state +needs-authorization → ok$/m, '',
    'put: an access token ends trouble',
    qw(credential put ill --access-token-file), $token);
is_deeply [@{ record('ill') }{qw(state reason)}], [undef, undef],
    'put: no state';
is_deeply [@{ secret('ill') }{qw(failures demands)}], [undef, undef],
    'put: nothing counted';
ok secret('ill')->{attempt}, 'put: the attempt stands';

troubled();
done($ctl, 0, qr/^  attempt +stands → none\n/m, '',
    'put: a refresh token ends an attempt',
    qw(credential put ill --refresh-token-file), $refresh,
    qw(--refresh-expires-in 7200));
ok !defined secret('ill')->{attempt}, 'put: no attempt';
is record('ill')->{refresh_expires}, secret('ill')->{refresh_expires},
    'put: a copy of its expiry';

done_testing;
