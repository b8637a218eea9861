/* llmcf retrieve: the examples of every row. Options only; the work is in offline/encode/steps.h.
 */
#include "offline/encode/steps.h"

#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

enum {
    OPT_DATASET = 0x100,
    OPT_VECTORS,
    OPT_EXAMPLES,
    OPT_CODES,
    OPT_OUT,
    OPT_K,
    OPT_MODE,
    OPT_BY,
    OPT_NO_BALANCE,
    OPT_CHECK_ROWS,
    OPT_SEED,
    OPT_THREADS,
    OPT_REUSE,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "What `llmcf prepare` made", 1},
    {"vectors", OPT_VECTORS, "DIR", 0, "Made by `llmcf encode`", 1},
    {"examples", OPT_EXAMPLES, "DIR", 0, "Made by `llmcf index`", 1},
    {"codes", OPT_CODES, "DIR", 0,
     "Made by `llmcf codes`: examples go by the bits in which the codes of users and of items "
     "agree, "
     "instead of --by",
     1},
    {"out", OPT_OUT, "DIR", 0, "The examples of every row; replaced in one step", 1},
    {"k", OPT_K, "N", 0, "Examples per row, at most 16 (default 4)", 2},
    {"mode", OPT_MODE, "MODE", 0,
     "same-user: a row's own user's examples must be earlier than it; strict: every example must "
     "(default same-user)",
     2},
    {"by", OPT_BY, "WHAT", 0,
     "both: 0.5 <history, history'> + 0.5 <target, target'>; history or target: that product alone "
     "(default both)",
     2},
    {"no-balance", OPT_NO_BALANCE, NULL, 0, "The best k instead of the best k/2 of each label", 2},
    {"check-rows", OPT_CHECK_ROWS, "N", 0,
     "Rows whose result is compared with the exact search (default 1000)", 3},
    {"seed", OPT_SEED, "N", 0, "Of the rows that are compared (default 1)", 3},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     3},
    {"reuse", OPT_REUSE, NULL, 0,
     "Rows of the result that is there are searched among new examples only, where that gives the "
     "same",
     3},
    {"force", OPT_FORCE, NULL, 0, "Also when the result is up to date", 3},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 3},
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

typedef struct arguments {
    lcf_retrieve_options retrieve;
    bool json;
} arguments;

static error_t parse_rule(int key, char *text, struct argp_state *state, lcf_retrieve_options *o)
{
    switch (key) {
    case OPT_K:
        o->rule.k = (uint32_t)lcf_cli_u64(state, "k", text, 1, LCF_EXAMPLES_K_MAX);
        return 0;
    case OPT_MODE:
        if (lcf_retrieval_mode_parse(&o->rule.mode, text, NULL))
            argp_error(state, "--mode must be same-user or strict, not '%s'", text);
        return 0;
    case OPT_BY:
        if (lcf_retrieval_by_parse(&o->rule.by, text, NULL) || o->rule.by == LCF_RETRIEVE_BY_CODES)
            argp_error(state, "--by must be both, history or target, not '%s'", text);
        return 0;
    case OPT_NO_BALANCE:
        o->rule.balanced = false;
        return 0;
    case OPT_CHECK_ROWS:
        o->check_rows = lcf_cli_u64(state, "check-rows", text, 0, INT32_MAX);
        return 0;
    case OPT_SEED:
        o->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_retrieve_options *o = &a->retrieve;

    switch (key) {
    case OPT_DATASET:
        o->dataset_dir = text;
        return 0;
    case OPT_VECTORS:
        o->vectors_dir = text;
        return 0;
    case OPT_EXAMPLES:
        o->examples_dir = text;
        return 0;
    case OPT_CODES:
        o->codes_dir = text;
        return 0;
    case OPT_OUT:
        o->out_dir = text;
        return 0;
    case OPT_THREADS:
        o->threads = lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    case OPT_REUSE:
        o->reuse = true;
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->dataset_dir || !o->vectors_dir || !o->examples_dir || !o->out_dir)
            argp_error(state, "--dataset, --vectors, --examples and --out are needed");
        if (o->codes_dir && o->rule.by != LCF_RETRIEVE_BY_BOTH)
            argp_error(state, "--by is about vectors; with --codes examples go by codes");
        if (o->codes_dir)
            o->rule.by = LCF_RETRIEVE_BY_CODES;
        return 0;
    default:
        return parse_rule(key, text, state, o);
    }
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
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {LCF_RETRIEVE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_cli_parse(&argp, "retrieve", argc, argv, &a, &err);

    lcf_stop_install();
    lcf_flush_denormals(); /* as the workers do */
    if (!status)
        status = lcf_retrieve_run(&stats, &current, &a.retrieve, &err);
    if (!status) {
        print_summary(stats, a.retrieve.out_dir, current);
        if (a.json)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    return lcf_cli_finish("retrieve", status, &err);
}
