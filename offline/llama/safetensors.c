/* Reader of safetensors; see the header. */
#include "offline/llama/safetensors.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/math/half.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
    const char *name;
    size_t bytes;
} DTYPES[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},     {"I64", 8},
              {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
              {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};

typedef struct part { /* one file */
    lcf_map map;
    json_t *header; /* owns the names */
} part;

struct lcf_safetensors {
    part *parts;
    size_t parts_n, parts_capacity;
    lcf_safetensor *list; /* sorted by name once all files are read */
    size_t n, capacity;
};

/* ---- one file ---- */

static lcf_status read_shape(lcf_safetensor *t, const json_t *shape, const char *source,
                             lcf_err *err)
{
    t->n = 1;
    if (!json_is_array(shape) || json_array_size(shape) > LCF_SAFETENSORS_DIMS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: tensor %s: a shape of at most %d sizes is needed",
                        source, t->name, LCF_SAFETENSORS_DIMS_MAX);
    t->dims_n = json_array_size(shape);
    for (size_t i = 0; i < t->dims_n; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0 ||
            !lcf_mul_size(&t->n, t->n, (size_t)json_integer_value(size)))
            return LCF_FAIL(err, LCF_EFORMAT, "%s: tensor %s: size %zu of its shape", source,
                            t->name, i);
        t->dims[i] = (uint64_t)json_integer_value(size);
    }
    return LCF_OK;
}

/* Where a tensor's data lie, as bytes of the file's data. */
static bool read_range(size_t *begin, size_t *end, const json_t *offsets, size_t data_n)
{
    const json_t *a = json_array_get(offsets, 0), *b = json_array_get(offsets, 1);

    if (json_array_size(offsets) != 2 || !json_is_integer(a) || !json_is_integer(b) ||
        json_integer_value(a) < 0 || json_integer_value(b) < json_integer_value(a) ||
        (uint64_t)json_integer_value(b) > data_n)
        return false;
    *begin = (size_t)json_integer_value(a);
    *end = (size_t)json_integer_value(b);
    return true;
}

static lcf_status read_tensor(lcf_safetensor *t, size_t *bytes, const json_t *entry,
                              const uint8_t *data, size_t data_n, const char *source, lcf_err *err)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    size_t begin, end, width = 0;
    lcf_status status = read_shape(t, json_object_get(entry, "shape"), source, err);

    if (status)
        return status;
    for (size_t i = 0; dtype && i < sizeof(DTYPES) / sizeof(DTYPES[0]); i++)
        if (!strcmp(dtype, DTYPES[i].name)) {
            t->dtype = DTYPES[i].name;
            width = DTYPES[i].bytes;
        }
    if (!width)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: tensor %s: type '%.20s' is not known", source,
                        t->name, dtype ? dtype : "(none)");
    if (!read_range(&begin, &end, json_object_get(entry, "data_offsets"), data_n))
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s: tensor %s: its data do not lie in the file's %zu bytes", source,
                        t->name, data_n);
    if (!lcf_mul_size(bytes, t->n, width) || *bytes != end - begin)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: tensor %s: %zu values of %s in %zu bytes", source,
                        t->name, t->n, t->dtype, end - begin);
    t->data = data + begin;
    return LCF_OK;
}

static lcf_status read_tensors(lcf_safetensors *s, const json_t *header, const uint8_t *data,
                               size_t data_n, const char *source, lcf_err *err)
{
    const char *name;
    json_t *entry;
    size_t sum = 0;

    json_object_foreach((json_t *)(uintptr_t)header, name, entry)
    {
        lcf_safetensor t = {.name = name};
        size_t bytes = 0;
        lcf_status status;
        if (!strcmp(name, "__metadata__"))
            continue;
        status = read_tensor(&t, &bytes, entry, data, data_n, source, err);
        if (!status && lcf_grow((void **)&s->list, &s->capacity, s->n + 1, sizeof(*s->list)))
            status = LCF_FAIL(err, LCF_ENOMEM, "table of tensors");
        if (status)
            return status;
        s->list[s->n++] = t;
        sum += bytes; /* each at most data_n; their number is bounded by the header */
    }
    if (sum != data_n)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s: tensors of %zu bytes in %zu: they overlap, or something is missing",
                        source, sum, data_n);
    return LCF_OK;
}

static lcf_status add_part(lcf_safetensors *s, const lcf_map *map, const uint8_t *bytes, size_t n,
                           const char *source, lcf_err *err)
{
    uint64_t header_n = 0;
    part *p;
    lcf_status status;

    if (lcf_grow((void **)&s->parts, &s->parts_capacity, s->parts_n + 1, sizeof(*s->parts)))
        return LCF_FAIL(err, LCF_ENOMEM, "table of files");
    p = &s->parts[s->parts_n++];
    *p = (part){.map = map ? *map : (lcf_map){NULL, 0}};
    for (size_t i = 0; i < 8 && n >= 8; i++)
        header_n |= (uint64_t)bytes[i] << 8 * i;
    if (n < 8 || !header_n || header_n > n - 8 || header_n > LCF_SAFETENSORS_HEADER_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: not safetensors: a header of %llu bytes in %zu",
                        source, (unsigned long long)header_n, n);
    status = lcf_json_parse(&p->header, (const char *)bytes + 8, (size_t)header_n, source, err);
    if (!status && !json_is_object(p->header))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: the header is no object", source);
    return status ? status
                  : read_tensors(s, p->header, bytes + 8 + header_n, n - 8 - (size_t)header_n,
                                 source, err);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const lcf_safetensor *)a)->name, ((const lcf_safetensor *)b)->name);
}

static lcf_status finish(lcf_safetensors *s, const char *source, lcf_err *err)
{
    if (s->n)
        qsort(s->list, s->n, sizeof(*s->list), compare);
    for (size_t i = 1; i < s->n; i++)
        if (!compare(&s->list[i - 1], &s->list[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "%s: two tensors are called %s", source,
                            s->list[i].name);
    return LCF_OK;
}

lcf_status lcf_safetensors_parse(lcf_safetensors **out, const uint8_t *bytes, size_t n,
                                 const char *source, lcf_err *err)
{
    lcf_safetensors *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "safetensors");
    status = add_part(s, NULL, bytes, n, source, err);
    if (!status)
        status = finish(s, source, err);
    if (!status) {
        *out = s;
        s = NULL;
    }
    lcf_safetensors_close(s);
    return status;
}

/* ---- files and folders ---- */

static lcf_status open_part(lcf_safetensors *s, const char *path, lcf_err *err)
{
    size_t before = s->parts_n;
    lcf_map map;
    lcf_status status = lcf_map_open(&map, path, err);

    if (status)
        return status;
    status = add_part(s, &map, map.data, map.bytes_n, path, err);
    if (s->parts_n == before) /* the map has no owner yet */
        lcf_map_close(&map);
    return status;
}

static lcf_status open_in(lcf_safetensors *s, const char *dir, const char *name, lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status =
        path ? open_part(s, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

/* Opens each file that the index names, once. */
static lcf_status open_named(lcf_safetensors *s, const char *dir, const json_t *map, lcf_err *err)
{
    json_t *seen = json_object();
    const char *tensor;
    json_t *file;
    lcf_status status = seen ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "index");

    json_object_foreach((json_t *)(uintptr_t)map, tensor, file)
    {
        const char *name = json_string_value(file);
        if (status)
            break;
        if (!name || !name[0] || name[0] == '.' || strchr(name, '/')) {
            status = LCF_FAIL(err, LCF_EFORMAT, "%s: the index gives no plain file for tensor %s",
                              dir, tensor);
            break;
        }
        if (json_object_get(seen, name))
            continue;
        json_object_set_new(seen, name, json_true());
        status = open_in(s, dir, name, err);
    }
    json_decref(seen);
    return status;
}

static lcf_status open_index(lcf_safetensors *s, const char *dir, lcf_err *err)
{
    json_t *index = NULL;
    const json_t *map;
    const char *tensor;
    json_t *file;
    lcf_status status = lcf_json_load_in(&index, dir, "model.safetensors.index.json", err);

    if (status)
        return status;
    map = json_object_get(index, "weight_map");
    status = json_is_object(map)
                 ? open_named(s, dir, map, err)
                 : LCF_FAIL(err, LCF_EFORMAT, "%s: the index has no weight_map", dir);
    if (!status)
        status = finish(s, dir, err);
    json_object_foreach((json_t *)(uintptr_t)map, tensor, file)
    {
        if (status)
            break;
        if (!lcf_safetensors_find(s, tensor))
            status = LCF_FAIL(err, LCF_EFORMAT, "%s: tensor %s is not in %s", dir, tensor,
                              json_string_value(file));
    }
    json_decref(index);
    return status;
}

static bool is_file(const char *dir, const char *name)
{
    char *path = lcf_path_join(dir, name);
    bool there = path && lcf_path_exists(path);

    free(path);
    return there;
}

static lcf_status open_path(lcf_safetensors *s, const char *path, lcf_err *err)
{
    struct stat st;
    lcf_status status;

    if (stat(path, &st))
        return LCF_FAIL_ERRNO(err, "%s", path);
    if (S_ISDIR(st.st_mode) && is_file(path, "model.safetensors.index.json"))
        return open_index(s, path, err);
    status =
        S_ISDIR(st.st_mode) ? open_in(s, path, "model.safetensors", err) : open_part(s, path, err);
    return status ? status : finish(s, path, err);
}

lcf_status lcf_safetensors_open(lcf_safetensors **out, const char *path, lcf_err *err)
{
    lcf_safetensors *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "safetensors");
    status = open_path(s, path, err);
    if (!status) {
        *out = s;
        s = NULL;
    }
    lcf_safetensors_close(s);
    return status;
}

void lcf_safetensors_close(lcf_safetensors *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->parts_n; i++) {
        json_decref(s->parts[i].header);
        lcf_map_close(&s->parts[i].map);
    }
    free(s->parts);
    free(s->list);
    free(s);
}

size_t lcf_safetensors_n(const lcf_safetensors *s)
{
    return s->n;
}

const lcf_safetensor *lcf_safetensors_at(const lcf_safetensors *s, size_t idx)
{
    return &s->list[idx];
}

const lcf_safetensor *lcf_safetensors_find(const lcf_safetensors *s, const char *name)
{
    lcf_safetensor key = {.name = name};

    return s->n ? bsearch(&key, s->list, s->n, sizeof(*s->list), compare) : NULL;
}

/* ---- values ---- */

bool lcf_safetensor_readable(const lcf_safetensor *t)
{
    return !strcmp(t->dtype, "F32") || !strcmp(t->dtype, "F16") || !strcmp(t->dtype, "BF16");
}

void lcf_safetensor_widen(float *out, const lcf_safetensor *t, size_t first, size_t n)
{
    bool bf16 = !strcmp(t->dtype, "BF16");

    LCF_ASSERT(lcf_safetensor_readable(t) && first <= t->n && n <= t->n - first);
    if (!strcmp(t->dtype, "F32")) {
        memcpy(out, t->data + 4 * first, 4 * n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, t->data + 2 * (first + i), 2);
        out[i] = bf16 ? lcf_bf16_widen(half) : lcf_f16_widen(half);
    }
}
