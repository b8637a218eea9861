/*
 * BERT text encoders from GGUF (architecture `bert`: bge, MiniLM and their kin): a text becomes one
 * vector of unit length.
 *
 * [CLS] text [SEP] through the post-norm transformer, then the state of [CLS] or the mean over all
 * tokens, as the file says. A text is computed on its own: its vector does not depend on the others
 * or on the number of threads. Text beyond the model's context is cut.
 *
 * Immutable after opening and shared between threads.
 *
 * source   Devlin et al. 2018; Reimers and Gurevych 2019 (pooling); tensor names as in GGUF's bert
 */
#ifndef LCF_OFFLINE_LLAMA_BERT_H
#define LCF_OFFLINE_LLAMA_BERT_H

#include "common/base/pool.h"
#include "offline/llama/gguf.h"
#include "offline/llama/tokenizer.h"

typedef enum lcf_bert_pooling { /* with GGUF's numbers */
                                LCF_BERT_MEAN = 1,
                                LCF_BERT_CLS = 2,
} lcf_bert_pooling;

typedef struct lcf_bert_config {
    size_t vocab_n, dim, layers_n, heads_n, ffn_dim, context_n;
    float norm_eps;
    lcf_bert_pooling pooling;
} lcf_bert_config;

typedef struct lcf_bert lcf_bert;

/* errors: as lcf_gguf_open; EUNSUPPORTED another architecture, pooling or tensor (named); EFORMAT a
 * tensor missing or misshapen (named), a vocabulary without [CLS] and [SEP] */
lcf_status lcf_bert_open(lcf_bert **out, const char *path, lcf_err *err);
void lcf_bert_close(lcf_bert *b);
const lcf_bert_config *lcf_bert_config_of(const lcf_bert *b);
const lcf_gguf *lcf_bert_file(const lcf_bert *b);

/* [CLS], the ids of a text as far as the context goes, [SEP]; appended. */
lcf_status lcf_bert_tokens(lcf_tokens *out, const lcf_bert *b, lcf_str text, lcf_err *err);
/*
 * The pooled, L2-normalised vector of a sequence of ids.
 *
 * shapes   out [dim]; ids [n], n in 1 .. context_n
 * errors   EINVAL n or an id out of range; ENOMEM
 */
lcf_status lcf_bert_embed(float *out, const lcf_bert *b, const uint32_t *ids, size_t n,
                          lcf_err *err);
/*
 * Texts to vectors; an empty text gives zeros.
 *
 * shapes   out [n, dim]
 * errors   ENOMEM
 */
lcf_status lcf_bert_encode(float *out, const lcf_bert *b, const lcf_str *texts, size_t n,
                           lcf_pool *pool, lcf_err *err);

#endif
