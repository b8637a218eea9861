/*
 * Tokenizers as a GGUF file carries them:
 *
 *   llama   SentencePiece: pieces with scores, merged by the best score, byte fallback
 *   gpt2    byte-level BPE: a pre-tokenizer (gpt-2, llama-bpe, qwen2, smollm) cuts words, ranked
 *           merges within them
 *   bert    WordPiece: folded characters, the longest piece first; for encoders, not reversible
 *
 * Text never becomes a control piece: an item titled "</s>" or "<|im_end|>" is spelled out. A
 * user-defined piece is taken whole where its spelling stands in the text, unless it looks like a
 * marker of a chat; such a piece counts as control.
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

typedef enum lcf_tokenizer_kind {
    LCF_TOKENIZER_SPM,
    LCF_TOKENIZER_BPE,
    LCF_TOKENIZER_WORDPIECE,
} lcf_tokenizer_kind;

#define LCF_TOKEN_NONE UINT32_MAX /* where a vocabulary has no such piece */

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

/* errors: EFORMAT no vocabulary or an inconsistent one; EUNSUPPORTED another tokenizer model or
 * pre-tokenizer (named) */
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

lcf_tokenizer_kind lcf_tokenizer_kind_of(const lcf_tokenizer *t);
/* "llama", or "gpt2 (qwen2)", ... */
const char *lcf_tokenizer_name(const lcf_tokenizer *t);
size_t lcf_tokenizer_vocab_n(const lcf_tokenizer *t);
/* LCF_TOKEN_NONE where there is none; for WordPiece [CLS] and [SEP]. */
uint32_t lcf_tokenizer_bos(const lcf_tokenizer *t);
uint32_t lcf_tokenizer_eos(const lcf_tokenizer *t);
/* Whether a model that writes this id has ended: </s>, or the end of a turn or a message. */
bool lcf_tokenizer_is_end(const lcf_tokenizer *t, uint32_t id);
/* Whether a prompt begins with <s> (a key of the GGUF). */
bool lcf_tokenizer_adds_bos(const lcf_tokenizer *t);
/* The control or user-defined piece of exactly this text, e.g. "<|im_start|>"; LCF_TOKEN_NONE. */
uint32_t lcf_tokenizer_special(const lcf_tokenizer *t, const char *text, size_t len);

/*
 * Appends the ids of `text`. add_prefix_space: as the start of a text (a space mark before the
 * first word) where the GGUF's rule says so; pass false for a continuation. A U+2581 of the text is
 * spelled in bytes, so that decoding gives back every byte, of invalid UTF-8 too (not WordPiece).
 *
 * errors   ELIMIT text of 512 MiB and more; ENOMEM; out is unchanged
 * cost     O(len log len) for any text
 */
lcf_status lcf_tokenizer_encode(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                                size_t len, bool add_prefix_space, lcf_err *err);
/* The same with every byte a piece of its own: the bytes of `text`, but the ids of nothing else.
 * errors: EUNSUPPORTED a vocabulary without bytes */
lcf_status lcf_tokenizer_spell(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                               size_t len, lcf_err *err);
/* Appends the bytes of ids; control tokens give nothing. A leading space made by add_prefix_space
 * is kept. */
void lcf_tokenizer_decode(lcf_buf *out, const lcf_tokenizer *t, const uint32_t *ids, size_t n);

#endif
