/*
 * The report of a counterfactual evaluation: JSON for programs, HTML to look at, a table for a
 * terminal. The same figures everywhere, and the same result gives the same bytes.
 *
 * source   schemas/ope_report.md
 */
#ifndef LCF_OFFLINE_EVAL_OPE_REPORT_H
#define LCF_OFFLINE_EVAL_OPE_REPORT_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/gate.h"
#include "offline/eval/ope/log.h"
#include "offline/eval/ope/ope.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define LCF_OPE_REPORT_VERSION 1

typedef struct lcf_ope_report {
    const char *log_path, *target; /* as they were given */
    const lcf_ope_log *log;
    const lcf_ope_result *result;
    const lcf_ope_options *options;
    const char *headline;              /* name of the estimator of the summary */
    const char *on_policy_path;        /* a log of the target policy itself; NULL: none */
    const lcf_ope_estimate *on_policy; /* its mean reward per row */
    const lcf_gate_condition *conditions;
    size_t conditions_n;
    bool passed;
} lcf_ope_report;

/* The caller owns *out (json_decref). errors: ENOMEM */
lcf_status lcf_ope_report_json(json_t **out, const lcf_ope_report *report, lcf_err *err);

/* From the report in JSON, so that one made earlier can be shown again. Failures: out->status. */
void lcf_ope_report_summary(lcf_buf *out, const json_t *report);
void lcf_ope_report_html(lcf_buf *out, const json_t *report);

#endif
