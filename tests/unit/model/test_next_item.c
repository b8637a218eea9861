/*
 * The next-item models beyond their parity with PyTorch: weights files, inference, what a query may
 * see, and what cannot be.
 */
#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/model/next_item.h"
#include "tests/parity/ranker_world.h"
#include "tests/unit/data/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS_N 20
#define DIM 8

static lcf_next_config config_of(const char *encoder)
{
    lcf_next_config c = LCF_NEXT_CONFIG_INIT;

    c.encoder = encoder;
    c.items_n = ITEMS_N;
    c.dim = DIM;
    c.history_max = 6;
    c.hidden = 10;
    c.layers_n = 2;
    return c;
}

static lcf_next *model_of(const char *encoder, uint64_t seed)
{
    const lcf_next_config c = config_of(encoder);
    lcf_err err = LCF_ERR_INIT;
    lcf_next *m;

    if (lcf_next_create(&m, &c, seed, &err))
        fail_msg("%s", err.text);
    return m;
}

static void encode(float *out, const lcf_next *m, const lcf_next_history *h, size_t n)
{
    lcf_tape *tape;

    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    assert_int_equal(lcf_next_encode(out, tape, m, NULL, h, n, NULL), LCF_OK);
    lcf_tape_free(tape);
}

static void assert_close(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-6f * (1 + fabsf(b[i]))))
            fail_msg("value %zu is %g, not %g", i, (double)a[i], (double)b[i]);
}

static const uint32_t HISTORY[] = {3, 7, 3, 12, 5, 19, 1, 7, 2};

/* Only the last history_max items count; an unknown item is item 0, and so is no history at all. */
static void test_histories(void **state)
{
    const uint32_t unknown[] = {0, 4}, newer[] = {ITEMS_N + 5, 4}, nothing[] = {0};
    const lcf_next_history h[] = {{HISTORY, 9, NULL}, {HISTORY + 3, 6, NULL}, {unknown, 2, NULL},
                                  {newer, 2, NULL},   {nothing, 1, NULL},     {NULL, 0, NULL}};

    (void)state;
    for (size_t e = 0; lcf_next_encoder_name(e); e++) {
        lcf_next *m = model_of(lcf_next_encoder_name(e), 1);
        float out[6][DIM];

        encode(out[0], m, h, 6);
        assert_close(out[0], out[1], DIM);
        assert_close(out[2], out[3], DIM);
        assert_close(out[4], out[5], DIM);
        lcf_next_free(m);
    }
}

/* A vector does not depend on the other histories of a call, nor on how many there are. */
static void test_blocks(void **state)
{
    enum { n = 700 };
    static lcf_next_history h[n];
    static float all[n][DIM];

    (void)state;
    for (size_t i = 0; i < n; i++)
        h[i] = (lcf_next_history){HISTORY + i % 4, 1 + i % 5, NULL};
    for (size_t e = 0; lcf_next_encoder_name(e); e++) {
        lcf_next *m = model_of(lcf_next_encoder_name(e), 1);
        float one[DIM];

        encode(all[0], m, h, n);
        for (size_t i = 0; i < n; i += 77) {
            encode(one, m, h + i, 1);
            assert_close(all[i], one, DIM);
        }
        lcf_next_free(m);
    }
}

/* What comes behind a query changes nothing: the vectors of prefixes from one pass are those of the
 * prefixes alone. */
static void test_no_query_sees_the_future(void **state)
{
    const uint32_t items[] = {4, 9, 4, 11, 2, 6}, offsets[] = {0, 6}, sequence[6] = {0};
    const uint32_t ends[] = {1, 2, 3, 4, 5, 6};
    const lcf_next_batch b = {1, 6, items, offsets, sequence, ends, NULL, NULL};

    (void)state;
    for (size_t e = 0; lcf_next_encoder_name(e); e++) {
        lcf_next *m = model_of(lcf_next_encoder_name(e), 2);
        lcf_tensor *users, *side_loss;
        lcf_tape *tape;

        assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
        lcf_tape_reset(tape, false);
        users = lcf_next_users(&side_loss, tape, m, NULL, &b, NULL);
        assert_int_equal(lcf_tape_status(tape), LCF_OK);
        for (size_t i = 0; i < 6; i++) {
            const lcf_next_history h = {items, ends[i], NULL};
            float alone[DIM];

            encode(alone, m, &h, 1);
            assert_close(users->data + i * DIM, alone, DIM);
        }
        lcf_tape_free(tape);
        lcf_next_free(m);
    }
}

/* Sampled softmax whose negatives are all items once, with equal shares, is the full softmax. */
static void test_sampled_becomes_full(void **state)
{
    const uint32_t offsets[] = {0, 3}, sequence[2] = {0}, ends[] = {1, 3}, target[] = {5, 9};
    const lcf_next_batch b = {1, 2, HISTORY, offsets, sequence, ends, NULL, NULL};
    uint32_t negatives[ITEMS_N - 1];
    lcf_next *m = model_of("sasrec", 3);
    lcf_tensor *sampled, *full, *users, *side_loss;
    lcf_tape *tape;

    (void)state;
    for (uint32_t i = 0; i < ITEMS_N - 1; i++)
        negatives[i] = i + 1;
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    lcf_tape_reset(tape, false);
    users = lcf_next_users(&side_loss, tape, m, NULL, &b, NULL);
    sampled = lcf_next_loss(tape, m, NULL, users, LCF_NEXT_SAMPLED,
                            &(lcf_next_targets){2, target, negatives, ITEMS_N - 1, NULL});
    full = lcf_next_loss(tape, m, NULL, users, LCF_NEXT_FULL,
                         &(lcf_next_targets){2, target, NULL, 0, NULL});
    assert_int_equal(lcf_tape_status(tape), LCF_OK);
    assert_float_equal(sampled->data[0], full->data[0], 1e-5);
    lcf_tape_free(tape);
    lcf_next_free(m);
}

static void test_weights_file(void **state)
{
    char *dir = lcf_fixture_dir(), *path = lcf_path_join(dir, "m.lcf");

    (void)state;
    for (size_t e = 0; lcf_next_encoder_name(e); e++) {
        const lcf_next_history h = {HISTORY, 5, NULL};
        lcf_next *m = model_of(lcf_next_encoder_name(e), 4), *again;
        float a[DIM], b[DIM];

        assert_int_equal(lcf_next_save(m, path, NULL), LCF_OK);
        assert_int_equal(lcf_next_open(&again, path, NULL), LCF_OK);
        assert_string_equal(lcf_next_config_of(again)->encoder, lcf_next_encoder_name(e));
        assert_int_equal(lcf_next_config_of(again)->history_max, 6);
        encode(a, m, &h, 1);
        encode(b, again, &h, 1);
        assert_memory_equal(a, b, sizeof(a));
        assert_memory_equal(lcf_next_items(m), lcf_next_items(again),
                            ITEMS_N * DIM * sizeof(float));
        lcf_next_free(m);
        lcf_next_free(again);
    }
    lcf_dir_remove(dir, NULL);
    free(dir);
    free(path);
}

/* The example of schemas/next_item_weights.md; with LCF_WRITE_EXAMPLES set it is made again. */
static void test_example(void **state)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    lcf_next_config c = config_of("sasrec");
    lcf_buf path = LCF_BUF_INIT;
    lcf_next *made, *read;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    c.items_n = 5;
    c.dim = 4;
    c.history_max = 3;
    c.hidden = 2;
    c.layers_n = 1;
    assert_int_equal(lcf_next_create(&made, &c, 7, NULL), LCF_OK);
    lcf_buf_printf(&path, "%s/schemas/examples/next_item_weights.lcf", root ? root : ".");
    if (getenv("LCF_WRITE_EXAMPLES"))
        assert_int_equal(lcf_next_save(made, lcf_buf_text(&path), NULL), LCF_OK);
    if (lcf_next_open(&read, lcf_buf_text(&path), &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_next_config_of(read)->hidden, 2);
    assert_memory_equal(lcf_next_params(read)->values, lcf_next_params(made)->values,
                        lcf_next_params(made)->values_n * sizeof(float));
    lcf_next_free(made);
    lcf_next_free(read);
    lcf_buf_dispose(&path);
}

/* ---- with a side module ---- */

typedef struct side_rig {
    ranker_world world;
    lcf_next *model;
    lcf_tape *tape;
    lcf_grads grads;
    lcf_ranker_row rows[8]; /* the world's, without targets */
    lcf_next_batch batch;
} side_rig;

static void side_open(side_rig *r, float scale)
{
    static const uint32_t offsets[] = {0, 3, 4, 9}, sequence[] = {0, 0, 1, 2, 2, 2, 2};
    static const uint32_t ends[] = {1, 3, 4, 5, 6, 8, 9};
    lcf_next_config c = config_of("gru4rec");
    lcf_err err = LCF_ERR_INIT;

    ranker_world_open(&r->world, "ict");
    c.side = ranker_world_config(&r->world);
    c.side_scale = scale;
    c.items_n = c.side.items_n;
    assert_int_equal(c.side.dim, DIM);
    assert_int_equal(r->world.rows_n, 7);
    if (lcf_next_create(&r->model, &c, 5, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_next_check_source(r->model, &r->world.source, NULL), LCF_OK);
    assert_int_equal(lcf_tape_create(&r->tape, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&r->grads, lcf_next_params(r->model), NULL), LCF_OK);
    for (size_t i = 0; i < 7; i++) {
        r->rows[i] = r->world.rows[i];
        r->rows[i].item = 0;
    }
    r->batch = (lcf_next_batch){3, 7, HISTORY, offsets, sequence, ends, &r->world.source, r->rows};
}

static void side_close(side_rig *r)
{
    lcf_grads_dispose(&r->grads);
    lcf_tape_free(r->tape);
    lcf_next_free(r->model);
    ranker_world_close(&r->world);
}

/* The whole loss; users [7, DIM] unless NULL. */
static double side_loss(side_rig *r, float *users_out, bool record)
{
    const uint32_t target[] = {2, 3, 1, 4, 5, 6, 7}, negatives[] = {8, 1, 5, 3};
    lcf_tensor *users, *own, *loss;

    lcf_tape_reset(r->tape, record);
    users = lcf_next_users(&own, r->tape, r->model, record ? &r->grads : NULL, &r->batch, NULL);
    loss = lcf_next_loss(r->tape, r->model, record ? &r->grads : NULL, users, LCF_NEXT_SAMPLED,
                         &(lcf_next_targets){7, target, negatives, 4, NULL});
    assert_int_equal(own != NULL, record); /* the reconstruction is there to train only */
    if (users_out)
        memcpy(users_out, users->data, 7 * DIM * sizeof(float));
    if (record)
        lcf_tape_backward(r->tape, loss);
    assert_int_equal(lcf_tape_status(r->tape), LCF_OK);
    return (double)loss->data[0];
}

/* user = encoder + scale * vector; the vector depends on the row's examples. */
static void test_side_is_added(void **state)
{
    const float scales[] = {0.0f, 0.1f, 1.0f};
    float users[3][7 * DIM], alone[7 * DIM];
    lcf_ranker_row row;
    side_rig r;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        side_open(&r, scales[i]);
        side_loss(&r, users[i], false);
        if (i == 2) {
            row = r.rows[0];
            row.examples = r.rows[1].examples;
            r.rows[0] = row;
            side_loss(&r, alone, false);
        }
        side_close(&r);
    }
    for (size_t i = 0; i < 7 * DIM; i++) {
        assert_true(fabsf(users[1][i] - users[0][i] - 0.1f * (users[2][i] - users[0][i])) < 1e-6f);
        assert_true(fabsf(users[2][i] - users[0][i]) > 0.0f);
        assert_int_equal(fabsf(alone[i] - users[2][i]) > 1e-6f, i < DIM);
    }
}

/* Gradients of what both share and of what is the module's own, against differences. */
static void test_side_gradients(void **state)
{
    static const char *const NAMES[] = {"item.table", "label.table", "x.1.w", "gru.0.in.w",
                                        "layer.1.q.w"};
    side_rig r;

    (void)state;
    side_open(&r, 0.7f);
    side_loss(&r, NULL, true);
    for (size_t n = 0; n < sizeof(NAMES) / sizeof(NAMES[0]); n++) {
        const lcf_params *p = lcf_next_params(r.model);
        const size_t idx = lcf_params_find(p, NAMES[n]);
        double largest = 0;

        assert_true(idx != (size_t)-1);
        for (size_t i = DIM; i < p->list[idx].n; i += 5) { /* row 0 of the item table is fixed */
            float *x = lcf_params_value(p, idx) + i, old = *x;
            const double got = r.grads.values[p->list[idx].offset + i];
            double up, down;

            *x = old + 4e-3f;
            up = side_loss(&r, NULL, false);
            *x = old - 4e-3f;
            down = side_loss(&r, NULL, false);
            *x = old;
            largest = fmax(largest, fabs(got));
            if (!(fabs(got - (up - down) / 8e-3) < 2e-4 + 2e-2 * fabs(got)))
                fail_msg("%s[%zu]: gradient %g, differences %g", NAMES[n], i, got,
                         (up - down) / 8e-3);
        }
        assert_true(largest > 0);
    }
    side_close(&r);
}

static void write_config(const char *path, const char *config)
{
    lcf_bundle_writer *w;

    assert_int_equal(lcf_bundle_create(&w, path, "next-item", 2, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add_text(w, "config", config, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_commit(w, NULL), LCF_OK);
}

/* A side module of two vectors, or of a target, cannot be added to a user, whoever says so. */
static void test_side_that_cannot_be(void **state)
{
    char *dir = lcf_fixture_dir(), *path = lcf_path_join(dir, "m.lcf"), *text = NULL, *at;
    lcf_next_config c = config_of("gru4rec");
    lcf_bundle *bundle;
    lcf_err err = LCF_ERR_INIT;
    lcf_next *m;
    side_rig r;

    (void)state;
    side_open(&r, 0.3f);
    c.side = ranker_world_config(&r.world);
    c.side.side = "kar";
    assert_int_equal(lcf_next_create(&m, &c, 5, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "has 2 vectors"));
    c.side.side = "knrm";
    assert_int_equal(lcf_next_create(&m, &c, 5, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "beside a target"));
    assert_int_equal(lcf_next_save(r.model, path, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_open(&bundle, path, "next-item", 2, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_get_text(&text, bundle, "config", NULL), LCF_OK);
    lcf_bundle_close(bundle);
    at = strstr(text, "\"side\":\"ict\"");
    assert_non_null(at);
    memcpy(at, "\"side\":\"kar\"", strlen("\"side\":\"kar\""));
    write_config(path, text);
    assert_int_equal(lcf_next_open(&m, path, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "has 2 vectors"));
    free(text);
    side_close(&r);
    lcf_dir_remove(dir, NULL);
    free(dir);
    free(path);
}

/* The weights file holds both parts, and inference takes rows. */
static void test_side_file(void **state)
{
    char *dir = lcf_fixture_dir(), *path = lcf_path_join(dir, "m.lcf");
    lcf_next_history h = {HISTORY, 5, NULL};
    float a[DIM], b[DIM];
    lcf_next *again;
    side_rig r;

    (void)state;
    side_open(&r, 0.3f);
    h.row = &r.rows[1];
    assert_int_equal(lcf_next_save(r.model, path, NULL), LCF_OK);
    assert_int_equal(lcf_next_open(&again, path, NULL), LCF_OK);
    assert_string_equal(lcf_next_config_of(again)->side.side, "ict");
    assert_int_equal(lcf_next_encode(a, r.tape, r.model, &r.world.source, &h, 1, NULL), LCF_OK);
    assert_int_equal(lcf_next_encode(b, r.tape, again, &r.world.source, &h, 1, NULL), LCF_OK);
    assert_memory_equal(a, b, sizeof(a));
    r.world.source.examples = NULL;
    assert_int_equal(lcf_next_check_source(again, &r.world.source, NULL), LCF_EINVAL);
    lcf_next_free(again);
    side_close(&r);
    lcf_dir_remove(dir, NULL);
    free(dir);
    free(path);
}

/* What a file claims is checked before memory is taken for it. */
static void test_bad_files(void **state)
{
    static const struct {
        const char *config, *says;
    } CASES[] = {
        {"{\"encoder\": \"x\"}", "no encoder 'x'"},
        {"{\"encoder\": \"gru4rec\", \"items_n\": 5}", "dim"},
        {"{\"encoder\": \"sasrec\", \"items_n\": 5, \"dim\": 3, \"history_max\": 4, \"hidden\": 2, "
         "\"layers_n\": 1, \"heads_n\": 2, \"dropout\": 0.0, \"side\": null, \"side_scale\": 0.1}",
         "no multiple of heads_n"},
        {"{\"encoder\": \"gru4rec\", \"items_n\": 4000000000, \"dim\": 4096, \"history_max\": 4, "
         "\"hidden\": 2, \"layers_n\": 1, \"heads_n\": 2, \"dropout\": 0.0, \"side\": null, "
         "\"side_scale\": 0.1}",
         "the file holds 0"},
        {"{\"encoder\": \"gru4rec\", \"items_n\": 5, \"dim\": 4, \"history_max\": 4, \"hidden\": "
         "2, "
         "\"layers_n\": 9, \"heads_n\": 2, \"dropout\": 0.0, \"side\": null, \"side_scale\": 0.1}",
         "layers_n is 9"},
        {"[", "config"},
    };
    char *dir = lcf_fixture_dir(), *path = lcf_path_join(dir, "m.lcf");

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        lcf_err err = LCF_ERR_INIT;
        lcf_next *m;

        write_config(path, CASES[i].config);
        assert_int_equal(lcf_next_open(&m, path, &err), LCF_EFORMAT);
        assert_null(m);
        if (!strstr(err.text, CASES[i].says))
            fail_msg("'%s' does not say '%s'", err.text, CASES[i].says);
    }
    lcf_dir_remove(dir, NULL);
    free(dir);
    free(path);
}

/* Whichever allocation of a training step fails: a status, no crash. */
static void test_memory(void **state)
{
    const uint32_t offsets[] = {0, 4, 6}, sequence[] = {0, 0, 1}, ends[] = {2, 4, 6};
    const uint32_t target[] = {5, 9, 2}, negatives[] = {1, 8, 3};
    const lcf_next_batch b = {2, 3, HISTORY, offsets, sequence, ends, NULL, NULL};

    (void)state;
    for (size_t e = 0; lcf_next_encoder_name(e); e++) {
        lcf_next *m = model_of(lcf_next_encoder_name(e), 1);
        lcf_grads grads;
        uint64_t at;

        assert_int_equal(lcf_grads_init(&grads, lcf_next_params(m), NULL), LCF_OK);
        for (at = 1;; at++) {
            lcf_tape *tape = NULL;
            lcf_status status;

            lcf_alloc_fail_at(at);
            status = lcf_tape_create(&tape, NULL);
            if (!status) {
                lcf_tensor *users, *side_loss;

                lcf_tape_reset(tape, true);
                users = lcf_next_users(&side_loss, tape, m, &grads, &b, NULL);
                lcf_tape_backward(
                    tape, lcf_next_loss(tape, m, &grads, users, LCF_NEXT_SAMPLED,
                                        &(lcf_next_targets){3, target, negatives, 3, NULL}));
                status = lcf_tape_status(tape);
            }
            lcf_alloc_fail_at(0);
            lcf_tape_free(tape);
            if (!status)
                break;
            assert_int_equal(status, LCF_ENOMEM);
        }
        assert_true(at > 3);
        lcf_grads_dispose(&grads);
        lcf_next_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_no_query_sees_the_future),
        cmocka_unit_test(test_sampled_becomes_full),
        cmocka_unit_test(test_weights_file),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_side_is_added),
        cmocka_unit_test(test_side_gradients),
        cmocka_unit_test(test_side_that_cannot_be),
        cmocka_unit_test(test_side_file),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
