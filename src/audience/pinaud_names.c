
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_json.h"
#include "pinaud_names.h"


typedef struct {
    uint64_t  v0;
    uint64_t  v1;
    uint64_t  v2;
    uint64_t  v3;
} pinaud_sip_t;


static uint64_t pinaud_names_hash(const pinaud_names_t *names,
    uint32_t object, const unsigned char *text);
static int pinaud_text_end(pinaud_text_e kind, const unsigned char *p);


#define PINAUD_ROTATE(x, n)  ((x) << (n) | (x) >> (64 - (n)))

#define PINAUD_TEXT_LAST  0xFFFFFFFF


size_t
pinaud_names_memory(size_t count)
{
    return (count + count / 7 + 2) * sizeof(pinaud_name_t);
}


void
pinaud_names_init(pinaud_names_t *names, pinaud_text_e kind,
    const unsigned char *body, const uint64_t *key, void *memory, size_t count)
{
    names->body = body;
    names->key = key;
    names->kind = kind;
    names->slots = memory;
    names->size = pinaud_names_memory(count) / sizeof(pinaud_name_t);

    memset(memory, 0, pinaud_names_memory(count));
}


int
pinaud_names_add(pinaud_names_t *names, size_t object, size_t text)
{
    uint64_t              hash;
    pinaud_name_t        *slot, *last;
    const unsigned char  *body;

    body = names->body;
    hash = pinaud_names_hash(names, (uint32_t) object, body + text);

    slot = names->slots + ((hash >> 32) * names->size >> 32);
    last = names->slots + names->size - 1;

    while (slot->text != 0) {

        if (slot->object == object
            && pinaud_text_equal(names->kind, body + slot->text, body + text))
        {
            return 1;
        }

        slot = (slot == last) ? names->slots : slot + 1;
    }

    slot->text = (uint32_t) text;
    slot->object = (uint32_t) object;

    return 0;
}


int
pinaud_text_equal(pinaud_text_e kind, const unsigned char *a,
    const unsigned char *b)
{
    for ( ;; ) {

        if (pinaud_text_end(kind, a)) {
            return pinaud_text_end(kind, b);
        }

        if (pinaud_text_end(kind, b)
            || pinaud_json_char(&a) != pinaud_json_char(&b))
        {
            return 0;
        }
    }
}


static int
pinaud_text_end(pinaud_text_e kind, const unsigned char *p)
{
    if (kind == PINAUD_TEXT_STRING) {
        return *p == '"';
    }

    return *p != '\\' && (*p < '0' || *p > '9');
}


static void
pinaud_sip_round(pinaud_sip_t *sip)
{
    sip->v0 += sip->v1;
    sip->v2 += sip->v3;
    sip->v1 = PINAUD_ROTATE(sip->v1, 13) ^ sip->v0;
    sip->v3 = PINAUD_ROTATE(sip->v3, 16) ^ sip->v2;
    sip->v0 = PINAUD_ROTATE(sip->v0, 32);
    sip->v2 += sip->v1;
    sip->v0 += sip->v3;
    sip->v1 = PINAUD_ROTATE(sip->v1, 17) ^ sip->v2;
    sip->v3 = PINAUD_ROTATE(sip->v3, 21) ^ sip->v0;
    sip->v2 = PINAUD_ROTATE(sip->v2, 32);
}


static void
pinaud_sip_word(pinaud_sip_t *sip, uint64_t word)
{
    sip->v3 ^= word;
    pinaud_sip_round(sip);
    sip->v0 ^= word;
}


/* SipHash-1-3 over the object and the text's code points, two to a word. */

static uint64_t
pinaud_names_hash(const pinaud_names_t *names, uint32_t object,
    const unsigned char *text)
{
    uint64_t      word;
    pinaud_sip_t  sip;

    sip.v0 = names->key[0] ^ 0x736f6d6570736575;
    sip.v1 = names->key[1] ^ 0x646f72616e646f6d;
    sip.v2 = names->key[0] ^ 0x6c7967656e657261;
    sip.v3 = names->key[1] ^ 0x7465646279746573;

    word = object;

    while (!pinaud_text_end(names->kind, text)) {
        pinaud_sip_word(&sip, word << 32 | pinaud_json_char(&text));

        if (pinaud_text_end(names->kind, text)) {
            word = PINAUD_TEXT_LAST;
            break;
        }

        word = pinaud_json_char(&text);
    }

    pinaud_sip_word(&sip, word << 32 | PINAUD_TEXT_LAST);

    sip.v2 ^= 0xFF;
    pinaud_sip_round(&sip);
    pinaud_sip_round(&sip);
    pinaud_sip_round(&sip);

    return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}
