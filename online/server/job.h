/*
 * One request that ranks, from the front to a worker and back. The front fills it and takes the
 * answer; in between it belongs to the worker, who touches nothing of the connection.
 */
#ifndef LCF_ONLINE_SERVER_JOB_H
#define LCF_ONLINE_SERVER_JOB_H

#include "online/server/handlers.h"

struct evhttp_request;
struct evhttp_connection;

typedef struct lcf_job {
    struct lcf_job *next;
    const lcf_route *route;
    lcf_request q; /* body is `in`; without a path */
    lcf_buf in;
    lcf_answer answer;
    lcf_buf out; /* of the answer */
    char request_id[LCF_REQUEST_ID_BYTES];
    struct evhttp_request *req; /* the front's; NULL once the client has gone */
} lcf_job;

#endif
