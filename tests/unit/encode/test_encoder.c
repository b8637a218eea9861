/* The lexical encoder: near texts are near, and its file gives the same vectors. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/text/text_encoder.h"
#include "offline/encode/encoder.h"
#include "offline/llama/bert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTS = 300, DIM = 32 };

static char text_bytes[TEXTS][256];
static lcf_str texts[TEXTS];

static const char *const TOPICS[6][8] = {
    {"space", "rocket", "alien", "galaxy", "android", "starship", "planet", "laser"},
    {"wedding", "romance", "kiss", "love", "summer", "letter", "heart", "dance"},
    {"murder", "detective", "clue", "corpse", "night", "police", "suspect", "knife"},
    {"shampoo", "conditioner", "hair", "scalp", "curl", "moisture", "argan", "keratin"},
    {"lipstick", "matte", "rouge", "gloss", "shade", "pigment", "velvet", "lips"},
    {"war", "soldier", "trench", "general", "battle", "tank", "bomber", "front"},
};

/* Text i is about topic i % 6. */
static void make_texts(void)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 4, 0);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t used = 0;
        for (size_t w = 0; w < 12; w++)
            used +=
                (size_t)snprintf(text_bytes[i] + used, sizeof(text_bytes[i]) - used, "%s %s ",
                                 TOPICS[i % 6][lcf_rng_below(&rng, 8)], w % 4 ? "and" : "with the");
        texts[i] = (lcf_str){text_bytes[i], used};
    }
}

static lcf_encoder *fit(size_t threads)
{
    lcf_lexical_options options = LCF_LEXICAL_OPTIONS_INIT;
    lcf_encoder *e;
    lcf_pool *pool;
    lcf_err err = LCF_ERR_INIT;

    options.dim = DIM;
    options.bits = 13;
    assert_int_equal(lcf_pool_create(&pool, threads, NULL), LCF_OK);
    if (lcf_encoder_fit_lexical(&e, texts, TEXTS, &options, pool, &err))
        fail_msg("%s", err.text);
    lcf_pool_free(pool);
    return e;
}

static void encode(float *out, const lcf_encoder *e, const lcf_str *t, size_t n, size_t threads)
{
    lcf_pool *pool;

    assert_int_equal(lcf_pool_create(&pool, threads, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_encode(out, e, t, n, pool, NULL), LCF_OK);
    lcf_pool_free(pool);
}

static double cosine(const float *a, const float *b)
{
    double sum = 0;

    for (size_t i = 0; i < DIM; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static lcf_str str(const char *s)
{
    return (lcf_str){s, strlen(s)};
}

static void test_near_is_near(void **state)
{
    const lcf_str asked[] = {
        str("A detective, a corpse and a clue: murder at night"),
        str("The DETECTIVE, a corpse and the clue; murder by night"),
        str("detectives and murderers"), /* by characters: no word of these was seen */
        str("hair shampoo with argan moisture"),
        str("zzyzx qwrtp"),
        str(""),
    };
    float v[6 * DIM];
    lcf_encoder *e;

    (void)state;
    make_texts();
    e = fit(2);
    assert_int_equal(lcf_encoder_dim(e), DIM);
    encode(v, e, asked, 6, 1);
    for (int i = 0; i < 4; i++)
        assert_true(fabs(cosine(v + i * DIM, v + i * DIM) - 1) < 1e-4);
    assert_true(cosine(v, v + DIM) > 0.8);
    assert_true(cosine(v, v + 2 * DIM) > 0.5);
    assert_true(cosine(v, v + 3 * DIM) < 0.3);
    for (int i = 0; i < DIM; i++)
        assert_true(v[5 * DIM + i] == 0);
    lcf_encoder_free(e);
}

/* Texts of one topic are nearer to each other than to any of another. */
static void test_topics(void **state)
{
    static float v[TEXTS * DIM];
    double within = 0, across = 0;
    size_t within_n = 0, across_n = 0;
    lcf_encoder *e;

    (void)state;
    make_texts();
    e = fit(1);
    encode(v, e, texts, TEXTS, 2);
    for (size_t i = 0; i < TEXTS; i++)
        for (size_t j = 0; j < i; j++) {
            double c = cosine(v + i * DIM, v + j * DIM);
            if (i % 6 == j % 6) {
                within += c;
                within_n++;
            } else {
                across += c;
                across_n++;
            }
        }
    within /= (double)within_n;
    across /= (double)across_n;
    print_message("mean cosine within a topic %.3f, across %.3f\n", within, across);
    assert_true(within > across + 0.4);
    lcf_encoder_free(e);
}

static void test_same_bytes(void **state)
{
    static float a[TEXTS * DIM], b[TEXTS * DIM];
    lcf_encoder *one, *three, *opened;
    lcf_buf first = LCF_BUF_INIT, second = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    make_texts();
    one = fit(1);
    three = fit(3);
    assert_int_equal(lcf_encoder_save(one, "one.lcf", &err), LCF_OK);
    assert_int_equal(lcf_encoder_save(three, "three.lcf", &err), LCF_OK);
    assert_int_equal(lcf_file_read(&first, "one.lcf", SIZE_MAX, NULL), LCF_OK);
    assert_int_equal(lcf_file_read(&second, "three.lcf", SIZE_MAX, NULL), LCF_OK);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    if (lcf_encoder_open(&opened, "one.lcf", &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_encoder_dim(opened), DIM);
    encode(a, one, texts, TEXTS, 1);
    encode(b, opened, texts, TEXTS, 3);
    assert_memory_equal(a, b, sizeof(a));
    encode(b, opened, texts + 7, 1, 1); /* alone as among others */
    assert_memory_equal(a + 7 * DIM, b, DIM * sizeof(float));
    lcf_encoder_free(opened);
    /* damage is refused */
    for (size_t at = 0; at < first.len; at += first.len / 50 + 1) {
        first.data[at] ^= 4;
        assert_int_equal(lcf_file_write("one.lcf", first.data, first.len, NULL), LCF_OK);
        if (lcf_encoder_open(&opened, "one.lcf", &err) == LCF_OK) { /* padding */
            encode(b, opened, texts, TEXTS, 1);
            assert_memory_equal(a, b, sizeof(a));
            lcf_encoder_free(opened);
        }
        first.data[at] ^= 4;
    }
    assert_int_equal(lcf_encoder_open(&opened, "missing.lcf", &err), LCF_ENOENT);
    lcf_buf_dispose(&first);
    lcf_buf_dispose(&second);
    lcf_encoder_free(one);
    lcf_encoder_free(three);
}

static void test_few_texts(void **state)
{
    const lcf_str two[] = {str("red apple"), str("green pear")};
    const lcf_str none[] = {str(""), str(" .,! ")};
    lcf_lexical_options options = LCF_LEXICAL_OPTIONS_INIT;
    float v[2 * 256];
    lcf_encoder *e;
    lcf_pool *pool;
    double norm = 0, across = 0;
    size_t zero_dims = 0;

    (void)state;
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_fit_lexical(&e, none, 2, &options, pool, NULL), LCF_EINVAL);
    assert_int_equal(lcf_encoder_fit_lexical(&e, none, 0, &options, pool, NULL), LCF_EINVAL);
    assert_int_equal(lcf_encoder_fit_lexical(&e, two, 2, &options, pool, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_encode(v, e, two, 2, pool, NULL), LCF_OK);
    for (size_t i = 0; i < 256; i++) {
        norm += (double)v[i] * v[i];
        across += (double)v[i] * v[256 + i];
        zero_dims += v[i] == 0 && v[256 + i] == 0;
    }
    assert_true(fabs(norm - 1) < 1e-4);
    assert_true(fabs(across) < 0.2);
    assert_int_equal(zero_dims, 254); /* rank 2 */
    lcf_encoder_free(e);
    lcf_pool_free(pool);
}

static void test_texts_max(void **state)
{
    lcf_lexical_options options = LCF_LEXICAL_OPTIONS_INIT;
    static float v[TEXTS * DIM];
    lcf_encoder *e;
    lcf_pool *pool;

    (void)state;
    make_texts();
    options.dim = DIM;
    options.bits = 13;
    options.texts_max = 131; /* spread over all topics */
    assert_int_equal(lcf_pool_create(&pool, 2, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_fit_lexical(&e, texts, TEXTS, &options, pool, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_encode(v, e, texts, TEXTS, pool, NULL), LCF_OK);
    for (size_t i = 0; i + 6 < TEXTS; i += 7)
        assert_true(cosine(v + i * DIM, v + (i + 6) * DIM) >
                    cosine(v + i * DIM, v + (i + 1) * DIM));
    lcf_encoder_free(e);
    lcf_pool_free(pool);
}

/* The example of schemas/encoder.md. */
static void test_golden(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    const lcf_str asked[] = {str("qqq zzz"), str("action")};
    char path[4096];
    float v[2 * 8];
    lcf_encoder *e;
    lcf_pool *pool;
    lcf_err err = LCF_ERR_INIT;
    double norm = 0;

    (void)state;
    snprintf(path, sizeof(path), "%s/schemas/examples/encoder.lcf", source ? source : ".");
    if (lcf_encoder_open(&e, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_encoder_dim(e), 8);
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_encode(v, e, asked, 2, pool, NULL), LCF_OK);
    for (size_t i = 0; i < 8; i++)
        norm += (double)v[8 + i] * v[8 + i];
    assert_true(fabs(norm - 1) < 1e-4);
    lcf_pool_free(pool);
    lcf_encoder_free(e);
}

/* A BERT is an encoder like the other: opened by what it is, saved as it was. */
static void test_bert(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    const lcf_str asked[] = {str("the cat"), str(""), str("a mat")};
    char path[4096];
    float v[3 * 24], again[3 * 24];
    lcf_encoder *e, *copy;
    lcf_pool *pool;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    snprintf(path, sizeof(path), "%s/tests/parity/golden/bert_mean.gguf", source ? source : ".");
    if (lcf_encoder_open(&e, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_encoder_dim(e), 24);
    assert_int_equal(lcf_encoder_save(e, "bert.lcf", &err), LCF_OK);
    assert_int_equal(lcf_encoder_open(&copy, "bert.lcf", &err), LCF_OK);
    assert_int_equal(lcf_pool_create(&pool, 2, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_encode(v, e, asked, 3, pool, NULL), LCF_OK);
    assert_int_equal(lcf_encoder_encode(again, copy, asked, 3, pool, NULL), LCF_OK);
    assert_memory_equal(v, again, sizeof(v));
    for (size_t i = 0; i < 24; i++)
        assert_true(v[24 + i] == 0 && v[i] != v[48 + i]);
    lcf_pool_free(pool);
    lcf_encoder_free(e);
    lcf_encoder_free(copy);
    assert_int_equal(remove("bert.lcf"), 0);
}

static lcf_status write_part(const lcf_gguf *g, const char *path, uint32_t no, lcf_err *err)
{
    lcf_gguf_writer *w = NULL;
    lcf_status status = lcf_gguf_create(&w, path, err);

    for (size_t i = 0; lcf_gguf_key_at(g, i) && !status; i++) {
        lcf_gguf_value value = lcf_gguf_value_at(g, i);
        status = lcf_gguf_add_value(w, lcf_gguf_key_at(g, i), &value, err);
    }
    if (!status)
        status = lcf_gguf_add_u32(w, "split.count", 2, err);
    if (!status)
        status = lcf_gguf_add_u32(w, "split.no", no, err);
    for (size_t i = no; i < lcf_gguf_tensors_n(g) && !status; i += 2) {
        const lcf_gguf_tensor *t = lcf_gguf_tensor_at(g, i);
        status = lcf_gguf_add_converted(w, t, t->type, err);
    }
    if (!status) {
        status = lcf_gguf_commit(w, err);
        w = NULL;
    }
    lcf_gguf_abandon(w);
    return status;
}

/* It could not be copied beside the vectors, which must show before they are made. */
static void test_bert_in_parts(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    static const char *const parts[] = {"bert-00001-of-00002.gguf", "bert-00002-of-00002.gguf"};
    char path[4096];
    lcf_encoder *e;
    lcf_bert *b;
    lcf_gguf *g;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    snprintf(path, sizeof(path), "%s/tests/parity/golden/bert_mean.gguf", source ? source : ".");
    assert_int_equal(lcf_gguf_open(&g, path, &err), LCF_OK);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(write_part(g, parts[i], i, &err), LCF_OK);
    lcf_gguf_close(g);
    assert_int_equal(lcf_bert_open(&b, parts[0], &err), LCF_OK);
    lcf_bert_close(b);
    assert_int_equal(lcf_encoder_open(&e, parts[0], &err), LCF_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "2 files"));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(remove(parts[i]), 0);
}

static lcf_status write_one_row(uint32_t bucket, float idf, float component)
{
    const uint32_t bits = 4;
    const uint64_t dims[2] = {1, 1};
    const float sigma = 1;
    lcf_bundle_writer *w;

    assert_int_equal(lcf_bundle_create(&w, "row.lcf", LCF_TEXT_ENCODER_KIND, 1, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add_text(w, "type", "lexical", NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add_1d(w, "bits", LCF_U32, 1, &bits, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add_1d(w, "bucket", LCF_U32, 1, &bucket, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add_1d(w, "idf", LCF_F32, 1, &idf, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add(w, "components", LCF_F32, dims, 2, &component, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add_1d(w, "sigma", LCF_F32, 1, &sigma, NULL), LCF_OK);
    return lcf_bundle_commit(w, NULL);
}

/* Whole files, and yet no encoder. */
static void test_wrong_values(void **state)
{
    static const struct {
        uint32_t bucket;
        float idf, component;
        lcf_status status;
    } cases[] = {
        {15, 1, 1, LCF_OK},
        {16, 1, 1, LCF_EFORMAT},
        {15, NAN, 1, LCF_EFORMAT},
        {15, 1, -INFINITY, LCF_EFORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        lcf_text_encoder e;

        assert_int_equal(write_one_row(cases[i].bucket, cases[i].idf, cases[i].component), LCF_OK);
        assert_int_equal(lcf_text_encoder_open(&e, "row.lcf", NULL), cases[i].status);
        lcf_text_encoder_close(&e);
    }
    assert_int_equal(remove("row.lcf"), 0);
}

static void test_features(void **state)
{
    lcf_features f;
    size_t ascii, accented;

    (void)state;
    assert_int_equal(lcf_features_init(&f, 20, NULL), LCF_OK);
    assert_int_equal(lcf_features_of(&f, str("ab"), NULL), LCF_OK);
    assert_int_equal(f.n, 4); /* the word; <ab ab> <ab> */
    assert_int_equal(lcf_features_of(&f, str("ab, AB"), NULL), LCF_OK);
    assert_int_equal(f.n, 5); /* and the pair */
    assert_true(fabsf(f.weight[0] - (1 + logf(2))) < 1e-6f);
    assert_int_equal(lcf_features_of(&f, str("cafes"), NULL), LCF_OK);
    ascii = f.n;
    assert_int_equal(lcf_features_of(&f, str("caf\xc3\xa9s"), NULL), LCF_OK);
    accented = f.n;
    assert_int_equal(ascii, accented); /* by characters, not by bytes */
    assert_int_equal(lcf_features_of(&f, str("\xff\xfe\x80 broken \xc3"), NULL), LCF_OK);
    assert_int_equal(lcf_features_of(&f, str(""), NULL), LCF_OK);
    assert_int_equal(f.n, 0);
    lcf_features_dispose(&f);
}

static lcf_status all_steps(lcf_pool *pool, lcf_err *err)
{
    lcf_lexical_options options = LCF_LEXICAL_OPTIONS_INIT;
    float v[8];
    lcf_encoder *e, *opened;
    lcf_status status;

    options.dim = 8;
    options.bits = 10;
    status = lcf_encoder_fit_lexical(&e, texts, 40, &options, pool, err);
    if (status)
        return status;
    status = lcf_encoder_save(e, "oom.lcf", err);
    lcf_encoder_free(e);
    if (!status)
        status = lcf_encoder_open(&opened, "oom.lcf", err);
    if (status)
        return status;
    status = lcf_encoder_encode(v, opened, texts, 1, pool, err);
    lcf_encoder_free(opened);
    return status;
}

static void test_out_of_memory(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;
    lcf_pool *pool;
    uint64_t n = 0;

    (void)state;
    make_texts();
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    do {
        lcf_alloc_fail_at(++n);
        status = all_steps(pool, &err);
        lcf_alloc_fail_at(0);
        if (status && status != LCF_ENOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, err.text);
    } while (status && n < 1000);
    assert_int_equal(status, LCF_OK);
    assert_true(n > 20);
    lcf_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_bert_in_parts), cmocka_unit_test(test_features),
        cmocka_unit_test(test_near_is_near),  cmocka_unit_test(test_topics),
        cmocka_unit_test(test_same_bytes),    cmocka_unit_test(test_few_texts),
        cmocka_unit_test(test_texts_max),     cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_wrong_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
