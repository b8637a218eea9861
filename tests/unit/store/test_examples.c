/*
 * Examples: the folder round-trips, the index finds exactly what the definition finds, ties and
 * all, and no example breaks the rule.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/store/examples.h"
#include "common/store/retrieved_reuse.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { COT_DIM = 4 };

/* Examples in memory of our own. */
typedef struct world {
    lcf_examples e;
    lcf_hash128 *key, *sample_hash;
    uint32_t *user, *item, *history, *history_n;
    uint8_t *label;
    int64_t *time;
    float *history_vec, *target_vec, *cot_vec;
} world;

static void unit(float *v, size_t dim, lcf_rng *rng)
{
    double square = 0;

    for (size_t i = 0; i < dim; i++) {
        v[i] = (float)lcf_rng_normal(rng);
        square += (double)v[i] * v[i];
    }
    for (size_t i = 0; i < dim; i++)
        v[i] = (float)(v[i] / sqrt(square));
}

/*
 * n examples of `users` users; `distinct` is how many different vectors there are: few give ties
 * without end, and two that differ by a last bit besides.
 */
static void world_init(world *w, size_t n, size_t dim, uint32_t users, size_t distinct,
                       uint64_t seed)
{
    float *vectors = calloc(distinct * dim + 1, sizeof(float));
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < distinct; i++)
        unit(vectors + i * dim, dim, &rng);
    w->key = calloc(n + 1, sizeof(*w->key));
    w->sample_hash = calloc(n + 1, sizeof(*w->sample_hash));
    w->user = calloc(n + 1, 4);
    w->item = calloc(n + 1, 4);
    w->history = calloc(n + 1, 4 * LCF_HISTORY_MAX);
    w->history_n = calloc(n + 1, 4);
    w->label = calloc(n + 1, 1);
    w->time = calloc(n + 1, 8);
    w->history_vec = calloc(n * dim + 1, 4);
    w->target_vec = calloc(n * dim + 1, 4);
    w->cot_vec = calloc(n * COT_DIM + 1, 4);
    for (size_t i = 0; i < n; i++) {
        uint64_t number = seed << 32 | i;
        float *h = w->history_vec + i * dim;
        w->key[i] = lcf_hash128_of(&number, 8);
        number = ~number;
        w->sample_hash[i] = lcf_hash128_of(&number, 8);
        w->user[i] = 1 + (uint32_t)lcf_rng_below(&rng, users);
        w->item[i] = 1 + (uint32_t)lcf_rng_below(&rng, 30);
        w->history_n[i] = (uint32_t)lcf_rng_below(&rng, LCF_HISTORY_MAX + 1);
        w->label[i] = (uint8_t)lcf_rng_below(&rng, 2);
        w->time[i] = (int64_t)lcf_rng_below(&rng, 100); /* equal times too */
        memcpy(h, vectors + lcf_rng_below(&rng, distinct) * dim, dim * sizeof(float));
        memcpy(w->target_vec + i * dim, vectors + lcf_rng_below(&rng, distinct) * dim,
               dim * sizeof(float));
        if (lcf_rng_below(&rng, 20) == 0)
            memset(h, 0, dim * sizeof(float)); /* an empty history */
        else if (lcf_rng_below(&rng, 3) == 0)
            h[0] = nextafterf(h[0], 1.0f);
        unit(w->cot_vec + i * COT_DIM, COT_DIM, &rng);
    }
    w->e = (lcf_examples){.n = n,
                          .text_dim = dim,
                          .cot_dim = COT_DIM,
                          .key = w->key,
                          .sample_hash = w->sample_hash,
                          .user = w->user,
                          .item = w->item,
                          .label = w->label,
                          .time = w->time,
                          .history = w->history,
                          .history_n = w->history_n,
                          .history_vec = w->history_vec,
                          .target_vec = w->target_vec,
                          .cot_vec = w->cot_vec};
    free(vectors);
}

static void world_dispose(world *w)
{
    free(w->key);
    free(w->sample_hash);
    free(w->user);
    free(w->item);
    free(w->history);
    free(w->history_n);
    free(w->label);
    free(w->time);
    free(w->history_vec);
    free(w->target_vec);
    free(w->cot_vec);
}

static void save(const world *w, const char *dir)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_dir_remove(dir, NULL), LCF_OK);
    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    if (lcf_examples_save(dir, &w->e, &err))
        fail_msg("%s", err.text);
}

static void saved(lcf_examples *out, const world *w, const char *dir)
{
    lcf_err err = LCF_ERR_INIT;

    save(w, dir);
    if (lcf_examples_open(out, dir, &err))
        fail_msg("%s", err.text);
}

/* Queries: the examples' own rows, and strangers with vectors of theirs. */
static lcf_example_query *make_queries(const lcf_examples *e, size_t n, uint64_t seed)
{
    lcf_example_query *q = calloc(n, sizeof(*q));
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 1);
    for (size_t i = 0; i < n; i++) {
        size_t row = lcf_rng_below(&rng, e->n), other = lcf_rng_below(&rng, e->n);
        q[i] = (lcf_example_query){e->user[row], e->time[row], e->sample_hash[row],
                                   e->history_vec + row * e->text_dim,
                                   e->target_vec + row * e->text_dim};
        if (lcf_rng_below(&rng, 3) == 0) {
            memset(&q[i].sample_hash, 0, sizeof(q[i].sample_hash));
            q[i].user = (uint32_t)lcf_rng_below(&rng, 3); /* 0: unknown */
            q[i].time = lcf_rng_below(&rng, 2) ? INT64_MAX : (int64_t)lcf_rng_below(&rng, 100);
            q[i].target_vec = e->target_vec + other * e->text_dim;
        }
    }
    return q;
}

static void check_rule(const lcf_examples *e, const lcf_example_query *q, const uint32_t *ids,
                       const lcf_example_options *o)
{
    for (uint32_t j = 0; j < o->k; j++) {
        uint32_t x = ids[j];
        if (x == LCF_EXAMPLE_NONE)
            continue;
        assert_true(x < e->n);
        assert_true(memcmp(&e->sample_hash[x], &q->sample_hash, 16) != 0);
        if (o->mode == LCF_RETRIEVE_STRICT)
            assert_true(e->time[x] < q->time);
        else if (q->user && e->user[x] == q->user)
            assert_true(e->time[x] < q->time);
        for (uint32_t i = 0; i < j; i++)
            assert_true(ids[i] != x);
    }
}

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
        check_rule(e, &q[i], b + i * o->k, o);
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
    saved(&e, &w, "compare");
    q = make_queries(&e, queries_n, 5);
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
    lcf_example_query *q = make_queries(e, n, seed);

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
        saved(&e, &w, "request");
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
    saved(&e, &w, "empty");
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
    saved(&e, &w, "trip");
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
    save(&w, "bytes-a");
    save(&w, "bytes-b");
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
    saved(&e, &w, "threads");
    q = make_queries(&e, N, 2);
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
    q = make_queries(&e, 10, 2);
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

static char work[] = "/dev/shm/lcf-store-XXXXXX";
static char home[4096];

/* In memory where that can be had: these tests sync hundreds of files. */
static int enter(void **state)
{
    (void)state;
    if (!getcwd(home, sizeof(home)))
        return -1;
    if (mkdtemp(work) && chdir(work))
        return -1;
    return 0;
}

static int leave(void **state)
{
    (void)state;
    if (chdir(home))
        return -1;
    return lcf_path_exists(work) ? lcf_dir_remove(work, NULL) : 0;
}

/* Two indices of a kind find nearly all, break no rule, and are the same bytes twice; a request is
 * answered through them, too. */
static void test_kinds(void **state)
{
    lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;
    world w;

    (void)state;
    world_init(&w, 3000, 12, 200, 2500, 31);
    for (int kind = LCF_FAISS_FLAT; kind < LCF_FAISS_KINDS_N; kind++) {
        lcf_examples e;
        lcf_examples_recall recall[2];
        lcf_example_query *q;
        uint32_t exact[60 * 4], found[60 * 4];
        float scores[60 * 4], exact_scores[60 * 4];
        size_t hits = 0, wanted = 0, grown;
        lcf_buf first = LCF_BUF_INIT, second = LCF_BUF_INIT;
        lcf_err err = LCF_ERR_INIT;

        for (int twice = 0; twice < 2; twice++) {
            assert_int_equal(lcf_dir_remove("kind", NULL), LCF_OK);
            assert_int_equal(lcf_dir_create("kind", NULL), LCF_OK);
            if (lcf_examples_save_kind(&recall[twice], &grown, "kind", &w.e, (lcf_faiss_kind)kind,
                                       NULL, &err))
                fail_msg("%s", err.text);
            assert_int_equal(
                lcf_file_read(twice ? &second : &first, "kind/faiss-1.index", SIZE_MAX, NULL),
                LCF_OK);
        }
        assert_int_equal(first.len, second.len);
        assert_memory_equal(first.data, second.data, first.len);
        lcf_buf_dispose(&first);
        lcf_buf_dispose(&second);
        assert_true(recall[0].recall >= LCF_EXAMPLES_RECALL);
        if (lcf_examples_open(&e, "kind", &err))
            fail_msg("%s", err.text);
        assert_int_equal(e.kind, kind);
        q = make_queries(&e, 60, 5);
        for (int mode = 0; mode < 2; mode++) {
            o.mode = (lcf_retrieval_mode)mode;
            assert_int_equal(lcf_examples_search_exact(exact, exact_scores, &e, q, 60, &o, &err),
                             LCF_OK);
            assert_int_equal(lcf_examples_search(found, scores, &e, q, 60, &o, &err), LCF_OK);
            for (size_t i = 0; i < 60; i++)
                check_rule(&e, &q[i], found + 4 * i, &o);
            for (size_t i = 0; i < 240; i++) {
                wanted += exact[i] != LCF_EXAMPLE_NONE;
                if (found[i] == exact[i] && exact[i] != LCF_EXAMPLE_NONE) {
                    assert_true(scores[i] == exact_scores[i]);
                    hits++;
                }
            }
        }
        if (hits < 97 * wanted / 100)
            fail_msg("%s finds %zu of %zu", lcf_faiss_kind_name(e.kind), hits, wanted);
        for (size_t i = 1; i < 60; i++) { /* one request */
            q[i].user = q[0].user;
            q[i].time = q[0].time;
            q[i].history_vec = q[0].history_vec;
        }
        assert_int_equal(lcf_examples_search_exact(exact, NULL, &e, q, 60, &o, &err), LCF_OK);
        assert_int_equal(lcf_examples_search(found, NULL, &e, q, 60, &o, &err), LCF_OK);
        for (size_t i = hits = 0; i < 240; i++)
            hits += found[i] == exact[i];
        assert_true(hits >= 225);
        free(q);
        lcf_examples_close(&e);
        assert_int_equal(lcf_examples_open_for_requests(&e, "kind", false, &err), LCF_OK);
        assert_int_equal(e.faiss[0] != NULL, kind != LCF_FAISS_FLAT);
        lcf_examples_close(&e);
        assert_int_equal(lcf_examples_open_for_requests(&e, "kind", true, &err), LCF_OK);
        assert_null(e.faiss[0]);
        lcf_examples_close(&e);
    }
    world_dispose(&w);
}

static size_t save_grown(const char *dir, const lcf_examples *e, lcf_faiss_kind kind,
                         const char *before)
{
    lcf_examples_recall recall;
    lcf_err err = LCF_ERR_INIT;
    size_t grown = 0;

    assert_int_equal(lcf_dir_remove(dir, NULL), LCF_OK);
    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    if (lcf_examples_save_kind(&recall, &grown, dir, e, kind, before, &err))
        fail_msg("%s", err.text);
    assert_true(recall.recall >= LCF_EXAMPLES_RECALL);
    return grown;
}

static bool same_file(const char *a, const char *b)
{
    lcf_map x, y;
    bool same;

    assert_int_equal(lcf_map_open(&x, a, NULL), LCF_OK);
    assert_int_equal(lcf_map_open(&y, b, NULL), LCF_OK);
    same = x.bytes_n == y.bytes_n && !memcmp(x.data, y.data, x.bytes_n);
    lcf_map_close(&x);
    lcf_map_close(&y);
    return same;
}

/* Indices are grown by rows behind theirs, found as well as any, and made from nothing when a row
 * has gone or they have grown by half. */
static void test_grown(void **state)
{
    const size_t first = 1500, n = 1900;
    world w;

    (void)state;
    world_init(&w, n, 8, 100, 1500, 13);
    for (size_t i = 0; i < n; i++)
        w.time[i] = (int64_t)i;
    for (int kind = LCF_FAISS_HNSW; kind < LCF_FAISS_KINDS_N; kind++) {
        lcf_examples e, part = w.e;
        lcf_err err = LCF_ERR_INIT;

        part.n = first;
        assert_int_equal(save_grown("day-1", &part, kind, "nowhere"), 0);
        assert_int_equal(save_grown("day-2", &w.e, kind, "day-1"), n - first);
        assert_int_equal(save_grown("day-2b", &w.e, kind, "day-1"), n - first);
        assert_true(same_file("day-2/faiss-0.index", "day-2b/faiss-0.index"));
        if (lcf_examples_open(&e, "day-2", &err))
            fail_msg("%s", err.text);
        assert_int_equal(e.built[0] + e.built[1], first);
        lcf_examples_close(&e);
        assert_int_equal(save_grown("day-3", &part, kind, "day-2"), 0); /* the last have gone */
        assert_true(same_file("day-3/faiss-1.index", "day-1/faiss-1.index"));
        part.n = first / 2;
        save_grown("half", &part, kind, NULL);
        assert_int_equal(save_grown("more", &w.e, kind, "half"), 0); /* too many are new */
        part.n = 400; /* 200 of a label: flat, and no more so with 300 */
        save_grown("few", &part, kind, NULL);
        part.n = 600;
        assert_int_equal(save_grown("enough", &part, kind, "few"), 0);
        assert_int_equal(lcf_examples_open(&e, "enough", &err), LCF_OK);
        lcf_examples_close(&e);
        w.history_vec[0] += 0.25f; /* of the first row of its label */
        assert_true(save_grown("other", &w.e, kind, "day-1") < n - first);
        w.history_vec[0] -= 0.25f;
    }
    world_dispose(&w);
}

/* The examples of w with those numbers left out for which (number + shift) % of is 0. */
static void subset(world *out, const world *w, size_t of, size_t shift)
{
    const size_t dim = w->e.text_dim;
    size_t n = 0;

    world_init(out, w->e.n, dim, 3, 2, 1);
    for (size_t i = 0; i < w->e.n; i++) {
        if ((i + shift) % of == 0)
            continue;
        out->key[n] = w->key[i];
        out->sample_hash[n] = w->sample_hash[i];
        out->user[n] = w->user[i];
        out->label[n] = w->label[i];
        out->time[n] = w->time[i];
        memcpy(out->history_vec + n * dim, w->history_vec + i * dim, dim * sizeof(float));
        memcpy(out->target_vec + n * dim, w->target_vec + i * dim, dim * sizeof(float));
        n++;
    }
    out->e.n = n;
}

static void keep(const char *path, const lcf_examples *e, const lcf_example_query *q, size_t n,
                 const lcf_example_options *o)
{
    uint32_t *ids = calloc(n * o->k, 4);
    float *scores = calloc(n * o->k, 4);
    lcf_hash128 *rows = calloc(n, sizeof(*rows)), *examples = calloc(e->n, sizeof(*examples));
    const lcf_retrieved r = {.rule = *o,
                             .rows_n = n,
                             .ids = ids,
                             .scores = scores,
                             .query_hash = rows,
                             .example_hash = examples,
                             .examples_n = e->n};
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_examples_search_exact(ids, scores, e, q, n, o, &err), LCF_OK);
    for (size_t i = 0; i < n; i++)
        rows[i] = lcf_retrieved_query_hash(&q[i], e->text_dim);
    for (size_t i = 0; i < e->n; i++)
        examples[i] = lcf_retrieved_example_hash(e, i);
    if (lcf_retrieved_save(path, &r, &err))
        fail_msg("%s", err.text);
    free(ids);
    free(scores);
    free(rows);
    free(examples);
}

/* Queries, of which the first 80 were there, through reuse and by the definition. */
static void check_reuse(const lcf_examples *e, const lcf_example_query *q, size_t n,
                        const lcf_example_options *o)
{
    uint32_t *exact = calloc(n * o->k, 4), *ids = calloc(n * o->k, 4);
    float *exact_scores = calloc(n * o->k, 4), *scores = calloc(n * o->k, 4);
    lcf_hash128 *rows = calloc(n, sizeof(*rows)), *examples = calloc(e->n, sizeof(*examples));
    lcf_retrieved_reuse *reuse;
    lcf_err err = LCF_ERR_INIT;

    for (size_t i = 0; i < n; i++)
        rows[i] = lcf_retrieved_query_hash(&q[i], e->text_dim);
    for (size_t i = 0; i < e->n; i++)
        examples[i] = lcf_retrieved_example_hash(e, i);
    assert_int_equal(lcf_retrieved_reuse_open(&reuse, "before.lcf", e, examples, o, &err), LCF_OK);
    assert_int_equal(lcf_examples_search_exact(exact, exact_scores, e, q, n, o, &err), LCF_OK);
    assert_int_equal(lcf_retrieved_reuse_search(ids, scores, reuse, rows, q, n, o, &err), LCF_OK);
    assert_memory_equal(ids, exact, n * o->k * 4);
    assert_memory_equal(scores, exact_scores, n * o->k * 4);
    assert_true(lcf_retrieved_reuse_searched(reuse) >= n - 80); /* those that were not there */
    assert_true(lcf_retrieved_reuse_searched(reuse) < n - 20);
    assert_true(lcf_retrieved_reuse_new(reuse) > 0);
    lcf_retrieved_reuse_close(reuse);
    free(exact);
    free(exact_scores);
    free(ids);
    free(scores);
    free(rows);
    free(examples);
}

/* Examples come and go, rows come, and what is reused is what the definition finds, ties and all.
 */
static void test_reuse(void **state)
{
    world all, before, after;
    lcf_examples e;
    lcf_example_query *q;
    lcf_hash128 none[1] = {{{0}}};
    lcf_retrieved_reuse *reuse;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    world_init(&all, 900, 6, 40, 60, 77);
    subset(&before, &all, 20, 3);
    subset(&after, &all, 35, 0);
    saved(&e, &after, "now");
    q = make_queries(&all.e, 120, 9);
    for (int i = 0; i < 12; i++) {
        lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;

        o.balanced = i % 2;
        o.mode = (lcf_retrieval_mode)(i / 2 % 2);
        o.by = (lcf_retrieval_by)(i / 4);
        o.k = 1 + (uint32_t)i % 5;
        keep("before.lcf", &before.e, q, 80, &o);
        check_reuse(&e, q, 120, &o);
        o.k++;
        assert_int_equal(lcf_retrieved_reuse_open(&reuse, "before.lcf", &e, none, &o, &err),
                         LCF_ENOTFOUND);
    }
    assert_int_equal(lcf_retrieved_reuse_open(&reuse, "nothing.lcf", &e, none,
                                              &(lcf_example_options)LCF_EXAMPLE_OPTIONS_INIT, &err),
                     LCF_ENOTFOUND);
    free(q);
    lcf_examples_close(&e);
    world_dispose(&all);
    world_dispose(&before);
    world_dispose(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_rule_as_json),
        cmocka_unit_test(test_hand_worked),   cmocka_unit_test(test_equals_definition),
        cmocka_unit_test(test_ties),          cmocka_unit_test(test_few_users),
        cmocka_unit_test(test_requests),      cmocka_unit_test(test_small),
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_round_trip_and_damage),
        cmocka_unit_test(test_same_bytes),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_refuses_bad_values),
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_grown),
        cmocka_unit_test(test_reuse),
    };

    return cmocka_run_group_tests(tests, enter, leave);
}
