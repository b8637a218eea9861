/* llmcf arm: runs of one system as one arm. Options only; the work is in offline/eval/arm_runs.h.
 */
#include "offline/eval/arm_runs.h"

#include "common/base/cli.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_OUT = 0x100, OPT_FORCE, OPT_JSON };

static const struct argp_option OPTIONS[] = {
    {"out", OPT_OUT, "DIR", 0, "The arm; replaced in one step", 1},
    {"force", OPT_FORCE, NULL, 0, "Also when the result is up to date", 2},
    {"json", OPT_JSON, NULL, 0, "Print the number of seeds as JSON on stdout", 2},
    {0},
};

static const char DOC[] =
    "Puts the predictions of several runs of one system into one arm, a seed for each."
    "\v"
    "RUN is a folder with valid.lcf or test.lcf, as `llmcf judge` writes for one tuned model; all "
    "are about the same rows. `llmcf compare` and `llmcf evaluate` take the arm like a ranker that "
    "was trained with as many seeds, numbered from 1 in the order of the runs.\n\n"
    "Example:\n"
    "  llmcf arm judged-1 judged-2 judged-3 --out binllm\n"
    "  llmcf compare --baseline din binllm --out compare";

typedef struct arguments {
    lcf_arm_options arm;
    lcf_cli_texts runs;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_OUT:
        a->arm.out = text;
        return 0;
    case OPT_FORCE:
        a->arm.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        lcf_cli_texts_add(&a->runs, state, text);
        return 0;
    case ARGP_KEY_END:
        if (!a->runs.n || !a->arm.out)
            argp_error(state, "at least one RUN and --out are needed");
        a->arm.runs = a->runs.list;
        a->arm.runs_n = a->runs.n;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static lcf_status print_json(size_t seeds_n, bool current, lcf_err *err)
{
    json_t *json = json_pack("{s:b, s:I}", "current", current, "seeds", (json_int_t)seeds_n);
    lcf_status status = lcf_cmd_print_json(json, err);

    json_decref(json);
    return status;
}

int lcf_cmd_arm(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, "RUN...", DOC, NULL, NULL, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    size_t seeds_n = 0;
    lcf_status status = lcf_cli_parse(&argp, "arm", argc, argv, &a, &err);

    if (!status)
        status = lcf_arm_step(&seeds_n, &current, &a.arm, &err);
    if (!status) {
        fprintf(stderr, "%s: %zu seeds%s\n", a.arm.out, seeds_n,
                current ? ", up to date, nothing done (--force makes it again)" : "");
        if (a.json)
            status = print_json(seeds_n, current, &err);
    }
    lcf_cli_texts_dispose(&a.runs);
    return lcf_cli_finish("arm", status, &err);
}
