/* llmcf evaluate: two rankers into a report. Options only; the work is in offline/eval/evaluate.h.
 */
#include "offline/eval/evaluate.h"

#include "common/base/mem.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"
#include "offline/eval/report.h"
#include "offline/eval/score_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    lcf_evaluate_options evaluate;
    lcf_cli_texts require, slice_by;
    bool json;
} arguments;

/* "A=FILE" or "B=FILE" */
static lcf_status parse_latency(void *field, const char *text, lcf_err *err)
{
    const char **files = field, arm = text[0];

    if ((arm != 'A' && arm != 'B' && arm != 'a' && arm != 'b') || text[1] != '=' || !text[2])
        return LCF_FAIL(err, LCF_EUSAGE, "must be A=FILE or B=FILE, not '%s'", text);
    files[arm == 'B' || arm == 'b'] = text + 2;
    return LCF_OK;
}

static lcf_status parse_allow(void *field, const char *text, lcf_err *err)
{
    lcf_table_allow *a = field;
    const struct {
        const char *name;
        bool *flag;
    } what[] = {{"unmatched", &a->unmatched},
                {"duplicates", &a->duplicates},
                {"nan", &a->nan},
                {"one-class", &a->one_class},
                {"any-score", &a->any_score}};

    for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++)
        if (!strcmp(what[i].name, text)) {
            *what[i].flag = true;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EUSAGE,
                    "must be unmatched, duplicates, nan, one-class or any-score, not '%s'", text);
}

static const lcf_option OPTIONS[] = {
    {"a", "PATH",
     "The ranker to compare with (the baseline), or a plain file of its scores (.csv or .tsv, with "
     ".zst or without; columns key, user, label, score: schemas/scores.md)",
     1, LCF_OPT_TEXT(evaluate.arm_dir[0]), LCF_REQUIRED},
    {"b", "PATH", "The ranker in question, or a plain file of its scores", 1,
     LCF_OPT_TEXT(evaluate.arm_dir[1]), LCF_REQUIRED},
    {"dataset", "DIR",
     "The dataset of both; with it the report has slices: warm and cold users and items, length of "
     "history, popularity of the item, brands and categories",
     1, LCF_OPT_TEXT(evaluate.dataset_dir)},
    {"retrieved", "DIR",
     "What `llmcf retrieve` found for the dataset: slices with and without examples, and by the "
     "similarity of the best one",
     1, LCF_OPT_TEXT(evaluate.retrieved_dir)},
    {"slice-by", "FILE:COLUMN",
     "Slices by a column of a CSV (or .tsv) file that has a header row and one key column, "
     "user_id, item_id or row; may be given several times",
     1, LCF_OPT_TEXTS(slice_by)},
    {"vectors", "DIR",
     "Vectors of the dataset's items by `llmcf encode`, for the diversity of lists", 1,
     LCF_OPT_TEXT(evaluate.vectors_dir)},
    {"latency", "ARM=FILE",
     "How fast arm A or B answers: the lines that `llmcf rank --lines` printed for it; may be "
     "given once for each",
     1, LCF_OPT_PARSED(evaluate.latency_file, parse_latency)},
    {"out", "DIR", "The report; replaced in one step", 1, LCF_OPT_TEXT(evaluate.out_dir),
     LCF_REQUIRED},
    {"split", "NAME", "valid or test (default test)", 2,
     LCF_OPT_WORD(evaluate.split, "valid", "test")},
    {"stream", "HOW",
     "For plain files that are larger than memory, with the same rows in the same order: sketch "
     "(AUC up to a bound that is reported) or sort (exact, with temporary files); intervals are "
     "then from a jackknife over 32 groups of users",
     2, LCF_OPT_CHOICE(evaluate.stream, {"sketch", LCF_STREAM_SKETCH}, {"sort", LCF_STREAM_SORT})},
    {"allow", "WHAT",
     "What may be wrong with the rows, in any number: unmatched (rows that one arm alone has are "
     "dropped), duplicates (the first of each key is kept), nan (rows with such a score are "
     "dropped), one-class (what needs both classes is left out), any-score (scores are an order, "
     "no probabilities). The report counts what was dropped",
     2, LCF_OPT_PARSED(evaluate.allow, parse_allow)},
    {"require", "CONDITION",
     "A condition of the gate, such as 'auc_lift_low > 0'; may be given several times, all must "
     "hold",
     2, LCF_OPT_TEXTS(require)},
    {"replicates", "N", "Bootstrap replicates (default 2000)", 3,
     LCF_OPT_WHOLE(evaluate.replicates_n, 100, 1000000)},
    {"top", "K",
     "Lists of each user's best K rows, for HR, recall, precision, NDCG, MRR, MAP, novelty, "
     "popularity, diversity, coverage, Gini; 0 leaves them out (default 10)",
     2, LCF_OPT_WHOLE(evaluate.list_k, 0, 1000000)},
    {"permutations", "N",
     "Of the permutation test, in which users' arms change places; 0 leaves it out (default 1000)",
     3, LCF_OPT_WHOLE(evaluate.permutations_n, 0, 1000000)},
    {"self-test", "N",
     "A/A test: of N resamples in which the arms' runs are dealt out to users at random, how many "
     "does the interval tell apart? About 5 % should be (default 0: not done)",
     3, LCF_OPT_WHOLE(evaluate.self_test_n, 0, 1000000)},
    LCF_ROW_SEED(3, "Of the resampling (default 1)", evaluate.seed),
    LCF_ROW_SEEDS_HOW(3, evaluate.seeds_fixed),
    LCF_ROW_THREADS(4, "result is", evaluate.threads),
    LCF_ROW_FORCE(4, "report is", evaluate.force),
    LCF_ROW_JSON(4, "report.json on stdout"),
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

/* The names of the gate's figures, from the list that the gate itself uses, and examples. */
static void name_figures(lcf_buf *doc)
{
    lcf_buf_append_text(doc, "Names: ");
    lcf_evaluate_figure_names(doc);
    lcf_buf_append_text(doc, ".");
    lcf_buf_append_text(doc, EXAMPLE);
}

/* Rows of a stream meet once, in order: there is nothing to drop or match. */
static bool allows_more_than_nan(const lcf_table_allow *a)
{
    return a->unmatched || a->duplicates || a->one_class || a->any_score;
}

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;
    const lcf_evaluate_options *o = &a->evaluate;
    const bool a_plain = lcf_score_rows_named(o->arm_dir[0]);
    const bool b_plain = lcf_score_rows_named(o->arm_dir[1]);

    if (o->stream && !(a_plain && b_plain))
        argp_error(state, "--stream is for plain files of scores");
    if (o->stream && allows_more_than_nan(&o->allow))
        argp_error(state, "--stream allows nan alone");
    if (o->dataset_dir && (a_plain || b_plain))
        argp_error(state, "--dataset is for rankers: the rows of a plain file are not its");
    if ((o->retrieved_dir || o->vectors_dir || a->slice_by.n) && !o->dataset_dir)
        argp_error(state, "--retrieved, --vectors and --slice-by need --dataset");
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
    static const lcf_options options = {"evaluate", DOC, OPTIONS, check, name_figures};
    arguments a = {.evaluate = LCF_EVALUATE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *report = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err), printed;

    a.evaluate.require = a.require.list;
    a.evaluate.require_n = a.require.n;
    a.evaluate.slice_by = a.slice_by.list;
    a.evaluate.slice_by_n = a.slice_by.n;
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
