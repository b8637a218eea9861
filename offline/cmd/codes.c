/* llmcf codes: users and items as a few bits each. Options only; the work is in
 * offline/recgen/run_codes.h. */
#include "offline/recgen/run_codes.h"

#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_codes_options codes;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    LCF_ROW_DATASET(codes.dataset),
    {"ranker", "FILE",
     "Weights of `llmcf train --backbone binmf` or binlightgcn on it, such as binmf/best.lcf", 1,
     LCF_OPT_TEXT(codes.ranker), LCF_REQUIRED},
    {"out", "DIR", "The codes; replaced in one step", 1, LCF_OPT_TEXT(codes.out), LCF_REQUIRED},
    {"tokenizer", "GGUF", "Also count the tokens that codes take as text", 2,
     LCF_OPT_TEXT(codes.tokenizer)},
    LCF_ROW_FORCE(3, "codes are", codes.force),
    LCF_ROW_JSON(3, "the counts as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Writes the binary codes of users and items that a trained binmf or binlightgcn has: what "
    "collaborative "
    "filtering knows of them, short enough for a prompt."
    "\v"
    "Writes DIR/codes.lcf, manifest.json (schemas/codes.md). As text a code is its bits, or a "
    "number for each byte with dots between.\n\n"
    "Example:\n"
    "  llmcf train --backbone binmf --dataset dataset --out binmf\n"
    "  llmcf codes --dataset dataset --ranker binmf/best.lcf --out codes";

/* What the codes of users, or of items, tell apart. */
static void print_kind(const json_t *stats, const char *kind)
{
    const json_t *bit;
    char name[32];
    size_t i, dead = 0;

    snprintf(name, sizeof(name), "%s_bit_entropy", kind);
    json_array_foreach(json_object_get(stats, name), i, bit) dead += json_number_value(bit) < 0.01;
    snprintf(name, sizeof(name), "%ss", kind);
    fprintf(stderr, "  %8lld %s, ", lcf_cmd_count(stats, name), name);
    snprintf(name, sizeof(name), "distinct_%ss", kind);
    fprintf(stderr, "%lld different codes", lcf_cmd_count(stats, name));
    snprintf(name, sizeof(name), "%s_entropy", kind);
    fprintf(stderr, " (%.1f bits of entropy), %zu bits are nearly always the same",
            lcf_cmd_real(stats, name), dead);
    snprintf(name, sizeof(name), "%s_ones", kind);
    fprintf(stderr, ", %.1f %% of all are 1\n", 100 * lcf_cmd_real(stats, name));
}

static void print_summary(const json_t *stats, const char *out, bool current)
{
    const json_t *tokens = json_object_get(stats, "tokens");

    fprintf(stderr, "%s: codes of %lld bits\n", out, lcf_cmd_count(stats, "bits"));
    print_kind(stats, "user");
    print_kind(stats, "item");
    if (tokens)
        fprintf(stderr, "  as text: %.1f tokens as bits, %.1f dotted\n",
                lcf_cmd_real(tokens, "bits"), lcf_cmd_real(tokens, "dotted"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_codes(int argc, char **argv)
{
    static const lcf_options options = {"codes", DOC, OPTIONS, NULL, NULL};
    arguments a = {0};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status)
        status = lcf_codes_step(&stats, &current, &a.codes, &err);
    if (!status)
        print_summary(stats, a.codes.out, current);
    return lcf_cmd_finish("codes", status, stats, a.json, &err);
}
