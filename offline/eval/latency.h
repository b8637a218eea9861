/*
 * Latency of an arm, from the answers it gave: lines of ranking responses, each with its timings,
 * as `llmcf rank --lines` prints them and the server sends them.
 *
 * source   schemas/rank_response.md
 */
#ifndef LCF_OFFLINE_EVAL_LATENCY_H
#define LCF_OFFLINE_EVAL_LATENCY_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define LCF_LATENCY_POINTS 101 /* quantiles 0, 0.01, ... 1 */

typedef struct lcf_latency {
    bool known;
    size_t answers_n, errors_n; /* errors have no time */
    size_t degraded_n;          /* answers that were degraded as a whole */
    double candidates_mean;     /* results of an answer */
    double mean_ms, max_ms;     /* of the total */
    double total_ms[LCF_LATENCY_POINTS], retrieve_ms[LCF_LATENCY_POINTS],
        score_ms[LCF_LATENCY_POINTS]; /* quantiles, linear between order statistics */
} lcf_latency;

/*
 * errors   EFORMAT a line is neither a response with timings nor an error, or a time is negative
 *          (the line is named), or no line is an answer; ENOENT, EIO, ENOMEM
 */
lcf_status lcf_latency_read(lcf_latency *out, const char *path, lcf_err *err);

/* The same of text at hand; source names it in messages. */
lcf_status lcf_latency_parse(lcf_latency *out, const char *text, size_t n, const char *source,
                             lcf_err *err);

/* As a member of report.json, null when not known. New, or NULL when out of memory. */
json_t *lcf_latency_json(const lcf_latency *l);

#endif
