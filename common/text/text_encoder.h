/*
 * The lexical text encoder, read only: text -> L2-normalised vector, with what `llmcf encode`
 * fitted. Offline it makes the vectors of items; online those of items that a request describes.
 *
 * Life cycle: open -> encode ... -> close. Shared between threads; scratch belongs to one.
 *
 * source   schemas/encoder.md
 */
#ifndef LCF_COMMON_TEXT_TEXT_ENCODER_H
#define LCF_COMMON_TEXT_TEXT_ENCODER_H

#include "common/base/bundle.h"
#include "common/text/lexical.h"

#include <stdbool.h>

#define LCF_TEXT_ENCODER_KIND "encoder"
#define LCF_TEXT_ENCODER_VERSION 1
#define LCF_TEXT_DIM_MAX 4096

/* `rows` lists the hash buckets that count, ascending; bucket rows[r] weighs idf[r] and projects to
 * components[r]. */
typedef struct lcf_text_encoder {
    lcf_bundle *bundle; /* owns the arrays of an opened one */
    uint32_t bits;
    size_t dim, rows_n;
    const uint32_t *rows;    /* [rows_n] */
    const float *idf;        /* [rows_n] */
    const float *components; /* [rows_n, dim] */
    const float *sigma;      /* [dim] */
    uint32_t *row_of;        /* [2^bits] row + 1, or 0; owned */
} lcf_text_encoder;

/* Empty, with row_of all 0. errors: EINVAL sizes out of range; ENOMEM */
lcf_status lcf_text_encoder_init(lcf_text_encoder *out, size_t dim, uint32_t bits, lcf_err *err);
/* errors: as lcf_bundle_open; EUNSUPPORTED an encoder of another type; EFORMAT */
lcf_status lcf_text_encoder_open(lcf_text_encoder *out, const char *path, lcf_err *err);
void lcf_text_encoder_close(lcf_text_encoder *e); /* all zeros is fine */
/* Whether the file is a model (GGUF), the other kind of encoder, which is no lexical one. */
bool lcf_text_encoder_is_model(const char *path);
/*
 * shapes   out [dim]; zeros for a text without any n-gram that counts
 * errors   ENOMEM
 * threads  scratch was initialised with e->bits
 */
lcf_status lcf_text_encoder_encode(float *out, const lcf_text_encoder *e, lcf_features *scratch,
                                   lcf_str text, lcf_err *err);

#endif
