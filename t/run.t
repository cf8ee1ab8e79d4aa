#!/usr/bin/perl

# Copyright (C) the ngx_pinaud_module authors

# "make run": the tour, what it says when it can't begin, and that nothing of
# it is left however it ends.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Pinaud::HTTP;
use Pinaud::Nginx ();
use Pinaud::Process;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

# Under nohup it would be ignored by what is started here, too.

$SIG{HUP} = 'DEFAULT' if ($SIG{HUP} // '') eq 'IGNORE';

# The program with what it needs, where any user may read it.

my $dir = temp_dir('copy');
my $project = project_dir();
my $module = $ENV{PINAUD_MODULE} // "$project/build/ngx_pinaud_module.so";

mkdir "$dir/build";
for my $part ("$project/t", "$project/conf") {
    is +(run_command(['cp', '-r', $part, $dir]))[0], 0, "copy of $part";
}
for my $file ("$project/build/pinaudctl", Pinaud::Nginx->binary,
    grep { length } $module)
{
    is +(run_command(['cp', '-L', $file, "$dir/build"]))[0], 0,
        "copy of $file";
}

my $run = "$dir/t/run.pl";
my %env = (TERM => 'xterm', NO_COLOR => '',
    PINAUD_NGINX => "$dir/build/" . Pinaud::Nginx->binary =~ s{.*/}{}r,
    length $module ? (PINAUD_MODULE => "$dir/build/" . $module =~ s{.*/}{}r)
        : ());
my $count = 0;


# A folder for each run's temporary files: what is left is seen there.

sub own_temp {
    my $temp = "$dir/temp" . $count++;

    mkdir $temp;
    chmod 01777, $temp;
    $env{TMPDIR} = $temp;

    return $temp;
}


sub processes {
    my $temp = shift;

    return grep { slurp($_) =~ /\Q$temp\E/ } glob '/proc/[0-9]*/cmdline';
}


sub nothing_left {
    my ($temp, $name) = @_;

    wait_until(sub { !processes($temp) && !@{ [glob "$temp/*"] } }, 5);

    is join("\n", map { s/\0/ /gr } map { slurp($_) } processes($temp)), '',
        "$name: no process is left";
    is join(' ', glob "$temp/*"), '', "$name: no file is left";
}


sub plain {
    my $text = shift;

    return $text =~ s/\e\[\d+m//gr;
}


# the tour

my $temp = own_temp();
my $port = free_port();
my ($exit, $output) = run_command(['perl', $run, '--once', '--port', $port],
    env => \%env, timeout => 60);

is $exit, 0, 'the tour' or diag $output;
unlike $output, qr/not as it should/, 'no faults';
unlike $output, qr/\e/, 'no colours in a pipe';
unlike $output, qr/Now you/, '--once does not stay';
like $output, qr{http://127\.0\.0\.1:$port}, 'where it is';
like $output, qr/-     "percentage": "10"\n\s+\+     "percentage": 10\n/,
    'an edit';
like $output, qr{edited /rule/percentage\n}, 'its name';
like $output, qr{Pinterest got +POST /v5/ad_accounts/549755885175/audiences/custom\n +over TLS, to api\.pinterest\.com\n +Host: api\.pinterest\.com\n},
    'what arrived';
like $output, qr/Authorization: Bearer pina_/, 'with the token';
like $output, qr/it answered +200  audience \d+, ACTALIKE, INITIALIZING/,
    'what Pinterest answered';
like $output, qr/byte for byte/, 'what was right already';
like $output, qr{it answers +400  application/problem\+json}, 'a refusal';
like $output, qr{/rule/percentage +range +must be 1 to 10}, 'an error';
like $output, qr{/data_party +required +is required}, 'another';
like $output, qr/Pinterest got +nothing/, 'which Pinterest never saw';
like $output, qr/"code":29/, 'Pinterest\'s own refusal';
like $output, qr/request 3 +200.*request 4 +429  over_quota/s,
    'the quota runs out';
like $output, qr/Retry-After: \d+/, 'Retry-After';
nothing_left($temp, 'after the tour');


# what prevents it

my $busy = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
    or die $!;
$temp = own_temp();

($exit, $output) = run_command(['perl', $run, '--once'],
    env => { %env, PORT => $busy->sockport });
is $exit, 1, 'a busy port';
is $output, 'Port ' . $busy->sockport . ' is in use. Choose another: '
    . "make run PORT=8081\n", 'says so';
nothing_left($temp, 'a busy port');

for my $wrong ('x', '0', '65536', '-1', '80 80') {
    ($exit, $output) = run_command(['perl', $run], env => { %env,
        PORT => $wrong });
    is $exit, 2, "PORT=$wrong";
    like $output, qr/^PORT is a number from 1 to 65535/, 'says so';
}

($exit, $output) = run_command(['perl', $run], env => { %env,
    PINAUD_NGINX => '/nowhere/nginx', PORT => $port });
is $exit, 1, 'no nginx';
like $output, qr/^Missing: nginx\..*apt-get install nginx\n\z/s, 'says so';

rename "$dir/build/pinaudctl", "$dir/build/away";
($exit, $output) = run_command(['perl', $run], env => { %env,
    PORT => $port });
is $exit, 1, 'pinaudctl is not built';
like $output, qr/pinaudctl is not built\. make builds it\./, 'says so';
rename "$dir/build/away", "$dir/build/pinaudctl";

my $long = own_temp() . '/' . 'x' x 80;
mkdir $long;
($exit, $output) = run_command(['perl', $run], env => { %env,
    PORT => $port, TMPDIR => $long });
is $exit, 1, 'no room for a socket\'s path';
like $output, qr/too long for a socket in it/, 'says so';


# how it ends

sub begin {
    my (%opt) = @_;

    my $temp = own_temp();
    my $port = free_port();
    my $pid = spawn([@{ $opt{before} || [] }, 'perl', $run, '--port', $port],
        env => { %env }, log => "$dir/output");

    my $up = wait_until(sub {
        slurp("$dir/output") =~ /Up until Ctrl-C/ || !alive($pid);
    }, 30) && alive($pid);

    ok $up, 'stays up' or diag slurp("$dir/output");
    return ($temp, $port, $pid);
}


sub exit_of {
    my $pid = shift;

    my $status;
    wait_until(sub {
        return 0 if waitpid($pid, POSIX::WNOHANG()) == 0;
        $status = $?;
        1;
    }, 10);

    return defined $status ? $status & 127 || $status >> 8 : 'none';
}


my %exits = (INT => 0, TERM => 128 + POSIX::SIGTERM(),
    HUP => 128 + POSIX::SIGHUP());

for my $signal (qw(INT TERM HUP)) {
    unlink "$dir/output";
    my ($temp, $port, $pid) = begin();

    if ($signal eq 'INT') {
        my $text = slurp("$dir/output");
        my ($curl) = $text =~ /^  (curl \S+ \\\n.*?Dry-Run.*?)\n\n/ms;

        ok defined $curl, 'a curl line' or next;
        my ($exit, $answer) = run_command(['sh', '-c', "$curl -s"]);
        like $answer, qr/"would":\s*"forwarded"/, 'works as it is printed';

        ok wait_until(sub {
            slurp("$dir/output") =~ m{200  growth  POST /v5/\S+ dry_run}
        }, 3), 'and is seen';
    }

    kill $signal, $pid;
    is exit_of($pid), $exits{$signal}, "SIG$signal ends it";
    nothing_left($temp, "SIG$signal");
}

unlink "$dir/output";
my ($killed, undef, $pid) = begin();
kill 'KILL', $pid;
exit_of($pid);
ok wait_until(sub { !processes($killed) }, 5), 'SIGKILL: no process is left';
isnt join(' ', glob "$killed/*"), '', 'its folder is';

$env{TMPDIR} = $killed;
($exit, $output) = run_command(['perl', $run, '--once', '--port', free_port()],
    env => \%env, timeout => 60);
like $output, qr/Removed what 1 earlier run\(s\) left/,
    'the next run removes it';
nothing_left($killed, 'the next run');


# with a terminal

SKIP: {
    skip 'no script command', 9 if !-x '/usr/bin/script';

    $temp = own_temp();
    my $command = "perl $run --once --port " . free_port();

    ($exit, $output) = run_command(['script', '-qec', $command, '/dev/null'],
        env => \%env, timeout => 60);
    is $exit, 0, 'on a terminal';
    like $output, qr/\e\[32m/, 'with colours';
    nothing_left($temp, 'on a terminal');

    ($exit, $output) = run_command(['script', '-qec', $command, '/dev/null'],
        env => { %env, NO_COLOR => 1 }, timeout => 60);
    unlike $output, qr/\e/, 'NO_COLOR: none';

    unlink "$dir/output";
    $temp = own_temp();
    $port = free_port();
    my $terminal = spawn(['script', '-qefc', "perl $run --port $port",
        '/dev/null'], env => \%env, log => "$dir/output");
    ok wait_until(sub { slurp("$dir/output") =~ /Up until Ctrl-C/ }, 30),
        'on a terminal: stays up';
    kill 'KILL', $terminal;
    exit_of($terminal);
    nothing_left($temp, 'the terminal closes');
    is get($port, '/')->{status}, 0, 'nobody listens';
}


# as a user that is not root

SKIP: {
    skip 'not root: all of the above was', 5 if $> != 0;

    chmod 0755, "$dir/build", "$dir/build/pinaudctl";
    $temp = own_temp();

    my @as = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups');
    ($exit, $output) = run_command([@as, 'perl', $run, '--once', '--port',
        free_port()], env => { %env, HOME => '/nonexistent' }, timeout => 60);

    is $exit, 0, 'as an ordinary user' or diag $output;
    like $output, qr/request 4 +429/, 'the whole tour';
    nothing_left($temp, 'as an ordinary user');

    ($exit, $output) = run_command([@as, 'perl', $run, '--once', '--port',
        80], env => \%env, timeout => 60);
    like "$exit $output", qr/^(?:0 |1 Port 80 can't be used \(Permission)/,
        'a port that needs root';
}

done_testing();
