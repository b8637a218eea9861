/* llmcf knowledge: what chains of thought say about users and items. Options only; see
 * offline/encode/steps.h. */
#include "offline/encode/steps.h"

#include "common/base/options.h"
#include "common/base/pool.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_knowledge_options knowledge;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    LCF_ROW_DATASET(knowledge.dataset_dir),
    {"vectors", "DIR", "Made by `llmcf encode`: its encoder is used", 1,
     LCF_OPT_TEXT(knowledge.vectors_dir), LCF_REQUIRED},
    {"examples", "DIR", "Made by `llmcf index`: which records explain which row", 1,
     LCF_OPT_TEXT(knowledge.examples_dir), LCF_REQUIRED},
    {"cot", "DIR", "The store that `llmcf generate` fills", 1, LCF_OPT_TEXT(knowledge.cot_dir),
     LCF_REQUIRED},
    {"out", "DIR", "The knowledge; replaced in one step", 1, LCF_OPT_TEXT(knowledge.out_dir),
     LCF_REQUIRED},
    LCF_ROW_THREADS(2, "result is", knowledge.threads),
    LCF_ROW_FORCE(2, "knowledge is", knowledge.force),
    LCF_ROW_JSON(2, "the counts as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Encodes what chains of thought say about their users and their items, as KAR takes it: the "
    "part of a record that describes the user, and the part that describes the target."
    "\v"
    "Only records of training rows count. For every user and item the mean of its records is kept "
    "after each of them, with its time: a row at time t sees what was known before t, and never "
    "the record that was written about it, whose words know its label.\n\n"
    "Writes DIR/knowledge.lcf, manifest.json (schemas/knowledge.md). `llmcf train --side kar` "
    "reads it.\n\n"
    "Example:\n"
    "  llmcf knowledge --dataset dataset --vectors vectors --examples examples \\\n"
    "    --cot cot --out knowledge";

static void print_summary(const json_t *stats, const char *out, bool current)
{
    fprintf(stderr, "%s: %lld profiles of %lld users, %lld descriptions of %lld items\n", out,
            lcf_cmd_count(stats, "profiles"), lcf_cmd_count(stats, "users"),
            lcf_cmd_count(stats, "descriptions"), lcf_cmd_count(stats, "items"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_knowledge(int argc, char **argv)
{
    static const lcf_options options = {"knowledge", DOC, OPTIONS, NULL, NULL};
    arguments a = {{NULL, NULL, NULL, NULL, NULL, 0, false}, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_flush_denormals();
    if (!status)
        status = lcf_knowledge_run(&stats, &current, &a.knowledge, &err);
    if (!status)
        print_summary(stats, a.knowledge.out_dir, current);
    return lcf_cmd_finish("knowledge", status, stats, a.json, &err);
}
