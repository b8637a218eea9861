/*
 * Chat templates. A template is a string in which \1 stands for the system's text and \2 for the
 * user's; a second one serves where the system says nothing. Its markers are listed beside it.
 *
 * The parts between control pieces are encoded whole, scaffold and message together, as a tokenizer
 * that reads the rendered conversation would do.
 */
#include "offline/llama/chat.h"

#include "common/base/mem.h"
#include "common/base/progress.h"

#include <string.h>

#define SYSTEM "\1"
#define USER "\2"

enum { MARKERS_MAX = 5 };

typedef struct form {
    const char *name, *with_system, *without;
    const char *markers[MARKERS_MAX]; /* ends with NULL where there are fewer */
} form;

static const form FORMS[] = {
    [LCF_TEMPLATE_PLAIN] = {"plain", SYSTEM USER, USER, {NULL}},
    [LCF_TEMPLATE_LLAMA2] = {"llama2",
                             "[INST] <<SYS>>\n" SYSTEM "\n<</SYS>>\n\n" USER " [/INST]",
                             "[INST] " USER " [/INST]",
                             {"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", NULL}},
    [LCF_TEMPLATE_LLAMA3] = {"llama3",
                             "<|start_header_id|>system<|end_header_id|>\n\n" SYSTEM
                             "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n" USER
                             "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
                             "<|start_header_id|>user<|end_header_id|>\n\n" USER
                             "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
                             {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", NULL}},
    [LCF_TEMPLATE_CHATML] = {"chatml",
                             "<|im_start|>system\n" SYSTEM "<|im_end|>\n<|im_start|>user\n" USER
                             "<|im_end|>\n<|im_start|>assistant\n",
                             "<|im_start|>user\n" USER "<|im_end|>\n<|im_start|>assistant\n",
                             {"<|im_start|>", "<|im_end|>", NULL}},
    [LCF_TEMPLATE_ZEPHYR] = {"zephyr",
                             "<|system|>\n" SYSTEM "</s>\n<|user|>\n" USER "</s>\n<|assistant|>\n",
                             "<|user|>\n" USER "</s>\n<|assistant|>\n",
                             {"<|system|>", "<|user|>", "<|assistant|>", "</s>", NULL}},
    [LCF_TEMPLATE_MISTRAL] = {"mistral",
                              "[INST] " SYSTEM "\n\n" USER " [/INST]",
                              "[INST] " USER " [/INST]",
                              {"[INST]", "[/INST]", NULL}},
};

enum { FORMS_N = sizeof(FORMS) / sizeof(*FORMS) };

const char *lcf_template_name(lcf_template chat)
{
    return FORMS[chat].name;
}

lcf_status lcf_template_parse(lcf_template *out, const char *name, lcf_err *err)
{
    for (size_t i = 0; i < FORMS_N; i++)
        if (!strcmp(FORMS[i].name, name)) {
            *out = (lcf_template)i;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EUSAGE,
                    "'%s' is none of plain, llama2, llama3, chatml, zephyr, mistral", name);
}

static bool holds(lcf_str text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

bool lcf_template_of_gguf(lcf_template *out, const lcf_gguf *g)
{
    lcf_str text;

    *out = LCF_TEMPLATE_PLAIN;
    if (lcf_gguf_string(&text, g, "tokenizer.chat_template", NULL) || !text.len)
        return true;
    if (holds(text, "<|im_start|>") && holds(text, "<|im_end|>"))
        *out = LCF_TEMPLATE_CHATML;
    else if (holds(text, "<|start_header_id|>") && holds(text, "<|eot_id|>"))
        *out = LCF_TEMPLATE_LLAMA3;
    else if (holds(text, "[INST]"))
        *out = holds(text, "<<SYS>>") ? LCF_TEMPLATE_LLAMA2 : LCF_TEMPLATE_MISTRAL;
    else if (holds(text, "<|user|>") && holds(text, "<|assistant|>") &&
             (holds(text, "</s>") || holds(text, "eos_token")))
        *out = LCF_TEMPLATE_ZEPHYR;
    return *out != LCF_TEMPLATE_PLAIN;
}

lcf_status lcf_template_of_file(lcf_template *out, const char *path, lcf_err *err)
{
    lcf_gguf *g;
    lcf_status status = lcf_gguf_open(&g, path, err);

    if (status)
        return status;
    if (!lcf_template_of_gguf(out, g))
        lcf_log(LCF_LOG_WARN, "msg=\"%s: its chat template is none of those known; plain is used\"",
                path);
    lcf_gguf_close(g);
    return LCF_OK;
}

/* ---- encoding ----------------------------------------------------------------------------- */

typedef struct writer {
    const lcf_tokenizer *t;
    const form *form;
    lcf_tokens *out;
    lcf_buf run;   /* text since the last control piece */
    bool at_start; /* nothing but <s> was written yet */
    lcf_err *err;
} writer;

static lcf_status end_run(writer *w)
{
    lcf_status status = LCF_OK;

    if (w->run.status)
        return LCF_FAIL(w->err, w->run.status, "a message");
    if (w->run.len)
        status = lcf_tokenizer_encode(w->out, w->t, w->run.data, w->run.len, w->at_start, w->err);
    w->at_start = w->at_start && !w->run.len;
    lcf_buf_reset(&w->run);
    return status;
}

/* The marker that a text begins with, or NULL. */
static const char *marker_at(const form *t, const char *text, size_t len)
{
    for (size_t i = 0; i < MARKERS_MAX && t->markers[i]; i++) {
        size_t n = strlen(t->markers[i]);
        if (n <= len && !memcmp(text, t->markers[i], n))
            return t->markers[i];
    }
    return NULL;
}

/* Control pieces of the template where the vocabulary has them, else text. */
static lcf_status put_marker(writer *w, const char *marker)
{
    uint32_t id = lcf_tokenizer_special(w->t, marker, strlen(marker));
    lcf_status status;

    if (id == LCF_TOKEN_NONE) {
        lcf_buf_append_text(&w->run, marker);
        return LCF_OK;
    }
    status = end_run(w);
    if (!status && lcf_tokens_push(w->out, id))
        status = LCF_FAIL(w->err, LCF_ENOMEM, "a message");
    w->at_start = false;
    return status;
}

/* What is said: a marker in it is spelled, unless encoding would not make one of it anyway. */
static lcf_status put_message(writer *w, lcf_str text)
{
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < text.len && !status;) {
        const char *marker = marker_at(w->form, text.data + at, text.len - at);
        if (!marker || lcf_tokenizer_special(w->t, marker, strlen(marker)) != LCF_TOKEN_NONE) {
            lcf_buf_append_char(&w->run, text.data[at++]);
            continue;
        }
        status = end_run(w);
        if (!status)
            status = lcf_tokenizer_spell(w->out, w->t, marker, strlen(marker), w->err);
        w->at_start = false;
        at += strlen(marker);
    }
    return status;
}

static lcf_status put_template(writer *w, const char *text, lcf_str system, lcf_str user)
{
    lcf_status status = LCF_OK;

    for (const char *at = text; *at && !status;) {
        const char *marker = marker_at(w->form, at, strlen(at));
        if (marker) {
            status = put_marker(w, marker);
            at += strlen(marker);
            continue;
        }
        if (*at == *SYSTEM)
            status = put_message(w, system);
        else if (*at == *USER)
            status = put_message(w, user);
        else
            lcf_buf_append_char(&w->run, *at);
        at++;
    }
    return status ? status : end_run(w);
}

lcf_status lcf_template_encode(lcf_tokens *out, const lcf_tokenizer *t, lcf_template chat,
                               lcf_str system, lcf_str user, lcf_err *err)
{
    const form *f = &FORMS[chat];
    writer w = {t, f, out, LCF_BUF_INIT, true, err};
    size_t before_n = out->n;
    lcf_status status = LCF_OK;

    if (lcf_tokenizer_adds_bos(t) && lcf_tokens_push(out, lcf_tokenizer_bos(t)))
        status = LCF_FAIL(err, LCF_ENOMEM, "a message");
    if (!status)
        status = put_template(&w, system.len ? f->with_system : f->without, system, user);
    if (status)
        out->n = before_n;
    lcf_buf_dispose(&w.run);
    return status;
}
