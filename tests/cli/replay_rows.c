/*
 * replay_rows DATASET PREDICTIONS SEED ARM: every predicted row as a ranking request, one per line
 * on stdout, and what the seed of the offline model said about it, one score per line on stderr.
 * Categorical fields of the context are told, those of other kinds cannot be told from their ids.
 */
#include "common/base/str.h"
#include "common/data/dataset.h"
#include "common/data/fields.h"
#include "common/data/predictions.h"
#include "online/rank/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void write_id(lcf_buf *out, const lcf_strings *strings, uint32_t idx)
{
    lcf_str s = lcf_strings_get(strings, idx);
    char text[LCF_WIRE_ID_BYTES_MAX + 1];

    snprintf(text, sizeof(text), "%.*s", (int)s.len, s.data);
    lcf_wire_write_string(out, text);
}

static void write_context(lcf_buf *out, const lcf_dataset *d, size_t row)
{
    size_t n = 0;

    lcf_buf_append_text(out, ",\"context\":{");
    for (size_t i = 0; d->fields && i < d->fields->n; i++) {
        const lcf_field *f = &d->fields->list[i];
        const uint32_t *id = f->ids + f->offsets[row];

        if (f->owner != LCF_FIELD_CONTEXT || f->kind != LCF_FIELD_CATEGORICAL ||
            f->table != LCF_FIELD_TABLE_OWN || f->offsets[row] == f->offsets[row + 1])
            continue;
        lcf_buf_printf(out, "%s\"%s\":", n++ ? "," : "", f->name);
        if (*id == 1)
            lcf_buf_append_text(out, "\"out of vocabulary\"");
        else
            write_id(out, &f->vocabulary, *id - 1);
    }
    lcf_buf_append_text(out, "}");
}

static void write_request(lcf_buf *out, const lcf_dataset *d, size_t row, const char *arm)
{
    lcf_sample s = lcf_dataset_sample(d, row);

    lcf_buf_append_text(out, "{\"user_id\":");
    write_id(out, &d->user_id, s.user);
    lcf_buf_append_text(out, ",\"history\":[");
    for (uint32_t i = 0; i < s.history_n; i++) {
        lcf_buf_append_text(out, i ? "," : "");
        write_id(out, &d->catalogue.item_id, s.history[i]);
    }
    lcf_buf_append_text(out, "],\"candidates\":[");
    write_id(out, &d->catalogue.item_id, s.item);
    lcf_buf_append_text(out, "]");
    write_context(out, d, row);
    lcf_buf_printf(out, ",\"time\":%" PRId64 ",\"arm\":\"%s\"}\n", s.time, arm);
}

static int replay(const lcf_dataset *d, const lcf_predictions *p, uint64_t seed, const char *arm)
{
    lcf_buf out = LCF_BUF_INIT;
    size_t column = 0;

    while (column < p->seeds_n && p->seeds[column] != seed)
        column++;
    if (column == p->seeds_n)
        return 1;
    for (size_t i = 0; i < p->rows_n; i++) {
        write_request(&out, d, (size_t)p->row[i], arm);
        fprintf(stderr, "%.9g\n", (double)p->scores[column * p->rows_n + i]);
    }
    fwrite(out.data, 1, out.len, stdout);
    lcf_buf_dispose(&out);
    return 0;
}

int main(int argc, char **argv)
{
    static lcf_dataset d;
    static lcf_predictions p;
    lcf_err err = LCF_ERR_INIT;
    int code = 1;

    if (argc != 5)
        return 2;
    if (lcf_dataset_open(&d, argv[1], &err) || lcf_predictions_open(&p, argv[2], &err))
        fprintf(stderr, "replay_rows: %s\n", err.text);
    else
        code = replay(&d, &p, strtoull(argv[3], NULL, 10), argv[4]);
    lcf_predictions_close(&p);
    lcf_dataset_close(&d);
    return code;
}
