/*
 * Fields on disk, and the encoding of a text by a field: see fields.h.
 */
#include "common/data/fields.h"

#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/data/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_OF_VOCABULARY 1

const char *const LCF_FIELD_OWNER_NAMES[LCF_FIELD_OWNERS_N] = {"user", "item", "context"};
const char *const LCF_FIELD_KIND_NAMES[LCF_FIELD_KINDS_N] = {"categorical", "multi",  "sequence",
                                                             "numeric",     "hashed", "vector"};
static const char *const TABLE_NAMES[] = {"own", "field", "user", "item", "brand", "category"};

/* ---- encoding ---- */

static uint32_t numeric_id(bool *bad, const lcf_field *f, lcf_str text)
{
    size_t low = 0, high = f->edges_n;
    double x;

    if (!lcf_parse_f64(text.data, text.len, &x)) {
        *bad = true;
        return 0;
    }
    if (f->log)
        x = copysign(log1p(fabs(x)), x);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (f->edges[middle] <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low + 1;
}

/* The row of one value in the field's table; 0 when the table is the ranker's and does not know it.
 */
static uint32_t value_id(const lcf_fields *fields, const lcf_field *f, const lcf_field_names *names,
                         lcf_str value)
{
    const lcf_field *owner = f->table == LCF_FIELD_TABLE_FIELD ? &fields->list[f->shares] : f;

    switch (f->table) {
    case LCF_FIELD_TABLE_USER:
        return names->users ? lcf_strings_find(names->users, value.data, value.len) : 0;
    case LCF_FIELD_TABLE_ITEM:
        return lcf_strings_find(&names->catalogue->item_id, value.data, value.len);
    case LCF_FIELD_TABLE_BRAND:
        return lcf_strings_find(&names->catalogue->brand, value.data, value.len);
    case LCF_FIELD_TABLE_CATEGORY:
        return lcf_strings_find(&names->catalogue->category, value.data, value.len);
    default:
        break;
    }
    if (f->kind == LCF_FIELD_HASHED)
        return 1 + (uint32_t)(lcf_hash64(value.data, value.len, 0) % (f->table_rows - 1));
    return OUT_OF_VOCABULARY + lcf_strings_find(&owner->vocabulary, value.data, value.len);
}

static bool holds(const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

size_t lcf_field_encode(uint32_t *ids, bool *bad, const lcf_fields *fields, const lcf_field *f,
                        const lcf_field_names *names, lcf_str text)
{
    bool ignored = false;
    size_t n = 0, begin = 0;

    LCF_ASSERT(f->kind != LCF_FIELD_VECTOR);
    if (f->kind == LCF_FIELD_NUMERIC) {
        if (text.len)
            ids[0] = numeric_id(bad ? bad : &ignored, f, text);
        return text.len && ids[0] ? 1 : 0;
    }
    while (begin < text.len) {
        const char *at =
            f->separator ? memchr(text.data + begin, f->separator, text.len - begin) : NULL;
        const size_t end = at ? (size_t)(at - text.data) : text.len;
        uint32_t id = 0;

        if (end > begin)
            id = value_id(fields, f, names, (lcf_str){text.data + begin, end - begin});
        begin = end + 1;
        if (!id || (f->kind != LCF_FIELD_SEQUENCE && holds(ids, n, id)))
            continue;
        if (n == f->values_max && f->kind != LCF_FIELD_SEQUENCE)
            break;
        if (n == f->values_max) /* a sequence: the oldest leaves */
            memmove(ids, ids + 1, --n * sizeof(*ids));
        ids[n++] = id;
    }
    return n;
}

const lcf_field *lcf_fields_find(const lcf_fields *fields, lcf_field_owner owner, const char *name)
{
    for (size_t i = 0; i < fields->n; i++)
        if (fields->list[i].owner == owner && !strcmp(fields->list[i].name, name))
            return &fields->list[i];
    return NULL;
}

/* ---- the bundle ---- */

/* "field.<index>.<part>" */
static const char *array_name(char out[LCF_BUNDLE_NAME_MAX], size_t i, const char *part)
{
    snprintf(out, LCF_BUNDLE_NAME_MAX, "field.%zu.%s", i, part);
    return out;
}

static bool has_vocabulary(const lcf_field *f)
{
    return f->table == LCF_FIELD_TABLE_OWN && f->kind <= LCF_FIELD_SEQUENCE;
}

static json_t *definition(const lcf_field *f)
{
    const char separator[2] = {f->separator, '\0'};

    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:b, s:b, s:I, s:I}", "name",
                     f->name, "owner", LCF_FIELD_OWNER_NAMES[f->owner], "kind",
                     LCF_FIELD_KIND_NAMES[f->kind], "table", TABLE_NAMES[f->table], "shares",
                     (json_int_t)f->shares, "table_rows", (json_int_t)f->table_rows, "separator",
                     separator, "values_max", (json_int_t)f->values_max, "min_count",
                     (json_int_t)f->min_count, "log", (int)f->log, "frozen", (int)f->frozen, "dim",
                     (json_int_t)f->dim, "entities_n", (json_int_t)f->entities_n);
}

static lcf_status add_field(lcf_bundle_writer *w, const lcf_field *f, size_t i, lcf_err *err)
{
    char name[LCF_BUNDLE_NAME_MAX];
    lcf_status status = LCF_OK;

    if (f->kind == LCF_FIELD_VECTOR) {
        const uint64_t dims[2] = {f->entities_n, f->dim};

        return lcf_bundle_add(w, array_name(name, i, "vectors"), LCF_F32, dims, 2, f->vectors, err);
    }
    if (has_vocabulary(f))
        status = lcf_strings_add_to(w, array_name(name, i, "vocab"), &f->vocabulary, err);
    if (!status && f->kind == LCF_FIELD_NUMERIC)
        status =
            lcf_bundle_add_1d(w, array_name(name, i, "edges"), LCF_F64, f->edges_n, f->edges, err);
    if (!status)
        status = lcf_bundle_add_1d(w, array_name(name, i, "offsets"), LCF_U64, f->entities_n + 1,
                                   f->offsets, err);
    if (!status)
        status = lcf_bundle_add_1d(w, array_name(name, i, "ids"), LCF_U32,
                                   f->offsets[f->entities_n], f->ids, err);
    return status;
}

static lcf_status add_definitions(lcf_bundle_writer *w, const lcf_fields *fields, lcf_err *err)
{
    json_t *list = json_array();
    char *text = NULL;
    lcf_status status;

    for (size_t i = 0; list && i < fields->n; i++)
        if (json_array_append_new(list, definition(&fields->list[i]))) {
            json_decref(list);
            list = NULL;
        }
    if (list)
        text = json_dumps(list, JSON_SORT_KEYS | JSON_COMPACT);
    status = text ? lcf_bundle_add_text(w, "fields", text, err)
                  : LCF_FAIL(err, LCF_ENOMEM, "definitions of fields");
    free(text);
    json_decref(list);
    return status;
}

lcf_status lcf_fields_save(const char *path, const lcf_fields *fields, lcf_err *err)
{
    lcf_bundle_writer *w;
    lcf_status status = lcf_bundle_create(&w, path, "fields", LCF_FIELDS_VERSION, err);

    if (status)
        return status;
    status = add_definitions(w, fields, err);
    for (size_t i = 0; i < fields->n && !status; i++)
        status = add_field(w, &fields->list[i], i, err);
    return lcf_bundle_finish(w, status, err);
}

static lcf_status choice(int *out, const json_t *json, const char *key, const char *const *names,
                         size_t names_n, lcf_err *err)
{
    const char *text;
    lcf_status status = lcf_json_str(&text, json, key, err);

    for (size_t i = 0; !status && i < names_n; i++)
        if (!strcmp(text, names[i])) {
            *out = (int)i;
            return LCF_OK;
        }
    return status ? status : LCF_FAIL(err, LCF_EFORMAT, "%s is '%s'", key, text);
}

static lcf_status number(uint32_t *out, const json_t *json, const char *key, uint32_t max,
                         lcf_err *err)
{
    uint64_t value;
    lcf_status status = lcf_json_u64(&value, json, key, err);

    if (!status && value > max)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s is %llu, at most %u may be", key,
                          (unsigned long long)value, max);
    *out = status ? 0 : (uint32_t)value;
    return status;
}

static bool is_name(const char *text)
{
    const size_t len = strlen(text);

    return len && len < LCF_FIELD_NAME_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static lcf_status read_definition(lcf_field *f, const json_t *json, lcf_err *err)
{
    int owner = 0, kind = 0, table = 0;
    const char *name = "", *separator = "";
    uint64_t entities_n = 0;
    lcf_status status = lcf_json_str(&name, json, "name", err);

    if (!status && !is_name(name))
        status = LCF_FAIL(err, LCF_EFORMAT, "'%s' is no name of a field", name);
    if (!status)
        snprintf(f->name, sizeof(f->name), "%s", name);
    if (!status)
        status = choice(&owner, json, "owner", LCF_FIELD_OWNER_NAMES, LCF_FIELD_OWNERS_N, err);
    if (!status)
        status = choice(&kind, json, "kind", LCF_FIELD_KIND_NAMES, LCF_FIELD_KINDS_N, err);
    if (!status)
        status = choice(&table, json, "table", TABLE_NAMES,
                        sizeof(TABLE_NAMES) / sizeof(TABLE_NAMES[0]), err);
    if (!status)
        status = number(&f->shares, json, "shares", LCF_FIELDS_MAX - 1, err);
    if (!status)
        status = number(&f->table_rows, json, "table_rows", LCF_FIELD_ROWS_MAX, err);
    if (!status)
        status = number(&f->values_max, json, "values_max", LCF_FIELD_VALUES_MAX, err);
    if (!status)
        status = number(&f->min_count, json, "min_count", UINT32_MAX, err);
    if (!status)
        status = number(&f->dim, json, "dim", LCF_FIELD_VECTOR_MAX, err);
    if (!status)
        status = lcf_json_u64(&entities_n, json, "entities_n", err);
    if (!status)
        status = lcf_json_str(&separator, json, "separator", err);
    f->owner = (lcf_field_owner)owner;
    f->kind = (lcf_field_kind)kind;
    f->table = (lcf_field_table)table;
    f->entities_n = (size_t)entities_n;
    f->separator = *separator;
    f->log = json_is_true(json_object_get(json, "log"));
    f->frozen = json_is_true(json_object_get(json, "frozen"));
    return status;
}

/* A table of users, items, brands or categories has only the unknown where the log names none. */
static bool is_rankers(lcf_field_table table)
{
    return table > LCF_FIELD_TABLE_FIELD;
}

/* What kinds and tables allow together; `i` is the field's own index. */
static lcf_status check_definition(const lcf_fields *fields, size_t i, lcf_err *err)
{
    const lcf_field *f = &fields->list[i];

    if (f->kind == LCF_FIELD_VECTOR && f->owner == LCF_FIELD_CONTEXT)
        return LCF_FAIL(err, LCF_EFORMAT, "vectors belong to users and items");
    if (f->kind == LCF_FIELD_VECTOR)
        return f->dim && !f->table_rows && f->table == LCF_FIELD_TABLE_OWN
                   ? LCF_OK
                   : LCF_FAIL(err, LCF_EFORMAT, "a vector has dimensions and no table");
    if (f->dim || !f->values_max || f->table_rows < (is_rankers(f->table) ? 1 : 2))
        return LCF_FAIL(err, LCF_EFORMAT, "dim, values_max or table_rows is out of range");
    if (f->kind > LCF_FIELD_SEQUENCE && f->table != LCF_FIELD_TABLE_OWN)
        return LCF_FAIL(err, LCF_EFORMAT, "a %s field has a table of its own",
                        LCF_FIELD_KIND_NAMES[f->kind]);
    if (f->table == LCF_FIELD_TABLE_FIELD &&
        (f->shares >= i || !has_vocabulary(&fields->list[f->shares]) ||
         f->table_rows != fields->list[f->shares].table_rows))
        return LCF_FAIL(err, LCF_EFORMAT, "the table it shares is not that of an earlier field");
    return LCF_OK;
}

static lcf_status read_vectors(lcf_field *f, size_t i, const lcf_bundle *bundle, lcf_err *err)
{
    char name[LCF_BUNDLE_NAME_MAX];
    uint64_t dims[2] = {f->entities_n, f->dim};
    const void *data;
    lcf_status status =
        lcf_bundle_get(&data, bundle, array_name(name, i, "vectors"), LCF_F32, dims, 2, err);

    if (status)
        return status;
    f->vectors = data;
    for (size_t j = 0; j < f->entities_n * f->dim; j++)
        if (!isfinite(f->vectors[j]))
            return LCF_FAIL(err, LCF_EFORMAT, "%s[%zu] is not finite", name, j);
    return LCF_OK;
}

static lcf_status read_edges(lcf_field *f, size_t i, const lcf_bundle *bundle, lcf_err *err)
{
    char name[LCF_BUNDLE_NAME_MAX];
    const void *data;
    lcf_status status = lcf_check_array(&data, &f->edges_n, bundle, array_name(name, i, "edges"),
                                        LCF_F64, SIZE_MAX, err);

    if (status)
        return status;
    f->edges = data;
    for (size_t j = 0; j < f->edges_n; j++)
        if (!isfinite(f->edges[j]) || (j && f->edges[j] <= f->edges[j - 1]))
            return LCF_FAIL(err, LCF_EFORMAT, "%s[%zu] is not finite or does not rise", name, j);
    if (f->edges_n + 2 != f->table_rows)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu edges for a table of %u rows", f->edges_n,
                        f->table_rows);
    return LCF_OK;
}

static lcf_status read_vocabulary(lcf_field *f, size_t i, const lcf_bundle *bundle, lcf_err *err)
{
    char name[LCF_BUNDLE_NAME_MAX];
    lcf_status status =
        lcf_strings_get_from(&f->vocabulary, bundle, array_name(name, i, "vocab"), true, err);

    if (!status && f->vocabulary.n + 1 != f->table_rows)
        status = LCF_FAIL(err, LCF_EFORMAT, "%zu names for a table of %u rows", f->vocabulary.n,
                          f->table_rows);
    return status;
}

static lcf_status read_ids(lcf_field *f, size_t i, const lcf_bundle *bundle, lcf_err *err)
{
    char name[LCF_BUNDLE_NAME_MAX];
    const void *offsets, *ids = NULL;
    size_t ids_n = 0;
    lcf_status status = lcf_check_array(&offsets, NULL, bundle, array_name(name, i, "offsets"),
                                        LCF_U64, f->entities_n + 1, err);

    if (!status)
        status = lcf_check_array(&ids, &ids_n, bundle, array_name(name, i, "ids"), LCF_U32,
                                 SIZE_MAX, err);
    if (!status)
        status = lcf_check_u32_below(ids, ids_n, f->table_rows, name, err);
    for (size_t j = 0; j < ids_n && !status; j++)
        if (!((const uint32_t *)ids)[j])
            status = LCF_FAIL(err, LCF_EFORMAT, "%s[%zu] is 0, which is no value", name, j);
    if (!status)
        status =
            lcf_check_offsets(offsets, f->entities_n, ids_n, array_name(name, i, "offsets"), err);
    if (status)
        return status;
    f->offsets = offsets;
    f->ids = ids;
    for (size_t j = 0; j < f->entities_n; j++)
        if (f->offsets[j + 1] - f->offsets[j] > f->values_max)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: entry %zu has more than %u values", name, j,
                            f->values_max);
    return LCF_OK;
}

static lcf_status read_field(lcf_fields *fields, size_t i, const json_t *json, lcf_err *err)
{
    lcf_field *f = &fields->list[i];
    lcf_status status = read_definition(f, json, err);

    if (!status && f->entities_n > SIZE_MAX / sizeof(uint64_t) - 1)
        status = LCF_FAIL(err, LCF_EFORMAT, "entities_n is out of range");
    if (!status)
        status = check_definition(fields, i, err);
    if (!status && f->kind == LCF_FIELD_VECTOR)
        return read_vectors(f, i, fields->bundle, err);
    if (!status && f->kind == LCF_FIELD_NUMERIC)
        status = read_edges(f, i, fields->bundle, err);
    if (!status && has_vocabulary(f))
        status = read_vocabulary(f, i, fields->bundle, err);
    if (!status)
        status = read_ids(f, i, fields->bundle, err);
    return status;
}

static lcf_status read_all(lcf_fields *fields, const json_t *list, lcf_err *err)
{
    if (!json_is_array(list) || json_array_size(list) > LCF_FIELDS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "no list of at most %d fields", LCF_FIELDS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        lcf_status status = read_field(fields, i, json_array_get(list, i), err);

        if (!status && lcf_fields_find(fields, fields->list[i].owner, fields->list[i].name))
            status = LCF_FAIL(err, LCF_EFORMAT, "two fields have this name");
        if (status) {
            lcf_err_prefix(err, "field %zu (%s)", i, fields->list[i].name);
            return status;
        }
        fields->n = i + 1;
    }
    return LCF_OK;
}

lcf_status lcf_fields_open(lcf_fields *out, const char *path, lcf_err *err)
{
    json_t *list = NULL;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, "fields", LCF_FIELDS_VERSION, err);
    if (status)
        return status;
    status = lcf_bundle_get_json(&list, out->bundle, "fields", err);
    if (!status)
        status = read_all(out, list, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_fields_close(out);
    }
    json_decref(list);
    return status;
}

void lcf_fields_close(lcf_fields *fields)
{
    lcf_bundle_close(fields->bundle);
    memset(fields, 0, sizeof(*fields));
}

lcf_status lcf_fields_check(const lcf_fields *fields, size_t users_n, const lcf_catalogue *c,
                            size_t decisions_n, lcf_err *err)
{
    const size_t entities_n[LCF_FIELD_OWNERS_N] = {
        [LCF_FIELD_USER] = users_n,
        [LCF_FIELD_ITEM] = c->items_n,
        [LCF_FIELD_CONTEXT] = decisions_n,
    };
    const size_t rows[] = {[LCF_FIELD_TABLE_USER] = users_n,
                           [LCF_FIELD_TABLE_ITEM] = c->items_n,
                           [LCF_FIELD_TABLE_BRAND] = c->brands_n,
                           [LCF_FIELD_TABLE_CATEGORY] = c->categories_n};

    for (size_t i = 0; i < fields->n; i++) {
        const lcf_field *f = &fields->list[i];

        if (f->entities_n != entities_n[f->owner])
            return LCF_FAIL(err, LCF_EFORMAT, "the field %s has %zu entries for %zu of its %s",
                            f->name, f->entities_n, entities_n[f->owner],
                            LCF_FIELD_OWNER_NAMES[f->owner]);
        if (f->table >= LCF_FIELD_TABLE_USER && f->table_rows != rows[f->table])
            return LCF_FAIL(err, LCF_EFORMAT, "the field %s is about a table of %u rows, not %zu",
                            f->name, f->table_rows, rows[f->table]);
    }
    return LCF_OK;
}
