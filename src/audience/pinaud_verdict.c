
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a check found: errors with their pointers, and edits.
 */


#include <string.h>
#include "pinaud_check.h"


static const unsigned char *pinaud_check_pointer(pinaud_check_t *check,
    unsigned level, const char *name, size_t *len);
static size_t pinaud_pointer_name(const unsigned char *name, size_t len,
    unsigned char *to, size_t room);
static size_t pinaud_pointer_index(size_t index, unsigned char *to,
    size_t room);


#define PINAUD_CHECK_ALIGNMENT  sizeof(void *)

/* A byte of a name that is the same in a pointer. */

#define PINAUD_POINTER_PLAIN(c)                                               \
    ((c) < 0x80 && (c) != '\\' && (c) != '~' && (c) != '/')


void
pinaud_check_error(pinaud_check_t *check, unsigned level, const char *name,
    pinaud_error_code_e code, const char *detail)
{
    pinaud_audience_error_t    *error;
    pinaud_audience_verdict_t  *verdict;

    verdict = check->verdict;

    if (verdict->valid) {

        /* edits are for nothing now: their memory goes to the pointers */

        verdict->valid = 0;
        verdict->edits = NULL;
        verdict->nedits = 0;
        check->free = check->memory;
    }

    verdict->counts[code]++;

    if (verdict->nerrors == PINAUD_AUDIENCE_MAX_ERRORS) {
        verdict->omitted++;
        return;
    }

    error = &verdict->errors[verdict->nerrors++];

    error->code = code;
    error->detail = detail;
    error->offset = 0;
    error->pointer = pinaud_check_pointer(check, level, name,
                                          &error->pointer_len);
}


void
pinaud_check_alone(pinaud_check_t *check, pinaud_error_code_e code,
    size_t offset, const char *detail)
{
    pinaud_audience_verdict_t  *verdict;

    verdict = check->verdict;

    memset(verdict->counts, 0, sizeof(verdict->counts));
    verdict->nerrors = 0;
    verdict->omitted = 0;
    verdict->type = PINAUD_TYPE_NONE;

    pinaud_check_error(check, 0, NULL, code, detail);

    verdict->errors[0].offset = offset;
}


pinaud_edit_t *
pinaud_check_edit(pinaud_check_t *check, unsigned level, const char *label,
    const unsigned char *start, const unsigned char *end,
    const unsigned char *text, size_t len)
{
    pinaud_edit_t              *edit;
    pinaud_audience_verdict_t  *verdict;

    verdict = check->verdict;

    if (!verdict->valid) {
        return NULL;
    }

    pinaud_check_align(check);
    edit = pinaud_check_take(check, sizeof(pinaud_edit_t));

    if (edit == NULL) {
        return NULL;
    }

    edit->next = NULL;
    edit->offset = (size_t) (start - check->json.start);
    edit->length = (size_t) (end - start);
    edit->text = text;
    edit->text_len = len;
    edit->member = label;
    edit->pointer = pinaud_check_pointer(check, level, NULL,
                                         &edit->pointer_len);

    if (verdict->edits == NULL) {
        verdict->edits = edit;

    } else {
        check->last->next = edit;
    }

    check->last = edit;
    verdict->nedits++;

    return edit;
}


void *
pinaud_check_take(pinaud_check_t *check, size_t size)
{
    void  *p;

    if ((size_t) (check->end - check->free) < size) {
        check->exhausted = 1;
        return NULL;
    }

    p = check->free;
    check->free += size;

    return p;
}


void
pinaud_check_align(pinaud_check_t *check)
{
    size_t  misfit;

    misfit = (size_t) (check->free - check->memory) % PINAUD_CHECK_ALIGNMENT;

    if (misfit) {
        (void) pinaud_check_take(check, PINAUD_CHECK_ALIGNMENT - misfit);
    }
}


/*
 * The pointer to what the level's frame names, or to a member of that. Cut
 * where the next step would make it too long.
 */

static const unsigned char *
pinaud_check_pointer(pinaud_check_t *check, unsigned level, const char *name,
    size_t *len)
{
    size_t                 n, room;
    unsigned               i;
    unsigned char         *start, *p;
    const pinaud_frame_t  *frame;

    start = check->free;
    p = start;
    room = (size_t) (check->end - start);

    if (room < PINAUD_AUDIENCE_MAX_POINTER) {
        check->exhausted = 1;
        *len = 0;
        return start;
    }

    room = PINAUD_AUDIENCE_MAX_POINTER;

    for (i = 1; i <= level + (name != NULL); i++) {
        frame = &check->frames[i];

        if (i > level) {
            n = pinaud_pointer_name((const unsigned char *) name, strlen(name),
                                    p, room);

        } else if (frame->name != NULL) {
            n = pinaud_pointer_name(frame->name, frame->len, p, room);

        } else {
            n = pinaud_pointer_index(frame->index, p, room);
        }

        if (n == 0) {
            break;
        }

        p += n;
        room -= n;
    }

    check->free = p;
    *len = (size_t) (p - start);

    return start;
}


/* One step of a pointer; returns its length, 0 where there is no room. */

static size_t
pinaud_pointer_name(const unsigned char *name, size_t len, unsigned char *to,
    size_t room)
{
    size_t                n;
    uint32_t              c;
    unsigned char        *p, *last, step[4];
    const unsigned char  *end;

    if (room == 0) {
        return 0;
    }

    end = name + len;
    p = to;
    last = to + room;
    *p++ = '/';

    while (name < end) {

        if (PINAUD_POINTER_PLAIN(*name) && p < last) {
            *p++ = *name++;
            continue;
        }

        c = pinaud_json_char(&name);

        if (c == '~' || c == '/') {
            step[0] = '~';
            step[1] = (c == '~') ? '0' : '1';
            n = 2;

        } else {
            n = pinaud_json_encode(c, step);
        }

        if ((size_t) (last - p) < n) {
            return 0;
        }

        memcpy(p, step, n);
        p += n;
    }

    return (size_t) (p - to);
}


static size_t
pinaud_pointer_index(size_t index, unsigned char *to, size_t room)
{
    size_t         n;
    unsigned char  digits[20], *p;

    p = digits + sizeof(digits);

    do {
        *--p = (unsigned char) ('0' + index % 10);
        index /= 10;
    } while (index);

    n = (size_t) (digits + sizeof(digits) - p);

    if (n + 1 > room) {
        return 0;
    }

    *to++ = '/';
    memcpy(to, p, n);

    return n + 1;
}


unsigned char *
pinaud_audience_write(const pinaud_audience_verdict_t *verdict,
    const unsigned char *body, size_t len, unsigned char *to)
{
    size_t                offset;
    const pinaud_edit_t  *edit;

    offset = 0;

    for (edit = verdict->edits; edit != NULL; edit = edit->next) {
        memcpy(to, body + offset, edit->offset - offset);
        to += edit->offset - offset;

        memcpy(to, edit->text, edit->text_len);
        to += edit->text_len;

        offset = edit->offset + edit->length;
    }

    memcpy(to, body + offset, len - offset);

    return to + (len - offset);
}
