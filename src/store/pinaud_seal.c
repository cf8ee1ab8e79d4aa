
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "pinaud_seal.h"


#define PINAUD_SEAL_FORMAT    1
#define PINAUD_SEAL_KEYS      32       /* in a ring */
#define PINAUD_SEAL_KEY       32       /* bytes of a key */
#define PINAUD_SEAL_KEY_TEXT  44       /* characters of its base64 */
#define PINAUD_SEAL_NONCE     12
#define PINAUD_SEAL_TAG       16
#define PINAUD_SEAL_FILE_MAX  65536
#define PINAUD_SEAL_LEN_MAX   (INT_MAX / 2)


/*
 * The key itself is only in the cipher's context, with its schedule made:
 * an opening sets the nonce and no more.
 */

typedef struct {
    EVP_CIPHER_CTX  *opener;
    size_t           id_len;
    char             id[PINAUD_SEAL_ID_MAX];
} pinaud_seal_key_t;


struct pinaud_keyring_s {
    EVP_CIPHER_CTX     *sealer;        /* of the first key */
    pinaud_seal_key_t   keys[PINAUD_SEAL_KEYS];
    unsigned            count;
};


static ssize_t pinaud_keyring_read(const char *path, char *text,
    char *error);
static int pinaud_keyring_parse(pinaud_keyring_t *ring, const char *path,
    const char *text, size_t len, char *error);
static const char *pinaud_keyring_line(pinaud_keyring_t *ring,
    const char *line, size_t len);
static const char *pinaud_keyring_add(pinaud_keyring_t *ring, const char *id,
    size_t id_len, const unsigned char *key);
static int pinaud_seal_decode(const char *text, size_t len,
    unsigned char *key);
static pinaud_seal_key_t *pinaud_keyring_find(pinaud_keyring_t *ring,
    const unsigned char *id, size_t len);


pinaud_keyring_t *
pinaud_keyring_load(const char *path, char *error)
{
    int                rc;
    char              *text;
    ssize_t            len;
    pinaud_keyring_t  *ring;

    ring = calloc(1, sizeof(pinaud_keyring_t));
    text = malloc(PINAUD_SEAL_FILE_MAX + 1);

    if (ring == NULL || text == NULL) {
        snprintf(error, PINAUD_SEAL_ERROR, "out of memory");
        free(text);
        free(ring);
        return NULL;
    }

    rc = -1;
    len = pinaud_keyring_read(path, text, error);

    if (len >= 0) {
        rc = pinaud_keyring_parse(ring, path, text, (size_t) len, error);
    }

    OPENSSL_cleanse(text, PINAUD_SEAL_FILE_MAX + 1);
    free(text);

    if (rc != 0) {
        pinaud_keyring_free(ring);
        return NULL;
    }

    return ring;
}


void
pinaud_keyring_free(pinaud_keyring_t *ring)
{
    unsigned  i;

    if (ring == NULL) {
        return;
    }

    /* libcrypto wipes a context when it frees it */

    for (i = 0; i < ring->count; i++) {
        EVP_CIPHER_CTX_free(ring->keys[i].opener);
    }

    EVP_CIPHER_CTX_free(ring->sealer);
    free(ring);
}


size_t
pinaud_seal_aad(unsigned char *to, const char *kind, const char *name,
    size_t name_len, uint64_t version)
{
    size_t          kind_len;
    unsigned char  *p, *digit, digits[20];

    kind_len = strlen(kind);

    if (kind_len > PINAUD_SEAL_AAD_MAX - sizeof(digits) - 2
        || name_len > PINAUD_SEAL_AAD_MAX - sizeof(digits) - 2 - kind_len)
    {
        return 0;
    }

    /* neither a kind nor a number holds a colon, so no two say the same */

    memcpy(to, kind, kind_len);
    p = to + kind_len;
    *p++ = ':';
    memcpy(p, name, name_len);
    p += name_len;
    *p++ = ':';

    digit = digits + sizeof(digits);

    do {
        *--digit = (unsigned char) ('0' + version % 10);
        version /= 10;
    } while (version);

    memcpy(p, digit, (size_t) (digits + sizeof(digits) - digit));
    p += digits + sizeof(digits) - digit;

    return (size_t) (p - to);
}


size_t
pinaud_seal(pinaud_keyring_t *ring, const unsigned char *aad, size_t aad_len,
    const unsigned char *secret, size_t len, unsigned char *to)
{
    int                 n;
    unsigned char      *nonce, *p;
    pinaud_seal_key_t  *key;

    if (aad_len == 0 || aad_len > PINAUD_SEAL_AAD_MAX
        || len > PINAUD_SEAL_LEN_MAX)
    {
        return 0;
    }

    key = &ring->keys[0];
    p = to;

    *p++ = PINAUD_SEAL_FORMAT;
    *p++ = (unsigned char) key->id_len;
    memcpy(p, key->id, key->id_len);
    p += key->id_len;

    nonce = p;
    p += PINAUD_SEAL_NONCE;

    if (RAND_bytes(nonce, PINAUD_SEAL_NONCE) != 1
        || EVP_EncryptInit_ex(ring->sealer, NULL, NULL, NULL, nonce) != 1
        || EVP_EncryptUpdate(ring->sealer, NULL, &n, aad, (int) aad_len) != 1
        || EVP_EncryptUpdate(ring->sealer, p, &n, secret, (int) len) != 1
        || EVP_EncryptFinal_ex(ring->sealer, p + len, &n) != 1
        || EVP_CIPHER_CTX_ctrl(ring->sealer, EVP_CTRL_AEAD_GET_TAG,
                               PINAUD_SEAL_TAG, p + len)
           != 1)
    {
        return 0;
    }

    return (size_t) (p - to) + len + PINAUD_SEAL_TAG;
}


pinaud_open_e
pinaud_open(pinaud_keyring_t *ring, const unsigned char *aad, size_t aad_len,
    const unsigned char *sealed, size_t sealed_len, unsigned char *to,
    size_t *len)
{
    int                   n;
    size_t                id_len, text_len;
    unsigned char         tag[PINAUD_SEAL_TAG];
    EVP_CIPHER_CTX       *opener;
    pinaud_seal_key_t    *key;
    const unsigned char  *id, *nonce, *text;

    *len = 0;

    id_len = pinaud_sealed_by(sealed, sealed_len, &id);

    if (id_len == 0) {
        return PINAUD_SEAL_MALFORMED;
    }

    key = pinaud_keyring_find(ring, id, id_len);

    if (key == NULL) {
        return PINAUD_SEAL_UNKNOWN_KEY;
    }

    if (aad_len == 0 || aad_len > PINAUD_SEAL_AAD_MAX) {
        return PINAUD_SEAL_FORGED;
    }

    opener = key->opener;
    nonce = id + id_len;
    text = nonce + PINAUD_SEAL_NONCE;
    text_len = (size_t) (sealed + sealed_len - text) - PINAUD_SEAL_TAG;

    /* the control takes memory that it may write to */
    memcpy(tag, text + text_len, PINAUD_SEAL_TAG);

    if (EVP_DecryptInit_ex(opener, NULL, NULL, NULL, nonce) != 1
        || EVP_DecryptUpdate(opener, NULL, &n, aad, (int) aad_len) != 1
        || EVP_DecryptUpdate(opener, to, &n, text, (int) text_len) != 1
        || EVP_CIPHER_CTX_ctrl(opener, EVP_CTRL_AEAD_SET_TAG,
                               PINAUD_SEAL_TAG, tag)
           != 1
        || EVP_DecryptFinal_ex(opener, to + text_len, &n) != 1)
    {
        OPENSSL_cleanse(to, text_len);
        return PINAUD_SEAL_FORGED;
    }

    *len = text_len;

    return PINAUD_OPENED;
}


size_t
pinaud_sealed_by(const unsigned char *sealed, size_t sealed_len,
    const unsigned char **id)
{
    size_t  id_len;

    if (sealed_len < 2 || sealed_len > PINAUD_SEAL_LEN_MAX
        || sealed[0] != PINAUD_SEAL_FORMAT)
    {
        return 0;
    }

    id_len = sealed[1];

    if (id_len == 0 || id_len > PINAUD_SEAL_ID_MAX
        || sealed_len < 2 + id_len + PINAUD_SEAL_NONCE + PINAUD_SEAL_TAG)
    {
        return 0;
    }

    *id = sealed + 2;

    return id_len;
}


/* Reads with no stdio, whose buffers would keep a copy. */

static ssize_t
pinaud_keyring_read(const char *path, char *text, char *error)
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
        n = read(fd, text + len, PINAUD_SEAL_FILE_MAX + 1 - len);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            snprintf(error, PINAUD_SEAL_ERROR, "seal key file \"%.140s\": %s",
                     path, strerror(errno));
            goto failed;
        }

        len += (size_t) n;

    } while (n != 0 && len <= PINAUD_SEAL_FILE_MAX);

    close(fd);

    if (len > PINAUD_SEAL_FILE_MAX) {
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
pinaud_keyring_parse(pinaud_keyring_t *ring, const char *path,
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

        reason = pinaud_keyring_line(ring, line, (size_t) (end - line));

        if (reason != NULL) {
            snprintf(error, PINAUD_SEAL_ERROR,
                     "seal key file \"%.140s\", line %u: %s", path, number,
                     reason);
            return -1;
        }
    }

    if (ring->count == 0) {
        snprintf(error, PINAUD_SEAL_ERROR,
                 "seal key file \"%.140s\" has no key: "
                 "\"pinaudctl seal-key generate\" makes one", path);
        return -1;
    }

    return 0;
}


static const char *
pinaud_keyring_line(pinaud_keyring_t *ring, const char *line, size_t len)
{
    size_t          i, id_len;
    const char     *colon, *reason;
    unsigned char   ch, key[PINAUD_SEAL_KEY + 1];

    colon = memchr(line, ':', len);

    if (colon == NULL) {
        return "is not \"id:base64\"";
    }

    id_len = (size_t) (colon - line);

    if (id_len == 0 || id_len > PINAUD_SEAL_ID_MAX) {
        return "the key's id is 1 to 32 characters";
    }

    for (i = 0; i < id_len; i++) {
        ch = (unsigned char) line[i];

        if (!((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')
              || (ch >= '0' && ch <= '9')
              || ch == '.' || ch == '_' || ch == '-'))
        {
            return "the key's id is letters, digits, \".\", \"_\" and \"-\"";
        }
    }

    if (pinaud_keyring_find(ring, (const unsigned char *) line, id_len)
        != NULL)
    {
        return "the key's id stands in a line above already";
    }

    if (pinaud_seal_decode(colon + 1, len - id_len - 1, key) == 0) {
        reason = pinaud_keyring_add(ring, line, id_len, key);

    } else {
        reason = "the key is not 32 bytes in base64";
    }

    OPENSSL_cleanse(key, sizeof(key));

    return reason;
}


static const char *
pinaud_keyring_add(pinaud_keyring_t *ring, const char *id, size_t id_len,
    const unsigned char *key)
{
    pinaud_seal_key_t  *added;

    if (ring->count == PINAUD_SEAL_KEYS) {
        return "is one key too many: a ring has at most 32";
    }

    added = &ring->keys[ring->count];

    added->opener = EVP_CIPHER_CTX_new();

    if (added->opener == NULL) {
        return "out of memory";
    }

    /* counted at once, for the ring to free it */

    ring->count++;

    memcpy(added->id, id, id_len);
    added->id_len = id_len;

    if (EVP_DecryptInit_ex(added->opener, EVP_aes_256_gcm(), NULL, key, NULL)
        != 1)
    {
        return "libcrypto has no AES-256-GCM";
    }

    if (ring->count > 1) {
        return NULL;
    }

    ring->sealer = EVP_CIPHER_CTX_new();

    if (ring->sealer == NULL) {
        return "out of memory";
    }

    if (EVP_EncryptInit_ex(ring->sealer, EVP_aes_256_gcm(), NULL, key, NULL)
        != 1)
    {
        return "libcrypto has no AES-256-GCM";
    }

    return NULL;
}


/*
 * libcrypto's decoder is lenient with white space and padding: what it reads
 * is written again and compared, so one key has one text.
 */

static int
pinaud_seal_decode(const char *text, size_t len, unsigned char *key)
{
    int            rc;
    unsigned char  again[PINAUD_SEAL_KEY_TEXT + 1];

    if (len != PINAUD_SEAL_KEY_TEXT) {
        return -1;
    }

    if (EVP_DecodeBlock(key, (const unsigned char *) text,
                        PINAUD_SEAL_KEY_TEXT)
        != PINAUD_SEAL_KEY + 1)
    {
        return -1;
    }

    EVP_EncodeBlock(again, key, PINAUD_SEAL_KEY);

    rc = CRYPTO_memcmp(again, text, PINAUD_SEAL_KEY_TEXT) ? -1 : 0;

    OPENSSL_cleanse(again, sizeof(again));

    return rc;
}


static pinaud_seal_key_t *
pinaud_keyring_find(pinaud_keyring_t *ring, const unsigned char *id,
    size_t len)
{
    unsigned            i;
    pinaud_seal_key_t  *key;

    for (i = 0; i < ring->count; i++) {
        key = &ring->keys[i];

        if (key->id_len == len && memcmp(key->id, id, len) == 0) {
            return key;
        }
    }

    return NULL;
}
