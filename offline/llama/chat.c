/*
 * Chat templates. A template is a string in which \1 stands for the system's text and \2 for the
 * user's; a second one serves where the system says nothing, a third one behind an answer. Its
 * markers are listed beside it.
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
    const char *name, *with_system, *without, *next;
    const char *markers[MARKERS_MAX]; /* ends with NULL where there are fewer */
    const char *end;                  /* of an answer; NULL: </s> */
    bool spaced;                      /* a blank stands before an answer */
    bool opens_again;                 /* <s> stands before every question */
} form;

#define LLAMA3_USER                                     \
    "<|start_header_id|>user<|end_header_id|>\n\n" USER \
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
#define CHATML_USER "<|im_start|>user\n" USER "<|im_end|>\n<|im_start|>assistant\n"
#define ZEPHYR_USER "<|user|>\n" USER "</s>\n<|assistant|>\n"

static const form FORMS[] = {
    [LCF_TEMPLATE_PLAIN] = {.name = "plain",
                            .with_system = SYSTEM USER,
                            .without = USER,
                            .next = USER},
    [LCF_TEMPLATE_LLAMA2] = {.name = "llama2",
                             .with_system =
                                 "[INST] <<SYS>>\n" SYSTEM "\n<</SYS>>\n\n" USER " [/INST]",
                             .without = "[INST] " USER " [/INST]",
                             .next = "[INST] " USER " [/INST]",
                             .markers = {"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"},
                             .spaced = true,
                             .opens_again = true},
    [LCF_TEMPLATE_LLAMA3] = {.name = "llama3",
                             .with_system = "<|start_header_id|>system<|end_header_id|>\n\n" SYSTEM
                                            "<|eot_id|>" LLAMA3_USER,
                             .without = LLAMA3_USER,
                             .next = LLAMA3_USER,
                             .markers = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
                             .end = "<|eot_id|>"},
    [LCF_TEMPLATE_CHATML] = {.name = "chatml",
                             .with_system =
                                 "<|im_start|>system\n" SYSTEM "<|im_end|>\n" CHATML_USER,
                             .without = CHATML_USER,
                             .next = "\n" CHATML_USER,
                             .markers = {"<|im_start|>", "<|im_end|>"},
                             .end = "<|im_end|>"},
    [LCF_TEMPLATE_ZEPHYR] = {.name = "zephyr",
                             .with_system = "<|system|>\n" SYSTEM "</s>\n" ZEPHYR_USER,
                             .without = ZEPHYR_USER,
                             .next = "\n" ZEPHYR_USER,
                             .markers = {"<|system|>", "<|user|>", "<|assistant|>", "</s>"}},
    [LCF_TEMPLATE_MISTRAL] = {.name = "mistral",
                              .with_system = "[INST] " SYSTEM "\n\n" USER " [/INST]",
                              .without = "[INST] " USER " [/INST]",
                              .next = " [INST] " USER " [/INST]",
                              .markers = {"[INST]", "[/INST]"},
                              .spaced = true},
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

/* ---- rendering ---- */

void lcf_template_question(lcf_buf *out, lcf_said said[LCF_SAID_MAX], lcf_template chat,
                           lcf_question question, lcf_str system, lcf_str user)
{
    const form *f = &FORMS[chat];
    const char *text = question == LCF_QUESTION_NEXT ? f->next
                       : system.len                  ? f->with_system
                                                     : f->without;

    memset(said, 0, LCF_SAID_MAX * sizeof(*said));
    for (; *text; text++) {
        const bool is_system = *text == *SYSTEM;
        const lcf_str one = is_system ? system : user;

        if (!is_system && *text != *USER) {
            lcf_buf_append_char(out, *text);
            continue;
        }
        said[!is_system].begin = out->len;
        lcf_buf_append(out, one.data, one.len);
        said[!is_system].end = out->len;
    }
}

void lcf_template_answer(lcf_buf *out, lcf_said *said, lcf_template chat, lcf_str answer)
{
    if (FORMS[chat].spaced)
        lcf_buf_append_char(out, ' ');
    said->begin = out->len;
    lcf_buf_append(out, answer.data, answer.len);
    said->end = out->len;
}

bool lcf_template_opens(lcf_template chat, lcf_question question)
{
    return question == LCF_QUESTION_FIRST || FORMS[chat].opens_again;
}

bool lcf_template_answers_plain(lcf_template chat)
{
    return !FORMS[chat].spaced;
}

uint32_t lcf_template_end(const lcf_tokenizer *t, lcf_template chat)
{
    const char *end = FORMS[chat].end;
    const uint32_t id = end ? lcf_tokenizer_special(t, end, strlen(end)) : LCF_TOKEN_NONE;

    return id == LCF_TOKEN_NONE ? lcf_tokenizer_eos(t) : id;
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

/* What stands around it, markers and all. */
static lcf_status put_scaffold(writer *w, lcf_str text)
{
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < text.len && !status;) {
        const char *marker = marker_at(w->form, text.data + at, text.len - at);

        if (!marker) {
            lcf_buf_append_char(&w->run, text.data[at++]);
            continue;
        }
        status = put_marker(w, marker);
        at += strlen(marker);
    }
    return status;
}

static lcf_str part_of(lcf_str text, size_t begin, size_t end)
{
    return (lcf_str){text.data + begin, end - begin};
}

lcf_status lcf_template_tokens(lcf_tokens *out, const lcf_tokenizer *t, lcf_template chat,
                               lcf_str text, const lcf_said *said, size_t said_n, bool begins,
                               lcf_err *err)
{
    writer w = {t, &FORMS[chat], out, LCF_BUF_INIT, begins, err};
    const size_t before_n = out->n;
    lcf_status status = LCF_OK;
    size_t at = 0;

    for (size_t i = 0; i < said_n && !status; i++) {
        LCF_ASSERT(said[i].end <= text.len);
        if (said[i].begin == said[i].end)
            continue;
        status = put_scaffold(&w, part_of(text, at, said[i].begin));
        if (!status)
            status = put_message(&w, part_of(text, said[i].begin, said[i].end));
        at = said[i].end;
    }
    if (!status)
        status = put_scaffold(&w, part_of(text, at, text.len));
    if (!status)
        status = end_run(&w);
    if (status)
        out->n = before_n;
    lcf_buf_dispose(&w.run);
    return status;
}

lcf_status lcf_template_encode(lcf_tokens *out, const lcf_tokenizer *t, lcf_template chat,
                               lcf_str system, lcf_str user, lcf_err *err)
{
    lcf_said said[LCF_SAID_MAX];
    lcf_buf text = LCF_BUF_INIT;
    const size_t before_n = out->n;
    lcf_status status = LCF_OK;

    lcf_template_question(&text, said, chat, LCF_QUESTION_FIRST, system, user);
    if (text.status || (lcf_tokenizer_adds_bos(t) && lcf_tokens_push(out, lcf_tokenizer_bos(t))))
        status = LCF_FAIL(err, LCF_ENOMEM, "a message");
    if (!status)
        status = lcf_template_tokens(out, t, chat, (lcf_str){text.data, text.len}, said,
                                     LCF_SAID_MAX, true, err);
    if (status)
        out->n = before_n;
    lcf_buf_dispose(&text);
    return status;
}
