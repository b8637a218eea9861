/* llmcf prepare: a raw log into a dataset. Options only; the work is in offline/data/prepare.h. */
#include "offline/data/prepare.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD_ROWS_NAMED_MAX 50

typedef struct arguments {
    lcf_prepare_options prepare;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"input", "DIR", "The raw log (see above)", 1, LCF_OPT_TEXT(prepare.input_dir), LCF_REQUIRED},
    {"out", "DIR", "The dataset; replaced in one step", 1, LCF_OPT_TEXT(prepare.out_dir),
     LCF_REQUIRED},
    {"format", "NAME", "movielens or tsv (default: by the files that are there)", 1,
     LCF_OPT_CHOICE(prepare.format, {"movielens", LCF_RAW_MOVIELENS}, {"tsv", LCF_RAW_TSV})},
    {"fields", "FILE",
     "YAML schema of further fields of users, items and the context (schemas/fields.md)", 1,
     LCF_OPT_TEXT(prepare.fields)},
    {"history", "WHICH", "Events that stand in histories: all or liked (default all)", 2,
     LCF_OPT_CHOICE(prepare.samples.history_liked, {"all", false}, {"liked", true})},
    {"history-min", "N",
     "An interaction is a sample when at least N events stand in its history (default 1)", 2,
     LCF_OPT_WHOLE(prepare.samples.history_min, 0, LCF_HISTORY_MAX)},
    {"like", "RATING", "A rating of at least this is label 1 (default 4)", 2,
     LCF_OPT_REAL(prepare.samples.like, -1e6, 1e6)},
    {"split", "RULE",
     "time: the last shares of all samples by time; leave-last: of each user the last sample to "
     "test and the last but one to valid; column: as the log says, row by row (default: column "
     "where there is one, else time with ratings, leave-last without)",
     2,
     LCF_OPT_CHOICE(prepare.samples.split, {"time", LCF_SPLIT_TIME},
                    {"leave-last", LCF_SPLIT_LEAVE_LAST}, {"column", LCF_SPLIT_COLUMN})},
    {"valid-share", "SHARE", "Of the samples, with --split time (default 0.1)", 2,
     LCF_OPT_REAL(prepare.samples.valid_share, 0.0, 0.9)},
    {"test-share", "SHARE", "Of the samples, with --split time (default 0.1)", 2,
     LCF_OPT_REAL(prepare.samples.test_share, 0.0, 0.9)},
    {"max-bad-rows", "N",
     "Rows that cannot be read are named and left out; more than N of them fail the run (default "
     "0)",
     2, LCF_OPT_WHOLE(prepare.bad_rows_max, 0, INT64_MAX)},
    LCF_ROW_SEED(2, "Of the sampled negatives (default 2023)", prepare.samples.seed),
    LCF_ROW_FORCE(3, "dataset is", prepare.force),
    LCF_ROW_JSON(3, "the counts as JSON on stdout"),
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

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (a->prepare.samples.valid_share + a->prepare.samples.test_share >= 1.0)
        argp_error(state, "--valid-share and --test-share leave nothing to train on");
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
    static const lcf_options options = {"prepare", DOC, OPTIONS, check, NULL};
    arguments a = {LCF_PREPARE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    size_t named = 0;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status) {
        a.prepare.bad_row = name_bad_row;
        a.prepare.bad_row_arg = &named;
        status = lcf_prepare(&stats, &current, &a.prepare, &err);
    }
    if (named > BAD_ROWS_NAMED_MAX)
        fprintf(stderr, "... and %zu more rows like these\n", named - BAD_ROWS_NAMED_MAX);
    if (!status)
        print_summary(stats, a.prepare.out_dir, current);
    return lcf_cmd_finish("prepare", status, stats, a.json, &err);
}
