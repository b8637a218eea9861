/* Embeddings, predictions and judgements: round trips, and what is refused. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/embeddings.h"
#include "common/data/judgements.h"
#include "common/data/predictions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH "test_embeddings.lcf"

static const float VECTORS[] = {0.0f, 0.0f, 1.0f, 0.0f, 0.6f, 0.8f, 0.0f, -1.0f};

static lcf_hash128 key(uint8_t first, uint8_t last)
{
    lcf_hash128 k = {{0}};

    k.bytes[0] = first;
    k.bytes[15] = last;
    return k;
}

static void test_rows(void **state)
{
    const uint32_t history[] = {1, 2, 1};
    float mean[2];
    lcf_embeddings e;

    (void)state;
    assert_int_equal(lcf_embeddings_save(PATH, VECTORS, NULL, 4, 2, NULL), LCF_OK);
    assert_int_equal(lcf_embeddings_open(&e, PATH, NULL), LCF_OK);
    assert_int_equal(e.n, 4);
    assert_int_equal(e.dim, 2);
    assert_null(e.keys);
    assert_memory_equal(e.vectors, VECTORS, sizeof(VECTORS));
    lcf_embeddings_mean(mean, &e, history, 3);
    assert_true(mean[0] == (1.0f + 0.6f + 1.0f) / 3.0f);
    assert_true(mean[1] == 0.8f / 3.0f);
    lcf_embeddings_mean(mean, &e, history, 0);
    assert_true(mean[0] == 0.0f && mean[1] == 0.0f);
    lcf_embeddings_close(&e);
    unlink(PATH);
}

static void test_keys(void **state)
{
    const lcf_hash128 keys[] = {key(0, 1), key(0, 2), key(1, 0), key(255, 0)};
    lcf_embeddings e;

    (void)state;
    assert_int_equal(lcf_embeddings_save(PATH, VECTORS, keys, 4, 2, NULL), LCF_OK);
    assert_int_equal(lcf_embeddings_open(&e, PATH, NULL), LCF_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(lcf_embeddings_find(&e, keys[i]), i);
    assert_true(lcf_embeddings_find(&e, key(0, 3)) == SIZE_MAX);
    assert_true(lcf_embeddings_find(&e, key(255, 1)) == SIZE_MAX);
    lcf_embeddings_close(&e);
    unlink(PATH);
}

static void test_refuses_embeddings(void **state)
{
    const float not_normal[] = {1.0f, 0.0f, 0.9f, 0.0f};
    const float not_a_number[] = {1.0f, 0.0f, NAN, 0.0f};
    const lcf_hash128 keys[] = {key(1, 0), key(1, 0)};
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_embeddings_save(PATH, not_normal, NULL, 2, 2, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "vectors[1]"));
    assert_int_equal(lcf_embeddings_save(PATH, not_a_number, NULL, 2, 2, NULL), LCF_EFORMAT);
    assert_int_equal(lcf_embeddings_save(PATH, VECTORS, keys, 2, 2, NULL), LCF_EFORMAT);
    assert_int_equal(lcf_embeddings_save(PATH, VECTORS, NULL, 4, 0, NULL), LCF_EINVAL);
    assert_false(lcf_path_exists(PATH));
}

/* A bundle of the right kind with these arrays. */
static void write_embeddings(const float *vectors, uint64_t n, const uint8_t *keys, uint64_t keys_n,
                             uint64_t key_bytes)
{
    const uint64_t dims[2] = {n, 2}, key_dims[2] = {keys_n, key_bytes};
    lcf_bundle_writer *w = NULL;

    assert_int_equal(lcf_bundle_create(&w, PATH, "embeddings", 1, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add(w, "vectors", LCF_F32, dims, 2, vectors, NULL), LCF_OK);
    if (keys)
        assert_int_equal(lcf_bundle_add(w, "keys", LCF_U8, key_dims, 2, keys, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_commit(w, NULL), LCF_OK);
}

static void test_refuses_embedding_files(void **state)
{
    const float bad[] = {3.0f, 0.0f};
    const uint8_t keys[48] = {0};
    lcf_embeddings e;

    (void)state;
    write_embeddings(bad, 1, NULL, 0, 0);
    assert_int_equal(lcf_embeddings_open(&e, PATH, NULL), LCF_EFORMAT);
    write_embeddings(VECTORS, 2, keys, 3, 16);
    assert_int_equal(lcf_embeddings_open(&e, PATH, NULL), LCF_EFORMAT);
    write_embeddings(VECTORS, 2, keys, 2, 8);
    assert_int_equal(lcf_embeddings_open(&e, PATH, NULL), LCF_EFORMAT);
    write_embeddings(VECTORS, 2, keys, 2, 16); /* not ascending */
    assert_int_equal(lcf_embeddings_open(&e, PATH, NULL), LCF_EFORMAT);
    assert_null(e.bundle);
    unlink(PATH);
    assert_int_equal(lcf_embeddings_open(&e, PATH, NULL), LCF_ENOENT);
}

static const uint64_t ROWS[] = {3, 5, 9}, SEEDS[] = {2023, 2024};
static const uint32_t USERS[] = {1, 1, 2};
static const uint8_t LABELS[] = {1, 0, 1};
static const float SCORES[] = {0.5f, 0.25f, 1.0f, 0.0f, 0.125f, 0.75f};

static lcf_predictions predictions(void)
{
    return (lcf_predictions){NULL, 3, 2, ROWS, USERS, LABELS, SEEDS, SCORES};
}

static void test_predictions(void **state)
{
    lcf_predictions p = predictions(), q;

    (void)state;
    assert_int_equal(lcf_predictions_save(PATH, &p, NULL), LCF_OK);
    assert_int_equal(lcf_predictions_open(&q, PATH, NULL), LCF_OK);
    assert_int_equal(q.rows_n, 3);
    assert_int_equal(q.seeds_n, 2);
    assert_memory_equal(q.row, ROWS, sizeof(ROWS));
    assert_memory_equal(q.user, USERS, sizeof(USERS));
    assert_memory_equal(q.label, LABELS, sizeof(LABELS));
    assert_memory_equal(q.seeds, SEEDS, sizeof(SEEDS));
    assert_memory_equal(q.scores, SCORES, sizeof(SCORES));
    lcf_predictions_close(&q);
    unlink(PATH);
}

static void test_refuses_predictions(void **state)
{
    static const float scores[] = {0.5f, 0.25f, 1.5f, 0.0f, 0.125f, 0.75f};
    static const float nan_scores[] = {0.5f, 0.25f, NAN, 0.0f, 0.125f, 0.75f};
    static const uint64_t rows[] = {3, 3, 9};
    static const uint8_t labels[] = {1, 2, 0};
    lcf_predictions p = predictions();
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    p.scores = scores;
    assert_int_equal(lcf_predictions_save(PATH, &p, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "scores[0, 2]"));
    p.scores = nan_scores;
    assert_int_equal(lcf_predictions_save(PATH, &p, NULL), LCF_EFORMAT);
    p = predictions();
    p.row = rows;
    assert_int_equal(lcf_predictions_save(PATH, &p, NULL), LCF_EFORMAT);
    p = predictions();
    p.label = labels;
    assert_int_equal(lcf_predictions_save(PATH, &p, NULL), LCF_EFORMAT);
    assert_false(lcf_path_exists(PATH));
}

static void test_judgements(void **state)
{
    static const float logits[] = {0.5f, -3.25f, 0.0f}, not_finite[] = {0.5f, INFINITY, 0.0f};
    static const uint64_t twice[] = {3, 3, 9};
    static const float logprobs[] = {-0.5f, 0.0f, -9.0f}, above[] = {-0.5f, 0.1f, -9.0f};
    static const uint32_t tokens[] = {7, 8, 9};
    const lcf_judgements j = {NULL, 3, ROWS, logits, logits, logprobs, tokens},
                         old = {.n = 3, .row = ROWS, .logit = logits},
                         wrong[] = {{NULL, 3, ROWS, not_finite, logits, logprobs, tokens},
                                    {NULL, 3, twice, logits, logits, logprobs, tokens},
                                    {NULL, 3, ROWS, logits, not_finite, logprobs, tokens},
                                    {NULL, 3, ROWS, logits, logits, above, tokens}};
    lcf_judgements back;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(lcf_judgements_save(PATH, &wrong[i], NULL), LCF_EFORMAT);
    assert_false(lcf_path_exists(PATH));
    assert_int_equal(lcf_judgements_save(PATH, &j, NULL), LCF_OK);
    assert_int_equal(lcf_judgements_open(&back, PATH, 9, NULL), LCF_EINVAL);
    assert_int_equal(lcf_judgements_open(&back, PATH, 10, NULL), LCF_OK);
    assert_int_equal(back.n, 3);
    assert_memory_equal(back.row, ROWS, sizeof(ROWS));
    assert_memory_equal(back.logit, logits, sizeof(logits));
    assert_memory_equal(back.yes_logit, logits, sizeof(logits));
    assert_memory_equal(back.yes_logprob, logprobs, sizeof(logprobs));
    assert_memory_equal(back.tokens, tokens, sizeof(tokens));
    lcf_judgements_close(&back);
    /* Differences alone: version 1. */
    assert_int_equal(lcf_judgements_save(PATH, &old, NULL), LCF_OK);
    assert_int_equal(lcf_judgements_open(&back, PATH, 10, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_version(back.bundle), 1);
    assert_memory_equal(back.logit, logits, sizeof(logits));
    assert_true(!back.yes_logit && !back.yes_logprob && !back.tokens);
    lcf_judgements_close(&back);
    unlink(PATH);
}

static void test_out_of_memory(void **state)
{
    lcf_predictions p = predictions(), q;
    lcf_status status = LCF_ENOMEM;

    (void)state;
    for (uint64_t n = 1; status; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_predictions_save(PATH, &p, NULL);
        lcf_alloc_fail_at(0);
        if (status && lcf_path_exists(PATH)) { /* the failure came after the last step */
            assert_int_equal(lcf_predictions_open(&q, PATH, NULL), LCF_OK);
            lcf_predictions_close(&q);
        }
    }
    status = LCF_ENOMEM;
    for (uint64_t n = 1; status; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_predictions_open(&q, PATH, NULL);
        lcf_alloc_fail_at(0);
    }
    lcf_predictions_close(&q);
    unlink(PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_refuses_embeddings),
        cmocka_unit_test(test_refuses_embedding_files),
        cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_refuses_predictions),
        cmocka_unit_test(test_judgements),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
