/*
 * llmcf cot-export: records of a chain-of-thought store as JSON lines or as text for people. The
 * work is in offline/recgen/generate.h.
 */
#include "offline/recgen/generate.h"

#include "common/base/cli.h"
#include "common/base/file.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_COT = 0x100, OPT_OUT, OPT_SAMPLE, OPT_SEED };

static const struct argp_option OPTIONS[] = {
    {"cot", OPT_COT, "DIR", 0, "The store that `llmcf generate` fills", 1},
    {"out", OPT_OUT, "FILE", 0, "Where to (default: stdout)", 1},
    {"sample", OPT_SAMPLE, "N", 0, "N records chosen by hash (default: all, in key order)", 1},
    {"seed", OPT_SEED, "N", 0, "Of --sample (default 1)", 1},
    {0},
};

static const char DOC[] =
    "Prints chain-of-thought records, one JSON object per line, with score and provenance."
    "\v"
    "Example, ten records to read:\n"
    "  llmcf cot-export --cot cot --sample 10 | jq -r '.score, .text'";

typedef struct arguments {
    const char *cot, *out;
    uint64_t sample, seed;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_COT:
        a->cot = text;
        return 0;
    case OPT_OUT:
        a->out = text;
        return 0;
    case OPT_SAMPLE:
        a->sample = lcf_cli_u64(state, "sample", text, 1, INT64_MAX);
        return 0;
    case OPT_SEED:
        a->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case ARGP_KEY_END:
        if (!a->cot)
            argp_error(state, "--cot is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static lcf_status export_to_file(uint64_t *written, const arguments *a, lcf_err *err)
{
    lcf_out *out = NULL;
    lcf_status status = lcf_out_open(&out, a->out, err);

    if (status)
        return status;
    status = lcf_cot_export(lcf_out_stream(out), written, a->cot, a->sample, a->seed, err);
    if (status) {
        lcf_out_abandon(out);
        return status;
    }
    return lcf_out_commit(out, err);
}

int lcf_cmd_cot_export(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {NULL, NULL, 0, 1};
    lcf_err err = LCF_ERR_INIT;
    uint64_t written = 0;
    lcf_status status = lcf_cli_parse(&argp, "cot-export", argc, argv, &a, &err);

    if (!status)
        status = a.out ? export_to_file(&written, &a, &err)
                       : lcf_cot_export(stdout, &written, a.cot, a.sample, a.seed, &err);
    if (!status)
        fprintf(stderr, "%llu records\n", (unsigned long long)written);
    return lcf_cli_finish("cot-export", status, &err);
}
