/* llmcf export-sft: a mixture for another trainer. Options only; the work is in
 * offline/recgen/export_sft.h. */
#include "offline/recgen/export_sft.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/mixture_options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_export_sft_options export;
    lcf_mixture_options unused; /* the tokens of a row are the other trainer's business */
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"dataset", "DIR", "What `llmcf prepare` made", 1, LCF_OPT_TEXT(export.dataset)},
    {"out", "DIR", "The files; replaced in one step", 1, LCF_OPT_TEXT(export.out), LCF_REQUIRED},
    {"rows", "N", "Rows of the mixture (default: as many as its sources have together)", 1,
     LCF_OPT_WHOLE(export.rows, 1, UINT32_MAX)},
    LCF_ROW_SEED(1, "Of the order and the wording (default 1)", export.sources.seed),
    LCF_ROW_FORCE(1, "files are", export.force),
    LCF_ROW_JSON(1, "the counts as JSON on stdout"),
    {.help = "What the mixture is made of:", .group = 5, LCF_OPT_MIXTURE(export.sources, unused)},
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

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (!a->export.dataset && !a->export.sources.n)
        argp_error(state, "--dataset or a --source is needed");
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
    static const lcf_options options = {"export-sft", DOC, OPTIONS, check, NULL};
    arguments a = {.export.sources = LCF_SOURCES_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    json_t *stats = NULL;
    bool current = false;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

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
