/* The YAML schema of fields: see fields_spec.h. */
#include "offline/data/fields_spec.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MAX 65536
#define VALUES_MAX_DEFAULT 20

static const char *const SECTIONS[LCF_FIELD_OWNERS_N] = {"users", "items", "context"};

/* Which keys a kind may have, besides `kind`. */
static const char *const KEYS[LCF_FIELD_KINDS_N] = {
    [LCF_FIELD_CATEGORICAL] = " min_count table ",
    [LCF_FIELD_MULTI] = " min_count table separator max ",
    [LCF_FIELD_SEQUENCE] = " min_count table separator max ",
    [LCF_FIELD_NUMERIC] = " buckets transform ",
    [LCF_FIELD_HASHED] = " buckets separator max ",
    [LCF_FIELD_VECTOR] = " file frozen ",
};

/* One field being read; messages begin with its place. */
typedef struct reader {
    lcf_fields_spec *spec;
    size_t at; /* of the field */
    const json_t *json;
    const char *dir;
    lcf_err *err;
} reader;

static lcf_field *current(reader *r)
{
    return &r->spec->fields.list[r->at];
}

static lcf_status check_keys(reader *r)
{
    const lcf_field *f = current(r);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)r->json, key, value)
    {
        char padded[64];

        snprintf(padded, sizeof(padded), " %s ", key);
        if (strcmp(key, "kind") && !strstr(KEYS[f->kind], padded))
            return LCF_FAIL(r->err, LCF_EFORMAT, "a %s field has no '%s', only:%s",
                            LCF_FIELD_KIND_NAMES[f->kind], key, KEYS[f->kind]);
    }
    return LCF_OK;
}

static lcf_status read_kind(reader *r)
{
    const char *kind = json_string_value(json_object_get(r->json, "kind"));

    for (size_t i = 0; kind && i < LCF_FIELD_KINDS_N; i++)
        if (!strcmp(kind, LCF_FIELD_KIND_NAMES[i])) {
            current(r)->kind = (lcf_field_kind)i;
            return LCF_OK;
        }
    return LCF_FAIL(r->err, LCF_EFORMAT,
                    "kind must be categorical, multi, sequence, numeric, hashed or vector");
}

/* A whole number in [min, max]; `missing` when it is not there. */
static lcf_status read_u32(uint32_t *out, reader *r, const char *key, uint32_t min, uint32_t max,
                           uint32_t missing)
{
    const json_t *value = json_object_get(r->json, key);
    const json_int_t n = json_integer_value(value);

    *out = missing;
    if (!value)
        return LCF_OK;
    if (!json_is_integer(value) || n < (json_int_t)min || n > (json_int_t)max)
        return LCF_FAIL(r->err, LCF_EFORMAT, "%s must be a whole number from %u to %u", key, min,
                        max);
    *out = (uint32_t)n;
    return LCF_OK;
}

static lcf_status read_separator(reader *r)
{
    lcf_field *f = current(r);
    const json_t *value = json_object_get(r->json, "separator");
    const char *text = json_string_value(value);

    f->separator = f->kind == LCF_FIELD_MULTI ? '|' : f->kind == LCF_FIELD_SEQUENCE ? ',' : '\0';
    if (!value)
        return LCF_OK;
    if (!text || strlen(text) != 1 || (unsigned char)*text >= 0x80)
        return LCF_FAIL(r->err, LCF_EFORMAT, "separator must be one ASCII character");
    f->separator = *text;
    return LCF_OK;
}

/* The table by its name: the ranker's own, or an earlier field as "users.city". */
static lcf_status read_table(reader *r)
{
    static const struct {
        const char *name;
        lcf_field_table table;
    } own[] = {{"user", LCF_FIELD_TABLE_USER},
               {"item", LCF_FIELD_TABLE_ITEM},
               {"brand", LCF_FIELD_TABLE_BRAND},
               {"category", LCF_FIELD_TABLE_CATEGORY}};
    lcf_field *f = current(r);
    const json_t *value = json_object_get(r->json, "table");
    const char *name = json_string_value(value);

    if (!value)
        return LCF_OK;
    for (size_t i = 0; name && i < sizeof(own) / sizeof(own[0]); i++)
        if (!strcmp(name, own[i].name)) {
            f->table = own[i].table;
            return LCF_OK;
        }
    for (size_t i = 0; name && i < r->at; i++) {
        const lcf_field *other = &r->spec->fields.list[i];
        const size_t len = strlen(SECTIONS[other->owner]);

        if (!strncmp(name, SECTIONS[other->owner], len) && name[len] == '.' &&
            !strcmp(name + len + 1, other->name) && other->kind <= LCF_FIELD_SEQUENCE &&
            other->table == LCF_FIELD_TABLE_OWN) {
            f->table = LCF_FIELD_TABLE_FIELD;
            f->shares = (uint32_t)i;
            return LCF_OK;
        }
    }
    return LCF_FAIL(
        r->err, LCF_EFORMAT,
        "table must be user, item, brand, category, or a categorical, multi or sequence "
        "field above with a table of its own, as 'users.city'");
}

static lcf_status read_edges(reader *r, const json_t *list)
{
    const lcf_field *f = current(r);
    const size_t n = json_array_size(list);
    double *edges = lcf_alloc(n + 1, sizeof(*edges));

    if (!edges)
        return LCF_FAIL(r->err, LCF_ENOMEM, "%zu edges", n);
    r->spec->extra[r->at].edges = edges;
    r->spec->extra[r->at].edges_n = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(list, i);

        edges[i] = json_number_value(value);
        if (f->log)
            edges[i] = copysign(log1p(fabs(edges[i])), edges[i]);
        if (!json_is_number(value) || (i && edges[i] <= edges[i - 1]))
            return LCF_FAIL(r->err, LCF_EFORMAT, "buckets must be numbers that rise");
    }
    return n && n <= BUCKETS_MAX
               ? LCF_OK
               : LCF_FAIL(r->err, LCF_EFORMAT, "buckets must be 1 to %d edges", BUCKETS_MAX);
}

static lcf_status read_numeric(reader *r)
{
    const json_t *buckets = json_object_get(r->json, "buckets");
    const json_t *transform = json_object_get(r->json, "transform");

    if (transform && strcmp(json_is_string(transform) ? json_string_value(transform) : "", "log"))
        return LCF_FAIL(r->err, LCF_EFORMAT, "transform must be log");
    current(r)->log = transform != NULL;
    if (json_is_array(buckets))
        return read_edges(r, buckets);
    return read_u32(&r->spec->extra[r->at].buckets_n, r, "buckets", 2, BUCKETS_MAX, 16);
}

static lcf_status read_vector(reader *r)
{
    const json_t *frozen = json_object_get(r->json, "frozen");
    const char *file = json_string_value(json_object_get(r->json, "file"));

    if (current(r)->owner == LCF_FIELD_CONTEXT)
        return LCF_FAIL(r->err, LCF_EFORMAT, "vectors belong to users or items");
    if (!file || !*file)
        return LCF_FAIL(r->err, LCF_EFORMAT, "file must name the table of vectors");
    if (frozen && !json_is_boolean(frozen))
        return LCF_FAIL(r->err, LCF_EFORMAT, "frozen must be true or false");
    current(r)->frozen = !frozen || json_is_true(frozen);
    r->spec->extra[r->at].file = *file == '/' ? lcf_strdup(file) : lcf_path_join(r->dir, file);
    return r->spec->extra[r->at].file ? LCF_OK : LCF_FAIL(r->err, LCF_ENOMEM, "a path");
}

static lcf_status read_by_kind(reader *r)
{
    lcf_field *f = current(r);
    lcf_status status;

    if (f->kind == LCF_FIELD_VECTOR)
        return read_vector(r);
    f->values_max = 1;
    if (f->kind == LCF_FIELD_NUMERIC)
        return read_numeric(r);
    status = read_separator(r);
    if (!status && f->separator)
        status = read_u32(&f->values_max, r, "max", 1, LCF_FIELD_VALUES_MAX, VALUES_MAX_DEFAULT);
    if (status)
        return status;
    if (f->kind == LCF_FIELD_HASHED) {
        if (!json_object_get(r->json, "buckets"))
            return LCF_FAIL(r->err, LCF_EFORMAT, "buckets must say how many rows there are");
        return read_u32(&r->spec->extra[r->at].buckets_n, r, "buckets", 1, LCF_FIELD_ROWS_MAX - 1,
                        0);
    }
    status = read_u32(&f->min_count, r, "min_count", 1, UINT32_MAX, 1);
    return status ? status : read_table(r);
}

static lcf_status read_field(reader *r, const char *name)
{
    lcf_field *f = current(r);
    lcf_status status;

    snprintf(f->name, sizeof(f->name), "%s", name);
    if (!*name || strlen(name) >= sizeof(f->name) ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name))
        return LCF_FAIL(r->err, LCF_EFORMAT, "a name has 1 to %d of the characters a-z, 0-9 and _",
                        LCF_FIELD_NAME_MAX - 1);
    if (!json_is_object(r->json))
        return LCF_FAIL(r->err, LCF_EFORMAT, "must be a mapping such as {kind: categorical}");
    status = read_kind(r);
    if (!status)
        status = check_keys(r);
    return status ? status : read_by_kind(r);
}

static lcf_status read_section(lcf_fields_spec *spec, lcf_field_owner owner, const json_t *section,
                               const char *dir, lcf_err *err)
{
    const char *name;
    json_t *json;

    if (section && !json_is_object(section) && !json_is_null(section))
        return LCF_FAIL(err, LCF_EFORMAT, "%s must be a mapping of fields", SECTIONS[owner]);
    json_object_foreach((json_t *)(uintptr_t)section, name, json)
    {
        reader r = {spec, spec->fields.n, json, dir, err};
        lcf_status status;

        if (r.at == LCF_FIELDS_MAX)
            return LCF_FAIL(err, LCF_ELIMIT, "more than %d fields", LCF_FIELDS_MAX);
        current(&r)->owner = owner;
        spec->fields.n++;
        status = read_field(&r, name);
        if (status) {
            lcf_err_prefix(err, "%s.%s", SECTIONS[owner], name);
            return status;
        }
    }
    return LCF_OK;
}

static lcf_status read_all(lcf_fields_spec *spec, const json_t *json, const char *dir, lcf_err *err)
{
    const char *key;
    json_t *section;
    lcf_status status = LCF_OK;

    if (!json_is_object(json))
        return LCF_FAIL(err, LCF_EFORMAT, "must have sections users, items, context");
    json_object_foreach((json_t *)(uintptr_t)json, key, section)
    {
        if (strcmp(key, SECTIONS[0]) && strcmp(key, SECTIONS[1]) && strcmp(key, SECTIONS[2]))
            return LCF_FAIL(err, LCF_EFORMAT, "'%s' is none of the sections users, items, context",
                            key);
    }
    for (int owner = 0; owner < LCF_FIELD_OWNERS_N && !status; owner++)
        status = read_section(spec, (lcf_field_owner)owner, json_object_get(json, SECTIONS[owner]),
                              dir, err);
    return status;
}

lcf_status lcf_fields_spec_load(lcf_fields_spec *out, const char *path, lcf_err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? lcf_strndup(path, (size_t)(slash - path) + 1) : lcf_strdup(".");
    json_t *json = NULL;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = dir ? lcf_yaml_load(&json, path, err) : LCF_FAIL(err, LCF_ENOMEM, "a path");
    if (!status) {
        status = read_all(out, json, dir, err);
        if (status)
            lcf_err_prefix(err, "%s", path);
    }
    if (status)
        lcf_fields_spec_dispose(out);
    json_decref(json);
    free(dir);
    return status;
}

void lcf_fields_spec_dispose(lcf_fields_spec *spec)
{
    for (size_t i = 0; i < spec->fields.n; i++) {
        free(spec->extra[i].edges);
        free(spec->extra[i].file);
    }
    memset(spec, 0, sizeof(*spec));
}
