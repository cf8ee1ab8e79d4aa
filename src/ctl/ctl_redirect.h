
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The URL to which Pinterest sends a browser back.
 */


#ifndef _CTL_REDIRECT_H_INCLUDED_
#define _CTL_REDIRECT_H_INCLUDED_


/* What its query says, decoded; NULL of what it does not say. */

typedef struct {
    char  *code;
    char  *state;
    char  *error;
    char  *description;                /* of the error */
} ctl_redirect_t;


/*
 * Reads a URL, or its query alone, as somebody pasted it; decodes it in place,
 * where the values stay. Returns NULL, or what is wrong with it.
 */
const char *ctl_redirect_read(char *text, ctl_redirect_t *redirect);


#endif /* _CTL_REDIRECT_H_INCLUDED_ */
