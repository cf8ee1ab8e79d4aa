
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "pinaud_ring.h"


#define PINAUD_KEYFILE_MAX      65536
#define PINAUD_KEYFILE_GATEWAY  (sizeof("gateway:") - 1)


/* What has been read of a file. */

typedef struct {
    const char  *(*add)(void *data, const pinaud_key_line_t *line);
    void          *data;

    unsigned       count;
    size_t         id_len[PINAUD_SEAL_KEYS];
    const char    *id[PINAUD_SEAL_KEYS];       /* in the file's text */
} pinaud_keyfile_t;


static ssize_t pinaud_keyfile_text(const char *path, char *text,
    char *error);
static int pinaud_keyfile_parse(pinaud_keyfile_t *file, const char *path,
    const char *text, size_t len, char *error);
static const char *pinaud_keyfile_line(pinaud_keyfile_t *file,
    const char *text, size_t len);
static const char *pinaud_keyfile_id(pinaud_keyfile_t *file, const char *id,
    size_t len);
static int pinaud_keyfile_decode(const char *text, size_t len,
    unsigned char *key);


int
pinaud_keyfile_read(const char *path,
    const char *(*add)(void *data, const pinaud_key_line_t *line), void *data,
    char *error)
{
    int                rc;
    char              *text;
    ssize_t            len;
    pinaud_keyfile_t   file;

    text = malloc(PINAUD_KEYFILE_MAX + 1);

    if (text == NULL) {
        snprintf(error, PINAUD_SEAL_ERROR, "out of memory");
        return -1;
    }

    memset(&file, 0, sizeof(file));
    file.add = add;
    file.data = data;

    rc = -1;
    len = pinaud_keyfile_text(path, text, error);

    if (len >= 0) {
        rc = pinaud_keyfile_parse(&file, path, text, (size_t) len, error);
    }

    OPENSSL_cleanse(text, PINAUD_KEYFILE_MAX + 1);
    free(text);

    return rc;
}


/* Reads with no stdio, whose buffers would keep a copy. */

static ssize_t
pinaud_keyfile_text(const char *path, char *text, char *error)
{
    int          fd;
    size_t       len;
    ssize_t      n;
    struct stat  st;

    /* a fifo must not hold up who reads a configuration */
    fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY|O_NONBLOCK);

    if (fd == -1 || fstat(fd, &st) == -1) {
        snprintf(error, PINAUD_SEAL_ERROR,
                 "seal key file \"%.140s\": %s", path, strerror(errno));
        goto failed;
    }

    if (!S_ISREG(st.st_mode)) {
        snprintf(error, PINAUD_SEAL_ERROR,
                 "seal key file \"%.140s\" is not a regular file", path);
        goto failed;
    }

    if (st.st_mode & S_IRWXO) {
        snprintf(error, PINAUD_SEAL_ERROR,
                 "seal key file \"%.140s\" is open to others: "
                 "\"chmod o-rwx FILE\" (Kubernetes: \"defaultMode: 0440\")",
                 path);
        goto failed;
    }

    len = 0;

    do {
        n = read(fd, text + len, PINAUD_KEYFILE_MAX + 1 - len);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            snprintf(error, PINAUD_SEAL_ERROR, "seal key file \"%.140s\": %s",
                     path, strerror(errno));
            goto failed;
        }

        len += (size_t) n;

    } while (n != 0 && len <= PINAUD_KEYFILE_MAX);

    close(fd);

    if (len > PINAUD_KEYFILE_MAX) {
        snprintf(error, PINAUD_SEAL_ERROR,
                 "seal key file \"%.140s\" is larger than 64 KB", path);
        return -1;
    }

    return (ssize_t) len;

failed:

    if (fd != -1) {
        close(fd);
    }

    return -1;
}


static int
pinaud_keyfile_parse(pinaud_keyfile_t *file, const char *path,
    const char *text, size_t len, char *error)
{
    unsigned     number;
    const char  *end, *last, *line, *next, *reason;

    last = text + len;
    number = 0;

    for (line = text; line < last; line = next) {

        number++;

        end = memchr(line, '\n', (size_t) (last - line));

        if (end == NULL) {
            end = last;
        }

        next = (end == last) ? last : end + 1;

        while (end > line && (end[-1] == ' ' || end[-1] == '\t'
                              || end[-1] == '\r'))
        {
            end--;
        }

        while (line < end && (*line == ' ' || *line == '\t')) {
            line++;
        }

        if (line == end || *line == '#') {
            continue;
        }

        reason = pinaud_keyfile_line(file, line, (size_t) (end - line));

        if (reason != NULL) {
            snprintf(error, PINAUD_SEAL_ERROR,
                     "seal key file \"%.140s\", line %u: %s", path, number,
                     reason);
            return -1;
        }
    }

    if (file->count == 0) {
        snprintf(error, PINAUD_SEAL_ERROR,
                 "seal key file \"%.140s\" has no key: "
                 "\"pinaudctl seal-key generate\" makes one", path);
        return -1;
    }

    return 0;
}


static const char *
pinaud_keyfile_line(pinaud_keyfile_t *file, const char *text, size_t len)
{
    const char         *end, *key_text, *reason;
    unsigned char       key[PINAUD_KEY + 1];
    pinaud_key_line_t   line;

    end = text + len;
    key_text = memchr(text, ':', len);

    if (key_text == NULL) {
        return "is not \"id:base64\"";
    }

    line.id = text;
    line.id_len = (size_t) (key_text - text);

    reason = pinaud_keyfile_id(file, line.id, line.id_len);

    if (reason != NULL) {
        return reason;
    }

    key_text++;
    len = (size_t) (end - key_text);
    line.gateway = 0;

    if (len > PINAUD_KEYFILE_GATEWAY
        && memcmp(key_text, "gateway:", PINAUD_KEYFILE_GATEWAY) == 0)
    {
        line.gateway = 1;
        key_text += PINAUD_KEYFILE_GATEWAY;
        len -= PINAUD_KEYFILE_GATEWAY;
    }

    if (file->count == PINAUD_SEAL_KEYS) {
        return "is one key too many: a ring has at most 32";
    }

    if (pinaud_keyfile_decode(key_text, len, key) == 0) {
        line.key = key;
        reason = file->add(file->data, &line);

    } else {
        reason = "the key is not 32 bytes in base64";
    }

    OPENSSL_cleanse(key, sizeof(key));

    if (reason == NULL) {
        file->id[file->count] = line.id;
        file->id_len[file->count] = line.id_len;
        file->count++;
    }

    return reason;
}


static const char *
pinaud_keyfile_id(pinaud_keyfile_t *file, const char *id, size_t len)
{
    size_t         i;
    unsigned char  ch;

    if (len == 0 || len > PINAUD_SEAL_ID_MAX) {
        return "the key's id is 1 to 32 characters";
    }

    for (i = 0; i < len; i++) {
        ch = (unsigned char) id[i];

        if (!((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')
              || (ch >= '0' && ch <= '9')
              || ch == '.' || ch == '_' || ch == '-'))
        {
            return "the key's id is letters, digits, \".\", \"_\" and \"-\"";
        }
    }

    for (i = 0; i < file->count; i++) {
        if (file->id_len[i] == len && memcmp(file->id[i], id, len) == 0) {
            return "the key's id stands in a line above already";
        }
    }

    return NULL;
}


/*
 * libcrypto's decoder is lenient with white space and padding: what it reads
 * is written again and compared, so one key has one text.
 */

static int
pinaud_keyfile_decode(const char *text, size_t len, unsigned char *key)
{
    int            rc;
    unsigned char  again[PINAUD_KEY_TEXT + 1];

    if (len != PINAUD_KEY_TEXT) {
        return -1;
    }

    if (EVP_DecodeBlock(key, (const unsigned char *) text,
                        PINAUD_KEY_TEXT)
        != PINAUD_KEY + 1)
    {
        return -1;
    }

    EVP_EncodeBlock(again, key, PINAUD_KEY);

    rc = CRYPTO_memcmp(again, text, PINAUD_KEY_TEXT) ? -1 : 0;

    OPENSSL_cleanse(again, sizeof(again));

    return rc;
}
