
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The form of a journal's file.
 */


#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include "ctl_journal_form.h"


#define CTL_JOURNAL_DIGEST  32
#define CTL_JOURNAL_TEXT    (CTL_JOURNAL_HEADER - CTL_JOURNAL_DIGEST)
#define CTL_JOURNAL_FIELDS  6
#define CTL_JOURNAL_SPARE   4          /* for the answer's length */


static int ctl_journal_parse(const char *text, ctl_entry_t *entry);
static int ctl_journal_digest(const unsigned char *header,
    unsigned char *digest);


int
ctl_journal_header(unsigned char *header, const ctl_entry_t *entry)
{
    memset(header, 0, CTL_JOURNAL_HEADER);

    snprintf((char *) header, CTL_JOURNAL_TEXT,
             "pinaud-journal 1\n%u %u %u %" PRIu64 " %" PRIu64 " %" PRIu64
             " %" PRIu64 "\n%s\n%s\n%s\n", (unsigned) entry->phase,
             (unsigned) entry->unknown, (unsigned) entry->demanded,
             entry->refresh_version, entry->version, entry->next_version,
             entry->at, entry->name, entry->base, entry->id);

    return ctl_journal_digest(header, header + CTL_JOURNAL_TEXT);
}


void
ctl_journal_header_read(const unsigned char *header, const char *name,
    ctl_entry_t *entry)
{
    unsigned char  digest[CTL_JOURNAL_DIGEST];

    memset(entry, 0, sizeof(ctl_entry_t));

    if (header[0] != '\0'
        && (ctl_journal_digest(header, digest) != 0
            || memcmp(digest, header + CTL_JOURNAL_TEXT, sizeof(digest)) != 0
            || ctl_journal_parse((const char *) header, entry) != 0
            || strcmp(entry->name, name) != 0))
    {
        memset(entry, 0, sizeof(ctl_entry_t));
        entry->phase = CTL_PHASE_CALLING;
    }

    memcpy(entry->name, name, strlen(name) + 1);
}


/* A header of no call has neither base nor id. */

static int
ctl_journal_parse(const char *text, ctl_entry_t *entry)
{
    int       n;
    char      base[CTL_ENTRY_BASE], id[CTL_ENTRY_ID];
    unsigned  demanded, phase, unknown;

    n = sscanf(text, "pinaud-journal 1\n%u %u %u %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64 "\n%64[^\n]\n%40[0-9a-f]\n"
               "%32[0-9a-f]\n", &phase, &unknown, &demanded,
               &entry->refresh_version, &entry->version,
               &entry->next_version, &entry->at, entry->name, base, id);

    if (n < 8 || phase > CTL_PHASE_CALLING
        || (phase != CTL_PHASE_NONE && n != 10))
    {
        return -1;
    }

    entry->phase = (ctl_phase_e) phase;
    entry->unknown = (unknown != 0);
    entry->demanded = (demanded != 0);

    if (phase != CTL_PHASE_NONE) {
        memcpy(entry->base, base, sizeof(base));
        memcpy(entry->id, id, sizeof(id));
    }

    return 0;
}


static int
ctl_journal_digest(const unsigned char *header, unsigned char *digest)
{
    return EVP_Digest(header, CTL_JOURNAL_TEXT, digest, NULL, EVP_sha256(),
                      NULL)
           == 1 ? 0 : -1;
}


size_t
ctl_journal_text(char *to, const ctl_entry_t *entry, const ctl_grant_t *grant)
{
    int     n;
    size_t  room;

    room = CTL_JOURNAL_ROOM - CTL_JOURNAL_SPARE - PINAUD_SEAL_OVERHEAD;

    n = snprintf(to, room, "%s\n%" PRIu64 "\n%" PRIu64 "\n%s\n%s\n%s",
                 entry->id, grant->expires, grant->refresh_expires,
                 grant->access, grant->refresh, grant->scope);

    return (n > 0 && (size_t) n < room) ? (size_t) n : 0;
}


int
ctl_journal_text_read(char *text, const ctl_entry_t *entry,
    ctl_grant_t *grant)
{
    char      *fields[CTL_JOURNAL_FIELDS];
    unsigned   i;

    for (i = 0; i < CTL_JOURNAL_FIELDS; i++) {

        if (text == NULL) {
            return -1;
        }

        fields[i] = text;
        text = strchr(text, '\n');

        if (text != NULL) {
            *text++ = '\0';
        }
    }

    if (text != NULL || strcmp(fields[0], entry->id) != 0
        || fields[3][0] == '\0')
    {
        return -1;
    }

    grant->expires = strtoull(fields[1], NULL, 10);
    grant->refresh_expires = strtoull(fields[2], NULL, 10);
    grant->access = fields[3];
    grant->refresh = fields[4];
    grant->scope = fields[5];

    return 0;
}
