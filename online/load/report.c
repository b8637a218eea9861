/* The report of a measurement. */
#include "online/load/report.h"

#include <inttypes.h>

static const double PERCENTILES[] = {50, 90, 95, 97, 99, 99.9};
#define PERCENTILES_N (sizeof(PERCENTILES) / sizeof(PERCENTILES[0]))

static double ms_at(const lcf_load_result *r, double percent)
{
    return (double)lcf_histogram_percentile(&r->latency, percent) / 1e6;
}

static uint64_t not_ok(const lcf_load_result *r)
{
    return r->failed + r->answered - r->codes[200];
}

bool lcf_load_is_valid(const lcf_load_result *r, const lcf_load_terms *terms)
{
    return r->sent > 0 && not_ok(r) == 0 && ms_at(r, terms->percentile) <= terms->limit_ms;
}

static double completed_rate(const lcf_load_result *r)
{
    return r->seconds > 0 ? (double)r->codes[200] / r->seconds : 0.0;
}

static double scheduled_rate(const lcf_load_result *r, const lcf_load_plan *plan)
{
    return (double)r->sent / (plan->duration_s - plan->warm_up_s);
}

void lcf_load_report(lcf_buf *out, const lcf_load_result *r, const lcf_load_plan *plan,
                     const lcf_load_terms *terms, const char *target, size_t connections_n)
{
    const bool met = ms_at(r, terms->percentile) <= terms->limit_ms;

    lcf_buf_printf(out, "Scenario: server, open loop, Poisson arrivals; latency from the moment a "
                        "request was due\n");
    lcf_buf_printf(out, "Scheduled requests per second : %.2f\n", scheduled_rate(r, plan));
    lcf_buf_printf(out, "Completed requests per second : %.2f\n", completed_rate(r));
    lcf_buf_printf(out, "Result is                     : %s\n",
                   lcf_load_is_valid(r, terms) ? "VALID" : "INVALID");
    lcf_buf_printf(out, "  p%g <= %g ms                : %s (%.3f ms)\n", terms->percentile,
                   terms->limit_ms, met ? "yes" : "NO", ms_at(r, terms->percentile));
    lcf_buf_printf(out, "  every request answered      : %s (%" PRIu64 " of %" PRIu64 ")\n",
                   not_ok(r) ? "NO" : "yes", r->codes[200], r->sent);
    if (r->failed)
        lcf_buf_printf(out, "  no answer                   : %" PRIu64 "\n", r->failed);
    for (int code = 0; code < LCF_LOAD_CODES_N; code++)
        if (r->codes[code] && code != 200)
            lcf_buf_printf(out, "  status %d                  : %" PRIu64 "\n", code,
                           r->codes[code]);
    lcf_buf_printf(out, "\nLatency (ms)\n  min %.3f  mean %.3f  max %.3f\n",
                   (double)r->latency.min / 1e6, lcf_histogram_mean(&r->latency) / 1e6,
                   (double)r->latency.max / 1e6);
    for (size_t i = 0; i < PERCENTILES_N; i++)
        lcf_buf_printf(out, "  p%-5g %10.3f\n", PERCENTILES[i], ms_at(r, PERCENTILES[i]));
    lcf_buf_printf(out,
                   "\nDegraded answers: %" PRIu64 "; bodies: %.1f MB\n"
                   "Test parameters: target %s, rate %g, duration %g s of which %g s warm up, %zu "
                   "connections, %zu distinct requests, seed %" PRIu64 "\n",
                   r->degraded, (double)r->bytes / 1e6, target, plan->rate, plan->duration_s,
                   plan->warm_up_s, connections_n, plan->requests_n, plan->seed);
}

void lcf_load_report_json(lcf_buf *out, const lcf_load_result *r, const lcf_load_plan *plan,
                          const lcf_load_terms *terms, size_t connections_n)
{
    lcf_buf_printf(out,
                   "{\"scenario\":\"server\",\"valid\":%s,\"rate\":%.9g,"
                   "\"scheduled_per_s\":%.6g,\"completed_per_s\":%.6g,\"percentile\":%g,"
                   "\"limit_ms\":%g,\"duration_s\":%g,\"warm_up_s\":%g,\"connections\":%zu,"
                   "\"distinct_requests\":%zu,\"seed\":%" PRIu64 ",\"sent\":%" PRIu64
                   ",\"answered\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"degraded\":%" PRIu64
                   ",\"bytes\":%" PRIu64 ",\"codes\":{\"200\":%" PRIu64,
                   lcf_load_is_valid(r, terms) ? "true" : "false", plan->rate,
                   scheduled_rate(r, plan), completed_rate(r), terms->percentile, terms->limit_ms,
                   plan->duration_s, plan->warm_up_s, connections_n, plan->requests_n, plan->seed,
                   r->sent, r->answered, r->failed, r->degraded, r->bytes, r->codes[200]);
    for (int code = 0; code < LCF_LOAD_CODES_N; code++)
        if (r->codes[code] && code != 200)
            lcf_buf_printf(out, ",\"%d\":%" PRIu64, code, r->codes[code]);
    lcf_buf_printf(out, "},\"latency_ms\":{\"min\":%.4f,\"mean\":%.4f,\"max\":%.4f",
                   (double)r->latency.min / 1e6, lcf_histogram_mean(&r->latency) / 1e6,
                   (double)r->latency.max / 1e6);
    for (size_t i = 0; i < PERCENTILES_N; i++)
        lcf_buf_printf(out, ",\"p%g\":%.4f", PERCENTILES[i], ms_at(r, PERCENTILES[i]));
    lcf_buf_append_text(out, "}}");
}
