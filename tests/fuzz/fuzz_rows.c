/*
 * Fuzz target: the row parser. The first byte chooses CSV or TSV. Fields stay inside their row,
 * lines count up, and reading ends.
 */
#include "offline/data/rows.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void use_fields(const lcf_rows *rows)
{
    volatile char sink = 0;

    check(rows->fields_n >= 1 && rows->fields_n <= LCF_ROW_FIELDS_MAX);
    for (size_t i = 0; i < rows->fields_n; i++) {
        check(rows->fields[i].len <= LCF_ROW_BYTES_MAX);
        for (size_t k = 0; k < rows->fields[i].len; k++)
            sink ^= rows->fields[i].data[k];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool quoted = size && data[0] & 1;
    const char *text = (const char *)data + (size ? 1 : 0);
    size_t bytes_n = size ? size - 1 : 0, line = 0, newlines = 0, at = 0;
    lcf_row_result result;
    lcf_rows rows;

    if (lcf_rows_init(&rows, text, bytes_n, quoted ? ',' : '\t', quoted, NULL))
        return 0;
    for (size_t i = 0; i < bytes_n; i++)
        newlines += text[i] == '\n';
    while ((result = lcf_rows_next(&rows)) != LCF_ROW_END) {
        check(rows.at > at && rows.at <= bytes_n);
        check(rows.line > line && rows.line <= newlines + 1);
        at = rows.at;
        line = rows.line;
        if (result == LCF_ROW_OK)
            use_fields(&rows);
        else
            check(rows.reason != NULL);
    }
    check(rows.at == bytes_n);
    lcf_rows_dispose(&rows);
    return 0;
}
