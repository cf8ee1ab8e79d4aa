#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl agent: what it refreshes and when, what it makes of all kinds of
# answers, what it tells; and credential refresh.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA ();
use JSON::PP ();
use Pinaud::Agents;
use Pinaud::Ctl;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $fleet = Pinaud::Agents->new;
my $sim = $fleet->sim;
my $ctl = $fleet->ctl;
my $redis = $fleet->redis;
my $events = documented();
my %seen;

$sim->oauth(rotation => 'kill', old_access => 'kill');

sub calls { scalar $fleet->calls }
sub events { join ' ', map { $_->{event} =~ s/ /-/gr } @{ $_[0]{log} } }


# wrong usage

done($ctl, 2, '', qr/--takeover has to be four times as long as --timeout/,
    'a takeover that comes too early', qw(agent --takeover 30s --timeout 8s),
    '--journal', "$fleet->{dir}/x");
done($ctl, 2, '', qr/--takeover is a time/, 'no time', qw(agent --takeover x));
done($ctl, 2, '', qr/http is for this machine only/, 'http to elsewhere',
    qw(agent --token-url http://api.pinterest.com/v5/oauth/token));
done($ctl, 1, '', qr{journal /dev/null/x: Not a directory}, 'no folder',
    qw(agent --journal /dev/null/x));
done($ctl, 1, '', qr/its first key is a gateway's/, 'a gateway\'s keys',
    qw(agent --journal), "$fleet->{dir}/x",
    { env => { PINAUD_SEAL_KEY_FILE => $ctl->file('gateway.key',
        $ctl->must(qw(seal-key generate --gateway))->{out}) } });

# one pass: what is due, and what is not

$fleet->enrol('due');
$fleet->enrol('early', due => 0);
$ctl->must(qw(credential put bare --access-token-file), $ctl->file('bare',
    'pina_bare'), qw(--expires-in), 86400 * 3 + 100);

my $r = $fleet->once('a');
note_events($r);

is $r->{exit}, 0, 'once: exit code';
is calls(), 1, 'once: one call';
is $fleet->record('due')->{version}, 2, 'once: what is due is refreshed';
is $fleet->record('early')->{version}, 1, 'once: what is not is not';
ok $fleet->works('due'), 'once: the new token works';

my ($done) = grep { $_->{event} eq 'refreshed' } @{ $r->{log} };
my $secret = $fleet->secret('due');
my $record = $fleet->record('due');

is_deeply [@$done{qw(credential version refresh_version)}], ['due', 2, 2],
    'once: what it tells';
is $record->{state}, 'ok', 'once: state';
is $record->{refresh_expires}, $secret->{refresh_expires},
    'once: when the refresh token expires, for gateways';
ok abs($secret->{refreshed} - $redis->cmd('TIME')->[0]) < 3,
    'once: when it was done';
ok abs($record->{expires} - $secret->{refreshed} - 2592000) <= 2,
    'once: when it expires';
is $record->{scope}, 'ads:read ads:write', 'once: its scope';
is_deeply [grep { defined $secret->{$_} } 'attempt'], [],
    'once: no attempt stands';

my ($told) = grep { $_->{event} eq 'not refreshed' } @{ $r->{log} };
my ($expires) = grep { $_->{event} eq 'expires' } @{ $r->{log} };

is $told->{credential}, 'bare', 'once: one that can\'t be refreshed is told';
is_deeply [@$expires{qw(credential token days_left alarm cure)}],
    ['bare', 'access', 3, JSON::PP::true,
        'pinaudctl credential authorize bare --client-id ID --client-secret-file FILE'],
    'once: that it expires, too';
is $told->{cure}, $expires->{cure}, 'once: and what to type';
like $ctl->run(qw(credential refresh bare))->{err}, qr/"\Q$expires->{cure}\E" gets one$/,
    'credential refresh tells the same';

$ctl->must(qw(credential delete bare));
is $fleet->once('a')->{exit}, 0, 'once more';
is calls(), 1, 'once more: no call';

$r = $fleet->once('none', { PINAUD_REDIS => 'unix:/nonexistent' });
note_events($r);
is $r->{exit}, 3, 'once: no Redis';
like $r->{text}, qr/"store is lost".*cannot connect to Redis/, 'and why';

# what no waiting mends

for (['no URL', 2, qr/^pinaudctl: --redis: /, PINAUD_REDIS => 'redis.example'],
    ['no Redis told', 2, qr/^pinaudctl: where is Redis\?/,
        PINAUD_REDIS => ''],
    ['a password file that is not there', 1, qr/^pinaudctl: .*\/none/,
        PINAUD_REDIS_PASSWORD_FILE => '/none'])
{
    my ($what, $exit, $why, %env) = @$_;

    for my $options (['--once'], []) {
        my $one = $fleet->agent('none', @$options, \%env);
        my $got = $one->exit(5);

        $one->kill if !defined $got;
        is $got, $exit, "$what: agent @$options";
        like $one->text, $why, 'and why';
    }
}

# a service

my $agent = $fleet->agent('service', '--timeout', '2s', '--takeover', '8s');

ok $agent->wait('started'), 'a service' or diag $agent->text;

my $refresh = $ctl->run(qw(credential refresh early));

is $refresh->{exit}, 0, 'credential refresh' or diag $refresh->{err};
like $refresh->{out}, qr/^credential early: refreshed\n  version +2\n  expires +20\S+Z\n\z/,
    'credential refresh: what it tells';
ok wait_until(sub { !$redis->cmd('HEXISTS', 'pinaud:wanted', 'early') }, 3),
    'and is taken away';

is $ctl->run(qw(credential refresh early --json))->{json}{version}, 3,
    'credential refresh --json';
is $ctl->run(qw(credential refresh early --force))->{exit}, 0,
    'credential refresh --force, where nothing is to be forced';

my $again = $fleet->agent('service');
is $again->exit, 1, 'a second one with the same journal';
like $again->text, qr/another agent has this journal/, 'and why';

# what gateways want; what nobody could

$redis->cmd('HSET', 'pinaud:wanted', 'early', '4 worked');
ok at_version('early', 5), 'a gateway wants a newer one';

$redis->cmd('HSET', 'pinaud:wanted', 'early', '3 refused', 'nobody', '1 worked',
    'early ', '1 worked', '../x', '1 worked', 'due', 'junk');
ok wait_until(sub { !$redis->cmd('HLEN', 'pinaud:wanted') }, 3),
    'wishes that are old, of nobody, or no wishes, are taken away';
is $fleet->record('early')->{version}, 5, 'and do nothing';

# a store that lost versions: the next is newer than any that was seen

$redis->cmd('HSET', 'pinaud:wanted', 'early', '40 worked');
ok at_version('early', 41), 'a version that somebody saw is not used again';
$redis->cmd('HSET', 'pinaud:wanted', 'early', '400000 worked');
ok wait_until(sub { !$redis->cmd('HLEN', 'pinaud:wanted') }, 3),
    'but a version that nobody can have seen is not waited for';
sleep 1.2;
is $fleet->record('early')->{version}, 41, 'and no tokens are made for it';
$redis->cmd('HSET', 'pinaud:wanted', 'early', '41 worked');
ok at_version('early', 42), 'others are';

# tokens that are refused again and again

my $before = calls();
my $end = time() + 3.4;

while (time() < $end) {
    my $version = $fleet->record('due')->{version};
    $redis->cmd('HSET', 'pinaud:wanted', 'due', "$version refused");
    sleep 0.05;
}

$redis->cmd('DEL', 'pinaud:wanted');
cmp_ok calls() - $before, '>=', 2, 'a token that is refused is renewed';
cmp_ok calls() - $before, '<=', 3, 'but more and more seldom';
cmp_ok $fleet->secret('due')->{demands}, '>=', 2, 'which is counted';

# SIGTERM waits for what is in flight

$sim->fault(kind => 'delay', seconds => 0.7, path => 'oauth');
$redis->cmd('HSET', 'pinaud:wanted', 'early', '42 worked');
ok wait_until(sub { defined $fleet->secret('early')->{attempt} }, 3),
    'an attempt stands while it calls';
like $fleet->secret('early')->{attempt},
    qr/^\d+ [\w.-]+ [0-9a-f]{16} \d{13} 1 [0-9a-f]{32}$/, 'its form';
like $ctl->run(qw(credential show early))->{out},
    qr/^attempt +of host \S+ since 20\S+Z$/m, 'and is shown';

is $agent->stop, 0, 'SIGTERM: exit code';
is $fleet->record('early')->{version}, 43, 'SIGTERM: the call was ended';
ok $fleet->works('early'), 'SIGTERM: its token works';
note_events({ log => [$agent->log] });

# so does what else is sent to end it

for my $signal (qw(HUP QUIT INT)) {
    my $next = $fleet->record('early')->{version} + 1;

    $agent = do {
        local $SIG{$signal} = 'DEFAULT';
        $fleet->agent('service');
    };
    ok $agent->wait('started'), "SIG$signal: an agent";
    $sim->fault(kind => 'delay', seconds => 0.7, path => 'oauth');
    $redis->cmd('HSET', 'pinaud:wanted', 'early', $next - 1 . ' worked');
    ok $agent->wait('refreshes', 8), "SIG$signal: calls";
    kill $signal, $agent->pid;
    is $agent->exit, 0, "SIG$signal: exit code";
    is $fleet->record('early')->{version}, $next, "SIG$signal: the call was ended";
}

$agent = do {
    local $SIG{HUP} = 'IGNORE';
    $fleet->agent('service');
};
ok $agent->wait('started'), 'SIGHUP that is ignored: an agent';
kill 'HUP', $agent->pid;
is $ctl->run(qw(credential refresh early))->{exit}, 0,
    'SIGHUP that is ignored: it goes on';
is $agent->stop, 0, 'SIGHUP that is ignored: and ends';

is $ctl->run(qw(credential refresh early --wait 300ms))->{err},
    "pinaudctl: credential early: no agent has tried. Does one run? "
    . "\"pinaudctl agent\", or once: \"pinaudctl agent --once\"\n",
    'credential refresh without an agent';
$redis->cmd('DEL', 'pinaud:wanted');

# an answer without a refresh token keeps the old one

$sim->oauth(style => 'old', rotation => 'keep');
my $kept = $fleet->secret('due');
due('due');
is $fleet->once('a')->{exit}, 0, 'an old-style answer';
$secret = $fleet->secret('due');
is $secret->{$_}, $kept->{$_}, "an old-style answer: $_ stays"
    for qw(refresh refresh_version refresh_expires);
ok $fleet->works('due'), 'an old-style answer: its access token works';
due('due');
is $fleet->once('a')->{exit}, 0, 'and another';
$sim->oauth(style => 'current', old_access => 'keep');

# answers that can't be used: nothing is stored, the attempt stands

my @useless = (
    ['no access token', kind => 'error', status => 200,
        body => { token_type => 'bearer', expires_in => 5 }],
    ['another type', kind => 'error', status => 200, body => {
        access_token => 'pina_x', token_type => 'mac', expires_in => 5 }],
    ['HTML', kind => 'error', status => 200, body => '<html>wait</html>'],
    ['nothing', kind => 'error', status => 200, body => ''],
    ['JSON that is no object', kind => 'error', status => 200, body => '[1]'],
    ['a huge one', kind => 'error', status => 200,
        body => '{"access_token":"' . 'a' x 100_000 . '"}'],
    ['500', kind => 'error', status => 500, body => 'oops'],
    ['502', kind => 'error', status => 502, body => '<html></html>'],
    ['half of it', kind => 'truncate'],
    ['no HTTP', kind => 'garbage', bytes => "SSH-2.0-x\r\n"],
    ['a reset', kind => 'reset_after'],
    ['the end', kind => 'close'],
    ['none in time', kind => 'silence'],
);

for my $case (@useless) {
    my ($name, %fault) = @$case;
    my $record = $fleet->record('due');
    my $secret = $fleet->secret('due');

    due('due');
    $sim->fault(%fault, path => 'oauth');
    my $r = $fleet->once('a', '--timeout', '500ms');
    $sim->clear_faults;

    my ($failed) = grep { $_->{event} eq 'failed' } @{ $r->{log} };
    my $after = $fleet->record('due');
    my $left = $fleet->secret('due');

    is_deeply [$failed->{outcome}, $after->{state}, $left->{failures},
        defined $left->{attempt} ? 'stands' : 'none',
        length($after->{reason} // '') > 0, $r->{exit}],
        ['unknown', 'retrying', 1, 'stands', 1, 0], "$name: unknown"
        or diag $r->{text};
    is_deeply [map { $_->{token} } $after, $record], [($record->{token}) x 2],
        "$name: the same token";
    is $left->{refresh}, $secret->{refresh}, "$name: the same refresh token";

    $r = $fleet->once('a');
    is_deeply [$fleet->record('due')->{state}, $fleet->secret('due')
        ->{failures}, events($r)], ['ok', 0,
        'started recalled tries-again refreshed stopped'],
        "$name: then its owner tries again" or diag $r->{text};
}

note_events($fleet->once('a'));
like $ctl->run(qw(credential list))->{out}, qr/^CREDENTIAL .* REFRESH-EXPIRES +STATE$/m,
    'credential list: when refresh tokens expire';

# what was not carried out ends the attempt

for my $outcome ('later', 'not sent') {
    due('due');
    $outcome eq 'later' ? $sim->fault(kind => 'rate_limited', path => 'oauth')
        : $sim->refuse;
    my $r = $fleet->once('a');
    $sim->accept;

    my ($failed) = grep { $_->{event} eq 'failed' } @{ $r->{log} };

    is_deeply [$failed->{outcome}, $fleet->record('due')->{state},
        $fleet->secret('due')->{attempt}], [$outcome, 'retrying', undef],
        "$outcome: no attempt stands" or diag $r->{text};
    like $ctl->run(qw(credential show due))->{out},
        qr/^state +retrying\nreason +\S/m, "$outcome: it is shown";
    is $fleet->once('a')->{exit}, 0, "$outcome: and tried again";
    is $fleet->record('due')->{state}, 'ok', "$outcome: with success";
}

# the refresh token is refused: a person is needed

my $count = calls();
my $dead = $fleet->enrol('dead');
$sim->revoke($dead);
$r = $fleet->once('a');
note_events($r);

my ($alarm) = grep { $_->{event} eq 'needs authorization' } @{ $r->{log} };

is $r->{exit}, 1, 'refused: exit code';
is_deeply [@$alarm{qw(credential cure alarm)}], ['dead',
    'pinaudctl credential authorize dead', JSON::PP::true], 'refused: alarm';
is $fleet->record('dead')->{state}, 'needs-authorization', 'refused: state';
like $ctl->run(qw(credential show dead))->{out},
    qr/^state +needs authorization\nreason .*\nto do +pinaudctl credential authorize dead$/m,
    'refused: what to do';
done($ctl, 1, '', qr/Pinterest refuses the refresh token of credential dead: .*"pinaudctl credential authorize dead" gets another/,
    'refused: credential refresh', qw(credential refresh dead));
$count = calls();
is $fleet->once('a')->{exit}, 1, 'refused: still a person is needed';
is calls(), $count, 'refused: it is not called again';

$fleet->enrol('dead');
is $fleet->once('a')->{exit}, 0, 'refused: until there is another';
is $fleet->record('dead')->{state}, 'ok', 'refused: then it is well';

# so is the client

$fleet->enrol('app', secret => 'anotherSECRETaltogether');
$r = $fleet->once('a');
note_events($r);

my ($failed) = grep { $_->{event} eq 'failed' } @{ $r->{log} };

is $r->{exit}, 1, 'wrong client: exit code';
is_deeply [@$failed{qw(outcome cure alarm)}], ['wrong client',
    'pinaudctl credential put app --client-id ID --client-secret-file FILE',
    JSON::PP::true], 'wrong client: alarm' or diag $r->{text};
is_deeply [$fleet->record('app')->{state}, $fleet->secret('app')->{attempt}],
    ['wrong-client', undef], 'wrong client: state';
like $ctl->run(qw(credential show app))->{out}, qr/^state +wrong client$/m,
    'wrong client: shown';

# it may become right again by itself, or a person may want to know

my $refused = calls();
is $fleet->once('a')->{exit}, 1, 'wrong client: a person is needed still';
is calls(), $refused, 'wrong client: it is not tried at each run';
$redis->cmd('HINCRBY', 'pinaud:secret:{app}', 'failed', -601);
is $fleet->once('a')->{exit}, 1, 'wrong client: after ten minutes';
cmp_ok calls(), '>', $refused, 'wrong client: it is tried again';
$refused = calls();
$redis->cmd('HSET', 'pinaud:wanted', 'app', '1 worked');
$fleet->once('a');
is calls(), $refused, 'wrong client: not where a gateway wants one';
$redis->cmd('HSET', 'pinaud:wanted', 'app', '1 operator');
$fleet->once('a');
cmp_ok calls(), '>', $refused, 'wrong client: but where an operator does';
$redis->cmd('DEL', 'pinaud:wanted');

$ctl->must(qw(credential put app --client-id), Pinaud::Agents::CLIENT(),
    '--client-secret-file', $ctl->file('right', SECRET));
is $fleet->once('a')->{exit}, 0, 'wrong client: until it is the right one';
is $fleet->record('app')->{state}, 'ok', 'wrong client: then it is well';

# what does not open

for (['refresh', 'refresh token', ''],
    ['client_secret', 'client secret', ' --client-secret-file FILE'])
{
    my ($field, $what, $more) = @$_;
    my $sealed = $redis->cmd('HGET', 'pinaud:secret:{app}', $field);

    due('app');
    $redis->cmd('HSET', 'pinaud:secret:{app}', $field, 'junk');
    $r = $fleet->once('a');
    ($failed) = grep { $_->{event} eq 'not begun' } @{ $r->{log} };

    is $r->{exit}, 1, "a $what that does not open: exit code";
    like $failed->{message}, qr/^the $what does not open: it is altered/,
        "a $what that does not open: and why";
    is $failed->{cure}, "pinaudctl credential authorize app$more",
        "a $what that does not open: and what to do";
    is $fleet->secret('app')->{attempt}, undef,
        "a $what that does not open: no attempt";
    $redis->cmd('HSET', 'pinaud:secret:{app}', $field, $sealed);
}

is $fleet->once('a')->{exit}, 0, 'what opens again is refreshed';

# one that is damaged is told, and hinders no other

$redis->cmd('HSET', 'pinaud:credential:{app}', 'version', 'x');
due('due');
my $version = $fleet->record('due')->{version};
$r = $fleet->once('a');
note_events($r);
is $r->{exit}, 1, 'a damaged record: exit code';
is $fleet->record('due')->{version}, $version + 1, 'others are refreshed';
$redis->cmd('DEL', 'pinaud:credential:{app}', 'pinaud:secret:{app}');
$redis->cmd('SREM', 'pinaud:credentials', 'app');

# a refresh token that would expire is told, days before

$redis->cmd('HSET', 'pinaud:secret:{due}', 'refresh_expires',
    $redis->cmd('TIME')->[0] + 10 * 86400 + 100);
$r = $fleet->once('a');
($expires) = grep { $_->{event} eq 'expires' && $_->{credential} eq 'due' }
    @{ $r->{log} };
is_deeply [@$expires{qw(token days_left alarm)}], ['refresh', 10, undef],
    'a refresh token has ten days left';

# so is an access token, with the time when it is renewed

$redis->cmd('HSET', 'pinaud:credential:{due}', 'expires',
    $redis->cmd('TIME')->[0] + 13 * 86400 + 100);
$redis->cmd('HDEL', 'pinaud:secret:{due}', 'refreshed');
$r = $fleet->once('a');
($expires) = grep { $_->{event} eq 'expires' && $_->{token} eq 'access' }
    @{ $r->{log} };
is_deeply [@$expires{qw(credential days_left alarm cure)}],
    ['due', 13, undef, undef], 'an access token has thirteen days left';
like $expires->{refreshed_after}, qr/^20\d\d-\d\d-\d\dT/, 'and when it is renewed';
is $r->{exit}, 0, 'which needs no person';

# it is an alarm where nobody manages to renew it, even if it was told before

my $warns = $fleet->agent('warns');
ok $warns->wait('expires', 8, sub { $_[0]{token} eq 'access' }), 'it is told';
$redis->cmd('HSET', 'pinaud:secret:{due}', 'failures', 10);
ok $warns->wait('expires', 12, sub { $_[0]{token} eq 'access' && $_[0]{alarm} }),
    'and told again as an alarm';
is $warns->stop, 0, 'the agent ends';
is scalar(grep { $_->{token} eq 'access' } $warns->log('expires')), 2,
    'each once';

# and an access token that nobody manages to renew

$redis->cmd('HSET', 'pinaud:credential:{due}', 'expires',
    $redis->cmd('TIME')->[0] + 2592000);
$r = $fleet->once('a');
($expires) = grep { $_->{event} eq 'expires' && $_->{token} eq 'access' }
    @{ $r->{log} };
is $expires, undef, 'a month left is no alarm';
due('due');
$sim->fault(kind => 'rate_limited', path => 'oauth');
$r = $fleet->once('a');
($expires) = grep { $_->{event} eq 'expires' && $_->{token} eq 'access' }
    @{ $r->{log} };
is_deeply [@$expires{qw(credential days_left alarm cure)}],
    ['due', 0, JSON::PP::true, undef], 'an hour is, after ten failures';

# a key that is gone: an answer that the store has needs none

my $keys = slurp($ctl->keys);
is $fleet->once('a')->{exit}, 0, 'the journal has an answer';
spew($ctl->keys, $ctl->must(qw(seal-key generate))->{out});
$r = $fleet->once('a');
is join(' ', map { $_->{message} =~ /seal key file/ ? 'key' : () }
    grep { $_->{event} eq 'recalled' } @{ $r->{log} }), 'key',
    'that its key is gone is told';
is join(' ', grep { $_ eq 'recalled' } map { $_->{event} }
    @{ $fleet->once('a')->{log} }), '', 'once, since the store has it';
spew($ctl->keys, $keys);
is $fleet->once('a')->{exit}, 0, 'with its key all is well';

# it does all this as the user that conf/redis-acl.conf has for it

acl();

# nothing secret is told, and all that is told is documented

my $logs = join '', map { slurp($_) } glob "$fleet->{dir}/*.log";

is scalar($fleet->secrets_in($logs)), 0, 'no secret in any log';
is scalar($fleet->secrets_in("x " . SECRET)), 1, 'which would be seen';
is join(', ', grep { !$events->{$_} } sort keys %seen), '',
    'events are documented';
cmp_ok scalar(keys %seen), '>=', 10, 'there were some';

my $source = join '', map { slurp($_) }
    glob project_dir() . '/src/ctl/ctl_a{gent,ttempt}*.c';

is join(', ', grep { $source !~ /"\Q$_\E"/ } sort keys %$events), '',
    'no other is documented';
is join(', ', grep { !$events->{$_} } $source
    =~ /ctl_agent_log\(agent, "([^"]+)"/g), '', 'nor is any missing';

done_testing;


# It seems to have been put, with an hour left.

sub due {
    my $name = shift;

    $redis->cmd('HSET', "pinaud:credential:{$name}", 'expires',
        $redis->cmd('TIME')->[0] + 3600);
    $redis->cmd('HDEL', "pinaud:secret:{$name}", 'refreshed');
}


sub at_version {
    my ($name, $version) = @_;

    return wait_until(sub { $fleet->record($name)->{version} == $version }, 5);
}


sub note_events {
    my $run = shift;

    $seen{$_->{event}}++ for grep { $_->{event} ne 'no JSON'
        || $_->{text} !~ /another agent has this journal/ } @{ $run->{log} };
}


sub documented {
    my ($section) = slurp(project_dir() . '/docs/troubleshooting.md')
        =~ /^## Lines of the agent's log\n(.*?)^## /ms;

    return { map { $_ => 1 } map { /`([^`]+)`/g }
        $section =~ /^\| (`[^|]+) \|/mg };
}


sub acl {
    my ($user) = slurp(project_dir() . '/conf/redis-acl.conf')
        =~ /^(user agent .*)$/m;
    $user =~ s/\@AGENT\@/Digest::SHA::sha256_hex('agents')/ge;

    my $fleet = Pinaud::Agents->new(config => "$user\n");
    my $env = { PINAUD_REDIS => 'redis://agent@127.0.0.1:'
        . $fleet->redis->port, PINAUD_REDIS_PASSWORD_FILE =>
        $fleet->ctl->file('agent-password', 'agents') };
    my $name = 'with the agent\'s user of Redis';

    $fleet->enrol('main');
    $fleet->sim->fault(kind => 'rate_limited', path => 'oauth');
    is $fleet->once('a', $env)->{exit}, 0, "$name: a failure";
    is $fleet->record('main')->{state}, 'retrying', "$name: is noted";

    my $agent = $fleet->agent('a', '--timeout', '400ms', $env);
    ok $agent->wait('refreshed', 8), "$name: a refresh"
        or diag $agent->text;
    $fleet->redis->cmd('HSET', 'pinaud:wanted', 'main', '2 refused', 'nobody',
        '1 worked');
    ok wait_until(sub { !$fleet->redis->cmd('HLEN', 'pinaud:wanted') }, 8),
        "$name: wishes";
    is $fleet->record('main')->{version}, 3, "$name: another refresh";
    is $agent->stop, 0, "$name: the end";
    is_deeply $fleet->redis->cmd('ACL', 'LOG'), [], "$name: nothing is refused";
}
