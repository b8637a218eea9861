/*
 * llmcf complete: continue a text with a model.
 */
#include "offline/llama/complete.h"
#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"
#include "offline/ilm/soft_complete.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEAMS_MAX = 64 };

typedef struct arguments {
    const char *model, *prompt;
    lcf_complete_options complete;
    lcf_soft_source soft;
    bool json, chat_auto;
} arguments;

static void take_chat(void *input, char *text, struct argp_state *state)
{
    arguments *a = input;
    lcf_err err = LCF_ERR_INIT;

    a->chat_auto = !strcmp(text, "auto");
    if (!a->chat_auto && lcf_template_parse(&a->complete.chat, text, &err))
        argp_error(state, "--chat-template: %s", err.text);
}

static const lcf_option OPTIONS[] = {
    {"model", "FILE.gguf", "The model (required)", 0, LCF_OPT_TEXT(model), LCF_REQUIRED},
    {"prompt", "TEXT", "The text to continue (required)", 0, LCF_OPT_TEXT(prompt), LCF_REQUIRED},
    {"max-tokens", "N", "Stop after N tokens (128)", 0,
     LCF_OPT_WHOLE(complete.tokens_max, 1, 1 << 24)},
    {"temperature", "T", "0 takes the likeliest token each time (0.6)", 0,
     LCF_OPT_REAL(complete.sampling.temperature, 0, 100)},
    {"top-k", "K", "Draw among the K likeliest tokens, 0 = all (50)", 0,
     LCF_OPT_WHOLE(complete.sampling.top_k, 0, UINT32_MAX)},
    {"top-p", "P", "... and among those that make up the share P (1)", 0,
     LCF_OPT_REAL(complete.sampling.top_p, 0, 1)},
    {"min-p", "P", "... and among those at least P times as likely as the likeliest, 0 = off (0)",
     0, LCF_OPT_REAL(complete.sampling.min_p, 0, 1)},
    {"repeat-penalty", "R", "Divide the logits of the last 64 tokens made by R, 1 = off (1)", 0,
     LCF_OPT_REAL(complete.sampling.repeat_penalty, 0.01, 100)},
    {"beams", "N", "Search for the likeliest text with N beams instead of drawing one, 1 = off (1)",
     0, LCF_OPT_WHOLE(complete.beams_n, 1, BEAMS_MAX)},
    {"stop", "TEXT", "End before TEXT; can be given several times", 0,
     LCF_OPT_PARSED(complete.stops, lcf_cmd_parse_stop)},
    {"answer", "TEXT",
     "Write nothing, print log p(TEXT) as what comes behind the prompt; it begins with a space "
     "where "
     "a word begins, such as ' Yes'",
     0, LCF_OPT_TEXT(complete.answer)},
    {"threads", "N", "0 takes all processors; the text is the same (0)", 0,
     LCF_OPT_WHOLE(complete.threads, 0, 1024)},
    {"seed", "N", "Of the draws: the same seed gives the same text (1)", 0,
     LCF_OPT_WHOLE(complete.seed, 0, UINT64_MAX)},
    {"no-bos", NULL, "Leave out the <s> that the model puts before a text", 0,
     LCF_OPT_CLEAR(complete.bos)},
    {"chat-template", "NAME",
     "The prompt is a message to a chat model: llama2, llama3, chatml, zephyr, mistral, or auto "
     "for what the file says (plain: a text to continue)",
     0, LCF_OPT_CALL(take_chat)},
    {"system", "TEXT", "With a chat template: what is said once, before it", 0,
     LCF_OPT_TEXT(complete.system)},
    {"soft", "FILE",
     "An adapter of `llmcf ilm`, e.g. ilm/adapter.lcf: {item:ID} and {user:ID} in the prompt "
     "become soft tokens; with --dataset, and the --ranker that it was trained with",
     0, LCF_OPT_TEXT(soft.adapter)},
    {"dataset", "DIR", "With --soft: whose ids they are", 0, LCF_OPT_TEXT(soft.dataset)},
    {"ranker", "FILE",
     "With --soft: the ranker whose vectors the adapter reads, if it was trained with one", 0,
     LCF_OPT_TEXT(soft.ranker)},
    LCF_ROW_JSON(
        0,
        "an object with prompt_ids, ids, logprobs and their sum logprob, text and finish (length, "
        "stop, context, given)"),
    {0},
};

static const char DOC[] =
    "Continue a text with a LLaMA model in a GGUF file.\v"
    "Writes the prompt and its continuation to standard output. Log probabilities are natural, "
    "under the model's unmodified distribution. The text ends at --max-tokens, when the model "
    "ends it, before a --stop, or when its context is full. A prompt's text is never read as a "
    "marker of the chat template.\n\n"
    "Example:\n"
    "  llmcf complete --model recgen/recgen.gguf \\\n"
    "    --prompt 'Once upon a time' --max-tokens 64 --temperature 0 --json\n"
    "  llmcf complete --model recgen/recgen.gguf --soft ilm/adapter.lcf \\\n"
    "    --dataset dataset --prompt 'User:{user:7} Item:{item:12} Liked:' \\\n"
    "    --answer ' Yes'";

static void check(void *input, struct argp_state *state)
{
    const arguments *o = input;

    if (!o->soft.adapter != !o->soft.dataset || (o->soft.ranker && !o->soft.adapter))
        argp_error(state, "--soft and --dataset go together, and --ranker with them");
    if (o->complete.answer && (o->complete.beams_n > 1 || o->complete.stops.n))
        argp_error(state, "--answer writes nothing: no --beams or --stop");
    if (o->soft.adapter && (o->chat_auto || o->complete.chat != LCF_TEMPLATE_PLAIN ||
                            o->complete.system || !o->complete.bos))
        argp_error(state, "--soft takes the prompt as it is: no --chat-template, --system or "
                          "--no-bos");
}

static json_t *ids_json(const lcf_tokens *ids)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ids->n; i++)
        json_array_append_new(list, json_integer(ids->ids[i]));
    return list;
}

static double sum_of(const lcf_completion *c)
{
    double sum = 0;

    for (size_t i = 0; i < c->made.n; i++)
        sum += (double)c->logprobs[i];
    return sum;
}

static lcf_status print_json(const lcf_completion *c, lcf_err *err)
{
    json_t *logprobs = json_array(), *object;
    const double sum = sum_of(c);
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < c->made.n; i++)
        json_array_append_new(logprobs, json_real((double)c->logprobs[i]));
    /* JSON holds text, and a model may stop inside a character. */
    lcf_buf_append_utf8(&text, lcf_buf_text(&c->text), c->text.len);
    object = json_pack("{s:o, s:o, s:o, s:f, s:s%, s:s}", "prompt_ids", ids_json(&c->prompt), "ids",
                       ids_json(&c->made), "logprobs", logprobs, "logprob", sum, "text",
                       lcf_buf_text(&text), text.len, "finish", lcf_finish_text(c->finish));
    if (!object || text.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "output");
    else if (json_dumpf(object, stdout, JSON_REAL_PRECISION(9) | JSON_SORT_KEYS))
        status = LCF_FAIL_ERRNO(err, "writing standard output");
    json_decref(object);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status run(const arguments *o, lcf_err *err)
{
    lcf_llama *m = NULL;
    lcf_complete_options complete = o->complete;
    lcf_completion c = {0};
    lcf_status status = lcf_llama_open(&m, o->model, err);

    if (status)
        return status;
    if (o->chat_auto)
        status = lcf_template_of_file(&complete.chat, o->model, err);
    if (!status)
        status = o->soft.adapter
                     ? lcf_soft_complete(&c, m, o->prompt, &o->soft, &complete, err)
                     : lcf_complete(&c, m, o->prompt, strlen(o->prompt), &complete, err);
    if (!status && o->json) {
        status = print_json(&c, err);
    } else if (!status && complete.answer) {
        printf("%.9g", sum_of(&c));
    } else if (!status) {
        fputs(o->prompt, stdout);
        fwrite(lcf_buf_text(&c.text), 1, c.text.len, stdout);
    }
    if (!status && (putchar('\n') == EOF || fflush(stdout)))
        status = LCF_FAIL_ERRNO(err, "writing standard output");
    lcf_completion_dispose(&c);
    lcf_llama_close(m);
    return status;
}

int lcf_cmd_complete(int argc, char **argv)
{
    static const lcf_options options = {"complete", DOC, OPTIONS, check, NULL};
    arguments o = {.complete = LCF_COMPLETE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &o, &err);

    if (!status)
        status = run(&o, &err);
    return lcf_cli_finish("complete", status, &err);
}
