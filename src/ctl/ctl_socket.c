
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A link's socket, which never blocks: all waiting is here.
 */


#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "ctl_link.h"


#define CTL_SOCKET_BACKLOG  20         /* ms until a full one is tried again */


static int ctl_socket_unix(ctl_link_t *link);
static int ctl_socket_tcp(ctl_link_t *link);
static int ctl_socket_try(ctl_link_t *link, int family,
    const struct sockaddr *address, socklen_t len, int64_t deadline);
static int ctl_socket_finish(ctl_link_t *link, int64_t deadline);
static ssize_t ctl_socket_send(ctl_link_t *link, const char *bytes,
    size_t len, short *events);
static ssize_t ctl_socket_receive(ctl_link_t *link, char *bytes, size_t size,
    short *events);


int
ctl_socket_connect(ctl_link_t *link)
{
    return link->url.unix_socket ? ctl_socket_unix(link)
                                 : ctl_socket_tcp(link);
}


static int
ctl_socket_unix(ctl_link_t *link)
{
    struct sockaddr_un  address;

    memset(&address, 0, sizeof(struct sockaddr_un));

    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, link->url.host, strlen(link->url.host));

    return ctl_socket_try(link, AF_UNIX, (struct sockaddr *) &address,
                          sizeof(struct sockaddr_un),
                          ctl_clock() + CTL_LINK_CONNECT);
}


/*
 * All addresses of a name, one after the other; each has its share of the
 * time. Resolving the name has a time of its own, the system's.
 */

static int
ctl_socket_tcp(ctl_link_t *link)
{
    int               n, rc;
    char              port[16];
    int64_t           deadline, now;
    struct addrinfo   hints, *address, *all;

    memset(&hints, 0, sizeof(struct addrinfo));

    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;

    snprintf(port, sizeof(port), "%u", link->url.port);

    rc = getaddrinfo(link->url.host, port, &hints, &all);

    if (rc != 0) {
        return ctl_link_fail(link, "%s", rc == EAI_SYSTEM ? strerror(errno)
                                                          : gai_strerror(rc));
    }

    n = 0;

    for (address = all; address; address = address->ai_next) {
        n++;
    }

    rc = -1;
    deadline = ctl_clock() + CTL_LINK_CONNECT;

    for (address = all; rc != 0 && address; address = address->ai_next) {
        now = ctl_clock();
        rc = ctl_socket_try(link, address->ai_family, address->ai_addr,
                            address->ai_addrlen,
                            now + (deadline - now) / n--);
    }

    freeaddrinfo(all);

    return rc;
}


static int
ctl_socket_try(ctl_link_t *link, int family, const struct sockaddr *address,
    socklen_t len, int64_t deadline)
{
    int              on;
    struct timespec  pause;

    link->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (link->fd == -1) {
        return ctl_link_fail(link, "%s", strerror(errno));
    }

    on = 1;

    if (family != AF_UNIX) {
        (void) setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on,
                          sizeof(on));
    }

    while (connect(link->fd, address, len) != 0) {

        if (errno == EINPROGRESS) {
            return ctl_socket_finish(link, deadline);
        }

        /* a unix socket whose backlog is full */

        if (errno == EAGAIN && ctl_clock() < deadline) {
            pause.tv_sec = 0;
            pause.tv_nsec = CTL_SOCKET_BACKLOG * 1000000L;
            (void) nanosleep(&pause, NULL);
            continue;
        }

        ctl_link_fail(link, "%s", errno == EAGAIN ? "no answer in time"
                                                  : strerror(errno));
        ctl_socket_close(link);
        return -1;
    }

    return 0;
}


static int
ctl_socket_finish(ctl_link_t *link, int64_t deadline)
{
    int        error, rc;
    socklen_t  len;

    rc = ctl_socket_wait(link, POLLOUT, deadline);

    if (rc == 0) {
        error = 0;
        len = sizeof(error);

        if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
            error = errno;
        }

        if (error == 0) {
            return 0;
        }

        ctl_link_fail(link, "%s", strerror(error));
    }

    ctl_socket_close(link);

    return -1;
}


void
ctl_socket_close(ctl_link_t *link)
{
    if (link->ssl) {
        SSL_free(link->ssl);
        link->ssl = NULL;
    }

    if (link->fd != -1) {
        (void) close(link->fd);
        link->fd = -1;
    }
}


int
ctl_socket_wait(ctl_link_t *link, short events, int64_t deadline)
{
    int            n;
    int64_t        left, silence;
    struct pollfd  fd;

    fd.fd = link->fd;
    fd.events = events;

    silence = ctl_clock() + CTL_LINK_SILENCE;

    if (silence < deadline) {
        deadline = silence;
    }

    do {
        left = deadline - ctl_clock();
        n = poll(&fd, 1, left > 0 ? (int) left : 0);
    } while (n == -1 && errno == EINTR);

    if (n == -1) {
        return ctl_link_fail(link, "%s", strerror(errno));
    }

    return n ? 0 : ctl_link_fail(link, "no answer in time");
}


int
ctl_socket_write(ctl_link_t *link, const char *bytes, size_t len)
{
    short    events;
    int64_t  deadline;
    ssize_t  n;

    deadline = ctl_clock() + CTL_LINK_REPLY;

    while (len) {
        n = link->ssl ? ctl_tls_write(link, bytes, len, &events)
                      : ctl_socket_send(link, bytes, len, &events);

        if (n < 0) {
            return -1;
        }

        if (n == 0 && ctl_socket_wait(link, events, deadline) != 0) {
            return -1;
        }

        bytes += n;
        len -= (size_t) n;
    }

    return 0;
}


ssize_t
ctl_socket_read(ctl_link_t *link, char *bytes, size_t size, int64_t deadline)
{
    short    events;
    ssize_t  n;

    for ( ;; ) {
        n = link->ssl ? ctl_tls_read(link, bytes, size, &events)
                      : ctl_socket_receive(link, bytes, size, &events);

        if (n != 0) {
            return n;
        }

        if (ctl_socket_wait(link, events, deadline) != 0) {
            return -1;
        }
    }
}


/* A peer that is gone is an error here, and no signal. */

static ssize_t
ctl_socket_send(ctl_link_t *link, const char *bytes, size_t len,
    short *events)
{
    ssize_t  n;

    n = send(link->fd, bytes, len, MSG_NOSIGNAL);

    if (n >= 0) {
        return n;
    }

    *events = POLLOUT;

    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }

    return ctl_link_fail(link, "%s", strerror(errno));
}


static ssize_t
ctl_socket_receive(ctl_link_t *link, char *bytes, size_t size, short *events)
{
    ssize_t  n;

    n = recv(link->fd, bytes, size, 0);

    if (n > 0) {
        return n;
    }

    if (n == 0) {
        return ctl_link_fail(link, "Server closed the connection");
    }

    *events = POLLIN;

    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }

    return ctl_link_fail(link, "%s", strerror(errno));
}


int64_t
ctl_clock(void)
{
    struct timespec  now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
