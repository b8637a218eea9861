/*
 * See retrieved_reuse.h. Why the result is the same: a row's places go to the first of all allowed
 * examples in one total order (score, then index), and what was there before keeps its order among
 * itself, because examples lie by time and key and both are in their hashes. So the first k of the
 * old and the new together are among the first k of either.
 */
#include "common/store/retrieved_reuse.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/examples_index.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { HASH = 16 };

typedef struct hashed {
    lcf_hash128 hash;
    uint32_t at;
} hashed;

struct lcf_retrieved_reuse {
    const lcf_examples *examples;
    lcf_retrieved before;
    hashed *rows;  /* those before, by hash */
    uint32_t *now; /* example before -> now, LCF_EXAMPLE_NONE: gone */
    lcf_examples fresh;
    uint32_t *fresh_ids; /* [fresh.n] -> example */
    atomic_size_t searched_n;
    /* the arrays of `fresh` */
    lcf_hash128 *sample_hash;
    uint32_t *user;
    uint8_t *label;
    int64_t *time;
    float *history_vec, *target_vec;
};

/* ---- hashes ---- */

static void add_hash(uint8_t **to, lcf_hash128 hash)
{
    memcpy(*to, hash.bytes, HASH);
    *to += HASH;
}

lcf_hash128 lcf_retrieved_query_hash(const lcf_example_query *q, size_t text_dim)
{
    uint8_t all[3 * HASH + sizeof(q->time)], *to = all;

    add_hash(&to, q->sample_hash);
    add_hash(&to, lcf_hash128_of(q->history_vec, text_dim * sizeof(float)));
    add_hash(&to, lcf_hash128_of(q->target_vec, text_dim * sizeof(float)));
    memcpy(to, &q->time, sizeof(q->time));
    return lcf_hash128_of(all, sizeof(all));
}

lcf_hash128 lcf_retrieved_example_hash(const lcf_examples *e, size_t x)
{
    const size_t dim = e->text_dim;
    uint8_t all[4 * HASH + sizeof(e->time[0]) + 1], *to = all;

    add_hash(&to, e->key[x]);
    add_hash(&to, e->sample_hash[x]);
    add_hash(&to, lcf_hash128_of(e->history_vec + x * dim, dim * sizeof(float)));
    add_hash(&to, lcf_hash128_of(e->target_vec + x * dim, dim * sizeof(float)));
    memcpy(to, &e->time[x], sizeof(e->time[x]));
    to[sizeof(e->time[x])] = e->label[x];
    return lcf_hash128_of(all, sizeof(all));
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(((const hashed *)a)->hash.bytes, ((const hashed *)b)->hash.bytes, HASH);
}

/* NULL: out of memory. */
static hashed *sorted(const lcf_hash128 *hashes, size_t n)
{
    hashed *list = lcf_alloc(n + 1, sizeof(*list));

    for (size_t i = 0; list && i < n; i++)
        list[i] = (hashed){hashes[i], (uint32_t)i};
    if (list)
        qsort(list, n, sizeof(*list), by_hash);
    return list;
}

static uint32_t find(const hashed *list, size_t n, const lcf_hash128 *hash)
{
    const hashed wanted = {*hash, 0};
    const hashed *found = n ? bsearch(&wanted, list, n, sizeof(*list), by_hash) : NULL;

    return found ? found->at : LCF_EXAMPLE_NONE;
}

/* ---- the examples that are new ---- */

static lcf_status match_examples(lcf_retrieved_reuse *r, const lcf_hash128 *example_hash,
                                 lcf_err *err)
{
    const size_t n = r->examples->n, before_n = r->before.examples_n;
    hashed *list = sorted(r->before.example_hash, before_n);
    lcf_status status = LCF_OK;

    r->now = lcf_alloc(before_n + 1, sizeof(*r->now));
    r->fresh_ids = lcf_alloc(n + 1, sizeof(*r->fresh_ids));
    if (!list || !r->now || !r->fresh_ids) {
        status = LCF_FAIL(err, LCF_ENOMEM, "matches of %zu examples", n);
        goto done;
    }
    for (size_t i = 0; i < before_n; i++)
        r->now[i] = LCF_EXAMPLE_NONE;
    for (size_t x = 0; x < n; x++) {
        const uint32_t before = find(list, before_n, &example_hash[x]);

        if (before == LCF_EXAMPLE_NONE)
            r->fresh_ids[r->fresh.n++] = (uint32_t)x;
        else
            r->now[before] = (uint32_t)x;
    }
done:
    free(list);
    return status;
}

static lcf_status copy_fresh(lcf_retrieved_reuse *r, lcf_err *err)
{
    const lcf_examples *e = r->examples;
    const size_t n = r->fresh.n, dim = e->text_dim;

    r->sample_hash = lcf_alloc(n + 1, sizeof(*r->sample_hash));
    r->user = lcf_alloc(n + 1, sizeof(*r->user));
    r->label = lcf_alloc(n + 1, sizeof(*r->label));
    r->time = lcf_alloc(n + 1, sizeof(*r->time));
    r->history_vec = lcf_alloc(n + 1, dim * sizeof(float));
    r->target_vec = lcf_alloc(n + 1, dim * sizeof(float));
    if (!r->sample_hash || !r->user || !r->label || !r->time || !r->history_vec || !r->target_vec)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu new examples", n);
    for (size_t i = 0; i < n; i++) {
        const size_t x = r->fresh_ids[i];

        r->sample_hash[i] = e->sample_hash[x];
        r->user[i] = e->user[x];
        r->label[i] = e->label[x];
        r->time[i] = e->time[x];
        memcpy(r->history_vec + i * dim, e->history_vec + x * dim, dim * sizeof(float));
        memcpy(r->target_vec + i * dim, e->target_vec + x * dim, dim * sizeof(float));
    }
    r->fresh = (lcf_examples){.n = n,
                              .text_dim = dim,
                              .sample_hash = r->sample_hash,
                              .user = r->user,
                              .label = r->label,
                              .time = r->time,
                              .history_vec = r->history_vec,
                              .target_vec = r->target_vec};
    return lcf_examples_index(&r->fresh, err);
}

static bool same_rule(const lcf_example_options *a, const lcf_example_options *b)
{
    return a->k == b->k && a->balanced == b->balanced && a->mode == b->mode && a->by == b->by;
}

lcf_status lcf_retrieved_reuse_open(lcf_retrieved_reuse **out, const char *path,
                                    const lcf_examples *e, const lcf_hash128 *example_hash,
                                    const lcf_example_options *rule, lcf_err *err)
{
    lcf_retrieved_reuse *r = NULL;
    lcf_status status = LCF_ENOTFOUND;

    *out = NULL;
    if (e->kind != LCF_FAISS_FLAT || !lcf_path_exists(path))
        return LCF_ENOTFOUND;
    r = lcf_alloc_zero(1, sizeof(*r));
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "reuse of %s", path);
    r->examples = e;
    /* whatever is wrong with what was there: all is searched */
    if (lcf_retrieved_open_any(&r->before, path, NULL) || !r->before.query_hash ||
        !same_rule(&r->before.rule, rule))
        goto done;
    status = match_examples(r, example_hash, err);
    if (!status && r->fresh.n > e->n / 2)
        status = LCF_ENOTFOUND;
    if (!status)
        status = copy_fresh(r, err);
    if (!status && !(r->rows = sorted(r->before.query_hash, r->before.rows_n)))
        status = LCF_FAIL(err, LCF_ENOMEM, "rows of %s", path);
    if (status)
        goto done;
    *out = r;
    r = NULL;
done:
    lcf_retrieved_reuse_close(r);
    return status;
}

void lcf_retrieved_reuse_close(lcf_retrieved_reuse *r)
{
    if (!r)
        return;
    lcf_retrieved_close(&r->before);
    lcf_examples_close(&r->fresh);
    free(r->rows);
    free(r->now);
    free(r->fresh_ids);
    free(r->sample_hash);
    free(r->user);
    free(r->label);
    free(r->time);
    free(r->history_vec);
    free(r->target_vec);
    free(r);
}

size_t lcf_retrieved_reuse_searched(const lcf_retrieved_reuse *r)
{
    return atomic_load(&r->searched_n);
}

size_t lcf_retrieved_reuse_new(const lcf_retrieved_reuse *r)
{
    return r->fresh.n;
}

/* ---- the search ---- */

/* The row before, when all of its examples are still there. */
static uint32_t row_before(const lcf_retrieved_reuse *r, const lcf_hash128 *hash)
{
    const uint32_t row = find(r->rows, r->before.rows_n, hash), k = r->before.rule.k;

    for (uint32_t i = 0; row != LCF_EXAMPLE_NONE && i < k; i++) {
        const uint32_t id = r->before.ids[(size_t)row * k + i];

        if (id != LCF_EXAMPLE_NONE && r->now[id] == LCF_EXAMPLE_NONE)
            return LCF_EXAMPLE_NONE;
    }
    return row;
}

/* The best of a row's examples before and of those among the new. */
static void merge(uint32_t *ids, float *scores, const lcf_retrieved_reuse *r, uint32_t row,
                  const uint32_t *new_ids, const float *new_scores, const lcf_example_options *rule)
{
    const uint32_t *old_ids = r->before.ids + (size_t)row * rule->k;
    const float *old_scores = r->before.scores + (size_t)row * rule->k;
    lcf_best best[2];

    lcf_best_init(best, rule);
    for (uint32_t i = 0; i < rule->k; i++) {
        if (old_ids[i] != LCF_EXAMPLE_NONE) {
            const uint32_t x = r->now[old_ids[i]];
            lcf_best_add(&best[r->examples->label[x]], x, old_scores[i]);
        }
        if (new_ids[i] != LCF_EXAMPLE_NONE) {
            const uint32_t x = r->fresh_ids[new_ids[i]];
            lcf_best_add(&best[r->examples->label[x]], x, new_scores[i]);
        }
    }
    lcf_best_finish(ids, scores, best, rule);
}

/* Queries that are searched together, and where their results go. */
typedef struct part {
    lcf_example_query *queries;
    uint32_t *of, *before, *ids; /* [n], [n], [n, k] */
    float *scores;               /* [n, k] */
    size_t n;
} part;

static bool part_alloc(part *p, size_t n, size_t k)
{
    p->queries = lcf_alloc(n + 1, sizeof(*p->queries));
    p->of = lcf_alloc(n + 1, sizeof(*p->of));
    p->before = lcf_alloc(n + 1, sizeof(*p->before));
    p->ids = lcf_alloc(n + 1, k * sizeof(*p->ids));
    p->scores = lcf_alloc(n + 1, k * sizeof(*p->scores));
    return p->queries && p->of && p->before && p->ids && p->scores;
}

static void part_dispose(part *p)
{
    free(p->queries);
    free(p->of);
    free(p->before);
    free(p->ids);
    free(p->scores);
}

lcf_status lcf_retrieved_reuse_search(uint32_t *ids, float *scores, lcf_retrieved_reuse *r,
                                      const lcf_hash128 *query_hash,
                                      const lcf_example_query *queries, size_t n,
                                      const lcf_example_options *rule, lcf_err *err)
{
    const size_t k = rule->k;
    part parts[2] = {{.n = 0}, {.n = 0}}, *known = &parts[0], *others = &parts[1];
    lcf_status status = LCF_OK;

    if (!part_alloc(known, n, k) || !part_alloc(others, n, k)) {
        status = LCF_FAIL(err, LCF_ENOMEM, "search of %zu queries", n);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t row = row_before(r, &query_hash[i]);
        part *p = row == LCF_EXAMPLE_NONE ? others : known;

        p->queries[p->n] = queries[i];
        p->of[p->n] = (uint32_t)i;
        p->before[p->n++] = row;
    }
    atomic_fetch_add(&r->searched_n, others->n);
    status = lcf_examples_search(others->ids, others->scores, r->examples, others->queries,
                                 others->n, rule, err);
    if (!status)
        status = lcf_examples_search(known->ids, known->scores, &r->fresh, known->queries, known->n,
                                     rule, err);
    for (size_t i = 0; i < others->n && !status; i++) {
        memcpy(ids + others->of[i] * k, others->ids + i * k, k * sizeof(*ids));
        memcpy(scores + others->of[i] * k, others->scores + i * k, k * sizeof(*scores));
    }
    for (size_t i = 0; i < known->n && !status; i++)
        merge(ids + known->of[i] * k, scores + known->of[i] * k, r, known->before[i],
              known->ids + i * k, known->scores + i * k, rule);
done:
    part_dispose(known);
    part_dispose(others);
    return status;
}
