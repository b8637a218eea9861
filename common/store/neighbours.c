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
#define ROUNDED_MAX 32767.0f
#define MEMORY_BLOCK_BYTES ((size_t)2 << 20)

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
    lcf_target_groups *targets;
    uint32_t *begin, *members; /* as in lcf_neighbours */
    uint32_t *ids;
    float *products, *bound;
    int16_t *rounded;
    float *scale;
    float *block; /* [BLOCK, targets] */
    float error;  /* how far a product of the block and ours may lie apart */
} lists;

static bool lists_alloc(lists *l)
{
    const size_t n = l->items->n;

    l->begin = lcf_alloc(2 * l->targets->n + 1, sizeof(*l->begin));
    l->members = lcf_alloc(l->e->n + 1, sizeof(*l->members));
    l->ids = lcf_alloc(n, LISTED * sizeof(*l->ids));
    l->products = lcf_alloc(n, LISTED * sizeof(*l->products));
    l->bound = lcf_alloc(n, sizeof(*l->bound));
    l->rounded = lcf_alloc(n, l->items->dim * sizeof(*l->rounded));
    l->scale = lcf_alloc(n, sizeof(*l->scale));
    l->block = lcf_alloc(l->targets->n + l->e->text_dim, BLOCK * sizeof(*l->block));
    return l->begin && l->members && l->ids && l->products && l->bound && l->rounded && l->scale &&
           l->block;
}

static void lists_free(lists *l)
{
    lcf_target_groups_free(l->targets);
    free(l->begin);
    free(l->members);
    free(l->ids);
    free(l->products);
    free(l->bound);
    free(l->rounded);
    free(l->scale);
    free(l->block);
}

/* The members of every target, those of label 0 first. */
static void list_members(lists *l)
{
    const lcf_target_groups *t = l->targets;
    uint32_t at = 0;

    for (size_t g = 0; g < t->n; g++)
        for (unsigned label = 0; label < 2; label++) {
            l->begin[2 * g + label] = at;
            for (size_t i = t->begin[g]; i < t->begin[g + 1]; i++)
                if (l->e->label[t->members[i]] == label)
                    l->members[at++] = t->members[i];
        }
    l->begin[2 * t->n] = at;
}

/* One list from the block's proposals: the products are computed again in the fixed order. */
static void make_list(lists *l, size_t item, const float *products)
{
    const size_t dim = l->e->text_dim;
    const float *t = l->items->vectors + item * dim;
    ranked room[LCF_NEIGHBOURS_N];
    heap h = {room, 0, LISTED};

    for (size_t g = 0; g < l->targets->n; g++)
        heap_add(&h, (ranked){products[g], (uint32_t)g});
    l->bound[item] = -INFINITY;
    if (l->targets->n > h.n) /* then the heap is full: on top is the worst that was taken */
        l->bound[item] = h.list[0].value + l->error;
    for (size_t i = 0; i < h.n; i++)
        h.list[i].value = lcf_example_dot(t, l->targets->vectors + h.list[i].id * dim, dim);
    heap_sort(&h);
    for (size_t i = 0; i < LISTED; i++) {
        l->ids[item * LISTED + i] = i < h.n ? h.list[i].id : LCF_TARGET_NONE;
        l->products[item * LISTED + i] = i < h.n ? h.list[i].value : 0.0f;
    }
}

static void make_lists(lists *l)
{
    const lcf_embeddings *items = l->items;
    const size_t targets_n = l->targets->n;

    /* Rows have norm 1 to 1e-3; the bound of lcf_examples_search for sums of dim products. */
    l->error = 4.0f * (float)(items->dim + 8) * FLT_EPSILON * 1.01f;
    for (size_t begin = 0; begin < items->n; begin += BLOCK) {
        size_t n = items->n - begin < BLOCK ? items->n - begin : BLOCK;
        if (targets_n)
            lcf_linear(l->block, items->vectors + begin * items->dim, l->targets->vectors, NULL, n,
                       items->dim, targets_n);
        for (size_t i = 0; i < n; i++)
            make_list(l, begin + i, l->block + i * targets_n);
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

/* Rounds the items' vectors; the largest distance of one from what became of it. */
static float round_items(lists *l)
{
    const size_t dim = l->items->dim;
    double worst = 0;

    for (size_t i = 0; i < l->items->n; i++) {
        const float *vec = l->items->vectors + i * dim;
        int16_t *rounded = l->rounded + i * dim;
        float largest = 0;
        double square = 0;

        for (size_t d = 0; d < dim; d++)
            largest = fmaxf(largest, fabsf(vec[d]));
        l->scale[i] = largest / ROUNDED_MAX;
        for (size_t d = 0; d < dim; d++) {
            const double scale = l->scale[i];
            double off;

            rounded[d] = scale > 0 ? (int16_t)lrint(vec[d] / scale) : 0;
            off = vec[d] - scale * rounded[d];
            square += off * off;
        }
        worst = square > worst ? square : worst;
    }
    return (float)sqrt(worst) * 1.01f;
}

static lcf_status write_lists(const char *path, const lists *l, float rounding_error, lcf_err *err)
{
    const uint64_t dims[2] = {l->items->n, LISTED}, vectors[2] = {l->items->n, l->items->dim};
    lcf_bundle_writer *w = NULL;
    const uint64_t examples_n = l->e->n;
    const float error = history_error(l);
    lcf_status status = lcf_bundle_create(&w, path, KIND, LCF_NEIGHBOURS_VERSION, err);

    if (status)
        return status;
    status = lcf_bundle_add_1d(w, "examples_n", LCF_U64, 1, &examples_n, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "begin", LCF_U32, 2 * l->targets->n + 1, l->begin, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "members", LCF_U32, l->e->n, l->members, err);
    if (!status)
        status = lcf_bundle_add(w, "ids", LCF_U32, dims, 2, l->ids, err);
    if (!status)
        status = lcf_bundle_add(w, "products", LCF_F32, dims, 2, l->products, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "bound", LCF_F32, l->items->n, l->bound, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "history_error", LCF_F32, 1, &error, err);
    if (!status)
        status = lcf_bundle_add(w, "rounded", LCF_I16, vectors, 2, l->rounded, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "scale", LCF_F32, l->items->n, l->scale, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "rounding_error", LCF_F32, 1, &rounding_error, err);
    if (status) {
        lcf_bundle_abandon(w);
        return status;
    }
    return lcf_bundle_commit(w, err);
}

/* Opening examples does not know how many items there are. */
static lcf_status check_inputs(const lcf_embeddings *items, const lcf_examples *e, lcf_err *err)
{
    if (items->dim != e->text_dim)
        return LCF_FAIL(err, LCF_EINVAL, "item vectors of %zu dimensions, examples of %zu",
                        items->dim, e->text_dim);
    for (size_t x = 0; x < e->n; x++)
        for (size_t i = 0; i < e->history_n[x]; i++)
            if (e->history[x * LCF_HISTORY_MAX + i] >= items->n)
                return LCF_FAIL(err, LCF_EINVAL,
                                "example %zu has item %u in its history, there are vectors of %zu: "
                                "examples and items of different datasets",
                                x, e->history[x * LCF_HISTORY_MAX + i], items->n);
    return LCF_OK;
}

lcf_status lcf_neighbours_save(bool *written, const char *path, const lcf_embeddings *items,
                               const lcf_examples *e, lcf_err *err)
{
    lists l = {.items = items, .e = e};
    size_t pairs;
    lcf_status status = check_inputs(items, e, err);

    *written = false;
    if (!status)
        status = lcf_target_groups_create(&l.targets, e, err);
    if (status)
        return status;
    *written = lcf_mul_size(&pairs, items->n, l.targets->n) && pairs <= LCF_NEIGHBOURS_PAIRS_MAX;
    if (*written && !lists_alloc(&l)) {
        status = LCF_FAIL(err, LCF_ENOMEM, "neighbours of %zu items", items->n);
    } else if (*written) {
        list_members(&l);
        make_lists(&l);
        status = write_lists(path, &l, round_items(&l), err);
    }
    *written = *written && !status;
    lists_free(&l);
    return status;
}

/* ---- opening ---- */

static lcf_status check_members(const lcf_neighbours *nb, const lcf_examples *e, lcf_err *err)
{
    const size_t slots_n = 2 * nb->targets_n;

    if (nb->begin[0] != 0 || nb->begin[slots_n] != e->n)
        return LCF_FAIL(err, LCF_EFORMAT, "begin does not cover the examples");
    for (size_t s = 0; s < slots_n; s++) {
        if (nb->begin[s + 1] < nb->begin[s] || nb->begin[s + 1] > e->n)
            return LCF_FAIL(err, LCF_EFORMAT, "begin[%zu] falls", s + 1);
        for (size_t i = nb->begin[s]; i < nb->begin[s + 1]; i++)
            if (nb->members[i] >= e->n || e->label[nb->members[i]] != s % 2)
                return LCF_FAIL(err, LCF_EFORMAT, "members[%zu] is no example of its label", i);
    }
    return LCF_OK;
}

static lcf_status check_lists(const lcf_neighbours *nb, const lcf_examples *e, lcf_err *err)
{
    for (size_t i = 0; i < nb->items_n * LISTED; i++) {
        if (nb->ids[i] != LCF_TARGET_NONE && nb->ids[i] >= nb->targets_n)
            return LCF_FAIL(err, LCF_EFORMAT, "ids[%zu] is no target", i);
        if (!isfinite(nb->products[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "products[%zu] is not finite", i);
    }
    for (size_t i = 0; i < nb->items_n; i++)
        if (isnan(nb->bound[i]) || nb->bound[i] == INFINITY)
            return LCF_FAIL(err, LCF_EFORMAT, "bound[%zu] is no bound", i);
    for (size_t i = 0; i < nb->items_n; i++)
        if (!(nb->scale[i] >= 0 && nb->scale[i] <= 1.0f))
            return LCF_FAIL(err, LCF_EFORMAT, "scale[%zu] is no scale", i);
    if (!(nb->history_error >= 0))
        return LCF_FAIL(err, LCF_EFORMAT, "history_error is no distance");
    if (!(nb->rounding_error >= 0))
        return LCF_FAIL(err, LCF_EFORMAT, "rounding_error is no distance");
    return check_members(nb, e, err);
}

static lcf_status read_lists(lcf_neighbours *nb, size_t items_n, const lcf_examples *e,
                             lcf_err *err)
{
    uint64_t dims[2] = {items_n, LISTED}, vectors[2] = {items_n, e->text_dim};
    uint64_t rows = items_n, one = 1, slots = 0, examples = e->n;
    const void *examples_n, *begin, *members = NULL, *ids, *products, *bound, *error;
    const void *rounded, *scale, *rounding_error;
    lcf_status status =
        lcf_bundle_get(&examples_n, nb->bundle, "examples_n", LCF_U64, &one, 1, err);

    if (!status && *(const uint64_t *)examples_n != e->n)
        status = LCF_FAIL(err, LCF_EFORMAT, "made for %llu examples, there are %zu",
                          (unsigned long long)*(const uint64_t *)examples_n, e->n);
    if (!status)
        status = lcf_bundle_get(&begin, nb->bundle, "begin", LCF_U32, &slots, 1, err);
    if (!status && slots % 2 == 0)
        status = LCF_FAIL(err, LCF_EFORMAT, "begin has %llu entries", (unsigned long long)slots);
    if (!status && e->n)
        status = lcf_bundle_get(&members, nb->bundle, "members", LCF_U32, &examples, 1, err);
    if (!status)
        status = lcf_bundle_get(&ids, nb->bundle, "ids", LCF_U32, dims, 2, err);
    if (!status)
        status = lcf_bundle_get(&products, nb->bundle, "products", LCF_F32, dims, 2, err);
    if (!status)
        status = lcf_bundle_get(&bound, nb->bundle, "bound", LCF_F32, &rows, 1, err);
    if (!status)
        status = lcf_bundle_get(&error, nb->bundle, "history_error", LCF_F32, &one, 1, err);
    if (!status)
        status = lcf_bundle_get(&rounded, nb->bundle, "rounded", LCF_I16, vectors, 2, err);
    if (!status)
        status = lcf_bundle_get(&scale, nb->bundle, "scale", LCF_F32, &rows, 1, err);
    if (!status)
        status =
            lcf_bundle_get(&rounding_error, nb->bundle, "rounding_error", LCF_F32, &one, 1, err);
    if (status)
        return status;
    nb->items_n = items_n;
    nb->targets_n = (size_t)(slots / 2);
    nb->begin = begin;
    nb->members = members;
    nb->ids = ids;
    nb->products = products;
    nb->bound = bound;
    nb->history_error = *(const float *)error;
    nb->rounded = rounded;
    nb->scale = scale;
    nb->rounding_error = *(const float *)rounding_error;
    return check_lists(nb, e, err);
}

/* The examples by user, each user's in the order of the index: that of time, mostly. NULL: out of
 * memory. */
static uint32_t *examples_by_user(const lcf_examples *e)
{
    uint32_t users_n = 0, at = 0, *begin, *order = lcf_alloc(e->n + 1, sizeof(*order));

    for (size_t x = 0; x < e->n; x++)
        users_n = e->user[x] >= users_n ? e->user[x] + 1 : users_n;
    begin = lcf_alloc_zero((size_t)users_n + 1, sizeof(*begin));
    if (!order || !begin) {
        free(order);
        free(begin);
        return NULL;
    }
    for (size_t x = 0; x < e->n; x++)
        begin[e->user[x]]++;
    for (size_t u = 0; u < users_n; u++) {
        const uint32_t n = begin[u];

        begin[u] = at;
        at += n;
    }
    for (size_t x = 0; x < e->n; x++)
        order[begin[e->user[x]]++] = (uint32_t)x;
    free(begin);
    return order;
}

/* Items of the history that the sequence of n items ends with already. */
static size_t overlap_n(const uint32_t *sequence, size_t n, const uint32_t *history,
                        size_t history_n)
{
    for (size_t k = history_n < n ? history_n : n; k > 0; k--)
        if (!memcmp(sequence + n - k, history, k * sizeof(*history)))
            return k;
    return 0;
}

/* The sequence of all histories; `end` [examples] says where each ends. errors: ENOMEM, also where
 * the sequence would have more items than 32 bits count */
static lcf_status join_histories(uint32_t *end, lcf_neighbours *nb, const lcf_examples *e)
{
    uint32_t *order, *sequence;
    size_t n = 0;

    if (e->n > UINT32_MAX / LCF_HISTORY_MAX)
        return LCF_ENOMEM;
    order = examples_by_user(e);
    sequence = lcf_alloc(e->n * LCF_HISTORY_MAX + 1, sizeof(*sequence));
    for (size_t i = 0; order && sequence && i < e->n; i++) {
        const size_t x = order[i], more = e->history_n[x];
        const uint32_t *history = e->history + x * LCF_HISTORY_MAX;
        const size_t known = overlap_n(sequence, n, history, more);

        memcpy(sequence + n, history + known, (more - known) * sizeof(*history));
        n += more - known;
        end[x] = (uint32_t)n;
    }
    if (order && sequence)
        nb->sequence = lcf_arena_alloc(nb->memory, n + 1, sizeof(*nb->sequence));
    if (nb->sequence)
        memcpy(nb->sequence, sequence, n * sizeof(*sequence));
    nb->sequence_n = n;
    free(order);
    free(sequence);
    return nb->sequence ? LCF_OK : LCF_ENOMEM;
}

/* The examples in places. errors: ENOMEM */
static lcf_status place_examples(lcf_neighbours *nb, const lcf_examples *e)
{
    uint32_t *end = lcf_alloc(e->n + 1, sizeof(*end)), at = 0;
    lcf_status status = end ? join_histories(end, nb, e) : LCF_ENOMEM;

    nb->place_begin = lcf_arena_alloc(nb->memory, 2 * nb->targets_n + 1, sizeof(*nb->place_begin));
    nb->places = lcf_arena_alloc(nb->memory, e->n + 1, sizeof(*nb->places));
    if (!nb->place_begin || !nb->places)
        status = LCF_ENOMEM;
    for (size_t s = 0; !status && s < 2 * nb->targets_n; s++) {
        const size_t slot = 2 * (s % nb->targets_n) + s / nb->targets_n;

        nb->place_begin[s] = at;
        for (size_t i = nb->begin[slot]; i < nb->begin[slot + 1]; i++, at++) {
            const uint32_t x = nb->members[i];

            nb->places[at] = (lcf_neighbours_place){x, end[x] - e->history_n[x], end[x]};
        }
    }
    if (!status)
        nb->place_begin[2 * nb->targets_n] = at;
    free(end);
    return status;
}

_Static_assert(sizeof(lcf_neighbours_head) == LCF_CACHE_LINE, "a head is one line");

/* The heads of the lists. errors: ENOMEM */
static lcf_status copy_heads(lcf_neighbours *nb)
{
    nb->heads = lcf_arena_alloc_zero(nb->memory, nb->items_n, sizeof(*nb->heads));
    for (size_t i = 0; nb->heads && i < nb->items_n; i++) {
        lcf_neighbours_head *head = &nb->heads[i];

        memcpy(head->ids, nb->ids + i * LISTED, sizeof(head->ids));
        memcpy(head->products, nb->products + i * LISTED, sizeof(head->products));
        head->bound = nb->bound[i];
    }
    return nb->heads ? LCF_OK : LCF_ENOMEM;
}

/* What is owned. errors: ENOMEM */
static lcf_status lay_out(lcf_neighbours *nb, const lcf_examples *e)
{
    lcf_status status = lcf_arena_create(&nb->memory, MEMORY_BLOCK_BYTES);

    if (!status)
        status = copy_heads(nb);
    return status ? status : place_examples(nb, e);
}

lcf_status lcf_neighbours_open(lcf_neighbours *out, const char *path, size_t items_n,
                               const lcf_examples *e, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, KIND, LCF_NEIGHBOURS_VERSION, err);
    if (status)
        return status;
    if (lcf_bundle_version(out->bundle) < LCF_NEIGHBOURS_VERSION)
        status = LCF_FAIL(err, LCF_EVERSION, "version %u; publish the snapshot again",
                          lcf_bundle_version(out->bundle));
    else
        status = read_lists(out, items_n, e, err);
    if (!status && lay_out(out, e))
        status = LCF_FAIL(err, LCF_ENOMEM, "places of %zu examples", e->n);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_neighbours_close(out);
    }
    return status;
}

void lcf_neighbours_close(lcf_neighbours *nb)
{
    lcf_arena_free(nb->memory);
    lcf_bundle_close(nb->bundle);
    memset(nb, 0, sizeof(*nb));
}
