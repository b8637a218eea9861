/*
 * Dialogues: instructions and conversations from files of somebody else's, and plain text, mixed
 * into tuning so that the model learns from them or keeps what it can do besides recommending.
 *
 * Each form is read as a JSON list of objects or as one JSON object per line, but for TEXT:
 *
 *   ALPACA    {"instruction", "input" (optional), "output", "system" (optional)}
 *             or self-instruct's {"instruction", "instances": [{"input", "output"}]}
 *   SHAREGPT  {"conversations": [{"from": "human" | "gpt" | "system", "value"}]}
 *             with "system" beside the list, too
 *   OPENAI    {"messages": [{"role": "user" | "assistant" | "system", "content"}]}
 *             content is a string or a list of {"type": "text", "text"}
 *   TEXT      paragraphs, divided by empty lines, cut at blanks into rows of at most a KiB
 *
 * Invariant: a row is an optional SYSTEM turn, then USER (and its INPUT) and ASSISTANT in turn, at
 * least one of each, and no ASSISTANT turn is empty; a row of TEXT is one ASSISTANT turn. Rows with
 * an empty answer are left out and counted; a row that is none of this is an error that names file
 * and line.
 *
 * Life cycle: load (several files may be loaded into one) -> read -> dispose.
 */
#ifndef LCF_OFFLINE_RECGEN_DIALOGUES_H
#define LCF_OFFLINE_RECGEN_DIALOGUES_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_DIALOGUE_FILE_BYTES_MAX ((size_t)1 << 30)
#define LCF_DIALOGUE_TURNS_MAX 1000 /* of one row */
#define LCF_TEXT_ROW_BYTES_MAX 1024 /* of a row of plain text */

typedef enum lcf_dialogue_form {
    LCF_FORM_ALPACA,
    LCF_FORM_SHAREGPT,
    LCF_FORM_OPENAI,
    LCF_FORM_TEXT,
} lcf_dialogue_form;

typedef enum lcf_role {
    LCF_ROLE_SYSTEM,
    LCF_ROLE_USER,
    LCF_ROLE_INPUT, /* what the instruction of the USER turn before it is about */
    LCF_ROLE_ASSISTANT,
} lcf_role;

typedef struct lcf_turn {
    lcf_role role;
    lcf_str text;
} lcf_turn;

typedef struct lcf_dialogues {
    lcf_buf text;    /* all strings, one after another */
    uint64_t *cuts;  /* [turns_n + 1] of text */
    uint8_t *roles;  /* [turns_n] */
    uint64_t *first; /* [n + 1]: row i has the turns first[i] .. first[i + 1] */
    size_t n, turns_n;
    size_t cuts_capacity, roles_capacity, first_capacity;
    size_t empty_n; /* rows left out */
} lcf_dialogues;

#define LCF_DIALOGUES_INIT   \
    {                        \
        .text = LCF_BUF_INIT \
    }

/* errors: ENOENT, EIO, ELIMIT larger than the limit; EFORMAT (file, line and cause named) */
lcf_status lcf_dialogues_load(lcf_dialogues *g, lcf_dialogue_form form, const char *path,
                              lcf_err *err);
/* The same from bytes at hand; `source` names them in messages. */
lcf_status lcf_dialogues_parse(lcf_dialogues *g, lcf_dialogue_form form, const char *text,
                               size_t len, const char *source, lcf_err *err);
/* Appends one row of these turns, whatever their length; it must keep the invariant. */
lcf_status lcf_dialogues_add(lcf_dialogues *g, const lcf_turn *turns, size_t n, lcf_err *err);
/* Takes all rows away; the memory is kept. */
void lcf_dialogues_reset(lcf_dialogues *g);
size_t lcf_dialogues_turns_n(const lcf_dialogues *g, size_t row);
/* Its text is valid until the next load. */
lcf_turn lcf_dialogues_turn(const lcf_dialogues *g, size_t row, size_t turn);
void lcf_dialogues_dispose(lcf_dialogues *g);

#endif
