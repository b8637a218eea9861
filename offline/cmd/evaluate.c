/* llmcf evaluate: two rankers into a report. Options only; the work is in offline/eval/evaluate.h.
 */
#include "offline/eval/evaluate.h"

#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"
#include "offline/eval/report.h"
#include "offline/eval/score_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_A = 0x100,
    OPT_B,
    OPT_DATASET,
    OPT_RETRIEVED,
    OPT_SLICE_BY,
    OPT_LATENCY,
    OPT_OUT,
    OPT_SPLIT,
    OPT_REQUIRE,
    OPT_REPLICATES,
    OPT_PERMUTATIONS,
    OPT_TOP,
    OPT_VECTORS,
    OPT_ALLOW,
    OPT_SELF_TEST,
    OPT_STREAM,
    OPT_SEED,
    OPT_SEEDS,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"a", OPT_A, "PATH", 0,
     "The ranker to compare with (the baseline), or a plain file of its scores (.csv or .tsv, with "
     ".zst or without; columns key, user, label, score: schemas/scores.md)",
     1},
    {"b", OPT_B, "PATH", 0, "The ranker in question, or a plain file of its scores", 1},
    {"dataset", OPT_DATASET, "DIR", 0,
     "The dataset of both; with it the report has slices: warm and cold users and items, length of "
     "history, popularity of the item, brands and categories",
     1},
    {"retrieved", OPT_RETRIEVED, "DIR", 0,
     "What `llmcf retrieve` found for the dataset: slices with and without examples, and by the "
     "similarity of the best one",
     1},
    {"slice-by", OPT_SLICE_BY, "FILE:COLUMN", 0,
     "Slices by a column of a CSV (or .tsv) file that has a header row and one key column, "
     "user_id, "
     "item_id or row; may be given several times",
     1},
    {"vectors", OPT_VECTORS, "DIR", 0,
     "Vectors of the dataset's items by `llmcf encode`, for the diversity of lists", 1},
    {"latency", OPT_LATENCY, "ARM=FILE", 0,
     "How fast arm A or B answers: the lines that `llmcf rank --lines` printed for it; may be "
     "given "
     "once for each",
     1},
    {"out", OPT_OUT, "DIR", 0, "The report; replaced in one step", 1},
    {"split", OPT_SPLIT, "NAME", 0, "valid or test (default test)", 2},
    {"stream", OPT_STREAM, "HOW", 0,
     "For plain files that are larger than memory, with the same rows in the same order: sketch "
     "(AUC up to a bound that is reported) or sort (exact, with temporary files); intervals are "
     "then from a jackknife over 32 groups of users",
     2},
    {"allow", OPT_ALLOW, "WHAT", 0,
     "What may be wrong with the rows, in any number: unmatched (rows that one arm alone has are "
     "dropped), duplicates (the first of each key is kept), nan (rows with such a score are "
     "dropped), one-class (what needs both classes is left out), any-score (scores are an order, "
     "no probabilities). The report counts what was dropped",
     2},
    {"require", OPT_REQUIRE, "CONDITION", 0,
     "A condition of the gate, such as 'auc_lift_low > 0'; may be given several times, all must "
     "hold",
     2},
    {"replicates", OPT_REPLICATES, "N", 0, "Bootstrap replicates (default 2000)", 3},
    {"top", OPT_TOP, "K", 0,
     "Lists of each user's best K rows, for HR, recall, precision, NDCG, MRR, MAP, novelty, "
     "popularity, diversity, coverage, Gini; 0 leaves them out (default 10)",
     2},
    {"permutations", OPT_PERMUTATIONS, "N", 0,
     "Of the permutation test, in which users' arms change places; 0 leaves it out (default 1000)",
     3},
    {"self-test", OPT_SELF_TEST, "N", 0,
     "A/A test: of N resamples in which the arms' runs are dealt out to users at random, how many "
     "does the interval tell apart? About 5 % should be (default 0: not done)",
     3},
    {"seed", OPT_SEED, "N", 0, "Of the resampling (default 1)", 3},
    {"seeds", OPT_SEEDS, "HOW", 0,
     "drawn: intervals cover new users and new training runs; fixed: new users only (default "
     "drawn)",
     3},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     4},
    {"force", OPT_FORCE, NULL, 0, "Also when the report is up to date", 4},
    {"json", OPT_JSON, NULL, 0, "Print report.json on stdout", 4},
    {0},
};

static const char DOC[] =
    "Is ranker B better than ranker A, for whom, and how sure are we? Compares their predictions "
    "of "
    "the same rows over all seeds: AUC, PR-AUC, log loss, UAUC, GAUC and calibration, with 95 % "
    "intervals of a paired bootstrap clustered by user, and says ship, hold or no difference."
    "\v"
    "Reads A/test.lcf and B/test.lcf as `llmcf train` writes them (valid.lcf with --split "
    "valid), and beside them how each was trained and what it scored on the other split.\n\n"
    "Writes DIR/report.html (one file to look at, print or send), report.md, report.json, "
    "manifest.json (schemas/report.md). Read the report from the top: what to do, with the figure "
    "and its interval; every measure; for whom it is worse; whether the scores are probabilities, "
    "and whether they drifted; what it all came from, and the command that makes it again.\n\n"
    "ship: every condition of the gate holds (without conditions: the interval of the AUC lift is "
    "above 0). no difference: a condition does not hold, and these rows cannot tell either way; "
    "the report says how many users would. hold: otherwise. A lift is B minus A, and its interval "
    "covers other users and, unless --seeds fixed, other training runs: more seeds make it "
    "narrower, more replicates only smoother. Slices are many looks at the same rows, so judge "
    "them by the p-value after Holm's correction.\n\n"
    "Conditions are 'NAME > NUMBER' (or >=, <, <=). When one does not hold, the report is written "
    "all the same and the exit code is 3. ";

static const char EXAMPLE[] =
    "\n\nExamples:\n"
    "  # the gate of a night: B is better, and log loss is no worse than by .001\n"
    "  llmcf evaluate --a ranker-backbone --b ranker-ict --dataset dataset \\\n"
    "    --out report --require 'auc_lift_low > 0' \\\n"
    "    --require 'logloss_lift <= 0.001'\n\n"
    "  # for whom: by examples, by a column of the shop's own, with the arms' speed\n"
    "  llmcf evaluate --a ranker-backbone --b ranker-ict --dataset dataset \\\n"
    "    --retrieved retrieved --slice-by regions.csv:region \\\n"
    "    --latency A=answers-a.jsonl --latency B=answers-b.jsonl --out report\n\n"
    "  # rankers of somebody else's: CSV files of key, user, label and score\n"
    "  llmcf evaluate --a old.csv --b new.csv --out report --json";

typedef struct arguments {
    lcf_evaluate_options evaluate;
    lcf_cli_texts require, slice_by;
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
    lcf_evaluate_figure_names(&out);
    lcf_buf_append_text(&out, ".");
    lcf_buf_append_text(&out, EXAMPLE);
    return lcf_buf_take(&out);
}

/* "A=FILE" or "B=FILE" */
static void add_latency(lcf_evaluate_options *o, struct argp_state *state, const char *text)
{
    const char arm = text[0];

    if ((arm != 'A' && arm != 'B' && arm != 'a' && arm != 'b') || text[1] != '=' || !text[2])
        argp_error(state, "--latency must be A=FILE or B=FILE, not '%s'", text);
    o->latency_file[arm == 'B' || arm == 'b'] = text + 2;
}

static void allow(struct argp_state *state, lcf_table_allow *a, const char *text)
{
    bool *const what[] = {&a->unmatched, &a->duplicates, &a->nan, &a->one_class, &a->any_score};

    *what[lcf_cli_choice(state, "allow", text, "unmatched", "duplicates", "nan", "one-class",
                         "any-score", NULL)] = true;
}

/* Rows of a stream meet once, in order: there is nothing to drop or match. */
static bool allows_more_than_nan(const lcf_table_allow *a)
{
    return a->unmatched || a->duplicates || a->one_class || a->any_score;
}

static error_t parse_statistics(int key, char *text, struct argp_state *state,
                                lcf_evaluate_options *o)
{
    switch (key) {
    case OPT_SPLIT:
        o->split = lcf_cli_choice(state, "split", text, "valid", "test", NULL) ? "test" : "valid";
        return 0;
    case OPT_REPLICATES:
        o->replicates_n = lcf_cli_u64(state, "replicates", text, 100, 1000000);
        return 0;
    case OPT_TOP:
        o->list_k = lcf_cli_u64(state, "top", text, 0, 1000000);
        return 0;
    case OPT_SELF_TEST:
        o->self_test_n = lcf_cli_u64(state, "self-test", text, 0, 1000000);
        return 0;
    case OPT_PERMUTATIONS:
        o->permutations_n = lcf_cli_u64(state, "permutations", text, 0, 1000000);
        return 0;
    case OPT_SEED:
        o->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_SEEDS:
        o->seeds_fixed = lcf_cli_choice(state, "seeds", text, "drawn", "fixed", NULL);
        return 0;
    case OPT_THREADS:
        o->threads = lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_A:
        a->evaluate.arm_dir[0] = text;
        return 0;
    case OPT_B:
        a->evaluate.arm_dir[1] = text;
        return 0;
    case OPT_DATASET:
        a->evaluate.dataset_dir = text;
        return 0;
    case OPT_STREAM:
        a->evaluate.stream = lcf_cli_choice(state, "stream", text, "sketch", "sort", NULL)
                                 ? LCF_STREAM_SORT
                                 : LCF_STREAM_SKETCH;
        return 0;
    case OPT_ALLOW:
        allow(state, &a->evaluate.allow, text);
        return 0;
    case OPT_VECTORS:
        a->evaluate.vectors_dir = text;
        return 0;
    case OPT_OUT:
        a->evaluate.out_dir = text;
        return 0;
    case OPT_REQUIRE:
        lcf_cli_texts_add(&a->require, state, text);
        return 0;
    case OPT_RETRIEVED:
        a->evaluate.retrieved_dir = text;
        return 0;
    case OPT_LATENCY:
        add_latency(&a->evaluate, state, text);
        return 0;
    case OPT_SLICE_BY:
        lcf_cli_texts_add(&a->slice_by, state, text);
        return 0;
    case OPT_FORCE:
        a->evaluate.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!a->evaluate.arm_dir[0] || !a->evaluate.arm_dir[1] || !a->evaluate.out_dir)
            argp_error(state, "--a, --b and --out are needed");
        if (a->evaluate.stream && !(lcf_score_rows_named(a->evaluate.arm_dir[0]) &&
                                    lcf_score_rows_named(a->evaluate.arm_dir[1])))
            argp_error(state, "--stream is for plain files of scores");
        if (a->evaluate.stream && allows_more_than_nan(&a->evaluate.allow))
            argp_error(state, "--stream allows nan alone");
        if (a->evaluate.dataset_dir && (lcf_score_rows_named(a->evaluate.arm_dir[0]) ||
                                        lcf_score_rows_named(a->evaluate.arm_dir[1])))
            argp_error(state, "--dataset is for rankers: the rows of a plain file are not its");
        if ((a->evaluate.retrieved_dir || a->evaluate.vectors_dir || a->slice_by.n) &&
            !a->evaluate.dataset_dir)
            argp_error(state, "--retrieved, --vectors and --slice-by need --dataset");
        a->evaluate.require = a->require.list;
        a->evaluate.require_n = a->require.n;
        a->evaluate.slice_by = a->slice_by.list;
        a->evaluate.slice_by_n = a->slice_by.n;
        return 0;
    default:
        return parse_statistics(key, text, state, &a->evaluate);
    }
}

static lcf_status print_report(const json_t *report, const arguments *a, bool current, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;

    lcf_report_summary(&text, report);
    fputs(lcf_buf_text(&text), stderr);
    fprintf(stderr, "%s/report.html%s\n", a->evaluate.out_dir,
            current ? " is up to date, nothing done (--force makes it again)" : " shows it all");
    lcf_buf_dispose(&text);
    return a->json ? lcf_cmd_print_json(report, err) : LCF_OK;
}

int lcf_cmd_evaluate(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, help_filter, NULL};
    arguments a = {.evaluate = LCF_EVALUATE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *report = NULL;
    lcf_status status = lcf_cli_parse(&argp, "evaluate", argc, argv, &a, &err), printed;

    lcf_stop_install();
    if (!status)
        status = lcf_evaluate(&report, &current, &a.evaluate, &err);
    if (report) {
        printed = print_report(report, &a, current, status ? NULL : &err);
        status = status ? status : printed;
    }
    json_decref(report);
    lcf_cli_texts_dispose(&a.require);
    lcf_cli_texts_dispose(&a.slice_by);
    return lcf_cli_finish("evaluate", status, &err);
}
