/*
 * Rows of score files. The file comes in pieces; a piece is parsed up to its last newline and what
 * is left is put before the next. So a quoted field may hold separators but no newline.
 */
#include "offline/eval/score_rows.h"

#include "common/base/mem.h"
#include "offline/data/byte_stream.h"
#include "offline/data/rows.h"
#include "offline/eval/lists/list.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PIECE_BYTES ((size_t)4 << 20) /* more than a row may have */

enum { COLUMN_KEY, COLUMN_USER, COLUMN_LABEL, COLUMN_ITEM, COLUMN_GAIN, COLUMNS_N };

static const char *const NAMES[COLUMNS_N] = {"key", "user", "label", "item", "gain"};

struct lcf_score_rows {
    lcf_byte_stream *stream;
    char *path;
    char separator;
    size_t fields_n;
    size_t column[COLUMNS_N]; /* field, or SIZE_MAX */
    size_t seeds_n, score_column[LCF_SCORE_SEEDS_MAX];
    uint64_t seeds[LCF_SCORE_SEEDS_MAX];
    lcf_rows rows; /* of the piece */
    bool ended;    /* the stream has */
    size_t line;   /* lines before the piece */
    size_t left_n; /* bytes of the piece after its last newline */
    char piece[PIECE_BYTES];
};

bool lcf_score_rows_named(const char *path)
{
    return lcf_ends_with(path, ".csv") || lcf_ends_with(path, ".tsv") ||
           lcf_ends_with(path, ".csv.zst") || lcf_ends_with(path, ".tsv.zst");
}

/* Reads the next piece. Its rows end at its last newline, or at the end of the file. */
static lcf_status next_piece(lcf_score_rows *r, lcf_err *err)
{
    size_t got, bytes_n, whole;
    lcf_status status;

    memmove(r->piece, r->rows.data ? r->rows.data + r->rows.bytes_n : r->piece, r->left_n);
    status =
        lcf_byte_stream_read(&got, r->stream, r->piece + r->left_n, PIECE_BYTES - r->left_n, err);
    if (status)
        return status;
    bytes_n = whole = r->left_n + got;
    r->ended = bytes_n < PIECE_BYTES;
    while (!r->ended && whole > 0 && r->piece[whole - 1] != '\n')
        whole--;
    if (!whole && bytes_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: a row of more than %zu bytes", r->path,
                        r->line + 1, PIECE_BYTES);
    lcf_rows_dispose(&r->rows);
    status = lcf_rows_init(&r->rows, r->piece, whole, r->separator, r->separator == ',', err);
    r->left_n = bytes_n - whole;
    return status;
}

/* The fields of the next row are in r->rows. */
static lcf_status next_fields(bool *more, lcf_score_rows *r, lcf_err *err)
{
    for (;;) {
        switch (lcf_rows_next(&r->rows)) {
        case LCF_ROW_OK:
            *more = true;
            return LCF_OK;
        case LCF_ROW_BAD:
            return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", r->path, r->line + r->rows.line,
                            r->rows.reason);
        case LCF_ROW_END:
            break;
        }
        *more = !r->ended;
        if (r->ended)
            return LCF_OK;
        r->line += r->rows.next_line ? r->rows.next_line - 1 : 0;
        lcf_status status = next_piece(r, err);
        if (status)
            return status;
    }
}

static bool field_is(lcf_str field, const char *name)
{
    return field.len == strlen(name) && !memcmp(field.data, name, field.len);
}

/* "score" is of seed 1, "score_7" of seed 7. */
static bool score_seed(uint64_t *seed, lcf_str field)
{
    *seed = 1;
    if (field_is(field, "score"))
        return true;
    return field.len > 6 && !memcmp(field.data, "score_", 6) &&
           lcf_parse_u64(field.data + 6, field.len - 6, seed);
}

static lcf_status add_score_column(lcf_score_rows *r, size_t field, uint64_t seed, lcf_err *err)
{
    for (size_t s = 0; s < r->seeds_n; s++)
        if (r->seeds[s] == seed)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: two score columns of seed %" PRIu64, r->path,
                            seed);
    if (r->seeds_n == LCF_SCORE_SEEDS_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "%s: more than %d score columns", r->path,
                        LCF_SCORE_SEEDS_MAX);
    r->seeds[r->seeds_n] = seed;
    r->score_column[r->seeds_n++] = field;
    return LCF_OK;
}

static lcf_status read_header(lcf_score_rows *r, lcf_err *err)
{
    bool more;
    lcf_status status = next_fields(&more, r, err);

    for (size_t c = 0; c < COLUMNS_N; c++)
        r->column[c] = SIZE_MAX;
    r->fields_n = status || !more ? 0 : r->rows.fields_n;
    for (size_t i = 0; i < r->fields_n && !status; i++) {
        uint64_t seed;
        for (size_t c = 0; c < COLUMNS_N && !status; c++) {
            if (!field_is(r->rows.fields[i], NAMES[c]))
                continue;
            if (r->column[c] != SIZE_MAX)
                status = LCF_FAIL(err, LCF_EFORMAT, "%s: two columns '%s'", r->path, NAMES[c]);
            r->column[c] = i;
        }
        if (!status && score_seed(&seed, r->rows.fields[i]))
            status = add_score_column(r, i, seed, err);
    }
    for (size_t c = 0; c <= COLUMN_LABEL && !status; c++)
        if (r->column[c] == SIZE_MAX)
            status = LCF_FAIL(err, LCF_EFORMAT,
                              "%s: no column '%s' in the header; needed are key, user, label and "
                              "score",
                              r->path, NAMES[c]);
    if (!status && !r->seeds_n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: no column 'score' in the header", r->path);
    return status;
}

lcf_status lcf_score_rows_open(lcf_score_rows **out, const char *path, lcf_err *err)
{
    lcf_score_rows *r = lcf_alloc(1, sizeof(*r));
    lcf_status status;

    *out = NULL;
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "reader of %s", path);
    memset(r, 0, offsetof(lcf_score_rows, piece));
    r->separator = lcf_ends_with(path, ".tsv") || lcf_ends_with(path, ".tsv.zst") ? '\t' : ',';
    r->path = lcf_strdup(path);
    status = r->path ? lcf_byte_stream_open(&r->stream, path, err)
                     : LCF_FAIL(err, LCF_ENOMEM, "path of %s", path);
    if (!status)
        status = next_piece(r, err);
    if (!status)
        status = read_header(r, err);
    if (status)
        lcf_score_rows_close(r);
    else
        *out = r;
    return status;
}

void lcf_score_rows_close(lcf_score_rows *r)
{
    if (!r)
        return;
    lcf_byte_stream_close(r->stream);
    lcf_rows_dispose(&r->rows);
    free(r->path);
    free(r);
}

size_t lcf_score_rows_seeds(const lcf_score_rows *r, const uint64_t **seeds)
{
    *seeds = r->seeds;
    return r->seeds_n;
}

bool lcf_score_rows_have_items(const lcf_score_rows *r)
{
    return r->column[COLUMN_ITEM] != SIZE_MAX;
}

bool lcf_score_rows_have_gains(const lcf_score_rows *r)
{
    return r->column[COLUMN_GAIN] != SIZE_MAX;
}

static lcf_str field_of(const lcf_score_rows *r, size_t column)
{
    return r->column[column] == SIZE_MAX ? (lcf_str){"", 0} : r->rows.fields[r->column[column]];
}

static lcf_status parse_score(float *out, lcf_str text, const lcf_score_rows *r, size_t line,
                              lcf_err *err)
{
    double value = NAN;

    if (text.len && !(text.len == 3 && !strncasecmp(text.data, "nan", 3)) &&
        !lcf_parse_f64(text.data, text.len, &value))
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: the score '%.*s' is not a number", r->path, line,
                        (int)(text.len < 40 ? text.len : 40), text.data);
    *out = (float)value;
    return LCF_OK;
}

static lcf_status parse_small(uint8_t *out, size_t column, uint64_t max, const lcf_score_rows *r,
                              size_t line, lcf_err *err)
{
    lcf_str text = field_of(r, column);
    uint64_t value;

    if (!lcf_parse_u64(text.data, text.len, &value) || value > max)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s:%zu: the %s '%.*s' is not a whole number from 0 to %" PRIu64, r->path,
                        line, NAMES[column], (int)(text.len < 40 ? text.len : 40), text.data, max);
    *out = (uint8_t)value;
    return LCF_OK;
}

lcf_status lcf_score_rows_next(bool *more, lcf_score_row *row, lcf_score_rows *r, lcf_err *err)
{
    lcf_status status = next_fields(more, r, err);

    if (status || !*more)
        return status;
    row->line = r->line + r->rows.line;
    if (r->rows.fields_n != r->fields_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %zu fields, the header has %zu", r->path,
                        row->line, r->rows.fields_n, r->fields_n);
    row->key = field_of(r, COLUMN_KEY);
    row->user = field_of(r, COLUMN_USER);
    row->item = field_of(r, COLUMN_ITEM);
    if (!row->key.len || !row->user.len)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: the %s is empty", r->path, row->line,
                        row->key.len ? "user" : "key");
    status = parse_small(&row->label, COLUMN_LABEL, 1, r, row->line, err);
    row->gain = row->label;
    if (!status && lcf_score_rows_have_gains(r))
        status = parse_small(&row->gain, COLUMN_GAIN, LCF_GAIN_MAX, r, row->line, err);
    for (size_t s = 0; s < r->seeds_n && !status; s++)
        status =
            parse_score(&row->scores[s], r->rows.fields[r->score_column[s]], r, row->line, err);
    return status;
}
