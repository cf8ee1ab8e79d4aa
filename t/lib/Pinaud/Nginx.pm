package Pinaud::Nginx;

# Copyright (C) the ngx_pinaud_module authors

# A real nginx with the module, in a folder of its own.
#
#   my $nginx = Pinaud::Nginx->new(
#       http => '...',              directives inside http {}
#       main => '...',              lines at the top
#       events => '...',            directives inside events {}
#       conf => '...',              instead of these: the whole file
#       workers => 2,               1 unless told
#       connections => 4096,        of a worker, 1024 unless told
#       master => 0,                one process only
#       debug => 1,                 error.log at debug instead of info
#       load => 0,                  without load_module
#       env => { NAME => 'value' }, of the processes
#       allow => qr/.../,           alerts that this test provokes
#       start => 1);
#
# In all of these %%PORT:name%% is a free port, the same one for a name each
# time (also $nginx->port('name')), and %%DIR%% the folder.
#
#   $nginx->write('name', $bytes);      a file there; returns its path
#   $nginx->start; $nginx->stop;        stop is quit, in order
#   $nginx->kill;                       of everything at once
#   $nginx->reload; $nginx->conf($text) replaces the file for the next of these
#   $nginx->workers; $nginx->kill_worker('KILL');
#   $nginx->log; $nginx->wait_log(qr/.../, 5); $nginx->mark; log since the mark
#   my ($exit, $output) = $nginx->test_config($http or undef);   nginx -t
#   finish();                           instead of done_testing
#
# finish stops everything and adds two tests over all nginxes of the file:
# error.log holds no alert, and no sanitizer reported anything.
#
# Environment: PINAUD_NGINX (the binary), PINAUD_MODULE (the module's file;
# empty: it is built in), PINAUD_TEST_LEAVE (keep the folders),
# PINAUD_TEST_LOG (print error.log at the end).

use warnings;
use strict;

use Exporter qw(import);
use IO::Socket::INET;
use Pinaud::Process;
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(finish);

my (@all, $finished, $version);
my $main = $$;


sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, dir => temp_dir('nginx'), ports => {},
        mark => 0, binary => binary() }, $class;

    mkdir "$self->{dir}/$_" for qw(logs temp);
    $self->{error_log} = "$self->{dir}/logs/error.log";

    # what the sanitizers write has to be writable for workers, which may have
    # become another user

    mkdir "$self->{dir}/sanitizer";
    chmod 0777, "$self->{dir}/sanitizer";

    # what nginx itself leaves to the system: events, sessions of upstreams,
    # contexts in which expressions were compiled

    $self->write('lsan', "leak:ngx_event_process_init\nleak:libssl.so\n"
        . "leak:ngx_regex_compile\n");

    push @all, $self;
    $self->conf;
    $self->start if $opt{start};

    return $self;
}


sub binary { $ENV{PINAUD_NGINX} || '/usr/sbin/nginx' }


sub module {
    return $ENV{PINAUD_MODULE} if defined $ENV{PINAUD_MODULE};
    return project_dir() . '/build/ngx_pinaud_module.so';
}


sub has {
    my ($class, $option) = @_;

    $version //= (run_command([binary(), '-V']))[1];
    return $version =~ /\Q$option\E/;
}


# Since then locations share a context of TLS, so that "nginx -t" sees less.

sub shares_tls {
    return (run_command([binary(), '-v']))[1] =~ m{nginx/1\.(\d+)}
        && $1 >= 23;
}


sub dir { $_[0]{dir} }
sub address { '127.0.0.1:' . $_[0]->port('http') }


sub port {
    my ($self, $name) = @_;

    return $self->{ports}{$name} //= free_port();
}


sub fill {
    my ($self, $text) = @_;

    $text =~ s/%%PORT:(\w+)%%/$self->port($1)/ge;
    $text =~ s/%%DIR%%/$self->{dir}/g;

    return $text;
}


sub write {
    my ($self, $name, $text, $mode) = @_;

    return spew("$self->{dir}/$name", $text, $mode);
}


# Writes the configuration; with new directives of http if there are any.

sub conf {
    my ($self, $http) = @_;

    $self->{http} = $http if defined $http;
    $self->{text} = $self->fill($self->{conf} // $self->standard);
    $self->write('nginx.conf', $self->{text});

    return $self;
}


sub standard {
    my $self = shift;

    my $module = $self->{load} // 1 ? module() : '';
    my $load = length $module ? "load_module $module;\n" : '';
    my $user = $> == 0 ? "user @{[ $self->{user} // nobody() ]};\n" : '';
    my $level = $self->{debug} ? 'debug' : 'info';
    my $workers = $self->{workers} // 1;
    my $master = $self->{master} // 1 ? 'on' : 'off';
    my $access_log = ($self->{http} // '') =~ /^\s*access_log/m
        ? '' : 'access_log off;';
    my $env = join '', map { "env $_;\n" } sort keys %{ $self->{env} || {} };

    my $temp = join '', map { "    ${_}_temp_path %%DIR%%/temp/$_;\n" }
        grep { !$self->has("--without-http_${_}_module") }
        qw(client_body proxy fastcgi uwsgi scgi);

    return <<EOF;
$load${user}daemon off;
master_process $master;
worker_processes $workers;
pid %%DIR%%/nginx.pid;
error_log $self->{error_log} $level;
env ASAN_OPTIONS;
env UBSAN_OPTIONS;
env LSAN_OPTIONS;
$env@{[ $self->{main} // '' ]}
events {
    worker_connections @{[ $self->{connections} // 1024 ]};
    @{[ $self->{events} // '' ]}
}

http {
    $access_log
$temp
@{[ $self->{http} // '' ]}
}
EOF
}


# nobody has a group of another name here and there

sub nobody {
    return defined getgrnam('nobody') ? 'nobody' : 'nobody nogroup';
}


sub command {
    my ($self, @more) = @_;

    return [$self->{binary}, '-p', "$self->{dir}/", '-c', 'nginx.conf',
        '-e', $self->{error_log}, @more];
}


sub environment {
    my ($self, %opt) = @_;

    my $leaks = $opt{leaks} // 1;
    my $path = "log_path=$self->{dir}/sanitizer/report";

    return {
        ASAN_OPTIONS => "detect_leaks=$leaks:detect_odr_violation=0:"
            . "fast_unwind_on_malloc=0:$path:"
            . ($ENV{ASAN_OPTIONS} // ''),
        UBSAN_OPTIONS => "print_stacktrace=1:$path:"
            . ($ENV{UBSAN_OPTIONS} // ''),
        LSAN_OPTIONS => "suppressions=$self->{dir}/lsan:"
            . ($ENV{LSAN_OPTIONS} // ''),
        %{ $self->{env} || {} },
    };
}


sub start {
    my $self = shift;

    die "nginx runs already\n" if $self->{pid};

    $self->{pid} = spawn($self->command, log => "$self->{dir}/logs/output",
        env => $self->environment, death => 'TERM');

    my $ready = wait_until(sub {
        !alive($self->{pid}) || $self->listens
    }, 15);

    if (!$ready || !alive($self->{pid})) {
        my $output = slurp("$self->{dir}/logs/output") || $self->log;
        stop_process(delete $self->{pid}, 'KILL', 5);
        die "nginx does not start:\n$output";
    }

    return $self;
}


sub listens {
    my $self = shift;

    return 0 if !-s "$self->{dir}/nginx.pid";
    return 0 if ($self->{master} // 1)
        && $self->workers < ($self->{workers} // 1);

    while ($self->{text} =~ /^\s*listen\s+(?:127\.0\.0\.1:)?(\d+)[ ;]/mg) {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $1)
            or return 0;
    }

    while ($self->{text} =~ /^\s*listen\s+unix:(\S+?)[ ;]/mg) {
        return 0 if !-S $1;
    }

    return 1;
}


sub stop {
    my $self = shift;

    return $self if !$self->{pid};

    stop_process(delete $self->{pid}, 'QUIT', $self->{patience} // 10)
        or Test::More::diag('nginx did not quit in time and was killed');

    return $self;
}


sub kill {
    my $self = shift;

    my @workers = $self->workers;
    stop_process(delete $self->{pid}, 'KILL', 5);
    CORE::kill('KILL', @workers) if @workers;
    unlink "$self->{dir}/nginx.pid";

    return $self;
}


# Returns when the new workers are there and the old ones know that they are
# to end; these may still be working.

sub reload {
    my $self = shift;

    my %old = map { $_ => 1 } $self->workers;
    my $before = length $self->log;

    CORE::kill('HUP', $self->{pid});

    wait_until(sub {
        my @now = $self->workers;
        my $new = grep { !$old{$_} } @now;
        $new == @now && $new >= ($self->{workers} // 1)
            || substr($self->log, $before) =~ /\[emerg\]/;
    }, 10);

    return $self;
}


# Those that serve, not the ones that are shutting down.

sub workers {
    my $self = shift;

    return if !$self->{pid};

    my @pids = split ' ', slurp(
        "/proc/$self->{pid}/task/$self->{pid}/children");

    return grep { slurp("/proc/$_/cmdline") =~ /worker process(?! is)/ }
        @pids;
}


sub kill_worker {
    my ($self, $signal) = @_;

    my ($worker) = my @old = $self->workers;
    my %old = map { $_ => 1 } @old;

    CORE::kill($signal // 'KILL', $worker);
    wait_until(sub { grep { !$old{$_} } $self->workers }, 5);

    return $worker;
}


sub log { slurp($_[0]{error_log}) }
sub mark { $_[0]{mark} = length $_[0]->log; $_[0] }
sub log_since { substr $_[0]->log, $_[0]{mark} }


sub wait_log {
    my ($self, $pattern, $patience) = @_;

    return wait_until(sub { $self->log_since =~ $pattern }, $patience // 5);
}


# The exit code and all that nginx -t says, without times and this folder's
# name, of the standard configuration with these directives of http, which
# are in %%DIR%%/test_http.conf.

sub test_config {
    my ($self, $http) = @_;

    # in a file of its own, so that lines are counted from its beginning
    $self->write('test_http.conf', $self->fill($http // $self->{http}));
    local $self->{http} = 'include test_http.conf;';

    my $text = $self->fill($self->{conf} // $self->standard);
    $text =~ s/^error_log .*$/error_log stderr info;/m;
    $self->write('test.conf', $text);

    # a process that only tests leaves its memory to the system

    my ($exit, $output) = run_command([$self->{binary}, '-t', '-p',
        "$self->{dir}/", '-c', 'test.conf', '-e', 'stderr'],
        env => $self->environment(leaks => 0));

    # what is written before error_log is read goes twice: stderr is the log
    my %seen;
    my @lines = grep { !$seen{$_}++ }
        map { s/^\d{4}\S+ \S+ (\[\w+\]) \d+#\d+: /nginx: $1 /r }
        split /\n/, $output;

    return ($exit, join('', map { s/\Q$self->{dir}\E/%%DIR%%/gr . "\n" }
        @lines));
}


sub alerts {
    my $self = shift;

    my @allow = ref $self->{allow} eq 'ARRAY' ? @{ $self->{allow} }
        : grep { defined } $self->{allow};

    return grep {
        my $line = $_;
        $line =~ /\[(?:alert|crit|emerg)\]/ && !grep { $line =~ $_ } @allow;
    } split /^/, $self->log;
}


sub sanitizer_reports {
    my $self = shift;

    my @texts = ($self->log, slurp("$self->{dir}/logs/output"),
        map { slurp($_) } glob "$self->{dir}/sanitizer/*");

    return grep { /Sanitizer|runtime error:/ } @texts;
}


sub allow {
    my ($self, @patterns) = @_;

    my $allow = $self->{allow};
    $self->{allow} = [ref $allow eq 'ARRAY' ? @$allow
        : grep({ defined } $allow), @patterns];

    return $self;
}


sub finish {
    my @skip = @_;

    $finished = 1;
    $_->stop for @all;

    my @alerts = map { $_->alerts } @all;
    my @reports = map { $_->sanitizer_reports } @all;

    Test::More::is(join('', @alerts), '', 'no alerts');
    Test::More::is(join('', @reports), '', 'no sanitizer reports');

    if ($ENV{PINAUD_TEST_LOG}) {
        Test::More::diag($_->log) for @all;
    }

    Test::More::done_testing();
}


# For programs that are no tests.

sub no_tests { $finished = 1 }


END {
    if ($$ == $main && @all && !$finished && $? == 0) {
        print STDERR "# finish() was not called\n";
        $? = 1;
    }
}


1;
