
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent's journal: its folder, and its files' headers.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/rand.h>
#include "ctl_journal_file.h"


#define CTL_JOURNAL_SIZE  (CTL_JOURNAL_AT + CTL_JOURNAL_ROOM)


static int ctl_journal_lock(ctl_journal_t *journal, char *error);
static int ctl_journal_name(ctl_journal_t *journal, char *error);
static int ctl_journal_room(int fd, int *created);
static int ctl_journal_put(int fd, const ctl_entry_t *entry);
static int ctl_journal_get(int fd, const char *name, ctl_entry_t *entry);


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
                           O_RDONLY|O_CREAT|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK,
                           0600);

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
    int            fd, rc;
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

    fd = openat(journal->fd, "lock", O_WRONLY|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        return ctl_journal_failed(journal, "lock", strerror(errno), error);
    }

    rc = ctl_journal_write(fd, journal->id, CTL_JOURNAL_ID - 1, 0);

    if (rc == 0) {
        rc = fsync(fd);
    }

    if (rc == 0) {
        rc = fsync(journal->fd);
    }

    if (rc != 0) {
        ctl_journal_failed(journal, "lock", strerror(errno), error);
    }

    close(fd);

    return rc;
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
ctl_journal_clear(ctl_journal_t *journal, const char *name, char *error)
{
    ctl_entry_t  none;

    memset(&none, 0, sizeof(ctl_entry_t));
    memcpy(none.name, name, strlen(name));

    return ctl_journal_prepare(journal, &none, error);
}


int
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

    if (ctl_journal_header(header, entry) != 0
        || ctl_journal_write(fd, header, sizeof(header), 0) != 0)
    {
        return -1;
    }

    return fsync(fd);
}


static int
ctl_journal_get(int fd, const char *name, ctl_entry_t *entry)
{
    unsigned char  header[CTL_JOURNAL_HEADER];

    memset(header, 0, sizeof(header));

    if (pread(fd, header, sizeof(header), 0) == -1) {
        return -1;
    }

    ctl_journal_header_read(header, name, entry);

    return 0;
}


int
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


int
ctl_journal_failed(const ctl_journal_t *journal, const char *path,
    const char *reason, char *error)
{
    snprintf(error, CTL_JOURNAL_ERROR, "%s%s%s: %s", journal->dir,
             path ? "/" : "", path ? path : "", reason);

    return -1;
}
