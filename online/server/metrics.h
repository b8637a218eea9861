/*
 * Metrics of the server: counters of one thread each, added up when they are read.
 *
 * A thread writes its own block without locks; a reader sees each counter whole, not all of them at
 * one instant, which is what Prometheus expects.
 */
#ifndef LCF_ONLINE_SERVER_METRICS_H
#define LCF_ONLINE_SERVER_METRICS_H

#include "common/base/str.h"
#include "online/rank/wire_binary.h"
#include "online/server/reload.h"
#include "online/server/shadow.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_BUCKETS_N 18
#define LCF_CODES_N 12
#define LCF_REJECTIONS_N 13

/* The stages of an answer, in their order. */
typedef enum lcf_answer_stage {
    LCF_STAGE_QUEUE, /* from the request read to a worker's taking it */
    LCF_STAGE_PARSE,
    LCF_STAGE_RETRIEVE,
    LCF_STAGE_ICT,
    LCF_STAGE_BACKBONE,
    LCF_STAGE_SERIALISE,
    LCF_STAGES_N
} lcf_answer_stage;

typedef struct lcf_histogram {
    _Atomic uint64_t counts[LCF_BUCKETS_N + 1]; /* the last is +Inf */
    _Atomic uint64_t sum_ns;
} lcf_histogram;

/* Answers of one arm. */
typedef struct lcf_arm_counts {
    char name[LCF_WIRE_ARM_BYTES_MAX + 1];
    _Atomic uint64_t requests, degraded;
} lcf_arm_counts;

#define LCF_METRICS_ARMS_N 17 /* a server that is reloaded may see more arms than a snapshot has \
                               */

typedef struct lcf_metrics {
    _Atomic uint64_t requests[LCF_CODES_N];      /* by status code, in the order of metrics.c */
    _Atomic uint64_t rejected[LCF_REJECTIONS_N]; /* by reason */
    lcf_histogram rank;                          /* answers to requests that rank */
    lcf_histogram stages[LCF_STAGES_N];          /* of the same */
    _Atomic uint64_t candidates;
    _Atomic uint64_t degraded[LCF_WIRE_DEGRADED_N]; /* returned candidates, by reason */
    _Atomic uint64_t degraded_requests[LCF_WIRE_DEGRADED_N];
    _Atomic size_t arms_n;                   /* names before it are there for good */
    lcf_arm_counts arms[LCF_METRICS_ARMS_N]; /* as they first answered; the last: all others */
    _Atomic uint64_t
        deadlines; /* connections closed because a request or an answer took too long */
    _Atomic uint64_t connections; /* now open */
} lcf_metrics;

/* What is known once, not per thread. */
typedef struct lcf_metrics_global {
    lcf_rank_info snapshot;
    int64_t loaded_time; /* seconds since 1970 */
    lcf_reload_counts reloads;
    uint64_t workers;
    lcf_shadow_counts shadow;
} lcf_metrics_global;

void lcf_metrics_code(lcf_metrics *m, int code);
/* reason: the "status" of the error that the client is told. */
void lcf_metrics_reject(lcf_metrics *m, const char *reason);
/* One answered rank request; total_s: from the request read to its answer composed. */
void lcf_metrics_rank(lcf_metrics *m, const lcf_rank_response *response, size_t candidates_n,
                      const double stages_s[LCF_STAGES_N], double total_s);
/* Appends the Prometheus text format of all threads together. */
void lcf_metrics_write(lcf_buf *out, lcf_metrics *const *threads, size_t n,
                       const lcf_metrics_global *global);

#endif
