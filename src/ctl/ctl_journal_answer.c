
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The journal's answers: behind a file's header is the room for one, its
 * length in 4 bytes, little endian, and it itself, sealed.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "ctl_journal_file.h"


static size_t ctl_journal_seal(ctl_journal_t *journal,
    const ctl_entry_t *entry, const ctl_grant_t *grant, unsigned char *room);
static int ctl_journal_open_answer(ctl_journal_t *journal,
    const ctl_entry_t *entry, const unsigned char *sealed, size_t size,
    unsigned char *room, ctl_grant_t *grant);
static size_t ctl_journal_aad(unsigned char *aad, const ctl_entry_t *entry);


int
ctl_journal_answer(ctl_journal_t *journal, const ctl_entry_t *entry,
    const ctl_grant_t *grant, char *error)
{
    int             fd, rc;
    char            path[CTL_JOURNAL_PATH];
    size_t          len;
    unsigned char  *room;

    fd = ctl_journal_file(journal, entry->name, O_RDWR, path, error);

    if (fd == -1) {
        return -1;
    }

    room = malloc(CTL_JOURNAL_ROOM);
    len = room ? ctl_journal_seal(journal, entry, grant, room) : 0;

    if (len == 0) {
        rc = ctl_journal_failed(journal, path, "the answer can't be sealed",
                                error);

    } else {
        rc = ctl_journal_write(fd, room, len, CTL_JOURNAL_AT);

        if (rc == 0) {
            rc = fsync(fd);
        }

        if (rc != 0) {
            ctl_journal_failed(journal, path, strerror(errno), error);
        }
    }

    free(room);
    close(fd);

    return rc;
}


/* Writes length and sealed answer to CTL_JOURNAL_ROOM bytes. */

static size_t
ctl_journal_seal(ctl_journal_t *journal, const ctl_entry_t *entry,
    const ctl_grant_t *grant, unsigned char *room)
{
    char           *text;
    size_t          aad_len, len;
    unsigned        i;
    unsigned char   aad[PINAUD_SEAL_AAD_MAX];

    text = malloc(CTL_JOURNAL_ROOM);
    len = text ? ctl_journal_text(text, entry, grant) : 0;

    if (len != 0) {
        aad_len = ctl_journal_aad(aad, entry);
        len = pinaud_seal(journal->ring, PINAUD_DOMAIN_AGENT, aad, aad_len,
                          (unsigned char *) text, len,
                          room + CTL_JOURNAL_LEN);
    }

    if (text != NULL) {
        OPENSSL_cleanse(text, CTL_JOURNAL_ROOM);
        free(text);
    }

    for (i = 0; i < CTL_JOURNAL_LEN; i++) {
        room[i] = (unsigned char) (len >> (8 * i));
    }

    return len ? len + CTL_JOURNAL_LEN : 0;
}


int
ctl_journal_granted(ctl_journal_t *journal, const ctl_entry_t *entry,
    unsigned char *room, ctl_grant_t *grant, char *error)
{
    int             fd, rc;
    char            path[CTL_JOURNAL_PATH];
    ssize_t         n;
    unsigned char  *sealed;

    fd = ctl_journal_file(journal, entry->name, O_RDONLY, path, error);

    if (fd == -1) {
        return -1;
    }

    sealed = malloc(CTL_JOURNAL_ROOM);
    n = sealed ? pread(fd, sealed, CTL_JOURNAL_ROOM, CTL_JOURNAL_AT) : -1;

    if (n == -1) {
        rc = ctl_journal_failed(journal, path, strerror(errno), error);

    } else {
        rc = ctl_journal_open_answer(journal, entry, sealed, (size_t) n, room,
                                     grant);
    }

    if (rc == -1 && n != -1) {
        ctl_journal_failed(journal, path, "the answer in it is sealed by a "
                           "key that is not in the seal key file", error);
    }

    free(sealed);
    close(fd);

    return rc;
}


/* 1: there is none, or not a whole one. -1: there may be one. */

static int
ctl_journal_open_answer(ctl_journal_t *journal, const ctl_entry_t *entry,
    const unsigned char *sealed, size_t size, unsigned char *room,
    ctl_grant_t *grant)
{
    size_t         aad_len, len, text_len;
    unsigned       i;
    pinaud_open_e  rc;
    unsigned char  aad[PINAUD_SEAL_AAD_MAX];

    if (size < CTL_JOURNAL_LEN) {
        return 1;
    }

    len = 0;

    for (i = 0; i < CTL_JOURNAL_LEN; i++) {
        len |= (size_t) sealed[i] << (8 * i);
    }

    if (len == 0 || len > size - CTL_JOURNAL_LEN) {
        return 1;
    }

    aad_len = ctl_journal_aad(aad, entry);
    rc = pinaud_open(journal->ring, PINAUD_DOMAIN_AGENT, aad, aad_len,
                     sealed + CTL_JOURNAL_LEN, len, room, &text_len);

    if (rc == PINAUD_OPENED) {
        room[text_len] = '\0';
        return ctl_journal_text_read((char *) room, entry, grant) != 0;
    }

    return (rc == PINAUD_SEAL_UNKNOWN_KEY || rc == PINAUD_SEAL_GATEWAY_KEY)
           ? -1 : 1;
}


static size_t
ctl_journal_aad(unsigned char *aad, const ctl_entry_t *entry)
{
    return pinaud_seal_aad(aad, "journal", entry->name, strlen(entry->name),
                           entry->refresh_version);
}
