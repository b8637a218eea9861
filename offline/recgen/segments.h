/*
 * Segments: a training row as text, before the tokenizer sees it: what is given and what is to be
 * answered, in turn. Everything that is trained on or measured passes through this form, so that a
 * row of a dataset and a conversation from a file are cut, counted and masked by the same code.
 *
 * A chat template turns the turns of a dialogue into segments:
 *
 *   recgen   Instruction: ...\nAnswer: ...          as the compact prompts of prompt.h
 *   alpaca   ### Instruction: / ### Input: / ### Response:, to the byte as TALLRec's published code
 *            writes it (a lint comment stands inside its text)
 *   llama2, llama3, chatml, zephyr, mistral, plain  those of offline/llama/chat.h: markers are
 *            control pieces where the vocabulary has them, and what is said is never a marker
 */
#ifndef LCF_OFFLINE_RECGEN_SEGMENTS_H
#define LCF_OFFLINE_RECGEN_SEGMENTS_H

#include "offline/llama/chat.h"
#include "offline/recgen/dialogues.h"

#include <stdbool.h>

typedef struct lcf_segment {
    size_t begin, end; /* of the text */
    bool opens;        /* a text begins here: <s> stands before it, where the vocabulary has one */
    bool answer;       /* learned; else given */
    bool closes;       /* </s> or what else ends an answer follows, as a part of it */
    bool marked;       /* its text has the markers of `chat` around what is said */
    lcf_template chat; /* of its markers and its end */
    lcf_said said[LCF_SAID_MAX]; /* from its beginning */
} lcf_segment;

typedef struct lcf_segments { /* owned by its caller, zero to start with */
    lcf_buf text;
    lcf_segment *list;
    size_t n, capacity;
} lcf_segments;

void lcf_segments_reset(lcf_segments *s);
void lcf_segments_dispose(lcf_segments *s);
lcf_str lcf_segments_text(const lcf_segments *s, size_t idx);
/* The text appended to s->text since the last segment becomes one. errors: ENOMEM, also of that
 * text */
lcf_status lcf_segments_cut(lcf_segments *s, bool opens, bool answer, bool closes, lcf_err *err);

typedef enum lcf_chat {
    LCF_CHAT_RECGEN,
    LCF_CHAT_LLAMA2,
    LCF_CHAT_ALPACA,
    LCF_CHAT_LLAMA3,
    LCF_CHAT_CHATML,
    LCF_CHAT_ZEPHYR,
    LCF_CHAT_MISTRAL,
    LCF_CHAT_PLAIN,
    LCF_CHATS_N,
} lcf_chat;
const char *lcf_chat_name(lcf_chat chat);
/* Does an answer begin without a blank? */
bool lcf_chat_answers_plain(lcf_chat chat);

/* What is left out of a dialogue to make it short enough. */
typedef struct lcf_dialogue_trim {
    size_t exchanges;   /* the oldest so many questions with their answers */
    size_t input_bytes; /* so much of the beginning of the last INPUT (or, without one, USER) */
} lcf_dialogue_trim;

/* Appends one question and its answer. `first`: nothing stands before it. `input` may be empty. */
lcf_status lcf_chat_exchange(lcf_segments *out, lcf_chat chat, lcf_str system, lcf_str user,
                             lcf_str input, lcf_str answer, bool first, lcf_err *err);
/* Appends row `row`; a row of plain text is one answer. */
lcf_status lcf_chat_segments(lcf_segments *out, lcf_chat chat, const lcf_dialogues *g, size_t row,
                             const lcf_dialogue_trim *trim, lcf_err *err);
/* Questions of a row, and the bytes that input_bytes may take from it. */
size_t lcf_chat_exchanges(const lcf_dialogues *g, size_t row);
size_t lcf_chat_input_bytes(const lcf_dialogues *g, size_t row);

#endif
