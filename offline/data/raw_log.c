/* Logs into columns: see raw_log.h. */
#include "offline/data/raw_log.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/data/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ITEM_ID, ITEM_TITLE, ITEM_BRAND, ITEM_CATEGORIES, ITEM_TEXT, ITEM_COLUMNS };
enum { ROW_USER, ROW_ITEM, ROW_TIME, ROW_RATING, ROW_SPLIT, ROW_COLUMNS };

#define NO_COLUMN SIZE_MAX
_Static_assert((int)ROW_COLUMNS <= (int)ITEM_COLUMNS, "reader.column holds either");

typedef struct layout {
    const char *items_file, *rows_file;
    char separator;
    bool quoted;
    const char *item_columns[ITEM_COLUMNS]; /* NULL: the layout has none */
    const char *row_columns[ROW_COLUMNS];
    size_t item_required, row_required; /* the first so many columns must be there */
    const char *no_categories;          /* what an item without any says instead */
    const char *no_brand;
} layout;

static const layout LAYOUTS[] = {
    [LCF_RAW_MOVIELENS] = {"movies.csv",
                           "ratings.csv",
                           ',',
                           true,
                           {"movieId", "title", NULL, "genres", NULL},
                           {"userId", "movieId", "timestamp", "rating", NULL},
                           2,
                           4,
                           "(no genres listed)",
                           NULL},
    [LCF_RAW_TSV] = {"items.tsv",
                     "interactions.tsv",
                     '\t',
                     false,
                     {"item_id", "title", "brand", "categories", "text"},
                     {"user_id", "item_id", "timestamp", "rating", "split"},
                     2,
                     3,
                     NULL,
                     "Unknown"},
};

/* One file being read. */
typedef struct reader {
    const lcf_raw_options *options;
    const layout *layout;
    lcf_raw_log *log;
    const char *path;
    lcf_map map;
    lcf_rows rows;
    size_t columns_n;
    size_t column[ITEM_COLUMNS]; /* field number of each column */
    lcf_buf scratch;
    lcf_progress progress;
} reader;

lcf_status lcf_raw_paths(char **items, char **interactions, const char *dir, lcf_raw_format format)
{
    *items = lcf_path_join(dir, LAYOUTS[format].items_file);
    *interactions = lcf_path_join(dir, LAYOUTS[format].rows_file);
    if (*items && *interactions)
        return LCF_OK;
    free(*items);
    free(*interactions);
    *items = *interactions = NULL;
    return LCF_ENOMEM;
}

const char *lcf_raw_id_column(lcf_raw_format format, bool items)
{
    return items ? LAYOUTS[format].item_columns[ITEM_ID] : LAYOUTS[format].row_columns[ROW_USER];
}

static lcf_status has_layout(bool *out, const char *dir, lcf_raw_format format)
{
    char *items, *interactions;
    lcf_status status = lcf_raw_paths(&items, &interactions, dir, format);

    *out = !status && lcf_path_exists(items) && lcf_path_exists(interactions);
    free(items);
    free(interactions);
    return status;
}

lcf_status lcf_raw_detect(lcf_raw_format *out, const char *dir, lcf_err *err)
{
    bool movielens, tsv;

    if (has_layout(&movielens, dir, LCF_RAW_MOVIELENS) || has_layout(&tsv, dir, LCF_RAW_TSV))
        return LCF_FAIL(err, LCF_ENOMEM, "paths in %s", dir);
    if (movielens && tsv)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s has the files of both layouts: choose with --format movielens or tsv",
                        dir);
    if (!movielens && !tsv)
        return LCF_FAIL(err, LCF_ENOENT,
                        "%s has neither movies.csv and ratings.csv nor items.tsv and "
                        "interactions.tsv",
                        dir);
    *out = movielens ? LCF_RAW_MOVIELENS : LCF_RAW_TSV;
    return LCF_OK;
}

static void report_bad(reader *r, const char *reason)
{
    r->log->bad_rows_n++;
    if (r->options->bad_row)
        r->options->bad_row(r->options->bad_row_arg, r->path, r->rows.line, reason);
}

static size_t column_named(const lcf_rows *rows, const char *name)
{
    for (size_t i = 0; name && i < rows->fields_n; i++)
        if (rows->fields[i].len == strlen(name) &&
            !memcmp(rows->fields[i].data, name, rows->fields[i].len))
            return i;
    return NO_COLUMN;
}

static lcf_status read_header(reader *r, const char *const *names, size_t names_n, size_t required,
                              lcf_err *err)
{
    lcf_row_result result = lcf_rows_next(&r->rows);

    if (result == LCF_ROW_END)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:1: empty, a header row belongs here", r->path);
    if (result == LCF_ROW_BAD)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", r->path, r->rows.line, r->rows.reason);
    r->columns_n = r->rows.fields_n;
    for (size_t i = 0; i < names_n; i++) {
        r->column[i] = column_named(&r->rows, names[i]);
        if (r->column[i] == NO_COLUMN && i < required)
            return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: the header has no column '%s'", r->path,
                            r->rows.line, names[i]);
    }
    return LCF_OK;
}

static lcf_status reader_open(reader *r, lcf_raw_log *log, const lcf_raw_options *options,
                              const char *path, const char *const *names, size_t names_n,
                              size_t required, lcf_err *err)
{
    lcf_status status;

    memset(r, 0, sizeof(*r));
    r->options = options;
    r->layout = &LAYOUTS[options->format];
    r->log = log;
    r->path = path;
    status = lcf_map_open(&r->map, path, err);
    if (!status)
        status = lcf_rows_init(&r->rows, (const char *)r->map.data, r->map.bytes_n,
                               r->layout->separator, r->layout->quoted, err);
    if (!status)
        status = read_header(r, names, names_n, required, err);
    if (!status)
        lcf_progress_start(&r->progress, "read", "bytes", r->map.bytes_n);
    return status;
}

static void reader_close(reader *r)
{
    lcf_rows_dispose(&r->rows);
    lcf_map_close(&r->map);
    lcf_buf_dispose(&r->scratch);
}

/* The field of that column; empty when the file has no such column. */
static lcf_str field(const reader *r, size_t column)
{
    if (r->column[column] == NO_COLUMN)
        return (lcf_str){"", 0};
    return r->rows.fields[r->column[column]];
}

/* A reason why the text cannot be an id, or NULL. */
static const char *id_problem(lcf_str id)
{
    if (!id.len)
        return "an id is empty";
    if (id.len > LCF_ID_BYTES_MAX)
        return "an id has more than 255 bytes";
    for (size_t i = 0; i < id.len; i++)
        if ((unsigned char)id.data[i] < 0x20 || id.data[i] == 0x7f)
            return "an id has a control character";
    return lcf_utf8_valid(id.data, id.len) ? NULL : "an id is not UTF-8";
}

static bool equals(lcf_str s, const char *text)
{
    return text && s.len == strlen(text) && !memcmp(s.data, text, s.len);
}

/* Control characters become spaces, runs of spaces one, the ends are trimmed; valid until the next
 * call. */
static lcf_str clean(reader *r, lcf_str s)
{
    bool space = true;

    lcf_buf_reset(&r->scratch);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        bool blank = c <= 0x20 || c == 0x7f;

        if (!blank)
            lcf_buf_append_char(&r->scratch, (char)c);
        else if (!space)
            lcf_buf_append_char(&r->scratch, ' ');
        space = blank;
    }
    while (r->scratch.len && r->scratch.data[r->scratch.len - 1] == ' ')
        r->scratch.len--;
    return (lcf_str){r->scratch.data ? r->scratch.data : "", r->scratch.len};
}

static lcf_status add_category(lcf_raw_log *log, lcf_str name)
{
    uint64_t begin = log->category_offsets[log->item_id.n - 1];
    uint32_t idx;
    lcf_status status = lcf_intern_add(&idx, &log->category, name.data, name.len);

    if (status || !idx)
        return status;
    for (uint64_t i = begin; i < log->item_categories_n; i++)
        if (log->item_categories[i] == idx)
            return LCF_OK;
    status = lcf_grow((void **)&log->item_categories, &log->item_categories_capacity,
                      log->item_categories_n + 1, sizeof(*log->item_categories));
    if (!status)
        log->item_categories[log->item_categories_n++] = idx;
    return status;
}

static lcf_status add_categories(reader *r, lcf_str all)
{
    size_t begin = 0;

    if (equals(all, r->layout->no_categories))
        return LCF_OK;
    while (begin < all.len) {
        const char *bar = memchr(all.data + begin, '|', all.len - begin);
        size_t end = bar ? (size_t)(bar - all.data) : all.len;
        lcf_str name = clean(r, (lcf_str){all.data + begin, end - begin});
        lcf_status status = r->scratch.status;

        if (!status)
            status = add_category(r->log, name);
        if (status)
            return status;
        begin = end + 1;
    }
    return LCF_OK;
}

static lcf_status append_clean(reader *r, lcf_intern *table, lcf_str text)
{
    lcf_str s = clean(r, text);

    return r->scratch.status ? r->scratch.status : lcf_intern_append(table, s.data, s.len);
}

/*
 * Room for the item that item_id got last, and its brand; categories may be added until the next
 * item.
 */
static lcf_status add_item_row(lcf_raw_log *log, uint32_t brand)
{
    size_t n = log->item_id.n;
    lcf_status status;

    status =
        lcf_grow((void **)&log->item_brand, &log->item_brand_capacity, n, sizeof(*log->item_brand));
    if (!status)
        status = lcf_grow((void **)&log->category_offsets, &log->category_offsets_capacity, n + 1,
                          sizeof(*log->category_offsets));
    if (status)
        return status;
    log->item_brand[n - 1] = brand;
    log->category_offsets[n - 1] = log->item_categories_n;
    log->category_offsets[n] = log->item_categories_n;
    return LCF_OK;
}

static lcf_status add_item(reader *r)
{
    lcf_raw_log *log = r->log;
    lcf_str id = field(r, ITEM_ID), brand;
    uint32_t idx, brand_idx = 0;
    lcf_status status = lcf_intern_add(&idx, &log->item_id, id.data, id.len);

    if (!status)
        status = append_clean(r, &log->title, field(r, ITEM_TITLE));
    if (!status)
        status = append_clean(r, &log->text, field(r, ITEM_TEXT));
    if (status)
        return status;
    brand = clean(r, field(r, ITEM_BRAND));
    status = r->scratch.status;
    if (!status && !equals(brand, r->layout->no_brand))
        status = lcf_intern_add(&brand_idx, &log->brand, brand.data, brand.len);
    if (!status)
        status = add_item_row(log, brand_idx);
    if (!status)
        status = add_categories(r, field(r, ITEM_CATEGORIES));
    if (!status)
        log->category_offsets[log->item_id.n] = log->item_categories_n;
    return status;
}

/* Why the current row cannot be an item, or NULL. */
static const char *item_problem(const reader *r)
{
    lcf_str id;
    const char *reason;

    if (r->rows.fields_n != r->columns_n)
        return "its number of fields differs from the header's";
    id = field(r, ITEM_ID);
    reason = id_problem(id);
    if (reason)
        return reason;
    if (lcf_intern_find(&r->log->item_id, id.data, id.len))
        return "this item was listed before";
    for (size_t i = ITEM_TITLE; i < ITEM_COLUMNS; i++)
        if (!lcf_utf8_valid(field(r, i).data, field(r, i).len))
            return "a text is not UTF-8";
    return NULL;
}

static lcf_status read_items(reader *r)
{
    lcf_status status = LCF_OK;

    while (!status) {
        lcf_row_result result = lcf_rows_next(&r->rows);
        const char *reason = r->rows.reason;

        if (result == LCF_ROW_END)
            break;
        if (result == LCF_ROW_OK)
            reason = item_problem(r);
        if (reason)
            report_bad(r, reason);
        else
            status = add_item(r);
        lcf_progress_update(&r->progress, r->rows.at);
    }
    return status;
}

/* An interaction whose fields have been checked. */
typedef struct interaction {
    lcf_str user, item;
    int64_t time;
    double rating;
    lcf_split split;
} interaction;

static bool parse_split(lcf_split *out, lcf_str name)
{
    for (int split = LCF_TRAIN; split <= LCF_TEST; split++)
        if (equals(name, LCF_SPLIT_NAMES[split])) {
            *out = (lcf_split)split;
            return true;
        }
    return false;
}

/* Why the current row cannot be an interaction, or NULL with *out filled. */
static const char *parse_interaction(interaction *out, const reader *r)
{
    lcf_str time, rating;
    const char *reason;

    if (r->rows.fields_n != r->columns_n)
        return "its number of fields differs from the header's";
    out->user = field(r, ROW_USER);
    out->item = field(r, ROW_ITEM);
    out->rating = NAN;
    out->split = LCF_TRAIN;
    reason = id_problem(out->user);
    if (!reason)
        reason = id_problem(out->item);
    if (reason)
        return reason;
    time = field(r, ROW_TIME);
    if (!lcf_parse_i64(time.data, time.len, &out->time))
        return "the timestamp is not a whole number";
    if (out->time < 0 || out->time > LCF_RAW_TIME_MAX)
        return "the timestamp is not in seconds since 1970";
    if (r->log->has_splits && !parse_split(&out->split, field(r, ROW_SPLIT)))
        return "the split is not train, valid or test";
    if (!r->log->has_ratings)
        return NULL;
    rating = field(r, ROW_RATING);
    if (!lcf_parse_f64(rating.data, rating.len, &out->rating) || fabs(out->rating) > 1e6)
        return "the rating is not a number";
    return NULL;
}

static lcf_status add_unknown_item(lcf_raw_log *log, uint32_t *idx, lcf_str id)
{
    lcf_status status = lcf_intern_add(idx, &log->item_id, id.data, id.len);

    if (!status)
        status = lcf_intern_append(&log->title, "", 0);
    if (!status)
        status = lcf_intern_append(&log->text, "", 0);
    if (!status)
        status = add_item_row(log, 0);
    log->unknown_items_n += !status;
    return status;
}

static lcf_status grow_rows(lcf_raw_log *log, size_t n)
{
    lcf_status status = n >= UINT32_MAX ? LCF_ELIMIT : LCF_OK;

    if (!status)
        status = lcf_grow((void **)&log->row_user, &log->user_capacity, n, sizeof(uint32_t));
    if (!status)
        status = lcf_grow((void **)&log->row_item, &log->item_capacity, n, sizeof(uint32_t));
    if (!status)
        status = lcf_grow((void **)&log->row_time, &log->time_capacity, n, sizeof(int64_t));
    if (!status)
        status = lcf_grow((void **)&log->row_line, &log->line_capacity, n, sizeof(uint32_t));
    if (!status && log->has_ratings)
        status = lcf_grow((void **)&log->row_rating, &log->rating_capacity, n, sizeof(float));
    if (!status && log->has_splits)
        status = lcf_grow((void **)&log->row_split, &log->split_capacity, n, sizeof(uint8_t));
    return status;
}

static lcf_status add_interaction(lcf_raw_log *log, const interaction *in, size_t line)
{
    size_t row = log->rows_n;
    uint32_t user, item = lcf_intern_find(&log->item_id, in->item.data, in->item.len);
    lcf_status status = grow_rows(log, row + 1);

    if (!status && !item)
        status = add_unknown_item(log, &item, in->item);
    if (!status)
        status = lcf_intern_add(&user, &log->user_id, in->user.data, in->user.len);
    if (status)
        return status;
    log->row_user[row] = user;
    log->row_item[row] = item;
    log->row_time[row] = in->time;
    log->row_line[row] = (uint32_t)line;
    if (log->has_ratings)
        log->row_rating[row] = (float)in->rating;
    if (log->has_splits)
        log->row_split[row] = (uint8_t)in->split;
    log->rows_n++;
    return LCF_OK;
}

static lcf_status read_interactions(reader *r)
{
    lcf_status status = LCF_OK;
    interaction in;

    while (!status) {
        lcf_row_result result = lcf_rows_next(&r->rows);
        const char *reason = r->rows.reason;

        if (result == LCF_ROW_END)
            break;
        if (result == LCF_ROW_OK)
            reason = parse_interaction(&in, r);
        if (reason)
            report_bad(r, reason);
        else
            status = add_interaction(r->log, &in, r->rows.line);
        if (!(r->log->rows_n & 1023))
            lcf_progress_update(&r->progress, r->rows.at);
    }
    return status;
}

static lcf_status init_tables(lcf_raw_log *log)
{
    lcf_intern *tables[] = {&log->item_id, &log->brand, &log->category, &log->user_id};
    lcf_status status = LCF_OK;

    memset(log, 0, sizeof(*log));
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && !status; i++)
        status = lcf_intern_init(tables[i]);
    if (!status)
        status = lcf_intern_append(&log->title, "", 0);
    if (!status)
        status = lcf_intern_append(&log->text, "", 0);
    return status ? status : add_item_row(log, 0);
}

static lcf_status read_file(lcf_raw_log *log, const lcf_raw_options *options, const char *path,
                            bool items, lcf_err *err)
{
    const layout *l = &LAYOUTS[options->format];
    reader r;
    lcf_status status;

    status = reader_open(&r, log, options, path, items ? l->item_columns : l->row_columns,
                         items ? ITEM_COLUMNS : ROW_COLUMNS,
                         items ? l->item_required : l->row_required, err);
    if (!status) {
        if (!items) {
            log->has_ratings = r.column[ROW_RATING] != NO_COLUMN;
            log->has_splits = r.column[ROW_SPLIT] != NO_COLUMN;
        }
        status = items ? read_items(&r) : read_interactions(&r);
        lcf_progress_end(&r.progress);
        if (status)
            LCF_FAIL(err, status, "%s:%zu: %s", path, r.rows.line,
                     status == LCF_ELIMIT ? "more rows or ids than 32-bit numbers"
                                          : lcf_status_text(status));
    }
    reader_close(&r);
    return status;
}

lcf_status lcf_raw_read(lcf_raw_log *out, const lcf_raw_options *options, lcf_err *err)
{
    char *items = NULL, *interactions = NULL;
    lcf_status status;

    LCF_ASSERT(options->format != LCF_RAW_AUTO);
    status = init_tables(out);
    if (!status)
        status = lcf_raw_paths(&items, &interactions, options->dir, options->format);
    if (status) {
        LCF_FAIL(err, status, "tables for the log in %s", options->dir);
        goto done;
    }
    status = read_file(out, options, items, true, err);
    if (!status)
        status = read_file(out, options, interactions, false, err);
done:
    free(items);
    free(interactions);
    if (status)
        lcf_raw_dispose(out);
    return status;
}

void lcf_raw_dispose(lcf_raw_log *log)
{
    lcf_intern_dispose(&log->item_id);
    lcf_intern_dispose(&log->title);
    lcf_intern_dispose(&log->text);
    lcf_intern_dispose(&log->brand);
    lcf_intern_dispose(&log->category);
    lcf_intern_dispose(&log->user_id);
    free(log->item_brand);
    free(log->category_offsets);
    free(log->item_categories);
    free(log->row_user);
    free(log->row_item);
    free(log->row_time);
    free(log->row_line);
    free(log->row_rating);
    free(log->row_split);
    memset(log, 0, sizeof(*log));
}
