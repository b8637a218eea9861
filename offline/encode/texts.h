/*
 * Texts to encode, gathered in one block. Texts are appended to `bytes`, each ended by
 * encode_texts_end; once all are there, encode_texts_views makes them strings.
 */
#ifndef LCF_OFFLINE_ENCODE_TEXTS_H
#define LCF_OFFLINE_ENCODE_TEXTS_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stddef.h>

typedef struct encode_texts {
    lcf_buf bytes;
    size_t *ends; /* [n] text i is bytes[ends[i - 1] .. ends[i]) */
    size_t capacity, n;
    lcf_str *views; /* [n] of bytes, which must not grow any more */
} encode_texts;

/* What was appended to `bytes` since the last text is one. errors: ENOMEM, of appending too */
lcf_status encode_texts_end(encode_texts *t, lcf_err *err);
/* errors: ENOMEM */
lcf_status encode_texts_views(encode_texts *t, lcf_err *err);
void encode_texts_dispose(encode_texts *t);

#endif
