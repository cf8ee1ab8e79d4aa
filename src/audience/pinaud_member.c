
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A member's value in all its shapes, arrays above all.
 */


#include <string.h>
#include "pinaud_check.h"


typedef struct {
    size_t                       count;
    pinaud_value_t               first;
    unsigned                     edited;   /* some item is */

    pinaud_error_code_e          code;     /* the first by precedence, */
    size_t                       index;    /* and its item */
    const char                  *detail;
} pinaud_items_t;


static void pinaud_member_edit(pinaud_check_t *check,
    const pinaud_member_t *member, unsigned level,
    const pinaud_value_t *value, const unsigned char *start,
    const unsigned char *end, unsigned array);
static unsigned char *pinaud_member_write(const pinaud_value_t *value,
    unsigned char *p);
static int pinaud_member_array(pinaud_check_t *check,
    const pinaud_member_t *member, unsigned level);
static int pinaud_member_repeats(const pinaud_member_t *member);
static int pinaud_items_read(pinaud_check_t *check,
    const pinaud_member_t *member, unsigned depth, pinaud_items_t *items);
static int pinaud_items_same(const pinaud_items_t *items,
    const unsigned char *start, const unsigned char *end);
static void pinaud_items_rewrite(pinaud_check_t *check,
    const pinaud_member_t *member, unsigned level,
    const unsigned char *start, const unsigned char *end);
static unsigned char *pinaud_items_write(pinaud_check_t *check,
    const pinaud_member_t *member, const unsigned char *start,
    const unsigned char *end, pinaud_names_t *ids, unsigned char *p);
static unsigned pinaud_items_met(const pinaud_check_t *check,
    const pinaud_member_t *member, const pinaud_value_t *value,
    pinaud_names_t *ids, unsigned *words);
static unsigned char *pinaud_member_copy(unsigned char *to,
    const unsigned char *from, const unsigned char *end);
static const char *pinaud_member_type(const pinaud_member_t *member);


int
pinaud_check_value(pinaud_check_t *check, const pinaud_member_t *member,
    unsigned level, pinaud_json_token_e token)
{
    unsigned             bare;
    pinaud_value_t       value;
    pinaud_error_code_e  code;

    if (token == PINAUD_JSON_OBJECT && member->object != NULL) {
        return pinaud_check_object(check, member->object, level);
    }

    if (token == PINAUD_JSON_ARRAY && member->shape != PINAUD_SHAPE_ONE) {
        return pinaud_member_array(check, member, level);
    }

    bare = (member->shape == PINAUD_SHAPE_ARRAY);
    code = PINAUD_ERROR_TYPE;

    if (!bare || check->contract->lenient) {
        code = pinaud_value_read(check, &check->json, token, member, &value);
    }

    if (code == PINAUD_ERROR_TYPE) {
        pinaud_check_error(check, level, NULL, code,
                           pinaud_member_type(member));
        pinaud_check_skip(check, token);
        return 1;
    }

    if (code != PINAUD_OK) {
        pinaud_check_error(check, level, NULL, code,
                           pinaud_value_detail(member, code, &value));
        return 1;
    }

    if (bare || value.edited) {
        pinaud_member_edit(check, member, level, &value, value.start,
                          value.end, bare);
    }

    return 0;
}


/*
 * Adds the edit that makes [start, end) the value, in brackets of its own
 * where "array" is set.
 */

static void
pinaud_member_edit(pinaud_check_t *check, const pinaud_member_t *member,
    unsigned level, const pinaud_value_t *value, const unsigned char *start,
    const unsigned char *end, unsigned array)
{
    size_t                len;
    unsigned char        *p;
    const unsigned char  *text;

    if (!check->verdict->valid) {
        return;
    }

    text = value->text;
    len = value->len;

    if (array || value->quoted) {
        len += 2 * (array + value->quoted);
        p = pinaud_check_take(check, len);

        if (p == NULL) {
            return;
        }

        text = p;

        if (array) {
            *p++ = '[';
        }

        p = pinaud_member_write(value, p);

        if (array) {
            *p = ']';
        }
    }

    (void) pinaud_check_edit(check, level, member->label, start, end, text,
                             len);
}


static unsigned char *
pinaud_member_write(const pinaud_value_t *value, unsigned char *p)
{
    if (value->quoted) {
        *p++ = '"';
    }

    memcpy(p, value->text, value->len);
    p += value->len;

    if (value->quoted) {
        *p++ = '"';
    }

    return p;
}


static int
pinaud_member_array(pinaud_check_t *check, const pinaud_member_t *member,
    unsigned level)
{
    int                   one;
    unsigned              lenient;
    pinaud_items_t        items;
    const unsigned char  *start;

    start = check->json.token;
    lenient = check->contract->lenient;

    if (!pinaud_items_read(check, member, level + 1, &items)) {
        return 1;
    }

    if (items.count == 0) {
        pinaud_check_error(check, level, NULL, PINAUD_ERROR_EMPTY,
                           "must not be empty");
        return 1;
    }

    one = (items.count == 1);

    if (member->shape == PINAUD_SHAPE_UNWRAP && !one && lenient
        && items.code == PINAUD_OK)
    {
        one = pinaud_items_same(&items, start, check->json.pos);
    }

    if (member->shape == PINAUD_SHAPE_UNWRAP && !one) {
        pinaud_check_error(check, level, NULL, PINAUD_ERROR_TYPE,
                           "must be a string of digits, or an array of "
                           "exactly one");
        return 1;
    }

    if (items.code != PINAUD_OK) {
        check->frames[level + 1].name = NULL;
        check->frames[level + 1].index = items.index;

        pinaud_check_error(check, level + 1, NULL, items.code, items.detail);
        return 1;
    }

    if (member->shape == PINAUD_SHAPE_UNWRAP) {
        pinaud_member_edit(check, member, level, &items.first, start,
                          check->json.pos, 0);
        return 0;
    }

    if (items.edited
        || (lenient && items.count > 1 && pinaud_member_repeats(member)))
    {
        pinaud_items_rewrite(check, member, level, start, check->json.pos);
    }

    return 0;
}


/* Whether the array's items are ids or words: lenient drops repeated ones. */

static int
pinaud_member_repeats(const pinaud_member_t *member)
{
    return member->form == PINAUD_FORM_ID || member->form == PINAUD_FORM_WORD;
}


/* Reads an array to its end. Returns 0 where it is no JSON. */

static int
pinaud_items_read(pinaud_check_t *check, const pinaud_member_t *member,
    unsigned depth, pinaud_items_t *items)
{
    pinaud_frame_t       *frame;
    pinaud_value_t        value;
    pinaud_error_code_e   code;
    pinaud_json_token_e   token;

    items->count = 0;
    items->edited = 0;
    items->code = PINAUD_OK;

    frame = &check->frames[depth];

    for ( ;; ) {
        frame->name = NULL;
        frame->index = items->count;

        token = pinaud_json_next(&check->json);

        if (token == PINAUD_JSON_ARRAY_END) {
            return 1;
        }

        if (token == PINAUD_JSON_ERROR) {
            return 0;
        }

        items->count++;

        if (token == PINAUD_JSON_OBJECT && member->form == PINAUD_FORM_OBJECT) {
            (void) pinaud_check_object(check, member->object, depth);
            continue;
        }

        code = pinaud_value_read(check, &check->json, token, member, &value);

        if (code < items->code) {
            items->code = code;
            items->index = frame->index;
            items->detail = pinaud_value_detail(member, code, &value);
        }

        if (code != PINAUD_OK) {
            pinaud_check_skip(check, token);
            continue;
        }

        items->edited |= value.edited;

        if (items->count == 1) {
            items->first = value;
        }
    }
}


/* Whether all ids of an array, which are all right, are the first. */

static int
pinaud_items_same(const pinaud_items_t *items, const unsigned char *start,
    const unsigned char *end)
{
    pinaud_json_t  json;

    pinaud_json_init(&json, start, (size_t) (end - start));
    (void) pinaud_json_next(&json);

    while (pinaud_json_next(&json) != PINAUD_JSON_ARRAY_END) {
        if (!pinaud_text_equal(PINAUD_TEXT_DIGITS, json.token,
                               items->first.inner))
        {
            return 0;
        }
    }

    return 1;
}


/*
 * Makes one edit of an array whose items are all right. Where nothing comes of
 * it, there is none.
 */

static void
pinaud_items_rewrite(pinaud_check_t *check, const pinaud_member_t *member,
    unsigned level, const unsigned char *start, const unsigned char *end)
{
    size_t           len, count;
    unsigned char   *text, *p;
    pinaud_names_t   ids;

    if (!check->verdict->valid) {
        return;
    }

    /*
     * An item takes two bytes at least, and grows by two quotes at most. Of
     * distinct ids ten have one digit, the others take three bytes at least.
     */

    len = (size_t) (end - start);
    count = len / 3 + 8;

    pinaud_check_align(check);
    p = pinaud_check_take(check, pinaud_names_memory(count) + 2 * len);

    if (p == NULL) {
        return;
    }

    pinaud_names_init(&ids, PINAUD_TEXT_DIGITS, check->json.start,
                      check->contract->key, p, count);

    text = p + pinaud_names_memory(count);
    p = pinaud_items_write(check, member, start, end, &ids, text);

    if (p == NULL) {
        check->free = (unsigned char *) ids.slots;
        return;
    }

    /* the ids are done with: what is forwarded moves to their place */

    len = (size_t) (p - text);
    p = (unsigned char *) ids.slots;

    memmove(p, text, len);
    check->free = p + len;

    (void) pinaud_check_edit(check, level, member->label, start, end, p, len);
}


/*
 * Writes the array with its edited items, and without those that were there
 * before, each dropped with the comma before it. Returns the end; NULL: it is
 * as it came.
 */

static unsigned char *
pinaud_items_write(pinaud_check_t *check, const pinaud_member_t *member,
    const unsigned char *start, const unsigned char *end,
    pinaud_names_t *ids, unsigned char *p)
{
    unsigned              changed, dropped, words;
    pinaud_json_t         json;
    pinaud_value_t        value;
    pinaud_json_token_e   token;
    const unsigned char  *from, *last;

    words = 0;
    changed = 0;
    from = start;
    last = start;

    pinaud_json_init(&json, start, (size_t) (end - start));
    (void) pinaud_json_next(&json);

    while ((token = pinaud_json_next(&json)) != PINAUD_JSON_ARRAY_END) {

        (void) pinaud_value_read(check, &json, token, member, &value);

        dropped = pinaud_items_met(check, member, &value, ids, &words);

        if (dropped) {
            p = pinaud_member_copy(p, from, last);
            from = value.end;

        } else if (value.edited) {
            p = pinaud_member_copy(p, from, value.start);
            p = pinaud_member_write(&value, p);
            from = value.end;
        }

        changed |= dropped | value.edited;
        last = value.end;
    }

    return changed ? pinaud_member_copy(p, from, end) : NULL;
}


/* Whether an item was there before: ids as texts, words as bits. */

static unsigned
pinaud_items_met(const pinaud_check_t *check, const pinaud_member_t *member,
    const pinaud_value_t *value, pinaud_names_t *ids, unsigned *words)
{
    unsigned  met;

    switch (member->form) {

    case PINAUD_FORM_ID:
        return (unsigned) pinaud_names_add(ids, 0,
                              (size_t) (value->inner - check->json.start));

    case PINAUD_FORM_WORD:
        met = *words >> value->word & 1;
        *words |= 1u << value->word;

        return met;

    default:
        return 0;
    }
}


static unsigned char *
pinaud_member_copy(unsigned char *to, const unsigned char *from,
    const unsigned char *end)
{
    memcpy(to, from, (size_t) (end - from));

    return to + (end - from);
}


static const char *
pinaud_member_type(const pinaud_member_t *member)
{
    switch (member->shape) {

    case PINAUD_SHAPE_ARRAY:
        return (member->form == PINAUD_FORM_ID)
               ? "must be an array of strings of digits"
               : "must be an array of strings";

    case PINAUD_SHAPE_EITHER:
        return (member->form == PINAUD_FORM_OBJECT)
               ? "must be an object or an array of objects"
               : "must be a string, an array of strings or an object";

    default:
        return pinaud_value_detail(member, PINAUD_ERROR_TYPE, NULL);
    }
}
