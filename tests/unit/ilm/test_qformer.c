/* The Q-Former: inference against the tape, what the masks let through, weights files. */
#include "common/base/mem.h"
#include "offline/ilm/qformer.h"
#include "tests/unit/test.h"

#include <math.h>

#define ITEMS 37 /* more than a block of inference */
#define DIM 6

static lcf_qformer_config small(void)
{
    lcf_qformer_config c = LCF_QFORMER_CONFIG_INIT;

    c.layers = 3;
    c.hidden = 16;
    c.heads = 2;
    c.ffn = 24;
    c.queries = 3;
    c.item_dim = DIM;
    c.feature_dim = 8;
    c.vocab = 20;
    c.text_max = 8;
    c.item_scale = 3.0f;
    return c;
}

/* Weights large enough that every path matters. */
static lcf_qformer *make(const lcf_qformer_config *config)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_qformer *m = NULL;

    assert_ok(lcf_qformer_create(&m, config, 1, &err), &err);
    for (size_t i = 0; i < lcf_qformer_params(m)->list_n; i++)
        if (lcf_qformer_params(m)->list[i].dims_n == 2)
            lcf_params_fill(lcf_qformer_params(m), i, LCF_INIT_NORMAL, 0.3f, 7);
        else if (strstr(lcf_qformer_params(m)->list[i].name, ".b"))
            lcf_params_fill(lcf_qformer_params(m), i, LCF_INIT_NORMAL, 0.1f, 8);
    return m;
}

static void fill_vectors(float *out, size_t n)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 5, 0);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)lcf_rng_normal(&rng);
}

static const uint32_t IDS[9] = {20, 1, 2, 22, 20, 5, 22, 20, 22};
static const uint32_t OFFSETS[4] = {0, 4, 7, 9};

typedef struct world {
    lcf_qformer *m;
    lcf_tape *tape;
    lcf_qformer_pass pass;
    float vectors[ITEMS * DIM];
} world;

static void open_world(world *w)
{
    const lcf_qformer_config c = small();

    w->m = make(&c);
    assert_int_equal(lcf_tape_create(&w->tape, NULL), LCF_OK);
    lcf_tape_reset(w->tape, false);
    w->pass = (lcf_qformer_pass){w->tape, w->m, NULL, NULL};
    fill_vectors(w->vectors, ITEMS * DIM);
}

static void close_world(world *w)
{
    assert_int_equal(lcf_tape_status(w->tape), LCF_OK);
    lcf_tape_free(w->tape);
    lcf_qformer_free(w->m);
}

static void assert_near(const float *a, const float *b, size_t n, float tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= tolerance))
            fail_msg("[%zu] %g, %g", i, (double)a[i], (double)b[i]);
}

/* The general attention over one key, on the tape, is the one product of inference. */
static void test_one_key(void **state)
{
    const size_t each = 3 * 16;
    float out[ITEMS * 3 * 16], one[3 * 16];
    lcf_tensor *want;
    world w;

    (void)state;
    open_world(&w);
    want = lcf_qformer_queries(&w.pass, w.vectors, ITEMS);
    assert_int_equal(want->n, ITEMS * each);
    assert_int_equal(lcf_qformer_encode(out, w.m, w.vectors, ITEMS, NULL), LCF_OK);
    assert_near(out, want->data, want->n, 1e-5f);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(lcf_qformer_encode(one, w.m, w.vectors + i * DIM, 1, NULL), LCF_OK);
        assert_near(one, out + i * each, each, 1e-5f);
    }
    /* Items and queries come out different, or the test would say nothing. */
    assert_true(fabsf(out[0] - out[16]) > 1e-3f && fabsf(out[0] - out[each]) > 1e-3f);
    close_world(&w);
}

/* Elements of rows [begin, end) that differ. */
static size_t changed(const lcf_tensor *a, const lcf_tensor *b, size_t begin, size_t end)
{
    size_t n = 0;

    for (size_t i = begin * 16; i < end * 16; i++)
        n += fabsf(a->data[i] - b->data[i]) > 1e-4f;
    return n;
}

/* Changes token 2 of text 0 (rows 0..3) under each mask. */
static void test_masks_of_text(void **state)
{
    const lcf_qformer_texts texts = {3, IDS, OFFSETS};
    uint32_t other[9];
    const lcf_qformer_texts changed_texts = {3, other, OFFSETS};
    world w;

    (void)state;
    open_world(&w);
    memcpy(other, IDS, sizeof(other));
    other[2] = 9;
    for (int mask = LCF_QFORMER_SEPARATE; mask <= LCF_QFORMER_UNILM; mask++) {
        const lcf_qformer_out a =
            lcf_qformer_forward(&w.pass, w.vectors, 3, &texts, (lcf_qformer_mask)mask);
        const lcf_qformer_out b =
            lcf_qformer_forward(&w.pass, w.vectors, 3, &changed_texts, (lcf_qformer_mask)mask);

        assert_int_equal(a.queries->n, 3 * 3 * 16);
        assert_int_equal(a.text->n, 9 * 16);
        assert_true(changed(a.text, b.text, 2, 4) > 16);    /* itself and what follows */
        assert_int_equal(changed(a.text, b.text, 4, 9), 0); /* other pairs never */
        assert_int_equal(changed(a.queries, b.queries, 3, 9), 0);
        assert_int_equal(changed(a.text, b.text, 0, 2) > 0, mask != LCF_QFORMER_UNILM);
        assert_int_equal(changed(a.queries, b.queries, 0, 3) > 0,
                         mask == LCF_QFORMER_BIDIRECTIONAL);
    }
    close_world(&w);
}

/* Changes the vector of pair 1 (queries 3..5, text rows 4..6). */
static void test_masks_of_vectors(void **state)
{
    const lcf_qformer_texts texts = {3, IDS, OFFSETS};
    float other[3 * DIM];
    world w;

    (void)state;
    open_world(&w);
    memcpy(other, w.vectors, sizeof(other));
    other[DIM] += 1.0f;
    for (int mask = LCF_QFORMER_SEPARATE; mask <= LCF_QFORMER_UNILM; mask++) {
        const lcf_qformer_out a =
            lcf_qformer_forward(&w.pass, w.vectors, 3, &texts, (lcf_qformer_mask)mask);
        const lcf_qformer_out b =
            lcf_qformer_forward(&w.pass, other, 3, &texts, (lcf_qformer_mask)mask);

        assert_true(changed(a.queries, b.queries, 3, 6) > 16);
        assert_int_equal(changed(a.queries, b.queries, 0, 3), 0);
        assert_int_equal(changed(a.queries, b.queries, 6, 9), 0);
        assert_int_equal(changed(a.text, b.text, 0, 4) + changed(a.text, b.text, 7, 9), 0);
        assert_int_equal(changed(a.text, b.text, 4, 7) > 0, mask != LCF_QFORMER_SEPARATE);
    }
    close_world(&w);
}

/* Queries that see no text are the same with and without one: one pass for contrast and writing. */
static void test_queries_are_shared(void **state)
{
    const lcf_qformer_texts texts = {3, IDS, OFFSETS};
    lcf_qformer_out out;
    lcf_tensor *alone;
    world w;

    (void)state;
    open_world(&w);
    alone = lcf_qformer_queries(&w.pass, w.vectors, 3);
    out = lcf_qformer_forward(&w.pass, w.vectors, 3, &texts, LCF_QFORMER_UNILM);
    assert_memory_equal(alone->data, out.queries->data, alone->n * sizeof(float));
    out = lcf_qformer_forward(&w.pass, NULL, 3, &texts, LCF_QFORMER_SEPARATE);
    assert_null(out.queries);
    assert_int_equal(out.text->n, 9 * 16);
    close_world(&w);
}

static void test_heads(void **state)
{
    const lcf_qformer_texts texts = {3, IDS, OFFSETS};
    lcf_tensor *q, *t, *match, *next;
    lcf_qformer_out out;
    world w;

    (void)state;
    open_world(&w);
    out = lcf_qformer_forward(&w.pass, w.vectors, 3, &texts, LCF_QFORMER_UNILM);
    q = lcf_qformer_query_features(&w.pass, out.queries);
    t = lcf_qformer_text_features(&w.pass, out.text, &texts);
    match = lcf_qformer_match(&w.pass, out.queries);
    next = lcf_qformer_next_token(&w.pass, out.text);
    assert_int_equal(q->n, 9 * 8);
    assert_int_equal(t->n, 3 * 8);
    assert_int_equal(match->n, 3 * 2);
    assert_int_equal(next->n, 9 * (20 + LCF_QFORMER_MARKS_N));
    for (size_t i = 0; i < 3; i++) {
        float norm = 0;

        for (size_t j = 0; j < 8; j++)
            norm += t->data[i * 8 + j] * t->data[i * 8 + j];
        assert_float_equal(norm, 1.0f, 1e-5f);
    }
    assert_float_equal(lcf_qformer_temperature(&w.pass, LCF_QFORMER_TEXTS)->data[0], 0.07f, 1e-7f);
    close_world(&w);
}

/* ---- configurations and files ---- */

static void refuse(void (*spoil)(lcf_qformer_config *c), const char *word)
{
    lcf_qformer_config c = small();
    lcf_err err = LCF_ERR_INIT;
    lcf_qformer *m = NULL;

    spoil(&c);
    assert_int_equal(lcf_qformer_create(&m, &c, 1, &err), LCF_EINVAL);
    assert_null(m);
    assert_non_null(strstr(err.text, word));
}
static void no_layers(lcf_qformer_config *c)
{
    c->layers = 0;
}
static void odd_heads(lcf_qformer_config *c)
{
    c->heads = 3;
}
static void no_queries(lcf_qformer_config *c)
{
    c->queries = 0;
}
static void no_scale(lcf_qformer_config *c)
{
    c->item_scale = 0;
}
static void all_dropped(lcf_qformer_config *c)
{
    c->dropout = 1;
}

static void test_bad_configurations(void **state)
{
    (void)state;
    refuse(no_layers, "layers");
    refuse(odd_heads, "heads");
    refuse(no_queries, "queries");
    refuse(no_scale, "item_scale");
    refuse(all_dropped, "dropout");
}

static void test_file(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "qformer.lcf");
    float a[3 * 3 * 16], b[3 * 3 * 16];
    lcf_err err = LCF_ERR_INIT;
    lcf_qformer *back = NULL;
    world w;

    (void)state;
    open_world(&w);
    assert_ok(lcf_qformer_save(w.m, path, &err), &err);
    assert_ok(lcf_qformer_open(&back, path, &err), &err);
    assert_memory_equal(lcf_qformer_config_of(back), lcf_qformer_config_of(w.m),
                        sizeof(lcf_qformer_config));
    assert_int_equal(lcf_qformer_encode(a, w.m, w.vectors, 3, NULL), LCF_OK);
    assert_int_equal(lcf_qformer_encode(b, back, w.vectors, 3, NULL), LCF_OK);
    assert_memory_equal(a, b, sizeof(a));
    lcf_qformer_free(back);
    close_world(&w);
    free(path);
    test_folder_remove(dir);
}

/* The example of the format: random weights of seed 1. */
static void test_example(void **state)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char *path = lcf_path_join(root ? root : ".", "schemas/examples/qformer.lcf");
    const lcf_qformer_config c = small();
    lcf_err err = LCF_ERR_INIT;
    lcf_qformer *m = NULL, *want = NULL;

    (void)state;
    assert_ok(lcf_qformer_open(&m, path, &err), &err);
    assert_ok(lcf_qformer_create(&want, &c, 1, &err), &err);
    assert_memory_equal(lcf_qformer_config_of(m), &c, sizeof(c));
    for (size_t i = 0; i < lcf_qformer_params(m)->values_n; i++)
        assert_float_equal(lcf_qformer_params(m)->values[i], lcf_qformer_params(want)->values[i],
                           1e-6f);
    lcf_qformer_free(m);
    lcf_qformer_free(want);
    free(path);
}

/* A file whose arrays are not those that its configuration asks for, or hold no numbers. */
static void write_wrong(const char *path, const lcf_qformer *m, const char *leave_out)
{
    lcf_bundle *bundle = NULL;
    lcf_bundle_writer *w = NULL;

    assert_int_equal(lcf_qformer_save(m, path, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_open(&bundle, path, NULL, 1, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_create(&w, path, "qformer", 1, NULL), LCF_OK);
    for (size_t i = 0; i < lcf_bundle_arrays_n(bundle); i++) {
        const lcf_array *a = lcf_bundle_array(bundle, i);

        if (strcmp(a->name, leave_out))
            assert_int_equal(
                lcf_bundle_add(w, a->name, a->dtype, a->dims, a->dims_n, a->data, NULL), LCF_OK);
    }
    lcf_bundle_close(bundle);
    assert_int_equal(lcf_bundle_commit(w, NULL), LCF_OK);
}

static void test_bad_files(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "qformer.lcf");
    lcf_err err = LCF_ERR_INIT;
    lcf_qformer *m = NULL;
    world w;

    (void)state;
    open_world(&w);
    assert_int_equal(lcf_qformer_open(&m, path, NULL), LCF_ENOENT);
    write_wrong(path, w.m, "qformer.config");
    assert_int_equal(lcf_qformer_open(&m, path, NULL), LCF_EFORMAT);
    write_wrong(path, w.m, "param.layer.1.self.qkv.w");
    assert_int_equal(lcf_qformer_open(&m, path, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "layer.1.self.qkv.w"));
    lcf_params_value(lcf_qformer_params(w.m), 0)[3] = NAN;
    assert_int_equal(lcf_qformer_save(w.m, path, NULL), LCF_OK);
    assert_int_equal(lcf_qformer_open(&m, path, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "query[3]"));
    assert_null(m);
    lcf_params_value(lcf_qformer_params(w.m), 0)[3] = 0;
    close_world(&w);
    free(path);
    test_folder_remove(dir);
}

/* The n-th allocation fails: a status, never a crash. */
static void test_no_memory(void **state)
{
    const lcf_qformer_config c = small();
    lcf_status status = LCF_ENOMEM;

    (void)state;
    for (uint64_t n = 1; status == LCF_ENOMEM; n++) {
        lcf_qformer *m = NULL;
        float vectors[2 * DIM] = {0}, out[2 * 3 * 16];

        lcf_alloc_fail_at(n);
        status = lcf_qformer_create(&m, &c, 1, NULL);
        if (!status)
            status = lcf_qformer_encode(out, m, vectors, 2, NULL);
        lcf_alloc_fail_at(0);
        lcf_qformer_free(m);
    }
    assert_int_equal(status, LCF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_key),
        cmocka_unit_test(test_masks_of_text),
        cmocka_unit_test(test_masks_of_vectors),
        cmocka_unit_test(test_queries_are_shared),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_bad_configurations),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
