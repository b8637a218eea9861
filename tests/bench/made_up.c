/* The made-up data set of the ranker's benchmarks. Invariant: every index is in range. */
#include "tests/bench/made_up.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *made_up_need(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

/* Low ids are popular, as in a real catalogue. */
static uint32_t draw(made_up *w, uint32_t n)
{
    const double u = lcf_rng_f64(&w->rng);

    return 1 + (uint32_t)(u * u * (n - 1));
}

static uint32_t *draw_all(made_up *w, size_t n, uint32_t limit)
{
    uint32_t *out = made_up_need(lcf_alloc(n, sizeof(*out)));

    for (size_t i = 0; i < n; i++)
        out[i] = draw(w, limit);
    return out;
}

/* Mean length 8, up to 20: most users are short. */
static uint32_t draw_length(made_up *w)
{
    const double u = lcf_rng_f64(&w->rng);

    return 1 + (uint32_t)(u * u * 19.0 + u * 2.0) % LCF_HISTORY_MAX;
}

static float *unit_vectors(made_up *w, size_t n, size_t dim)
{
    float *v = made_up_need(lcf_alloc(n * dim, sizeof(*v)));

    for (size_t i = 0; i < n; i++) {
        double square = 0.0;

        for (size_t d = 0; d < dim; d++) {
            v[i * dim + d] = lcf_rng_f32(&w->rng) - 0.5f;
            square += (double)v[i * dim + d] * (double)v[i * dim + d];
        }
        for (size_t d = 0; d < dim; d++)
            v[i * dim + d] /= (float)sqrt(square);
    }
    return v;
}

static void make_catalogue(made_up *w, size_t dim)
{
    uint64_t *offsets = made_up_need(lcf_alloc(MADE_UP_ITEMS + 1, sizeof(*offsets)));

    for (size_t i = 0; i <= MADE_UP_ITEMS; i++)
        offsets[i] = 3 * i;
    w->catalogue.items_n = MADE_UP_ITEMS;
    w->catalogue.item_brand = draw_all(w, MADE_UP_ITEMS, MADE_UP_BRANDS);
    w->catalogue.category_offsets = offsets;
    w->catalogue.item_categories = draw_all(w, 3 * MADE_UP_ITEMS, MADE_UP_CATEGORIES);
    w->vectors =
        (lcf_embeddings){NULL, MADE_UP_ITEMS, dim, unit_vectors(w, MADE_UP_ITEMS, dim), NULL};
}

static void make_examples(made_up *w, size_t dim)
{
    lcf_examples *e = &w->examples;
    lcf_hash128 *keys = made_up_need(lcf_alloc(MADE_UP_EXAMPLES, sizeof(*keys)));
    uint8_t *labels = made_up_need(lcf_alloc(MADE_UP_EXAMPLES, 1));
    uint32_t *lengths = made_up_need(lcf_alloc(MADE_UP_EXAMPLES, sizeof(*lengths)));

    for (size_t i = 0; i < MADE_UP_EXAMPLES; i++) {
        for (size_t j = 0; j < sizeof(keys->bytes); j++)
            keys[i].bytes[j] = (uint8_t)lcf_rng_below(&w->rng, 256);
        labels[i] = i & 1;
        lengths[i] = draw_length(w);
    }
    e->n = MADE_UP_EXAMPLES;
    e->text_dim = e->cot_dim = dim;
    e->key = keys;
    e->label = labels;
    e->user = draw_all(w, MADE_UP_EXAMPLES, MADE_UP_USERS);
    e->item = draw_all(w, MADE_UP_EXAMPLES, MADE_UP_ITEMS);
    e->history = draw_all(w, (size_t)MADE_UP_EXAMPLES * LCF_HISTORY_MAX, MADE_UP_ITEMS);
    e->history_n = lengths;
    e->history_vec = unit_vectors(w, MADE_UP_EXAMPLES, dim);
    e->target_vec = e->history_vec;
    e->cot_vec = unit_vectors(w, MADE_UP_EXAMPLES, dim);
}

static void make_rows(made_up *w)
{
    const size_t n = MADE_UP_ROWS;

    w->row_histories = draw_all(w, n * LCF_HISTORY_MAX, MADE_UP_ITEMS);
    w->row_examples = made_up_need(lcf_alloc(n * MADE_UP_K, sizeof(*w->row_examples)));
    w->rows = made_up_need(lcf_alloc(n, sizeof(*w->rows)));
    w->labels = made_up_need(lcf_alloc(n, sizeof(*w->labels)));
    for (size_t i = 0; i < n * MADE_UP_K; i++)
        w->row_examples[i] = (uint32_t)lcf_rng_below(&w->rng, MADE_UP_EXAMPLES);
    for (size_t i = 0; i < n; i++) {
        w->labels[i] = (float)(i & 1);
        w->rows[i] = (lcf_ranker_row){.history = w->row_histories + i * LCF_HISTORY_MAX,
                                      .examples = w->row_examples + i * MADE_UP_K};
        w->rows[i].user = draw(w, MADE_UP_USERS);
        w->rows[i].item = draw(w, MADE_UP_ITEMS);
        w->rows[i].history_n = draw_length(w);
    }
}

void made_up_init(made_up *w, size_t text_dim)
{
    memset(w, 0, sizeof(*w));
    lcf_rng_seed(&w->rng, 1, 0);
    make_catalogue(w, text_dim);
    make_examples(w, text_dim);
    make_rows(w);
    w->source = (lcf_ranker_source){
        .catalogue = &w->catalogue, .item_vectors = &w->vectors, .examples = &w->examples};
}

lcf_ranker *made_up_ranker(const made_up *w, bool ict)
{
    lcf_ranker_config c = LCF_RANKER_CONFIG_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker *r;

    c.side = ict ? "ict" : "none";
    c.users_n = MADE_UP_USERS;
    c.items_n = MADE_UP_ITEMS;
    c.brands_n = MADE_UP_BRANDS;
    c.categories_n = MADE_UP_CATEGORIES;
    c.text_dim = c.cot_dim = (uint32_t)w->vectors.dim;
    if (lcf_ranker_create(&r, &c, 1, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return r;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double made_up_median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
    return values[n / 2];
}
