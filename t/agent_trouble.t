#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl agent while Redis is away, an operator is faster, its disk is full,
# a host does not come back.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Pinaud::Agents;
use Pinaud::Ctl;
use Pinaud::Process;
use Test::More;
use Time::HiRes qw(sleep time);

my $fleet = Pinaud::Agents->new(persist => 1);
my $sim = $fleet->sim;
my $ctl = $fleet->ctl;
my $redis = $fleet->redis;
my @times = ('--timeout', '400ms', '--takeover', '1600ms');

$sim->oauth(rotation => 'kill', old_access => 'kill');

sub calls { scalar $fleet->calls(@_) }
sub wish { $redis->cmd('HSET', 'pinaud:wanted', $_[0], '1 worked') }
sub late { $sim->fault(kind => 'delay', seconds => $_[0], path => 'oauth') }


# Redis goes while a call is in flight, and comes back

my $agent = $fleet->agent('away');
ok $agent->wait('started'), 'an agent';

late(0.6);
$fleet->enrol('main');
wish('main');
ok $agent->wait('refreshes', 8), 'it calls';
$redis->kill;
ok $agent->wait('store is lost', 8), 'Redis is killed';
sleep 0.5;
is scalar($agent->log('store is lost')), 1, 'which is told once';
$redis->start;
ok $agent->wait('store is back', 8), 'it is back';
ok $agent->wait('refreshed', 5), 'and gets the tokens';
ok $fleet->works('main'), 'which are good';
is calls(), 1, 'by one call';
is scalar($agent->log('store is back')), 1, 'that it is back is told once';

is $agent->stop, 0, 'the agent ends';

# its refresh token is refused meanwhile

my $revoked = $fleet->enrol('revoked');
$sim->revoke($revoked);
$agent = $fleet->agent('away', '--timeout', '3s');
late(0.6);
wish('revoked');
my $calls = calls();
ok wait_until(sub { calls() > $calls }, 8), 'a call that is refused';
$redis->kill;
ok wait_until(sub { ($sim->requests)[-1]{status} }, 5), 'while Redis is away';
sleep 0.3;
$redis->start;
ok $agent->wait('needs authorization', 12), 'is told when it is back'
    or diag $agent->text;
unlike $fleet->record('revoked')->{reason}, qr/lost/, 'and why';
is $agent->stop, 0, 'the agent ends';
$ctl->must(qw(credential delete revoked));

# it forgets what it had, as one that was restored: all is as before

$fleet->enrol('second');
my @before = map { $redis->cmd('DUMP', $_) } keys_of('second');
$agent = $fleet->agent('forgets', @times);
ok $agent->wait('refreshed', 8, sub { $_[0]{credential} eq 'second' }),
    'a refresh';
restore('second', @before);
ok $agent->wait('recovered', 8), 'that Redis forgets is told it again';
is $fleet->record('second')->{version}, 2, 'as it was';
ok $fleet->works('second'), 'and works';
is scalar(grep { $_->{credential} eq 'second' } $agent->log('refreshes')), 1,
    'without another call';
$agent->stop;

# an operator is faster

$agent = $fleet->agent('slow', '--timeout', '3s', '--takeover', '60s');
ok $agent->wait('started'), 'an agent with a slow endpoint';

for my $case (['another refresh token', 'overtaken', 'refresh'],
    ['another access token', 'refresh token stored', 'access'],
    ['it is gone', 'gone'])
{
    my ($name, $event, $put) = @$case;
    my $one = $name =~ s/ /-/gr;

    late(1);
    $fleet->enrol($one);
    wish($one);
    ok $agent->wait('refreshes', 8, sub { $_[0]{credential} eq $one }),
        "$name, while it calls" or diag $agent->text;
    $redis->cmd('DEL', 'pinaud:wanted');

    my %new = (access => $sim->token(app => Pinaud::Agents::CLIENT()),
        refresh => $sim->refresh_token(client => Pinaud::Agents::CLIENT()));

    $put ? $ctl->must(qw(credential put), $one, "--$put-token-file",
        $ctl->file('new', $new{$put})) : $ctl->must(qw(credential delete), $one);

    my $before = $fleet->secret($one);
    ok $agent->wait($event, 8, sub { $_[0]{credential} eq $one }), "$name: $event"
        or diag $agent->text;

    next if !$put;

    my $after = $fleet->secret($one);
    is $after->{attempt}, undef, "$name: no attempt stands";
    $put eq 'refresh'
        ? is $after->{refresh}, $before->{refresh}, "$name: it stays"
        : isnt $after->{refresh}, $before->{refresh},
            "$name: the old refresh token does not";
    is $fleet->record($one)->{version}, $put eq 'access' ? 2 : 1,
        "$name: the operator's access token stays";
    $ctl->must(qw(credential delete), $one);
}

is $agent->stop, 0, 'it ends';

# no room, no call; no journal, no agent

SKIP: {
    my $small = "$fleet->{dir}/small";
    mkdir $small, 0700;

    skip 'tmpfs can\'t be mounted here', 11 if $> != 0 || system('mount', '-t',
        'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', $small) != 0;

    eval { full_disk($small); 1 } or fail("full disk: $@");
    system 'umount', '-l', $small;
}

# so it is where files may not be as large

{
    $fleet->enrol('full');

    my $before = calls();
    my ($command, $env) = $fleet->command('short', '--once');
    my ($exit, $output) = run_command(['sh', '-c', 'ulimit -f 8; exec "$@"',
        'sh', @$command], env => $env);

    is $exit, 1, 'no large file: exit code';
    like $output, qr/"not begun".*File too large","alarm":true/,
        'no large file: alarm';
    is calls(), $before, 'no large file: no call';
    is $fleet->secret('full')->{attempt}, undef, 'no large file: no attempt';
    $ctl->must(qw(credential delete full));
}

# an attempt that stands, where nobody is to take it over yet

$fleet->enrol('stands', due => 0);
my $standing = '1 gone ffffffffffffffff 1000000000000 1 aa';
$redis->cmd('HSET', 'pinaud:secret:{stands}', 'attempt', $standing);

my $run = $fleet->once('looks', @times);
is $run->{exit}, 1, 'an attempt stands: a person is needed';
is scalar(grep { $_->{event} eq 'stands' && $_->{alarm} } @{ $run->{log} }), 1,
    'and is told why';
is $fleet->secret('stands')->{attempt}, $standing, 'it goes on standing';

$run = $ctl->run(qw(credential refresh stands --wait 100ms));
like $run->{err}, qr/attempt of host gone stands since 2001-.*--force"$/,
    'an operator is told, too';
$run = $ctl->run(qw(credential refresh stands --force --wait 100ms));
is $run->{exit}, 1, 'by --force without an agent nothing is done';
like $run->{err}, qr/no agent has tried\. Does one run\?/, 'and why';
$redis->cmd('DEL', 'pinaud:wanted', 'pinaud:secret:{stands}');
$ctl->must(qw(credential delete stands));

# a host does not come back, nor does its journal

for my $mode (['keep', 'worked'], ['kill', 'worked'], ['kill', 'force']) {
    my ($rotation, $why) = @$mode;
    my $one = "$rotation-$why";

    $sim->oauth(rotation => $rotation, old_access => $rotation);
    late(1);
    $fleet->enrol($one);

    my $lost = $fleet->agent("lost-$one", @times);
    ok wait_until(sub { calls("lost-$one") }, 8), "$one: a host calls";
    $lost->kill;
    sleep 1.2;

    my $attempt = $fleet->secret($one)->{attempt};
    my $other = $fleet->agent("other-$one", @times);
    ok $other->wait('started'), "$one: another host";

    # until it is old enough nobody touches it, whoever wants

    wish($one);
    sleep 0.5;
    is $fleet->secret($one)->{attempt}, $attempt, "$one: its attempt stands";

    if ($why eq 'force') {
        $redis->cmd('DEL', 'pinaud:wanted');
        my $run = $ctl->run(qw(credential refresh --force), $one);
        is $run->{exit}, 1, "$one: an operator has it taken over";
        like $run->{err}, qr/attempt of \S+ lost.*credential authorize $one/,
            "$one: and learns what became of it";
    }

    my $event = $other->wait('takes over', 8);
    is $event->{credential}, $one, "$one: is taken over";
    is $event->{from}, (split ' ', $attempt)[1], "$one: from that host";
    ok $other->wait($rotation eq 'keep' ? 'refreshed' : 'needs authorization',
        8, sub { $_[0]{credential} eq $one }), "$one: how it ends"
        or diag $other->text;

    my $record = $fleet->record($one);

    if ($rotation eq 'keep') {
        is $record->{state}, 'ok', "$one: state";
        ok $fleet->works($one), "$one: it works";

    } else {
        is $record->{state}, 'needs-authorization', "$one: state";
        like $record->{reason}, qr/^attempt of \S+ lost/, "$one: reason";
    }

    ok wait_until(sub { !$redis->cmd('HEXISTS', 'pinaud:wanted', $one) }, 3),
        "$one: the wish is gone";
    is $other->stop, 0, "$one: the other host ends";
    is calls("lost-$one"), 1, "$one: the first called once";
    is calls("other-$one"), $rotation eq 'kill' ? 2 : 1,
        "$one: so did the other" . ($rotation eq 'kill'
            ? ', and asked who is refused' : '');
    $ctl->must(qw(credential delete), $one);
}

# it does come back: nobody else touched it meanwhile

$sim->oauth(rotation => 'keep', old_access => 'keep');
late(0.3);
$fleet->enrol('back', expires_in => 216000);

my $host = $fleet->agent('back', @times);
ok wait_until(sub { calls('back') }, 8), 'a host calls';
$host->kill;

my $other = $fleet->agent('other-back', @times);
my $stands = $other->wait('stands', 12);
is_deeply [@$stands{qw(credential alarm cure)}], ['back', JSON::PP::true,
    'pinaudctl credential refresh back --force'],
    'that its attempt stands is told';
is calls('other-back'), 0, 'and waits for it';

$host = $fleet->agent('back', @times);
ok $host->wait('refreshed', 8), 'it comes back, and ends its attempt';
ok $fleet->works('back'), 'which works';
$_->stop for $host, $other;

is scalar($fleet->secrets_in(join '', map { slurp($_) }
    glob "$fleet->{dir}/*.log")), 0, 'no secret in any log';

done_testing;


sub keys_of { map { "pinaud:$_:{$_[0]}" } qw(credential secret) }


sub restore {
    my ($name, @dumps) = @_;

    $redis->cmd('MULTI');
    $redis->cmd('RESTORE', $_, 0, shift @dumps, 'REPLACE') for keys_of($name);
    $redis->cmd('EXEC');
}


sub full_disk {
    my $small = shift;

    spew("$small/filler", 'x' x 60_000);
    $fleet->enrol('full');

    my $before = calls();
    my $r = run_small($small);

    is $r->{exit}, 1, 'a full disk: exit code';
    like $r->{text}, qr/"event":"not begun","credential":"full","message":"[^"]*No space left on device","alarm":true/,
        'a full disk: alarm';
    is calls(), $before, 'a full disk: no call';
    is $fleet->secret('full')->{attempt}, undef, 'a full disk: no attempt';

    unlink "$small/filler";
    is run_small($small)->{exit}, 0, 'there is room again';
    is $fleet->record('full')->{version}, 2, 'and it is refreshed';

    # an answer has its room, even if there is none left by then

    late(0.5);
    due('full');
    my $agent = small_agent($small);
    ok $agent->wait('refreshes', 8), 'it calls';
    open my $file, '>', "$small/filler";
    1 while syswrite $file, 'x' x 4096;
    close $file;
    ok $agent->wait('refreshed', 8), 'the disk is full when the answer comes';
    unlikely($agent, 'journal');
    $agent->stop;
    unlink "$small/filler";

    # read-only: while it runs, and at its start

    $agent = small_agent($small);
    ok $agent->wait('started'), 'an agent';
    sleep 0.3;
    system('mount', '-o', 'remount,ro', $small) == 0 or die "remount\n";
    due('full');
    $redis->cmd('HSET', 'pinaud:wanted', 'full', '3 worked');
    $before = calls();
    ok $agent->wait('not begun', 8), 'a read-only folder: alarm';
    is calls(), $before, 'a read-only folder: no call';
    $agent->stop;
    $redis->cmd('DEL', 'pinaud:wanted');
    $r = run_small($small);
    is $r->{exit}, 1, 'a read-only folder at the start: exit code';
    like $r->{text}, qr/not begun.*Read-only file system/, 'and why';
    is calls(), $before, 'and no call';
    $ctl->must(qw(credential delete full));
}


sub unlikely {
    my ($agent, $event) = @_;

    is scalar($agent->log($event)), 0, "nothing is wrong with the $event";
}


sub due {
    my $name = shift;

    $redis->cmd('HSET', "pinaud:credential:{$name}", 'expires',
        $redis->cmd('TIME')->[0] + 3600);
    $redis->cmd('HDEL', "pinaud:secret:{$name}", 'refreshed');
}


sub small_agent {
    my $small = shift;

    return $fleet->agent('small', '--journal', $small, @_);
}


sub run_small {
    my $agent = small_agent(@_, '--once');

    return { exit => $agent->exit(10), text => $agent->text };
}
