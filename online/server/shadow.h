/*
 * The shadow: another arm scores what /v1/rank was asked and logged, for a log of its own, and
 * nobody waits for it (a request of the inference protocol names its arm: it has no shadow). One
 * thread of the lowest priority takes requests from a bounded queue; what finds it full
 * is dropped and counted.
 *
 * The shadow's log has the lines of a request log under the same request ids, so that
 * `llmcf ope --log requests.jsonl --target scores:shadow.jsonl` says what the arm would have
 * earned.
 *
 * Life cycle: start -> offer ... -> stop. Private to online/server.
 */
#ifndef LCF_ONLINE_SERVER_SHADOW_H
#define LCF_ONLINE_SERVER_SHADOW_H

#include "online/server/reload.h"
#include "online/server/request_log.h"

#define LCF_SHADOW_QUEUE 64

typedef struct lcf_shadow lcf_shadow;

typedef struct lcf_shadow_counts {
    uint64_t done, dropped, failed;
} lcf_shadow_counts;

typedef struct lcf_shadow_options {
    const char *arm, *path; /* of the log */
    uint64_t log_bytes_max;
    lcf_reloader *reloader;
    size_t context_idx; /* of the generations' contexts, ours alone */
} lcf_shadow_options;

/* errors: as lcf_request_log_open; EINVAL the snapshot in place has no such arm; ENOMEM */
lcf_status lcf_shadow_start(lcf_shadow **out, const lcf_shadow_options *options, lcf_err *err);
/* Ends the thread; what still waits is dropped. NULL is fine. */
void lcf_shadow_stop(lcf_shadow *s);
/* A request that was answered, as it came. Any thread; never waits for the shadow's work. */
void lcf_shadow_offer(lcf_shadow *s, const char *request_id, const char *body, size_t n,
                      bool binary);
void lcf_shadow_counts_of(lcf_shadow_counts *out, const lcf_shadow *s);

#endif
