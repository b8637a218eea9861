/*
 * Ranker speed on one thread: training samples per second of both arms, and the latency of scoring
 * 100 and 500 candidates of one user. The data is random, of the size of amazon-beauty.
 *
 *     bench_ranker [STEPS]        CSV on stdout: name,value,unit (median over the steps)
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/model/ranker.h"
#include "common/nn/optim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USERS 22364
#define ITEMS 12102
#define BRANDS 2078
#define CATEGORIES 250
#define DIM 256
#define EXAMPLES 26000
#define ROWS 100000
#define BATCH 256
#define WARM_UP 5
#define STEPS_MAX 1000

typedef struct world {
    lcf_catalogue catalogue;
    lcf_embeddings vectors;
    lcf_examples examples;
    lcf_ranker_source source;
    lcf_ranker_row *rows;
    lcf_rng rng;
} world;

static void *need(void *p)
{
    if (!p) {
        fputs("bench_ranker: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

/* Low ids are popular, as in a real catalogue. */
static uint32_t draw(world *w, uint32_t n)
{
    const double u = lcf_rng_f64(&w->rng);

    return 1 + (uint32_t)(u * u * (n - 1));
}

static uint32_t *draw_all(world *w, size_t n, uint32_t limit)
{
    uint32_t *out = need(lcf_alloc(n, sizeof(*out)));

    for (size_t i = 0; i < n; i++)
        out[i] = draw(w, limit);
    return out;
}

/* Mean length 8, up to 20: most users are short. */
static uint32_t draw_length(world *w)
{
    const double u = lcf_rng_f64(&w->rng);

    return 1 + (uint32_t)(u * u * 19.0 + u * 2.0) % LCF_HISTORY_MAX;
}

static float *unit_vectors(world *w, size_t n)
{
    float *v = need(lcf_alloc(n * DIM, sizeof(*v)));

    for (size_t i = 0; i < n; i++) {
        double square = 0.0;

        for (size_t d = 0; d < DIM; d++) {
            v[i * DIM + d] = lcf_rng_f32(&w->rng) - 0.5f;
            square += (double)v[i * DIM + d] * (double)v[i * DIM + d];
        }
        for (size_t d = 0; d < DIM; d++)
            v[i * DIM + d] /= (float)sqrt(square);
    }
    return v;
}

static void make_catalogue(world *w)
{
    uint64_t *offsets = need(lcf_alloc(ITEMS + 1, sizeof(*offsets)));

    for (size_t i = 0; i <= ITEMS; i++)
        offsets[i] = 3 * i;
    w->catalogue.items_n = ITEMS;
    w->catalogue.item_brand = draw_all(w, ITEMS, BRANDS);
    w->catalogue.category_offsets = offsets;
    w->catalogue.item_categories = draw_all(w, 3 * ITEMS, CATEGORIES);
    w->vectors = (lcf_embeddings){NULL, ITEMS, DIM, unit_vectors(w, ITEMS), NULL};
}

static void make_examples(world *w)
{
    lcf_examples *e = &w->examples;
    lcf_hash128 *keys = need(lcf_alloc(EXAMPLES, sizeof(*keys)));
    uint8_t *labels = need(lcf_alloc(EXAMPLES, 1));
    uint32_t *lengths = need(lcf_alloc(EXAMPLES, sizeof(*lengths)));

    for (size_t i = 0; i < EXAMPLES; i++) {
        for (size_t j = 0; j < sizeof(keys->bytes); j++)
            keys[i].bytes[j] = (uint8_t)lcf_rng_below(&w->rng, 256);
        labels[i] = i & 1;
        lengths[i] = draw_length(w);
    }
    e->n = EXAMPLES;
    e->text_dim = e->cot_dim = DIM;
    e->key = keys;
    e->label = labels;
    e->user = draw_all(w, EXAMPLES, USERS);
    e->item = draw_all(w, EXAMPLES, ITEMS);
    e->history = draw_all(w, (size_t)EXAMPLES * LCF_HISTORY_MAX, ITEMS);
    e->history_n = lengths;
    e->history_vec = unit_vectors(w, EXAMPLES);
    e->target_vec = e->history_vec;
    e->cot_vec = unit_vectors(w, EXAMPLES);
}

static void make_rows(world *w)
{
    const uint32_t *history = draw_all(w, (size_t)ROWS * LCF_HISTORY_MAX, ITEMS);
    uint32_t *examples = need(lcf_alloc((size_t)ROWS * 4, sizeof(*examples)));

    w->rows = need(lcf_alloc(ROWS, sizeof(*w->rows)));
    for (size_t i = 0; i < (size_t)ROWS * 4; i++)
        examples[i] = (uint32_t)lcf_rng_below(&w->rng, EXAMPLES);
    for (size_t i = 0; i < ROWS; i++)
        w->rows[i] = (lcf_ranker_row){.user = draw(w, USERS),
                                      .item = draw(w, ITEMS),
                                      .history = history + i * LCF_HISTORY_MAX,
                                      .history_n = draw_length(w),
                                      .examples = examples + 4 * i};
}

static lcf_ranker *make_ranker(bool ict)
{
    lcf_ranker_config c = LCF_RANKER_CONFIG_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker *r;

    c.side = ict ? "ict" : "none";
    c.users_n = USERS;
    c.items_n = ITEMS;
    c.brands_n = BRANDS;
    c.categories_n = CATEGORIES;
    c.text_dim = c.cot_dim = DIM;
    if (lcf_ranker_create(&r, &c, 1, &err)) {
        fprintf(stderr, "bench_ranker: %s\n", err.text);
        exit(1);
    }
    return r;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
    return values[n / 2];
}

static void bench_training(world *w, lcf_ranker *r, lcf_tape *tape, const char *name, size_t steps)
{
    const lcf_adam_options options = {0.9f, 0.999f, 1e-8f, 1e-5f, false};
    double seconds[STEPS_MAX];
    float labels[BATCH];
    lcf_grads grads;
    lcf_adam adam;

    if (lcf_grads_init(&grads, lcf_ranker_params(r), NULL) ||
        lcf_adam_init(&adam, lcf_ranker_params(r), &options, NULL))
        need(NULL);
    for (size_t i = 0; i < BATCH; i++)
        labels[i] = (float)(i & 1);
    for (size_t step = 0; step < steps + WARM_UP; step++) {
        const double start = lcf_clock_s();
        lcf_tensor *logits, *rec, *loss;

        lcf_grads_zero(&grads);
        lcf_tape_reset(tape, true);
        lcf_ranker_forward(&logits, &rec, tape, r, &grads, &w->source,
                           w->rows + step * BATCH % (ROWS - BATCH), BATCH, &w->rng);
        loss = lcf_op_bce_with_logits(tape, logits, labels, NULL, BATCH);
        lcf_tape_backward(tape, rec ? lcf_op_add(tape, loss, rec) : loss);
        lcf_adam_step(&adam, lcf_ranker_params(r), &grads, 1e-3f);
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    printf("train_%s,%.0f,samples/s\n", name, BATCH / median(seconds, steps));
    lcf_grads_dispose(&grads);
    lcf_adam_dispose(&adam);
}

static void bench_scoring(world *w, const lcf_ranker *r, lcf_tape *tape, const char *name,
                          size_t candidates, size_t steps)
{
    lcf_ranker_row rows[500];
    double seconds[STEPS_MAX];
    float scores[500];

    for (size_t i = 0; i < candidates; i++) {
        rows[i] = w->rows[i];
        rows[i].user = w->rows[0].user;
        rows[i].history = w->rows[0].history;
        rows[i].history_n = LCF_HISTORY_MAX;
    }
    for (size_t step = 0; step < steps + WARM_UP; step++) {
        const double start = lcf_clock_s();

        if (lcf_ranker_score(scores, tape, r, &w->source, rows, candidates, NULL))
            need(NULL);
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    printf("score_%s_%zu,%.3f,ms\n", name, candidates, 1e3 * median(seconds, steps));
}

int main(int argc, char **argv)
{
    const size_t steps = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    static world w;
    lcf_tape *tape;

    lcf_cli_start(argc, argv);
    if (!steps || steps > STEPS_MAX) {
        fprintf(stderr, "usage: bench_ranker [STEPS, 1 to %d]\n", STEPS_MAX);
        return 2;
    }
    lcf_flush_denormals();
    lcf_rng_seed(&w.rng, 1, 0);
    make_catalogue(&w);
    make_examples(&w);
    make_rows(&w);
    w.source = (lcf_ranker_source){
        .catalogue = &w.catalogue, .item_vectors = &w.vectors, .examples = &w.examples};
    if (lcf_tape_create(&tape, NULL))
        need(NULL);
    puts("name,value,unit");
    for (int ict = 0; ict < 2; ict++) {
        const char *name = ict ? "din_ict" : "din";
        lcf_ranker *r = make_ranker(ict);

        bench_training(&w, r, tape, name, steps);
        if (lcf_ranker_freeze(r, &w.source, NULL))
            need(NULL);
        bench_scoring(&w, r, tape, name, 100, steps);
        bench_scoring(&w, r, tape, name, 500, steps);
        lcf_ranker_free(r);
    }
    lcf_tape_free(tape);
    return 0;
}
