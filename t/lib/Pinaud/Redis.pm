package Pinaud::Redis;

# Copyright (C) the ngx_pinaud_module authors

# A private real Redis, and a small client of it.
#
#   my $redis = Pinaud::Redis->new;                 listens on a port and on a
#                                                   unix socket
#   my $redis = Pinaud::Redis->new(config => "maxclients 10\n",
#       persist => 1, password => '...', start => 0,
#       user => 'name',                             we log in as this one
#       tls => [$cert, $key, $ca, 'yes'])           and on another port with
#                                                   TLS; 'yes': clients need a
#                                                   certificate of that CA
#   $redis->socket; $redis->port; $redis->url;      'unix:/...'
#   $redis->tcp_url;                                'redis://127.0.0.1:PORT'
#   $redis->tcp_url('user');                        'redis://user@127...'
#   $redis->tls_port; $redis->tls_url;              'rediss://127.0.0.1:PORT'
#   $redis->cmd('HSET', 'key', 'field', 'value');   perl values: undef is nil,
#                                                   arrays are references
#   my $value = $redis->try('EVAL', '...');         an error as an object:
#   ref $value eq 'Pinaud::Redis::Error', "$value"  cmd dies with it instead
#   $redis->stop; $redis->kill; $redis->start; $redis->restart;
#   $redis->pause; $redis->resume;                  SIGSTOP, SIGCONT
#   $redis->connect                                 a raw socket
#
# Nothing is persisted unless "persist" is set; then an append-only file,
# fsynced always, keeps the data over kill and start. The server stops when
# the object goes.

use warnings;
use strict;

use IO::Select;
use IO::Socket::UNIX;
use Pinaud::Process;
use Time::HiRes qw(time);


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        dir => temp_dir('redis'),
        port => $opt{port} // free_port(),
        config => $opt{config} // '',
        persist => $opt{persist},
        user => $opt{user},
        password => $opt{password},
        tls => $opt{tls},
        tls_port => $opt{tls} ? free_port() : undef,
        binary => $ENV{PINAUD_REDIS_SERVER} // 'redis-server',
    }, $class;

    $self->{socket} = "$self->{dir}/redis.sock";
    $self->start unless defined $opt{start} && !$opt{start};

    return $self;
}


sub socket { $_[0]{socket} }
sub port { $_[0]{port} }
sub dir { $_[0]{dir} }
sub pid { $_[0]{pid} }
sub url { "unix:$_[0]{socket}" }
sub tcp_url { url_of('redis', @_[1 .. $#_], $_[0]{port}) }
sub tls_port { $_[0]{tls_port} }
sub tls_url { url_of('rediss', @_[1 .. $#_], $_[0]{tls_port}) }
sub log { slurp("$_[0]{dir}/redis.log") }


sub url_of {
    my $port = pop;
    my ($scheme, $user) = @_;

    return "$scheme://" . (defined $user ? "$user\@" : '')
        . "127.0.0.1:$port";
}


sub configuration {
    my $self = shift;

    my $config = <<EOF;
bind 127.0.0.1 -::1
port $self->{port}
unixsocket $self->{socket}
unixsocketperm 777
dir $self->{dir}
save ""
daemonize no
databases 4
EOF

    $config .= $self->{persist}
        ? "appendonly yes\nappendfsync always\n" : "appendonly no\n";

    $config .= "requirepass $self->{password}\n"
        if defined $self->{password} && !defined $self->{user};

    if ($self->{tls}) {
        my ($cert, $key, $ca, $clients) = @{ $self->{tls} };

        $config .= "tls-port $self->{tls_port}\ntls-cert-file $cert\n"
            . "tls-key-file $key\ntls-ca-cert-file $ca\n"
            . 'tls-auth-clients ' . ($clients // 'no') . "\n";
    }

    return $config . $self->{config};
}


sub start {
    my $self = shift;

    spew("$self->{dir}/redis.conf", $self->configuration);

    unlink $self->{socket};

    $self->{pid} = spawn([$self->{binary}, "$self->{dir}/redis.conf",
        @{ $self->{args} || [] }], log => "$self->{dir}/redis.log");

    wait_until(sub { !alive($self->{pid}) || $self->answers }, 10);

    die "$self->{binary} does not start:\n" . $self->log
        if !alive($self->{pid}) || !$self->answers;

    return $self;
}


sub answers {
    my $self = shift;

    my $value = eval { $self->try('PING') };
    return defined $value && $value !~ /^LOADING/;
}


sub stop {
    my $self = shift;

    delete $self->{client};
    CORE::kill('CONT', $self->{pid}) if $self->{pid};
    stop_process(delete $self->{pid}, 'TERM', 5);

    return $self;
}


sub kill {
    my $self = shift;

    delete $self->{client};
    stop_process(delete $self->{pid}, 'KILL', 5);

    return $self;
}


sub restart {
    my $self = shift;

    return $self->stop->start;
}


sub pause { freeze($_[0]{pid}); $_[0] }
sub resume { CORE::kill('CONT', $_[0]{pid}); $_[0] }


sub connect {
    my $self = shift;

    return IO::Socket::UNIX->new(Peer => $self->{socket})
        || die "connect to $self->{socket}: $!\n";
}


sub cmd {
    my ($self, @args) = @_;

    my $value = $self->try(@args);
    die $value if ref $value eq 'Pinaud::Redis::Error';

    return $value;
}


sub try {
    my ($self, @args) = @_;

    if (!$self->{client}) {
        my $client = { socket => $self->connect, buffer => '' };

        ask($client, 'AUTH', $self->{user} // 'default', $self->{password})
            if defined $self->{password};
        $self->{client} = $client;
    }

    my $value = eval { ask($self->{client}, @args) };

    if (my $error = $@) {
        delete $self->{client};
        die $error;
    }

    return $value;
}


# Of any server: ask({ socket => $socket, buffer => '' }, 'PING')

sub ask {
    my ($client, @args) = @_;

    syswrite($client->{socket}, command(@args)) or die "Redis: $!\n";
    $client->{end} = time() + ($client->{timeout} // 10);

    return read_value($client);
}


sub command {
    my @args = @_;

    for my $arg (@args) {
        $arg = "$arg";
        utf8::encode($arg) if utf8::is_utf8($arg);
    }

    return '*' . @args . "\r\n"
        . join('', map { '$' . length($_) . "\r\n$_\r\n" } @args);
}


sub read_value {
    my $client = shift;

    my $line = read_bytes($client, undef);
    my ($type, $rest) = $line =~ /^(.)(.*)\z/s
        or die "Redis: an empty line\n";

    return $rest if $type eq '+';
    return 0 + $rest if $type eq ':';
    return Pinaud::Redis::Error->new($rest) if $type eq '-';

    if ($type eq '$') {
        return undef if $rest < 0;
        my $bytes = read_bytes($client, $rest + 2);
        return substr $bytes, 0, $rest;
    }

    if ($type eq '*') {
        return undef if $rest < 0;
        return [ map { scalar read_value($client) } 1 .. $rest ];
    }

    die "Redis: an unknown type of reply\n";
}


sub read_bytes {
    my ($client, $need) = @_;

    while (1) {
        if (defined $need) {
            return substr $client->{buffer}, 0, $need, ''
                if length $client->{buffer} >= $need;

        } elsif ($client->{buffer} =~ s/^(.*?)\r\n//s) {
            return $1;
        }

        my $left = $client->{end} - time();
        die "Redis: no reply in time\n" if $left <= 0
            || !IO::Select->new($client->{socket})->can_read($left);

        my $n = sysread $client->{socket}, $client->{buffer}, 65536,
            length $client->{buffer};
        die "Redis: connection lost\n" if !$n;
    }
}


sub DESTROY {
    my $self = shift;

    return if ${^GLOBAL_PHASE} ne 'RUN';

    local ($@, $?, $!);
    $self->stop if $self->{pid};
}


package Pinaud::Redis::Error;

use overload '""' => sub { ${ $_[0] } }, fallback => 1;

sub new { my ($class, $text) = @_; return bless \$text, $class }


1;
