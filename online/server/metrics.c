/* Counters and their Prometheus text. Bucket bounds are fixed, so that series of several servers
 * and releases add up. */
#include "online/server/metrics.h"

#include "common/base/cli.h"
#include "online/rank/wire_binary.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The last entry of each collects all others. */
static const int CODES[LCF_CODES_N] = {200, 202, 400, 401, 403, 404, 405, 413, 429, 500, 503, 0};
static const char *const REJECTIONS[LCF_REJECTIONS_N] = {
    "bad_request", "limit",     "too_large",          "unauthorized",
    "admin_only",  "not_found", "method_not_allowed", "queue_full",
    "deadline",    "draining",  "out_of_memory",      "internal",
    "other"};
static const char *const STAGES[LCF_STAGES_N] = {"queue", "parse",    "retrieve",
                                                 "ict",   "backbone", "serialise"};
static const double BOUNDS_S[LCF_BUCKETS_N] = {.00001, .000025, .00005, .0001, .00025, .0005,
                                               .001,   .002,    .003,   .004,  .006,   .008,
                                               .01,    .016,    .032,   .064,  .25,    1.};

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

static void count_name(_Atomic uint64_t *counters, const char *const *names, size_t n,
                       const char *name)
{
    size_t i = 0;

    while (i + 1 < n && strcmp(name, names[i]))
        i++;
    add(&counters[i], 1);
}

void lcf_metrics_reject(lcf_metrics *m, const char *reason)
{
    count_name(m->rejected, REJECTIONS, LCF_REJECTIONS_N, reason);
}

static void observe(lcf_histogram *h, double seconds)
{
    size_t bucket = 0;

    while (bucket < LCF_BUCKETS_N && seconds > BOUNDS_S[bucket])
        bucket++;
    add(&h->counts[bucket], 1);
    add(&h->sum_ns, (uint64_t)llround(fmax(seconds, 0.0) * 1e9));
}

/* The counters of an arm. Only the thread of the block adds names. */
static lcf_arm_counts *counts_of(lcf_metrics *m, const char *arm)
{
    const size_t n = atomic_load_explicit(&m->arms_n, memory_order_relaxed);
    size_t i = 0;

    while (i < n && strcmp(m->arms[i].name, arm))
        i++;
    if (i == LCF_METRICS_ARMS_N)
        return &m->arms[i - 1];
    if (i == n) {
        snprintf(m->arms[i].name, sizeof(m->arms[i].name), "%s",
                 i + 1 < LCF_METRICS_ARMS_N ? arm : "other");
        atomic_store_explicit(&m->arms_n, i + 1, memory_order_release);
    }
    return &m->arms[i];
}

void lcf_metrics_rank(lcf_metrics *m, const lcf_rank_response *response, size_t candidates_n,
                      const double stages_s[LCF_STAGES_N], double total_s)
{
    lcf_arm_counts *arm = counts_of(m, response->arm);

    add(&arm->requests, 1);
    if (response->degraded || response->degraded_n)
        add(&arm->degraded, 1);
    observe(&m->rank, total_s);
    for (size_t i = 0; i < LCF_STAGES_N; i++)
        observe(&m->stages[i], stages_s[i]);
    add(&m->candidates, candidates_n);
    if (response->degraded)
        add(&m->degraded_requests[lcf_wire_degraded(response->degraded)], 1);
    for (size_t i = 0; i < response->results_n; i++)
        if (response->results[i].degraded)
            add(&m->degraded[lcf_wire_degraded(response->results[i].degraded)], 1);
}

/* ---- text ---- */

/* Sums one counter, named by its place in the struct, over the threads. */
static uint64_t sum(lcf_metrics *const *threads, size_t n, size_t offset)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += atomic_load_explicit((_Atomic uint64_t *)((char *)threads[i] + offset),
                                      memory_order_relaxed);
    return total;
}
#define SUM(member) sum(threads, n, offsetof(lcf_metrics, member))

static void head(lcf_buf *out, const char *name, const char *type, const char *help)
{
    lcf_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value in its quotes. */
static void write_label(lcf_buf *out, const char *value)
{
    lcf_buf_append_char(out, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            lcf_buf_append_char(out, '\\');
        if (*value == '\n')
            lcf_buf_append_text(out, "\\n");
        else
            lcf_buf_append_char(out, *value);
    }
    lcf_buf_append_char(out, '"');
}

static void write_one(lcf_buf *out, const char *name, const char *type, const char *help,
                      uint64_t value)
{
    head(out, name, type, help);
    lcf_buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

/* A family of counters that stand one after the other in the struct. */
static void write_named(lcf_buf *out, lcf_metrics *const *threads, size_t n, size_t offset,
                        const char *family, const char *const *names, size_t names_n)
{
    for (size_t i = 0; i < names_n; i++)
        lcf_buf_printf(out, "%s{reason=\"%s\"} %" PRIu64 "\n", family, names[i],
                       sum(threads, n, offset + i * sizeof(_Atomic uint64_t)));
}

static void write_requests(lcf_buf *out, lcf_metrics *const *threads, size_t n)
{
    head(out, "llmcf_http_requests_total", "counter",
         "Answers by status code; requests that are no HTTP are not among them.");
    for (size_t i = 0; i < LCF_CODES_N; i++) {
        char code[16] = "other";
        if (CODES[i])
            snprintf(code, sizeof(code), "%d", CODES[i]);
        lcf_buf_printf(
            out, "llmcf_http_requests_total{code=\"%s\"} %" PRIu64 "\n", code,
            sum(threads, n, offsetof(lcf_metrics, requests) + i * sizeof(_Atomic uint64_t)));
    }
    head(out, "llmcf_rejected_total", "counter", "Requests that were refused, by reason.");
    write_named(out, threads, n, offsetof(lcf_metrics, rejected), "llmcf_rejected_total",
                REJECTIONS, LCF_REJECTIONS_N);
    write_one(out, "llmcf_deadline_closed_total", "counter",
              "Connections closed because a request or an answer took too long.", SUM(deadlines));
    write_one(out, "llmcf_connections", "gauge", "Connections now open.", SUM(connections));
}

/* One series of a histogram; `label` is "" or name="value". */
static void write_histogram(lcf_buf *out, lcf_metrics *const *threads, size_t n, size_t offset,
                            const char *name, const char *label)
{
    const size_t counts = offset + offsetof(lcf_histogram, counts);
    uint64_t below = 0;

    for (size_t i = 0; i <= LCF_BUCKETS_N; i++) {
        char bound[32] = "+Inf";
        if (i < LCF_BUCKETS_N)
            snprintf(bound, sizeof(bound), "%g", BOUNDS_S[i]);
        below += sum(threads, n, counts + i * sizeof(_Atomic uint64_t));
        lcf_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, label,
                       *label ? "," : "", bound, below);
    }
    lcf_buf_printf(out, *label ? "%s_sum{%s} %.9f\n" : "%s_sum%s %.9f\n", name, label,
                   (double)sum(threads, n, offset + offsetof(lcf_histogram, sum_ns)) / 1e9);
    lcf_buf_printf(out, *label ? "%s_count{%s} %" PRIu64 "\n" : "%s_count%s %" PRIu64 "\n", name,
                   label, below);
}

static void write_latency(lcf_buf *out, lcf_metrics *const *threads, size_t n)
{
    head(out, "llmcf_rank_duration_seconds", "histogram",
         "From the whole request read to its answer composed.");
    write_histogram(out, threads, n, offsetof(lcf_metrics, rank), "llmcf_rank_duration_seconds",
                    "");
    head(out, "llmcf_stage_duration_seconds", "histogram", "Of the same, by stage.");
    for (size_t i = 0; i < LCF_STAGES_N; i++) {
        char label[32];

        snprintf(label, sizeof(label), "stage=\"%s\"", STAGES[i]);
        write_histogram(out, threads, n, offsetof(lcf_metrics, stages) + i * sizeof(lcf_histogram),
                        "llmcf_stage_duration_seconds", label);
    }
}

static void write_ranking(lcf_buf *out, lcf_metrics *const *threads, size_t n)
{
    write_one(out, "llmcf_rank_candidates_total", "counter", "Candidates scored.", SUM(candidates));
    head(out, "llmcf_degraded_results_total", "counter",
         "Results that are not the arm's full answer, by reason.");
    write_named(out, threads, n, offsetof(lcf_metrics, degraded[1]), "llmcf_degraded_results_total",
                LCF_WIRE_DEGRADED + 1, LCF_WIRE_DEGRADED_N - 1);
    head(out, "llmcf_degraded_requests_total", "counter",
         "Requests that are degraded as a whole, by reason.");
    write_named(out, threads, n, offsetof(lcf_metrics, degraded_requests[1]),
                "llmcf_degraded_requests_total", LCF_WIRE_DEGRADED + 1, LCF_WIRE_DEGRADED_N - 1);
}

/* Where a block counts an arm; NULL where that arm has not answered there. */
static lcf_arm_counts *find_arm(lcf_metrics *m, const char *name)
{
    const size_t n = atomic_load_explicit(&m->arms_n, memory_order_acquire);

    for (size_t i = 0; i < n; i++)
        if (!strcmp(m->arms[i].name, name))
            return &m->arms[i];
    return NULL;
}

/* One counter of an arm; offset: in lcf_arm_counts. */
static void write_arm(lcf_buf *out, lcf_metrics *const *threads, size_t n, const char *family,
                      const char *arm, size_t offset)
{
    uint64_t total = 0;

    for (size_t t = 0; t < n; t++) {
        char *counts = (char *)find_arm(threads[t], arm);

        if (counts)
            total +=
                atomic_load_explicit((_Atomic uint64_t *)(counts + offset), memory_order_relaxed);
    }
    lcf_buf_printf(out, "%s{arm=", family);
    write_label(out, arm);
    lcf_buf_printf(out, "} %" PRIu64 "\n", total);
}

static bool has_arm(const lcf_rank_info *info, const char *name)
{
    for (size_t i = 0; i < info->arms_n; i++)
        if (!strcmp(info->arms[i], name))
            return true;
    return false;
}

/* The arms of the snapshot, and those that have answered and are gone. */
static void write_arms(lcf_buf *out, lcf_metrics *const *threads, size_t n,
                       const lcf_rank_info *snapshot, const char *family, size_t offset)
{
    for (size_t i = 0; i < snapshot->arms_n; i++)
        write_arm(out, threads, n, family, snapshot->arms[i], offset);
    for (size_t t = 0; t < n; t++) {
        const size_t arms_n = atomic_load_explicit(&threads[t]->arms_n, memory_order_acquire);

        for (size_t i = 0; i < arms_n; i++) {
            const char *arm = threads[t]->arms[i].name;
            bool written = has_arm(snapshot, arm);

            for (size_t before = 0; before < t && !written; before++)
                written = find_arm(threads[before], arm) != NULL;
            if (!written)
                write_arm(out, threads, n, family, arm, offset);
        }
    }
}

static void write_by_arm(lcf_buf *out, lcf_metrics *const *threads, size_t n,
                         const lcf_rank_info *snapshot)
{
    head(out, "llmcf_arm_requests_total", "counter", "Rankings by the arm that answered.");
    write_arms(out, threads, n, snapshot, "llmcf_arm_requests_total",
               offsetof(lcf_arm_counts, requests));
    head(out, "llmcf_arm_degraded_requests_total", "counter",
         "Those of them that were degraded, as a whole or in a result.");
    write_arms(out, threads, n, snapshot, "llmcf_arm_degraded_requests_total",
               offsetof(lcf_arm_counts, degraded));
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

static void write_shadow(lcf_buf *out, const lcf_shadow_counts *counts)
{
    head(out, "llmcf_shadow_requests_total", "counter",
         "Logged requests that another arm scored, too, or was to.");
    lcf_buf_printf(out, "llmcf_shadow_requests_total{result=\"done\"} %" PRIu64 "\n", counts->done);
    lcf_buf_printf(out, "llmcf_shadow_requests_total{result=\"dropped\"} %" PRIu64 "\n",
                   counts->dropped);
    lcf_buf_printf(out, "llmcf_shadow_requests_total{result=\"failed\"} %" PRIu64 "\n",
                   counts->failed);
}

static void write_snapshot(lcf_buf *out, const lcf_metrics_global *g)
{
    head(out, "llmcf_snapshot_info", "gauge", "The snapshot that answers.");
    lcf_buf_append_text(out, "llmcf_snapshot_info{generation=");
    write_label(out, g->snapshot.generation);
    lcf_buf_printf(out, ",id=\"%s\",default_arm=", g->snapshot.id);
    write_label(out, g->snapshot.default_arm);
    lcf_buf_append_text(out, "} 1\n");
    write_one(out, "llmcf_snapshot_loaded_timestamp_seconds", "gauge", "When it was opened.",
              (uint64_t)g->loaded_time);
    write_one(out, "llmcf_snapshot_items", "gauge", "Items of the snapshot.", g->snapshot.items_n);
    write_one(out, "llmcf_snapshot_users", "gauge", "Users of the snapshot.", g->snapshot.users_n);
    write_one(out, "llmcf_snapshot_examples", "gauge", "Examples of the snapshot.",
              g->snapshot.examples_n);
    write_one(out, "llmcf_reloads_total", "counter", "New snapshots put in place.",
              g->reloads.done_n);
    head(out, "llmcf_reloads_refused_total", "counter",
         "Snapshots that were not put in place, by reason.");
    for (size_t i = 0; i < LCF_REFUSALS_N; i++)
        lcf_buf_printf(out, "llmcf_reloads_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                       LCF_REFUSALS[i], g->reloads.refused_n[i]);
}

void lcf_metrics_write(lcf_buf *out, lcf_metrics *const *threads, size_t n,
                       const lcf_metrics_global *global)
{
    write_requests(out, threads, n);
    write_latency(out, threads, n);
    write_ranking(out, threads, n);
    write_by_arm(out, threads, n, &global->snapshot);
    write_snapshot(out, global);
    head(out, "llmcf_build_info", "gauge", "The program.");
    lcf_buf_append_text(out, "llmcf_build_info{version=\"" LCF_VERSION "\",compiler=");
    write_label(out, __VERSION__);
    lcf_buf_append_text(out, "} 1\n");
    write_shadow(out, &global->shadow);
    write_one(out, "llmcf_workers", "gauge", "Threads that rank.", global->workers);
    write_one(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
              resident_bytes());
}
