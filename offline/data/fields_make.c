/*
 * Fields from the columns of a raw log: see fields_make.h.
 *
 * Each table (users.tsv, the item list, the interactions) is walked twice: to fit the fields of its
 * owner, then to encode them. An entity of the context is a row of the log until it is gathered for
 * the samples, so that a sampled negative has the context of its positive.
 */
#include "offline/data/fields_make.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/data/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY SIZE_MAX

/* What fitting gathers about one field. */
typedef struct fit {
    lcf_intern values; /* in order of first appearance */
    uint32_t *counts;  /* [values.n] */
    size_t counts_capacity;
    double *numbers; /* [numbers_n] */
    size_t numbers_n, numbers_capacity;
} fit;

/* What encoding gathers about one field: the ids of entity e are ids[begin[e] .. begin[e] + n[e]).
 */
typedef struct encoded {
    uint64_t *begin;
    uint32_t *n, *ids;
    size_t ids_n, ids_capacity;
} encoded;

typedef struct maker {
    const lcf_fields_input *in;
    lcf_fields *fields;
    lcf_catalogue catalogue; /* its string tables */
    lcf_strings users;
    lcf_field_names names;
    bool *row_trains; /* [log rows] */
    size_t *bad_n;
    lcf_err *err;
    /* The table being walked. */
    lcf_field_owner owner;
    const char *path;
    lcf_rows rows;
    size_t column[LCF_FIELDS_MAX], id_column, columns_n;
    size_t row; /* of the log, with the context */
} maker;

/* ---- walking a table ---- */

static bool is_walked(const maker *m, size_t i)
{
    return m->fields->list[i].owner == m->owner && m->fields->list[i].kind != LCF_FIELD_VECTOR;
}

static bool owner_has_fields(const maker *m)
{
    for (size_t i = 0; i < m->fields->n; i++)
        if (is_walked(m, i))
            return true;
    return false;
}

static size_t entities_n(const maker *m, lcf_field_owner owner)
{
    return owner == LCF_FIELD_USER   ? m->in->log->user_id.n
           : owner == LCF_FIELD_ITEM ? m->in->log->item_id.n
                                     : m->in->log->rows_n;
}

static size_t find_column(const maker *m, const char *name)
{
    for (size_t i = 0; i < m->rows.fields_n; i++)
        if (m->rows.fields[i].len == strlen(name) &&
            !memcmp(m->rows.fields[i].data, name, m->rows.fields[i].len))
            return i;
    return SIZE_MAX;
}

static lcf_status read_header(maker *m)
{
    const char *id = lcf_raw_id_column(m->in->raw->format, m->owner == LCF_FIELD_ITEM);

    if (lcf_rows_next(&m->rows) != LCF_ROW_OK)
        return LCF_FAIL(m->err, LCF_EFORMAT, "%s:1: a header row belongs here", m->path);
    m->columns_n = m->rows.fields_n;
    m->id_column = find_column(m, id);
    if (m->id_column == SIZE_MAX && m->owner != LCF_FIELD_CONTEXT)
        return LCF_FAIL(m->err, LCF_EFORMAT, "%s:1: the header has no column '%s'", m->path, id);
    for (size_t i = 0; i < m->fields->n; i++) {
        if (!is_walked(m, i))
            continue;
        m->column[i] = find_column(m, m->fields->list[i].name);
        if (m->column[i] == SIZE_MAX)
            return LCF_FAIL(m->err, LCF_EFORMAT, "%s:1: the header has no column '%s'", m->path,
                            m->fields->list[i].name);
    }
    m->row = 0;
    return LCF_OK;
}

/* Whom the current row is about; NOBODY when the log does not know them or left the row out. */
static size_t entity_of_row(maker *m)
{
    const lcf_raw_log *log = m->in->log;
    lcf_str id;
    uint32_t idx;

    if (m->rows.fields_n != m->columns_n)
        return NOBODY;
    if (m->owner == LCF_FIELD_CONTEXT) {
        if (m->row == log->rows_n || log->row_line[m->row] != m->rows.line)
            return NOBODY;
        return m->row++;
    }
    id = m->rows.fields[m->id_column];
    idx = lcf_intern_find(m->owner == LCF_FIELD_USER ? &log->user_id : &log->item_id, id.data,
                          id.len);
    return idx ? idx : NOBODY;
}

/* Calls `visit` with the text of every field of every entity. */
static lcf_status walk_rows(maker *m,
                            lcf_status (*visit)(maker *m, size_t entity, size_t field, lcf_str text,
                                                void *arg),
                            void *arg)
{
    lcf_status status = read_header(m);
    lcf_row_result result;

    while (!status && (result = lcf_rows_next(&m->rows)) != LCF_ROW_END) {
        const size_t entity = result == LCF_ROW_OK ? entity_of_row(m) : NOBODY;

        for (size_t i = 0; entity != NOBODY && i < m->fields->n && !status; i++)
            if (is_walked(m, i))
                status = visit(m, entity, i, m->rows.fields[m->column[i]], arg);
    }
    return status;
}

static lcf_status table_path(char **out, const maker *m)
{
    char *items = NULL, *interactions = NULL;
    lcf_status status;

    *out = NULL;
    if (m->owner == LCF_FIELD_USER) {
        *out = lcf_path_join(m->in->raw->dir, "users.tsv");
        return *out ? LCF_OK : LCF_ENOMEM;
    }
    status = lcf_raw_paths(&items, &interactions, m->in->raw->dir, m->in->raw->format);
    *out = m->owner == LCF_FIELD_ITEM ? items : interactions;
    free(m->owner == LCF_FIELD_ITEM ? interactions : items);
    return status;
}

static lcf_status
walk(maker *m, lcf_status (*visit)(maker *m, size_t entity, size_t field, lcf_str text, void *arg),
     void *arg)
{
    const bool csv = m->in->raw->format == LCF_RAW_MOVIELENS && m->owner != LCF_FIELD_USER;
    char *path;
    lcf_map map = {0};
    lcf_status status = table_path(&path, m);

    if (status)
        return LCF_FAIL(m->err, status, "path of a table");
    m->path = path;
    memset(&m->rows, 0, sizeof(m->rows));
    status = lcf_map_open(&map, path, m->err);
    if (!status)
        status = lcf_rows_init(&m->rows, (const char *)map.data, map.bytes_n, csv ? ',' : '\t', csv,
                               m->err);
    if (!status)
        status = walk_rows(m, visit, arg);
    lcf_rows_dispose(&m->rows);
    lcf_map_close(&map);
    free(path);
    return status;
}

/* ---- fitting ---- */

static lcf_status count_value(fit *f, lcf_str value)
{
    const size_t before = f->values.n;
    uint32_t idx;
    lcf_status status = lcf_intern_add(&idx, &f->values, value.data, value.len);

    if (!status)
        status =
            lcf_grow((void **)&f->counts, &f->counts_capacity, f->values.n, sizeof(*f->counts));
    if (status)
        return status;
    if (f->values.n > before)
        f->counts[idx] = 0;
    f->counts[idx] += f->counts[idx] < UINT32_MAX;
    return LCF_OK;
}

static lcf_status add_number(fit *f, const lcf_field *field, lcf_str text)
{
    lcf_status status;
    double x;

    if (!lcf_parse_f64(text.data, text.len, &x)) /* told when it is encoded */
        return LCF_OK;
    status =
        lcf_grow((void **)&f->numbers, &f->numbers_capacity, f->numbers_n + 1, sizeof(*f->numbers));
    if (!status)
        f->numbers[f->numbers_n++] = field->log ? copysign(log1p(fabs(x)), x) : x;
    return status;
}

static lcf_status fit_text(maker *m, size_t entity, size_t i, lcf_str text, void *arg)
{
    const lcf_field *field = &m->fields->list[i];
    fit *f = (fit *)arg + i;
    lcf_status status = LCF_OK;
    size_t begin = 0;

    if (m->owner == LCF_FIELD_CONTEXT && !m->row_trains[entity])
        return LCF_OK;
    if (field->kind == LCF_FIELD_NUMERIC)
        status = add_number(f, field, text);
    if (field->kind > LCF_FIELD_SEQUENCE || field->table != LCF_FIELD_TABLE_OWN)
        begin = text.len; /* no vocabulary */
    while (begin < text.len && !status) {
        const char *at =
            field->separator ? memchr(text.data + begin, field->separator, text.len - begin) : NULL;
        const size_t end = at ? (size_t)(at - text.data) : text.len;

        if (end > begin)
            status = count_value(f, (lcf_str){text.data + begin, end - begin});
        begin = end + 1;
    }
    return status ? LCF_FAIL(m->err, status, "values of the field %s", field->name) : LCF_OK;
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

/* Edges at the quantiles 1/n, 2/n ..., each once: a bucket holds about as many as another. */
static lcf_status fit_edges(lcf_field *field, fit *f, size_t buckets_n)
{
    double *edges = lcf_alloc(buckets_n, sizeof(*edges));
    size_t n = 0;

    if (!edges)
        return LCF_ENOMEM;
    if (f->numbers_n)
        qsort(f->numbers, f->numbers_n, sizeof(*f->numbers), by_value);
    for (size_t i = 1; i < buckets_n && f->numbers_n; i++) {
        const double edge = f->numbers[i * f->numbers_n / buckets_n];

        if (edge > (n ? edges[n - 1] : f->numbers[0]))
            edges[n++] = edge;
    }
    field->edges = edges;
    field->edges_n = n;
    return LCF_OK;
}

static lcf_status copy_edges(lcf_field *field, const double *edges, size_t n)
{
    double *copy = lcf_alloc(n, sizeof(*copy));

    if (!copy)
        return LCF_ENOMEM;
    memcpy(copy, edges, n * sizeof(*copy));
    field->edges = copy;
    field->edges_n = n;
    return LCF_OK;
}

/* The values that are frequent enough, with memory of their own. */
static lcf_status fit_vocabulary(lcf_field *field, const fit *f)
{
    const lcf_strings all = lcf_intern_view(&f->values);
    lcf_intern kept;
    lcf_status status = lcf_intern_init(&kept);

    for (size_t i = 1; i < all.n && !status; i++) {
        const lcf_str value = lcf_strings_get(&all, i);
        uint32_t idx;

        if (f->counts[i] >= field->min_count)
            status = lcf_intern_add(&idx, &kept, value.data, value.len);
    }
    if (!status)
        status = lcf_intern_sort(&kept);
    if (!status) { /* the view takes the arrays over; the hash table is not needed any more */
        field->vocabulary = lcf_intern_view(&kept);
        kept.offsets = NULL;
        kept.chars = NULL;
        kept.sorted = NULL;
    }
    lcf_intern_dispose(&kept);
    return status;
}

static uint32_t ranker_table_rows(const maker *m, lcf_field_table table)
{
    const lcf_raw_log *log = m->in->log;

    return (uint32_t)(table == LCF_FIELD_TABLE_USER    ? log->user_id.n
                      : table == LCF_FIELD_TABLE_ITEM  ? log->item_id.n
                      : table == LCF_FIELD_TABLE_BRAND ? log->brand.n
                                                       : log->category.n);
}

static lcf_status finish_fit(maker *m, size_t i, fit *f)
{
    lcf_field *field = &m->fields->list[i];
    const uint32_t buckets_n = m->in->spec->extra[i].buckets_n;
    lcf_status status = LCF_OK;

    if (field->kind == LCF_FIELD_NUMERIC) {
        status = buckets_n ? fit_edges(field, f, buckets_n)
                           : copy_edges(field, m->in->spec->extra[i].edges,
                                        m->in->spec->extra[i].edges_n);
        field->table_rows = (uint32_t)field->edges_n + 2;
    } else if (field->kind == LCF_FIELD_HASHED) {
        field->table_rows = buckets_n + 1;
    } else if (field->table == LCF_FIELD_TABLE_FIELD) {
        field->table_rows = m->fields->list[field->shares].table_rows;
    } else if (field->table != LCF_FIELD_TABLE_OWN) {
        field->table_rows = ranker_table_rows(m, field->table);
    } else {
        status = fit_vocabulary(field, f);
        field->table_rows = (uint32_t)field->vocabulary.n + 1;
    }
    return status ? LCF_FAIL(m->err, status, "fit of the field %s", field->name) : LCF_OK;
}

static lcf_status fit_owner(maker *m, fit *fits)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < m->fields->n && !status; i++)
        if (is_walked(m, i) && lcf_intern_init(&fits[i].values))
            status = LCF_FAIL(m->err, LCF_ENOMEM, "vocabulary");
    if (!status)
        status = walk(m, fit_text, fits);
    for (size_t i = 0; i < m->fields->n && !status; i++)
        if (is_walked(m, i))
            status = finish_fit(m, i, &fits[i]);
    return status;
}

/* ---- encoding ---- */

static void report_bad(const maker *m, const lcf_field *field)
{
    char reason[64 + LCF_FIELD_NAME_MAX];

    ++*m->bad_n;
    snprintf(reason, sizeof(reason), "the value of '%s' is not a number", field->name);
    if (m->in->raw->bad_row)
        m->in->raw->bad_row(m->in->raw->bad_row_arg, m->path, m->rows.line, reason);
}

static lcf_status encode_text(maker *m, size_t entity, size_t i, lcf_str text, void *arg)
{
    const lcf_field *field = &m->fields->list[i];
    encoded *e = (encoded *)arg + i;
    bool bad = false;
    lcf_status status =
        lcf_grow((void **)&e->ids, &e->ids_capacity, e->ids_n + field->values_max, sizeof(*e->ids));

    if (status)
        return LCF_FAIL(m->err, status, "values of the field %s", field->name);
    e->begin[entity] = e->ids_n;
    e->n[entity] =
        (uint32_t)lcf_field_encode(e->ids + e->ids_n, &bad, m->fields, field, &m->names, text);
    e->ids_n += e->n[entity];
    if (bad)
        report_bad(m, field);
    return LCF_OK;
}

/* Entity `to` of the file is entity from(to) of the walk. */
static size_t entity_from(const maker *m, lcf_field_owner owner, size_t to)
{
    return owner == LCF_FIELD_CONTEXT ? m->in->samples->sample_row[to] : to;
}

static lcf_status gather(maker *m, lcf_field *field, const encoded *e)
{
    const size_t n =
        field->owner == LCF_FIELD_CONTEXT ? m->in->samples->samples_n : entities_n(m, field->owner);
    uint64_t *offsets = lcf_alloc(n + 1, sizeof(*offsets));
    uint32_t *ids = NULL;
    size_t total = 0;

    if (!offsets)
        return LCF_FAIL(m->err, LCF_ENOMEM, "the field %s of %zu entities", field->name, n);
    for (size_t i = 0; i < n; i++)
        total += e->n[entity_from(m, field->owner, i)];
    field->offsets = offsets;
    field->entities_n = n;
    ids = lcf_alloc(total + 1, sizeof(*ids));
    if (!ids)
        return LCF_FAIL(m->err, LCF_ENOMEM, "%zu values of the field %s", total, field->name);
    field->ids = ids;
    offsets[0] = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t from = entity_from(m, field->owner, i);

        memcpy(ids + offsets[i], e->ids + e->begin[from], e->n[from] * sizeof(*ids));
        offsets[i + 1] = offsets[i] + e->n[from];
    }
    return LCF_OK;
}

static lcf_status encode_owner(maker *m, encoded *list)
{
    const size_t n = entities_n(m, m->owner);
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < m->fields->n && !status; i++) {
        if (!is_walked(m, i))
            continue;
        list[i].begin = lcf_alloc_zero(n, sizeof(*list[i].begin));
        list[i].n = lcf_alloc_zero(n, sizeof(*list[i].n));
        if (!list[i].begin || !list[i].n ||
            lcf_grow((void **)&list[i].ids, &list[i].ids_capacity, 1, sizeof(*list[i].ids)))
            status = LCF_FAIL(m->err, LCF_ENOMEM, "fields of %zu entities", n);
    }
    if (!status)
        status = walk(m, encode_text, list);
    for (size_t i = 0; i < m->fields->n && !status; i++)
        if (is_walked(m, i))
            status = gather(m, &m->fields->list[i], &list[i]);
    return status;
}

static lcf_status make_owner(maker *m, lcf_field_owner owner, fit *fits, encoded *list)
{
    lcf_status status;

    m->owner = owner;
    if (!owner_has_fields(m))
        return LCF_OK;
    status = fit_owner(m, fits);
    return status ? status : encode_owner(m, list);
}

/* ---- vectors ---- */

/* Numbers separated by blanks, at most `max`; SIZE_MAX when something else stands there. */
static size_t parse_vector(float *out, size_t max, lcf_str text)
{
    size_t n = 0, begin = 0;

    while (begin < text.len) {
        const char *at = memchr(text.data + begin, ' ', text.len - begin);
        const size_t end = at ? (size_t)(at - text.data) : text.len;
        double x;

        if (end > begin) {
            if (n == max || !lcf_parse_f64(text.data + begin, end - begin, &x) ||
                !isfinite((float)x))
                return SIZE_MAX;
            out[n++] = (float)x;
        }
        begin = end + 1;
    }
    return n;
}

static lcf_status add_vector(maker *m, lcf_field *field, float **vectors, const float *x, size_t n)
{
    const lcf_intern *ids =
        field->owner == LCF_FIELD_USER ? &m->in->log->user_id : &m->in->log->item_id;
    const lcf_str id = m->rows.fields[0];
    const uint32_t entity = lcf_intern_find(ids, id.data, id.len);

    if (!field->dim && n && n != SIZE_MAX) {
        field->dim = (uint32_t)n;
        field->entities_n = ids->n;
        *vectors = lcf_alloc_zero(ids->n * n, sizeof(**vectors));
        field->vectors = *vectors;
        if (!*vectors)
            return LCF_FAIL(m->err, LCF_ENOMEM, "%zu vectors of %zu dimensions", ids->n, n);
    }
    if (n != field->dim)
        return LCF_FAIL(m->err, LCF_EFORMAT, "%s:%zu: not %u numbers with blanks between", m->path,
                        m->rows.line, field->dim);
    if (entity)
        memcpy(*vectors + (size_t)entity * n, x, n * sizeof(*x));
    return LCF_OK;
}

static lcf_status read_vectors(maker *m, lcf_field *field, lcf_str file)
{
    float x[LCF_FIELD_VECTOR_MAX], *vectors = NULL;
    lcf_row_result result;
    lcf_status status = lcf_rows_init(&m->rows, file.data, file.len, '\t', false, m->err);

    if (!status && (lcf_rows_next(&m->rows) != LCF_ROW_OK || m->rows.fields_n != 2))
        status = LCF_FAIL(m->err, LCF_EFORMAT,
                          "%s:1: a header of two columns belongs here: id, "
                          "vector",
                          m->path);
    while (!status && (result = lcf_rows_next(&m->rows)) != LCF_ROW_END) {
        if (result != LCF_ROW_OK || m->rows.fields_n != 2)
            status = LCF_FAIL(m->err, LCF_EFORMAT, "%s:%zu: not an id, a tab, and a vector",
                              m->path, m->rows.line);
        else
            status = add_vector(m, field, &vectors, x,
                                parse_vector(x, LCF_FIELD_VECTOR_MAX, m->rows.fields[1]));
    }
    if (!status && !field->dim)
        status = LCF_FAIL(m->err, LCF_EFORMAT, "%s: holds no vector", m->path);
    lcf_rows_dispose(&m->rows);
    return status;
}

static lcf_status make_vectors(maker *m)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < m->fields->n && !status; i++) {
        lcf_map map = {0};

        if (m->fields->list[i].kind != LCF_FIELD_VECTOR)
            continue;
        m->path = m->in->spec->extra[i].file;
        status = lcf_map_open(&map, m->path, m->err);
        if (!status)
            status = read_vectors(m, &m->fields->list[i],
                                  (lcf_str){(const char *)map.data, map.bytes_n});
        lcf_map_close(&map);
    }
    return status;
}

/* ---- all of it ---- */

static lcf_status prepare(maker *m)
{
    const lcf_raw_log *log = m->in->log;
    const lcf_samples *s = m->in->samples;

    m->users = lcf_intern_view(&log->user_id);
    m->catalogue.item_id = lcf_intern_view(&log->item_id);
    m->catalogue.brand = lcf_intern_view(&log->brand);
    m->catalogue.category = lcf_intern_view(&log->category);
    m->names = (lcf_field_names){&m->users, &m->catalogue};
    m->row_trains = lcf_alloc_zero(log->rows_n, sizeof(*m->row_trains));
    if (!m->row_trains)
        return LCF_FAIL(m->err, LCF_ENOMEM, "%zu rows", log->rows_n);
    for (size_t i = s->split_begin[LCF_TRAIN]; i < s->split_begin[LCF_VALID]; i++)
        m->row_trains[s->sample_row[i]] = true;
    return LCF_OK;
}

lcf_status lcf_fields_make(lcf_fields *out, size_t *bad_n, const lcf_fields_input *input,
                           lcf_err *err)
{
    maker m = {.in = input, .fields = out, .bad_n = bad_n, .err = err};
    const size_t n = input->spec->fields.n;
    fit *fits = lcf_alloc_zero(n + 1, sizeof(*fits));
    encoded *list = lcf_alloc_zero(n + 1, sizeof(*list));
    lcf_status status;

    *out = input->spec->fields;
    *bad_n = 0;
    status = fits && list ? prepare(&m) : LCF_FAIL(err, LCF_ENOMEM, "%zu fields", n);
    for (int owner = 0; owner < LCF_FIELD_OWNERS_N && !status; owner++)
        status = make_owner(&m, (lcf_field_owner)owner, fits, list);
    if (!status)
        status = make_vectors(&m);
    for (size_t i = 0; fits && list && i < n; i++) {
        lcf_intern_dispose(&fits[i].values);
        free(fits[i].counts);
        free(fits[i].numbers);
        free(list[i].begin);
        free(list[i].n);
        free(list[i].ids);
    }
    free(fits);
    free(list);
    free(m.row_trains);
    if (status)
        lcf_fields_dispose(out);
    return status;
}

/* Gives back what the views of a made field point to: it was allocated here. */
static void release(const void *memory)
{
    free((void *)(uintptr_t)memory);
}

void lcf_fields_dispose(lcf_fields *fields)
{
    for (size_t i = 0; i < fields->n; i++) {
        const lcf_field *f = &fields->list[i];

        release(f->vocabulary.offsets);
        release(f->vocabulary.chars);
        release(f->vocabulary.sorted);
        release(f->edges);
        release(f->offsets);
        release(f->ids);
        release(f->vectors);
    }
    memset(fields, 0, sizeof(*fields));
}
