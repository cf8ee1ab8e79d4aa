
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Preloaded into a program, kills it (SIGKILL) at the step that the variable
 * PINAUD_TEST_KILL_AT tells the number of, stops it (SIGSTOP) at the first
 * with the name in PINAUD_TEST_STOP_AT, and writes its steps to
 * PINAUD_TEST_KILL_TRACE. A step is what others can see of it: before it
 * connects, before it sends, after something was received, before what it
 * wrote is on the disk.
 */


#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>


#define REAL(type, name, ...)                                                 \
    static type (*real)(__VA_ARGS__);                                         \
                                                                              \
    if (real == NULL) {                                                       \
        real = (type (*)(__VA_ARGS__)) dlsym(RTLD_NEXT, name);                \
    }


static void
step(const char *what)
{
    int          fd, len;
    char         line[64];
    const char  *at, *stop, *trace;

    static int   n, stopped;

    n++;

    trace = getenv("PINAUD_TEST_KILL_TRACE");
    at = getenv("PINAUD_TEST_KILL_AT");

    if (trace) {
        fd = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        len = snprintf(line, sizeof(line), "%d %s\n", n, what);

        if (syscall(SYS_write, fd, line, len) != len) {
            abort();
        }

        close(fd);
    }

    if (at && atoi(at) == n) {
        kill(getpid(), SIGKILL);
    }

    stop = getenv("PINAUD_TEST_STOP_AT");

    if (stop && !stopped && strcmp(stop, what) == 0) {
        stopped = 1;
        kill(getpid(), SIGSTOP);
    }
}


static int
is_socket(int fd)
{
    struct stat  st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}


int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
    REAL(int, "connect", int, const struct sockaddr *, socklen_t)

    if (address->sa_family == AF_INET || address->sa_family == AF_UNIX) {
        step("connect");
    }

    return real(fd, address, len);
}


ssize_t
send(int fd, const void *bytes, size_t len, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int)

    step(len > 4 && memcmp(bytes, "POST", 4) == 0 ? "call" : "send");

    return real(fd, bytes, len, flags);
}


ssize_t
write(int fd, const void *bytes, size_t len)
{
    REAL(ssize_t, "write", int, const void *, size_t)

    if (is_socket(fd)) {
        step("send");
    }

    return real(fd, bytes, len);
}


static ssize_t
received(ssize_t n)
{
    if (n > 0) {
        step("received");
    }

    return n;
}


ssize_t
recv(int fd, void *bytes, size_t len, int flags)
{
    REAL(ssize_t, "recv", int, void *, size_t, int)

    return received(real(fd, bytes, len, flags));
}


ssize_t
__recv_chk(int fd, void *bytes, size_t len, size_t size, int flags)
{
    REAL(ssize_t, "__recv_chk", int, void *, size_t, size_t, int)

    return received(real(fd, bytes, len, size, flags));
}


ssize_t
read(int fd, void *bytes, size_t len)
{
    ssize_t  n;

    REAL(ssize_t, "read", int, void *, size_t)

    n = real(fd, bytes, len);

    return is_socket(fd) ? received(n) : n;
}


int
fsync(int fd)
{
    REAL(int, "fsync", int)

    step("fsync");

    return real(fd);
}
