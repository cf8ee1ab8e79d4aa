
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Files that commands are given; secrets come in no other way.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include "ctl.h"


#define CTL_FILE_ROOM  16384


static int ctl_file_fill(ctl_t *ctl, int fd, size_t max, char **text,
    size_t *len);


int
ctl_file_read(ctl_t *ctl, const char *path, size_t max, char **text,
    size_t *len)
{
    int          fd, rc;
    const char  *name;

    if (strcmp(path, "-") == 0) {
        if (ctl->stdin_read) {
            return ctl_fail(CTL_USAGE, "\"-\" can be given only once");
        }

        ctl->stdin_read = 1;
        name = "stdin";
        fd = STDIN_FILENO;

    } else {
        name = path;
        fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY);

        if (fd == -1) {
            return ctl_fail(CTL_REFUSED, "%s: %s", path, strerror(errno));
        }
    }

    rc = ctl_file_fill(ctl, fd, max, text, len);

    if (fd != STDIN_FILENO) {
        close(fd);
    }

    if (rc != 0) {
        return ctl_fail(CTL_REFUSED, "%s: %s", name, strerror(rc));
    }

    if (*len > max) {
        return ctl_fail(CTL_REFUSED, "%s is larger than %zu bytes", name,
                        max);
    }

    return CTL_DONE;
}


/*
 * Reads up to max + 1 bytes, so that the caller sees what is too large.
 * Returns an errno.
 */

static int
ctl_file_fill(ctl_t *ctl, int fd, size_t max, char **text, size_t *len)
{
    char     *more;
    size_t    room;
    ssize_t   n;

    room = CTL_FILE_ROOM;
    *text = ctl_alloc(ctl, room + 1);
    *len = 0;

    while (*len <= max) {

        if (*len == room) {
            more = ctl_alloc(ctl, room * 4 + 1);
            memcpy(more, *text, *len);
            *text = more;
            room *= 4;
        }

        n = read(fd, *text + *len, room - *len);

        if (n == 0) {
            break;
        }

        if (n > 0) {
            *len += (size_t) n;

        } else if (errno != EINTR) {
            return errno;
        }
    }

    (*text)[*len] = '\0';

    return 0;
}


/* Byte by byte: what is behind the line is left for who asks next. */

int
ctl_line_read(ctl_t *ctl, size_t max, char **line)
{
    size_t   len;
    ssize_t  n;

    ctl->stdin_read = 1;
    *line = ctl_alloc(ctl, max + 1);

    for (len = 0; len < max; /* void */ ) {
        n = read(STDIN_FILENO, *line + len, 1);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return ctl_fail(CTL_REFUSED, "stdin: %s", strerror(errno));
        }

        if (n == 0 || (*line)[len] == '\n') {
            (*line)[len] = '\0';
            return CTL_DONE;
        }

        len++;
    }

    return ctl_fail(CTL_REFUSED, "stdin: the line is longer than %zu bytes",
                    max);
}


int
ctl_secret_read(ctl_t *ctl, const char *option, const char *path, char **text,
    size_t *len)
{
    int     rc;
    size_t  i;

    /* what is no path is not repeated: it can be the secret itself */

    if (strcmp(path, "-") != 0 && strchr(path, '/') == NULL
        && access(path, F_OK) != 0)
    {
        return ctl_fail(CTL_REFUSED, "--%s: there is no such file here. It "
                        "takes the name of a file that has the secret in it",
                        option);
    }

    rc = ctl_file_read(ctl, path, CTL_SECRET_MAX + 2, text, len);

    if (rc != CTL_DONE) {
        return rc;
    }

    if (*len > 0 && (*text)[*len - 1] == '\n') {
        (*len)--;

        if (*len > 0 && (*text)[*len - 1] == '\r') {
            (*len)--;
        }

        (*text)[*len] = '\0';
    }

    if (*len == 0) {
        return ctl_fail(CTL_REFUSED, "--%s: %s is empty", option, path);
    }

    if (*len > CTL_SECRET_MAX) {
        return ctl_fail(CTL_REFUSED, "--%s: %s is larger than %d bytes",
                        option, path, CTL_SECRET_MAX);
    }

    /* it goes into a header: what could end or split one is no secret's */

    for (i = 0; i < *len; i++) {
        if ((*text)[i] <= 0x20 || (*text)[i] >= 0x7f) {
            return ctl_fail(CTL_REFUSED, "--%s: %s holds a character that is "
                            "not printable ASCII, or a space, at byte %zu",
                            option, path, i);
        }
    }

    return CTL_DONE;
}


void
ctl_fingerprint(const unsigned char *secret, size_t len, char *to)
{
    unsigned char  digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(secret, len, digest, NULL, EVP_sha256(), NULL) != 1) {
        memcpy(to, "unknown", sizeof("unknown"));
        return;
    }

    snprintf(to, CTL_FINGERPRINT, "%02x%02x%02x%02x", digest[0], digest[1],
             digest[2], digest[3]);
}


int
ctl_keyring_path(ctl_t *ctl, const char **path)
{
    *path = ctl_setting(ctl, "seal-key-file");

    if (*path == NULL) {
        return ctl_fail(CTL_USAGE, "where is the seal key? Tell it by "
                        "--seal-key-file FILE or PINAUD_SEAL_KEY_FILE");
    }

    return CTL_DONE;
}


int
ctl_keyring(ctl_t *ctl, int required, pinaud_keyring_t **ring)
{
    int          rc;
    char         error[PINAUD_SEAL_ERROR];
    const char  *path;

    *ring = NULL;

    if (!required && ctl_setting(ctl, "seal-key-file") == NULL) {
        return CTL_DONE;
    }

    rc = ctl_keyring_path(ctl, &path);

    if (rc != CTL_DONE) {
        return rc;
    }

    *ring = pinaud_keyring_load(path, error);

    if (*ring == NULL) {
        return ctl_fail(CTL_REFUSED, "%s", error);
    }

    return CTL_DONE;
}


int
ctl_keyring_master(ctl_t *ctl, pinaud_keyring_t **ring)
{
    int  rc;

    rc = ctl_keyring(ctl, 1, ring);

    if (rc == CTL_DONE && !pinaud_keyring_master(*ring)) {
        rc = ctl_fail(CTL_REFUSED, "seal key file \"%s\": its first key is a "
                      "gateway's, which is for opening access tokens only. "
                      "Writing takes the file that \"pinaudctl seal-key "
                      "generate\" made",
                      ctl_setting(ctl, "seal-key-file"));

        pinaud_keyring_free(*ring);
        *ring = NULL;
    }

    return rc;
}
