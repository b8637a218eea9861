/*
 * Parameters, gradients, learning rates, and checkpoints: what is loaded is what was saved, to the
 * bit, and what does not fit is refused before anything is changed. (Adam's arithmetic is held to
 * PyTorch in tests/parity.)
 */
#include "common/base/mem.h"
#include "common/nn/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH "nn_checkpoint.lcf"

/* Two parameters; the second is [rows, 5]. */
static lcf_status params_make(lcf_params *p, size_t rows)
{
    const size_t a[1] = {7}, b[2] = {rows, 5};
    lcf_status status;

    lcf_params_init(p);
    status = lcf_params_add(NULL, p, "first", a, 1, false, NULL);
    if (!status)
        status = lcf_params_add(NULL, p, "layer.second", b, 2, true, NULL);
    if (!status)
        status = lcf_params_seal(p, NULL);
    if (status)
        lcf_params_dispose(p);
    return status;
}

static void params_of(lcf_params *p, size_t rows, uint64_t seed)
{
    assert_int_equal(params_make(p, rows), LCF_OK);
    lcf_params_fill(p, 0, LCF_INIT_NORMAL, 1.0f, seed);
    lcf_params_fill(p, 1, LCF_INIT_UNIFORM, 0.5f, seed);
}

static void adam_of(lcf_adam *a, const lcf_params *p)
{
    lcf_adam_options options = LCF_ADAM_OPTIONS_INIT;

    options.weight_decay = 0.01f;
    assert_int_equal(lcf_adam_init(a, p, &options, NULL), LCF_OK);
}

static void test_params(void **state)
{
    float bound = sqrtf(6.0f / 8.0f);
    lcf_params p, same, other;
    float *second;
    size_t i;

    (void)state;
    params_of(&p, 3, 1);
    params_of(&same, 3, 1);
    params_of(&other, 3, 2);
    assert_int_equal(p.list_n, 2);
    assert_int_equal(p.list[1].offset % 16, 0);
    assert_int_equal(p.values_n, 32);
    assert_int_equal((uintptr_t)p.values % 64, 0);
    assert_int_equal(lcf_params_find(&p, "layer.second"), 1);
    assert_int_equal(lcf_params_find(&p, "third"), (size_t)-1);
    assert_memory_equal(p.values, same.values, 32 * sizeof(float));
    assert_memory_not_equal(p.values, other.values, 7 * sizeof(float));
    for (i = 7; i < 16; i++)
        assert_true(p.values[i] == 0.0f); /* the gap */
    second = lcf_params_value(&p, 1);
    lcf_params_fill(&p, 1, LCF_INIT_XAVIER_UNIFORM, 0.0f, 1);
    for (i = 0; i < 15; i++)
        assert_true(fabsf(second[i]) <= bound && second[i] != 0.0f);
    lcf_params_fill(&p, 1, LCF_INIT_ZERO, 0.0f, 1);
    assert_true(second[0] == 0.0f && second[14] == 0.0f);
    lcf_params_dispose(&p);
    lcf_params_dispose(&same);
    lcf_params_dispose(&other);
}

static void test_params_too_large(void **state)
{
    const size_t dims[3] = {SIZE_MAX / 2, 3, 5};
    lcf_params p;

    (void)state;
    lcf_params_init(&p);
    assert_int_equal(lcf_params_add(NULL, &p, "vast", dims, 3, false, NULL), LCF_ELIMIT);
    lcf_params_dispose(&p);
}

static void test_grads(void **state)
{
    lcf_params p;
    lcf_grads a, b;

    (void)state;
    params_of(&p, 3, 1);
    assert_int_equal(lcf_grads_init(&a, &p, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&b, &p, NULL), LCF_OK);
    assert_true(lcf_grads_norm(&a) == 0.0);
    a.values[0] = 3.0f;
    b.values[17] = -4.0f;
    lcf_grads_add(&a, &b);
    assert_true(fabs(lcf_grads_norm(&a) - 5.0) < 1e-12);
    assert_true(a.values[0] == 3.0f && a.values[17] == -4.0f);
    a.values[1] = NAN;
    assert_false(isfinite(lcf_grads_norm(&a)));
    lcf_grads_zero(&a);
    assert_true(lcf_grads_norm(&a) == 0.0);
    lcf_grads_dispose(&a);
    lcf_grads_dispose(&b);
    lcf_params_dispose(&p);
}

static void test_learning_rate(void **state)
{
    (void)state;
    assert_true(lcf_lr_at(LCF_LR_COSINE, 2.0f, 0.1f, 0, 4, 24) == 0.5f);
    assert_true(lcf_lr_at(LCF_LR_COSINE, 2.0f, 0.1f, 3, 4, 24) == 2.0f);
    assert_true(lcf_lr_at(LCF_LR_COSINE, 2.0f, 0.1f, 4, 4, 24) == 2.0f);
    assert_true(fabsf(lcf_lr_at(LCF_LR_COSINE, 2.0f, 0.1f, 14, 4, 24) - 1.1f) <
                1e-6f); /* half way */
    assert_true(fabsf(lcf_lr_at(LCF_LR_COSINE, 2.0f, 0.1f, 24, 4, 24) - 0.2f) < 1e-6f);
    assert_true(fabsf(lcf_lr_at(LCF_LR_COSINE, 2.0f, 0.1f, 999, 4, 24) - 0.2f) < 1e-6f);
    assert_true(lcf_lr_at(LCF_LR_COSINE, 2.0f, 0.0f, 0, 0, 10) == 2.0f);
}

/* Values and moments that training could have left. */
static void train_some(lcf_params *p, lcf_adam *a, size_t steps)
{
    lcf_grads g;
    size_t i;

    assert_int_equal(lcf_grads_init(&g, p, NULL), LCF_OK);
    while (steps-- > 0) {
        for (i = 0; i < p->values_n; i++)
            g.values[i] = p->values[i] * (float)(1 + i % 5);
        lcf_adam_step(a, p, &g, 0.1f);
    }
    lcf_grads_dispose(&g);
}

static void test_step_in_ranges(void **state)
{
    lcf_params p, q;
    lcf_adam a, b;
    lcf_grads g;
    size_t i;

    (void)state;
    params_of(&p, 9, 1);
    params_of(&q, 9, 1);
    adam_of(&a, &p);
    adam_of(&b, &q);
    assert_int_equal(lcf_grads_init(&g, &p, NULL), LCF_OK);
    for (i = 0; i < p.values_n; i++)
        g.values[i] = p.values[i];
    lcf_adam_step(&a, &p, &g, 0.1f);
    for (i = 0; i < g.values_n; i++)
        g.values[i] *= 2.0f;
    lcf_adam_step_range(&b, &q, &g, 0.1f, 0.5f, 0, 11);
    lcf_adam_step_range(&b, &q, &g, 0.1f, 0.5f, 11, 40);
    lcf_adam_step_range(&b, &q, &g, 0.1f, 0.5f, 40, q.values_n);
    lcf_adam_advance(&b);
    for (i = 0; i < p.values_n; i++)
        assert_true(fabsf(p.values[i] - q.values[i]) <= 1e-7f);
    assert_int_equal(a.step, b.step);
    lcf_grads_dispose(&g);
    lcf_adam_dispose(&a);
    lcf_adam_dispose(&b);
    lcf_params_dispose(&p);
    lcf_params_dispose(&q);
}

/* A parameter's rate scales its steps alone; Adam's first step is the learning rate itself. */
static void test_rate(void **state)
{
    lcf_params p, before;
    lcf_adam a;
    lcf_grads g;

    (void)state;
    params_of(&p, 3, 1);
    params_of(&before, 3, 1);
    p.list[1].rate = 0.25f;
    adam_of(&a, &p);
    a.options.weight_decay = 0.0f;
    assert_int_equal(lcf_grads_init(&g, &p, NULL), LCF_OK);
    for (size_t i = 0; i < p.values_n; i++)
        g.values[i] = 1.0f;
    lcf_adam_step(&a, &p, &g, 0.1f);
    for (size_t k = 0; k < p.list_n; k++)
        for (size_t i = 0; i < p.list[k].n; i++)
            assert_true(fabsf(lcf_params_value(&before, k)[i] - lcf_params_value(&p, k)[i] -
                              (k ? 0.025f : 0.1f)) < 1e-5f);
    lcf_grads_dispose(&g);
    lcf_adam_dispose(&a);
    lcf_params_dispose(&p);
    lcf_params_dispose(&before);
}

/* Against the definition in double; while the window grows, and in parts. */
static void test_ema(void **state)
{
    double mean = 0.0;
    lcf_params p;
    lcf_ema e;

    (void)state;
    params_of(&p, 3, 1);
    assert_int_equal(lcf_ema_init(&e, &p, 0.5f, NULL), LCF_OK);
    for (uint64_t step = 1; step <= 20; step++) {
        const double ramp = (double)(step + 1) / (double)(step + 10), decay = fmin(ramp, 0.5);

        lcf_params_value(&p, 1)[14] = (float)(step * step);
        mean = decay * mean + (1.0 - decay) * (double)(step * step);
        lcf_ema_step_range(&e, &p, step, 0, 17);
        lcf_ema_step_range(&e, &p, step, 17, p.values_n);
        assert_true(fabs(e.values[p.list[1].offset + 14] - mean) < 1e-4 * mean);
    }
    assert_true(e.values[0] != 0.0f && fabsf(e.values[0] - p.values[0]) < 1e-5f);
    lcf_ema_dispose(&e);
    lcf_params_dispose(&p);
}

#define ROWS 11
#define WIDTH 3

/* A table, a vector, and a table that nobody looks up. */
static void tables_of(lcf_params *p)
{
    const size_t dims[3][2] = {{ROWS, WIDTH}, {5, 1}, {4, WIDTH}};

    lcf_params_init(p);
    for (size_t i = 0; i < 3; i++) {
        const char name[2] = {(char)('a' + i), 0};

        assert_int_equal(lcf_params_add(NULL, p, name, dims[i], i == 1 ? 1 : 2, i != 1, NULL),
                         LCF_OK);
        p->list[i].table = i != 1;
    }
    assert_int_equal(lcf_params_seal(p, NULL), LCF_OK);
    for (size_t i = 0; i < 3; i++)
        lcf_params_fill(p, i, LCF_INIT_NORMAL, 1.0f, 3);
}

/* A loss that looks up rows 2, 7, 2 and the means of {7, 9} and {}, and uses the vector. */
static void add_gradients(lcf_params *p, lcf_grads *g)
{
    static const uint32_t ids[] = {2, 7, 2}, mean_ids[] = {7, 9}, offsets[] = {0, 2, 2};
    const size_t flat[1] = {15}, row[2] = {1, 15};
    float weights[15];
    lcf_tensor *parts[2], *all, *table, *loss;
    lcf_tape *t;

    for (size_t i = 0; i < 15; i++)
        weights[i] = (float)i * 0.25f - 1.0f;
    assert_int_equal(lcf_tape_create(&t, NULL), LCF_OK);
    lcf_tape_reset(t, true);
    table = lcf_tape_param(t, p, g, 0);
    parts[0] = lcf_op_reshape(t, lcf_op_gather(t, table, ids, 3), (const size_t[]){1, 9}, 2);
    parts[1] = lcf_op_reshape(t, lcf_op_gather_mean(t, table, mean_ids, offsets, 2),
                              (const size_t[]){1, 6}, 2);
    all = lcf_op_reshape(t, lcf_op_concat(t, parts, 2), flat, 1);
    all = lcf_op_mul(t, all, lcf_tape_input(t, weights, flat, 1));
    parts[0] = lcf_op_reshape(t, all, row, 2);
    parts[1] = lcf_op_reshape(t, lcf_tape_param(t, p, g, 1), (const size_t[]){1, 5}, 2);
    all = lcf_op_concat(t, parts, 2);
    loss = lcf_op_bce_with_logits(t, lcf_op_reshape(t, all, (const size_t[]){20}, 1),
                                  (const float[20]){1, 0, 1}, NULL, 20.0f);
    lcf_tape_backward(t, loss);
    assert_int_equal(lcf_tape_status(t), LCF_OK);
    lcf_tape_free(t);
}

/* Gradients by rows say the same as dense ones, and so do sums, norms and scaling of them. */
static void test_grads_by_rows(void **state)
{
    lcf_params p;
    lcf_grads dense, rows, more;
    float *at;

    (void)state;
    tables_of(&p);
    assert_int_equal(lcf_grads_init(&dense, &p, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init_by_rows(&rows, &p, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init_by_rows(&more, &p, NULL), LCF_OK);
    add_gradients(&p, &dense);
    add_gradients(&p, &rows);
    add_gradients(&p, &more);
    assert_int_equal(rows.tables[0].n, 3);
    assert_int_equal(rows.tables[2].n, 0);
    assert_true(fabs(lcf_grads_norm(&dense) - lcf_grads_norm(&rows)) < 1e-7);
    at = lcf_row_grads_at(&more.tables[0], 4);
    at[1] = 3.0f;
    assert_int_equal(lcf_grads_add(&rows, &more), LCF_OK);
    for (size_t i = 0; i < dense.values_n; i++)
        dense.values[i] *= 2.0f;
    dense.values[4 * WIDTH + 1] = 3.0f;
    assert_int_equal(rows.tables[0].n, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_memory_equal(rows.tables[0].values + i * WIDTH,
                            dense.values + rows.tables[0].row[i] * WIDTH, WIDTH * sizeof(float));
    assert_memory_equal(rows.values + p.list[1].offset, dense.values + p.list[1].offset,
                        5 * sizeof(float));
    lcf_grads_zero(&rows);
    assert_true(rows.tables[0].n == 0 && lcf_grads_norm(&rows) == 0.0);
    lcf_grads_dispose(&dense);
    lcf_grads_dispose(&rows);
    lcf_grads_dispose(&more);
    lcf_params_dispose(&p);
}

/* Steps from gradients by rows: the bits of dense steps; sparse ones leave other rows alone. */
static void check_steps_by_rows(bool decoupled, bool sparse)
{
    const lcf_adam_options options = {0.9f, 0.999f, 1e-8f, 0.01f, decoupled, sparse};
    lcf_params p, q, before;
    lcf_adam a, b;
    lcf_grads dense, rows;

    tables_of(&p);
    tables_of(&q);
    tables_of(&before);
    assert_int_equal(lcf_adam_init(&a, &p, &options, NULL), LCF_OK);
    assert_int_equal(lcf_adam_init(&b, &q, &options, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&dense, &p, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init_by_rows(&rows, &q, NULL), LCF_OK);
    for (int step = 0; step < 4; step++) {
        lcf_grads_zero(&dense);
        lcf_grads_zero(&rows);
        add_gradients(&p, &dense);
        add_gradients(&q, &rows);
        lcf_adam_step(&a, &p, &dense, 0.1f);
        lcf_adam_step_range(&b, &q, &rows, 0.1f, 1.0f, 0, 16); /* cuts a row */
        lcf_adam_step_range(&b, &q, &rows, 0.1f, 1.0f, 16, q.values_n);
        lcf_adam_advance(&b);
    }
    if (sparse) {
        assert_memory_equal(q.values + 3 * WIDTH, before.values + 3 * WIDTH,
                            4 * WIDTH * sizeof(float));
        assert_memory_equal(q.values + p.list[2].offset, before.values + p.list[2].offset,
                            4 * WIDTH * sizeof(float));
        for (size_t i = 0; i < WIDTH; i++)
            assert_true(q.values[2 * WIDTH + i] == p.values[2 * WIDTH + i]);
    } else {
        assert_memory_equal(q.values, p.values, p.values_n * sizeof(float));
        assert_memory_equal(b.m, a.m, p.values_n * sizeof(float));
        assert_memory_equal(b.v, a.v, p.values_n * sizeof(float));
    }
    lcf_grads_dispose(&dense);
    lcf_grads_dispose(&rows);
    lcf_adam_dispose(&a);
    lcf_adam_dispose(&b);
    lcf_params_dispose(&p);
    lcf_params_dispose(&q);
    lcf_params_dispose(&before);
}

static void test_steps_by_rows(void **state)
{
    (void)state;
    check_steps_by_rows(false, false);
    check_steps_by_rows(true, false);
    check_steps_by_rows(false, true);
}

static lcf_status save(const lcf_params *p, const lcf_adam *a)
{
    lcf_bundle_writer *w;
    lcf_status status = lcf_bundle_create(&w, PATH, "test", 1, NULL);

    if (status)
        return status;
    status = lcf_checkpoint_add(w, p, a, NULL);
    if (!status)
        return lcf_bundle_commit(w, NULL);
    lcf_bundle_abandon(w);
    return status;
}

static lcf_status load(lcf_params *p, lcf_adam *a, lcf_err *err)
{
    lcf_bundle *bundle;
    lcf_status status = lcf_bundle_open(&bundle, PATH, "test", 1, err);

    if (status)
        return status;
    status = lcf_checkpoint_get(p, a, bundle, err);
    lcf_bundle_close(bundle);
    return status;
}

static void test_checkpoint(void **state)
{
    lcf_params p, q;
    lcf_adam a, b;

    (void)state;
    params_of(&p, 3, 1);
    params_of(&q, 3, 2);
    adam_of(&a, &p);
    adam_of(&b, &q);
    train_some(&p, &a, 3);
    assert_int_equal(save(&p, &a), LCF_OK);
    assert_int_equal(load(&q, &b, NULL), LCF_OK);
    assert_int_equal(b.step, 3);
    train_some(&p, &a, 2);
    train_some(&q, &b, 2);
    assert_memory_equal(p.values, q.values, p.values_n * sizeof(float));
    assert_memory_equal(a.m, b.m, p.values_n * sizeof(float));
    assert_memory_equal(a.v, b.v, p.values_n * sizeof(float));
    unlink(PATH);
    lcf_adam_dispose(&a);
    lcf_adam_dispose(&b);
    lcf_params_dispose(&p);
    lcf_params_dispose(&q);
}

static void test_checkpoint_of_another_shape(void **state)
{
    lcf_params p, q, before;
    lcf_err err = LCF_ERR_INIT;
    lcf_adam a, b;

    (void)state;
    params_of(&p, 3, 1);
    params_of(&q, 4, 2);
    params_of(&before, 4, 2);
    adam_of(&a, &p);
    adam_of(&b, &q);
    assert_int_equal(save(&p, NULL), LCF_OK);
    assert_int_equal(load(&q, NULL, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "layer.second"));
    assert_memory_equal(q.values, before.values, q.values_n * sizeof(float)); /* nothing changed */
    assert_int_equal(load(&p, &a, &err), LCF_EFORMAT); /* no optimizer in it */
    assert_non_null(strstr(err.text, "adam.m"));
    unlink(PATH);
    lcf_adam_dispose(&a);
    lcf_adam_dispose(&b);
    lcf_params_dispose(&p);
    lcf_params_dispose(&q);
    lcf_params_dispose(&before);
}

/* The n-th allocation fails in everything up to a saved checkpoint: a whole file or none. */
static void test_allocation_failures(void **state)
{
    lcf_adam_options options = LCF_ADAM_OPTIONS_INIT;
    uint64_t n;

    (void)state;
    for (n = 1;; n++) {
        lcf_params p;
        lcf_grads g = {0};
        lcf_adam a = {0};
        lcf_status status;

        lcf_alloc_fail_at(n);
        status = params_make(&p, 3);
        if (!status)
            status = lcf_grads_init(&g, &p, NULL);
        if (!status)
            status = lcf_adam_init(&a, &p, &options, NULL);
        if (!status)
            status = save(&p, &a);
        lcf_alloc_fail_at(0);
        if (access(PATH, F_OK) == 0) { /* complete, even where the failure came after it */
            assert_int_equal(load(&p, &a, NULL), LCF_OK);
            unlink(PATH);
        }
        lcf_params_dispose(&p);
        lcf_grads_dispose(&g);
        lcf_adam_dispose(&a);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_params_too_large),
        cmocka_unit_test(test_grads),
        cmocka_unit_test(test_grads_by_rows),
        cmocka_unit_test(test_steps_by_rows),
        cmocka_unit_test(test_learning_rate),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_ema),
        cmocka_unit_test(test_step_in_ranges),
        cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_checkpoint_of_another_shape),
        cmocka_unit_test(test_allocation_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
