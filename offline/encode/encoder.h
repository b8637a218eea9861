/*
 * Text encoders: text -> L2-normalised vector. The embedded default is lexical: hashed word and
 * character n-grams, TF-IDF, truncated SVD (LSA). It needs no weights from anywhere: it is fitted
 * on the texts at hand. The other kind is a BERT in a GGUF file (offline/llama/bert.h).
 *
 * An encoder is immutable after fit/open and shared between threads.
 *
 * source   Deerwester et al. 1990 (LSA); Halko, Martinsson and Tropp 2011 (randomised SVD);
 * schemas/embeddings.md
 */
#ifndef LCF_OFFLINE_ENCODE_ENCODER_H
#define LCF_OFFLINE_ENCODE_ENCODER_H

#include "common/base/pool.h"
#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_encoder lcf_encoder;

typedef struct lcf_lexical_options {
    size_t dim;        /* of the vectors */
    uint32_t bits;     /* 2^bits hash buckets */
    size_t iterations; /* power iterations of the randomised SVD */
    uint64_t seed;
    size_t texts_max; /* fit on as many, evenly spread over all; 0 = on all */
} lcf_lexical_options;
#define LCF_LEXICAL_OPTIONS_INIT \
    {                            \
        256, 17, 2, 1, 20000     \
    }

/* errors: EINVAL no text at all; ENOMEM. When the texts have a lower rank than dim, the rest of the
 * dims is zero. */
lcf_status lcf_encoder_fit_lexical(lcf_encoder **out, const lcf_str *texts, size_t n,
                                   const lcf_lexical_options *options, lcf_pool *pool,
                                   lcf_err *err);
/* Either kind, by what the file is. errors: as lcf_bundle_open, lcf_bert_open; EUNSUPPORTED a BERT
 * in several files */
lcf_status lcf_encoder_open(lcf_encoder **out, const char *path, lcf_err *err);
/* A BERT is copied as its file is. errors: EUNSUPPORTED a BERT in several files */
lcf_status lcf_encoder_save(const lcf_encoder *e, const char *path, lcf_err *err);
void lcf_encoder_free(lcf_encoder *e);
size_t lcf_encoder_dim(const lcf_encoder *e);
bool lcf_encoder_is_bert(const lcf_encoder *e);
/*
 * shapes   out [n, dim]; an empty text, or for lexical one without any known n-gram, gives zeros
 * order    a text's vector does not depend on the others
 */
lcf_status lcf_encoder_encode(float *out, const lcf_encoder *e, const lcf_str *texts, size_t n,
                              lcf_pool *pool, lcf_err *err);

#endif
