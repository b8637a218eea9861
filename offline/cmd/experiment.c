/* llmcf experiment: a log of a live experiment into a verdict. Options only; the work is in
 * offline/eval/experiment. */
#include "offline/eval/experiment/experiment.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE_MAX 64

typedef struct arguments {
    const char *log, *out, *arms[2];
    lcf_cli_texts require;
    double share, planned;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"log", "FILE",
     "One row per user in the order of arrival: CSV or .tsv, with .zst or without; columns user, "
     "arm, outcome and, for CUPED, before",
     1, LCF_OPT_TEXT(log), LCF_REQUIRED},
    {"a", "NAME", "The baseline's name in the column arm (default a)", 1, LCF_OPT_TEXT(arms[0])},
    {"b", "NAME", "The name of the arm in question (default b)", 1, LCF_OPT_TEXT(arms[1])},
    {"share", "SHARE", "The planned share of users in arm B (default 0.5)", 2,
     LCF_OPT_REAL(share, 1e-6, 1 - 1e-6)},
    {"planned", "N",
     "The planned number of users, where the intervals of monitoring are tightest (default: as "
     "many as there are)",
     2, LCF_OPT_REAL(planned, 1, 1e15)},
    {"require", "CONDITION",
     "A condition of the gate, such as 'lift_low > 0'; may be given several times, all must hold",
     2, LCF_OPT_TEXTS(require)},
    {"out", "FILE", "Where the result goes as JSON", 3, LCF_OPT_TEXT(out)},
    LCF_ROW_JSON(3, "it on stdout"),
    {0},
};

static const char DOC[] =
    "Did arm B do better with live users? Compares the outcomes of two groups of users: is the "
    "split as planned, Welch's interval, CUPED with what was known before, and intervals that hold "
    "however often one looks."
    "\v"
    "Conditions are 'NAME > NUMBER' (or >=, <, <=) with NAME one of mean_a mean_b lift lift_low "
    "lift_high lift_p relative_low relative_high sequential_low sequential_high sequential_p "
    "split_p users; the lift is that of CUPED where there is a column before. When one does not "
    "hold, or the split is not as planned, the exit code is 3 (schemas/experiment.md).\n\n"
    "Example:\n"
    "  llmcf experiment --log users.csv --a control --b ict \\\n"
    "    --require 'lift_low > 0'";

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (!strcmp(a->arms[0], a->arms[1]))
        argp_error(state, "--a and --b have the same name");
    if (a->require.n > REQUIRE_MAX)
        argp_error(state, "more than %d conditions", REQUIRE_MAX);
}

static lcf_status parse_conditions(lcf_gate_condition *out, const arguments *a, lcf_err *err)
{
    lcf_figures known;

    lcf_experiment_figures(&known, NULL);
    for (size_t i = 0; i < a->require.n; i++) {
        lcf_status status = lcf_gate_parse(&out[i], a->require.list[i], &known, err);
        if (status)
            return status;
    }
    return LCF_OK;
}

static void summarise(const lcf_experiment *e, const char *verdict)
{
    const lcf_two_sample *t = &e->plain;

    fprintf(stderr, "Verdict: %s.\n", verdict);
    fprintf(
        stderr, "  split       %.0f : %.0f users, p = %.4f%s\n", t->n[0], t->n[1], e->mismatch_p,
        e->mismatch_p < LCF_RATIO_MISMATCH_P ? ": NOT AS PLANNED, find out why before reading on"
                                             : "");
    fprintf(stderr, "  means       %.6g and %.6g\n", t->mean[0], t->mean[1]);
    fprintf(stderr, "  lift        %+.6g  [%+.6g, %+.6g]  p = %.4f\n", t->lift, t->low, t->high,
            t->p);
    if (e->has_before)
        fprintf(stderr,
                "  with CUPED  %+.6g  [%+.6g, %+.6g]  p = %.4f, %.1f %% of the variance gone\n",
                e->cuped.adjusted.lift, e->cuped.adjusted.low, e->cuped.adjusted.high,
                e->cuped.adjusted.p, 100 * e->cuped.explained);
    fprintf(stderr, "  any time    %+.6g  [%+.6g, %+.6g]  p = %.4f\n", e->sequential.lift,
            e->sequential.low, e->sequential.high, e->sequential.p);
    fprintf(stderr, "  detectable  %.6g with these users", e->detectable);
    if (isfinite(e->users_needed))
        fprintf(stderr, "; %.0f would settle the lift seen", e->users_needed);
    fputc('\n', stderr);
}

static lcf_status write_result(const lcf_experiment *e, const arguments *a,
                               const lcf_gate_condition *conditions, lcf_err *err)
{
    json_t *json = NULL;
    lcf_status status = lcf_experiment_json(&json, e, a->arms, conditions, a->require.n, err);

    if (!status && a->out)
        status = lcf_json_save(a->out, json, err);
    if (!status && a->json)
        status = lcf_cmd_print_json(json, err);
    json_decref(json);
    return status;
}

static lcf_status run(const arguments *a, lcf_err *err)
{
    lcf_gate_condition conditions[REQUIRE_MAX];
    lcf_experiment_log log = {0};
    lcf_experiment e;
    lcf_figures figures;
    bool passed = true;
    lcf_status status = parse_conditions(conditions, a, err);

    if (!status)
        status = lcf_experiment_log_read(&log, a->log, a->arms, err);
    if (!status)
        status = lcf_experiment_analyse(&e, &log, a->share, a->planned, err);
    if (!status) {
        lcf_experiment_figures(&figures, &e);
        passed = lcf_gate_check(conditions, a->require.n, &figures);
        summarise(&e, lcf_experiment_verdict(&e, conditions, a->require.n));
        status = write_result(&e, a, conditions, err);
    }
    if (!status && e.mismatch_p < LCF_RATIO_MISMATCH_P)
        status = LCF_FAIL(err, LCF_EGATE, "the split is not as planned (p = %g)", e.mismatch_p);
    else if (!status && !passed)
        status = LCF_FAIL(err, LCF_EGATE, "gate not passed");
    lcf_experiment_log_dispose(&log);
    return status;
}

int lcf_cmd_experiment(int argc, char **argv)
{
    static const lcf_options options = {"experiment", DOC, OPTIONS, check, NULL};
    arguments a = {.arms = {"a", "b"}, .share = 0.5};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status)
        status = run(&a, &err);
    lcf_cli_texts_dispose(&a.require);
    return lcf_cli_finish("experiment", status, &err);
}
