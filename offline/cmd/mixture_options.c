/* Options of tuning mixtures. */
#include "offline/cmd/mixture_options.h"

#include "common/base/cli.h"

#include <string.h>

enum {
    OPT_SOURCE = 0x1001,
    OPT_MIX,
    OPT_LOSS,
    OPT_CUTOFF,
    OPT_TEMPLATE,
    OPT_CHAT,
    OPT_HISTORY,
    OPT_PROMPT_TEMPLATE,
    OPT_CODES,
    OPT_CODE_FORM,
};

static const struct argp_option OPTIONS[] = {
    {"source", OPT_SOURCE, "SOURCE", 0,
     "KIND[:PATH][,weight=W][,share=S][,part=P][,rows=N][,hold=H][,group=rec|general]; may be "
     "given "
     "several times. Kinds of the dataset: decide, explain, next, rating, cot:STORE; of files: "
     "alpaca, sharegpt, openai, text (default: decide and explain, one row to three)",
     5},
    {"mix", OPT_MIX, "rec=R", 0,
     "Share of the recommendation sources together (default: by weights and shares)", 5},
    {"loss", OPT_LOSS, "WHERE", 0, "Count the loss on all tokens or on the answer (default all)",
     5},
    {"cutoff", OPT_CUTOFF, "TOKENS", 0,
     "Longest row (default 384); a longer one loses the oldest of its history first, then the end "
     "of its answer",
     5},
    {"template", OPT_TEMPLATE, "NAME", 0,
     "Prompts about users and items: recgen or llama2 (default recgen)", 5},
    {"chat", OPT_CHAT, "NAME", 0,
     "Template of instructions and conversations: recgen, llama2 or alpaca (default: as "
     "--template)",
     5},
    {"history", OPT_HISTORY, "N", 0, "History items in a prompt (default 8)", 5},
    {"prompt-template", OPT_PROMPT_TEMPLATE, "FILE", 0,
     "Prompts in the words of a template file (schemas/prompts.md), e.g. BinLLM's questions", 5},
    {"codes", OPT_CODES, "DIR", 0,
     "Made by `llmcf codes`, for a template that speaks of the user's or the target's code", 5},
    {"code-form", OPT_CODE_FORM, "FORM", 0,
     "Codes as bits (10101100...) or dotted (172.16...) (default bits)", 5},
    {0},
};

static void add_source(lcf_sources_options *o, char *text, struct argp_state *state)
{
    lcf_err err = LCF_ERR_INIT;

    if (o->n == LCF_SOURCES_MAX)
        argp_error(state, "--source may be given %d times", LCF_SOURCES_MAX);
    if (lcf_source_parse(&o->list[o->n], text, &err))
        argp_error(state, "%s", err.text);
    o->n++;
}

static error_t parse_wording(int key, char *text, struct argp_state *state, lcf_sources_options *o)
{
    switch (key) {
    case OPT_PROMPT_TEMPLATE:
        o->template_file = text;
        return 0;
    case OPT_CODES:
        o->codes = text;
        return 0;
    case OPT_CODE_FORM:
        o->prompt.code_form =
            (lcf_code_form)lcf_cli_choice(state, "code-form", text, "bits", "dotted", NULL);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    lcf_mixture_arguments *a = state->input;
    lcf_err err = LCF_ERR_INIT;

    switch (key) {
    case OPT_SOURCE:
        add_source(a->sources, text, state);
        return 0;
    case OPT_MIX:
        if (strncmp(text, "rec=", 4))
            argp_error(state, "--mix takes rec=R, not '%s'", text);
        a->sources->rec_share = lcf_cli_f64(state, "mix", text + 4, 0.0, 1.0);
        return 0;
    case OPT_LOSS:
        a->mixture->loss_on_prompt = !lcf_cli_choice(state, "loss", text, "all", "answer", NULL);
        return 0;
    case OPT_CUTOFF:
        a->mixture->cutoff = (size_t)lcf_cli_u64(state, "cutoff", text, 32, 131072);
        return 0;
    case OPT_TEMPLATE:
        if (lcf_dialect_parse(&a->sources->prompt.dialect, text, &err))
            argp_error(state, "--template: %s", err.text);
        return 0;
    case OPT_CHAT:
        a->sources->chat = (lcf_chat)lcf_cli_choice(state, "chat", text, LCF_CHAT_NAMES[0],
                                                    LCF_CHAT_NAMES[1], LCF_CHAT_NAMES[2], NULL);
        return 0;
    case OPT_HISTORY:
        a->sources->prompt.history_n =
            (size_t)lcf_cli_u64(state, "history", text, 1, LCF_HISTORY_MAX);
        return 0;
    default:
        return parse_wording(key, text, state, a->sources);
    }
}

const struct argp LCF_MIXTURE_ARGP = {OPTIONS, parse, NULL, NULL, NULL, NULL, NULL};
