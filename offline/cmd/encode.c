/* llmcf encode: texts to vectors. Options only; the work is in offline/encode/steps.h. */
#include "offline/encode/steps.h"

#include "common/base/options.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_encode_options encode;
    bool no_cot, json;
} arguments;

static const lcf_option OPTIONS[] = {
    LCF_ROW_DATASET(encode.dataset_dir),
    {"cot", "DIR", "The store that `llmcf generate` fills", 1, LCF_OPT_TEXT(encode.cot_dir)},
    {"no-cot", NULL, "Item texts only; no cots.lcf is written", 1, LCF_OPT_FLAG(no_cot)},
    {"out", "DIR", "The vectors; replaced in one step", 1, LCF_OPT_TEXT(encode.out_dir),
     LCF_REQUIRED},
    {"encoder", "FILE.gguf",
     "A BERT text encoder (bge, MiniLM, ...) instead of the lexical one; the options below are for "
     "that",
     2, LCF_OPT_TEXT(encode.encoder)},
    {"dim", "N", "Dimensions of a vector (default 256)", 2,
     LCF_OPT_WHOLE(encode.lexical.dim, 1, 4096)},
    {"bits", "N", "2^N hash buckets for n-grams (default 17)", 2,
     LCF_OPT_WHOLE(encode.lexical.bits, 8, 24)},
    {"iterations", "N", "Power iterations of the SVD (default 2)", 2,
     LCF_OPT_WHOLE(encode.lexical.iterations, 0, 100)},
    {"texts-max", "N", "Fit on as many texts, evenly spread over all; 0 = on all (default 20000)",
     2, LCF_OPT_WHOLE(encode.lexical.texts_max, 0, INT32_MAX)},
    LCF_ROW_SEED(2, "Of the SVD's random start (default 1)", encode.lexical.seed),
    LCF_ROW_THREADS(3, "vectors are", encode.threads),
    LCF_ROW_FORCE(3, "vectors are", encode.force),
    {"reuse", NULL, "Keep an encoder that was fitted on earlier texts, and encode only what is new",
     3, LCF_OPT_FLAG(encode.reuse)},
    LCF_ROW_JSON(3, "the counts as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Turns item texts and chains of thought into vectors of unit length."
    "\v"
    "The encoder is lexical: hashed word 1-2-grams and character 3-5-grams, weighted by TF-IDF and "
    "projected by a truncated SVD, fitted on these very texts. It needs no weights from "
    "anywhere. With --encoder it is a BERT in a GGUF file instead (architecture bert; mean or "
    "[CLS] "
    "pooling, as the file says), which is copied beside the vectors.\n\n"
    "Reads the catalogue of the dataset and the records of the store that were not rejected. "
    "Writes DIR/encoder.lcf, items.lcf (by item; row 0, the unknown item, is zero), cots.lcf (by "
    "record key), manifest.json (schemas/embeddings.md).\n\n"
    "Examples:\n"
    "  llmcf encode --dataset dataset --cot cot --out vectors\n"
    "  llmcf encode --dataset dataset --cot cot --encoder bge-small.gguf --out v";

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (a->no_cot == (a->encode.cot_dir != NULL))
        argp_error(state, "either --cot or --no-cot is needed");
}

static void print_summary(const json_t *stats, const char *out, bool current)
{
    fprintf(stderr, "%s: %lld items and %lld records in %lld dimensions", out,
            lcf_cmd_count(stats, "items"), lcf_cmd_count(stats, "records"),
            lcf_cmd_count(stats, "dimensions"));
    if (lcf_cmd_count(stats, "rejected"))
        fprintf(stderr, ", %lld rejected records left out", lcf_cmd_count(stats, "rejected"));
    fprintf(stderr, "\n%s", current ? "  up to date, nothing done (--force makes it again)\n" : "");
}

int lcf_cmd_encode(int argc, char **argv)
{
    static const lcf_options options = {"encode", DOC, OPTIONS, check, NULL};
    arguments a = {LCF_ENCODE_OPTIONS_INIT, false, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    lcf_flush_denormals(); /* as the workers do */
    if (!status)
        status = lcf_encode_run(&stats, &current, &a.encode, &err);
    if (!status)
        print_summary(stats, a.encode.out_dir, current);
    return lcf_cmd_finish("encode", status, stats, a.json, &err);
}
