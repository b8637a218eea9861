/* Items and pairs of phase 1: see phase1_data.h. */
#include "offline/ilm/phase1_data.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

lcf_split phase1_split_of(lcf_str id)
{
    const uint64_t part = lcf_hash64(id.data, id.len, 0) % 10;

    return part == 0 ? LCF_TEST : part == 1 ? LCF_VALID : LCF_TRAIN;
}

static lcf_status push_item(phase1_items *items, uint32_t item, lcf_err *err)
{
    if (lcf_grow((void **)&items->list, &items->capacity, items->n + 1, sizeof(*items->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "list of %zu items", items->n + 1);
    items->list[items->n++] = item;
    return LCF_OK;
}

static lcf_status push_pair(phase1_pairs *pairs, size_t a, size_t b, lcf_err *err)
{
    if (lcf_grow((void **)&pairs->list, &pairs->capacity, pairs->n + 1, sizeof(*pairs->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "list of %zu pairs", pairs->n + 1);
    pairs->list[pairs->n++] = (phase1_pair){(uint32_t)a, (uint32_t)b};
    return LCF_OK;
}

/* ---- items ---- */

/* seen[i]: a training row names item i. */
static void mark_seen(bool *seen, const lcf_dataset *d)
{
    for (size_t i = d->split_begin[LCF_TRAIN]; i < d->split_begin[LCF_TRAIN + 1]; i++)
        seen[d->sample_item[i]] = true;
}

static lcf_status find_known(phase1_data *data, const bool *seen, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (uint32_t i = 1; i < data->catalogue->items_n && !status; i++) {
        data->untrained_n += !seen[i];
        if (seen[i])
            status = push_item(&data->known, i, err);
    }
    if (!status && !data->known.n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "no item stands in a training row of the dataset, so no vector is trained");
    return status;
}

/* ---- pairs ---- */

/* Items that follow each other among the user's events [from, to), both trained. */
static lcf_status add_item_pairs(phase1_data *data, const lcf_dataset *d, const bool *seen,
                                 lcf_split part, uint64_t from, uint64_t to, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (uint64_t i = from; i + 1 < to && !status; i++) {
        const uint32_t a = d->event_item[i], b = d->event_item[i + 1];

        if (a != b && seen[a] && seen[b] && a && b)
            status = push_pair(&data->item_pairs[part], a, b, err);
    }
    return status;
}

/* Of every user: the end of the longest history that a training row has; 0 where none has one. */
static void training_ends(uint64_t *end, const lcf_dataset *d)
{
    for (size_t i = d->split_begin[LCF_TRAIN]; i < d->split_begin[LCF_TRAIN + 1]; i++)
        if (d->sample_history_end[i] > end[d->sample_user[i]])
            end[d->sample_user[i]] = d->sample_history_end[i];
}

static lcf_status find_item_pairs(phase1_data *data, const lcf_dataset *d, const bool *seen,
                                  lcf_err *err)
{
    uint64_t *end = lcf_alloc_zero(d->users_n, sizeof(*end));
    lcf_status status = end ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%u users", d->users_n);

    if (!status)
        training_ends(end, d);
    for (uint32_t u = 1; u < d->users_n && !status; u++)
        status = add_item_pairs(data, d, seen, phase1_split_of(lcf_strings_get(&d->user_id, u)),
                                d->user_offsets[u], end[u], err);
    free(end);
    return status;
}

static lcf_status find_user_pairs(phase1_data *data, const lcf_dataset *d, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = d->split_begin[LCF_TRAIN]; i < d->split_begin[LCF_TRAIN + 1] && !status; i++) {
        const uint32_t user = d->sample_user[i], item = d->sample_item[i];
        const lcf_split part = phase1_split_of(lcf_strings_get(&d->user_id, user));

        if (d->sample_label[i] && user && item)
            status =
                push_pair(&data->user_pairs[part], lcf_cf_user(data->vectors, user), item, err);
    }
    return status;
}

/* ---- all ---- */

lcf_status phase1_data_create(phase1_data *out, const lcf_dataset *d, const lcf_cf_vectors *vectors,
                              lcf_err *err)
{
    bool *seen = lcf_alloc_zero(d->catalogue.items_n, sizeof(*seen));
    lcf_status status = LCF_OK;

    memset(out, 0, sizeof(*out));
    out->catalogue = &d->catalogue;
    out->vectors = vectors;
    if (!seen)
        return LCF_FAIL(err, LCF_ENOMEM, "%u items", d->catalogue.items_n);
    mark_seen(seen, d);
    status = find_known(out, seen, err);
    if (!status)
        status = find_item_pairs(out, d, seen, err);
    if (!status && vectors->users_n)
        status = find_user_pairs(out, d, err);
    free(seen);
    return status;
}

lcf_status phase1_data_texts(phase1_data *data, const lcf_tokenizer *tokenizer, size_t tokens_max,
                             lcf_err *err)
{
    lcf_status status =
        lcf_item_texts_create(&data->texts, data->catalogue, tokenizer, tokens_max, err);

    for (size_t i = 0; i < data->known.n && !status; i++) {
        const uint32_t item = data->known.list[i];
        const lcf_split part = phase1_split_of(lcf_strings_get(&data->catalogue->item_id, item));

        if (lcf_item_text_n(&data->texts, item))
            status = push_item(&data->items[part], item, err);
        else
            data->textless_n++;
    }
    for (int part = 0; part < 3 && !status; part++)
        if (!data->items[part].n)
            status = LCF_FAIL(err, LCF_EINVAL,
                              "no item of the %s part has a trained vector and a text (%zu of %zu "
                              "trained items are without text)",
                              LCF_SPLIT_NAMES[part], data->textless_n, data->known.n);
    return status;
}

void phase1_data_dispose(phase1_data *data)
{
    lcf_item_texts_dispose(&data->texts);
    free(data->known.list);
    for (int part = 0; part < 3; part++) {
        free(data->items[part].list);
        free(data->item_pairs[part].list);
        free(data->user_pairs[part].list);
    }
    memset(data, 0, sizeof(*data));
}

/* ---- as inputs ---- */

const float *phase1_vectors_of(lcf_tape *t, const phase1_data *data, const uint32_t *entities,
                               size_t n)
{
    const lcf_cf_vectors *v = data->vectors;
    float *out = lcf_tape_alloc(t, n * v->dim, sizeof(*out));

    for (size_t i = 0; out && i < n; i++)
        memcpy(out + i * v->dim, v->values + entities[i] * v->dim, v->dim * sizeof(*out));
    return out;
}

const lcf_qformer_texts *phase1_texts_of(lcf_tape *t, const phase1_data *data, uint32_t vocab,
                                         const uint32_t *items, size_t n, lcf_qformer_mark mark,
                                         bool ended)
{
    const lcf_item_texts *texts = &data->texts;
    lcf_qformer_texts *out = lcf_tape_alloc(t, 1, sizeof(*out));
    uint32_t *offsets = lcf_tape_alloc(t, n + 1, sizeof(*offsets)), *ids;
    size_t at = 0;

    for (size_t i = 0; i < n; i++)
        at += lcf_item_text_n(texts, items[i]) + 1 + ended;
    ids = lcf_tape_alloc(t, at, sizeof(*ids));
    if (lcf_tape_status(t))
        return NULL;
    at = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t tokens = lcf_item_text_n(texts, items[i]);

        offsets[i] = (uint32_t)at;
        ids[at++] = vocab + mark;
        memcpy(ids + at, texts->tokens.ids + texts->offsets[items[i]], tokens * sizeof(*ids));
        at += tokens;
        if (ended)
            ids[at++] = vocab + LCF_QFORMER_END;
    }
    offsets[n] = (uint32_t)at;
    *out = (lcf_qformer_texts){n, ids, offsets};
    return out;
}
