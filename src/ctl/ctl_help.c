
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Help, made from the tables of commands.
 */


#include <stdio.h>
#include <string.h>
#include "ctl.h"


static void ctl_help_all(void);
static unsigned ctl_help_noun(const char *noun, int nwords,
    const char **words);
static int ctl_help_begins(const char *verb, int nwords, const char **words);
static void ctl_help_synopsis(const ctl_command_t *command, const char *lead);
static void ctl_help_options(const ctl_option_t *options);


/* "pinaudctl help [NOUN [VERB]]"; the verb, or its beginning, in words */

int
ctl_help(int argc, const char **argv)
{
    if (argc == 0) {
        ctl_help_all();
        return CTL_DONE;
    }

    if (argc > 3 || !ctl_is_noun(argv[0])) {
        return ctl_fail(CTL_USAGE, "there is no help for that; see "
                        "\"pinaudctl help\"");
    }

    if (ctl_help_noun(argv[0], argc - 1, argv + 1)) {
        return CTL_DONE;
    }

    return ctl_fail(CTL_USAGE, "there is no command \"%s %s%s%s\"; see "
                    "\"pinaudctl %s --help\"", argv[0], argv[1],
                    argc > 2 ? " " : "", argc > 2 ? argv[2] : "", argv[0]);
}


int
ctl_is_noun(const char *noun)
{
    unsigned  i;

    for (i = 0; ctl_nouns[i]; i++) {
        if (strcmp(ctl_nouns[i]->noun, noun) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
ctl_help_all(void)
{
    int                   width;
    unsigned              i;
    const char           *verb;
    const ctl_command_t  *command;

    puts("Usage: pinaudctl [OPTION]... NOUN VERB ...\n\n"
         "Keeps what the Pinterest audience gateways work by: credentials, "
         "accounts,\nteams and their limits.\n");

    for (i = 0; ctl_nouns[i]; i++) {
        for (command = ctl_nouns[i]; command->noun; command++) {
            verb = command->verb ? command->verb : "";
            width = 22 - (int) strlen(command->noun);
            printf("  %s %-*s %s\n", command->noun, width, verb,
                   command->summary);
        }
    }

    puts("\nOptions of all commands:");
    ctl_help_options(ctl_globals);

    puts("\nAn option that is not given is taken from its variable, as "
         "PINAUD_SEAL_KEY_FILE,\nand where that is not set from the file "
         "/etc/pinaud/env, or the one that\nPINAUD_ENV_FILE names.\n\n"
         "\"pinaudctl NOUN --help\" tells more of a command.\n\n"
         "Exit code: 0 done, 1 refused, 2 wrong usage, 3 the store failed.");
}


/* Tells all commands of a noun that begin so; returns how many. */

static unsigned
ctl_help_noun(const char *noun, int nwords, const char **words)
{
    unsigned              i, told;
    const ctl_command_t  *command;

    told = 0;

    for (i = 0; ctl_nouns[i]; i++) {
        for (command = ctl_nouns[i]; command->noun; command++) {
            if (strcmp(command->noun, noun) != 0
                || !ctl_help_begins(command->verb, nwords, words))
            {
                continue;
            }

            if (told++) {
                puts("\n");
            }

            ctl_help_command(command);
        }
    }

    return told;
}


static int
ctl_help_begins(const char *verb, int nwords, const char **words)
{
    int     i;
    size_t  len;

    for (i = 0; i < nwords; i++) {
        len = strlen(words[i]);

        if (verb == NULL || len == 0 || strncmp(verb, words[i], len) != 0
            || (verb[len] != '\0' && verb[len] != ' '))
        {
            return 0;
        }

        verb += len + (verb[len] == ' ');
    }

    return 1;
}


void
ctl_help_command(const ctl_command_t *command)
{
    ctl_help_synopsis(command, "Usage: ");

    printf("\n%s.\n", command->summary);

    if (command->details) {
        printf("\n%s\n", command->details);
    }

    if (command->options) {
        puts("\nOptions:");
        ctl_help_options(command->options);
    }
}


static void
ctl_help_synopsis(const ctl_command_t *command, const char *lead)
{
    printf("%spinaudctl %s%s%s%s%s%s\n", lead, command->noun,
           command->verb ? " " : "", command->verb ? command->verb : "",
           *command->args ? " " : "", command->args,
           command->options ? " [OPTION]..." : "");
}


static void
ctl_help_options(const ctl_option_t *options)
{
    int  width;

    for ( /* void */ ; options->name; options++) {
        width = 26 - (int) strlen(options->name)
                - (options->repeated ? 3 : 0);

        printf("  --%s %s%s%*s%s\n", options->name,
               options->arg ? options->arg : "",
               options->repeated ? "..." : "",
               width - (options->arg ? (int) strlen(options->arg) : 0), "",
               options->help);
    }
}
