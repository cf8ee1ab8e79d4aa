package Pinaud::Ctl;

# Copyright (C) the ngx_pinaud_module authors

# pinaudctl, as an operator types it.
#
#   my $ctl = Pinaud::Ctl->new;                    with a Redis of its own
#   my $ctl = Pinaud::Ctl->new(redis => $redis, url => $redis->tcp_url,
#       env => {...});                             of all that is run
#   $ctl->redis; $ctl->dir; $ctl->keys;            the seal key file
#   $ctl->seal;                                    its key, see Pinaud::Seal
#   my $r = $ctl->run('account', 'list', { input => 'bytes', env => {...} });
#   $r->{exit}; $r->{out}; $r->{err}; $r->{json};  json: undef where it is none
#   $ctl->must('credential', 'put', 'main');         dies where it fails
#   $ctl->enrol;                                   credential main with a
#                                                  token, account, team growth
#   $ctl->file('name', 'text');                    a file, and its path
#   my $r = $ctl->authorize([@options], sub {    "credential authorize", with
#       my %query = @_; "https://...?code=..." });    what a browser brings back
#   my @r = $ctl->at_once([@command], [@command], ...);    by many operators
#   done($ctl, $exit, qr/out/, qr/err/, 'name', @command);    a test
#   store_fails($ctl, 'name', qr/err/, $seconds, @command);    one, of a Redis
#                                                  that can't be used
#
# Whatever is run, no output may hold one of $ctl->secrets, nor what a terminal
# takes for a command: they are looked for in each.

use warnings;
use strict;

use Exporter qw(import);
use File::Temp ();
use JSON::PP ();
use Pinaud::Process;
use Pinaud::Redis;
use Pinaud::Seal;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(done store_fails account TOKEN REFRESH SECRET);

use constant TOKEN => 'pina_ATOKENofMAINwhichISnobodysBUSINESS';
use constant REFRESH => 'pinr_AREFRESHtokenTHATnobodySEES';
use constant SECRET => 'aCLIENTsecretOFtheAPP0123456789';


sub account { '549755885175' }


sub binary { $ENV{PINAUD_CTL} // project_dir() . '/build/pinaudctl' }


sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, dir => temp_dir('ctl') }, $class;

    $self->{redis} //= Pinaud::Redis->new;
    $self->{url} //= $self->{redis}->url;
    $self->{binary} = binary();

    die "$self->{binary}: not there, make builds it\n"
        if !-x $self->{binary};

    # not before the keys are there, since these are run without any

    my $key = $self->run('seal-key', 'generate');
    die "seal-key generate: $key->{err}" if $key->{exit};

    $self->{keys} = $self->file('seal.key', $key->{out});
    $self->{secrets} = [TOKEN, REFRESH, SECRET,
        $key->{out} =~ /:(.*)/ ? $1 : ()];

    return $self;
}


sub redis { $_[0]{redis} }
sub dir { $_[0]{dir} }
sub keys { $_[0]{keys} }
sub seal { Pinaud::Seal->new(slurp($_[0]{keys})) }
sub secrets { @{ $_[0]{secrets} || [] } }


sub file {
    my ($self, $name, $text) = @_;

    return spew("$self->{dir}/$name", $text, 0600);
}


sub run {
    my ($self, @args) = @_;

    return $self->finish($self->begin(@args));
}


# In two steps, for who wants to see it run.

sub begin {
    my ($self, @args) = @_;

    my $opt = ref $args[-1] eq 'HASH' ? pop @args : {};
    my %run = (args => \@args);

    for my $name (qw(in out err)) {
        $run{$name} = File::Temp->new(DIR => $self->{dir});
    }

    print { $run{in} } $opt->{input} // '';
    $run{in}->flush;

    my %env = (PINAUD_REDIS => $self->{url}, PINAUD_ENV_FILE => '/dev/null',
        PINAUD_SEAL_KEY_FILE => $self->{keys}, %{ $self->{env} || {} },
        %{ $opt->{env} || {} });

    $run{pid} = fork() // die "fork: $!";
    return \%run if $run{pid};

    delete @ENV{ grep { /^PINAUD_/ } CORE::keys %ENV };
    defined $env{$_} ? $ENV{$_} = $env{$_} : delete $ENV{$_}
        for CORE::keys %env;

    # who is not dumpable is no matter of LeakSanitizer
    $ENV{ASAN_OPTIONS} //= 'detect_leaks=0';

    $opt->{stdin} ? open STDIN, '<&', $opt->{stdin}
        : open STDIN, '<', $run{in}->filename;
    open STDOUT, '>', $opt->{stdout} // $run{out}->filename;
    open STDERR, '>', $run{err}->filename;
    chdir $self->{dir};
    { no warnings 'exec'; exec { $self->{binary} } 'pinaudctl', @args; }
    POSIX::_exit(127);
}


sub at_once {
    my ($self, @commands) = @_;

    my @runs = map { $self->begin(@$_) } @commands;

    return map { $self->finish($_) } @runs;
}


sub finish {
    my ($self, $run) = @_;

    my $status;

    wait_until(sub {
        return 0 if waitpid($run->{pid}, POSIX::WNOHANG()) == 0;
        $status = $?;
        1;
    }, 20) or do {
        kill 'KILL', $run->{pid};
        waitpid $run->{pid}, 0;
        $status = $?;
    };

    my %result = (
        exit => $status & 127 ? 128 + ($status & 127) : $status >> 8,
        out => slurp($run->{out}->filename),
        err => slurp($run->{err}->filename),
    );

    $result{json} = eval { JSON::PP->new->utf8->decode($result{out}) };

    for my $secret ($self->secrets) {
        fail("a secret was printed by @{ $run->{args} }")
            if index("$result{out}$result{err}", $secret) >= 0;
    }

    fail("a terminal is commanded by @{ $run->{args} }")
        if "$result{out}$result{err}"
            =~ /[^\n -\x7e\x80-\xff]|\xc2[\x80-\x9f]/;

    return \%result;
}


# The code of the browser gets the query of the URL that was told, and the run.
# Without a URL nothing is pasted, and the command had to end by itself.

sub authorize {
    my ($self, $args, $browser) = @_;

    pipe my $read, my $write or die "pipe: $!";

    my $run = $self->begin(qw(credential authorize), @$args,
        { stdin => $read });
    close $read;

    my $url;

    wait_until(sub {
        ($url) = slurp($run->{err}->filename) =~ m{^(https://\S+)$}m;
        $url || slurp("/proc/$run->{pid}/stat") =~ /\) Z /;
    }, 10);

    if ($url) {
        my ($query) = $url =~ /\?(.*)/;
        my %query = map { s/%([0-9A-F]{2})/chr hex $1/ger }
            map { split /=/, $_, 2 } split /&/, $query;

        syswrite $write, $browser->(%query, url => $url,
            pid => $run->{pid});
    }

    close $write;

    my $r = $self->finish($run);
    $r->{url} = $url;

    return $r;
}


sub must {
    my ($self, @args) = @_;

    my $r = $self->run(@args);
    die "pinaudctl @args: exit $r->{exit}\n$r->{out}$r->{err}" if $r->{exit};

    return $r;
}


sub enrol {
    my $self = shift;

    $self->must(qw(credential put main --access-token-file -),
        { input => TOKEN });
    $self->must(qw(account put), account, qw(--credential main));
    $self->must(qw(team put growth --account), account);

    return $self;
}


sub done {
    my ($self, $exit, $out, $err, $name, @args) = @_;

    my $r = $self->run(@args);

    subtest $name => sub {
        is $r->{exit}, $exit, 'exit code';

        for (['stdout', $r->{out}, $out], ['stderr', $r->{err}, $err]) {
            my ($stream, $got, $expected) = @$_;

            ref $expected ? like($got, $expected, $stream)
                : is($got, $expected, $stream);
        }
    };

    return $r;
}


# With one line, what was tried, in time.

sub store_fails {
    my ($self, $name, $message, $seconds, @args) = @_;

    my $begun = time();
    my $r = $self->run(@args);
    my $took = time() - $begun;

    subtest $name => sub {
        is $r->{exit}, 3, 'exit code';
        is $r->{out}, '', 'nothing on stdout';
        like $r->{err}, $message, 'message';
        is $r->{err} =~ tr/\n//, 1, 'one line';
        cmp_ok $took, '<', $seconds, 'in time';
    };

    return $r;
}


1;
