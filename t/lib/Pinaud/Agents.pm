package Pinaud::Agents;

# Copyright (C) the ngx_pinaud_module authors

# Agents with a Redis and a simulated Pinterest.
#
#   my $fleet = Pinaud::Agents->new;                 or with redis => ...,
#                                                    persist => 1
#   my $fleet = Pinaud::Agents->new(gateway => $gw); its Redis, Pinterest, keys
#   $fleet->sim; $fleet->ctl; $fleet->redis;
#   $fleet->enrol('main', expires_in => 60);         tokens that the simulator
#                                                    knows, due at once
#   $fleet->enrol('main', due => 0);                 the same with a month left
#   my $agent = $fleet->agent('a', '--takeover', '5s');     runs; its name is
#                                                    its journal's
#   $agent->stop; $agent->kill; $agent->pause; $agent->resume; $agent->exit;
#   $agent->log; $agent->log('refreshed');           events so far
#   $agent->wait('refreshed', 5);                    the first one, or undef
#   my $shim = Pinaud::Agents::kill_at();            t/lib/kill_at.c, to be
#                                                    preloaded; undef: no cc
#   my $r = $fleet->once('a', '--timeout', '1s');    {exit} {log}
#   $fleet->record('main'); $fleet->secret('main');
#   $fleet->db(7);                                   what follows is of another
#                                                    database of that Redis
#   $fleet->token('main');                           opened by its seal key
#   $fleet->works('main');                           whether Pinterest takes it
#   $fleet->calls; $fleet->calls('a');               of the token endpoint
#   $fleet->secrets_in($text);                       which tokens are in it
#
# The token URL of an agent ends with its name, so that the endpoint's record
# tells who called.

use warnings;
use strict;

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Pinaud::Ctl;
use Pinaud::HTTP qw(get);
use Pinaud::Pinterest;
use Pinaud::Process;
use Pinaud::Redis;
use Time::HiRes qw(time);

use constant CLIENT => '1234567';


sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, dir => temp_dir('agents'), agents => {} },
        $class;

    my $gw = $opt{gateway};
    @$self{qw(redis sim)} = ($gw->redis, $gw->sim) if $gw;

    $self->{redis} //= Pinaud::Redis->new(persist => $opt{persist},
        config => "databases 1024\n" . ($opt{config} // ''));
    $self->{ctl} = Pinaud::Ctl->new(redis => $self->{redis});
    $self->{ctl}{keys} = $gw->{keys} if $gw;
    $self->{sim} //= Pinaud::Pinterest->new;
    $self->{sim}->client(id => CLIENT, secret => SECRET);

    return $self;
}


sub kill_at {
    my $shim = temp_dir('shim') . '/kill_at.so';

    my ($exit) = run_command([$ENV{CC} // 'cc', qw(-O2 -shared -fPIC -o),
        $shim, project_dir() . '/t/lib/kill_at.c', '-ldl']);

    return $exit ? undef : $shim;
}


sub sim { $_[0]{sim} }
sub ctl { $_[0]{ctl} }
sub redis { $_[0]{redis} }
sub dir { $_[0]{dir} }
sub journal { "$_[0]{dir}/$_[1]" }
sub record { return { @{ $_[0]->cmd('HGETALL',
    "pinaud:credential:{$_[1]}") } } }
sub secret { return { @{ $_[0]->cmd('HGETALL',
    "pinaud:secret:{$_[1]}") } } }


sub db {
    my ($self, $db) = @_;

    $self->{db} = $db;
    $self->{url} = $self->{redis}->tcp_url . "/$db";
    $self->{ctl}{url} = $self->{url};
}


sub cmd {
    my ($self, @args) = @_;

    $self->{redis}->cmd('SELECT', $self->{db}) if defined $self->{db};
    return $self->{redis}->cmd(@args);
}


sub enrol {
    my ($self, $name, %opt) = @_;

    my $ctl = $self->{ctl};
    my $access = $opt{access} // $self->{sim}->token(app => CLIENT);
    my $refresh = $opt{refresh}
        // $self->{sim}->refresh_token(client => CLIENT);

    # the agent takes a month for a lifetime that nobody told

    my $left = $opt{expires_in} // ($opt{due} // 1 ? 3600 : 2592000);

    $ctl->must(qw(credential put), $name,
        '--access-token-file', $ctl->file("access-$name", $access),
        '--refresh-token-file', $ctl->file("refresh-$name", $refresh),
        '--client-id', CLIENT, '--client-secret-file',
        $ctl->file('client', $opt{secret} // SECRET), '--expires-in', $left,
        @{ $opt{options} || [] });

    return $refresh;
}


sub command {
    my ($self, $name, @args) = @_;

    my $url = 'http://' . $self->{sim}->address . "/v5/oauth/token?$name";

    unshift @args, '--journal', $self->journal($name)
        if !grep { $_ eq '--journal' } @args;

    return ([$self->{ctl}{binary}, 'agent', '--token-url', $url, @args],
        { PINAUD_REDIS => $self->{url} // $self->{redis}->url,
            PINAUD_ENV_FILE => '/dev/null',
            PINAUD_SEAL_KEY_FILE => $self->{ctl}->keys,
            ASAN_OPTIONS => 'detect_leaks=0' });
}


sub agent {
    my ($self, $name, @args) = @_;

    my $env = ref $args[-1] eq 'HASH' ? pop @args : {};
    my ($command, $base) = $self->command($name, @args);
    my $log = "$self->{dir}/$name.log";

    my $agent = bless { name => $name, log => $log,
        from => -s $log // 0 }, 'Pinaud::Agents::One';
    $agent->{pid} = spawn($command, log => $log, env => { %$base, %$env });

    return $agent;
}


sub once {
    my ($self, $name, @args) = @_;

    my $agent = $self->agent($name, '--once', @args);

    return { exit => $agent->exit(20), log => [$agent->log],
        text => $agent->text };
}


sub token {
    my ($self, $name) = @_;

    # no command prints one: what the simulator granted last is compared

    my $print = $self->{ctl}->must(qw(credential show), $name, '--json')
        ->{json}{fingerprint};
    require Digest::SHA;

    for my $token ($self->granted) {
        return $token if substr(Digest::SHA::sha256_hex($token), 0, 8)
            eq $print;
    }

    return undef;
}


# Access tokens that were handed out, the last first.

sub granted {
    my $self = shift;

    return map { $_->{access_token} } reverse
        grep { ref $_ eq 'HASH' && defined $_->{access_token} }
        map { ref $_->{answer} ? $_->{answer}
            : eval { JSON::PP->new->utf8->decode($_->{answer} // '') } }
        grep { ($_->{status} // 0) == 200 }
        $self->{sim}->requests(qr{^/v5/oauth/token});
}


sub works {
    my ($self, $name) = @_;

    my $token = $self->token($name) // return 0;
    my $r = get($self->{sim}->port,
        '/v5/ad_accounts/' . account() . '/audiences',
        headers => ["Authorization: Bearer $token"]);

    return $r->{status} == 200;
}


sub calls {
    my ($self, $name) = @_;

    return grep { !defined $name || $_->{target} =~ /\?\Q$name\E$/ }
        $self->{sim}->requests(qr{^/v5/oauth/token});
}


sub spent {
    my $call = shift;

    my ($token) = $call->{body} =~ /(?:^|&)refresh_token=([^&]*)/ or return '';
    return $token =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
}


sub secrets_in {
    my ($self, $text) = @_;

    my @tokens = grep { length } SECRET, encode_base64(CLIENT . ':' . SECRET,
        ''), map { spent($_) } $self->calls;
    push @tokens, $self->granted;

    return grep { index($text, $_) >= 0 } @tokens;
}


package Pinaud::Agents::One;

use warnings;
use strict;

use Pinaud::Process;


sub pid { $_[0]{pid} }
sub name { $_[0]{name} }
sub pause { freeze($_[0]{pid}); $_[0] }
sub resume { kill 'CONT', $_[0]{pid}; $_[0] }
sub running { alive($_[0]{pid}) }


# The exit code, or 128 and the signal.

sub exit {
    my ($self, $patience) = @_;

    my $status;

    wait_until(sub {
        return 1 if waitpid($self->{pid}, POSIX::WNOHANG()) == 0 ? 0
            : do { $status = $?; 1 };
        0;
    }, $patience // 10) or return undef;

    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}


sub stop {
    my $self = shift;

    kill 'TERM', $self->{pid};
    return $self->exit(@_);
}


sub kill {
    my $self = shift;

    CORE::kill('KILL', $self->{pid});
    return $self->exit(@_);
}


sub text {
    my $self = shift;

    return substr slurp($self->{log}), $self->{from};
}


sub log {
    my ($self, $event) = @_;

    return grep { !defined $event || $_->{event} eq $event }
        map { eval { JSON::PP->new->utf8->decode($_) }
            // { event => 'no JSON', text => $_ } }
        grep { /\n\z/ } split /^/, $self->text;
}


sub wait {
    my ($self, $event, $patience, $code) = @_;

    my $found;

    wait_until(sub {
        ($found) = grep { !$code || $code->($_) } $self->log($event);
        defined $found;
    }, $patience // 5);

    return $found;
}


1;
