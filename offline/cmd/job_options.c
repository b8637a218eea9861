/* Options of generation jobs; see the header. */
#include "offline/cmd/job_options.h"

#include "offline/cmd/rows.h"
#include "offline/recgen/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef lcf_generate_options arguments;

static lcf_status parse_shard(void *choice, const char *text, lcf_err *err)
{
    return lcf_shard_parse(choice, text, err);
}

static lcf_status parse_model_name(void *name, const char *text, lcf_err *err)
{
    if (!*text || strlen(text) >= LCF_OPENAI_MODEL_BYTES)
        return LCF_FAIL(err, LCF_EUSAGE, "must have 1 to %d bytes", LCF_OPENAI_MODEL_BYTES - 1);
    *(const char **)name = text;
    return LCF_OK;
}

static void print_template(void *input, char *name, struct argp_state *state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_prompt_template t;

    (void)input;
    if (lcf_prompt_builtin(&t, name, &err))
        argp_error(state, "--print-template: %s", err.text);
    fwrite(t.text.data, 1, t.text.len, stdout);
    exit(0);
}

const lcf_option lcf_job_rows[] = {
    LCF_ROW_DATASET(dataset),
    {"share", "SHARE", "Of the training rows, chosen by hash (default 0.1)", 2,
     LCF_OPT_REAL(choice.share, 1e-9, 1.0)},
    {"rows", "N", "Chooses at most so many rows; 0 = no limit (default 0)", 2,
     LCF_OPT_WHOLE(choice.rows_max, 0, SIZE_MAX)},
    {"shard", "I/N",
     "Of the chosen rows those of the I-th of N shards, by the hash of their keys; 1/1 is all of "
     "them",
     2, LCF_OPT_PARSED(choice, parse_shard)},
    {"skip-in", "STORE", "Leaves out rows that have a record in this store, too", 2,
     LCF_OPT_TEXT(skip_in)},
    {"candidates", "N", "Per row; the best one is kept (default 3)", 2,
     LCF_OPT_WHOLE(decoding.candidates_n, 1, 256)},
    {"temperature", "T", "0 is greedy (default 0.6)", 2,
     LCF_OPT_REAL(decoding.sampling.temperature, 0.0, 100.0)},
    {"top-k", "K", "0 switches it off (default 50)", 2,
     LCF_OPT_WHOLE(decoding.sampling.top_k, 0, UINT32_MAX)},
    {"top-p", "P", "1 switches it off (default 1)", 2,
     LCF_OPT_REAL(decoding.sampling.top_p, 1e-6, 1.0)},
    {"min-p", "P",
     "Leaves out what is less likely than P times the likeliest; 0 switches it off (default 0)", 2,
     LCF_OPT_REAL(decoding.sampling.min_p, 0.0, 1.0)},
    {"repeat-penalty", "R",
     "Divides the logits of a candidate's last 64 tokens by R; 1 switches it off (default 1)", 2,
     LCF_OPT_REAL(decoding.sampling.repeat_penalty, 0.01, 100.0)},
    {"beams", "N",
     "Candidates are the best of N texts of one search, drawn with --temperature above 0; 0 draws "
     "each by itself (default 0)",
     2, LCF_OPT_WHOLE(decoding.beams_n, 0, 256)},
    {"stop", "TEXT", "A candidate ends before TEXT; up to 16 times", 2,
     LCF_OPT_PARSED(decoding.stops, lcf_cmd_parse_stop)},
    {"max-tokens", "N", "Longest candidate (default 160)", 2,
     LCF_OPT_WHOLE(decoding.tokens_max, 1, 65536)},
    {"score-weights", "FILE",
     "Keeps the candidate that these weights score highest (`llmcf score-cot --weights`)", 2,
     LCF_OPT_TEXT(score_weights)},
    {"template", "NAME",
     "Prompts: recgen (a model of `llmcf tune`) or llama2 (a chat model) (default recgen)", 2,
     LCF_OPT_DIALECT(prompt.dialect)},
    {"prompt-template", "FILE",
     "Prompts in the words of a template file (schemas/prompts.md) for a chat model", 2,
     LCF_OPT_TEXT(template_file)},
    {"no-related", NULL, "Prompts show no items related to the target", 2,
     LCF_OPT_FLAG(prompt.hide_related)},
    {"hide-answer", NULL, "Prompts do not give the decision; the model takes its own", 2,
     LCF_OPT_FLAG(prompt.hide_answer)},
    {"print-template", "NAME",
     "Prints a built-in template (llama2) as a file to start from, and ends", 2,
     LCF_OPT_CALL(print_template)},
    {"history", "N", "History items in a prompt (default 8)", 2,
     LCF_OPT_WHOLE(prompt.history_n, 1, LCF_HISTORY_MAX)},
    LCF_ROW_SEED(2, "Of the choice of rows and of sampling (default 1)", choice.seed),
    {"model-name", "NAME", "The model as the endpoint calls it", 4,
     LCF_OPT_PARSED(endpoint.model_name, parse_model_name)},
    {"api", "API",
     "chat (messages; the server adds the chat markers) or completions (the prompt as --template "
     "has it) (default chat)",
     4,
     LCF_OPT_CHOICE(endpoint.api, {"chat", LCF_OPENAI_CHAT},
                    {"completions", LCF_OPENAI_COMPLETIONS})},
    {0},
};
