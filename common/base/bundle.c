/*
 * Bundle files.
 *
 *   header      64 bytes: magic "LCFBUNDL", format u32, kind version u32, kind [16], arrays u32,
 * zero u32, directory offset u64, file bytes u64, hash of the directory u64 arrays      each
 * aligned to 64 bytes directory   128 bytes per array: name [64], dtype u32, dims_n u32, dims u64
 * [4], offset u64, XXH3-64 u64, zero u64
 *
 * The header is written last, into the space kept for it, so that a half-written file has no magic.
 * Little-endian.
 */
#include "common/base/bundle.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "LCFBUNDL"
#define FORMAT 1
#define ALIGNMENT 64
#define ARRAYS_MAX 4096

typedef struct header {
    char magic[8];
    uint32_t format, version;
    char kind[16];
    uint32_t arrays_n, zero;
    uint64_t directory_offset, file_bytes, directory_hash;
} header;
_Static_assert(sizeof(header) == 64, "the header is 64 bytes on disk");

typedef struct entry {
    char name[LCF_BUNDLE_NAME_MAX];
    uint32_t dtype, dims_n;
    uint64_t dims[LCF_BUNDLE_DIMS_MAX];
    uint64_t offset, hash;
    uint64_t zero;
} entry;
_Static_assert(sizeof(entry) == 128, "a directory entry is 128 bytes on disk");

size_t lcf_dtype_bytes(lcf_dtype dtype)
{
    switch (dtype) {
    case LCF_U8:
        return 1;
    case LCF_I16:
        return 2;
    case LCF_U32:
    case LCF_I32:
    case LCF_F32:
        return 4;
    case LCF_U64:
    case LCF_I64:
    case LCF_F64:
        return 8;
    }
    return 0;
}

static const char *dtype_name(lcf_dtype dtype)
{
    static const char *const NAMES[] = {"?", "u8", "u32", "u64", "i32", "i64", "f32", "f64", "i16"};

    return (unsigned)dtype < sizeof(NAMES) / sizeof(NAMES[0]) ? NAMES[dtype] : "?";
}

/* ---- writing ---- */

struct lcf_bundle_writer {
    lcf_out *out;
    char *path;
    header head;
    entry *entries;
    size_t entries_capacity;
    uint64_t offset;
};

static lcf_status write_bytes(lcf_bundle_writer *w, const void *data, size_t n, lcf_err *err)
{
    if (n && fwrite(data, 1, n, lcf_out_stream(w->out)) != n)
        return LCF_FAIL_ERRNO(err, "cannot write %s", w->path);
    w->offset += n;
    return LCF_OK;
}

static lcf_status write_padding(lcf_bundle_writer *w, lcf_err *err)
{
    static const char ZEROS[ALIGNMENT];

    return write_bytes(w, ZEROS, (ALIGNMENT - w->offset % ALIGNMENT) % ALIGNMENT, err);
}

lcf_status lcf_bundle_create(lcf_bundle_writer **out, const char *path, const char *kind,
                             uint32_t version, lcf_err *err)
{
    static const header EMPTY;
    lcf_status status;
    lcf_bundle_writer *w = lcf_alloc_zero(1, sizeof(*w));

    *out = NULL;
    LCF_ASSERT(strlen(kind) < sizeof(w->head.kind));
    if (!w)
        return LCF_FAIL(err, LCF_ENOMEM, "writer of %s", path);
    w->path = lcf_strdup(path);
    if (!w->path) {
        status = LCF_FAIL(err, LCF_ENOMEM, "writer of %s", path);
        goto done;
    }
    status = lcf_out_open(&w->out, path, err);
    if (status)
        goto done;
    memcpy(w->head.magic, MAGIC, sizeof(w->head.magic));
    w->head.format = FORMAT;
    w->head.version = version;
    memcpy(w->head.kind, kind, strlen(kind));
    status = write_bytes(w, &EMPTY, sizeof(EMPTY), err);
    if (status)
        goto done;
    *out = w;
    w = NULL;
done:
    lcf_bundle_abandon(w);
    return status;
}

lcf_status lcf_bundle_add(lcf_bundle_writer *w, const char *name, lcf_dtype dtype,
                          const uint64_t *dims, uint32_t dims_n, const void *data, lcf_err *err)
{
    lcf_status status;
    size_t n = lcf_dtype_bytes(dtype);
    entry *e;

    LCF_ASSERT(strlen(name) < LCF_BUNDLE_NAME_MAX && dims_n >= 1 && dims_n <= LCF_BUNDLE_DIMS_MAX);
    for (uint32_t i = 0; i < dims_n; i++)
        if (!lcf_mul_size(&n, n, dims[i]))
            return LCF_FAIL(err, LCF_EINVAL, "%s: array %s is too large", w->path, name);
    if (w->head.arrays_n == ARRAYS_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "%s: more than %d arrays", w->path, ARRAYS_MAX);
    if (lcf_grow((void **)&w->entries, &w->entries_capacity, w->head.arrays_n + 1, sizeof(entry)))
        return LCF_FAIL(err, LCF_ENOMEM, "directory of %s", w->path);
    e = &w->entries[w->head.arrays_n++];
    memset(e, 0, sizeof(*e));
    memcpy(e->name, name, strlen(name));
    e->dtype = dtype;
    e->dims_n = dims_n;
    memcpy(e->dims, dims, dims_n * sizeof(*dims));
    e->offset = w->offset;
    e->hash = lcf_hash64(data, n, 0);
    status = write_bytes(w, data, n, err);
    return status ? status : write_padding(w, err);
}

lcf_status lcf_bundle_add_1d(lcf_bundle_writer *w, const char *name, lcf_dtype dtype, uint64_t n,
                             const void *data, lcf_err *err)
{
    return lcf_bundle_add(w, name, dtype, &n, 1, data, err);
}

lcf_status lcf_bundle_add_text(lcf_bundle_writer *w, const char *name, const char *text,
                               lcf_err *err)
{
    return lcf_bundle_add_1d(w, name, LCF_U8, strlen(text), text, err);
}

lcf_status lcf_bundle_commit(lcf_bundle_writer *w, lcf_err *err)
{
    size_t directory_bytes = w->head.arrays_n * sizeof(entry);
    lcf_out *out = w->out;
    lcf_status status;

    w->head.directory_offset = w->offset;
    w->head.directory_hash = lcf_hash64(w->entries, directory_bytes, 0);
    status = write_bytes(w, w->entries, directory_bytes, err);
    if (status)
        goto done;
    w->head.file_bytes = w->offset;
    if (fseek(lcf_out_stream(out), 0, SEEK_SET) != 0) {
        status = LCF_FAIL_ERRNO(err, "cannot seek in %s", w->path);
        goto done;
    }
    status = write_bytes(w, &w->head, sizeof(w->head), err);
    if (status)
        goto done;
    w->out = NULL; /* commit frees it */
    status = lcf_out_commit(out, err);
done:
    lcf_bundle_abandon(w);
    return status;
}

void lcf_bundle_abandon(lcf_bundle_writer *w)
{
    if (!w)
        return;
    lcf_out_abandon(w->out);
    free(w->entries);
    free(w->path);
    free(w);
}

lcf_status lcf_bundle_finish(lcf_bundle_writer *w, lcf_status so_far, lcf_err *err)
{
    if (!so_far)
        return lcf_bundle_commit(w, err);
    lcf_bundle_abandon(w);
    return so_far;
}

/* ---- reading ---- */

struct lcf_bundle {
    lcf_map map;
    char *path;
    header head;
    lcf_array *arrays;
};

static lcf_status parse_header(lcf_bundle *b, const char *kind, uint32_t version_max, lcf_err *err)
{
    header *h = &b->head;
    size_t directory_bytes, end;

    if (b->map.bytes_n < sizeof(*h))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: %zu bytes are too few for a bundle", b->path,
                        b->map.bytes_n);
    memcpy(h, b->map.data, sizeof(*h));
    if (memcmp(h->magic, MAGIC, sizeof(h->magic)))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: not a bundle (no magic)", b->path);
    if (h->format != FORMAT)
        return LCF_FAIL(err, LCF_EVERSION, "%s: bundle format %u, this program reads %u", b->path,
                        h->format, FORMAT);
    h->kind[sizeof(h->kind) - 1] = '\0';
    if (kind && strcmp(h->kind, kind))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: holds '%s' where '%s' is expected", b->path, h->kind,
                        kind);
    if (h->version > version_max)
        return LCF_FAIL(err, LCF_EVERSION, "%s: '%s' version %u, this program reads up to %u",
                        b->path, h->kind, h->version, version_max);
    if (h->file_bytes != b->map.bytes_n)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s: %zu bytes where %llu were written: truncated or damaged", b->path,
                        b->map.bytes_n, (unsigned long long)h->file_bytes);
    if (h->arrays_n > ARRAYS_MAX || !lcf_mul_size(&directory_bytes, h->arrays_n, sizeof(entry)) ||
        !lcf_add_size(&end, h->directory_offset, directory_bytes) || end != b->map.bytes_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: the directory does not end the file", b->path);
    if (lcf_hash64(b->map.data + h->directory_offset, directory_bytes, 0) != h->directory_hash)
        return LCF_FAIL(err, LCF_ECHECKSUM, "%s: the directory is damaged", b->path);
    return LCF_OK;
}

static lcf_status parse_entry(lcf_bundle *b, size_t idx, lcf_err *err)
{
    lcf_array *a = &b->arrays[idx];
    entry e;
    size_t n = 1, bytes, end;

    memcpy(&e, b->map.data + b->head.directory_offset + idx * sizeof(e), sizeof(e));
    e.name[sizeof(e.name) - 1] = '\0';
    if (!lcf_dtype_bytes((lcf_dtype)e.dtype) || e.dims_n < 1 || e.dims_n > LCF_BUNDLE_DIMS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: array '%s' has type %u and %u dims", b->path, e.name,
                        e.dtype, e.dims_n);
    for (uint32_t i = 0; i < e.dims_n; i++)
        if (!lcf_mul_size(&n, n, e.dims[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "%s: the size of array '%s' overflows", b->path,
                            e.name);
    if (!lcf_mul_size(&bytes, n, lcf_dtype_bytes((lcf_dtype)e.dtype)) ||
        !lcf_add_size(&end, e.offset, bytes) || end > b->head.directory_offset ||
        e.offset % ALIGNMENT)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: array '%s' lies outside the file", b->path, e.name);
    if (lcf_hash64(b->map.data + e.offset, bytes, 0) != e.hash)
        return LCF_FAIL(err, LCF_ECHECKSUM,
                        "%s: array '%s' is damaged; make the file again or restore it", b->path,
                        e.name);
    memcpy(a->name, e.name, sizeof(a->name));
    a->dtype = (lcf_dtype)e.dtype;
    a->dims_n = e.dims_n;
    memcpy(a->dims, e.dims, sizeof(a->dims));
    a->data = b->map.data + e.offset;
    a->n = n;
    return LCF_OK;
}

lcf_status lcf_bundle_open(lcf_bundle **out, const char *path, const char *kind,
                           uint32_t version_max, lcf_err *err)
{
    lcf_status status;
    lcf_bundle *b = lcf_alloc_zero(1, sizeof(*b));

    *out = NULL;
    if (!b)
        return LCF_FAIL(err, LCF_ENOMEM, "bundle %s", path);
    b->path = lcf_strdup(path);
    if (!b->path) {
        status = LCF_FAIL(err, LCF_ENOMEM, "bundle %s", path);
        goto done;
    }
    status = lcf_map_open(&b->map, path, err);
    if (status)
        goto done;
    status = parse_header(b, kind, version_max, err);
    if (status)
        goto done;
    b->arrays = lcf_alloc_zero(b->head.arrays_n, sizeof(*b->arrays));
    if (!b->arrays) {
        status = LCF_FAIL(err, LCF_ENOMEM, "directory of %s", path);
        goto done;
    }
    for (size_t i = 0; i < b->head.arrays_n; i++) {
        status = parse_entry(b, i, err);
        if (status)
            goto done;
    }
    *out = b;
    b = NULL;
done:
    lcf_bundle_close(b);
    return status;
}

void lcf_bundle_close(lcf_bundle *bundle)
{
    if (!bundle)
        return;
    lcf_map_close(&bundle->map);
    free(bundle->arrays);
    free(bundle->path);
    free(bundle);
}

uint32_t lcf_bundle_version(const lcf_bundle *bundle)
{
    return bundle->head.version;
}

const char *lcf_bundle_kind(const lcf_bundle *bundle)
{
    return bundle->head.kind;
}

size_t lcf_bundle_arrays_n(const lcf_bundle *bundle)
{
    return bundle->head.arrays_n;
}

const lcf_array *lcf_bundle_array(const lcf_bundle *bundle, size_t idx)
{
    LCF_ASSERT(idx < bundle->head.arrays_n);
    return &bundle->arrays[idx];
}

const lcf_array *lcf_bundle_find(const lcf_bundle *bundle, const char *name)
{
    for (size_t i = 0; i < bundle->head.arrays_n; i++)
        if (!strcmp(bundle->arrays[i].name, name))
            return &bundle->arrays[i];
    return NULL;
}

static void print_shape(lcf_buf *out, lcf_dtype dtype, const uint64_t *dims, uint32_t dims_n)
{
    lcf_buf_printf(out, "%s [", dtype_name(dtype));
    for (uint32_t i = 0; i < dims_n; i++) {
        lcf_buf_append_text(out, i ? ", " : "");
        if (dims[i])
            lcf_buf_printf(out, "%llu", (unsigned long long)dims[i]);
        else
            lcf_buf_append_text(out, "any");
    }
    lcf_buf_append_text(out, "]");
}

static lcf_status shape_mismatch(const lcf_bundle *b, const lcf_array *a, lcf_dtype dtype,
                                 const uint64_t *dims, uint32_t dims_n, lcf_err *err)
{
    lcf_buf found = LCF_BUF_INIT, wanted = LCF_BUF_INIT;
    lcf_status status;

    print_shape(&found, a->dtype, a->dims, a->dims_n);
    print_shape(&wanted, dtype, dims, dims_n);
    status = LCF_FAIL(err, LCF_EFORMAT, "%s: array '%s' is %s where %s is expected", b->path,
                      a->name, lcf_buf_text(&found), lcf_buf_text(&wanted));
    lcf_buf_dispose(&found);
    lcf_buf_dispose(&wanted);
    return status;
}

lcf_status lcf_bundle_get(const void **data, const lcf_bundle *bundle, const char *name,
                          lcf_dtype dtype, uint64_t *dims, uint32_t dims_n, lcf_err *err)
{
    const lcf_array *a = lcf_bundle_find(bundle, name);
    bool same;

    *data = NULL;
    if (!a)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: array '%s' is missing", bundle->path, name);
    same = a->dtype == dtype && a->dims_n == dims_n;
    for (uint32_t i = 0; same && i < dims_n; i++)
        same = !dims[i] || dims[i] == a->dims[i];
    if (!same)
        return shape_mismatch(bundle, a, dtype, dims, dims_n, err);
    memcpy(dims, a->dims, dims_n * sizeof(*dims));
    *data = a->data;
    return LCF_OK;
}

lcf_status lcf_bundle_get_text(char **out, const lcf_bundle *bundle, const char *name, lcf_err *err)
{
    const void *data;
    uint64_t n = 0;
    lcf_status status = lcf_bundle_get(&data, bundle, name, LCF_U8, &n, 1, err);

    *out = NULL;
    if (status)
        return status;
    *out = lcf_strndup(data, n);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "text '%s' of %s", name, bundle->path);
}

lcf_status lcf_bundle_get_json(json_t **out, const lcf_bundle *bundle, const char *name,
                               lcf_err *err)
{
    char *text = NULL;
    lcf_status status = lcf_bundle_get_text(&text, bundle, name, err);

    *out = NULL;
    if (!status)
        status = lcf_json_parse(out, text, strlen(text), name, err);
    free(text);
    return status;
}
