package Pinaud::Gateway;

# Copyright (C) the ngx_pinaud_module authors

# The whole gateway as a company would run it: a real Redis, the simulator of
# Pinterest, pinaudctl's enrolment, nginx with the module and conf/.
#
#   my $gw = Pinaud::Gateway->new;      all of it, started
#   my $r = post($gw, create_path, $json, team => 'growth');
#   $gw->redis; $gw->sim; $gw->nginx; $gw->evil;
#   $gw->ctl('usage')                   (exit, output) of pinaudctl
#   $gw->enrol                          the policy again, after a flush
#   $gw->team_key('growth')             a new team key of pinaudctl's
#   $gw->metrics                        { 'name{labels}' => value }
#   $gw->status, $gw->health            responses
#   $gw->used; $gw->used('shared', $id)     what a bucket counts
#   $gw->used_is(3, 'name', 2)          a test of it, within 2 s
#   $gw->access_log                     its lines, decoded
#   $gw->arrived                        the simulator's record since the last
#   finish();
#
# It speaks HTTP/1.1 at $gw->address and HTTP/2 at $gw->h2_address; a team is
# who X-Team says. Options, all of them optional:
#
#   accounts => { '549755885175' => {       the default: this account with
#       limits => ['100/60s'],              these teams, no limits
#       teams => { growth => [], brand => ['3/60s'] } } }
#   limits => ['400/60s'], limits_all => ['100/1s']     the credential's
#   expires_in => 3600                      its token's
#   enrol => 0                              an empty store
#   location => '...'                       more directives in the location
#   proxy => { proxy_read_timeout => '1s', client_max_body_size => undef }
#                                           other values in pinaud-proxy.conf,
#                                           undef: not there
#   server => '...', http => '...'          more directives there
#   team => '$http_x_team'
#   team_key => '$http_authorization'       instead: pinaud_team_key
#   locations => '...'                      instead of the two of /v5/
#   upstream => 'https' or 'http'           how Pinterest is reached
#   redis => { ... }                        of Pinaud::Redis; or one, or a
#                                           RedisSentinel or RedisCluster
#   ctl => [...]                            options of each pinaudctl
#   redis_url => 'tcp'                      by its port, not its socket
#   redis_url => 'redis://10.0.0.1'         by this
#   users => { gateway => 'password', operator => '...' }   who nginx and
#                                           pinaudctl are for Redis
#   evil => 1                               Pinaud::EvilRedis between
#   with => $other                          its Redis, evil, simulator, keys
#   nginx => { workers => 2, debug => 1, allow => ..., start => 0 }
#   retry => 1                              error_page 401 to a retry location

use warnings;
use strict;

use Exporter qw(import);
use JSON::PP ();
use Pinaud::Ctl ();
use Pinaud::EvilRedis;
use Pinaud::HTTP ();
use Pinaud::Nginx;
use Pinaud::Pinterest;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::Seal;
use Test::More ();

our @EXPORT = qw(account create_path custom_path body custom_body finish);

my $json = JSON::PP->new->utf8->canonical;


sub account { '549755885175' }
sub create_path { '/v5/ad_accounts/' . ($_[0] // account) . '/audiences' }
sub custom_path { create_path(@_) . '/custom' }


# A valid body of audiences/create; changes are merged into its top level.

sub body {
    my %change = @_;

    return $json->encode({ name => 'Visitors', audience_type => 'VISITOR',
        rule => { visitor_source_id => '2617998078212' }, %change });
}


sub custom_body {
    my %change = @_;

    return $json->encode({ name => 'Look-alike', sharing_type => 'CUSTOM',
        data_party => '1p', rule => { seed_id => ['2542620639259'],
            country => 'US', percentage => 10 }, %change });
}


sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, dir => temp_dir('gateway'), seen => 0 }, $class;
    my $with = $opt{with};

    $self->{accounts} //= { account() => { limits => [],
        teams => { growth => [], brand => [] } } };

    $self->{redis} = $with ? $with->redis
        : ref($opt{redis} // {}) ne 'HASH' ? $opt{redis}
        : Pinaud::Redis->new(%{ $opt{redis} || {} });
    $self->{evil} = $with ? $with->evil
        : $opt{evil} ? Pinaud::EvilRedis->new($self->{redis}) : undef;
    $self->{sim} = $with ? $with->sim : Pinaud::Pinterest->new;

    if ($with) {
        $self->{keys} = $with->{keys};
        $self->{gateway_keys} = $with->{gateway_keys};
        $self->{token} = $with->{token};

    } else {
        $self->make_keys;
        $self->{token} = $self->sim->token(
            accounts => [keys %{ $self->{accounts} }]);
        $self->enrol if $opt{enrol} // 1;
    }

    my %nginx = (start => 1, %{ $opt{nginx} || {} });
    my $start = delete $nginx{start};

    $self->{nginx} = Pinaud::Nginx->new(%nginx);
    $self->{nginx}->conf($self->http);
    $self->{nginx}->start if $start;

    return $self;
}


sub redis { $_[0]{redis} }
sub evil { $_[0]{evil} }
sub sim { $_[0]{sim} }
sub nginx { $_[0]{nginx} }
sub token { $_[0]{token} }
sub seal { Pinaud::Seal->new(slurp($_[0]{keys})) }
sub address { $_[0]{nginx}->address }
sub h2_address { '127.0.0.1:' . $_[0]{nginx}->port('h2') }


sub store_url {
    my $self = shift;

    my $store = $self->{evil} // $self->{redis};
    my $url = $self->{redis_url} // 'socket';

    return $store->tcp_url =~ s{//}{//gateway@}r if $self->{users};
    return $store->words if $store->can('nodes');
    return $url eq 'socket' ? $store->url
        : $url eq 'tcp' ? $store->tcp_url : $url;
}


sub password_file {
    my ($self, $user) = @_;

    return spew("$self->{dir}/$user.password", "$self->{users}{$user}\n",
        0600);
}


sub ctl_env {
    my $self = shift;

    return (PINAUD_REDIS => $self->{redis}->can('nodes')
        ? $self->{redis}->words : $self->{redis}->url) if !$self->{users};
    return (PINAUD_REDIS => $self->{redis}->tcp_url('operator'),
        PINAUD_REDIS_PASSWORD_FILE => $self->password_file('operator'));
}


sub ctl {
    my ($self, @args) = @_;

    my $input = ref $args[-1] ? ${ pop @args } : '';

    return run_command([Pinaud::Ctl->binary, @{ $self->{ctl} || [] }, @args],
        input => $input, env => { $self->ctl_env,
            PINAUD_SEAL_KEY_FILE => $self->{keys} });
}


sub must_ctl {
    my ($self, @args) = @_;

    my ($exit, $output) = $self->ctl(@args);
    die "pinaudctl @args[0 .. 2]: exit $exit\n$output" if $exit;

    return $output;
}


sub make_keys {
    my $self = shift;

    $self->{keys} = "$self->{dir}/seal.key";
    my ($exit, $key) = run_command([Pinaud::Ctl->binary,
        'seal-key', 'generate']);
    die "pinaudctl seal-key generate: exit $exit\n$key" if $exit;

    spew($self->{keys}, $key, 0600);

    # what a gateway should have
    $self->{gateway_keys} = spew("$self->{dir}/gateway.key",
        $self->must_ctl(qw(seal-key generate --gateway)), 0600);
}


sub enrol {
    my $self = shift;

    my $token = $self->token;

    $self->must_ctl(qw(credential put main --access-token-file -),
        '--expires-in', $self->{expires_in} // 86400,
        limits($self->{limits}), limits($self->{limits_all}, '--limit-all'),
        \$token);

    for my $id (sort keys %{ $self->{accounts} }) {
        my $account = $self->{accounts}{$id};

        $self->must_ctl(qw(account put), $id, qw(--credential main),
            limits($account->{limits}));

        for my $team (sort keys %{ $account->{teams} }) {
            $self->must_ctl(qw(team put), $team, '--account', $id,
                limits($account->{teams}{$team}));
        }
    }

    return $self;
}


# What create prints is the key, and a line for people.

sub team_key {
    my ($self, $team) = @_;

    my ($key) = $self->must_ctl(qw(team key create), $team)
        =~ /^(pinaud_\w{36})$/m;

    return $key // die "no key for $team\n";
}


sub limits {
    my ($limits, $option) = @_;

    return map { ($option // '--limit', $_) } @{ $limits || [] };
}


# The directives of http, from conf/ as it is shipped.

sub http {
    my $self = shift;

    my $conf = project_dir() . '/conf';
    my $scheme = $self->{upstream} // 'https';
    my $port = $scheme eq 'https' ? $self->sim->tls_port : $self->sim->port;
    my $h2 = Pinaud::Nginx->has('http_v2_module')
        ? 'listen 127.0.0.1:%%PORT:h2%% http2;' : '';
    my $locations = $self->{locations} // $self->locations;
    my $http = $self->{http} // '';
    my $password = $self->{users} ? 'pinaud_redis_password_file '
        . $self->password_file('gateway') . ';' : '';

    # a busy machine alone is no Redis that is slow
    $http .= ' pinaud_redis_timeout 2s;' if $http !~ /pinaud_redis_timeout/;

    return <<EOF;
    include $conf/pinaud-log.conf;
    access_log %%DIR%%/logs/access.log pinaud;

    upstream pinterest {
        server 127.0.0.1:$port;
        keepalive 8;
        keepalive_timeout 30s;
    }

    proxy_ssl_trusted_certificate @{[ $self->sim->ca ]};

    pinaud_redis @{[ $self->store_url ]};
    $password
    pinaud_seal_key_file $self->{gateway_keys};
    $http

    server {
        listen 127.0.0.1:%%PORT:http%%;
        $h2

$locations

        location = /status { pinaud_status json; }
        location = /metrics { pinaud_status prometheus; }
        location = /health { pinaud_status health; }
        @{[ $self->{server} // '' ]}
    }
EOF
}


sub locations {
    my $self = shift;

    my $scheme = $self->{upstream} // 'https';
    my $proxy = $self->proxy_conf;
    my $team = defined $self->{team_key} ? "pinaud_team_key $self->{team_key};"
        : 'pinaud_team ' . ($self->{team} // '$http_x_team') . ';';
    my $error_page = $self->{retry}
        ? "proxy_intercept_errors on; error_page 401 = \@pinaud_retry;" : '';

    my $retry = $self->{retry} ? <<EOF : '';
        location \@pinaud_retry {
            pinaud on;
            $team
            pinaud_retry;
            proxy_pass $scheme://pinterest;
$proxy
        }
EOF

    return <<EOF;
        location /v5/ {
            pinaud on;
            $team
            $error_page
            @{[ $self->{location} // '' ]}
            proxy_pass $scheme://pinterest;
$proxy
        }
$retry
EOF
}


# What conf/pinaud-proxy.conf says, with this test's values.

sub proxy_conf {
    my $self = shift;

    my $text = slurp(project_dir() . '/conf/pinaud-proxy.conf');
    my %change = %{ $self->{proxy} || {} };

    $text =~ s/^#.*\n//mg;

    for my $name (sort keys %change) {
        $text =~ s/^\Q$name\E .*\n//mg;
        $text .= "$name $change{$name};\n" if defined $change{$name};
    }

    return $text =~ s/^(?=.)/            /mgr;
}


sub restart_nginx {
    my $self = shift;

    $self->nginx->stop;
    $self->nginx->conf($self->http);
    $self->nginx->start;
}


sub status { Pinaud::HTTP::get($_[0], '/status') }
sub health { Pinaud::HTTP::get($_[0], '/health') }


sub metrics {
    my $self = shift;

    my $text = Pinaud::HTTP::get($self, '/metrics')->{body};
    my %values = $text =~ /^(\w+(?:\{[^\n]*\})?) (\S+)$/mg;

    return \%values;
}


# What a bucket of an account counts, by pinaudctl, in its first limit.

sub used {
    my ($self, $bucket, $id) = @_;

    my $text = $self->must_ctl('--json', 'usage', $id // account());
    my ($one) = grep { $_->{bucket} eq ($bucket // 'account') }
        @{ $json->decode($text) };

    return $one->{limits}[0]{used};
}


# A test that the account's is so many, in so many seconds: to give back takes
# a moment.

sub used_is {
    my ($self, $expected, $name, $seconds) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $used;
    wait_until(sub { ($used = $self->used) == $expected }, $seconds);
    Test::More::is($used, $expected, $name);
}


sub access_log {
    my $self = shift;

    return map { $json->decode($_) }
        split /\n/, slurp($self->nginx->dir . '/logs/access.log');
}


# What the simulator got since this was asked the last time.

sub arrived {
    my $self = shift;

    my @all = grep { $_->{n} > $self->{seen} } $self->sim->requests;
    $self->{seen} = $all[-1]{n} if @all;

    return @all;
}


1;
