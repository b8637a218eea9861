/* llmcf arm: runs of one system as one arm. Options only; the work is in offline/eval/arm_runs.h.
 */
#include "offline/eval/arm_runs.h"

#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_arm_options arm;
    lcf_cli_texts runs;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"out", "DIR", "The arm; replaced in one step", 1, LCF_OPT_TEXT(arm.out), LCF_REQUIRED},
    {"rows-of", "DIR",
     "Keep the rows that these predictions are about, e.g. of a system that was asked about some "
     "users only (`judge --score-users`)",
     1, LCF_OPT_TEXT(arm.rows_of)},
    LCF_ROW_FORCE(2, "result is", arm.force),
    LCF_ROW_JSON(2, "the number of seeds as JSON on stdout"),
    {NULL, "RUN...", NULL, 0, LCF_OPT_TEXTS(runs), LCF_REQUIRED},
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
    "  llmcf compare --baseline din binllm --out compare\n"
    "  llmcf arm din --rows-of judged-1 --out din-asked";

static lcf_status print_json(size_t seeds_n, bool current, lcf_err *err)
{
    json_t *json = json_pack("{s:b, s:I}", "current", current, "seeds", (json_int_t)seeds_n);
    lcf_status status = lcf_cmd_print_json(json, err);

    json_decref(json);
    return status;
}

int lcf_cmd_arm(int argc, char **argv)
{
    static const lcf_options options = {"arm", DOC, OPTIONS, NULL, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    size_t seeds_n = 0;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    a.arm.runs = a.runs.list;
    a.arm.runs_n = a.runs.n;
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
