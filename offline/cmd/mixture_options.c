/* Options of tuning mixtures; see the header. */
#include "offline/cmd/mixture_options.h"

#include "offline/cmd/rows.h"

#include <string.h>

typedef lcf_sources_options arguments;

static void add_source(void *input, char *text, struct argp_state *state)
{
    arguments *a = input;
    lcf_err err = LCF_ERR_INIT;

    if (a->n == LCF_SOURCES_MAX)
        argp_error(state, "--source may be given %d times", LCF_SOURCES_MAX);
    if (lcf_source_parse(&a->list[a->n], text, &err))
        argp_error(state, "%s", err.text);
    a->n++;
}

static lcf_status parse_rec_share(void *share, const char *text, lcf_err *err)
{
    double value;

    if (strncmp(text, "rec=", 4) || !lcf_parse_f64(text + 4, strlen(text + 4), &value) ||
        value < 0 || value > 1)
        return LCF_FAIL(err, LCF_EUSAGE, "takes rec=R with R from 0 to 1, not '%s'", text);
    *(double *)share = value;
    return LCF_OK;
}

const lcf_option lcf_sources_rows[] = {
    {"source", "SOURCE",
     "KIND[:PATH][,weight=W][,share=S][,part=P][,rows=N][,hold=H][,group=rec|general]; may be "
     "given several times. Kinds of the dataset: decide, explain, next, rating, session, "
     "cot:STORE; of "
     "files: alpaca, sharegpt, openai, text (default: decide and explain, one row to three)",
     5, LCF_OPT_CALL(add_source)},
    {"mix", "rec=R",
     "Share of the recommendation sources together (default: by weights and shares)", 5,
     LCF_OPT_PARSED(rec_share, parse_rec_share)},
    {"template", "NAME", "Prompts about users and items: recgen or llama2 (default recgen)", 5,
     LCF_OPT_DIALECT(prompt.dialect)},
    {"chat", "NAME",
     "Template of instructions and conversations: recgen, alpaca, or that of a chat model: llama2, "
     "llama3, chatml, zephyr, mistral, plain (default: as --template)",
     5,
     LCF_OPT_CHOICE(chat, {"recgen", LCF_CHAT_RECGEN}, {"alpaca", LCF_CHAT_ALPACA},
                    {"llama2", LCF_CHAT_LLAMA2}, {"llama3", LCF_CHAT_LLAMA3},
                    {"chatml", LCF_CHAT_CHATML}, {"zephyr", LCF_CHAT_ZEPHYR},
                    {"mistral", LCF_CHAT_MISTRAL}, {"plain", LCF_CHAT_PLAIN})},
    {"history", "N", "History items in a prompt (default 8)", 5,
     LCF_OPT_WHOLE(prompt.history_n, 1, LCF_HISTORY_MAX)},
    {"prompt-template", "FILE",
     "Prompts in the words of a template file (schemas/prompts.md), e.g. BinLLM's questions", 5,
     LCF_OPT_TEXT(template_file)},
    LCF_ROWS_CODES(5, "template", codes, prompt.code_form),
    {0},
};

#define arguments lcf_mixture_options
const lcf_option lcf_mixture_rows[] = {
    {"loss", "WHERE", "Count the loss on all tokens or on the answer (default all)", 5,
     LCF_OPT_CHOICE(loss_on_prompt, {"all", true}, {"answer", false})},
    {"cutoff", "TOKENS",
     "Longest row (default 384); a longer one loses the oldest of its history first, then the end "
     "of its answer",
     5, LCF_OPT_WHOLE(cutoff, 32, 131072)},
    {0},
};
#undef arguments
