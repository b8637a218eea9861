/*
 * What the catalogue says of each item, as tokens for the text branch of a Q-Former: title, brand,
 * categories, description, cut where it becomes too long.
 */
#ifndef LCF_OFFLINE_ILM_ITEM_TEXTS_H
#define LCF_OFFLINE_ILM_ITEM_TEXTS_H

#include "common/data/dataset.h"
#include "offline/llama/tokenizer.h"

typedef struct lcf_item_texts {
    size_t items_n;
    lcf_tokens tokens;
    uint32_t *offsets; /* [items_n + 1] into tokens.ids; an item without text is empty */
    uint64_t *hashes;  /* [items_n] of the tokens: equal texts have equal ones */
} lcf_item_texts;

/* Appends "title. brand. category, category. text", with what there is. */
void lcf_item_text(lcf_buf *out, const lcf_catalogue *c, uint32_t item);

/* tokens_max: of a text, without marks. errors: ENOMEM, ELIMIT */
lcf_status lcf_item_texts_create(lcf_item_texts *out, const lcf_catalogue *c,
                                 const lcf_tokenizer *tokenizer, size_t tokens_max, lcf_err *err);
void lcf_item_texts_dispose(lcf_item_texts *t);
/* Tokens of an item. */
static inline size_t lcf_item_text_n(const lcf_item_texts *t, uint32_t item)
{
    return t->offsets[item + 1] - t->offsets[item];
}

/* A vocabulary of about `vocab_n` pieces learned from the texts of these items. errors: as
 * lcf_tokenizer_train */
lcf_status lcf_item_texts_tokenizer(lcf_tokenizer **out, const lcf_catalogue *c,
                                    const uint32_t *items, size_t items_n, size_t vocab_n,
                                    lcf_err *err);

#endif
