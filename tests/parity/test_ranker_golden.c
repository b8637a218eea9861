/*
 * The ranker against an independent PyTorch statement of it (make_ranker_golden.py, float64):
 * logits, losses, every gradient, and three Adam steps.
 */
#include "common/nn/optim.h"
#include "tests/parity/ranker_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEARNING_RATE 0.01f /* as in make_ranker_golden.py */
#define WEIGHT_DECAY 1e-4f
#define STEPS 3

typedef struct arm {
    ranker_world world;
    lcf_ranker *ranker;
    lcf_tape *tape;
    lcf_grads grads;
} arm;

static void arm_open(arm *a, const char *name)
{
    ranker_world_open(&a->world, name);
    a->ranker = ranker_world_ranker(&a->world);
    assert_int_equal(lcf_tape_create(&a->tape, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&a->grads, lcf_ranker_params(a->ranker), NULL), LCF_OK);
}

static void arm_close(arm *a)
{
    lcf_grads_dispose(&a->grads);
    lcf_tape_free(a->tape);
    lcf_ranker_free(a->ranker);
    ranker_world_close(&a->world);
}

/* One forward and backward pass over all rows; the total loss. */
static double pass(arm *a, lcf_tensor **logits, lcf_tensor **rec)
{
    const ranker_world *w = &a->world;
    lcf_tensor *loss;

    lcf_grads_zero(&a->grads);
    lcf_tape_reset(a->tape, true);
    lcf_ranker_forward(logits, rec, a->tape, a->ranker, &a->grads, &w->source, w->rows, w->rows_n,
                       NULL);
    loss = lcf_op_bce_with_logits(a->tape, *logits, w->labels, NULL, (float)w->rows_n);
    if (*rec)
        loss = lcf_op_add(a->tape, loss, *rec);
    lcf_tape_backward(a->tape, loss);
    assert_int_equal(lcf_tape_status(a->tape), LCF_OK);
    return (double)loss->data[0];
}

/*
 * The biases of keys have no gradient but rounding, for a softmax does not change when all its
 * scores move together; Adam makes steps of any size from that. They become the golden ones.
 */
static void settle_key_biases(arm *a)
{
    lcf_params *p = lcf_ranker_params(a->ranker);

    for (size_t i = 0; i < p->list_n; i++) {
        const char *name = p->list[i].name;
        const size_t third = p->list[i].n / 3;

        if (strlen(name) > 5 && !strcmp(name + strlen(name) - 5, "qkv.b"))
            memcpy(lcf_params_value(p, i) + third,
                   ranker_world_get(&a->world, "step.", name)->data + third, third * sizeof(float));
    }
}

/* A bias before a batch normalisation has no gradient but rounding either. */
static void settle_normed_biases(arm *a)
{
    const lcf_params *p = lcf_ranker_params(a->ranker);

    for (size_t i = 0; i < 2 && a->world.head_norm; i++) {
        const char *name = i ? "head.1.b" : "head.0.b";
        const lcf_param *param = &p->list[lcf_params_find(p, name)];
        float *grad = a->grads.values + param->offset;

        for (size_t j = 0; j < param->n; j++)
            assert_float_equal(grad[j], 0, 1e-6);
        memcpy(grad, ranker_world_get(&a->world, "grad.", name)->data, param->n * sizeof(*grad));
    }
}

/* Where a module attends, to what, however the examples' tokens came about. */
static void check_attention(arm *a)
{
    const golden_tensor *wanted = ranker_world_get(&a->world, "attention", "");
    const size_t n = a->world.rows_n, k = lcf_ranker_config_of(a->ranker)->k;
    float *got = calloc(n * k, sizeof(*got));
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(wanted->n, n * k);
    for (int frozen = 0; frozen < 2; frozen++) {
        if (frozen && lcf_ranker_freeze(a->ranker, &a->world.source, &err))
            fail_msg("%s", err.text);
        if (lcf_ranker_attention(got, a->tape, a->ranker, &a->world.source, a->world.rows, n, &err))
            fail_msg("%s", err.text);
        golden_assert_close("attention", got, wanted);
    }
    lcf_ranker_thaw(a->ranker);
    free(got);
}

/* What is said of the rows by running statistics, with and without plans for inference. */
static void check_scores(arm *a)
{
    const golden_tensor *wanted = ranker_world_get(&a->world, "scores", "");
    const size_t n = a->world.rows_n;
    float *got = calloc(n, sizeof(*got));
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(wanted->n, n);
    for (int frozen = 0; frozen < 2; frozen++) {
        if (frozen && lcf_ranker_freeze(a->ranker, &a->world.source, &err))
            fail_msg("%s", err.text);
        if (lcf_ranker_score(got, a->tape, a->ranker, &a->world.source, a->world.rows, n, &err))
            fail_msg("%s", err.text);
        golden_assert_close("scores", got, wanted);
    }
    lcf_ranker_thaw(a->ranker);
    free(got);
}

static void check_arm(const char *name)
{
    lcf_adam_options options = LCF_ADAM_OPTIONS_INIT;
    lcf_tensor *logits, *rec;
    lcf_adam adam;
    arm a;

    options.weight_decay = WEIGHT_DECAY;
    arm_open(&a, name);
    assert_int_equal(lcf_adam_init(&adam, lcf_ranker_params(a.ranker), &options, NULL), LCF_OK);
    if (!strcmp(a.world.side, "ict") && a.world.order == LCF_ORDER_KEY)
        check_attention(&a);
    for (int step = 0; step < STEPS; step++) {
        const double loss = pass(&a, &logits, &rec);
        const float loss32 = (float)loss;
        char key[16];

        snprintf(key, sizeof(key), "%d", step);
        golden_assert_close(key, &loss32, ranker_world_get(&a.world, "loss.", key));
        if (!step) {
            assert_int_equal(logits->n, a.world.rows_n);
            golden_assert_close("logits", logits->data, ranker_world_get(&a.world, "logits", ""));
            assert_int_equal(rec != NULL, ranker_world_get(&a.world, "rec_loss", "")->data[0] != 0);
            if (rec)
                golden_assert_close("rec_loss", rec->data,
                                    ranker_world_get(&a.world, "rec_loss", ""));
            settle_normed_biases(&a);
            golden_assert_params(&a.world.golden, "grad.", lcf_ranker_params(a.ranker),
                                 a.grads.values);
        }
        lcf_adam_step(&adam, lcf_ranker_params(a.ranker), &a.grads, LEARNING_RATE);
    }
    settle_key_biases(&a);
    golden_assert_params(&a.world.golden, "step.", lcf_ranker_params(a.ranker),
                         lcf_ranker_params(a.ranker)->values);
    if (a.world.head_norm)
        check_scores(&a);
    lcf_adam_dispose(&adam);
    arm_close(&a);
}

static void test_arms(void **state)
{
    (void)state;
    for (size_t i = 0; ranker_world_arm(i); i++) {
        print_message("%s\n", ranker_world_arm(i));
        check_arm(ranker_world_arm(i));
    }
}

/* Every side module has golden tensors; ICT itself has them with every backbone. */
static void test_sides(void **state)
{
    (void)state;
    for (size_t i = 0; ranker_world_side_arm(i); i++) {
        print_message("%s\n", ranker_world_side_arm(i));
        check_arm(ranker_world_side_arm(i));
    }
    for (size_t i = 2; lcf_ranker_side(i); i++) { /* after none and ict */
        char wanted[64];
        size_t j = 0;

        snprintf(wanted, sizeof(wanted), "din_%s", lcf_ranker_side(i)->name);
        while (ranker_world_side_arm(j) && strcmp(ranker_world_side_arm(j), wanted))
            j++;
        if (!ranker_world_side_arm(j))
            fail_msg("%s has no golden tensors", lcf_ranker_side(i)->name);
    }
}

/* Every backbone that there is has golden tensors, alone and with ICT. */
static void test_all_backbones(void **state)
{
    (void)state;
    for (size_t i = 0; lcf_ranker_backbone(i); i++) {
        size_t arms = 0;

        for (size_t j = 0; ranker_world_arm(j); j++) {
            ranker_world w;

            ranker_world_open(&w, ranker_world_arm(j));
            arms += !strcmp(w.backbone, lcf_ranker_backbone(i)->name);
            ranker_world_close(&w);
        }
        if (arms != 2)
            fail_msg("%s has %zu golden arms, not 2", lcf_ranker_backbone(i)->name, arms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arms),
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_all_backbones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
