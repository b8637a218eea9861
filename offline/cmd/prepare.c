/* llmcf prepare: a raw log into a dataset. Options only; the work is in offline/data/prepare.h. */
#include "offline/data/prepare.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD_ROWS_NAMED_MAX 50

enum {
    OPT_INPUT = 0x100,
    OPT_OUT,
    OPT_FORMAT,
    OPT_FIELDS,
    OPT_HISTORY,
    OPT_HISTORY_MIN,
    OPT_LIKE,
    OPT_SPLIT,
    OPT_VALID_SHARE,
    OPT_TEST_SHARE,
    OPT_MAX_BAD_ROWS,
    OPT_SEED,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"input", OPT_INPUT, "DIR", 0, "The raw log (see above)", 1},
    {"out", OPT_OUT, "DIR", 0, "The dataset; replaced in one step", 1},
    {"format", OPT_FORMAT, "NAME", 0, "movielens or tsv (default: by the files that are there)", 1},
    {"fields", OPT_FIELDS, "FILE", 0,
     "YAML schema of further fields of users, items and the context (schemas/fields.md)", 1},
    {"history", OPT_HISTORY, "WHICH", 0,
     "Events that stand in histories: all or liked (default all)", 2},
    {"history-min", OPT_HISTORY_MIN, "N", 0,
     "An interaction is a sample when at least N events stand in its history (default 1)", 2},
    {"like", OPT_LIKE, "RATING", 0, "A rating of at least this is label 1 (default 4)", 2},
    {"split", OPT_SPLIT, "RULE", 0,
     "time: the last shares of all samples by time; leave-last: of each user the last sample to "
     "test and the last but one to valid; column: as the log says, row by row (default: column "
     "where there is one, else time with ratings, leave-last without)",
     2},
    {"valid-share", OPT_VALID_SHARE, "SHARE", 0, "Of the samples, with --split time (default 0.1)",
     2},
    {"test-share", OPT_TEST_SHARE, "SHARE", 0, "Of the samples, with --split time (default 0.1)",
     2},
    {"max-bad-rows", OPT_MAX_BAD_ROWS, "N", 0,
     "Rows that cannot be read are named and left out; more than N of them fail the run (default "
     "0)",
     2},
    {"seed", OPT_SEED, "N", 0, "Of the sampled negatives (default 2023)", 2},
    {"force", OPT_FORCE, NULL, 0, "Also when the dataset is up to date", 3},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 3},
    {0},
};

static const char DOC[] =
    "Turns a raw interaction log into a dataset: id maps, histories of the 20 events before, "
    "labels, time-safe splits."
    "\v"
    "Reads one of\n"
    "  movielens  DIR/ratings.csv (userId,movieId,rating,timestamp), DIR/movies.csv "
    "(movieId,title,genres)\n"
    "  tsv        DIR/interactions.tsv (user_id, item_id, timestamp[, rating, split]), "
    "DIR/items.tsv "
    "(item_id, title[, brand, categories, text]); categories are split by '|'\n"
    "Columns are found by the names in the header row. Labels are ratings of at least --like; "
    "without ratings every interaction is a positive and brings one negative, drawn from the items "
    "its user never touched.\n\n"
    "With --fields also what the schema names: columns of DIR/users.tsv (user_id, ...), further "
    "columns of the item list and of the interactions (the context of a decision), vectors from "
    "files.\n\n"
    "Writes DIR/items.lcf, users.lcf, samples.lcf, fields.lcf where there are fields, "
    "manifest.json (schemas/dataset.md).\n\n"
    "Example:\n"
    "  llmcf prepare --input ml-latest-small --out dataset\n"
    "  llmcf prepare --input shop --fields shop/fields.yaml --out dataset";

typedef struct arguments {
    lcf_prepare_options prepare;
    bool json;
} arguments;

static error_t parse_sampling(int key, char *text, struct argp_state *state, lcf_sample_options *s)
{
    switch (key) {
    case OPT_HISTORY:
        s->history_liked = lcf_cli_choice(state, "history", text, "all", "liked", NULL);
        return 0;
    case OPT_HISTORY_MIN:
        s->history_min = (uint32_t)lcf_cli_u64(state, "history-min", text, 0, LCF_HISTORY_MAX);
        return 0;
    case OPT_LIKE:
        s->like = lcf_cli_f64(state, "like", text, -1e6, 1e6);
        return 0;
    case OPT_SPLIT:
        s->split = (lcf_split_rule)(LCF_SPLIT_TIME + lcf_cli_choice(state, "split", text, "time",
                                                                    "leave-last", "column", NULL));
        return 0;
    case OPT_VALID_SHARE:
        s->valid_share = lcf_cli_f64(state, "valid-share", text, 0.0, 0.9);
        return 0;
    case OPT_TEST_SHARE:
        s->test_share = lcf_cli_f64(state, "test-share", text, 0.0, 0.9);
        return 0;
    case OPT_SEED:
        s->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void check(const arguments *a, struct argp_state *state)
{
    if (!a->prepare.input_dir || !a->prepare.out_dir)
        argp_error(state, "--input and --out are needed");
    if (a->prepare.samples.valid_share + a->prepare.samples.test_share >= 1.0)
        argp_error(state, "--valid-share and --test-share leave nothing to train on");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_INPUT:
        a->prepare.input_dir = text;
        return 0;
    case OPT_OUT:
        a->prepare.out_dir = text;
        return 0;
    case OPT_FORMAT:
        a->prepare.format =
            (lcf_raw_format)(LCF_RAW_MOVIELENS +
                             lcf_cli_choice(state, "format", text, "movielens", "tsv", NULL));
        return 0;
    case OPT_FIELDS:
        a->prepare.fields = text;
        return 0;
    case OPT_MAX_BAD_ROWS:
        a->prepare.bad_rows_max = lcf_cli_u64(state, "max-bad-rows", text, 0, INT64_MAX);
        return 0;
    case OPT_FORCE:
        a->prepare.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        check(a, state);
        return 0;
    default:
        return parse_sampling(key, text, state, &a->prepare.samples);
    }
}

static void name_bad_row(void *arg, const char *file, size_t line, const char *reason)
{
    size_t *named = arg;

    if (++*named <= BAD_ROWS_NAMED_MAX)
        fprintf(stderr, "%s:%zu: %s\n", file, line, reason);
}

static void print_summary(const json_t *stats, const char *out, bool current)
{
    fprintf(stderr, "%s: %lld users, %lld items, %lld brands, %lld categories, %lld interactions\n",
            out, lcf_cmd_count(stats, "users"), lcf_cmd_count(stats, "items"),
            lcf_cmd_count(stats, "brands"), lcf_cmd_count(stats, "categories"),
            lcf_cmd_count(stats, "interactions"));
    for (int i = 0; i < 3; i++) {
        const json_t *split = json_object_get(stats, LCF_SPLIT_NAMES[i]);
        long long n = lcf_cmd_count(split, "samples"),
                  positives = lcf_cmd_count(split, "positives");

        fprintf(stderr, "  %-5s %8lld samples, %.1f %% positive\n", LCF_SPLIT_NAMES[i], n,
                n ? 100.0 * (double)positives / (double)n : 0.0);
    }
    if (lcf_cmd_count(stats, "unknown_items"))
        fprintf(stderr, "  %lld items of the log are not in the item list: empty titles\n",
                lcf_cmd_count(stats, "unknown_items"));
    if (lcf_cmd_count(stats, "bad_rows"))
        fprintf(stderr, "  %lld rows could not be read and were left out\n",
                lcf_cmd_count(stats, "bad_rows"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_prepare(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {LCF_PREPARE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    size_t named = 0;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_cli_parse(&argp, "prepare", argc, argv, &a, &err);

    if (!status) {
        a.prepare.bad_row = name_bad_row;
        a.prepare.bad_row_arg = &named;
        status = lcf_prepare(&stats, &current, &a.prepare, &err);
    }
    if (named > BAD_ROWS_NAMED_MAX)
        fprintf(stderr, "... and %zu more rows like these\n", named - BAD_ROWS_NAMED_MAX);
    if (!status) {
        print_summary(stats, a.prepare.out_dir, current);
        if (a.json)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    return lcf_cli_finish("prepare", status, &err);
}
