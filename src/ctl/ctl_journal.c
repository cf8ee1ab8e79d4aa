
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent's journal. A file is a header, which ends with its SHA-256, and
 * behind it the room for the answer: its length in 4 bytes, little endian, and
 * it itself, sealed. Both tell by themselves whether they are whole. An answer
 * names the attempt that it belongs to.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "ctl_journal.h"


#define CTL_JOURNAL_PREFIX  "credential-"
#define CTL_JOURNAL_DIGEST  32
#define CTL_JOURNAL_HEADER  512        /* with its digest */
#define CTL_JOURNAL_AT      4096       /* where the answer begins */
#define CTL_JOURNAL_SIZE    (CTL_JOURNAL_AT + CTL_JOURNAL_ROOM)
#define CTL_JOURNAL_PATH    (sizeof(CTL_JOURNAL_PREFIX) + PINAUD_NAME_MAX)


struct ctl_journal_s {
    int                fd;             /* of the folder */
    int                lock;
    pinaud_keyring_t  *ring;
    char              *dir;
    char               id[CTL_JOURNAL_ID];
};


static int ctl_journal_lock(ctl_journal_t *journal, char *error);
static int ctl_journal_name(ctl_journal_t *journal, char *error);
static int ctl_journal_file(ctl_journal_t *journal, const char *name,
    int flags, char *path, char *error);
static int ctl_journal_room(int fd, int *created);
static int ctl_journal_put(int fd, const ctl_entry_t *entry);
static int ctl_journal_get(int fd, const char *name, ctl_entry_t *entry);
static int ctl_journal_parse(const char *text, ctl_entry_t *entry);
static int ctl_journal_digest(const unsigned char *header,
    unsigned char *digest);
static int ctl_journal_write(int fd, const void *bytes, size_t len,
    off_t at);
static size_t ctl_journal_aad(unsigned char *aad, const ctl_entry_t *entry);
static int ctl_journal_split(char *text, const ctl_entry_t *entry,
    ctl_grant_t *grant);
static int ctl_journal_failed(const ctl_journal_t *journal, const char *path,
    const char *reason, char *error);


int
ctl_journal_open(ctl_journal_t **journal, const char *dir,
    pinaud_keyring_t *ring, char *error)
{
    ctl_journal_t  *opened;

    opened = calloc(1, sizeof(ctl_journal_t));
    *journal = opened;

    if (opened != NULL) {
        opened->fd = -1;
        opened->lock = -1;
        opened->ring = ring;
        opened->dir = strdup(dir);
    }

    if (opened == NULL || opened->dir == NULL) {
        snprintf(error, CTL_JOURNAL_ERROR, "out of memory");

    } else if (ctl_journal_lock(opened, error) == 0
               && ctl_journal_name(opened, error) == 0)
    {
        return 0;
    }

    ctl_journal_close(opened);
    *journal = NULL;

    return -1;
}


static int
ctl_journal_lock(ctl_journal_t *journal, char *error)
{
    if (mkdir(journal->dir, 0700) == -1 && errno != EEXIST) {
        return ctl_journal_failed(journal, NULL, strerror(errno), error);
    }

    journal->fd = open(journal->dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (journal->fd == -1) {
        return ctl_journal_failed(journal, NULL, strerror(errno), error);
    }

    journal->lock = openat(journal->fd, "lock",
                           O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (journal->lock == -1) {
        return ctl_journal_failed(journal, "lock", strerror(errno), error);
    }

    if (flock(journal->lock, LOCK_EX|LOCK_NB) == -1) {
        return ctl_journal_failed(journal, NULL,
                                  errno == EWOULDBLOCK
                                  ? "another agent has this journal: each "
                                    "needs one of its own"
                                  : strerror(errno), error);
    }

    return 0;
}


/* The lock's file holds the name; one that is not whole was never used. */

static int
ctl_journal_name(ctl_journal_t *journal, char *error)
{
    unsigned       i;
    ssize_t        n;
    unsigned char  random[(CTL_JOURNAL_ID - 1) / 2];

    n = pread(journal->lock, journal->id, CTL_JOURNAL_ID - 1, 0);

    if (n == CTL_JOURNAL_ID - 1
        && strspn(journal->id, "0123456789abcdef") == CTL_JOURNAL_ID - 1)
    {
        return 0;
    }

    if (n == -1) {
        return ctl_journal_failed(journal, "lock", strerror(errno), error);
    }

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return ctl_journal_failed(journal, "lock",
                                  "libcrypto has no random bytes", error);
    }

    for (i = 0; i < sizeof(random); i++) {
        sprintf(journal->id + 2 * i, "%02x", random[i]);
    }

    if (ctl_journal_write(journal->lock, journal->id, CTL_JOURNAL_ID - 1, 0)
        != 0
        || fsync(journal->lock) == -1
        || fsync(journal->fd) == -1)
    {
        return ctl_journal_failed(journal, "lock", strerror(errno), error);
    }

    return 0;
}


void
ctl_journal_close(ctl_journal_t *journal)
{
    if (journal == NULL) {
        return;
    }

    if (journal->lock != -1) {
        close(journal->lock);
    }

    if (journal->fd != -1) {
        close(journal->fd);
    }

    free(journal->dir);
    free(journal);
}


const char *
ctl_journal_id(const ctl_journal_t *journal)
{
    return journal->id;
}


int
ctl_journal_read(ctl_journal_t *journal,
    void (*each)(void *data, const ctl_entry_t *entry), void *data,
    char *error)
{
    int             fd, rc;
    DIR            *dir;
    char            path[CTL_JOURNAL_PATH];
    size_t          len;
    ctl_entry_t      entry;
    const char     *name;
    struct dirent  *file;

    fd = openat(journal->fd, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    dir = (fd == -1) ? NULL : fdopendir(fd);

    if (dir == NULL) {
        if (fd != -1) {
            close(fd);
        }

        return ctl_journal_failed(journal, NULL, strerror(errno), error);
    }

    rc = 0;
    len = strlen(CTL_JOURNAL_PREFIX);

    while (rc == 0 && (file = readdir(dir)) != NULL) {
        name = file->d_name + len;

        if (strncmp(file->d_name, CTL_JOURNAL_PREFIX, len) != 0
            || !pinaud_is_name((const unsigned char *) name, strlen(name)))
        {
            continue;
        }

        fd = ctl_journal_file(journal, name, O_RDONLY, path, error);
        rc = -1;

        if (fd != -1) {
            rc = ctl_journal_get(fd, name, &entry);
            close(fd);

            if (rc == -1) {
                ctl_journal_failed(journal, path, strerror(errno), error);
            }
        }

        if (rc == 0 && entry.phase != CTL_PHASE_NONE) {
            each(data, &entry);
        }
    }

    closedir(dir);

    return rc;
}


int
ctl_journal_prepare(ctl_journal_t *journal, const ctl_entry_t *entry,
    char *error)
{
    int   created, fd, rc;
    char  path[CTL_JOURNAL_PATH];

    fd = ctl_journal_file(journal, entry->name, O_RDWR|O_CREAT, path, error);

    if (fd == -1) {
        return -1;
    }

    rc = ctl_journal_room(fd, &created);

    if (rc == 0) {
        rc = ctl_journal_put(fd, entry);
    }

    if (rc == 0 && created) {
        rc = fsync(journal->fd);
    }

    if (rc != 0) {
        ctl_journal_failed(journal, path, strerror(errno), error);
    }

    close(fd);

    return rc;
}


/* All of it is written, not only allotted: so it can be written again. */

static int
ctl_journal_room(int fd, int *created)
{
    int             rc;
    off_t           at;
    struct stat     st;
    unsigned char  *zeros;

    if (fstat(fd, &st) == -1) {
        return -1;
    }

    *created = (st.st_size < CTL_JOURNAL_SIZE);
    at = *created ? 0 : CTL_JOURNAL_AT;

    zeros = calloc(1, CTL_JOURNAL_SIZE);

    if (zeros == NULL) {
        return -1;
    }

    rc = ctl_journal_write(fd, zeros, (size_t) (CTL_JOURNAL_SIZE - at), at);
    free(zeros);

    return rc;
}


int
ctl_journal_mark(ctl_journal_t *journal, const ctl_entry_t *entry, char *error)
{
    int   fd, rc;
    char  path[CTL_JOURNAL_PATH];

    fd = ctl_journal_file(journal, entry->name, O_RDWR, path, error);

    if (fd == -1) {
        return -1;
    }

    rc = ctl_journal_put(fd, entry);

    if (rc != 0) {
        ctl_journal_failed(journal, path, strerror(errno), error);
    }

    close(fd);

    return rc;
}


int
ctl_journal_answer(ctl_journal_t *journal, const ctl_entry_t *entry,
    const ctl_grant_t *grant, char *error)
{
    int             fd, n, rc;
    char            path[CTL_JOURNAL_PATH];
    char           *text;
    size_t          aad_len, len;
    unsigned char   aad[PINAUD_SEAL_AAD_MAX], *sealed;

    fd = ctl_journal_file(journal, entry->name, O_RDWR, path, error);

    if (fd == -1) {
        return -1;
    }

    /* the sealed bytes stand behind their length */

    text = malloc(CTL_JOURNAL_ROOM);
    sealed = malloc(CTL_JOURNAL_ROOM + 4);
    len = 0;
    n = 0;

    if (text != NULL && sealed != NULL) {
        n = snprintf(text, CTL_JOURNAL_ROOM,
                     "%s\n%" PRIu64 "\n%" PRIu64 "\n%s\n%s\n%s", entry->id,
                     grant->expires, grant->refresh_expires, grant->access,
                     grant->refresh, grant->scope);

        if (n > 0 && n <= CTL_JOURNAL_ROOM - 4 - PINAUD_SEAL_OVERHEAD) {
            aad_len = ctl_journal_aad(aad, entry);
            len = pinaud_seal(journal->ring, PINAUD_DOMAIN_AGENT, aad,
                              aad_len, (unsigned char *) text, (size_t) n,
                              sealed + 4);
        }
    }

    rc = -1;

    if (len == 0) {
        ctl_journal_failed(journal, path, "the answer can't be sealed",
                           error);

    } else {
        sealed[0] = (unsigned char) len;
        sealed[1] = (unsigned char) (len >> 8);
        sealed[2] = (unsigned char) (len >> 16);
        sealed[3] = (unsigned char) (len >> 24);

        rc = ctl_journal_write(fd, sealed, len + 4, CTL_JOURNAL_AT);

        if (rc == 0) {
            rc = fsync(fd);
        }

        if (rc != 0) {
            ctl_journal_failed(journal, path, strerror(errno), error);
        }
    }

    if (text != NULL) {
        OPENSSL_cleanse(text, CTL_JOURNAL_ROOM);
    }

    free(text);
    free(sealed);
    close(fd);

    return rc;
}


int
ctl_journal_granted(ctl_journal_t *journal, const ctl_entry_t *entry,
    unsigned char *room, ctl_grant_t *grant, char *error)
{
    int                   fd, rc;
    char                  path[CTL_JOURNAL_PATH];
    size_t                aad_len, id_len, len, sealed_len;
    ssize_t               n;
    pinaud_open_e         opened;
    unsigned char         aad[PINAUD_SEAL_AAD_MAX], *sealed;
    const unsigned char  *id;

    fd = ctl_journal_file(journal, entry->name, O_RDONLY, path, error);

    if (fd == -1) {
        return -1;
    }

    sealed = malloc(CTL_JOURNAL_ROOM);
    n = sealed ? pread(fd, sealed, CTL_JOURNAL_ROOM, CTL_JOURNAL_AT) : -1;
    rc = 1;

    if (n == -1) {
        rc = ctl_journal_failed(journal, path, strerror(errno), error);

    } else if (n > 4) {
        sealed_len = sealed[0] | (size_t) sealed[1] << 8
                     | (size_t) sealed[2] << 16 | (size_t) sealed[3] << 24;

        if (sealed_len > 0 && sealed_len <= (size_t) n - 4) {
            aad_len = ctl_journal_aad(aad, entry);
            opened = pinaud_open(journal->ring, PINAUD_DOMAIN_AGENT, aad,
                                 aad_len, sealed + 4, sealed_len, room, &len);

            if (opened == PINAUD_OPENED) {
                room[len] = '\0';
                rc = ctl_journal_split((char *) room, entry, grant);

            } else if (opened == PINAUD_SEAL_UNKNOWN_KEY) {
                id_len = pinaud_sealed_by(sealed + 4, sealed_len, &id);
                snprintf(error, CTL_JOURNAL_ERROR, "%s/%s: the answer in it "
                         "is sealed by key %.*s, which is not in the seal "
                         "key file", journal->dir, path, (int) id_len, id);
                rc = -1;
            }
        }
    }

    free(sealed);
    close(fd);

    return rc;
}


/* What is not of this attempt is of none. */

static int
ctl_journal_split(char *text, const ctl_entry_t *entry, ctl_grant_t *grant)
{
    char      *fields[6];
    unsigned   i;

    for (i = 0; i < 6; i++) {
        fields[i] = text;
        text = (i < 5) ? strchr(text, '\n') : text;

        if (text == NULL) {
            return 1;
        }

        if (i < 5) {
            *text++ = '\0';
        }
    }

    if (strcmp(fields[0], entry->id) != 0 || fields[3][0] == '\0') {
        return 1;
    }

    grant->expires = strtoull(fields[1], NULL, 10);
    grant->refresh_expires = strtoull(fields[2], NULL, 10);
    grant->access = fields[3];
    grant->refresh = fields[4];
    grant->scope = fields[5];

    return 0;
}


int
ctl_journal_clear(ctl_journal_t *journal, const char *name, char *error)
{
    ctl_entry_t  none;

    memset(&none, 0, sizeof(ctl_entry_t));
    memcpy(none.name, name, strlen(name));

    return ctl_journal_prepare(journal, &none, error);
}


static int
ctl_journal_file(ctl_journal_t *journal, const char *name, int flags,
    char *path, char *error)
{
    int  fd;

    snprintf(path, CTL_JOURNAL_PATH, CTL_JOURNAL_PREFIX "%s", name);

    fd = openat(journal->fd, path, flags|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK,
                0600);

    return (fd != -1) ? fd
                      : ctl_journal_failed(journal, path, strerror(errno),
                                           error);
}


static int
ctl_journal_put(int fd, const ctl_entry_t *entry)
{
    unsigned char  header[CTL_JOURNAL_HEADER];

    memset(header, 0, sizeof(header));

    snprintf((char *) header, sizeof(header) - CTL_JOURNAL_DIGEST,
             "pinaud-journal 1\n%u %u %u %" PRIu64 " %" PRIu64 " %" PRIu64
             " %" PRIu64 "\n%s\n%s\n%s\n", (unsigned) entry->phase,
             (unsigned) entry->unknown, (unsigned) entry->demanded,
             entry->refresh_version, entry->version, entry->next_version,
             entry->at, entry->name, entry->base, entry->id);

    if (ctl_journal_digest(header, header + sizeof(header)
                                   - CTL_JOURNAL_DIGEST)
        != 0
        || ctl_journal_write(fd, header, sizeof(header), 0) != 0)
    {
        return -1;
    }

    return fsync(fd);
}


/*
 * A header that is not whole, of a file that may have been used: who knows. One
 * of zeros was never written.
 */

static int
ctl_journal_get(int fd, const char *name, ctl_entry_t *entry)
{
    ssize_t        n;
    unsigned char  digest[CTL_JOURNAL_DIGEST], header[CTL_JOURNAL_HEADER];

    memset(entry, 0, sizeof(ctl_entry_t));
    memset(header, 0, sizeof(header));

    n = pread(fd, header, sizeof(header), 0);

    if (n == -1 || ctl_journal_digest(header, digest) != 0) {
        return -1;
    }

    if (header[0] != '\0'
        && (memcmp(digest, header + sizeof(header) - sizeof(digest),
                   sizeof(digest))
            != 0
            || ctl_journal_parse((char *) header, entry) != 0
            || strcmp(entry->name, name) != 0))
    {
        memset(entry, 0, sizeof(ctl_entry_t));
        entry->phase = CTL_PHASE_CALLING;
    }

    memcpy(entry->name, name, strlen(name) + 1);

    return 0;
}


static int
ctl_journal_parse(const char *text, ctl_entry_t *entry)
{
    int       n;
    char      base[CTL_ENTRY_BASE], id[CTL_ENTRY_ID];
    unsigned  demanded, phase, unknown;

    n = sscanf(text, "pinaud-journal 1\n%u %u %u %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64 "\n%64[^\n]\n%40[0-9a-f]\n"
               "%32[0-9a-f]\n", &phase, &unknown, &demanded,
               &entry->refresh_version, &entry->version, &entry->next_version,
               &entry->at, entry->name, base, id);

    /* one that was cleared has neither base nor id */

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
    return EVP_Digest(header, CTL_JOURNAL_HEADER - CTL_JOURNAL_DIGEST, digest,
                      NULL, EVP_sha256(), NULL)
           == 1 ? 0 : -1;
}


static int
ctl_journal_write(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t               n;
    const unsigned char  *p;

    for (p = bytes; len > 0; p += n, at += n, len -= (size_t) n) {
        n = pwrite(fd, p, len, at);

        if (n == -1 && errno == EINTR) {
            n = 0;
        }

        if (n == -1) {
            return -1;
        }
    }

    return 0;
}


static size_t
ctl_journal_aad(unsigned char *aad, const ctl_entry_t *entry)
{
    return pinaud_seal_aad(aad, "journal", entry->name, strlen(entry->name),
                           entry->refresh_version);
}


static int
ctl_journal_failed(const ctl_journal_t *journal, const char *path,
    const char *reason, char *error)
{
    snprintf(error, CTL_JOURNAL_ERROR, "%s%s%s: %s", journal->dir,
             path ? "/" : "", path ? path : "", reason);

    return -1;
}
