
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent's journal.
 */


#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/file.h>
#include "key_file.h"
#include "ctl_journal_form.h"


#define RING  "one:" KEY_A "\n"


static char  folder[96];


static ctl_journal_t *
opened(pinaud_keyring_t *ring)
{
    char            error[CTL_JOURNAL_ERROR] = "";
    ctl_journal_t  *journal;

    assert_int_equal(ctl_journal_open(&journal, folder, ring, error), 0);
    assert_string_equal(error, "");

    return journal;
}


static ctl_entry_t
entry_of(const char *name, ctl_phase_e phase)
{
    ctl_entry_t  entry;

    memset(&entry, 0, sizeof(ctl_entry_t));
    memcpy(entry.name, name, strlen(name));
    entry.phase = phase;
    entry.unknown = 1;
    entry.refresh_version = 3;
    entry.version = 7;
    entry.next_version = 9;
    entry.at = 1800000000123ull;
    memcpy(entry.base, "0123456789abcdef0123456789abcdef01234567", 40);
    memcpy(entry.id, "00112233445566778899aabbccddeeff", 32);

    return entry;
}


static const ctl_grant_t  grant = {
    .access = "pina_ACCESS",
    .refresh = "pinr.REFRESH",
    .scope = "ads:read ads:write",
    .expires = 1802592000,
    .refresh_expires = 1805184000,
};


static void
keep_last(void *data, const ctl_entry_t *entry)
{
    memcpy(data, entry, sizeof(ctl_entry_t));
}


static void
count(void *data, const ctl_entry_t *entry)
{
    (void) entry;

    (*(int *) data)++;
}


static int
files(ctl_journal_t *journal)
{
    int   n;
    char  error[CTL_JOURNAL_ERROR];

    n = 0;
    assert_int_equal(ctl_journal_read(journal, count, &n, error), 0);

    return n;
}


static void
lasts(void **state)
{
    char               error[CTL_JOURNAL_ERROR], id[CTL_JOURNAL_ID];
    ctl_entry_t        entry, read;
    ctl_grant_t        got;
    unsigned char     *room;
    ctl_journal_t     *journal;
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of(RING);
    journal = opened(ring);
    memcpy(id, ctl_journal_id(journal), sizeof(id));
    assert_int_equal(strlen(id), CTL_JOURNAL_ID - 1);
    assert_int_equal(files(journal), 0);

    room = malloc(CTL_JOURNAL_ROOM);
    entry = entry_of("main", CTL_PHASE_PREPARED);

    assert_int_equal(ctl_journal_prepare(journal, &entry, error), 0);
    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     1);

    entry.phase = CTL_PHASE_CALLING;
    assert_int_equal(ctl_journal_mark(journal, &entry, error), 0);
    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     1);
    assert_int_equal(ctl_journal_answer(journal, &entry, &grant, error), 0);

    /* all of it is there after a restart, by the same name */

    ctl_journal_close(journal);
    journal = opened(ring);
    assert_string_equal(ctl_journal_id(journal), id);

    assert_int_equal(files(journal), 1);
    assert_int_equal(ctl_journal_read(journal, keep_last, &read, error), 0);
    assert_memory_equal(&read, &entry, sizeof(ctl_entry_t));

    assert_int_equal(ctl_journal_granted(journal, &read, room, &got, error),
                     0);
    assert_string_equal(got.access, grant.access);
    assert_string_equal(got.refresh, grant.refresh);
    assert_string_equal(got.scope, grant.scope);
    assert_int_equal(got.expires, grant.expires);
    assert_int_equal(got.refresh_expires, grant.refresh_expires);

    /* the next attempt has no answer of the last one's */

    entry.id[0] = 'f';
    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     1);
    assert_int_equal(ctl_journal_prepare(journal, &entry, error), 0);
    assert_int_equal(ctl_journal_granted(journal, &read, room, &got, error),
                     1);

    assert_int_equal(ctl_journal_clear(journal, "main", error), 0);
    assert_int_equal(files(journal), 0);

    ctl_journal_close(journal);
    pinaud_keyring_free(ring);
    free(room);
}


/* The largest there is has room; what a file holds is no token. */

static void
large(void **state)
{
    int                fd;
    char               error[CTL_JOURNAL_ERROR], file[160];
    char              *access, *refresh, *scope;
    ssize_t            n;
    ctl_entry_t        entry;
    ctl_grant_t        got, most;
    struct stat        st;
    unsigned char     *bytes, *room;
    ctl_journal_t     *journal;
    pinaud_keyring_t  *ring;

    (void) state;

    access = calloc(1, 8193);
    refresh = calloc(1, 8193);
    scope = calloc(1, 1025);
    memset(access, 'a', 8192);
    memset(refresh, 'r', 8192);
    memset(scope, 's', 1024);

    most = grant;
    most.access = access;
    most.refresh = refresh;
    most.scope = scope;
    most.expires = UINT64_MAX;
    most.refresh_expires = UINT64_MAX;

    ring = ring_of(RING);
    journal = opened(ring);
    room = malloc(CTL_JOURNAL_ROOM);
    entry = entry_of("a.b_c@d-e", CTL_PHASE_CALLING);

    assert_int_equal(ctl_journal_prepare(journal, &entry, error), 0);
    snprintf(file, sizeof(file), "%s/credential-a.b_c@d-e", folder);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 24576);
    assert_int_equal(st.st_mode & 0777, 0600);

    assert_int_equal(ctl_journal_answer(journal, &entry, &most, error), 0);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 24576);

    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     0);
    assert_string_equal(got.refresh, refresh);
    assert_string_equal(got.scope, scope);

    bytes = malloc(24576);
    fd = open(file, O_RDONLY);
    n = read(fd, bytes, 24576);
    close(fd);
    assert_int_equal(n, 24576);
    assert_null(memmem(bytes, 24576, "aaaaaaaa", 8));
    assert_null(memmem(bytes, 24576, "rrrrrrrr", 8));

    /* and is gone when it is cleared */

    assert_int_equal(ctl_journal_clear(journal, entry.name, error), 0);
    fd = open(file, O_RDONLY);
    n = pread(fd, bytes, 20480, 4096);
    close(fd);
    assert_int_equal(n, 20480);

    while (n > 0) {
        assert_int_equal(bytes[--n], 0);
    }

    ctl_journal_close(journal);
    pinaud_keyring_free(ring);
    free(access);
    free(refresh);
    free(scope);
    free(bytes);
    free(room);
}


/* Any byte of a header or an answer that is another makes it none. */

static void
torn(void **state)
{
    int                fd;
    char               error[CTL_JOURNAL_ERROR], file[160];
    size_t             at;
    ctl_entry_t        entry, read;
    ctl_grant_t        got;
    unsigned char      byte, header[CTL_JOURNAL_HEADER], *room;
    ctl_journal_t     *journal;
    pinaud_keyring_t  *ring;

    (void) state;

    entry = entry_of("main", CTL_PHASE_PREPARED);
    assert_int_equal(ctl_journal_header(header, &entry), 0);

    ctl_journal_header_read(header, "main", &read);
    assert_memory_equal(&read, &entry, sizeof(ctl_entry_t));

    for (at = 0; at < sizeof(header); at++) {
        header[at] ^= 1;
        ctl_journal_header_read(header, "main", &read);
        header[at] ^= 1;

        assert_int_equal(read.phase, CTL_PHASE_CALLING);
        assert_string_equal(read.name, "main");
        assert_string_equal(read.base, "");
    }

    ctl_journal_header_read(header, "other", &read);
    assert_int_equal(read.phase, CTL_PHASE_CALLING);
    assert_string_equal(read.name, "other");
    assert_string_equal(read.id, "");

    memset(header, 0, sizeof(header));
    ctl_journal_header_read(header, "main", &read);
    assert_int_equal(read.phase, CTL_PHASE_NONE);

    ring = ring_of(RING);
    journal = opened(ring);
    room = malloc(CTL_JOURNAL_ROOM);
    entry.phase = CTL_PHASE_CALLING;

    assert_int_equal(ctl_journal_prepare(journal, &entry, error), 0);
    assert_int_equal(ctl_journal_answer(journal, &entry, &grant, error), 0);
    snprintf(file, sizeof(file), "%s/credential-main", folder);
    fd = open(file, O_RDWR);

    for (at = 4096; at < 4096 + 4 + 125; at++) {
        assert_int_equal(pread(fd, &byte, 1, (off_t) at), 1);
        byte ^= 0x40;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t) at), 1);

        /* a key of another name may be there one day: that is not dropped */

        assert_int_not_equal(ctl_journal_granted(journal, &entry, room, &got,
                                                 error), 0);

        byte ^= 0x40;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t) at), 1);
    }

    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     0);

    /* it opens for its own credential and version alone */

    entry.refresh_version++;
    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     1);

    /* cut off within its length */

    entry.refresh_version--;
    assert_int_equal(pwrite(fd, "\xff\xff\xff", 3, 4096), 3);
    assert_int_equal(ftruncate(fd, 4096 + 3), 0);
    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     1);

    close(fd);
    ctl_journal_close(journal);
    pinaud_keyring_free(ring);
    free(room);
}


static void
another_key(void **state)
{
    char               error[CTL_JOURNAL_ERROR];
    ctl_entry_t        entry;
    ctl_grant_t        got;
    unsigned char     *room;
    ctl_journal_t     *journal;
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of(RING);
    journal = opened(ring);
    entry = entry_of("main", CTL_PHASE_CALLING);
    assert_int_equal(ctl_journal_prepare(journal, &entry, error), 0);
    assert_int_equal(ctl_journal_answer(journal, &entry, &grant, error), 0);
    ctl_journal_close(journal);
    pinaud_keyring_free(ring);

    ring = ring_of("two:" KEY_B "\n");
    journal = opened(ring);
    room = malloc(CTL_JOURNAL_ROOM);

    assert_int_equal(ctl_journal_granted(journal, &entry, room, &got, error),
                     -1);
    assert_non_null(strstr(error, "credential-main: the answer in it is sealed "
                           "by a key that is not in the seal key file"));

    ctl_journal_close(journal);
    pinaud_keyring_free(ring);
    free(room);
}


static void
one_owner(void **state)
{
    char               error[CTL_JOURNAL_ERROR];
    ctl_journal_t     *first, *second;
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of(RING);
    first = opened(ring);

    assert_int_equal(ctl_journal_open(&second, folder, ring, error), -1);
    assert_non_null(strstr(error, "another agent has this journal"));
    assert_null(second);

    ctl_journal_close(first);
    first = opened(ring);
    ctl_journal_close(first);

    assert_int_equal(ctl_journal_open(&second, "/dev/null/x", ring, error),
                     -1);
    assert_string_equal(error, "/dev/null/x: Not a directory");

    pinaud_keyring_free(ring);
}


static int
empty(void **state)
{
    char  command[160];

    (void) state;

    snprintf(folder, sizeof(folder), "%s/journal", dir);
    snprintf(command, sizeof(command), "rm -rf %s", folder);

    return system(command);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(lasts, empty, empty),
        cmocka_unit_test_setup_teardown(large, empty, empty),
        cmocka_unit_test_setup_teardown(torn, empty, empty),
        cmocka_unit_test_setup_teardown(another_key, empty, empty),
        cmocka_unit_test_setup_teardown(one_owner, empty, empty),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
