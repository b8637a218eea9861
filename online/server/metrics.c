/* Counters and their Prometheus text. Bucket bounds are fixed, so that series of several servers
 * and releases add up. */
#include "online/server/metrics.h"

#include "common/base/cli.h"
#include "online/rank/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The last entry collects all other codes. */
static const int CODES[LCF_CODES_N] = {200, 400, 401, 403, 404, 405, 413, 429, 500, 503, 0};
static const char *const REASONS[LCF_REASONS_N] = {"unknown_item", "no_examples",
                                                   "no_example_index", "unknown_user"};
static const double BOUNDS_S[LCF_LATENCY_BUCKETS_N] = {
    .00025, .0005, .001, .002, .003, .004, .006, .008, .012, .016, .024, .032, .064, .128, .5, 2.};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void lcf_metrics_code(lcf_metrics *m, int code)
{
    size_t i = 0;

    while (i + 1 < LCF_CODES_N && CODES[i] != code)
        i++;
    add(&m->requests[i], 1);
}

static void count_reason(_Atomic uint64_t *counters, const char *reason)
{
    for (size_t i = 0; reason && i < LCF_REASONS_N; i++)
        if (!strcmp(reason, REASONS[i]))
            add(&counters[i], 1);
}

void lcf_metrics_rank(lcf_metrics *m, const lcf_rank_response *response, size_t candidates_n,
                      double seconds)
{
    size_t bucket = 0;

    while (bucket < LCF_LATENCY_BUCKETS_N && seconds > BOUNDS_S[bucket])
        bucket++;
    add(&m->latency[bucket], 1);
    add(&m->latency_sum_us, (uint64_t)llround(seconds * 1e6));
    add(&m->candidates, candidates_n);
    count_reason(m->degraded_requests, response->degraded);
    for (size_t i = 0; i < response->results_n; i++)
        count_reason(m->degraded, response->results[i].degraded);
}

/* Sums one counter, named by its place in the struct, over the workers. */
static uint64_t sum(lcf_metrics *const *workers, size_t n, size_t offset)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += atomic_load_explicit((_Atomic uint64_t *)((char *)workers[i] + offset),
                                      memory_order_relaxed);
    return total;
}
#define SUM(member) sum(workers, n, offsetof(lcf_metrics, member))
#define SUM_AT(member, i) \
    sum(workers, n, offsetof(lcf_metrics, member) + (i) * sizeof(_Atomic uint64_t))

static void head(lcf_buf *out, const char *name, const char *type, const char *help)
{
    lcf_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_requests(lcf_buf *out, lcf_metrics *const *workers, size_t n)
{
    head(out, "llmcf_http_requests_total", "counter",
         "Answers by status code; requests that are no HTTP are not among them.");
    for (size_t i = 0; i < LCF_CODES_N; i++) {
        char code[16] = "other";
        if (CODES[i])
            snprintf(code, sizeof(code), "%d", CODES[i]);
        lcf_buf_printf(out, "llmcf_http_requests_total{code=\"%s\"} %" PRIu64 "\n", code,
                       SUM_AT(requests, i));
    }
    head(out, "llmcf_deadline_closed_total", "counter",
         "Connections closed because a request or an answer took too long.");
    lcf_buf_printf(out, "llmcf_deadline_closed_total %" PRIu64 "\n", SUM(deadlines));
    head(out, "llmcf_connections", "gauge", "Connections now open.");
    lcf_buf_printf(out, "llmcf_connections %" PRIu64 "\n", SUM(connections));
}

static void write_latency(lcf_buf *out, lcf_metrics *const *workers, size_t n)
{
    uint64_t below = 0;

    head(out, "llmcf_rank_duration_seconds", "histogram",
         "From the whole request read to its answer composed.");
    for (size_t i = 0; i <= LCF_LATENCY_BUCKETS_N; i++) {
        char bound[32] = "+Inf";
        if (i < LCF_LATENCY_BUCKETS_N)
            snprintf(bound, sizeof(bound), "%g", BOUNDS_S[i]);
        below += SUM_AT(latency, i);
        lcf_buf_printf(out, "llmcf_rank_duration_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", bound,
                       below);
    }
    lcf_buf_printf(out, "llmcf_rank_duration_seconds_sum %.6f\n",
                   (double)SUM(latency_sum_us) / 1e6);
    lcf_buf_printf(out, "llmcf_rank_duration_seconds_count %" PRIu64 "\n", below);
}

static void write_ranking(lcf_buf *out, lcf_metrics *const *workers, size_t n)
{
    head(out, "llmcf_rank_candidates_total", "counter", "Candidates scored.");
    lcf_buf_printf(out, "llmcf_rank_candidates_total %" PRIu64 "\n", SUM(candidates));
    head(out, "llmcf_degraded_results_total", "counter",
         "Results that are not the arm's full answer, by reason.");
    for (size_t i = 0; i < LCF_REASONS_N; i++)
        lcf_buf_printf(out, "llmcf_degraded_results_total{reason=\"%s\"} %" PRIu64 "\n", REASONS[i],
                       SUM_AT(degraded, i));
    head(out, "llmcf_degraded_requests_total", "counter",
         "Requests that are degraded as a whole, by reason.");
    for (size_t i = 0; i < LCF_REASONS_N; i++)
        lcf_buf_printf(out, "llmcf_degraded_requests_total{reason=\"%s\"} %" PRIu64 "\n",
                       REASONS[i], SUM_AT(degraded_requests, i));
}

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void write_global(lcf_buf *out, const lcf_metrics_global *g)
{
    head(out, "llmcf_snapshot_info", "gauge", "The snapshot that answers.");
    lcf_buf_append_text(out, "llmcf_snapshot_info{generation=");
    lcf_wire_write_string(out, g->snapshot.generation);
    lcf_buf_printf(out, ",id=\"%s\",default_arm=", g->snapshot.id);
    lcf_wire_write_string(out, g->snapshot.default_arm);
    lcf_buf_append_text(out, "} 1\n");
    head(out, "llmcf_snapshot_loaded_timestamp_seconds", "gauge", "When it was opened.");
    lcf_buf_printf(out, "llmcf_snapshot_loaded_timestamp_seconds %" PRId64 "\n", g->loaded_time);
    head(out, "llmcf_snapshot_items", "gauge", "Items of the snapshot.");
    lcf_buf_printf(out, "llmcf_snapshot_items %zu\n", g->snapshot.items_n);
    head(out, "llmcf_snapshot_users", "gauge", "Users of the snapshot.");
    lcf_buf_printf(out, "llmcf_snapshot_users %zu\n", g->snapshot.users_n);
    head(out, "llmcf_snapshot_examples", "gauge", "Examples of the snapshot.");
    lcf_buf_printf(out, "llmcf_snapshot_examples %zu\n", g->snapshot.examples_n);
    head(out, "llmcf_reloads_total", "counter", "Attempts to open a new snapshot, by result.");
    lcf_buf_printf(out, "llmcf_reloads_total{result=\"ok\"} %" PRIu64 "\n", g->reloads);
    lcf_buf_printf(out, "llmcf_reloads_total{result=\"refused\"} %" PRIu64 "\n",
                   g->reloads_refused);
    head(out, "llmcf_build_info", "gauge", "The program.");
    lcf_buf_printf(out, "llmcf_build_info{version=\"%s\"} 1\n", LCF_VERSION);
    head(out, "llmcf_workers", "gauge", "Threads that answer.");
    lcf_buf_printf(out, "llmcf_workers %" PRIu64 "\n", g->workers);
    head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
    lcf_buf_printf(out, "process_resident_memory_bytes %" PRIu64 "\n", resident_bytes());
}

void lcf_metrics_write(lcf_buf *out, lcf_metrics *const *workers, size_t n,
                       const lcf_metrics_global *global)
{
    write_requests(out, workers, n);
    write_latency(out, workers, n);
    write_ranking(out, workers, n);
    write_global(out, global);
}
