/*
 * The codec of CoT records. Invariant: every frame written here carries zstd's checksum; without it
 * more than half of all single bit flips decode to something else without an error.
 */
#include "common/store/cot_zstd.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <zdict.h>
#include <zstd.h>

typedef struct dictionary {
    uint32_t id;
    ZSTD_CDict *compress;
    ZSTD_DDict *expand;
} dictionary;

struct lcf_cot_codec {
    int level;
    ZSTD_CCtx *compress;
    ZSTD_DCtx *expand;
    dictionary *dictionaries;
    size_t dictionaries_n, capacity;
};

lcf_status lcf_cot_codec_create(lcf_cot_codec **out, int level, lcf_err *err)
{
    lcf_cot_codec *c = lcf_alloc_zero(1, sizeof(*c));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!c)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT codec, %zu bytes", sizeof(*c));
    c->level = level;
    c->compress = ZSTD_createCCtx();
    c->expand = ZSTD_createDCtx();
    if (!c->compress || !c->expand) {
        status = LCF_FAIL(err, LCF_ENOMEM, "zstd contexts");
        goto done;
    }
    if (ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, ZSTD_c_checksumFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, ZSTD_c_contentSizeFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, ZSTD_c_dictIDFlag, 1))) {
        status = LCF_FAIL(err, LCF_EINVAL, "zstd refuses level %d", level);
        goto done;
    }
    *out = c;
    c = NULL;
done:
    lcf_cot_codec_free(c);
    return status;
}

void lcf_cot_codec_free(lcf_cot_codec *c)
{
    if (!c)
        return;
    lcf_cot_codec_drop_dictionaries(c, 0);
    free(c->dictionaries);
    ZSTD_freeCCtx(c->compress);
    ZSTD_freeDCtx(c->expand);
    free(c);
}

uint32_t lcf_cot_dictionary_id(const void *data, size_t n)
{
    return ZSTD_getDictID_fromDict(data, n);
}

static const dictionary *find(const lcf_cot_codec *c, uint32_t id)
{
    for (size_t i = 0; i < c->dictionaries_n; i++)
        if (c->dictionaries[i].id == id)
            return &c->dictionaries[i];
    return NULL;
}

void lcf_cot_codec_choose(lcf_cot_codec *c, uint32_t id)
{
    const dictionary *d = find(c, id);

    if (d)
        ZSTD_CCtx_refCDict(c->compress, d->compress);
}

bool lcf_cot_codec_has_dictionary(const lcf_cot_codec *c, uint32_t id)
{
    return find(c, id) != NULL;
}

size_t lcf_cot_codec_dictionaries_n(const lcf_cot_codec *c)
{
    return c->dictionaries_n;
}

void lcf_cot_codec_drop_dictionaries(lcf_cot_codec *c, size_t n)
{
    ZSTD_CCtx_refCDict(c->compress, NULL); /* never keep a reference to one that goes */
    while (c->dictionaries_n > n) {
        dictionary *d = &c->dictionaries[--c->dictionaries_n];
        ZSTD_freeCDict(d->compress);
        ZSTD_freeDDict(d->expand);
    }
    if (c->dictionaries_n)
        ZSTD_CCtx_refCDict(c->compress, c->dictionaries[c->dictionaries_n - 1].compress);
}

lcf_status lcf_cot_codec_add_dictionary(lcf_cot_codec *c, const void *data, size_t n, lcf_err *err)
{
    dictionary d = {lcf_cot_dictionary_id(data, n), NULL, NULL};

    if (!d.id)
        return LCF_FAIL(err, LCF_EFORMAT, "CoT store: %zu bytes that are no zstd dictionary", n);
    if (lcf_grow((void **)&c->dictionaries, &c->capacity, c->dictionaries_n + 1, sizeof(d)))
        return LCF_FAIL(err, LCF_ENOMEM, "list of CoT dictionaries");
    d.compress = ZSTD_createCDict(data, n, c->level);
    d.expand = ZSTD_createDDict(data, n);
    if (!d.compress || !d.expand) { /* out of memory, or damaged behind a sound header */
        ZSTD_freeCDict(d.compress);
        ZSTD_freeDDict(d.expand);
        return LCF_FAIL(err, LCF_EFORMAT, "CoT store: dictionary %u of %zu bytes does not load",
                        d.id, n);
    }
    c->dictionaries[c->dictionaries_n++] = d;
    ZSTD_CCtx_refCDict(c->compress, d.compress);
    return LCF_OK;
}

lcf_status lcf_cot_codec_encode(lcf_cot_codec *c, lcf_buf *out, const void *raw, size_t n,
                                lcf_err *err)
{
    size_t bound = ZSTD_compressBound(n), written;
    char *to;

    if (n > LCF_COT_RAW_BYTES_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "CoT record of %zu bytes; the limit is %u", n,
                        LCF_COT_RAW_BYTES_MAX);
    to = lcf_buf_reserve(out, bound);
    if (!to)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT record, %zu bytes", bound);
    written = ZSTD_compress2(c->compress, to, bound, raw, n);
    if (ZSTD_isError(written))
        return LCF_FAIL(err, LCF_ENOMEM, "zstd: %s", ZSTD_getErrorName(written));
    lcf_buf_advance(out, written);
    return LCF_OK;
}

lcf_status lcf_cot_frame_info(size_t *raw_bytes, uint32_t *dictionary_id, const void *frame,
                              size_t n, lcf_err *err)
{
    unsigned long long size = ZSTD_getFrameContentSize(frame, n);

    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN ||
        size > LCF_COT_RAW_BYTES_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu bytes that are no zstd frame of up to %u bytes", n,
                        LCF_COT_RAW_BYTES_MAX);
    *raw_bytes = (size_t)size;
    *dictionary_id = ZSTD_getDictID_fromFrame(frame, n);
    return LCF_OK;
}

/* Bit 2 of the frame header descriptor. A frame without checksum is not ours: a flipped flag would
 * otherwise switch the check off. source: RFC 8878, 3.1.1.1.1 */
static bool has_checksum(const void *frame, size_t n)
{
    return n > 4 && (((const uint8_t *)frame)[4] & 4);
}

lcf_status lcf_cot_codec_decode(lcf_cot_codec *c, lcf_buf *out, const void *frame, size_t n,
                                lcf_err *err)
{
    size_t raw, got;
    uint32_t id;
    const dictionary *d = NULL;
    char *to;
    lcf_status status = lcf_cot_frame_info(&raw, &id, frame, n, err);

    if (status)
        return status;
    if (!has_checksum(frame, n))
        return LCF_FAIL(err, LCF_ECHECKSUM, "damaged zstd frame header");
    if (id && !(d = find(c, id)))
        return LCF_FAIL(err, LCF_ENOTFOUND, "compressed with dictionary %u, which the store lacks",
                        id);
    to = lcf_buf_reserve(out, raw);
    if (!to)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT record, %zu bytes", raw);
    got = d ? ZSTD_decompress_usingDDict(c->expand, to, raw, frame, n, d->expand)
            : ZSTD_decompressDCtx(c->expand, to, raw, frame, n);
    if (ZSTD_isError(got) || got != raw)
        return LCF_FAIL(err, LCF_ECHECKSUM, "zstd: %s",
                        ZSTD_isError(got) ? ZSTD_getErrorName(got) : "wrong content size");
    lcf_buf_advance(out, got);
    return LCF_OK;
}

lcf_status lcf_cot_dictionary_train(lcf_buf *out, const void *samples, const size_t *sizes,
                                    size_t n, size_t bytes_max, lcf_err *err)
{
    char *to = lcf_buf_reserve(out, bytes_max);
    size_t got;

    if (!to)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT dictionary, %zu bytes", bytes_max);
    if (n > UINT32_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "%zu samples for a dictionary", n);
    got = ZDICT_trainFromBuffer(to, bytes_max, samples, sizes, (unsigned)n);
    if (ZDICT_isError(got) || !lcf_cot_dictionary_id(to, got))
        return LCF_EUNSUPPORTED;
    lcf_buf_advance(out, got);
    return LCF_OK;
}
