/*
 * What the server answers: one function from a whole request to status code, type and body, found
 * in a table of routes. No sockets here; private to online/server.
 *
 * A handler is a function of lcf_handler and lcf_request that leaves its body in h->body. A new one
 * gets a row in routes.c and nothing else.
 */
#ifndef LCF_ONLINE_SERVER_HANDLERS_H
#define LCF_ONLINE_SERVER_HANDLERS_H

#include "common/base/str.h"
#include "online/rank/wire_binary.h"
#include "online/server/request_log.h"
#include "online/server/shared.h"

#define LCF_TYPE_JSON "application/json"

/* Scratch of one thread's requests, kept between them. */
typedef struct lcf_handler {
    lcf_shared *shared;
    lcf_metrics *metrics;
    size_t context_idx;         /* of this thread's contexts */
    lcf_generation *generation; /* that `context` belongs to */
    lcf_rank_context *context;
    lcf_rank_response response; /* of lcf_handler_rank */
    bool ranked;                /* by the request being answered */
    bool logged;                /* the last one that was ranked is in the request log */
    bool lacks_arm;             /* the snapshot has no such arm as the split gives its user */
    double parsed_s, ranked_s;  /* when */
    lcf_wire_request wire;
    bool v2; /* the request being answered is of the Open Inference Protocol: so are its errors */
    lcf_buf body;                          /* of the answer */
    lcf_buf line;                          /* of the request log */
    char request_id[LCF_REQUEST_ID_BYTES]; /* of the answer, for its header; "" where it has none */
} lcf_handler;

typedef enum lcf_method { LCF_METHOD_GET, LCF_METHOD_POST, LCF_METHOD_OTHER } lcf_method;

#define LCF_PARAMETERS_N 2
#define LCF_PARAMETER_BYTES 128 /* with the NUL: of an arm, a generation, the beginning of an id \
                                 */

typedef struct lcf_request {
    lcf_method method;
    const char *path; /* without query; NULL: not parsable. For lcf_admit alone */
    const char *body; /* never NULL */
    size_t body_bytes;
    bool bad_framing;          /* where it ends is not plain: others may see another end */
    bool binary, wants_binary; /* the body is, and the answer should be, LCF_WIRE_BINARY_TYPE */
    bool over_unix;            /* it came over the Unix socket */
    bool v2;                   /* its path is one of the Open Inference Protocol. Of lcf_admit */
    const char *authorization, *timeout; /* headers or NULL. For lcf_admit alone */
    double deadline_s; /* when nobody waits for the answer any more; 0: there is none */
    double arrived_s;  /* when it had been read */
    /* What stands at each "*" of the route's path; "" behind them. */
    char parameters[LCF_PARAMETERS_N][LCF_PARAMETER_BYTES];
} lcf_request;

typedef struct lcf_answer {
    int code;
    const char *type;
    const char *allow; /* methods, with 405 */
    bool close;        /* the connection must not be used again */
} lcf_answer;

typedef lcf_answer (*lcf_handle_fn)(lcf_handler *h, const lcf_request *q);

/* What a route asks of a request beside its method. */
#define LCF_ROUTE_INLINE 1u /* quick: answered at once, waits for no worker; must not rank */
#define LCF_ROUTE_OPEN 2u   /* needs no token */
#define LCF_ROUTE_ADMIN 4u  /* comes over the Unix socket only */

typedef struct lcf_route {
    lcf_method method;
    const char *path; /* up to LCF_PARAMETERS_N segments may be "*" */
    unsigned flags;
    lcf_handle_fn handle;
} lcf_route;

#define LCF_NO_CONTEXT SIZE_MAX /* of a thread that does not rank */
void lcf_handler_init(lcf_handler *h, lcf_shared *shared, lcf_metrics *metrics, size_t context_idx);
void lcf_handler_dispose(lcf_handler *h);
/* Moves to the snapshot in place, if that is another. */
void lcf_handler_refresh(lcf_handler *h);

/*
 * The route of a request that may go on, its q->parameters and its q->deadline_s; or NULL, and its
 * answer: not found, not allowed, too large.
 */
const lcf_route *lcf_admit(lcf_answer *answer, lcf_handler *h, lcf_request *q);
/* Answers a request that was admitted. */
lcf_answer lcf_handle(lcf_handler *h, const lcf_route *route, const lcf_request *q);
/* The text of a status code. */
const char *lcf_answer_reason(int code);

/* ---- for handlers ---- */

/* 200 of that type; empties h->body, to be filled. */
lcf_answer lcf_answer_ok(lcf_handler *h, const char *type);
/* {"error": {"status", "reason"}}; in version 2 of the Open Inference Protocol {"error": reason}.
 */
lcf_answer lcf_answer_fail(lcf_handler *h, int code, const char *status, const char *text);
/* The answer that belongs to a failure of the ranking library or of a parser. */
lcf_answer lcf_answer_refused(lcf_handler *h, lcf_status status, const lcf_err *err);
/* The code alone of the same. */
int lcf_answer_code(lcf_status status);
/*
 * Gives h->wire.request its arm, where it names none and users are split between arms. The answer
 * is to be flagged by lcf_handler_flag_arm.
 *
 * returns  the probability of it
 */
double lcf_handler_choose_arm(lcf_handler *h);
void lcf_handler_flag_arm(const lcf_handler *h, lcf_rank_response *response);
/*
 * Ranks h->wire.request with the snapshot in place into h->response, which is valid until the next
 * call; logs it. lcf_handle counts it, and takes what came before for parsing and what comes after
 * for serialising.
 *
 * errors   those of lcf_rank
 */
lcf_status lcf_handler_rank(lcf_handler *h, const lcf_request *q, lcf_err *err);

lcf_answer lcf_handle_health(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_snapshot(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_metrics(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_rank(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_explain(lcf_handler *h, const lcf_request *q);
/* The page for people, and what it offers for a choice. */
lcf_answer lcf_handle_page(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_page_css(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_page_js(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_users(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_items(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_reload(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_switch(lcf_handler *h, const lcf_request *q);
/* Open Inference Protocol, version 2 */
lcf_answer lcf_handle_v2_server(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_v2_live(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_v2_ready(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_v2_model(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_v2_model_ready(lcf_handler *h, const lcf_request *q);
lcf_answer lcf_handle_v2_infer(lcf_handler *h, const lcf_request *q);

#endif
