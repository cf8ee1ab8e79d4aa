
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What "pinaudctl usage" reads, and shows once or again and again.
 */


#ifndef _CTL_USAGE_H_INCLUDED_
#define _CTL_USAGE_H_INCLUDED_


#include "ctl.h"


/* One limit of a bucket; a bucket without limits; or a cooldown. */

typedef struct {
    const char           *title;
    const char           *limit;       /* "400/60s", "none" or "cooldown" */
    uint64_t              n;
    uint64_t              used;
    uint64_t              left;
    uint64_t              reset;       /* ms; 0: nothing is used */
    unsigned              counted:1;   /* n and used are there */
    unsigned              limited:1;   /* left is */
} ctl_usage_line_t;


typedef struct {
    ctl_t                *ctl;
    ctl_usage_line_t     *lines;
    unsigned              nlines;
    unsigned              room;
    json_t               *array;       /* the same, for --json */
} ctl_usage_t;


/* ctl_usage_read.c */

/*
 * Reads what the arguments name. Returns an exit code; the array is the
 * caller's, and there is none after a failure.
 */
int ctl_usage_read(ctl_t *ctl, ctl_usage_t *usage);


/* ctl_usage.c */

ctl_table_t *ctl_usage_table(const ctl_usage_t *usage);


/* ctl_usage_watch.c */

/* Reads and shows it each second until it is told to end. */
int ctl_usage_watch(ctl_t *ctl);


/* ctl_usage_draw.c */

typedef struct {
    ctl_t          *ctl;
    unsigned        drawn;             /* lines, to go back over */
    unsigned        rows;
    unsigned        columns;
    unsigned        bar;               /* its width */
    int             title;             /* width of that column */
    int             limit;
    unsigned        narrow:1;          /* of the numbers only LEFT is shown */
    unsigned        utf8:1;
    unsigned        colour:1;
} ctl_watch_t;

/* Looks how large the terminal is, and what goes where. */
void ctl_watch_measure(ctl_watch_t *watch, const ctl_usage_t *usage);

void ctl_watch_draw(ctl_watch_t *watch, const ctl_usage_t *usage);


#endif /* _CTL_USAGE_H_INCLUDED_ */
