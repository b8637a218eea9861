/*
 * Slices by a column of a table of the analyst's: "ages.csv:age". The table has a header row with
 * the column and one key: user_id, item_id or row (the number of the sample). A key may stand in it
 * several times when it has the same value each time; rows of the comparison whose key is missing
 * or whose value is empty are in no slice.
 */
#include "offline/eval/slices.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/data/intern.h"
#include "offline/data/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum key_kind { KEY_USER, KEY_ITEM, KEY_ROW, KEYS_N } key_kind;

static const struct {
    const char *name, *other; /* the second as MovieLens says it */
} KEYS[KEYS_N] = {{"user_id", "userId"}, {"item_id", "movieId"}, {"row", "row"}};

typedef struct column_reader {
    const lcf_dataset *dataset;
    const char *path, *column;
    lcf_rows rows;
    size_t columns_n, value_field, key_field;
    key_kind key;
    size_t keys_n;
    uint32_t *value_of; /* [keys_n] index of the key's value, 0: none */
    lcf_intern values;
    size_t known_n; /* rows of the file whose key the dataset has */
} column_reader;

static bool field_is(const lcf_str *field, const char *name)
{
    return field->len == strlen(name) && !memcmp(field->data, name, field->len);
}

static void list_columns(lcf_buf *out, const lcf_rows *rows)
{
    for (size_t i = 0; i < rows->fields_n; i++)
        lcf_buf_printf(out, "%s%.*s", i ? ", " : "", (int)rows->fields[i].len,
                       rows->fields[i].data);
}

static lcf_status find_columns(column_reader *r, lcf_err *err)
{
    size_t keys = 0, values = 0;
    lcf_buf names = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    r->columns_n = r->rows.fields_n;
    for (size_t i = 0; i < r->columns_n; i++) {
        const lcf_str *field = &r->rows.fields[i];
        if (field_is(field, r->column)) {
            r->value_field = i;
            values++;
        }
        for (size_t k = 0; k < KEYS_N; k++)
            if (field_is(field, KEYS[k].name) || field_is(field, KEYS[k].other)) {
                r->key = (key_kind)k;
                r->key_field = i;
                keys++;
            }
    }
    list_columns(&names, &r->rows);
    if (values != 1)
        status = LCF_FAIL(err, LCF_EUSAGE, "%s: %s column '%s'; it has: %s", r->path,
                          values ? "more than one" : "no", r->column, lcf_buf_text(&names));
    else if (keys != 1)
        status = LCF_FAIL(err, LCF_EUSAGE,
                          "%s: %s of the key columns user_id, item_id and row, needed is one; it "
                          "has: %s",
                          r->path, keys ? "several" : "none", lcf_buf_text(&names));
    lcf_buf_dispose(&names);
    return status;
}

/* The index of the key, or SIZE_MAX when the dataset does not know it. */
static size_t find_key(const column_reader *r, const lcf_str *text)
{
    uint64_t row;
    uint32_t idx;

    if (r->key == KEY_ROW)
        return lcf_parse_u64(text->data, text->len, &row) && row < r->keys_n ? (size_t)row
                                                                             : SIZE_MAX;
    idx =
        lcf_strings_find(r->key == KEY_USER ? &r->dataset->user_id : &r->dataset->catalogue.item_id,
                         text->data, text->len);
    return idx ? idx : SIZE_MAX;
}

static lcf_status take_row(column_reader *r, lcf_err *err)
{
    const lcf_str *value = &r->rows.fields[r->value_field];
    const lcf_str *key = &r->rows.fields[r->key_field];
    size_t at;
    uint32_t idx;

    if (r->rows.fields_n != r->columns_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %zu fields, the header has %zu", r->path,
                        r->rows.line, r->rows.fields_n, r->columns_n);
    if (!lcf_utf8_valid(value->data, value->len))
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: the value is not UTF-8", r->path, r->rows.line);
    at = find_key(r, key);
    if (at == SIZE_MAX || !value->len) /* the file may know more than the dataset */
        return LCF_OK;
    if (lcf_intern_add(&idx, &r->values, value->data, value->len))
        return LCF_FAIL(err, LCF_ENOMEM, "values of %s", r->path);
    if (r->value_of[at] && r->value_of[at] != idx)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s '%.*s' has another value than further up",
                        r->path, r->rows.line, KEYS[r->key].name, (int)key->len, key->data);
    r->value_of[at] = idx;
    r->known_n++;
    return LCF_OK;
}

static lcf_status start(column_reader *r, lcf_err *err)
{
    const size_t keys_n[KEYS_N] = {r->dataset->users_n, r->dataset->catalogue.items_n,
                                   r->dataset->samples_n};
    lcf_row_result result = lcf_rows_next(&r->rows);
    lcf_status status;

    if (result != LCF_ROW_OK)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", r->path, r->rows.line,
                        result == LCF_ROW_BAD ? r->rows.reason : "no header row");
    status = find_columns(r, err);
    if (status)
        return status;
    r->keys_n = keys_n[r->key];
    r->value_of = lcf_alloc_zero(r->keys_n + 1, sizeof(*r->value_of));
    return r->value_of && !lcf_intern_init(&r->values)
               ? LCF_OK
               : LCF_FAIL(err, LCF_ENOMEM, "values of %zu keys", r->keys_n);
}

static lcf_status read_rows(column_reader *r, lcf_err *err)
{
    lcf_status status = start(r, err);

    while (!status) {
        lcf_row_result result = lcf_rows_next(&r->rows);
        if (result == LCF_ROW_END)
            break;
        status = result == LCF_ROW_OK ? take_row(r, err)
                                      : LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", r->path,
                                                 r->rows.line, r->rows.reason);
    }
    if (!status && !r->known_n)
        status = LCF_FAIL(err, LCF_EFORMAT,
                          "%s: the dataset knows none of its keys (%s): is it of another dataset?",
                          r->path, KEYS[r->key].name);
    return status;
}

static size_t key_of_row(const column_reader *r, const lcf_eval_table *t, size_t i)
{
    if (r->key == KEY_ROW)
        return (size_t)t->row[i];
    return r->key == KEY_USER ? r->dataset->sample_user[t->row[i]]
                              : r->dataset->sample_item[t->row[i]];
}

/* The values as numbers, or false when one of them is none. shapes: number [values.n] out */
static bool all_numbers(double *number, const lcf_strings *values)
{
    number[0] = NAN;
    for (size_t v = 1; v < values->n; v++) {
        lcf_str text = lcf_strings_get(values, v);
        if (!lcf_parse_f64(text.data, text.len, &number[v]))
            return false;
    }
    return true;
}

static lcf_status add_column(lcf_slices *s, const column_reader *r, const lcf_eval_table *t,
                             lcf_err *err)
{
    const lcf_strings texts = lcf_intern_view(&r->values);
    uint32_t *value = lcf_alloc(t->rows_n + 1, sizeof(*value));
    double *number = lcf_alloc(texts.n + t->rows_n + 1, sizeof(*number)), *of_row;
    lcf_status status;

    if (!value || !number) {
        status = LCF_FAIL(err, LCF_ENOMEM, "values of %zu rows", t->rows_n);
        goto done;
    }
    for (size_t i = 0; i < t->rows_n; i++)
        value[i] = r->value_of[key_of_row(r, t, i)];
    if (texts.n <= LCF_SLICES_TOP + 1 || !all_numbers(number, &texts)) {
        status = lcf_slices_add_values(s, r->column, value, &texts, err);
        goto done;
    }
    of_row = number + texts.n;
    for (size_t i = 0; i < t->rows_n; i++)
        of_row[i] = number[value[i]];
    status = lcf_slices_add_deciles(s, r->column, of_row, err);
done:
    free(value);
    free(number);
    return status;
}

lcf_status lcf_slices_by_column_text(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                                     const lcf_str *text, bool tabs, const char *source,
                                     const char *column, lcf_err *err)
{
    column_reader r = {.dataset = d, .path = source, .column = column};
    lcf_status status =
        lcf_rows_init(&r.rows, text->data, text->len, tabs ? '\t' : ',', !tabs, err);

    if (!status)
        status = read_rows(&r, err);
    if (!status)
        status = add_column(s, &r, t, err);
    lcf_rows_dispose(&r.rows);
    lcf_intern_dispose(&r.values);
    free(r.value_of);
    return status;
}

/* "dir/ages.csv:age" is split at its last colon. */
lcf_status lcf_slices_by_column(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                                const char *column, lcf_err *err)
{
    const char *colon = strrchr(column, ':');
    lcf_map map = {NULL, 0};
    char *path;
    lcf_status status;

    if (!colon || colon == column || !colon[1])
        return LCF_FAIL(err, LCF_EUSAGE, "'%s' is not of the form FILE:COLUMN", column);
    path = lcf_strndup(column, (size_t)(colon - column));
    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path of '%s'", column);
    status = lcf_map_open(&map, path, err);
    if (!status) {
        const lcf_str text = {(const char *)map.data, map.bytes_n};
        status = lcf_slices_by_column_text(s, t, d, &text, lcf_ends_with(path, ".tsv"), path,
                                           colon + 1, err);
    }
    lcf_map_close(&map);
    free(path);
    return status;
}
