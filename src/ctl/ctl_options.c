
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The command line, and the settings that stand behind it.
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl.h"


#define CTL_ENV_FILE  "/etc/pinaud/env"
#define CTL_SECONDS   315360000        /* ten years */
#define CTL_DAY       86400000         /* ms */


static int ctl_option_take(ctl_t *ctl, int argc, const char **argv, int *i);
static const ctl_option_t *ctl_option_find(const ctl_option_t *options,
    const char *name, size_t len);
static int ctl_word_take(ctl_t *ctl, const char *word);
static const ctl_command_t *ctl_command_find(const char *noun,
    const char *verb);
static int ctl_verb_begins(const char *noun, const char *word);
static int ctl_args_check(ctl_t *ctl);
static const char *ctl_env_file(ctl_t *ctl, const char *variable);


/*
 * Options stand anywhere, but a command's own after its name. With *help set
 * nothing is complete but the command, which may be NULL: then args[0] is
 * the noun, if anything.
 */

int
ctl_options_parse(ctl_t *ctl, int argc, const char **argv, int *help)
{
    int  i, rc, words;

    ctl->args = ctl_alloc(ctl, sizeof(char *) * (size_t) (argc + 1));
    ctl->given = ctl_alloc(ctl, sizeof(ctl_given_t) * (size_t) (argc + 1));

    *help = 0;
    words = 0;

    for (i = 1; i < argc; i++) {

        if (!words && strcmp(argv[i], "--") == 0) {
            words = 1;
            continue;
        }

        if (!words && (strcmp(argv[i], "--help") == 0
                       || strcmp(argv[i], "-h") == 0))
        {
            *help = 1;
            continue;
        }

        if (!words && argv[i][0] == '-' && argv[i][1] != '\0') {
            rc = ctl_option_take(ctl, argc, argv, &i);

        } else {
            rc = ctl_word_take(ctl, argv[i]);
        }

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    ctl->json = (ctl_given(ctl, "json") != NULL);

    return *help ? CTL_DONE : ctl_args_check(ctl);
}


static int
ctl_option_take(ctl_t *ctl, int argc, const char **argv, int *i)
{
    size_t               len;
    const char          *text, *value;
    const ctl_option_t  *option;

    text = argv[*i];

    if (text[1] != '-') {
        return ctl_fail(CTL_USAGE, "\"%s\": options begin with two dashes",
                        text);
    }

    text += 2;
    len = strcspn(text, "=");
    value = text[len] ? text + len + 1 : NULL;

    option = ctl_option_find(ctl_globals, text, len);

    if (option == NULL && ctl->command != NULL) {
        option = ctl_option_find(ctl->command->options, text, len);
    }

    if (option == NULL) {
        if (ctl->command == NULL) {
            return ctl_fail(CTL_USAGE, "there is no option --%.*s before the "
                            "command; see \"pinaudctl help\"", (int) len,
                            text);
        }

        return ctl_fail(CTL_USAGE, "\"%s%s%s\" has no option --%.*s; see "
                        "\"pinaudctl %s --help\"", ctl->command->noun,
                        ctl->command->verb ? " " : "",
                        ctl->command->verb ? ctl->command->verb : "",
                        (int) len, text, ctl->command->noun);
    }

    if (option->arg == NULL) {
        if (value != NULL) {
            return ctl_fail(CTL_USAGE, "--%s takes no value", option->name);
        }

        value = "";

    } else if (value == NULL) {
        if (*i + 1 == argc) {
            return ctl_fail(CTL_USAGE, "--%s needs its %s", option->name,
                            option->arg);
        }

        value = argv[++*i];
    }

    if (option->arg != NULL && value[0] == '\0') {
        return ctl_fail(CTL_USAGE, "--%s needs its %s", option->name,
                        option->arg);
    }

    if (!option->repeated && ctl_given(ctl, option->name) != NULL) {
        return ctl_fail(CTL_USAGE, "--%s is given twice", option->name);
    }

    ctl->given[ctl->ngiven].option = option;
    ctl->given[ctl->ngiven].value = value;
    ctl->ngiven++;

    return CTL_DONE;
}


static const ctl_option_t *
ctl_option_find(const ctl_option_t *options, const char *name, size_t len)
{
    for ( /* void */ ; options && options->name; options++) {
        if (strlen(options->name) == len
            && memcmp(options->name, name, len) == 0)
        {
            return options;
        }
    }

    return NULL;
}


/*
 * The first words are the command's name, two or, as in "team key create",
 * three; all others are its arguments.
 */

static int
ctl_word_take(ctl_t *ctl, const char *word)
{
    const char  *noun, *verb;

    if (ctl->command != NULL) {
        ctl->args[ctl->nargs++] = word;
        return CTL_DONE;
    }

    if (ctl->nargs == 0) {
        if (!ctl_is_noun(word)) {
            return ctl_fail(CTL_USAGE, "there is no command \"%s\"; see "
                            "\"pinaudctl help\"", word);
        }

        ctl->command = ctl_command_find(word, NULL);
        ctl->args[0] = word;
        ctl->nargs = (ctl->command == NULL);

        return CTL_DONE;
    }

    noun = ctl->args[0];
    verb = (ctl->nargs == 1) ? word
                             : ctl_format(ctl, "%s %s", ctl->args[1], word);

    ctl->command = ctl_command_find(noun, verb);

    if (ctl->command == NULL && ctl->nargs == 1 && ctl_verb_begins(noun, verb))
    {
        ctl->args[1] = word;
        ctl->nargs = 2;

        return CTL_DONE;
    }

    if (ctl->command == NULL) {
        return ctl_fail(CTL_USAGE, "there is no command \"%s %s\"; see "
                        "\"pinaudctl %s --help\"", noun, verb, noun);
    }

    ctl->nargs = 0;

    return CTL_DONE;
}


static const ctl_command_t *
ctl_command_find(const char *noun, const char *verb)
{
    unsigned              i;
    const ctl_command_t  *command;

    for (i = 0; ctl_nouns[i]; i++) {
        for (command = ctl_nouns[i]; command->noun; command++) {

            if (strcmp(command->noun, noun) != 0) {
                continue;
            }

            if (command->verb == NULL
                || (verb != NULL && strcmp(command->verb, verb) == 0))
            {
                return command;
            }
        }
    }

    return NULL;
}


/* Whether there are verbs that begin with this word. */

static int
ctl_verb_begins(const char *noun, const char *word)
{
    size_t                len;
    unsigned              i;
    const ctl_command_t  *command;

    len = strlen(word);

    for (i = 0; ctl_nouns[i]; i++) {
        for (command = ctl_nouns[i]; command->noun; command++) {
            if (strcmp(command->noun, noun) == 0 && command->verb != NULL
                && strncmp(command->verb, word, len) == 0
                && command->verb[len] == ' ')
            {
                return 1;
            }
        }
    }

    return 0;
}


static int
ctl_args_check(ctl_t *ctl)
{
    const char           *verb;
    const ctl_command_t  *command;

    command = ctl->command;

    if (command == NULL) {
        if (ctl->nargs == 0) {
            return ctl_fail(CTL_USAGE,
                            "which command? See \"pinaudctl help\"");
        }

        return ctl_fail(CTL_USAGE, "%s%s%s needs a verb; see "
                        "\"pinaudctl %s --help\"", ctl->args[0],
                        ctl->nargs == 2 ? " " : "",
                        ctl->nargs == 2 ? ctl->args[1] : "", ctl->args[0]);
    }

    if (ctl->nargs >= command->min && ctl->nargs <= command->max) {
        return CTL_DONE;
    }

    verb = command->verb ? command->verb : "";

    return ctl_fail(CTL_USAGE, "%s: \"pinaudctl %s%s%s%s%s\"",
                    ctl->nargs < command->min ? "too few arguments"
                                              : "too many arguments",
                    command->noun, *verb ? " " : "", verb,
                    *command->args ? " " : "", command->args);
}


const char *
ctl_given(ctl_t *ctl, const char *name)
{
    unsigned  i;

    i = 0;

    return ctl_given_next(ctl, name, &i);
}


const char *
ctl_given_next(ctl_t *ctl, const char *name, unsigned *i)
{
    while (*i < ctl->ngiven) {
        if (strcmp(ctl->given[(*i)++].option->name, name) == 0) {
            return ctl->given[*i - 1].value;
        }
    }

    return NULL;
}


const char *
ctl_setting(ctl_t *ctl, const char *name)
{
    const char          *value;
    const ctl_option_t  *option;

    value = ctl_given(ctl, name);

    if (value != NULL) {
        return value;
    }

    option = ctl_option_find(ctl_globals, name, strlen(name));

    if (option == NULL) {
        option = ctl_option_find(ctl->command->options, name, strlen(name));
    }

    value = getenv(option->env);

    if (value != NULL && *value != '\0') {
        return value;
    }

    return ctl_env_file(ctl, option->env);
}


/*
 * Reads lines "NAME=value", as systemd's EnvironmentFile does: blank lines
 * and comments are skipped, quotes around a value are dropped, the last line
 * of a name counts. Who may not read the file goes without.
 */

static const char *
ctl_env_file(ctl_t *ctl, const char *variable)
{
    char        *line, *start;
    FILE        *file;
    size_t       len, name_len, size;
    ssize_t      n;
    const char  *path, *value;

    path = getenv("PINAUD_ENV_FILE");
    file = fopen(path ? path : CTL_ENV_FILE, "re");

    if (file == NULL) {
        return NULL;
    }

    line = NULL;
    size = 0;
    value = NULL;
    name_len = strlen(variable);

    while ((n = getline(&line, &size, file)) != -1) {

        start = line + strspn(line, " \t");
        len = (size_t) (n - (start - line));

        while (len && strchr(" \t\r\n", start[len - 1])) {
            len--;
        }

        if (len <= name_len + 1 || memcmp(start, variable, name_len) != 0
            || start[name_len] != '=')
        {
            continue;
        }

        start += name_len + 1;
        len -= name_len + 1;

        if (len >= 2 && (*start == '"' || *start == '\'')
            && start[len - 1] == *start)
        {
            start++;
            len -= 2;
        }

        value = len ? ctl_copy(ctl, start, len) : NULL;
    }

    free(line);
    fclose(file);

    return value;
}


int
ctl_seconds(const char *option, const char *text, uint64_t *value)
{
    char  *end;

    errno = 0;
    *value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno
        || *value == 0 || *value > CTL_SECONDS)
    {
        return ctl_fail(CTL_USAGE, "--%s is a number of seconds from 1 to %d",
                        option, CTL_SECONDS);
    }

    return CTL_DONE;
}


int
ctl_duration(const char *option, const char *text, uint64_t *ms)
{
    char      *end;
    unsigned   i;
    uint64_t   n;

    static const struct {
        const char  *unit;
        uint64_t     ms;
    } units[] = {
        { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 },
        { "h", 3600000 }, { "d", CTL_DAY },
    };

    errno = 0;
    n = strtoull(text, &end, 10);

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {

        if (strcmp(end, units[i].unit) == 0 && text[0] >= '0'
            && text[0] <= '9' && errno == 0 && n > 0
            && n <= CTL_DAY / units[i].ms)
        {
            *ms = n * units[i].ms;
            return CTL_DONE;
        }
    }

    return ctl_fail(CTL_USAGE, "--%s is a time such as 30s, 10m or 500ms, up "
                    "to 1d", option);
}


int
ctl_check_name(const char *what, const char *name)
{
    if (pinaud_is_name((const unsigned char *) name, strlen(name))) {
        return CTL_DONE;
    }

    return ctl_fail(CTL_USAGE, "a %s's name is 1 to 64 letters, digits "
                    "and . _ @ -", what);
}


int
ctl_check_account(const char *id)
{
    if (pinaud_is_account((const unsigned char *) id, strlen(id))) {
        return CTL_DONE;
    }

    return ctl_fail(CTL_USAGE, "an account's id is 1 to 18 digits");
}
