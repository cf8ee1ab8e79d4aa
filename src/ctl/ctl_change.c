
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a command changes: collected while it plans, reported when it is done.
 */


#include <stdio.h>
#include <string.h>
#include "ctl.h"


typedef struct ctl_field_s  ctl_field_t;

struct ctl_field_s {
    ctl_field_t   *next;
    const char    *name;
    const char    *before;             /* NULL: there was none */
    const char    *after;              /* NULL: there is none any more */
};


struct ctl_change_s {
    ctl_change_t  *next;
    const char    *kind;
    const char    *name;
    const char    *of;
    const char    *action;
    ctl_field_t   *fields;
    ctl_field_t  **last;
};


static int ctl_change_told(const ctl_change_t *change);
static void ctl_report_json(ctl_t *ctl);


ctl_change_t *
ctl_change(ctl_t *ctl, const char *kind, const char *name, const char *of,
    const char *action)
{
    ctl_change_t  *change;

    change = ctl_alloc(ctl, sizeof(ctl_change_t));

    change->kind = kind;
    change->name = name;
    change->of = of;
    change->action = action;
    change->last = &change->fields;

    *ctl->changes_last = change;
    ctl->changes_last = &change->next;

    return change;
}


void
ctl_change_field(ctl_t *ctl, ctl_change_t *change, const char *name,
    const char *before, const char *after)
{
    ctl_field_t  *field;

    if (before == after
        || (before && after && strcmp(before, after) == 0))
    {
        return;
    }

    field = ctl_alloc(ctl, sizeof(ctl_field_t));

    field->name = name;
    field->before = before;
    field->after = after;

    *change->last = field;
    change->last = &field->next;
}


int
ctl_changed(ctl_t *ctl)
{
    ctl_change_t  *change;

    for (change = ctl->changes; change; change = change->next) {
        if (ctl_change_told(change)) {
            return 1;
        }
    }

    return 0;
}


static int
ctl_change_told(const ctl_change_t *change)
{
    return change->fields != NULL || strcmp(change->action, "changed") != 0;
}


void
ctl_report(ctl_t *ctl, int would)
{
    ctl_field_t   *field;
    ctl_change_t  *change;

    if (ctl->json) {
        ctl_report_json(ctl);
        return;
    }

    if (!ctl_changed(ctl)) {
        puts("Nothing to change.");
        return;
    }

    for (change = ctl->changes; change; change = change->next) {

        if (!ctl_change_told(change)) {
            continue;
        }

        printf("%s %s%s%s: %s%s\n", change->kind, change->name,
               change->of ? " of account " : "", change->of ? change->of : "",
               would ? "would be " : "", change->action);

        for (field = change->fields; field; field = field->next) {
            printf("  %-14s %s%s%s\n", field->name,
                   field->before ? field->before : "",
                   field->before ? " → " : "",
                   field->after ? field->after : "none");
        }
    }
}


static void
ctl_report_json(ctl_t *ctl)
{
    json_t        *array, *fields, *item;
    ctl_field_t   *field;
    ctl_change_t  *change;

    array = json_array();

    for (change = ctl->changes; change; change = change->next) {

        if (!ctl_change_told(change)) {
            continue;
        }

        fields = json_array();

        for (field = change->fields; field; field = field->next) {
            ctl_json_append(fields,
                json_pack("{s:s, s:s?, s:s?}", "field", field->name,
                          "before", field->before, "after", field->after));
        }

        item = json_pack("{s:s, s:s}", "kind", change->kind, "name",
                         change->name);

        if (change->of) {
            json_object_set_new(item, "account", json_string(change->of));
        }

        json_object_set_new(item, "action", json_string(change->action));
        json_object_set_new(item, "fields", fields);
        ctl_json_append(array, item);
    }

    ctl_print_json(json_pack("{s:b, s:o}", "changed", ctl_changed(ctl),
                             "changes", array));
}
