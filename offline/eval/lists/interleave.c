/* Both arms' candidates of a user are sorted once; a session is a draft over the two lists. */
#include "offline/eval/lists/interleave.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/distributions.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BIT (UINT64_C(1) << 61) /* other streams than those of the bootstrap */

typedef struct draft {
    uint32_t *order[2]; /* [n] the user's rows, best first, by either arm */
    size_t n, at[2];    /* the arm's first row that may not be shown yet */
    uint8_t *shown;     /* [rows_n] by row; all 0 between sessions */
} draft;

/* The arm's best row that is not shown yet; there is one. */
static uint32_t pick(draft *d, size_t arm)
{
    while (d->shown[d->order[arm][d->at[arm]]])
        d->at[arm]++;
    d->shown[d->order[arm][d->at[arm]]] = 1;
    return d->order[arm][d->at[arm]++];
}

static void forget_shown(draft *d)
{
    for (size_t i = 0; i < d->n; i++)
        d->shown[d->order[0][i]] = 0;
    d->at[0] = d->at[1] = 0;
}

/* Clicks on B's rows minus clicks on A's. */
static int session(draft *d, const lcf_candidates *c, lcf_rng *rng)
{
    size_t places = d->n < c->k ? d->n : c->k, first = 0;
    int balance = 0;

    for (size_t i = 0; i < places; i++) {
        size_t arm;
        uint32_t row;
        if (i % 2 == 0)
            first = lcf_rng_below(rng, 2);
        arm = i % 2 ? 1 - first : first;
        row = pick(d, arm);
        if (c->gains[row] && lcf_rng_f64(rng) < 1 / log2((double)(i + 2)))
            balance += arm ? 1 : -1;
    }
    forget_shown(d);
    return balance;
}

static double judge(lcf_interleaving *out, draft *d, const lcf_candidates *c, size_t user,
                    const float *scores[2], lcf_rng *rng)
{
    double preference = 0;

    d->n = c->begin[user + 1] - c->begin[user];
    for (size_t arm = 0; arm < 2; arm++)
        lcf_candidates_top(d->order[arm], c, user, scores[arm], d->n);
    for (size_t s = 0; s < LCF_INTERLEAVE_SESSIONS; s++) {
        int balance = session(d, c, rng);
        out->wins[0] += balance < 0;
        out->wins[1] += balance > 0;
        out->ties += balance == 0;
        preference += (balance > 0) - (balance < 0);
    }
    return preference / LCF_INTERLEAVE_SESSIONS;
}

lcf_status lcf_interleave_add(lcf_interleaving *out, double *preferences, const lcf_candidates *c,
                              const float *a, const float *b, uint64_t seed, uint64_t pair,
                              lcf_err *err)
{
    const float *scores[2] = {a, b};
    draft d = {
        {lcf_alloc(c->rows_n + 1, sizeof(uint32_t)), lcf_alloc(c->rows_n + 1, sizeof(uint32_t))},
        0,
        {0, 0},
        lcf_alloc_zero(c->rows_n + 1, 1)};
    lcf_status status = LCF_OK;

    if (!d.order[0] || !d.order[1] || !d.shown)
        status = LCF_FAIL(err, LCF_ENOMEM, "sessions of %zu rows", c->rows_n);
    for (size_t u = 0; u < c->users_n && !status; u++) {
        lcf_rng rng;
        if (!c->relevant[u])
            continue;
        lcf_rng_seed(&rng, seed, STREAM_BIT | pair << 40 | u);
        preferences[u] += judge(out, &d, c, u, scores, &rng);
    }
    free(d.order[0]);
    free(d.order[1]);
    free(d.shown);
    return status;
}

void lcf_interleave_finish(lcf_interleaving *out, const double *preferences,
                           const lcf_candidates *c, size_t pairs_n, double confidence)
{
    double n = 0, mean = 0, square = 0, se, half;

    for (size_t u = 0; u < c->users_n; u++)
        if (c->relevant[u]) {
            n++;
            mean += preferences[u] / (double)pairs_n;
        }
    mean = n > 0 ? mean / n : NAN;
    for (size_t u = 0; u < c->users_n; u++)
        if (c->relevant[u]) {
            double d = preferences[u] / (double)pairs_n - mean;
            square += d * d;
        }
    se = n > 1 ? sqrt(square / (n - 1) / n) : NAN;
    half = lcf_student_quantile((1 + confidence) / 2, n - 1) * se;
    out->users_n = (size_t)n;
    out->preference = mean;
    out->low = mean - half;
    out->high = mean + half;
    out->p = se > 0 ? lcf_student_p(mean / se, n - 1) : NAN;
}
