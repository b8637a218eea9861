/*
 * Fuzz target: plain files of scores. The first byte chooses CSV or TSV. Every row has a key, a
 * user, a label and a grade in range, lines count up, and reading ends.
 */
#include "offline/eval/lists/list.h"
#include "offline/eval/score_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void read_all(lcf_score_rows *rows)
{
    lcf_score_row row;
    bool more = true;
    size_t line = 0;

    while (!lcf_score_rows_next(&more, &row, rows, NULL) && more) {
        check(row.line > line);
        line = row.line;
        check(row.key.len > 0 && row.user.len > 0);
        check(row.label <= 1 && row.gain <= LCF_GAIN_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *name = size && data[0] & 1 ? "fuzz_scores.csv" : "fuzz_scores.tsv";
    FILE *file = fopen(name, "wb");
    lcf_score_rows *rows;

    if (!file)
        return 0;
    if (size > 1)
        check(fwrite(data + 1, 1, size - 1, file) == size - 1);
    check(fclose(file) == 0);
    if (!lcf_score_rows_open(&rows, name, NULL)) {
        read_all(rows);
        lcf_score_rows_close(rows);
    }
    unlink(name);
    return 0;
}
