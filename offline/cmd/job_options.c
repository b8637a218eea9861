/* Options of generation jobs; see the header. */
#include "offline/cmd/job_options.h"

#include "common/base/cli.h"
#include "offline/recgen/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { /* apart from those of the verbs */
       OPT_DATASET = 0x300,
       OPT_SHARE,
       OPT_ROWS,
       OPT_SHARD,
       OPT_SKIP_IN,
       OPT_CANDIDATES,
       OPT_TEMPERATURE,
       OPT_TOP_K,
       OPT_TOP_P,
       OPT_MIN_P,
       OPT_REPEAT_PENALTY,
       OPT_BEAMS,
       OPT_STOP,
       OPT_MAX_TOKENS,
       OPT_SCORE_WEIGHTS,
       OPT_TEMPLATE,
       OPT_PROMPT_TEMPLATE,
       OPT_NO_RELATED,
       OPT_HIDE_ANSWER,
       OPT_PRINT_TEMPLATE,
       OPT_HISTORY,
       OPT_SEED,
       OPT_MODEL_NAME,
       OPT_API,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "What `llmcf prepare` made", 1},
    {"share", OPT_SHARE, "SHARE", 0, "Of the training rows, chosen by hash (default 0.1)", 2},
    {"rows", OPT_ROWS, "N", 0, "Chooses at most so many rows; 0 = no limit (default 0)", 2},
    {"shard", OPT_SHARD, "I/N", 0,
     "Of the chosen rows those of the I-th of N shards, by the hash of their keys; 1/1 is all of "
     "them",
     2},
    {"skip-in", OPT_SKIP_IN, "STORE", 0, "Leaves out rows that have a record in this store, too",
     2},
    {"candidates", OPT_CANDIDATES, "N", 0, "Per row; the best one is kept (default 3)", 2},
    {"temperature", OPT_TEMPERATURE, "T", 0, "0 is greedy (default 0.6)", 2},
    {"top-k", OPT_TOP_K, "K", 0, "0 switches it off (default 50)", 2},
    {"top-p", OPT_TOP_P, "P", 0, "1 switches it off (default 1)", 2},
    {"min-p", OPT_MIN_P, "P", 0,
     "Leaves out what is less likely than P times the likeliest; 0 switches it off (default 0)", 2},
    {"repeat-penalty", OPT_REPEAT_PENALTY, "R", 0,
     "Divides the logits of a candidate's last 64 tokens by R; 1 switches it off (default 1)", 2},
    {"beams", OPT_BEAMS, "N", 0,
     "Candidates are the best of N texts of one search, drawn with --temperature above 0; 0 draws "
     "each by itself (default 0)",
     2},
    {"stop", OPT_STOP, "TEXT", 0, "A candidate ends before TEXT; up to 16 times", 2},
    {"max-tokens", OPT_MAX_TOKENS, "N", 0, "Longest candidate (default 160)", 2},
    {"score-weights", OPT_SCORE_WEIGHTS, "FILE", 0,
     "Keeps the candidate that these weights score highest (`llmcf score-cot --weights`)", 2},
    {"template", OPT_TEMPLATE, "NAME", 0,
     "Prompts: recgen (a model of `llmcf tune`) or llama2 (a chat model) (default recgen)", 2},
    {"prompt-template", OPT_PROMPT_TEMPLATE, "FILE", 0,
     "Prompts in the words of a template file (schemas/prompts.md) for a chat model", 2},
    {"no-related", OPT_NO_RELATED, NULL, 0, "Prompts show no items related to the target", 2},
    {"hide-answer", OPT_HIDE_ANSWER, NULL, 0,
     "Prompts do not give the decision; the model takes its own", 2},
    {"print-template", OPT_PRINT_TEMPLATE, "NAME", 0,
     "Prints a built-in template (llama2) as a file to start from, and ends", 2},
    {"history", OPT_HISTORY, "N", 0, "History items in a prompt (default 8)", 2},
    {"seed", OPT_SEED, "N", 0, "Of the choice of rows and of sampling (default 1)", 2},
    {"model-name", OPT_MODEL_NAME, "NAME", 0, "The model as the endpoint calls it", 4},
    {"api", OPT_API, "API", 0,
     "chat (messages; the server adds the chat markers) or completions (the prompt as --template "
     "has it) (default chat)",
     4},
    {0},
};

#define SIZE(option, min, max) (size_t) lcf_cli_u64(state, option, text, min, max)

static error_t parse_sampling(int key, char *text, struct argp_state *state,
                              lcf_generate_options *o)
{
    lcf_decoding *how = &o->decoding;
    lcf_sampling *s = &how->sampling;

    switch (key) {
    case OPT_CANDIDATES:
        how->candidates_n = SIZE("candidates", 1, 256);
        return 0;
    case OPT_TEMPERATURE:
        s->temperature = (float)lcf_cli_f64(state, "temperature", text, 0.0, 100.0);
        return 0;
    case OPT_TOP_K:
        s->top_k = (uint32_t)lcf_cli_u64(state, "top-k", text, 0, UINT32_MAX);
        return 0;
    case OPT_TOP_P:
        s->top_p = (float)lcf_cli_f64(state, "top-p", text, 1e-6, 1.0);
        return 0;
    case OPT_MIN_P:
        s->min_p = (float)lcf_cli_f64(state, "min-p", text, 0.0, 1.0);
        return 0;
    case OPT_REPEAT_PENALTY:
        s->repeat_penalty = (float)lcf_cli_f64(state, "repeat-penalty", text, 0.01, 100.0);
        return 0;
    case OPT_BEAMS:
        how->beams_n = SIZE("beams", 0, 256);
        return 0;
    case OPT_STOP:
        if (!*text || how->stops.n == LCF_STOPS_MAX)
            argp_error(state, "--stop: empty, or more than %d of them", LCF_STOPS_MAX);
        how->stops.texts[how->stops.n++] = text;
        return 0;
    case OPT_MAX_TOKENS:
        how->tokens_max = SIZE("max-tokens", 1, 65536);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_rows(int key, char *text, struct argp_state *state, lcf_generate_options *o)
{
    lcf_err err = LCF_ERR_INIT;

    switch (key) {
    case OPT_DATASET:
        o->dataset = text;
        return 0;
    case OPT_SHARE:
        o->choice.share = lcf_cli_f64(state, "share", text, 1e-9, 1.0);
        return 0;
    case OPT_ROWS:
        o->choice.rows_max = SIZE("rows", 0, SIZE_MAX);
        return 0;
    case OPT_SHARD:
        if (lcf_shard_parse(&o->choice, text, &err))
            argp_error(state, "--shard: %s", err.text);
        return 0;
    case OPT_SKIP_IN:
        o->skip_in = text;
        return 0;
    case OPT_SEED:
        o->choice.seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    default:
        return parse_sampling(key, text, state, o);
    }
}

static void print_template(const char *name, struct argp_state *state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_prompt_template t;

    if (lcf_prompt_builtin(&t, name, &err))
        argp_error(state, "--print-template: %s", err.text);
    fwrite(t.text.data, 1, t.text.len, stdout);
    exit(0);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    lcf_generate_options *o = state->input;
    lcf_err err = LCF_ERR_INIT;

    switch (key) {
    case OPT_TEMPLATE:
        if (lcf_dialect_parse(&o->prompt.dialect, text, &err))
            argp_error(state, "--template: %s", err.text);
        return 0;
    case OPT_PROMPT_TEMPLATE:
        o->template_file = text;
        return 0;
    case OPT_SCORE_WEIGHTS:
        o->score_weights = text;
        return 0;
    case OPT_NO_RELATED:
        o->prompt.hide_related = true;
        return 0;
    case OPT_HIDE_ANSWER:
        o->prompt.hide_answer = true;
        return 0;
    case OPT_PRINT_TEMPLATE:
        print_template(text, state);
        return 0;
    case OPT_HISTORY:
        o->prompt.history_n = SIZE("history", 1, LCF_HISTORY_MAX);
        return 0;
    case OPT_MODEL_NAME:
        if (!*text || strlen(text) >= LCF_OPENAI_MODEL_BYTES)
            argp_error(state, "--model-name must have 1 to %d bytes", LCF_OPENAI_MODEL_BYTES - 1);
        o->endpoint.model_name = text;
        return 0;
    case OPT_API:
        if (lcf_openai_api_parse(&o->endpoint.api, text, &err))
            argp_error(state, "--api: %s", err.text);
        return 0;
    default:
        return parse_rows(key, text, state, o);
    }
}

const struct argp lcf_cmd_job_argp = {OPTIONS, parse, NULL, NULL, NULL, NULL, NULL};
