/*
 * Search for one request: queries that share user, time and history and differ in their target.
 *
 * The score is a sum of a user part and an item part, so the first is computed once per example,
 * and the second once per distinct target vector among the examples, by one matrix product.
 *
 * Invariant: the same ids and score bits as the definition. The product only rules groups out: a
 * group is passed over when even its best user part, with the product's error on top, stays below
 * the last place; every other is scored in the fixed order.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/store/examples.h"
#include "common/store/examples_index.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 };

/* ---- groups of examples with the same target ---- */

static int compare_targets(const void *pa, const void *pb, void *arg)
{
    const lcf_examples *e = arg;
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    int order;

    if (e->item[a] != e->item[b])
        return e->item[a] < e->item[b] ? -1 : 1;
    order = memcmp(e->target_vec + a * e->text_dim, e->target_vec + b * e->text_dim,
                   e->text_dim * sizeof(float));
    return order ? order : (a > b) - (a < b);
}

static bool same_target(const lcf_examples *e, uint32_t a, uint32_t b)
{
    return !memcmp(e->target_vec + a * e->text_dim, e->target_vec + b * e->text_dim,
                   e->text_dim * sizeof(float));
}

void lcf_target_groups_free(lcf_target_groups *g)
{
    if (!g)
        return;
    free(g->begin);
    free(g->members);
    free(g->vectors);
    free(g);
}

lcf_status lcf_target_groups_create(lcf_target_groups **out, const lcf_examples *e, lcf_err *err)
{
    lcf_target_groups *g = lcf_alloc_zero(1, sizeof(*g));
    lcf_status status = LCF_ENOMEM;
    double most = 0;

    *out = NULL;
    if (!g)
        goto done;
    g->members = lcf_alloc(e->n + 1, sizeof(*g->members));
    g->begin = lcf_alloc(e->n + 1, sizeof(*g->begin));
    if (!g->members || !g->begin)
        goto done;
    for (size_t i = 0; i < e->n; i++)
        g->members[i] = (uint32_t)i;
    qsort_r(g->members, e->n, sizeof(*g->members), compare_targets, (void *)e);
    for (size_t i = 0; i < e->n; i++)
        if (i == 0 || !same_target(e, g->members[i - 1], g->members[i]))
            g->begin[g->n++] = i;
    g->begin[g->n] = e->n;
    g->vectors = lcf_alloc_aligned(g->n + 1, e->text_dim * sizeof(float));
    if (!g->vectors)
        goto done;
    for (size_t i = 0; i < g->n; i++) {
        float *to = g->vectors + i * e->text_dim;
        double square = 0;
        memcpy(to, e->target_vec + g->members[g->begin[i]] * e->text_dim,
               e->text_dim * sizeof(float));
        for (size_t j = 0; j < e->text_dim; j++)
            square += (double)to[j] * to[j];
        most = square > most ? square : most;
    }
    g->norm_max = (float)sqrt(most) * 1.0001f;
    *out = g;
    g = NULL;
    status = LCF_OK;
done:
    lcf_target_groups_free(g);
    return status ? LCF_FAIL(err, status, "targets of %zu examples", e->n) : LCF_OK;
}

/* The groups, once somebody searches. */
typedef struct lazy_groups {
    pthread_mutex_t lock;
    lcf_target_groups *groups;
} lazy_groups;

lcf_status lcf_examples_shared_init(lcf_examples *e, lcf_err *err)
{
    lazy_groups *lazy = lcf_alloc_zero(1, sizeof(*lazy));

    if (!lazy)
        return LCF_FAIL(err, LCF_ENOMEM, "examples by target");
    pthread_mutex_init(&lazy->lock, NULL);
    e->shared = lazy;
    return LCF_OK;
}

void lcf_examples_shared_dispose(lcf_examples *e)
{
    lazy_groups *lazy = e->shared;

    if (!lazy)
        return;
    pthread_mutex_destroy(&lazy->lock);
    lcf_target_groups_free(lazy->groups);
    free(lazy);
    e->shared = NULL;
}

static lcf_status get_groups(const lcf_target_groups **out, const lcf_examples *e, lcf_err *err)
{
    lazy_groups *lazy = e->shared;
    lcf_status status = LCF_OK;

    pthread_mutex_lock(&lazy->lock);
    if (!lazy->groups)
        status = lcf_target_groups_create(&lazy->groups, e, err);
    *out = lazy->groups;
    pthread_mutex_unlock(&lazy->lock);
    return status;
}

/* ---- the search ---- */

typedef struct shared {
    const lcf_examples *e;
    const lcf_target_groups *g;
    const lcf_example_options *options;
    float *user_part; /* [n] by place in members; -inf where the rule says no */
    float *most[2];   /* [groups] the best user part of each label */
    float *targets;   /* [BLOCK, dim] */
    float *item_part; /* [BLOCK, groups] */
} shared;

bool lcf_examples_are_shared(const lcf_example_query *q, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (q[i].history_vec != q[0].history_vec || q[i].user != q[0].user ||
            q[i].time != q[0].time)
            return false;
    return n > 1;
}

static void fill_user_parts(shared *s, const lcf_example_query *first)
{
    const lcf_target_groups *g = s->g;
    lcf_example_query q = *first;

    memset(&q.sample_hash, 0, sizeof(q.sample_hash)); /* a row's own example: per query, later */
    for (size_t group = 0; group < g->n; group++) {
        s->most[0][group] = s->most[1][group] = -INFINITY;
        for (size_t at = g->begin[group]; at < g->begin[group + 1]; at++) {
            uint32_t example = g->members[at];
            float *most = &s->most[s->e->label[example]][group];
            if (!lcf_example_allowed(s->e, example, &q, s->options->mode)) {
                s->user_part[at] = -INFINITY;
                continue;
            }
            s->user_part[at] = lcf_example_user_part(s->e, example, &q, s->options->by);
            *most = s->user_part[at] > *most ? s->user_part[at] : *most;
        }
    }
}

/* How far the product's item part and that of the fixed order may lie apart: each errs by at most
 * dim half-ulps of the product of the norms (Higham 2002, 3.5); doubled, and for the sum with the
 * user part, too. */
static float rounding_error(const shared *s, const float *target)
{
    double square = 0;

    for (size_t j = 0; j < s->e->text_dim; j++)
        square += (double)target[j] * target[j];
    return 2.0f * (float)(s->e->text_dim + 8) * FLT_EPSILON *
           (lcf_example_item_weight(s->options->by) * (float)sqrt(square) * s->g->norm_max +
            1.0f / (float)(s->e->text_dim + 8));
}

static void add_group(lcf_best *best, const shared *s, size_t group, unsigned label,
                      const lcf_example_query *q)
{
    const lcf_target_groups *g = s->g;
    float item_part = lcf_example_item_part(s->e, g->members[g->begin[group]], q, s->options->by);

    for (size_t at = g->begin[group]; at < g->begin[group + 1]; at++) {
        uint32_t example = g->members[at];
        if (s->e->label[example] == label && s->user_part[at] > -INFINITY &&
            lcf_example_allowed(s->e, example, q, s->options->mode))
            lcf_best_add(best, example, s->user_part[at] + item_part);
    }
}

static void search_one(uint32_t *ids, float *scores, const shared *s, const float *item_part,
                       const lcf_example_query *q)
{
    float error = rounding_error(s, q->target_vec);
    lcf_best best[2];

    lcf_best_init(best, s->options);
    for (unsigned label = 0; label < 2; label++) {
        lcf_best *b = &best[label];
        const float *most = s->most[label];
        float last = -INFINITY;
        for (size_t group = 0; group < s->g->n && b->wanted; group++) {
            if (item_part[group] + most[group] + error < last || most[group] == -INFINITY)
                continue;
            add_group(b, s, group, label, q);
            if (b->n == b->wanted)
                last = b->scores[b->n - 1];
        }
    }
    lcf_best_finish(ids, scores, best, s->options);
}

static lcf_status allocate(shared *s, lcf_err *err)
{
    size_t groups = s->g->n + 1, dim = s->e->text_dim;

    s->user_part = lcf_alloc(s->e->n + 1, sizeof(float));
    s->most[0] = lcf_alloc(groups, sizeof(float));
    s->most[1] = lcf_alloc(groups, sizeof(float));
    s->targets = lcf_alloc_aligned(BLOCK, dim * sizeof(float));
    s->item_part = lcf_alloc_aligned(BLOCK, groups * sizeof(float));
    if (!s->user_part || !s->most[0] || !s->most[1] || !s->targets || !s->item_part)
        return LCF_FAIL(err, LCF_ENOMEM, "search among %zu examples", s->e->n);
    return LCF_OK;
}

static void search_block(uint32_t *ids, float *scores, const shared *s,
                         const lcf_example_query *queries, size_t n)
{
    size_t dim = s->e->text_dim, groups = s->g->n, k = s->options->k;

    for (size_t i = 0; i < n; i++)
        memcpy(s->targets + i * dim, queries[i].target_vec, dim * sizeof(float));
    if (groups)
        lcf_gemm(s->item_part, s->targets, s->g->vectors, false, true, n, groups, dim,
                 lcf_example_item_weight(s->options->by), 0.0f, dim, dim, groups);
    for (size_t i = 0; i < n; i++)
        search_one(ids + i * k, scores ? scores + i * k : NULL, s, s->item_part + i * groups,
                   &queries[i]);
}

lcf_status lcf_examples_search_shared(uint32_t *ids, float *scores, const lcf_examples *e,
                                      const lcf_example_query *queries, size_t n,
                                      const lcf_example_options *options, lcf_err *err)
{
    shared s = {.e = e, .options = options};
    size_t k = options->k;
    lcf_status status = get_groups(&s.g, e, err);

    if (!status)
        status = allocate(&s, err);
    if (!status)
        fill_user_parts(&s, &queries[0]);
    for (size_t at = 0; at < n && !status; at += BLOCK) {
        if (lcf_examples_late(options)) {
            lcf_examples_none(ids + at * k, scores ? scores + at * k : NULL, (n - at) * k);
            break;
        }
        search_block(ids + at * k, scores ? scores + at * k : NULL, &s, queries + at,
                     n - at < BLOCK ? n - at : BLOCK);
    }
    free(s.user_part);
    free(s.most[0]);
    free(s.most[1]);
    free(s.targets);
    free(s.item_part);
    return status;
}
