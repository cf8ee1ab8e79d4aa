#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl credential authorize: from a browser to a credential.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use Pinaud::Ctl;
use Pinaud::Pinterest;
use Pinaud::Process;
use Test::More;

use constant HOME => 'http://localhost:8085/';

my $sim = Pinaud::Pinterest->new;
my $ctl = Pinaud::Ctl->new;
my $redis = $ctl->redis;
my $app = $ctl->file('app', SECRET . "\n");
my @endpoint = ('--token-url', 'http://' . $sim->address . '/v5/oauth/token');
my @app = ('--client-id', '1234', '--client-secret-file', $app);

$sim->client(id => '1234', secret => SECRET);

sub record { return { @{ $redis->cmd('HGETALL', "pinaud:credential:{$_[0]}") } } }
sub secret { return { @{ $redis->cmd('HGETALL', "pinaud:secret:{$_[0]}") } } }
sub asked { return $sim->requests(qr{/v5/oauth/token}) }

my @codes;

sub code {
    push @codes, $sim->code(client => '1234', redirect_uri => HOME, @_);
    return $codes[-1];
}


# What the simulator gave out is in no output, either.

sub authorize {
    my ($args, $browser) = @_;

    my $before = asked();
    my $r = $ctl->authorize([@$args, @endpoint], $browser);
    my @new = (asked())[$before .. asked() - 1];

    $r->{answers} = [map { eval { JSON::PP::decode_json($_->{answer}) } // {} }
        @new];
    $r->{forms} = [map { $_->{body} } @new];

    for my $secret (@codes, map { @{$_}{qw(access_token refresh_token)} }
        @{ $r->{answers} })
    {
        fail("a secret was printed by credential authorize @$args")
            if defined $secret && index("$r->{out}$r->{err}", $secret) >= 0;
    }

    return $r;
}

sub refused {
    my ($exit, $err, $name, $args, $browser) = @_;

    my @before = (record('main'), secret('main'));
    my $r = authorize($args, $browser // sub { die 'a browser was needed' });

    is $r->{exit}, $exit, "$name: exit code";
    is $r->{out}, '', "$name: stdout";
    like $r->{err}, $err, "$name: stderr";
    is_deeply [record('main'), secret('main')], \@before,
        "$name: nothing changed";

    return $r;
}


# a new one

my ($query, $cmdline);

my $r = authorize(['main', @app], sub {
    $query = { @_ };
    $cmdline = slurp("/proc/$query->{pid}/cmdline");
    return HOME . '?code=' . code() . "&state=$query->{state}\n";
});

is $r->{exit}, 0, 'new: exit code';
like $query->{url}, qr{^https://www\.pinterest\.com/oauth/\?client_id=1234&redirect_uri=http%3A%2F%2Flocalhost%3A8085%2F&response_type=code&scope=ads%3Aread%2Cads%3Awrite&state=[0-9a-f]{32}$},
    'new: the URL';
like $r->{err}, qr/^Open this URL .*^\Q$query->{url}\E\n.*paste it here/ms,
    'new: what to do';
like $r->{out}, qr/^credential main: created$/m, 'new: the report';
unlike $cmdline, qr/\Q${\SECRET}\E/, 'new: no secret in the command line';
like $r->{forms}[0], qr/^grant_type=authorization_code&code=$codes[0]&redirect_uri=http%3A%2F%2Flocalhost%3A8085%2F$/,
    'new: the form';
is scalar @{ $r->{forms} }, 1, 'new: one request';

my ($sent) = asked();
like $sent->{head}, qr{^POST /v5/oauth/token HTTP/1\.1\r$}m, 'new: a POST';
like $sent->{head}, qr{^Content-Type: application/x-www-form-urlencoded\r$}m,
    'new: of a form';
unlike $sent->{head}, qr{^(?:Cookie|Expect|Accept-Encoding|Transfer-Encoding):}mi,
    'new: nothing else';

my $answer = $r->{answers}[0];
my $print = substr sha256_hex($answer->{access_token}), 0, 8;
my $now = $redis->cmd('TIME')->[0];
my $record = record('main');
my $secret = secret('main');

like $r->{out}, qr/^  access-token +version 1, fingerprint $print$/m,
    'new: the access token';
like $r->{out}, qr/^  scope +ads:read ads:write$/m, 'new: the scope';
is $record->{scope}, 'ads:read ads:write', 'new: scope is kept';
ok abs($record->{expires} - $now - 2592000) <= 5, 'new: its expiry';
ok abs($secret->{refresh_expires} - $now - 5184000) <= 5,
    'new: of the refresh token';
is $record->{refresh_expires}, $secret->{refresh_expires}, 'new: its copy';
is $record->{tier}, 'standard', 'new: its tier';
is $secret->{client_id}, 1234, 'new: the app';
is index("@{[ %$record, %$secret ]}", $_), -1, 'new: nothing in the clear'
    for SECRET, @$answer{qw(access_token refresh_token)};
is $ctl->must(qw(credential show main --json))->{json}{fingerprint}, $print,
    'new: it opens';

# again: the app is known, all else stays, an attempt ends

$ctl->must(qw(credential put main --limit 7/1s));
$redis->cmd('HSET', 'pinaud:credential:{main}', state =>
    'needs-authorization', reason => 'refused');
$redis->cmd('HSET', 'pinaud:secret:{main}', failures => 3, demands => 2,
    attempt => '1 host journal 1 1 id');

$r = authorize([qw(main --json)], sub { my %q = @_;
    '?state=' . $q{state} . '&code=' . code() . '#_=_' });

is $r->{exit}, 0, 'again: exit code';
is $r->{json}{changes}[0]{action}, 'changed', 'again: the report';
is_deeply [grep { !/expires/ } map { $_->{field} }
    @{ $r->{json}{changes}[0]{fields} }],
    [qw(access-token refresh-token state attempt)],
    'again: what changed';
is record('main')->{limits}, '7/1', 'again: limits stay';
is record('main')->{version}, 2, 'again: the next version';
is secret('main')->{refresh_version}, 2, 'again: of the refresh token, too';
ok !defined record('main')->{$_}, "again: no $_" for qw(state reason);
ok !defined secret('main')->{$_}, "again: no $_"
    for qw(attempt failures demands);

# another secret of the app

$sim->client(id => '1234', secret => SECRET . 'new');
push @{ $ctl->{secrets} }, SECRET . 'new';

$r = refused(1, qr/the app's id or secret seems to be wrong\).*pinaudctl credential authorize main --client-id ID --client-secret-file FILE$/,
    'wrong secret', ['main'], sub { my %q = @_;
        "code=" . code() . "&state=$q{state}\n" });
is $r->{forms}[1], 'grant_type=refresh_token', 'wrong secret: the probe';

$r = authorize(['main', '--client-secret-file',
    $ctl->file('app2', SECRET . 'new')],
    sub { my %q = @_; "code=" . code() . "&state=$q{state}\n" });
is $r->{exit}, 0, 'another secret: exit code';
like $r->{out}, qr/^  client-secret +set → set anew$/m,
    'another secret: is kept';

# what is not as it should be

refused(1, qr/credential other has no app yet: pinaudctl credential authorize other --client-id ID --client-secret-file FILE$/,
    'no app', ['other']);
refused(1, qr/has no app yet/, 'no secret', [qw(other --client-id 1)]);
refused(2, qr/stdin is for what the browser brings back/, 'stdin',
    ['main', '--client-secret-file', '-'], sub { SECRET });
refused(2, qr/--scope: without ads:write/, 'scope',
    [qw(main --scope ads:read)]);
refused(2, qr/--redirect-uri is an http or https URL/, 'redirect-uri',
    [qw(main --redirect-uri localhost)]);
refused(2, qr/--client-id is/, 'client-id', ['main', '--client-id', 'a b']);

refused(1, qr/what was pasted has neither a code nor an error in it\. Nothing was changed\. Begin anew: pinaudctl credential authorize main --token-url \S+$/,
    'nothing pasted', ['main'], sub { '' });
refused(1, qr/what was pasted is not whole/, 'cut', ['main'],
    sub { my %q = @_; "code=a%2&state=$q{state}\n" });
refused(1, qr/longer than 16384 bytes/, 'long', ['main'],
    sub { 'code=' . 'x' x 17000 });
refused(1, qr/its state is another/, 'another state', ['main'],
    sub { my %q = @_; 'code=' . code() . '&state=' . reverse $q{state} });
refused(1, qr/its state is another/, 'a longer state', ['main'],
    sub { my %q = @_; 'code=' . code() . "&state=$q{state}0" });
refused(1, qr/its state is another/, 'no state', ['main'],
    sub { 'code=' . code() });
refused(1, qr/Pinterest says access_denied: I \?will not\. Nothing/,
    'denied', ['main'], sub { my %q = @_;
        "error=access_denied&error_description=I+%1Bwill+not&state=$q{state}" });
is scalar asked(), 5, 'no request for any of these';

$r = refused(1, qr/Pinterest answers 400, code 1: .*A code is good once.*Begin anew/s,
    'used code', ['main'], sub { my %q = @_;
        "code=$codes[0]&state=$q{state}" });
refused(1, qr/Pinterest answers 400/, 'another redirect-uri',
    [qw(main --redirect-uri https://example.com/)], sub { my %q = @_;
        'code=' . code() . "&state=$q{state}" });

for my $scope ('ads:read', 'ads:writer', 'biz:ads:write') {
    refused(1, qr/Pinterest granted \Q$scope\E, and not ads:write/,
        "granted $scope", ['main'], sub { my %q = @_;
            'code=' . code(scope => $scope) . "&state=$q{state}" });
}

$sim->fault(kind => 'error', status => 200,
    body => { access_token => 'pina_x', token_type => 'bearer' });
refused(1, qr/Pinterest sent no refresh token/, 'no refresh token', ['main'],
    sub { my %q = @_; 'code=' . code() . "&state=$q{state}" });

# no scope told: what was asked for

$sim->fault(kind => 'error', status => 200,
    body => { access_token => 'pina_x', refresh_token => 'pinr_x' });
$r = authorize([qw(main --scope), 'ads:write catalogs:read'],
    sub { my %q = @_; 'code=' . code() . "&state=$q{state}" });
is $r->{exit}, 0, 'no scope: exit code';
like $r->{url}, qr/scope=ads%3Awrite%20catalogs%3Aread&/, 'no scope: the URL';
is record('main')->{scope}, 'ads:write catalogs:read', 'no scope: as asked';
is record('main')->{expires}, 0, 'no expiry told';

refused(1, qr/Begin anew: pinaudctl credential authorize main --scope 'ads:write catalogs:read' --token-url \S+$/,
    'what to type', [qw(main --scope), 'ads:write catalogs:read'], sub { '' });

for my $scope ("ads:write it's", 'ads:write `x`') {
    my $quoted = $scope =~ s/'/'\\''/r;

    refused(1, qr/credential authorize main --scope '\Q$quoted\E' --token-url /,
        "what to type: $scope", [qw(main --scope), $scope], sub { '' });
}

# tokens are not lost with a connection

$sim->fault(kind => 'delay', seconds => 0.7);

$r = authorize(['main'], sub {
    my %q = @_;
    my $code = code();

    daemon(sub {
        select undef, undef, undef, 0.4;
        $redis->cmd(qw(CLIENT KILL TYPE normal));
    });

    return "code=$code&state=$q{state}\n";
});

is $r->{exit}, 0, 'connection lost: exit code' or diag $r->{err};
like $r->{err}, qr/^pinaudctl: Redis at /m, 'connection lost: is told';
like $r->{out}, qr/refresh-token +version \d+ → version/,
    'connection lost: kept';
$print = substr sha256_hex($r->{answers}[0]{access_token}), 0, 8;
is $ctl->must(qw(credential show main --json))->{json}{fingerprint}, $print,
    'connection lost: the tokens that came';

# the store has to be there, before a browser is needed and after

$redis->stop;
refused_store(['main'], sub { die 'a browser was needed' });

sub refused_store {
    my $r = $ctl->authorize([@{ $_[0] }, @endpoint], $_[1]);
    is $r->{exit}, 3, 'no store: exit code';
    ok !$r->{url}, 'no store: no URL';
}

done_testing();
