/* Spectral vectors: see spectral.h. Invariant: a user's columns ascend, each once. */
#include "offline/ilm/spectral.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "offline/encode/svd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ITERATIONS 4 /* of the subspace: the spectrum of such a matrix falls slowly */
#define SEED 1

typedef struct taken {
    uint64_t *begin;   /* [users_n + 1] into item and value */
    uint32_t *item;    /* of each user, ascending */
    float *value;      /* of A */
    uint32_t *users_n; /* [items_n] who took it */
} taken;

static bool has_ratings(const lcf_dataset *d)
{
    for (size_t i = 0; i < d->events_n; i++)
        if (!isnan(d->event_rating[i]))
            return true;
    return false;
}

static bool counts(const lcf_dataset *d, bool rated, size_t row)
{
    return d->sample_user[row] && d->sample_item[row] && (rated || d->sample_label[row]);
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Each user's items, as often as they were taken; begin is then that of the next user. */
static void collect(taken *t, const lcf_dataset *d, bool rated)
{
    const size_t from = d->split_begin[LCF_TRAIN], to = d->split_begin[LCF_TRAIN + 1];

    for (size_t i = from; i < to; i++)
        if (counts(d, rated, i))
            t->begin[d->sample_user[i] + 1]++;
    for (uint32_t u = 0; u < d->users_n; u++)
        t->begin[u + 1] += t->begin[u];
    for (size_t i = from; i < to; i++)
        if (counts(d, rated, i))
            t->item[t->begin[d->sample_user[i]]++] = d->sample_item[i];
}

/* Leaves each item once. begin[u]: where the items of u end, and begin afterwards. Returns how many
 * there are. */
static size_t make_distinct(taken *t, uint32_t users_n)
{
    size_t n = 0, from = 0;

    for (uint32_t u = 0; u < users_n; u++) {
        const size_t to = t->begin[u], first = n;

        qsort(t->item + from, to - from, sizeof(*t->item), by_number);
        t->begin[u] = first;
        for (size_t i = from; i < to; i++)
            if (n == first || t->item[n - 1] != t->item[i])
                t->item[n++] = t->item[i];
        from = to;
    }
    t->begin[users_n] = n;
    return n;
}

static lcf_status find_taken(taken *t, const lcf_dataset *d, lcf_err *err)
{
    const size_t rows = lcf_dataset_split_n(d, LCF_TRAIN);

    t->begin = lcf_alloc_zero((size_t)d->users_n + 1, sizeof(*t->begin));
    t->item = lcf_alloc(rows + 1, sizeof(*t->item));
    t->value = lcf_alloc(rows + 1, sizeof(*t->value));
    t->users_n = lcf_alloc_zero(d->catalogue.items_n, sizeof(*t->users_n));
    if (!t->begin || !t->item || !t->value || !t->users_n)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu training rows", rows);
    collect(t, d, has_ratings(d));
    if (!make_distinct(t, d->users_n))
        return LCF_FAIL(err, LCF_EINVAL,
                        "no training row of the dataset says that a user took an item: there is "
                        "nothing to make collaborative vectors of");
    for (size_t i = 0; i < t->begin[d->users_n]; i++)
        t->users_n[t->item[i]]++;
    for (uint32_t u = 0; u < d->users_n; u++)
        for (uint64_t i = t->begin[u]; i < t->begin[u + 1]; i++)
            t->value[i] = 1.0f / sqrtf((float)(t->begin[u + 1] - t->begin[u]) *
                                       (float)t->users_n[t->item[i]]);
    return LCF_OK;
}

/* U diag(sigma) = A V, a row a user. */
static void map_users(float *users, const taken *t, const float *v, size_t users_n)
{
    const size_t dim = LCF_SPECTRAL_DIM;

    memset(users, 0, users_n * dim * sizeof(*users));
    for (size_t u = 0; u < users_n; u++)
        for (uint64_t i = t->begin[u]; i < t->begin[u + 1]; i++)
            lcf_axpy(users + u * dim, t->value[i], v + t->item[i] * dim, dim);
}

static void scale_items(float *v, const float *sigma, size_t items_n)
{
    for (size_t i = 0; i < items_n * LCF_SPECTRAL_DIM; i++)
        v[i] *= sigma[i % LCF_SPECTRAL_DIM];
}

lcf_status lcf_spectral_vectors(float *out, const lcf_dataset *d, lcf_err *err)
{
    const size_t items_n = d->catalogue.items_n, dim = LCF_SPECTRAL_DIM;
    float sigma[LCF_SPECTRAL_DIM];
    lcf_pool *pool = NULL;
    taken t = {0};
    lcf_status status = find_taken(&t, d, err);

    if (!status)
        status = lcf_pool_create(&pool, 1, err);
    if (!status) {
        const lcf_sparse a = {d->users_n, items_n, t.begin, t.item, t.value};

        status = lcf_svd_truncated(out, sigma, &a, dim, ITERATIONS, SEED, pool, err);
    }
    if (!status) {
        map_users(out + items_n * dim, &t, out, d->users_n);
        scale_items(out, sigma, items_n);
        for (size_t i = 0; i < items_n + d->users_n; i++)
            lcf_normalize(out + i * dim, dim);
    }
    lcf_pool_free(pool);
    free(t.begin);
    free(t.item);
    free(t.value);
    free(t.users_n);
    return status;
}
