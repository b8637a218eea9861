/*
 * The next-item models against PyTorch's own modules (make_next_item_golden.py, float64): user
 * vectors, losses, every gradient, and three Adam steps. There every query is computed alone; here
 * the queries of a sequence share one pass.
 */
#include "common/base/mem.h"
#include "common/model/next_item.h"
#include "common/nn/optim.h"
#include "tests/parity/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEARNING_RATE 0.01f /* as in make_next_item_golden.py */
#define WEIGHT_DECAY 1e-4f
#define STEPS 3

typedef struct rig {
    golden golden;
    lcf_next *model;
    lcf_tape *tape;
    lcf_grads grads;
    lcf_next_batch batch;
    lcf_next_targets targets;
    lcf_next_loss_kind kind;
    uint32_t *owned[8];
    size_t owned_n;
} rig;

static const uint32_t *u32_of(rig *r, const char *name)
{
    const golden_tensor *t = golden_get(&r->golden, "", name);
    uint32_t *out = lcf_alloc(t->n, sizeof(*out));

    assert_non_null(out);
    for (size_t i = 0; i < t->n; i++)
        out[i] = (uint32_t)t->data[i];
    return r->owned[r->owned_n++] = out;
}

/* Sizes of the golden model: ITEMS, DIM, HISTORY, HIDDEN, LAYERS, HEADS of the script. */
static const lcf_next_config CONFIG = {.items_n = 12,
                                       .dim = 8,
                                       .history_max = 6,
                                       .hidden = 10,
                                       .layers_n = 2,
                                       .heads_n = 2,
                                       .side = LCF_RANKER_CONFIG_INIT};

static void rig_open(rig *r, const char *encoder, const char *loss, lcf_next_loss_kind kind)
{
    lcf_next_config config = CONFIG;
    lcf_err err = LCF_ERR_INIT;
    char name[64];

    memset(r, 0, sizeof(*r));
    snprintf(name, sizeof(name), "next_%s_%s", encoder, loss);
    golden_open(&r->golden, name);
    config.encoder = encoder;
    if (lcf_next_create(&r->model, &config, 1, &err))
        fail_msg("%s", err.text);
    golden_fill_params(lcf_next_params(r->model), &r->golden);
    assert_int_equal(lcf_tape_create(&r->tape, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&r->grads, lcf_next_params(r->model), NULL), LCF_OK);
    r->kind = kind;
    r->batch = (lcf_next_batch){golden_get(&r->golden, "", "offsets")->n - 1,
                                golden_get(&r->golden, "", "query_end")->n,
                                u32_of(r, "items"),
                                u32_of(r, "offsets"),
                                u32_of(r, "query_sequence"),
                                u32_of(r, "query_end"),
                                NULL,
                                NULL};
    r->targets = (lcf_next_targets){r->batch.queries_n, u32_of(r, "target"), u32_of(r, "negatives"),
                                    golden_get(&r->golden, "", "negatives")->n,
                                    golden_get(&r->golden, "", "log_share")->data};
}

static void rig_close(rig *r)
{
    for (size_t i = 0; i < r->owned_n; i++)
        free(r->owned[i]);
    lcf_grads_dispose(&r->grads);
    lcf_tape_free(r->tape);
    lcf_next_free(r->model);
    golden_close(&r->golden);
}

/* One forward and backward pass; the loss. */
static float pass(rig *r, lcf_tensor **users)
{
    lcf_tensor *loss, *side_loss;

    lcf_grads_zero(&r->grads);
    lcf_tape_reset(r->tape, true);
    *users = lcf_next_users(&side_loss, r->tape, r->model, &r->grads, &r->batch, NULL);
    loss = lcf_next_loss(r->tape, r->model, &r->grads, *users, r->kind, &r->targets);
    lcf_tape_backward(r->tape, loss);
    assert_int_equal(lcf_tape_status(r->tape), LCF_OK);
    return loss->data[0];
}

static void check(const char *encoder, const char *loss_name, lcf_next_loss_kind kind)
{
    const lcf_adam_options options = {0.9f, 0.999f, 1e-8f, WEIGHT_DECAY, false, false};
    float losses[STEPS];
    lcf_params *params;
    lcf_tensor *users;
    lcf_adam adam;
    rig r;

    rig_open(&r, encoder, loss_name, kind);
    params = lcf_next_params(r.model);
    assert_int_equal(lcf_adam_init(&adam, params, &options, NULL), LCF_OK);
    for (int step = 0; step < STEPS; step++) {
        losses[step] = pass(&r, &users);
        if (!step) {
            golden_assert_close("users", users->data, golden_get(&r.golden, "users", ""));
            golden_assert_params(&r.golden, "grad.", params, r.grads.values);
        }
        lcf_adam_step(&adam, params, &r.grads, LEARNING_RATE);
    }
    golden_assert_close("loss", losses, golden_get(&r.golden, "loss", ""));
    golden_assert_params(&r.golden, "step.", params, params->values);
    lcf_adam_dispose(&adam);
    rig_close(&r);
}

static void test_youtubednn(void **state)
{
    (void)state;
    check("youtubednn", "sampled", LCF_NEXT_SAMPLED);
}

static void test_gru4rec(void **state)
{
    (void)state;
    check("gru4rec", "sampled", LCF_NEXT_SAMPLED);
}

static void test_sasrec(void **state)
{
    (void)state;
    check("sasrec", "sampled", LCF_NEXT_SAMPLED);
    check("sasrec", "full", LCF_NEXT_FULL);
    check("sasrec", "bce", LCF_NEXT_BCE);
}

static void test_srgnn(void **state)
{
    (void)state;
    check("srgnn", "sampled", LCF_NEXT_SAMPLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_youtubednn),
        cmocka_unit_test(test_gru4rec),
        cmocka_unit_test(test_sasrec),
        cmocka_unit_test(test_srgnn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
