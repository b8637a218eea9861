/*
 * encode, index and retrieve over the dataset of schemas/examples: the artefacts are made, no row
 * of any split gets an example that the rule forbids, and memory that runs out leaves nothing half
 * made.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/predictions.h"
#include "common/store/cot_store.h"
#include "common/store/retrieved.h"
#include "offline/encode/steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char g_dataset[4096];

/* A record for every row of the dataset, also those of valid and test, which must not be used. */
static void make_store(void)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *store;
    lcf_dataset d;
    lcf_err err = LCF_ERR_INIT;

    options.write = true;
    if (lcf_dataset_open(&d, g_dataset, &err) || lcf_cot_store_open(&store, "cot", &options, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < d.samples_n; i++) {
        lcf_hash128 hash = lcf_dataset_sample_hash(&d, i);
        lcf_cot_record r = {.key = lcf_hash128_of(&hash, sizeof(hash)),
                            .sample_hash = hash,
                            .user_id = "u",
                            .item_id = "i",
                            .text = i % 2 ? "likes space adventures" : "prefers quiet dramas",
                            .score = 0.5f,
                            .reject_reason = "",
                            .model_id = "m",
                            .prompt_version = "1",
                            .sampling = ""};
        assert_int_equal(lcf_cot_store_put(store, &r, 1, &err), LCF_OK);
    }
    lcf_cot_store_close(store);
    lcf_dataset_close(&d);
}

static lcf_status run_all(lcf_retrieval_mode mode, uint32_t k, bool balanced, lcf_err *err)
{
    lcf_encode_options encode = LCF_ENCODE_OPTIONS_INIT;
    lcf_index_options index = {g_dataset, "cot", "vectors", "examples", LCF_FAISS_FLAT, false, false};
    lcf_retrieve_options retrieve = LCF_RETRIEVE_OPTIONS_INIT;
    json_t *stats = NULL;
    bool current;
    lcf_status status;

    encode.dataset_dir = g_dataset;
    encode.cot_dir = "cot";
    encode.out_dir = "vectors";
    encode.lexical.dim = 8;
    encode.lexical.bits = 8;
    encode.threads = 1;
    retrieve.dataset_dir = g_dataset;
    retrieve.vectors_dir = "vectors";
    retrieve.examples_dir = "examples";
    retrieve.out_dir = "retrieved";
    retrieve.rule.mode = mode;
    retrieve.rule.k = k;
    retrieve.rule.balanced = balanced;
    retrieve.threads = 1;
    status = lcf_encode_run(&stats, &current, &encode, err);
    json_decref(stats);
    if (status)
        return status;
    status = lcf_index_run(&stats, &current, &index, err);
    json_decref(stats);
    if (status)
        return status;
    status = lcf_retrieve_run(&stats, &current, &retrieve, err);
    json_decref(stats);
    return status;
}

static void check_row(const lcf_dataset *d, const lcf_examples *e, size_t row, const uint32_t *ids,
                      lcf_retrieval_mode mode, uint32_t k, bool balanced)
{
    lcf_sample s = lcf_dataset_sample(d, row);
    lcf_hash128 own = lcf_dataset_sample_hash(d, row);
    uint32_t positives = 0, n = 0;

    for (uint32_t i = 0; i < k; i++) {
        uint32_t x = ids[i];
        if (x == LCF_EXAMPLE_NONE)
            continue;
        assert_true(x < e->n);
        assert_int_equal(n, i); /* no gap */
        n++;
        positives += e->label[x];
        assert_true(memcmp(&own, &e->sample_hash[x], sizeof(own)) != 0);
        if (mode == LCF_RETRIEVE_STRICT || e->user[x] == s.user)
            assert_true(e->time[x] < s.time);
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(ids[j], x);
    }
    if (balanced) {
        assert_true(positives <= k - k / 2);
        assert_true(n - positives <= k / 2);
    }
}

/* No example is of valid or test: they come from training rows alone. */
static void check_examples(const lcf_dataset *d, const lcf_examples *e)
{
    size_t train = 0;

    for (size_t i = 0; i < d->samples_n; i++) {
        lcf_hash128 hash = lcf_dataset_sample_hash(d, i);
        for (size_t x = 0; x < e->n; x++)
            if (!memcmp(&hash, &e->sample_hash[x], sizeof(hash))) {
                assert_true(i < d->split_begin[LCF_VALID]);
                assert_int_equal(e->label[x], d->sample_label[i]);
                assert_true(e->time[x] == d->sample_time[i]);
                train++;
            }
    }
    assert_int_equal(train, d->split_begin[LCF_VALID]);
    assert_int_equal(e->n, train);
}

/* valid.lcf holds what the labels of each row's examples say. */
static void check_votes(const lcf_dataset *d, const lcf_examples *e, const lcf_retrieved *r)
{
    lcf_predictions p;
    const size_t k = r->rule.k;

    assert_int_equal(lcf_predictions_open(&p, "retrieved/valid.lcf", NULL), LCF_OK);
    assert_int_equal(p.rows_n, d->split_begin[LCF_VALID + 1] - d->split_begin[LCF_VALID]);
    for (size_t i = 0; i < p.rows_n; i++) {
        const uint32_t *ids = r->ids + p.row[i] * k;
        const float *scores = r->scores + p.row[i] * k;
        double positive = 0, all = 0;

        for (size_t j = 0; j < k; j++)
            if (ids[j] != LCF_EXAMPLE_NONE && scores[j] > 0) {
                all += (double)scores[j];
                positive += (double)scores[j] * e->label[ids[j]];
            }
        assert_float_equal(p.scores[i], all > 0 ? positive / all : 0.5, 1e-6);
    }
    lcf_predictions_close(&p);
}

static void check_all(lcf_retrieval_mode mode, uint32_t k, bool balanced)
{
    lcf_dataset d;
    lcf_examples e;
    lcf_retrieved r;
    lcf_err err = LCF_ERR_INIT;

    if (run_all(mode, k, balanced, &err) || lcf_dataset_open(&d, g_dataset, &err) ||
        lcf_examples_open(&e, "examples", &err) ||
        lcf_retrieved_open(&r, "retrieved/retrieved.lcf", d.samples_n, e.n, &err))
        fail_msg("%s", err.text);
    assert_int_equal(r.rule.k, k);
    assert_int_equal(r.rule.mode, mode);
    assert_int_equal(r.rule.balanced, balanced);
    check_votes(&d, &e, &r);
    check_examples(&d, &e);
    for (size_t row = 0; row < d.samples_n; row++)
        check_row(&d, &e, row, r.ids + row * k, mode, k, balanced);
    lcf_retrieved_close(&r);
    lcf_examples_close(&e);
    lcf_dataset_close(&d);
}

static void test_no_leak(void **state)
{
    (void)state;
    for (int mode = 0; mode < 2; mode++)
        for (int balanced = 0; balanced < 2; balanced++) {
            check_all((lcf_retrieval_mode)mode, 4, balanced);
            check_all((lcf_retrieval_mode)mode, 5, balanced);
            check_all((lcf_retrieval_mode)mode, 16, balanced);
        }
}

static void test_out_of_memory(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;
    uint64_t n = 0;

    (void)state;
    do {
        assert_int_equal(lcf_dir_remove("vectors", NULL), LCF_OK);
        assert_int_equal(lcf_dir_remove("examples", NULL), LCF_OK);
        assert_int_equal(lcf_dir_remove("retrieved", NULL), LCF_OK);
        n += n < 100 ? 1 : 7;
        lcf_alloc_fail_at(n);
        status = run_all(LCF_RETRIEVE_SAME_USER, 4, true, &err);
        lcf_alloc_fail_at(0);
        if (status && status != LCF_ENOMEM)
            fail_msg("allocation %llu: %s: %s", (unsigned long long)n, lcf_status_text(status),
                     err.text);
        /* what is there is whole */
        if (lcf_path_exists("examples")) {
            lcf_examples e;
            assert_int_equal(lcf_examples_open(&e, "examples", NULL), LCF_OK);
            lcf_examples_close(&e);
        }
        assert_int_equal(lcf_path_exists("retrieved"), status == LCF_OK);
    } while (status && n < 5000);
    print_message("%llu allocations\n", (unsigned long long)n);
    assert_int_equal(status, LCF_OK);
    assert_true(n > 50);
}

static char work[] = "/dev/shm/lcf-steps-XXXXXX";
static char home[4096];

/* In memory where that can be had: these tests sync many files. */
static int enter(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");

    (void)state;
    if (!source || !getcwd(home, sizeof(home)))
        return -1;
    snprintf(g_dataset, sizeof(g_dataset), "%s/schemas/examples/dataset", source);
    if (mkdtemp(work) && chdir(work))
        return -1;
    lcf_dir_remove("cot", NULL);
    make_store();
    return 0;
}

static int leave(void **state)
{
    (void)state;
    if (chdir(home))
        return -1;
    return lcf_path_exists(work) ? lcf_dir_remove(work, NULL) : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_leak),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, enter, leave);
}
