/*
 * Examples: the folder round-trips, the search finds exactly what the definition finds, ties and
 * all, and no example breaks the rule.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/retrieved.h"
#include "tests/unit/store/examples_world.h"
#include "tests/unit/store/work_folder.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void compare(const lcf_examples *e, const lcf_example_query *q, size_t n,
                    const lcf_example_options *o)
{
    uint32_t *a = calloc(n * o->k, 4), *b = calloc(n * o->k, 4);
    float *as = calloc(n * o->k, 4), *bs = calloc(n * o->k, 4);
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_examples_search_exact(a, as, e, q, n, o, &err), LCF_OK);
    if (lcf_examples_search(b, bs, e, q, n, o, &err))
        fail_msg("%s", err.text);
    assert_memory_equal(a, b, n * o->k * 4);
    assert_memory_equal(as, bs, n * o->k * 4);
    for (size_t i = 0; i < n; i++)
        world_check_rule(e, &q[i], b + i * o->k, o);
    free(a);
    free(b);
    free(as);
    free(bs);
}

static void compare_all(size_t n, size_t dim, uint32_t users, size_t distinct, size_t queries_n)
{
    world w;
    lcf_examples e;
    lcf_example_query *q;

    world_init(&w, n, dim, users, distinct, n + dim);
    world_open(&e, &w, "compare");
    q = world_queries(&e, queries_n, 5);
    for (uint32_t k = 1; k <= LCF_EXAMPLES_K_MAX; k += k < 5 ? 1 : 4)
        for (int balanced = 0; balanced < 2; balanced++)
            for (int mode = 0; mode < 2; mode++) {
                lcf_example_options o = {k, balanced != 0, (lcf_retrieval_mode)mode,
                                         (lcf_retrieval_by)((k + (unsigned)mode) % 3), 0.0};
                compare(&e, q, queries_n, &o);
            }
    free(q);
    lcf_examples_close(&e);
    world_dispose(&w);
}

static void test_equals_definition(void **state)
{
    (void)state;
    compare_all(1500, 24, 40, 500, 120);
}

static void test_ties(void **state)
{
    (void)state;
    compare_all(900, 16, 30, 3, 60);
    compare_all(400, 16, 5, 1, 60);
}

/* One request: many targets for one user, some of them rows of the examples themselves. */
static void compare_request(const lcf_examples *e, size_t n, uint64_t seed)
{
    lcf_example_query *q = world_queries(e, n, seed);

    for (size_t i = 0; i < n; i++) {
        q[i].user = q[0].user;
        q[i].time = q[0].time;
        q[i].history_vec = q[0].history_vec;
    }
    for (uint32_t k = 1; k <= LCF_EXAMPLES_K_MAX; k += k < 4 ? 1 : 6)
        for (int balanced = 0; balanced < 2; balanced++)
            for (int mode = 0; mode < 2; mode++) {
                lcf_example_options o = {k, balanced != 0, (lcf_retrieval_mode)mode,
                                         (lcf_retrieval_by)((k + (unsigned)mode) % 3), 0.0};
                compare(e, q, n, &o);
            }
    free(q);
}

static void test_requests(void **state)
{
    static const size_t distinct[] = {1, 5, 400};

    (void)state;
    for (int i = 0; i < 3; i++) {
        world w;
        lcf_examples e;
        world_init(&w, 900, 19, 3, distinct[i], 40 + (uint64_t)i);
        world_open(&e, &w, "request");
        for (uint64_t seed = 1; seed < 4; seed++)
            compare_request(&e, 70, seed);
        lcf_examples_close(&e);
        world_dispose(&w);
    }
}

static void test_few_users(void **state)
{
    (void)state;
    compare_all(1200, 19, 1, 400, 300); /* most of what is near is the user's own future */
}

static void test_small(void **state)
{
    (void)state;
    compare_all(1, 8, 1, 1, 5);
    compare_all(7, 8, 2, 4, 20);
}

static void test_empty(void **state)
{
    world w;
    lcf_examples e;
    lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;
    float v[8] = {1};
    lcf_example_query q = {1, 5, {{0}}, v, v};
    uint32_t ids[4];
    float scores[4];

    (void)state;
    world_init(&w, 0, 8, 1, 1, 1);
    world_open(&e, &w, "empty");
    assert_int_equal(lcf_examples_search(ids, scores, &e, &q, 1, &o, NULL), LCF_OK);
    for (int i = 0; i < 4; i++) {
        assert_true(ids[i] == LCF_EXAMPLE_NONE);
        assert_true(scores[i] == 0);
    }
    o.k = 17;
    assert_int_equal(lcf_examples_search(ids, scores, &e, &q, 1, &o, NULL), LCF_EINVAL);
    o.k = 0;
    assert_int_equal(lcf_examples_search(ids, scores, &e, &q, 1, &o, NULL), LCF_EINVAL);
    lcf_examples_close(&e);
    world_dispose(&w);
}

/* Six examples of one dimension pair, worked out by hand. */
static void test_hand_worked(void **state)
{
    lcf_hash128 key[6] = {{{0}}}, hash[6] = {{{1}}, {{2}}, {{3}}, {{4}}, {{5}}, {{6}}};
    uint32_t user[6] = {1, 1, 2, 2, 3, 3}, item[6] = {0}, history[6 * LCF_HISTORY_MAX] = {0};
    uint32_t history_n[6] = {0};
    uint8_t label[6] = {1, 0, 1, 0, 1, 0};
    int64_t time[6] = {10, 20, 30, 40, 50, 60};
    float h[12] = {1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0};
    float t[12] = {1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0};
    float cot[6] = {1, 1, 1, 1, 1, 1}, qh[2] = {1, 0}, qt[2] = {1, 0};
    lcf_examples e = {.n = 6,
                      .text_dim = 2,
                      .cot_dim = 1,
                      .key = key,
                      .sample_hash = hash,
                      .user = user,
                      .item = item,
                      .label = label,
                      .time = time,
                      .history = history,
                      .history_n = history_n,
                      .history_vec = h,
                      .target_vec = t,
                      .cot_vec = cot};
    lcf_example_query q = {1, 15, {{1}}, qh, qt}; /* the row of example 0 itself, but later */
    lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;
    uint32_t ids[4];
    float scores[4];

    (void)state;
    /* scores: 1, .5, .5, 0, .5, 1. 0 is the row itself; 1 is the same user, later. */
    assert_int_equal(lcf_examples_search(ids, scores, &e, &q, 1, &o, NULL), LCF_OK);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 4);
    assert_int_equal(ids[2], 5);
    assert_int_equal(ids[3], 3);
    assert_true(scores[0] == 0.5f && scores[2] == 1.0f && scores[3] == 0.0f);
    q.time = 45;
    o.mode = LCF_RETRIEVE_STRICT;
    o.balanced = false;
    assert_int_equal(lcf_examples_search(ids, scores, &e, &q, 1, &o, NULL), LCF_OK);
    assert_int_equal(ids[0], 2); /* the positive first */
    assert_int_equal(ids[1], 1);
    assert_int_equal(ids[2], 3);
    assert_true(ids[3] == LCF_EXAMPLE_NONE);
}

static void test_round_trip_and_damage(void **state)
{
    static const char *const files[] = {"trip/examples.lcf", "trip/faiss-0.index",
                                        "trip/faiss-1.index"};
    world w;
    lcf_examples e;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    world_init(&w, 50, 8, 5, 20, 3);
    world_open(&e, &w, "trip");
    assert_int_equal(e.n, 50);
    assert_memory_equal(e.key, w.key, 50 * 16);
    assert_memory_equal(e.time, w.time, 50 * 8);
    assert_memory_equal(e.cot_vec, w.cot_vec, 50 * COT_DIM * 4);
    lcf_examples_close(&e);
    for (int f = 0; f < 3; f++) {
        lcf_buf whole = LCF_BUF_INIT;
        lcf_status status;
        assert_int_equal(lcf_file_read(&whole, files[f], SIZE_MAX, NULL), LCF_OK);
        for (size_t at = 3; at < whole.len; at += whole.len / 40) {
            whole.data[at] ^= 16;
            assert_int_equal(lcf_file_write(files[f], whole.data, whole.len, NULL), LCF_OK);
            status = lcf_examples_open(&e, "trip", &err);
            /* padding between arrays may change unseen; then all is as it was */
            if (status == LCF_OK) {
                assert_int_equal(f, 0);
                assert_memory_equal(e.target_vec, w.target_vec, 50 * 8 * 4);
                lcf_examples_close(&e);
            } else {
                assert_true(status == LCF_ECHECKSUM || status == LCF_EFORMAT ||
                            status == LCF_EVERSION);
            }
            whole.data[at] ^= 16;
        }
        assert_int_equal(lcf_file_write(files[f], whole.data, whole.len / 2, NULL), LCF_OK);
        assert_int_not_equal(lcf_examples_open(&e, "trip", &err), LCF_OK);
        assert_int_equal(remove(files[f]), 0);
        assert_int_equal(lcf_examples_open(&e, "trip", &err), LCF_ENOENT);
        assert_int_equal(lcf_file_write(files[f], whole.data, whole.len, NULL), LCF_OK);
        lcf_buf_dispose(&whole);
    }
    world_dispose(&w);
}

static void test_same_bytes(void **state)
{
    static const char *const names[] = {"examples.lcf", "faiss-0.index", "faiss-1.index"};
    world w;

    (void)state;
    world_init(&w, 300, 8, 5, 20, 3);
    world_save(&w, "bytes-a");
    world_save(&w, "bytes-b");
    for (int f = 0; f < 3; f++) {
        char path[64];
        lcf_buf a = LCF_BUF_INIT, b = LCF_BUF_INIT;
        snprintf(path, sizeof(path), "bytes-a/%s", names[f]);
        assert_int_equal(lcf_file_read(&a, path, SIZE_MAX, NULL), LCF_OK);
        path[6] = 'b';
        assert_int_equal(lcf_file_read(&b, path, SIZE_MAX, NULL), LCF_OK);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        lcf_buf_dispose(&a);
        lcf_buf_dispose(&b);
    }
    world_dispose(&w);
}

typedef struct job {
    const lcf_examples *e;
    const lcf_example_query *q;
    size_t n;
    uint32_t *ids;
    lcf_status status;
} job;

static void *run_job(void *arg)
{
    job *j = arg;
    lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;

    j->status = lcf_examples_search(j->ids, NULL, j->e, j->q, j->n, &o, NULL);
    return NULL;
}

static void test_threads(void **state)
{
    enum { N = 400, THREADS = 4 };
    world w;
    lcf_examples e;
    lcf_example_query *q;
    job jobs[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    world_init(&w, 1000, 16, 20, 300, 9);
    world_open(&e, &w, "threads");
    q = world_queries(&e, N, 2);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (job){&e, q, N, calloc(N * 4, 4), LCF_EIO};
        assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].status, LCF_OK);
        assert_memory_equal(jobs[i].ids, jobs[0].ids, N * 4 * 4);
    }
    for (int i = 0; i < THREADS; i++)
        free(jobs[i].ids);
    free(q);
    lcf_examples_close(&e);
    world_dispose(&w);
}

static lcf_status all_steps(const world *w, lcf_err *err)
{
    lcf_examples e;
    lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;
    uint32_t ids[40];
    lcf_example_query *q;
    lcf_status status = lcf_examples_save("oom", &w->e, err);

    if (!status)
        status = lcf_examples_open(&e, "oom", err);
    if (status)
        return status;
    q = world_queries(&e, 10, 2);
    status = lcf_examples_search(ids, NULL, &e, q, 10, &o, err);
    free(q);
    lcf_examples_close(&e);
    return status;
}

static void test_out_of_memory(void **state)
{
    world w;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;
    uint64_t n = 0;

    (void)state;
    world_init(&w, 60, 8, 5, 20, 3);
    assert_int_equal(lcf_dir_remove("oom", NULL), LCF_OK);
    assert_int_equal(lcf_dir_create("oom", NULL), LCF_OK);
    do {
        lcf_alloc_fail_at(++n);
        status = all_steps(&w, &err);
        lcf_alloc_fail_at(0);
        if (status && status != LCF_ENOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, err.text);
    } while (status && n < 1000);
    assert_int_equal(status, LCF_OK);
    assert_true(n > 10);
    world_dispose(&w);
}

static void test_refuses_bad_values(void **state)
{
    world w;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    world_init(&w, 10, 8, 5, 5, 3);
    assert_int_equal(lcf_dir_create("bad", NULL), LCF_OK);
    w.label[4] = 2;
    assert_int_equal(lcf_examples_save("bad", &w.e, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "label[4]"));
    w.label[4] = 1;
    w.history_n[7] = LCF_HISTORY_MAX + 1;
    assert_int_equal(lcf_examples_save("bad", &w.e, &err), LCF_EINVAL);
    w.history_n[7] = 0;
    w.cot_vec[3] = NAN;
    assert_int_equal(lcf_examples_save("bad", &w.e, &err), LCF_EINVAL);
    world_dispose(&w);
}

/* The example of schemas/examples.md and the one of schemas/retrieved.md, which was made from it.
 */
static void test_golden(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    char dir[4096], path[4096];
    lcf_examples e;
    lcf_retrieved retrieved;
    lcf_err err = LCF_ERR_INIT;
    size_t positives = 0;

    (void)state;
    snprintf(dir, sizeof(dir), "%s/schemas/examples/examples", source ? source : ".");
    snprintf(path, sizeof(path), "%s/schemas/examples/retrieved.lcf", source ? source : ".");
    if (lcf_examples_open(&e, dir, &err))
        fail_msg("%s", err.text);
    assert_int_equal(e.n, 17);
    assert_int_equal(e.text_dim, 8);
    for (size_t i = 0; i < e.n; i++) {
        positives += e.label[i];
        assert_true(i == 0 || e.time[i] >= e.time[i - 1]);
    }
    assert_int_equal(positives, 4);
    if (lcf_retrieved_open(&retrieved, path, 21, e.n, &err))
        fail_msg("%s", err.text);
    assert_int_equal(retrieved.rule.k, 4);
    assert_int_equal(retrieved.rule.mode, LCF_RETRIEVE_SAME_USER);
    assert_true(retrieved.rule.balanced);
    for (size_t i = 0; i < retrieved.rows_n; i++)
        for (size_t j = 0; j < 4; j++) {
            uint32_t id = retrieved.ids[i * 4 + j];
            float score = retrieved.scores[i * 4 + j];
            assert_true(id < e.n); /* no row of this dataset has fewer */
            assert_int_equal(e.label[id], j < 2);
            assert_true(score >= -1.0f && score <= 1.0001f);
        }
    lcf_retrieved_close(&retrieved);
    lcf_examples_close(&e);
}

static void test_rule_as_json(void **state)
{
    static const char *const wrong[] = {
        "{}",
        "{\"balanced\": true, \"by\": \"both\", \"k\": 0, \"mode\": \"strict\"}",
        "{\"balanced\": true, \"by\": \"both\", \"k\": 17, \"mode\": \"strict\"}",
        "{\"balanced\": 1, \"by\": \"both\", \"k\": 4, \"mode\": \"strict\"}",
        "{\"balanced\": true, \"by\": \"item\", \"k\": 4, \"mode\": \"strict\"}",
        "{\"balanced\": true, \"by\": \"both\", \"k\": 4, \"mode\": \"\"}",
    };
    lcf_example_options back, o = {7, false, LCF_RETRIEVE_STRICT, LCF_RETRIEVE_BY_TARGET, 0.0};
    json_t *json = lcf_example_options_to_json(&o);

    (void)state;
    assert_int_equal(lcf_example_options_of_json(&back, json, NULL), LCF_OK);
    assert_int_equal(back.k, 7);
    assert_false(back.balanced);
    assert_int_equal(back.mode, LCF_RETRIEVE_STRICT);
    assert_int_equal(back.by, LCF_RETRIEVE_BY_TARGET);
    json_decref(json);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json = json_loads(wrong[i], 0, NULL);
        assert_non_null(json);
        assert_int_equal(lcf_example_options_of_json(&back, json, NULL), LCF_EFORMAT);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_definition),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_few_users),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_hand_worked),
        cmocka_unit_test(test_round_trip_and_damage),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_refuses_bad_values),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rule_as_json),
    };

    return cmocka_run_group_tests(tests, work_folder_enter, work_folder_leave);
}
