package Pinaud::Quota;

# Copyright (C) the ngx_pinaud_module authors

# The scripts of src/store on a real Redis whose clock is set by the test and
# stands still between, so that windows pass at once and answers are exact.
#
#   my $quota = Pinaud::Quota->new;
#   $quota->now; $quota->pass(60); $quota->set($us);    pass: seconds
#   $quota->credential('main', limits => '400/60');     a record with a token
#   my $reply = $quota->admit(credential => 'main', account => 1,
#       team => 'a', account_limits => '10/60', team_limits => '',
#       reserves => '5 8', mode => 'peek', deadline => $ms);
#                                                       no account: a read
#   $reply->{status}; $reply->{now}; $reply->{version}; $reply->{expires};
#   $reply->{token}; $reply->{limits}{a60}{remaining};  and n, w, reset
#   $quota->admit(count => 5)->{admitted};              so many at once
#   $quota->admit(reserves => '5 8')->{reserved};       how many by a reserve
#   $quota->run('refund', [@keys], [@args]);            dies with its error
#   $quota->refused('usage', [@keys], [@args]);         the error's text
#   $quota->begin(limits => '400/60');   anew: an empty Redis, credential main
#   $quota->unchanged(sub { ... }, 'what'); a test that nothing is changed
#   $quota->reset_of($w, $age);          RESET of a request "age" slots ago
#   $quota->snapshot;                                   all that Redis holds
#   $quota->redis;

use warnings;
use strict;

use Pinaud::Process;
use Pinaud::Redis;
use Test::More ();


# In the middle of things: no window's slot begins here
use constant START => 1_795_515_925_123_456;


sub new {
    my ($class, %opt) = @_;

    my $dir = temp_dir('quota');
    my $src = project_dir();

    my ($exit, $output) = run_command([$ENV{CC} // 'cc', qw(-O2 -shared -fPIC),
        '-o', "$dir/clock.so", "$src/t/lib/clock.c"]);
    die "t/lib/clock.c: $output" if $exit;

    my $self = bless { clock => "$dir/clock", dir => $opt{scripts}
        // "$src/src/store" }, $class;

    spew($self->{clock}, pack 'q<', START);
    open $self->{file}, '+<:raw', $self->{clock} or die "$self->{clock}: $!";
    $self->set(START);

    local $ENV{LD_PRELOAD} = "$dir/clock.so";
    local $ENV{PINAUD_TEST_CLOCK} = $self->{clock};
    $self->{redis} = Pinaud::Redis->new;

    $self->load;

    return $self;
}


sub redis { $_[0]{redis} }
sub now { $_[0]{now} }
sub now_ms { int($_[0]{now} / 1000) }


sub set {
    my ($self, $us) = @_;

    $self->{now} = int $us;
    sysseek $self->{file}, 0, 0;
    syswrite($self->{file}, pack 'q<', $self->{now}) == 8 or die "clock: $!";
}


sub pass {
    my ($self, $seconds) = @_;

    $self->set($self->{now} + sprintf '%.0f', $seconds * 1e6);
}


sub load {
    my $self = shift;

    my $ring = slurp("$self->{dir}/ring.lua") or die "no ring.lua";

    for my $name (qw(admit refund usage move carry cooldown
        lease)) {
        my $text = $ring . slurp("$self->{dir}/$name.lua");
        $self->{text}{$name} = $text;
        $self->{sha}{$name} = $self->{redis}->cmd('SCRIPT', 'LOAD', $text);
    }
}


sub try {
    my ($self, $name, $keys, $args) = @_;

    return $self->{redis}->try('EVALSHA', $self->{sha}{$name}, scalar @$keys,
        @$keys, @{ $args // [] });
}


sub run {
    my ($self, $name, @rest) = @_;

    my $reply = $self->try($name, @rest);
    die "$name: $reply\n" if ref $reply eq 'Pinaud::Redis::Error';

    return $reply;
}


sub refused {
    my ($self, @rest) = @_;

    my $reply = $self->try(@rest);

    return ref $reply eq 'Pinaud::Redis::Error' ? "$reply" : 'no error';
}


sub credential {
    my ($self, $name, %field) = @_;

    $self->{redis}->cmd('HSET', "pinaud:credential:{$name}", format => 1,
        version => 7, token => "sealed of $name", expires => 0, limits => '',
        limits_all => '', %field);
}


sub keys_of {
    my ($class, %ask) = @_;

    my $name = $ask{credential} // 'main';
    my @keys = ("pinaud:credential:{$name}", "pinaud:calls:{$name}");

    push @keys, "pinaud:writes:{$name}", "pinaud:bucket:{$name}:$ask{account}",
        "pinaud:bucket:{$name}:$ask{account}:$ask{team}",
        "pinaud:reserve:{$name}:$ask{account}:$ask{team}",
        "pinaud:shared:{$name}:$ask{account}"
        if defined $ask{account};

    push @keys, "pinaud:leased-calls:{$name}";
    push @keys, "pinaud:leased-writes:{$name}",
        "pinaud:leased:{$name}:$ask{account}" if defined $ask{account};

    return (@keys, "pinaud:cooldown:{$name}");
}


sub args_of {
    my ($class, %ask) = @_;

    return ($ask{mode} // 'charge', $ask{deadline} // 0, $ask{id} // 'id',
        $ask{account_limits} // '', $ask{team_limits} // '',
        $ask{count} // (defined $ask{reserves} ? 1 : ()),
        $ask{reserves} // ());
}


sub admit {
    my ($self, %ask) = @_;

    my $reply = $self->run('admit', [$self->keys_of(%ask)],
        [$self->args_of(%ask)]);

    my ($head, $rest) = $reply->[0]
        =~ /^(\d \d+ \d+ \d+)((?: [cwatp](?: \d+){4})*)\z/
        or die "not an answer: $reply->[0]";

    my %answer = (text => $reply->[0], token => $reply->[1], limits => {},
        admitted => $reply->[2], reserved => $reply->[3]);
    @answer{qw(status now version expires)} = split / /, $head;

    while ($rest =~ / (.) (\d+) (\d+) (\d+) (\d+)/g) {
        $answer{limits}{"$1$3"} = { n => $2, w => $3, remaining => $4,
            reset => $5 };
    }

    return \%answer;
}


# How many of "times" the same requests are admitted.

sub admitted {
    my ($self, $times, %ask) = @_;

    return scalar grep { $self->admit(%ask)->{status} == 0 } 1 .. $times;
}


# A test begins with an empty Redis and one credential.

sub begin {
    my ($self, %field) = @_;

    $self->{redis}->cmd('FLUSHALL');
    $self->set(START);
    $self->credential('main', %field);
}


# Nothing that Redis holds is changed by "code".

sub unchanged {
    my ($self, $code, $name) = @_;

    my $before = $self->snapshot;
    $code->();
    Test::More::is_deeply($self->snapshot, $before,
        "$name: nothing is changed");
}


sub slot_of { int($_[0]->now / ($_[1] * 12500)) }


# The end, in ms from now, of what counts a request made "age" slots ago.

sub reset_of {
    my ($self, $w, $age) = @_;

    my $us = ($self->slot_of($w) - ($age // 0) + 83) * $w * 12500 - $self->now;
    return int(($us + 999) / 1000);
}


sub snapshot {
    my $self = shift;

    my $redis = $self->{redis};

    return { map {
        ($_ => join ' ', $redis->cmd('PTTL', $_),
            unpack 'H*', $redis->cmd('DUMP', $_))
    } @{ $redis->cmd('KEYS', '*') } };
}


1;
