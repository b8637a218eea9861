/*
 * SentencePiece-style tokenizer as GGUF's `llama` vocabulary defines it: pieces with scores, merged
 * greedily by the best score, byte fallback for what no piece covers.
 *
 * A tokenizer is immutable after creation and shared between threads.
 */
#ifndef LCF_OFFLINE_LLAMA_TOKENIZER_H
#define LCF_OFFLINE_LLAMA_TOKENIZER_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/llama/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_tokenizer lcf_tokenizer;

typedef struct lcf_tokens { /* growable list, owned by its caller */
    uint32_t *ids;
    size_t n, capacity;
} lcf_tokens;
#define LCF_TOKENS_INIT \
    {                   \
        0, 0, 0         \
    }
void lcf_tokens_dispose(lcf_tokens *t);
lcf_status lcf_tokens_push(lcf_tokens *t, uint32_t id);

/* errors: EFORMAT no vocabulary or an inconsistent one; EUNSUPPORTED another tokenizer model
 * (named) */
lcf_status lcf_tokenizer_from_gguf(lcf_tokenizer **out, const lcf_gguf *g, lcf_err *err);
/*
 * A vocabulary of `vocab_n` pieces learned from texts by byte-pair merging within words (a piece
 * may begin with, but not contain, the space mark; letters, digits and signs are not mixed in one).
 * Ids 0..2 are <unk>, <s>, </s>, 3..258 the bytes, then single characters by count, then pieces by
 * rank, score = -rank: encoding a text of the training set gives the segmentation that training
 * ended with. Deterministic: ties by count go to the pair seen first. Fewer than vocab_n pieces
 * where the texts hold no more pairs that occur twice.
 *
 * errors   EINVAL vocab_n below 259 or absurd; ENOMEM
 */
lcf_status lcf_tokenizer_train(lcf_tokenizer **out, const lcf_str *texts, size_t texts_n,
                               size_t vocab_n, lcf_err *err);
void lcf_tokenizer_free(lcf_tokenizer *t);
/* Writes tokenizer.ggml.* keys. */
lcf_status lcf_tokenizer_save(const lcf_tokenizer *t, lcf_gguf_writer *w, lcf_err *err);

size_t lcf_tokenizer_vocab_n(const lcf_tokenizer *t);
uint32_t lcf_tokenizer_bos(const lcf_tokenizer *t);
uint32_t lcf_tokenizer_eos(const lcf_tokenizer *t);
/* Whether a prompt begins with <s> (a key of the GGUF). */
bool lcf_tokenizer_adds_bos(const lcf_tokenizer *t);

/*
 * Appends the ids of `text`. add_prefix_space: as the start of a text (a space mark before the
 * first word) where the GGUF's rule says so; pass false for a continuation. A U+2581 of the text is
 * spelled in bytes, so that decoding gives back every byte.
 * Never produces control tokens from text: an item titled "</s>" is spelled out.
 */
lcf_status lcf_tokenizer_encode(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                                size_t len, bool add_prefix_space, lcf_err *err);
/* Appends the bytes of ids; control tokens give nothing. A leading space made by add_prefix_space
 * is kept. */
void lcf_tokenizer_decode(lcf_buf *out, const lcf_tokenizer *t, const uint32_t *ids, size_t n);

#endif
