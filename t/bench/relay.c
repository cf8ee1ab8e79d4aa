
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A link that is longer: what comes from either side goes to the other so many
 * microseconds later on average, however much is under way. It looks every 100
 * microseconds, as network cards do, and so is not busy with each piece.
 *
 *     relay LISTEN_PORT PORT MICROSECONDS
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>


#define RELAY_SECOND  1000000000LL
#define RELAY_TICK    100000               /* ns */
#define RELAY_PIECE   65536


typedef struct relay_piece_s  relay_piece_t;

struct relay_piece_s {
    relay_piece_t   *next;
    int64_t          due;                  /* tick */
    size_t           len;
    int              to;
    char             data[];
};


/* All are equally late, so that the first to come is the first to go. */

typedef struct {
    relay_piece_t   *first;
    relay_piece_t  **last;
    int64_t          tick;
    int64_t          late;                 /* ticks */
    int              epoll;
    int              listener;
    int              port;
    int              other[1024];          /* by descriptor */
} relay_t;


static int relay_socket(int port, int listens);
static void relay_accept(relay_t *r);
static void relay_add(relay_t *r, int fd, int other);
static void relay_read(relay_t *r, int fd);
static void relay_close(relay_t *r, int fd);
static void relay_send(relay_t *r);
static int64_t relay_pause(void);
static void relay_die(const char *what);


int
main(int argc, char **argv)
{
    int                  i, n;
    static relay_t       r;
    struct epoll_event   events[64];

    if (argc != 4) {
        fprintf(stderr, "usage: relay LISTEN_PORT PORT MICROSECONDS\n");
        return 2;
    }

    (void) prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);

    r.last = &r.first;

    /* until a piece is seen half a tick passes */
    r.late = (atoll(argv[3]) * 1000 - RELAY_TICK / 2) / RELAY_TICK;

    r.port = atoi(argv[2]);
    r.epoll = epoll_create1(0);
    r.listener = relay_socket(atoi(argv[1]), 1);

    relay_add(&r, r.listener, -1);

    for ( ;; ) {
        r.tick = relay_pause();
        relay_send(&r);

        n = epoll_wait(r.epoll, events, 64, 0);

        if (n == -1 && errno != EINTR) {
            relay_die("epoll_wait");
        }

        for (i = 0; i < n; i++) {
            if (events[i].data.fd == r.listener) {
                relay_accept(&r);

            } else {
                relay_read(&r, events[i].data.fd);
            }
        }
    }
}


static int
relay_socket(int port, int listens)
{
    int                  fd, on;
    struct sockaddr_in   sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    on = 1;
    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
    {
        relay_die("socket");
    }

    if (listens
        ? bind(fd, (struct sockaddr *) &sin, sizeof(sin)) || listen(fd, 128)
        : connect(fd, (struct sockaddr *) &sin, sizeof(sin)))
    {
        relay_die(listens ? "listen" : "connect");
    }

    return fd;
}


static void
relay_accept(relay_t *r)
{
    int  fd, on, server;

    on = 1;
    fd = accept(r->listener, NULL, NULL);

    if (fd == -1
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
    {
        relay_die("accept");
    }

    server = relay_socket(r->port, 0);

    relay_add(r, fd, server);
    relay_add(r, server, fd);
}


static void
relay_add(relay_t *r, int fd, int other)
{
    struct epoll_event  ev;

    ev.events = EPOLLIN;
    ev.data.fd = fd;

    if (fd >= (int) (sizeof(r->other) / sizeof(int))
        || epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
    {
        relay_die("epoll_ctl");
    }

    r->other[fd] = other;
}


static void
relay_read(relay_t *r, int fd)
{
    ssize_t         n;
    relay_piece_t  *piece;

    if (r->other[fd] == -1) {
        return;
    }

    piece = malloc(sizeof(relay_piece_t) + RELAY_PIECE);
    if (piece == NULL) {
        relay_die("memory");
    }

    n = recv(fd, piece->data, RELAY_PIECE, 0);

    if (n <= 0) {
        free(piece);
        relay_close(r, fd);
        return;
    }

    piece->next = NULL;
    piece->due = r->tick + r->late;
    piece->len = (size_t) n;
    piece->to = r->other[fd];

    *r->last = piece;
    r->last = &piece->next;
}


/* What is still under way is lost with both sides. */

static void
relay_close(relay_t *r, int fd)
{
    int             other;
    relay_piece_t  *piece;

    other = r->other[fd];

    for (piece = r->first; piece; piece = piece->next) {
        if (piece->to == fd || piece->to == other) {
            piece->to = -1;
        }
    }

    r->other[fd] = -1;
    r->other[other] = -1;

    close(fd);
    close(other);
}


/* Sends what is due. */

static void
relay_send(relay_t *r)
{
    ssize_t         n;
    relay_piece_t  *piece;

    while ((piece = r->first) != NULL && piece->due <= r->tick) {

        n = piece->to == -1 ? (ssize_t) piece->len
                            : send(piece->to, piece->data, piece->len,
                                   MSG_NOSIGNAL);

        if (n != (ssize_t) piece->len && errno != EPIPE
            && errno != ECONNRESET)
        {
            relay_die("send");
        }

        r->first = piece->next;

        if (r->first == NULL) {
            r->last = &r->first;
        }

        free(piece);
    }
}


/* Until the clock tells a whole number of ticks, which it returns. */

static int64_t
relay_pause(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    ts.tv_nsec += RELAY_TICK - ts.tv_nsec % RELAY_TICK;

    if (ts.tv_nsec >= RELAY_SECOND) {
        ts.tv_nsec -= RELAY_SECOND;
        ts.tv_sec++;
    }

    (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ts.tv_sec * RELAY_SECOND + ts.tv_nsec) / RELAY_TICK;
}


static void
relay_die(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}
