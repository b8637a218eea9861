/*
 * Rows of separated text: see rows.h.
 *
 * Invariant: `at` is at the start of a line, `next_line` is that line's number, and `at` grows with
 * every call, so that reading ends.
 */
#include "offline/data/rows.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

lcf_status lcf_rows_init(lcf_rows *rows, const char *data, size_t bytes_n, char separator,
                         bool quoted, lcf_err *err)
{
    memset(rows, 0, sizeof(*rows));
    rows->data = data;
    rows->bytes_n = bytes_n;
    rows->next_line = 1;
    rows->separator = separator;
    rows->quoted = quoted;
    if (bytes_n >= 3 && !memcmp(data, "\xef\xbb\xbf", 3))
        rows->at = 3;
    if (quoted) {
        rows->unquoted = lcf_alloc(LCF_ROW_BYTES_MAX, 1);
        if (!rows->unquoted)
            return LCF_FAIL(err, LCF_ENOMEM, "room for one row");
    }
    return LCF_OK;
}

void lcf_rows_dispose(lcf_rows *rows)
{
    free(rows->unquoted);
    memset(rows, 0, sizeof(*rows));
}

/* Position of the newline that ends the line at `from`, or of the end of the data. */
static size_t line_end(const lcf_rows *rows, size_t from)
{
    const char *newline;

    if (from >= rows->bytes_n)
        return rows->bytes_n;
    newline = memchr(rows->data + from, '\n', rows->bytes_n - from);
    return newline ? (size_t)(newline - rows->data) : rows->bytes_n;
}

/* The next call continues after the newline at `end`. */
static void advance(lcf_rows *rows, size_t end, size_t lines)
{
    rows->at = end < rows->bytes_n ? end + 1 : rows->bytes_n;
    rows->next_line = rows->line + lines;
}

/* Gives up the row: reading goes on after its first line. */
static lcf_row_result bad(lcf_rows *rows, const char *reason)
{
    advance(rows, line_end(rows, rows->at), 1);
    rows->reason = reason;
    rows->fields_n = 0;
    return LCF_ROW_BAD;
}

/* false when there are too many fields. */
static bool push(lcf_rows *rows, const char *data, size_t len)
{
    if (rows->fields_n == LCF_ROW_FIELDS_MAX)
        return false;
    rows->fields[rows->fields_n++] = (lcf_str){data, len};
    return true;
}

static size_t without_cr(const lcf_rows *rows, size_t begin, size_t end)
{
    return end > begin && rows->data[end - 1] == '\r' ? end - 1 : end;
}

static lcf_row_result next_plain(lcf_rows *rows)
{
    size_t newline = line_end(rows, rows->at), end = without_cr(rows, rows->at, newline);
    size_t begin = rows->at;

    if (end - begin > LCF_ROW_BYTES_MAX)
        return bad(rows, "longer than 1 MiB");
    for (;;) {
        const char *separator =
            begin < end ? memchr(rows->data + begin, rows->separator, end - begin) : NULL;
        size_t field_end = separator ? (size_t)(separator - rows->data) : end;

        if (!push(rows, rows->data + begin, field_end - begin))
            return bad(rows, "more than 256 fields");
        if (!separator)
            break;
        begin = field_end + 1;
    }
    advance(rows, newline, 1);
    return LCF_ROW_OK;
}

/*
 * A quoted field whose opening quote is just before *at; its content goes to `unquoted`. *at ends
 * up after the closing quote, *lines counts the newlines inside. Returns a reason, or NULL.
 */
static const char *quoted_field(lcf_rows *rows, size_t *at, size_t *lines)
{
    size_t begin = rows->unquoted_len, limit = rows->at + LCF_ROW_BYTES_MAX, i = *at;

    for (; i < rows->bytes_n; i++) {
        char c = rows->data[i];

        if (i >= limit)
            return "longer than 1 MiB (is a quote left open?)";
        if (c == '"') {
            if (i + 1 == rows->bytes_n || rows->data[i + 1] != '"')
                break;
            i++;
        }
        *lines += c == '\n';
        rows->unquoted[rows->unquoted_len++] = c;
    }
    if (i == rows->bytes_n)
        return "a quote is left open";
    if (!push(rows, rows->unquoted + begin, rows->unquoted_len - begin))
        return "more than 256 fields";
    *at = i + 1;
    return NULL;
}

/* An unquoted field from *at to the next separator or line end, where *at ends up. */
static const char *bare_field(lcf_rows *rows, size_t *at)
{
    size_t begin = *at, i = begin, end;

    for (; i < rows->bytes_n && rows->data[i] != rows->separator && rows->data[i] != '\n'; i++)
        if (rows->data[i] == '"' && !rows->bare_quotes)
            return "a quote inside an unquoted field";
    end = i;
    if (i == rows->bytes_n || rows->data[i] == '\n')
        end = without_cr(rows, begin, i);
    if (!push(rows, rows->data + begin, end - begin))
        return "more than 256 fields";
    *at = i;
    return NULL;
}

static lcf_row_result next_quoted(lcf_rows *rows)
{
    size_t at = rows->at, lines = 1;

    rows->unquoted_len = 0;
    for (;;) {
        bool quote = at < rows->bytes_n && rows->data[at] == '"';
        const char *reason;

        if (quote)
            at++;
        reason = quote ? quoted_field(rows, &at, &lines) : bare_field(rows, &at);
        if (reason)
            return bad(rows, reason);
        if (at - rows->at > LCF_ROW_BYTES_MAX)
            return bad(rows, "longer than 1 MiB");
        if (at + 1 < rows->bytes_n && rows->data[at] == '\r' && rows->data[at + 1] == '\n')
            at++;
        if (at == rows->bytes_n || rows->data[at] == '\n')
            break;
        if (rows->data[at] != rows->separator)
            return bad(rows, "text after a closing quote");
        at++;
    }
    advance(rows, at, lines);
    return LCF_ROW_OK;
}

static bool at_empty_line(const lcf_rows *rows)
{
    const char *at = rows->data + rows->at;
    size_t left = rows->bytes_n - rows->at;

    return at[0] == '\n' || (at[0] == '\r' && (left == 1 || at[1] == '\n'));
}

lcf_row_result lcf_rows_next(lcf_rows *rows)
{
    rows->fields_n = 0;
    rows->reason = NULL;
    while (rows->at < rows->bytes_n && at_empty_line(rows)) {
        rows->at = line_end(rows, rows->at);
        rows->at += rows->at < rows->bytes_n;
        rows->next_line++;
    }
    rows->line = rows->next_line;
    if (rows->at >= rows->bytes_n)
        return LCF_ROW_END;
    return rows->quoted ? next_quoted(rows) : next_plain(rows);
}
