package Pinaud::Pinterest;

# Copyright (C) the ngx_pinaud_module authors

# A simulator of Pinterest's API v5 as far as the gateway meets it: both
# creates, what reads them back, the token endpoint, the rate limits.
#
#   my $sim = Pinaud::Pinterest->new;           http and https listeners
#   my $sim = Pinaud::Pinterest->new(tls => $pinaud_tls, port => 1234,
#       on_answer => sub { my $record = shift; ... });      in the child
#   $sim->port; $sim->tls_port; $sim->ca;       certificate: api.pinterest.com
#   $sim->address; $sim->tls_address; $sim->tls_name;
#
#   my $t = $sim->token;                        an access token for all accounts
#   my $t = $sim->token(token => '...', user => 'u', app => 'a',
#       scope => 'ads:read', expires_in => 60, accounts => ['549755885175']);
#   $sim->revoke($t);                           access or refresh token
#   $sim->client(id => '...', secret => '...');
#   my $t = $sim->refresh_token(client => 'id', ...);
#   my $c = $sim->code(client => 'id', redirect_uri => '...');
#   $sim->oauth(rotation => 'kill', ...);       see Pinaud::Pinterest::OAuth
#   $sim->limits(ads_write => '5/60', ...);     see Pinaud::Pinterest::Limits
#   $sim->settings(strict => 1);                see Pinaud::Pinterest::Schema
#   $sim->settings(custom => 0);                /audiences/custom is gone: 404
#
#   my @r = $sim->requests;                     everything that arrived
#   my @r = $sim->requests(qr{/audiences});     by its target
#   $r[0]{head} {body} {headers}                exactly as it came
#   {method} {target} {time} {tls} {sni} {connection} {whole} {left}
#   {status} {answer} {rid} {fault}             what went back
#   $sim->forget;                               the record begins anew
#   my @a = $sim->audiences;                    what was created
#   $sim->reset;                                all state as in the beginning
#   $sim->refuse; $sim->accept;                 nobody listens; again
#   $sim->drop;                                 resets open connections
#   $sim->connections                           how many are open now
#
#   $sim->fault(kind => '...', times => 2, path => 'regexp', seconds => 0.5);
#   $sim->clear_faults;
#
# Kinds of faults:
#   reset_accept            as soon as it connects, before TLS
#   reset_before            when the request is there, before reading it
#   close_before            the same, in order
#   reset_after close       after reading the request, no answer
#   silence                 neither answer nor end
#   delay                   the true answer after "seconds"
#   truncate                half of the answer's body, then the end
#   garbage                 "bytes" that are not HTTP
#   error                   500, or "status" with "body" (a value or text)
#   unauthorized forbidden rate_limited       401, 403, 429 as Pinterest's
#   headers                 the true answer and "headers" ([[name, value]])
#
# With lost and late answers the audience was created unless made => 0, with
# failures only with made => 1.
#
# Where the documents leave open what Pinterest does, this answers in the
# cheapest plausible way and no test may lean on it: the order of its checks
# (path, token, scope, limits, account, body), texts of messages.

use warnings;
use strict;

use JSON::PP ();
use MIME::Base64 ();
use Pinaud::Loop;
use Pinaud::Pinterest::Limits;
use Pinaud::Pinterest::OAuth;
use Pinaud::Pinterest::Schema;
use Pinaud::Pinterest::Server;
use Pinaud::TLS;
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->allow_nonref->allow_bignum;


sub new {
    my ($class, %opt) = @_;

    my $tls = $opt{tls} // Pinaud::TLS->new;
    my ($cert, $key) = $tls->server('api.pinterest.com', 'localhost',
        '127.0.0.1');

    my $self = bless { tls => $tls, %opt }, $class;

    $self->{service} = Pinaud::Loop->launch(sub {
        my $loop = shift;
        srand;

        require IO::Socket::SSL;

        my $context = IO::Socket::SSL::SSL_Context->new(
            SSL_server => 1, SSL_cert_file => $cert, SSL_key_file => $key,
        ) or die 'TLS: ' . IO::Socket::SSL::errstr();

        my $state = { loop => $loop };
        start($state);

        $state->{server} = Pinaud::Pinterest::Server->new($loop,
            sub { api($state, @_) });
        $state->{server}{on_answer} = $opt{on_answer};
        $state->{port} = eval { $state->{server}->listen($opt{port} // 0) };
        $state->{failed} = $@;
        $state->{tls_port} = eval {
            $state->{server}->listen($opt{tls_port} // 0, $context) };
        $state->{failed} ||= $@;

        return sub { command($state, @_) };
    });

    eval {
        @$self{qw(port tls_port)} = @{ $self->call('ports') };
        1;
    } or do {
        my $error = $@;
        $self->{service}->stop;
        die $error;
    };

    return $self;
}


sub port { $_[0]{port} }
sub tls_port { $_[0]{tls_port} }
sub address { "127.0.0.1:$_[0]{port}" }
sub tls_address { "127.0.0.1:$_[0]{tls_port}" }
sub tls_name { 'api.pinterest.com' }
sub ca { $_[0]{tls}->ca }
sub tls { $_[0]{tls} }
sub pid { $_[0]{service}->pid }
sub stop { $_[0]{service}->stop }

sub call { my $self = shift; return $self->{service}->call(@_) }
sub token { my ($self, %token) = @_; $self->call('token', \%token)->{token} }
sub revoke { $_[0]->call('revoke', $_[1]) }
sub client { my ($self, %client) = @_; $self->call('client', \%client) }
sub code { my ($self, %code) = @_; $self->call('code', \%code)->{code} }
sub oauth { my ($self, %new) = @_; $self->call('oauth', \%new) }
sub limits { my ($self, %new) = @_; $self->call('limits', \%new) }
sub settings { my ($self, %new) = @_; $self->call('settings', \%new) }
sub fault { my ($self, %fault) = @_; $self->call('fault', \%fault) }
sub clear_faults { $_[0]->call('clear_faults') }
sub forget { $_[0]->call('forget') }
sub reset { $_[0]->call('reset') }
sub refuse { $_[0]->call('refuse') }
sub accept { $_[0]->call('accept') }
sub drop { $_[0]->call('drop') }
sub connections { $_[0]->call('connections') }
sub audiences { @{ $_[0]->call('audiences') } }


sub refresh_token {
    my ($self, %token) = @_;

    return $self->call('refresh', \%token)->{token};
}


sub requests {
    my ($self, $pattern) = @_;

    return grep { !defined $pattern || $_->{target} =~ $pattern }
        @{ $self->call('requests') };
}


# The child's side from here on.

sub start {
    my $state = shift;

    $state->{oauth} = Pinaud::Pinterest::OAuth->new;
    $state->{limits} = Pinaud::Pinterest::Limits->new;
    $state->{audiences} = [];
    $state->{next_id} = 2542620639259;
    $state->{settings} = { strict => 0, custom => 1 };
}


my %commands = (
    ports => sub { die $_[0]{failed} if $_[0]{failed};
        [@{ $_[0] }{qw(port tls_port)}] },
    token => sub { $_[0]{oauth}->access($_[1], time()) },
    refresh => sub { $_[0]{oauth}->refresh($_[1], time()) },
    code => sub { $_[0]{oauth}->code($_[1]) },
    client => sub { $_[0]{oauth}->client($_[1]) },
    revoke => sub { $_[0]{oauth}->revoke($_[1]) },
    oauth => sub { $_[0]{oauth}->set($_[1]) },
    limits => sub { $_[0]{limits}->set($_[1]) },
    settings => sub { set_settings(@_) },
    fault => sub { push @{ $_[0]{server}{faults} }, { times => 1,
        %{ $_[1] } } },
    clear_faults => sub { $_[0]{server}{faults} = [] },
    requests => sub { $_[0]{server}{records} },
    forget => sub { $_[0]{server}{records} = [] },
    audiences => sub { $_[0]{audiences} },
    refuse => sub { $_[0]{server}->refuse },
    accept => sub { $_[0]{server}->accept_again },
    drop => sub { $_->reset for $_[0]{server}->clients },
    connections => sub { scalar @{ [$_[0]{server}->clients] } },
    reset => sub { start($_[0]); $_[0]{server}{faults} = [];
        $_[0]{server}{records} = []; $_[0]{server}->accept_again },
);

sub set_settings {
    my ($state, $new) = @_;

    for my $name (keys %$new) {
        die "no such setting: $name\n" if !exists $state->{settings}{$name};
        $state->{settings}{$name} = $new->{$name};
    }
}


my %answers = map { $_ => 1 } qw(ports token refresh code requests audiences
    connections);


sub command {
    my ($state, $name, $args) = @_;

    my $code = $commands{$name} or die "no such command\n";
    my $value = $code->($state, $args);

    return $answers{$name} ? $value : 1;
}


# A request to (status, value, headers).

sub api {
    my ($state, $request) = @_;

    my $path = $request->{path};

    return token_endpoint($state, $request) if $path eq '/v5/oauth/token';

    my ($account, $rest) = $path =~ m{^/v5/ad_accounts/([^/]+)/(.+)\z}
        or return failure(404, 404, 'Not found.');

    my ($route, $operation) = route($state, $rest)
        or return failure(404, 404, 'Not found.');
    my $category = $route->{$request->{method} =~ s/^HEAD\z/GET/r}
        or return failure(405, 5, 'Method not allowed.');

    my $token = $state->{oauth}->find($request->{fields}{authorization},
        time()) or return failure(401, 2, 'Authentication failed.');

    my ($need) = $category eq 'ads_write' ? 'ads:write' : 'ads:read';

    return failure(401, 3, "Your token lacks the scope '$need'.")
        if !grep { $_ eq $need } split /[ ,]+/, $token->{scope};

    my $verdict = $state->{limits}->count($category, $token->{app},
        $token->{user}, time());

    if ($verdict->{refused}) {
        return (429, { code => 8, message =>
            'You have exceeded your rate limit. Try again later.' },
            [@{ $verdict->{headers} }, ['x-envoy-ratelimited', 'true']]);
    }

    my ($status, $value) = answer($state, $request, $token, $account, $rest,
        $operation);

    return ($status, $value, [@{ $verdict->{headers} }]);
}


sub route {
    my ($state, $rest) = @_;

    return ({ POST => 'ads_write', GET => 'ads_read' }, 'audiences/create')
        if $rest eq 'audiences';

    return ({ POST => 'ads_write' }, 'audiences/create_custom')
        if $rest eq 'audiences/custom' && $state->{settings}{custom};

    return ({ GET => 'ads_read', PATCH => 'ads_write' }, '')
        if $rest =~ m{^audiences/\d+\z};

    return ({ GET => 'ads_read', POST => 'ads_write',
        PATCH => 'ads_write' }, 'campaigns') if $rest eq 'campaigns';

    return;
}


sub answer {
    my ($state, $request, $token, $account, $rest, $operation) = @_;

    return failure(400, 1, "'ad_account_id' does not match '^\\d+\$'")
        if $account !~ /^[0-9]+\z/;
    return failure(400, 1, "'ad_account_id' is too long")
        if length $account > 18;

    return failure(403, 29, 'You are not permitted to access that resource.')
        if $token->{accounts}
            && !grep { $_ eq $account } @{ $token->{accounts} };

    return (200, { items => [], bookmark => undef })
        if $operation eq 'campaigns';

    return list($state, $request, $account)
        if $rest eq 'audiences' && $request->{method} ne 'POST';

    return one($state, $request, $account, $rest =~ m{(\d+)\z})
        if $operation eq '';

    return create($state, $request, $account, $operation);
}


sub create {
    my ($state, $request, $account, $operation) = @_;

    return failure(400, 1, 'The content type is not application/json')
        if ($request->{fields}{'content-type'} // '')
            !~ m{^application/json\s*(?:;|$)}i;

    my $body = eval { $json->decode($request->{record}{body}) };
    return failure(400, 1, 'The body is not JSON') if $@;

    my $why = Pinaud::Pinterest::Schema::check($operation, $body,
        strict => $state->{settings}{strict});
    return failure(400, 1, "Invalid request: $why") if defined $why;

    my $rule = $body->{rule};
    my $now = int time();

    my $audience = {
        id => '' . ++$state->{next_id},
        ad_account_id => $account,
        name => $body->{name},
        audience_type => $body->{audience_type} // told_type($rule),
        description => $body->{description},
        rule => $rule,
        size => 0,
        status => 'INITIALIZING',
        type => 'audience',
        created_timestamp => $now,
        updated_timestamp => $now,
        created_by_company_name => undef,
        is_nca => JSON::PP::false,
    };

    push @{ $state->{audiences} }, $audience;
    return (200, $audience);
}


# No document says how Pinterest tells the type of a custom audience.

sub told_type {
    my $rule = shift;

    return 'CUSTOMER_LIST' if exists $rule->{customer_list_id};
    return 'ACTALIKE' if exists $rule->{seed_id};
    return 'VISITOR' if exists $rule->{visitor_source_id};
    return 'ENGAGEMENT';
}


sub list {
    my ($state, $request, $account) = @_;

    my ($size) = ($request->{query} // '') =~ /(?:^|&)page_size=(\d+)/;
    my ($from) = ($request->{query} // '') =~ /(?:^|&)bookmark=(\d+)/;
    $size //= 25;
    $from //= 0;

    my @all = grep { $_->{ad_account_id} eq $account }
        @{ $state->{audiences} };
    my @page = grep { defined } @all[$from .. $from + $size - 1];

    return (200, { items => \@page,
        bookmark => $from + $size < @all ? '' . ($from + $size) : undef });
}


sub one {
    my ($state, $request, $account, $id) = @_;

    my ($audience) = grep { $_->{id} eq $id
        && $_->{ad_account_id} eq $account } @{ $state->{audiences} }
        or return failure(404, 404, 'Audience not found.');

    if ($request->{method} eq 'PATCH') {
        my $body = eval { $json->decode($request->{record}{body}) };
        return failure(400, 1, 'The body is not JSON')
            if ref $body ne 'HASH';

        for my $name (grep { exists $body->{$_} } qw(name description)) {
            $audience->{$name} = $body->{$name};
        }
    }

    return (200, { %$audience, created_by_company_name => 'Simulated' });
}


sub token_endpoint {
    my ($state, $request) = @_;

    return failure(405, 5, 'Method not allowed.')
        if $request->{method} ne 'POST';

    return failure(400, 1, 'The content type is not a form')
        if ($request->{fields}{'content-type'} // '')
            !~ m{^application/x-www-form-urlencoded}i;

    my %form;

    for my $pair (split /&/, $request->{record}{body}) {
        my ($name, $value) = map { s/\+/ /gr
            =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split /=/, $pair, 2;
        $form{$name} = $value // '';
    }

    return $state->{oauth}->token_endpoint(
        $request->{fields}{authorization}, \%form, time());
}


sub failure {
    my ($status, $code, $message) = @_;

    return ($status, { code => $code, message => $message });
}


1;
