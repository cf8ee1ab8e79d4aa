
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Which keys sealed the answers in an agent's journal. Nothing is opened, and
 * no lock is taken: the agent goes on.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "ctl_journal_file.h"
#include "ctl_seal.h"


static int ctl_seal_journal_file(ctl_t *ctl, ctl_seal_uses_t *uses, int dir,
    const char *name);


int
ctl_seal_journal(ctl_t *ctl, const char *path, ctl_seal_uses_t *uses)
{
    int             rc;
    DIR            *dir;
    struct dirent  *file;

    dir = opendir(path);

    if (dir == NULL) {
        return ctl_fail(CTL_REFUSED, "--journal: %s: %s", path,
                        strerror(errno));
    }

    rc = 0;
    uses->journal = 1;

    while (rc == 0 && (file = readdir(dir)) != NULL) {

        if (strncmp(file->d_name, CTL_JOURNAL_PREFIX,
                    sizeof(CTL_JOURNAL_PREFIX) - 1)
            == 0)
        {
            rc = ctl_seal_journal_file(ctl, uses, dirfd(dir), file->d_name);

            if (rc != 0) {
                rc = ctl_fail(CTL_REFUSED, "--journal: %s/%s: %s", path,
                              file->d_name, strerror(rc));
            }
        }
    }

    closedir(dir);

    return rc;
}


/* Returns an errno. */

static int
ctl_seal_journal_file(ctl_t *ctl, ctl_seal_uses_t *uses, int dir,
    const char *name)
{
    int             fd, rc;
    size_t          len;
    ssize_t         n;
    unsigned        i;
    unsigned char  *room;

    fd = openat(dir, name, O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (fd == -1) {
        return errno;
    }

    room = ctl_alloc(ctl, CTL_JOURNAL_ROOM);
    n = pread(fd, room, CTL_JOURNAL_ROOM, CTL_JOURNAL_AT);
    rc = (n == -1) ? errno : 0;

    close(fd);

    if (n < CTL_JOURNAL_LEN) {
        return rc;
    }

    len = 0;

    for (i = 0; i < CTL_JOURNAL_LEN; i++) {
        len |= (size_t) room[i] << (8 * i);
    }

    if (len != 0 && len <= (size_t) n - CTL_JOURNAL_LEN) {
        ctl_seal_add(ctl, uses, CTL_SEAL_JOURNAL, room + CTL_JOURNAL_LEN, len);
    }

    return 0;
}
