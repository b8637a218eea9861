/* llmcf ope: what another policy would have earned. Options only; the work is in
 * offline/eval/ope/run.h. */
#include "offline/eval/ope/run.h"

#include "common/base/mem.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"
#include "offline/eval/ope/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    lcf_ope_run_options run;
    lcf_cli_texts require;
    bool json;
} arguments;

static lcf_status parse_format(void *field, const char *text, lcf_err *err)
{
    const lcf_ope_format format = lcf_ope_format_of(text);

    if (format == LCF_OPE_FORMATS_N)
        return LCF_FAIL(err, LCF_EUSAGE, "there is no format '%s'", text);
    *(lcf_ope_format *)field = format;
    return LCF_OK;
}

static const lcf_option OPTIONS[] = {
    {"log", "PATH",
     "The log: CSV, TSV or JSON lines (schemas/bandit_log.md), a request log of the server "
     "(schemas/request_log.md), a policy's folder of the Open Bandit data, or a folder of `llmcf "
     "simulate`",
     1, LCF_OPT_TEXT(run.source.path), LCF_REQUIRED},
    {"format", "NAME",
     "csv, jsonl, obd, simulated or requests; auto looks at the file (default auto)", 1,
     LCF_OPT_PARSED(run.source.format, parse_format)},
    {"target", "POLICY",
     "The policy in question, unless the log has target probabilities: uniform; logging (the log's "
     "own, a check); estimated:PATH (the shares of actions by position in another log); "
     "scores:PATH (a request log with another ranker's scores); popular or best (simulated logs)",
     1, LCF_OPT_TEXT(run.source.target)},
    {"temperature", "T",
     "With scores:PATH: 0 ranks by score, above 0 draws lists in proportion to exp(score / T) "
     "(default 0)",
     1, LCF_OPT_REAL(run.source.temperature, 0, 1e9)},
    {"on-policy", "PATH", "A log of the target policy itself: how far off is every estimator?", 1,
     LCF_OPT_TEXT(run.on_policy)},
    {"out", "DIR", "The report; replaced in one step. Without it only the table", 1,
     LCF_OPT_TEXT(run.out_dir)},
    {"estimator", "NAME", "Of the summary (default snips)", 2, LCF_OPT_TEXT(run.headline)},
    {"require", "CONDITION",
     "A condition of the gate, such as 'dr_lift_low > 0'; may be given several times, all must "
     "hold",
     2, LCF_OPT_TEXTS(require)},
    {"replicates", "N", "Bootstrap replicates (default 2000)", 3,
     LCF_OPT_WHOLE(run.ope.bootstrap.replicates_n, 100, 1000000)},
    LCF_ROW_SEED(3, "Of the bootstrap (default 1)", run.ope.bootstrap.seed),
    {"folds", "N", "Of the reward model's cross-fitting (default 3)", 3,
     LCF_OPT_WHOLE(run.ope.model.folds_n, 2, 100)},
    {"l2", "STRENGTH", "Ridge penalty of the reward model (default 1)", 3,
     LCF_OPT_REAL(run.ope.model.l2, 1e-6, 1e9)},
    {"tune", "RULE",
     "How lambda is chosen for estimators that shrink weights, by the smallest bound on the mean "
     "squared error: bound (with an allowance for the error of the bias estimate) or direct "
     "(without) (default bound)",
     3,
     LCF_OPT_CHOICE(run.ope.tuning, {"bound", LCF_OPE_TUNE_BOUND},
                    {"direct", LCF_OPE_TUNE_DIRECT})},
    {"position-bias", "METHOD",
     "How the examination of positions is estimated: weighted (rewards weighted by propensities) "
     "or em (regression EM, needs no propensities) (default weighted)",
     3,
     LCF_OPT_CHOICE(run.ope.position_bias, {"weighted", LCF_POSITION_BIAS_WEIGHTED},
                    {"em", LCF_POSITION_BIAS_EM})},
    {"allow-zero-propensity", NULL,
     "Drop and count rows of propensity 0; accept and count target mass on actions that the "
     "logging policy cannot show",
     4, LCF_OPT_FLAG(run.source.options.allow_zero_propensity)},
    {"allow-bad-rows", NULL, "Drop and count rows that cannot be read", 4,
     LCF_OPT_FLAG(run.source.options.allow_bad_rows)},
    LCF_ROW_THREADS(5, "result is", run.threads),
    LCF_ROW_FORCE(5, "report is", run.force),
    LCF_ROW_JSON(5, "ope.json on stdout"),
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

/* The names of the gate's figures, from the list that the gate itself uses, and examples. */
static void name_figures(lcf_buf *doc)
{
    lcf_buf_append_text(doc, "Names: ");
    lcf_ope_figure_names(doc);
    lcf_buf_append_text(doc, ".");
    lcf_buf_append_text(doc, EXAMPLE);
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
    static const lcf_options options = {"ope", DOC, OPTIONS, NULL, name_figures};
    arguments a = {.run = LCF_OPE_RUN_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *report = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err), printed;

    a.run.require = a.require.list;
    a.run.require_n = a.require.n;
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
