/*
 * Gate: conditions on the figures of a report, "name op number", e.g. "auc_lift_low > 0".
 *
 * Figures are kept in one list of names and values that the report fills; names are documented in
 * schemas/report.md section 5.
 */
#ifndef LCF_OFFLINE_EVAL_GATE_H
#define LCF_OFFLINE_EVAL_GATE_H

#include "common/base/manifest.h"
#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define LCF_FIGURE_NAME_MAX 32
#define LCF_FIGURES_MAX 256

typedef struct lcf_figure {
    char name[LCF_FIGURE_NAME_MAX];
    double value; /* NaN: not defined on these rows */
} lcf_figure;

typedef struct lcf_figures {
    lcf_figure list[LCF_FIGURES_MAX];
    size_t n;
} lcf_figures;

/* Adds "<stem><suffix>". */
void lcf_figures_add(lcf_figures *f, const char *stem, const char *suffix, double value);
/* NULL when there is none of that name. */
const lcf_figure *lcf_figures_find(const lcf_figures *f, const char *name, size_t len);

typedef enum lcf_gate_op {
    LCF_GATE_GT,
    LCF_GATE_GE,
    LCF_GATE_LT,
    LCF_GATE_LE,
} lcf_gate_op;

typedef struct lcf_gate_condition {
    char name[LCF_FIGURE_NAME_MAX];
    lcf_gate_op op;
    double bound;
    double value; /* filled by lcf_gate_check */
    bool met;
} lcf_gate_condition;

/*
 * Reads one condition; spaces are optional. `known` tells which names there are; its values do not
 * matter.
 *
 * errors   EUSAGE not of that form, or no such name (the message lists the names)
 */
lcf_status lcf_gate_parse(lcf_gate_condition *out, const char *text, const lcf_figures *known,
                          lcf_err *err);
/* All conditions of a command. errors: as lcf_gate_parse; ENOMEM. memory: *out is the caller's
 * (free), also on failure */
lcf_status lcf_gate_parse_all(lcf_gate_condition **out, const char *const *texts, size_t n,
                              const lcf_figures *known, lcf_err *err);
/* The conditions as the parameter `require` of a manifest. errors: ENOMEM, EINVAL */
lcf_status lcf_gate_describe(lcf_manifest *m, const char *const *texts, size_t n, lcf_err *err);
/* Sets value and met of every condition; true when all are met. A figure that is NaN meets nothing.
 */
bool lcf_gate_check(lcf_gate_condition *conditions, size_t n, const lcf_figures *figures);
/* ">", ">=", "<" or "<=". */
const char *lcf_gate_op_text(lcf_gate_op op);

#endif
