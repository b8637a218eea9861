/*
 * Lists of neighbours and the search through them.
 *
 * Invariant: the products in the lists and the scores made of them have the bits of
 * lcf_example_score. Rounding is monotone, so a bound on both parts bounds the rounded score.
 */
#include "common/store/neighbours.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/store/examples_index.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KIND "neighbours"
#define LISTED ((size_t)LCF_NEIGHBOURS_N)

enum {
    BLOCK = 32,     /* items per matrix product */
    LEADERS = 2048, /* examples by falling first part that a search looks at */
};

/* ---- the best of many, as a heap with the worst on top ---- */

typedef struct ranked {
    float value;
    uint32_t id;
} ranked;

typedef struct heap {
    ranked *list;
    size_t n, capacity;
} heap;

/* Total order: the larger value first, then the lower id. */
static bool ranked_before(ranked a, ranked b)
{
    return a.value != b.value ? a.value > b.value : a.id < b.id;
}

static void sift_down(ranked *list, size_t root, size_t n)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        ranked moved = list[root];
        if (child + 1 < n && ranked_before(list[child], list[child + 1]))
            child++;
        if (!ranked_before(moved, list[child]))
            return;
        list[root] = list[child];
        list[child] = moved;
    }
}

static void heap_add(heap *h, ranked r)
{
    if (h->n < h->capacity) {
        h->list[h->n++] = r;
        if (h->n == h->capacity)
            for (size_t i = h->n / 2; i-- > 0;)
                sift_down(h->list, i, h->n);
    } else if (ranked_before(r, h->list[0])) {
        h->list[0] = r;
        sift_down(h->list, 0, h->n);
    }
}

/* Best first. */
static void heap_sort(heap *h)
{
    for (size_t i = h->n / 2; i-- > 0;)
        sift_down(h->list, i, h->n);
    for (size_t end = h->n; end-- > 1;) {
        ranked last = h->list[end];
        h->list[end] = h->list[0];
        h->list[0] = last;
        sift_down(h->list, 0, end);
    }
}

/* ---- saving ---- */

typedef struct lists {
    const lcf_embeddings *items;
    const lcf_examples *e;
    uint32_t *ids;
    float *products, *bound;
    float *block; /* [BLOCK, examples] */
    float error;  /* how far a product of the block and ours may lie apart */
} lists;

static bool lists_alloc(lists *l)
{
    size_t n = l->items->n * 2;

    l->ids = lcf_alloc(n, LISTED * sizeof(*l->ids));
    l->products = lcf_alloc(n, LISTED * sizeof(*l->products));
    l->bound = lcf_alloc(n, sizeof(*l->bound));
    l->block = lcf_alloc(l->e->n, BLOCK * sizeof(*l->block));
    return l->ids && l->products && l->bound && l->block;
}

static void lists_free(lists *l)
{
    free(l->ids);
    free(l->products);
    free(l->bound);
    free(l->block);
}

/* One list from the block's proposals: the products are computed again in the fixed order. */
static void make_list(lists *l, size_t item, unsigned label, const float *products)
{
    size_t at = item * 2 + label, dim = l->e->text_dim, labelled = 0;
    const float *t = l->items->vectors + item * dim;
    ranked room[LCF_NEIGHBOURS_N];
    heap h = {room, 0, LISTED};

    for (size_t x = 0; x < l->e->n; x++)
        if (l->e->label[x] == label) {
            heap_add(&h, (ranked){products[x], (uint32_t)x});
            labelled++;
        }
    l->bound[at] = -INFINITY;
    if (labelled > h.n) { /* then the heap is full: on top is the worst that was taken */
        l->bound[at] = h.list[0].value + l->error;
    }
    for (size_t i = 0; i < h.n; i++)
        h.list[i].value = lcf_example_dot(t, l->e->target_vec + h.list[i].id * dim, dim);
    heap_sort(&h);
    for (size_t i = 0; i < LISTED; i++) {
        l->ids[at * LISTED + i] = i < h.n ? h.list[i].id : LCF_EXAMPLE_NONE;
        l->products[at * LISTED + i] = i < h.n ? h.list[i].value : 0.0f;
    }
}

static void make_lists(lists *l)
{
    const lcf_embeddings *items = l->items;

    /* Rows have norm 1 to 1e-3; the bound of lcf_examples_search for sums of dim products. */
    l->error = 4.0f * (float)(items->dim + 8) * FLT_EPSILON * 1.01f;
    for (size_t begin = 0; begin < items->n; begin += BLOCK) {
        size_t n = items->n - begin < BLOCK ? items->n - begin : BLOCK;
        if (l->e->n)
            lcf_linear(l->block, items->vectors + begin * items->dim, l->e->target_vec, NULL, n,
                       items->dim, l->e->n);
        for (size_t i = 0; i < n; i++)
            for (unsigned label = 0; label < 2; label++)
                make_list(l, begin + i, label, l->block + i * l->e->n);
    }
}

static lcf_status write_lists(const char *path, const lists *l, lcf_err *err)
{
    const uint64_t dims[3] = {l->items->n, 2, LISTED};
    lcf_bundle_writer *w = NULL;
    const uint64_t examples_n = l->e->n;
    lcf_status status = lcf_bundle_create(&w, path, KIND, LCF_NEIGHBOURS_VERSION, err);

    if (status)
        return status;
    status = lcf_bundle_add_1d(w, "examples_n", LCF_U64, 1, &examples_n, err);
    if (!status)
        status = lcf_bundle_add(w, "ids", LCF_U32, dims, 3, l->ids, err);
    if (!status)
        status = lcf_bundle_add(w, "products", LCF_F32, dims, 3, l->products, err);
    if (!status)
        status = lcf_bundle_add(w, "bound", LCF_F32, dims, 2, l->bound, err);
    if (status) {
        lcf_bundle_abandon(w);
        return status;
    }
    return lcf_bundle_commit(w, err);
}

lcf_status lcf_neighbours_save(const char *path, const lcf_embeddings *items, const lcf_examples *e,
                               lcf_err *err)
{
    lists l = {.items = items, .e = e};
    lcf_status status;

    if (items->dim != e->text_dim)
        return LCF_FAIL(err, LCF_EINVAL, "item vectors of %zu dimensions, examples of %zu",
                        items->dim, e->text_dim);
    if (!lists_alloc(&l)) {
        status = LCF_FAIL(err, LCF_ENOMEM, "neighbours of %zu items", items->n);
    } else {
        make_lists(&l);
        status = write_lists(path, &l, err);
    }
    lists_free(&l);
    return status;
}

/* ---- opening ---- */

static lcf_status check_lists(const lcf_neighbours *nb, const lcf_examples *e, lcf_err *err)
{
    for (size_t i = 0; i < nb->items_n * 2 * LISTED; i++) {
        uint32_t id = nb->ids[i];
        if (id != LCF_EXAMPLE_NONE && (id >= e->n || e->label[id] != i / LISTED % 2))
            return LCF_FAIL(err, LCF_EFORMAT, "ids[%zu] is no example of its label", i);
        if (!isfinite(nb->products[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "products[%zu] is not finite", i);
    }
    for (size_t i = 0; i < nb->items_n * 2; i++)
        if (isnan(nb->bound[i]) || nb->bound[i] == INFINITY)
            return LCF_FAIL(err, LCF_EFORMAT, "bound[%zu] is no bound", i);
    return LCF_OK;
}

static lcf_status read_lists(lcf_neighbours *nb, size_t items_n, const lcf_examples *e,
                             lcf_err *err)
{
    uint64_t dims[3] = {items_n, 2, LISTED}, one = 1;
    const void *examples_n, *ids, *products, *bound;
    lcf_status status =
        lcf_bundle_get(&examples_n, nb->bundle, "examples_n", LCF_U64, &one, 1, err);

    if (!status)
        status = lcf_bundle_get(&ids, nb->bundle, "ids", LCF_U32, dims, 3, err);
    if (!status)
        status = lcf_bundle_get(&products, nb->bundle, "products", LCF_F32, dims, 3, err);
    if (!status)
        status = lcf_bundle_get(&bound, nb->bundle, "bound", LCF_F32, dims, 2, err);
    if (status)
        return status;
    if (*(const uint64_t *)examples_n != e->n)
        return LCF_FAIL(err, LCF_EFORMAT, "made for %llu examples, there are %zu",
                        (unsigned long long)*(const uint64_t *)examples_n, e->n);
    nb->items_n = items_n;
    nb->ids = ids;
    nb->products = products;
    nb->bound = bound;
    return check_lists(nb, e, err);
}

lcf_status lcf_neighbours_open(lcf_neighbours *out, const char *path, size_t items_n,
                               const lcf_examples *e, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, KIND, LCF_NEIGHBOURS_VERSION, err);
    if (status)
        return status;
    status = read_lists(out, items_n, e, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_neighbours_close(out);
    }
    return status;
}

void lcf_neighbours_close(lcf_neighbours *nb)
{
    lcf_bundle_close(nb->bundle);
    memset(nb, 0, sizeof(*nb));
}

/* ---- searching ---- */

struct lcf_neighbours_scratch {
    size_t queries_max, unsettled_n;
    float *first;     /* [examples] <hbar, hbar'> */
    heap leaders[2];  /* by label, best first */
    bool complete[2]; /* the leaders are all examples of the label */
    /* [queries_max] of the queries that the lists do not settle */
    lcf_example_query *unsettled;
    uint32_t *unsettled_at;
    uint32_t *ids; /* [queries_max, LCF_EXAMPLES_K_MAX] */
    float *scores;
};

lcf_status lcf_neighbours_scratch_create(lcf_neighbours_scratch **out, const lcf_examples *e,
                                         size_t queries_max, lcf_err *err)
{
    lcf_neighbours_scratch *s = lcf_alloc_zero(1, sizeof(*s));
    bool whole = s != NULL;

    *out = NULL;
    if (whole) {
        s->queries_max = queries_max;
        s->first = lcf_alloc(e->n, sizeof(*s->first));
        s->unsettled = lcf_alloc(queries_max, sizeof(*s->unsettled));
        s->unsettled_at = lcf_alloc(queries_max, sizeof(*s->unsettled_at));
        s->ids = lcf_alloc(queries_max, LCF_EXAMPLES_K_MAX * sizeof(*s->ids));
        s->scores = lcf_alloc(queries_max, LCF_EXAMPLES_K_MAX * sizeof(*s->scores));
        whole = s->first && s->unsettled && s->unsettled_at && s->ids && s->scores;
    }
    for (int label = 0; whole && label < 2; label++) {
        s->leaders[label].list = lcf_alloc(LEADERS, sizeof(ranked));
        s->leaders[label].capacity = LEADERS;
        whole = s->leaders[label].list != NULL;
    }
    if (!whole) {
        lcf_neighbours_scratch_free(s);
        return LCF_FAIL(err, LCF_ENOMEM, "search of up to %zu queries", queries_max);
    }
    *out = s;
    return LCF_OK;
}

void lcf_neighbours_scratch_free(lcf_neighbours_scratch *s)
{
    if (!s)
        return;
    free(s->first);
    free(s->leaders[0].list);
    free(s->leaders[1].list);
    free(s->unsettled);
    free(s->unsettled_at);
    free(s->ids);
    free(s->scores);
    free(s);
}

size_t lcf_neighbours_unsettled(const lcf_neighbours_scratch *scratch)
{
    return scratch->unsettled_n;
}

/* The part that all candidates share. */
static void find_leaders(lcf_neighbours_scratch *s, const lcf_examples *e,
                         const lcf_example_query *q, lcf_retrieval_mode mode)
{
    size_t allowed[2] = {0, 0};

    s->leaders[0].n = s->leaders[1].n = 0;
    for (size_t x = 0; x < e->n; x++) {
        s->first[x] =
            lcf_example_dot(q->history_vec, e->history_vec + x * e->text_dim, e->text_dim);
        if (!lcf_example_allowed(e, x, q, mode))
            continue;
        heap_add(&s->leaders[e->label[x]], (ranked){s->first[x], (uint32_t)x});
        allowed[e->label[x]]++;
    }
    for (int label = 0; label < 2; label++) {
        heap_sort(&s->leaders[label]);
        s->complete[label] = allowed[label] == s->leaders[label].n;
    }
}

static bool is_among(const lcf_best *best, uint32_t id)
{
    for (uint32_t i = 0; i < best->n; i++)
        if (best->ids[i] == id)
            return true;
    return false;
}

/* True when no example with at most these two parts can enter. Written so that equality goes on:
 * the lower index wins a tie. */
static bool is_settled(const lcf_best *best, float first, float second)
{
    return best->n == best->wanted && 0.5f * first + 0.5f * second < best->scores[best->n - 1];
}

/* The best of one label for one query; false when the lists do not settle it. */
static bool search_label(lcf_best *best, const lcf_neighbours_scratch *s, const lcf_neighbours *nb,
                         const lcf_examples *e, uint32_t item, unsigned label,
                         const lcf_example_query *q, lcf_retrieval_mode mode)
{
    const heap *leaders = &s->leaders[label];
    size_t at = (size_t)item * 2 + label, dim = e->text_dim;

    if (best->wanted == 0)
        return true;
    for (size_t i = at * LISTED; i < (at + 1) * LISTED && nb->ids[i] != LCF_EXAMPLE_NONE; i++)
        if (lcf_example_allowed(e, nb->ids[i], q, mode))
            lcf_best_add(best, nb->ids[i], 0.5f * s->first[nb->ids[i]] + 0.5f * nb->products[i]);
    if (nb->bound[at] == -INFINITY)
        return true;
    for (size_t i = 0; i < leaders->n; i++) {
        ranked r = leaders->list[i];
        if (is_settled(best, r.value, nb->bound[at]))
            return true;
        if (!is_among(best, r.id))
            lcf_best_add(best, r.id,
                         0.5f * r.value + 0.5f * lcf_example_dot(q->target_vec,
                                                                 e->target_vec + r.id * dim, dim));
    }
    return s->complete[label];
}

/* The queries that are left, by the way that needs no lists. */
static lcf_status search_unsettled(uint32_t *ids, float *scores, lcf_neighbours_scratch *s,
                                   const lcf_examples *e, const lcf_example_options *options,
                                   lcf_err *err)
{
    uint32_t k = options->k;
    lcf_status status = LCF_OK;

    if (s->unsettled_n)
        status =
            lcf_examples_search(s->ids, s->scores, e, s->unsettled, s->unsettled_n, options, err);
    for (size_t i = 0; !status && i < s->unsettled_n; i++) {
        memcpy(ids + s->unsettled_at[i] * k, s->ids + i * k, k * sizeof(*ids));
        if (scores)
            memcpy(scores + s->unsettled_at[i] * k, s->scores + i * k, k * sizeof(*scores));
    }
    return status;
}

lcf_status lcf_neighbours_search(uint32_t *ids, float *scores, lcf_neighbours_scratch *scratch,
                                 const lcf_neighbours *nb, const lcf_examples *e,
                                 const uint32_t *items, const lcf_example_query *queries, size_t n,
                                 const lcf_example_options *options, lcf_err *err)
{
    uint32_t k = options->k;

    LCF_ASSERT(n <= scratch->queries_max);
    if (k < 1 || k > LCF_EXAMPLES_K_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "k is %u; 1 to %u examples can be had", k,
                        LCF_EXAMPLES_K_MAX);
    scratch->unsettled_n = options->by == LCF_RETRIEVE_BY_BOTH ? 0 : n;
    if (scratch->unsettled_n) /* the lists hold what the sum of both parts needs */
        return lcf_examples_search(ids, scores, e, queries, n, options, err);
    if (n == 0)
        return LCF_OK;
    find_leaders(scratch, e, queries, options->mode);
    for (size_t i = 0; i < n; i++) {
        lcf_best best[2];
        bool settled = true;
        lcf_best_init(best, options);
        for (unsigned label = 0; settled && label < 2; label++)
            settled = search_label(&best[label], scratch, nb, e, items[i], label, &queries[i],
                                   options->mode);
        if (settled) {
            lcf_best_finish(ids + i * k, scores ? scores + i * k : NULL, best, options);
            continue;
        }
        scratch->unsettled[scratch->unsettled_n] = queries[i];
        scratch->unsettled_at[scratch->unsettled_n++] = (uint32_t)i;
    }
    return search_unsettled(ids, scores, scratch, e, options, err);
}
