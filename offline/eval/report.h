/*
 * The report of a comparison in three forms: JSON for programs, Markdown for reviews, HTML to look
 * at. All three say the same figures, and the same comparison gives the same bytes.
 *
 * source   schemas/report.md
 */
#ifndef LCF_OFFLINE_EVAL_REPORT_H
#define LCF_OFFLINE_EVAL_REPORT_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/compare.h"
#include "offline/eval/gate.h"
#include "offline/eval/grid.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define LCF_REPORT_VERSION 2

typedef struct lcf_report {
    const char *arm_name[LCF_ARMS]; /* what people call the arms, e.g. "ranker-ict" */
    const char *split;              /* "valid" or "test" */
    const lcf_comparison *comparison;
    const lcf_gate_condition *conditions; /* checked; none: no gate */
    size_t conditions_n;
    bool passed; /* all conditions are met */
} lcf_report;

/* errors: ENOMEM. The caller owns *out (json_decref). */
lcf_status lcf_report_json(json_t **out, const lcf_report *report, lcf_err *err);
/* Appended to `out`; failures are in out->status. */
void lcf_report_markdown(lcf_buf *out, const lcf_report *report);
void lcf_report_html(lcf_buf *out, const lcf_report *report);
/* A few lines for a terminal, from a report in JSON (so that one made earlier can be shown again).
 */
void lcf_report_summary(lcf_buf *out, const json_t *report);

/* ---- shared between the writers ---- */

/* One sentence: is B better, by how much, how sure. */
void lcf_report_verdict(lcf_buf *out, const lcf_report *report);
/* One sentence per statistical choice, ended by newlines: how the intervals were made. */
void lcf_report_method(lcf_buf *out, const lcf_report *report);

typedef enum lcf_report_table {
    LCF_TABLE_GATE,     /* condition, value, met */
    LCF_TABLE_MEASURES, /* measure, A, B, lift, interval, p */
    LCF_TABLE_SLICES,   /* slice, rows, users, AUC of A and B, lift, interval, p, Holm's p */
    LCF_TABLE_SEEDS,    /* arm, seed, the measures */
    LCF_TABLE_BINS,     /* scores, rows, mean score and share of positives of A and of B */
    LCF_REPORT_TABLES_N
} lcf_report_table;

/* errors: ENOMEM. Zero rows where the report has nothing of the kind. */
lcf_status lcf_report_grid(lcf_grid *out, const lcf_report *report, lcf_report_table table);

#endif
