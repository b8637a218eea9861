/* llmcf runs: several runs of one system as one. Options only; the work is in offline/eval/runs.h.
 */
#include "offline/eval/runs.h"

#include "common/base/cli.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_OUT = 0x100, OPT_FORCE, OPT_JSON };

static const struct argp_option OPTIONS[] = {
    {"out", OPT_OUT, "DIR", 0, "The predictions of all; replaced in one step", 1},
    {"force", OPT_FORCE, NULL, 0, "Also when the result is up to date", 2},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 2},
    {0},
};

static const char DOC[] =
    "Puts the predictions of several runs of one system into one folder, as `llmcf train` writes "
    "those of several seeds: what `llmcf compare` and `evaluate` take for the spread between runs."
    "\v"
    "Reads valid.lcf and test.lcf of every DIR, which must be about the same rows. Runs keep their "
    "seeds when no two are equal, and are numbered from 1 otherwise (schemas/predictions.md).\n\n"
    "Example:\n"
    "  for seed in 1 2 3; do\n"
    "    llmcf tune --source ask:text.prompt --seed $seed --out tuned-$seed ...\n"
    "    llmcf judge --model tuned-$seed/recgen.gguf --splits test ... \\\n"
    "      --out judged-$seed\n"
    "  done\n"
    "  llmcf runs judged-1 judged-2 judged-3 --out judged\n"
    "  llmcf compare --baseline ranker-din judged --out compare";

typedef struct arguments {
    lcf_runs_options runs;
    lcf_cli_texts dirs;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_OUT:
        a->runs.out = text;
        return 0;
    case OPT_FORCE:
        a->runs.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        lcf_cli_texts_add(&a->dirs, state, text);
        return 0;
    case ARGP_KEY_END:
        if (!a->dirs.n || !a->runs.out)
            argp_error(state, "folders of runs and --out are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int lcf_cmd_runs(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, "DIR...", DOC, NULL, NULL, NULL};
    arguments a = {0};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_cli_parse(&argp, "runs", argc, argv, &a, &err);

    a.runs.dirs = (const char *const *)a.dirs.list;
    a.runs.dirs_n = a.dirs.n;
    if (!status)
        status = lcf_runs_step(&stats, &current, &a.runs, &err);
    if (!status) {
        fprintf(stderr, "%s: %lld runs%s\n", a.runs.out, lcf_cmd_count(stats, "runs"),
                current ? ", up to date, nothing done (--force makes it again)" : "");
        if (a.json)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    lcf_cli_texts_dispose(&a.dirs);
    return lcf_cli_finish("runs", status, &err);
}
