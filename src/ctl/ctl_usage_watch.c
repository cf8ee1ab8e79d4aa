
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
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "ctl.h"
#include "ctl_usage.h"


#define CTL_WATCH_MS        1000
#define CTL_WATCH_COLUMNS   80         /* of a terminal that does not tell */
#define CTL_WATCH_ROWS      24
#define CTL_WATCH_BAR_MIN   6
#define CTL_WATCH_BAR_MAX   40
#define CTL_WATCH_NUMBERS   25         /* columns behind the bar, and one that
                                          stays free: at the last column the
                                          rest of a line is cleared with it */
#define CTL_WATCH_BUSY      80         /* percent: from here on it is told */

#define CTL_WATCH_PLAIN     "\033[0m"


typedef struct {
    ctl_t          *ctl;
    unsigned        drawn;             /* lines, to go back over */
    unsigned        rows;
    unsigned        columns;
    unsigned        bar;               /* its width */
    int             title;             /* width of that column */
    int             limit;
    unsigned        utf8:1;
    unsigned        colour:1;
} ctl_watch_t;


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
static void ctl_watch_measure(ctl_watch_t *watch, const ctl_usage_t *usage);
static void ctl_watch_draw(ctl_watch_t *watch, const ctl_usage_t *usage);
static void ctl_watch_line(ctl_watch_t *watch, const ctl_usage_line_t *line);
static void ctl_watch_bar(ctl_watch_t *watch, const ctl_usage_line_t *line);
static const char *ctl_watch_colour(ctl_watch_t *watch,
    const ctl_usage_line_t *line);
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


static void
ctl_watch_measure(ctl_watch_t *watch, const ctl_usage_t *usage)
{
    int             len, used;
    unsigned        i;
    const char     *term, *text;
    struct winsize  size;

    watch->rows = CTL_WATCH_ROWS;
    watch->columns = CTL_WATCH_COLUMNS;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row
        && size.ws_col)
    {
        watch->rows = size.ws_row;
        watch->columns = size.ws_col;
    }

    watch->title = (int) strlen("BUCKET");
    watch->limit = (int) strlen("LIMIT");

    for (i = 0; i < usage->nlines; i++) {

        if (!usage->lines[i].limited) {
            continue;
        }

        len = (int) strlen(usage->lines[i].title);
        watch->title = (len > watch->title) ? len : watch->title;

        len = (int) strlen(usage->lines[i].limit);
        watch->limit = (len > watch->limit) ? len : watch->limit;
    }

    used = watch->title + watch->limit + 4 + CTL_WATCH_NUMBERS;
    watch->bar = 0;

    if ((int) watch->columns >= used + CTL_WATCH_BAR_MIN) {
        watch->bar = watch->columns - (unsigned) used;
    }

    if (watch->bar > CTL_WATCH_BAR_MAX) {
        watch->bar = CTL_WATCH_BAR_MAX;
    }

    text = getenv("LC_ALL");
    text = (text && *text) ? text : getenv("LC_CTYPE");
    text = (text && *text) ? text : getenv("LANG");
    watch->utf8 = text && (strstr(text, "UTF-8") || strstr(text, "utf8"));

    text = getenv("NO_COLOR");
    term = getenv("TERM");
    watch->colour = !(text && *text) && term && strcmp(term, "dumb") != 0;
}


/*
 * Over what was drawn before, line by line, without wrapping: nothing flickers
 * and a window that is too narrow only cuts.
 */

static void
ctl_watch_draw(ctl_watch_t *watch, const ctl_usage_t *usage)
{
    unsigned  i, more, room, shown;

    more = 0;
    shown = 0;

    for (i = 0; i < usage->nlines; i++) {
        more += usage->lines[i].limited;
    }

    fputs("\033[?7l", stdout);

    if (watch->drawn) {
        printf("\033[%uA\r", watch->drawn);
    }

    printf("pinaudctl usage%s%s  %s  %sq or Ctrl-C ends%s\033[K\n\033[K\n",
           watch->ctl->nargs ? " " : "",
           watch->ctl->nargs ? watch->ctl->args[0] : "",
           ctl_time(watch->ctl, (uint64_t) time(NULL)),
           watch->colour ? "\033[2m" : "",
           watch->colour ? CTL_WATCH_PLAIN : "");

    printf("%s%-*s  %-*s  %-*s%7s%8s%9s%s\033[K\n",
           watch->colour ? "\033[1m" : "", watch->title, "BUCKET",
           watch->limit, "LIMIT", (int) watch->bar, "", "USED", "LEFT",
           "RESET", watch->colour ? CTL_WATCH_PLAIN : "");

    /* three lines are there, one is for what is more, one for the cursor */

    room = (watch->rows > 6) ? watch->rows - 5 : 1;
    watch->drawn = 3;

    for (i = 0; i < usage->nlines && shown < room; i++) {

        if (usage->lines[i].limited) {
            ctl_watch_line(watch, &usage->lines[i]);
            shown++;
        }
    }

    watch->drawn += shown;

    if (more > shown) {
        printf("and %u more: name an account, or make the window higher"
               "\033[K\n", more - shown);
        watch->drawn++;

    } else if (more == 0) {
        fputs("there are no limits\033[K\n", stdout);
        watch->drawn++;
    }

    fputs("\033[J\033[?7h", stdout);
}


static void
ctl_watch_line(ctl_watch_t *watch, const ctl_usage_line_t *line)
{
    ctl_t  *ctl;

    ctl = watch->ctl;

    printf("%-*s  %-*s  ", watch->title, line->title, watch->limit,
           line->limit);

    ctl_watch_bar(watch, line);

    printf("%7s%8s%9s\033[K\n",
           line->counted ? ctl_number(ctl, line->used) : "-",
           ctl_number(ctl, line->left),
           line->reset ? ctl_span(ctl, line->reset) : "-");
}


/* In eighths of a column, where the terminal knows them. */

static void
ctl_watch_bar(ctl_watch_t *watch, const ctl_usage_line_t *line)
{
    uint64_t  eighths;
    unsigned  i, whole;

    static const char  *const parts[] = { "", "▏", "▎", "▍", "▌", "▋", "▊",
                                          "▉" };

    eighths = (uint64_t) watch->bar * 8;

    if (eighths && line->used < line->n) {
        eighths = line->used * eighths / line->n;
        eighths = (eighths == 0 && line->used) ? 1 : eighths;
    }

    whole = (unsigned) (eighths / 8);

    fputs(ctl_watch_colour(watch, line), stdout);

    for (i = 0; i < whole; i++) {
        fputs(watch->utf8 ? "█" : "#", stdout);
    }

    if (eighths % 8) {
        fputs(watch->utf8 ? parts[eighths % 8] : "#", stdout);
        i++;
    }

    if (watch->colour) {
        fputs(CTL_WATCH_PLAIN "\033[2m", stdout);
    }

    for ( /* void */ ; i < watch->bar; i++) {
        fputs(watch->utf8 ? "·" : ".", stdout);
    }

    if (watch->colour) {
        fputs(CTL_WATCH_PLAIN, stdout);
    }
}


static const char *
ctl_watch_colour(ctl_watch_t *watch, const ctl_usage_line_t *line)
{
    if (!watch->colour) {
        return "";
    }

    if (line->left == 0) {
        return "\033[31m";
    }

    return (line->used * 100 >= line->n * CTL_WATCH_BUSY) ? "\033[33m"
                                                          : "\033[32m";
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
