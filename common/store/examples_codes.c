/* Retrieval by codes: see examples_codes.h. All examples are looked at: a popcount each. */
#include "common/store/examples_codes.h"

#include "common/base/mem.h"
#include "common/math/hamming.h"
#include "common/store/examples_index.h"

#include <stdlib.h>
#include <string.h>

void lcf_example_codes_dispose(lcf_example_codes *c)
{
    free(c->users);
    free(c->items);
    memset(c, 0, sizeof(*c));
}

lcf_status lcf_example_codes_init(lcf_example_codes *c, const lcf_examples *e,
                                  const lcf_codes *codes, lcf_err *err)
{
    const size_t bytes = codes->bytes;

    *c = (lcf_example_codes){e, codes, lcf_alloc(e->n + 1, bytes), lcf_alloc(e->n + 1, bytes)};
    if (!c->users || !c->items) {
        lcf_example_codes_dispose(c);
        return LCF_FAIL(err, LCF_ENOMEM, "codes of %zu examples", e->n);
    }
    for (size_t i = 0; i < e->n; i++) {
        if (e->user[i] >= codes->users_n || e->item[i] >= codes->items_n) {
            lcf_example_codes_dispose(c);
            return LCF_FAIL(err, LCF_EINVAL,
                            "example %zu is of user %u and item %u; there are codes of %zu users "
                            "and %zu items: both must be of one dataset",
                            i, e->user[i], e->item[i], codes->users_n, codes->items_n);
        }
        memcpy(c->users + i * bytes, codes->users + e->user[i] * bytes, bytes);
        memcpy(c->items + i * bytes, codes->items + e->item[i] * bytes, bytes);
    }
    return LCF_OK;
}

/* Bits in which each example's code differs; zeros for the unknown, with *bits 0. */
static void distances(uint32_t *out, size_t *bits, const uint8_t *table, uint32_t row,
                      const uint8_t *codes, size_t n, size_t bytes)
{
    *bits = row ? 8 * bytes : 0;
    if (row)
        lcf_hamming(out, table + row * bytes, codes, n, bytes);
    else
        memset(out, 0, n * sizeof(*out));
}

/* One query; room [2 n]. */
static void search_one(uint32_t *ids, float *scores, const lcf_example_codes *c,
                       const lcf_example_query *q, uint32_t item, uint32_t *room,
                       const lcf_example_options *options)
{
    const lcf_examples *e = c->examples;
    const size_t n = e->n, bytes = c->codes->bytes;
    uint32_t *by_user = room, *by_item = room + n;
    size_t user_bits, item_bits;
    lcf_best best[2];

    distances(by_user, &user_bits, c->codes->users, q->user, c->users, n, bytes);
    distances(by_item, &item_bits, c->codes->items, item, c->items, n, bytes);
    lcf_best_init(best, options);
    for (size_t i = 0; i < n; i++) {
        const size_t at = n - 1 - i; /* the later one first: what comes first wins */
        const size_t differ = (size_t)by_user[at] + by_item[at];
        const float score = (float)((double)user_bits + (double)item_bits - 2.0 * (double)differ) /
                            (float)(16 * bytes);
        lcf_best *b = &best[e->label[at]];

        if (!b->wanted || (b->n == b->wanted && score <= b->scores[b->n - 1]))
            continue;
        if (lcf_example_allowed(e, at, q, options->mode))
            lcf_best_add(b, (uint32_t)i, score);
    }
    for (size_t label = 0; label < 2; label++)
        for (uint32_t j = 0; j < best[label].n; j++)
            best[label].ids[j] = (uint32_t)(n - 1 - best[label].ids[j]);
    lcf_best_finish(ids, scores, best, options);
}

lcf_status lcf_example_codes_search(uint32_t *ids, float *scores, const lcf_example_codes *c,
                                    const lcf_example_query *queries, const uint32_t *items,
                                    size_t n, const lcf_example_options *options, lcf_err *err)
{
    const size_t k = options->k;
    uint32_t *room;

    if (k < 1 || k > LCF_EXAMPLES_K_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "k is %zu; 1 to %u examples can be had", k,
                        LCF_EXAMPLES_K_MAX);
    for (size_t i = 0; i < n; i++)
        if (queries[i].user >= c->codes->users_n || items[i] >= c->codes->items_n)
            return LCF_FAIL(err, LCF_EINVAL, "user %u or item %u has no code", queries[i].user,
                            items[i]);
    room = lcf_alloc(2 * (c->examples->n + 1), sizeof(*room));
    if (!room)
        return LCF_FAIL(err, LCF_ENOMEM, "distances of %zu examples", c->examples->n);
    for (size_t i = 0; i < n; i++)
        search_one(ids + i * k, scores ? scores + i * k : NULL, c, &queries[i], items[i], room,
                   options);
    free(room);
    return LCF_OK;
}
