/*
 * Lists by user. The best K of a user's candidates are kept in a heap with the worst of them on
 * top, so that long candidate sets cost O(n log K).
 */
#include "offline/eval/lists/rank.h"

#include "common/base/mem.h"
#include "offline/eval/lists/list.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void group_rows(lcf_candidates *c, const uint32_t *users)
{
    for (size_t i = 0; i < c->rows_n; i++)
        c->begin[users[i] + 1]++;
    for (size_t u = 0; u < c->users_n; u++)
        c->begin[u + 1] += c->begin[u];
    for (size_t i = 0; i < c->rows_n; i++)
        c->rows[c->begin[users[i]]++] = (uint32_t)i;
    for (size_t u = c->users_n; u > 0; u--) /* the loop above left each at its own end */
        c->begin[u] = c->begin[u - 1];
    c->begin[0] = 0;
}

/* The user's gains in falling order, by counting. */
static void find_ideal(lcf_candidates *c, size_t user)
{
    size_t counts[LCF_GAIN_MAX + 1] = {0}, at = c->begin[user];

    for (size_t i = c->begin[user]; i < c->begin[user + 1]; i++)
        counts[c->gains[c->rows[i]]]++;
    for (int gain = LCF_GAIN_MAX; gain >= 0; gain--)
        for (size_t i = 0; i < counts[gain]; i++)
            c->ideal[at++] = (uint8_t)gain;
    c->relevant[user] = (uint32_t)(c->begin[user + 1] - c->begin[user] - counts[0]);
}

lcf_status lcf_candidates_init(lcf_candidates *out, const uint8_t *gains, const uint32_t *users,
                               size_t n, size_t users_n, size_t k, lcf_err *err)
{
    *out = (lcf_candidates){.rows_n = n, .users_n = users_n, .k = k};
    for (size_t i = 0; i < n; i++)
        if (gains[i] > LCF_GAIN_MAX)
            return LCF_FAIL(err, LCF_EINVAL, "row %zu has gain %u, at most %d", i, gains[i],
                            LCF_GAIN_MAX);
    out->begin = lcf_alloc_zero(users_n + 1, sizeof(*out->begin));
    out->rows = lcf_alloc(n + 1, sizeof(*out->rows));
    out->gains = lcf_alloc(n + 1, 1);
    out->ideal = lcf_alloc(n + 1, 1);
    out->relevant = lcf_alloc(users_n + 1, sizeof(*out->relevant));
    if (!out->begin || !out->rows || !out->gains || !out->ideal || !out->relevant) {
        lcf_candidates_dispose(out);
        return LCF_FAIL(err, LCF_ENOMEM, "lists of %zu rows", n);
    }
    memcpy(out->gains, gains, n);
    group_rows(out, users);
    for (size_t u = 0; u < users_n; u++)
        find_ideal(out, u);
    return LCF_OK;
}

void lcf_candidates_dispose(lcf_candidates *c)
{
    free(c->begin);
    free(c->rows);
    free(c->gains);
    free(c->ideal);
    free(c->relevant);
    memset(c, 0, sizeof(*c));
}

/* Does row a stand before row b? */
static bool before(const float *scores, uint32_t a, uint32_t b)
{
    return scores[a] > scores[b] || (scores[a] == scores[b] && a > b);
}

/* heap [n]: no child stands after its parent. */
static void sift_down(uint32_t *heap, size_t n, size_t at, const float *scores)
{
    for (;;) {
        size_t child = 2 * at + 1;
        uint32_t row = heap[at];
        if (child >= n)
            return;
        if (child + 1 < n && before(scores, heap[child], heap[child + 1]))
            child++;
        if (!before(scores, row, heap[child]))
            return;
        heap[at] = heap[child];
        heap[child] = row;
        at = child;
    }
}

size_t lcf_candidates_top(uint32_t *out, const lcf_candidates *c, size_t user, const float *scores,
                          size_t k)
{
    const uint32_t *rows = c->rows + c->begin[user];
    size_t n = c->begin[user + 1] - c->begin[user], kept = n < k ? n : k;

    if (!kept)
        return 0;
    memcpy(out, rows, kept * sizeof(*out));
    for (size_t i = kept / 2; i-- > 0;)
        sift_down(out, kept, i, scores);
    for (size_t i = kept; i < n; i++)
        if (before(scores, rows[i], out[0])) {
            out[0] = rows[i];
            sift_down(out, kept, 0, scores);
        }
    for (size_t end = kept; end-- > 1;) { /* the worst goes to the end */
        uint32_t worst = out[0];
        out[0] = out[end];
        out[end] = worst;
        sift_down(out, end, 0, scores);
    }
    return kept;
}

static void measure_relevance(double *user, size_t stride, const lcf_list *l)
{
    static double (*const MEASURES[])(const lcf_list *) = {[LCF_LIST_HR] = lcf_list_hit_rate,
                                                           [LCF_LIST_RECALL] = lcf_list_recall,
                                                           [LCF_LIST_PRECISION] =
                                                               lcf_list_precision,
                                                           [LCF_LIST_NDCG] = lcf_list_ndcg,
                                                           [LCF_LIST_NDCG_EXP] = lcf_list_ndcg_exp,
                                                           [LCF_LIST_MRR] = lcf_list_mrr,
                                                           [LCF_LIST_MAP] = lcf_list_map};

    for (size_t m = 0; m < sizeof(MEASURES) / sizeof(MEASURES[0]); m++)
        user[m * stride] = l->relevant_n ? MEASURES[m](l) : NAN;
}

static void measure_items(double *user, size_t stride, const uint32_t *shown, size_t n,
                          const lcf_list_items *items)
{
    user[LCF_LIST_NOVELTY * stride] =
        items->counts ? lcf_list_novelty(shown, n, items->counts, items->items_n - items->unknown_n,
                                         items->samples_n)
                      : NAN;
    user[LCF_LIST_POPULARITY * stride] =
        items->counts ? lcf_list_popularity(shown, n, items->counts) : NAN;
    user[LCF_LIST_DIVERSITY * stride] =
        items->vectors ? lcf_list_diversity(shown, n, items->vectors, items->dim) : NAN;
}

typedef struct scratch {
    uint32_t *top, *shown; /* [k] rows, and known items among them */
    uint8_t *gains;        /* [k] */
    uint32_t *exposures;   /* [items_n] */
} scratch;

/* Fills scratch->shown; the number of items known. */
static size_t show(scratch *s, const lcf_list_items *items, size_t n)
{
    size_t known = 0;

    for (size_t i = 0; items->of_row && i < n; i++) {
        uint32_t item = items->of_row[s->top[i]];
        if (item < items->unknown_n)
            continue;
        s->shown[known++] = item;
        s->exposures[item]++;
    }
    return known;
}

static void measure_user(lcf_list_values *out, scratch *s, const lcf_candidates *c, size_t user,
                         const float *scores, const lcf_list_items *items)
{
    size_t rows_n = c->begin[user + 1] - c->begin[user];
    lcf_list list = {.k = c->k,
                     .gains = s->gains,
                     .ideal = c->ideal + c->begin[user],
                     .ideal_n = rows_n < c->k ? rows_n : c->k,
                     .relevant_n = c->relevant[user]};

    list.shown_n = lcf_candidates_top(s->top, c, user, scores, c->k);
    for (size_t i = 0; i < list.shown_n; i++)
        s->gains[i] = c->gains[s->top[i]];
    measure_relevance(out->user + user, c->users_n, &list);
    measure_items(out->user + user, c->users_n, s->shown, show(s, items, list.shown_n), items);
}

static double mean_defined(const double *values, size_t n)
{
    double sum = 0, defined = 0;

    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i])) {
            sum += values[i];
            defined++;
        }
    return defined > 0 ? sum / defined : NAN;
}

static void measure_all(lcf_list_values *out, const scratch *s, const lcf_candidates *c,
                        const lcf_list_items *items)
{
    size_t items_n = items->of_row ? items->items_n - items->unknown_n : 0;
    uint32_t *exposures = s->exposures + (items->of_row ? items->unknown_n : 0);

    for (size_t m = 0; m < LCF_LIST_USER_METRICS_N; m++)
        out->all[m] = mean_defined(out->user + m * c->users_n, c->users_n);
    out->all[LCF_LIST_COVERAGE] = lcf_list_coverage(exposures, items_n);
    out->all[LCF_LIST_GINI] = lcf_list_gini(exposures, items_n);
}

lcf_status lcf_lists_measure(lcf_list_values *out, const lcf_candidates *c, const float *scores,
                             const lcf_list_items *items, lcf_err *err)
{
    scratch s = {lcf_alloc(c->k + 1, sizeof(*s.top)), lcf_alloc(c->k + 1, sizeof(*s.shown)),
                 lcf_alloc(c->k + 1, sizeof(*s.gains)),
                 lcf_alloc_zero(items->items_n + 1, sizeof(*s.exposures))};
    lcf_status status = LCF_OK;

    memset(out, 0, sizeof(*out));
    out->user = lcf_alloc(c->users_n + 1, LCF_LIST_USER_METRICS_N * sizeof(*out->user));
    if (!s.top || !s.shown || !s.gains || !s.exposures || !out->user) {
        status = LCF_FAIL(err, LCF_ENOMEM, "lists of %zu users", c->users_n);
        lcf_list_values_dispose(out);
    }
    for (size_t u = 0; u < c->users_n && !status; u++)
        measure_user(out, &s, c, u, scores, items);
    if (!status)
        measure_all(out, &s, c, items);
    free(s.top);
    free(s.shown);
    free(s.gains);
    free(s.exposures);
    return status;
}

void lcf_list_values_dispose(lcf_list_values *v)
{
    free(v->user);
    memset(v, 0, sizeof(*v));
}
