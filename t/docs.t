#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# The documentation's examples, run for real: what it says to type is typed,
# and what it shows is what comes. A comment before an example says what it is:
#
#   nginx.conf      a whole configuration
#   http, location  directives for there: nginx -t takes them
#   enrol, sh, acl, users  a shell takes them, with pinaudctl
#   request         the same, and what curl prints is an answer
#   answer          that answer, but for white space and the request's id
#   field           a field of that answer
#   quota           a refusal for the quota, but for times
#
# Only names of places are put for others: addresses, ports and paths.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Pinaud::Check;
use Pinaud::Docs;
use Pinaud::Gateway qw(account create_path body finish);
use Pinaud::HTTP;
use Pinaud::Nginx;
use Pinaud::Pinterest;
use Pinaud::Process;
use Pinaud::Redis;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = temp_dir('docs');
my $redis = Pinaud::Redis->new;
my $sim = Pinaud::Pinterest->new;
my $token = $sim->token(accounts => [account]);
my $nginx = Pinaud::Nginx->new(allow => [qr/exited on signal 9/]);
my $standard = $nginx->standard;
my %env = (PATH => project_dir() . "/build:$ENV{PATH}",
    GATEWAY_PASSWORD => 'of-the-gateway', OPERATOR_PASSWORD => 'operators',
    AGENT_PASSWORD => 'agents',
    PINAUD_REDIS => $redis->tcp_url, PINAUD_ENV_FILE => '/dev/null',
    PINAUD_SEAL_KEY_FILE => "$dir/pinaud/seal.key");

mkdir "$dir/$_" for qw(pinaud logs);
spew("$dir/pinaud/teams.map", "\"Bearer growth\" growth;\n", 0640);
chmod 0777, "$dir/logs";
spew("$dir/token", "$token\n", 0600);
spew("$dir/pinaud/redis.password", "$env{GATEWAY_PASSWORD}\n", 0600);

for my $path (glob project_dir() . '/conf/*.conf') {
    $nginx->write($path =~ s{.*/}{}r, here(slurp($path)));
}


# The same, with the places of this test.

sub here {
    my $text = shift;

    my ($redis_port, $pinterest) = ($redis->port, $sim->tls_port);
    my $ca = $sim->ca;
    my $gateway = $nginx->address;
    my $module = Pinaud::Nginx::module();
    my $load = length $module ? "load_module $module;" : '';

    for ($text) {
        s{load_module modules/ngx_pinaud_module\.so;}{$load};
        s{/etc/pinaud/}{$dir/pinaud/}g;
        s{\bconf/redis-acl\.conf}{@{[ project_dir() ]}/conf/redis-acl.conf}g;
        s{/root/token}{$dir/token}g;
        s{/var/log/nginx/}{$dir/logs/}g;
        s{redis://((?:\w+@)?)(?:127\.0\.0\.1|10\.0\.0\.5)}
            {redis://${1}127.0.0.1:$redis_port}g;
        s{redis-cli }{redis-cli -p $redis_port }g;
        s{api\.pinterest\.com:443}{127.0.0.1:$pinterest};
        s{/etc/ssl/certs/ca-certificates\.crt}{$ca};
        s{http://gateway:8080}{http://$gateway}g;
        s{listen 8080;}{listen 127.0.0.1:%%PORT:http%%;};
        s{listen 127\.0\.0\.1:9145;}{listen 127.0.0.1:%%PORT:status%%;};
    }

    return $text;
}


sub shell {
    my ($command, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($exit, $output) = run_command(['sh', '-euc', here($command)],
        env => \%env, dir => $dir);

    ok $exit == 0, $name or diag "exit $exit\n$output";
    return $output;
}


# As the answer that curl got.

sub answer {
    my ($command, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $raw = shell($command =~ s/^curl /curl -si --max-time 10 /mr, $name);
    my ($head, $body) = split /\r\n\r\n/, $raw, 2;

    return { status => $head =~ m{^HTTP/1\.1 (\d+)}, head => "$head\r\n",
        body => $body };
}


# Without white space that means nothing, and without the request's id.

sub compact {
    my $json = shift;

    $json =~ s/("(?:[^"\\]|\\.)*")|\s+/$1 \/\/ ''/ge;
    return $json =~ s/("request_id":")[0-9a-f]{32}"/$1ID"/r;
}


sub forget_usage {
    $redis->cmd('DEL', @$_) for grep { @$_ } map { $redis->cmd('KEYS',
        "pinaud:$_:*") } qw(calls writes bucket);
}


sub location {
    my ($head, $snippet) = @_;

    return here("include pinaud-upstream.conf;\n"
        . "pinaud_redis redis://127.0.0.1;\n"
        . "pinaud_seal_key_file /etc/pinaud/seal.key;\n"
        . "map \$http_authorization \$team {\n"
        . "    include /etc/pinaud/teams.map;\n}\n"
        . "server {\nlisten 8080;\n$head$snippet}\n");
}


sub test_takes {
    my ($http, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($exit, $output) = $nginx->test_config($http);
    ok $exit == 0, $name or diag $output;
}


# the first screen: enrolment, then the configuration, then a request

my $enrolled = shell(block('README.md', 'enrol'), 'README: enrolment');

my ($exit, $shown) = run_command(['sh', '-euc',
    'pinaudctl credential show main'], env => \%env);
like $shown, qr/^state +ready$/m, 'README: the credential is ready';
unlike $shown, qr/\Q$token\E/, 'and not shown';

($env{KEY}) = $enrolled =~ /^(pinaud_\w{36})$/m;
ok $env{KEY}, 'README: the team has a key';
shell(block('docs/operations.md', 'gateway'), 'operations: a gateway\'s keys');
is((stat "$dir/pinaud/$_")[2] & 07, 0, "$_ is closed to others")
    for qw(seal.key gateway.key);

my $conf = here(block('README.md', 'nginx.conf'));
my ($main) = $standard =~ /\A(.*?)^events/ms;
my $temp = join '', $standard =~ /^ +\w+_temp_path .*\n/mg;

$main =~ s/^load_module .*\n//m;
like $conf, qr/^events \{\}$/m, 'README: the configuration has events';
$conf =~ s/^http \{\n/http {\n$temp    access_log off;\n/m
    or die "README: no http\n";

$nginx->{conf} = $conf =~ s/^(?=events)/$main/mr;
$nginx->conf->start;
pass 'README: nginx takes the configuration';


my $last;

for my $path ('README.md', 'docs/callers.md') {
    for my $block (blocks($path)) {
        my $name = "$path, line $block->{line}";

        if ($block->{test} eq 'request') {
            forget_usage();
            $last = answer($block->{text}, "$name: curl");

        } elsif ($block->{test} eq 'answer') {
            is compact($last->{body}), compact($block->{text}),
                "$name: the answer";

        } elsif ($block->{test} eq 'field') {
            my ($field) = $block->{text} =~ /^`(.+)`$/;
            is $last->{status}, 200, "$name: created";
            like $last->{head}, qr/^\Q$field\E\r$/m, "$name: the field";
        }
    }
}

my ($there) = $sim->requests(qr/audiences/);
like $there->{head}, qr/^Authorization: Bearer \Q$token\E\r$/m,
    'Pinterest gets the token';
unlike $there->{head}, qr/$env{KEY}/, 'and no key';
is get($nginx, '/metrics')->{status}, 200, 'README: the metrics';

my $read = answer(block('docs/callers.md', 'look'), 'callers: looking');
is $read->{status}, 200, 'callers: what was created can be looked for';
like $read->{body}, qr/"Bought last half year"/, 'and is found';


# the table of the first screen

my @growth = (headers => ["Authorization: Bearer $env{KEY}"]);
my $create = sub { post($nginx, create_path, body(), @growth) };

created $create->(), 'a create';

$redis->pause;
my $r = $create->();
refused $r, 'store-unavailable', 'Redis is slow';
cmp_ok $r->{elapsed}, '<', 2, 'told soon';
sleep 0.5;
refused $create->(), 'store-unavailable', 'Redis is slow, known';

$redis->resume;
ok wait_until(sub { $create->()->{status} == 200 }, 2), 'and is back';

my $newer = $sim->token(accounts => [account]);
my $c = Pinaud::HTTP->connect($nginx);
my $sent = scalar $sim->requests;

$sim->fault(kind => 'delay', seconds => 0.7);
$sim->revoke($token);
$c->send(Pinaud::HTTP::head('POST', create_path, body => body(), @growth)
    . body());
wait_until(sub { $sim->requests > $sent }, 5);
spew("$dir/token", $newer);
shell('pinaudctl credential put main --access-token-file /root/token',
    'a token is put');
created $c->response, 'a revoked token: sent again with a newer one';

$sim->revoke($newer);
$r = $create->();
refused $r, 'credential-unavailable', 'a revoked token, and no newer one';

$token = $sim->token(accounts => [account]);
spew("$dir/token", $token);
shell('pinaudctl credential put main --access-token-file /root/token',
    'a token is put');
created $create->(), 'which mends it at once';

$sim->fault(kind => 'rate_limited');
$r = $create->();
is $r->{status}, 429, 'Pinterest says 429';
is $r->header('Pinaud-Outcome'), 'forwarded', 'which is Pinterest\'s';
is $r->header('Pinaud-Should-Retry'), 'true', 'and may be tried again';
is $r->header('Retry-After'), undef, 'when, Pinterest tells';

ok wait_until(sub { $redis->cmd('EXISTS', 'pinaud:cooldown:{main}') }, 2),
    'which Redis is told';
refused $create->(), 'quota-exceeded', 'the next one is held back';
shell('pinaudctl cooldown clear main', 'and sent again when told so');
wait_until(sub { $create->()->{status} == 200 }, 5);

my $used = sub { shell('pinaudctl usage', 'usage') =~ /team growth +\S+ +(\d+)/ };
my ($before) = $used->();

$nginx->kill_worker;
created $create->(), 'a worker is killed: the next one serves';
is +($used->())[0], $before + 1, 'and counts go on';


# a quota that runs out

shell('pinaudctl team put brand --account ' . account . ' --limit 3/60s',
    'another team');
my ($brands) = shell('pinaudctl team key create brand', 'its key')
    =~ /^(pinaud_\w{36})$/m;
forget_usage();

$r = post($nginx, create_path, body(),
    headers => ["Authorization: Bearer $brands"]) for 1 .. 4;

my $times = sub { $_[0] =~ s/(;t=|Retry-After: |all-1s";r=)\d+/$1N/gr };
my ($line, @fields) = split /\n/, block('docs/callers.md', 'quota');

is $line, 'HTTP/1.1 429 Too Many Requests', 'callers: the quota\'s refusal';
is $r->{status}, 429, 'is one';

for my $field (@fields) {
    my ($name, $value) = $field =~ /^([\w-]+): (.*)$/;
    is $times->("$name: " . ($r->header($name) // '')), $times->($field),
        "callers: $name";
}


# directives

for my $path (documents()) {
    for my $block (blocks($path)) {
        my $name = "$path, line $block->{line}: nginx -t";

        if ($block->{test} eq 'http') {
            local $nginx->{conf};
            test_takes(here($block->{text}), $name);

        } elsif ($block->{test} eq 'location') {
            local $nginx->{conf};
            test_takes(location('', $block->{text}), $name);
        }
    }
}


# operations: users of Redis, renewing a token, rotating the key

my $operations = 'docs/operations.md';

shell(block($operations, 'acl'), 'operations: users of Redis');
unlike shell(block($operations, 'users'), 'operations: in a Redis that runs'),
    qr/ERR|@/, 'operations: in a Redis that runs, all of them';

spew("$dir/operators", $env{OPERATOR_PASSWORD}, 0600);
$env{PINAUD_REDIS} = $redis->tcp_url =~ s{//}{//operator@}r;
$env{PINAUD_REDIS_PASSWORD_FILE} = "$dir/operators";

for my $command (['HGETALL', 'pinaud:secret:{main}'],
    ['HSET', 'pinaud:account:' . account, 'credential', 'other'],
    ['SET', 'pinaud:account:' . account, ''], ['KEYS', '*'],
    ['CONFIG', 'GET', '*'], ['HGETALL', 'pinaud:credential:{main}'])
{
    my $client = { socket => $redis->connect, buffer => '' };
    my $ask = \&Pinaud::Redis::ask;

    is $ask->($client, 'AUTH', 'gateway', $env{GATEWAY_PASSWORD}), 'OK',
        'the gateway\'s user';
    like $ask->($client, @$command), qr/^NOPERM/, "may not @$command";
}

my ($whole) = grep { $_->{text} =~ /pinaud-log/ } blocks($operations);

delete $nginx->{conf};
my $http = "access_log off;\n" . here($whole->{text});
$nginx->stop->mark->conf($http)->start;
created $create->(), 'operations: the configuration, as that user';

my ($charged) = $used->();
$sim->refuse;
refused $create->(), 'upstream-unreachable', 'nobody listens';
$sim->accept;
ok wait_until(sub { ($used->())[0] == $charged }, 2), 'given back';
unlike $nginx->log_since, qr/pinaud: store/, 'that user may all it needs';

my $status = '127.0.0.1:' . $nginx->port('status');
is get($status, "/$_")->{status}, 200, "/$_" for qw(metrics status health);
like slurp("$dir/logs/pinaud.log"), qr/"outcome":"forwarded"/, 'the log';

shell(<<'EOT', 'operations: the operator\'s user may all of pinaudctl');
pinaudctl credential put other --access-token-file /root/token \
    --refresh-token-file /root/token --client-id 1 --client-secret-file /root/token
pinaudctl account put 1 --credential main
pinaudctl team put other --account 1
pinaudctl account put 1 --credential other
pinaudctl credential list && pinaudctl credential show other
pinaudctl account list && pinaudctl account show 1 && pinaudctl team list
pinaudctl policy export > policy.json && pinaudctl policy diff policy.json
pinaudctl team delete other && pinaudctl account delete 1
pinaudctl credential delete other && pinaudctl policy apply policy.json
pinaudctl team delete other && pinaudctl account delete 1
pinaudctl credential delete other && pinaudctl usage
EOT

my $ids = sub { [slurp("$dir/pinaud/seal.key") =~ /^([\w-]+):/mg] };
my ($old) = @{ $ids->() };
my @steps = grep { $_->{test} eq 'sh' } blocks($operations);

my @order = ($old);
is scalar(@steps), 5, 'operations: a renewal, and steps of a rotation';

for my $step (@steps) {
    my $shown = shell($step->{text}, "operations, line $step->{line}");
    push @order, "@{ $ids->() }";
    like $shown, qr/^\Q$old\E +yes +0 +0 +0 +0 +-$/m, 'the old key is not used'
        if $shown =~ /IN FILE/;
    $nginx->reload;
    created $create->(), 'and the gateway works';
}

my ($new) = @{ $ids->() };
isnt $new, $old, 'another key';
is "@order[1 .. 5]", "$old $old $new $new $old $new $old $new",
    'second, first, alone';
like slurp("$dir/pinaud/gateway.key"), qr/\A\Q$new\E:gateway:[^\n]*\n\z/,
    'and in the gateway\'s file';


# troubleshooting: a caller's field reaches the debug log, the token does not

my $debug = Pinaud::Nginx->new(debug => 1);
$debug->write($_, slurp($nginx->dir . "/$_"))
    for map { s{.*/}{}r } glob project_dir() . '/conf/*.conf';
$nginx->stop;
$debug->{ports} = $nginx->{ports};
$debug->conf($http)->start;
created $create->(), 'with a log of debug';
like $debug->log, qr/http proxy header/, 'security: it shows what is sent';
unlike $debug->log, qr/\Q$token\E/, 'security: without the token';
like $debug->log, qr/$env{KEY}/, 'security: but with the caller\'s key';

finish();
