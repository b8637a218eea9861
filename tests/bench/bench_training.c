/*
 * Training speed of DIN and DIN + ICT in f32 and bf16: samples per second on one thread and on two,
 * the multiply-adds that a sample needs, and what share of the time these would take at sgemm's
 * speed. Data of
 * the size of amazon-beauty (tests/bench/made_up.h), batch 256, text vectors of 128 dimensions.
 *
 *     bench_training [STEPS]              CSV on stdout: name,value,unit (medians over the steps)
 *     bench_training [STEPS] EXPORT_DIR   also writes what twin_training.py trains on: world.lcf,
 *                                         din.lcf and ict.lcf (initial weights)
 */
#include "tests/bench/made_up.h"

#include "common/base/bundle.h"
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "common/math/kernels.h"
#include "offline/train/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256
#define TEXT_DIM 128
#define WARM_UP 5
#define STEPS_MAX 1000
#define SGEMM_N 768

static void fail(const lcf_err *err)
{
    fprintf(stderr, "bench_training: %s\n", err->text);
    exit(1);
}

/* ---- the floor ---- */

/* What a batch computes, each thing once. */
typedef struct counts {
    double rows, pairs, examples, texts, histories;
} counts;

/* Ids that occur among n values below `limit`. */
static double distinct(const uint32_t *values, size_t n, size_t limit)
{
    uint8_t *seen = made_up_need(lcf_alloc_zero(limit, 1));
    double found = 0.0;

    for (size_t i = 0; i < n; i++) {
        found += !seen[values[i]];
        seen[values[i]] = 1;
    }
    free(seen);
    return found;
}

static counts count_batch(const made_up *w, const lcf_ranker_row *rows, bool ict)
{
    uint32_t examples[BATCH * MADE_UP_K], items[BATCH * (MADE_UP_K + 1)];
    counts c = {.rows = BATCH};

    for (size_t i = 0; i < BATCH; i++) {
        c.pairs += rows[i].history_n;
        items[i] = rows[i].item;
        for (size_t j = 0; j < MADE_UP_K; j++) {
            examples[i * MADE_UP_K + j] = rows[i].examples[j];
            items[BATCH + i * MADE_UP_K + j] = w->examples.item[rows[i].examples[j]];
        }
    }
    if (!ict)
        return c;
    c.examples = distinct(examples, BATCH * MADE_UP_K, MADE_UP_EXAMPLES);
    c.histories = BATCH + c.examples;
    c.texts = distinct(items, BATCH * (MADE_UP_K + 1), MADE_UP_ITEMS) + c.histories + c.examples;
    return c;
}

/*
 * Multiply-adds of forward and backward, per sample. A layer costs three times its product (the
 * result, the gradients of its input and of its weights), twice where the input is data. The first
 * layer of DIN's attention is counted as it separates: a part of the target, one of the history
 * entry, one of their product. Tables, norms, softmax and the optimizer are not counted.
 */
static double multiply_adds(const lcf_ranker_config *c, const counts *n, bool ict)
{
    const double d = c->dim, item = 3 * d, tokens = 3 * MADE_UP_K + 1, wanted = MADE_UP_K + 1;
    const double text = c->text_dim, hidden = c->text_hidden,
                 features = d + 2 * item + (ict ? d : 0);
    double sum = 0.0, layer;

    sum += 3 * n->rows * item * c->att_hidden[0] + 6 * n->pairs * item * c->att_hidden[0];
    sum += 3 * n->pairs * (c->att_hidden[0] + 1.0) * c->att_hidden[1];
    sum += 6 * n->pairs * item / 2; /* the weighted sum of the history */
    sum += 3 * n->rows *
           (features * c->head_hidden[0] + (double)c->head_hidden[0] * c->head_hidden[1] +
            c->head_hidden[1]);
    if (!ict)
        return sum / n->rows;
    sum += n->texts * (2 * text * hidden + 3 * hidden * d);
    sum += 3 * (n->rows + n->examples) * (9 * d * c->x_hidden + c->x_hidden * d);
    layer = tokens * tokens * d; /* causal attention, scores and values */
    sum += 3 * n->rows * c->layers_n * (layer + tokens * 3 * d * d);
    layer = d * d + 3 * d * c->ffn_hidden;
    sum += 3 * n->rows * layer * ((c->layers_n - 1) * tokens + wanted);
    sum += 3 * n->rows * MADE_UP_K * (d * hidden + hidden * c->cot_dim);
    return sum / n->rows;
}

/* Multiply-adds per second of a square product, the best of a few. */
static double sgemm_ceiling(void)
{
    const size_t n = SGEMM_N;
    float *a = made_up_need(lcf_alloc_zero(n * n, sizeof(*a)));
    float *b = made_up_need(lcf_alloc_zero(n * n, sizeof(*b)));
    float *c = made_up_need(lcf_alloc_zero(n * n, sizeof(*c)));
    double best = 1e30;

    for (int i = 0; i < 12; i++) {
        const double start = lcf_clock_s();
        double seconds;

        lcf_gemm(c, a, b, false, false, n, n, n, 1.0f, 0.0f, n, n, n);
        seconds = lcf_clock_s() - start;
        best = seconds < best ? seconds : best;
    }
    free(a);
    free(b);
    free(c);
    return (double)n * (double)n * (double)n / best;
}

/* ---- training ---- */

static const lcf_ranker_row *batch_rows(const made_up *w, size_t step)
{
    return w->rows + step * BATCH % (MADE_UP_ROWS - BATCH);
}

/* Samples per second. */
static double measure(const made_up *w, bool ict, lcf_precision precision, size_t threads,
                      size_t steps)
{
    const train_step_options options = {.adam = {0.9f, 0.999f, 1e-8f, 1e-5f, false, false},
                                        .side_weight = 1.0f,
                                        .seed = 1,
                                        .precision = precision,
                                        .threads = threads};
    lcf_ranker *r = made_up_ranker(w, ict);
    lcf_err err = LCF_ERR_INIT;
    double seconds[STEPS_MAX];
    train_step *s;

    if (train_step_create(&s, r, &w->source, &options, &err))
        fail(&err);
    for (size_t step = 0; step < steps + WARM_UP; step++) {
        const lcf_ranker_row *rows = batch_rows(w, step);
        const double start = lcf_clock_s();
        double loss, side_loss;

        if (train_step_run(&loss, &side_loss, s, rows, w->labels + (rows - w->rows), NULL, BATCH,
                           1e-3f))
            made_up_need(NULL);
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    train_step_free(s);
    lcf_ranker_free(r);
    return BATCH / made_up_median(seconds, steps);
}

static void bench_precision(const made_up *w, bool ict, lcf_precision precision, double floor,
                            size_t steps)
{
    const char *name = ict ? "din_ict" : "din";
    const char *suffix = precision == LCF_PRECISION_BF16 ? "_bf16" : "";
    const double one = measure(w, ict, precision, 1, steps);
    const double two = measure(w, ict, precision, 2, steps);

    printf("train_%s%s,%.0f,samples/s\n", name, suffix, one);
    printf("train_%s%s_2_threads,%.0f,samples/s\n", name, suffix, two);
    printf("train_%s%s_2_threads_gain,%.2f,times\n", name, suffix, two / one);
    printf("train_%s%s_of_sgemm_floor,%.1f,%%\n", name, suffix, 100.0 * one / floor);
    fflush(stdout);
}

static void bench_arm(const made_up *w, bool ict, double ceiling, size_t steps)
{
    const char *name = ict ? "din_ict" : "din";
    lcf_ranker *r = made_up_ranker(w, ict);
    double needed = 0.0;

    for (size_t step = WARM_UP; step < WARM_UP + steps; step++) {
        const counts n = count_batch(w, batch_rows(w, step), ict);

        needed += multiply_adds(lcf_ranker_config_of(r), &n, ict) / (double)steps;
    }
    lcf_ranker_free(r);
    printf("train_%s_multiply_adds,%.0f,per sample\n", name, needed);
    bench_precision(w, ict, LCF_PRECISION_F32, ceiling / needed, steps);
    if (lcf_bf16_fast())
        bench_precision(w, ict, LCF_PRECISION_BF16, ceiling / needed, steps);
}

/* ---- for the twin ---- */

typedef struct exporter {
    lcf_bundle_writer *w;
    lcf_err err;
} exporter;

static void put(exporter *e, const char *name, lcf_dtype dtype, size_t rows, size_t cols,
                const void *data)
{
    const uint64_t dims[2] = {rows, cols};

    if (lcf_bundle_add(e->w, name, dtype, dims, cols ? 2 : 1, data, &e->err))
        fail(&e->err);
}

/* What the model says of the first batch, for the twin to compare. */
static void put_scores(exporter *e, const char *name, const made_up *w, bool ict)
{
    lcf_ranker *r = made_up_ranker(w, ict);
    float scores[BATCH];
    lcf_tape *tape;

    if (lcf_tape_create(&tape, &e->err) ||
        lcf_ranker_score(scores, tape, r, &w->source, w->rows, BATCH, &e->err))
        fail(&e->err);
    put(e, name, LCF_F32, BATCH, 0, scores);
    lcf_tape_free(tape);
    lcf_ranker_free(r);
}

static void export_world(const made_up *w, const char *path)
{
    const lcf_examples *x = &w->examples;
    uint32_t *column = made_up_need(lcf_alloc(3 * (size_t)MADE_UP_ROWS, sizeof(*column)));
    exporter e = {NULL, LCF_ERR_INIT};

    for (size_t i = 0; i < MADE_UP_ROWS; i++) {
        column[i] = w->rows[i].user;
        column[MADE_UP_ROWS + i] = w->rows[i].item;
        column[2 * MADE_UP_ROWS + i] = w->rows[i].history_n;
    }
    if (lcf_bundle_create(&e.w, path, "bench", 1, &e.err))
        fail(&e.err);
    put(&e, "row", LCF_U32, 3, MADE_UP_ROWS, column);
    put(&e, "row.label", LCF_F32, MADE_UP_ROWS, 0, w->labels);
    put(&e, "row.history", LCF_U32, MADE_UP_ROWS, LCF_HISTORY_MAX, w->row_histories);
    put(&e, "row.examples", LCF_U32, MADE_UP_ROWS, MADE_UP_K, w->row_examples);
    put(&e, "item.brand", LCF_U32, MADE_UP_ITEMS, 0, w->catalogue.item_brand);
    put(&e, "item.categories", LCF_U32, MADE_UP_ITEMS, 3, w->catalogue.item_categories);
    put(&e, "item.vector", LCF_F32, MADE_UP_ITEMS, TEXT_DIM, w->vectors.vectors);
    put(&e, "example.key", LCF_U8, x->n, sizeof(x->key->bytes), x->key);
    put(&e, "example.user", LCF_U32, x->n, 0, x->user);
    put(&e, "example.item", LCF_U32, x->n, 0, x->item);
    put(&e, "example.label", LCF_U8, x->n, 0, x->label);
    put(&e, "example.history", LCF_U32, x->n, LCF_HISTORY_MAX, x->history);
    put(&e, "example.history_n", LCF_U32, x->n, 0, x->history_n);
    put(&e, "example.history_vector", LCF_F32, x->n, TEXT_DIM, x->history_vec);
    put(&e, "example.cot_vector", LCF_F32, x->n, TEXT_DIM, x->cot_vec);
    put_scores(&e, "din.scores", w, false);
    put_scores(&e, "din_ict.scores", w, true);
    if (lcf_bundle_commit(e.w, &e.err))
        fail(&e.err);
    free(column);
}

static void export_all(const made_up *w, const char *dir)
{
    lcf_err err = LCF_ERR_INIT;

    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"din.lcf", "ict.lcf", "world.lcf"};
        lcf_buf path = LCF_BUF_INIT;

        lcf_buf_printf(&path, "%s/%s", dir, names[i]);
        if (i == 2) {
            export_world(w, lcf_buf_text(&path));
        } else {
            lcf_ranker *r = made_up_ranker(w, i == 1);

            if (lcf_ranker_save(r, lcf_buf_text(&path), &err))
                fail(&err);
            lcf_ranker_free(r);
        }
        lcf_buf_dispose(&path);
    }
}

int main(int argc, char **argv)
{
    const size_t steps = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    double ceiling;
    made_up w;

    lcf_cli_start(argc, argv);
    if (!steps || steps > STEPS_MAX || argc > 3) {
        fprintf(stderr, "usage: bench_training [STEPS, 1 to %d [EXPORT_DIR]]\n", STEPS_MAX);
        return 2;
    }
    lcf_flush_denormals();
    made_up_init(&w, TEXT_DIM);
    if (argc > 2)
        export_all(&w, argv[2]);
    puts("name,value,unit");
    ceiling = sgemm_ceiling();
    printf("sgemm_%d_ceiling,%.1f,GFLOP/s\n", SGEMM_N, 2e-9 * ceiling);
    for (int ict = 0; ict < 2; ict++)
        bench_arm(&w, ict, ceiling, steps);
    return 0;
}
