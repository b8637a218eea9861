/*
 * What a measurement says, in the manner of MLPerf's server scenario: a rate of requests is
 * sustained when the percentile of their latency stays within its limit and every request is
 * answered.
 */
#ifndef LCF_ONLINE_LOAD_REPORT_H
#define LCF_ONLINE_LOAD_REPORT_H

#include "online/load/client.h"

typedef struct lcf_load_terms {
    double percentile; /* e.g. 99 */
    double limit_ms;   /* of the latency there */
} lcf_load_terms;

/* Whether a run keeps the terms, and every request that counts got a 200. */
bool lcf_load_is_valid(const lcf_load_result *r, const lcf_load_terms *terms);
/* Appends the report, for people or as one JSON object without a line end. */
void lcf_load_report(lcf_buf *out, const lcf_load_result *r, const lcf_load_plan *plan,
                     const lcf_load_terms *terms, const char *target, size_t connections_n);
void lcf_load_report_json(lcf_buf *out, const lcf_load_result *r, const lcf_load_plan *plan,
                          const lcf_load_terms *terms, size_t connections_n);

#endif
