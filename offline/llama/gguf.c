/*
 * GGUF reader. One cursor walks the mapped file; nothing behind it is read, and every length is
 * compared with the bytes that are left before it is used or multiplied.
 *
 * Keys and tensors are found by binary search over sorted tables, which also shows duplicates.
 */
#include "offline/llama/gguf.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "offline/llama/gguf_types.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 256, SHARDS_MAX = 99999 };

typedef struct entry { /* one key and its value */
    char *key;
    lcf_gguf_value value; /* data in the map, strings in `elements` */
    void *elements;       /* arrays of strings: lcf_str [n]; of 4-byte numbers: an aligned copy */
} entry;

struct lcf_gguf {
    lcf_map map;
    char *path;
    uint32_t version;
    entry *entries; /* sorted by key */
    size_t entries_n;
    lcf_gguf_tensor *tensors; /* in the order of the file; of all shards, in their order */
    uint32_t *sorted;         /* positions of tensors by name */
    size_t tensors_n;
    lcf_gguf **others; /* the shards after this one */
    size_t others_n;
};

typedef struct cursor {
    const char *path;
    const uint8_t *data;
    size_t bytes_n, at;
    uint32_t version;
    lcf_err *err;
} cursor;

static size_t left(const cursor *c)
{
    return c->bytes_n - c->at;
}

static lcf_status take(void *out, cursor *c, size_t n)
{
    if (n > left(c))
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: truncated: byte %zu of a field is past the end",
                        c->path, c->bytes_n);
    memcpy(out, c->data + c->at, n);
    c->at += n;
    return LCF_OK;
}

static lcf_status take_u32(uint32_t *out, cursor *c)
{
    return take(out, c, sizeof(*out));
}

/* A count or length: 32 bits wide in version 1, 64 since. */
static lcf_status take_count(uint64_t *out, cursor *c)
{
    uint32_t narrow = 0;
    lcf_status status;

    if (c->version > 1)
        return take(out, c, sizeof(*out));
    status = take_u32(&narrow, c);
    *out = narrow;
    return status;
}

static lcf_status take_string(lcf_str *out, cursor *c)
{
    uint64_t len = 0;
    lcf_status status = take_count(&len, c);

    if (status)
        return status;
    if (len > left(c))
        return LCF_FAIL(c->err, LCF_EFORMAT,
                        "%s: string of %llu bytes at byte %zu runs past the end", c->path,
                        (unsigned long long)len, c->at);
    *out = (lcf_str){(const char *)c->data + c->at, (size_t)len};
    c->at += (size_t)len;
    return LCF_OK;
}

size_t lcf_gguf_kind_bytes(uint32_t kind)
{
    static const uint8_t BYTES[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

    return kind < sizeof(BYTES) ? BYTES[kind] : 0;
}

static lcf_status take_strings(entry *e, cursor *c)
{
    size_t least = c->version > 1 ? 8 : 4;
    lcf_str *strings;
    lcf_status status = LCF_OK;

    if (e->value.n > left(c) / least)
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: key '%s': %zu strings do not fit into the file",
                        c->path, e->key, e->value.n);
    strings = lcf_alloc(e->value.n ? e->value.n : 1, sizeof(*strings));
    if (!strings)
        return LCF_FAIL(c->err, LCF_ENOMEM, "%s: key '%s': %zu strings", c->path, e->key,
                        e->value.n);
    e->elements = strings;
    e->value.strings = strings;
    for (size_t i = 0; i < e->value.n && !status; i++)
        status = take_string(&strings[i], c);
    return status;
}

static lcf_status take_numbers(entry *e, cursor *c)
{
    size_t size = lcf_gguf_kind_bytes(e->value.kind);

    if (e->value.n > left(c) / size)
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: key '%s': %zu values do not fit into the file",
                        c->path, e->key, e->value.n);
    if (e->value.array && size == 4) { /* the map is not aligned here */
        e->elements = lcf_alloc(e->value.n ? e->value.n : 1, size);
        if (!e->elements)
            return LCF_FAIL(c->err, LCF_ENOMEM, "%s: key '%s': %zu values", c->path, e->key,
                            e->value.n);
        memcpy(e->elements, e->value.data, e->value.n * size);
    }
    c->at += e->value.n * size;
    return LCF_OK;
}

static lcf_status take_kind(uint32_t *kind, cursor *c, const char *key)
{
    lcf_status status = take_u32(kind, c);

    if (!status && *kind > LCF_GGUF_KIND_F64)
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: key '%s' has unknown value type %u", c->path, key,
                        *kind);
    return status;
}

static lcf_status take_entry(entry *e, cursor *c)
{
    lcf_str key = {NULL, 0};
    uint32_t kind = 0;
    uint64_t n = 1;
    lcf_status status = take_string(&key, c);

    if (status)
        return status;
    if (!key.len || key.len > KEY_MAX || memchr(key.data, 0, key.len))
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: bad key before byte %zu", c->path, c->at);
    e->key = lcf_strndup(key.data, key.len);
    if (!e->key)
        return LCF_FAIL(c->err, LCF_ENOMEM, "%s: key of %zu bytes", c->path, key.len);
    status = take_kind(&kind, c, e->key);
    if (!status && kind == LCF_GGUF_KIND_ARRAY) {
        e->value.array = true;
        status = take_kind(&kind, c, e->key);
        if (!status)
            status = take_count(&n, c);
        if (!status && kind == LCF_GGUF_KIND_ARRAY)
            return LCF_FAIL(c->err, LCF_EUNSUPPORTED, "%s: key '%s' is an array of arrays", c->path,
                            e->key);
    }
    if (status)
        return status;
    if (n > c->bytes_n)
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: key '%s': %llu values in a file of %zu bytes",
                        c->path, e->key, (unsigned long long)n, c->bytes_n);
    e->value.kind = kind;
    e->value.n = (size_t)n;
    e->value.data = c->data + c->at;
    return kind == LCF_GGUF_KIND_STRING ? take_strings(e, c) : take_numbers(e, c);
}

static int entry_order(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

static lcf_status take_entries(lcf_gguf *g, size_t n, cursor *c)
{
    lcf_status status;

    if (n > left(c) / 9) /* the least key with its type and value */
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: %zu keys do not fit into the file", c->path, n);
    g->entries = lcf_alloc_zero(n ? n : 1, sizeof(*g->entries));
    if (!g->entries)
        return LCF_FAIL(c->err, LCF_ENOMEM, "%s: %zu keys", c->path, n);
    for (size_t i = 0; i < n; i++) {
        g->entries_n = i + 1; /* so that close releases it */
        status = take_entry(&g->entries[i], c);
        if (status)
            return status;
    }
    qsort(g->entries, n, sizeof(*g->entries), entry_order);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(g->entries[i - 1].key, g->entries[i].key))
            return LCF_FAIL(c->err, LCF_EFORMAT, "%s: key '%s' occurs twice", c->path,
                            g->entries[i].key);
    return LCF_OK;
}

/* Checks type and dims and computes n and bytes_n. */
static lcf_status size_tensor(lcf_gguf_tensor *t, uint32_t type, const cursor *c)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of(type);

    if (!info)
        return LCF_FAIL(c->err, LCF_EUNSUPPORTED, "%s: tensor '%s' has unknown type %u", c->path,
                        t->name, type);
    t->type = (lcf_gguf_type)type;
    t->n = 1;
    for (uint32_t d = 0; d < t->dims_n; d++)
        if (!t->dims[d] || !lcf_mul_size(&t->n, t->n, (size_t)t->dims[d]))
            return LCF_FAIL(c->err, LCF_EFORMAT, "%s: tensor '%s': bad dimension %llu", c->path,
                            t->name, (unsigned long long)t->dims[d]);
    if (t->dims[0] % info->block_n)
        return LCF_FAIL(c->err, LCF_EFORMAT,
                        "%s: tensor '%s': rows of %llu values, but %s has blocks of %zu", c->path,
                        t->name, (unsigned long long)t->dims[0], info->name, info->block_n);
    if (!lcf_mul_size(&t->bytes_n, t->n / info->block_n, info->block_bytes))
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: tensor '%s': size overflows", c->path, t->name);
    return LCF_OK;
}

/* *offset counts from the start of the data, which is not known yet. */
static lcf_status take_tensor(lcf_gguf_tensor *t, uint64_t *offset, cursor *c)
{
    lcf_str name = {NULL, 0};
    uint32_t type = 0;
    lcf_status status = take_string(&name, c);

    if (status)
        return status;
    if (!name.len || name.len >= sizeof(t->name) || memchr(name.data, 0, name.len) ||
        !lcf_utf8_valid(name.data, name.len))
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: bad tensor name before byte %zu", c->path, c->at);
    memcpy(t->name, name.data, name.len);
    status = take_u32(&t->dims_n, c);
    if (status)
        return status;
    if (t->dims_n < 1 || t->dims_n > 4)
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: tensor '%s' has %u dimensions, not 1 to 4",
                        c->path, t->name, t->dims_n);
    for (uint32_t d = 0; d < t->dims_n && !status; d++)
        status = take_count(&t->dims[d], c);
    if (!status)
        status = take_u32(&type, c);
    if (!status)
        status = take(offset, c, sizeof(*offset));
    return status ? status : size_tensor(t, type, c);
}

static lcf_status place_tensor(lcf_gguf_tensor *t, uint64_t offset, size_t start, size_t alignment,
                               const cursor *c)
{
    if (offset % alignment || offset > c->bytes_n || start > c->bytes_n ||
        offset > c->bytes_n - start || t->bytes_n > c->bytes_n - start - offset)
        return LCF_FAIL(c->err, LCF_EFORMAT,
                        "%s: tensor '%s': %zu bytes at offset %llu do not lie within the data of "
                        "the file (truncated?)",
                        c->path, t->name, t->bytes_n, (unsigned long long)offset);
    t->data = c->data + start + offset;
    return LCF_OK;
}

static int tensor_order(const void *a, const void *b, void *arg)
{
    const lcf_gguf_tensor *tensors = arg;

    return strcmp(tensors[*(const uint32_t *)a].name, tensors[*(const uint32_t *)b].name);
}

static lcf_status sort_tensors(lcf_gguf *g, lcf_err *err)
{
    for (size_t i = 0; i < g->tensors_n; i++)
        g->sorted[i] = (uint32_t)i;
    qsort_r(g->sorted, g->tensors_n, sizeof(*g->sorted), tensor_order, g->tensors);
    for (size_t i = 1; i < g->tensors_n; i++)
        if (!strcmp(g->tensors[g->sorted[i - 1]].name, g->tensors[g->sorted[i]].name))
            return LCF_FAIL(err, LCF_EFORMAT, "%s: tensor '%s' occurs twice", g->path,
                            g->tensors[g->sorted[i]].name);
    return LCF_OK;
}

static lcf_status read_alignment(size_t *alignment, const lcf_gguf *g, lcf_err *err)
{
    uint64_t value = LCF_GGUF_ALIGNMENT;
    lcf_status status = lcf_gguf_u64(&value, g, "general.alignment", NULL);

    if (status && status != LCF_ENOTFOUND)
        return LCF_FAIL(err, status, "%s: general.alignment is no number", g->path);
    if (value < 8 || value > 1 << 20 || (value & (value - 1)))
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s: general.alignment %llu is no power of two from 8 to 2^20", g->path,
                        (unsigned long long)value);
    *alignment = (size_t)value;
    return LCF_OK;
}

static lcf_status take_tensors(lcf_gguf *g, size_t n, cursor *c)
{
    uint64_t *offsets = NULL;
    size_t alignment = LCF_GGUF_ALIGNMENT, start;
    lcf_status status = read_alignment(&alignment, g, c->err);

    if (status)
        return status;
    if (n > left(c) / 24 || n > UINT32_MAX)
        return LCF_FAIL(c->err, LCF_EFORMAT, "%s: %zu tensors do not fit into the file", c->path,
                        n);
    g->tensors = lcf_alloc_zero(n ? n : 1, sizeof(*g->tensors));
    g->sorted = lcf_alloc_zero(n ? n : 1, sizeof(*g->sorted));
    offsets = lcf_alloc_zero(n ? n : 1, sizeof(*offsets));
    if (!g->tensors || !g->sorted || !offsets) {
        status = LCF_FAIL(c->err, LCF_ENOMEM, "%s: table of %zu tensors", c->path, n);
        goto done;
    }
    g->tensors_n = n;
    for (size_t i = 0; i < n && !status; i++)
        status = take_tensor(&g->tensors[i], &offsets[i], c);
    start = (c->at + alignment - 1) & ~(alignment - 1);
    for (size_t i = 0; i < n && !status; i++)
        status = place_tensor(&g->tensors[i], offsets[i], start, alignment, c);
    if (!status)
        status = sort_tensors(g, c->err);
done:
    free(offsets);
    return status;
}

static lcf_status parse(lcf_gguf *g, lcf_err *err)
{
    cursor c = {g->path, g->map.data, g->map.bytes_n, 0, 0, err};
    uint64_t tensors_n = 0, entries_n = 0;
    char magic[4] = {0};
    lcf_status status = take(magic, &c, sizeof(magic));

    if (!status && memcmp(magic, "GGUF", sizeof(magic)))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: not a GGUF file", g->path);
    if (!status)
        status = take_u32(&c.version, &c);
    if (status)
        return status;
    if (c.version < 1 || c.version > 3)
        return LCF_FAIL(err, LCF_EVERSION, "%s: GGUF version %u; 1 to 3 are known%s", g->path,
                        c.version,
                        c.version && !(c.version & 0xffff) ? " (a big-endian file?)" : "");
    g->version = c.version;
    status = take_count(&tensors_n, &c);
    if (!status)
        status = take_count(&entries_n, &c);
    if (!status && (tensors_n > c.bytes_n || entries_n > c.bytes_n))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: %llu tensors and %llu keys in %zu bytes", g->path,
                        (unsigned long long)tensors_n, (unsigned long long)entries_n, c.bytes_n);
    if (!status)
        status = take_entries(g, (size_t)entries_n, &c);
    return status ? status : take_tensors(g, (size_t)tensors_n, &c);
}

static lcf_status open_file(lcf_gguf **out, const char *path, lcf_err *err)
{
    lcf_gguf *g = NULL;
    lcf_status status;

    *out = NULL;
    g = lcf_alloc_zero(1, sizeof(*g));
    if (g)
        g->path = lcf_strdup(path);
    if (!g || !g->path) {
        status = LCF_FAIL(err, LCF_ENOMEM, "%s: GGUF handle", path);
        goto done;
    }
    status = lcf_map_open(&g->map, path, err);
    if (status)
        goto done;
    status = parse(g, err);
    if (status)
        goto done;
    *out = g;
    g = NULL;
done:
    lcf_gguf_close(g);
    return status;
}

static const entry *find_entry(const lcf_gguf *g, const char *key)
{
    entry wanted = {.key = (char *)key};

    return bsearch(&wanted, g->entries, g->entries_n, sizeof(*g->entries), entry_order);
}

/* ---- shards ------------------------------------------------------------------------------- */

enum { SHARD_SUFFIX = 20 }; /* bytes of "-00001-of-00002.gguf" */

/* Where this file stands among its kin: *no of *n, 0 of 1 for a file on its own. */
static lcf_status shard_place(uint64_t *no, uint64_t *n, const lcf_gguf *g, lcf_err *err)
{
    lcf_status status;

    *no = 0;
    *n = 1;
    if (!find_entry(g, "split.count"))
        return LCF_OK;
    status = lcf_gguf_u64(n, g, "split.count", err);
    if (!status && find_entry(g, "split.no"))
        status = lcf_gguf_u64(no, g, "split.no", err);
    if (status || *n <= 1)
        return status;
    return *n <= SHARDS_MAX && *no < *n
               ? LCF_OK
               : LCF_FAIL(err, LCF_EFORMAT, "%s: shard %llu of %llu; at most %d are possible",
                          g->path, (unsigned long long)*no + 1, (unsigned long long)*n, SHARDS_MAX);
}

static lcf_status open_shard(lcf_gguf *first, uint64_t no, uint64_t n, const char *stem,
                             size_t stem_n, lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT;
    lcf_gguf *g = NULL;
    uint64_t its_no = 0, its_n = 0;
    lcf_status status;

    lcf_buf_append(&path, stem, stem_n);
    lcf_buf_printf(&path, "-%05llu-of-%05llu.gguf", (unsigned long long)no + 1,
                   (unsigned long long)n);
    status = path.status ? LCF_FAIL(err, path.status, "%s: shards", first->path)
                         : open_file(&g, path.data, err);
    if (!status) {
        first->others[first->others_n++] = g;
        status = shard_place(&its_no, &its_n, g, err);
    }
    if (!status && (its_no != no || its_n != n))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s calls itself shard %llu of %llu", path.data,
                          (unsigned long long)its_no + 1, (unsigned long long)its_n);
    lcf_buf_dispose(&path);
    return status;
}

/* One table for the tensors of all shards. */
static lcf_status join_tensors(lcf_gguf *g, lcf_err *err)
{
    size_t n = g->tensors_n;
    lcf_gguf_tensor *tensors;
    uint32_t *sorted;

    for (size_t i = 0; i < g->others_n; i++)
        n += g->others[i]->tensors_n;
    tensors = lcf_realloc(g->tensors, n ? n : 1, sizeof(*tensors));
    if (tensors)
        g->tensors = tensors;
    sorted = lcf_realloc(g->sorted, n ? n : 1, sizeof(*sorted));
    if (sorted)
        g->sorted = sorted;
    if (!tensors || !sorted || n > UINT32_MAX)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: table of %zu tensors", g->path, n);
    for (size_t i = 0; i < g->others_n; i++) {
        const lcf_gguf *other = g->others[i];
        if (other->tensors_n)
            memcpy(g->tensors + g->tensors_n, other->tensors,
                   other->tensors_n * sizeof(*g->tensors));
        g->tensors_n += other->tensors_n;
    }
    return sort_tensors(g, err);
}

static lcf_status open_shards(lcf_gguf *g, lcf_err *err)
{
    uint64_t no, n, tensors_n = 0;
    size_t len = strlen(g->path);
    lcf_status status = shard_place(&no, &n, g, err);

    if (status || n <= 1)
        return status;
    if (no)
        return LCF_FAIL(err, LCF_EINVAL, "%s is shard %llu of %llu: name the first one", g->path,
                        (unsigned long long)no + 1, (unsigned long long)n);
    if (len <= SHARD_SUFFIX || memcmp(g->path + len - SHARD_SUFFIX, "-00001-of-", 10))
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s is the first of %llu shards, but is not named so: "
                        "NAME-00001-of-%05llu.gguf",
                        g->path, (unsigned long long)n, (unsigned long long)n);
    g->others = lcf_alloc_zero((size_t)n, sizeof(*g->others));
    if (!g->others)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: %llu shards", g->path, (unsigned long long)n);
    for (uint64_t i = 1; i < n && !status; i++)
        status = open_shard(g, i, n, g->path, len - SHARD_SUFFIX, err);
    if (!status)
        status = join_tensors(g, err);
    if (!status && find_entry(g, "split.tensors.count"))
        status = lcf_gguf_u64(&tensors_n, g, "split.tensors.count", err);
    if (!status && tensors_n && tensors_n != g->tensors_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: %zu tensors in all shards, not %llu", g->path,
                        g->tensors_n, (unsigned long long)tensors_n);
    return status;
}

lcf_status lcf_gguf_open(lcf_gguf **out, const char *path, lcf_err *err)
{
    lcf_status status = open_file(out, path, err);

    if (!status)
        status = open_shards(*out, err);
    if (status) {
        lcf_gguf_close(*out);
        *out = NULL;
    }
    return status;
}

void lcf_gguf_close(lcf_gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->others_n; i++)
        lcf_gguf_close(g->others[i]);
    for (size_t i = 0; i < g->entries_n; i++) {
        free(g->entries[i].key);
        free(g->entries[i].elements);
    }
    free(g->others);
    free(g->entries);
    free(g->tensors);
    free(g->sorted);
    free(g->path);
    lcf_map_close(&g->map);
    free(g);
}

static lcf_status get_entry(const entry **out, const lcf_gguf *g, const char *key, bool array,
                            lcf_err *err)
{
    *out = find_entry(g, key);
    if (!*out)
        return LCF_FAIL(err, LCF_ENOTFOUND, "%s: no key '%s'", g->path, key);
    if ((*out)->value.array != array)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: key '%s' is %s array", g->path, key,
                        array ? "no" : "an");
    return LCF_OK;
}

static lcf_status wrong_type(const lcf_gguf *g, const char *key, const char *wanted, lcf_err *err)
{
    return LCF_FAIL(err, LCF_EFORMAT, "%s: key '%s' is no %s", g->path, key, wanted);
}

/* The value as a signed and an unsigned integer of 64 bits; false when it is no integer. */
static bool read_integer(int64_t *value, bool *above_i64, const entry *e)
{
    uint64_t raw = 0;
    size_t size = lcf_gguf_kind_bytes(e->value.kind);
    bool is_signed = e->value.kind == LCF_GGUF_KIND_I8 || e->value.kind == LCF_GGUF_KIND_I16 ||
                     e->value.kind == LCF_GGUF_KIND_I32 || e->value.kind == LCF_GGUF_KIND_I64;

    *above_i64 = false;
    if (!size || e->value.kind == LCF_GGUF_KIND_F32 || e->value.kind == LCF_GGUF_KIND_F64 ||
        e->value.kind == LCF_GGUF_KIND_BOOL)
        return false;
    memcpy(&raw, e->value.data, size);
    if (is_signed && size < 8 && raw >> (8 * size - 1))
        raw |= ~(uint64_t)0 << (8 * size);
    *above_i64 = !is_signed && raw > INT64_MAX;
    memcpy(value, &raw, sizeof(raw));
    return true;
}

lcf_status lcf_gguf_u64(uint64_t *out, const lcf_gguf *g, const char *key, lcf_err *err)
{
    const entry *e;
    int64_t value = 0;
    bool above_i64;
    lcf_status status = get_entry(&e, g, key, false, err);

    if (status)
        return status;
    if (!read_integer(&value, &above_i64, e) || (value < 0 && !above_i64))
        return wrong_type(g, key, "integer of at least 0", err);
    memcpy(out, &value, sizeof(*out));
    return LCF_OK;
}

lcf_status lcf_gguf_f64(double *out, const lcf_gguf *g, const char *key, lcf_err *err)
{
    const entry *e;
    int64_t value = 0;
    bool above_i64;
    float narrow;
    lcf_status status = get_entry(&e, g, key, false, err);

    if (status)
        return status;
    if (e->value.kind == LCF_GGUF_KIND_F32) {
        memcpy(&narrow, e->value.data, sizeof(narrow));
        *out = narrow;
    } else if (e->value.kind == LCF_GGUF_KIND_F64) {
        memcpy(out, e->value.data, sizeof(*out));
    } else if (read_integer(&value, &above_i64, e)) {
        *out = above_i64 ? (double)(uint64_t)value : (double)value;
    } else {
        return wrong_type(g, key, "number", err);
    }
    return LCF_OK;
}

lcf_status lcf_gguf_bool(bool *out, const lcf_gguf *g, const char *key, lcf_err *err)
{
    const entry *e;
    lcf_status status = get_entry(&e, g, key, false, err);

    if (status)
        return status;
    if (e->value.kind != LCF_GGUF_KIND_BOOL)
        return wrong_type(g, key, "boolean", err);
    *out = *e->value.data != 0;
    return LCF_OK;
}

lcf_status lcf_gguf_string(lcf_str *out, const lcf_gguf *g, const char *key, lcf_err *err)
{
    const entry *e;
    lcf_status status = get_entry(&e, g, key, false, err);

    if (status)
        return status;
    if (e->value.kind != LCF_GGUF_KIND_STRING)
        return wrong_type(g, key, "string", err);
    *out = *(const lcf_str *)e->elements;
    return LCF_OK;
}

lcf_status lcf_gguf_strings(const lcf_str **out, size_t *n, const lcf_gguf *g, const char *key,
                            lcf_err *err)
{
    const entry *e;
    lcf_status status = get_entry(&e, g, key, true, err);

    if (status)
        return status;
    if (e->value.kind != LCF_GGUF_KIND_STRING)
        return wrong_type(g, key, "array of strings", err);
    *out = e->elements;
    *n = e->value.n;
    return LCF_OK;
}

lcf_status lcf_gguf_f32s(const float **out, size_t *n, const lcf_gguf *g, const char *key,
                         lcf_err *err)
{
    const entry *e;
    lcf_status status = get_entry(&e, g, key, true, err);

    if (status)
        return status;
    if (e->value.kind != LCF_GGUF_KIND_F32)
        return wrong_type(g, key, "array of f32", err);
    *out = e->elements;
    *n = e->value.n;
    return LCF_OK;
}

lcf_status lcf_gguf_i32s(const int32_t **out, size_t *n, const lcf_gguf *g, const char *key,
                         lcf_err *err)
{
    const entry *e;
    lcf_status status = get_entry(&e, g, key, true, err);

    if (status)
        return status;
    if (e->value.kind != LCF_GGUF_KIND_I32 && e->value.kind != LCF_GGUF_KIND_U32)
        return wrong_type(g, key, "array of i32", err);
    *out = e->elements;
    *n = e->value.n;
    return LCF_OK;
}

uint32_t lcf_gguf_version(const lcf_gguf *g)
{
    return g->version;
}

size_t lcf_gguf_shards_n(const lcf_gguf *g)
{
    return 1 + g->others_n;
}

uint64_t lcf_gguf_bytes_n(const lcf_gguf *g)
{
    uint64_t n = g->map.bytes_n;

    for (size_t i = 0; i < g->others_n; i++)
        n += g->others[i]->map.bytes_n;
    return n;
}

const char *lcf_gguf_path(const lcf_gguf *g, size_t shard)
{
    return shard ? g->others[shard - 1]->path : g->path;
}

const void *lcf_gguf_bytes(size_t *n, const lcf_gguf *g, size_t shard)
{
    const lcf_map *map = shard ? &g->others[shard - 1]->map : &g->map;

    *n = map->bytes_n;
    return map->data;
}

void lcf_gguf_id(char out[33], const lcf_gguf *g)
{
    lcf_hash128 id = lcf_hash128_of(g->map.data, g->map.bytes_n);

    for (size_t i = 0; i < g->others_n; i++) {
        lcf_hash128 both[2] = {id,
                               lcf_hash128_of(g->others[i]->map.data, g->others[i]->map.bytes_n)};
        id = lcf_hash128_of(both, sizeof(both));
    }
    lcf_hash128_hex(out, id);
}

const char *lcf_gguf_key_at(const lcf_gguf *g, size_t idx)
{
    return idx < g->entries_n ? g->entries[idx].key : NULL;
}

lcf_gguf_value lcf_gguf_value_at(const lcf_gguf *g, size_t idx)
{
    LCF_ASSERT(idx < g->entries_n);
    return g->entries[idx].value;
}

size_t lcf_gguf_tensors_n(const lcf_gguf *g)
{
    return g->tensors_n;
}

const lcf_gguf_tensor *lcf_gguf_tensor_at(const lcf_gguf *g, size_t idx)
{
    return idx < g->tensors_n ? &g->tensors[idx] : NULL;
}

const lcf_gguf_tensor *lcf_gguf_tensor_find(const lcf_gguf *g, const char *name)
{
    size_t low = 0, high = g->tensors_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const lcf_gguf_tensor *t = &g->tensors[g->sorted[middle]];
        int order = strcmp(name, t->name);
        if (!order)
            return t;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
