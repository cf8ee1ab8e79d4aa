
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl usage --watch": each second anew, on a terminal with bars and in
 * place. Nothing is cleared but what was drawn, so that the last state, and a
 * message after it, stay to be read.
 */


#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "ctl.h"
#include "ctl_usage.h"


#define CTL_WATCH_MS        1000


/*
 * A signal, and exit() when memory is out, know nothing but what is static:
 * which signal came, and how the terminal was.
 */

static volatile sig_atomic_t  ctl_watch_told;

static struct {
    struct termios  termios;
    unsigned        keys:1;            /* stdin is a terminal, and changed */
    unsigned        screen:1;          /* stdout is */
} ctl_watch_terminal;


static void ctl_watch_signals(void);
static void ctl_watch_signal(int signo);
static void ctl_watch_enter(void);
static void ctl_watch_leave(void);
static int ctl_watch_show(ctl_watch_t *watch, const ctl_usage_t *usage);
static void ctl_watch_print(ctl_t *ctl, const ctl_usage_t *usage);
static int ctl_watch_wait(ctl_watch_t *watch);
static int ctl_watch_over(ctl_watch_t *watch);


int
ctl_usage_watch(ctl_t *ctl)
{
    int           rc;
    ctl_block_t  *mark;
    ctl_usage_t   usage;
    ctl_watch_t   watch;

    memset(&watch, 0, sizeof(ctl_watch_t));

    watch.ctl = ctl;
    ctl_watch_terminal.screen = !ctl->json && isatty(STDOUT_FILENO);

    (void) atexit(ctl_watch_leave);
    ctl_watch_signals();
    ctl_watch_enter();

    do {
        mark = ctl_pool_mark(ctl);
        rc = ctl_usage_read(ctl, &usage);

        if (rc == CTL_DONE && !ctl_watch_show(&watch, &usage)) {
            break;
        }

        ctl_pool_release(ctl, mark);

    } while (rc == CTL_DONE && ctl_watch_wait(&watch));

    ctl_watch_leave();

    return rc;
}


static void
ctl_watch_signals(void)
{
    size_t            i;
    struct sigaction  action;

    static const int  signals[] = { SIGINT, SIGTERM, SIGHUP, SIGTSTP,
                                    SIGWINCH };

    memset(&action, 0, sizeof(struct sigaction));
    action.sa_handler = ctl_watch_signal;
    action.sa_flags = SA_RESTART;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {

        /* what only concerns the drawing is left as it is without one */

        if (i < 3 || ctl_watch_terminal.screen) {
            (void) sigaction(signals[i], &action, NULL);
        }
    }
}


/* The end is not forgotten for what comes after it. */

static void
ctl_watch_signal(int signo)
{
    if (ctl_watch_told == 0 || ctl_watch_told == SIGWINCH
        || ctl_watch_told == SIGTSTP)
    {
        ctl_watch_told = signo;
    }
}


/* What is typed is not shown, and taken as it comes; Ctrl-C stays a signal. */

static void
ctl_watch_enter(void)
{
    struct termios  termios;

    if (!ctl_watch_terminal.screen) {
        return;
    }

    if (isatty(STDIN_FILENO)
        && tcgetattr(STDIN_FILENO, &ctl_watch_terminal.termios) == 0)
    {
        termios = ctl_watch_terminal.termios;
        termios.c_lflag &= ~(tcflag_t) (ECHO | ICANON);

        ctl_watch_terminal.keys = 1;
        (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &termios);
    }

    fputs("\033[?25l", stdout);        /* no cursor */
}


static void
ctl_watch_leave(void)
{
    if (ctl_watch_terminal.screen) {
        fputs("\033[?25h", stdout);
        fflush(stdout);
        ctl_watch_terminal.screen = 0;
    }

    if (ctl_watch_terminal.keys) {
        (void) tcsetattr(STDIN_FILENO, TCSADRAIN,
                         &ctl_watch_terminal.termios);
        ctl_watch_terminal.keys = 0;
    }
}


/* 0: nobody reads it any more. */

static int
ctl_watch_show(ctl_watch_t *watch, const ctl_usage_t *usage)
{
    if (watch->ctl->json) {
        ctl_print_json_line(usage->array);

    } else if (ctl_watch_terminal.screen) {
        ctl_watch_measure(watch, usage);
        ctl_watch_draw(watch, usage);
        json_decref(usage->array);

    } else {
        ctl_watch_print(watch->ctl, usage);
    }

    return fflush(stdout) == 0 && !ferror(stdout);
}


static void
ctl_watch_print(ctl_t *ctl, const ctl_usage_t *usage)
{
    printf("%s\n", ctl_time(ctl, (uint64_t) time(NULL)));
    ctl_print(ctl, ctl_usage_table(usage), usage->array);
    putchar('\n');
}


/* Until the next time; 0: there is none. */

static int
ctl_watch_wait(ctl_watch_t *watch)
{
    int              n;
    char             key;
    int64_t          left;
    struct pollfd    keys;
    struct timespec  now, start;

    keys.fd = ctl_watch_terminal.keys ? STDIN_FILENO : -1;
    keys.events = POLLIN;

    (void) clock_gettime(CLOCK_MONOTONIC, &start);
    left = CTL_WATCH_MS;

    while (left > 0) {

        if (ctl_watch_told) {
            return !ctl_watch_over(watch);
        }

        n = poll(&keys, 1, (int) left);

        if (n > 0) {
            if (read(STDIN_FILENO, &key, 1) != 1) {
                keys.fd = -1;

            } else if (key == 'q' || key == 'Q') {
                return 0;
            }
        }

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        left = CTL_WATCH_MS - (now.tv_sec - start.tv_sec) * 1000
               - (now.tv_nsec - start.tv_nsec) / 1000000;
    }

    return 1;
}


/* What a signal asks for; else it goes on with a new drawing. */

static int
ctl_watch_over(ctl_watch_t *watch)
{
    int  signo;

    signo = ctl_watch_told;

    if (signo != SIGTSTP && signo != SIGWINCH) {
        return 1;
    }

    ctl_watch_told = 0;

    if (signo == SIGTSTP) {
        ctl_watch_leave();
        (void) raise(SIGSTOP);

        ctl_watch_terminal.screen = 1;
        ctl_watch_enter();

    } else {

        /* lines may have been broken anew: where they are is not known */

        fputs("\033[H\033[J", stdout);
    }

    watch->drawn = 0;

    return 0;
}
