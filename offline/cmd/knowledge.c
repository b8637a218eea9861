/* llmcf knowledge: what chains of thought say about users and items. Options only; see
 * offline/encode/steps.h. */
#include "offline/encode/steps.h"

#include "common/base/cli.h"
#include "common/base/pool.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum {
    OPT_DATASET = 0x100,
    OPT_VECTORS,
    OPT_EXAMPLES,
    OPT_COT,
    OPT_OUT,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "What `llmcf prepare` made", 1},
    {"vectors", OPT_VECTORS, "DIR", 0, "Made by `llmcf encode`: its encoder is used", 1},
    {"examples", OPT_EXAMPLES, "DIR", 0, "Made by `llmcf index`: which records explain which row",
     1},
    {"cot", OPT_COT, "DIR", 0, "The store that `llmcf generate` fills", 1},
    {"out", OPT_OUT, "DIR", 0, "The knowledge; replaced in one step", 1},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     2},
    {"force", OPT_FORCE, NULL, 0, "Also when the knowledge is up to date", 2},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 2},
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

typedef struct arguments {
    lcf_knowledge_options knowledge;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_knowledge_options *o = &a->knowledge;

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
    case OPT_COT:
        o->cot_dir = text;
        return 0;
    case OPT_OUT:
        o->out_dir = text;
        return 0;
    case OPT_THREADS:
        o->threads = (size_t)lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->dataset_dir || !o->vectors_dir || !o->examples_dir || !o->cot_dir || !o->out_dir)
            argp_error(state, "--dataset, --vectors, --examples, --cot and --out are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

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
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {{NULL, NULL, NULL, NULL, NULL, 0, false}, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_cli_parse(&argp, "knowledge", argc, argv, &a, &err);

    lcf_flush_denormals();
    if (!status)
        status = lcf_knowledge_run(&stats, &current, &a.knowledge, &err);
    if (!status) {
        print_summary(stats, a.knowledge.out_dir, current);
        if (a.json)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    return lcf_cli_finish("knowledge", status, &err);
}
