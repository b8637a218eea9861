/* Rows by the beginnings of their prompts; see the header. */
#include "offline/recgen/order.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE_ROWS 64 /* that tell what all prompts begin with */

typedef struct placed {
    lcf_chosen row;
    const unsigned char *key; /* [LCF_ORDER_BYTES] of its prompt */
} placed;

typedef struct ordering {
    const lcf_dataset *d;
    const lcf_related *related;
    const lcf_prompt_options *prompt;
    lcf_buf text;
} ordering;

static void write_prompt(ordering *o, const lcf_chosen *row)
{
    lcf_facts facts;

    lcf_facts_of(&facts, o->d, o->related, o->prompt->history_n, row->sample);
    lcf_buf_reset(&o->text);
    lcf_prompt_explain(&o->text, o->prompt, o->d, &facts);
}

/* How many bytes the prompts of some rows, evenly spread, have in common. Where others differ
 * within these, they are told apart a little later: an order as good as any. */
static size_t common_bytes(ordering *o, const lcf_chosen_rows *rows)
{
    lcf_buf first = LCF_BUF_INIT;
    size_t common = 0;

    for (size_t i = 0; i < SAMPLE_ROWS && i < rows->n; i++) {
        size_t n = 0;
        write_prompt(o, &rows->rows[i * rows->n / (rows->n < SAMPLE_ROWS ? rows->n : SAMPLE_ROWS)]);
        if (!i) {
            lcf_buf_append(&first, o->text.data, o->text.len);
            common = first.len;
        }
        while (n < common && n < o->text.len && first.data[n] == o->text.data[n])
            n++;
        common = n;
    }
    lcf_buf_dispose(&first);
    return common;
}

/* Equal rows stay in the order of the dataset. */
static int by_key(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    int order = memcmp(x->key, y->key, LCF_ORDER_BYTES);

    return order ? order : (x->row.sample > y->row.sample) - (x->row.sample < y->row.sample);
}

static void sort_rows(lcf_chosen_rows *rows, ordering *o, placed *places, unsigned char *keys)
{
    const size_t skip = common_bytes(o, rows);

    for (size_t i = 0; i < rows->n && !o->text.status; i++, keys += LCF_ORDER_BYTES) {
        size_t n;
        write_prompt(o, &rows->rows[i]);
        n = o->text.len > skip ? o->text.len - skip : 0;
        memcpy(keys, lcf_buf_text(&o->text) + (n ? skip : 0),
               n < LCF_ORDER_BYTES ? n : LCF_ORDER_BYTES);
        places[i] = (placed){rows->rows[i], keys};
    }
    if (o->text.status)
        return;
    qsort(places, rows->n, sizeof(*places), by_key);
    for (size_t i = 0; i < rows->n; i++)
        rows->rows[i] = places[i].row;
}

lcf_status lcf_rows_order(lcf_chosen_rows *rows, const lcf_dataset *d, const lcf_related *related,
                          const lcf_prompt_options *prompt, lcf_err *err)
{
    ordering o = {d, related, prompt, LCF_BUF_INIT};
    placed *places = lcf_alloc(rows->n + 1, sizeof(*places));
    unsigned char *keys = lcf_alloc_zero(rows->n + 1, LCF_ORDER_BYTES);
    lcf_status status = LCF_OK;

    if (places && keys)
        sort_rows(rows, &o, places, keys);
    if (!places || !keys || o.text.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "order of %zu rows", rows->n);
    lcf_buf_dispose(&o.text);
    free(places);
    free(keys);
    return status;
}
