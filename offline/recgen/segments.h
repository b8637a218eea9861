/*
 * Segments: a training row as text, before the tokenizer sees it: what is given and what is to be
 * answered, in turn. Everything that is trained on or measured passes through this form, so that a
 * row of a dataset and a conversation from a file are cut, counted and masked by the same code.
 *
 * A chat template turns the turns of a dialogue into segments:
 *
 *   recgen   Instruction: ...\nAnswer: ...          as the compact prompts of prompt.h
 *   llama2   <s>[INST] <<SYS>>...<</SYS>> ... [/INST] ...</s> for every exchange
 *   alpaca   ### Instruction: / ### Input: / ### Response:, to the byte as TALLRec's published code
 *            writes it (a lint comment stands inside its text)
 */
#ifndef LCF_OFFLINE_RECGEN_SEGMENTS_H
#define LCF_OFFLINE_RECGEN_SEGMENTS_H

#include "offline/recgen/dialogues.h"

#include <stdbool.h>

typedef struct lcf_segment {
    size_t begin, end; /* of the text */
    bool opens;        /* a text begins here: <s> stands before it, where the vocabulary has one */
    bool answer;       /* learned; else given */
    bool closes;       /* </s> follows, as a part of it */
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

typedef enum lcf_chat { LCF_CHAT_RECGEN, LCF_CHAT_LLAMA2, LCF_CHAT_ALPACA } lcf_chat;
#define LCF_CHATS_N 3
extern const char *const LCF_CHAT_NAMES[LCF_CHATS_N];

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
