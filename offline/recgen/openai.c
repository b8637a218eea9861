/* Requests and answers of the OpenAI-compatible API; see the header. */
#include "offline/recgen/openai.h"

#include "common/base/json.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ANSWERS_MAX 256 /* of one reply */
#define MESSAGE_BYTES_MAX 200
#define BYTES_PER_TOKEN 4 /* of English text, where nobody counted */

static const char *const API_NAMES[] = {"chat", "completions"};

const char *lcf_openai_path(lcf_openai_api api)
{
    return api == LCF_OPENAI_CHAT ? "/chat/completions" : "/completions";
}

void lcf_openai_model_id(char out[LCF_OPENAI_ID_BYTES], lcf_openai_api api, const char *model)
{
    snprintf(out, LCF_OPENAI_ID_BYTES, "%s:%.*s", API_NAMES[api], LCF_OPENAI_MODEL_BYTES - 1,
             model);
}

uint64_t lcf_openai_seed(lcf_hash128 key, size_t turn)
{
    return (lcf_hash64(key.bytes, sizeof(key.bytes), turn) & 0x7fffffffU);
}

/* ---- the request ---- */

static json_t *text_of(const lcf_buf *text)
{
    return text->status ? NULL : json_stringn(lcf_buf_text(text), text->len);
}

/* [{"role": "system", ...}, {"role": "user", ...}], the first where there is something to say. */
static json_t *messages(const lcf_prompt_options *prompt, const lcf_dataset *d, const lcf_facts *f)
{
    lcf_buf system = LCF_BUF_INIT, user = LCF_BUF_INIT;
    json_t *list;

    lcf_prompt_chat(&system, &user, prompt, d, f);
    list = system.len ? json_pack("[{s:s, s:o}, {s:s, s:o}]", "role", "system", "content",
                                  text_of(&system), "role", "user", "content", text_of(&user))
                      : json_pack("[{s:s, s:o}]", "role", "user", "content", text_of(&user));
    lcf_buf_dispose(&system);
    lcf_buf_dispose(&user);
    return list;
}

static json_t *plain_prompt(const lcf_prompt_options *prompt, const lcf_dataset *d,
                            const lcf_facts *f)
{
    lcf_buf text = LCF_BUF_INIT;
    json_t *string;

    lcf_prompt_explain(&text, prompt, d, f);
    string = text_of(&text);
    lcf_buf_dispose(&text);
    return string;
}

/* A float as people wrote it: 0.6, not 0.60000002384. */
static json_t *short_real(float value)
{
    char text[32];
    double shortest;

    snprintf(text, sizeof(text), "%.6g", (double)value);
    return lcf_parse_f64(text, strlen(text), &shortest) ? json_real(shortest) : NULL;
}

static bool add_real(json_t *body, const char *key, float value)
{
    return !json_object_set_new(body, key, short_real(value));
}

/* Parameters that some servers refuse: they are sent only when they say something. */
static bool add_special(json_t *body, const lcf_decoding *how)
{
    const lcf_sampling *s = &how->sampling;
    json_t *stops = how->stops.n ? json_array() : NULL;
    bool good = true;

    if (s->top_k)
        good = !json_object_set_new(body, "top_k", json_integer((json_int_t)s->top_k));
    if (good && s->min_p > 0)
        good = add_real(body, "min_p", s->min_p);
    if (good && s->repeat_penalty > 0 && s->repeat_penalty != 1)
        good = add_real(body, "repetition_penalty", s->repeat_penalty) && /* vLLM, SGLang */
               add_real(body, "repeat_penalty", s->repeat_penalty);       /* llama.cpp */
    for (size_t i = 0; i < how->stops.n && good; i++)
        good = !json_array_append_new(stops, json_string(how->stops.texts[i]));
    if (how->stops.n)
        good = !json_object_set_new(body, "stop", stops) && good;
    return good;
}

json_t *lcf_openai_body(const lcf_openai_request *r, const lcf_prompt_options *prompt,
                        const lcf_dataset *d, const lcf_facts *f)
{
    const lcf_decoding *how = &r->decoding;
    bool chat = r->api == LCF_OPENAI_CHAT;
    json_t *body = json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:o, s:o}", "model", r->model, chat ? "messages" : "prompt",
        chat ? messages(prompt, d, f) : plain_prompt(prompt, d, f), "n",
        (json_int_t)how->candidates_n, "max_tokens", (json_int_t)how->tokens_max, "seed",
        (json_int_t)r->seed, "temperature", short_real(how->sampling.temperature), "top_p",
        short_real(how->sampling.top_p));

    if (body && !add_special(body, how)) {
        json_decref(body);
        return NULL;
    }
    return body;
}

lcf_status lcf_openai_check(const lcf_decoding *decoding, lcf_err *err)
{
    if (decoding->beams_n)
        return LCF_FAIL(err, LCF_EUSAGE,
                        "beams are for a model here: servers have no common way to ask for them");
    return LCF_OK;
}

/* ---- the answer ---- */

/* A text that may be null: a refusal, or an answer of tool calls alone. */
static lcf_status text_of_choice(lcf_str *out, const json_t *choice, lcf_err *err)
{
    const json_t *message = json_object_get(choice, "message");
    const json_t *text =
        message ? json_object_get(message, "content") : json_object_get(choice, "text");

    *out = (lcf_str){"", 0};
    if (json_is_string(text))
        *out = (lcf_str){json_string_value(text), json_string_length(text)};
    else if (!json_is_null(text))
        return LCF_FAIL(err, LCF_EFORMAT, "a choice without message.content or text");
    return LCF_OK;
}

static int by_index(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t i = json_integer_value(json_object_get(x, "index"));
    json_int_t j = json_integer_value(json_object_get(y, "index"));

    return (i > j) - (i < j);
}

static uint64_t usage(const json_t *body, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(json_object_get(body, "usage"), key));

    return n > 0 && n < INT32_MAX ? (uint64_t)n : 0;
}

/* Shares the tokens out by bytes, the rest to the last. */
static void share_tokens(lcf_openai_reply *r)
{
    uint64_t bytes = 0, before = 0, seen = 0;

    for (size_t i = 0; i < r->n; i++)
        bytes += r->answers[i].text.len;
    if (!r->tokens_n)
        r->tokens_n = (bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    for (size_t i = 0; i < r->n; i++) {
        uint64_t upto;
        seen += r->answers[i].text.len;
        upto = i + 1 == r->n || !bytes
                   ? r->tokens_n
                   : (uint64_t)((double)r->tokens_n * (double)seen / (double)bytes);
        r->answers[i].tokens_n = (size_t)(upto - before);
        before = upto;
    }
}

static lcf_status read_choices(lcf_openai_reply *r, json_t *const *choices, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < r->n && !status; i++) {
        const char *reason = json_string_value(json_object_get(choices[i], "finish_reason"));
        status = text_of_choice(&r->answers[i].text, choices[i], err);
        r->answers[i].finished = reason && (!strcmp(reason, "stop") || !strcmp(reason, "eos"));
    }
    return status;
}

lcf_status lcf_openai_parse_json(lcf_openai_reply *out, json_t *body, lcf_err *err)
{
    json_t *choices = json_object_get(body, "choices"), *sorted[ANSWERS_MAX];
    size_t n = json_array_size(choices);
    lcf_status status;

    memset(out, 0, sizeof(*out));
    if (!n || n > ANSWERS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "an answer with %zu choices", n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(choices, i);
    qsort(sorted, n, sizeof(sorted[0]), by_index);
    out->answers = lcf_alloc_zero(n, sizeof(*out->answers));
    if (!out->answers)
        return LCF_FAIL(err, LCF_ENOMEM, "answer of %zu choices", n);
    out->n = n;
    out->json = json_incref(body);
    out->prompt_tokens_n = usage(body, "prompt_tokens");
    out->tokens_n = usage(body, "completion_tokens");
    status = read_choices(out, sorted, err);
    if (status)
        lcf_openai_reply_dispose(out);
    else
        share_tokens(out);
    return status;
}

lcf_status lcf_openai_parse(lcf_openai_reply *out, const char *body, size_t n, lcf_err *err)
{
    json_t *json = NULL;
    lcf_status status = lcf_json_parse(&json, body, n, "answer", err);

    memset(out, 0, sizeof(*out));
    if (!status)
        status = lcf_openai_parse_json(out, json, err);
    json_decref(json);
    return status;
}

void lcf_openai_reply_dispose(lcf_openai_reply *r)
{
    free(r->answers);
    json_decref(r->json);
    memset(r, 0, sizeof(*r));
}

/* ---- errors ---- */

/* {"error": {"message": ...}}, {"error": "..."} or {"message": ...}: servers differ. */
static const char *message_of(const json_t *body)
{
    const json_t *error = json_object_get(body, "error");
    const char *text = json_string_value(json_object_get(error, "message"));

    if (!text)
        text = json_string_value(error);
    if (!text)
        text = json_string_value(json_object_get(body, "message"));
    return text ? text : json_string_value(json_object_get(body, "detail"));
}

static void append_without(lcf_buf *out, const char *text, const char *secret)
{
    size_t secret_len = secret ? strlen(secret) : 0;

    while (*text) {
        const char *at = secret_len ? strstr(text, secret) : NULL;
        lcf_buf_append(out, text, at ? (size_t)(at - text) : strlen(text));
        if (!at)
            return;
        lcf_buf_append_text(out, "[API key]");
        text = at + secret_len;
    }
}

void lcf_openai_error(lcf_buf *out, const char *body, size_t n, const char *secret)
{
    json_t *json = NULL;
    size_t start = out->len;
    const char *text;

    if (lcf_json_parse(&json, body, n, "answer", NULL))
        return;
    text = message_of(json);
    if (text)
        append_without(out, text, secret);
    json_decref(json);
    if (out->status)
        return;
    if (out->len > start + MESSAGE_BYTES_MAX) {
        out->len = start + MESSAGE_BYTES_MAX;
        out->data[out->len] = '\0';
        lcf_utf8_mend(out->data + start);
        out->len = start + strlen(out->data + start);
    }
    for (size_t i = start; i < out->len; i++)
        if ((unsigned char)out->data[i] < ' ' || out->data[i] == 127)
            out->data[i] = ' ';
}

bool lcf_openai_says_too_long(const char *message)
{
    static const char *const SIGNS[] = {"context length", "context size", "context_length",
                                        "too long", "context window"};

    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++)
        if (strcasestr(message, SIGNS[i]))
            return true;
    return false;
}
