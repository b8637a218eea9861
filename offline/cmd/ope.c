/* llmcf ope: what another policy would have earned. Options only; the work is in
 * offline/eval/ope/run.h. */
#include "offline/eval/ope/run.h"

#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"
#include "offline/eval/ope/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_LOG = 0x100,
    OPT_FORMAT,
    OPT_TARGET,
    OPT_TEMPERATURE,
    OPT_ON_POLICY,
    OPT_OUT,
    OPT_ESTIMATOR,
    OPT_REQUIRE,
    OPT_REPLICATES,
    OPT_SEED,
    OPT_FOLDS,
    OPT_L2,
    OPT_TUNE,
    OPT_POSITION_BIAS,
    OPT_ALLOW_ZERO,
    OPT_ALLOW_BAD,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"log", OPT_LOG, "PATH", 0,
     "The log: CSV, TSV or JSON lines (schemas/bandit_log.md), a request log of the server "
     "(schemas/request_log.md), a policy's folder of the Open Bandit data, or a folder of `llmcf "
     "simulate`",
     1},
    {"format", OPT_FORMAT, "NAME", 0,
     "csv, jsonl, obd, simulated or requests; auto looks at the file (default auto)", 1},
    {"target", OPT_TARGET, "POLICY", 0,
     "The policy in question, unless the log has target probabilities: uniform; logging (the log's "
     "own, a check); estimated:PATH (the shares of actions by position in another log); "
     "scores:PATH "
     "(a request log with another ranker's scores); popular or best (simulated logs)",
     1},
    {"temperature", OPT_TEMPERATURE, "T", 0,
     "With scores:PATH: 0 ranks by score, above 0 draws lists in proportion to exp(score / T) "
     "(default 0)",
     1},
    {"on-policy", OPT_ON_POLICY, "PATH", 0,
     "A log of the target policy itself: how far off is every estimator?", 1},
    {"out", OPT_OUT, "DIR", 0, "The report; replaced in one step. Without it only the table", 1},
    {"estimator", OPT_ESTIMATOR, "NAME", 0, "Of the summary (default snips)", 2},
    {"require", OPT_REQUIRE, "CONDITION", 0,
     "A condition of the gate, such as 'dr_lift_low > 0'; may be given several times, all must "
     "hold",
     2},
    {"replicates", OPT_REPLICATES, "N", 0, "Bootstrap replicates (default 2000)", 3},
    {"seed", OPT_SEED, "N", 0, "Of the bootstrap (default 1)", 3},
    {"folds", OPT_FOLDS, "N", 0, "Of the reward model's cross-fitting (default 3)", 3},
    {"l2", OPT_L2, "STRENGTH", 0, "Ridge penalty of the reward model (default 1)", 3},
    {"tune", OPT_TUNE, "RULE", 0,
     "How lambda is chosen for estimators that shrink weights, by the smallest bound on the mean "
     "squared error: bound (with an allowance for the error of the bias estimate) or direct "
     "(without) "
     "(default bound)",
     3},
    {"position-bias", OPT_POSITION_BIAS, "METHOD", 0,
     "How the examination of positions is estimated: weighted (rewards weighted by propensities) "
     "or "
     "em (regression EM, needs no propensities) (default weighted)",
     3},
    {"allow-zero-propensity", OPT_ALLOW_ZERO, NULL, 0,
     "Drop and count rows of propensity 0; accept and count target mass on actions that the "
     "logging "
     "policy cannot show",
     4},
    {"allow-bad-rows", OPT_ALLOW_BAD, NULL, 0, "Drop and count rows that cannot be read", 4},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     5},
    {"force", OPT_FORCE, NULL, 0, "Also when the report is up to date", 5},
    {"json", OPT_JSON, NULL, 0, "Print ope.json on stdout", 5},
    {0},
};

static const char DOC[] =
    "What would another policy have earned? Estimates its value from a log with propensities: "
    "Replay, IPS, clipped IPS, SNIPS, the direct method, DR, SNDR, Switch-DR and DRos per row; "
    "IPS, "
    "independent and reward-interaction IPS, Cascade-DR and a position-based model for whole "
    "lists. "
    "With 95 % intervals, effective sample sizes, and warnings where the log cannot tell."
    "\v"
    "Intervals are clustered by user, where the log has users. Bad input is named by file and "
    "line; "
    "what --allow options drop is counted in the report.\n\n"
    "Writes DIR/ope.json, ope.html, manifest.json (schemas/ope_report.md).\n\n"
    "Conditions are 'NAME > NUMBER' (or >=, <, <=). When one does not hold, the report is written "
    "all the same and the exit code is 3. ";

static const char EXAMPLE[] =
    "\n\nExamples:\n"
    "  llmcf ope --log obd/bts --target uniform --on-policy obd/random\n"
    "  llmcf ope --log raw --target popular --out ope \\\n"
    "    --require 'snips_lift_low > 0'\n"
    "  llmcf ope --log requests.jsonl --target scores:candidate.jsonl \\\n"
    "    --estimator slate_pbm";

typedef struct arguments {
    lcf_ope_run_options run;
    lcf_cli_texts require;
    bool json;
} arguments;

/* The names of the gate's figures are part of the help text, from the list the gate itself uses. */
static char *help_filter(int key, const char *text, void *input)
{
    lcf_buf out = LCF_BUF_INIT;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    lcf_buf_append_text(&out, text);
    lcf_buf_append_text(&out, "Names: ");
    lcf_ope_figure_names(&out);
    lcf_buf_append_text(&out, ".");
    lcf_buf_append_text(&out, EXAMPLE);
    return lcf_buf_take(&out);
}

static error_t parse_statistics(int key, char *text, struct argp_state *state,
                                lcf_ope_run_options *o)
{
    switch (key) {
    case OPT_REPLICATES:
        o->ope.bootstrap.replicates_n = lcf_cli_u64(state, "replicates", text, 100, 1000000);
        return 0;
    case OPT_SEED:
        o->ope.bootstrap.seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_FOLDS:
        o->ope.model.folds_n = lcf_cli_u64(state, "folds", text, 2, 100);
        return 0;
    case OPT_L2:
        o->ope.model.l2 = lcf_cli_f64(state, "l2", text, 1e-6, 1e9);
        return 0;
    case OPT_TUNE:
        o->ope.tuning = lcf_cli_choice(state, "tune", text, "bound", "direct", NULL)
                            ? LCF_OPE_TUNE_DIRECT
                            : LCF_OPE_TUNE_BOUND;
        return 0;
    case OPT_POSITION_BIAS:
        o->ope.position_bias = lcf_cli_choice(state, "position-bias", text, "weighted", "em", NULL)
                                   ? LCF_POSITION_BIAS_EM
                                   : LCF_POSITION_BIAS_WEIGHTED;
        return 0;
    case OPT_ALLOW_ZERO:
        o->source.options.allow_zero_propensity = true;
        return 0;
    case OPT_ALLOW_BAD:
        o->source.options.allow_bad_rows = true;
        return 0;
    case OPT_THREADS:
        o->threads = lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_paths(int key, char *text, struct argp_state *state, lcf_ope_run_options *o)
{
    switch (key) {
    case OPT_LOG:
        o->source.path = text;
        return 0;
    case OPT_FORMAT:
        o->source.format = lcf_ope_format_of(text);
        if (o->source.format == LCF_OPE_FORMATS_N)
            argp_error(state, "--format: there is no format '%s'", text);
        return 0;
    case OPT_TARGET:
        o->source.target = text;
        return 0;
    case OPT_TEMPERATURE:
        o->source.temperature = lcf_cli_f64(state, "temperature", text, 0, 1e9);
        return 0;
    case OPT_ON_POLICY:
        o->on_policy = text;
        return 0;
    case OPT_OUT:
        o->out_dir = text;
        return 0;
    case OPT_ESTIMATOR:
        o->headline = text;
        return 0;
    default:
        return parse_statistics(key, text, state, o);
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_REQUIRE:
        lcf_cli_texts_add(&a->require, state, text);
        return 0;
    case OPT_FORCE:
        a->run.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!a->run.source.path)
            argp_error(state, "--log is needed");
        a->run.require = a->require.list;
        a->run.require_n = a->require.n;
        return 0;
    default:
        return parse_paths(key, text, state, &a->run);
    }
}

static lcf_status print_report(const json_t *report, const arguments *a, bool current, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;

    lcf_ope_report_summary(&text, report);
    fputs(lcf_buf_text(&text), stderr);
    if (a->run.out_dir)
        fprintf(stderr, "%s/ope.html%s\n", a->run.out_dir,
                current ? " is up to date, nothing done (--force makes it again)"
                        : " shows it all");
    lcf_buf_dispose(&text);
    return a->json ? lcf_cmd_print_json(report, err) : LCF_OK;
}

int lcf_cmd_ope(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, help_filter, NULL};
    arguments a = {.run = LCF_OPE_RUN_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *report = NULL;
    lcf_status status = lcf_cli_parse(&argp, "ope", argc, argv, &a, &err), printed;

    lcf_stop_install();
    if (!status)
        status = lcf_ope_run(&report, &current, &a.run, &err);
    if (report) {
        printed = print_report(report, &a, current, status ? NULL : &err);
        status = status ? status : printed;
    }
    json_decref(report);
    lcf_cli_texts_dispose(&a.require);
    return lcf_cli_finish("ope", status, &err);
}
