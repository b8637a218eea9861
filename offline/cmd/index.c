/* llmcf index: records and training rows to examples. Options only; see offline/encode/steps.h. */
#include "offline/encode/steps.h"

#include "common/base/options.h"
#include "common/base/pool.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_index_options index;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    LCF_ROW_DATASET(index.dataset_dir),
    {"cot", "DIR", "The store that `llmcf generate` fills", 1, LCF_OPT_TEXT(index.cot_dir),
     LCF_REQUIRED},
    {"vectors", "DIR", "Made by `llmcf encode` from both", 1, LCF_OPT_TEXT(index.vectors_dir),
     LCF_REQUIRED},
    {"out", "DIR", "The examples; replaced in one step", 1, LCF_OPT_TEXT(index.out_dir),
     LCF_REQUIRED},
    {"kind", "KIND",
     "flat: exact; hnsw, ivf or sq8: proposals that are scored again, and may miss examples "
     "(default flat)",
     2,
     LCF_OPT_CHOICE(index.kind, {"flat", LCF_FAISS_FLAT}, {"hnsw", LCF_FAISS_HNSW},
                    {"ivf", LCF_FAISS_IVF}, {"sq8", LCF_FAISS_SQ8})},
    {"reuse", NULL,
     "Indices that are not flat are grown by what is new, and lose what has gone, while their "
     "recall stays",
     2, LCF_OPT_FLAG(index.reuse)},
    LCF_ROW_FORCE(2, "examples are", index.force),
    LCF_ROW_JSON(2, "the counts as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Joins chains of thought with the training rows they explain: the in-context examples, and a "
    "FAISS index over them."
    "\v"
    "Left out and counted: records that were rejected (score 0), records of no training row of "
    "this "
    "dataset, and all but the best of several for one row. The order is by time, then key.\n\n"
    "An index that is not flat is searched as far as it takes to find 99 % of what the exact "
    "search "
    "finds for 256 of the examples' own rows; `retrieve` measures it again on its rows. Measure "
    "before "
    "choosing one: requests are answered from lists of neighbours, which are exact, and hundreds "
    "of "
    "rows at a time by one matrix product, which is fast.\n\n"
    "With --reuse such an index is grown by new rows and, but for hnsw, loses those that have "
    "gone, unless too much came or went since it was made from nothing, or it would have to be "
    "searched farther than before: then it is made anew, as without --reuse.\n\n"
    "Writes DIR/examples.lcf, faiss-0.index and faiss-1.index (one per label), manifest.json "
    "(schemas/examples.md).\n\n"
    "Example:\n"
    "  llmcf index --dataset dataset --cot cot --vectors vectors --out examples";

static void print_summary(const json_t *stats, const char *out, bool current)
{
    fprintf(stderr, "%s: %lld examples (%lld positive) of %lld records\n", out,
            lcf_cmd_count(stats, "examples"), lcf_cmd_count(stats, "positives"),
            lcf_cmd_count(stats, "records"));
    fprintf(stderr,
            "  left out: %lld rejected, %lld of no training row, %lld not the best of their row\n",
            lcf_cmd_count(stats, "rejected"), lcf_cmd_count(stats, "unmatched"),
            lcf_cmd_count(stats, "superseded"));
    if (json_object_get(stats, "kind"))
        fprintf(stderr, "  %s index, searched to %lld: recall %.4f on %lld queries\n",
                json_string_value(json_object_get(stats, "kind")), lcf_cmd_count(stats, "setting"),
                json_number_value(json_object_get(stats, "recall")),
                lcf_cmd_count(stats, "recall_queries"));
    if (json_object_get(stats, "query_us"))
        fprintf(stderr, "  %.0f us a query\n",
                json_number_value(json_object_get(stats, "query_us")));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_index(int argc, char **argv)
{
    static const lcf_options options = {"index", DOC, OPTIONS, NULL, NULL};
    arguments a = {{NULL, NULL, NULL, NULL, LCF_FAISS_FLAT, false, false}, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_flush_denormals();
    if (!status)
        status = lcf_index_run(&stats, &current, &a.index, &err);
    if (!status)
        print_summary(stats, a.index.out_dir, current);
    return lcf_cmd_finish("index", status, stats, a.json, &err);
}
