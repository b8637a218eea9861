/*
 * Holds a bundle against the description of its kind:
 *     check_arrays SCHEMA.arrays.json FILE.lcf
 * Every array of the file is described, every described one is there (unless its doc begins with
 * "optional"), with its type and dims; a dim that is a name has one value all over the file ("NAME
 * + 1" is one more than it, "*" anything). Exit code 0: it is so; 1: it is not; 3: the file is of
 * another kind.
 */
#include "common/base/bundle.h"
#include "common/base/json.h"
#include "common/base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64

typedef struct checker {
    const char *file;
    const lcf_bundle *bundle;
    const char *names[NAMES_MAX]; /* of dims seen so far */
    size_t name_lens[NAMES_MAX];
    uint64_t values[NAMES_MAX];
    size_t names_n;
    int wrong;
} checker;

static const char *dtype_name(lcf_dtype dtype)
{
    static const char *const NAMES[] = {
        [LCF_U8] = "u8",   [LCF_U32] = "u32", [LCF_U64] = "u64", [LCF_I32] = "i32",
        [LCF_I64] = "i64", [LCF_F32] = "f32", [LCF_F64] = "f64", [LCF_I16] = "i16"};

    return NAMES[dtype];
}

/* "param.<i>.w" matches "param.12.w". */
static bool name_matches(const char *pattern, const char *name)
{
    while (*pattern) {
        if (*pattern == '{' || *pattern == '<') {
            pattern += strcspn(pattern, "}>");
            pattern += *pattern != '\0';
            if (!isdigit((unsigned char)*name))
                return false;
            while (isdigit((unsigned char)*name))
                name++;
        } else if (*pattern++ != *name++) {
            return false;
        }
    }
    return !*name;
}

static void complain(checker *c, const char *array, const char *dim, uint64_t value)
{
    fprintf(stderr, "%s: %s: a dim is %" PRIu64 ", that is not '%s'\n", c->file, array, value, dim);
    c->wrong = 1;
}

/* The dim's name and what its value means for it: false when it cannot be. */
static bool reduce(const char **name, size_t *len, uint64_t *value, const char *dim)
{
    const char *plus = strstr(dim, " + 1");
    uint64_t times = 0;
    size_t digits = strspn(dim, "0123456789");

    *name = dim;
    *len = plus ? (size_t)(plus - dim) : strlen(dim);
    if (plus && !(*value)--)
        return false;
    if (!digits || dim[digits] != ' ' || strchr(dim + digits + 1, ' '))
        return true;
    if (!lcf_parse_u64(dim, digits, &times) || !times || *value % times)
        return false;
    *name = dim + digits + 1;
    *len -= digits + 1;
    *value /= times;
    return true;
}

static void bind(checker *c, const char *array, const char *dim, uint64_t value)
{
    const char *name;
    uint64_t unit = value;
    size_t len;

    if (!strcmp(dim, "*"))
        return;
    if (!reduce(&name, &len, &unit, dim)) {
        complain(c, array, dim, value);
        return;
    }
    for (size_t i = 0; i < c->names_n; i++)
        if (c->name_lens[i] == len && !memcmp(c->names[i], name, len)) {
            if (c->values[i] != unit)
                complain(c, array, dim, value);
            return;
        }
    if (c->names_n == NAMES_MAX)
        return;
    c->names[c->names_n] = name;
    c->name_lens[c->names_n] = len;
    c->values[c->names_n++] = unit;
}

static void check_array(checker *c, const lcf_array *array, json_t *described)
{
    const char *dtype = json_string_value(json_object_get(described, "dtype"));
    json_t *dims = json_object_get(described, "dims"), *dim;
    size_t i;

    if (!dtype || strcmp(dtype_name(array->dtype), dtype) ||
        array->dims_n != json_array_size(dims)) {
        fprintf(stderr, "%s: %s is %s with %u dims, %s with %zu belongs there\n", c->file,
                array->name, dtype_name(array->dtype), array->dims_n, dtype ? dtype : "?",
                json_array_size(dims));
        c->wrong = 1;
        return;
    }
    json_array_foreach(dims, i, dim)
    {
        if (json_is_string(dim)) {
            bind(c, array->name, json_string_value(dim), array->dims[i]);
        } else if ((uint64_t)json_integer_value(dim) != array->dims[i]) {
            fprintf(stderr, "%s: %s: a dim is %" PRIu64 ", %lld belongs there\n", c->file,
                    array->name, array->dims[i], (long long)json_integer_value(dim));
            c->wrong = 1;
        }
    }
}

static void check_description(checker *c, json_t *described)
{
    const char *name = json_string_value(json_object_get(described, "name"));
    const char *doc = json_string_value(json_object_get(described, "doc"));
    size_t found = 0;

    if (!name || !doc || !json_object_get(described, "unit") ||
        !json_is_array(json_object_get(described, "dims"))) {
        fprintf(stderr, "an array lacks one of name, dtype, dims, unit, doc\n");
        c->wrong = 1;
        return;
    }
    for (size_t i = 0; i < lcf_bundle_arrays_n(c->bundle); i++) {
        const lcf_array *array = lcf_bundle_array(c->bundle, i);
        if (!name_matches(name, array->name))
            continue;
        check_array(c, array, described);
        found++;
    }
    if (!found && !strstr(doc, "optional") && !strstr(doc, "only")) {
        fprintf(stderr, "%s: array '%s' is missing\n", c->file, name);
        c->wrong = 1;
    }
}

static void check_described(checker *c, json_t *list)
{
    for (size_t i = 0; i < lcf_bundle_arrays_n(c->bundle); i++) {
        const char *name = lcf_bundle_array(c->bundle, i)->name;
        json_t *described;
        bool found = false;
        size_t k;
        json_array_foreach(list, k, described)
        {
            const char *pattern = json_string_value(json_object_get(described, "name"));
            found = found || (pattern && name_matches(pattern, name));
        }
        if (!found) {
            fprintf(stderr, "%s: array '%s' is not described\n", c->file, name);
            c->wrong = 1;
        }
    }
}

int main(int argc, char **argv)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_bundle *bundle = NULL;
    json_t *schema = NULL, *list, *described;
    const char *kind;
    checker c = {0};
    size_t i;

    if (argc != 3 || lcf_json_load(&schema, argv[1], &err)) {
        fprintf(stderr, "usage: check_arrays SCHEMA.arrays.json FILE.lcf %s\n", err.text);
        return 2;
    }
    kind = json_string_value(json_object_get(schema, "kind"));
    list = json_object_get(schema, "arrays");
    if (!kind || !json_is_array(list)) {
        fprintf(stderr, "%s lacks kind or arrays\n", argv[1]);
        json_decref(schema);
        return 2;
    }
    if (lcf_bundle_open(&bundle, argv[2], kind,
                        (uint32_t)json_integer_value(json_object_get(schema, "version")), &err)) {
        json_decref(schema);
        return 3;
    }
    c.file = argv[2];
    c.bundle = bundle;
    json_array_foreach(list, i, described) check_description(&c, described);
    check_described(&c, list);
    lcf_bundle_close(bundle);
    json_decref(schema);
    return c.wrong;
}
