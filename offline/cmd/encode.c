/* llmcf encode: texts to vectors. Options only; the work is in offline/encode/steps.h. */
#include "offline/encode/steps.h"

#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum {
    OPT_DATASET = 0x100,
    OPT_COT,
    OPT_NO_COT,
    OPT_OUT,
    OPT_ENCODER,
    OPT_DIM,
    OPT_BITS,
    OPT_ITERATIONS,
    OPT_TEXTS_MAX,
    OPT_SEED,
    OPT_THREADS,
    OPT_FORCE,
    OPT_REUSE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "What `llmcf prepare` made", 1},
    {"cot", OPT_COT, "DIR", 0, "The store that `llmcf generate` fills", 1},
    {"no-cot", OPT_NO_COT, NULL, 0, "Item texts only; no cots.lcf is written", 1},
    {"out", OPT_OUT, "DIR", 0, "The vectors; replaced in one step", 1},
    {"encoder", OPT_ENCODER, "FILE.gguf", 0,
     "A BERT text encoder (bge, MiniLM, ...) instead of the lexical one; the options below are for "
     "that",
     2},
    {"dim", OPT_DIM, "N", 0, "Dimensions of a vector (default 256)", 2},
    {"bits", OPT_BITS, "N", 0, "2^N hash buckets for n-grams (default 17)", 2},
    {"iterations", OPT_ITERATIONS, "N", 0, "Power iterations of the SVD (default 2)", 2},
    {"texts-max", OPT_TEXTS_MAX, "N", 0,
     "Fit on as many texts, evenly spread over all; 0 = on all (default 20000)", 2},
    {"seed", OPT_SEED, "N", 0, "Of the SVD's random start (default 1)", 2},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the vectors are the same (default 0)",
     3},
    {"force", OPT_FORCE, NULL, 0, "Also when the vectors are up to date", 3},
    {"reuse", OPT_REUSE, NULL, 0,
     "Keep an encoder that was fitted on earlier texts, and encode only what is new", 3},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 3},
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

typedef struct arguments {
    lcf_encode_options encode;
    bool no_cot, json;
} arguments;

static error_t parse_lexical(int key, char *text, struct argp_state *state, lcf_lexical_options *l)
{
    switch (key) {
    case OPT_DIM:
        l->dim = lcf_cli_u64(state, "dim", text, 1, 4096);
        return 0;
    case OPT_BITS:
        l->bits = (uint32_t)lcf_cli_u64(state, "bits", text, 8, 24);
        return 0;
    case OPT_ITERATIONS:
        l->iterations = lcf_cli_u64(state, "iterations", text, 0, 100);
        return 0;
    case OPT_TEXTS_MAX:
        l->texts_max = lcf_cli_u64(state, "texts-max", text, 0, INT32_MAX);
        return 0;
    case OPT_SEED:
        l->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void check(const arguments *a, struct argp_state *state)
{
    if (!a->encode.dataset_dir || !a->encode.out_dir)
        argp_error(state, "--dataset and --out are needed");
    if (a->no_cot == (a->encode.cot_dir != NULL))
        argp_error(state, "either --cot or --no-cot is needed");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_DATASET:
        a->encode.dataset_dir = text;
        return 0;
    case OPT_COT:
        a->encode.cot_dir = text;
        return 0;
    case OPT_NO_COT:
        a->no_cot = true;
        return 0;
    case OPT_OUT:
        a->encode.out_dir = text;
        return 0;
    case OPT_ENCODER:
        a->encode.encoder = text;
        return 0;
    case OPT_THREADS:
        a->encode.threads = lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    case OPT_FORCE:
        a->encode.force = true;
        return 0;
    case OPT_REUSE:
        a->encode.reuse = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        check(a, state);
        return 0;
    default:
        return parse_lexical(key, text, state, &a->encode.lexical);
    }
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
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {LCF_ENCODE_OPTIONS_INIT, false, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_cli_parse(&argp, "encode", argc, argv, &a, &err);

    lcf_stop_install();
    lcf_flush_denormals(); /* as the workers do */
    if (!status)
        status = lcf_encode_run(&stats, &current, &a.encode, &err);
    if (!status) {
        print_summary(stats, a.encode.out_dir, current);
        if (a.json)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    return lcf_cli_finish("encode", status, &err);
}
