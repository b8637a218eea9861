/*
 * The ranking request and response as JSON: strict and bounded on the way in, written without a
 * tree on the way out.
 *
 * A parsed request owns its text and arrays; lcf_wire_parse may be called again and again on the
 * same one. Unknown members are refused by name: a misspelt option must not be ignored silently.
 *
 * source   schemas/rank_request.md, schemas/rank_response.md
 */
#ifndef LCF_ONLINE_RANK_WIRE_H
#define LCF_ONLINE_RANK_WIRE_H

#include "common/base/str.h"
#include "online/rank/llmcf.h"

#define LCF_WIRE_ID_BYTES_MAX 256  /* of a user or item id */
#define LCF_WIRE_ARM_BYTES_MAX 31  /* of an arm's name */
#define LCF_WIRE_HISTORY_MAX 10000 /* items of a history */
#define LCF_WIRE_EXAMPLES_K_MAX 16 /* the limit of the request; a model may allow fewer */
#define LCF_WIRE_CONTEXT_MAX 64    /* values of the context, and of the user's features */
/* Of each of them, and of a title, brand, category or text. */
#define LCF_WIRE_VALUE_BYTES_MAX 65536
#define LCF_WIRE_CATEGORIES_MAX 64 /* of an item that is described */

typedef struct lcf_wire_request {
    lcf_rank_request request; /* points into the members below */
    void *json;               /* owns the strings */
    const char **ids;         /* [ids_capacity] candidates, then history */
    size_t ids_capacity;
    lcf_rank_value *values; /* [values_capacity] of the context, then the user's features */
    size_t values_capacity;
    lcf_rank_item *items; /* [items_capacity] that are described */
    size_t items_capacity;
    const char **categories; /* [categories_capacity] of all of them */
    size_t categories_capacity;
} lcf_wire_request;

void lcf_wire_init(lcf_wire_request *w);
void lcf_wire_dispose(lcf_wire_request *w);

/*
 * Parses one request. `source` names the text in messages.
 *
 * errors   EFORMAT not JSON (line and column), a member missing, unknown, or of the wrong type;
 * ELIMIT more than candidates_max candidates or described items, or an id, text or list that is too
 * long; ENOMEM
 * memory   w->request is valid until the next parse or dispose
 */
lcf_status lcf_wire_parse(lcf_wire_request *w, const char *text, size_t n, const char *source,
                          size_t candidates_max, lcf_err *err);

/* Forgets the request before and owns `json` (a json_t) from now on: for requests in other forms,
 * whose parsers fill w->request themselves. */
void lcf_wire_adopt(lcf_wire_request *w, void *json);

typedef struct lcf_wire_options {
    bool pretty;        /* line breaks and indentation */
    bool example_users; /* user ids of examples: other people's, so not by default */
} lcf_wire_options;

/* Appends the response to `out` as one JSON object; without a line end unless pretty. */
void lcf_wire_write(lcf_buf *out, const lcf_rank_response *response,
                    const lcf_wire_options *options);
/* Appends {"error": {"status": ..., "reason": ...}}. */
void lcf_wire_write_error(lcf_buf *out, const char *status, const char *reason);
/* Appends a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void lcf_wire_write_string(lcf_buf *out, const char *text);

#endif
