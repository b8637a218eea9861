/*
 * llmcf complete: continue a text with a model.
 */
#include "offline/llama/complete.h"
#include "common/base/cli.h"
#include "offline/cmd/verbs.h"
#include "offline/ilm/soft_complete.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_MODEL = 256,
    KEY_PROMPT,
    KEY_MAX_TOKENS,
    KEY_TEMPERATURE,
    KEY_TOP_K,
    KEY_TOP_P,
    KEY_MIN_P,
    KEY_REPEAT_PENALTY,
    KEY_BEAMS,
    KEY_STOP,
    KEY_THREADS,
    KEY_SEED,
    KEY_NO_BOS,
    KEY_CHAT,
    KEY_SYSTEM,
    KEY_SOFT,
    KEY_DATASET,
    KEY_RANKER,
    KEY_JSON
};

enum { BEAMS_MAX = 64 };

typedef struct options {
    const char *model, *prompt;
    lcf_complete_options complete;
    lcf_soft_source soft;
    bool json, chat_auto;
} options;

static const struct argp_option OPTIONS[] = {
    {"model", KEY_MODEL, "FILE.gguf", 0, "The model (required)", 0},
    {"prompt", KEY_PROMPT, "TEXT", 0, "The text to continue (required)", 0},
    {"max-tokens", KEY_MAX_TOKENS, "N", 0, "Stop after N tokens (128)", 0},
    {"temperature", KEY_TEMPERATURE, "T", 0, "0 takes the likeliest token each time (0.6)", 0},
    {"top-k", KEY_TOP_K, "K", 0, "Draw among the K likeliest tokens, 0 = all (50)", 0},
    {"top-p", KEY_TOP_P, "P", 0, "... and among those that make up the share P (1)", 0},
    {"min-p", KEY_MIN_P, "P", 0,
     "... and among those at least P times as likely as the likeliest, 0 = off (0)", 0},
    {"repeat-penalty", KEY_REPEAT_PENALTY, "R", 0,
     "Divide the logits of the last 64 tokens made by R, 1 = off (1)", 0},
    {"beams", KEY_BEAMS, "N", 0,
     "Search for the likeliest text with N beams instead of drawing one, 1 = off (1)", 0},
    {"stop", KEY_STOP, "TEXT", 0, "End before TEXT; can be given several times", 0},
    {"threads", KEY_THREADS, "N", 0, "0 takes all processors; the text is the same (0)", 0},
    {"seed", KEY_SEED, "N", 0, "Of the draws: the same seed gives the same text (1)", 0},
    {"no-bos", KEY_NO_BOS, 0, 0, "Leave out the <s> that the model puts before a text", 0},
    {"chat-template", KEY_CHAT, "NAME", 0,
     "The prompt is a message to a chat model: llama2, llama3, chatml, zephyr, mistral, or auto "
     "for "
     "what the file says (plain: a text to continue)",
     0},
    {"system", KEY_SYSTEM, "TEXT", 0, "With a chat template: what is said once, before it", 0},
    {"soft", KEY_SOFT, "FILE", 0,
     "An adapter of `llmcf ilm`, e.g. ilm/adapter.lcf: {item:ID} and {user:ID} in the prompt "
     "become "
     "soft tokens; with --dataset and --ranker",
     0},
    {"dataset", KEY_DATASET, "DIR", 0, "With --soft: whose ids they are", 0},
    {"ranker", KEY_RANKER, "FILE", 0, "With --soft: the ranker whose vectors the adapter reads", 0},
    {"json", KEY_JSON, 0, 0,
     "Print an object with prompt_ids, ids, logprobs, text and finish (length, stop, context)", 0},
    {0},
};

static const char DOC[] =
    "Continue a text with a LLaMA model in a GGUF file.\v"
    "Writes the prompt and its continuation to standard output. Log probabilities are natural, "
    "under the model's unmodified distribution. The text ends at --max-tokens, when the model "
    "ends it, before a --stop, or when its context is full. A prompt's text is never read as a "
    "marker of the chat template.\n\n"
    "Example:\n  llmcf complete --model recgen/recgen.gguf \\\n"
    "    --prompt 'Once upon a time' --max-tokens 64 --temperature 0 --json";

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    lcf_err err = LCF_ERR_INIT;

    switch (key) {
    case KEY_MODEL:
        o->model = arg;
        return 0;
    case KEY_PROMPT:
        o->prompt = arg;
        return 0;
    case KEY_MAX_TOKENS:
        o->complete.tokens_max = (size_t)lcf_cli_u64(state, "max-tokens", arg, 1, 1 << 24);
        return 0;
    case KEY_TEMPERATURE:
        o->complete.sampling.temperature = (float)lcf_cli_f64(state, "temperature", arg, 0, 100);
        return 0;
    case KEY_TOP_K:
        o->complete.sampling.top_k = (uint32_t)lcf_cli_u64(state, "top-k", arg, 0, UINT32_MAX);
        return 0;
    case KEY_TOP_P:
        o->complete.sampling.top_p = (float)lcf_cli_f64(state, "top-p", arg, 0, 1);
        return 0;
    case KEY_MIN_P:
        o->complete.sampling.min_p = (float)lcf_cli_f64(state, "min-p", arg, 0, 1);
        return 0;
    case KEY_REPEAT_PENALTY:
        o->complete.sampling.repeat_penalty =
            (float)lcf_cli_f64(state, "repeat-penalty", arg, 0.01, 100);
        return 0;
    case KEY_BEAMS:
        o->complete.beams_n = (size_t)lcf_cli_u64(state, "beams", arg, 1, BEAMS_MAX);
        return 0;
    case KEY_STOP:
        if (!*arg || o->complete.stops.n == LCF_STOPS_MAX)
            argp_error(state, "--stop: empty, or more than %d of them", LCF_STOPS_MAX);
        o->complete.stops.texts[o->complete.stops.n++] = arg;
        return 0;
    case KEY_THREADS:
        o->complete.threads = (size_t)lcf_cli_u64(state, "threads", arg, 0, 1024);
        return 0;
    case KEY_SEED:
        o->complete.seed = lcf_cli_u64(state, "seed", arg, 0, UINT64_MAX);
        return 0;
    case KEY_CHAT:
        o->chat_auto = !strcmp(arg, "auto");
        if (!o->chat_auto && lcf_template_parse(&o->complete.chat, arg, &err))
            argp_error(state, "--chat-template: %s", err.text);
        return 0;
    case KEY_SYSTEM:
        o->complete.system = arg;
        return 0;
    case KEY_SOFT:
        o->soft.adapter = arg;
        return 0;
    case KEY_DATASET:
        o->soft.dataset = arg;
        return 0;
    case KEY_RANKER:
        o->soft.ranker = arg;
        return 0;
    case KEY_NO_BOS:
        o->complete.bos = false;
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    case ARGP_KEY_END:
        if (!o->model || !o->prompt)
            argp_error(state, "--model and --prompt are needed");
        if (!o->soft.adapter != !o->soft.dataset || !o->soft.adapter != !o->soft.ranker)
            argp_error(state, "--soft, --dataset and --ranker go together");
        if (o->soft.adapter && (o->chat_auto || o->complete.chat != LCF_TEMPLATE_PLAIN ||
                                o->complete.system || !o->complete.bos))
            argp_error(state, "--soft takes the prompt as it is: no --chat-template, --system or "
                              "--no-bos");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static json_t *ids_json(const lcf_tokens *ids)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ids->n; i++)
        json_array_append_new(list, json_integer(ids->ids[i]));
    return list;
}

static lcf_status print_json(const lcf_completion *c, lcf_err *err)
{
    json_t *logprobs = json_array(), *object;
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < c->made.n; i++)
        json_array_append_new(logprobs, json_real((double)c->logprobs[i]));
    /* JSON holds text, and a model may stop inside a character. */
    lcf_buf_append_utf8(&text, lcf_buf_text(&c->text), c->text.len);
    object = json_pack("{s:o, s:o, s:o, s:s%, s:s}", "prompt_ids", ids_json(&c->prompt), "ids",
                       ids_json(&c->made), "logprobs", logprobs, "text", lcf_buf_text(&text),
                       text.len, "finish", lcf_finish_text(c->finish));
    if (!object || text.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "output");
    else if (json_dumpf(object, stdout, JSON_REAL_PRECISION(9) | JSON_SORT_KEYS))
        status = LCF_FAIL_ERRNO(err, "writing standard output");
    json_decref(object);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status run(const options *o, lcf_err *err)
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
    static const struct argp ARGP = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    options o = {.complete = LCF_COMPLETE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_cli_parse(&ARGP, "complete", argc, argv, &o, &err);

    if (!status)
        status = run(&o, &err);
    return lcf_cli_finish("complete", status, &err);
}
