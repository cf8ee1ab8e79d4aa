
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What people and programs read: errors, tables, JSON.
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "ctl.h"


#define CTL_COLUMNS  10
#define CTL_SOME     10


typedef struct ctl_row_s  ctl_row_t;

struct ctl_row_s {
    ctl_row_t    *next;
    const char   *cells[CTL_COLUMNS];
};


struct ctl_table_s {
    ctl_t        *ctl;
    unsigned      columns;
    size_t        widths[CTL_COLUMNS];
    ctl_row_t    *rows;                /* the first is the heading */
    ctl_row_t   **last;
};


static void ctl_row_add(ctl_table_t *table, ctl_row_t *row);
static void ctl_json_dump(json_t *value, size_t flags);


int
ctl_fail(int code, const char *fmt, ...)
{
    va_list  args;

    fflush(stdout);
    fputs("pinaudctl: ", stderr);

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fputc('\n', stderr);

    return code;
}


/* Past stdio, which would keep a copy in its buffer. */

int
ctl_print_secret(const char *text, size_t len)
{
    ssize_t  n;

    while (len) {
        n = write(STDOUT_FILENO, text, len);

        if (n > 0) {
            text += n;
            len -= (size_t) n;

        } else if (n == 0 || errno != EINTR) {
            return ctl_fail(CTL_REFUSED, "cannot write to stdout: %s",
                            strerror(errno));
        }
    }

    return CTL_DONE;
}


ctl_table_t *
ctl_table(ctl_t *ctl, const char *column, ...)
{
    va_list       args;
    ctl_row_t    *row;
    ctl_table_t  *table;

    table = ctl_alloc(ctl, sizeof(ctl_table_t));
    table->ctl = ctl;
    table->last = &table->rows;

    row = ctl_alloc(ctl, sizeof(ctl_row_t));

    va_start(args, column);

    while (column != NULL && table->columns < CTL_COLUMNS) {
        row->cells[table->columns++] = column;
        column = va_arg(args, const char *);
    }

    va_end(args);

    ctl_row_add(table, row);

    return table;
}


void
ctl_row(ctl_table_t *table, ...)
{
    va_list     args;
    unsigned    i;
    ctl_row_t  *row;

    row = ctl_alloc(table->ctl, sizeof(ctl_row_t));

    va_start(args, table);

    for (i = 0; i < table->columns; i++) {
        row->cells[i] = va_arg(args, const char *);

        if (row->cells[i] == NULL || row->cells[i][0] == '\0') {
            row->cells[i] = "-";
        }
    }

    va_end(args);

    ctl_row_add(table, row);
}


static void
ctl_row_add(ctl_table_t *table, ctl_row_t *row)
{
    size_t    len;
    unsigned  i;

    for (i = 0; i < table->columns; i++) {
        len = strlen(row->cells[i]);

        if (len > table->widths[i]) {
            table->widths[i] = len;
        }
    }

    *table->last = row;
    table->last = &row->next;
}


void
ctl_print(ctl_t *ctl, ctl_table_t *table, json_t *array)
{
    unsigned    i;
    ctl_row_t  *row;

    if (ctl->json) {
        ctl_print_json(array);
        return;
    }

    json_decref(array);

    for (row = table->rows; row; row = row->next) {
        for (i = 0; i + 1 < table->columns; i++) {
            printf("%-*s  ", (int) table->widths[i], row->cells[i]);
        }

        puts(row->cells[i]);
    }
}


void
ctl_print_json(json_t *value)
{
    ctl_json_dump(value, JSON_INDENT(2));
}


void
ctl_print_json_line(json_t *value)
{
    ctl_json_dump(value, JSON_COMPACT);
}


static void
ctl_json_dump(json_t *value, size_t flags)
{
    /* a value that is NULL or that was not whole: memory is out */

    if (json_dumpf(value, stdout, flags | JSON_ENCODE_ANY) != 0) {
        exit(ctl_fail(CTL_REFUSED, "cannot print JSON"));
    }

    putchar('\n');
    json_decref(value);
}


const char *
ctl_some(ctl_t *ctl, const char **names, unsigned n)
{
    unsigned     i;
    const char  *text;

    text = "";

    for (i = 0; i < n && i < CTL_SOME; i++) {
        text = ctl_format(ctl, "%s%s%s", text, i ? ", " : "", names[i]);
    }

    return (n > i) ? ctl_format(ctl, "%s and %u more", text, n - i) : text;
}


/* What is no UTF-8 makes no JSON: better nothing than a part of it. */

void
ctl_json_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) {
        exit(ctl_fail(CTL_REFUSED, "cannot print JSON"));
    }
}


json_t *
ctl_json_text(const char *text)
{
    return text ? json_string(text) : json_null();
}


const char *
ctl_time(ctl_t *ctl, uint64_t seconds)
{
    char       text[32];
    time_t     time;
    struct tm  tm;

    time = (time_t) seconds;

    if (seconds == 0 || gmtime_r(&time, &tm) == NULL
        || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
    {
        return "not known";
    }

    return ctl_format(ctl, "%s", text);
}


const char *
ctl_span(ctl_t *ctl, uint64_t ms)
{
    unsigned  s;

    s = (unsigned) (ms / 1000);

    if (s >= 86400) {
        return ctl_format(ctl, "%ud %uh", s / 86400, s % 86400 / 3600);
    }

    if (s >= 3600) {
        return ctl_format(ctl, "%uh %um", s / 3600, s % 3600 / 60);
    }

    if (s >= 60) {
        return ctl_format(ctl, "%um %us", s / 60, s % 60);
    }

    return ctl_format(ctl, "%u.%us", s, (unsigned) (ms % 1000 / 100));
}
