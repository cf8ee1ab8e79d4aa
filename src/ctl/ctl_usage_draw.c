
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A terminal's picture of what is used: a line with a bar for each limit.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "ctl.h"
#include "ctl_usage.h"


#define CTL_WATCH_COLUMNS   80         /* of a terminal that does not tell */
#define CTL_WATCH_ROWS      24
#define CTL_WATCH_BAR_MIN   6
#define CTL_WATCH_BAR_MAX   40
#define CTL_WATCH_NUMBERS   25         /* columns behind the bar, and one that
                                          stays free: at the last column the
                                          rest of a line is cleared with it */
#define CTL_WATCH_NUMBER    9          /* of LEFT alone */
#define CTL_WATCH_TITLE     12         /* with less room it is narrow */
#define CTL_WATCH_TITLE_MIN 8
#define CTL_WATCH_BUSY      80         /* percent: from here on it is told */

#define CTL_WATCH_PLAIN     "\033[0m"


static void ctl_watch_fit(ctl_watch_t *watch);
static void ctl_watch_line(ctl_watch_t *watch, const ctl_usage_line_t *line);
static void ctl_watch_title(ctl_watch_t *watch, const char *title);
static void ctl_watch_bar(ctl_watch_t *watch, const ctl_usage_line_t *line);
static const char *ctl_watch_colour(ctl_watch_t *watch,
    const ctl_usage_line_t *line);


void
ctl_watch_measure(ctl_watch_t *watch, const ctl_usage_t *usage)
{
    int             len;
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

    ctl_watch_fit(watch);

    text = getenv("LC_ALL");
    text = (text && *text) ? text : getenv("LC_CTYPE");
    text = (text && *text) ? text : getenv("LANG");
    watch->utf8 = text && (strstr(text, "UTF-8") || strstr(text, "utf8"));

    text = getenv("NO_COLOR");
    term = getenv("TERM");
    watch->colour = !(text && *text) && term && strcmp(term, "dumb") != 0;
}


/* Where it is narrow the bar and what is left stay, rather than long titles. */

static void
ctl_watch_fit(ctl_watch_t *watch)
{
    int  columns, numbers, room;

    columns = (int) watch->columns;
    room = columns - watch->limit - 4 - CTL_WATCH_BAR_MIN;

    watch->narrow = (room < CTL_WATCH_NUMBERS + CTL_WATCH_TITLE);
    numbers = watch->narrow ? CTL_WATCH_NUMBER : CTL_WATCH_NUMBERS;
    room -= numbers;

    if (room < CTL_WATCH_TITLE_MIN) {
        room = CTL_WATCH_TITLE_MIN;
    }

    watch->title = (watch->title < room) ? watch->title : room;

    room = columns - watch->title - watch->limit - 4 - numbers;
    room = (room > CTL_WATCH_BAR_MAX) ? CTL_WATCH_BAR_MAX : room;

    watch->bar = (room > 0) ? (unsigned) room : 0;
}


/*
 * Over what was drawn before, line by line, without wrapping: nothing flickers
 * and a window that is too narrow only cuts.
 */

void
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

    printf("%s%-*s  %-*s  %-*s%s%s\033[K\n",
           watch->colour ? "\033[1m" : "", watch->title, "BUCKET",
           watch->limit, "LIMIT", (int) watch->bar, "",
           watch->narrow ? "    LEFT" : "   USED    LEFT    RESET",
           watch->colour ? CTL_WATCH_PLAIN : "");

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

    ctl_watch_title(watch, line->title);
    printf("  %-*s  ", watch->limit, line->limit);

    ctl_watch_bar(watch, line);

    if (watch->narrow) {
        printf("%8s\033[K\n", ctl_number(ctl, line->left));
        return;
    }

    printf("%7s%8s%9s\033[K\n",
           line->counted ? ctl_number(ctl, line->used) : "-",
           ctl_number(ctl, line->left),
           line->reset ? ctl_span(ctl, line->reset) : "-");
}


/* Of one that is too long the end is shown, by which they differ. */

static void
ctl_watch_title(ctl_watch_t *watch, const char *title)
{
    int  len;

    len = (int) strlen(title);

    if (len <= watch->title) {
        printf("%-*s", watch->title, title);
        return;
    }

    printf("%s%s", watch->utf8 ? "…" : "~", title + len - watch->title + 1);
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
