/*
 * cot_fixture DATASET OUT EVERY ORDER: a CoT store as `generate` would leave it, without a model:
 * for every EVERY-th training row a text made of titles. One record in 19 is rejected, one row in
 * 23 has a second, worse record, and one record is of no row. ORDER is forward or backward.
 */
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/data/dataset.h"
#include "common/store/cot_store.h"
#include "offline/recgen/generate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64 };

typedef struct fixture {
    lcf_dataset dataset;
    lcf_cot_store *store;
    lcf_cot_record batch[BATCH];
    char *owned[BATCH][3]; /* user, item, text */
    size_t n;
} fixture;

static lcf_status flush(fixture *f, lcf_err *err)
{
    lcf_status status = lcf_cot_store_put(f->store, f->batch, f->n, err);

    for (size_t i = 0; i < f->n; i++)
        for (size_t j = 0; j < 3; j++)
            free(f->owned[i][j]);
    f->n = 0;
    return status;
}

static void title(lcf_buf *out, const lcf_dataset *d, uint32_t item)
{
    lcf_str s = lcf_strings_get(&d->catalogue.title, item);

    lcf_buf_append(out, s.data, s.len);
}

static void compose(lcf_buf *out, const lcf_dataset *d, const lcf_sample *s)
{
    lcf_buf_append_text(out, "The user has seen ");
    for (uint32_t i = 0; i < s->history_n && i < 4; i++) {
        title(out, d, s->history[s->history_n - 1 - i]);
        lcf_buf_append_text(out, ", ");
    }
    lcf_buf_append_text(out, "and is offered ");
    lcf_catalogue_item_text(out, &d->catalogue, s->item);
    lcf_buf_append_text(out, s->label ? ". It matches: Yes." : ". It does not match: No.");
}

static char *external(const lcf_strings *ids, uint32_t idx)
{
    lcf_str s = lcf_strings_get(ids, idx);

    return lcf_strndup(s.data, s.len);
}

/* One record of a row; variant 1 is the second, worse one, of another prompt. */
static lcf_status put(fixture *f, size_t row, unsigned variant, bool rejected, lcf_err *err)
{
    lcf_sample s = lcf_dataset_sample(&f->dataset, row);
    lcf_buf text = LCF_BUF_INIT;
    char *user = external(&f->dataset.user_id, s.user);
    char *item = external(&f->dataset.catalogue.item_id, s.item);
    float score = rejected ? 0.0f : variant ? 0.25f : 0.75f;
    lcf_cot_record r = {.sample_hash = lcf_dataset_sample_hash(&f->dataset, row),
                        .user_id = user,
                        .item_id = item,
                        .label = s.label,
                        .time = s.time,
                        .score = score,
                        .parts = {score, score, score, score},
                        .reject_reason = rejected ? "short" : "",
                        .model_id = "fixture",
                        .prompt_version = variant ? "fixture-2" : "fixture-1",
                        .sampling = "none",
                        .candidates_n = 1,
                        .tokens = 40,
                        .tokens_generated = 40};

    compose(&text, &f->dataset, &s);
    r.text = f->owned[f->n][2] = lcf_buf_take(&text);
    f->owned[f->n][0] = user;
    f->owned[f->n][1] = item;
    r.key = lcf_cot_key(r.sample_hash, r.prompt_version, r.model_id, r.sampling);
    f->batch[f->n++] = r;
    return f->n == BATCH ? flush(f, err) : LCF_OK;
}

static lcf_status put_unmatched(fixture *f, lcf_err *err)
{
    lcf_cot_record r = {.sample_hash = {{9, 9, 9}},
                        .user_id = "nobody",
                        .item_id = "nothing",
                        .text = "A row that this dataset does not have.",
                        .score = 0.5f,
                        .reject_reason = "",
                        .model_id = "fixture",
                        .prompt_version = "fixture-1",
                        .sampling = "none"};

    r.key = lcf_cot_key(r.sample_hash, r.prompt_version, r.model_id, r.sampling);
    return lcf_cot_store_put(f->store, &r, 1, err);
}

static lcf_status fill(fixture *f, size_t every, bool backward, lcf_err *err)
{
    size_t n = f->dataset.split_begin[LCF_VALID];
    lcf_status status = put_unmatched(f, err);

    for (size_t i = 0; i < n && !status; i++) {
        size_t row = backward ? n - 1 - i : i;
        if (row % every)
            continue;
        status = put(f, row, 0, (row / every) % 19 == 0, err);
        if (!status && (row / every) % 23 == 0)
            status = put(f, row, 1, false, err);
    }
    return status ? status : flush(f, err);
}

int main(int argc, char **argv)
{
    fixture f = {.store = NULL};
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    uint64_t every;
    lcf_status status;

    if (argc != 5 || !lcf_parse_u64(argv[3], strlen(argv[3]), &every) || !every)
        return 2;
    options.write = true;
    options.dictionary_after = 200;
    status = lcf_dataset_open(&f.dataset, argv[1], &err);
    if (!status)
        status = lcf_cot_store_open(&f.store, argv[2], &options, &err);
    if (!status)
        status = fill(&f, every, !strcmp(argv[4], "backward"), &err);
    if (status)
        fprintf(stderr, "cot_fixture: %s\n", err.text);
    lcf_cot_store_close(f.store);
    lcf_dataset_close(&f.dataset);
    return status != LCF_OK;
}
