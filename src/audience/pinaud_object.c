
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Objects: of the contract, the rule among them, and any other.
 */


#include <string.h>
#include "pinaud_check.h"


/* Members of an object as bits, by their place in the contract. */

#define PINAUD_MEMBER_BIT(object, member)                                     \
    ((uint32_t) 1 << ((member) - (object)->members))

typedef struct {
    uint32_t                     seen;     /* were there */
    uint32_t                     present;  /* and were not dropped */
    uint32_t                     wrong;    /* and have an error of their own */
} pinaud_members_t;


/* Where nulls are to be cut out of an object. */

typedef struct {
    const unsigned char         *last;     /* end of the member before */
    unsigned                     kept;     /* a member before stays */
    pinaud_edit_t               *open;     /* cuts up to the next name */
} pinaud_cut_t;


static const pinaud_member_t *pinaud_object_member(const pinaud_json_t *json,
    const pinaud_object_t *object);
static void pinaud_object_stranger(pinaud_check_t *check,
    const pinaud_object_t *object, unsigned depth);
static void pinaud_object_known(pinaud_check_t *check,
    const pinaud_object_t *object, const pinaud_member_t *member,
    unsigned depth, pinaud_json_token_e token, pinaud_members_t *members);
static void pinaud_object_cut(pinaud_check_t *check,
    const pinaud_member_t *member, unsigned depth, const unsigned char *name,
    pinaud_cut_t *cut);
static int pinaud_object_end(pinaud_check_t *check,
    const pinaud_object_t *object, unsigned level,
    const pinaud_members_t *members);
static void pinaud_rule_end(pinaud_check_t *check,
    const pinaud_object_t *object, unsigned level,
    const pinaud_members_t *members);
static void pinaud_check_repeated(pinaud_check_t *check, unsigned depth);


int
pinaud_check_object(pinaud_check_t *check, const pinaud_object_t *object,
    unsigned level)
{
    unsigned                depth;
    pinaud_cut_t            cut;
    pinaud_json_t          *json;
    pinaud_frame_t         *frame;
    pinaud_members_t        members;
    pinaud_json_token_e     token;
    const unsigned char    *name;
    const pinaud_member_t  *member;

    json = &check->json;
    depth = level + 1;
    frame = &check->frames[depth];
    frame->object = (size_t) (json->token - json->start);

    memset(&members, 0, sizeof(members));
    memset(&cut, 0, sizeof(cut));

    while ((token = pinaud_json_next(json)) == PINAUD_JSON_NAME) {

        name = json->token - 1;
        frame->name = json->token;
        frame->len = json->len;

        if (cut.open != NULL && check->verdict->valid) {
            cut.open->length = (size_t) (name - json->start) - cut.open->offset;
        }

        cut.open = NULL;

        member = pinaud_object_member(json, object);

        if (member == NULL) {
            pinaud_object_stranger(check, object, depth);

        } else {
            token = pinaud_json_next(json);

            if (token == PINAUD_JSON_NULL && check->contract->lenient
                && object->nulls && !member->required
                && !(members.seen & PINAUD_MEMBER_BIT(object, member)))
            {
                members.seen |= PINAUD_MEMBER_BIT(object, member);
                pinaud_object_cut(check, member, depth, name, &cut);
                continue;
            }

            pinaud_object_known(check, object, member, depth, token, &members);
        }

        cut.last = json->pos;
        cut.kept = 1;
    }

    if (token != PINAUD_JSON_OBJECT_END) {
        return 1;
    }

    return pinaud_object_end(check, object, level, &members);
}


/* The member that the reader's name means, or NULL. */

static const pinaud_member_t *
pinaud_object_member(const pinaud_json_t *json, const pinaud_object_t *object)
{
    size_t         len;
    unsigned char  name[PINAUD_MEMBER_NAME];

    if (!json->escaped) {
        return pinaud_contract_member(object, json->token, json->len);
    }

    len = pinaud_json_decode(json->token, json->len, name, sizeof(name));

    if (len > sizeof(name)) {
        return NULL;
    }

    return pinaud_contract_member(object, name, len);
}


/* A member that the contract does not know. */

static void
pinaud_object_stranger(pinaud_check_t *check, const pinaud_object_t *object,
    unsigned depth)
{
    if (object->own || check->contract->forward_unknown) {
        pinaud_check_repeated(check, depth);

    } else {
        pinaud_check_error(check, depth, NULL, PINAUD_ERROR_UNKNOWN,
                           "is not a known member");
    }

    pinaud_check_skip(check, pinaud_json_next(&check->json));
}


static void
pinaud_object_known(pinaud_check_t *check, const pinaud_object_t *object,
    const pinaud_member_t *member, unsigned depth, pinaud_json_token_e token,
    pinaud_members_t *members)
{
    uint32_t  bit;

    bit = PINAUD_MEMBER_BIT(object, member);

    if (members->seen & bit) {
        pinaud_check_error(check, depth, NULL, PINAUD_ERROR_DUPLICATE,
                           "must not be there twice");
        pinaud_check_skip(check, token);
        return;
    }

    members->seen |= bit;

    if (pinaud_check_value(check, member, depth, token)) {
        members->wrong |= bit;

    } else if (object->choice && members->present) {
        pinaud_check_error(check, depth, NULL, PINAUD_ERROR_CONFLICT,
                           object->must);
    }

    members->present |= bit;
}


/*
 * Cuts a member that is null out of its object, with the comma before it. One
 * that no other stays before takes the comma behind it, if there is one: it
 * is cut up to the next name.
 */

static void
pinaud_object_cut(pinaud_check_t *check, const pinaud_member_t *member,
    unsigned depth, const unsigned char *name, pinaud_cut_t *cut)
{
    pinaud_edit_t        *edit;
    const unsigned char  *end;

    end = check->json.pos;

    edit = pinaud_check_edit(check, depth, member->label,
                             cut->kept ? cut->last : name, end,
                             (const unsigned char *) "", 0);

    cut->open = cut->kept ? NULL : edit;
    cut->last = end;
}


/* The rules for an object as a whole. */

static int
pinaud_object_end(pinaud_check_t *check, const pinaud_object_t *object,
    unsigned level, const pinaud_members_t *members)
{
    unsigned                i;
    const pinaud_member_t  *member;

    for (i = 0; object->required && i < object->count; i++) {
        member = &object->members[i];

        if (member->required && !(members->seen & (uint32_t) 1 << i)) {
            pinaud_check_error(check, level, member->name,
                               PINAUD_ERROR_REQUIRED, "is required");
        }
    }

    if (object->rule) {
        pinaud_rule_end(check, object, level, members);
    }

    if (object->choice && members->present == 0) {
        pinaud_check_error(check, level, NULL, PINAUD_ERROR_EMPTY,
                           object->must);
        return 1;
    }

    return 0;
}


/*
 * The rules between members of the rule. Where they tell no audience type or
 * several, none of them is the one that is wrong.
 */

static void
pinaud_rule_end(pinaud_check_t *check, const pinaud_object_t *object,
    unsigned level, const pinaud_members_t *members)
{
    unsigned                i, told;
    uint32_t                left;
    const pinaud_member_t  *member, *other;

    told = 0;

    for (left = members->present; left != 0; left &= left - 1) {
        told |= object->members[__builtin_ctz(left)].tells;
    }

    check->rule = 1;
    check->told = told;

    if (told == 0 || (told & (told - 1)) != 0) {
        return;
    }

    for (left = members->present; left != 0; left &= left - 1) {
        i = (unsigned) __builtin_ctz(left);
        member = &object->members[i];

        if (member->with != 0 && !(member->with & told)
            && !(members->wrong >> i & 1))
        {
            pinaud_check_error(check, level, member->name,
                               PINAUD_ERROR_CONFLICT,
                               "goes with VISITOR and ENGAGEMENT only");
        }

        if (member->needs == NULL) {
            continue;
        }

        other = pinaud_contract_member(object,
                                       (const unsigned char *) member->needs,
                                       strlen(member->needs));

        if (!(members->present & PINAUD_MEMBER_BIT(object, other))) {
            pinaud_check_error(check, level, other->name,
                               PINAUD_ERROR_REQUIRED, member->because);
        }
    }

    for (i = 0; i < object->count; i++) {
        member = &object->members[i];

        if (member->needed && member->tells == told
            && !(members->present >> i & 1))
        {
            pinaud_check_error(check, level, member->name,
                               PINAUD_ERROR_REQUIRED, "is required");
        }
    }
}


/* The name that the depth's frame is at must be new in its object. */

static void
pinaud_check_repeated(pinaud_check_t *check, unsigned depth)
{
    size_t           count;
    pinaud_frame_t  *frame;

    frame = &check->frames[depth];

    if (check->names.slots == NULL) {
        count = pinaud_check_names((size_t) (check->json.end
                                             - check->json.start));

        pinaud_names_init(&check->names, PINAUD_TEXT_STRING, check->json.start,
                          check->contract->key, check->end, count);
    }

    if (pinaud_names_add(&check->names, frame->object,
                         (size_t) (frame->name - check->json.start)))
    {
        pinaud_check_error(check, depth, NULL, PINAUD_ERROR_DUPLICATE,
                           "must not be there twice");
    }
}


void
pinaud_check_skip(pinaud_check_t *check, pinaud_json_token_e token)
{
    unsigned         base;
    pinaud_json_t   *json;
    pinaud_frame_t  *frame;

    json = &check->json;
    base = json->depth;

    if (token == PINAUD_JSON_OBJECT || token == PINAUD_JSON_ARRAY) {
        base--;
    }

    for ( ;; ) {
        frame = &check->frames[json->depth];

        switch (token) {

        case PINAUD_JSON_ERROR:
            return;

        case PINAUD_JSON_OBJECT:
        case PINAUD_JSON_ARRAY:
            frame->name = NULL;
            frame->index = 0;
            frame->object = (size_t) (json->token - json->start);
            break;

        case PINAUD_JSON_NAME:
            frame->name = json->token;
            frame->len = json->len;
            pinaud_check_repeated(check, json->depth);
            break;

        default:
            if (json->depth == base) {
                return;
            }

            frame->index++;
            break;
        }

        token = pinaud_json_next(json);
    }
}
