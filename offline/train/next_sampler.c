/* Negatives: see next_sampler.h. */
#include "offline/train/next_sampler.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_falling_count(const void *left, const void *right, void *arg)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right, *count = arg;

    if (count[a] != count[b])
        return count[a] > count[b] ? -1 : 1;
    return (a > b) - (a < b);
}

static lcf_status rank_items(next_sampler *s, const uint32_t *count, lcf_err *err)
{
    const size_t n = s->items_n - 1;

    s->by_rank = lcf_alloc(n, sizeof(*s->by_rank));
    s->log_share = lcf_alloc_zero(s->items_n, sizeof(*s->log_share));
    if (!s->by_rank || !s->log_share) {
        next_sampler_dispose(s);
        return LCF_FAIL(err, LCF_ENOMEM, "sampler of %u items", s->items_n);
    }
    for (size_t i = 0; i < n; i++)
        s->by_rank[i] = (uint32_t)(i + 1);
    qsort_r(s->by_rank, n, sizeof(*s->by_rank), by_falling_count, (void *)count);
    for (size_t i = 0; i < n; i++)
        s->log_share[s->by_rank[i]] =
            (float)log(log1p(1.0 / (double)(i + 1)) / log((double)n + 1.0));
    return LCF_OK;
}

lcf_status next_sampler_init(next_sampler *s, lcf_next_sampling kind, const uint32_t *count,
                             uint32_t items_n, lcf_err *err)
{
    LCF_ASSERT(items_n > 1);
    memset(s, 0, sizeof(*s));
    s->kind = kind;
    s->items_n = items_n;
    return kind == LCF_NEXT_LOG_UNIFORM ? rank_items(s, count, err) : LCF_OK;
}

void next_sampler_dispose(next_sampler *s)
{
    free(s->by_rank);
    free(s->log_share);
    memset(s, 0, sizeof(*s));
}

uint32_t next_sampler_draw(const next_sampler *s, lcf_rng *rng)
{
    const uint32_t n = s->items_n - 1;
    double rank;

    if (s->kind == LCF_NEXT_UNIFORM)
        return 1 + (uint32_t)lcf_rng_below(rng, n);
    rank = exp(lcf_rng_f64(rng) * log((double)n + 1.0)) - 1.0;
    return s->by_rank[rank < n - 1 ? (uint32_t)rank : n - 1];
}
