#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# What a worker does when the quota is used up: a flood of refused requests
# costs Redis next to nothing, and with pinaud_quota_wait requests wait for
# their turn, first come first served.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw(sleep time);
use Pinaud::Check;
use Pinaud::Gateway;
use Pinaud::HTTP;
use Pinaud::Process;


my $other = '549755885176';
my $gw = Pinaud::Gateway->new(limits => ['none'], limits_all => ['none'],
    accounts => {
        account() => { limits => [], teams => { growth => ['2/60s'],
            waiting => ['2/1s'], slow => ['1/1d'], quit => ['1/1s'], again => ['1/1s'] } },
        $other => { limits => [], teams => { growth => [] } } },
    http => 'keepalive_requests 100000;');


sub commands {
    my $stats = $gw->redis->cmd('INFO', 'commandstats');

    return $stats =~ /^cmdstat_evalsha:calls=(\d+)/m ? $1 : 0;
}


# a flood

post($gw, create_path, body, team => 'growth') for 1 .. 3;

my $before = commands();
my $conn = Pinaud::HTTP->connect($gw);
my ($refused, $flood) = (0, 4000);

for (1 .. $flood) {
    my $r = $conn->request('POST', create_path, body => body(),
        team => 'growth');
    $refused++ if $r->{status} == 429;
}

is $refused, $flood, 'all of a flood are refused';

my $asked = commands() - $before;
cmp_ok $asked, '<', $flood / 200, "a flood of $flood costs $asked questions";

created post($gw, create_path($other), body, team => 'growth'),
    'another account goes on';

my $r = post($gw, create_path, body, team => 'growth');
refused $r, 'quota-exceeded', 'refused from memory';
cmp_ok $r->header('Retry-After'), '<=', 63, 'the wait shrinks';
like $r->header('RateLimit'), qr/"team-60s";r=0;t=\d+/, 'the limit is told';
is_deeply $r->json->{'violated-policies'}, ['team-60s'], 'and named';

$before = $gw->sim->requests;
$r = post($gw, create_path, body, team => 'growth',
    headers => ['Pinaud-Dry-Run: ?1']);
is $r->{status}, 429, 'a dry run tells the same';

# a flood that is there at once: others do not wait until it is refused

my ($worker) = $gw->nginx->workers;
my @flood = map { Pinaud::HTTP->connect($gw) } 1 .. 200;
my $behind = Pinaud::HTTP->connect($gw);
my $head = Pinaud::HTTP::head('POST', create_path, body => body(),
    team => 'growth') . body();

$_->send($head) for @flood;
$_->response for @flood;

my $logged = $gw->access_log;

freeze($worker);
$_->send($head) for @flood;
$_->close for splice @flood, 100, 20;
$behind->send(Pinaud::HTTP::head('POST', create_path($other), body => '{}',
    team => 'growth') . '{}');
kill 'CONT', $worker;

is $behind->response->{status}, 400, 'another request is answered';

my @answers = map { $_->response } @flood;
my @wrong = grep { $_->{status} != 429
    || $_->json->{request_id} ne $_->header('Pinaud-Request-Id')
    || "@{ $_->json->{'violated-policies'} }" ne 'team-60s' } @answers;
my %ids = map { $_->json->{request_id} => 1 } @answers;

is scalar(@wrong), 0, 'all of the flood are refused' or diag $wrong[0]{body};
is scalar(keys %ids), scalar(@answers), 'each with an id of its own';
refused $answers[-1], 'quota-exceeded', 'as any other';

my @order = map { $_->{status} } ($gw->access_log)[$logged .. $logged + 200];
my ($place) = grep { $order[$_] == 400 } 0 .. $#order;
cmp_ok $place // 999, '<', 20, 'before the flood is';


# a changed limit counts at once, when the policy is read again

$gw->must_ctl(qw(team put growth --account), account(), qw(--limit 1000/60s));

my $end = time() + 8;
do { $r = post($gw, create_path, body, team => 'growth'); sleep 0.1 }
    while $r->{status} != 200 && time() < $end;

is $r->{status}, 200, 'a larger limit opens it within seconds';


# waiting

my $patient = Pinaud::Gateway->new(with => $gw, accounts => $gw->{accounts},
    location => 'pinaud_quota_wait 4s;');


sub send_create {
    my ($where, $name, %opt) = @_;

    my $c = Pinaud::HTTP->connect($where);
    my $text = body(name => $name);

    $c->send("POST " . create_path() . " HTTP/1.1\r\nHost: localhost\r\n"
        . "X-Team: $opt{team}\r\nContent-Type: application/json\r\n"
        . "Content-Length: " . length($text) . "\r\n"
        . "Connection: close\r\n\r\n$text");

    return $c;
}


sub names { map { /"name":"([^"]*)"/ ? $1 : () } map { $_->{body} } @_ }


$gw->sim->forget;
$before = commands();

my @clients = map { my $c = send_create($patient, "n$_", team => 'waiting');
    sleep 0.03; $c } 1 .. 6;
@answers = map { $_->response->{status} } @clients;

is "@answers", '200 200 200 200 200 200', 'who waits is served';
is join(' ', names($gw->sim->requests)), 'n1 n2 n3 n4 n5 n6',
    'first come, first served';

$asked = commands() - $before;
cmp_ok $asked, '<', 30, "without asking in a loop ($asked)";


# one leaves the line

$gw->sim->forget;
sleep 1.2;

@clients = map { my $c = send_create($patient, "l$_", team => 'waiting');
    sleep 0.03; $c } 1 .. 5;
(splice @clients, 3, 1)->abort;
@answers = map { $_->response->{status} } @clients;

is "@answers", '200 200 200 200', 'the others are served';
is join(' ', names($gw->sim->requests)), 'l1 l2 l3 l5',
    'who leaves takes his place out';


# the wait has an end

$gw->sim->forget;
$before = commands();
my $started = time();

@clients = map { send_create($patient, "d$_", team => 'slow') } 1 .. 4;
my @last = map { $_->response } @clients;

is join(' ', sort map { $_->{status} } @last) =~ s/^200 //r,
    $last[0]{status} == 200 ? '429 429 429' : '429 429 429 429',
    'at the end of the wait it is a refusal';
cmp_ok time() - $started, '>', 3.5, 'after the wait';

my ($late) = grep { $_->{status} == 429 } @last;
refused $late, 'quota-exceeded', 'as any other';
cmp_ok $late->header('Retry-After'), '>', 1000, 'which tells how long yet';

$asked = commands() - $before;
cmp_ok $asked, '<', 20, "the line asked seldom ($asked)";


# a worker that quits serves those in line

$gw->sim->forget;

@clients = map { my $c = send_create($patient, "q$_", team => 'quit');
    sleep 0.03; $c } 1 .. 3;
$patient->nginx->reload;
@answers = map { $_->response->{status} } @clients;

is "@answers", '200 200 200', 'graceful quit serves the line';


# it holds in the retry location, too: whose token was refused after its charge
# was over, and another's took the place, waits once more

my $again = Pinaud::Gateway->new(with => $gw, accounts => $gw->{accounts},
    retry => 1, location => 'pinaud_quota_wait 4s;');

$gw->sim->revoke($gw->token);
$gw->{token} = $gw->sim->token(accounts => [account(), $other]);
$gw->sim->fault(kind => 'delay', seconds => 1.5, path => 'audiences');
$gw->sim->forget;

my $first = send_create($again, 'first', team => 'again');
ok wait_until(sub { scalar $gw->sim->requests }, 3), 'one is sent';
$gw->must_ctl(qw(credential put main --access-token-file -), \$gw->token);
my $second = send_create($again, 'second', team => 'again');

is $second->response->{status}, 200, 'another takes its place';
is $first->response->{status}, 200, 'then it goes again';
is join(' ', names($gw->sim->requests)), 'first second first',
    'one after the other';

finish();
