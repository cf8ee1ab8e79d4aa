
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A load that does not wait for the server: requests are due at random moments,
 * so many a second on average, whether those before are answered or not, and
 * each one's latency is from the moment when it was due. One that finds all
 * connections busy waits for the next that is free, which counts, too.
 *
 *     paced PORT CONNECTIONS RATE SECONDS PATH FILE
 *
 * It POSTs the bodies that stand in FILE, one a line, in turn, as team
 * "growth". RATE 0: as fast as answers come. Prints
 *
 *     paced requests=N us=N failed=N p50=N p99=N p999=N
 *
 * latencies in nanoseconds, of all requests, not of a sample.
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>


#define PACED_CONNECTIONS  1024
#define PACED_TEXTS        64
#define PACED_SECOND       1000000000LL
#define PACED_PATIENCE     (5 * PACED_SECOND)      /* for the last answers */


typedef struct {
    int64_t    due;
    size_t     len;
    int        fd;
    char       in[16384];
} paced_conn_t;


typedef struct {
    char      *data;
    size_t     len;
} paced_text_t;


typedef struct {
    paced_conn_t   *conns;
    paced_conn_t   *idle[PACED_CONNECTIONS];
    paced_text_t    texts[PACED_TEXTS];
    int64_t        *latencies;
    int64_t         next;                  /* when a request is due */
    int64_t         end;
    size_t          nconns, nidle, ntexts, turn, done, max, failed;
    double          rate;
    int             epoll;
} paced_t;


static void paced_texts(paced_t *p, const char *path, const char *file);
static void paced_connect(paced_t *p, int port);
static void paced_run(paced_t *p);
static void paced_send(paced_t *p, int64_t now);
static void paced_wait(paced_t *p, int64_t now);
static void paced_read(paced_t *p, paced_conn_t *c);
static size_t paced_answer(paced_conn_t *c);
static int64_t paced_gap(paced_t *p);
static int64_t paced_now(void);
static int paced_compare(const void *one, const void *two);
static void paced_die(const char *what);


int
main(int argc, char **argv)
{
    double           seconds;
    int64_t          start, *l;
    static paced_t   p;

    if (argc != 7) {
        fprintf(stderr, "usage: paced PORT CONNECTIONS RATE SECONDS PATH"
                " FILE\n");
        return 2;
    }

    p.nconns = strtoul(argv[2], NULL, 10);
    p.rate = strtod(argv[3], NULL);
    seconds = strtod(argv[4], NULL);

    if (p.nconns == 0 || p.nconns > PACED_CONNECTIONS) {
        paced_die("connections");
    }

    p.max = (size_t) (seconds * (p.rate ? 2 * p.rate : 300000)) + 1000;
    p.conns = calloc(p.nconns, sizeof(paced_conn_t));
    p.latencies = calloc(p.max, sizeof(int64_t));

    if (p.conns == NULL || p.latencies == NULL) {
        paced_die("memory");
    }

    (void) prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    srand48((long) time(NULL) ^ getpid());

    paced_texts(&p, argv[5], argv[6]);
    paced_connect(&p, atoi(argv[1]));

    start = paced_now();
    p.next = start + paced_gap(&p);
    p.end = start + (int64_t) (seconds * PACED_SECOND);

    paced_run(&p);

    if (p.done == 0) {
        paced_die("no answer");
    }

    seconds = (double) (paced_now() - start) / PACED_SECOND;

    l = p.latencies;
    qsort(l, p.done, sizeof(int64_t), paced_compare);

    printf("paced requests=%zu us=%.0f failed=%zu p50=%lld p99=%lld"
           " p999=%lld\n", p.done, seconds * 1000000, p.failed,
           (long long) l[p.done / 2], (long long) l[p.done * 99 / 100],
           (long long) l[p.done * 999 / 1000]);

    return 0;
}


static void
paced_texts(paced_t *p, const char *path, const char *file)
{
    int     n;
    char    body[8192];
    FILE   *f;

    f = fopen(file, "r");
    if (f == NULL) {
        paced_die(file);
    }

    while (p->ntexts < PACED_TEXTS && fgets(body, sizeof(body), f)) {
        body[strcspn(body, "\n")] = '\0';

        n = asprintf(&p->texts[p->ntexts].data, "POST %s HTTP/1.1\r\n"
                     "Host: bench\r\nUser-Agent: bench\r\nX-Team: growth\r\n"
                     "Content-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s", path, strlen(body),
                     body);
        if (n < 0) {
            paced_die("memory");
        }

        p->texts[p->ntexts++].len = (size_t) n;
    }

    fclose(f);

    if (p->ntexts == 0) {
        paced_die("no bodies");
    }
}


static void
paced_connect(paced_t *p, int port)
{
    int                  on;
    size_t               i;
    paced_conn_t        *c;
    struct epoll_event   ev;
    struct sockaddr_in   sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    p->epoll = epoll_create1(0);
    on = 1;

    for (i = 0; i < p->nconns; i++) {
        c = &p->conns[i];

        c->fd = socket(AF_INET, SOCK_STREAM, 0);

        if (c->fd == -1
            || connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) != 0
            || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
               != 0)
        {
            paced_die("connect");
        }

        ev.events = EPOLLIN;
        ev.data.ptr = c;

        if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
            paced_die("epoll_ctl");
        }

        p->idle[p->nidle++] = c;
    }
}


static void
paced_run(paced_t *p)
{
    int64_t  now;

    for ( ;; ) {
        now = paced_now();

        if (now < p->end) {
            paced_send(p, now);

        } else if (p->nidle == p->nconns) {
            return;

        } else if (now > p->end + PACED_PATIENCE) {
            paced_die("answers are missing");
        }

        paced_wait(p, now);
    }
}


/* All that are due, as long as there are connections. */

static void
paced_send(paced_t *p, int64_t now)
{
    ssize_t        n;
    paced_conn_t  *c;
    paced_text_t  *text;

    while (p->nidle && (p->rate == 0 || p->next <= now)) {
        c = p->idle[--p->nidle];
        c->due = p->rate ? p->next : paced_now();
        p->next += paced_gap(p);

        text = &p->texts[p->turn++ % p->ntexts];
        n = send(c->fd, text->data, text->len, MSG_NOSIGNAL);

        if (n != (ssize_t) text->len) {
            paced_die("send");
        }
    }
}


static void
paced_wait(paced_t *p, int64_t now)
{
    int                  i, n;
    int64_t              until, left;
    struct timespec      ts;
    struct epoll_event   events[64];

    until = now < p->end ? p->end : p->end + PACED_PATIENCE + 1;

    if (p->rate && p->nidle && p->next < until && now < p->end) {
        until = p->next;
    }

    left = until - paced_now();
    left = left > 0 ? left : 0;

    ts.tv_sec = left / PACED_SECOND;
    ts.tv_nsec = left % PACED_SECOND;

    n = epoll_pwait2(p->epoll, events, 64, &ts, NULL);

    if (n == -1 && errno != EINTR) {
        paced_die("epoll_pwait2");
    }

    for (i = 0; i < n; i++) {
        paced_read(p, events[i].data.ptr);
    }
}


static void
paced_read(paced_t *p, paced_conn_t *c)
{
    size_t   whole;
    ssize_t  n;

    n = recv(c->fd, c->in + c->len, sizeof(c->in) - 1 - c->len, 0);

    if (n <= 0) {
        paced_die("the connection ended, or an answer is too long");
    }

    c->len += (size_t) n;
    c->in[c->len] = '\0';

    whole = paced_answer(c);

    if (whole == 0) {
        return;
    }

    if (whole != c->len || p->done == p->max) {
        paced_die("an answer that nobody asked for");
    }

    p->latencies[p->done++] = paced_now() - c->due;
    p->failed += (memcmp(c->in, "HTTP/1.1 200 ", 13) != 0);

    c->len = 0;
    p->idle[p->nidle++] = c;
}


/* The length of an answer; 0: it is not there yet. */

static size_t
paced_answer(paced_conn_t *c)
{
    char    *length, *body;
    size_t   whole;

    body = strstr(c->in, "\r\n\r\n");

    if (body == NULL) {
        return 0;
    }

    length = strcasestr(c->in, "\r\nContent-Length: ");

    if (length == NULL || length > body) {
        paced_die("an answer without a length");
    }

    whole = (size_t) (body + 4 - c->in) + strtoul(length + 18, NULL, 10);

    return c->len >= whole ? whole : 0;
}


/* Until the next is due: they do not know of each other. */

static int64_t
paced_gap(paced_t *p)
{
    return p->rate ? (int64_t) (-log(1 - drand48()) / p->rate * PACED_SECOND)
                   : 0;
}


static int64_t
paced_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * PACED_SECOND + ts.tv_nsec;
}


static int
paced_compare(const void *one, const void *two)
{
    int64_t  a, b;

    a = *(const int64_t *) one;
    b = *(const int64_t *) two;

    return (a > b) - (a < b);
}


static void
paced_die(const char *what)
{
    fprintf(stderr, "paced: %s\n", what);
    exit(1);
}
