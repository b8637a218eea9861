/* Texts in one block: see texts.h. */
#include "offline/encode/texts.h"

#include "common/base/mem.h"

#include <stdlib.h>

lcf_status encode_texts_end(encode_texts *t, lcf_err *err)
{
    if (t->bytes.status || lcf_grow((void **)&t->ends, &t->capacity, t->n + 1, sizeof(*t->ends)))
        return LCF_FAIL(err, LCF_ENOMEM, "texts to encode");
    t->ends[t->n++] = t->bytes.len;
    return LCF_OK;
}

lcf_status encode_texts_views(encode_texts *t, lcf_err *err)
{
    const char *bytes = lcf_buf_text(&t->bytes);
    size_t begin = 0;

    t->views = lcf_alloc(t->n + 1, sizeof(*t->views));
    if (!t->views)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu texts", t->n);
    for (size_t i = 0; i < t->n; i++) {
        t->views[i] = (lcf_str){bytes + begin, t->ends[i] - begin};
        begin = t->ends[i];
    }
    return LCF_OK;
}

void encode_texts_dispose(encode_texts *t)
{
    lcf_buf_dispose(&t->bytes);
    free(t->ends);
    free(t->views);
}
