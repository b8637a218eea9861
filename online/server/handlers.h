/*
 * What the server answers: one function from a whole request to status code, type and body. No
 * sockets here; private to online/server.
 */
#ifndef LCF_ONLINE_SERVER_HANDLERS_H
#define LCF_ONLINE_SERVER_HANDLERS_H

#include "common/base/str.h"
#include "online/rank/wire.h"
#include "online/server/request_log.h"
#include "online/server/worker.h"

/* Scratch of one worker's requests, kept between them. */
typedef struct lcf_handler {
    lcf_shared *shared;
    lcf_metrics *metrics;
    lcf_generation *generation; /* that `context` belongs to */
    lcf_rank_context *context;
    lcf_wire_request wire;
    lcf_buf body;                          /* of the answer */
    lcf_buf line;                          /* of the request log */
    char request_id[LCF_REQUEST_ID_BYTES]; /* of the answer, for its header; "" where it has none */
} lcf_handler;

typedef enum lcf_method { LCF_METHOD_GET, LCF_METHOD_POST, LCF_METHOD_OTHER } lcf_method;

typedef struct lcf_answer {
    int code;
    const char *reason, *type;
    const char *allow; /* methods, with 405 */
    bool close;        /* the connection must not be used again */
} lcf_answer;

void lcf_handler_init(lcf_handler *h, lcf_shared *shared, lcf_metrics *metrics);
void lcf_handler_dispose(lcf_handler *h);
/* Moves the context to the snapshot in place, if that is another. A failure keeps the old one. */
void lcf_handler_refresh(lcf_handler *h);

/*
 * Answers one request; the body is in h->body. path may be NULL (not parsable).
 * duplicate_length: the request named its length more than once.
 */
lcf_answer lcf_handle(lcf_handler *h, lcf_method method, const char *path, const char *body,
                      size_t body_bytes, bool duplicate_length);

#endif
