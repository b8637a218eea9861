/*
 * The table of `llmcf compare` in four forms: JSON and CSV for programs (every measure), Markdown
 * and HTML for people (AUC, UAUC, log loss). All say the same figures.
 *
 * source   schemas/compare.md
 */
#ifndef LCF_OFFLINE_EVAL_ARMS_REPORT_H
#define LCF_OFFLINE_EVAL_ARMS_REPORT_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/arms.h"
#include "offline/eval/compare.h"
#include "offline/eval/training.h"

#include <jansson.h>

typedef struct lcf_arms_system {
    char *name;
    lcf_training training;
    lcf_comparison comparison;    /* with the baseline as A; of the baseline itself: zeros */
    double p_holm[LCF_METRICS_N]; /* of the lifts; NaN of the baseline */
} lcf_arms_system;

typedef struct lcf_arms_result {
    const lcf_arms_section *section;
    lcf_arms_system *systems; /* [section->dirs_n], the baseline first */
} lcf_arms_result;

typedef struct lcf_arms_report {
    const lcf_arms_options *options;
    lcf_arms_result *results; /* [options->sections_n] */
} lcf_arms_report;

/* errors: ENOMEM. The caller owns *out (json_decref). */
lcf_status lcf_arms_json(json_t **out, const lcf_arms_report *report, lcf_err *err);
/* Appended to `out`; failures are in out->status. */
void lcf_arms_markdown(lcf_buf *out, const lcf_arms_report *report);
void lcf_arms_html(lcf_buf *out, const lcf_arms_report *report);
void lcf_arms_csv(lcf_buf *out, const lcf_arms_report *report);
/* A few lines for a terminal, from a comparison in JSON. */
void lcf_arms_summary(lcf_buf *out, const json_t *compare);

#endif
