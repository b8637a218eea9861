/*
 * The Q-Former against PyTorch's own modules (make_qformer_golden.py, float64): both branches under
 * each mask, the five losses, every gradient, three steps. There every pair is computed alone under
 * an explicit mask; here a batch is cut into shards and packed.
 */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "offline/ilm/phase1_step.h"
#include "tests/parity/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sizes and data of the script. */
#define ITEMS 9
#define USERS 3
#define LEARNING_RATE 0.01f
static const lcf_qformer_config CONFIG = {.layers = 3,
                                          .hidden = 12,
                                          .heads = 2,
                                          .ffn = 20,
                                          .queries = 3,
                                          .item_dim = 5,
                                          .feature_dim = 6,
                                          .vocab = 15,
                                          .text_max = 7,
                                          .cross_every = 2,
                                          .item_scale = 2.0f};
static const phase1_step_options OPTIONS = {.batch_max = 5,
                                            .smoothing = 0.1f,
                                            .adam = {0.9f, 0.999f, 1e-3f, 0.05f, true, false},
                                            .threads = 2};
static uint32_t tokens[] = {4,  9,  2,  7, 1, 1,  14, 3, 5, 8, 0, 13,
                            12, 11, 10, 1, 1, 14, 3,  5, 6, 2, 3};
static uint32_t offsets[ITEMS + 1] = {0, 0, 3, 4, 9, 11, 15, 20, 21, 23};

static const uint32_t ITEMS_0[] = {1, 3, 4, 6, 8}, ITEMS_1[] = {2, 5}, ITEMS_2[] = {7, 3};
static const phase1_pair PAIRS_0[] = {{1, 2}, {5, 7}, {1, 4}, {2, 8}, {3, 7}},
                         USERS_0[] = {{10, 3}, {11, 5}, {10, 1}}, PAIRS_2[] = {{8, 1}, {2, 3}};
#define BITS(a, b, c, d) (PHASE1_BIT(a) | PHASE1_BIT(b) | PHASE1_BIT(c) | PHASE1_BIT(d))
static const phase1_batch BATCHES[] = {
    {BITS(PHASE1_ITC, PHASE1_ITG, PHASE1_IIC, PHASE1_UIC), ITEMS_0, 5, PAIRS_0, USERS_0, 5, 3},
    {BITS(PHASE1_ITC, PHASE1_ITM, PHASE1_ITG, PHASE1_ITC), ITEMS_1, 2, NULL, NULL, 0, 0},
    {BITS(PHASE1_ITM, PHASE1_IIC, PHASE1_IIC, PHASE1_IIC), ITEMS_2, 2, PAIRS_2, NULL, 2, 0},
};
#define STEPS (sizeof(BATCHES) / sizeof(*BATCHES))

typedef struct rig {
    golden golden;
    lcf_qformer *m;
    lcf_cf_vectors vectors;
    uint64_t hashes[ITEMS];
    phase1_data data;
} rig;

static void rig_open(rig *r)
{
    lcf_err err = LCF_ERR_INIT;

    memset(r, 0, sizeof(*r));
    golden_open(&r->golden, "qformer");
    if (lcf_qformer_create(&r->m, &CONFIG, 1, &err))
        fail_msg("%s", err.text);
    golden_fill_params(lcf_qformer_params(r->m), &r->golden);
    r->vectors = (lcf_cf_vectors){.items_n = ITEMS,
                                  .users_n = USERS,
                                  .dim = CONFIG.item_dim,
                                  .values = (float *)golden_get(&r->golden, "", "vectors")->data};
    for (size_t i = 0; i < ITEMS; i++)
        r->hashes[i] =
            lcf_hash64(tokens + offsets[i], (offsets[i + 1] - offsets[i]) * sizeof(*tokens), 0);
    r->data.vectors = &r->vectors;
    r->data.texts =
        (lcf_item_texts){ITEMS, {tokens, sizeof(tokens) / sizeof(*tokens), 0}, offsets, r->hashes};
}

static void rig_close(rig *r)
{
    lcf_qformer_free(r->m);
    golden_close(&r->golden);
}

static void check_mask(rig *r, lcf_tape *t, const char *name, lcf_qformer_mask mask)
{
    static const uint32_t ITEM_IDS[] = {1, 2, 3};
    const bool writes = mask == LCF_QFORMER_UNILM;
    const lcf_qformer_pass p = {t, r->m, NULL, NULL};
    const lcf_qformer_texts *texts;
    lcf_qformer_out out;
    char queries[64], text[64];

    lcf_tape_reset(t, false);
    texts = phase1_texts_of(t, &r->data, CONFIG.vocab, ITEM_IDS, 3,
                            writes ? LCF_QFORMER_DEC : LCF_QFORMER_CLS, !writes);
    out = lcf_qformer_forward(&p, phase1_vectors_of(t, &r->data, ITEM_IDS, 3), 3, texts, mask);
    snprintf(queries, sizeof(queries), "%s.queries", name);
    snprintf(text, sizeof(text), "%s.text", name);
    golden_assert_close(queries, out.queries->data, golden_get(&r->golden, "", queries));
    golden_assert_close(text, out.text->data, golden_get(&r->golden, "", text));
}

static void test_forward(void **state)
{
    lcf_tape *t = NULL;
    float one_key[3 * 3 * 12];
    rig r;

    (void)state;
    rig_open(&r);
    assert_int_equal(lcf_tape_create(&t, NULL), LCF_OK);
    check_mask(&r, t, "separate", LCF_QFORMER_SEPARATE);
    check_mask(&r, t, "bidirectional", LCF_QFORMER_BIDIRECTIONAL);
    check_mask(&r, t, "unilm", LCF_QFORMER_UNILM);
    assert_int_equal(lcf_qformer_encode(one_key, r.m, r.vectors.values + CONFIG.item_dim, 3, NULL),
                     LCF_OK);
    golden_assert_close("encode", one_key, golden_get(&r.golden, "", "separate.queries"));
    lcf_tape_free(t);
    rig_close(&r);
}

static void check_step(rig *r, phase1_step *s, size_t step)
{
    double losses[PHASE1_LOSSES_N];
    char prefix[32];

    assert_int_equal(phase1_step_train(losses, s, &BATCHES[step], LEARNING_RATE), LCF_OK);
    for (int i = 0; i < PHASE1_LOSSES_N; i++) {
        const float loss = (float)losses[i];

        snprintf(prefix, sizeof(prefix), "loss.%zu.", step);
        if (BATCHES[step].losses & PHASE1_BIT(i))
            golden_assert_close(PHASE1_LOSS_NAMES[i], &loss,
                                golden_get(&r->golden, prefix, PHASE1_LOSS_NAMES[i]));
    }
    snprintf(prefix, sizeof(prefix), "grad.%zu.", step);
    golden_assert_params(&r->golden, prefix, lcf_qformer_params(r->m),
                         phase1_step_grads(s)->values);
}

static void test_training(void **state)
{
    phase1_step *s = NULL;
    rig r;

    (void)state;
    rig_open(&r);
    assert_int_equal(phase1_step_create(&s, r.m, &r.data, &OPTIONS, NULL), LCF_OK);
    for (size_t step = 0; step < STEPS; step++)
        check_step(&r, s, step);
    golden_assert_params(&r.golden, "step.", lcf_qformer_params(r.m),
                         lcf_qformer_params(r.m)->values);
    phase1_step_free(s);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_training),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
