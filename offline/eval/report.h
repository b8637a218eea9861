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
#include "offline/eval/background.h"
#include "offline/eval/compare.h"
#include "offline/eval/gate.h"
#include "offline/eval/grid.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define LCF_REPORT_VERSION 3

typedef struct lcf_report {
    const char *arm_name[LCF_ARMS]; /* what people call the arms, e.g. "ranker-ict" */
    const char *split;              /* "valid" or "test" */
    const lcf_comparison *comparison;
    const lcf_background *background;
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

/* One sentence: what to do, whether B is better, by how much, how sure. */
void lcf_report_verdict(lcf_buf *out, const lcf_report *report);
/* One sentence per statistical choice, ended by newlines: how the intervals were made. */
void lcf_report_method(lcf_buf *out, const lcf_report *report);
/* What a section of the report is about, or why it is empty. */
void lcf_report_drift_text(lcf_buf *out, const lcf_report *report);
void lcf_report_latency_text(lcf_buf *out, const lcf_report *report);
void lcf_report_training_text(lcf_buf *out, const lcf_report *report);
/* The options of every step that led here, one a line. */
void lcf_report_options_text(lcf_buf *out, const lcf_report *report);

typedef enum lcf_report_table {
    LCF_TABLE_GATE,     /* condition, value, met */
    LCF_TABLE_MEASURES, /* measure, A, B, lift, interval, p */
    LCF_TABLE_TESTS,    /* measure, BCa interval, p by permutation and over seeds, power */
    LCF_TABLE_OTHERS,   /* DeLong's and McNemar's tests */
    LCF_TABLE_SLICES,   /* slice, rows, users, AUC of A and B, lift, interval, three p */
    LCF_TABLE_SEEDS,    /* arm, seed, the measures by score */
    LCF_TABLE_BINS,     /* scores, rows, mean score and share of positives of A and of B */
    LCF_TABLE_DRIFT,    /* sample, scores, mean, standard deviation, PSI */
    LCF_TABLE_LATENCY,  /* arm, answers, quantiles of the time */
    LCF_TABLE_TRAINING, /* arm, model, seed, epochs, best epoch, valid AUC, time, parameters */
    LCF_TABLE_SOURCES,  /* role, path, id, what made it */
    LCF_REPORT_TABLES_N
} lcf_report_table;

/* errors: ENOMEM. Zero rows where the report has nothing of the kind. */
lcf_status lcf_report_grid(lcf_grid *out, const lcf_report *report, lcf_report_table table);

/* "NDCG (linear gain) @10" */
#define LCF_METRIC_TITLE_MAX 64
void lcf_report_metric_title(char out[LCF_METRIC_TITLE_MAX], lcf_metric metric,
                             const lcf_comparison *c);
/* False for measures that neither arm has on these rows. */
bool lcf_report_has_metric(const lcf_comparison *c, lcf_metric metric);

/* Charts as inline SVG (report_charts.c); nothing where the report has nothing of the kind. */
void lcf_report_measures_chart(lcf_buf *out, const lcf_report *report);
void lcf_report_slices_chart(lcf_buf *out, const lcf_report *report);
void lcf_report_roc_chart(lcf_buf *out, const lcf_report *report);
void lcf_report_pr_chart(lcf_buf *out, const lcf_report *report);
void lcf_report_reliability_chart(lcf_buf *out, const lcf_report *report);
/* Scores of both arms on the split; scores of one arm on both splits. */
void lcf_report_scores_chart(lcf_buf *out, const lcf_report *report);
void lcf_report_drift_chart(lcf_buf *out, const lcf_report *report, size_t arm);
void lcf_report_latency_chart(lcf_buf *out, const lcf_report *report);
/* Valid AUC, or loss, by epoch, a line a seed. */
void lcf_report_learning_chart(lcf_buf *out, const lcf_report *report, bool loss);

#endif
