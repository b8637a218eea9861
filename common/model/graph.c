/* The graph of users and items: see graph.h. */
#include "common/model/graph.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BY_USER, BY_ITEM };

void lcf_ranker_graph_dispose(ranker_graph *g)
{
    for (int side = 0; side < 2; side++) {
        free(g->begin[side]);
        free(g->column[side]);
        free(g->value[side]);
    }
    memset(g, 0, sizeof(*g));
}

static lcf_status allocate(ranker_graph *g, uint32_t users_n, uint32_t items_n, size_t n,
                           lcf_err *err)
{
    const size_t rows[2] = {users_n, items_n};

    memset(g, 0, sizeof(*g));
    if (n >= UINT32_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "a graph of %zu edges; at most %u can be", n,
                        UINT32_MAX - 1);
    for (int side = 0; side < 2; side++) {
        g->begin[side] = lcf_alloc_zero(rows[side] + 1, sizeof(uint32_t));
        g->column[side] = lcf_alloc(n + 1, sizeof(uint32_t));
        g->value[side] = lcf_alloc(n + 1, sizeof(float));
        if (!g->begin[side] || !g->column[side] || !g->value[side]) {
            lcf_ranker_graph_dispose(g);
            return LCF_FAIL(err, LCF_ENOMEM, "graph of %zu edges", n);
        }
    }
    return LCF_OK;
}

/* All that follows from the edges by user. */
static void finish(ranker_graph *g, uint32_t users_n, uint32_t items_n)
{
    uint32_t *begin = g->begin[BY_ITEM], n = g->begin[BY_USER][users_n];

    for (uint32_t e = 0; e < n; e++)
        begin[g->column[BY_USER][e] + 1]++;
    for (uint32_t i = 0; i < items_n; i++)
        begin[i + 1] += begin[i];
    for (uint32_t user = 0; user < users_n; user++) /* begin[i] moves on to that of i + 1 */
        for (uint32_t e = g->begin[BY_USER][user]; e < g->begin[BY_USER][user + 1]; e++)
            g->column[BY_ITEM][begin[g->column[BY_USER][e]]++] = user;
    memmove(begin + 1, begin, (size_t)items_n * sizeof(*begin));
    begin[0] = 0;
    for (int side = 0; side < 2; side++) {
        const uint32_t *own = g->begin[side], *other = g->begin[!side];

        for (uint32_t row = 0; row < (side ? items_n : users_n); row++)
            for (uint32_t e = own[row]; e < own[row + 1]; e++) {
                const uint32_t to = g->column[side][e];
                const double degrees =
                    (double)(own[row + 1] - own[row]) * (double)(other[to + 1] - other[to]);

                g->value[side][e] = (float)(1.0 / sqrt(degrees));
            }
    }
    g->matrix.by_left =
        (lcf_csr){users_n, g->begin[BY_USER], g->column[BY_USER], g->value[BY_USER]};
    g->matrix.by_right =
        (lcf_csr){items_n, g->begin[BY_ITEM], g->column[BY_ITEM], g->value[BY_ITEM]};
}

static int by_user_and_item(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

lcf_status lcf_ranker_graph_create(ranker_graph *g, uint32_t users_n, uint32_t items_n,
                                   const uint32_t *users, const uint32_t *items, size_t n,
                                   lcf_err *err)
{
    uint64_t *pairs = lcf_alloc(n + 1, sizeof(*pairs));
    lcf_status status = allocate(g, users_n, items_n, n, err);
    uint32_t kept = 0;
    size_t known = 0;

    if (!status && !pairs)
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu pairs", n);
    if (status)
        goto done;
    for (size_t i = 0; i < n; i++)
        if (users[i] && items[i] && users[i] < users_n && items[i] < items_n)
            pairs[known++] = (uint64_t)users[i] << 32 | items[i];
    qsort(pairs, known, sizeof(*pairs), by_user_and_item);
    for (size_t i = 0; i < known; i++) {
        if (i && pairs[i] == pairs[i - 1])
            continue;
        g->column[BY_USER][kept++] = (uint32_t)pairs[i];
        g->begin[BY_USER][(pairs[i] >> 32) + 1]++;
    }
    for (uint32_t user = 0; user < users_n; user++)
        g->begin[BY_USER][user + 1] += g->begin[BY_USER][user];
    finish(g, users_n, items_n);
done:
    if (status)
        lcf_ranker_graph_dispose(g);
    free(pairs);
    return status;
}

lcf_status lcf_ranker_graph_add(lcf_bundle_writer *w, const ranker_graph *g, lcf_err *err)
{
    const lcf_csr *m = &g->matrix.by_left;
    lcf_status status;

    if (!m->begin)
        return LCF_FAIL(err, LCF_EINVAL, "a ranker that needs a graph has none to be saved");
    status = lcf_bundle_add_1d(w, "graph.begin", LCF_U32, m->rows_n + 1, m->begin, err);
    return status
               ? status
               : lcf_bundle_add_1d(w, "graph.item", LCF_U32, m->begin[m->rows_n], m->column, err);
}

/* Whether the edges are those of some graph; n is the length of `item`. */
static bool is_graph(const uint32_t *begin, const uint32_t *item, uint32_t users_n,
                     uint32_t items_n, uint64_t n)
{
    if (begin[0] || begin[1] || begin[users_n] != n) /* the unknown user has no edge */
        return false;
    for (uint32_t user = 0; user < users_n; user++)
        if (begin[user] > begin[user + 1] || begin[user + 1] > n)
            return false;
    for (uint32_t user = 0; user < users_n; user++)
        for (uint32_t e = begin[user]; e < begin[user + 1]; e++)
            if (item[e] >= items_n || item[e] <= (e > begin[user] ? item[e - 1] : 0))
                return false;
    return true;
}

lcf_status lcf_ranker_graph_get(ranker_graph *g, uint32_t users_n, uint32_t items_n,
                                const lcf_bundle *bundle, lcf_err *err)
{
    uint64_t begin_n = (uint64_t)users_n + 1, n = 0;
    const void *begin, *item;
    lcf_status status = lcf_bundle_get(&begin, bundle, "graph.begin", LCF_U32, &begin_n, 1, err);

    if (!status)
        status = lcf_bundle_get(&item, bundle, "graph.item", LCF_U32, &n, 1, err);
    if (!status && !is_graph(begin, item, users_n, items_n, n))
        status = LCF_FAIL(err, LCF_EFORMAT, "graph.begin and graph.item are no graph");
    if (!status)
        status = allocate(g, users_n, items_n, n, err);
    if (status)
        return status;
    memcpy(g->begin[BY_USER], begin, begin_n * sizeof(uint32_t));
    memcpy(g->column[BY_USER], item, n * sizeof(uint32_t));
    finish(g, users_n, items_n);
    return LCF_OK;
}
