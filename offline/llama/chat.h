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

typedef enum lcf_chat {
    LCF_CHAT_PLAIN, /* no markers: a text to continue */
    LCF_CHAT_LLAMA2,
    LCF_CHAT_LLAMA3,
    LCF_CHAT_CHATML,
    LCF_CHAT_ZEPHYR,
    LCF_CHAT_MISTRAL,
} lcf_chat;

/* "plain", "llama2", ... */
const char *lcf_chat_name(lcf_chat chat);
/* errors: EUSAGE no such template; the message lists them */
lcf_status lcf_chat_parse(lcf_chat *out, const char *name, lcf_err *err);
/*
 * The template of a file, recognised by the markers in tokenizer.chat_template; PLAIN where there
 * is none. false: there is one that is none of these, and *out is PLAIN.
 */
bool lcf_chat_of_gguf(lcf_chat *out, const lcf_gguf *g);

/*
 * Appends a conversation up to where the model answers: <s> where the model wants it, what is said
 * once (system; may be empty), what the user says. PLAIN: one after the other, as one text.
 *
 * errors   ELIMIT text of 512 MiB and more; EUNSUPPORTED a marker is in a message, is text, and the
 *          vocabulary has no pieces for bytes; ENOMEM
 */
lcf_status lcf_chat_encode(lcf_tokens *out, const lcf_tokenizer *t, lcf_chat chat, lcf_str system,
                           lcf_str user, lcf_err *err);

#endif
