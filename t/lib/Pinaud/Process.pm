package Pinaud::Process;

# Copyright (C) the ngx_pinaud_module authors

# What every part of the harness does with processes, ports and folders.
#
#   my $dir = temp_dir('redis');      folder that goes when the test ends
#   my $port = free_port();           of 127.0.0.1, nobody else is given it
#   my $pid = spawn([@command], log => 'file');
#   my $pid = daemon(sub { ... });    a forked child that runs perl
#   stop_process($pid, 'TERM', 5);    waits; KILL after 5 s
#   freeze($pid);                     SIGSTOP; returns when it stands still
#   wait_until(sub { ... }, 5) or die "...";
#   my ($exit, $output) = run_command([@command], input => 'bytes');
#   more_files(4000);                 begins the program anew, where it may not
#                                     have so many descriptors open
#   sweep();                          folders of processes that were killed
#
# Children end when their parent does, however it ends: an END block stops
# them, and the kernel tells them where the parent was killed. Folders stay
# for reading where PINAUD_TEST_LEAVE is set.

use warnings;
use strict;

use Exporter qw(import);
use File::Glob qw(bsd_glob);
use File::Path qw(remove_tree);
use File::Spec ();
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(temp_dir free_port spawn daemon stop_process wait_until
    run_command alive freeze slurp spew project_dir sweep more_files);

my $main = $$;
my (%children, $root, %names, @reserved);
my ($setpriv) = grep { -x $_ } qw(/usr/bin/setpriv /bin/setpriv);

$SIG{PIPE} = 'IGNORE';

for my $name (qw(INT TERM HUP)) {
    $SIG{$name} //= sub { exit 128 + POSIX->can("SIG$name")->() };
}


sub project_dir {
    require Cwd;
    my $here = __FILE__;
    $here =~ s{[^/]+$}{};
    return Cwd::realpath(($here || './') . '../../..');
}


sub more_files {
    my $n = shift;

    my $there = `exec 2>&1; ulimit -n`;
    return if $there =~ /unlimited/ || $there >= $n;

    die "ulimit -n: $n can't be had\n" if $ENV{PINAUD_MORE_FILES};
    $ENV{PINAUD_MORE_FILES} = 1;

    exec '/bin/sh', '-c', "ulimit -n $n; exec \"\$@\"", 'sh', $^X,
        (map { "-I$_" } @INC), $0, @ARGV or die "exec: $!";
}


# All folders of a process are in one, which tells whose it is.

sub temp_dir {
    my $name = shift // 'test';

    if (!$root) {
        $root = File::Temp::tempdir('pinaud-XXXXXXXX', TMPDIR => 1);

        # workers that drop to another user have to get in
        chmod 0755, $root or die "chmod $root: $!";
        spew("$root/pid", "$$\n");
    }

    my $dir = "$root/$name" . ($names{$name}++ || '');

    mkdir $dir, 0755 or die "mkdir $dir: $!";
    chmod 0755, $dir;

    return $dir;
}


# Removes what earlier processes of this user left that were killed. Returns
# how many folders.

sub sweep {
    my $count = 0;

    for my $dir (bsd_glob(File::Spec->tmpdir . '/pinaud-????????')) {
        my ($pid) = slurp("$dir/pid") =~ /^(\d+)$/ or next;
        next if !-o $dir || -l $dir || kill(0, $pid) || $!{EPERM};

        remove_tree($dir, { error => \my $ignored });
        $count++;
    }

    return $count;
}


sub free_port {
    for (1 .. 100) {
        my $tcp = IO::Socket::INET->new(Listen => 1, Proto => 'tcp',
            LocalAddr => '127.0.0.1', LocalPort => 0)
            or die "no free port: $!";
        my $port = $tcp->sockport;

        # The same port of UDP is held, which tells the others who ask in
        # this way that it is taken before its server listens.

        my $udp = IO::Socket::INET->new(Proto => 'udp',
            LocalAddr => '127.0.0.1', LocalPort => $port) or next;

        push @reserved, $udp;
        return $port;
    }

    die "no free port after 100 attempts";
}


sub spawn {
    my ($command, %opt) = @_;

    my $pid = fork() // die "fork: $!";

    if ($pid) {
        $children{$pid} = $command->[0];
        return $pid;
    }

    open STDIN, '<', '/dev/null';

    if (defined $opt{log}) {
        open STDOUT, '>>', $opt{log} or POSIX::_exit(127);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(127);
    }

    # Ctrl-C is for the one who started us: it then stops us in order
    POSIX::setpgid(0, 0);

    $ENV{$_} = $opt{env}{$_} for keys %{ $opt{env} || {} };

    my @command = @$command;
    unshift @command, $setpriv, '--pdeathsig', $opt{death} // 'TERM', '--'
        if $setpriv;

    { no warnings 'exec'; exec { $command[0] } @command; }
    print STDERR "$command[0]: $!\n";
    POSIX::_exit(127);
}


sub daemon {
    my $code = shift;

    my $pid = fork() // die "fork: $!";

    if ($pid) {
        $children{$pid} = 'perl';
        return $pid;
    }

    %children = ();
    POSIX::setpgid(0, 0);
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);

    my $exit = eval { $code->(); 0 } // do { print STDERR $@; 1 };
    POSIX::_exit($exit);
}


sub alive {
    my $pid = shift;

    return 0 if !$children{$pid};
    return 1 if waitpid($pid, POSIX::WNOHANG()) == 0;

    delete $children{$pid};
    return 0;
}


sub freeze {
    my $pid = shift;

    kill 'STOP', $pid;
    wait_until(sub {
        my ($state) = slurp("/proc/$pid/stat") =~ /.*\) (\w)/s;
        return $state eq 'T';
    }, 5) or die "process $pid does not stop\n";
}


sub stop_process {
    my ($pid, $signal, $patience) = @_;

    return 1 if !defined $pid || !$children{$pid};

    kill $signal // 'TERM', $pid;
    return 1 if wait_until(sub { !alive($pid) }, $patience // 5);

    kill 'CONT', $pid;
    kill 'KILL', $pid;
    wait_until(sub { !alive($pid) }, 5);

    return 0;
}


sub wait_until {
    my ($code, $patience) = @_;

    my $end = time() + ($patience // 5);

    while (1) {
        my $value = $code->();
        return $value if $value;
        return 0 if time() > $end;
        sleep 0.01;
    }
}


sub run_command {
    my ($command, %opt) = @_;

    my $input = File::Temp->new;
    my $output = File::Temp->new;

    print $input $opt{input} // '';
    $input->flush;

    my $pid = fork() // die "fork: $!";

    if (!$pid) {
        POSIX::setpgid(0, 0);
        open STDIN, '<', $input->filename or POSIX::_exit(127);
        open STDOUT, '>', $output->filename or POSIX::_exit(127);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(127);
        $ENV{$_} = $opt{env}{$_} for keys %{ $opt{env} || {} };
        chdir $opt{dir} if $opt{dir};
        { no warnings 'exec'; exec { $command->[0] } @$command; }
        print STDERR "$command->[0]: $!\n";
        POSIX::_exit(127);
    }

    $children{$pid} = $command->[0];
    my $status;

    wait_until(sub {
        return 0 if waitpid($pid, POSIX::WNOHANG()) == 0;
        $status = $?;
        1;
    }, $opt{timeout} // 20);

    if (!defined $status) {
        kill 'KILL', -$pid, $pid;
        waitpid $pid, 0;
        $status = $?;
    }

    delete $children{$pid};

    my $exit = $status & 127 ? 128 + ($status & 127) : $status >> 8;
    return ($exit, slurp($output->filename));
}


sub slurp {
    my $path = shift;

    open my $file, '<:raw', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}


sub spew {
    my ($path, $text, $mode) = @_;

    open my $file, '>:raw', $path or die "$path: $!";
    chmod $mode, $path if defined $mode;
    print $file $text;
    close $file or die "$path: $!";
    return $path;
}


sub stop_all {
    return if $$ != $main;

    local $?;
    local @SIG{qw(INT TERM HUP)} = ('IGNORE') x 3;

    for my $pid (keys %children) {
        kill 'CONT', $pid;
        stop_process($pid, 'TERM', 5);
    }

    return if !$root;

    if ($ENV{PINAUD_TEST_LEAVE}) {
        print STDERR "# left: $root\n";

    } else {
        remove_tree($root, { error => \my $ignored });
    }
}


END { stop_all() }


1;
