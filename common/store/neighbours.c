/*
 * Making and opening lists of neighbours.
 *
 * Invariant: the products in the lists have the bits of lcf_example_score.
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

#define BLOCK 32 /* items per matrix product */

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
    l->block = lcf_alloc(l->e->n + l->e->text_dim, BLOCK * sizeof(*l->block));
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

/* The largest distance between the history vector of an example and the mean of its items'
 * vectors. */
static float history_error(const lists *l)
{
    const size_t dim = l->e->text_dim;
    double worst = 0;

    for (size_t x = 0; x < l->e->n; x++) {
        const float *vec = l->e->history_vec + x * dim;
        double square = 0;

        lcf_embeddings_mean(l->block, l->items, l->e->history + x * LCF_HISTORY_MAX,
                            l->e->history_n[x]);
        for (size_t i = 0; i < dim; i++)
            square += ((double)vec[i] - l->block[i]) * ((double)vec[i] - l->block[i]);
        worst = square > worst ? square : worst;
    }
    return (float)sqrt(worst) * 1.01f;
}

static lcf_status write_lists(const char *path, const lists *l, lcf_err *err)
{
    const uint64_t dims[3] = {l->items->n, 2, LISTED};
    lcf_bundle_writer *w = NULL;
    const uint64_t examples_n = l->e->n;
    const float error = history_error(l);
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
    if (!status)
        status = lcf_bundle_add_1d(w, "history_error", LCF_F32, 1, &error, err);
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
    if (!(nb->history_error >= 0))
        return LCF_FAIL(err, LCF_EFORMAT, "history_error is no distance");
    return LCF_OK;
}

static lcf_status read_lists(lcf_neighbours *nb, size_t items_n, const lcf_examples *e,
                             lcf_err *err)
{
    uint64_t dims[3] = {items_n, 2, LISTED}, one = 1;
    const void *examples_n, *ids, *products, *bound, *error;
    lcf_status status =
        lcf_bundle_get(&examples_n, nb->bundle, "examples_n", LCF_U64, &one, 1, err);

    if (!status)
        status = lcf_bundle_get(&ids, nb->bundle, "ids", LCF_U32, dims, 3, err);
    if (!status)
        status = lcf_bundle_get(&products, nb->bundle, "products", LCF_F32, dims, 3, err);
    if (!status)
        status = lcf_bundle_get(&bound, nb->bundle, "bound", LCF_F32, dims, 2, err);
    if (!status && lcf_bundle_version(nb->bundle) >= 2)
        status = lcf_bundle_get(&error, nb->bundle, "history_error", LCF_F32, &one, 1, err);
    if (status)
        return status;
    if (*(const uint64_t *)examples_n != e->n)
        return LCF_FAIL(err, LCF_EFORMAT, "made for %llu examples, there are %zu",
                        (unsigned long long)*(const uint64_t *)examples_n, e->n);
    nb->items_n = items_n;
    nb->ids = ids;
    nb->products = products;
    nb->bound = bound;
    nb->history_error = lcf_bundle_version(nb->bundle) >= 2 ? *(const float *)error : INFINITY;
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
