#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# No secret is written down anywhere. Known secrets go through everything that
# handles them, then whatever was written meanwhile is searched. A word that is
# no secret, and is known to end up there, proves for each place that what was
# searched is what was written.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use MIME::Base64 qw(encode_base64 encode_base64url);
use Pinaud::Agents;
use Pinaud::Ctl;
use Pinaud::Gateway;
use Pinaud::HTTP qw(get post);
use Pinaud::HTTP2;
use Pinaud::Leaks;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Redis;
use Test::More;
use Time::HiRes qw(sleep time);

use constant PASSWORD => 'p4ssword+OF/redis=WELL~kept';
use constant BAIT => 'bait-0f.aLL_sinks@here';

my $leaks = Pinaud::Leaks->new;
my $bait = Pinaud::Leaks->new;


# the search itself

for my $secret ('a+SECRET/of=any~kind', 'pina_0123456789abcdef') {
    my $finder = Pinaud::Leaks->new;
    my $url = join '', map { sprintf '%%%02x', ord } split //, $secret;

    $finder->secret(it => $secret);

    for my $before ('', 'a', 'ab', 'abc') {
        my $text = "$before$secret" . 'xyz';

        for my $form ($text, encode_base64($text, ''),
            encode_base64url($text), unpack('H*', $text),
            uc unpack('H*', $text), "$before$url",
            $before . $secret =~ s{([+/=])}{sprintf '%%%02X', ord $1}ger)
        {
            is_deeply [$finder->found("\0$form\n")], ['it'],
                "found in $form";
        }
    }

    is_deeply [$finder->found(substr $secret, 1)], [], 'not found in less';
}


# what is there: a gateway, an agent, an operator, and their Redis

my $redis = Pinaud::Redis->new(password => PASSWORD, persist => 1,
    config => "rdbcompression no\naof-use-rdb-preamble no\n"
    . "slowlog-log-slower-than 0\nslowlog-max-len 10000\n");
my $password = spew(temp_dir('leaks') . '/password', PASSWORD . "\n", 0600);

my $gw = Pinaud::Gateway->new(redis => $redis, retry => 1,
    team_key => '$http_authorization', nginx => { debug => 1 },
    ctl => ['--redis-password-file', $password],
    http => <<"EOC",
    pinaud_redis_password_file $password;
    pinaud_outage_allowance 2;
    log_format all escape=none '\$request \$status \$http_authorization '
        '\$http_x_pinaud_key \$http_user_agent \$sent_http_content_type '
        '\$sent_http_pinaud_outcome \$sent_http_ratelimit '
        '\$sent_http_www_authenticate \$sent_http_set_cookie '
        '\$pinaud_credential \$pinaud_team \$upstream_status';
    access_log %%DIR%%/logs/all.log all;
EOC
    server => <<'EOC');
        location /by-header/ {
            pinaud on;
            pinaud_team_key $http_x_pinaud_key;
            proxy_pass http://127.0.0.1:1/;
        }
EOC

my $sim = $gw->sim;
my $fleet = Pinaud::Agents->new(gateway => $gw);
my $ctl = $fleet->ctl;

$ctl->{env}{PINAUD_REDIS_PASSWORD_FILE} = $password;

my %secrets = (
    'the access token' => $gw->token,
    'another access token' => 'pina_an+ACCESS/token=of~BAIT',
    'a refresh token' => 'pinr.a+REFRESH/token=of~BAIT',
    'a client secret' => SECRET,
    'the password of Redis' => PASSWORD,
    'a team key' => $gw->team_key('growth'),
    'a revoked team key' => $gw->team_key('brand'),
    'a seal key' => (split /:/, slurp($gw->{keys}))[1] =~ s/=*\s*\z//r,
    'a gateway\'s key' => (split /:/, slurp($gw->{gateway_keys}))[2]
        =~ s/=*\s*\z//r,
);

$leaks->secret($_ => $secrets{$_}) for sort keys %secrets;
$bait->secret(bait => BAIT);

ok 1, 'secrets: ' . join ', ', sort keys %secrets;

# MONITOR, before anything else speaks to Redis

my $monitor = $redis->connect;
my $watched = '';
print {$monitor} "AUTH @{[ PASSWORD ]}\r\nMONITOR\r\n";

sub watch {
    while (IO::Select->new($monitor)->can_read(0.1)) {
        last if !sysread $monitor, $watched, 65536, length $watched;
    }
}

watch();
is $watched, "+OK\r\n+OK\r\n", 'MONITOR is there';


# a credential whose name is the bait, with all kinds of secrets

my $printed = '';

sub run_ctl {
    my ($exit, $output) = $gw->ctl(@_);
    $printed .= "$output\n";
    return $exit;
}

sub file { spew($gw->{dir} . '/' . shift, shift, 0600) }

$sim->token(token => $secrets{'another access token'}, app => '1234567');
$sim->refresh_token(token => $secrets{'a refresh token'},
    client => '1234567');

is run_ctl(qw(credential put), BAIT, '--access-token-file',
    file('access', $secrets{'another access token'}), '--refresh-token-file',
    file('refresh', $secrets{'a refresh token'}), qw(--client-id 1234567
    --client-secret-file), file('secret', SECRET), qw(--expires-in 3600)), 0,
    'a credential is put';
is run_ctl(qw(account put 549755885176 --credential), BAIT), 0,
    'an account is put';
is run_ctl(qw(team put growth --account 549755885176)), 0, 'a team is put';


# calls, good and bad, by HTTP/1.1 and 2

my ($key, $revoked) = @secrets{'a team key', 'a revoked team key'};
my $answers = '';

sub keep {
    my $r = shift;

    $answers .= join "\n", $r->{status}, (map { "$_->[0]: $_->[1]" }
        @{ $r->{headers} }), $r->{body} // '', '';
    return $r->{status};
}

sub call {
    my ($path, $body, @headers) = @_;
    return keep(post($gw, $path, $body, headers => [@headers]));
}

my $auth = "Authorization: Bearer $key";
my $agent = 'User-Agent: ' . BAIT;

is call(create_path, body(), $auth, $agent), 200, 'a create';
is call(create_path('549755885176'), body(), $auth, $agent), 200,
    'a create with the other credential';
is call(create_path, body(BAIT, 1), $auth), 400, 'an invalid body';
is call(create_path('1'), body(), $auth), 403, 'an account of nobody';
is call('/v5/nothing/' . BAIT, '{}', $auth), 404, 'no such path';
is call('/v5/oauth/token', 'grant_type=refresh_token', $auth), 404,
    'the token endpoint';
is call(create_path, body(), "Authorization: Bearer $key $key"), 401,
    'a key twice';
is call('/by-header' . create_path, body(), "X-Pinaud-Key: $key"), 502,
    'a key in another field';
is keep(get($gw, create_path, headers => [$auth])), 200, 'a read';
is keep(get($gw, '/' . BAIT)), 404, 'outside of it all';

$gw->ctl(qw(team key revoke), substr $revoked, 0, 12);
sleep 0.2;
call(create_path, body(), "Authorization: Bearer $revoked");

if (Pinaud::Nginx->has('http_v2_module')) {
    is keep(h2($gw, POST => create_path, body => body(), headers => [$auth])),
        200, 'by HTTP/2';
}

for my $fault (qw(unauthorized rate_limited forbidden truncate reset_after)) {
    $sim->fault(kind => $fault, path => 'audiences');
    call(create_path, body(), $auth);
    $sim->clear_faults;
    run_ctl(qw(cooldown clear main));
}

$answers .= keep(get($gw, "/$_")) for qw(status metrics health);


# the agent: while it calls, and when it has the answer

my ($journal, $cmdline) = ('', '');

sub snapshot {
    for my $path (glob $fleet->journal('a') . '/*') {
        $journal .= "$path\n" . slurp($path);
    }
}

sub cmdline { $cmdline .= slurp("/proc/$_[0]/cmdline") . "\n" }

$sim->fault(kind => 'delay', seconds => 1, path => '/v5/oauth/token');

my $running = $fleet->agent('a',
    { PINAUD_REDIS_PASSWORD_FILE => $password });

cmdline($running->{pid});
ok wait_until(sub { $sim->requests(qr{^/v5/oauth}) }, 10), 'the agent calls';
snapshot();
ok $running->wait('refreshed', 10), 'the agent has a new token';
snapshot();
$sim->clear_faults;

my $told = join "\n", map { $_->{answer} && !ref $_->{answer}
    ? $_->{answer} : JSON::PP->new->encode($_->{answer} // []) }
    $sim->requests(qr{^/v5/oauth});
my ($access) = $told =~ /"access_token":"([^"]+)"/;
my ($refresh) = $told =~ /"refresh_token":"([^"]+)"/;

$leaks->secret('a new access token' => $access);
$leaks->secret('a new refresh token' => $refresh);

is call(create_path('549755885176'), body(), $auth), 200,
    'a create with the new token';

# a token that is dead, and an agent that renews it while a request waits

$sim->revoke($access);
is call(create_path('549755885176'), body(), $auth), 200,
    'a create over a refresh';

run_ctl(@$_) for [qw(credential list)], [qw(credential show), BAIT],
    [qw(credential show), BAIT, '--json'], [qw(team key list)],
    [qw(account list)], ['usage'], ['doctor'], [qw(policy export)],
    [qw(seal-key list)], [qw(credential put), BAIT, '--client-secret-file',
    '/dev/null'], [qw(credential put x --access-token-file),
    '/nonexistent/' . BAIT];

# one that waits for a person

my $authorize = $ctl->{binary};
my $waiting = spawn(['sh', '-c', 'sleep 3 | "$0" "$@"', $authorize,
    qw(credential authorize), BAIT], log => "$gw->{dir}/authorize.log",
    env => { PINAUD_REDIS => $redis->url, PINAUD_REDIS_PASSWORD_FILE =>
    $password, PINAUD_SEAL_KEY_FILE => $gw->{keys},
    PINAUD_ENV_FILE => '/dev/null' });
sleep 0.5;

for my $dir (glob '/proc/[0-9]*') {
    open my $file, '<', "$dir/cmdline" or next;
    my $line = do { local $/; <$file> } // '';
    $cmdline .= "$line\n" if $line =~ /pinaud|nginx|redis/;
}

stop_process($waiting, 'KILL');
$printed .= slurp("$gw->{dir}/authorize.log");


# the zones, as the worker has them

sub zones {
    my $worker = ($gw->nginx->workers)[0];
    my $text = '';

    open my $maps, '<', "/proc/$worker/maps" or die "maps: $!\n";
    open my $memory, '<:raw', "/proc/$worker/mem" or die "mem: $!\n";

    while (<$maps>) {
        my ($from, $to) = map { unpack 'Q>', pack 'H16', sprintf '%016s', $_ }
            m{^(\w+)-(\w+) rw-s .* /dev/zero} or next;

        sysseek $memory, $from, 0 or die "mem: $!\n";

        while ($from < $to) {
            my $n = sysread $memory, $text, $to - $from, length $text
                or last;
            $from += $n;
        }
    }

    return $text;
}

my $zones = zones();

$running->stop;
watch();
$redis->cmd('SAVE');

my $slow = join "\n", map { @{ $_->[3] } }
    @{ $redis->cmd(qw(SLOWLOG GET -1)) };

# nginx's own debug lines show the client's fields as they came; ours are those
# that say so

my $log = $gw->nginx->log;
my $own = join '', grep { /pinaud: / || !/ \[debug\] / } split /^/, $log;

cmp_ok scalar(() = $own =~ /\[(?:error|warn|info)\]/g), '>', 0,
    'there are lines of error.log';

my %sinks = (
    'error.log' => $own,
    'access log' => slurp($gw->nginx->dir . '/logs/all.log')
        . join('', map { slurp($_) } glob $gw->nginx->dir
        . '/logs/access*.log'),
    'answers, status and metrics' => $answers,
    'output of pinaudctl' => $printed,
    'command lines' => $cmdline,
    'the agent\'s log' => $running->text,
    'the journal' => $journal,
    'shared memory' => $zones,
    'MONITOR' => $watched,
    'Redis\'s dump' => join('', map { slurp($_) }
        glob "$redis->{dir}/*.rdb"),
    'Redis\'s append-only file' => join('', map { -f $_ ? slurp($_) : () }
        glob("$redis->{dir}/*aof*"), glob("$redis->{dir}/appendonlydir/*")),
    'SLOWLOG' => $slow,
);

for my $sink (sort keys %sinks) {
    is_deeply [$leaks->found($sinks{$sink})], [], "$sink: no secret";
    is_deeply [$bait->found($sinks{$sink})], ['bait'],
        "$sink: was searched";
}

finish();
