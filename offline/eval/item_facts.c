/* Item 0 of a dataset is the unknown and no item: it is in no list and has no popularity. */
#include "offline/eval/item_facts.h"

#include "common/base/file.h"
#include "common/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static lcf_status open_vectors(lcf_embeddings *out, const lcf_dataset *d, const char *dir,
                               lcf_err *err)
{
    char *path = lcf_path_join(dir, "items.lcf");
    lcf_status status = path ? lcf_embeddings_open(out, path, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path of %s/items.lcf", dir);

    if (!status && (out->keys || out->n != d->catalogue.items_n))
        status = LCF_FAIL(err, LCF_EFORMAT,
                          "%s has vectors of %zu items, the dataset has %u: encode this dataset",
                          path, out->n, d->catalogue.items_n);
    free(path);
    return status;
}

static lcf_status items_of_rows(lcf_eval_table *t, const lcf_dataset *d, lcf_err *err)
{
    uint32_t *of_row = lcf_alloc(t->rows_n + 1, sizeof(*of_row));

    t->items.of_row = of_row;
    if (!of_row)
        return LCF_FAIL(err, LCF_ENOMEM, "items of %zu rows", t->rows_n);
    for (size_t i = 0; i < t->rows_n; i++) {
        if (t->row[i] >= d->samples_n)
            return LCF_FAIL(err, LCF_EFORMAT, "row %" PRIu64 " is not of the dataset", t->row[i]);
        of_row[i] = d->sample_item[t->row[i]];
    }
    return LCF_OK;
}

lcf_status lcf_item_facts_init(lcf_item_facts *out, lcf_eval_table *t, const lcf_dataset *d,
                               const char *vectors_dir, lcf_err *err)
{
    size_t begin = d->split_begin[LCF_TRAIN], end = d->split_begin[LCF_TRAIN + 1];
    lcf_status status = items_of_rows(t, d, err);

    memset(out, 0, sizeof(*out));
    if (status)
        return status;
    out->counts = lcf_alloc_zero((size_t)d->catalogue.items_n + 1, sizeof(*out->counts));
    if (!out->counts)
        return LCF_FAIL(err, LCF_ENOMEM, "%u items", d->catalogue.items_n);
    for (size_t i = begin; i < end; i++)
        out->counts[d->sample_item[i]]++;
    if (vectors_dir)
        status = open_vectors(&out->vectors, d, vectors_dir, err);
    if (status)
        return status;
    t->items.items_n = d->catalogue.items_n;
    t->items.unknown_n = 1;
    t->items.counts = out->counts;
    t->items.samples_n = end - begin;
    t->items.vectors = out->vectors.vectors;
    t->items.dim = out->vectors.dim;
    return LCF_OK;
}

void lcf_item_facts_dispose(lcf_item_facts *facts)
{
    free(facts->counts);
    if (facts->vectors.bundle)
        lcf_embeddings_close(&facts->vectors);
    memset(facts, 0, sizeof(*facts));
}
