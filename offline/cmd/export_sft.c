/* llmcf export-sft: a mixture for another trainer. Options only; the work is in
 * offline/recgen/export_sft.h. */
#include "offline/recgen/export_sft.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/mixture_options.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_DATASET = 0x100, OPT_OUT, OPT_ROWS, OPT_SEED, OPT_FORCE, OPT_JSON };

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "What `llmcf prepare` made", 1},
    {"out", OPT_OUT, "DIR", 0, "The files; replaced in one step", 1},
    {"rows", OPT_ROWS, "N", 0,
     "Rows of the mixture (default: as many as its sources have together)", 1},
    {"seed", OPT_SEED, "N", 0, "Of the order and the wording (default 1)", 1},
    {"force", OPT_FORCE, NULL, 0, "Also when the files are up to date", 1},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 1},
    {0},
};

static const char DOC[] =
    "Writes a tuning mixture as instructions and conversations, for a trainer that has the "
    "machines for a large model."
    "\v"
    "The rows are those that `llmcf tune` would draw from the same sources with the same seed, "
    "each as an Alpaca instruction (OUT/alpaca.json) and as a ShareGPT conversation "
    "(OUT/sharegpt.json). OUT/dataset_info.json is what LLaMA-Factory finds them by. What comes "
    "back goes through `llmcf import`.\n\n"
    "Example:\n"
    "  llmcf export-sft --dataset dataset --template llama2 --out sft \\\n"
    "    --source decide --source explain --source alpaca:alpaca.json --mix rec=0.5";

typedef struct arguments {
    lcf_export_sft_options export;
    lcf_mixture_options unused; /* the tokens of a row are the other trainer's business */
    lcf_mixture_arguments mixture;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_export_sft_options *o = &a->export;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->mixture;
        return 0;
    case OPT_DATASET:
        o->dataset = text;
        return 0;
    case OPT_OUT:
        o->out = text;
        return 0;
    case OPT_ROWS:
        o->rows = lcf_cli_u64(state, "rows", text, 1, UINT32_MAX);
        return 0;
    case OPT_SEED:
        o->sources.seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->out || (!o->dataset && !o->sources.n))
            argp_error(state, "--out and --dataset or a --source are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_summary(const json_t *stats, const char *out)
{
    const char *kind;
    const json_t *rows;

    if (!stats)
        fprintf(stderr, "%s: up to date, nothing done (--force makes it again)\n", out);
    else
        fprintf(stderr, "%s:\n", out);
    json_object_foreach((json_t *)(uintptr_t)stats, kind, rows)
        fprintf(stderr, "  %-9s %9lld rows\n", kind, (long long)json_integer_value(rows));
}

int lcf_cmd_export_sft(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {&LCF_MIXTURE_ARGP, 0, "What the mixture is made of:", 5}, {0}};
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, children, NULL, NULL};
    arguments a = {.export.sources = LCF_SOURCES_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    json_t *stats = NULL;
    bool current = false;
    lcf_status status;

    a.mixture = (lcf_mixture_arguments){&a.export.sources, &a.unused};
    status = lcf_cli_parse(&argp, "export-sft", argc, argv, &a, &err);
    lcf_stop_install();
    if (!status)
        status = lcf_export_sft(&stats, &current, &a.export, &err);
    if (!status) {
        print_summary(stats, a.export.out);
        if (a.json && stats)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    return lcf_cli_finish("export-sft", status, &err);
}
