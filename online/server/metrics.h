/*
 * Metrics of the server: counters of one worker each, added up when they are read.
 *
 * A worker writes its own block without locks; a reader sees each counter whole, not all of them at
 * one instant, which is what Prometheus expects.
 */
#ifndef LCF_ONLINE_SERVER_METRICS_H
#define LCF_ONLINE_SERVER_METRICS_H

#include "common/base/str.h"
#include "online/rank/llmcf.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_LATENCY_BUCKETS_N 16
#define LCF_CODES_N 11
#define LCF_REASONS_N 4

typedef struct lcf_metrics {
    _Atomic uint64_t requests[LCF_CODES_N]; /* by status code, in the order of CODES in metrics.c */
    _Atomic uint64_t latency[LCF_LATENCY_BUCKETS_N + 1]; /* of rank requests; the last is +Inf */
    _Atomic uint64_t latency_sum_us;
    _Atomic uint64_t candidates;
    _Atomic uint64_t degraded[LCF_REASONS_N]; /* returned candidates, by reason */
    _Atomic uint64_t degraded_requests[LCF_REASONS_N];
    _Atomic uint64_t
        deadlines; /* connections closed because a request or an answer took too long */
    _Atomic uint64_t connections; /* now open */
} lcf_metrics;

/* What is known once, not per worker. */
typedef struct lcf_metrics_global {
    lcf_rank_info snapshot;
    int64_t loaded_time; /* seconds since 1970 */
    uint64_t reloads, reloads_refused;
    uint64_t workers;
} lcf_metrics_global;

void lcf_metrics_code(lcf_metrics *m, int code);
/* One answered rank request. */
void lcf_metrics_rank(lcf_metrics *m, const lcf_rank_response *response, size_t candidates_n,
                      double seconds);
/* Appends the Prometheus text format of all workers together. */
void lcf_metrics_write(lcf_buf *out, lcf_metrics *const *workers, size_t n,
                       const lcf_metrics_global *global);

#endif
