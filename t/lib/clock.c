/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Preloaded into a Redis, gives it the time that a test wrote to the file in
 * PINAUD_TEST_CLOCK: microseconds since 1970 in 8 bytes. The time stands still
 * until the test writes another. Only the time of day is set so; Redis takes
 * its timers from the monotonic clock. (libfaketime and jemalloc, with which
 * Debian builds Redis, wait for each other before main().)
 */


#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


static volatile const int64_t  *now;


static void __attribute__((constructor))
open_clock(void)
{
    int          fd;
    const char  *path;

    path = getenv("PINAUD_TEST_CLOCK");
    fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd != -1) {
        now = mmap(NULL, sizeof(*now), PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }

    if (fd == -1 || now == MAP_FAILED) {
        perror("PINAUD_TEST_CLOCK");
        _exit(1);
    }
}


int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    int64_t  us;

    (void) tz;

    us = *now;

    tv->tv_sec = us / 1000000;
    tv->tv_usec = us % 1000000;

    return 0;
}


time_t
time(time_t *to)
{
    time_t  sec;

    sec = *now / 1000000;

    if (to) {
        *to = sec;
    }

    return sec;
}
