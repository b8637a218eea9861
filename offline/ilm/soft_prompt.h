/*
 * Soft prompts: text in which placeholders stand for the soft tokens of items and users.
 *
 *   User: {user}\nChosen: {history}\nTarget: {title}{item}\nAnswer:
 *
 *   {item} {user}      the entity's soft tokens
 *   {title}            the item's title
 *   {history}          titles, each followed by its soft tokens, oldest first, "; " between
 *   {history.titles}   the titles alone
 *   {history.items}    the soft tokens alone
 *
 * Titles are cleaned as in every prompt (recgen/prompt.h): they can neither open a placeholder nor
 * end a line.
 *
 * source   ILM, arXiv 2406.02844, figure 1; schemas/ilm.md
 */
#ifndef LCF_OFFLINE_ILM_SOFT_PROMPT_H
#define LCF_OFFLINE_ILM_SOFT_PROMPT_H

#include "common/data/dataset.h"
#include "offline/llama/tokenizer.h"

#define LCF_SOFT_PIECES_MAX 32

typedef enum lcf_soft_value {
    LCF_SOFT_TEXT,
    LCF_SOFT_ITEM,
    LCF_SOFT_USER,
    LCF_SOFT_TITLE,
    LCF_SOFT_HISTORY,
    LCF_SOFT_HISTORY_TITLES,
    LCF_SOFT_HISTORY_ITEMS,
} lcf_soft_value;

typedef struct lcf_soft_piece {
    lcf_soft_value value;
    lcf_str text; /* of LCF_SOFT_TEXT, a view of what was parsed */
} lcf_soft_piece;

typedef struct lcf_soft_template {
    lcf_soft_piece pieces[LCF_SOFT_PIECES_MAX];
    size_t n;
} lcf_soft_template;

/*
 * Reads a template; `text` must outlive it. source: a name for messages.
 *
 * errors   EFORMAT an unknown or unclosed placeholder (named, with its place); ELIMIT too many
 */
lcf_status lcf_soft_template_parse(lcf_soft_template *out, lcf_str text, const char *source,
                                   lcf_err *err);

/* How entities become ids: entity e of vectors.h is vocab_n + e * tokens_n and what follows. */
typedef struct lcf_soft_form {
    const lcf_tokenizer *tokenizer;
    const lcf_dataset *d;
    size_t vocab_n;  /* of the model */
    size_t tokens_n; /* soft tokens of an entity; 0: none, the text alone */
    size_t title_bytes_max;
} lcf_soft_form;

typedef struct lcf_soft_facts {
    uint32_t user, item;
    const uint32_t *history; /* [history_n] items, oldest first */
    size_t history_n;
} lcf_soft_facts;

/* Appends the prompt, beginning with <s> where the vocabulary has it. errors: ENOMEM */
lcf_status lcf_soft_prompt(lcf_tokens *out, const lcf_soft_template *t, const lcf_soft_form *form,
                           const lcf_soft_facts *f, lcf_err *err);

/*
 * Appends a prompt that names its entities itself: {item:ID} and {user:ID}, by the ids of the data.
 *
 * errors   EFORMAT a placeholder of another kind or not closed; ENOENT no such item or user
 * (named); ENOMEM
 */
lcf_status lcf_soft_prompt_named(lcf_tokens *out, lcf_str text, const lcf_soft_form *form,
                                 lcf_err *err);

#endif
