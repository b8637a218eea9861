/*
 * The tape, the optimizers and LLaMA training against golden/nn.{txt,f32}, made by
 * make_nn_golden.py with PyTorch. The constants here and there are the same.
 *
 * Tolerances: f32 against float64 rounded once, 2e-5 relative to 1 + |value|; optimizers, which run
 * in f32 on both sides, 1e-6; weights after three training steps 1e-4 (a step is up to 1e-2).
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/nn/optim.h"
#include "common/nn/tape.h"
#include "offline/llama/llama_train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TENSORS_MAX 256

typedef struct tensor_entry {
    char name[64];
    size_t dims[4], dims_n, n;
    const float *data;
} tensor_entry;

static struct {
    lcf_buf data;
    tensor_entry list[TENSORS_MAX];
    size_t n;
} golden;

static const tensor_entry *find(const char *prefix, const char *name)
{
    char full[128];
    size_t i;

    snprintf(full, sizeof(full), "%s%s", prefix, name);
    for (i = 0; i < golden.n; i++)
        if (strcmp(golden.list[i].name, full) == 0)
            return &golden.list[i];
    fail_msg("no golden tensor %s", full);
    return NULL;
}

static const char *golden_path(char *out, size_t size, const char *file)
{
    const char *source = getenv("LCF_SOURCE_DIR");

    snprintf(out, size, "%s/tests/parity/golden/%s", source ? source : ".", file);
    return out;
}

static void read_line(tensor_entry *e, const char *line)
{
    int used = 0, more;
    size_t dim;

    assert_int_equal(sscanf(line, "%63s%n", e->name, &used), 1);
    e->n = 1;
    for (e->dims_n = 0; sscanf(line + used, "%zu%n", &dim, &more) == 1; used += more) {
        assert_true(e->dims_n < 4);
        e->dims[e->dims_n++] = dim;
        e->n *= dim;
    }
    assert_true(e->dims_n > 0);
}

static int load_golden(void **state)
{
    char path[4096], line[256];
    lcf_err err = LCF_ERR_INIT;
    size_t at = 0;
    FILE *f;

    (void)state;
    if (lcf_file_read(&golden.data, golden_path(path, sizeof(path), "nn.f32"), 1 << 20, &err))
        fail_msg("%s", err.text);
    f = fopen(golden_path(path, sizeof(path), "nn.txt"), "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        tensor_entry *e = &golden.list[golden.n++];

        assert_true(golden.n < TENSORS_MAX);
        read_line(e, line);
        e->data = (const float *)(const void *)(golden.data.data + at);
        at += e->n * sizeof(float);
        assert_true(at <= golden.data.len);
    }
    fclose(f);
    assert_int_equal(at, golden.data.len);
    return 0;
}

static int free_golden(void **state)
{
    (void)state;
    lcf_buf_dispose(&golden.data);
    return 0;
}

static void assert_close(const char *what, const float *got, const tensor_entry *want,
                         double tolerance)
{
    size_t i;

    for (i = 0; i < want->n; i++)
        if (!(fabs((double)got[i] - want->data[i]) <= tolerance * (1 + fabs(want->data[i]))))
            fail_msg("%s, element %zu of %s is %.8g, PyTorch has %.8g", what, i, want->name, got[i],
                     want->data[i]);
}

/* ---- optimizers ---- */

static void check_adam(const char *kind, const lcf_adam_options *options)
{
    const tensor_entry *start = find("adam.", "start");
    lcf_params params;
    lcf_grads grads;
    lcf_adam adam;
    size_t step;

    lcf_params_init(&params);
    assert_int_equal(lcf_params_add(NULL, &params, "p", start->dims, 1, true, NULL), LCF_OK);
    assert_int_equal(lcf_params_seal(&params, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&grads, &params, NULL), LCF_OK);
    assert_int_equal(lcf_adam_init(&adam, &params, options, NULL), LCF_OK);
    memcpy(params.values, start->data, start->n * sizeof(float));
    for (step = 0; step < 3; step++) {
        char name[32];

        snprintf(name, sizeof(name), "grad%zu", step);
        memcpy(grads.values, find("adam.", name)->data, start->n * sizeof(float));
        lcf_adam_step(&adam, &params, &grads, 0.01f);
        snprintf(name, sizeof(name), "%s.%zu", kind, step);
        assert_close(kind, params.values, find("adam.", name), 1e-6);
    }
    lcf_adam_dispose(&adam);
    lcf_grads_dispose(&grads);
    lcf_params_dispose(&params);
}

static void test_adam(void **state)
{
    const lcf_adam_options plain = LCF_ADAM_OPTIONS_INIT;
    lcf_adam_options decayed = plain;

    (void)state;
    check_adam("plain", &plain);
    decayed.weight_decay = 0.1f;
    check_adam("l2", &decayed);
    decayed.decoupled = true;
    check_adam("decoupled", &decayed);
}

static void test_sgd(void **state)
{
    const tensor_entry *start = find("adam.", "start");
    lcf_params params;
    lcf_grads grads;
    lcf_sgd sgd;

    (void)state;
    lcf_params_init(&params);
    assert_int_equal(lcf_params_add(NULL, &params, "p", start->dims, 1, true, NULL), LCF_OK);
    assert_int_equal(lcf_params_seal(&params, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&grads, &params, NULL), LCF_OK);
    assert_int_equal(lcf_sgd_init(&sgd, &params, 0.9f, 0.1f, NULL), LCF_OK);
    memcpy(params.values, start->data, start->n * sizeof(float));
    for (size_t step = 0; step < 3; step++) {
        char name[32];

        snprintf(name, sizeof(name), "grad%zu", step);
        memcpy(grads.values, find("adam.", name)->data, start->n * sizeof(float));
        lcf_sgd_step_range(&sgd, &params, &grads, 0.01f, 1.0f, 0, params.values_n);
        snprintf(name, sizeof(name), "%zu", step);
        assert_close("sgd", params.values, find("sgd.", name), 1e-6);
    }
    lcf_sgd_dispose(&sgd);
    lcf_grads_dispose(&grads);
    lcf_params_dispose(&params);
}

/* ---- a small network ---- */

enum { TABLE, ATT_W, ATT_B, NORM, UP_W, UP_B, DOWN_W, REC_W, NET_PARAMS };
static const char *const net_names[NET_PARAMS] = {"table", "att.w", "att.b",  "norm",
                                                  "up.w",  "up.b",  "down.w", "rec.w"};

static lcf_tensor *net_forward(lcf_tensor **logits, lcf_tape *t, lcf_tensor **p)
{
    static const uint32_t ids[6] = {0, 3, 1, 5, 5, 2}, bag[5] = {1, 2, 5, 0, 4};
    static const uint32_t bag_offsets[4] = {0, 2, 2, 5};
    static const float mask[6] = {1, 1, 0, 1, 0, 1}, labels[3] = {1, 0, 1},
                       weights[3] = {1, .5f, 2};
    const size_t pairs[2] = {3, 2}, cube[3] = {3, 2, 4}, masks[2] = {6, 1};
    lcf_tensor *history, *attention, *parts[2], *x, *h, *bce, *rec;

    history =
        lcf_op_scale_rows(t, lcf_op_gather(t, p[TABLE], ids, 6), lcf_tape_input(t, mask, masks, 2));
    attention = lcf_op_sigmoid(t, lcf_op_linear(t, history, p[ATT_W], p[ATT_B]));
    parts[0] = lcf_op_weighted_sum(t, lcf_op_reshape(t, history, cube, 3),
                                   lcf_op_reshape(t, attention, pairs, 2));
    parts[1] =
        lcf_op_rmsnorm(t, lcf_op_gather_mean(t, p[TABLE], bag, bag_offsets, 3), p[NORM], 1e-5f);
    x = lcf_op_concat(t, parts, 2);
    h = lcf_op_relu(t, lcf_op_linear(t, x, p[UP_W], p[UP_B]));
    *logits = lcf_op_linear(t, lcf_op_tanh(t, h), p[DOWN_W], NULL);
    bce = lcf_op_bce_with_logits(t, *logits, labels, weights, 3);
    rec = lcf_op_cosine_loss(t, lcf_op_linear(t, x, p[REC_W], NULL), find("net.", "wanted")->data,
                             weights, 2);
    return lcf_op_add(t, bce, lcf_op_scale(t, rec, 0.5f));
}

static void test_network(void **state)
{
    lcf_tensor *p[NET_PARAMS], *logits, *loss;
    lcf_params params;
    lcf_grads grads;
    lcf_tape *tape;
    size_t i;

    (void)state;
    lcf_params_init(&params);
    for (i = 0; i < NET_PARAMS; i++) {
        const tensor_entry *e = find("net.param.", net_names[i]);
        assert_int_equal(
            lcf_params_add(NULL, &params, net_names[i], e->dims, (uint32_t)e->dims_n, true, NULL),
            LCF_OK);
    }
    assert_int_equal(lcf_params_seal(&params, NULL), LCF_OK);
    for (i = 0; i < NET_PARAMS; i++)
        memcpy(lcf_params_value(&params, i), find("net.param.", net_names[i])->data,
               params.list[i].n * sizeof(float));
    lcf_params_zero_row0(&params, TABLE);
    assert_int_equal(lcf_grads_init(&grads, &params, NULL), LCF_OK);
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    lcf_tape_reset(tape, true);
    for (i = 0; i < NET_PARAMS; i++)
        p[i] = lcf_tape_param(tape, &params, &grads, i);
    loss = net_forward(&logits, tape, p);
    assert_close("logits", logits->data, find("net.", "logits"), 2e-5);
    assert_close("loss", loss->data, find("net.", "loss"), 2e-5);
    lcf_tape_backward(tape, loss);
    assert_int_equal(lcf_tape_status(tape), LCF_OK);
    for (i = 0; i < NET_PARAMS; i++)
        assert_close("gradient", grads.values + params.list[i].offset,
                     find("net.grad.", net_names[i]), 2e-5);
    lcf_tape_free(tape);
    lcf_grads_dispose(&grads);
    lcf_params_dispose(&params);
}

/* ---- LLaMA ---- */

#define LLAMA_SEQS 2
#define LLAMA_LENGTH 16

static const lcf_llama_config config = {.vocab_n = 29,
                                        .dim = 16,
                                        .layers_n = 2,
                                        .heads_n = 4,
                                        .kv_heads_n = 2,
                                        .head_dim = 4,
                                        .ffn_dim = 20,
                                        .context_n = 16,
                                        .rope_theta = 100.0f,
                                        .norm_eps = 1e-5f,
                                        .tied = true};

typedef struct llama_rows {
    uint32_t tokens[LLAMA_LENGTH], segments[LLAMA_LENGTH], positions[LLAMA_LENGTH];
    int32_t targets[LLAMA_LENGTH];
} llama_rows;

static void read_rows(lcf_train_seq *out, llama_rows *rows, size_t s)
{
    const char suffix[2] = {(char)('0' + s), 0};
    const tensor_entry *tokens = find("llama.tokens", suffix);
    size_t i;

    assert_true(tokens->n <= LLAMA_LENGTH);
    for (i = 0; i < tokens->n; i++) {
        rows->tokens[i] = (uint32_t)tokens->data[i];
        rows->targets[i] = (int32_t)find("llama.targets", suffix)->data[i];
        rows->segments[i] = (uint32_t)find("llama.segments", suffix)->data[i];
        rows->positions[i] = (uint32_t)find("llama.positions", suffix)->data[i];
    }
    *out = (lcf_train_seq){rows->tokens, rows->targets, rows->segments, rows->positions, tokens->n};
}

static void compare_params(const lcf_params *params, const float *values, const char *prefix,
                           double tolerance)
{
    size_t i;

    for (i = 0; i < params->list_n; i++) {
        const tensor_entry *want = find(prefix, params->list[i].name);

        assert_int_equal(want->n, params->list[i].n);
        assert_close("trainer", values + params->list[i].offset, want, tolerance);
    }
}

/* The gradient per target, as PyTorch's. */
static void compare_grads(lcf_llama_trainer *t, const char *prefix, uint64_t targets_n)
{
    const lcf_grads *sum = lcf_llama_trainer_grads(t);
    float *mean = malloc(sum->values_n * sizeof(*mean));

    assert_non_null(mean);
    for (size_t i = 0; i < sum->values_n; i++)
        mean[i] = sum->values[i] / (float)targets_n;
    compare_params(lcf_llama_trainer_params(t), mean, prefix, 2e-5);
    free(mean);
}

static lcf_llama_train_options golden_options(void)
{
    lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;

    o.peak_lr = 1e-2f;
    o.weight_decay = 0.05f;
    o.clip_norm = 0.5f;
    o.warmup_steps = 2;
    o.total_steps = 10;
    return o;
}

static void fill_params(lcf_llama_trainer *t, const char *prefix)
{
    lcf_params *params = lcf_llama_trainer_params(t);

    for (size_t i = 0; i < params->list_n; i++)
        memcpy(lcf_params_value(params, i), find(prefix, params->list[i].name)->data,
               params->list[i].n * sizeof(float));
}

/* Three steps, with the losses, the first gradient and the weights after it; names are
 * <prefix>loss0 and so on. */
static void check_steps(lcf_llama_trainer *t, const char *prefix, size_t threads)
{
    lcf_train_seq seqs[LLAMA_SEQS];
    llama_rows rows[LLAMA_SEQS];
    uint64_t targets_n = 0;
    lcf_pool *pool;
    char name[32];

    assert_int_equal(lcf_pool_create(&pool, threads, NULL), LCF_OK);
    for (size_t s = 0; s < LLAMA_SEQS; s++) {
        read_rows(&seqs[s], &rows[s], s);
        for (size_t i = 0; i < seqs[s].n; i++)
            targets_n += seqs[s].targets[i] >= 0;
    }
    for (size_t step = 0; step < 3; step++) {
        double loss;
        float rounded;

        assert_int_equal(lcf_llama_trainer_step(&loss, t, seqs, LLAMA_SEQS, pool, NULL), LCF_OK);
        snprintf(name, sizeof(name), "loss%zu", step);
        rounded = (float)loss;
        assert_close("trainer", &rounded, find(prefix, name), 2e-5);
        snprintf(name, sizeof(name), "%sgrad.", prefix);
        if (step == 0)
            compare_grads(t, name, targets_n);
    }
    snprintf(name, sizeof(name), "%safter.", prefix);
    compare_params(lcf_llama_trainer_params(t), lcf_llama_trainer_params(t)->values, name, 1e-4);
    lcf_pool_free(pool);
}

static void check_llama(size_t threads)
{
    const lcf_llama_train_options options = golden_options();
    lcf_llama_trainer *t;

    assert_int_equal(lcf_llama_trainer_create(&t, &config, &options, NULL), LCF_OK);
    fill_params(t, "llama.param.");
    check_steps(t, "llama.", threads);
    lcf_llama_trainer_free(t);
}

static void test_lora(void **state)
{
    lcf_llama_train_options options = golden_options();
    lcf_llama_trainer *base, *t;
    lcf_llama m;

    (void)state;
    assert_int_equal(lcf_llama_trainer_create(&base, &config, &options, NULL), LCF_OK);
    fill_params(base, "llama.param.");
    assert_int_equal(lcf_llama_trainer_model(&m, base, NULL, NULL), LCF_OK);
    options.lora.rank = 2;
    options.lora.alpha = 6.0f;
    assert_int_equal(lcf_llama_trainer_from(&t, &m, &options, NULL), LCF_OK);
    fill_params(t, "lora.param.");
    check_steps(t, "lora.", 2);
    lcf_llama_trainer_model_dispose(&m);
    lcf_llama_trainer_free(base);
    lcf_llama_trainer_free(t);
}

static void test_llama(void **state)
{
    (void)state;
    check_llama(1);
    check_llama(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adam),  cmocka_unit_test(test_sgd),  cmocka_unit_test(test_network),
        cmocka_unit_test(test_llama), cmocka_unit_test(test_lora),
    };

    return cmocka_run_group_tests(tests, load_golden, free_golden);
}
