/*
 * Chat templates: how a model that was tuned for conversations expects a message to be marked.
 *
 * Markers are control pieces where the vocabulary has them, and text where it has not. What is said
 * is data either way: it is encoded without control pieces, and where a marker is text, the same
 * text inside a message is spelled in bytes, so that it has other ids than the marker.
 *
 * source   the templates that Llama 2, Llama 3, Qwen 2 (ChatML), Zephyr and TinyLlama, and Mistral
 *          are published with
 */
#ifndef LCF_OFFLINE_LLAMA_CHAT_H
#define LCF_OFFLINE_LLAMA_CHAT_H

#include "offline/llama/gguf.h"
#include "offline/llama/tokenizer.h"

typedef enum lcf_template {
    LCF_TEMPLATE_PLAIN, /* no markers: a text to continue */
    LCF_TEMPLATE_LLAMA2,
    LCF_TEMPLATE_LLAMA3,
    LCF_TEMPLATE_CHATML,
    LCF_TEMPLATE_ZEPHYR,
    LCF_TEMPLATE_MISTRAL,
} lcf_template;

/* "plain", "llama2", ... */
const char *lcf_template_name(lcf_template chat);
/* errors: EUSAGE no such template; the message lists them */
lcf_status lcf_template_parse(lcf_template *out, const char *name, lcf_err *err);
/*
 * The template of a file, recognised by the markers in tokenizer.chat_template; PLAIN where there
 * is none. false: there is one that is none of these, and *out is PLAIN.
 */
bool lcf_template_of_gguf(lcf_template *out, const lcf_gguf *g);

/* The same of a file that is opened for it; one that is none of these is a line in the log. errors:
 * as lcf_gguf_open */
lcf_status lcf_template_of_file(lcf_template *out, const char *path, lcf_err *err);

/* Which question of a conversation. */
typedef enum lcf_question { LCF_QUESTION_FIRST, LCF_QUESTION_NEXT } lcf_question;

/* Bytes [begin, end) of a rendered text: what somebody said; what stands around it is marked. */
typedef struct lcf_said {
    size_t begin, end;
} lcf_said;
#define LCF_SAID_MAX 2

/*
 * Appends a question, up to where the model answers, as text: what is said once (system; may be
 * empty; the first question's alone), what the user says. PLAIN: one after the other. said: the
 * places of both in `out`. out->status tells a lack of memory.
 */
void lcf_template_question(lcf_buf *out, lcf_said said[LCF_SAID_MAX], lcf_template chat,
                           lcf_question question, lcf_str system, lcf_str user);
/* Likewise an answer, without what ends it. */
void lcf_template_answer(lcf_buf *out, lcf_said *said, lcf_template chat, lcf_str answer);
/* Does <s> stand before this question, where the model wants it? */
bool lcf_template_opens(lcf_template chat, lcf_question question);
/* Does an answer begin without a blank? */
bool lcf_template_answers_plain(lcf_template chat);
/* The piece that ends an answer: the template's own where the vocabulary has it, else </s>. */
uint32_t lcf_template_end(const lcf_tokenizer *t, lcf_template chat);

/*
 * Appends the tokens of a rendered text. begins: it is the beginning of what the model reads. said:
 * in ascending order.
 *
 * errors   ELIMIT text of 512 MiB and more; EUNSUPPORTED a marker is in what is said, is text, and
 *          the vocabulary has no pieces for bytes; ENOMEM
 */
lcf_status lcf_template_tokens(lcf_tokens *out, const lcf_tokenizer *t, lcf_template chat,
                               lcf_str text, const lcf_said *said, size_t said_n, bool begins,
                               lcf_err *err);
/* Appends the tokens of a conversation of one question: <s> where the model wants it, and the
 * question. errors: as above */
lcf_status lcf_template_encode(lcf_tokens *out, const lcf_tokenizer *t, lcf_template chat,
                               lcf_str system, lcf_str user, lcf_err *err);

#endif
