/*
 * GGUF writer, version 3. Keys and the tensor table are collected in memory, tensor data is
 * converted and written at commit; the file appears under its name only when it is complete.
 */
#include "offline/llama/gguf.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/llama/gguf_types.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_N = 8192 }; /* values converted at a time: a multiple of every block */

typedef struct chunk_room {
    float wide[CHUNK_N], narrow[CHUNK_N];
} chunk_room;

typedef struct pending {
    char name[LCF_GGUF_NAME_BYTES];
    lcf_gguf_type type;
    const float *values;           /* one of the two */
    const lcf_gguf_tensor *source; /* converted, or copied where the types agree */
    size_t n;
} pending;

struct lcf_gguf_writer {
    char *path;
    lcf_out *out;
    lcf_buf keys, tensors; /* the two tables as they go into the file */
    uint64_t keys_n;
    uint64_t offset; /* of the next tensor's data */
    pending *pending;
    size_t pending_n, pending_capacity;
    void (*watch)(void *arg, uint64_t bytes_n);
    void *watch_arg;
    uint64_t data_bytes_n; /* of tensors, written so far */
};

lcf_status lcf_gguf_create(lcf_gguf_writer **out, const char *path, lcf_err *err)
{
    lcf_gguf_writer *w = NULL;
    lcf_status status;

    *out = NULL;
    w = lcf_alloc_zero(1, sizeof(*w));
    if (w)
        w->path = lcf_strdup(path);
    if (!w || !w->path) {
        status = LCF_FAIL(err, LCF_ENOMEM, "%s: GGUF writer", path);
        goto done;
    }
    status = lcf_out_open(&w->out, path, err);
    if (status)
        goto done;
    *out = w;
    w = NULL;
done:
    lcf_gguf_abandon(w);
    return status;
}

void lcf_gguf_abandon(lcf_gguf_writer *w)
{
    if (!w)
        return;
    lcf_out_abandon(w->out);
    lcf_buf_dispose(&w->keys);
    lcf_buf_dispose(&w->tensors);
    free(w->pending);
    free(w->path);
    free(w);
}

static void put_u32(lcf_buf *b, uint32_t value)
{
    lcf_buf_append(b, &value, sizeof(value));
}

static void put_u64(lcf_buf *b, uint64_t value)
{
    lcf_buf_append(b, &value, sizeof(value));
}

static void put_string(lcf_buf *b, const char *data, size_t len)
{
    put_u64(b, len);
    lcf_buf_append(b, data, len);
}

static lcf_status keys_status(const lcf_gguf_writer *w, const char *key, lcf_err *err)
{
    return w->keys.status ? LCF_FAIL(err, w->keys.status, "%s: key '%s'", w->path, key) : LCF_OK;
}

static lcf_status add_scalar(lcf_gguf_writer *w, const char *key, lcf_gguf_kind kind,
                             const void *value, size_t bytes_n, lcf_err *err)
{
    LCF_ASSERT(!w->pending_n); /* keys first */
    put_string(&w->keys, key, strlen(key));
    put_u32(&w->keys, kind);
    lcf_buf_append(&w->keys, value, bytes_n);
    w->keys_n++;
    return keys_status(w, key, err);
}

lcf_status lcf_gguf_add_u32(lcf_gguf_writer *w, const char *key, uint32_t value, lcf_err *err)
{
    return add_scalar(w, key, LCF_GGUF_KIND_U32, &value, sizeof(value), err);
}

lcf_status lcf_gguf_add_f32(lcf_gguf_writer *w, const char *key, float value, lcf_err *err)
{
    return add_scalar(w, key, LCF_GGUF_KIND_F32, &value, sizeof(value), err);
}

lcf_status lcf_gguf_add_bool(lcf_gguf_writer *w, const char *key, bool value, lcf_err *err)
{
    uint8_t byte = value;

    return add_scalar(w, key, LCF_GGUF_KIND_BOOL, &byte, sizeof(byte), err);
}

lcf_status lcf_gguf_add_string(lcf_gguf_writer *w, const char *key, const char *value, lcf_err *err)
{
    add_scalar(w, key, LCF_GGUF_KIND_STRING, NULL, 0, NULL);
    put_string(&w->keys, value, strlen(value));
    return keys_status(w, key, err);
}

static void begin_array(lcf_gguf_writer *w, const char *key, lcf_gguf_kind kind, size_t n)
{
    add_scalar(w, key, LCF_GGUF_KIND_ARRAY, NULL, 0, NULL);
    put_u32(&w->keys, kind);
    put_u64(&w->keys, n);
}

lcf_status lcf_gguf_add_strings(lcf_gguf_writer *w, const char *key, const lcf_str *values,
                                size_t n, lcf_err *err)
{
    begin_array(w, key, LCF_GGUF_KIND_STRING, n);
    for (size_t i = 0; i < n; i++)
        put_string(&w->keys, values[i].data, values[i].len);
    return keys_status(w, key, err);
}

lcf_status lcf_gguf_add_f32s(lcf_gguf_writer *w, const char *key, const float *values, size_t n,
                             lcf_err *err)
{
    begin_array(w, key, LCF_GGUF_KIND_F32, n);
    lcf_buf_append(&w->keys, values, n * sizeof(*values));
    return keys_status(w, key, err);
}

lcf_status lcf_gguf_add_i32s(lcf_gguf_writer *w, const char *key, const int32_t *values, size_t n,
                             lcf_err *err)
{
    begin_array(w, key, LCF_GGUF_KIND_I32, n);
    lcf_buf_append(&w->keys, values, n * sizeof(*values));
    return keys_status(w, key, err);
}

static uint64_t aligned(uint64_t offset)
{
    return (offset + LCF_GGUF_ALIGNMENT - 1) & ~(uint64_t)(LCF_GGUF_ALIGNMENT - 1);
}

lcf_status lcf_gguf_add_value(lcf_gguf_writer *w, const char *key, const lcf_gguf_value *value,
                              lcf_err *err)
{
    if (value->array)
        begin_array(w, key, value->kind, value->n);
    else
        add_scalar(w, key, value->kind, NULL, 0, NULL);
    if (value->kind == LCF_GGUF_KIND_STRING)
        for (size_t i = 0; i < value->n; i++)
            put_string(&w->keys, value->strings[i].data, value->strings[i].len);
    else
        lcf_buf_append(&w->keys, value->data, value->n * lcf_gguf_kind_bytes(value->kind));
    return keys_status(w, key, err);
}

/* The entry in the table, and t->n; where the values come from is the caller's to add. */
static lcf_status add_entry(lcf_gguf_writer *w, pending *t, const char *name, const uint64_t *dims,
                            uint32_t dims_n, lcf_err *err)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)t->type);
    lcf_status status;

    if (!info || dims_n < 1 || dims_n > 4 || !dims[0] || dims[0] % info->block_n ||
        strlen(name) >= sizeof(t->name))
        return LCF_FAIL(err, LCF_EINVAL, "%s: tensor '%s' cannot be written as %s", w->path, name,
                        info ? info->name : "an unknown type");
    memcpy(t->name, name, strlen(name) + 1);
    put_string(&w->tensors, name, strlen(name));
    put_u32(&w->tensors, dims_n);
    t->n = 1;
    for (uint32_t d = 0; d < dims_n; d++) {
        if (!dims[d] || !lcf_mul_size(&t->n, t->n, (size_t)dims[d]) || t->n > SIZE_MAX / 8)
            return LCF_FAIL(err, LCF_EINVAL, "%s: tensor '%s': bad dimensions", w->path, name);
        put_u64(&w->tensors, dims[d]);
    }
    put_u32(&w->tensors, (uint32_t)t->type);
    put_u64(&w->tensors, w->offset);
    status =
        lcf_grow((void **)&w->pending, &w->pending_capacity, w->pending_n + 1, sizeof(*w->pending));
    if (status || w->tensors.status)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: tensor '%s'", w->path, name);
    w->pending[w->pending_n++] = *t;
    w->offset = aligned(w->offset + lcf_gguf_type_bytes(t->type, t->n));
    return LCF_OK;
}

lcf_status lcf_gguf_add_tensor(lcf_gguf_writer *w, const char *name, lcf_gguf_type type,
                               const uint64_t *dims, uint32_t dims_n, const float *values,
                               lcf_err *err)
{
    pending t = {.type = type, .values = values};

    if (!lcf_gguf_type_writable(type))
        return LCF_FAIL(err, LCF_EINVAL, "%s: tensor '%s': values cannot be written as type %d",
                        w->path, name, (int)type);
    return add_entry(w, &t, name, dims, dims_n, err);
}

lcf_status lcf_gguf_add_converted(lcf_gguf_writer *w, const lcf_gguf_tensor *source,
                                  lcf_gguf_type type, lcf_err *err)
{
    pending t = {.type = type, .source = source};

    if (type != source->type &&
        !(lcf_gguf_type_readable(source->type) && lcf_gguf_type_writable(type)))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "%s: tensor '%s': %s cannot be converted to %s",
                        w->path, source->name, lcf_gguf_type_name(source->type),
                        lcf_gguf_type_name(type) ? lcf_gguf_type_name(type) : "an unknown type");
    return add_entry(w, &t, source->name, source->dims, source->dims_n, err);
}

void lcf_gguf_watch(lcf_gguf_writer *w, void (*watch)(void *arg, uint64_t bytes_n), void *arg)
{
    w->watch = watch;
    w->watch_arg = arg;
}

static lcf_status put(lcf_gguf_writer *w, const void *data, size_t n, lcf_err *err)
{
    if (n && fwrite(data, 1, n, lcf_out_stream(w->out)) != n)
        return LCF_FAIL_ERRNO(err, "%s: writing", w->path);
    return LCF_OK;
}

static lcf_status put_padding(lcf_gguf_writer *w, uint64_t written, lcf_err *err)
{
    static const char ZEROS[LCF_GGUF_ALIGNMENT];

    return put(w, ZEROS, (size_t)(aligned(written) - written), err);
}

/* What a narrower type cannot hold would silently become something else. */
static lcf_status check_fits(const lcf_gguf_writer *w, const pending *t, const float *x, size_t n,
                             lcf_err *err)
{
    /* BF16: below half way between its largest value and 2^128 */
    float most = t->type == LCF_GGUF_F32    ? FLT_MAX
                 : t->type == LCF_GGUF_BF16 ? 0x1.fefffep127f
                                            : 65504.f;

    if (!t->source) /* weights at hand are written as they are */
        return LCF_OK;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= most))
            return LCF_FAIL(err, LCF_EUNSUPPORTED,
                            "%s: tensor '%s' holds %g, which %s cannot express", w->path, t->name,
                            (double)x[i], lcf_gguf_type_name(t->type));
    return LCF_OK;
}

/* Values first .. first + n of a tensor as they go into the file: in `chunk`, or in the source. */
static lcf_status convert(const void **bytes, const lcf_gguf_writer *w, const pending *t,
                          size_t first, size_t n, chunk_room *chunk, lcf_err *err)
{
    const float *x = t->values ? t->values + first : chunk->wide;
    lcf_status status;

    if (t->source && t->source->type == t->type) {
        *bytes = (const uint8_t *)t->source->data + lcf_gguf_type_bytes(t->type, first);
        return LCF_OK;
    }
    if (t->source)
        lcf_gguf_dequantize(chunk->wide, t->source, first, n);
    status = check_fits(w, t, x, n, err);
    if (!status)
        lcf_gguf_quantize(chunk->narrow, t->type, x, n);
    *bytes = chunk->narrow;
    return status;
}

static lcf_status put_tensor(lcf_gguf_writer *w, const pending *t, chunk_room *chunk, bool last,
                             lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t first = 0; first < t->n && !status; first += CHUNK_N) {
        size_t n = t->n - first < CHUNK_N ? t->n - first : CHUNK_N;
        size_t bytes_n = lcf_gguf_type_bytes(t->type, n);
        const void *bytes = NULL;
        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "%s: stopped; nothing was changed", w->path);
        status = convert(&bytes, w, t, first, n, chunk, err);
        if (!status)
            status = put(w, bytes, bytes_n, err);
        w->data_bytes_n += bytes_n;
        if (w->watch)
            w->watch(w->watch_arg, w->data_bytes_n);
    }
    if (status || last)
        return status;
    return put_padding(w, lcf_gguf_type_bytes(t->type, t->n), err);
}

static lcf_status put_file(lcf_gguf_writer *w, chunk_room *chunk, lcf_err *err)
{
    lcf_buf header = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_append(&header, "GGUF", 4);
    put_u32(&header, 3);
    put_u64(&header, w->pending_n);
    put_u64(&header, w->keys_n);
    lcf_buf_append(&header, lcf_buf_text(&w->keys), w->keys.len);
    lcf_buf_append(&header, lcf_buf_text(&w->tensors), w->tensors.len);
    status = header.status || w->keys.status || w->tensors.status
                 ? LCF_FAIL(err, LCF_ENOMEM, "%s: header", w->path)
                 : put(w, header.data, header.len, err);
    if (!status && w->pending_n)
        status = put_padding(w, header.len, err);
    for (size_t i = 0; i < w->pending_n && !status; i++)
        status = put_tensor(w, &w->pending[i], chunk, i + 1 == w->pending_n, err);
    lcf_buf_dispose(&header);
    return status;
}

lcf_status lcf_gguf_commit(lcf_gguf_writer *w, lcf_err *err)
{
    chunk_room *chunk = lcf_alloc(1, sizeof(*chunk));
    lcf_status status;

    status = chunk ? put_file(w, chunk, err)
                   : LCF_FAIL(err, LCF_ENOMEM, "%s: buffer for conversion", w->path);
    if (!status) {
        status = lcf_out_commit(w->out, err);
        w->out = NULL;
    }
    free(chunk);
    lcf_gguf_abandon(w);
    return status;
}
