
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl usage": what is used and left of every limit.
 */


#include "ctl_usage.h"


static int ctl_usage(ctl_t *ctl);
static int ctl_usage_once(ctl_t *ctl);


static const ctl_option_t  ctl_usage_options[] = {

    { .name = "watch", .help = "tell it each second, until Ctrl-C" },

    { .name = NULL }
};


const ctl_command_t  ctl_usage_commands[] = {

    { .noun = "usage", .args = "[ACCOUNT]", .max = 1,
      .options = ctl_usage_options, .handler = ctl_usage,
      .summary = "Tell what is used and left of every limit",
      .details =
"Of all credentials, accounts and teams, or of those that one account's\n"
"requests are charged to. RESET is when more is left than now. A credential's\n"
"first bucket counts writes, its second one all calls. A team's reserve is\n"
"used before what all teams of the account share. A credential that Pinterest\n"
"refused by its own limits has a line with its cooldown.\n\n"
"With --watch a terminal shows it with bars, in place, without buckets that\n"
"have no limit; elsewhere a table is printed each second, or with --json one\n"
"line with the whole document." },

    { .noun = NULL }
};


static int
ctl_usage(ctl_t *ctl)
{
    int  rc;

    rc = ctl->nargs ? ctl_check_account(ctl->args[0]) : CTL_DONE;

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    return ctl_given(ctl, "watch") ? ctl_usage_watch(ctl)
                                   : ctl_usage_once(ctl);
}


static int
ctl_usage_once(ctl_t *ctl)
{
    int          rc;
    ctl_usage_t  usage;

    rc = ctl_usage_read(ctl, &usage);

    if (rc == CTL_DONE) {
        ctl_print(ctl, ctl_usage_table(&usage), usage.array);
    }

    return rc;
}


ctl_table_t *
ctl_usage_table(const ctl_usage_t *usage)
{
    ctl_t                   *ctl;
    unsigned                 i;
    ctl_table_t             *table;
    const ctl_usage_line_t  *line;

    ctl = usage->ctl;
    table = ctl_table(ctl, "BUCKET", "LIMIT", "USED", "LEFT", "RESET", NULL);

    for (i = 0; i < usage->nlines; i++) {
        line = &usage->lines[i];

        ctl_row(table, line->title, line->limit,
                line->counted ? ctl_number(ctl, line->used) : NULL,
                line->limited ? ctl_number(ctl, line->left) : NULL,
                line->reset ? ctl_span(ctl, line->reset) : NULL);
    }

    return table;
}
