/* Examples that tests make up; see the header. */
#include "tests/unit/store/examples_world.h"

#include "common/base/file.h"
#include "common/base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void unit(float *v, size_t dim, lcf_rng *rng)
{
    double square = 0;

    for (size_t i = 0; i < dim; i++) {
        v[i] = (float)lcf_rng_normal(rng);
        square += (double)v[i] * v[i];
    }
    for (size_t i = 0; i < dim; i++)
        v[i] = (float)(v[i] / sqrt(square));
}

void world_init(world *w, size_t n, size_t dim, uint32_t users, size_t distinct, uint64_t seed)
{
    float *vectors = calloc(distinct * dim + 1, sizeof(float));
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < distinct; i++)
        unit(vectors + i * dim, dim, &rng);
    w->key = calloc(n + 1, sizeof(*w->key));
    w->sample_hash = calloc(n + 1, sizeof(*w->sample_hash));
    w->user = calloc(n + 1, 4);
    w->item = calloc(n + 1, 4);
    w->history = calloc(n + 1, 4 * LCF_HISTORY_MAX);
    w->history_n = calloc(n + 1, 4);
    w->label = calloc(n + 1, 1);
    w->time = calloc(n + 1, 8);
    w->history_vec = calloc(n * dim + 1, 4);
    w->target_vec = calloc(n * dim + 1, 4);
    w->cot_vec = calloc(n * COT_DIM + 1, 4);
    for (size_t i = 0; i < n; i++) {
        uint64_t number = seed << 32 | i;
        float *h = w->history_vec + i * dim;
        w->key[i] = lcf_hash128_of(&number, 8);
        number = ~number;
        w->sample_hash[i] = lcf_hash128_of(&number, 8);
        w->user[i] = 1 + (uint32_t)lcf_rng_below(&rng, users);
        w->item[i] = 1 + (uint32_t)lcf_rng_below(&rng, 30);
        w->history_n[i] = (uint32_t)lcf_rng_below(&rng, LCF_HISTORY_MAX + 1);
        w->label[i] = (uint8_t)lcf_rng_below(&rng, 2);
        w->time[i] = (int64_t)lcf_rng_below(&rng, 100); /* equal times too */
        memcpy(h, vectors + lcf_rng_below(&rng, distinct) * dim, dim * sizeof(float));
        memcpy(w->target_vec + i * dim, vectors + lcf_rng_below(&rng, distinct) * dim,
               dim * sizeof(float));
        if (lcf_rng_below(&rng, 20) == 0)
            memset(h, 0, dim * sizeof(float)); /* an empty history */
        else if (lcf_rng_below(&rng, 3) == 0)
            h[0] = nextafterf(h[0], 1.0f);
        unit(w->cot_vec + i * COT_DIM, COT_DIM, &rng);
    }
    w->e = (lcf_examples){.n = n,
                          .text_dim = dim,
                          .cot_dim = COT_DIM,
                          .key = w->key,
                          .sample_hash = w->sample_hash,
                          .user = w->user,
                          .item = w->item,
                          .label = w->label,
                          .time = w->time,
                          .history = w->history,
                          .history_n = w->history_n,
                          .history_vec = w->history_vec,
                          .target_vec = w->target_vec,
                          .cot_vec = w->cot_vec};
    free(vectors);
}

void world_dispose(world *w)
{
    free(w->key);
    free(w->sample_hash);
    free(w->user);
    free(w->item);
    free(w->history);
    free(w->history_n);
    free(w->label);
    free(w->time);
    free(w->history_vec);
    free(w->target_vec);
    free(w->cot_vec);
}

void world_save(const world *w, const char *dir)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_dir_remove(dir, NULL), LCF_OK);
    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    if (lcf_examples_save(dir, &w->e, &err))
        fail_msg("%s", err.text);
}

void world_open(lcf_examples *out, const world *w, const char *dir)
{
    lcf_err err = LCF_ERR_INIT;

    world_save(w, dir);
    if (lcf_examples_open(out, dir, &err))
        fail_msg("%s", err.text);
}

lcf_example_query *world_queries(const lcf_examples *e, size_t n, uint64_t seed)
{
    lcf_example_query *q = calloc(n, sizeof(*q));
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 1);
    for (size_t i = 0; i < n; i++) {
        size_t row = lcf_rng_below(&rng, e->n), other = lcf_rng_below(&rng, e->n);
        q[i] = (lcf_example_query){e->user[row], e->time[row], e->sample_hash[row],
                                   e->history_vec + row * e->text_dim,
                                   e->target_vec + row * e->text_dim};
        if (lcf_rng_below(&rng, 3) == 0) {
            memset(&q[i].sample_hash, 0, sizeof(q[i].sample_hash));
            q[i].user = (uint32_t)lcf_rng_below(&rng, 3); /* 0: unknown */
            q[i].time = lcf_rng_below(&rng, 2) ? INT64_MAX : (int64_t)lcf_rng_below(&rng, 100);
            q[i].target_vec = e->target_vec + other * e->text_dim;
        }
    }
    return q;
}

void world_check_rule(const lcf_examples *e, const lcf_example_query *q, const uint32_t *ids,
                      const lcf_example_options *o)
{
    for (uint32_t j = 0; j < o->k; j++) {
        uint32_t x = ids[j];
        if (x == LCF_EXAMPLE_NONE)
            continue;
        assert_true(x < e->n);
        assert_true(memcmp(&e->sample_hash[x], &q->sample_hash, 16) != 0);
        if (o->mode == LCF_RETRIEVE_STRICT)
            assert_true(e->time[x] < q->time);
        else if (q->user && e->user[x] == q->user)
            assert_true(e->time[x] < q->time);
        for (uint32_t i = 0; i < j; i++)
            assert_true(ids[i] != x);
    }
}
