/* llmcf judge: what the language model answers for rows. Options only; the work is in
 * offline/recgen/run_judge.h. */
#include "offline/recgen/run_judge.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    lcf_judge_options judge;
    bool json;
} arguments;

static lcf_status parse_splits(void *field, const char *text, lcf_err *err)
{
    bool *splits = field;

    memset(splits, 0, 3 * sizeof(*splits));
    for (;;) {
        const size_t len = strcspn(text, ",");
        int split = 0;

        while (split < 3 &&
               (strlen(LCF_SPLIT_NAMES[split]) != len || memcmp(text, LCF_SPLIT_NAMES[split], len)))
            split++;
        if (split == 3)
            return LCF_FAIL(err, LCF_EUSAGE, "takes train, valid and test, not '%s'", text);
        splits[split] = true;
        if (!text[len])
            return LCF_OK;
        text += len + 1;
    }
}

static const lcf_option OPTIONS[] = {
    {"dataset", "DIR", "Made by `llmcf prepare`", 1, LCF_OPT_TEXT(judge.dataset), LCF_REQUIRED},
    {"model", "FILE", "A GGUF LLaMA, e.g. of `llmcf tune`", 1, LCF_OPT_TEXT(judge.model),
     LCF_REQUIRED},
    {"out", "DIR", "The judgements; replaced in one step", 1, LCF_OPT_TEXT(judge.out),
     LCF_REQUIRED},
    {"splits", "LIST", "Of train, valid and test, with commas between (default train)", 2,
     LCF_OPT_PARSED(judge.splits, parse_splits)},
    {"share", "SHARE",
     "Of the training rows; with the same seed the rows of `llmcf generate` (default 1)", 2,
     LCF_OPT_REAL(judge.share, 1e-9, 1.0)},
    {"score-users", "SHARE",
     "Of the users whose valid and test rows are asked about, drawn by their ids as in `llmcf ilm` "
     "(default 1)",
     2, LCF_OPT_REAL(judge.score_users, 1e-9, 1.0)},
    LCF_ROW_SEED(2, "Chooses the share (default 1)", judge.seed),
    {"template", "NAME",
     "recgen: the form `llmcf tune` teaches; llama2: for larger LLaMAs (default recgen)", 2,
     LCF_OPT_DIALECT(judge.prompt.dialect)},
    {"history", "N", "Most recent items in the prompt (default 8)", 2,
     LCF_OPT_WHOLE(judge.prompt.history_n, 1, LCF_HISTORY_MAX)},
    {"prompt-template", "FILE",
     "The question in the words of a template file (schemas/prompts.md), e.g. BinLLM's", 2,
     LCF_OPT_TEXT(judge.template_file)},
    LCF_ROWS_CODES(2, "template", judge.codes, judge.prompt.code_form),
    LCF_ROW_THREADS(3, "result is", judge.threads),
    LCF_ROW_FORCE(3, "result is", judge.force),
    LCF_ROW_JSON(3, "the counts as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Asks the language model, Yes or No, whether the user of a row will like its target."
    "\v"
    "The answer is a number, log p(Yes) - log p(No): what `llmcf train --distill` teaches to a "
    "ranker, and, for valid and test, what the language model alone is worth; and Yes alone, as "
    "BinLLM scores: its logit, and its log probability over all words. A row's prompt holds its "
    "history and its target, never its label.\n\n"
    "Writes DIR/judgements.lcf, manifest.json (schemas/judgements.md) and, for those splits, "
    "valid.lcf and test.lcf (Yes against No) and yes/valid.lcf and yes/test.lcf (Yes against all "
    "words): `llmcf evaluate` takes DIR or DIR/yes like a ranker's predictions. Stopped by "
    "a signal (exit code 75) or killed, it keeps what is finished in DIR.partial and goes on from "
    "there.\n\n"
    "Example:\n"
    "  llmcf judge --dataset dataset --model recgen/recgen.gguf \\\n"
    "    --splits train,valid,test --out judged\n"
    "  llmcf judge --dataset dataset --model binllm/recgen.gguf --splits test \\\n"
    "    --prompt-template offline/recgen/prompts/binllm-full-movies.prompt \\\n"
    "    --codes codes --history 10 --out judged";

static void print_summary(const json_t *stats, const char *out, bool current)
{
    fprintf(stderr, "%s:\n", out);
    for (int split = 0; split < 3; split++) {
        const json_t *s = json_object_get(stats, LCF_SPLIT_NAMES[split]);
        const json_t *auc = json_object_get(json_object_get(s, "difference"), "auc");
        const json_t *uauc = json_object_get(json_object_get(s, "difference"), "uauc");

        if (!lcf_cmd_count(s, "rows"))
            continue;
        fprintf(stderr, "  %-5s %8lld rows", LCF_SPLIT_NAMES[split], lcf_cmd_count(s, "rows"));
        if (json_is_number(auc))
            fprintf(stderr, ", AUC %.4f", json_number_value(auc));
        if (json_is_number(uauc))
            fprintf(stderr, ", UAUC %.4f", json_number_value(uauc));
        fprintf(stderr, ", %.1f tokens each\n",
                json_number_value(json_object_get(s, "tokens_per_row")));
    }
    if (!current && lcf_cmd_count(stats, "asked"))
        fprintf(stderr, "  %.2f s for 1,000 rows\n",
                json_number_value(json_object_get(stats, "seconds_per_1000_rows")));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_judge(int argc, char **argv)
{
    static const lcf_options options = {"judge", DOC, OPTIONS, NULL, NULL};
    arguments a = {LCF_JUDGE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_judge_step(&stats, &current, &a.judge, &err);
    if (!status)
        print_summary(stats, a.judge.out, current);
    return lcf_cmd_finish("judge", status, stats, a.json, &err);
}
