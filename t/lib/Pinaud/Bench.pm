package Pinaud::Bench;

# Copyright (C) the ngx_pinaud_module authors

# What measurements of the gateway beside bare proxy_pass share: a Redis, an
# upstream that answers at once, and nginxes of one worker, with the module and
# without, that are alike in all other things.
#
#   my $bench = Pinaud::Bench->new;     enrolled: credential main, an account,
#                                       team growth, limits that are not reached
#   $bench->path; $bench->bodies;       what is asked; the last is a file
#   $bench->redis; $bench->upstream; $bench->tls; $bench->dir;
#   my $nginx = $bench->proxy('bare', 'http', start => 1);
#   my $nginx = $bench->proxy('gateway', 'https', redis => 'redis://...',
#       %more);                         more: options of Pinaud::Nginx
#   $bench->alike($bare, $gateway);     both pass the same on
#   $bench->ask($nginx, 100, 16);       requests, over so many connections
#   place(0, @pids);                    on this core only, where there are two
#   real_time(1, @pids);                before all others, where that is
#                                       allowed; those of 2 before those of 1
#   soon(1, 'wrk', ...);                a command that begins so, on core 1
#   compiled('t/bench/paced.c', '-lm')  the program
#   median(@values); give_up('why'); first_in_path('wrk');
#
# Redis speaks TLS, too, with a certificate of $bench->tls for 127.0.0.1.

use warnings;
use strict;

use Exporter qw(import);
use IO::Socket::INET;
use Pinaud::Nginx;
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::TLS;

our @EXPORT = qw(place real_time soon compiled median give_up first_in_path);

my $account = '549755885175';
my $taskset;


sub new {
    my $class = shift;

    my $self = bless { dir => temp_dir('bench'), tls => Pinaud::TLS->new },
        $class;

    my @node = $self->{tls}->node('127.0.0.1');

    $self->{texts} = [map { body_of($_) } 414, 510, 606, 710, 796];
    spew("$self->{dir}/bodies", join '', map { "$_\n" } @{ $self->{texts} });

    Pinaud::Nginx::no_tests();

    $self->{redis} = Pinaud::Redis->new(tls => [@node, $self->{tls}->ca]);
    $self->{upstream} = $self->start_upstream;
    $self->enrol;

    return $self;
}


sub path { "/v5/ad_accounts/$account/audiences" }
sub dir { $_[0]{dir} }
sub tls { $_[0]{tls} }
sub redis { $_[0]{redis} }
sub upstream { $_[0]{upstream} }
sub bodies { "$_[0]{dir}/bodies" }
sub lengths { map { length } @{ $_[0]{texts} } }


# A body that is edited once, filled up to a size.

sub body_of {
    my $size = shift;

    my $body = '{"name":"Checkout visitors, last 180 days",'
        . '"audience_type":"VISITOR","description":"",'
        . '"rule":{"visitor_source_id":"2617998078212","retention_days":"180",'
        . '"event_source":{"=":["web","mobile"]},"event":"checkout",'
        . '"event_data":{"currency":"USD","value":116.10,"order_quantity":2,'
        . '"line_items":[{"product_id":"11","product_name":"Red boots",'
        . '"product_price":48}]},"prefill":true}}';

    my $fill = substr 'Everyone who bought something in the shop lately, '
        x 12, 0, $size - length $body;

    return $body =~ s/(?<="description":")/$fill/r;
}


sub start_upstream {
    my $self = shift;

    my ($cert, $key) = $self->{tls}->server('api.pinterest.com');

    return Pinaud::Nginx->new(load => 0, start => 1, http => <<CONF);
    keepalive_requests 1000000000;
    keepalive_timeout 1h;

    server {
        listen 127.0.0.1:%%PORT:http%%;
        listen 127.0.0.1:%%PORT:https%% ssl;
        ssl_certificate $cert;
        ssl_certificate_key $key;

        location / {
            default_type application/json;
            return 200 '{"id":"2542620639259","name":"Checkout visitors"}';
        }
    }
CONF
}


sub proxy {
    my ($self, $kind, $scheme, %more) = @_;

    my $gateway = $kind eq 'gateway';
    my $proxy = slurp(project_dir() . '/conf/pinaud-proxy.conf');
    my $redis = delete $more{redis} // $self->redis->url;
    my $ca = $self->{tls}->ca;

    # under callgrind all handshakes at once take longer
    $proxy =~ s/^(proxy_connect_timeout) .*/$1 60s;/m;

    my $store = $gateway ? <<CONF : '';
    pinaud_redis $redis;
    pinaud_redis_ssl_trusted_certificate $ca;
    pinaud_redis_timeout 5s;
    pinaud_redis_connect_timeout 10s;
    pinaud_seal_key_file $self->{dir}/seal.key;
CONF

    $store =~ s/^.*_ssl_.*\n//m if $redis !~ /^rediss:/;

    my $team = $gateway ? <<CONF : '';
            pinaud on;
            pinaud_team \$http_x_team;
CONF

    return Pinaud::Nginx->new(load => $gateway, %more, http => <<CONF);
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    proxy_ssl_trusted_certificate $ca;

$store
    upstream pinterest {
        server 127.0.0.1:@{[ $self->upstream->port($scheme) ]};
        keepalive 64;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }

    server {
        listen 127.0.0.1:%%PORT:http%%;

        location /v5/ {
$team
            proxy_pass $scheme://pinterest;
            $proxy
        }
    }
CONF
}


# One credential, account and team, each with a limit that is never reached,
# so that every bucket is checked and charged.

sub enrol {
    my $self = shift;

    spew("$self->{dir}/seal.key", $self->ctl('', qw(seal-key generate)), 0600);

    $self->ctl('bench-token', qw(credential put main --access-token-file -
        --expires-in 86400 --limit 1000000/5s --limit-all 1000000/1s));
    $self->ctl('', qw(account put), $account, qw(--credential main
        --limit 1000000/5s));
    $self->ctl('', qw(team put growth --account), $account,
        qw(--limit 1000000/5s));
}


sub ctl {
    my ($self, $input, @args) = @_;

    my ($exit, $output) = run_command([project_dir() . '/build/pinaudctl',
        @args], input => $input, env => { PINAUD_REDIS => $self->redis->url,
            PINAUD_SEAL_KEY_FILE => "$self->{dir}/seal.key" });

    give_up("pinaudctl @args: $output") if $exit;
    return $output;
}


# Both pass the same requests on, and the gateway works on them.

sub alike {
    my ($self, $bare, $gateway) = @_;

    my ($plain, $worked) = map { $self->ask($_, scalar $self->lengths, 1) }
        $bare, $gateway;

    give_up("the gateway did not do its work: $worked")
        if $worked !~ /^Pinaud-Outcome: forwarded\r?$/mi
            || $worked !~ /^Pinaud-Edits: /mi;

    give_up("answers differ: $plain $worked")
        if $plain !~ /\r\n\r\n(.*)/s || $worked !~ /\r\n\r\n\Q$1\E\z/;
}


# Sends so many requests over some connections, one at once over each; "held"
# is called while the first are under way. Returns the last answer; all have to
# be 200.

sub ask {
    my ($self, $nginx, $requests, $lanes, $held) = @_;

    my @texts = map {
        'POST ' . $self->path . " HTTP/1.1\r\nHost: bench\r\n"
            . "X-Team: growth\r\nUser-Agent: bench\r\n"
            . "Content-Type: application/json\r\n"
            . 'Content-Length: ' . length($_) . "\r\n\r\n$_"
    } @{ $self->{texts} };

    my @sockets = map {
        IO::Socket::INET->new(PeerAddr => $nginx->address, Timeout => 10)
            || give_up('connect to ' . $nginx->address . ": $!")
    } 1 .. $lanes;

    my $last;

    for (my $sent = 0; $sent < $requests; $sent += $lanes) {
        for my $i (0 .. $lanes - 1) {
            $sockets[$i]->syswrite($texts[($sent + $i) % @texts]);
        }

        $held->() if $held && !$sent;

        for my $socket (@sockets) {
            $last = answer($socket);
            give_up("not a 200: $last") if $last !~ m{^HTTP/1.1 200 };
        }
    }

    return $last;
}


sub answer {
    my $socket = shift;

    my $text = '';

    local $SIG{ALRM} = sub { give_up("30 s after: '$text'") };
    alarm 30;

    while ($text !~ /^Content-Length: (\d+)\r\n.*?\r\n\r\n/msi
        || length $text < $+[0] + $1)
    {
        sysread $socket, $text, 65536, length $text
            or give_up("the connection ends after '$text'");
    }

    alarm 0;

    return $text;
}


# ------------------------------------------------------------------ processes

sub first_in_path {
    my $name = shift;

    return (grep { -x } map { "$_/$name" } split /:/, $ENV{PATH})[0];
}


# Empty where there is but one core.

sub taskset {
    return $taskset if defined $taskset;

    my $cores = () = slurp('/proc/cpuinfo') =~ /^processor/mg;

    return $taskset = $cores > 1 && first_in_path('taskset') || '';
}


sub place {
    my ($core, @pids) = @_;

    for my $pid (taskset() ? @pids : ()) {
        my ($exit, $output) = run_command([taskset(), '-acp', $core, $pid]);
        give_up("taskset: $output") if $exit;
    }
}


sub real_time {
    my ($priority, @pids) = @_;

    run_command(['chrt', '--rr', '--pid', $priority, $_]) for @pids;
}


sub soon {
    my ($core, @command) = @_;

    my ($exit) = run_command([qw(chrt --rr 1 true)]);

    unshift @command, qw(chrt --rr 1) if !$exit;
    unshift @command, taskset(), '-c', $core if taskset();

    return @command;
}


sub compiled {
    my ($source, @libs) = @_;

    my $program = temp_dir('compiled') . '/' . ($source =~ m{(\w+)\.c$})[0];
    my ($exit, $output) = run_command([$ENV{CC} // 'cc', qw(-O2 -Wall -Wextra),
        '-o', $program, project_dir() . "/$source", @libs]);
    give_up("$source: $output") if $exit;

    return $program;
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return ($sorted[@sorted / 2] + $sorted[$#sorted / 2]) / 2;
}


sub give_up {
    print STDERR "$0: $_[0]\n";
    exit 2;
}


1;
