/*
 * The step behind `llmcf ope`: a log and a target policy in, a report out.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_RUN_H
#define LCF_OFFLINE_EVAL_OPE_RUN_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/ope/load.h"
#include "offline/eval/ope/ope.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_ope_run_options {
    lcf_ope_source source;
    const char *on_policy;      /* a log of the target policy itself, to compare with; or NULL */
    const char *headline;       /* the estimator of the summary */
    const char *out_dir;        /* the report; NULL: nothing is written */
    const char *const *require; /* [require_n] gate conditions */
    size_t require_n;
    lcf_ope_options ope;
    size_t threads; /* 0: all processors */
    bool force;
} lcf_ope_run_options;

#define LCF_OPE_RUN_OPTIONS_INIT                                                     \
    {                                                                                \
        {NULL, LCF_OPE_AUTO, NULL, 0, {false, false}}, NULL, "snips", NULL, NULL, 0, \
            LCF_OPE_OPTIONS_INIT, 0, false                                           \
    }

/*
 * Evaluates, writes ope.json, ope.html and manifest.json where a folder is given, and checks the
 * gate. A report of the same inputs and options that is there already is read instead of made
 * again.
 *
 * returns  *out the report as JSON also with EGATE; *current (may be NULL) true when nothing was
 *          made
 * errors   EGATE a condition is not met (the report is written, the message names it); EUSAGE a
 *          condition or an estimator that there is not; and those of lcf_ope_load and
 *          lcf_ope_evaluate
 * memory   the caller owns *out (json_decref)
 */
lcf_status lcf_ope_run(json_t **out, bool *current, const lcf_ope_run_options *options,
                       lcf_err *err);

/* Appends the names a gate may use, separated by blanks. */
void lcf_ope_figure_names(lcf_buf *out);

#endif
