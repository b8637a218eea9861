/* llmcf retrieve: the examples of every row. Options only; the work is in offline/encode/steps.h.
 */
#include "offline/encode/steps.h"

#include "common/base/options.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    lcf_retrieve_options retrieve;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    LCF_ROW_DATASET(retrieve.dataset_dir),
    {"vectors", "DIR", "Made by `llmcf encode`", 1, LCF_OPT_TEXT(retrieve.vectors_dir),
     LCF_REQUIRED},
    {"examples", "DIR", "Made by `llmcf index`", 1, LCF_OPT_TEXT(retrieve.examples_dir),
     LCF_REQUIRED},
    {"codes", "DIR",
     "Made by `llmcf codes`: examples go by the bits in which the codes of users and of items "
     "agree, instead of --by",
     1, LCF_OPT_TEXT(retrieve.codes_dir)},
    {"out", "DIR", "The examples of every row; replaced in one step", 1,
     LCF_OPT_TEXT(retrieve.out_dir), LCF_REQUIRED},
    {"k", "N", "Examples per row, at most 16 (default 4)", 2,
     LCF_OPT_WHOLE(retrieve.rule.k, 1, LCF_EXAMPLES_K_MAX)},
    {"mode", "MODE",
     "same-user: a row's own user's examples must be earlier than it; strict: every example must "
     "(default same-user)",
     2,
     LCF_OPT_CHOICE(retrieve.rule.mode, {"same-user", LCF_RETRIEVE_SAME_USER},
                    {"strict", LCF_RETRIEVE_STRICT})},
    {"by", "WHAT",
     "both: 0.5 <history, history'> + 0.5 <target, target'>; history or target: that product alone "
     "(default both)",
     2,
     LCF_OPT_CHOICE(retrieve.rule.by, {"both", LCF_RETRIEVE_BY_BOTH},
                    {"history", LCF_RETRIEVE_BY_HISTORY}, {"target", LCF_RETRIEVE_BY_TARGET})},
    {"no-balance", NULL, "The best k instead of the best k/2 of each label", 2,
     LCF_OPT_CLEAR(retrieve.rule.balanced)},
    {"check-rows", "N", "Rows whose result is compared with the exact search (default 1000)", 3,
     LCF_OPT_WHOLE(retrieve.check_rows, 0, INT32_MAX)},
    LCF_ROW_SEED(3, "Of the rows that are compared (default 1)", retrieve.seed),
    LCF_ROW_THREADS(3, "result is", retrieve.threads),
    {"reuse", NULL,
     "Rows of the result that is there are searched among new examples only, where that gives the "
     "same",
     3, LCF_OPT_FLAG(retrieve.reuse)},
    LCF_ROW_FORCE(3, "result is", retrieve.force),
    LCF_ROW_JSON(3, "the counts as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Finds the most similar examples for every row of all splits."
    "\v"
    "Similarity is 0.5 <history, history'> + 0.5 <target, target'>, what --by says, or how far "
    "--codes agree (1 - 2 differing bits / bits, half for users and half for items). A row never "
    "gets itself, nor, by --mode, what lies in its future; each result is held against that rule "
    "before it is written.\n\n"
    "Writes DIR/retrieved.lcf, manifest.json (schemas/retrieved.md), and in valid.lcf and test.lcf "
    "what the examples' labels alone predict: the share of positive ones, weighted by similarity. "
    "`llmcf evaluate` takes that like a ranker's predictions; a plain nearest-neighbour rival is "
    "`--k 16 --no-balance`.\n\n"
    "Example:\n"
    "  llmcf retrieve --dataset dataset --vectors vectors \\\n"
    "    --examples examples --out retrieved";

static void check(void *input, struct argp_state *state)
{
    arguments *a = input;
    lcf_retrieve_options *o = &a->retrieve;

    if (o->codes_dir && o->rule.by != LCF_RETRIEVE_BY_BOTH)
        argp_error(state, "--by is about vectors; with --codes examples go by codes");
    if (o->codes_dir)
        o->rule.by = LCF_RETRIEVE_BY_CODES;
}

static void print_summary(const json_t *stats, const char *out, bool current)
{
    const json_t *rule = json_object_get(stats, "rule");

    fprintf(stderr, "%s: %lld examples each for %lld rows, out of %lld, by the %s rule\n", out,
            lcf_cmd_count(rule, "k"), lcf_cmd_count(stats, "rows"),
            lcf_cmd_count(stats, "examples"), json_string_value(json_object_get(rule, "mode")));
    fprintf(stderr, "  %lld rows have fewer; recall against the exact search on %lld rows: %.4f\n",
            lcf_cmd_count(stats, "short_rows"), lcf_cmd_count(stats, "checked_rows"),
            json_number_value(json_object_get(stats, "recall")));
    fprintf(stderr, "  the examples' labels alone: valid AUC %.4f, test AUC %.4f\n",
            json_number_value(json_object_get(stats, "vote_valid_auc")),
            json_number_value(json_object_get(stats, "vote_test_auc")));
    if (json_object_get(stats, "searched_rows"))
        fprintf(stderr, "  %lld rows searched anew, the others among %lld new examples\n",
                lcf_cmd_count(stats, "searched_rows"), lcf_cmd_count(stats, "new_examples"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_retrieve(int argc, char **argv)
{
    static const lcf_options options = {"retrieve", DOC, OPTIONS, check, NULL};
    arguments a = {LCF_RETRIEVE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    lcf_flush_denormals(); /* as the workers do */
    if (!status)
        status = lcf_retrieve_run(&stats, &current, &a.retrieve, &err);
    if (!status)
        print_summary(stats, a.retrieve.out_dir, current);
    return lcf_cmd_finish("retrieve", status, stats, a.json, &err);
}
