package Pinaud::Pinterest::OAuth;

# Copyright (C) the ngx_pinaud_module authors

# Pinterest's token endpoint and the tokens that it gave out.
#
#   my $oauth = Pinaud::Pinterest::OAuth->new;
#   $oauth->client({ id => '...', secret => '...' });
#   $oauth->access({ token => '...', user => 'u', app => 'a', scope => '...',
#       expires_in => 60, accounts => ['1'] });
#   $oauth->refresh({ token => '...', client => '...', ... });
#   $oauth->code({ code => '...', client => '...', redirect_uri => '...' });
#   my ($status, $answer) = $oauth->token_endpoint($authorization, $form, $now);
#
# How it behaves is a setting, as the documents leave it open:
#
#   rotation       keep: the old refresh token stays good; kill: dead at once
#   family         1: the use of a dead refresh token revokes its descendants
#   old_access     keep: the old access token stays good; kill: dead at once
#   style          current, or old: no refresh token comes back
#   same_second    1: two refreshes in a second answer the same access token
#   expires_in, refresh_expires_in        in seconds

use warnings;
use strict;

use MIME::Base64 qw(decode_base64);


sub new {
    my $class = shift;

    return bless {
        settings => { rotation => 'keep', family => 0, old_access => 'keep',
            style => 'current', same_second => 0, expires_in => 2592000,
            refresh_expires_in => 5184000 },
        clients => {}, access => {}, refresh => {}, codes => {},
        families => 0,
    }, $class;
}


sub set {
    my ($self, $new) = @_;

    for my $name (keys %$new) {
        die "oauth: no such setting: $name\n"
            if !exists $self->{settings}{$name};
        $self->{settings}{$name} = $new->{$name};
    }
}


sub client {
    my ($self, $client) = @_;

    $self->{clients}{$client->{id}} = $client;
    return $client;
}


sub access {
    my ($self, $token, $now) = @_;

    $token->{token} //= random_token('pina_');
    $token->{user} //= 'user';
    $token->{app} //= 'app';
    $token->{scope} //= 'ads:read ads:write';
    $token->{expires} = $now + ($token->{expires_in} // 2592000);

    $self->{access}{$token->{token}} = $token;
    return $token;
}


sub refresh {
    my ($self, $token, $now) = @_;

    $token->{token} //= random_token('pinr.');
    $token->{user} //= 'user';
    $token->{scope} //= 'ads:read ads:write';
    $token->{family} //= ++$self->{families};
    $token->{expires} = $now + ($token->{expires_in}
        // $self->{settings}{refresh_expires_in});

    $self->{refresh}{$token->{token}} = $token;
    return $token;
}


sub code {
    my ($self, $code) = @_;

    $code->{code} //= random_token('');
    $code->{user} //= 'user';
    $code->{scope} //= 'ads:read ads:write';

    $self->{codes}{$code->{code}} = $code;
    return $code;
}


sub revoke {
    my ($self, $token) = @_;

    for my $kind (qw(access refresh)) {
        $self->{$kind}{$token}{dead} = 1 if $self->{$kind}{$token};
    }
}


# The access token of an Authorization field, if it is good.

sub find {
    my ($self, $authorization, $now) = @_;

    my ($token) = ($authorization // '') =~ /^Bearer ([^\s,]+)$/i or return;
    my $found = $self->{access}{$token} or return;

    return if $found->{dead} || $found->{expires} <= $now;
    return $found;
}


sub token_endpoint {
    my ($self, $authorization, $form, $now) = @_;

    my ($basic) = ($authorization // '') =~ /^Basic (\S+)$/i;
    my ($id, $secret) = split /:/, decode_base64($basic // ''), 2;
    my $client = $self->{clients}{$id // ''};

    return (401, failure(2, 'Authentication failed.'))
        if !$client || $client->{secret} ne ($secret // '');

    my $grant = $form->{grant_type} // '';

    return $self->by_refresh_token($client, $form, $now)
        if $grant eq 'refresh_token';
    return $self->by_code($client, $form, $now)
        if $grant eq 'authorization_code';

    return (400, failure(1, "Invalid value for 'grant_type'"));
}


sub by_refresh_token {
    my ($self, $client, $form, $now) = @_;

    my $settings = $self->{settings};
    my $old = $self->{refresh}{$form->{refresh_token} // ''};

    return (400, failure(1, "'refresh_token' is a required property"))
        if !defined $form->{refresh_token};

    return (401, failure(2, 'Authentication failed.'))
        if !$old || $old->{client} ne $client->{id};

    if ($old->{dead} || $old->{expires} <= $now) {
        $self->revoke_family($old->{family})
            if $old->{dead} && $settings->{family};
        return (401, failure(2, 'Authentication failed.'));
    }

    my $scope = $form->{scope} // $old->{scope};
    my %had = map { $_ => 1 } split /[ ,]+/, $old->{scope};

    return (400, failure(1, "Invalid value for 'scope'"))
        if grep { !$had{$_} } split /[ ,]+/, $scope;

    if ($settings->{old_access} eq 'kill') {
        $_->{dead} = 1 for grep { ($_->{family} // '') eq $old->{family} }
            values %{ $self->{access} };
    }

    my $access = $self->same_second($old, $now)
        // $self->access({ user => $old->{user}, app => $client->{id},
            scope => $scope =~ s/,/ /gr, family => $old->{family},
            expires_in => $settings->{expires_in},
            accounts => $old->{accounts} }, $now);

    $old->{last} = { at => $now, access => $access };

    my $new;

    if ($settings->{style} eq 'current') {
        $old->{dead} = 1 if $settings->{rotation} eq 'kill';
        $new = $self->refresh({ client => $client->{id},
            user => $old->{user}, scope => $old->{scope},
            family => $old->{family}, accounts => $old->{accounts} }, $now);
    }

    return (200, $self->answer('refresh_token', $access, $new));
}


sub same_second {
    my ($self, $old, $now) = @_;

    my $last = $old->{last};

    return undef if !$self->{settings}{same_second} || !$last
        || $now - $last->{at} >= 1 || $last->{access}{dead};
    return $last->{access};
}


sub by_code {
    my ($self, $client, $form, $now) = @_;

    my $code = delete $self->{codes}{$form->{code} // ''};

    return (400, failure(1, 'The provided authorization grant is invalid'))
        if !$code || $code->{client} ne $client->{id}
            || $code->{redirect_uri} ne ($form->{redirect_uri} // '');

    my $refresh = $self->refresh({ client => $client->{id},
        user => $code->{user}, scope => $code->{scope},
        accounts => $code->{accounts} }, $now);

    my $access = $self->access({ user => $code->{user},
        app => $client->{id}, scope => $code->{scope},
        family => $refresh->{family}, accounts => $code->{accounts},
        expires_in => $self->{settings}{expires_in} }, $now);

    return (200, $self->answer('authorization_code', $access, $refresh));
}


sub revoke_family {
    my ($self, $family) = @_;

    $_->{dead} = 1 for grep { defined $_->{family}
        && $_->{family} eq $family }
        values %{ $self->{access} }, values %{ $self->{refresh} };
}


sub answer {
    my ($self, $type, $access, $refresh) = @_;

    my %answer = (
        access_token => $access->{token},
        token_type => 'bearer',
        expires_in => int $self->{settings}{expires_in},
        scope => $access->{scope},
        response_type => $type,
    );

    if ($refresh) {
        $answer{refresh_token} = $refresh->{token};
        $answer{refresh_token_expires_in}
            = int $self->{settings}{refresh_expires_in};
        $answer{refresh_token_expires_at} = int $refresh->{expires};
    }

    return \%answer;
}


sub failure { return { code => $_[0], message => $_[1] } }


sub random_token {
    my $prefix = shift;

    my @letters = ('A' .. 'Z', 'a' .. 'z', 0 .. 9);
    return $prefix . join '', map { $letters[rand @letters] } 1 .. 40;
}


1;
